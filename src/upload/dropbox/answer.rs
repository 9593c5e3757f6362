//! Pure: what an answer of Dropbox means for a file.
//!
//! Source: the errors of "files/upload" and "Error handling" in Dropbox's HTTP documentation.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use crate::upload::https::Answer;
use crate::upload::remote::PutError;

/// As much of a server's words as a log needs.
const WORDS: usize = 200;

/// What became of a file.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is there, as this revision.
    Stored { revision: String },
    /// Something else has the name.
    Taken,
    /// The access token does not count (any more); with Dropbox's word for it.
    Token(String),
    /// Anything else.
    Failed(PutError),
}

/// Of `files/upload`, of a file with this content hash.
pub(super) fn of_upload(answer: &Answer, hash: &str) -> Verdict {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    match answer.status.as_u16() {
        200 => match (body["rev"].as_str(), body["content_hash"].as_str()) {
            (Some(revision), Some(stored)) if stored == hash => Verdict::Stored { revision: revision.to_owned() },
            (Some(_), _) => Verdict::Failed(later(answer, "Dropbox says that it has stored something else")),
            // A hotel's network answers so to everything.
            _ => Verdict::Failed(later(answer, "something else than Dropbox answers")),
        },
        401 => match body["error"][".tag"].as_str() {
            Some(tag @ ("expired_access_token" | "invalid_access_token")) => Verdict::Token(tag.to_owned()),
            Some("missing_scope") => {
                let cause = "Dropbox: the app may not write files: give it the permission files.content.write, and log in again \
                             (`watchtower dropbox-login`)";
                Verdict::Failed(PutError::Account { cause: cause.to_owned() })
            }
            _ => Verdict::Failed(account(answer)),
        },
        409 => of_conflict(answer, &body),
        _ => Verdict::Failed(of_status(answer)),
    }
}

fn of_conflict(answer: &Answer, body: &Value) -> Verdict {
    let error = &body["error"];
    let reason = &error["reason"];
    let tags =
        [&error[".tag"], &reason[".tag"], &reason["conflict"][".tag"]].map(|tag| tag.as_str().unwrap_or_default());
    Verdict::Failed(match tags {
        ["path", "conflict", "file" | "folder"] => return Verdict::Taken,
        ["path", "insufficient_space", _] => {
            PutError::Account { cause: "Dropbox: the account is full: delete something, or buy space".to_owned() }
        }
        ["path", "no_write_permission" | "access_restricted", _] => {
            PutError::Account { cause: "Dropbox: the account may not write there".to_owned() }
        }
        ["path", "conflict" | "malformed_path" | "disallowed_name" | "team_folder" | "operation_suppressed", _]
        | ["payload_too_large" | "properties_error" | "encryption_not_supported", ..] => refused(answer),
        // `too_many_write_operations`, `content_hash_mismatch`, and what Dropbox may come up with.
        _ => later(answer, &words(answer)),
    })
}

/// Of an answer that says nothing of one file.
pub(super) fn of_status(answer: &Answer) -> PutError {
    match answer.status.as_u16() {
        // A path that is none is a bad request to Dropbox; so is a token of the wrong form.
        400 if words(answer).contains("path") => refused(answer),
        413 => refused(answer),
        400 | 401 | 403 => account(answer),
        _ => later(answer, &words(answer)),
    }
}

fn later(answer: &Answer, cause: &str) -> PutError {
    PutError::Later { after: retry_after(answer), cause: cause.to_owned() }
}

fn refused(answer: &Answer) -> PutError {
    PutError::Refused { cause: words(answer) }
}

fn account(answer: &Answer) -> PutError {
    PutError::Account { cause: words(answer) }
}

