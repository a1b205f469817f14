//! The handle on a cloud in memory: what a test may arrange, break and look at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{mpsc, watch};

use super::calls::{Call, CallState, Method};
use super::faults::{Calls, Fault, Gate, Interference, Order, Point, meets};
use super::platform::{Firewall, LoadBalancer, Platform};
use super::settings::Settings;
use crate::error::Error;
use crate::service::{ServiceId, ServiceKey};

/// A cloud in memory. Clones are the same cloud; it outlives its [providers](MemoryCloud::provider), which stand
/// for processes.
///
/// It keeps load balancers under names that follow from the Service's UID, and a firewall beside each, so that
/// there is something half-made when a call dies in the middle.
#[derive(Clone, Debug, Default)]
pub struct MemoryCloud {
    state: Arc<Mutex<CloudState>>,
    /// Counts every change of `calls`, for those who wait.
    calls_changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct CloudState {
    settings: Settings,
    platform: Platform,
    processes: usize,
    calls: Vec<Call>,
    /// Which of the calls are under way, so that finding two at once costs the same after many calls.
    running: BTreeSet<usize>,
    orders: Vec<Order>,
    failed_by_order: usize,
    complaints: Vec<String>,
    wakeups: Vec<mpsc::UnboundedSender<ServiceKey>>,
}

impl MemoryCloud {
    /// An empty cloud with the default [`Settings`].
    pub fn new() -> Self {
        MemoryCloud::with(Settings::default())
    }

    /// An empty cloud.
    pub fn with(settings: Settings) -> Self {
        let cloud = MemoryCloud::default();
        cloud.lock().settings = settings;
        cloud
    }

    /// Makes room for another process: its number, how the cloud behaves now, and its wake-ups.
    pub(super) fn begin_process(&self) -> (usize, Settings, mpsc::UnboundedReceiver<ServiceKey>) {
        let (sender, wakeups) = mpsc::unbounded_channel();
        let mut state = self.lock();
        state.wakeups.push(sender);
        state.processes += 1;
        (state.processes, state.settings.clone(), wakeups)
    }

    /// Changes how it behaves from now on; what exists stays as it is.
    pub fn change(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.lock().settings);
    }

    /// How it behaves.
    pub fn settings(&self) -> Settings {
        self.lock().settings.clone()
    }

    /// The load balancers by name.
    pub fn load_balancers(&self) -> BTreeMap<String, LoadBalancer> {
        self.lock().platform.balancers.clone()
    }

    /// The load balancer of the Service with this key; if there are several, from a Service deleted and made
    /// anew, the newest.
    pub fn load_balancer_of(&self, key: &ServiceKey) -> Option<LoadBalancer> {
        let state = self.lock();
        state
            .platform
            .balancers
            .values()
            .filter(|it| it.owner.key == *key)
            .max_by_key(|it| it.number)
            .cloned()
    }

    /// The firewalls by name.
    pub fn firewalls(&self) -> BTreeMap<String, Firewall> {
        self.lock().platform.firewalls.clone()
    }

    /// Whether nothing is left, half-made things included.
    pub fn is_empty(&self) -> bool {
        let state = self.lock();
        state.platform.balancers.is_empty() && state.platform.firewalls.is_empty()
    }

    /// Somebody deletes everything of this Service behind the controller's back.
    pub fn vandalise(&self, key: &ServiceKey) {
        let mut state = self.lock();
        state.platform.balancers.retain(|_, it| it.owner.key != *key);
        state.platform.firewalls.retain(|_, it| it.owner.key != *key);
    }

    /// Somebody takes all nodes from behind this Service's load balancers behind the controller's back.
    pub fn take_nodes_off(&self, key: &ServiceKey) {
        for balancer in self.lock().platform.balancers.values_mut().filter(|it| it.owner.key == *key) {
            balancer.forwarding.nodes.clear();
        }
    }

    /// Every load balancer that is provisioning becomes active, and its Service is worth another look.
    pub fn activate_all(&self) {
        let mut woken = Vec::new();
        for balancer in self.lock().platform.balancers.values_mut().filter(|it| !it.active) {
            balancer.active = true;
            woken.push(balancer.owner.key.clone());
        }
        woken.iter().for_each(|key| self.wake(key));
    }

    /// Tells every process that this Service is worth another look.
    pub fn wake(&self, key: &ServiceKey) {
        self.lock().wakeups.retain(|process| process.send(key.clone()).is_ok());
    }
}

/// What goes wrong.
impl MemoryCloud {
    /// These calls fail at this point.
    pub fn fail(&self, calls: Calls, point: Point, fault: impl Into<Fault>) {
        self.order(calls, point, Interference::Fail(fault.into()));
    }

    /// These calls wait at this point until the gate is released.
    pub fn hold(&self, calls: Calls, point: Point) -> Gate {
        let (gate, hold) = Gate::new();
        self.order(calls, point, hold);
        gate
    }

