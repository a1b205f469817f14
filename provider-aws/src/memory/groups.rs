//! Security groups: those that this process made, those that it may have made without being told, and those of nodes
//! that are open.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use cloud_provider::Ordered;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::client::Traffic;

/// What is remembered of security groups.
///
/// EC2 takes a moment to show a new group. That moment is counted from when the group was, or may have been, made, not
/// from when somebody begins to wait for it: a call that is dropped while it waits, and called again, would otherwise
/// wait for ever.
#[derive(Debug)]
pub(crate) struct GroupMemory {
    started: Instant,
    /// Made by this process, by Service and id, with the moment.
    made: Mutex<HashMap<String, BTreeMap<String, Instant>>>,
    /// Names of groups that a request of this process may have made without telling, with the last moment at which it
    /// was under way.
    doubted: Mutex<BTreeMap<String, Instant>>,
    /// Services that were being served for the first time when this process began, if it has been told: another
    /// process may have made something for them just before.
    inherited: Mutex<Option<BTreeSet<String>>>,
    /// The backend security group that this process made, with the moment.
    backend: Mutex<Option<(String, Instant)>>,
    /// What the groups of nodes are known to let in from our load balancers.
    opened: Mutex<BTreeMap<String, BTreeSet<Traffic>>>,
}

impl Default for GroupMemory {
    fn default() -> Self {
        GroupMemory {
            started: Instant::now(),
            made: Mutex::default(),
            doubted: Mutex::default(),
            inherited: Mutex::default(),
            backend: Mutex::default(),
            opened: Mutex::default(),
        }
    }
}

impl GroupMemory {
    /// How long a new security group may be hidden; seconds at AWS.
    const EC2_SETTLE_TIME: Duration = Duration::from_secs(10);

    /// This process made a security group for a Service.
    pub(crate) fn made(&self, uid: &str, id: &str) {
        self.made.lock().entry(uid.to_owned()).or_default().insert(id.to_owned(), Instant::now());
    }

    /// There is no such security group of a Service any more.
    pub(crate) fn gone(&self, uid: &str, id: &str) {
        if let Some(groups) = self.made.lock().get_mut(uid) {
            groups.remove(id);
        }
    }

    /// Whether this process made the security group so recently that EC2 may not show it yet.
    pub(crate) fn may_be_unseen(&self, uid: &str, id: &str) -> bool {
        let since = self.made.lock().get(uid).and_then(|groups| groups.get(id).copied());
        since.is_some_and(|since| since.elapsed() < Self::EC2_SETTLE_TIME)
    }

    /// The security groups that this process made for a Service.
    pub(crate) fn made_for(&self, uid: &str) -> BTreeSet<String> {
        self.made.lock().get(uid).into_iter().flat_map(BTreeMap::keys).cloned().ordered()
    }

    /// A security group of this name is about to be made; unless the outcome becomes known, there may be one.
    pub(crate) fn doubt(&self, name: &str) -> Doubt<'_> {
        let doubt = Doubt { groups: self, name: name.to_owned(), is_settled: false };
        doubt.renew();
        doubt
    }

    /// It is known whether there is a security group of this name.
    pub(crate) fn trust(&self, name: &str) {
        self.doubted.lock().remove(name);
    }

    /// These Services had no address yet when this process began.
    pub(crate) fn inherit(&self, uids: impl Iterator<Item = String>) {
        *self.inherited.lock() = Some(uids.ordered());
    }

    /// Whether there may be a security group of this name that nobody has seen: this process asked for it and got
    /// no answer, or the one before it may have, for this Service or, none, for any.
    pub(crate) fn is_doubted(&self, name: &str, uid: Option<&str>) -> bool {
        let inherited = match (&*self.inherited.lock(), uid) {
            (None, _) => true,
            (Some(uids), Some(uid)) => uids.contains(uid),
            (Some(uids), None) => !uids.is_empty(),
        };
        let doubted = self.doubted.lock().get(name).copied();
        let is_recent = |since: Instant| since.elapsed() < Self::EC2_SETTLE_TIME;
        inherited && is_recent(self.started) || doubted.is_some_and(is_recent)
    }

    /// The backend security group that this process made a moment ago, for those who waited for it: EC2 may not show
    /// it yet.
    pub(crate) fn new_backend(&self) -> Option<String> {
        let made = self.backend.lock().clone();
        made.filter(|(_, since)| since.elapsed() < Self::EC2_SETTLE_TIME).map(|(id, _)| id)
    }

    /// Whether this process made the security group, for this Service or for all, so recently that EC2 may not know it
    /// everywhere.
    pub(crate) fn is_new(&self, uid: &str, id: &str) -> bool {
        self.may_be_unseen(uid, id) || self.new_backend().is_some_and(|backend| backend == id)
    }

    /// This process made the backend security group, or, none, took it down.
    pub(crate) fn set_backend(&self, id: Option<String>) {
        *self.backend.lock() = id.map(|id| (id, Instant::now()));
    }

    /// A security group of nodes lets this in. Said only after AWS said so.
    pub(crate) fn opened(&self, node_group: &str, traffic: impl IntoIterator<Item = Traffic>) {
        self.opened.lock().entry(node_group.to_owned()).or_default().extend(traffic);
    }

    /// Whether a security group of nodes is known to let this in.
    pub(crate) fn is_open(&self, node_group: &str, traffic: &BTreeSet<Traffic>) -> bool {
        self.opened.lock().get(node_group).is_some_and(|known| traffic.is_subset(known))
    }

    /// A security group of nodes is to be looked at again: somebody may have taken rules out of it.
    pub(crate) fn doubt_open(&self, node_group: &str) {
        self.opened.lock().remove(node_group);
    }

    /// The security groups of nodes that are open; none is remembered afterwards.
    pub(crate) fn take_opened(&self) -> Vec<String> {
        std::mem::take(&mut *self.opened.lock()).into_keys().collect()
    }

    pub(super) fn forget(&self, uid: &str) {
        self.made.lock().remove(uid);
    }
}

/// A request for a new security group is under way, or ended without telling.
pub(crate) struct Doubt<'a> {
    groups: &'a GroupMemory,
    name: String,
    is_settled: bool,
}

impl Doubt<'_> {
    /// The outcome is known.
    pub(crate) fn settle(mut self) {
        self.is_settled = true;
        self.groups.trust(&self.name);
    }

    fn renew(&self) {
        let mut doubted = self.groups.doubted.lock();
        doubted.retain(|_, since| since.elapsed() < GroupMemory::EC2_SETTLE_TIME);
        doubted.insert(self.name.clone(), Instant::now());
    }
}

/// Whoever asked gave up, or was given up on: up to now the request may have been sent.
impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if !self.is_settled {
            self.renew();
        }
    }
}
