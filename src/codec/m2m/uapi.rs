//! The kernel's side of V4L2 as the encoder needs it: structures, numbers of calls, formats, controls. Plain data.
//!
//! Source: `linux/videodev2.h` and `linux/v4l2-controls.h`, which name the fields; a test compares every layout with the C
//! compiler's. Written for 64-bit Linux. Where a 32-bit one lays a structure out otherwise, the numbers of its calls differ
//! too, the kernel refuses them, and software encodes.

use std::ffi::c_long;

/// A format's name of four letters.
pub const fn fourcc(name: [u8; 4]) -> u32 {
    u32::from_le_bytes(name)
}

/// Planar 4:2:0, one plane after the other: what a `Frame` holds.
pub const YU12: u32 = fourcc(*b"YU12");
/// H.264 with start codes.
pub const H264: u32 = fourcc(*b"H264");
/// Fast Walsh-Hadamard transform: the code of the kernel's virtual codec.
pub const FWHT: u32 = fourcc(*b"FWHT");

/// Raw pictures towards the driver (`V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE`).
pub const RAW: u32 = 10;
/// Coded ones back (`V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE`).
pub const CODED: u32 = 9;
/// `V4L2_MEMORY_MMAP`.
pub const MMAP: u32 = 1;
/// `V4L2_FIELD_NONE`.
pub const PROGRESSIVE: u32 = 1;
/// `V4L2_SEL_TGT_CROP`.
pub const CROP: u32 = 0;
/// `V4L2_ENC_CMD_STOP`: code what is queued, then mark the last buffer.
pub const COMMAND_STOP: u32 = 1;

/// `V4L2_CAP_VIDEO_M2M_MPLANE`.
pub const CAN_M2M_MPLANE: u32 = 0x4000;
/// `V4L2_CAP_STREAMING`.
pub const CAN_STREAM: u32 = 0x0400_0000;
/// `V4L2_CAP_DEVICE_CAPS`.
pub const TELLS_DEVICE_CAPS: u32 = 0x8000_0000;

/// `V4L2_FWHT_FL_I_FRAME`, in the header of a picture.
pub const FWHT_I_FRAME: u32 = 1 << 10;
/// `V4L2_BUF_FLAG_ERROR`.
pub const FLAG_ERROR: u32 = 0x40;
/// `V4L2_BUF_FLAG_LAST`.
pub const FLAG_LAST: u32 = 0x0010_0000;

const CODEC: u32 = 0x0099_0900;
/// `V4L2_CID_MPEG_VIDEO_B_FRAMES`.
pub const B_FRAMES: u32 = CODEC + 202;
/// `V4L2_CID_MPEG_VIDEO_GOP_SIZE`.
pub const GOP_SIZE: u32 = CODEC + 203;
/// `V4L2_CID_MPEG_VIDEO_BITRATE_MODE`; 0 is variable.
pub const BITRATE_MODE: u32 = CODEC + 206;
/// `V4L2_CID_MPEG_VIDEO_BITRATE`, bit/s.
pub const BITRATE: u32 = CODEC + 207;
/// `V4L2_CID_MPEG_VIDEO_HEADER_MODE`; 1 joins SPS and PPS with the picture after them.
pub const HEADER_MODE: u32 = CODEC + 216;
/// `V4L2_CID_MPEG_VIDEO_REPEAT_SEQ_HEADER`.
pub const REPEAT_SEQ_HEADER: u32 = CODEC + 226;
/// `V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME`.
pub const FORCE_KEY_FRAME: u32 = CODEC + 229;
/// `V4L2_CID_MPEG_VIDEO_H264_I_PERIOD`.
pub const H264_I_PERIOD: u32 = CODEC + 358;
/// `V4L2_CID_MPEG_VIDEO_H264_LEVEL`; see [`level`].
pub const H264_LEVEL: u32 = CODEC + 359;
/// `V4L2_CID_MPEG_VIDEO_H264_PROFILE`.
pub const H264_PROFILE: u32 = CODEC + 363;
/// `V4L2_MPEG_VIDEO_H264_PROFILE_HIGH`.
pub const PROFILE_HIGH: i32 = 4;

