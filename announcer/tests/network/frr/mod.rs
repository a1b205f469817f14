//! FRR as the router.

mod bfd;
mod restart;
mod router;
mod scene;
mod sessions;
