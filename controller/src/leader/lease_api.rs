//! The calls an election makes, and nothing else of the API server.

use std::time::Duration;

use apiserver_client::{Comebacks, in_words};
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::config::LeaderConfig;

/// The API refuses an event whose `reportingInstance` is longer.
const MAX_INSTANCE_BYTES: usize = 128;

/// Why a call for the Lease failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// Somebody else wrote the Lease first.
    #[error("somebody else wrote the Lease first")]
    Conflict,
    /// No answer in time. The call may have had its effect, or may yet have it.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// Leadership is over by the clock, so the call was not made.
    #[error("not sent: the renew deadline has passed")]
    TooLate,
    /// The renewing task is gone, with the runtime it ran on.
    #[error("the task that renews the Lease is gone")]
    Aborted,
    /// The credentials do not allow the call.
    #[error("{}; the role needs get, create and update on leases in the Lease's namespace", in_words(.0))]
    Denied(#[source] kube::Error),
    /// Any other failure.
    #[error("{}", in_words(.0))]
    Api(#[source] kube::Error),
}

impl From<kube::Error> for LeaseError {
    fn from(error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) if status.code == 409 => LeaseError::Conflict,
            kube::Error::Api(status) if status.is_forbidden() => LeaseError::Denied(error),
            _ => LeaseError::Api(error),
        }
    }
}

/// What the others should be able to read about a term.
#[derive(Clone, Copy, Debug)]
pub(super) enum TermChange {
    Began,
    Ended,
}

impl TermChange {
    /// In client-go's words, for who searches for them.
    fn note(self, identity: &str) -> String {
        match self {
            TermChange::Began => format!("{identity} became leader"),
            TermChange::Ended => format!("{identity} stopped leading"),
        }
    }

    /// Has to differ: events with the same action and reason are folded into one, which keeps its first note.
    fn action(self) -> &'static str {
        match self {
            TermChange::Began => "Lead",
            TermChange::Ended => "StopLeading",
        }
    }
}

/// One Lease at the API server. A trait so that the election can be tested against a scripted one, with every
/// failure at every call.
pub(super) trait LeaseApi: Send + Sync + 'static {
    fn get(&self) -> BoxFuture<'_, Result<Option<Lease>, LeaseError>>;
    /// Conflicts if the Lease exists.
    fn create<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<Lease, LeaseError>>;
    /// Conflicts if the Lease has another resourceVersion than `lease`.
    fn replace<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<Lease, LeaseError>>;
    /// After a call that failed: waits until then, or until the server is back if that is earlier.
    fn wait_for_comeback(&self, until: Instant) -> BoxFuture<'_, ()>;
    /// Records an event on the Lease.
    fn announce<'a>(&'a self, lease: &'a Lease, change: TermChange) -> BoxFuture<'a, Result<(), LeaseError>>;
}

/// The Lease of a real cluster.
pub(super) struct KubeLease {
    name: String,
    identity: String,
    leases: Api<Lease>,
    events: Recorder,
    comebacks: Mutex<Comebacks>,
}

impl KubeLease {
    pub(super) fn new(client: Client, config: &LeaderConfig) -> Self {
        let instance = &config.identity[..config.identity.floor_char_boundary(MAX_INSTANCE_BYTES)];
        // By convention the Lease is named after the component.
        let reporter =
            Reporter { controller: config.lease_name.clone(), instance: Some(instance.to_owned()) };
        KubeLease {
            name: config.lease_name.clone(),
            identity: config.identity.clone(),
            leases: Api::namespaced(client.clone(), &config.namespace),
            comebacks: Mutex::new(Comebacks::new(client.clone())),
            events: Recorder::new(client, reporter),
        }
    }
}

impl LeaseApi for KubeLease {
    fn get(&self) -> BoxFuture<'_, Result<Option<Lease>, LeaseError>> {
        async {
            let lease = self.leases.get_opt(&self.name).await?;
            self.comebacks.lock().await.answered();
            Ok(lease)
        }
        .boxed()
    }

    fn create<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<Lease, LeaseError>> {
        async { Ok(self.leases.create(&PostParams::default(), lease).await?) }.boxed()
    }

    fn replace<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<Lease, LeaseError>> {
        async { Ok(self.leases.replace(&self.name, &PostParams::default(), lease).await?) }.boxed()
    }

    fn wait_for_comeback(&self, until: Instant) -> BoxFuture<'_, ()> {
        async move { self.comebacks.lock().await.wait(until).await }.boxed()
    }

    fn announce<'a>(&'a self, lease: &'a Lease, change: TermChange) -> BoxFuture<'a, Result<(), LeaseError>> {
        let event = Event {
            type_: EventType::Normal,
            reason: "LeaderElection".into(),
            note: Some(change.note(&self.identity)),
            action: change.action().into(),
            secondary: None,
        };
        async move { Ok(self.events.publish(&event, &lease.object_ref(&())).await?) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response, StatusCode};
    use kube::client::Body;
    use kube::core::Status;

    use super::*;

    fn answer(code: u16, reason: &str) -> LeaseError {
        let status = Status::failure("leases \"ccm\" is what it is", reason).with_code(code);
        kube::Error::Api(status.boxed()).into()
    }

    #[test]
    fn errors_are_one_clear_line() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        for (error, said) in [
            (answer(409, "Conflict"), "somebody else wrote the Lease first"),
            (answer(409, "AlreadyExists"), "somebody else wrote the Lease first"),
            (
                answer(403, "Forbidden"),
                "leases \"ccm\" is what it is; the role needs get, create and update on leases in the Lease's \
                 namespace",
            ),
            (answer(500, "InternalError"), "leases \"ccm\" is what it is"),
            (kube::Error::ReadEvents(refused).into(), "Error reading events stream: connection refused"),
            (LeaseError::Timeout(Duration::from_secs(5)), "no answer within 5s"),
        ] {
            assert_eq!(error.to_string(), said);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_was_away_is_found_to_be_back_while_a_candidate_waits() {
        let (readiness, now) = tokio::sync::watch::channel(StatusCode::SERVICE_UNAVAILABLE);
        let service = tower::service_fn(move |_: Request<Body>| {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = *now.borrow();
            async { Ok::<_, Infallible>(response) }
        });
        let client = Client::new(service, "default");
        let lease = KubeLease::new(client, &LeaderConfig::new("kube-system", "ccm").identified_by("a"));
        let began = Instant::now();
        let waiting = lease.wait_for_comeback(began + Duration::from_secs(600));
        let returning = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            readiness.send_replace(StatusCode::OK);
        };
        futures::join!(waiting, returning);
        assert!(began.elapsed() <= Duration::from_millis(61_100), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn an_unreachable_server_is_said_to_be_so() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let config = kube::Config::new(format!("http://{address}").parse().unwrap());
        let client = Client::try_from(config).unwrap();
        let lease = KubeLease::new(client, &LeaderConfig::new("kube-system", "ccm").identified_by("a"));
        let said = lease.get().await.unwrap_err().to_string();
        assert!(said.contains("onnection refused") && !said.contains('\n'), "{said}");
    }
}
