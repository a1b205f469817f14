//! Load balancers that another controller made for the same Service: recognised by tags and names, taken over where
//! the operator says so, refused or left alone else. Pure.
//!
//! | maker | recognised by |
//! |---|---|
//! | AWS Load Balancer Controller | the tags for cluster, Service and slot, which are ours as well, without our UID |
//! | cloud-provider-aws | its tag for the Service, and the name `aUID` |
//!
//! Two controllers for one Service would undo each other's work, so that nothing is taken over unless the operator
//! asks for it and the Service's status shows the load balancer's host name. What the AWS Load Balancer Controller
//! made has the very names that ours would have; it is said so before anything is written.
//!
//! Taking over begins with the request that puts our tags on the load balancer: before it everything is the other
//! controller's, after it everything is ours, whoever goes on. AWS tags one resource a request; what the load balancer
//! uses is found through it until it carries our tags as well.

use std::collections::BTreeSet;

use cloud_provider::{Error, Mistake, Ordered, ServiceView};

use crate::client::{LoadBalancer, Snapshot, Tagged, Tags};
use crate::config::AwsConfig;
use crate::naming::{
    CLOUD_PROVIDER_SERVICE_TAG, CLUSTER_TAG, LOAD_BALANCER_RESOURCE, Names, RESOURCE_TAG, STACK_TAG, UID_TAG,
};
use crate::options::Spec;
use crate::options::annotation::key;

/// Who made something for a Service before us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// The AWS Load Balancer Controller.
    AwsLoadBalancerController,
    /// cloud-provider-aws.
    CloudProviderAws,
}

impl Maker {
    fn name(self) -> &'static str {
        match self {
            Maker::AwsLoadBalancerController => "the AWS Load Balancer Controller",
            Maker::CloudProviderAws => "cloud-provider-aws",
        }
    }
}

/// Who made something with these tags for this very Service; none for what is ours or a stranger's.
pub fn maker(names: &Names<'_>, tags: &Tags) -> Option<Maker> {
    let is = |key: &str, value: &str| tags.get(key).is_some_and(|found| found == value);
    if tags.contains_key(UID_TAG) {
        None
    } else if is(CLUSTER_TAG, names.cluster()) && is(STACK_TAG, &names.stack()) {
        Some(Maker::AwsLoadBalancerController)
    } else if is(CLOUD_PROVIDER_SERVICE_TAG, &names.stack()) {
        Some(Maker::CloudProviderAws)
    } else {
        None
    }
}

/// Who made this load balancer for this very Service.
fn load_balancer_maker(names: &Names<'_>, lb: &Tagged<LoadBalancer>) -> Option<Maker> {
    maker(names, &lb.tags).filter(|maker| match maker {
        Maker::AwsLoadBalancerController => {
            lb.tags.get(RESOURCE_TAG).is_some_and(|resource| resource == LOAD_BALANCER_RESOURCE)
        }
        Maker::CloudProviderAws => lb.resource.name == names.cloud_provider_load_balancer(),
    })
}

/// What is to be taken over for a Service that has no load balancer of ours, of what is tagged for it.
///
/// # Errors
/// One that names the load balancer when it stands in the way of ours and may not be taken over: denied, until the
/// operator allows it or it has gone; a mistake, where the Service asks for another scheme.
pub fn choose(
    service: &ServiceView,
    spec: &Spec,
    config: &AwsConfig,
    mut tagged: Snapshot,
) -> Result<Snapshot, Error> {
    let names = Names::new(&config.cluster, &service.id);
    let published = hostnames(service);
    let mut chosen = None;
    for (arn, lb) in &tagged.load_balancers {
        let Some(maker) = load_balancer_maker(&names, lb) else { continue };
        let is_shown = published.contains(&lb.resource.dns_name.to_lowercase());
        if config.adopt && is_shown {
            let wanted = spec.load_balancer.scheme.unwrap_or(lb.resource.scheme);
            if wanted != lb.resource.scheme {
                return Err(other_scheme(lb, maker, wanted.as_str()).into());
            }
            chosen.get_or_insert_with(|| arn.clone());
        } else if maker == Maker::AwsLoadBalancerController {
            return Err(not_to_be_taken_over(lb, maker, config.adopt));
        }
    }
    let Some(arn) = chosen else { return Ok(Snapshot::default()) };
    tagged.load_balancers.retain(|other, _| *other == arn);
    keep_attached(&names, &mut tagged);
    Ok(tagged)
}

/// Leaves only target groups that another controller made for this Service and that its load balancers use.
pub fn keep_attached(names: &Names<'_>, found: &mut Snapshot) {
    let load_balancers = &found.load_balancers;
    found.target_groups.retain(|_, tg| {
        tg.resource.load_balancer_arns.iter().any(|arn| load_balancers.contains_key(arn))
            && maker(names, &tg.tags).is_some()
    });
}

fn not_to_be_taken_over(lb: &Tagged<LoadBalancer>, maker: Maker, adopts: bool) -> Error {
    let lb = &lb.resource;
    let what_helps = match adopts {
        true => "it is taken over once the Service's status shows its host name",
        false => "adoption, which the operator enables, takes it over",
    };
    let message = format!(
        "the load balancer {} ({}, {}) is {}'s, who made it for this Service and whose names ours would have; {what_helps}; \
         until then it is left alone and nothing is made",
        lb.name,
        lb.arn,
        lb.dns_name,
        maker.name()
    );
    Error::denied(message)
}

fn other_scheme(lb: &Tagged<LoadBalancer>, maker: Maker, wanted: &str) -> Mistake {
    let lb = &lb.resource;
    let problem = format!(
        "is not the scheme of {} ({}), which {} made and which is to be taken over",
        lb.name,
        lb.arn,
        maker.name()
    );
    Mistake::in_annotation(key::SCHEME, wanted, problem)
        .allowing(format!("{} until it has been taken over, then another one", lb.scheme))
        .meanwhile("that one is left alone and nothing is made")
}

/// The host names that the Service's status shows.
pub(crate) fn hostnames(service: &ServiceView) -> BTreeSet<String> {
    service.published.iter().filter_map(|entry| entry.hostname.as_ref()).map(|h| h.to_lowercase()).ordered()
}
