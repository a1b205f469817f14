//! The address syntax of a pool: `10.0.0.0/24` or `10.0.0.10-10.0.0.20`, either family.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use cloud_provider::IpFamily;
use ipnet::IpNet;
use thiserror::Error as ThisError;

/// The number an address stands for. Families have number spaces of their own.
pub fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u32::from(ip).into(),
        IpAddr::V6(ip) => ip.into(),
    }
}

/// The address a number stands for; the inverse of [`number`].
pub fn address(family: IpFamily, number: u128) -> IpAddr {
    match family {
        // Numbers of IPv4 addresses come from `number`, so they fit.
        IpFamily::V4 => Ipv4Addr::from(number as u32).into(),
        IpFamily::V6 => Ipv6Addr::from(number).into(),
    }
}

/// Whether some consumer devices drop traffic to this address for its last octet, 0 or 255, whatever the
/// prefix length. Only known of IPv4.
pub fn is_buggy(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if matches!(ip.octets()[3], 0 | 255))
}

/// Addresses of one family from a first to a last, both included; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressRange {
    family: IpFamily,
    first: u128,
    last: u128,
}

impl AddressRange {
    /// The family of every address in it.
    pub fn family(&self) -> IpFamily {
        self.family
    }

    /// The lowest address.
    pub fn first(&self) -> IpAddr {
        address(self.family, self.first)
    }

    /// The highest address.
    pub fn last(&self) -> IpAddr {
        address(self.family, self.last)
    }

    /// Whether the address lies in it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        IpFamily::of(ip) == self.family && (self.first..=self.last).contains(&number(ip))
    }

    /// How many addresses it has; all of IPv6 counts one too few, because the true number does not fit.
    pub fn count(&self) -> u128 {
        (self.last - self.first).saturating_add(1)
    }

    /// How many of its addresses end in 0 or 255; none for IPv6.
    pub(crate) fn count_buggy(&self) -> u128 {
        let ending = |octet: u128| {
            // How many numbers up to and including `n` end in this octet.
            let up_to = |n: u128| (n + 256 - octet) / 256;
            up_to(self.last) - if self.first == 0 { 0 } else { up_to(self.first - 1) }
        };
        match self.family {
            IpFamily::V4 => ending(0) + ending(255),
            IpFamily::V6 => 0,
        }
    }

    /// The numbers of its first and last address; see [`number`].
    pub fn bounds(&self) -> (u128, u128) {
        (self.first, self.last)
    }

    /// The length of the widest prefix that lies in it.
    pub fn widest_prefix(&self) -> u8 {
        let bits = match self.family {
            IpFamily::V4 => 32,
            IpFamily::V6 => 128,
        };
        let lies_inside = |length: &u8| {
            // The last address of the first prefix of this length that does not begin before the range.
            let host = u128::MAX.checked_shr(128 - u32::from(bits - length)).unwrap_or(0);
            let first = self.first.checked_add(host).map(|first| first & !host);
            first.and_then(|first| first.checked_add(host)).is_some_and(|last| last <= self.last)
        };
        (0..bits).find(lies_inside).unwrap_or(bits)
    }

    /// Whether some address is in both.
    pub fn overlaps(&self, other: &AddressRange) -> bool {
        self.family == other.family && self.first <= other.last && other.first <= self.last
    }

    /// What is left of it without the addresses of another: nothing, one range or two.
    pub(crate) fn without(&self, other: &AddressRange) -> Vec<AddressRange> {
        if !self.overlaps(other) {
            return vec![*self];
        }
        let before = (self.first < other.first).then(|| AddressRange { last: other.first - 1, ..*self });
        let behind = (other.last < self.last).then(|| AddressRange { first: other.last + 1, ..*self });
        before.into_iter().chain(behind).collect()
    }
}

/// One address.
impl From<IpAddr> for AddressRange {
    fn from(ip: IpAddr) -> Self {
        let ip = ip.to_canonical();
        AddressRange { family: IpFamily::of(ip), first: number(ip), last: number(ip) }
    }
}

