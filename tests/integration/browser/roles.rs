//! What somebody with a viewer's or an operator's certificate meets: what they may not do is not offered, and where the page
//! offers it all the same, the daemon's refusal is shown.

use watchtower::role::Role;

use super::frame::Nginx;
use super::*;
use crate::owner::Owner;
use crate::support::skipped;

/// Names of what is visible in the section and cannot be used.
const REFUSED: &str = "[...document.querySelectorAll('#main :disabled')].filter((one) => one.checkVisibility()).map((one) => \
    one.getAttribute('aria-label') ?? one.labels?.[0]?.innerText ?? one.innerText)";

struct Behind {
    daemon: Daemon,
    socket: String,
    owner: Owner,
}

impl Behind {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("web.sock").display().to_string();
        let daemon = Daemon::start_in(folder, &format!("listen = \"unix:{socket}\""), QUIET);
        Self { daemon, socket, owner: Owner::new() }
    }

    /// The proxy that somebody of this role meets, and where; `None` where there is no nginx.
    fn proxy(&self, role: Role) -> Option<(Nginx, tempfile::TempDir, String)> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let certificate = self.owner.client(role.as_str(), role).escaped;
        let pass = format!(
            "location / {{ proxy_pass http://unix:{}:/; proxy_set_header Host localhost; \
             proxy_set_header X-Client-Cert \"{certificate}\";",
            self.socket
        );
        let nginx = Nginx::start(folder.path(), port, &pass)?;
        wait_for("nginx", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some((nginx, folder, format!("http://127.0.0.1:{port}")))
    }
}

/// What cannot be used in a section, once everything of it is there.
#[track_caller]
fn refused(browser: &Browser, origin: &str, section: &str, ready: &str) -> Vec<String> {
    browser.go("about:blank");
    browser.go(&format!("{origin}/#/front/{section}"));
    browser.wait(ready);
    serde_json::from_value(browser.js(&format!("return {REFUSED}"))).unwrap()
}

/// One recording that is over.
fn record_by(browser: &Browser) {
    let done = "return fetch('api/recordings?details=1').then((answer) => answer.json()).then((all) => all.length === 1 && !all[0].recording)";
    browser.js("return fetch('api/record', { method: 'POST' }).then(({ status }) => status)");
    wait_for("a complete recording", || browser.js(done) == true);
}

const ROW: &str = "document.querySelector('ul.list > li .acts button:not([aria-label=\"…\"])')";

#[test]
fn a_viewer_is_offered_what_a_viewer_may_do() {
    const NAME: &str = "a_viewer_is_offered_what_a_viewer_may_do";
    let behind = Behind::start();
    let Some((_operators, _folder, operator)) = behind.proxy(Role::Operator) else {
        skipped(&format!("{NAME}: nginx is not installed (ancillary/setup test)"));
        return;
    };
    let (_viewers, _folder, viewer) = behind.proxy(Role::Viewer).unwrap();
    let Some(mut browser) = Browser::start(NAME, DESK) else { return };

    // An operator watches, records and protects; what is set and what is deleted is an admin's.
    let live = "document.querySelector('.stage').dataset.way";
    let none = |found: Vec<String>| assert!(found.is_empty(), "{found:?}");
    none(refused(&browser, &operator, "live", live));
    record_by(&browser);
    let known = &format!("{ROW} && !{ROW}.disabled");
    let found = refused(&browser, &operator, "recordings", known).join("\n");
    for taken in ["Delete day", "Delete"] {
        assert!(found.contains(taken), "{taken} in {found}");
    }
    assert!(!found.contains("Protect"), "{found}");

    // A viewer watches, and plays what was recorded.
    let found = refused(&browser, &viewer, "live", live);
    assert_eq!(found, ["Stop watching", "Record now"]);
    browser.wait(
        "document.querySelector('.note').innerText === 'Your certificate is a viewer\\'s; this needs an operator\\'s.'",
    );
    let found =
        refused(&browser, &viewer, "recordings", "document.querySelector('.player video').readyState >= 1").join("\n");
    for taken in ["Delete day", "Protect", "Delete"] {
        assert!(found.contains(taken), "{taken} in {found}");
    }
    browser.click("ul.list li .open");
    browser.wait("document.querySelector('.player video').currentTime > 0.3");
    browser.press("Select");
    browser.press("All");
    let found = browser.js("return [...document.querySelectorAll('.selection :disabled')].map((one) => one.innerText)");
    assert_eq!(found, serde_json::json!(["Protect", "Delete"]));

    let controls = "return document.querySelectorAll('.panel :is(button, input, select):not(:disabled)').length";
    for (section, ready) in [
        ("zones", "document.getElementById('tune-sensitivity')"),
        ("settings", "document.getElementById('set-brightness')"),
    ] {
        assert!(refused(&browser, &viewer, section, ready).len() >= 4, "{section}");
        assert_eq!(browser.js(controls), 0, "{section}");
        browser.wait("document.querySelector('.panel').innerText.includes('Your certificate is a viewer\\'s; this needs an admin\\'s.')");
    }
    refused(&browser, &viewer, "system", "document.querySelector('.verdict-card')");
    let page = browser.js("return document.querySelector('.health').innerText");
    assert!(
        page.as_str().unwrap().contains("viewer (viewer)")
            && page.as_str().unwrap().contains("Your certificate expires"),
        "{page}"
    );
    assert_clean(&mut browser, "http://127.0.0.1:");
    drop(behind.daemon);
}

#[test]
fn what_the_daemon_refuses_is_said_and_taken_back() {
    const NAME: &str = "what_the_daemon_refuses_is_said_and_taken_back";
    let behind = Behind::start();
    let Some((_operators, _folder, operator)) = behind.proxy(Role::Operator) else {
        skipped(&format!("{NAME}: nginx is not installed (ancillary/setup test)"));
        return;
    };
    let Some(browser) = Browser::start(NAME, DESK) else { return };
    browser.go(&format!("{operator}/#/front/live"));
    browser.wait("document.querySelector('.stage').dataset.way");
    record_by(&browser);
    // A page that was opened while the certificate was still an admin's.
    browser.js("return import('./api.js').then(({ who }) => { who.role = 'admin'; })");
    browser.press("Recordings");
    let rows = "document.querySelectorAll('ul.list > li').length";
    browser.wait(&format!("{rows} === 1 && {ROW} && !{ROW}.disabled"));
    browser.click("ul.list > li .acts button:last-child");
    browser.wait(&format!("{rows} === 0"));
    browser.press("Dismiss");
    browser.wait("document.querySelector('.toast.bad').innerText.includes('needs the role admin')");
    browser.wait(&format!("{rows} === 1"));

    browser.press("Settings");
    browser.wait("document.getElementById('set-brightness')");
    browser.js("const slider = document.getElementById('set-brightness'); slider.value = 85; slider.dispatchEvent(new Event('input'))");
    browser.wait("document.querySelectorAll('.toast.bad').length === 2");
    browser.wait("document.getElementById('set-brightness').value === '50'");
}
