//! What a Service shows and asks for, as the allocator wants to see it.

use cloud_provider::{Mistake, Mistakes, Note, ServiceView};

use crate::allocator::{Interest, Seen};
use crate::desired::{AddressRequest, Sharing};
use crate::options::Options;

/// A Service, read.
#[derive(Clone, Debug)]
pub struct Observed {
    /// For the allocator.
    pub seen: Seen,
    /// What is wrong with the Service itself, whatever the pools; empty if nothing.
    pub mistakes: Vec<Mistake>,
    /// What the user should know besides.
    pub notes: Vec<Note>,
}

/// Whether a Service is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is.
    Ours,
    /// It is not: its addresses are only kept from others.
    Theirs,
}

/// Reads a Service. One with mistakes is seen as something to protect, so that it loses nothing by them.
pub fn observe(service: &ServiceView, claim: Claim, share_across_namespaces: bool) -> Observed {
    let (request, notes) = match Options::parse(service) {
        Ok(options) => {
            let notes = options.notes.clone();
            (AddressRequest::new(service, options, share_across_namespaces), notes)
        }
        Err(mistakes) => (Err(mistakes), Vec::new()),
    };
    let request = match Mistakes::new(service.mistakes.clone()) {
        Some(mistakes) => Err(mistakes),
        None => request,
    };
    let (interest, mistakes) = match (claim, request) {
        (Claim::Theirs, _) => (Interest::Avoid, Vec::new()),
        (Claim::Ours, Ok(request)) => (Interest::Serve(Box::new(request)), Vec::new()),
        (Claim::Ours, Err(mistakes)) => (Interest::Protect, mistakes.iter().cloned().collect()),
    };
    let seen = Seen {
        id: service.id.clone(),
        created: service.created,
        published: service.published_ips().collect(),
        sharing: Sharing::of(service, share_across_namespaces),
        interest,
    };
    Observed { seen, mistakes, notes }
}
