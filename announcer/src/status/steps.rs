//! What is to be written.

use std::collections::{BTreeMap, BTreeSet};

use kube::api::DynamicObject;
use serde_json::Value;

use super::object::{DesiredObject, StatusKey};

/// An object as the API server has it.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedObject {
    /// Which life of the name it is.
    pub uid: Option<String>,
    labels: BTreeMap<String, String>,
    owners: BTreeSet<String>,
    status: Value,
}

impl ObservedObject {
    /// What counts of an object.
    pub fn of(object: &DynamicObject) -> Self {
        let owners = object.metadata.owner_references.iter().flatten();
        ObservedObject {
            uid: object.metadata.uid.clone(),
            labels: object.metadata.labels.clone().unwrap_or_default(),
            owners: owners.map(|owner| owner.uid.clone()).collect(),
            status: object.data.get("status").cloned().unwrap_or_default(),
        }
    }

    /// Whether nothing of what is wanted is missing. Labels and owners that others added are theirs.
    fn says(&self, wanted: &DesiredObject) -> bool {
        let metadata = &wanted.object["metadata"];
        let mut labels = metadata["labels"].as_object().into_iter().flatten();
        let mut owners = metadata["ownerReferences"].as_array().into_iter().flatten();
        self.status == wanted.status
            && labels.all(|(key, value)| self.labels.get(key).map(String::as_str) == value.as_str())
            && owners.all(|owner| owner["uid"].as_str().is_some_and(|uid| self.owners.contains(uid)))
    }
}

/// One thing to do. Doing it again is right.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// The object is to be like this.
    Apply(StatusKey, DesiredObject),
    /// The object is to go.
    Delete(StatusKey),
}

/// What makes of the objects that are there those that are wanted. First what is told anew, since somebody may wait for it.
pub fn steps(
    known: &BTreeMap<StatusKey, ObservedObject>,
    wanted: &BTreeMap<StatusKey, DesiredObject>,
) -> Vec<Write> {
    let applies = wanted
        .iter()
        .filter(|(key, wanted)| known.get(*key).is_none_or(|known| !known.says(wanted)))
        .map(|(key, wanted)| Write::Apply(key.clone(), wanted.clone()));
    let deletes = known.keys().filter(|key| !wanted.contains_key(*key)).cloned().map(Write::Delete);
    applies.chain(deletes).collect()
}
