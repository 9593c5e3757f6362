//! The web app in a real browser: every section, as its users meet it.
//!
//! [`driver`] is the browser; each other file is about a part of the app.

use crate::support::{Daemon, wait_for};

mod driver;
mod frame;
mod keyboard;
mod live;
mod recordings;
mod roles;
mod sections;
mod shots;

use driver::{Browser, DESK, PHONE};

/// A camera through whose picture somebody walks every 20 seconds, small enough for a busy machine.
const WALKED: &str = r#"
[cameras.front]
label = "Front door"
source = "pattern"
size = "320x240"
fps = 10
[cameras.front.motion]
recording_padding_s = 1.0
"#;

/// Nothing moves enough for it; recordings are made by hand.
const QUIET: &str = crate::support::CAMERA;

fn address(daemon: &Daemon, section: &str) -> String {
    format!("http://{}/#/front/{section}", daemon.address)
}

/// Nothing was complained of, and nothing was asked of anybody else.
#[track_caller]
fn assert_clean(browser: &mut Browser, origin: &str) {
    // A recording that has just begun may have no picture yet, and is asked again; a health of 503 is an answer.
    let early = |said: &str| said.contains("/thumb.jpg") && said.contains("404");
    let ill = |said: &str| said.contains("/healthz") && said.contains("503");
    let complaints: Vec<_> = browser.complaints().iter().filter(|said| !early(said) && !ill(said)).cloned().collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    let ours = |asked: &&String| {
        ["blob:", "data:", "about:", "chrome:"].iter().any(|kind| asked.starts_with(kind)) || asked.starts_with(origin)
    };
    let others: Vec<_> = browser.requests().iter().filter(|asked| !ours(asked)).cloned().collect();
    assert!(others.is_empty(), "asked of others: {others:#?}");
    assert!(browser.requests().iter().any(|asked| asked.ends_with("/app.js")), "requests are seen at all");
}

/// Makes recordings by hand, one after the other.
fn record(daemon: &Daemon, wanted: usize) {
    let complete = || {
        let list = daemon.get("/api/recordings?details=1").json();
        list.as_array().unwrap().iter().filter(|one| one["recording"] == false).count()
    };
    let captured = "watchtower_frames_total{camera=\"front\",kind=\"captured\"}";
    wait_for("two seconds of pictures", || daemon.metric(captured) >= 20.0);
    for n in 1..=wanted {
        assert_eq!(daemon.get("/api/record").status, 204);
        wait_for("a complete recording", || complete() == n);
    }
}
