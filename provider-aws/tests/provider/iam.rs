//! The IAM policy grants what the code can call, and nothing else.

use std::collections::BTreeSet;

use provider_aws::client::ACTIONS;

#[test]
fn the_policy_grants_exactly_what_the_code_can_call() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/aws/iam-policy.json");
    let policy: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let statements = policy["Statement"].as_array().unwrap();
    let actions = |statement: &serde_json::Value| -> Vec<String> {
        let actions = statement["Action"].as_array().unwrap();
        actions.iter().map(|action| action.as_str().unwrap().to_owned()).collect()
    };
    let mut granted: BTreeSet<String> = statements.iter().flat_map(actions).collect();
    // Called by AWS on our behalf when an account makes its first load balancer.
    assert!(granted.remove("iam:CreateServiceLinkedRole"));
    let called: BTreeSet<String> = ACTIONS.iter().map(|action| (*action).to_owned()).collect();
    assert_eq!(granted, called);
}

#[test]
fn whatever_can_be_limited_to_our_own_resources_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/aws/iam-policy.json");
    let policy: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for statement in policy["Statement"].as_array().unwrap() {
        let reads = |action: &serde_json::Value| action.as_str().unwrap().contains(":Describe");
        let only_reads = statement["Action"].as_array().unwrap().iter().all(reads);
        assert!(only_reads || statement.get("Condition").is_some(), "{statement}");
    }
}
