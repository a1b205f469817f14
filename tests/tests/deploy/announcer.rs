//! The announcers that chart and kustomization install.

use kube::api::DynamicObject;
use serde_json::{Value, json};
use tests::cluster::{Cluster, eventually};
use tests::rights::{INSTALLED_AS, Rights, refused};

use super::process::{Access, Program, command, define, pool};
use super::render::{ANNOUNCED, BARE, chart, configuration, only, template, title};

#[test]
fn it_has_one_capability_the_hosts_network_and_a_root_that_cannot_be_written() {
    let pod = only(&chart(ANNOUNCED), "DaemonSet")["spec"]["template"]["spec"].clone();
    assert_eq!(pod["hostNetwork"], true);
    assert_eq!(pod["priorityClassName"], "system-node-critical");
    let container = &pod["containers"][0]["securityContext"];
    assert_eq!(container["capabilities"], json!({ "drop": ["ALL"], "add": ["NET_RAW"] }));
    assert_eq!(
        (&container["readOnlyRootFilesystem"], &container["allowPrivilegeEscalation"]),
        (&true.into(), &false.into())
    );
}

#[test]
fn the_controller_is_told_that_addresses_are_announced_by_our_own() {
    let configured = |values| configuration(&chart(values));
    assert!(configured(ANNOUNCED).contains("bare-announcer: own"));
    assert!(!configured(BARE).contains("bare-announcer"));
}

#[test]
fn it_serves_the_class_and_the_pools_that_the_controller_serves() {
    let values =
        [ANNOUNCED, &["config.bare-class=my.example/lb", "config.bare-pools-namespace=pools"]].concat();
    let pod = only(&chart(&values), "DaemonSet")["spec"]["template"]["spec"].clone();
    let arguments: Vec<&str> =
        pod["containers"][0]["args"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    assert!(arguments.contains(&"--bare-class=my.example/lb"), "{arguments:?}");
    assert!(arguments.contains(&"--bare-pools-namespace=pools"), "{arguments:?}");
}

#[test]
fn the_key_is_made_once_and_kept() {
    let values = ["provider=bare", "image.repository=cloud-lb-controller", "announcer.enabled=true"];
    let objects = chart(&values);
    let secret = only(&objects, "Secret");
    assert_eq!(secret["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    let key = secret["data"]["key"].as_str().expect("a key");
    assert!(key.len() >= 64, "{} characters", key.len());
    assert!(chart(ANNOUNCED).iter().all(|object| !title(object).starts_with("Secret ")));
}

#[test]
fn without_pools_in_the_cluster_there_is_nothing_to_announce() {
    let values = ["provider=aws", "aws.clusterName=c", "image.repository=i", "announcer.enabled=true"];
    let said = template(&values, &[]);
    assert!(said.errors.contains("announcer.enabled is for provider bare"), "{}", said.errors);
}

#[test]
fn what_frr_is_to_advertise_may_be_written_where_frr_k8s_reads_it_and_nowhere_else() {
    let by_frr = "announcer.config.bgp=frr-k8s";
    for (values, namespace) in [
        (vec![by_frr], "frr-k8s-system"),
        (vec![by_frr, "announcer.config.frr-k8s-namespace=routers"], "routers"),
    ] {
        let objects = chart(&[ANNOUNCED, &values].concat());
        let named = |kind: &str| {
            let wanted = format!("{kind} cloud-lb-controller-announcer-frr-k8s");
            let found = objects.iter().find(|object| title(object) == wanted).expect("it is there");
            assert_eq!(found.metadata.namespace.as_deref(), Some(namespace));
            found.data.clone()
        };
        let rules = json!([{
            "apiGroups": ["frrk8s.metallb.io"], "resources": ["frrconfigurations"], "verbs": ["create", "patch"],
        }]);
        assert_eq!(named("Role")["rules"], rules);
        assert_eq!(named("RoleBinding")["subjects"][0]["name"], "cloud-lb-controller-announcer");
    }
    assert!(chart(ANNOUNCED).iter().all(|object| !title(object).contains("frr")));
}

/// The announcer's objects, with the account's name that a test has a token for.
fn as_the_one_that_asks(objects: &[DynamicObject]) -> Vec<DynamicObject> {
    let own = objects.iter().filter(|object| title(object).ends_with("-announcer"));
    own.map(|object| {
        let text = serde_json::to_string(object).expect("JSON");
        let text = text.replace(&format!("\"{INSTALLED_AS}-announcer\""), &format!("\"{INSTALLED_AS}\""));
        serde_json::from_str(&text).expect("an object")
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn before_it_announces_anything_it_takes_every_right_to_read_and_no_other() {
    let cluster = Cluster::start().await;
    define(&cluster).await;
    pool(&cluster, "office", "192.0.2.10-192.0.2.19").await;
    cluster.add_node("node-1").await;
    let rights = Rights::granted(&as_the_one_that_asks(&chart(ANNOUNCED)));
    let access = Access::with(&cluster.kubeconfig_with(rights.clone()));
    let key = access.file("key", "the key of a test that says nothing");
    // On no link: a test has nothing to say on the network of its host.
    let mut command = command("cloud-lb-announcer");
    command.env("KUBECONFIG", access.kubeconfig()).env("POD_NAMESPACE", INSTALLED_AS).args([
        "--node-name",
        "node-1",
        "--http-address",
        "127.0.0.1:0",
        "--excluded-links",
        ".*",
        "--key-file",
    ]);
    command.arg(key);
    let mut announcer = Program::spawn(command);
    announcer.until_it_says("serving health").await;
    let asked = || cluster.asked_by_the_controller();
    let reads = |right: &String| ["get ", "list ", "watch "].iter().any(|verb| right.starts_with(verb));
    eventually("every right to read is used", || !rights.unused(&asked()).iter().any(reads)).await;
    announcer.signal("TERM");
    assert!(announcer.end().await.success());
    assert!(refused(&asked()).is_empty(), "{:#?}", refused(&asked()));
}
