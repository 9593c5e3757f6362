//! Blobs followed from look to look: what persists and travels is something, what flickers in its place is not.
//!
//! All lengths in cells. What a blob is, is `blobs`'.

use super::blobs::Blob;

/// Things followed at a time; more are a crowd, and a crowd triggers anyway.
const MOST: usize = 64;
/// Seconds a thing may be out of sight and still be the same one.
const FORGET_S: f32 = 0.6;
/// Seconds for which a thing must have been followed: an insect near the lens has passed by then.
const PERSIST_S: f32 = 0.3;
/// The same while the light is changing.
const PERSIST_IN_LIGHT_S: f32 = 0.8;
/// The same for what moves more than [`FAST`] times its own size in a second, as insects do, and cars and people do not.
const PERSIST_FAST_S: f32 = 1.0;
const FAST: f32 = 5.0;
/// Seconds after which something large that stays in its place but moves (who turns round, a gate) counts too; the least share of
/// its cells that must move, and how many times the trigger area it must have.
const STAYS_S: f32 = 1.2;
const STAYS_ACTIVITY: f32 = 0.2;
const STAYS_AREAS: u32 = 3;
/// A thing of which a smaller share of cells moves (smoothed over [`ACTIVITY_S`]) is not moving: a parked car, what an insect leaves
/// behind in a compressed picture.
const LEAST_ACTIVITY: f32 = 0.12;
const ACTIVITY_S: f32 = 0.35;
/// Weight of the newest step in a thing's velocity, and the least part of its speed that must be left when to and fro are
/// added up.
const NEWEST: f32 = 0.4;
const DIRECT: f32 = 0.5;

/// One thing followed.
#[derive(Clone, Copy, Debug)]
struct Track {
    blob: Blob,
    /// Seconds since first and since last seen.
    age_s: f32,
    unseen_s: f32,
    /// Looks in which it had the area that triggers.
    looks: u32,
    /// Cells per second.
    velocity: (f32, f32),
    first: (f32, f32),
    /// How fast its centre moves, whereto be it.
    speed: f32,
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
    /// Clearly changed cells it must have.
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
            let enough = blob.strong >= demand.area;
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
            speed: 0.0,
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
        let newest = ((x - ox) / elapsed, (y - oy) / elapsed);
        self.velocity = (
            self.velocity.0 + NEWEST * (newest.0 - self.velocity.0),
            self.velocity.1 + NEWEST * (newest.1 - self.velocity.1),
        );
        self.speed += NEWEST * (newest.0.hypot(newest.1) - self.speed);
        self.looks += u32::from(enough);
        self.blob = *blob;
        self.unseen_s = 0.0;
        self.taken = true;
        let share = blob.active as f32 / blob.area as f32;
        self.activity += (share - self.activity) * (dt / ACTIVITY_S).min(1.0);
    }

    /// Whether it is motion. Once it has been, it is for as long as it moves.
    fn counts(&mut self, demand: Demand) -> bool {
        if self.activity < LEAST_ACTIVITY {
            return false;
        }
        self.confirmed |= self.looks >= demand.looks && self.moves_now() && self.convinces(demand);
        self.confirmed
    }

    fn moves_now(&self) -> bool {
        self.blob.active as f32 > LEAST_ACTIVITY * self.blob.area as f32
    }

    fn convinces(&self, demand: Demand) -> bool {
        let (x, y) = self.blob.centre();
        let travel = (x - self.first.0).hypot(y - self.first.1);
        let size = (self.blob.area as f32).sqrt();
        let persist_s = if travel > FAST * size * self.age_s {
            PERSIST_FAST_S
        } else if demand.travel {
            PERSIST_IN_LIGHT_S
        } else {
            PERSIST_S
        };
        // More than the jitter of its outline, and to somewhere rather than to and fro.
        let travels =
            travel > 1.5 + 0.25 * size.min(12.0) && self.velocity.0.hypot(self.velocity.1) > DIRECT * self.speed;
        let large = self.blob.strong >= STAYS_AREAS * demand.area;
        let stays = !demand.travel && large && self.age_s > STAYS_S && self.activity > STAYS_ACTIVITY;
        (travels && self.age_s >= persist_s) || stays
    }
}
