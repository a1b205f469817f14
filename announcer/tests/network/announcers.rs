//! Whole announcers on networks of namespaces, and what clients and routers see of them. A suite of the package `tests`, which
//! has an API server; it is here because of the switch, the clients and the router.

// Parts of the suite `network`, of which this needs but a few.
#[allow(dead_code)]
mod frr {
    pub(crate) mod router;
    pub(crate) mod scene;
}
#[allow(dead_code)]
mod lan {
    pub(crate) mod answers;
    pub(crate) mod network;
}
mod namespaces;
mod whole {
    mod cluster;
    mod keys;
    mod link_local;
    mod machines;
    mod router;
}
