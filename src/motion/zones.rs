//! Polygons drawn by the owner, turned into the cells where motion counts.

use crate::config::Zone;

/// Fills `mask` (`width * height` cells) with whether motion counts there: inside any include zone, or everywhere when there
/// is none, and outside every exclude zone. A cell belongs to a polygon when its centre does (even-odd rule).
pub fn rasterise(zones: &[Zone], width: usize, height: usize, mask: &mut Vec<bool>) {
    let everywhere = !zones.iter().any(|zone| zone.include);
    mask.clear();
    mask.resize(width * height, everywhere);
    let mut crossings = Vec::new();
    // Excluding wins over including, whatever the order they were drawn in.
    for include in [true, false] {
        for zone in zones.iter().filter(|zone| zone.include == include) {
            for (y, row) in mask.chunks_exact_mut(width.max(1)).enumerate() {
                crossings_at(&zone.points, (y as f32 + 0.5) / height as f32, &mut crossings);
                for pair in crossings.chunks_exact(2) {
                    fill(row, pair[0], pair[1], include);
                }
            }
        }
    }
}

/// Sets the cells of a row whose centres lie in `from..to` (parts of the width).
fn fill(row: &mut [bool], from: f32, to: f32, value: bool) {
    let cell = |x: f32| (x * row.len() as f32 - 0.5).ceil().clamp(0.0, row.len() as f32) as usize;
    let (from, to) = (cell(from), cell(to));
    if from < to {
        row[from..to].fill(value);
    }
}

/// Where the polygon's edges cross the horizontal line at `y`, from left to right: always an even number.
fn crossings_at(points: &[[f32; 2]], y: f32, crossings: &mut Vec<f32>) {
    crossings.clear();
    let next = points.iter().cycle().skip(1);
    for (&[x0, y0], &[x1, y1]) in points.iter().zip(next) {
        // Half open, so that a corner on the line counts for one of its two edges.
        if (y0 <= y) != (y1 <= y) {
            crossings.push(x0 + (y - y0) / (y1 - y0) * (x1 - x0));
        }
    }
    crossings.sort_unstable_by(f32::total_cmp);
}
