//! The flags of provider bare.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use cloud_provider::ClassRule;
use provider_bare::assignments::Reuse;
use provider_bare::plan::{AnnouncerKind, RemovedAddress};

use crate::values::duration;

/// The bare-metal provider.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Provider bare")]
pub(super) struct BareFlags {
    /// Serve Services of this class; empty: those without a class; with a trailing comma: both
    #[arg(long, env = "BARE_CLASS", default_value = "", value_name = "CLASS")]
    pub bare_class: ClassRule,

    /// Read the address pools from this file instead of the cluster, and again when it changes
    #[arg(long, env = "BARE_POOLS_FILE", value_name = "FILE")]
    pub bare_pools_file: Option<PathBuf>,

    /// Only pools of this namespace count; without it those of all namespaces do
    #[arg(long, env = "BARE_POOLS_NAMESPACE", value_name = "NAMESPACE", conflicts_with = "bare_pools_file")]
    pub bare_pools_namespace: Option<String>,

    /// Let Services of different namespaces share an address
    #[arg(long, env = "BARE_SHARE_ACROSS_NAMESPACES")]
    pub bare_share_across_namespaces: bool,

    /// What happens to published addresses that no pool provides any more
    #[arg(long, env = "BARE_REMOVED_ADDRESSES", default_value = "move", value_parser = one_of(REMOVED_ADDRESSES))]
    pub bare_removed_addresses: RemovedAddress,

    /// How long a published address that no pool provides any more stays as if one did, in case the pool comes back
    #[arg(long, env = "BARE_POOL_GRACE", default_value = "60s", value_parser = duration)]
    pub bare_pool_grace: Duration,

    /// Who announces the addresses: MetalLB's speaker wants all of a Service's from one pool
    #[arg(long, env = "BARE_ANNOUNCER", default_value = "metallb", value_parser = one_of(ANNOUNCERS))]
    pub bare_announcer: AnnouncerKind,

    /// In which order addresses that were given back are used again
    #[arg(long, env = "BARE_REUSE", default_value = "lowest", value_parser = one_of(REUSES))]
    pub bare_reuse: Reuse,

    /// Keep the counters in the statuses of the cluster's pools
    #[arg(long, env = "BARE_WRITE_POOL_STATUS", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub bare_write_pool_status: bool,

    /// How long to wait at the start for the first list of pools before trying again
    #[arg(long, env = "BARE_POOLS_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub bare_pools_timeout: Duration,
}

/// The words of [`BareFlags::bare_removed_addresses`].
const REMOVED_ADDRESSES: Words<RemovedAddress> = &[
    (
        "move",
        "The Service moves if there is another address for it, else it keeps its own",
        RemovedAddress::Move,
    ),
    ("keep", "The Service keeps it", RemovedAddress::Keep),
    ("release", "The Service loses it", RemovedAddress::Release),
];

/// The words of [`BareFlags::bare_announcer`].
const ANNOUNCERS: Words<AnnouncerKind> = &[
    ("metallb", "MetalLB's speaker: all addresses of a Service come from one pool", AnnouncerKind::MetalLb),
    ("own", "Another, which does not mind: two families may come from two pools", AnnouncerKind::Own),
];

/// The words of [`BareFlags::bare_reuse`].
const REUSES: Words<Reuse> = &[
    ("lowest", "The lowest free address first", Reuse::Lowest),
    ("longest-free", "First what was never used, then what has been free longest", Reuse::LongestFree),
];

/// The words that a flag takes: each with what help says of it, and what it means.
type Words<T> = &'static [(&'static str, &'static str, T)];

/// Reads one of these words.
fn one_of<T: Copy + Send + Sync>(words: Words<T>) -> impl TypedValueParser<Value = T> {
    let shown = words.iter().map(|(word, help, _)| PossibleValue::new(*word).help(*help));
    PossibleValuesParser::new(shown).try_map(move |chosen| {
        let meant = words.iter().find(|(word, ..)| *word == chosen);
        meant.map(|(.., value)| *value).ok_or("it is none of the words")
    })
}
