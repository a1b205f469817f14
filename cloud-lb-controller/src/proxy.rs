//! The proxy on the way to the API server, as client-go chooses it.
//!
//! kube reads `NO_PROXY` as if it were about the proxy's own address, so that it is read here, about the API server's.

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use kube::config::Kubeconfig;

use crate::error::CliError;

/// The proxy for requests to this address, if any: what the kubeconfig names for the cluster is used as it is; else the
/// environment's (`HTTPS_PROXY`, `ALL_PROXY`; `HTTP_PROXY` for plain HTTP), unless `NO_PROXY` names the address or it is
/// this machine's own.
///
/// # Errors
/// When what is named is not the URL of a proxy.
pub(crate) fn to(
    target: &Uri,
    named: Option<&str>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Option<Uri>, CliError> {
    let of = |name: &str| {
        let value = environment(name).or_else(|| environment(&name.to_ascii_lowercase()));
        value.filter(|value| !value.trim().is_empty()).map(|value| (name.to_owned(), value.trim().to_owned()))
    };
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        return parse("proxy-url of the kubeconfig", named).map(Some);
    }
    let by_scheme = if target.scheme_str() == Some("http") { "HTTP_PROXY" } else { "HTTPS_PROXY" };
    let Some((name, url)) = of(by_scheme).or_else(|| of("ALL_PROXY")) else { return Ok(None) };
    let exceptions = of("NO_PROXY").map(|(_, value)| value).unwrap_or_default();
    let rules = Matcher::builder().all("http://proxy.invalid").no(exceptions).build();
    if is_this_machine(target) || rules.intercept(target).is_none() {
        return Ok(None);
    }
    parse(&name, &url).map(Some)
}

/// What the kubeconfig says of the cluster that it uses.
pub(crate) fn named_in(kubeconfig: &Kubeconfig) -> Option<String> {
    let context = kubeconfig.current_context.as_ref()?;
    let context = kubeconfig.contexts.iter().find(|named| named.name == *context)?.context.as_ref()?;
    let cluster = kubeconfig.clusters.iter().find(|named| named.name == context.cluster)?;
    cluster.cluster.as_ref()?.proxy_url.clone()
}

fn is_this_machine(target: &Uri) -> bool {
    let host = target.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// A URL without a scheme is one of `http`, as in every program that reads these variables.
fn parse(what: &str, text: &str) -> Result<Uri, CliError> {
    let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let usable = |uri: &Uri| uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https"));
    match url.parse::<Uri>() {
        Ok(uri) if usable(&uri) => Ok(uri),
        // Never the text itself: it may hold a password.
        _ => Err(CliError::Usage(format!(
            "{what} is not the URL of a proxy; write http://HOST:PORT or https://HOST:PORT"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "https://api.example.com:6443";

    fn proxy(target: &str, named: Option<&str>, environment: &[(&str, &str)]) -> Option<String> {
        let get = |name: &str| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        to(&target.parse().unwrap(), named, get).unwrap().map(|uri| uri.to_string())
    }

    #[test]
    fn the_kubeconfigs_proxy_is_used_whatever_the_environment_says() {
        let named = Some("http://gate.example.com:3128");
        let environment = [("HTTPS_PROXY", "http://other:1"), ("NO_PROXY", "*")];
        assert_eq!(proxy(SERVER, named, &environment).as_deref(), Some("http://gate.example.com:3128/"));
        assert_eq!(
            proxy("https://127.0.0.1:6443", named, &[]).as_deref(),
            Some("http://gate.example.com:3128/")
        );
    }

    #[test]
    fn the_environments_proxy_is_used_unless_the_server_is_excepted() {
        let via = |environment: &[(&str, &str)]| proxy(SERVER, None, environment);
        assert_eq!(via(&[]), None);
        assert_eq!(via(&[("HTTPS_PROXY", "http://gate:3128")]).as_deref(), Some("http://gate:3128/"));
        assert_eq!(via(&[("https_proxy", "gate:3128")]).as_deref(), Some("http://gate:3128/"));
        assert_eq!(via(&[("ALL_PROXY", "http://me:secret@gate")]).as_deref(), Some("http://me:secret@gate/"));
        assert_eq!(via(&[("HTTP_PROXY", "http://gate:3128")]), None);
        for excepted in ["*", "api.example.com", ".example.com", "example.com", "other, api.example.com"] {
            assert_eq!(via(&[("HTTPS_PROXY", "http://gate"), ("NO_PROXY", excepted)]), None, "{excepted}");
        }
        // Not the proxy's own address, as kube has it.
        assert!(via(&[("HTTPS_PROXY", "http://gate"), ("NO_PROXY", "gate")]).is_some());
        let by_address = [("HTTPS_PROXY", "http://gate"), ("NO_PROXY", "10.0.0.0/8")];
        assert_eq!(proxy("https://10.1.2.3", None, &by_address), None);
        for here in ["https://127.0.0.1:6443", "https://[::1]:6443", "https://localhost:6443"] {
            assert_eq!(proxy(here, None, &[("HTTPS_PROXY", "http://gate")]), None, "{here}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_told_without_its_text() {
        let error = to(&SERVER.parse().unwrap(), Some("socks5://me:secret@gate"), |_| None).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("proxy-url") && text.contains("http://HOST:PORT"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}
