//! What to do about a Service now: a pure function of what is seen, what was done last, and the clock.

use tokio::time::Instant;

/// Which of the configured providers, by position.
pub type ProviderIndex = usize;

/// What is seen of one Service, in the few words that decide.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Who serves it: it is of type LoadBalancer, not being deleted, and this provider claims it.
    pub claimed_by: Option<ProviderIndex>,
    /// Who may still hold something for it though it is not, or no longer, theirs to serve: whoever served it
    /// in this process, recorded itself on it, or left our finalizer on it.
    pub holders: Vec<ProviderIndex>,
    /// Whether the Service carries a mistake and cannot become a request.
    pub mistaken: bool,
    /// Fingerprint of what the provider reads of the Service.
    pub inputs: u64,
    /// Fingerprint of what the provider reads of the nodes; 0 where it reads none.
    pub nodes: u64,
    /// Until when the provider's throttle gate is closed.
    pub throttled_until: Option<Instant>,
}

/// Which of the two provider calls an attempt made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `ensure`.
    Ensure,
    /// `update_backends`.
    UpdateBackends,
}

/// An attempt that did not end in `Ready`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attempt {
    /// What was called.
    pub operation: Operation,
    /// With which Service inputs.
    pub inputs: u64,
    /// With which nodes.
    pub nodes: u64,
    /// When to try again with the same inputs; none: not before something changes.
    pub again: Option<Instant>,
}

/// The last success.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Done {
    /// With which Service inputs.
    pub inputs: u64,
    /// With which nodes.
    pub nodes: u64,
    /// When the platform is compared with the Service again even if nothing changed.
    pub resync_at: Option<Instant>,
}

/// What this process did for a Service so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Last {
    /// Who served it.
    pub provider: Option<ProviderIndex>,
    /// The last success.
    pub done: Option<Done>,
    /// What happened since, if it was no success.
    pub attempt: Option<Attempt>,
    /// The provider asked for another look.
    pub woken: bool,
    /// When to try an unfinished clean-up again.
    pub cleanup_again: Option<Instant>,
}

/// Why `ensure` is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// This process has not looked at it yet, or it is new.
    First,
    /// What the provider reads of it changed.
    Changed,
    /// An earlier attempt is due again.
    Retry,
    /// The provider asked.
    Woken,
    /// Nothing happened for a while: the platform may have drifted.
    Resync,
}

/// The one step to take.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing, until the given moment (none: until something changes).
    Rest(Option<Instant>),
    /// Let these providers delete what they hold; then, if somebody else claims the Service, decide again.
    CleanUp(Vec<ProviderIndex>),
    /// Tell the user what is wrong with the Service. What serves keeps serving.
    Refuse,
    /// Call `ensure`.
    Ensure(Why),
    /// Call `update_backends`.
    UpdateBackends,
}

/// Decides. Level-triggered: it does not matter which event led here, or how many were missed.
pub fn decide(seen: &Seen, last: &Last, now: Instant) -> Step {
    let others: Vec<ProviderIndex> =
        seen.holders.iter().copied().filter(|holder| Some(*holder) != seen.claimed_by).collect();
    if !others.is_empty() {
        return match last.cleanup_again.filter(|again| *again > now) {
            Some(again) => Step::Rest(Some(again)),
            None => Step::CleanUp(others),
        };
    }
    if seen.claimed_by.is_none() {
        return Step::Rest(None);
    }
    let step = serve(seen, last, now);
    match (&step, seen.throttled_until) {
        (Step::Ensure(_) | Step::UpdateBackends, Some(until)) => Step::Rest(Some(until)),
        _ => step,
    }
}

