//! The load balancer: made and moved.

use std::collections::BTreeSet;

use super::{Applied, Applier};
use crate::client::{
    CreateLoadBalancer, IpAddressType, LoadBalancer, SecurityGroupQuery, Select, SetSecurityGroups,
    SetSubnets, SubnetMapping, Tags,
};
use crate::failure::StepFailure;
use crate::model;
use crate::plan::GroupRef;

impl Applier<'_> {
    pub(super) async fn create_load_balancer(
        &mut self,
        wanted: &model::LoadBalancer,
        groups: &BTreeSet<GroupRef>,
    ) -> Result<Applied, StepFailure> {
        let Some(security_groups) = self.group_ids(groups) else { return Ok(Applied::Stale) };
        let request = CreateLoadBalancer {
            name: wanted.name.clone(),
            scheme: wanted.scheme,
            ip_address_type: wanted.ip_address_type,
            subnets: wanted.zones.iter().map(|zone| zone.mapping.clone()).collect(),
            security_groups,
            ipv6_source_nat: wanted.ipv6_source_nat.unwrap_or(false),
            tags: wanted.tags.clone(),
        };
        let mut backoff = self.backoff();
        let made = loop {
            match self.aws.create_load_balancer(&request).await {
                Ok(made) => break made,
                Err(error) if error.is("DuplicateLoadBalancerName") => {
                    let named = Select::Names(vec![wanted.name.clone()]);
                    let found = self.aws.load_balancers(&named).await?;
                    self.check_owner("load balancer", &wanted.name, found.iter().map(|lb| &lb.arn)).await?;
                    return Ok(Applied::Stale);
                }
                // A group just made is not known everywhere at once.
                Err(error) => {
                    let has_new = request
                        .security_groups
                        .iter()
                        .any(|id| self.memory.groups.is_new(&self.service.uid, id));
                    let is_new = error.is("InvalidSecurityGroup") && has_new;
                    backoff.wait_if(is_new, error).await?;
                    self.look_at_groups(&request.security_groups).await?;
                }
            }
        };
        match is_certainly_new(&made, self.new_frontend.as_ref()) {
            true => self.aws.is_made_with(&made.arn, &request.tags),
            false => self.check_owner("load balancer", &wanted.name, [&made.arn]).await?,
        }
        self.ids.load_balancer = Some(made.arn);
        Ok(Applied::Done)
    }

    /// Asks EC2 whether it shows the groups by now.
    async fn look_at_groups(&self, ids: &BTreeSet<String>) -> Result<(), StepFailure> {
        self.aws.forget_security_groups();
        let query =
            SecurityGroupQuery { ids: ids.iter().cloned().collect(), ..SecurityGroupQuery::default() };
        self.aws.security_groups(&query).await?;
        Ok(())
    }

    /// AWS answers a create with what exists already under the name, if the settings are the same, and asks not
    /// whose it is (the AWS Load Balancer Controller's issues #2533 and #3027: one Service took another's load
    /// balancer).
    pub(super) async fn check_owner<'t>(
        &self,
        kind: &'static str,
        name: &str,
        arns: impl IntoIterator<Item = &'t String>,
    ) -> Result<(), StepFailure> {
        let asked: Vec<String> = arns.into_iter().cloned().collect();
        let tags = self.aws.tags(&asked).await?;
        let names = self.names();
        let is_ours = |arn: &String| tags.get(arn).is_some_and(|tags: &Tags| names.owns(tags));
        match asked.iter().all(is_ours) {
            true => Ok(()),
            false => Err(StepFailure::NameTaken { kind, name: name.to_owned() }),
        }
    }

    /// AWS takes up to three minutes to let go of a zone, and refuses it until then.
    pub(super) async fn set_subnets(
        &self,
        subnets: &[SubnetMapping],
        ipv6_source_nat: Option<bool>,
        ip_address_type: Option<IpAddressType>,
        takes_zones_out: bool,
    ) -> Result<Applied, StepFailure> {
        let Some(arn) = &self.ids.load_balancer else { return Ok(Applied::Stale) };
        let request = SetSubnets {
            load_balancer_arn: arn.clone(),
            subnets: subnets.to_vec(),
            ipv6_source_nat,
            ip_address_type,
        };
        if takes_zones_out {
            self.memory.zones.taken_out(arn);
        }
        let mut backoff = self.backoff();
        while let Err(error) = self.aws.set_subnets(&request).await {
            let refused = !takes_zones_out && error.is("InvalidConfigurationRequest");
            let is_leaving = refused && self.memory.zones.may_be_leaving(arn);
            backoff.wait_if(is_leaving, error.clone()).await.map_err(|error| match is_leaving {
                true => StepFailure::ZoneIsLeaving(error),
                false => StepFailure::Api(error),
            })?;
        }
        Ok(Applied::Done)
    }

    pub(super) async fn set_security_groups(
        &self,
        groups: &BTreeSet<GroupRef>,
        enforce_private_link_inbound: Option<bool>,
    ) -> Result<Applied, StepFailure> {
        let (Some(arn), Some(security_groups)) = (&self.ids.load_balancer, self.group_ids(groups)) else {
            return Ok(Applied::Stale);
        };
        let request = SetSecurityGroups {
            load_balancer_arn: arn.clone(),
            security_groups,
            enforce_private_link_inbound,
        };
        self.aws.set_security_groups(&request).await?;
        Ok(Applied::Done)
    }

    fn group_ids(&self, groups: &BTreeSet<GroupRef>) -> Option<BTreeSet<String>> {
        groups.iter().map(|group| self.ids.group(group)).collect()
    }
}

/// Whether a create has made what it answered with: it carries a group that did not exist a moment ago and that nobody else
/// knows of. Whether AWS answers with what exists under the name only if that has the same groups is not documented.
fn is_certainly_new(made: &LoadBalancer, new_group: Option<&String>) -> bool {
    new_group.is_some_and(|group| made.security_groups.contains(group))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::client::{LoadBalancerKind, LoadBalancerState, Scheme};

    #[test]
    fn a_load_balancer_is_certainly_new_only_if_it_carries_the_group_that_was_made_for_it() {
        let carrying = |groups: &[&str]| LoadBalancer {
            arn: "arn".to_owned(),
            name: "web".to_owned(),
            dns_name: "web.elb".to_owned(),
            hosted_zone_id: None,
            created: Some(SystemTime::UNIX_EPOCH),
            vpc_id: "vpc-1".to_owned(),
            kind: LoadBalancerKind::Network,
            scheme: Scheme::Internal,
            state: LoadBalancerState::Provisioning,
            state_reason: None,
            ip_address_type: IpAddressType::Ipv4,
            zones: Vec::new(),
            security_groups: groups.iter().map(ToString::to_string).collect(),
            enforce_private_link_inbound: None,
            ipv6_source_nat: false,
        };
        let new = "sg-new".to_owned();
        assert!(is_certainly_new(&carrying(&["sg-new", "sg-shared"]), Some(&new)));
        assert!(!is_certainly_new(&carrying(&["sg-shared"]), Some(&new)), "somebody else's of the same name");
        assert!(!is_certainly_new(&carrying(&["sg-new"]), None), "the group was there before");
        assert!(!is_certainly_new(&carrying(&[]), None));
    }
}
