//! From the SDK's errors to ours.

use std::{error::Error, future::Future, iter::successors, sync::atomic::Ordering, time::Duration};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::{
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};
use aws_sdk_sts::operation::{
    assume_role::AssumeRoleError, assume_role_with_web_identity::AssumeRoleWithWebIdentityError,
};

use super::{
    super::{Call, Result},
    Sdk,
};
use crate::client::error::{ApiError, ErrorKind, local_code};

impl Sdk {
    /// Sends a request and translates its failure.
    pub(super) async fn send<T, E>(
        &self,
        call: Call,
        request: impl Future<Output = Result<T, SdkError<E>>>,
    ) -> Result<T>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let result = request.await;
        if result.is_ok() {
            self.had_credentials.store(true, Ordering::Relaxed);
        }
        result.map_err(|error| translate(call, &error, self.had_credentials.load(Ordering::Relaxed)))
    }
}

/// What kept credentials from being had for a request, if that is what kept the request from being sent.
///
/// A provider of credentials that was asked and failed (STS, the instance's or the container's metadata service) will
/// answer again; STS's word that this role is not for us stays. That there is no provider at all is the operator's to
/// mend, unless there was one a moment ago: the instance's metadata service, when out of reach, counts as no provider.
fn without_credentials(error: &(dyn Error + 'static), had_credentials: bool) -> Option<&'static str> {
    let why = chain(error).find_map(|cause| cause.downcast_ref::<CredentialsError>())?;
    let is_of_the_moment = match why {
        CredentialsError::ProviderTimedOut(_) => true,
        CredentialsError::CredentialsNotLoaded(_) => had_credentials,
        CredentialsError::ProviderError(_) | CredentialsError::Unhandled(_) => !is_refused_by_sts(why),
        _ => false,
    };
    Some(if is_of_the_moment { local_code::NO_CREDENTIALS_YET } else { local_code::NOT_SENT })
}

/// Whether STS answered, and its answer will be the same the next time.
fn is_refused_by_sts(error: &CredentialsError) -> bool {
    let code = chain(error).find_map(|cause| {
        let by_token = cause.downcast_ref::<AssumeRoleWithWebIdentityError>().map(|e| e.code());
        by_token.or_else(|| cause.downcast_ref::<AssumeRoleError>().map(|e| e.code()))
    });
    match code {
        None | Some(None | Some("IDPCommunicationError")) => false,
        Some(Some(code)) => !matches!(ErrorKind::of(code), ErrorKind::Throttled | ErrorKind::Transient),
    }
}

/// AWS answered, but not with what the request is to return.
pub(super) fn bad_reply(call: Call, what: &str) -> ApiError {
    ApiError::new(call, local_code::BAD_REPLY, format!("the reply has no usable {what}"))
}

fn translate<E>(call: Call, error: &SdkError<E>, had_credentials: bool) -> ApiError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let raw = error.raw_response();
    let code = match error {
        SdkError::ConstructionFailure(_) => local_code::NOT_SENT,
        SdkError::TimeoutError(_) => local_code::NO_REPLY,
        // The SDK reports that it has no credentials as a failed dispatch of no particular kind.
        SdkError::DispatchFailure(failure)
            if failure.is_user() || (failure.is_other() && failure.as_other().is_none()) =>
        {
            without_credentials(error, had_credentials).unwrap_or(local_code::NOT_SENT)
        }
        SdkError::DispatchFailure(_) => local_code::NO_REPLY,
        // A proxy on the way may answer without a code of AWS's.
        _ => match (error.code(), raw.map(|raw| raw.status().as_u16())) {
            (Some(code), _) => code,
            (None, Some(429)) => "TooManyRequestsException",
            (None, Some(403)) => "AccessDenied",
            (None, Some(500..)) => "ServiceUnavailable",
            (None, _) => local_code::BAD_REPLY,
        },
    };
    let message = match error.message() {
        Some(message) => message.to_owned(),
        None => causes(error),
    };
    let retry_after = raw.and_then(|raw| raw.headers().get("retry-after")).and_then(|text| text.parse().ok());
    ApiError {
        request_id: error.request_id().map(str::to_owned),
        retry_after: retry_after.map(Duration::from_secs),
        ..ApiError::new(call, code, message)
    }
}

/// The error and what it comes from.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |cause| Error::source(*cause))
}

