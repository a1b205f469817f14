//! The annotations of a Service: their keys, and a reader that turns text into values and collects every mistake.
//!
//! Keys and syntax are those of the AWS Load Balancer Controller's *Service annotations* page, so that manifests
//! move between the two. Where that controller takes nonsense in silence, this reader reports it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use cloud_provider::{Mistake, Note, NoteKind, ServiceView};

/// What every key starts with.
pub const PREFIX: &str = "service.beta.kubernetes.io/";

macro_rules! keys {
    ($($name:ident = $suffix:literal;)*) => {
        $(
            #[doc = concat!("`service.beta.kubernetes.io/", $suffix, "`")]
            pub const $name: &str = concat!("service.beta.kubernetes.io/", $suffix);
        )*

        /// Every key this provider understands or refuses by name.
        pub const KNOWN: &[&str] = &[$($name),*];
    };
}

/// The keys.
pub mod key {
    keys! {
        TYPE = "aws-load-balancer-type";
        TARGET_TYPE = "aws-load-balancer-nlb-target-type";
        NAME = "aws-load-balancer-name";
        SCHEME = "aws-load-balancer-scheme";
        INTERNAL = "aws-load-balancer-internal";
        IP_ADDRESS_TYPE = "aws-load-balancer-ip-address-type";
        SUBNETS = "aws-load-balancer-subnets";
        EIP_ALLOCATIONS = "aws-load-balancer-eip-allocations";
        PRIVATE_IPV4 = "aws-load-balancer-private-ipv4-addresses";
        IPV6 = "aws-load-balancer-ipv6-addresses";
        SOURCE_NAT = "aws-load-balancer-enable-prefix-for-ipv6-source-nat";
        SOURCE_NAT_PREFIXES = "aws-load-balancer-source-nat-ipv6-prefixes";
        CAPACITY = "aws-load-balancer-minimum-load-balancer-capacity";
        ATTRIBUTES = "aws-load-balancer-attributes";
        ACCESS_LOG_ENABLED = "aws-load-balancer-access-log-enabled";
        ACCESS_LOG_BUCKET = "aws-load-balancer-access-log-s3-bucket-name";
        ACCESS_LOG_PREFIX = "aws-load-balancer-access-log-s3-bucket-prefix";
        CROSS_ZONE = "aws-load-balancer-cross-zone-load-balancing-enabled";
        TAGS = "aws-load-balancer-additional-resource-tags";
        SSL_CERT = "aws-load-balancer-ssl-cert";
        SSL_PORTS = "aws-load-balancer-ssl-ports";
        SSL_POLICY = "aws-load-balancer-ssl-negotiation-policy";
        BACKEND_PROTOCOL = "aws-load-balancer-backend-protocol";
        ALPN_POLICY = "aws-load-balancer-alpn-policy";
        TCP_UDP = "aws-load-balancer-enable-tcp-udp-listener";
        QUIC_PORTS = "aws-load-balancer-quic-enabled-ports";
        QUIC_CONTAINERS = "aws-load-balancer-quic-enabled-containers";
        PROXY_PROTOCOL = "aws-load-balancer-proxy-protocol";
        PROXY_PROTOCOL_PER_TARGET_GROUP = "aws-load-balancer-proxy-protocol-per-target-group";
        TARGET_GROUP_ATTRIBUTES = "aws-load-balancer-target-group-attributes";
        HEALTH_PROTOCOL = "aws-load-balancer-healthcheck-protocol";
        HEALTH_PORT = "aws-load-balancer-healthcheck-port";
        HEALTH_PATH = "aws-load-balancer-healthcheck-path";
        HEALTH_INTERVAL = "aws-load-balancer-healthcheck-interval";
        HEALTH_TIMEOUT = "aws-load-balancer-healthcheck-timeout";
        HEALTHY_THRESHOLD = "aws-load-balancer-healthcheck-healthy-threshold";
        UNHEALTHY_THRESHOLD = "aws-load-balancer-healthcheck-unhealthy-threshold";
        HEALTH_CODES = "aws-load-balancer-healthcheck-success-codes";
        NODE_LABELS = "aws-load-balancer-target-node-labels";
        MULTI_CLUSTER = "aws-load-balancer-multi-cluster-target-group";
        SOURCE_RANGES = "load-balancer-source-ranges";
        PREFIX_LISTS = "aws-load-balancer-security-group-prefix-lists";
        SECURITY_GROUPS = "aws-load-balancer-security-groups";
        MANAGE_BACKEND_RULES = "aws-load-balancer-manage-backend-security-group-rules";
        PRIVATE_LINK_RULES = "aws-load-balancer-inbound-sg-rules-on-private-link-traffic";
        PATH_MTU = "aws-load-balancer-enable-icmp-for-path-mtu-discovery";
        NO_SECURITY_GROUP = "aws-load-balancer-disable-nlb-sg";
        EXTRA_SECURITY_GROUPS = "aws-load-balancer-extra-security-groups";
    }

