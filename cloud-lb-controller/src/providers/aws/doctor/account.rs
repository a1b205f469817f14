//! Are there credentials, and does AWS take them?

use provider_aws::client::{Elbv2, Identity, NoIdentity, Page, Sdk, Select};
use provider_aws::error::{ApiError, ErrorKind, local_code};

use crate::finding::Finding;

const SUBJECT: &str = "credentials";

const SOURCES: &str = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, or give the pod's service \
                       account or the instance a role";

/// What was found of credentials.
#[derive(Debug)]
pub(super) struct Credentials {
    /// The lines.
    pub findings: Vec<Finding>,
    /// Whether other questions to AWS make sense.
    pub accepted: bool,
}

/// Looks for credentials and shows them to AWS with the request that the controller begins with.
pub(super) async fn look(sdk: &Sdk) -> Credentials {
    let identity = sdk.identity().await;
    let answer = match identity {
        Ok(_) => sdk.describe_load_balancers(&Select::All, None).await.map(|Page { .. }| ()),
        Err(_) => Ok(()),
    };
    judge(identity, answer)
}

fn judge(identity: Result<Identity, NoIdentity>, answer: Result<(), ApiError>) -> Credentials {
    let one = |finding, accepted| Credentials { findings: vec![finding], accepted };
    let identity = match identity {
        Ok(identity) => identity,
        Err(error) => return one(Finding::fail(SUBJECT, error, SOURCES), false),
    };
    let Err(error) = answer else {
        let says = format!("from {identity}; AWS accepts them and lists load balancers");
        return one(Finding::ok(SUBJECT, says), true);
    };
    match error.kind {
        // Whoever is told what he may not do has been recognised.
        ErrorKind::Denied if is_recognised(&error) => Credentials {
            findings: vec![
                Finding::ok(SUBJECT, format!("from {identity}; AWS accepts them")),
                Finding::fail("permissions", &error, "allow elasticloadbalancing:DescribeLoadBalancers"),
            ],
            accepted: true,
        },
        ErrorKind::Denied if !error.is(local_code::NOT_SENT) => {
            let says = format!("those from {identity} are not accepted: {}: {}", error.code, error.message);
            one(Finding::fail(SUBJECT, says, "renew or correct them"), false)
        }
        _ => {
            let mend = "check the network's way to AWS, the region and AWS_ENDPOINT_URL";
            one(Finding::fail(SUBJECT, format!("AWS cannot be asked: {error}"), mend), false)
        }
    }
}

fn is_recognised(error: &ApiError) -> bool {
    ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation"].iter().any(|code| error.is(code))
}

#[cfg(test)]
mod tests {
    use provider_aws::client::Call;

    use super::*;

    fn said(answer: Result<(), (&str, &str)>) -> (Vec<String>, bool) {
        let identity = Identity { source: "a web identity token", profile: None, account: None };
        let error = |(code, message): (&str, &str)| ApiError::new(Call::DescribeLoadBalancers, code, message);
        let found = judge(Ok(identity), answer.map_err(error));
        (found.findings.iter().map(ToString::to_string).collect(), found.accepted)
    }

    #[test]
    fn what_is_said_of_credentials() {
        for (answer, lines, accepted) in [
            (
                Ok(()),
                &[
                    "ok    credentials    from a web identity token; AWS accepts them and lists load balancers",
                ][..],
                true,
            ),
            (
                Err(("AccessDenied", "not authorized")),
                &[
                    "ok    credentials    from a web identity token; AWS accepts them",
                    "fail  permissions    DescribeLoadBalancers: AccessDenied: not authorized; allow \
                     elasticloadbalancing:DescribeLoadBalancers",
                ],
                true,
            ),
            (
                Err(("ExpiredToken", "it has expired")),
                &[
                    "fail  credentials    those from a web identity token are not accepted: ExpiredToken: it has \
                   expired; renew or correct them",
                ],
                false,
            ),
            (
                Err((local_code::NO_REPLY, "timed out")),
                &[
                    "fail  credentials    AWS cannot be asked: DescribeLoadBalancers: NoReply: timed out; check the \
                   network's way to AWS, the region and AWS_ENDPOINT_URL",
                ],
                false,
            ),
        ] {
            let (said, goes_on) = said(answer);
            assert_eq!(
                (said.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), goes_on),
                (lines, accepted)
            );
        }
    }
}
