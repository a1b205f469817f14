//! What this process remembers of each Service, so that it need not ask. Forgetting it costs reads, nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::client::{Target, Ticket};
use crate::naming;

/// What is remembered, by Service UID.
#[derive(Debug)]
pub(crate) struct Memory {
    started: Instant,
    services: Mutex<HashMap<String, Remembered>>,
    /// The places in line for requests of Services that are not served yet.
    tickets: Mutex<HashMap<String, Ticket>>,
    /// Services whose load balancer is being worked on.
    at_work: Mutex<BTreeMap<String, usize>>,
    /// Security groups that this process made, by Service.
    made_groups: Mutex<HashMap<String, BTreeSet<String>>>,
    /// Names of security groups that a request of this process may have made without telling.
    doubted_groups: Mutex<BTreeSet<String>>,
    /// Services that were being served for the first time when this process began, if it has been told: another
    /// process may have made something for them just before.
    inherited: Mutex<Option<BTreeSet<String>>>,
    /// Security groups of nodes that are open.
    opened: Mutex<BTreeSet<String>>,
    /// Load balancers that zones were taken out of, with the moment.
    zones_taken_out: Mutex<HashMap<String, Instant>>,
}

#[derive(Debug)]
struct Remembered {
    /// When everything is read back again.
    verify_at: Instant,
    /// Targets by target group ARN, after the last call that changed or read them.
    targets: BTreeMap<String, BTreeSet<Target>>,
    /// The digest of the instances that are registered, once they are.
    registered: Option<String>,
}

impl Default for Memory {
    fn default() -> Self {
        Memory {
            started: Instant::now(),
            services: Mutex::default(),
            tickets: Mutex::default(),
            at_work: Mutex::default(),
            made_groups: Mutex::default(),
            doubted_groups: Mutex::default(),
            inherited: Mutex::default(),
            opened: Mutex::default(),
            zones_taken_out: Mutex::default(),
        }
    }
}

impl Memory {
    /// How long a new security group may be hidden; seconds at AWS.
    const EC2_SETTLES: Duration = Duration::from_secs(10);

    /// How long a zone may take to go; ELB guide: up to three minutes.
    const ZONE_LEAVES: Duration = Duration::from_secs(10 * 60);

    /// Whether everything about a Service should be read back. One that is new to this process has its first
    /// turn at a moment that follows from its UID, so that a new leader does not verify all at once.
    pub(crate) fn is_verification_due(&self, uid: &str, period: Duration) -> bool {
        let now = Instant::now();
        self.service(uid, period, |remembered| remembered.verify_at <= now)
    }

    /// Everything was read back.
    pub(crate) fn verified(&self, uid: &str, period: Duration) {
        self.service(uid, period, |remembered| remembered.verify_at = Instant::now() + period);
    }

    /// The targets of a target group, if they are known.
    pub(crate) fn targets(&self, uid: &str, target_group: &str) -> Option<BTreeSet<Target>> {
        lock(&self.services).get(uid)?.targets.get(target_group).cloned()
    }

    /// The targets of a target group are these.
    pub(crate) fn set_targets(
        &self,
        uid: &str,
        period: Duration,
        target_group: &str,
        targets: BTreeSet<Target>,
    ) {
        self.service(uid, period, |remembered| {
            remembered.targets.insert(target_group.to_owned(), targets);
        });
    }

    /// The targets of a Service are about to change: until the outcome is known, nothing is.
    pub(crate) fn doubt_targets(&self, uid: &str) {
        if let Some(remembered) = lock(&self.services).get_mut(uid) {
            remembered.targets.clear();
            remembered.registered = None;
        }
    }

    /// The digest of the registered instances, if this process registered them.
    pub(crate) fn registered(&self, uid: &str) -> Option<String> {
        lock(&self.services).get(uid)?.registered.clone()
    }

    /// All target groups of a Service hold the instances of this digest.
    pub(crate) fn set_registered(&self, uid: &str, period: Duration, digest: Option<String>) {
        self.service(uid, period, |remembered| remembered.registered = digest);
    }

    /// This process made a security group for a Service.
    pub(crate) fn made_group(&self, uid: &str, id: &str) {
        lock(&self.made_groups).entry(uid.to_owned()).or_default().insert(id.to_owned());
    }

    /// A security group of this name is about to be made; until the outcome is known, there may be one.
    pub(crate) fn doubt_group(&self, name: &str) {
        lock(&self.doubted_groups).insert(name.to_owned());
    }

