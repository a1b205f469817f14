//! Are there address pools, and are they sound?

mod announcers;
mod announcing;
mod kube_proxy;
mod metallb;
mod overlap;
mod services;

use ::metallb::crd::IPAddressPool;
use ::metallb::pool::Definition;
use ::metallb::pools::Pools;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams};
use provider_bare::file;

use super::flags::BareFlags;
use crate::finding::Finding;

const SUBJECT: &str = "pools";

/// What is wrong with the pools, and with the network that their addresses are announced on.
pub(super) async fn look(client: &kube::Client, flags: &BareFlags) -> Vec<Finding> {
    let mut findings = pools(client, flags).await;
    findings.extend(metallb::look(client, flags).await);
    findings.extend(announcers::look(client).await);
    // Only addresses on the local network are asked for by ARP.
    findings.push(kube_proxy::look(client).await);
    findings
}

/// What is wrong with the pools, wherever they come from.
async fn pools(client: &kube::Client, flags: &BareFlags) -> Vec<Finding> {
    if let Some(path) = &flags.bare_pools_file {
        return match file::read(path) {
            Ok(manifests) => examine(client, flags, &manifests.pools).await,
            Err(error) => vec![Finding::fail(SUBJECT, error, "correct --bare-pools-file")],
        };
    }
    // As they come, not as our type: one of the wrong shape is a finding, and no end of the list.
    let kind = ApiResource::erase::<IPAddressPool>(&());
    let api: Api<DynamicObject> = match &flags.bare_pools_namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind),
        None => Api::all_with(client.clone(), &kind),
    };
    match api.list(&ListParams::default()).await {
        Ok(list) => {
            let read = |object: DynamicObject| {
                let spec = object.data.get("spec").cloned().unwrap_or_default();
                Definition::read(&object.metadata, spec)
            };
            let mut findings = vec![Finding::ok("definitions", "ipaddresspools.metallb.io is there")];
            let definitions: Vec<Definition> = list.items.into_iter().map(read).collect();
            findings.extend(examine(client, flags, &definitions).await);
            // Pools of a file are none that an advertisement could take.
            findings.extend(announcing::look(client, flags, &Pools::parse(&definitions).0).await);
            findings
        }
        Err(kube::Error::Api(status)) if status.code == 404 => vec![Finding::fail(
            "definitions",
            "the cluster has no ipaddresspools.metallb.io",
            "run: cloud-lb-controller crds | kubectl apply -f -",
        )],
        Err(error) => vec![Finding::unseen(SUBJECT, &error)],
    }
}

async fn examine(client: &kube::Client, flags: &BareFlags, definitions: &[Definition]) -> Vec<Finding> {
    let mut findings = judge(definitions);
    let (pools, _) = Pools::parse(definitions);
    findings.extend(overlap::look(client, &pools).await);
    findings.extend(services::look(client, flags, &pools).await);
    findings
}

fn judge(definitions: &[Definition]) -> Vec<Finding> {
    if definitions.is_empty() {
        let mend = "create an IPAddressPool, until then no Service gets an address";
        return vec![Finding::warn(SUBJECT, "there are none", mend)];
    }
    let (pools, mistakes) = Pools::parse(definitions);
    let mut findings: Vec<Finding> = mistakes
        .iter()
        .map(|mistakes| Finding::fail(SUBJECT, mistakes, "correct the IPAddressPool"))
        .collect();
    let names: Vec<&str> = pools.iter().map(|pool| pool.name.as_str()).collect();
    if !names.is_empty() {
        findings.push(Finding::ok(SUBJECT, format!("in force: {}", names.join(", "))));
    }
    if !names.is_empty() && pools.iter().all(|pool| !pool.auto_assign) {
        findings.push(Finding::warn(
            SUBJECT,
            "none has autoAssign",
            "only Services that ask for a pool or an address get one, which may be what you want",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::metallb::manifest;

    use crate::finding::Severity::{self, Fail, Ok, Warn};

    fn pool(name: &str, more: &str) -> String {
        format!(
            "---\n{{apiVersion: metallb.io/v1beta1, kind: IPAddressPool, metadata: {{name: {name}}}, spec: {{{more}}}}}\n"
        )
    }

    #[test]
    fn what_is_said_of_pools() {
        let good = pool("a", "addresses: [192.0.2.0/24]");
        for (manifests, verdicts, said) in [
            (String::new(), vec![Warn], "there are none"),
            (good.clone(), vec![Ok], "in force: a"),
            (pool("a", "addresses: [192.0.2.0/33]"), vec![Fail], "192.0.2.0/33"),
            (good.clone() + &pool("b", "addresses: [192.0.2.7/32]"), vec![Fail, Ok], "overlaps"),
            (
                pool("a", "addresses: [192.0.2.0/24], autoAssign: false"),
                vec![Ok, Warn],
                "none has autoAssign",
            ),
            (pool("a", "addresses: 7"), vec![Fail], "cannot be read"),
        ] {
            let found = judge(&manifest::parse(&manifests).pools);
            let shown: Vec<Severity> = found.iter().map(|finding| finding.severity).collect();
            assert_eq!(shown, verdicts, "{found:?}");
            assert!(found.iter().any(|finding| finding.says.contains(said)), "{said:?}: {found:?}");
        }
    }
}
