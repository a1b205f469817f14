//! The rest of a plan, where a call ended before it so that the user has the host name at once.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::desired::Desired;
use crate::plan::Planned;

/// By Service UID.
#[derive(Debug, Default)]
pub(crate) struct Unfinished {
    services: Mutex<HashMap<String, Rest>>,
}

#[derive(Debug)]
struct Rest {
    left_at: Instant,
    desired: Desired,
    planned: Planned,
}

impl Unfinished {
    /// How long what was seen before is still built on. The next call comes as soon as the host name is written.
    const REST_TTL: Duration = Duration::from_secs(10);

    /// A call leaves this to the next one, which is to make of the Service what `desired` says.
    pub(crate) fn leave(&self, uid: &str, desired: Desired, planned: Planned) {
        self.services.lock().insert(uid.to_owned(), Rest { left_at: Instant::now(), desired, planned });
    }

    /// What the call before left, if it is still what is wanted; it is not given out twice. A call that gets none looks at
    /// what exists.
    pub(crate) fn take(&self, uid: &str, desired: &Desired) -> Option<Planned> {
        let rest = self.services.lock().remove(uid)?;
        (rest.desired == *desired && rest.left_at.elapsed() < Self::REST_TTL).then_some(rest.planned)
    }

    /// What was planned for a Service is not wanted any more.
    pub(crate) fn forget(&self, uid: &str) {
        self.services.lock().remove(uid);
    }
}
