//! Names and tags: how everything we make is recognised, by us and by people.
//!
//! # Names
//!
//! `k8s-NAMESPACE-SERVICE-HASH`: eight characters of the namespace, eight of the Service's name, ten hexadecimal
//! digits of a SHA-256 over what may not change in place. The shape is the AWS Load Balancer Controller's. A name
//! follows from cluster, Service UID and those settings alone, so a create whose reply was lost, and the create
//! of a second leader, both find the first.
//!
//! | what | hashed |
//! |---|---|
//! | load balancer | cluster, UID, scheme (that controller's own formula) |
//! | target group | cluster, UID, scheme, port, protocol, address family: all that forces a new one |
//! | frontend security group | cluster, name, namespace, UID (that controller's own formula) |
//! | backend security group | `k8s-nlb-nodes-CLUSTER-HASH`, one for the cluster |
//!
//! A target group belongs to one load balancer at AWS, so a load balancer that replaces another (the scheme
//! changed) brings target groups of its own; therefore the scheme is in their hash.
//!
//! # Tags
//!
//! | key | value | on |
//! |---|---|---|
//! | `elbv2.k8s.aws/cluster` | cluster | everything |
//! | `service.k8s.aws/stack` | `NAMESPACE/NAME` | everything of one Service |
//! | `service.k8s.aws/resource` | `LoadBalancer`, `ManagedLBSecurityGroup`, `NAMESPACE/NAME:PORT`, `PORT` | the same |
//! | `cloud-lb-controller/service-uid` | UID | the same: **this makes it ours** |
//! | `cloud-lb-controller/applied` | digest | the load balancer: what was last applied in full |
//! | `cloud-lb-controller/targets` | digest | the load balancer: which targets were registered when that was |
//! | `cloud-lb-controller/set-attributes`, `.../added-tags` | keys | load balancer, target groups, listeners, frontend group: what may be taken back |
//! | `cloud-lb-controller/role` | `nodes-source` | the backend security group |
//!
//! The first three are the AWS Load Balancer Controller's. Ours is what carries our cluster **and** a Service UID;
//! nothing else is ever changed or deleted.

use cloud_provider::ServiceId;
use sha2::{Digest as _, Sha256};

use crate::client::{Protocol, Scheme, Tags, TargetFamily};

/// Which cluster; shared with the AWS Load Balancer Controller.
pub const CLUSTER_TAG: &str = "elbv2.k8s.aws/cluster";
/// Which Service, by namespace and name; shared with the AWS Load Balancer Controller.
pub const STACK_TAG: &str = "service.k8s.aws/stack";
/// Which part of a Service's load balancer; shared with the AWS Load Balancer Controller.
pub const RESOURCE_TAG: &str = "service.k8s.aws/resource";
/// Which Service, by UID. What carries it is ours.
pub const UID_TAG: &str = "cloud-lb-controller/service-uid";
/// Digest of the desired state that was last applied in full, on the load balancer.
pub const APPLIED_TAG: &str = "cloud-lb-controller/applied";
/// Digest of the targets that are registered, on the load balancer; empty from before one of them changes until the
/// Service is looked at.
pub const TARGETS_TAG: &str = "cloud-lb-controller/targets";
/// Keys of the attributes that were set because somebody asked, separated by spaces: what was set by us goes back
/// to AWS's default when nobody asks any more; what was set by hand stays.
pub const SET_ATTRIBUTES_TAG: &str = "cloud-lb-controller/set-attributes";
/// What stands in [`SET_ATTRIBUTES_TAG`] for something that is no attribute at AWS and is taken back like one: whether
/// inbound rules hold for PrivateLink.
pub const PRIVATE_LINK_RULES: &str = "private_link_rules";
/// Likewise of a listener: its security policy.
pub const SSL_POLICY: &str = "ssl_policy";
/// Keys of the tags that were added because somebody asked, separated by spaces: what was added by us may be
/// removed by us; what was added by hand stays.
pub const ADDED_TAGS_TAG: &str = "cloud-lb-controller/added-tags";
/// What a group of the whole cluster is for.
pub const ROLE_TAG: &str = "cloud-lb-controller/role";
/// The [`ROLE_TAG`] of the group that is the source of the rules on the nodes.
pub const BACKEND_ROLE: &str = "nodes-source";
/// Set on subnets, nodes' security groups and by cloud-provider-aws; followed by the cluster's name.
pub const KUBERNETES_CLUSTER_TAG: &str = "kubernetes.io/cluster/";
/// Which Service, as cloud-provider-aws tags it.
pub const CLOUD_PROVIDER_SERVICE_TAG: &str = "kubernetes.io/service-name";
/// The [`RESOURCE_TAG`] of a load balancer.
pub const LOAD_BALANCER_RESOURCE: &str = "LoadBalancer";
/// The [`RESOURCE_TAG`] of a frontend security group.
pub const FRONTEND_RESOURCE: &str = "ManagedLBSecurityGroup";
/// The description of a frontend security group; the AWS Load Balancer Controller's, who would adopt it by name.
pub const FRONTEND_DESCRIPTION: &str = "[k8s] Managed SecurityGroup for LoadBalancer";
/// The description of the backend security group.
pub const BACKEND_DESCRIPTION: &str =
    "Network Load Balancers of this cluster, as source in the rules on its nodes";

