//! What provider bare asks of the API server.

use super::flags::BareFlags;
use crate::rights::Right;

/// The rights that the flags make necessary.
pub(super) fn of(flags: &BareFlags) -> Vec<Right> {
    if flags.bare_pools_file.is_some() {
        return Vec::new();
    }
    let namespace = flags.bare_pools_namespace.clone();
    let pools = |subresource, verbs| {
        Right::on(("metallb.io", "ipaddresspools", subresource), verbs).in_namespace(namespace.clone())
    };
    let mut rights =
        vec![pools("", &["list", "watch"]), Right::on(("", "namespaces", ""), &["list", "watch"])];
    for kind in ["servicel2statuses", "servicebgpstatuses"] {
        rights.push(Right::on(("metallb.io", kind, ""), &["list", "watch"]));
    }
    if flags.bare_write_pool_status {
        rights.push(pools("status", &["patch"]));
    }
    rights
}
