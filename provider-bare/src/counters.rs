//! How much of a pool is in use.

use std::net::IpAddr;

use cloud_provider::IpFamily;

use metallb::crd::IPAddressPoolStatus;
use metallb::pool::Pool;

/// Addresses of one pool, per family. Kept up to date with every change, never recounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    v4: Family,
    v6: Family,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Family {
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
        let family = |family| Family { capacity: pool.capacity(family), ..Family::default() };
        Counters { v4: family(IpFamily::V4), v6: family(IpFamily::V6) }
    }

    pub(crate) fn took(&mut self, ip: IpAddr, handed_out: bool) {
        let family = self.family(IpFamily::of(ip));
        family.assigned += 1;
        family.avoided += u128::from(!handed_out);
    }

    pub(crate) fn gave_back(&mut self, ip: IpAddr, handed_out: bool) {
        let family = self.family(IpFamily::of(ip));
        family.assigned -= 1;
        family.avoided -= u128::from(!handed_out);
    }

    fn family(&mut self, family: IpFamily) -> &mut Family {
        match family {
            IpFamily::V4 => &mut self.v4,
            IpFamily::V6 => &mut self.v6,
        }
    }

    /// As the resource's status tells it. What does not fit is the largest number that does.
    pub fn status(&self) -> IPAddressPoolStatus {
        let fit = |n: u128| i64::try_from(n).unwrap_or(i64::MAX);
        IPAddressPoolStatus {
            assigned_ipv4: fit(self.v4.assigned),
            assigned_ipv6: fit(self.v6.assigned),
            available_ipv4: fit(self.v4.available()),
            available_ipv6: fit(self.v6.available()),
        }
    }
}

impl Family {
    fn available(&self) -> u128 {
        self.capacity.saturating_sub(self.assigned - self.avoided)
    }
}
