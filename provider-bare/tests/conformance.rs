//! The contract of a provider, clause by clause.

use std::sync::Arc;

use async_trait::async_trait;
use cloud_provider::testing::conformance::conformance;
use cloud_provider::testing::{Harness, Serving};
use cloud_provider::{CloudLoadBalancer, IpFamily, ServiceId, ServiceView};
use metallb::crd::IPAddressPoolSpec;
use metallb::pool::Definition;
use parking_lot::Mutex;
use provider_bare::{BareConfig, BareProvider, PoolSource};

/// A pool, and whoever hands out its addresses at the time. Nothing is held outside, so what the last process
/// lists is all there is.
struct Bare {
    pools: Vec<Definition>,
    last: Mutex<Option<Arc<BareProvider>>>,
}

impl Bare {
    fn new(addresses: &[&str]) -> Self {
        let pool = Definition {
            namespace: "metallb-system".into(),
            name: "conformance".into(),
            labels: Default::default(),
            created: None,
            annotations: Default::default(),
            spec: Ok(IPAddressPoolSpec::of(addresses.iter().copied())),
        };
        Bare { pools: vec![pool], last: Mutex::default() }
    }
}

#[async_trait]
impl Harness for Bare {
    async fn start(&self) -> Arc<dyn CloudLoadBalancer> {
        let mut config = BareConfig::default();
        config.pools = PoolSource::Static(self.pools.clone());
        let provider = Arc::new(BareProvider::new(config, None).expect("no client is needed"));
        *self.last.lock() = Some(provider.clone());
        provider
    }

    fn mistaken(&self, service: &ServiceView) -> Option<ServiceView> {
        let mut mistaken = service.clone();
        mistaken.load_balancer_ip = Some("somewhere".to_owned());
        Some(mistaken)
    }

    /// Who announces an address decides the rest; the families are the allocator's to honour.
    async fn serving(&self, service: &ServiceId) -> Option<Serving> {
        let provider = self.last.lock().clone()?;
        let owned = provider.list().await.expect("memory can always be listed");
        let ours = owned.iter().filter(|owned| owned.service == *service);
        let families = ours.map(|owned| IpFamily::of(owned.resource.parse().expect("an address")));
        Some(Serving::nothing().families(families))
    }

    async fn leftovers(&self) -> Vec<String> {
        let last = self.last.lock().clone();
        let Some(provider) = last else { return Vec::new() };
        let owned = provider.list().await.expect("memory can always be listed");
        owned.into_iter().map(|owned| format!("{} of {}", owned.resource, owned.service)).collect()
    }
}

#[tokio::test]
async fn the_contract_is_kept() {
    conformance(&Bare::new(&["192.168.10.0/24"])).await;
}

#[tokio::test]
async fn the_contract_is_kept_by_a_pool_of_both_families() {
    conformance(&Bare::new(&["192.168.10.0/24", "fd00:10::/120"])).await;
}

/// With just enough for the clauses that have two Services, so that nothing may leak.
#[tokio::test]
async fn the_contract_is_kept_by_a_pool_that_is_nearly_empty() {
    conformance(&Bare::new(&["192.168.10.0/30"])).await;
}
