//! Who has which address.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use cloud_provider::{IpFamily, Protocol, ServiceId, ServiceKey};
use metallb::per_family::PerFamily;
use metallb::pools::Pools;
use metallb::range::{address, number};
use smallvec::SmallVec;

use crate::counters::Counters;
use crate::desired::{Sharing, SharingKey};
use crate::free_addresses::FreeAddresses;
pub use crate::free_addresses::Reuse;
use crate::maps::AddressMap;

/// A Service as the one who has an address.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) id: ServiceId,
    pub(crate) sharing: Sharing,
}

/// Why a Service cannot have an address: who is in the way, and of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocker {
    /// It belongs to another Service, and one of the two does not share.
    InUse {
        /// The other.
        by: ServiceKey,
    },
    /// It belongs to another Service with another sharing key. Which, is told to nobody: who knows it may join.
    OtherKey {
        /// The other.
        by: ServiceKey,
    },
    /// The keys are equal, the namespaces are not.
    OtherNamespace {
        /// The other.
        by: ServiceKey,
    },
    /// The keys are equal, but nodes that answer for one do not answer for the other.
    OtherBackend {
        /// The other.
        by: ServiceKey,
    },
    /// Both want the same port.
    Port {
        /// The other.
        by: ServiceKey,
        /// The protocol of the port.
        protocol: Protocol,
        /// Its number.
        port: u16,
    },
    /// Nobody owns it, and a Service's status still shows it.
    StillShown {
        /// The Service.
        by: ServiceKey,
    },
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Blocker::InUse { by } => write!(f, "is in use by {by}, and not shared by both"),
            Blocker::OtherKey { by } => write!(f, "is in use by {by} with another sharing key"),
            Blocker::OtherNamespace { by } => {
                write!(f, "is in use by {by}, and an address is shared within one namespace only")
            }
            Blocker::OtherBackend { by } => write!(
                f,
                "is in use by {by}, and with externalTrafficPolicy Local an address is shared only by Services with \
                 the same policy and the same selector"
            ),
            Blocker::Port { by, protocol, port } => {
                write!(f, "is shared by {by}, which has port {port}/{protocol} already")
            }
            Blocker::StillShown { by } => write!(f, "is still shown in the status of {by}"),
        }
    }
}

/// What is known of an address that somebody has, or shows.
#[derive(Clone, Debug, Default)]
struct AssignedAddress {
    /// Those it belongs to. Several only if they share.
    owners: SmallVec<[Arc<Holder>; 1]>,
    /// Those whose status may show it though it is not, or no longer, theirs: as long as there
    /// is one, it is given to nobody new.
    shown_by: Vec<Arc<Holder>>,
}

/// The free addresses of one pool, and how many are not.
#[derive(Clone, Debug)]
struct Space {
    free: PerFamily<FreeAddresses>,
    counters: Counters,
}

/// Addresses that a Service gets rather than others, where it may have them.
#[derive(Clone, Copy)]
pub(crate) struct Preferred<'a> {
    /// Before all others.
    pub(crate) to_all: [&'a [IpAddr]; 2],
    /// Before other free ones, but not before one that it may join.
    pub(crate) to_free: &'a [IpAddr],
}

/// Which addresses are taken, by whom, and what is left of each pool. One map is the record; the free intervals,
/// the counters and the index of sharing keys follow from it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Assignments {
    reuse: Reuse,
    taken: PerFamily<AddressMap<AssignedAddress>>,
    spaces: Vec<Space>,
    by_key: HashMap<Arc<SharingKey>, BTreeSet<IpAddr>>,
    /// Addresses that may now be had by somebody who could not have them before.
    changed: BTreeSet<IpAddr>,
}

impl Assignments {
    /// No pools, and nothing taken.
    pub(crate) fn new(reuse: Reuse) -> Self {
        Assignments { reuse, ..Assignments::default() }
    }

    /// As new: nothing is taken, and there are no pools.
    pub(crate) fn clear(&mut self) {
        *self = Assignments::new(self.reuse);
    }

