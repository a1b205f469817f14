//! One step for every situation.

use std::time::Duration;

use super::*;

const OURS: ProviderIndex = 0;
const OTHER: ProviderIndex = 1;

fn claimed() -> Observed {
    Observed { claimed_by: Some(OURS), inputs: 1, nodes: 1, ..Observed::default() }
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

fn followed(again_at: Instant) -> Option<Followed> {
    Some(Followed { nodes: 1, again_at })
}

fn node_attempt(again: Option<Instant>) -> Option<NodeAttempt> {
    Some(NodeAttempt { nodes: 2, again })
}

#[tokio::test(start_paused = true)]
async fn one_step_for_every_situation() {
    let now = Instant::now();
    let (past, soon) = (now, now + Duration::from_secs(60));
    let table: Vec<(&str, Observed, Last, Step)> = vec![
        ("nobody's Service is left alone", Observed::default(), Last::default(), Step::Rest(None)),
        ("a new Service is ensured", claimed(), Last::default(), Step::Ensure(Why::First)),
        ("a served Service rests", claimed(), served(), Step::Rest(None)),
        (
            "changed inputs are ensured",
            Observed { inputs: 2, ..claimed() },
            served(),
            Step::Ensure(Why::Changed),
        ),
        (
            "changed nodes are a narrow update",
            Observed { nodes: 2, ..claimed() },
            served(),
            Step::UpdateBackends,
        ),
        (
            "changed inputs and nodes are one ensure",
            Observed { inputs: 2, nodes: 2, ..claimed() },
            served(),
            Step::Ensure(Why::Changed),
        ),
        ("a wake-up is ensured", claimed(), Last { woken: true, ..served() }, Step::Ensure(Why::Woken)),
        (
            "drift is looked for when it is time",
            claimed(),
            Last { success: Some(Success { resync_at: Some(past), ..success() }), ..served() },
            Step::Ensure(Why::Resync),
        ),
        (
            "and not before",
            claimed(),
            Last { success: Some(Success { resync_at: Some(soon), ..success() }), ..served() },
            Step::Rest(Some(soon)),
        ),
        (
            "a failed ensure waits for its time, whatever event comes",
            claimed(),
            Last { attempt: attempted(Some(soon)), ..Last::default() },
            Step::Rest(Some(soon)),
        ),
        (
            "and is tried again then",
            claimed(),
            Last { attempt: attempted(Some(past)), ..Last::default() },
            Step::Ensure(Why::Retry),
        ),
        (
            "or at once when the Service changes",
            Observed { inputs: 2, ..claimed() },
            Last { attempt: attempted(Some(soon)), ..Last::default() },
            Step::Ensure(Why::Changed),
        ),
        (
            "a change that failed and is taken back is ensured as it was",
            claimed(),
            Last { attempt: refused(), ..served() },
            Step::Ensure(Why::Changed),
        ),
        (
            "what the user must mend waits for a change",
            claimed(),
            Last { attempt: attempted(None), ..Last::default() },
            Step::Rest(None),
        ),
        (
            "or for a wake-up",
            claimed(),
            Last { attempt: attempted(None), woken: true, ..Last::default() },
            Step::Ensure(Why::Woken),
        ),
        (
            "a failed node update is retried as the same narrow call",
            Observed { nodes: 2, ..claimed() },
            Last { node_attempt: node_attempt(Some(past)), ..served() },
            Step::UpdateBackends,
        ),
        (
            "and waits for its time",
            Observed { nodes: 2, ..claimed() },
            Last { node_attempt: node_attempt(Some(soon)), ..served() },
            Step::Rest(Some(soon)),
        ),
        (
            "a Service with a mistake that serves follows the nodes",
            Observed { nodes: 2, inputs: 2, mistaken: true, ..claimed() },
            Last { attempt: refused(), ..served() },
            Step::UpdateBackends,
        ),
        ("a mistake is told", Observed { inputs: 2, mistaken: true, ..claimed() }, served(), Step::Refuse),
        (
            "after a restart a mistake is told first",
            Observed { mistaken: true, serves: true, ..claimed() },
            Last::default(),
            Step::Refuse,
        ),
        (
            "and then what serves follows the nodes, as they were nobody knows",
            Observed { mistaken: true, serves: true, ..claimed() },
            Last { attempt: attempted(None), ..Last::default() },
            Step::UpdateBackends,
        ),
        (
            "once",
            Observed { mistaken: true, serves: true, ..claimed() },
            Last { attempt: attempted(None), followed: followed(soon), ..Last::default() },
            Step::Rest(Some(soon)),
        ),
        (
            "and once more when it is time to look for drift",
            Observed { mistaken: true, serves: true, ..claimed() },
            Last { attempt: attempted(None), followed: followed(past), ..Last::default() },
            Step::UpdateBackends,
        ),
        (
            "which waits if it has failed a moment ago",
            Observed { nodes: 2, mistaken: true, serves: true, ..claimed() },
            Last {
                attempt: attempted(None),
                followed: followed(soon),
                node_attempt: node_attempt(None),
                ..Last::default()
            },
            Step::Rest(Some(soon)),
        ),
        (
            "and again when they change",
            Observed { nodes: 2, serves: true, ..claimed() },
            Last { attempt: attempted(None), followed: followed(soon), ..Last::default() },
            Step::UpdateBackends,
        ),
        (
            "what was never served has no nodes to follow",
            Observed { nodes: 2, ..claimed() },
            Last { attempt: attempted(None), ..Last::default() },
            Step::Rest(None),
        ),
        (
            "a provider that throttles is not called",
            Observed { throttled_until: Some(soon), ..claimed() },
            Last::default(),
            Step::Rest(Some(soon)),
        ),
        (
            "what is no longer claimed is cleaned up",
            Observed { holders: vec![OURS], ..Observed::default() },
            served(),
            Step::Release(vec![OURS]),
        ),
        (
            "a change of hands cleans up first",
            Observed { holders: vec![OURS, OTHER], ..claimed() },
            served(),
            Step::Release(vec![OTHER]),
        ),
        (
            "an unfinished release waits for its time",
            Observed { holders: vec![OURS], release_at: Some(soon), ..Observed::default() },
            served(),
            Step::Rest(Some(soon)),
        ),
        (
            "and goes on then",
            Observed { holders: vec![OURS], release_at: Some(past), ..Observed::default() },
            served(),
            Step::Release(vec![OURS]),
        ),
        (
            "what a list lacks is asked for by name before anything is deleted",
            Observed { presence: Presence::Missing, holders: vec![OURS], ..Observed::default() },
            served(),
            Step::Confirm,
        ),
        (
            "when it is time",
            Observed {
                presence: Presence::Missing,
                holders: vec![OURS],
                release_at: Some(soon),
                ..Observed::default()
            },
            served(),
            Step::Rest(Some(soon)),
        ),
        (
            "what is not there any more is released",
            Observed { presence: Presence::Deleted, holders: vec![OURS, OTHER], ..Observed::default() },
            Last::default(),
            Step::Release(vec![OURS, OTHER]),
        ),
        (
            "and when nobody holds anything there is nothing to do",
            Observed { presence: Presence::Deleted, ..Observed::default() },
            Last::default(),
            Step::Rest(None),
        ),
        (
            "a refused change stays refused while its node update is retried",
            Observed { nodes: 2, inputs: 2, ..claimed() },
            Last { attempt: refused(), node_attempt: node_attempt(Some(past)), ..served() },
            Step::UpdateBackends,
        ),
        (
            "and is not tried again when that has worked",
            Observed { nodes: 2, inputs: 2, ..claimed() },
            Last { success: Some(Success { nodes: 2, ..success() }), attempt: refused(), ..served() },
            Step::Rest(None),
        ),
        (
            "what serves while a change is refused is put right when it is time",
            Observed { inputs: 2, ..claimed() },
            Last {
                success: Some(Success { resync_at: Some(past), ..success() }),
                attempt: refused(),
                ..served()
            },
            Step::KeepRight,
        ),
        (
            "also where a mistake refuses it, with the nodes of now",
            Observed { inputs: 2, nodes: 2, mistaken: true, ..claimed() },
            Last {
                success: Some(Success { resync_at: Some(past), ..success() }),
                attempt: refused(),
                ..served()
            },
            Step::KeepRight,
        ),
        (
            "and not before",
            Observed { inputs: 2, ..claimed() },
            Last {
                success: Some(Success { resync_at: Some(soon), ..success() }),
                attempt: refused(),
                ..served()
            },
            Step::Rest(Some(soon)),
        ),
        (
            "nor while the provider throttles",
            Observed { inputs: 2, throttled_until: Some(soon), ..claimed() },
            Last {
                success: Some(Success { resync_at: Some(past), ..success() }),
                attempt: refused(),
                ..served()
            },
            Step::Rest(Some(soon)),
        ),
        (
            "a wake-up is about what serves where a mistake keeps the provider from being asked",
            Observed { inputs: 2, mistaken: true, ..claimed() },
            Last { attempt: refused(), woken: true, ..served() },
            Step::KeepRight,
        ),
        (
            "another mistake is told first",
            Observed { inputs: 3, mistaken: true, ..claimed() },
            Last {
                success: Some(Success { resync_at: Some(past), ..success() }),
                attempt: refused(),
                woken: true,
                ..served()
            },
            Step::Refuse,
        ),
        (
            "what waits without a time of its own is looked at when it is time",
            claimed(),
            Last {
                success: Some(Success { resync_at: Some(past), ..success() }),
                attempt: attempted(None),
                ..served()
            },
            Step::Ensure(Why::Resync),
        ),
        (
            "nodes that cannot be told do not hold up the look for drift, which brings them",
            Observed { nodes: 2, ..claimed() },
            Last {
                success: Some(Success { resync_at: Some(past), ..success() }),
                node_attempt: node_attempt(None),
                ..served()
            },
            Step::Ensure(Why::Resync),
        ),
        (
            "and a throttled provider may still be told to delete",
            Observed { holders: vec![OURS], throttled_until: Some(soon), ..Observed::default() },
            served(),
            Step::Release(vec![OURS]),
        ),
    ];
    for (title, seen, last, expected) in table {
        assert_eq!(decide(&seen, &last, now), expected, "{title}");
    }
}