/// How many hexadecimal digits of a hash stand in a name.
const HASH_LENGTH: usize = 10;

/// Whether a tag key is one by which things are recognised, which users may not set.
pub fn is_tracking_key(key: &str) -> bool {
    let ours = ["elbv2.k8s.aws/", "service.k8s.aws/", "cloud-lb-controller/", KUBERNETES_CLUSTER_TAG];
    ours.iter().any(|start| key.starts_with(start)) || key == CLOUD_PROVIDER_SERVICE_TAG
}

/// The names and tags of one Service in one cluster.
#[derive(Clone, Debug)]
pub struct Names<'a> {
    cluster: &'a str,
    service: &'a ServiceId,
}

impl<'a> Names<'a> {
    /// The names and tags of this Service.
    pub fn new(cluster: &'a str, service: &'a ServiceId) -> Self {
        Names { cluster, service }
    }

    /// The cluster's name.
    pub fn cluster(&self) -> &'a str {
        self.cluster
    }

    /// The [`STACK_TAG`] of everything of this Service.
    pub fn stack(&self) -> String {
        self.service.key.to_string()
    }

    /// The tags that make something this Service's.
    pub fn claim(&self) -> Tags {
        [(CLUSTER_TAG, self.cluster), (UID_TAG, &self.service.uid)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    }

    /// The load balancer's generated name.
    pub fn load_balancer(&self, scheme: Scheme) -> String {
        self.short(&[self.cluster, &self.service.uid, scheme.as_str()])
    }

    /// A target group's name.
    pub fn target_group(
        &self,
        scheme: Scheme,
        port: u16,
        protocol: Protocol,
        family: TargetFamily,
    ) -> String {
        let port = port.to_string();
        self.short(&[
            self.cluster,
            &self.service.uid,
            scheme.as_str(),
            &port,
            protocol.as_str(),
            family.as_str(),
        ])
    }

    /// The frontend security group's name.
    pub fn frontend_group(&self) -> String {
        let key = &self.service.key;
        self.short(&[self.cluster, &key.name, &key.namespace, &self.service.uid])
    }

    /// The name cloud-provider-aws gave the load balancer of this Service.
    pub fn cloud_provider_load_balancer(&self) -> String {
        cloud_provider::name::load_balancer_name(self.service)
    }

    /// The tags of a part of this Service's load balancer.
    pub fn tags(&self, resource: &str) -> Tags {
        [
            (CLUSTER_TAG, self.cluster),
            (STACK_TAG, &self.stack()),
            (RESOURCE_TAG, resource),
            (UID_TAG, &self.service.uid),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    /// The [`RESOURCE_TAG`] of the target group behind a port.
    pub fn target_group_resource(&self, port: u16) -> String {
        format!("{}:{port}", self.service.key)
    }

    /// Whether these tags make something this Service's.
    pub fn owns(&self, tags: &Tags) -> bool {
        owner(self.cluster, tags).is_some_and(|uid| *uid == *self.service.uid)
    }

    /// Whether a name has the form of this Service's generated ones.
    pub fn is_like_ours(&self, name: &str) -> bool {
        name.strip_prefix(&self.prefix()).is_some_and(|hash| hash.len() == HASH_LENGTH)
    }

    fn short(&self, hashed: &[&str]) -> String {
        format!("{}{}", self.prefix(), &hex(hashed)[..HASH_LENGTH])
    }

    fn prefix(&self) -> String {
        let part =
            |text: &str| -> String { text.chars().filter(char::is_ascii_alphanumeric).take(8).collect() };
        let key = &self.service.key;
        format!("k8s-{}-{}-", part(&key.namespace), part(&key.name))
    }
}

/// The UID of the Service to whom something belongs, if it belongs to one of this cluster.
pub fn owner<'t>(cluster: &str, tags: &'t Tags) -> Option<&'t str> {
    let ours = tags.get(CLUSTER_TAG).is_some_and(|value| value == cluster);
    tags.get(UID_TAG).filter(|_| ours).map(String::as_str)
}

/// The Service to whom something belongs, with its key from the stack tag.
pub fn owning_service(cluster: &str, tags: &Tags) -> Option<ServiceId> {
    let uid = owner(cluster, tags)?;
    let (namespace, name) = tags.get(STACK_TAG)?.split_once('/')?;
    Some(ServiceId::new(namespace, name, uid))
}

