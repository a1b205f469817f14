//! Addresses for Kubernetes Services of type `LoadBalancer` on bare metal, from MetalLB's own address pools.
//!
//! Pools are MetalLB's [`IPAddressPool`](metallb::crd::IPAddressPool) resources, wishes are MetalLB's
//! [annotations](desired), and what is published is what MetalLB's speaker announces. There is no other store: the
//! status of a Service is the record of its address, and a new process reads it all from there.
//!
//! ```
//! use cloud_provider::CloudLoadBalancer;
//! use metallb::manifest;
//! use provider_bare::{BareConfig, BareProvider, PoolSource};
//!
//! let manifests = manifest::parse(
//!     "{apiVersion: metallb.io/v1beta1, kind: IPAddressPool, metadata: {name: lan}, spec: {addresses: [192.168.10.0/24]}}",
//! );
//! let mut config = BareConfig::default();
//! config.pools = PoolSource::Static(manifests.pools);
//! let provider = BareProvider::new(config, None)?;
//! assert_eq!(provider.name(), "bare");
//! assert_eq!(provider.pool_statuses()["lan"].available_ipv4, 256);
//! # Ok::<(), provider_bare::error::SourceError>(())
//! ```
//!
//! # The data's way
//!
//! ```text
//! Service ──desired──▶ AddressRequest ───────────┐
//! IPAddressPools ──▶ Pools ──────────────────────┼─▶ Allocator ──plan──▶ Decision ──report──▶ Outcome
//! Namespaces ────────────────────────────────────┘       │
//!                                                        └─▶ wake-ups: who has what it waited for
//! ```
//!
//! | step | where | what |
//! |---|---|---|
//! | read a Service | [`desired`] | typed; all mistakes reported together |
//! | read the pools | [`metallb`], [`file`](mod@file) | each judged by itself; the last good version stays in force |
//! | decide | [`plan`] | a pure function of the request, what the Service has, and what is free |
//! | keep account | [`allocator`], [`assignments`], [`wait_queue`], [`counters`] | who has what, who waits, what is left |
//! | hear who announces | [`announced`] | a condition of the Service says by whom, or that nobody says so |
//! | IO | `watch`, `pool_status`, `pool_events` | pools and namespaces come in; counters and events on pools go out |
//!
//! # What is promised
//!
//! * What is published stays, through restarts, changes of leader, lost writes and any order of events, until the
//!   user asks for something else or the pool no longer provides it and its
//!   [grace period](BareConfig::pool_grace) is over. Zero pools, or pools that cannot be read, take nothing from
//!   anybody.
//! * An address that any status shows is given to nobody else, ours or not.
//! * A mistake, in a Service or in a pool, harms nobody else and loses nothing.
//! * Whoever waits for an address gets it when one is freed, in a [fixed order](wait_queue::WaitRank), oldest first.
//! * An allocation costs the same in a /24 and in a /64.
//!
//! # Where it differs from MetalLB on purpose
//!
//! * With an announcer other than MetalLB's speaker ([`AnnouncerKind`](plan::AnnouncerKind)) two families may come from two
//!   pools, if no pool has both. A Service that prefers two families may ask for one address.
//! * The first published family is the Service's primary one; what is published already keeps its order.
//! * A sharing key is joined within one namespace only, unless the operator allows more; and it is joined before a
//!   free address is taken.
//! * Pools are asked by priority, then by name, never at random. A condition of a pool that matches nothing denies.
//! * A request that cannot be met leaves the Service what it has.
//!
//! # Versions
//!
//! It goes with kube 5 and k8s-openapi 0.29, switches on no version of Kubernetes' API, and has no features of its own.
//!
//! # Permissions
//!
//! With pools from the cluster: `list` and `watch` on `ipaddresspools.metallb.io` and on `namespaces`, `patch` on
//! `ipaddresspools/status` if counters are written, `create` on `events`.
#![deny(missing_docs)]

pub mod allocation;
pub mod allocator;
pub mod announced;
mod assigned;
pub mod assignments;
mod blocker;
pub mod counters;
pub mod desired;
mod entries;
pub mod error;
pub mod file;
mod free_addresses;
mod maps;
pub mod plan;
mod pool_events;
mod pool_status;
mod provider;
mod recently_freed;
mod report;
mod shared;
pub mod wait_queue;
mod watch;

pub use provider::{BareConfig, BareProvider, PoolSource};

/// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
