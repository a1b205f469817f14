//! Watches: what is there, then every change, for as long as the client wants to know.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::Stream;
use futures::stream;
use hyper::body::{Bytes, Frame};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::fault::WatchLimit;
use super::kinds::Resource;
use super::list;
use super::render::{self, Shape};
use super::request::Query;
use super::selectors::Selector;
use super::state::State;
use super::status::{ApiError, Result};
use super::store::{Event, ObjectChange, Stored};

/// How often a quiet watch that wants bookmarks gets one.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);
/// How long before its end a watch gets a last bookmark.
const LAST_BOOKMARK_LEAD: Duration = Duration::from_secs(2);
/// Marks the end of the objects that were there at the start.
const INITIAL_END: &str = "k8s.io/initial-events-end";

/// A watch that ends within this time gets no bookmarks.
const MIN_WATCH_TIME: Duration = Duration::from_secs(10);

/// No watch lasts longer than a day, in seconds.
const MAX_TIMEOUT_SECONDS: u64 = 86_400;

/// What a watch is to tell.
pub(crate) struct WatchQuery {
    prefix: String,
    selector: Selector,
    version: Option<u64>,
    bookmarks: bool,
    /// The objects that are there come first, and a bookmark after them.
    initial: Option<bool>,
    timeout: Duration,
    shape: Shape,
}

impl WatchQuery {
    pub(crate) fn read(
        resource: &Resource,
        namespace: &str,
        name: &str,
        query: &Query,
        shape: Shape,
    ) -> Result<Self> {
        list::check_version_options(query, true)?;
        let version = list::version_of(query).map_err(|e| ApiError::internal(e.message))?;
        let seconds = query.number("timeoutSeconds")?.filter(|&s| s > 0).map(|s| s.min(MAX_TIMEOUT_SECONDS));
        Ok(Self {
            prefix: list::prefix_of(namespace),
            selector: list::selector_of(resource, name, query)?,
            version,
            bookmarks: query.flag("allowWatchBookmarks"),
            initial: query.get("sendInitialEvents").map(|_| query.flag("sendInitialEvents")),
            // Without a wish of the client, between half an hour and an hour.
            timeout: Duration::from_secs(seconds.unwrap_or_else(|| fastrand::u64(1800..3600))),
            shape,
        })
    }
}

/// A running watch.
pub(crate) struct Watch {
    resource: Arc<Resource>,
    state: Arc<Mutex<State>>,
    query: WatchQuery,
    /// What is known already and not yet sent.
    ready: VecDeque<Bytes>,
    events: mpsc::UnboundedReceiver<Arc<Event>>,
    /// Changes up to this version are known to the client.
    seen: u64,
    columns_sent: bool,
    next_bookmark: Instant,
    end: Instant,
    /// Ends the watch early: raised when all watches are to close.
    closed: watch::Receiver<u64>,
    limit: WatchLimit,
    over: bool,
}

impl Watch {
    pub(crate) fn start(
        resource: Arc<Resource>,
        state: &Arc<Mutex<State>>,
        query: WatchQuery,
        closed: watch::Receiver<u64>,
        limit: WatchLimit,
    ) -> Self {
        let start = Instant::now();
        let mut guard = super::lock(state);
        let now = guard.store.version();
        let table = guard.store.table(&resource.table);
        let events = table.subscribe();
        let mut watch = Self {
            state: state.clone(),
            ready: VecDeque::new(),
            events,
            seen: now,
            columns_sent: false,
            next_bookmark: start + first_bookmark(query.timeout),
            end: start + query.timeout,
            closed,
            limit,
            over: false,
            resource,
            query,
        };
        let from_scratch = matches!(watch.query.version, None | Some(0));
        let with_initial = watch.query.initial.unwrap_or(from_scratch);
        if with_initial {
            let objects: Vec<Arc<Stored>> = table
                .range(&watch.query.prefix)
                .filter(|(_, stored)| watch.query.selector.matches(&stored.value))
                .map(|(_, stored)| stored.clone())
                .collect();
            for object in objects {
                watch.push("ADDED", &object);
            }
            if watch.query.initial == Some(true) && watch.query.bookmarks {
                watch.push_bookmark(now, true);
            }
        } else if !from_scratch {
            let version = watch.query.version.unwrap_or(now);
            match table.since(version) {
                Some(missed) => missed.into_iter().for_each(|event| watch.push_event(&event)),
                None => watch.push_expired(version, table.forgotten()),
            }
            watch.seen = watch.seen.max(version);
        }
        drop(guard);
        watch
    }

    /// A watch that says once that its version is too old, as a fault.
    pub(crate) fn expire(&mut self) {
        self.ready.clear();
        self.push_expired(self.query.version.unwrap_or(0), self.seen);
    }

