//! What is known of the account: resources with their tags, and whose tags are still to be read. Pure.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use cloud_provider::Ordered;
use tokio::time::Instant;

use super::{
    super::{LoadBalancer, LoadBalancerKind, TagFilter, Tags, TargetGroup},
    Patch, Snapshot, Tagged,
    index::TagIndex,
};

/// Load balancers and target groups.
#[derive(Default)]
pub(super) struct KnownResources {
    load_balancers: OneKind<LoadBalancer>,
    target_groups: OneKind<TargetGroup>,
    /// Target groups, by the load balancer that uses them.
    used_by: HashMap<String, BTreeSet<Arc<str>>>,
    /// Target groups that a load balancer known here uses and whose tags were not read: they are read when somebody needs
    /// them.
    put_off: BTreeSet<Arc<str>>,
}

/// Resources of one kind.
struct OneKind<T> {
    entries: BTreeMap<Arc<str>, SnapshotEntry<T>>,
    index: TagIndex,
    /// Those whose tags have to be read before it is known whose they are.
    unread: BTreeSet<Arc<str>>,
    /// No tags that are known were read before this.
    oldest: Option<Instant>,
}

struct SnapshotEntry<T> {
    resource: Arc<T>,
    tags: Option<(Arc<Tags>, Instant)>,
    /// When this process changed its tags, known or not: an answer from before is out of date.
    changed: Option<Instant>,
}

impl KnownResources {
    /// Whether tags are to be read of which none, or too old ones, are known. Takes note of those that have become too old.
    pub(super) fn lacks_tags(&mut self, now: Instant, keep: Duration) -> bool {
        self.expire(now, keep);
        !self.load_balancers.unread.is_empty() || !self.target_groups.unread.is_empty()
    }

    /// Load balancers, and target groups, whose tags are to be read.
    pub(super) fn unread(&self) -> [Vec<String>; 2] {
        [&self.load_balancers.unread, &self.target_groups.unread]
            .map(|arns| arns.iter().map(ToString::to_string).collect())
    }

