//! Following kinds of objects through outages.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{BoxStream, unfold};
use http::Request;
use kube::client::Body;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tower::{BoxError, service_fn};

use crate::backoff::{FailureKind, RetryTime, WatchBackoff};
use crate::comeback::Comeback;
use crate::connect::AskedAgain;
use crate::watch_state::{WatchFailure, WatchState};
use crate::words::watch_in_words;

/// How long a watch lasts before the server is asked for another, in seconds. Its silence is the only sign of a dead
/// connection: the server is asked to end it, and where no end comes within 5 s more, kube takes the connection for dead.
/// Bookmarks would not do: they come once a minute. 500 replicas with four watches each cost a server 67 requests a second
/// by this, each answered from its memory.
const WATCH_SECONDS: u32 = 30;

/// The watches of one program, which share one look at a server that is away.
#[derive(Clone)]
pub struct Watches {
    client: Client,
    comeback: Arc<Comeback>,
    states: WatchStates,
}

/// What a watch delivers.
type WatchEvents<K> = BoxStream<'static, watcher::Result<Event<K>>>;

type WatchStates = Arc<Mutex<BTreeMap<String, WatchState>>>;

impl Watches {
    /// Watches through `client`, which should be [`bounded`](crate::bounded).
    ///
    /// # Panics
    /// Outside of a tokio runtime, as every client of kube.
    pub fn new(client: Client) -> Self {
        Watches { comeback: Comeback::new(client.clone()), client, states: WatchStates::default() }
    }

    /// How each watch stands, by its name.
    pub fn states(&self) -> BTreeMap<String, WatchState> {
        self.states.lock().clone()
    }

    /// Follows objects for ever: kube's events, and each failure as an error, after which it goes on by itself. `api`
    /// makes the interface of a client that it is given; `name` is for [`states`](Watches::states) and the log.
    ///
    /// # Guarantees
    /// * A connection that dies without a word is noticed within 35 s.
    /// * Attempts at a server that is away become rarer, up to 30 s, and one is made as soon as the server is ready:
    ///   within a second after an outage of a minute.
    /// * A version that is too old costs no wait, whether the server says so in the watch or in place of it.
    /// * Each change of a cause is one line of the log.
    pub fn follow<K>(
        &self,
        name: &str,
        api: impl Fn(Client) -> Api<K> + Send + Sync + 'static,
    ) -> WatchEvents<K>
    where
        K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        self.follow_with(name, watcher::Config::default(), api)
    }

    /// As [`follow`](Watches::follow), but only the objects that a selector of labels takes, such as `app=web`.
    pub fn follow_labelled<K>(
        &self,
        name: &str,
        labels: &str,
        api: impl Fn(Client) -> Api<K> + Send + Sync + 'static,
    ) -> WatchEvents<K>
    where
        K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        self.follow_with(name, watcher::Config::default().labels(labels), api)
    }

    fn follow_with<K>(
        &self,
        name: &str,
        config: watcher::Config,
        api: impl Fn(Client) -> Api<K> + Send + Sync + 'static,
    ) -> WatchEvents<K>
    where
        K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        self.states.lock().entry(name.to_owned()).or_default();
        let watch = FollowedWatch { name: name.to_owned(), watches: self.clone() };
        let heard = watch.hearing();
        let config = config.timeout(WATCH_SECONDS);
        let begin = move || watcher(api(heard.clone()), config.clone()).boxed();
        let follower = Follower {
            events: begin(),
            begin: Box::new(begin),
            comebacks: self.comeback.subscribe(),
            backoff: WatchBackoff::default(),
            wait: None,
            watch,
        };
        unfold(follower, |mut follower| async move { Some((follower.next().await, follower)) }).boxed()
    }
}

/// One watch, as the others see it.
#[derive(Clone)]
struct FollowedWatch {
    name: String,
    watches: Watches,
}

