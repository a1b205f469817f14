//! Clauses about what a provider says of itself: the controller goes by it, so it has to be true.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::pin;
use std::time::{Duration, Instant};

use super::Harness;
use super::stage::Stage;
use crate::backends::Backends;
use crate::node::NodeSet;
use crate::source_range::SOURCE_RANGES_ANNOTATION;

/// How long an outside call takes while the suite looks whether somebody waits for it on the thread.
const OUTSIDE_CALL: Duration = Duration::from_millis(100);

/// How often in a row a call must hold the thread up to count: a machine with much to do does so as well, now and then.
const BLOCKED_POLLS: usize = 3;

/// Nodes or endpoints of which [`backends`](crate::CloudLoadBalancer::backends) says that they do not matter change
/// nothing, and nothing leads to them: the controller tells nobody when they change.
pub async fn backends_that_do_not_matter_change_nothing(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "backends_that_do_not_matter_change_nothing").await;
    let web = stage.add("web");
    stage.ready(web).await;
    let interest = stage.interest(web);
    if interest.nodes.is_none() {
        for count in [3, 1, 0] {
            stage.nodes = harness.nodes(count);
            stage.nothing_to_do(web, &format!("on {count} nodes, since nodes are said not to matter")).await;
        }
        let nodes = harness.serving(&stage.id(web)).await.and_then(|it| it.nodes).unwrap_or_default();
        stage.expect(
            nodes.is_empty(),
            "no node behind the Service, since nodes are said not to matter",
            format!("{nodes:?}"),
        );
    }
    if !interest.endpoints {
        for count in [0, 3] {
            let endpoints = harness.endpoints(stage.view(web), count);
            let backends = Backends::of_nodes(stage.nodes.clone()).with_endpoints(endpoints);
            let when = format!("with {count} endpoints, since endpoints are said not to matter");
            stage.nothing_to_do_for(web, backends, &when).await;
        }
        let endpoints = harness.serving(&stage.id(web)).await.and_then(|it| it.endpoints).unwrap_or_default();
        stage.expect(
            endpoints.is_empty(),
            "no endpoint behind the Service, since endpoints are said not to matter",
            format!("{endpoints:?}"),
        );
    }
    stage.close().await;
}

/// Where nodes matter, a label of theirs that is not among those that [`backends`](crate::CloudLoadBalancer::backends)
/// names may come and go: the controller tells nobody.
pub async fn node_labels_that_do_not_matter_change_nothing(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "node_labels_that_do_not_matter_change_nothing").await;
    let web = stage.add("web");
    stage.ready(web).await;
    if let Some(keys) = stage.interest(web).nodes {
        for (comes, what) in [(true, "nodes that gained a label"), (false, "nodes that lost labels")] {
            let nodes = harness.nodes(2).iter().cloned().collect::<Vec<_>>().into_iter().map(|mut node| {
                if comes {
                    let label = ("conformance.example/label".to_owned(), "anything".to_owned());
                    node.labels.push(label);
                    node.labels.sort();
                } else {
                    node.labels.retain(|(key, _)| keys.contains(key));
                }
                node
            });
            stage.nodes = NodeSet::of(nodes);
            stage.nothing_to_do(web, &format!("on {what} of which it says that they do not matter")).await;
        }
    }
    stage.close().await;
}

