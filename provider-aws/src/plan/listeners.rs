//! Listeners: matched by port, which is all that tells them apart at AWS.

use std::collections::BTreeSet;

use cloud_provider::diff;

use super::{Action, Planner, What};
use crate::drift;
use crate::model::Listener;
use crate::observe::ObservedListener;

/// The listeners a Network Load Balancer may have; AWS does not raise it.
const LISTENERS: usize = 50;

impl Planner<'_> {
    pub(super) fn make_listeners(&mut self) {
        let wanted = self.desired.listeners.iter().map(|listener| (listener.port, listener));
        let found = self.keeper.into_iter().flat_map(|lb| &lb.listeners).map(|l| (l.resource.port, l));
        let split = diff::split(wanted, found);
        for (_, wanted, found) in &split.keep {
            self.change_listener(wanted, found);
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

    fn change_listener(&mut self, wanted: &Listener, found: &ObservedListener) {
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
            self.add_certificates(port, add);
            // The default certificate cannot be taken off, though it may have been a further one before.
            let default = BTreeSet::from([tls.default_certificate.clone()]);
            let stay: BTreeSet<String> = sni.union(&default).cloned().collect();
            let certificates: Vec<String> = found.sni_certificates.difference(&stay).cloned().collect();
            if !certificates.is_empty() {
                let what = What::RemoveListenerCertificates { port, certificates };
                self.push(what, "the Service no longer names them");
            }
        }
        let attributes = drift::listener_attributes(&wanted.attributes, &found.attributes);
        if !attributes.is_empty() {
            self.push(What::ModifyListenerAttributes { port, attributes }, "attributes differ");
        }
    }

    fn add_certificates(&mut self, port: u16, certificates: Vec<String>) {
        if !certificates.is_empty() {
            let what = What::AddListenerCertificates { port, certificates };
            self.push(what, "the Service names them");
        }
    }
}
