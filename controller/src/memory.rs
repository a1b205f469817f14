//! What this process knows of each Service beyond what the cluster says.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cloud_provider::{ErrorClass, Published, ServiceId, ServiceView};
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::decide::{Last, ProviderIndex};
use crate::events::EventRequest;
use crate::metrics::ServiceState;
use crate::retry::Backoff;
use crate::service::Tracked;
use crate::status::{DELETE_FAILED, Readiness, Record};
use crate::status_pace::StatusPace;

/// What this process knows of one Service; dropped with the Service.
pub(crate) struct ServiceMemory {
    /// Of which Service.
    pub id: ServiceId,
    /// What was done.
    pub last: Last,
    /// The last view that ended in success, or that was carried out but for its mistakes: what node updates go by, and by
    /// what is kept right what serves, while the present one is refused.
    pub followed_view: Option<Arc<ServiceView>>,
    /// What the provider last said to publish.
    pub published: Option<Published>,
    /// What the condition is to say.
    pub record: Option<Arc<Record>>,
    /// What the condition said after the last `ensure`.
    pub ensure_record: Option<Arc<Record>>,
    /// Whether the Service said under which class it is served.
    pub class_was_recorded: bool,
    /// The Service as our own last write returned it, until the watch has caught up.
    pub written: Option<Arc<Tracked>>,
    /// Whether the last reconcile ended with nothing to do for the Service as it was by then: whoever shows just that once
    /// more tells nothing.
    pub is_settled: bool,
    /// When the status may be written again.
    pub status_pace: StatusPace,
    /// Why the API server did not allow the last write, as an event said it.
    pub refusal: Option<String>,
    /// Whether an event said that somebody else keeps changing the status.
    pub contest_emitted: bool,
    /// Waits between attempts of this Service.
    pub backoff: Backoff,
    /// Events that are posted when the status says what they tell of.
    pub untold: Vec<EventRequest>,
    /// The provider's notes for which an event was emitted, as fingerprints.
    pub emitted_notes: Box<[u64]>,
    /// Whether an event said that there is no node.
    pub emitted_no_nodes: bool,
}

impl ServiceMemory {
    /// Of a Service for which nothing was done yet.
    pub(crate) fn new(id: ServiceId) -> Self {
        ServiceMemory {
            id,
            last: Last::default(),
            followed_view: None,
            published: None,
            record: None,
            ensure_record: None,
            class_was_recorded: false,
            written: None,
            is_settled: false,
            status_pace: StatusPace::new(Instant::now()),
            refusal: None,
            contest_emitted: false,
            backoff: Backoff::default(),
            untold: Vec::new(),
            emitted_notes: Box::default(),
            emitted_no_nodes: false,
        }
    }

    /// Nothing that was done counts any more, but who holds something: the provider was told to delete, and whatever
    /// comes of that, a load balancer that was ready before is not known to be there now.
    pub(crate) fn forget_what_was_done(&mut self) {
        self.last = Last { provider: self.last.provider, ..Last::default() };
        self.followed_view = None;
        self.published = None;
        self.record = None;
        self.ensure_record = None;
        self.emitted_notes = Box::default();
    }

    /// What is shown and asks for the same as what was last valid is kept in its place, and so are a record and conditions
    /// that say the same: one copy of a Service, not two.
    pub(crate) fn keep_one_copy(&mut self, shown: &Tracked, inputs: u64) {
        let asks_for_the_same = self.last.success.as_ref().is_some_and(|success| success.inputs == inputs);
        if let Some(followed) = self.followed_view.as_mut().filter(|_| asks_for_the_same) {
            *followed = shown.view.clone();
        }
        for kept in [&mut self.record, &mut self.ensure_record].into_iter().flatten() {
            if let Some(same) = shown.records.iter().find(|record| *record == kept) {
                *kept = same.clone();
            }
        }
        for kept in self.published.iter_mut().flat_map(|published| published.conditions.values_mut()) {
            if let Some((_, same)) = shown.conditions.iter().find(|(_, condition)| condition == kept) {
                *kept = same.clone();
            }
        }
    }

    /// Whether nothing was done for this Service, or all of it was undone.
    pub(crate) fn is_blank(&self) -> bool {
        self.last == Last::default()
    }

    /// How the Service stands, by what its condition says.
    fn state(&self) -> ServiceState {
        match &self.record {
            Some(record) if record.ready == Readiness::True => ServiceState::Ready,
            Some(record) if record.reason == DELETE_FAILED => ServiceState::Failing,
            Some(record) if record.reason == ErrorClass::Invalid.as_str() => ServiceState::Mistaken,
            Some(record) if ErrorClass::ALL.iter().any(|class| class.as_str() == record.reason) => {
                ServiceState::Failing
            }
            _ => ServiceState::Waiting,
        }
    }
}

/// The memories of all Services, each by its UID.
#[derive(Default)]
pub(crate) struct Memories(Mutex<HashMap<Arc<str>, MemorySlot>>);

struct MemorySlot {
    /// None while a reconcile has it. By itself on the heap: a third of the places of a table are empty.
    memory: Option<Box<ServiceMemory>>,
    /// Who serves the Service and how it stands, as after the last reconcile.
    counted: Option<(ProviderIndex, ServiceState)>,
}

