//! The seam between this crate and AWS.
//!
//! ```text
//! provider ──▶ Aws ──▶ RateLimited ──▶ Counted ──▶ sdk (or the strict in-memory AWS, feature `testing`)
//!              │
//!              └ follows pages, joins equal reads, batches, caches, keeps the shared Snapshot
//! ```
//!
//! Two levels:
//! - [`Elbv2`] and [`Ec2`]: one method is **one request to AWS**, so that what is counted, paced and failed
//!   on purpose is what AWS sees and bills against its rate limits. Lists come in [`Page`]s. Every
//!   implementation and wrapper is interchangeable.
//! - [`Aws`]: what the rest of the crate uses. Same calls with all pages followed, plus the reads that all
//!   Services share.
//!
//! All values are the plain data of this module; the SDK's types do not leave the `sdk` module.

mod aws;
mod batch;
mod cache;
mod call;
mod counted;
mod ec2;
mod elbv2;
pub mod error;
#[cfg(feature = "testing")]
pub mod fake;
mod layered;
mod pacing;
mod rate;
mod sdk;
mod snapshot;
mod types;

pub use aws::{Aws, SharingOptions};
pub use call::{ACTIONS, CALLED_BY_AWS, Call, RateBucket};
pub use counted::{Counted, Counting, Meter, RequestOutcome, Sum, Tally};
pub use ec2::{Ec2, FILTER_VALUES};
pub use elbv2::{ARNS_PER_CALL, ATTRIBUTES_PER_CALL, Elbv2, PAGE_SIZE, TARGETS_PER_CALL};
pub use layered::{Around, Layered};
pub use pacing::{Pacing, RateLimited, Ticket, in_turn};
pub use rate::{NotARate, Rate, Rates};
pub use sdk::{
    Identity, InstanceMetadata, NoIdentity, ReadByAws, Sdk, SdkOptions, SetupError, Trial, TrialOutcome,
};
pub use snapshot::{Snapshot, Tagged};
pub use types::*;

use error::ApiError;

/// The outcome of a request to AWS.
pub type Result<T, E = ApiError> = std::result::Result<T, E>;
