//! Listening on every address of a machine, whichever families it has.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpListener;

/// Binds it, or its counterpart where the kernel has no IPv6.
pub(crate) async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(error) => match without_ipv6(address, &error) {
            Some(address) => TcpListener::bind(address).await,
            None => Err(error),
        },
        bound => bound,
    }
}

/// All addresses of IPv4, where all of both were asked for and there is no IPv6: a kernel without it does not know the
/// family (`EAFNOSUPPORT`), and one in which it is switched off has no such address (`EADDRNOTAVAIL`).
fn without_ipv6(address: SocketAddr, error: &io::Error) -> Option<SocketAddr> {
    const EAFNOSUPPORT: i32 = 97;
    let lacks_it = error.kind() == ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT);
    let everywhere = address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    (everywhere && lacks_it).then(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_no_ipv6_all_addresses_are_those_of_ipv4() {
        let everywhere: SocketAddr = "[::]:10258".parse().expect("an address");
        for lacks in [io::Error::from_raw_os_error(97), io::Error::from(ErrorKind::AddrNotAvailable)] {
            assert_eq!(without_ipv6(everywhere, &lacks), "0.0.0.0:10258".parse().ok());
            let one = "[::1]:10258".parse().expect("an address");
            assert_eq!(without_ipv6(one, &lacks), None, "that address was meant");
        }
        assert_eq!(without_ipv6(everywhere, &io::Error::from(ErrorKind::AddrInUse)), None);
    }

    #[tokio::test]
    async fn all_addresses_are_those_of_both_families() {
        let listener = listen("[::]:0".parse().expect("an address")).await.expect("a listener");
        let bound = listener.local_addr().expect("an address");
        for near in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            // A machine without IPv6 has no such address to come from.
            if near.is_ipv4() || bound.is_ipv6() {
                tokio::net::TcpStream::connect((near, bound.port())).await.expect("a connection");
            }
        }
    }
}
