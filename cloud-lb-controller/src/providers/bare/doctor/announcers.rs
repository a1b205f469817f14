//! Who announces, and do they hear each other?

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ApiResource, ListParams, NotUsed, Object};
use kube::core::Selector;
use kube::{Client, ResourceExt};
use serde::Deserialize;

use super::metallb::is_component;
use crate::finding::Finding;
use crate::workload::{Container, Workload, workloads};

const SUBJECT: &str = "announcers";

/// The program that announces, by which its DaemonSet is known whatever it is called.
const PROGRAM: &str = "cloud-lb-announcer";

/// Where it serves its metrics, unless its flag says otherwise.
const HTTP_PORT: u16 = 7479;

/// How many other links are heard on a link.
const PEERS_METRIC: &str = "cloud_lb_announcer_peers{";

/// How many heartbeats are not listened to, by the reason in words.
const REFUSED_METRIC: &str = "cloud_lb_announcer_beats_refused_total{";

/// In the words of the reason, that the heartbeat is of this cluster and under another key.
const OTHER_KEY: &str = "signed with another key";

/// Of so many announcers the metrics are read, at most: in a big cluster those are enough to see how it is.
const ASKED_AT_MOST: usize = 20;

/// What is wrong with those who announce.
pub(super) async fn look(client: &Client) -> Vec<Finding> {
    let sets = match workloads::<DaemonSet>(client).list(&ListParams::default()).await {
        Ok(sets) => sets.items,
        Err(error) => return vec![Finding::unseen(SUBJECT, &error)],
    };
    let mut findings = judge(&sets);
    for set in sets.iter().filter(|set| is_ours(set) && wanted(set) > 1) {
        findings.extend(hearts(client, set).await);
    }
    findings
}

/// Whether it is the DaemonSet of our announcer.
fn is_ours(set: &Workload) -> bool {
    set.spec.template.words().any(|word| word.rsplit('/').next() == Some(PROGRAM))
}

/// How many Pods of it are to run.
fn wanted(set: &Workload) -> i32 {
    set.status.as_ref().and_then(|status| status.desired_number_scheduled).unwrap_or(0)
}

fn ready(set: &Workload) -> i32 {
    set.status.as_ref().and_then(|status| status.number_ready).unwrap_or(0)
}

fn name(set: &Workload) -> String {
    format!("{}/{}", set.namespace().unwrap_or_default(), set.name_any())
}

fn judge(sets: &[Workload]) -> Vec<Finding> {
    let at_work = |set: &&Workload| wanted(set) > 0;
    let ours: Vec<&Workload> = sets.iter().filter(|set| is_ours(set)).filter(at_work).collect();
    let speaker = sets.iter().filter(|set| is_component(&set.metadata, "speaker")).find(at_work);
    let mut findings = Vec::new();
    match (ours.first(), speaker) {
        (None, None) => findings.push(Finding::warn(
            SUBJECT,
            "neither cloud-lb-announcer nor MetalLB's speaker runs: nobody announces addresses, unless something else does",
            "install the chart with announcer.enabled=true",
        )),
        (Some(ours), Some(speaker)) => findings.push(Finding::warn(
            SUBJECT,
            format!(
                "DaemonSet {} and MetalLB's speaker, DaemonSet {}, both run, and do not know of each other: on a node that \
                 has both, both may answer for an address",
                name(ours),
                name(speaker)
            ),
            "let each node have one of the two, and the speaker none in the end",
        )),
        (None, Some(speaker)) => {
            findings.push(Finding::ok(SUBJECT, format!("MetalLB's speaker runs, DaemonSet {}", name(speaker))));
        }
        (Some(_), None) => {}
    }
    findings.extend(ours.into_iter().map(|set| match (ready(set), wanted(set)) {
        (ready, wanted) if ready < wanted => Finding::warn(
            SUBJECT,
            format!("DaemonSet {}, {ready} of {wanted} Pods ready", name(set)),
            "/readyz and the log of the others say why they announce nothing",
        ),
        (_, wanted) => Finding::ok(SUBJECT, format!("DaemonSet {}, all {wanted} Pods ready", name(set))),
    }));
    findings
}

