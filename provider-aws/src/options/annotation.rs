//! The annotations of a Service: their keys, and a reader that turns text into values and collects every mistake.
//!
//! Keys and syntax are those of the AWS Load Balancer Controller's *Service annotations* page, so that manifests
//! move between the two. Where that controller takes nonsense in silence, this reader reports it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;

use cloud_provider::{Mistake, Note, NoteKind, ServiceView, SortedMap};

use super::scope::Scope;

mod table;

use table::decided_by;
pub use table::{Annotation, PREFIX, SECTIONS, Takes, key, of};

/// Reads the annotations of one Service. Every method that meets a value it cannot use notes a [`Mistake`], with what it
/// leaves undecided, and answers as if the annotation were absent, so that one pass finds all mistakes.
pub(crate) struct Reader<'a> {
    annotations: &'a SortedMap<String>,
    until_then: &'static str,
    mistakes: Vec<Mistake>,
    undecided: BTreeSet<Scope>,
    notes: Vec<Note>,
}

/// What a reader found, for good or ill.
pub(crate) struct Findings {
    pub(crate) mistakes: Vec<Mistake>,
    /// What the mistakes leave undecided.
    pub(crate) undecided: BTreeSet<Scope>,
    pub(crate) notes: Vec<Note>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(service: &'a ServiceView) -> Self {
        let until_then = match service.published.is_empty() {
            true => "no load balancer is made",
            false => "the load balancer keeps serving as it is",
        };
        Reader {
            annotations: &service.annotations,
            until_then,
            mistakes: Vec::new(),
            undecided: BTreeSet::new(),
            notes: Vec::new(),
        }
    }

    /// What was found.
    pub(crate) fn finish(self) -> Findings {
        Findings { mistakes: self.mistakes, undecided: self.undecided, notes: self.notes }
    }

    /// Whether a mistake was found in this annotation.
    pub(crate) fn is_mistaken(&self, key: &str) -> bool {
        let field = Mistake::in_annotation(key, "", "").field;
        self.mistakes.iter().any(|mistake| mistake.field == field)
    }

    /// The text of an annotation, trimmed; an empty one counts as present.
    pub(crate) fn text(&self, key: &str) -> Option<&'a str> {
        self.annotations.get(key).map(|text| text.trim())
    }

    /// The annotations whose key starts so, with the rest of their key.
    pub(crate) fn family(&self, start: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let annotations = self.annotations;
        annotations.iter().filter_map(move |(key, text)| Some((key.strip_prefix(start)?, text.trim())))
    }

    /// The keys of annotations that start with `start`.
    pub(crate) fn keys(&self, start: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
        let annotations = self.annotations;
        annotations.keys().map(String::as_str).filter(move |key| key.starts_with(start))
    }

    /// Notes a mistake in an annotation, which leaves undecided what the annotation decides.
    pub(crate) fn wrong(&mut self, key: &str, value: impl Into<String>, problem: &str, allowed: &str) {
        self.mistake(Mistake::in_annotation(key, value, problem).allowing(allowed), decided_by(key));
    }

    /// Notes a mistake in an annotation that one port alone has.
    pub(crate) fn wrong_for_port(
        &mut self,
        port: u16,
        key: &str,
        value: impl Into<String>,
        problem: &str,
        allowed: &str,
    ) {
        self.mistake(Mistake::in_annotation(key, value, problem).allowing(allowed), [Scope::Port(port)]);
    }

    /// Notes a mistake in any field, and what it leaves undecided.
    pub(crate) fn mistake(&mut self, mistake: Mistake, undecided: impl IntoIterator<Item = Scope>) {
        self.undecided.extend(undecided);
        let mistake = mistake.meanwhile(self.until_then);
        // What all ports share is read for each of them.
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }

    /// Notes that an annotation names a port which the Service does not have. Where a port could not be read, that one may be
    /// meant.
    pub(crate) fn no_such_port(&mut self, key: &str, value: &str, problem: &str, allowed: &str) {
        if self.knows_all_ports() {
            self.wrong(key, value, problem, allowed);
        }
    }

    /// Whether every port of the Service could be read.
    pub(crate) fn knows_all_ports(&self) -> bool {
        !self.undecided.contains(&Scope::PortList)
    }

    /// Notes an annotation of a feature that does not exist here yet.
    pub(crate) fn unsupported(&mut self, key: &str, value: impl Into<String>, allowed: &str) {
        self.wrong(key, value, "is not yet supported", allowed);
    }

    /// Tells the user something that stops nothing.
    pub(crate) fn note(&mut self, kind: NoteKind, reason: &str, message: String) {
        self.notes.push(Note::new(kind, reason, message));
    }

    /// Tells the user that a key is old and what to write instead.
    pub(crate) fn deprecated(&mut self, key: &str, instead: &str) {
        let message = format!("annotation {key} is deprecated; use {instead}");
        self.note(NoteKind::Normal, "DeprecatedAnnotation", message);
    }

    /// A truth value as Go's `strconv.ParseBool` has it, which is what users' manifests were written for.
    pub(crate) fn flag(&mut self, key: &str) -> Option<bool> {
        let text = self.text(key)?;
        match text {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
            _ => {
                self.wrong(key, text, "is not a truth value", "true, false");
                None
            }
        }
    }

    /// `on` or `off`.
    pub(crate) fn switch(&mut self, key: &str) -> Option<bool> {
        let text = self.text(key)?;
        match text {
            "on" => Some(true),
            "off" => Some(false),
            _ => {
                self.wrong(key, text, "is neither on nor off", "on, off");
                None
            }
        }
    }

    /// A whole number in the range that the table has for it.
    pub(crate) fn number(&mut self, key: &str) -> Option<u32> {
        let Some(Takes::Number(range)) = of(key).map(|annotation| &annotation.takes) else { return None };
        let text = self.text(key)?;
        match text.parse() {
            Ok(number) if range.contains(&number) => Some(number),
            _ => {
                self.wrong(key, text, "is not a number in range", &Takes::Number(range.clone()).to_string());
                None
            }
        }
    }

    /// One of the words that the table has for it, as they parse.
    pub(crate) fn word<T: FromStr<Err: Display>>(&mut self, key: &str) -> Option<T> {
        let text = self.text(key)?;
        text.parse().map_err(|_| self.not_a_word(key, text, "is not a known value")).ok()
    }

    /// Notes that a value is none of the words that the table has for it.
    pub(crate) fn not_a_word(&mut self, key: &str, value: &str, problem: &str) {
        let allowed = of(key).map(|annotation| annotation.takes.to_string()).unwrap_or_default();
        self.wrong(key, value, problem, &allowed);
    }

    /// Items separated by commas, trimmed, without empty ones. Empty text is a list of none.
    pub(crate) fn list(&self, key: &str) -> Option<Vec<&'a str>> {
        Some(self.text(key)?.split(',').map(str::trim).filter(|item| !item.is_empty()).collect())
    }

    /// A list whose items parse; those that do not are mistakes.
    pub(crate) fn parsed_list<T: FromStr>(&mut self, key: &str, allowed: &str) -> Vec<T> {
        let mut parsed = Vec::new();
        for item in self.list(key).unwrap_or_default() {
            match item.parse() {
                Ok(item) => parsed.push(item),
                Err(_) => self.wrong(key, item, "does not parse", allowed),
            }
        }
        parsed
    }

    /// `key=value` pairs separated by commas.
    pub(crate) fn map(&mut self, key: &str) -> BTreeMap<String, String> {
        let Some(text) = self.text(key) else { return BTreeMap::new() };
        pairs(text).unwrap_or_else(|()| {
            self.wrong(
                key,
                text,
                "is not a list of key=value pairs",
                r"key=value,key=value; a comma inside a value is written \,",
            );
            BTreeMap::new()
        })
    }
}

