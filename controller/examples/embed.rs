//! A cloud-controller-manager of your own: a provider, leadership, and a clean stop.
//!
//! The provider publishes `NAME.NAMESPACE.lb.example.com` for every Service of the class `example.com/wildcard`,
//! for a place where DNS leads all of `*.lb.example.com` to one proxy in front of the nodes. Nothing is made outside
//! the cluster, so there is nothing to clean up either.
//!
//! ```console
//! $ KUBECONFIG=~/.kube/config cargo run -p controller --example embed
//! ```

use std::error::Error as StdError;
use std::sync::Arc;

use async_trait::async_trait;
use cloud_provider::{
    CloudLoadBalancer, Error, Ingress, Outcome, Owned, Plan, Published, Request, ServiceId, ServiceView,
    Step, Verb,
};
use service_controller::leader::{LeaderConfig, Leadership};
use service_controller::{ServiceController, UserAgent};
use tokio_util::sync::CancellationToken;

struct Wildcard;

fn wanted(service: &ServiceView) -> Published {
    let key = &service.id.key;
    let name = format!("{}.{}.lb.example.com", key.name, key.namespace);
    Published { ingress: vec![Ingress::hostname(name)], ..Published::default() }
}

#[async_trait]
impl CloudLoadBalancer for Wildcard {
    fn name(&self) -> &str {
        "wildcard"
    }
    fn claims(&self, service: &ServiceView) -> bool {
        service.class.as_deref() == Some("example.com/wildcard")
    }
    fn holds_resources(&self) -> bool {
        false
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
    async fn update_nodes(&self, _request: &Request) -> Result<(), Error> {
        Ok(())
    }
    async fn delete(&self, _service: &ServiceId) -> Result<(), Error> {
        Ok(())
    }
    async fn plan(&self, request: &Request) -> Result<Plan, Error> {
        let shown = self.get(request.service()).await?.is_some();
        let publish = Step::new(Verb::Change, "status", "hostname", "the Service does not show its name");
        Ok(Plan { steps: if shown { vec![] } else { vec![publish] } })
    }
    async fn list(&self) -> Result<Vec<Owned>, Error> {
        Ok(Vec::new())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let client = kube::Client::try_default().await?;
    let agent = UserAgent::new("wildcard-controller-manager", env!("CARGO_PKG_VERSION"))?;
    let lease = LeaderConfig::new("kube-system", agent.program(), format!("wildcard-{}", std::process::id()));
    let lease = LeaderConfig { user_agent: agent.clone(), ..lease };
    let held = Leadership::new(client.clone(), lease)?.acquire().await;
    let (fence, lost, stop) = (held.fence(), held.lost().clone(), CancellationToken::new());
    let controller = ServiceController::new(client).user_agent(agent).provider(Arc::new(Wildcard));
    let controller = controller.fenced_by(move || fence.is_leader());
    let ending = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = tokio::signal::ctrl_c() => {}, () = lost.cancelled() => {} }
        ending.cancel();
    });
    controller.run(stop).await?;
    Ok(held.release().await?)
}
