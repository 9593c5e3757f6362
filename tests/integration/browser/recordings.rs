//! What was recorded: played, stepped through, protected, deleted; and ten thousand of them.

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use watchtower::recording::id::RecordingId;

use super::*;
use crate::many::make;
use crate::support::fast_folder;

const VIDEO: &str = "document.querySelector('.player video')";

#[test]
fn a_recording_plays_seeks_and_steps() {
    let daemon = Daemon::start("");
    let Some(mut browser) = Browser::start("a_recording_plays_seeks_and_steps", DESK) else { return };
    record(&daemon, 2);
    browser.go(&address(&daemon, "recordings"));
    // The newest is there before anyone has chosen, and waits.
    browser.wait(&format!("{VIDEO}.readyState >= 1 && {VIDEO}.paused"));
    browser.click("ul.list li:nth-child(2) .open");
    browser.wait(&format!("!{VIDEO}.paused && {VIDEO}.currentTime > 0.5"));
    let length = browser.wait(&format!("{VIDEO}.duration")).as_f64().unwrap();
    assert!((1.5..6.0).contains(&length), "{length} s");

    browser.press("Pause");
    browser.js(&format!("const seek = document.querySelector('.seek'); seek.value = {length} / 2; seek.dispatchEvent(new Event('input'))"));
    browser.wait(&format!("!{VIDEO}.seeking && Math.abs({VIDEO}.currentTime - {length} / 2) < 0.05"));
    let before = browser.js(&format!("return {VIDEO}.currentTime")).as_f64().unwrap();
    browser.press("One picture on");
    browser.wait(&format!(
        "!{VIDEO}.seeking && {VIDEO}.currentTime > {before} + 0.03 && {VIDEO}.currentTime < {before} + 0.25"
    ));
    let after = browser.js(&format!("return {VIDEO}.currentTime")).as_f64().unwrap();
    browser.press("One picture back");
    browser.wait(&format!("!{VIDEO}.seeking && {VIDEO}.currentTime < {after}"));

    browser.js("const speed = document.querySelector('.player select'); speed.value = '2'; speed.dispatchEvent(new Event('change'))");
    assert_eq!(browser.js(&format!("return {VIDEO}.playbackRate")).as_f64(), Some(2.0));
    let older = browser.js("return document.querySelector('.playing').innerText");
    browser.press("Next recording");
    browser.wait(&format!("document.querySelector('.playing').innerText !== {older}"));
    browser.wait("document.querySelector('[aria-label=\"Next recording\"]').disabled");
    let link = browser.js("return document.querySelector('.downloads a').href").as_str().unwrap().to_owned();
    assert!(link.ends_with("/video.mp4"), "{link}");
    assert_clean(&mut browser, &format!("http://{}", daemon.address));
}

#[test]
fn what_is_still_being_recorded_is_whole_once_it_is_over() {
    let daemon = Daemon::start("");
    let Some(browser) = Browser::start("what_is_still_being_recorded_is_whole_once_it_is_over", DESK) else { return };
    daemon.wait_for_pictures();
    browser.go(&address(&daemon, "recordings"));
    browser.wait("document.querySelector('.empty')");
    assert_eq!(daemon.send("POST", "/api/record", &[], b"").status, 204);
    browser.wait("document.querySelector('.player .facts').innerText.startsWith('still recording')");
    let length = |least: f64| format!("{VIDEO}.paused && {VIDEO}.duration > {least}");
    browser.wait("/^[0-9.]+ s/.test(document.querySelector('.player .facts').innerText)");
    let whole = daemon.get("/api/recordings?details=1").json()[0]["duration_s"].as_f64().unwrap();
    browser.wait(&length(whole - 0.2));
    browser.wait("document.querySelector('ul.list .thumb').naturalWidth");
}

