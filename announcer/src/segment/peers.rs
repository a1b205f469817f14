//! All other announcing links on the segment.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::peer::{Heard, SegmentPeer};
use crate::beat::{Beat, Mark};

/// After how long a silence a peer is forgotten. Nodes come and go under ever new names.
const PEER_RETENTION: Duration = Duration::from_secs(3_600);

type LinksOfNode = BTreeMap<Arc<str>, SegmentPeer>;

/// All that were ever heard, by node and link.
#[derive(Clone, Debug, Default)]
pub(super) struct Peers(BTreeMap<Arc<str>, LinksOfNode>);

impl Peers {
    pub(super) fn all(&self) -> impl Iterator<Item = &SegmentPeer> {
        self.0.values().flat_map(LinksOfNode::values)
    }

    pub(super) fn alive(&self) -> impl Iterator<Item = &SegmentPeer> {
        self.all().filter(|peer| peer.alive())
    }

    pub(super) fn alive_on(&self, node: &str) -> impl Iterator<Item = &SegmentPeer> {
        self.0.get(node).into_iter().flat_map(LinksOfNode::values).filter(|peer| peer.alive())
    }

    pub(super) fn get(&self, node: &str, link: &str) -> Option<&SegmentPeer> {
        self.0.get(node)?.get(link)
    }

    /// Takes a beat in. Also whether anything changed that decides about addresses.
    pub(super) fn hear(&mut self, now: Duration, beat: Beat, us: Mark, elder: bool) -> (Heard, bool) {
        let links = self.0.entry(beat.node.clone()).or_default();
        let peer = links.entry(beat.link.clone()).or_insert_with(|| SegmentPeer::new(now, &beat, elder));
        peer.hear(now, beat, us)
    }

    /// Those that have been silent for too long by now, which are dead from here on.
    pub(super) fn bury(&mut self, now: Duration) -> Vec<(Arc<str>, Arc<str>)> {
        let mut dead = Vec::new();
        for peer in self.0.values_mut().flat_map(LinksOfNode::values_mut) {
            if peer.deadline().is_some_and(|deadline| deadline <= now) {
                peer.die();
                dead.push((peer.node().clone(), peer.link().clone()));
            }
        }
        if !dead.is_empty() {
            let forgotten = |peer: &SegmentPeer| !peer.alive() && peer.heard() + PEER_RETENTION <= now;
            self.0.values_mut().for_each(|links| links.retain(|_, peer| !forgotten(peer)));
            self.0.retain(|_, links| !links.is_empty());
        }
        dead
    }

    /// Nobody listened for so long, which is not their fault.
    pub(super) fn excuse(&mut self, gap: Duration) {
        self.0.values_mut().flat_map(LinksOfNode::values_mut).for_each(|peer| peer.excuse(gap));
    }

    /// By address, who is alive and claims it.
    pub(super) fn claimants(&self) -> HashMap<IpAddr, Vec<&SegmentPeer>> {
        let mut claimants: HashMap<IpAddr, Vec<&SegmentPeer>> = HashMap::new();
        for peer in self.alive() {
            for ip in peer.claims() {
                claimants.entry(*ip).or_default().push(peer);
            }
        }
        claimants
    }
}
