//! Which kind of route.

use std::fmt;
use std::net::IpAddr;

/// Subsequent address family: unicast (RFC 4760 §6).
pub(crate) const UNICAST_SAFI: u8 = 1;

/// An address family, unicast: the kinds of routes that are told here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Family; 2] = [Family::V4, Family::V6];

    /// The family of an address.
    pub fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// Its number in the list of address families (IANA, RFC 4760 §3).
    pub(crate) fn number(self) -> u16 {
        match self {
            Family::V4 => 1,
            Family::V6 => 2,
        }
    }

    /// The family of these numbers, if it is told here.
    pub(crate) fn read(number: u16, subsequent: u8) -> Option<Self> {
        Family::ALL.into_iter().find(|family| subsequent == UNICAST_SAFI && family.number() == number)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        })
    }
}
