//! The links of a node, and on which of them an address is announced.

use std::net::IpAddr;

use ipnet::IpNet;
use regex::RegexSet;

use crate::ethernet::Mac;

/// A link that speaks Ethernet, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Its number. A link that goes and comes back by the same name has another.
    pub index: u32,
    /// Its hardware address. It can change, as that of a bond does.
    pub mac: Mac,
    /// Whether frames can go out: it is up, and there is a carrier.
    pub running: bool,
    /// Whether it is a port of a bridge or a bond; then that one speaks.
    pub has_master: bool,
    /// The networks of its addresses.
    pub subnets: Vec<IpNet>,
    /// Whether it has a link-local address of IPv6 from which something may be sent: for a second or two after a link came up it
    /// is still being asked whether somebody else has it (RFC 4862 §5.4).
    pub link_local: bool,
}

impl Link {
    /// Whether what a client of this address is answered can leave by it. Where a packet's own source is no address of the
    /// link, as none of a Service's is, Linux asks for the neighbour from the link-local address, and without one it does not
    /// ask (`ndisc_solicit` and `ndisc_send_ns` in net/ipv6/ndisc.c): the packet goes nowhere.
    pub fn can_serve(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() || self.link_local
    }

    /// Whether one of its addresses is in the network of this one.
    pub fn reaches(&self, ip: IpAddr) -> bool {
        self.subnets.iter().any(|subnet| subnet.contains(&ip))
    }
}

/// Links that never announce, by their names.
#[derive(Clone, Debug)]
pub struct Excluded(RegexSet);

impl Excluded {
    /// What container runtimes, network plugins and kube-proxy make on a node; the list that MetalLB's speaker is delivered
    /// with.
    pub const DEFAULT: [&str; 14] = [
        "^docker.*",
        "^cbr.*",
        "^dummy.*",
        "^virbr.*",
        "^lxcbr.*",
        "^veth.*",
        "^lo$",
        "^cali.*",
        "^tunl.*",
        "^flannel.*",
        "^kube-ipvs.*",
        "^cni.*",
        "^nodelocaldns.*",
        "^lxc.*",
    ];

    /// By regular expressions; a name is excluded that one of them matches.
    ///
    /// # Errors
    /// What is wrong with the first that is none.
    pub fn new<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> Result<Self, regex::Error> {
        RegexSet::new(patterns).map(Excluded)
    }

    /// Whether a link of this name never announces.
    pub fn contains(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

/// The links on which an address is announced, out of those that may announce: those that an advertisement names (`None`:
/// it names none, which is all); of these, those in whose network the address is; if there is none, all.
///
/// To answer on a link behind which nobody looks for the address is harmless to most, but leads those astray who hear the
/// question by another way.
pub fn announcing<'a>(links: &'a [Link], ip: IpAddr, named: Option<&[String]>) -> Vec<&'a Link> {
    let allowed = || links.iter().filter(|link| named.is_none_or(|names| names.contains(&link.name)));
    let near: Vec<&Link> = allowed().filter(|link| link.reaches(ip)).collect();
    if near.is_empty() { allowed().collect() } else { near }
}
