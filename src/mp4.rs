//! Access units as MP4 (ISO/IEC 14496-12 and -15): the only place that knows boxes. Pure; the boxes themselves are
//! written by `shiguredo_mp4`.
//!
//! Three forms, one per file: [`Plan`] describes the MP4 of a recording without holding its video, [`write()`] makes an MP4
//! out of a stream that is read once, [`Fragments`] wraps pictures as they come. MP4 is read by `camera::clip`; what is
//! recorded is the elementary stream (`recording`).
//!
//! The sample entry is `avc1`, although the samples keep the parameter sets that precede every IDR: these repeat what
//! the entry says, byte for byte (a recording has one size and one encoder session), so that nobody is misled by them, and
//! `avc1` is what every reader knows, older QuickTime players among them, where `avc3` is not. Leaving them in is what makes
//! a sample as long as its access unit. All times are in ticks of 90 kHz, and so true to the [`Pts`].

use std::io;
use std::num::NonZeroU32;
use std::time::Duration;

use jiff::Timestamp;
use shiguredo_mp4::bitstream::h264::{H264SampleEntryConfig, LengthSize, build_avc1_box};
use shiguredo_mp4::boxes::{
    Avc1Box, Brand, DinfBox, FtypBox, HdlrBox, MdhdBox, MdiaBox, MediaHeader, MinfBox, MoovBox, MvexBox, MvhdBox,
    SampleEntry, StblBox, StsdBox, TkhdBox, TrakBox, VmhdBox,
};
use shiguredo_mp4::{BoxHeader, BoxSize, BoxType, Encode, FixedPointNumber, LanguageCode, Mp4FileTime};

use crate::h264::{nal, nal_type, nal_units};
use crate::media::Pts;

mod file;
mod fragment;
mod plan;
mod samples;

pub use file::write;
pub use fragment::Fragments;
pub use plan::{Plan, Planner};

use samples::Table;

/// The only track.
const TRACK: u32 = 1;
/// Ticks a second.
const TIMESCALE: NonZeroU32 = NonZeroU32::new(Pts::HZ as u32).expect("90,000 is not 0");
/// Bytes of the header of an `mdat` box that may grow beyond 4 GiB: size 1, type, true size.
const MDAT_HEADER_BYTES: u64 = 16;