    /// Followed by `PROTOCOL-PORT` of a listener.
    pub const LISTENER_ATTRIBUTES: &str = "service.beta.kubernetes.io/aws-load-balancer-listener-attributes.";
    /// Followed by a Service port number.
    pub const TARGET_GROUP_ATTRIBUTES_OF: &str =
        "service.beta.kubernetes.io/aws-load-balancer-target-group-attributes.";
    /// Followed by `PROTOCOL-PORT` of a listener.
    pub const ACTIONS: &str = "service.beta.kubernetes.io/actions.";
}

/// Reads the annotations of one Service. Every method that meets a value it cannot use notes a [`Mistake`] and
/// answers as if the annotation were absent, so that one pass finds all mistakes.
pub(super) struct Reader<'a> {
    annotations: &'a BTreeMap<String, String>,
    until_then: &'static str,
    mistakes: Vec<Mistake>,
    notes: Vec<Note>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(service: &'a ServiceView) -> Self {
        let until_then = match service.published.is_empty() {
            true => "no load balancer is made",
            false => "the load balancer keeps serving as it is",
        };
        Reader { annotations: &service.annotations, until_then, mistakes: Vec::new(), notes: Vec::new() }
    }

    /// What was found, for good or ill.
    pub(super) fn finish(self) -> (Vec<Mistake>, Vec<Note>) {
        (self.mistakes, self.notes)
    }

    /// The text of an annotation, trimmed; an empty one counts as present.
    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        self.annotations.get(key).map(|text| text.trim())
    }

    /// The annotations whose key starts so, with the rest of their key.
    pub(super) fn family(&self, start: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let annotations = self.annotations;
        annotations.iter().filter_map(move |(key, text)| Some((key.strip_prefix(start)?, text.trim())))
    }

    /// The keys of annotations that start with `start`.
    pub(super) fn keys(&self, start: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
        let annotations = self.annotations;
        annotations.keys().map(String::as_str).filter(move |key| key.starts_with(start))
    }

    /// Notes a mistake in an annotation.
    pub(super) fn wrong(&mut self, key: &str, value: impl Into<String>, problem: &str, allowed: &str) {
        self.mistake(Mistake::in_annotation(key, value, problem).allowing(allowed));
    }

    /// Notes a mistake in any field.
    pub(super) fn mistake(&mut self, mistake: Mistake) {
        let mistake = mistake.meanwhile(self.until_then);
        // What all ports share is read for each of them.
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }

    /// Notes an annotation of a feature that does not exist here yet.
    pub(super) fn unsupported(&mut self, key: &str, value: impl Into<String>, allowed: &str) {
        self.wrong(key, value, "is not yet supported", allowed);
    }

    /// Tells the user something that stops nothing.
    pub(super) fn note(&mut self, kind: NoteKind, reason: &str, message: String) {
        self.notes.push(Note { kind, reason: reason.to_owned(), message });
    }

    /// Tells the user that a key is old and what to write instead.
    pub(super) fn deprecated(&mut self, key: &str, instead: &str) {
        let message = format!("annotation {key} is deprecated; use {instead}");
        self.note(NoteKind::Normal, "DeprecatedAnnotation", message);
    }

    /// A truth value as Go's `strconv.ParseBool` has it, which is what users' manifests were written for.
    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        let text = self.text(key)?;
        match text {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
            _ => {
                self.wrong(key, text, "is not a truth value", "true, false");
                None
            }
        }
    }

    /// `on` or `off`.
    pub(super) fn switch(&mut self, key: &str) -> Option<bool> {
        let text = self.text(key)?;
        match text {
            "on" => Some(true),
            "off" => Some(false),
            _ => {
                self.wrong(key, text, "is neither on nor off", "on, off");
                None
            }
        }
    }

    /// A whole number in a range.
    pub(super) fn number(&mut self, key: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let text = self.text(key)?;
        match text.parse() {
            Ok(number) if range.contains(&number) => Some(number),
            _ => {
                let allowed = format!("a number from {} to {}", range.start(), range.end());
                self.wrong(key, text, "is not a number in range", &allowed);
                None
            }
        }
    }

    /// One of a closed set of words, or anything that parses.
    pub(super) fn word<T: FromStr<Err: Display>>(&mut self, key: &str, allowed: &str) -> Option<T> {
        let text = self.text(key)?;
        text.parse().map_err(|_| self.wrong(key, text, "is not a known value", allowed)).ok()
    }

    /// Items separated by commas, trimmed, without empty ones. Empty text is a list of none.
    pub(super) fn list(&self, key: &str) -> Option<Vec<&'a str>> {
        Some(self.text(key)?.split(',').map(str::trim).filter(|item| !item.is_empty()).collect())
    }

    /// A list whose items parse; those that do not are mistakes.
    pub(super) fn parsed_list<T: FromStr>(&mut self, key: &str, allowed: &str) -> Vec<T> {
        let mut parsed = Vec::new();
        for item in self.list(key).unwrap_or_default() {
            match item.parse() {
                Ok(item) => parsed.push(item),
                Err(_) => self.wrong(key, item, "does not parse", allowed),
            }
        }
        parsed
    }

    /// `key=value` pairs separated by commas.
    pub(super) fn map(&mut self, key: &str) -> BTreeMap<String, String> {
        let Some(text) = self.text(key) else { return BTreeMap::new() };
        pairs(text).unwrap_or_else(|()| {
            self.wrong(
                key,
                text,
                "is not a list of key=value pairs",
                r"key=value,key=value; a comma inside a value is written \,",
            );
            BTreeMap::new()
        })
    }
}

