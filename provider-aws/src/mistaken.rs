//! A Service with mistakes, as far as it could be read.

use std::collections::BTreeSet;

use cloud_provider::{Error, Mistakes, Ordered};

use crate::client::{LoadBalancer, Snapshot};
use crate::options::annotation::undecided_by;
use crate::options::scope::Scope;
use crate::options::{Access, ChosenAddresses, Parsed, Reading, Spec, SubnetRef};

/// What is told of each mistake while the rest is carried out.
const UNTIL_THEN: &str = "what it decides stays as it is, and all else of the Service follows";

/// A Service with mistakes.
#[derive(Clone, Debug)]
pub(crate) struct Mistaken {
    /// What is asked for, as if what is a mistake were not there.
    spec: Spec,
    mistakes: Mistakes,
    /// What the mistakes leave undecided.
    pub(crate) undecided: BTreeSet<Scope>,
    /// Whether a mistake is one only beside what exists, which may change without the Service.
    pub(crate) may_pass: bool,
}

impl Mistaken {
    /// None for a Service without a mistake.
    pub(crate) fn read(reading: &Reading) -> Option<Self> {
        let Reading { parsed: Parsed { spec, .. }, mistakes, undecided } = reading;
        let mistakes = Mistakes::new(mistakes.clone())?;
        Some(Mistaken { spec: spec.clone(), mistakes, undecided: undecided.clone(), may_pass: false })
    }

    /// One whose mistakes were found beside what exists.
    pub(crate) fn found(spec: &Spec, mistakes: Mistakes) -> Self {
        let undecided = mistakes.iter().flat_map(undecided_by).ordered();
        Mistaken { spec: spec.clone(), mistakes, undecided, may_pass: true }
    }

    /// The same with mistakes that were found beside what exists; none if they are about nothing new, so that to look
    /// again finds them again.
    pub(crate) fn and(self, more: Mistakes) -> Option<Self> {
        let mut undecided = self.undecided.clone();
        undecided.extend(more.iter().flat_map(undecided_by));
        let is_new = undecided.len() > self.undecided.len();
        let mistakes = self.mistakes.and(more);
        is_new.then_some(Mistaken { mistakes, undecided, may_pass: true, ..self })
    }

    /// The load balancer beside which the rest may be carried out; none where there is none yet, or where a mistake leaves
    /// nothing decided.
    pub(crate) fn load_balancer<'f>(&self, found: &'f Snapshot) -> Option<&'f LoadBalancer> {
        let mut all = found.load_balancers.values().map(|lb| &*lb.resource);
        all.next().filter(|_| !self.undecided.contains(&Scope::Everything))
    }

    /// What is asked for, where what is undecided is replaced by what needs nothing to be looked for: it is not carried out.
    pub(crate) fn spec_beside(&self, load_balancer: &LoadBalancer) -> Spec {
        let mut spec = self.spec.clone();
        if self.undecided.contains(&Scope::Zones) {
            let subnets = load_balancer.zones.iter().map(|zone| SubnetRef::Id(zone.subnet_id.clone()));
            spec.load_balancer.subnets = Some(subnets.collect());
            spec.load_balancer.addresses = ChosenAddresses::default();
            spec.load_balancer.ipv6_source_nat = None;
            spec.load_balancer.source_nat_prefixes.clear();
        }
        if self.undecided.contains(&Scope::Access) {
            let (ranges, prefix_lists) = (BTreeSet::new(), BTreeSet::new());
            spec.security.access = Access::Managed { ranges, prefix_lists, path_mtu: false };
        }
        spec
    }

    /// Whether no plan looks after the targets of some target groups.
    pub(crate) fn leaves_targets(&self) -> bool {
        let is_of_targets = |scope: &Scope| {
            matches!(scope, Scope::Nodes | Scope::Ports | Scope::PortList | Scope::Tags | Scope::Port(_))
        };
        self.undecided.iter().any(is_of_targets)
    }

    /// Whether a plan surely opens the nodes as they should be.
    pub(crate) fn opens_nodes(&self) -> bool {
        !self.undecided.contains(&Scope::Nodes) && !self.undecided.contains(&Scope::Access)
    }

    /// What is told where nothing is carried out.
    pub(crate) fn refused(self) -> Error {
        Error::Invalid(self.mistakes)
    }

    /// What is told where the rest is carried out.
    pub(crate) fn in_part(self) -> Mistakes {
        self.mistakes.meanwhile(UNTIL_THEN)
    }
}
