//! What an election is configured with.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use cloud_provider::{Mistake, Mistakes};

use crate::user_agent::UserAgent;

const LEASE_DURATION: &str = "lease_duration";
const RENEW_DEADLINE: &str = "renew_deadline";
const RETRY_PERIOD: &str = "retry_period";

/// A configuration that contradicts itself: every mistake, each by the name of its field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidConfig(pub Mistakes);

/// Which Lease to contend for, as whom, and how patiently.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaderConfig {
    /// The name of the Lease; all replicas of one program use the same.
    pub lease_name: String,
    /// The namespace of the Lease.
    pub namespace: String,
    /// Who we are in the record and in events. By default the host's name and a random part. Another one may be a
    /// name that operators know; candidates of one identity are told apart all the same, only not by who reads.
    pub identity: String,
    /// How long the others let a record stand still before they take over. The record has whole seconds only,
    /// so they wait for the next full one.
    pub lease_duration: Duration,
    /// How long after its last successful renewal a leader goes on acting. What remains of the lease then is
    /// the time its calls in flight have to end.
    pub renew_deadline: Duration,
    /// The pause between renewals, and about the pause between a candidate's looks.
    pub retry_period: Duration,
    /// Whether [`Held::release`](super::Held::release) gives the Lease back, so that the next leader need not
    /// wait until it expires.
    pub release_on_exit: bool,
    /// The user agent of the requests and the field manager of the Lease. Default: the name of the executable.
    pub user_agent: UserAgent,
}

impl LeaderConfig {
    /// Kubernetes' defaults: a lease of 15 s, renewed every 2 s, given up after 10 s; unlike in Kubernetes'
    /// own components, released on exit.
    pub fn new(namespace: impl Into<String>, lease_name: impl Into<String>) -> Self {
        LeaderConfig {
            lease_name: lease_name.into(),
            namespace: namespace.into(),
            identity: unique_identity(),
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
            release_on_exit: true,
            user_agent: UserAgent::default(),
        }
    }

    /// With an identity of the caller's choice.
    #[must_use]
    pub fn identified_by(self, identity: impl Into<String>) -> Self {
        LeaderConfig { identity: identity.into(), ..self }
    }

    /// Checks the values against each other.
    ///
    /// # Errors
    /// Every mistake at once, each by the name of its field.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let durations = [
            (LEASE_DURATION, self.lease_duration),
            (RENEW_DEADLINE, self.renew_deadline),
            (RETRY_PERIOD, self.retry_period),
        ];
        let mut mistakes: Vec<Mistake> = durations
            .into_iter()
            .filter(|(_, duration)| duration.is_zero())
            .map(|(field, duration)| mistake(field, duration, "is no time at all").allowing("more than 0s"))
            .collect();
        if self.lease_duration.as_secs() >= i32::MAX as u64 {
            let problem = "does not fit into a Lease";
            mistakes
                .push(mistake(LEASE_DURATION, self.lease_duration, problem).allowing("less than 68 years"));
        }
        if mistakes.is_empty() {
            if self.lease_duration <= self.renew_deadline {
                let problem = "would let a leader act after its lease has expired";
                let allowed = format!("more than {RENEW_DEADLINE}={:?}", self.renew_deadline);
                mistakes.push(mistake(LEASE_DURATION, self.lease_duration, problem).allowing(allowed));
            }
            // client-go's factor, so that a set of flags is right here exactly when it is right there.
            let shortest = self.retry_period.saturating_mul(6) / 5;
            if self.renew_deadline <= shortest {
                let problem = "leaves no time for a renewal to succeed";
                let allowed =
                    format!("more than {shortest:?}, 1.2 times {RETRY_PERIOD}={:?}", self.retry_period);
                mistakes.push(mistake(RENEW_DEADLINE, self.renew_deadline, problem).allowing(allowed));
            }
        }
        for (field, value) in
            [("lease_name", &self.lease_name), ("namespace", &self.namespace), ("identity", &self.identity)]
        {
            if value.is_empty() {
                mistakes.push(Mistake::new(field, "", "is empty"));
            }
        }
        Mistakes::new(mistakes).map_or(Ok(()), |mistakes| Err(InvalidConfig(mistakes)))
    }

    /// The Lease as an operator would name it.
    pub(super) fn lease(&self) -> String {
        format!("{}/{}", self.namespace, self.lease_name)
    }

    /// The longest a single request may take: two of them, a read and a write, fit into the renew deadline.
    pub(super) fn request_timeout(&self) -> Duration {
        (self.renew_deadline / 2).max(Duration::from_secs(1))
    }
}

