//! Events on Services: what `kubectl describe` shows.
//!
//! Off the critical path: a reconcile hands an event over and goes on; one task posts them at a bounded rate and folds
//! repeats of the same event into its count. The rate is shared fairly: each Service in its turn, however much one of
//! them has to tell; and of each Service so many are posted as client-go would. What does not fit is dropped: the
//! condition carries the current state, so nothing is lost but history.
//!
//! The API server forgets events after an hour. What lasts is told again every ten minutes, as the same event counted up,
//! so that whoever looks at a Service later finds the reason.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use apiserver_client::event_message;
use cloud_provider::{NoteKind, ServiceId};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::runtime::events::EventType;
use parking_lot::{Mutex, MutexGuard};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::token_bucket::{FillRate, TokenBucket};

/// Events of all Services together.
const ALL_EVENTS: FillRate = FillRate { burst: 100, interval: Duration::from_millis(50) };
/// Events of one Service: `defaultSpamBurst` and `defaultSpamQPS` of client-go's `tools/record/events_cache.go`.
const EVENTS_PER_SERVICE: FillRate = FillRate { burst: 25, interval: Duration::from_secs(300) };
/// Events waiting to be posted; of more, those of the Service that has most are dropped.
const MAX_QUEUED_EVENTS: usize = 1_000;
/// How often what lasts is told again.
const REPEAT_INTERVAL: Duration = Duration::from_secs(600);
/// Posted events remembered to fold repeats, and Services whose buckets are not full: client-go's `maxLruCacheEntries`.
const MAX_REMEMBERED: usize = 4_096;
/// The component shown as the event's source, as Kubernetes' own service controller shows it.
pub(crate) const COMPONENT: &str = "service-controller";

/// One event on a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventRequest {
    /// About which Service.
    pub service: ServiceId,
    /// Good or bad.
    pub kind: NoteKind,
    /// A `CamelCase` word.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

/// Where reconciles hand their events over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Events {
    waiting: Arc<WaitingEvents>,
}

#[derive(Debug, Default)]
struct WaitingEvents {
    queue: Mutex<FairQueue>,
    added: Notify,
}

impl WaitingEvents {
    fn lock(&self) -> MutexGuard<'_, FairQueue> {
        self.queue.lock()
    }
}

impl Events {
    /// The handle, and the task that posts, for ever. `reporter` tells this process from its peers; `may_post` is asked
    /// before each event.
    pub(crate) fn new(
        client: kube::Client,
        reporter: String,
        may_post: impl Fn() -> bool + Send + Sync,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let events = Events::default();
        let task = post_all(client, reporter, events.waiting.clone(), may_post);
        (events, task)
    }

    /// Hands an event over; never waits.
    pub(crate) fn emit(&self, request: EventRequest) {
        if !self.waiting.lock().add(request, Instant::now()) {
            tracing::debug!("an event was dropped: there are too many");
        }
        self.waiting.added.notify_one();
    }

    /// Has an event told again every ten minutes from now on, in place of what lasted for that Service before; what lasts
    /// already goes on as it does.
    pub(crate) fn lasts(&self, request: EventRequest) {
        self.waiting.lock().lasting.add(request, Instant::now());
        self.waiting.added.notify_one();
    }

    /// What lasted for a Service has passed.
    pub(crate) fn has_passed(&self, service: &ServiceId) {
        self.waiting.lock().lasting.remove(service);
    }
}

/// What is told again while it lasts: of each Service one event.
#[derive(Debug, Default)]
struct Lasting {
    events: HashMap<ServiceId, (Instant, EventRequest)>,
    due: BTreeSet<(Instant, ServiceId)>,
}

impl Lasting {
    fn add(&mut self, request: EventRequest, now: Instant) {
        let id = request.service.clone();
        if self.events.get(&id).is_some_and(|(_, lasts)| *lasts == request) {
            return;
        }
        self.remove(&id);
        let at = now + REPEAT_INTERVAL;
        self.due.insert((at, id.clone()));
        self.events.insert(id, (at, request));
    }

