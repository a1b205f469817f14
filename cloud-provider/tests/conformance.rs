//! The in-memory cloud keeps the contract, however it is set up.

use std::collections::BTreeSet;

use cloud_provider::IpMode;
use cloud_provider::testing::conformance::conformance;
use cloud_provider::testing::{AddressKind, MemoryHarness, NODE_LABELS, Provisioning, Settings};

async fn keeps_the_contract(settings: Settings) {
    keeps_the_contract_on(MemoryHarness::new(settings)).await;
}

async fn keeps_the_contract_on(harness: MemoryHarness) {
    conformance(&harness).await;
    assert_eq!(harness.cloud().complaints(), Vec::<String>::new(), "the suite itself keeps its side");
}

#[tokio::test(start_paused = true)]
async fn with_its_defaults() {
    keeps_the_contract(Settings::default()).await;
}

#[tokio::test(start_paused = true)]
async fn with_nothing_held_outside() {
    keeps_the_contract(Settings::with(|it| it.holds_resources = false)).await;
}

#[tokio::test(start_paused = true)]
async fn with_hostnames_and_annotations() {
    keeps_the_contract(Settings::with(|it| {
        it.address = AddressKind::Hostname;
        it.publishes_annotation = Some("memory.example/load-balancer".to_owned());
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn with_addresses_behind_a_proxy() {
    keeps_the_contract(Settings::with(|it| it.address = AddressKind::Ip(Some(IpMode::Proxy)))).await;
}

#[tokio::test(start_paused = true)]
async fn while_load_balancers_take_some_looks_to_become_active() {
    keeps_the_contract(Settings::with(|it| it.provisioning = Provisioning::ForLooks(3))).await;
}

#[tokio::test(start_paused = true)]
async fn while_load_balancers_become_active_by_themselves() {
    keeps_the_contract(Settings::with(|it| it.provisioning = Provisioning::UntilActivated)).await;
}

#[tokio::test(start_paused = true)]
async fn without_regard_to_nodes_and_annotations() {
    let reads_annotations = Some(BTreeSet::new());
    keeps_the_contract(Settings::with(|it| {
        it.uses_nodes = false;
        it.reads_annotations = reads_annotations;
        it.now = None;
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn with_endpoints_in_place_of_nodes() {
    keeps_the_contract(Settings::with(|it| {
        it.uses_nodes = false;
        it.uses_endpoints = true;
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn with_endpoints_and_nodes() {
    keeps_the_contract(Settings::with(|it| it.uses_endpoints = true)).await;
}

#[tokio::test(start_paused = true)]
async fn where_services_are_served_beside_their_mistakes() {
    keeps_the_contract(Settings::with(|it| it.serves_beside_mistakes = true)).await;
}

#[tokio::test(start_paused = true)]
async fn where_services_choose_their_nodes_by_label() {
    let harness = MemoryHarness::new(Settings::default());
    keeps_the_contract_on(harness.annotated(NODE_LABELS, "conformance.example/pool=web")).await;
}
