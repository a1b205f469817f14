//! The in-memory cloud keeps the contract, however it is set up.

use std::collections::BTreeSet;

use cloud_provider::IpMode;
use cloud_provider::testing::conformance::conformance;
use cloud_provider::testing::{AddressKind, MemoryHarness, Provisioning, Settings};

async fn keeps_the_contract(settings: Settings) {
    let harness = MemoryHarness::new(settings);
    conformance(&harness).await;
    assert_eq!(harness.cloud().complaints(), Vec::<String>::new(), "the suite itself keeps its side");
}

#[tokio::test]
async fn with_its_defaults() {
    keeps_the_contract(Settings::default()).await;
}

#[tokio::test]
async fn with_nothing_held_outside() {
    keeps_the_contract(Settings { holds_resources: false, ..Settings::default() }).await;
}

#[tokio::test]
async fn with_hostnames_and_annotations() {
    keeps_the_contract(Settings {
        address: AddressKind::Hostname,
        publishes_annotation: Some("memory.example/load-balancer".to_owned()),
        ..Settings::default()
    })
    .await;
}

#[tokio::test]
async fn with_addresses_behind_a_proxy() {
    keeps_the_contract(Settings { address: AddressKind::Ip(Some(IpMode::Proxy)), ..Settings::default() })
        .await;
}

#[tokio::test]
async fn while_load_balancers_take_some_looks_to_become_active() {
    keeps_the_contract(Settings { provisioning: Provisioning::ForLooks(3), ..Settings::default() }).await;
}

#[tokio::test]
async fn while_load_balancers_become_active_by_themselves() {
    keeps_the_contract(Settings { provisioning: Provisioning::UntilActivated, ..Settings::default() }).await;
}

#[tokio::test]
async fn without_regard_to_nodes_and_annotations() {
    let reads_annotations = Some(BTreeSet::new());
    keeps_the_contract(Settings { uses_nodes: false, reads_annotations, now: None, ..Settings::default() })
        .await;
}
