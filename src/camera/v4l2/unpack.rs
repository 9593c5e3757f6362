//! Raw pictures as drivers give them (rows with padding, packed or interleaved chroma), turned into I420. Pure; one pass
//! from the mapped buffer into the frame.

use yuv::{BufferStoreMut, YuvPackedImage, YuvPlanarImageMut, yuyv422_to_yuv420};

use super::choice::PixelFormat;
use crate::media::{Frame, Resolution};

/// Bytes of a picture whose rows (of the first plane) take `stride` bytes each; 0 for JPEGs, whose size varies.
pub fn len_of(format: PixelFormat, size: Resolution, stride: usize) -> usize {
    let rows = stride * size.height as usize;
    match format {
        PixelFormat::Mjpg => 0,
        PixelFormat::Yu12 | PixelFormat::Nv12 => rows + rows / 2,
        PixelFormat::Yuyv | PixelFormat::Grey => rows,
    }
}

/// Bytes of a row without padding.
pub fn least_stride(format: PixelFormat, width: u32) -> usize {
    match format {
        PixelFormat::Yuyv => 2 * width as usize,
        PixelFormat::Mjpg | PixelFormat::Yu12 | PixelFormat::Nv12 | PixelFormat::Grey => width as usize,
    }
}

/// Fills the frame, whose size is the picture's.
///
/// # Errors
///
/// A sentence, when there are fewer bytes than the picture has, or it is not a raw one.
pub fn unpack(format: PixelFormat, picture: &[u8], stride: usize, frame: &mut Frame) -> Result<(), String> {
    let size = frame.size();
    let needed = len_of(format, size, stride);
    if picture.len() < needed {
        let name = format.name();
        return Err(format!("a truncated picture: {} of {needed} bytes of {size} {name}", picture.len()));
    }
    let (width, rows) = (size.width as usize, stride * size.height as usize);
    let [y, u, v] = frame.planes_mut();
    match format {
        PixelFormat::Mjpg => return Err("a JPEG where a raw picture should be".to_owned()),
        PixelFormat::Yu12 => {
            copy_rows(y, picture, width, stride);
            copy_rows(u, &picture[rows..], width / 2, stride / 2);
            copy_rows(v, &picture[rows + rows / 4..], width / 2, stride / 2);
        }
        PixelFormat::Nv12 => {
            copy_rows(y, picture, width, stride);
            let halves = u.chunks_exact_mut(width / 2).zip(v.chunks_exact_mut(width / 2));
            for ((u, v), pairs) in halves.zip(picture[rows..].chunks(stride)) {
                for ((u, v), pair) in u.iter_mut().zip(v).zip(pairs.chunks_exact(2)) {
                    (*u, *v) = (pair[0], pair[1]);
                }
            }
        }
        PixelFormat::Grey => {
            copy_rows(y, picture, width, stride);
            u.fill(128);
            v.fill(128);
        }
        PixelFormat::Yuyv => {
            let packed =
                YuvPackedImage { yuy: picture, yuy_stride: stride as u32, width: size.width, height: size.height };
            let mut planar = YuvPlanarImageMut {
                y_plane: BufferStoreMut::Borrowed(y),
                y_stride: size.width,
                u_plane: BufferStoreMut::Borrowed(u),
                u_stride: size.width / 2,
                v_plane: BufferStoreMut::Borrowed(v),
                v_stride: size.width / 2,
                width: size.width,
                height: size.height,
            };
            yuyv422_to_yuv420(&mut planar, &packed).map_err(|error| format!("a YUYV picture: {error}"))?;
        }
    }
    Ok(())
}

