//! Stills: the picture that triggered a recording with the change outlined, and thumbnails. Everything here goes through
//! RGB and takes its time: it is for single pictures, never for a stream.

use image::codecs::jpeg::JpegEncoder;
use image::{ImageReader, Rgb, RgbImage};
use yuv::{YuvPlanarImage, YuvRange, YuvStandardMatrix};

use crate::media::{Frame, Region};

/// Why a still could not be made.
#[derive(Debug, thiserror::Error)]
pub enum StillError {
    /// The stored picture is damaged.
    #[error("the picture cannot be read: {0}")]
    Unreadable(String),
    /// It could not be converted or compressed.
    #[error("the picture cannot be made: {0}")]
    Failed(String),
}

const QUALITY: u8 = 85;
const OUTLINE: Rgb<u8> = Rgb([255, 0, 0]);

/// The frame as a JPEG, each region outlined in red. Lines are 1/300 of the picture's longer side wide, at least 2 pixels.
pub fn trigger_picture(frame: &Frame, regions: &[Region]) -> Result<Vec<u8>, StillError> {
    let mut picture = rgb(frame)?;
    for region in regions {
        outline(&mut picture, region);
    }
    jpeg(&picture)
}

/// A smaller JPEG of a stored one, `width` pixels wide and of the same shape; never larger than the original.
pub fn thumbnail(jpeg_bytes: &[u8], width: u32) -> Result<Vec<u8>, StillError> {
    let unreadable = |error: image::ImageError| StillError::Unreadable(error.to_string());
    let mut reader = ImageReader::with_format(std::io::Cursor::new(jpeg_bytes), image::ImageFormat::Jpeg);
    let mut limits = image::Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(8192), Some(8192));
    reader.limits(limits);
    shrink(&reader.decode().map_err(unreadable)?.into_rgb8(), width)
}

/// As [`thumbnail`], of a frame.
pub fn thumbnail_of(frame: &Frame, width: u32) -> Result<Vec<u8>, StillError> {
    shrink(&rgb(frame)?, width)
}

fn shrink(picture: &RgbImage, width: u32) -> Result<Vec<u8>, StillError> {
    let width = width.clamp(1, picture.width());
    let height = (u64::from(picture.height()) * u64::from(width) / u64::from(picture.width())).max(1) as u32;
    jpeg(&image::imageops::thumbnail(picture, width, height))
}

/// I420 to RGB by JFIF's matrix: BT.601, full range.
fn rgb(frame: &Frame) -> Result<RgbImage, StillError> {
    let (width, height) = (frame.size().width, frame.size().height);
    let [y_plane, u_plane, v_plane] = frame.planes();
    let planes = YuvPlanarImage {
        y_plane,
        y_stride: width,
        u_plane,
        u_stride: width / 2,
        v_plane,
        v_stride: width / 2,
        width,
        height,
    };
    let mut picture = RgbImage::new(width, height);
    yuv::yuv420_to_rgb(&planes, &mut picture, 3 * width, YuvRange::Full, YuvStandardMatrix::Bt601)
        .map_err(|error| StillError::Failed(error.to_string()))?;
    Ok(picture)
}

fn jpeg(picture: &RgbImage) -> Result<Vec<u8>, StillError> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .encode_image(picture)
        .map_err(|error| StillError::Failed(error.to_string()))?;
    Ok(bytes)
}

/// Draws a frame along the inside of the region, which is clipped to the picture.
fn outline(picture: &mut RgbImage, region: &Region) {
    let (width, height) = picture.dimensions();
    let line = (width.max(height) / 300).max(2);
    let pixel = |part: f32, of: u32| (part.clamp(0.0, 1.0) * of as f32).round() as u32;
    let (left, right) = (pixel(region.x, width), pixel(region.x + region.width, width));
    let (top, bottom) = (pixel(region.y, height), pixel(region.y + region.height, height));
    for y in top..bottom {
        let edge_row = y < top + line || y + line >= bottom;
        for x in left..right {
            if edge_row || x < left + line || x + line >= right {
                picture.put_pixel(x, y, OUTLINE);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::media::{FramePool, Moment, Pts, Resolution};

    fn green(size: Resolution) -> Frame {
        let moment = Moment { pts: Pts(0), wall: jiff::Timestamp::UNIX_EPOCH, brightness: None };
        let mut frame = FramePool::default().frame(size, moment);
        // JFIF of RGB 40, 200, 60.
        let [y, u, v] = frame.planes_mut();
        y.fill(136);
        u.fill(85);
        v.fill(60);
        frame
    }

    fn decoded(jpeg: &[u8]) -> RgbImage {
        image::load_from_memory_with_format(jpeg, image::ImageFormat::Jpeg).unwrap().into_rgb8()
    }

    fn near(got: &Rgb<u8>, wanted: [u8; 3]) -> bool {
        got.0.iter().zip(wanted).all(|(got, wanted)| got.abs_diff(wanted) < 12)
    }

    #[test]
    fn colours_are_kept_and_the_change_is_outlined() {
        let region = Region { x: 0.25, y: 0.5, width: 0.5, height: 0.25 };
        let beyond = Region { x: 0.9, y: -0.5, width: 7.0, height: f32::NAN };
        let picture = decoded(&trigger_picture(&green(Resolution::new(640, 480)), &[region, beyond]).unwrap());
        assert_eq!(picture.dimensions(), (640, 480));
        assert!(near(picture.get_pixel(20, 20), [40, 200, 60]), "{:?}", picture.get_pixel(20, 20));
        assert!(near(picture.get_pixel(320, 300), [40, 200, 60]), "inside the outline");
        for (x, y) in [(320, 240), (320, 359), (160, 300), (479, 300)] {
            let [r, g, _] = picture.get_pixel(x, y).0;
            assert!(r > 150 && g < 120, "{x},{y}: {:?}", picture.get_pixel(x, y));
        }
    }

    #[test]
    fn thumbnails_keep_the_shape_and_never_grow() {
        let whole = trigger_picture(&green(Resolution::new(640, 480)), &[]).unwrap();
        let small = decoded(&thumbnail(&whole, 160).unwrap());
        assert_eq!(small.dimensions(), (160, 120));
        assert!(near(small.get_pixel(80, 60), [40, 200, 60]));
        assert_eq!(decoded(&thumbnail(&whole, 5000).unwrap()).dimensions(), (640, 480));
        assert_eq!(decoded(&thumbnail_of(&green(Resolution::new(64, 32)), 32).unwrap()).dimensions(), (32, 16));
        assert!(matches!(thumbnail(&whole[..100], 160), Err(StillError::Unreadable(_))));
    }
}
