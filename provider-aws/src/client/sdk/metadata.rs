//! The instance this process runs on, as its metadata service tells.

use std::time::Duration;

use aws_config::{imds, provider_config::ProviderConfig};
use aws_smithy_http_client::Builder;
use tokio::time::timeout;

/// What the metadata service tells of the instance this process runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InstanceMetadata {
    /// Its id, `i-...`.
    pub instance_id: String,
    /// The VPC of its primary network interface.
    pub vpc_id: Option<String>,
}

/// How long all questions together may take: elsewhere than on EC2 nobody answers, and nobody says so either.
const METADATA_TIMEOUT: Duration = Duration::from_millis(1500);

/// Set to `true`, the metadata service is not asked, here as in every AWS SDK.
const DISABLED: &str = "AWS_EC2_METADATA_DISABLED";

impl InstanceMetadata {
    /// Asks the metadata service; none when there is none within reach in a second and a half: elsewhere than on EC2,
    /// from a pod with too low a hop limit, or when `AWS_EC2_METADATA_DISABLED` is `true`. The service's address is
    /// that of `AWS_EC2_METADATA_SERVICE_ENDPOINT` or of the profile, where they name one.
    pub async fn read() -> Option<Self> {
        if std::env::var(DISABLED).is_ok_and(|disabled| disabled.eq_ignore_ascii_case("true")) {
            return None;
        }
        Self::ask(imds::Client::builder()).await
    }

    async fn ask(service: imds::client::Builder) -> Option<Self> {
        // The service speaks plain HTTP.
        let config = ProviderConfig::without_region().with_http_client(Builder::new().build_http());
        let service = service.configure(&config).max_attempts(1).build();
        let read = async {
            let instance_id = String::from(service.get("/latest/meta-data/instance-id").await.ok()?);
            let vpc_id = async {
                let mac = service.get("/latest/meta-data/mac").await.ok()?;
                let path = format!("/latest/meta-data/network/interfaces/macs/{}/vpc-id", mac.as_ref());
                service.get(path).await.ok().map(String::from)
            };
            Some(Self { instance_id, vpc_id: vpc_id.await })
        };
        timeout(METADATA_TIMEOUT, read).await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// A metadata service that knows these paths and gives out a token, as version 2 of AWS's does.
    async fn service(known: &[(&'static str, &'static str)]) -> imds::client::Builder {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let known: BTreeMap<_, _> = known.iter().copied().collect();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; 16 * 1024];
                let read = stream.read(&mut request).await.unwrap_or_default();
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let mut words = request.split(' ');
                let answer = match (words.next(), words.next()) {
                    (Some("PUT"), Some("/latest/api/token")) => Some("token"),
                    (Some("GET"), Some(path)) => known.get(path).copied(),
                    _ => None,
                };
                let (status, body) = answer.map_or(("404 Not Found", ""), |body| ("200 OK", body));
                let reply = format!(
                    "HTTP/1.1 {status}\r\nx-aws-ec2-metadata-token-ttl-seconds: 60\r\ncontent-length: {}\r\n\
                     connection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(reply.as_bytes()).await;
            }
        });
        imds::Client::builder().endpoint(endpoint).expect("an address")
    }

    #[tokio::test]
    async fn an_instance_knows_its_id_and_its_vpc() {
        let service = service(&[
            ("/latest/meta-data/instance-id", "i-0a"),
            ("/latest/meta-data/mac", "0e:00"),
            ("/latest/meta-data/network/interfaces/macs/0e:00/vpc-id", "vpc-0a"),
        ]);
        let told = InstanceMetadata::ask(service.await).await;
        assert_eq!(
            told,
            Some(InstanceMetadata { instance_id: "i-0a".into(), vpc_id: Some("vpc-0a".into()) })
        );
    }

    #[tokio::test]
    async fn a_vpc_that_is_not_told_is_none() {
        let told = InstanceMetadata::ask(service(&[("/latest/meta-data/instance-id", "i-0a")]).await).await;
        assert_eq!(told, Some(InstanceMetadata { instance_id: "i-0a".into(), vpc_id: None }));
    }

    #[tokio::test]
    async fn where_there_is_no_service_there_is_no_metadata() {
        assert_eq!(InstanceMetadata::ask(service(&[]).await).await, None);
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", silent.local_addr().unwrap());
        let service = imds::Client::builder().endpoint(endpoint).expect("an address");
        assert_eq!(InstanceMetadata::ask(service).await, None);
    }
}
