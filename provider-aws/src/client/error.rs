//! What AWS answers when it does not do what it was asked: [`ApiError`], classified by error code.
//!
//! The codes are those of the *Errors* sections of the Elastic Load Balancing v2 and EC2 API references and
//! of EC2's *Error codes for the Amazon EC2 API* page. They are compared as codes; the text of a message is
//! never searched.

use std::{fmt, time::Duration};

use serde::Serialize;

use super::call::Call;

/// A failed request to AWS.
///
/// Says which request, what AWS called the failure, and what a caller can do about it ([`ErrorKind`]).
/// A failure says nothing about whether the request took effect: after [`ErrorKind::Transient`] it may
/// have, so a caller looks again before it repeats a create.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiError {
    /// The request that failed.
    pub call: Call,
    /// AWS's error code, for example `DuplicateLoadBalancerName`; for a failure on the way to AWS one of the
    /// codes in [`local_code`].
    pub code: String,
    /// AWS's message, for people.
    pub message: String,
    /// AWS's request id, to quote to AWS support; absent when no reply came.
    pub request_id: Option<String>,
    /// How long AWS asked to wait before the next request (`Retry-After`), which it seldom says.
    pub retry_after: Option<Duration>,
    /// What the failure means to the caller.
    pub kind: ErrorKind,
}

/// What a failed request means to its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Too many requests: all callers slow down.
    Throttled,
    /// A quota of the account, or a fixed limit of a resource, is reached.
    Quota,
    /// Something the request names does not exist, or cannot be seen yet.
    NotFound,
    /// The name, port or rule is taken by something with other settings.
    Duplicate,
    /// Something else still uses the resource; it may pass by itself.
    InUse,
    /// AWS refuses for a state that somebody chose, for example deletion protection.
    NotPermitted,
    /// Credentials are missing, wrong or lack the permission.
    Denied,
    /// The request can never succeed as it is.
    Invalid,
    /// A failure of AWS or of the way to it; the request may have taken effect.
    Transient,
    /// A code this crate does not know.
    Unknown,
}

/// Codes for failures that are not AWS's own.
pub mod local_code {
    /// No reply in time, or the connection broke: the request may have taken effect.
    pub const NO_REPLY: &str = "NoReply";
    /// The request could not be built, or no credentials were found for it. Nearly always nothing was sent;
    /// failures of the connection that nobody knows how to name are counted here too.
    pub const NOT_SENT: &str = "NotSent";
    /// Whoever gives out the credentials (STS, a metadata service) did not answer, or has trouble; nothing was sent.
    pub const NO_CREDENTIALS_YET: &str = "NoCredentialsYet";
    /// AWS's reply could not be understood.
    pub const BAD_REPLY: &str = "BadReply";
}

impl ApiError {
    /// A failure with this code and message, classified by the code.
    pub fn new(call: Call, code: impl Into<String>, message: impl Into<String>) -> Self {
        let code = code.into();
        let kind = ErrorKind::of(&code);
        Self { call, code, message: message.into(), request_id: None, retry_after: None, kind }
    }

    /// Whether AWS's code is `code`.
    pub fn is(&self, code: &str) -> bool {
        self.code == code
    }

