//! What it costs in requests to AWS, counted on the strict AWS and kept in the README as printed here.

use std::fmt::Write as _;
use std::sync::Arc;

use cloud_provider::testing::request;
use cloud_provider::{CloudLoadBalancer, ServiceView};
use provider_aws::client::fake::Quotas;
use provider_aws::client::{Call, SharingOptions};

use crate::fixture::{Cluster, a_cluster, nodes_of, web};

const BEGIN: &str = "<!-- cost: begin -->\n";
const END: &str = "<!-- cost: end -->";

const SEQUENCES_BEGIN: &str = "<!-- sequences: begin -->\n";
const SEQUENCES_END: &str = "<!-- sequences: end -->";

struct Row {
    what: &'static str,
    requests: Vec<Call>,
    at_most: usize,
    peers: &'static str,
}

async fn services(cluster: &Cluster, count: usize) -> Vec<ServiceView> {
    cluster.aws.set_quotas(Quotas::with(|quotas| {
        quotas.load_balancers = 5000;
        quotas.interfaces_per_vpc = 15_000;
    }));
    let mut services: Vec<ServiceView> = (0..count).map(|i| web(&format!("s{i}")).build()).collect();
    for service in &mut services {
        cluster.ready(service).await;
    }
    services
}

async fn create_and_delete() -> [Row; 2] {
    let cluster = a_cluster(3).await;
    // Others have been served, so that subnets, instances and the nodes' groups are known.
    services(&cluster, 2).await;
    let service = web("web").build();
    let (outcome, create) = cluster.requests(cluster.ensure(&service)).await;
    outcome.unwrap();
    let (result, delete) = cluster.requests(cluster.provider.delete(&service.id)).await;
    result.unwrap();
    [
        Row { what: "create: 1 port, 3 nodes, warm caches", requests: create, at_most: 10, peers: "23 / 18" },
        Row { what: "delete", requests: delete, at_most: 6, peers: "10 / 11" },
    ]
}

async fn resync(cluster: &Cluster, services: &[ServiceView]) -> Vec<Call> {
    tokio::time::advance(cluster.config.snapshot_age * 2).await;
    let all = async {
        for service in services {
            cluster.ensure(service).await.unwrap();
        }
    };
    cluster.requests(all).await.1
}

async fn steady_one() -> Row {
    let cluster = a_cluster(3).await;
    let services = services(&cluster, 1).await;
    resync(&cluster, &services).await;
    let requests = resync(&cluster, &services).await;
    Row {
        what: "steady resync of 1 Service",
        requests,
        at_most: 3,
        peers: "none; 12 / 11 when something makes them look",
    }
}

/// One more node, which each Service gets as a target.
async fn join(cluster: &mut Cluster, services: &[ServiceView]) -> Vec<Call> {
    cluster.instances.extend(cluster.aws.seed_nodes(&cluster.vpc, 1));
    let nodes = nodes_of(&cluster.instances);
    let all = async {
        for service in services {
            cluster.provider.update_backends(&request(service, &nodes)).await.unwrap();
        }
    };
    cluster.requests(all).await.1
}

/// A node joins while nothing was asked for a while, another one after it, and the Services are looked at the next time.
async fn nodes_join() -> [Row; 3] {
    let mut cluster = a_cluster(3).await;
    let services = services(&cluster, 100).await;
    resync(&cluster, &services).await;
    tokio::time::advance(SharingOptions::default().keep_security_groups).await;
    let joins = join(&mut cluster, &services).await;
    tokio::time::advance(SharingOptions::default().keep_security_groups).await;
    let another = join(&mut cluster, &services).await;
    let next_look = resync(&cluster, &services).await;
    [
        Row {
            what: "one node joins, 100 Services of 1 port",
            requests: joins,
            at_most: 206,
            peers: "about 200 / 1400",
        },
        Row {
            what: "another one joins before they are looked at",
            requests: another,
            at_most: 106,
            peers: "about 200 / 1400",
        },
        Row {
            what: "the next look at those 100 Services, with a note on each",
            requests: next_look,
            at_most: 102,
            peers: "none",
        },
    ]
}

async fn thousand() -> [Row; 2] {
    let mut cluster = a_cluster(3).await;
    let services = services(&cluster, 1000).await;
    resync(&cluster, &services).await;
    let steady = resync(&cluster, &services).await;
    let shared: Vec<Arc<ServiceView>> = services.iter().cloned().map(Arc::new).collect();
    let before = cluster.aws.requests().len();
    cluster.restart(&shared).await;
    for service in &services {
        cluster.ensure(service).await.unwrap();
    }
    let leader = cluster.aws.requests().split_off(before);
    [
        Row {
            what: "steady resync of 1,000 Services",
            requests: steady,
            at_most: 150,
            peers: "none; 12000 / 11000 when something makes them look",
        },
        Row {
            what: "leader change with 1,000 Services",
            requests: leader,
            at_most: 60,
            peers: "about 18600 / 12100",
        },
    ]
}

