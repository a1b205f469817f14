//! What becomes of a request to an address that the program published.

use std::collections::BTreeSet;
use std::net::IpAddr;

use tests::real_cluster::addresses;

use super::client::{answers_of, ask, clients, lost, send_through};
use super::install::{service, with_a_pool};
use super::stage::{SCENE_TIMEOUT, Stage, until};

/// A Deployment whose Pods tell who they are, spread over the nodes.
pub(crate) fn web(namespace: &str, replicas: u8, more: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: {namespace}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      {more}
      topologySpreadConstraints:
      - maxSkew: 1
        topologyKey: kubernetes.io/hostname
        whenUnsatisfiable: DoNotSchedule
        labelSelector: {{matchLabels: {{app: web}}}}
      containers:
      - name: web
        image: localhost/web:1
        # Or the kernel lets everything else on a busy host go first, for seconds.
        resources: {{requests: {{cpu: 400m}}}}
        env:
        - {{name: POD, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}
        - {{name: NODE, valueFrom: {{fieldRef: {{fieldPath: spec.nodeName}}}}}}
        readinessProbe: {{httpGet: {{path: /, port: 8080}}, periodSeconds: 1}}
"
    )
}

/// A Deployment with Pods on both nodes, and a Service of both families with its addresses.
///
/// They are addresses that no scene had before: a node goes on sending what looks like a connection of before to the Pod
/// that had it then, and clients take the same ports again.
pub(crate) async fn served(stage: &Stage, namespace: &str, more: &str) -> Vec<String> {
    stage.namespace(namespace);
    stage.apply(&web(namespace, 4, ""));
    let asked = stage.unused_addresses();
    let annotation =
        format!("name: web, annotations: {{metallb.io/loadBalancerIPs: \"{}\"}}", asked.join(","));
    let service = service(namespace, "web", &format!("ipFamilyPolicy: RequireDualStack\n  {more}"));
    stage.apply(&service.replacen("name: web", &annotation, 1));
    assert_eq!(stage.published(namespace, "web", 2).await, asked);
    stage.kubectl(&["--namespace", namespace, "rollout", "status", "deployment/web", "--timeout=60s"]);
    asked
}

fn ips(texts: &[String]) -> BTreeSet<IpAddr> {
    texts.iter().map(|text| text.parse().expect("an address")).collect()
}

pub(crate) async fn a_client_is_served_by_pods_of_both_nodes_through_either_node_in_either_family(
    stage: &Stage,
) {
    with_a_pool(stage);
    let published = served(stage, "shop", "").await;
    let client = stage.cluster.client_machine();
    for node in stage.cluster.nodes() {
        send_through(stage, node, &published);
        for address in &published {
            let answers = answers_of(stage, client, address, &["node-1", "node-2"]).await;
            // With policy Cluster the node asks in the client's place.
            let seen = clients(&answers);
            assert!(seen.is_disjoint(&ips(&addresses("client"))), "{seen:?}");
        }
    }
}

pub(crate) async fn with_policy_local_a_node_serves_by_its_own_pods_and_they_see_the_client(stage: &Stage) {
    with_a_pool(stage);
    let published = served(stage, "local", "externalTrafficPolicy: Local").await;
    let client = stage.cluster.client_machine();
    for node in stage.cluster.nodes() {
        send_through(stage, node, &published);
        for address in &published {
            let answers = answers_of(stage, client, address, &[node.name()]).await;
            assert!(clients(&answers).is_subset(&ips(&addresses("client"))), "{:?}", clients(&answers));
        }
    }

    // A node without a Pod of the Service says so to who checks its health, and serves nobody.
    let [first, second] = stage.cluster.nodes();
    let service = stage.services("local").get("web").await.expect("it is there");
    let port = service.spec.and_then(|spec| spec.health_check_node_port).expect("policy Local has one");
    stage.apply(&web("local", 2, "nodeSelector: {kubernetes.io/hostname: node-2}"));
    for (node, healthy) in [(first, false), (second, true)] {
        let health = format!("http://{}:{port}/healthz", addresses(node.name())[0]);
        until(&format!("{} calls itself healthy: {healthy}", node.name()), SCENE_TIMEOUT, async || {
            let probe = stage.cluster.program("probe");
            let said = client.run(probe, &["--times=1", &health]).map_err(|error| error.to_string())?;
            let count = said.split("\"localEndpoints\":").nth(1).map(str::trim);
            match count.map(|count| count.starts_with('0')) {
                Some(none) if none != healthy => Ok(()),
                _ => Err(said),
            }
        })
        .await;
    }
    send_through(stage, first, &published);
    // Those of its Pods that are about to end may still answer.
    until("nobody is served through node-1", SCENE_TIMEOUT, async || {
        let answers = ask(stage, client, &published[0]);
        if lost(&answers).len() == answers.len() { Ok(()) } else { Err(format!("{answers:?}")) }
    })
    .await;
}

pub(crate) async fn pods_and_nodes_reach_an_address_that_nobody_answers_for(stage: &Stage) {
    with_a_pool(stage);
    let published = served(stage, "inside", "").await;
    let found = stage.services("inside").get("web").await.expect("it is there");
    let ingress = found.status.and_then(|status| status.load_balancer?.ingress).expect("it has addresses");
    assert!(ingress.iter().all(|entry| entry.ip_mode.as_deref() == Some("VIP")), "{ingress:?}");

    // kube-proxy of the client's own node sends it to a Pod: for ipMode VIP, it never reaches the LAN.
    for node in stage.cluster.nodes() {
        for address in &published {
            answers_of(stage, node, address, &["node-1", "node-2"]).await;
        }
    }
    stage.apply(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: asking, namespace: inside}}\nspec:\n  restartPolicy: Never\n  \
         containers:\n  - {{name: probe, image: \"localhost/probe:1\", args: [\"--times=40\", \"http://{}\"]}}\n",
        published[0]
    ));
    let done = "--for=jsonpath={.status.phase}=Succeeded";
    stage.kubectl(&["--namespace", "inside", "wait", "pod/asking", done, "--timeout=60s"]);
    let said = stage.kubectl(&["--namespace", "inside", "logs", "asking"]);
    let answered = |node: &str| said.lines().filter(|line| line.contains(&format!("node={node} "))).count();
    assert!(answered("node-1") > 0 && answered("node-2") > 0, "{said}");
    assert_eq!(answered("node-1") + answered("node-2"), 40, "{said}");
}