    /// These calls take this long at this point, by tokio's clock.
    pub fn slow(&self, calls: Calls, point: Point, time: Duration) {
        self.order(calls, point, Interference::Sleep(time));
    }

    /// Forgets all of the above, for calls to come. How many calls failed by order since the last time.
    pub fn heal(&self) -> usize {
        let mut state = self.lock();
        state.orders.clear();
        std::mem::take(&mut state.failed_by_order)
    }

    fn order(&self, calls: Calls, point: Point, interference: Interference) {
        self.lock().orders.push(Order { calls, point, interference });
    }
}

/// What was asked.
impl MemoryCloud {
    /// Every call so far, in the order they started.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// How many calls of this method have started.
    pub fn count(&self, method: Method) -> usize {
        self.lock().calls.iter().filter(|call| call.method == method).count()
    }

    /// How many calls of this method for this Service have started.
    pub fn count_about(&self, method: Method, key: &ServiceKey) -> usize {
        self.lock().calls.iter().filter(|call| call.method == method && call.is_about(key)).count()
    }

    /// Where a caller broke what a provider may rely on: a call before `resume` succeeded, or two calls for one
    /// Service at once. A test of a controller ends by finding this empty.
    pub fn complaints(&self) -> Vec<String> {
        self.lock().complaints.clone()
    }

    /// Waits until `n` calls of this method have started.
    pub async fn started(&self, method: Method, n: usize) {
        self.until(|calls| calls.iter().filter(|call| call.method == method).count() >= n).await;
    }

    /// Waits until `n` calls of this method are over.
    pub async fn finished(&self, method: Method, n: usize) {
        self.until(|calls| calls.iter().filter(|call| call.method == method && call.is_over()).count() >= n)
            .await;
    }

    /// Waits until the calls so far satisfy this.
    pub async fn until(&self, satisfied: impl Fn(&[Call]) -> bool) {
        let mut changes = self.calls_changed.subscribe();
        // The sender lives in `self`, so the channel never closes.
        let _ = changes.wait_for(|_| satisfied(&self.lock().calls)).await;
    }
}

/// For the provider.
impl MemoryCloud {
    /// The platform and how it behaves, for one write or one read.
    pub(super) fn platform<T>(&self, act: impl FnOnce(&mut Platform, &Settings) -> T) -> T {
        let state = &mut *self.lock();
        act(&mut state.platform, &state.settings)
    }

    /// Records that a call starts.
    pub(super) fn begin(
        &self,
        process: usize,
        resumed: bool,
        method: Method,
        service: Option<&ServiceId>,
    ) -> RunningCall {
        let mut state = self.lock();
        let what = service.map_or_else(String::new, |service| format!(" of {service}"));
        if method != Method::Resume && !resumed {
            state.complaints.push(format!("{method:?}{what} before Resume succeeded"));
        }
        let same = |call: &&Call| {
            call.process == process && service.is_some_and(|service| call.is_about(&service.key))
        };
        if let Some(other) = state.running.iter().map(|index| &state.calls[*index]).find(same) {
            let complaint = format!("{method:?}{what} while {:?} is under way", other.method);
            state.complaints.push(complaint);
        }
        let index = state.calls.len();
        state.calls.push(Call { process, method, service: service.cloned(), state: CallState::Running });
        state.running.insert(index);
        let meets = meets(&mut state.orders, method, service);
        drop(state);
        self.calls_changed.send_modify(|changes| *changes += 1);
        RunningCall { cloud: self.clone(), index, meets }
    }

    fn lock(&self) -> MutexGuard<'_, CloudState> {
        self.state.lock()
    }
}

/// A call under way; dropping it unanswered is recorded, too.
pub(super) struct RunningCall {
    cloud: MemoryCloud,
    index: usize,
    meets: Vec<(Point, Interference)>,
}

impl RunningCall {
    /// The call has come to this point: whatever a test ordered for it happens here. Every point is a place
    /// where the caller may drop the call.
    pub(super) async fn reach(&self, point: Point) -> Result<(), Error> {
        tokio::task::yield_now().await;
        for (_, interference) in self.meets.iter().filter(|(at, _)| *at == point) {
            if let Err(error) = interference.meet().await {
                self.cloud.lock().failed_by_order += 1;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Does the call's work and records how it ended.
    pub(super) async fn run<T>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        let result = work.await;
        self.end(match &result {
            Ok(_) => CallState::Done,
            Err(error) => CallState::Failed(error.class()),
        });
        result
    }

    fn end(&self, state: CallState) {
        let mut shared = self.cloud.lock();
        if !shared.running.remove(&self.index) {
            return;
        }
        shared.calls[self.index].state = state;
        drop(shared);
        self.cloud.calls_changed.send_modify(|changes| *changes += 1);
    }
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        self.end(CallState::Dropped);
    }
}
