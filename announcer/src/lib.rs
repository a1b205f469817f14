//! What a node says on the local network for addresses that none of its interfaces has.
//!
//! Frames are values, the answer to one is a plain function of the frame and of what is held, and which node holds what is
//! a plain value that is told what was heard and what time it is. So is a session with a router. What opens sockets and
//! waits stands at the rim: [`net`], [`bgp::connection`], [`bfd::path`].
//!
//! ```
//! use announcer::answer::{Answered, HeldAddresses, answer};
//! use announcer::arp::ArpFrame;
//! use announcer::ethernet::Mac;
//!
//! let (asking, ours) = (Mac::new([2, 0, 0, 0, 0, 9]), Mac::new([2, 0, 0, 0, 0, 1]));
//! let held = HeldAddresses::new(ours, ["192.0.2.7".parse().unwrap()]);
//! let question = ArpFrame::question(asking, "192.0.2.9".parse().unwrap(), "192.0.2.7".parse().unwrap());
//! assert!(matches!(answer(&question.emit(), &held), Answered::Reply { .. }));
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`agent`] | the announcer of one node at work: what the program `cloud-lb-announcer` runs |
//! | [`announcements`] | which addresses are announced, by which nodes, and why not by others |
//! | [`answer`] | a frame in; an answer, a foreign claim or nothing out |
//! | [`arp`] | frames of ARP, for IPv4 |
//! | [`ndp`] | frames of neighbour discovery, for IPv6 |
//! | [`bfd`] | whether the path to a router is there |
//! | [`bgp`] | sessions with routers, which are told routes |
//! | [`distance`] | how far away a router is |
//! | [`status`] | what is told of it in the cluster, as MetalLB tells it |
//! | [`responder`] | all that one link says, made of the parts above: frames and time in, frames out |
//! | [`net`] | the node's links, sockets on them, and the thread that has a responder at work |
//! | [`link`](mod@link) | which links announce an address |
//! | [`engine`] | MetalLB's peers for our own speaker, or for an FRR that the operator runs |
//! | [`ethernet`] | hardware addresses, and what every frame begins with |
//! | [`beat`] | the signed heartbeat by which the nodes of a segment know of each other and of what they claim |
//! | [`segment`] | which addresses this node answers for on one link |
//! | [`rank`](mod@rank) | which of two nodes comes first for an address |
//! | [`gratuitous`], [`defence`] | when an address is announced without being asked for: at first, now and then, against a foreign claim |
//!
//! # Promises
//!
//! * From the same view every node comes to the same answer about who may announce, and each refusal has a reason.
//! * An address stays where it is: who joins moves nothing, and who dies moves only what it had. Of two nodes that answer
//!   for one address one stops, as soon as it hears the other. See [`segment`] for the rules, and for what can go wrong all
//!   the same.
//! * Any bytes from the network are read without panic. A heartbeat is believed under the cluster's key, and once.
//! * A router is told the new before the old goes, and nothing by who restarts, where routes are kept over a restart.
//! * It needs `CAP_NET_RAW` to answer on links, and no capability for BGP and BFD. There is no unsafe code in it.
//!
//! # Versions
//!
//! It is for Linux. It goes with kube 5 and k8s-openapi 0.29, switches on no version of Kubernetes' API, and has no features
//! of its own.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod agent;
pub mod announcements;
pub mod answer;
pub mod arp;
pub mod beat;
pub mod bfd;
pub mod bgp;
mod clock;
pub mod defence;
pub mod distance;
pub mod engine;
pub mod ethernet;
pub mod gratuitous;
mod icmpv6;
mod jitter;
pub mod link;
pub mod ndp;
pub mod net;
pub mod rank;
pub mod responder;
pub mod segment;
pub mod status;

/// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
