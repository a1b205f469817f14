//! One step for every situation.

use std::time::Duration;

use super::*;

const OURS: ProviderIndex = 0;
const OTHER: ProviderIndex = 1;

fn claimed() -> Observation {
    Observation { claimed_by: Some(OURS), inputs: 1, nodes: 1, ..Observation::default() }
}

fn success() -> Success {
    Success { inputs: 1, nodes: 1, resync_at: None }
}

fn served() -> Last {
    Last { provider: Some(OURS), success: Some(success()), ..Last::default() }
}

fn attempted(again: Option<Instant>) -> Option<Attempt> {
    Some(Attempt { inputs: 1, nodes: 1, again, refused: false })
}

/// A change that the user must mend.
fn refused() -> Option<Attempt> {
    Some(Attempt { inputs: 2, nodes: 1, again: None, refused: true })
}

fn followed(again_at: Instant) -> Option<FollowedNodes> {
    Some(FollowedNodes { nodes: 1, again_at })
}

fn node_attempt(again: Option<Instant>) -> Option<NodeAttempt> {
    Some(NodeAttempt { nodes: 2, again })
}

#[tokio::test(start_paused = true)]
async fn one_step_for_every_situation() {
    let now = Instant::now();
    let (past, soon) = (now, now + Duration::from_secs(60));
    let table: Vec<(&str, Observation, Last, NextStep)> = vec![
        ("nobody's Service is left alone", Observation::default(), Last::default(), NextStep::Rest(None)),
        ("a new Service is ensured", claimed(), Last::default(), NextStep::Ensure(Why::First)),
        ("a served Service rests", claimed(), served(), NextStep::Rest(None)),
        (
            "changed inputs are ensured",
            Observation { inputs: 2, ..claimed() },
            served(),
            NextStep::Ensure(Why::Changed),
        ),
        (
            "changed nodes are a narrow update",
            Observation { nodes: 2, ..claimed() },
            served(),
            NextStep::UpdateBackends,
        ),
        (
            "changed inputs and nodes are one ensure",
            Observation { inputs: 2, nodes: 2, ..claimed() },
            served(),
            NextStep::Ensure(Why::Changed),
        ),
        ("a wake-up is ensured", claimed(), Last { woken: true, ..served() }, NextStep::Ensure(Why::Woken)),
        (
            "drift is looked for when it is time",
            claimed(),
            Last { success: Some(Success { resync_at: Some(past), ..success() }), ..served() },
            NextStep::Ensure(Why::Resync),
        ),
        (
            "and not before",
            claimed(),
            Last { success: Some(Success { resync_at: Some(soon), ..success() }), ..served() },
            NextStep::Rest(Some(soon)),
        ),
        (
            "a failed ensure waits for its time, whatever event comes",
            claimed(),
            Last { attempt: attempted(Some(soon)), ..Last::default() },
            NextStep::Rest(Some(soon)),
        ),
        (
            "and is tried again then",
            claimed(),
            Last { attempt: attempted(Some(past)), ..Last::default() },
            NextStep::Ensure(Why::Retry),
        ),
        (
            "or at once when the Service changes",
            Observation { inputs: 2, ..claimed() },
            Last { attempt: attempted(Some(soon)), ..Last::default() },
            NextStep::Ensure(Why::Changed),
        ),
        (
            "a change that failed and is taken back is ensured as it was",
            claimed(),
            Last { attempt: refused(), ..served() },
            NextStep::Ensure(Why::Changed),
        ),
        (
            "what the user must mend waits for a change",
            claimed(),
            Last { attempt: attempted(None), ..Last::default() },
            NextStep::Rest(None),
        ),
        (
            "or for a wake-up",
            claimed(),
            Last { attempt: attempted(None), woken: true, ..Last::default() },
            NextStep::Ensure(Why::Woken),
        ),
        (
            "a failed node update is retried as the same narrow call",
            Observation { nodes: 2, ..claimed() },
            Last { node_attempt: node_attempt(Some(past)), ..served() },
            NextStep::UpdateBackends,
        ),
        (
            "and waits for its time",
            Observation { nodes: 2, ..claimed() },
            Last { node_attempt: node_attempt(Some(soon)), ..served() },
            NextStep::Rest(Some(soon)),
        ),
        (
            "a Service with a mistake that serves follows the nodes",
            Observation { nodes: 2, inputs: 2, mistaken: true, ..claimed() },
            Last { attempt: refused(), ..served() },
            NextStep::UpdateBackends,
        ),
        (
            "a mistake is told",
            Observation { inputs: 2, mistaken: true, ..claimed() },
            served(),
            NextStep::Refuse,
        ),
        (
            "after a restart a mistake is told first",
            Observation { mistaken: true, serves: true, ..claimed() },
            Last::default(),
            NextStep::Refuse,
        ),
        (
            "and then what serves follows the nodes, as they were nobody knows",
            Observation { mistaken: true, serves: true, ..claimed() },
            Last { attempt: attempted(None), ..Last::default() },
            NextStep::UpdateBackends,
        ),
        (
            "once",
            Observation { mistaken: true, serves: true, ..claimed() },
            Last { attempt: attempted(None), followed: followed(soon), ..Last::default() },
            NextStep::Rest(Some(soon)),
        ),
        (
            "and once more when it is time to look for drift",
            Observation { inputs: 2, mistaken: true, serves: true, ..claimed() },
            Last { attempt: refused(), followed: followed(past), ..Last::default() },
            NextStep::UpdateBackends,
        ),
        (
            "which waits if it has failed a moment ago",
            Observation { nodes: 2, mistaken: true, serves: true, ..claimed() },
            Last {
                attempt: attempted(None),
                followed: followed(soon),
                node_attempt: node_attempt(None),
                ..Last::default()
            },
            NextStep::Rest(Some(soon)),
        ),
        (
            "and again when they change",
            Observation { nodes: 2, serves: true, ..claimed() },
            Last { attempt: attempted(None), followed: followed(soon), ..Last::default() },
            NextStep::UpdateBackends,
        ),
        (
            "what was never served has no nodes to follow",
            Observation { nodes: 2, ..claimed() },
            Last { attempt: attempted(None), ..Last::default() },
            NextStep::Rest(None),
        ),
        (
            "a provider that throttles is not called",
            Observation { throttled_until: Some(soon), ..claimed() },
            Last::default(),
            NextStep::Rest(Some(soon)),
        ),
        (
            "what is no longer claimed is cleaned up",
            Observation { holders: vec![OURS], ..Observation::default() },
            served(),
            NextStep::Release(vec![OURS]),
        ),
        (
            "a change of hands cleans up first",
            Observation { holders: vec![OURS, OTHER], ..claimed() },
            served(),
            NextStep::Release(vec![OTHER]),
        ),
        (
            "an unfinished release waits for its time",
            Observation { holders: vec![OURS], release_at: Some(soon), ..Observation::default() },
            served(),
            NextStep::Rest(Some(soon)),
        ),
        (
            "and goes on then",
            Observation { holders: vec![OURS], release_at: Some(past), ..Observation::default() },
            served(),
            NextStep::Release(vec![OURS]),
        ),
        (
            "what a list lacks is asked for by name before anything is deleted",
            Observation { presence: Presence::Missing, holders: vec![OURS], ..Observation::default() },
            served(),
            NextStep::Confirm,
        ),
        (
            "when it is time",
            Observation {
                presence: Presence::Missing,
                holders: vec![OURS],
                release_at: Some(soon),
                ..Observation::default()
            },
            served(),
            NextStep::Rest(Some(soon)),
        ),
        (
            "what is not there any more is released",
            Observation { presence: Presence::Deleted, holders: vec![OURS, OTHER], ..Observation::default() },
            Last::default(),
            NextStep::Release(vec![OURS, OTHER]),
        ),
        (
            "and when nobody holds anything there is nothing to do",
            Observation { presence: Presence::Deleted, ..Observation::default() },
            Last::default(),
            NextStep::Rest(None),
        ),
        (
            "a refused change stays refused while its node update is retried",
            Observation { nodes: 2, inputs: 2, ..claimed() },
            Last { attempt: refused(), node_attempt: node_attempt(Some(past)), ..served() },
            NextStep::UpdateBackends,
        ),
        (
            "and is not tried again when that has worked",
            Observation { nodes: 2, inputs: 2, ..claimed() },
            Last { success: Some(Success { nodes: 2, ..success() }), attempt: refused(), ..served() },
            NextStep::Rest(None),
        ),
        (
            "what serves while a change is refused is put right when it is time",
            Observation { inputs: 2, ..claimed() },
            Last {
                success: Some(Success { resync_at: Some(past), ..success() }),
                attempt: refused(),
                ..served()
            },
            NextStep::KeepRight,
        ),
        (
            "also where a mistake refuses it, with the nodes of now",
            Observation { inputs: 2, nodes: 2, mistaken: true, ..claimed() },
            Last {
                success: Some(Success { resync_at: Some(past), ..success() }),
                attempt: refused(),
                ..served()
            },
            NextStep::KeepRight,
        ),
        (
            "and not before",
            Observation { inputs: 2, ..claimed() },
            Last {
                success: Some(Success { resync_at: Some(soon), ..success() }),
                attempt: refused(),
                ..served()
            },
            NextStep::Rest(Some(soon)),
        ),
        (
            "nor while the provider throttles",
            Observation { inputs: 2, throttled_until: Some(soon), ..claimed() },
            Last {
                success: Some(Success { resync_at: Some(past), ..success() }),
                attempt: refused(),
                ..served()
            },
            NextStep::Rest(Some(soon)),
        ),
        (
            "a wake-up is about what serves where a mistake keeps the provider from being asked",
            Observation { inputs: 2, mistaken: true, ..claimed() },
            Last { attempt: refused(), woken: true, ..served() },
            NextStep::KeepRight,
        ),
        (
            "another mistake is told first",
            Observation { inputs: 3, mistaken: true, ..claimed() },
            Last {
                success: Some(Success { resync_at: Some(past), ..success() }),
                attempt: refused(),
                woken: true,
                ..served()
            },
            NextStep::Refuse,
        ),
        (
            "what waits without a time of its own is looked at when it is time",
            claimed(),
            Last {
                success: Some(Success { resync_at: Some(past), ..success() }),
                attempt: attempted(None),
                ..served()
            },
            NextStep::Ensure(Why::Resync),
        ),
        (
            "also by a process that has had no success: it was carried out but for its mistakes",
            Observation { serves: true, ..claimed() },
            Last { success: None, attempt: attempted(None), followed: followed(past), ..served() },
            NextStep::Ensure(Why::Resync),
        ),
        (
            "nodes that cannot be told do not hold up the look for drift, which brings them",
            Observation { nodes: 2, ..claimed() },
            Last {
                success: Some(Success { resync_at: Some(past), ..success() }),
                node_attempt: node_attempt(None),
                ..served()
            },
            NextStep::Ensure(Why::Resync),
        ),
        (
            "and a throttled provider may still be told to delete",
            Observation { holders: vec![OURS], throttled_until: Some(soon), ..Observation::default() },
            served(),
            NextStep::Release(vec![OURS]),
        ),
    ];
    for (title, seen, last, expected) in table {
        assert_eq!(decide(&seen, &last, now), expected, "{title}");
    }
}
