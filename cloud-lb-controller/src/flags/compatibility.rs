//! Flags of cloud-controller-manager that have no meaning here, so that a Deployment's arguments can be taken over.
//!
//! They are accepted, left out of the help, and named once in the log. Flags that would lead somewhere else if
//! they were ignored, such as `--master`, are not among them: those are usage errors, and for those that Deployments
//! usually have the error says what to write instead.

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

const HEADING: &str = "Accepted for compatibility";

/// With a value, after a space or an equals sign.
const VALUES: &[&str] = &[
    "authentication-kubeconfig",
    "authentication-token-webhook-cache-ttl",
    "authorization-always-allow-paths",
    "authorization-kubeconfig",
    "authorization-webhook-cache-authorized-ttl",
    "authorization-webhook-cache-unauthorized-ttl",
    "cert-dir",
    "cidr-allocator-type",
    "client-ca-file",
    "cluster-cidr",
    "concurrent-node-status-updates",
    "concurrent-node-syncs",
    "controller-start-interval",
    "external-cloud-volume-plugin",
    "feature-gates",
    "http2-max-streams-per-connection",
    "kube-api-content-type",
    "leader-migration-config",
    "log-flush-frequency",
    "logging-format",
    "min-resync-period",
    "node-monitor-period",
    "node-status-update-frequency",
    "node-sync-period",
    "requestheader-allowed-names",
    "requestheader-client-ca-file",
    "requestheader-extra-headers-prefix",
    "requestheader-group-headers",
    "requestheader-uid-headers",
    "requestheader-username-headers",
    "route-reconciliation-period",
    "tls-cert-file",
    "tls-cipher-suites",
    "tls-curve-preferences",
    "tls-min-version",
    "tls-private-key-file",
    "tls-sni-cert-key",
    "vmodule",
    "webhook-bind-address",
    "webhook-cert-dir",
    "webhook-secure-port",
    "webhook-tls-cert-file",
    "webhook-tls-private-key-file",
    "webhooks",
];

/// Alone, or with `=true` or `=false`.
const SWITCHES: &[&str] = &[
    "allocate-node-cidrs",
    "allow-untagged-cloud",
    "authentication-skip-lookup",
    "authentication-tolerate-lookup-failure",
    "configure-cloud-routes",
    "contention-profiling",
    "disable-http2-serving",
    "enable-leader-migration",
    "permit-address-sharing",
    "permit-port-sharing",
    "profiling",
    "use-service-account-credentials",
];

/// What is not safe to ignore, with what to do about it.
const REFUSED: &[(&str, &str)] = &[
    ("bind-address", SERVED),
    ("secure-port", SERVED),
    (
        "cloud-config",
        "there is no such file here: what it says are flags, which --help lists; take the flag away",
    ),
];

const SERVED: &str =
    "health and metrics are served here without TLS: take the flag away, and say where by --http-address";

/// Which controllers are to run.
const CONTROLLERS: &str = "controllers";

/// The one there is here, by all its names in Kubernetes.
const SERVICE_CONTROLLER: [&str; 2] = ["service", "service-lb-controller"];

/// The verbosity, which has no long name.
const VERBOSITY: &str = "v";

/// The one kind of lock there is.
const LOCK: &str = "leader-elect-resource-lock";

/// Which flags were given that mean nothing here.
#[derive(Clone, Debug, Default)]
pub(crate) struct CompatibilityFlags {
    ignored: Vec<String>,
}

impl CompatibilityFlags {
    /// Names them in the log, in one line, if there are any.
    pub(crate) fn report(&self) {
        if !self.ignored.is_empty() {
            tracing::info!(flags = self.ignored.join(" "), "flags without a meaning here are ignored");
        }
    }
}

