//! The ELBv2 requests, each handed to the account.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{
    super::{
        Attributes, Call, CapacityChange, CapacityReservation, Certificate, CreateListener,
        CreateLoadBalancer, CreateTargetGroup, Elbv2, IpAddressType, Listener, LoadBalancer, ModifyListener,
        ModifyTargetGroup, Page, Result, Select, SetSecurityGroups, SetSubnets, Tags, Target, TargetGroup,
        TargetHealth, ZoneMapping,
    },
    FakeAws,
};

#[async_trait]
impl Elbv2 for FakeAws {
    async fn describe_load_balancers(
        &self,
        select: &Select,
        page: Option<&str>,
    ) -> Result<Page<LoadBalancer>> {
        self.request(Call::DescribeLoadBalancers, |world| world.describe_load_balancers(select, page)).await
    }

    async fn create_load_balancer(&self, request: &CreateLoadBalancer) -> Result<LoadBalancer> {
        self.request(Call::CreateLoadBalancer, |world| world.create_load_balancer(request)).await
    }

    async fn delete_load_balancer(&self, arn: &str) -> Result<()> {
        self.request(Call::DeleteLoadBalancer, |world| world.delete_load_balancer(arn)).await
    }

    async fn set_subnets(&self, request: &SetSubnets) -> Result<Vec<ZoneMapping>> {
        self.request(Call::SetSubnets, |world| world.set_subnets(request)).await
    }

    async fn set_security_groups(&self, request: &SetSecurityGroups) -> Result<()> {
        self.request(Call::SetSecurityGroups, |world| world.set_security_groups(request)).await
    }

    async fn set_ip_address_type(&self, arn: &str, to: IpAddressType) -> Result<()> {
        self.request(Call::SetIpAddressType, |world| world.set_ip_address_type(arn, to)).await
    }

    async fn describe_load_balancer_attributes(&self, arn: &str) -> Result<Attributes> {
        self.request(Call::DescribeLoadBalancerAttributes, |world| {
            Ok(world.load_balancer(arn)?.attributes.clone())
        })
        .await
    }

    async fn modify_load_balancer_attributes(&self, arn: &str, attributes: &Attributes) -> Result<()> {
        self.request(Call::ModifyLoadBalancerAttributes, |world| {
            world.modify_load_balancer_attributes(arn, attributes)
        })
        .await
    }

    async fn describe_capacity_reservation(&self, arn: &str) -> Result<CapacityReservation> {
        self.request(Call::DescribeCapacityReservation, |world| {
            Ok(world.load_balancer(arn)?.capacity.clone())
        })
        .await
    }

    async fn modify_capacity_reservation(&self, arn: &str, change: CapacityChange) -> Result<()> {
        self.request(Call::ModifyCapacityReservation, |world| world.modify_capacity_reservation(arn, change))
            .await
    }

    async fn describe_target_groups(&self, select: &Select, page: Option<&str>) -> Result<Page<TargetGroup>> {
        self.request(Call::DescribeTargetGroups, |world| world.describe_target_groups(select, page)).await
    }

    async fn create_target_group(&self, request: &CreateTargetGroup) -> Result<TargetGroup> {
        self.request(Call::CreateTargetGroup, |world| world.create_target_group(request)).await
    }

    async fn modify_target_group(&self, request: &ModifyTargetGroup) -> Result<()> {
        self.request(Call::ModifyTargetGroup, |world| world.modify_target_group(request)).await
    }

    async fn delete_target_group(&self, arn: &str) -> Result<()> {
        self.request(Call::DeleteTargetGroup, |world| world.delete_target_group(arn)).await
    }

    async fn describe_target_group_attributes(&self, arn: &str) -> Result<Attributes> {
        self.request(Call::DescribeTargetGroupAttributes, |world| {
            Ok(world.target_group(arn)?.attributes.clone())
        })
        .await
    }

    async fn modify_target_group_attributes(&self, arn: &str, attributes: &Attributes) -> Result<()> {
        self.request(Call::ModifyTargetGroupAttributes, |world| {
            world.modify_target_group_attributes(arn, attributes)
        })
        .await
    }

    async fn register_targets(&self, target_group_arn: &str, targets: &[Target]) -> Result<()> {
        self.request(Call::RegisterTargets, |world| world.register_targets(target_group_arn, targets)).await
    }

    async fn deregister_targets(&self, target_group_arn: &str, targets: &[Target]) -> Result<()> {
        self.request(Call::DeregisterTargets, |world| world.deregister_targets(target_group_arn, targets))
            .await
    }

    async fn describe_target_health(
        &self,
        target_group_arn: &str,
        targets: &[Target],
    ) -> Result<Vec<TargetHealth>> {
        self.request(Call::DescribeTargetHealth, |world| {
            world.describe_target_health(target_group_arn, targets)
        })
        .await
    }

    async fn describe_listeners(
        &self,
        load_balancer_arn: &str,
        page: Option<&str>,
    ) -> Result<Page<Listener>> {
        self.request(Call::DescribeListeners, |world| world.describe_listeners(load_balancer_arn, page)).await
    }

    async fn create_listener(&self, request: &CreateListener) -> Result<Listener> {
        self.request(Call::CreateListener, |world| world.create_listener(request)).await
    }

    async fn modify_listener(&self, request: &ModifyListener) -> Result<Listener> {
        self.request(Call::ModifyListener, |world| world.modify_listener(request)).await
    }

    async fn delete_listener(&self, arn: &str) -> Result<()> {
        self.request(Call::DeleteListener, |world| world.delete_listener(arn)).await
    }

    async fn describe_listener_certificates(
        &self,
        listener_arn: &str,
        page: Option<&str>,
    ) -> Result<Page<Certificate>> {
        self.request(Call::DescribeListenerCertificates, |world| {
            world.describe_listener_certificates(listener_arn, page)
        })
        .await
    }

    async fn add_listener_certificates(&self, listener_arn: &str, certificate_arn: &str) -> Result<()> {
        self.request(Call::AddListenerCertificates, |world| {
            world.add_listener_certificate(listener_arn, certificate_arn)
        })
        .await
    }

    async fn remove_listener_certificates(&self, listener_arn: &str, certificate_arn: &str) -> Result<()> {
        self.request(Call::RemoveListenerCertificates, |world| {
            world.remove_listener_certificate(listener_arn, certificate_arn)
        })
        .await
    }

    async fn describe_listener_attributes(&self, arn: &str) -> Result<Attributes> {
        self.request(Call::DescribeListenerAttributes, |world| Ok(world.listener(arn)?.attributes.clone()))
            .await
    }

    async fn modify_listener_attributes(&self, arn: &str, attributes: &Attributes) -> Result<()> {
        self.request(Call::ModifyListenerAttributes, |world| {
            world.modify_listener_attributes(arn, attributes)
        })
        .await
    }

    async fn describe_tags(&self, arns: &[String]) -> Result<BTreeMap<String, Tags>> {
        self.request(Call::DescribeTags, |world| world.describe_tags(arns)).await
    }

    async fn add_tags(&self, arn: &str, tags: &Tags) -> Result<()> {
        self.request(Call::AddTags, |world| world.add_tags(arn, tags)).await
    }

    async fn remove_tags(&self, arn: &str, keys: &[String]) -> Result<()> {
        self.request(Call::RemoveTags, |world| world.remove_tags(arn, keys)).await
    }
}
