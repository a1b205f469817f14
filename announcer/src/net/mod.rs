//! Where frames come from and go to: the node's links, and sockets on them. All that waits for the kernel is in here.
//!
//! What it takes is the capability `CAP_NET_RAW`, and nothing else.

mod changes;
mod groups;
mod links;
mod socket;
mod thread;

pub use changes::LinkChanges;
pub use groups::MulticastGroups;
pub use links::{addresses, links};
pub use socket::{FrameKind, FrameRoom, PacketSocket};
pub use thread::LinkThread;
