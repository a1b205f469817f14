//! What a node says on the local network for addresses that none of its interfaces has.
//!
//! Frames are values, and the answer to one is a plain function of the frame and of what is held. Nothing here opens a
//! socket or waits.
//!
//! ```
//! use announcer::answer::{Answered, Held, answer};
//! use announcer::arp::ArpFrame;
//! use announcer::ethernet::Mac;
//!
//! let (asking, ours) = (Mac::new([2, 0, 0, 0, 0, 9]), Mac::new([2, 0, 0, 0, 0, 1]));
//! let held = Held::new(ours, ["192.0.2.7".parse().unwrap()]);
//! let question = ArpFrame::question(asking, "192.0.2.9".parse().unwrap(), "192.0.2.7".parse().unwrap());
//! assert!(matches!(answer(&question.emit(), &held), Answered::Reply(_)));
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`answer`] | a frame in; an answer, a foreign claim or nothing out |
//! | [`arp`] | frames of ARP, for IPv4 |
//! | [`ndp`] | frames of neighbour discovery, for IPv6 |
//! | [`bfd`] | whether the path to a router is there |
//! | [`bgp`] | sessions with routers, which are told routes |
//! | [`ethernet`] | hardware addresses, and what every frame begins with |
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod answer;
pub mod arp;
pub mod bfd;
pub mod bgp;
pub mod ethernet;
mod icmpv6;
pub mod ndp;
