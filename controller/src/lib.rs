//! A service controller: watches Services and Nodes, and has a [provider](cloud_provider::CloudLoadBalancer) make
//! the load balancers.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # async fn example(my_cloud: Arc<dyn cloud_provider::CloudLoadBalancer>) -> Result<(), Box<dyn std::error::Error>> {
//! let client = kube::Client::try_default().await?;
//! let stop = tokio_util::sync::CancellationToken::new();
//! service_controller::ServiceController::new(client).provider(my_cloud).run(stop).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # The way of a Service
//!
//! ```text
//! watch ─▶ decide (pure) ─▶ finalizer ─▶ provider call ─▶ status ─▶ event
//! ```
//!
//! * `service` and `nodes` turn Kubernetes' objects into the contract's words; `services` keeps them.
//! * `decide` says what to do: a plain function of what is seen, what was done last, and the clock.
//! * `reconcile` does it, step by step.
//! * `releases` says of whom is deleted what is still held; `queue` who waits to be reconciled.
//! * [`status`] says what is written on a Service; `events` what is told about it.
//! * `retry` knows when to try again; `sweep` finds what was left behind.
//!
//! # What it does that Kubernetes' own controller does not
//!
//! Clean-up always asks the provider to delete, also when nothing seems to exist. One Service is never in two
//! provider calls. Finalizer, status and condition are restored when somebody removes them. A Service deleted
//! without a finalizer is released all the same. Node changes are gathered and told once. Retries have jitter, a
//! waiting load balancer is no failure, and a user's mistake is not retried until the user changes something.
//! Each point of that list is a test in the workspace's end-to-end suites.
//!
//! # Promises
//!
//! * What serves goes on serving: no mistake of a user's, failure of a provider's or restart of ours takes an address away.
//! * Stale knowledge deletes nothing: what a list lacks is asked for by name first.
//! * With [`run_while_leading`](ServiceController::run_while_leading) nothing is called or sent by a process that leads no
//!   more, but for what was begun and ends before anybody else can lead.
//! * The library reads no environment variable, installs nothing global and never ends the process.
//!
//! # Versions and features
//!
//! It goes with kube 5 (`client` and `runtime`, TLS by rustls with ring) and k8s-openapi 0.29, and switches on no version
//! of Kubernetes' API: the program that embeds it does, with a feature such as `latest`. It has no features of its own.
//! Log lines are `tracing`'s, metrics are `prometheus-client`'s, and both go where the program sends them.
#![deny(missing_docs)]

pub mod config;
mod context;
mod controller;
mod decide;
mod error;
mod events;
mod follow;
mod health;
pub mod leader;
mod leading;
mod memory;
pub mod metrics;
mod nodes;
mod providers;
mod queue;
mod reconcile;
mod releases;
mod resume;
mod resumption;
mod retry;
mod service;
mod service_api;
mod services;
mod sparse;
pub mod status;
mod status_pace;
mod sweep;
mod token_bucket;
pub mod user_agent;

/// What bounds requests to the API server.
pub use apiserver_client::Bounds;
pub use config::Config;
pub use controller::ServiceController;
pub use error::Error;
pub use health::Health;
pub use metrics::Metrics;
/// What [`Metrics::extend`] hands out is of this version of it.
pub use prometheus_client;
pub use user_agent::UserAgent;
