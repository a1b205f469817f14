//! Whether a controller is of use, and whether its process had better be started over: what `/readyz` and `/healthz` say.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use apiserver_client::{WatchState, Watches};
use cloud_provider::Ordered;
use parking_lot::{Mutex, MutexGuard};

use crate::leader::Sight;

/// How long a watch may fail, and a candidate be without sight of the Lease, before it is useless: longer than an API
/// server takes to start, so that its restart is no reason for anything.
pub(crate) const UNHEALTHY_AFTER: Duration = Duration::from_secs(60);

/// How a controller stands. Cheap to clone, and every handle tells the same; one that no controller was given to is not
/// ready.
#[derive(Clone, Default)]
pub struct Health(Arc<Mutex<HealthState>>);

#[derive(Default)]
struct HealthState {
    phase: HealthPhase,
    watches: Option<Watches>,
    /// Of a candidate for a Lease.
    sight: Option<Sight>,
    hang: Option<Hang>,
}

/// When a reconcile hangs.
struct Hang {
    /// How long the one under way that takes longest has taken.
    longest: Box<dyn Fn() -> Duration + Send + Sync>,
    allowed: Duration,
}

#[derive(Default)]
enum HealthPhase {
    /// The lists are not in.
    #[default]
    Starting,
    /// They are, and somebody else leads.
    Waiting,
    /// It leads; why each provider is not at work, by its name.
    Leading(BTreeMap<String, Option<String>>),
}

