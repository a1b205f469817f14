//! How far a provider got with rebuilding what it knows.

use std::sync::{Mutex, MutexGuard, PoisonError};

use cloud_provider::{Error, ErrorClass};

/// How far a provider got.
#[derive(Debug, Default)]
pub(crate) struct Resumption(Mutex<Stage>);

#[derive(Debug, Default)]
enum Stage {
    /// It resumes for the first time, which usually takes a moment: its Services wait.
    #[default]
    Begun,
    /// It cannot, or takes long: its Services are told.
    Blocked { class: ErrorClass, why: String },
    /// It is at work.
    AtWork,
}

impl Resumption {
    /// Whether a moment's patience is all that it takes.
    pub(crate) fn has_just_begun(&self) -> bool {
        matches!(*self.lock(), Stage::Begun)
    }

    /// Why no call may be made to the provider; none: calls may be made.
    pub(crate) fn obstacle(&self) -> Option<Error> {
        match &*self.lock() {
            Stage::AtWork => None,
            Stage::Begun => Some(Error::transient("the provider has not resumed yet")),
            Stage::Blocked { class: ErrorClass::Denied, why } => Some(Error::denied(why.clone())),
            Stage::Blocked { why, .. } => Some(Error::transient(why.clone())),
        }
    }

    /// It is at work from now on.
    pub(crate) fn is_done(&self) {
        *self.lock() = Stage::AtWork;
    }

    /// It cannot be, for this reason; says whether that is news.
    pub(crate) fn blocked(&self, class: ErrorClass, why: &str) -> bool {
        let mut stage = self.lock();
        let same = matches!(&*stage, Stage::Blocked { why: before, .. } if before == why);
        *stage = Stage::Blocked { class, why: why.to_owned() };
        !same
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        // A panic elsewhere does not make a plain value wrong.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
