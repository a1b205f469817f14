//! Security groups.

use super::{
    super::{
        CreateSecurityGroup, IngressRule, Page, RuleSource, SecurityGroup, SecurityGroupQuery, Tags, Traffic,
    },
    account::{AccountState, GroupRecord},
    lags::Countdown,
    refusal::{Answered, refuse},
    rules::{self, BAD_PARAMETER},
};

impl AccountState {
    pub(super) fn describe_security_groups(
        &mut self,
        query: &SecurityGroupQuery,
        page: Option<&str>,
    ) -> Answered<Page<SecurityGroup>> {
        rules::filter_values(&query.ids)?;
        rules::filter_values(&query.names)?;
        for tag in &query.tags {
            rules::filter_values(&tag.values)?;
        }
        let now = self.now;
        let asked = |group: &SecurityGroup| {
            (query.ids.is_empty() || query.ids.contains(&group.id))
                && (query.names.is_empty() || query.names.contains(&group.name))
                && query.vpc_id.as_ref().is_none_or(|vpc| *vpc == group.vpc_id)
                && query.tags.iter().all(|tag| tag.matches(&group.tags))
        };
        let found = self
            .security_groups
            .values_mut()
            .filter(|record| asked(&record.group))
            .filter_map(|record| (!record.hidden.look(now)).then(|| record.group.clone()))
            .collect();
        self.page(found, page)
    }

    pub(super) fn create_security_group(&mut self, request: &CreateSecurityGroup) -> Answered<String> {
        rules::security_group_name(&request.name)?;
        rules::remark("description", &request.description)?;
        rules::ec2_tags(&request.tags, self.quotas.tags)?;
        if request.description.is_empty() {
            return refuse("MissingParameter", "The request must contain the parameter GroupDescription");
        }
        if !self.vpcs.contains_key(&request.vpc_id) {
            let message = format!("The vpc ID '{}' does not exist", request.vpc_id);
            return refuse("InvalidVpcID.NotFound", message);
        }
        let taken = self.security_groups.values().any(|record| {
            record.group.vpc_id == request.vpc_id && record.group.name.eq_ignore_ascii_case(&request.name)
        });
        if taken {
            let message = format!("The security group '{}' already exists", request.name);
            return refuse("InvalidGroup.Duplicate", message);
        }
        if self.security_groups.len() >= self.quotas.security_groups {
            return refuse("SecurityGroupLimitExceeded", "The quota of security groups is reached");
        }
        let id = self.next_id("sg");
        let group = SecurityGroup {
            id: id.clone(),
            name: request.name.clone(),
            description: request.description.clone(),
            vpc_id: request.vpc_id.clone(),
            ingress: Vec::new(),
            tags: request.tags.clone(),
        };
        let hidden = Countdown::start(self.lags.new_security_group, self.now);
        self.security_groups.insert(id.clone(), GroupRecord { group, hidden });
        Ok(id)
    }

    pub(super) fn delete_security_group(&mut self, id: &str) -> Answered<()> {
        self.security_group(id)?;
        let now = self.now;
        let on_instance = self.instances.values().any(|i| i.security_groups.iter().any(|group| group == id));
        let on_load_balancer = self.load_balancers.values().any(|r| r.lb.security_groups.contains(id));
        let mut lingers = false;
        self.lingering.retain_mut(|interfaces| match interfaces.groups.contains(id) {
            true => {
                let still = interfaces.until.look(now);
                lingers |= still;
                still
            }
            false => true,
        });
        let source = RuleSource::Group(id.to_owned());
        let in_rule = self
            .security_groups
            .iter()
            .any(|(other, record)| other != id && record.group.ingress.iter().any(|r| r.source == source));
        if on_instance || on_load_balancer || lingers || in_rule {
            return refuse("DependencyViolation", format!("resource {id} has a dependent object"));
        }
        self.security_groups.remove(id);
        Ok(())
    }

    pub(super) fn authorize_ingress(&mut self, id: &str, rules: &[IngressRule]) -> Answered<()> {
        self.security_group(id)?;
        let added = checked(rules)?;
        for rule in &added {
            self.source_fits(id, &rule.source)?;
            let there = &self.security_groups[id].group.ingress;
            if there.iter().any(|other| other.same_rule(rule)) {
                let message = format!("the specified rule \"{rule}\" already exists");
                return refuse("InvalidPermission.Duplicate", message);
            }
        }
        let mut wanted = self.security_groups[id].group.ingress.clone();
        wanted.extend(added);
        wanted.sort();
        for ipv6 in [false, true] {
            let weight: usize = wanted.iter().map(|rule| self.weight(rule, ipv6)).sum();
            if weight > self.quotas.rules_per_group {
                let message = "The maximum number of rules per security group has been reached.";
                return refuse("RulesPerSecurityGroupLimitExceeded", message);
            }
        }
        self.security_groups.get_mut(id).expect("checked").group.ingress = wanted;
        Ok(())
    }

