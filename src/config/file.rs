//! The file as it is written: its tables, and the reading of them that does not stop at the first fault.
//!
//! Types and names only; what a value has to be is in `check`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use serde::Deserialize;
use serde::de::value::Error as FieldsError;
use serde::de::{Deserializer, Error as _, Visitor};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::fault::{self, Faults};

/// A key that may be left out, with the place of its value.
pub(super) type Field<T> = Option<Spanned<T>>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct FileTable {
    pub default_camera: Field<String>,
    pub log: Field<String>,
    pub storage: StorageTable,
    pub web: WebTable,
    pub upload: UploadTable,
    pub cameras: BTreeMap<Spanned<String>, CameraTable>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct StorageTable {
    pub path: Field<String>,
    pub max_size: Field<String>,
    pub max_age_days: Field<i64>,
    pub max_used: Field<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct WebTable {
    pub listen: Field<String>,
    pub listen_tls: Option<Spanned<ListenTlsTable>>,
    pub default_role: Field<String>,
    pub web_app: Field<bool>,
    pub hosts: Vec<Spanned<String>>,
    pub insecure_listen: Field<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct ListenTlsTable {
    pub address: Field<String>,
    pub certificate: Field<String>,
    pub key: Field<String>,
    pub client_ca: Field<String>,
    pub crl: Field<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct UploadTable {
    pub max_spool: Field<String>,
    pub ca_file: Field<String>,
    pub dropbox: Option<Spanned<DropboxTable>>,
    pub s3: Option<Spanned<S3Table>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct DropboxTable {
    pub app_key: Field<String>,
    pub refresh_token_file: Field<String>,
    pub app_secret_file: Field<String>,
    pub token_file: Field<String>,
    pub api_url: Field<String>,
    pub content_url: Field<String>,
    pub max_kb_s: Field<i64>,
    pub max_day: Field<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct S3Table {
    pub endpoint: Field<String>,
    pub region: Field<String>,
    pub bucket: Field<String>,
    pub prefix: Field<String>,
    pub access_key_file: Field<String>,
    pub secret_key_file: Field<String>,
    pub max_kb_s: Field<i64>,
    pub max_day: Field<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct CameraUploadTable {
    pub size: Field<String>,
    pub kbit: Field<i64>,
    pub file_chunk_kb: Field<i64>,
    pub chunk_seconds: Field<i64>,
    pub public_key_path: Field<String>,
    pub seal_trigger: Field<bool>,
    pub destinations: Field<Vec<Spanned<String>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct CameraTable {
    pub label: Field<String>,
    pub source: Field<String>,
    pub credentials_file: Field<String>,
    pub size: Field<String>,
    pub fps: Field<i64>,
    pub rotation: Field<i64>,
    pub record_always: Field<bool>,
    pub encoder: Field<String>,
    pub annotation: AnnotationTable,
    pub motion: MotionTable,
    pub zones: Vec<Spanned<ZoneTable>>,
    pub disk: StreamTable,
    pub live: StreamTable,
    pub upload: Option<Spanned<CameraUploadTable>>,
    pub microcontroller: Option<Spanned<MicrocontrollerTable>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct MicrocontrollerTable {
    pub socket: Field<String>,
    pub servo_on: Field<i64>,
    pub servo_off: Field<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct AnnotationTable {
    pub enabled: Field<bool>,
    pub time_format: Field<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct MotionTable {
    pub sensitivity: Field<f64>,
    pub min_trigger_area: Field<f64>,
    pub recording_padding_s: Field<f64>,
    pub max_event_time_s: Field<f64>,
    pub min_frames: Field<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct ZoneTable {
    pub name: Field<String>,
    pub include: Field<bool>,
    pub points: Field<Vec<[f64; 2]>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct StreamTable {
    pub size: Field<String>,
    pub kbit: Field<i64>,
}

/// Every table of the file with its keys, those that are tables themselves included. A camera's name is `NAME`.
pub(super) fn sections() -> Vec<(&'static str, &'static [&'static str])> {
    vec![
        ("", fields::<FileTable>()),
        ("storage", fields::<StorageTable>()),
        ("web", fields::<WebTable>()),
        ("web.listen_tls", fields::<ListenTlsTable>()),
        ("upload", fields::<UploadTable>()),
        ("upload.dropbox", fields::<DropboxTable>()),
        ("upload.s3", fields::<S3Table>()),
        ("cameras.NAME", fields::<CameraTable>()),
        ("cameras.NAME.annotation", fields::<AnnotationTable>()),
        ("cameras.NAME.motion", fields::<MotionTable>()),
        ("cameras.NAME.zones", fields::<ZoneTable>()),
        ("cameras.NAME.disk", fields::<StreamTable>()),
        ("cameras.NAME.live", fields::<StreamTable>()),
        ("cameras.NAME.upload", fields::<CameraUploadTable>()),
        ("cameras.NAME.microcontroller", fields::<MicrocontrollerTable>()),
    ]
}

/// Reads as much of the file as can be read and says what is wrong with the rest.
///
/// serde stops at the first fault. So whatever it stumbles over is reported and taken out of the document, and the
/// document is read again: every key is optional here, so the rest is as readable as before.
pub(super) fn read(text: &str, faults: &mut Faults) -> FileTable {
    let (mut document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        faults.text(error.span().unwrap_or_default().start, format!("not TOML: {}", error.message()));
    }
    if !faults.is_empty() {
        // What the parser made of broken text says nothing certain about the keys.
        return FileTable::default();
    }
    while !faults.enough() {
        let error = match FileTable::deserialize(toml::de::Deserializer::from(document.clone())) {
            Ok(file) => return file,
            Err(error) => error,
        };
        let span = error.span().unwrap_or_default();
        let mut search = Search { span: &span, path: Vec::new(), best: None };
        search.table(document.get_ref());
        let Some(culprit) = search.best else {
            faults.text(span.start, error.message());
            break;
        };
        let key = shown(&culprit.path);
        if culprit.is_key {
            faults.key(&key, span, unknown(&culprit.path));
        } else {
            faults.value(&key, span, expectation(error.message()));
        }
        remove(document.get_mut(), &culprit.path);
    }
    FileTable::default()
}

/// A step from the file's top to a value.
#[derive(Clone, Debug)]
enum Step {
    Key(String),
    Index(usize),
}

struct Culprit {
    path: Vec<Step>,
    /// Whether the key itself is at fault rather than its value.
    is_key: bool,
    len: usize,
}

/// The search for the key or the innermost value that an error is about.
struct Search<'a> {
    span: &'a Range<usize>,
    path: Vec<Step>,
    best: Option<Culprit>,
}

impl Search<'_> {
    fn table(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            self.path.push(Step::Key(key.get_ref().to_string()));
            if key.span() == *self.span {
                self.best = Some(Culprit { path: self.path.clone(), is_key: true, len: 0 });
            }
            self.value(value);
            self.path.pop();
        }
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>) {
        let span = value.span();
        let len = span.len();
        let holds = span.start <= self.span.start && self.span.end <= span.end;
        if holds && self.best.as_ref().is_none_or(|best| len <= best.len) {
            self.best = Some(Culprit { path: self.path.clone(), is_key: false, len });
        }
        match value.get_ref() {
            DeValue::Table(table) => self.table(table),
            DeValue::Array(array) => self.array(array),
            _ => {}
        }
    }

    fn array(&mut self, array: &DeArray<'_>) {
        for (n, value) in array.iter().enumerate() {
            self.path.push(Step::Index(n));
            self.value(value);
            self.path.pop();
        }
    }
}

/// Takes a value out of the document; of a list of plain values, the whole list.
fn remove(document: &mut DeTable<'_>, path: &[Step]) {
    let Some(last) = path.iter().rposition(|step| matches!(step, Step::Key(_))) else { return };
    let mut table = document;
    let mut steps = path[..last].iter().peekable();
    while let Some(step) = steps.next() {
        let Step::Key(key) = step else { return };
        let Some(mut value) = table.get_mut(key.as_str()).map(Spanned::get_mut) else { return };
        while let Some(Step::Index(n)) = steps.next_if(|step| matches!(step, Step::Index(_))) {
            let DeValue::Array(array) = value else { return };
            let Some(item) = array.get_mut(*n) else { return };
            value = item.get_mut();
        }
        let DeValue::Table(inner) = value else { return };
        table = inner;
    }
    if let Step::Key(key) = &path[last] {
        table.remove(key.as_str());
    }
}

/// A path as it is said: `cameras.front.zones[0].points`.
fn shown(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        // Writing to a string does not fail.
        let _ = match step {
            Step::Key(key) if text.is_empty() => write!(text, "{}", key.escape_debug()),
            Step::Key(key) => write!(text, ".{}", key.escape_debug()),
            Step::Index(n) => write!(text, "[{n}]"),
        };
    }
    text
}

/// What to say about a key that is not known where it stands.
fn unknown(path: &[Step]) -> String {
    let keys: Vec<&str> =
        path.iter().filter_map(|step| if let Step::Key(key) = step { Some(&**key) } else { None }).collect();
    let Some((word, table)) = keys.split_last() else { return "unknown key".to_owned() };
    let table = match table {
        ["cameras", _, rest @ ..] => [&["cameras", "NAME"], rest].concat().join("."),
        _ => table.join("."),
    };
    let sections = sections();
    let known = sections.iter().find(|(name, _)| *name == table).map_or(&[][..], |(_, keys)| keys);
    if let Some((home, _)) = sections.iter().find(|(_, keys)| keys.contains(word)) {
        return match *home {
            "" => "belongs at the top of the file, before the first [table]".to_owned(),
            home => format!("belongs in [{home}]"),
        };
    }
    if let Some(near) = fault::nearest(word, known.iter().copied()) {
        return format!("unknown key; did you mean '{near}'?");
    }
    format!("unknown key; known here: {}", known.join(", "))
}

/// serde's expectation in the words of the file.
fn expectation(message: &str) -> String {
    let Some((_, expected)) = message.rsplit_once("expected ") else { return message.to_owned() };
    match expected {
        "i64" => "must be a whole number".to_owned(),
        "f64" => "must be a number".to_owned(),
        "a boolean" => "must be true or false".to_owned(),
        "a string" => "must be text in quotation marks".to_owned(),
        "a sequence" => "must be a list in [brackets]".to_owned(),
        "an array of length 2" => "must be two numbers, for example [0.5, 0.25]".to_owned(),
        "a map" => "must be a table".to_owned(),
        expected => format!("must be {expected}"),
    }
}

/// The keys that serde knows of a struct.
fn fields<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    // Always an error: it only listens to what is asked for.
    let _ = T::deserialize(FieldsOf(&mut fields));
    fields
}

struct FieldsOf<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldsOf<'_> {
    type Error = FieldsError;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldsError> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, FieldsError> {
        Err(FieldsError::custom("only the fields are asked for"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
