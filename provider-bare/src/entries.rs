//! What is known of each Service, and how it is found: by number and by UID.

use std::hash::Hasher;
use std::net::IpAddr;
use std::ops::{Index, IndexMut};
use std::time::Duration;

use cloud_provider::ServiceId;
use hashbrown::HashTable;
use slab::Slab;

use crate::allocation::{Addresses, Allocation};
use crate::desired::{Handling, ObservedService, Sharing};
use crate::maps::{UidHasher, spread};
use crate::wait_queue::{QueuePosition, WaitTarget};

/// Which entry is a Service's, for as long as the Service is known. After that it may become another's: nobody keeps
/// it beyond the Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EntryId(u32);

impl EntryId {
    pub(crate) fn new(position: usize) -> Self {
        EntryId(
            u32::try_from(position).expect("there is memory for fewer than four thousand million Services"),
        )
    }

    fn position(self) -> usize {
        self.0 as usize
    }
}

/// What is made of a UID, once for each time that it comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UidHash(u32);

impl UidHash {
    pub(crate) fn of(uid: &str) -> Self {
        let mut hasher = UidHasher::default();
        hasher.write(uid.as_bytes());
        UidHash(hasher.finish() as u32)
    }

    /// The table takes the place from the lowest bits and tells neighbours apart by the highest.
    fn place(self) -> u64 {
        spread(self.0)
    }
}

/// What nearly every Service comes to.
static SERVED: Allocation = Allocation::Served;

/// What is known of one Service. Of each there is one, and whoever else speaks of the Service does so by the entry's
/// number: what an allocation costs is mostly how much memory it touches, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: ServiceId,
    /// How others see it on what it owns.
    pub(crate) sharing: Sharing,
    pub(crate) created: i64,
    pub(crate) handling: Handling,
    /// What is its own, in publishing order.
    pub(crate) owned: Addresses,
    /// None while there is nothing of the kind.
    unsettled: Option<Box<Unsettled>>,
}

/// What there is to know of a Service that is not simply served with what it was told. Most never come to that, so that it
/// has no room in their entries.
#[derive(Clone, Debug)]
pub(crate) struct Unsettled {
    /// What it was last answered to have, so that its status may show it: what the next decision starts from, whether
    /// or not a decision since then, of which nobody was told, set something else aside. None: what it owns.
    answered: Option<Addresses>,
    /// What its status may show besides what it was last answered: an earlier answer, or what is another's. If a decision
    /// takes it back, it stays here until that is answered too, for the next decision may give it up again.
    pub(crate) shown: Addresses,
    /// What of what it was answered no pool provides any more, and until when it is kept all the same.
    pub(crate) leaving: Vec<LeavingAddress>,
    pub(crate) allocation: Allocation,
    pub(crate) waiting: Option<(QueuePosition, Vec<WaitTarget>)>,
    /// Its ports and its key of now, until the decision for them is carried out: so long others see it as it was.
    pub(crate) sharing_of_now: Option<Sharing>,
}

/// An address that no pool provides to its Service any more, and that stays for a while in case the pool comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeavingAddress {
    pub(crate) ip: IpAddr,
    /// When the grace period ends.
    pub(crate) until: Duration,
}

impl Unsettled {
    fn nothing() -> Self {
        Unsettled {
            answered: None,
            shown: Addresses::new(),
            leaving: Vec::new(),
            allocation: Allocation::Served,
            waiting: None,
            sharing_of_now: None,
        }
    }

    fn is_nothing(&self) -> bool {
        self.answered.is_none()
            && self.shown.is_empty()
            && self.leaving.is_empty()
            && self.allocation == Allocation::Served
            && self.waiting.is_none()
            && self.sharing_of_now.is_none()
    }
}

impl Entry {
    /// Of a Service of which nothing is known yet.
    pub(crate) fn new(observed: ObservedService) -> Self {
        let ObservedService { id, created, sharing, handling, .. } = observed;
        Entry { id, sharing, created, handling, owned: Addresses::new(), unsettled: None }
    }

    /// Of a Service that is new and that is answered to have this address.
    pub(crate) fn served(observed: ObservedService, ip: IpAddr) -> Self {
        let ObservedService { id, created, sharing, handling, .. } = observed;
        Entry { id, sharing, created, handling, owned: only(ip), unsettled: None }
    }

