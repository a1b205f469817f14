//! The free addresses of a pool, as intervals: finding, taking and giving back cost the same whatever the size.

use std::collections::BTreeMap;

use cloud_provider::IpFamily;
use metallb::range::{AddressRange, address, is_buggy};

use crate::recently_freed::RecentlyFreed;

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
/// ascending; those that were freed recently come last.
///
/// Both ends of every interval are addresses that may be handed out, so that the first free address is the first
/// interval's start and never has to be searched for. An interval is found by its last address, because its start is
/// what is taken from it: that changes a value in its place and moves nothing in the tree.
#[derive(Clone, Debug)]
pub(crate) struct FreeAddresses {
    family: IpFamily,
    avoid_buggy: bool,
    /// (entry, last) to first.
    intervals: BTreeMap<(usize, u128), u128>,
    /// Where addresses that are given back wait for their next use; none: among the others.
    recently_freed: Option<RecentlyFreed>,
}

impl FreeAddresses {
    /// No address at all.
    pub(crate) fn new(family: IpFamily, avoid_buggy: bool, reuse: Reuse) -> Self {
        let recently_freed = (reuse == Reuse::LongestFree).then(RecentlyFreed::default);
        FreeAddresses { family, avoid_buggy, intervals: BTreeMap::new(), recently_freed }
    }

    /// Adds addresses of one entry of the pool's list.
    pub(crate) fn add(&mut self, entry: usize, range: &AddressRange) {
        let (first, last) = range.bounds();
        self.insert(entry, first, last);
    }

    /// The address to hand out next.
    pub(crate) fn first(&self) -> Option<u128> {
        steps::count();
        let freed_first = || self.recently_freed.as_ref()?.freed_first().map(|(_, number)| number);
        self.intervals.first_key_value().map(|(_, first)| *first).or_else(freed_first)
    }

    /// Takes one address out. Nothing happens if it is not free.
    pub(crate) fn take(&mut self, entry: usize, number: u128) {
        steps::count();
        if self.recently_freed.as_mut().is_some_and(|freed| freed.remove((entry, number))) {
            return;
        }
        let (family, avoid_buggy) = (self.family, self.avoid_buggy);
        // The only interval that can contain it is the first that does not end before it.
        let Some((&(at, last), first)) = self.intervals.range_mut((entry, number)..).next() else { return };
        if at != entry || number < *first {
            return;
        }
        let start = *first;
        if number < last {
            // What is left behind it keeps its end, which may be handed out: so this comes to an end.
            *first = number + 1;
            while avoid_buggy && is_buggy(address(family, *first)) {
                *first += 1;
            }
        } else {
            self.intervals.remove(&(entry, last));
        }
        if start < number {
            self.insert(entry, start, number - 1);
        }
    }

    /// Puts one address back.
    pub(crate) fn give_back(&mut self, entry: usize, number: u128) {
        steps::count();
        let overdue = match &mut self.recently_freed {
            Some(freed) => freed.push((entry, number)),
            None => Some((entry, number)),
        };
        if let Some((entry, number)) = overdue {
            self.join(entry, number);
        }
    }

    /// Makes an address one of those that were never used, joined with its free neighbours.
    fn join(&mut self, entry: usize, number: u128) {
        let before = number.checked_sub(1).and_then(|before| self.intervals.remove(&(entry, before)));
        let start = before.unwrap_or(number);
        match self.intervals.range_mut((entry, number)..).next() {
            Some(((at, _), first)) if *at == entry && number.checked_add(1) == Some(*first) => *first = start,
            _ => {
                self.intervals.insert((entry, number), start);
            }
        }
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
        self.intervals.insert((entry, last), first);
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

    fn set(entries: &[&str], avoid_buggy: bool) -> FreeAddresses {
        let mut set = FreeAddresses::new(IpFamily::V4, avoid_buggy, Reuse::Lowest);
        for (entry, text) in entries.iter().enumerate() {
            set.add(entry, &text.parse().unwrap());
        }
        set
    }

    fn drain(set: &mut FreeAddresses, entry_of: impl Fn(u128) -> usize) -> Vec<String> {
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
        assert_eq!(set.intervals.len(), 2);
        for offset in [5, 3, 4, 7, 0] {
            set.give_back(0, base + offset);
        }
        assert_eq!(set.intervals.into_iter().collect::<Vec<_>>(), [((0, base + 7), base)]);
    }

    #[test]
    fn entries_that_touch_stay_apart() {
        let mut set = set(&["1.2.3.0/31", "1.2.3.2/31"], false);
        let base = set.first().unwrap();
        set.take(1, base + 2);
        set.give_back(1, base + 2);
        assert_eq!(set.intervals.len(), 2);
    }
}
