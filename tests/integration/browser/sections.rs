//! Settings, zones and system: what is changed there is changed in the camera.

use super::*;
use crate::support::fast_folder;

/// The mean brightness of what the stage shows, 0 to 255.
const BRIGHTNESS: &str = "(() => { const shown = document.querySelector('.frame > video:not([hidden]), .frame > canvas:not([hidden])'); \
    const small = document.createElement('canvas'); small.width = small.height = 16; const context = small.getContext('2d'); \
    context.drawImage(shown, 0, 0, 16, 16); const { data } = context.getImageData(0, 0, 16, 16); \
    return data.filter((_, at) => at % 4 === 1).reduce((sum, value) => sum + value, 0) / 256; })()";

#[test]
fn a_setting_is_changed_and_seen_in_the_picture() {
    let daemon = Daemon::start("");
    let Some(mut browser) = Browser::start("a_setting_is_changed_and_seen_in_the_picture", DESK) else { return };
    daemon.wait_for_pictures();
    browser.go(&address(&daemon, "settings"));
    browser.wait("document.querySelector('.stage').dataset.way && document.getElementById('set-brightness')");
    let before = browser.wait(BRIGHTNESS).as_f64().unwrap();
    browser.click("#set-brightness");
    browser.js("const slider = document.getElementById('set-brightness'); slider.value = 85; slider.dispatchEvent(new Event('input'))");
    wait_for("the setting", || daemon.get("/api/config").json()["brightness"] == 85);
    browser.wait(&format!("{BRIGHTNESS} > {before} + 40"));
    // What the camera cannot do is not offered, what software does is marked.
    assert_eq!(browser.js("return document.getElementById('set-iso')"), serde_json::Value::Null);
    assert!(browser.js("return document.querySelectorAll('.tag').length").as_u64().unwrap() >= 4);

    browser.press("Reset Brightness");
    wait_for("the reset", || daemon.get("/api/config").json()["brightness"] == 50);
    browser.wait(&format!("{BRIGHTNESS} < {before} + 15"));

    browser.press("90°");
    wait_for("the rotation", || daemon.get("/api/config").json()["rotation"] == 90);
    browser.wait("document.querySelector('.frame').clientHeight > document.querySelector('.frame').clientWidth");
    browser.wait("(() => { const shown = document.querySelector('.frame > video:not([hidden])'); return shown.videoHeight > shown.videoWidth; })()");
    assert_clean(&mut browser, &format!("http://{}", daemon.address));
}

#[test]
fn a_zone_that_is_drawn_silences_what_moves_in_it() {
    let daemon = Daemon::start_in(fast_folder(), "", WALKED);
    let Some(mut browser) = Browser::start("a_zone_that_is_drawn_silences_what_moves_in_it", DESK) else { return };
    daemon.wait_for_pictures();
    let recorded = || daemon.get("/api/recordings?details=1").json().as_array().unwrap().len();
    browser.go(&address(&daemon, "zones"));
    browser.wait("document.querySelector('.graph') && document.querySelector('.stage').dataset.way");
    // Where the walker's head does not reach; elsewhere motion counts no more.
    browser.press("Add zone");
    let frame = browser.js("const { left, top, width, height } = document.querySelector('.frame').getBoundingClientRect(); return [left, top, width, height]");
    let [left, top, width, height] = [0, 1, 2, 3].map(|n| frame[n].as_f64().unwrap());
    let at = |x: f64, y: f64| (left + x * width, top + y * height);
    for (x, y) in [(0.03, 0.03), (0.97, 0.03), (0.97, 0.15), (0.03, 0.15)] {
        let (x, y) = at(x, y);
        browser.tap(x, y);
    }
    browser.press("Finish");
    browser.wait("document.querySelector('.zone-entry input').value === 'Zone 1'");
    wait_for("the zone", || daemon.get("/api/motion").json()["zones"].as_array().is_some_and(|zones| zones.len() == 1));
    let zone = daemon.get("/api/motion").json()["zones"][0].clone();
    assert_eq!((zone["include"].as_bool(), zone["points"].as_array().unwrap().len()), (Some(true), 4), "{zone}");

    // The walker comes by and is seen, and nothing is recorded that was not before.
    wait_for("the end of what was recorded before", || daemon.get("/api/cameras").json()[0]["recording"] == false);
    let before = recorded();
    browser.wait(
        "(() => { const cells = document.querySelector('.cells'); if (!cells?.width) return false; \
         const copy = document.createElement('canvas'); copy.width = cells.width; copy.height = cells.height; \
         const context = copy.getContext('2d', { willReadFrequently: true }); context.drawImage(cells, 0, 0); \
         return context.getImageData(0, 0, copy.width, copy.height).data.filter(Boolean).length > 200; })()",
    );
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert_eq!(recorded(), before, "the zone keeps it out");

    // Renamed and shaped by finger: a corner is dragged into the picture.
    browser.click(".zone-entry .swatch");
    let (from, to) = (at(0.97, 0.15), at(0.6, 0.6));
    browser.touch(&[from, at(0.8, 0.4), to]);
    wait_for("the new shape", || {
        let points = daemon.get("/api/motion").json()["zones"][0]["points"].clone();
        points.as_array().unwrap().iter().any(|point| (point[0].as_f64().unwrap() - 0.6).abs() < 0.02)
    });
    browser.js("const name = document.querySelector('.zone-entry input'); name.value = 'Hall'; name.dispatchEvent(new Event('change'))");
    wait_for("the name", || daemon.get("/api/motion").json()["zones"][0]["name"] == "Hall");

    browser.press("Remove Hall");
    wait_for("the zone to go", || daemon.get("/api/motion").json()["zones"] == serde_json::json!([]));
    wait_for("the next visit to trigger", || recorded() > before);
    assert_clean(&mut browser, &format!("http://{}", daemon.address));
}

#[test]
fn the_system_page_shows_the_evidence() {
    let daemon = Daemon::start("");
    let Some(mut browser) = Browser::start("the_system_page_shows_the_evidence", DESK) else { return };
    daemon.wait_for_pictures();
    browser.go(&address(&daemon, "system"));
    browser.wait("document.querySelector('.verdict-card')");
    let page = browser.js("return document.querySelector('.health').innerText");
    let page = page.as_str().unwrap();
    for shown in [
        "Front door",
        "Newest picture",
        "Pictures lost",
        "Serial link",
        "Room for",
        "of recording",
        "Uploads",
        "Temperature",
        "Memory free",
        "Certificate",
        "Running for",
        env!("CARGO_PKG_VERSION"),
    ] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
    assert!(!page.contains("[object"), "{page}");
    browser.press("Dark");
    let back = browser.js("return getComputedStyle(document.body).backgroundColor");
    browser.go("about:blank");
    browser.go(&address(&daemon, "system"));
    browser.wait("document.querySelector('.verdict-card')");
    assert_eq!(browser.js("return getComputedStyle(document.body).backgroundColor"), back, "it is remembered");
    browser.press("Light");
    assert_ne!(browser.js("return getComputedStyle(document.body).backgroundColor"), back);
    assert_clean(&mut browser, &format!("http://{}", daemon.address));
}