    /// Fits the record to other pools. Nothing is given up: an address that no pool contains stays with whom it
    /// belongs to.
    pub(crate) fn fit(&mut self, pools: &Pools) {
        self.spaces = pools
            .iter()
            .map(|pool| {
                let free = |family| FreeAddresses::new(family, pool.avoid_buggy, self.reuse);
                let mut space = Space { free: PerFamily::each(free), counters: Counters::of_capacity(pool) };
                for (entry, range) in pool.ranges.iter().enumerate() {
                    for range in pool.reservations.for_everybody(*range) {
                        space.free[range.family()].add(entry, &range);
                    }
                }
                space
            })
            .collect();
        for (family, taken) in self.taken.iter() {
            for number in taken.keys() {
                note_taken(&mut self.spaces, pools, address(family, *number));
            }
        }
    }

    fn taken(&self, ip: IpAddr) -> Option<&AssignedAddress> {
        self.taken[IpFamily::of(ip)].get(&number(ip))
    }

    /// Makes the address the holder's. Only after [`blocker`](Assignments::blocker) found nobody in the way.
    pub(crate) fn own(&mut self, pools: &Pools, ip: IpAddr, holder: &Arc<Holder>) {
        self.entry(pools, ip).owners.push(holder.clone());
        if let Some(key) = &holder.sharing.key {
            self.by_key.entry(key.clone()).or_default().insert(ip);
            self.changed.insert(ip);
        }
    }

    /// Notes that the holder's status may show the address though it is not the holder's.
    pub(crate) fn show(&mut self, pools: &Pools, ip: IpAddr, holder: &Arc<Holder>) {
        self.entry(pools, ip).shown_by.push(holder.clone());
    }

    fn entry(&mut self, pools: &Pools, ip: IpAddr) -> &mut AssignedAddress {
        match self.taken[IpFamily::of(ip)].entry(number(ip)) {
            Entry::Occupied(taken) => taken.into_mut(),
            Entry::Vacant(free) => {
                note_taken(&mut self.spaces, pools, ip);
                free.insert(AssignedAddress::default())
            }
        }
    }

    /// Ends whatever the Service has to do with the address.
    pub(crate) fn leave(&mut self, pools: &Pools, ip: IpAddr, uid: &str) {
        let Some(taken) = self.taken[IpFamily::of(ip)].get_mut(&number(ip)) else { return };
        let key = taken.owners.iter().find(|owner| *owner.id.uid == *uid).and_then(|o| o.sharing.key.clone());
        taken.owners.retain(|owner| *owner.id.uid != *uid);
        taken.shown_by.retain(|shown| *shown.id.uid != *uid);
        self.changed.insert(ip);
        let (unowned, gone) = (taken.owners.is_empty(), taken.owners.is_empty() && taken.shown_by.is_empty());
        if let Some(key) = key
            && unowned
            && let Some(addresses) = self.by_key.get_mut(&key)
        {
            addresses.remove(&ip);
            if addresses.is_empty() {
                self.by_key.remove(&key);
            }
        }
        if gone {
            self.taken[IpFamily::of(ip)].remove(&number(ip));
            if let Some(site) = pools.site(ip) {
                let (space, pool) = (&mut self.spaces[site.pool], pools.at(site.pool));
                if pool.hands_out_to_all(ip) {
                    space.free[IpFamily::of(ip)].give_back(site.entry, number(ip));
                }
                space.counters.gave_back(ip, pool.hands_out(ip));
            }
        }
    }

    /// Who keeps a Service with this sharing from having the address; none if it may have it. What the Service
    /// itself has to do with the address is not in its way.
    pub(crate) fn blocker(&self, ip: IpAddr, uid: &str, sharing: &Sharing) -> Option<Blocker> {
        let taken = self.taken(ip)?;
        if taken.owners.is_empty() {
            let shown = taken.shown_by.iter().find(|shown| *shown.id.uid != *uid)?;
            return Some(Blocker::StillShown { by: shown.id.key.clone() });
        }
        self.owner_in_the_way(ip, uid, sharing)
    }