#[test]
fn what_is_deleted_can_be_taken_back_and_many_are_asked_about() {
    let daemon = Daemon::start("");
    let Some(mut browser) = Browser::start("what_is_deleted_can_be_taken_back_and_many_are_asked_about", DESK) else {
        return;
    };
    record(&daemon, 3);
    let kept = || daemon.get("/api/recordings?details=1").json().as_array().unwrap().len();
    browser.go(&address(&daemon, "recordings"));
    let rows = "document.querySelectorAll('ul.list > li').length";
    browser.wait(&format!("{rows} === 3 && !document.querySelector('.acts button:disabled')"));

    // Taken back: nothing happened.
    browser.click("ul.list > li:first-child .acts button:last-child");
    browser.wait(&format!("{rows} === 2"));
    browser.press("Undo");
    browser.wait(&format!("{rows} === 3"));
    assert_eq!(kept(), 3);

    // Not taken back: gone when the page is left, at the latest.
    browser.click("ul.list > li:first-child .acts button:last-child");
    browser.wait(&format!("{rows} === 2"));
    browser.go("about:blank");
    wait_for("the deletion", || kept() == 2);

    browser.go(&address(&daemon, "recordings"));
    browser.wait(&format!("{rows} === 2 && !document.querySelector('.acts button:disabled')"));
    browser.click("ul.list > li:first-child .acts button:first-child");
    browser.wait("document.querySelector('ul.list > li:first-child .mark-icon')");
    assert_eq!(daemon.get("/api/recordings?details=1").json()[0]["protected"], true);

    browser.press("Delete day");
    let question = browser.wait("document.querySelector('dialog.ask').innerText");
    let question = question.as_str().unwrap();
    assert!(question.contains("Delete 1 recording of") && question.contains("1 protected"), "{question}");
    browser.press("Cancel");
    browser.wait("!document.querySelector('dialog')");
    assert_eq!(kept(), 2, "cancelled");
    browser.press("Delete day");
    browser.press("Delete 1 recording");
    browser.wait(&format!("{rows} === 1"));
    wait_for("the deletion", || kept() == 1);
    assert_eq!(daemon.get("/api/recordings?details=1").json()[0]["protected"], true, "the protected one stays");
    assert_clean(&mut browser, &format!("http://{}", daemon.address));
}

