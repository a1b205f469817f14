//! Which addresses Services had that have none now.

use std::collections::VecDeque;
use std::net::IpAddr;

use cloud_provider::ServiceKey;

use crate::allocation::Addresses;
use crate::maps::UidMap;

/// How many Services that have gone are remembered. Beyond that the one that went first is forgotten, so that memory
/// stays bounded.
const MAX_REMEMBERED_SERVICES: usize = 4096;

/// What Services had when they went, in memory alone: a preference, never a claim.
#[derive(Clone, Debug, Default)]
pub(super) struct LastAddresses {
    /// Whoever chooses names so that they are in each other's way makes a search as long as there are entries, at worst.
    by_service: UidMap<ServiceKey, Addresses>,
    order: VecDeque<ServiceKey>,
}

impl LastAddresses {
    pub(super) fn remember(&mut self, service: &ServiceKey, addresses: Addresses) {
        if self.by_service.insert(service.clone(), addresses).is_none() {
            self.order.push_back(service.clone());
        }
        if self.order.len() > MAX_REMEMBERED_SERVICES
            && let Some(first) = self.order.pop_front()
        {
            self.by_service.remove(&first);
        }
    }

    /// What the Service had; nothing if that is not remembered.
    pub(super) fn of(&self, service: &ServiceKey) -> &[IpAddr] {
        // Most have never gone: their names need not be hashed for that.
        if self.by_service.is_empty() {
            return &[];
        }
        self.by_service.get(service).map_or(&[], Addresses::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;

    #[test]
    fn the_first_that_went_is_the_first_that_is_forgotten() {
        let mut last = LastAddresses::default();
        let name = |i: usize| ServiceKey::new("default", format!("s{i}"));
        let address = |i: usize| -> Addresses {
            smallvec![IpAddr::from(u32::try_from(i).expect("it is small").to_be_bytes())]
        };
        for i in 0..=MAX_REMEMBERED_SERVICES {
            last.remember(&name(i), address(i));
        }
        assert_eq!(last.of(&name(0)), [] as [IpAddr; 0]);
        assert_eq!(last.of(&name(1)), &*address(1));
        last.remember(&name(1), address(7));
        assert_eq!(last.of(&name(1)), &*address(7), "what it had last");
        assert_eq!(last.order.len(), MAX_REMEMBERED_SERVICES);
    }
}
