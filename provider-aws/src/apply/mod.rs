//! Carries out one step of a plan: the only writer.
//!
//! A step that finds its work done already (a lost reply, a second leader) counts as done; one that finds the
//! world other than the plan saw it says so, and the caller looks again.

mod groups;
mod patience;
mod targets;

use std::collections::BTreeSet;

use cloud_provider::{Note, ServiceId};

pub(crate) use self::patience::Patience;
use crate::client::{
    ATTRIBUTES_PER_CALL, Attributes, Aws, CreateListener, CreateLoadBalancer, CreateTargetGroup,
    ModifyListener, ModifyTargetGroup, SecurityGroupQuery, Select, SetSecurityGroups, SetSubnets, Tags,
    TargetType,
};
use crate::config::AwsConfig;
use crate::drift;
use crate::error::{ApiError, ErrorKind};
use crate::failure::Failure;
use crate::memory::Memory;
use crate::model;
use crate::naming::{APPLIED_TAG, Names, TARGETS_TAG};
use crate::plan::{Action, GroupRef, Known, What};

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// As planned.
    Done,
    /// The world is not as the plan saw it: look again.
    Stale,
}

/// Carries out the steps of one plan, in order.
pub(crate) struct Applier<'a> {
    pub(crate) aws: &'a Aws,
    pub(crate) config: &'a AwsConfig,
    pub(crate) memory: &'a Memory,
    /// Held while the group that all Services share is made or taken down.
    pub(crate) shared_group: &'a tokio::sync::Mutex<()>,
    pub(crate) service: &'a ServiceId,
    /// What the plan's names mean; grows.
    pub(crate) known: Known,
    /// What the user should read.
    pub(crate) notes: Vec<Note>,
    /// Whether AWS refused targets, so that it cannot be noted that all are registered.
    pub(crate) refused_targets: bool,
}

