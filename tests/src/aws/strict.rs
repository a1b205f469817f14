//! A proxy before an emulator of AWS that is as strict as AWS where emulators are not, and answers as AWS does.
//!
//! What it refuses: more than one resource to tag, more than one certificate, none of either, and tags of several kinds of
//! resources in one request. What it corrects is what `localstack/README.md` lists: ARNs and host names of Network Load
//! Balancers, security policies of listeners that have none, and whether IPv6 prefixes are used.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The most that a request or an answer may be long.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// A proxy that runs; it stops when this is dropped.
#[derive(Debug)]
pub struct StrictAws {
    url: String,
    recorded: Arc<Recorded>,
    _stop: DropGuard,
}

#[derive(Debug)]
struct Recorded {
    /// Where the emulator answers: host and port.
    emulator: String,
    asked: Mutex<Vec<String>>,
    refused: Mutex<Vec<String>>,
}

impl StrictAws {
    /// Starts one before the emulator at this URL.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn before(emulator: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let emulator = emulator.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let recorded = Arc::new(Recorded { emulator, asked: Mutex::default(), refused: Mutex::default() });
        let stop = CancellationToken::new();
        let router = Router::new().fallback(answer).with_state(recorded.clone());
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(stopped).await });
        StrictAws { url, recorded, _stop: stop.drop_guard() }
    }

    /// Where it answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How often this was asked for so far, those that were refused among them.
    pub fn count(&self, action: &str) -> usize {
        lock(&self.recorded.asked).iter().filter(|asked| *asked == action).count()
    }

    /// The requests that were refused, with the reason.
    pub fn refused(&self) -> Vec<String> {
        lock(&self.recorded.refused).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(State(recorded): State<Arc<Recorded>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY_BYTES).await else { return refusal("RequestTooLong", "too long") };
    let text = String::from_utf8_lossy(&body).into_owned();
    let action = values(&text, "Action").pop().unwrap_or_default();
    lock(&recorded.asked).push(action.clone());
    if let Some(problem) = problem(&action, &text) {
        lock(&recorded.refused).push(format!("{action}: {problem}"));
        return refusal("ValidationError", problem);
    }
    if action == "GetSecurityGroupsForVpc" && values(&text, "DryRun") == ["true"] {
        return dry_run();
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let forwarded =
        forward(&recorded.emulator, parts.method, &path, &parts.headers, to_emulator(&text)).await;
    match forwarded {
        Ok((status, headers, body)) => {
            let mut response = Response::builder().status(status);
            if let Some(kind) = headers.get(header::CONTENT_TYPE) {
                response = response.header(header::CONTENT_TYPE, kind);
            }
            response.body(Body::from(to_caller(&String::from_utf8_lossy(&body)))).expect("a response")
        }
        Err(error) => refusal("ServiceUnavailable", &error.to_string()),
    }
}

/// What AWS has against this request, as far as emulators have not.
///
/// `AddTags`, `RemoveTags`: aws-sdk-go-v2#2715. Certificates: *AddListenerCertificates* and
/// *RemoveListenerCertificates* in the ELBv2 API reference.
fn problem(action: &str, body: &str) -> Option<&'static str> {
    let count = |list: &str| {
        let first = format!("{list}.member.");
        let index = |key: &str| Some(key.strip_prefix(&first)?.split('.').next()?.to_owned());
        pairs(body).filter_map(|(key, _)| index(key)).collect::<std::collections::BTreeSet<_>>().len()
    };
    match action {
        "AddTags" | "RemoveTags" if count("ResourceArns") == 0 => {
            Some("At least one resource ARN must be specified")
        }
        "AddTags" | "RemoveTags" if count("ResourceArns") > 1 => {
            Some("Only one resource can be tagged at a time")
        }
        "AddListenerCertificates" | "RemoveListenerCertificates" if count("Certificates") != 1 => {
            Some("One certificate must be specified")
        }
        "DescribeTags" if kinds_of_resources(body) > 1 => Some("Resources of several kinds are named"),
        _ => None,
    }
}

/// How many kinds of resources a request names.
fn kinds_of_resources(body: &str) -> usize {
    let arns = pairs(body).filter(|(key, _)| key.starts_with("ResourceArns.member."));
    let kind = |(_, arn): (&str, &str)| {
        let arn = arn.replace("%3A", ":").replace("%2F", "/");
        arn.split(':').nth(5).and_then(|rest| rest.split('/').next()).map(str::to_owned)
    };
    arns.filter_map(kind).collect::<std::collections::BTreeSet<_>>().len()
}

/// The parameters of a request in AWS's query protocol, still encoded.
fn pairs(body: &str) -> impl Iterator<Item = (&str, &str)> {
    body.split('&').filter_map(|pair| pair.split_once('='))
}

fn values(body: &str, name: &str) -> Vec<String> {
    pairs(body).filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).collect()
}

/// ARNs as the emulator knows them.
fn to_emulator(body: &str) -> String {
    body.replace("loadbalancer%2Fnet%2F", "loadbalancer%2Fapp%2F")
        .replace("listener%2Fnet%2F", "listener%2Fapp%2F")
}

