//! Certificates of listeners, chosen by host name.

use super::{
    super::{Certificate, Page, Protocol},
    refusal::{Verdict, refuse},
    rules::IMPOSSIBLE,
    world::{ListenerRecord, World},
};

impl World {
    pub(super) fn describe_listener_certificates(
        &mut self,
        arn: &str,
        page: Option<&str>,
    ) -> Verdict<Page<Certificate>> {
        let listener = self.settled_listener(arn)?;
        let default = listener.listener.default_certificate.iter();
        let default = default.map(|arn| Certificate { arn: arn.clone(), is_default: true });
        let others = listener.certificates.iter();
        let others = others.map(|arn| Certificate { arn: arn.clone(), is_default: false });
        let all = default.chain(others).collect();
        self.page(all, page)
    }

    pub(super) fn add_listener_certificates(&mut self, arn: &str, certificates: &[String]) -> Verdict<()> {
        let listener = &self.settled_listener(arn)?.listener;
        if listener.protocol != Protocol::Tls {
            return refuse(IMPOSSIBLE, "Only TLS listeners have certificates");
        }
        let load_balancer = listener.load_balancer_arn.clone();
        self.certificates_exist(certificates)?;
        let others = self.listeners_of(&load_balancer).flat_map(|record| &record.certificates);
        let all: std::collections::BTreeSet<&String> = others.chain(certificates).collect();
        if all.len() > self.quotas.certificates {
            let message = format!("At most {} certificates a load balancer", self.quotas.certificates);
            return refuse("TooManyCertificates", message);
        }
        let record = self.listeners.get_mut(arn).expect("checked");
        record.certificates.extend(certificates.iter().cloned());
        Ok(())
    }

    pub(super) fn remove_listener_certificates(&mut self, arn: &str, certificates: &[String]) -> Verdict<()> {
        let listener = &self.settled_listener(arn)?.listener;
        if listener.default_certificate.as_ref().is_some_and(|default| certificates.contains(default)) {
            return refuse("OperationNotPermitted", "The default certificate cannot be removed");
        }
        let record = self.listeners.get_mut(arn).expect("checked");
        record.certificates.retain(|certificate| !certificates.contains(certificate));
        Ok(())
    }

    pub(super) fn certificates_exist(&self, certificates: &[String]) -> Verdict<()> {
        match certificates.iter().find(|arn| !self.certificates.contains(*arn)) {
            Some(arn) => refuse("CertificateNotFound", format!("Certificate '{arn}' not found")),
            None => Ok(()),
        }
    }

    /// The listener, unless it is too new to be known here.
    fn settled_listener(&mut self, arn: &str) -> Verdict<&ListenerRecord> {
        self.listener(arn)?;
        let now = self.now;
        let record = self.listeners.get_mut(arn).expect("checked");
        if record.hidden.look(now) {
            return super::listeners::not_found(arn);
        }
        Ok(record)
    }
}
