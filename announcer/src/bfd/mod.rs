//! Bidirectional forwarding detection: two ends that tell each other several times a second that they are there, so that
//! what BGP would notice after its hold time is noticed at once (RFC 5880, RFC 5881, RFC 5883).
//!
//! | module | what |
//! |---|---|
//! | [`packet`] | control packets as values |
//! | [`session`] | a session as a plain function of time and packets |
//! | [`path`] | sessions over UDP: all that waits |
//!
//! Named limits: no echo, no demand mode of our own, no authentication; one minimum TTL for all peers of one address of ours.

pub mod packet;
pub mod path;
pub mod session;
mod socket;
