//! Names of load balancers, for providers that have no scheme of their own.
//!
//! A name is a pure function of the Service's UID, so that a create whose reply was lost is found again by
//! name, and two leaders that overlap for a moment ask for the same thing.

use crate::service::ServiceId;

/// The longest name [`load_balancer_name`] returns.
pub const MAX_LENGTH: usize = 32;

/// The name Kubernetes' cloud providers use by default: `a`, then the UID without dashes, cut to 32 characters.
/// Starts with a letter, holds letters and digits only.
pub fn load_balancer_name(service: &ServiceId) -> String {
    std::iter::once('a')
        .chain(service.uid.chars().filter(char::is_ascii_alphanumeric))
        .take(MAX_LENGTH)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_name_is_a_then_the_uid_cut_to_32() {
        let service = ServiceId::new("ns", "web", "0c1b2d3e-4f50-6172-8394-a5b6c7d8e9f0");
        assert_eq!(load_balancer_name(&service), "a0c1b2d3e4f5061728394a5b6c7d8e9f");
    }
}
