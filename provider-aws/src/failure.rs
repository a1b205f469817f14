//! From AWS's refusals to the contract's classes: who has to do what before it is worth trying again.

use cloud_provider::{Error, Mistake, Mistakes, ServiceView};

use crate::blame::blamed;
use crate::client::Call;
use crate::error::{ApiError, ErrorKind, local_code};
use crate::options::annotation::key;

/// Why a step could not be carried out.
#[derive(Debug)]
pub(crate) enum StepFailure {
    /// AWS refused.
    Api(ApiError),
    /// AWS has not let go of a zone yet that is to come back.
    ZoneIsLeaving(ApiError),
    /// A security group cannot be deleted because rules name it.
    GroupInUse {
        /// The group.
        group: String,
        /// The rules, each with its own group; empty when something else holds it.
        rules: Vec<String>,
        /// What AWS said.
        error: ApiError,
    },
    /// The name is somebody else's.
    NameTaken {
        /// The kind of resource.
        kind: &'static str,
        /// The name.
        name: String,
    },
}

impl From<ApiError> for StepFailure {
    fn from(error: ApiError) -> Self {
        StepFailure::Api(error)
    }
}

impl StepFailure {
    /// Whether AWS clearly refused, so that another request may succeed.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            StepFailure::Api(error) => match error.kind {
                ErrorKind::Throttled | ErrorKind::Transient | ErrorKind::Unknown => false,
                ErrorKind::Denied => !error.is(local_code::NOT_SENT),
                ErrorKind::Quota
                | ErrorKind::NotFound
                | ErrorKind::Duplicate
                | ErrorKind::InUse
                | ErrorKind::NotPermitted
                | ErrorKind::Invalid => true,
            },
            StepFailure::GroupInUse { .. } | StepFailure::NameTaken { .. } => true,
            StepFailure::ZoneIsLeaving(_) => false,
        }
    }

    /// AWS's word for it.
    pub(crate) fn code(&self) -> &str {
        match self {
            StepFailure::Api(error)
            | StepFailure::ZoneIsLeaving(error)
            | StepFailure::GroupInUse { error, .. } => &error.code,
            StepFailure::NameTaken { .. } => "NameTaken",
        }
    }

    /// What the controller is told where no Service is at hand that could explain it.
    pub(crate) fn general(self) -> Error {
        match self {
            StepFailure::Api(error) => general(error),
            StepFailure::ZoneIsLeaving(error) => zone_is_leaving(error),
            StepFailure::GroupInUse { group, rules, error } => group_in_use(&group, &rules, error),
            StepFailure::NameTaken { kind, name } => {
                Error::transient(format!("the {kind} {name} is somebody else's"))
            }
        }
    }

    /// What the controller is told. A refusal that an annotation of the Service explains is a mistake in it;
    /// without one it is nobody's mistake here and may pass.
    pub(crate) fn for_service(self, service: &ServiceView) -> Error {
        match self {
            StepFailure::NameTaken { kind, name } => name_taken(service, kind, &name),
            StepFailure::Api(error) => match blamed(&error, service) {
                Some(mistake) => mistake.into(),
                None => general(error),
            },
            other => other.general(),
        }
    }
}

/// Several failures as one: mistakes together; beside something else, which decides when to try again, they are told.
pub(crate) fn together(errors: Vec<Error>) -> Option<Error> {
    let mut mistakes: Vec<Mistake> = Vec::new();
    let mut others = Vec::new();
    let mut is_in_part = false;
    for error in errors {
        match error {
            Error::Invalid(more) => mistakes.extend(more.iter().cloned()),
            Error::InvalidInPart(more) => {
                is_in_part = true;
                mistakes.extend(more.iter().cloned());
            }
            other => others.push(other),
        }
    }
    let mut others = others.into_iter();
    let Some(first) = others.next() else {
        let invalid = if is_in_part { Error::InvalidInPart } else { Error::Invalid };
        return Mistakes::new(mistakes).map(invalid);
    };
    let more: Vec<String> =
        others.map(|e| e.to_string()).chain(mistakes.iter().map(ToString::to_string)).collect();
    if more.is_empty() {
        return Some(first);
    }
    let and = |message: String| format!("{message}; besides: {}", more.join("; "));
    Some(match first {
        Error::Throttled { message, retry_after, .. } => Error::throttled(and(message), retry_after),
        Error::Quota { message, .. } => Error::quota(and(message)),
        Error::Denied { message, .. } => Error::denied(and(message)),
        Error::Transient { message, .. } => Error::transient(and(message)),
        other => other,
    })
}

fn group_in_use(group: &str, rules: &[String], error: ApiError) -> Error {
    let what = match rules {
        [] => format!(
            "something still uses security group {group}, such as the network interfaces of a load balancer"
        ),
        rules => {
            format!("rules name security group {group} and keep it from being deleted: {}", rules.join(", "))
        }
    };
    Error::transient_from(format!("{what}; deletion goes on when nothing does ({error})"), error)
}

/// It passes by itself, though AWS calls the request invalid.
fn zone_is_leaving(error: ApiError) -> Error {
    let what = "AWS takes a few minutes to let go of the zone whose subnet or address changes; the other zones serve";
    Error::transient_from(format!("{what} ({error})"), error)
}

/// The class of a failure that no annotation explains.
pub(crate) fn general(error: ApiError) -> Error {
    let message = error.to_string();
    match error.kind {
        ErrorKind::Quota => Error::quota(message),
        ErrorKind::Denied => Error::denied(message),
        ErrorKind::NotPermitted if error.call == Call::DeleteLoadBalancer => Error::denied(format!(
            "the load balancer has deletion protection, which is left as it is; nothing was deleted. Turn it \
             off (attribute deletion_protection.enabled) and deletion goes on ({message})"
        )),
        ErrorKind::NotPermitted => Error::denied(message),
        ErrorKind::InUse if error.call == Call::DeleteLoadBalancer => {
            let what = "something else uses the load balancer, such as a VPC endpoint service; deletion goes on \
                        when it no longer does";
            Error::transient_from(format!("{what} ({message})"), error)
        }
        ErrorKind::NotFound
        | ErrorKind::Duplicate
        | ErrorKind::InUse
        | ErrorKind::Invalid
        | ErrorKind::Transient
        // The client has held its requests of that kind back already; others need not wait for them.
        | ErrorKind::Throttled
        | ErrorKind::Unknown => Error::transient_from(message, error),
    }
}

fn name_taken(service: &ServiceView, kind: &str, name: &str) -> Error {
    let problem = format!("is the name of a {kind} that is not this Service's");
    let mistake = match service.annotations.contains_key(key::NAME) {
        true => Mistake::in_annotation(key::NAME, name, problem).allowing("a name that nobody has"),
        false => Mistake::new("metadata.uid", name, problem)
            .allowing(format!("another name in {}, or adoption, which the operator enables", key::NAME)),
    };
    mistake.meanwhile("nothing is made, and that one is left alone").into()
}
