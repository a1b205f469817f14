//! What of MetalLB stands beside us, and whether something of it stands in the way.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::{Api, ResourceExt};
use serde_json::Value;

use super::super::flags::BareFlags;
use crate::finding::Finding;
use crate::workload::workloads;

const SUBJECT: &str = "metallb";

/// The Secret by which MetalLB's speakers know each other. Its controller makes it, and the controller's Deployment owns it:
/// <https://github.com/metallb/metallb/blob/main/controller/main.go>.
const MEMBERLIST_SECRET: &str = "memberlist";

/// What of MetalLB is there.
#[derive(Debug, PartialEq, Eq)]
struct MetalLb {
    /// Where its speaker is.
    namespace: String,
    /// The class that its speaker announces; none: Services without a class.
    speaker_class: Option<String>,
    /// Whether its controller runs, which serves its webhooks.
    controller_runs: bool,
}

/// What is to be said where MetalLB's speaker runs; nothing where it does not.
pub(super) async fn look(client: &kube::Client, flags: &BareFlags) -> Vec<Finding> {
    let metallb = match find(client).await {
        Ok(Some(metallb)) => metallb,
        Ok(None) => return Vec::new(),
        Err(error) => return vec![Finding::unseen(SUBJECT, &error)],
    };
    let mut findings = vec![judge_class(&metallb, flags)];
    let webhooks = all(client, "admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration");
    let states = all(client, "metallb.io", "v1beta1", "ConfigurationState");
    let rules = all(client, "monitoring.coreos.com", "v1", "PrometheusRule");
    for (api, judge) in [
        (webhooks, judge_webhooks as fn(&[DynamicObject], &MetalLb) -> Vec<Finding>),
        (states, judge_states),
        (rules, judge_alerts),
    ] {
        match api.list(&ListParams::default()).await {
            Ok(list) => findings.extend(judge(&list.items, &metallb)),
            Err(error) => findings.extend(unless_absent(&error)),
        }
    }
    match of_kind(client, "", "v1", "Secret", &metallb.namespace).get_metadata_opt(MEMBERLIST_SECRET).await {
        Ok(secret) => findings.extend(secret.and_then(|secret| judge_secret(&secret.metadata, &metallb))),
        Err(error) => findings.extend(unless_absent(&error)),
    }
    let definitions = all(client, "apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    match definitions.get_opt("bgppeers.metallb.io").await {
        Ok(definition) => findings.extend(definition.and_then(|it| judge_conversion(&it, &metallb))),
        Err(error) => findings.extend(unless_absent(&error)),
    }
    findings
}

async fn find(client: &kube::Client) -> kube::Result<Option<MetalLb>> {
    let every = ListParams::default();
    let sets = workloads::<DaemonSet>(client).list(&every).await?;
    let Some(speaker) = sets.iter().find(|set| is_component(&set.metadata, "speaker")) else {
        return Ok(None);
    };
    let deployments = workloads::<Deployment>(client).list(&every).await?;
    let controller = deployments.iter().find(|deployment| is_component(&deployment.metadata, "controller"));
    let replicas = controller.map(|found| found.spec.replicas.unwrap_or(1));
    let words = speaker.spec.template.words();
    let class = words.filter_map(|word| word.strip_prefix("--lb-class=")).last();
    Ok(Some(MetalLb {
        namespace: speaker.namespace().unwrap_or_default(),
        speaker_class: class.filter(|class| !class.is_empty()).map(str::to_owned),
        controller_runs: replicas.is_some_and(|replicas| replicas > 0),
    }))
}

/// Whether it is this part of MetalLB, by the labels of its manifests or of its chart.
pub(super) fn is_component(metadata: &ObjectMeta, component: &str) -> bool {
    let has = |key: &str, value: &str| {
        metadata.labels.as_ref().and_then(|labels| labels.get(key)).is_some_and(|found| found == value)
    };
    has("app", "metallb") && has("component", component)
        || has("app.kubernetes.io/name", "metallb") && has("app.kubernetes.io/component", component)
}

