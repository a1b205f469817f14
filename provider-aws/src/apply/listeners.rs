//! Listeners: made and changed. One just made is not known everywhere at once.

use super::{Applied, Applier};
use crate::client::{Attributes, CreateListener, ModifyListener};
use crate::drift;
use crate::error::ErrorKind;
use crate::failure::StepFailure;
use crate::model;

impl Applier<'_> {
    pub(super) async fn create_listener(&mut self, wanted: &model::Listener) -> Result<Applied, StepFailure> {
        let target_group = self.ids.target_groups.get(&wanted.target_group);
        let (Some(load_balancer), Some(target_group)) = (&self.ids.load_balancer, target_group) else {
            return Ok(Applied::Stale);
        };
        let tls = wanted.tls.as_ref();
        let request = CreateListener {
            load_balancer_arn: load_balancer.clone(),
            port: wanted.port,
            protocol: wanted.protocol,
            default_certificate: tls.map(|tls| tls.default_certificate.clone()),
            ssl_policy: tls.map(|tls| tls.policy.clone()),
            alpn_policy: tls.map(|tls| tls.alpn),
            forward: drift::forward(wanted, target_group),
            tags: wanted.tags.clone(),
        };
        let made = self.aws.elbv2().create_listener(&request).await?;
        self.ids.listeners.insert(wanted.port, made.arn);
        Ok(Applied::Done)
    }

    pub(super) async fn modify_listener(&self, wanted: &model::Listener) -> Result<Applied, StepFailure> {
        let target_group = self.ids.target_groups.get(&wanted.target_group);
        let (Some(arn), Some(target_group)) = (self.ids.listeners.get(&wanted.port), target_group) else {
            return Ok(Applied::Stale);
        };
        let tls = wanted.tls.as_ref();
        let request = ModifyListener {
            listener_arn: arn.clone(),
            port: None,
            protocol: Some(wanted.protocol),
            default_certificate: tls.map(|tls| tls.default_certificate.clone()),
            ssl_policy: tls.map(|tls| tls.policy.clone()),
            alpn_policy: tls.map(|tls| tls.alpn),
            forward: Some(drift::forward(wanted, target_group)),
        };
        self.aws.elbv2().modify_listener(&request).await?;
        Ok(Applied::Done)
    }

    pub(super) async fn modify_listener_attributes(
        &self,
        port: u16,
        attributes: &Attributes,
    ) -> Result<Applied, StepFailure> {
        let Some(arn) = self.ids.listeners.get(&port) else { return Ok(Applied::Stale) };
        let mut backoff = self.backoff();
        while let Err(error) = self.aws.elbv2().modify_listener_attributes(arn, attributes).await {
            backoff.wait_if(error.kind == ErrorKind::NotFound, error).await?;
        }
        Ok(Applied::Done)
    }

    pub(super) async fn add_certificates(
        &self,
        port: u16,
        certificates: &[String],
    ) -> Result<Applied, StepFailure> {
        let Some(arn) = self.ids.listeners.get(&port) else { return Ok(Applied::Stale) };
        let mut backoff = self.backoff();
        while let Err(error) = self.aws.add_listener_certificates(arn, certificates).await {
            backoff.wait_if(error.is("ListenerNotFound"), error).await?;
        }
        Ok(Applied::Done)
    }

    pub(super) async fn remove_certificates(
        &self,
        port: u16,
        certificates: &[String],
    ) -> Result<Applied, StepFailure> {
        let Some(arn) = self.ids.listeners.get(&port) else { return Ok(Applied::Stale) };
        self.aws.remove_listener_certificates(arn, certificates).await?;
        Ok(Applied::Done)
    }
}
