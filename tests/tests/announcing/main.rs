//! What an announcer tells in a cluster.

mod statuses;
