//! What happens when pools come, change, break and go.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use kube::api::{DeleteParams, ListParams};
use metallb::crd::IPAddressPool;
use provider_bare::{BareConfig, BareProvider};
use serde_json::json;
use service_controller::ServiceController;
use tests::cluster::{DEADLINE, addresses, condition, eventually, quick, until};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::Metal;

#[tokio::test]
async fn a_pool_that_comes_later_serves_those_who_waited() {
    let metal = Metal::start().await;
    let running = metal.run();
    metal.cluster.create("web").await;
    metal.cluster.until("web", "to be told that there is no pool", |s| condition(s, "bare").is_some()).await;

    metal.pool("office", &["192.0.2.10-192.0.2.19"]).await;

    assert_eq!(metal.cluster.until_published("web").await, ["192.0.2.10"]);
    running.stop().await;
}

#[tokio::test]
async fn no_pool_at_all_never_wipes_a_status() {
    let metal = Metal::start().await;
    metal.cluster.create("web").await;
    let shown = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "203.0.113.9" }] } } });
    metal.cluster.change_status("web", shown).await;

    let running = metal.run();
    metal.cluster.until("web", "to be looked at", |s| condition(s, "bare").is_some()).await;

    assert_eq!(addresses(&metal.cluster.service("web").await), ["203.0.113.9"]);
    running.stop().await;
}

#[tokio::test]
async fn a_pool_that_shrinks_moves_only_those_it_no_longer_holds() {
    let metal = Metal::start().await;
    metal.pool("office", &["192.0.2.10-192.0.2.11", "192.0.2.20-192.0.2.29"]).await;
    let running = metal.run_without_grace();
    for name in ["a", "b", "c"] {
        metal.cluster.create(name).await;
        metal.cluster.until_published(name).await;
    }

    metal.change_pool("office", json!({ "addresses": ["192.0.2.11/32", "192.0.2.20-192.0.2.29"] })).await;

    metal.cluster.until("a", "to move", |s| addresses(s) == ["192.0.2.21"]).await;
    assert_eq!(addresses(&metal.cluster.service("b").await), ["192.0.2.11"]);
    assert_eq!(addresses(&metal.cluster.service("c").await), ["192.0.2.20"]);
    running.stop().await;
}

#[tokio::test]
async fn a_pool_that_goes_moves_its_services_to_another_or_lets_them_keep_what_they_have() {
    let metal = Metal::start().await;
    metal.pool("old", &["192.0.2.10-192.0.2.19"]).await;
    let running = metal.run_without_grace();
    metal.cluster.create("web").await;
    metal.cluster.until_published("web").await;

    metal.pools().delete("old", &DeleteParams::default()).await.unwrap();
    metal.cluster.until("web", "to be told", |s| condition(s, "bare").is_some_and(|c| !c.2.is_empty())).await;
    assert_eq!(addresses(&metal.cluster.service("web").await), ["192.0.2.10"]);

    metal.pool("new", &["198.51.100.0/28"]).await;
    metal.cluster.until("web", "to move", |s| addresses(s) == ["198.51.100.0"]).await;
    running.stop().await;
}

#[tokio::test]
async fn while_nothing_replaces_a_pool_in_use_the_condition_says_what_metallbs_speaker_refuses_and_how_to_mend_it()
 {
    let metal = Metal::start().await;
    metal.pool("old", &["192.0.2.10-192.0.2.19"]).await;
    let running = metal.run();
    metal.cluster.create("web").await;
    metal.cluster.until_published("web").await;

    metal.pools().delete("old", &DeleteParams::default()).await.unwrap();
    let says = "MetalLB's speaker refuses new configuration until a pool holds 192.0.2.10 again, such as {";
    let told = |s: &Service| {
        condition(s, "bare").is_some_and(|(ready, _, why)| ready == "False" && why.contains(says))
    };
    let service = metal.cluster.until("web", "to be told", told).await;
    assert_eq!(addresses(&service), ["192.0.2.10"], "it is never taken to please the speaker");

    let (_, _, why) = condition(&service, "bare").expect("it is there");
    let (start, end) = (why.find('{').expect("a manifest"), why.rfind('}').expect("its end"));
    let mending = metallb::manifest::parse(&why[start..=end]).pools.remove(0).spec.expect("it is right");
    let addresses_of: Vec<&str> = mending.addresses.iter().map(String::as_str).collect();
    assert_eq!((addresses_of.as_slice(), mending.auto_assign), (&["192.0.2.10/32"][..], false));
    metal.pool("kept", &addresses_of).await;
    let ready = |s: &Service| condition(s, "bare").is_some_and(|(ready, ..)| ready == "True");
    metal.cluster.until("web", "to be in a pool again", ready).await;
    running.stop().await;
}

/// As `kubectl delete ipaddresspools --all` does, and `kubectl delete crd`: one after the other, with another pool to move
/// to until that is gone as well.
#[tokio::test]
async fn pools_that_are_all_deleted_together_take_nothing_from_anybody() {
    let metal = Metal::start().await;
    metal.pool("a", &["192.0.2.10-192.0.2.19"]).await;
    metal.pool("b", &["198.51.100.0/28"]).await;
    let running = metal.run_without_grace();
    let names = ["one", "two", "three", "four", "five"];
    let mut before = Vec::new();
    for name in names {
        metal.cluster.create(name).await;
        before.push(metal.cluster.until_published(name).await);
    }

    metal.pools().delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
    metal.cluster.create("late").await;
    metal.cluster.until("late", "to be told", is_without_pools).await;

    for (name, before) in names.into_iter().zip(before) {
        metal.cluster.until(name, "to be told", is_without_pools).await;
        assert_eq!(addresses(&metal.cluster.service(name).await), before, "{name}");
    }
    running.stop().await;
}

