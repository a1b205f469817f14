//! The annotations as a table: key, values, default, meaning.
//!
//! The reader takes keys, ranges and words from here, and the table in `docs/aws.md` is printed from here, so that the
//! three say the same.

use std::fmt;
use std::ops::RangeInclusive;

use crate::options::scope::Scope;

/// What every key starts with.
pub const PREFIX: &str = "service.beta.kubernetes.io/";

/// One annotation, or a family of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// The key, or what the keys of a family start with.
    pub key: &'static str,
    /// What follows `key` in a family: `PORT` or `PROTOCOL-PORT`; empty for a single annotation.
    pub of: &'static str,
    /// The values that are taken.
    pub takes: Takes,
    /// What it decides: what is left as it is while its value is a mistake.
    pub decides: &'static [Scope],
    /// What holds without it.
    pub default: &'static str,
    /// What it does.
    pub does: &'static str,
}

/// The values an annotation takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Takes {
    /// `true` or `false`, in all spellings of Go's `strconv.ParseBool`.
    Truth,
    /// `on` or `off`.
    Switch,
    /// A whole number in this range.
    Number(RangeInclusive<u32>),
    /// One of these words, separated by commas and spaces.
    Word(&'static str),
    /// Items of this sort, separated by commas.
    List(&'static str),
    /// `key=value` pairs, separated by commas.
    Pairs,
    /// Text of this sort.
    Text(&'static str),
    /// Nothing: it is refused, so that nobody believes it to have an effect.
    Refused,
}

impl fmt::Display for Takes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truth => f.write_str("true, false"),
            Self::Switch => f.write_str("on, off"),
            Self::Number(range) => write!(f, "a number from {} to {}", range.start(), range.end()),
            Self::Word(words) => f.write_str(words),
            Self::List(items) => write!(f, "a list of {items}"),
            Self::Pairs => f.write_str("key=value pairs"),
            Self::Text(sort) => f.write_str(sort),
            Self::Refused => f.write_str("nothing"),
        }
    }
}

impl Annotation {
    /// Whether this is the annotation's key, or that of a member of the family.
    pub fn is(&self, key: &str) -> bool {
        match self.of {
            "" => self.key == key,
            _ => key.len() > self.key.len() && key.starts_with(self.key),
        }
    }
}

/// The annotation that a key means, if there is one.
pub fn of(key: &str) -> Option<&'static Annotation> {
    SECTIONS.iter().flat_map(|(_, annotations)| annotations.iter()).find(|annotation| annotation.is(key))
}

/// What an annotation decides; of a family of them, where the key says of which port it is, that port alone. A key that is
/// not known may have been meant for anything.
pub(crate) fn decided_by(key: &str) -> Vec<Scope> {
    let Some(annotation) = of(key) else { return vec![Scope::Everything] };
    let port = key[annotation.key.len()..].rsplit('-').next().and_then(|number| number.parse().ok());
    match (annotation.of, port) {
        ("", _) | (_, None) => annotation.decides.to_vec(),
        (_, Some(port)) => vec![Scope::Port(port)],
    }
}

macro_rules! annotations {
    ($($section:literal { $($name:ident = $suffix:literal $({ $of:literal })?, $takes:expr, [$($scope:ident),*], $default:literal, $does:literal;)* })*) => {
        /// The keys.
        pub mod key {
            $($(
                #[doc = concat!("`service.beta.kubernetes.io/", $suffix, "`", $(" followed by `", $of, "`",)? ": ", $does)]
                pub const $name: &str = concat!("service.beta.kubernetes.io/", $suffix);
            )*)*
        }

        /// Every annotation this provider understands, or refuses by name, in sections.
        pub static SECTIONS: &[(&str, &[Annotation])] = &[$(
            ($section, &[$(Annotation {
                key: key::$name,
                of: concat!($($of)?),
                takes: $takes,
                decides: &[$(Scope::$scope),*],
                default: $default,
                does: $does,
            }),*]),
        )*];
    };
}