fn copy_rows(to: &mut [u8], from: &[u8], width: usize, stride: usize) {
    if width == stride {
        to.copy_from_slice(&from[..to.len()]);
        return;
    }
    for (to, from) in to.chunks_exact_mut(width).zip(from.chunks(stride)) {
        to.copy_from_slice(&from[..width]);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::media::{FramePool, Moment, Pts};

    const SIZE: Resolution = Resolution::new(36, 20);

    fn frame() -> Frame {
        let moment = Moment { pts: Pts(0), wall: Timestamp::UNIX_EPOCH, brightness: None };
        FramePool::default().frame(SIZE, moment)
    }

    /// A picture whose planes are told apart: luma by place, chroma equal in each pair of rows.
    fn luma(x: usize, y: usize) -> u8 {
        (x * 3 + y * 7) as u8
    }
    fn cb(x: usize, y: usize) -> u8 {
        (40 + x * 2 + y) as u8
    }
    fn cr(x: usize, y: usize) -> u8 {
        (200 - x - 2 * y) as u8
    }

    /// The picture as a driver would give it, with `padding` bytes behind each row.
    fn given(format: PixelFormat, padding: usize) -> (Vec<u8>, usize) {
        let (width, height) = (SIZE.width as usize, SIZE.height as usize);
        let mut bytes = Vec::new();
        let row = |bytes: &mut Vec<u8>, samples: Vec<u8>, padding: usize| {
            bytes.extend(samples);
            bytes.extend(vec![0xee; padding]);
        };
        match format {
            PixelFormat::Yuyv => {
                for y in 0..height {
                    let pairs =
                        (0..width / 2).flat_map(|x| [luma(2 * x, y), cb(x, y / 2), luma(2 * x + 1, y), cr(x, y / 2)]);
                    row(&mut bytes, pairs.collect(), padding);
                }
            }
            _ => {
                for y in 0..height {
                    row(&mut bytes, (0..width).map(|x| luma(x, y)).collect(), padding);
                }
            }
        }
        match format {
            PixelFormat::Yu12 => {
                for plane in [cb, cr] {
                    for y in 0..height / 2 {
                        row(&mut bytes, (0..width / 2).map(|x| plane(x, y)).collect(), padding / 2);
                    }
                }
            }
            PixelFormat::Nv12 => {
                for y in 0..height / 2 {
                    row(&mut bytes, (0..width / 2).flat_map(|x| [cb(x, y), cr(x, y)]).collect(), padding);
                }
            }
            _ => {}
        }
        (bytes, least_stride(format, SIZE.width) + padding)
    }

    #[test]
    fn every_format_becomes_i420_with_and_without_padding() {
        for format in [PixelFormat::Yu12, PixelFormat::Nv12, PixelFormat::Yuyv, PixelFormat::Grey] {
            for padding in [0, 12] {
                let (bytes, stride) = given(format, padding);
                assert_eq!(bytes.len(), len_of(format, SIZE, stride), "{format:?}");
                let mut frame = frame();
                unpack(format, &bytes, stride, &mut frame).unwrap();
                let [y, u, v] = frame.planes();
                for (i, &sample) in y.iter().enumerate() {
                    assert_eq!(sample, luma(i % 36, i / 36), "{format:?}, padding {padding}, luma {i}");
                }
                for (i, (&u, &v)) in u.iter().zip(v).enumerate() {
                    let expected = match format {
                        PixelFormat::Grey => (128, 128),
                        _ => (cb(i % 18, i / 18), cr(i % 18, i / 18)),
                    };
                    assert_eq!((u, v), expected, "{format:?}, padding {padding}, chroma {i}");
                }
            }
        }
    }

    #[test]
    fn a_truncated_picture_is_told() {
        for format in [PixelFormat::Yu12, PixelFormat::Nv12, PixelFormat::Yuyv, PixelFormat::Grey] {
            let (bytes, stride) = given(format, 4);
            for len in [0, 1, bytes.len() - 1] {
                let error = unpack(format, &bytes[..len], stride, &mut frame()).unwrap_err();
                assert!(error.contains("truncated") && error.contains(&bytes.len().to_string()), "{error}");
            }
        }
    }
}
