//! From an HTTP request to the operation it asks for.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, Method, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Incoming};
use serde_json::Value;

use super::auth::{Tokens, User};
use super::decode::{self, FieldValidation};
use super::delete::DeleteOptions;
use super::fault::{Failure, Faults, Verdict};
use super::kinds::{Resource, crd};
use super::list::{self, ListQuery, VERSION_TIMEOUT};
use super::lock;
use super::object;
use super::patch::PatchKind;
use super::pod_proxy::{PROXY, PodAnswers};
use super::render::{self, Shape};
use super::request::{Query, ResourcePath, Subresource};
use super::request_log::{Request, RequestLog};
use super::respond::{self, Body, Reply};
use super::state::{State, Write, Written};
use super::status::{ApiError, FieldError, Result};
use super::watch::{Watch, WatchQuery};
use super::{discovery, openapi, protobuf};

/// How long a definition takes from being stored to being in force: about what a real server needs.
const ESTABLISH_TIME: Duration = Duration::from_millis(20);
const MAX_BODY_BYTES: usize = 3 * 1024 * 1024;
const MAX_MANAGER_BYTES: usize = 128;
const PATCH_TYPES: &str =
    "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";

/// What all connections share.
pub(crate) struct Router {
    pub(crate) state: Arc<Mutex<State>>,
    pub(crate) faults: Faults,
    pub(crate) requests: RequestLog,
    pub(crate) tokens: Tokens,
    pub(crate) pods: PodAnswers,
}

/// A request whose head is read.
struct Call {
    method: Method,
    path: String,
    query: Query,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    fn header(&self, name: http::HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The media type of the body, without parameters.
    fn content_type(&self) -> &str {
        self.header(CONTENT_TYPE).split(';').next().unwrap_or_default().trim()
    }
}

impl Router {
    /// Answers a request; an error cuts the connection without an answer.
    pub(crate) async fn handle(&self, request: http::Request<Incoming>) -> io::Result<Response<Body>> {
        let (head, body) = request.into_parts();
        let mut call = Call {
            method: head.method,
            path: head.uri.path().to_owned(),
            query: Query::parse(head.uri.query().unwrap_or_default()),
            headers: head.headers,
            body: Bytes::new(),
        };
        let too_large = match Limited::new(body, MAX_BODY_BYTES).collect().await {
            Ok(body) => {
                call.body = body.to_bytes();
                false
            }
            Err(error) if error.is::<http_body_util::LengthLimitError>() => true,
            Err(error) => return Err(io::Error::other(error)),
        };
        let target = Target::of(&call, &lock(&self.state));
        let mut entry = target.request(&call);
        let user = self.tokens.user(call.headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok()));
        if let Ok(user) = &user {
            entry.user.clone_from(&user.name);
        }
        let verdict = self.faults.judge(&entry);
        tokio::time::sleep(verdict.delay).await;
        let answer = match (user, verdict.failure) {
            (Err(error), _) => Err(error),
            (_, _) if too_large => Err(ApiError::new(
                413,
                "RequestEntityTooLarge",
                format!("Request entity too large: limit is {MAX_BODY_BYTES}"),
            )),
            // A watch hears of it in its stream.
            (Ok(user), Some(Failure::Gone)) if entry.verb == "watch" => {
                self.answer(&call, &target, &entry, &user, &verdict, true).await
            }
            (Ok(_), Some(failure)) => Err(failure.to_error(&entry)),
            (Ok(user), None) => self.answer(&call, &target, &entry, &user, &verdict, false).await,
        };
        if verdict.lose_reply {
            self.requests.add(entry);
            return Err(io::Error::other("the reply is lost, as a fault"));
        }
        entry.code = answer.as_ref().map_or_else(|error| error.code, Reply::code);
        self.requests.add(entry);
        let pretty = call.query.flag("pretty") || call.header(USER_AGENT).starts_with("curl/");
        Ok(match answer {
            Ok(reply) => reply.into_response(pretty),
            Err(error) => respond::refusal(&error),
        })
    }

