//! What is planned of a Service while something of it is undecided, because its user made a mistake there: all that depends
//! on none of it, as the Service asks now. What is undecided stays as it is found. Pure.

use std::collections::BTreeSet;

use cloud_provider::Ordered;

use super::rules::is_of;
use super::{Action, Operation, Part, Planned, plan};
use crate::client::{IngressRule, Traffic};
use crate::desired::{Desired, Limits};
use crate::observe::{Observed, ObservedLoadBalancer};
use crate::options::scope::Scope;

/// Compares, and says what to do beside what is undecided; none where a load balancer would have to be made, replaced or
/// taken over, which nothing of it can be left out of.
pub fn plan_beside(
    desired: &Desired,
    observed: &Observed,
    limits: &Limits,
    undecided: &BTreeSet<Scope>,
) -> Option<Planned> {
    // One takes the place of the other.
    let [load_balancer] = observed.load_balancers.as_slice() else { return None };
    let mut desired = desired.clone();
    let mut left = Undecided::new(&desired, undecided, load_balancer);
    if undecided.contains(&Scope::Nodes) {
        desired.targets = None;
    }
    if [Scope::Nodes, Scope::Tags].iter().any(|scope| undecided.contains(scope)) {
        let made = plan(&desired, observed, limits).actions;
        left.ports.extend(made.iter().filter_map(port_made_for));
        left.access |= undecided.contains(&Scope::Tags) && made.iter().any(makes_frontend);
    }
    left.keep_rules(&mut desired, observed);
    left.carries_backend = is_backend_of(observed, load_balancer);
    let mut planned = plan(&desired, observed, limits);
    if planned.actions.iter().any(concerns_everything) {
        return None;
    }
    planned.actions.retain(|action| !left.is_part_of(action));
    // That something is about to change is no news where nothing is.
    if planned.actions.iter().all(takes_the_note_off) {
        planned.actions.clear();
    }
    Some(planned)
}

/// What is undecided, and what stays because of it.
struct Undecided<'a> {
    scopes: &'a BTreeSet<Scope>,
    /// Ports of which something is undecided.
    ports: BTreeSet<u16>,
    /// Ports that are served now.
    served: BTreeSet<u16>,
    /// Ports that the Service asks for, as far as they could be read.
    wanted: BTreeSet<u16>,
    /// Who may connect, by which groups.
    access: bool,
    /// Whether the load balancer is let in to the nodes by the backend security group.
    carries_backend: bool,
}

impl<'a> Undecided<'a> {
    fn new(desired: &Desired, scopes: &'a BTreeSet<Scope>, load_balancer: &ObservedLoadBalancer) -> Self {
        let wanted: BTreeSet<u16> = desired.listeners.iter().map(|listener| listener.port).ordered();
        let one = |scope: &Scope| match scope {
            Scope::Port(port) => Some(*port),
            _ => None,
        };
        let mut ports: BTreeSet<u16> = scopes.iter().filter_map(one).ordered();
        if [Scope::Ports, Scope::PortList, Scope::Tags].iter().any(|scope| scopes.contains(scope)) {
            ports.extend(&wanted);
        }
        Undecided {
            scopes,
            ports,
            served: load_balancer.listeners().iter().map(|listener| listener.resource.port).ordered(),
            wanted,
            access: scopes.contains(&Scope::Access),
            carries_backend: false,
        }
    }

    fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Whether something of a port is undecided. One that is not among those that were read may be one that could not be.
    fn leaves(&self, port: u16) -> bool {
        self.has(Scope::PortList) || self.ports.contains(&port)
    }

    /// Whether a port that is to come does not: what it may take the place of goes on then.
    fn holds_back_a_port(&self) -> bool {
        !self.ports.is_subset(&self.served)
    }

    /// Whether a port that is served stays though it is not asked for, as far as could be read, or not by each protocol.
    fn keeps(&self, port: u16) -> bool {
        let is_not_asked_for = !self.wanted.contains(&port);
        self.has(Scope::PortList)
            || is_not_asked_for && (self.ports.contains(&port) || self.holds_back_a_port())
    }

