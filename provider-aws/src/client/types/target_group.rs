//! Target groups and targets.

use std::{fmt, str::FromStr};

use serde::Serialize;

use super::{Protocol, Tags, UnknownWord, words::wire_words};

/// What the targets of a group are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TargetType {
    /// Instances, by id.
    Instance,
    /// IP addresses.
    Ip,
    /// An Application Load Balancer: seen in lists only.
    Alb,
}

wire_words!(TargetType { Instance = "instance", Ip = "ip", Alb = "alb" });

/// The address family between load balancer and targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TargetFamily {
    /// IPv4.
    Ipv4,
    /// IPv6; needs a dualstack load balancer.
    Ipv6,
}

wire_words!(TargetFamily { Ipv4 = "ipv4", Ipv6 = "ipv6" });

/// How a Network Load Balancer asks a target whether it is well. AWS refuses the other protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum HealthCheckProtocol {
    /// A connection is enough.
    Tcp,
    /// A GET whose status is right.
    Http,
    /// A GET whose status is right, over TLS; the certificate is not verified.
    Https,
}

wire_words!(HealthCheckProtocol { Tcp = "TCP", Http = "HTTP", Https = "HTTPS" });

/// The port health checks go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HealthCheckPort {
    /// The port of the target itself.
    TrafficPort,
    /// This port of every target.
    Number(u16),
}

/// How targets are asked whether they are well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealthCheck {
    /// TCP, HTTP or HTTPS.
    pub protocol: HealthCheckProtocol,
    /// Where to.
    pub port: HealthCheckPort,
    /// Path of the GET, 1 to 1024 characters; HTTP and HTTPS only.
    pub path: Option<String>,
    /// Status codes that mean well, for example `200-399`, from 200 to 599; HTTP and HTTPS only.
    pub matcher: Option<String>,
    /// Seconds between two checks of a target, 5 to 300.
    pub interval_seconds: u32,
    /// Seconds after which a check has failed, 2 to 120.
    pub timeout_seconds: u32,
    /// Successes in a row until a target is well, 2 to 10.
    pub healthy_threshold: u32,
    /// Failures in a row until a target is unwell, 2 to 10.
    pub unhealthy_threshold: u32,
}

/// A target group as AWS describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TargetGroup {
    /// Its ARN.
    pub arn: String,
    /// Its name, unique in the account and region; never changes.
    pub name: String,
    /// Protocol between load balancer and targets; never changes.
    pub protocol: Protocol,
    /// The port of targets registered without one; never changes.
    pub port: u16,
    /// The VPC of its targets; never changes.
    pub vpc_id: String,
    /// What its targets are; never changes.
    pub target_type: TargetType,
    /// Address family of its targets; never changes.
    pub family: TargetFamily,
    /// How its targets are checked.
    pub health_check: HealthCheck,
    /// The load balancers that use it, sorted: at most one.
    pub load_balancer_arns: Vec<String>,
}

/// A target group to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CreateTargetGroup {
    /// 1 to 32 of `A-Z a-z 0-9 -`, no hyphen at either end.
    pub name: String,
    /// Protocol between load balancer and targets.
    pub protocol: Protocol,
    /// The port of targets registered without one.
    pub port: u16,
    /// The VPC of its targets.
    pub vpc_id: String,
    /// What its targets are.
    pub target_type: TargetType,
    /// Address family of its targets.
    pub family: TargetFamily,
    /// How its targets are checked.
    pub health_check: HealthCheck,
    /// Tags, set in the same request.
    pub tags: Tags,
}

/// A change of a target group: its health check, the only part AWS lets change here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModifyTargetGroup {
    /// The target group.
    pub target_group_arn: String,
    /// The whole health check it is to have.
    pub health_check: HealthCheck,
}

/// A target: an instance or address, and a port there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Target {
    /// Instance id, or IP address.
    pub id: String,
    /// The port its traffic goes to.
    pub port: u16,
    /// Only for addresses outside the VPC: an availability zone, or `all`.
    pub zone: Option<String>,
}

impl Target {
    /// A target inside the VPC.
    pub fn new(id: impl Into<String>, port: u16) -> Self {
        Self { id: id.into(), port, zone: None }
    }
}

/// What AWS says about a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TargetHealth {
    /// The target.
    pub target: Target,
    /// Its state.
    pub state: TargetState,
    /// AWS's reason code, for example `Target.FailedHealthChecks`.
    pub reason: Option<String>,
    /// AWS's explanation, for people.
    pub description: Option<String>,
}

/// The state of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TargetState {
    /// Registration or first checks are under way.
    Initial,
    /// Takes traffic.
    Healthy,
    /// Failed its checks.
    Unhealthy,
    /// Registered but without traffic: no listener uses the group, its zone is not enabled, or it is stopped.
    Unused,
    /// Being deregistered; existing connections go on.
    Draining,
    /// Unwell, and its connections are given time to end.
    UnhealthyDraining,
    /// Not known to AWS at the moment.
    Unavailable,
}

wire_words!(TargetState {
    Initial = "initial",
    Healthy = "healthy",
    Unhealthy = "unhealthy",
    Unused = "unused",
    Draining = "draining",
    UnhealthyDraining = "unhealthy.draining",
    Unavailable = "unavailable",
});

impl TargetState {
    /// Whether the target is on its way out: absent for anyone who wants it registered.
    pub const fn is_leaving(self) -> bool {
        matches!(self, Self::Draining)
    }
}

impl fmt::Display for HealthCheckPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrafficPort => f.write_str("traffic-port"),
            Self::Number(port) => port.fmt(f),
        }
    }
}

impl FromStr for HealthCheckPort {
    type Err = UnknownWord;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        match value {
            "traffic-port" => Ok(Self::TrafficPort),
            _ => match value.parse() {
                Ok(port @ 1..) => Ok(Self::Number(port)),
                _ => Err(UnknownWord {
                    value: value.to_owned(),
                    allowed: "traffic-port, a number from 1 to 65535",
                }),
            },
        }
    }
}

impl Serialize for HealthCheckPort {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