#[test]
fn several_and_a_day_are_deleted_after_a_question_that_names_them() {
    let folder = fast_folder();
    for (n, (day, second)) in [(1, 0), (1, 20), (1, 40), (2, 0), (2, 20), (2, 40), (2, 50)].into_iter().enumerate() {
        let trigger = jiff::civil::date(2024, 3, day)
            .at(12, 0, second, 0)
            .to_zoned_datetime(TimeZone::system())
            .unwrap()
            .timestamp();
        let id = RecordingId::at(trigger, &TimeZone::system());
        make(&folder.path().join("data"), n as i64, id, trigger - SignedDuration::from_secs(1), 2_000_000);
    }
    let daemon = Daemon::start_in(folder, "", QUIET);
    let Some(browser) = Browser::start("several_and_a_day_are_deleted_after_a_question_that_names_them", PHONE) else {
        return;
    };
    let kept = || {
        let list = daemon.get("/api/recordings?details=1").json();
        list.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(daemon.send("PATCH", "/api/recordings/2024-03-02/12.00.20", &[], br#"{"protected": true}"#).status, 200);
    browser.go(&address(&daemon, "recordings"));
    let rows = "document.querySelectorAll('ul.list > li').length";
    browser.wait(&format!("{rows} === 4 && document.querySelector('.listing .facts').innerText.includes('8.0 MB')"));

    // Three of four, one of them protected: the question names the two that go, and says that one stays.
    browser.press("Select");
    for n in [1, 3, 4] {
        browser.click(&format!("ul.list > li:nth-child({n}) .open"));
    }
    browser.wait("document.querySelector('.selection strong').innerText === '3 selected'");
    browser.click(".selection .danger");
    let question = browser.wait("document.querySelector('dialog[open]').innerText");
    let question = question.as_str().unwrap();
    for said in [
        "Delete 12:00:50 and 12:00:00?",
        "Saturday, 2 March 2024",
        "4.0 MB",
        "1 protected or still recording will stay",
        "cannot be undone",
    ] {
        assert!(question.contains(said), "{said} in {question}");
    }
    browser.click("dialog button[value=no]");
    browser.wait("!document.querySelector('dialog')");
    assert_eq!(kept().len(), 7, "cancelled");
    browser.wait("document.querySelector('.selection strong').innerText === '3 selected'");
    browser.click(".selection .danger");
    browser.press("Delete 2 recordings");
    browser.wait(&format!("{rows} === 2 && !document.querySelector('.selection').checkVisibility()"));
    wait_for("the deletion", || kept().len() == 5);
    assert_eq!(kept()[..2], ["2024-03-02/12.00.40", "2024-03-02/12.00.20"]);

    // A day, and what is shown then is another.
    browser.press("Earlier day");
    browser.wait(&format!("document.querySelector('select.days').value === '2024-03-01' && {rows} === 3"));
    browser.press("Delete day");
    let question = browser.wait("document.querySelector('dialog[open] h2').innerText");
    assert_eq!(question, "Delete 3 recordings of Friday, 1 March 2024?");
    browser.press("Delete 3 recordings");
    wait_for("the deletion", || kept() == ["2024-03-02/12.00.40", "2024-03-02/12.00.20"]);
    browser.wait("document.querySelector('select.days').value === '2024-03-02' && document.querySelectorAll('select.days option').length === 1");

    // What is protected goes with nothing.
    browser.press("Delete day");
    browser.press("Delete 1 recording");
    wait_for("the deletion", || kept() == ["2024-03-02/12.00.20"]);
    browser.wait(&format!("{rows} === 1"));
    browser.press("Delete day");
    browser.wait("document.querySelector('.toast:last-child').innerText.includes('cannot be deleted')");
}

#[test]
fn ten_thousand_recordings_stay_smooth() {
    let folder = fast_folder();
    let midnight = jiff::civil::date(2024, 3, 1).to_zoned_datetime(TimeZone::system()).unwrap().timestamp();
    for n in 0..10_000_i64 {
        let trigger = midnight + SignedDuration::from_secs(n / 5000 * 86_400 + n % 5000 * 17);
        let id = RecordingId::at(trigger, &TimeZone::system());
        make(&folder.path().join("data"), n, id, trigger - SignedDuration::from_secs(1), 20);
    }
    let daemon = Daemon::start_in(folder, "", QUIET);
    let Some(browser) = Browser::start("ten_thousand_recordings_stay_smooth", PHONE) else { return };
    browser.go(&address(&daemon, "recordings"));
    browser.wait("/^5,000 recordings/.test(document.querySelector('.listing .facts').innerText)");
    let rows = "document.querySelectorAll('ul.list > li').length";
    assert!(browser.js(&format!("return {rows}")).as_u64().unwrap() < 40, "only what is seen is in the page");
    // Down in one leap: rows come within a moment, and only they.
    browser.js("scrollTo(0, document.body.scrollHeight)");
    browser.wait("document.querySelector('ul.list > li:last-child time').innerText === '00:00:00'");
    assert!(browser.js(&format!("return {rows}")).as_u64().unwrap() < 40);
    // Half of the list passes by; the longest gap between two pictures on the screen is a moment.
    let longest = browser.js(
        "let longest = 0, last = performance.now(); const end = last + 1500; const height = document.body.scrollHeight; \
         return new Promise((done) => { const step = (now) => { longest = Math.max(longest, now - last); last = now; \
         scrollTo(0, height * (end - now) / 1500); if (now < end) requestAnimationFrame(step); else done(longest); }; \
         requestAnimationFrame(step); })",
    );
    println!("the longest gap while scrolling: {longest} ms");
    browser.js("scrollTo(0, 0)");
    browser.press("Earlier day");
    browser.wait("document.querySelector('select.days').value === '2024-03-01'");
    browser.wait("document.querySelector('ul.list > li:first-child time').innerText === '23:36:23'");
}
