//! From the SDK's errors to ours.

use std::{error::Error, future::Future, time::Duration};

use aws_sdk_ec2::{
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    operation::RequestId,
};

use super::super::{Call, Result};
use crate::error::{ApiError, local_code};

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
        SdkError::DispatchFailure(failure) if failure.is_user() => local_code::NOT_SENT,
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
        None => DisplayErrorContext(error).to_string(),
    };
    let retry_after = raw.and_then(|raw| raw.headers().get("retry-after")).and_then(|text| text.parse().ok());
    ApiError {
        request_id: error.request_id().map(str::to_owned),
        retry_after: retry_after.map(Duration::from_secs),
        ..ApiError::new(call, code, message)
    }
}
