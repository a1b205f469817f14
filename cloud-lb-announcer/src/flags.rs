//! The flags. What the controller has a flag for too has the same name here.

use std::net::SocketAddr;
use std::path::PathBuf;

use announcer::agent::{BgpEngine, Config};
use announcer::link::Excluded;
use announcer::status::object::Pod;
use clap::builder::NonEmptyStringValueParser;
use clap::{Parser, ValueEnum};
use cloud_provider::ClassRule;
use regex::Regex;

use crate::logging::{LogFormat, filter};

/// Answers on this node's network for the addresses of Services of type LoadBalancer
#[derive(Debug, Parser)]
#[command(name = "cloud-lb-announcer", version)]
pub(crate) struct Flags {
    /// The node it runs on
    #[arg(long, env = "NODE_NAME", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    node_name: String,

    /// Announce for Services of this class; empty: for those without a class; with a trailing comma: for both
    #[arg(long, env = "BARE_CLASS", default_value = "", value_name = "CLASS")]
    bare_class: ClassRule,

    /// Only pools and advertisements of this namespace count; without it those of all namespaces do
    #[arg(long, env = "BARE_POOLS_NAMESPACE", value_name = "NAMESPACE")]
    bare_pools_namespace: Option<String>,

    /// The key that the announcers of one cluster sign their heartbeats with; while it is missing nothing is announced
    #[arg(long, env = "KEY_FILE", default_value = "/etc/cloud-lb-announcer/key", value_name = "FILE")]
    key_file: PathBuf,

    /// Never announce on links whose name one of these regular expressions matches [default: what container runtimes,
    /// network plugins and kube-proxy make, as MetalLB's speaker has it]
    #[arg(
        long,
        env = "EXCLUDED_LINKS",
        value_delimiter = ',',
        default_values = Excluded::DEFAULT,
        hide_default_value = true,
        value_name = "REGEX,…"
    )]
    excluded_links: Vec<Regex>,

    /// Announce also on nodes with the label node.kubernetes.io/exclude-from-external-load-balancers
    #[arg(long, env = "IGNORE_EXCLUDE_LABEL")]
    ignore_exclude_label: bool,

    /// Who speaks to routers: nobody, our own speaker, or FRR, for which an FRRConfiguration is written
    #[arg(long, env = "BGP", default_value = "native", value_name = "ENGINE")]
    bgp: BgpChoice,

    /// Where frr-k8s looks for FRRConfigurations; only with --bgp=frr-k8s
    #[arg(long, env = "FRR_K8S_NAMESPACE", default_value = "frr-k8s-system", value_name = "NAMESPACE")]
    frr_k8s_namespace: String,

    /// The namespace that it runs in: there it tells what it announces; without it, it does not tell it
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    pod_namespace: Option<String>,

    /// The Pod that it runs in, with which what it tells goes; with --pod-uid
    #[arg(long, env = "POD_NAME", requires = "pod_uid", value_name = "NAME")]
    pod_name: Option<String>,

    /// That Pod's UID
    #[arg(long, env = "POD_UID", requires = "pod_name", value_name = "UID")]
    pod_uid: Option<String>,

    /// Where /healthz, /readyz and /metrics are served, without TLS
    #[arg(long, env = "HTTP_ADDRESS", default_value = "0.0.0.0:7479", value_name = "ADDRESS:PORT")]
    pub(crate) http_address: SocketAddr,

    /// A level (error, warn, info, debug, trace), or levels by part: info,announcer=debug
    #[arg(long, env = "LOG_LEVEL", default_value = "info", value_name = "FILTER", value_parser = filter)]
    pub(crate) log_level: String,

    /// Lines for people or for machines
    #[arg(long, env = "LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
}

/// Who speaks to routers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BgpChoice {
    /// Nobody
    Off,
    /// Our own speaker
    Native,
    /// FRR, as frr-k8s runs it
    FrrK8s,
}

impl Flags {
    /// What the announcer is told.
    ///
    /// # Errors
    /// Where expressions are too large together.
    pub(crate) fn config(&self) -> Result<Config, String> {
        let excluded = Excluded::new(self.excluded_links.iter().map(Regex::as_str));
        let excluded = excluded.map_err(|error| format!("--excluded-links: {error}"))?;
        let mut config = Config::new(self.node_name.as_str(), &self.key_file, excluded);
        config.classes = self.bare_class.clone();
        config.pools_namespace.clone_from(&self.bare_pools_namespace);
        config.ignore_exclude_label = self.ignore_exclude_label;
        config.bgp = match self.bgp {
            BgpChoice::Off => None,
            BgpChoice::Native => Some(BgpEngine::Native),
            BgpChoice::FrrK8s => Some(BgpEngine::FrrK8s { namespace: self.frr_k8s_namespace.clone() }),
        };
        config.namespace.clone_from(&self.pod_namespace);
        let pod = self.pod_name.clone().zip(self.pod_uid.clone());
        config.pod = pod.map(|(name, uid)| Pod { name, uid });
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Flags, String> {
        let all = ["cloud-lb-announcer", "--node-name", "n1"].into_iter().chain(arguments.iter().copied());
        Flags::try_parse_from(all).map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_flag_links_are_excluded_as_metallbs_speaker_excludes_them() {
        let config = parsed(&[]).and_then(|flags| flags.config()).expect("flags");
        assert!(config.excluded.contains("veth1234") && !config.excluded.contains("eth0"));
        assert_eq!(&*config.node, "n1");
        let config =
            parsed(&["--excluded-links", "^eth1$,^wl"]).and_then(|flags| flags.config()).expect("flags");
        assert!(config.excluded.contains("wlan0") && !config.excluded.contains("veth1234"));
    }

    #[test]
    fn what_is_wrong_is_named_by_its_flag() {
        for (flag, value) in [
            ("--excluded-links", "("),
            ("--http-address", "everywhere"),
            ("--log-level", "warning"),
            ("--log-level", "info,announcer=inof"),
            ("--log-format", "xml"),
            ("--bgp", "frr"),
            ("--bare-class", "Not A Class"),
        ] {
            let said = parsed(&[flag, value]).expect_err(value);
            assert!(
                said.contains(flag) && said.contains(value.split(',').next_back().unwrap_or_default()),
                "{said}"
            );
        }
    }
}
