//! From the file's tables to the checked types of uploads.

use std::collections::BTreeMap;
use std::path::PathBuf;

use toml::Spanned;

use super::check::Check;
use super::fault;
use super::file::{CameraUploadTable, DropboxTable, Field, FileTable, S3Table, UploadTable};
use super::value::{base_url, confidential_url, upload_folder, whole};
use super::{
    CameraConfig, CameraUpload, DropboxAuth, DropboxConfig, FILE_CHUNK_KB, Limits, S3Config, UploadConfig, bytes,
};
use crate::media::Resolution;

/// Less would not hold a few of the largest files.
const MIN_SPOOL_BYTES: u64 = 200_000_000;
/// Less would not carry a few files.
const MIN_DAY_BYTES: u64 = 10_000_000;
const CHUNK_SECONDS: std::ops::RangeInclusive<u32> = 1..=300;
const MAX_KB_S: std::ops::RangeInclusive<u32> = 1..=1_000_000;

impl Check<'_, '_> {
    pub(super) fn upload(&mut self, table: &UploadTable) -> UploadConfig {
        let max_spool_bytes = UploadConfig::default().max_spool_bytes;
        UploadConfig {
            max_spool_bytes: self.field("upload.max_spool", &table.max_spool, max_spool_bytes, |text| {
                match bytes::parse(text)? {
                    bytes if bytes < MIN_SPOOL_BYTES => Err("must be at least \"200 MB\"".to_owned()),
                    bytes => Ok(bytes),
                }
            }),
            ca_file: self.file("upload.ca_file", &table.ca_file),
            dropbox: table.dropbox.as_ref().map(|table| self.dropbox(table)),
            s3: table.s3.as_ref().map(|table| self.s3(table)),
        }
    }

    fn dropbox(&mut self, at: &Spanned<DropboxTable>) -> DropboxConfig {
        const TABLE: &str = "upload.dropbox";
        let table = at.get_ref();
        let app_key = self.text("upload.dropbox.app_key", &table.app_key);
        let refresh_token_file = self.file("upload.dropbox.refresh_token_file", &table.refresh_token_file);
        let app_secret_file = self.file("upload.dropbox.app_secret_file", &table.app_secret_file);
        let token_file = self.file("upload.dropbox.token_file", &table.token_file);
        let refresh = table.app_key.is_some() || table.refresh_token_file.is_some() || table.app_secret_file.is_some();
        match (refresh, &table.token_file) {
            (true, Some(token)) => {
                let reason = "is the older way in, beside app_key and refresh_token_file: leave one of them out";
                self.faults.value("upload.dropbox.token_file", token.span(), reason);
            }
            (true, None) => {
                for (name, there) in
                    [("app_key", table.app_key.is_some()), ("refresh_token_file", table.refresh_token_file.is_some())]
                {
                    let key = format!("{TABLE}.{name}");
                    if !there && !self.faults.about(&key) {
                        self.faults.key(&key, at.span(), "is missing: `watchtower dropbox-login` helps to get it");
                    }
                }
            }
            (false, Some(_)) => {}
            (false, None) => {
                if !self.faults.about(TABLE) {
                    let reason = "has no way in: write app_key and refresh_token_file, which `watchtower dropbox-login` helps to get";
                    self.faults.key(TABLE, at.span(), reason);
                }
            }
        }
        let auth = match token_file {
            Some(token_file) if !refresh => DropboxAuth::Token { token_file },
            _ => DropboxAuth::Refresh {
                app_key: app_key.unwrap_or_default(),
                refresh_token_file: refresh_token_file.unwrap_or_default(),
                app_secret_file,
            },
        };
        let default = DropboxConfig::new(auth);
        DropboxConfig {
            api_url: self.field("upload.dropbox.api_url", &table.api_url, default.api_url, |url| confidential_url(url)),
            content_url: self.field("upload.dropbox.content_url", &table.content_url, default.content_url, |url| {
                confidential_url(url)
            }),
            limits: self.limits(TABLE, &table.max_kb_s, &table.max_day),
            auth: default.auth,
        }
    }

    fn s3(&mut self, at: &Spanned<S3Table>) -> S3Config {
        const TABLE: &str = "upload.s3";
        let table = at.get_ref();
        let needed = [
            ("endpoint", &table.endpoint, "\"https://s3.eu-central-1.amazonaws.com\""),
            ("bucket", &table.bucket, "\"my-cameras\""),
            ("access_key_file", &table.access_key_file, "\"/etc/watchtower/s3.id\""),
            ("secret_key_file", &table.secret_key_file, "\"/etc/watchtower/s3.secret\""),
        ];
        for (name, field, example) in needed {
            let key = format!("{TABLE}.{name}");
            if field.is_none() && !self.faults.about(&key) {
                self.faults.key(&key, at.span(), format!("is missing: for example {name} = {example}"));
            }
        }
        S3Config {
            endpoint: self.field("upload.s3.endpoint", &table.endpoint, String::new(), |url| base_url(url)),
            region: self.text("upload.s3.region", &table.region).unwrap_or_else(|| S3Config::REGION.to_owned()),
            bucket: self.text("upload.s3.bucket", &table.bucket).unwrap_or_default(),
            prefix: self.field("upload.s3.prefix", &table.prefix, String::new(), |prefix| {
                match prefix.trim_matches('/') {
                    prefix if prefix.chars().any(char::is_control) => {
                        Err("must be one line without control characters".to_owned())
                    }
                    prefix => Ok(prefix.to_owned()),
                }
            }),
            access_key_file: self.file("upload.s3.access_key_file", &table.access_key_file).unwrap_or_default(),
            secret_key_file: self.file("upload.s3.secret_key_file", &table.secret_key_file).unwrap_or_default(),
            limits: self.limits(TABLE, &table.max_kb_s, &table.max_day),
        }
    }

