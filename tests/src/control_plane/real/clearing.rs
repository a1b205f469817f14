//! Makes a server that tests have used as it was when it had just started.

use futures::future::{join, join_all};
use futures::{StreamExt as _, stream};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch};
use kube::{Client, ResourceExt as _};
use serde_json::json;
use tokio::time::{Duration, Instant, sleep};

use super::Server;
use super::installed::KEPT;

/// What tests make, as far as this server knows it without a definition. Group, version, kind, plural.
const KINDS: [(&str, &str, &str, &str); 18] = [
    ("", "v1", "Service", "services"),
    ("", "v1", "Node", "nodes"),
    ("", "v1", "Event", "events"),
    ("", "v1", "ConfigMap", "configmaps"),
    ("", "v1", "Secret", "secrets"),
    ("", "v1", "Endpoints", "endpoints"),
    ("", "v1", "Pod", "pods"),
    ("", "v1", "ServiceAccount", "serviceaccounts"),
    ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
    ("apps", "v1", "Deployment", "deployments"),
    ("apps", "v1", "DaemonSet", "daemonsets"),
    ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
    ("coordination.k8s.io", "v1", "Lease", "leases"),
    ("rbac.authorization.k8s.io", "v1", "Role", "roles"),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings"),
];
const NAMESPACES: (&str, &str, &str, &str) = ("", "v1", "Namespace", "namespaces");
const DEFINITIONS: (&str, &str, &str, &str) =
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions");

/// How many requests are on their way at once: each takes a connection of its own, and shaking hands takes longer than
/// most answers.
const AT_ONCE: usize = 3;
/// How long the server may take to take a definition back.
const DEFINITION_TIMEOUT: Duration = Duration::from_secs(20);

/// Leaves out the roles that every cluster has: they are many and long.
const NOT_OF_THE_CLUSTER: &str = "kubernetes.io/bootstrapping!=rbac-defaults";

/// An object that is to go.
struct Doomed {
    api: Api<DynamicObject>,
    name: String,
    has_finalizers: bool,
}

impl Server {
    /// Removes what tests have made. What a new server has stays, and the rights that are installed.
    ///
    /// # Panics
    /// When something cannot be removed: the next test would meet it.
    pub(super) async fn clear(&self) {
        let client = self.administrator();
        let (definitions, namespaces) = join(
            list(&all(&client, DEFINITIONS), |_| true),
            list(&all(&client, NAMESPACES), |namespace| !is_the_servers(namespace)),
        )
        .await;
        let custom = definitions.iter().filter_map(resources);
        let kinds = KINDS.iter().map(|&kind| resource(kind)).chain(custom);
        // Nothing new comes into them once they are to go.
        delete_all(doomed(&client, &resource(NAMESPACES), &namespaces)).await;
        let contents = stream::iter(kinds)
            .map(async |resource| {
                let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
                let objects = list(&api, |object| !is_the_servers(object)).await;
                doomed(&client, &resource, &objects)
            })
            .buffer_unordered(AT_ONCE);
        delete_all(contents.concat().await).await;
        join_all(namespaces.iter().map(|namespace| self.finalize(&client, namespace.name_any()))).await;
        if namespaces.iter().any(|namespace| namespace.labels().contains_key(KEPT)) {
            self.forget_rights();
        }
        if !definitions.is_empty() {
            delete_all(doomed(&client, &resource(DEFINITIONS), &definitions)).await;
            until_none_is_left(&client).await;
        }
    }

    /// Lets a namespace go whose contents are gone, as the controller manager does.
    async fn finalize(&self, client: &Client, name: String) {
        let body = json!({ "metadata": { "name": name }, "spec": { "finalizers": [] } });
        let request = http::Request::put(format!("/api/v1/namespaces/{name}/finalize"))
            .header("content-type", "application/json")
            .body(body.to_string().into_bytes())
            .expect("a request");
        accepted(&name, client.request_text(request).await.map(drop));
    }
}

