//! Word that something about a link has changed.

use std::io;
use std::os::fd::AsRawFd;
use std::thread::Builder;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};
use tokio::sync::watch;

/// What the kernel tells of itself: links that come, go, and change, and their addresses (rtnetlink(7)).
const NETLINK_GROUPS: i32 = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;

/// Tells when the links should be looked at anew. What has changed is not read from the message: messages can be lost, and
/// a look at all links cannot be out of date.
#[derive(Debug)]
pub struct LinkChanges(watch::Receiver<()>);

impl LinkChanges {
    /// From now on. Look at the links after this, or a change between is missed.
    ///
    /// # Errors
    /// Where the kernel gives no socket, or no thread to listen to it.
    pub fn new() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, NETLINK_GROUPS as u32))?;
        let (changed, changes) = watch::channel(());
        // A thread, because there is no way to wait for such a socket in tokio without unsafe code. It ends at the first
        // change that nobody waits for any more.
        Builder::new().name("links".to_owned()).spawn(move || {
            let mut room = [0; 4_096];
            loop {
                match recv(socket.as_raw_fd(), &mut room, MsgFlags::empty()) {
                    // That the kernel had more to say than there was room for is news, too.
                    Ok(_) | Err(Errno::ENOBUFS) => {
                        if changed.send(()).is_err() {
                            return;
                        }
                    }
                    Err(Errno::EINTR) => {}
                    Err(error) => {
                        tracing::error!("changes of links are heard of no more: {error}");
                        return;
                    }
                }
            }
        })?;
        Ok(LinkChanges(changes))
    }

    /// Waits until something has changed since the last time. May be dropped at any time; nothing is lost by it.
    ///
    /// # Errors
    /// Where nothing will be heard any more.
    pub async fn changed(&mut self) -> io::Result<()> {
        self.0.changed().await.map_err(io::Error::other)
    }
}
