//! The one allocator of a provider, and who hears of its changes.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cloud_provider::{Ordered, ProviderCondition, ServiceKey, WakeupStream};
use futures::{Stream, StreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use metallb::crd::IPAddressPoolStatus;
use metallb::pool::Definition;
use metallb::pools::{PoolKey, PoolMistakes};

use crate::allocator::Allocator;
use crate::announced::{Look, Statements};

/// When to look again whether a status still shows an address that its Service lost. Late enough for the write
/// to come back to us, and for a write that keeps failing not to be pushed.
const CONFIRM_STATUS_AFTER: Duration = Duration::from_secs(5);

/// The allocator behind a lock that is never held across an await.
#[derive(Debug)]
pub(crate) struct SharedAllocator {
    allocator: Mutex<Allocator>,
    /// What the allocator's time is counted from.
    start: Instant,
    /// Where news go, once somebody [listens](SharedAllocator::wakeups). A process may stand by for months and hear all that
    /// announcers say: what nobody listens to is not kept.
    listener: OnceLock<Listener>,
    /// Who says that they announce a Service.
    statements: Mutex<Statements>,
    /// The counters of some pool may have changed.
    pub(crate) counted: Arc<Notify>,
}

#[derive(Debug)]
struct Listener {
    wake: UnboundedSender<ServiceKey>,
    /// Who is to be looked at later, and when.
    confirm: UnboundedSender<(Instant, ServiceKey)>,
    /// When a grace period of the allocator's ends.
    ends: UnboundedSender<Instant>,
}

impl SharedAllocator {
    pub(crate) fn new(allocator: Allocator) -> Self {
        SharedAllocator {
            allocator: Mutex::new(allocator),
            start: Instant::now(),
            listener: OnceLock::new(),
            statements: Mutex::default(),
            counted: Arc::default(),
        }
    }

    /// Looks at the allocator.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Allocator) -> T) -> T {
        look(&self.allocator.lock())
    }

    /// Changes the allocator, and tells those whom it concerns.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Allocator) -> T) -> T {
        let (result, woken) = {
            let mut allocator = self.allocator.lock();
            allocator.set_now(self.start.elapsed());
            let before = allocator.next_end();
            let result = change(&mut allocator);
            if let Some(end) = allocator.next_end().filter(|end| Some(*end) != before) {
                self.will_end(end);
            }
            (result, allocator.take_wakeups())
        };
        for service in woken {
            self.wake(service);
        }
        self.counted.notify_one();
        result
    }

    /// Puts these definitions in force, as far as they are right. Returns what is wrong with the others.
    pub(crate) fn define(&self, definitions: &[Definition]) -> Vec<PoolMistakes> {
        self.change(|allocator| {
            let (pools, mistakes) = allocator.pools().update(definitions);
            allocator.set_pools(pools);
            mistakes
        })
    }

    /// As [`define`](SharedAllocator::define), and the log tells what is wrong.
    pub(crate) fn put_in_force(&self, definitions: &[Definition]) -> Vec<PoolMistakes> {
        let mistakes = self.define(definitions);
        for mistakes in &mistakes {
            warn!(pool = %mistakes.pool, mistakes = %mistakes.mistakes, "address pool with mistakes");
        }
        mistakes
    }

    /// Asks for another look at a Service when its status has had the time to be written.
    pub(crate) fn look_again(&self, service: ServiceKey) {
        if let Some(listener) = self.listener.get() {
            let _ = listener.confirm.send((Instant::now() + CONFIRM_STATUS_AFTER, service));
        }
    }

    // Nobody listens, or not any more: then nobody needs to hear.

    fn wake(&self, service: ServiceKey) {
        if let Some(listener) = self.listener.get() {
            let _ = listener.wake.send(service);
        }
    }

    fn will_end(&self, end: Duration) {
        if let Some(listener) = self.listener.get() {
            let _ = listener.ends.send(self.start + end);
        }
    }

    /// Changes what is said of announcing, and has those looked at whom it concerns. [`None`] concerns all who are served.
    pub(crate) fn hear(&self, change: impl FnOnce(&mut Statements) -> Option<Vec<Look>>) {
        let looks = change(&mut self.statements.lock());
        let all = || {
            let served = |allocator: &Allocator| allocator.holdings().map(|(id, _)| id.key.clone()).collect();
            self.read::<Vec<_>>(served).into_iter().map(Look::Now).collect()
        };
        for look in looks.unwrap_or_else(all) {
            match look {
                Look::Now(service) => self.wake(service),
                Look::Soon(service) => self.look_again(service),
            }
        }
    }

    /// Who announces a Service; none while nobody could know.
    pub(crate) fn announced(&self, service: &ServiceKey) -> Option<ProviderCondition> {
        self.statements.lock().condition(service)
    }

    /// Those worth another look; nobody, when it is asked for a second time.
    pub(crate) fn wakeups(self: &Arc<Self>) -> WakeupStream {
        let ((wake, woken), (confirm, to_confirm)) = (unbounded_channel(), unbounded_channel());
        let (ends, to_end) = unbounded_channel();
        if self.listener.set(Listener { wake, confirm, ends }).is_err() {
            return Box::pin(stream::pending());
        }
        if let Some(end) = self.read(Allocator::next_end) {
            self.will_end(end);
        }
        let services = stream::select(at_once(woken), in_time(to_confirm));
        Box::pin(stream::select(services, graces(to_end, self.clone())))
    }

    /// The counters of every pool, as its status should tell them.
    pub(crate) fn statuses(&self) -> BTreeMap<PoolKey, IPAddressPoolStatus> {
        self.read(|allocator| {
            let counters = allocator.counters();
            let pools = allocator.pools().iter().map(|pool| {
                let key = PoolKey { namespace: pool.namespace.clone(), name: pool.name.clone() };
                (key, counters.get(&pool.name).copied().unwrap_or_default().status())
            });
            pools.ordered()
        })
    }
}

