//! Whose credentials these are, as far as they tell without another request.

use std::fmt;

use aws_credential_types::{Credentials, credential_feature::AwsCredentialFeature};
use aws_sdk_ec2::config::ProvideCredentials;

use super::Sdk;

/// Where credentials come from; never the credentials themselves. It is told, never taken, and whoever tries out what is
/// told to a user makes one: so it stays exhaustive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The last link of the chain that made them, in words: `environment variables`, `a web identity token`, ...
    pub source: &'static str,
    /// The profile of the shared files that names the source, where one does.
    pub profile: Option<String>,
    /// The account, where the source tells it.
    pub account: Option<String>,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.source)?;
        if let Some(profile) = &self.profile {
            write!(f, " of profile {profile:?}")?;
        }
        match &self.account {
            Some(account) => write!(f, " (account {account})"),
            None => Ok(()),
        }
    }
}

/// Why there are no credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are no usable AWS credentials: {0}")]
pub struct NoIdentity(String);

impl Sdk {
    /// Looks for credentials as the first request would. Whether AWS accepts them is for AWS to say.
    ///
    /// # Errors
    /// [`NoIdentity`]: no source has any, or the one that should failed.
    pub async fn identity(&self) -> Result<Identity, NoIdentity> {
        let none = || NoIdentity("no source is configured".to_owned());
        let source = self.credentials.as_ref().ok_or_else(none)?;
        match source.provide_credentials().await {
            Ok(credentials) => Ok(identity(&credentials, self.profile.as_deref())),
            Err(error) => Err(NoIdentity(match &self.profile {
                Some(profile) => {
                    format!("AWS_PROFILE is {profile:?}: {}", super::failure::causes(&error))
                }
                None => super::failure::causes(&error),
            })),
        }
    }
}

/// Who makes these; `profile` is the one that the environment asks for.
fn identity(credentials: &Credentials, profile: Option<&str>) -> Identity {
    use AwsCredentialFeature as From;
    let account = credentials.account_id().map(|id| id.as_str().to_owned());
    // Each link of the chain adds its name: the last is the one that made what is used.
    let links = credentials.get_property::<Vec<From>>().map(Vec::as_slice).unwrap_or_default();
    let source = match links.iter().rfind(|link| **link != From::ResolvedAccountId) {
        Some(From::CredentialsEnvVars) => "environment variables",
        Some(From::CredentialsEnvVarsStsWebIdToken | From::CredentialsProfileStsWebIdToken) => {
            "a web identity token"
        }
        Some(From::CredentialsStsAssumeRole) => "an assumed role",
        Some(From::CredentialsStsAssumeRoleWebId) => "a web identity token",
        Some(From::CredentialsProfile) => "the shared files",
        Some(From::CredentialsProcess | From::CredentialsProfileProcess) => "a credential process",
        Some(From::CredentialsHttp) => "the container's credential service",
        Some(From::CredentialsImds) => "the instance's role",
        _ => "a source without a name",
    };
    let is_of_a_profile = |link: &From| {
        matches!(
            link,
            From::CredentialsProfile
                | From::CredentialsProfileProcess
                | From::CredentialsProfileSourceProfile
                | From::CredentialsProfileNamedProvider
                | From::CredentialsProfileStsWebIdToken
                | From::CredentialsProfileSso
        )
    };
    let profile = links.iter().any(is_of_a_profile).then(|| profile.unwrap_or("default").to_owned());
    Identity { source, profile, account }
}

#[cfg(test)]
mod tests {
    use aws_config::{BehaviorVersion, Region, SdkConfig};
    use aws_sdk_ec2::config::SharedCredentialsProvider;

    use super::*;

    fn sdk(credentials: Option<Credentials>) -> Sdk {
        let mut config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .region(Region::new("us-east-1"));
        let credentials = credentials.map(SharedCredentialsProvider::new);
        config.set_credentials_provider(credentials);
        Sdk::from_config(&config.build()).unwrap()
    }

    fn credentials(links: &[AwsCredentialFeature]) -> Credentials {
        let mut credentials = Credentials::builder()
            .access_key_id("AKIDEXAMPLE")
            .secret_access_key("not to be shown")
            .provider_name("test")
            .account_id("123456789012")
            .build();
        credentials.set_property(links.to_vec());
        credentials
    }

    #[tokio::test]
    async fn the_last_link_of_the_chain_is_named_and_no_secret_is() {
        use AwsCredentialFeature as From;
        for (links, says) in [
            (&[From::CredentialsEnvVars][..], "environment variables (account 123456789012)"),
            (
                &[From::CredentialsProfile, From::CredentialsStsAssumeRole, From::ResolvedAccountId],
                "an assumed role of profile \"default\" (account 123456789012)",
            ),
            (&[From::CredentialsProfile], "the shared files of profile \"default\" (account 123456789012)"),
            (&[From::CredentialsImds], "the instance's role (account 123456789012)"),
            (&[], "a source without a name (account 123456789012)"),
        ] {
            let identity = sdk(Some(credentials(links))).identity().await.unwrap();
            assert_eq!(identity.to_string(), says);
        }
    }

    #[test]
    fn the_profile_is_named_that_the_environment_asks_for_where_it_made_them() {
        use AwsCredentialFeature as From;
        let of = |link| identity(&credentials(&[link]), Some("work")).profile;
        assert_eq!(of(From::CredentialsProfileProcess).as_deref(), Some("work"));
        assert_eq!(of(From::CredentialsEnvVars), None);
    }

    #[tokio::test]
    async fn without_a_source_there_is_no_identity() {
        let error = sdk(None).identity().await.unwrap_err();
        assert_eq!(error.to_string(), "there are no usable AWS credentials: no source is configured");
    }
}
