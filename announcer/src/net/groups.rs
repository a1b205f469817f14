//! The multicast groups in which questions for IPv6 addresses are asked.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv6Addr};

use socket2::{Domain, Protocol, Socket, Type};

use crate::ndp::solicited_node_group;

/// How many groups one socket is a member of. The kernel bounds the memory of a socket's options
/// (`net.core.optmem_max`): at the 20 KiB of older kernels there is room for about 365.
const GROUPS_A_SOCKET: usize = 300;

/// The groups that one link is a member of. A network card passes on nothing else, and a switch that listens to who is a
/// member (RFC 4541) not even that; the kernel tells it, now and whenever the link comes up again.
#[derive(Debug)]
pub struct MulticastGroups {
    link: u32,
    sockets: Vec<Shelf>,
    joined: BTreeMap<Ipv6Addr, usize>,
}

/// A socket and how many groups it is a member of.
#[derive(Debug)]
struct Shelf {
    socket: Socket,
    groups: usize,
}

impl MulticastGroups {
    /// None yet, on the link of this index.
    pub fn of(link: u32) -> Self {
        MulticastGroups { link, sockets: Vec::new(), joined: BTreeMap::new() }
    }

    /// Joins the groups of these addresses, and leaves all others. To call it again is right; IPv4 addresses have none.
    ///
    /// # Errors
    /// The first obstacle; what can be joined is joined all the same.
    pub fn hold<'a>(&mut self, addresses: impl IntoIterator<Item = &'a IpAddr>) -> io::Result<()> {
        let groups = addresses.into_iter().filter_map(|ip| match ip {
            IpAddr::V6(ip) => Some(solicited_node_group(*ip)),
            IpAddr::V4(_) => None,
        });
        let wanted: BTreeSet<Ipv6Addr> = groups.collect();
        let left: Vec<Ipv6Addr> =
            self.joined.keys().filter(|group| !wanted.contains(group)).copied().collect();
        for group in left {
            self.leave(group);
        }
        let mut obstacle = Ok(());
        for group in wanted {
            if !self.joined.contains_key(&group) {
                obstacle = obstacle.and(self.join(group));
            }
        }
        obstacle
    }

    fn join(&mut self, group: Ipv6Addr) -> io::Result<()> {
        let at = match self.sockets.iter().position(|shelf| shelf.groups < GROUPS_A_SOCKET) {
            Some(at) => at,
            None => {
                let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
                self.sockets.push(Shelf { socket, groups: 0 });
                self.sockets.len() - 1
            }
        };
        self.sockets[at].socket.join_multicast_v6(&group, self.link)?;
        self.sockets[at].groups += 1;
        self.joined.insert(group, at);
        Ok(())
    }

    /// Leaves a group. That the kernel knows of no membership, as after the link has gone, is as good.
    fn leave(&mut self, group: Ipv6Addr) {
        if let Some(at) = self.joined.remove(&group) {
            let shelf = &mut self.sockets[at];
            let _gone_already = shelf.socket.leave_multicast_v6(&group, self.link);
            shelf.groups -= 1;
        }
    }
}
