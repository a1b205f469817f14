//! Who may connect: `spec.loadBalancerSourceRanges`, with Kubernetes' annotation as fallback.

use std::collections::BTreeSet;

use ipnet::{IpNet, Ipv4Net};

use crate::error::Mistake;

/// The annotation that counts when `spec.loadBalancerSourceRanges` is empty
/// ([Kubernetes' well-known annotations](https://kubernetes.io/docs/reference/labels-annotations-taints/)).
pub const SOURCE_RANGES_ANNOTATION: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

/// The networks that may reach a load balancer: normalised to their network address, without doubles.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SourceRanges {
    /// The user said nothing: everybody.
    Unset,
    /// The user named these; never empty.
    Only(BTreeSet<IpNet>),
}

impl SourceRanges {
    /// Reads the field and, if it is empty, the annotation.
    ///
    /// Host bits are dropped (`10.0.0.1/8` is `10.0.0.0/8`) as Kubernetes' helper does for values stored by
    /// older servers. Every entry that does not parse is reported.
    ///
    /// # Errors
    /// All mistakes, each naming the entry. The caller must not open anything on an error.
    pub fn parse(field: &[String], annotation: Option<&str>) -> Result<Self, Vec<Mistake>> {
        let (name, entries): (String, Vec<&str>) = if !field.is_empty() {
            ("spec.loadBalancerSourceRanges".into(), field.iter().map(String::as_str).collect())
        } else {
            match annotation.map(str::trim) {
                None | Some("") => return Ok(SourceRanges::Unset),
                Some(text) => {
                    (format!("metadata.annotations[{SOURCE_RANGES_ANNOTATION}]"), text.split(',').collect())
                }
            }
        };
        let mut ranges = BTreeSet::new();
        let mut mistakes = Vec::new();
        for (i, entry) in entries.iter().enumerate() {
            match parse_range(entry.trim()) {
                Some(range) => {
                    ranges.insert(range);
                }
                None => mistakes.push(
                    Mistake::new(format!("{name}[{i}]"), *entry, "is not a network in CIDR notation")
                        .allowing("entries such as 10.0.0.0/8 or fd00::/8; a single address is 192.0.2.7/32")
                        .meanwhile("nothing is opened: who may connect stays as it is"),
                ),
            }
        }
        if mistakes.is_empty() { Ok(SourceRanges::Only(ranges)) } else { Err(mistakes) }
    }

    /// Whether everybody may connect over IPv4: nothing was said, or `0.0.0.0/0` was.
    pub fn allows_all_v4(&self) -> bool {
        match self {
            SourceRanges::Unset => true,
            SourceRanges::Only(ranges) => ranges.contains(&IpNet::V4(Ipv4Net::default())),
        }
    }
}

/// A CIDR as Kubernetes reads it, and nothing more: leading zeros in IPv4 octets are tolerated as old versions did, and a
/// prefix length is digits alone. What is read more widely here than there is open to more than was meant.
fn parse_range(text: &str) -> Option<IpNet> {
    let (address, prefix) = text.split_once('/')?;
    if !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let plain: String;
    let address = if address.contains('.') && !address.contains(':') {
        plain = address
            .split('.')
            .map(|octet| match octet.trim_start_matches('0') {
                "" if !octet.is_empty() => "0",
                rest => rest,
            })
            .collect::<Vec<_>>()
            .join(".");
        &plain
    } else {
        address
    };
    IpNet::new(address.parse().ok()?, prefix.parse().ok()?).ok().map(|net| net.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(field: &[&str], annotation: Option<&str>) -> Result<Vec<String>, usize> {
        let field: Vec<String> = field.iter().map(|s| (*s).to_owned()).collect();
        match SourceRanges::parse(&field, annotation) {
            Ok(SourceRanges::Unset) => Ok(vec![]),
            Ok(SourceRanges::Only(ranges)) => Ok(ranges.iter().map(ToString::to_string).collect()),
            Err(mistakes) => Err(mistakes.len()),
        }
    }

    #[test]
    fn the_field_wins_over_the_annotation() {
        assert_eq!(parse(&["10.0.0.0/8"], Some("11.0.0.0/8")).unwrap(), ["10.0.0.0/8"]);
        assert_eq!(parse(&[], Some(" 11.0.0.0/8 , fd00::/8 ")).unwrap(), ["11.0.0.0/8", "fd00::/8"]);
        assert_eq!(parse(&[], Some("  ")).unwrap(), Vec::<String>::new());
        assert_eq!(parse(&[], None).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn ranges_are_normalised_and_kept_once() {
        assert_eq!(parse(&["192.168.0.1/32", "192.168.0.1/32"], None).unwrap(), ["192.168.0.1/32"]);
        assert_eq!(parse(&["192.168.0.0/0"], None).unwrap(), ["0.0.0.0/0"]);
        assert_eq!(parse(&["010.0.0.1/8"], None).unwrap(), ["10.0.0.0/8"]);
    }

    #[test]
    fn a_wrong_entry_is_an_error_and_every_wrong_entry_is_named() {
        let signed = ["10.0.0.0/+0", "10.0.0.0/-0", "10.0.0.0/ 0", "10.0.0.0 /8", "+10.0.0.0/8", "fd00::/+8"];
        let other =
            ["10.0.0.1", "1.2.3.4/33", "1.2.3.4/", "*", "", "10..0.1/8", "10.0.0.0/0x8", "fe80::%1/64"];
        for wrong in signed.into_iter().chain(other) {
            assert_eq!(parse(&[wrong], None), Err(1), "{wrong:?}");
        }
        assert_eq!(parse(&[], Some("10.0.0.0/8,")), Err(1));
        assert_eq!(parse(&["a", "10.0.0.0/8", "b"], None), Err(2));
    }

    #[test]
    fn all_means_the_v4_default_route() {
        let all = |field: &[&str]| {
            let field: Vec<String> = field.iter().map(|s| (*s).to_owned()).collect();
            SourceRanges::parse(&field, None).unwrap().allows_all_v4()
        };
        assert!(all(&[]));
        assert!(all(&["0.0.0.0/0", "10.0.0.0/8"]));
        assert!(!all(&["::/0"]));
    }
}