impl Memories {
    /// Takes what is remembered of a Service; the reconcile that took it puts it back.
    pub(crate) fn take(&self, id: &ServiceId) -> Option<Box<ServiceMemory>> {
        self.lock().get_mut(&id.uid)?.memory.take()
    }

    /// Puts it back.
    pub(crate) fn put(&self, memory: Box<ServiceMemory>) {
        let counted = memory.last.provider.map(|provider| (provider, memory.state()));
        self.lock().insert(memory.id.uid.clone(), MemorySlot { memory: Some(memory), counted });
    }

    /// Drops it.
    pub(crate) fn forget(&self, id: &ServiceId) {
        self.lock().remove(&id.uid);
    }

    /// Who held something for a Service when it was last reconciled.
    pub(crate) fn holder(&self, id: &ServiceId) -> Option<ProviderIndex> {
        self.lock().get(&id.uid)?.memory.as_ref()?.last.provider
    }

    /// What was published for a Service when it was last reconciled.
    pub(crate) fn published(&self, id: &ServiceId) -> Option<Published> {
        self.lock().get(&id.uid)?.memory.as_ref()?.published.clone()
    }

    /// What our own last write returned, if that is the very version which is shown; and whether nothing is to be done for
    /// it.
    pub(crate) fn written_as(&self, shown: &Tracked) -> Option<(Arc<Tracked>, bool)> {
        let memories = self.lock();
        let memory = memories.get(&shown.view.id.uid)?.memory.as_ref()?;
        let written = memory.written.as_ref().filter(|written| written.is_as_stored_with(shown))?;
        Some((written.clone(), memory.is_settled))
    }

    /// The view of a Service that is followed, as of its last reconcile.
    pub(crate) fn followed_view(&self, id: &ServiceId) -> Option<Arc<ServiceView>> {
        self.lock().get(&id.uid)?.memory.as_ref()?.followed_view.clone()
    }

    /// How many Services there are that somebody serves, by provider and state.
    pub(crate) fn count(&self) -> BTreeMap<(ProviderIndex, ServiceState), usize> {
        let mut counts = BTreeMap::new();
        for counted in self.lock().values().filter_map(|entry| entry.counted) {
            *counts.entry(counted).or_default() += 1;
        }
        counts
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, MemorySlot>> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use cloud_provider::ProviderCondition;
    use cloud_provider::testing::service_object;
    use serde_json::json;

    use super::*;
    use crate::decide::Success;

    fn shown(message: &str) -> Tracked {
        let mut shown = Tracked::of(&service_object(json!({})));
        shown.records = Box::new([Arc::new(record(message))]);
        shown
    }

    fn record(message: &str) -> Record {
        Record::new("memory", Readiness::True, "Ensured", message)
    }

    #[test]
    fn of_a_service_that_asks_for_the_same_one_copy_is_kept() {
        let [valid, shown] = [(); 2].map(|()| shown("192.0.2.1"));
        let mut memory = ServiceMemory::new(valid.view.id.clone());
        memory.keep_one_copy(&shown, 7);
        assert!(memory.followed_view.is_none(), "what was never valid does not become it");

        memory.last.success = Some(Success { inputs: 7, nodes: 0, resync_at: None });
        memory.followed_view = Some(valid.view.clone());
        memory.keep_one_copy(&shown, 8);
        assert!(
            Arc::ptr_eq(memory.followed_view.as_ref().unwrap(), &valid.view),
            "it asks for something else"
        );

        memory.keep_one_copy(&shown, 7);
        assert!(Arc::ptr_eq(memory.followed_view.as_ref().unwrap(), &shown.view));
    }

    #[test]
    fn of_a_record_that_says_the_same_one_copy_is_kept() {
        let shown = shown("192.0.2.1");
        let mut memory = ServiceMemory::new(shown.view.id.clone());
        memory.record = Some(Arc::new(record("192.0.2.2")));
        memory.ensure_record = Some(Arc::new(record("192.0.2.1")));
        memory.keep_one_copy(&shown, 7);
        assert_eq!(memory.record.as_deref(), Some(&record("192.0.2.2")), "it says something else");
        assert!(Arc::ptr_eq(memory.ensure_record.as_ref().unwrap(), &shown.records[0]));
    }

    #[test]
    fn of_a_condition_that_says_the_same_one_copy_is_kept() {
        let mut shown = shown("192.0.2.1");
        let condition = |message: &str| ProviderCondition::new(Some(true), "Announced", message);
        shown.conditions = Box::new([("memory.cloud-lb-controller/Announced".to_owned(), condition("by a"))]);
        let mut memory = ServiceMemory::new(shown.view.id.clone());
        let published = Published::default().with_condition("Announced", condition("by a"));
        memory.published = Some(published.with_condition("Other", condition("by b")));
        memory.keep_one_copy(&shown, 7);
        let kept = &memory.published.as_ref().unwrap().conditions;
        assert!(Arc::ptr_eq(&kept.get("Announced").unwrap().message, &shown.conditions[0].1.message));
        assert_eq!(&*kept.get("Other").unwrap().message, "by b", "it says something else");
    }
}