/// Why an entry of `spec.addresses` is not a range.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum RangeError {
    /// Nothing is written.
    #[error("is empty")]
    Empty,
    /// An address without a prefix length.
    #[error("is a single address; write {ip}/{prefix} for a range of one")]
    Bare {
        /// The address.
        ip: IpAddr,
        /// The prefix length that makes it a range of one.
        prefix: u8,
    },
    /// A part is no IP address.
    #[error("has {0:?}, which is not an IP address")]
    NotAnAddress(String),
    /// The part after the slash is no prefix length of that family.
    #[error("has the prefix length {length:?}; {family} allows 0 to {most}")]
    PrefixLength {
        /// What is written.
        length: String,
        /// The family of the address before the slash.
        family: IpFamily,
        /// The longest prefix of that family.
        most: u8,
    },
    /// The two ends are of different families.
    #[error("goes from {0} to {1}, which are of different families")]
    MixedFamilies(IpAddr, IpAddr),
    /// The start lies behind the end.
    #[error("starts at {0}, behind its end {1}; write {1}-{0}")]
    Inverted(IpAddr, IpAddr),
}

/// Reads a CIDR prefix or `first-last`, as MetalLB's parser does (`tests/ranges.tsv` compares them): blanks are allowed
/// around the ends of a range and nowhere in a prefix; a prefix length is digits and nothing else; host bits of a prefix
/// are dropped; an IPv4 address mapped into IPv6 (`::ffff:1.2.3.4`) counts as IPv4.
impl FromStr for AddressRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        if text.trim().is_empty() {
            return Err(RangeError::Empty);
        }
        if let Some((first, last)) = text.split_once('-') {
            return between(parse_ip(first)?, parse_ip(last)?);
        }
        match text.split_once('/') {
            Some((ip, length)) => prefix(ip, length),
            None => {
                let ip = parse_ip(text)?;
                Err(RangeError::Bare { ip, prefix: longest_prefix(ip) })
            }
        }
    }
}

fn parse_ip(text: &str) -> Result<IpAddr, RangeError> {
    let text = text.trim();
    let ip: IpAddr = text.parse().map_err(|_| RangeError::NotAnAddress(text.to_owned()))?;
    Ok(ip.to_canonical())
}