    /// See [`Unsettled::answered`].
    pub(crate) fn answered(&self) -> &[IpAddr] {
        let other = self.unsettled.as_ref().and_then(|unsettled| unsettled.answered.as_ref());
        other.unwrap_or(&self.owned)
    }

    /// Takes note that this is what it was last answered to have.
    pub(crate) fn set_answered(&mut self, answered: Addresses) {
        self.unsettled().answered = Some(answered);
        self.settle();
    }

    /// Takes note that it is answered now: what it owns.
    pub(crate) fn answer(&mut self) {
        if self.unsettled.is_some() {
            let outdated = self.outdated();
            let unsettled = self.unsettled();
            (unsettled.answered, unsettled.shown) = (None, outdated);
            self.settle();
        }
    }

    /// Has this from now on, which nobody was told of yet.
    pub(crate) fn exchange(&mut self, owned: Addresses) {
        if owned != self.owned {
            let answered = Addresses::from_slice(self.answered());
            self.owned = owned;
            self.unsettled().answered = Some(answered);
        }
        self.settle();
    }

    /// See [`Unsettled::shown`].
    pub(crate) fn shown(&self) -> &[IpAddr] {
        self.unsettled.as_ref().map_or(&[], |unsettled| &unsettled.shown)
    }

    /// See [`Unsettled::leaving`].
    pub(crate) fn leaving(&self) -> &[LeavingAddress] {
        self.unsettled.as_ref().map_or(&[], |unsettled| &unsettled.leaving)
    }

    pub(crate) fn allocation(&self) -> &Allocation {
        self.unsettled.as_ref().map_or(&SERVED, |unsettled| &unsettled.allocation)
    }

    /// Where it waits, and for what.
    pub(crate) fn waiting(&self) -> Option<&(QueuePosition, Vec<WaitTarget>)> {
        self.unsettled.as_ref()?.waiting.as_ref()
    }

    /// How it gets along with others from the next decision on.
    pub(crate) fn sharing_of_now(&self) -> &Sharing {
        let of_now = self.unsettled.as_ref().and_then(|unsettled| unsettled.sharing_of_now.as_ref());
        of_now.unwrap_or(&self.sharing)
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.unsettled.is_none()
    }

    /// What is not settled of it, to be changed; [`settle`](Entry::settle) is to be called after that.
    pub(crate) fn unsettled(&mut self) -> &mut Unsettled {
        self.unsettled.get_or_insert_with(|| Box::new(Unsettled::nothing()))
    }

    /// Takes no more memory than it needs, after something was settled.
    pub(crate) fn settle(&mut self) {
        let Some(unsettled) = &mut self.unsettled else { return };
        if unsettled.answered.as_ref() == Some(&self.owned) {
            unsettled.answered = None;
        }
        if unsettled.is_nothing() {
            self.unsettled = None;
        }
    }

    /// What it owns and was answered. What is set aside for it in memory alone does not exist for anybody yet.
    pub(crate) fn held(&self) -> Addresses {
        those(&self.owned, |ip| self.may_show(*ip))
    }

    /// Whether its status may show it.
    pub(crate) fn may_show(&self, ip: IpAddr) -> bool {
        self.answered().contains(&ip) || self.shown().contains(&ip)
    }

    /// What its status may show though it is not its own (any longer).
    pub(crate) fn outdated(&self) -> Addresses {
        those(self.shown(), |ip| !self.owned.contains(ip))
    }

    pub(crate) fn is_avoided(&self) -> bool {
        matches!(self.handling, Handling::Avoid)
    }
}

/// One address, without a look at how many there are.
pub(crate) fn only(ip: IpAddr) -> Addresses {
    Addresses::from_buf_and_len([ip; 2], 1)
}

/// Those of these addresses: mostly none of none, which costs next to nothing.
pub(crate) fn those(addresses: &[IpAddr], which: impl Fn(&IpAddr) -> bool) -> Addresses {
    let mut those = Addresses::new();
    addresses.iter().filter(|ip| which(ip)).for_each(|ip| those.push(*ip));
    those
}

/// All entries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entries {
    slab: Slab<Entry>,
    by_uid: HashTable<ByUid>,
}

/// Eight bytes for each Service, in place of its UID. With the hash beside the number nearly nobody else's entry is looked
/// at, which would be far away in memory: neither in a search nor when the table grows.
#[derive(Clone, Copy, Debug)]
struct ByUid {
    hash: UidHash,
    id: EntryId,
}

