//! The interface as an OpenAPI document, made of what stands beside the handlers.
//!
//! Each handler describes itself (`#[utoipa::path]`); here they are put together, and what all requests of a kind have in
//! common is added once: a camera's paths are served below `/cameras/NAME/` too, whatever changes something can be
//! refused, every error is a [`Problem`].

use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{OpenApi, PartialSchema, ToSchema};

use super::problem::Problem;
use super::{
    cameras, config, control, events, health, identity, live, metrics, mjpeg, motion, recordings, snapshot, thumbnail,
    video,
};
use crate::settings::{self, SettingKind};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Watchtower",
        description = "Paths are those of the daemon; a proxy may put a prefix before them. What GET reads, HEAD answers too. \
                       Who may do what is in `ancillary/docs/api.md`.",
        license(name = "MIT")
    ),
    tags(
        (name = "camera", description = "One camera: at the root the default one, below `/cameras/NAME/` each"),
        (name = "daemon", description = "All of it")
    ),
    paths(
        control::status, control::start, control::stop, control::record,
        config::show, config::change, config::schema, motion::show, motion::change,
        snapshot::show, mjpeg::stream, live::stream,
        recordings::list, recordings::list_day, recordings::delete_day, recordings::delete, recordings::change,
        recordings::trigger, recordings::video, video::show, thumbnail::show,
        cameras::list, events::all, events::of_camera, health::show, identity::show, metrics::show, show,
    ),
    components(schemas(Problem))
)]
struct Described;

/// Any of a camera's picture settings.
pub(super) struct PictureChange;

impl ToSchema for PictureChange {
    fn name() -> std::borrow::Cow<'static, str> {
        "PictureChange".into()
    }
}

impl PartialSchema for PictureChange {
    fn schema() -> RefOr<Schema> {
        let mut all = ObjectBuilder::new()
            .description(Some("Any of the picture settings"))
            .additional_properties(Some(utoipa::openapi::schema::AdditionalProperties::FreeForm(false)));
        for setting in settings::settings() {
            let of = |kind| ObjectBuilder::new().schema_type(SchemaType::new(kind));
            all = all.property(
                setting.name,
                match setting.kind {
                    // Between automatic and the slowest film there is nothing, which a range cannot say.
                    SettingKind::Integer { max, .. } if setting.name == "iso" => {
                        of(Type::Integer).enum_values(Some((0..=max).step_by(100)))
                    }
                    SettingKind::Integer { min, max, .. } => {
                        of(Type::Integer).minimum(Some(f64::from(min))).maximum(Some(f64::from(max)))
                    }
                    SettingKind::Choice { values, .. } => of(Type::Integer).enum_values(Some(values)),
                    SettingKind::Menu { values, .. } => of(Type::String).enum_values(Some(values)),
                    SettingKind::Switch { .. } => of(Type::Boolean),
                },
            );
        }
        all.into()
    }
}

/// The document.
#[utoipa::path(get, path = "/api/openapi.json", tag = "daemon", operation_id = "openapi", summary = "This document",
    responses((status = 200, body = Object)))]
pub(super) async fn show() -> impl IntoResponse {
    static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());
    ([(CONTENT_TYPE, "application/json")], TEXT.as_str())
}

/// Where a camera's paths are served besides the root.
const PREFIX: &str = "/cameras/{camera}";

fn document() -> Value {
    // A document of maps, lists and texts always serialises.
    let mut document = serde_json::to_value(Described::openapi()).unwrap_or_default();
    let mut paths = Map::new();
    if let Some(Value::Object(described)) = document.get_mut("paths").map(Value::take) {
        for (path, item) in described {
            let Value::Object(item) = item else { continue };
            if path.ends_with("/video") {
                // 1.x had both.
                add(&mut paths, &path.replace("/video", "/recording"), &item, "As1x");
            }
            add(&mut paths, &path, &item, "");
        }
    }
    document["paths"] = Value::Object(paths);
    // An empty list is of both forms.
    if let Some(listed) = document["components"]["schemas"]["Listed"].as_object_mut() {
        let forms = listed.remove("oneOf").unwrap_or_default();
        listed.insert("anyOf".to_owned(), forms);
    }
    document
}

