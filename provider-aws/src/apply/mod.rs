//! Carries out the steps of a plan: the only writer.
//!
//! A step that finds its work done already (a lost reply, a second leader) counts as done; one that finds AWS
//! other than the plan saw it says so, and the caller looks again. What AWS refuses leaves undone only the parts that need
//! it: one bad certificate keeps no other port from being made.

mod backoff;
mod groups;
mod listeners;
mod load_balancer;
mod target_groups;
mod targets;

use cloud_provider::{Note, Ordered, ServiceId};

use self::backoff::BoundedBackoff;
use crate::client::{ATTRIBUTES_PER_CALL, Attributes, Aws, ModifyTargetGroup, TagFilter, Tags};
use crate::config::AwsConfig;
use crate::error::{ApiError, ErrorKind};
use crate::failure::StepFailure;
use crate::memory::Memory;
use crate::naming::{APPLIED_TAG, CLUSTER_TAG, Names, TARGETS_TAG, UID_TAG};
use crate::observe::Observer;
use crate::plan::{Action, Operation, Part, ResolvedIds};

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// As planned.
    Done,
    /// AWS is not as the plan saw it: look again.
    Stale,
}

/// How a plan ended.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// Whether AWS is not as the plan saw it.
    pub(crate) is_stale: bool,
    /// What failed, in the order of the plan.
    pub(crate) failures: Vec<(Part, StepFailure)>,
    /// The steps after the one that made the host name, where it is to be [told first](Applier::tells_the_name_first).
    pub(crate) rest: Vec<Action>,
}

/// Carries out the steps of one plan, in order.
pub(crate) struct Applier<'a> {
    pub(crate) observer: Observer<'a>,
    pub(crate) aws: &'a Aws,
    pub(crate) config: &'a AwsConfig,
    pub(crate) memory: &'a Memory,
    /// Held while what all Services share is made, opened or taken down.
    pub(crate) shared_group: &'a tokio::sync::Mutex<()>,
    pub(crate) service: &'a ServiceId,
    /// What the plan's names mean; grows.
    pub(crate) ids: ResolvedIds,
    /// The Service's own security group, if this run made it.
    pub(crate) new_frontend: Option<String>,
    /// What the user should read.
    pub(crate) notes: Vec<Note>,
    /// Whether AWS refused targets, so that it cannot be noted that all are registered.
    pub(crate) refused_targets: bool,
    /// Whether a run ends once there is a host name: nobody waits for the rest to be told it. Not where something failed
    /// before, or has to be told, which would be lost between two runs.
    pub(crate) tells_the_name_first: bool,
}

