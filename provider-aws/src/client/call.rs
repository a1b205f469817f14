//! The AWS requests this crate can make, as data: for counting, pacing, faults and the IAM policy.

use std::fmt;

use serde::{Serialize, Serializer};

/// The bucket a request takes its token from, as AWS groups them (*Request throttling* in the ELBv2 and EC2
/// guides: reads, writes and target registration have separate buckets). Each has a rate of its own in
/// [`Rates`](super::Rates), so this stays exhaustive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum RateBucket {
    /// ELBv2 `Describe*`.
    ElbRead,
    /// ELBv2 calls that change something.
    ElbWrite,
    /// `RegisterTargets` and `DeregisterTargets`, which have their own bucket.
    ElbTargets,
    /// EC2 `Describe*`.
    Ec2Read,
    /// EC2 calls that change something.
    Ec2Write,
}

impl RateBucket {
    /// All buckets.
    pub const ALL: [Self; 5] =
        [Self::ElbRead, Self::ElbWrite, Self::ElbTargets, Self::Ec2Read, Self::Ec2Write];

    /// Whether AWS publishes how large its bucket is (*Request throttling* in the ELBv2 and EC2 guides), or it is well known.
    pub const fn is_published(self) -> bool {
        !matches!(self, Self::ElbWrite | Self::ElbTargets)
    }

    /// Short name for metrics: `elb_read`, `ec2_write`, ...
    pub const fn name(self) -> &'static str {
        match self {
            Self::ElbRead => "elb_read",
            Self::ElbWrite => "elb_write",
            Self::ElbTargets => "elb_targets",
            Self::Ec2Read => "ec2_read",
            Self::Ec2Write => "ec2_write",
        }
    }
}

macro_rules! calls {
    ($($variant:ident: $service:literal, $bucket:ident;)*) => {
        /// One AWS request this crate can make; a method of [`Elbv2`](super::Elbv2) or
        /// [`Ec2`](super::Ec2) each, with AWS's name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Call {
            $(
                #[doc = concat!("`", stringify!($variant), "`")]
                $variant,
            )*
        }

        impl Call {
            /// Every request this crate can make.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// AWS's name of the request, for example `CreateLoadBalancer`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)*
                }
            }

            /// The IAM action the request needs, for example `elasticloadbalancing:CreateLoadBalancer`.
            ///
            /// A create that carries tags also needs `AddTags` (ELBv2) or `CreateTags` (EC2), which are
            /// calls of their own here.
            pub const fn action(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($service, ":", stringify!($variant)),)*
                }
            }

            /// The bucket the request takes its token from.
            pub const fn rate_bucket(self) -> RateBucket {
                match self {
                    $(Self::$variant => RateBucket::$bucket,)*
                }
            }
        }

        /// The IAM actions of every request this crate can make, in the order of [`Call::ALL`].
        pub const ACTIONS: &[&str] = &[$(concat!($service, ":", stringify!($variant)),)*];
    };
}