    fn remove(&mut self, id: &ServiceId) {
        if let Some((at, _)) = self.events.remove(id) {
            self.due.remove(&(at, id.clone()));
        }
    }

    /// The next event that is due, which will be due again later.
    fn pop_due(&mut self, now: Instant) -> Option<EventRequest> {
        let (at, id) = self.due.first().filter(|(at, _)| *at <= now)?.clone();
        let (_, request) = self.events.get(&id)?.clone();
        self.due.remove(&(at, id.clone()));
        let next = now + REPEAT_INTERVAL;
        self.due.insert((next, id.clone()));
        self.events.insert(id, (next, request.clone()));
        Some(request)
    }

    fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }
}

/// The events of each Service in a line of its own; the lines are served in turn.
#[derive(Debug, Default)]
struct FairQueue {
    lines: HashMap<ServiceId, VecDeque<EventRequest>>,
    /// Whose line is served next; each that is not empty is here once.
    order: VecDeque<ServiceId>,
    /// Of Services that had events lately, by UID.
    buckets: HashMap<Arc<str>, TokenBucket>,
    len: usize,
    lasting: Lasting,
}

impl FairQueue {
    /// Whether an event was dropped for it, this one or another: false then.
    fn add(&mut self, request: EventRequest, now: Instant) -> bool {
        let id = request.service.clone();
        if self.buckets.len() >= MAX_REMEMBERED {
            self.buckets.retain(|_, bucket| !bucket.is_full(now));
        }
        let bucket = self.buckets.entry(id.uid.clone()).or_insert_with(|| TokenBucket::new(now));
        if !bucket.try_take(EVENTS_PER_SERVICE, now) {
            return false;
        }
        // Most have one thing to tell.
        let line = self.lines.entry(id.clone()).or_insert_with(|| VecDeque::with_capacity(1));
        if line.is_empty() {
            self.order.push_back(id);
        }
        line.push_back(request);
        self.len += 1;
        self.len <= MAX_QUEUED_EVENTS || !self.drop_one()
    }

    /// Drops the newest event of the longest line; where nobody has more to tell than another, that of whoever came last.
    fn drop_one(&mut self) -> bool {
        // Thousands come at once when the program starts, each with one thing to tell: nobody is searched for then.
        let longest = match self.len > self.lines.len() {
            true => self.lines.iter().max_by_key(|(_, line)| line.len()).map(|(id, _)| id.clone()),
            false => self.order.pop_back(),
        };
        let dropped = longest.and_then(|id| {
            let line = self.lines.get_mut(&id)?;
            let dropped = line.pop_back();
            if line.is_empty() {
                self.lines.remove(&id);
            }
            dropped
        });
        self.len -= usize::from(dropped.is_some());
        dropped.is_some()
    }

    /// Puts what is due again in line; when the next is.
    fn repeat(&mut self, now: Instant) -> Option<Instant> {
        while let Some(request) = self.lasting.pop_due(now) {
            self.add(request, now);
        }
        self.lasting.next()
    }

    fn pop(&mut self) -> Option<EventRequest> {
        let id = self.order.pop_front()?;
        let line = self.lines.get_mut(&id)?;
        let request = line.pop_front();
        if line.is_empty() {
            self.lines.remove(&id);
        } else {
            self.order.push_back(id);
        }
        self.len -= usize::from(request.is_some());
        request
    }
}

#[derive(PartialEq, Eq, Hash)]
struct Fold {
    uid: Arc<str>,
    reason: String,
    message: String,
}

