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
        self.request(Call::DescribeLoadBalancers, |account| account.describe_load_balancers(select, page))
            .await
    }

    async fn create_load_balancer(&self, request: &CreateLoadBalancer) -> Result<LoadBalancer> {
        self.request(Call::CreateLoadBalancer, |account| account.create_load_balancer(request)).await
    }

    async fn delete_load_balancer(&self, arn: &str) -> Result<()> {
        self.request(Call::DeleteLoadBalancer, |account| account.delete_load_balancer(arn)).await
    }

    async fn set_subnets(&self, request: &SetSubnets) -> Result<Vec<ZoneMapping>> {
        self.request(Call::SetSubnets, |account| account.set_subnets(request)).await
    }

    async fn set_security_groups(&self, request: &SetSecurityGroups) -> Result<()> {
        self.request(Call::SetSecurityGroups, |account| account.set_security_groups(request)).await
    }

    async fn set_ip_address_type(&self, arn: &str, to: IpAddressType) -> Result<()> {
        self.request(Call::SetIpAddressType, |account| account.set_ip_address_type(arn, to)).await
    }

    async fn describe_load_balancer_attributes(&self, arn: &str) -> Result<Attributes> {
        self.request(Call::DescribeLoadBalancerAttributes, |account| {
            Ok(account.load_balancer(arn)?.attributes.clone())
        })
        .await
    }

    async fn modify_load_balancer_attributes(&self, arn: &str, attributes: &Attributes) -> Result<()> {
        self.request(Call::ModifyLoadBalancerAttributes, |account| {
            account.modify_load_balancer_attributes(arn, attributes)
        })
        .await
    }

    async fn describe_capacity_reservation(&self, arn: &str) -> Result<CapacityReservation> {
        self.request(Call::DescribeCapacityReservation, |account| {
            Ok(account.load_balancer(arn)?.capacity.clone())
        })
        .await
    }

    async fn modify_capacity_reservation(&self, arn: &str, change: CapacityChange) -> Result<()> {
        self.request(Call::ModifyCapacityReservation, |account| {
            account.modify_capacity_reservation(arn, change)
        })
        .await
    }

    async fn describe_target_groups(&self, select: &Select, page: Option<&str>) -> Result<Page<TargetGroup>> {
        self.request(Call::DescribeTargetGroups, |account| account.describe_target_groups(select, page)).await
    }

    async fn create_target_group(&self, request: &CreateTargetGroup) -> Result<TargetGroup> {
        self.request(Call::CreateTargetGroup, |account| account.create_target_group(request)).await
    }

    async fn modify_target_group(&self, request: &ModifyTargetGroup) -> Result<()> {
        self.request(Call::ModifyTargetGroup, |account| account.modify_target_group(request)).await
    }

    async fn delete_target_group(&self, arn: &str) -> Result<()> {
        self.request(Call::DeleteTargetGroup, |account| account.delete_target_group(arn)).await
    }

    async fn describe_target_group_attributes(&self, arn: &str) -> Result<Attributes> {
        self.request(Call::DescribeTargetGroupAttributes, |account| {
            Ok(account.target_group(arn)?.attributes.clone())
        })
        .await
    }

    async fn modify_target_group_attributes(&self, arn: &str, attributes: &Attributes) -> Result<()> {
        self.request(Call::ModifyTargetGroupAttributes, |account| {
            account.modify_target_group_attributes(arn, attributes)
        })
        .await
    }

    async fn register_targets(&self, target_group_arn: &str, targets: &[Target]) -> Result<()> {
        self.request(Call::RegisterTargets, |account| account.register_targets(target_group_arn, targets))
            .await
    }

    async fn deregister_targets(&self, target_group_arn: &str, targets: &[Target]) -> Result<()> {
        self.request(Call::DeregisterTargets, |account| account.deregister_targets(target_group_arn, targets))
            .await
    }

    async fn describe_target_health(
        &self,
        target_group_arn: &str,
        targets: &[Target],
    ) -> Result<Vec<TargetHealth>> {
        self.request(Call::DescribeTargetHealth, |account| {
            account.describe_target_health(target_group_arn, targets)
        })
        .await
    }

    async fn describe_listeners(
        &self,
        load_balancer_arn: &str,
        page: Option<&str>,
    ) -> Result<Page<Listener>> {
        self.request(Call::DescribeListeners, |account| account.describe_listeners(load_balancer_arn, page))
            .await
    }

    async fn create_listener(&self, request: &CreateListener) -> Result<Listener> {
        self.request(Call::CreateListener, |account| account.create_listener(request)).await
    }

    async fn modify_listener(&self, request: &ModifyListener) -> Result<Listener> {
        self.request(Call::ModifyListener, |account| account.modify_listener(request)).await
    }

    async fn delete_listener(&self, arn: &str) -> Result<()> {
        self.request(Call::DeleteListener, |account| account.delete_listener(arn)).await
    }

    async fn describe_listener_certificates(
        &self,
        listener_arn: &str,
        page: Option<&str>,
    ) -> Result<Page<Certificate>> {
        self.request(Call::DescribeListenerCertificates, |account| {
            account.describe_listener_certificates(listener_arn, page)
        })
        .await
    }

    async fn add_listener_certificates(&self, listener_arn: &str, certificate_arn: &str) -> Result<()> {
        self.request(Call::AddListenerCertificates, |account| {
            account.add_listener_certificate(listener_arn, certificate_arn)
        })
        .await
    }

    async fn remove_listener_certificates(&self, listener_arn: &str, certificate_arn: &str) -> Result<()> {
        self.request(Call::RemoveListenerCertificates, |account| {
            account.remove_listener_certificate(listener_arn, certificate_arn)
        })
        .await
    }

    async fn describe_listener_attributes(&self, arn: &str) -> Result<Attributes> {
        self.request(Call::DescribeListenerAttributes, |account| {
            Ok(account.listener(arn)?.attributes.clone())
        })
        .await
    }

    async fn modify_listener_attributes(&self, arn: &str, attributes: &Attributes) -> Result<()> {
        self.request(Call::ModifyListenerAttributes, |account| {
            account.modify_listener_attributes(arn, attributes)
        })
        .await
    }

    async fn describe_tags(&self, arns: &[String]) -> Result<BTreeMap<String, Tags>> {
        self.request(Call::DescribeTags, |account| account.describe_tags(arns)).await
    }

    async fn add_tags(&self, arn: &str, tags: &Tags) -> Result<()> {
        self.request(Call::AddTags, |account| account.add_tags(arn, tags)).await
    }

    async fn remove_tags(&self, arn: &str, keys: &[String]) -> Result<()> {
        self.request(Call::RemoveTags, |account| account.remove_tags(arn, keys)).await
    }
}
