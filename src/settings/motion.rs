//! Motion settings that the web may change while the camera runs: what differs from the configuration.
//!
//! What a value has to be is `config`'s to say, as for those that are declared; who goes by them is the pipeline's.

use serde::{Deserialize, Deserializer, Serialize};

/// A polygon on the picture as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// For messages and the web app.
    pub name: String,
    /// Whether motion counts inside it (include) or does not (exclude). With include zones, it counts nowhere else.
    pub include: bool,
    /// Corners in parts of the picture, 0 to 1; at least three.
    pub points: Vec<[f32; 2]>,
}

/// Settings in the place of the configured ones; `None` leaves those. Kept with the picture settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MotionOverrides {
    /// 0 to 1: how small a change of a pixel counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sensitivity: Option<f32>,
    /// 0 to 1: the smallest connected changed part of the picture that triggers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_trigger_area: Option<f32>,
    /// Consecutive analysed pictures with motion before it triggers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_frames: Option<u32>,
    /// Where motion counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zones: Option<Vec<Zone>>,
}

impl MotionOverrides {
    /// Whether everything is as configured.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A partial change as a client sends it: a field that is left out stays as it is, `null` goes back to the configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MotionChange {
    /// 0 to 1: how small a change of a pixel counts.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 1)]
    pub sensitivity: Option<Option<f64>>,
    /// 0 to 1: the smallest connected changed part of the picture that triggers.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 1)]
    pub min_trigger_area: Option<Option<f64>>,
    /// Consecutive analysed pictures with motion before it triggers.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 100)]
    pub min_frames: Option<Option<i64>>,
    /// Where motion counts; all zones together.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<ZoneDraft>>)]
    pub zones: Option<Option<Vec<ZoneDraft>>>,
}

/// A zone as a client draws it.
#[derive(Clone, Debug, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ZoneDraft {
    /// `zone-1`, `zone-2`, … unless given.
    #[serde(default)]
    pub name: Option<String>,
    /// Whether motion counts inside it; it does unless told otherwise.
    #[serde(default = "yes")]
    pub include: bool,
    /// Corners in parts of the picture.
    pub points: Vec<[f64; 2]>,
}

fn yes() -> bool {
    true
}

/// Tells `null` from a field that is left out.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(value).map(Some)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn null_is_not_the_same_as_nothing() {
        let change: MotionChange = serde_json::from_str(r#"{"sensitivity": null, "min_frames": 3}"#).unwrap();
        assert_eq!((change.sensitivity, change.min_frames), (Some(None), Some(Some(3))));
        assert_eq!((change.min_trigger_area, change.zones), (None, None));
        assert!(serde_json::from_str::<MotionChange>(r#"{"sensitivty": 1}"#).is_err());
    }
}
