//! An AWS endpoint for tests: whose it is, what is there before, and what is left afterwards.
//!
//! Where `AWS_ENDPOINT_URL` names an endpoint, that one is used; otherwise `localstack/up` starts one for
//! this process, which ends with it. Credentials are dummies and always given, so that no test can reach an
//! account.

mod endpoint;
mod strict;

use aws_sdk_ec2::types::{Filter, InstanceType, ResourceType, Tag, TagSpecification};
use aws_sdk_elasticloadbalancingv2::error::ProvideErrorMetadata;
use aws_sdk_elasticloadbalancingv2::types as elbv2;

pub use endpoint::{ENDPOINT_URL, Endpoint};
pub use strict::StrictAws;

/// What [`Network::leftovers`] should be when everything was removed.
pub const NOTHING: [String; 0] = [];

/// A VPC as a cluster's would be: public and private subnets in three zones, and a security group for nodes.
#[derive(Debug)]
pub struct Network {
    /// Where it is.
    pub endpoint: Endpoint,
    /// The VPC.
    pub vpc: String,
    /// Public subnets, one a zone, tagged for internet-facing load balancers.
    pub public: Vec<Subnet>,
    /// Private subnets, one a zone, tagged for internal load balancers.
    pub private: Vec<Subnet>,
    /// The security group of the nodes, tagged as the cluster's.
    pub node_group: String,
}

/// A subnet of a [`Network`].
#[derive(Clone, Debug)]
pub struct Subnet {
    /// Its id.
    pub id: String,
    /// Its zone.
    pub zone: String,
}

/// How many zones a network has.
const ZONES: u8 = 3;

impl Network {
    /// Makes one for a cluster of this name.
    ///
    /// # Panics
    /// When the endpoint refuses something.
    pub async fn seed(endpoint: &Endpoint, cluster: &str) -> Self {
        let ec2 = &endpoint.ec2;
        let made = ec2.create_vpc().cidr_block("10.0.0.0/16").send().await.expect("a VPC");
        let vpc = made.vpc().and_then(|vpc| vpc.vpc_id()).expect("its id").to_owned();
        let made = ec2.create_internet_gateway().send().await.expect("an internet gateway");
        let gateway = made.internet_gateway().and_then(|g| g.internet_gateway_id()).expect("its id");
        ec2.attach_internet_gateway()
            .vpc_id(&vpc)
            .internet_gateway_id(gateway)
            .send()
            .await
            .expect("it is attached");
        let zones = ec2.describe_availability_zones().send().await.expect("the zones");
        let zones = zones.availability_zones().iter().filter_map(|zone| zone.zone_name());
        let mut network = Network {
            endpoint: endpoint.clone(),
            node_group: node_group(ec2, &vpc, cluster).await,
            vpc,
            public: Vec::new(),
            private: Vec::new(),
        };
        for (number, zone) in (0..ZONES).zip(zones) {
            let public = network.subnet(zone, &format!("10.0.{number}.0/24"), "elb", Some(gateway)).await;
            network.public.push(public);
            let private =
                network.subnet(zone, &format!("10.0.{}.0/24", 100 + number), "internal-elb", None).await;
            network.private.push(private);
        }
        network
    }

    /// A subnet with a route table of its own, which leads to the internet if there is a gateway.
    async fn subnet(&self, zone: &str, range: &str, role: &str, gateway: Option<&str>) -> Subnet {
        let ec2 = &self.endpoint.ec2;
        let made = ec2
            .create_subnet()
            .vpc_id(&self.vpc)
            .availability_zone(zone)
            .cidr_block(range)
            .tag_specifications(tags(ResourceType::Subnet, &[(&format!("kubernetes.io/role/{role}"), "1")]))
            .send()
            .await
            .expect("a subnet");
        let id = made.subnet().and_then(|subnet| subnet.subnet_id()).expect("its id").to_owned();
        let made = ec2.create_route_table().vpc_id(&self.vpc).send().await.expect("a route table");
        let table = made.route_table().and_then(|table| table.route_table_id()).expect("its id");
        ec2.associate_route_table()
            .route_table_id(table)
            .subnet_id(&id)
            .send()
            .await
            .expect("the subnet has its route table");
        if let Some(gateway) = gateway {
            ec2.create_route()
                .route_table_id(table)
                .destination_cidr_block("0.0.0.0/0")
                .gateway_id(gateway)
                .send()
                .await
                .expect("the subnet is public");
        }
        Subnet { id, zone: zone.to_owned() }
    }

