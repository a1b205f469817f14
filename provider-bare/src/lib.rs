//! provider-bare
