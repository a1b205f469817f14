//! The links of this node that announce, each with its thread.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::wanted::{WantedAddresses, WantedByLink, wanted};
use crate::announcements::Announcement;
use crate::beat::{Boot, Cluster, Keyring};
use crate::link::{Excluded, Link};
use crate::net::{LinkThread, links};
use crate::responder::{Command, LinkReport, Responder};
use crate::segment::{self, HeartbeatSettings, LEAVE_TIMEOUT, Me, SegmentChange};

/// Between two tries to begin on a link on which nothing can be said.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// For how long a link may be without its link-local address before that is told: after it came up that takes a second or two,
/// and where a network manager gives it one, a moment more.
const LINK_LOCAL_GRACE: Duration = Duration::from_secs(5);

/// For how much longer than a segment takes to leave it is waited for its thread to say so.
const LAST_REPORT_TIMEOUT: Duration = Duration::from_millis(500);

/// What all links have in common.
pub(super) struct CommonToLinks {
    pub(super) node: Arc<str>,
    pub(super) keys: Keyring,
    pub(super) cluster: Cluster,
    pub(super) settings: HeartbeatSettings,
    pub(super) excluded: Excluded,
    /// Where changes are told, with the link's name.
    pub(super) changes: mpsc::UnboundedSender<(String, SegmentChange)>,
}

/// A link at work.
struct Responding {
    link: Link,
    thread: LinkThread,
    /// What it was told last.
    wanted: WantedAddresses,
}

/// The links that announce. Dropped, all fall silent at once.
pub(super) struct Responders {
    common: CommonToLinks,
    /// By number: a link that comes back by the same name has another.
    responding: BTreeMap<u32, Responding>,
    /// The links on which nothing can be said, and why.
    failing: BTreeMap<String, String>,
    again: Option<Instant>,
    /// Links without the link-local address that they need, and since when.
    without_link_local: BTreeMap<String, Instant>,
    looked: Instant,
}

impl Responders {
    pub(super) fn new(common: CommonToLinks) -> Self {
        Responders {
            common,
            responding: BTreeMap::new(),
            failing: BTreeMap::new(),
            again: None,
            without_link_local: BTreeMap::new(),
            looked: Instant::now(),
        }
    }

    /// Begins on links that have come, ends on those that have gone, and tells the others how they are now. True if there
    /// are others than before, if their networks have changed, or if one has been without its link-local address for long.
    ///
    /// # Errors
    /// Where the kernel cannot be asked for its links.
    pub(super) fn look(&mut self) -> io::Result<bool> {
        let found: Vec<Link> = links()?
            .into_iter()
            .filter(|link| !link.has_master && !self.common.excluded.contains(&link.name))
            .collect();
        self.looked = Instant::now();
        let before = self.responding.len();
        self.responding.retain(|index, responding| {
            let there = found.iter().any(|link| link.index == *index && link.name == responding.link.name);
            there && !responding.thread.has_ended()
        });
        let mut changed = self.responding.len() != before || !self.without_link_local().is_empty();
        self.failing.retain(|name, _| found.iter().any(|link| link.name == *name));
        self.again = None;
        for link in found {
            match self.responding.get_mut(&link.index) {
                Some(responding) => {
                    if (responding.link.running, responding.link.mac) != (link.running, link.mac) {
                        responding.thread.order(Command::Link(state(&link)));
                    }
                    let addresses = |link: &Link| (link.subnets.clone(), link.link_local);
                    changed |= addresses(&responding.link) != addresses(&link);
                    responding.link = link;
                }
                None => changed |= self.begin(link),
            }
        }
        Ok(changed)
    }

    fn begin(&mut self, link: Link) -> bool {
        let CommonToLinks { node, keys, cluster, settings, changes, .. } = &self.common;
        let me = Me { node: node.clone(), link: link.name.as_str().into(), boot: Boot(fastrand::u64(..)) };
        let responder = Responder::new(me, *settings, keys.clone(), *cluster, Duration::ZERO);
        match LinkThread::start(link.index, &link.name, Instant::now(), responder, changes.clone()) {
            Ok(thread) => {
                tracing::info!(link = link.name, mac = %link.mac, running = link.running, "a link announces");
                thread.order(Command::Link(state(&link)));
                self.failing.remove(&link.name);
                self.responding
                    .insert(link.index, Responding { link, thread, wanted: WantedAddresses::new() });
                true
            }
            Err(error) => {
                let why = match error.kind() {
                    io::ErrorKind::PermissionDenied => {
                        format!("{error}: the capability NET_RAW is missing")
                    }
                    _ => error.to_string(),
                };
                if self.failing.insert(link.name.clone(), why.clone()).as_ref() != Some(&why) {
                    tracing::error!(link = link.name, "nothing can be announced on the link: {why}");
                }
                self.again = Some(Instant::now() + RETRY_DELAY);
                false
            }
        }
    }

