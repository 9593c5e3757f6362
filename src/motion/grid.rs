//! The grid the detector works on: a picture's luma as at most [`MAX_CELLS`] cells, averaged and blurred.
//!
//! Averaging is where the time goes, so it is in integers and touches each sample once. What is made of the cells is in
//! `background`.

use crate::media::Luma;

/// The largest grid: 205x154 for a picture of 1640x1232. A far person of 8x25 pixels in 640x360 still has 2x6 cells, and the
/// noise of the pixels averages out, which finds a person at night that no single pixel shows.
const MAX_CELLS: usize = 32_000;

/// How a picture of one size is divided into square cells. Pixels left over at the right and the bottom are not looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grid {
    /// Cells across.
    pub width: usize,
    /// Cells down.
    pub height: usize,
    /// Pixels along the side of a cell.
    cell: usize,
}

impl Grid {
    /// The finest grid for a picture of `width` by `height` pixels that has at most [`MAX_CELLS`] cells.
    pub fn of(width: usize, height: usize) -> Self {
        let fits = |cell: &usize| (width / cell) * (height / cell) <= MAX_CELLS;
        let cell = (1..=256).find(fits).unwrap_or(256);
        Self { width: width / cell, height: height / cell, cell }
    }

    /// Number of cells.
    pub fn cells(self) -> usize {
        self.width * self.height
    }
}

/// Turns pictures into cells. Keeps its buffers.
#[derive(Clone, Debug, Default)]
pub struct Reducer {
    /// Sums of one row of cells, per pixel column.
    columns: Vec<u16>,
    cells: Vec<f32>,
    across: Vec<f32>,
}

impl Reducer {
    /// Fills `out` with the blurred cells (0 to 255) of `luma`, whose grid is `grid`.
    pub fn reduce(&mut self, luma: &Luma, grid: Grid, out: &mut Vec<f32>) {
        let side = grid.cell;
        let used = grid.width * side;
        self.cells.resize(grid.cells(), 0.0);
        self.across.resize(grid.cells(), 0.0);
        self.columns.resize(used, 0);
        out.resize(grid.cells(), 0.0);
        if grid.cells() == 0 {
            return;
        }
        let scale = 1.0 / (side * side) as f32;
        let bands = luma.data.chunks_exact(luma.width * side);
        for (band, row) in bands.zip(self.cells.chunks_exact_mut(grid.width)) {
            self.columns.fill(0);
            for line in band.chunks_exact(luma.width) {
                // At most 256 lines of at most 255: fits 16 bits.
                for (sum, &y) in self.columns.iter_mut().zip(line) {
                    *sum += u16::from(y);
                }
            }
            match side {
                1 => sum_groups::<1>(&self.columns, row, scale),
                2 => sum_groups::<2>(&self.columns, row, scale),
                3 => sum_groups::<3>(&self.columns, row, scale),
                4 => sum_groups::<4>(&self.columns, row, scale),
                8 => sum_groups::<8>(&self.columns, row, scale),
                _ => {
                    for (cell, group) in row.iter_mut().zip(self.columns.chunks_exact(side)) {
                        *cell = group.iter().map(|&s| u32::from(s)).sum::<u32>() as f32 * scale;
                    }
                }
            }
        }
        self.blur(grid, out);
    }

    /// A 1-2-1 kernel in both directions; the border repeats.
    fn blur(&mut self, grid: Grid, out: &mut [f32]) {
        let w = grid.width;
        for (row, to) in self.cells.chunks_exact(w).zip(self.across.chunks_exact_mut(w)) {
            to.copy_from_slice(row);
            for (to, three) in to.iter_mut().skip(1).zip(row.windows(3)) {
                *to = 0.25 * (three[0] + three[2]) + 0.5 * three[1];
            }
        }
        for y in 0..grid.height {
            let at = |y: usize| &self.across[y * w..(y + 1) * w];
            let (up, mid, down) = (at(y.saturating_sub(1)), at(y), at((y + 1).min(grid.height - 1)));
            let to = &mut out[y * w..(y + 1) * w];
            for (((to, u), m), d) in to.iter_mut().zip(up).zip(mid).zip(down) {
                *to = 0.25 * (u + d) + 0.5 * m;
            }
        }
    }
}

/// Adds up groups of `N` column sums: with the length known, the compiler makes vector code of it.
fn sum_groups<const N: usize>(columns: &[u16], row: &mut [f32], scale: f32) {
    let (groups, _) = columns.as_chunks::<N>();
    for (cell, group) in row.iter_mut().zip(groups) {
        *cell = group.iter().map(|&s| u32::from(s)).sum::<u32>() as f32 * scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_is_the_finest_that_is_small_enough() {
        let grid = |w, h| (Grid::of(w, h).width, Grid::of(w, h).height);
        assert_eq!(grid(1640, 1232), (205, 154));
        assert_eq!(grid(410, 308), (205, 154));
        assert_eq!(grid(320, 180), (160, 90));
        assert_eq!(grid(160, 120), (160, 120));
        assert_eq!(grid(0, 100), (0, 100));
    }

    #[test]
    fn cells_are_means_whatever_the_size() {
        for (width, height) in [(160, 120), (410, 308), (641, 361), (1000, 701), (1640, 1232), (3840, 2160)] {
            let grid = Grid::of(width, height);
            // A ramp: its blurred means lie on the same ramp, away from the border.
            let data = (0..width * height).map(|i| (i % width * 255 / width) as u8).collect();
            let mut cells = Vec::new();
            Reducer::default().reduce(&Luma { width, height, data }, grid, &mut cells);
            assert_eq!(cells.len(), grid.cells());
            for (x, cell) in cells[grid.width * 3..][..grid.width].iter().enumerate().skip(1).take(grid.width - 2) {
                let middle = (x as f32 + 0.5) * grid.cell as f32 * 255.0 / width as f32;
                assert!((cell - middle).abs() < 2.0, "{width}x{height}, cell {x}: {cell} and {middle}");
            }
        }
    }
}
