//! The decision table: what was found for each family → what the Service has from now on, and what it is told.

use std::net::IpAddr;

use cloud_provider::IpFamily;

use super::search::Search;
use super::{Decision, FamilySlot, FamilySlots, Fit, Planner, RemovedAddress};
use crate::allocation::{Addresses, Allocation};
use crate::wait_queue::{Rank, WaitTarget};

/// What stands between a Service and all that it asks for. A family is *blocked* when an address was to be found for it
/// and was not.
///
/// | the first line that holds | obstacle |
/// |---|---|
/// | no family is blocked | `Nothing` |
/// | the Service would like a second family and does without: it has another, and only lacks this one | `Optional` |
/// | an address that no pool provides any more finds no replacement | `AllInUse` |
/// | no pool hands out addresses to this Service | `NoPool` |
/// | every blocked family is one that the pools do not have; of a Service that needs all its families, any is | `NoSuchFamily` |
/// | none of the above: there are such addresses, and others have them | `AllInUse` |
///
/// | obstacle | what was found is taken | what it has and does not ask for any more | told |
/// |---|---|---|---|
/// | `Nothing` | yes | goes | served, or until when it keeps what no pool provides |
/// | `Optional` | yes | goes | served in one family; if some pool has the other at all, that it waits for it |
/// | `NoPool`, `NoSuchFamily` | unless it is all or nothing | stays | which pools there are; what is wrong with its wish |
/// | `AllInUse` | unless it is all or nothing | stays | where it was looked, and what is to be replaced |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obstacle {
    Nothing,
    Optional,
    NoPool,
    NoSuchFamily,
    AllInUse,
}

