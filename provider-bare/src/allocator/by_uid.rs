//! Services by their UID.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::assignments::Holder;

/// A Service by its UID, of which there is no second copy.
#[derive(Clone, Debug)]
pub(super) struct ByUid(pub(super) Arc<Holder>);

impl Borrow<str> for ByUid {
    fn borrow(&self) -> &str {
        &self.0.id.uid
    }
}

impl PartialEq for ByUid {
    fn eq(&self, other: &Self) -> bool {
        self.0.id.uid == other.0.id.uid
    }
}

impl Eq for ByUid {}

impl Hash for ByUid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.uid.hash(state);
    }
}
