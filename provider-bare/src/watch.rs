//! Pools and namespaces as the cluster has them, kept up to date.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use apiserver_client::Watches;
use cloud_provider::Error;
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ApiResource, DynamicObject, PartialObjectMeta};
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt};
use tokio::sync::watch as latest;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{info, warn};

use metallb::crd::{AnnouncementProtocol, IPAddressPool};
use metallb::pool::Definition;
use metallb::pools::{PoolKey, PoolMistakes};

use crate::announced::Statement;
use crate::error::WatchProblem;
use crate::file::PoolFile;
use crate::plan::Namespaces;
use crate::pool_events::MistakenPools;
use crate::pool_status::ShownStatuses;
use crate::shared::SharedAllocator;

/// What is followed, as the API server calls it.
pub(crate) const POOLS: &str = "ipaddresspools.metallb.io";
pub(crate) const NAMESPACES: &str = "namespaces";

/// How often a file of pools is looked at.
const FILE_POLL_INTERVAL: Duration = Duration::from_secs(5);

/// Pools that change or go are put in force when they have been quiet for so long: several that go, or one that is
/// replaced, are one change.
const POOL_DEBOUNCE_QUIET: Duration = Duration::from_millis(100);

/// And no later than this after the first change, however many follow.
const POOL_DEBOUNCE_MAX: Duration = Duration::from_secs(1);

/// The pools as the watch has them, each with its UID.
type Objects = BTreeMap<PoolKey, (Definition, Option<String>)>;

/// How far a first list got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It is under way.
    Listing,
    /// It failed, and is tried again.
    Failing(WatchProblem),
    /// It is complete, and kept up to date from here on.
    Complete,
}

/// Waits until a first list is complete.
///
/// # Errors
/// As soon as it is known why it cannot be, or after the deadline.
pub(crate) async fn complete(
    mut progress: latest::Receiver<Progress>,
    resource: &str,
    deadline: Duration,
) -> Result<(), Error> {
    let settled = |progress: &Progress| {
        !matches!(progress, Progress::Listing | Progress::Failing(WatchProblem::Other(_)))
    };
    // After the deadline, what is known by then is the answer.
    if let Ok(Err(_)) = timeout(deadline, progress.wait_for(settled)).await.map(|waited| waited.map(drop)) {
        return Err(Error::transient(format!("the watch on {resource} has ended")));
    }
    let outcome = progress.borrow().clone();
    match outcome {
        Progress::Complete => Ok(()),
        Progress::Failing(problem) => Err(problem.into_error(resource)),
        Progress::Listing => {
            Err(Error::transient(format!("{resource} were not listed within {} s", deadline.as_secs())))
        }
    }
}

/// Watches pools, in one namespace or in all, and puts them in force; what is wrong with them goes to `mistaken`. Runs until
/// dropped.
pub(crate) async fn pools(
    watches: Watches,
    namespace: Option<String>,
    shared: Arc<SharedAllocator>,
    statuses: ShownStatuses,
    mistaken: latest::Sender<MistakenPools>,
    progress: latest::Sender<Progress>,
) {
    // Read as they come, not as our type: an object of the wrong shape must not end the watch of all.
    let kind = ApiResource::erase::<IPAddressPool>(&());
    let api = move |client| match &namespace {
        Some(namespace) => Api::<DynamicObject>::namespaced_with(client, namespace, &kind),
        None => Api::all_with(client, &kind),
    };
    let mut objects = Objects::new();
    let mut events = watches.follow(POOLS, api);
    let mut pending = PendingPools::default();
    loop {
        let event = match pending.due() {
            None => next(&mut events, &progress).await,
            Some(due) => match timeout_at(due, next(&mut events, &progress)).await {
                Ok(event) => event,
                Err(_) => {
                    put_in_force(&shared, &objects, &mistaken);
                    pending.clear();
                    continue;
                }
            },
        };
        let Some(event) = event else { return };
        let complete = matches!(*progress.borrow(), Progress::Complete);
        match event {
            Event::Init => objects.clear(),
            Event::InitApply(object) => {
                note_pool(&mut objects, &statuses, object);
            }
            Event::InitDone if complete => pending.note(),
            Event::InitDone => {
                put_in_force(&shared, &objects, &mistaken);
                progress.send_replace(Progress::Complete);
            }
            Event::Apply(object) => {
                let comes = !objects.contains_key(&key_of(&object));
                // A status of our own making changes nothing.
                let changed = note_pool(&mut objects, &statuses, object) && complete;
                if changed && comes && pending.due().is_none() {
                    // Nobody loses by a pool that comes, and Services that came with it need it.
                    put_in_force(&shared, &objects, &mistaken);
                } else if changed {
                    pending.note();
                }
            }
            Event::Delete(object) => {
                let key = key_of(&object);
                statuses.set(key.clone(), None);
                if objects.remove(&key).is_some() && complete {
                    pending.note();
                }
            }
        }
    }
}

/// A change of pools that is not in force yet.
#[derive(Debug, Default)]
struct PendingPools {
    first: Option<Instant>,
    last: Option<Instant>,
}

