//! A release as Helm makes, changes and removes it, and what stays in the cluster then.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use kube::api::{Api, ListParams, PostParams};
use tests::cluster::{Cluster, DEADLINE};
use tests::rights::{INSTALLED_AS, Rights, refused};
use tokio::time::Instant;

use super::process::{Access, Program, Said, define, pool, with_announcers};
use super::render::{BARE, chart, helm};

/// A cluster, and Helm at work on it.
struct Release {
    cluster: Cluster,
    access: Access,
}

impl Release {
    fn on(cluster: Cluster) -> Self {
        let access = Access::to(&cluster.plane);
        Release { cluster, access }
    }

    /// Runs Helm, which has to succeed.
    async fn helm(&self, arguments: &[&str]) -> Said {
        let said = self.try_helm(arguments).await;
        assert_eq!(said.code, Some(0), "{arguments:?}: {}", said.errors);
        said
    }

    /// Runs Helm off the test's own thread: the control plane may live there.
    async fn try_helm(&self, arguments: &[&str]) -> Said {
        let kubeconfig = self.access.kubeconfig().display().to_string();
        let mut all: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        all.extend(["--namespace", INSTALLED_AS, "--kubeconfig", &kubeconfig].map(str::to_owned));
        let run = move || helm(&all.iter().map(String::as_str).collect::<Vec<_>>());
        tokio::task::spawn_blocking(run).await.expect("no panic")
    }

    /// `helm upgrade --install` with values.
    async fn install(&self, values: &[&str]) -> Said {
        let said = self.try_install(values).await;
        assert_eq!(said.code, Some(0), "{values:?}: {}", said.errors);
        said
    }

    async fn try_install(&self, values: &[&str]) -> Said {
        let mut arguments = vec!["upgrade", "--install", INSTALLED_AS, "deploy/helm/cloud-lb-controller"];
        arguments.push("--create-namespace");
        arguments.extend(values.iter().flat_map(|value| ["--set", *value]));
        self.try_helm(&arguments).await
    }

    async fn deployment(&self) -> Option<Deployment> {
        let api: Api<Deployment> = Api::namespaced(self.cluster.client.clone(), INSTALLED_AS);
        api.get_opt(INSTALLED_AS).await.expect("an answer")
    }

    async fn config(&self) -> String {
        let pod = self.deployment().await.and_then(|it| it.spec?.template.spec).expect("a Deployment");
        let volumes = pod.volumes.unwrap_or_default();
        let name =
            volumes.into_iter().find_map(|volume| Some(volume.config_map?.name)).expect("its ConfigMap");
        self.config_named(&name).await.expect("the configuration is there")
    }

    async fn config_named(&self, name: &str) -> Option<String> {
        let api: Api<ConfigMap> = Api::namespaced(self.cluster.client.clone(), INSTALLED_AS);
        let found = api.get_opt(name).await.expect("an answer")?;
        Some(found.data.expect("data")["config.yaml"].clone())
    }

    async fn configs(&self) -> BTreeSet<String> {
        let api: Api<ConfigMap> = Api::namespaced(self.cluster.client.clone(), INSTALLED_AS);
        let ours = ListParams::default().labels(&format!("app.kubernetes.io/instance={INSTALLED_AS}"));
        api.list(&ours).await.expect("an answer").iter().map(ResourceExt::name_any).collect()
    }

    /// The names of roles and bindings that are no namespace's: a cluster has some of its own.
    async fn roles_of_the_cluster(&self) -> BTreeSet<String> {
        let (all, client) = (ListParams::default(), &self.cluster.client);
        let roles = Api::<ClusterRole>::all(client.clone()).list(&all).await.expect("an answer");
        let bindings = Api::<ClusterRoleBinding>::all(client.clone()).list(&all).await.expect("an answer");
        roles.iter().map(ResourceExt::name_any).chain(bindings.iter().map(ResourceExt::name_any)).collect()
    }

    /// What a Pod of the release has for a token. The double makes none, so there it is one with the same rights.
    async fn token(&self, values: &[&str]) -> String {
        if !self.cluster.plane.is_real() {
            return self.cluster.plane.token_with(&Rights::granted(&chart(values)));
        }
        let accounts: Api<ServiceAccount> = Api::namespaced(self.cluster.client.clone(), INSTALLED_AS);
        let asked = TokenRequest::default();
        let answer = accounts.create_token_request(INSTALLED_AS, &PostParams::default(), &asked).await;
        answer.expect("a token").status.expect("a token").token
    }

    async fn definition(&self) -> Option<CustomResourceDefinition> {
        let api: Api<CustomResourceDefinition> = Api::all(self.cluster.client.clone());
        api.get_opt("ipaddresspools.metallb.io").await.expect("an answer")
    }
}

