//! Elastic Load Balancing v2: the requests this crate makes.

use std::collections::BTreeMap;

use super::layered::requests;
use super::{
    Attributes, CapacityChange, CapacityReservation, Certificate, CreateListener, CreateLoadBalancer,
    CreateTargetGroup, IpAddressType, Listener, LoadBalancer, ModifyListener, ModifyTargetGroup, Page,
    Result, Select, SetSecurityGroups, SetSubnets, Tags, Target, TargetGroup, TargetHealth, ZoneMapping,
};

requests! {
    /// The ELBv2 requests this crate makes, each named as in AWS's API reference.
    ///
    /// # Contract
    /// - One method call is one request (the SDK's own retries of it apart). Nothing is cached, joined or split.
    /// - A list begins with `page` none and goes on with [`Page::next`] until that is none.
    /// - Creates are idempotent as AWS has it: same name (or port) and same settings give what exists, other
    ///   settings give `Duplicate...`. Tags do not count as settings: what a create returns may be somebody
    ///   else's, and its tags must be checked.
    /// - An `Err` does not say that nothing happened; see [`ApiError`](crate::client::error::ApiError).
    pub trait Elbv2 {
        /// Load balancers of the account in this region, of every VPC and sort that this crate understands.
        ///
        /// # Errors
        /// `LoadBalancerNotFound` when one of the selected is absent.
        async fn describe_load_balancers(select: &Select, page: Option<&str>) -> Result<Page<LoadBalancer>> = DescribeLoadBalancers;

        /// Makes a load balancer with its tags; it is `provisioning` at first.
        ///
        /// # Errors
        /// `DuplicateLoadBalancerName` (same name, other settings), `TooManyLoadBalancers`, `InvalidSubnet`,
        /// `SubnetNotFound`, `InvalidSecurityGroup`, `AllocationIdNotFound`, `ResourceInUse` (Elastic IP taken),
        /// `AvailabilityZoneNotSupported`, `InvalidConfigurationRequest`, `ValidationError`.
        async fn create_load_balancer(request: &CreateLoadBalancer) -> Result<LoadBalancer> = CreateLoadBalancer;

        /// Deletes a load balancer and its listeners; its target groups stay. Absent is success.
        ///
        /// # Errors
        /// `OperationNotPermitted` (deletion protection), `ResourceInUse` (an endpoint service uses it).
        async fn delete_load_balancer(arn: &str) -> Result<()> = DeleteLoadBalancer;

        /// Sets the complete set of subnets; returns them as they now are, sorted by subnet id.
        ///
        /// # Errors
        /// `LoadBalancerNotFound`, `SubnetNotFound`, `InvalidSubnet`, `InvalidConfigurationRequest`,
        /// `AllocationIdNotFound`, `AvailabilityZoneNotSupported`.
        async fn set_subnets(request: &SetSubnets) -> Result<Vec<ZoneMapping>> = SetSubnets;

        /// Sets the complete set of security groups.
        ///
        /// # Errors
        /// `LoadBalancerNotFound`, `InvalidSecurityGroup`, `InvalidConfigurationRequest` (the load balancer was
        /// made with none, or none are given).
        async fn set_security_groups(request: &SetSecurityGroups) -> Result<()> = SetSecurityGroups;

        /// Sets the address families.
        ///
        /// # Errors
        /// `LoadBalancerNotFound`, `InvalidSubnet` (no IPv6 range), `InvalidConfigurationRequest`.
        async fn set_ip_address_type(arn: &str, to: IpAddressType) -> Result<()> = SetIpAddressType;

        /// All attributes of a load balancer.
        ///
        /// # Errors
        /// `LoadBalancerNotFound`.
        async fn describe_load_balancer_attributes(arn: &str) -> Result<Attributes> = DescribeLoadBalancerAttributes;

        /// Sets the given attributes (at most 20) and leaves the others.
        ///
        /// # Errors
        /// `LoadBalancerNotFound`, `InvalidConfigurationRequest`, `ValidationError`.
        async fn modify_load_balancer_attributes(arn: &str, attributes: &Attributes) -> Result<()> = ModifyLoadBalancerAttributes;

        /// The reserved minimum capacity.
        ///
        /// # Errors
        /// `LoadBalancerNotFound`.
        async fn describe_capacity_reservation(arn: &str) -> Result<CapacityReservation> = DescribeCapacityReservation;

        /// Changes the reserved minimum capacity.
        ///
        /// # Errors
        /// `LoadBalancerNotFound`, `CapacityUnitsLimitExceeded`, `CapacityReservationPending`,
        /// `InsufficientCapacity`, `CapacityDecreaseRequestLimitExceeded`, `PriorRequestNotComplete`,
        /// `OperationNotPermitted`, `InvalidConfigurationRequest`.
        async fn modify_capacity_reservation(arn: &str, change: CapacityChange) -> Result<()> = ModifyCapacityReservation;

        /// Target groups of the account in this region that this crate understands (not those of functions).
        ///
        /// # Errors
        /// `TargetGroupNotFound` when one of the selected is absent.
        async fn describe_target_groups(select: &Select, page: Option<&str>) -> Result<Page<TargetGroup>> = DescribeTargetGroups;

        /// Makes a target group with its tags.
        ///
        /// # Errors
        /// `DuplicateTargetGroupName` (same name, other settings), `TooManyTargetGroups`,
        /// `InvalidConfigurationRequest`, `ValidationError`.
        async fn create_target_group(request: &CreateTargetGroup) -> Result<TargetGroup> = CreateTargetGroup;

        /// Changes the health check.
        ///
        /// # Errors
        /// `TargetGroupNotFound`, `InvalidConfigurationRequest`, `ValidationError`.
        async fn modify_target_group(request: &ModifyTargetGroup) -> Result<()> = ModifyTargetGroup;

        /// Deletes a target group. Absent is success.
        ///
        /// # Errors
        /// `ResourceInUse` while a listener refers to it, and for a moment after.
        async fn delete_target_group(arn: &str) -> Result<()> = DeleteTargetGroup;

        /// All attributes of a target group.
        ///
        /// # Errors
        /// `TargetGroupNotFound`.
        async fn describe_target_group_attributes(arn: &str) -> Result<Attributes> = DescribeTargetGroupAttributes;

        /// Sets the given attributes (at most 20) and leaves the others.
        ///
        /// # Errors
        /// `TargetGroupNotFound`, `InvalidConfigurationRequest`, `ValidationError`.
        async fn modify_target_group_attributes(arn: &str, attributes: &Attributes) -> Result<()> = ModifyTargetGroupAttributes;

        /// Adds targets (at most [`TARGETS_PER_CALL`]); those already there are left as they are, a draining one
        /// is taken back.
        ///
        /// # Errors
        /// All or nothing: `InvalidTarget` when one of them is not running or in another VPC, `TooManyTargets`,
        /// `TooManyRegistrationsForTargetId`, `TargetGroupNotFound`, `ValidationError` (wrong form of id).
        async fn register_targets(target_group_arn: &str, targets: &[Target]) -> Result<()> = RegisterTargets;

        /// Takes targets out (at most [`TARGETS_PER_CALL`]); they drain. Unknown ones are no failure.
        ///
        /// # Errors
        /// `TargetGroupNotFound`, `InvalidTarget`.
        async fn deregister_targets(target_group_arn: &str, targets: &[Target]) -> Result<()> = DeregisterTargets;

        /// The health of the given targets, or of all if none are given. Not paged.
        ///
        /// # Errors
        /// `TargetGroupNotFound`, `InvalidTarget`, `HealthUnavailable`.
        async fn describe_target_health(target_group_arn: &str, targets: &[Target]) -> Result<Vec<TargetHealth>> = DescribeTargetHealth;

        /// The listeners of a load balancer.
        ///
        /// # Errors
        /// `LoadBalancerNotFound`.
        async fn describe_listeners(load_balancer_arn: &str, page: Option<&str>) -> Result<Page<Listener>> = DescribeListeners;

        /// Makes a listener with its tags.
        ///
        /// # Errors
        /// `DuplicateListener` (same port, other settings), `TooManyListeners`, `CertificateNotFound`,
        /// `SSLPolicyNotFound`, `IncompatibleProtocols`, `UnsupportedProtocol`, `TargetGroupNotFound`,
        /// `TargetGroupAssociationLimit` (the target group serves another load balancer),
        /// `LoadBalancerNotFound`, `InvalidConfigurationRequest`, `ValidationError` and quota codes.
        async fn create_listener(request: &CreateListener) -> Result<Listener> = CreateListener;

        /// Changes a listener.
        ///
        /// # Errors
        /// As for [`create_listener`](Self::create_listener), and `ListenerNotFound`.
        async fn modify_listener(request: &ModifyListener) -> Result<Listener> = ModifyListener;

        /// Deletes a listener.
        ///
        /// # Errors
        /// `ListenerNotFound`, `ResourceInUse`.
        async fn delete_listener(arn: &str) -> Result<()> = DeleteListener;

        /// All certificates of a TLS listener, the default one among them.
        ///
        /// # Errors
        /// `ListenerNotFound`.
        async fn describe_listener_certificates(listener_arn: &str, page: Option<&str>) -> Result<Page<Certificate>> = DescribeListenerCertificates;

        /// Adds a certificate, chosen by the host name a client asks for. AWS takes one a request (*AddListenerCertificates*:
        /// "one certificate per call"), though its name and its parameter are in the plural.
        ///
        /// # Errors
        /// `ListenerNotFound` (also for a moment after the listener was made), `CertificateNotFound`,
        /// `TooManyCertificates`.
        async fn add_listener_certificates(listener_arn: &str, certificate_arn: &str) -> Result<()> = AddListenerCertificates;

        /// Takes a certificate off; one a request, as for [`add_listener_certificates`](Self::add_listener_certificates).
        ///
        /// # Errors
        /// `ListenerNotFound`, `OperationNotPermitted` (the default certificate).
        async fn remove_listener_certificates(listener_arn: &str, certificate_arn: &str) -> Result<()> = RemoveListenerCertificates;

        /// All attributes of a listener.
        ///
        /// # Errors
        /// `ListenerNotFound`.
        async fn describe_listener_attributes(arn: &str) -> Result<Attributes> = DescribeListenerAttributes;

        /// Sets the given attributes and leaves the others.
        ///
        /// # Errors
        /// `ListenerNotFound`, `InvalidConfigurationRequest`.
        async fn modify_listener_attributes(arn: &str, attributes: &Attributes) -> Result<()> = ModifyListenerAttributes;

        /// Tags of load balancers, target groups or listeners, by ARN; at most [`ARNS_PER_CALL`], and of one kind: AWS
        /// does not say what it makes of several kinds in one request, so nobody asks.
        ///
        /// # Errors
        /// The whole request fails with the code of the resource's kind (`LoadBalancerNotFound`, ...) when one of
        /// the ARNs is absent.
        async fn describe_tags(arns: &[String]) -> Result<BTreeMap<String, Tags>> = DescribeTags;

        /// Adds tags or changes their values. AWS takes a list of resources and refuses more than one of them, or none
        /// (`ValidationError: Only one resource can be tagged at a time`; aws-sdk-go-v2#2715).
        ///
        /// # Errors
        /// `LoadBalancerNotFound`, `TargetGroupNotFound`, `ListenerNotFound`, `TooManyTags`, `ValidationError`.
        async fn add_tags(arn: &str, tags: &Tags) -> Result<()> = AddTags;

        /// Removes tags by key; absent keys are no failure. One resource a request, as for [`add_tags`](Self::add_tags).
        ///
        /// # Errors
        /// `LoadBalancerNotFound`, `TargetGroupNotFound`, `ListenerNotFound`.
        async fn remove_tags(arn: &str, keys: &[String]) -> Result<()> = RemoveTags;
    }
}

/// How many resources one request may name by ARN or name (`DescribeTags`, `DescribeLoadBalancers`, ...).
pub const ARNS_PER_CALL: usize = 20;

/// How many targets one request may carry. AWS documents no limit; 200 is known to work.
pub const TARGETS_PER_CALL: usize = 200;

/// How many attributes one request may set.
pub const ATTRIBUTES_PER_CALL: usize = 20;

/// How many resources AWS returns on one page of a list at most.
pub const PAGE_SIZE: usize = 400;
