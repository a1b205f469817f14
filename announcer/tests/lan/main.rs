//! What is said and heard on a real network: network namespaces on this machine, which its user may make without a right
//! of root's. It needs `unshare` and `nsenter` (util-linux) and `ip` (iproute2).

mod answers;
mod network;
mod node;
mod scenes;
mod sockets;
