//! The generic service controller.

pub mod leader;
