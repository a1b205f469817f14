//! Rights as a cluster has them: roles, bound to service accounts, and tokens of those.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;
use kube::api::{Api, DynamicObject, ObjectMeta, PostParams};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};

use super::Server;
use crate::apiserver::AccessRule;
use crate::rights::{INSTALLED_AS, Rights, is_rbac};
use crate::sandbox::manifests;

/// The label of what stays when the server is emptied for the next test.
pub(super) const KEPT: &str = "tests.fixture/kept";

/// How long the server may take to obey new roles.
const ROLES_TIMEOUT: Duration = Duration::from_secs(20);

/// The tokens so far, by the rights that they give.
#[derive(Debug, Default)]
pub(super) struct Installed {
    tokens: BTreeMap<Vec<String>, String>,
    /// How many were ever installed: no name comes twice.
    count: usize,
}

impl Server {
    /// A token of a service account that has these rights and no others. Roles and bindings are those of the manifests,
    /// under names with a number; they stay, and so does the token, until this process ends.
    pub(crate) fn token_with(self: &Arc<Self>, rights: &Rights) -> String {
        let mut installed = self.rights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = installed.tokens.get(&rights.lines()) {
            return token.clone();
        }
        installed.count += 1;
        let (server, wanted, number) = (self.clone(), rights.clone(), installed.count);
        // On a thread of its own: most of those who ask cannot wait.
        let installing = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async { install(&server.administrator(), &wanted, number).await })
        });
        let token = installing.join().expect("the roles of the manifests can be installed");
        installed.tokens.insert(rights.lines(), token.clone());
        token
    }

    /// Somebody has removed what was installed.
    pub(super) fn forget_rights(&self) {
        self.rights.lock().unwrap_or_else(PoisonError::into_inner).tokens.clear();
    }
}

async fn install(client: &Client, rights: &Rights, number: usize) -> String {
    let account = format!("{INSTALLED_AS}-{number}");
    let namespaces = rights.objects().iter().filter_map(|object| object.metadata.namespace.clone());
    for namespace in namespaces.chain([INSTALLED_AS.to_owned()]) {
        manifests::apply(
            client,
            &kept(json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace },
            })),
        )
        .await
        .expect("a namespace");
    }
    manifests::apply(
        client,
        &kept(json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": { "name": account, "namespace": INSTALLED_AS },
        })),
    )
    .await
    .expect("a service account");
    for object in rights.objects() {
        assert!(is_rbac(object), "{object:?}");
        manifests::apply(client, &numbered(object, number)).await.expect("a role or a binding");
    }
    let user = format!("system:serviceaccount:{INSTALLED_AS}:{account}");
    for rule in rights.rules() {
        until_allowed(client, &user, rule).await;
    }
    let request = TokenRequest {
        spec: TokenRequestSpec { expiration_seconds: Some(24 * 3600), ..Default::default() },
        ..Default::default()
    };
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), INSTALLED_AS);
    let answer = accounts.create_token_request(&account, &PostParams::default(), &request).await;
    answer.expect("a token").status.expect("a token").token
}

fn kept(mut object: Value) -> DynamicObject {
    object["metadata"]["labels"] = json!({ KEPT: "" });
    serde_json::from_value(object).expect("an object")
}

/// The same with a number behind each name, so that several can be there at once.
fn numbered(object: &DynamicObject, number: usize) -> DynamicObject {
    let mut object = object.clone();
    let number_it = |name: &mut Value| *name = format!("{}-{number}", name.as_str().expect("a name")).into();
    let name = object.metadata.name.as_mut().expect("a name");
    *name = format!("{name}-{number}");
    object.metadata.labels.get_or_insert_default().insert(KEPT.to_owned(), String::new());
    if let Some(role) = object.data.pointer_mut("/roleRef/name") {
        number_it(role);
    }
    for subject in object.data.get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten() {
        number_it(&mut subject["name"]);
    }
    object
}

/// The server learns of roles as everybody learns of objects: a moment later.
async fn until_allowed(client: &Client, user: &str, rule: &AccessRule) {
    let some = |list: &[String]| list.first().cloned();
    let resource = some(&rule.resources).unwrap_or_default();
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, subresource)) => (resource.to_owned(), Some(subresource.to_owned())),
        None => (resource, None),
    };
    let review = SubjectAccessReview {
        metadata: ObjectMeta::default(),
        spec: SubjectAccessReviewSpec {
            user: Some(user.to_owned()),
            resource_attributes: Some(ResourceAttributes {
                verb: some(&rule.verbs),
                group: some(&rule.groups),
                resource: Some(resource),
                subresource,
                name: some(&rule.names),
                namespace: some(&rule.namespaces),
                ..Default::default()
            }),
            ..Default::default()
        },
        status: None,
    };
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    let deadline = Instant::now() + ROLES_TIMEOUT;
    loop {
        let answer = reviews.create(&PostParams::default(), &review).await.expect("a review");
        if answer.status.is_some_and(|status| status.allowed) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{user} is not allowed to {rule:?}, though it is bound to a role for it"
        );
        sleep(Duration::from_millis(5)).await;
    }
}
