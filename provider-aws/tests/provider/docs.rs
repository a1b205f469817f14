//! The table of annotations in the guide is printed from the table that the reader uses.

use std::fmt::Write as _;

use provider_aws::options::annotation::{PREFIX, SECTIONS};

const BEGIN: &str = "<!-- annotations: begin -->\n";
const END: &str = "<!-- annotations: end -->";

fn print() -> String {
    let mut text = String::new();
    for (section, annotations) in SECTIONS {
        writeln!(text, "### {section}\n").unwrap();
        writeln!(text, "| annotation | values | default | what it does |\n|---|---|---|---|").unwrap();
        for annotation in *annotations {
            let suffix = annotation.key.strip_prefix(PREFIX).expect("every key has the prefix");
            let (of, takes) = (annotation.of, annotation.takes.to_string());
            writeln!(text, "| `{suffix}{of}` | {takes} | {} | {} |", annotation.default, annotation.does)
                .unwrap();
        }
        text.push('\n');
    }
    text
}

#[test]
fn the_guide_lists_every_annotation_as_the_reader_takes_it() {
    let table = print();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/aws.md");
    let guide = std::fs::read_to_string(path).unwrap();
    let (head, rest) = guide.split_once(BEGIN).expect("a place for the table");
    let (written, tail) = rest.split_once(END).expect("its end");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, format!("{head}{BEGIN}{table}{END}{tail}")).unwrap();
    } else {
        assert_eq!(written, table, "run this test with UPDATE_DOCS=1");
    }
}

#[test]
fn no_cell_breaks_the_table() {
    for annotation in SECTIONS.iter().flat_map(|(_, annotations)| annotations.iter()) {
        let cells = [annotation.takes.to_string(), annotation.default.into(), annotation.does.into()];
        assert!(!cells.iter().any(|cell| cell.is_empty() || cell.contains(['|', '\n'])), "{annotation:?}");
    }
}
