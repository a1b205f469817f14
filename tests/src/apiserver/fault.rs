//! Faults that a test switches on while the server runs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::lock;
use super::request_log::Request;
use super::status::ApiError;

/// Which requests a fault is for: those that agree with all that is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matching {
    verb: Option<String>,
    resource: Option<String>,
    subresource: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
}

impl Matching {
    /// Every request.
    pub fn any() -> Self {
        Self::default()
    }

    /// Requests with this verb, as RBAC knows them.
    pub fn verb(mut self, verb: &str) -> Self {
        self.verb = Some(verb.to_owned());
        self
    }

    /// Requests for this resource: `services`.
    pub fn resource(mut self, resource: &str) -> Self {
        self.resource = Some(resource.to_owned());
        self
    }

    /// Requests for this subresource; the empty string means none.
    pub fn subresource(mut self, subresource: &str) -> Self {
        self.subresource = Some(subresource.to_owned());
        self
    }

    /// Requests in this namespace.
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// Requests for the object of this name.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    fn matches(&self, request: &Request) -> bool {
        let agrees = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|w| w == found);
        agrees(&self.verb, &request.verb)
            && agrees(&self.resource, &request.resource)
            && agrees(&self.subresource, &request.subresource)
            && agrees(&self.namespace, &request.namespace)
            && agrees(&self.name, &request.name)
    }
}

/// An answer that says no, whatever was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// 403: whoever asks may not.
    Forbidden,
    /// 409: the object has been modified.
    Conflict,
    /// 410: the version is too old. A watch gets it as its first event, after an answer of 200.
    Gone,
    /// 410 also for a watch, in place of it.
    GoneInPlace,
    /// 429, with `Retry-After: 1`.
    TooManyRequests,
    /// 500.
    Internal,
    /// 503.
    Unavailable,
}

impl Failure {
    pub(crate) fn to_error(self, request: &Request) -> ApiError {
        match self {
            Self::Forbidden => {
                let what = super::status::GroupName { group: &request.group, name: &request.resource };
                ApiError::forbidden(what, &request.name, "injected")
            }
            Self::Conflict => {
                let what = super::status::GroupName { group: &request.group, name: &request.resource };
                ApiError::stale(what, &request.name)
            }
            Self::Gone | Self::GoneInPlace => ApiError::expired("The provided resource version is too old."),
            Self::TooManyRequests => {
                let mut error =
                    ApiError::new(429, "TooManyRequests", "Too many requests, please try again later.\n");
                error.text = true;
                error
            }
            Self::Internal => ApiError::internal("injected"),
            Self::Unavailable => ApiError::new(
                503,
                "ServiceUnavailable",
                "the server is currently unable to handle the request",
            ),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Effect {
    Delay(Duration),
    Fail(Failure),
    LoseReply,
    EndWatch { events: usize },
    EmptyList,
}

#[derive(Debug)]
struct Fault {
    matching: Matching,
    effect: Effect,
    /// How many more requests it is for; `None` for all until it is cleared.
    left: Option<usize>,
}

/// What the faults make of one request.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) delay: Duration,
    pub(crate) failure: Option<Failure>,
    pub(crate) lose_reply: bool,
    /// A list is answered as if there were nothing.
    pub(crate) empty_list: bool,
    watch_events: Option<usize>,
}

/// How long a watch lives, besides its own timeout.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WatchLimit {
    /// The number of times that all watches had been closed when this one began.
    pub(crate) generation: u64,
    events: Option<usize>,
}

impl WatchLimit {
    /// Takes one event off; false when there are none left.
    pub(crate) fn take(&mut self) -> bool {
        match &mut self.events {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }
}

/// The faults in force.
#[derive(Debug, Clone)]
pub struct Faults {
    active: Arc<Mutex<Vec<Fault>>>,
    watches_closed: watch::Sender<u64>,
    cut: watch::Sender<bool>,
    silenced: watch::Sender<u64>,
}

impl Faults {
    pub(crate) fn new() -> Self {
        Self {
            active: Arc::default(),
            watches_closed: watch::Sender::new(0),
            cut: watch::Sender::new(false),
            silenced: watch::Sender::new(0),
        }
    }

    fn add(&self, matching: Matching, effect: Effect, left: Option<usize>) {
        lock(&self.active).push(Fault { matching, effect, left });
    }

