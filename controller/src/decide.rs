//! What to do about a Service now: a pure function of what is seen, what was done last, and the clock.

use tokio::time::Instant;

/// Which of the configured providers, by position.
pub(crate) type ProviderIndex = usize;

/// What the cluster shows of a Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It is there.
    #[default]
    Shown,
    /// A complete list lacked it, which is no proof: it is to be asked for by name.
    Missing,
    /// It is not there, or another Service has its name.
    Deleted,
}

/// What is observed of one Service, in the few words that decide.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Observation {
    /// What the cluster shows of it.
    pub presence: Presence,
    /// Who serves it: it is of type LoadBalancer, not being deleted, and this provider claims it.
    pub claimed_by: Option<ProviderIndex>,
    /// Who may still hold something for it though it is not, or no longer, theirs to serve: whoever served it
    /// in this process, recorded itself on it, or left our finalizer on it.
    pub holders: Vec<ProviderIndex>,
    /// When a release under way goes on; none: now.
    pub release_at: Option<Instant>,
    /// Whether the Service carries a mistake and cannot become a request of this provider.
    pub mistaken: bool,
    /// Fingerprint of what the provider reads of the Service.
    pub inputs: u64,
    /// Fingerprint of what the provider reads of the nodes; 0 where it reads none.
    pub nodes: u64,
    /// Whether its status shows an address, or the platform has one for it: something serves it, made by this process or by
    /// one before.
    pub serves: bool,
    /// Until when the provider's throttle gate is closed.
    pub throttled_until: Option<Instant>,
}

/// Which of the two provider calls an attempt made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptedCall {
    /// `ensure`.
    Ensure,
    /// `update_backends`.
    UpdateBackends,
}

/// An `ensure` that did not end in `Ready`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Attempt {
    /// With which Service inputs.
    pub inputs: u64,
    /// With which nodes.
    pub nodes: u64,
    /// When to try again with the same inputs; none: not before something changes, or until the next resync.
    pub again: Option<Instant>,
    /// Whether the Service was refused: what serves is what it was when it was last valid.
    pub refused: bool,
}

/// An `update_backends` that failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct NodeAttempt {
    /// With which nodes.
    pub nodes: u64,
    /// When to try again with the same nodes; none: not before something changes.
    pub again: Option<Instant>,
}

/// The nodes that what serves was led to by the narrow call, while this process has had no success.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct FollowedNodes {
    /// Which nodes.
    pub nodes: u64,
    /// When it is led to them again even if they are the same: the platform may have drifted.
    pub again_at: Instant,
}

/// The last success.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Success {
    /// With which Service inputs.
    pub inputs: u64,
    /// With which nodes.
    pub nodes: u64,
    /// When the platform is compared with the Service again even if nothing changed.
    pub resync_at: Option<Instant>,
}

/// What this process did for a Service so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Last {
    /// Who served it.
    pub provider: Option<ProviderIndex>,
    /// The last success.
    pub success: Option<Success>,
    /// The last `ensure` since then, which was no success.
    pub attempt: Option<Attempt>,
    /// The last `update_backends` since then, if it failed. Apart from the above: that the nodes could be told after all
    /// says nothing about a change that was refused.
    pub node_attempt: Option<NodeAttempt>,
    /// Where what a process before has made was led to, while this one has had no success.
    pub followed: Option<FollowedNodes>,
    /// The provider asked for another look.
    pub woken: bool,
}

/// Why `ensure` is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
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
pub(crate) enum NextStep {
    /// Nothing, until the given moment (none: until something changes).
    Rest(Option<Instant>),
    /// Ask for the Service by name: what is held for it is released only if it is not there.
    Confirm,
    /// Let these providers delete what they hold; then, if somebody else claims the Service, decide again.
    Release(Vec<ProviderIndex>),
    /// Tell the user what is wrong with the Service. What serves keeps serving.
    Refuse,
    /// Call `ensure`.
    Ensure(Why),
    /// Call `ensure` as when the Service was last valid, so that what serves is put right though its change is refused.
    KeepRight,
    /// Call `update_backends`.
    UpdateBackends,
}

