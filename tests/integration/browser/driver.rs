//! A headless Chromium, driven by its own driver. Each test has a browser of its own, one after the other.
//!
//! The driver is spoken to as W3C WebDriver says: a dozen JSON requests, for which a client's sixty crates would be much.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::{PATIENCE, begin, read_head, skipped};

/// Width, height and whether it is a phone.
#[derive(Clone, Copy, Debug)]
pub struct Screen(pub u32, pub u32, pub bool);

pub const DESK: Screen = Screen(1280, 800, false);
pub const PHONE: Screen = Screen(390, 844, true);

/// Keys that have no character, as W3C WebDriver names them.
pub mod key {
    pub const ENTER: &str = "\u{e007}";
    pub const SHIFT: &str = "\u{e008}";
    pub const CONTROL: &str = "\u{e009}";
    pub const ESCAPE: &str = "\u{e00c}";
    pub const SPACE: &str = " ";
    pub const END: &str = "\u{e010}";
    pub const HOME: &str = "\u{e011}";
    pub const LEFT: &str = "\u{e012}";
    pub const RIGHT: &str = "\u{e014}";
    pub const TAB: &str = "\u{e004}";
}

/// Two browsers at a time would only wait for each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub struct Browser {
    driver: Child,
    port: u16,
    /// The path of the session.
    session: String,
    /// What the console said so far.
    said: Vec<String>,
    /// What was asked for so far.
    asked: Vec<String>,
    _profile: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Browser {
    /// Starts one; `None`, with the reason said, where there is none.
    pub fn start(test: &str, screen: Screen) -> Option<Self> {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let driver = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let Ok(mut driver) = driver else {
            skipped(&format!("{test}: chromedriver is not installed (ancillary/setup test)"));
            return None;
        };
        let port = announced(&mut driver);
        let profile = tempfile::tempdir().unwrap();
        let capabilities = json!({
            "goog:chromeOptions": {
                "args": [
                    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                    "--disable-background-networking", "--disable-component-update", "--no-first-run",
                    format!("--user-data-dir={}", profile.path().display()),
                    format!("--window-size={},{}", screen.0, screen.1),
                ],
                "perfLoggingPrefs": { "enableNetwork": true, "enablePage": false },
            },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "timeouts": { "script": 60_000, "pageLoad": 60_000 },
        });
        let mut browser = Self {
            driver,
            port,
            session: "/session".to_owned(),
            said: Vec::new(),
            asked: Vec::new(),
            _profile: profile,
            _turn: turn,
        };
        let session = browser.ask("", &json!({ "capabilities": { "alwaysMatch": capabilities } })).unwrap();
        browser.session = format!("/session/{}", session["sessionId"].as_str().unwrap());
        browser.screen(screen);
        Some(browser)
    }

    pub fn screen(&self, Screen(width, height, phone): Screen) {
        let scale = if phone { 2 } else { 1 };
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
        self.devtools("Emulation.setTouchEmulationEnabled", &json!({ "enabled": phone }));
    }

    /// `light` or `dark`, as the system would say it.
    pub fn scheme(&self, scheme: &str) {
        let features = json!({ "features": [
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ] });
        self.devtools("Emulation.setEmulatedMedia", &features);
    }

    pub fn go(&self, address: &str) {
        self.ask("/url", &json!({ "url": address })).unwrap();
    }

    /// What a script returns; promises are waited for.
    pub fn js(&self, script: &str) -> Value {
        let run = self.ask("/execute/sync", &json!({ "script": script, "args": [] }));
        run.unwrap_or_else(|error| panic!("{script}\n{error}"))
    }

    /// Waits until an expression is true, and answers it.
    #[track_caller]
    pub fn wait(&self, expression: &str) -> Value {
        let begin = Instant::now();
        let script = format!("return (() => {{ try {{ return {expression}; }} catch {{ return null; }} }})()");
        loop {
            let value = self.js(&script);
            if !matches!(value, Value::Null | Value::Bool(false)) && value != json!(0) && value != json!("") {
                return value;
            }
            if begin.elapsed() > PATIENCE {
                self.screenshot_to(&std::env::temp_dir().join("watchtower-waited-in-vain.webp"));
                let page = self.js("return document.body.innerText.slice(0, 1500)");
                panic!("waited in vain for {expression}\n{page}\n{:?}", self.js("return location.href"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Clicks as a person would: the element has to be there, in view and not covered.
    #[track_caller]
    pub fn click(&self, selector: &str) {
        let begin = Instant::now();
        loop {
            let found = self.ask("/element", &json!({ "using": "css selector", "value": selector }));
            let clicked = found.and_then(|found| {
                let id = found.as_object().and_then(|found| found.values().next()).and_then(Value::as_str).unwrap();
                self.ask(&format!("/element/{id}/click"), &json!({}))
            });
            match clicked {
                Ok(_) => return,
                Err(error) => assert!(begin.elapsed() < PATIENCE, "{selector} cannot be clicked: {error}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Clicks the button or link of this name.
    #[track_caller]
    pub fn press(&self, name: &str) {
        let name = json!(name);
        self.wait(&format!(
            "(() => {{ const found = [...document.querySelectorAll('button, a, summary, label')].find((one) => \
             one.checkVisibility() && [one.getAttribute('aria-label'), one.innerText.trim()].includes({name})); \
             document.querySelectorAll('[data-pressed]').forEach((one) => delete one.dataset.pressed); \
             if (found) found.dataset.pressed = 1; return Boolean(found); }})()"
        ));
        self.click("[data-pressed]");
    }

    /// Keys that are pressed one after the other, and let go in reverse.
    pub fn keys(&self, keys: &[&str]) {
        let down = keys.iter().map(|key| json!({ "type": "keyDown", "value": key }));
        let up = keys.iter().rev().map(|key| json!({ "type": "keyUp", "value": key }));
        let actions: Vec<_> = down.chain(up).collect();
        self.ask("/actions", &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] })).unwrap();
    }

    /// A mouse button or finger at a place of the page.
    pub fn tap(&self, x: f64, y: f64) {
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
            self.devtools("Input.dispatchMouseEvent", &event);
        }
    }

    pub fn touch(&self, way: &[(f64, f64)]) {
        for (n, (x, y)) in way.iter().enumerate() {
            let kind = if n == 0 { "touchStart" } else { "touchMove" };
            self.devtools("Input.dispatchTouchEvent", &json!({ "type": kind, "touchPoints": [{ "x": x, "y": y }] }));
        }
        self.devtools("Input.dispatchTouchEvent", &json!({ "type": "touchEnd", "touchPoints": [] }));
    }

    pub fn devtools(&self, command: &str, parameters: &Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.ask("/goog/cdp/execute", &body).unwrap()
    }

    /// As WebP: noise would make a PNG ten times as large.
    pub fn screenshot_to(&self, file: &Path) {
        let taken = self.devtools("Page.captureScreenshot", &json!({ "format": "webp", "quality": 80 }));
        std::fs::write(file, BASE64_STANDARD.decode(taken["data"].as_str().unwrap()).unwrap()).unwrap();
    }

    /// Everything that the page has asked for, and from where.
    pub fn requests(&mut self) -> &[String] {
        for entry in self.log("performance") {
            let message: Value = serde_json::from_str(entry["message"].as_str().unwrap()).unwrap();
            if message["message"]["method"] == "Network.requestWillBeSent" {
                let address = message["message"]["params"]["request"]["url"].as_str().unwrap();
                self.asked.push(address.to_owned());
            }
        }
        &self.asked
    }

    /// Errors and warnings of the console.
    pub fn complaints(&mut self) -> &[String] {
        for entry in self.log("browser") {
            if matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING")) {
                self.said.push(entry["message"].as_str().unwrap().to_owned());
            }
        }
        &self.said
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        let entries = self.ask("/se/log", &json!({ "type": kind })).unwrap();
        entries.as_array().unwrap().clone()
    }

    /// One command of the session; its value, or what the driver says is wrong.
    fn ask(&self, command: &str, body: &Value) -> Result<Value, String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        begin(&mut stream, "POST", &format!("{}{command}", self.session), &[], body.to_string().as_bytes());
        let mut reader = BufReader::new(stream);
        let (status, headers) = read_head(&mut reader);
        let length = headers.iter().find(|(name, _)| name == "content-length").unwrap().1.parse().unwrap();
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer).unwrap();
        let mut answer: Value = serde_json::from_slice(&answer).unwrap();
        match status {
            200 => Ok(answer["value"].take()),
            _ => Err(answer["value"]["message"].to_string()),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends its browser with the session. While a test fails, this must not fail as well.
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
            begin(&mut stream, "DELETE", &self.session, &[], b"");
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            let _ = stream.read_to_end(&mut Vec::new());
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The port the driver has chosen; its output is read on, so that it never blocks.
fn announced(driver: &mut Child) -> u16 {
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
    let port = lines
        .find_map(|line| line.rsplit_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok())
        .expect("the driver says its port");
    std::thread::spawn(move || lines.for_each(drop));
    port
}
