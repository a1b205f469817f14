//! Addresses that were given back, the one that was freed first in front.

use std::collections::{BTreeMap, HashMap};

/// How many addresses of one pool and family are remembered as freed. Beyond that the one that was freed first joins
/// those that were never used, so that memory stays bounded.
const MAX_REMEMBERED_ADDRESSES: usize = 4096;

/// An entry of the pool's list, and the address's number.
pub(crate) type PoolAddress = (usize, u128);

/// The addresses that were freed, in that order.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecentlyFreed {
    by_turn: BTreeMap<u64, PoolAddress>,
    turns: HashMap<PoolAddress, u64>,
    next_turn: u64,
}

impl RecentlyFreed {
    /// Puts an address behind all others; says which one has no room any more.
    pub(crate) fn push(&mut self, place: PoolAddress) -> Option<PoolAddress> {
        self.by_turn.insert(self.next_turn, place);
        self.turns.insert(place, self.next_turn);
        self.next_turn += 1;
        let overdue = (self.turns.len() > MAX_REMEMBERED_ADDRESSES).then(|| self.freed_first())?;
        overdue.inspect(|place| {
            self.remove(*place);
        })
    }

    /// Takes an address out; says whether it was there.
    pub(crate) fn remove(&mut self, place: PoolAddress) -> bool {
        let turn = self.turns.remove(&place);
        turn.is_some_and(|turn| self.by_turn.remove(&turn).is_some())
    }

    /// The one that was freed before all others.
    pub(crate) fn freed_first(&self) -> Option<PoolAddress> {
        self.by_turn.first_key_value().map(|(_, place)| *place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_was_freed_first_comes_first_and_can_be_taken_out_of_turn() {
        let mut freed = RecentlyFreed::default();
        for number in [5, 3, 9] {
            assert_eq!(freed.push((0, number)), None);
        }
        assert_eq!(freed.freed_first(), Some((0, 5)));
        assert!(freed.remove((0, 5)));
        assert!(!freed.remove((0, 5)));
        assert_eq!(freed.freed_first(), Some((0, 3)));
    }

    #[test]
    fn there_is_room_for_so_many_and_the_one_freed_first_makes_way() {
        let mut freed = RecentlyFreed::default();
        for number in 0..MAX_REMEMBERED_ADDRESSES as u128 {
            assert_eq!(freed.push((0, number)), None);
        }
        assert_eq!(freed.push((0, MAX_REMEMBERED_ADDRESSES as u128)), Some((0, 0)));
        assert_eq!(freed.freed_first(), Some((0, 1)));
    }
}
