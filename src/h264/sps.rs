//! The sequence parameter set: what a player must know before the first picture.

use super::{nal, nal_type};
use crate::media::Resolution;

/// What an SPS says (7.3.2.1.1), as far as it is needed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sps {
    /// `profile_idc`: 66 Baseline, 77 Main, 100 High, …
    pub profile_idc: u8,
    /// The byte with the `constraint_set` flags.
    pub constraints: u8,
    /// `level_idc`: ten times the level.
    pub level_idc: u8,
    /// Size of the pictures after cropping.
    pub size: Resolution,
}

impl Sps {
    /// Reads a NAL unit of type SPS, without start code. `None` when it is another or is damaged.
    pub fn parse(nal: &[u8]) -> Option<Self> {
        if nal_type(*nal.first()?) != nal::SPS {
            return None;
        }
        let mut bits = Bits::new(&nal[1..]);
        let profile_idc = bits.read(8)? as u8;
        let constraints = bits.read(8)? as u8;
        let level_idc = bits.read(8)? as u8;
        bits.ue()?; // seq_parameter_set_id
        let mut chroma_format_idc = 1;
        // The profiles with the fields of High (7.3.2.1.1).
        if matches!(profile_idc, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
            chroma_format_idc = bits.ue()?;
            if chroma_format_idc == 3 {
                bits.read(1)?; // separate_colour_plane_flag
            }
            bits.ue()?; // bit_depth_luma_minus8
            bits.ue()?; // bit_depth_chroma_minus8
            bits.read(1)?; // qpprime_y_zero_transform_bypass_flag
            if bits.flag()? {
                for list in 0..if chroma_format_idc == 3 { 12 } else { 8 } {
                    if bits.flag()? {
                        bits.skip_scaling_list(if list < 6 { 16 } else { 64 })?;
                    }
                }
            }
        }
        bits.ue()?; // log2_max_frame_num_minus4
        match bits.ue()? {
            0 => {
                bits.ue()?; // log2_max_pic_order_cnt_lsb_minus4
            }
            1 => {
                bits.read(1)?; // delta_pic_order_always_zero_flag
                bits.ue()?; // offset_for_non_ref_pic, signed: of the same length
                bits.ue()?; // offset_for_top_to_bottom_field
                for _ in 0..bits.ue().filter(|cycle| *cycle <= 255)? {
                    bits.ue()?; // offset_for_ref_frame
                }
            }
            _ => {}
        }
        bits.ue()?; // max_num_ref_frames
        bits.read(1)?; // gaps_in_frame_num_value_allowed_flag
        let width_mbs = bits.ue()?.checked_add(1)?;
        let height_map_units = bits.ue()?.checked_add(1)?;
        let frame_mbs_only = bits.flag()?;
        if !frame_mbs_only {
            bits.read(1)?; // mb_adaptive_frame_field_flag
        }
        bits.read(1)?; // direct_8x8_inference_flag
        let fields = if frame_mbs_only { 1 } else { 2 };
        let mut width = width_mbs.checked_mul(16)?;
        let mut height = height_map_units.checked_mul(16 * fields)?;
        if bits.flag()? {
            // Equations 7-19 to 7-22.
            let (unit_x, unit_y) = match chroma_format_idc {
                1 => (2, 2 * fields),
                2 => (2, fields),
                _ => (1, fields),
            };
            let [left, right, top, bottom] = [bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?];
            width = width.checked_sub(left.checked_add(right)?.checked_mul(unit_x)?)?;
            height = height.checked_sub(top.checked_add(bottom)?.checked_mul(unit_y)?)?;
        }
        (width > 0 && height > 0).then_some(Self {
            profile_idc,
            constraints,
            level_idc,
            size: Resolution::new(width, height),
        })
    }
}

/// The bits of a NAL unit's payload, emulation prevention bytes (7.4.1) left out.
struct Bits<'a> {
    bytes: &'a [u8],
    zeros: u32,
    byte: u8,
    left: u32,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, zeros: 0, byte: 0, left: 0 }
    }

    fn bit(&mut self) -> Option<u32> {
        if self.left == 0 {
            let mut byte = self.next_byte()?;
            if self.zeros >= 2 && byte == 3 {
                self.zeros = 0;
                byte = self.next_byte()?;
            }
            self.zeros = if byte == 0 { self.zeros + 1 } else { 0 };
            self.byte = byte;
            self.left = 8;
        }
        self.left -= 1;
        Some((self.byte >> self.left & 1).into())
    }

    fn next_byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*byte)
    }

    fn read(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |value, _| Some(value << 1 | self.bit()?))
    }

    fn flag(&mut self) -> Option<bool> {
        Some(self.bit()? == 1)
    }

    /// ue(v), 9.1.
    fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1u32 << zeros) - 1 + self.read(zeros)?)
    }

    /// se(v), 9.1.1.
    fn se(&mut self) -> Option<i64> {
        let code = i64::from(self.ue()?);
        Some(if code % 2 == 1 { code / 2 + 1 } else { -(code / 2) })
    }

    /// 7.3.2.1.1.1.
    fn skip_scaling_list(&mut self, size: usize) -> Option<()> {
        let (mut last, mut next) = (8i64, 8i64);
        for _ in 0..size {
            if next != 0 {
                next = (last + self.se()?).rem_euclid(256);
            }
            last = if next == 0 { last } else { next };
        }
        Some(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parameter_sets_of_several_encoders() {
        // x264, High, 1920x1080 (cropped from 1088).
        let x264 = [
            0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04,
            0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc6, 0x58,
        ];
        let sps = Sps::parse(&x264).unwrap();
        assert_eq!((sps.profile_idc, sps.level_idc), (100, 40));
        assert_eq!(sps.size, Resolution::new(1920, 1080));
        assert_eq!(Sps::parse(&x264[..9]), None, "torn");
        assert_eq!(Sps::parse(&[0x68, 0xce]), None, "a PPS");
    }

    proptest! {
        #[test]
        fn no_input_panics(payload in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Sps::parse(&[&[0x67], payload.as_slice()].concat());
        }
    }
}
