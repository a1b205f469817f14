//! Create, update, patch: from a decoded request to a new version of an object.

use serde_json::Value;

use super::decode::{self, FieldValidation};
use super::kinds::Resource;
use super::object::{self, as_map};
use super::patch::{self, PatchKind, managed};
use super::request::Subresource;
use super::state::{State, Write, Written, validate_metadata, validate_metadata_update};
use super::status::{ApiError, FieldError, Result};

/// The metadata that only the server sets.
const SERVER_SET: [&str; 5] =
    ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"];

impl State {
    pub(crate) fn create(&mut self, resource: &Resource, sent: Value, write: &Write) -> Result<Written> {
        let (mut new, warnings) = self.decoded(resource, sent, write, false)?;
        self.check_names(&new, write, true)?;
        let mut write = write.clone();
        if resource.namespaced {
            object::set_meta(&mut new, "namespace", write.namespace.clone());
        } else {
            object::remove_meta(&mut new, "namespace");
        }
        if object::name(&new).is_empty() {
            if let Some(prefix) = object::meta(&new, "generateName") {
                write.name = generated_name(prefix);
            }
            let name = write.name.clone();
            object::set_meta(&mut new, "name", name);
        } else {
            write.name = object::name(&new).to_owned();
        }
        self.finish_create(resource, new, &write, warnings, true)
    }

    /// A new object that is decoded and named. An applier owns what it named already.
    fn finish_create(
        &mut self,
        resource: &Resource,
        mut new: Value,
        write: &Write,
        mut warnings: Vec<String>,
        track: bool,
    ) -> Result<Written> {
        self.check_namespace(resource, write)?;
        let strategy = &resource.strategy;
        let versioned = object::meta(&new, "resourceVersion").is_some();
        for field in SERVER_SET.into_iter().chain(["resourceVersion"]) {
            object::remove_meta(&mut new, field);
        }
        if track {
            object::remove_meta(&mut new, "managedFields");
        }
        object::set_meta(&mut new, "creationTimestamp", object::timestamp());
        object::set_meta(&mut new, "uid", object::new_uid());
        strategy.default(&mut new);
        // What the server adds from here on is nobody's.
        if track {
            let api_version = resource.api_version();
            let manager = write.manager(&api_version);
            let with_status = strategy.keeps_status_on_create() || !resource.has_status;
            managed::track_create(&mut new, &manager, with_status, &|path| strategy.list_rule(path));
        }
        strategy.prepare_create(&mut new);
        let mut errors = validate_metadata(&new);
        errors.extend(strategy.validate_create(&new));
        self.refuse(resource, &write.name, &errors)?;
        if versioned {
            return Err(ApiError::internal("resourceVersion should not be set on objects to be created"));
        }
        let key = write.key();
        if let Some(existing) = self.store.get(&resource.table, &key) {
            let terminating = object::is_terminating(&existing.value);
            return Err(ApiError::already_exists(resource.name(), &write.name, terminating));
        }
        self.allocate(resource, &key, None, &mut new, write)?;
        warnings.extend(strategy.warnings(&new));
        if write.dry_run {
            return Ok(Written { code: 201, object: new, warnings });
        }
        let stored = self.commit(resource, &key, new);
        Ok(Written { code: 201, object: stored.value.clone(), warnings })
    }

