//! A local network, and who answers on it.

mod answers;
mod network;
mod node;
mod scenes;
mod sockets;
