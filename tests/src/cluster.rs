//! A cluster for end-to-end tests: a control plane, a namespace, and words to speak of Services and Nodes.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use cloud_provider::{CloudLoadBalancer, ServiceKey};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Event, Namespace, Node, Service};
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use service_controller::{Config, Health, Metrics, ServiceController};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::apiserver::{ApiServer, Faults, Request};
use crate::control_plane::{ControlPlane, Options, Requests};
use crate::rights::{self, Rights};

/// How long a condition may take to come true before a test fails: generous, because machines are shared; no test
/// waits this long unless it fails.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A control plane and a namespace of the test's own on it.
pub struct Cluster {
    /// The control plane.
    pub plane: ControlPlane,
    /// An administrator's client.
    pub client: kube::Client,
    /// The test's namespace.
    pub namespace: String,
}

impl Cluster {
    /// Starts a control plane with an empty namespace.
    pub async fn start() -> Self {
        Cluster::on(ControlPlane::start().await).await
    }

    /// Starts one whose API server can be made to fail: the double.
    pub async fn with_faults() -> Self {
        Cluster::on(ControlPlane::start_with(Options { double_only: true, ..Options::default() }).await).await
    }

    /// The API server in this process.
    ///
    /// # Panics
    /// When the control plane is a real one: see [`with_faults`](Cluster::with_faults).
    pub fn double(&self) -> &ApiServer {
        self.plane.double().expect("only the API server in this process can do that")
    }

    /// What can go wrong with it.
    ///
    /// # Panics
    /// As [`double`](Cluster::double).
    pub fn faults(&self) -> &Faults {
        self.double().faults()
    }

    /// What was asked of it.
    pub fn requests(&self) -> Requests {
        self.plane.requests()
    }

    /// A namespace on a control plane that runs already.
    pub async fn on(plane: ControlPlane) -> Self {
        let client = plane.client();
        let namespace = format!("test-{:08x}", fastrand::u32(..));
        let object = Namespace {
            metadata: ObjectMeta { name: Some(namespace.clone()), ..Default::default() },
            ..Default::default()
        };
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces.create(&PostParams::default(), &object).await.expect("a namespace for the test");
        Cluster { plane, client, namespace }
    }