impl Args for CompatibilityFlags {
    fn augment_args(command: Command) -> Command {
        let accepted =
            |name: &'static str| Arg::new(name).hide(true).help_heading(HEADING).action(ArgAction::Set);
        let values = VALUES.iter().map(|&name| accepted(name).long(name));
        let switches = SWITCHES.iter().map(|&name| {
            let value = accepted(name).long(name).num_args(0..=1).require_equals(true);
            value.default_missing_value("true").value_parser(clap::value_parser!(bool))
        });
        let lock = accepted(LOCK).long(LOCK).value_parser(only_leases);
        let refused = REFUSED.iter().map(|&(name, instead)| {
            let refuse = move |_: &str| Err::<String, String>(instead.to_owned());
            accepted(name).long(name).value_parser(refuse)
        });
        let controllers = accepted(CONTROLLERS).long(CONTROLLERS).value_parser(only_services);
        let command = command.args(refused).arg(controllers);
        let verbosity = accepted(VERBOSITY).short('v').value_name("LEVEL");
        command.args(values).args(switches).arg(lock).arg(verbosity)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for CompatibilityFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let given = |name: &&str| matches.value_source(name) == Some(ValueSource::CommandLine);
        let long = VALUES.iter().chain(SWITCHES).copied().filter(given).map(|name| format!("--{name}"));
        let short = Some(VERBOSITY).filter(given).map(|name| format!("-{name}"));
        Ok(CompatibilityFlags { ignored: long.chain(short).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Takes a list of controllers as cloud-controller-manager reads it (`IsControllerEnabled` of k8s.io/controller-manager):
/// a name, one with `-` before it, or `*`. One that leaves Services to somebody else must not be ignored.
fn only_services(controllers: &str) -> Result<String, String> {
    let named = |sign: &str| {
        let name =
            |item: &str| item.strip_prefix(sign).is_some_and(|name| SERVICE_CONTROLLER.contains(&name));
        controllers.split(',').map(str::trim).any(name)
    };
    let all = controllers.split(',').any(|item| item.trim() == "*");
    if named("") || all && !named("-") {
        return Ok(controllers.to_owned());
    }
    Err("the controller of Services is the one there is here, and this switches it off; take the flag away, or stop the \
         program"
        .into())
}

fn only_leases(lock: &str) -> Result<String, String> {
    match lock {
        "leases" => Ok(lock.to_owned()),
        _ => Err("the only lock there is here is leases".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Vec<String>, String> {
        let command = CompatibilityFlags::augment_args(Command::new("test").no_binary_name(true));
        let matches = command.try_get_matches_from(arguments).map_err(|error| error.to_string())?;
        CompatibilityFlags::from_arg_matches(&matches).map(|flags| flags.ignored).map_err(|e| e.to_string())
    }

    #[test]
    fn flags_without_a_meaning_are_accepted_in_every_form_and_remembered() {
        let given = ["--node-sync-period", "20", "--profiling", "--cluster-cidr=10.0.0.0/8", "-v=2"];
        assert_eq!(parse(&given).unwrap(), ["--cluster-cidr", "--node-sync-period", "--profiling", "-v"]);
        assert_eq!(parse(&["--configure-cloud-routes=false"]).unwrap(), ["--configure-cloud-routes"]);
        assert!(parse(&[]).unwrap().is_empty());
    }

    #[test]
    fn a_lock_that_is_no_lease_is_refused() {
        assert!(parse(&["--leader-elect-resource-lock", "leases"]).unwrap().is_empty());
        let error = parse(&["--leader-elect-resource-lock", "endpoints"]).unwrap_err();
        assert!(error.contains("the only lock there is here is leases"), "{error}");
    }

    #[test]
    fn what_is_not_safe_to_ignore_is_refused_with_what_to_do_about_it() {
        for (flag, says) in [
            ("--bind-address=127.0.0.1", "--http-address"),
            ("--secure-port=10258", "--http-address"),
            ("--cloud-config=/etc/cloud.conf", "flags, which --help lists"),
            ("--controllers=-service,*", "this switches it off"),
            ("--controllers=route", "this switches it off"),
        ] {
            let error = parse(&[flag]).unwrap_err();
            assert!(error.contains(says), "{flag}: {error}");
        }
        for flag in
            ["--controllers=service", "--controllers=*,-route", "--controllers=service-lb-controller,-node"]
        {
            assert!(parse(&[flag]).is_ok(), "{flag}");
        }
    }

    #[test]
    fn a_flag_that_would_lead_elsewhere_is_not_ignored() {
        assert!(parse(&["--master", "https://elsewhere"]).is_err());
    }
}
