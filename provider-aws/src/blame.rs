//! From which annotation of a Service a refusal of AWS's comes. Pure.
//!
//! AWS's code says it, or else the request does. What no annotation explains is nobody's mistake here: what has gone
//! meanwhile, what is too new to be seen, the account's own quotas.

use cloud_provider::{Mistake, ServiceView};

use crate::client::Call;
use crate::error::{ApiError, ErrorKind};
use crate::options::annotation::{self, key};
use crate::settings;

/// An annotation that may be at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Suspect {
    /// Its key, or what the keys of its family start with.
    key: &'static str,
    /// The value with which it may be; none for any.
    value: Option<&'static str>,
}

const fn of(key: &'static str) -> Suspect {
    Suspect { key, value: None }
}

const fn holding(key: &'static str, value: &'static str) -> Suspect {
    Suspect { key, value: Some(value) }
}

/// Annotations from which a refusal may come, the likeliest first.
fn suspects(code: &str, call: Call) -> &'static [Suspect] {
    match (code, call) {
        ("SubnetNotFound" | "InvalidSubnet" | "AvailabilityZoneNotSupported", _) => {
            const {
                &[
                    of(key::SUBNETS),
                    holding(key::IP_ADDRESS_TYPE, "dualstack"),
                    holding(key::SCHEME, "internet-facing"),
                ]
            }
        }
        ("InvalidSecurityGroup" | "SecurityGroupsPerInterfaceLimitExceeded", _) => {
            const { &[of(key::SECURITY_GROUPS)] }
        }
        ("AllocationIdNotFound", _) | ("ResourceInUse", Call::CreateLoadBalancer | Call::SetSubnets) => {
            const { &[of(key::EIP_ALLOCATIONS)] }
        }
        ("CertificateNotFound" | "TooManyCertificates", _) => const { &[of(key::SSL_CERT)] },
        ("SSLPolicyNotFound", _) => const { &[of(key::SSL_POLICY)] },
        ("ALPNPolicyNotFound", _) => const { &[of(key::ALPN_POLICY)] },
        ("InvalidPrefixListId.NotFound" | "InvalidPrefixListID.NotFound", _) => {
            const { &[of(key::PREFIX_LISTS)] }
        }
        // A prefix list counts as many rules as it may have entries, which only AWS knows.
        ("RulesPerSecurityGroupLimitExceeded", _) => const { &[of(key::PREFIX_LISTS)] },
        ("TooManyTags" | "TagLimitExceeded" | "DuplicateTagKeys", _) => const { &[of(key::TAGS)] },
        (
            "TargetGroupNotFound"
            | "TargetGroupAssociationLimit"
            | "TooManyActions"
            | "TooManyUniqueTargetGroupsPerLoadBalancer"
            | "InvalidLoadBalancerAction"
            | "IncompatibleProtocols",
            Call::CreateListener | Call::ModifyListener,
        ) => const { &[of(key::ACTIONS)] },
        _ => match ErrorKind::of(code) {
            ErrorKind::Invalid | ErrorKind::NotPermitted => suspects_by_call(call),
            _ => &[],
        },
    }
}

