//! Fixtures that the end-to-end suites, the benches and the sandbox share.

pub mod apiserver;
pub mod control_plane;
