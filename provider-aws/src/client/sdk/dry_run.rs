//! Dry runs: EC2 says whether it would, and does nothing.
//!
//! With `DryRun`, EC2 answers `DryRunOperation` where the request is permitted and `UnauthorizedOperation` where it is
//! not (*DryRun* in the EC2 API reference). Elastic Load Balancing has no such thing.

use aws_sdk_ec2::types as sdk;

use super::{super::Call, Sdk, ec2_data as data};
use crate::client::error::{ApiError, ErrorKind};
use crate::client::{IngressRule, RuleSource, Tags, Traffic};
use crate::naming::CLUSTER_TAG;

/// What EC2 may be asked about without doing it. A resource has to exist: permissions depend on its tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trial<'a> {
    /// Making a group with this cluster's tag in this VPC.
    CreateSecurityGroup {
        /// The VPC.
        vpc_id: &'a str,
        /// The cluster's name.
        cluster: &'a str,
    },
    /// Adding a rule to this group.
    AuthorizeSecurityGroupIngress(&'a str),
    /// Removing a rule from this group.
    RevokeSecurityGroupIngress(&'a str),
    /// Tagging this group.
    CreateTags(&'a str),
    /// Removing tags from this group.
    DeleteTags(&'a str),
    /// Deleting this group.
    DeleteSecurityGroup(&'a str),
    /// Reading what AWS reads in the caller's name when it makes a load balancer
    /// ([`CALLED_BY_AWS`](crate::client::CALLED_BY_AWS)), and nothing here does.
    ReadByAws(ReadByAws, &'a str),
}

/// What AWS reads in the caller's name; with the VPC it is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadByAws {
    /// `ec2:DescribeAccountAttributes`
    AccountAttributes,
    /// `ec2:DescribeAddresses`
    Addresses,
    /// `ec2:DescribeInternetGateways`
    InternetGateways,
    /// `ec2:GetSecurityGroupsForVpc`
    SecurityGroupsForVpc,
}

impl ReadByAws {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::AccountAttributes, Self::Addresses, Self::InternetGateways, Self::SecurityGroupsForVpc];

    const fn action(self) -> &'static str {
        match self {
            Self::AccountAttributes => "ec2:DescribeAccountAttributes",
            Self::Addresses => "ec2:DescribeAddresses",
            Self::InternetGateways => "ec2:DescribeInternetGateways",
            Self::SecurityGroupsForVpc => "ec2:GetSecurityGroupsForVpc",
        }
    }
}

/// What EC2 says of a [`Trial`]. Whoever judges one has something to say to each, so this stays exhaustive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrialOutcome {
    /// It would be done.
    Allowed,
    /// It would be refused, with AWS's words.
    Denied(String),
    /// EC2 did not say.
    Unknown(ApiError),
    /// The endpoint took no notice that it was a trial, and did it.
    Done,
}

impl Trial<'_> {
    /// The request it is about, or in whose course AWS does it.
    pub const fn call(&self) -> Call {
        match self {
            Self::CreateSecurityGroup { .. } => Call::CreateSecurityGroup,
            Self::AuthorizeSecurityGroupIngress(_) => Call::AuthorizeSecurityGroupIngress,
            Self::RevokeSecurityGroupIngress(_) => Call::RevokeSecurityGroupIngress,
            Self::CreateTags(_) => Call::CreateTags,
            Self::DeleteTags(_) => Call::DeleteTags,
            Self::DeleteSecurityGroup(_) => Call::DeleteSecurityGroup,
            Self::ReadByAws(..) => Call::CreateLoadBalancer,
        }
    }

    /// The IAM action it is about.
    pub const fn action(&self) -> &'static str {
        match self {
            Self::ReadByAws(what, _) => what.action(),
            other => other.call().action(),
        }
    }
}

/// The name of a group that is never made.
const NAME: &str = "cloud-lb-controller-trial";

impl Sdk {
    /// Asks EC2 whether it would do this.
    pub async fn dry_run(&self, trial: Trial<'_>) -> TrialOutcome {
        let call = trial.call();
        let rule = || {
            let source = RuleSource::Ipv4(ipnet::Ipv4Net::new_assert([192, 0, 2, 0].into(), 24));
            data::permission(&IngressRule {
                traffic: Traffic::Tcp { from: 1, to: 1 },
                source,
                description: None,
            })
        };
        let ec2 = &self.ec2;
        let result = match trial {
            Trial::CreateSecurityGroup { vpc_id, cluster } => {
                let tags = Tags::from([(CLUSTER_TAG.to_owned(), cluster.to_owned())]);
                let tags = sdk::TagSpecification::builder()
                    .resource_type(sdk::ResourceType::SecurityGroup)
                    .set_tags(Some(data::tags(&tags)))
                    .build();
                let request = ec2.create_security_group().group_name(NAME).description(NAME).vpc_id(vpc_id);
                self.send(call, request.tag_specifications(tags).dry_run(true).send()).await.map(drop)
            }
            Trial::AuthorizeSecurityGroupIngress(id) => {
                let request = ec2.authorize_security_group_ingress().group_id(id).ip_permissions(rule());
                self.send(call, request.dry_run(true).send()).await.map(drop)
            }
            Trial::RevokeSecurityGroupIngress(id) => {
                let request = ec2.revoke_security_group_ingress().group_id(id).ip_permissions(rule());
                self.send(call, request.dry_run(true).send()).await.map(drop)
            }
            Trial::CreateTags(id) => {
                let tag = sdk::Tag::builder().key(NAME).value("").build();
                self.send(call, ec2.create_tags().resources(id).tags(tag).dry_run(true).send())
                    .await
                    .map(drop)
            }
            Trial::DeleteTags(id) => {
                let tag = sdk::Tag::builder().key(NAME).build();
                self.send(call, ec2.delete_tags().resources(id).tags(tag).dry_run(true).send())
                    .await
                    .map(drop)
            }
            Trial::DeleteSecurityGroup(id) => {
                self.send(call, ec2.delete_security_group().group_id(id).dry_run(true).send()).await.map(drop)
            }
            Trial::ReadByAws(ReadByAws::AccountAttributes, _) => {
                self.send(call, ec2.describe_account_attributes().dry_run(true).send()).await.map(drop)
            }
            Trial::ReadByAws(ReadByAws::Addresses, _) => {
                self.send(call, ec2.describe_addresses().dry_run(true).send()).await.map(drop)
            }
            Trial::ReadByAws(ReadByAws::InternetGateways, _) => {
                self.send(call, ec2.describe_internet_gateways().dry_run(true).send()).await.map(drop)
            }
            Trial::ReadByAws(ReadByAws::SecurityGroupsForVpc, vpc_id) => {
                let request = ec2.get_security_groups_for_vpc().vpc_id(vpc_id);
                self.send(call, request.dry_run(true).send()).await.map(drop)
            }
        };
        match result {
            // An endpoint that takes no notice of the trial has read something: so it is permitted.
            Ok(()) if matches!(trial, Trial::ReadByAws(..)) => TrialOutcome::Allowed,
            Ok(()) => TrialOutcome::Done,
            Err(error) if error.is("DryRunOperation") => TrialOutcome::Allowed,
            Err(error) if error.kind == ErrorKind::Denied => TrialOutcome::Denied(error.message),
            Err(error) => TrialOutcome::Unknown(error),
        }
    }
}
