//! The short way: what is decided for nearly every Service that is new, in a few steps.

use super::{CurrentAddresses, Inputs, Planner};
use crate::assignments::{Applicant, FirstFree};
use crate::desired::{AddressRequest, Families};

/// What a Service gets that has nothing and never had: one that wants one family of whatever pool and shares with nobody,
/// where a pool for it has a free address. None for all others, for whom [`decide`](super::decide) finds out.
pub(crate) fn decide_at_once(
    inputs: Inputs<'_>,
    applicant: Applicant<'_>,
    request: &AddressRequest,
) -> Option<FirstFree> {
    let Inputs { pools, assignments, .. } = inputs;
    let Families::One(family) = request.families else { return None };
    let is_particular =
        request.addresses.is_some() || request.pool.is_some() || applicant.sharing.key.is_some();
    if is_particular || pools.reserved_for(applicant.key).next().is_some() {
        return None;
    }
    let planner = Planner { inputs, current: CurrentAddresses::default(), applicant, request };
    let mut eligible = pools.automatic().iter().copied().filter(|pool| planner.serves(pools.at(*pool)));
    let found = eligible.find_map(|pool| assignments.first_free(pool, family))?;
    debug_assert!(planner.decide().is_served_with(found.ip), "the short way and the long way are one");
    Some(found)
}
