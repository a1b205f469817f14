//! `doctor` at AWS, in good and in bad health; what it prints is kept in `docs/output`.

use std::fs;

use serde_json::json;
use tests::aws::{Endpoint, StrictAws};
use tests::recorded::matches_the_docs;
use tests::refusals::Refusals;

use crate::fixture::Fixture;
use crate::program::{Access, Said};

/// One with three zones at every emulator.
const REGION: &str = "us-east-1";

/// A cluster before an emulator that answers every question of doctor's as EC2 does.
async fn a_world() -> (StrictAws, Fixture) {
    let emulator = Endpoint::start_in(REGION).await;
    let strict = StrictAws::before(&emulator.url).await;
    let endpoint = Endpoint::at(strict.url(), REGION).await;
    (strict, Fixture::at(endpoint).await)
}

async fn doctor(fixture: &Fixture, environment: &[(&str, &str)]) -> Said {
    Access::to(fixture).run(&["doctor", "--cloud-provider=aws"], environment).await
}

/// What was printed, with names that do not change from run to run.
fn steady(fixture: &Fixture, said: &Said) -> String {
    let mut text = said.output.replace(&fixture.name, "blue").replace(&fixture.network.vpc, "vpc-0a");
    for (kind, subnets) in [("private", &fixture.network.private), ("public", &fixture.network.public)] {
        for (subnet, letter) in subnets.iter().zip('a'..) {
            text = text.replace(&subnet.id, &format!("subnet-{kind}-{letter}"));
            text = text.replace(&subnet.zone, &format!("{REGION}{letter}"));
        }
    }
    let version = regex_lite::Regex::new(r"Kubernetes v\S+ answers").expect("a pattern");
    let text = version.replace(&text, "Kubernetes v1.37.2 answers");
    let instance = regex_lite::Regex::new(r"\bi-[0-9a-f]{17}\b").expect("a pattern");
    instance.replace_all(&text, "i-0a").into_owned()
}

/// The lines about one thing.
fn about<'a>(said: &'a Said, subject: &str) -> Vec<&'a str> {
    said.output.lines().filter(|line| line.split_whitespace().nth(1) == Some(subject)).collect()
}

#[tokio::test]
async fn a_cluster_that_is_well_passes() {
    let (_strict, fixture) = a_world().await;
    for name in ["n1", "node2"] {
        let id = fixture.add_node(name).await;
        fixture.network.tag(&id, &[("eks:cluster-name", &fixture.name)]).await;
    }

    let said = doctor(&fixture, &[]).await;

    assert_eq!(said.code, Some(0), "{said:?}");
    // Which of the two instances is named depends on their ids, and so does the order of the subnets.
    matches_the_docs("doctor-aws.txt", &in_order(&steady(&fixture, &said)));
}

#[tokio::test]
async fn what_is_wrong_at_aws_is_a_line_each_that_says_how_to_mend_it() {
    let (_strict, fixture) = a_world().await;
    fixture.add_node("n1").await;
    fixture.cluster.add_node_with("odd", json!({ "spec": { "providerID": "elsewhere://machine" } })).await;
    for subnet in &fixture.network.public {
        fixture.network.tag(&subnet.id, &[("kubernetes.io/role/elb", "0")]).await;
    }
    for subnet in &fixture.network.private {
        fixture.network.tag(&subnet.id, &[("kubernetes.io/cluster/green", "shared")]).await;
    }
    let refusals =
        [("CreateSecurityGroup", "UnauthorizedOperation"), ("DescribeTargetGroups", "AccessDenied")];
    let endpoint = Refusals::start(&fixture.network.endpoint.url, &refusals);

    let name = format!("--cluster-name={}", fixture.name);
    let access = Access::to(&fixture);
    let arguments = ["doctor", "--cloud-provider=aws", &name];
    let said = access.run(&arguments, &[("AWS_ENDPOINT_URL", &endpoint.url)]).await;

    assert_eq!(said.code, Some(2), "{said:?}");
    matches_the_docs("doctor-aws-broken.txt", &in_order(&steady(&fixture, &said)));
}

