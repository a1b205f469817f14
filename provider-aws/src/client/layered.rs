//! One wrapper for everything that happens around a request, whatever the request is.

use std::{collections::BTreeMap, future::Future};

use async_trait::async_trait;

use super::{
    Attributes, Call, CapacityChange, CapacityReservation, Certificate, CreateListener, CreateLoadBalancer,
    CreateSecurityGroup, CreateTargetGroup, Ec2, Elbv2, IngressRule, Instance, IpAddressType, Listener,
    LoadBalancer, ModifyListener, ModifyTargetGroup, Page, Result, RouteTable, SecurityGroup,
    SecurityGroupQuery, Select, SetSecurityGroups, SetSubnets, Subnet, SubnetQuery, Tags, Target,
    TargetGroup, TargetHealth, Vpc, Zone, ZoneMapping,
};

/// Something that happens around every request: counting, pacing, repeating.
pub trait Around: Send + Sync {
    /// Makes the request, once or again until it is worth no more, and returns its outcome.
    fn around<T: Send, F: Future<Output = Result<T>> + Send>(
        &self,
        call: Call,
        request: impl Fn() -> F + Send + Sync,
    ) -> impl Future<Output = Result<T>> + Send;
}

/// An implementation of [`Elbv2`] and [`Ec2`] with something [`Around`] each of its requests.
#[derive(Clone, Debug)]
pub struct Layered<A, I> {
    around: A,
    inner: I,
}

