//! Targets: registration and health.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    super::{
        Forward, InstanceState, Target, TargetFamily, TargetGroup, TargetHealth, TargetState, TargetType,
    },
    account::{AccountState, TargetRecord},
    lags::Countdown,
    refusal::{Answered, refuse},
    rules::{self, MALFORMED},
};

/// Instance types AWS does not take by instance id.
const OLD_TYPES: &[&str] =
    &["c1", "cc1", "cc2", "cg1", "cg2", "cr1", "cs1", "g1", "g2", "hi1", "hs1", "m1", "m2", "m3", "t1"];

impl AccountState {
    pub(super) fn register_targets(&mut self, arn: &str, targets: &[Target]) -> Answered<()> {
        let tg = self.target_group(arn)?.tg.clone();
        rules::at_least_one("target", targets.len())?;
        for target in targets {
            self.check_target(&tg, target)?;
        }
        let record = &self.target_groups[arn];
        let new = targets.iter().filter(|t| !record.targets.contains_key(&(t.id.clone(), t.port))).count();
        if record.targets.len() + new > self.quotas.targets_per_group {
            let message = format!("At most {} targets a target group", self.quotas.targets_per_group);
            return refuse("TooManyTargets", message);
        }
        if let Some(lb) = self.users_of(arn).first() {
            self.count_targets(lb, &[], None, targets)?;
            self.count_registrations(lb, &[], None, Some((arn, targets)))?;
        }
        let checks = Countdown::start(self.lags.health_checks, self.now);
        let record = self.target_groups.get_mut(arn).expect("checked");
        for target in targets {
            let key = (target.id.clone(), target.port);
            match record.targets.get_mut(&key) {
                Some(there) if there.draining.is_none() => {}
                _ => {
                    record
                        .targets
                        .insert(key, TargetRecord { target: target.clone(), checks, draining: None });
                }
            }
        }
        Ok(())
    }

    pub(super) fn deregister_targets(&mut self, arn: &str, targets: &[Target]) -> Answered<()> {
        let tg = &self.target_group(arn)?.tg;
        rules::at_least_one("target", targets.len())?;
        for target in targets {
            check_form(tg, target)?;
        }
        let draining = Countdown::start(self.lags.draining, self.now);
        let record = self.target_groups.get_mut(arn).expect("checked");
        for target in targets {
            let key = (target.id.clone(), target.port);
            if draining == Countdown::Over {
                record.targets.remove(&key);
            } else if let Some(there) = record.targets.get_mut(&key) {
                there.draining.get_or_insert(draining);
            }
        }
        Ok(())
    }

    pub(super) fn describe_target_health(
        &mut self,
        arn: &str,
        targets: &[Target],
    ) -> Answered<Vec<TargetHealth>> {
        let tg = self.target_group(arn)?.tg.clone();
        for target in targets {
            check_form(&tg, target)?;
        }
        let now = self.now;
        let record = self.target_groups.get_mut(arn).expect("checked");
        record.targets.retain(|_, there| there.draining.as_mut().is_none_or(|draining| draining.look(now)));
        let asked: Vec<(String, u16)> = match targets {
            [] => record.targets.keys().cloned().collect(),
            some => some.iter().map(|target| (target.id.clone(), target.port)).collect(),
        };
        Ok(asked.into_iter().map(|key| self.health(arn, &key)).collect())
    }

    pub(super) fn set_health(&mut self, target_id: &str, state: TargetState) {
        self.unwell.insert(target_id.to_owned(), state);
    }

    /// Targets of these groups have been without checks until now.
    pub(super) fn begin_checks(&mut self, forward: &Forward) {
        let checks = Countdown::start(self.lags.health_checks, self.now);
        for tg in &forward.target_groups {
            if let Some(record) = self.target_groups.get_mut(&tg.arn) {
                let unchecked = record.targets.values_mut().filter(|there| there.checks != Countdown::Over);
                unchecked.for_each(|there| there.checks = checks);
            }
        }
    }

