//! What should exist at AWS for one Service, from what is asked for and where it is to stand. Pure.

mod access;
mod zones;

use std::collections::BTreeSet;

use cloud_provider::{Mistakes, Note, NoteKind, Ordered, ServiceId};
use serde::Serialize;

use crate::client::{Snapshot, Tagged, Tags, TargetGroup as AwsTargetGroup};
use crate::config::AwsConfig;
use crate::model::{
    BackendAccess, FrontendGroup, Groups, Listener, LoadBalancer, LoadBalancerZone, TargetGroup,
};
use crate::naming::{
    self, ADDED_TAGS_TAG, APPLIED_TAG, Names, PRIVATE_LINK_RULES, RESOURCE_TAG, SET_ATTRIBUTES_TAG,
    SSL_POLICY,
};
use crate::options::{Access, ListenerSpec, Spec};
use crate::site::Site;
use crate::targets::{TargetLimits, TargetNodes, TargetSets};
pub(crate) use access::{WayToNodes, node_traffic};

/// Everything one Service should have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Desired {
    /// The load balancer.
    pub load_balancer: LoadBalancer,
    /// Its security groups.
    pub groups: Groups,
    /// One target group a listener, sorted by port.
    pub target_groups: Vec<TargetGroup>,
    /// Listeners, sorted by port.
    pub listeners: Vec<Listener>,
    /// Targets of each target group, by its name; none leaves targets as they are, because not one node could be
    /// understood and taking all away would help nobody.
    #[serde(skip)]
    pub targets: Option<TargetSets>,
    /// The instances behind the targets.
    #[serde(skip)]
    pub nodes: TargetNodes,
}

/// The form of [`Desired::digest`]. Raised whenever the digest of the same settings becomes another one, so that what
/// an older version noted is known to be no difference by itself.
const DIGEST_VERSION: &str = "2:";

impl Desired {
    /// A digest of all but the targets: equal digests mean the same load balancer.
    pub fn digest(&self) -> String {
        let settings = (&self.load_balancer, &self.groups, &self.target_groups, &self.listeners);
        // These types hold no map with keys that are not text, so that writing them cannot fail.
        let text = serde_json::to_string(&settings).unwrap_or_default();
        format!("{DIGEST_VERSION}{}", &naming::hex(&[&text])[..32])
    }

    /// Whether the note among these tags says that this was applied in full, or is another version's and says nothing.
    pub(crate) fn is_noted(&self, tags: &Tags) -> bool {
        let noted = tags.get(APPLIED_TAG).map(String::as_str).unwrap_or_default();
        noted == self.digest() || is_of_another_version(noted)
    }

    /// The target group that should exist and that this one is, if there is one.
    fn target_group_like(&self, found: &Tagged<AwsTargetGroup>) -> Option<&TargetGroup> {
        let resource = found.tags.get(RESOURCE_TAG);
        self.target_groups.iter().find(|wanted| {
            wanted.tags.get(RESOURCE_TAG) == resource
                && wanted.protocol == found.resource.protocol
                && wanted.family == found.resource.family
        })
    }

    /// The target group that should exist and whose name this one has, which a load balancer of the Service uses: a name
    /// follows from the Service's UID and from all that cannot change, and no two target groups have the same.
    pub(crate) fn target_group_named(&self, found: &AwsTargetGroup) -> Option<&TargetGroup> {
        self.target_groups.iter().find(|wanted| wanted.name == found.name)
    }

    /// The target groups that exist and should, by ARN.
    pub(crate) fn target_groups_among<'a>(
        &'a self,
        found: &'a Snapshot,
    ) -> impl Iterator<Item = (&'a String, &'a TargetGroup)> {
        let known =
            found.target_groups.iter().filter_map(|(arn, tg)| Some((arn, self.target_group_like(tg)?)));
        let unread = found
            .unread_target_groups
            .iter()
            .filter_map(|(arn, tg)| Some((arn, self.target_group_named(tg)?)));
        known.chain(unread)
    }

    /// Whether it can be told without their tags what the target groups are that nobody has read them of.
    pub(crate) fn explains(&self, found: &Snapshot) -> bool {
        found.unread_target_groups.values().all(|tg| self.target_group_named(tg).is_some())
    }

    /// A digest of the targets; none when targets are left as they are.
    pub fn targets_digest(&self) -> Option<String> {
        self.targets.as_ref().map(TargetSets::digest)
    }
}

