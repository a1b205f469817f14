//! The AWS backend over HTTP: a control plane, the AWS SDK, and an emulator of AWS.
//!
//! The endpoint is the one `AWS_ENDPOINT_URL` names, or one that `localstack/up` starts for this suite. What
//! emulators do not check is in `localstack/README.md`; the strict AWS in memory checks it, in the provider's
//! own suites.

mod discovery;
mod doctor;
mod fixture;
mod nodes;
mod plan;
mod program;
mod proxies;
mod requests;
mod restarts;
mod sandbox;
mod scripts;
mod services;
mod strict;
