//! What a segment did about its addresses, and why: what events, metrics and logs are made of.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::beat::Refused;
use crate::ethernet::Mac;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentChange {
    /// The address is answered for here from now on.
    Taken {
        /// The address.
        ip: IpAddr,
        /// Why.
        why: Taken,
    },
    /// It is not answered for here any more.
    GivenUp {
        /// The address.
        ip: IpAddr,
        /// Why.
        why: GivenUp,
    },
    /// Another node claimed it too, and does so no more. It is announced again, for clients may have believed the other.
    Defended {
        /// The address.
        ip: IpAddr,
        /// Against which node.
        against: Arc<str>,
    },
    /// Somebody who is no announcer of ours has the address as well.
    Foreign {
        /// The address.
        ip: IpAddr,
        /// The hardware address in whose name it is claimed.
        by: Mac,
        /// Whether it is answered with an announcement, as is allowed once in 10 seconds.
        defended: bool,
    },
    /// A heartbeat is not listened to, for a reason that was not met before.
    Refused {
        /// Why.
        why: Refused,
    },
    /// A node is heard that was not.
    Heard {
        /// The node.
        node: Arc<str>,
        /// The link on it.
        link: Arc<str>,
    },
    /// A node is not heard any more.
    Silent {
        /// The node.
        node: Arc<str>,
        /// The link on it.
        link: Arc<str>,
    },
}

impl SegmentChange {
    /// The address that it happened to, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            SegmentChange::Taken { ip, .. }
            | SegmentChange::GivenUp { ip, .. }
            | SegmentChange::Defended { ip, .. }
            | SegmentChange::Foreign { ip, .. } => Some(*ip),
            SegmentChange::Refused { .. } | SegmentChange::Heard { .. } | SegmentChange::Silent { .. } => {
                None
            }
        }
    }
}

/// Why an address was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Nobody had it before, as far as is known.
    Free,
    /// The node that had it is not heard any more.
    Silent {
        /// Which node.
        from: Arc<str>,
        /// For how long it has not been heard.
        since: Duration,
    },
    /// The node that has it leaves.
    Leaving {
        /// Which node.
        from: Arc<str>,
    },
    /// The node that had it has given it up.
    GivenUp {
        /// Which node.
        from: Arc<str>,
    },
    /// This node is preferred to the one that has it, and has been well for long enough.
    Preferred {
        /// To which node.
        to: Arc<str>,
    },
}

impl Taken {
    /// One word, for a metric.
    pub fn word(&self) -> &'static str {
        match self {
            Taken::Free => "free",
            Taken::Silent { .. } => "silent",
            Taken::Leaving { .. } => "leaving",
            Taken::GivenUp { .. } => "given_up",
            Taken::Preferred { .. } => "preferred",
        }
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Taken::Free => write!(f, "no node had it"),
            Taken::Silent { from, since } => {
                write!(f, "node {from}, which had it, has not been heard for {} ms", since.as_millis())
            }
            Taken::Leaving { from } => write!(f, "node {from}, which has it, leaves"),
            Taken::GivenUp { from } => write!(f, "node {from}, which had it, has given it up"),
            Taken::Preferred { to } => write!(f, "this node is preferred to node {to}, which has it"),
        }
    }
}

/// Why an address was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// The node is not to announce it on this link, or nobody is.
    NotWanted,
    /// Another node claims it too, and comes first.
    Conflict {
        /// Which node.
        to: Arc<str>,
    },
    /// Another node claims it too, and does not hear this one, so that it would never give way.
    Unheard {
        /// By which node.
        by: Arc<str>,
    },
    /// This node leaves, and another one has taken it.
    HandedOver {
        /// Which node.
        to: Arc<str>,
    },
    /// This node leaves, and nobody took it in the time there is for that.
    NobodyTook,
    /// The process stood still, or could not send, for so long that others take it for dead.
    Paused,
    /// The link cannot be used.
    LinkDown,
    /// There is no key any more.
    NoKey,
    /// Another process announces for the same node on the same link.
    Replaced,
}

impl GivenUp {
    /// One word, for a metric.
    pub fn word(&self) -> &'static str {
        match self {
            GivenUp::NotWanted => "not_wanted",
            GivenUp::Conflict { .. } => "conflict",
            GivenUp::Unheard { .. } => "unheard",
            GivenUp::HandedOver { .. } => "handed_over",
            GivenUp::NobodyTook => "nobody_took",
            GivenUp::Paused => "paused",
            GivenUp::LinkDown => "link_down",
            GivenUp::NoKey => "no_key",
            GivenUp::Replaced => "replaced",
        }
    }
}

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GivenUp::NotWanted => write!(f, "this node is not to announce it here"),
            GivenUp::Conflict { to } => write!(f, "node {to} claims it too, and comes first"),
            GivenUp::Unheard { by } => write!(f, "node {by} claims it too, and does not hear this node"),
            GivenUp::HandedOver { to } => write!(f, "this node leaves, and node {to} has taken it"),
            GivenUp::NobodyTook => write!(f, "this node leaves, and no node has taken it"),
            GivenUp::Paused => {
                write!(f, "the announcer stood still for so long that other nodes take it for dead")
            }
            GivenUp::LinkDown => write!(f, "the link is down"),
            GivenUp::NoKey => write!(f, "there is no key for the heartbeat"),
            GivenUp::Replaced => write!(f, "another process announces for this node on this link"),
        }
    }
}

/// Whether a segment takes addresses, and why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentStatus {
    /// It does.
    Candidate,
    /// Not yet: it listens who claims what.
    Listening {
        /// Until when, if nobody is heard who speaks more slowly.
        until: Duration,
    },
    /// The link is down, or is not known yet.
    LinkDown,
    /// There is no key, so nothing is announced.
    NoKey,
    /// Its heartbeats do not get out.
    Mute,
    /// Another process announces for the same node on the same link.
    Replaced,
    /// It leaves, and only answers for what it still has.
    Leaving,
}

impl fmt::Display for SegmentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SegmentStatus::Candidate => "addresses are announced",
            SegmentStatus::Listening { .. } => "it is being listened which node announces what",
            SegmentStatus::LinkDown => "nothing is announced: the link is down",
            SegmentStatus::NoKey => "nothing is announced: there is no key for the heartbeat",
            SegmentStatus::Mute => "nothing is announced: the heartbeat cannot be sent",
            SegmentStatus::Replaced => {
                "nothing is announced: another process announces for this node on this link"
            }
            SegmentStatus::Leaving => "nothing new is announced: the announcer is ending",
        })
    }
}
