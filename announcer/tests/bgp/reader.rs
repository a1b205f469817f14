//! UPDATE messages as a router reads them, written from the RFCs and not from the code that emits them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// What one UPDATE says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Update {
    pub(crate) announced: Vec<IpNet>,
    pub(crate) withdrawn: Vec<IpNet>,
    pub(crate) next_hop: Option<IpAddr>,
    /// By number: flags and value.
    pub(crate) attributes: BTreeMap<u8, (u8, Vec<u8>)>,
    /// The numbers of the attributes in the order in which they stand.
    pub(crate) order: Vec<u8>,
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

fn prefixes(mut bytes: &[u8], is_v4: bool) -> Vec<IpNet> {
    let mut prefixes = Vec::new();
    while !bytes.is_empty() {
        let bits = take(&mut bytes, 1)[0];
        let used = take(&mut bytes, usize::from(bits).div_ceil(8));
        let ip = if is_v4 {
            let mut octets = [0; 4];
            octets[..used.len()].copy_from_slice(used);
            IpAddr::V4(Ipv4Addr::from(octets))
        } else {
            let mut octets = [0; 16];
            octets[..used.len()].copy_from_slice(used);
            IpAddr::V6(Ipv6Addr::from(octets))
        };
        prefixes.push(IpNet::new(ip, bits).expect("a length that the family has"));
    }
    prefixes
}

/// Cuts messages apart: type and body of each.
pub(crate) fn messages(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let head = take(&mut bytes, 19);
        assert_eq!(&head[..16], [255; 16], "a marker");
        let length = number(&head[16..18]);
        assert!(length <= 4096, "{length} bytes in a message");
        messages.push((head[18], take(&mut bytes, length - 19).to_vec()));
    }
    messages
}

/// Reads UPDATE messages.
pub(crate) fn updates(bytes: &[u8]) -> Vec<Update> {
    messages(bytes)
        .iter()
        .map(|(kind, body)| {
            assert_eq!(*kind, 2, "an UPDATE");
            update(body)
        })
        .collect()
}

fn update(mut body: &[u8]) -> Update {
    let mut update = Update::default();
    let length = number(take(&mut body, 2));
    update.withdrawn = prefixes(take(&mut body, length), true);
    let length = number(take(&mut body, 2));
    let mut attributes = take(&mut body, length);
    update.announced = prefixes(body, true);
    while !attributes.is_empty() {
        let [flags, kind] = take(&mut attributes, 2).try_into().expect("two bytes");
        let size = if flags & 0x10 == 0 { 1 } else { 2 };
        let length = number(take(&mut attributes, size));
        let mut value = take(&mut attributes, length);
        let twice = update.attributes.insert(kind, (flags, value.to_vec()));
        assert!(twice.is_none(), "attribute {kind} stands twice");
        update.order.push(kind);
        match kind {
            3 => update.next_hop = Some(IpAddr::from(<[u8; 4]>::try_from(value).expect("four bytes"))),
            14 => {
                assert_eq!(take(&mut value, 3), [0, 2, 1], "IPv6 unicast");
                assert_eq!(take(&mut value, 1), [16], "one next hop");
                update.next_hop =
                    Some(IpAddr::from(<[u8; 16]>::try_from(take(&mut value, 16)).expect("16 bytes")));
                assert_eq!(take(&mut value, 1), [0], "reserved");
                update.announced = prefixes(value, false);
            }
            15 => {
                assert_eq!(take(&mut value, 3), [0, 2, 1], "IPv6 unicast");
                update.withdrawn = prefixes(value, false);
            }
            _ => {}
        }
    }
    update
}
