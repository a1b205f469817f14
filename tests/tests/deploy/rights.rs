//! The program has every right that it uses, and uses every right that it has.

use serde_json::{Value, json};
use tests::apiserver::Request;
use tests::cluster::{Cluster, addresses, condition, eventually, until};
use tests::rights::{INSTALLED_AS, Rights, refused};

use super::process::{Access, Program, apply, define, pool};
use super::render::{BARE, chart, configuration, overlay};

/// A cluster with what the installation finds there, and the program's way to it.
struct Installed {
    cluster: Cluster,
    access: Access,
    rights: Rights,
    config: String,
}

impl Installed {
    /// As the chart installs it with these values.
    async fn with(values: &[&str]) -> Self {
        let cluster = Cluster::start().await;
        apply(&cluster, &format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {INSTALLED_AS}}}\n"))
            .await;
        define(&cluster).await;
        let objects = chart(values);
        let rights = Rights::granted(&objects);
        let access = Access::with(&cluster.kubeconfig_with(rights.clone()));
        Installed { cluster, access, rights, config: configuration(&objects) }
    }

    /// A replica with the rendered configuration, as the Deployment starts it.
    fn replica(&self) -> Program {
        let config = self.access.file("config.yaml", &self.config);
        let config = format!("--config={}", config.display());
        Program::spawn(self.access.command(&["run", "--http-address=127.0.0.1:0", &config]))
    }

    /// Waits until the pool says how many of its addresses are in use.
    async fn until_assigned(&self, pool: &str, count: i64) {
        let pools = kube::Api::<metallb::crd::IPAddressPool>::namespaced(
            self.cluster.client.clone(),
            &self.cluster.namespace,
        );
        until(pools, pool, "to count what is assigned", |pool| {
            pool.and_then(|pool| pool.status).is_some_and(|status| status.assigned_ipv4 == count)
        })
        .await;
    }
}

fn asking_for(address: &str) -> Value {
    json!({ "metadata": { "annotations": { "metallb.io/loadBalancerIPs": address } } })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_job_takes_every_right_and_no_other() {
    let installed = Installed::with(BARE).await;
    let cluster = &installed.cluster;
    pool(cluster, "office", "192.0.2.10-192.0.2.19").await;
    cluster.add_node("node-1").await;
    let mut first = installed.replica();
    first.until_it_says("became leader").await;

    // Services that come, change, are wrong, are mended, and go.
    cluster.create("web").await;
    assert_eq!(cluster.until_published("web").await, ["192.0.2.10"]);
    installed.until_assigned("office", 1).await;
    cluster.create_with("typo", asking_for("192.0.2.15")).await;
    let invalid = |s: &_| condition(s, "bare").is_some_and(|c| c.1 == "Invalid");
    // The same mistake for the second time counts the event up.
    for _ in 0..2 {
        cluster.until("typo", "to be served", |s| addresses(s) == ["192.0.2.15"] && !invalid(s)).await;
        cluster.change("typo", asking_for("192.0.2.700")).await;
        cluster.until("typo", "to be refused", invalid).await;
        cluster.change("typo", asking_for("192.0.2.15")).await;
    }
    let recounted =
        |request: &Request| (request.verb.as_str(), request.resource.as_str()) == ("patch", "events");
    eventually("the event is counted up", || cluster.requests().count(recounted) > 0).await;
    cluster.delete("typo").await;
    cluster.until_gone("typo").await;

    // Nodes and pools that come and change; a pool with a mistake.
    cluster.add_node("node-2").await;
    pool(cluster, "wrong", "192.0.2.30-192.0.2.20").await;
    cluster.until_event("wrong", "InvalidPool").await;

    // The next replica takes over, and then one that finds everything done.
    let mut second = installed.replica();
    second.until_it_says("waiting for leadership").await;
    first.signal("TERM");
    assert!(first.end().await.success());
    second.until_it_says("became leader").await;
    cluster.create("mail").await;
    cluster.until_published("mail").await;
    second.signal("TERM");
    assert!(second.end().await.success());
    let mut third = installed.replica();
    third.until_it_says("became leader").await;
    cluster.delete("web").await;
    installed.until_assigned("office", 1).await;
    third.signal("TERM");
    assert!(third.end().await.success());

    let asked = cluster.asked_by_the_controller();
    assert!(refused(&asked).is_empty(), "{:#?}", refused(&asked));
    // A Service is asked for by name only where a list lacks it: the suite `controller` holds that it is.
    assert_eq!(installed.rights.unused(&asked), ["get services"], "rights that nobody uses");
}

#[tokio::test(flavor = "multi_thread")]
async fn pools_of_one_namespace_take_rights_in_that_namespace_only() {
    let values = [BARE, &["config.bare-pools-namespace=metallb-system"]].concat();
    let installed = Installed::with(&values).await;
    let cluster = &installed.cluster;
    let office = "
apiVersion: v1
kind: Namespace
metadata: {name: metallb-system}
---
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: office, namespace: metallb-system}
spec: {addresses: [192.0.2.10-192.0.2.19]}
";
    apply(cluster, office).await;
    let mut replica = installed.replica();
    cluster.create("web").await;
    assert_eq!(cluster.until_published("web").await, ["192.0.2.10"]);
    let counted = |request: &Request| {
        (request.resource.as_str(), request.subresource.as_str()) == ("ipaddresspools", "status")
    };
    eventually("the pool is counted", || cluster.requests().count(counted) > 0).await;
    replica.signal("TERM");
    assert!(replica.end().await.success());

    let asked = cluster.asked_by_the_controller();
    assert!(refused(&asked).is_empty(), "{:#?}", refused(&asked));
    let about_pools = |lines: Vec<String>| {
        lines.into_iter().filter(|line| line.contains("ipaddresspools")).collect::<Vec<_>>()
    };
    let granted = about_pools(installed.rights.lines());
    assert!(granted.iter().all(|line| line.ends_with(" in metallb-system")), "{granted:?}");
    assert_eq!(about_pools(installed.rights.unused(&asked)), Vec::<String>::new());
}

#[test]
fn deleting_orphans_takes_no_more_rights() {
    let before = Rights::granted(&chart(BARE)).lines();
    let after = Rights::granted(&chart(&[BARE, &["config.delete-orphans=true"]].concat())).lines();
    assert_eq!(before, after);
}

#[test]
fn pool_statuses_are_written_only_where_counters_are_kept() {
    let before = Rights::granted(&chart(BARE)).lines();
    let after = Rights::granted(&chart(&[BARE, &["config.bare-write-pool-status=false"]].concat())).lines();
    let less: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
    assert_eq!(less, ["patch ipaddresspools/status of metallb.io"]);
}

#[test]
fn the_rights_that_all_suites_run_with_are_those_that_are_installed() {
    assert_eq!(Rights::of_the_bare_overlay().lines(), Rights::granted(&overlay("bare")).lines());
    assert_eq!(Rights::of_the_base().lines(), Rights::granted(&overlay("aws")).lines());
}
