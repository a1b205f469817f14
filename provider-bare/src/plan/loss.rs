//! Why an address that a status shows is its Service's no more.

use std::net::IpAddr;

use cloud_provider::IpFamily;

use super::{CurrentAddresses, Inputs, Planner};
use crate::allocation::LossReason;
use crate::assignments::Applicant;
use crate::desired::AddressRequest;

/// Why a Service does not have an address that its status shows.
pub(crate) fn why_lost(
    inputs: Inputs<'_>,
    applicant: Applicant<'_>,
    request: &AddressRequest,
    ip: IpAddr,
) -> LossReason {
    let planner = Planner { inputs, current: CurrentAddresses::default(), applicant, request };
    // The Service's own wish first: what has become of the address since is no reason.
    if request.addresses.as_ref().is_some_and(|asked| !asked.value.contains(&ip)) {
        return LossReason::AsksForOthers;
    }
    if !request.families.iter().any(|family| family == IpFamily::of(ip)) {
        return LossReason::NotItsFamily;
    }
    let owner = inputs.pools.owner(ip);
    if let (Some(pool), Some(asked)) = (owner, &request.pool)
        && pool.name != asked.value
    {
        return LossReason::AsksForPool(asked.value.clone());
    }
    let Inputs { assignments, entries, .. } = inputs;
    if let Some(blocker) = assignments.owner_in_the_way(entries, ip, applicant.id, applicant.sharing) {
        return LossReason::InTheWay(blocker);
    }
    match owner {
        None => LossReason::InNoPool,
        Some(pool) if !planner.provided(ip) => LossReason::NotProvided(pool.name.clone()),
        Some(_) => LossReason::HasAnother,
    }
}
