//! What is there before: networks, instances, other people's things.

use std::{collections::BTreeMap, net::Ipv4Addr};

use ipnet::{Ipv4Net, Ipv6Net};

use super::{
    super::{
        CreateLoadBalancer, CreateTargetGroup, Elbv2, IngressRule, Instance, InstanceState, LoadBalancer,
        LoadBalancerState, Result, RouteTable, SecurityGroup, Subnet, Tags, TargetGroup, Vpc, Zone, ZoneKind,
    },
    FakeAws,
    account::{ACCOUNT, AccountState, ElasticIp, GroupRecord, REGION},
    lags::Countdown,
};

/// A VPC that was seeded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeededVpc {
    /// Its id.
    pub id: String,
    /// Public subnets, one a zone, tagged `kubernetes.io/role/elb` = `1`.
    pub public: Vec<String>,
    /// Private subnets, one a zone, tagged `kubernetes.io/role/internal-elb` = `1`.
    pub private: Vec<String>,
    /// The security group of the instances.
    pub node_group: String,
}

/// A subnet to seed.
#[derive(Clone, Debug)]
pub struct SubnetSeed {
    /// Its VPC, which must exist.
    pub vpc_id: String,
    /// The letter of its zone: `a` is `us-east-1a`.
    pub zone: char,
    /// Its IPv4 range.
    pub ipv4: Ipv4Net,
    /// Its IPv6 range, if it has one.
    pub ipv6: Option<Ipv6Net>,
    /// Whether its routes lead to the internet.
    pub public: bool,
    /// Free addresses.
    pub available: u32,
    /// Its tags.
    pub tags: Tags,
}

/// An instance to seed; it is running.
#[derive(Clone, Debug)]
pub struct InstanceSeed {
    /// Its subnet, which must exist.
    pub subnet_id: String,
    /// Its security groups.
    pub security_groups: Vec<String>,
    /// Its type.
    pub instance_type: String,
    /// Its tags.
    pub tags: Tags,
}

impl FakeAws {
    /// A VPC with an internet gateway, IPv4 and IPv6, and a public and a private subnet in each of the first
    /// `zones` zones. The `n`th VPC has 10.n.0.0/16.
    ///
    /// # Panics
    /// If `zones` is more than 6.
    pub fn seed_vpc(&self, zones: u8) -> SeededVpc {
        assert!(zones <= 6, "the region has zones a to f");
        let (id, number) = {
            let mut account = self.lock();
            let id = account.next_id("vpc");
            let number = u8::try_from(account.vpcs.len()).unwrap_or(u8::MAX);
            let vpc = Vpc {
                id: id.clone(),
                ipv4_cidrs: vec![ipv4_range(number, 0, 16)],
                ipv6_cidrs: vec![ipv6_range(number, 0, 56)],
                tags: Tags::new(),
            };
            account.vpcs.insert(id.clone(), vpc);
            account.internet_gateways.insert(id.clone());
            (id, number)
        };
        let subnet = |public: bool, zone: u8| {
            let third = if public { zone } else { 100 + zone };
            let role = if public { "kubernetes.io/role/elb" } else { "kubernetes.io/role/internal-elb" };
            self.seed_subnet(SubnetSeed {
                vpc_id: id.clone(),
                zone: char::from(b'a' + zone),
                ipv4: ipv4_range(number, third, 24),
                ipv6: Some(ipv6_range(number, third, 64)),
                public,
                available: 250,
                tags: Tags::from([(role.to_owned(), "1".to_owned())]),
            })
        };
        let public = (0..zones).map(|zone| subnet(true, zone)).collect();
        let private = (0..zones).map(|zone| subnet(false, zone)).collect();
        let node_group = self.seed_security_group(&id, &format!("nodes-{number}"), Tags::new(), Vec::new());
        SeededVpc { id, public, private, node_group }
    }

    /// Takes the internet gateway off a VPC.
    pub fn remove_internet_gateway(&self, vpc_id: &str) {
        self.lock().internet_gateways.remove(vpc_id);
    }