/// Decides. Level-triggered: it does not matter which event led here, or how many were missed.
pub(crate) fn decide(observed: &Observation, last: &Last, now: Instant) -> NextStep {
    // Whoever holds something and does not serve the Service lets go first: two providers never serve one Service.
    let others: Vec<ProviderIndex> =
        observed.holders.iter().copied().filter(|holder| Some(*holder) != observed.claimed_by).collect();
    if !others.is_empty() {
        return match (observed.release_at.filter(|at| *at > now), observed.presence) {
            (Some(at), _) => NextStep::Rest(Some(at)),
            (None, Presence::Missing) => NextStep::Confirm,
            (None, Presence::Shown | Presence::Deleted) => NextStep::Release(others),
        };
    }
    if observed.claimed_by.is_none() {
        return NextStep::Rest(None);
    }
    let step = serve(observed, last, now);
    match (&step, observed.throttled_until) {
        (NextStep::Ensure(_) | NextStep::KeepRight | NextStep::UpdateBackends, Some(until)) => {
            NextStep::Rest(Some(until))
        }
        _ => step,
    }
}

fn serve(observed: &Observation, last: &Last, now: Instant) -> NextStep {
    let nodes_changed = match last.success {
        Some(success) => success.nodes != observed.nodes,
        // Served by a process before this one: on which nodes, nobody remembers.
        None => {
            let is_led_there = |it: FollowedNodes| it.nodes == observed.nodes && it.again_at > now;
            observed.serves && observed.nodes != 0 && !last.followed.is_some_and(is_led_there)
        }
    };
    // What was tried since the last success may be done in part, and the Service says that it failed.
    let undone = last.attempt.is_some_and(|attempt| attempt.inputs != observed.inputs);
    let resync_at = match last.success {
        Some(success) => success.resync_at,
        // What was last valid nobody remembers: what serves is kept on its nodes, and no more than that.
        None => last.followed.map(|followed| followed.again_at),
    };
    let resync_is_due = resync_at.is_some_and(|at| at <= now);
    if let Some(attempt) = last.attempt
        && !undone
        && !last.woken
    {
        return match attempt.again {
            Some(again) if again <= now => NextStep::Ensure(Why::Retry),
            // The retry brings the nodes of now with it: they are those that it was tried with.
            Some(again) if attempt.nodes == observed.nodes => NextStep::Rest(Some(again)),
            // The platform may drift however long the user takes to mend the Service. This, too, brings the nodes.
            None if resync_is_due && attempt.refused && last.success.is_some() => NextStep::KeepRight,
            // What was carried out but for its mistakes, or waits for a wake-up, is looked at as it is, by whichever process.
            None if resync_is_due && !attempt.refused => NextStep::Ensure(Why::Resync),
            // While an ensure waits, what already serves still follows the nodes: by the narrow call.
            again if nodes_changed => follow_nodes(observed, last, now, again.or(resync_at)),
            again => NextStep::Rest(again.or(resync_at)),
        };
    }
    if observed.mistaken {
        let told = last.attempt.is_some() && !undone;
        // To tell the user needs nobody else, so a new process does that first.
        return match last.success {
            // The provider cannot be asked about the Service as it is, but about what serves.
            Some(_) if told && last.woken => NextStep::KeepRight,
            Some(_) if nodes_changed => follow_nodes(observed, last, now, None),
            _ => NextStep::Refuse,
        };
    }
    match last.success {
        None if last.attempt.is_none() => NextStep::Ensure(Why::First),
        _ if last.woken => NextStep::Ensure(Why::Woken),
        None => NextStep::Ensure(Why::Changed),
        Some(success) if success.inputs != observed.inputs || undone => NextStep::Ensure(Why::Changed),
        // Before the nodes, which it brings with it: they may wait for something that never comes.
        Some(_) if resync_is_due => NextStep::Ensure(Why::Resync),
        Some(_) if nodes_changed => follow_nodes(observed, last, now, resync_at),
        Some(_) => NextStep::Rest(resync_at),
    }
}

/// The nodes are other ones than the load balancer has: it is told, unless that failed with the same nodes and waits.
/// `otherwise` is when something else is due.
fn follow_nodes(observed: &Observation, last: &Last, now: Instant, otherwise: Option<Instant>) -> NextStep {
    match last.node_attempt.filter(|attempt| attempt.nodes == observed.nodes) {
        None => NextStep::UpdateBackends,
        Some(NodeAttempt { again: Some(again), .. }) if again <= now => NextStep::UpdateBackends,
        Some(NodeAttempt { again, .. }) => NextStep::Rest(again.into_iter().chain(otherwise).min()),
    }
}

#[cfg(test)]
mod tests;