impl Planner<'_> {
    /// Decides from what was found. `kept`: what is to be said of addresses that stay though no pool provides them.
    pub(super) fn judge(
        &self,
        mut slots: FamilySlots,
        kept: Option<Allocation>,
        search: &Search,
    ) -> Decision {
        self.end_families_that_the_asked_pool_lacks(&mut slots, search);
        let blocked: FamilySlots = slots.iter().filter(|slot| slot.is_blocked()).copied().collect();
        let obstacle = self.obstacle(&slots, &blocked, search);
        if self.is_all_or_nothing(&slots, &blocked) {
            slots.iter_mut().for_each(|slot| slot.found = None);
        }
        let mut addresses = self.in_publishing_order(&slots);
        let impossible = || -> FamilySlots {
            blocked.iter().filter(|slot| !self.is_possible(slot.family, search)).copied().collect()
        };
        let missing = blocked.iter().find(|slot| self.is_possible(slot.family, search));
        let allocation = match obstacle {
            Obstacle::Nothing => kept.unwrap_or(Allocation::Served),
            Obstacle::Optional => {
                let lacking = missing.map(|slot| Allocation::Partly { missing: slot.family });
                // That it is about to lose what it has is the greater news.
                kept.or(lacking).unwrap_or(Allocation::Served)
            }
            Obstacle::NoPool => self.no_pool_for_it(),
            Obstacle::NoSuchFamily => self.no_such_family(&impossible(), search),
            Obstacle::AllInUse => self.all_in_use(&blocked, search),
        };
        if !matches!(obstacle, Obstacle::Nothing | Obstacle::Optional) {
            self.keep_until_then(&slots, &mut addresses);
        }
        let waits = match obstacle {
            Obstacle::Optional => missing.is_some(),
            _ => matches!(allocation, Allocation::Waiting(_)),
        };
        let waits_for = if waits { self.waits_for(&blocked, search) } else { Vec::new() };
        Decision {
            addresses,
            rank: self.rank(obstacle, &blocked),
            allocation,
            waits_for,
            leaving: Vec::new(),
        }
    }

    /// A Service for which one family is enough, and that names a pool without addresses of the other, has that other
    /// family no more, as soon as it has the first: an address of another pool is not what it asks for.
    fn end_families_that_the_asked_pool_lacks(&self, slots: &mut FamilySlots, search: &Search) {
        let has_another = slots.iter().any(|slot| !slot.is_blocked());
        if self.request.families.one_is_enough() && has_another {
            slots.retain(|slot| !slot.is(Fit::Elsewhere) || self.is_possible(slot.family, search));
        }
    }

    /// See the first table of [`Obstacle`].
    fn obstacle(&self, slots: &[FamilySlot], blocked: &[FamilySlot], search: &Search) -> Obstacle {
        let one_is_enough = self.request.families.one_is_enough();
        let served = slots.iter().any(|slot| slot.outcome().is_some());
        let impossible = || blocked.iter().filter(|slot| !self.is_possible(slot.family, search)).count();
        if blocked.is_empty() {
            Obstacle::Nothing
        } else if one_is_enough && served && blocked.iter().all(|slot| slot.had.is_none()) {
            Obstacle::Optional
        } else if blocked.iter().any(|slot| slot.is(Fit::Removed)) {
            Obstacle::AllInUse
        } else if search.pools.is_empty() && !search.is_fixed() {
            Obstacle::NoPool
        } else if impossible() == blocked.len() || impossible() > 0 && !one_is_enough {
            Obstacle::NoSuchFamily
        } else {
            Obstacle::AllInUse
        }
    }

    /// Whether nothing new is taken while something is missing: a Service that needs all its families takes none alone,
    /// and one that is on the way to another pool goes there with all it has.
    fn is_all_or_nothing(&self, slots: &[FamilySlot], blocked: &[FamilySlot]) -> bool {
        let served = slots.iter().any(|slot| slot.outcome().is_some());
        let enough = self.request.families.one_is_enough() && served;
        let lacks = blocked.iter().any(|slot| slot.had.is_none());
        lacks && !enough || blocked.iter().any(|slot| slot.is(Fit::Elsewhere))
    }

    /// What it has is no longer what it asks for, and stays until that is to be had.
    fn keep_until_then(&self, slots: &[FamilySlot], addresses: &mut Addresses) {
        let replaced = |ip: &IpAddr| slots.iter().any(|slot| slot.had.is_some_and(|(had, _)| had == *ip));
        let releases = self.inputs.policy.removed_address == RemovedAddress::Release;
        let released = |ip: &IpAddr| releases && !self.provided(*ip);
        let leftover: Addresses = self
            .still_permitted()
            .filter(|ip| !addresses.contains(ip) && !replaced(ip) && !released(ip))
            .collect();
        addresses.extend(leftover);
    }

    /// Which place it has among those who wait.
    fn rank(&self, obstacle: Obstacle, blocked: &[FamilySlot]) -> Rank {
        if obstacle == Obstacle::Optional {
            Rank::Additional
        } else if !self.current.shown.is_empty() || blocked.iter().any(|slot| slot.is(Fit::Removed)) {
            Rank::Evicted
        } else {
            Rank::Pending
        }
    }

    /// Who needs everything waits for one thing that is lacking: while it is, the rest is no help.
    fn waits_for(&self, blocked: &[FamilySlot], search: &Search) -> Vec<WaitTarget> {
        let lacks = blocked.iter().any(|slot| slot.had.is_none());
        let moves = blocked.iter().any(|slot| slot.is(Fit::Elsewhere));
        let needs_all = moves || (lacks && !self.request.families.one_is_enough());
        // Where all of it has to be of one pool, another thing may be lacking in each.
        let everywhere_the_same = needs_all && search.inseparable.is_empty();
        self.wait_targets(&blocked[..if everywhere_the_same { 1 } else { blocked.len() }], search)
    }

    /// Where what is published was, its replacement comes; what is new comes behind, primary family first.
    fn in_publishing_order(&self, slots: &[FamilySlot]) -> Addresses {
        let mut addresses = Addresses::new();
        let before = self.current.has.iter().chain(self.current.chosen).chain(self.current.shown).copied();
        let families = before.map(IpFamily::of).chain(slots.iter().map(|slot| slot.family));
        for family in families {
            let outcome = slots.iter().find(|slot| slot.family == family).and_then(FamilySlot::outcome);
            if let Some(ip) = outcome.filter(|ip| !addresses.contains(ip)) {
                addresses.push(ip);
            }
        }
        addresses
    }
}
