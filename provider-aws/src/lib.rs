//! provider-aws
