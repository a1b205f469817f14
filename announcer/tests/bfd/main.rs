//! BFD: packets byte by byte, sessions by scripts and against each other, and whatever bytes a network may bring.

mod packets;
mod paths;
mod sessions;
