//! What a pool keeps out of general supply, by annotations on the pool: addresses that nobody gets, and addresses that
//! only certain Services get.
//!
//! The resource is MetalLB's and stays interchangeable, so this is said beside its spec, not in it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use cloud_provider::{IpFamily, Mistake, Ordered, ServiceKey};

use crate::range::{AddressRange, RangeError};

/// On a pool: addresses, prefixes or ranges of it that are given to nobody, separated by commas.
pub const EXCLUDE: &str = "bare.cloud-lb-controller/exclude";
/// On a pool: `ADDRESS=NAMESPACE/NAME`, separated by commas: addresses that only the Service of that name gets, now and
/// whenever it is made again. One address may be named for several Services; they share it, if they may.
pub const RESERVE: &str = "bare.cloud-lb-controller/reserve";

const EXCLUDE_SYNTAX: &str = "addresses, prefixes or ranges of the pool, separated by commas";
const RESERVE_SYNTAX: &str = "192.168.10.7=NAMESPACE/NAME with addresses of the pool, separated by commas";

/// The annotations of a pool that have a meaning here.
pub(crate) fn read(annotations: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let ours = annotations.iter().filter(|(key, _)| [EXCLUDE, RESERVE].contains(&key.as_str()));
    ours.map(|(key, value)| (key.clone(), value.clone())).ordered()
}

/// What a pool keeps back: excluded addresses, and those reserved for certain Services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reservations {
    excluded: Vec<AddressRange>,
    reserved: BTreeMap<IpAddr, BTreeSet<ServiceKey>>,
}

impl Reservations {
    /// Reads a pool's annotations; `ranges` are the pool's.
    pub(crate) fn parse(
        annotations: &BTreeMap<String, String>,
        ranges: &[AddressRange],
        mistakes: &mut Vec<Mistake>,
    ) -> Self {
        let mut reservations = Reservations::default();
        for (written, part) in parts(annotations, EXCLUDE) {
            match exclusion(part, ranges) {
                Ok(range) => reservations.excluded.push(range),
                Err(problem) => mistakes.push(mistake(EXCLUDE, written, problem).allowing(EXCLUDE_SYNTAX)),
            }
        }
        if !ranges.is_empty() && ranges.iter().all(|range| reservations.without_excluded(*range).is_empty()) {
            let written = annotations.get(EXCLUDE).map(String::as_str).unwrap_or_default();
            mistakes
                .push(mistake(EXCLUDE, written, "excludes the whole pool".into()).allowing(EXCLUDE_SYNTAX));
        }
        for (written, part) in parts(annotations, RESERVE) {
            match reservations.reservation(part, ranges) {
                Ok((ip, service)) => {
                    reservations.reserved.entry(ip).or_default().insert(service);
                }
                Err(problem) => mistakes.push(mistake(RESERVE, written, problem).allowing(RESERVE_SYNTAX)),
            }
        }
        reservations
    }

    fn reservation(&self, part: &str, ranges: &[AddressRange]) -> Result<(IpAddr, ServiceKey), String> {
        let not_one = || format!("has {part:?}, which is not ADDRESS=NAMESPACE/NAME");
        let (ip, service) = part.split_once('=').ok_or_else(not_one)?;
        let (namespace, name) = service.trim().split_once('/').ok_or_else(not_one)?;
        if namespace.is_empty() || name.is_empty() || name.contains('/') {
            return Err(not_one());
        }
        let ip: IpAddr = ip.trim().parse().map_err(|_| not_one())?;
        let ip = ip.to_canonical();
        if !ranges.iter().any(|range| range.contains(ip)) {
            return Err(format!("has {ip}, which the pool does not contain"));
        }
        if self.excludes(ip) {
            return Err(format!("has {ip}, which the pool excludes"));
        }
        Ok((ip, ServiceKey::new(namespace, name)))
    }

    /// Whether nobody gets this address.
    pub fn excludes(&self, ip: IpAddr) -> bool {
        self.excluded.iter().any(|range| range.contains(ip))
    }

    /// For whom the address is kept; none: for nobody in particular.
    pub fn reserved_for(&self, ip: IpAddr) -> Option<&BTreeSet<ServiceKey>> {
        self.reserved.get(&ip)
    }

    /// Every reservation, by address.
    pub fn iter(&self) -> impl Iterator<Item = (IpAddr, &ServiceKey)> {
        self.reserved.iter().flat_map(|(ip, services)| services.iter().map(move |service| (*ip, service)))
    }

    /// What is left of a range without what is excluded.
    pub(crate) fn without_excluded(&self, range: AddressRange) -> Vec<AddressRange> {
        self.excluded.iter().fold(vec![range], |left, excluded| {
            left.iter().flat_map(|range| range.without(excluded)).collect()
        })
    }

    /// What is left of a range for those who ask for no address in particular.
    pub fn for_everybody(&self, range: AddressRange) -> Vec<AddressRange> {
        let reserved = self.reserved.keys().filter(|ip| range.contains(**ip));
        reserved.fold(self.without_excluded(range), |left, ip| {
            left.iter().flat_map(|range| range.without(&AddressRange::from(*ip))).collect()
        })
    }

    /// How many addresses of this family are kept for others.
    pub(crate) fn count_reserved_for_others(&self, family: IpFamily, service: &ServiceKey) -> u128 {
        let of_family = self.reserved.iter().filter(|(ip, _)| IpFamily::of(**ip) == family);
        of_family.filter(|(_, services)| !services.contains(service)).count() as u128
    }
}

/// The annotation as written, with each of its entries; a comma too many does no harm.
fn parts<'a>(
    annotations: &'a BTreeMap<String, String>,
    key: &str,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let written = annotations.get(key).map(String::as_str).unwrap_or_default();
    written.split(',').map(str::trim).filter(|part| !part.is_empty()).map(move |part| (written, part))
}

fn mistake(key: &str, written: &str, problem: String) -> Mistake {
    Mistake::new(format!("metadata.annotations[{key}]"), written, problem)
}

fn exclusion(part: &str, ranges: &[AddressRange]) -> Result<AddressRange, String> {
    let range = match part.parse() {
        Ok(range) => range,
        Err(RangeError::Bare { ip, .. }) => AddressRange::from(ip),
        Err(RangeError::NotAnAddress(text)) => {
            return Err(format!("has {text:?}, which is not an IP address"));
        }
        Err(error) => return Err(format!("has {part:?}, which {error}")),
    };
    if ranges.iter().any(|of_pool| of_pool.overlaps(&range)) {
        Ok(range)
    } else {
        Err(format!("has {part:?}, of which the pool contains nothing"))
    }
}