    /// Starts an instance in the `number`th private subnet, counted round; returns its node's provider ID.
    ///
    /// # Panics
    /// When the endpoint refuses it.
    pub async fn launch(&self, number: usize) -> String {
        let ec2 = &self.endpoint.ec2;
        let subnet = &self.private[number % self.private.len()];
        // One kind of image: emulators know more than a thousand, and take seconds to list them.
        let kind = Filter::builder().name("name").values("amzn2-ami-hvm*").build();
        let images = ec2.describe_images().owners("amazon").filters(kind).send().await.expect("the images");
        let image = images.images().first().and_then(|image| image.image_id()).expect("an image");
        let made = ec2
            .run_instances()
            .image_id(image)
            .instance_type(InstanceType::T3Micro)
            .min_count(1)
            .max_count(1)
            .subnet_id(&subnet.id)
            .security_group_ids(&self.node_group)
            .send()
            .await
            .expect("an instance");
        let id = made.instances().first().and_then(|instance| instance.instance_id()).expect("its id");
        format!("aws:///{}/{id}", subnet.zone)
    }

    /// Adds tags to a resource of EC2.
    ///
    /// # Panics
    /// When the endpoint refuses them.
    pub async fn tag(&self, id: &str, pairs: &[(&str, &str)]) {
        let tags = pairs.iter().map(|(key, value)| Tag::builder().key(*key).value(*value).build());
        let request = self.endpoint.ec2.create_tags().resources(id).set_tags(Some(tags.collect()));
        request.send().await.expect("it is tagged");
    }

    /// Ends an instance.
    ///
    /// # Panics
    /// When the endpoint refuses it.
    pub async fn terminate(&self, instance: &str) {
        self.endpoint.ec2.terminate_instances().instance_ids(instance).send().await.expect("it is ended");
    }

