//! What users get wrong: told with field, value and what is allowed; nobody else is affected, nothing is lost.

use cloud_provider::testing::ServiceBuilder;
use cloud_provider::{FamilyPolicy, Mistake, Request};
use std::sync::Arc;

use crate::support::{Cluster, PoolWords, V6, ips, pool, service};

const IPS: &str = "metallb.io/loadBalancerIPs";
const POOL: &str = "metallb.io/address-pool";

/// A cluster in which one Service is served and one address is left.
fn cluster() -> Cluster {
    let mut cluster = Cluster::new([pool("lan", &["1.2.3.4/30"])]);
    cluster.serve(service("neighbour"));
    cluster
}

/// The Service is refused with these words, before and after it has an address, and nobody else notices.
fn refused(builder: ServiceBuilder, words: &[&str]) {
    for live in [false, true] {
        let mut cluster = cluster();
        if live {
            cluster.serve(service("s"));
        }
        let before = (cluster.ips("s"), cluster.ips("neighbour"));
        let message = cluster.refuse(builder.clone());
        for word in words {
            assert!(message.contains(word), "{word:?} is not in {message}");
        }
        let until =
            if live { "until then 1.2.3.5 stays published" } else { "until then no address is assigned" };
        assert!(message.contains(until), "{message}");
        assert_eq!((cluster.ips("s"), cluster.ips("neighbour")), before);
        assert_eq!(cluster.serve(service("another")).len(), 1);
        // And the mended Service is served.
        assert_eq!(cluster.serve(service("s")).len(), 1);
    }
}

#[test]
fn garbage_in_annotations() {
    let field = "metadata.annotations[metallb.io/loadBalancerIPs]";
    refused(
        service("s").annotation(IPS, "garbage"),
        &[field, "\"garbage\"", "not an IP address", "allowed: one IP"],
    );
    refused(service("s").annotation(IPS, "1.2.3.4,"), &[field, "\"\", which is not an IP address"]);
    refused(service("s").annotation(IPS, "1.2.3.5-1.2.3.6"), &[field, "not an IP address"]);
    refused(service("s").annotation(IPS, "1.2.3.5/32"), &[field, "not an IP address"]);
    refused(service("s").load_balancer_ip("1.2.3"), &["spec.loadBalancerIP", "\"1.2.3\""]);
    refused(
        service("s").load_balancer_ip("1.2.3.5,1000::5"),
        &["spec.loadBalancerIP", "more than one address"],
    );
    let old = "metallb.universe.tf/loadBalancerIPs";
    refused(
        service("s").annotation(old, "garbage"),
        &["metadata.annotations[metallb.universe.tf/loadBalancerIPs]"],
    );
    refused(
        service("s").annotation(POOL, "wlan"),
        &["metallb.io/address-pool", "\"wlan\"", "allowed: ", "lan"],
    );
}

#[test]
fn an_address_outside_every_pool() {
    refused(service("s").annotation(IPS, "9.9.9.9"), &[IPS, "9.9.9.9, which is in no address pool", "lan"]);
}

#[test]
fn an_address_in_use() {
    let field = "spec.loadBalancerIP";
    for live in [false, true] {
        let mut cluster = cluster();
        if live {
            cluster.serve(service("s"));
        }
        let before = (cluster.ips("s"), cluster.ips("neighbour"));
        let why = cluster.occupied(service("s").load_balancer_ip("1.2.3.4"));
        for word in [field, "1.2.3.4", "in use by default/neighbour", "allowed: "] {
            assert!(why.contains(word), "{word:?} is not in {why}");
        }
        assert_eq!(why.contains("until then 1.2.3.5 stays published"), live, "{why}");
        assert_eq!((cluster.ips("s"), cluster.ips("neighbour")), before);
        assert_eq!(cluster.serve(service("s")).len(), 1);
    }
}

