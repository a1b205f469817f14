//! In place of the export of spans, in a program that was built without it.

use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Identity;

/// Either of these asks for spans.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// Says so in the log, where the environment asks for what this program cannot do.
pub(crate) fn report_if_asked_for() {
    let set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if let Some(name) = ENDPOINTS.iter().find(|name| set(name)) {
        tracing::warn!(
            "{name} is set, and no spans are sent: this program was built without the feature otel"
        );
    }
}

/// There are none.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Traces {}

impl Traces {
    /// None.
    ///
    /// # Errors
    /// None; the export itself has some.
    pub(crate) fn from_environment() -> Result<Option<Self>, String> {
        Ok(None)
    }

    /// Never asked for.
    pub(crate) fn layer<S: Subscriber>(&self) -> impl Layer<S> + use<S> {
        Identity::new()
    }

    /// Never asked for.
    pub(crate) async fn end(self) {}
}
