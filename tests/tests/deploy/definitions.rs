//! The definitions of MetalLB's resources: whose they are, and who leaves them alone.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::{Api, CustomResourceExt};
use serde_json::{Value, json};
use tests::cluster::Cluster;
use tests::rights::INSTALLED_AS;

use super::process::{Access, Said, apply, command, finish, read};
use super::render::{BARE, template};

const COPIES: [&str; 2] = [
    "deploy/helm/cloud-lb-controller/files/definitions.yaml",
    "deploy/kustomize/definitions/definitions.yaml",
];

#[tokio::test]
async fn chart_and_kustomization_have_what_the_program_prints() {
    let mut crds = command("cloud-lb-controller");
    crds.arg("crds");
    let printed = finish(crds).await.output;
    for copy in COPIES {
        assert_eq!(
            read(copy),
            printed,
            "{copy} is out of date; write it again: cloud-lb-controller crds > {copy}"
        );
    }
}

/// What the chart renders while it can look into a cluster.
async fn looking_into(cluster: &Cluster) -> Said {
    let access = Access::to(&cluster.plane);
    let kubeconfig = access.kubeconfig().display().to_string();
    let look = move || template(BARE, &["--dry-run=server", "--kubeconfig", &kubeconfig]);
    let said = tokio::task::spawn_blocking(look).await.expect("no panic");
    assert_eq!(said.code, Some(0), "{}", said.errors);
    said
}

const DEFINITION: &str = "ipaddresspools.metallb.io";

fn has_the_definition(said: &Said) -> bool {
    said.output.contains(&format!("name: {DEFINITION}"))
}

fn definitions_of(cluster: &Cluster) -> Api<CustomResourceDefinition> {
    Api::all(cluster.client.clone())
}

/// Applies the definition under this name, as Helm and kubectl do.
async fn applied_by(cluster: &Cluster, manager: &str) {
    let definition = metallb::crd::IPAddressPool::crd();
    let apply = Patch::Apply(&definition);
    let parameters = PatchParams::apply(manager).force();
    definitions_of(cluster).patch(DEFINITION, &parameters, &apply).await.expect("it is applied");
}

/// Writes on the definition whose release it belongs to, as Helm does.
async fn belongs_to(cluster: &Cluster, release: &str) {
    let marks: Value = json!({ "metadata": {
        "labels": { "app.kubernetes.io/managed-by": "Helm" },
        "annotations": {
            "meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": INSTALLED_AS,
        },
    } });
    let patch = Patch::Merge(marks);
    definitions_of(cluster).patch(DEFINITION, &PatchParams::default(), &patch).await.expect("it is marked");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_installed_where_nobody_else_has_done_so() {
    let cluster = Cluster::start().await;
    assert!(has_the_definition(&looking_into(&cluster).await), "there is none yet");

    applied_by(&cluster, "helm").await;
    assert!(!has_the_definition(&looking_into(&cluster).await), "somebody applied one");

    belongs_to(&cluster, "metallb").await;
    assert!(!has_the_definition(&looking_into(&cluster).await), "another release has it");

    belongs_to(&cluster, INSTALLED_AS).await;
    assert!(has_the_definition(&looking_into(&cluster).await), "it is this release's own");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_somebody_applied_over_this_release_s_is_left_alone() {
    let cluster = Cluster::start().await;
    applied_by(&cluster, "helm").await;
    belongs_to(&cluster, INSTALLED_AS).await;
    applied_by(&cluster, "kubectl-client-side-apply").await;
    assert!(
        !has_the_definition(&looking_into(&cluster).await),
        "its marks are still there, and not in force"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_nobody_has_come_beside_those_that_somebody_has() {
    let cluster = Cluster::start().await;
    // As MetalLB before 0.15 left it: without the kinds that came later.
    apply(&cluster, &serde_saphyr::to_string(&metallb::crd::IPAddressPool::crd()).expect("YAML")).await;
    let said = looking_into(&cluster).await;
    assert!(!has_the_definition(&said), "it is somebody's");
    assert!(said.output.contains("name: l2advertisements.metallb.io"), "nobody has it");
}

#[test]
fn they_stay_when_the_release_goes() {
    let said = template(BARE, &["--show-only", "templates/definitions.yaml"]);
    let definitions: Vec<Value> = said
        .output
        .split("---\n")
        .filter(|text| text.contains("kind: CustomResourceDefinition"))
        .map(|text| serde_saphyr::from_str(text).expect("YAML"))
        .collect();
    assert_eq!(definitions.len(), metallb::crd::definitions().len());
    for definition in definitions {
        let annotations = &definition["metadata"]["annotations"];
        assert_eq!(annotations, &json!({ "helm.sh/resource-policy": "keep" }), "{definition}");
    }
}