async fn post_all(
    client: kube::Client,
    reporter: String,
    waiting: Arc<WaitingEvents>,
    may_post: impl Fn() -> bool,
) {
    let mut posted: HashMap<Fold, (String, i32)> = HashMap::new();
    let mut bucket = TokenBucket::new(Instant::now());
    loop {
        let now = Instant::now();
        sleep_until(bucket.next(ALL_EVENTS, now)).await;
        // Taken out as late as can be, so that whoever came meanwhile has its turn.
        let (request, next_repeat) = {
            let mut queue = waiting.lock();
            let next_repeat = queue.repeat(Instant::now());
            (queue.pop(), next_repeat)
        };
        match request {
            // What it did is told by whoever did it: who leads no more has nothing to tell, and another tells it anew.
            Some(_) if !may_post() => tracing::debug!("an event was dropped: this process does not lead"),
            Some(request) => {
                bucket.take(ALL_EVENTS, Instant::now());
                post(&client, &reporter, &mut posted, &request).await;
            }
            None => {
                let repeat = async {
                    match next_repeat {
                        Some(at) => sleep_until(at).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = waiting.added.notified() => {}
                    () = repeat => {}
                }
            }
        }
    }
}

async fn post(
    client: &kube::Client,
    reporter: &str,
    posted: &mut HashMap<Fold, (String, i32)>,
    request: &EventRequest,
) {
    let api: Api<Event> = Api::namespaced(client.clone(), &request.service.key.namespace);
    let fold = Fold {
        uid: request.service.uid.clone(),
        reason: request.reason.clone(),
        message: event_message(&request.message),
    };
    if let Some((name, count)) = posted.get_mut(&fold) {
        *count += 1;
        let again = json!({ "count": count, "lastTimestamp": Time(Timestamp::now()) });
        match api.patch(name, &PatchParams::default(), &Patch::Merge(again)).await {
            Ok(_) => return,
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => {
                tracing::debug!(%error, "an event could not be counted up");
                return;
            }
        }
    }
    let event = event(request, reporter);
    match api.create(&PostParams::default(), &event).await {
        Ok(event) => {
            if posted.len() >= MAX_REMEMBERED {
                posted.clear();
            }
            posted.insert(fold, (event.metadata.name.unwrap_or_default(), 1));
        }
        Err(error) => tracing::debug!(%error, "an event could not be posted"),
    }
}

fn event(request: &EventRequest, reporter: &str) -> Event {
    let ServiceId { key, uid } = &request.service;
    let about = ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Service".into()),
        namespace: Some(key.namespace.as_ref().into()),
        name: Some(key.name.as_ref().into()),
        uid: Some(uid.as_ref().into()),
        ..Default::default()
    };
    let kind = match request.kind {
        NoteKind::Normal => EventType::Normal,
        NoteKind::Warning => EventType::Warning,
    };
    let event = apiserver_client::event(about, kind, &request.reason, &request.message, COMPONENT);
    Event { reporting_instance: Some(reporter.into()), ..event }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use http::{Request, Response};
    use kube::client::Body;
    use tower::service_fn;

    use super::*;

    fn about(name: &str, message: usize) -> EventRequest {
        EventRequest {
            service: ServiceId::new("d", name, name),
            kind: NoteKind::Warning,
            reason: "Test".into(),
            message: message.to_string(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_little_to_tell_does_not_wait_for_whoever_has_much() {
        let (mut queue, now) = (FairQueue::default(), Instant::now());
        for message in 0..20 {
            for loud in 0..10 {
                assert!(queue.add(about(&format!("loud-{loud}"), message), now));
            }
        }
        assert!(queue.add(about("quiet", 0), now));
        let before = std::iter::from_fn(|| queue.pop()).take_while(|next| *next.service.key.name != *"quiet");
        assert_eq!(before.count(), 10);
        assert_eq!(std::iter::from_fn(|| queue.pop()).count(), 190, "the rest is not lost");
        assert_eq!(queue.len, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn of_one_service_so_many_are_posted_as_client_go_would() {
        let (mut queue, now) = (FairQueue::default(), Instant::now());
        let taken = (0..100).filter(|message| queue.add(about("loud", *message), now)).count();
        assert_eq!(taken, 25);
        let later = now + Duration::from_secs(300);
        assert_eq!((0..100).filter(|message| queue.add(about("loud", *message), later)).count(), 1);
        assert!(queue.add(about("quiet", 0), now));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_drops_what_the_loudest_has_to_tell() {
        let (mut queue, now) = (FairQueue::default(), Instant::now());
        for service in 0..100 {
            for message in 0..10 {
                assert!(queue.add(about(&format!("s-{service}"), message), now));
            }
        }
        assert!(!queue.add(about("s-0", 10), now), "one was dropped");
        assert!(!queue.add(about("quiet", 0), now), "one was dropped");
        assert_eq!(queue.len, MAX_QUEUED_EVENTS);
        let quiet = std::iter::from_fn(|| queue.pop()).filter(|next| *next.service.key.name == *"quiet");
        assert_eq!(quiet.count(), 1, "not the newcomer's");
    }

    #[tokio::test(start_paused = true)]
    async fn where_each_has_one_thing_to_tell_those_who_came_first_are_told() {
        let (mut queue, now) = (FairQueue::default(), Instant::now());
        let added = |queue: &mut FairQueue, i: usize| queue.add(about(&format!("s-{i}"), i), now);
        assert_eq!((0..MAX_QUEUED_EVENTS + 10).filter(|i| added(&mut queue, *i)).count(), MAX_QUEUED_EVENTS);
        let told: Vec<EventRequest> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(told, (0..MAX_QUEUED_EVENTS).map(|i| about(&format!("s-{i}"), i)).collect::<Vec<_>>());
        assert_eq!((queue.lines.len(), queue.len), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_process_has_to_tell_that_does_not_lead_is_told_by_nobody() {
        let (posted, leads) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(true)));
        let requests = posted.clone();
        let server = service_fn(move |_: Request<Body>| {
            requests.fetch_add(1, Ordering::SeqCst);
            let event = json!({ "metadata": { "name": "e" }, "involvedObject": {} });
            async move { Ok::<_, Infallible>(Response::new(Body::from(event.to_string().into_bytes()))) }
        });
        let asked = leads.clone();
        let client = kube::Client::new(server, "default");
        let (events, post) = Events::new(client, "test".into(), move || asked.load(Ordering::SeqCst));
        let mut post = std::pin::pin!(post);
        let mut tell = async |message, while_it_leads| {
            leads.store(while_it_leads, Ordering::SeqCst);
            events.emit(about("web", message));
            // It posts for ever, and waits only when there is nothing left to post.
            let over = tokio::time::timeout(Duration::from_secs(60), &mut post).await;
            assert!(over.is_err(), "it goes on");
            posted.load(Ordering::SeqCst)
        };

        assert_eq!(tell(0, true).await, 1);
        assert_eq!(tell(1, false).await, 1);
        assert_eq!(tell(2, true).await, 2, "what was not told then is not told later either");
    }

    #[tokio::test(start_paused = true)]
    async fn what_lasts_is_told_again_every_ten_minutes_as_the_same_event_until_it_has_passed() {
        let sent: Arc<Mutex<Vec<String>>> = Arc::default();
        let requests = sent.clone();
        let server = service_fn(move |request: Request<Body>| {
            let requests = requests.clone();
            async move {
                let method = request.method().to_string();
                let body = request.into_body().collect_bytes().await.unwrap();
                let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
                requests.lock().push(format!("{method} {}", body["count"]));
                let event = json!({ "metadata": { "name": "e" }, "involvedObject": {} });
                Ok::<_, Infallible>(Response::new(Body::from(event.to_string().into_bytes())))
            }
        });
        let client = kube::Client::new(server, "default");
        let (events, post) = Events::new(client, "test".into(), || true);
        let mut post = std::pin::pin!(post);
        let mut after = async |seconds| {
            let _ = tokio::time::timeout(Duration::from_secs(seconds), &mut post).await;
            sent.lock().clone()
        };

        events.emit(about("web", 0));
        events.lasts(about("web", 0));
        assert_eq!(after(599).await, ["POST 1"]);
        // Another attempt that comes to the same.
        events.lasts(about("web", 0));
        assert_eq!(after(2).await, ["POST 1", "PATCH 2"]);
        assert_eq!(after(1_200).await, ["POST 1", "PATCH 2", "PATCH 3", "PATCH 4"]);
        // Something else takes its place, and lasts from then on.
        events.emit(about("web", 1));
        events.lasts(about("web", 1));
        assert_eq!(after(590).await.last().unwrap(), "POST 1");
        events.has_passed(&about("web", 1).service);
        assert_eq!(after(3_600).await.len(), 5, "what has passed is told no more");
    }
}
