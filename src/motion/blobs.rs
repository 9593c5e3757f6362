//! Connected components of the changed cells.
//!
//! Which cells changed is `background`'s; what a blob means is `tracks`'.

/// A connected group (8 neighbours) of changed cells. Coordinates in cells, `right` and `bottom` exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Blob {
    /// Cells that belong to it.
    pub area: u32,
    /// Of these, the ones that changed clearly.
    pub strong: u32,
    /// Of these, the ones that differ from a moment ago.
    pub active: u32,
    /// Left edge.
    pub left: u16,
    /// Top edge.
    pub top: u16,
    /// One past the right edge.
    pub right: u16,
    /// One past the bottom edge.
    pub bottom: u16,
    /// Sums of the cells' coordinates.
    sum_x: u32,
    sum_y: u32,
}

impl Blob {
    /// Centre of gravity.
    pub fn centre(&self) -> (f32, f32) {
        let n = self.area.max(1) as f32;
        (self.sum_x as f32 / n, self.sum_y as f32 / n)
    }

    fn join(&mut self, other: &Blob) {
        self.area += other.area;
        self.strong += other.strong;
        self.active += other.active;
        self.sum_x += other.sum_x;
        self.sum_y += other.sum_y;
        self.left = self.left.min(other.left);
        self.top = self.top.min(other.top);
        self.right = self.right.max(other.right);
        self.bottom = self.bottom.max(other.bottom);
    }
}

/// A cell changed (more than noise does).
pub const WEAK: u8 = 1;
/// It changed clearly.
pub const STRONG: u8 = 2;
/// It differs from a moment ago.
pub const ACTIVE: u8 = 4;
/// It is only lit differently: no part of a blob.
pub const LIT: u8 = 8;

/// A run of changed cells in one row.
#[derive(Clone, Copy, Debug)]
struct Run {
    start: usize,
    end: usize,
    label: u32,
}

/// Finds blobs. Keeps its buffers.
#[derive(Clone, Debug, Default)]
pub struct Blobs {
    above: Vec<Run>,
    here: Vec<Run>,
    /// Union-find over labels; each root's blob is in `parts`.
    parent: Vec<u32>,
    parts: Vec<Blob>,
    found: Vec<Blob>,
}

impl Blobs {
    /// The blobs of a map of flags ([`WEAK`], [`STRONG`], [`ACTIVE`]), `width` cells across: those with at least one strong
    /// cell, in the order of their first cell.
    pub fn find(&mut self, flags: &[u8], width: usize) -> &[Blob] {
        self.parent.clear();
        self.parts.clear();
        self.above.clear();
        for (y, row) in flags.chunks_exact(width.max(1)).enumerate() {
            self.here.clear();
            let mut x = 0;
            while let Some(skip) = row[x..].iter().position(|&f| f & WEAK != 0) {
                let start = x + skip;
                let end = row[start..].iter().position(|&f| f & WEAK == 0).map_or(width, |n| start + n);
                self.run(&row[start..end], start, y);
                x = end;
            }
            std::mem::swap(&mut self.above, &mut self.here);
        }
        self.collect()
    }

    /// Takes a run of changed cells in, joined with what touches it in the row above.
    fn run(&mut self, cells: &[u8], start: usize, y: usize) {
        let n = cells.len() as u32;
        let mut blob = Blob {
            area: n,
            left: start as u16,
            top: y as u16,
            right: (start + cells.len()) as u16,
            bottom: y as u16 + 1,
            sum_x: n * start as u32 + n * (n - 1) / 2,
            sum_y: n * y as u32,
            ..Blob::default()
        };
        for &f in cells {
            blob.strong += u32::from(f & STRONG != 0);
            blob.active += u32::from(f & ACTIVE != 0);
        }
        let end = start + cells.len();
        let mut label = None;
        for i in 0..self.above.len() {
            let up = self.above[i];
            if up.start > end {
                break;
            }
            if up.end >= start {
                let root = root(&mut self.parent, up.label);
                label = Some(match label {
                    None => root,
                    Some(own) => self.unite(own, root),
                });
            }
        }
        let label = match label {
            Some(label) => {
                self.parts[label as usize].join(&blob);
                label
            }
            None => {
                self.parent.push(self.parts.len() as u32);
                self.parts.push(blob);
                self.parts.len() as u32 - 1
            }
        };
        self.here.push(Run { start, end, label });
    }