    pub(crate) fn update(&mut self, resource: &Resource, sent: Value, write: &Write) -> Result<Written> {
        let (mut new, warnings) = self.decoded(resource, sent, write, false)?;
        self.check_names(&new, write, false)?;
        if object::name(&new).is_empty() {
            return Err(ApiError::bad_request("name must be provided"));
        }
        if resource.namespaced {
            object::set_meta(&mut new, "namespace", write.namespace.clone());
        }
        let Some(old) = self.store.get(&resource.table, &write.key()) else {
            if resource.strategy.creates_on_update() && write.part == Subresource::Main {
                object::remove_meta(&mut new, "resourceVersion");
                return self.finish_create(resource, new, write, warnings, true);
            }
            return Err(ApiError::not_found(resource.name(), &write.name));
        };
        let version = object::meta(&new, "resourceVersion").unwrap_or_default();
        let conditional = !matches!(version, "" | "0");
        if conditional && version.parse::<u64>().is_err() {
            return Err(ApiError::internal(format!(
                "strconv.ParseUint: parsing {version:?}: invalid syntax"
            )));
        }
        if !conditional && !resource.strategy.updates_unconditionally() {
            let error = FieldError::invalid_text(
                "metadata.resourceVersion",
                "0x0",
                "must be specified for an update",
            );
            return Err(ApiError::invalid(resource.name(), &write.name, &[error]));
        }
        let uid = object::uid(&new);
        if !uid.is_empty() && uid != object::uid(&old.value) {
            let why = format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                object::uid(&old.value)
            );
            return Err(ApiError::conflict(resource.name(), &write.name, why));
        }
        if uid.is_empty() {
            object::set_meta(&mut new, "uid", object::uid(&old.value));
        }
        self.replace(resource, new, write, warnings, true)
    }

    pub(crate) fn patch(
        &mut self,
        resource: &Resource,
        kind: PatchKind,
        patch: &Value,
        force: bool,
        write: &Write,
    ) -> Result<Written> {
        let strategy = resource.strategy.clone();
        let rules = |path: &[&str]| strategy.list_rule(path);
        let live = self.store.get(&resource.table, &write.key());
        if kind == PatchKind::Apply {
            return self.apply(resource, patch, force, write);
        }
        let live = live.ok_or_else(|| ApiError::not_found(resource.name(), &write.name))?;
        let mut new = strategy.show_stored(&live.value).unwrap_or_else(|| live.value.clone());
        if new["apiVersion"] != resource.api_version().as_str() {
            new["apiVersion"] = resource.api_version().into();
        }
        match kind {
            PatchKind::Json => patch::json::apply(&mut new, patch)?,
            PatchKind::Merge => patch::merge::apply(&mut new, patch),
            PatchKind::Strategic => patch::strategic::apply(&mut new, patch, &rules)?,
            PatchKind::Apply => {}
        }
        let (new, warnings) = self.decoded(resource, new, write, true)?;
        self.check_names(&new, write, false)?;
        self.replace(resource, new, write, warnings, true)
    }

    fn apply(&mut self, resource: &Resource, patch: &Value, force: bool, write: &Write) -> Result<Written> {
        let map = patch
            .as_object()
            .ok_or_else(|| ApiError::bad_request("error decoding patch: an object is expected"))?;
        for field in ["apiVersion", "kind"] {
            if !map.contains_key(field) {
                return Err(ApiError::bad_request(format!(
                    "Object '{}' is missing in the applied configuration",
                    if field == "kind" { "Kind" } else { "apiVersion" }
                )));
            }
        }
        if patch["metadata"].get("managedFields").is_some_and(|m| m.as_array().is_some_and(|l| !l.is_empty()))
        {
            return Err(ApiError::bad_request("metadata.managedFields must be nil"));
        }
        let decoded = decode::decode_config(resource, patch.clone())?;
        if !decoded.unknown.is_empty() && !resource.strategy.is_custom() {
            let field = format!(".{}", decoded.unknown[0]);
            return Err(ApiError::internal(format!(
                "failed to create typed patch object ({}/{}; {}): {field}: field not declared in schema",
                write.namespace,
                write.name,
                resource.api_version(),
            )));
        }
        let mut config = decoded.object;
        self.check_names(&config, write, false)?;
        let is_named = object::meta(&config, "name").is_some();
        object::set_meta(&mut config, "name", write.name.clone());
        let strategy = resource.strategy.clone();
        let rules = |path: &[&str]| strategy.list_rule(path);
        let ignored: &[&str] = match write.part {
            Subresource::Status if strategy.is_custom() => &["spec", "metadata"],
            Subresource::Status => &["spec"],
            _ if resource.has_status => &["status"],
            _ => &[],
        };
        let api_version = resource.api_version();
        let manager = write.manager(&api_version);
        let live = self.store.get(&resource.table, &write.key());
        if live.is_none() && write.part != Subresource::Main {
            return Err(ApiError::not_found(resource.name(), &write.name));
        }
        let sent_version = object::meta(&config, "resourceVersion").map(str::to_owned);
        if live.is_none() && sent_version.is_some() {
            return Err(ApiError::not_found(resource.name(), &write.name));
        }
        object::remove_meta(&mut config, "resourceVersion");
        let mut new = patch::apply::apply(
            live.as_deref().map(|l| &l.value),
            &config,
            &manager,
            force,
            ignored,
            &rules,
        )?;
        if let Some(version) = sent_version {
            object::set_meta(&mut new, "resourceVersion", version);
        }
        let warnings = self.unknown(resource, write, decoded.unknown, true)?;
        if live.is_some() {
            return self.replace(resource, new, write, warnings, false);
        }
        // Where it exists the address says which one is meant; what is to be made has to say its name.
        if !is_named {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({} based on URL) was undeterminable: name must be provided",
                write.name
            )));
        }
        if resource.namespaced {
            object::set_meta(&mut new, "namespace", write.namespace.clone());
        }
        object::set_meta(&mut new, "name", write.name.clone());
        self.finish_create(resource, new, write, warnings, false)
    }

    /// Puts a new state in place of the old one, as far as the endpoint and the kind let it.
    fn replace(
        &mut self,
        resource: &Resource,
        mut new: Value,
        write: &Write,
        mut warnings: Vec<String>,
        track: bool,
    ) -> Result<Written> {
        let key = write.key();
        let old = self.get(resource, &write.namespace, &write.name)?;
        let strategy = resource.strategy.clone();
        let version = object::meta(&new, "resourceVersion").unwrap_or_default();
        if !matches!(version, "" | "0") && version != old.version.to_string() {
            return Err(ApiError::stale(resource.name(), &write.name));
        }
        object::set_meta(&mut new, "resourceVersion", old.version.to_string());
        for field in SERVER_SET.into_iter().filter(|field| *field != "uid") {
            match old.value["metadata"].get(field) {
                Some(value) => object::set_meta(&mut new, field, value.clone()),
                None => object::remove_meta(&mut new, field),
            }
        }
        strategy.default(&mut new);
        strategy.prepare_update(&old.value, &mut new, write.part);
        object::tidy_metadata(&mut new);
        let mut errors = validate_metadata_update(&old.value, &new);
        errors.extend(strategy.validate_update(&old.value, &new, write.part));
        self.refuse(resource, &write.name, &errors)?;
        if track {
            let api_version = resource.api_version();
            let manager = write.manager(&api_version);
            managed::track_update(&old.value, &mut new, &manager, &|path| strategy.list_rule(path));
        }
        self.allocate(resource, &key, Some(&old.value), &mut new, write)?;
        warnings.extend(strategy.warnings(&new));
        if new == old.value {
            return Ok(Written { code: 200, object: new, warnings });
        }
        let finished = object::is_terminating(&new)
            && object::finalizers(&new).is_empty()
            && !strategy.waits_on_delete(&new);
        if write.dry_run {
            return Ok(Written { code: 200, object: new, warnings });
        }
        if finished {
            self.commit_removal(resource, &key);
            return Ok(Written { code: 200, object: new, warnings });
        }
        let stored = self.commit(resource, &key, new);
        if resource.table == "services" {
            self.allocator.release(&key, &old.value, Some(&stored.value));
        }
        Ok(Written { code: 200, object: stored.value.clone(), warnings })
    }

    fn allocate(
        &mut self,
        resource: &Resource,
        key: &str,
        old: Option<&Value>,
        new: &mut Value,
        write: &Write,
    ) -> Result<()> {
        if resource.table != "services" || write.part != Subresource::Main {
            return Ok(());
        }
        let assigned = self.allocator.assign(key, old, new, write.dry_run);
        assigned.map_err(|errors| ApiError::invalid(resource.kind_name(), &write.name, &errors))
    }

    fn decoded(
        &self,
        resource: &Resource,
        sent: Value,
        write: &Write,
        is_patch: bool,
    ) -> Result<(Value, Vec<String>)> {
        let decoded = decode::decode(resource, sent).map_err(|error| match is_patch {
            true => ApiError::invalid(
                resource.kind_name(),
                &write.name,
                &[FieldError::invalid("patch", "", error.message)],
            ),
            false => error,
        })?;
        let mut object = decoded.object;
        let warnings = self.unknown(resource, write, decoded.unknown, is_patch)?;
        // Objects of one table are stored in one version, whichever the client speaks.
        if resource.strategy.is_custom() {
            as_map(&mut object).insert("apiVersion".into(), resource.api_version().into());
        }
        Ok((object, warnings))
    }

    fn unknown(
        &self,
        resource: &Resource,
        write: &Write,
        unknown: Vec<String>,
        is_patch: bool,
    ) -> Result<Vec<String>> {
        let all: Vec<String> = unknown.iter().map(|field| format!("unknown field \"{field}\"")).collect();
        match write.validation {
            FieldValidation::Ignore => Ok(Vec::new()),
            FieldValidation::Strict if !all.is_empty() => {
                let message = format!("strict decoding error: {}", all.join(", "));
                if is_patch {
                    let error = FieldError::invalid("patch", "", message);
                    return Err(ApiError::invalid(resource.kind_name(), &write.name, &[error]));
                }
                let (kind, version) = (&resource.kind, &resource.version);
                Err(ApiError::bad_request(format!(
                    "{kind} in version {version:?} cannot be handled as a {kind}: {message}"
                )))
            }
            _ => Ok(all),
        }
    }

    /// The body must not speak of another object than the path does.
    fn check_names(&self, new: &Value, write: &Write, is_create: bool) -> Result<()> {
        let (name, namespace) = (object::name(new), object::namespace(new));
        if !is_create && !name.is_empty() && name != write.name {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                write.name
            )));
        }
        if !namespace.is_empty() && namespace != write.namespace {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        Ok(())
    }

    fn refuse(&self, resource: &Resource, name: &str, errors: &[FieldError]) -> Result<()> {
        match errors {
            [] => Ok(()),
            some => Err(ApiError::invalid(resource.kind_name(), name, some)),
        }
    }
}

fn generated_name(prefix: &str) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let suffix = (0..5).map(|_| char::from(ALPHABET[fastrand::usize(..ALPHABET.len())]));
    prefix.chars().take(58).chain(suffix).collect()
}
