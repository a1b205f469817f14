//! The free addresses of a pool, as intervals: finding, taking and giving back cost the same whatever the size.

use std::collections::BTreeMap;

use cloud_provider::IpFamily;

use crate::resting::Resting;
use metallb::range::{AddressRange, address, is_buggy};

/// In which order addresses that were given back are used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reuse {
    /// The lowest free address first, whether or not it was used before.
    #[default]
    Lowest,
    /// First what was never used, then what has been free longest: what still points to an address that was given
    /// back, such as a DNS record or a firewall rule, does not at once lead to somebody else. What was used is known
    /// in memory only, and forgotten when the process or a pool changes.
    LongestFree,
}

/// Free addresses of one pool and family, in the order they are handed out: by entry of the pool's list, then
/// ascending; those that rest come last.
///
/// Both ends of every interval are addresses that may be handed out, so that the first free address is the first
/// interval's start and never has to be searched for.
#[derive(Clone, Debug)]
pub(crate) struct FreeSet {
    family: IpFamily,
    avoid_buggy: bool,
    /// (entry, first) to last.
    free: BTreeMap<(usize, u128), u128>,
    /// Where addresses that are given back wait for their next use; none: among the others.
    resting: Option<Resting>,
}

impl FreeSet {
    /// A set without any address.
    pub(crate) fn new(family: IpFamily, avoid_buggy: bool, reuse: Reuse) -> Self {
        let resting = (reuse == Reuse::LongestFree).then(Resting::default);
        FreeSet { family, avoid_buggy, free: BTreeMap::new(), resting }
    }

    /// Adds addresses of one entry of the pool's list.
    pub(crate) fn add(&mut self, entry: usize, range: &AddressRange) {
        let (first, last) = range.bounds();
        self.insert(entry, first, last);
    }

    /// The address to hand out next.
    pub(crate) fn first(&self) -> Option<u128> {
        steps::count();
        let rested = || self.resting.as_ref()?.longest().map(|(_, number)| number);
        self.free.first_key_value().map(|((_, first), _)| *first).or_else(rested)
    }

    /// Takes one address out. Nothing happens if it is not free.
    pub(crate) fn take(&mut self, entry: usize, number: u128) {
        steps::count();
        if self.resting.as_mut().is_some_and(|resting| resting.remove((entry, number))) {
            return;
        }
        let Some((&key, &last)) = self.free.range(..=(entry, number)).next_back() else { return };
        if key.0 != entry || last < number {
            return;
        }
        self.free.remove(&key);
        if key.1 < number {
            self.insert(entry, key.1, number - 1);
        }
        if number < last {
            self.insert(entry, number + 1, last);
        }
    }

    /// Puts one address back.
    pub(crate) fn give_back(&mut self, entry: usize, number: u128) {
        steps::count();
        let rested = match &mut self.resting {
            Some(resting) => resting.push((entry, number)),
            None => Some((entry, number)),
        };
        if let Some((entry, number)) = rested {
            self.join(entry, number);
        }
    }

    /// Makes an address one of those that were never used, joined with its free neighbours.
    fn join(&mut self, entry: usize, number: u128) {
        let (mut first, mut last) = (number, number);
        if let Some((&key, &end)) = self.free.range(..(entry, number)).next_back()
            && key.0 == entry
            && end + 1 == number
        {
            first = key.1;
            self.free.remove(&key);
        }
        if let Some(after) = number.checked_add(1)
            && let Some(end) = self.free.remove(&(entry, after))
        {
            last = end;
        }
        self.free.insert((entry, first), last);
    }

    fn insert(&mut self, entry: usize, mut first: u128, mut last: u128) {
        // Avoided addresses come in twos at most, so each loop runs twice at most.
        while self.is_avoided(first) {
            if first == last {
                return;
            }
            first += 1;
        }
        while self.is_avoided(last) {
            last -= 1;
        }
        steps::count();
        self.free.insert((entry, first), last);
    }

    fn is_avoided(&self, number: u128) -> bool {
        self.avoid_buggy && is_buggy(address(self.family, number))
    }
}

/// Counts how often a free set is touched, so that tests can show what an allocation costs without a clock.
pub(crate) mod steps {
    #[cfg(test)]
    thread_local! {
        static STEPS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
    }

    pub(crate) fn count() {
        #[cfg(test)]
        STEPS.with(|steps| steps.set(steps.get() + 1));
    }

    /// How many steps `work` takes on this thread.
    #[cfg(test)]
    pub(crate) fn of<T>(work: impl FnOnce() -> T) -> (u64, T) {
        let before = STEPS.with(std::cell::Cell::get);
        let result = work();
        (STEPS.with(std::cell::Cell::get) - before, result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(entries: &[&str], avoid_buggy: bool) -> FreeSet {
        let mut set = FreeSet::new(IpFamily::V4, avoid_buggy, Reuse::Lowest);
        for (entry, text) in entries.iter().enumerate() {
            set.add(entry, &text.parse().unwrap());
        }
        set
    }

    fn drain(set: &mut FreeSet, entry_of: impl Fn(u128) -> usize) -> Vec<String> {
        std::iter::from_fn(|| {
            let number = set.first()?;
            set.take(entry_of(number), number);
            Some(address(IpFamily::V4, number).to_string())
        })
        .collect()
    }

    #[test]
    fn addresses_come_in_the_order_of_the_entries_then_ascending() {
        let mut set = set(&["1.2.4.0/31", "1.2.3.0/31"], false);
        let second = u128::from(u32::from_be_bytes([1, 2, 4, 0]));
        let all = drain(&mut set, |number| usize::from(number < second));
        assert_eq!(all, ["1.2.4.0", "1.2.4.1", "1.2.3.0", "1.2.3.1"]);
    }

    #[test]
    fn avoided_addresses_are_never_found() {
        let mut set = set(&["1.2.3.254-1.2.4.1"], true);
        assert_eq!(drain(&mut set, |_| 0), ["1.2.3.254", "1.2.4.1"]);
    }

    #[test]
    fn an_entry_of_avoided_addresses_only_is_empty() {
        assert_eq!(set(&["1.2.3.255-1.2.4.0"], true).first(), None);
    }

    #[test]
    fn what_is_given_back_joins_its_neighbours() {
        let mut set = set(&["1.2.3.0/29"], false);
        let base = set.first().unwrap();
        for offset in [3, 5, 4, 0, 7] {
            set.take(0, base + offset);
        }
        assert_eq!(set.free.len(), 2);
        for offset in [5, 3, 4, 7, 0] {
            set.give_back(0, base + offset);
        }
        assert_eq!(set.free.into_iter().collect::<Vec<_>>(), [((0, base), base + 7)]);
    }

    #[test]
    fn entries_that_touch_stay_apart() {
        let mut set = set(&["1.2.3.0/31", "1.2.3.2/31"], false);
        let base = set.first().unwrap();
        set.take(1, base + 2);
        set.give_back(1, base + 2);
        assert_eq!(set.free.len(), 2);
    }
}
