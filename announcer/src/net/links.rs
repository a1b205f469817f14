//! The links of this node, as the kernel has them now.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::libc::{self, ARPHRD_ETHER};
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::{LinkAddr, SockaddrStorage};

use crate::ethernet::Mac;
use crate::link::Link;

/// The links that speak Ethernet, by name. Loopback, tunnels without frames and InfiniBand, whose addresses are longer, are
/// not among them.
///
/// # Errors
/// Where the kernel cannot be asked.
pub fn links() -> io::Result<Vec<Link>> {
    let mut links = BTreeMap::new();
    let mut subnets: BTreeMap<String, Vec<IpNet>> = BTreeMap::new();
    for entry in getifaddrs()? {
        if let Some(address) = link_address(&entry) {
            links.extend(ethernet(&entry, &address).map(|link| (entry.interface_name.clone(), link)));
        } else if let Some(subnet) = subnet(&entry) {
            subnets.entry(entry.interface_name).or_default().push(subnet);
        }
    }
    let link_locals = link_locals()?;
    let with_addresses = links.into_iter().map(|(name, mut link)| {
        link.subnets = subnets.remove(&name).unwrap_or_default();
        link.link_local = link_locals.contains(&link.index);
        link
    });
    Ok(with_addresses.collect())
}

/// The numbers of the links that have a link-local address from which something may be sent. `getifaddrs` does not tell what
/// has become of an address.
fn link_locals() -> io::Result<BTreeSet<u32>> {
    // This thread's, whose network may be another than the process's. Without IPv6 in the kernel there is no such file.
    match std::fs::read_to_string("/proc/thread-self/net/if_inet6") {
        Ok(addresses) => Ok(addresses.lines().filter_map(link_local).collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

/// The number of the link in a line of `if_inet6`: address, number, length of the prefix, scope and flags, in hexadecimal, and
/// the link's name (`if6_seq_show` in net/ipv6/addrconf.c). None if the address is of another scope, or not good yet, or no
/// more.
fn link_local(line: &str) -> Option<u32> {
    /// `IPV6_ADDR_LINKLOCAL`.
    const LINK_SCOPE: u32 = 0x20;
    const NOT_GOOD: u32 = libc::IFA_F_TENTATIVE | libc::IFA_F_OPTIMISTIC | libc::IFA_F_DADFAILED;
    let mut words = line.split_whitespace().skip(1);
    let mut number = || u32::from_str_radix(words.next()?, 16).ok();
    let (index, _prefix, scope, flags) = (number()?, number()?, number()?, number()?);
    (scope == LINK_SCOPE && flags & NOT_GOOD == 0).then_some(index)
}

/// The addresses that others can reach this node by, with the lengths of their subnets: on any link, of any kind. Those that
/// are good on one link or on none alone are not among them.
///
/// # Errors
/// Where the kernel cannot be asked.
pub fn addresses() -> io::Result<Vec<IpNet>> {
    let is_good_elsewhere = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    };
    let all = getifaddrs()?.filter_map(|entry| net(&entry));
    Ok(all.filter(|net| is_good_elsewhere(net.addr())).collect())
}

/// What a socket is bound to in order to be on the link of this index; none if there is no such link any more.
///
/// # Errors
/// Where the kernel cannot be asked.
pub(super) fn address_of(index: u32) -> io::Result<Option<LinkAddr>> {
    Ok(getifaddrs()?
        .filter_map(|entry| link_address(&entry))
        .find(|address| address.ifindex() == index as usize))
}

fn link_address(entry: &InterfaceAddress) -> Option<LinkAddr> {
    entry.address.as_ref()?.as_link_addr().copied()
}

fn ethernet(entry: &InterfaceAddress, address: &LinkAddr) -> Option<Link> {
    let mac = Mac::new(address.addr()?);
    let flags = entry.flags;
    let speaks = address.hatype() == ARPHRD_ETHER && flags.contains(InterfaceFlags::IFF_BROADCAST);
    (speaks && !flags.contains(InterfaceFlags::IFF_NOARP)).then(|| Link {
        name: entry.interface_name.clone(),
        index: address.ifindex() as u32,
        mac,
        running: flags.contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING),
        has_master: flags.contains(InterfaceFlags::IFF_SLAVE) || has_master(&entry.interface_name),
        subnets: Vec::new(),
        link_local: false,
    })
}

/// Whether the link is a port of a bridge or a bond. The flags say so of bonds alone.
fn has_master(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).join("master").exists()
}

fn subnet(entry: &InterfaceAddress) -> Option<IpNet> {
    net(entry).map(|net| net.trunc())
}

fn net(entry: &InterfaceAddress) -> Option<IpNet> {
    let (address, netmask) = (entry.address.as_ref()?, entry.netmask.as_ref()?);
    IpNet::with_netmask(ip(address)?, ip(netmask)?).ok()
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| v4.ip().into());
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| v6.ip().into()))
}
