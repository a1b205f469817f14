//! Do the credentials permit what has to be done?
//!
//! Reads are simply made. For changes EC2 offers dry runs; Elastic Load Balancing offers none, and that is said.

use std::collections::BTreeSet;

use provider_aws::client::{Aws, ReadByAws, Sdk, SecurityGroupQuery, Select, TagFilter, Trial, TrialOutcome};
use provider_aws::error::{ApiError, ErrorKind};
use provider_aws::naming::CLUSTER_TAG;

use crate::finding::Finding;

const SUBJECT: &str = "permissions";
const POLICY: &str = "deploy/aws/iam-policy.json";

/// A read that a check needed and did not get.
pub(super) fn unread(subject: &'static str, error: &ApiError) -> Finding {
    match error.kind {
        ErrorKind::Denied => {
            let mend = format!("allow {}, as {POLICY} does", error.call.action());
            Finding::fail(subject, one_line(error), mend)
        }
        _ => Finding::blind(subject, one_line(error), "not checked, run doctor again"),
    }
}

fn one_line(error: &ApiError) -> String {
    format!("{}: {}: {}", error.call, error.code, error.message)
}

/// Asks whether changes would be permitted. Groups are those of the nodes.
pub(super) async fn look(
    sdk: &Sdk,
    aws: &Aws,
    vpc: &str,
    cluster: Option<&str>,
    groups: &BTreeSet<String>,
) -> Vec<Finding> {
    let Some(cluster) = cluster else {
        let mend = "give --cluster-name NAME";
        return vec![Finding::blind(SUBJECT, "not checked: they depend on the cluster's name", mend)];
    };
    let mut findings = Vec::new();
    let here = SecurityGroupQuery { vpc_id: Some(vpc.to_owned()), ..SecurityGroupQuery::default() };
    let all = aws.security_groups(&here).await;
    findings.extend(all.as_ref().err().map(|error| unread(SUBJECT, error)));
    let all = all.unwrap_or_default();
    let is_ours = TagFilter::equals(CLUSTER_TAG, cluster);
    let ours = all.iter().find(|group| is_ours.matches(&group.tags)).map(|group| group.id.as_str());
    let any = groups.first().map(String::as_str).or_else(|| all.first().map(|group| group.id.as_str()));
    let mut trials: Vec<Trial<'_>> = ReadByAws::ALL.map(|what| Trial::ReadByAws(what, vpc)).into();
    trials.push(Trial::CreateSecurityGroup { vpc_id: vpc, cluster });
    trials
        .extend(any.into_iter().flat_map(|id| {
            [Trial::AuthorizeSecurityGroupIngress(id), Trial::RevokeSecurityGroupIngress(id)]
        }));
    trials.extend(
        ours.into_iter()
            .flat_map(|id| [Trial::CreateTags(id), Trial::DeleteTags(id), Trial::DeleteSecurityGroup(id)]),
    );
    let mut tried = Vec::new();
    for trial in trials {
        let outcome = sdk.dry_run(trial).await;
        let done = outcome == TrialOutcome::Done;
        tried.push((trial, outcome));
        if done {
            // Whatever comes next would be done as well.
            break;
        }
    }
    findings.extend(judge(&tried, ours.is_some()));
    findings.push(balancers(aws).await);
    findings
}

