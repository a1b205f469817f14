//! Target groups.

use std::collections::BTreeMap;

use super::{
    super::{
        CreateTargetGroup, HealthCheck, HealthCheckProtocol, ModifyTargetGroup, Page, Protocol, Select,
        TargetGroup, TargetType,
    },
    account::{AccountState, TargetGroupRecord},
    attributes,
    lags::Countdown,
    refusal::{Answered, refuse},
    rules::{self, IMPOSSIBLE, MALFORMED},
};

impl AccountState {
    pub(super) fn describe_target_groups(
        &self,
        select: &Select,
        page: Option<&str>,
    ) -> Answered<Page<TargetGroup>> {
        let mut found = Vec::new();
        match select {
            Select::All => found.extend(self.target_groups.values().map(|record| record.tg.clone())),
            Select::Arns(arns) => {
                rules::at_most_twenty(arns)?;
                rules::at_least_one("ARN", arns.len())?;
                for arn in arns {
                    found.push(self.target_group(arn)?.tg.clone());
                }
            }
            Select::Names(names) => {
                rules::at_most_twenty(names)?;
                rules::at_least_one("name", names.len())?;
                for name in names {
                    match self.target_groups.values().find(|record| record.tg.name == *name) {
                        Some(record) => found.push(record.tg.clone()),
                        None => return not_found(name),
                    }
                }
            }
        }
        let mut page = self.page(found, page)?;
        let users = self.users();
        for tg in &mut page.items {
            tg.load_balancer_arns = users.get(tg.arn.as_str()).cloned().unwrap_or_default();
        }
        Ok(page)
    }

    pub(super) fn create_target_group(&mut self, request: &CreateTargetGroup) -> Answered<TargetGroup> {
        rules::target_group_name(&request.name)?;
        rules::elb_tags(&request.tags, self.quotas.tags)?;
        check_health_check(&request.health_check)?;
        if request.port == 0 {
            return refuse(MALFORMED, "The port must be from 1 to 65535");
        }
        if matches!(request.protocol, Protocol::Http | Protocol::Https)
            || request.target_type == TargetType::Alb
        {
            return refuse(MALFORMED, "Only target groups of Network Load Balancers are known here");
        }
        if matches!(request.protocol, Protocol::Quic | Protocol::TcpQuic)
            && request.target_type != TargetType::Ip
        {
            return refuse(IMPOSSIBLE, format!("{} needs IP targets", request.protocol));
        }
        if !self.vpcs.contains_key(&request.vpc_id) {
            return refuse(IMPOSSIBLE, format!("The VPC ID '{}' is not found", request.vpc_id));
        }
        let mut wanted = TargetGroup {
            arn: String::new(),
            name: request.name.clone(),
            protocol: request.protocol,
            port: request.port,
            vpc_id: request.vpc_id.clone(),
            target_type: request.target_type,
            family: request.family,
            health_check: request.health_check.clone(),
            load_balancer_arns: Vec::new(),
        };
        if let Some(record) = self.target_groups.values().find(|record| record.tg.name == request.name) {
            wanted.arn.clone_from(&record.tg.arn);
            if record.tg != wanted {
                let message = format!("A target group with the same name '{}' exists", request.name);
                return refuse("DuplicateTargetGroupName", message);
            }
            wanted.load_balancer_arns = self.users_of(&wanted.arn).into_iter().collect();
            return Ok(wanted);
        }
        if self.target_groups.len() >= self.quotas.target_groups {
            return refuse("TooManyTargetGroups", "The quota of target groups in the region is reached");
        }
        let number = self.next_number();
        wanted.arn = self.arn(&format!("targetgroup/{}/{number:016x}", request.name));
        let record = TargetGroupRecord {
            attributes: attributes::target_group_defaults(request.protocol, request.target_type),
            tags: request.tags.clone(),
            targets: BTreeMap::new(),
            released: Countdown::Over,
            tg: wanted.clone(),
        };
        self.target_groups.insert(wanted.arn.clone(), record);
        Ok(wanted)
    }

    pub(super) fn modify_target_group(&mut self, request: &ModifyTargetGroup) -> Answered<()> {
        self.target_group(&request.target_group_arn)?;
        check_health_check(&request.health_check)?;
        let record = self.target_groups.get_mut(&request.target_group_arn).expect("checked");
        let before = std::mem::replace(&mut record.tg.health_check, request.health_check.clone());
        // A check that becomes one of TCP cannot take its path and codes back: the request has no way to say so.
        let check = &mut record.tg.health_check;
        check.path = check.path.take().or(before.path);
        check.matcher = check.matcher.take().or(before.matcher);
        Ok(())
    }

    pub(super) fn delete_target_group(&mut self, arn: &str) -> Answered<()> {
        let in_use = !self.users_of(arn).is_empty();
        let now = self.now;
        let Some(record) = self.target_groups.get_mut(arn) else { return Ok(()) };
        if in_use || record.released.look(now) {
            return refuse(
                "ResourceInUse",
                format!("Target group '{arn}' is currently in use by a listener"),
            );
        }
        self.target_groups.remove(arn);
        Ok(())
    }

    pub(super) fn target_group(&self, arn: &str) -> Answered<&TargetGroupRecord> {
        match self.target_groups.get(arn) {
            Some(record) => Ok(record),
            None => not_found(arn),
        }
    }

    /// The load balancers that use each target group, sorted.
    fn users(&self) -> BTreeMap<&str, Vec<String>> {
        let mut users: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for record in self.listeners.values() {
            for tg in &record.listener.forward.target_groups {
                users.entry(&tg.arn).or_default().push(record.listener.load_balancer_arn.clone());
            }
        }
        for arns in users.values_mut() {
            arns.sort();
            arns.dedup();
        }
        users
    }
}

pub(super) fn not_found<T>(which: &str) -> Answered<T> {
    refuse("TargetGroupNotFound", format!("Target group '{which}' not found"))
}

fn check_health_check(check: &HealthCheck) -> Answered<()> {
    let mut wrong = Vec::new();
    let mut within = |what: &str, value: u32, min: u32, max: u32| {
        if !(min..=max).contains(&value) {
            wrong.push(format!("health check {what} {value} is not from {min} to {max}"));
        }
    };
    within("interval", check.interval_seconds, 5, 300);
    within("timeout", check.timeout_seconds, 2, 120);
    within("healthy threshold", check.healthy_threshold, 2, 10);
    within("unhealthy threshold", check.unhealthy_threshold, 2, 10);
    if check.timeout_seconds > check.interval_seconds {
        wrong.push("the health check timeout must not be longer than the interval".to_owned());
    }
    if check.protocol == HealthCheckProtocol::Tcp && (check.path.is_some() || check.matcher.is_some()) {
        wrong.push("a TCP health check has no path and no success codes".to_owned());
    }
    if check.path.as_ref().is_some_and(|path| !path.starts_with('/') || path.len() > 1024) {
        wrong.push("the health check path must begin with / and have at most 1024 characters".to_owned());
    }
    if check.matcher.as_ref().is_some_and(|codes| !are_success_codes(codes)) {
        wrong.push("success codes must be from 200 to 599".to_owned());
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => refuse(MALFORMED, wrong.join("; ")),
    }
}

/// Codes and ranges of codes, separated by commas.
fn are_success_codes(codes: &str) -> bool {
    let code = |text: &str| text.parse::<u16>().ok().filter(|code| (200..=599).contains(code));
    codes.split(',').all(|part| match part.split_once('-') {
        Some((from, to)) => matches!((code(from), code(to)), (Some(from), Some(to)) if from <= to),
        None => code(part).is_some(),
    })
}
