//! Which nodes may take traffic: gathered once for all Services, and passed on when it has settled to those to whom it
//! matters.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use apiserver_client::Lean;
use cloud_provider::kubernetes::node_view;
use cloud_provider::{BackendInterest, NodeSet, NodeView};
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::runtime::watcher::Event;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long node changes are gathered before Services are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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

/// A settled set of eligible nodes, and what of it matters to whom.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nodes {
    /// The eligible nodes.
    pub set: NodeSet,
    /// By the labels that matter. Few Services ask for any, and those that do for the same: each is hashed once a set.
    fingerprints: Arc<Mutex<HashMap<BTreeSet<String>, u64>>>,
}

impl Nodes {
    /// A set of which nobody asked anything yet.
    pub(crate) fn of(set: NodeSet) -> Self {
        Nodes { set, fingerprints: Arc::default() }
    }

    /// What matters of the nodes to a provider with this interest, hashed; 0 where they do not matter at all. Two sets
    /// with the same fingerprint are the same to it.
    pub(crate) fn fingerprint(&self, interest: &BackendInterest) -> u64 {
        let Some(labels) = &interest.nodes else { return 0 };
        let mut known = self.fingerprints.lock();
        if let Some(fingerprint) = known.get(labels) {
            return *fingerprint;
        }
        let mut hasher = DefaultHasher::new();
        for node in &self.set {
            (&node.name, &node.provider_id, &node.zone, &node.addresses).hash(&mut hasher);
            for label in node.labels.iter().filter(|(key, _)| labels.contains(key)) {
                label.hash(&mut hasher);
            }
        }
        *known.entry(labels.clone()).or_insert_with(|| hasher.finish())
    }
}

/// Follows the nodes and publishes each settled set, until the stream ends.
///
/// The first complete list counts as settled at once: at start there is nothing to gather. A set in which nothing
/// changed (readiness came and went, a cordon) is not published. One in which only labels changed is: which of them
/// matter is each Service's to say, and a Service may begin to ask for a label long after a node got it.
pub(crate) async fn follow(
    events: impl Stream<Item = Event<Lean<Node>>>,
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
                publish(&known, &settled);
                continue;
            }
        };
        match event {
            Event::Init => listing = Some(HashMap::new()),
            Event::InitApply(Lean(node)) => {
                listing.get_or_insert_default().insert(node.name_any(), node_view(&node));
            }
            Event::InitDone => {
                known = listing.take().unwrap_or_default();
                if settled.borrow().is_none() {
                    publish(&known, &settled);
                    continue;
                }
            }
            Event::Apply(Lean(node)) => {
                let view = node_view(&node);
                // Of thousands of nodes one or another says at any time that it lives: that is no change which others wait
                // for to settle.
                if known.get(&view.name) == Some(&view) {
                    continue;
                }
                known.insert(view.name.clone(), view);
            }
            Event::Delete(Lean(node)) => {
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

fn publish(known: &HashMap<String, NodeView>, settled: &watch::Sender<Option<Nodes>>) {
    let set = NodeSet::of(known.values().cloned());
    settled.send_if_modified(|current| {
        let same = current.as_ref().is_some_and(|current| current.set == set);
        if !same {
            *current = Some(Nodes::of(set));
        }
        !same
    });
}

#[cfg(test)]
mod tests {
    use cloud_provider::testing::{a_node, node_object};
    use futures::channel::mpsc;
    use serde_json::json;

    use super::*;

    fn node(name: &str, changes: serde_json::Value) -> Lean<Node> {
        Lean(node_object(name, changes))
    }

    struct Follow {
        events: mpsc::UnboundedSender<Event<Lean<Node>>>,
        settled: watch::Receiver<Option<Nodes>>,
    }

    impl Follow {
        fn start() -> Self {
            let (events, stream) = mpsc::unbounded();
            let (sender, settled) = watch::channel(None);
            let debounce =
                DebounceConfig { quiet_period: Duration::from_secs(1), max_delay: Duration::from_secs(10) };
            tokio::spawn(follow(stream, debounce, sender));
            Follow { events, settled }
        }

        fn send(&self, event: Event<Lean<Node>>) {
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
        let mut follow = Follow::start().listed(&["n1"]).await;
        let began = Instant::now();
        for name in ["n2", "n3", "n4"] {
            follow.send(Event::Apply(node(name, json!({}))));
        }
        assert_eq!(follow.next().await, 4);
        assert_eq!(began.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn endless_change_is_told_at_the_latest_bound() {
        let mut follow = Follow::start().listed(&["n0"]).await;
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
    async fn that_others_live_does_not_hold_up_a_change() {
        let mut follow = Follow::start().listed(&["n0"]).await;
        let began = Instant::now();
        follow.send(Event::Apply(node("n1", json!({}))));
        let events = follow.events.clone();
        let heartbeats = tokio::spawn(async move {
            for second in 0.. {
                tokio::time::sleep(Duration::from_millis(500)).await;
                let beat = json!({ "status": { "conditions": [{ "type": "Ready", "status": "True", "reason": format!("{second}") }] } });
                if events.unbounded_send(Event::Apply(node("n0", beat))).is_err() {
                    break;
                }
            }
        });
        assert_eq!(follow.next().await, 2);
        assert_eq!(began.elapsed(), Duration::from_secs(1));
        heartbeats.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn what_changes_nothing_of_the_set_is_not_told() {
        let mut follow = Follow::start().listed(&["n1"]).await;
        follow.send(Event::Apply(node("n1", json!({ "spec": { "unschedulable": true } }))));
        let not_ready = json!({ "status": { "conditions": [{ "type": "Ready", "status": "False" }] } });
        follow.send(Event::Apply(node("n1", not_ready)));
        let silent = tokio::time::timeout(Duration::from_secs(60), follow.next()).await;
        assert!(silent.is_err(), "a cordon and readiness were told");
        follow.send(Event::Apply(node("n1", json!({ "spec": { "providerID": "a://1" } }))));
        assert_eq!(follow.next().await, 1);
    }

    #[test]
    fn only_labels_that_matter_are_in_a_fingerprint() {
        let of = |label: Option<&str>| {
            let node = label.iter().fold(a_node("n1"), |node, value| node.label("gpu", value));
            Nodes::of(NodeSet::of([node.build()]))
        };
        let interests = [
            (BackendInterest::none(), true),
            (BackendInterest::endpoints(), true),
            (BackendInterest::nodes(), true),
            (BackendInterest::none().and_node_labels(["zone"]), true),
            (BackendInterest::none().and_node_labels(["gpu"]), false),
            (BackendInterest::none().and_node_labels(["gpu", "zone"]), false),
        ];
        for (interest, same) in interests {
            for (before, after) in [(None, Some("yes")), (Some("yes"), Some("no")), (Some("yes"), None)] {
                let (before, after) = (of(before).fingerprint(&interest), of(after).fingerprint(&interest));
                assert_eq!(before == after, same, "{interest:?}");
            }
        }
        let (one, none) = (of(None), Nodes::default());
        assert_ne!(one.fingerprint(&BackendInterest::nodes()), none.fingerprint(&BackendInterest::nodes()));
        assert_eq!(one.fingerprint(&BackendInterest::none()), none.fingerprint(&BackendInterest::none()));
    }

    #[tokio::test(start_paused = true)]
    async fn nodes_missing_from_a_new_list_are_gone() {
        let mut follow = Follow::start().listed(&["n1", "n2"]).await;
        follow.send(Event::Init);
        follow.send(Event::InitApply(node("n2", json!({}))));
        follow.send(Event::InitDone);
        assert_eq!(follow.next().await, 1);
    }
}
