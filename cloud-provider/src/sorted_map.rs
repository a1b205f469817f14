//! A map for the few annotations, labels and conditions of one Service.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Index;

use serde::{Serialize, Serializer};

/// Values by name, in the order of the names, as one array without room to spare.
///
/// A controller keeps several such maps of each of many thousand Services. The first entry of a `BTreeMap` takes the
/// memory of eleven; here an entry takes what it is. A value is found by halving, and a name that is put in moves all
/// that follow it, which for what a Service carries is less than a search through nodes on the heap.
///
/// ```
/// use cloud_provider::SortedMap;
///
/// let mut annotations: SortedMap<String> = [("b".to_owned(), "2".to_owned())].into();
/// annotations.insert("a".to_owned(), "1".to_owned());
/// assert_eq!(annotations.get("b").map(String::as_str), Some("2"));
/// assert_eq!(annotations.keys().collect::<Vec<_>>(), ["a", "b"]);
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SortedMap<V>(Vec<(String, V)>);

impl<V> SortedMap<V> {
    /// Without an entry, and without memory of its own.
    pub const fn new() -> Self {
        SortedMap(Vec::new())
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of this name.
    pub fn get(&self, name: &str) -> Option<&V> {
        self.find(name).ok().map(|at| &self.0[at].1)
    }

    /// The value of this name, to change it in place.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut V> {
        self.find(name).ok().map(|at| &mut self.0[at].1)
    }

    /// Whether there is a value of this name.
    pub fn contains_key(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// Puts a value in; the one that had its name before.
    pub fn insert(&mut self, name: String, value: V) -> Option<V> {
        match self.find(&name) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, value)),
            Err(at) => {
                self.0.reserve_exact(1);
                self.0.insert(at, (name, value));
                None
            }
        }
    }

    /// Takes a value out.
    pub fn remove(&mut self, name: &str) -> Option<V> {
        self.find(name).ok().map(|at| self.0.remove(at).1)
    }

    /// Takes all out.
    pub fn clear(&mut self) {
        self.0 = Vec::new();
    }

    /// Names and values, in the order of the names.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&String, &V)> + Clone {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// The names, in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &String> + Clone {
        self.0.iter().map(|(name, _)| name)
    }

    /// The values, in the order of their names.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + Clone {
        self.0.iter().map(|(_, value)| value)
    }

    /// The values in the order of their names, to change them in place.
    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(present, _)| present.as_str().cmp(name))
    }
}

impl<V> Default for SortedMap<V> {
    fn default() -> Self {
        SortedMap::new()
    }
}

/// Of two entries of one name the later one counts, as in every map.
impl<V> FromIterator<(String, V)> for SortedMap<V> {
    fn from_iter<I: IntoIterator<Item = (String, V)>>(entries: I) -> Self {
        let entries = entries.into_iter();
        let mut map = SortedMap(Vec::with_capacity(entries.size_hint().0));
        for (name, value) in entries {
            map.insert(name, value);
        }
        map.0.shrink_to_fit();
        map
    }
}

impl<V, const N: usize> From<[(String, V); N]> for SortedMap<V> {
    fn from(entries: [(String, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<V> From<BTreeMap<String, V>> for SortedMap<V> {
    fn from(entries: BTreeMap<String, V>) -> Self {
        SortedMap(entries.into_iter().collect())
    }
}

impl<V> Extend<(String, V)> for SortedMap<V> {
    fn extend<I: IntoIterator<Item = (String, V)>>(&mut self, entries: I) {
        for (name, value) in entries {
            self.insert(name, value);
        }
    }
}

impl<V> IntoIterator for SortedMap<V> {
    type Item = (String, V);
    type IntoIter = std::vec::IntoIter<(String, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, V> IntoIterator for &'a SortedMap<V> {
    type Item = (&'a String, &'a V);
    type IntoIter = std::iter::Map<std::slice::Iter<'a, (String, V)>, fn(&'a (String, V)) -> Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(|(name, value)| (name, value))
    }
}

/// # Panics
/// If there is no value of this name.
impl<V> Index<&str> for SortedMap<V> {
    type Output = V;

    fn index(&self, name: &str) -> &V {
        self.get(name).expect("a value of this name")
    }
}

impl<V: fmt::Debug> fmt::Debug for SortedMap<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl<V: Serialize> Serialize for SortedMap<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Names of which many are the same.
    fn entries() -> impl Strategy<Value = Vec<(String, u8)>> {
        proptest::collection::vec(("[ab]{0,2}", any::<u8>()), 0..12)
    }

    proptest! {
        #[test]
        fn it_holds_what_a_btree_map_holds(made in entries(), put in entries(), taken in entries()) {
            let mut expected: BTreeMap<String, u8> = made.iter().cloned().collect();
            let mut map: SortedMap<u8> = made.into_iter().collect();
            prop_assert_eq!(map.clone(), SortedMap::from(expected.clone()));
            for (name, value) in put {
                prop_assert_eq!(map.insert(name.clone(), value), expected.insert(name, value));
            }
            for (name, _) in &taken {
                prop_assert_eq!(map.contains_key(name), expected.contains_key(name));
                prop_assert_eq!(map.remove(name), expected.remove(name));
                prop_assert_eq!(map.get(name), None);
            }
            prop_assert_eq!(map.len(), expected.len());
            prop_assert!(map.iter().eq(expected.iter()) && (&map).into_iter().eq(&expected));
            prop_assert!(map.keys().eq(expected.keys()) && map.values().eq(expected.values()));
            prop_assert_eq!(serde_json::to_string(&map).unwrap(), serde_json::to_string(&expected).unwrap());
            prop_assert_eq!(format!("{map:?}"), format!("{expected:?}"));
            for (name, value) in &expected {
                prop_assert_eq!((map.get(name), &map[name.as_str()]), (Some(value), value));
            }
            prop_assert!(map.into_iter().eq(expected));
        }
    }
}
