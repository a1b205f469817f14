//! The ways in which AWS is slow to show or to do what it has accepted.

use std::time::Duration;

use tokio::time::Instant;

/// How long something takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lag {
    /// It is done at once.
    #[default]
    None,
    /// The next this many requests that would show it see it not done yet.
    Looks(u32),
    /// It is done after this time on tokio's clock.
    For(Duration),
}

/// How slow AWS is; by default not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lags {
    /// From a load balancer's creation until it is active; minutes at AWS.
    pub provisioning: Lag,
    /// From a target's first use until its checks have ended.
    pub health_checks: Lag,
    /// How long a deregistered target drains.
    pub draining: Lag,
    /// How long the network interfaces of a deleted load balancer keep its security groups in use; minutes
    /// at AWS.
    pub network_interfaces: Lag,
    /// How long a deleted load balancer is still listed (its tags cannot be read any more).
    pub deleted_listed: Lag,
    /// How long a new listener is unknown to the requests about its certificates.
    pub new_listener: Lag,
    /// How long a target group that no listener uses any more counts as used.
    pub released_target_group: Lag,
    /// How long a new security group is unknown to other requests.
    pub new_security_group: Lag,
    /// How long a zone that was taken out of a load balancer cannot come back; minutes at AWS.
    pub removed_zone: Lag,
    /// How long AWS takes to provide reserved capacity.
    pub capacity: Lag,
}

impl Lags {
    /// The defaults, but for what `change` sets.
    pub fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut lags = Self::default();
        change(&mut lags);
        lags
    }

    /// Everything that AWS does not show at once takes this many looks.
    pub fn looks(n: u32) -> Self {
        Self::all(Lag::Looks(n))
    }

    /// Everything that AWS does not show at once takes this time.
    pub fn time(time: Duration) -> Self {
        Self::all(Lag::For(time))
    }

    fn all(lag: Lag) -> Self {
        Self {
            provisioning: lag,
            health_checks: lag,
            draining: lag,
            network_interfaces: lag,
            deleted_listed: lag,
            new_listener: lag,
            released_target_group: lag,
            new_security_group: lag,
            removed_zone: lag,
            capacity: lag,
        }
    }
}

/// A lag that has begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Countdown {
    #[default]
    Over,
    Looks(u32),
    Until(Instant),
}

impl Countdown {
    pub(super) fn start(lag: Lag, now: Instant) -> Self {
        match lag {
            Lag::None => Self::Over,
            Lag::Looks(n) => Self::Looks(n),
            Lag::For(time) => Self::Until(now + time),
        }
    }

    /// Whether it is still running, as seen by a request that looks.
    pub(super) fn look(&mut self, now: Instant) -> bool {
        match *self {
            Self::Over | Self::Looks(0) => {
                *self = Self::Over;
                false
            }
            Self::Looks(n) => {
                *self = Self::Looks(n - 1);
                true
            }
            Self::Until(end) => end > now,
        }
    }

    /// Whether it is still running; does not count as a look.
    pub(super) fn is_running(&self, now: Instant) -> bool {
        let mut copy = *self;
        copy.look(now)
    }
}
