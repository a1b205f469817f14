//! `plan`: what would change, resource by resource, and why. Never writes.

use std::io::{IsTerminal, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use apiserver_client::{Lean, Watches};
use clap::Args;
use cloud_provider::kubernetes::{node_view, service_view};
use cloud_provider::{
    CloudLoadBalancer, FamilyPolicy, IpFamily, NodeSet, Plan, Request, ServiceKey, ServiceView, Verb,
};
use k8s_openapi::api::core::v1::{Node, Service};
use kube::api::{Api, ListParams};
use serde_json::json;

use super::output::Output;
use crate::error::{CliError, EXIT_CODE_DONE, EXIT_CODE_FOUND};
use crate::flags::RunFlags;
use crate::{connection, providers};

/// What to plan for.
#[derive(Args, Clone, Debug)]
pub(super) struct PlanFlags {
    /// A Service of the cluster
    #[arg(value_name = "NAMESPACE/NAME", conflicts_with_all = ["file", "all"])]
    service: Option<String>,

    /// Services in a manifest, whether the cluster has them or not; - reads standard input
    #[arg(short, long = "filename", value_name = "FILE", id = "file", conflicts_with = "all")]
    file: Option<PathBuf>,

    /// Every Service of type LoadBalancer of the cluster
    #[arg(long)]
    all: bool,

    /// The namespace of what names none; with --all, the only one
    #[arg(short, long)]
    namespace: Option<String>,

    /// For people or for machines
    #[arg(short, long, default_value = "text")]
    output: Output,

    #[command(flatten)]
    pub run: RunFlags,
}

/// What came of one Service.
struct ServicePlan {
    service: ServiceKey,
    provider: Option<String>,
    result: Result<Plan, String>,
}

/// Prints what would change. The exit code: 0 nothing, 2 something.
///
/// # Errors
/// When the cluster or a provider cannot be asked.
pub(super) async fn run(flags: PlanFlags) -> Result<u8, CliError> {
    if flags.service.is_none() && flags.file.is_none() && !flags.all {
        let message =
            "what is to be planned? Give NAMESPACE/NAME, or -f FILE, or --all, which -n NAMESPACE narrows";
        return Err(CliError::Usage(message.into()));
    }
    let namespace = flags.namespace.as_deref();
    let client = connection::client(&flags.run.cluster, "plan").await?;
    let providers =
        providers::build(&flags.run.chosen_providers()?, &client, &Watches::new(client.clone())).await?;
    let api = |doing: &str, source| CliError::Api { doing: doing.into(), source: Box::new(source) };
    let listed = Api::<Lean<Service>>::all(client.clone())
        .list(&ListParams::default())
        .await
        .map_err(|e| api("listing Services", e))?;
    let existing: Vec<Arc<ServiceView>> =
        listed.items.iter().map(|s| Arc::new(service_view(&s.0))).filter(|v| v.wants_load_balancer).collect();
    for provider in &providers {
        let failed = |e| CliError::Provider { provider: provider.name().into(), source: Box::new(e) };
        provider.resume(&existing).await.map_err(failed)?;
    }
    let wanted = match (&flags.service, &flags.file) {
        (Some(name), _) => vec![find(name, namespace, &existing)?],
        (None, Some(file)) => from_file(file, namespace, &existing)?,
        (None, None) => {
            let is_there =
                |view: &&Arc<ServiceView>| namespace.is_none_or(|it| *view.id.key.namespace == *it);
            existing.iter().filter(is_there).cloned().collect()
        }
    };
    let all_nodes = Api::<Lean<Node>>::all(client)
        .list(&ListParams::default())
        .await
        .map_err(|e| api("listing Nodes", e))?;
    let nodes = NodeSet::of(all_nodes.items.iter().map(|node| node_view(&node.0)));
    let mut planned = Vec::new();
    for view in wanted {
        planned.push(plan(view, &nodes, &providers).await);
    }
    match flags.output {
        Output::Text => print_text(&planned, std::io::stdout().is_terminal()),
        Output::Json => println!("{:#}", json!(planned.iter().map(as_json).collect::<Vec<_>>())),
    }
    let something = planned.iter().any(|p| p.result.as_ref().map_or(true, |plan| !plan.is_empty()));
    Ok(if something { EXIT_CODE_FOUND } else { EXIT_CODE_DONE })
}

async fn plan(
    view: Arc<ServiceView>,
    nodes: &NodeSet,
    providers: &[Arc<dyn CloudLoadBalancer>],
) -> ServicePlan {
    let service = view.id.key.clone();
    let Some(provider) = providers.iter().find(|p| p.claims(&view)) else {
        return ServicePlan { service, provider: None, result: Ok(Plan::default()) };
    };
    let result = match Request::to(provider.as_ref(), view, nodes.clone()) {
        Ok(request) => provider.plan(&request).await.map_err(|error| error.to_string()),
        Err(mistakes) => Err(mistakes.to_string()),
    };
    ServicePlan { service, provider: Some(provider.name().to_owned()), result }
}

fn find(
    name: &str,
    namespace: Option<&str>,
    existing: &[Arc<ServiceView>],
) -> Result<Arc<ServiceView>, CliError> {
    let (namespace, name) = name.split_once('/').unwrap_or((namespace.unwrap_or("default"), name));
    let key = ServiceKey::new(namespace, name);
    existing
        .iter()
        .find(|view| view.id.key == key)
        .cloned()
        .ok_or_else(|| CliError::Usage(format!("there is no Service {key} of type LoadBalancer")))
}

/// The Services of a manifest; one that the cluster has too keeps its identity and what is allocated to it.
fn from_file(
    file: &Path,
    namespace: Option<&str>,
    existing: &[Arc<ServiceView>],
) -> Result<Vec<Arc<ServiceView>>, CliError> {
    let wrong = |reason: String| CliError::Usage(format!("-f {}: {reason}", file.display()));
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map_err(|e| wrong(e.to_string()))?;
    } else {
        text = std::fs::read_to_string(file).map_err(|e| wrong(e.to_string()))?;
    }
    let documents: Vec<serde_json::Value> =
        serde_saphyr::from_multiple(&text).map_err(|e| wrong(e.to_string()))?;
    let mut views = Vec::new();
    for document in documents.into_iter().filter(|d| d["kind"] == "Service") {
        let Lean::<Service>(mut service) =
            serde_json::from_value(document).map_err(|e| wrong(e.to_string()))?;
        service.metadata.namespace.get_or_insert_with(|| namespace.unwrap_or("default").into());
        let mut view = service_view(&service);
        if let Some(known) = existing.iter().find(|known| known.id.key == view.id.key) {
            view.id = known.id.clone();
            view.created = known.created;
            view.published = known.published.clone();
            if view.cluster_ips.is_empty() {
                view.cluster_ips = known.cluster_ips.clone();
                view.families = known.families.clone();
            }
            for port in view.ports.iter_mut().filter(|port| port.node_port.is_none()) {
                let same = known.ports.iter().find(|k| (k.protocol, k.port) == (port.protocol, port.port));
                port.node_port = same.and_then(|k| k.node_port);
            }
        }
        if view.cluster_ips.is_empty() {
            view.cluster_ips = yet_to_come(&mut view.families, view.family_policy);
        }
        views.push(Arc::new(view));
    }
    if views.is_empty() {
        return Err(wrong("there is no Service in it".into()));
    }
    Ok(views)
}