/// Host name and a random part: tells two processes on one host apart, also one after the other, and two containers
/// that have the same process number.
pub fn unique_identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "unknown-host",
        host => host,
    };
    // Seeded by the operating system, once more for each state.
    let random = RandomState::new().hash_one(std::process::id());
    format!("{host}_{random:016x}")
}

fn mistake(field: &str, value: Duration, problem: &str) -> Mistake {
    Mistake::new(field, format!("{value:?}"), problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(lease: u64, deadline: u64, retry: u64) -> LeaderConfig {
        LeaderConfig {
            lease_duration: Duration::from_millis(lease),
            renew_deadline: Duration::from_millis(deadline),
            retry_period: Duration::from_millis(retry),
            ..LeaderConfig::new("kube-system", "ccm").identified_by("host_1")
        }
    }

    #[test]
    fn the_defaults_are_kubernetes_defaults() {
        let default = LeaderConfig::new("kube-system", "ccm").identified_by("host_1");
        assert_eq!(default, config(15_000, 10_000, 2_000));
        assert_eq!(config(15_000, 10_000, 2_000).validate(), Ok(()));
    }

    #[test]
    fn mistakes_name_the_field_the_value_and_what_is_allowed() {
        for (config, expected) in [
            (config(3_000, 2_000, 500), None),
            (config(15_000, 2_401, 2_000), None),
            (
                config(10_000, 10_000, 2_000),
                Some(
                    "lease_duration: \"10s\" would let a leader act after its lease has expired; \
                     allowed: more than renew_deadline=10s",
                ),
            ),
            (
                config(15_000, 2_400, 2_000),
                Some(
                    "renew_deadline: \"2.4s\" leaves no time for a renewal to succeed; \
                     allowed: more than 2.4s, 1.2 times retry_period=2s",
                ),
            ),
            (
                config(15_000, 0, 0),
                Some(
                    "renew_deadline: \"0ns\" is no time at all; allowed: more than 0s | \
                     retry_period: \"0ns\" is no time at all; allowed: more than 0s",
                ),
            ),
            (
                config(i32::MAX as u64 * 1_000, 10_000, 2_000),
                Some(
                    "lease_duration: \"2147483647s\" does not fit into a Lease; \
                     allowed: less than 68 years",
                ),
            ),
            (
                LeaderConfig::new("", "").identified_by(""),
                Some("lease_name: \"\" is empty | namespace: \"\" is empty | identity: \"\" is empty"),
            ),
        ] {
            let said = config.validate().err().map(|invalid| invalid.to_string());
            assert_eq!(said.as_deref(), expected, "of {config:?}");
        }
    }

    #[test]
    fn no_two_configurations_have_one_identity_unless_they_are_told_so() {
        let identity = || LeaderConfig::new("kube-system", "ccm").identity;
        assert_ne!(identity(), identity());
    }

    #[test]
    fn a_request_may_take_half_the_deadline_but_never_less_than_a_second() {
        for (deadline, timeout) in [(10_000, 5_000), (2_000, 1_000), (1_500, 1_000)] {
            assert_eq!(config(15_000, deadline, 500).request_timeout(), Duration::from_millis(timeout));
        }
    }
}
