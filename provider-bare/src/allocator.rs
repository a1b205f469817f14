//! Who gets which address: the whole state in memory, and the few ways in which it changes.
//!
//! Pure: no clock (it is told the time), no IO, no randomness. The same Services and pools in the same order of events lead to the same
//! addresses, and after a [resume](Allocator::resume) the order of events does not matter either.
//!
//! # Guarantees
//!
//! * An address belongs to one Service, or to several that share it.
//! * An address that a status may still show is given to nobody else.
//! * What a Service has, it keeps, until it asks for something else or its pool no longer provides it and the grace
//!   period is over; and then it gets the new address before it loses the old.
//! * A Service that comes back, under its name, gets the address that it had, if that is free.
//! * Nobody waits while an address it could use is free; among those who wait, the order is [`Rank`](crate::waiting::Rank)'s, then the
//!   oldest first.
//! * A step costs the same whatever the size of the pools.

mod last;
mod notice;
mod settle;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cloud_provider::{ServiceId, ServiceKey};

use crate::counters::Counters;
use crate::desired::{AddressRequest, Sharing};
use crate::ledger::{Holder, Ledger, Reuse};
use crate::plan::{Leaving, Namespaces, RemovedAddress, Standing, World, decide, why_lost};
use crate::verdict::{Lost, Verdict};
use crate::waiting::{Place, Queue, Spot};
use last::LastAddresses;
use metallb::pools::Pools;
use metallb::selector::Labels;

/// A Service as the cluster shows it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Which Service.
    pub id: ServiceId,
    /// When it was created.
    pub created: i64,
    /// The addresses its status shows, in order.
    pub published: Vec<IpAddr>,
    /// How it gets along with others.
    pub sharing: Sharing,
    /// What is to be done for it.
    pub interest: Interest,
}

/// What an allocator has to do for a Service.
#[derive(Clone, Debug)]
pub enum Interest {
    /// To serve it.
    Serve(Box<AddressRequest>),
    /// To keep what it has, because what it asks for cannot be read.
    Protect,
    /// To stay away from its addresses: somebody else serves it.
    Avoid,
}

/// What an allocator knows of one Service.
#[derive(Clone, Debug)]
struct Record {
    holder: Arc<Holder>,
    /// As whom it is entered with what it owns: an earlier holder, if its ports or key changed since.
    entered: Arc<Holder>,
    created: i64,
    interest: Interest,
    /// What is its own, in publishing order.
    owned: Vec<IpAddr>,
    /// What its status may show though it is not its own (any longer).
    shown: Vec<IpAddr>,
    /// What it was last told to have, so that its status may show it: what the next decision starts from, whether or
    /// not a decision since then, of which nobody was told, set something else aside.
    told: Vec<IpAddr>,
    /// What of that no pool provides any more, and until when it is kept all the same.
    leaving: Vec<Leaving>,
    verdict: Verdict,
    waiting: Option<(Place, Vec<Spot>)>,
}

impl Record {
    /// What it owns and was told of. What is set aside for it in memory alone does not exist for anybody yet.
    fn held(&self) -> Vec<IpAddr> {
        self.owned.iter().copied().filter(|ip| self.told.contains(ip)).collect()
    }

    /// What a decision starts from.
    fn basis(&self) -> Basis {
        Basis::new(&self.told, &self.owned, &self.shown)
    }
}

/// What a decision for a Service starts from. A choice that nobody was told of is no state: it is only the first to be
/// asked when a choice is to be made again.
struct Basis {
    has: Vec<IpAddr>,
    chosen: Vec<IpAddr>,
}

impl Basis {
    fn new(told: &[IpAddr], owned: &[IpAddr], shown: &[IpAddr]) -> Self {
        let is_its = |ip: &IpAddr| owned.contains(ip) || shown.contains(ip);
        Basis {
            has: told.iter().copied().filter(is_its).collect(),
            chosen: owned.iter().copied().filter(|ip| !told.contains(ip)).collect(),
        }
    }
}

/// The allocator.
#[derive(Clone, Debug, Default)]
pub struct Allocator {
    pools: Pools,
    namespaces: Namespaces,
    removed: RemovedAddress,
    grace: Duration,
    now: Duration,
    ledger: Ledger,
    records: HashMap<Arc<str>, Record>,
    queue: Queue,
    woken: BTreeSet<ServiceKey>,
    /// When a grace period ends, and whose.
    ends: BTreeSet<(Duration, Arc<str>)>,
    last: LastAddresses,
}

/// How a Service stands.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Its addresses, in publishing order.
    pub addresses: Vec<IpAddr>,
    /// How it came to them, or why it has no more.
    pub verdict: Verdict,
    /// Addresses that its status showed when it was last seen, and that are not its own: they are free for others
    /// once a status without them is seen.
    pub outdated: Vec<IpAddr>,
    /// Which addresses of its status it has lost, and why.
    pub lost: Vec<Lost>,
}