    async fn answer(
        &self,
        call: &Call,
        target: &Target,
        entry: &Request,
        user: &User,
        verdict: &Verdict,
        expired: bool,
    ) -> Result<Reply> {
        let Target::Resource { resource, path } = target else {
            return match target {
                Target::Unknown(error) if user.is_known() => Err(error.clone()),
                Target::Unknown(_) => Err(user.forbidden_path(&call.path)),
                _ => self.document(call, user),
            };
        };
        user.authorize(entry)?;
        let shape = Shape::negotiate(call.header(ACCEPT), call.query.get("includeObject")).ok_or_else(|| {
            ApiError::new(
                406,
                "NotAcceptable",
                "only the following media types are accepted: application/json, application/json;as=Table",
            )
        })?;
        match entry.verb.as_str() {
            "watch" => {
                let query = WatchQuery::read(resource, &path.namespace, &path.name, &call.query, shape)?;
                let (closed, limit) = self.faults.watch_limit(verdict);
                let mut watch = Watch::start(resource.clone(), &self.state, query, closed, limit);
                if expired {
                    watch.expire();
                }
                Ok(Reply::Watch(Box::new(watch)))
            }
            "list" => {
                let query = ListQuery::read(resource, &path.namespace, &call.query)?;
                self.wait_for_version(query.version).await?;
                let page = lock(&self.state).list(resource, &query)?;
                let page = if verdict.empty_list { page.emptied() } else { page };
                Ok(Reply::ok(page.write(resource, shape)))
            }
            "get" if path.subresource == PROXY => {
                lock(&self.state).get(resource, &path.namespace, PodAnswers::pod(path))?;
                Ok(Reply::Text(self.pods.get(path)?))
            }
            "get" => {
                self.wait_for_version(list::version_of(&call.query)?).await?;
                let stored = lock(&self.state).get(resource, &path.namespace, &path.name)?;
                Ok(Reply::ok(render::object(resource, &stored, shape)))
            }
            "delete" | "deletecollection" => self.delete(call, resource, path, shape),
            _ => self.write(call, resource, path, user, shape),
        }
    }

    /// Reads at a version that is still to come wait for it, for a while.
    async fn wait_for_version(&self, version: Option<u64>) -> Result<()> {
        let Some(wanted) = version else { return Ok(()) };
        let mut versions = lock(&self.state).store.versions();
        let reached =
            tokio::time::timeout(VERSION_TIMEOUT, versions.wait_for(|now| *now >= wanted)).await.is_ok();
        if reached {
            return Ok(());
        }
        let now = lock(&self.state).store.version();
        let message = format!("Timeout: Too large resource version: {wanted}, current: {now}");
        let mut error = ApiError::new(504, "Timeout", message);
        error.details.insert("retryAfterSeconds".into(), 1.into());
        let cause =
            serde_json::json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"});
        Err(error.with_causes(vec![cause]))
    }

    fn write(
        &self,
        call: &Call,
        resource: &Arc<Resource>,
        path: &ResourcePath,
        user: &User,
        shape: Shape,
    ) -> Result<Reply> {
        let kind = if call.method == Method::PATCH { Some(patch_kind(call, resource)?) } else { None };
        let sent = if kind.is_none() { read_body(call)? } else { Value::Null };
        let write = write_options(call, path, kind)?;
        if resource.plural == "selfsubjectaccessreviews" {
            let decoded = decode::decode(resource, sent)?;
            let body = user.review(decoded.object).to_string().into();
            return Ok(Reply::Json { code: 201, body, warnings: Vec::new() });
        }
        let body = match kind {
            Some(PatchKind::Apply) => decode::parse(&call.body, true)?,
            Some(_) => serde_json::from_slice(&call.body)
                .map_err(|e| ApiError::bad_request(format!("error decoding patch: {e}")))?,
            None => sent,
        };
        let mut state = lock(&self.state);
        let written = match (&call.method, kind) {
            (&Method::POST, _) => state.create(resource, body, &write)?,
            (_, Some(kind)) => state.patch(resource, kind, &body, call.query.flag("force"), &write)?,
            _ => state.update(resource, body, &write)?,
        };
        if resource.plural == crd::PLURAL && !write.dry_run && !crd::is_established(&written.object) {
            self.establish_later(object::name(&written.object).to_owned());
        }
        Ok(written_reply(resource, written, shape))
    }

    /// A definition is in force a moment after it is there.
    fn establish_later(&self, definition: String) {
        let state = Arc::clone(&self.state);
        tokio::spawn(async move {
            tokio::time::sleep(ESTABLISH_TIME).await;
            lock(&state).establish(&definition);
        });
    }

