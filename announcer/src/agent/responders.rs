//! The links of this node that announce, each with its thread.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::wanted::{WantedAddresses, wanted};
use crate::announcements::Announcement;
use crate::beat::{Boot, Cluster, Keyring};
use crate::link::{Excluded, Link};
use crate::net::{LinkThread, links};
use crate::responder::{Command, LinkReport, Responder};
use crate::segment::{self, HeartbeatSettings, LEAVE_TIMEOUT, Me, SegmentChange};

/// Between two tries to begin on a link on which nothing can be said.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// For how much longer than a segment takes to leave it is waited for its thread to say so.
const LAST_REPORT_TIMEOUT: Duration = Duration::from_millis(500);

/// What all links have in common.
pub(super) struct Common {
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
    common: Common,
    /// By number: a link that comes back by the same name has another.
    responding: BTreeMap<u32, Responding>,
    /// The links on which nothing can be said, and why.
    failing: BTreeMap<String, String>,
    again: Option<Instant>,
}

impl Responders {
    pub(super) fn new(common: Common) -> Self {
        Responders { common, responding: BTreeMap::new(), failing: BTreeMap::new(), again: None }
    }

    /// Begins on links that have come, ends on those that have gone, and tells the others how they are now. True if there
    /// are others than before, or their networks have changed.
    ///
    /// # Errors
    /// Where the kernel cannot be asked for its links.
    pub(super) fn look(&mut self) -> io::Result<bool> {
        let found: Vec<Link> = links()?
            .into_iter()
            .filter(|link| !link.has_master && !self.common.excluded.contains(&link.name))
            .collect();
        let before = self.responding.len();
        self.responding.retain(|index, responding| {
            let there = found.iter().any(|link| link.index == *index && link.name == responding.link.name);
            there && !responding.thread.has_ended()
        });
        let mut changed = self.responding.len() != before;
        self.failing.retain(|name, _| found.iter().any(|link| link.name == *name));
        self.again = None;
        for link in found {
            match self.responding.get_mut(&link.index) {
                Some(responding) => {
                    if (responding.link.running, responding.link.mac) != (link.running, link.mac) {
                        responding.thread.order(Command::Link(state(&link)));
                    }
                    changed |= responding.link.subnets != link.subnets;
                    responding.link = link;
                }
                None => changed |= self.begin(link),
            }
        }
        Ok(changed)
    }

    fn begin(&mut self, link: Link) -> bool {
        let Common { node, keys, cluster, settings, changes, .. } = &self.common;
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
        self.again
    }

    /// Tells each link what it is to want now.
    pub(super) fn want(&mut self, announcements: &BTreeMap<IpAddr, Announcement>) {
        let links: Vec<Link> = self.responding.values().map(|responding| responding.link.clone()).collect();
        let mut wanted = wanted(&self.common.node, &links, announcements);
        for responding in self.responding.values_mut() {
            let wanted = wanted.remove(&responding.link.name).unwrap_or_default();
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

    /// The links that are to answer for addresses of IPv6 and have none of their own that is good on the link.
    pub(super) fn without_link_local(&self) -> BTreeSet<String> {
        let asked =
            self.responding.values().filter(|it| it.link.running && it.wanted.keys().any(IpAddr::is_ipv6));
        let without = asked.filter(|it| !it.link.subnets.iter().any(is_link_local));
        without.map(|it| it.link.name.clone()).collect()
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

fn is_link_local(subnet: &IpNet) -> bool {
    matches!(subnet.addr(), IpAddr::V6(ip) if ip.is_unicast_link_local())
}

fn state(link: &Link) -> segment::LinkState {
    segment::LinkState { usable: link.running, mac: link.mac }
}
