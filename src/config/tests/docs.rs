//! `ancillary/docs/config.md`, the example and the program know the same keys, and each other's values are right.

use std::collections::BTreeMap;

use super::parse;
use crate::camera::Source;
use crate::config::file::sections;
use crate::config::{CameraConfig, Config};

const DOCS: &str = include_str!("../../../ancillary/docs/config.md");
const EXAMPLE: &str = include_str!("../../../ancillary/watchtower.example.toml");

/// `table.key` of everything that is no table itself.
fn known() -> Vec<String> {
    let sections = sections();
    let tables: Vec<&str> = sections.iter().map(|(name, _)| *name).collect();
    let mut known = Vec::new();
    for (table, keys) in &sections {
        for key in *keys {
            let path = if table.is_empty() { (*key).to_owned() } else { format!("{table}.{key}") };
            if path != "cameras" && !tables.contains(&path.as_str()) {
                known.push(path);
            }
        }
    }
    known.sort();
    known
}

/// A row of the document's tables: the key, then the cells for default and example without their backticks.
struct Row {
    table: String,
    key: String,
    default: String,
    example: String,
}

impl Row {
    fn path(&self) -> String {
        if self.table.is_empty() { self.key.clone() } else { format!("{}.{}", self.table, self.key) }
    }
}

fn rows() -> Vec<Row> {
    let mut table = String::new();
    let mut rows = Vec::new();
    for line in DOCS.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            table = heading.trim_matches(['`', '[', ']']).replace("Top of the file", "");
        }
        let cells: Vec<&str> = line.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
        if let [key, default, example, _] = cells[..]
            && let Some(key) = key.strip_prefix('`').and_then(|key| key.strip_suffix('`'))
        {
            let [default, example] = [default, example].map(|cell| cell.trim_matches('`').to_owned());
            rows.push(Row { table: table.clone(), key: key.to_owned(), default, example });
        }
    }
    rows
}

/// A file with these values by table and key, for a camera called `front`.
fn file(values: impl IntoIterator<Item = (Row, String)>) -> String {
    let mut tables: BTreeMap<String, String> = BTreeMap::new();
    for (row, value) in values {
        let table = row.table.replace("NAME", "front");
        *tables.entry(table).or_default() += &format!("{} = {value}\n", row.key);
    }
    let header = |table: &str| match table {
        "" => String::new(),
        table if table.ends_with(".zones") => format!("[[{table}]]\n"),
        table => format!("[{table}]\n"),
    };
    tables.iter().map(|(table, lines)| header(table) + lines).collect()
}

/// The example with every key that is commented out.
fn whole_example() -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(key) if !key.starts_with(' ') => format!("{key}\n"),
        _ => format!("{line}\n"),
    };
    EXAMPLE.lines().map(line).collect()
}

#[test]
fn the_document_has_every_key_once_and_no_other() {
    let mut documented: Vec<String> = rows().iter().map(Row::path).collect();
    documented.sort();
    assert_eq!(documented, known());
}

#[test]
fn the_documents_defaults_are_the_programs() {
    // Without these there is no camera; the rest of a zone has no default either.
    let lines = "[cameras.front]\nsource = 'pattern'\n";
    let defaults = rows().into_iter().filter(|row| row.default != "–" && !row.table.ends_with("zones"));
    let text = file(defaults.map(|row| {
        let default = row.default.clone();
        (row, default)
    }));
    let text = text.replace("[cameras.front]\n", lines);
    // These tables are a choice: their defaults hold where they stand. That of TLS has none.
    let dropbox = "[upload.dropbox]\ntoken_file = 'token'\n";
    let s3 = "[upload.s3]\nendpoint = 'http://h'\nbucket = 'b'\naccess_key_file = 'id'\nsecret_key_file = 'key'\n";
    let text = text.replace("[upload.dropbox]\n", dropbox).replace("[upload.s3]\n", s3);
    let chosen = format!("{lines}[cameras.front.microcontroller]\n[cameras.front.upload]\n{dropbox}{s3}");
    assert_eq!(parse(&text).unwrap_or_else(|faults| panic!("{faults}\n{text}")), parse(&chosen).unwrap());
}

#[test]
fn the_documents_examples_load_and_differ_from_the_defaults() {
    let examples = |skip: &[&str]| {
        let rows = rows().into_iter().filter(|row| !skip.contains(&&*row.key));
        file(rows.map(|row| {
            assert_ne!(row.example, row.default, "{}", row.path());
            let example = row.example.clone();
            (row, example)
        }))
    };
    // Credentials belong to a network camera, and the example of a source is a device. A token that stays is the other way
    // into Dropbox.
    let text = examples(&["credentials_file", "token_file"]);
    let config = parse(&text).unwrap_or_else(|faults| panic!("{faults}\n{text}"));
    assert_eq!(config.cameras["front"].zones[0].name, "road");
}

#[test]
fn the_example_loads_as_it_is_and_with_every_key() {
    let config = parse(EXAMPLE).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(config.cameras.keys().collect::<Vec<_>>(), ["front", "yard"]);
    assert_eq!(config.cameras["front"].zones.len(), 2);

    let whole = whole_example();
    parse(&whole).unwrap_or_else(|faults| panic!("{faults}"));
    let mut shown = Vec::new();
    let mut table = String::new();
    for line in whole.lines() {
        if line.starts_with('[') {
            table = line.trim_matches(['[', ']']).replace("front", "NAME").replace("yard", "NAME") + ".";
        } else if let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.starts_with('#')) {
            shown.push(format!("{table}{key}"));
        }
    }
    shown.sort();
    shown.dedup();
    // The other way into Dropbox, which only owners of an old token have.
    let known: Vec<_> = known().into_iter().filter(|key| key != "upload.dropbox.token_file").collect();
    assert_eq!(shown, known);
}

#[test]
fn what_the_example_comments_out_is_the_default_or_a_choice() {
    let config = parse(EXAMPLE).unwrap();
    let defaults = CameraConfig::new("front", Source::Pattern);
    let front = &config.cameras["front"];
    let whole: Config = parse(&whole_example()).unwrap();
    assert_eq!(front.motion, defaults.motion);
    assert_eq!(whole.cameras["front"].motion, defaults.motion);
    assert_eq!(whole.cameras["front"].annotation, defaults.annotation);
    assert_eq!((whole.web.web_app, whole.web.insecure_listen), (config.web.web_app, config.web.insecure_listen));
    assert_eq!((whole.web.default_role, config.web.listen_tls), (config.web.default_role, None));
}
