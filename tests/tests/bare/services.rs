//! What Services ask for, and what they get.

use serde_json::json;
use tests::apiserver::{Failure, Matching, Request};
use tests::cluster::{Cluster, Running, addresses, annotations, condition, eventually, has_finalizer};

use crate::Metal;

const POOL: &str = "metallb.io/ip-allocated-from-pool";

fn asking_for(address: &str) -> serde_json::Value {
    json!({ "metadata": { "annotations": { "metallb.io/loadBalancerIPs": address } } })
}

#[tokio::test]
async fn a_service_gets_the_next_free_address_of_a_pool() {
    let metal = Metal::start().await;
    metal.pool("office", &["192.0.2.10-192.0.2.19"]).await;
    let running = metal.run();
    for (name, address) in [("a", "192.0.2.10"), ("b", "192.0.2.11")] {
        metal.cluster.create(name).await;
        assert_eq!(metal.cluster.until_published(name).await, [address]);
    }
    let service = metal.cluster.service("a").await;
    assert_eq!(annotations(&service)[POOL], "office");
    assert!(!has_finalizer(&service), "nothing outside the cluster waits for its deletion");
    running.stop().await;
}

#[tokio::test]
async fn a_service_of_two_families_gets_an_address_of_each() {
    let metal = Metal::dual_stack().await;
    metal.pool("both", &["192.0.2.0/28", "2001:db8::/124"]).await;
    let running = metal.run();
    metal.cluster.create_with("web", json!({ "spec": { "ipFamilyPolicy": "RequireDualStack" } })).await;
    assert_eq!(metal.cluster.until_published("web").await, ["192.0.2.0", "2001:db8::"]);
    running.stop().await;
}

#[tokio::test]
async fn one_write_a_service_and_none_after_a_restart() {
    let metal = Metal::start().await;
    metal.pool("office", &["192.0.2.10-192.0.2.19"]).await;
    let running = metal.run();
    let names = ["a", "b", "c"];
    for name in names {
        metal.cluster.create(name).await;
        metal.cluster.until_published(name).await;
    }
    running.stop().await;
    let patches = |log: Vec<tests::apiserver::Request>| {
        log.iter().filter(|r| r.verb == "patch" && r.resource == "services").count()
    };
    assert_eq!(patches(metal.cluster.requests().take()), names.len());

    let running = metal.run();
    // A new Service is looked at after the old ones.
    metal.cluster.create("d").await;
    assert_eq!(metal.cluster.until_published("d").await, ["192.0.2.13"]);
    running.stop().await;
    assert_eq!(patches(metal.cluster.requests().take()), 1);
}

#[tokio::test]
async fn a_full_pool_is_said_plainly_and_the_oldest_gets_what_frees_first() {
    let metal = Metal::start().await;
    metal.pool("tiny", &["192.0.2.7/32"]).await;
    let running = metal.run();
    metal.cluster.create("first").await;
    metal.cluster.until_published("first").await;
    for name in ["second", "third"] {
        metal.cluster.create(name).await;
        let told = |s: &_| condition(s, "bare").is_some_and(|c| c.0 == "False" && c.2.contains("tiny"));
        metal.cluster.until(name, "to be told that the pool is full", told).await;
    }

    metal.cluster.delete("first").await;

    assert_eq!(metal.cluster.until_published("second").await, ["192.0.2.7"]);
    assert_eq!(addresses(&metal.cluster.service("third").await), Vec::<String>::new());
    metal.cluster.delete("second").await;
    assert_eq!(metal.cluster.until_published("third").await, ["192.0.2.7"]);
    running.stop().await;
}

#[tokio::test]
async fn a_service_that_waited_while_nobody_was_there_comes_after_those_that_have_an_address() {
    let metal = Metal::start().await;
    metal.pool("tiny", &["192.0.2.0/31"]).await;
    // The waiting one is older than the one that holds an address.
    metal.cluster.create("waiting").await;
    metal.cluster.create("holding").await;
    let holding = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.0" }] } } });
    metal.cluster.change_status("holding", holding).await;

    let running = metal.run();

    assert_eq!(metal.cluster.until_published("waiting").await, ["192.0.2.1"]);
    assert_eq!(addresses(&metal.cluster.service("holding").await), ["192.0.2.0"]);
    running.stop().await;
}

