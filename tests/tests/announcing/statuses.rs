//! The objects by which MetalLB tells who announces a Service, as the announcer keeps them.

use std::sync::Arc;
use std::time::Duration;

use announcer::announcements::Interfaces;
use announcer::status::announced::Announced;
use announcer::status::keeper::{Assigned, KeeperPace, StatusKeeper};
use announcer::status::object::{AnnouncingNode, Pod, StatusKey};
use apiserver_client::Watches;
use cloud_provider::ServiceKey;
use futures::StreamExt;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::runtime::wait::await_condition;
use kube::runtime::{WatchStreamExt, reflector, watcher};
use metallb::crd::{AnnouncementProtocol, ServiceBGPStatus, ServiceL2Status};
use serde_json::json;
use tests::apiserver::{Failure, Matching};
use tests::cluster::{Cluster, DEADLINE};
use tests::sandbox::manifests;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// So that a test takes no longer than it must.
const PACE: KeeperPace = KeeperPace {
    quiet: Duration::from_millis(10),
    at_most: Duration::from_millis(50),
    restore: Duration::from_millis(300),
    retry: Duration::from_millis(20),
};

/// A cluster that has MetalLB's resources.
struct Scene {
    cluster: Cluster,
}

impl Scene {
    async fn start() -> Self {
        Scene::on(Cluster::start().await).await
    }

    async fn with_faults() -> Self {
        Scene::on(Cluster::with_faults().await).await
    }

    async fn on(cluster: Cluster) -> Self {
        let definitions = metallb::crd::manifest().expect("the definitions");
        for object in manifests::parse(&definitions, "resource definitions").expect("they are objects") {
            manifests::apply(&cluster.client, &object).await.expect("they are accepted");
        }
        Scene { cluster }
    }

    fn keeper(&self, node: &str) -> (StatusKeeper, mpsc::UnboundedReceiver<Assigned>) {
        self.keeper_in(node, &format!("uid-on-{node}"))
    }

    /// The same in a Pod with this UID.
    fn keeper_in(&self, node: &str, uid: &str) -> (StatusKeeper, mpsc::UnboundedReceiver<Assigned>) {
        let pod = Some(Pod { name: format!("announcer-on-{node}"), uid: uid.to_owned() });
        let announcer =
            AnnouncingNode { node: node.to_owned(), namespace: self.cluster.namespace.clone(), pod };
        let (assigned, assignments) = mpsc::unbounded_channel();
        let client = self.cluster.client.clone();
        let watches = Watches::new(client.clone());
        (StatusKeeper::start(client, watches, announcer, PACE, assigned), assignments)
    }

    fn layer2(&self) -> Api<ServiceL2Status> {
        Api::namespaced(self.cluster.client.clone(), &self.cluster.namespace)
    }

    fn bgp(&self) -> Api<ServiceBGPStatus> {
        Api::namespaced(self.cluster.client.clone(), &self.cluster.namespace)
    }

    /// Waits until the objects are such, and returns them by node and Service.
    async fn until(
        &self,
        what: &str,
        are_so: impl Fn(&[Arc<ServiceL2Status>]) -> bool,
    ) -> Vec<Arc<ServiceL2Status>> {
        let (objects, writer) = reflector::store();
        let events = watcher(self.layer2(), watcher::Config::default()).default_backoff().reflect(writer);
        let mut events = std::pin::pin!(events);
        let mut is_listed = false;
        let found = timeout(DEADLINE, async {
            while let Some(event) = events.next().await {
                is_listed |= matches!(event, Ok(watcher::Event::InitDone));
                let mut all = objects.state();
                all.sort_by_key(|it| said(it));
                if is_listed && are_so(&all) {
                    return all;
                }
            }
            panic!("the watch ended");
        });
        match found.await {
            Ok(all) => all,
            Err(_) => panic!("waited for {what}; there is {:?}", objects.state()),
        }
    }

    /// Waits until exactly these nodes say that they answer for exactly these Services.
    async fn until_layer2(&self, expected: &[(&str, &str)]) -> Vec<Arc<ServiceL2Status>> {
        let expected: Vec<_> =
            expected.iter().map(|(node, name)| ((*node).to_owned(), (*name).to_owned())).collect();
        self.until(&format!("{expected:?}"), |all| all.iter().map(|it| said(it)).eq(expected.iter().cloned()))
            .await
    }
}

