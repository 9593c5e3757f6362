//! Motion detection: from the luma of pictures, one after the other, to "something moves here".
//!
//! Pure: no device, no clock, no threads. How a picture becomes so small is in [`grid`]; what is still and how much it flickers in
//! [`background`]; light as a whole and in parts in [`light`] and [`texture`]; what belongs together in [`blobs`]; what persists and
//! travels in [`tracks`]; where it counts in [`zones`]. When a recording starts and ends is `recording::policy`'s.
//! The reasons for the constants and what they achieve: `ancillary/docs/motion.md`.

mod background;
mod blobs;
mod grid;
mod light;
mod texture;
mod tracks;
mod zones;

use std::time::Duration;

use crate::config::{MotionConfig, Zone};
use crate::media::{Luma, Pts, Region};
use background::{Background, Terms};
use blobs::{Blob, Blobs, STRONG};
use grid::{Grid, Reducer};
use light::{Phase, Transition};
use texture::Texture;
use tracks::{Demand, Tracks};

/// Pictures a second that are looked at; more show nothing new.
pub const LOOKS_PER_S: u32 = 10;

/// After the first picture the scene is learned for so long, while the camera's exposure settles; nothing triggers.
const SETTLE: Duration = Duration::from_secs(3);
/// Longer gaps between pictures count as this long: after an outage the scene is what it was, not what nobody saw.
const LONGEST_GAP_S: f32 = 1.0;
/// A changed part of the picture larger than this may be light on a part of it.
const LIGHT_PART: f32 = 0.004;
/// A thing is at least this many cells, however small an area is configured.
const LEAST_CELLS: f32 = 4.0;
/// Thresholds are doubled at first and come down with this time constant (s), as the noise gets known.
const TRUST_S: f32 = 5.0;
/// The sensitivity at which thresholds are as given in `background`: they grow in proportion to `1 - sensitivity`.
const NORMAL_SENSITIVITY: f32 = 0.8;

/// What one look shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sight {
    /// Something moves: large enough, long enough, where it counts.
    pub motion: bool,
    /// The largest connected changed area where it counts, as a part of the picture, 0 to 1.
    pub changed: f32,
    /// Where something moves. Empty without motion.
    pub regions: Vec<Region>,
    /// The light of the whole picture is changing: nothing is reported.
    pub light_changed: bool,
    /// The scene is being learned: nothing is reported.
    pub settling: bool,
}

/// Which cells of the detector's grid differ from the still scene, wherever they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cells {
    /// Cells across.
    pub columns: usize,
    /// Cells down.
    pub rows: usize,
    /// One bit a cell, row by row; the first in the highest bit of the first byte.
    pub changed: Vec<u8>,
}

/// Thins a camera's pictures out to [`LOOKS_PER_S`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Cadence {
    next: Option<Pts>,
}

impl Cadence {
    /// Whether the picture taken at `pts` is to be looked at. The looks' mean distance is kept, so that a camera of 15 pictures a
    /// second gives 10 looks and not 7.5.
    pub fn due(&mut self, pts: Pts) -> bool {
        const STEP: i64 = Pts::HZ / LOOKS_PER_S as i64;
        // Half a millisecond early is on time: cameras' time stamps jitter.
        const EARLY: i64 = Pts::HZ / 2000;
        let next = self.next.map_or(pts.0, |next| next.0);
        if pts.0 < next - EARLY {
            return false;
        }
        // No catching up after a gap.
        self.next = Some(Pts(next.max(pts.0 - STEP) + STEP));
        true
    }
}