#[test]
fn two_families_asked_from_a_pool_that_has_one() {
    let dual = service("s").dual_stack();
    refused(dual.clone(), &["spec.ipFamilyPolicy", "RequireDualStack", "no IPv6 addresses in lan"]);
    refused(
        dual.clone().annotation(POOL, "lan"),
        &[POOL, "no IPv6 addresses", "allowed: a pool with addresses of every"],
    );
    refused(dual.annotation(IPS, "1.2.3.6,1000::1"), &[IPS, "1000::1, which is in no address pool"]);
    let single = service("s").family_policy(FamilyPolicy::RequireDualStack);
    refused(single, &["spec.ipFamilyPolicy", "cluster IP of IPv4 only"]);
}

#[test]
fn a_family_that_no_pool_has() {
    let mut cluster = cluster();
    let message = cluster.refuse(service("s").families(V6));
    assert!(
        message.contains("spec.ipFamilies: \"IPv6\"") && message.contains("no IPv6 addresses in lan"),
        "{message}"
    );
    // A pool that has it mends it without anybody touching the Service.
    cluster.set_pools([pool("lan", &["1.2.3.4/30", "1000::4/127"])]);
    cluster.follow_wakeups();
    assert_eq!(cluster.ips("s"), ["1000::4"]);
}

#[test]
fn several_mistakes_are_reported_together() {
    let mut cluster = cluster();
    let message = cluster.refuse(
        service("s").annotation(IPS, "1.2.3.5,1.2.3.6").load_balancer_ip("x").annotation(POOL, "lan"),
    );
    assert!(message.contains("is set besides"), "{message}");
    let both = service("t").dual_stack().annotation(IPS, "9.9.9.9,1001::9");
    let message = cluster.refuse(both);
    assert!(message.contains("9.9.9.9") && message.contains("1001::9"), "{message}");
}

/// Source ranges are read at the edge: a Service with such a mistake cannot become a request, and its address is
/// protected all the same. Nothing of it is followed until it is mended.
#[test]
fn source_ranges_that_do_not_parse() {
    let mut cluster = cluster();
    let mistake = Mistake::new("spec.loadBalancerSourceRanges[0]", "10.0.0.0/40", "is no CIDR prefix");
    let view = service("s").mistake(mistake).published_ips(["1.2.3.5"]).build();
    let nodes = cloud_provider::testing::nodes(1);
    assert!(Request::to(&cluster.provider, Arc::new(view.clone()), nodes).is_err());
    let key = cluster.put(view);
    cluster.restart();
    cluster.serve(service("a"));
    cluster.serve(service("b"));
    cluster.wait(service("c"));
    assert_eq!(ips(&cluster.services[&key]), ["1.2.3.5"]);
}

#[test]
fn an_exhausted_pool_is_said_plainly() {
    let mut cluster = Cluster::new([pool("lan", &["1.2.3.4/31"]), pool("six", &["1000::4/128"])]);
    cluster.serve(service("a"));
    cluster.serve(service("b"));
    let pending = cluster.wait(service("c"));
    assert_eq!(pending.reason, "PoolExhausted");
    assert_eq!(pending.why, "no free IPv4 address in lan (all 2 in use)");
    assert_eq!((pending.after, pending.publish), (None, None), "it is woken when there is one");
    let pending = cluster.wait(service("d").annotation(POOL, "lan"));
    assert_eq!(pending.why, "no free IPv4 address in lan (all 2 in use)");
}

#[test]
fn no_pool_for_a_service_is_said_plainly() {
    let mut cluster = Cluster::new([
        pool("other", &["1.2.3.4/31"]).for_namespace("other", 1),
        pool("asked", &["1.2.4.4/31"]).by_request_only(),
    ]);
    let pending = cluster.wait(service("s"));
    assert_eq!(pending.reason, "NoAddressPool");
    assert_eq!(pending.why, "no address pool assigns to this Service unasked; there are: asked, other");
}
