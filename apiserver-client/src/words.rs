//! What went wrong, in one line.

use std::error::Error;

use kube::runtime::watcher;

/// The server's message where it answered; else the error with its innermost cause, which is the one that says something
/// ("connection refused").
pub fn in_words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.trim_end().to_owned(),
        // kube's name of the layer that failed says nothing to anybody.
        kube::Error::Service(inner) => with_its_cause(inner.as_ref()),
        error => with_its_cause(error),
    }
}

fn with_its_cause(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    match causes.last() {
        Some(cause) if !error.to_string().contains(&cause.to_string()) => format!("{error}: {cause}"),
        _ => error.to_string(),
    }
}

/// Why a watch failed, and in which of its steps.
pub fn watch_in_words(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error) => format!("the list failed: {}", in_words(error)),
        watcher::Error::WatchStartFailed(error) => format!("the watch was not begun: {}", in_words(error)),
        watcher::Error::WatchFailed(error) => format!("the watch broke: {}", in_words(error)),
        watcher::Error::WatchError(status) => format!("the server ended the watch: {}", status.message),
        watcher::Error::NoResourceVersion => "the server named no resourceVersion".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use kube::core::Status;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("client error (Connect)")]
    struct Connect(#[source] io::Error);

    #[test]
    fn an_error_is_one_line_with_its_innermost_cause_and_says_nothing_twice() {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let status = Status::failure("services is forbidden\n", "Forbidden").with_code(403);
        for (error, said) in [
            (kube::Error::Api(status.boxed()), "services is forbidden"),
            (kube::Error::ReadEvents(refused()), "Error reading events stream: connection refused"),
            (
                kube::Error::Service(Box::new(Connect(refused()))),
                "client error (Connect): connection refused",
            ),
            (kube::Error::Service("no answer within 30s".into()), "no answer within 30s"),
        ] {
            assert_eq!(in_words(&error), said);
        }
        let error = watcher::Error::InitialListFailed(kube::Error::Service("no answer within 30s".into()));
        assert_eq!(watch_in_words(&error), "the list failed: no answer within 30s");
    }
}