fn at_once(receiver: UnboundedReceiver<ServiceKey>) -> impl Stream<Item = ServiceKey> + Send {
    stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)))
}

/// Each with the same delay, so that they come due in the order they were sent.
fn in_time(receiver: UnboundedReceiver<(Instant, ServiceKey)>) -> impl Stream<Item = ServiceKey> + Send {
    stream::unfold(receiver, async |mut receiver| {
        let (due, service) = receiver.recv().await?;
        sleep_until(due).await;
        Some((service, receiver))
    })
}

/// Ends grace periods when they are over. It yields nobody itself: those whom it concerns are woken by the change.
fn graces(
    ends: UnboundedReceiver<Instant>,
    shared: Arc<SharedAllocator>,
) -> impl Stream<Item = ServiceKey> + Send {
    let over = stream::unfold((ends, shared), async |(mut ends, shared)| {
        let end = ends.recv().await?;
        sleep_until(end).await;
        shared.change(Allocator::end_graces);
        Some(((), (ends, shared)))
    });
    over.filter_map(async |()| None)
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::plan::Policy;

    #[tokio::test(start_paused = true)]
    async fn what_nobody_listens_to_is_not_kept() {
        let shared = Arc::new(SharedAllocator::new(Allocator::new(Policy::default())));
        let (unheard, heard) = (ServiceKey::new("shop", "unheard"), ServiceKey::new("shop", "heard"));
        shared.hear(|_| Some(vec![Look::Now(unheard.clone()), Look::Soon(unheard.clone())]));
        let mut wakeups = shared.wakeups();
        shared.hear(|_| Some(vec![Look::Now(heard.clone()), Look::Soon(heard.clone())]));
        assert_eq!(wakeups.next().await, Some(heard.clone()));
        assert_eq!(wakeups.next().await, Some(heard));
        timeout(2 * CONFIRM_STATUS_AFTER, wakeups.next()).await.expect_err("nobody else is told of");
    }
}