    /// Makes one of two roots; the older label stays.
    fn unite(&mut self, a: u32, b: u32) -> u32 {
        if a == b {
            return a;
        }
        let (keep, gone) = (a.min(b), a.max(b));
        self.parent[gone as usize] = keep;
        let part = self.parts[gone as usize];
        self.parts[keep as usize].join(&part);
        keep
    }

    fn collect(&mut self) -> &[Blob] {
        self.found.clear();
        for (label, part) in self.parts.iter().enumerate() {
            if self.parent[label] == label as u32 && part.strong > 0 {
                self.found.push(*part);
            }
        }
        &self.found
    }
}

fn root(parent: &mut [u32], label: u32) -> u32 {
    let mut at = label;
    while parent[at as usize] != at {
        // Halves the path, so that long chains stay short.
        parent[at as usize] = parent[parent[at as usize] as usize];
        at = parent[at as usize];
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same by flooding from cell to cell: area, strong cells and box of each, in the order of first cells.
    fn flooded(flags: &[u8], width: usize) -> Vec<(u32, u32, [u16; 4])> {
        let mut seen = vec![false; flags.len()];
        let mut found = Vec::new();
        for start in 0..flags.len() {
            if seen[start] || flags[start] & WEAK == 0 {
                continue;
            }
            let (mut todo, mut area, mut strong, mut bounds) = (vec![start], 0, 0, [u16::MAX, u16::MAX, 0, 0]);
            seen[start] = true;
            while let Some(cell) = todo.pop() {
                let (x, y) = ((cell % width) as u16, (cell / width) as u16);
                area += 1;
                strong += u32::from(flags[cell] & STRONG != 0);
                bounds = [bounds[0].min(x), bounds[1].min(y), bounds[2].max(x + 1), bounds[3].max(y + 1)];
                for (dx, dy) in [(-1, -1), (0, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (0, 1), (1, 1)] {
                    let (x, y) = (i32::from(x) + dx, i32::from(y) + dy);
                    let next = y * width as i32 + x;
                    let inside = (0..width as i32).contains(&x) && (0..flags.len() as i32).contains(&next);
                    if inside && !seen[next as usize] && flags[next as usize] & WEAK != 0 {
                        seen[next as usize] = true;
                        todo.push(next as usize);
                    }
                }
            }
            if strong > 0 {
                found.push((area, strong, bounds));
            }
        }
        found
    }

    proptest! {
        #[test]
        fn blobs_are_what_flooding_finds(
            width in 1usize..24,
            cells in prop::collection::vec(prop_oneof![Just(0), Just(WEAK), Just(WEAK | STRONG)], 1..400),
        ) {
            let cells = &cells[..cells.len() / width * width];
            let mut blobs = Blobs::default();
            // What was found before leaves nothing behind.
            blobs.find(&[WEAK | STRONG; 6], 3);
            let found: Vec<_> = blobs.find(cells, width).iter().map(|b| (b.area, b.strong, [b.left, b.top, b.right, b.bottom])).collect();
            prop_assert_eq!(found, flooded(cells, width));
        }
    }

    #[test]
    fn the_centre_is_the_mean_of_the_cells() {
        let mut blobs = Blobs::default();
        let both = WEAK | STRONG;
        let found = blobs.find(&[0, both, 0, both, both, both, 0, 0, 0], 3);
        assert_eq!(found[0].centre(), (1.0, 0.75));
    }
}
