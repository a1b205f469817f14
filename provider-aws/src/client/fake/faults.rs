//! Requests that go wrong on purpose.

use std::collections::BTreeMap;

use super::super::Call;

/// How a request goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It has no effect and fails with this code.
    Before(String),
    /// It has its effect, but its reply is lost: it fails with this code, or with
    /// [`local_code::NO_REPLY`](crate::client::error::local_code::NO_REPLY) if none is given. A request that would
    /// have been refused is refused as usual.
    After(Option<String>),
    /// It has no effect and never answers.
    HangBefore,
    /// It has its effect and never answers.
    HangAfter,
}

impl Fault {
    /// No effect, and this code.
    pub fn before(code: &str) -> Self {
        Self::Before(code.to_owned())
    }

    /// The reply is lost.
    pub fn reply_lost() -> Self {
        Self::After(None)
    }
}

/// The faults to come.
#[derive(Debug, Default)]
pub(super) struct Faults {
    of_call: BTreeMap<Call, Vec<(u32, Fault)>>,
    of_any: Vec<(u32, Fault)>,
    always: BTreeMap<Call, Fault>,
}

impl Faults {
    pub(super) fn nth_of(&mut self, call: Call, nth: u32, fault: Fault) {
        assert!(nth > 0, "requests are counted from 1");
        self.of_call.entry(call).or_default().push((nth, fault));
    }

    pub(super) fn nth_of_any(&mut self, nth: u32, fault: Fault) {
        assert!(nth > 0, "requests are counted from 1");
        self.of_any.push((nth, fault));
    }

    pub(super) fn always(&mut self, call: Call, fault: Fault) {
        self.always.insert(call, fault);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Counts a request and says what is to happen to it.
    pub(super) fn next(&mut self, call: Call) -> Option<Fault> {
        let of_any = count_down(&mut self.of_any);
        let of_call = self.of_call.get_mut(&call).and_then(count_down);
        of_any.or(of_call).or_else(|| self.always.get(&call).cloned())
    }
}

fn count_down(faults: &mut Vec<(u32, Fault)>) -> Option<Fault> {
    // Of two that are due at once, one is for the next request.
    faults.iter_mut().for_each(|(left, _)| *left = left.saturating_sub(1));
    let due = faults.iter().position(|(left, _)| *left == 0)?;
    Some(faults.remove(due).1)
}
