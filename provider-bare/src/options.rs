//! What a Service asks for by annotation or field, read in one place and typed; every mistake is reported together.

use std::net::IpAddr;

use cloud_provider::{IpFamily, Mistake, Mistakes, Note, NoteKind, ServiceView};

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