    fn delete(
        &self,
        call: &Call,
        resource: &Arc<Resource>,
        path: &ResourcePath,
        shape: Shape,
    ) -> Result<Reply> {
        let body = match call.body.is_empty() {
            true => Value::Null,
            false => read_body(call)?,
        };
        let options = DeleteOptions::read(&body, call.query.get("propagationPolicy"))?;
        let dry_run = dry_run(call, "DeleteOptions")? || options.is_dry_run();
        let mut state = lock(&self.state);
        if !path.name.is_empty() {
            let left = state.delete(resource, &path.namespace, &path.name, &options, dry_run)?;
            let shown =
                if left["kind"] == "Status" { left } else { render::value(resource, &left, shape, true) };
            return Ok(Reply::value(&shown));
        }
        let query = ListQuery::read(resource, &path.namespace, &call.query)?;
        let page = state.list(resource, &query)?;
        for (namespace, name) in page.items() {
            state.delete(resource, namespace, name, &options, dry_run)?;
        }
        Ok(Reply::ok(page.write(resource, shape)))
    }

    /// Everything that is not a resource.
    fn document(&self, call: &Call, user: &User) -> Result<Reply> {
        let path = call.path.trim_end_matches('/');
        match path {
            "/healthz" | "/livez" | "/readyz" => return Ok(Reply::Text(Bytes::from_static(b"ok"))),
            "/version" => return Ok(Reply::value(&discovery::version())),
            _ if !user.is_known() => return Err(user.forbidden_path(&call.path)),
            _ => {}
        }
        let state = lock(&self.state);
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let aggregated = discovery::aggregated_type(call.header(ACCEPT));
        let found = match (parts.as_slice(), aggregated) {
            (["api" | "apis"], Some((version, media))) => {
                let body = discovery::aggregated(&state, parts == ["api"], version).to_string().into();
                return Ok(Reply::Typed { media, body });
            }
            (["api"], None) => Some(discovery::api_versions()),
            (["apis"], None) => Some(discovery::group_list(&state)),
            (["api", version], _) => discovery::resource_list(&state, "", version),
            (["apis", group], _) => discovery::group(&state, group),
            (["apis", group, version], _) => discovery::resource_list(&state, group, version),
            (["openapi", "v2"], _) if openapi::is_asked_for_protobuf(call.header(ACCEPT)) => {
                return Ok(Reply::Typed {
                    media: openapi::PROTOBUF.to_owned(),
                    body: openapi::v2_in_protobuf(&state),
                });
            }
            (["openapi", "v2"], _) => Some(openapi::v2()),
            (["openapi", "v3"], _) => Some(openapi::index(&state)),
            (["openapi", "v3", rest @ ..], _) => openapi::document(&state, &rest.join("/")),
            _ => None,
        };
        found.map(|value| Reply::value(&value)).ok_or_else(ApiError::no_such_path)
    }
}

/// What a path leads to.
enum Target {
    Document,
    Resource { resource: Arc<Resource>, path: ResourcePath },
    Unknown(ApiError),
}

impl Target {
    fn of(call: &Call, state: &State) -> Self {
        let Some(path) = ResourcePath::parse(&call.path) else { return Self::Document };
        if !state.serves_group(&path.group, &path.version) {
            return Self::Unknown(ApiError::no_such_path());
        }
        let Some(resource) = state.resource(&path.group, &path.version, &path.resource) else {
            return Self::Unknown(ApiError::no_such_resource());
        };
        let misplaced = match resource.namespaced {
            true => path.namespace.is_empty() && !path.name.is_empty(),
            false => !path.namespace.is_empty(),
        };
        if misplaced || (!path.subresource.is_empty() && !resource.has_subresource(&path.subresource)) {
            return Self::Unknown(ApiError::no_such_resource());
        }
        match verb(call, &path, &resource) {
            Some(_) => Self::Resource { resource, path },
            None => Self::Unknown(ApiError::method_not_allowed()),
        }
    }

    /// The request as the log and the rules of access see it.
    fn request(&self, call: &Call) -> Request {
        let agent = call.header(USER_AGENT).to_owned();
        let Self::Resource { resource, path } = self else {
            let (verb, resource) = (call.method.as_str().to_lowercase(), call.path.clone());
            return Request { agent, verb, resource, ..Request::default() };
        };
        // A watch of one object is one of a list: its name is a selector.
        let name = call.query.get("fieldSelector").and_then(|s| s.strip_prefix("metadata.name="));
        let selected = name.filter(|name| path.name.is_empty() && !name.contains(',')).unwrap_or_default();
        Request {
            user: String::new(),
            agent,
            verb: verb(call, path, resource).unwrap_or_default().to_owned(),
            group: resource.group.clone(),
            resource: resource.plural.clone(),
            subresource: path.subresource.clone(),
            namespace: path.namespace.clone(),
            name: if path.name.is_empty() { selected.to_owned() } else { path.name.clone() },
            field_manager: call.query.get("fieldManager").unwrap_or_default().to_owned(),
            code: 0,
        }
    }
}

