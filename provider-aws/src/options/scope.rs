//! What of a load balancer a field of a Service decides: what a mistake in that field leaves undone, and nothing else.

use std::collections::BTreeSet;

use cloud_provider::{Ordered, ServicePort, ServiceView};

/// What of a load balancer a field of a Service decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// How all else is to be understood.
    Everything,
    /// Subnets, the addresses in them, source NAT.
    Zones,
    /// Who may connect, and by which security groups.
    Access,
    /// Attributes of the load balancer, and what else is set on it.
    Attributes,
    /// Tags of all that is made for the Service.
    Tags,
    /// Which nodes are targets.
    Nodes,
    /// All listeners and target groups.
    Ports,
    /// Which ports there are, and so all listeners and target groups: none comes and none goes.
    PortList,
    /// The listeners that end TLS, and their target groups.
    Tls,
    /// The listener of one port, and its target group.
    Port(u16),
}

/// These scopes with TLS as the ports that `ends_tls` says, and without ports that the Service does not have.
pub(super) fn of_service(
    scopes: BTreeSet<Scope>,
    service: &ServiceView,
    ends_tls: impl Fn(&ServicePort) -> bool,
) -> BTreeSet<Scope> {
    let has = |number: u16| service.ports.iter().any(|port| port.port == number);
    let tls = service.ports.iter().filter(|port| ends_tls(port)).map(|port| Scope::Port(port.port));
    let tls: Vec<Scope> = tls.filter(|_| scopes.contains(&Scope::Tls)).collect();
    let known = scopes.into_iter().filter(|scope| match scope {
        Scope::Tls => false,
        Scope::Port(port) => has(*port),
        _ => true,
    });
    known.chain(tls).ordered()
}
