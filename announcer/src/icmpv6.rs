//! What ICMPv6 has beside what neighbour discovery makes of it: its number, and its checksum.

use std::net::Ipv6Addr;

/// What an IPv6 header calls it (RFC 4443 §1).
pub(crate) const NEXT_HEADER: u8 = 58;

/// The checksum of ICMPv6, over a header that is not sent (RFC 4443 §2.3, RFC 8200 §8.1) and the packet: the complement of
/// the sum of all 16-bit words, carries added in at the low end (RFC 1071).
pub(crate) fn checksum(source: Ipv6Addr, destination: Ipv6Addr, packet: &[u8]) -> u16 {
    let words = |bytes: &[u8]| -> u32 {
        bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum()
    };
    // 65,535 bytes at most, so the sum has room in 32 bits.
    let mut sum = words(&source.octets()) + words(&destination.octets()) + words(packet);
    sum += packet.len() as u32 + u32::from(NEXT_HEADER);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
