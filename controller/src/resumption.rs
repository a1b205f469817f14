//! How far a provider got with rebuilding what it knows.

use std::collections::HashSet;

use cloud_provider::{Error, ErrorClass, ServiceId};
use parking_lot::{Mutex, MutexGuard};

use crate::sparse::ShrinkWhenSparse;

/// How far a provider got, and for whom it may hold something since.
#[derive(Debug, Default)]
pub(crate) struct Resumption {
    stage: Mutex<ResumptionStage>,
    /// Of which Services it was told, and not asked about since. It may have set something aside for each, of which
    /// neither the Service nor this process' memory says anything: one that wants no load balancer any more when it is
    /// first reconciled would keep that for ever.
    told: Mutex<HashSet<ServiceId>>,
}

#[derive(Debug, Default)]
enum ResumptionStage {
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
        matches!(*self.stage(), ResumptionStage::Begun)
    }

    /// Why no call may be made to the provider; none: calls may be made.
    pub(crate) fn obstacle(&self) -> Option<Error> {
        match &*self.stage() {
            ResumptionStage::AtWork => None,
            ResumptionStage::Begun => Some(Error::transient("the provider has not resumed yet")),
            ResumptionStage::Blocked { class: ErrorClass::Denied, why } => Some(Error::denied(why.clone())),
            ResumptionStage::Blocked { why, .. } => Some(Error::transient(why.clone())),
        }
    }

    /// It is at work from now on.
    pub(crate) fn is_done(&self) {
        *self.stage() = ResumptionStage::AtWork;
    }

    /// It cannot be, for this reason; says whether that is news.
    pub(crate) fn blocked(&self, class: ErrorClass, why: &str) -> bool {
        let mut stage = self.stage();
        let same = matches!(&*stage, ResumptionStage::Blocked { why: before, .. } if before == why);
        *stage = ResumptionStage::Blocked { class, why: why.to_owned() };
        !same
    }

    /// It is about to be told of these, its own.
    pub(crate) fn is_told_of(&self, services: impl IntoIterator<Item = ServiceId>) {
        self.told().extend(services);
    }

    /// Whether it may hold something for a Service though it was never asked about it.
    pub(crate) fn may_hold(&self, service: &ServiceId) -> bool {
        self.told().contains(service)
    }

    /// It serves the Service from here on, which is remembered elsewhere, or has let go of all that was its.
    pub(crate) fn is_asked_about(&self, service: &ServiceId) {
        let mut told = self.told();
        told.remove(service);
        told.shrink_when_sparse();
    }

    fn stage(&self) -> MutexGuard<'_, ResumptionStage> {
        self.stage.lock()
    }

    fn told(&self) -> MutexGuard<'_, HashSet<ServiceId>> {
        // As above.
        self.told.lock()
    }
}
