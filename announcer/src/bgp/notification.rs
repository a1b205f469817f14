//! NOTIFICATION: the last word of a session, which says why it ends (RFC 4271 §4.5).

use std::fmt;

/// Why a session ends: what one side says as its last word.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Notification {
    /// The kind of failure.
    pub code: u8,
    /// Which of its kind; 0 is none in particular.
    pub subcode: u8,
    /// What it is about: what was wrong, or the words of whoever shut the session down.
    pub data: Vec<u8>,
}

/// A kind of failure with its subcode, and its name. The numbers are IANA's ("BGP Error (Notification) Codes" and the lists of
/// subcodes), the names theirs.
type NotificationCode = (u8, u8);

/// RFC 4271 §6.1: a header whose marker is not all ones.
pub(crate) const NOT_SYNCHRONIZED: NotificationCode = (1, 1);
/// RFC 4271 §6.1: a message longer or shorter than any of its type.
pub(crate) const BAD_LENGTH: NotificationCode = (1, 2);
/// RFC 4271 §6.1: a message of no known type.
pub(crate) const BAD_TYPE: NotificationCode = (1, 3);
/// RFC 4271 §6.2: an OPEN that is malformed in a way without a name.
pub(crate) const BAD_OPEN: NotificationCode = (2, 0);
/// RFC 4271 §6.2: another version of BGP.
pub(crate) const BAD_VERSION: NotificationCode = (2, 1);
/// RFC 4271 §6.2, RFC 7607: another autonomous system than the one that was configured, or none.
pub(crate) const BAD_PEER_AS: NotificationCode = (2, 2);
/// RFC 6286 §2.2: an identifier of zero, or our own from within our autonomous system.
pub(crate) const BAD_IDENTIFIER: NotificationCode = (2, 3);
/// RFC 4271 §6.2: an optional parameter that is not known.
pub(crate) const BAD_PARAMETER: NotificationCode = (2, 4);
/// RFC 4271 §6.2: a hold time of one or two seconds.
pub(crate) const BAD_HOLD_TIME: NotificationCode = (2, 6);
/// RFC 5492 §5: something that we cannot do without is not among the other's capabilities.
pub(crate) const UNSUPPORTED_CAPABILITY: NotificationCode = (2, 7);
/// RFC 4271 §6.3: lengths in an UPDATE that go beyond it.
pub(crate) const BAD_ATTRIBUTES: NotificationCode = (3, 1);
/// RFC 4271 §6.3, RFC 7606 §5.3: a prefix that is none.
pub(crate) const BAD_NETWORK: NotificationCode = (3, 10);
/// RFC 4271 §6.5: nothing was heard for the hold time.
pub(crate) const HOLD_TIMER: NotificationCode = (4, 0);
/// RFC 6608 §3: a message that has no place while our OPEN is not answered.
pub(crate) const UNEXPECTED_IN_OPEN_SENT: NotificationCode = (5, 1);
/// RFC 6608 §3: a message that has no place before the first KEEPALIVE.
pub(crate) const UNEXPECTED_IN_OPEN_CONFIRM: NotificationCode = (5, 2);
/// RFC 6608 §3: a message that has no place in a session that is up.
pub(crate) const UNEXPECTED_IN_ESTABLISHED: NotificationCode = (5, 3);
/// RFC 4486 §4: somebody ended the session on purpose.
pub(crate) const ADMINISTRATIVE_SHUTDOWN: NotificationCode = (6, 2);
/// RFC 4486 §4: the session is made anew.
pub(crate) const ADMINISTRATIVE_RESET: NotificationCode = (6, 4);
/// RFC 9384 §3: BFD says that the path is gone.
pub(crate) const BFD_DOWN: NotificationCode = (6, 10);

/// The longest data that fits a message (RFC 4271 §4.5).
const MAX_DATA_BYTES: usize = 4096 - 21;
/// How much of the words of whoever shut a session down is told on.
const MAX_REASON_CHARS: usize = 128;

impl Notification {
    pub(crate) fn new((code, subcode): NotificationCode) -> Self {
        Notification::about((code, subcode), Vec::new())
    }

