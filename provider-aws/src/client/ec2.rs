//! EC2: the requests this crate makes.

use super::layered::requests;
use super::{
    CreateSecurityGroup, IngressRule, Instance, Page, Result, RouteTable, SecurityGroup, SecurityGroupQuery,
    Subnet, SubnetQuery, Tags, Vpc, Zone,
};

requests! {
    /// The EC2 requests this crate makes, each named as in AWS's API reference.
    ///
    /// # Contract
    /// As for [`Elbv2`](super::Elbv2): one method call is one request, lists come in pages, an `Err` does not
    /// say that nothing happened. Ids are sent as filters, so that an absent one is left out of the answer instead
    /// of failing the whole request; a filter takes at most [`FILTER_VALUES`] values.
    pub trait Ec2 {
        /// Subnets that meet the query.
        ///
        /// # Errors
        /// General ones only.
        async fn describe_subnets(query: &SubnetQuery, page: Option<&str>) -> Result<Page<Subnet>> = DescribeSubnets;

        /// The VPCs with these ids.
        ///
        /// # Errors
        /// General ones only.
        async fn describe_vpcs(ids: &[String], page: Option<&str>) -> Result<Page<Vpc>> = DescribeVpcs;

        /// The route tables of a VPC.
        ///
        /// # Errors
        /// General ones only.
        async fn describe_route_tables(vpc_id: &str, page: Option<&str>) -> Result<Page<RouteTable>> = DescribeRouteTables;

        /// The zones of this region that the account may use. Not paged.
        ///
        /// # Errors
        /// General ones only.
        async fn describe_availability_zones() -> Result<Vec<Zone>> = DescribeAvailabilityZones;

        /// The instances with these ids.
        ///
        /// # Errors
        /// General ones only.
        async fn describe_instances(ids: &[String], page: Option<&str>) -> Result<Page<Instance>> = DescribeInstances;

        /// Security groups that meet the query, with their inbound rules.
        ///
        /// # Errors
        /// General ones only.
        async fn describe_security_groups(query: &SecurityGroupQuery, page: Option<&str>) -> Result<Page<SecurityGroup>> = DescribeSecurityGroups;

        /// Makes a security group with its tags and no inbound rules; returns its id. Other requests may not see
        /// it for a moment.
        ///
        /// # Errors
        /// `InvalidGroup.Duplicate` (the name is taken in the VPC), `SecurityGroupLimitExceeded`,
        /// `InvalidVpcID.NotFound`, `InvalidParameterValue`.
        async fn create_security_group(request: &CreateSecurityGroup) -> Result<String> = CreateSecurityGroup;

        /// Deletes a security group.
        ///
        /// # Errors
        /// `InvalidGroup.NotFound`; `DependencyViolation` while a network interface (those of a deleted load
        /// balancer stay for minutes) or another group's rule refers to it.
        async fn delete_security_group(id: &str) -> Result<()> = DeleteSecurityGroup;

        /// Adds inbound rules, all or none.
        ///
        /// # Errors
        /// `InvalidGroup.NotFound`, `InvalidPermission.Duplicate` (one of them is there already),
        /// `RulesPerSecurityGroupLimitExceeded`, `InvalidParameterValue`.
        async fn authorize_security_group_ingress(id: &str, rules: &[IngressRule]) -> Result<()> = AuthorizeSecurityGroupIngress;

        /// Removes inbound rules, all or none. AWS goes by traffic and source; emulators compare descriptions as
        /// well, so rules are best given as they were described.
        ///
        /// # Errors
        /// `InvalidGroup.NotFound`, `InvalidPermission.NotFound` (one of them is not there).
        async fn revoke_security_group_ingress(id: &str, rules: &[IngressRule]) -> Result<()> = RevokeSecurityGroupIngress;

        /// Adds tags or changes their values.
        ///
        /// # Errors
        /// `InvalidGroup.NotFound`, `TagLimitExceeded`, `InvalidParameterValue`.
        async fn create_tags(ids: &[String], tags: &Tags) -> Result<()> = CreateTags;

        /// Removes tags by key, whatever their values; absent keys are no failure.
        ///
        /// # Errors
        /// `InvalidGroup.NotFound`.
        async fn delete_tags(ids: &[String], keys: &[String]) -> Result<()> = DeleteTags;
    }
}

/// How many values one filter may have.
pub const FILTER_VALUES: usize = 200;
