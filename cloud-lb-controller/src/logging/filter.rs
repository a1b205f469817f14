//! What `--log-level` may say: a level, or levels by part.

use cloud_provider::cut_short;
use tracing_subscriber::EnvFilter;

/// From nothing to everything.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// What other programs call them.
const OTHER_WORDS: [(&str, &str); 5] = [
    ("warning", "warn"),
    ("err", "error"),
    ("fatal", "error"),
    ("information", "info"),
    ("verbose", "debug"),
];

/// The parts that are ours. Who wants to know more wants to know more of these first; what the HTTP client and the SDK
/// have to say of each request comes with the next level.
const OURS: [&str; 7] = [
    "apiserver_client",
    "cloud_lb_controller",
    "cloud_provider",
    "metallb",
    "provider_aws",
    "provider_bare",
    "service_controller",
];

/// Reads it.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub(super) fn parse(text: &str) -> Result<EnvFilter, String> {
    let text = text.trim();
    let wrong = |why: String| {
        format!(
            "{:?} is no log filter ({why}); write a level ({}), or levels by part: info,service_controller=debug",
            cut_short(text),
            LEVELS.join(", ")
        )
    };
    let mut directives = Vec::new();
    for directive in split(text) {
        let (part, level) = match directive.rsplit_once('=') {
            Some((part, level)) => (Some(part), level),
            // A span without a level is let through whole.
            None if directive.contains('[') => (Some(directive), "trace"),
            None => (None, directive),
        };
        let known = LEVELS.iter().position(|known| known.eq_ignore_ascii_case(level.trim()));
        let known = known.ok_or_else(|| wrong(no_level(level)))?;
        match part {
            Some(_) => directives.push(directive.to_owned()),
            None => directives.extend(everywhere(known)),
        }
    }
    if directives.is_empty() {
        return Err(wrong("it is empty".into()));
    }
    EnvFilter::try_new(directives.join(",")).map_err(|error| wrong(cut_short(error.to_string())))
}

/// A level for everything, which from `debug` on is for us, and the one before it for what we are made of.
fn everywhere(level: usize) -> Vec<String> {
    let name = LEVELS[level];
    match name {
        "debug" | "trace" => {
            let ours = OURS.iter().map(|part| format!("{part}={name}"));
            std::iter::once(LEVELS[level - 1].to_owned()).chain(ours).collect()
        }
        _ => vec![name.to_owned()],
    }
}

/// At commas, but those among the fields of a span.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = 0_usize;
    let parts = text.split(move |character| {
        match character {
            '[' | '{' => inside += 1,
            ']' | '}' => inside = inside.saturating_sub(1),
            _ => {}
        }
        character == ',' && inside == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty())
}

fn no_level(word: &str) -> String {
    let meant = OTHER_WORDS.iter().find(|(other, _)| other.eq_ignore_ascii_case(word.trim()));
    let word = cut_short(word);
    match meant {
        Some((_, level)) => format!("{word:?} is no level; did you mean {level:?}?"),
        None => format!("{word:?} is no level"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused_and_no_silence() {
        for (text, says) in [
            ("warning", "\"warning\" is no level; did you mean \"warn\"?"),
            ("inof", "\"inof\" is no level"),
            ("info,service_controller=loud", "\"loud\" is no level"),
            ("service_controller", "\"service_controller\" is no level"),
            ("", "it is empty"),
            (" , ", "it is empty"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(
                error.contains(says) && error.contains("off, error, warn, info, debug, trace"),
                "{error}"
            );
        }
        let error = parse(&"x".repeat(9_000)).unwrap_err();
        assert!(error.len() < 1_500, "{error}");
    }

    #[test]
    fn debug_is_ours_before_it_is_that_of_what_we_are_made_of() {
        let shown = parse("debug").unwrap().to_string();
        assert!(shown.contains("service_controller=debug") && shown.ends_with(",info"), "{shown}");
        let shown = parse("trace").unwrap().to_string();
        assert!(shown.contains("provider_bare=trace") && shown.ends_with(",debug"), "{shown}");
        assert_eq!(parse("WARN").unwrap().to_string(), "warn");
        assert_eq!(parse("info,hyper=debug").unwrap().to_string(), "hyper=debug,info");
        assert!(parse("[reconcile{service=web}]=debug,info").is_ok());
        assert!(parse("[reconcile],info").is_ok());
    }
}
