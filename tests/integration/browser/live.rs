//! A camera's live picture: H.264 at once, JPEGs where that cannot be, start and stop, and back after the daemon was away.

use super::*;
use crate::support::fast_folder;

const VIDEO: &str = "document.querySelector('.stage video:not([hidden])')";

#[test]
fn live_video_plays_at_once_by_media_source() {
    let daemon = Daemon::start_in(fast_folder(), "", WALKED);
    let Some(mut browser) = Browser::start("live_video_plays_at_once_by_media_source", DESK) else { return };
    daemon.wait_for_pictures();
    // The page itself measures, from when it was opened. Once may be unlucky where the machine does other things too.
    let mut first_ms: Vec<f64> = std::iter::repeat_with(|| {
        browser.go("about:blank");
        browser.go(&address(&daemon, "live"));
        browser.wait(&format!("{VIDEO} && {VIDEO}.currentTime > 0 && {VIDEO}.videoWidth === 320"));
        assert_eq!(browser.js("return document.querySelector('.stage').dataset.way"), "H.264");
        browser.wait("Number(document.querySelector('.stage').dataset.first)").as_f64().unwrap()
    })
    .take(5)
    .collect();
    first_ms.sort_by(f64::total_cmp);
    println!("first picture after {first_ms:?} ms");
    assert!(first_ms[2] < 2000.0, "live video takes more than 2 s: {first_ms:?} ms");
    let position = browser.js(&format!("return {VIDEO}.currentTime")).as_f64().unwrap();
    browser.wait(&format!("{VIDEO}.currentTime > {position} + 2"));
    let behind = format!("{VIDEO}.buffered.end({VIDEO}.buffered.length - 1) - {VIDEO}.currentTime");
    browser.wait(&format!("{behind} < 1.5"));

    browser.press("Latency and bit rate");
    browser.wait("/H\\.264, 320×240/.test(document.querySelector('.stats').innerText) && /bit\\/s/.test(document.querySelector('.stats').innerText)");
    // Somebody walks through within 20 seconds.
    browser.wait("document.querySelector('.moved rect')");
    assert_clean(&mut browser, &format!("http://{}", daemon.address));
}

#[test]
fn without_media_source_jpegs_are_shown() {
    let daemon = Daemon::start_in(fast_folder(), "", WALKED);
    let Some(mut browser) = Browser::start("without_media_source_jpegs_are_shown", DESK) else { return };
    daemon.wait_for_pictures();
    browser.devtools(
        "Page.addScriptToEvaluateOnNewDocument",
        &serde_json::json!({ "source": "delete window.MediaSource; delete window.ManagedMediaSource;" }),
    );
    browser.go(&address(&daemon, "live"));
    browser.wait("document.querySelector('.stage').dataset.way === 'JPEG'");
    let picture = "document.querySelector('.stage canvas:not([hidden])')";
    browser.wait(&format!("{picture}.width >= 320"));
    let shown = browser.js(&format!("return {picture}.toDataURL().slice(-2000)"));
    browser.wait(&format!("{picture}.toDataURL().slice(-2000) !== {shown}"));

    assert_eq!(daemon.send("POST", "/api/config", &[], br#"{"rotation": 90}"#).status, 200);
    browser.wait("(({ clientWidth, clientHeight }) => clientHeight > clientWidth)(document.querySelector('.frame'))");
    browser.wait(&format!("{picture}.height > {picture}.width"));
    assert_clean(&mut browser, &format!("http://{}", daemon.address));
}

#[test]
fn watching_is_stopped_and_started_and_a_recording_asked_for() {
    let daemon = Daemon::start("");
    let Some(mut browser) = Browser::start("watching_is_stopped_and_started_and_a_recording_asked_for", DESK) else {
        return;
    };
    daemon.wait_for_pictures();
    browser.go(&address(&daemon, "live"));
    browser.press("Stop watching");
    browser.wait("document.getElementById('state').innerText === 'paused'");
    assert_eq!(daemon.get("/api/status").json()["monitoring"], false);
    browser.press("Start watching");
    browser.wait("document.getElementById('state').innerText === 'watching'");
    browser.press("Record now");
    browser.wait("document.getElementById('state').innerText === 'recording'");
    browser.wait("document.querySelector('.badge:not([hidden])')");
    browser.wait("document.querySelectorAll('.newest li').length === 1");
    browser.wait("document.getElementById('state').innerText === 'watching'");
    assert_clean(&mut browser, &format!("http://{}", daemon.address));
}

#[test]
fn the_page_says_that_the_daemon_is_away_and_comes_back_with_it() {
    let folder = fast_folder();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut daemon = Daemon::start_in(folder, &format!("listen = \"127.0.0.1:{port}\""), WALKED);
    let Some(browser) = Browser::start("the_page_says_that_the_daemon_is_away_and_comes_back_with_it", DESK) else {
        return;
    };
    daemon.wait_for_pictures();
    browser.go(&address(&daemon, "live"));
    browser.wait("document.querySelector('.stage').dataset.way");
    daemon.kill();
    browser.wait("document.querySelector('#link:not([hidden])').innerText.includes('Trying again')");
    assert_eq!(browser.js("return document.getElementById('state').innerText"), "no connection");
    daemon.start_again();
    browser.wait("document.getElementById('link').hidden && document.body.innerText.includes('Connected again')");
    let picture = "document.querySelector('.stage video').currentTime";
    let position = browser.wait(picture);
    browser.wait(&format!("{picture} !== {position} && !document.querySelector('.stage video').paused"));
}