impl Allocator {
    /// An allocator without pools and Services.
    pub fn new(removed: RemovedAddress) -> Self {
        Allocator { removed, ..Allocator::default() }
    }

    /// Uses addresses again in this order.
    pub fn reusing(self, reuse: Reuse) -> Self {
        Allocator { ledger: Ledger::new(reuse), ..self }
    }

    /// Keeps an address that no pool provides any more for so long as if one did, in case the pool comes back.
    pub fn with_grace(self, grace: Duration) -> Self {
        Allocator { grace, ..self }
    }

    /// Tells it the time, counted from any moment that stays the same. It never goes back.
    pub fn set_now(&mut self, now: Duration) {
        self.now = self.now.max(now);
    }

    /// When the next grace period ends: [`end_graces`](Allocator::end_graces) is to be called then.
    pub fn next_end(&self) -> Option<Duration> {
        self.ends.first().map(|(end, _)| *end)
    }

    /// Decides again where a grace period is over by [now](Allocator::set_now).
    pub fn end_graces(&mut self) {
        if self.next_end().is_some_and(|end| end <= self.now) {
            self.settle_all();
        }
    }

    /// The pools in force.
    pub fn pools(&self) -> &Pools {
        &self.pools
    }

    /// Rebuilds everything from what the cluster shows.
    ///
    /// First every shown address is taken, before anybody may ask for one; then those that need something are
    /// served in the order of [`Rank`](crate::waiting::Rank), oldest first. Where two Services that do not share show the same
    /// address, the one that asks for that very address keeps it, else the oldest of those without mistakes.
    pub fn resume(&mut self, services: Vec<Seen>) {
        self.records.clear();
        self.ends.clear();
        self.queue = Queue::default();
        self.ledger.clear();
        self.ledger.fit(&self.pools);
        let mut services = services;
        services.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        let turn = |seen: &Seen, ip: IpAddr| match &seen.interest {
            Interest::Serve(request) if request.asks_for(ip) => 0,
            Interest::Serve(_) | Interest::Avoid => 1,
            // Who asks for what cannot be may have changed its key or ports besides: that harms nobody else.
            Interest::Protect => 2,
        };
        let published: Vec<Vec<IpAddr>> = services.iter().map(|seen| seen.published.clone()).collect();
        let turns: Vec<Vec<u8>> =
            services.iter().map(|seen| seen.published.iter().map(|ip| turn(seen, *ip)).collect()).collect();
        let uids: Vec<Arc<str>> = services.into_iter().map(|seen| self.note(seen)).collect();
        for now in 0..=2 {
            for (i, uid) in uids.iter().enumerate() {
                for (ip, turn) in published[i].iter().zip(&turns[i]) {
                    if *turn == now {
                        self.register(uid, *ip);
                    }
                }
            }
        }
        for (uid, published) in uids.iter().zip(&published) {
            if let Some(record) = self.records.get_mut(uid) {
                record.owned.sort_by_key(|ip| published.iter().position(|shown| shown == ip));
                record.told.clone_from(&record.owned);
            }
        }
        self.settle_all();
        self.woken.clear();
    }

    /// Serves a Service, newly seen or changed, and says how it stands.
    pub fn ensure(&mut self, seen: Seen) -> State {
        let published = seen.published.clone();
        let uid = self.look_at(seen);
        self.settle(&uid);
        self.serve_waiting();
        let lost = self.lost(&uid, &published);
        let Some(record) = self.records.get_mut(&uid) else {
            return State { addresses: Vec::new(), verdict: Verdict::Served, outdated: Vec::new(), lost };
        };
        record.told.clone_from(&record.owned);
        // It is told now; no need to wake it for what it hears.
        self.woken.remove(&record.holder.id.key);
        State {
            addresses: record.owned.clone(),
            verdict: record.verdict.clone(),
            outdated: record.shown.clone(),
            lost,
        }
    }

    fn lost(&self, uid: &str, published: &[IpAddr]) -> Vec<Lost> {
        let Some(Record { interest: Interest::Serve(request), owned, .. }) = self.records.get(uid) else {
            return Vec::new();
        };
        let lost = published.iter().copied().filter(|ip| !owned.contains(ip));
        lost.map(|ip| Lost { ip, why: why_lost(self.world(), request, ip) }).collect()
    }

