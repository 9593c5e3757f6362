//! The OpenAPI document by independent readers: a validator and schemathesis, both from PyPI, against a running daemon.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Daemon, skipped};

const TOOLS: [&str; 2] = ["openapi-spec-validator==0.9.0", "schemathesis==4.32.5"];

/// Answers that never end, which it would wait for.
const ENDLESS: &str = r"(/mjpeg|/live\.mp4|/api/events)$";

/// What has to hold of every answer. The rest of schemathesis' checks are about how strict a server is with its clients.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";

/// Every value at its bounds and beyond, about 1400 requests; then, for each operation, so many made up at random: about 700.
const PHASES: &str = "examples,coverage,fuzzing";
const MADE_UP: &str = "20";

/// 503 is documented: a camera may give no pictures.
const SETTINGS: &str = "[checks]\nnot_a_server_error.expected-statuses = [\"2xx\", \"3xx\", \"4xx\", 503]\n";

/// The folder with the tools, which are installed there when they are missing; `None`, said, where that cannot be.
fn tools() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("openapi-tools");
    let installed = folder.join("installed");
    if std::fs::read_to_string(&installed).is_ok_and(|tools| tools == TOOLS.concat()) {
        return Some(folder.join("bin"));
    }
    let _ = std::fs::remove_dir_all(&folder);
    let ran = |command: &mut Command| {
        let output = command.output().map_err(|error| error.to_string())?;
        let said = [output.stdout, output.stderr].concat();
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&said).into_owned()) }
    };
    let made = ran(Command::new("python3").args(["-m", "venv"]).arg(&folder));
    let made = made.and_then(|()| {
        let pip = ["-q", "install", "--disable-pip-version-check"];
        ran(Command::new(folder.join("bin/pip")).args(pip).args(TOOLS))
    });
    if let Err(said) = made {
        let why = said.trim().lines().last().unwrap_or_default().to_owned();
        skipped(&format!("openapi: its tools cannot be installed from PyPI: {why}"));
        return None;
    }
    std::fs::write(installed, TOOLS.concat()).unwrap();
    Some(folder.join("bin"))
}

/// Makes every other camera, day and time one that is there: what is made up would nearly always be a 404.
fn point_to(document: &mut Value, there: &[(&str, &str)]) {
    for item in document["paths"].as_object_mut().unwrap().values_mut() {
        for operation in item.as_object_mut().unwrap().values_mut() {
            for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
                let known = there.iter().find(|(name, _)| parameter["name"] == *name && parameter["in"] == "path");
                if let Some((_, is)) = known {
                    parameter["schema"] = json!({ "type": "string", "enum": [is, "other"] });
                    parameter["example"] = json!(is);
                }
            }
        }
    }
}

fn passes(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
    println!("{said}");
}

#[test]
fn the_document_is_valid_and_the_daemon_keeps_to_it() {
    let Some(tools) = tools() else { return };
    let daemon = Daemon::start("");
    daemon.wait_for_pictures();
    let document = daemon.get("/api/openapi.json");
    assert_eq!((document.status, document.header("content-type")), (200, Some("application/json")));
    let file = daemon.folder.path().join("openapi.json");
    std::fs::write(&file, &document.body).unwrap();
    passes(Command::new(tools.join("openapi-spec-validator")).arg(&file));

    let path = daemon.record();
    let (day, time) = path.trim_start_matches("/api/recordings/").split_once('/').unwrap();
    let mut known = document.json();
    point_to(&mut known, &[("camera", "front"), ("day", day), ("time", time)]);
    std::fs::write(&file, known.to_string()).unwrap();
    let settings = daemon.folder.path().join("schemathesis.toml");
    std::fs::write(&settings, SETTINGS).unwrap();
    let passes_with = |methods: [&str; 2]| {
        passes(
            Command::new(tools.join("schemathesis"))
                .current_dir(daemon.folder.path())
                .arg("--config-file")
                .arg(&settings)
                .arg("run")
                .arg(&file)
                .args(["--url", &format!("http://{}", daemon.address), "--checks", CHECKS])
                .args(["--exclude-path-regex", ENDLESS, "--phases", PHASES, "--max-examples", MADE_UP])
                .args(methods)
                .args(["--generation-deterministic", "--no-shrink", "--no-color"])
                .args(["--request-timeout", "60", "--suppress-health-check", "all"]),
        );
    };
    // What deletes comes last, so that there is something till then.
    passes_with(["--exclude-method", "DELETE"]);
    let status = |method: &str, path: &str, body: &[u8]| daemon.send(method, path, &[], body).status;
    assert_eq!(status("PATCH", &path, br#"{"protected": false}"#), 200);
    assert_eq!(status("GET", &format!("{path}/video"), b""), 200);
    passes_with(["--include-method", "DELETE"]);
    assert_eq!(status("GET", &format!("{path}/video"), b""), 404);
    assert_eq!(status("GET", "/api/cameras", b""), 200, "it still answers");
}
