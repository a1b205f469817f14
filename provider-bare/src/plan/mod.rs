//! A request, what the Service has, and the pools → what it has from now on, and why not more. Pure.
//!
//! | step | module |
//! |---|---|
//! | the one address of a Service that is new and asks for nothing in particular, as nearly all are | `at_once` |
//! | addresses that are asked for by name: all of them, or what is wrong with them | `asked` |
//! | what the Service has for each family, and whether that may stay | here |
//! | where what is missing is looked for, and what follows from what was found: the decision table | `automatic` |
//! | why something is refused, and what is waited for and why | `reasons` |
//! | why an address that a status shows is lost | `loss` |

mod asked;
mod at_once;
mod automatic;
mod loss;
mod reasons;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use cloud_provider::IpFamily;
use metallb::pool::Pool;
use metallb::pools::Pools;
use metallb::selector::Labels;
use smallvec::SmallVec;

use crate::allocation::{Addresses, Allocation, WaitReason};
use crate::assignments::{Applicant, Assignments, Blocker};
use crate::desired::AddressRequest;
use crate::entries::{Entries, LeavingAddress};
use crate::wait_queue::{WaitRank, WaitTarget};

pub(crate) use at_once::decide_at_once;
pub(crate) use loss::why_lost;

/// What happens to a published address that its pool no longer provides: the pool is gone, was shrunk, or is no
/// longer for this Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RemovedAddress {
    /// Replaced, once there is a replacement; until then it stays published.
    #[default]
    Move,
    /// Stays published as long as the Service wants it.
    Keep,
    /// Withdrawn at once.
    Release,
}

/// Who makes the published addresses reachable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnnouncerKind {
    /// MetalLB's speaker. It announces a Service only if all its addresses are of one pool, and takes no new
    /// configuration while a Service shows an address that is in no pool.
    #[default]
    MetalLb,
    /// One without such rules.
    Own,
}

/// Labels of all namespaces, by name.
pub type Namespaces = BTreeMap<String, Labels>;

/// What the operator chose, as far as decisions depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// What happens to published addresses that no pool provides any more.
    pub removed_address: RemovedAddress,
    /// How long an address that no pool provides any more stays as if one did.
    pub pool_grace: Duration,
    /// Who announces what is assigned.
    pub announcer: AnnouncerKind,
}

impl Policy {
    /// Whether all addresses of a Service have to be of one pool.
    fn takes_one_pool(self) -> bool {
        self.announcer == AnnouncerKind::MetalLb
    }
}

/// All that a decision depends on besides the Service.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<'a> {
    pub(crate) pools: &'a Pools,
    pub(crate) namespaces: &'a Namespaces,
    pub(crate) assignments: &'a Assignments,
    pub(crate) entries: &'a Entries,
    pub(crate) policy: Policy,
    pub(crate) now: Duration,
}

/// What a Service has before the decision.
#[derive(Clone, Copy, Default)]
pub(crate) struct CurrentAddresses<'a> {
    /// What it was last answered to have, in publishing order: its status shows it, or will.
    pub(crate) has: &'a [IpAddr],
    /// What is set aside for it in memory alone. Nobody knows of it, so that it is no loss.
    pub(crate) chosen: &'a [IpAddr],
    /// What its status may show though it is not its own (any longer).
    pub(crate) shown: &'a [IpAddr],
    /// What it had when it went the last time.
    pub(crate) last: &'a [IpAddr],
    /// What of that it has no pool provided when it was last decided for.
    pub(crate) leaving: &'a [LeavingAddress],
}

/// What is decided for one Service.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Decision {
    /// Its addresses from now on, in publishing order.
    pub(crate) addresses: Addresses,
    pub(crate) allocation: Allocation,
    pub(crate) rank: WaitRank,
    /// What could help it; empty if it waits for nothing, or for other pools.
    pub(crate) waits_for: Vec<WaitTarget>,
    /// What of `addresses` it has for a grace period only.
    pub(crate) leaving: Vec<LeavingAddress>,
}

impl Decision {
    /// Whether this one address is all that the Service has from now on, and all that it asks for.
    fn is_served_with(&self, ip: IpAddr) -> bool {
        *self.addresses == [ip]
            && self.allocation == Allocation::Served
            && self.waits_for.is_empty()
            && self.leaving.is_empty()
    }
}