    /// Those of these target groups whose tags are still put off, and others besides, as many as go into the same requests
    /// of `at_once` each.
    pub(super) fn put_off_and_more<'a>(
        &self,
        wanted: impl Iterator<Item = &'a String>,
        at_once: usize,
    ) -> Vec<String> {
        let mut arns: BTreeSet<&str> =
            wanted.filter_map(|arn| self.put_off.get(arn.as_str())).map(AsRef::as_ref).ordered();
        let room = arns.len().next_multiple_of(at_once);
        let mut others = self.put_off.iter();
        while arns.len() < room
            && let Some(other) = others.next()
        {
            arns.insert(other);
        }
        arns.into_iter().map(str::to_owned).collect()
    }

    /// What meets all the conditions.
    pub(super) fn matching(&self, conditions: &[TagFilter]) -> Snapshot {
        let load_balancers = self.load_balancers.matching(conditions);
        let used = load_balancers.keys().filter_map(|arn| self.used_by.get(arn)).flatten();
        let unread = used.filter_map(|arn| {
            let entry = self.target_groups.entries.get(arn).filter(|entry| entry.tags.is_none())?;
            Some((arn.to_string(), entry.resource.clone()))
        });
        Snapshot {
            unread_target_groups: unread.ordered(),
            target_groups: self.target_groups.matching(conditions),
            load_balancers,
        }
    }

    /// Whether a load balancer of which that is so meets all the conditions.
    pub(super) fn is_any(&self, conditions: &[TagFilter], is_so: impl Fn(&LoadBalancer) -> bool) -> bool {
        self.load_balancers.all_matching(conditions).any(|(_, lb, _)| is_so(lb))
    }

    /// Takes over fresh lists, with the tags known of what was there before.
    pub(super) fn replace(
        &mut self,
        load_balancers: impl Iterator<Item = LoadBalancer>,
        target_groups: impl Iterator<Item = TargetGroup>,
    ) {
        self.load_balancers.replace(load_balancers.map(|lb| (lb.arn.clone(), lb)));
        self.target_groups.replace(target_groups.map(|tg| (tg.arn.clone(), tg)));
        self.used_by.clear();
        self.put_off.clear();
        let all: Vec<Arc<str>> = self.target_groups.entries.keys().cloned().collect();
        for arn in all {
            self.note_use(&arn);
            self.sort_in(&arn);
        }
    }

    /// What was asked for and is not in the answer is gone, though a list still showed it.
    pub(super) fn tags_were_read(
        &mut self,
        asked: Vec<String>,
        mut found: BTreeMap<String, Tags>,
        at: Instant,
    ) {
        for arn in asked {
            match found.remove(&arn) {
                // Tags that this process changed meanwhile are newer than the answer.
                Some(tags) if self.changed(&arn).is_none_or(|changed| changed <= at) => {
                    self.apply(Patch::Tags(BTreeMap::from([(arn, tags)])), at);
                }
                Some(_) => {}
                None => self.apply(Patch::Gone(arn), at),
            }
        }
    }

    pub(super) fn apply(&mut self, patch: Patch, now: Instant) {
        match patch {
            Patch::LoadBalancer(lb) => {
                if lb.kind == LoadBalancerKind::Network {
                    let arn: Arc<str> = lb.arn.as_str().into();
                    self.load_balancers.put(arn.clone(), lb);
                    self.sort_in_used_by(&arn);
                }
            }
            Patch::ChangeLoadBalancer(arn, change) => {
                if let Some(entry) = self.load_balancers.entries.get_mut(arn.as_str()) {
                    change.apply(Arc::make_mut(&mut entry.resource));
                }
            }
            Patch::TargetGroup(tg) => {
                let arn: Arc<str> = tg.arn.as_str().into();
                self.forget_use(&arn);
                self.target_groups.put(arn.clone(), tg);
                self.note_use(&arn);
                self.sort_in(&arn);
            }
            Patch::ChangeHealthCheck(arn, health_check) => {
                if let Some(entry) = self.target_groups.entries.get_mut(arn.as_str()) {
                    Arc::make_mut(&mut entry.resource).health_check = health_check;
                }
            }
            Patch::Tags(read) => {
                for (arn, tags) in read {
                    self.set_tags(&arn, Some((Arc::new(tags), now)));
                }
            }
            Patch::AddTags(arn, added) => self.change_tags(&arn, now, |tags| tags.extend(added)),
            Patch::RemoveTags(arn, keys) => {
                self.change_tags(&arn, now, |tags| tags.retain(|key, _| !keys.contains(key)));
            }
            Patch::ForgetTags(arn) => self.set_tags(&arn, None),
            Patch::Gone(arn) => {
                self.forget_use(&arn);
                self.load_balancers.remove(&arn);
                self.target_groups.remove(&arn);
                self.put_off.remove(arn.as_str());
                self.sort_in_used_by(&arn);
            }
        }
    }

    /// Tags that have become too old are to be read again. Those of load balancers, and of target groups that nothing uses,
    /// count until then; the others are put off again.
    fn expire(&mut self, now: Instant, keep: Duration) {
        self.load_balancers.expire(now, keep);
        for arn in self.target_groups.expire(now, keep) {
            if self.is_used(&arn) {
                self.set_tags(&arn, None);
            }
        }
    }

    fn change_tags(&mut self, arn: &str, now: Instant, change: impl FnOnce(&mut Tags)) {
        let tags = self.load_balancers.tags_to_change(arn, now);
        let tags = tags.or_else(|| self.target_groups.tags_to_change(arn, now));
        if let Some(mut tags) = tags {
            change(Arc::make_mut(&mut tags));
            self.set_tags(arn, Some((tags, now)));
        }
    }

    /// When this process last changed the tags, or learned them.
    fn changed(&self, arn: &str) -> Option<Instant> {
        self.load_balancers.changed(arn).or_else(|| self.target_groups.changed(arn))
    }

    fn set_tags(&mut self, arn: &str, tags: Option<(Arc<Tags>, Instant)>) {
        if self.load_balancers.entries.contains_key(arn) {
            self.load_balancers.set_tags(arn, tags);
        } else if let Some(arn) = self.target_groups.set_tags(arn, tags) {
            self.sort_in(&arn);
        }
    }

    /// Whether a load balancer that is known uses this target group.
    fn is_used(&self, target_group: &str) -> bool {
        let entry = self.target_groups.entries.get(target_group);
        entry.is_some_and(|entry| {
            let mut users = entry.resource.load_balancer_arns.iter();
            users.any(|lb| self.load_balancers.entries.contains_key(lb.as_str()))
        })
    }

    /// Whether tags of a target group that are not known are to be read, or put off.
    fn sort_in(&mut self, target_group: &Arc<str>) {
        if !self.target_groups.is_untagged(target_group) {
            self.put_off.remove(target_group);
        } else if self.is_used(target_group) {
            self.target_groups.unread.remove(target_group);
            self.put_off.insert(target_group.clone());
        } else {
            self.put_off.remove(target_group);
            self.target_groups.unread.insert(target_group.clone());
        }
    }

    /// The same of those that a load balancer uses that has come or gone.
    fn sort_in_used_by(&mut self, load_balancer: &str) {
        for arn in self.used_by.get(load_balancer).cloned().unwrap_or_default() {
            self.sort_in(&arn);
        }
    }

    fn note_use(&mut self, target_group: &Arc<str>) {
        let Some(entry) = self.target_groups.entries.get(target_group) else { return };
        for lb in &entry.resource.load_balancer_arns {
            self.used_by.entry(lb.clone()).or_default().insert(target_group.clone());
        }
    }

    fn forget_use(&mut self, target_group: &str) {
        let Some(entry) = self.target_groups.entries.get(target_group) else { return };
        for lb in &entry.resource.load_balancer_arns {
            if let Some(used) = self.used_by.get_mut(lb) {
                used.remove(target_group);
                if used.is_empty() {
                    self.used_by.remove(lb);
                }
            }
        }
    }
}

