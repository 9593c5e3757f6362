//! Everything by keyboard: every control in turn and seen to be, dialogs, the day's line, the player, zones.

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use watchtower::recording::id::RecordingId;

use super::driver::key::{CONTROL, END, ENTER, ESCAPE, HOME, LEFT, RIGHT, SHIFT, SPACE, TAB};
use super::*;
use crate::many::make;
use crate::support::fast_folder;

const VIDEO: &str = "document.querySelector('.player video')";

/// What the keyboard is at.
#[track_caller]
fn wait_for_focus(browser: &Browser, name: &str) {
    browser.wait(&format!(
        "((one) => [one.getAttribute('aria-label'), one.innerText?.trim(), one.id].includes({}))(document.activeElement)",
        serde_json::json!(name)
    ));
}

fn focus(browser: &Browser, selector: &str) {
    browser.js(&format!("document.querySelector('{selector}').focus()"));
}

/// Everything that can be used, in the order of the page; of a group of radio buttons the chosen one.
const CONTROLS: &str = "window.controls = [...document.querySelectorAll('a[href], button, input, select, summary, [tabindex=\"0\"]')]\
    .filter((one) => !one.disabled && one.checkVisibility({ visibilityProperty: true }) && (one.type !== 'radio' || one.checked)); \
    return window.controls.length";

/// Which of them has the focus, whether that is seen, and what covers it.
const AT: &str = "const one = document.activeElement; \
    const ring = (each) => Boolean(each) && getComputedStyle(each).outlineStyle !== 'none' && parseFloat(getComputedStyle(each).outlineWidth) >= 2; \
    const { left, top, width, height } = one.getBoundingClientRect(); \
    const over = document.elementFromPoint(left + width / 2, top + height / 2); \
    const free = Boolean(over) && (one.contains(over) || over.contains(one) || Boolean(over.closest('label')?.contains(one))); \
    return [window.controls.indexOf(one), one.matches(':focus-visible') && (ring(one) || ring(one.nextElementSibling)), free, \
    one.getAttribute('aria-label') ?? one.innerText ?? one.outerHTML]";

/// Goes on behind the head; answers the next control's place.
fn past_head(browser: &Browser) -> i64 {
    focus(browser, "#main");
    let first = "return window.controls.findIndex((one) => document.getElementById('main').contains(one))";
    browser.js(first).as_i64().unwrap()
}

#[test]
fn every_control_is_reached_in_order_and_seen_to_be() {
    let daemon = Daemon::start("");
    let Some(mut browser) = Browser::start("every_control_is_reached_in_order_and_seen_to_be", DESK) else { return };
    record(&daemon, 2);
    let origin = format!("http://{}", daemon.address);
    for screen in [DESK, PHONE] {
        browser.screen(screen);
        for (section, ready) in [
            (
                "live",
                "document.querySelector('.stage').dataset.way && document.querySelectorAll('.newest li').length === 2",
            ),
            (
                "recordings",
                "document.querySelectorAll('ul.list > li').length === 2 && !document.querySelector('.acts button:disabled')",
            ),
            ("zones", "document.getElementById('tune-sensitivity')"),
            ("settings", "document.getElementById('set-brightness')"),
            ("system", "document.querySelector('.verdict-card')"),
        ] {
            browser.go("about:blank");
            browser.go(&format!("{origin}/#/front/{section}"));
            browser.wait(ready);
            let controls = browser.js(CONTROLS).as_i64().unwrap();
            assert!(controls >= 8, "{section}: {controls}");
            // The head is the same everywhere: once is enough.
            let from = if section == "live" { 0 } else { past_head(&browser) };
            for wanted in from..controls {
                browser.keys(&[TAB]);
                let at = browser.js(AT);
                assert_eq!(
                    (&at[0], &at[1], &at[2]),
                    (&wanted.into(), &true.into(), &true.into()),
                    "{section}, {screen:?}: {at}"
                );
            }
        }
    }
    // Past the head with one key; the address still says where one is.
    browser.go("about:blank");
    browser.go(&format!("{origin}/#/front/recordings"));
    browser.wait("document.querySelectorAll('ul.list > li').length === 2");
    browser.keys(&[TAB]);
    browser.keys(&[ENTER]);
    wait_for_focus(&browser, "main");
    assert_eq!(browser.js("return location.hash.split('/').slice(0, 3).join('/')"), "#/front/recordings");
    assert_clean(&mut browser, &origin);
}