    /// What there is in this network that was not seeded, a line each: all that a controller made and did not
    /// remove.
    ///
    /// # Panics
    /// When the endpoint does not answer.
    pub async fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        for balancer in self.load_balancers().await {
            left.push(format!("load balancer {}", balancer.name));
            let listeners = balancer.listeners.iter().filter_map(|listener| listener.listener_arn());
            left.extend(listeners.map(|arn| format!("listener {arn}")));
        }
        for group in self.target_groups().await {
            left.push(format!("target group {}", group.target_group_name().unwrap_or_default()));
        }
        for group in self.security_groups().await {
            let (id, name) = (group.group_id().unwrap_or_default(), group.group_name().unwrap_or_default());
            if id == self.node_group {
                let rules = group.ip_permissions().iter();
                left.extend(rules.map(|rule| format!("rule of the nodes' security group: {rule:?}")));
            } else if name != "default" {
                left.push(format!("security group {name}"));
            }
        }
        left
    }

    /// The load balancers in this network, by name.
    ///
    /// # Panics
    /// When the endpoint does not answer.
    pub async fn load_balancers(&self) -> Vec<LoadBalancer> {
        let elbv2 = &self.endpoint.elbv2;
        let pages = elbv2.describe_load_balancers().into_paginator().items().send();
        let mut found = Vec::new();
        for balancer in pages.try_collect().await.expect("the load balancers") {
            if balancer.vpc_id() == Some(&self.vpc)
                && let Some(balancer) = LoadBalancer::read(elbv2, balancer).await
            {
                found.push(balancer);
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }

    /// The target groups in this network.
    async fn target_groups(&self) -> Vec<elbv2::TargetGroup> {
        let pages = self.endpoint.elbv2.describe_target_groups().into_paginator().items().send();
        let mut found = pages.try_collect().await.expect("the target groups");
        found.retain(|group| group.vpc_id() == Some(&self.vpc));
        found
    }

    /// An attribute of a load balancer.
    ///
    /// # Panics
    /// When the endpoint does not answer, or there is no such load balancer.
    pub async fn attribute(&self, arn: &str, key: &str) -> Option<String> {
        let described =
            self.endpoint.elbv2.describe_load_balancer_attributes().load_balancer_arn(arn).send().await;
        let described = described.expect("its attributes");
        let found = described.attributes().iter().find(|attribute| attribute.key() == Some(key))?;
        found.value().map(str::to_owned)
    }

    /// The IPv4 ranges from which security groups let traffic in, sorted, each once.
    ///
    /// # Panics
    /// When the endpoint does not answer.
    pub async fn sources(&self, groups: &[String]) -> Vec<String> {
        let all = self.security_groups().await;
        let these =
            all.iter().filter(|group| group.group_id().is_some_and(|id| groups.iter().any(|g| g == id)));
        let rules = these
            .flat_map(aws_sdk_ec2::types::SecurityGroup::ip_permissions)
            .flat_map(aws_sdk_ec2::types::IpPermission::ip_ranges);
        let mut ranges = sorted(rules.filter_map(|range| range.cidr_ip().map(str::to_owned)));
        ranges.dedup();
        ranges
    }

    /// The security groups in this network, those that were seeded among them.
    ///
    /// # Panics
    /// When the endpoint does not answer.
    pub async fn security_groups(&self) -> Vec<aws_sdk_ec2::types::SecurityGroup> {
        let here = Filter::builder().name("vpc-id").values(&self.vpc).build();
        let pages =
            self.endpoint.ec2.describe_security_groups().filters(here).into_paginator().items().send();
        pages.try_collect().await.expect("the security groups")
    }
}

async fn node_group(ec2: &aws_sdk_ec2::Client, vpc: &str, cluster: &str) -> String {
    let owned = format!("kubernetes.io/cluster/{cluster}");
    let made = ec2
        .create_security_group()
        .vpc_id(vpc)
        .group_name("nodes")
        .description("The nodes of a cluster")
        .tag_specifications(tags(ResourceType::SecurityGroup, &[(&owned, "owned")]))
        .send()
        .await
        .expect("a security group");
    made.group_id().expect("its id").to_owned()
}

fn tags(kind: ResourceType, pairs: &[(&str, &str)]) -> TagSpecification {
    let tags = pairs.iter().map(|(key, value)| Tag::builder().key(*key).value(*value).build());
    TagSpecification::builder().resource_type(kind).set_tags(Some(tags.collect())).build()
}

/// The instance of a node's provider ID.
pub fn instance_id(provider_id: &str) -> &str {
    provider_id.rsplit('/').next().unwrap_or(provider_id)
}

/// A load balancer as the endpoint shows it, with all that hangs on it.
#[derive(Clone, Debug)]
pub struct LoadBalancer {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Its host name.
    pub host_name: String,
    /// `internal` or `internet-facing`.
    pub scheme: String,
    /// Its subnets, sorted.
    pub subnets: Vec<String>,
    /// Its security groups.
    pub security_groups: Vec<String>,
    /// Its tags, sorted.
    pub tags: Vec<(String, String)>,
    /// Its listeners, by port.
    pub listeners: Vec<elbv2::Listener>,
    /// Its target groups with the instances and ports registered, by the group's port.
    pub target_groups: Vec<(elbv2::TargetGroup, Vec<(String, i32)>)>,
}

impl LoadBalancer {
    /// None when something of it was deleted while it was read.
    async fn read(
        elbv2: &aws_sdk_elasticloadbalancingv2::Client,
        shown: elbv2::LoadBalancer,
    ) -> Option<Self> {
        let arn = shown.load_balancer_arn().unwrap_or_default().to_owned();
        let pages = elbv2.describe_listeners().load_balancer_arn(&arn).into_paginator().items().send();
        let mut listeners = still_there(pages.try_collect().await)?;
        listeners.sort_by_key(elbv2::Listener::port);
        let pages = elbv2.describe_target_groups().load_balancer_arn(&arn).into_paginator().items().send();
        let mut target_groups = Vec::new();
        for group in still_there(pages.try_collect().await)? {
            let health = elbv2.describe_target_health().set_target_group_arn(group.target_group_arn.clone());
            let health = still_there(health.send().await)?;
            let targets = health.target_health_descriptions().iter().filter_map(|health| health.target());
            let mut targets: Vec<(String, i32)> = targets
                .map(|t| (t.id().unwrap_or_default().to_owned(), t.port().unwrap_or_default()))
                .collect();
            targets.sort();
            target_groups.push((group, targets));
        }
        target_groups.sort_by_key(|(group, _)| group.port());
        let described = still_there(elbv2.describe_tags().resource_arns(&arn).send().await)?;
        let tags = described
            .tag_descriptions()
            .iter()
            .flat_map(aws_sdk_elasticloadbalancingv2::types::TagDescription::tags);
        let tags =
            tags.map(|tag| (tag.key().unwrap_or_default().into(), tag.value().unwrap_or_default().into()));
        let subnets = shown.availability_zones().iter().filter_map(|zone| zone.subnet_id());
        Some(LoadBalancer {
            name: shown.load_balancer_name().unwrap_or_default().to_owned(),
            host_name: shown.dns_name().unwrap_or_default().to_owned(),
            scheme: shown.scheme().map(|scheme| scheme.as_str().to_owned()).unwrap_or_default(),
            subnets: sorted(subnets.map(str::to_owned)),
            security_groups: shown.security_groups().to_vec(),
            tags: sorted(tags),
            arn,
            listeners,
            target_groups,
        })
    }

    /// Its listeners as `PROTOCOL:PORT`, by port.
    pub fn ports(&self) -> Vec<String> {
        let shown = self.listeners.iter().map(|listener| {
            let protocol = listener.protocol().map(elbv2::ProtocolEnum::as_str).unwrap_or_default();
            format!("{protocol}:{}", listener.port().unwrap_or_default())
        });
        shown.collect()
    }

    /// The instances that every one of its target groups has; none if they differ.
    pub fn instances(&self) -> Option<Vec<String>> {
        let mut all = self
            .target_groups
            .iter()
            .map(|(_, targets)| targets.iter().map(|(instance, _)| instance.clone()).collect::<Vec<_>>());
        let first = all.next()?;
        all.all(|other| other == first).then_some(first)
    }
}

/// What a request about a resource brought; none when the resource does not exist any more.
fn still_there<T, E: ProvideErrorMetadata + std::fmt::Debug>(result: Result<T, E>) -> Option<T> {
    match result {
        Ok(found) => Some(found),
        Err(error) if error.code().is_some_and(|code| code.ends_with("NotFound")) => None,
        Err(error) => panic!("the endpoint failed: {error:?}"),
    }
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort();
    items
}