/// The API server gives a Service its families and cluster IPs when it is created. Stand-ins until then: the
/// families the manifest asks for, or else IPv4, which a default cluster gives.
fn yet_to_come(families: &mut Vec<IpFamily>, policy: FamilyPolicy) -> Vec<IpAddr> {
    if families.is_empty() {
        families.push(IpFamily::V4);
    }
    if policy == FamilyPolicy::RequireDualStack && families.len() == 1 {
        families.push(if families[0] == IpFamily::V4 { IpFamily::V6 } else { IpFamily::V4 });
    }
    let stand_in = |family: &IpFamily| match family {
        IpFamily::V4 => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpFamily::V6 => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    families.iter().map(stand_in).collect()
}

fn as_json(planned: &ServicePlan) -> serde_json::Value {
    let mut json = json!({ "service": planned.service, "provider": planned.provider });
    match &planned.result {
        Ok(plan) => {
            json["steps"] = json!(plan.steps);
            if let Some(mistakes) = &plan.mistakes {
                json["error"] = json!(mistakes.to_string());
            }
        }
        Err(error) => json["error"] = json!(error),
    }
    json
}

fn print_text(planned: &[ServicePlan], colour: bool) {
    for ServicePlan { service, provider, result } in planned {
        match (provider, result) {
            (None, _) => println!("{service}: nobody claims it"),
            (Some(provider), Ok(plan)) if plan.is_empty() => {
                println!("{service} ({provider}): nothing to do");
            }
            (Some(provider), Ok(plan)) => {
                println!("{service} ({provider}):");
                for step in &plan.steps {
                    let text = step.to_string().replace('\n', "\n  ");
                    if colour {
                        println!("  \x1b[{}m{text}\x1b[0m", colour_of(step.verb));
                    } else {
                        println!("  {text}");
                    }
                }
                if let Some(mistakes) = &plan.mistakes {
                    println!("  and no more, because of {mistakes}");
                }
            }
            (Some(provider), Err(error)) => println!("{service} ({provider}): {error}"),
        }
    }
}

fn colour_of(verb: Verb) -> u8 {
    match verb {
        Verb::Create => 32,
        Verb::Change => 33,
        Verb::Replace => 35,
        Verb::Delete => 31,
    }
}

#[cfg(test)]
mod tests {
    use cloud_provider::Mistake;
    use cloud_provider::testing::{MemoryCloud, Settings, a_service, nodes, request};

    use super::*;

    #[tokio::test]
    async fn a_service_with_a_mistake_is_planned_for_by_a_provider_that_serves_beside_it() {
        for serves_beside_mistakes in [false, true] {
            let cloud =
                MemoryCloud::with(Settings::with(|it| it.serves_beside_mistakes = serves_beside_mistakes));
            let provider = cloud.provider();
            provider.resume(&[]).await.unwrap();
            provider.ensure(&request(&a_service().build(), &nodes(1))).await.unwrap();
            let mistake = Mistake::new("spec.loadBalancerSourceRanges[0]", "everybody", "is no network");
            let mistaken = Arc::new(a_service().mistake(mistake).build());

            match plan(mistaken, &nodes(2), &[provider]).await.result {
                Ok(plan) => {
                    assert!(serves_beside_mistakes && plan.mistakes.is_some(), "{plan}");
                    assert_eq!(plan.steps.len(), 1, "the nodes: {plan}");
                }
                Err(refused) => {
                    assert!(!serves_beside_mistakes && refused.contains("everybody"), "{refused}");
                }
            }
        }
    }
}
