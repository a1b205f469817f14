//! The objects, one version counter for all of them, what happened lately, and who is watching.
//!
//! Everything happens under one lock, so every write sees the outcome of the one before it and an event
//! reaches the watchers in the order of the versions. Objects are shared, and written out as JSON at most
//! once for all the clients that read them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, OnceLock};

use hyper::body::Bytes;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::object;

/// An object at one version.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) value: Value,
    pub(crate) version: u64,
    full: OnceLock<Bytes>,
    bare: OnceLock<Bytes>,
}

impl Stored {
    fn new(mut value: Value, version: u64) -> Arc<Self> {
        object::set_meta(&mut value, "resourceVersion", version.to_string());
        Arc::new(Self { value, version, full: OnceLock::new(), bare: OnceLock::new() })
    }

    /// The same state under another version.
    pub(crate) fn at_version(&self, version: u64) -> Arc<Self> {
        Self::new(self.value.clone(), version)
    }

    /// The object as JSON.
    pub(crate) fn json(&self) -> Bytes {
        self.full.get_or_init(|| self.value.to_string().into()).clone()
    }

    /// The object as JSON without its kind and version, as lists of built-in kinds carry it.
    pub(crate) fn bare_json(&self) -> Bytes {
        let write = || {
            let mut value = self.value.clone();
            object::as_map(&mut value).retain(|key, _| key != "kind" && key != "apiVersion");
            value.to_string().into()
        };
        self.bare.get_or_init(write).clone()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObjectChange {
    Added,
    Modified,
    Deleted,
}

/// One change, as the watchers get it.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) change: ObjectChange,
    pub(crate) key: String,
    pub(crate) object: Arc<Stored>,
    /// The object before the change; absent for [`ObjectChange::Added`].
    pub(crate) previous: Option<Arc<Stored>>,
}

/// The objects of one kind, whatever API versions show them.
#[derive(Debug, Default)]
pub(crate) struct Table {
    objects: BTreeMap<String, Arc<Stored>>,
    history: VecDeque<Arc<Event>>,
    /// Changes up to and including this version are forgotten.
    forgotten: u64,
    watchers: Vec<mpsc::UnboundedSender<Arc<Event>>>,
}

impl Table {
    pub(crate) fn get(&self, key: &str) -> Option<&Arc<Stored>> {
        self.objects.get(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.objects.len()
    }

    /// The objects whose key starts with `prefix`, in the order of their keys.
    pub(crate) fn range<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a String, &'a Arc<Stored>)> {
        self.objects.range(prefix.to_owned()..).take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// The objects as they were at `version`; `None` when that is forgotten.
    pub(crate) fn at_version(&self, version: u64) -> Option<BTreeMap<String, Arc<Stored>>> {
        if version < self.forgotten {
            return None;
        }
        let mut objects = self.objects.clone();
        for event in self.history.iter().rev().take_while(|e| e.object.version > version) {
            match &event.previous {
                Some(before) => objects.insert(event.key.clone(), before.clone()),
                None => objects.remove(&event.key),
            };
        }
        Some(objects)
    }

    /// The changes after `version`; `None` when some of them are forgotten.
    pub(crate) fn since(&self, version: u64) -> Option<Vec<Arc<Event>>> {
        if version < self.forgotten {
            return None;
        }
        let first = self.history.partition_point(|e| e.object.version <= version);
        Some(self.history.range(first..).cloned().collect())
    }

    /// The version up to which everything is forgotten.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// From now on, every change goes to the receiver, too.
    pub(crate) fn subscribe(&mut self) -> mpsc::UnboundedReceiver<Arc<Event>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.watchers.push(sender);
        receiver
    }
}

/// All tables.
#[derive(Debug)]
pub(crate) struct Store {
    version: watch::Sender<u64>,
    tables: HashMap<String, Table>,
    window: usize,
    /// Before this version nothing is known of any table.
    start: u64,
}

impl Store {
    /// An empty store that remembers the last `window` changes of every table.
    pub(crate) fn new(window: usize) -> Self {
        Self { version: watch::Sender::new(1), tables: HashMap::new(), window, start: 0 }
    }

    pub(crate) fn version(&self) -> u64 {
        *self.version.borrow()
    }

