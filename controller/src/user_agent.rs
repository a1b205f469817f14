//! Who a program is to the API server: the `User-Agent` of its requests and the field manager of its writes.
//!
//! An audit log shows the one, `metadata.managedFields` of what was written the other. Without them the API server
//! calls the writer `unknown`.

use std::env::consts::{ARCH, OS};
use std::sync::Arc;

use cloud_provider::{Mistake, Mistakes};
use http::header::{HeaderValue, USER_AGENT};
use http::{Method, Request, Uri};
use kube::client::Body;
use tower::service_fn;

/// The component that the service controller calls itself, as Kubernetes' own does.
pub const SERVICE_CONTROLLER: &str = "service-controller";
/// The component that a candidate for a Lease calls itself, as Kubernetes' own does.
pub const LEADER_ELECTION: &str = "leader-election";

/// The API server takes no longer name of a field manager.
const MAX_NAME_CHARS: usize = 128;
/// Where nobody knows.
const UNKNOWN: &str = "unknown";

/// What a program calls itself to the API server.
///
/// Its requests carry the user agent `PROGRAM/VERSION (OS/ARCH) COMPONENT`, the last two as Go and client-go have
/// them: `cloud-lb-controller/0.1.0 (linux/amd64) leader-election`. Its writes carry the field manager `PROGRAM`.
///
/// The default is the name of the executable, in the version `unknown`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserAgent {
    program: String,
    version: String,
}

/// A name or a version that no user agent can have: every mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidUserAgent(pub Mistakes);

impl UserAgent {
    /// This program in this version.
    ///
    /// # Errors
    /// When one of them is empty, longer than 128 characters, or has others than letters, digits and `-._~+`.
    pub fn new(program: impl Into<String>, version: impl Into<String>) -> Result<Self, InvalidUserAgent> {
        let agent = UserAgent { program: program.into(), version: version.into() };
        let given = [("program", &agent.program), ("version", &agent.version)];
        let mistakes = given.into_iter().filter_map(|(field, value)| mistake(field, value)).collect();
        Mistakes::new(mistakes).map_or(Ok(agent), |mistakes| Err(InvalidUserAgent(mistakes)))
    }

    /// The name of the program, which is also its field manager.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// A client that is `client` for this program, whose requests also name this component of it: a word such as
    /// [`SERVICE_CONTROLLER`]. What does not belong in a word becomes a dash.
    ///
    /// A user agent or a field manager that a request has already stays as it is.
    ///
    /// # Caveats
    /// A `User-Agent` among the [headers](kube::Config::headers) that `client` was made with is sent besides.
    ///
    /// # Panics
    /// Outside of a tokio runtime, as every client of kube.
    pub fn client(&self, client: &kube::Client, component: &str) -> kube::Client {
        let header = self.header(component);
        let manager: Arc<str> = self.program.as_str().into();
        let inner = client.clone();
        let service = service_fn(move |mut request: Request<Body>| {
            request.headers_mut().entry(USER_AGENT).or_insert_with(|| header.clone());
            if let Some(managed) = managed(request.method(), request.uri(), &manager) {
                *request.uri_mut() = managed;
            }
            let inner = inner.clone();
            async move { inner.send(request).await }
        });
        kube::Client::new(service, client.default_namespace()).with_valid_until(*client.valid_until())
    }

    fn header(&self, component: &str) -> HeaderValue {
        let UserAgent { program, version } = self;
        let text = format!("{program}/{version} ({}/{}) {}", go_os(OS), go_arch(ARCH), word(component));
        // All of it is letters, digits and punctuation, of which every header may be made.
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(UNKNOWN))
    }
}

impl Default for UserAgent {
    fn default() -> Self {
        let executable = std::env::args_os().next().unwrap_or_default();
        let name = std::path::Path::new(&executable).file_name().unwrap_or_default().to_string_lossy();
        let program = match word(&name) {
            name if name.is_empty() => UNKNOWN.to_owned(),
            name => name,
        };
        UserAgent { program, version: UNKNOWN.to_owned() }
    }
}

/// What a header and a query may have without any encoding.
fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._~".contains(character)
}

