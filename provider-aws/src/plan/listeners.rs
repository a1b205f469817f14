//! Listeners: matched by port, which is all that tells them apart at AWS.

use std::collections::BTreeSet;

use cloud_provider::diff;

use super::{Action, Planner, What};
use crate::drift;
use crate::model::Listener;
use crate::observe::ObservedListener;

/// The certificates that the listeners of a load balancer may have besides their default ones (*Quotas for your Network
/// Load Balancers*). AWS raises it on request; an account with more only exchanges in the less careful order.
const CERTIFICATES: usize = 25;

/// How many certificates must go before all those wanted have room beside those that are there.
fn surplus_certificates<'a>(kept: impl Iterator<Item = (&'a Listener, &'a ObservedListener)>) -> usize {
    let mut all: BTreeSet<&String> = BTreeSet::new();
    for (wanted, found) in kept {
        all.extend(&found.sni_certificates);
        all.extend(wanted.tls.iter().flat_map(|tls| &tls.sni_certificates));
    }
    all.len().saturating_sub(CERTIFICATES)
}

/// The listeners a Network Load Balancer may have; AWS does not raise it.
const LISTENERS: usize = 50;

impl Planner<'_> {
    pub(super) fn make_listeners(&mut self) {
        let wanted = self.desired.listeners.iter().map(|listener| (listener.port, listener));
        let found = self.keeper.into_iter().flat_map(|lb| &lb.listeners).map(|l| (l.resource.port, l));
        let split = diff::split(wanted, found);
        let mut surplus = surplus_certificates(split.keep.iter().map(|(_, wanted, found)| (*wanted, *found)));
        for (_, wanted, found) in &split.keep {
            self.change_listener(wanted, found, &mut surplus);
        }
        let total = split.keep.len() + split.create.len() + split.delete.len();
        let too_many = total.saturating_sub(LISTENERS);
        for (i, (port, found)) in split.delete.iter().enumerate() {
            if i < too_many {
                let what = What::DeleteListener { arn: found.resource.arn.clone(), port: *port };
                self.push(what, "the Service has no such port, and others need the room");
            }
        }
        for (port, wanted) in split.create {
            self.push(What::CreateListener(wanted.clone()), "it does not exist");
            if let Some(tls) = &wanted.tls {
                self.add_certificates(port, tls.sni_certificates.iter().cloned().collect());
            }
            if !wanted.attributes.is_empty() {
                let attributes = wanted.attributes.clone();
                self.push(What::ModifyListenerAttributes { port, attributes }, "the Service asks for them");
            }
        }
        for (port, found) in split.delete.into_iter().skip(too_many) {
            let arn = found.resource.arn.clone();
            self.push(What::DeleteListener { arn, port }, "the Service has no such port");
        }
    }

    /// `surplus` certificates have to go before there is room for others.
    fn change_listener(&mut self, wanted: &Listener, found: &ObservedListener, surplus: &mut usize) {
        let port = wanted.port;
        let target_group = self.known.target_groups.get(&wanted.target_group).map(String::as_str);
        let changes = drift::listener(wanted, &found.resource, target_group);
        if !changes.is_empty() {
            let what = What::ModifyListener(wanted.clone());
            self.actions.push(Action::new(what, "the listener differs").with(changes));
        }
        if let Some(tls) = &wanted.tls {
            let sni = &tls.sni_certificates;
            let add: Vec<String> = sni.difference(&found.sni_certificates).cloned().collect();
            // The default certificate cannot be taken off, though it may have been a further one before.
            let default = BTreeSet::from([tls.default_certificate.clone()]);
            let stay: BTreeSet<String> = sni.union(&default).cloned().collect();
            let mut first: Vec<String> = found.sni_certificates.difference(&stay).cloned().collect();
            let later = first.split_off(first.len().min(*surplus));
            *surplus -= first.len();
            self.remove_certificates(
                port,
                first,
                "the Service no longer names them, and others need the room",
            );
            self.add_certificates(port, add);
            self.remove_certificates(port, later, "the Service no longer names them");
        }
        let attributes = drift::listener_attributes(&wanted.attributes, &found.attributes);
        if !attributes.is_empty() {
            self.push(What::ModifyListenerAttributes { port, attributes }, "attributes differ");
        }
    }

    fn remove_certificates(&mut self, port: u16, certificates: Vec<String>, reason: &str) {
        if !certificates.is_empty() {
            self.push(What::RemoveListenerCertificates { port, certificates }, reason);
        }
    }

    fn add_certificates(&mut self, port: u16, certificates: Vec<String>) {
        if !certificates.is_empty() {
            let what = What::AddListenerCertificates { port, certificates };
            self.push(what, "the Service names them");
        }
    }
}
