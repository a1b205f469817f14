//! The election against a scripted API server, in paused time.

use std::collections::VecDeque;
use std::sync::Mutex as StdMutex;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use tokio::sync::Notify;
use tokio::time::{advance, sleep, timeout};

use super::*;

mod candidates;
mod departures;
mod faults;

/// One Lease, with resourceVersions that conflict as a real server's do.
#[derive(Default)]
struct Store(StdMutex<Stored>);

#[derive(Default)]
struct Stored {
    lease: Option<Lease>,
    version: u64,
    events: Vec<String>,
}

impl Store {
    fn spec(&self) -> LeaseSpec {
        self.0.lock().unwrap().lease.clone().expect("a Lease").spec.unwrap()
    }

    fn holder(&self) -> String {
        self.spec().holder_identity.unwrap()
    }

    fn transitions(&self) -> i32 {
        self.spec().lease_transitions.unwrap()
    }

    fn events(&self) -> Vec<String> {
        self.0.lock().unwrap().events.clone()
    }

    /// Writes as somebody who does not ask.
    fn edit(&self, edit: impl FnOnce(&mut Option<Lease>)) {
        let mut stored = self.0.lock().unwrap();
        edit(&mut stored.lease);
        stored.version += 1;
        let version = stored.version.to_string();
        if let Some(lease) = &mut stored.lease {
            lease.metadata.resource_version = Some(version);
        }
    }

    fn write(
        &self,
        lease: &Lease,
        expects: impl FnOnce(&Option<Lease>) -> bool,
    ) -> Result<Lease, LeaseError> {
        let mut stored = self.0.lock().unwrap();
        if !expects(&stored.lease) {
            return Err(LeaseError::Conflict);
        }
        stored.version += 1;
        let mut lease = lease.clone();
        lease.metadata.resource_version = Some(stored.version.to_string());
        stored.lease = Some(lease.clone());
        Ok(lease)
    }
}

/// What happens to one call.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    /// The answer takes this long; the effect comes at the end.
    Slow(Duration),
    /// Never gets there.
    Refused,
    /// Takes effect, but no answer comes back.
    ReplyLost,
    /// Takes effect this much later, when nobody waits for the answer any more.
    Late(Duration),
}

/// One process's way to the store.
struct Line {
    store: Arc<Store>,
    identity: &'static str,
    /// For the next calls, one each.
    script: StdMutex<VecDeque<Fault>>,
    /// For all calls that the script does not cover.
    otherwise: StdMutex<Fault>,
    calls: StdMutex<Vec<(&'static str, Instant)>>,
    /// Notified when the server is back.
    back: Notify,
}

impl Line {
    fn to(store: &Arc<Store>, identity: &'static str) -> Arc<Line> {
        Arc::new(Line {
            store: Arc::clone(store),
            identity,
            script: StdMutex::default(),
            otherwise: StdMutex::new(Fault::None),
            calls: StdMutex::default(),
            back: Notify::new(),
        })
    }

    fn next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.script.lock().unwrap().extend(faults);
    }

    fn always(&self, fault: Fault) {
        *self.otherwise.lock().unwrap() = fault;
    }

    /// The calls since this was last asked.
    fn calls(&self) -> Vec<&'static str> {
        self.calls.lock().unwrap().drain(..).map(|(verb, _)| verb).collect()
    }

    async fn carry<T>(
        &self,
        verb: &'static str,
        effect: impl FnOnce() -> Result<T, LeaseError> + Send + 'static,
    ) -> Result<T, LeaseError> {
        self.calls.lock().unwrap().push((verb, Instant::now()));
        let otherwise = *self.otherwise.lock().unwrap();
        let fault = self.script.lock().unwrap().pop_front().unwrap_or(otherwise);
        match fault {
            Fault::None => effect(),
            Fault::Slow(latency) => {
                sleep(latency).await;
                effect()
            }
            Fault::Refused => Err(LeaseError::Api(kube::Error::Service("connection refused".into()))),
            Fault::ReplyLost => {
                let _unanswered = effect();
                std::future::pending().await
            }
            Fault::Late(delay) => {
                tokio::spawn(async move {
                    sleep(delay).await;
                    let _unanswered = effect();
                });
                std::future::pending().await
            }
        }
    }
}

impl LeaseApi for Line {
    fn get(&self) -> BoxFuture<'_, Result<Option<Lease>, LeaseError>> {
        let store = Arc::clone(&self.store);
        self.carry("GET", move || Ok(store.0.lock().unwrap().lease.clone())).boxed()
    }

    fn create<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<Lease, LeaseError>> {
        let (store, lease) = (Arc::clone(&self.store), lease.clone());
        self.carry("POST", move || store.write(&lease, Option::is_none)).boxed()
    }

    fn replace<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<Lease, LeaseError>> {
        let (store, lease) = (Arc::clone(&self.store), lease.clone());
        let version = |lease: &Lease| lease.metadata.resource_version.clone().expect("a resourceVersion");
        self.carry("PUT", move || {
            store.write(&lease, |stored| stored.as_ref().map(version) == Some(version(&lease)))
        })
        .boxed()
    }

    fn wait_for_comeback(&self, until: Instant) -> BoxFuture<'_, ()> {
        async move {
            tokio::select! {
                () = sleep_until(until) => {}
                () = self.back.notified() => {}
            }
        }
        .boxed()
    }

    fn announce<'a>(&'a self, _: &'a Lease, change: TermChange) -> BoxFuture<'a, Result<(), LeaseError>> {
        async move {
            self.store.0.lock().unwrap().events.push(format!("{} {change:?}", self.identity));
            Ok(())
        }
        .boxed()
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// A candidate with the default times: lease 15 s, deadline 10 s, retry 2 s, request timeout 5 s.
fn candidate(store: &Arc<Store>, identity: &'static str) -> (Leadership, Arc<Line>) {
    let line = Line::to(store, identity);
    (Leadership::over(line.clone(), LeaderConfig::new("kube-system", "ccm").identified_by(identity)), line)
}

/// Runs everything that is due by `duration` from now.
async fn pass(duration: Duration) {
    sleep(duration).await;
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
}
