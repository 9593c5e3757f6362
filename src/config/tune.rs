//! Motion settings that the web changes, checked as those of the file are.

use super::check::{MAX_ZONES, MIN_FRAMES};
use super::value::{PART, number, one_line, polygon, whole};
use super::{CameraConfig, MotionConfig, Zone};
use crate::settings::{MotionChange, MotionOverrides, ZoneDraft};

/// What a change asks for that cannot be: the key, what is wrong with it, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct TuningFault {
    /// `sensitivity`, `zones[1].points`.
    pub key: String,
    /// A sentence's end: "must be between 0 and 1".
    pub reason: String,
}

/// The overrides after a change.
///
/// # Errors
/// The first value that the configuration would not take either.
pub fn tuned(overrides: &MotionOverrides, change: &MotionChange) -> Result<MotionOverrides, TuningFault> {
    let mut tuned = overrides.clone();
    if let Some(sensitivity) = change.sensitivity {
        tuned.sensitivity = checked("sensitivity", sensitivity, |value| number(value, PART))?;
    }
    if let Some(area) = change.min_trigger_area {
        tuned.min_trigger_area = checked("min_trigger_area", area, |value| number(value, PART))?;
    }
    if let Some(frames) = change.min_frames {
        tuned.min_frames = checked("min_frames", frames, |value| whole(value, MIN_FRAMES))?;
    }
    match &change.zones {
        None => {}
        Some(None) => tuned.zones = None,
        Some(Some(drafts)) => tuned.zones = Some(zones(drafts)?),
    }
    Ok(tuned)
}

/// Overrides that were saved, if the configuration would take them.
///
/// # Errors
/// As of [`tuned`].
pub fn recalled(saved: &MotionOverrides) -> Result<MotionOverrides, TuningFault> {
    let draft = |zone: &Zone| ZoneDraft {
        name: Some(zone.name.clone()),
        include: zone.include,
        points: zone.points.iter().map(|point| point.map(f64::from)).collect(),
    };
    let change = MotionChange {
        sensitivity: saved.sensitivity.map(|value| Some(value.into())),
        min_trigger_area: saved.min_trigger_area.map(|value| Some(value.into())),
        min_frames: saved.min_frames.map(|value| Some(value.into())),
        zones: saved.zones.as_ref().map(|zones| Some(zones.iter().map(draft).collect())),
    };
    tuned(&MotionOverrides::default(), &change)
}

impl CameraConfig {
    /// Motion settings and zones in force.
    pub fn overridden(&self, overrides: &MotionOverrides) -> (MotionConfig, Vec<Zone>) {
        let motion = MotionConfig {
            sensitivity: overrides.sensitivity.unwrap_or(self.motion.sensitivity),
            min_trigger_area: overrides.min_trigger_area.unwrap_or(self.motion.min_trigger_area),
            min_frames: overrides.min_frames.unwrap_or(self.motion.min_frames),
            ..self.motion.clone()
        };
        (motion, overrides.zones.clone().unwrap_or_else(|| self.zones.clone()))
    }
}

fn fault(key: impl Into<String>) -> impl FnOnce(String) -> TuningFault {
    let key = key.into();
    move |reason| TuningFault { key, reason }
}

fn checked<T, U>(
    key: &str,
    value: Option<T>,
    check: impl FnOnce(T) -> Result<U, String>,
) -> Result<Option<U>, TuningFault> {
    value.map(check).transpose().map_err(fault(key))
}

fn zones(drafts: &[ZoneDraft]) -> Result<Vec<Zone>, TuningFault> {
    if drafts.len() > MAX_ZONES {
        return Err(fault("zones")(format!("at most {MAX_ZONES}")));
    }
    let mut zones: Vec<Zone> = Vec::new();
    for (n, draft) in drafts.iter().enumerate() {
        let name = match &draft.name {
            Some(name) => one_line(name).map_err(fault(format!("zones[{n}].name")))?,
            None => format!("zone-{}", n + 1),
        };
        if zones.iter().any(|zone| zone.name == name) {
            return Err(fault(format!("zones[{n}].name"))("another zone of this camera has this name".to_owned()));
        }
        let points = polygon(&draft.points).map_err(fault(format!("zones[{n}].points")))?;
        zones.push(Zone { name, include: draft.include, points });
    }
    Ok(zones)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::camera::Source;

    fn change(json: &str) -> MotionChange {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_change_holds_over_the_configuration_until_it_is_taken_back() {
        let camera = CameraConfig::new("front", Source::Pattern);
        let road = r#"{"sensitivity": 0.5, "zones": [{"points": [[0, 0], [1, 0], [1, 1]]}]}"#;
        let first = tuned(&MotionOverrides::default(), &change(road)).unwrap();
        let (motion, zones) = camera.overridden(&first);
        assert_eq!((motion.sensitivity, motion.min_trigger_area), (0.5, camera.motion.min_trigger_area));
        assert_eq!((zones[0].name.as_str(), zones[0].include), ("zone-1", true));
        let second = tuned(&first, &change(r#"{"min_frames": 5, "zones": []}"#)).unwrap();
        assert_eq!(camera.overridden(&second).0.sensitivity, 0.5);
        assert_eq!(second.zones, Some(vec![]), "no zones is not the configured ones");
        assert_eq!(recalled(&second), Ok(second.clone()));
        let none = r#"{"sensitivity": null, "min_frames": null, "zones": null}"#;
        assert!(tuned(&second, &change(none)).unwrap().is_empty());
    }

    #[test]
    fn faults_name_the_key_and_what_it_takes() {
        for (json, said) in [
            (r#"{"sensitivity": 1.5}"#, "sensitivity: must be between 0 and 1"),
            (r#"{"min_trigger_area": -0.1}"#, "min_trigger_area: must be between 0 and 1"),
            (r#"{"min_frames": 0}"#, "min_frames: must be between 1 and 100"),
            (r#"{"zones": [{"points": [[0, 0], [1, 1]]}]}"#, "zones[0].points: must have 3 to 64 corners, has 2"),
            (r#"{"zones": [{"name": "", "points": [[0, 0], [1, 0], [1, 1]]}]}"#, "zones[0].name: must not be empty"),
        ] {
            assert_eq!(tuned(&MotionOverrides::default(), &change(json)).unwrap_err().to_string(), said);
        }
        let zone = r#"{"name": "a", "points": [[0, 0], [1, 0], [1, 1]]}"#;
        let twice = tuned(&MotionOverrides::default(), &change(&format!(r#"{{"zones": [{zone}, {zone}]}}"#)));
        assert!(twice.unwrap_err().to_string().starts_with("zones[1].name: another zone"));
        let many = vec![zone; 33].join(",");
        assert!(tuned(&MotionOverrides::default(), &change(&format!(r#"{{"zones": [{many}]}}"#))).is_err());
    }
}
