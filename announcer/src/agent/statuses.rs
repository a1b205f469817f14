//! What this node announces, told in the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use apiserver_client::Watches;
use cloud_provider::ServiceKey;
use kube::Client;
use tokio::sync::mpsc;

use crate::announcements::{Announcement, BgpAnnouncements};
use crate::segment::{SegmentChange, Taken};
use crate::status::announced::announced;
use crate::status::keeper::{Assigned, KeeperPace, StatusKeeper};
use crate::status::object::AnnouncingNode;

/// What was decided last, as far as it is told.
#[derive(Default)]
pub(super) struct Decided {
    pub(super) layer2: BTreeMap<IpAddr, Announcement>,
    pub(super) bgp: BgpAnnouncements,
    /// The names of the peers that the engine cannot serve.
    pub(super) left_out: BTreeSet<String>,
}

/// What is held on which link, and the objects that tell it.
pub(super) struct Statuses {
    node: String,
    keeper: StatusKeeper,
    held: BTreeMap<String, BTreeSet<IpAddr>>,
}

impl Statuses {
    pub(super) fn start(
        client: Client,
        watches: Watches,
        announcer: AnnouncingNode,
        assigned: mpsc::UnboundedSender<Assigned>,
    ) -> Self {
        let node = announcer.node.clone();
        let keeper = StatusKeeper::start(client, watches, announcer, KeeperPace::default(), assigned);
        Statuses { node, keeper, held: BTreeMap::new() }
    }

    /// Something happened on a link. `services` have the address that it happened to.
    pub(super) fn happened(&mut self, link: &str, change: &SegmentChange, services: &BTreeSet<ServiceKey>) {
        match change {
            SegmentChange::Taken { ip, why } => {
                self.held.entry(link.to_owned()).or_default().insert(*ip);
                if let Taken::Silent { from, .. } = why {
                    for service in services {
                        self.keeper.gone(service.clone(), from);
                    }
                }
            }
            SegmentChange::GivenUp { ip, .. } => {
                if let Some(held) = self.held.get_mut(link) {
                    held.remove(ip);
                }
            }
            SegmentChange::Defended { .. }
            | SegmentChange::Foreign { .. }
            | SegmentChange::Refused { .. }
            | SegmentChange::Heard { .. }
            | SegmentChange::Silent { .. } => {}
        }
    }

    /// Tells what is announced, where these are the links that are left.
    pub(super) fn tell<'a>(&mut self, decided: &Decided, links: impl Iterator<Item = &'a String> + Clone) {
        self.held.retain(|link, _| links.clone().any(|left| left == link));
        let held = self.held.values().flatten().copied().collect();
        let Decided { layer2, bgp, left_out } = decided;
        self.keeper.announce(announced(&self.node, layer2, &held, &bgp.addresses, left_out));
    }
}
