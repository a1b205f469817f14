//! The EC2 requests, each handed to the account.

use async_trait::async_trait;

use super::{
    super::{
        Call, CreateSecurityGroup, Ec2, IngressRule, Instance, Page, Result, RouteTable, SecurityGroup,
        SecurityGroupQuery, Subnet, SubnetQuery, Tags, Vpc, Zone,
    },
    FakeAws,
};

#[async_trait]
impl Ec2 for FakeAws {
    async fn describe_subnets(&self, query: &SubnetQuery, page: Option<&str>) -> Result<Page<Subnet>> {
        self.request(Call::DescribeSubnets, |account| account.describe_subnets(query, page)).await
    }

    async fn describe_vpcs(&self, ids: &[String], page: Option<&str>) -> Result<Page<Vpc>> {
        self.request(Call::DescribeVpcs, |account| account.describe_vpcs(ids, page)).await
    }

    async fn describe_route_tables(&self, vpc_id: &str, page: Option<&str>) -> Result<Page<RouteTable>> {
        self.request(Call::DescribeRouteTables, |account| account.describe_route_tables(vpc_id, page)).await
    }

    async fn describe_availability_zones(&self) -> Result<Vec<Zone>> {
        self.request(Call::DescribeAvailabilityZones, |account| Ok(account.zones.values().cloned().collect()))
            .await
    }

    async fn describe_instances(&self, ids: &[String], page: Option<&str>) -> Result<Page<Instance>> {
        self.request(Call::DescribeInstances, |account| account.describe_instances(ids, page)).await
    }

    async fn describe_security_groups(
        &self,
        query: &SecurityGroupQuery,
        page: Option<&str>,
    ) -> Result<Page<SecurityGroup>> {
        self.request(Call::DescribeSecurityGroups, |account| account.describe_security_groups(query, page))
            .await
    }

    async fn create_security_group(&self, request: &CreateSecurityGroup) -> Result<String> {
        self.request(Call::CreateSecurityGroup, |account| account.create_security_group(request)).await
    }

    async fn delete_security_group(&self, id: &str) -> Result<()> {
        self.request(Call::DeleteSecurityGroup, |account| account.delete_security_group(id)).await
    }

    async fn authorize_security_group_ingress(&self, id: &str, rules: &[IngressRule]) -> Result<()> {
        self.request(Call::AuthorizeSecurityGroupIngress, |account| account.authorize_ingress(id, rules))
            .await
    }

    async fn revoke_security_group_ingress(&self, id: &str, rules: &[IngressRule]) -> Result<()> {
        self.request(Call::RevokeSecurityGroupIngress, |account| account.revoke_ingress(id, rules)).await
    }

    async fn create_tags(&self, ids: &[String], tags: &Tags) -> Result<()> {
        self.request(Call::CreateTags, |account| account.create_tags(ids, tags)).await
    }

    async fn delete_tags(&self, ids: &[String], keys: &[String]) -> Result<()> {
        self.request(Call::DeleteTags, |account| account.delete_tags(ids, keys)).await
    }
}
