//! Replicas that come and go: who leads, and what clients notice of it.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use tests::rights::INSTALLED_AS;

use super::client::{Asking, send_through};
use super::install::{each_node_has_a_replica, leader, pods, rolled_out, service, with_a_pool};
use super::stage::{SCENE_TIMEOUT, Stage, until};
use super::traffic::served;

/// How long a Lease lasts that is not given up, by default, and a second to notice.
const LEASE_DURATION: Duration = Duration::from_secs(16);

/// A client that asks a Service of many Pods, through a node; the Service's addresses.
async fn asking(stage: &Stage, namespace: &str, node: usize) -> (Asking, Vec<String>) {
    let published = served(stage, namespace, "").await;
    send_through(stage, &stage.cluster.nodes()[node], &published);
    (Asking::start(stage, &published[0]).await, published)
}

/// How long a new Service waits for an address.
async fn a_new_service_waits(stage: &Stage, namespace: &str) -> Duration {
    let start = Instant::now();
    stage.apply(&service(namespace, "new", ""));
    stage.published(namespace, "new", 1).await;
    start.elapsed()
}

/// Waits until somebody else leads than did.
async fn another_leads(stage: &Stage, before: &str) -> String {
    until("another replica leads", SCENE_TIMEOUT, async || {
        let now = leader(stage).await;
        if now == before { Err(format!("{now} does")) } else { Ok(now) }
    })
    .await
}

pub(crate) async fn a_rollout_costs_no_request_and_new_services_are_served_meanwhile(stage: &Stage) {
    with_a_pool(stage);
    let (asking, published) = asking(stage, "rollout", 0).await;
    let before = pods(stage).await;
    let deployment = format!("deployment/{INSTALLED_AS}");
    stage.kubectl(&["--namespace", INSTALLED_AS, "rollout", "restart", &deployment]);
    let waited = a_new_service_waits(stage, "rollout").await;
    assert!(waited < Duration::from_secs(10), "it waited for {waited:?}");
    rolled_out(stage);

    let names = |pods: &[Pod]| pods.iter().filter_map(|pod| pod.metadata.name.clone()).collect::<Vec<_>>();
    let (old, new) = (names(&before), names(&pods(stage).await));
    assert!(new.iter().all(|name| !old.contains(name)), "{old:?}, then {new:?}");
    assert_eq!(stage.published("rollout", "web", 2).await, published);
    asking.lost_nothing().await;
}

pub(crate) async fn where_the_leading_pod_is_deleted_the_other_takes_over_at_once(stage: &Stage) {
    with_a_pool(stage);
    let (asking, _) = asking(stage, "deleted", 0).await;
    let first = leader(stage).await;
    stage.kubectl(&["--namespace", INSTALLED_AS, "delete", "pod", &first, "--wait=false"]);
    let waited = a_new_service_waits(stage, "deleted").await;
    // It gives the Lease up; nobody has to wait for its end.
    assert!(waited < Duration::from_secs(8), "it waited for {waited:?}");
    another_leads(stage, &first).await;
    asking.lost_nothing().await;
    rolled_out(stage);
    each_node_has_a_replica(stage).await;
}

pub(crate) async fn where_the_leader_is_killed_the_other_takes_over_when_its_lease_ends(stage: &Stage) {
    with_a_pool(stage);
    let (asking, _) = asking(stage, "killed", 0).await;
    let first = leader(stage).await;
    let api: Api<Pod> = Api::namespaced(stage.cluster.client(), INSTALLED_AS);
    let pod = api.get(&first).await.expect("it runs");
    let node = pod.spec.and_then(|spec| spec.node_name).expect("it has a node");
    let status = pod.status.and_then(|status| status.container_statuses?.pop()).expect("it has a container");
    let container = status.container_id.as_deref().and_then(|id| id.strip_prefix("containerd://"));
    stage.cluster.kill(&node, container.expect("it runs")).expect("it is killed");

    let waited = a_new_service_waits(stage, "killed").await;
    assert!(waited < LEASE_DURATION + Duration::from_secs(9), "it waited for {waited:?}");
    until("the kubelet starts it again", SCENE_TIMEOUT, async || {
        let pod = api.get(&first).await.map_err(|error| error.to_string())?;
        let now = pod.status.and_then(|status| status.container_statuses?.pop());
        match now {
            Some(now) if now.ready && now.restart_count == status.restart_count + 1 => Ok(()),
            now => Err(format!("{now:?}")),
        }
    })
    .await;
    asking.lost_nothing().await;
}

pub(crate) async fn where_the_leaders_node_is_cut_off_the_other_takes_over_and_the_rest_serves(
    stage: &Stage,
) {
    with_a_pool(stage);
    let first = leader(stage).await;
    let api: Api<Pod> = Api::namespaced(stage.cluster.client(), INSTALLED_AS);
    let pod = api.get(&first).await.expect("it runs");
    let cut = pod.spec.and_then(|spec| spec.node_name).expect("it has a node");
    let nodes = stage.cluster.nodes();
    let rest = nodes.iter().position(|node| node.name() != cut).expect("there are two");
    let (asking_before, published) = asking(stage, "cut", rest).await;

    let cable = Pulled::out_of(stage, &cut);
    let waited = a_new_service_waits(stage, "cut").await;
    assert!(waited < LEASE_DURATION + Duration::from_secs(9), "it waited for {waited:?}");
    another_leads(stage, &first).await;
    until_ready(stage, &cut, "Unknown").await;
    // Until then kube-proxy sent some to Pods of the lost node. From then on, to those of the other only.
    drop(asking_before);
    let asking = Asking::start(stage, &published[0]).await;
    asking.until_it_asked_more().await;
    let answers = asking.end().await;
    assert_eq!(super::client::nodes(&answers).into_iter().collect::<Vec<_>>(), [nodes[rest].name()]);

    drop(cable);
    until_ready(stage, &cut, "True").await;
    rolled_out(stage);
    assert_ne!(leader(stage).await, first, "who was cut off waits now");
    assert_eq!(stage.published("cut", "web", 2).await, published);
}

/// The cable of a node that is pulled out; it is in again when this is dropped.
struct Pulled<'a>(&'a Stage, &'a str);

impl<'a> Pulled<'a> {
    fn out_of(stage: &'a Stage, node: &'a str) -> Self {
        stage.cluster.cut_off(node).expect("it has a cable");
        Pulled(stage, node)
    }
}

impl Drop for Pulled<'_> {
    fn drop(&mut self) {
        // A scene that failed says why itself; the next one finds out if this fails.
        let _ = self.0.cluster.reconnect(self.1);
    }
}

/// Waits until a node's condition Ready is as it should be.
async fn until_ready(stage: &Stage, node: &str, wanted: &str) {
    let nodes: Api<Node> = Api::all(stage.cluster.client());
    until(&format!("{node} is ready: {wanted}"), SCENE_TIMEOUT, async || {
        let found = nodes.get(node).await.map_err(|error| error.to_string())?;
        let conditions = found.status.and_then(|status| status.conditions).unwrap_or_default();
        let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
        match ready {
            Some(ready) if ready.status == wanted => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}
