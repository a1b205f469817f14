//! A plan says what will happen: from what to what, rule by rule, by name, and what that costs the user.

use cloud_provider::testing::request;
use cloud_provider::{CloudLoadBalancer, Plan, ServiceView, Step, Verb};
use provider_aws::client::Elbv2;

use crate::fixture::{Cluster, PREFIX, a_cluster, nodes_of, web};

fn annotated(annotations: &[(&str, &str)]) -> ServiceView {
    let service = annotations
        .iter()
        .fold(web("web"), |service, (suffix, value)| service.annotation(&format!("{PREFIX}{suffix}"), value));
    service.build()
}

/// The plan from a Service that serves to another one.
async fn plan(cluster: &Cluster, after: &ServiceView) -> Plan {
    let mut service = web("web").source_ranges(["10.0.0.0/8"]).build();
    cluster.ready(&mut service).await;
    let mut edited = after.clone();
    edited.published.clone_from(&service.published);
    let plan = cluster.provider.plan(&cluster.request(&edited)).await.unwrap();
    println!("{plan}");
    plan
}

fn changes(plan: &Plan, field: &str) -> Vec<(String, String)> {
    let all = plan.steps.iter().flat_map(|step| &step.changes);
    all.filter(|change| change.field == field).map(|c| (c.from.clone(), c.to.clone())).collect()
}

fn pair(from: &str, to: &str) -> (String, String) {
    (from.to_owned(), to.to_owned())
}

#[tokio::test(start_paused = true)]
async fn who_may_connect_is_told_rule_by_rule() {
    let cluster = a_cluster(2).await;
    let plan = plan(&cluster, &web("web").source_ranges(["192.168.0.0/16"]).build()).await;
    let expected = [pair("", "tcp 80-80 from 192.168.0.0/16"), pair("tcp 80-80 from 10.0.0.0/8", "")];
    assert_eq!(changes(&plan, "Ingress"), expected);
}

#[tokio::test(start_paused = true)]
async fn attributes_are_told_from_what_to_what() {
    let cluster = a_cluster(2).await;
    let after = annotated(&[("attributes", "load_balancing.cross_zone.enabled=true")]);
    let plan = plan(&cluster, &after).await;
    assert_eq!(changes(&plan, "load_balancing.cross_zone.enabled"), [pair("false", "true")]);
}

#[tokio::test(start_paused = true)]
async fn reserved_capacity_is_told_from_what_to_what_and_changed_once() {
    let cluster = a_cluster(2).await;
    let mut service = annotated(&[("minimum-load-balancer-capacity", "CapacityUnits=3000")]);
    let before = plan(&cluster, &service).await;
    assert_eq!(changes(&before, "CapacityUnits"), [pair("none", "3000")]);
    cluster.ready(&mut service).await;
    let arn = cluster.load_balancer().await.arn;
    let reserved = cluster.aws.describe_capacity_reservation(&arn).await.unwrap();
    assert_eq!(reserved.minimum_units, Some(3000));
    let after = plan(&cluster, &service).await;
    assert_eq!(changes(&after, "CapacityUnits"), []);
}

#[tokio::test(start_paused = true)]
async fn targets_are_told_by_the_names_of_their_nodes() {
    let cluster = a_cluster(2).await;
    let mut service = web("web").build();
    cluster.ready(&mut service).await;
    let more = cluster.aws.seed_nodes(&cluster.vpc, 1);
    let nodes = nodes_of([&cluster.instances[0], &more[0]]);
    let plan = cluster.provider.plan(&request(&service, &nodes)).await.unwrap();
    let (old, new) = (&cluster.instances[1], &more[0]);
    let expected = [pair("", &format!("n0001 ({new}:30080)")), pair(&format!("{old}:30080"), "")];
    assert_eq!(changes(&plan, "Target"), expected);
}

