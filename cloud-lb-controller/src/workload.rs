//! What runs Pods, with what is read of it here: the types of Kubernetes' API know a hundred ways to mount a volume.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Api;
use kube::api::{ApiResource, Object, Resource};
use serde::Deserialize;

/// A Deployment or a DaemonSet.
pub(crate) type Workload = Object<Spec, Status>;

/// All of this kind, as [`Workload`]s.
pub(crate) fn workloads<K: Resource<DynamicType = ()>>(client: &kube::Client) -> Api<Workload> {
    Api::all_with(client.clone(), &ApiResource::erase::<K>(&()))
}

/// What is wanted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    /// Of a Deployment; none is one.
    pub(crate) replicas: Option<i32>,
    pub(crate) selector: Option<LabelSelector>,
    pub(crate) template: Template,
}

/// What its Pods are made from.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Template {
    spec: Option<PodSpec>,
}

#[derive(Clone, Debug, Deserialize)]
struct PodSpec {
    containers: Option<Vec<Container>>,
    volumes: Option<Vec<Volume>>,
}

/// One of a Pod's.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Container {
    pub(crate) name: String,
    command: Option<Vec<String>>,
    args: Option<Vec<String>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Volume {
    name: String,
    config_map: Option<ConfigMapReference>,
}

#[derive(Clone, Debug, Deserialize)]
struct ConfigMapReference {
    name: Option<String>,
}

/// How it stands.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    /// Of a Deployment.
    pub(crate) ready_replicas: Option<i32>,
    /// Of a DaemonSet: on how many nodes it is to run.
    pub(crate) desired_number_scheduled: Option<i32>,
    /// Of a DaemonSet: on how many it is ready.
    pub(crate) number_ready: Option<i32>,
}

impl Template {
    pub(crate) fn containers(&self) -> impl Iterator<Item = &Container> {
        self.spec.iter().filter_map(|pod| pod.containers.as_ref()).flatten()
    }

    /// The words of its containers' command lines.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        self.containers().flat_map(Container::words)
    }

    /// The ConfigMap that is mounted as this volume.
    pub(crate) fn config_map(&self, volume: &str) -> Option<&str> {
        let volumes = self.spec.as_ref()?.volumes.as_ref()?;
        volumes.iter().find(|it| it.name == volume)?.config_map.as_ref()?.name.as_deref()
    }
}

impl Container {
    /// The words of its command line.
    fn words(&self) -> impl Iterator<Item = &str> {
        self.command.iter().chain(&self.args).flatten().map(String::as_str)
    }

    /// What it gives to the program that it runs.
    pub(crate) fn args(&self) -> impl Iterator<Item = &str> {
        self.args.iter().flatten().map(String::as_str)
    }
}
