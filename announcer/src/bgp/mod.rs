//! A BGP speaker that only tells routes: messages as values, and a session as a plain function of time and bytes.
//!
//! What comes from a peer is read as far as a session needs it, and no route of a peer is kept. Rules are those of RFC 4271
//! unless another one is named beside them.
//!
//! | module | what |
//! |---|---|
//! | [`peer`] | a peer as it is configured |
//! | [`route`] | the routes that a peer is to have |
//! | [`session`] | what happens in, what is to be done out |
//! | [`reason`] | why a session is not up |
//! | [`agreement`] | what both ends agree on |
//! | [`adj_out`] | what was told and what is to be told next |
//! | [`connection`], [`dial`] | a session over TCP: all that waits |
//! | [`message`], [`open`], [`update`], [`notification`] | bytes to values, and back |
//!
//! Named limits: no VRF, no unnumbered peers, no password, no next hop of IPv6 for
//! routes of IPv4 (RFC 8950), no check of the TTL of what comes in.

pub mod adj_out;
pub mod agreement;
pub mod connection;
pub mod dial;
pub mod family;
pub mod framing;
pub(crate) mod leaving;
pub mod message;
pub mod notification;
pub mod open;
pub mod peer;
pub mod reason;
pub mod route;
pub mod session;
pub mod update;
