//! From the SDK's errors to ours.

use std::{error::Error, future::Future, time::Duration};

use aws_sdk_ec2::{
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};

use super::super::{Call, Result};
use crate::client::error::{ApiError, local_code};

/// Sends a request and translates its failure.
pub(super) async fn send<T, E>(call: Call, request: impl Future<Output = Result<T, SdkError<E>>>) -> Result<T>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    request.await.map_err(|error| translate(call, &error))
}

/// AWS answered, but not with what the request is to return.
pub(super) fn bad_reply(call: Call, what: &str) -> ApiError {
    ApiError::new(call, local_code::BAD_REPLY, format!("the reply has no usable {what}"))
}

fn translate<E>(call: Call, error: &SdkError<E>) -> ApiError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let raw = error.raw_response();
    let code = match error {
        SdkError::ConstructionFailure(_) => local_code::NOT_SENT,
        SdkError::TimeoutError(_) => local_code::NO_REPLY,
        // The SDK reports that it found no credentials as a failed dispatch of no particular kind.
        SdkError::DispatchFailure(failure)
            if failure.is_user() || (failure.is_other() && failure.as_other().is_none()) =>
        {
            local_code::NOT_SENT
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
    use aws_config::{BehaviorVersion, Region, retry::RetryConfig};
    use aws_sdk_ec2::config::Credentials;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::{
        client::{Ec2, Elbv2, Sdk, Select},
        error::ErrorKind,
    };

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
