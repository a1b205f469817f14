//! The announcer of one node, at work: what the API server says in, and frames on the node's links out.
//!
//! ```text
//! watches ─▶ what is known ─▶ which nodes may announce what ─▶ each link's thread
//!                                              │          ├─▶ sessions with routers, or FRR
//!                                              │          └─▶ objects and events that tell it
//! links   ─────────────────────────────────────────────────▶ which threads there are
//! ```
//!
//! One task has all of it, so nothing is shared but what is [shown](Telemetry). While the API server is away, what was known
//! last is announced.

mod cluster;
mod events;
mod happened;
mod key;
mod mirror;
mod responders;
mod routers;
mod statuses;
mod telemetry;
mod told;
mod wanted;

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use apiserver_client::{Watches, in_words};
use cloud_provider::ClassRule;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, ResourceExt};
use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::announcements::{bgp, layer2};
use crate::beat::Cluster;
use crate::beat::rotation::WrittenKeys;
use crate::link::Excluded;
use crate::net::LinkChanges;
use crate::segment::HeartbeatSettings;
use crate::status;
use crate::status::keeper::Assigned;
use crate::status::object::Pod;
use cluster::ClusterState;
use events::{Events, PeerTroubles, Said};
use key::{KeyFile, KeyNews};
use responders::{CommonToLinks, Responders};
pub use routers::BgpEngine;
use routers::Routers;
use statuses::{Decided, Statuses};
pub use telemetry::Telemetry;
use told::AlreadyTold;

/// Between two looks for what must be there before anything is announced: the key, and who the cluster is.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// How much of what the watches have told is taken in before anything is decided: a list, most likely.
const NEWS_A_TURN: usize = 1_000;

/// What an announcer is told at its start.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The node it runs on.
    pub node: Arc<str>,
    /// Whose Services are announced; those without a class, if nothing else is said.
    pub classes: ClassRule,
    /// The only namespace whose pools and advertisements count; none: those of all.
    pub pools_namespace: Option<String>,
    /// Where the key of the heartbeat is. It is followed: another one takes its place in the end
    /// ([`rotation`](crate::beat::rotation)). Beside it, under the same name with `.previous` behind it, may be the one before.
    pub key_file: PathBuf,
    /// Links that never announce.
    pub excluded: Excluded,
    /// Whether nodes that are excluded from load balancers by their label announce all the same.
    pub ignore_exclude_label: bool,
    /// How fast the heart beats.
    pub settings: HeartbeatSettings,
    /// Who speaks to routers; none: nobody, and what is said about routers is not read.
    pub bgp: Option<BgpEngine>,
    /// The namespace that it runs in, where it tells what it announces; none: it does not tell it.
    pub namespace: Option<String>,
    /// The Pod that it runs in, with which what it tells goes; none outside of one.
    pub pod: Option<Pod>,
}

impl Config {
    /// For this node, with the key in this file, on all links but these.
    pub fn new(node: impl Into<Arc<str>>, key_file: impl Into<PathBuf>, excluded: Excluded) -> Self {
        Config {
            node: node.into(),
            classes: ClassRule::default(),
            pools_namespace: None,
            key_file: key_file.into(),
            excluded,
            ignore_exclude_label: false,
            settings: HeartbeatSettings::default(),
            bgp: None,
            namespace: None,
            pod: None,
        }
    }
}

/// The announcer of one node.
pub struct Announcer {
    client: Client,
    config: Config,
    shown: Arc<Telemetry>,
}

impl Announcer {
    /// One that is not at work yet.
    pub fn new(client: Client, config: Config) -> Self {
        let shown = Arc::new(Telemetry::default());
        shown.trouble(Some("it has not begun yet".to_owned()));
        Announcer { client, config, shown }
    }

    /// How things stand, for as long as it is at work.
    pub fn shown(&self) -> Arc<Telemetry> {
        self.shown.clone()
    }

