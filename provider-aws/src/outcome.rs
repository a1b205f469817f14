//! What the controller is told of a Service that was brought to what it should be, or as far as AWS lets it. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use cloud_provider::{
    Error, Ingress, Note, NoteKind, Outcome, Pending, PortStatus, Protocol as ServiceProtocol, Published,
    Ready, ServicePort, ServiceView,
};

use crate::client::{Listener, LoadBalancer, LoadBalancerState, Protocol};
use crate::failure::{StepFailure, together};
use crate::plan::{Part, Wait};

/// The reason of an outcome where some of it is refused and the rest is done.
pub(crate) const PARTLY_REFUSED: &str = "PartlyRefused";

/// The reason while AWS makes the load balancer.
const PROVISIONING: &str = "Provisioning";

/// What came of a plan.
#[derive(Debug, Default)]
pub(crate) struct LeftOpen {
    pub(crate) waits: BTreeSet<Wait>,
    pub(crate) failures: Vec<(Part, StepFailure)>,
    /// How long until targets that AWS refused are worth another try; none when it refused none.
    pub(crate) refused_targets: Option<Duration>,
}

/// The host name in lower case, as both peers publish it, with the ports it serves; `failed` says of ports why not.
pub(crate) fn published(
    service: &ServiceView,
    lb: &LoadBalancer,
    failed: &[(Part, StepFailure)],
) -> Published {
    let failure = |port: u16| failed.iter().find(|(part, _)| *part == Part::Port(port));
    let status = |port: &ServicePort| match failure(port.port) {
        None => PortStatus::served(port.port, port.protocol),
        Some((_, failure)) => {
            let error = format!("elasticloadbalancing.amazonaws.com/{}", failure.code());
            PortStatus::failed(port.port, port.protocol, error)
        }
    };
    with_ports(lb, service.ports.iter().map(status).collect())
}

/// The same of what exists, whatever the Service asks for: a port is served that has a listener.
pub(crate) fn served(service: &ServiceView, lb: &LoadBalancer, listeners: &[Listener]) -> Published {
    let each = |listener: &Listener| {
        let tcp = (listener.protocol != Protocol::Udp).then_some(ServiceProtocol::Tcp);
        let udp = listener.protocol.carries_udp().then_some(ServiceProtocol::Udp);
        let port = listener.port;
        tcp.into_iter().chain(udp).map(move |protocol| PortStatus::served(port, protocol))
    };
    let mut ports: Vec<PortStatus> = listeners.iter().flat_map(each).collect();
    // In the order of the Service, or it would seem to be news.
    let place = |it: &PortStatus| {
        let is_it = |port: &ServicePort| (port.port, port.protocol) == (it.port, it.protocol);
        service.ports.iter().position(is_it).unwrap_or(service.ports.len())
    };
    ports.sort_by_key(|it| (place(it), it.port, it.protocol));
    with_ports(lb, ports)
}

fn with_ports(lb: &LoadBalancer, ports: Vec<PortStatus>) -> Published {
    Published::new([Ingress::hostname(lb.dns_name.to_lowercase()).with_ports(ports)])
}

/// What the user is told of a part that failed. What is refused about the nodes' own groups, no annotation asked for.
pub(crate) fn told(part: &Part, failure: StepFailure, service: &ServiceView) -> Error {
    match part {
        Part::NodeGroup(_) => failure.general(),
        _ => failure.for_service(service),
    }
}

/// What failed as one error, if it leaves nothing that could be shown to clients: what everything stands on failed,
/// or every port, or something that is not AWS's refusal and is best tried again soon.
pub(crate) fn fatal(
    service: &ServiceView,
    failures: Vec<(Part, StepFailure)>,
) -> Result<Vec<(Part, StepFailure)>, Error> {
    let has_failed = |port: u16| failures.iter().any(|(part, _)| *part == Part::Port(port));
    let stands = failures.iter().all(|(part, _)| *part != Part::Foundation);
    let is_fatal = !stands
        || failures.iter().any(|(_, failure)| !failure.is_refusal())
        || service.ports.iter().all(|port| has_failed(port.port));
    match is_fatal {
        true => {
            let errors = failures.into_iter().map(|(part, failure)| told(&part, failure, service)).collect();
            Err(match together(errors) {
                // No port is as it is asked for, and all else is.
                Some(Error::Invalid(mistakes)) if stands => Error::InvalidInPart(mistakes),
                Some(error) => error,
                None => Error::transient("nothing could be done"),
            })
        }
        false => Ok(failures),
    }
}