/// Looks at pictures one after the other. Allocates when the size changes, and the answer's regions; nothing else.
#[derive(Clone, Debug)]
pub struct Detector {
    config: MotionConfig,
    zones: Vec<Zone>,
    /// Size in pixels of the pictures seen so far.
    size: (usize, usize),
    grid: Grid,
    /// Where motion counts, per cell.
    mask: Vec<bool>,
    reducer: Reducer,
    now: Vec<f32>,
    flags: Vec<u8>,
    /// Which cells had changed at the last look, wherever they are.
    changed: Vec<bool>,
    background: Background,
    texture: Texture,
    blobs: Blobs,
    tracks: Tracks,
    counts: Vec<Blob>,
    transition: Transition,
    last: Option<Pts>,
    /// Until then, from the start, the scene is learned.
    settled_at: Pts,
    /// Looks and seconds since the start.
    looks: u32,
    seen_s: f32,
    /// The background is to be made new at the next look.
    rebase: bool,
    /// Until then a change of light is known to come.
    expected_until: Pts,
}

impl Detector {
    /// A detector that has seen nothing yet.
    pub fn new(config: &MotionConfig, zones: &[Zone]) -> Self {
        Self {
            config: config.clone(),
            zones: zones.to_vec(),
            size: (0, 0),
            grid: Grid::default(),
            mask: Vec::new(),
            reducer: Reducer::default(),
            now: Vec::new(),
            flags: Vec::new(),
            changed: Vec::new(),
            background: Background::default(),
            texture: Texture::default(),
            blobs: Blobs::default(),
            tracks: Tracks::default(),
            counts: Vec::new(),
            transition: Transition::default(),
            last: None,
            settled_at: Pts::MIN,
            looks: 0,
            seen_s: 0.0,
            rebase: false,
            expected_until: Pts::MIN,
        }
    }

    /// Looks at one picture, of any size; a change of size starts anew. Pictures may come at any rate, about 5 to 30 a second.
    pub fn look(&mut self, luma: &Luma, pts: Pts) -> Sight {
        if self.size != (luma.width, luma.height) {
            self.start(luma);
            self.settled_at = pts + SETTLE;
        }
        if self.grid.cells() == 0 {
            return Sight { settling: true, ..Sight::default() };
        }
        let dt = self.last.map_or(0.0, |last| pts.since(last).as_secs_f32().min(LONGEST_GAP_S));
        self.last = Some(pts);
        self.looks += 1;
        self.reducer.reduce(luma, self.grid, &mut self.now);
        if self.looks == 1 {
            self.background.start(&self.now);
        }
        let light = light::fit(self.background.level(), &self.now, &self.changed);
        self.background.relight(light);
        self.transition.see(light, dt);
        if pts < self.settled_at {
            self.background.settle(&self.now, self.looks as f32);
            return Sight { settling: true, ..Sight::default() };
        }
        self.compare(dt);
        let part = self.changed.iter().filter(|changed| **changed).count() as f32 / self.grid.cells() as f32;
        let lit = self.flags.iter().filter(|f| **f & blobs::LIT != 0).count() as f32 / self.grid.cells() as f32;
        self.transition.see_parts(lit, part);
        let phase = self.transition.phase(light, part, pts < self.expected_until, dt);
        if phase == Phase::Changed || self.rebase {
            self.background.replace(&self.now);
            self.changed.fill(false);
            self.flags.fill(0);
            self.tracks.clear();
            self.rebase = false;
        }
        self.judge(dt, phase)
    }

    /// Makes the next picture the background, whatever it shows: what has changed for good stops being motion. What moves against the
    /// new background is recognised as quickly as ever.
    pub fn rebase(&mut self) {
        self.rebase = true;
    }

    /// The light is known to change before `until` (the lamp or the IR LEDs are being switched): nothing is motion until then, and what is
    /// seen after it is the scene.
    pub fn expect_light_change(&mut self, until: Pts) {
        self.expected_until = until;
    }

    /// Motion counts in other places from the next picture on.
    pub fn set_zones(&mut self, zones: &[Zone]) {
        self.zones = zones.to_vec();
        zones::rasterise(&self.zones, self.grid.width, self.grid.height, &mut self.mask);
    }

    /// Something else counts as motion from the next picture on.
    pub fn set_config(&mut self, config: &MotionConfig) {
        self.config = config.clone();
    }

