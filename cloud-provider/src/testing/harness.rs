//! A [`MemoryCloud`] as the conformance suite sees it, and with it any wrapper around a provider.

use std::sync::Arc;

use async_trait::async_trait;

use super::calls::Method;
use super::cloud::MemoryCloud;
use super::conformance::{Failure, Harness};
use super::faults::{Calls, Point};
use super::memory::MemoryProvider;
use super::settings::Settings;
use crate::error::ErrorClass;
use crate::provider::CloudLoadBalancer;

type Wrap = dyn Fn(Arc<MemoryProvider>) -> Arc<dyn CloudLoadBalancer> + Send + Sync;

/// The [`Harness`] of a [`MemoryCloud`]. To check a wrapper, [wrap](MemoryHarness::wrapping) its providers in it.
pub struct MemoryHarness {
    cloud: MemoryCloud,
    wrap: Box<Wrap>,
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
        MemoryHarness { cloud: MemoryCloud::with(settings), wrap: Box::new(wrap) }
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
            for method in [Method::Resume, Method::Get, Method::UpdateNodes, Method::Plan, Method::List] {
                self.cloud.fail(Calls::next(method), point, ErrorClass::Transient);
            }
        }
        true
    }

    fn heal(&self) -> bool {
        self.cloud.heal() > 0
    }

    async fn leftovers(&self) -> Vec<String> {
        let balancers = self.cloud.load_balancers().into_keys().map(|name| format!("load balancer {name}"));
        balancers.chain(self.cloud.firewalls().into_keys().map(|name| format!("firewall {name}"))).collect()
    }
}