#[test]
fn the_days_line_and_the_player_obey_keys() {
    let daemon = Daemon::start("");
    let Some(mut browser) = Browser::start("the_days_line_and_the_player_obey_keys", DESK) else { return };
    record(&daemon, 3);
    browser.go(&address(&daemon, "recordings"));
    browser.wait(&format!("document.querySelectorAll('ul.list > li').length === 3 && {VIDEO}.readyState >= 1"));
    let times = browser.js("return [...document.querySelectorAll('ul.list > li time')].map((one) => one.innerText)");
    let shown = |n: usize| {
        browser.wait(&format!(
            "document.querySelector('.playing').innerText.startsWith({}) && {VIDEO}.readyState >= 2",
            times[n]
        ));
    };

    focus(&browser, ".timeline");
    for (key, n) in [(HOME, 2), (RIGHT, 1), (RIGHT, 0), (LEFT, 1), (END, 0), (HOME, 2)] {
        browser.keys(&[key]);
        shown(n);
        let said = browser.js("return document.querySelector('.timeline').getAttribute('aria-valuetext')");
        assert!(said.as_str().unwrap().starts_with(times[n].as_str().unwrap()), "{said}");
    }
    for (key, n) in [("n", 1), ("n", 0), ("p", 1)] {
        browser.keys(&[key]);
        shown(n);
    }

    focus(&browser, "#main");
    browser.wait(&format!("!{VIDEO}.paused && {VIDEO}.currentTime > 0.2"));
    browser.keys(&[SPACE]);
    browser.wait(&format!("{VIDEO}.paused"));
    browser.keys(&[LEFT]);
    browser.wait(&format!("!{VIDEO}.seeking && {VIDEO}.currentTime === 0"));
    browser.keys(&["."]);
    browser.wait(&format!("!{VIDEO}.seeking && {VIDEO}.currentTime > 0.03"));
    let on = browser.js(&format!("return {VIDEO}.currentTime"));
    browser.keys(&["."]);
    browser.wait(&format!("!{VIDEO}.seeking && {VIDEO}.currentTime > {on} + 0.03"));
    // How far a picture goes depends on how many of them a busy machine left out.
    let on = browser.js(&format!("return {VIDEO}.currentTime"));
    browser.keys(&[","]);
    browser.wait(&format!("!{VIDEO}.seeking && {VIDEO}.currentTime < {on} - 0.03"));
    browser.keys(&[RIGHT]);
    browser.wait(&format!("!{VIDEO}.seeking && {VIDEO}.currentTime === {VIDEO}.duration"));
    browser.keys(&[SHIFT, ">"]);
    browser.wait(&format!("{VIDEO}.playbackRate === 2"));
    browser.keys(&[SHIFT, "<"]);
    browser.wait(&format!("{VIDEO}.playbackRate === 1"));
    // A button's own key is its own.
    focus(&browser, "[aria-label=\"One picture back\"]");
    browser.keys(&[SPACE]);
    browser.wait(&format!("!{VIDEO}.seeking && {VIDEO}.paused && {VIDEO}.currentTime < {VIDEO}.duration - 0.02"));

    browser.keys(&[ESCAPE]);
    browser.wait("!document.querySelector('.player').checkVisibility()");
    assert_eq!(browser.js("return document.activeElement.querySelector('time').innerText"), times[1]);
    browser.keys(&[ENTER]);
    shown(1);
    assert_clean(&mut browser, &format!("http://{}", daemon.address));
}