#[tokio::test(start_paused = true)]
async fn certificates_are_told_one_by_one() {
    let cluster = a_cluster(2).await;
    let all: Vec<String> = (0..4).map(|_| cluster.aws.seed_certificate()).collect();
    let with = |certificates: &[&String]| {
        let list: Vec<&str> = certificates.iter().map(|arn| arn.as_str()).collect();
        annotated(&[("ssl-cert", &list.join(","))])
    };
    let mut service = with(&[&all[0], &all[1]]);
    cluster.ready(&mut service).await;
    let mut edited = with(&[&all[2], &all[3]]);
    edited.published.clone_from(&service.published);
    let plan = cluster.provider.plan(&cluster.request(&edited)).await.unwrap();
    println!("{plan}");
    let expected = [pair(&all[0], &all[2]), pair("", &all[3]), pair(&all[1], "")];
    assert_eq!(changes(&plan, "Certificate"), expected);
}

#[tokio::test(start_paused = true)]
async fn a_replacement_tells_the_old_and_the_new_and_that_the_host_name_changes() {
    let cluster = a_cluster(2).await;
    let plan = plan(&cluster, &annotated(&[("scheme", "internet-facing")])).await;
    let replaces = |step: &&Step| step.verb == Verb::Replace && step.kind == "load balancer";
    let step = plan.steps.iter().find(replaces).expect("a replacement");
    assert!(step.reason.contains("the host name changes"), "{}", step.reason);
    let old = cluster.load_balancer().await;
    assert_eq!(changes(&plan, "Scheme"), [pair("internal", "internet-facing")]);
    let moved = (in_zones(&cluster.vpc.private), in_zones(&cluster.vpc.public));
    assert_eq!(changes(&plan, "Subnets"), [moved]);
    let host = changes(&plan, "HostName");
    assert_eq!(host.first().map(|(from, _)| from.as_str()), Some(old.dns_name.to_lowercase().as_str()));
}

/// Subnets of the first zones, as a plan tells them.
fn in_zones(subnets: &[String]) -> String {
    let shown = subnets.iter().zip('a'..).map(|(id, zone)| format!("{id} (us-east-1{zone})"));
    shown.collect::<Vec<_>>().join(", ")
}

#[tokio::test(start_paused = true)]
async fn subnets_are_told_from_which_to_which() {
    let cluster = a_cluster(2).await;
    let private = &cluster.vpc.private;
    let mut service = annotated(&[("subnets", &private[..2].join(","))]);
    cluster.ready(&mut service).await;
    let mut edited = annotated(&[("subnets", &private.join(","))]);
    edited.published.clone_from(&service.published);
    let plan = cluster.provider.plan(&cluster.request(&edited)).await.unwrap();
    assert_eq!(changes(&plan, "Subnets"), [(in_zones(&private[..2]), in_zones(private))]);
}

#[tokio::test(start_paused = true)]
async fn as_data_a_plan_says_the_same_as_in_words() {
    let cluster = a_cluster(2).await;
    let plan = plan(&cluster, &annotated(&[("scheme", "internet-facing")])).await;
    let data = serde_json::to_value(&plan).expect("a plan is data");
    let words = |step: &serde_json::Value| {
        let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
        let sign = match text(&step["verb"]).as_str() {
            "create" => "+",
            "change" => "~",
            "replace" => "±",
            "delete" => "-",
            other => panic!("{other}"),
        };
        let mut words =
            format!("{sign} {} {}: {}", text(&step["kind"]), text(&step["resource"]), text(&step["reason"]));
        for change in step["changes"].as_array().into_iter().flatten() {
            let (field, from, to) = (text(&change["field"]), text(&change["from"]), text(&change["to"]));
            words.push_str(&format!("\n    {field}: {from:?} -> {to:?}"));
        }
        words
    };
    let steps: Vec<String> = data["steps"].as_array().expect("steps").iter().map(words).collect();
    assert_eq!(steps.join("\n"), plan.to_string());
    assert!(plan.to_string().contains("± "), "{plan}");
}
