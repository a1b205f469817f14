//! How a BGP peer is watched, checked.

use std::time::Duration;

use cloud_provider::Mistake;

use crate::crd::BFDProfileSpec;
use crate::number::{Numbers, milliseconds};
use crate::written::{ObjectKey, Written};

/// A BFD profile without mistakes. Where nothing was said it has the values that FRR has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BfdProfile {
    /// Which object it is.
    pub key: ObjectKey,
    /// The shortest interval at which we can receive.
    pub receive_interval: Duration,
    /// The shortest interval at which we send.
    pub transmit_interval: Duration,
    /// How many packets must fail to come before the peer counts as gone, 2 to 255.
    pub detect_multiplier: u8,
    /// The shortest interval at which we can receive echoes.
    pub echo_interval: Duration,
    /// Whether echoes are used.
    pub echo_mode: bool,
    /// Whether we wait for the peer to begin.
    pub passive_mode: bool,
    /// The least time to live with which packets may come in over several hops, 1 to 254.
    pub minimum_ttl: u8,
}

impl BfdProfile {
    /// Checks a definition.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn parse(definition: &Written<BFDProfileSpec>) -> Result<Self, Vec<Mistake>> {
        let spec = definition.spec.as_ref().map_err(|mistake| vec![mistake.clone()])?;
        let mut numbers = Numbers::default();
        let mut interval = |field, written: Option<i64>, unset| {
            milliseconds(numbers.within(field, written.unwrap_or(unset), 10, 60_000))
        };
        let receive_interval = interval("spec.receiveInterval", spec.receive_interval, 300);
        let transmit_interval = interval("spec.transmitInterval", spec.transmit_interval, 300);
        let echo_interval = interval("spec.echoInterval", spec.echo_interval, 50);
        let multiplier = spec.detect_multiplier.unwrap_or(3);
        let profile = BfdProfile {
            key: definition.key(),
            receive_interval,
            transmit_interval,
            detect_multiplier: numbers.within("spec.detectMultiplier", multiplier, 2, u8::MAX),
            echo_interval,
            echo_mode: spec.echo_mode.unwrap_or(false),
            passive_mode: spec.passive_mode.unwrap_or(false),
            minimum_ttl: numbers.within("spec.minimumTtl", spec.minimum_ttl.unwrap_or(254), 1, 254),
        };
        numbers.unless_wrong(profile)
    }
}
