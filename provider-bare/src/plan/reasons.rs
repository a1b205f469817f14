//! Why a Service is refused, what it waits for and why: values for the report and for the queue.

use cloud_provider::Mistake;

use super::automatic::Search;
use super::{FamilySlot, FamilySlots, Fit, Planner};
use crate::allocation::{Allocation, WaitReason};
use crate::desired::Families;
use crate::wait_queue::WaitTarget;

impl Planner<'_> {
    /// What one may ask for instead of a pool or an address that is not for the Service.
    pub(super) fn pools_for_it(&self) -> String {
        let pools = self.inputs.pools.iter().filter(|pool| self.serves(pool));
        match pools.map(|pool| pool.name.as_str()).collect::<Vec<_>>().as_slice() {
            [] => "nothing: no pool is for this Service".to_owned(),
            names => format!("addresses of the pools for this Service: {}", names.join(", ")),
        }
    }

    /// No pool hands out addresses to the Service unasked.
    pub(super) fn no_pool_for_it(&self) -> Allocation {
        let unreadable = self.unreadable_pools();
        if !unreadable.is_empty() {
            return Allocation::Waiting(WaitReason::Unreadable(unreadable));
        }
        let names = self.inputs.pools.iter().map(|pool| pool.name.clone()).collect();
        Allocation::Waiting(WaitReason::NoPoolForIt(names))
    }

    /// The Service needs families that the pools do not have at all.
    pub(super) fn no_such_family(&self, slots: &[FamilySlot], search: &Search) -> Allocation {
        let unreadable = self.unreadable_pools();
        if !unreadable.is_empty() && self.request.pool.is_none() {
            return Allocation::Waiting(WaitReason::Unreadable(unreadable));
        }
        let has = |slot: &FamilySlot| {
            let mut pools = self.inputs.pools.iter().filter(|pool| self.serves(pool));
            pools.any(|pool| pool.has_family(slot.family))
        };
        // What no pool has at all is the plainer reason; the other is that no pool has all of them.
        let nowhere: FamilySlots = slots.iter().filter(|slot| !has(slot)).copied().collect();
        let one_pool = search.one_pool.as_ref().filter(|_| nowhere.is_empty());
        let families = families_of(if nowhere.is_empty() { slots } else { &nowhere }, " and no ");
        let mistake = match (&self.request.pool, self.request.families) {
            (Some(asked), _) => asked
                .mistake(format!("names a pool that has no {families} addresses, which the Service needs"))
                .allowing("a pool with addresses of every family the Service has"),
            (None, wanted) => {
                let (field, value) = match wanted {
                    Families::One(family) => ("spec.ipFamilies", family.as_str()),
                    Families::Two { .. } => ("spec.ipFamilyPolicy", "RequireDualStack"),
                };
                let problem = match one_pool {
                    Some(one_pool) => format!("needs {} addresses: {one_pool}", families_of(slots, " and ")),
                    None => format!(
                        "needs addresses that no pool has: there are no {families} addresses in {}",
                        self.names(search).join(", ")
                    ),
                };
                let allowed = match one_pool {
                    Some(_) => "the families of one of the pools for this Service, which it may name",
                    None => "the families of the pools for this Service",
                };
                Mistake::new(field, value, problem).allowing(allowed)
            }
        };
        Allocation::Refused(vec![mistake])
    }

    /// All addresses that would do are in use.
    pub(super) fn all_in_use(&self, blocked: &[FamilySlot], search: &Search) -> Allocation {
        let looked_in = |family| {
            let pools = search.pools.iter().map(|pool| self.inputs.pools.at(*pool));
            let pools = pools.filter(|pool| pool.has_family(family));
            pools.map(|pool| (pool.name.clone(), pool.capacity_for(family, self.applicant.key))).collect()
        };
        Allocation::Waiting(WaitReason::Exhausted {
            families: blocked.iter().map(|slot| (slot.family, looked_in(slot.family))).collect(),
            replacing: blocked.iter().filter_map(|slot| slot.had.map(|(ip, _)| ip)).collect(),
            one_pool: search.one_pool.clone().filter(|_| search.is_fixed() || !search.inseparable.is_empty()),
        })
    }

    fn names(&self, search: &Search) -> Vec<&str> {
        search.pools.iter().map(|pool| self.inputs.pools.at(*pool).name.as_str()).collect()
    }

    /// Who needs everything waits for one thing that is lacking: while it is, the rest is no help.
    pub(super) fn waits_for(&self, blocked: &[FamilySlot], search: &Search) -> Vec<WaitTarget> {
        let lacks = blocked.iter().any(|slot| slot.had.is_none());
        let moves = blocked.iter().any(|slot| slot.is(Fit::Elsewhere));
        let needs_all = moves || (lacks && !self.request.families.one_is_enough());
        // Where all of it has to be of one pool, another thing may be lacking in each.
        let everywhere_the_same = needs_all && search.inseparable.is_empty();
        self.wait_targets(&blocked[..if everywhere_the_same { 1 } else { blocked.len() }], search)
    }

    /// What could help these families.
    fn wait_targets(&self, blocked: &[FamilySlot], search: &Search) -> Vec<WaitTarget> {
        let mut targets: Vec<WaitTarget> = if search.inseparable.is_empty() {
            let of_family = |slot: &FamilySlot| {
                let (pools, family) = (search.pools.iter().copied(), slot.family);
                let having = pools.filter(move |pool| self.inputs.pools.at(*pool).has_family(family));
                having.map(move |pool| WaitTarget::Pool(pool, family))
            };
            blocked.iter().flat_map(of_family).collect()
        } else {
            // Of each pool that has them all, the first that is lacking: while it is, the rest is no help.
            let has_all = |pool: &usize| {
                search.inseparable.iter().all(|family| self.inputs.pools.at(*pool).has_family(*family))
            };
            let lacking = |pool: usize| {
                let mut families = search.inseparable.iter().copied();
                families.find(|family| self.next_or_reserved(pool, *family, search).is_none())
            };
            let pools = search.pools.iter().copied().filter(has_all);
            pools.filter_map(|pool| Some(WaitTarget::Pool(pool, lacking(pool)?))).collect()
        };
        targets.extend(self.applicant.sharing.key.clone().map(WaitTarget::Key));
        targets.extend(blocked.iter().flat_map(|slot| self.reserved(slot.family)).map(WaitTarget::Address));
        targets
    }
}

fn families_of(slots: &[FamilySlot], between: &str) -> String {
    slots.iter().map(|slot| slot.family.as_str()).collect::<Vec<_>>().join(between)
}