/// Reads `key=value` pairs as the AWS Load Balancer Controller does: a backslash takes the next character
/// literally, a comma ends a pair only when another `=` follows, each pair splits at its first `=`, both sides
/// are trimmed, a value may be empty, the last of two equal keys counts.
fn pairs(text: &str) -> Result<BTreeMap<String, String>, ()> {
    let mut read = BTreeMap::new();
    let (mut name, mut current, mut in_value) = (String::new(), String::new(), false);
    let mut rest = text.chars();
    let mut keep = |name: &str, value: &str| match name.trim() {
        "" => Err(()),
        name => {
            read.insert(name.to_owned(), value.trim().to_owned());
            Ok(())
        }
    };
    while let Some(c) = rest.next() {
        match c {
            '\\' => current.extend(rest.next()),
            '=' if !in_value => {
                name = std::mem::take(&mut current);
                in_value = true;
            }
            ',' if rest.as_str().contains('=') => {
                if !in_value {
                    return Err(());
                }
                keep(&name, &current)?;
                current.clear();
                in_value = false;
            }
            // Text after the last pair that is no pair: a forgotten `=` more likely than a comma in a value.
            ',' if !rest.as_str().trim().is_empty() => return Err(()),
            c => current.push(c),
        }
    }
    if in_value {
        keep(&name, &current)?;
    } else if !current.trim().is_empty() {
        return Err(());
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_as_the_aws_load_balancer_controller_reads_them() {
        type Pairs<'a> = &'a [(&'a str, &'a str)];
        let table: [(&str, Result<Pairs<'_>, ()>); 11] = [
            ("", Ok(&[])),
            ("a=1", Ok(&[("a", "1")])),
            (" a = 1 , b = 2 ", Ok(&[("a", "1"), ("b", "2")])),
            (r"a=1\,2,b=3", Ok(&[("a", "1,2"), ("b", "3")])),
            ("a=", Ok(&[("a", "")])),
            ("a=x=y", Ok(&[("a", "x=y")])),
            ("a=1,a=2", Ok(&[("a", "2")])),
            ("a=1,", Ok(&[("a", "1,")])),
            ("a", Err(())),
            ("=1", Err(())),
            ("a=1,b", Err(())),
        ];
        for (text, expected) in table {
            let expected =
                expected.map(|pairs| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
            assert_eq!(pairs(text), expected, "{text:?}");
        }
    }
}