    /// A subnet with a route table of its own; returns its id.
    pub fn seed_subnet(&self, seed: SubnetSeed) -> String {
        let mut account = self.lock();
        let id = account.next_id("subnet");
        let zone = format!("{REGION}{}", seed.zone);
        let zone_id = format!("use1-az{}", u32::from(seed.zone) - u32::from('a') + 1);
        let kind = ZoneKind::AvailabilityZone;
        let new_zone = Zone { name: zone.clone(), id: zone_id, kind };
        account.zones.entry(zone.clone()).or_insert(new_zone);
        let table = RouteTable {
            id: account.next_id("rtb"),
            vpc_id: seed.vpc_id.clone(),
            main: false,
            subnet_ids: vec![id.clone()],
            gateway_ids: if seed.public {
                vec!["local".to_owned(), "igw-1".to_owned()]
            } else {
                vec!["local".to_owned()]
            },
        };
        account.route_tables.insert(table.id.clone(), table);
        let subnet = Subnet {
            id: id.clone(),
            vpc_id: seed.vpc_id,
            zone,
            ipv4_cidr: Some(seed.ipv4),
            ipv6_cidrs: seed.ipv6.into_iter().collect(),
            available_ipv4: seed.available,
            outpost_arn: None,
            tags: seed.tags,
        };
        account.subnets.insert(id.clone(), subnet);
        id
    }

    /// Changes a subnet as somebody else might.
    ///
    /// # Panics
    /// If there is no such subnet.
    pub fn change_subnet(&self, id: &str, change: impl FnOnce(&mut Subnet)) {
        change(self.lock().subnets.get_mut(id).expect("a seeded subnet"));
    }

    /// Changes the sort of a zone.
    ///
    /// # Panics
    /// If no subnet is in this zone.
    pub fn change_zone(&self, name: &str, kind: ZoneKind) {
        self.lock().zones.get_mut(name).expect("a zone with a subnet").kind = kind;
    }

    /// A running instance; returns its id.
    ///
    /// # Panics
    /// If its subnet does not exist.
    pub fn seed_instance(&self, seed: InstanceSeed) -> String {
        let mut account = self.lock();
        let id = account.next_id("i");
        let number = account.instances.len();
        let subnet = account.subnets.get(&seed.subnet_id).expect("a seeded subnet");
        let instance = Instance {
            id: id.clone(),
            state: InstanceState::Running,
            instance_type: seed.instance_type,
            zone: subnet.zone.clone(),
            vpc_id: Some(subnet.vpc_id.clone()),
            subnet_id: Some(seed.subnet_id),
            private_ipv4: subnet.ipv4_cidr.and_then(|range| range.hosts().nth(10 + number)),
            primary_ipv6: subnet.ipv6_cidrs.first().and_then(|range| range.hosts().nth(10 + number)),
            security_groups: seed.security_groups,
            tags: seed.tags,
        };
        account.instances.insert(id.clone(), instance);
        id
    }

    /// A running `m7g.large` in the first private subnets in turn, `count` of them, with the VPC's node group.
    pub fn seed_nodes(&self, vpc: &SeededVpc, count: usize) -> Vec<String> {
        let subnets = vpc.private.iter().cycle().take(count);
        let seed = |subnet: &String| InstanceSeed {
            subnet_id: subnet.clone(),
            security_groups: vec![vpc.node_group.clone()],
            instance_type: "m7g.large".to_owned(),
            tags: Tags::new(),
        };
        subnets.map(|subnet| self.seed_instance(seed(subnet))).collect()
    }

    /// Changes an instance as somebody else might: stops it, moves it.
    ///
    /// # Panics
    /// If there is no such instance.
    pub fn change_instance(&self, id: &str, change: impl FnOnce(&mut Instance)) {
        change(self.lock().instances.get_mut(id).expect("a seeded instance"));
    }

    /// Somebody else's security group; returns its id.
    pub fn seed_security_group(
        &self,
        vpc_id: &str,
        name: &str,
        tags: Tags,
        ingress: Vec<IngressRule>,
    ) -> String {
        let mut account = self.lock();
        let id = account.next_id("sg");
        let group = SecurityGroup {
            id: id.clone(),
            name: name.to_owned(),
            description: "made by somebody else".to_owned(),
            vpc_id: vpc_id.to_owned(),
            ingress: ingress.clone(),
            tags,
        };
        account.security_groups.insert(id.clone(), GroupRecord { group, hidden: Countdown::Over });
        account.seeded.insert(id.clone(), ingress);
        id
    }

