//! What is asked of the API server about one Service.

use apiserver_client::Lean;
use cloud_provider::ServiceKey;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, Patch, PatchParams};

/// The API server, and who we are to it.
pub(crate) struct ServiceApi {
    client: kube::Client,
    /// The name that our writes carry.
    field_manager: String,
}

impl ServiceApi {
    /// The server behind this client, whose writes carry this name.
    pub(crate) fn new(client: kube::Client, field_manager: &str) -> Self {
        ServiceApi { client, field_manager: field_manager.to_owned() }
    }

    /// Patches a Service's status subresource: a strategic merge, so lists of others' finalizers and conditions
    /// are left alone. The subresource applies metadata too, which lets one write carry everything.
    ///
    /// # Errors
    /// The API server's.
    pub(crate) async fn patch_status(
        &self,
        key: &ServiceKey,
        body: serde_json::Value,
    ) -> kube::Result<Service> {
        let body = Patch::Strategic(body);
        let written = self.of(key).patch_status(&key.name, &PatchParams::default(), &body).await;
        written.map(|Lean(service)| service)
    }

    /// Who has this name now, if anybody.
    ///
    /// # Errors
    /// The API server's. That there is nobody is no error.
    pub(crate) async fn get(&self, key: &ServiceKey) -> kube::Result<Option<Service>> {
        let found = self.of(key).get_opt(&key.name).await?;
        Ok(found.map(|Lean(service)| service))
    }

    /// Who else writes a status: of those who did, the first who is not us. If there is none, another of our name.
    pub(crate) fn another<'a>(&self, writers: &'a [String]) -> Option<&'a str> {
        let another = writers.iter().find(|writer| **writer != self.field_manager).or(writers.first());
        another.map(String::as_str)
    }

    fn of(&self, key: &ServiceKey) -> Api<Lean<Service>> {
        Api::namespaced(self.client.clone(), &key.namespace)
    }
}
