//! A release as Helm makes, changes and removes it, and what stays in the cluster then.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::ListParams;
use tests::cluster::Cluster;
use tests::rights::INSTALLED_AS;

use super::process::{Access, Said, define, pool};
use super::render::{BARE, helm};

/// A cluster, and Helm at work on it.
struct Release {
    cluster: Cluster,
    access: Access,
}

impl Release {
    async fn on(cluster: Cluster) -> Self {
        let access = Access::to(&cluster.plane);
        Release { cluster, access }
    }

    /// Runs Helm off the test's own thread: the control plane may live there.
    async fn helm(&self, arguments: &[&str]) -> Said {
        let kubeconfig = self.access.kubeconfig().display().to_string();
        let mut all: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        all.extend(["--namespace", INSTALLED_AS, "--kubeconfig", &kubeconfig].map(str::to_owned));
        let run = move || helm(&all.iter().map(String::as_str).collect::<Vec<_>>());
        let said = tokio::task::spawn_blocking(run).await.expect("no panic");
        assert_eq!(said.code, Some(0), "{arguments:?}: {}", said.errors);
        said
    }

    /// `helm upgrade --install` with values.
    async fn install(&self, values: &[&str]) -> Said {
        let mut arguments = vec!["upgrade", "--install", INSTALLED_AS, "deploy/helm/cloud-lb-controller"];
        arguments.push("--create-namespace");
        arguments.extend(values.iter().flat_map(|value| ["--set", *value]));
        self.helm(&arguments).await
    }

    async fn deployment(&self) -> Option<Deployment> {
        let api: Api<Deployment> = Api::namespaced(self.cluster.client.clone(), INSTALLED_AS);
        api.get_opt(INSTALLED_AS).await.expect("an answer")
    }

    async fn config(&self) -> String {
        let api: Api<ConfigMap> = Api::namespaced(self.cluster.client.clone(), INSTALLED_AS);
        let found = api.get(&format!("{INSTALLED_AS}-config")).await.expect("the configuration is there");
        found.data.expect("data")["config.yaml"].clone()
    }

    async fn definition(&self) -> Option<CustomResourceDefinition> {
        let api: Api<CustomResourceDefinition> = Api::all(self.cluster.client.clone());
        api.get_opt("ipaddresspools.metallb.io").await.expect("an answer")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_installed_changed_removed_and_installed_again_and_the_pools_stay() {
    let release = Release::on(Cluster::start().await).await;
    let client = release.cluster.client.clone();

    let said = release.install(BARE).await;
    assert!(said.output.contains("doctor --config=/etc/cloud-lb-controller/config.yaml"), "{}", said.output);
    let first = release.deployment().await.expect("a Deployment");
    assert!(release.definition().await.is_some());
    pool(&release.cluster, "office", "192.0.2.10-192.0.2.19").await;

    release.install(&[BARE, &["config.log-level=debug"]].concat()).await;
    assert!(release.config().await.contains("log-level: debug"));
    let second = release.deployment().await.expect("a Deployment");
    assert_ne!(
        first.spec.unwrap().template,
        second.spec.unwrap().template,
        "new Pods with the new configuration"
    );

    release.helm(&["uninstall", INSTALLED_AS]).await;
    assert_eq!(release.deployment().await, None);
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), INSTALLED_AS);
    assert_eq!(accounts.get_opt(INSTALLED_AS).await.unwrap(), None);
    // Those of the cluster itself stay.
    let ours = ListParams::default().labels("kubernetes.io/bootstrapping!=rbac-defaults");
    assert_eq!(Api::<ClusterRole>::all(client.clone()).list(&ours).await.unwrap().items, []);
    assert_eq!(Api::<ClusterRoleBinding>::all(client.clone()).list(&ours).await.unwrap().items, []);
    let pools: Api<metallb::crd::IPAddressPool> = Api::namespaced(client.clone(), &release.cluster.namespace);
    pools.get("office").await.expect("the pool is still there");

    release.install(BARE).await;
    assert!(release.deployment().await.is_some());
    pools.get("office").await.expect("the pool is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_somebody_else_installed_is_left_as_it_is() {
    let release = Release::on(Cluster::start().await).await;
    define(&release.cluster).await;
    let before = release.definition().await;

    release.install(BARE).await;
    assert_eq!(release.definition().await, before);

    release.helm(&["uninstall", INSTALLED_AS]).await;
    assert_eq!(release.definition().await, before);
}
