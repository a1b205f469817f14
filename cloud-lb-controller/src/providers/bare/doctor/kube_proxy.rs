//! kube-proxy in IPVS mode answers ARP for every Service address on every node, unless told not to.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use serde::Deserialize;

use crate::finding::Finding;

const SUBJECT: &str = "kube-proxy";

/// The part of `KubeProxyConfiguration` that matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Configuration {
    mode: String,
    ipvs: Ipvs,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Ipvs {
    #[serde(rename = "strictARP")]
    strict_arp: bool,
}

/// What kube-proxy's ConfigMap says.
pub async fn look(client: &kube::Client) -> Finding {
    match Api::<ConfigMap>::namespaced(client.clone(), "kube-system").get_opt("kube-proxy").await {
        Ok(map) => {
            judge(map.and_then(|map| map.data).and_then(|mut data| data.remove("config.conf")).as_deref())
        }
        Err(error) => Finding::unseen(SUBJECT, &error),
    }
}

fn judge(configuration: Option<&str>) -> Finding {
    let Some(text) = configuration else {
        return Finding::ok(
            SUBJECT,
            "no ConfigMap kube-system/kube-proxy with config.conf: not found, not checked",
        );
    };
    match serde_saphyr::from_str::<Configuration>(text) {
        Ok(Configuration { mode, ipvs }) if mode == "ipvs" && !ipvs.strict_arp => Finding::warn(
            SUBJECT,
            "IPVS mode without strictARP: every node answers ARP for every address",
            "set ipvs.strictARP: true in the ConfigMap kube-system/kube-proxy and restart kube-proxy",
        ),
        Ok(Configuration { mode, .. }) if mode == "ipvs" => Finding::ok(SUBJECT, "IPVS mode with strictARP"),
        Ok(Configuration { mode, .. }) if mode.is_empty() => Finding::ok(SUBJECT, "default mode"),
        Ok(Configuration { mode, .. }) => Finding::ok(SUBJECT, format!("{mode} mode")),
        Err(error) => Finding::warn(
            SUBJECT,
            format!("config.conf of the ConfigMap kube-system/kube-proxy cannot be read: {error}"),
            "make sure that it is YAML",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Verdict;

    #[test]
    fn only_ipvs_without_strict_arp_is_a_trap() {
        for (configuration, verdict) in [
            (None, Verdict::Ok),
            (Some(""), Verdict::Ok),
            (Some("mode: \"\"\nipvs: {strictARP: false}"), Verdict::Ok),
            (Some("mode: iptables"), Verdict::Ok),
            (Some("mode: nftables\nunknown: 1"), Verdict::Ok),
            (Some("mode: ipvs\nipvs: {strictARP: true, scheduler: rr}"), Verdict::Ok),
            (Some("mode: ipvs"), Verdict::Warn),
            (Some("mode: ipvs\nipvs: {strictARP: false}"), Verdict::Warn),
            (Some("mode: [ipvs"), Verdict::Warn),
        ] {
            assert_eq!(judge(configuration).verdict, verdict, "{configuration:?}");
        }
    }
}