impl Health {
    /// Whether it can do its work: its lists were read and its watches deliver; and it leads, with every provider at work,
    /// or could read the Lease.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn ready(&self) -> Result<(), String> {
        let state = self.lock();
        let watches = state.watches.as_ref().map(Watches::states).unwrap_or_default();
        if let HealthPhase::Starting = state.phase {
            return Err(why_the_lists_are_not_in(&watches));
        }
        for (name, watch) in &watches {
            if let Some(failing) = watch.failing.as_ref().filter(|f| f.since.elapsed() >= UNHEALTHY_AFTER) {
                let seconds = failing.since.elapsed().as_secs();
                return Err(format!("the watch on {name} has failed for {seconds} s: {}", failing.cause));
            }
        }
        match &state.phase {
            HealthPhase::Starting => Ok(()),
            HealthPhase::Waiting => {
                state.sight.as_ref().map_or(Ok(()), |sight| sight.within(UNHEALTHY_AFTER))
            }
            HealthPhase::Leading(providers) => {
                match providers.iter().find_map(|(name, why)| Some((name, why.as_ref()?))) {
                    Some((name, why)) => Err(format!("provider {name} is not at work: {why}")),
                    None => Ok(()),
                }
            }
        }
    }

    /// Whether it goes on: every call has a deadline, so that a reconcile which outlasts them all together hangs.
    ///
    /// # Errors
    /// What hangs.
    pub fn healthy(&self) -> Result<(), String> {
        let state = self.lock();
        let Some(Hang { longest, allowed }) = &state.hang else { return Ok(()) };
        let longest = longest();
        if longest <= *allowed {
            return Ok(());
        }
        let (seconds, allowed) = (longest.as_secs(), allowed.as_secs());
        Err(format!(
            "a reconcile hangs: it has taken {seconds} s, and all its calls together may take {allowed} s"
        ))
    }

    /// How long each watch has not delivered, by its name; zero while it does.
    pub(crate) fn failing(&self) -> BTreeMap<String, Duration> {
        let watches = self.lock().watches.as_ref().map(Watches::states).unwrap_or_default();
        let since = |watch: WatchState| watch.failing.map(|f| f.since.elapsed()).unwrap_or_default();
        watches.into_iter().map(|(name, watch)| (name, since(watch))).ordered()
    }

    /// A candidate's sight of the Lease counts.
    pub(crate) fn contends(&self, sight: Sight) {
        self.lock().sight = Some(sight);
    }

    /// A controller begins. A reconcile that takes longer than `allowed` hangs; `longest` says how long the one under way
    /// that takes longest has taken.
    pub(crate) fn begins(
        &self,
        watches: &Watches,
        longest: impl Fn() -> Duration + Send + Sync + 'static,
        allowed: Duration,
    ) {
        let mut state = self.lock();
        state.phase = HealthPhase::Starting;
        state.watches = Some(watches.clone());
        state.hang = Some(Hang { longest: Box::new(longest), allowed });
    }

    /// The lists are in.
    pub(crate) fn waits(&self) {
        self.lock().phase = HealthPhase::Waiting;
    }

    /// It leads, and none of these providers is at work yet.
    pub(crate) fn leads(&self, providers: impl Iterator<Item = String>) {
        let why = "it has not resumed yet";
        self.lock().phase =
            HealthPhase::Leading(providers.map(|name| (name, Some(why.to_owned()))).ordered());
    }

    /// Why a provider is not at work; none: it is.
    pub(crate) fn provider(&self, name: &str, why_not: Option<String>) {
        if let HealthPhase::Leading(providers) = &mut self.lock().phase {
            providers.insert(name.to_owned(), why_not);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HealthState> {
        self.0.lock()
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Health").field(&self.ready()).finish()
    }
}

fn why_the_lists_are_not_in(watches: &BTreeMap<String, WatchState>) -> String {
    let missing = watches.iter().filter(|(_, watch)| !watch.listed);
    let failing = missing.clone().find_map(|(name, watch)| Some((name, watch.failing.as_ref()?)));
    match (failing, missing.clone().next()) {
        (Some((name, failing)), _) => format!("{name} are not listed: {}", failing.cause),
        (None, Some((name, _))) => format!("starting: {name} are not listed yet"),
        (None, None) => "starting".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use cloud_provider::ServiceKey;
    use futures::StreamExt;

    use crate::metrics::{Metrics, ReconcileOutcome};
    use http::{Request, Response};
    use kube::client::Body;
    use tower::service_fn;

    use super::*;

    fn begun() -> (Health, Arc<Metrics>) {
        let silent =
            service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, Infallible>>());
        let (health, metrics) = (Health::default(), Arc::new(Metrics::default()));
        let watches = Watches::new(kube::Client::new(silent, "default"));
        let counted = metrics.clone();
        health.begins(&watches, move || counted.longest_reconcile(), Duration::from_secs(100));
        (health, metrics)
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_ready_when_it_leads_and_every_provider_is_at_work() {
        assert_eq!(Health::default().ready(), Err("starting".to_owned()));
        let (health, _) = begun();
        health.waits();
        assert_eq!(health.ready(), Ok(()), "without an election nothing more is asked for");
        health.leads(["aws", "bare"].map(str::to_owned).into_iter());
        health.provider("aws", None);
        assert_eq!(health.ready(), Err("provider bare is not at work: it has not resumed yet".to_owned()));
        health.provider("bare", Some("no pools".to_owned()));
        assert_eq!(health.ready(), Err("provider bare is not at work: no pools".to_owned()));
        health.provider("bare", None);
        assert_eq!(health.ready(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_fails_for_long_makes_it_unready() {
        let refusing = service_fn(|_: Request<Body>| async {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = http::StatusCode::FORBIDDEN;
            Ok::<_, Infallible>(response)
        });
        let watches = Watches::new(kube::Client::new(refusing, "default"));
        let health = Health::default();
        health.begins(&watches, || Duration::ZERO, Duration::MAX);
        health.waits();
        let mut events = watches.follow("services", kube::Api::<k8s_openapi::api::core::v1::Service>::all);
        tokio::spawn(async move { while events.next().await.is_some() {} });
        tokio::time::sleep(UNHEALTHY_AFTER.checked_sub(Duration::from_secs(1)).unwrap()).await;
        assert_eq!(health.ready(), Ok(()), "a server may be replaced");
        assert!(health.failing()["services"] > Duration::from_secs(50));
        tokio::time::sleep(Duration::from_secs(2)).await;
        let said = health.ready().unwrap_err();
        assert!(said.starts_with("the watch on services has failed for 6"), "{said}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_candidate_is_ready_while_it_sees_the_lease() {
        let (health, _) = begun();
        let sight = Sight::default();
        health.contends(sight.clone());
        health.waits();
        assert!(health.ready().is_err());
        sight.failed("it is forbidden");
        assert_eq!(health.ready(), Err("the Lease was not read yet: it is forbidden".to_owned()));
        sight.succeeded();
        assert_eq!(health.ready(), Ok(()));
        tokio::time::sleep(UNHEALTHY_AFTER).await;
        assert_eq!(health.ready(), Err("the Lease was not read for 60 s: it is forbidden".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reconcile_that_hangs_makes_it_unhealthy_until_it_ends() {
        let (health, metrics) = begun();
        let key = ServiceKey::new("default", "web");
        metrics.reconcile_begins(&key);
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(health.healthy(), Ok(()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let said = health.healthy().unwrap_err();
        assert!(said.contains("has taken 101 s") && said.contains("may take 100 s"), "{said}");
        metrics.reconcile_ends(&key, "bare", ReconcileOutcome::Ready, Duration::ZERO);
        assert_eq!(health.healthy(), Ok(()));
    }
}
