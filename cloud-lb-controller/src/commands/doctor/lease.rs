//! Who leads?

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Api;

use super::installed::{self, Installed};
use crate::finding::Finding;
use crate::flags::ElectionFlags;

const SUBJECT: &str = "leadership";

/// Who holds our Lease. Nothing, where there is no election.
pub(super) async fn look(client: &kube::Client, flags: &ElectionFlags) -> Vec<Finding> {
    if !flags.leader_elect {
        return Vec::new();
    }
    let (namespace, name) = (&flags.leader_elect_resource_namespace, &flags.leader_elect_resource_name);
    let spec = match spec(client, namespace, name).await {
        Ok(spec) => spec,
        Err(error) => return vec![Finding::unseen(SUBJECT, &error)],
    };
    let ours = judge(namespace, name, spec.as_ref(), Timestamp::now());
    let is_held = spec.as_ref().is_some_and(|spec| holder(spec, Timestamp::now()).is_some());
    if is_held || !flags.names_the_usual_lease() {
        return vec![ours];
    }
    // Whoever asks from outside has not the flags of the Pods, which have a Lease of their own.
    match installed::find(client).await {
        Ok(found) if found.is_empty() => vec![ours],
        Ok(found) => {
            let mut findings = Vec::new();
            for installed in found {
                findings.push(of(client, &installed).await);
            }
            findings
        }
        Err(error) => vec![Finding::unseen(SUBJECT, &error)],
    }
}

/// How an installation is led.
async fn of(client: &kube::Client, installed: &Installed) -> Finding {
    let Installed { deployment, ready: (ready, wanted), lease_namespace, lease } = installed;
    let replicas = format!("Deployment {deployment}, {ready} of {wanted} replicas ready");
    match spec(client, lease_namespace, lease).await {
        Ok(spec) => match spec.as_ref().and_then(|spec| holder(spec, Timestamp::now())) {
            Some(holder) => Finding::ok(
                SUBJECT,
                format!("{replicas}: {holder} holds the Lease {lease_namespace}/{lease} and leads"),
            ),
            None if *wanted == 0 => Finding::skip(SUBJECT, format!("{replicas}: nobody is to lead")),
            None => Finding::warn(
                SUBJECT,
                format!("{replicas}: nobody holds the Lease {lease_namespace}/{lease}"),
                "its log says what is in the way",
            ),
        },
        Err(error) => Finding::unseen(SUBJECT, &error),
    }
}

async fn spec(client: &kube::Client, namespace: &str, name: &str) -> kube::Result<Option<LeaseSpec>> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    Ok(leases.get_opt(name).await?.and_then(|lease| lease.spec))
}

fn judge(namespace: &str, name: &str, lease: Option<&LeaseSpec>, now: Timestamp) -> Finding {
    match lease.and_then(|lease| holder(lease, now)) {
        Some(holder) => {
            Finding::ok(SUBJECT, format!("{holder} holds the Lease {namespace}/{name} and leads"))
        }
        None => {
            Finding::ok(SUBJECT, format!("nobody holds the Lease {namespace}/{name}: the next process leads"))
        }
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
            let said = judge("ns", "ours", lease.as_ref(), now).says;
            assert_eq!(said.contains("leads") && !said.contains("nobody"), leads.is_some(), "{said}");
        }
    }
}
