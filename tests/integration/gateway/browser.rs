//! A real Chromium with a `.p12` file imported into its certificate store, as a person would.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::network::Lan;

/// Which certificate Chromium shows without asking is a matter of policy, and policies are the machine's. For names below
/// `example.org` only, and gone with the test.
struct Policy(PathBuf);

impl Policy {
    fn set() -> Option<Self> {
        let folder = Path::new("/etc/chromium/policies/managed");
        std::fs::create_dir_all(folder).ok()?;
        let file = folder.join(format!("watchtower-test-{}.json", std::process::id()));
        let any = r#"{"AutoSelectCertificateForUrls": ["{\"pattern\":\"https://[*.]example.org\",\"filter\":{}}"]}"#;
        std::fs::write(&file, any).ok()?;
        Some(Self(file))
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

pub struct Browser {
    home: tempfile::TempDir,
    _policy: Policy,
}

impl Browser {
    /// With an authority and a bundle imported; or what this machine lacks.
    pub fn new(authority: &Path, bundle: &Path, password: &str) -> Result<Self, &'static str> {
        for program in ["chromium", "certutil", "pk12util"] {
            if Command::new("which").arg(program).stdout(Stdio::null()).status().is_ok_and(|found| !found.success()) {
                return Err("chromium, certutil and pk12util (libnss3-tools) are needed");
            }
        }
        let policy = Policy::set().ok_or("Chromium's policies can be set by root only")?;
        let home = tempfile::tempdir().unwrap();
        let store = home.path().join(".pki/nssdb");
        std::fs::create_dir_all(&store).unwrap();
        let store = format!("sql:{}", store.display());
        run(Command::new("certutil").args(["-N", "--empty-password", "-d", &store]));
        run(Command::new("certutil").args(["-A", "-n", "home", "-t", "C,,", "-d", &store, "-i"]).arg(authority));
        run(Command::new("pk12util").args(["-d", &store, "-K", "", "-W", password, "-i"]).arg(bundle));
        Ok(Self { home, _policy: policy })
    }

    /// The page at `url` as it is once it has loaded, where `name` is at `address`.
    pub fn page(&self, lan: &Lan, name: &str, address: &str, url: &str) -> String {
        for attempt in 1.. {
            let asked =
                self.chromium(lan, name, address).args(["--timeout=60000", "--dump-dom", url]).output().unwrap();
            let (page, said) = (String::from_utf8_lossy(&asked.stdout), String::from_utf8_lossy(&asked.stderr));
            // The namespace's interfaces have only just come up, and Chromium gives up a load during which one does.
            if page.is_empty() && said.contains("ERR_NETWORK_CHANGED") && attempt < 5 {
                continue;
            }
            assert!(!page.is_empty(), "{said}");
            return page.into_owned();
        }
        unreachable!("the last attempt returns or panics")
    }

    /// Waits until the page at `url` has a title with this in it. The web app's live requests never end, so it never has
    /// loaded either; its title it takes from the API. Opened anew where it takes long: see `page`.
    pub fn wait_for_title(&self, lan: &Lan, name: &str, address: &str, url: &str, title: &str) {
        let pages =
            || lan.command("curl").args(["--silent", "http://127.0.0.1:9222/json/list"]).output().unwrap().stdout;
        let mut browser = self.chromium(lan, name, address);
        browser.args(["--remote-debugging-port=9222", url]).stderr(Stdio::null());
        let mut last = String::new();
        for _ in 0..4 {
            let _running = Running(browser.spawn().unwrap());
            let opened = Instant::now();
            while opened.elapsed() < Duration::from_secs(20) {
                last = String::from_utf8_lossy(&pages()).into_owned();
                if last.contains(title) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        panic!("no page with {title} in its title: {last}");
    }

    fn chromium(&self, lan: &Lan, name: &str, address: &str) -> Command {
        let mut chromium = lan.command("chromium");
        chromium
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .arg("--disable-background-networking")
            .arg(format!("--user-data-dir={}", self.home.path().join("profile").display()))
            .arg(format!("--host-resolver-rules=MAP {name} {address}"))
            .env("HOME", self.home.path())
            .stdin(Stdio::null());
        chromium
    }
}

/// It ends when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
