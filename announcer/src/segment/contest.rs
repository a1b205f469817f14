//! Who may announce one address, in the order in which they come.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::rank::{Rank, rank};

/// A node that may announce an address, by what the API says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Eligible {
    /// Its name.
    pub node: Arc<str>,
    /// On which of its links.
    pub links: Links,
    /// How much it is preferred: the higher comes first. 0 where nobody prefers any.
    pub score: u32,
}

/// Links of a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Links {
    /// All it has.
    All,
    /// Those of these names.
    Named(BTreeSet<Arc<str>>),
}

impl Links {
    pub(super) fn contains(&self, link: &str) -> bool {
        match self {
            Links::All => true,
            Links::Named(names) => names.contains(link),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Contender {
    pub(super) eligible: Eligible,
    pub(super) rank: Rank,
}

/// Who had an address when it was last seen to be claimed.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) node: Arc<str>,
    pub(super) link: Arc<str>,
    pub(super) leaving: bool,
}

/// One address, who may announce it, and what is known of its past.
#[derive(Clone, Debug)]
pub(super) struct Contest {
    /// As it was given, to see whether it is another one.
    pub(super) wanted: Vec<Eligible>,
    /// The highest score first, then the lowest rank.
    pub(super) order: Vec<Contender>,
    pub(super) last_owner: Option<Owner>,
    /// Since when nobody claims it.
    pub(super) vacant_since: Option<Duration>,
    /// Who claims it beside us.
    pub(super) disputed_by: Option<Arc<str>>,
}

impl Contest {
    pub(super) fn new(ip: IpAddr, wanted: &[Eligible]) -> Self {
        let mut order: Vec<Contender> = wanted
            .iter()
            .map(|eligible| Contender { rank: rank(&eligible.node, ip), eligible: eligible.clone() })
            .collect();
        order.sort_by(|a, b| (b.eligible.score, a.rank).cmp(&(a.eligible.score, b.rank)));
        Contest { wanted: wanted.to_vec(), order, last_owner: None, vacant_since: None, disputed_by: None }
    }

    /// With other nodes, and the same past.
    pub(super) fn become_for(&mut self, ip: IpAddr, wanted: &[Eligible]) {
        let new = Contest::new(ip, wanted);
        (self.wanted, self.order) = (new.wanted, new.order);
    }

    /// The entry of a node for one of its links; the first if there are more.
    pub(super) fn entry(&self, node: &str, link: &str) -> Option<(usize, &Contender)> {
        let is_meant =
            |entry: &Contender| &*entry.eligible.node == node && entry.eligible.links.contains(link);
        self.order.iter().enumerate().find(|(_, entry)| is_meant(entry))
    }
}
