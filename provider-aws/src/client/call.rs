//! The AWS requests this crate can make, as data: for counting, pacing, faults and the IAM policy.

use std::fmt;

use serde::{Serialize, Serializer};

/// The rate limit a request counts against, as AWS groups them (*Request throttling* in the ELBv2 and EC2
/// guides: reads, writes and target registration have separate buckets).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Family {
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

impl Family {
    /// All families.
    pub const ALL: [Self; 5] =
        [Self::ElbRead, Self::ElbWrite, Self::ElbTargets, Self::Ec2Read, Self::Ec2Write];

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
    ($($variant:ident: $service:literal, $family:ident;)*) => {
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

            /// The rate limit the request counts against.
            pub const fn family(self) -> Family {
                match self {
                    $(Self::$variant => Family::$family,)*
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

impl Call {
    /// Whether the request changes something at AWS.
    pub const fn is_write(self) -> bool {
        !matches!(self.family(), Family::ElbRead | Family::Ec2Read)
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