/// The verb of a request, if the resource has it at this place.
fn verb(call: &Call, path: &ResourcePath, resource: &Resource) -> Option<&'static str> {
    let one = !path.name.is_empty();
    let watching = path.watch || (!one && call.query.flag("watch"));
    let verb = match call.method {
        Method::GET if watching => "watch",
        Method::GET if one => "get",
        Method::GET => "list",
        Method::POST if !one && (path.namespace.is_empty() != resource.namespaced) => "create",
        Method::PUT if one => "update",
        Method::PATCH if one => "patch",
        Method::DELETE if one => "delete",
        Method::DELETE => "deletecollection",
        _ => return None,
    };
    let allowed = match path.subresource.as_str() {
        "" => resource.verbs.contains(&verb),
        "finalize" => verb == "update",
        PROXY => verb == "get",
        _ => ["get", "update", "patch"].contains(&verb),
    };
    allowed.then_some(verb)
}

fn patch_kind(call: &Call, resource: &Resource) -> Result<PatchKind> {
    let custom = resource.strategy.is_custom();
    PatchKind::of(call.content_type()).filter(|kind| *kind != PatchKind::Strategic || !custom).ok_or_else(|| {
        let strategic = if custom { "" } else { ", application/strategic-merge-patch+json" };
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {PATCH_TYPES}{strategic}"
        );
        ApiError::new(415, "UnsupportedMediaType", message)
    })
}

/// The object in a body, in whichever of the formats it is.
fn read_body(call: &Call) -> Result<Value> {
    let unknown = || {
        ApiError::new(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: application/json, \
             application/yaml",
        )
    };
    match call.content_type() {
        "" | "application/json" => decode::parse(&call.body, false),
        "application/yaml" => decode::parse(&call.body, true),
        protobuf::MEDIA_TYPE => protobuf::parse(&call.body).ok_or_else(unknown),
        _ => Err(unknown()),
    }
}

fn dry_run(call: &Call, kind: &str) -> Result<bool> {
    match call.query.get("dryRun") {
        None => Ok(false),
        Some("All") => Ok(true),
        Some(other) => {
            Err(ApiError::invalid_options(kind, &[FieldError::unsupported("dryRun", vec![other], &["All"])]))
        }
    }
}

fn write_options(call: &Call, path: &ResourcePath, kind: Option<PatchKind>) -> Result<Write> {
    let options = match call.method {
        Method::POST => "CreateOptions",
        Method::PUT => "UpdateOptions",
        _ => "PatchOptions",
    };
    let mut errors = Vec::new();
    let manager = call.query.get("fieldManager");
    if manager.is_none() && kind == Some(PatchKind::Apply) {
        errors.push(FieldError::required("fieldManager", "is required for apply patch"));
    }
    if manager.is_some_and(|name| name.len() > MAX_MANAGER_BYTES) {
        errors.push(FieldError::too_long("fieldManager", MAX_MANAGER_BYTES));
    }
    if call.query.get("force").is_some() && kind.is_some_and(|kind| kind != PatchKind::Apply) {
        errors.push(FieldError::forbidden("force", "may not be specified for non-apply patch"));
    }
    let validation = match call.query.get("fieldValidation") {
        None | Some("Warn") => FieldValidation::Warn,
        Some("Strict") => FieldValidation::Strict,
        Some("Ignore") => FieldValidation::Ignore,
        Some(other) => {
            errors.push(FieldError::unsupported("fieldValidation", other, &["Ignore", "Strict", "Warn"]));
            FieldValidation::Warn
        }
    };
    let dry_run = dry_run(call, options)?;
    if !errors.is_empty() {
        return Err(ApiError::invalid_options(options, &errors));
    }
    let agent = call.header(USER_AGENT).split('/').next().filter(|agent| !agent.is_empty());
    Ok(Write {
        namespace: path.namespace.clone(),
        name: path.name.clone(),
        part: match path.subresource.as_str() {
            "status" => Subresource::Status,
            "finalize" => Subresource::Finalize,
            _ => Subresource::Main,
        },
        dry_run,
        validation,
        manager: manager.or(agent).unwrap_or("unknown").to_owned(),
    })
}

fn written_reply(resource: &Resource, written: Written, shape: Shape) -> Reply {
    let mut object = written.object;
    object::tidy_metadata(&mut object);
    let body = render::value(resource, &object, shape, true).to_string().into();
    Reply::Json { code: written.code, body, warnings: written.warnings }
}