fn mistake(field: &str, value: &str) -> Option<Mistake> {
    let of = |problem| Some(Mistake::new(format!("user agent's {field}"), value, problem).allowing(ALLOWED));
    match value {
        "" => of("is empty"),
        long if long.len() > MAX_NAME_CHARS => of("is too long"),
        strange if !strange.chars().all(|c| is_plain(c) || c == '+') => {
            of("has characters that it may not have")
        }
        _ => None,
    }
}

const ALLOWED: &str = "1 to 128 letters, digits and -._~+";

fn word(text: &str) -> String {
    text.chars().take(MAX_NAME_CHARS).map(|c| if is_plain(c) { c } else { '-' }).collect()
}

/// Where a write without a field manager goes so that it has this one; none for what needs none.
fn managed(method: &Method, uri: &Uri, manager: &str) -> Option<Uri> {
    if ![Method::POST, Method::PUT, Method::PATCH].contains(method) {
        return None;
    }
    let query = uri.query().unwrap_or_default();
    if query.split('&').any(|pair| pair.starts_with("fieldManager=")) {
        return None;
    }
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mine = format!("fieldManager={}", manager.replace('+', "%2B"));
    let query = pairs.chain([mine.as_str()]).collect::<Vec<_>>().join("&");
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{}?{query}", uri.path()).try_into().ok()?);
    Uri::from_parts(parts).ok()
}

/// An operating system in Go's words.
fn go_os(os: &str) -> &str {
    match os {
        "macos" => "darwin",
        os => os,
    }
}

/// An architecture in Go's words.
fn go_arch(arch: &str) -> &str {
    match arch {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "loongarch64" => "loong64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "powerpc64" => "ppc64",
        arch => arch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(method: Method, uri: &str) -> String {
        let uri: Uri = uri.parse().unwrap();
        managed(&method, &uri, "a+b").unwrap_or(uri).to_string()
    }

    #[test]
    fn it_names_the_program_the_platform_in_gos_words_and_the_component() {
        let agent = UserAgent::new("my-program", "1.2.3-rc.1+5").unwrap();
        let header = agent.header("leader election");
        let platform = format!("{}/{}", go_os(OS), go_arch(ARCH));
        assert_eq!(header, format!("my-program/1.2.3-rc.1+5 ({platform}) leader-election"));
        assert_eq!([go_os("macos"), go_os("linux")], ["darwin", "linux"]);
        assert_eq!(["x86_64", "aarch64", "s390x"].map(go_arch), ["amd64", "arm64", "s390x"]);
    }

    #[test]
    fn a_write_has_a_field_manager_and_a_read_has_none() {
        assert_eq!(target(Method::PATCH, "/api/v1/x?"), "/api/v1/x?fieldManager=a%2Bb");
        assert_eq!(target(Method::PUT, "/api/v1/x?dryRun=All"), "/api/v1/x?dryRun=All&fieldManager=a%2Bb");
        assert_eq!(target(Method::POST, "/api/v1/x"), "/api/v1/x?fieldManager=a%2Bb");
        for untouched in [Method::GET, Method::DELETE] {
            assert_eq!(target(untouched, "/api/v1/x?watch=1"), "/api/v1/x?watch=1");
        }
    }

    #[test]
    fn a_field_manager_that_is_there_stays() {
        let applied = "/api/v1/x?force=true&fieldManager=other";
        assert_eq!(target(Method::PATCH, applied), applied);
    }

    #[test]
    fn what_no_user_agent_can_have_is_refused_with_every_mistake() {
        let refused = UserAgent::new("my program", "").unwrap_err().to_string();
        for said in ["program: \"my program\"", "version", "is empty", ALLOWED] {
            assert!(refused.contains(said), "{said}: {refused}");
        }
        assert!(UserAgent::new("a".repeat(129), "1").is_err());
        assert!(UserAgent::new("a".repeat(128), "1").is_ok());
    }

    #[test]
    fn by_default_it_is_the_executable_in_an_unknown_version() {
        let agent = UserAgent::default();
        assert!(agent.program.starts_with("service_controller-"), "{agent:?}");
        assert_eq!(agent.version, "unknown");
        assert_eq!(UserAgent::new(agent.program.clone(), agent.version.clone()), Ok(agent));
    }
}
