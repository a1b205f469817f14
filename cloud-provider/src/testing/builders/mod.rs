//! Services and nodes for tests: sensible defaults, and one word for each thing that matters to the test.

use std::net::IpAddr;
use std::sync::Arc;

use crate::backends::Backends;
use crate::provider::Request;
use crate::service::ServiceView;

mod endpoint;
mod node;
#[cfg(feature = "kubernetes")]
mod object;
mod service;

pub use endpoint::endpoints;
pub use node::{NodeBuilder, a_node, nodes};
#[cfg(feature = "kubernetes")]
pub use object::{node_object, service_object};
pub use service::{ServiceBuilder, a_service, a_service_named};

/// A request for this Service, mistakes and all, on these nodes or other backends.
pub fn request<B: Clone + Into<Backends>>(service: &ServiceView, backends: &B) -> Request {
    Request::with_mistakes(Arc::new(service.clone()), backends.clone())
}

/// FNV-1a: std's hashers promise no stability, and a UID in a failing test should be the same tomorrow.
fn digest(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn parse_ip(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|error| panic!("{text:?} in a test: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::NodeSet;
    use crate::protocol::IpFamily;

    #[test]
    fn two_services_differ_and_the_same_service_is_always_the_same() {
        let (a, b) = (a_service().build(), a_service_named("default", "api").build());
        assert_eq!(a, a_service().build());
        assert_ne!(a.id.uid, b.id.uid);
        assert_ne!(a.cluster_ips, b.cluster_ips);
        assert_eq!((a.ports[0].port, a.ports[0].node_port), (80, Some(30080)));
    }

    #[test]
    fn a_dual_stack_service_has_a_cluster_ip_in_each_family() {
        let service = a_service().dual_stack().build();
        assert_eq!(service.cluster_families(), [IpFamily::V4, IpFamily::V6]);
    }

    #[test]
    fn an_excluded_node_is_in_no_set() {
        let set = NodeSet::of([a_node("n1").build(), a_node("n2").excluded().build()]);
        assert_eq!(set.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["n1"]);
        assert_eq!(nodes(3).len(), 3);
    }
}
