//! The IAM policy grants what the code can call and what AWS calls in its name, and nothing else.

use std::collections::BTreeSet;

use cloud_provider::ErrorClass;
use provider_aws::client::fake::FakeAws;
use provider_aws::client::{ACTIONS, CALLED_BY_AWS, Call, Elbv2, ReadByAws, Trial};

use crate::fixture::{a_cluster, web};

/// The actions that the policy grants.
fn granted() -> BTreeSet<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/aws/iam-policy.json");
    let policy: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let statements = policy["Statement"].as_array().unwrap();
    let actions = statements.iter().flat_map(|statement| statement["Action"].as_array().unwrap());
    actions.map(|action| action.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_policy_grants_exactly_what_the_code_calls_and_what_aws_calls_in_its_name() {
    let needed: BTreeSet<String> =
        Call::ALL.iter().flat_map(|call| call.needed_actions()).map(str::to_owned).collect();
    assert_eq!(granted(), needed);
}

#[test]
fn doctor_tries_every_read_that_only_aws_makes() {
    let by_aws: BTreeSet<&str> = CALLED_BY_AWS.iter().flat_map(|(_, actions)| *actions).copied().collect();
    let only_by_aws =
        by_aws.into_iter().filter(|action| action.starts_with("ec2:") && !ACTIONS.contains(action));
    let tried = ReadByAws::ALL.map(|what| Trial::ReadByAws(what, "vpc-1").action());
    assert_eq!(only_by_aws.collect::<Vec<_>>(), tried);
}

#[tokio::test(start_paused = true)]
async fn with_the_policy_a_service_is_served_and_deleted() {
    let cluster = a_cluster(2).await;
    cluster.aws.permit_only(granted());
    let mut service = web("web").build();
    cluster.ready(&mut service).await;
    cluster.deleted(&service).await;
    assert!(cluster.aws.is_empty(), "{:#?}", cluster.aws.remaining());
}

/// All that the policy grants but this.
fn granted_but(action: &str) -> BTreeSet<String> {
    let mut some = granted();
    assert!(some.remove(action), "{action} is granted");
    some
}

#[tokio::test]
async fn without_its_own_action_a_request_is_denied() {
    let aws = FakeAws::new();
    aws.permit_only(granted());
    aws.delete_target_group("absent").await.unwrap();
    aws.permit_only(granted_but("elasticloadbalancing:DeleteTargetGroup"));
    assert!(aws.delete_target_group("absent").await.unwrap_err().is("AccessDenied"));
}

#[tokio::test(start_paused = true)]
async fn without_what_aws_calls_in_its_name_a_request_is_denied() {
    let by_aws = CALLED_BY_AWS.iter().flat_map(|(_, actions)| *actions);
    let only_by_aws: BTreeSet<&str> = by_aws.copied().filter(|action| !ACTIONS.contains(action)).collect();
    assert!(only_by_aws.len() >= 5, "{only_by_aws:?}");
    for action in only_by_aws {
        let cluster = a_cluster(1).await;
        cluster.aws.permit_only(granted_but(action));
        let denied = cluster.ensure(&web("web").build()).await.expect_err(action);
        assert_eq!(denied.class(), ErrorClass::Denied, "{denied}");
        assert!(denied.to_string().contains(action), "{denied}");
    }
}

#[test]
fn whatever_can_be_limited_to_our_own_resources_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/aws/iam-policy.json");
    let policy: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for statement in policy["Statement"].as_array().unwrap() {
        let reads = |action: &serde_json::Value| {
            let action = action.as_str().unwrap();
            action.contains(":Describe") || action.contains(":Get")
        };
        let only_reads = statement["Action"].as_array().unwrap().iter().all(reads);
        assert!(only_reads || statement.get("Condition").is_some(), "{statement}");
    }
}