fn is_without_pools(service: &Service) -> bool {
    condition(service, "bare").is_some_and(|(_, reason, _)| reason == "NoAddressPools")
}

/// As `kubectl replace --force` does.
#[tokio::test]
async fn a_pool_that_is_made_again_moves_nobody() {
    let metal = Metal::start().await;
    metal.pool("a", &["192.0.2.10-192.0.2.19"]).await;
    metal.pool("b", &["198.51.100.0/28"]).await;
    let running = metal.run();
    metal.cluster.create("web").await;
    metal.cluster.until_published("web").await;

    metal.pools().delete("a", &DeleteParams::default()).await.unwrap();
    metal.cluster.until_event("web", "AddressLeavesPool").await;
    metal.pool("a", &["192.0.2.10-192.0.2.19"]).await;
    let counted = |pool: Option<&IPAddressPool>| pool.is_some_and(|pool| pool.status.is_some());
    until(metal.pools(), "a", "to be in force again, with what it has assigned", counted).await;
    metal.cluster.create("other").await;
    assert_eq!(metal.cluster.until_published("other").await, ["192.0.2.11"]);

    assert_eq!(addresses(&metal.cluster.service("web").await), ["192.0.2.10"]);
    running.stop().await;
}

#[tokio::test]
async fn broken_pools_are_told_on_the_pool_and_stop_nobody_else() {
    let metal = Metal::start().await;
    metal.pool("good", &["192.0.2.10-192.0.2.19"]).await;
    let running = metal.run();
    let table = [
        ("inverted", vec!["192.0.2.30-192.0.2.20"], "192.0.2.30-192.0.2.20"),
        ("overlapping", vec!["192.0.2.0/24"], "good"),
        ("no-address", vec!["somewhere"], "somewhere"),
        ("bare-address", vec!["192.0.2.40"], "192.0.2.40/32"),
        ("mixed", vec!["192.0.2.50-2001:db8::1"], "2001:db8::1"),
        ("empty", vec![], "addresses"),
    ];
    for (name, wrong, part) in table {
        metal.pool(name, &wrong).await;
        let told = metal.until_pool_event(name).await;
        assert!(told.contains(part), "{name}: {part:?} is missing in {told:?}");
    }
    metal.cluster.create("web").await;
    assert_eq!(metal.cluster.until_published("web").await, ["192.0.2.10"]);
    running.stop().await;
}

#[tokio::test]
async fn the_last_good_version_of_a_pool_that_breaks_stays_in_force() {
    let metal = Metal::start().await;
    metal.pool("office", &["192.0.2.10-192.0.2.19"]).await;
    let running = metal.run();
    metal.cluster.create("before").await;
    metal.cluster.until_published("before").await;

    metal.change_pool("office", json!({ "addresses": ["192.0.2.19-192.0.2.10"] })).await;
    metal.until_pool_event("office").await;
    metal.cluster.create("after").await;

    assert_eq!(metal.cluster.until_published("after").await, ["192.0.2.11"]);
    assert_eq!(addresses(&metal.cluster.service("before").await), ["192.0.2.10"]);
    running.stop().await;
}

#[tokio::test]
async fn the_pools_status_counts_what_is_assigned_and_what_is_left() {
    let metal = Metal::start().await;
    metal.pool("office", &["192.0.2.10-192.0.2.19"]).await;
    let running = metal.run();
    for (created, assigned) in [("a", 1), ("b", 2)] {
        metal.cluster.create(created).await;
        metal.cluster.until_published(created).await;
        until(metal.pools(), "office", "to count it", |pool| {
            let status = pool.and_then(|pool| pool.status.as_ref());
            status.is_some_and(|s| (s.assigned_ipv4, s.available_ipv4) == (assigned, 10 - assigned))
        })
        .await;
    }
    running.stop().await;
}

#[tokio::test]
async fn whoever_stands_by_follows_the_pools_and_asks_for_nothing_when_it_leads() {
    let metal = Metal::start().await;
    metal.pool("office", &["192.0.2.10-192.0.2.19"]).await;
    metal.cluster.create("web").await;
    let client = metal.cluster.controller_client();
    let provider =
        Arc::new(BareProvider::new(BareConfig::default(), Some(client.clone())).expect("a provider"));
    let (lead, led) = oneshot::channel::<()>();
    let stop = CancellationToken::new();
    let controller = ServiceController::new(client).config(quick()).provider(provider.clone());
    let leading = async { led.await.expect("it leads some time") };
    let running = AbortOnDropHandle::new(tokio::spawn(controller.run_when(leading, stop.clone())));
    eventually("it has read the pools", || provider.pools().iter().next().is_some()).await;
    let before = provider.pools();
    metal.change_pool("office", json!({ "addresses": ["192.0.2.30-192.0.2.39"] })).await;
    eventually("it follows the pools", || provider.pools() != before).await;
    let asked = metal.cluster.asked_by_the_controller();
    let writes: Vec<_> =
        asked.iter().filter(|request| !["list", "watch"].contains(&&*request.verb)).collect();
    assert!(writes.is_empty(), "another process may be at work: {writes:?}");

    lead.send(()).expect("it waits");

    assert_eq!(metal.cluster.until_published("web").await, ["192.0.2.30"]);
    let asked = metal.cluster.asked_by_the_controller();
    let lists = asked.iter().filter(|request| request.verb == "list" && request.resource == "ipaddresspools");
    assert_eq!(lists.count(), 1);
    stop.cancel();
    timeout(DEADLINE, running).await.expect("it ends").expect("no panic").expect("it ends well");
}