fn kind(group: &str, version: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

fn all(client: &kube::Client, group: &str, version: &str, name: &str) -> Api<DynamicObject> {
    Api::all_with(client.clone(), &kind(group, version, name))
}

fn of_kind(
    client: &kube::Client,
    group: &str,
    version: &str,
    name: &str,
    within: &str,
) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), within, &kind(group, version, name))
}

/// A kind that is not installed has nothing to say.
fn unless_absent(error: &kube::Error) -> Option<Finding> {
    let absent = matches!(error, kube::Error::Api(status) if status.code == 404);
    (!absent).then(|| Finding::unseen(SUBJECT, error))
}

fn judge_class(metallb: &MetalLb, flags: &BareFlags) -> Finding {
    let class = metallb.speaker_class.as_deref();
    let announces = class.map_or("Services without a class".to_owned(), |class| format!("class {class:?}"));
    if flags.bare_class.matches(class) {
        return Finding::ok(SUBJECT, format!("its speaker announces {announces}, which we serve"));
    }
    Finding::warn(
        SUBJECT,
        format!("its speaker announces {announces}, which we do not serve: nobody can reach what we assign"),
        "give its --lb-class and our --bare-class the same class",
    )
}

fn judge_states(states: &[DynamicObject], _metallb: &MetalLb) -> Vec<Finding> {
    let status = |state: &DynamicObject, field: &str| {
        state.data.pointer(&format!("/status/{field}")).and_then(Value::as_str).map(str::to_owned)
    };
    let invalid = states.iter().filter(|state| status(state, "result").as_deref() == Some("Invalid"));
    invalid
        .map(|state| {
            let why = status(state, "errorSummary").unwrap_or_else(|| "it does not say why".to_owned());
            Finding::warn(
                SUBJECT,
                format!("{} takes no new configuration: {why}", state.name_any()),
                "correct what it names; until then it keeps to the last that was valid, and a restart forgets that",
            )
        })
        .collect()
}

fn judge_webhooks(configurations: &[DynamicObject], metallb: &MetalLb) -> Vec<Finding> {
    let asks_it = |configuration: &&DynamicObject| {
        let webhooks = configuration.data.get("webhooks").and_then(Value::as_array);
        webhooks.into_iter().flatten().any(|webhook| {
            let of_group = webhook.to_string().contains("metallb.io");
            let namespace = webhook.pointer("/clientConfig/service/namespace").and_then(Value::as_str);
            of_group && namespace == Some(&metallb.namespace)
        })
    };
    let asking = configurations.iter().filter(asks_it).filter(|_| !metallb.controller_runs);
    asking
        .map(|configuration| {
            Finding::warn(
                SUBJECT,
                format!(
                    "ValidatingWebhookConfiguration {} asks MetalLB's controller, which does not run: every change of pools \
                     is refused",
                    configuration.name_any()
                ),
                "delete it, and again after every upgrade of MetalLB's chart, which renders it without the controller too; \
                 ours needs none",
            )
        })
        .collect()
}

fn judge_conversion(definition: &DynamicObject, metallb: &MetalLb) -> Option<Finding> {
    let strategy = definition.data.pointer("/spec/conversion/strategy").and_then(Value::as_str);
    (strategy == Some("Webhook") && !metallb.controller_runs).then(|| {
        Finding::warn(
            SUBJECT,
            "BGPPeers of v1beta1 are converted by MetalLB's controller, which does not run: they can be neither read nor \
             written as v1beta1",
            "write BGPPeers as v1beta2, which is how they are stored",
        )
    })
}

fn judge_secret(secret: &ObjectMeta, metallb: &MetalLb) -> Option<Finding> {
    let mut owners = secret.owner_references.iter().flatten();
    let owner = owners.find(|owner| owner.kind == "Deployment")?;
    Some(Finding::warn(
        SUBJECT,
        format!(
            "Secret {}/{MEMBERLIST_SECRET} belongs to the Deployment {}: when that is deleted, it goes too, and no speaker \
             starts without it",
            metallb.namespace, owner.name
        ),
        "scale the Deployment to 0 and leave it there, or take the owner off the Secret",
    ))
}

