//! Keeps the objects in the cluster like what is announced.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use apiserver_client::{Watches, in_words};
use cloud_provider::{DoublingPause, ServiceKey};
use futures::StreamExt;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::runtime::watcher::Event;
use kube::{Client, ResourceExt};
use metallb::crd::AnnouncementProtocol;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::announced::Announced;
use super::object::{AnnouncingNode, DesiredObject, FIELD_MANAGER, StatusKey};
use super::steps::{ObservedObject, Write, steps};
use crate::clock::until_time;
use crate::jitter::shortened;

/// How patient a [`StatusKeeper`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeeperPace {
    /// What is announced is written when it has been quiet for so long: one second.
    pub quiet: Duration,
    /// And no later than so long after the first change: five seconds.
    pub at_most: Duration,
    /// After how long an object that somebody else deleted is written again: a minute. MetalLB's speakers delete what others
    /// say of a Service that they announce too, and nobody is to win that race by being faster.
    pub restore: Duration,
    /// After how long a write that failed is tried again: one second, then twice as long each time, a minute at most.
    pub retry: Duration,
}

impl Default for KeeperPace {
    fn default() -> Self {
        KeeperPace {
            quiet: Duration::from_secs(1),
            at_most: Duration::from_secs(5),
            restore: Duration::from_secs(60),
            retry: Duration::from_secs(1),
        }
    }
}

/// The longest pause before a write that failed is tried again.
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(60);

/// A Service that this node announces from now on. It is told once, when that is written, and not again by a process that
/// finds it written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// Which Service.
    pub service: ServiceKey,
    /// The node.
    pub node: String,
    /// How.
    pub protocol: AnnouncementProtocol,
}

impl Assigned {
    /// The event's reason, which is MetalLB's.
    pub const REASON: &'static str = "nodeAssigned";
}

/// The event's message, which is MetalLB's.
impl fmt::Display for Assigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "announcing from node {:?} with protocol {:?}", self.node, self.protocol.to_string())
    }
}

/// The task that writes, until this is dropped. What is written then stays: the objects go with the Pod that owns them, and the
/// next process of this node finds them.
#[derive(Debug)]
pub struct StatusKeeper {
    announced: watch::Sender<Option<Announced>>,
    gone: mpsc::UnboundedSender<(ServiceKey, String)>,
    task: JoinHandle<()>,
}

impl StatusKeeper {
    /// Begins to keep the objects of an announcer. Nothing is written before the first [`announce`](StatusKeeper::announce), nor
    /// of a kind that the API server does not have. What is announced anew is told to `assigned`.
    ///
    /// To be called in a tokio runtime.
    pub fn start(
        client: Client,
        watches: Watches,
        announcer: AnnouncingNode,
        pace: KeeperPace,
        assigned: mpsc::UnboundedSender<Assigned>,
    ) -> Self {
        let (announced, announces) = watch::channel(None);
        let (gone, went) = mpsc::unbounded_channel();
        let writer = Writer {
            client,
            announcer,
            pace,
            assigned,
            wanted: BTreeMap::new(),
            known: BTreeMap::new(),
            listed: BTreeSet::new(),
            told: BTreeSet::new(),
            deleted: BTreeSet::new(),
            gone: BTreeSet::new(),
            not_before: BTreeMap::new(),
            due: WriteTimes::default(),
            failures: Failures { pause: DoublingPause::new(pace.retry, MAX_RETRY_PAUSE), told: None },
        };
        let task = tokio::spawn(writer.run(watches, announces, went));
        StatusKeeper { announced, gone, task }
    }

    /// From now on this is what the node announces. Never waits.
    pub fn announce(&self, announced: Announced) {
        self.announced.send_if_modified(|before| {
            // The first word counts, whatever it is: objects of a former life go by it.
            let is_new = before.as_ref() != Some(&announced);
            *before = Some(announced);
            is_new
        });
    }

    /// A node that answered for a Service on the local network is not heard any more: what it said of itself is deleted, since
    /// it may be dead. If it is not, it says so again.
    pub fn gone(&self, service: ServiceKey, node: &str) {
        // An error is a task that has ended, with the runtime.
        let _ = self.gone.send((service, node.to_owned()));
    }
}

