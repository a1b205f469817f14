//! How much of a pool is in use.

use std::net::IpAddr;

use cloud_provider::IpFamily;
use metallb::crd::IPAddressPoolStatus;
use metallb::per_family::PerFamily;
use metallb::pool::Pool;

/// Addresses of one pool, per family. Kept up to date with every change, never recounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters(PerFamily<PoolCounts>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct PoolCounts {
    /// What the pool can hand out.
    capacity: u128,
    /// What is in use, a shared address once.
    assigned: u128,
    /// What of that the pool would not hand out: in use since before it avoided such addresses.
    avoided: u128,
}

impl Counters {
    /// A pool of which nothing is in use.
    pub(crate) fn of_capacity(pool: &Pool) -> Self {
        Counters(PerFamily::each(|family| PoolCounts {
            capacity: pool.capacity(family),
            ..PoolCounts::default()
        }))
    }

    pub(crate) fn took(&mut self, ip: IpAddr, handed_out: bool) {
        let counts = &mut self.0[IpFamily::of(ip)];
        counts.assigned += 1;
        counts.avoided += u128::from(!handed_out);
    }

    pub(crate) fn gave_back(&mut self, ip: IpAddr, handed_out: bool) {
        let counts = &mut self.0[IpFamily::of(ip)];
        counts.assigned -= 1;
        counts.avoided -= u128::from(!handed_out);
    }

    /// As the resource's status tells it. What does not fit is the largest number that does.
    pub fn status(&self) -> IPAddressPoolStatus {
        let fit = |n: u128| i64::try_from(n).unwrap_or(i64::MAX);
        let (v4, v6) = (&self.0[IpFamily::V4], &self.0[IpFamily::V6]);
        IPAddressPoolStatus {
            assigned_ipv4: fit(v4.assigned),
            assigned_ipv6: fit(v6.assigned),
            available_ipv4: fit(v4.available()),
            available_ipv6: fit(v6.available()),
        }
    }
}

impl PoolCounts {
    fn available(&self) -> u128 {
        self.capacity.saturating_sub(self.assigned - self.avoided)
    }
}