#[tokio::test]
async fn a_service_that_is_no_load_balancer_any_more_gives_its_address_back() {
    let metal = Metal::start().await;
    metal.pool("tiny", &["192.0.2.7/32"]).await;
    let running = metal.run();
    metal.cluster.create("web").await;
    metal.cluster.until_published("web").await;

    metal.cluster.change("web", json!({ "spec": { "type": "ClusterIP" } })).await;
    metal.cluster.create("next").await;

    assert_eq!(metal.cluster.until_published("next").await, ["192.0.2.7"]);
    let cleaned = |s: &_| !annotations(s).contains_key(POOL) && condition(s, "bare").is_none();
    metal.cluster.until("web", "to bear no mark of ours", cleaned).await;
    running.stop().await;
}

/// A controller whose provider has been told of the Services there are, and waits for the pools until the faults are
/// cleared.
async fn run_without_pools(metal: &Metal) -> Running {
    let lists_pools = Matching::any().verb("list").resource("ipaddresspools");
    metal.cluster.faults().fail(lists_pools, Failure::Unavailable, usize::MAX);
    let running = metal.run();
    let asked = |r: &Request| r.verb == "list" && r.resource == "ipaddresspools";
    eventually("the provider resumes", || metal.cluster.requests().count(asked) > 0).await;
    running
}

/// What resumes sets an address aside for everybody who waits for one, before anybody was asked about.
#[tokio::test]
async fn a_service_that_is_no_load_balancer_any_more_once_the_pools_are_known_holds_no_address() {
    let metal = Metal::on(Cluster::with_faults().await).await;
    metal.pool("tiny", &["192.0.2.7/32"]).await;
    metal.cluster.create("web").await;
    let running = run_without_pools(&metal).await;

    metal.cluster.change("web", json!({ "spec": { "type": "ClusterIP" } })).await;
    metal.cluster.faults().clear();
    metal.cluster.create("next").await;

    assert_eq!(metal.cluster.until_published("next").await, ["192.0.2.7"]);
    running.stop().await;
}

#[tokio::test]
async fn mistakes_are_told_with_field_value_and_what_is_allowed() {
    let metal = Metal::start().await;
    metal.pool("office", &["192.0.2.10-192.0.2.19"]).await;
    let running = metal.run();
    metal.cluster.create_with("holder", asking_for("192.0.2.12")).await;
    metal.cluster.until_published("holder").await;
    let both = json!({
        "metadata": { "annotations": { "metallb.io/loadBalancerIPs": "192.0.2.13" } },
        "spec": { "loadBalancerIP": "192.0.2.13" },
    });
    let table = [
        ("garbage", asking_for("office-ip"), "office-ip"),
        ("outside", asking_for("203.0.113.1"), "203.0.113.1"),
        ("taken", asking_for("192.0.2.12"), "holder"),
        ("two-families", asking_for("192.0.2.14,2001:db8::1"), "2001:db8::1"),
        (
            "unknown-pool",
            json!({ "metadata": { "annotations": { "metallb.io/address-pool": "attic" } } }),
            "attic",
        ),
        ("asked-twice", both, "spec.loadBalancerIP"),
    ];
    for (name, wrong, part) in table {
        metal.cluster.create_with(name, wrong).await;
        let refused = metal.cluster.until(name, "to be refused", |s| condition(s, "bare").is_some()).await;
        let (status, _, message) = condition(&refused, "bare").unwrap();
        assert_eq!(status, "False", "{name}");
        assert!(message.contains(part), "{name}: {part:?} is missing in {message:?}");
        assert_eq!(addresses(&refused), Vec::<String>::new(), "{name}");
        assert!(metal.cluster.events(name).await.len() <= 2, "{name}: told once");
    }
    metal.cluster.create("well").await;
    metal.cluster.until_published("well").await;
    running.stop().await;
}

