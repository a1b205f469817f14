//! Which resources are whose, without looking at each.

use std::{collections::HashMap, sync::Arc};

use super::super::{TagFilter, Tags};
use crate::naming::{CLOUD_PROVIDER_SERVICE_TAG, STACK_TAG, UID_TAG};

/// Tags by which Services are told apart: with thousands of them, each question is about one value of one of these.
const INDEXED_TAGS: [&str; 3] = [UID_TAG, STACK_TAG, CLOUD_PROVIDER_SERVICE_TAG];

/// ARNs by the values of those tags.
#[derive(Default)]
pub(super) struct TagIndex {
    by_tag: HashMap<(&'static str, String), Vec<Arc<str>>>,
}

impl TagIndex {
    /// What has these tags is found by them.
    pub(super) fn add(&mut self, arn: &Arc<str>, tags: &Tags) {
        for tag in indexed(tags) {
            self.by_tag.entry(tag).or_default().push(arn.clone());
        }
    }

    /// What had these tags is not found by them any more.
    pub(super) fn remove(&mut self, arn: &Arc<str>, tags: &Tags) {
        for tag in indexed(tags) {
            if let Some(arns) = self.by_tag.get_mut(&tag) {
                arns.retain(|known| known != arn);
                if arns.is_empty() {
                    self.by_tag.remove(&tag);
                }
            }
        }
    }

    /// All that can meet the conditions, and perhaps others; none when every resource has to be looked at.
    pub(super) fn candidates(&self, conditions: &[TagFilter]) -> Option<&[Arc<str>]> {
        conditions.iter().find_map(|condition| {
            let key = INDEXED_TAGS.into_iter().find(|key| *key == condition.key)?;
            let [value] = condition.values.as_slice() else { return None };
            Some(self.by_tag.get(&(key, value.clone())).map(Vec::as_slice).unwrap_or_default())
        })
    }
}

fn indexed(tags: &Tags) -> impl Iterator<Item = (&'static str, String)> {
    INDEXED_TAGS.into_iter().filter_map(|key| Some((key, tags.get(key)?.clone())))
}
