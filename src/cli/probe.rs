//! `watchtower probe`: which cameras this machine has, what they offer, a section of configuration to paste, and the hardware encoders.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::CliError;
use crate::camera::CameraError;
use crate::camera::v4l2::choice::{Choice, Sizes, choose};
use crate::camera::v4l2::{self, DeviceInfo};
use crate::codec::m2m;
use crate::media::Resolution;

/// What a camera is asked for unless told otherwise.
const SIZE: Resolution = Resolution::new(1280, 720);
const FPS: u32 = 15;

/// Arguments of `watchtower probe`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Lists the machine's V4L2 cameras and encoders on standard output.
///
/// # Errors
///
/// When there is no camera (not with `--json`, which prints an empty list), or the output cannot be written.
pub fn run(args: Args) -> Result<(), CliError> {
    let found: Vec<Result<DeviceInfo, CameraError>> = v4l2::nodes().iter().map(|node| v4l2::describe(node)).collect();
    let encoders = m2m::list();
    let text = match args.json {
        true => format!("{:#}\n", as_json(&found, &encoders)),
        false => as_text(&found, &encoders).map_err(CliError::Failed)?,
    };
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| CliError::Failed(format!("standard output: {error}")))
}

fn usable(info: &DeviceInfo) -> Option<Choice> {
    choose(&info.offers, SIZE, FPS)
}

/// The list for people; an error with what to check when there is no camera in it.
fn as_text(found: &[Result<DeviceInfo, CameraError>], encoders: &[m2m::Info]) -> Result<String, String> {
    let mut text = String::new();
    let mut cameras = 0;
    for device in found {
        match device {
            Ok(info) => {
                describe(&mut text, info);
                if let Some(choice) = usable(info) {
                    cameras += 1;
                    let _ = writeln!(text, "\n  To use it, add this to the configuration:\n");
                    text.extend(section(cameras, info, choice).lines().map(|line| format!("    {line}\n")));
                }
            }
            Err(error) => {
                let _ = writeln!(text, "{error}");
            }
        }
        text.push('\n');
    }
    if encoders.is_empty() {
        text.push_str("No hardware encoder: recordings are encoded by software.\n\n");
    }
    for encoder in encoders {
        let _ = writeln!(
            text,
            "{}: hardware encoder for H.264, {} ({})\n",
            encoder.path.display(),
            encoder.card,
            encoder.driver
        );
    }
    if cameras > 0 {
        return Ok(text);
    }
    Err(format!(
        "{text}no camera was found. Check that\n\
         - it is plugged in: `lsusb` lists USB cameras, `ls -l /dev/video*` the devices;\n\
         - your user is in the group video: `id` says so, `sudo usermod -aG video $USER` and a new login change it;\n\
         - a Raspberry Pi's camera has its driver: start_x=1 in config.txt and the module bcm2835-v4l2, or use a source \
         `command:rpicam-vid …`.\n\
         A network camera needs no device: its source is its http:// address."
    ))
}

fn describe(text: &mut String, info: &DeviceInfo) {
    let _ = writeln!(text, "{}: {} ({}, {})", info.path.display(), info.card, info.driver, info.bus);
    for offer in &info.offers {
        let rates: Vec<String> = offer.rates.iter().map(|rate| rounded(*rate)).collect();
        let at = if rates.is_empty() { "any rate".to_owned() } else { format!("{} frames a second", rates.join(", ")) };
        let _ = writeln!(text, "  {} {}: {at}", offer.format.name(), shown(offer.sizes));
    }
    if !info.other_formats.is_empty() {
        let _ = writeln!(text, "  formats that cannot be used: {}", info.other_formats.join(", "));
    }
    for control in &info.controls {
        let _ = writeln!(
            text,
            "  control {}: {} to {}, default {}",
            control.name, control.min, control.max, control.default
        );
    }
}

fn shown(sizes: Sizes) -> String {
    match sizes {
        Sizes::One(size) => size.to_string(),
        Sizes::Range { min, max, step } => format!("{min} to {max} in steps of {step}"),
    }
}

