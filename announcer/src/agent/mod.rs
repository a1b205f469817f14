//! The announcer of one node, at work: what the API server says in, and frames on the node's links out.
//!
//! ```text
//! watches ─▶ what is known ─▶ which nodes may announce what ─▶ each link's thread
//! links   ─────────────────────────────────────────────────▶ which threads there are
//! ```
//!
//! One task has all of it, so nothing is shared but what is [shown](Shown). While the API server is away, what was known
//! last is announced.

mod cluster;
mod key;
mod mirror;
mod responders;
mod shown;
mod told;
mod wanted;

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

use crate::announcements::layer2;
use crate::beat::{Cluster, Key};
use crate::link::Excluded;
use crate::net::LinkChanges;
use crate::segment::{Change, Settings};
use cluster::Known;
use responders::{Common, Responders};
pub use shown::Shown;
use told::Told;

/// Between two looks for what must be there before anything is announced: the key, and who the cluster is.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

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
    /// Where the key of the heartbeat is. It is read once, as soon as it is there.
    pub key_file: PathBuf,
    /// Links that never announce.
    pub excluded: Excluded,
    /// Whether nodes that are excluded from load balancers by their label announce all the same.
    pub ignore_exclude_label: bool,
    /// How fast the heart beats.
    pub settings: Settings,
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
            settings: Settings::default(),
        }
    }
}

/// The announcer of one node.
pub struct Announcer {
    client: Client,
    config: Config,
    shown: Arc<Shown>,
}

impl Announcer {
    /// One that is not at work yet.
    pub fn new(client: Client, config: Config) -> Self {
        let shown = Arc::new(Shown::default());
        shown.trouble(Some("it has not begun yet".to_owned()));
        Announcer { client, config, shown }
    }

    /// How things stand, for as long as it is at work.
    pub fn shown(&self) -> Arc<Shown> {
        self.shown.clone()
    }

    /// Announces until it is told to stop, and hands over before it returns, which takes 2.5 s at most.
    ///
    /// What is missing at the start is waited for and [shown](Shown::ready): the key, the API server, a link.
    ///
    /// # Errors
    /// Where the kernel does not tell of its links.
    pub async fn run(&self, stop: CancellationToken) -> io::Result<()> {
        let Some(key) = stop.run_until_cancelled(self.key()).await else { return Ok(()) };
        let Some(cluster) = stop.run_until_cancelled(self.cluster()).await else { return Ok(()) };
        let config = &self.config;
        let (tell, mut happened) = mpsc::unbounded_channel();
        let mut responders = Responders::new(Common {
            node: config.node.clone(),
            key,
            cluster,
            settings: config.settings,
            excluded: config.excluded.clone(),
            changes: tell,
        });
        let watches = Watches::new(self.client.clone());
        let mut news = cluster::follow(&watches, config.pools_namespace.as_deref());
        let mut known = Known::new(config.classes.clone(), config.ignore_exclude_label);
        let mut told = Told::default();
        let mut links = LinkChanges::new()?;
        let mut decide = responders.look()?;
        loop {
            if decide && let Some(view) = known.view() {
                let announcements = layer2(&view);
                responders.want(&announcements);
                told.hostnames(&view);
                told.refusals(&config.node, &announcements);
                let services =
                    announcements.into_iter().map(|(ip, announcement)| (ip, announcement.services));
                self.shown.services(services.collect());
            }
            self.shown.reports(responders.reports());
            self.shown.trouble(trouble(&known, &responders));
            let due = [known.due(), responders.again()].into_iter().flatten().min();
            decide = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                changed = links.changed() => {
                    changed?;
                    responders.look()?
                }
                Some((link, change)) = happened.recv() => {
                    self.shown.count(&link, &change);
                    self.log(&link, &change);
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
        responders.leave().await;
        while let Ok((link, change)) = happened.try_recv() {
            self.log(&link, &change);
        }
        Ok(())
    }

    /// The key, as soon as there is one.
    async fn key(&self) -> Key {
        let mut said = None;
        loop {
            match key::read(&self.config.key_file) {
                Ok(key) => return key,
                Err(error) => self.waits(&mut said, error.to_string()).await,
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
        sleep(LOOK_AGAIN).await;
    }

    fn log(&self, link: &str, change: &Change) {
        let services = |ip| {
            let services = self.shown.services_of(ip);
            services.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        match change {
            Change::Taken { ip, why } => {
                tracing::info!(link, service = services(*ip), "{ip} is announced from here: {why}");
            }
            Change::GivenUp { ip, why } => {
                tracing::info!(
                    link,
                    service = services(*ip),
                    "{ip} is not announced from here any more: {why}"
                );
            }
            Change::Defended { ip, against } => {
                tracing::warn!(
                    link,
                    service = services(*ip),
                    "{ip} was claimed by node {against} too, and is no more"
                );
            }
            Change::Foreign { ip, by, defended } => tracing::warn!(
                link,
                service = services(*ip),
                defended,
                "{by} answers for {ip} too, and is no announcer of this cluster"
            ),
            Change::Heard { node, link: theirs } => {
                tracing::info!(link, "the announcer of node {node} is heard, from its link {theirs}");
            }
            Change::Silent { node, link: theirs } => {
                tracing::warn!(
                    link,
                    "the announcer of node {node} is not heard any more, from its link {theirs}"
                );
            }
        }
    }
}

/// What is missing before anything can be announced from here.
fn trouble(known: &Known, responders: &Responders) -> Option<String> {
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
