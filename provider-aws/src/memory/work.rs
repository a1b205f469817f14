//! Services that are being worked on: while there is one, what all share is not taken down.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// How often each Service is being worked on, by UID.
#[derive(Debug, Default)]
pub(crate) struct Work {
    services: Mutex<BTreeMap<String, usize>>,
}

impl Work {
    /// Marks a Service as being worked on until the guard goes.
    pub(crate) fn begin(&self, uid: &str) -> AtWork<'_> {
        *self.services.lock().entry(uid.to_owned()).or_default() += 1;
        AtWork { work: self, uid: uid.to_owned() }
    }

    /// Whether any Service is being worked on.
    pub(crate) fn is_anyone_at_work(&self) -> bool {
        !self.services.lock().is_empty()
    }
}

/// Says that a Service is being worked on.
pub(crate) struct AtWork<'a> {
    work: &'a Work,
    uid: String,
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        let mut services = self.work.services.lock();
        if let Some(count) = services.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                services.remove(&self.uid);
            }
        }
    }
}
