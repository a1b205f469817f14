//! Tables that give back what they do not need any more.
//!
//! When the program starts, all Services wait at once, and never again. What the tables of those who wait grew to would
//! stay for ever, while what is kept of each Service grows beside them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;

/// What is kept in any case: to grow to it once more costs next to nothing.
const KEPT: usize = 256;

/// A table from which much may be taken out.
pub(crate) trait ShrinkWhenSparse {
    /// Gives back what is empty once three of four places are. Each place is moved so seldom that a removal costs no more
    /// for it.
    fn shrink_when_sparse(&mut self);
}

/// To how many places it is worth to shrink, if it is.
fn fitting(len: usize, capacity: usize) -> Option<usize> {
    (capacity > KEPT && len < capacity / 4).then(|| (len * 2).max(KEPT / 2))
}

impl<K: Eq + Hash, V> ShrinkWhenSparse for HashMap<K, V> {
    fn shrink_when_sparse(&mut self) {
        if let Some(places) = fitting(self.len(), self.capacity()) {
            self.shrink_to(places);
        }
    }
}

impl<K: Eq + Hash> ShrinkWhenSparse for HashSet<K> {
    fn shrink_when_sparse(&mut self) {
        if let Some(places) = fitting(self.len(), self.capacity()) {
            self.shrink_to(places);
        }
    }
}

impl<T> ShrinkWhenSparse for VecDeque<T> {
    fn shrink_when_sparse(&mut self) {
        if let Some(places) = fitting(self.len(), self.capacity()) {
            self.shrink_to(places);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shrinks_with_what_is_in_it_and_is_not_moved_for_each_who_leaves() {
        let mut table: HashMap<usize, u8> = (0..10_000).map(|i| (i, 0)).collect();
        let mut line: VecDeque<usize> = (0..10_000).collect();
        let (mut moves, mut capacity) = (0, line.capacity());
        for i in 0..10_000 {
            table.remove(&i);
            line.pop_front();
            table.shrink_when_sparse();
            line.shrink_when_sparse();
            moves += usize::from(std::mem::replace(&mut capacity, line.capacity()) != line.capacity());
            let most = 4 * line.len() + 4 + KEPT;
            assert!(
                table.capacity() <= most && line.capacity() <= most,
                "{i}: {} {}",
                table.capacity(),
                line.capacity()
            );
        }
        assert!((1..=6).contains(&moves), "{moves}");
    }
}
