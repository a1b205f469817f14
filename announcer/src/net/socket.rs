//! Packet sockets: whole frames of one kind, on one link.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{LinkAddr, MsgFlags, bind, recvfrom, send};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::links::address_of;
use crate::{arp, beat, ndp};

/// Longer than any frame that is of interest.
const MAX_FRAME_BYTES: usize = 2_048;

/// Which frames a socket hears. One socket for all kinds would see what goes out as well, and frames of VLANs, whose tag is
/// taken off before: questions that are asked on another link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// ARP.
    Arp,
    /// Neighbour discovery: solicitations and advertisements alone, by a filter in the kernel, or each packet of IPv6 that
    /// the node receives would come up here.
    NeighbourDiscovery,
    /// Heartbeats of announcers.
    Beats,
}

impl FrameKind {
    /// All kinds.
    pub const ALL: [FrameKind; 3] = [FrameKind::Arp, FrameKind::NeighbourDiscovery, FrameKind::Beats];

    fn ether_type(self) -> u16 {
        match self {
            FrameKind::Arp => arp::ETHER_TYPE,
            FrameKind::NeighbourDiscovery => ndp::ETHER_TYPE,
            FrameKind::Beats => beat::ETHER_TYPE,
        }
    }
}

/// A socket for frames of one kind on one link.
#[derive(Debug)]
pub struct PacketSocket {
    socket: Socket,
    link: u32,
}

impl PacketSocket {
    /// Opens one on the link of this index. It outlives that the link is down for a while, but not that it goes.
    ///
    /// # Errors
    /// Without `CAP_NET_RAW` (`EPERM`), and where there is no such link (`ENODEV`).
    pub fn open(link: u32, traffic: FrameKind) -> io::Result<Self> {
        let address = address_of(link)?.ok_or(Errno::ENODEV)?;
        // The kernel takes the number in the order of the network.
        let protocol = Protocol::from(i32::from(traffic.ether_type().to_be()));
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
        socket.set_nonblocking(true)?;
        if traffic == FrameKind::NeighbourDiscovery {
            socket.attach_filter(&neighbour_discovery())?;
        }
        // No kind of frame stands in the address, so the socket keeps its own (packet(7)).
        bind(socket.as_raw_fd(), &address)?;
        Ok(PacketSocket { socket, link })
    }

    /// The next frame, in `room`; none when there is none now.
    ///
    /// # Errors
    /// Where the link has gone. That it went down is none: it may come up again.
    pub fn receive<'a>(&self, room: &'a mut FrameRoom) -> io::Result<Option<&'a [u8]>> {
        loop {
            match recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut room.0) {
                Ok((length, from)) if from.is_some_and(|from| self.is_for_us(&from)) => {
                    return Ok(Some(&room.0[..length.min(MAX_FRAME_BYTES)]));
                }
                Ok(_) | Err(Errno::EINTR | Errno::ENETDOWN) => {}
                Err(Errno::EAGAIN) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether a frame was meant for this link. Before the socket was bound it heard those of all links; and a frame with
    /// the tag of a VLAN that this node does not have is for somebody else, though it says "to all".
    fn is_for_us(&self, from: &LinkAddr) -> bool {
        from.ifindex() == self.link as usize && from.pkttype() != libc::PACKET_OTHERHOST
    }

    /// Sends a frame; whether it went out. A full queue and a link that is down swallow it: frames get lost on their way,
    /// too, and what matters is said again.
    ///
    /// # Errors
    /// Where the link has gone.
    pub fn send(&self, frame: &[u8]) -> io::Result<bool> {
        match send(self.socket.as_raw_fd(), frame, MsgFlags::empty()) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ENETDOWN | Errno::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether an error of this socket says that its link is there no more.
    pub fn has_gone(error: &io::Error) -> bool {
        error.kind() == ErrorKind::NotFound
            || matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO))
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Where a frame is received.
#[derive(Debug)]
pub struct FrameRoom([u8; MAX_FRAME_BYTES]);

impl Default for FrameRoom {
    fn default() -> Self {
        FrameRoom([0; MAX_FRAME_BYTES])
    }
}

/// What the kernel passes on of IPv6 (bpf(4), the classic machine): next header 58 at 20, and type 135 or 136 at 54. A
/// packet with extension headers is passed over: none of neighbour discovery has any in practice, and RFC 6980 forbids the
/// one that would matter.
fn neighbour_discovery() -> [SockFilter; 7] {
    const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
    const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN_LENGTH: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    [
        SockFilter::new(LOAD_BYTE, 0, 0, 20),
        SockFilter::new(JUMP_IF_EQUAL, 0, 3, 58),
        SockFilter::new(LOAD_BYTE, 0, 0, 54),
        SockFilter::new(JUMP_IF_EQUAL, 2, 0, 135),
        SockFilter::new(JUMP_IF_EQUAL, 1, 0, 136),
        SockFilter::new(RETURN_LENGTH, 0, 0, 0),
        SockFilter::new(RETURN_LENGTH, 0, 0, MAX_FRAME_BYTES as u32),
    ]
}
