//! A connection to a router: from which address, and how far it may go.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};

use crate::distance::Distance;

/// "Internetwork control": what keeps routers working goes before what they carry (RFC 4271 appendix E, RFC 2474 §4.2.2).
const CONTROL_TRAFFIC_CLASS: u32 = 0xc0;
/// Where BGP is listened for (RFC 4271 §8.2.1.3).
pub const BGP_PORT: u16 = 179;

/// Where a peer is, and how it is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dial {
    /// The peer's address and port.
    pub to: SocketAddr,
    /// The address of ours that it knows us by; none is the one that the way there begins with.
    pub from: Option<IpAddr>,
    /// How far away it is. To a peer on the link packets go with a TTL of 1, which is what routers expect of a peer of another
    /// autonomous system that is not several hops away.
    pub distance: Distance,
}

impl Dial {
    /// Connects. There is no deadline here: whoever waits no longer drops it.
    ///
    /// # Errors
    /// Those of the operating system: no way there, nobody listens, an address of ours that is not ours.
    pub async fn connect(self) -> io::Result<TcpStream> {
        let ttl = match self.distance {
            Distance::Link => 1,
            Distance::Hops => 255,
        };
        let socket = Socket::new(Domain::for_address(self.to), Type::STREAM, Some(Protocol::TCP))?;
        if self.to.is_ipv4() {
            socket.set_ttl_v4(ttl)?;
            socket.set_tos_v4(CONTROL_TRAFFIC_CLASS)?;
        } else {
            socket.set_unicast_hops_v6(ttl)?;
            socket.set_tclass_v6(CONTROL_TRAFFIC_CLASS)?;
        }
        // A route that has changed is told now, and not together with the next one.
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        if let Some(from) = self.from {
            socket.bind(&SocketAddr::new(from, 0).into())?;
        }
        TcpSocket::from_std_stream(socket.into()).connect(self.to).await
    }
}
