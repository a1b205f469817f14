//! Does another controller claim the same Services?

use apiserver_client::in_words;
use cloud_provider::ClassRule;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, ObjectMeta};
use kube::{Api, ResourceExt};

use super::lease::holder;
use crate::finding::Finding;
use crate::workload::{Template, Workload, workloads};

const SUBJECT: &str = "class";

/// The class the AWS Load Balancer Controller serves unless told otherwise.
const AWS_CLASS: &str = "service.k8s.aws/nlb";

/// A controller of Services that somebody else runs here.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rival {
    /// What it is, and where.
    what: String,
    /// The class it claims; none: Services without a class.
    class: Option<String>,
}

/// Who else is there, and whether they claim what we do.
pub(super) async fn look(client: &kube::Client, ours: &[ClassRule]) -> Vec<Finding> {
    match rivals(client).await {
        Ok(rivals) => judge(&rivals, ours),
        Err(error) => vec![Finding::blind(
            SUBJECT,
            in_words(&error),
            "not checked, run doctor with rights to list Deployments, DaemonSets, Pods and Leases",
        )],
    }
}

async fn rivals(client: &kube::Client) -> kube::Result<Vec<Rival>> {
    let every = ListParams::default();
    let deployments = workloads::<Deployment>(client).list(&every).await?;
    let daemon_sets = workloads::<DaemonSet>(client).list(&every).await?;
    // A static Pod has no owner but its node.
    let pods = Api::<Pod>::namespaced(client.clone(), "kube-system").list_metadata(&every).await?;
    let lease =
        Api::<Lease>::namespaced(client.clone(), "kube-system").get_opt("cloud-controller-manager").await?;
    let mut found: Vec<Rival> = Vec::new();
    found.extend(deployments.iter().filter_map(of_deployment));
    for set in &daemon_sets {
        found.extend(rival("DaemonSet", &set.metadata, Some(&set.spec.template)));
    }
    for pod in pods.iter().filter(|pod| pod.owner_references().iter().all(|owner| owner.kind == "Node")) {
        found.extend(rival("Pod", &pod.metadata, None));
    }
    if let Some(holder) = lease.and_then(|l| l.spec).as_ref().and_then(|l| holder(l, Timestamp::now())) {
        let what = format!("Lease kube-system/cloud-controller-manager, held by {holder}");
        found.push(Rival { what, class: None });
    }
    Ok(found)
}

/// One that is scaled to nothing claims nothing: MetalLB's controller is left like that beside us.
fn of_deployment(deployment: &Workload) -> Option<Rival> {
    let runs = deployment.spec.replicas != Some(0);
    rival("Deployment", &deployment.metadata, Some(&deployment.spec.template)).filter(|_| runs)
}

/// Whether an object runs a controller of Services that we know.
fn rival(kind: &str, metadata: &ObjectMeta, template: Option<&Template>) -> Option<Rival> {
    let name = metadata.name.as_deref()?;
    let label = |key: &str, value: &str| {
        metadata.labels.as_ref().and_then(|labels| labels.get(key)).is_some_and(|found| found == value)
    };
    // Its manifests call it plainly "controller"; the labels tell.
    let metallb = name == "metallb-controller"
        || label("app", "metallb") && label("component", "controller")
        || label("app.kubernetes.io/name", "metallb") && label("app.kubernetes.io/component", "controller");
    let class = if metallb {
        argument(template, "--lb-class")
    } else if name.contains("aws-load-balancer-controller") {
        Some(argument(template, "--load-balancer-class").unwrap_or_else(|| AWS_CLASS.into()))
    } else if name.contains("cloud-controller-manager") {
        None
    } else {
        return None;
    };
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    Some(Rival { what: format!("{kind} {namespace}/{name}"), class })
}

fn argument(template: Option<&Template>, flag: &str) -> Option<String> {
    let words = template?.words();
    let value = words.filter_map(|word| word.strip_prefix(flag)?.strip_prefix('=')).last()?;
    (!value.is_empty()).then(|| value.to_owned())
}

fn judge(rivals: &[Rival], ours: &[ClassRule]) -> Vec<Finding> {
    let claimed = |rival: &Rival| ours.iter().any(|rule| rule.matches(rival.class.as_deref()));
    let findings: Vec<Finding> = rivals.iter().filter(|rival| claimed(rival)).map(conflict).collect();
    if findings.is_empty() {
        return vec![Finding::ok(SUBJECT, "no other controller that we know claims the same Services")];
    }
    findings
}

fn conflict(rival: &Rival) -> Finding {
    let class = match &rival.class {
        Some(class) => format!("Services of class {class:?}"),
        None => "Services without a class".into(),
    };
    Finding::warn(
        SUBJECT,
        format!("{} claims {class}, as we do", rival.what),
        "stop it, or switch its Service controller off, or give one of the two a class of its own",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scaled(replicas: u8, name: &str, labels: serde_json::Value, arguments: &[&str]) -> Option<Rival> {
        let template = json!({ "spec": { "containers": [{ "name": "c", "args": arguments }] } });
        let object = serde_json::from_value(json!({
            "metadata": { "name": name, "namespace": "ns", "labels": labels },
            "spec": { "replicas": replicas, "selector": {}, "template": template },
        }));
        of_deployment(&object.unwrap())
    }

    fn deployment(name: &str, labels: serde_json::Value, arguments: &[&str]) -> Option<Rival> {
        scaled(1, name, labels, arguments)
    }

    #[test]
    fn who_is_scaled_to_nothing_is_no_rival() {
        assert_eq!(scaled(0, "metallb-controller", json!({}), &[]), None);
        assert!(scaled(2, "metallb-controller", json!({}), &[]).is_some());
    }

    #[test]
    fn rivals_are_known_by_name_and_label_and_their_class_by_their_flags() {
        let metallb = json!({ "app": "metallb", "component": "controller" });
        for (found, class) in [
            (deployment("metallb-controller", json!({}), &[]), Some(None)),
            (deployment("controller", metallb.clone(), &["--lb-class=lan"]), Some(Some("lan"))),
            (deployment("controller", metallb, &["--lb-class="]), Some(None)),
            (deployment("controller", json!({}), &[]), None),
            (deployment("aws-load-balancer-controller", json!({}), &[]), Some(Some(AWS_CLASS))),
            (deployment("aws-cloud-controller-manager", json!({}), &[]), Some(None)),
            (deployment("metallb-speaker", json!({}), &[]), None),
        ] {
            assert_eq!(found.as_ref().map(|rival| rival.class.as_deref()), class, "{found:?}");
        }
    }

    #[test]
    fn a_rival_matters_only_where_the_classes_meet() {
        let rival =
            |class: Option<&str>| Rival { what: "Deployment a/b".into(), class: class.map(Into::into) };
        let ours = |text: &str| vec![text.parse::<ClassRule>().unwrap()];
        for (rival, ours, warns) in [
            (rival(None), ours(""), true),
            (rival(None), ours("lan"), false),
            (rival(None), ours("lan,"), true),
            (rival(Some("lan")), ours("lan"), true),
            (rival(Some("lan")), ours(""), false),
        ] {
            let said = judge(std::slice::from_ref(&rival), &ours)[0].to_string();
            assert_eq!(said.starts_with("warn"), warns, "{said}");
        }
    }
}
