//! Frames, byte by byte: those of ARP, of neighbour discovery and of the heartbeat; and whatever bytes a network may bring.

mod any_bytes;
mod arp;
mod beat;
mod count;
mod ndp;