    fn health(&mut self, arn: &str, key: &(String, u16)) -> TargetHealth {
        let (state, reason) = self.state_and_reason(arn, key);
        let there = self.target_groups.get(arn).and_then(|record| record.targets.get(key));
        TargetHealth {
            target: there.map_or_else(|| Target::new(key.0.clone(), key.1), |there| there.target.clone()),
            state,
            reason: reason.map(str::to_owned),
            description: None,
        }
    }

    fn state_and_reason(&mut self, arn: &str, key: &(String, u16)) -> (TargetState, Option<&'static str>) {
        let now = self.now;
        let user = self.users_of(arn).pop_first();
        let enabled = user.as_ref().is_some_and(|lb| {
            let zone = self.instances.get(&key.0).map(|instance| &instance.zone);
            // Addresses are taken to be in an enabled zone.
            zone.is_none_or(|zone| self.load_balancers[lb].lb.zones.iter().any(|z| z.zone == *zone))
        });
        let stopped = self.instances.get(&key.0).is_some_and(|i| i.state != InstanceState::Running);
        let unwell = self.unwell.get(&key.0).copied();
        let Some(there) = self.target_groups.get_mut(arn).and_then(|record| record.targets.get_mut(key))
        else {
            return (TargetState::Unused, Some("Target.NotRegistered"));
        };
        if there.draining.is_some() {
            return (TargetState::Draining, Some("Target.DeregistrationInProgress"));
        }
        if stopped {
            return (TargetState::Unused, Some("Target.InvalidState"));
        }
        if !enabled {
            return (TargetState::Unused, Some("Target.NotInUse"));
        }
        if there.checks.look(now) {
            return (TargetState::Initial, Some("Elb.RegistrationInProgress"));
        }
        match unwell {
            None | Some(TargetState::Healthy) => (TargetState::Healthy, None),
            Some(TargetState::Unavailable) => (TargetState::Unavailable, Some("Target.HealthCheckDisabled")),
            Some(state) => (state, Some("Target.FailedHealthChecks")),
        }
    }

    fn check_target(&self, tg: &TargetGroup, target: &Target) -> Answered<()> {
        check_form(tg, target)?;
        let id = &target.id;
        match id.parse::<IpAddr>() {
            Err(_) => self.check_instance(tg, id),
            Ok(address) => {
                let vpc = &self.vpcs[&tg.vpc_id];
                let inside = match address {
                    IpAddr::V4(ip) => vpc.ipv4_cidrs.iter().any(|range| range.contains(&ip)),
                    IpAddr::V6(ip) => vpc.ipv6_cidrs.iter().any(|range| range.contains(&ip)),
                };
                if !inside && target.zone.is_none() {
                    let message = format!("You must specify an Availability Zone for the IP address {id}");
                    return refuse(MALFORMED, message);
                }
                Ok(())
            }
        }
    }

    fn check_instance(&self, tg: &TargetGroup, id: &str) -> Answered<()> {
        let bad = |why: &str| refuse("InvalidTarget", format!("Target '{id}' is not valid: {why}"));
        let Some(instance) = self.instances.get(id) else { return bad("it does not exist") };
        if instance.state != InstanceState::Running {
            return bad("it is not running");
        }
        if instance.vpc_id.as_ref() != Some(&tg.vpc_id) {
            return bad("it is in another VPC");
        }
        let family = instance.instance_type.split('.').next().unwrap_or_default();
        if OLD_TYPES.contains(&family) {
            return bad("its type is not supported");
        }
        if tg.family == TargetFamily::Ipv6 && instance.primary_ipv6.is_none() {
            return bad("it has no primary IPv6 address");
        }
        Ok(())
    }

    /// Whether the load balancer may have the targets of these groups as well (in place of those of
    /// `instead_of`, a listener).
    pub(super) fn targets_fit(
        &self,
        lb_arn: &str,
        forward: &Forward,
        instead_of: Option<&str>,
    ) -> Answered<()> {
        let groups: Vec<&str> = forward.target_groups.iter().map(|tg| tg.arn.as_str()).collect();
        self.count_targets(lb_arn, &groups, instead_of, &[])?;
        self.count_registrations(lb_arn, &groups, instead_of, None)?;
        if self.groups_behind(lb_arn, &groups, instead_of).len() > self.quotas.target_groups_per_load_balancer
        {
            let most = self.quotas.target_groups_per_load_balancer;
            let message = format!("At most {most} target groups a load balancer");
            return refuse("TooManyUniqueTargetGroupsPerLoadBalancer", message);
        }
        Ok(())
    }