/// How an address that a Service has fits what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    /// It is what it asks for, or it stays as if it were.
    Good,
    /// Its pool does not provide it (any more).
    Removed,
    /// Its pool is not the one asked for.
    Elsewhere,
}

/// One family of a Service: what it has, and what was found for it instead.
#[derive(Clone, Copy, Debug)]
struct FamilySlot {
    family: IpFamily,
    had: Option<(IpAddr, Fit)>,
    found: Option<IpAddr>,
}

/// The families of a Service, primary first.
type FamilySlots = SmallVec<[FamilySlot; 2]>;

impl FamilySlot {
    /// What the Service has of this family from now on.
    fn outcome(&self) -> Option<IpAddr> {
        self.found.or(self.had.map(|(ip, _)| ip))
    }

    fn is(&self, fit: Fit) -> bool {
        self.had.is_some_and(|(_, had)| had == fit)
    }

    /// Whether an address is to be found for it.
    fn is_unfilled(&self) -> bool {
        !self.is(Fit::Good)
    }

    /// Whether an address was to be found for it and was not.
    fn is_blocked(&self) -> bool {
        self.is_unfilled() && self.found.is_none()
    }
}

/// Positions of pools, in the order they are asked.
type PoolOrder = SmallVec<[usize; 4]>;

/// Decides for one Service.
pub(crate) fn decide(
    inputs: Inputs<'_>,
    current: CurrentAddresses<'_>,
    applicant: Applicant<'_>,
    request: &AddressRequest,
) -> Decision {
    Planner { inputs, current, applicant, request }.decide()
}

/// Whether a pool provides this address to a Service: it contains it, hands it out, and is for the Service.
pub(crate) fn provides(
    inputs: Inputs<'_>,
    applicant: Applicant<'_>,
    request: &AddressRequest,
    ip: IpAddr,
) -> bool {
    Planner { inputs, current: CurrentAddresses::default(), applicant, request }.provided(ip)
}

/// Whether a Service has addresses of several pools, where all of them have to be of one.
pub(crate) fn are_of_several_pools(inputs: Inputs<'_>, ips: &[IpAddr]) -> bool {
    let mut pools = ips.iter().filter_map(|ip| inputs.pools.site(*ip)).map(|site| site.pool);
    let first = pools.next();
    inputs.policy.takes_one_pool() && pools.any(|pool| Some(pool) != first)
}

/// One decision: the request of one Service, beside everything that it depends on.
struct Planner<'a> {
    inputs: Inputs<'a>,
    current: CurrentAddresses<'a>,
    applicant: Applicant<'a>,
    request: &'a AddressRequest,
}