    fn push_expired(&mut self, wanted: u64, oldest: u64) {
        let error = ApiError::expired(format!("too old resource version: {wanted} ({oldest})"));
        self.push_line("ERROR", error.to_value().to_string().as_bytes());
        self.over = true;
    }

    /// What a change means to a client that only sees what it selected.
    fn push_event(&mut self, event: &Event) {
        if !event.key.starts_with(&self.query.prefix) {
            return;
        }
        let selects = |stored: &Arc<Stored>| self.query.selector.matches(&stored.value);
        let now = event.change != ObjectChange::Deleted && selects(&event.object);
        let before = event.previous.as_ref().is_some_and(selects);
        match (before, now) {
            (false, true) => self.push("ADDED", &event.object),
            (true, true) => self.push("MODIFIED", &event.object),
            (true, false) if event.change == ObjectChange::Deleted => self.push("DELETED", &event.object),
            (true, false) => {
                // The client gets to see the last state that it had selected, under the new version.
                if let Some(previous) = &event.previous {
                    self.push("DELETED", &Stored::at_version(previous, event.object.version));
                }
            }
            (false, false) => {}
        }
    }

    fn push(&mut self, kind: &str, stored: &Stored) {
        let object = match self.query.shape {
            Shape::Table(_) => {
                let value =
                    render::value(&self.resource, &stored.value, self.query.shape, !self.columns_sent);
                self.columns_sent = true;
                value.to_string().into()
            }
            shape => render::object(&self.resource, stored, shape),
        };
        self.push_line(kind, &object);
    }

    fn push_bookmark(&mut self, version: u64, initial_end: bool) {
        let mut object = json!({
            "kind": self.resource.kind, "apiVersion": self.resource.api_version(),
            "metadata": {"resourceVersion": version.to_string()},
        });
        if initial_end {
            object["metadata"]["annotations"] = json!({INITIAL_END: "true"});
        }
        let object = match self.query.shape {
            Shape::Table(_) => json!({
                "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"],
                "columnDefinitions": Value::Null, "rows": [{"cells": [], "object": object}],
            }),
            _ => object,
        };
        self.push_line("BOOKMARK", object.to_string().as_bytes());
    }

    fn push_line(&mut self, kind: &str, object: &[u8]) {
        let mut line = Vec::with_capacity(object.len() + 40);
        line.extend_from_slice(format!(r#"{{"type":"{kind}","object":"#).as_bytes());
        line.extend_from_slice(object);
        line.extend_from_slice(b"}\n");
        self.ready.push_back(line.into());
    }

    /// The next line for the client; `None` at the end of the watch.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if *self.closed.borrow() > self.limit.generation {
                return None;
            }
            if let Some(line) = self.ready.pop_front() {
                if !self.limit.take() {
                    return None;
                }
                return Some(line);
            }
            if self.over {
                return None;
            }
            tokio::select! {
                biased;
                _ = self.closed.changed() => {}
                event = self.events.recv() => {
                    let event = event?;
                    if event.object.version > self.seen {
                        self.push_event(&event);
                    }
                }
                () = tokio::time::sleep_until(self.end) => return None,
                () = tokio::time::sleep_until(self.next_bookmark), if self.query.bookmarks => self.bookmark(),
            }
        }
    }

    /// Tells how far the client is: the version first, then what came up to it.
    fn bookmark(&mut self) {
        let version = super::lock(&self.state).store.version();
        while let Ok(event) = self.events.try_recv() {
            if event.object.version > self.seen {
                self.push_event(&event);
            }
        }
        self.push_bookmark(version.max(self.seen), false);
        self.next_bookmark += BOOKMARK_INTERVAL;
        let last = self.end - LAST_BOOKMARK_LEAD;
        if self.next_bookmark > last && Instant::now() < last {
            self.next_bookmark = last;
        }
    }

    /// The body of the answer.
    pub(crate) fn into_stream(self) -> impl Stream<Item = std::io::Result<Frame<Bytes>>> + Send {
        stream::unfold(self, |mut watch| async move {
            let mut line = watch.next().await?.to_vec();
            // What is ready goes out together: after a reconnect that is a lot.
            while line.len() < 64 * 1024 && !watch.ready.is_empty() && watch.limit.take() {
                if let Some(more) = watch.ready.pop_front() {
                    line.extend_from_slice(&more);
                }
            }
            Some((Ok(Frame::data(line.into())), watch))
        })
    }
}

fn first_bookmark(timeout: Duration) -> Duration {
    if timeout <= MIN_WATCH_TIME {
        BOOKMARK_INTERVAL
    } else {
        BOOKMARK_INTERVAL.min(timeout.checked_sub(LAST_BOOKMARK_LEAD).unwrap())
    }
}
