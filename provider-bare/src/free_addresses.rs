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
/// interval's start and never has to be searched for. Nearly everything is taken from the first interval: it lies outside the
/// tree, so that this changes a number and searches for nothing. The others are found by their last address, because their
/// start is what is taken from them: that changes a value in its place and moves nothing in the tree.
#[derive(Clone, Debug)]
pub(crate) struct FreeAddresses {
    family: IpFamily,
    avoid_buggy: bool,
    /// The first interval of all; none if there is none.
    front: Option<Interval>,
    /// The others, (entry, last) to first.
    behind: BTreeMap<(usize, u128), u128>,
    /// Where addresses that are given back wait for their next use; none: among the others.
    recently_freed: Option<RecentlyFreed>,
}

/// Free addresses that follow each other in one entry of the pool's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interval {
    entry: usize,
    first: u128,
    last: u128,
}

impl FreeAddresses {
    /// No address at all.
    pub(crate) fn new(family: IpFamily, avoid_buggy: bool, reuse: Reuse) -> Self {
        let recently_freed = (reuse == Reuse::LongestFree).then(RecentlyFreed::default);
        FreeAddresses { family, avoid_buggy, front: None, behind: BTreeMap::new(), recently_freed }
    }

    /// Adds addresses of one entry of the pool's list.
    pub(crate) fn add(&mut self, entry: usize, range: &AddressRange) {
        let (first, last) = range.bounds();
        self.insert(Interval { entry, first, last });
    }

    /// The address to hand out next.
    pub(crate) fn first(&self) -> Option<u128> {
        steps::count();
        match self.front {
            Some(front) => Some(front.first),
            None => self.recently_freed.as_ref()?.freed_first().map(|(_, number)| number),
        }
    }

    /// Takes the [first](FreeAddresses::first) address out.
    pub(crate) fn take_first(&mut self) {
        steps::count();
        if self.front.is_some() {
            self.shorten_front();
        } else if let Some(freed) = &mut self.recently_freed
            && let Some(first) = freed.freed_first()
        {
            freed.remove(first);
        }
    }

    /// Takes one address out. Nothing happens if it is not free.
    pub(crate) fn take(&mut self, entry: usize, number: u128) {
        steps::count();
        if self.recently_freed.as_mut().is_some_and(|freed| freed.remove((entry, number))) {
            return;
        }
        match self.front {
            Some(front) if (front.entry, front.first) == (entry, number) => self.shorten_front(),
            Some(front) if (front.entry, front.last) >= (entry, number) => {
                if (front.entry, front.first) < (entry, number) {
                    self.front = None;
                    self.insert(Interval { last: number - 1, ..front });
                    if number < front.last {
                        self.insert(Interval { first: number + 1, ..front });
                    }
                }
            }
            _ => self.take_behind(entry, number),
        }
    }

    /// Takes the first address out of the first interval.
    fn shorten_front(&mut self) {
        let (family, avoid_buggy) = (self.family, self.avoid_buggy);
        match &mut self.front {
            Some(front) if front.first < front.last => {
                front.first = next_handed_out(family, avoid_buggy, front.first);
            }
            _ => self.front = self.pop_behind(),
        }
    }

    fn take_behind(&mut self, entry: usize, number: u128) {
        let (family, avoid_buggy) = (self.family, self.avoid_buggy);
        // The only interval that can contain it is the first that does not end before it.
        let Some((&(at, last), first)) = self.behind.range_mut((entry, number)..).next() else { return };
        if at != entry || number < *first {
            return;
        }
        let start = *first;
        if number < last {
            *first = next_handed_out(family, avoid_buggy, number);
        } else {
            self.behind.remove(&(entry, last));
        }
        if start < number {
            self.insert(Interval { entry, first: start, last: number - 1 });
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
        let mut joined = Interval { entry, first: number, last: number };
        if let Some(before) = self.front.filter(|front| front.is_right_before(&joined)) {
            joined.first = before.first;
            self.front = None;
        } else if let Some(before) =
            number.checked_sub(1).and_then(|before| self.behind.remove(&(entry, before)))
        {
            joined.first = before;
        }
        if let Some(next) = self.front.filter(|front| joined.is_right_before(front)) {
            joined.last = next.last;
            self.front = None;
        } else if let Some((&(at, last), &first)) = self.behind.range((entry, number)..).next()
            && joined.is_right_before(&Interval { entry: at, first, last })
        {
            self.behind.remove(&(entry, last));
            joined.last = last;
        }
        self.place(joined);
    }

    /// Adds an interval without the avoided addresses at its ends.
    fn insert(&mut self, interval: Interval) {
        let Interval { entry, mut first, mut last } = interval;
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
        self.place(Interval { entry, first, last });
    }

    /// Puts an interval in its place, which is in front or in the tree.
    fn place(&mut self, interval: Interval) {
        let comes_first = self.front.is_none_or(|front| interval.comes_before(&front));
        let others = if comes_first { self.front.replace(interval) } else { Some(interval) };
        if let Some(Interval { entry, first, last }) = others {
            self.behind.insert((entry, last), first);
        }
    }

    fn pop_behind(&mut self) -> Option<Interval> {
        self.behind.pop_first().map(|((entry, last), first)| Interval { entry, first, last })
    }

    fn is_avoided(&self, number: u128) -> bool {
        self.avoid_buggy && is_buggy(address(self.family, number))
    }
}

impl Interval {
    /// Whether the other begins where this one ends.
    fn is_right_before(&self, next: &Interval) -> bool {
        self.entry == next.entry && self.last.checked_add(1) == Some(next.first)
    }

