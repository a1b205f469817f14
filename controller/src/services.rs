//! What the API server shows of Services, as far as it is of interest.

use std::collections::HashMap;
use std::sync::Arc;

use cloud_provider::{ServiceId, ServiceKey};
use parking_lot::{Mutex, MutexGuard};

use crate::service::Tracked;

/// The Services that the watch shows and that may be of interest, each under its name.
#[derive(Default)]
pub(crate) struct Services(Mutex<HashMap<ServiceKey, Arc<Tracked>>>);

impl Services {
    /// Who has this name now.
    pub(crate) fn get(&self, key: &ServiceKey) -> Option<Arc<Tracked>> {
        self.lock().get(key).cloned()
    }

    /// Whether this very Service is shown.
    pub(crate) fn shows(&self, id: &ServiceId) -> bool {
        self.lock().get(&id.key).is_some_and(|tracked| tracked.view.id == *id)
    }

    /// Whether this very Service is shown, and wants a load balancer.
    pub(crate) fn want(&self, id: &ServiceId) -> bool {
        let wants = |it: &Arc<Tracked>| it.view.id == *id && it.is_load_balancer && !it.deleting;
        self.lock().get(&id.key).is_some_and(wants)
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Arc<Tracked>> {
        self.lock().values().cloned().collect()
    }

    /// Drops a Service of which nothing is remembered, unless something is to be done with it.
    pub(crate) fn forget(&self, id: &ServiceId) {
        let mut shown = self.lock();
        if shown.get(&id.key).is_some_and(|tracked| tracked.view.id == *id && !tracked.is_interesting()) {
            shown.remove(&id.key);
        }
    }

    /// Shows a Service, in place of whoever had its name.
    pub(crate) fn put(&self, now: Arc<Tracked>) {
        self.lock().insert(now.view.id.key.clone(), now);
    }

    /// Shows a Service no more.
    pub(crate) fn remove(&self, id: &ServiceId) {
        let mut shown = self.lock();
        if shown.get(&id.key).is_some_and(|tracked| tracked.view.id == *id) {
            shown.remove(&id.key);
        }
    }

    /// Shows these instead; returns what was shown before.
    pub(crate) fn replace(
        &self,
        listed: HashMap<ServiceKey, Arc<Tracked>>,
    ) -> HashMap<ServiceKey, Arc<Tracked>> {
        std::mem::replace(&mut *self.lock(), listed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ServiceKey, Arc<Tracked>>> {
        self.0.lock()
    }
}
