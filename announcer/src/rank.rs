//! Who comes first among nodes for an address when nothing else decides.

use std::net::IpAddr;

use sha2::{Digest, Sha256};

/// A node's place in the queue for one address: the lowest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank([u8; 32]);

/// MetalLB's function, `sha256(node + "#" + ip)` with the address as Go writes it (`speaker/layer2_controller.go`), so that
/// whoever takes over from its speaker takes no address from the node that has it. MetalLB ranks by the first address of a
/// Service and has the others follow; here each address has its own rank.
pub fn rank(node: &str, ip: IpAddr) -> Rank {
    Rank(Sha256::digest(format!("{node}#{}", ip.to_canonical())).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(rank: Rank) -> String {
        rank.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The values are from `printf 'NODE#IP' | sha256sum`.
    #[test]
    fn the_rank_is_the_sha_256_of_node_and_address_as_metallb_computes_it() {
        for (node, ip, expected) in [
            ("worker-1", "192.0.2.7", "2dab9d86660439e769c77588a8460f83699813932fcfe23259180b4a1b4a4b7b"),
            ("worker-2", "192.0.2.7", "e39f10c77aa0e75aa457e2e8901dc3ddee6765cbf881b8b169b1b65f69c92652"),
            ("worker-1", "2001:db8::7", "e669561d6b7ea251f0680bec4537bd22bc078eccb25386f945c8321e2ae7fdfb"),
            (
                "worker-1",
                "::ffff:192.0.2.7",
                "2dab9d86660439e769c77588a8460f83699813932fcfe23259180b4a1b4a4b7b",
            ),
        ] {
            assert_eq!(hex(rank(node, ip.parse().unwrap())), expected, "{node} {ip}");
        }
    }
}