    fn comes_before(&self, other: &Interval) -> bool {
        (self.entry, self.first) < (other.entry, other.first)
    }
}

/// The next number behind this that may be handed out, where there is one: the end of an interval may be, so this comes to
/// an end.
fn next_handed_out(family: IpFamily, avoid_buggy: bool, number: u128) -> u128 {
    let mut next = number + 1;
    while avoid_buggy && is_buggy(address(family, next)) {
        next += 1;
    }
    next
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
    use std::collections::BTreeSet;

    use proptest::prelude::*;

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
        assert_eq!((set.front.map(|front| front.first), set.behind.len()), (Some(base + 1), 1));
        for offset in [5, 3, 4, 7, 0] {
            set.give_back(0, base + offset);
        }
        assert_eq!(set.front, Some(Interval { entry: 0, first: base, last: base + 7 }));
        assert!(set.behind.is_empty());
    }

    #[test]
    fn entries_that_touch_stay_apart() {
        let mut set = set(&["1.2.3.0/31", "1.2.3.2/31"], false);
        let base = set.first().unwrap();
        set.take(1, base + 2);
        set.give_back(1, base + 2);
        assert_eq!(set.front, Some(Interval { entry: 0, first: base, last: base + 1 }));
        assert_eq!(set.behind.into_iter().collect::<Vec<_>>(), [((1, base + 3), base + 2)]);
    }

    proptest! {
        /// Beside a plain set of the free addresses, in small ranges, so that intervals are split and joined at every turn.
        #[test]
        fn what_is_free_is_what_was_added_and_not_taken(
            avoid_buggy in any::<bool>(),
            steps in proptest::collection::vec((any::<bool>(), any::<bool>(), 0..2_usize, 0..16_u128), 1..60),
        ) {
            let mut set = set(&["1.2.3.250-1.2.4.5", "1.2.4.250-1.2.5.5"], avoid_buggy);
            let bases = [[1, 2, 3, 250], [1, 2, 4, 250]].map(|octets| u128::from(u32::from_be_bytes(octets)));
            let is_free = |number: u128| !avoid_buggy || !is_buggy(address(IpFamily::V4, number));
            let all = (0..2).flat_map(|entry| (0..12).map(move |offset| (entry, bases[entry] + offset)));
            let mut model: BTreeSet<(usize, u128)> = all.filter(|(_, number)| is_free(*number)).collect();
            for (takes, at_first, entry, offset) in steps {
                let place = (entry, bases[entry] + offset);
                match (takes, at_first) {
                    (true, true) => {
                        set.take_first();
                        model.pop_first();
                    }
                    (true, false) => {
                        set.take(place.0, place.1);
                        model.remove(&place);
                    }
                    // Only what was taken is given back.
                    (false, _) if offset < 12 && is_free(place.1) && model.insert(place) => {
                        set.give_back(place.0, place.1);
                    }
                    (false, _) => {}
                }
                prop_assert_eq!(set.first(), model.first().map(|(_, number)| *number));
                prop_assert!(set.front.is_some() || set.behind.is_empty());
            }
            for expected in model {
                prop_assert_eq!(set.first(), Some(expected.1));
                set.take_first();
            }
            prop_assert_eq!(set.first(), None);
        }
    }
}