/// What the server says, in one short line.
pub(super) fn words(answer: &Answer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let summary = body["error_summary"].as_str().or_else(|| body["error_description"].as_str());
    let text = summary.map_or_else(|| String::from_utf8_lossy(&answer.body).into_owned(), str::to_owned);
    let text = text.trim_end_matches(['/', '.']);
    let line: String = text.chars().take(WORDS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let name = answer.status.canonical_reason().unwrap_or_default();
    match line.trim() {
        "" => format!("Dropbox answers {} {name}", answer.status.as_u16()),
        line => format!("Dropbox answers {} {name}: {line}", answer.status.as_u16()),
    }
}

/// When to try again: what the header says, or the body.
fn retry_after(answer: &Answer) -> Option<Duration> {
    let waits = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&answer.status);
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let in_body = || body["error"]["retry_after"].as_u64().map(Duration::from_secs);
    answer.retry_after().or_else(|| in_body().filter(|_| waits))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    fn failed(status: u16, body: &str) -> PutError {
        match of_upload(&answer(status, &[], body), "") {
            Verdict::Failed(error) => error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_error_has_its_consequence() {
        let path = |reason: &str| format!(r#"{{"error":{{".tag":"path","reason":{{".tag":"{reason}"}}}}}}"#);
        for reason in ["malformed_path", "disallowed_name", "team_folder", "operation_suppressed"] {
            assert!(matches!(failed(409, &path(reason)), PutError::Refused { .. }), "{reason}");
        }
        for reason in ["insufficient_space", "no_write_permission", "access_restricted"] {
            assert!(matches!(failed(409, &path(reason)), PutError::Account { .. }), "{reason}");
        }
        for reason in ["too_many_write_operations", "something new"] {
            assert!(matches!(failed(409, &path(reason)), PutError::Later { .. }), "{reason}");
        }
        let mismatch = r#"{"error":{".tag":"content_hash_mismatch"}}"#;
        assert!(matches!(failed(409, mismatch), PutError::Later { .. }));
        assert!(matches!(failed(409, r#"{"error":{".tag":"payload_too_large"}}"#), PutError::Refused { .. }));
        let ancestor = r#"{"error":{".tag":"path","reason":{".tag":"conflict","conflict":{".tag":"file_ancestor"}}}}"#;
        assert!(matches!(failed(409, ancestor), PutError::Refused { .. }));
        assert!(matches!(failed(400, "path: did not match pattern"), PutError::Refused { .. }));
        assert!(matches!(failed(400, "The given OAuth 2 access token is malformed."), PutError::Account { .. }));
        assert!(matches!(failed(401, r#"{"error":{".tag":"user_suspended"}}"#), PutError::Account { .. }));
        let scope = failed(401, r#"{"error":{".tag":"missing_scope","required_scope":"files.content.write"}}"#);
        assert!(scope.to_string().contains("files.content.write"), "{scope}");
        for status in [404, 429, 500, 502, 503] {
            assert!(matches!(failed(status, ""), PutError::Later { after: None, .. }), "{status}");
        }
    }

    #[test]
    fn a_rate_limit_says_how_long() {
        let after = |status, headers: &[_], body| retry_after(&answer(status, headers, body));
        let s = |s| Some(Duration::from_secs(s));
        assert_eq!(after(429, &[("retry-after", "17")], r#"{"error":{"retry_after":300}}"#), s(17));
        assert_eq!(after(429, &[], r#"{"error":{"retry_after":300}}"#), s(300));
        assert_eq!(after(500, &[], r#"{"error":{"retry_after":300}}"#), None);
    }

    #[test]
    fn a_stored_file_is_known_by_its_hash() {
        let stored = |body: &str| of_upload(&answer(200, &[], body), "ab");
        let Verdict::Stored { revision } = stored(r#"{"rev":"0123456789","content_hash":"ab"}"#) else { panic!() };
        assert_eq!(revision, "0123456789");
        for body in [r#"{"rev":"0123456789","content_hash":"cd"}"#, "<html>", "", "null", "[]"] {
            assert!(matches!(stored(body), Verdict::Failed(PutError::Later { .. })), "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics(status in 100u16..600, body in r#"[\[\]{}:,"0-9a-z.\n]{0,60}"#, header in "[ -~]{0,30}") {
            let answer = answer(status, &[("retry-after", &header)], &body);
            of_upload(&answer, "");
            prop_assert!(!words(&answer).contains('\n'));
        }
    }
}
