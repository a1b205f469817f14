//! The chart, the kustomization and the image: what they render, whether an API server takes it, and whether the
//! program works with exactly the configuration and the rights that it is installed with.
//!
//! Helm is the one that `deploy/tools/up` installs; kubectl is the machine's.

mod announcer;
mod built_image;
mod chart;
mod definitions;
mod doctor;
mod image;
mod objects;
mod release;
mod release_files;
mod render;
mod rights;
mod same_result;
mod values;
mod workflows;

use tests::process;
