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
pub enum Rank {
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
pub(crate) struct Place {
    pub(crate) rank: Rank,
    pub(crate) created: i64,
    pub(crate) id: Arc<ServiceId>,
}

/// What could help a waiting Service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Spot {
    /// This very address.
    Address(IpAddr),
    /// Any address of this family in the pool at this position.
    Pool(usize, IpFamily),
    /// An address shared by this key.
    Key(Arc<SharingKey>),
}

/// The queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    spots: HashMap<Spot, BTreeSet<Place>>,
}

impl Queue {
    pub(crate) fn join(&mut self, place: &Place, spots: &[Spot]) {
        for spot in spots {
            self.spots.entry(spot.clone()).or_default().insert(place.clone());
        }
    }

    pub(crate) fn leave(&mut self, place: &Place, spots: &[Spot]) {
        for spot in spots {
            if let Some(places) = self.spots.get_mut(spot) {
                places.remove(place);
                if places.is_empty() {
                    self.spots.remove(spot);
                }
            }
        }
    }

    /// The first in the queue behind `after` at any of these spots.
    pub(crate) fn next(&self, spots: &HashSet<Spot>, after: Option<&Place>) -> Option<&Place> {
        let behind = after.map_or(Bound::Unbounded, Bound::Excluded);
        let first = |spot| self.spots.get(spot)?.range::<Place, _>((behind, Bound::Unbounded)).next();
        spots.iter().filter_map(first).min()
    }

    /// Whether anybody waits there.
    pub(crate) fn has(&self, spot: &Spot) -> bool {
        self.spots.contains_key(spot)
    }
}
