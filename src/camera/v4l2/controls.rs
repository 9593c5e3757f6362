//! Picture settings in 1.x's words and ranges, as V4L2 controls. Pure tables; who writes the controls is the parent
//! module.
//!
//! Numbers are the kernel's (`linux/v4l2-controls.h`); how `bcm2835-v4l2` understands its menus is from that driver.
//! Rotation is left to software: a driver that turns by 90° does not change the stream's size with it. V4L2 has no
//! control for `video_denoise`.

use crate::settings::{DoneBy, PictureSettings, Setting, SettingKind};

const USER: u32 = 0x0098_0900;
const CAMERA: u32 = 0x009a_0900;

const BRIGHTNESS: u32 = USER;
const CONTRAST: u32 = USER + 1;
const SATURATION: u32 = USER + 2;
const AUTO_WHITE_BALANCE: u32 = USER + 12;
const WHITE_BALANCE_TEMPERATURE: u32 = USER + 26;
const SHARPNESS: u32 = USER + 27;
const COLORFX: u32 = USER + 31;
const EXPOSURE_AUTO: u32 = CAMERA + 1;
const EXPOSURE_BIAS: u32 = CAMERA + 19;
const WHITE_BALANCE_PRESET: u32 = CAMERA + 20;
const ISO: u32 = CAMERA + 23;
const ISO_AUTO: u32 = CAMERA + 24;
const METERING: u32 = CAMERA + 25;
const SCENE_MODE: u32 = CAMERA + 26;

/// A control as the driver describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Control {
    /// V4L2's number.
    pub id: u32,
    /// The driver's name for it.
    pub name: String,
    /// Smallest value.
    pub min: i64,
    /// Largest value.
    pub max: i64,
    /// Step between values; at least 1.
    pub step: i64,
    /// The driver's default.
    pub default: i64,
    /// A menu's entries: what is written, and for a menu of numbers the number (else the entry itself).
    pub menu: Vec<(i64, i64)>,
}

impl Control {
    fn can(&self, value: i64) -> bool {
        if self.menu.is_empty() {
            (self.min..=self.max).contains(&value)
        } else {
            self.menu.iter().any(|(entry, _)| *entry == value)
        }
    }

    /// The value for `part` of the way: -1 smallest, 0 the default, 1 largest.
    fn at(&self, part: f64) -> i64 {
        let span = if part < 0.0 { self.default - self.min } else { self.max - self.default };
        let value = self.default as f64 + part * span as f64;
        let steps = ((value - self.min as f64) / self.step.max(1) as f64).round() as i64;
        (self.min + steps * self.step.max(1)).clamp(self.min, self.max)
    }

    /// The menu entry, or the value, nearest to `number`.
    fn nearest(&self, number: i64) -> i64 {
        let entry = self.menu.iter().min_by_key(|(_, entry)| entry.abs_diff(number));
        entry.map_or(number.clamp(self.min, self.max), |(index, _)| *index)
    }
}

/// One control to write.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// V4L2's number.
    pub id: u32,
    /// The driver's name for it.
    pub name: String,
    /// The value.
    pub value: i64,
}

/// Words of a setting that are values of one menu control. The first is 1.x's default.
type Words = &'static [(&'static str, i64)];

const AWB: Words = &[
    ("auto", 1),
    ("off", 0),
    ("sunlight", 6),
    ("cloudy", 8),
    ("shade", 9),
    // V4L2 has one entry for both kinds of bulb.
    ("tungsten", 2),
    ("fluorescent", 3),
    ("incandescent", 2),
    ("flash", 7),
    ("horizon", 5),
];

/// Colour temperatures in kelvin, for a camera that has only these (every USB camera).
const KELVIN: Words = &[
    ("sunlight", 5500),
    ("cloudy", 6500),
    ("shade", 7500),
    ("tungsten", 3200),
    ("fluorescent", 4000),
    ("incandescent", 2800),
    ("flash", 5800),
    ("horizon", 2300),
];

