//! The endpoints of a Service.

use std::net::{IpAddr, Ipv4Addr};

use crate::endpoint::{Endpoint, EndpointPort, EndpointSet, EndpointState};
use crate::service::{ServiceView, TargetPort};

/// So many ready Pods behind every port of this Service, the first on node `n1`; a smaller set is part of a larger one.
/// A named target port is 8080.
pub fn endpoints(service: &ServiceView, count: u8) -> EndpointSet {
    EndpointSet::of((1..=count).flat_map(|i| {
        let ip: IpAddr = Ipv4Addr::new(10, 244, 0, i).into();
        service.ports.iter().map(move |port| {
            let number = match port.target_port {
                TargetPort::Number(number) => number,
                TargetPort::Name(_) => 8080,
            };
            let endpoint = Endpoint::new(ip, EndpointState::Ready).on_node(format!("n{i}")).in_zone("zone-a");
            (EndpointPort::new(&port.name, port.protocol, number), endpoint)
        })
    }))
}
