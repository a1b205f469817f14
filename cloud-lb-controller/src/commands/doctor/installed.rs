//! Where the program is installed, as seen from outside: whoever runs `doctor` at home has not the flags of the Pods.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::Value;

use crate::workload::{Workload, workloads};

/// The label by which chart and kustomization mark what is ours.
const OURS: &str = "app.kubernetes.io/name=cloud-lb-controller";

/// The container in which it runs.
const CONTAINER: &str = "controller";

/// A Deployment of the program, and its Lease.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Installed {
    /// Namespace and name.
    pub deployment: String,
    /// How many replicas are ready, and how many there are to be.
    pub ready: (i32, i32),
    /// The namespace of the Lease.
    pub lease_namespace: String,
    /// Its name.
    pub lease: String,
}

/// All of them, with the Leases that their configurations name.
///
/// # Errors
/// When Deployments may not be listed. Of one whose configuration may not be read, the Lease is where the chart has it.
pub(super) async fn find(client: &kube::Client) -> kube::Result<Vec<Installed>> {
    let ours = ListParams::default().labels(OURS);
    let deployments = workloads::<Deployment>(client).list(&ours).await?;
    let mut found = Vec::new();
    for deployment in deployments {
        let configuration = match config_map(&deployment) {
            Some(name) => {
                let namespace = deployment.namespace().unwrap_or_default();
                let map = Api::<ConfigMap>::namespaced(client.clone(), &namespace).get_opt(name).await;
                map.ok().flatten().and_then(|map| map.data).and_then(|mut data| data.remove("config.yaml"))
            }
            None => None,
        };
        found.push(read(&deployment, configuration.as_deref().unwrap_or_default()));
    }
    Ok(found)
}

/// The ConfigMap that is mounted into its Pods for the flags.
fn config_map(deployment: &Workload) -> Option<&str> {
    deployment.spec.template.config_map("config")
}

fn read(deployment: &Workload, configuration: &str) -> Installed {
    let (namespace, name) = (deployment.namespace().unwrap_or_default(), deployment.name_any());
    let file: Value = serde_saphyr::from_str(configuration).unwrap_or_default();
    let flag = |flag: &str, otherwise: &str| {
        let given = argument(deployment, flag).or_else(|| Some(file.get(flag)?.as_str()?.to_owned()));
        given.unwrap_or_else(|| otherwise.to_owned())
    };
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let ready = deployment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0);
    Installed {
        lease_namespace: flag("leader-elect-resource-namespace", &namespace),
        lease: flag("leader-elect-resource-name", &name),
        deployment: format!("{namespace}/{name}"),
        ready: (ready, wanted),
    }
}

/// The value of a flag on the container's command line.
fn argument(deployment: &Workload, flag: &str) -> Option<String> {
    let mut containers = deployment.spec.template.containers();
    let args = containers.find(|container| container.name == CONTAINER)?.args();
    args.filter_map(|word| word.strip_prefix("--")?.strip_prefix(flag)?.strip_prefix('='))
        .last()
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lease_is_where_arguments_or_configuration_say_or_else_where_the_chart_has_it() {
        let deployment = |arguments: &[&str]| -> Workload {
            let pod = json!({
                "containers": [{ "name": "controller", "args": arguments }],
                "volumes": [{ "name": "config", "configMap": { "name": "lb-config-1" } }],
            });
            let deployment = json!({
                "metadata": { "name": "lb", "namespace": "net" },
                "spec": { "replicas": 2, "selector": {}, "template": { "spec": pod } },
                "status": { "readyReplicas": 1 },
            });
            serde_json::from_value(deployment).unwrap()
        };
        let plain = deployment(&["run"]);
        assert_eq!(config_map(&plain), Some("lb-config-1"));
        for (arguments, configuration, lease) in [
            (&["run"][..], "", "net/lb"),
            (&["run"], "leader-elect-resource-name: a\nleader-elect-resource-namespace: b\n", "b/a"),
            (&["run", "--leader-elect-resource-name=c"], "leader-elect-resource-name: a\n", "net/c"),
            (&["run"], "no: [map", "net/lb"),
        ] {
            let found = read(&deployment(arguments), configuration);
            assert_eq!(format!("{}/{}", found.lease_namespace, found.lease), lease);
            assert_eq!((found.deployment.as_str(), found.ready), ("net/lb", (1, 2)));
        }
    }
}