/// Whether another version of this program noted this digest, which says nothing then: it has to be looked at what
/// exists, and a difference of digests alone is nothing to write.
fn is_of_another_version(digest: &str) -> bool {
    !digest.is_empty() && !digest.starts_with(DIGEST_VERSION)
}

/// What AWS's quotas leave room for. Says nothing of what should exist, only of how to get there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Inbound rules of a security group, for each address family.
    pub rules_per_group: usize,
    /// Targets.
    pub targets: TargetLimits,
}

/// What [`build`] makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// What should exist.
    pub desired: Desired,
    /// Within which limits.
    pub limits: Limits,
    /// What the user should read about it.
    pub notes: Vec<Note>,
}

/// What should exist.
///
/// # Errors
/// Mistakes that show only beside the site: addresses that fit no subnet or not this scheme.
pub fn build(service: &ServiceId, spec: &Spec, config: &AwsConfig, site: &Site) -> Result<Built, Mistakes> {
    let names = Names::new(&config.cluster, service);
    let (zones, surplus) = zones::place(&spec.load_balancer, site)?;
    let builder = Builder { names: &names, spec, config, site };
    let groups = builder.groups();
    access::check_rules(spec, &groups, config.rules_per_group)?;
    access::check_given(&groups)?;
    let target_groups: Vec<TargetGroup> = spec.listeners.iter().map(|l| builder.target_group(l)).collect();
    let listeners =
        spec.listeners.iter().zip(&target_groups).map(|(l, tg)| builder.listener(l, tg)).collect();
    let ports = target_groups.iter().map(|tg| (tg.name.clone(), tg.node_port)).ordered();
    let limits = Limits {
        rules_per_group: config.rules_per_group,
        targets: TargetLimits::new(config.targets_per_service, balances_across_zones(spec)),
    };
    let targets = site.nodes.as_ref().map(|nodes| TargetSets::share(&ports, nodes, limits.targets));
    let left_out = targets.as_ref().and_then(left_out);
    let desired = Desired {
        load_balancer: builder.load_balancer(zones),
        groups,
        target_groups,
        listeners,
        targets,
        nodes: site.nodes.clone().unwrap_or_default(),
    };
    Ok(Built { desired, limits, notes: surplus.into_iter().chain(left_out).collect() })
}

/// What is said of nodes for which AWS has no room.
fn left_out(sets: &TargetSets) -> Option<Note> {
    if sets.left_out() == 0 {
        return None;
    }
    let message = format!(
        "a load balancer may not have as many targets as there are nodes and ports: each of {} ports has {} of {} nodes; \
         with higher quotas of the account, --aws-max-targets-per-service raises it",
        sets.by_group.len(),
        sets.nodes_a_port,
        sets.nodes
    );
    Some(Note::new(NoteKind::Warning, "TooManyTargets", message))
}

/// *Quotas for your Network Load Balancers*: with cross-zone load balancing fewer targets are allowed.
fn balances_across_zones(spec: &Spec) -> bool {
    const CROSS_ZONE: &str = "load_balancing.cross_zone.enabled";
    let groups = spec.listeners.iter().map(|listener| &listener.target_group.attributes);
    std::iter::once(&spec.load_balancer.attributes)
        .chain(groups)
        .any(|attributes| attributes.get(CROSS_ZONE).is_some_and(|on| on == "true"))
}

struct Builder<'a> {
    names: &'a Names<'a>,
    spec: &'a Spec,
    config: &'a AwsConfig,
    site: &'a Site,
}

