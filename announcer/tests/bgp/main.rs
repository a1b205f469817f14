//! The BGP speaker: messages byte by byte, sessions by scripts, and whatever bytes a network may bring.

mod any_bytes;
mod connections;
mod messages;
mod reader;
mod sessions;
mod updates;
