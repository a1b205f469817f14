//! What the program costs, beside what it may cost: the budgets, the figures that a bench measures for them, and the page
//! `docs/performance.md` that is made of both.

pub mod budgets;
mod figures;
mod machine;
mod page;

use std::path::PathBuf;

pub use budgets::Budget;
pub use figures::{Figures, Growth};
pub use machine::Machine;
pub use page::{Page, Shown};

use crate::process::WORKSPACE;

/// What writes the page.
pub const WRITTEN_BY: &str = "UPDATE_DOCS=1 KUBEBUILDER_ASSETS=$(tests/kubernetes/up all service-controller | tail -1) cargo bench --workspace --bench scale";

/// Where the page is.
pub fn path() -> PathBuf {
    PathBuf::from(WORKSPACE).join("docs/performance.md")
}

/// Whether the page is to be written: `UPDATE_DOCS` is in the environment, as for all that is recorded.
pub fn is_to_be_written() -> bool {
    std::env::var_os("UPDATE_DOCS").is_some()
}
