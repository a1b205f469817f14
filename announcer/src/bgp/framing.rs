//! What every message begins with (RFC 4271 §4.1).

/// How long a message may be, its header with it. The longer ones of RFC 8654 are not offered: what is told here fits.
pub const MAX_MESSAGE_BYTES: usize = 4096;
/// A marker of 16 bytes, the length, the type.
pub(crate) const HEADER_BYTES: usize = 19;
pub(crate) const MARKER: [u8; 16] = [0xff; 16];

pub(crate) const OPEN_TYPE: u8 = 1;
pub(crate) const UPDATE_TYPE: u8 = 2;
pub(crate) const NOTIFICATION_TYPE: u8 = 3;
pub(crate) const KEEPALIVE_TYPE: u8 = 4;
pub(crate) const ROUTE_REFRESH_TYPE: u8 = 5;

/// A message of this type, with its header.
pub(crate) fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = HEADER_BYTES + body.len();
    let mut message = Vec::with_capacity(length);
    message.extend(MARKER);
    message.extend((length as u16).to_be_bytes());
    message.push(kind);
    message.extend(body);
    message
}
