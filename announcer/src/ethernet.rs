//! Hardware addresses, and what every frame begins with.

use std::fmt;
use std::net::Ipv6Addr;

/// How long a frame is without its checksum, at least. What is shorter is padded with zeros.
pub(crate) const MIN_FRAME_BYTES: usize = 60;

const HEADER_BYTES: usize = 14;

/// A hardware address of Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac([u8; 6]);

impl Mac {
    /// Everybody on the segment.
    pub const BROADCAST: Mac = Mac([0xff; 6]);
    /// No address: what stands where one is asked for.
    pub const ZERO: Mac = Mac([0; 6]);

    /// From its six bytes, as they are sent.
    pub const fn new(bytes: [u8; 6]) -> Self {
        Mac(bytes)
    }

    /// Its six bytes, as they are sent.
    pub const fn bytes(self) -> [u8; 6] {
        self.0
    }

    /// Where frames for an IPv6 multicast group go: `33:33` and the group's last four bytes (RFC 2464 §7).
    pub fn of_group(group: Ipv6Addr) -> Self {
        let [.., a, b, c, d] = group.octets();
        Mac([0x33, 0x33, a, b, c, d])
    }

    /// Whether it can be the address of one interface: not of a group, and not zero. To anything else no answer goes, or
    /// one forged question would have a whole segment hear the answer.
    pub fn is_an_interface(self) -> bool {
        self.0[0] & 1 == 0 && self != Mac::ZERO
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A frame in its parts.
pub(crate) struct Parts<'a> {
    pub(crate) to: Mac,
    pub(crate) from: Mac,
    pub(crate) ether_type: u16,
    /// What it carries, with the padding at its end.
    pub(crate) payload: &'a [u8],
}

/// The parts of a frame; none if it is too short to be one.
pub(crate) fn split(frame: &[u8]) -> Option<Parts<'_>> {
    let payload = frame.get(HEADER_BYTES..)?;
    Some(Parts {
        to: mac_at(frame, 0)?,
        from: mac_at(frame, 6)?,
        ether_type: u16::from_be_bytes(bytes_at(frame, 12)?),
        payload,
    })
}

/// A frame of these parts, padded.
pub(crate) fn join(to: Mac, from: Mac, ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity((HEADER_BYTES + payload.len()).max(MIN_FRAME_BYTES));
    frame.extend(to.0);
    frame.extend(from.0);
    frame.extend(ether_type.to_be_bytes());
    frame.extend(payload);
    if frame.len() < MIN_FRAME_BYTES {
        frame.resize(MIN_FRAME_BYTES, 0);
    }
    frame
}

/// So many bytes from here on, if there are.
pub(crate) fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// The hardware address that begins here.
pub(crate) fn mac_at(bytes: &[u8], at: usize) -> Option<Mac> {
    bytes_at(bytes, at).map(Mac)
}
