//! An EndpointSlice as Kubernetes has it, to the contract's view of its endpoints.

use std::sync::Arc;

use k8s_openapi::api::discovery::v1::{Endpoint as ApiEndpoint, EndpointSlice};

use crate::{Endpoint, EndpointState, PodId, ServiceKey};

/// By this label a slice says to which Service it belongs.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The Service to which a slice belongs; none if it belongs to no Service.
pub fn service_of_slice(slice: &EndpointSlice) -> Option<ServiceKey> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?;
    Some(ServiceKey::new(slice.metadata.namespace.clone().unwrap_or_default(), name))
}

/// The endpoints of one slice, whatever their ports. A Service may have several slices. Host names are left out.
pub fn endpoints_of_slice(slice: &EndpointSlice) -> Vec<Endpoint> {
    let mut endpoints = Vec::with_capacity(slice.endpoints.listed().len());
    for endpoint in slice.endpoints.listed() {
        let pod = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
        let pod = pod.and_then(|pod| Some(PodId { name: pod.name.clone()?, uid: pod.uid.clone()? }));
        for ip in endpoint.addresses.iter().filter_map(|address| address.parse().ok()) {
            endpoints.push(Endpoint {
                node: endpoint.node_name.as_deref().map(Arc::from),
                zone: endpoint.zone.as_deref().map(Arc::from),
                pod: pod.clone(),
                ..Endpoint::new(ip, state(endpoint))
            });
        }
    }
    endpoints
}

/// A condition that is not said: `ready` and `serving` count as true, `terminating` as false
/// ([API reference](https://kubernetes.io/docs/reference/kubernetes-api/service-resources/endpoint-slice-v1/)). `serving`
/// is `ready` without regard to termination, so an endpoint that serves and is not ready is being deleted, said or not.
fn state(endpoint: &ApiEndpoint) -> EndpointState {
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    let ready = conditions.ready.unwrap_or(true);
    let serving = conditions.serving.unwrap_or(ready);
    match (ready, serving, conditions.terminating.unwrap_or(false)) {
        (true, ..) => EndpointState::Ready,
        (false, true, _) => EndpointState::Terminating { serving: true },
        (false, false, true) => EndpointState::Terminating { serving: false },
        (false, false, false) => EndpointState::Unready,
    }
}

/// A list that older versions of Kubernetes' API have always, and newer ones may leave out. The program chooses the version.
trait Listed<T> {
    fn listed(&self) -> &[T];
}

impl<T> Listed<T> for Vec<T> {
    fn listed(&self) -> &[T] {
        self
    }
}

impl<T> Listed<T> for Option<Vec<T>> {
    fn listed(&self) -> &[T] {
        self.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn slice(conditions: serde_json::Value) -> EndpointSlice {
        let slice = json!({
            "metadata": { "namespace": "shop", "name": "web-x1", "labels": { SERVICE_NAME: "web" } },
            "addressType": "IPv4",
            "endpoints": [{
                "addresses": ["10.0.0.7"], "nodeName": "n1", "zone": "a", "conditions": conditions,
                "targetRef": { "kind": "Pod", "name": "web-1", "uid": "u1" },
            }],
        });
        serde_json::from_value(slice).expect("a slice")
    }

    #[test]
    fn an_endpoint_serves_while_it_is_ready_and_while_it_still_answers_though_it_is_being_deleted() {
        let gone = |serving| EndpointState::Terminating { serving };
        let table = [
            (json!({}), EndpointState::Ready),
            (json!({ "ready": true }), EndpointState::Ready),
            (json!({ "ready": true, "serving": false }), EndpointState::Ready),
            (json!({ "ready": false }), EndpointState::Unready),
            (json!({ "ready": false, "serving": false }), EndpointState::Unready),
            (json!({ "ready": false, "serving": true }), gone(true)),
            (json!({ "ready": false, "serving": true, "terminating": true }), gone(true)),
            (json!({ "ready": false, "serving": false, "terminating": true }), gone(false)),
        ];
        for (conditions, state) in table {
            let endpoints = endpoints_of_slice(&slice(conditions.clone()));
            assert_eq!(
                endpoints.iter().map(|endpoint| endpoint.state).collect::<Vec<_>>(),
                [state],
                "{conditions}"
            );
        }
    }

    #[test]
    fn a_slice_says_whose_it_is_and_where_its_endpoints_are() {
        let slice = slice(json!({}));
        assert_eq!(service_of_slice(&slice), Some(ServiceKey::new("shop", "web")));
        let pod = PodId { name: "web-1".into(), uid: "u1".into() };
        let ip = "10.0.0.7".parse().expect("an address");
        let endpoint = Endpoint::new(ip, EndpointState::Ready).on_node("n1").in_zone("a").of_pod(pod);
        assert_eq!(endpoints_of_slice(&slice), [endpoint]);
        let mut nobodys = slice.clone();
        nobodys.metadata.labels = None;
        assert_eq!(service_of_slice(&nobodys), None);
    }
}
