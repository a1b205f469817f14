//! Which nodes may take traffic, computed once for all Services and only when it has settled.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use cloud_provider::kubernetes::node_view;
use cloud_provider::{CloudLoadBalancer, NodeSet, NodeView};
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::runtime::watcher::Event;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long node changes are gathered before Services are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DebounceConfig {
    /// A set counts as settled after this long without a change. Default 1 s.
    pub quiet_period: Duration,
    /// And at the latest this long after the first change. Default 10 s.
    pub max_delay: Duration,
}

impl Default for DebounceConfig {
    fn default() -> Self {
        DebounceConfig { quiet_period: Duration::from_secs(1), max_delay: Duration::from_secs(10) }
    }
}

/// A settled set of eligible nodes, with one fingerprint for each provider.
#[derive(Clone, Debug, Default)]
pub struct Nodes {
    /// The eligible nodes.
    pub set: NodeSet,
    /// What each provider reads of them, hashed; 0 where it reads none.
    pub fingerprints: Vec<u64>,
}

impl Nodes {
    /// The set as these providers see it.
    pub fn of(set: NodeSet, providers: &[Arc<dyn CloudLoadBalancer>]) -> Self {
        let fingerprints = providers.iter().map(|p| fingerprint(&set, p.as_ref())).collect();
        Nodes { set, fingerprints }
    }
}