    /// The target groups behind a load balancer, with those of a listener that is made or changed.
    fn groups_behind<'a>(
        &'a self,
        lb_arn: &'a str,
        more_groups: &[&'a str],
        instead_of: Option<&str>,
    ) -> BTreeSet<&'a str> {
        self.listeners_of(lb_arn)
            .filter(|record| Some(record.listener.arn.as_str()) != instead_of)
            .flat_map(|record| &record.listener.forward.target_groups)
            .map(|tg| tg.arn.as_str())
            .chain(more_groups.iter().copied())
            .collect()
    }

    /// How often each target is registered behind a load balancer, in all its target groups together.
    fn count_registrations(
        &self,
        lb_arn: &str,
        more_groups: &[&str],
        instead_of: Option<&str>,
        more: Option<(&str, &[Target])>,
    ) -> Answered<()> {
        let mut registrations: BTreeMap<&str, BTreeSet<(&str, u16)>> = BTreeMap::new();
        for arn in self.groups_behind(lb_arn, more_groups, instead_of) {
            for (id, port) in self.target_groups[arn].targets.keys() {
                registrations.entry(id).or_default().insert((arn, *port));
            }
        }
        let (arn, targets) = more.unwrap_or_default();
        for target in targets {
            registrations.entry(&target.id).or_default().insert((arn, target.port));
        }
        let most = self.quotas.registrations_per_target;
        match registrations.iter().find(|(_, places)| places.len() > most) {
            Some((id, _)) => {
                let message = format!("Target '{id}' may be registered {most} times with a load balancer");
                refuse("TooManyRegistrationsForTargetId", message)
            }
            None => Ok(()),
        }
    }

    fn count_targets(
        &self,
        lb_arn: &str,
        more_groups: &[&str],
        instead_of: Option<&str>,
        more: &[Target],
    ) -> Answered<()> {
        let groups = self.groups_behind(lb_arn, more_groups, instead_of);
        let there = groups.iter().flat_map(|arn| self.target_groups[*arn].targets.keys());
        let more = more.iter().filter(|target| {
            let key = (target.id.clone(), target.port);
            !groups.iter().any(|arn| self.target_groups[*arn].targets.contains_key(&key))
        });
        let mut by_zone: BTreeMap<&str, usize> = BTreeMap::new();
        for id in there.map(|(id, _)| id).chain(more.map(|target| &target.id)) {
            *by_zone.entry(self.instances.get(id).map_or("", |i| i.zone.as_str())).or_default() += 1;
        }
        let across = &self.load_balancers[lb_arn].attributes["load_balancing.cross_zone.enabled"];
        let most = if across == "true" { self.quotas.targets_across_zones } else { self.quotas.targets };
        if by_zone.values().sum::<usize>() > most {
            return refuse("TooManyTargets", format!("At most {most} targets a load balancer"));
        }
        if by_zone.values().any(|in_zone| *in_zone > self.quotas.targets_per_zone) {
            let message = format!("At most {} targets a zone", self.quotas.targets_per_zone);
            return refuse("TooManyTargets", message);
        }
        Ok(())
    }
}

/// Whether the id has the form that the target group's type wants.
fn check_form(tg: &TargetGroup, target: &Target) -> Answered<()> {
    let well_formed = match (tg.target_type, target.id.parse::<IpAddr>()) {
        (TargetType::Instance, _) => target.id.starts_with("i-"),
        (TargetType::Ip, Ok(IpAddr::V4(_))) => tg.family == TargetFamily::Ipv4,
        (TargetType::Ip, Ok(IpAddr::V6(_))) => tg.family == TargetFamily::Ipv6,
        (TargetType::Ip, Err(_)) | (TargetType::Alb, _) => false,
    };
    if !well_formed || target.port == 0 {
        let message = format!("'{}:{}' is not a valid {} target", target.id, target.port, tg.target_type);
        return refuse(MALFORMED, message);
    }
    Ok(())
}