fn serve(seen: &Seen, last: &Last, now: Instant) -> Step {
    let nodes_changed = last.done.is_some_and(|done| done.nodes != seen.nodes);
    // What was tried since the last success may be done in part, and the Service says that it failed.
    let undone = last.attempt.is_some_and(|a| a.operation == Operation::Ensure && a.inputs != seen.inputs);
    if let Some(attempt) = last.attempt {
        let same = attempt.inputs == seen.inputs
            && (attempt.operation == Operation::Ensure || attempt.nodes == seen.nodes);
        if same && !last.woken {
            return match attempt.again {
                Some(again) if again <= now => match attempt.operation {
                    Operation::Ensure => Step::Ensure(Why::Retry),
                    Operation::UpdateBackends => Step::UpdateBackends,
                },
                // While an ensure waits, what already serves still follows the nodes: by the same narrow call.
                again if attempt.operation == Operation::Ensure && nodes_changed => {
                    let comes_with_the_retry = again.is_some() && attempt.nodes == seen.nodes;
                    if comes_with_the_retry { Step::Rest(again) } else { Step::UpdateBackends }
                }
                again => Step::Rest(again),
            };
        }
    }
    if seen.mistaken {
        return if nodes_changed { Step::UpdateBackends } else { Step::Refuse };
    }
    match last.done {
        None if last.attempt.is_none() => Step::Ensure(Why::First),
        _ if last.woken => Step::Ensure(Why::Woken),
        None => Step::Ensure(Why::Changed),
        Some(done) if done.inputs != seen.inputs || undone => Step::Ensure(Why::Changed),
        Some(_) if nodes_changed => Step::UpdateBackends,
        Some(done) if done.resync_at.is_some_and(|at| at <= now) => Step::Ensure(Why::Resync),
        Some(done) => Step::Rest(done.resync_at),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const OURS: ProviderIndex = 0;
    const OTHER: ProviderIndex = 1;

    fn claimed() -> Seen {
        Seen { claimed_by: Some(OURS), inputs: 1, nodes: 1, ..Seen::default() }
    }

    fn done() -> Done {
        Done { inputs: 1, nodes: 1, resync_at: None }
    }

    fn served() -> Last {
        Last { provider: Some(OURS), done: Some(done()), ..Last::default() }
    }

    fn attempted(operation: Operation, again: Option<Instant>) -> Option<Attempt> {
        Some(Attempt { operation, inputs: 1, nodes: 1, again })
    }

    #[tokio::test(start_paused = true)]
    async fn one_step_for_every_situation() {
        let now = Instant::now();
        let (past, soon) = (now, now + Duration::from_secs(60));
        let table: Vec<(&str, Seen, Last, Step)> = vec![
            ("nobody's Service is left alone", Seen::default(), Last::default(), Step::Rest(None)),
            ("a new Service is ensured", claimed(), Last::default(), Step::Ensure(Why::First)),
            ("a served Service rests", claimed(), served(), Step::Rest(None)),
            (
                "changed inputs are ensured",
                Seen { inputs: 2, ..claimed() },
                served(),
                Step::Ensure(Why::Changed),
            ),
            (
                "changed nodes are a narrow update",
                Seen { nodes: 2, ..claimed() },
                served(),
                Step::UpdateBackends,
            ),
            (
                "changed inputs and nodes are one ensure",
                Seen { inputs: 2, nodes: 2, ..claimed() },
                served(),
                Step::Ensure(Why::Changed),
            ),
            ("a wake-up is ensured", claimed(), Last { woken: true, ..served() }, Step::Ensure(Why::Woken)),
            (
                "drift is looked for when it is time",
                claimed(),
                Last { done: Some(Done { resync_at: Some(past), ..done() }), ..served() },
                Step::Ensure(Why::Resync),
            ),
            (
                "and not before",
                claimed(),
                Last { done: Some(Done { resync_at: Some(soon), ..done() }), ..served() },
                Step::Rest(Some(soon)),
            ),
            (
                "a failed ensure waits for its time, whatever event comes",
                claimed(),
                Last { attempt: attempted(Operation::Ensure, Some(soon)), ..Last::default() },
                Step::Rest(Some(soon)),
            ),
            (
                "and is tried again then",
                claimed(),
                Last { attempt: attempted(Operation::Ensure, Some(past)), ..Last::default() },
                Step::Ensure(Why::Retry),
            ),
            (
                "or at once when the Service changes",
                Seen { inputs: 2, ..claimed() },
                Last { attempt: attempted(Operation::Ensure, Some(soon)), ..Last::default() },
                Step::Ensure(Why::Changed),
            ),
            (
                "a change that failed and is taken back is ensured as it was",
                claimed(),
                Last {
                    attempt: Some(Attempt { operation: Operation::Ensure, inputs: 2, nodes: 1, again: None }),
                    ..served()
                },
                Step::Ensure(Why::Changed),
            ),
            (
                "what the user must mend waits for a change",
                claimed(),
                Last { attempt: attempted(Operation::Ensure, None), ..Last::default() },
                Step::Rest(None),
            ),
            (
                "or for a wake-up",
                claimed(),
                Last { attempt: attempted(Operation::Ensure, None), woken: true, ..Last::default() },
                Step::Ensure(Why::Woken),
            ),
            (
                "a failed node update is retried as the same narrow call",
                Seen { nodes: 2, ..claimed() },
                Last {
                    attempt: Some(Attempt {
                        operation: Operation::UpdateBackends,
                        inputs: 1,
                        nodes: 2,
                        again: Some(past),
                    }),
                    ..served()
                },
                Step::UpdateBackends,
            ),
            (
                "and waits for its time",
                Seen { nodes: 2, ..claimed() },
                Last {
                    attempt: Some(Attempt {
                        operation: Operation::UpdateBackends,
                        inputs: 1,
                        nodes: 2,
                        again: Some(soon),
                    }),
                    ..served()
                },
                Step::Rest(Some(soon)),
            ),
            (
                "a Service with a mistake that serves follows the nodes",
                Seen { nodes: 2, inputs: 2, mistaken: true, ..claimed() },
                Last {
                    attempt: Some(Attempt { operation: Operation::Ensure, inputs: 2, nodes: 1, again: None }),
                    ..served()
                },
                Step::UpdateBackends,
            ),
            ("a mistake is told", Seen { inputs: 2, mistaken: true, ..claimed() }, served(), Step::Refuse),
            (
                "a provider that throttles is not called",
                Seen { throttled_until: Some(soon), ..claimed() },
                Last::default(),
                Step::Rest(Some(soon)),
            ),
            (
                "what is no longer claimed is cleaned up",
                Seen { holders: vec![OURS], ..Seen::default() },
                served(),
                Step::CleanUp(vec![OURS]),
            ),
            (
                "a change of hands cleans up first",
                Seen { holders: vec![OURS, OTHER], ..claimed() },
                served(),
                Step::CleanUp(vec![OTHER]),
            ),
            (
                "an unfinished clean-up waits for its time",
                Seen { holders: vec![OURS], ..Seen::default() },
                Last { cleanup_again: Some(soon), ..served() },
                Step::Rest(Some(soon)),
            ),
            (
                "and a throttled provider may still be told to delete",
                Seen { holders: vec![OURS], throttled_until: Some(soon), ..Seen::default() },
                served(),
                Step::CleanUp(vec![OURS]),
            ),
        ];
        for (title, seen, last, expected) in table {
            assert_eq!(decide(&seen, &last, now), expected, "{title}");
        }
    }
}
