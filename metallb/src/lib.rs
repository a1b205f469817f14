//! MetalLB's resources field for field; and pools, advertisements and peers validated once.
//!
//! Whoever hands out addresses and whoever announces them must agree on what a pool is: which ranges it has, whom it is
//! for, and which of two that overlap is in force. That is here, as values; there is no client and nothing waits.
//!
//! ```
//! use metallb::{manifest, pools::Pools};
//!
//! let manifests = manifest::parse(
//!     "{apiVersion: metallb.io/v1beta1, kind: IPAddressPool, metadata: {name: lan}, spec: {addresses: [192.168.10.0/24]}}",
//! );
//! let (pools, mistakes) = Pools::parse(&manifests.pools);
//! assert!(mistakes.is_empty());
//! assert_eq!(pools.owner("192.168.10.7".parse().unwrap()).map(|pool| pool.name.as_str()), Some("lan"));
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`crd`] | MetalLB's resources, and the manifests of their definitions |
//! | [`written`] | a resource as it was written, and what is found wrong with it |
//! | [`manifest`] | pools from YAML; one document that is wrong stops nobody but itself |
//! | [`range`], [`selector`], [`reservations`] | ranges of addresses, label selectors, what a pool keeps back: parsed once |
//! | [`per_family`] | a value for IPv4 and one for IPv6 |
//! | [`pool`] | one pool, checked: after that nothing in it can be wrong |
//! | [`pools`] | all of them: which are in force, and to which of them an address belongs |
//! | [`advertisement`], [`peer`], [`bfd_profile`], [`community`] | what is announced, to whom and how, checked |
//! | [`announcing`] | all of that together: what is in force |
//! | [`duration`] | lengths of time, as Go writes them |
//!
//! # Promises
//!
//! * Manifests for MetalLB work as they are; the definition it prints is interchangeable with MetalLB's own.
//! * Each object is judged by itself; what was in force before it got a mistake stays in force.
//! * No two pools in force have an address in common.
//!
//! # Versions
//!
//! It goes with kube 5 and k8s-openapi 0.29, and switches on no version of Kubernetes' API: the program that depends
//! on it does.
#![deny(missing_docs)]

pub mod advertisement;
pub mod announcing;
pub mod bfd_profile;
pub mod community;
pub mod crd;
pub mod duration;
pub mod manifest;
mod number;
pub mod peer;
pub mod per_family;
pub mod pool;
pub mod pools;
pub mod range;
pub mod reservations;
pub mod selector;
pub mod written;

/// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