const SCENES: Words =
    &[("night", 8), ("nightpreview", 8), ("backlight", 1), ("sports", 11), ("snow", 2), ("beach", 2), ("fireworks", 6)];

const EFFECTS: Words = &[("none", 0), ("negative", 3), ("solarize", 13), ("sketch", 5), ("emboss", 4)];

// bcm2835-v4l2 takes "centre weighted" for the firmware's "backlit".
const METERS: Words = &[("average", 0), ("spot", 2), ("backlit", 1), ("matrix", 3)];

/// The control of a device with this number.
fn find(controls: &[Control], id: u32) -> Option<&Control> {
    controls.iter().find(|control| control.id == id)
}

fn value_of(words: Words, word: &str) -> Option<i64> {
    words.iter().find(|(name, _)| *name == word).map(|(_, value)| *value)
}

/// Automatic exposure, whose entry differs: 0 is all automatic, 3 leaves the aperture alone, as every USB camera does.
fn auto_exposure(control: &Control) -> Option<i64> {
    [0, 3].into_iter().find(|&entry| control.can(entry))
}

/// The settings that these controls can do, with 1.x's ranges and defaults. A menu lists only the words that have an
/// effect.
pub fn offered(controls: &[Control]) -> Vec<Setting> {
    let mut settings = Vec::new();
    let mut offer = |name, kind| settings.push(Setting { name, kind, done_by: DoneBy::Driver });
    let has = |id| find(controls, id).is_some();
    let integer = |min, max, default| SettingKind::Integer { min, max, default };

    let awb = white_balance_words(controls);
    if awb.len() > 1 {
        offer("awb_mode", SettingKind::Menu { values: awb, default: "auto" });
    }
    if has(BRIGHTNESS) {
        offer("brightness", integer(0, 100, 50));
    }
    if has(CONTRAST) {
        offer("contrast", integer(-100, 100, 0));
    }
    if has(EXPOSURE_BIAS) {
        offer("exposure_compensation", integer(-25, 25, 0));
    }
    let exposure = exposure_words(controls);
    if exposure.len() > 1 {
        offer("exposure_mode", SettingKind::Menu { values: exposure, default: "auto" });
    }
    for (name, id, words, default) in
        [("image_effect", COLORFX, EFFECTS, "none"), ("meter_mode", METERING, METERS, "average")]
    {
        let values: Vec<_> = find(controls, id)
            .into_iter()
            .flat_map(|control| words.iter().filter(|(_, value)| control.can(*value)).map(|(word, _)| *word))
            .collect();
        if values.len() > 1 {
            offer(name, SettingKind::Menu { values, default });
        }
    }
    if has(ISO) {
        offer("iso", integer(0, 800, 0));
    }
    if has(SATURATION) {
        offer("saturation", integer(-100, 100, 0));
    }
    if has(SHARPNESS) {
        offer("sharpness", integer(-100, 100, 0));
    }
    settings
}

fn white_balance_words(controls: &[Control]) -> Vec<&'static str> {
    if let Some(preset) = find(controls, WHITE_BALANCE_PRESET) {
        return AWB.iter().filter(|(_, value)| preset.can(*value)).map(|(word, _)| *word).collect();
    }
    let mut words = Vec::new();
    if find(controls, AUTO_WHITE_BALANCE).is_some() {
        words.extend(["auto", "off"]);
        if let Some(temperature) = find(controls, WHITE_BALANCE_TEMPERATURE) {
            words.extend(KELVIN.iter().filter(|(_, kelvin)| temperature.can(*kelvin)).map(|(word, _)| *word));
        }
    }
    words
}

fn exposure_words(controls: &[Control]) -> Vec<&'static str> {
    let mut words = vec!["auto"];
    let manual = find(controls, EXPOSURE_AUTO).filter(|control| control.can(1) && auto_exposure(control).is_some());
    words.extend(manual.map(|_| "off"));
    if let Some(scene) = find(controls, SCENE_MODE) {
        words.extend(SCENES.iter().filter(|(_, value)| scene.can(*value)).map(|(word, _)| *word));
    }
    words
}