impl Planner<'_> {
    fn decide(&self) -> Decision {
        if self.inputs.pools.is_empty() {
            let unreadable = self.unreadable_pools();
            let reason =
                if unreadable.is_empty() { WaitReason::NoPools } else { WaitReason::Unreadable(unreadable) };
            return self.as_it_is(Allocation::Waiting(reason));
        }
        match &self.request.addresses {
            Some(asked) => self.asked_by_address(asked),
            None => self.automatic(),
        }
    }

    /// What it has and may keep: all of it, except what its own change of keys or ports put at odds with others.
    fn still_permitted(&self) -> impl Iterator<Item = IpAddr> {
        let Inputs { assignments, entries, .. } = self.inputs;
        let Applicant { id, sharing, .. } = self.applicant;
        let has = self.current.has.iter().copied();
        has.filter(move |ip| assignments.owner_in_the_way(entries, *ip, id, sharing).is_none())
    }

    /// Nothing is taken from it and nothing is given to it.
    fn as_it_is(&self, allocation: Allocation) -> Decision {
        Decision {
            addresses: self.still_permitted().collect(),
            allocation,
            rank: WaitRank::Pending,
            waits_for: Vec::new(),
            leaving: Vec::new(),
        }
    }

    /// Whether a pool is for this Service, by its namespace and its labels.
    fn serves(&self, pool: &Pool) -> bool {
        let namespace = &self.applicant.key.namespace;
        pool.allowed_services.as_ref().is_none_or(|allowed| {
            allowed.allows_namespace(namespace, self.inputs.namespaces.get(&**namespace))
                && allowed.allows_service(&self.request.labels)
        })
    }

    /// Whether a pool provides this address to the Service: it contains it, hands it out, and is for the Service.
    fn provided(&self, ip: IpAddr) -> bool {
        self.inputs
            .pools
            .owner(ip)
            .is_some_and(|pool| pool.hands_out_to(ip, self.applicant.key) && self.serves(pool))
    }

    /// Who keeps the Service from having an address.
    fn blocker(&self, ip: IpAddr) -> Option<Blocker> {
        let Applicant { id, sharing, .. } = self.applicant;
        self.inputs.assignments.blocker(self.inputs.entries, ip, id, sharing)
    }

    fn unreadable_pools(&self) -> Vec<String> {
        self.inputs.pools.broken().map(str::to_owned).collect()
    }

    /// Which of these addresses no pool provides, each with the end of its grace period, which may be past. Where
    /// nothing is decided about pools, since some cannot be read, no period begins.
    fn leaving(&self, has: &[IpAddr]) -> Vec<LeavingAddress> {
        if has.is_empty() || self.keeps_removed() {
            return Vec::new();
        }
        let begun = |ip: IpAddr| self.current.leaving.iter().find(|leaving| leaving.ip == ip).copied();
        let begins =
            |ip| LeavingAddress { ip, until: self.inputs.now.saturating_add(self.inputs.policy.pool_grace) };
        let removed = has.iter().copied().filter(|ip| !self.provided(*ip));
        removed.map(|ip| begun(ip).unwrap_or_else(|| begins(ip))).collect()
    }

    /// Whether the grace period of an address is not over.
    fn stays_for_now(&self, leaving: &[LeavingAddress], ip: IpAddr) -> bool {
        leaving.iter().any(|leaving| leaving.ip == ip && leaving.until > self.inputs.now)
    }

    /// Whether what no pool provides is kept all the same.
    fn keeps_removed(&self) -> bool {
        self.inputs.policy.removed_address == RemovedAddress::Keep
            || self.inputs.pools.broken().next().is_some()
    }

    /// One slot per family with what the Service has for it, and what is to be said of those of its addresses that it
    /// keeps though no pool provides them.
    fn slots(&self, leaving: &[LeavingAddress]) -> (FamilySlots, Option<Allocation>) {
        let stays = |ip: IpAddr| self.keeps_removed() || self.stays_for_now(leaving, ip);
        let releases = self.inputs.policy.removed_address == RemovedAddress::Release;
        let slot = |family| FamilySlot { family, had: None, found: None };
        let mut slots: FamilySlots = self.request.families.iter().map(slot).collect();
        for ip in self.still_permitted() {
            let Some(slot) = slots.iter_mut().find(|slot| slot.family == IpFamily::of(ip)) else { continue };
            let fit = match self.provided(ip) {
                true if self.is_of_another_pool(ip) => Fit::Elsewhere,
                true => Fit::Good,
                false if releases && !stays(ip) => continue,
                false => Fit::Removed,
            };
            // A status may show several addresses of one family: the first that is good stays.
            if slot.is_unfilled() && (slot.had.is_none() || fit == Fit::Good) {
                slot.had = Some((ip, fit));
            }
        }
        let mut kept = Vec::new();
        for slot in &mut slots {
            if let Some((ip, Fit::Removed)) = slot.had.filter(|(ip, _)| stays(*ip)) {
                kept.push(ip);
                slot.had = Some((ip, Fit::Good));
            }
        }
        let allocation = match kept.is_empty() {
            true => None,
            false if self.keeps_removed() => Some(self.kept(kept)),
            false => Some(Allocation::Leaving { addresses: kept, grace: self.inputs.policy.pool_grace }),
        };
        (slots, allocation)
    }

    fn is_of_another_pool(&self, ip: IpAddr) -> bool {
        let asked = self.request.pool.as_ref();
        asked.is_some_and(|asked| self.inputs.pools.owner(ip).is_none_or(|pool| pool.name != asked.value))
    }

    fn kept(&self, addresses: Vec<IpAddr>) -> Allocation {
        let unreadable = match self.inputs.policy.removed_address {
            RemovedAddress::Keep => Vec::new(),
            RemovedAddress::Move | RemovedAddress::Release => self.unreadable_pools(),
        };
        Allocation::Kept { addresses, unreadable }
    }
}
