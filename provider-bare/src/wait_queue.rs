//! Services that wait for an address, indexed by what could help them, so that a freed address costs little.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;

use cloud_provider::{IpFamily, ServiceId};

use crate::desired::SharingKey;

/// In which order Services are served when several need an address. The later ones have more to choose from, or
/// less to lose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WaitRank {
    /// Those that ask for one certain address: nothing else can help them.
    Explicit,
    /// Those that had an address and must move.
    Evicted,
    /// Those that have one family and would like the other.
    Additional,
    /// Those that have none.
    Pending,
}

/// A place in the queue: by rank, then oldest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct QueuePosition {
    pub(crate) rank: WaitRank,
    pub(crate) created: i64,
    pub(crate) id: Arc<ServiceId>,
}

/// What could help a waiting Service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum WaitTarget {
    /// This very address.
    Address(IpAddr),
    /// Any address of this family in the pool at this position.
    Pool(usize, IpFamily),
    /// An address shared by this key.
    Key(Arc<SharingKey>),
}

/// The queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct WaitQueue {
    by_target: HashMap<WaitTarget, BTreeSet<QueuePosition>>,
}

impl WaitQueue {
    pub(crate) fn join(&mut self, position: &QueuePosition, targets: &[WaitTarget]) {
        for target in targets {
            self.by_target.entry(target.clone()).or_default().insert(position.clone());
        }
    }

    pub(crate) fn leave(&mut self, position: &QueuePosition, targets: &[WaitTarget]) {
        for target in targets {
            if let Some(positions) = self.by_target.get_mut(target) {
                positions.remove(position);
                if positions.is_empty() {
                    self.by_target.remove(target);
                }
            }
        }
    }

    /// The first in the queue behind `after` of those that any of these could help.
    pub(crate) fn next(
        &self,
        targets: &HashSet<WaitTarget>,
        after: Option<&QueuePosition>,
    ) -> Option<&QueuePosition> {
        let behind = after.map_or(Bound::Unbounded, Bound::Excluded);
        let first =
            |target| self.by_target.get(target)?.range::<QueuePosition, _>((behind, Bound::Unbounded)).next();
        targets.iter().filter_map(first).min()
    }

    /// Whether nobody waits for anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_target.is_empty()
    }

    /// Whether anybody waits for it.
    pub(crate) fn has(&self, target: &WaitTarget) -> bool {
        self.by_target.contains_key(target)
    }
}