/// The port of its Service that a target group is for, as [`Names::target_group_resource`] tagged it.
pub fn port_of_target_group(tags: &Tags) -> Option<u16> {
    tags.get(RESOURCE_TAG)?.rsplit(':').next()?.parse().ok()
}

/// The name of the group that is the source of the rules on the nodes.
pub fn backend_group_name(cluster: &str) -> String {
    let part: String = cluster.chars().filter(char::is_ascii_alphanumeric).take(220).collect();
    format!("k8s-nlb-nodes-{part}-{}", &hex(&[cluster])[..HASH_LENGTH])
}

/// The tags of the group that is the source of the rules on the nodes.
pub fn backend_group_tags(cluster: &str) -> Tags {
    [(CLUSTER_TAG, cluster), (ROLE_TAG, BACKEND_ROLE)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// A list of keys as the value of a tag. AWS takes 256 characters: keys beyond are not remembered, and are then
/// left alone when nobody asks for them any more.
pub fn remember<'k>(keys: impl IntoIterator<Item = &'k String>) -> Option<String> {
    let mut text = String::new();
    for key in keys.into_iter().filter(|key| !key.contains(' ')) {
        if text.len() + key.len() < 256 {
            text.extend((!text.is_empty()).then_some(' '));
            text.push_str(key);
        }
    }
    (!text.is_empty()).then_some(text)
}

/// The keys that [`remember`] wrote.
pub fn remembered<'t>(tags: &'t Tags, tag: &str) -> impl Iterator<Item = &'t str> + use<'t> {
    tags.get(tag).map(String::as_str).unwrap_or_default().split(' ').filter(|key| !key.is_empty())
}

/// SHA-256 in hexadecimal over texts put together, 64 digits.
pub fn hex(texts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text.as_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Why a tag of somebody's choice cannot be put on what is made; none when it can.
///
/// Up to 128 and 256 characters, `aws:` reserved, of letters, separators and digits of any language and `_.:/=+-@` (*Tag*
/// in the ELBv2 API reference, *Tag restrictions* in the EC2 user guide).
pub fn refused_as_a_tag(key: &str, value: &str) -> Option<&'static str> {
    if key.starts_with("aws:") {
        Some("begins with aws:, which AWS keeps to itself")
    } else if is_tracking_key(key) {
        Some("is a key by which load balancers are recognised")
    } else if key.chars().count() > 128 || value.chars().count() > 256 {
        Some("is longer than AWS takes")
    } else if !key.chars().chain(value.chars()).all(is_of_a_tag) {
        Some("has characters that AWS does not take in tags")
    } else {
        None
    }
}

/// AWS's letters, separators and digits are those of Unicode.
fn is_of_a_tag(c: char) -> bool {
    c.is_alphanumeric() || (c.is_whitespace() && !c.is_control()) || "_.:/=+-@".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> ServiceId {
        ServiceId::new("my-namespace", "web-frontend", "0c1b2d3e-4f50-6172-8394-a5b6c7d8e9f0")
    }

    #[test]
    fn a_name_holds_namespace_service_and_a_hash_in_32_characters() {
        let service = service();
        let name = Names::new("prod", &service).load_balancer(Scheme::Internal);
        assert!(name.starts_with("k8s-mynamesp-webfront-"), "{name}");
        assert_eq!(name.len(), 32);
    }

    #[test]
    fn the_load_balancer_hash_is_the_aws_load_balancer_controllers() {
        // SHA-256 of "clusteruidinternal", first ten digits, taken with sha256sum.
        let service = ServiceId::new("a", "b", "uid");
        let name = Names::new("cluster", &service).load_balancer(Scheme::Internal);
        assert_eq!(name, "k8s-a-b-27159f7768");
    }

    #[test]
    fn whatever_forces_a_new_target_group_changes_its_name() {
        let service = service();
        let names = Names::new("prod", &service);
        let base = names.target_group(Scheme::Internal, 80, Protocol::Tcp, TargetFamily::Ipv4);
        for other in [
            names.target_group(Scheme::InternetFacing, 80, Protocol::Tcp, TargetFamily::Ipv4),
            names.target_group(Scheme::Internal, 81, Protocol::Tcp, TargetFamily::Ipv4),
            names.target_group(Scheme::Internal, 80, Protocol::Tls, TargetFamily::Ipv4),
            names.target_group(Scheme::Internal, 80, Protocol::Tcp, TargetFamily::Ipv6),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn only_our_cluster_with_a_uid_is_ours() {
        let service = service();
        let names = Names::new("prod", &service);
        let mut tags = names.tags(LOAD_BALANCER_RESOURCE);
        assert!(names.owns(&tags));
        assert_eq!(owning_service("prod", &tags), Some(service.clone()));
        assert!(!Names::new("test", &service).owns(&tags));
        tags.remove(UID_TAG);
        assert_eq!(owner("prod", &tags), None);
    }
}
