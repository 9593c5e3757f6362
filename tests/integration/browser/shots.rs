//! Every section on desk and phone, light and dark: judged by axe, and kept as pictures where `WATCHTOWER_SCREENSHOTS` says.

use std::path::Path;

use super::*;
use crate::support::{fast_folder, skipped};

/// As `ancillary/setup test` puts it there.
const AXE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/axe-core/node_modules/axe-core/axe.min.js");

const CAMERAS: &str = r#"
[cameras.front]
label = "Front door"
source = "pattern"
size = "640x360"
fps = 10
[cameras.front.motion]
recording_padding_s = 2.0
[[cameras.front.zones]]
name = "Path to the door"
points = [[0.42, 0.2], [0.97, 0.15], [0.98, 0.97], [0.36, 0.97]]
[[cameras.front.zones]]
name = "Curtain"
include = false
points = [[0.08, 0.1], [0.34, 0.1], [0.34, 0.5], [0.08, 0.5]]
[cameras.garden]
label = "Garden, behind the shed by the old apple tree"
source = "pattern"
size = "640x360"
fps = 5
"#;

#[test]
fn every_section_looks_right_and_is_accessible() {
    const NAME: &str = "every_section_looks_right_and_is_accessible";
    let daemon = Daemon::start_with(fast_folder(), "default_camera = \"front\"", "", CAMERAS);
    let Some(mut browser) = Browser::start(NAME, DESK) else { return };
    let axe = std::fs::read_to_string(AXE).ok();
    if axe.is_none() {
        skipped(&format!("{NAME}: axe-core is not installed (ancillary/setup test)"));
    }
    let kept = std::env::var_os("WATCHTOWER_SCREENSHOTS");
    let motion = || {
        let list = daemon.get("/api/recordings?details=1").json();
        list.as_array().unwrap().iter().filter(|one| one["cause"] == "motion" && one["recording"] == false).count()
    };
    wait_for("a recording of motion", || motion() >= 1);
    let origin = format!("http://{}", daemon.address);
    for (form, screen) in [("desk", DESK), ("phone", PHONE)] {
        browser.screen(screen);
        for scheme in ["light", "dark"] {
            browser.scheme(scheme);
            for section in ["all", "live", "recordings", "zones", "settings", "system"] {
                browser.go("about:blank");
                open(&browser, &origin, section);
                if let Some(axe) = &axe {
                    judge(&browser, axe, &format!("{section}, {form}, {scheme}"));
                }
                if let Some(folder) = &kept {
                    std::thread::sleep(std::time::Duration::from_millis(1500));
                    browser.screenshot_to(&Path::new(folder).join(format!("{section}-{form}-{scheme}.webp")));
                }
            }
        }
    }
    assert_clean(&mut browser, &origin);
}

fn open(browser: &Browser, origin: &str, section: &str) {
    let (address, ready) = match section {
        "all" => ("/".to_owned(), "[...document.querySelectorAll('.wall img')].every((one) => one.naturalWidth)"),
        "recordings" => (format!("/#/front/{section}"), "document.querySelector('ul.list .thumb').naturalWidth"),
        "zones" => (format!("/#/front/{section}"), "document.querySelector('.zone-entry')"),
        "settings" => (format!("/#/front/{section}"), "document.getElementById('set-brightness')"),
        "system" => (format!("/#/front/{section}"), "document.querySelector('.verdict-card')"),
        _ => (format!("/#/front/{section}"), "document.querySelector('.newest .thumb').naturalWidth"),
    };
    browser.go(&format!("{origin}{address}"));
    browser.wait(ready);
    if matches!(section, "live" | "zones" | "settings") {
        browser.wait("document.querySelector('.stage').dataset.way");
    }
}

/// No fault of serious or critical impact by WCAG 2.2 AA.
#[track_caller]
fn judge(browser: &Browser, axe: &str, what: &str) {
    browser.js(axe);
    let faults = browser.js(
        "return axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })\
         .then(({ violations }) => violations.filter(({ impact }) => ['serious', 'critical'].includes(impact))\
         .map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => html + failureSummary).join(' | ')}`))",
    );
    assert_eq!(faults, serde_json::json!([]), "{what}");
}
