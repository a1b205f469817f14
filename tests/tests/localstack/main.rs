//! The AWS backend over HTTP: a control plane, the AWS SDK, and an emulator of AWS.

mod requests;
