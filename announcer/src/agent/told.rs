//! What is said of addresses that are not announced.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::announcements::{Announcement, Conflict, Hostname, Refusal, View, hostnames};

/// What was said already about what is not announced, so that each is said once.
#[derive(Default)]
pub(super) struct Told {
    hostnames: Vec<Hostname>,
    refusals: BTreeMap<IpAddr, Refusal>,
    conflicts: Vec<Conflict>,
}

impl Told {
    pub(super) fn hostnames(&mut self, view: &View) {
        let hostnames = hostnames(view);
        for new in hostnames.iter().filter(|hostname| !self.hostnames.contains(hostname)) {
            tracing::warn!(
                service = %new.service,
                "its status has the name {:?} in place of an address, and nothing is announced about a name",
                new.hostname
            );
        }
        self.hostnames = hostnames;
    }

    pub(super) fn conflicts(&mut self, conflicts: &[Conflict]) {
        for new in conflicts.iter().filter(|conflict| !self.conflicts.contains(conflict)) {
            tracing::warn!("{new}");
        }
        self.conflicts = conflicts.to_vec();
    }

    pub(super) fn refusals(&mut self, node: &str, announcements: &BTreeMap<IpAddr, Announcement>) {
        let mut refusals = BTreeMap::new();
        for (&ip, announcement) in announcements {
            let Err(refusal) = announcement.on(node) else { continue };
            if self.refusals.get(&ip) != Some(&refusal) {
                let services =
                    announcement.services.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                match (&announcement.nodes, &refusal) {
                    (Ok(_), _) => {
                        tracing::debug!(service = services, "{ip} is not announced from here: {refusal}");
                    }
                    // Every Service that is scaled to nothing, or has only just come.
                    (Err(_), Refusal::NoEndpoints) => {
                        tracing::info!(service = services, "{ip} is announced by no node: {refusal}");
                    }
                    (Err(_), _) => {
                        tracing::warn!(service = services, "{ip} is announced by no node: {refusal}");
                    }
                }
            }
            refusals.insert(ip, refusal);
        }
        self.refusals = refusals;
    }
}
