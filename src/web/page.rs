//! The web app's files, embedded. Served at the root and below each camera, because every link in them is relative.
//!
//! What the page does is in the `web/` folder; this only sends it.

use std::sync::Arc;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use super::Web;
use super::extract::Camera;
use super::problem::Problem;

struct Asset {
    path: &'static str,
    kind: &'static str,
    content: &'static [u8],
}

macro_rules! assets {
    ($($file:literal $kind:expr),* $(,)?) => {
        [$(Asset { path: concat!("/", $file), kind: $kind, content: include_bytes!(concat!("../../web/", $file)) }),*]
    };
}

const CSS: &str = "text/css; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const MANIFEST: &str = "application/manifest+json";
const PNG: &str = "image/png";
const SVG: &str = "image/svg+xml";

const INDEX: Asset = Asset { path: "/", kind: HTML, content: include_bytes!("../../web/index.html") };
const OTHERS: &[Asset] = &assets![
    "api.js" JS,
    "app.js" JS,
    "base.css" CSS,
    "cameras.js" JS,
    "catalogue.js" JS,
    "dom.js" JS,
    "format.js" JS,
    "grid.js" JS,
    "icon-192.png" PNG,
    "icon.svg" SVG,
    "icons.js" JS,
    "live.js" JS,
    "manifest.webmanifest" MANIFEST,
    "newest.js" JS,
    "player.js" JS,
    "polygons.js" JS,
    "recordings.js" JS,
    "row.js" JS,
    "sections.css" CSS,
    "settings.js" JS,
    "stage.js" JS,
    "stream.js" JS,
    "system.js" JS,
    "thumbnail.js" JS,
    "timeline.js" JS,
    "tuning.js" JS,
    "windowed.js" JS,
    "zones.js" JS,
];

/// No code and no style but the files', nothing from anywhere else; pictures the page made itself are `blob:`.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; \
    media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// The page at `/` and at `/cameras/NAME/`, each with its files beside it.
pub(super) fn routes() -> Router<Arc<Web>> {
    // Without the slash, the page's links would lead to the folder above.
    let mut router = Router::new().route("/cameras/{camera}", get(to_folder));
    for &Asset { path, kind, content } in std::iter::once(&INDEX).chain(OTHERS) {
        let etag = format!("\"{:08x}\"", crc32fast::hash(content));
        let send = async move |headers: HeaderMap| send(&headers, kind, content, &etag);
        let below = {
            let send = send.clone();
            async move |_: Camera, headers: HeaderMap| send(headers).await
        };
        router = router.route(path, get(send)).route(&format!("/cameras/{{camera}}{path}"), get(below));
    }
    router
}

fn send(headers: &HeaderMap, kind: &'static str, content: &'static [u8], etag: &str) -> Response {
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let head = [(CONTENT_TYPE, kind), (ETAG, etag), (CACHE_CONTROL, "no-cache"), (CONTENT_SECURITY_POLICY, POLICY)];
    if known.flat_map(|tags| tags.split(',')).any(|tag| tag.trim().trim_start_matches("W/") == etag) {
        return (StatusCode::NOT_MODIFIED, head).into_response();
    }
    (head, content).into_response()
}

async fn to_folder(Camera(camera): Camera) -> Result<Redirect, Problem> {
    Ok(Redirect::permanent(&format!("{}/", camera.name())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_web_app_is_sent_and_all_together_are_small() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        let mut files: Vec<String> =
            folder.read_dir().unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        let mut sent: Vec<&str> = OTHERS.iter().map(|asset| &asset.path[1..]).chain(["index.html"]).collect();
        sent.sort_unstable();
        assert_eq!(files, sent);
        let bytes = INDEX.content.len() + OTHERS.iter().map(|asset| asset.content.len()).sum::<usize>();
        assert!(bytes < 150_000, "{bytes} bytes");
    }
}
