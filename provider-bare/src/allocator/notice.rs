//! Taking note of what the cluster shows.

use std::collections::BTreeSet;
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;

use super::{Allocator, Interest, Record, Seen};
use crate::desired::Sharing;
use crate::ledger::Holder;
use crate::verdict::Verdict;

impl Record {
    /// What it was told to have, now that its status shows this; none if that is no news. A status that still shows
    /// what it showed before the last answer was not written: then that answer is as if it had not been given.
    pub(super) fn told_by(&self, published: &[IpAddr]) -> Option<Vec<IpAddr>> {
        let is_its = |ip: &&IpAddr| self.owned.contains(ip) || self.shown.contains(ip);
        let shows_its_last_answer = published.iter().any(|ip| self.told.contains(ip));
        let told: Vec<IpAddr> = published.iter().filter(is_its).copied().collect();
        (!shows_its_last_answer && !told.is_empty()).then_some(told)
    }
}

impl Allocator {
    /// Adds or updates a Service's record without deciding anything.
    pub(super) fn look_at(&mut self, seen: Seen) -> Arc<str> {
        let uid = seen.id.uid.as_str();
        let earlier = self.records.get(uid).map(|record| matches!(record.interest, Interest::Avoid));
        if earlier == Some(true) {
            // It was somebody else's until now: what it shows is taken over, if nobody is in the way.
            self.remove(&seen.id.uid);
        }
        let known = earlier == Some(false);
        let published = seen.published.clone();
        let uid = self.note(seen);
        if known {
            self.confirm(&uid, &published);
            if let Some(record) = self.records.get_mut(&uid)
                && let Some(told) = record.told_by(&published)
            {
                record.told = told;
            }
        } else {
            published.iter().for_each(|ip| self.register(&uid, *ip));
            if let Some(record) = self.records.get_mut(&uid) {
                record.told.clone_from(&record.owned);
            }
        }
        uid
    }

    pub(super) fn note(&mut self, seen: Seen) -> Arc<str> {
        let Seen { id, created, sharing, interest, .. } = seen;
        if let Some((uid, _)) = self.records.get_key_value(id.uid.as_str()) {
            let uid = uid.clone();
            self.update(&uid, sharing, interest);
            return uid;
        }
        let uid: Arc<str> = id.uid.as_str().into();
        let holder = Arc::new(Holder { id, sharing });
        let record = Record {
            entered: holder.clone(),
            holder,
            created,
            interest,
            owned: Vec::new(),
            shown: Vec::new(),
            told: Vec::new(),
            leaving: Vec::new(),
            verdict: Verdict::Served,
            waiting: None,
        };
        self.records.insert(uid.clone(), record);
        uid
    }

    pub(super) fn update(&mut self, uid: &str, sharing: Sharing, interest: Interest) {
        let Some(record) = self.records.get_mut(uid) else { return };
        record.interest = interest;
        if record.holder.sharing == sharing {
            return;
        }
        let protect = matches!(record.interest, Interest::Protect);
        let in_the_way = |ip: &IpAddr| self.ledger.owner_in_the_way(*ip, uid, &sharing).is_some();
        if protect && record.owned.iter().any(in_the_way) {
            // What it has stays, and so does what others share it by.
            return;
        }
        record.holder = Arc::new(Holder { id: record.holder.id.clone(), sharing });
        if protect {
            // Nothing is decided for it, so this is the place to let its ports and key of now be known.
            for ip in &record.owned {
                self.ledger.leave(&self.pools, *ip, uid);
                self.ledger.own(&self.pools, *ip, &record.holder);
            }
            record.entered = record.holder.clone();
        }
    }

    /// Takes an address that a status shows: for that Service, or out of everybody's reach.
    pub(super) fn register(&mut self, uid: &str, ip: IpAddr) {
        let Some(record) = self.records.get_mut(uid) else { return };
        if record.owned.contains(&ip) || record.shown.contains(&ip) {
            return;
        }
        let ours = !matches!(record.interest, Interest::Avoid);
        if ours && self.ledger.owner_in_the_way(ip, uid, &record.holder.sharing).is_none() {
            self.ledger.own(&self.pools, ip, &record.holder);
            record.owned.push(ip);
        } else {
            self.ledger.show(&self.pools, ip, &record.holder);
            record.shown.push(ip);
        }
    }

    /// A status that shows what we last answered shows nothing else any more.
    pub(super) fn confirm(&mut self, uid: &str, published: &[IpAddr]) {
        let Some(record) = self.records.get_mut(uid) else { return };
        if record.shown.is_empty() || matches!(record.interest, Interest::Avoid) {
            return;
        }
        let as_set = |ips: &[IpAddr]| ips.iter().copied().collect::<BTreeSet<_>>();
        if as_set(published) == as_set(&record.told) && as_set(&record.told) == as_set(&record.owned) {
            for ip in mem::take(&mut record.shown) {
                self.ledger.leave(&self.pools, ip, uid);
            }
        }
    }
}
