//! The ELBv2 requests.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_elasticloadbalancingv2::types as sdk;
use cloud_provider::Ordered;

use super::{
    super::{
        Attributes, Call, CapacityChange, CapacityReservation, Certificate, CreateListener,
        CreateLoadBalancer, CreateTargetGroup, Elbv2, IpAddressType, Listener, LoadBalancer, ModifyListener,
        ModifyTargetGroup, PAGE_SIZE, Page, Result, Select, SetSecurityGroups, SetSubnets, Tags, Target,
        TargetGroup, TargetHealth, ZoneMapping,
    },
    Sdk, elbv2_data as data,
    failure::bad_reply,
};
use crate::client::error::ErrorKind;

/// The attributes of a reply, whose three kinds have no type in common.
macro_rules! attributes_told {
    ($attributes:expr) => {
        $attributes
            .unwrap_or_default()
            .into_iter()
            .filter_map(|a| Some((a.key?, a.value.unwrap_or_default())))
            .ordered()
    };
}

/// The attributes of a request.
macro_rules! attributes {
    ($type:ident, $attributes:expr) => {
        Some(
            $attributes
                .iter()
                .map(|(key, value)| sdk::$type::builder().key(key).value(value).build())
                .collect(),
        )
    };
}

fn page_size() -> i32 {
    data::int(PAGE_SIZE)
}

fn next(marker: Option<String>) -> Option<String> {
    marker.filter(|marker| !marker.is_empty())
}

