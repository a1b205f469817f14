//! Deciding, for one Service or for all, and carrying it out.

use std::collections::HashSet;
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;

use cloud_provider::{IpFamily, ServiceId};

use super::{Allocator, Basis, Interest, Record};
use crate::plan::{Decision, Standing, decide, provides};
use crate::verdict::{Shortage, Verdict};
use crate::waiting::{Place, Queue, Rank, Spot};

impl Allocator {
    /// Decides for one Service again and carries it out. Says whether anything about it changed.
    pub(super) fn settle(&mut self, uid: &str) -> bool {
        let Some(record) = self.records.get(uid) else { return false };
        let Interest::Serve(request) = &record.interest else {
            self.wait(uid, None);
            return false;
        };
        let Basis { has, chosen } = record.basis();
        let standing = Standing {
            has: &has,
            chosen: &chosen,
            shown: &record.shown,
            last: self.last.of(&record.holder.id.key),
            leaving: &record.leaving,
        };
        let decision = decide(self.world(), standing, request);
        self.carry_out(uid, decision)
    }

    pub(super) fn carry_out(&mut self, uid: &str, decision: Decision) -> bool {
        let Decision { hold, verdict, rank, spots, leaving } = decision;
        let Some(record) = self.records.get_mut(uid) else { return false };
        if record.leaving != leaving {
            for over in mem::replace(&mut record.leaving, leaving) {
                self.ends.remove(&(over.until, uid.into()));
            }
            let ends = record.leaving.iter().map(|leaving| leaving.until).filter(|until| *until > self.now);
            self.ends.extend(ends.map(|until| (until, uid.into())));
        }
        let anew = !Arc::ptr_eq(&record.entered, &record.holder);
        for ip in record.owned.iter().filter(|ip| anew || !hold.contains(ip)) {
            self.ledger.leave(&self.pools, *ip, uid);
        }
        for ip in record.shown.extract_if(.., |ip| hold.contains(ip)) {
            self.ledger.leave(&self.pools, ip, uid);
        }
        for ip in hold.iter().filter(|ip| anew || !record.owned.contains(ip)) {
            self.ledger.own(&self.pools, *ip, &record.holder);
        }
        record.entered = record.holder.clone();
        for ip in record.owned.iter().filter(|ip| !hold.contains(ip) && record.told.contains(ip)) {
            self.ledger.show(&self.pools, *ip, &record.holder);
            record.shown.push(*ip);
        }
        let changed = record.owned != hold || is_news(&record.verdict, &verdict);
        record.owned = hold;
        record.verdict = verdict;
        let waiting = (!spots.is_empty()).then(|| {
            let id = Arc::new(record.holder.id.clone());
            (Place { rank, created: record.created, id }, spots)
        });
        self.wait(uid, waiting);
        changed
    }

    pub(super) fn wait(&mut self, uid: &str, waiting: Option<(Place, Vec<Spot>)>) {
        let Some(record) = self.records.get_mut(uid) else { return };
        if record.waiting == waiting {
            return;
        }
        if let Some((place, spots)) = &record.waiting {
            self.queue.leave(place, spots);
        }
        if let Some((place, spots)) = &waiting {
            self.queue.join(place, spots);
        }
        record.waiting = waiting;
    }

    /// Decides for everybody again, in order.
    pub(super) fn settle_all(&mut self) {
        // Positions of pools in the queue may be out of date.
        self.queue = Queue::default();
        self.records.values_mut().for_each(|record| record.waiting = None);
        let mut order: Vec<(Rank, i64, ServiceId, Arc<str>)> = self
            .records
            .iter()
            .map(|(uid, record)| (self.rank(record), record.created, record.holder.id.clone(), uid.clone()))
            .collect();
        order.sort();
        for (_, _, id, uid) in order {
            if self.settle(&uid) {
                self.woken.insert(id.key);
            }
        }
        self.serve_waiting();
    }

    /// Which place a Service has in the order, before it is decided for.
    pub(super) fn rank(&self, record: &Record) -> Rank {
        let Interest::Serve(request) = &record.interest else { return Rank::Pending };
        let removed = |ip: &IpAddr| !provides(self.world(), request, *ip);
        if request.addresses.is_some() {
            Rank::Explicit
        } else if !record.shown.is_empty() || record.owned.iter().any(removed) {
            Rank::Evicted
        } else if !record.owned.is_empty() {
            Rank::Additional
        } else {
            Rank::Pending
        }
    }

    /// Gives what became free, or fit to be joined, to those who wait for it: all of it together, so that who comes
    /// first in the queue is first whatever it needs.
    pub(super) fn serve_waiting(&mut self) {
        let mut spots: HashSet<Spot> = HashSet::new();
        let mut last: Option<Place> = None;
        loop {
            while let Some(ip) = self.ledger.next_changed() {
                spots.extend(self.spots_of(ip).into_iter().filter(|spot| self.queue.has(spot)));
                // It may help one who was passed over.
                last = None;
            }
            spots.retain(|spot| match spot {
                Spot::Pool(pool, family) => self.ledger.has_free(*pool, *family),
                Spot::Address(_) | Spot::Key(_) => true,
            });
            let Some(place) = self.queue.next(&spots, last.as_ref()).cloned() else { return };
            if self.settle(&place.id.uid) {
                self.woken.insert(place.id.key.clone());
            }
            last = Some(place);
        }
    }

    /// Whom an address can help, as it is now.
    pub(super) fn spots_of(&self, ip: IpAddr) -> Vec<Spot> {
        let mut spots = vec![Spot::Address(ip)];
        spots.extend(self.pools.site(ip).map(|site| Spot::Pool(site.pool, IpFamily::of(ip))));
        spots.extend(self.ledger.key_of(ip).map(Spot::Key));
        spots
    }
}

/// Whether a Service is worth waking for it: it stands otherwise, or somebody else is in its way.
fn is_news(before: &Verdict, after: &Verdict) -> bool {
    match (before, after) {
        (Verdict::Waiting(Shortage::InUse(before)), Verdict::Waiting(Shortage::InUse(after))) => {
            before != after
        }
        (Verdict::Waiting(before), Verdict::Waiting(after)) => {
            mem::discriminant(before) != mem::discriminant(after)
        }
        _ => mem::discriminant(before) != mem::discriminant(after),
    }
}