/// A Pod, with where it runs.
type PodOnNode = Object<OnNode, NotUsed>;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OnNode {
    node_name: Option<String>,
}

/// What an announcer hears.
#[derive(Debug)]
struct Hears {
    node: String,
    /// How many other links.
    peers: u64,
    /// Whether there are heartbeats under another key.
    other_key: bool,
}

/// Whether the announcers hear each other, by their metrics, which the API server fetches from their Pods.
async fn hearts(client: &Client, set: &Workload) -> Vec<Finding> {
    let namespace = set.namespace().unwrap_or_default();
    let Some(selector) = set.spec.selector.clone().and_then(|selector| Selector::try_from(selector).ok())
    else {
        return Vec::new();
    };
    let pods = Api::<PodOnNode>::namespaced_with(client.clone(), &namespace, &ApiResource::erase::<Pod>(&()));
    let pods = match pods.list(&ListParams::default().labels_from(&selector)).await {
        Ok(pods) => pods.items,
        Err(error) => return vec![Finding::unseen(SUBJECT, &error)],
    };
    let (port, mut heard, mut unseen) = (port(set), Vec::new(), None);
    for pod in pods.iter().take(ASKED_AT_MOST) {
        let node = pod.spec.node_name.clone().unwrap_or_default();
        let path = format!("/api/v1/namespaces/{namespace}/pods/{}:{port}/proxy/metrics", pod.name_any());
        let Ok(request) = http::Request::get(path).body(Vec::new()) else { continue };
        match client.request_text(request).await {
            Ok(metrics) => heard.push(hears(node, &metrics)),
            // That one does not answer is seen by its readiness; that none may be asked is to be said.
            Err(error) => unseen = Some(Finding::unseen(SUBJECT, &error)),
        }
    }
    let judged = judge_hearts(&heard);
    if judged.is_empty() { unseen.into_iter().collect() } else { judged }
}

/// The port of the metrics.
fn port(set: &Workload) -> u16 {
    let args = set.spec.template.containers().flat_map(Container::args);
    let addresses = args.filter_map(|arg| arg.strip_prefix("--http-address="));
    addresses.filter_map(|address| address.rsplit(':').next()?.parse().ok()).last().unwrap_or(HTTP_PORT)
}

/// Of these metrics, in the text format of Prometheus.
fn hears(node: String, metrics: &str) -> Hears {
    let peers = metrics.lines().filter(|line| line.starts_with(PEERS_METRIC));
    let peers = peers.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
    let other_key = metrics.lines().any(|line| line.starts_with(REFUSED_METRIC) && line.contains(OTHER_KEY));
    Hears { node, peers, other_key }
}