    pub(crate) fn about((code, subcode): NotificationCode, mut data: Vec<u8>) -> Self {
        data.truncate(MAX_DATA_BYTES);
        Notification { code, subcode, data }
    }

    /// Reads what follows the header. None if it is cut off.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let [code, subcode, data @ ..] = body else { return None };
        Some(Notification { code: *code, subcode: *subcode, data: data.to_vec() })
    }

    /// What follows the header.
    pub(crate) fn body(&self) -> Vec<u8> {
        [&[self.code, self.subcode], &self.data[..]].concat()
    }

    /// Its name, if it has one.
    pub fn name(&self) -> Option<&'static str> {
        Some(match (self.code, self.subcode) {
            NOT_SYNCHRONIZED => "Connection Not Synchronized",
            BAD_LENGTH => "Bad Message Length",
            BAD_TYPE => "Bad Message Type",
            BAD_VERSION => "Unsupported Version Number",
            BAD_PEER_AS => "Bad Peer AS",
            BAD_IDENTIFIER => "Bad BGP Identifier",
            BAD_PARAMETER => "Unsupported Optional Parameter",
            BAD_HOLD_TIME => "Unacceptable Hold Time",
            UNSUPPORTED_CAPABILITY => "Unsupported Capability",
            (2, 11) => "Role Mismatch",
            BAD_ATTRIBUTES => "Malformed Attribute List",
            (3, 2) => "Unrecognized Well-known Attribute",
            (3, 3) => "Missing Well-known Attribute",
            (3, 4) => "Attribute Flags Error",
            (3, 5) => "Attribute Length Error",
            (3, 6) => "Invalid ORIGIN Attribute",
            (3, 8) => "Invalid NEXT_HOP Attribute",
            (3, 9) => "Optional Attribute Error",
            BAD_NETWORK => "Invalid Network Field",
            (3, 11) => "Malformed AS_PATH",
            HOLD_TIMER => "Hold Timer Expired",
            UNEXPECTED_IN_OPEN_SENT => "Unexpected Message in OpenSent",
            UNEXPECTED_IN_OPEN_CONFIRM => "Unexpected Message in OpenConfirm",
            UNEXPECTED_IN_ESTABLISHED => "Unexpected Message in Established",
            (6, 1) => "Maximum Number of Prefixes Reached",
            ADMINISTRATIVE_SHUTDOWN => "Administrative Shutdown",
            (6, 3) => "Peer De-configured",
            ADMINISTRATIVE_RESET => "Administrative Reset",
            (6, 5) => "Connection Rejected",
            (6, 6) => "Other Configuration Change",
            (6, 7) => "Connection Collision Resolution",
            (6, 8) => "Out of Resources",
            (6, 9) => "Hard Reset",
            BFD_DOWN => "BFD Down",
            (1, _) => "Message Header Error",
            (2, _) => "OPEN Message Error",
            (3, _) => "UPDATE Message Error",
            (4, _) => "Hold Timer Expired",
            (5, _) => "Finite Phase Machine Error",
            (6, _) => "Cease",
            (7, _) => "ROUTE-REFRESH Message Error",
            (8, _) => "Send Hold Timer Expired",
            _ => return None,
        })
    }

    /// What whoever shut the session down has to say about it (RFC 9003 §2), in what can be shown of it: it comes from the
    /// network, and ends up in an event.
    pub fn words(&self) -> Option<String> {
        let [length, words @ ..] = &self.data[..] else { return None };
        if !matches!((self.code, self.subcode), ADMINISTRATIVE_SHUTDOWN | ADMINISTRATIVE_RESET) {
            return None;
        }
        let words = String::from_utf8_lossy(words.get(..usize::from(*length))?);
        let shown: String = words.chars().filter(|c| !c.is_control()).take(MAX_REASON_CHARS).collect();
        (!shown.is_empty()).then_some(shown)
    }
}

impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, subcode) = (self.code, self.subcode);
        match self.name() {
            Some(name) => write!(f, "{name} ({code}/{subcode})")?,
            None => write!(f, "error {code}/{subcode}")?,
        }
        match self.words() {
            Some(words) => write!(f, ": \"{words}\""),
            None => Ok(()),
        }
    }
}