    pub(super) fn revoke_ingress(&mut self, id: &str, rules: &[IngressRule]) -> Answered<()> {
        self.security_group(id)?;
        let removed = checked(rules)?;
        let ingress = &mut self.security_groups.get_mut(id).expect("checked").group.ingress;
        for rule in &removed {
            if !ingress.iter().any(|other| other.same_rule(rule)) {
                let message = format!("The specified rule \"{rule}\" does not exist in this security group.");
                return refuse("InvalidPermission.NotFound", message);
            }
        }
        ingress.retain(|other| !removed.iter().any(|rule| rule.same_rule(other)));
        Ok(())
    }

    pub(super) fn create_tags(&mut self, ids: &[String], added: &Tags) -> Answered<()> {
        required("resourceIdSet", ids.len())?;
        required("tagSet", added.len())?;
        let most = self.quotas.tags;
        for id in ids {
            let mut wanted = self.security_group(id)?.group.tags.clone();
            wanted.extend(added.clone());
            rules::ec2_tags(&wanted, most)?;
        }
        for id in ids {
            self.security_groups.get_mut(id).expect("checked").group.tags.extend(added.clone());
        }
        Ok(())
    }

    /// Without a key, all tags go (*DeleteTags*).
    pub(super) fn delete_tags(&mut self, ids: &[String], keys: &[String]) -> Answered<()> {
        required("resourceIdSet", ids.len())?;
        for id in ids {
            self.security_group(id)?;
        }
        for id in ids {
            let tags = &mut self.security_groups.get_mut(id).expect("checked").group.tags;
            tags.retain(|key, _| !keys.is_empty() && !keys.contains(key));
        }
        Ok(())
    }

    /// The group, unless it is too new to be known.
    fn security_group(&mut self, id: &str) -> Answered<&GroupRecord> {
        let now = self.now;
        match self.security_groups.get_mut(id) {
            Some(record) => match record.hidden.look(now) {
                false => Ok(record),
                true => not_found(id),
            },
            None => not_found(id),
        }
    }

    /// A group that is a source is of the same VPC: peered ones are not known here.
    fn source_fits(&self, group: &str, source: &RuleSource) -> Answered<()> {
        let vpc_of = |id: &str| self.security_groups.get(id).map(|record| &record.group.vpc_id);
        match source {
            RuleSource::Group(id) if vpc_of(id).is_none() => not_found(id),
            RuleSource::Group(id) if vpc_of(id) != vpc_of(group) => refuse(
                "InvalidGroup.NotFound",
                "You have specified two resources that belong to different networks.",
            ),
            RuleSource::PrefixList(id) if !self.prefix_lists.contains_key(id) => {
                refuse("InvalidPrefixListId.NotFound", format!("The prefix list ID '{id}' does not exist"))
            }
            _ => Ok(()),
        }
    }

    /// How many of the allowed rules of one address family a rule counts as.
    fn weight(&self, rule: &IngressRule, ipv6: bool) -> usize {
        match &rule.source {
            RuleSource::Ipv4(_) => usize::from(!ipv6),
            RuleSource::Ipv6(_) => usize::from(ipv6),
            RuleSource::Group(_) => 1,
            RuleSource::PrefixList(id) => self.prefix_lists.get(id).copied().unwrap_or(1),
        }
    }
}

/// The rules as AWS keeps them: ranges cut to their prefix, each rule once.
fn checked(rules: &[IngressRule]) -> Answered<Vec<IngressRule>> {
    if rules.is_empty() {
        return refuse("MissingParameter", "The request must contain at least one rule");
    }
    let mut kept: Vec<IngressRule> = Vec::new();
    for rule in rules {
        let mut rule = rule.clone();
        rules::remark("rule description", rule.description.as_deref().unwrap_or_default())?;
        match &mut rule.source {
            RuleSource::Ipv4(range) => *range = range.trunc(),
            RuleSource::Ipv6(range) => *range = range.trunc(),
            RuleSource::Group(_) | RuleSource::PrefixList(_) => {}
        }
        if let Traffic::Tcp { from, to } | Traffic::Udp { from, to } = rule.traffic
            && from > to
        {
            return refuse(BAD_PARAMETER, format!("Invalid port range {from}-{to}"));
        }
        if kept.iter().any(|other| other.same_rule(&rule)) {
            let message = format!("The same permission must not appear multiple times: {rule}");
            return refuse(BAD_PARAMETER, message);
        }
        kept.push(rule);
    }
    Ok(kept)
}

/// A list that EC2 requires has something in it.
fn required(parameter: &str, count: usize) -> Answered<()> {
    match count {
        0 => refuse("MissingParameter", format!("The request must contain the parameter {parameter}")),
        _ => Ok(()),
    }
}

fn not_found<T>(id: &str) -> Answered<T> {
    refuse("InvalidGroup.NotFound", format!("The security group '{id}' does not exist"))
}