fn judge_hearts(heard: &[Hears]) -> Vec<Finding> {
    let those = |are_meant: fn(&&Hears) -> bool| {
        heard.iter().filter(are_meant).map(|it| it.node.as_str()).collect::<Vec<_>>()
    };
    let (other_key, deaf) = (those(|it| it.other_key), those(|it| !it.other_key && it.peers == 0));
    let mut findings = Vec::new();
    if !other_key.is_empty() {
        findings.push(Finding::warn(
            SUBJECT,
            format!("on {} a heartbeat is heard that is signed with another key", other_key.join(", ")),
            "give all announcers the same key: until then neither takes over what the other answers for",
        ));
    }
    if !deaf.is_empty() {
        findings.push(Finding::warn(
            SUBJECT,
            format!("no heartbeat of another is heard on {}", deaf.join(", ")),
            "the nodes' network has to carry broadcasts of EtherType 0x88B5; where each node has a network of its own, \
             this is as it should be",
        ));
    }
    if findings.is_empty() && !heard.is_empty() {
        findings.push(Finding::ok(SUBJECT, "each hears the heartbeat of others"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::finding::Severity::{self, Ok, Warn};

    #[track_caller]
    fn check(findings: &[Finding], verdicts: &[Severity], said: &str) {
        let shown: Vec<Severity> = findings.iter().map(|finding| finding.severity).collect();
        assert_eq!(shown, verdicts, "{findings:?}");
        assert!(findings.iter().any(|finding| finding.says.contains(said)), "{said:?}: {findings:?}");
    }

    fn daemon_set(name: &str, labels: &Value, container: &Value, wanted: i32, ready: i32) -> Workload {
        serde_json::from_value(json!({
            "metadata": { "name": name, "namespace": "lb", "labels": labels },
            "spec": {
                "selector": { "matchLabels": { "app": name } },
                "template": { "metadata": {}, "spec": { "containers": [container] } },
            },
            "status": {
                "desiredNumberScheduled": wanted, "numberReady": ready, "currentNumberScheduled": wanted,
                "numberMisscheduled": 0,
            },
        }))
        .unwrap()
    }

    fn ours(wanted: i32, ready: i32) -> Workload {
        let container = json!({
            "name": "announcer", "command": ["/cloud-lb-announcer"], "args": ["--http-address=0.0.0.0:9999"],
        });
        daemon_set("announcer", &json!({}), &container, wanted, ready)
    }

    fn speaker(wanted: i32) -> Workload {
        let labels = json!({ "app": "metallb", "component": "speaker" });
        daemon_set("speaker", &labels, &json!({ "name": "speaker" }), wanted, wanted)
    }

    #[test]
    fn whether_somebody_announces_and_nobody_beside_it_is_said() {
        check(&judge(&[]), &[Warn], "neither cloud-lb-announcer nor MetalLB's speaker runs");
        check(&judge(&[speaker(2)]), &[Ok], "MetalLB's speaker runs, DaemonSet lb/speaker");
        check(&judge(&[ours(2, 2)]), &[Ok], "DaemonSet lb/announcer, all 2 Pods ready");
        check(&judge(&[ours(2, 1)]), &[Warn], "DaemonSet lb/announcer, 1 of 2 Pods ready");
        check(
            &judge(&[ours(2, 2), speaker(2)]),
            &[Warn, Ok],
            "MetalLB's speaker, DaemonSet lb/speaker, both run",
        );
        check(&judge(&[ours(2, 2), speaker(0)]), &[Ok], "all 2 Pods ready");
    }

    /// The metrics of one that hears so many, and, besides, one of these reasons not to listen.
    fn metrics(peers: u64, refused: &str) -> String {
        let refused = match refused {
            "" => String::new(),
            reason => {
                format!("cloud_lb_announcer_beats_refused_total{{link=\"eth0\",reason=\"{reason}\"}} 7\n")
            }
        };
        format!(
            "# TYPE cloud_lb_announcer_peers gauge\ncloud_lb_announcer_peers{{link=\"eth0\"}} {peers}\n{refused}# EOF\n"
        )
    }

    #[test]
    fn an_announcer_that_hears_no_other_is_named() {
        let heard = |a: &str, b: &str| judge_hearts(&[hears("n1".to_owned(), a), hears("n2".to_owned(), b)]);
        let (alone, not_alone) = (metrics(0, ""), metrics(1, ""));
        check(&heard(&not_alone, &not_alone), &[Ok], "each hears the heartbeat of others");
        check(&heard(&alone, &not_alone), &[Warn], "no heartbeat of another is heard on n1;");
        check(&heard(&alone, &alone), &[Warn], "no heartbeat of another is heard on n1, n2;");
        assert_eq!(judge_hearts(&[]), []);
    }

    #[test]
    fn an_announcer_that_hears_another_key_is_named_and_another_cluster_is_nothing_to_say() {
        let key = "the heartbeat from 02:00:00:00:00:09 is signed with another key";
        check(
            &judge_hearts(&[hears("n1".to_owned(), &metrics(0, key))]),
            &[Warn],
            "on n1 a heartbeat is heard that",
        );
        let cluster = "the heartbeat from 02:00:00:00:00:09 is of another cluster";
        check(&judge_hearts(&[hears("n1".to_owned(), &metrics(1, cluster))]), &[Ok], "each hears");
    }

    #[test]
    fn metrics_are_asked_for_where_they_are_served() {
        assert_eq!(port(&ours(2, 2)), 9999);
        assert_eq!(port(&speaker(2)), HTTP_PORT);
    }
}
