//! How far away a router is.

/// How far away a router is. It decides how long packets may live, and what is believed of those that come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Distance {
    /// On the same link: nothing lies between.
    Link,
    /// Behind other routers, or maybe.
    Hops,
}
