//! Why a session is not up, for whoever has to mend it.

use super::family::Family;
use super::notification::Notification;
use super::peer::RemoteAs;

/// Why a session ended, or did not come up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DownReason {
    /// There was no connection; in the words of the operating system.
    #[error("it cannot be connected to: {0}")]
    NotConnected(String),
    /// Nothing answered.
    #[error("it does not answer: no connection within {0} s")]
    ConnectTimedOut(u64),
    /// There was a connection, and not a word on it.
    #[error("it took the connection and said nothing for {0} s")]
    Silent(u64),
    /// It is of another autonomous system than it should be.
    #[error("it is of AS {told}, and should be of {expected}")]
    WrongAs {
        /// What was configured.
        expected: RemoteAs,
        /// What it says.
        told: u32,
    },
    /// It has been told to expect us from another autonomous system.
    #[error("it refuses us as AS {ours}: it says {said}")]
    OurAs {
        /// Ours.
        ours: u32,
        /// Its words.
        said: Notification,
    },
    /// It ended the session, or refused it.
    #[error("it says {0}")]
    Refused(Notification),
    /// It has our router ID within our autonomous system.
    #[error("it has the router ID {0}, which is ours")]
    SameRouterId(std::net::Ipv4Addr),
    /// It takes routes of none of the families that we have.
    #[error("it takes routes of none of: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    NoCommonFamily(Vec<Family>),
    /// It sent what no speaker may send.
    #[error("it sent what RFC 4271 does not allow, and was told {0}")]
    Invalid(Notification),
    /// It was not heard for the hold time.
    #[error("it was not heard for the hold time of {0} s")]
    HoldTimer(u64),
    /// It takes nothing off the connection.
    #[error("it has read nothing for {0} s")]
    SendHoldTimer(u64),
    /// The connection ended without a word.
    #[error("it closed the connection without a word: {0}")]
    Closed(String),
    /// BFD says that the path to it is gone.
    #[error("BFD says that the path to it is down")]
    BfdDown,
    /// We ended it.
    #[error("it was left")]
    Left,
}