/// An annotation or a label of the Service that is said not to be read changes nothing, whether a user takes it off or
/// [edits](Harness::edited) it: the controller makes no call for it. The annotation with the source ranges is everybody's.
pub async fn what_is_not_read_changes_nothing(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "what_is_not_read_changes_nothing").await;
    let web = stage.add("web");
    stage.ready(web).await;
    let (before, edited) = (stage.view(web).clone(), harness.edited(stage.view(web)));
    let published: BTreeSet<String> =
        stage.provider.published_annotations().into_iter().map(str::to_owned).collect();
    for (after, what) in [(None, "without"), (Some(&edited), "with an edit of")] {
        let mut view = before.clone();
        let keys = |of: &crate::ServiceView| of.annotations.keys().cloned().collect::<BTreeSet<_>>();
        for key in &keys(&before) | &keys(&edited) {
            let read = key == SOURCE_RANGES_ANNOTATION || stage.provider.reads_annotation(&key);
            if !read && !published.contains(&key) {
                put(&mut view.annotations, &key, after.and_then(|it| it.annotations.get(&key)));
            }
        }
        let keys = |of: &crate::ServiceView| of.labels.keys().cloned().collect::<BTreeSet<_>>();
        for key in &keys(&before) | &keys(&edited) {
            if !stage.provider.reads_label(&key) {
                put(&mut view.labels, &key, after.and_then(|it| it.labels.get(&key)));
            }
        }
        *stage.view_mut(web) = view;
        stage.nothing_to_do(web, &format!("{what} what it says it does not read")).await;
    }
    *stage.view_mut(web) = before;
    stage.close().await;
}

fn put(map: &mut crate::SortedMap<String>, key: &str, value: Option<&String>) {
    match value {
        Some(value) => drop(map.insert(key.to_owned(), value.clone())),
        None => drop(map.remove(key)),
    }
}

/// A provider that says it [holds](crate::CloudLoadBalancer::holds_resources) nothing leaves nothing: a Service that
/// goes while no process runs is told to nobody, since no finalizer kept it, and the next process knows of no trace.
pub async fn nothing_is_held_that_was_not_said(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "nothing_is_held_that_was_not_said").await;
    let (gone, here) = (stage.add("gone"), stage.add("here"));
    stage.ready(gone).await;
    stage.ready(here).await;
    if !stage.provider.holds_resources() {
        stage.vanish(gone);
        stage.restart().await;
        stage.exactly(&[here], "that are still there").await;
        stage.delete(here).await;
        stage.nothing_exists("of a Service that went while no process ran").await;
    }
    stage.close().await;
}

/// No call blocks the thread that it is polled on, however long the outside takes to answer: all Services share the
/// runtime, and a deadline or a lost Lease must be able to end a call.
pub async fn calls_do_not_block_the_thread(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "calls_do_not_block_the_thread").await;
    let web = stage.add("web");
    stage.ready(web).await;
    let (provider, id, view) = (stage.provider.clone(), stage.id(web), stage.view(web).clone());
    let request = stage.request(web);
    for method in ["ensure", "get", "update_backends", "plan", "list", "resume", "delete", "stand_by"] {
        let mut held_up = 0;
        for _ in 0..BLOCKED_POLLS {
            harness.slow(OUTSIDE_CALL);
            let longest = match method {
                "ensure" => longest_poll(provider.ensure(&request)).await,
                "get" => longest_poll(provider.get(&view)).await,
                "update_backends" => longest_poll(provider.update_backends(&request)).await,
                "plan" => longest_poll(provider.plan(&request)).await,
                "list" => longest_poll(provider.list()).await,
                "resume" => longest_poll(stage.try_resume()).await,
                "delete" => longest_poll(provider.delete(&id)).await,
                // Each time another process that has not resumed.
                _ => {
                    let standby = harness.start().await;
                    longest_poll(async { standby.stand_by() }).await
                }
            };
            harness.heal();
            if longest < OUTSIDE_CALL {
                break;
            }
            held_up += 1;
        }
        stage.expect(
            held_up < BLOCKED_POLLS,
            &format!("{method} to leave the thread to others while it waits"),
            format!("it held the thread for more than {} ms, again and again", OUTSIDE_CALL.as_millis()),
        );
    }
    // The last one that was started is the one that lives.
    stage.restart().await;
    stage.close().await;
}

/// How long the longest poll of this took, by the wall clock: what waits gives the thread back.
async fn longest_poll<T>(work: impl Future<Output = T>) -> Duration {
    let (mut work, mut longest) = (pin!(work), Duration::ZERO);
    poll_fn(|context| {
        let began = Instant::now();
        let poll = work.as_mut().poll(context);
        longest = longest.max(began.elapsed());
        poll.map(drop)
    })
    .await;
    longest
}
