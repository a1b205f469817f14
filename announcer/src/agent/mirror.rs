//! The objects of one kind, as the API server last told.

use std::collections::BTreeMap;

use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};

/// What is kept of the objects of one kind, by namespace and name.
#[derive(Debug)]
pub(super) struct Mirror<V> {
    current: BTreeMap<(String, String), V>,
    /// A list that is coming in: until it is whole, what was told before stands.
    coming: Option<BTreeMap<(String, String), V>>,
    listed: bool,
}

impl<V> Default for Mirror<V> {
    fn default() -> Self {
        Mirror { current: BTreeMap::new(), coming: None, listed: false }
    }
}

impl<V: PartialEq> Mirror<V> {
    /// Takes in what a watch told; `view` says what is kept of an object, or that nothing is. True if what is kept is
    /// another now.
    pub(super) fn apply<K>(&mut self, event: Event<K>, view: impl Fn(&K) -> Option<V>) -> bool
    where
        K: Resource,
    {
        match event {
            Event::Init => {
                self.coming = Some(BTreeMap::new());
                false
            }
            Event::InitApply(object) => {
                if let (Some(coming), Some(view)) = (&mut self.coming, view(&object)) {
                    coming.insert(key(&object), view);
                }
                false
            }
            Event::InitDone => {
                let first = !std::mem::replace(&mut self.listed, true);
                let Some(all) = self.coming.take() else { return first };
                let changed = all != self.current;
                self.current = all;
                changed || first
            }
            Event::Apply(object) => {
                let key = key(&object);
                let Some(view) = view(&object) else { return self.current.remove(&key).is_some() };
                let changed = self.current.get(&key) != Some(&view);
                self.current.insert(key, view);
                changed
            }
            Event::Delete(object) => self.current.remove(&key(&object)).is_some(),
        }
    }

    /// The API server does not know the kind: there are none, until it does. True if that is news.
    pub(super) fn has_no_kind(&mut self) -> bool {
        // What was told before stands: a definition that is taken away takes its objects along, each by an event.
        !std::mem::replace(&mut self.listed, true)
    }

    /// Whether a list came in whole, once at least.
    pub(super) fn is_listed(&self) -> bool {
        self.listed
    }

    /// What is kept, by namespace and name.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.current.values()
    }
}

fn key<K: Resource>(object: &K) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Node;
    use kube::api::ObjectMeta;

    use super::*;

    fn node(name: &str) -> Node {
        Node {
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            ..Node::default()
        }
    }

    fn names(mirror: &Mirror<String>) -> Vec<&str> {
        mirror.values().map(String::as_str).collect()
    }

    /// Keeps names, but those that begin with "not".
    fn apply(mirror: &mut Mirror<String>, event: Event<Node>) -> bool {
        mirror.apply(event, |node| Some(node.name_any()).filter(|name| !name.starts_with("not")))
    }

    #[test]
    fn what_was_told_before_stands_until_a_new_list_is_whole() {
        let mut mirror = Mirror::default();
        for event in [Event::Init, Event::InitApply(node("a")), Event::InitApply(node("b"))] {
            assert!(!apply(&mut mirror, event));
        }
        assert!(names(&mirror).is_empty() && !mirror.is_listed());
        assert!(apply(&mut mirror, Event::InitDone));
        assert!(mirror.is_listed());
        for event in [Event::Init, Event::InitApply(node("b"))] {
            assert!(!apply(&mut mirror, event));
            assert_eq!(names(&mirror), ["a", "b"]);
        }
        assert!(apply(&mut mirror, Event::InitDone));
        assert_eq!(names(&mirror), ["b"]);
    }

    #[test]
    fn an_event_that_changes_nothing_of_what_is_kept_is_no_news() {
        let mut mirror = Mirror::default();
        assert!(apply(&mut mirror, Event::Apply(node("a"))));
        assert!(!apply(&mut mirror, Event::Apply(node("a"))));
        assert!(!apply(&mut mirror, Event::Apply(node("not-kept"))));
        assert!(apply(&mut mirror, Event::Delete(node("a"))));
        assert!(!apply(&mut mirror, Event::Delete(node("a"))));
        for event in [Event::Init, Event::InitDone] {
            apply(&mut mirror, event);
        }
        for event in [Event::Init, Event::InitDone] {
            assert!(!apply(&mut mirror, event), "the same empty list again");
        }
    }

    #[test]
    fn an_empty_first_list_is_news_because_from_then_on_it_is_known_that_there_is_nothing() {
        let mut mirror = Mirror::default();
        assert!(!apply(&mut mirror, Event::Init));
        assert!(apply(&mut mirror, Event::InitDone));
        let mut mirror = Mirror::<String>::default();
        assert!(mirror.has_no_kind() && mirror.is_listed());
        assert!(!mirror.has_no_kind());
    }
}