impl FollowedWatch {
    /// A client that notes what the server answers: kube says nothing of a watch that was begun and is quiet. What fails is
    /// heard of here, and tried again by whoever follows.
    fn hearing(&self) -> Client {
        let (inner, watch) = (self.watches.client.clone(), self.clone());
        let service = service_fn(move |mut request: Request<Body>| {
            let (inner, watch) = (inner.clone(), watch.clone());
            request.extensions_mut().insert(AskedAgain);
            async move {
                let response = inner.send(request).await?;
                if response.status().is_success() {
                    watch.is_well();
                }
                Ok::<_, BoxError>(response)
            }
        });
        Client::new(service, self.watches.client.default_namespace())
    }

    fn is_well(&self) {
        let failing = self.state(|state| state.failing.take());
        // After that: a comeback ends attempts of those that fail.
        self.watches.comeback.answered();
        if let Some(WatchFailure { since, .. }) = failing {
            let name = &self.name;
            tracing::info!("the watch on {name} is well again after {} s", since.elapsed().as_secs());
        }
    }

    fn fails(&self, cause: String) {
        let news = self.state(|state| {
            let since = state.failing.as_ref().map_or_else(Instant::now, |failing| failing.since);
            let news = state.failing.as_ref().is_none_or(|failing| failing.cause != cause);
            state.failing = Some(WatchFailure { since, cause: cause.clone() });
            news
        });
        if news {
            tracing::warn!("the watch on {} fails and is tried again: {cause}", self.name);
        }
    }

    fn is_failing(&self) -> bool {
        self.state(|state| state.failing.is_some())
    }

    fn state<R>(&self, change: impl FnOnce(&mut WatchState) -> R) -> R {
        change(self.watches.states.lock().entry(self.name.clone()).or_default())
    }
}

struct Follower<K> {
    events: WatchEvents<K>,
    /// Starts over with a list.
    begin: Box<dyn Fn() -> WatchEvents<K> + Send>,
    comebacks: watch::Receiver<u64>,
    backoff: WatchBackoff,
    /// Before the next attempt.
    wait: Option<RetryTime>,
    watch: FollowedWatch,
}

impl<K: Send + 'static> Follower<K> {
    async fn next(&mut self) -> watcher::Result<Event<K>> {
        if let Some(wait) = self.wait.take() {
            match wait.ends_with_a_comeback {
                true => self.watch.watches.comeback.wait(&mut self.comebacks, wait.until).await,
                false => sleep_until(wait.until).await,
            }
            self.backoff.begins(Instant::now());
            self.comebacks.mark_unchanged();
        }
        loop {
            let failing = self.watch.is_failing();
            let event = tokio::select! {
                biased;
                event = self.events.next() => event,
                // An attempt from before, on its way to a server that was not there: it may take long to fail.
                Ok(()) = self.comebacks.changed(), if failing => match self.watch.is_failing() {
                    true => None,
                    false => continue,
                },
            };
            match event {
                Some(Ok(event)) => {
                    if matches!(event, Event::InitDone) {
                        self.watch.state(|state| state.listed = true);
                    }
                    return Ok(event);
                }
                Some(Err(error)) => {
                    self.failed(&error);
                    return Err(error);
                }
                None => self.events = (self.begin)(),
            }
        }
    }

    fn failed(&mut self, error: &watcher::Error) {
        let failure = failure(error);
        let wait = self.backoff.failed(Instant::now(), failure, fastrand::f64());
        if failure == FailureKind::Expired {
            // kube would ask for the same version again where the server said so in place of the watch.
            self.events = (self.begin)();
        }
        if wait.until > Instant::now() {
            self.watch.fails(watch_in_words(error));
        }
        self.wait = Some(wait);
    }
}

fn failure(error: &watcher::Error) -> FailureKind {
    let code = match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => match error {
            kube::Error::Api(status) => Some(status.code),
            _ => None,
        },
        watcher::Error::WatchError(status) => Some(status.code),
        watcher::Error::NoResourceVersion => return FailureKind::Refused,
    };
    match code {
        Some(410) => FailureKind::Expired,
        // Refused is also who asks a server that has only just started.
        Some(401 | 403 | 429 | 500..) | None => FailureKind::Absent,
        Some(_) => FailureKind::Refused,
    }
}
