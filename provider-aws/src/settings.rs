//! Settings of a load balancer that AWS tells and changes by requests of their own. All that the steps from an annotation to
//! AWS know of one is here: how it is read, compared, told, asked for and changed, and which annotation a refusal blames. None
//! of the steps names one, so that another is written here, beside its requests in the [client](crate::client).

use serde::Serialize;

use crate::client::{Aws, Call, CapacityChange, Result};
use crate::error::{ApiError, ErrorKind};
use crate::options::annotation::{Reader, key};

/// What a Service asks for of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LoadBalancerSettings {
    /// Reserved capacity; none leaves it as it is.
    pub capacity: Option<CapacityChange>,
}

/// One of them, as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum Setting {
    /// Reserved capacity.
    Capacity(CapacityChange),
}

impl LoadBalancerSettings {
    /// What the annotations say of them.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        LoadBalancerSettings { capacity: read_capacity(reader) }
    }

    /// Those that the Service asks for.
    pub fn wanted(&self) -> impl Iterator<Item = Setting> {
        self.capacity.map(Setting::Capacity).into_iter()
    }
}

impl Setting {
    /// What it is in a sentence.
    pub fn title(self) -> &'static str {
        match self {
            Setting::Capacity(_) => "reserved capacity",
        }
    }

    /// AWS's name for it.
    pub fn field(self) -> &'static str {
        match self {
            Setting::Capacity(_) => "CapacityUnits",
        }
    }

    /// As it should be, in the words in which it is told how it is.
    pub fn value(self) -> String {
        match self {
            Setting::Capacity(CapacityChange::Units(units)) => units_in_words(Some(units)),
            Setting::Capacity(CapacityChange::Reset) => units_in_words(None),
        }
    }

    /// How it is at AWS.
    pub(crate) async fn found(self, aws: &Aws, arn: &str) -> Result<String> {
        match self {
            Setting::Capacity(_) => {
                let reserved = aws.elbv2().describe_capacity_reservation(arn).await?;
                Ok(units_in_words(reserved.minimum_units))
            }
        }
    }

    /// Makes it what it should be.
    pub(crate) async fn change(self, aws: &Aws, arn: &str) -> Result<()> {
        match self {
            Setting::Capacity(to) => aws.elbv2().modify_capacity_reservation(arn, to).await,
        }
    }
}

/// The annotation from which a refusal of such a request comes: it asks for nothing else.
pub(crate) fn annotation_behind(refusal: &ApiError) -> Option<&'static str> {
    let is_of_value = matches!(refusal.kind, ErrorKind::Invalid | ErrorKind::NotPermitted | ErrorKind::Quota);
    (is_of_value && refusal.call == Call::ModifyCapacityReservation).then_some(key::CAPACITY)
}

fn read_capacity(reader: &mut Reader<'_>) -> Option<CapacityChange> {
    let text = reader.text(key::CAPACITY)?;
    let units = text.split_once('=').filter(|(name, _)| name.trim() == "CapacityUnits");
    match units.and_then(|(_, units)| units.trim().parse().ok()) {
        Some(0) => Some(CapacityChange::Reset),
        Some(units) => Some(CapacityChange::Units(units)),
        None => {
            reader.wrong(key::CAPACITY, text, "is not a capacity", "CapacityUnits=N; 0 gives it up");
            None
        }
    }
}

fn units_in_words(units: Option<u32>) -> String {
    units.map_or("none".to_owned(), |units| units.to_string())
}
