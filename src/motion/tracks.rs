//! Blobs followed from look to look: what persists and travels is something, what flickers in its place is not.

use super::blobs::Blob;

/// Things followed at a time; more are a crowd, and a crowd triggers anyway.
const MOST: usize = 64;
/// Seconds a thing may be out of sight and still be the same one.
const FORGET_S: f32 = 0.6;
/// Seconds for which a thing must have been seen: an insect near the lens has passed by then.
const PERSIST_S: f32 = 0.3;

const ACT: f32 = 0.12;
/// One thing followed.
#[derive(Clone, Copy, Debug)]
struct Track {
    blob: Blob,
    /// Seconds since first and since last seen.
    age_s: f32,
    unseen_s: f32,
    /// Looks in which it was seen, with the area that triggers.
    looks: u32,
    /// Cells per second.
    velocity: (f32, f32),
    first: (f32, f32),
    /// Cells its centre has moved altogether.
    path: f32,
    /// Smoothed share of its cells that moved.
    activity: f32,
    confirmed: bool,
    taken: bool,
}

/// What is followed now.
#[derive(Clone, Debug, Default)]
pub struct Tracks {
    tracks: Vec<Track>,
}

/// What a thing must do to count.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// Cells it must have.
    pub area: u32,
    /// Looks in which it must have had them.
    pub looks: u32,
    /// Whether it must have travelled, however long it persists (the light is changing).
    pub travel: bool,
}

impl Tracks {
    /// Forgets all.
    pub fn clear(&mut self) {
        self.tracks.clear();
    }

    /// Follows the blobs of one look, `dt` seconds after the one before; `counts` gets the blobs that count.
    pub fn follow(&mut self, blobs: &[Blob], dt: f32, demand: Demand, counts: &mut Vec<Blob>) {
        counts.clear();
        for track in &mut self.tracks {
            track.age_s += dt;
            track.unseen_s += dt;
            track.taken = false;
        }
        for blob in blobs {
            let enough = blob.area >= demand.area;
            let Some(i) = self.nearest(blob) else {
                // A small blob may be part of a thing; it does not start one.
                if blob.area * 2 >= demand.area && self.tracks.len() < MOST {
                    self.tracks.push(Track::new(blob, enough));
                }
                continue;
            };
            let track = &mut self.tracks[i];
            track.see(blob, enough, dt);
            if enough && track.counts(demand) {
                counts.push(*blob);
            }
        }
        self.tracks.retain(|track| track.unseen_s < FORGET_S);
    }

    /// The nearest track that the blob overlaps, where the track is expected now.
    fn nearest(&self, blob: &Blob) -> Option<usize> {
        let distance = |t: &Track| {
            let (x, y) = blob.centre();
            let (tx, ty) = t.expected();
            (tx - x).powi(2) + (ty - y).powi(2)
        };
        let candidates = self.tracks.iter().enumerate().filter(|(_, t)| !t.taken && t.overlaps(blob));
        candidates.min_by(|a, b| distance(a.1).total_cmp(&distance(b.1))).map(|(i, _)| i)
    }
}

impl Track {
    fn new(blob: &Blob, enough: bool) -> Self {
        Track {
            blob: *blob,
            age_s: 0.0,
            unseen_s: 0.0,
            looks: u32::from(enough),
            velocity: (0.0, 0.0),
            first: blob.centre(),
            path: 0.0,
            activity: blob.active as f32 / blob.area as f32,
            confirmed: false,
            taken: true,
        }
    }

    fn expected(&self) -> (f32, f32) {
        let (x, y) = self.blob.centre();
        (x + self.velocity.0 * self.unseen_s, y + self.velocity.1 * self.unseen_s)
    }

    fn overlaps(&self, blob: &Blob) -> bool {
        let (dx, dy) = (self.velocity.0 * self.unseen_s, self.velocity.1 * self.unseen_s);
        let b = &self.blob;
        // Until its velocity is known, it may have gone half its own size.
        let slack = if self.looks < 2 { 1.0 + 0.5 * f32::from((b.right - b.left).min(b.bottom - b.top)) } else { 1.0 };
        f32::from(blob.left) <= f32::from(b.right) + dx + slack
            && f32::from(blob.right) + slack >= f32::from(b.left) + dx
            && f32::from(blob.top) <= f32::from(b.bottom) + dy + slack
            && f32::from(blob.bottom) + slack >= f32::from(b.top) + dy
    }

    fn see(&mut self, blob: &Blob, enough: bool, dt: f32) {
        let ((x, y), (ox, oy)) = (blob.centre(), self.blob.centre());
        let elapsed = self.unseen_s.max(1e-3);
        self.path += (x - ox).hypot(y - oy);
        let newest = ((x - ox) / elapsed, (y - oy) / elapsed);
        let part = 0.5;
        self.velocity = (
            self.velocity.0 + part * (newest.0 - self.velocity.0),
            self.velocity.1 + part * (newest.1 - self.velocity.1),
        );
        self.looks += u32::from(enough);
        self.blob = *blob;
        self.unseen_s = 0.0;
        self.taken = true;
        let share = blob.active as f32 / blob.area as f32;
        self.activity += (share - self.activity) * (dt / 0.35).min(1.0);
    }

    fn counts(&mut self, demand: Demand) -> bool {
        if self.activity < ACT {
            return false;
        }
        if self.looks >= demand.looks
            && self.blob.active * 8 > self.blob.area
            && self.age_s >= PERSIST_S
            && !self.confirmed
        {
            let (x, y) = self.blob.centre();
            let travel = (x - self.first.0).hypot(y - self.first.1);
            let size = (self.blob.area as f32).sqrt();
            let travelled = travel > 1.5 + 0.25 * size.min(12.0) && travel > 0.5 * self.path;
            let stays = !demand.travel && self.age_s > 1.2 && self.blob.area >= 3 * demand.area && self.activity > 0.2;
            self.confirmed = travelled || stays;
        }
        self.confirmed
    }
}