    /// Ports that do not come get no rule. Ports that stay keep theirs, for those who may connect now.
    fn keep_rules(&self, desired: &mut Desired, observed: &Observed) {
        let (Some(frontend), Some(groups)) = (&mut desired.groups.frontend, &observed.groups) else { return };
        let Some(found) = groups.frontends.iter().find(|group| group.name == frontend.name) else { return };
        let is_of_a_port =
            |rule: &&IngressRule| matches!(rule.traffic, Traffic::Tcp { .. } | Traffic::Udp { .. });
        let sources: BTreeSet<_> =
            frontend.rules.iter().filter(is_of_a_port).map(|rule| rule.source.clone()).ordered();
        frontend.rules.retain(|rule| {
            let held_back = self.ports.difference(&self.served);
            !held_back.into_iter().any(|port| is_of(rule, *port))
        });
        let stays =
            |rule: &&IngressRule| self.served.iter().any(|port| self.keeps(*port) && is_of(rule, *port));
        for rule in found.ingress.iter().filter(stays) {
            // Where no port could be read, nor can it be told for whom.
            if self.wanted.is_empty() {
                frontend.rules.insert(rule.clone());
            }
            let traffic = &rule.traffic;
            frontend.rules.extend(sources.iter().map(|source| IngressRule {
                traffic: traffic.clone(),
                source: source.clone(),
                description: None,
            }));
        }
    }

    /// Whether a step is about something that is undecided, or that stays because of it.
    fn is_part_of(&self, action: &Action) -> bool {
        match (&action.part, &action.operation) {
            (Part::Foundation, Operation::CreateBackendGroup(_) | Operation::CreateFrontendGroup(_))
            | (Part::Access, _)
            | (Part::Remains, Operation::DeleteGroup { .. } | Operation::RevokeIngress { .. }) => self.access,
            (Part::Foundation, _) => false,
            (Part::NodeGroup(_), _) => self.has(Scope::Nodes) || self.access && !self.carries_backend,
            (Part::Zones, _) => self.has(Scope::Zones),
            (Part::Attributes, Operation::TagGroup { .. }) => self.has(Scope::Tags),
            // The tags of the load balancer remember which attributes were set, and whether rules for PrivateLink were: they
            // forget it last.
            (Part::Attributes, _) => self.has(Scope::Attributes) || self.has(Scope::Tags),
            (Part::Remains, Operation::Tag { .. }) => {
                self.has(Scope::Attributes) || self.has(Scope::Tags) || self.access
            }
            (Part::OldPort(port), _) | (Part::Port(port), Operation::DeleteListener { .. }) => {
                self.leaves(*port) || self.holds_back_a_port()
            }
            (Part::Port(port) | Part::OldTargets(port), _) => self.leaves(*port),
            // Of which port a target group is that nobody tagged for one cannot be told.
            (Part::Remains, Operation::DeregisterTargets { .. } | Operation::DeleteTargetGroup { .. }) => {
                self.has(Scope::PortList) || !self.ports.is_empty()
            }
            (Part::Remains | Part::Record, _) => true,
        }
    }
}

fn port_made_for(action: &Action) -> Option<u16> {
    match (&action.part, &action.operation) {
        (Part::Port(port), Operation::CreateTargetGroup(_) | Operation::CreateListener(_)) => Some(*port),
        _ => None,
    }
}

fn makes_frontend(action: &Action) -> bool {
    matches!(action.operation, Operation::CreateFrontendGroup(_))
}

/// Whether a step makes, replaces or takes over what everything stands on.
fn concerns_everything(action: &Action) -> bool {
    let is_of_the_load_balancer = matches!(
        action.operation,
        Operation::CreateLoadBalancer { .. } | Operation::DeleteLoadBalancer { .. }
    );
    is_of_the_load_balancer
        || action.part == Part::Foundation && matches!(action.operation, Operation::Tag { .. })
}

fn takes_the_note_off(action: &Action) -> bool {
    matches!(action.operation, Operation::Record { applied: None, .. } | Operation::ForgetTargets { .. })
}

fn is_backend_of(observed: &Observed, load_balancer: &ObservedLoadBalancer) -> bool {
    let backend = observed.groups.as_ref().and_then(|groups| groups.backend.as_ref());
    backend.is_some_and(|group| load_balancer.resource.security_groups.contains(&group.id))
}