/// There is a load balancer, and with it a host name; listeners come with the next call, which is due at once.
pub(crate) fn named(service: &ServiceView, lb: &LoadBalancer) -> Pending {
    let pending = Pending::new(PROVISIONING, is_being_made(lb)).look_again_after(Duration::ZERO);
    pending.publishing(published(service, lb, &[]))
}

fn is_being_made(lb: &LoadBalancer) -> String {
    format!("AWS is making the load balancer {}", lb.name)
}

/// The outcome, by what keeps the Service from being done, most important first.
///
/// The host name is published at once: it never changes, and clients that resolve it early only wait for DNS, as they
/// would after the status (both peers publish while provisioning).
pub(crate) fn outcome(
    service: &ServiceView,
    lb: &LoadBalancer,
    mut notes: Vec<Note>,
    left: LeftOpen,
    look: Duration,
    refused_look: impl FnOnce() -> Duration,
) -> Outcome {
    let replaces = left.waits.contains(&Wait::Replacement);
    let published = published(service, lb, &left.failures);
    let pending =
        |reason: &str, why: String, after: Duration, publish: Option<Published>, notes: Vec<Note>| {
            let pending = Pending::new(reason, why).look_again_after(after).with_notes(notes);
            Outcome::Pending(match publish {
                Some(published) => pending.publishing(published),
                None => pending,
            })
        };
    if !left.failures.is_empty() {
        let errors: Vec<Error> =
            left.failures.into_iter().map(|(part, failure)| told(&part, failure, service)).collect();
        let note = |error: &Error| Note::new(NoteKind::Warning, error.class().as_str(), error.to_string());
        notes.extend(errors.iter().map(note));
        let why: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let why = format!("all is done but for what AWS refuses: {}", why.join("; "));
        let publish = Some(published).filter(|_| !replaces);
        return pending(PARTLY_REFUSED, why, refused_look(), publish, notes);
    }
    if lb.state == LoadBalancerState::Provisioning {
        // It is woken when the load balancer is made; this is for the case that nobody listens.
        return pending(
            PROVISIONING,
            is_being_made(lb),
            look * 4,
            Some(published).filter(|_| !replaces),
            notes,
        );
    }
    if replaces {
        let why = format!("{} takes over; the old load balancer goes once clients are told", lb.name);
        return pending("Replacing", why, look, Some(published), notes);
    }
    if left.waits.contains(&Wait::Draining) {
        let why = "connections to a target group that is going away are given time to end".to_owned();
        return pending("Draining", why, look, Some(published), notes);
    }
    if let Some(after) = left.refused_targets {
        let why = "AWS refused some of the nodes as targets; the others serve".to_owned();
        return pending("TargetsRefused", why, after.max(look), Some(published), notes);
    }
    Outcome::Ready(Ready::new(published).with_notes(notes))
}

#[cfg(test)]
mod tests {
    use cloud_provider::ErrorClass;
    use cloud_provider::testing::a_service;

    use super::*;
    use crate::client::Call;
    use crate::error::ApiError;
    use crate::options::annotation::key;

    #[test]
    fn what_is_refused_about_the_nodes_own_groups_is_no_annotations_fault() {
        let service = a_service().annotation(key::PREFIX_LISTS, "pl-1").build();
        let full = || {
            let code = "RulesPerSecurityGroupLimitExceeded";
            StepFailure::Api(ApiError::new(Call::AuthorizeSecurityGroupIngress, code, "full"))
        };
        assert_eq!(told(&Part::Access, full(), &service).class(), ErrorClass::Invalid);
        assert_eq!(told(&Part::NodeGroup("sg-1".into()), full(), &service).class(), ErrorClass::Quota);
    }
}
