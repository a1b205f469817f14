//! Can the AWS provider work: credentials, region, permissions, cluster, VPC, subnets, nodes?

mod account;
mod network;
mod nodes;

use provider_aws::client::{Aws, Sdk};

use super::build::{self, ClusterHints};
use super::flags::AwsFlags;
use super::rights;
use crate::error::CliError;
use crate::finding::Finding;

/// What is wrong with AWS, or with our way to it.
pub(super) async fn look(client: &kube::Client, flags: &AwsFlags) -> Vec<Finding> {
    let sdk = match build::sdk(flags).await {
        Ok(sdk) => sdk,
        Err(error) => return vec![Finding::fail("region", error, "nothing else of AWS was checked")],
    };
    let mut findings = vec![Finding::ok("region", sdk.region())];
    let credentials = account::look(&sdk).await;
    findings.extend(credentials.findings);
    if !credentials.accepted {
        // Without them every other check would only say the same again.
        return findings;
    }
    let aws = build::paced(sdk.clone(), flags);
    let hints = match ClusterHints::read(flags, &aws, client).await {
        Ok(hints) => hints,
        Err(CliError::Provider { source, .. }) => {
            findings.push(Finding::fail("cluster-name", source, "allow ec2:DescribeInstances"));
            return findings;
        }
        Err(error) => {
            findings.push(Finding::blind(
                "cluster-name",
                error,
                "not checked, nor anything that depends on it",
            ));
            return findings;
        }
    };
    findings.extend(placed(client, flags, &sdk, &aws, &hints).await);
    findings
}

/// What depends on where the cluster is.
async fn placed(
    client: &kube::Client,
    flags: &AwsFlags,
    sdk: &Sdk,
    aws: &Aws,
    hints: &ClusterHints,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let cluster = match hints.cluster_name(flags) {
        Ok(cluster) => {
            findings.push(Finding::ok("cluster-name", cluster.to_string()));
            Some(cluster.value)
        }
        Err(error) => {
            findings.push(Finding::fail("cluster-name", error, "give --cluster-name NAME"));
            None
        }
    };
    let (vpc, said) = network::vpc(flags, aws, hints).await;
    findings.push(said);
    let Some(vpc) = vpc else { return findings };
    let cluster = cluster.as_deref();
    findings.extend(network::subnets(aws, &vpc, cluster, flags.aws_default_scheme).await);
    let (nodes, groups) = nodes::look(client, aws, &vpc, cluster).await;
    findings.extend(nodes);
    findings.extend(rights::look(sdk, aws, &vpc, cluster, &groups).await);
    findings
}
