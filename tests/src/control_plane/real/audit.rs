//! What was asked of a real server, read from its audit log.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Deserialize;

use super::Server;
use super::programs::AUDIT_LOG;
use crate::apiserver::Request;

/// The log, from where it was when this was made.
///
/// An entry is in the file before the client has the end of the answer; that of a watch, before it has the beginning.
#[derive(Debug)]
pub(crate) struct AuditLog {
    file: PathBuf,
    from: AtomicU64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(rename = "auditID")]
    id: String,
    verb: String,
    #[serde(rename = "requestURI")]
    uri: String,
    #[serde(default)]
    user_agent: String,
    user: User,
    #[serde(default)]
    object_ref: Option<Object>,
    #[serde(default)]
    response_status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Object {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
}

impl AuditLog {
    /// What comes from now on.
    pub(super) fn of(server: &Server) -> Self {
        let file = server.programs.folder().join(AUDIT_LOG);
        let so_far = std::fs::metadata(&file).expect("the audit log of a server that runs").len();
        AuditLog { file, from: AtomicU64::new(so_far) }
    }

    /// The requests so far.
    pub(crate) fn snapshot(&self) -> Vec<Request> {
        self.read().0
    }

    /// The requests so far; the log starts anew.
    pub(crate) fn take(&self) -> Vec<Request> {
        let (requests, end) = self.read();
        self.from.store(end, Ordering::SeqCst);
        requests
    }

    /// The requests, and where the last whole entry ends.
    fn read(&self) -> (Vec<Request>, u64) {
        let from = self.from.load(Ordering::SeqCst);
        let mut text = String::new();
        let mut file = File::open(&self.file).expect("the audit log of a server that runs");
        file.seek(SeekFrom::Start(from)).expect("a place in the audit log");
        file.read_to_string(&mut text).expect("the audit log is text");
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let mut told = BTreeSet::new();
        let mut requests = Vec::new();
        for line in text[..whole].lines() {
            let entry: Entry =
                serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in the audit log: {line}"));
            // A watch is told of when it begins and when it ends.
            if told.insert(entry.id.clone()) {
                requests.push(entry.into());
            }
        }
        (requests, from + whole as u64)
    }
}

impl From<Entry> for Request {
    fn from(entry: Entry) -> Self {
        let code = entry.response_status.map_or(0, |status| status.code);
        let (user, agent, verb) = (entry.user.username, entry.user_agent, entry.verb);
        let (path, query) = entry.uri.split_once('?').unwrap_or((&entry.uri, ""));
        let Some(object) = entry.object_ref else {
            return Request { user, agent, verb, resource: path.to_owned(), code, ..Request::default() };
        };
        let field_manager = query.split('&').find_map(|pair| pair.strip_prefix("fieldManager="));
        // The log names what was created; rights are given before it has a name. A namespace lies in none.
        let creates = verb == "create" && object.subresource.is_empty();
        let namespace = if object.resource == "namespaces" { String::new() } else { object.namespace };
        Request {
            user,
            agent,
            group: object.api_group,
            resource: object.resource,
            subresource: object.subresource,
            namespace,
            name: if creates { String::new() } else { object.name },
            verb,
            field_manager: field_manager.unwrap_or_default().to_owned(),
            code,
        }
    }
}
