//! Addresses that were given back, the one that rested longest first.

use std::collections::{BTreeMap, HashMap};

/// How many addresses of one pool and family rest at most. Beyond that the one that rested longest joins those that
/// were never used, so that memory stays bounded.
const MOST: usize = 4096;

/// An entry of the pool's list, and the address's number.
pub(crate) type Place = (usize, u128);

/// The addresses that rest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resting {
    by_turn: BTreeMap<u64, Place>,
    turns: HashMap<Place, u64>,
    next_turn: u64,
}

impl Resting {
    /// Puts an address behind all others; says which one has no room any more.
    pub(crate) fn push(&mut self, place: Place) -> Option<Place> {
        self.by_turn.insert(self.next_turn, place);
        self.turns.insert(place, self.next_turn);
        self.next_turn += 1;
        let overdue = (self.turns.len() > MOST).then(|| self.longest())?;
        overdue.inspect(|place| {
            self.remove(*place);
        })
    }

    /// Takes an address out; says whether it was there.
    pub(crate) fn remove(&mut self, place: Place) -> bool {
        let turn = self.turns.remove(&place);
        turn.is_some_and(|turn| self.by_turn.remove(&turn).is_some())
    }

    /// The one that rests longest.
    pub(crate) fn longest(&self) -> Option<Place> {
        self.by_turn.first_key_value().map(|(_, place)| *place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_rests_longest_comes_first_and_can_be_taken_out_of_turn() {
        let mut resting = Resting::default();
        for number in [5, 3, 9] {
            assert_eq!(resting.push((0, number)), None);
        }
        assert_eq!(resting.longest(), Some((0, 5)));
        assert!(resting.remove((0, 5)));
        assert!(!resting.remove((0, 5)));
        assert_eq!(resting.longest(), Some((0, 3)));
    }

    #[test]
    fn there_is_room_for_so_many_and_the_longest_makes_way() {
        let mut resting = Resting::default();
        for number in 0..MOST as u128 {
            assert_eq!(resting.push((0, number)), None);
        }
        assert_eq!(resting.push((0, MOST as u128)), Some((0, 0)));
        assert_eq!(resting.longest(), Some((0, 1)));
    }
}