impl Entries {
    /// Whose UID this is; `hash` is its hash.
    pub(crate) fn find_hashed(&self, uid: &str, hash: UidHash) -> Option<EntryId> {
        let is_it = |found: &ByUid| found.hash == hash && *self[found.id].id.uid == *uid;
        self.by_uid.find(hash.place(), is_it).map(|found| found.id)
    }

    /// Whose UID this is.
    pub(crate) fn find(&self, uid: &str) -> Option<EntryId> {
        self.find_hashed(uid, UidHash::of(uid))
    }

    /// Enters a Service that is not known.
    pub(crate) fn insert(&mut self, entry: Entry) -> EntryId {
        let hash = UidHash::of(&entry.id.uid);
        self.insert_hashed(entry, hash)
    }

    /// As [`insert`](Entries::insert); `hash` is its UID's hash.
    pub(crate) fn insert_hashed(&mut self, entry: Entry, hash: UidHash) -> EntryId {
        let id = EntryId::new(self.slab.insert(entry));
        self.by_uid.insert_unique(hash.place(), ByUid { hash, id }, |known| known.hash.place());
        id
    }

    /// Takes a Service out, if it is known.
    pub(crate) fn remove(&mut self, uid: &str) -> Option<(EntryId, Entry)> {
        let (hash, slab) = (UidHash::of(uid), &self.slab);
        let is_it = |found: &ByUid| found.hash == hash && *slab[found.id.position()].id.uid == *uid;
        let found = self.by_uid.find_entry(hash.place(), is_it).ok()?;
        let (ByUid { id, .. }, _) = found.remove();
        Some((id, self.slab.remove(id.position())))
    }

    /// As new.
    pub(crate) fn clear(&mut self) {
        self.slab.clear();
        self.by_uid.clear();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (EntryId, &Entry)> {
        self.slab.iter().map(|(position, entry)| (EntryId::new(position), entry))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.slab.iter_mut().map(|(_, entry)| entry)
    }
}

impl Index<EntryId> for Entries {
    type Output = Entry;

    fn index(&self, id: EntryId) -> &Entry {
        &self.slab[id.position()]
    }
}

impl IndexMut<EntryId> for Entries {
    fn index_mut(&mut self, id: EntryId) -> &mut Entry {
        &mut self.slab[id.position()]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    fn entry(uid: &str) -> Entry {
        Entry::new(ObservedService {
            id: ServiceId::new("default", "web", uid),
            created: 0,
            published: Vec::new(),
            sharing: Sharing::default(),
            handling: Handling::Protect,
        })
    }

    proptest! {
        /// Few UIDs, so that many go and come again.
        #[test]
        fn a_service_is_found_by_its_uid_from_when_it_comes_until_it_goes(
            steps in proptest::collection::vec((0..40_u8, any::<bool>()), 1..200),
        ) {
            let mut entries = Entries::default();
            let mut model: HashMap<String, EntryId> = HashMap::new();
            for (number, comes) in steps {
                let uid = format!("uid-{number}");
                if !comes {
                    prop_assert_eq!(entries.remove(&uid).map(|(id, _)| id), model.remove(&uid));
                } else {
                    model.entry(uid.clone()).or_insert_with(|| entries.insert(entry(&uid)));
                }
                for number in 0..40 {
                    let uid = format!("uid-{number}");
                    let found = entries.find(&uid);
                    prop_assert_eq!(found, model.get(&uid).copied());
                    prop_assert!(found.is_none_or(|id| *entries[id].id.uid == *uid));
                }
                let known: HashSet<&str> = entries.iter().map(|(_, entry)| &*entry.id.uid).collect();
                prop_assert_eq!(known, model.keys().map(String::as_str).collect::<HashSet<_>>());
            }
        }
    }

    #[test]
    fn two_services_whose_uids_have_one_hash_are_two() {
        let mut entries = Entries::default();
        let hash = UidHash::of("first");
        let first = entries.insert_hashed(entry("first"), hash);
        let second = entries.insert_hashed(entry("second"), hash);
        assert_eq!(entries.find_hashed("first", hash), Some(first));
        assert_eq!(entries.find_hashed("second", hash), Some(second));
        assert_eq!(entries.find_hashed("third", hash), None);
    }
}