    fn limits(&mut self, table: &str, max_kb_s: &Field<i64>, max_day: &Field<String>) -> Limits {
        Limits {
            max_kb_s: self.field(&format!("{table}.max_kb_s"), max_kb_s, None, |&kb_s| whole(kb_s, MAX_KB_S).map(Some)),
            max_day_bytes: self.field(&format!("{table}.max_day"), max_day, None, |text| match bytes::parse(text)? {
                bytes if bytes < MIN_DAY_BYTES => Err("must be at least \"10 MB\"".to_owned()),
                bytes => Ok(Some(bytes)),
            }),
        }
    }

    fn text(&mut self, key: &str, field: &Field<String>) -> Option<String> {
        self.field(key, field, None, |text| match text.trim() {
            "" => Err("must not be empty".to_owned()),
            text if text.contains(char::is_whitespace) => Err("must be one word".to_owned()),
            text => Ok(Some(text.to_owned())),
        })
    }

    fn file(&mut self, key: &str, field: &Field<String>) -> Option<PathBuf> {
        let folder = self.folder;
        self.field(key, field, None, |path| match path.as_str() {
            "" => Err("must not be empty".to_owned()),
            path => Ok(Some(folder.join(path))),
        })
    }

    pub(super) fn camera_upload(
        &mut self,
        camera: &str,
        at: &Spanned<CameraUploadTable>,
        upload: &UploadConfig,
        whole_size: Option<Resolution>,
    ) -> CameraUpload {
        let (table, table_key) = (at.get_ref(), format!("{camera}.upload"));
        let key = |name: &str| format!("{table_key}.{name}");
        let configured = upload.destinations();
        if configured.is_empty() && !self.faults.about("upload") {
            let reason = "there is nowhere to upload to: add a table [upload.dropbox] or [upload.s3]";
            self.faults.key(&table_key, at.span(), reason);
        }
        let default = CameraUpload::new(configured.clone());
        let names = || configured.iter().map(|destination| destination.name());
        let mut destinations = Vec::new();
        for (n, name) in table.destinations.iter().flat_map(|names| names.get_ref()).enumerate() {
            let key = key(&format!("destinations[{n}]"));
            match configured.iter().find(|destination| destination.name() == name.get_ref()) {
                Some(destination) if destinations.contains(destination) => {
                    self.faults.value(&key, name.span(), "is named twice");
                }
                Some(destination) => destinations.push(*destination),
                None if configured.is_empty() => {}
                None => {
                    let reason = match fault::nearest(name.get_ref(), names()) {
                        Some(near) => format!("is not configured; did you mean '{near}'?"),
                        None => format!("is not configured: there are {}", names().collect::<Vec<_>>().join(", ")),
                    };
                    self.faults.value(&key, name.span(), reason);
                }
            }
        }
        if let Some(none) = table.destinations.as_ref().filter(|names| names.get_ref().is_empty()) {
            let reason = "must not be empty: leave it out for every store that is configured, or leave the table out";
            self.faults.value(&key("destinations"), none.span(), reason);
        }
        CameraUpload {
            stream: self.stream(&table_key, (&table.size, &table.kbit), default.stream, whole_size),
            file_chunk_kb: self.field(&key("file_chunk_kb"), &table.file_chunk_kb, default.file_chunk_kb, |&kb| {
                whole(kb, FILE_CHUNK_KB)
            }),
            chunk_seconds: self.field(&key("chunk_seconds"), &table.chunk_seconds, default.chunk_seconds, |&s| {
                whole(s, CHUNK_SECONDS)
            }),
            public_key_path: self.file(&key("public_key_path"), &table.public_key_path),
            seal_trigger: self.field(&key("seal_trigger"), &table.seal_trigger, default.seal_trigger, |&v| Ok(v)),
            destinations: if table.destinations.is_some() { destinations } else { default.destinations },
        }
    }

    /// Cameras are kept apart in the store by what their labels make of a folder's name.
    pub(super) fn upload_folders(&mut self, file: &FileTable, cameras: &BTreeMap<String, CameraConfig>) {
        let mut taken: BTreeMap<String, &str> = BTreeMap::new();
        for (name, table) in &file.cameras {
            let Some(camera) = cameras.get(name.get_ref()).filter(|camera| camera.upload.is_some()) else { continue };
            // Dropbox does not tell upper from lower case.
            let folder = upload_folder(camera).to_lowercase();
            if let Some(other) = taken.get(folder.as_str()) {
                let at = table.label.as_ref().map_or(name.span(), Spanned::span);
                let reason =
                    format!("uploads go to the same folder as those of cameras.{other}: give it another label");
                self.faults.key(&format!("cameras.{}.label", camera.name), at, reason);
            } else {
                taken.insert(folder, &camera.name);
            }
        }
    }
}
