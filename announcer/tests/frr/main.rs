//! FRR as the router, in network namespaces: what our speaker tells arrives in the kernel of a real one.
//!
//! Each scene is a process in namespaces of its own, which end with it. It needs no root where users may make namespaces.

mod bfd;
mod restart;
mod router;
mod scene;
mod sessions;