/// The node and the Service's name.
fn said(object: &ServiceL2Status) -> (String, String) {
    let status = object.status.clone().unwrap_or_default();
    (status.node.unwrap_or_default(), status.service_name.unwrap_or_default())
}

fn announced(layer2: &[&str], bgp: &[(&str, &str)]) -> Announced {
    let key = |name: &str| ServiceKey::new("shop", name);
    Announced {
        layer2: layer2.iter().map(|name| (key(name), Interfaces::All)).collect(),
        bgp: bgp.iter().map(|(name, peer)| (key(name), [(*peer).to_owned()].into())).collect(),
    }
}

async fn next(assignments: &mut mpsc::UnboundedReceiver<Assigned>) -> String {
    let assigned = timeout(DEADLINE, assignments.recv()).await.expect("it is told").expect("it is open");
    format!("{}: {assigned}", assigned.service)
}

#[tokio::test]
async fn what_a_node_announces_is_told_as_metallb_tells_it_and_follows_what_changes() {
    let scene = Scene::start().await;
    let (keeper, mut assignments) = scene.keeper("node-1");
    keeper.announce(announced(&["web"], &[("web", "tor-1")]));

    let written = scene.until_layer2(&[("node-1", "web")]).await.remove(0);
    assert_eq!(written.labels()["metallb.io/node"], "node-1");
    assert_eq!(written.labels()["metallb.io/service-name"], "web");
    assert_eq!(written.labels()["metallb.io/service-namespace"], "shop");
    assert_eq!(written.owner_references()[0].uid, "uid-on-node-1");
    let mut told = [next(&mut assignments).await, next(&mut assignments).await];
    told.sort();
    assert_eq!(
        told,
        [
            r#"shop/web: announcing from node "node-1" with protocol "bgp""#,
            r#"shop/web: announcing from node "node-1" with protocol "layer2""#,
        ]
    );

    keeper.announce(announced(&["api"], &[("web", "tor-2")]));
    scene.until_layer2(&[("node-1", "api")]).await;
    assert_eq!(
        next(&mut assignments).await,
        r#"shop/api: announcing from node "node-1" with protocol "layer2""#
    );
    let name = StatusKey::of(AnnouncementProtocol::Bgp, &ServiceKey::new("shop", "web"), "node-1").name;
    let peers = |it: Option<&ServiceBGPStatus>| {
        it.and_then(|it| it.status.as_ref()).is_some_and(|status| status.peers == ["tor-2"])
    };
    timeout(DEADLINE, await_condition(scene.bgp(), &name, peers))
        .await
        .expect("in time")
        .expect("it follows");

    keeper.announce(Announced::default());
    scene.until_layer2(&[]).await;
    assert!(assignments.try_recv().is_err(), "a change of peers, and what goes, is no assignment");
}

#[tokio::test]
async fn what_a_former_life_left_is_found_by_its_labels_and_nothing_of_others_is_touched() {
    let scene = Scene::start().await;
    let (before, mut assignments) = scene.keeper("node-1");
    let (other, _) = scene.keeper("node-2");
    before.announce(announced(&["old", "web"], &[]));
    other.announce(announced(&["other"], &[]));
    scene.until_layer2(&[("node-1", "old"), ("node-1", "web"), ("node-2", "other")]).await;
    next(&mut assignments).await;
    next(&mut assignments).await;
    drop(before);
    // MetalLB's speaker on the same node.
    let speakers = json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "ServiceL2Status",
        "metadata": { "name": "l2-x7k2p", "labels": { "metallb.io/node": "node-1" } }, "spec": {},
    });
    let apply = PatchParams::apply("speaker");
    scene.layer2().patch("l2-x7k2p", &apply, &Patch::Apply(speakers)).await.expect("it is there");

    let (after, _assignments) = scene.keeper("node-1");
    after.announce(announced(&["web"], &[]));
    scene.until_layer2(&[("", ""), ("node-1", "web"), ("node-2", "other")]).await;
}

