//! What the controller keeps of a Service in memory, and who holds it: `cargo bench --workspace --bench memory`; a number
//! behind ` -- ` is how many Services, in place of 5,000.
//!
//! Bytes are counted as they are asked of the allocator, which an allocator rounds up. The API server is this program once
//! more, as a process of its own, so that what it holds is not among them. How much the whole process takes, with code and
//! what connections need, is the bench `scale`'s to say.

mod server;

use std::alloc::System;
use std::sync::Arc;
use std::time::Duration;

use cloud_provider::ServiceView;
use cloud_provider::kubernetes::service_view;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, ListParams};
use metallb::crd::IPAddressPoolSpec;
use metallb::pool::Definition;
use metallb::pools::Pools;
use provider_bare::allocator::Allocator;
use provider_bare::desired::{Ownership, read};
use provider_bare::plan::Policy;
use provider_bare::{BareConfig, BareProvider};
use service_controller::Config;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tests::cluster::Running;

use server::Server;

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What comes and goes with the work has gone after this: events are told at a pace.
const SETTLED: Duration = Duration::from_secs(5);

/// Bytes that are held beyond what was held when this was made.
fn bytes_since(before: &Region<'_, System>) -> f64 {
    let change = before.change();
    change.bytes_allocated as f64 - change.bytes_deallocated as f64
}

#[tokio::main]
async fn main() {
    if server::is_wanted() {
        return server::serve().await;
    }
    let count = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(5_000);
    let mut server = Server::start();
    let provider = BareProvider::new(BareConfig::default(), Some(server.client())).expect("a provider");
    let running = Running::start(server.client(), vec![Arc::new(provider)], Config::default());
    server.has_served(1);
    tokio::time::sleep(SETTLED).await;
    let idle = Region::new(COUNTED);

    server.has_served(count);
    tokio::time::sleep(SETTLED).await;
    let each = bytes_since(&idle) / count as f64;
    // What it does at the same time would be counted among the parts.
    running.crash().await;
    tokio::time::sleep(SETTLED).await;
    println!("{count} Services of one port, served from one pool, at rest");
    println!("{:<58} {each:>7.0} bytes a Service", "the whole process");

    let views = held_by_views(&server).await;
    println!("{:<58} {:>7.0} bytes a Service", "  the view of it, as it is shown", views.1);
    let allocator = held_by_the_allocator(&views.0);
    println!(
        "{:<58} {allocator:>7.0} bytes a Service",
        "  the allocator: its request, and who has its address"
    );
    println!(
        "{:<58} {:>7.0} bytes a Service",
        "  what was done, said and published, the queue, events",
        each - views.1 - allocator
    );
}

/// The views of all Services, and how many bytes each takes.
async fn held_by_views(server: &Server) -> (Vec<Arc<ServiceView>>, f64) {
    let services: Api<Service> = Api::all(server.client());
    let all = services.list(&ListParams::default()).await.expect("the Services").items;
    let before = Region::new(COUNTED);
    let views: Vec<Arc<ServiceView>> = all.iter().map(service_view).map(Arc::new).collect();
    let each = bytes_since(&before) / views.len() as f64;
    (views, each)
}

/// How many bytes an allocator needs for each of these.
fn held_by_the_allocator(views: &[Arc<ServiceView>]) -> f64 {
    let pool = Definition {
        namespace: String::new(),
        name: "pool".to_owned(),
        labels: Default::default(),
        created: None,
        annotations: Default::default(),
        spec: Ok(IPAddressPoolSpec::of([server::POOL])),
    };
    let mut allocator = Allocator::new(Policy::default());
    allocator.set_pools(Pools::parse(&[pool]).0);
    let before = Region::new(COUNTED);
    for view in views {
        allocator.ensure(read(view, Ownership::Ours, false).observed);
    }
    bytes_since(&before) / views.len() as f64
}
