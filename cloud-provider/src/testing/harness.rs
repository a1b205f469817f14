//! A [`MemoryCloud`] as the conformance suite sees it, and with it any wrapper around a provider.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::builders;
use super::calls::Method;
use super::cloud::MemoryCloud;
use super::conformance::{Failure, Harness, Serving};
use super::faults::{Calls, Point};
use super::memory::MemoryProvider;
use super::settings::Settings;
use crate::error::ErrorClass;
use crate::node::NodeSet;
use crate::provider::CloudLoadBalancer;
use crate::service::{ServiceId, ServiceView};

type Wrap = dyn Fn(Arc<MemoryProvider>) -> Arc<dyn CloudLoadBalancer> + Send + Sync;

/// The [`Harness`] of a [`MemoryCloud`]. To check a wrapper, [wrap](MemoryHarness::wrapping) its providers in it.
///
/// Its nodes `n1`, `n3` and so on carry the label `conformance.example/pool` as `web`, the others as `other`.
pub struct MemoryHarness {
    cloud: MemoryCloud,
    wrap: Box<Wrap>,
    annotations: Vec<(&'static str, &'static str)>,
}

impl MemoryHarness {
    /// Of a new cloud, its providers as they are.
    pub fn new(settings: Settings) -> Self {
        MemoryHarness::wrapping(settings, |provider| provider)
    }

    /// Of a new cloud, each of its providers wrapped.
    pub fn wrapping(
        settings: Settings,
        wrap: impl Fn(Arc<MemoryProvider>) -> Arc<dyn CloudLoadBalancer> + Send + Sync + 'static,
    ) -> Self {
        let annotations = Vec::new();
        MemoryHarness { cloud: MemoryCloud::with(settings), wrap: Box::new(wrap), annotations }
    }

    /// Its Services have this annotation, too.
    pub fn annotated(mut self, key: &'static str, value: &'static str) -> Self {
        self.annotations.push((key, value));
        self
    }

    /// The cloud.
    pub fn cloud(&self) -> &MemoryCloud {
        &self.cloud
    }
}

#[async_trait]
impl Harness for MemoryHarness {
    async fn start(&self) -> Arc<dyn CloudLoadBalancer> {
        (self.wrap)(self.cloud.provider())
    }

    fn service(&self, name: &str) -> ServiceView {
        let service = builders::a_service_named("conformance", name);
        self.annotations.iter().fold(service, |service, (key, value)| service.annotation(key, value)).build()
    }

    fn mistaken(&self, service: &ServiceView) -> Option<ServiceView> {
        let mut mistaken = service.clone();
        mistaken.ports.iter_mut().for_each(|port| port.node_port = None);
        self.cloud.platform(|_, settings| settings.uses_nodes).then_some(mistaken)
    }

    fn nodes(&self, count: usize) -> NodeSet {
        NodeSet::of((1..=count).map(|i| {
            let pool = if i % 2 == 1 { "web" } else { "other" };
            builders::a_node(&format!("n{i}")).label("conformance.example/pool", pool).build()
        }))
    }

    async fn settle(&self) {
        self.cloud.activate_all();
    }

    fn fail(&self, failure: Failure) -> bool {
        self.cloud.heal();
        for method in [Method::Ensure, Method::Delete] {
            // Two outside calls each, one after the other: losing the first reply is dying between the two.
            let point = match (failure.call, failure.reply_lost) {
                (1, false) => Point::Before,
                (1, true) | (2, false) => Point::Midway,
                (2, true) => Point::After,
                _ => continue,
            };
            self.cloud.fail(Calls::next(method), point, ErrorClass::Transient);
        }
        if failure.call == 1 {
            let point = if failure.reply_lost { Point::After } else { Point::Before };
            for method in [Method::Resume, Method::Get, Method::UpdateBackends, Method::Plan, Method::List] {
                self.cloud.fail(Calls::next(method), point, ErrorClass::Transient);
            }
        }
        true
    }

    fn heal(&self) -> bool {
        self.cloud.heal() > 0
    }

    fn slow(&self, outside_call: Duration) -> bool {
        self.cloud.heal();
        self.cloud.slow(Calls::any(), Point::Before, outside_call);
        true
    }

    async fn serving(&self, service: &ServiceId) -> Option<Serving> {
        let balancer = self.cloud.load_balancer_of(&service.key)?;
        let firewall = self.cloud.firewalls().into_values().find(|it| it.owner == *service)?;
        let forwarding = balancer.forwarding;
        let ports = forwarding.ports.iter().map(|(protocol, port, behind)| ((*protocol, *port), *behind));
        Some(
            Serving::nothing()
                .ports(ports)
                .nodes(forwarding.nodes)
                .endpoints(forwarding.endpoints)
                .source_ranges(firewall.lets_through)
                .families(forwarding.families)
                .health_check(forwarding.health_check)
                .affinity(forwarding.affinity),
        )
    }

    async fn leftovers(&self) -> Vec<String> {
        let balancers = self.cloud.load_balancers().into_keys().map(|name| format!("load balancer {name}"));
        balancers.chain(self.cloud.firewalls().into_keys().map(|name| format!("firewall {name}"))).collect()
    }
}