use Takes::{List, Number, Pairs, Refused, Switch, Text, Truth, Word};

annotations! {
    "The load balancer" {
        NAME = "aws-load-balancer-name", Text("1 to 32 letters, digits and hyphens"), [], "made from the cluster, the Service and the scheme",
            "Its name. It cannot be changed later";
        SCHEME = "aws-load-balancer-scheme", Word("internal, internet-facing"), [Zones], "that of the load balancer that exists, else `--aws-default-scheme`",
            "Where it can be reached from. A change makes a new load balancer with a new host name";
        INTERNAL = "aws-load-balancer-internal", Truth, [Zones], "none",
            "Deprecated: `true` is scheme internal, `false` is internet-facing";
        IP_ADDRESS_TYPE = "aws-load-balancer-ip-address-type", Word("ipv4, dualstack"), [Everything], "ipv4",
            "Address families of clients";
        SUBNETS = "aws-load-balancer-subnets", List("subnet ids or values of their tag `Name`"), [Zones], "discovered, see Subnets",
            "Its subnets, one a zone, in this order";
        EIP_ALLOCATIONS = "aws-load-balancer-eip-allocations", List("allocation ids (`eipalloc-...`)"), [Zones], "none",
            "Elastic IP addresses, one for each subnet, in the order of the subnets; internet-facing only";
        PRIVATE_IPV4 = "aws-load-balancer-private-ipv4-addresses", List("IPv4 addresses"), [Zones], "AWS chooses",
            "Its addresses, one in each subnet; internal only";
        IPV6 = "aws-load-balancer-ipv6-addresses", List("IPv6 addresses"), [Zones], "AWS chooses",
            "Its addresses, one in each subnet; dualstack only";
        SOURCE_NAT = "aws-load-balancer-enable-prefix-for-ipv6-source-nat", Switch, [Zones], "AWS's, which is off",
            "Whether each subnet gives a prefix for source NAT, which UDP over IPv6 needs; dualstack only";
        SOURCE_NAT_PREFIXES = "aws-load-balancer-source-nat-ipv6-prefixes", List("`auto_assigned` or /80 prefixes"), [Zones], "AWS chooses",
            "The prefixes, one for each subnet, in the order of the subnets";
        CAPACITY = "aws-load-balancer-minimum-load-balancer-capacity", Text("CapacityUnits=N"), [Attributes], "left as it is",
            "Reserved capacity; 0 gives it up";
    }
    "Its attributes and tags" {
        ATTRIBUTES = "aws-load-balancer-attributes", Pairs, [Attributes], "AWS's defaults",
            "Attributes of the load balancer by AWS's names. One that is taken out again goes back to AWS's default, where that is known";
        CROSS_ZONE = "aws-load-balancer-cross-zone-load-balancing-enabled", Truth, [Attributes], "none",
            "Deprecated: attribute `load_balancing.cross_zone.enabled`";
        ACCESS_LOG_ENABLED = "aws-load-balancer-access-log-enabled", Truth, [Attributes], "none",
            "Deprecated: attribute `access_logs.s3.enabled`";
        ACCESS_LOG_BUCKET = "aws-load-balancer-access-log-s3-bucket-name", Text("a bucket"), [Attributes], "none",
            "Deprecated: attribute `access_logs.s3.bucket`, where the one above is true";
        ACCESS_LOG_PREFIX = "aws-load-balancer-access-log-s3-bucket-prefix", Text("a prefix"), [Attributes], "none",
            "Deprecated: attribute `access_logs.s3.prefix`, where the one above is true";
        TAGS = "aws-load-balancer-additional-resource-tags", Pairs, [Tags], "`--aws-default-tags`",
            "Tags on everything that is made for the Service, beside the operator's, which win";
    }
    "Listeners and TLS" {
        TCP_UDP = "aws-load-balancer-enable-tcp-udp-listener", Truth, [Ports], "true",
            "Whether TCP and UDP of one port number share a listener, for which their node ports must be the same. With `false` such a pair is a mistake";
        SSL_CERT = "aws-load-balancer-ssl-cert", List("ARNs of certificates of ACM or IAM"), [Tls], "no TLS",
            "Certificates; the first is for clients that name no host, the others are chosen by the host they name";
        SSL_PORTS = "aws-load-balancer-ssl-ports", List("names or numbers of TCP ports"), [Tls], "all TCP ports",
            "Which ports are TLS, where there are certificates. Without one it has no effect, which a Warning says";
        SSL_POLICY = "aws-load-balancer-ssl-negotiation-policy", Text("a security policy"), [Tls], "`--aws-default-ssl-policy`; a listener that exists keeps the one it has",
            "Which versions and ciphers of TLS are taken";
        BACKEND_PROTOCOL = "aws-load-balancer-backend-protocol", Word("ssl, tcp, http"), [Tls], "tcp",
            "Whether the load balancer speaks TLS to the targets of TLS ports. `http` is served as plain TCP, with a Warning; `https` is refused, because other controllers send plain TCP for it";
        ALPN_POLICY = "aws-load-balancer-alpn-policy", Word("None, HTTP1Only, HTTP2Only, HTTP2Optional, HTTP2Preferred"), [Tls], "None",
            "The ALPN policy of TLS listeners";
        LISTENER_ATTRIBUTES = "aws-load-balancer-listener-attributes." { "PROTOCOL-PORT" }, Pairs, [Ports], "AWS's defaults",
            "Attributes of one listener, such as `TCP-80`, by AWS's names";
        ACTIONS = "actions." { "PROTOCOL-PORT" }, Text("a forward action as JSON"), [Ports], "all to the Service's own nodes",
            "Shares the traffic of one listener, such as `TCP-80`, with other target groups, named by ARN, by weight";
    }
    "Targets and health checks" {
        TARGET_TYPE = "aws-load-balancer-nlb-target-type", Word("instance"), [Ports, Nodes], "instance",
            "What targets are. Targets by IP are not yet supported, and are refused";
        NODE_LABELS = "aws-load-balancer-target-node-labels", Pairs, [Nodes], "all nodes that may take traffic",
            "Only nodes with all these labels are targets";
        TARGET_GROUP_ATTRIBUTES = "aws-load-balancer-target-group-attributes", Pairs, [Ports], "AWS's defaults",
            "Attributes of all target groups by AWS's names. One that is taken out again goes back to AWS's default, where that is known";
        TARGET_GROUP_ATTRIBUTES_OF = "aws-load-balancer-target-group-attributes." { "PORT" }, Pairs, [Ports], "those of all target groups",
            "Attributes of the target group of one port number; they win over those of all. A port that the Service does not have is a Warning";
        PROXY_PROTOCOL = "aws-load-balancer-proxy-protocol", Word("*"), [Ports], "off",
            "Proxy protocol version 2 to all targets; wins over the attributes";
        PROXY_PROTOCOL_PER_TARGET_GROUP = "aws-load-balancer-proxy-protocol-per-target-group", List("port numbers of the Service"), [Ports], "none",
            "Proxy protocol version 2 to the targets of these ports and to no others; wins over the attributes";
        HEALTH_PROTOCOL = "aws-load-balancer-healthcheck-protocol", Word("tcp, http, https"), [Ports], "tcp (http with `externalTrafficPolicy: Local`)",
            "How targets are checked";
        HEALTH_PORT = "aws-load-balancer-healthcheck-port", Text("`traffic-port`, a number, or the name of a port"), [Ports], "traffic-port (the health check node port with `externalTrafficPolicy: Local`)",
            "Where targets are checked; a name stands for that port's node port";
        HEALTH_PATH = "aws-load-balancer-healthcheck-path", Text("a path"), [Ports], "/ (/healthz with `externalTrafficPolicy: Local`)",
            "What is asked for, with http and https";
        HEALTH_CODES = "aws-load-balancer-healthcheck-success-codes", Text("codes such as `200,301` or `200-399`"), [Ports], "200-399",
            "Which answers are healthy, with http and https";
        HEALTH_INTERVAL = "aws-load-balancer-healthcheck-interval", Number(5..=300), [Ports], "10",
            "Seconds from check to check";
        HEALTH_TIMEOUT = "aws-load-balancer-healthcheck-timeout", Number(2..=120), [Ports], "10 (6 with `externalTrafficPolicy: Local`), at most the interval",
            "Seconds until a check has failed";
        HEALTHY_THRESHOLD = "aws-load-balancer-healthcheck-healthy-threshold", Number(2..=10), [Ports], "3 (2 with `externalTrafficPolicy: Local`)",
            "How many good checks make a target healthy";
        UNHEALTHY_THRESHOLD = "aws-load-balancer-healthcheck-unhealthy-threshold", Number(2..=10), [Ports], "3 (2 with `externalTrafficPolicy: Local`)",
            "How many bad ones make it unhealthy";
    }
    "Who may connect" {
        SOURCE_RANGES = "load-balancer-source-ranges", List("networks"), [Access], "everybody",
            "Who may connect, where `spec.loadBalancerSourceRanges` does not say. Ranges that do not parse open nothing";
        PREFIX_LISTS = "aws-load-balancer-security-group-prefix-lists", List("prefix list ids (`pl-...`)"), [Access], "none",
            "Prefix lists that may connect. With it, everybody no longer may, even when it is empty";
        SECURITY_GROUPS = "aws-load-balancer-security-groups", List("up to 5 group ids or values of their tag `Name`"), [Access], "one group made for the Service",
            "Security groups of your own; source ranges and prefix lists then have no effect";
        MANAGE_BACKEND_RULES = "aws-load-balancer-manage-backend-security-group-rules", Truth, [Access], "false",
            "With groups of your own: whether the nodes are opened for the load balancer all the same";
        NO_SECURITY_GROUP = "aws-load-balancer-disable-nlb-sg", Truth, [Access], "false",
            "Makes it without security groups, which holds for its whole life; the rules on the nodes are then yours";
        PRIVATE_LINK_RULES = "aws-load-balancer-inbound-sg-rules-on-private-link-traffic", Switch, [Access, Attributes], "AWS's, which is on",
            "Whether the rules hold for what comes over PrivateLink";
        PATH_MTU = "aws-load-balancer-enable-icmp-for-path-mtu-discovery", Switch, [Access], "off",
            "Lets messages of path MTU discovery in, from those who may connect";
    }
    "Other controllers' annotations" {
        TYPE = "aws-load-balancer-type", Text("nlb, external or nlb-ip"), [Everything], "none",
            "On a Service without a class it names another AWS controller: such a Service is served only with `--aws-adopt`, and never with `nlb-ip`. On others it has no effect";
        MULTI_CLUSTER = "aws-load-balancer-multi-cluster-target-group", Truth, [Ports, Nodes], "false",
            "Target groups shared by clusters are not yet supported: `true` is refused";
        QUIC_PORTS = "aws-load-balancer-quic-enabled-ports", Refused, [Ports], "none",
            "QUIC is not yet supported";
        QUIC_CONTAINERS = "aws-load-balancer-quic-enabled-containers", Refused, [Ports], "none",
            "QUIC is not yet supported";
        EXTRA_SECURITY_GROUPS = "aws-load-balancer-extra-security-groups", Refused, [Access], "none",
            "It is for Classic Load Balancers; use `aws-load-balancer-security-groups`";
    }
}

