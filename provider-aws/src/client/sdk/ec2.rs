//! The EC2 requests.

use async_trait::async_trait;
use aws_sdk_ec2::types as sdk;

use super::{
    super::{
        Call, CreateSecurityGroup, Ec2, IngressRule, Instance, Page, Result, RouteTable, SecurityGroup,
        SecurityGroupQuery, Subnet, SubnetQuery, Tags, Vpc, Zone,
    },
    Sdk, ec2_data as data,
    failure::bad_reply,
};

fn next(token: Option<String>) -> Option<String> {
    token.filter(|token| !token.is_empty())
}

#[async_trait]
impl Ec2 for Sdk {
    async fn describe_subnets(&self, query: &SubnetQuery, page: Option<&str>) -> Result<Page<Subnet>> {
        let mut filters: Vec<sdk::Filter> = query.tags.iter().map(data::tag_filter).collect();
        filters.extend(data::filter("subnet-id", query.ids.clone()));
        filters.extend(data::filter("vpc-id", query.vpc_id.iter().cloned().collect()));
        let request =
            self.ec2.describe_subnets().set_filters(Some(filters)).set_next_token(page.map(str::to_owned));
        let reply = self.send(Call::DescribeSubnets, request.send()).await?;
        let found = reply.subnets.unwrap_or_default().into_iter();
        Ok(Page { items: found.filter_map(data::subnet).collect(), next: next(reply.next_token) })
    }

    async fn describe_vpcs(&self, ids: &[String], page: Option<&str>) -> Result<Page<Vpc>> {
        if ids.is_empty() {
            // No filter would mean every VPC.
            return Ok(Page::last(Vec::new()));
        }
        let request = self
            .ec2
            .describe_vpcs()
            .set_filters(data::filter("vpc-id", ids.to_vec()).map(|filter| vec![filter]))
            .set_next_token(page.map(str::to_owned));
        let reply = self.send(Call::DescribeVpcs, request.send()).await?;
        let found = reply.vpcs.unwrap_or_default().into_iter();
        Ok(Page { items: found.filter_map(data::vpc).collect(), next: next(reply.next_token) })
    }

    async fn describe_route_tables(&self, vpc_id: &str, page: Option<&str>) -> Result<Page<RouteTable>> {
        let request = self
            .ec2
            .describe_route_tables()
            .set_filters(data::filter("vpc-id", vec![vpc_id.to_owned()]).map(|filter| vec![filter]))
            .set_next_token(page.map(str::to_owned));
        let reply = self.send(Call::DescribeRouteTables, request.send()).await?;
        let found = reply.route_tables.unwrap_or_default().into_iter();
        Ok(Page { items: found.filter_map(data::route_table).collect(), next: next(reply.next_token) })
    }

    async fn describe_availability_zones(&self) -> Result<Vec<Zone>> {
        let reply =
            self.send(Call::DescribeAvailabilityZones, self.ec2.describe_availability_zones().send()).await?;
        Ok(reply.availability_zones.unwrap_or_default().into_iter().filter_map(data::zone).collect())
    }

    async fn describe_instances(&self, ids: &[String], page: Option<&str>) -> Result<Page<Instance>> {
        if ids.is_empty() {
            // No filter would mean every instance.
            return Ok(Page::last(Vec::new()));
        }
        let request = self
            .ec2
            .describe_instances()
            .set_filters(data::filter("instance-id", ids.to_vec()).map(|filter| vec![filter]))
            .set_next_token(page.map(str::to_owned));
        let reply = self.send(Call::DescribeInstances, request.send()).await?;
        let reservations = reply.reservations.unwrap_or_default().into_iter();
        let found = reservations.flat_map(|reservation| reservation.instances.unwrap_or_default());
        Ok(Page { items: found.filter_map(data::instance).collect(), next: next(reply.next_token) })
    }

    async fn describe_security_groups(
        &self,
        query: &SecurityGroupQuery,
        page: Option<&str>,
    ) -> Result<Page<SecurityGroup>> {
        let mut filters: Vec<sdk::Filter> = query.tags.iter().map(data::tag_filter).collect();
        filters.extend(data::filter("group-id", query.ids.clone()));
        filters.extend(data::filter("group-name", query.names.clone()));
        filters.extend(data::filter("vpc-id", query.vpc_id.iter().cloned().collect()));
        let request = self
            .ec2
            .describe_security_groups()
            .set_filters(Some(filters))
            .set_next_token(page.map(str::to_owned));
        let reply = self.send(Call::DescribeSecurityGroups, request.send()).await?;
        let found = reply.security_groups.unwrap_or_default().into_iter();
        Ok(Page { items: found.filter_map(data::security_group).collect(), next: next(reply.next_token) })
    }

    async fn create_security_group(&self, request: &CreateSecurityGroup) -> Result<String> {
        let call = Call::CreateSecurityGroup;
        let tags = (!request.tags.is_empty()).then(|| {
            sdk::TagSpecification::builder()
                .resource_type(sdk::ResourceType::SecurityGroup)
                .set_tags(Some(data::tags(&request.tags)))
                .build()
        });
        let sent = self
            .ec2
            .create_security_group()
            .group_name(&request.name)
            .description(&request.description)
            .vpc_id(&request.vpc_id)
            .set_tag_specifications(tags.map(|tags| vec![tags]));
        let reply = self.send(call, sent.send()).await?;
        reply.group_id.ok_or_else(|| bad_reply(call, "group id"))
    }

    async fn delete_security_group(&self, id: &str) -> Result<()> {
        let request = self.ec2.delete_security_group().group_id(id);
        self.send(Call::DeleteSecurityGroup, request.send()).await.map(drop)
    }

    async fn authorize_security_group_ingress(&self, id: &str, rules: &[IngressRule]) -> Result<()> {
        let request = self
            .ec2
            .authorize_security_group_ingress()
            .group_id(id)
            .set_ip_permissions(Some(rules.iter().map(data::permission).collect()));
        self.send(Call::AuthorizeSecurityGroupIngress, request.send()).await.map(drop)
    }

    async fn revoke_security_group_ingress(&self, id: &str, rules: &[IngressRule]) -> Result<()> {
        let request = self
            .ec2
            .revoke_security_group_ingress()
            .group_id(id)
            .set_ip_permissions(Some(rules.iter().map(data::permission).collect()));
        self.send(Call::RevokeSecurityGroupIngress, request.send()).await.map(drop)
    }

    async fn create_tags(&self, ids: &[String], tags: &Tags) -> Result<()> {
        let request =
            self.ec2.create_tags().set_resources(Some(ids.to_vec())).set_tags(Some(data::tags(tags)));
        self.send(Call::CreateTags, request.send()).await.map(drop)
    }

    async fn delete_tags(&self, ids: &[String], keys: &[String]) -> Result<()> {
        // A tag without a value is deleted whatever its value is.
        let tag = |key: &String| sdk::Tag::builder().key(key).build();
        let request = self
            .ec2
            .delete_tags()
            .set_resources(Some(ids.to_vec()))
            .set_tags(Some(keys.iter().map(tag).collect()));
        self.send(Call::DeleteTags, request.send()).await.map(drop)
    }
}