    /// Lets every matching request wait before anything happens to it.
    pub fn delay(&self, matching: Matching, by: Duration) {
        self.add(matching, Effect::Delay(by), None);
    }

    /// Refuses the next matching requests; they have no effect.
    pub fn fail(&self, matching: Matching, with: Failure, times: usize) {
        self.add(matching, Effect::Fail(with), Some(times));
    }

    /// Does what the next matching requests ask for, and cuts the connection in place of an answer.
    pub fn lose_replies(&self, matching: Matching, times: usize) {
        self.add(matching, Effect::LoseReply, Some(times));
    }

    /// Answers the next matching lists as if there were nothing, in a list that is complete by all it says: what a server
    /// with a stale or damaged cache does.
    pub fn empty_lists(&self, matching: Matching, times: usize) {
        self.add(matching.verb("list"), Effect::EmptyList, Some(times));
    }

    /// Ends each of the next matching watches after so many events.
    pub fn end_watches_after(&self, matching: Matching, events: usize, times: usize) {
        self.add(matching, Effect::EndWatch { events }, Some(times));
    }

    /// Ends all the watches that are open now.
    pub fn close_watches(&self) {
        self.watches_closed.send_modify(|n| *n += 1);
    }

    /// Cuts all connections, and every new one, until [`Faults::mend_network`].
    pub fn cut_network(&self) {
        self.cut.send_replace(true);
    }

    /// Lets all connections that are open now die without a word, as a firewall does that forgets them: they stay open,
    /// and nothing comes from them any more. New ones work.
    pub fn silence_connections(&self) {
        self.silenced.send_modify(|times| *times += 1);
    }

    /// Lets connections through again.
    pub fn mend_network(&self) {
        self.cut.send_replace(false);
    }

    /// Lifts all faults.
    pub fn clear(&self) {
        lock(&self.active).clear();
        self.mend_network();
    }

    pub(crate) fn silenced(&self) -> watch::Receiver<u64> {
        self.silenced.subscribe()
    }

    pub(crate) fn network(&self) -> watch::Receiver<bool> {
        self.cut.subscribe()
    }

    pub(crate) fn judge(&self, request: &Request) -> Verdict {
        let mut verdict = Verdict::default();
        let mut active = lock(&self.active);
        for fault in active.iter_mut().filter(|fault| fault.matching.matches(request)) {
            match fault.effect {
                Effect::Delay(by) => verdict.delay += by,
                // One failure for one request: the next in line waits for the next request.
                Effect::Fail(_) if verdict.failure.is_some() => continue,
                Effect::Fail(failure) => verdict.failure = Some(failure),
                Effect::LoseReply if verdict.lose_reply => continue,
                Effect::LoseReply => verdict.lose_reply = true,
                Effect::EmptyList if verdict.empty_list => continue,
                Effect::EmptyList => verdict.empty_list = true,
                Effect::EndWatch { .. } if request.verb != "watch" || verdict.watch_events.is_some() => {
                    continue;
                }
                Effect::EndWatch { events } => verdict.watch_events = Some(events),
            }
            if let Some(left) = &mut fault.left {
                *left = left.saturating_sub(1);
            }
        }
        active.retain(|fault| fault.left != Some(0));
        verdict
    }

    pub(crate) fn watch_limit(&self, verdict: &Verdict) -> (watch::Receiver<u64>, WatchLimit) {
        let closed = self.watches_closed.subscribe();
        let generation = *closed.borrow();
        (closed, WatchLimit { generation, events: verdict.watch_events })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch_of_status() -> Request {
        Request {
            verb: "patch".into(),
            resource: "services".into(),
            subresource: "status".into(),
            ..Request::default()
        }
    }

    #[test]
    fn a_failure_is_used_up() {
        let faults = Faults::new();
        faults.fail(Matching::any().verb("patch"), Failure::Internal, 1);
        assert_eq!(faults.judge(&patch_of_status()).failure, Some(Failure::Internal));
        assert_eq!(faults.judge(&patch_of_status()).failure, None);
    }

    #[test]
    fn a_fault_is_only_for_what_it_matches() {
        let faults = Faults::new();
        faults.fail(Matching::any().resource("services").subresource(""), Failure::Conflict, 1);
        assert_eq!(faults.judge(&patch_of_status()).failure, None);
    }
}