    /// As [`blocker`](Assignments::blocker), for an address that the Service's own status shows: there only owners
    /// are in the way.
    pub(crate) fn owner_in_the_way(&self, ip: IpAddr, uid: &str, sharing: &Sharing) -> Option<Blocker> {
        let mut others = self.taken(ip)?.owners.iter().filter(|owner| *owner.id.uid != *uid);
        others.find_map(|other| between(other, sharing))
    }

    /// The address of this pool and family that comes next for a Service: a preferred one, one it may join, or the
    /// first free one.
    pub(crate) fn find(
        &self,
        pools: &Pools,
        pool: usize,
        family: IpFamily,
        id: &ServiceId,
        sharing: &Sharing,
        preferred: Preferred<'_>,
    ) -> Option<IpAddr> {
        let fits = |ip: &IpAddr| {
            IpFamily::of(*ip) == family
                && pools.site(*ip).is_some_and(|site| site.pool == pool)
                && pools.at(pool).hands_out_to(*ip, &id.key)
                && self.blocker(*ip, &id.uid, sharing).is_none()
        };
        if let Some(ip) = preferred.to_all.into_iter().flatten().find(|ip| fits(ip)) {
            return Some(*ip);
        }
        let joined = sharing.key.as_ref().and_then(|key| self.by_key.get(key));
        let joined = joined.into_iter().flatten().filter(|ip| fits(ip));
        let joined = joined.min_by_key(|ip| (pools.site(**ip).map(|site| site.entry), **ip));
        if let Some(ip) = joined {
            return Some(*ip);
        }
        let had = preferred.to_free.iter().find(|ip| fits(ip)).copied();
        had.or_else(|| self.first_free(pool, family))
    }

    /// Whether the pool has an address of this family that nobody has.
    pub(crate) fn has_free(&self, pool: usize, family: IpFamily) -> bool {
        self.first_free(pool, family).is_some()
    }

    /// The first address of the pool and family that nobody has.
    pub(crate) fn first_free(&self, pool: usize, family: IpFamily) -> Option<IpAddr> {
        self.spaces[pool].free[family].first().map(|number| address(family, number))
    }

    /// Addresses that became easier to have since the last call.
    pub(crate) fn next_changed(&mut self) -> Option<IpAddr> {
        self.changed.pop_first()
    }

    /// Nobody waits for any of these.
    pub(crate) fn forget_changed(&mut self) {
        self.changed.clear();
    }

    /// Those to whom the address belongs.
    pub(crate) fn owners(&self, ip: IpAddr) -> &[Arc<Holder>] {
        self.taken(ip).map_or(&[], |taken| &taken.owners)
    }

    /// Those whose status may show it though it is not, or no longer, theirs.
    pub(crate) fn shown_by(&self, ip: IpAddr) -> &[Arc<Holder>] {
        self.taken(ip).map_or(&[], |taken| &taken.shown_by)
    }

    /// The key by which others may join the address.
    pub(crate) fn key_of(&self, ip: IpAddr) -> Option<Arc<SharingKey>> {
        self.taken(ip)?.owners.first()?.sharing.key.clone()
    }

    /// How many addresses of a pool are in use, and how many are left.
    pub(crate) fn counters(&self, pool: usize) -> Counters {
        self.spaces[pool].counters
    }
}

fn note_taken(spaces: &mut [Space], pools: &Pools, ip: IpAddr) {
    if let Some(site) = pools.site(ip) {
        let space = &mut spaces[site.pool];
        space.free[IpFamily::of(ip)].take(site.entry, number(ip));
        space.counters.took(ip, pools.at(site.pool).hands_out(ip));
    }
}

fn between(other: &Holder, sharing: &Sharing) -> Option<Blocker> {
    let by = other.id.key.clone();
    let (Some(theirs), Some(ours)) = (&other.sharing.key, &sharing.key) else {
        return Some(Blocker::InUse { by });
    };
    if theirs.key != ours.key {
        return Some(Blocker::OtherKey { by });
    }
    if theirs.namespace != ours.namespace {
        return Some(Blocker::OtherNamespace { by });
    }
    if theirs.backend != ours.backend {
        return Some(Blocker::OtherBackend { by });
    }
    let (protocol, port) = other.sharing.common_port(sharing)?;
    Some(Blocker::Port { by, protocol, port })
}
