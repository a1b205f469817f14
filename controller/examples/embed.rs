//! A cloud-controller-manager of your own: a provider, leadership, and a clean stop at SIGTERM.
//!
//! The provider publishes `NAME.NAMESPACE.lb.example.com` for every Service of the class `example.com/wildcard`,
//! for a place where DNS leads all of `*.lb.example.com` to one proxy in front of the nodes. Nothing is made outside
//! the cluster, so there is nothing to clean up either.
//!
//! In the Lease it is called by its Pod, where the Pod's manifest tells it that name as `POD_NAME`.
//!
//! ```console
//! $ KUBECONFIG=~/.kube/config cargo run -p service-controller --example embed
//! ```

use std::error::Error as StdError;
use std::sync::Arc;

use async_trait::async_trait;
use cloud_provider::{
    BackendInterest, CloudLoadBalancer, Error, Ingress, Outcome, Owned, Plan, Published, Request, ServiceId,
    ServiceView, Step, Verb,
};
use service_controller::leader::{LeaderConfig, Leadership};
use service_controller::{ServiceController, UserAgent};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

const NAME: &str = "wildcard-controller-manager";

struct Wildcard;

fn wanted(service: &ServiceView) -> Published {
    let key = &service.id.key;
    let name = format!("{}.{}.lb.example.com", key.name, key.namespace);
    Published::new([Ingress::hostname(name)])
}

#[async_trait]
impl CloudLoadBalancer for Wildcard {
    fn name(&self) -> &'static str {
        "wildcard"
    }
    fn claims(&self, service: &ServiceView) -> bool {
        service.class.as_deref() == Some("example.com/wildcard")
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
    async fn get(&self, service: &ServiceView) -> Result<Option<Published>, Error> {
        Ok(Some(wanted(service)).filter(|published| published.ingress == service.published))
    }
    async fn ensure(&self, request: &Request) -> Result<Outcome, Error> {
        Ok(Outcome::ready(wanted(request.service())))
    }
    async fn update_backends(&self, _request: &Request) -> Result<(), Error> {
        Ok(())
    }
    async fn delete(&self, _service: &ServiceId) -> Result<(), Error> {
        Ok(())
    }
    async fn plan(&self, request: &Request) -> Result<Plan, Error> {
        let missing = self.get(request.service()).await?.is_none();
        Ok(Plan::new(missing.then(|| Step::new(Verb::Change, "status", "hostname", "it is not shown"))))
    }
    async fn list(&self) -> Result<Vec<Owned>, Error> {
        Ok(Vec::new())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let config = kube::Config::infer().await?;
    let mut lease = LeaderConfig::new("kube-system", NAME);
    lease.user_agent = UserAgent::new(NAME, env!("CARGO_PKG_VERSION"))?;
    lease.identity = std::env::var("POD_NAME").unwrap_or(lease.identity);
    let leadership = Leadership::new(kube::Client::try_from(config.clone())?, lease)?;
    let (client, stop) = (leadership.fenced_client(config)?, CancellationToken::new());
    let (ending, mut terminate) = (stop.clone(), signal(SignalKind::terminate())?);
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = tokio::signal::ctrl_c() => {} }
        ending.cancel();
    });
    ServiceController::new(client).provider(Arc::new(Wildcard)).run_while_leading(&leadership, stop).await?;
    Ok(())
}
