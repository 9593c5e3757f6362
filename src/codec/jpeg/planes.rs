//! Pure: planes as a JPEG has them to planes as a frame has them.

use crate::media::Frame;

/// A decoded plane with rows of `stride` samples.
#[derive(Clone, Copy)]
pub struct Plane<'a> {
    pub data: &'a [u8],
    pub stride: usize,
}

impl<'a> Plane<'a> {
    fn row(&self, y: usize, width: usize) -> &'a [u8] {
        &self.data[y * self.stride..][..width]
    }
}

/// How many luma columns and rows share one chroma sample: 1, 2 or 4 each.
#[derive(Clone, Copy)]
pub struct Sharing {
    pub columns: usize,
    pub rows: usize,
}

/// Fills a frame from planes at least as large: crops them to its size, averages finer chroma, repeats coarser.
pub fn fill(frame: &mut Frame, luma: Plane, chroma: [Plane; 2], sharing: Sharing) {
    let width = frame.size().width as usize;
    let [y, u, v] = frame.planes_mut();
    for (row, to) in y.chunks_exact_mut(width).enumerate() {
        to.copy_from_slice(luma.row(row, width));
    }
    for (to, from) in [u, v].into_iter().zip(chroma) {
        for (row, to) in to.chunks_exact_mut(width / 2).enumerate() {
            // The luma rows of this chroma row are 2*row and 2*row + 1.
            let above = from.row(2 * row / sharing.rows, from.stride);
            let below = from.row((2 * row + 1) / sharing.rows, from.stride);
            chroma_row(to, above, below, sharing.columns);
        }
    }
}

/// As [`fill`], for a picture without colour.
pub fn fill_grey(frame: &mut Frame, luma: Plane) {
    let width = frame.size().width as usize;
    let [y, u, v] = frame.planes_mut();
    for (row, to) in y.chunks_exact_mut(width).enumerate() {
        to.copy_from_slice(luma.row(row, width));
    }
    u.fill(128);
    v.fill(128);
}

fn chroma_row(to: &mut [u8], above: &[u8], below: &[u8], columns: usize) {
    match columns {
        1 => {
            for ((to, a), b) in to.iter_mut().zip(above.chunks_exact(2)).zip(below.chunks_exact(2)) {
                *to = ((a[0] as u16 + a[1] as u16 + b[0] as u16 + b[1] as u16 + 2) / 4) as u8;
            }
        }
        2 => {
            for ((to, a), b) in to.iter_mut().zip(above).zip(below) {
                *to = (*a as u16 + *b as u16).div_ceil(2) as u8;
            }
        }
        _ => {
            for ((to, a), b) in to.chunks_mut(2).zip(above).zip(below) {
                to.fill((*a as u16 + *b as u16).div_ceil(2) as u8);
            }
        }
    }
}

/// Turns a 4:2:2 picture that lies in `data` (Y, U, V without padding, `width` and `height` even) into I420 in place.
pub fn halve_chroma_rows(data: &mut [u8], width: usize, height: usize) {
    let luma = width * height;
    let (row, rows) = (width / 2, height / 2);
    for plane in 0..2 {
        let (to, from) = (luma + plane * luma / 4, luma + plane * luma / 2);
        for i in 0..rows {
            average_rows(data, to + i * row, from + 2 * i * row, row);
        }
    }
}

/// `data[to..]` becomes the average of the rows at `from` and `from + len`; `to` is `from` or at least `len` before it.
fn average_rows(data: &mut [u8], to: usize, from: usize, len: usize) {
    if to == from {
        let (a, b) = data[from..].split_at_mut(len);
        for (a, b) in a.iter_mut().zip(b) {
            *a = (*a as u16 + *b as u16).div_ceil(2) as u8;
        }
        return;
    }
    let (head, tail) = data.split_at_mut(from);
    let (a, b) = tail.split_at(len);
    for ((to, a), b) in head[to..][..len].iter_mut().zip(a).zip(b) {
        *to = (*a as u16 + *b as u16).div_ceil(2) as u8;
    }
}