    /// Tells of every new version.
    pub(crate) fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    pub(crate) fn table(&mut self, name: &str) -> &mut Table {
        let start = self.start;
        if !self.tables.contains_key(name) {
            self.tables.insert(name.to_owned(), Table { forgotten: start, ..Table::default() });
        }
        self.tables.get_mut(name).unwrap_or_else(|| unreachable!("made above"))
    }

    pub(crate) fn get(&self, table: &str, key: &str) -> Option<Arc<Stored>> {
        self.tables.get(table)?.get(key).cloned()
    }

    pub(crate) fn contains(&self, table: &str, key: &str) -> bool {
        self.tables.get(table).is_some_and(|t| t.objects.contains_key(key))
    }

    /// The table, if it ever had anything in it.
    pub(crate) fn existing(&self, table: &str) -> Option<&Table> {
        self.tables.get(table)
    }

    /// Creates or replaces an object.
    pub(crate) fn put(&mut self, table: &str, key: &str, value: Value) -> Arc<Stored> {
        let stored = Stored::new(value, self.next_version());
        let window = self.window;
        let table = self.table(table);
        let previous = table.objects.insert(key.to_owned(), stored.clone());
        let change = if previous.is_some() { ObjectChange::Modified } else { ObjectChange::Added };
        record(table, window, Event { change, key: key.to_owned(), object: stored.clone(), previous });
        stored
    }

    /// Removes an object; the event shows its last state under the version of the removal.
    pub(crate) fn remove(&mut self, table: &str, key: &str) -> Option<Arc<Stored>> {
        if !self.contains(table, key) {
            return None;
        }
        let version = self.next_version();
        let window = self.window;
        let table = self.table(table);
        let previous = table.objects.remove(key)?;
        let object = Stored::new(previous.value.clone(), version);
        let event = Event {
            change: ObjectChange::Deleted,
            key: key.to_owned(),
            object,
            previous: Some(previous.clone()),
        };
        record(table, window, event);
        Some(previous)
    }

    /// Forgets all that happened so far: continue tokens and watches from older versions are expired.
    pub(crate) fn forget_history(&mut self) {
        let version = self.version();
        self.start = version;
        for table in self.tables.values_mut() {
            table.history.clear();
            table.forgotten = version;
        }
    }

    fn next_version(&mut self) -> u64 {
        self.version.send_modify(|v| *v += 1);
        self.version()
    }
}

fn record(table: &mut Table, window: usize, event: Event) {
    let event = Arc::new(event);
    table.watchers.retain(|watcher| watcher.send(event.clone()).is_ok());
    table.history.push_back(event);
    while table.history.len() > window {
        if let Some(oldest) = table.history.pop_front() {
            table.forgotten = oldest.object.version;
        }
    }
}

/// The key of an object: the order of keys is the order of lists.
pub(crate) fn key(namespace: &str, name: &str) -> String {
    match namespace {
        "" => name.to_owned(),
        _ => format!("{namespace}/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn store_with(names: &[&str]) -> Store {
        let mut store = Store::new(3);
        for name in names {
            store.put("t", name, json!({"metadata": {"name": name}}));
        }
        store
    }

    #[test]
    fn an_older_version_shows_what_was_there_then() {
        let mut store = store_with(&["a", "b"]);
        let then = store.version();
        store.remove("t", "a");
        store.put("t", "c", json!({"metadata": {"name": "c"}}));
        let seen = store.table("t").at_version(then).expect("within the window");
        assert_eq!(seen.keys().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn a_version_before_the_window_is_forgotten() {
        let mut store = store_with(&["a"]);
        let then = store.version();
        for name in ["b", "c", "d", "e"] {
            store.put("t", name, json!({"metadata": {"name": name}}));
        }
        assert!(store.table("t").since(then).is_none());
        assert!(store.table("t").at_version(then).is_none());
        assert_eq!(store.table("t").since(then + 1).map(|events| events.len()), Some(3));
    }

    #[test]
    fn a_deletion_has_a_version_of_its_own_and_the_last_state() {
        let mut store = store_with(&["a"]);
        let mut events = store.table("t").subscribe();
        let removed = store.remove("t", "a").expect("it was there");
        let event = events.try_recv().expect("an event");
        assert_eq!(event.change, ObjectChange::Deleted);
        assert!(event.object.version > removed.version);
    }
}