/// The lowest level, from 3.1 on, that allows so many macroblocks a picture and a second (H.264, table A-1), as
/// `enum v4l2_mpeg_video_h264_level` counts them.
pub fn level(macroblocks: u32, fps: u32) -> i32 {
    const LEVELS: [(u32, u32, i32); 6] = [
        (3_600, 108_000, 9),   // 3.1
        (5_120, 216_000, 10),  // 3.2
        (8_192, 245_760, 11),  // 4.0
        (8_704, 522_240, 13),  // 4.2
        (22_080, 589_824, 14), // 5.0
        (36_864, 983_040, 15), // 5.1
    ];
    let fits = |(size, rate, _): &&(u32, u32, i32)| macroblocks <= *size && macroblocks.saturating_mul(fps) <= *rate;
    LEVELS.iter().find(fits).unwrap_or(&LEVELS[5]).2
}

/// A call's number; the direction is the structure's.
pub mod call {
    #![allow(missing_docs)]
    pub const QUERYCAP: u8 = 0;
    pub const ENUM_FMT: u8 = 2;
    pub const S_FMT: u8 = 5;
    pub const REQBUFS: u8 = 8;
    pub const QUERYBUF: u8 = 9;
    pub const QBUF: u8 = 15;
    pub const DQBUF: u8 = 17;
    pub const STREAMON: u8 = 18;
    pub const STREAMOFF: u8 = 19;
    pub const S_PARM: u8 = 22;
    pub const S_CTRL: u8 = 28;
    pub const ENCODER_CMD: u8 = 77;
    pub const S_SELECTION: u8 = 95;
}

/// `struct v4l2_capability`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Capability {
    pub driver: [u8; 16],
    pub card: [u8; 32],
    pub bus_info: [u8; 32],
    pub version: u32,
    pub capabilities: u32,
    pub device_caps: u32,
    pub reserved: [u32; 3],
}

/// `struct v4l2_fmtdesc`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct FormatDescription {
    pub index: u32,
    pub kind: u32,
    pub flags: u32,
    pub description: [u8; 32],
    pub pixelformat: u32,
    pub mbus_code: u32,
    pub reserved: [u32; 3],
}

/// `struct v4l2_plane_pix_format`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct PlaneFormat {
    pub sizeimage: u32,
    pub bytesperline: u32,
    pub reserved: [u16; 6],
}

/// `struct v4l2_pix_format_mplane`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct PictureFormat {
    pub width: u32,
    pub height: u32,
    pub pixelformat: u32,
    pub field: u32,
    pub colorspace: u32,
    pub plane_fmt: [PlaneFormat; 8],
    pub num_planes: u8,
    pub flags: u8,
    pub ycbcr_enc: u8,
    pub quantization: u8,
    pub xfer_func: u8,
    pub reserved: [u8; 7],
}

/// `struct v4l2_format`: its union has 200 bytes and a pointer in one of its members.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Format {
    pub kind: u32,
    pub picture: Union<PictureFormat>,
}

/// A member of 192 bytes in a union of 200 that is aligned as a pointer is.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Union<T> {
    pub member: T,
    pub rest: [usize; 8 / size_of::<usize>()],
}

/// `struct v4l2_requestbuffers`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct RequestBuffers {
    pub count: u32,
    pub kind: u32,
    pub memory: u32,
    pub capabilities: u32,
    pub flags: u8,
    pub reserved: [u8; 3],
}

/// `struct v4l2_plane`, of a buffer in memory of the driver's.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Plane {
    pub bytesused: u32,
    pub length: u32,
    /// In the low half, as `mem_offset`.
    pub offset: usize,
    pub data_offset: u32,
    pub reserved: [u32; 11],
}

