//! Where an AWS endpoint for tests answers, and how it is reached.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ec2::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use provider_aws::client::Sdk;

/// How long an endpoint may take to its first answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// The variable that names an endpoint which runs already.
pub const ENDPOINT_URL: &str = "AWS_ENDPOINT_URL";

/// Regions that emulators know. Each test takes the next, so that tests do not see each other's load
/// balancers.
const REGIONS: [&str; 12] = [
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "eu-central-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-southeast-1",
    "ap-southeast-2",
];

/// An endpoint, and a region of it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Where it answers.
    pub url: String,
    /// The region.
    pub region: String,
    config: SdkConfig,
    pub(super) ec2: aws_sdk_ec2::Client,
    pub(super) elbv2: aws_sdk_elasticloadbalancingv2::Client,
}

impl Endpoint {
    /// The endpoint of this process, in the region whose turn it is.
    ///
    /// # Panics
    /// When none can be started: there is no test without it. The message says what `localstack/up` said.
    pub async fn start() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        Endpoint::start_in(REGIONS[NEXT.fetch_add(1, Ordering::Relaxed) % REGIONS.len()]).await
    }

    /// The endpoint of this process, in a region of the test's choice: they differ in the number of their zones.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn start_in(region: &str) -> Self {
        let url = tokio::task::spawn_blocking(url).await.expect("an endpoint is found or started");
        Endpoint::at(url, region).await
    }

    /// An endpoint that runs already.
    pub async fn at(url: impl Into<String>, region: &str) -> Self {
        let url = url.into();
        let [(_, key_id), (_, secret)] = CREDENTIALS;
        let credentials = Credentials::builder()
            .access_key_id(key_id)
            .secret_access_key(secret)
            .provider_name("dummies for an emulator")
            .build();
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .endpoint_url(&url)
            .region(Region::new(region.to_owned()))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .load()
            .await;
        Endpoint {
            url,
            region: region.to_owned(),
            ec2: aws_sdk_ec2::Client::new(&config),
            elbv2: aws_sdk_elasticloadbalancingv2::Client::new(&config),
            config,
        }
    }

    /// Whether it answers as AWS does; what is wrong, in a few words.
    ///
    /// # Errors
    /// When it does not.
    pub async fn answers(&self) -> Result<(), String> {
        match tokio::time::timeout(ANSWER_TIMEOUT, self.ec2.describe_vpcs().send()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                // The SDK wraps the cause in layers that say only that there is one.
                let mut cause: &dyn Error = &error;
                while let Some(deeper) = cause.source() {
                    cause = deeper;
                }
                Err(format!("nothing answers there as AWS does ({cause})"))
            }
            Err(_) => Err(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())),
        }
    }

    /// The provider's own clients of this endpoint.
    ///
    /// # Panics
    /// Never: the region is there.
    pub fn sdk(&self) -> Sdk {
        Sdk::from_config(&self.config).expect("the region is given")
    }

    /// What the environment of another process must have to use this endpoint.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            (ENDPOINT_URL, self.url.clone()),
            ("AWS_REGION", self.region.clone()),
            // What a test finds out must not depend on the machine it runs on.
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ];
        variables.extend(CREDENTIALS.map(|(name, value)| (name, value.to_owned())));
        variables
    }
}

/// What emulators take for an account.
const CREDENTIALS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];

/// The endpoint of this process.
fn url() -> String {
    static STARTED: OnceLock<Started> = OnceLock::new();
    match std::env::var(ENDPOINT_URL) {
        Ok(url) if !url.is_empty() => url,
        _ => STARTED.get_or_init(Started::new).url.clone(),
    }
}

/// An endpoint that lives as long as this process: its input is a pipe of which this is the only other end.
struct Started {
    url: String,
    _alive: ChildStdin,
}

impl Started {
    fn new() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../localstack/up");
        // A port of its own, so that suites can run side by side.
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let mut up = Command::new(&script)
            .arg("--until-eof")
            .env("LOCALSTACK_PORT", port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", script.display()));
        let (alive, said) = (up.stdin.take(), up.stdout.take());
        let mut url = String::new();
        BufReader::new(said.expect("its output is a pipe")).read_line(&mut url).expect("its output is text");
        let ended = up.wait().expect("it ends");
        assert!(ended.success(), "{} failed; what it said is above", script.display());
        Started { url: url.trim().to_owned(), _alive: alive.expect("its input is a pipe") }
    }
}
