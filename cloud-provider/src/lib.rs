//! The contract between a Kubernetes service controller and the thing that makes load balancers.
//!
//! A *provider* turns Services of type `LoadBalancer` into addresses: a cloud's load balancers, or
//! addresses from a pool on a LAN. It implements one trait, [`CloudLoadBalancer`]; a generic controller does
//! everything that concerns Kubernetes (watching, finalizers, status, events, retries, leadership).
//!
//! The heart of a provider whose Services are all behind one proxy, to which DNS leads every name of a domain:
//!
//! ```
//! # use std::sync::Arc;
//! use cloud_provider::{CloudLoadBalancer, Error, Ingress, Outcome, Published, Request, ServiceView};
//! # use cloud_provider::{Owned, Plan, ServiceId};
//!
//! struct Wildcard;
//!
//! fn wanted(service: &ServiceView) -> Published {
//!     let key = &service.id.key;
//!     Published::new([Ingress::hostname(format!("{}.{}.lb.example.com", key.name, key.namespace))])
//! }
//!
//! #[async_trait::async_trait]
//! impl CloudLoadBalancer for Wildcard {
//!     fn name(&self) -> &'static str {
//!         "wildcard"
//!     }
//!     fn claims(&self, service: &ServiceView) -> bool {
//!         service.class.as_deref() == Some("example.com/wildcard")
//!     }
//!     // Nothing exists outside of the cluster that would have to go before a Service may.
//!     fn holds_resources(&self) -> bool {
//!         false
//!     }
//!     async fn ensure(&self, request: &Request) -> Result<Outcome, Error> {
//!         Ok(Outcome::ready(wanted(request.service())))
//!     }
//!     // And what there is, what would be done, and what goes: nothing more, here.
//! #   async fn resume(&self, _services: &[Arc<ServiceView>]) -> Result<(), Error> { Ok(()) }
//! #   async fn get(&self, service: &ServiceView) -> Result<Option<Published>, Error> {
//! #       Ok(Some(wanted(service)).filter(|published| published.ingress == service.published))
//! #   }
//! #   async fn update_backends(&self, _request: &Request) -> Result<(), Error> { Ok(()) }
//! #   async fn delete(&self, _service: &ServiceId) -> Result<(), Error> { Ok(()) }
//! #   async fn plan(&self, _request: &Request) -> Result<Plan, Error> { Ok(Plan::new([])) }
//! #   async fn list(&self) -> Result<Vec<Owned>, Error> { Ok(Vec::new()) }
//! }
//! ```
//!
//! # The data's way
//!
//! ```text
//! Service ────┐                         ┌─▶ Outcome::Ready(Published)  ──▶ Service status
//!             ├─▶ Request ──▶ ensure ───┼─▶ Outcome::Pending(Pending)  ──▶ another look later
//! Backends  ──┘                         └─▶ Error, with a class         ──▶ event, condition, retry
//! ```
//!
//! * [`ServiceView`], [`NodeView`] and [`Endpoint`] are what a provider may know of a Service and of what its traffic
//!   goes to. They are built once, at the edge, from Kubernetes' objects; strings that can be wrong were parsed there.
//! * [`Published`] is what a provider answers: the addresses, in order, and annotations that describe them.
//! * [`Error`] says by its class what has to happen before it is worth trying again.
//! * [`Plan`] is what a provider would do, as data that prints well.
//!
//! # Writing a provider
//!
//! Read the contract on [`CloudLoadBalancer`], then `testing::MemoryCloud` (feature `testing`), the trait in
//! its plainest form, and run `testing::conformance` from a test of your own. When it passes, you are done.
//!
//! # What may grow
//!
//! Structs that say what is known, wanted or answered are `non_exhaustive`: they are made by a constructor and methods
//! that each say one thing, so that the next field breaks no provider and no controller. Identities ([`ServiceId`],
//! [`EndpointPort`]) are complete as they are. Enums are exhaustive wherever both sides act on every variant
//! ([`Outcome`], [`ErrorClass`], [`Protocol`], [`EndpointState`]): a protocol or a class of errors that somebody passes
//! over in a wildcard is a Service that is served wrongly, and a compiler can find it. [`Error`] alone may gain
//! variants, since whoever handles one goes by its [class](Error::class).
//!
//! # Promises
//!
//! What a provider may rely on, and what is asked of it, stands at each method of [`CloudLoadBalancer`]: every call may be
//! repeated, given up or be the last one that the process makes, and running it again is right. Nothing that serves is
//! broken by a mistake of the user's, which is told by field, value, what is allowed and what happens until then.
//!
//! # Features and versions
//!
//! | feature | what it adds |
//! |---|---|
//! | `kubernetes` | `kubernetes`: the views of Kubernetes' own objects, for whoever watches them |
//! | `testing` | `testing`: a cloud in memory, builders, and the conformance suite |
//!
//! Neither is on by default: a provider needs none of them to run. `kubernetes` goes with k8s-openapi 0.29 and switches
//! on no version of Kubernetes' API; the program that depends on it does.
//!
//! This crate has no Kubernetes client, no SDK and no runtime in its manifest, so nothing in it can do IO.
#![deny(missing_docs)]

mod address;
mod backends;
mod class;
pub mod diff;
mod endpoint;
mod error;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
mod listing;
pub mod name;
mod node;
mod ordered;
mod pause;
mod plan;
mod protocol;
mod provider;
mod service;
mod shared_text;
mod sorted_map;
mod source_range;
#[cfg(feature = "testing")]
pub mod testing;

pub use address::{Ingress, IpMode, PortStatus, ProviderCondition, Published};
pub use backends::{BackendInterest, Backends};
pub use class::{ClassRule, InvalidClass};
pub use endpoint::{Endpoint, EndpointPort, EndpointSet, EndpointState, PodId};
pub use error::{Error, ErrorClass, Mistake, Mistakes, cut_short};
pub use listing::{and_more, some_of};
pub use node::{NodeAddress, NodeAddressKind, NodeSet, NodeView};
pub use ordered::Ordered;
pub use pause::DoublingPause;
pub use plan::{Change, Plan, Step, Verb};
pub use protocol::{IpFamily, Protocol};
pub use provider::{
    CloudLoadBalancer, Note, NoteKind, Outcome, Owned, Pending, Ready, Request, WakeupStream,
};
pub use service::{
    FamilyPolicy, ServiceId, ServiceKey, ServicePort, ServiceView, SessionAffinity, TargetPort, TrafficPolicy,
};
pub use sorted_map::SortedMap;
pub use source_range::{SOURCE_RANGES_ANNOTATION, SourceRanges};

/// The README's code compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