fn print(rows: &[Row]) -> String {
    let mut table = String::from(
        "| what | reads | writes | in all | target | peers (ALBC / CPA) |\n|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let all = row.requests.len();
        let writes = row.requests.iter().filter(|call| call.is_write()).count();
        writeln!(
            table,
            "| {} | {} | {writes} | {all} | {} | {} |",
            row.what,
            all - writes,
            row.at_most,
            row.peers
        )
        .unwrap();
    }
    table
}

/// What the peers ask, as counted at a proxy before an emulator (the AWS Load Balancer Controller 3.5, cloud-provider-aws
/// 1.37.1 with managed groups), and as read in their source (at 225f44568 and 63ec440c).
const PEERS: [(&str, &str, &str); 4] = [
    (
        "create: 1 port, 3 nodes, warm caches",
        "DescribeLoadBalancers ×2, DescribeTargetGroups ×2, DescribeSubnets, DescribeSecurityGroups ×4, \
         CreateSecurityGroup, AuthorizeSecurityGroupIngress ×2, CreateTargetGroup, DescribeTargetGroupAttributes, \
         CreateLoadBalancer, DescribeLoadBalancerAttributes, DescribeListeners, CreateListener, \
         DescribeListenerAttributes, DescribeRules, DescribeTags, DescribeInstances, DescribeTargetHealth, \
         RegisterTargets",
        "DescribeInstances, DescribeSubnets ×2, DescribeRouteTables, DescribeAvailabilityZones, \
         DescribeLoadBalancers ×2, CreateLoadBalancer, CreateTargetGroup, RegisterTargets, CreateListener, \
         DescribeLoadBalancerAttributes, DescribeSecurityGroups ×3, AuthorizeSecurityGroupIngress ×2",
    ),
    (
        "steady resync of 1 Service",
        "DescribeLoadBalancers ×3, DescribeTargetGroups, DescribeTargetGroupAttributes, \
         DescribeLoadBalancerAttributes, DescribeListeners, DescribeListenerAttributes, DescribeRules, \
         DescribeSubnets, DescribeSecurityGroups ×2",
        "about 11",
    ),
    (
        "one node joins, 100 Services of 1 port",
        "for each target group RegisterTargets and up to one DescribeTargetHealth; for all DescribeInstances and up to \
         one DescribeSecurityGroups",
        "about 14 for each Service: all of it is ensured again",
    ),
    (
        "delete",
        "DescribeSecurityGroups ×2, DescribeTargetGroups, DescribeLoadBalancers, DeleteLoadBalancer, \
         DescribeTargetHealth, DeregisterTargets, RevokeSecurityGroupIngress, DeleteTargetGroup, DeleteSecurityGroup, \
         the last two again until AWS lets go",
        "about 10",
    ),
];

/// The requests in the order they were first made, with their number.
fn sequence(requests: &[Call]) -> String {
    let mut counted: Vec<(Call, usize)> = Vec::new();
    for call in requests {
        match counted.iter_mut().find(|(known, _)| known == call) {
            Some((_, count)) => *count += 1,
            None => counted.push((*call, 1)),
        }
    }
    let show = |(call, count): &(Call, usize)| match count {
        1 => call.name().to_owned(),
        _ => format!("{} ×{count}", call.name()),
    };
    counted.iter().map(show).collect::<Vec<_>>().join(", ")
}

fn print_sequences(rows: &[Row]) -> String {
    let mut table = String::from(
        "| what | ours | AWS Load Balancer Controller | cloud-provider-aws |\n|---|---|---|---|\n",
    );
    for (what, aws_lbc, cloud_provider) in PEERS {
        let row = rows.iter().find(|row| row.what == what).expect("a row of the same name");
        writeln!(table, "| {what} | {} | {aws_lbc} | {cloud_provider} |", sequence(&row.requests)).unwrap();
    }
    table
}

/// The README with the text between two marks as it is now.
fn with_part(readme: &str, begin: &str, end: &str, part: &str) -> String {
    let (head, rest) = readme.split_once(begin).expect("a place for the table");
    let (_, tail) = rest.split_once(end).expect("its end");
    format!("{head}{begin}{part}{end}{tail}")
}

#[tokio::test(start_paused = true)]
async fn requests_stay_within_their_targets_and_the_readme_says_how_many_they_are() {
    let [create, delete] = create_and_delete().await;
    let [steady, leader] = thousand().await;
    let [joins, another, next_look] = nodes_join().await;
    let rows = [create, delete, steady_one().await, steady, leader, joins, another, next_look];
    let table = print(&rows);
    let sequences = print_sequences(&rows);
    println!("{table}\n{sequences}");
    for row in &rows {
        assert!(row.requests.len() <= row.at_most, "{}: {:?}", row.what, row.requests);
    }
    for row in rows.iter().filter(|row| row.what.contains("steady") || row.what.contains("leader")) {
        assert!(row.requests.iter().all(|call| !call.is_write()), "{}", row.what);
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let current = with_part(&readme, BEGIN, END, &table);
    let current = with_part(&current, SEQUENCES_BEGIN, SEQUENCES_END, &sequences);
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(path, current).unwrap();
    } else {
        assert_eq!(readme, current, "run this test with UPDATE_README=1");
    }
}
