//! What is to be announced, and by which nodes: a plain function of what the API server holds.
//!
//! The same [`View`] gives the same answer on every node, so that nodes agree without asking each other. Who of several
//! nodes answers is not decided here: on the local network that is the heartbeat's to say, and to routers all advertise.
//!
//! ```text
//! a published address ─▶ its pool ─▶ advertisements of the pool that take the Service ─▶ nodes that one of them takes,
//! whose network is up, that nobody excluded, and that have a serving endpoint where the policy asks for one
//! ```
//!
//! Whatever is refused has a [`Refusal`], for an address as a whole or for a node.

mod bgp;
mod layer2;
mod nodes;
mod offer;
mod refusal;
mod view;

pub use bgp::{Advertised, BgpAnnouncements, Conflict, bgp};
pub use layer2::{Announcement, ByNode, Candidate, Interfaces, layer2};
pub use offer::{Hostname, hostnames};
pub use refusal::Refusal;
pub use view::{ServingNodes, View};
