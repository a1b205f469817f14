//! What came of a Service's wish for addresses, and what it waits for.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use cloud_provider::{IpFamily, Mistake};
use smallvec::SmallVec;

use crate::blocker::Blocker;

/// Addresses of one Service, in publishing order: nearly always one, or one of each family.
pub type Addresses = SmallVec<[IpAddr; 2]>;

/// What came of a Service's wish.
#[derive(Clone, Debug, PartialEq)]
pub enum Allocation {
    /// It has what it asks for.
    Served,
    /// It is served in one family, and gets the other as soon as there is an address.
    Partly {
        /// The family it lacks.
        missing: IpFamily,
    },
    /// It keeps addresses that its pools do not provide: as configured, or because some pool cannot be read.
    Kept {
        /// Those addresses.
        addresses: Vec<IpAddr>,
        /// Pools that cannot be read; empty if it is by configuration.
        unreadable: Vec<String>,
    },
    /// It keeps addresses that no pool provides any more for a grace period, in case the pool comes back.
    Leaving {
        /// Those addresses.
        addresses: Vec<IpAddr>,
        /// How long the period is, from when the pool ceased to provide them.
        grace: Duration,
    },
    /// It waits for others.
    Waiting(WaitReason),
    /// It asks for what cannot be.
    Refused(Vec<Mistake>),
}

/// What a Service waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum WaitReason {
    /// There is no pool at all.
    NoPools,
    /// A pool that it needs, or any pool, cannot be read.
    Unreadable(Vec<String>),
    /// No pool assigns to this Service unasked.
    NoPoolForIt(Vec<String>),
    /// All addresses of these pools are in use.
    Exhausted {
        /// What was not to be had, and where it was looked for: pool and number of addresses.
        families: Vec<(IpFamily, Vec<(String, u128)>)>,
        /// Published addresses that wait to be replaced.
        replacing: Vec<IpAddr>,
        /// Why no other pool will do, if that is so.
        one_pool: Option<OnePool>,
    },
    /// The requested addresses are in the hands of others: who, and why they cannot be shared.
    InUse(Vec<Mistake>),
}

/// All addresses of a Service have to be of one pool: MetalLB's speaker announces no other.
#[derive(Clone, Debug, PartialEq)]
pub struct OnePool {
    /// What the Service has and keeps, and the pool that it is of, if it is of any: everything else has to be of that.
    pub kept: Option<(IpAddr, Option<String>)>,
}

impl fmt::Display for OnePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kept {
            Some((ip, Some(pool))) => write!(f, "{ip} is of pool {pool}, and ")?,
            Some((ip, None)) => write!(f, "{ip} is of no pool, and ")?,
            None => {}
        }
        f.write_str("MetalLB's speaker announces a Service only if all its addresses are of one pool")
    }
}

/// An address that the status of a Service shows, and that the Service does not have any more.
#[derive(Clone, Debug, PartialEq)]
pub struct LostAddress {
    /// The address.
    pub ip: IpAddr,
    /// Why.
    pub reason: LossReason,
}

/// Why an address is lost.
#[derive(Clone, Debug, PartialEq)]
pub enum LossReason {
    /// Others have it, and the Service may not share it with them.
    InTheWay(Blocker),
    /// The Service asks for other addresses.
    AsksForOthers,
    /// The Service asks for another pool, of this name.
    AsksForPool(String),
    /// The Service has no such family any more.
    NotItsFamily,
    /// No pool contains it.
    InNoPool,
    /// Its pool, of this name, does not provide it to this Service.
    NotProvided(String),
    /// The Service has another of that family.
    HasAnother,
}
