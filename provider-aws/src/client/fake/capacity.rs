//! Reserved minimum capacity.

use super::{
    super::{CapacityChange, CapacityReservation, ZoneCapacity},
    account::AccountState,
    lags::Countdown,
    refusal::{Answered, refuse},
    rules::MALFORMED,
};

/// How often a reservation may be lowered in a day.
const DECREASES_A_DAY: u32 = 2;

impl AccountState {
    pub(super) fn modify_capacity_reservation(&mut self, arn: &str, change: CapacityChange) -> Answered<()> {
        let record = self.load_balancer(arn)?;
        if record.provisioning.is_running(self.now) {
            return refuse("PriorRequestNotComplete", "The load balancer is not active yet");
        }
        self.no_capacity_pending(arn)?;
        let record = self.load_balancer(arn)?;
        let zones: Vec<String> = record.lb.zones.iter().map(|zone| zone.zone.clone()).collect();
        let most = self.quotas.capacity_units_per_zone * u32::try_from(zones.len()).unwrap_or(u32::MAX);
        let capacity = &mut self.load_balancers.get_mut(arn).expect("checked").capacity;
        let units = match change {
            CapacityChange::Reset => {
                *capacity = CapacityReservation {
                    decreases_remaining: capacity.decreases_remaining,
                    ..CapacityReservation::default()
                };
                return Ok(());
            }
            CapacityChange::Units(0) => return refuse(MALFORMED, "Capacity units must be positive"),
            CapacityChange::Units(units) => units,
        };
        if units > most {
            return refuse("CapacityUnitsLimitExceeded", format!("At most {most} capacity units"));
        }
        let mut decreases = capacity.decreases_remaining.unwrap_or(DECREASES_A_DAY);
        if capacity.minimum_units.is_some_and(|before| units < before) {
            decreases = match decreases.checked_sub(1) {
                Some(left) => left,
                None => return refuse("CapacityDecreaseRequestLimitExceeded", "Lowered too often today"),
            };
        }
        let share =
            ZoneCapacity { state: "provisioned".to_owned(), reason: None, effective_units: Some(units) };
        let pending = Countdown::start(self.lags.capacity, self.now);
        *capacity = CapacityReservation {
            minimum_units: Some(units),
            decreases_remaining: Some(decreases),
            zones: zones.into_iter().map(|zone| (zone, share.clone())).collect(),
        };
        self.load_balancers.get_mut(arn).expect("checked").capacity_pending = pending;
        Ok(())
    }

    /// While capacity is being reserved, neither it nor the zones it is reserved in change.
    pub(super) fn no_capacity_pending(&mut self, arn: &str) -> Answered<()> {
        let now = self.now;
        let record = self.load_balancers.get_mut(arn);
        match record.is_some_and(|record| record.capacity_pending.look(now)) {
            true => refuse("CapacityReservationPending", "A capacity reservation is pending"),
            false => Ok(()),
        }
    }
}