    /// Announces until it is told to stop, and hands over before it returns, which takes 2.5 s at most.
    ///
    /// What is missing at the start is waited for and [shown](Telemetry::ready): the key, the API server, a link.
    ///
    /// # Errors
    /// Where the kernel does not tell of its links.
    pub async fn run(&self, stop: CancellationToken) -> io::Result<()> {
        let Some(written) = stop.run_until_cancelled(self.key()).await else { return Ok(()) };
        let mut key_file = KeyFile::new(&self.config.key_file, written);
        let Some(cluster) = stop.run_until_cancelled(self.cluster()).await else { return Ok(()) };
        let config = &self.config;
        let (tell, mut changes) = mpsc::unbounded_channel();
        let mut responders = Responders::new(CommonToLinks {
            node: config.node.clone(),
            keys: key_file.in_force().clone(),
            cluster,
            settings: config.settings,
            excluded: config.excluded.clone(),
            changes: tell,
        });
        let watches = Watches::new(self.client.clone());
        let mut news = cluster::follow(&watches, config.pools_namespace.as_deref(), config.bgp.is_some());
        let mut known =
            ClusterState::new(config.classes.clone(), config.ignore_exclude_label, config.bgp.is_some());
        let mut told = AlreadyTold::default();
        let (events, mut peer_troubles) =
            (Events::start(self.client.clone(), config.node.to_string()), PeerTroubles::default());
        let (tell_of_peers, mut peer_news) = mpsc::unbounded_channel();
        let engine = config.bgp.as_ref();
        let routers = engine.map(|engine| Routers::start(&self.client, engine, tell_of_peers));
        self.shown.routers(routers.as_ref().and_then(Routers::shown));
        let (assigned, mut assignments) = mpsc::unbounded_channel();
        let mut statuses = self.statuses(&watches, assigned);
        let (mut decided, mut uids) = (Decided::default(), BTreeMap::new());
        let mut links = LinkChanges::new()?;
        let mut decide = responders.look()?;
        let mut is_decided = false;
        loop {
            if decide && let Some(view) = known.view() {
                let announcements = layer2(&view);
                responders.want(&announcements);
                let services =
                    announcements.iter().map(|(ip, announcement)| (*ip, announcement.services.clone()));
                self.shown.services(services.collect());
                let advertised = bgp(&view, &config.node);
                events.say_all(told.wrong(known.wrong()));
                events.say_all(told.of(
                    &view,
                    &config.node,
                    &responders.names(),
                    &announcements,
                    &advertised,
                ));
                events.say_all(told.without_link_local(responders.without_link_local()));
                let followed =
                    routers.as_ref().map(|routers| routers.follow(&view, &config.node, &advertised));
                let left_out = followed.unwrap_or_default();
                events.say_all(peer_troubles.left_out(&left_out));
                let left_out = left_out.into_keys().map(|peer| peer.name).collect();
                decided = Decided { layer2: announcements, bgp: advertised, left_out };
                uids = view.services.values().map(|it| (it.id.key.clone(), it.id.clone())).collect();
                is_decided = true;
            }
            let reports = responders.reports();
            // Before anything was decided, nothing is known of what a former life has told.
            if let Some(statuses) = statuses.as_mut().filter(|_| is_decided) {
                statuses.tell(&decided, reports.keys());
            }
            self.shown.reports(reports);
            self.shown.trouble(trouble(&known, &responders));
            let due = [known.due(), responders.again()].into_iter().flatten().min();
            decide = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                changed = links.changed() => {
                    changed?;
                    responders.look()?
                }
                Some((link, change)) = changes.recv() => {
                    self.shown.count(&link, &change);
                    happened::log(&self.shown, &link, &change);
                    events.say_all(happened::events(&self.shown, &uids, &link, &change));
                    if let (Some(statuses), Some(ip)) = (&mut statuses, change.ip()) {
                        statuses.happened(&link, &change, &self.shown.services_of(ip));
                    }
                    false
                }
                news = key_file.news() => {
                    match news {
                        KeyNews::InForce(keys) => responders.keys(keys),
                        KeyNews::Wrong(why) => events.say(Said::of_node("KeyInvalid", why)),
                    }
                    false
                }
                Some(news) = peer_news.recv() => {
                    match news.down {
                        Some(why) => events.say(Said::of_peer(news.peer, "SessionDown", why)),
                        None => tracing::info!(peer = %news.peer, "the session is up"),
                    }
                    false
                }
                Some(assigned) = assignments.recv() => {
                    if let Some(id) = uids.get(&assigned.service).cloned() {
                        events.say(Said::of_service(id, Assigned::REASON, assigned.to_string()));
                    }
                    false
                }
                Some(first) = news.next() => {
                    let now = Instant::now();
                    let mut decide = known.apply(now, first);
                    for _ in 0..NEWS_A_TURN {
                        let Some(Some(next)) = news.next().now_or_never() else { break };
                        decide |= known.apply(now, next);
                    }
                    decide
                }
                () = until(due) => {
                    let looked = match responders.again().is_some_and(|again| again <= Instant::now()) {
                        true => responders.look()?,
                        false => false,
                    };
                    known.put_in_force(Instant::now()) || looked
                }
            };
        }
        self.shown.trouble(Some("stopping".to_owned()));
        tracing::info!("handing over what is announced from here");
        let sessions = async {
            if let Some(routers) = routers {
                routers.leave().await;
            }
        };
        tokio::join!(responders.leave(), sessions);
        while let Ok((link, change)) = changes.try_recv() {
            happened::log(&self.shown, &link, &change);
        }
        Ok(())
    }

    /// Who tells in the cluster what is announced, where it is known in which namespace.
    fn statuses(&self, watches: &Watches, assigned: mpsc::UnboundedSender<Assigned>) -> Option<Statuses> {
        let Config { node, namespace, pod, .. } = &self.config;
        let announcer = status::object::AnnouncingNode {
            node: node.to_string(),
            namespace: namespace.clone()?,
            pod: pod.clone(),
        };
        Some(Statuses::start(self.client.clone(), watches.clone(), announcer, assigned))
    }

    /// The key, as soon as there is one.
    async fn key(&self) -> WrittenKeys {
        let mut said = None;
        loop {
            match key::read(&self.config.key_file) {
                Ok(written) => return written,
                Err(error) => {
                    self.waits(&mut said, format!("{error}; until then nothing is announced")).await;
                }
            }
        }
    }

    /// Which cluster this is, as soon as the API server says so.
    async fn cluster(&self) -> Cluster {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let mut said = None;
        loop {
            let why = match namespaces.get_metadata("kube-system").await.map(|namespace| namespace.uid()) {
                Ok(Some(uid)) => return Cluster::of(&uid),
                Ok(None) => "the namespace kube-system has no UID".to_owned(),
                Err(error) => format!("the namespace kube-system cannot be read: {}", in_words(&error)),
            };
            self.waits(&mut said, why).await;
        }
    }

    async fn waits(&self, said: &mut Option<String>, why: String) {
        if said.as_ref() != Some(&why) {
            tracing::error!("{why}");
            self.shown.trouble(Some(why.clone()));
            *said = Some(why);
        }
        sleep(LOOK_INTERVAL).await;
    }
}

/// What is missing before anything can be announced from here.
fn trouble(known: &ClusterState, responders: &Responders) -> Option<String> {
    let missing = known.missing();
    match missing.is_empty() {
        true => responders.trouble(),
        false => Some(format!("not listed yet: {}", missing.join(", "))),
    }
}

/// At this moment, or never.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => pending().await,
    }
}