fn fingerprint(set: &NodeSet, provider: &dyn CloudLoadBalancer) -> u64 {
    if !provider.uses_nodes() {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    for node in set {
        (&node.name, &node.provider_id, &node.zone, &node.addresses).hash(&mut hasher);
        for label in node.labels.iter().filter(|(key, _)| provider.reads_node_label(key)) {
            label.hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// Follows the nodes and publishes each settled set, until the stream ends.
///
/// The first complete list counts as settled at once: at start there is nothing to gather. A set that reads the
/// same to every provider (readiness came and went, a label nobody reads changed) is not published.
pub async fn follow(
    events: impl Stream<Item = Event<Node>>,
    providers: Vec<Arc<dyn CloudLoadBalancer>>,
    debounce: DebounceConfig,
    settled: watch::Sender<Option<Nodes>>,
) {
    let mut events = std::pin::pin!(events);
    let mut known: HashMap<String, NodeView> = HashMap::new();
    let mut listing: Option<HashMap<String, NodeView>> = None;
    let mut due: Option<(Instant, Instant)> = None;
    loop {
        let event = tokio::select! {
            event = events.next() => match event {
                Some(event) => event,
                None => return,
            },
            () = sleep_until(due.map(|(quiet, latest)| quiet.min(latest))), if due.is_some() => {
                due = None;
                publish(&known, &providers, &settled);
                continue;
            }
        };
        match event {
            Event::Init => listing = Some(HashMap::new()),
            Event::InitApply(node) => {
                listing.get_or_insert_default().insert(node.name_any(), node_view(&node));
            }
            Event::InitDone => {
                known = listing.take().unwrap_or_default();
                if settled.borrow().is_none() {
                    publish(&known, &providers, &settled);
                    continue;
                }
            }
            Event::Apply(node) => {
                known.insert(node.name_any(), node_view(&node));
            }
            Event::Delete(node) => {
                known.remove(&node.name_any());
            }
        }
        if listing.is_none() && settled.borrow().is_some() {
            let now = Instant::now();
            let latest = due.map_or(now + debounce.max_delay, |(_, latest)| latest);
            due = Some((now + debounce.quiet_period, latest));
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn publish(
    known: &HashMap<String, NodeView>,
    providers: &[Arc<dyn CloudLoadBalancer>],
    settled: &watch::Sender<Option<Nodes>>,
) {
    let nodes = Nodes::of(NodeSet::of(known.values().cloned()), providers);
    settled.send_if_modified(|current| {
        let same = current.as_ref().is_some_and(|c| c.fingerprints == nodes.fingerprints);
        if !same {
            *current = Some(nodes);
        }
        !same
    });
}

#[cfg(test)]
mod tests {
    use cloud_provider::testing::{MemoryCloud, Settings};
    use futures::channel::mpsc;
    use serde_json::{Value, json};

    use super::*;

    fn node(name: &str, changes: Value) -> Node {
        let mut object =
            json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name }, "spec": {} });
        for part in ["metadata", "spec", "status"] {
            if let Value::Object(change) = changes[part].clone() {
                object[part].as_object_mut().map(|o| o.extend(change.clone())).or_else(|| {
                    object[part] = change.into();
                    Some(())
                });
            }
        }
        serde_json::from_value(object).unwrap()
    }

    struct Follow {
        events: mpsc::UnboundedSender<Event<Node>>,
        settled: watch::Receiver<Option<Nodes>>,
    }

    impl Follow {
        fn start(settings: Settings) -> Self {
            let (events, stream) = mpsc::unbounded();
            let (sender, settled) = watch::channel(None);
            let provider: Arc<dyn CloudLoadBalancer> = MemoryCloud::with(settings).provider();
            let debounce =
                DebounceConfig { quiet_period: Duration::from_secs(1), max_delay: Duration::from_secs(10) };
            tokio::spawn(follow(stream, vec![provider], debounce, sender));
            Follow { events, settled }
        }

        fn send(&self, event: Event<Node>) {
            self.events.unbounded_send(event).unwrap();
        }

        async fn next(&mut self) -> usize {
            self.settled.changed().await.unwrap();
            self.settled.borrow_and_update().as_ref().map_or(0, |nodes| nodes.set.len())
        }

        async fn listed(mut self, names: &[&str]) -> Self {
            self.send(Event::Init);
            for name in names {
                self.send(Event::InitApply(node(name, json!({}))));
            }
            self.send(Event::InitDone);
            assert_eq!(self.next().await, names.len());
            self
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_list_counts_at_once_and_a_burst_is_told_once_it_is_quiet() {
        let mut follow = Follow::start(Settings::default()).listed(&["n1"]).await;
        let began = Instant::now();
        for name in ["n2", "n3", "n4"] {
            follow.send(Event::Apply(node(name, json!({}))));
        }
        assert_eq!(follow.next().await, 4);
        assert_eq!(began.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn endless_change_is_told_at_the_latest_bound() {
        let mut follow = Follow::start(Settings::default()).listed(&["n0"]).await;
        let began = Instant::now();
        let events = follow.events.clone();
        let churn = tokio::spawn(async move {
            for i in 1.. {
                tokio::time::sleep(Duration::from_millis(500)).await;
                if events.unbounded_send(Event::Apply(node(&format!("n{i}"), json!({})))).is_err() {
                    break;
                }
            }
        });
        assert!(follow.next().await > 10);
        assert_eq!(began.elapsed(), Duration::from_millis(10_500), "10 s after the first change");
        churn.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_provider_reads_is_not_told() {
        let mut follow = Follow::start(Settings::default()).listed(&["n1"]).await;
        follow.send(Event::Apply(node("n1", json!({ "metadata": { "labels": { "a": "b" } } }))));
        follow.send(Event::Apply(node("n1", json!({ "spec": { "unschedulable": true } }))));
        let silent = tokio::time::timeout(Duration::from_secs(60), follow.next()).await;
        assert!(silent.is_err(), "a label and a cordon were told");
        follow.send(Event::Apply(node("n1", json!({ "spec": { "providerID": "a://1" } }))));
        assert_eq!(follow.next().await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn nodes_missing_from_a_new_list_are_gone() {
        let mut follow = Follow::start(Settings::default()).listed(&["n1", "n2"]).await;
        follow.send(Event::Init);
        follow.send(Event::InitApply(node("n2", json!({}))));
        follow.send(Event::InitDone);
        assert_eq!(follow.next().await, 1);
    }
}