/// Subnets of one line, sorted by their steady names.
fn in_order(text: &str) -> String {
    let sorted = |line: &str| {
        let Some((start, listed)) = line.split_once(": subnet-") else { return line.to_owned() };
        let Some((listed, end)) = listed.rsplit_once("), by ") else { return line.to_owned() };
        let mut subnets: Vec<&str> = listed.split("), subnet-").collect();
        subnets.sort_unstable();
        format!("{start}: subnet-{}), by {end}", subnets.join("), subnet-"))
    };
    let mut lines: Vec<String> = text.lines().map(sorted).collect();
    let starts_alike = |a: &String, b: &String| a.split(": ").next() == b.split(": ").next();
    for alike in lines.chunk_by_mut(starts_alike) {
        alike.sort();
    }
    lines.join("\n") + "\n"
}

#[tokio::test]
async fn without_a_name_or_a_vpc_it_says_which_flags_to_give() {
    let fixture = Fixture::start().await;
    let said = doctor(&fixture, &[]).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(about(&said, "cluster-name")[0].ends_with("; give --cluster-name NAME"), "{said:?}");
    assert!(
        about(&said, "vpc")[0].contains("it will be that of the first node; give --aws-vpc-id ID"),
        "{said:?}"
    );
}

#[tokio::test]
async fn credentials_that_are_missing_or_refused_are_one_plain_line() {
    let fixture = Fixture::start().await;

    let said = doctor(&fixture, &[("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")]).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    let [line] = about(&said, "credentials")[..] else { panic!("{said:?}") };
    assert!(line.starts_with("fail  credentials    there are no usable AWS credentials: "), "{line}");
    assert!(
        line.contains("; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, or give "),
        "{line}"
    );

    let endpoint =
        Refusals::start(&fixture.network.endpoint.url, &[("DescribeLoadBalancers", "ExpiredToken")]);
    let said = doctor(&fixture, &[("AWS_ENDPOINT_URL", &endpoint.url)]).await;
    assert_eq!(
        about(&said, "credentials"),
        [
            "fail  credentials    those from environment variables are not accepted: ExpiredToken: refused by the test; \
          renew or correct them"
        ]
    );
    assert!(about(&said, "vpc").is_empty(), "nothing more is asked: {said:?}");
}

#[tokio::test]
async fn without_a_region_it_says_so() {
    let fixture = Fixture::start().await;
    let said = doctor(&fixture, &[("AWS_REGION", "")]).await;
    assert_eq!(about(&said, "region").len(), 1, "{said:?}");
    assert!(about(&said, "region")[0].starts_with("fail  region         no AWS region: "), "{said:?}");
    assert!(about(&said, "region")[0].contains("--aws-region"), "{said:?}");
    assert!(about(&said, "region")[0].contains("the profile \"default\""), "{said:?}");
}

#[tokio::test]
async fn the_profile_that_credentials_come_from_is_named_also_where_it_has_none() {
    let fixture = Fixture::start().await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    let keys = "aws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = not-to-be-shown\n";
    fs::write(file.path(), format!("[work]\n{keys}")).expect("a file");
    let file = file.path().to_str().expect("a path");
    let of_profile = async |profile: &str| {
        let none = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")];
        let named = [("AWS_PROFILE", profile), ("AWS_SHARED_CREDENTIALS_FILE", file)];
        let said = doctor(&fixture, &[none, named].concat()).await;
        assert!(!said.output.contains("not-to-be-shown"), "{said:?}");
        about(&said, "credentials")[0].to_owned()
    };
    let line = of_profile("work").await;
    assert!(
        line.starts_with("ok    credentials    from the shared files of profile \"work\"; AWS accepts"),
        "{line}"
    );
    let line = of_profile("absent").await;
    assert!(line.contains("no usable AWS credentials: AWS_PROFILE is \"absent\": "), "{line}");
}