    /// The Services of the test's namespace.
    pub fn services(&self) -> Api<Service> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The Nodes.
    pub fn nodes(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    /// The key of a Service in the test's namespace.
    pub fn key(&self, name: &str) -> ServiceKey {
        ServiceKey::new(&self.namespace, name)
    }

    /// Creates a Service of type LoadBalancer with one TCP port.
    pub async fn create(&self, name: &str) -> Service {
        self.create_with(name, json!({})).await
    }

    /// Creates a Service of type LoadBalancer, with `changes` merged over the plain one.
    pub async fn create_with(&self, name: &str, changes: Value) -> Service {
        let service = load_balancer(name, changes);
        self.services().create(&PostParams::default(), &service).await.expect("the Service is created")
    }

    /// The Service as it is now.
    pub async fn service(&self, name: &str) -> Service {
        self.services().get(name).await.expect("the Service exists")
    }

    /// Merge-patches a Service.
    pub async fn change(&self, name: &str, changes: Value) -> Service {
        let patch = Patch::Merge(changes);
        self.services().patch(name, &PatchParams::default(), &patch).await.expect("the Service is changed")
    }

    /// Merge-patches a Service's status subresource.
    pub async fn change_status(&self, name: &str, changes: Value) -> Service {
        let patch = Patch::Merge(changes);
        self.services()
            .patch_status(name, &PatchParams::default(), &patch)
            .await
            .expect("the status is changed")
    }

    /// Asks for a deletion; finalizers may keep the Service.
    pub async fn delete(&self, name: &str) {
        self.services().delete(name, &DeleteParams::default()).await.expect("the Service is deleted");
    }

    /// Waits until the Service is as described.
    pub async fn until(&self, name: &str, what: &str, is_so: impl Fn(&Service) -> bool) -> Service {
        let found = until(self.services(), name, what, |service| service.is_some_and(&is_so)).await;
        found.unwrap_or_else(|| panic!("{name} vanished"))
    }

    /// Waits until the Service is gone.
    pub async fn until_gone(&self, name: &str) {
        until(self.services(), name, "to be gone", |service| service.is_none()).await;
    }

    /// Waits until the Service shows an address, and returns all it shows.
    pub async fn until_published(&self, name: &str) -> Vec<String> {
        addresses(&self.until(name, "to show an address", |s| !addresses(s).is_empty()).await)
    }

    /// Creates a node that may take traffic.
    pub async fn add_node(&self, name: &str) {
        self.add_node_with(name, json!({})).await;
    }

    /// Creates a node, with `changes` merged over the plain one.
    pub async fn add_node_with(&self, name: &str, changes: Value) {
        let mut object = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": name },
            "spec": { "providerID": format!("test:///{name}") },
        });
        merge(&mut object, changes);
        let node = serde_json::from_value(object).expect("a Node");
        self.nodes().create(&PostParams::default(), &node).await.expect("the Node is created");
    }

    /// Merge-patches a Node.
    pub async fn change_node(&self, name: &str, changes: Value) {
        let patch = Patch::Merge(changes);
        self.nodes().patch(name, &PatchParams::default(), &patch).await.expect("the Node is changed");
    }

    /// The events on a Service so far: `(type, reason, message, count)`.
    pub async fn events(&self, name: &str) -> Vec<(String, String, String, i32)> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let about = ListParams::default().fields(&format!("involvedObject.name={name}"));
        let list = events.list(&about).await.expect("the events are listed");
        list.items.iter().map(telling).collect()
    }

    /// Waits for an event on a Service whose reason is `reason`, and returns its message.
    pub async fn until_event(&self, name: &str, reason: &str) -> String {
        self.until_event_in(&self.namespace, name, reason).await
    }

    /// The same of an object of another namespace, or of none, whose events are in `default`.
    pub async fn until_event_in(&self, namespace: &str, name: &str, reason: &str) -> String {
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let stream =
            watcher(events, watcher::Config::default().fields(&format!("involvedObject.name={name}")))
                .default_backoff()
                .applied_objects();
        let mut stream = std::pin::pin!(stream);
        let found = timeout(DEADLINE, async {
            while let Ok(Some(event)) = stream.try_next().await {
                let (_, found, message, _) = telling(&event);
                if found == reason {
                    return message;
                }
            }
            panic!("the watch of events ended");
        });
        match found.await {
            Ok(message) => message,
            Err(_) => panic!("no event {reason} on {name}; there are {:?}", self.events(name).await),
        }
    }

    /// Starts a controller with this provider, quick to retry.
    pub fn run(&self, provider: Arc<dyn CloudLoadBalancer>) -> Running {
        self.run_with(vec![provider], quick())
    }

    /// Starts a controller, with the rights that it is installed with.
    pub fn run_with(&self, providers: Vec<Arc<dyn CloudLoadBalancer>>, config: Config) -> Running {
        Running {
            requests: Some(self.requests()),
            ..Running::start(self.controller_client(), providers, config)
        }
    }

    /// A client with the rights that the controller is installed with, and no others.
    pub fn controller_client(&self) -> kube::Client {
        self.client_with(Rights::of_the_bare_overlay())
    }

    /// A client with these rights.
    pub fn client_with(&self, rights: Rights) -> kube::Client {
        self.plane.client_as(&self.plane.token_with(&rights))
    }

    /// The same as a kubeconfig.
    pub fn kubeconfig_with(&self, rights: Rights) -> String {
        self.plane.kubeconfig_yaml_as(&self.plane.token_with(&rights))
    }

    /// What controllers with installed rights have asked of the API server so far.
    pub fn asked_by_the_controller(&self) -> Vec<Request> {
        by_the_controller(self.requests().snapshot())
    }
}

fn by_the_controller(mut requests: Vec<Request>) -> Vec<Request> {
    requests.retain(|request| ControlPlane::is_installed(&request.user));
    requests
}

fn telling(event: &Event) -> (String, String, String, i32) {
    (
        event.type_.clone().unwrap_or_default(),
        event.reason.clone().unwrap_or_default(),
        event.message.clone().unwrap_or_default(),
        event.count.unwrap_or(1),
    )
}

/// A controller that is quick to retry and to settle; verification is left to tests that ask for it.
pub fn quick() -> Config {
    let mut config = Config::default();
    config.retry.first = Duration::from_millis(20);
    config.retry.longest = Duration::from_millis(200);
    config.quota_backoff = Duration::from_millis(50);
    config.debounce.quiet_period = Duration::from_millis(30);
    config.debounce.max_delay = Duration::from_millis(300);
    config.provider_timeout = Duration::from_secs(5);
    config.shutdown_grace = Duration::from_secs(5);
    config
}

/// A controller at work.
pub struct Running {
    stop: CancellationToken,
    /// Ends with this, also where a test fails: the next one may be on the same control plane.
    task: AbortOnDropHandle<Result<(), service_controller::Error>>,
    /// What was asked of the API server, by it and by others.
    requests: Option<Requests>,
    metrics: Arc<Metrics>,
    health: Health,
}