/// Why there is no MP4 of a stream.
#[derive(Debug, thiserror::Error)]
pub enum Mp4Error {
    /// Nothing can be decoded: no IDR, or none with its parameter sets.
    #[error("no picture that decoding could start with")]
    NoPicture,
    /// The parameter sets are of a kind that no player takes.
    #[error("the video's parameter sets cannot be used: {0}")]
    Parameters(String),
    /// A start code of 3 bytes leaves no room for a length of 4: the stream was not made here. [`write()`] takes it.
    #[error("start codes of 3 bytes")]
    StartCode,
    /// More pictures than an MP4 can list.
    #[error("the video is too long for an MP4: {0}")]
    TooLong(String),
    /// What was to be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What a player has to know before the first picture, from an access unit that begins with SPS and PPS.
fn sample_entry(idr: &[u8]) -> Result<Avc1Box, Mp4Error> {
    let of_type = |wanted| -> Vec<Vec<u8>> {
        nal_units(idr).filter(|unit| nal_type(unit[0]) == wanted).map(<[u8]>::to_vec).collect()
    };
    let (sps, pps) = (of_type(nal::SPS), of_type(nal::PPS));
    if sps.is_empty() || pps.is_empty() {
        return Err(Mp4Error::NoPicture);
    }
    let config = H264SampleEntryConfig { length_size: LengthSize::FourBytes };
    build_avc1_box(&sps, &pps, &config).map_err(|error| Mp4Error::Parameters(error.to_string()))
}

/// Puts lengths in the place of start codes (ISO/IEC 14496-15, 5.3.4.2). Both have 4 bytes, so nothing moves.
fn to_lengths(unit: &mut [u8]) -> Result<(), Mp4Error> {
    const CODE: &[u8] = &[0, 0, 0, 1];
    if !unit.starts_with(CODE) {
        return Err(Mp4Error::StartCode);
    }
    let mut begin = CODE.len();
    loop {
        let found = memchr::memmem::find(&unit[begin..], &CODE[1..]);
        let end = match found {
            None => unit.len(),
            // Emulation prevention (7.4.1 of H.264) leaves no other place for these three bytes.
            Some(at) if at > 0 && unit[begin + at - 1] == 0 => begin + at - 1,
            Some(_) => return Err(Mp4Error::StartCode),
        };
        let length = u32::try_from(end - begin).map_err(|_| Mp4Error::StartCode)?;
        unit[begin - CODE.len()..begin].copy_from_slice(&length.to_be_bytes());
        if found.is_none() {
            return Ok(());
        }
        begin = end + CODE.len();
    }
}

fn file_type() -> Vec<u8> {
    let brands = vec![Brand::ISOM, Brand::ISO5, Brand::ISO6, Brand::AVC1, Brand::MP41];
    encoded(&FtypBox { major_brand: Brand::ISOM, minor_version: 512, compatible_brands: brands }, 64)
        .expect("a list of five brands has a box")
}

fn mdat_header(payload_bytes: u64) -> Vec<u8> {
    let size = BoxSize::U64(MDAT_HEADER_BYTES + payload_bytes);
    let header = BoxHeader { box_type: BoxType::Normal(*b"mdat"), box_size: size };
    encoded(&header, MDAT_HEADER_BYTES as usize).expect("16 bytes are its length")
}

/// A box as bytes; `most_bytes` is a bound of their number.
fn encoded(what: &impl Encode, most_bytes: usize) -> Result<Vec<u8>, Mp4Error> {
    let mut bytes = vec![0; most_bytes];
    let length = what.encode(&mut bytes).map_err(|error| Mp4Error::TooLong(error.to_string()))?;
    bytes.truncate(length);
    Ok(bytes)
}

/// A bound for the bytes of a movie without its tables.
fn movie_bytes(entry: &Avc1Box) -> usize {
    let sets = entry.avcc_box.sps_list.iter().chain(&entry.avcc_box.pps_list);
    1024 + sets.map(|set| set.len() + 2).sum::<usize>()
}

/// A movie of one track. `duration` in ticks.
fn movie(entry: Avc1Box, created: Timestamp, duration: u64, table: Table, fragments: Option<MvexBox>) -> MoovBox {
    let since_1970 = Duration::from_secs(u64::try_from(created.as_second()).unwrap_or(0));
    let time = Mp4FileTime::from_unix_time(since_1970);
    let (width, height) = (entry.visual.width, entry.visual.height);
    let side = |pixels: u16| FixedPointNumber::new(i16::try_from(pixels).unwrap_or(i16::MAX), 0);
    let track = TkhdBox {
        flag_track_enabled: true,
        flag_track_in_movie: true,
        flag_track_in_preview: false,
        flag_track_size_is_aspect_ratio: false,
        creation_time: time,
        modification_time: time,
        track_id: TRACK,
        duration,
        layer: TkhdBox::DEFAULT_LAYER,
        alternate_group: TkhdBox::DEFAULT_ALTERNATE_GROUP,
        volume: TkhdBox::DEFAULT_VIDEO_VOLUME,
        matrix: TkhdBox::DEFAULT_MATRIX,
        width: side(width),
        height: side(height),
    };
    let media = MdhdBox {
        creation_time: time,
        modification_time: time,
        timescale: TIMESCALE,
        duration,
        language: LanguageCode::UNDEFINED,
    };
    let stbl_box = StblBox {
        stsd_box: StsdBox { entries: vec![SampleEntry::Avc1(entry)] },
        stts_box: table.durations,
        ctts_box: None,
        cslg_box: None,
        stsc_box: table.chunk_lengths,
        stsz_box: table.sizes,
        stco_or_co64_box: shiguredo_mp4::Either::B(table.chunks),
        stss_box: table.keyframes,
        sdtp_box: None,
        unknown_boxes: Vec::new(),
    };
    let vmhd = VmhdBox { graphicsmode: VmhdBox::DEFAULT_GRAPHICSMODE, opcolor: VmhdBox::DEFAULT_OPCOLOR };
    let minf_box = MinfBox {
        media_header: Some(MediaHeader::Vmhd(vmhd)),
        dinf_box: DinfBox::LOCAL_FILE,
        stbl_box,
        unknown_boxes: Vec::new(),
    };
    let hdlr_box = HdlrBox { handler_type: HdlrBox::HANDLER_TYPE_VIDE, name: b"video\0".to_vec() };
    let mdia_box = MdiaBox { mdhd_box: media, hdlr_box, minf_box, unknown_boxes: Vec::new() };
    MoovBox {
        mvhd_box: MvhdBox {
            creation_time: time,
            modification_time: time,
            timescale: TIMESCALE,
            duration,
            rate: MvhdBox::DEFAULT_RATE,
            volume: MvhdBox::DEFAULT_VOLUME,
            matrix: MvhdBox::DEFAULT_MATRIX,
            next_track_id: TRACK + 1,
        },
        trak_boxes: vec![TrakBox { tkhd_box: track, edts_box: None, mdia_box, unknown_boxes: Vec::new() }],
        mvex_box: fragments,
        unknown_boxes: Vec::new(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod testing {
    //! Real H.264 from ffmpeg with start codes of 4 bytes, and what ffmpeg says of an MP4.

    use std::path::Path;
    use std::process::Command;
    use std::sync::OnceLock;

    use crate::h264::{AccessUnits, Unit, append, nal_units};

    /// 50 pictures of 160x120 in GOPs of 10, High profile, two slices each.
    pub fn units() -> &'static [Unit] {
        static UNITS: OnceLock<Vec<Unit>> = OnceLock::new();
        UNITS.get_or_init(|| {
            let made = Command::new("ffmpeg")
                .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=160x120:rate=10:duration=5"])
                .args(["-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "medium", "-threads", "1", "-bf", "0"])
                .args(["-g", "10", "-x264-params", "scenecut=0:repeat-headers=1:slices=2", "-f", "h264", "-"])
                .output()
                .expect("ffmpeg is installed");
            assert!(made.status.success(), "{made:?}");
            let mut offset = 0;
            let units: Vec<Unit> = AccessUnits::new(&made.stdout[..])
                .map(|unit| {
                    let unit = unit.unwrap();
                    let mut bytes = Vec::new();
                    nal_units(&unit.bytes).for_each(|nal| append(&mut bytes, nal));
                    let unit = Unit { offset, bytes, ..unit };
                    offset += unit.bytes.len() as u64;
                    unit
                })
                .collect();
            assert_eq!(units.len(), 50);
            units
        })
    }

    /// The only line ffprobe prints for these entries.
    pub fn probe(file: &Path, entries: &str) -> String {
        let probed = Command::new("ffprobe")
            .args(["-v", "error", "-count_frames", "-show_entries", entries, "-of", "csv=p=0"])
            .arg(file)
            .output()
            .expect("ffprobe is installed");
        assert!(probed.status.success() && probed.stderr.is_empty(), "{probed:?}");
        String::from_utf8(probed.stdout).unwrap().trim().to_owned()
    }

    /// Decodes everything; there must be nothing to complain about.
    pub fn plays(file: &Path) {
        let played = Command::new("ffmpeg")
            .args(["-v", "warning", "-xerror", "-err_detect", "explode", "-i"])
            .arg(file)
            .args(["-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "null", "-"])
            .output()
            .expect("ffmpeg is installed");
        assert!(played.status.success() && played.stderr.is_empty(), "{}", String::from_utf8_lossy(&played.stderr));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::h264::append_sample;

    #[test]
    fn start_codes_become_lengths_in_place() {
        let mut unit = [0, 0, 0, 1, 0x67, 7, 0, 0, 0, 1, 0x65, 1, 2];
        to_lengths(&mut unit).unwrap();
        assert_eq!(unit, [0, 0, 0, 2, 0x67, 7, 0, 0, 0, 3, 0x65, 1, 2]);
        for foreign in [&[0, 0, 1, 0x65, 1][..], &[0, 0, 0, 1, 0x67, 7, 0, 0, 1, 0x65], &[], &[0, 0, 0, 1, 0, 0, 1]] {
            assert!(matches!(to_lengths(&mut foreign.to_vec()), Err(Mp4Error::StartCode)), "{foreign:?}");
        }
    }

    #[test]
    fn a_picture_without_parameter_sets_is_no_beginning() {
        assert!(matches!(sample_entry(&[0, 0, 0, 1, 0x65, 0x88]), Err(Mp4Error::NoPicture)));
        let torn = [0, 0, 0, 1, 0x67, 0x64, 0, 0, 0, 1, 0x68, 1, 0, 0, 0, 1, 0x65, 0x88];
        assert!(matches!(sample_entry(&torn), Err(Mp4Error::Parameters(_))));
    }

    proptest! {
        #[test]
        fn lengths_lead_back_to_the_same_bytes(
            unit in prop::collection::vec(prop_oneof![3 => Just(0u8), 2 => Just(1u8), 1 => any::<u8>()], 0..200),
        ) {
            let unit = [&[0, 0, 0, 1, 0x65][..], &unit].concat();
            let mut sample = unit.clone();
            if to_lengths(&mut sample).is_ok() {
                let mut back = Vec::new();
                append_sample(&mut back, &sample, 4).unwrap();
                // A NAL unit without a byte is left out on the way back.
                prop_assert_eq!(nal_units(&back).collect::<Vec<_>>(), nal_units(&unit).collect::<Vec<_>>());
            }
        }
    }
}
