//! `plan` at AWS, of Services that serve and are about to change; what it prints is kept in `docs/output`.

use serde_json::{Value, json};
use tests::aws::{Endpoint, NOTHING, StrictAws};
use tests::recorded::matches_the_docs;

use crate::fixture::Fixture;
use crate::program::Access;

/// One with three zones at every emulator.
const REGION: &str = "us-east-1";

const PREFIX: &str = "service.beta.kubernetes.io/aws-load-balancer-";

/// These annotations of load balancers.
fn annotations(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(suffix, value)| (format!("{PREFIX}{suffix}"), json!(value))).collect()
}

/// One port whose node port is the same in each run.
fn port(node_port: u16) -> Value {
    json!([{ "name": "http", "port": 80, "nodePort": node_port }])
}

/// What was printed, with names that do not change from run to run.
fn steady(fixture: &Fixture, instances: &[String], printed: &str) -> String {
    let mut text = printed.replace(&fixture.cluster.namespace, "default").replace(&fixture.name, "blue");
    for (kind, subnets) in [("private", &fixture.network.private), ("public", &fixture.network.public)] {
        for (subnet, letter) in subnets.iter().zip('a'..) {
            text = text.replace(&subnet.id, &format!("subnet-{kind}-{letter}"));
            text = text.replace(&subnet.zone, &format!("{REGION}{letter}"));
        }
    }
    for (instance, letter) in instances.iter().zip('a'..) {
        text = text.replace(instance, &format!("i-0{letter}"));
    }
    // One of each name for another, so that it shows what is the same and what is not.
    let name = regex_lite::Regex::new(r"k8s-[a-z0-9]+-(web|shop|mail)-[0-9a-f]{10}").expect("a pattern");
    let mut names: Vec<(String, String)> = Vec::new();
    for found in name.captures_iter(&text) {
        if names.iter().all(|(random, _)| *random != found[0]) {
            names.push((found[0].to_owned(), format!("k8s-default-{}-{:010}", &found[1], names.len())));
        }
    }
    for (random, steady) in &names {
        text = text.replace(random, steady);
    }
    for (random, steady) in [
        (r"(loadbalancer/net|targetgroup)/([a-z0-9-]+)/[0-9a-f]+", "$1/$2/0a"),
        (r"\bsg-[0-9a-f]{8,}\b", "sg-0a"),
        (r"\b[0-9a-f]{32}\b", "0123456789abcdef"),
    ] {
        let random = regex_lite::Regex::new(random).expect("a pattern");
        text = random.replace_all(&text, steady).into_owned();
    }
    text
}

#[tokio::test]
async fn the_plan_at_aws_is_as_documented() {
    let emulator = Endpoint::start_in(REGION).await;
    let strict = StrictAws::before(&emulator.url).await;
    let fixture = Fixture::at(Endpoint::at(strict.url(), REGION).await).await;
    let mut instances = vec![fixture.add_node("n1").await, fixture.add_node("n2").await];
    let running = fixture.run();
    let two_zones = format!("{},{}", fixture.network.private[0].id, fixture.network.private[1].id);
    let web = annotations(&[("subnets", &two_zones)]);
    let wanted = json!({
        "metadata": { "annotations": web },
        "spec": { "ports": port(30080), "loadBalancerSourceRanges": ["10.0.0.0/8"] },
    });
    fixture.create("web", wanted).await;
    fixture.served("web").await;
    fixture.create("shop", json!({ "spec": { "ports": port(30081) } })).await;
    fixture.served("shop").await;
    running.stop().await;

    fixture.remove_node("n2").await;
    instances.push(fixture.add_node("n3").await);
    let three_zones = format!("{two_zones},{}", fixture.network.private[2].id);
    let edited = annotations(&[
        ("subnets", &three_zones),
        ("attributes", "load_balancing.cross_zone.enabled=true"),
        ("healthcheck-interval", "30"),
        (
            "ssl-cert",
            "arn:aws:acm:us-east-1:123456789012:certificate/web,arn:aws:acm:us-east-1:123456789012:certificate/old",
        ),
    ]);
    let edited = json!({ "metadata": { "annotations": edited }, "spec": { "loadBalancerSourceRanges": ["192.168.0.0/16"] } });
    fixture.cluster.change("web", edited).await;
    let public = annotations(&[("scheme", "internet-facing")]);
    fixture.cluster.change("shop", json!({ "metadata": { "annotations": public } })).await;
    fixture.create("mail", json!({ "spec": { "ports": port(30082) } })).await;

    let access = Access::to(&fixture);
    let name = format!("--cluster-name={}", fixture.name);
    for (format, file) in [("text", "plan-aws.txt"), ("json", "plan-aws.json")] {
        let said = access.run(&["plan", "--all", "--cloud-provider=aws", &name, "-o", format], &[]).await;
        assert_eq!(said.code, Some(2), "{said:?}");
        matches_the_docs(file, &steady(&fixture, &instances, &said.output));
    }
    assert_eq!(strict.refused(), NOTHING);
}
