//! Entries of pools are read as MetalLB reads them: what its parser refuses, its speaker refuses with everything else
//! that is configured, and what it accepts must not be refused to somebody who comes from there.
//!
//! `ranges.tsv` has a JSON string a line and, behind a tab, how MetalLB 0.15.2 reads it, written by its own parser
//! (`tests/kubernetes/metallb/ranges`). The gate writes it again and compares.

use metallb::range::AddressRange;

const RECORDED: &str = include_str!("ranges.tsv");

fn table() -> Vec<(String, &'static str)> {
    let entry = |line: &'static str| {
        let (entry, reading) = line.split_once('\t').expect("two columns");
        (serde_json::from_str(entry).expect("a JSON string"), reading)
    };
    RECORDED.lines().map(entry).collect()
}

#[test]
fn every_entry_is_read_as_metallb_reads_it() {
    for (entry, theirs) in table() {
        let ours = entry.parse::<AddressRange>();
        match theirs {
            // An entry without any address is accepted there. It is a mistake all the same, and told as one.
            "refused" | "nothing" => assert!(ours.is_err(), "{entry:?} is {theirs} there, and here {ours:?}"),
            range => assert_eq!(ours.map(|ours| ours.to_string()).as_deref(), Ok(range), "{entry:?}"),
        }
    }
}

#[test]
fn the_table_is_large_and_has_both_columns() {
    let table = table();
    let refused = table.iter().filter(|(_, reading)| *reading == "refused").count();
    assert!(table.len() > 100 && refused > 50 && table.len() - refused > 40, "{} and {refused}", table.len());
}
