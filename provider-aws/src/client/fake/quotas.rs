//! Quotas of the account.

/// Quotas; the defaults are AWS's (*Quotas for your Network Load Balancers*, *Amazon VPC quotas*).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quotas {
    /// Network Load Balancers in the region; 50.
    pub load_balancers: usize,
    /// Listeners of a load balancer; 50.
    pub listeners: usize,
    /// Certificates of a load balancer, the default ones apart; 25.
    pub certificates: usize,
    /// Target groups in the region; 3,000.
    pub target_groups: usize,
    /// Targets of a target group; 1,000.
    pub targets_per_group: usize,
    /// Targets of a load balancer in one zone; 500.
    pub targets_per_zone: usize,
    /// Targets of a load balancer; 3,000.
    pub targets: usize,
    /// Targets of a load balancer that balances across zones; 500.
    pub targets_across_zones: usize,
    /// How often a target may be registered behind one load balancer; 1,000.
    pub registrations_per_target: usize,
    /// Target groups that one listener may share its traffic between; 5.
    pub target_groups_per_action: usize,
    /// Different target groups behind one load balancer; 100, which AWS publishes for Application Load Balancers.
    pub target_groups_per_load_balancer: usize,
    /// Network interfaces of Network Load Balancers in a VPC, one a zone; 1,200.
    pub interfaces_per_vpc: usize,
    /// Rules of a security group, for IPv4 and IPv6 each; 60.
    pub rules_per_group: usize,
    /// Security groups of a network interface; 5.
    pub groups_per_interface: usize,
    /// Security groups in the region; 2,500.
    pub security_groups: usize,
    /// Reserved capacity units of a load balancer; 2,750 a zone.
    pub capacity_units_per_zone: u32,
    /// Tags of a resource; 50.
    pub tags: usize,
    /// Resources on a page of a list; 400.
    pub page_size: usize,
}

impl Quotas {
    /// The defaults, but for what `change` sets.
    pub fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut quotas = Self::default();
        change(&mut quotas);
        quotas
    }
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            load_balancers: 50,
            listeners: 50,
            certificates: 25,
            target_groups: 3000,
            targets_per_group: 1000,
            targets_per_zone: 500,
            targets: 3000,
            targets_across_zones: 500,
            registrations_per_target: 1000,
            target_groups_per_action: 5,
            target_groups_per_load_balancer: 100,
            interfaces_per_vpc: 1200,
            rules_per_group: 60,
            groups_per_interface: 5,
            security_groups: 2500,
            capacity_units_per_zone: 2750,
            tags: 50,
            page_size: super::super::PAGE_SIZE,
        }
    }
}