/// What to write, in this order, so that the device follows the settings. A word it cannot do is written as the default.
pub fn plan(controls: &[Control], settings: &PictureSettings) -> Vec<Write> {
    let mut writes = Vec::new();
    let mut write = |id, value: &dyn Fn(&Control) -> Option<i64>| {
        if let Some(control) = find(controls, id)
            && let Some(value) = value(control)
        {
            writes.push(Write { id, name: control.name.clone(), value });
        }
    };
    let part = |value: i32, middle: i32, span: i32| f64::from((value - middle).clamp(-span, span)) / f64::from(span);
    let word = |control: &Control, words: Words, word: &str, default: i64| {
        let value = value_of(words, word).filter(|value| control.can(*value)).unwrap_or(default);
        control.can(value).then_some(value)
    };

    // Automatics before what they would override.
    if find(controls, WHITE_BALANCE_PRESET).is_some() {
        write(WHITE_BALANCE_PRESET, &|control| word(control, AWB, &settings.awb_mode, 1));
    } else {
        let kelvin = value_of(KELVIN, &settings.awb_mode).filter(|kelvin| {
            find(controls, WHITE_BALANCE_TEMPERATURE).is_some_and(|temperature| temperature.can(*kelvin))
        });
        let auto = settings.awb_mode != "off" && kelvin.is_none();
        write(AUTO_WHITE_BALANCE, &|_| Some(i64::from(auto)));
        write(WHITE_BALANCE_TEMPERATURE, &|_| kelvin);
    }
    write(EXPOSURE_AUTO, &|control| {
        let auto = auto_exposure(control)?;
        Some(if settings.exposure_mode == "off" && control.can(1) { 1 } else { auto })
    });
    write(SCENE_MODE, &|control| word(control, SCENES, &settings.exposure_mode, 0));
    // The bias counts thousandths of a stop.
    write(EXPOSURE_BIAS, &|control| Some(control.nearest(i64::from(settings.exposure_compensation) * 1000 / 6)));
    write(ISO_AUTO, &|_| Some(i64::from(settings.iso == 0)));
    // So does the sensitivity, in thousandths of an ISO step.
    write(ISO, &|control| (settings.iso != 0).then(|| control.nearest(i64::from(settings.iso) * 1000)));
    write(METERING, &|control| word(control, METERS, &settings.meter_mode, 0));
    write(COLORFX, &|control| word(control, EFFECTS, &settings.image_effect, 0));
    write(BRIGHTNESS, &|control| Some(control.at(part(settings.brightness, 50, 50))));
    write(CONTRAST, &|control| Some(control.at(part(settings.contrast, 0, 100))));
    write(SATURATION, &|control| Some(control.at(part(settings.saturation, 0, 100))));
    write(SHARPNESS, &|control| Some(control.at(part(settings.sharpness, 0, 100))));
    writes
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn range(id: u32, min: i64, max: i64, step: i64, default: i64) -> Control {
        Control { id, name: format!("{id:x}"), min, max, step, default, menu: Vec::new() }
    }

    fn menu(id: u32, entries: &[i64]) -> Control {
        let menu = entries.iter().map(|entry| (*entry, *entry)).collect();
        Control { menu, ..range(id, 0, 20, 1, entries[0]) }
    }

    fn numbers(id: u32, numbers: &[i64]) -> Control {
        let menu = numbers.iter().enumerate().map(|(index, number)| (index as i64, *number)).collect();
        Control { menu, ..range(id, 0, numbers.len() as i64 - 1, 1, 0) }
    }

    /// As `bcm2835-v4l2` describes the Pi camera.
    fn pi() -> Vec<Control> {
        vec![
            range(BRIGHTNESS, 0, 100, 1, 50),
            range(CONTRAST, -100, 100, 1, 0),
            range(SATURATION, -100, 100, 1, 0),
            range(SHARPNESS, -100, 100, 1, 0),
            menu(COLORFX, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]),
            menu(EXPOSURE_AUTO, &[0, 1]),
            numbers(EXPOSURE_BIAS, &(-12..=12).map(|third| third * 1000 / 3).collect::<Vec<_>>()),
            menu(WHITE_BALANCE_PRESET, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
            numbers(ISO, &[0, 100_000, 200_000, 400_000, 800_000]),
            menu(ISO_AUTO, &[0, 1]),
            menu(METERING, &[0, 1, 2, 3]),
            menu(SCENE_MODE, &[0, 8, 11]),
        ]
    }

    /// As a USB camera describes itself.
    fn usb() -> Vec<Control> {
        vec![
            range(BRIGHTNESS, -64, 64, 1, 0),
            range(CONTRAST, 0, 95, 5, 30),
            range(AUTO_WHITE_BALANCE, 0, 1, 1, 1),
            range(WHITE_BALANCE_TEMPERATURE, 2800, 6500, 10, 4600),
            menu(EXPOSURE_AUTO, &[1, 3]),
        ]
    }

    fn defaults() -> PictureSettings {
        PictureSettings {
            awb_mode: "auto".into(),
            brightness: 50,
            contrast: 0,
            exposure_compensation: 0,
            exposure_mode: "auto".into(),
            image_effect: "none".into(),
            iso: 0,
            meter_mode: "average".into(),
            rotation: 0,
            saturation: 0,
            sharpness: 0,
            video_denoise: true,
        }
    }

    fn value(writes: &[Write], id: u32) -> Option<i64> {
        writes.iter().find(|write| write.id == id).map(|write| write.value)
    }

    #[test]
    fn defaults_become_the_drivers_defaults() {
        for control in plan(&pi(), &defaults()).iter().chain(&plan(&usb(), &defaults())) {
            let expected = match control.id {
                WHITE_BALANCE_PRESET | ISO_AUTO | AUTO_WHITE_BALANCE => 1,
                EXPOSURE_BIAS => 12,
                _ => continue,
            };
            assert_eq!(control.value, expected, "{}", control.name);
        }
        let usb_plan = plan(&usb(), &defaults());
        assert_eq!(value(&usb_plan, BRIGHTNESS), Some(0));
        assert_eq!(value(&usb_plan, CONTRAST), Some(30));
        assert_eq!(value(&usb_plan, EXPOSURE_AUTO), Some(3));
        assert_eq!(value(&usb_plan, WHITE_BALANCE_TEMPERATURE), None);
        assert_eq!(value(&plan(&pi(), &defaults()), ISO), None);
    }

    #[test]
    fn each_setting_reaches_its_control_in_the_drivers_range() {
        let with = |change: fn(&mut PictureSettings)| {
            let mut settings = defaults();
            change(&mut settings);
            settings
        };
        #[rustfmt::skip]
        let table: &[(Vec<Control>, PictureSettings, u32, Option<i64>)] = &[
            (pi(), with(|s| s.brightness = 70), BRIGHTNESS, Some(70)),
            (usb(), with(|s| s.brightness = 100), BRIGHTNESS, Some(64)),
            (usb(), with(|s| s.brightness = 0), BRIGHTNESS, Some(-64)),
            (usb(), with(|s| s.brightness = 75), BRIGHTNESS, Some(32)),
            (usb(), with(|s| s.contrast = -100), CONTRAST, Some(0)),
            (usb(), with(|s| s.contrast = 50), CONTRAST, Some(65)),
            (usb(), with(|s| s.contrast = 9000), CONTRAST, Some(95)),
            (pi(), with(|s| s.sharpness = -40), SHARPNESS, Some(-40)),
            (usb(), with(|s| s.sharpness = -40), SHARPNESS, None),
            (pi(), with(|s| s.exposure_compensation = 6), EXPOSURE_BIAS, Some(15)),
            (pi(), with(|s| s.exposure_compensation = -25), EXPOSURE_BIAS, Some(0)),
            (pi(), with(|s| s.iso = 400), ISO, Some(3)),
            (pi(), with(|s| s.iso = 640), ISO, Some(4)),
            (pi(), with(|s| s.iso = 400), ISO_AUTO, Some(0)),
            (pi(), with(|s| s.awb_mode = "shade".into()), WHITE_BALANCE_PRESET, Some(9)),
            (pi(), with(|s| s.awb_mode = "off".into()), WHITE_BALANCE_PRESET, Some(0)),
            (usb(), with(|s| s.awb_mode = "cloudy".into()), WHITE_BALANCE_TEMPERATURE, Some(6500)),
            (usb(), with(|s| s.awb_mode = "cloudy".into()), AUTO_WHITE_BALANCE, Some(0)),
            (usb(), with(|s| s.awb_mode = "shade".into()), AUTO_WHITE_BALANCE, Some(1)),
            (usb(), with(|s| s.awb_mode = "off".into()), AUTO_WHITE_BALANCE, Some(0)),
            (pi(), with(|s| s.exposure_mode = "off".into()), EXPOSURE_AUTO, Some(1)),
            (usb(), with(|s| s.exposure_mode = "off".into()), EXPOSURE_AUTO, Some(1)),
            (pi(), with(|s| s.exposure_mode = "night".into()), SCENE_MODE, Some(8)),
            (pi(), with(|s| s.exposure_mode = "snow".into()), SCENE_MODE, Some(0)),
            (pi(), with(|s| s.image_effect = "solarize".into()), COLORFX, Some(13)),
            (pi(), with(|s| s.image_effect = "oilpaint".into()), COLORFX, Some(0)),
            (pi(), with(|s| s.meter_mode = "backlit".into()), METERING, Some(1)),
        ];
        for (row, (controls, settings, id, expected)) in table.iter().enumerate() {
            assert_eq!(value(&plan(controls, settings), *id), *expected, "row {row}");
        }
    }

    #[test]
    fn only_what_has_an_effect_is_offered() {
        let names = |controls: &[Control]| offered(controls).iter().map(|setting| setting.name).collect::<Vec<_>>();
        assert_eq!(names(&usb()), ["awb_mode", "brightness", "contrast", "exposure_mode"]);
        assert_eq!(names(&pi()).len(), 10);
        assert_eq!(names(&[]), [""; 0]);

        let usb = offered(&usb());
        let SettingKind::Menu { values, default } = &usb[0].kind else { panic!("a menu expected") };
        assert_eq!(*default, "auto");
        assert!(values.contains(&"cloudy") && !values.contains(&"shade"), "{values:?}");
        let pi = offered(&pi());
        let words = |name| match &pi.iter().find(|setting| setting.name == name).unwrap().kind {
            SettingKind::Menu { values, .. } => values.clone(),
            _ => panic!("a menu expected"),
        };
        assert_eq!(words("exposure_mode"), ["auto", "off", "night", "nightpreview", "sports"]);
        assert_eq!(words("image_effect"), ["none", "negative", "solarize", "sketch", "emboss"]);
    }

    #[test]
    fn automatics_are_written_before_what_they_would_override() {
        let settings = PictureSettings { awb_mode: "cloudy".into(), iso: 200, ..defaults() };
        let order = |controls: &[Control], first, second| {
            let ids: Vec<_> = plan(controls, &settings).iter().map(|write| write.id).collect();
            ids.iter().position(|id| *id == first).unwrap() < ids.iter().position(|id| *id == second).unwrap()
        };
        assert!(order(&usb(), AUTO_WHITE_BALANCE, WHITE_BALANCE_TEMPERATURE));
        assert!(order(&pi(), ISO_AUTO, ISO));
    }
}
