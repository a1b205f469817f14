//! Writes: passed on, and taken note of in what is shared.

use std::sync::Arc;

use super::{
    super::{
        CreateLoadBalancer, CreateSecurityGroup, CreateTargetGroup, IngressRule, IpAddressType, LoadBalancer,
        ModifyTargetGroup, Result, SecurityGroup, SecurityGroupQuery, SetSecurityGroups, SetSubnets, Tags,
        TargetGroup, ZoneMapping,
        snapshot::{LoadBalancerChange, Patch},
    },
    Aws, Inner,
};

/// Doubts the snapshot unless the write's outcome becomes known: it may be given up on at any moment.
struct Unsettled<'a> {
    inner: Option<&'a Inner>,
    /// The resource whose tags the write changes, if it changes tags.
    tags_of: Option<&'a String>,
}

impl Unsettled<'_> {
    /// Settles the outcome: a success is noted, an uncertain failure leaves the doubt.
    fn settle<T>(mut self, result: &Result<T>, patch: impl FnOnce(&T) -> Option<Patch>) {
        match result {
            Ok(value) => {
                if let (Some(inner), Some(patch)) = (self.inner.take(), patch(value)) {
                    inner.snapshots.patch(patch);
                }
            }
            Err(error) if error.may_have_taken_effect() => {}
            Err(_) => self.inner = None,
        }
    }
}

impl Drop for Unsettled<'_> {
    fn drop(&mut self) {
        match self.inner {
            None => {}
            Some(inner) => match self.tags_of {
                None => inner.snapshots.doubt(),
                Some(arn) => inner.snapshots.patch(Patch::ForgetTags(arn.clone())),
            },
        }
    }
}

/// Keeps what is shared of security groups true to a write: changed as they were where AWS has said so, and forgotten where it
/// is not known what came of it. Where each Service has a group, to read them all again for each would be the most that a
/// new one costs.
struct GroupWrite<'a, F: Fn(&SecurityGroupQuery, Option<&Vec<SecurityGroup>>) -> bool> {
    inner: Option<&'a Inner>,
    /// Whether an answer shows what is written, or may do so.
    shows: F,
}

impl<F: Fn(&SecurityGroupQuery, Option<&Vec<SecurityGroup>>) -> bool> GroupWrite<'_, F> {
    fn settle<T>(mut self, result: &Result<T>, change: impl Fn(&T, &mut Vec<SecurityGroup>)) {
        if let Ok(value) = result
            && let Some(inner) = self.inner.take()
        {
            inner.security_groups.change_where(
                |query, known| (self.shows)(query, known.map(AsRef::as_ref)),
                |known| change(value, Arc::make_mut(known)),
            );
        }
    }
}

impl<F: Fn(&SecurityGroupQuery, Option<&Vec<SecurityGroup>>) -> bool> Drop for GroupWrite<'_, F> {
    fn drop(&mut self) {
        if let Some(inner) = self.inner {
            inner.security_groups.forget_where(|query, known| (self.shows)(query, known.map(AsRef::as_ref)));
        }
    }
}

/// Changes the inbound rules of a group among these.
fn change_rules(id: &str, groups: &mut [SecurityGroup], change: impl Fn(&mut Vec<IngressRule>)) {
    if let Some(group) = groups.iter_mut().find(|group| group.id == id) {
        change(&mut group.ingress);
        group.ingress.sort_unstable();
    }
}

/// Whether an answer shows the group, or may do so.
fn shows(id: &str, query: &SecurityGroupQuery, known: Option<&Vec<SecurityGroup>>) -> bool {
    match known {
        Some(groups) => groups.iter().any(|group| group.id == id),
        None => query.ids.is_empty() || query.ids.iter().any(|asked| asked == id),
    }
}

/// Whether the query may find a group made like this.
fn finds(query: &SecurityGroupQuery, made: &CreateSecurityGroup) -> bool {
    query.ids.is_empty()
        && (query.names.is_empty() || query.names.contains(&made.name))
        && query.vpc_id.as_ref().is_none_or(|vpc| *vpc == made.vpc_id)
        && query.tags.iter().all(|tag| tag.matches(&made.tags))
}