    /// Whether a write that failed like this may have had its effect all the same; else it clearly had none.
    pub fn may_have_taken_effect(&self) -> bool {
        let is_unclear = matches!(self.kind, ErrorKind::Transient | ErrorKind::Unknown);
        (is_unclear && !self.is(local_code::NO_CREDENTIALS_YET)) || self.is(local_code::NOT_SENT)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.call.name(), self.code, self.message)?;
        match &self.request_id {
            Some(id) => write!(f, " (request {id})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ApiError {}

impl ErrorKind {
    /// The meaning of an AWS error code.
    pub fn of(code: &str) -> Self {
        match code {
            "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "EC2ThrottledException"
            | "BandwidthLimitExceeded"
            | "SlowDown" => Self::Throttled,

            "TooManyLoadBalancers"
            | "TooManyListeners"
            | "TooManyCertificates"
            | "TooManyTargetGroups"
            | "TooManyTargets"
            | "TooManyTags"
            | "TooManyActions"
            | "TooManyRegistrationsForTargetId"
            | "TooManyUniqueTargetGroupsPerLoadBalancer"
            | "TargetGroupAssociationLimit"
            | "RulesPerSecurityGroupLimitExceeded"
            | "SecurityGroupLimitExceeded"
            | "SecurityGroupsPerInterfaceLimitExceeded"
            | "ResourceLimitExceeded"
            | "TagLimitExceeded" => Self::Quota,

            "LoadBalancerNotFound"
            | "TargetGroupNotFound"
            | "ListenerNotFound"
            | "SubnetNotFound"
            | "AllocationIdNotFound"
            | "CertificateNotFound"
            | "SSLPolicyNotFound"
            | "ALPNPolicyNotFound"
            | "InvalidGroup.NotFound"
            | "InvalidPermission.NotFound"
            | "InvalidSubnetID.NotFound"
            | "InvalidVpcID.NotFound"
            | "InvalidInstanceID.NotFound"
            | "InvalidSecurityGroupID.NotFound"
            | "InvalidPrefixListId.NotFound"
            | "InvalidPrefixListID.NotFound" => Self::NotFound,

            "DuplicateLoadBalancerName"
            | "DuplicateTargetGroupName"
            | "DuplicateListener"
            | "InvalidGroup.Duplicate"
            | "InvalidPermission.Duplicate" => Self::Duplicate,

            "ResourceInUse" | "DependencyViolation" | "InvalidGroup.InUse" | "PriorRequestNotComplete" => {
                Self::InUse
            }

            "OperationNotPermitted" => Self::NotPermitted,

            "AccessDenied"
            | "AccessDeniedException"
            | "UnauthorizedOperation"
            | "UnrecognizedClientException"
            | "AuthFailure"
            | "InvalidClientTokenId"
            | "SignatureDoesNotMatch"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "RequestExpired"
            | "OptInRequired"
            | local_code::NOT_SENT => Self::Denied,

            "ValidationError"
            | "ValidationException"
            | "InvalidConfigurationRequest"
            | "InvalidSubnet"
            | "InvalidSecurityGroup"
            | "InvalidScheme"
            | "InvalidTarget"
            | "InvalidLoadBalancerAction"
            | "IncompatibleProtocols"
            | "UnsupportedProtocol"
            | "AvailabilityZoneNotSupported"
            | "DuplicateTagKeys"
            | "FilterLimitExceeded"
            | "InvalidParameter"
            | "InvalidParameterValue"
            | "InvalidParameterCombination"
            | "MissingParameter"
            | "InvalidGroupId.Malformed"
            | "InvalidGroup.Reserved"
            | "InvalidInstanceID.Malformed"
            | "InvalidSubnetID.Malformed"
            | "InvalidPermission.Malformed" => Self::Invalid,

            "InternalFailure"
            | "InternalError"
            | "InternalServiceError"
            | "ServiceUnavailable"
            | "Unavailable"
            | "ServerInternal"
            | "RequestTimeout"
            | "RequestTimeoutException"
            | "HealthUnavailable"
            | local_code::NO_REPLY
            | local_code::NO_CREDENTIALS_YET
            | local_code::BAD_REPLY => Self::Transient,

            _ => Self::by_its_form(code),
        }
    }

    /// The meaning of a code that is not known by itself: AWS builds the names of some sorts all alike.
    fn by_its_form(code: &str) -> Self {
        if code.starts_with("TooMany") || code.ends_with("LimitExceeded") {
            Self::Quota
        } else if code.ends_with("NotFound") {
            Self::NotFound
        } else if code.ends_with("Pending") {
            Self::InUse
        } else if code.starts_with("Insufficient") {
            Self::Transient
        } else {
            Self::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_is_not_known_is_understood_by_its_form_and_a_known_one_as_it_is_documented() {
        let table = [
            ("CapacityUnitsLimitExceeded", ErrorKind::Quota),
            ("TooManyOfThem", ErrorKind::Quota),
            ("CapacityReservationPending", ErrorKind::InUse),
            ("InsufficientCapacity", ErrorKind::Transient),
            ("RevocationNotFound", ErrorKind::NotFound),
            ("RequestLimitExceeded", ErrorKind::Throttled),
            ("FilterLimitExceeded", ErrorKind::Invalid),
            ("Whatever", ErrorKind::Unknown),
        ];
        for (code, kind) in table {
            assert_eq!(ErrorKind::of(code), kind, "{code}");
        }
    }
}
