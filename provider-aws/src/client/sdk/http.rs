//! How requests leave: through the proxy that the environment names, as with every other program, but for those that
//! are answered on this very machine.

use aws_sdk_ec2::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_smithy_http_client::{
    Builder, Connector,
    proxy::ProxyConfig,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::HttpRequest,
};

/// A client that honours `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, and asks metadata services directly.
pub(super) fn client() -> SharedHttpClient {
    SharedHttpClient::new(HttpRoutes {
        proxied: client_by(ProxyConfig::from_env),
        direct: client_by(ProxyConfig::disabled),
    })
}

fn client_by(proxy: fn() -> ProxyConfig) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector =
            Connector::builder().proxy_config(proxy()).tls_provider(Provider::Rustls(CryptoMode::Ring));
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.build()
    })
}

/// Both ways out.
#[derive(Debug)]
struct HttpRoutes {
    proxied: SharedHttpClient,
    direct: SharedHttpClient,
}

impl HttpClient for HttpRoutes {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Route {
            proxied: self.proxied.http_connector(settings, components),
            direct: self.direct.http_connector(settings, components),
        })
    }
}

#[derive(Debug)]
struct Route {
    proxied: SharedHttpConnector,
    direct: SharedHttpConnector,
}

impl HttpConnector for Route {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        match is_answered_here(request.uri()) {
            true => self.direct.call(request),
            false => self.proxied.call(request),
        }
    }
}

/// Whether this is the metadata service of the instance or of the container. Their addresses are those of this link, and
/// what they tell is a secret of this machine: no proxy can ask them, and none may.
fn is_answered_here(uri: &str) -> bool {
    let authority = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    authority.starts_with("169.254.") || authority.to_ascii_lowercase().starts_with("[fd00:ec2::")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use aws_smithy_runtime_api::client::result::ConnectorError;

    use super::*;

    /// A way out that leads nowhere and notes what was to go there.
    #[derive(Clone, Debug, Default)]
    struct Way(Arc<Mutex<Vec<String>>>);

    impl HttpConnector for Way {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            self.0.lock().unwrap().push(request.uri().to_owned());
            HttpConnectorFuture::ready(Err(ConnectorError::user("it leads nowhere".into())))
        }
    }

    #[tokio::test]
    async fn credentials_of_this_machine_are_asked_for_directly_and_aws_through_the_proxy() {
        let (proxied, direct) = (Way::default(), Way::default());
        let route = Route {
            proxied: SharedHttpConnector::new(proxied.clone()),
            direct: SharedHttpConnector::new(direct.clone()),
        };
        let (instance, aws) =
            ("http://169.254.169.254/latest/api/token", "https://ec2.us-east-1.amazonaws.com/");
        for uri in [instance, aws] {
            route.call(HttpRequest::get(uri).unwrap()).await.unwrap_err();
        }
        assert_eq!(*direct.0.lock().unwrap(), [instance]);
        assert_eq!(*proxied.0.lock().unwrap(), [aws]);
    }

    #[test]
    fn metadata_services_are_never_asked_through_a_proxy() {
        for here in [
            "http://169.254.169.254/latest/api/token",
            "http://169.254.170.2/v2/credentials",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::254]/latest/meta-data/",
            "http://[FD00:EC2::23]/v1/credentials",
        ] {
            assert!(is_answered_here(here), "{here}");
        }
        for far in [
            "https://ec2.us-east-1.amazonaws.com/",
            "http://example.com/169.254.169.254/",
            "http://10.0.0.1/",
        ] {
            assert!(!is_answered_here(far), "{far}");
        }
    }
}