/// What the emulator says, as AWS would have said it.
fn to_caller(answer: &str) -> String {
    let answer = answer
        .replace("loadbalancer/app/", "loadbalancer/net/")
        .replace("listener/app/", "listener/net/")
        .replace(
            "<EnablePrefixForIpv6SourceNat/>",
            "<EnablePrefixForIpv6SourceNat>off</EnablePrefixForIpv6SourceNat>",
        );
    let host = regex_lite::Regex::new(r"<DNSName>([^.<]+)\.([a-z0-9-]+)\.elb\.amazonaws\.com</DNSName>");
    let answer = host.expect("a pattern").replace_all(&answer, "<DNSName>$1.elb.$2.amazonaws.com</DNSName>");
    without_policies(&answer)
}

/// Listeners that are not of TLS have no security policy.
fn without_policies(answer: &str) -> String {
    let begin = "<ListenerArn>";
    let mut parts = answer.split(begin);
    let mut told = parts.next().unwrap_or_default().to_owned();
    for listener in parts {
        told.push_str(begin);
        let has_tls = listener.contains("<Protocol>TLS</Protocol>");
        let policy = listener.find("<SslPolicy>").zip(listener.find("</SslPolicy>"));
        match policy {
            Some((from, to)) if !has_tls => {
                told.push_str(&listener[..from]);
                told.push_str(&listener[to + "</SslPolicy>".len()..]);
            }
            _ => told.push_str(listener),
        }
    }
    told
}

/// What EC2 says to a dry run of what is permitted; emulators do not know every request.
fn dry_run() -> Response<Body> {
    let body = "<Response><Errors><Error><Code>DryRunOperation</Code><Message>Request would have succeeded, but DryRun \
                flag is set.</Message></Error></Errors><RequestID>by-the-proxy</RequestID></Response>";
    Response::builder().status(StatusCode::PRECONDITION_FAILED).body(Body::from(body)).expect("a response")
}

fn refusal(code: &str, message: &str) -> Response<Body> {
    let body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
         <RequestId>by-the-proxy</RequestId></ErrorResponse>"
    );
    Response::builder().status(StatusCode::BAD_REQUEST).body(Body::from(body)).expect("a response")
}

type Answered = (StatusCode, HeaderMap, Bytes);

async fn forward(
    emulator: &str,
    method: axum::http::Method,
    path: &str,
    headers: &HeaderMap,
    body: String,
) -> Result<Answered, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(emulator).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = axum::http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        if name != header::CONTENT_LENGTH {
            request = request.header(name, value);
        }
    }
    let request = request.header(header::CONTENT_LENGTH, body.len()).body(Full::new(Bytes::from(body)))?;
    let response = sender.send_request(request).await?;
    let (parts, body) = response.into_parts();
    Ok((parts.status, parts.headers, body.collect().await?.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_one_are_let_through_and_others_refused() {
        for (action, body, refused) in [
            ("AddTags", "ResourceArns.member.1=a&Tags.member.1.Key=k", false),
            ("AddTags", "ResourceArns.member.1=a&ResourceArns.member.2=b", true),
            ("RemoveTags", "TagKeys.member.1=k", true),
            ("AddListenerCertificates", "Certificates.member.1.CertificateArn=a", false),
            (
                "RemoveListenerCertificates",
                "Certificates.member.1.CertificateArn=a&Certificates.member.2.CertificateArn=b",
                true,
            ),
            (
                "DescribeTags",
                "ResourceArns.member.1=a%3Ab%3Ac%3Ad%3Ae%3Atargetgroup%2Fx&ResourceArns.member.2=a%3Ab%3Ac%3Ad%3Ae%3Aloadbalancer%2Fx",
                true,
            ),
        ] {
            assert_eq!(problem(action, body).is_some(), refused, "{action} {body}");
        }
    }

    #[test]
    fn answers_are_aws_own() {
        let told = to_caller(
            "<ListenerArn>arn:listener/app/web/1</ListenerArn><Protocol>TCP</Protocol><SslPolicy>P</SslPolicy>\
             <ListenerArn>arn:listener/app/web/2</ListenerArn><Protocol>TLS</Protocol><SslPolicy>P</SslPolicy>\
             <DNSName>web-1.us-east-1.elb.amazonaws.com</DNSName><LoadBalancerArn>arn:loadbalancer/app/web/1</LoadBalancerArn>\
             <EnablePrefixForIpv6SourceNat/>",
        );
        assert_eq!(
            told,
            "<ListenerArn>arn:listener/net/web/1</ListenerArn><Protocol>TCP</Protocol>\
             <ListenerArn>arn:listener/net/web/2</ListenerArn><Protocol>TLS</Protocol><SslPolicy>P</SslPolicy>\
             <DNSName>web-1.elb.us-east-1.amazonaws.com</DNSName><LoadBalancerArn>arn:loadbalancer/net/web/1</LoadBalancerArn>\
             <EnablePrefixForIpv6SourceNat>off</EnablePrefixForIpv6SourceNat>"
        );
    }
}