/// Annotations from which it may come that AWS calls this request invalid, whatever the code.
fn suspects_by_call(call: Call) -> &'static [Suspect] {
    match call {
        Call::CreateLoadBalancer | Call::SetSubnets => {
            const {
                &[
                    of(key::PRIVATE_IPV4),
                    of(key::IPV6),
                    of(key::SOURCE_NAT_PREFIXES),
                    of(key::EIP_ALLOCATIONS),
                    of(key::SUBNETS),
                    of(key::SOURCE_NAT),
                ]
            }
        }
        Call::SetSecurityGroups => const { &[of(key::SECURITY_GROUPS), of(key::PRIVATE_LINK_RULES)] },
        Call::SetIpAddressType => const { &[of(key::IP_ADDRESS_TYPE)] },
        Call::ModifyLoadBalancerAttributes => {
            const {
                &[
                    of(key::ATTRIBUTES),
                    of(key::ACCESS_LOG_BUCKET),
                    of(key::ACCESS_LOG_PREFIX),
                    of(key::ACCESS_LOG_ENABLED),
                    of(key::CROSS_ZONE),
                ]
            }
        }
        Call::CreateTargetGroup | Call::ModifyTargetGroup => {
            const {
                &[
                    of(key::HEALTH_PROTOCOL),
                    of(key::HEALTH_PORT),
                    of(key::HEALTH_PATH),
                    of(key::HEALTH_CODES),
                    of(key::HEALTH_INTERVAL),
                    of(key::HEALTH_TIMEOUT),
                    of(key::HEALTHY_THRESHOLD),
                    of(key::UNHEALTHY_THRESHOLD),
                ]
            }
        }
        Call::ModifyTargetGroupAttributes => {
            const {
                &[
                    of(key::TARGET_GROUP_ATTRIBUTES),
                    of(key::TARGET_GROUP_ATTRIBUTES_OF),
                    of(key::PROXY_PROTOCOL),
                    of(key::PROXY_PROTOCOL_PER_TARGET_GROUP),
                ]
            }
        }
        Call::CreateListener | Call::ModifyListener => {
            const { &[of(key::ACTIONS), of(key::SSL_CERT), of(key::SSL_POLICY), of(key::ALPN_POLICY)] }
        }
        Call::AddListenerCertificates => const { &[of(key::SSL_CERT)] },
        Call::ModifyListenerAttributes => const { &[of(key::LISTENER_ATTRIBUTES)] },
        Call::AuthorizeSecurityGroupIngress => const { &[of(key::SOURCE_RANGES), of(key::PREFIX_LISTS)] },
        Call::AddTags | Call::CreateTags => const { &[of(key::TAGS)] },
        _ => &[],
    }
}

/// The mistake in an annotation from which a refusal comes, if the Service has one that explains it.
///
/// Among several it is the one whose value AWS quotes; where AWS quotes none, the others are named beside it.
pub(crate) fn blamed(error: &ApiError, service: &ServiceView) -> Option<Mistake> {
    let mut present: Vec<(&str, &str)> = Vec::new();
    let of_a_setting = settings::annotation_behind(error).map(of);
    for suspect in suspects(&error.code, error.call).iter().copied().chain(of_a_setting) {
        let is_it = |(key, value): &(&str, &str)| {
            annotation::of(key).is_some_and(|known| known.key == suspect.key)
                && suspect.value.is_none_or(|at_fault| at_fault == *value)
        };
        let all = service.annotations.iter().map(|(key, value)| (key.as_str(), value.trim()));
        present.extend(all.filter(is_it));
    }
    let quoted = present.iter().find(|(_, value)| is_quoted(&error.message, value)).copied();
    let (key, value) = quoted.or(present.first().copied())?;
    let others: Vec<&str> =
        present.iter().map(|(other, _)| *other).filter(|other| quoted.is_none() && *other != key).collect();
    let besides = match others.is_empty() {
        true => String::new(),
        false => format!("; it may come from {} as well", others.join(" or ")),
    };
    let problem = format!("is refused by AWS: {} ({} of {}){besides}", error.message, error.code, error.call);
    let takes = annotation::of(key).map(|annotation| annotation.takes.to_string()).unwrap_or_default();
    let mistake = Mistake::in_annotation(key, value, problem)
        .allowing(format!("{takes}, as AWS accepts them here"))
        .meanwhile("what serves keeps serving");
    Some(mistake)
}

/// Whether an item of an annotation's value stands in AWS's message.
fn is_quoted(message: &str, value: &str) -> bool {
    let mut items = value.split([',', '=']).map(str::trim);
    // Shorter ones, such as `on` and `80`, stand in many a sentence.
    items.any(|item| item.len() > 4 && message.contains(item))
}

#[cfg(test)]
mod tests;
