//! The smallest provider: a platform that keeps one hostname for each Service. It keeps the whole contract.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use cloud_provider::testing::{Harness, conformance::conformance};
use cloud_provider::{
    BackendInterest, CloudLoadBalancer, Error, Ingress, Outcome, Owned, Plan, Published, Request, ServiceId,
    ServiceView, Step, Verb, name::load_balancer_name,
};

/// A process, and in it what is outside: a real provider has a client here.
#[derive(Clone, Default)]
struct Hello(Arc<Mutex<BTreeSet<ServiceId>>>);

fn published(service: &ServiceId) -> Published {
    let name = format!("{}.hello.example", load_balancer_name(service));
    Published::new([Ingress::hostname(name)])
}

#[async_trait]
impl CloudLoadBalancer for Hello {
    fn name(&self) -> &'static str {
        "hello"
    }
    fn claims(&self, service: &ServiceView) -> bool {
        service.class.is_none()
    }
    fn holds_resources(&self) -> bool {
        true
    }
    fn backends(&self, _service: &ServiceView) -> BackendInterest {
        BackendInterest::none()
    }
    async fn resume(&self, _services: &[Arc<ServiceView>]) -> Result<(), Error> {
        Ok(())
    }
    async fn get(&self, service: &ServiceView) -> Result<Option<Published>, Error> {
        Ok(self.0.lock().unwrap().get(&service.id).map(published))
    }
    async fn ensure(&self, request: &Request) -> Result<Outcome, Error> {
        let id = &request.service().id;
        self.0.lock().unwrap().insert(id.clone());
        Ok(Outcome::ready(published(id)))
    }
    async fn update_backends(&self, _request: &Request) -> Result<(), Error> {
        Ok(())
    }
    async fn delete(&self, service: &ServiceId) -> Result<(), Error> {
        self.0.lock().unwrap().remove(service);
        Ok(())
    }
    async fn plan(&self, request: &Request) -> Result<Plan, Error> {
        let id = &request.service().id;
        let create = Step::new(Verb::Create, "hostname", load_balancer_name(id), "the Service has none");
        Ok(if self.0.lock().unwrap().contains(id) { Plan::default() } else { Plan::new([create]) })
    }
    async fn list(&self) -> Result<Vec<Owned>, Error> {
        let owned = |id: &ServiceId| Owned::new(id.clone(), load_balancer_name(id));
        Ok(self.0.lock().unwrap().iter().map(owned).collect())
    }
}

#[async_trait]
impl Harness for Hello {
    async fn start(&self) -> Arc<dyn CloudLoadBalancer> {
        Arc::new(self.clone())
    }
    async fn leftovers(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(ToString::to_string).collect()
    }
}

#[tokio::main]
async fn main() {
    conformance(&Hello::default()).await;
    println!("hello keeps the contract");
}

#[test]
fn the_smallest_provider_keeps_the_contract() {
    main();
}