    /// An Elastic IP that nobody uses; returns its allocation id.
    pub fn seed_elastic_ip(&self) -> String {
        let mut account = self.lock();
        let id = account.next_id("eipalloc");
        let last = u8::try_from(account.addresses.len() + 1).unwrap_or(u8::MAX);
        let address = Ipv4Addr::new(198, 51, 100, last);
        account.addresses.insert(id.clone(), ElasticIp { address, used_by: None });
        id
    }

    /// A certificate; returns its ARN.
    pub fn seed_certificate(&self) -> String {
        let mut account = self.lock();
        let number = account.next_number();
        let arn = format!("arn:aws:acm:{REGION}:{ACCOUNT}:certificate/{number:032x}");
        account.certificates.insert(arn.clone());
        arn
    }

    /// A prefix list that may have so many entries; returns its id.
    pub fn seed_prefix_list(&self, max_entries: usize) -> String {
        let mut account = self.lock();
        let id = account.next_id("pl");
        account.prefix_lists.insert(id.clone(), max_entries);
        id
    }

    /// Somebody else's load balancer, made like any other but not counted as ours.
    ///
    /// # Errors
    /// As for `CreateLoadBalancer`.
    pub async fn seed_load_balancer(&self, request: &CreateLoadBalancer) -> Result<LoadBalancer> {
        let made = self.create_load_balancer(request).await?;
        self.seeded(&made.arn);
        Ok(made)
    }

    /// Somebody else's target group, made like any other but not counted as ours.
    ///
    /// # Errors
    /// As for `CreateTargetGroup`.
    pub async fn seed_target_group(&self, request: &CreateTargetGroup) -> Result<TargetGroup> {
        let made = self.create_target_group(request).await?;
        self.seeded(&made.arn);
        Ok(made)
    }

    /// An endpoint service (PrivateLink) begins or ends using the load balancer.
    ///
    /// # Panics
    /// If there is no such load balancer.
    pub fn set_endpoint_service(&self, load_balancer_arn: &str, used: bool) {
        let mut account = self.lock();
        let record = account.load_balancers.get_mut(load_balancer_arn).expect("a load balancer");
        record.endpoint_service = used;
    }

    /// What becomes of a load balancer once AWS has made it: [`LoadBalancerState::Failed`], for example.
    ///
    /// # Panics
    /// If there is no such load balancer.
    pub fn set_outcome(&self, load_balancer_arn: &str, outcome: LoadBalancerState) {
        let mut account = self.lock();
        account.load_balancers.get_mut(load_balancer_arn).expect("a load balancer").outcome = outcome;
    }

    fn seeded(&self, arn: &str) {
        let mut account = self.lock();
        let AccountState { seeded, requests, .. } = &mut *account;
        seeded.insert(arn.to_owned(), Vec::new());
        // Seeding is not a request of the one under test.
        requests.pop();
    }

    /// The tags of everything of ELBv2, by ARN.
    pub fn all_tags(&self) -> BTreeMap<String, Tags> {
        let account = self.lock();
        let load_balancers = account.load_balancers.iter().map(|(arn, record)| (arn, &record.tags));
        let listeners = account.listeners.iter().map(|(arn, record)| (arn, &record.tags));
        let target_groups = account.target_groups.iter().map(|(arn, record)| (arn, &record.tags));
        let all = load_balancers.chain(listeners).chain(target_groups);
        all.map(|(arn, tags)| (arn.clone(), tags.clone())).collect()
    }
}

fn ipv4_range(second: u8, third: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(10, second, third, 0), length)
}

fn ipv6_range(vpc: u8, subnet: u8, length: u8) -> Ipv6Net {
    let third_and_fourth = [0x2001, 0x0db8, u16::from(vpc), u16::from(subnet), 0, 0, 0, 0];
    Ipv6Net::new_assert(third_and_fourth.into(), length)
}
