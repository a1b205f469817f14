//! Who leads?

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Api;

use crate::finding::Finding;
use crate::flags::ElectionFlags;

const SUBJECT: &str = "leadership";

/// Who holds our Lease. Nothing, where there is no election.
pub(super) async fn look(client: &kube::Client, flags: &ElectionFlags) -> Option<Finding> {
    if !flags.leader_elect {
        return None;
    }
    let leases: Api<Lease> = Api::namespaced(client.clone(), &flags.leader_elect_resource_namespace);
    let name = &flags.leader_elect_resource_name;
    Some(match leases.get_opt(name).await {
        Ok(lease) => judge(name, lease.and_then(|lease| lease.spec).as_ref(), Timestamp::now()),
        Err(error) => Finding::unseen(SUBJECT, &error),
    })
}

fn judge(name: &str, lease: Option<&LeaseSpec>, now: Timestamp) -> Finding {
    match lease.and_then(|lease| holder(lease, now)) {
        Some(holder) => Finding::ok(SUBJECT, format!("{holder} holds the Lease {name} and leads")),
        None => Finding::ok(SUBJECT, format!("nobody holds the Lease {name}: the next process leads")),
    }
}

/// Who holds a Lease that has not run out, as far as this machine's clock can tell.
pub(super) fn holder(lease: &LeaseSpec, now: Timestamp) -> Option<&str> {
    let holder = lease.holder_identity.as_deref().filter(|holder| !holder.is_empty())?;
    let renewed = lease.renew_time.as_ref()?.0;
    let valid = SignedDuration::from_secs(lease.lease_duration_seconds.unwrap_or_default().into());
    (renewed + valid > now).then_some(holder)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    use super::*;

    fn lease(holder: &str, renewed: i64) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.into()),
            lease_duration_seconds: Some(15),
            renew_time: Some(MicroTime(Timestamp::from_second(renewed).unwrap())),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn a_lease_is_held_while_its_holder_renews_it() {
        let now = Timestamp::from_second(1_000).unwrap();
        for (lease, leads) in [
            (Some(lease("a", 990)), Some("a")),
            (Some(lease("a", 980)), None),
            (Some(lease("", 990)), None),
            (Some(LeaseSpec::default()), None),
            (None, None),
        ] {
            assert_eq!(lease.as_ref().and_then(|lease| holder(lease, now)), leads, "{lease:?}");
            let said = judge("ours", lease.as_ref(), now).says;
            assert_eq!(said.contains("leads") && !said.contains("nobody"), leads.is_some(), "{said}");
        }
    }
}
