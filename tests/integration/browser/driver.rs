//! A headless Chromium, driven by its own driver. Each test has a browser of its own, one after the other.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::{PATIENCE, skipped};

/// Width, height and whether it is a phone.
#[derive(Clone, Copy, Debug)]
pub struct Screen(pub u32, pub u32, pub bool);

pub const DESK: Screen = Screen(1280, 800, false);
pub const PHONE: Screen = Screen(390, 844, true);

/// Two browsers at a time would only wait for each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub struct Browser {
    client: Client,
    runtime: Runtime,
    driver: Child,
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
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
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
        let Value::Object(capabilities) = capabilities else { unreachable!("an object is written there") };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities);
        let client = runtime.block_on(builder.connect(&format!("http://127.0.0.1:{port}"))).expect("Chromium starts");
        let browser =
            Self { client, runtime, driver, said: Vec::new(), asked: Vec::new(), _profile: profile, _turn: turn };
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
        self.runtime.block_on(self.client.goto(address)).unwrap();
    }

    /// What a script returns; promises are waited for.
    pub fn js(&self, script: &str) -> Value {
        let run = self.client.execute(script, vec![]);
        self.runtime.block_on(run).unwrap_or_else(|error| panic!("{script}\n{error}"))
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
                self.screenshot_to(&std::env::temp_dir().join("watchtower-waited-in-vain.png"));
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
            let clicked =
                self.runtime.block_on(async { self.client.find(Locator::Css(selector)).await?.click().await });
            match clicked {
                Ok(()) => return,
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

    /// Types into what has the focus.
    pub fn keys(&self, keys: &str) {
        let typed = async { self.client.active_element().await?.send_keys(keys).await };
        self.runtime.block_on(typed).unwrap();
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
        self.issue("POST", "goog/cdp/execute", Some(body))
    }

    pub fn screenshot_to(&self, file: &std::path::Path) {
        let png = self.runtime.block_on(self.client.screenshot()).unwrap();
        std::fs::write(file, png).unwrap();
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
        let entries = self.issue("POST", "se/log", Some(json!({ "type": kind })));
        entries.as_array().unwrap().clone()
    }

    fn issue(&self, method: &'static str, path: &'static str, body: Option<Value>) -> Value {
        let command = Raw { method, path, body: body.map(|body| body.to_string()) };
        self.runtime.block_on(self.client.issue_cmd(command)).unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends its browser with the session.
        let _ = self.runtime.block_on(self.client.clone().close());
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// A command of the driver that the standard does not have.
struct Raw {
    method: &'static str,
    path: &'static str,
    body: Option<String>,
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path)
    }
}

impl WebDriverCompatibleCommand for Raw {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (self.method.parse().unwrap(), self.body.clone())
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
