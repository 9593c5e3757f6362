//! The model of the still scene: per cell its level, its noise, and what it was a moment ago.
//!
//! All rates are time constants in seconds, so that five looks a second learn as fast as thirty. What changed is given as flags
//! per cell; which of them belong together is `blobs`', what it means is `tracks`'.

use super::blobs::{ACTIVE, LIT, STRONG, WEAK};
use super::light::Light;

/// Time constants (s) of the level: of a still cell, of one that has changed and moves on, of one that has changed and
/// then stays as it is (a parked car, the place a chair was).
const LEVEL_S: f32 = 5.0;
const LEVEL_MOVING_S: f32 = 60.0;
const LEVEL_STAYING_S: f32 = 12.0;
/// Time constants (s) of the noise: of a still cell, and of one that has changed. The latter is how foliage that moves for
/// minutes is learned, and long enough that who walks through is not.
const NOISE_S: f32 = 10.0;
const NOISE_MOVING_S: f32 = 30.0;
/// Time constant (s) of "a moment ago".
const RECENT_S: f32 = 0.5;
/// A change is at least this many times the noise (mean absolute deviation).
const NOISE_FACTOR: f32 = 4.5;
/// A change of fewer levels than this is never one (at the default sensitivity).
const FLOOR: f32 = 3.5;
/// The part of the threshold that makes a cell belong to a blob which has a clearly changed cell elsewhere.
const WEAK_PART: f32 = 0.6;
/// Time constant (s) in which a cell that is lit differently becomes the background.
const LIT_S: f32 = 0.5;
/// How long (s) a cell's changes are remembered; how many it may have in that time before it becomes less trusted, what
/// each further one adds to its threshold (as a part of it), and the most.
const RESTLESS_S: f32 = 40.0;
const RESTLESS_FREE: f32 = 3.0;
const RESTLESS_STEP: f32 = 0.4;
const RESTLESS_MOST: f32 = 3.0;

/// What counts as a change at one look.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Factor of the usual threshold.
    pub scale: f32,
    /// Levels added to the threshold, where even the usual one says little.
    pub doubt: f32,
}

/// The model. All vectors have one entry per cell.
#[derive(Clone, Debug, Default)]
pub struct Background {
    level: Vec<f32>,
    noise: Vec<f32>,
    recent: Vec<f32>,
    /// How often it changed lately.
    restless: Vec<f32>,
}

impl Background {
    /// Starts with `now` as the scene and nothing known of its noise.
    pub fn start(&mut self, now: &[f32]) {
        self.level.clear();
        self.level.extend_from_slice(now);
        self.recent.clear();
        self.recent.extend_from_slice(now);
        self.noise.clear();
        self.noise.resize(now.len(), 1.0);
        self.restless.clear();
        self.restless.resize(now.len(), 0.0);
    }

    /// Makes `now` the scene, keeping what is known of the noise.
    pub fn replace(&mut self, now: &[f32]) {
        self.level.copy_from_slice(now);
        self.recent.copy_from_slice(now);
    }

    /// The scene's levels.
    pub fn level(&self) -> &[f32] {
        &self.level
    }

    /// Sees the whole scene in another light.
    pub fn relight(&mut self, light: Light) {
        let grown = light.gain.max(0.5);
        for ((level, recent), noise) in self.level.iter_mut().zip(&mut self.recent).zip(&mut self.noise) {
            *level = light.on(*level);
            *recent = light.on(*recent);
            *noise *= grown;
        }
    }

    /// The `n`th look of the settling time: the plain mean of all so far.
    pub fn settle(&mut self, now: &[f32], n: f32) {
        let part = 1.0 / n;
        for (((level, noise), recent), &now) in
            self.level.iter_mut().zip(&mut self.noise).zip(&mut self.recent).zip(now)
        {
            let d = now - *level;
            *level += d * part;
            *noise += (d.abs() - *noise) * part;
            *recent = now;
        }
    }

    /// Compares a look with the model, fills `flags`, and learns from it. `dt` is the time in seconds since the look before.
    pub fn compare(&mut self, now: &[f32], dt: f32, terms: Terms, flags: &mut [u8]) {
        let part = |tau: f32| 1.0 - (-dt / tau).exp();
        let (still, moving, staying) = (part(LEVEL_S), part(LEVEL_MOVING_S), part(LEVEL_STAYING_S));
        let (noise_still, noise_moving, recent_part) = (part(NOISE_S), part(NOISE_MOVING_S), part(RECENT_S));
        let (factor, floor) = (NOISE_FACTOR * terms.scale, FLOOR * terms.scale + terms.doubt);
        let calm = (-dt / RESTLESS_S).exp();
        let model = self.level.iter_mut().zip(&mut self.noise).zip(&mut self.recent).zip(&mut self.restless);
        for (((((level, noise), recent), restless), &now), flags) in model.zip(now).zip(flags) {
            let d = now - *level;
            let change = d.abs();
            let distrust = (RESTLESS_STEP * (*restless - RESTLESS_FREE)).clamp(0.0, RESTLESS_MOST);
            let threshold = (floor * (0.6 + *level * 0.0033) + factor * *noise) * (1.0 + distrust);
            let weak = change > threshold * WEAK_PART;
            let strong = change > threshold;
            let active = (now - *recent).abs() > threshold * 0.7;
            let onset = weak && *flags & WEAK == 0;
            *flags = u8::from(weak) * WEAK + u8::from(strong) * STRONG + u8::from(active) * ACTIVE;
            let level_part = if !weak {
                still
            } else if active {
                moving
            } else {
                staying
            };
            let noise_part = if weak { noise_moving } else { noise_still };
            *level += d * level_part;
            *noise += (change - *noise) * noise_part;
            *recent += (now - *recent) * recent_part;
            *restless = *restless * calm + if onset { 1.0 } else { 0.0 };
        }
    }

    /// Lets the cells that are only lit differently become the background.
    pub fn accept_lit(&mut self, now: &[f32], dt: f32, flags: &[u8]) {
        let part = 1.0 - (-dt / LIT_S).exp();
        for ((level, &now), &flags) in self.level.iter_mut().zip(now).zip(flags) {
            if flags & LIT != 0 {
                *level += (now - *level) * part;
            }
        }
    }
}