impl Running {
    /// Starts one.
    pub fn start(client: kube::Client, providers: Vec<Arc<dyn CloudLoadBalancer>>, config: Config) -> Self {
        let stop = CancellationToken::new();
        let metrics = Arc::new(Metrics::default());
        let health = Health::default();
        let mut controller =
            ServiceController::new(client).config(config).metrics(metrics.clone()).health(health.clone());
        for provider in providers {
            controller = controller.provider(provider);
        }
        let task = AbortOnDropHandle::new(tokio::spawn(controller.run(stop.clone())));
        Running { stop, task, requests: None, metrics, health }
    }

    /// Waits until its lists are in and every provider is at work.
    pub async fn until_at_work(&self) {
        eventually("the controller is at work", || self.health.ready().is_ok()).await;
    }

    /// The value of a metric, by its name with its labels as they are shown; none if it has no such sample.
    pub fn metric(&self, sample: &str) -> Option<f64> {
        let shown = self.metrics.encode();
        let value = shown.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '))?;
        Some(value.parse().expect("a number"))
    }

    /// Stops it as SIGTERM would.
    ///
    /// # Panics
    /// When it does not end well, or has asked for something that the roles it is installed with do not allow.
    pub async fn stop(self) {
        self.stop.cancel();
        timeout(DEADLINE, self.task)
            .await
            .expect("it stops in time")
            .expect("it does not panic")
            .expect("it ends well");
        let requests = self.requests.map(|requests| requests.snapshot()).unwrap_or_default();
        let asked = by_the_controller(requests);
        let refused = rights::refused(&asked);
        assert!(refused.is_empty(), "the roles in deploy/ do not allow {refused:#?}");
    }

    /// Stops it as a power cut would: wherever it is.
    pub async fn crash(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// Waits until the named object is as described; none stands for "it does not exist".
///
/// # Panics
/// When it has not come true by the [`DEADLINE`]; the message shows the object as last seen.
pub async fn until<K>(api: Api<K>, name: &str, what: &str, is_so: impl Fn(Option<&K>) -> bool) -> Option<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    let mut seen: Option<K> = None;
    let watching = async {
        let mut stream = std::pin::pin!(watcher::watch_object(api, name).default_backoff());
        while let Some(object) = stream.next().await {
            if let Ok(object) = object {
                seen = object;
                if is_so(seen.as_ref()) {
                    return;
                }
            }
        }
    };
    let in_time = timeout(DEADLINE, watching).await;
    assert!(in_time.is_ok(), "{name} did not come {what}; last seen: {seen:#?}");
    seen
}

/// Waits until something that is no object of the cluster is so, looking again whenever `changed` resolves.
///
/// # Panics
/// When it has not come true by the [`DEADLINE`].
pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let looking = async {
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        while !is_so() {
            looks.tick().await;
        }
    };
    assert!(timeout(DEADLINE, looking).await.is_ok(), "it did not come true that {what}");
}

/// A Service of type LoadBalancer with one TCP port, and with `changes` merged over that.
///
/// # Panics
/// When what they make is no Service.
pub fn load_balancer(name: &str, changes: Value) -> Service {
    let mut object = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": name },
        "spec": { "type": "LoadBalancer", "selector": { "app": name }, "ports": [{ "port": 80 }] },
    });
    merge(&mut object, changes);
    serde_json::from_value(object).expect("a Service")
}

/// What a Service's status shows: IPs and host names, in order.
pub fn addresses(service: &Service) -> Vec<String> {
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = status.and_then(|lb| lb.ingress.as_ref()).into_iter().flatten();
    ingress.filter_map(|entry| entry.ip.clone().or_else(|| entry.hostname.clone())).collect()
}

/// The condition of a provider on a Service: `(status, reason, message)`.
pub fn condition(service: &Service, provider: &str) -> Option<(String, String, String)> {
    let type_ = service_controller::status::condition_type(provider);
    let conditions = service.status.as_ref().and_then(|status| status.conditions.as_ref())?;
    let found = conditions.iter().find(|condition| condition.type_ == type_)?;
    Some((found.status.clone(), found.reason.clone(), found.message.clone()))
}

/// Whether our finalizer is on the Service.
pub fn has_finalizer(service: &Service) -> bool {
    service.finalizers().iter().any(|f| f == service_controller::status::FINALIZER)
}

/// The annotations of a Service.
pub fn annotations(service: &Service) -> &BTreeMap<String, String> {
    service.annotations()
}

/// Merges as JSON merge patch does.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                match value {
                    Value::Null => {
                        into.remove(&key);
                    }
                    value => merge(into.entry(key).or_insert(Value::Null), value),
                }
            }
        }
        (into, from) => *into = from,
    }
}
