//! Light on a part of the picture: sunshine that moves over a lawn, a shadow, a lamp's cone.
//!
//! Light changes how bright a surface is, not what is on it: the edges that were there are still there, and no new ones. So a
//! changed cell whose surroundings have the edges of the background is lit differently; one without them is covered by
//! something. A surface without edges says neither; there the change stands.

use super::blobs::{Blob, LIT, STRONG, WEAK};

/// Cells on each side of one that are its surroundings.
const REACH: usize = 3;
/// How alike the edges must be (correlation, 1 is the same).
const ALIKE: f32 = 0.7;
/// Levels per cell (root mean square) that edges must have to be told from noise.
const EDGE: f32 = 2.0;

/// A change is smooth when the square of its gradient is at most this part of its own square.
const SMOOTH: f32 = 0.08;

/// Compares edges. Keeps its buffers.
#[derive(Clone, Debug, Default)]
pub struct Texture {
    /// Per cell of the part looked at: the product of the two gradients, and the squares of each.
    gradients: Vec<[f32; 5]>,
    /// Sums over columns of `2 * REACH + 1` cells.
    columns: Vec<[f32; 5]>,
}

impl Texture {
    /// Marks the changed cells of `blob` that are only [`LIT`] differently, and takes [`WEAK`] and [`STRONG`] from them.
    pub fn explain(&mut self, before: &[f32], now: &[f32], width: usize, blob: &Blob, flags: &mut [u8]) {
        let height = before.len() / width;
        let left = usize::from(blob.left).saturating_sub(REACH).max(1);
        let top = usize::from(blob.top).saturating_sub(REACH).max(1);
        let right = (usize::from(blob.right) + REACH).min(width - 1);
        let bottom = (usize::from(blob.bottom) + REACH).min(height - 1);
        if right <= left || bottom <= top {
            return;
        }
        let (w, h) = (right - left, bottom - top);
        self.gradients.clear();
        for y in top..bottom {
            for x in left..right {
                let i = y * width + x;
                let (bx, by) = (before[i + 1] - before[i - 1], before[i + width] - before[i - width]);
                let (nx, ny) = (now[i + 1] - now[i - 1], now[i + width] - now[i - width]);
                let d = now[i] - before[i];
                let (dx, dy) = (nx - bx, ny - by);
                self.gradients.push([
                    bx * nx + by * ny,
                    bx * bx + by * by,
                    nx * nx + ny * ny,
                    dx * dx + dy * dy,
                    d * d,
                ]);
            }
        }
        self.columns.clear();
        self.columns.resize(w, [0.0; 5]);
        for y in 0..h + REACH {
            if y < h {
                add(&mut self.columns, &self.gradients[y * w..(y + 1) * w], 1.0);
            }
            if y > 2 * REACH {
                let gone = y - 2 * REACH - 1;
                add(&mut self.columns, &self.gradients[gone * w..(gone + 1) * w], -1.0);
            }
            if let Some(y) = y.checked_sub(REACH) {
                let start = (top + y) * width + left;
                judge(&self.columns, &mut flags[start..start + w]);
            }
        }
        extend(flags, width, height);
    }
}

/// The border cells have no gradient: they are what their neighbours are.
fn extend(flags: &mut [u8], width: usize, height: usize) {
    let mut follow = |cell: usize, neighbour: usize| {
        if flags[neighbour] & LIT != 0 && flags[cell] & WEAK != 0 {
            flags[cell] = flags[cell] & !(WEAK | STRONG) | LIT;
        }
    };
    for y in 1..height - 1 {
        follow(y * width, y * width + 1);
        follow(y * width + width - 1, y * width + width - 2);
    }
    for x in 0..width {
        follow(x, x + width);
        follow((height - 1) * width + x, (height - 2) * width + x);
    }
}

fn add(columns: &mut [[f32; 5]], row: &[[f32; 5]], sign: f32) {
    for (column, cell) in columns.iter_mut().zip(row) {
        for (sum, value) in column.iter_mut().zip(cell) {
            *sum += sign * value;
        }
    }
}

/// Marks the cells of one row whose surroundings look like the background's.
fn judge(columns: &[[f32; 5]], flags: &mut [u8]) {
    let w = columns.len();
    let mut sum = [0.0f32; 5];
    for x in 0..w + REACH {
        if x < w {
            add(std::slice::from_mut(&mut sum), &columns[x..=x], 1.0);
        }
        if x > 2 * REACH {
            let gone = x - 2 * REACH - 1;
            add(std::slice::from_mut(&mut sum), &columns[gone..=gone], -1.0);
        }
        let Some(x) = x.checked_sub(REACH) else { continue };
        let cells = ((2 * REACH + 1) * (2 * REACH + 1)) as f32;
        let [product, before, now, rough, change] = sum;
        let edges = before.min(now) > cells * EDGE * EDGE;
        let same = edges && product > 0.0 && product * product > ALIKE * ALIKE * before * now;
        if (same || rough < SMOOTH * change) && flags[x] & WEAK != 0 {
            flags[x] = flags[x] & !(WEAK | STRONG) | LIT;
        }
    }
}
