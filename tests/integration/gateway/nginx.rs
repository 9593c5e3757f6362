//! A real nginx with a rendered configuration, whose paths are moved into a folder of the test's own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use super::network::Host;
use crate::support::wait_for;

/// The nginx of the appliance's year, brought by `tests/gateway/nginx`; its error where it cannot be had.
pub fn program() -> Result<&'static Path, &'static str> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = PROGRAM.get_or_init(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let brought = Command::new(here.join("tests/gateway/nginx"))
            .arg(here.join("target/nginx"))
            .output()
            .map_err(|e| e.to_string())?;
        match brought.status.success() {
            true => Ok(String::from_utf8_lossy(&brought.stdout).trim().into()),
            false => Err(String::from_utf8_lossy(&brought.stderr).trim().replace('\n', "; ")),
        }
    });
    found.as_deref().map_err(String::as_str)
}

/// A running nginx. It ends when dropped.
pub struct Nginx {
    child: Child,
    folder: tempfile::TempDir,
}

impl Nginx {
    /// Starts it on this machine with `text`, in which `replaced` say what stands for what.
    pub fn start(host: &Host, text: &str, replaced: &[(&str, &Path)]) -> Self {
        let program = program().expect("nginx was there a moment ago");
        let folder = tempfile::tempdir().unwrap();
        let mut text = text.to_owned();
        for (name, path) in replaced {
            assert!(text.contains(name), "the configuration has no {name}");
            text = text.replace(name, path.to_str().unwrap());
        }
        // What nixpkgs adds to every configuration is in Debian's package too.
        let etc = program.with_file_name("root/etc/nginx");
        for (nixpkgs, debian) in [
            ("/nix/store/mailcap/etc/nginx/mime.types", "mime.types"),
            ("/nix/store/nginx/conf/fastcgi.conf", "fastcgi.conf"),
            ("/nix/store/nginx/conf/uwsgi_params", "uwsgi_params"),
        ] {
            text = text.replace(nixpkgs, etc.join(debian).to_str().unwrap());
        }
        let text = text
            .replace("/run/nginx/nginx.pid", folder.path().join("pid").to_str().unwrap())
            .replace("http {", "http {\ninclude temporary.conf;");
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, text).unwrap();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {};", folder.path().join(kind).display()));
        std::fs::write(folder.path().join("temporary.conf"), temporary.join("\n")).unwrap();
        let child = host
            .command(program.to_str().unwrap())
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(&file)
            .args(["-e", "stderr", "-g", "user root;"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut nginx = Self { child, folder };
        wait_for("nginx", || {
            assert!(nginx.child.try_wait().unwrap().is_none(), "nginx ended");
            nginx.folder.path().join("pid").metadata().is_ok_and(|pid| pid.len() > 0)
        });
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master ends its workers when it is asked to.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}
