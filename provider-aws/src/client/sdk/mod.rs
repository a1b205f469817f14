//! AWS itself, through the AWS SDK for Rust.
//!
//! Region and credentials come from aws-config's default chain: environment variables, the shared config and
//! credentials files with their profiles (static keys, assumed roles and `credential_process`), web identity
//! tokens (IAM roles for service accounts), container credentials (EKS Pod Identity) and the instance metadata
//! service. IAM Identity Center (SSO) profiles are not among them: the SDK's support for them is left out of
//! this build. `AWS_ENDPOINT_URL`, and its forms for one service, are honoured, and so are the variables that name a
//! proxy.

mod dry_run;
mod ec2;
mod ec2_data;
mod elbv2;
mod elbv2_data;
mod failure;
mod http;
mod identity;
mod metadata;

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use aws_config::{AppName, BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_ec2::config::SharedCredentialsProvider;

pub use dry_run::{ReadByAws, Trial, TrialOutcome};
pub use identity::{Identity, NoIdentity};
pub use metadata::InstanceMetadata;

/// The clients of both services.
#[derive(Clone, Debug)]
pub struct Sdk {
    elbv2: aws_sdk_elasticloadbalancingv2::Client,
    ec2: aws_sdk_ec2::Client,
    credentials: Option<SharedCredentialsProvider>,
    /// The profile that the environment asks for.
    profile: Option<String>,
    /// Whether there have been credentials. Where there were some, there will be some again.
    had_credentials: Arc<AtomicBool>,
    region: String,
}

/// How to reach AWS; the defaults suit a controller in the cluster it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SdkOptions {
    /// The region; none takes it from the environment, the profile or the instance metadata service.
    pub region: Option<String>,
    /// Told to AWS in the user agent: letters, digits and ``!#$%&'*+-.^_`|~``.
    pub app_name: String,
    /// How long a request may take; 15 s.
    pub request_timeout: Duration,
}

impl Default for SdkOptions {
    fn default() -> Self {
        Self {
            region: None,
            app_name: "cloud-lb-controller".to_owned(),
            request_timeout: Duration::from_secs(15),
        }
    }
}

/// Why the clients could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The region is neither given nor to be found.
    #[error("no AWS region: set one by flag, AWS_REGION or a profile, or run on EC2")]
    NoRegion,
    /// The app name has characters that a user agent may not have.
    #[error("app name {0:?} may only have letters, digits and !#$%&'*+-.^_`|~")]
    BadAppName(String),
}

impl Sdk {
    /// Makes clients from the environment. Sends nothing to AWS but what finding the region takes;
    /// credentials are looked for with the first request.
    ///
    /// # Errors
    /// [`SetupError`].
    pub async fn from_environment(options: &SdkOptions) -> Result<Self, SetupError> {
        let app_name = AppName::new(options.app_name.clone())
            .map_err(|_| SetupError::BadAppName(options.app_name.clone()))?;
        let timeouts = TimeoutConfig::builder().operation_timeout(options.request_timeout).build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .app_name(app_name)
            .http_client(http::client())
            // `Pacing` repeats requests, where it knows what else waits.
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts);
        if let Some(region) = &options.region {
            loader = loader.region(Region::new(region.clone()));
        }
        let profile = std::env::var("AWS_PROFILE").ok().filter(|name| !name.is_empty());
        Ok(Self { profile, ..Self::from_config(&loader.load().await)? })
    }

    /// Makes clients with a configuration of the caller's, who has chosen credentials, endpoint, retries and
    /// timeouts.
    ///
    /// # Errors
    /// [`SetupError::NoRegion`].
    pub fn from_config(config: &SdkConfig) -> Result<Self, SetupError> {
        // A variable that is set to nothing is a region to the SDK, with which no request can be made.
        let region = config.region().filter(|region| !region.as_ref().is_empty());
        let region = region.ok_or(SetupError::NoRegion)?.to_string();
        Ok(Self {
            elbv2: aws_sdk_elasticloadbalancingv2::Client::new(config),
            ec2: aws_sdk_ec2::Client::new(config),
            credentials: config.credentials_provider(),
            profile: None,
            had_credentials: Arc::default(),
            region,
        })
    }

    /// The region in use.
    pub fn region(&self) -> &str {
        &self.region
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_sdk_repeats_nothing_by_itself() {
        let options = SdkOptions { region: Some("us-east-1".to_owned()), ..SdkOptions::default() };
        let sdk = Sdk::from_environment(&options).await.unwrap();
        let attempts = [sdk.elbv2.config().retry_config(), sdk.ec2.config().retry_config()]
            .map(|retry| retry.map(RetryConfig::max_attempts));
        assert_eq!(
            attempts,
            [Some(1), Some(1)],
            "two that wait for each other's tokens wait many times as long"
        );
    }
}