/// Without decimals where there are none.
fn rounded(rate: f64) -> String {
    let text = format!("{rate:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What to paste. The camera's name is made up from its number.
fn section(number: usize, info: &DeviceInfo, choice: Choice) -> String {
    let node = v4l2::stable_name(&info.path).unwrap_or_else(|| info.path.clone());
    let source = format!("v4l2:{}", node.display());
    let mut camera = toml::Table::new();
    camera.insert("label".to_owned(), info.card.clone().into());
    camera.insert("source".to_owned(), source.into());
    camera.insert("size".to_owned(), choice.size.to_string().into());
    camera.insert("fps".to_owned(), i64::from(fps_of(choice)).into());
    format!("[cameras.camera{number}]\n{camera}")
}

/// The wanted rate, or what there is of it; a camera that is faster is asked for no more.
fn fps_of(choice: Choice) -> u32 {
    (choice.fps.round() as u32).clamp(1, FPS)
}

fn as_json(found: &[Result<DeviceInfo, CameraError>], encoders: &[m2m::Info]) -> Value {
    let devices: Vec<Value> = found
        .iter()
        .map(|device| match device {
            Err(error) => json!({ "error": error.to_string() }),
            Ok(info) => json!({
                "path": info.path,
                "stable_path": v4l2::stable_name(Path::new(&info.path)),
                "card": info.card,
                "driver": info.driver,
                "bus": info.bus,
                "offers": info.offers.iter().map(|offer| json!({
                    "format": offer.format.name(),
                    "sizes": shown(offer.sizes),
                    "fps": offer.rates,
                })).collect::<Vec<_>>(),
                "other_formats": info.other_formats,
                "controls": info.controls.iter().map(|control| json!({
                    "id": control.id,
                    "name": control.name,
                    "min": control.min,
                    "max": control.max,
                    "step": control.step,
                    "default": control.default,
                })).collect::<Vec<_>>(),
                "chosen": usable(info).map(|choice| json!({
                    "format": choice.format.name(),
                    "size": choice.size.to_string(),
                    "fps": fps_of(choice),
                })),
            }),
        })
        .collect();
    json!({ "devices": devices, "encoders": encoders })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::camera::v4l2::choice::{Offer, PixelFormat};
    use crate::camera::v4l2::controls::Control;

    fn camera() -> DeviceInfo {
        DeviceInfo {
            path: "/dev/video-none".into(),
            card: "A \"good\" camera".to_owned(),
            driver: "uvcvideo".to_owned(),
            bus: "usb-1".to_owned(),
            offers: vec![Offer { format: PixelFormat::Mjpg, sizes: Sizes::One(SIZE), rates: vec![30.0, 29.97, 15.0] }],
            other_formats: vec!["H264".to_owned()],
            controls: vec![Control {
                id: 0x0098_0900,
                name: "Brightness".to_owned(),
                min: -64,
                max: 64,
                step: 1,
                default: 0,
                menu: Vec::new(),
            }],
        }
    }

    fn encoder() -> m2m::Info {
        m2m::Info { path: "/dev/video11".into(), card: "bcm2835-codec-encode".into(), driver: "bcm2835-codec".into() }
    }

    #[test]
    fn a_camera_is_listed_with_a_section_that_can_be_pasted() {
        let text = as_text(&[Ok(camera())], &[encoder()]).unwrap();
        for part in [
            "/dev/video-none: A \"good\" camera",
            "MJPG 1280x720: 30, 29.97, 15",
            "H264",
            "Brightness: -64 to 64",
            "/dev/video11: hardware encoder",
        ] {
            assert!(text.contains(part), "{part} in:\n{text}");
        }
        let pasted = section(1, &camera(), usable(&camera()).unwrap());
        let table: toml::Table = pasted.parse().unwrap();
        let section = &table["cameras"]["camera1"];
        assert_eq!(section["source"].as_str(), Some("v4l2:/dev/video-none"));
        assert_eq!(section["size"].as_str(), Some("1280x720"));
        assert_eq!(section["fps"].as_integer(), Some(15));
        assert_eq!(section["label"].as_str(), Some("A \"good\" camera"));
    }

    #[test]
    fn without_a_camera_it_says_what_to_check() {
        let no_camera = CameraError::Unavailable { what: "/dev/video9".to_owned(), cause: "no permission".to_owned() };
        for (found, part) in [(vec![], "plugged in"), (vec![Err(no_camera)], "/dev/video9: no permission")] {
            let message = as_text(&found, &[]).unwrap_err();
            assert!(message.contains(part) && message.contains("group video"), "{message}");
        }
    }

    #[test]
    fn json_has_every_device_and_what_would_be_chosen() {
        let value = as_json(&[Ok(camera())], &[encoder()]);
        assert_eq!(value["encoders"][0]["path"], "/dev/video11");
        assert_eq!(value["devices"][0]["chosen"]["fps"], 15);
        assert_eq!(value["devices"][0]["controls"][0]["max"], 64);
        assert_eq!(as_json(&[], &[]), json!({ "devices": [], "encoders": [] }));
    }
}
