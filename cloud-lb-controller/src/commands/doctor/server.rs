//! Is there an API server, and which?

use apiserver_client::in_words;
use std::time::Duration;

use crate::finding::Finding;

const SUBJECT: &str = "api-server";

/// A server that takes longer than this is as good as none.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

/// The API server's version, or why it does not answer.
pub(super) async fn look(client: &kube::Client) -> Finding {
    let mend = "check the kubeconfig's server, the network and the credentials";
    match tokio::time::timeout(VERSION_TIMEOUT, client.apiserver_version()).await {
        Ok(Ok(version)) => Finding::ok(SUBJECT, format!("Kubernetes {} answers", version.git_version)),
        Ok(Err(error)) => Finding::fail(SUBJECT, format!("no answer: {}", in_words(&error)), mend),
        Err(_) => Finding::fail(SUBJECT, format!("no answer within {} s", VERSION_TIMEOUT.as_secs()), mend),
    }
}
