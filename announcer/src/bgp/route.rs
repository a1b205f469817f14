//! Routes as they are wanted: prefixes, and what is said of each.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

/// How many bytes the communities of one route may take in a message: so many that a prefix and everything else that is said
/// of it fit beside them. It is more than 170 large ones.
const MAX_COMMUNITY_BYTES: usize = 2_048;

/// A community of 12 bytes (RFC 8092).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LargeCommunity {
    /// Whose it is: an autonomous system.
    pub global: u32,
    /// What its owner makes of it, first part.
    pub first: u32,
    /// Second part.
    pub second: u32,
}

/// What is said of a prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathAttributes {
    /// How much a router of our own autonomous system prefers this way over others; none is 100, which is what routers
    /// assume. To other autonomous systems it is not told (RFC 4271 §5.1.5).
    pub local_preference: Option<u32>,
    /// Communities of four bytes (RFC 1997), the autonomous system in the upper two.
    pub communities: BTreeSet<u32>,
    /// Communities of 12 bytes.
    pub large_communities: BTreeSet<LargeCommunity>,
}

impl PathAttributes {
    fn community_bytes(&self) -> usize {
        self.communities.len() * 4 + self.large_communities.len() * 12
    }
}

/// Why a route cannot be wanted beside the others. They stay as they were.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwanted {
    /// No prefix of the address' family is so long.
    #[error("a prefix of {ip} cannot be {length} bits long: at most {most} are")]
    Length {
        /// The address.
        ip: IpAddr,
        /// The length that was asked for.
        length: u8,
        /// The longest there is.
        most: u8,
    },
    /// One prefix has one local preference.
    #[error(
        "{prefix} is wanted with local preference {first} and with {second}: one of them is allowed, {first} stays"
    )]
    LocalPreference {
        /// The prefix.
        prefix: IpNet,
        /// What was wanted first; 100 where nothing was asked for.
        first: u32,
        /// What is wanted besides.
        second: u32,
    },
    /// They would not fit a message.
    #[error(
        "{prefix} is wanted with communities of {bytes} bytes together: at most {MAX_COMMUNITY_BYTES} fit"
    )]
    Communities {
        /// The prefix.
        prefix: IpNet,
        /// What they come to.
        bytes: usize,
    },
}

/// What routers assume where nothing is said (RFC 4271 §9.1.1 leaves it to them; all known ones take 100).
pub(crate) const LOCAL_PREFERENCE: u32 = 100;

/// The routes that a peer is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedRoutes {
    routes: BTreeMap<IpNet, PathAttributes>,
}

impl WantedRoutes {
    /// An address is to be reached by the prefix of this length that contains it. A prefix that is wanted already, through
    /// another address or another advertisement, has the communities of both.
    ///
    /// # Errors
    /// When that cannot be told, or two local preferences are wanted for one prefix.
    pub fn add(&mut self, ip: IpAddr, length: u8, attributes: PathAttributes) -> Result<(), Unwanted> {
        let most = if ip.is_ipv4() { 32 } else { 128 };
        let prefix = IpNet::new(ip, length).map_err(|_| Unwanted::Length { ip, length, most })?.trunc();
        let mut united = attributes;
        if let Some(known) = self.routes.get(&prefix) {
            let preference = |it: &PathAttributes| it.local_preference.unwrap_or(LOCAL_PREFERENCE);
            let (first, second) = (preference(known), preference(&united));
            if first != second {
                return Err(Unwanted::LocalPreference { prefix, first, second });
            }
            united.communities.extend(&known.communities);
            united.large_communities.extend(&known.large_communities);
        }
        let bytes = united.community_bytes();
        if bytes > MAX_COMMUNITY_BYTES {
            return Err(Unwanted::Communities { prefix, bytes });
        }
        self.routes.insert(prefix, united);
        Ok(())
    }

    /// The prefixes, and what is said of each.
    pub fn routes(&self) -> &BTreeMap<IpNet, PathAttributes> {
        &self.routes
    }
}
