//! A Service's annotations and fields → the addresses it should have, as plain data; every mistake is reported together.

use std::net::IpAddr;
use std::sync::Arc;

use cloud_provider::{
    FamilyPolicy, IpFamily, Mistake, Mistakes, Note, NoteKind, Protocol, ServiceId, ServiceView,
    TrafficPolicy,
};
use metallb::selector::Labels;
use smallvec::SmallVec;

/// The domain of MetalLB's annotations.
const DOMAIN: &str = "metallb.io";
/// The domain MetalLB used before, still read.
const DEPRECATED_DOMAIN: &str = "metallb.universe.tf";

/// Input: one address, or one of each family with a comma between.
pub const LOAD_BALANCER_IPS: &str = "metallb.io/loadBalancerIPs";
/// Input: the name of the pool the address must come from.
pub const ADDRESS_POOL: &str = "metallb.io/address-pool";
/// Input: Services with the same key may share an address. Any text; empty is no key.
pub const ALLOW_SHARED_IP: &str = "metallb.io/allow-shared-ip";
/// Output: the pool the published address came from. Never read back.
pub const ALLOCATED_FROM: &str = "metallb.io/ip-allocated-from-pool";

const INPUTS: [&str; 3] = [LOAD_BALANCER_IPS, ADDRESS_POOL, ALLOW_SHARED_IP];

/// Whether a change of this annotation can change what is assigned.
pub fn is_input(key: &str) -> bool {
    INPUTS.iter().any(|input| key == *input || key == deprecated(input))
}

/// `spec.loadBalancerIP`.
pub const LOAD_BALANCER_IP_FIELD: &str = "spec.loadBalancerIP";

/// Where something was asked for, to name it in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked<T> {
    /// The field as the user wrote it.
    pub field: String,
    /// What it holds, as written.
    pub written: String,
    /// What it means.
    pub value: T,
}

impl<T> Asked<T> {
    /// A mistake in this field.
    pub fn mistake(&self, problem: impl Into<String>) -> Mistake {
        Mistake::new(&self.field, &self.written, problem)
    }
}

/// Whose a Service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Ours to serve.
    Ours,
    /// Somebody else's: its addresses are only kept from others.
    Theirs,
}

/// A Service as the cluster shows it.
#[derive(Clone, Debug)]
pub struct ObservedService {
    /// Which Service.
    pub id: ServiceId,
    /// When it was created.
    pub created: i64,
    /// The addresses its status shows, in order.
    pub published: Vec<IpAddr>,
    /// How it gets along with others.
    pub sharing: Sharing,
    /// What is to be done for it.
    pub handling: Handling,
}

/// What is to be done for a Service.
#[derive(Clone, Debug)]
pub enum Handling {
    /// To serve it.
    Serve(AddressRequest),
    /// To keep what it has, because what it asks for cannot be read.
    Protect,
    /// To stay away from its addresses: somebody else serves it.
    Avoid,
}

/// A Service, read.
#[derive(Clone, Debug)]
pub struct ReadService {
    /// For the allocator.
    pub observed: ObservedService,
    /// What is wrong with the Service itself, whatever the pools; empty if nothing.
    pub mistakes: Vec<Mistake>,
    /// What the user should know besides.
    pub notes: Vec<Note>,
}

/// Reads a Service. One with mistakes is something to protect, so that it loses nothing by them.
pub fn read(service: &ServiceView, ownership: Ownership, share_across_namespaces: bool) -> ReadService {
    let (request, notes) = match Options::parse(service) {
        Ok(options) => {
            let notes = options.notes.clone();
            (AddressRequest::new(service, options), notes)
        }
        Err(mistakes) => (Err(mistakes), Vec::new()),
    };
    let request = match Mistakes::new(service.mistakes.clone()) {
        Some(mistakes) => Err(mistakes),
        None => request,
    };
    let (handling, mistakes) = match (ownership, request) {
        (Ownership::Theirs, _) => (Handling::Avoid, Vec::new()),
        (Ownership::Ours, Ok(request)) => (Handling::Serve(request), Vec::new()),
        (Ownership::Ours, Err(mistakes)) => (Handling::Protect, mistakes.iter().cloned().collect()),
    };
    let observed = ObservedService {
        id: service.id.clone(),
        created: service.created,
        published: service.published_ips().collect(),
        sharing: Sharing::of(service, share_across_namespaces),
        handling,
    };
    ReadService { observed, mistakes, notes }
}

/// Which families a Service is served in, primary first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// One.
    One(IpFamily),
    /// Two; `required`: both or nothing.
    Two {
        /// The first of the cluster's families for it.
        primary: IpFamily,
        /// Whether one alone is not enough.
        required: bool,
    },
}

impl Families {
    /// The families, primary first.
    pub fn iter(self) -> impl Iterator<Item = IpFamily> {
        let other = |family| if family == IpFamily::V4 { IpFamily::V6 } else { IpFamily::V4 };
        let (first, second) = match self {
            Families::One(family) => (family, None),
            Families::Two { primary, .. } => (primary, Some(other(primary))),
        };
        std::iter::once(first).chain(second)
    }

