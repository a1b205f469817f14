//! How maps and sets of a few entries are collected.

/// Collects into a map or a set that is in order, such as a `BTreeMap`, one entry after the other.
///
/// [`collect`](Iterator::collect) sorts all entries first and builds from the bottom, which is the faster way for
/// thousands. The sort is made anew for each type of entry, and is six kilobytes of the program each time: for the tags,
/// subnets and zones of a load balancer, of which there are a handful and a hundred types, that was a twentieth of it.
/// Of two entries with the same key the last one stays, as with `collect`.
///
/// ```
/// use std::collections::BTreeSet;
///
/// use cloud_provider::Ordered;
///
/// let zones = ["b", "a", "b"].into_iter().ordered::<BTreeSet<_>>();
/// assert_eq!(zones, BTreeSet::from(["a", "b"]));
/// ```
pub trait Ordered: Iterator + Sized {
    /// All that comes, in order.
    fn ordered<C: Default + Extend<Self::Item>>(self) -> C {
        let mut ordered = C::default();
        ordered.extend(self);
        ordered
    }
}

impl<I: Iterator> Ordered for I {}