/// What a mistake leaves undecided that is found before the annotations are read, or beside what exists, by the field that
/// it is told of.
pub(crate) fn undecided_by(mistake: &Mistake) -> Vec<Scope> {
    let field = mistake.field.as_str();
    // Behind it stands which entry of a list it is.
    match field.strip_prefix("metadata.annotations[").and_then(|rest| rest.split_once(']')) {
        Some((key, _)) => decided_by(key),
        None if field.starts_with("spec.loadBalancerSourceRanges") => vec![Scope::Access],
        None if field.starts_with("spec.ports[") => vec![Scope::PortList],
        None => vec![Scope::Everything],
    }
}

/// Reads `key=value` pairs as the AWS Load Balancer Controller does: a backslash takes the next character
/// literally, a comma ends a pair only when another `=` follows, each pair splits at its first `=`, both sides
/// are trimmed, a value may be empty, the last of two equal keys counts.
fn pairs(text: &str) -> Result<BTreeMap<String, String>, ()> {
    let mut read = BTreeMap::new();
    let (mut name, mut current, mut in_value) = (String::new(), String::new(), false);
    let mut rest = text.chars();
    let mut keep = |name: &str, value: &str| match name.trim() {
        "" => Err(()),
        name => {
            read.insert(name.to_owned(), value.trim().to_owned());
            Ok(())
        }
    };
    while let Some(c) = rest.next() {
        match c {
            '\\' => current.extend(rest.next()),
            '=' if !in_value => {
                name = std::mem::take(&mut current);
                in_value = true;
            }
            ',' if rest.as_str().contains('=') => {
                if !in_value {
                    return Err(());
                }
                keep(&name, &current)?;
                current.clear();
                in_value = false;
            }
            // Text after the last pair that is no pair: a forgotten `=` more likely than a comma in a value.
            ',' if !rest.as_str().trim().is_empty() => return Err(()),
            c => current.push(c),
        }
    }
    if in_value {
        keep(&name, &current)?;
    } else if !current.trim().is_empty() {
        return Err(());
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_as_the_aws_load_balancer_controller_reads_them() {
        type Pairs<'a> = &'a [(&'a str, &'a str)];
        let table: [(&str, Result<Pairs<'_>, ()>); 11] = [
            ("", Ok(&[])),
            ("a=1", Ok(&[("a", "1")])),
            (" a = 1 , b = 2 ", Ok(&[("a", "1"), ("b", "2")])),
            (r"a=1\,2,b=3", Ok(&[("a", "1,2"), ("b", "3")])),
            ("a=", Ok(&[("a", "")])),
            ("a=x=y", Ok(&[("a", "x=y")])),
            ("a=1,a=2", Ok(&[("a", "2")])),
            ("a=1,", Ok(&[("a", "1,")])),
            ("a", Err(())),
            ("=1", Err(())),
            ("a=1,b", Err(())),
        ];
        for (text, expected) in table {
            let expected =
                expected.map(|pairs| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
            assert_eq!(pairs(text), expected, "{text:?}");
        }
    }
}