    /// Which cells had changed at the last look.
    pub fn cells(&self) -> Cells {
        let byte = |cells: &[bool]| cells.iter().enumerate().fold(0, |byte, (n, set)| byte | u8::from(*set) << (7 - n));
        let Grid { width, height, .. } = self.grid;
        Cells { columns: width, rows: height, changed: self.changed.chunks(8).map(byte).collect() }
    }

    /// The connected changed part of the picture, 0 to 1, from which on something is large enough.
    pub fn threshold(&self) -> f32 {
        match self.grid.cells() {
            0 => self.config.min_trigger_area,
            cells => self.least_area() as f32 / cells as f32,
        }
    }

    /// The same in cells.
    fn least_area(&self) -> u32 {
        (self.config.min_trigger_area * self.grid.cells() as f32).max(LEAST_CELLS).ceil() as u32
    }

    fn start(&mut self, luma: &Luma) {
        self.size = (luma.width, luma.height);
        self.grid = Grid::of(luma.width, luma.height);
        zones::rasterise(&self.zones, self.grid.width, self.grid.height, &mut self.mask);
        self.flags = vec![0; self.grid.cells()];
        self.changed = vec![false; self.grid.cells()];
        self.tracks.clear();
        self.transition = Transition::default();
        (self.looks, self.seen_s, self.last, self.rebase) = (0, 0.0, None, false);
    }

    /// Finds the cells that changed, less those that are only lit differently.
    fn compare(&mut self, dt: f32) {
        let trust = 1.0 + (-self.seen_s / TRUST_S).exp();
        self.seen_s += dt;
        let sensitivity = ((1.0 - self.config.sensitivity) / (1.0 - NORMAL_SENSITIVITY)).clamp(0.25, 5.0);
        let terms = Terms { scale: trust * sensitivity, doubt: self.transition.doubt() };
        self.background.compare(&self.now, dt, terms, &mut self.flags);
        let large = (LIGHT_PART * self.grid.cells() as f32) as u32;
        let mut lit = false;
        for blob in self.blobs.find(&self.flags, self.grid.width).iter().filter(|blob| blob.area > large) {
            self.texture.explain(self.background.level(), &self.now, self.grid.width, blob, &mut self.flags);
            lit = true;
        }
        if lit {
            self.background.accept_lit(&self.now, dt, &self.flags);
        }
        for (changed, flags) in self.changed.iter_mut().zip(&self.flags) {
            *changed = flags & STRONG != 0;
        }
    }

    /// Makes things of the cells that changed where it counts, and says which are motion.
    fn judge(&mut self, dt: f32, phase: Phase) -> Sight {
        for (flags, &counts) in self.flags.iter_mut().zip(&self.mask) {
            *flags = if counts { *flags } else { 0 };
        }
        let cells = self.grid.cells() as f32;
        let area = self.least_area();
        let blobs = self.blobs.find(&self.flags, self.grid.width);
        let demand = Demand { area, looks: self.config.min_frames, travel: self.transition.restless() };
        self.tracks.follow(blobs, dt, demand, &mut self.counts);
        let changed = blobs.iter().map(|blob| blob.area).max().unwrap_or(0) as f32 / cells;
        let light_changed = phase != Phase::Steady;
        let regions: Vec<Region> =
            if light_changed { Vec::new() } else { self.counts.iter().map(|blob| region(blob, self.grid)).collect() };
        Sight { motion: !regions.is_empty(), changed, regions, light_changed, settling: false }
    }
}

fn region(blob: &Blob, grid: Grid) -> Region {
    let (width, height) = (grid.width as f32, grid.height as f32);
    Region {
        x: f32::from(blob.left) / width,
        y: f32::from(blob.top) / height,
        width: f32::from(blob.right - blob.left) / width,
        height: f32::from(blob.bottom - blob.top) / height,
    }
}

#[cfg(test)]
mod tests;
