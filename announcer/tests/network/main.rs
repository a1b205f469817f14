//! What is said and heard on real networks: those of network namespaces on this machine, which its user may make without a
//! right of root's, where the kernel lets users make namespaces.
//!
//! `lan` is a switch with machines on it, and what clients of an address meet while nodes come, go and break. It needs
//! `unshare` and `nsenter` (util-linux) and `ip` (iproute2). `frr` is FRR as the router: what our speaker tells arrives in
//! the kernel of a real one.

mod frr;
mod lan;
mod namespaces;
