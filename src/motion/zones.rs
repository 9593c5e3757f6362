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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn zone(include: bool, points: Vec<[f32; 2]>) -> Zone {
        Zone { name: "zone".into(), include, points }
    }

    fn drawn(zones: &[Zone], width: usize, height: usize) -> Vec<bool> {
        let mut mask = Vec::new();
        rasterise(zones, width, height, &mut mask);
        mask
    }

    #[test]
    fn without_include_zones_everywhere_counts_and_excluding_wins() {
        assert_eq!(drawn(&[], 3, 2), [true; 6]);
        let left = vec![[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]];
        assert_eq!(drawn(&[zone(false, left.clone())], 4, 1), [false, false, true, true]);
        assert_eq!(drawn(&[zone(true, left.clone())], 4, 1), [true, true, false, false]);
        let first_half_of_it = vec![[0.0, 0.0], [0.25, 0.0], [0.25, 1.0], [0.0, 1.0]];
        let both = [zone(false, first_half_of_it), zone(true, left)];
        assert_eq!(drawn(&both, 4, 1), [false, true, false, false]);
    }

    /// Whether a point is inside, by counting the edges to its left: the same rule, said differently.
    fn inside(points: &[[f32; 2]], x: f32, y: f32) -> bool {
        let mut inside = false;
        for (i, [x0, y0]) in points.iter().enumerate() {
            let [x1, y1] = points[(i + 1) % points.len()];
            if (*y0 <= y) != (y1 <= y) && x0 + (y - y0) / (y1 - y0) * (x1 - x0) <= x {
                inside = !inside;
            }
        }
        inside
    }

    proptest! {
        #[test]
        fn a_cell_counts_when_its_centre_is_inside(
            points in prop::collection::vec([-0.2f32..1.2, -0.2f32..1.2], 3..12),
            width in 1usize..60,
            height in 1usize..60,
        ) {
            let mask = drawn(&[zone(true, points.clone())], width, height);
            let mut wrong = 0;
            for (i, counts) in mask.iter().enumerate() {
                let (x, y) = ((i % width) as f32 + 0.5, (i / width) as f32 + 0.5);
                wrong += usize::from(*counts != inside(&points, x / width as f32, y / height as f32));
            }
            // An edge that runs exactly through a centre may round either way.
            prop_assert!(wrong <= 2, "{} of {} cells", wrong, mask.len());
        }

        #[test]
        fn any_corners_are_drawn_without_a_panic(
            points in prop::collection::vec([any::<f32>(), any::<f32>()], 0..6),
            include: bool,
            width in 0usize..20,
            height in 0usize..20,
        ) {
            prop_assert_eq!(drawn(&[zone(include, points)], width, height).len(), width * height);
        }
    }
}