fn judge_alerts(rules: &[DynamicObject], metallb: &MetalLb) -> Vec<Finding> {
    let asks = |rule: &&DynamicObject| rule.data.to_string().contains("metallb_allocator_");
    let asking = rules.iter().filter(asks).filter(|_| !metallb.controller_runs);
    asking
        .map(|rule| {
            Finding::warn(
                SUBJECT,
                format!(
                    "PrometheusRule {}/{} asks for metallb_allocator_ metrics, which only MetalLB's controller counts",
                    rule.namespace().unwrap_or_default(),
                    rule.name_any()
                ),
                "ask for cloud_lb_pool_addresses",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    fn metallb(speaker_class: Option<&str>, controller_runs: bool) -> MetalLb {
        MetalLb {
            namespace: "metallb-system".to_owned(),
            speaker_class: speaker_class.map(str::to_owned),
            controller_runs,
        }
    }

    fn said(findings: impl IntoIterator<Item = Finding>) -> Vec<String> {
        findings.into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn a_speaker_of_another_class_announces_nothing_of_ours() {
        for (speaker, ours, warns) in [
            (None, "", false),
            (Some("lan"), "lan", false),
            (Some("lan"), "", true),
            (None, "lan", true),
            (None, "lan,", false),
        ] {
            let arguments = ["program".to_owned(), format!("--bare-class={ours}")];
            let matches = BareFlags::augment_args(Command::new("program")).get_matches_from(arguments);
            let flags = BareFlags::from_arg_matches(&matches).unwrap();
            let finding = judge_class(&metallb(speaker, true), &flags).to_string();
            assert_eq!(finding.starts_with("warn"), warns, "{finding}");
        }
    }

    #[test]
    fn a_part_of_metallb_that_takes_no_configuration_is_named_with_its_reason() {
        let state = |name: &str, result: &str| {
            object(json!({
                "apiVersion": "metallb.io/v1beta1", "kind": "ConfigurationState",
                "metadata": { "name": name, "namespace": "metallb-system" },
                "status": { "result": result, "errorSummary": "service default/web has no pool" },
            }))
        };
        let found = said(judge_states(
            &[state("controller", "Valid"), state("speaker-a", "Invalid")],
            &metallb(None, true),
        ));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("speaker-a takes no new configuration: service default/web has no pool"),
            "{found:?}"
        );
    }

    #[test]
    fn what_asks_a_controller_that_does_not_run_is_named() {
        let webhook = object(json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": { "name": "metallb-webhook-configuration" },
            "webhooks": [{
                "name": "ipaddresspoolvalidationwebhook.metallb.io",
                "clientConfig": { "service": { "namespace": "metallb-system", "name": "webhook-service" } },
            }],
        }));
        let others = object(json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": { "name": "others" },
            "webhooks": [{ "name": "a.example.com", "clientConfig": { "service": { "namespace": "metallb-system" } } }],
        }));
        let definition = object(json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": "bgppeers.metallb.io" }, "spec": { "conversion": { "strategy": "Webhook" } },
        }));
        let rule = object(json!({
            "apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule",
            "metadata": { "name": "alerts", "namespace": "monitoring" },
            "spec": { "groups": [{ "rules": [{ "expr": "metallb_allocator_addresses_in_use_total > 1" }] }] },
        }));
        for (runs, count) in [(true, 0), (false, 3)] {
            let metallb = metallb(None, runs);
            let webhooks = judge_webhooks(&[webhook.clone(), others.clone()], &metallb);
            let found = webhooks.into_iter().chain(judge_conversion(&definition, &metallb));
            let found = said(found.chain(judge_alerts(std::slice::from_ref(&rule), &metallb)));
            assert_eq!(found.len(), count, "{found:?}");
        }
    }

    #[test]
    fn a_secret_that_goes_with_the_controllers_deployment_is_named() {
        let secret = |owner: &str| -> ObjectMeta {
            let owner = json!({ "apiVersion": "apps/v1", "kind": owner, "name": "controller", "uid": "u" });
            serde_json::from_value(json!({ "name": "memberlist", "ownerReferences": [owner] })).unwrap()
        };
        let metallb = metallb(None, false);
        let found = said(judge_secret(&secret("Deployment"), &metallb));
        assert!(
            found[0].contains("Secret metallb-system/memberlist belongs to the Deployment controller"),
            "{found:?}"
        );
        assert_eq!(judge_secret(&secret("ConfigMap"), &metallb), None);
    }
}