impl Aws {
    fn group_write<F: Fn(&SecurityGroupQuery, Option<&Vec<SecurityGroup>>) -> bool>(
        &self,
        shows: F,
    ) -> GroupWrite<'_, F> {
        GroupWrite { inner: Some(&self.inner), shows }
    }

    fn unsettled(&self) -> Unsettled<'_> {
        Unsettled { inner: Some(&self.inner), tags_of: None }
    }

    /// [`Elbv2::create_load_balancer`](super::super::Elbv2::create_load_balancer). Whose it is tell the tags:
    /// a load balancer of the same name and settings is returned whoever made it.
    ///
    /// # Errors
    /// As there.
    pub async fn create_load_balancer(&self, request: &CreateLoadBalancer) -> Result<LoadBalancer> {
        let unsettled = self.unsettled();
        let result = self.inner.elbv2.create_load_balancer(request).await;
        unsettled.settle(&result, |made| Some(Patch::LoadBalancer(made.clone())));
        result
    }

    /// It is certain that this process has just made this, with these tags: nobody need ask for them.
    pub fn is_made_with(&self, arn: &str, tags: &Tags) {
        self.inner.snapshots.patch(Patch::Tags([(arn.to_owned(), tags.clone())].into()));
    }

    /// [`Elbv2::delete_load_balancer`](super::super::Elbv2::delete_load_balancer).
    ///
    /// # Errors
    /// As there.
    pub async fn delete_load_balancer(&self, arn: &str) -> Result<()> {
        let unsettled = self.unsettled();
        let result = self.inner.elbv2.delete_load_balancer(arn).await;
        unsettled.settle(&result, |()| Some(Patch::Gone(arn.to_owned())));
        result
    }

    /// [`Elbv2::set_subnets`](super::super::Elbv2::set_subnets).
    ///
    /// # Errors
    /// As there.
    pub async fn set_subnets(&self, request: &SetSubnets) -> Result<Vec<ZoneMapping>> {
        let unsettled = self.unsettled();
        let result = self.inner.elbv2.set_subnets(request).await;
        unsettled.settle(&result, |zones| {
            let change =
                LoadBalancerChange::Zones(zones.clone(), request.ipv6_source_nat, request.ip_address_type);
            Some(Patch::ChangeLoadBalancer(request.load_balancer_arn.clone(), change))
        });
        result
    }

    /// [`Elbv2::set_security_groups`](super::super::Elbv2::set_security_groups).
    ///
    /// # Errors
    /// As there.
    pub async fn set_security_groups(&self, request: &SetSecurityGroups) -> Result<()> {
        let unsettled = self.unsettled();
        let result = self.inner.elbv2.set_security_groups(request).await;
        unsettled.settle(&result, |()| {
            let enforce = request.enforce_private_link_inbound;
            let change = LoadBalancerChange::SecurityGroups(request.security_groups.clone(), enforce);
            Some(Patch::ChangeLoadBalancer(request.load_balancer_arn.clone(), change))
        });
        result
    }

    /// [`Elbv2::set_ip_address_type`](super::super::Elbv2::set_ip_address_type).
    ///
    /// # Errors
    /// As there.
    pub async fn set_ip_address_type(&self, arn: &str, to: IpAddressType) -> Result<()> {
        let unsettled = self.unsettled();
        let result = self.inner.elbv2.set_ip_address_type(arn, to).await;
        unsettled.settle(&result, |()| {
            Some(Patch::ChangeLoadBalancer(arn.to_owned(), LoadBalancerChange::IpAddressType(to)))
        });
        result
    }

    /// [`Elbv2::create_target_group`](super::super::Elbv2::create_target_group). Whose it is tell the tags: a
    /// target group of the same name and settings is returned whoever made it.
    ///
    /// # Errors
    /// As there.
    pub async fn create_target_group(&self, request: &CreateTargetGroup) -> Result<TargetGroup> {
        let unsettled = self.unsettled();
        let result = self.inner.elbv2.create_target_group(request).await;
        unsettled.settle(&result, |made| Some(Patch::TargetGroup(made.clone())));
        result
    }

    /// [`Elbv2::modify_target_group`](super::super::Elbv2::modify_target_group).
    ///
    /// # Errors
    /// As there.
    pub async fn modify_target_group(&self, request: &ModifyTargetGroup) -> Result<()> {
        let unsettled = self.unsettled();
        let result = self.inner.elbv2.modify_target_group(request).await;
        unsettled.settle(&result, |()| {
            let arn = request.target_group_arn.clone();
            Some(Patch::ChangeHealthCheck(arn, request.health_check.clone()))
        });
        result
    }

    /// [`Elbv2::delete_target_group`](super::super::Elbv2::delete_target_group).
    ///
    /// # Errors
    /// As there.
    pub async fn delete_target_group(&self, arn: &str) -> Result<()> {
        let unsettled = self.unsettled();
        let result = self.inner.elbv2.delete_target_group(arn).await;
        unsettled.settle(&result, |()| Some(Patch::Gone(arn.to_owned())));
        result
    }

    /// [`Elbv2::add_listener_certificates`](super::super::Elbv2::add_listener_certificates) for each of these, one after
    /// the other; those before a failure stay.
    ///
    /// # Errors
    /// As there.
    pub async fn add_listener_certificates(&self, listener: &str, certificates: &[String]) -> Result<()> {
        for certificate in certificates {
            self.inner.elbv2.add_listener_certificates(listener, certificate).await?;
        }
        Ok(())
    }

    /// [`Elbv2::remove_listener_certificates`](super::super::Elbv2::remove_listener_certificates) for each of these, one
    /// after the other; those before a failure are gone.
    ///
    /// # Errors
    /// As there.
    pub async fn remove_listener_certificates(&self, listener: &str, certificates: &[String]) -> Result<()> {
        for certificate in certificates {
            self.inner.elbv2.remove_listener_certificates(listener, certificate).await?;
        }
        Ok(())
    }

    /// [`Elbv2::add_tags`](super::super::Elbv2::add_tags) on each of these, one request each, in this order; those before
    /// a failure have the tags. Without a resource nothing is asked.
    ///
    /// # Errors
    /// As there.
    pub async fn add_tags(&self, arns: &[String], tags: &Tags) -> Result<()> {
        for arn in arns {
            let unsettled = Unsettled { inner: Some(&self.inner), tags_of: Some(arn) };
            let result = self.inner.elbv2.add_tags(arn, tags).await;
            unsettled.settle(&result, |()| Some(Patch::AddTags(arn.clone(), tags.clone())));
            result?;
        }
        Ok(())
    }

    /// [`Elbv2::remove_tags`](super::super::Elbv2::remove_tags) on each of these, as [`add_tags`](Self::add_tags) does.
    ///
    /// # Errors
    /// As there.
    pub async fn remove_tags(&self, arns: &[String], keys: &[String]) -> Result<()> {
        for arn in arns {
            let unsettled = Unsettled { inner: Some(&self.inner), tags_of: Some(arn) };
            let result = self.inner.elbv2.remove_tags(arn, keys).await;
            unsettled.settle(&result, |()| Some(Patch::RemoveTags(arn.clone(), keys.to_vec())));
            result?;
        }
        Ok(())
    }

    /// [`Ec2::create_security_group`](super::super::Ec2::create_security_group).
    ///
    /// # Errors
    /// As there.
    pub async fn create_security_group(&self, request: &CreateSecurityGroup) -> Result<String> {
        let write = self.group_write(|query, _| finds(query, request));
        let result = self.inner.ec2.create_security_group(request).await;
        write.settle(&result, |id, groups| {
            groups.push(SecurityGroup {
                id: id.clone(),
                name: request.name.clone(),
                description: request.description.clone(),
                vpc_id: request.vpc_id.clone(),
                ingress: Vec::new(),
                tags: request.tags.clone(),
            });
        });
        result
    }

    /// [`Ec2::delete_security_group`](super::super::Ec2::delete_security_group).
    ///
    /// # Errors
    /// As there.
    pub async fn delete_security_group(&self, id: &str) -> Result<()> {
        let write = self.group_write(|query, known| shows(id, query, known));
        let result = self.inner.ec2.delete_security_group(id).await;
        write.settle(&result, |(), groups| groups.retain(|group| group.id != id));
        result
    }

    /// [`Ec2::authorize_security_group_ingress`](super::super::Ec2::authorize_security_group_ingress).
    ///
    /// # Errors
    /// As there.
    pub async fn authorize_security_group_ingress(&self, id: &str, rules: &[IngressRule]) -> Result<()> {
        let write = self.group_write(|query, known| shows(id, query, known));
        let result = self.inner.ec2.authorize_security_group_ingress(id, rules).await;
        write.settle(&result, |(), groups| {
            change_rules(id, groups, |ingress| ingress.extend(rules.iter().cloned()));
        });
        result
    }

    /// [`Ec2::revoke_security_group_ingress`](super::super::Ec2::revoke_security_group_ingress).
    ///
    /// # Errors
    /// As there.
    pub async fn revoke_security_group_ingress(&self, id: &str, rules: &[IngressRule]) -> Result<()> {
        let write = self.group_write(|query, known| shows(id, query, known));
        let result = self.inner.ec2.revoke_security_group_ingress(id, rules).await;
        write.settle(&result, |(), groups| {
            let is_out = |rule: &IngressRule| {
                rules.iter().any(|r| r.traffic == rule.traffic && r.source == rule.source)
            };
            change_rules(id, groups, |ingress| ingress.retain(|rule| !is_out(rule)));
        });
        result
    }

    /// [`Ec2::create_tags`](super::super::Ec2::create_tags).
    ///
    /// # Errors
    /// As there.
    pub async fn create_tags(&self, ids: &[String], tags: &Tags) -> Result<()> {
        // New tags may make a group fit a query that did not show it before.
        let may_fit = |query: &SecurityGroupQuery| !query.tags.is_empty();
        let _forget =
            self.group_write(|query, known| may_fit(query) || ids.iter().any(|id| shows(id, query, known)));
        self.inner.ec2.create_tags(ids, tags).await
    }

    /// [`Ec2::delete_tags`](super::super::Ec2::delete_tags).
    ///
    /// # Errors
    /// As there.
    pub async fn delete_tags(&self, ids: &[String], keys: &[String]) -> Result<()> {
        let _forget = self.group_write(|query, known| ids.iter().any(|id| shows(id, query, known)));
        self.inner.ec2.delete_tags(ids, keys).await
    }
}
