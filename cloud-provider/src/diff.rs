//! The one create / keep / delete split, generic over the key.

use std::collections::BTreeMap;

use crate::Ordered;

/// What is wanted compared with what exists, by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split<K, W, F> {
    /// Wanted and absent, in key order.
    pub create: Vec<(K, W)>,
    /// Wanted and present, in key order: the caller compares the two.
    pub keep: Vec<(K, W, F)>,
    /// Present and not wanted, in key order. A key that was found more than once keeps its first finding; the
    /// others are here too.
    pub delete: Vec<(K, F)>,
}

/// Splits by key. Doubles among the wanted keep the last one.
pub fn split<K: Ord + Clone, W, F>(
    wanted: impl IntoIterator<Item = (K, W)>,
    found: impl IntoIterator<Item = (K, F)>,
) -> Split<K, W, F> {
    let mut wanted: BTreeMap<K, W> = wanted.into_iter().ordered();
    let mut kept: BTreeMap<K, (W, F)> = BTreeMap::new();
    let mut delete = Vec::new();
    for (key, found) in found {
        match wanted.remove(&key) {
            Some(want) => {
                kept.insert(key, (want, found));
            }
            None => delete.push((key, found)),
        }
    }
    delete.sort_by(|a, b| a.0.cmp(&b.0));
    Split {
        create: wanted.into_iter().collect(),
        keep: kept.into_iter().map(|(key, (want, found))| (key, want, found)).collect(),
        delete,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wanted_and_found_split_three_ways() {
        let split = split([(1, 'a'), (2, 'b')], [(2, "two"), (3, "three")]);
        assert_eq!(split.create, [(1, 'a')]);
        assert_eq!(split.keep, [(2, 'b', "two")]);
        assert_eq!(split.delete, [(3, "three")]);
    }

    #[test]
    fn a_double_finding_is_deleted() {
        let split = split([(1, 'a')], [(1, "first"), (1, "second")]);
        assert_eq!(split.keep, [(1, 'a', "first")]);
        assert_eq!(split.delete, [(1, "second")]);
    }
}