impl<T> Default for OneKind<T> {
    fn default() -> Self {
        OneKind {
            entries: BTreeMap::new(),
            index: TagIndex::default(),
            unread: BTreeSet::new(),
            oldest: None,
        }
    }
}

impl<T> OneKind<T> {
    fn put(&mut self, arn: Arc<str>, resource: T) {
        let resource = Arc::new(resource);
        match self.entries.get_mut(&arn) {
            Some(entry) => entry.resource = resource,
            None => {
                self.unread.insert(arn.clone());
                self.entries.insert(arn, SnapshotEntry { resource, tags: None, changed: None });
            }
        }
    }

    fn remove(&mut self, arn: &str) {
        self.set_tags(arn, None);
        self.unread.remove(arn);
        self.entries.remove(arn);
    }

    fn replace(&mut self, list: impl Iterator<Item = (String, T)>) {
        let mut before = std::mem::take(&mut self.entries);
        for (arn, resource) in list {
            let resource = Arc::new(resource);
            let (arn, entry) = match before.remove_entry(arn.as_str()) {
                Some((arn, entry)) => (arn, SnapshotEntry { resource, ..entry }),
                None => (arn.into(), SnapshotEntry { resource, tags: None, changed: None }),
            };
            if entry.tags.is_none() {
                self.unread.insert(arn.clone());
            }
            self.entries.insert(arn, entry);
        }
        for (arn, entry) in before {
            if let Some((tags, _)) = &entry.tags {
                self.index.remove(&arn, tags);
            }
            self.unread.remove(&arn);
        }
    }

    fn is_untagged(&self, arn: &str) -> bool {
        self.entries.get(arn).is_some_and(|entry| entry.tags.is_none())
    }

    /// Gives the ARN back, if it is known.
    fn set_tags(&mut self, arn: &str, tags: Option<(Arc<Tags>, Instant)>) -> Option<Arc<str>> {
        let arn = self.entries.get_key_value(arn)?.0.clone();
        let entry = self.entries.get_mut(&arn)?;
        if let Some((before, _)) = &entry.tags {
            self.index.remove(&arn, before);
        }
        match &tags {
            Some((tags, read)) => {
                self.index.add(&arn, tags);
                self.oldest = Some(self.oldest.map_or(*read, |oldest| oldest.min(*read)));
                self.unread.remove(&arn);
            }
            None => {
                self.unread.insert(arn.clone());
            }
        }
        entry.tags = tags;
        Some(arn)
    }

    /// The tags, if they are known, of something whose tags this process has changed.
    fn tags_to_change(&mut self, arn: &str, now: Instant) -> Option<Arc<Tags>> {
        let entry = self.entries.get_mut(arn)?;
        entry.changed = Some(now);
        entry.tags.as_ref().map(|(tags, _)| tags.clone())
    }

    fn changed(&self, arn: &str) -> Option<Instant> {
        let entry = self.entries.get(arn)?;
        entry.tags.as_ref().map(|(_, read)| *read).max(entry.changed)
    }

    /// Those whose tags have become too old, which are to be read again.
    fn expire(&mut self, now: Instant, keep: Duration) -> Vec<Arc<str>> {
        let is_old = |read: Instant| now.saturating_duration_since(read) > keep;
        if !self.oldest.is_some_and(is_old) {
            return Vec::new();
        }
        let mut old = Vec::new();
        self.oldest = None;
        for (arn, entry) in &self.entries {
            match &entry.tags {
                Some((_, read)) if is_old(*read) => old.push(arn.clone()),
                Some((_, read)) => self.oldest = Some(self.oldest.map_or(*read, |oldest| oldest.min(*read))),
                None => {}
            }
        }
        self.unread.extend(old.iter().cloned());
        old
    }

    /// Those with tags that meet all the conditions. What has no tags yet (it was made after they were read) is left out.
    fn all_matching<'a>(
        &'a self,
        conditions: &'a [TagFilter],
    ) -> Box<dyn Iterator<Item = (&'a str, &'a Arc<T>, &'a Arc<Tags>)> + 'a> {
        let meets = move |arn: &'a Arc<str>, entry: &'a SnapshotEntry<T>| {
            let (tags, _) = entry.tags.as_ref()?;
            let all = conditions.iter().all(|condition| condition.matches(tags));
            all.then_some((arn.as_ref(), &entry.resource, tags))
        };
        match self.index.candidates(conditions) {
            Some(arns) => Box::new(arns.iter().filter_map(move |arn| meets(arn, self.entries.get(arn)?))),
            None => Box::new(self.entries.iter().filter_map(move |(arn, entry)| meets(arn, entry))),
        }
    }

    fn matching(&self, conditions: &[TagFilter]) -> BTreeMap<String, Tagged<T>> {
        self.all_matching(conditions)
            .map(|(arn, resource, tags)| {
                (arn.to_owned(), Tagged { resource: resource.clone(), tags: tags.clone() })
            })
            .ordered()
    }
}

#[cfg(test)]
mod tests;
