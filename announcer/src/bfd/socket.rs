//! Sockets of BFD (RFC 5881 §4 and §5, RFC 5883 §5).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::net::UdpSocket;

use crate::distance::Distance;

/// What packets are sent with. Over one hop none can have less when it arrives: whoever is further away cannot make one
/// (RFC 5881 §5).
const SENT_TTL: u32 = 255;
/// From where ports may be that packets are sent from (RFC 5881 §4).
const SOURCE_PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;
/// How many ports are tried before it is given up.
const MAX_PORT_TRIES: usize = 16;
/// "Internetwork control", as BGP has it: what is queued behind traffic looks as if it were lost.
const CONTROL_TRAFFIC_CLASS: u32 = 0xc0;

/// Where packets are sent to.
pub(crate) fn port(distance: Distance) -> u16 {
    match distance {
        Distance::Link => 3784,
        Distance::Hops => 4784,
    }
}

/// The lowest TTL that is believed.
pub(crate) fn lowest_ttl(distance: Distance, minimum: u8) -> u8 {
    match distance {
        Distance::Link => 255,
        Distance::Hops => minimum,
    }
}

fn socket(local: IpAddr) -> io::Result<Socket> {
    let domain = if local.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A socket that hears what is sent to this address of ours with at least this TTL.
pub(crate) fn receiver(local: IpAddr, distance: Distance, lowest_ttl: u8) -> io::Result<UdpSocket> {
    let socket = socket(local)?;
    // Before it is bound: from then on packets come.
    socket.attach_filter(&at_least(local, lowest_ttl))?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::new(local, port(distance)).into())?;
    UdpSocket::from_std(socket.into())
}

/// A socket to send from, at a port that no other session of ours has (RFC 5881 §4).
pub(crate) fn sender(local: IpAddr, random: &mut fastrand::Rng) -> io::Result<UdpSocket> {
    let mut tries = 0;
    loop {
        let socket = socket(local)?;
        if local.is_ipv4() {
            socket.set_ttl_v4(SENT_TTL)?;
            socket.set_tos_v4(CONTROL_TRAFFIC_CLASS)?;
        } else {
            socket.set_unicast_hops_v6(SENT_TTL)?;
            socket.set_tclass_v6(CONTROL_TRAFFIC_CLASS)?;
        }
        match socket.bind(&SocketAddr::new(local, random.u16(SOURCE_PORTS)).into()) {
            Ok(()) => return UdpSocket::from_std(socket.into()),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < MAX_PORT_TRIES => tries += 1,
            Err(error) => return Err(error),
        }
    }
}

/// The address of ours that the way to a peer begins with. Nothing is sent.
pub(crate) async fn local_towards(peer: IpAddr) -> io::Result<IpAddr> {
    let any: IpAddr =
        if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    socket.connect(SocketAddr::new(peer, port(Distance::Link))).await?;
    Ok(socket.local_addr()?.ip())
}

/// A program of the classic packet filter that passes over what has a lower TTL. The kernel looks, so nothing forged from
/// afar costs us more than that. Offsets from `SKF_NET_OFF` count from the start of the IP header, in a socket of UDP too
/// (Linux, Documentation/networking/filter.rst).
fn at_least(local: IpAddr, lowest_ttl: u8) -> [SockFilter; 4] {
    const SKF_NET_OFF: u32 = 0xfff0_0000;
    const LOAD_BYTE: u16 = 0x30;
    const JUMP_IF_AT_LEAST: u16 = 0x35;
    const RETURN_LENGTH: u16 = 0x06;
    // RFC 791 §3.1, RFC 8200 §3.
    let offset = if local.is_ipv4() { 8 } else { 7 };
    [
        SockFilter::new(LOAD_BYTE, 0, 0, SKF_NET_OFF + offset),
        SockFilter::new(JUMP_IF_AT_LEAST, 0, 1, lowest_ttl.into()),
        SockFilter::new(RETURN_LENGTH, 0, 0, u32::MAX),
        SockFilter::new(RETURN_LENGTH, 0, 0, 0),
    ]
}