#[tokio::test]
async fn what_a_former_life_told_is_not_told_again_though_it_is_written_again_for_another_pod() {
    let scene = Scene::start().await;
    let (before, mut assignments) = scene.keeper("node-1");
    before.announce(announced(&["web"], &[]));
    next(&mut assignments).await;
    drop(before);

    let (after, mut assignments) = scene.keeper_in("node-1", "uid-of-another-pod");
    after.announce(announced(&["web"], &[]));
    let is_written_again = |all: &[Arc<ServiceL2Status>]| {
        all.iter().any(|it| it.owner_references().iter().any(|owner| owner.uid == "uid-of-another-pod"))
    };
    scene.until("it to be of the other Pod", is_written_again).await;
    // Whatever was to be told of that comes before this.
    after.announce(announced(&["new", "web"], &[]));
    assert_eq!(
        next(&mut assignments).await,
        r#"shop/new: announcing from node "node-1" with protocol "layer2""#
    );
}

#[tokio::test]
async fn refused_requests_lost_replies_and_conflicts_end_in_what_is_wanted() {
    let scene = Scene::with_faults().await;
    let faults = scene.cluster.faults();
    let patches = || Matching::any().verb("patch").resource("servicel2statuses");
    faults.lose_replies(patches(), 2);
    faults.fail(patches().subresource("status"), Failure::Conflict, 1);
    faults.fail(patches(), Failure::Internal, 1);
    faults.lose_replies(Matching::any().verb("delete").resource("servicel2statuses"), 1);
    let (keeper, mut assignments) = scene.keeper("node-1");
    keeper.announce(announced(&["web"], &[]));
    scene.until_layer2(&[("node-1", "web")]).await;
    next(&mut assignments).await;
    keeper.announce(Announced::default());
    scene.until_layer2(&[]).await;
    assert!(assignments.try_recv().is_err(), "it was told once");
}

#[tokio::test]
async fn what_somebody_else_deletes_is_written_again_and_is_no_new_assignment() {
    let scene = Scene::start().await;
    let (keeper, mut assignments) = scene.keeper("node-1");
    keeper.announce(announced(&["web"], &[]));
    let written = scene.until_layer2(&[("node-1", "web")]).await.remove(0);
    next(&mut assignments).await;
    scene.layer2().delete(&written.name_any(), &DeleteParams::default()).await.expect("it is deleted");
    let is_again =
        |all: &[Arc<ServiceL2Status>]| all.iter().any(|it| it.uid() != written.uid() && it.status.is_some());
    scene.until("it to be written again", is_again).await;
    assert!(assignments.try_recv().is_err());
}

#[tokio::test]
async fn what_a_node_said_that_is_not_heard_any_more_is_deleted_by_whoever_took_its_address() {
    let scene = Scene::start().await;
    let (dead, _) = scene.keeper("node-1");
    dead.announce(announced(&["web"], &[]));
    scene.until_layer2(&[("node-1", "web")]).await;
    drop(dead);

    let (heir, _assignments) = scene.keeper("node-2");
    heir.gone(ServiceKey::new("shop", "web"), "node-1");
    heir.announce(announced(&["web"], &[]));

    scene.until_layer2(&[("node-2", "web")]).await;
}

#[tokio::test]
async fn where_a_kind_is_missing_the_other_is_written_all_the_same() {
    let scene = Scene::with_faults().await;
    let definitions: Api<CustomResourceDefinition> = Api::all(scene.cluster.client.clone());
    definitions.delete("servicebgpstatuses.metallb.io", &DeleteParams::default()).await.expect("it goes");
    let (keeper, _assignments) = scene.keeper("node-1");
    keeper.announce(announced(&["web"], &[("web", "tor-1")]));
    scene.until_layer2(&[("node-1", "web")]).await;
    keeper.announce(announced(&["api", "web"], &[("web", "tor-1")]));
    scene.until_layer2(&[("node-1", "api"), ("node-1", "web")]).await;
    let asked = scene.cluster.double().requests().snapshot();
    let writes = asked.iter().filter(|it| it.verb == "patch" && it.resource == "servicebgpstatuses");
    assert_eq!(writes.count(), 0);
    assert!(asked.iter().any(|it| it.resource == "servicebgpstatuses"), "it was looked for");
}