impl Builder<'_> {
    fn load_balancer(&self, zones: Vec<LoadBalancerZone>) -> LoadBalancer {
        let spec = &self.spec.load_balancer;
        let generated = || self.names.load_balancer(self.site.scheme);
        let name = self.site.present_name.clone().or_else(|| spec.name.clone()).unwrap_or_else(generated);
        let mut tags = self.tags(naming::LOAD_BALANCER_RESOURCE);
        let private_link = self.spec.security.private_link_rules.map(|_| PRIVATE_LINK_RULES.to_owned());
        tags.extend(remember_attributes(spec.attributes.keys().chain(&private_link)));
        LoadBalancer {
            name_is_chosen: spec.name.as_ref() == Some(&name),
            name,
            scheme: self.site.scheme,
            ip_address_type: spec.ip_address_type,
            zones,
            ipv6_source_nat: spec.ipv6_source_nat,
            settings: spec.settings.clone(),
            attributes: spec.attributes.clone(),
            tags,
        }
    }

    fn target_group(&self, listener: &ListenerSpec) -> TargetGroup {
        let spec = &listener.target_group;
        let mut tags = self.tags(&self.names.target_group_resource(listener.port));
        tags.extend(remember_attributes(spec.attributes.keys()));
        TargetGroup {
            name: self.names.target_group(self.site.scheme, listener.port, spec.protocol, spec.family),
            port: listener.port,
            protocol: spec.protocol,
            family: spec.family,
            vpc_id: self.site.vpc_id.clone(),
            node_port: spec.node_port,
            health_check: spec.health_check.clone(),
            attributes: spec.attributes.clone(),
            tags,
        }
    }

    fn listener(&self, spec: &ListenerSpec, target_group: &TargetGroup) -> Listener {
        let mut tags = self.tags(&spec.port.to_string());
        let policy = spec.tls.as_ref().filter(|tls| tls.policy_is_chosen).map(|_| SSL_POLICY.to_owned());
        tags.extend(remember_attributes(spec.attributes.keys().chain(&policy)));
        Listener {
            port: spec.port,
            protocol: spec.protocol,
            tls: spec.tls.clone(),
            target_group: target_group.name.clone(),
            weighted: spec.weighted.clone(),
            attributes: spec.attributes.clone(),
            tags,
        }
    }

    /// Ours above all, then the operator's, then the Service's.
    fn tags(&self, resource: &str) -> Tags {
        let mut tags = self.spec.tags.clone();
        tags.extend(self.config.default_tags.clone());
        tags.retain(|key, _| !self.config.externally_managed_tags.contains(key));
        let added = naming::remember(tags.keys());
        tags.extend(added.map(|keys| (ADDED_TAGS_TAG.to_owned(), keys)));
        tags.extend(self.names.tags(resource));
        tags
    }

    fn groups(&self) -> Groups {
        let security = &self.spec.security;
        let opens_nodes = match &security.access {
            Access::Managed { .. } => true,
            Access::Given { open_nodes, .. } => *open_nodes,
            Access::Nothing => false,
        };
        let private_link_rules = security.private_link_rules;
        if self.site.without_groups {
            return Groups { frontend: None, given: BTreeSet::new(), nodes: None, private_link_rules: None };
        }
        let frontend = match &security.access {
            Access::Managed { ranges, prefix_lists, path_mtu } => Some(FrontendGroup {
                name: self.names.frontend_group(),
                vpc_id: self.site.vpc_id.clone(),
                rules: access::frontend_rules(&self.spec.listeners, ranges, prefix_lists, *path_mtu),
                tags: self.tags(naming::FRONTEND_RESOURCE),
            }),
            Access::Given { .. } | Access::Nothing => None,
        };
        let nodes = (opens_nodes && self.config.manage_backend_rules).then(|| BackendAccess {
            source_group: naming::backend_group_name(&self.config.cluster),
            vpc_id: self.site.vpc_id.clone(),
            tags: naming::backend_group_tags(&self.config.cluster),
            traffic: access::node_traffic(
                self.spec.listeners.iter().map(Into::into),
                &self.config.node_ports,
            ),
        });
        Groups { frontend, given: self.site.given_groups.clone(), nodes, private_link_rules }
    }
}

fn remember_attributes<'k>(keys: impl IntoIterator<Item = &'k String>) -> Option<(String, String)> {
    Some((SET_ATTRIBUTES_TAG.to_owned(), naming::remember(keys)?))
}

#[cfg(test)]
mod tests;
