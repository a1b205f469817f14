//! Who has to do with one address.

use std::{mem, slice};

use crate::entries::EntryId;

/// Those that an address belongs to, and those whose status may show it though it is not, or no longer, theirs: as long
/// as there is one of these, it is given to nobody new. Nearly every address has one owner and nobody else, and takes no
/// memory but its place in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Assigned {
    /// It is one Service's, and no other's status shows it.
    Owned(EntryId),
    /// Anything else.
    Among(Box<Parties>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parties {
    /// Several only if they share.
    owners: Vec<EntryId>,
    shown_by: Vec<EntryId>,
}

/// Who is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Somebody,
    /// It is to be forgotten.
    Nobody,
}

impl Assigned {
    /// It has no owner, and a status shows it.
    pub(crate) fn shown(id: EntryId) -> Self {
        Assigned::among(Vec::new(), vec![id])
    }

    fn among(owners: Vec<EntryId>, shown_by: Vec<EntryId>) -> Self {
        Assigned::Among(Box::new(Parties { owners, shown_by }))
    }

    pub(crate) fn owners(&self) -> &[EntryId] {
        match self {
            Assigned::Owned(id) => slice::from_ref(id),
            Assigned::Among(parties) => &parties.owners,
        }
    }

    pub(crate) fn shown_by(&self) -> &[EntryId] {
        match self {
            Assigned::Owned(_) => &[],
            Assigned::Among(parties) => &parties.shown_by,
        }
    }

    pub(crate) fn add_owner(&mut self, id: EntryId) {
        *self = match mem::replace(self, Assigned::Owned(id)) {
            Assigned::Owned(first) => Assigned::among(vec![first, id], Vec::new()),
            Assigned::Among(mut parties) => {
                parties.owners.push(id);
                Assigned::Among(parties)
            }
        };
    }

    /// One more status may show it.
    pub(crate) fn add_shown_by(&mut self, id: EntryId) {
        *self = match mem::replace(self, Assigned::Owned(id)) {
            Assigned::Owned(owner) => Assigned::among(vec![owner], vec![id]),
            Assigned::Among(mut parties) => {
                parties.shown_by.push(id);
                Assigned::Among(parties)
            }
        };
    }

    /// Takes a Service out, whatever it has to do with the address.
    pub(crate) fn remove(&mut self, id: EntryId) -> Left {
        match self {
            Assigned::Owned(owner) => return if *owner == id { Left::Nobody } else { Left::Somebody },
            Assigned::Among(parties) => {
                parties.owners.retain(|owner| *owner != id);
                parties.shown_by.retain(|shown| *shown != id);
                match (parties.owners.as_slice(), parties.shown_by.as_slice()) {
                    ([], []) => return Left::Nobody,
                    ([owner], []) => *self = Assigned::Owned(*owner),
                    _ => {}
                }
            }
        }
        Left::Somebody
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Own(u8),
        Show(u8),
        Leave(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        (0..3_u8, 0..4_u8).prop_map(|(kind, who)| match kind {
            0 => Step::Own(who),
            1 => Step::Show(who),
            _ => Step::Leave(who),
        })
    }

    proptest! {
        #[test]
        fn an_address_has_those_who_came_and_did_not_leave_in_the_order_in_which_they_came(
            steps in proptest::collection::vec(step(), 1..30),
        ) {
            let id = |who: u8| EntryId::new(usize::from(who));
            let mut assigned: Option<Assigned> = None;
            let (mut owners, mut shown_by): (Vec<EntryId>, Vec<EntryId>) = (Vec::new(), Vec::new());
            for step in steps {
                match step {
                    Step::Own(who) => {
                        owners.push(id(who));
                        match &mut assigned {
                            Some(assigned) => assigned.add_owner(id(who)),
                            None => assigned = Some(Assigned::Owned(id(who))),
                        }
                    }
                    Step::Show(who) => {
                        shown_by.push(id(who));
                        match &mut assigned {
                            Some(assigned) => assigned.add_shown_by(id(who)),
                            None => assigned = Some(Assigned::shown(id(who))),
                        }
                    }
                    Step::Leave(who) => {
                        owners.retain(|owner| *owner != id(who));
                        shown_by.retain(|shown| *shown != id(who));
                        if assigned.as_mut().is_some_and(|assigned| assigned.remove(id(who)) == Left::Nobody) {
                            assigned = None;
                        }
                    }
                }
                prop_assert_eq!(assigned.as_ref().map_or(&[][..], Assigned::owners), owners.as_slice());
                prop_assert_eq!(assigned.as_ref().map_or(&[][..], Assigned::shown_by), shown_by.as_slice());
                prop_assert_eq!(assigned.is_none(), owners.is_empty() && shown_by.is_empty());
            }
        }
    }
}
