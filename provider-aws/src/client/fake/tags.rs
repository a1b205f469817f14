//! Tags of load balancers, target groups and listeners.

use std::collections::BTreeMap;

use super::{
    super::Tags, account::AccountState, listeners, load_balancers, refusal::Answered, rules, target_groups,
};

impl AccountState {
    pub(super) fn describe_tags(&mut self, arns: &[String]) -> Answered<BTreeMap<String, Tags>> {
        rules::at_most_twenty(arns)?;
        rules::at_least_one("resource ARN", arns.len())?;
        rules::of_one_kind(arns)?;
        arns.iter().map(|arn| Ok((arn.clone(), self.tags_of(arn)?.clone()))).collect()
    }

    pub(super) fn add_tags(&mut self, arn: &str, added: &Tags) -> Answered<()> {
        let most = self.quotas.tags;
        rules::at_least_one("tag", added.len())?;
        let mut wanted = self.tags_of(arn)?.clone();
        wanted.extend(added.clone());
        rules::elb_tags(&wanted, most)?;
        *self.tags_of(arn)? = wanted;
        Ok(())
    }

    pub(super) fn remove_tags(&mut self, arn: &str, keys: &[String]) -> Answered<()> {
        rules::at_least_one("tag key", keys.len())?;
        self.tags_of(arn)?.retain(|key, _| !keys.contains(key));
        Ok(())
    }

    /// The tags of a resource, or the refusal of its kind.
    fn tags_of(&mut self, arn: &str) -> Answered<&mut Tags> {
        if arn.contains(":targetgroup/") {
            match self.target_groups.get_mut(arn) {
                Some(record) => Ok(&mut record.tags),
                None => target_groups::not_found(arn),
            }
        } else if arn.contains(":listener/") {
            match self.listeners.get_mut(arn) {
                Some(record) => Ok(&mut record.tags),
                None => listeners::not_found(arn),
            }
        } else {
            match self.load_balancers.get_mut(arn) {
                Some(record) => Ok(&mut record.tags),
                None => load_balancers::not_found(arn),
            }
        }
    }
}