    /// When to [look](Responders::look) again though no link has changed.
    pub(super) fn again(&self) -> Option<Instant> {
        let told = self.without_link_local.values().map(|since| *since + LINK_LOCAL_GRACE);
        // What is past was looked at.
        let told = told.filter(|at| *at > self.looked);
        self.again.into_iter().chain(told).min()
    }

    /// Tells each link what it is to want now.
    pub(super) fn want(&mut self, announcements: &BTreeMap<IpAddr, Announcement>) {
        let links: Vec<Link> = self.responding.values().map(|responding| responding.link.clone()).collect();
        let WantedByLink { mut addresses, without_link_local } =
            wanted(&self.common.node, &links, announcements);
        let is_up = |name: &String| links.iter().any(|link| link.running && link.name == *name);
        let (now, before) = (Instant::now(), std::mem::take(&mut self.without_link_local));
        let since = |name: String| {
            let since = before.get(&name).copied().unwrap_or(now);
            (name, since)
        };
        self.without_link_local = without_link_local.into_iter().filter(is_up).map(since).collect();
        for responding in self.responding.values_mut() {
            let wanted = addresses.remove(&responding.link.name).unwrap_or_default();
            if wanted != responding.wanted {
                responding.thread.order(Command::Want(wanted.clone()));
                responding.wanted = wanted;
            }
        }
    }

    /// The names of the links that announce.
    pub(super) fn names(&self) -> Vec<&str> {
        self.responding.values().map(|responding| responding.link.name.as_str()).collect()
    }

    /// From now on these keys are in force on every link, also on those that come.
    pub(super) fn keys(&mut self, keys: Keyring) {
        for responding in self.responding.values() {
            responding.thread.order(Command::Keys(keys.clone()));
        }
        self.common.keys = keys;
    }

    /// The links that were to answer for addresses of IPv6 and do not, because they have had no link-local address for a
    /// while.
    pub(super) fn without_link_local(&self) -> BTreeSet<String> {
        let long = self.without_link_local.iter().filter(|(_, since)| since.elapsed() >= LINK_LOCAL_GRACE);
        long.map(|(name, _)| name.clone()).collect()
    }

    /// How each link stands, by its name.
    pub(super) fn reports(&self) -> BTreeMap<String, watch::Receiver<LinkReport>> {
        let reports = self.responding.values();
        reports.map(|responding| (responding.link.name.clone(), responding.thread.report())).collect()
    }

    /// Why nothing is announced from here; none if something can be.
    pub(super) fn trouble(&self) -> Option<String> {
        if !self.responding.is_empty() {
            return None;
        }
        let failing: Vec<_> = self.failing.iter().map(|(link, why)| format!("{link}: {why}")).collect();
        Some(match failing.is_empty() {
            true => {
                "there is no link to announce on: all are excluded, or ports of a bridge or bond".to_owned()
            }
            false => failing.join("; "),
        })
    }

    /// Hands over what is held, and ends when others have taken it, or nobody has for [`LEAVE_TIMEOUT`].
    pub(super) async fn leave(self) {
        let mut reports = self.reports();
        for responding in self.responding.values() {
            responding.thread.order(Command::Leave);
        }
        let all_have_left = async {
            for report in reports.values_mut() {
                // A link that has gone has left.
                let _gone = report.wait_for(|report| report.has_left).await;
            }
        };
        // What was not handed over by then falls silent, and is taken as from the dead.
        let _in_time = timeout(LEAVE_TIMEOUT + LAST_REPORT_TIMEOUT, all_have_left).await;
    }
}

fn state(link: &Link) -> segment::LinkState {
    segment::LinkState { usable: link.running, mac: link.mac }
}
