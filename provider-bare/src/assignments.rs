//! Who has which address.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use cloud_provider::{IpFamily, ServiceKey};
use metallb::per_family::PerFamily;
use metallb::pools::Pools;
use metallb::range::{address, number};

use crate::assigned::{Assigned, Left};
pub use crate::blocker::Blocker;
use crate::counters::Counters;
use crate::desired::{Sharing, SharingKey};
use crate::entries::{Entries, Entry as KnownService, EntryId};
use crate::free_addresses::FreeAddresses;
pub use crate::free_addresses::Reuse;
use crate::maps::AddressMap;

/// The free addresses of one pool, and how many are not.
#[derive(Clone, Debug)]
struct Space {
    free: PerFamily<FreeAddresses>,
    counters: Counters,
}

/// The first free address of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FirstFree {
    /// The pool's position.
    pool: usize,
    pub(crate) ip: IpAddr,
}

/// A Service as one who asks for an address.
#[derive(Clone, Copy)]
pub(crate) struct Applicant<'a> {
    /// None: nothing is known of it yet.
    pub(crate) id: Option<EntryId>,
    pub(crate) key: &'a ServiceKey,
    /// How it gets along with others if it has it.
    pub(crate) sharing: &'a Sharing,
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
    taken: PerFamily<AddressMap<Assigned>>,
    spaces: Vec<Space>,
    by_key: HashMap<Arc<SharingKey>, BTreeSet<IpAddr>>,
    /// Addresses that may now be had by somebody who could not have them before; some perhaps more than once.
    changed: Vec<IpAddr>,
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

    fn taken(&self, ip: IpAddr) -> Option<&Assigned> {
        self.taken[IpFamily::of(ip)].get(&number(ip))
    }

    /// Makes the address a Service's, which shares it by this key. Only after [`blocker`](Assignments::blocker) found
    /// nobody in the way.
    pub(crate) fn own(&mut self, pools: &Pools, ip: IpAddr, id: EntryId, key: Option<&Arc<SharingKey>>) {
        match self.taken[IpFamily::of(ip)].entry(number(ip)) {
            Entry::Occupied(taken) => taken.into_mut().add_owner(id),
            Entry::Vacant(free) => {
                free.insert(Assigned::Owned(id));
                note_taken(&mut self.spaces, pools, ip);
            }
        }
        if let Some(key) = key {
            self.by_key.entry(key.clone()).or_default().insert(ip);
            self.changed.push(ip);
        }
    }

    /// Makes the first free address of a pool a Service's, which shares it with nobody.
    pub(crate) fn own_first(&mut self, first: FirstFree, id: EntryId) {
        let (family, space) = (IpFamily::of(first.ip), &mut self.spaces[first.pool]);
        space.free[family].take_first();
        // What is handed out to all is what the pool counts as handed out.
        space.counters.took(first.ip, true);
        self.taken[family].insert(number(first.ip), Assigned::Owned(id));
    }

    /// Notes that the Service's status may show the address though it is not the Service's.
    pub(crate) fn show(&mut self, pools: &Pools, ip: IpAddr, id: EntryId) {
        match self.taken[IpFamily::of(ip)].entry(number(ip)) {
            Entry::Occupied(taken) => taken.into_mut().add_shown_by(id),
            Entry::Vacant(free) => {
                free.insert(Assigned::shown(id));
                note_taken(&mut self.spaces, pools, ip);
            }
        }
    }

    /// Ends whatever the Service has to do with the address, which it shared by this key if it owned it.
    pub(crate) fn leave(&mut self, pools: &Pools, ip: IpAddr, id: EntryId, key: Option<&Arc<SharingKey>>) {
        let family = IpFamily::of(ip);
        let Entry::Occupied(mut taken) = self.taken[family].entry(number(ip)) else { return };
        let owned = taken.get().owners().contains(&id);
        let left = taken.get_mut().remove(id);
        self.changed.push(ip);
        if owned
            && taken.get().owners().is_empty()
            && let Some(key) = key
            && let Some(addresses) = self.by_key.get_mut(key)
        {
            addresses.remove(&ip);
            if addresses.is_empty() {
                self.by_key.remove(key);
            }
        }
        if left == Left::Nobody {
            taken.remove();
            note_given_back(&mut self.spaces, pools, ip);
        }
    }

    /// Who keeps a Service with this sharing from having the address; none if it may have it. What the Service
    /// itself, if it is known, has to do with the address is not in its way.
    pub(crate) fn blocker(
        &self,
        entries: &Entries,
        ip: IpAddr,
        id: Option<EntryId>,
        sharing: &Sharing,
    ) -> Option<Blocker> {
        let taken = self.taken(ip)?;
        if taken.owners().is_empty() {
            let shown = taken.shown_by().iter().find(|shown| Some(**shown) != id)?;
            return Some(Blocker::StillShown { by: entries[*shown].id.key.clone() });
        }
        self.owner_in_the_way(entries, ip, id, sharing)
    }

    /// As [`blocker`](Assignments::blocker), for an address that the Service's own status shows: there only owners
    /// are in the way.
    pub(crate) fn owner_in_the_way(
        &self,
        entries: &Entries,
        ip: IpAddr,
        id: Option<EntryId>,
        sharing: &Sharing,
    ) -> Option<Blocker> {
        let mut others = self.taken(ip)?.owners().iter().filter(|owner| Some(**owner) != id);
        others.find_map(|other| between(&entries[*other], sharing))
    }

    /// The address of this pool and family that comes next for a Service: a preferred one, one it may join, or the
    /// first free one.
    pub(crate) fn find(
        &self,
        entries: &Entries,
        pools: &Pools,
        pool: usize,
        family: IpFamily,
        applicant: Applicant<'_>,
        preferred: Preferred<'_>,
    ) -> Option<IpAddr> {
        let Applicant { id, key, sharing } = applicant;
        let fits = |ip: &IpAddr| {
            IpFamily::of(*ip) == family
                && pools.site(*ip).is_some_and(|site| site.pool == pool)
                && pools.at(pool).hands_out_to(*ip, key)
                && self.blocker(entries, *ip, id, sharing).is_none()
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
        had.or_else(|| self.first_free(pool, family).map(|first| first.ip))
    }

    /// Whether the pool has an address of this family that nobody has.
    pub(crate) fn has_free(&self, pool: usize, family: IpFamily) -> bool {
        self.first_free(pool, family).is_some()
    }

    /// The first address of the pool and family that nobody has.
    pub(crate) fn first_free(&self, pool: usize, family: IpFamily) -> Option<FirstFree> {
        let number = self.spaces[pool].free[family].first()?;
        Some(FirstFree { pool, ip: address(family, number) })
    }

    /// Addresses that became easier to have since the last call.
    pub(crate) fn next_changed(&mut self) -> Option<IpAddr> {
        self.changed.pop()
    }

    /// Nobody waits for any of these.
    pub(crate) fn forget_changed(&mut self) {
        self.changed.clear();
    }

    /// Those to whom the address belongs.
    pub(crate) fn owners(&self, ip: IpAddr) -> &[EntryId] {
        self.taken(ip).map_or(&[], Assigned::owners)
    }

    /// Those whose status may show it though it is not, or no longer, theirs.
    pub(crate) fn shown_by(&self, ip: IpAddr) -> &[EntryId] {
        self.taken(ip).map_or(&[], Assigned::shown_by)
    }

    /// The key by which others may join the address.
    pub(crate) fn key_of(&self, entries: &Entries, ip: IpAddr) -> Option<Arc<SharingKey>> {
        entries[*self.owners(ip).first()?].sharing.key.clone()
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

fn note_given_back(spaces: &mut [Space], pools: &Pools, ip: IpAddr) {
    if let Some(site) = pools.site(ip) {
        let (space, pool) = (&mut spaces[site.pool], pools.at(site.pool));
        if pool.hands_out_to_all(ip) {
            space.free[IpFamily::of(ip)].give_back(site.entry, number(ip));
        }
        space.counters.gave_back(ip, pool.hands_out(ip));
    }
}

fn between(other: &KnownService, sharing: &Sharing) -> Option<Blocker> {
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