impl<A, I> Layered<A, I> {
    /// Puts `around` around every request of `inner`.
    pub fn new(around: A, inner: I) -> Self {
        Self { around, inner }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<A: Around, I: Elbv2> Elbv2 for Layered<A, I> {
    async fn describe_load_balancers(
        &self,
        select: &Select,
        page: Option<&str>,
    ) -> Result<Page<LoadBalancer>> {
        self.around
            .around(Call::DescribeLoadBalancers, || self.inner.describe_load_balancers(select, page))
            .await
    }

    async fn create_load_balancer(&self, request: &CreateLoadBalancer) -> Result<LoadBalancer> {
        self.around.around(Call::CreateLoadBalancer, || self.inner.create_load_balancer(request)).await
    }

    async fn delete_load_balancer(&self, arn: &str) -> Result<()> {
        self.around.around(Call::DeleteLoadBalancer, || self.inner.delete_load_balancer(arn)).await
    }

    async fn set_subnets(&self, request: &SetSubnets) -> Result<Vec<ZoneMapping>> {
        self.around.around(Call::SetSubnets, || self.inner.set_subnets(request)).await
    }

    async fn set_security_groups(&self, request: &SetSecurityGroups) -> Result<()> {
        self.around.around(Call::SetSecurityGroups, || self.inner.set_security_groups(request)).await
    }

    async fn set_ip_address_type(&self, arn: &str, to: IpAddressType) -> Result<()> {
        self.around.around(Call::SetIpAddressType, || self.inner.set_ip_address_type(arn, to)).await
    }

    async fn describe_load_balancer_attributes(&self, arn: &str) -> Result<Attributes> {
        self.around
            .around(Call::DescribeLoadBalancerAttributes, || {
                self.inner.describe_load_balancer_attributes(arn)
            })
            .await
    }

    async fn modify_load_balancer_attributes(&self, arn: &str, attributes: &Attributes) -> Result<()> {
        self.around
            .around(Call::ModifyLoadBalancerAttributes, || {
                self.inner.modify_load_balancer_attributes(arn, attributes)
            })
            .await
    }

    async fn describe_capacity_reservation(&self, arn: &str) -> Result<CapacityReservation> {
        self.around
            .around(Call::DescribeCapacityReservation, || self.inner.describe_capacity_reservation(arn))
            .await
    }

    async fn modify_capacity_reservation(&self, arn: &str, change: CapacityChange) -> Result<()> {
        self.around
            .around(Call::ModifyCapacityReservation, || self.inner.modify_capacity_reservation(arn, change))
            .await
    }

    async fn describe_target_groups(&self, select: &Select, page: Option<&str>) -> Result<Page<TargetGroup>> {
        self.around
            .around(Call::DescribeTargetGroups, || self.inner.describe_target_groups(select, page))
            .await
    }

    async fn create_target_group(&self, request: &CreateTargetGroup) -> Result<TargetGroup> {
        self.around.around(Call::CreateTargetGroup, || self.inner.create_target_group(request)).await
    }

    async fn modify_target_group(&self, request: &ModifyTargetGroup) -> Result<()> {
        self.around.around(Call::ModifyTargetGroup, || self.inner.modify_target_group(request)).await
    }

    async fn delete_target_group(&self, arn: &str) -> Result<()> {
        self.around.around(Call::DeleteTargetGroup, || self.inner.delete_target_group(arn)).await
    }

    async fn describe_target_group_attributes(&self, arn: &str) -> Result<Attributes> {
        self.around
            .around(Call::DescribeTargetGroupAttributes, || self.inner.describe_target_group_attributes(arn))
            .await
    }

    async fn modify_target_group_attributes(&self, arn: &str, attributes: &Attributes) -> Result<()> {
        self.around
            .around(Call::ModifyTargetGroupAttributes, || {
                self.inner.modify_target_group_attributes(arn, attributes)
            })
            .await
    }

    async fn register_targets(&self, target_group_arn: &str, targets: &[Target]) -> Result<()> {
        self.around
            .around(Call::RegisterTargets, || self.inner.register_targets(target_group_arn, targets))
            .await
    }

    async fn deregister_targets(&self, target_group_arn: &str, targets: &[Target]) -> Result<()> {
        self.around
            .around(Call::DeregisterTargets, || self.inner.deregister_targets(target_group_arn, targets))
            .await
    }

    async fn describe_target_health(
        &self,
        target_group_arn: &str,
        targets: &[Target],
    ) -> Result<Vec<TargetHealth>> {
        self.around
            .around(Call::DescribeTargetHealth, || {
                self.inner.describe_target_health(target_group_arn, targets)
            })
            .await
    }

    async fn describe_listeners(
        &self,
        load_balancer_arn: &str,
        page: Option<&str>,
    ) -> Result<Page<Listener>> {
        self.around
            .around(Call::DescribeListeners, || self.inner.describe_listeners(load_balancer_arn, page))
            .await
    }

    async fn create_listener(&self, request: &CreateListener) -> Result<Listener> {
        self.around.around(Call::CreateListener, || self.inner.create_listener(request)).await
    }

    async fn modify_listener(&self, request: &ModifyListener) -> Result<Listener> {
        self.around.around(Call::ModifyListener, || self.inner.modify_listener(request)).await
    }

    async fn delete_listener(&self, arn: &str) -> Result<()> {
        self.around.around(Call::DeleteListener, || self.inner.delete_listener(arn)).await
    }

    async fn describe_listener_certificates(
        &self,
        listener_arn: &str,
        page: Option<&str>,
    ) -> Result<Page<Certificate>> {
        self.around
            .around(Call::DescribeListenerCertificates, || {
                self.inner.describe_listener_certificates(listener_arn, page)
            })
            .await
    }

    async fn add_listener_certificates(&self, listener_arn: &str, certificate_arn: &str) -> Result<()> {
        self.around
            .around(Call::AddListenerCertificates, || {
                self.inner.add_listener_certificates(listener_arn, certificate_arn)
            })
            .await
    }

    async fn remove_listener_certificates(&self, listener_arn: &str, certificate_arn: &str) -> Result<()> {
        self.around
            .around(Call::RemoveListenerCertificates, || {
                self.inner.remove_listener_certificates(listener_arn, certificate_arn)
            })
            .await
    }

    async fn describe_listener_attributes(&self, arn: &str) -> Result<Attributes> {
        self.around
            .around(Call::DescribeListenerAttributes, || self.inner.describe_listener_attributes(arn))
            .await
    }

    async fn modify_listener_attributes(&self, arn: &str, attributes: &Attributes) -> Result<()> {
        self.around
            .around(Call::ModifyListenerAttributes, || self.inner.modify_listener_attributes(arn, attributes))
            .await
    }

    async fn describe_tags(&self, arns: &[String]) -> Result<BTreeMap<String, Tags>> {
        self.around.around(Call::DescribeTags, || self.inner.describe_tags(arns)).await
    }

    async fn add_tags(&self, arn: &str, tags: &Tags) -> Result<()> {
        self.around.around(Call::AddTags, || self.inner.add_tags(arn, tags)).await
    }

    async fn remove_tags(&self, arn: &str, keys: &[String]) -> Result<()> {
        self.around.around(Call::RemoveTags, || self.inner.remove_tags(arn, keys)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<A: Around, I: Ec2> Ec2 for Layered<A, I> {
    async fn describe_subnets(&self, query: &SubnetQuery, page: Option<&str>) -> Result<Page<Subnet>> {
        self.around.around(Call::DescribeSubnets, || self.inner.describe_subnets(query, page)).await
    }

    async fn describe_vpcs(&self, ids: &[String], page: Option<&str>) -> Result<Page<Vpc>> {
        self.around.around(Call::DescribeVpcs, || self.inner.describe_vpcs(ids, page)).await
    }

    async fn describe_route_tables(&self, vpc_id: &str, page: Option<&str>) -> Result<Page<RouteTable>> {
        self.around.around(Call::DescribeRouteTables, || self.inner.describe_route_tables(vpc_id, page)).await
    }

    async fn describe_availability_zones(&self) -> Result<Vec<Zone>> {
        self.around.around(Call::DescribeAvailabilityZones, || self.inner.describe_availability_zones()).await
    }

    async fn describe_instances(&self, ids: &[String], page: Option<&str>) -> Result<Page<Instance>> {
        self.around.around(Call::DescribeInstances, || self.inner.describe_instances(ids, page)).await
    }

    async fn describe_security_groups(
        &self,
        query: &SecurityGroupQuery,
        page: Option<&str>,
    ) -> Result<Page<SecurityGroup>> {
        self.around
            .around(Call::DescribeSecurityGroups, || self.inner.describe_security_groups(query, page))
            .await
    }

    async fn create_security_group(&self, request: &CreateSecurityGroup) -> Result<String> {
        self.around.around(Call::CreateSecurityGroup, || self.inner.create_security_group(request)).await
    }

    async fn delete_security_group(&self, id: &str) -> Result<()> {
        self.around.around(Call::DeleteSecurityGroup, || self.inner.delete_security_group(id)).await
    }

    async fn authorize_security_group_ingress(&self, id: &str, rules: &[IngressRule]) -> Result<()> {
        self.around
            .around(Call::AuthorizeSecurityGroupIngress, || {
                self.inner.authorize_security_group_ingress(id, rules)
            })
            .await
    }

    async fn revoke_security_group_ingress(&self, id: &str, rules: &[IngressRule]) -> Result<()> {
        self.around
            .around(Call::RevokeSecurityGroupIngress, || self.inner.revoke_security_group_ingress(id, rules))
            .await
    }

    async fn create_tags(&self, ids: &[String], tags: &Tags) -> Result<()> {
        self.around.around(Call::CreateTags, || self.inner.create_tags(ids, tags)).await
    }

    async fn delete_tags(&self, ids: &[String], keys: &[String]) -> Result<()> {
        self.around.around(Call::DeleteTags, || self.inner.delete_tags(ids, keys)).await
    }
}