impl Drop for StatusKeeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// When to write.
#[derive(Debug, Default)]
struct WriteTimes {
    first: Option<Instant>,
    last: Option<Instant>,
    /// Not before this, after a failure.
    not_before: Option<Instant>,
    /// What has to wait for its own time.
    later: Option<Instant>,
}

impl WriteTimes {
    fn note(&mut self) {
        let now = Instant::now();
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    fn at(&self, pace: &KeeperPace) -> Option<Instant> {
        let quiet = self.first.zip(self.last).map(|(first, last)| {
            let quiet = (last + pace.quiet).min(first + pace.at_most);
            self.not_before.map_or(quiet, |not_before| quiet.max(not_before))
        });
        quiet.into_iter().chain(self.later).min()
    }
}

/// How writing goes wrong.
#[derive(Debug)]
struct Failures {
    /// Before the next try.
    pause: DoublingPause,
    told: Option<String>,
}

struct Writer {
    client: Client,
    announcer: AnnouncingNode,
    pace: KeeperPace,
    assigned: mpsc::UnboundedSender<Assigned>,
    /// None until something was announced.
    wanted: BTreeMap<StatusKey, DesiredObject>,
    /// The objects of this announcer, as the API server has them.
    known: BTreeMap<StatusKey, ObservedObject>,
    /// Of which kinds the list is complete.
    listed: BTreeSet<AnnouncementProtocol>,
    /// What was written, by this process or by one before, and so was told to be assigned.
    told: BTreeSet<StatusKey>,
    /// The UIDs of objects that were deleted here, of which the watch may still bring news.
    deleted: BTreeSet<String>,
    /// Objects of nodes that are gone.
    gone: BTreeSet<StatusKey>,
    /// When what somebody else deleted may be written again.
    not_before: BTreeMap<StatusKey, Instant>,
    due: WriteTimes,
    failures: Failures,
}

impl Writer {
    async fn run(
        mut self,
        watches: Watches,
        mut announces: watch::Receiver<Option<Announced>>,
        mut went: mpsc::UnboundedReceiver<(ServiceKey, String)>,
    ) {
        if announces.changed().await.is_err() {
            return;
        }
        let mut layer2 = self.follow(&watches, AnnouncementProtocol::Layer2);
        let mut bgp = self.follow(&watches, AnnouncementProtocol::Bgp);
        self.announces(announces.borrow_and_update().clone());
        loop {
            tokio::select! {
                // A failure is the watch's own to get over, and to tell of.
                Some(event) = layer2.next() => if let Ok(event) = event { self.heard(AnnouncementProtocol::Layer2, event) },
                Some(event) = bgp.next() => if let Ok(event) = event { self.heard(AnnouncementProtocol::Bgp, event) },
                changed = announces.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.announces(announces.borrow_and_update().clone());
                }
                Some((service, node)) = went.recv() => {
                    self.gone.insert(StatusKey::of(AnnouncementProtocol::Layer2, &service, &node));
                    self.due.note();
                }
                () = until_time(self.due.at(&self.pace)) => self.write().await,
            }
        }
    }

