//! The smallest program around the library that has everything: a provider of its own and leadership.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use cloud_provider::{
    BackendInterest, CloudLoadBalancer, Error, Outcome, Owned, Plan, Published, Request, ServiceId, ServiceView,
};
use service_controller::ServiceController;
use service_controller::leader::{LeaderConfig, Leadership};
use tokio_util::sync::CancellationToken;

/// Publishes one address, to everybody.
struct One(IpAddr);

impl One {
    fn published(&self) -> Published {
        Published::addresses([self.0])
    }
}

#[async_trait]
impl CloudLoadBalancer for One {
    fn name(&self) -> &str {
        "one"
    }

    fn claims(&self, service: &ServiceView) -> bool {
        service.class.as_deref() == Some("example.com/one")
    }

    fn holds_resources(&self) -> bool {
        false
    }

    fn backends(&self, _service: &ServiceView) -> BackendInterest {
        BackendInterest::none()
    }

    async fn resume(&self, _services: &[Arc<ServiceView>]) -> Result<(), Error> {
        Ok(())
    }

    async fn get(&self, _service: &ServiceView) -> Result<Option<Published>, Error> {
        Ok(Some(self.published()))
    }

    async fn ensure(&self, _request: &Request) -> Result<Outcome, Error> {
        Ok(Outcome::ready(self.published()))
    }

    async fn update_backends(&self, _request: &Request) -> Result<(), Error> {
        Ok(())
    }

    async fn delete(&self, _service: &ServiceId) -> Result<(), Error> {
        Ok(())
    }

    async fn plan(&self, _request: &Request) -> Result<Plan, Error> {
        Ok(Plan::default())
    }

    async fn list(&self) -> Result<Vec<Owned>, Error> {
        Ok(Vec::new())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let provider = Arc::new(One("192.0.2.1".parse()?));
    let config = kube::Config::infer().await?;
    let lease = LeaderConfig::new("kube-system", "embedder");
    let leadership = Leadership::new(kube::Client::try_from(config.clone())?, lease)?;
    let controller = ServiceController::new(leadership.fenced_client(config)?).provider(provider);
    Ok(controller.run_while_leading(&leadership, CancellationToken::new()).await?)
}
