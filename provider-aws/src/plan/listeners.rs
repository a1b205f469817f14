//! Listeners: matched by port, which is all that tells them apart at AWS.

use std::collections::BTreeSet;

use cloud_provider::{Ordered, diff};

use super::{Operation, Part, Planner, describe};
use crate::drift;
use crate::model::Listener;
use crate::naming::SSL_POLICY;
use crate::observe::ObservedListener;
use crate::options::LISTENERS_PER_LOAD_BALANCER;

/// The certificates that the listeners of a load balancer may have besides their default ones (*Quotas for your Network
/// Load Balancers*). AWS raises it on request; an account with more only exchanges in the less careful order.
const CERTIFICATES_PER_LOAD_BALANCER: usize = 25;

/// How many certificates must go before all those wanted have room beside those that are there.
fn surplus_certificates<'a>(kept: impl Iterator<Item = (&'a Listener, &'a ObservedListener)>) -> usize {
    let mut all: BTreeSet<&String> = BTreeSet::new();
    for (wanted, found) in kept {
        all.extend(&found.sni_certificates);
        all.extend(wanted.tls.iter().flat_map(|tls| &tls.sni_certificates));
    }
    all.len().saturating_sub(CERTIFICATES_PER_LOAD_BALANCER)
}

impl Planner<'_> {
    pub(super) fn make_listeners(&mut self) {
        if self.retained.is_some_and(|lb| lb.details.is_none()) {
            return;
        }
        let wanted = self.desired.listeners.iter().map(|listener| (listener.port, listener));
        let found = self
            .retained
            .into_iter()
            .flat_map(super::super::observe::ObservedLoadBalancer::listeners)
            .map(|l| (l.resource.port, l));
        let split = diff::split(wanted, found);
        let mut surplus = surplus_certificates(split.keep.iter().map(|(_, wanted, found)| (*wanted, *found)));
        for (_, wanted, found) in &split.keep {
            self.change_listener(wanted, found, &mut surplus);
        }
        let total = split.keep.len() + split.create.len() + split.delete.len();
        let too_many = total.saturating_sub(LISTENERS_PER_LOAD_BALANCER);
        let delete = |port: u16, found: &ObservedListener| Operation::DeleteListener {
            arn: found.resource.arn.clone(),
            port,
        };
        for (port, found) in split.delete.iter().take(too_many) {
            let reason = "the Service has no such port, and others need the room";
            self.push(Part::Port(*port), delete(*port, found), reason);
        }
        for (port, wanted) in split.create {
            self.push(Part::Port(port), Operation::CreateListener(wanted.clone()), "it does not exist");
            if let Some(tls) = &wanted.tls {
                self.add_certificates(port, tls.sni_certificates.iter().cloned().collect());
            }
            if !wanted.attributes.is_empty() {
                let attributes = wanted.attributes.clone();
                let operation = Operation::ModifyListenerAttributes { port, attributes };
                self.push(Part::Port(port), operation, "the Service asks for them");
            }
        }
        for (port, found) in split.delete.into_iter().skip(too_many) {
            self.push(Part::OldPort(port), delete(port, found), "the Service has no such port");
        }
    }

    /// `surplus` certificates have to go before there is room for others.
    fn change_listener(&mut self, wanted: &Listener, found: &ObservedListener, surplus: &mut usize) {
        let port = wanted.port;
        let part = Part::Port(port);
        let (before, after) = drift::tags_around(&wanted.tags, &found.tags);
        self.tag(part.clone(), &found.resource.arn, &found.tags, before);
        let wanted = &self.with_its_policy(wanted, found);
        let target_group = self.ids.target_groups.get(&wanted.target_group).map(String::as_str);
        let changes = drift::listener(wanted, &found.resource, target_group);
        if !changes.is_empty() {
            let operation = Operation::ModifyListener(wanted.clone());
            self.push_with(part.clone(), operation, "the listener differs", changes);
        }
        if let Some(tls) = &wanted.tls {
            let sni = &tls.sni_certificates;
            let add: Vec<String> = sni.difference(&found.sni_certificates).cloned().collect();
            // The default certificate cannot be taken off, though it may have been a further one before.
            let default = BTreeSet::from([tls.default_certificate.clone()]);
            let stay: BTreeSet<String> = sni.union(&default).cloned().ordered();
            let mut first: Vec<String> = found.sni_certificates.difference(&stay).cloned().collect();
            let later = first.split_off(first.len().min(*surplus));
            *surplus -= first.len();
            let reason = "the Service no longer names them, and others need the room";
            self.remove_certificates(port, first, reason);
            self.add_certificates(port, add);
            self.remove_certificates(port, later, "the Service no longer names them");
        }
        let attributes = drift::listener_attributes(&wanted.attributes, &found.attributes, &found.tags);
        if !attributes.is_empty() {
            let changes = describe::attributes(&attributes, &found.attributes);
            let operation = Operation::ModifyListenerAttributes { port, attributes };
            self.push_with(part.clone(), operation, "attributes differ", changes);
        }
        self.tag(part, &found.resource.arn, &found.tags, after);
    }

    /// A listener that exists keeps its security policy unless the user chose one, now or before: whoever took a load
    /// balancer over, or changed the default, did not mean to shut clients out.
    fn with_its_policy(&self, wanted: &Listener, found: &ObservedListener) -> Listener {
        let mut wanted = wanted.clone();
        if let (Some(tls), Some(policy)) = (&mut wanted.tls, &found.resource.ssl_policy)
            && !tls.policy_is_chosen
            && !drift::was_set(&found.tags, SSL_POLICY)
        {
            tls.policy.clone_from(policy);
        }
        wanted
    }

    fn remove_certificates(&mut self, port: u16, certificates: Vec<String>, reason: &str) {
        if !certificates.is_empty() {
            let operation = Operation::RemoveListenerCertificates { port, certificates };
            self.push(Part::Port(port), operation, reason);
        }
    }

    fn add_certificates(&mut self, port: u16, certificates: Vec<String>) {
        if !certificates.is_empty() {
            let operation = Operation::AddListenerCertificates { port, certificates };
            self.push(Part::Port(port), operation, "the Service names them");
        }
    }
}
