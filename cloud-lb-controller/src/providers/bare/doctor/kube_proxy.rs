//! kube-proxy in IPVS mode answers ARP for every Service address on every node, unless told not to.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use serde::Deserialize;

use crate::finding::Finding;

const SUBJECT: &str = "kube-proxy";

/// The part of `KubeProxyConfiguration` that matters here. Every field may be left out, or be null.
#[derive(Debug, Default, Deserialize)]
struct Configuration {
    mode: Option<String>,
    ipvs: Option<Ipvs>,
}

#[derive(Debug, Deserialize)]
struct Ipvs {
    #[serde(rename = "strictARP")]
    strict_arp: Option<bool>,
}

impl Configuration {
    fn is_strict(&self) -> bool {
        self.ipvs.as_ref().and_then(|ipvs| ipvs.strict_arp).unwrap_or(false)
    }
}

/// What kube-proxy's ConfigMap says.
pub(super) async fn look(client: &kube::Client) -> Finding {
    match Api::<ConfigMap>::namespaced(client.clone(), "kube-system").get_opt("kube-proxy").await {
        Ok(map) => {
            judge(map.and_then(|map| map.data).and_then(|mut data| data.remove("config.conf")).as_deref())
        }
        Err(error) => Finding::unseen(SUBJECT, &error),
    }
}

fn judge(configuration: Option<&str>) -> Finding {
    let Some(text) = configuration else {
        return Finding::skip(
            SUBJECT,
            "there is no ConfigMap kube-system/kube-proxy with config.conf; where kube-proxy runs all the same, see that it \
             is not in IPVS mode without strictARP",
        );
    };
    let configuration = match read(text) {
        Ok(configuration) => configuration,
        Err(error) => {
            return Finding::warn(
                SUBJECT,
                format!("config.conf of the ConfigMap kube-system/kube-proxy cannot be read: {error}"),
                "make sure that it is a KubeProxyConfiguration in YAML",
            );
        }
    };
    match configuration.mode.as_deref() {
        Some("ipvs") if configuration.is_strict() => Finding::ok(SUBJECT, "IPVS mode with strictARP"),
        Some("ipvs") => Finding::warn(
            SUBJECT,
            "IPVS mode without strictARP: every node answers ARP for every address",
            "set ipvs.strictARP: true in the ConfigMap kube-system/kube-proxy and restart kube-proxy",
        ),
        None | Some("") => Finding::ok(SUBJECT, "default mode"),
        Some(mode) => Finding::ok(SUBJECT, format!("{mode} mode")),
    }
}

/// As kube-proxy reads it: YAML becomes JSON first, so that a word in quotes is a string and never a boolean; nothing
/// written is the defaults.
fn read(text: &str) -> Result<Configuration, String> {
    let json: serde_json::Value = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let all: Option<Configuration> = serde_json::from_value(json).map_err(|error| error.to_string())?;
    Ok(all.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Severity;

    #[test]
    fn only_ipvs_without_strict_arp_is_a_trap() {
        for (configuration, severity) in [
            (None, Severity::Skip),
            (Some(""), Severity::Ok),
            (Some("mode: \"\"\nipvs: {strictARP: false}"), Severity::Ok),
            (Some("mode: iptables"), Severity::Ok),
            (Some("mode: nftables\nunknown: 1"), Severity::Ok),
            (Some("mode: ipvs\nipvs: {strictARP: true, scheduler: rr}"), Severity::Ok),
            (Some("mode: null\nipvs: null"), Severity::Ok),
            (Some("mode: ipvs"), Severity::Warn),
            (Some("mode: ipvs\nipvs: null"), Severity::Warn),
            (Some("mode: ipvs\nipvs: {strictARP: null}"), Severity::Warn),
            (Some("mode: ipvs\nipvs: {strictARP: false}"), Severity::Warn),
            (Some("mode: [ipvs"), Severity::Warn),
            (Some("mode: ipvs\nipvs: {strictARP: 'yes'}"), Severity::Warn),
        ] {
            assert_eq!(judge(configuration).severity, severity, "{configuration:?}");
        }
    }
}
