//! Certificates of listeners, chosen by host name.

use std::collections::BTreeSet;

use super::{
    super::{Certificate, Page, Protocol},
    account::{AccountState, ListenerRecord},
    refusal::{Answered, refuse},
    rules::IMPOSSIBLE,
};

impl AccountState {
    pub(super) fn describe_listener_certificates(
        &mut self,
        arn: &str,
        page: Option<&str>,
    ) -> Answered<Page<Certificate>> {
        let listener = self.settled_listener(arn)?;
        let default = listener.listener.default_certificate.iter();
        let default = default.map(|arn| Certificate { arn: arn.clone(), is_default: true });
        let others = listener.certificates.iter();
        let others = others.map(|arn| Certificate { arn: arn.clone(), is_default: false });
        let all = default.chain(others).collect();
        self.page(all, page)
    }

    pub(super) fn add_listener_certificate(&mut self, arn: &str, certificate: &str) -> Answered<()> {
        let listener = &self.settled_listener(arn)?.listener;
        if listener.protocol != Protocol::Tls {
            return refuse(IMPOSSIBLE, "Only TLS listeners have certificates");
        }
        let load_balancer = listener.load_balancer_arn.clone();
        self.certificate_exists(certificate)?;
        let others = self.listeners_of(&load_balancer).flat_map(|record| &record.certificates);
        let all: BTreeSet<&str> = others.map(String::as_str).chain([certificate]).collect();
        if all.len() > self.quotas.certificates {
            let message = format!("At most {} certificates a load balancer", self.quotas.certificates);
            return refuse("TooManyCertificates", message);
        }
        let record = self.listeners.get_mut(arn).expect("checked");
        record.certificates.insert(certificate.to_owned());
        Ok(())
    }

    pub(super) fn remove_listener_certificate(&mut self, arn: &str, certificate: &str) -> Answered<()> {
        let listener = &self.settled_listener(arn)?.listener;
        if listener.default_certificate.as_deref() == Some(certificate) {
            return refuse("OperationNotPermitted", "The default certificate cannot be removed");
        }
        let record = self.listeners.get_mut(arn).expect("checked");
        record.certificates.remove(certificate);
        Ok(())
    }

    pub(super) fn certificate_exists(&self, arn: &str) -> Answered<()> {
        match self.certificates.contains(arn) {
            true => Ok(()),
            false => refuse("CertificateNotFound", format!("Certificate '{arn}' not found")),
        }
    }

    /// The listener, unless it is too new to be known here.
    fn settled_listener(&mut self, arn: &str) -> Answered<&ListenerRecord> {
        self.listener(arn)?;
        let now = self.now;
        let record = self.listeners.get_mut(arn).expect("checked");
        if record.hidden.look(now) {
            return super::listeners::not_found(arn);
        }
        Ok(record)
    }
}