/// Whether Helm made this for the release. The labels are the chart's, and so on the roles, too, that other tests made
/// from the same templates in the same namespace of a real server.
fn is_helms(object: &impl ResourceExt) -> bool {
    object.annotations().get("meta.helm.sh/release-name").is_some_and(|name| name == INSTALLED_AS)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_installed_changed_removed_and_installed_again_and_the_pools_stay() {
    let release = Release::on(Cluster::start().await);
    let client = release.cluster.client.clone();
    let before = release.roles_of_the_cluster().await;
    let said = release.install(BARE).await;
    assert!(said.output.contains("doctor --config=/etc/cloud-lb-controller/config.yaml"), "{}", said.output);
    let first = release.deployment().await.expect("a Deployment");
    assert!(release.definition().await.is_some());
    pool(&release.cluster, "office", "192.0.2.10-192.0.2.19").await;

    let old = release.configs().await;
    release.install(&[BARE, &["config.log-level=debug"]].concat()).await;
    assert!(release.configs().await.is_superset(&old), "Pods of before read theirs as long as they run");
    assert_eq!(release.configs().await.len(), 2);
    assert!(release.config().await.contains("log-level: debug"));
    let second = release.deployment().await.expect("a Deployment");
    assert_ne!(
        first.spec.unwrap().template,
        second.spec.unwrap().template,
        "new Pods with the new configuration"
    );

    release.helm(&["uninstall", INSTALLED_AS]).await;
    assert_eq!(release.deployment().await, None);
    assert_eq!(release.roles_of_the_cluster().await, before);
    // By these the leader gives the Lease up, which it does when the rest is gone.
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), INSTALLED_AS);
    accounts.get(INSTALLED_AS).await.expect("the leader's account is still there");
    let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), INSTALLED_AS);
    let left = bindings.list(&ListParams::default()).await.expect("bindings");
    let left: Vec<_> = left.iter().filter(|it| is_helms(*it)).map(ResourceExt::name_any).collect();
    assert_eq!(left, [format!("{INSTALLED_AS}-leader")]);
    let pools: Api<metallb::crd::IPAddressPool> = Api::namespaced(client.clone(), &release.cluster.namespace);
    pools.get("office").await.expect("the pool is still there");

    release.install(BARE).await;
    assert!(release.deployment().await.is_some());
    pools.get("office").await.expect("the pool is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_for_a_namespace_that_is_not_there_fails_before_anything_is_changed() {
    let release = Release::on(Cluster::start().await);
    let before = release.roles_of_the_cluster().await;
    let values = [BARE, &["config.bare-pools-namespace=nowhere"]].concat();
    let said = release.try_install(&values).await;
    assert!(
        said.errors.contains("namespace \"nowhere\" is not there, and a role is to be made in it"),
        "{said:?}"
    );
    assert_eq!(release.roles_of_the_cluster().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_somebody_else_installed_is_left_as_it_is() {
    let release = Release::on(Cluster::start().await);
    define(&release.cluster).await;
    let before = release.definition().await;

    release.install(BARE).await;
    assert_eq!(release.definition().await, before);

    release.helm(&["uninstall", INSTALLED_AS]).await;
    assert_eq!(release.definition().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_installed_runs_as_its_service_account_and_is_refused_nothing() {
    let release = Release::on(Cluster::start().await);
    let cluster = &release.cluster;
    let values = [BARE, &["rbac.doctor=true"]].concat();
    release.install(&values).await;
    pool(cluster, "office", "192.0.2.10-192.0.2.19").await;
    with_announcers(cluster, "default", 1).await;
    cluster.add_node("node-1").await;
    let access = Access::with(&cluster.plane.kubeconfig_yaml_as(&release.token(&values).await));
    let config = access.file("config.yaml", &release.config().await);
    let config = format!("--config={}", config.display());
    // A server learns of roles as everybody learns of objects: a moment later.
    let deadline = Instant::now() + DEADLINE;
    loop {
        let said = access.output(&["doctor", &config]).await;
        if said.output.ends_with(" ok, 0 warn, 0 fail\n") {
            break;
        }
        assert!(Instant::now() < deadline, "{said:?}");
    }
    cluster.requests().clear();

    let mut program = Program::spawn(access.command(&["run", "--http-address=127.0.0.1:0", &config]));
    cluster.create("web").await;
    assert_eq!(cluster.until_published("web").await, ["192.0.2.10"]);
    program.signal("TERM");
    assert!(program.end().await.success(), "{}", program.log());

    let asked = cluster.asked_by_the_controller();
    assert!(asked.iter().any(|request| request.resource == "services" && request.is_write()), "{asked:#?}");
    assert!(refused(&asked).is_empty(), "{:#?}", refused(&asked));
}
