//! A provider that says what it is about to do.

use std::sync::Arc;

use async_trait::async_trait;
use cloud_provider::{
    BackendInterest, CloudLoadBalancer, Error, Outcome, Owned, Plan, Published, Request, ServiceId,
    ServiceView, WakeupStream,
};

use super::page::say;

/// Prints the plan of each Service before it is applied; all else is the provider's behind it.
pub(super) struct PlanFirst(pub(super) Arc<dyn CloudLoadBalancer>);

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl CloudLoadBalancer for PlanFirst {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn claims(&self, service: &ServiceView) -> bool {
        self.0.claims(service)
    }

    fn holds_resources(&self) -> bool {
        self.0.holds_resources()
    }

    fn reads_annotation(&self, key: &str) -> bool {
        self.0.reads_annotation(key)
    }

    fn reads_label(&self, key: &str) -> bool {
        self.0.reads_label(key)
    }

    fn backends(&self, service: &ServiceView) -> BackendInterest {
        self.0.backends(service)
    }

    fn serves_beside_mistakes(&self) -> bool {
        self.0.serves_beside_mistakes()
    }

    fn published_annotations(&self) -> Vec<&str> {
        self.0.published_annotations()
    }

    fn stand_by(&self) {
        self.0.stand_by();
    }

    async fn resume(&self, services: &[Arc<ServiceView>]) -> Result<(), Error> {
        self.0.resume(services).await
    }

    fn observe_foreign(&self, service: &ServiceView) {
        self.0.observe_foreign(service);
    }

    async fn get(&self, service: &ServiceView) -> Result<Option<Published>, Error> {
        self.0.get(service).await
    }

    async fn ensure(&self, request: &Request) -> Result<Outcome, Error> {
        // A plan that cannot be made is no plan to print; `ensure` says why.
        if let Ok(plan) = self.0.plan(request).await
            && !plan.is_empty()
        {
            say(&told(&request.service().id, &plan));
        }
        self.0.ensure(request).await
    }

    async fn update_backends(&self, request: &Request) -> Result<(), Error> {
        self.0.update_backends(request).await
    }

    async fn delete(&self, service: &ServiceId) -> Result<(), Error> {
        self.0.delete(service).await
    }

    fn wakeups(&self) -> WakeupStream {
        self.0.wakeups()
    }

    async fn plan(&self, request: &Request) -> Result<Plan, Error> {
        self.0.plan(request).await
    }

    async fn list(&self) -> Result<Vec<Owned>, Error> {
        self.0.list().await
    }
}

/// One text, so that plans of Services that are served at the same time do not mix.
fn told(service: &ServiceId, plan: &Plan) -> String {
    let steps = plan.to_string();
    let steps: Vec<String> = steps.lines().map(|line| format!("      {line}")).collect();
    format!("  plan for {}:\n{}", service.key.name, steps.join("\n"))
}