/// `struct timeval`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct TimeVal {
    pub s: c_long,
    pub us: c_long,
}

/// `struct v4l2_buffer`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Buffer {
    pub index: u32,
    pub kind: u32,
    pub bytesused: u32,
    pub flags: u32,
    pub field: u32,
    pub timestamp: TimeVal,
    pub timecode: [u32; 4],
    pub sequence: u32,
    pub memory: u32,
    /// To `length` planes.
    pub planes: *mut Plane,
    pub length: u32,
    pub reserved2: u32,
    pub request_fd: i32,
}

/// `struct v4l2_streamparm`, its `v4l2_outputparm`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct StreamParameters {
    pub kind: u32,
    pub capability: u32,
    pub mode: u32,
    /// Seconds from picture to picture: numerator and denominator.
    pub time_per_frame: [u32; 2],
    pub rest: [[u32; 23]; 2],
}

/// `struct v4l2_control`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Control {
    pub id: u32,
    pub value: i32,
}

/// `struct v4l2_encoder_cmd`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct EncoderCommand {
    pub command: u32,
    pub flags: u32,
    pub data: [u32; 8],
}

/// `struct v4l2_selection`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Selection {
    pub kind: u32,
    pub target: u32,
    pub flags: u32,
    pub left: i32,
    pub top: i32,
    pub width: u32,
    pub height: u32,
    pub reserved: [u32; 9],
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::mem::offset_of;
    use std::process::Command;

    use super::*;

    /// Each structure's size and the offsets of some of its fields, ours and as C writes them.
    #[test]
    fn structures_lie_as_the_kernel_has_them() {
        let (mut ours, mut c) = (Vec::new(), String::new());
        macro_rules! same {
            ($ours:ty, $c:literal $(, $field:ident = $c_field:literal)*) => {
                ours.push(size_of::<$ours>());
                c += &format!("printf(\"%zu\\n\", sizeof({}));", $c);
                $(
                    ours.push(offset_of!($ours, $field));
                    c += &format!("printf(\"%zu\\n\", offsetof({}, {}));", $c, $c_field);
                )*
            };
        }
        same!(Capability, "struct v4l2_capability", card = "card", device_caps = "device_caps");
        same!(FormatDescription, "struct v4l2_fmtdesc", kind = "type", pixelformat = "pixelformat");
        same!(PlaneFormat, "struct v4l2_plane_pix_format", bytesperline = "bytesperline");
        same!(
            PictureFormat,
            "struct v4l2_pix_format_mplane",
            colorspace = "colorspace",
            plane_fmt = "plane_fmt",
            num_planes = "num_planes",
            quantization = "quantization"
        );
        same!(Format, "struct v4l2_format", picture = "fmt");
        same!(RequestBuffers, "struct v4l2_requestbuffers", memory = "memory");
        same!(Plane, "struct v4l2_plane", length = "length", offset = "m", data_offset = "data_offset");
        same!(
            Buffer,
            "struct v4l2_buffer",
            flags = "flags",
            timestamp = "timestamp",
            timecode = "timecode",
            memory = "memory",
            planes = "m",
            length = "length",
            request_fd = "request_fd"
        );
        same!(StreamParameters, "struct v4l2_streamparm", time_per_frame = "parm.output.timeperframe");
        same!(Control, "struct v4l2_control", value = "value");
        same!(EncoderCommand, "struct v4l2_encoder_cmd", data = "raw");
        same!(Selection, "struct v4l2_selection", left = "r", reserved = "reserved");
        let numbers = [
            (YU12, "V4L2_PIX_FMT_YUV420"),
            (H264, "V4L2_PIX_FMT_H264"),
            (FWHT, "V4L2_PIX_FMT_FWHT"),
            (RAW, "V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE"),
            (CODED, "V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE"),
            (MMAP, "V4L2_MEMORY_MMAP"),
            (PROGRESSIVE, "V4L2_FIELD_NONE"),
            (CROP, "V4L2_SEL_TGT_CROP"),
            (COMMAND_STOP, "V4L2_ENC_CMD_STOP"),
            (CAN_M2M_MPLANE, "V4L2_CAP_VIDEO_M2M_MPLANE"),
            (CAN_STREAM, "V4L2_CAP_STREAMING"),
            (TELLS_DEVICE_CAPS, "V4L2_CAP_DEVICE_CAPS"),
            (FWHT_I_FRAME, "V4L2_FWHT_FL_I_FRAME"),
            (FLAG_ERROR, "V4L2_BUF_FLAG_ERROR"),
            (FLAG_LAST, "V4L2_BUF_FLAG_LAST"),
            (B_FRAMES, "V4L2_CID_MPEG_VIDEO_B_FRAMES"),
            (GOP_SIZE, "V4L2_CID_MPEG_VIDEO_GOP_SIZE"),
            (BITRATE_MODE, "V4L2_CID_MPEG_VIDEO_BITRATE_MODE"),
            (BITRATE, "V4L2_CID_MPEG_VIDEO_BITRATE"),
            (HEADER_MODE, "V4L2_CID_MPEG_VIDEO_HEADER_MODE"),
            (REPEAT_SEQ_HEADER, "V4L2_CID_MPEG_VIDEO_REPEAT_SEQ_HEADER"),
            (FORCE_KEY_FRAME, "V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME"),
            (H264_I_PERIOD, "V4L2_CID_MPEG_VIDEO_H264_I_PERIOD"),
            (H264_LEVEL, "V4L2_CID_MPEG_VIDEO_H264_LEVEL"),
            (H264_PROFILE, "V4L2_CID_MPEG_VIDEO_H264_PROFILE"),
            (PROFILE_HIGH as u32, "V4L2_MPEG_VIDEO_H264_PROFILE_HIGH"),
            (level(8_192, 30) as u32, "V4L2_MPEG_VIDEO_H264_LEVEL_4_0"),
            (u32::from(call::S_SELECTION), "_IOC_NR(VIDIOC_S_SELECTION)"),
            (u32::from(call::ENCODER_CMD), "_IOC_NR(VIDIOC_ENCODER_CMD)"),
            (u32::from(call::S_PARM), "_IOC_NR(VIDIOC_S_PARM)"),
            (u32::from(call::S_CTRL), "_IOC_NR(VIDIOC_S_CTRL)"),
            (u32::from(call::QUERYBUF), "_IOC_NR(VIDIOC_QUERYBUF)"),
        ];
        for (number, name) in numbers {
            ours.push(number as usize);
            c += &format!("printf(\"%zu\\n\", (size_t)(unsigned)({name}));");
        }
        let folder = tempfile::tempdir().unwrap();
        let (source, program) = (folder.path().join("a.c"), folder.path().join("a"));
        let head = "#include <stddef.h>\n#include <stdio.h>\n#include <linux/videodev2.h>\nint main(void) {";
        std::fs::write(&source, format!("{head}{c}}}")).unwrap();
        assert!(Command::new("cc").arg(&source).arg("-o").arg(&program).status().unwrap().success());
        let theirs = String::from_utf8(Command::new(&program).output().unwrap().stdout).unwrap();
        let theirs: Vec<usize> = theirs.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(ours, theirs);
    }

    #[test]
    fn levels_hold_what_the_standard_says() {
        for (width, height, fps, wanted) in [
            (1280u32, 720u32, 30, 9),
            (1640, 1232, 30, 11),
            (1920, 1080, 30, 11),
            (1920, 1080, 60, 13),
            (3840, 2160, 30, 15),
        ] {
            assert_eq!(level(width.div_ceil(16) * height.div_ceil(16), fps), wanted, "{width}x{height} at {fps}");
        }
    }
}
