//! How a controller meets the API server: no request without an end, no watch that is silent for long, and back at work
//! the moment the server answers again.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use apiserver_client::{Bounds, Watches, bounded};
//! use futures::StreamExt;
//! use k8s_openapi::api::core::v1::Node;
//! use kube::{Api, Client};
//!
//! let client = bounded(&Client::try_default().await?, Bounds::default());
//! let watches = Watches::new(client);
//! let mut nodes = watches.follow("nodes", Api::<Node>::all);
//! while let Some(event) = nodes.next().await {
//!     // Failures were logged already, and the watch goes on by itself.
//!     println!("{event:?}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! ```text
//! Watches ──▶ kube's watcher ──▶ bounded ──▶ kube's client (made by `connect`)
//!    │                              ▲
//!    └──▶ comeback: one look at the server's readiness for all watches that are down
//! ```
//!
//! * [`bounded`] gives up a request that is not answered, and a watch that is silent; [`connect`] makes a client that
//!   besides drops connections which died without a word, sends without waiting for acknowledgements, and waits no longer
//!   than it should when it is told to wait.
//! * [`Watches`] follows kinds of objects through any outage and knows how each of them stands.
//! * [`Comebacks`] is the same look for one who asks by itself.
//! * [`in_words`] says in one line what went wrong.
//! * [`Lean`] is an object without what is most of its text and nobody reads.
//! * [`event`] is what is told about an object, in a form that the server takes.
//!
//! # Why not what kube has
//!
//! kube's client bounds no request, and its watcher notices a dead connection after 295 s. Its default backoff waits 30
//! to 60 s when the server has long been back, and is reset by each attempt to list. A `410` that comes as the status of
//! a watch request makes it ask for the same version for ever. kube's `read_timeout` is used by [`connect`]; it cannot be
//! all, because an embedder brings a client of its own.
//!
//! # Promises
//!
//! * No request is without an end, and no watch is silent for longer than [`Bounds`] say.
//! * A watch is up again within a second after a server that was away for a minute is ready, and a server that is away is
//!   asked by one look for all who wait.
//! * The cause of a failure is one line of the log, in words, each time that it changes.
//!
//! # Versions
//!
//! It goes with kube 5 and k8s-openapi 0.29, switches on no version of Kubernetes' API, and has no features of its own.
#![deny(missing_docs)]

mod backoff;
mod bounds;
mod comeback;
mod connect;
mod event;
mod lean;
mod transport;
mod watch_state;
mod watches;
mod words;

pub use bounds::{Bounds, bounded, is_watch};
pub use comeback::Comebacks;
pub use connect::connect;
pub use event::{event, event_message, event_name};
pub use lean::Lean;
pub use transport::Transport;
pub use watch_state::{WatchFailure, WatchState};
pub use watches::Watches;
pub use words::{in_words, watch_in_words};

/// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
