//! Light that changes for the whole picture: lamps, clouds, automatic exposure, the switch to infra-red.
//!
//! [`fit`] tells how much brighter or darker a picture is as a whole, so that the background can be seen in the same light.
//! [`Transition`] recognises changes that no such line explains (a lamp switched on) and says when they are over. Light on a part
//! of the picture is `texture`'s.

/// A picture as a whole against another: `other = gain * one + offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Light {
    /// Factor.
    pub gain: f32,
    /// Levels of 0 to 255.
    pub offset: f32,
}

impl Light {
    /// No difference.
    pub const SAME: Light = Light { gain: 1.0, offset: 0.0 };

    /// What `level` becomes in this light.
    pub fn on(self, level: f32) -> f32 {
        self.gain * level + self.offset
    }

    /// The most levels by which it moves dark or bright grey.
    pub fn shift(self) -> f32 {
        let by = |level: f32| (self.on(level) - level).abs();
        by(40.0).max(by(200.0))
    }
}

/// Every how many cells one is looked at: thousands are plenty for two unknowns. Odd, so that no column is preferred.
const STRIDE: usize = 7;
/// Rounds of fitting, each with less weight for what did not fit the one before.
const ROUNDS: usize = 4;
/// Squared levels by which "the gain is one" is believed: a picture of one single grey says nothing about the gain.
const PRIOR: f32 = 4.0;

/// How the light of `now` differs from `before`: a straight line through most of the cells, fitted by least squares with
/// weights that fall with the distance (Cauchy's), so that things which moved do not bend it. `changed` tells the cells that
/// are known to show something else; they are left out unless they are nearly all.
pub fn fit(before: &[f32], now: &[f32], changed: &[bool]) -> Light {
    let cells = before.len().div_ceil(STRIDE);
    let known = changed.iter().step_by(STRIDE).filter(|changed| !**changed).count();
    let all = known < cells / 8;
    // Round mid-grey, so that the sums stay small.
    let samples = || {
        let cells = before.iter().zip(now).zip(changed).step_by(STRIDE);
        cells.filter(move |(_, changed)| all || !**changed).map(|((b, n), _)| (b - 128.0, n - 128.0))
    };
    let (sum, n) = samples().fold((0.0, 0.0f32), |(sum, n), (b, now)| (sum + (now - b).abs(), n + 1.0));
    let mut scale = sum / n.max(1.0);
    // Of levels round mid-grey: now = gain * before + offset.
    let (mut gain, mut offset) = (1.0f32, 0.0f32);
    for _ in 0..ROUNDS {
        let sharpness = 1.0 / (scale * scale + 0.25);
        let (mut w, mut wb, mut wn, mut wbb, mut wbn, mut wr) = (0.0f32, 0.0f32, 0.0f32, 0.0f32, 0.0f32, 0.0f32);
        for (b, n) in samples() {
            let residue = n - gain * b - offset;
            let weight = 1.0 / (1.0 + residue * residue * sharpness);
            w += weight;
            wb += weight * b;
            wn += weight * n;
            wbb += weight * b * b;
            wbn += weight * b * n;
            wr += weight * residue.abs();
        }
        if w < 16.0 {
            return Light::SAME;
        }
        let (mean_before, mean_now) = (wb / w, wn / w);
        let variance = wbb / w - mean_before * mean_before;
        let covariance = wbn / w - mean_before * mean_now;
        gain = ((covariance + PRIOR) / (variance + PRIOR)).clamp(0.05, 20.0);
        offset = mean_now - gain * mean_before;
        scale = wr / w;
    }
    Light { gain, offset: offset + 128.0 - gain * 128.0 }
}

/// A change of light this large (levels from one look to the next), or a part of the picture this large that changes at once
/// when little had changed before, is a lamp and not a thing: a thing comes in from a side.
const SUDDEN_SHIFT: f32 = 30.0;
const SUDDEN_PART: f32 = 0.4;
const CALM_PART: f32 = 0.15;
/// Seconds after the last sudden change until the new light is taken for the scene. Who came with the lamp still moves then.
const HOLD_S: f32 = 0.3;
/// Time constant (s) in which a change of light is forgotten.
const UNREST_S: f32 = 0.5;

/// Levels of recent change from which on what merely appears may be light.
const RESTLESS: f32 = 5.0;
/// A part of the picture larger than this that is only lit differently makes the light restless.
const LIT_PART: f32 = 0.05;

/// What the light does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing, or no more than the fit explains.
    Steady,
    /// It is changing: what differs from the background says nothing.
    Changing,
    /// It has just stopped: the picture as it is now is the scene.
    Changed,
}

/// Watches the light from look to look.
#[derive(Clone, Debug, Default)]
pub struct Transition {
    /// Levels by which the light has moved lately.
    unrest: f32,
    /// Part of the picture that had changed at the last look.
    part: f32,
    /// Seconds until the new light is the scene's.
    hold_s: Option<f32>,
}

impl Transition {
    /// Takes in the change of light since the last look, `dt` seconds ago.
    pub fn see(&mut self, light: Light, dt: f32) {
        self.unrest = (self.unrest * (-dt / UNREST_S).exp()).max(light.shift());
    }

    /// Takes in that `lit` of the picture is only lit differently and `changed` of it shows something else.
    pub fn see_parts(&mut self, lit: f32, changed: f32) {
        if lit > LIT_PART && lit > 2.0 * changed {
            self.unrest = self.unrest.max(RESTLESS);
        }
    }

    /// Levels by which cells may be off because the light moves: half of what it moved, since a straight line fits it that badly.
    pub fn doubt(&self) -> f32 {
        0.5 * self.unrest
    }

    /// Whether the light moves so much that what merely appears may be light.
    pub fn restless(&self) -> bool {
        self.unrest >= 0.8 * RESTLESS
    }

    /// What to make of it when `part` of the picture differs from the background. `light` as in [`Transition::see`]; `expected` says
    /// that a change is known to come.
    pub fn phase(&mut self, light: Light, part: f32, expected: bool, dt: f32) -> Phase {
        let sudden = light.shift() > SUDDEN_SHIFT || (part > SUDDEN_PART && self.part < CALM_PART);
        self.part = part;
        if sudden || expected {
            self.hold_s = Some(HOLD_S);
            return Phase::Changing;
        }
        match self.hold_s {
            None => Phase::Steady,
            Some(left) if left > dt => {
                self.hold_s = Some(left - dt);
                Phase::Changing
            }
            Some(_) => {
                self.hold_s = None;
                self.part = 0.0;
                Phase::Changed
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_light_is_found_though_a_third_of_the_picture_shows_something_else() {
        let before: Vec<f32> = (0..9000).map(|i| 20.0 + (i * 37 % 180) as f32).collect();
        let seen = |i: usize, b: f32| if i % 3000 < 1000 { 240.0 } else { 0.6 * b + 12.0 };
        let now: Vec<f32> = before.iter().enumerate().map(|(i, b)| seen(i, *b)).collect();
        let light = fit(&before, &now, &vec![false; before.len()]);
        assert!((light.gain - 0.6).abs() < 0.03 && (light.offset - 12.0).abs() < 4.0, "{light:?}");
    }

    #[test]
    fn a_picture_of_one_grey_has_an_offset_and_no_gain() {
        let light = fit(&[100.0; 2000], &[130.0; 2000], &[false; 2000]);
        assert!((light.on(100.0) - 130.0).abs() < 0.1 && (light.gain - 1.0).abs() < 0.01, "{light:?}");
        assert_eq!(fit(&[], &[], &[]), Light::SAME);
    }
}