    /// It is known whether there is a security group of this name.
    pub(crate) fn trust_group(&self, name: &str) {
        lock(&self.doubted_groups).remove(name);
    }

    /// These Services had no address yet when this process began.
    pub(crate) fn inherit(&self, uids: impl Iterator<Item = String>) {
        *lock(&self.inherited) = Some(uids.collect());
    }

    /// Whether there may be a security group of this name that nobody has seen: this process asked for it and got
    /// no answer, or the one before it may have, for this Service or, none, for any.
    pub(crate) fn is_group_doubted(&self, name: &str, uid: Option<&str>) -> bool {
        let inherited = match (&*lock(&self.inherited), uid) {
            (None, _) => true,
            (Some(uids), Some(uid)) => uids.contains(uid),
            (Some(uids), None) => !uids.is_empty(),
        };
        inherited && self.started.elapsed() < Self::EC2_SETTLES || lock(&self.doubted_groups).contains(name)
    }

    /// The security groups that this process made for a Service.
    pub(crate) fn made_groups(&self, uid: &str) -> BTreeSet<String> {
        lock(&self.made_groups).get(uid).cloned().unwrap_or_default()
    }

    /// Since when a Service has been waiting to be served: its requests go before those of Services that came later.
    pub(crate) fn ticket(&self, uid: &str) -> Ticket {
        *lock(&self.tickets).entry(uid.to_owned()).or_insert_with(Ticket::draw)
    }

    /// The Service is served, or waits for its user: it does not go before others any more.
    pub(crate) fn give_ticket_back(&self, uid: &str) {
        lock(&self.tickets).remove(uid);
    }

    /// Forgets a Service.
    pub(crate) fn forget(&self, uid: &str) {
        self.give_ticket_back(uid);
        lock(&self.services).remove(uid);
        lock(&self.made_groups).remove(uid);
    }

    /// Marks a Service as being worked on until the guard goes.
    pub(crate) fn at_work(&self, uid: &str) -> AtWork<'_> {
        *lock(&self.at_work).entry(uid.to_owned()).or_default() += 1;
        AtWork { memory: self, uid: uid.to_owned() }
    }

    /// Whether any Service is being worked on.
    pub(crate) fn is_anyone_at_work(&self) -> bool {
        !lock(&self.at_work).is_empty()
    }

    /// Zones are taken out of a load balancer, to come back.
    pub(crate) fn zones_taken_out(&self, load_balancer: &str) {
        let mut taken = lock(&self.zones_taken_out);
        taken.retain(|_, since| since.elapsed() < Self::ZONE_LEAVES);
        taken.insert(load_balancer.to_owned(), Instant::now());
    }

    /// Whether AWS may still be about to let go of zones of a load balancer, which the process before this one may
    /// have taken out.
    pub(crate) fn may_zones_be_leaving(&self, load_balancer: &str) -> bool {
        let taken = lock(&self.zones_taken_out);
        let since = taken.get(load_balancer).unwrap_or(&self.started);
        since.elapsed() < Self::ZONE_LEAVES
    }

    /// A security group of nodes is open.
    pub(crate) fn opened(&self, node_group: &str) {
        lock(&self.opened).insert(node_group.to_owned());
    }

    /// Whether all these security groups of nodes are known to be open.
    pub(crate) fn are_open(&self, node_groups: &BTreeSet<String>) -> bool {
        node_groups.is_subset(&lock(&self.opened))
    }

    /// The security groups of nodes that are open; none is remembered afterwards.
    pub(crate) fn take_opened(&self) -> BTreeSet<String> {
        std::mem::take(&mut *lock(&self.opened))
    }

    fn service<T>(&self, uid: &str, period: Duration, act: impl FnOnce(&mut Remembered) -> T) -> T {
        let mut services = lock(&self.services);
        let remembered = services.entry(uid.to_owned()).or_insert_with(|| Remembered {
            verify_at: Instant::now() + spread(uid, period),
            targets: BTreeMap::new(),
            registered: None,
        });
        act(remembered)
    }
}

/// A moment within the period, the same for a Service in every process.
fn spread(uid: &str, period: Duration) -> Duration {
    let share = u8::from_str_radix(&naming::hex(&[uid])[..2], 16).unwrap_or(0);
    period.mul_f64((f64::from(share) + 1.0) / 256.0)
}

/// Says that a Service is being worked on.
pub(crate) struct AtWork<'a> {
    memory: &'a Memory,
    uid: String,
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        let mut at_work = lock(&self.memory.at_work);
        if let Some(count) = at_work.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                at_work.remove(&self.uid);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