/// AWS's reference names a "not found" error for these deletes, its guide calls them idempotent, and emulators
/// do either.
fn absent_is_gone(result: Result<()>) -> Result<()> {
    result.or_else(|error| if error.kind == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

#[async_trait]
impl Elbv2 for Sdk {
    async fn describe_load_balancers(
        &self,
        select: &Select,
        page: Option<&str>,
    ) -> Result<Page<LoadBalancer>> {
        let request = self.elbv2.describe_load_balancers().set_marker(page.map(str::to_owned));
        let request = match select {
            Select::All => request.page_size(page_size()),
            Select::Arns(arns) => request.set_load_balancer_arns(Some(arns.clone())),
            Select::Names(names) => request.set_names(Some(names.clone())),
        };
        let reply = self.send(Call::DescribeLoadBalancers, request.send()).await?;
        let found = reply.load_balancers.unwrap_or_default().into_iter();
        Ok(Page { items: found.filter_map(data::load_balancer).collect(), next: next(reply.next_marker) })
    }

    async fn create_load_balancer(&self, request: &CreateLoadBalancer) -> Result<LoadBalancer> {
        let call = Call::CreateLoadBalancer;
        let groups = &request.security_groups;
        let reply = self
            .elbv2
            .create_load_balancer()
            .name(&request.name)
            .r#type(sdk::LoadBalancerTypeEnum::Network)
            .scheme(request.scheme.as_str().into())
            .ip_address_type(request.ip_address_type.as_str().into())
            .set_subnet_mappings(Some(request.subnets.iter().map(data::subnet_mapping).collect()))
            .set_security_groups((!groups.is_empty()).then(|| groups.iter().cloned().collect()))
            // Off is not sent: it is the default, and means nothing on IPv4.
            .set_enable_prefix_for_ipv6_source_nat(request.ipv6_source_nat.then(|| data::source_nat(true)))
            .set_tags(data::tags(&request.tags));
        let reply = self.send(call, reply.send()).await?;
        let made = reply.load_balancers.unwrap_or_default().into_iter().next();
        made.and_then(data::load_balancer).ok_or_else(|| bad_reply(call, "load balancer"))
    }

    async fn delete_load_balancer(&self, arn: &str) -> Result<()> {
        let request = self.elbv2.delete_load_balancer().load_balancer_arn(arn);
        absent_is_gone(self.send(Call::DeleteLoadBalancer, request.send()).await.map(drop))
    }

    async fn set_subnets(&self, request: &SetSubnets) -> Result<Vec<ZoneMapping>> {
        let sent = self
            .elbv2
            .set_subnets()
            .load_balancer_arn(&request.load_balancer_arn)
            .set_subnet_mappings(Some(request.subnets.iter().map(data::subnet_mapping).collect()))
            .set_enable_prefix_for_ipv6_source_nat(request.ipv6_source_nat.map(data::source_nat))
            .set_ip_address_type(request.ip_address_type.map(|to| to.as_str().into()));
        let reply = self.send(Call::SetSubnets, sent.send()).await?;
        Ok(data::zones(reply.availability_zones.unwrap_or_default()))
    }

    async fn set_security_groups(&self, request: &SetSecurityGroups) -> Result<()> {
        let enforce = |on| {
            if on {
                sdk::EnforceSecurityGroupInboundRulesOnPrivateLinkTrafficEnum::On
            } else {
                sdk::EnforceSecurityGroupInboundRulesOnPrivateLinkTrafficEnum::Off
            }
        };
        let sent = self
            .elbv2
            .set_security_groups()
            .load_balancer_arn(&request.load_balancer_arn)
            .set_security_groups(Some(request.security_groups.iter().cloned().collect()))
            .set_enforce_security_group_inbound_rules_on_private_link_traffic(
                request.enforce_private_link_inbound.map(enforce),
            );
        self.send(Call::SetSecurityGroups, sent.send()).await.map(drop)
    }

    async fn set_ip_address_type(&self, arn: &str, to: IpAddressType) -> Result<()> {
        let request =
            self.elbv2.set_ip_address_type().load_balancer_arn(arn).ip_address_type(to.as_str().into());
        self.send(Call::SetIpAddressType, request.send()).await.map(drop)
    }

    async fn describe_load_balancer_attributes(&self, arn: &str) -> Result<Attributes> {
        let request = self.elbv2.describe_load_balancer_attributes().load_balancer_arn(arn);
        let reply = self.send(Call::DescribeLoadBalancerAttributes, request.send()).await?;
        Ok(attributes_told!(reply.attributes))
    }

    async fn modify_load_balancer_attributes(&self, arn: &str, attributes: &Attributes) -> Result<()> {
        let request = self
            .elbv2
            .modify_load_balancer_attributes()
            .load_balancer_arn(arn)
            .set_attributes(attributes!(LoadBalancerAttribute, attributes));
        self.send(Call::ModifyLoadBalancerAttributes, request.send()).await.map(drop)
    }

    async fn describe_capacity_reservation(&self, arn: &str) -> Result<CapacityReservation> {
        let request = self.elbv2.describe_capacity_reservation().load_balancer_arn(arn);
        let reply = self.send(Call::DescribeCapacityReservation, request.send()).await?;
        Ok(data::capacity(
            reply.minimum_load_balancer_capacity,
            reply.decrease_requests_remaining,
            reply.capacity_reservation_state.unwrap_or_default(),
        ))
    }

    async fn modify_capacity_reservation(&self, arn: &str, change: CapacityChange) -> Result<()> {
        let request = self.elbv2.modify_capacity_reservation().load_balancer_arn(arn);
        let request = match change {
            CapacityChange::Reset => request.reset_capacity_reservation(true),
            CapacityChange::Units(units) => request.minimum_load_balancer_capacity(
                sdk::MinimumLoadBalancerCapacity::builder().capacity_units(data::int(units)).build(),
            ),
        };
        self.send(Call::ModifyCapacityReservation, request.send()).await.map(drop)
    }

    async fn describe_target_groups(&self, select: &Select, page: Option<&str>) -> Result<Page<TargetGroup>> {
        let request = self.elbv2.describe_target_groups().set_marker(page.map(str::to_owned));
        let request = match select {
            Select::All => request.page_size(page_size()),
            Select::Arns(arns) => request.set_target_group_arns(Some(arns.clone())),
            Select::Names(names) => request.set_names(Some(names.clone())),
        };
        let reply = self.send(Call::DescribeTargetGroups, request.send()).await?;
        let found = reply.target_groups.unwrap_or_default().into_iter();
        Ok(Page { items: found.filter_map(data::target_group).collect(), next: next(reply.next_marker) })
    }

    async fn create_target_group(&self, request: &CreateTargetGroup) -> Result<TargetGroup> {
        let call = Call::CreateTargetGroup;
        let check = &request.health_check;
        let matcher = check.matcher.as_ref().map(|codes| sdk::Matcher::builder().http_code(codes).build());
        let sent = self
            .elbv2
            .create_target_group()
            .name(&request.name)
            .protocol(request.protocol.as_str().into())
            .port(i32::from(request.port))
            .vpc_id(&request.vpc_id)
            .target_type(request.target_type.as_str().into())
            .ip_address_type(request.family.as_str().into())
            .health_check_enabled(true)
            .health_check_protocol(check.protocol.as_str().into())
            .health_check_port(check.port.to_string())
            .set_health_check_path(check.path.clone())
            .set_matcher(matcher)
            .health_check_interval_seconds(data::int(check.interval_seconds))
            .health_check_timeout_seconds(data::int(check.timeout_seconds))
            .healthy_threshold_count(data::int(check.healthy_threshold))
            .unhealthy_threshold_count(data::int(check.unhealthy_threshold))
            .set_tags(data::tags(&request.tags));
        let reply = self.send(call, sent.send()).await?;
        let made = reply.target_groups.unwrap_or_default().into_iter().next();
        made.and_then(data::target_group).ok_or_else(|| bad_reply(call, "target group"))
    }

    async fn modify_target_group(&self, request: &ModifyTargetGroup) -> Result<()> {
        let check = &request.health_check;
        let matcher = check.matcher.as_ref().map(|codes| sdk::Matcher::builder().http_code(codes).build());
        let sent = self
            .elbv2
            .modify_target_group()
            .target_group_arn(&request.target_group_arn)
            .health_check_protocol(check.protocol.as_str().into())
            .health_check_port(check.port.to_string())
            .set_health_check_path(check.path.clone())
            .set_matcher(matcher)
            .health_check_interval_seconds(data::int(check.interval_seconds))
            .health_check_timeout_seconds(data::int(check.timeout_seconds))
            .healthy_threshold_count(data::int(check.healthy_threshold))
            .unhealthy_threshold_count(data::int(check.unhealthy_threshold));
        self.send(Call::ModifyTargetGroup, sent.send()).await.map(drop)
    }

    async fn delete_target_group(&self, arn: &str) -> Result<()> {
        let request = self.elbv2.delete_target_group().target_group_arn(arn);
        absent_is_gone(self.send(Call::DeleteTargetGroup, request.send()).await.map(drop))
    }

    async fn describe_target_group_attributes(&self, arn: &str) -> Result<Attributes> {
        let request = self.elbv2.describe_target_group_attributes().target_group_arn(arn);
        let reply = self.send(Call::DescribeTargetGroupAttributes, request.send()).await?;
        Ok(attributes_told!(reply.attributes))
    }

    async fn modify_target_group_attributes(&self, arn: &str, attributes: &Attributes) -> Result<()> {
        let request = self
            .elbv2
            .modify_target_group_attributes()
            .target_group_arn(arn)
            .set_attributes(attributes!(TargetGroupAttribute, attributes));
        self.send(Call::ModifyTargetGroupAttributes, request.send()).await.map(drop)
    }

    async fn register_targets(&self, target_group_arn: &str, targets: &[Target]) -> Result<()> {
        let request = self
            .elbv2
            .register_targets()
            .target_group_arn(target_group_arn)
            .set_targets(Some(targets.iter().map(data::target).collect()));
        self.send(Call::RegisterTargets, request.send()).await.map(drop)
    }

    async fn deregister_targets(&self, target_group_arn: &str, targets: &[Target]) -> Result<()> {
        let request = self
            .elbv2
            .deregister_targets()
            .target_group_arn(target_group_arn)
            .set_targets(Some(targets.iter().map(data::target).collect()));
        self.send(Call::DeregisterTargets, request.send()).await.map(drop)
    }

    async fn describe_target_health(
        &self,
        target_group_arn: &str,
        targets: &[Target],
    ) -> Result<Vec<TargetHealth>> {
        let asked = (!targets.is_empty()).then(|| targets.iter().map(data::target).collect());
        let request =
            self.elbv2.describe_target_health().target_group_arn(target_group_arn).set_targets(asked);
        let reply = self.send(Call::DescribeTargetHealth, request.send()).await?;
        let found = reply.target_health_descriptions.unwrap_or_default().into_iter();
        Ok(found.filter_map(data::target_health).collect())
    }

    async fn describe_listeners(
        &self,
        load_balancer_arn: &str,
        page: Option<&str>,
    ) -> Result<Page<Listener>> {
        let request = self
            .elbv2
            .describe_listeners()
            .load_balancer_arn(load_balancer_arn)
            .page_size(page_size())
            .set_marker(page.map(str::to_owned));
        let reply = self.send(Call::DescribeListeners, request.send()).await?;
        let found = reply.listeners.unwrap_or_default().into_iter();
        Ok(Page { items: found.filter_map(data::listener).collect(), next: next(reply.next_marker) })
    }

    async fn create_listener(&self, request: &CreateListener) -> Result<Listener> {
        let call = Call::CreateListener;
        let sent = self
            .elbv2
            .create_listener()
            .load_balancer_arn(&request.load_balancer_arn)
            .port(i32::from(request.port))
            .protocol(request.protocol.as_str().into())
            .set_certificates(data::certificate(request.default_certificate.as_deref()))
            .set_ssl_policy(request.ssl_policy.clone())
            .set_alpn_policy(request.alpn_policy.map(|policy| vec![policy.to_string()]))
            .default_actions(data::action(&request.forward))
            .set_tags(data::tags(&request.tags));
        let reply = self.send(call, sent.send()).await?;
        let made = reply.listeners.unwrap_or_default().into_iter().next();
        made.and_then(data::listener).ok_or_else(|| bad_reply(call, "listener"))
    }

    async fn modify_listener(&self, request: &ModifyListener) -> Result<Listener> {
        let call = Call::ModifyListener;
        let sent = self
            .elbv2
            .modify_listener()
            .listener_arn(&request.listener_arn)
            .set_port(request.port.map(i32::from))
            .set_protocol(request.protocol.map(|protocol| protocol.as_str().into()))
            .set_certificates(data::certificate(request.default_certificate.as_deref()))
            .set_ssl_policy(request.ssl_policy.clone())
            .set_alpn_policy(request.alpn_policy.map(|policy| vec![policy.to_string()]))
            .set_default_actions(request.forward.as_ref().map(|forward| vec![data::action(forward)]));
        let reply = self.send(call, sent.send()).await?;
        let changed = reply.listeners.unwrap_or_default().into_iter().next();
        changed.and_then(data::listener).ok_or_else(|| bad_reply(call, "listener"))
    }

    async fn delete_listener(&self, arn: &str) -> Result<()> {
        let request = self.elbv2.delete_listener().listener_arn(arn);
        self.send(Call::DeleteListener, request.send()).await.map(drop)
    }

    async fn describe_listener_certificates(
        &self,
        listener_arn: &str,
        page: Option<&str>,
    ) -> Result<Page<Certificate>> {
        let request = self
            .elbv2
            .describe_listener_certificates()
            .listener_arn(listener_arn)
            .set_marker(page.map(str::to_owned));
        let reply = self.send(Call::DescribeListenerCertificates, request.send()).await?;
        let certificate = |c: sdk::Certificate| {
            Some(Certificate { arn: c.certificate_arn?, is_default: c.is_default == Some(true) })
        };
        let found = reply.certificates.unwrap_or_default().into_iter();
        Ok(Page { items: found.filter_map(certificate).collect(), next: next(reply.next_marker) })
    }

    async fn add_listener_certificates(&self, listener_arn: &str, certificate_arn: &str) -> Result<()> {
        let request = self
            .elbv2
            .add_listener_certificates()
            .listener_arn(listener_arn)
            .set_certificates(data::certificate(Some(certificate_arn)));
        self.send(Call::AddListenerCertificates, request.send()).await.map(drop)
    }

    async fn remove_listener_certificates(&self, listener_arn: &str, certificate_arn: &str) -> Result<()> {
        let request = self
            .elbv2
            .remove_listener_certificates()
            .listener_arn(listener_arn)
            .set_certificates(data::certificate(Some(certificate_arn)));
        self.send(Call::RemoveListenerCertificates, request.send()).await.map(drop)
    }

    async fn describe_listener_attributes(&self, arn: &str) -> Result<Attributes> {
        let request = self.elbv2.describe_listener_attributes().listener_arn(arn);
        let reply = self.send(Call::DescribeListenerAttributes, request.send()).await?;
        Ok(attributes_told!(reply.attributes))
    }

    async fn modify_listener_attributes(&self, arn: &str, attributes: &Attributes) -> Result<()> {
        let request = self
            .elbv2
            .modify_listener_attributes()
            .listener_arn(arn)
            .set_attributes(attributes!(ListenerAttribute, attributes));
        self.send(Call::ModifyListenerAttributes, request.send()).await.map(drop)
    }

    async fn describe_tags(&self, arns: &[String]) -> Result<BTreeMap<String, Tags>> {
        let request = self.elbv2.describe_tags().set_resource_arns(Some(arns.to_vec()));
        let reply = self.send(Call::DescribeTags, request.send()).await?;
        let told = reply.tag_descriptions.unwrap_or_default().into_iter();
        let told = told
            .filter_map(|told| Some((told.resource_arn?, data::tags_told(told.tags.unwrap_or_default()))));
        Ok(told.ordered())
    }

    async fn add_tags(&self, arn: &str, tags: &Tags) -> Result<()> {
        let request = self.elbv2.add_tags().resource_arns(arn).set_tags(data::tags(tags));
        self.send(Call::AddTags, request.send()).await.map(drop)
    }

    async fn remove_tags(&self, arn: &str, keys: &[String]) -> Result<()> {
        let request = self.elbv2.remove_tags().resource_arns(arn).set_tag_keys(Some(keys.to_vec()));
        self.send(Call::RemoveTags, request.send()).await.map(drop)
    }
}