    /// Whether a Service is served if it lacks an address of one of its families.
    pub fn one_is_enough(self) -> bool {
        matches!(self, Families::Two { required: false, .. })
    }
}

/// What makes two Services fit to share one address: the same key, in the same namespace unless the operator
/// lifted that, and the same backend, since one node must answer for all of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SharingKey {
    /// The namespace; none if sharing across namespaces is allowed.
    pub namespace: Option<Arc<str>>,
    /// The key the user chose.
    pub key: String,
    /// Empty for traffic policy `Cluster`; for `Local` the selector, so that both have the same nodes.
    pub backend: String,
}

/// How a Service gets along with others on one address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sharing {
    /// None: it wants its address for itself.
    pub key: Option<Arc<SharingKey>>,
    /// Its ports, sorted, each once; two Services on one address must have none in common.
    pub ports: Ports,
}

/// Protocols and ports of one Service: as many as most have are kept in place.
pub type Ports = SmallVec<[(Protocol, u16); 4]>;

impl Sharing {
    /// Reads it from a Service; cannot fail, so that even a Service with mistakes protects its address.
    pub fn of(service: &ServiceView, across_namespaces: bool) -> Self {
        let key = Options::sharing_key(service).map(|key| {
            let backend = match service.traffic_policy {
                TrafficPolicy::Cluster => String::new(),
                TrafficPolicy::Local => {
                    let terms: Vec<String> =
                        service.selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
                    format!("local:{}", terms.join(","))
                }
            };
            let namespace = (!across_namespaces).then(|| service.id.key.namespace.clone());
            Arc::new(SharingKey { namespace, key, backend })
        });
        let mut ports: Ports = service.ports.iter().map(|port| (port.protocol, port.port)).collect();
        ports.sort_unstable();
        ports.dedup();
        Sharing { key, ports }
    }

    /// A port that both have.
    pub fn common_port(&self, other: &Sharing) -> Option<(Protocol, u16)> {
        self.ports.iter().copied().find(|port| other.ports.binary_search(port).is_ok())
    }
}

/// What a Service asks for besides its ports and families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Addresses it wants: one, or one of each family, in the order given.
    pub addresses: Option<Asked<Vec<IpAddr>>>,
    /// The pool it wants addresses from.
    pub pool: Option<Asked<String>>,
    /// The key it shares an address by.
    pub sharing_key: Option<String>,
    /// Deprecated annotations in use, each with its replacement.
    pub notes: Vec<Note>,
}

impl Options {
    /// Reads a Service's annotations and `spec.loadBalancerIP`.
    ///
    /// A new annotation key hides its deprecated twin by being there, even if it is empty; an empty one asks for
    /// nothing.
    ///
    /// # Errors
    /// Every mistake found.
    pub fn parse(service: &ServiceView) -> Result<Self, Mistakes> {
        let mut options = Options::default();
        let mut mistakes = Vec::new();
        let by_annotation = annotation(service, LOAD_BALANCER_IPS, &mut options.notes);
        let by_field = service.load_balancer_ip.as_deref().filter(|written| !written.is_empty());
        let by_field = by_field.map(|written| asked(LOAD_BALANCER_IP_FIELD.to_owned(), written));
        options.addresses = match (by_annotation, by_field) {
            (Some(annotation), Some(field)) => {
                let problem = format!("is set besides {}", annotation.field);
                mistakes.push(field.mistake(problem).allowing("one of the two"));
                None
            }
            (Some(asked), None) => keep(addresses(asked, 2), &mut mistakes),
            (None, Some(asked)) => keep(addresses(asked, 1), &mut mistakes),
            (None, None) => None,
        };
        options.pool = annotation(service, ADDRESS_POOL, &mut options.notes)
            .map(|asked| Asked { value: asked.value.trim().to_owned(), ..asked });
        options.sharing_key =
            annotation(service, ALLOW_SHARED_IP, &mut options.notes).map(|asked| asked.value);
        match Mistakes::new(mistakes) {
            Some(mistakes) => Err(mistakes),
            None => Ok(options),
        }
    }

    /// The sharing key alone, which cannot be wrong: for a Service whose other options are.
    pub fn sharing_key(service: &ServiceView) -> Option<String> {
        annotation(service, ALLOW_SHARED_IP, &mut Vec::new()).map(|asked| asked.value)
    }
}

/// What one Service should have, without mistakes of its own. Whether the pools can give it is another matter. What few ask
/// for has no room in what is kept of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressRequest {
    /// Its labels, for pools that select Services.
    pub labels: Labels,
    /// In which families.
    pub families: Families,
    /// Exactly these addresses.
    pub addresses: Option<Box<Asked<Vec<IpAddr>>>>,
    /// Only from this pool.
    pub pool: Option<Box<Asked<String>>>,
}