/// Adds a path, and for a camera's also the one with its name.
fn add(paths: &mut Map<String, Value>, path: &str, item: &Map<String, Value>, suffix: &str) {
    let of_camera = item.values().any(|operation| operation["tags"][0] == "camera");
    let mut whole = item.clone();
    for (method, operation) in &mut whole {
        complete(operation, &format!("{suffix}{}", by(method, item)));
    }
    if of_camera {
        let mut named = whole.clone();
        for operation in named.values_mut() {
            operation["operationId"] = json!(format!("{}OfCamera", operation["operationId"].as_str().unwrap_or("")));
            let camera = json!({
                "name": "camera", "in": "path", "required": true, "description": "The camera's name",
                "schema": {"type": "string"}
            });
            if let Some(operation) = operation.as_object_mut()
                && let Some(parameters) = operation.entry("parameters").or_insert(json!([])).as_array_mut()
            {
                parameters.insert(0, camera);
            }
            refuse(
                operation,
                &[(404, "There is no such camera, or nothing of what is asked for"), (422, "See `detail`")],
            );
        }
        paths.insert(format!("{PREFIX}{path}"), Value::Object(named));
    }
    paths.insert(path.to_owned(), Value::Object(whole));
}

/// 1.x changed things by GET: these forms have a name of their own.
fn by(method: &str, item: &Map<String, Value>) -> &'static str {
    let both = item.contains_key("post") && item["get"]["operationId"] == item["post"]["operationId"];
    if both && method == "get" { "ByGet" } else { "" }
}

/// What goes without saying beside the handler.
fn complete(operation: &mut Value, suffix: &str) {
    operation["operationId"] = json!(format!("{}{suffix}", operation["operationId"].as_str().unwrap_or("")));
    refuse(operation, &[(403, "Not for this host, this web site or this person")]);
    if operation.get("parameters").is_some() {
        refuse(operation, &[(422, "A parameter says something impossible")]);
    }
    if operation.get("requestBody").is_some() {
        refuse(
            operation,
            &[
                (400, "The body is not JSON"),
                (408, "The body did not arrive in time"),
                (413, "The body is too large"),
                (422, "The body says something impossible; nothing was changed"),
            ],
        );
    }
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for (status, response) in responses {
        if status.starts_with(['4', '5']) && response.get("content").is_none() {
            let problem = json!({"$ref": "#/components/schemas/Problem"});
            response["content"] = json!({"application/problem+json": {"schema": problem}});
        }
        for (kind, content) in response.get_mut("content").and_then(Value::as_object_mut).into_iter().flatten() {
            if ["image/", "video/", "multipart/"].iter().any(|bytes| kind.starts_with(bytes)) {
                content["schema"] = json!({"type": "string", "format": "binary"});
            }
        }
    }
}

/// Adds errors that are not described yet.
fn refuse(operation: &mut Value, errors: &[(u16, &str)]) {
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for (status, description) in errors {
        let problem = json!({"$ref": "#/components/schemas/Problem"});
        let content = json!({"application/problem+json": {"schema": problem}});
        responses.entry(status.to_string()).or_insert(json!({"description": description, "content": content}));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_document_is_the_one_that_was_agreed_on() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/openapi.json");
        let now = format!("{:#}\n", document());
        if std::env::var_os("WATCHTOWER_WRITE_GOLDEN").is_some() {
            std::fs::write(&file, &now).unwrap();
        }
        let agreed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            agreed == now,
            "the interface is not what tests/data/openapi.json says: if that is meant, write it by \
             WATCHTOWER_WRITE_GOLDEN=1 cargo test openapi, and look at the difference"
        );
    }

    #[test]
    fn every_route_is_described_and_nothing_else() {
        // Strings of the routes, as they stand in the source.
        let source = include_str!("mod.rs");
        let mut routes = BTreeSet::new();
        for call in source.split(".route(").skip(1) {
            let call = call.trim_start().trim_start_matches('&');
            let text = call.split('"').nth(1).unwrap();
            match call.split('(').next().unwrap().trim_start_matches('&') {
                "at" => routes.extend([text.to_owned(), format!("{PREFIX}{text}")]),
                "recording" => {
                    let path = format!("/api/recordings/{{day}}/{{time}}{text}");
                    routes.extend([format!("{PREFIX}{path}"), path]);
                }
                _ => drop(routes.insert(text.to_owned())),
            }
        }
        let document = document();
        let described: BTreeSet<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(described, routes);
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_and_every_error_is_a_problem() {
        let document = document();
        let mut names = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let name = operation["operationId"].as_str().unwrap().to_owned();
                assert!(names.insert(name.clone()), "{method} {path}: {name} is taken");
                for (status, response) in operation["responses"].as_object().unwrap() {
                    let is_problem = response["content"].get("application/problem+json").is_some();
                    let is_error = status.starts_with(['4', '5']) && path != "/healthz" || status.starts_with('4');
                    assert_eq!(is_problem, is_error, "{method} {path} {status}");
                }
            }
        }
    }
}