#[cfg(test)]
mod tests {
    use cloud_provider::testing::a_service;

    use super::*;
    use crate::config::AwsConfig;
    use crate::options::parse;

    fn annotations() -> impl Iterator<Item = &'static Annotation> {
        SECTIONS.iter().flat_map(|(_, annotations)| annotations.iter())
    }

    /// What is said of an annotation with this value on a plain Service.
    fn mistakes(annotation: &Annotation, value: &str) -> Vec<String> {
        let service = a_service().annotation(annotation.key, value).build();
        let mistakes = parse(&service, &AwsConfig::new("blue")).err().into_iter();
        let all = mistakes.flat_map(|mistakes| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>());
        all.filter(|mistake| mistake.contains(annotation.key)).collect()
    }

    #[track_caller]
    fn refused(annotation: &Annotation, value: &str, allowed: &str) {
        let found = mistakes(annotation, value);
        assert!(
            found.iter().any(|mistake| mistake.contains(&format!("; allowed: {allowed}"))),
            "{}={value:?}: {found:?}",
            annotation.key
        );
    }

    #[track_caller]
    fn taken(annotation: &Annotation, value: &str) {
        let found = mistakes(annotation, value);
        // One that fits the table may still not fit the default of its neighbour.
        let found: Vec<_> = found.iter().filter(|m| !m.contains("is longer than the interval")).collect();
        assert!(found.is_empty(), "{}={value:?}: {found:?}", annotation.key);
    }

    #[test]
    fn every_value_that_the_table_names_is_taken_and_others_are_refused_with_its_words() {
        for annotation in annotations() {
            let allowed = annotation.takes.to_string();
            match &annotation.takes {
                Truth => {
                    refused(annotation, "maybe", &allowed);
                    taken(annotation, "false");
                }
                Switch => {
                    refused(annotation, "maybe", &allowed);
                    taken(annotation, "off");
                }
                Number(range) => {
                    refused(annotation, &(range.start() - 1).to_string(), &allowed);
                    refused(annotation, &(range.end() + 1).to_string(), &allowed);
                    taken(annotation, &range.start().to_string());
                    taken(annotation, &range.end().to_string());
                }
                Word(words) => {
                    refused(annotation, "something-else", words);
                    words.split(", ").for_each(|word| taken(annotation, word));
                }
                Pairs if annotation.of.is_empty() => {
                    refused(annotation, "no pairs", "key=value,key=value");
                    taken(annotation, "some.name=value");
                }
                Refused => {
                    assert!(!mistakes(annotation, "anything").is_empty(), "{}", annotation.key);
                }
                List(_) | Pairs | Text(_) => {}
            }
        }
    }

    #[test]
    fn the_defaults_of_numbers_are_those_that_hold() {
        let spec = parse(&a_service().build(), &AwsConfig::new("blue")).expect("no mistakes").spec;
        let check = &spec.listeners[0].target_group.health_check;
        for (key, holds) in [
            (key::HEALTH_INTERVAL, check.interval_seconds),
            (key::HEALTH_TIMEOUT, check.timeout_seconds),
            (key::HEALTHY_THRESHOLD, check.healthy_threshold),
            (key::UNHEALTHY_THRESHOLD, check.unhealthy_threshold),
        ] {
            let default = of(key).expect("it is in the table").default;
            assert_eq!(default.split(' ').next(), Some(holds.to_string().as_str()), "{key}");
        }
    }

    #[test]
    fn a_key_is_in_the_table_once() {
        for annotation in annotations() {
            let member = format!("{}{}", annotation.key, annotation.of);
            let found: Vec<&str> = annotations().filter(|a| a.is(&member)).map(|a| a.key).collect();
            assert_eq!(found, [annotation.key]);
        }
        assert_eq!(of("service.beta.kubernetes.io/aws-load-balancer-schema"), None);
        assert_eq!(of("service.beta.kubernetes.io/aws-load-balancer-listener-attributes."), None);
    }
}
