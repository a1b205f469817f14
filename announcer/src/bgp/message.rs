//! Messages: bytes of a connection to values, and back (RFC 4271 §4.1).

use super::family::Family;
use super::framing::{
    HEADER_BYTES, KEEPALIVE_TYPE, MARKER, MAX_MESSAGE_BYTES, NOTIFICATION_TYPE, OPEN_TYPE,
    ROUTE_REFRESH_TYPE, UPDATE_TYPE, framed,
};
use super::notification::{BAD_LENGTH, BAD_TYPE, NOT_SYNCHRONIZED, Notification};
use super::open::Open;
use super::update;
use crate::ethernet::bytes_at;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BgpMessage {
    /// The first of each side.
    Open(Open),
    /// Routes of the other side. They are read as far as their form is concerned, and not kept: whoever only tells routes
    /// has no use for any.
    Update,
    /// The last: why the session ends.
    Notification(Notification),
    /// The sender is there.
    Keepalive,
    /// A request to tell all routes of a family again (RFC 2918); none if it is of a family that is not told here.
    RouteRefresh(Option<Family>),
}

impl BgpMessage {
    /// The first message of what has arrived, and how many bytes it took; none while it is not there whole.
    ///
    /// # Errors
    /// What no peer may send is the NOTIFICATION that RFC 4271 §6 asks for, with which the session ends.
    pub fn read(arrived: &[u8]) -> Result<Option<(Self, usize)>, Notification> {
        let Some(marker) = bytes_at::<16>(arrived, 0) else { return Ok(None) };
        if marker != MARKER {
            return Err(Notification::new(NOT_SYNCHRONIZED));
        }
        let Some([high, low, kind]) = bytes_at::<3>(arrived, 16) else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        // Before the type: of a message of another type that is too long nothing is ever waited for.
        let bad_length = || Notification::about(BAD_LENGTH, vec![high, low]);
        if !(HEADER_BYTES..=MAX_MESSAGE_BYTES).contains(&length) {
            return Err(bad_length());
        }
        let has_a_length_of_its_kind = match kind {
            OPEN_TYPE => length >= HEADER_BYTES + 10,
            UPDATE_TYPE => length >= HEADER_BYTES + 4,
            NOTIFICATION_TYPE => length >= HEADER_BYTES + 2,
            KEEPALIVE_TYPE => length == HEADER_BYTES,
            ROUTE_REFRESH_TYPE => length == HEADER_BYTES + 4,
            _ => return Err(Notification::about(BAD_TYPE, vec![kind])),
        };
        if !has_a_length_of_its_kind {
            return Err(bad_length());
        }
        let Some(body) = arrived.get(HEADER_BYTES..length) else { return Ok(None) };
        let message = match kind {
            OPEN_TYPE => BgpMessage::Open(Open::read(body)?),
            UPDATE_TYPE => {
                update::check(body)?;
                BgpMessage::Update
            }
            NOTIFICATION_TYPE => BgpMessage::Notification(Notification::read(body).ok_or_else(bad_length)?),
            KEEPALIVE_TYPE => BgpMessage::Keepalive,
            _ => BgpMessage::RouteRefresh(Family::read(u16::from_be_bytes([body[0], body[1]]), body[3])),
        };
        Ok(Some((message, length)))
    }
}

impl Open {
    /// The message as it is sent.
    pub fn emit(&self) -> Vec<u8> {
        framed(OPEN_TYPE, &self.body())
    }
}

impl Notification {
    /// The message as it is sent.
    pub fn emit(&self) -> Vec<u8> {
        framed(NOTIFICATION_TYPE, &self.body())
    }
}

/// KEEPALIVE as it is sent.
pub fn keepalive() -> Vec<u8> {
    framed(KEEPALIVE_TYPE, &[])
}