impl PendingPools {
    fn note(&mut self) {
        let now = Instant::now();
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    fn clear(&mut self) {
        *self = PendingPools::default();
    }

    /// When it is to be put in force; none if nothing is pending.
    fn due(&self) -> Option<Instant> {
        Some((self.last? + POOL_DEBOUNCE_QUIET).min(self.first? + POOL_DEBOUNCE_MAX))
    }
}

fn put_in_force(shared: &SharedAllocator, objects: &Objects, mistaken: &latest::Sender<MistakenPools>) {
    let definitions: Vec<Definition> = objects.values().map(|(definition, _)| definition.clone()).collect();
    let with_uid = |mistakes: PoolMistakes| {
        let uid = objects.get(&mistakes.pool).and_then(|(_, uid)| uid.clone());
        (mistakes, uid)
    };
    mistaken.send_replace(shared.define(&definitions).into_iter().map(with_uid).collect());
}

/// Reads a file of pools again whenever it has changed. While it cannot be read, what is in force stays in force. Runs
/// until dropped.
pub(crate) async fn pool_file(file: Arc<PoolFile>, shared: Arc<SharedAllocator>) {
    let mut told = None;
    loop {
        sleep(FILE_POLL_INTERVAL).await;
        let look = {
            let file = file.clone();
            move || file.read_if_changed()
        };
        // It may be on a slow disk. The task ends early only with the whole runtime.
        let Ok(read) = spawn_blocking(look).await else { return };
        match read {
            Ok(changed) => {
                told = None;
                if let Some(manifests) = changed {
                    info!(file = %file.path().display(), "the pools are read again");
                    shared.put_in_force(&manifests.pools);
                }
            }
            Err(error) => {
                let problem = error.to_string();
                if told.as_ref() != Some(&problem) {
                    warn!(%error, "the pools cannot be read again; those in force stay");
                    told = Some(problem);
                }
            }
        }
    }
}

fn key_of(object: &DynamicObject) -> PoolKey {
    PoolKey { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
}

/// Says whether anything but the status is new.
fn note_pool(objects: &mut Objects, statuses: &ShownStatuses, object: DynamicObject) -> bool {
    let key = key_of(&object);
    let status = object.data.get("status").cloned();
    statuses.set(key.clone(), status.and_then(|status| serde_json::from_value(status).ok()));
    let spec = object.data.get("spec").cloned().unwrap_or_default();
    let definition = Definition::read(&object.metadata, spec);
    let before = objects.insert(key, (definition.clone(), object.metadata.uid));
    before.is_none_or(|(before, _)| before != definition)
}

/// Watches the labels of namespaces. Runs until dropped.
pub(crate) async fn namespaces(
    watches: Watches,
    shared: Arc<SharedAllocator>,
    progress: latest::Sender<Progress>,
) {
    let mut listed = Namespaces::new();
    let mut events = watches.follow(NAMESPACES, Api::<PartialObjectMeta<Namespace>>::all);
    while let Some(event) = next(&mut events, &progress).await {
        let labels = |object: PartialObjectMeta<Namespace>| {
            (object.name_any(), object.metadata.labels.unwrap_or_default().into())
        };
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(object) => {
                listed.extend([labels(object)]);
            }
            Event::InitDone => {
                shared.change(|allocator| allocator.set_namespaces(mem::take(&mut listed)));
                progress.send_replace(Progress::Complete);
            }
            Event::Apply(object) => {
                let (name, labels) = labels(object);
                shared.change(|allocator| allocator.set_namespace(&name, Some(labels)));
            }
            Event::Delete(object) => {
                shared.change(|allocator| allocator.set_namespace(&object.name_any(), None));
            }
        }
    }
}

/// Watches what announcers say, as the objects of one kind have it. Runs until dropped.
pub(crate) async fn statements(
    watches: Watches,
    protocol: AnnouncementProtocol,
    shared: Arc<SharedAllocator>,
    progress: latest::Sender<Progress>,
) {
    let kind = protocol.kind();
    let name = format!("{}.{}", kind.plural, kind.group);
    let api = move |client| Api::<DynamicObject>::all_with(client, &kind);
    let said = |object: &DynamicObject| {
        let place = (object.namespace().unwrap_or_default(), object.name_any());
        (place, Statement::read(protocol, object))
    };
    let mut listed = BTreeMap::new();
    let mut events = watches.follow(&name, api);
    while let Some(event) = next(&mut events, &progress).await {
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(object) => {
                listed.extend([said(&object)]);
            }
            Event::InitDone => {
                shared.hear(|statements| statements.list(protocol, mem::take(&mut listed)));
                progress.send_replace(Progress::Complete);
            }
            Event::Apply(object) => {
                let (place, said) = said(&object);
                shared.hear(|statements| Some(statements.set(protocol, place, said)));
            }
            Event::Delete(object) => {
                let (place, _) = said(&object);
                shared.hear(|statements| Some(statements.set(protocol, place, None)));
            }
        }
    }
}

/// The next event. A failure before the first complete list is what somebody waits for; one after it is the
/// watch's own to get over, and to tell of.
async fn next<K>(
    events: &mut (impl Stream<Item = watcher::Result<Event<K>>> + Unpin),
    progress: &latest::Sender<Progress>,
) -> Option<Event<K>> {
    loop {
        match events.next().await? {
            Ok(event) => return Some(event),
            Err(error) => {
                if !matches!(*progress.borrow(), Progress::Complete) {
                    progress.send_replace(Progress::Failing(WatchProblem::from(&error)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn changes_of_pools_come_into_force_after_a_quiet_period_and_after_the_longest_delay_at_the_latest()
    {
        let (began, step) = (Instant::now(), POOL_DEBOUNCE_QUIET / 2);
        let mut pending = PendingPools::default();
        assert_eq!(pending.due(), None);
        pending.note();
        assert_eq!(pending.due(), Some(began + POOL_DEBOUNCE_QUIET), "a pool may be gone for a moment");
        for _ in 0..19 {
            tokio::time::advance(step).await;
            pending.note();
        }
        assert!(began.elapsed() < POOL_DEBOUNCE_MAX);
        assert_eq!(pending.due(), Some(began + POOL_DEBOUNCE_MAX), "changes may never end");
        pending.clear();
        assert_eq!(pending.due(), None);
    }
}
