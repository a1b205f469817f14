//! What a node announces, told as MetalLB tells it: a `ServiceL2Status` for each Service for which the node answers on the
//! local network, a `ServiceBGPStatus` for each that it advertises, and the event `nodeAssigned` when one comes.
//!
//! ```text
//! announcements + what the links hold ─▶ Announced ─▶ objects ─┐
//!                                 own objects, watched by label ┴▶ steps ─▶ StatusKeeper: apply, delete
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`announced`](mod@announced) | which Services this node announces, as a plain function |
//! | [`object`] | what is written of one of them: name, labels, owner, fields |
//! | [`steps`] | what is to be written where the API server has these objects, as a plain function |
//! | [`keeper`] | all that waits |
//!
//! Names are made of node and Service, so that whatever is written twice is one object, and objects of a former life are found
//! by their labels. Writing waits for a second of quiet and never holds up a packet: whoever announces sends an
//! [`Announced`](announced::Announced) down a channel and goes on.
//!
//! # How the program calls it
//!
//! Once: [`StatusKeeper::start`](keeper::StatusKeeper::start). After each change of what is held or advertised:
//! [`announce`](keeper::StatusKeeper::announce) with what [`announced`](announced::announced) makes of it. When an address was
//! taken from a node that is not heard any more: [`gone`](keeper::StatusKeeper::gone), because that node may never delete its
//! objects. What comes out of the channel of [`Assigned`](keeper::Assigned) is an event on the Service.

pub mod announced;
pub mod keeper;
pub mod object;
pub mod steps;
