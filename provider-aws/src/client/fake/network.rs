//! VPCs, subnets, route tables, instances: read only.

use super::{
    super::{Instance, Page, RouteTable, Subnet, SubnetQuery, Vpc},
    account::AccountState,
    refusal::Answered,
    rules,
};

impl AccountState {
    pub(super) fn describe_subnets(&self, query: &SubnetQuery, page: Option<&str>) -> Answered<Page<Subnet>> {
        rules::filter_values(&query.ids)?;
        for tag in &query.tags {
            rules::filter_values(&tag.values)?;
        }
        let asked = |subnet: &&Subnet| {
            (query.ids.is_empty() || query.ids.contains(&subnet.id))
                && query.vpc_id.as_ref().is_none_or(|vpc| *vpc == subnet.vpc_id)
                && query.tags.iter().all(|tag| tag.matches(&subnet.tags))
        };
        self.page(self.subnets.values().filter(asked).cloned().collect(), page)
    }

    pub(super) fn describe_vpcs(&self, ids: &[String], page: Option<&str>) -> Answered<Page<Vpc>> {
        rules::filter_values(ids)?;
        self.page(ids.iter().filter_map(|id| self.vpcs.get(id)).cloned().collect(), page)
    }

    pub(super) fn describe_route_tables(
        &self,
        vpc_id: &str,
        page: Option<&str>,
    ) -> Answered<Page<RouteTable>> {
        let tables = self.route_tables.values().filter(|table| table.vpc_id == vpc_id);
        self.page(tables.cloned().collect(), page)
    }

    pub(super) fn describe_instances(&self, ids: &[String], page: Option<&str>) -> Answered<Page<Instance>> {
        rules::filter_values(ids)?;
        self.page(ids.iter().filter_map(|id| self.instances.get(id)).cloned().collect(), page)
    }
}