fn longest_prefix(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

fn between(first: IpAddr, last: IpAddr) -> Result<AddressRange, RangeError> {
    if IpFamily::of(first) != IpFamily::of(last) {
        return Err(RangeError::MixedFamilies(first, last));
    }
    if first > last {
        return Err(RangeError::Inverted(first, last));
    }
    Ok(AddressRange { family: IpFamily::of(first), first: number(first), last: number(last) })
}

fn prefix(ip_text: &str, length_text: &str) -> Result<AddressRange, RangeError> {
    let ip: IpAddr = ip_text.parse().map_err(|_| RangeError::NotAnAddress(ip_text.to_owned()))?;
    let wrong = || RangeError::PrefixLength {
        length: length_text.to_owned(),
        family: IpFamily::of(ip),
        most: longest_prefix(ip),
    };
    if !length_text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let length: u8 = length_text.parse().map_err(|_| wrong())?;
    let net = match (ip, ip.to_canonical()) {
        // A mapped address under a prefix that covers more than the mapped block is IPv6 after all.
        (IpAddr::V6(_), IpAddr::V4(v4)) if (96..=128).contains(&length) => IpNet::new(v4.into(), length - 96),
        _ => IpNet::new(ip, length),
    }
    .map_err(|_| wrong())?;
    between(net.network(), net.broadcast())
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first(), self.last())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, String> {
        text.parse::<AddressRange>().map(|range| range.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn prefixes_and_ranges_of_both_families_are_read() {
        let table = [
            ("1.2.3.0/24", "1.2.3.0-1.2.3.255"),
            ("1.2.3.4/24", "1.2.3.0-1.2.3.255"),
            ("1.2.3.4/32", "1.2.3.4-1.2.3.4"),
            (" 1.2.3.4 - 1.2.3.9 ", "1.2.3.4-1.2.3.9"),
            ("1.2.3.4-1.2.3.4", "1.2.3.4-1.2.3.4"),
            ("fc00:f853:0ccd:e799::/124", "fc00:f853:ccd:e799::-fc00:f853:ccd:e799::f"),
            ("fc00::5-fc00::7", "fc00::5-fc00::7"),
            ("::ffff:1.2.3.0/120", "1.2.3.0-1.2.3.255"),
            ("::ffff:1.2.3.1-1.2.3.2", "1.2.3.1-1.2.3.2"),
            ("0.0.0.0/0", "0.0.0.0-255.255.255.255"),
            ("::/0", "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ];
        for (text, range) in table {
            assert_eq!(parse(text).as_deref(), Ok(range), "{text}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused_with_what_would_be_right() {
        let table = [
            ("", "is empty"),
            ("   ", "is empty"),
            ("1.2.3.4", "is a single address; write 1.2.3.4/32 for a range of one"),
            ("fc00::4", "is a single address; write fc00::4/128 for a range of one"),
            ("::ffff:1.2.3.4", "is a single address; write 1.2.3.4/32 for a range of one"),
            ("1.2.3.240-250", "has \"250\", which is not an IP address"),
            ("1.2.3.9-1.2.3.4", "starts at 1.2.3.9, behind its end 1.2.3.4; write 1.2.3.4-1.2.3.9"),
            ("1.2.3.4-fc00::1", "goes from 1.2.3.4 to fc00::1, which are of different families"),
            ("1.2.3.0/33", "has the prefix length \"33\"; IPv4 allows 0 to 32"),
            ("fc00::/129", "has the prefix length \"129\"; IPv6 allows 0 to 128"),
            ("1.2.3.0/", "has the prefix length \"\"; IPv4 allows 0 to 32"),
            (" 1.2.3.0/24", "has \" 1.2.3.0\", which is not an IP address"),
            ("1.2.3.0/24 ", "has the prefix length \"24 \"; IPv4 allows 0 to 32"),
            ("1.2.3.0/+8", "has the prefix length \"+8\"; IPv4 allows 0 to 32"),
            ("1.2.3/24", "has \"1.2.3\", which is not an IP address"),
            ("lan", "has \"lan\", which is not an IP address"),
            ("1.2.3.4-", "has \"\", which is not an IP address"),
        ];
        for (text, problem) in table {
            assert_eq!(parse(text), Err(problem.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_range_without_another_is_what_is_left_on_either_side() {
        let table = [
            ("1.2.3.0/29", "1.2.3.3-1.2.3.4", "1.2.3.0-1.2.3.2 1.2.3.5-1.2.3.7"),
            ("1.2.3.0/29", "1.2.2.0-1.2.3.4", "1.2.3.5-1.2.3.7"),
            ("1.2.3.0/29", "1.2.3.7/32", "1.2.3.0-1.2.3.6"),
            ("1.2.3.0/29", "1.2.0.0/16", ""),
            ("1.2.3.0/29", "1.2.3.8/32", "1.2.3.0-1.2.3.7"),
            ("0.0.0.0/31", "::/0", "0.0.0.0-0.0.0.1"),
            ("::/0", "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""),
        ];
        for (range, other, left) in table {
            let (range, other): (AddressRange, AddressRange) =
                (range.parse().unwrap(), other.parse().unwrap());
            let found: Vec<String> = range.without(&other).iter().map(AddressRange::to_string).collect();
            assert_eq!(found.join(" "), left, "{range} without {other}");
        }
    }

    #[test]
    fn counts_saturate_and_know_the_buggy_addresses() {
        let count = |text: &str| {
            let range: AddressRange = text.parse().unwrap();
            (range.count(), range.count_buggy())
        };
        assert_eq!(count("1.2.3.0/24"), (256, 2));
        assert_eq!(count("1.2.3.0/32"), (1, 1));
        assert_eq!(count("1.2.3.1-1.2.3.254"), (254, 0));
        assert_eq!(count("1.2.3.255-1.2.4.0"), (2, 2));
        assert_eq!(count("0.0.0.0/0"), (1 << 32, 2 << 24));
        assert_eq!(count("fc00::/64"), (1 << 64, 0));
        assert_eq!(count("::/0"), (u128::MAX, 0));
    }

    #[test]
    fn the_widest_prefix_of_a_range_begins_and_ends_inside_it() {
        let table = [
            ("1.2.3.0/24", 24),
            ("1.2.3.4/32", 32),
            ("0.0.0.0/0", 0),
            ("1.2.3.1-1.2.3.9", 30),
            ("1.2.3.1-1.2.3.2", 32),
            ("1.2.3.0-1.2.4.255", 24),
            ("1.2.3.255-1.2.4.0", 32),
            ("255.255.255.254-255.255.255.255", 31),
            ("::/0", 0),
            ("::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1),
            ("2001:db8::/120", 120),
            ("2001:db8::1-2001:db8::2", 128),
        ];
        for (text, length) in table {
            assert_eq!(text.parse::<AddressRange>().unwrap().widest_prefix(), length, "{text}");
        }
    }
}