impl AddressRequest {
    /// Puts together what a Service asks for.
    ///
    /// # Errors
    /// If its fields contradict each other: two families required where the cluster gave it one, or addresses
    /// of families it does not have.
    pub fn new(service: &ServiceView, options: Options) -> Result<Self, Mistakes> {
        let families = families(service)?;
        if let Some(asked) = &options.addresses {
            addresses_fit(asked, families)?;
        }
        Ok(AddressRequest {
            labels: service.labels.clone(),
            families,
            addresses: options.addresses.map(Box::new),
            pool: options.pool.map(Box::new),
        })
    }

    /// Whether it asks for this very address.
    pub fn asks_for(&self, ip: IpAddr) -> bool {
        self.addresses.as_ref().is_some_and(|asked| asked.value.contains(&ip))
    }
}

fn families(service: &ServiceView) -> Result<Families, Mistake> {
    let given = service.cluster_families();
    let Some(&primary) = given.first() else {
        return Err(Mistake::new("spec.clusterIPs", "", "is empty, so no IP family is known")
            .allowing("at least one cluster IP"));
    };
    let two = given.iter().any(|family| *family != primary);
    match (service.family_policy, two) {
        (FamilyPolicy::SingleStack, _) | (FamilyPolicy::PreferDualStack, false) => Ok(Families::One(primary)),
        (FamilyPolicy::PreferDualStack, true) => Ok(Families::Two { primary, required: false }),
        (FamilyPolicy::RequireDualStack, true) => Ok(Families::Two { primary, required: true }),
        (FamilyPolicy::RequireDualStack, false) => {
            let problem =
                format!("needs two IP families, and the Service has a cluster IP of {primary} only");
            Err(Mistake::new("spec.ipFamilyPolicy", "RequireDualStack", problem)
                .allowing("PreferDualStack or SingleStack, or a cluster with both families"))
        }
    }
}

fn addresses_fit(asked: &Asked<Vec<IpAddr>>, families: Families) -> Result<(), Mistake> {
    let named: Vec<IpFamily> = asked.value.iter().map(|ip| IpFamily::of(*ip)).collect();
    let wanted: Vec<IpFamily> = families.iter().collect();
    let list = |families: &[IpFamily]| {
        families.iter().map(|family| family.as_str()).collect::<Vec<_>>().join(" and ")
    };
    let fits = named.iter().all(|family| wanted.contains(family))
        && (named.len() == wanted.len() || families.one_is_enough());
    if fits {
        return Ok(());
    }
    let problem = format!("names {}, and the Service is served in {}", list(&named), list(&wanted));
    let allowed = match wanted.as_slice() {
        [family] => format!("one {family} address"),
        _ if families.one_is_enough() => "one address of either family, or one of each".to_owned(),
        _ => "one IPv4 and one IPv6 address".to_owned(),
    };
    Err(asked.mistake(problem).allowing(allowed))
}

fn deprecated(key: &str) -> String {
    key.replacen(DOMAIN, DEPRECATED_DOMAIN, 1)
}

fn asked(field: String, written: &str) -> Asked<String> {
    Asked { field, written: written.to_owned(), value: written.to_owned() }
}

/// The annotation, under its new name or else its deprecated one; none if it is empty.
fn annotation(service: &ServiceView, key: &str, notes: &mut Vec<Note>) -> Option<Asked<String>> {
    let field = |key: &str| format!("metadata.annotations[{key}]");
    if let Some(written) = service.annotations.get(key) {
        return (!written.is_empty()).then(|| asked(field(key), written));
    }
    let old = deprecated(key);
    let written = service.annotations.get(&old).filter(|written| !written.is_empty())?;
    let message = format!("annotation {old} is deprecated; use {key}");
    notes.push(Note::new(NoteKind::Normal, "DeprecatedAnnotation", message));
    Some(asked(field(&old), written))
}

fn keep<T>(result: Result<T, Mistake>, mistakes: &mut Vec<Mistake>) -> Option<T> {
    result.map_err(|mistake| mistakes.push(mistake)).ok()
}

fn addresses(asked: Asked<String>, most: usize) -> Result<Asked<Vec<IpAddr>>, Mistake> {
    let allowed = match most {
        1 => "one IP address, such as 192.168.10.7",
        _ => "one IP address, or one IPv4 and one IPv6 address with a comma between",
    };
    let mut list: Vec<IpAddr> = Vec::new();
    for part in asked.value.split(',').map(str::trim) {
        let Ok(ip) = part.parse::<IpAddr>() else {
            let problem = match part == asked.written {
                true => "is not an IP address".to_owned(),
                false => format!("has {part:?}, which is not an IP address"),
            };
            return Err(asked.mistake(problem).allowing(allowed));
        };
        let ip = ip.to_canonical();
        if let Some(other) = list.iter().find(|other| IpFamily::of(**other) == IpFamily::of(ip)) {
            let problem = format!("has two {} addresses, {other} and {ip}", IpFamily::of(ip));
            return Err(asked.mistake(problem).allowing(allowed));
        }
        list.push(ip);
    }
    if list.len() > most {
        return Err(asked.mistake("has more than one address").allowing(allowed));
    }
    Ok(Asked { field: asked.field, written: asked.written, value: list })
}