calls! {
    DescribeLoadBalancers: "elasticloadbalancing", ElbRead;
    CreateLoadBalancer: "elasticloadbalancing", ElbWrite;
    DeleteLoadBalancer: "elasticloadbalancing", ElbWrite;
    SetSubnets: "elasticloadbalancing", ElbWrite;
    SetSecurityGroups: "elasticloadbalancing", ElbWrite;
    SetIpAddressType: "elasticloadbalancing", ElbWrite;
    DescribeLoadBalancerAttributes: "elasticloadbalancing", ElbRead;
    ModifyLoadBalancerAttributes: "elasticloadbalancing", ElbWrite;
    DescribeCapacityReservation: "elasticloadbalancing", ElbRead;
    ModifyCapacityReservation: "elasticloadbalancing", ElbWrite;
    DescribeTargetGroups: "elasticloadbalancing", ElbRead;
    CreateTargetGroup: "elasticloadbalancing", ElbWrite;
    ModifyTargetGroup: "elasticloadbalancing", ElbWrite;
    DeleteTargetGroup: "elasticloadbalancing", ElbWrite;
    DescribeTargetGroupAttributes: "elasticloadbalancing", ElbRead;
    ModifyTargetGroupAttributes: "elasticloadbalancing", ElbWrite;
    RegisterTargets: "elasticloadbalancing", ElbTargets;
    DeregisterTargets: "elasticloadbalancing", ElbTargets;
    DescribeTargetHealth: "elasticloadbalancing", ElbRead;
    DescribeListeners: "elasticloadbalancing", ElbRead;
    CreateListener: "elasticloadbalancing", ElbWrite;
    ModifyListener: "elasticloadbalancing", ElbWrite;
    DeleteListener: "elasticloadbalancing", ElbWrite;
    DescribeListenerCertificates: "elasticloadbalancing", ElbRead;
    AddListenerCertificates: "elasticloadbalancing", ElbWrite;
    RemoveListenerCertificates: "elasticloadbalancing", ElbWrite;
    DescribeListenerAttributes: "elasticloadbalancing", ElbRead;
    ModifyListenerAttributes: "elasticloadbalancing", ElbWrite;
    DescribeTags: "elasticloadbalancing", ElbRead;
    AddTags: "elasticloadbalancing", ElbWrite;
    RemoveTags: "elasticloadbalancing", ElbWrite;
    DescribeSubnets: "ec2", Ec2Read;
    DescribeVpcs: "ec2", Ec2Read;
    DescribeRouteTables: "ec2", Ec2Read;
    DescribeAvailabilityZones: "ec2", Ec2Read;
    DescribeInstances: "ec2", Ec2Read;
    DescribeSecurityGroups: "ec2", Ec2Read;
    CreateSecurityGroup: "ec2", Ec2Write;
    DeleteSecurityGroup: "ec2", Ec2Write;
    AuthorizeSecurityGroupIngress: "ec2", Ec2Write;
    RevokeSecurityGroupIngress: "ec2", Ec2Write;
    CreateTags: "ec2", Ec2Write;
    DeleteTags: "ec2", Ec2Write;
}

/// The IAM actions that AWS needs of the caller beyond the one the request is named after, by request.
///
/// *Elastic Load Balancing API permissions* in the user guide (*Required permissions for the 2015-12-01 API*), and for
/// `GetSecurityGroupsForVpc`, which that page does not have yet, the policy that the AWS Load Balancer Controller 3.5 is
/// delivered with. `CreateServiceLinkedRole` is for the first load balancer of an account.
pub const CALLED_BY_AWS: &[(Call, &[&str])] = &[
    (
        Call::CreateLoadBalancer,
        &[
            "ec2:DescribeAccountAttributes",
            "ec2:DescribeAddresses",
            "ec2:DescribeInternetGateways",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeVpcs",
            "ec2:GetSecurityGroupsForVpc",
            "iam:CreateServiceLinkedRole",
        ],
    ),
    (
        Call::CreateTargetGroup,
        &["ec2:DescribeInternetGateways", "ec2:DescribeVpcs", "iam:CreateServiceLinkedRole"],
    ),
    (
        Call::RegisterTargets,
        &["ec2:DescribeInstances", "ec2:DescribeInternetGateways", "ec2:DescribeSubnets", "ec2:DescribeVpcs"],
    ),
    (Call::SetIpAddressType, &["ec2:DescribeSubnets"]),
    (Call::SetSecurityGroups, &["ec2:DescribeSecurityGroups", "ec2:GetSecurityGroupsForVpc"]),
    (Call::SetSubnets, &["ec2:DescribeSubnets"]),
];

impl Call {
    /// The IAM actions that AWS needs of the caller to do this, the request's own among them.
    pub fn needed_actions(self) -> impl Iterator<Item = &'static str> {
        let by_aws = CALLED_BY_AWS.iter().filter(move |(call, _)| *call == self);
        std::iter::once(self.action()).chain(by_aws.flat_map(|(_, actions)| actions.iter().copied()))
    }

    /// Whether the request changes something at AWS.
    pub const fn is_write(self) -> bool {
        !matches!(self.rate_bucket(), RateBucket::ElbRead | RateBucket::Ec2Read)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Call {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