/// The error and what it comes from, in one line.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aws_config::{BehaviorVersion, Region, retry::RetryConfig};
    use aws_credential_types::provider::{ProvideCredentials, future};
    use aws_sdk_ec2::config::Credentials;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::client::{Ec2, Elbv2, Select};

    /// Clients of an endpoint that answers every request with these bytes and hangs up.
    async fn sdk_with_reply(reply: &'static str, credentials: Option<Credentials>) -> Sdk {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 16 * 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(reply.as_bytes()).await;
            }
        });
        let http = aws_smithy_http_client::Builder::new().build_http();
        let region = Region::new("us-east-1");
        let elbv2 = aws_sdk_elasticloadbalancingv2::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(region.clone())
            .endpoint_url(&endpoint)
            .http_client(http.clone())
            .retry_config(RetryConfig::disabled());
        let ec2 = aws_sdk_ec2::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(region.clone())
            .endpoint_url(&endpoint)
            .http_client(http)
            .retry_config(RetryConfig::disabled());
        let (elbv2, ec2) = match credentials {
            Some(known) => (elbv2.credentials_provider(known.clone()), ec2.credentials_provider(known)),
            None => (elbv2, ec2),
        };
        Sdk {
            elbv2: aws_sdk_elasticloadbalancingv2::Client::from_conf(elbv2.build()),
            ec2: aws_sdk_ec2::Client::from_conf(ec2.build()),
            credentials: None,
            profile: None,
            had_credentials: Arc::default(),
            region: region.to_string(),
        }
    }

    fn credentials() -> Option<Credentials> {
        Some(Credentials::new("key", "secret", None, None, "test"))
    }

    async fn failure(reply: &'static str) -> ApiError {
        let sdk = sdk_with_reply(reply, credentials()).await;
        sdk.describe_load_balancers(&Select::All, None).await.unwrap_err()
    }

    #[tokio::test]
    async fn a_refusal_of_elbv2_keeps_code_message_request_and_the_wait_asked_for() {
        let error = failure(
            "HTTP/1.1 400 Bad Request\r\nretry-after: 7\r\nx-amzn-requestid: abc-1\r\nconnection: close\r\n\r\n\
             <ErrorResponse xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\"><Error>\
             <Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error>\
             <RequestId>abc-1</RequestId></ErrorResponse>",
        )
        .await;

        assert_eq!((error.code.as_str(), error.message.as_str()), ("Throttling", "Rate exceeded"));
        assert_eq!(error.kind, ErrorKind::Throttled);
        assert_eq!(error.request_id.as_deref(), Some("abc-1"));
        assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
    }

    #[tokio::test]
    async fn a_refusal_of_ec2_keeps_its_code() {
        let reply = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n\
             <Response><Errors><Error><Code>DependencyViolation</Code><Message>in use</Message></Error>\
             </Errors><RequestID>abc-2</RequestID></Response>";
        let sdk = sdk_with_reply(reply, credentials()).await;
        let error = sdk.delete_security_group("sg-1").await.unwrap_err();

        assert_eq!((error.code.as_str(), error.kind), ("DependencyViolation", ErrorKind::InUse));
        assert_eq!(error.call, Call::DeleteSecurityGroup);
    }

    #[tokio::test]
    async fn a_connection_that_breaks_may_have_carried_the_request() {
        let error = failure("").await;

        assert_eq!((error.code.as_str(), error.kind), (local_code::NO_REPLY, ErrorKind::Transient));
    }

    #[tokio::test]
    async fn a_proxys_own_answer_is_transient() {
        let error = failure("HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\n\r\n<html>sorry</html>").await;

        assert_eq!((error.code.as_str(), error.kind), ("ServiceUnavailable", ErrorKind::Transient));
    }

    #[tokio::test]
    async fn without_credentials_nothing_is_sent() {
        let sdk = sdk_with_reply("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", None).await;
        let error = sdk.describe_availability_zones().await.unwrap_err();

        assert_eq!((error.code.as_str(), error.kind), (local_code::NOT_SENT, ErrorKind::Denied));
    }

    /// Gives out no credentials, for this reason.
    #[derive(Debug)]
    struct Failing(fn() -> CredentialsError);

    impl ProvideCredentials for Failing {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::ready(Err((self.0)()))
        }
    }

    fn by_sts(code: &str) -> CredentialsError {
        let told = aws_sdk_sts::error::ErrorMetadata::builder().code(code).build();
        CredentialsError::provider_error(AssumeRoleWithWebIdentityError::generic(told))
    }

    /// What a request comes to when credentials fail like this, the first time and after one that succeeded.
    async fn with_failing_credentials(error: fn() -> CredentialsError) -> [ErrorKind; 2] {
        let mut kinds = Vec::new();
        for had_credentials in [false, true] {
            let mut sdk = sdk_with_reply("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", None).await;
            let ec2 = sdk.ec2.config().to_builder().credentials_provider(Failing(error)).build();
            sdk.ec2 = aws_sdk_ec2::Client::from_conf(ec2);
            sdk.had_credentials.store(had_credentials, Ordering::Relaxed);
            kinds.push(sdk.describe_availability_zones().await.unwrap_err().kind);
        }
        [kinds[0], kinds[1]]
    }

    #[tokio::test]
    async fn credentials_that_do_not_come_for_a_moment_are_no_denial() {
        use ErrorKind::{Denied, Transient};
        let timed_out = || CredentialsError::provider_timed_out(Duration::from_secs(5));
        assert_eq!(with_failing_credentials(timed_out).await, [Transient, Transient]);
        let no_answer = || CredentialsError::provider_error("the connection was reset");
        assert_eq!(with_failing_credentials(no_answer).await, [Transient, Transient]);
        let busy = || by_sts("IDPCommunicationError");
        assert_eq!(with_failing_credentials(busy).await, [Transient, Transient]);
        let refused = || by_sts("AccessDenied");
        assert_eq!(with_failing_credentials(refused).await, [Denied, Denied]);
        let nowhere = || CredentialsError::not_loaded("the metadata service is out of reach");
        assert_eq!(with_failing_credentials(nowhere).await, [Denied, Transient]);
    }

    #[tokio::test]
    async fn deleting_what_is_gone_is_success() {
        let sdk = sdk_with_reply(
            "HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n\
             <ErrorResponse><Error><Code>TargetGroupNotFound</Code><Message>gone</Message></Error></ErrorResponse>",
            credentials(),
        )
        .await;

        assert_eq!(sdk.delete_target_group("gone").await, Ok(()));
    }
}
