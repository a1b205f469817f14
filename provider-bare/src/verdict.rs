//! How a Service stands with its addresses, and what is in short supply.

use std::net::IpAddr;

use cloud_provider::{IpFamily, Mistake};

/// How a Service stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
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
    /// It waits for others.
    Waiting(Shortage),
    /// It asks for what cannot be.
    Refused(Vec<Mistake>),
}

/// What is in short supply.
#[derive(Clone, Debug, PartialEq)]
pub enum Shortage {
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
    },
    /// The requested addresses are in the hands of others: who, and why they cannot be shared.
    InUse(Vec<Mistake>),
}