    fn follow(
        &self,
        watches: &Watches,
        protocol: AnnouncementProtocol,
    ) -> futures::stream::BoxStream<'static, kube::runtime::watcher::Result<Event<DynamicObject>>> {
        let (kind, namespace) = (protocol.kind(), self.announcer.namespace.clone());
        let name = format!("{}.{}", kind.plural, kind.group);
        watches.follow_labelled(&name, &self.announcer.selector(), move |client| {
            Api::namespaced_with(client, &namespace, &kind)
        })
    }

    fn announces(&mut self, announced: Option<Announced>) {
        let Some(announced) = announced else { return };
        self.wanted = self.announcer.objects(&announced).into_iter().collect();
        self.told.retain(|key| self.wanted.contains_key(key) || self.known.contains_key(key));
        self.due.note();
    }

    fn heard(&mut self, protocol: AnnouncementProtocol, event: Event<DynamicObject>) {
        let key = |object: &DynamicObject| StatusKey { protocol, name: object.name_any() };
        let is_ours = |uid: &Option<String>| uid.as_ref().is_some_and(|uid| self.deleted.contains(uid));
        match event {
            Event::Init => {
                self.listed.remove(&protocol);
                self.known.retain(|key, _| key.protocol != protocol);
            }
            Event::InitApply(object) | Event::Apply(object) => {
                if !is_ours(&object.metadata.uid) {
                    self.known.insert(key(&object), ObservedObject::of(&object));
                }
            }
            Event::Delete(object) => {
                let (key, uid) = (key(&object), object.metadata.uid);
                if !is_ours(&uid) && self.known.get(&key).is_some_and(|known| known.uid == uid) {
                    self.known.remove(&key);
                    self.not_before.insert(key, Instant::now() + self.pace.restore);
                }
                uid.map(|uid| self.deleted.remove(&uid));
            }
            Event::InitDone => {
                self.listed.insert(protocol);
                // What is written already was told by the process that wrote it.
                self.told.extend(self.known.keys().filter(|key| key.protocol == protocol).cloned());
            }
        }
        self.due.note();
    }

    /// Does what is to be done. What fails is done later.
    async fn write(&mut self) {
        self.due = WriteTimes::default();
        let now = Instant::now();
        self.not_before.retain(|_, until| *until > now);
        let mut failed = None;
        let todo = steps(&self.known, &self.wanted).into_iter();
        for step in todo.chain(self.gone.clone().into_iter().map(Write::Delete)) {
            let (Write::Apply(key, _) | Write::Delete(key)) = &step;
            if !self.listed.contains(&key.protocol) {
                continue;
            }
            if let Some(until) = self.not_before.get(key) {
                self.due.later = Some(self.due.later.map_or(*until, |later| later.min(*until)));
                continue;
            }
            let done = match step {
                Write::Apply(key, wanted) => self.apply(key, &wanted).await,
                Write::Delete(key) => self.delete(&key).await,
            };
            if let Err(error) = done {
                let is_answered = matches!(error, kube::Error::Api(_));
                failed = Some(in_words(&error));
                // Who does not answer one does not answer the next.
                if !is_answered {
                    break;
                }
            }
        }
        self.note(failed);
    }

    fn note(&mut self, failed: Option<String>) {
        let Some(cause) = failed else {
            self.failures.pause.reset();
            self.failures.told = None;
            return;
        };
        let wait = shortened(self.failures.pause.advance(), &mut fastrand::Rng::new());
        self.due.note();
        self.due.not_before = Some(Instant::now() + wait);
        if self.failures.told.as_ref() != Some(&cause) {
            tracing::warn!("what is announced cannot be told, and is tried again: {cause}");
            self.failures.told = Some(cause);
        }
    }

    fn api(&self, protocol: AnnouncementProtocol) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.announcer.namespace, &protocol.kind())
    }

    /// Two writes, for the status is a resource of its own. Between them anything may happen: both are done again until both
    /// succeeded.
    async fn apply(&mut self, key: StatusKey, wanted: &DesiredObject) -> kube::Result<()> {
        let api = self.api(key.protocol);
        // Nobody else is to say what this node announces.
        let params = PatchParams::apply(FIELD_MANAGER).force();
        api.patch(&key.name, &params, &Patch::Apply(&wanted.object)).await?;
        let status = json!({
            "apiVersion": wanted.object["apiVersion"],
            "kind": wanted.object["kind"],
            "status": wanted.status,
        });
        let object = api.patch_status(&key.name, &params, &Patch::Apply(&status)).await?;
        self.known.insert(key.clone(), ObservedObject::of(&object));
        if self.told.insert(key.clone()) {
            let (service, node) = (wanted.service.clone(), self.announcer.node.clone());
            // An error is a program that tells of nothing any more.
            let _ = self.assigned.send(Assigned { service, node, protocol: key.protocol });
        }
        Ok(())
    }

    async fn delete(&mut self, key: &StatusKey) -> kube::Result<()> {
        let uid = self.known.get(key).and_then(|known| known.uid.clone());
        let preconditions = uid.clone().map(|uid| Preconditions { uid: Some(uid), resource_version: None });
        let params = DeleteParams { preconditions, ..DeleteParams::default() };
        match self.api(key.protocol).delete(&key.name, &params).await {
            Ok(_) => {}
            Err(kube::Error::Api(error)) if error.code == 404 => {}
            Err(error) => return Err(error),
        }
        self.known.remove(key);
        self.told.remove(key);
        self.gone.remove(key);
        self.deleted.extend(uid);
        Ok(())
    }
}
