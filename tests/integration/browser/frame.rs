//! What is around the sections: all cameras, path prefixes, phones, roles, and the app switched off.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::support::{fast_folder, skipped};

const SEVERAL: &str = r#"
[cameras.front]
label = "Front door"
source = "pattern"
size = "320x240"
fps = 5
[cameras.garden]
label = "Garden, behind the shed by the old apple tree"
source = "pattern"
size = "320x240"
fps = 5
[cameras.attic]
label = "Attic"
source = "v4l2:/dev/video-that-is-not-there"
"#;

#[test]
fn all_cameras_are_at_a_glance_and_open_from_there() {
    let daemon = Daemon::start_with(fast_folder(), "default_camera = \"front\"", "", SEVERAL);
    let Some(mut browser) = Browser::start("all_cameras_are_at_a_glance_and_open_from_there", DESK) else { return };
    let origin = format!("http://{}", daemon.address);
    browser.go(&format!("{origin}/"));
    browser.wait("document.querySelectorAll('.wall .tile').length === 3");
    browser.wait("[...document.querySelectorAll('.wall img')].filter((one) => one.naturalWidth === 320).length === 2");
    let first = browser.js("return document.querySelector('[data-name=garden] img').src");
    browser.wait(&format!("document.querySelector('[data-name=garden] img').src !== {first}"));
    browser.wait("document.querySelector('[data-name=attic]').innerText.includes('needs attention')");
    browser.wait("/camera|device/.test(document.querySelector('[data-name=attic] small').innerText)");

    browser.js("document.querySelector('[data-name=garden] a').focus()");
    browser.keys(&[super::driver::key::ENTER]);
    browser.wait("document.title.startsWith('Garden') && document.querySelector('.stage').dataset.way");
    assert!(browser.requests().iter().any(|asked| asked.contains("/cameras/garden/live.mp4")));
    assert_eq!(browser.js("return document.activeElement.id"), "main", "the keyboard goes on at what is new");
    // From one camera to another by the menu, within the same section.
    browser.js("const menu = document.querySelector('#cameras select'); menu.value = 'front'; menu.dispatchEvent(new Event('change'))");
    browser.wait("document.title.startsWith('Front door')");
    // A camera's own page shows that camera.
    browser.go(&format!("{origin}/cameras/garden/"));
    browser.wait("document.title.startsWith('Garden') && document.querySelector('.stage').dataset.way");
    assert_clean(&mut browser, &origin);
}

#[test]
fn it_works_below_a_path_prefix_behind_nginx() {
    const NAME: &str = "it_works_below_a_path_prefix_behind_nginx";
    let daemon = Daemon::start_in(fast_folder(), "", WALKED);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let pass = format!("location /camera0/ {{ proxy_pass http://{}/; proxy_set_header Host localhost;", daemon.address);
    let Some(proxy) = Nginx::start(daemon.folder.path(), port, &pass) else {
        skipped(&format!("{NAME}: nginx is not installed (ancillary/setup test)"));
        return;
    };
    daemon.wait_for_pictures();
    let Some(mut browser) = Browser::start(NAME, DESK) else { return };
    let origin = format!("http://127.0.0.1:{port}/camera0/");
    browser.go(&origin);
    browser.wait("document.querySelector('.stage').dataset.way === 'H.264'");
    browser.press("Record now");
    browser.wait("document.querySelectorAll('.newest li').length >= 1");
    for section in ["Recordings", "Zones", "Settings", "System"] {
        browser.press(section);
        browser.wait(&format!("document.title.startsWith('{section}')"));
    }
    browser
        .wait("document.body.innerText.includes('All is well') || document.body.innerText.includes('needs attention')");
    assert_clean(&mut browser, &origin);
    drop(proxy);
}

#[test]
fn on_a_phone_nothing_is_wider_than_the_screen_and_fingers_hit() {
    let daemon = Daemon::start_with(fast_folder(), "default_camera = \"front\"", "", SEVERAL);
    let Some(mut browser) = Browser::start("on_a_phone_nothing_is_wider_than_the_screen_and_fingers_hit", PHONE) else {
        return;
    };
    wait_for("a picture", || daemon.get("/api/snapshot.jpg").status == 200);
    daemon.get("/api/record");
    let origin = format!("http://{}", daemon.address);
    browser.go(&format!("{origin}/"));
    browser.wait("document.querySelectorAll('.wall .tile').length === 3");
    for section in ["live", "recordings", "zones", "settings", "system"] {
        browser.go(&format!("{origin}/#/garden/{section}"));
        browser.wait(&format!("document.querySelector('.section.{section}').childElementCount"));
        browser.wait("!document.querySelector('.loading')");
        let wide = browser.js("return document.documentElement.scrollWidth");
        assert_eq!(wide, 390, "{section}");
        let small = browser.js(
            "return [...document.querySelectorAll('button, .tabs a, select')].filter((one) => one.checkVisibility() && \
             !one.classList.contains('small') && one.getBoundingClientRect().height < 38).map((one) => one.outerHTML)",
        );
        assert_eq!(small, serde_json::json!([]), "{section}: too small for a finger");
        let tabs = browser.js("return document.querySelector('.tabs').getBoundingClientRect().bottom").as_f64();
        assert_eq!(tabs, Some(844.0), "the sections are at the thumb");
    }
    assert_clean(&mut browser, &origin);
}

#[test]
fn switched_off_nothing_of_it_is_left() {
    let daemon = Daemon::start("web_app = false");
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/web")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        daemon.get(&format!("/{name}")).problem(404);
        daemon.get(&format!("/cameras/front/{name}")).problem(404);
    }
    daemon.get("/").problem(404);
    daemon.get("/cameras/front/").problem(404);
    assert_eq!(daemon.get("/api/status").status, 200);
}

#[test]
fn it_can_be_installed() {
    let daemon = Daemon::start("");
    let Some(browser) = Browser::start("it_can_be_installed", DESK) else { return };
    browser.go(&format!("http://{}/", daemon.address));
    let manifest = browser.devtools("Page.getAppManifest", &serde_json::json!({}));
    assert_eq!(manifest["errors"], serde_json::json!([]), "{manifest}");
    assert!(manifest["data"].as_str().unwrap().contains("Watchtower"), "{manifest}");
    let errors = browser.devtools("Page.getInstallabilityErrors", &serde_json::json!({}));
    assert_eq!(errors["installabilityErrors"], serde_json::json!([]));
}

/// A reverse proxy before one daemon.
pub struct Nginx(Child);

impl Nginx {
    /// `pass` opens a location and says where it leads; `None` where nginx is not installed.
    pub fn start(folder: &std::path::Path, port: u16, pass: &str) -> Option<Self> {
        let top = folder.display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {top}/{kind};"))
            .join("\n");
        let config = format!(
            "daemon off; pid {top}/nginx.pid; error_log stderr; user root;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}\n\
             server {{ listen 127.0.0.1:{port}; {pass} proxy_http_version 1.1; proxy_buffering off; }} }}\n}}\n"
        );
        let file = folder.join("nginx.conf");
        std::fs::File::create(&file).unwrap().write_all(config.as_bytes()).unwrap();
        let child = Command::new("nginx").arg("-c").arg(&file).args(["-e", "stderr"]).stderr(Stdio::null()).spawn();
        child.or_else(|_| Command::new("/usr/sbin/nginx").arg("-c").arg(&file).spawn()).ok().map(Self)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers end with it only when it is asked.
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}