fn resource((group, version, kind, plural): (&str, &str, &str, &str)) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

fn all(client: &Client, kind: (&str, &str, &str, &str)) -> Api<DynamicObject> {
    Api::all_with(client.clone(), &resource(kind))
}

/// The custom resource that a definition brings.
fn resources(definition: &DynamicObject) -> Option<ApiResource> {
    let spec = &definition.data["spec"];
    let versions = spec["versions"].as_array()?;
    let version = versions.iter().find(|version| version["served"] == true)?["name"].as_str()?;
    let (group, names) = (spec["group"].as_str()?, &spec["names"]);
    Some(resource((group, version, names["kind"].as_str()?, names["plural"].as_str()?)))
}

async fn list(api: &Api<DynamicObject>, wanted: impl Fn(&DynamicObject) -> bool) -> Vec<DynamicObject> {
    match api.list(&ListParams::default().labels(NOT_OF_THE_CLUSTER)).await {
        Ok(list) => list.items.into_iter().filter(wanted).collect(),
        // A definition that is on its way in or out.
        Err(kube::Error::Api(refusal)) if refusal.code == 404 => Vec::new(),
        Err(error) => panic!("the server of the tests before cannot be emptied: {error}"),
    }
}

/// Whether it is there in every cluster, or belongs to this fixture.
fn is_the_servers(object: &DynamicObject) -> bool {
    let namespace = object.namespace().unwrap_or_default();
    let name = object.name_any();
    let is_terminating = object.metadata.deletion_timestamp.is_some();
    let is_kept = object.labels().contains_key(KEPT) && !is_terminating;
    is_kept
        || (namespace.starts_with("kube-") && is_by_kubernetes(object))
        || (namespace.is_empty()
            && (name.starts_with("kube-") || name.starts_with("system:") || name == "default"))
        || (namespace == "default" && ["kubernetes", "default", "kube-root-ca.crt"].contains(&name.as_str()))
}

/// Whether nobody but Kubernetes' own programs has written it.
fn is_by_kubernetes(object: &DynamicObject) -> bool {
    let mut managers = object.managed_fields().iter().filter_map(|entry| entry.manager.as_deref());
    managers.all(|manager| manager.starts_with("kube-"))
}

fn doomed(client: &Client, resource: &ApiResource, objects: &[DynamicObject]) -> Vec<Doomed> {
    let doom = |object: &DynamicObject| Doomed {
        api: match object.namespace() {
            Some(namespace) => Api::namespaced_with(client.clone(), &namespace, resource),
            None => Api::all_with(client.clone(), resource),
        },
        name: object.name_any(),
        has_finalizers: !object.finalizers().is_empty(),
    };
    objects.iter().map(doom).collect()
}

async fn delete_all(doomed: Vec<Doomed>) {
    stream::iter(doomed)
        .for_each_concurrent(AT_ONCE, async |Doomed { api, name, has_finalizers }| {
            if has_finalizers {
                let without = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
                accepted(&name, api.patch(&name, &Default::default(), &without).await.map(drop));
            }
            let at_once = DeleteParams::default().grace_period(0);
            accepted(&name, api.delete(&name, &at_once).await.map(drop));
        })
        .await;
}

/// That somebody else was faster is fine, too.
fn accepted(name: &str, answer: kube::Result<()>) {
    match answer {
        Err(kube::Error::Api(refusal)) if [404, 409].contains(&refusal.code) => {}
        answer => {
            answer.unwrap_or_else(|error| panic!("{name} of the tests before cannot be removed: {error}"));
        }
    }
}

/// A definition that comes again too early would meet the end of the one before.
async fn until_none_is_left(client: &Client) {
    let deadline = Instant::now() + DEFINITION_TIMEOUT;
    while !list(&all(client, DEFINITIONS), |_| true).await.is_empty() {
        assert!(Instant::now() < deadline, "the definitions of the tests before do not go");
        sleep(Duration::from_millis(5)).await;
    }
}
