//! Where addresses are looked for, and in which order.

use std::net::IpAddr;

use cloud_provider::IpFamily;

use super::{CurrentAddresses, FamilySlot, FamilySlots, Planner, PoolOrder};
use crate::allocation::{Allocation, WaitReason};
use crate::assignments::Preferred;
use crate::wait_queue::WaitTarget;

/// The pools that are asked for a Service, in order.
#[derive(Clone, Debug)]
pub(super) struct Search {
    pub(super) pools: PoolOrder,
}

impl Planner<'_> {
    /// The pools that may be asked for this Service: the one it names, or all that hand out unasked and are for it.
    pub(super) fn eligible_pools(&self) -> Result<PoolOrder, Allocation> {
        let pools = self.inputs.pools;
        let Some(asked) = &self.request.pool else {
            let automatic = pools.automatic().iter().copied();
            return Ok(automatic.filter(|pool| self.serves(pools.at(*pool))).collect());
        };
        match pools.position(&asked.value) {
            Some(pool) if self.serves(pools.at(pool)) => Ok([pool].into_iter().collect()),
            None if pools.broken().any(|name| name == asked.value) => {
                Err(Allocation::Waiting(WaitReason::Unreadable(vec![asked.value.clone()])))
            }
            position => {
                let problem = match position {
                    Some(_) => "names a pool that is not for this Service",
                    None => "names no address pool there is",
                };
                Err(Allocation::Refused(vec![asked.mistake(problem).allowing(self.pools_for_it())]))
            }
        }
    }

    /// The pool of what the Service has and keeps comes first, so that its second family comes from there.
    pub(super) fn search(&self, slots: &[FamilySlot], eligible: PoolOrder) -> Search {
        let kept = slots.iter().find(|slot| !slot.is_unfilled()).and_then(|slot| slot.had);
        let site = kept.and_then(|(ip, _)| self.inputs.pools.site(ip)).map(|site| site.pool);
        let usable = |pool: &usize| self.request.pool.is_none() && self.serves(self.inputs.pools.at(*pool));
        let Some(first) = site.filter(usable) else { return Search { pools: eligible } };
        let others = eligible.into_iter().filter(|pool| *pool != first);
        Search { pools: std::iter::once(first).chain(others).collect() }
    }

    /// Finds an address for each slot that needs one: all from one pool if that can be, else from several.
    pub(super) fn find_addresses(&self, slots: &mut FamilySlots, search: &Search) {
        for slot in slots.iter_mut().filter(|slot| slot.is_unfilled()) {
            slot.found = self.reserved(slot.family).find(|ip| self.can_have_reserved(*ip));
        }
        let unfilled = slots.iter().filter(|slot| slot.is_blocked()).count();
        if unfilled > 1 {
            for pool in &search.pools {
                let found = |slot: &FamilySlot| self.next_address(*pool, slot.family);
                let found: Vec<IpAddr> =
                    slots.iter().filter(|slot| slot.is_blocked()).filter_map(found).collect();
                if found.len() == unfilled {
                    let blocked = slots.iter_mut().filter(|slot| slot.is_blocked());
                    blocked.zip(found).for_each(|(slot, ip)| slot.found = Some(ip));
                    return;
                }
            }
        }
        for slot in slots.iter_mut().filter(|slot| slot.is_blocked()) {
            slot.found = search.pools.iter().find_map(|pool| self.next_address(*pool, slot.family));
        }
    }

    /// The address that comes next for the Service in this pool. One that it was given in memory, or that its status
    /// shows, comes before all others; the one it had when it went the last time, before other free ones.
    fn next_address(&self, pool: usize, family: IpFamily) -> Option<IpAddr> {
        let CurrentAddresses { chosen, shown, last, .. } = self.current;
        let preferred = Preferred { to_all: [chosen, shown], to_free: last };
        let (id, sharing) = (&self.request.id, &self.request.sharing);
        self.inputs.assignments.find(self.inputs.pools, pool, family, id, sharing, preferred)
    }

    /// The addresses of this family that are kept for the Service, in the pool it asks for if it asks for one.
    fn reserved(&self, family: IpFamily) -> impl Iterator<Item = IpAddr> {
        let asked = self.request.pool.as_ref();
        let fits = move |ip: &IpAddr| {
            let owner = self.inputs.pools.owner(*ip);
            IpFamily::of(*ip) == family
                && asked.is_none_or(|asked| owner.is_some_and(|pool| pool.name == asked.value))
        };
        self.inputs.pools.reserved_for(&self.request.id.key).filter(fits)
    }

    fn can_have_reserved(&self, ip: IpAddr) -> bool {
        let (uid, sharing) = (&self.request.id.uid, &self.request.sharing);
        self.provided(ip) && self.inputs.assignments.blocker(ip, uid, sharing).is_none()
    }

    /// What could help these families.
    pub(super) fn wait_targets(&self, blocked: &[FamilySlot], search: &Search) -> Vec<WaitTarget> {
        let has = |pool: usize, family| self.inputs.pools.at(pool).has_family(family);
        let of_family = |family| {
            let pools = search.pools.iter().copied().filter(move |pool| has(*pool, family));
            pools.map(move |pool| WaitTarget::Pool(pool, family))
        };
        let mut targets: Vec<WaitTarget> = blocked.iter().flat_map(|slot| of_family(slot.family)).collect();
        targets.extend(self.request.sharing.key.clone().map(WaitTarget::Key));
        targets.extend(blocked.iter().flat_map(|slot| self.reserved(slot.family)).map(WaitTarget::Address));
        targets
    }

    /// Whether one of the pools has addresses of this family at all, in use or not.
    pub(super) fn is_possible(&self, family: IpFamily, search: &Search) -> bool {
        search.pools.iter().any(|pool| self.inputs.pools.at(*pool).has_family(family))
    }
}