#[tokio::test]
async fn a_mistyped_annotation_does_not_drop_a_live_address() {
    let metal = Metal::start().await;
    metal.pool("office", &["192.0.2.10-192.0.2.19"]).await;
    let running = metal.run();
    metal.cluster.create("web").await;
    let shown = metal.cluster.until_published("web").await;

    metal.cluster.change("web", asking_for("192.0.2.1OO")).await;

    let refused = metal
        .cluster
        .until("web", "to be refused", |s| condition(s, "bare").is_some_and(|c| c.0 == "False"))
        .await;
    assert_eq!(addresses(&refused), shown);
    metal.cluster.change("web", asking_for("192.0.2.15")).await;
    metal.cluster.until("web", "to move", |s| addresses(s) == ["192.0.2.15"]).await;
    running.stop().await;
}

#[tokio::test]
async fn source_ranges_that_do_not_parse_are_told_here_too() {
    let metal = Metal::on(tests::cluster::Cluster::with_faults().await).await;
    metal.pool("office", &["192.0.2.10-192.0.2.19"]).await;
    metal.cluster.create("web").await;
    // Today's servers refuse it at the door; older ones stored it.
    metal.cluster.double().store_unchecked(&metal.cluster.namespace, "web", |service| {
        service["metadata"]["annotations"][cloud_provider::SOURCE_RANGES_ANNOTATION] = "office".into();
    });
    let running = metal.run();
    let refused = metal.cluster.until("web", "to be refused", |s| condition(s, "bare").is_some()).await;
    assert!(condition(&refused, "bare").unwrap().2.contains("office"));
    assert_eq!(addresses(&refused), Vec::<String>::new());
    running.stop().await;
}

#[tokio::test]
async fn an_address_that_another_class_publishes_while_we_run_is_given_to_nobody() {
    let metal = Metal::start().await;
    metal.pool("office", &["192.0.2.10-192.0.2.11"]).await;
    let running = metal.run();
    metal.cluster.create("first").await;
    assert_eq!(metal.cluster.until_published("first").await, ["192.0.2.10"]);
    let class = json!({ "spec": { "loadBalancerClass": "somebody.else/lb" } });
    metal.cluster.create_with("theirs", class).await;
    let shown = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.11" }] } } });
    metal.cluster.change_status("theirs", shown).await;

    metal.cluster.create("late").await;
    metal.cluster.until("late", "to wait", |s| condition(s, "bare").is_some()).await;
    assert_eq!(addresses(&metal.cluster.service("late").await), [""; 0]);

    metal.cluster.delete("theirs").await;
    assert_eq!(metal.cluster.until_published("late").await, ["192.0.2.11"]);
    running.stop().await;
}

#[tokio::test]
async fn an_address_of_another_class_is_free_once_its_service_is_no_load_balancer_any_more() {
    let metal = Metal::start().await;
    metal.pool("tiny", &["192.0.2.10/32"]).await;
    let class = json!({ "spec": { "loadBalancerClass": "somebody.else/lb" } });
    metal.cluster.create_with("theirs", class).await;
    let shown = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.10" }] } } });
    metal.cluster.change_status("theirs", shown).await;
    let running = metal.run();
    metal.cluster.create("late").await;
    metal.cluster.until("late", "to wait", |s| condition(s, "bare").is_some()).await;

    let inside = json!({ "spec": { "type": "ClusterIP", "loadBalancerClass": null } });
    metal.cluster.change("theirs", inside).await;

    assert_eq!(metal.cluster.until_published("late").await, ["192.0.2.10"]);
    running.stop().await;
}

#[tokio::test]
async fn an_address_that_another_class_publishes_while_a_provider_resumes_is_given_to_nobody() {
    let metal = Metal::on(Cluster::with_faults().await).await;
    metal.pool("office", &["192.0.2.10-192.0.2.11"]).await;
    let class = json!({ "spec": { "loadBalancerClass": "somebody.else/lb" } });
    metal.cluster.create_with("theirs", class).await;
    let running = run_without_pools(&metal).await;

    let shown = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.10" }] } } });
    metal.cluster.change_status("theirs", shown).await;
    metal.cluster.faults().clear();
    metal.cluster.create("late").await;

    assert_eq!(metal.cluster.until_published("late").await, ["192.0.2.11"]);
    running.stop().await;
}