#[test]
fn dialogs_and_undo_are_answered_by_keyboard() {
    let folder = fast_folder();
    let midnight = jiff::civil::date(2024, 3, 1).to_zoned_datetime(TimeZone::system()).unwrap().timestamp();
    for n in 0..4 {
        let trigger = midnight + SignedDuration::from_secs(3600 + n * 60);
        let id = RecordingId::at(trigger, &TimeZone::system());
        make(&folder.path().join("data"), n, id, trigger - SignedDuration::from_secs(1), 20);
    }
    let daemon = Daemon::start_in(folder, "", QUIET);
    let Some(browser) = Browser::start("dialogs_and_undo_are_answered_by_keyboard", DESK) else { return };
    let kept = || daemon.get("/api/recordings?details=1").json().as_array().unwrap().len();
    browser.go(&address(&daemon, "recordings"));
    let rows = "document.querySelectorAll('ul.list > li').length";
    browser.wait(&format!("{rows} === 4 && !document.querySelector('.acts button:disabled')"));

    // Deleted in the list: the next one has the focus, and Ctrl+Z brings it back.
    focus(&browser, "ul.list > li:nth-child(2) .acts button:last-child");
    browser.keys(&[ENTER]);
    browser.wait(&format!("{rows} === 3"));
    browser.wait("document.activeElement.closest('li')?.querySelector('time').innerText === '01:01:00'");
    browser.keys(&[CONTROL, "z"]);
    browser.wait(&format!("{rows} === 4 && !document.querySelector('.toast')"));

    // Escape and Enter, which is at Cancel, change nothing; the keyboard is where it was.
    focus(&browser, ".days-bar .danger");
    for (open, answer) in [(ENTER, ESCAPE), (SPACE, ENTER), (ENTER, SPACE)] {
        browser.keys(&[open]);
        browser.wait("document.querySelector('dialog[open]')");
        wait_for_focus(&browser, "Cancel");
        // Nothing behind the dialog can be reached.
        for _ in 0..3 {
            browser.keys(&[TAB]);
            browser.wait("document.activeElement === document.body || document.querySelector('dialog').contains(document.activeElement)");
        }
        focus(&browser, "dialog button[value=no]");
        browser.keys(&[answer]);
        browser.wait("!document.querySelector('dialog')");
        wait_for_focus(&browser, "Delete day");
    }
    assert_eq!(kept(), 4);

    // Chosen by Space, deleted after the question.
    focus(&browser, ".days-bar .segments ~ .button");
    wait_for_focus(&browser, "Select");
    browser.keys(&[ENTER]);
    focus(&browser, "ul.list > li:nth-child(1) .tick input");
    browser.keys(&[SPACE]);
    browser.wait("document.querySelector('.selection strong').innerText === '1 selected'");
    browser.keys(&[ESCAPE]);
    browser.wait("!document.querySelector('.selection').checkVisibility() && document.querySelector('.player').checkVisibility()");
    focus(&browser, ".days-bar .segments ~ .button");
    browser.keys(&[ENTER]);
    for n in [1, 3] {
        focus(&browser, &format!("ul.list > li:nth-child({n}) .tick input"));
        browser.keys(&[SPACE]);
    }
    focus(&browser, ".selection .danger");
    browser.keys(&[ENTER]);
    let question = browser.wait("document.querySelector('dialog[open] h2').innerText");
    assert_eq!(question, "Delete 01:03:00 and 01:01:00?");
    wait_for_focus(&browser, "Cancel");
    browser.keys(&[TAB]);
    wait_for_focus(&browser, "Delete 2 recordings");
    browser.keys(&[ENTER]);
    browser.wait(&format!("{rows} === 2"));
    wait_for("the deletion", || kept() == 2);
    wait_for_focus(&browser, "Select");
}

#[test]
fn a_zone_is_drawn_by_keyboard() {
    let daemon = Daemon::start("");
    let Some(mut browser) = Browser::start("a_zone_is_drawn_by_keyboard", DESK) else { return };
    daemon.wait_for_pictures();
    browser.go(&address(&daemon, "zones"));
    browser.wait("document.getElementById('tune-sensitivity')");
    focus(&browser, ".group .primary");
    wait_for_focus(&browser, "Add zone");
    browser.keys(&[ENTER]);
    wait_for_focus(&browser, "Finish");
    browser.keys(&[ESCAPE]);
    browser.wait("!document.querySelector('.watching .bar').checkVisibility()");
    focus(&browser, ".group .primary");
    browser.keys(&[ENTER]);
    wait_for_focus(&browser, "Finish");
    browser.keys(&[ENTER]);
    wait_for_focus(&browser, "Corner 1 of Zone 1, 30 % from the left, 30 % from the top. Arrows move it.");
    browser.keys(&[SHIFT, LEFT]);
    wait_for_focus(&browser, "Corner 1 of Zone 1, 25 % from the left, 30 % from the top. Arrows move it.");
    wait_for("the zone", || {
        daemon.get("/api/motion").json()["zones"][0]["points"]
            == serde_json::json!([[0.25, 0.3], [0.7, 0.3], [0.7, 0.7], [0.3, 0.7]])
    });
    assert_clean(&mut browser, &format!("http://{}", daemon.address));
}