fn judge(tried: &[(Trial<'_>, TrialOutcome)], has_ours: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut allowed = Vec::new();
    for (trial, outcome) in tried {
        let action = trial.action();
        match outcome {
            TrialOutcome::Allowed => allowed.push(action),
            TrialOutcome::Denied(message) => findings.push(Finding::fail(
                SUBJECT,
                format!("{action} is not permitted{}: {message}", for_aws(trial)),
                format!("allow it, as {POLICY} does"),
            )),
            TrialOutcome::Unknown(error) => findings.push(Finding::warn(
                SUBJECT,
                format!("{action} could not be tried: {}: {}", error.code, error.message),
                format!("compare the role's policy with {POLICY}"),
            )),
            TrialOutcome::Done => findings.push(Finding::warn(
                SUBJECT,
                format!("the endpoint takes no notice of DryRun, and {} was done", trial.call()),
                "undo it; nothing else was tried",
            )),
        }
    }
    if !allowed.is_empty() {
        findings.insert(0, Finding::ok(SUBJECT, format!("permitted, by dry run: {}", allowed.join(", "))));
    }
    if !has_ours {
        let says = format!(
            "ec2:CreateTags, ec2:DeleteTags and ec2:DeleteSecurityGroup can be tried once there is a security group of \
             this cluster's; until then, compare the role's policy with {POLICY}"
        );
        findings.push(Finding::ok(SUBJECT, says));
    }
    findings
}

/// Why it is needed, where nothing here calls it.
fn for_aws(trial: &Trial<'_>) -> &'static str {
    match trial {
        Trial::ReadByAws(..) => ", which AWS does in the caller's name when it makes a load balancer",
        _ => "",
    }
}

/// What can be known of Elastic Load Balancing without changing anything.
async fn balancers(aws: &Aws) -> Finding {
    match aws.target_groups(&Select::All).await {
        Ok(_) => Finding::ok(
            SUBJECT,
            format!(
                "load balancers and target groups can be read; whether they can be changed is not checked, for AWS has \
                 no dry run for that: compare the role's policy with {POLICY}"
            ),
        ),
        Err(error) => unread(SUBJECT, &error),
    }
}

#[cfg(test)]
mod tests {
    use provider_aws::client::Call;

    use super::*;

    fn said(tried: &[(Trial<'_>, TrialOutcome)], has_ours: bool) -> Vec<String> {
        judge(tried, has_ours).iter().map(ToString::to_string).collect()
    }

    const CREATE: Trial<'_> = Trial::CreateSecurityGroup { vpc_id: "vpc-1", cluster: "blue" };
    const AUTHORIZE: Trial<'_> = Trial::AuthorizeSecurityGroupIngress("sg-1");

    #[test]
    fn every_permission_that_is_missing_is_a_line_that_names_it() {
        let denied = TrialOutcome::Denied("you are not authorized".into());
        assert_eq!(
            said(&[(CREATE, TrialOutcome::Allowed), (AUTHORIZE, denied)], true),
            [
                "ok    permissions    permitted, by dry run: ec2:CreateSecurityGroup",
                "fail  permissions    ec2:AuthorizeSecurityGroupIngress is not permitted: you are not authorized; allow \
                 it, as deploy/aws/iam-policy.json does",
            ]
        );
    }

    #[test]
    fn what_aws_reads_in_our_name_is_told_to_be_that() {
        let denied = TrialOutcome::Denied("you are not authorized".into());
        let trial = Trial::ReadByAws(ReadByAws::InternetGateways, "vpc-1");
        assert_eq!(
            said(&[(trial, denied)], true),
            [
                "fail  permissions    ec2:DescribeInternetGateways is not permitted, which AWS does in the caller's name \
                 when it makes a load balancer: you are not authorized; allow it, as deploy/aws/iam-policy.json does"
            ]
        );
    }

    #[test]
    fn what_could_not_be_tried_is_no_failure() {
        let error = ApiError::new(Call::CreateSecurityGroup, "InvalidVpcID.NotFound", "no such VPC");
        assert_eq!(
            said(&[(CREATE, TrialOutcome::Unknown(error))], true),
            [
                "warn  permissions    ec2:CreateSecurityGroup could not be tried: InvalidVpcID.NotFound: no such VPC; \
              compare the role's policy with deploy/aws/iam-policy.json"
            ]
        );
        assert!(said(&[(CREATE, TrialOutcome::Done)], true)[0].contains("takes no notice of DryRun"));
    }

    #[test]
    fn what_needs_a_group_of_ours_is_said_to_be_unchecked_without_one() {
        let lines = said(&[(CREATE, TrialOutcome::Allowed)], false);
        assert!(
            lines[1].contains("can be tried once there is a security group of this cluster's"),
            "{lines:?}"
        );
    }

    #[test]
    fn a_read_that_is_denied_fails_and_one_that_got_no_answer_does_not() {
        let error = |code: &str| ApiError::new(Call::DescribeSubnets, code, "because");
        assert_eq!(
            unread("subnets", &error("UnauthorizedOperation")).to_string(),
            "fail  subnets        DescribeSubnets: UnauthorizedOperation: because; allow ec2:DescribeSubnets, as \
             deploy/aws/iam-policy.json does"
        );
        assert_eq!(
            unread("subnets", &error("RequestLimitExceeded")).to_string(),
            "blind subnets        DescribeSubnets: RequestLimitExceeded: because; not checked, run doctor again"
        );
    }
}