    /// What the Service's status shows now, and what [`ensure`](Allocator::ensure) would answer. Changes nothing.
    pub fn preview(&self, seen: &Seen) -> (Vec<IpAddr>, State) {
        let uid = seen.id.uid.as_str();
        let known = self.records.get(uid).filter(|record| !matches!(record.interest, Interest::Avoid));
        let (told, owned, outdated): (_, Vec<IpAddr>, Vec<IpAddr>) = match known {
            Some(record) => {
                let told = record.told_by(&seen.published).unwrap_or_else(|| record.told.clone());
                (told, record.owned.clone(), record.shown.clone())
            }
            None => {
                let free = |ip: &IpAddr| self.ledger.owner_in_the_way(*ip, uid, &seen.sharing).is_none();
                let (owned, shown) = seen.published.iter().partition(|ip| free(ip));
                (seen.published.clone(), owned, shown)
            }
        };
        let (addresses, verdict) = match &seen.interest {
            Interest::Serve(request) => {
                let Basis { has, chosen } = Basis::new(&told, &owned, &outdated);
                let leaving = known.map(|record| record.leaving.as_slice()).unwrap_or_default();
                let last = self.last.of(&seen.id.key);
                let standing = Standing { has: &has, chosen: &chosen, shown: &outdated, last, leaving };
                let decision = decide(self.world(), standing, request);
                (decision.hold, decision.verdict)
            }
            Interest::Protect | Interest::Avoid => (owned, Verdict::Served),
        };
        (seen.published.clone(), State { addresses, verdict, outdated, lost: Vec::new() })
    }

    fn world(&self) -> World<'_> {
        World {
            pools: &self.pools,
            namespaces: &self.namespaces,
            ledger: &self.ledger,
            removed: self.removed,
            grace: self.grace,
            now: self.now,
        }
    }

    /// What a Service has, as far as anybody was told; none if it has nothing.
    pub fn get(&self, uid: &str) -> Option<Vec<IpAddr>> {
        self.records.get(uid).map(Record::held).filter(|held| !held.is_empty())
    }

    /// Forgets a Service and frees what it had.
    pub fn delete(&mut self, uid: &str) {
        self.remove(uid);
        self.serve_waiting();
    }

    fn remove(&mut self, uid: &str) {
        let Some(record) = self.records.remove(uid) else { return };
        if let Some((place, spots)) = &record.waiting {
            self.queue.leave(place, spots);
        }
        for ip in record.owned.iter().chain(&record.shown) {
            self.ledger.leave(&self.pools, *ip, uid);
        }
        for leaving in &record.leaving {
            self.ends.remove(&(leaving.until, uid.into()));
        }
        let held = record.held();
        if !held.is_empty() && !matches!(record.interest, Interest::Avoid) {
            self.last.remember(&record.holder.id.key, held);
        }
        self.woken.remove(&record.holder.id.key);
    }

    /// Puts other pools in force.
    pub fn set_pools(&mut self, pools: Pools) {
        if pools == self.pools {
            return;
        }
        let before = mem::replace(&mut self.pools, pools);
        self.ledger.fit(&self.pools);
        self.settle_all();
        // Who has its address from a pool of another name now is to be told so.
        let name = |pools: &Pools, ip: IpAddr| pools.owner(ip).map(|pool| pool.name.clone());
        for record in self.records.values().filter(|record| !matches!(record.interest, Interest::Avoid)) {
            if record.owned.iter().any(|ip| name(&before, *ip) != name(&self.pools, *ip)) {
                self.woken.insert(record.holder.id.key.clone());
            }
        }
    }

    /// Replaces all that is known of namespaces.
    pub fn set_namespaces(&mut self, namespaces: Namespaces) {
        let before = mem::replace(&mut self.namespaces, namespaces);
        let names: BTreeSet<&String> = before.keys().chain(self.namespaces.keys()).collect();
        if names.iter().any(|name| self.opens_differently(name, before.get(*name))) {
            self.settle_all();
        }
    }

    /// Takes note of one namespace's labels; none: it is gone. Costs nothing where no pool selects by them.
    pub fn set_namespace(&mut self, name: &str, labels: Option<Labels>) {
        let before = match labels {
            Some(labels) => self.namespaces.insert(name.to_owned(), labels),
            None => self.namespaces.remove(name),
        };
        if self.opens_differently(name, before.as_ref()) {
            self.settle_all();
        }
    }

    /// Whether some pool was open to the namespace and is not any more, or the other way round.
    fn opens_differently(&self, namespace: &str, before: Option<&Labels>) -> bool {
        let now = self.namespaces.get(namespace);
        let allocations = self.pools.iter().filter_map(|pool| pool.allocation.as_ref());
        let mut changes = allocations.map(|allocation| {
            allocation.allows_namespace(namespace, before) != allocation.allows_namespace(namespace, now)
        });
        changes.any(|changed| changed)
    }

    /// Services whose standing changed by somebody else's doing since the last call.
    pub fn take_woken(&mut self) -> Vec<ServiceKey> {
        mem::take(&mut self.woken).into_iter().collect()
    }

    /// How much of each pool is in use, by pool name.
    pub fn counters(&self) -> BTreeMap<String, Counters> {
        self.pools.iter().enumerate().map(|(i, pool)| (pool.name.clone(), self.ledger.counters(i))).collect()
    }

    /// Every Service that is served or protected, with what it has, as far as anybody was told.
    pub fn holdings(&self) -> impl Iterator<Item = (&ServiceId, Vec<IpAddr>)> {
        self.records
            .values()
            .filter(|record| !matches!(record.interest, Interest::Avoid))
            .map(|record| (&record.holder.id, record.held()))
    }
}