impl Applier<'_> {
    /// Carries out the steps, and goes on after a failure with those that do not need what failed. What AWS did not
    /// clearly refuse ends the run: to go on would be to wait for each step anew.
    pub(crate) async fn run(&mut self, actions: &[Action]) -> Run {
        let mut run = Run::default();
        let mut ahead = None;
        for (number, action) in actions.iter().enumerate() {
            let done_ahead = ahead.take();
            if run.failures.iter().any(|(failed, _)| action.part.needs(failed)) {
                continue;
            }
            tracing::debug!(service = %self.service, step = %action.step(), "applying");
            let next = actions.get(number + 1).map(|next| &next.operation);
            let result = match (done_ahead, &action.operation, next) {
                (Some(result), ..) => result,
                (
                    None,
                    Operation::CreateBackendGroup(backend),
                    Some(Operation::CreateFrontendGroup(frontend)),
                ) => {
                    let [backend, frontend] = self.create_both_groups(backend, frontend).await;
                    ahead = Some(frontend);
                    backend
                }
                _ => self.apply(action).await,
            };
            match result {
                Ok(Applied::Done) => {
                    let has_news = !run.failures.is_empty() || !self.notes.is_empty() || self.refused_targets;
                    let is_named = matches!(action.operation, Operation::CreateLoadBalancer { .. });
                    if self.tells_the_name_first && is_named && !has_news {
                        run.rest = actions[number + 1..].to_vec();
                        break;
                    }
                }
                Ok(Applied::Stale) => {
                    run.is_stale = true;
                    break;
                }
                Err(failure) => {
                    let is_refusal = failure.is_refusal();
                    run.failures.push((action.part.clone(), failure));
                    if !is_refusal {
                        break;
                    }
                }
            }
        }
        run
    }

    async fn apply(&mut self, action: &Action) -> Result<Applied, StepFailure> {
        match self.carry_out(&action.operation).await {
            Err(StepFailure::Api(error)) if is_stale(&error) => Ok(Applied::Stale),
            result => result,
        }
    }

    /// Every step is handled here, or this does not compile; one whose names mean nothing at AWS is stale.
    async fn carry_out(&mut self, operation: &Operation) -> Result<Applied, StepFailure> {
        match operation {
            Operation::CreateFrontendGroup(group) => self.create_frontend_group(group).await,
            Operation::CreateBackendGroup(nodes) => self.create_backend_group(nodes).await,
            Operation::AuthorizeIngress { group, rules } => {
                let Some(id) = self.ids.group(group) else { return Ok(Applied::Stale) };
                self.authorize(&id, rules).await
            }
            Operation::OpenNodes { node_group, traffic } => self.open_nodes(node_group, traffic).await,
            Operation::RevokeIngress { group, rules } => {
                let Some(id) = self.ids.group(group) else { return Ok(Applied::Stale) };
                self.revoke(&id, rules).await
            }
            Operation::TagGroup { group, add, remove } => {
                let Some(id) = self.ids.group(group) else { return Ok(Applied::Stale) };
                self.tag_group(id, add, remove).await
            }
            Operation::DeleteGroup { id } => self.delete_group(id).await,
            Operation::DeleteUnseenGroup { id } => self.delete_unseen_group(id).await,
            Operation::DeleteBackendGroup { id, vpc_id } => self.delete_backend_group(id, vpc_id).await,
            Operation::CreateTargetGroup(group) => self.create_target_group(group).await,
            Operation::ModifyTargetGroup { target_group, health_check } => {
                let Some(arn) = self.ids.target_group(target_group) else { return Ok(Applied::Stale) };
                let request = ModifyTargetGroup { target_group_arn: arn, health_check: health_check.clone() };
                self.aws.modify_target_group(&request).await?;
                Ok(Applied::Done)
            }
            Operation::ModifyTargetGroupAttributes { target_group, attributes } => {
                let Some(arn) = self.ids.target_group(target_group) else { return Ok(Applied::Stale) };
                for some in in_requests(attributes) {
                    self.aws.elbv2().modify_target_group_attributes(&arn, &some).await?;
                }
                Ok(Applied::Done)
            }
            Operation::RegisterTargets { target_group, targets } => {
                let Some(arn) = self.ids.target_group(target_group) else { return Ok(Applied::Stale) };
                self.register(&arn, targets).await
            }
            Operation::DeregisterTargets { target_group, targets } => {
                let Some(arn) = self.ids.target_group(target_group) else { return Ok(Applied::Stale) };
                self.deregister(&arn, targets).await
            }
            Operation::DeleteTargetGroup { arn } => self.delete_target_group(arn).await,
            Operation::CreateLoadBalancer { load_balancer, groups } => {
                self.create_load_balancer(load_balancer, groups).await
            }
            Operation::SetSubnets { subnets, ipv6_source_nat, ip_address_type, takes_zones_out } => {
                self.set_subnets(subnets, *ipv6_source_nat, *ip_address_type, *takes_zones_out).await
            }
            Operation::SetSecurityGroups { groups, enforce_private_link_inbound } => {
                self.set_security_groups(groups, *enforce_private_link_inbound).await
            }
            Operation::SetIpAddressType(to) => {
                let Some(arn) = &self.ids.load_balancer else { return Ok(Applied::Stale) };
                self.aws.set_ip_address_type(arn, *to).await?;
                Ok(Applied::Done)
            }
            Operation::ModifyLoadBalancerAttributes(attributes) => {
                let Some(arn) = &self.ids.load_balancer else { return Ok(Applied::Stale) };
                for some in in_requests(attributes) {
                    self.aws.elbv2().modify_load_balancer_attributes(arn, &some).await?;
                }
                Ok(Applied::Done)
            }
            Operation::ChangeSetting(setting) => {
                let Some(arn) = &self.ids.load_balancer else { return Ok(Applied::Stale) };
                setting.change(self.aws, arn).await?;
                Ok(Applied::Done)
            }
            Operation::DeleteLoadBalancer { arn } => delete(self.aws.delete_load_balancer(arn)).await,
            Operation::CreateListener(listener) => self.create_listener(listener).await,
            Operation::ModifyListener(listener) => self.modify_listener(listener).await,
            Operation::ModifyListenerAttributes { port, attributes } => {
                self.modify_listener_attributes(*port, attributes).await
            }
            Operation::AddListenerCertificates { port, certificates } => {
                self.add_certificates(*port, certificates).await
            }
            Operation::RemoveListenerCertificates { port, certificates } => {
                self.remove_certificates(*port, certificates).await
            }
            Operation::DeleteListener { arn, .. } => delete(self.aws.elbv2().delete_listener(arn)).await,
            Operation::Tag { arn, add, remove } => self.tag(arn, add, remove).await,
            Operation::ForgetTargets { arn } => {
                let nothing = Tags::from([(TARGETS_TAG.to_owned(), String::new())]);
                self.tag(arn, &nothing, &[]).await
            }
            Operation::Record { applied, targets } => self.record(applied.as_ref(), targets.as_ref()).await,
        }
    }

    /// Tags go before others come: the tag that remembers which were added is written last.
    async fn tag(&self, arn: &str, add: &Tags, remove: &[String]) -> Result<Applied, StepFailure> {
        let arns = [arn.to_owned()];
        if !remove.is_empty() {
            self.aws.remove_tags(&arns, remove).await?;
        }
        if !add.is_empty() {
            self.aws.add_tags(&arns, add).await?;
        }
        Ok(Applied::Done)
    }

    /// Targets are not noted while AWS refuses some of them, now or when it was last asked: the next look has to find that
    /// out again.
    async fn record(
        &self,
        applied: Option<&String>,
        targets: Option<&String>,
    ) -> Result<Applied, StepFailure> {
        let Some(arn) = &self.ids.load_balancer else { return Ok(Applied::Stale) };
        let are_all_in = self.memory.targets.until_another_try(&self.service.uid).is_none();
        let targets = targets.filter(|_| are_all_in);
        let mut tags = Tags::from([(APPLIED_TAG.to_owned(), applied.cloned().unwrap_or_default())]);
        if applied.is_some() {
            tags.insert(TARGETS_TAG.to_owned(), targets.cloned().unwrap_or_default());
        }
        self.tag(arn, &tags, &[]).await
    }

    /// Whether no Service of the cluster has a load balancer in this VPC, or is being worked on besides this one.
    async fn is_the_last(&self, vpc_id: &str) -> Result<bool, ApiError> {
        let ours = [TagFilter::equals(CLUSTER_TAG, &self.config.cluster), TagFilter::present(UID_TAG)];
        let is_left = self.aws.has_load_balancer(&ours, vpc_id, self.config.snapshot_age).await?;
        Ok(!is_left && !self.memory.work.is_anyone_at_work())
    }

    fn backoff(&self) -> BoundedBackoff {
        BoundedBackoff::of(self.config.deletion_wait)
    }

    fn names(&self) -> Names<'_> {
        Names::new(&self.config.cluster, self.service)
    }
}

/// Whether a failure says that something the plan built on is gone or is there already.
fn is_stale(error: &ApiError) -> bool {
    let codes = ["LoadBalancerNotFound", "ListenerNotFound", "DuplicateListener", "InvalidGroup.NotFound"];
    codes.iter().any(|code| error.is(code))
}

/// What is not there any more was deleted already.
async fn delete(request: impl Future<Output = Result<(), ApiError>>) -> Result<Applied, StepFailure> {
    match request.await {
        Err(error) if error.kind != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(Applied::Done),
    }
}

fn in_requests(attributes: &Attributes) -> Vec<Attributes> {
    let all: Vec<(&String, &String)> = attributes.iter().collect();
    let own = |some: &[(&String, &String)]| some.iter().map(|(k, v)| ((*k).clone(), (*v).clone())).ordered();
    all.chunks(ATTRIBUTES_PER_CALL).map(own).collect()
}

#[cfg(test)]
mod tests;