impl Applier<'_> {
    /// Carries out one step.
    pub(crate) async fn apply(&mut self, action: &Action) -> Result<Applied, Failure> {
        match self.carry_out(&action.what).await {
            Err(Failure::Api(error)) if is_stale(&error) => Ok(Applied::Stale),
            result => result,
        }
    }

    async fn carry_out(&mut self, what: &What) -> Result<Applied, Failure> {
        match what {
            What::CreateFrontendGroup(group) => self.create_frontend_group(group).await?,
            What::CreateNodesSource(nodes) => self.create_nodes_source(nodes).await?,
            What::AuthorizeIngress { group, rules } => {
                if let Some(id) = self.known.group(group) {
                    self.authorize(&id, rules).await?;
                }
            }
            What::OpenNodes { node_group, traffic } => self.open_nodes(node_group, traffic).await?,
            What::RevokeIngress { group, rules } => {
                if let Some(id) = self.known.group(group) {
                    self.revoke(&id, rules).await?;
                }
            }
            What::TagGroup { group, add } => {
                if let Some(id) = self.known.group(group) {
                    self.aws.create_tags(&[id], add).await?;
                }
            }
            What::DeleteGroup { id } => self.delete_group(id).await?,
            What::CreateTargetGroup(group) => return self.create_target_group(group).await,
            What::ModifyTargetGroup { target_group, health_check } => {
                if let Some(arn) = self.known.target_groups.get(target_group) {
                    let target_group_arn = arn.clone();
                    let request = ModifyTargetGroup { target_group_arn, health_check: health_check.clone() };
                    self.aws.modify_target_group(&request).await?;
                }
            }
            What::ModifyTargetGroupAttributes { target_group, attributes } => {
                if let Some(arn) = self.known.target_groups.get(target_group) {
                    for some in in_requests(attributes) {
                        self.aws.modify_target_group_attributes(arn, &some).await?;
                    }
                }
            }
            What::RegisterTargets { target_group, targets } => {
                if let Some(arn) = self.known.target_groups.get(target_group).cloned() {
                    self.register(&arn, targets).await?;
                }
            }
            What::DeregisterTargets { target_group, targets } => {
                if let Some(arn) = self.known.target_groups.get(target_group).cloned() {
                    self.deregister(&arn, targets).await?;
                }
            }
            What::DeleteTargetGroup { arn } => self.delete_target_group(arn).await?,
            What::CreateLoadBalancer { load_balancer, groups } => {
                return self.create_load_balancer(load_balancer, groups).await;
            }
            What::DeleteLoadBalancer { arn } => self.delete_load_balancer(arn).await?,
            What::CreateListener(listener) => return self.create_listener(listener).await,
            What::ModifyListener(listener) => self.modify_listener(listener).await?,
            What::ModifyListenerAttributes { port, attributes } => {
                if let Some(arn) = self.known.listeners.get(port) {
                    let mut patience = self.patience();
                    while let Err(error) = self.aws.modify_listener_attributes(arn, attributes).await {
                        patience.wait_if(error.kind == ErrorKind::NotFound, error).await?;
                    }
                }
            }
            What::AddListenerCertificates { port, certificates } => {
                if let Some(arn) = self.known.listeners.get(port) {
                    // A listener just made is not known everywhere at once.
                    let mut patience = self.patience();
                    while let Err(error) = self.aws.add_listener_certificates(arn, certificates).await {
                        patience.wait_if(error.is("ListenerNotFound"), error).await?;
                    }
                }
            }
            What::RemoveListenerCertificates { port, certificates } => {
                if let Some(arn) = self.known.listeners.get(port) {
                    self.aws.remove_listener_certificates(arn, certificates).await?;
                }
            }
            What::DeleteListener { arn, .. } => match self.aws.delete_listener(arn).await {
                Err(error) if error.kind != ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            },
            What::Tag { arns, add, remove } => {
                if !add.is_empty() {
                    self.aws.add_tags(arns, add).await?;
                }
                if !remove.is_empty() {
                    self.aws.remove_tags(arns, remove).await?;
                }
            }
            What::Record { applied, instances } => self.record(applied.as_ref(), instances.as_ref()).await?,
            _ => return self.change_load_balancer(what).await,
        }
        Ok(Applied::Done)
    }

    /// The changes in place of the load balancer itself.
    async fn change_load_balancer(&mut self, what: &What) -> Result<Applied, Failure> {
        let Some(arn) = self.known.load_balancer.clone() else { return Ok(Applied::Stale) };
        match what {
            What::SetSubnets { subnets, ipv6_source_nat, ip_address_type, takes_zones_out } => {
                let request = SetSubnets {
                    load_balancer_arn: arn,
                    subnets: subnets.clone(),
                    ipv6_source_nat: *ipv6_source_nat,
                    ip_address_type: *ip_address_type,
                };
                self.set_subnets(&request, *takes_zones_out).await?;
            }
            What::SetSecurityGroups { groups, enforce_private_link_inbound } => {
                let Some(security_groups) = self.group_ids(groups) else { return Ok(Applied::Stale) };
                let enforce_private_link_inbound = *enforce_private_link_inbound;
                let request = SetSecurityGroups {
                    load_balancer_arn: arn,
                    security_groups,
                    enforce_private_link_inbound,
                };
                self.aws.set_security_groups(&request).await?;
            }
            What::SetIpAddressType(to) => self.aws.set_ip_address_type(&arn, *to).await?,
            What::ModifyLoadBalancerAttributes(attributes) => {
                for some in in_requests(attributes) {
                    self.aws.modify_load_balancer_attributes(&arn, &some).await?;
                }
            }
            What::ModifyCapacityReservation(change) => {
                self.aws.modify_capacity_reservation(&arn, *change).await?;
            }
            _ => {}
        }
        Ok(Applied::Done)
    }

    /// AWS takes up to three minutes to let go of a zone, and refuses it until then.
    async fn set_subnets(&self, request: &SetSubnets, takes_zones_out: bool) -> Result<(), Failure> {
        let arn = &request.load_balancer_arn;
        if takes_zones_out {
            self.memory.zones_taken_out(arn);
        }
        let mut patience = self.patience();
        while let Err(error) = self.aws.set_subnets(request).await {
            let refused = !takes_zones_out && error.is("InvalidConfigurationRequest");
            let is_leaving = refused && self.memory.may_zones_be_leaving(arn);
            patience.wait_if(is_leaving, error.clone()).await.map_err(|error| match is_leaving {
                true => Failure::ZoneIsLeaving(error),
                false => Failure::Api(error),
            })?;
        }
        Ok(())
    }

    fn group_ids(&self, groups: &BTreeSet<GroupRef>) -> Option<BTreeSet<String>> {
        groups.iter().map(|group| self.known.group(group)).collect()
    }

    pub(crate) fn patience(&self) -> Patience {
        Patience::of(self.config.deletion_wait)
    }

    fn names(&self) -> Names<'_> {
        Names::new(&self.config.cluster, self.service)
    }

    async fn create_load_balancer(
        &mut self,
        wanted: &model::LoadBalancer,
        groups: &BTreeSet<GroupRef>,
    ) -> Result<Applied, Failure> {
        let Some(security_groups) = self.group_ids(groups) else { return Ok(Applied::Stale) };
        let has_groups = !security_groups.is_empty();
        let request = CreateLoadBalancer {
            name: wanted.name.clone(),
            scheme: wanted.scheme,
            ip_address_type: wanted.ip_address_type,
            subnets: wanted.zones.iter().map(|zone| zone.mapping.clone()).collect(),
            security_groups,
            ipv6_source_nat: wanted.ipv6_source_nat.unwrap_or(false),
            tags: wanted.tags.clone(),
        };
        let mut patience = self.patience();
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
                    let is_new = error.is("InvalidSecurityGroup") && has_groups;
                    patience.wait_if(is_new, error).await?;
                    self.look_at_groups(&request.security_groups).await?;
                }
            }
        };
        self.check_owner("load balancer", &wanted.name, [&made.arn]).await?;
        self.known.load_balancer = Some(made.arn);
        Ok(Applied::Done)
    }

    /// Asks EC2 whether it shows the groups by now.
    async fn look_at_groups(&self, ids: &BTreeSet<String>) -> Result<(), Failure> {
        self.aws.forget_security_groups();
        let query =
            SecurityGroupQuery { ids: ids.iter().cloned().collect(), ..SecurityGroupQuery::default() };
        self.aws.security_groups(&query).await?;
        Ok(())
    }

    /// AWS answers a create with what exists already under the name, if the settings are the same, and asks not
    /// whose it is (the AWS Load Balancer Controller's issues #2533 and #3027: one Service took another's load
    /// balancer). The target groups are asked for in the same request, because the next look needs their tags.
    async fn check_owner<'t>(
        &self,
        kind: &'static str,
        name: &str,
        arns: impl IntoIterator<Item = &'t String>,
    ) -> Result<(), Failure> {
        let asked: Vec<String> = arns.into_iter().cloned().collect();
        let all: Vec<String> = asked.iter().chain(self.known.target_groups.values()).cloned().collect();
        let tags = self.aws.tags(&all).await?;
        let names = self.names();
        let is_ours = |arn: &String| tags.get(arn).is_some_and(|tags: &Tags| names.owns(tags));
        match asked.iter().all(is_ours) {
            true => Ok(()),
            false => Err(Failure::NameTaken { kind, name: name.to_owned() }),
        }
    }

    pub(crate) async fn delete_load_balancer(&mut self, arn: &str) -> Result<(), Failure> {
        match self.aws.delete_load_balancer(arn).await {
            Err(error) if error.kind != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn create_target_group(&mut self, wanted: &model::TargetGroup) -> Result<Applied, Failure> {
        let request = CreateTargetGroup {
            name: wanted.name.clone(),
            protocol: wanted.protocol,
            port: wanted.node_port,
            vpc_id: wanted.vpc_id.clone(),
            target_type: TargetType::Instance,
            family: wanted.family,
            health_check: wanted.health_check.clone(),
            tags: wanted.tags.clone(),
        };
        match self.aws.create_target_group(&request).await {
            Ok(made) => {
                self.known.target_groups.insert(wanted.name.clone(), made.arn);
                Ok(Applied::Done)
            }
            Err(error) if error.is("DuplicateTargetGroupName") => {
                let named = Select::Names(vec![wanted.name.clone()]);
                let found = self.aws.target_groups(&named).await?;
                self.check_owner("target group", &wanted.name, found.iter().map(|tg| &tg.arn)).await?;
                Ok(Applied::Stale)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A target group stays in use for a moment after its listener has gone.
    pub(crate) async fn delete_target_group(&mut self, arn: &str) -> Result<(), Failure> {
        let mut patience = self.patience();
        while let Err(error) = self.aws.delete_target_group(arn).await {
            if error.kind == ErrorKind::NotFound {
                break;
            }
            patience.wait_if(error.kind == ErrorKind::InUse, error).await?;
        }
        Ok(())
    }

    async fn create_listener(&mut self, wanted: &model::Listener) -> Result<Applied, Failure> {
        let target_group = self.known.target_groups.get(&wanted.target_group);
        let (Some(load_balancer), Some(target_group)) = (&self.known.load_balancer, target_group) else {
            return Ok(Applied::Stale);
        };
        let tls = wanted.tls.as_ref();
        let request = CreateListener {
            load_balancer_arn: load_balancer.clone(),
            port: wanted.port,
            protocol: wanted.protocol,
            default_certificate: tls.map(|tls| tls.default_certificate.clone()),
            ssl_policy: tls.map(|tls| tls.policy.clone()),
            alpn_policy: tls.map(|tls| tls.alpn),
            forward: drift::forward(wanted, target_group),
            tags: wanted.tags.clone(),
        };
        let made = self.aws.create_listener(&request).await?;
        self.known.listeners.insert(wanted.port, made.arn);
        Ok(Applied::Done)
    }

    async fn modify_listener(&mut self, wanted: &model::Listener) -> Result<(), Failure> {
        let target_group = self.known.target_groups.get(&wanted.target_group);
        let (Some(arn), Some(target_group)) = (self.known.listeners.get(&wanted.port), target_group) else {
            return Ok(());
        };
        let tls = wanted.tls.as_ref();
        let request = ModifyListener {
            listener_arn: arn.clone(),
            port: None,
            protocol: Some(wanted.protocol),
            default_certificate: tls.map(|tls| tls.default_certificate.clone()),
            ssl_policy: tls.map(|tls| tls.policy.clone()),
            alpn_policy: tls.map(|tls| tls.alpn),
            forward: Some(drift::forward(wanted, target_group)),
        };
        self.aws.modify_listener(&request).await?;
        Ok(())
    }

    /// Instances are not noted when AWS refused some of them: the next look has to find that out again.
    async fn record(&self, applied: Option<&String>, instances: Option<&String>) -> Result<(), Failure> {
        let Some(arn) = &self.known.load_balancer else { return Ok(()) };
        let instances = instances.filter(|_| !self.refused_targets);
        let mut tags = Tags::new();
        tags.insert(APPLIED_TAG.to_owned(), applied.cloned().unwrap_or_default());
        if applied.is_some() {
            tags.insert(TARGETS_TAG.to_owned(), instances.cloned().unwrap_or_default());
        }
        self.aws.add_tags(std::slice::from_ref(arn), &tags).await?;
        Ok(())
    }
}

/// Whether a failure says that something the plan built on is gone or is there already.
fn is_stale(error: &ApiError) -> bool {
    let codes = ["LoadBalancerNotFound", "ListenerNotFound", "DuplicateListener", "InvalidGroup.NotFound"];
    codes.iter().any(|code| error.is(code))
}

fn in_requests(attributes: &Attributes) -> Vec<Attributes> {
    let all: Vec<(&String, &String)> = attributes.iter().collect();
    let own = |some: &[(&String, &String)]| some.iter().map(|(k, v)| ((*k).clone(), (*v).clone())).collect();
    all.chunks(ATTRIBUTES_PER_CALL).map(own).collect()
}
