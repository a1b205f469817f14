//! Every refusal with its annotation, and those that are nobody's mistake.

use cloud_provider::testing::a_service;

use super::*;

/// The keys of annotations, with values, that a Service has; the refusal; and which of them is at fault.
type Row = (&'static [(&'static str, &'static str)], &'static str, Call, &'static str);

const TABLE: &[Row] = &[
    (&[(key::SUBNETS, "subnet-1")], "SubnetNotFound", Call::CreateLoadBalancer, key::SUBNETS),
    (&[(key::SUBNETS, "subnet-1")], "InvalidSubnet", Call::SetSubnets, key::SUBNETS),
    (&[(key::SUBNETS, "subnet-1")], "AvailabilityZoneNotSupported", Call::SetSubnets, key::SUBNETS),
    (&[(key::SCHEME, "internet-facing")], "InvalidSubnet", Call::CreateLoadBalancer, key::SCHEME),
    (
        &[(key::SCHEME, "internal"), (key::IP_ADDRESS_TYPE, "dualstack")],
        "InvalidSubnet",
        Call::SetIpAddressType,
        key::IP_ADDRESS_TYPE,
    ),
    (
        &[(key::SECURITY_GROUPS, "sg-1")],
        "InvalidSecurityGroup",
        Call::CreateLoadBalancer,
        key::SECURITY_GROUPS,
    ),
    (
        &[(key::SECURITY_GROUPS, "sg-1")],
        "SecurityGroupsPerInterfaceLimitExceeded",
        Call::SetSecurityGroups,
        key::SECURITY_GROUPS,
    ),
    (
        &[(key::EIP_ALLOCATIONS, "eipalloc-1")],
        "AllocationIdNotFound",
        Call::CreateLoadBalancer,
        key::EIP_ALLOCATIONS,
    ),
    (&[(key::EIP_ALLOCATIONS, "eipalloc-1")], "ResourceInUse", Call::SetSubnets, key::EIP_ALLOCATIONS),
    (&[(key::SSL_CERT, "arn:a")], "CertificateNotFound", Call::CreateListener, key::SSL_CERT),
    (&[(key::SSL_CERT, "arn:a")], "TooManyCertificates", Call::AddListenerCertificates, key::SSL_CERT),
    (&[(key::SSL_POLICY, "Best")], "SSLPolicyNotFound", Call::ModifyListener, key::SSL_POLICY),
    (&[(key::ALPN_POLICY, "None")], "ALPNPolicyNotFound", Call::CreateListener, key::ALPN_POLICY),
    (
        &[(key::PREFIX_LISTS, "pl-1")],
        "InvalidPrefixListId.NotFound",
        Call::AuthorizeSecurityGroupIngress,
        key::PREFIX_LISTS,
    ),
    (
        &[(key::PREFIX_LISTS, "pl-1")],
        "InvalidPrefixListID.NotFound",
        Call::AuthorizeSecurityGroupIngress,
        key::PREFIX_LISTS,
    ),
    (
        &[(key::PREFIX_LISTS, "pl-1")],
        "RulesPerSecurityGroupLimitExceeded",
        Call::AuthorizeSecurityGroupIngress,
        key::PREFIX_LISTS,
    ),
    (&[(key::TAGS, "a=b")], "TooManyTags", Call::CreateLoadBalancer, key::TAGS),
    (&[(key::TAGS, "a=b")], "TagLimitExceeded", Call::CreateSecurityGroup, key::TAGS),
    (&[(key::TAGS, "a=b")], "DuplicateTagKeys", Call::CreateTargetGroup, key::TAGS),
    (&[(key::TAGS, "a=b")], "ValidationError", Call::AddTags, key::TAGS),
    (&[(key::TAGS, "a=b")], "InvalidParameterValue", Call::CreateTags, key::TAGS),
    (
        &[(key::CAPACITY, "CapacityUnits=9")],
        "CapacityUnitsLimitExceeded",
        Call::ModifyCapacityReservation,
        key::CAPACITY,
    ),
    (
        &[(key::CAPACITY, "CapacityUnits=9")],
        "CapacityDecreaseRequestLimitExceeded",
        Call::ModifyCapacityReservation,
        key::CAPACITY,
    ),
    (
        &[(key::CAPACITY, "CapacityUnits=9")],
        "ValidationError",
        Call::ModifyCapacityReservation,
        key::CAPACITY,
    ),
    (&[(ACTION, "{}")], "TargetGroupNotFound", Call::CreateListener, ACTION),
    (&[(ACTION, "{}")], "TargetGroupAssociationLimit", Call::ModifyListener, ACTION),
    (&[(ACTION, "{}")], "TooManyActions", Call::ModifyListener, ACTION),
    (&[(ACTION, "{}")], "TooManyUniqueTargetGroupsPerLoadBalancer", Call::CreateListener, ACTION),
    (&[(ACTION, "{}")], "InvalidLoadBalancerAction", Call::CreateListener, ACTION),
    (&[(ACTION, "{}")], "IncompatibleProtocols", Call::ModifyListener, ACTION),
    (&[(key::SSL_CERT, "x")], "ValidationError", Call::CreateListener, key::SSL_CERT),
    (&[(key::SSL_CERT, "x")], "InvalidConfigurationRequest", Call::AddListenerCertificates, key::SSL_CERT),
    (
        &[(key::PRIVATE_IPV4, "10.0.0.9")],
        "InvalidConfigurationRequest",
        Call::CreateLoadBalancer,
        key::PRIVATE_IPV4,
    ),
    (&[(key::IPV6, "fd00::9")], "InvalidConfigurationRequest", Call::SetSubnets, key::IPV6),
    (
        &[(key::SOURCE_NAT_PREFIXES, "fd00::/80")],
        "InvalidConfigurationRequest",
        Call::SetSubnets,
        key::SOURCE_NAT_PREFIXES,
    ),
    (&[(key::SOURCE_NAT, "on")], "InvalidConfigurationRequest", Call::SetSubnets, key::SOURCE_NAT),
    (
        &[(key::IP_ADDRESS_TYPE, "dualstack")],
        "InvalidConfigurationRequest",
        Call::SetIpAddressType,
        key::IP_ADDRESS_TYPE,
    ),
    (
        &[(key::PRIVATE_LINK_RULES, "off")],
        "InvalidConfigurationRequest",
        Call::SetSecurityGroups,
        key::PRIVATE_LINK_RULES,
    ),
    (&[(key::ATTRIBUTES, "a=b")], "ValidationError", Call::ModifyLoadBalancerAttributes, key::ATTRIBUTES),
    (
        &[(key::ACCESS_LOG_ENABLED, "true"), (key::ACCESS_LOG_BUCKET, "logs")],
        "InvalidConfigurationRequest",
        Call::ModifyLoadBalancerAttributes,
        key::ACCESS_LOG_BUCKET,
    ),
    (&[(key::HEALTH_PATH, "/live")], "ValidationError", Call::ModifyTargetGroup, key::HEALTH_PATH),
    (&[(key::HEALTH_INTERVAL, "7")], "ValidationError", Call::CreateTargetGroup, key::HEALTH_INTERVAL),
    (
        &[(TARGET_GROUP_ATTRIBUTES, "a=b")],
        "ValidationError",
        Call::ModifyTargetGroupAttributes,
        TARGET_GROUP_ATTRIBUTES,
    ),
    (
        &[(key::PROXY_PROTOCOL, "*")],
        "InvalidConfigurationRequest",
        Call::ModifyTargetGroupAttributes,
        key::PROXY_PROTOCOL,
    ),
    (&[(LISTENER_ATTRIBUTES, "a=b")], "ValidationError", Call::ModifyListenerAttributes, LISTENER_ATTRIBUTES),
    (
        &[(key::SOURCE_RANGES, "10.0.0.0/8")],
        "InvalidParameterValue",
        Call::AuthorizeSecurityGroupIngress,
        key::SOURCE_RANGES,
    ),
];

/// The annotations that a request carries to AWS: each may be what AWS calls invalid about it.
const CARRIED: &[(&[Call], &[&str])] = &[
    (
        &[Call::CreateLoadBalancer, Call::SetSubnets],
        &[
            key::PRIVATE_IPV4,
            key::IPV6,
            key::SOURCE_NAT_PREFIXES,
            key::EIP_ALLOCATIONS,
            key::SUBNETS,
            key::SOURCE_NAT,
        ],
    ),
    (&[Call::SetSecurityGroups], &[key::SECURITY_GROUPS, key::PRIVATE_LINK_RULES]),
    (&[Call::SetIpAddressType], &[key::IP_ADDRESS_TYPE]),
    (
        &[Call::ModifyLoadBalancerAttributes],
        &[
            key::ATTRIBUTES,
            key::ACCESS_LOG_BUCKET,
            key::ACCESS_LOG_PREFIX,
            key::ACCESS_LOG_ENABLED,
            key::CROSS_ZONE,
        ],
    ),
    (
        &[Call::CreateTargetGroup, Call::ModifyTargetGroup],
        &[
            key::HEALTH_PROTOCOL,
            key::HEALTH_PORT,
            key::HEALTH_PATH,
            key::HEALTH_CODES,
            key::HEALTH_INTERVAL,
            key::HEALTH_TIMEOUT,
            key::HEALTHY_THRESHOLD,
            key::UNHEALTHY_THRESHOLD,
        ],
    ),
    (
        &[Call::ModifyTargetGroupAttributes],
        &[
            key::TARGET_GROUP_ATTRIBUTES,
            TARGET_GROUP_ATTRIBUTES,
            key::PROXY_PROTOCOL,
            key::PROXY_PROTOCOL_PER_TARGET_GROUP,
        ],
    ),
    (
        &[Call::CreateListener, Call::ModifyListener],
        &[ACTION, key::SSL_CERT, key::SSL_POLICY, key::ALPN_POLICY],
    ),
    (&[Call::AddListenerCertificates], &[key::SSL_CERT]),
    (&[Call::ModifyListenerAttributes], &[LISTENER_ATTRIBUTES]),
    (&[Call::AuthorizeSecurityGroupIngress], &[key::SOURCE_RANGES, key::PREFIX_LISTS]),
    (&[Call::AddTags, Call::CreateTags], &[key::TAGS]),
];

const ACTION: &str = "service.beta.kubernetes.io/actions.TCP-80";
const TARGET_GROUP_ATTRIBUTES: &str =
    "service.beta.kubernetes.io/aws-load-balancer-target-group-attributes.80";
const LISTENER_ATTRIBUTES: &str = "service.beta.kubernetes.io/aws-load-balancer-listener-attributes.TCP-80";

/// Codes that AWS has for what a caller asked, and that no annotation can bring about: the reader or the desired
/// state refuses it before, the account's owner set it, or it is about what this program does by itself.
const NOBODYS: &[(&str, &str)] = &[
    ("TooManyLoadBalancers", "the account's quota"),
    ("TooManyListeners", "more ports than AWS has listeners are refused before"),
    ("TooManyTargetGroups", "the account's quota"),
    ("TooManyTargets", "targets are shared among the ports as AWS has room; the nodes are told"),
    ("TooManyRegistrationsForTargetId", "the same"),
    ("SecurityGroupLimitExceeded", "the account's quota"),
    ("ResourceLimitExceeded", "the account's quota"),
    ("LoadBalancerNotFound", "it has gone meanwhile, and is looked at again"),
    ("ListenerNotFound", "the same"),
    ("InvalidGroup.NotFound", "too new to be seen, or gone; groups that a user names are looked up before"),
    ("InvalidSecurityGroupID.NotFound", "the same"),
    ("InvalidPermission.NotFound", "the rule has gone, which was wanted"),
    ("InvalidSubnetID.NotFound", "EC2's; subnets that a user names are looked up before"),
    ("InvalidVpcID.NotFound", "the operator's"),
    ("InvalidInstanceID.NotFound", "instances are looked up by filter"),
    ("OperationNotPermitted", "deletion protection, which is told with its attribute"),
    ("InvalidScheme", "a scheme is one of two words"),
    ("InvalidTarget", "it is the node's, and told by its name"),
    ("UnsupportedProtocol", "protocols are read from the Service's ports"),
    ("FilterLimitExceeded", "requests are cut to size"),
    ("InvalidParameter", "EC2's word for what this program sends by itself"),
    ("InvalidParameterCombination", "the same"),
    ("MissingParameter", "the same"),
    ("InvalidGroupId.Malformed", "ids come from AWS"),
    ("InvalidGroup.Reserved", "names of groups are made here"),
    ("InvalidInstanceID.Malformed", "ids come from AWS"),
    ("InvalidSubnetID.Malformed", "ids come from AWS"),
    ("InvalidPermission.Malformed", "rules are built from parsed networks"),
    ("ValidationException", "the same as ValidationError, in another protocol of AWS's"),
];

fn blame(annotations: &[(&str, &str)], code: &str, call: Call, message: &str) -> Option<String> {
    let service = annotations.iter().fold(a_service(), |s, (key, value)| s.annotation(key, value)).build();
    blamed(&ApiError::new(call, code, message), &service).map(|mistake| mistake.to_string())
}

#[test]
fn a_refusal_is_told_with_the_annotation_that_it_comes_from() {
    for (annotations, code, call, at_fault) in TABLE {
        let told = blame(annotations, code, *call, "AWS's own words");
        let told = told.unwrap_or_else(|| panic!("{code} of {call} is not explained by {annotations:?}"));
        assert!(told.starts_with(&format!("metadata.annotations[{at_fault}]: ")), "{code} of {call}: {told}");
        assert!(told.contains("AWS's own words") && told.contains(code), "{told}");
        assert_eq!(blame(&[], code, *call, ""), None, "{code} of {call} without annotations");
    }
}

#[test]
fn every_code_of_a_refusal_is_in_the_table_or_nobodys_mistake() {
    let source = include_str!("../client/error.rs");
    let (_, arms) = source.split_once("pub fn of(code: &str)").expect("where codes are classified");
    let (arms, _) = arms.split_once("fn by_its_form").expect("what is classified without its name");
    let codes = arms.split('"').skip(1).step_by(2).filter(|code| {
        let by_the_request =
            [ErrorKind::Invalid, ErrorKind::NotFound, ErrorKind::NotPermitted, ErrorKind::Quota];
        by_the_request.contains(&ErrorKind::of(code))
    });
    for code in codes {
        let in_table = TABLE.iter().any(|(_, known, ..)| *known == code);
        let is_nobodys = NOBODYS.iter().any(|(known, _)| *known == code);
        assert!(in_table != is_nobodys, "{code}: in the table {in_table}, nobody's {is_nobodys}");
    }
}

#[test]
fn among_several_annotations_it_is_the_one_that_aws_quotes_and_else_all_are_named() {
    let both = [(key::PRIVATE_IPV4, "10.0.0.9,10.0.1.9"), (key::SUBNETS, "subnet-0a,subnet-0b")];
    let call = Call::SetSubnets;
    let quoted = blame(&both, "InvalidConfigurationRequest", call, "subnet-0b is not usable").unwrap();
    assert!(quoted.contains(key::SUBNETS) && !quoted.contains(key::PRIVATE_IPV4), "{quoted}");
    let unclear = blame(&both, "InvalidConfigurationRequest", call, "no").unwrap();
    assert!(unclear.contains(key::SUBNETS) && unclear.contains(key::PRIVATE_IPV4), "{unclear}");
}

#[test]
fn each_annotation_that_a_request_carries_may_be_what_aws_calls_invalid() {
    for (calls, keys) in CARRIED {
        for (call, key) in calls.iter().flat_map(|call| keys.iter().map(move |key| (*call, *key))) {
            let told = blame(&[(key, "a value")], "ValidationError", call, "no");
            let told = told.unwrap_or_else(|| panic!("{call} is not explained by {key}"));
            assert!(told.starts_with(&format!("metadata.annotations[{key}]: ")), "{call}: {told}");
        }
    }
}

#[test]
fn an_annotation_with_a_value_that_cannot_be_the_reason_is_not_blamed() {
    for (key, value) in [(key::SCHEME, "internal"), (key::IP_ADDRESS_TYPE, "ipv4")] {
        assert_eq!(blame(&[(key, value)], "InvalidSubnet", Call::CreateLoadBalancer, "no"), None, "{key}");
    }
}

#[test]
fn a_value_of_a_few_letters_that_stands_in_aws_sentence_is_no_quotation() {
    let both = [(key::HEALTH_PROTOCOL, "tcp"), (key::HEALTH_PATH, "/live")];
    let told =
        blame(&both, "ValidationError", Call::ModifyTargetGroup, "a tcp health check has no path /live");
    let told = told.expect("it is one of the two");
    assert!(told.starts_with(&format!("metadata.annotations[{}]: ", key::HEALTH_PATH)), "{told}");
}
