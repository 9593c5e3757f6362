//! Fragmented MP4: pictures as they come, for players that begin anywhere.

use jiff::Timestamp;
use shiguredo_mp4::boxes::{MfhdBox, MoofBox, MvexBox, TfdtBox, TfhdBox, TrafBox, TrexBox, TrunBox, TrunSample};
use shiguredo_mp4::{BoxHeader, BoxSize, BoxType, SampleFlags};

use super::samples::Table;
use super::{MDAT_HEADER_BYTES, Mp4Error, TRACK, encoded, file_type, movie, movie_bytes, sample_entry, to_lengths};
use crate::h264::{nal, nal_type, nal_units};
use crate::media::{AccessUnit, Pts};

/// Decodable alone.
const KEYFRAME: SampleFlags = SampleFlags::from_fields(0, 2, 0, 0, 0, false, 0);
/// Needs those before it.
const DELTA: SampleFlags = SampleFlags::from_fields(0, 1, 0, 0, 0, true, 0);
/// A bound of a `moof` with one sample.
const MOOF_BYTES: usize = 256;

/// A live stream: [`Fragments::start`]'s bytes once, then a fragment for each access unit. Access units may be left out,
/// as long as the next one is an IDR; time goes on by their PTS.
#[derive(Debug)]
pub struct Fragments {
    codec: String,
    /// SPS and PPS.
    sets: Vec<Vec<u8>>,
    sequence: u32,
    origin: Pts,
    /// When the last picture is shown, in ticks after the origin.
    last: Option<u64>,
}

impl Fragments {
    /// Begins with this access unit, an IDR with its parameter sets: the stream, and the initialization segment that
    /// goes before all fragments. The access unit itself is still to be given to [`Fragments::fragment`].
    ///
    /// # Errors
    /// [`Mp4Error::NoPicture`] and [`Mp4Error::Parameters`].
    pub fn start(idr: &AccessUnit) -> Result<(Self, Vec<u8>), Mp4Error> {
        let entry = sample_entry(&idr.bytes)?;
        let set = &entry.avcc_box;
        let [profile, constraints, level] =
            [set.avc_profile_indication, set.profile_compatibility, set.avc_level_indication];
        // RFC 6381, section 3.3.
        let codec = format!("avc1.{profile:02X}{constraints:02X}{level:02X}");
        let defaults = TrexBox {
            track_id: TRACK,
            default_sample_description_index: 1,
            default_sample_duration: 0,
            default_sample_size: 0,
            default_sample_flags: DELTA,
        };
        let mvex = MvexBox { mehd_box: None, trex_boxes: vec![defaults], unknown_boxes: Vec::new() };
        let most_bytes = movie_bytes(&entry);
        let created = Timestamp::max(idr.moment.wall, Timestamp::UNIX_EPOCH);
        let mut bytes = file_type();
        bytes.extend(encoded(&movie(entry, created, 0, Table::empty(), Some(mvex)), most_bytes)?);
        let sets = parameter_sets(&idr.bytes);
        Ok((Self { codec, sets, sequence: 0, origin: idr.moment.pts, last: None }, bytes))
    }

    /// Whether an access unit can follow: it needs no other parameter sets than those the stream began with, as a picture of
    /// another size does.
    pub fn takes(&self, unit: &AccessUnit) -> bool {
        !unit.idr || parameter_sets(&unit.bytes) == self.sets
    }

    /// The codec as a `codecs` parameter and Media Source Extensions want it: `avc1.42C01E`.
    pub fn codec(&self) -> &str {
        &self.codec
    }

    /// The next access unit as a fragment of its own. How long it is shown is known only with the next one: `ticks` is
    /// the stream's usual duration, and the next fragment's own time puts it right.
    ///
    /// # Errors
    /// [`Mp4Error::StartCode`].
    pub fn fragment(&mut self, unit: &AccessUnit, ticks: u32) -> Result<Vec<u8>, Mp4Error> {
        let time = u64::try_from(unit.moment.pts.0.saturating_sub(self.origin.0)).unwrap_or(0);
        let time = self.last.map_or(time, |last| time.max(last + 1));
        let too_long = |_| Mp4Error::TooLong("a picture above 2 GiB".into());
        let size = u32::try_from(unit.bytes.len()).map_err(too_long)?;
        self.sequence = self.sequence.wrapping_add(1);
        let sample = TrunSample {
            duration: Some(ticks.max(1)),
            size: Some(size),
            flags: Some(if unit.idr { KEYFRAME } else { DELTA }),
            composition_time_offset: None,
        };
        let mut moof = MoofBox {
            mfhd_box: MfhdBox { sequence_number: self.sequence },
            traf_boxes: vec![TrafBox {
                tfhd_box: TfhdBox {
                    track_id: TRACK,
                    base_data_offset: None,
                    sample_description_index: None,
                    default_sample_duration: None,
                    default_sample_size: None,
                    default_sample_flags: None,
                    duration_is_empty: false,
                    default_base_is_moof: true,
                },
                tfdt_box: Some(TfdtBox { version: 1, base_media_decode_time: time }),
                trun_boxes: vec![TrunBox { data_offset: Some(0), first_sample_flags: None, samples: vec![sample] }],
                unknown_boxes: Vec::new(),
            }],
            unknown_boxes: Vec::new(),
        };
        let data = BoxHeader {
            box_type: BoxType::Normal(*b"mdat"),
            box_size: BoxSize::with_payload_size(BoxType::Normal(*b"mdat"), size.into()),
        };
        // The fragment's own length is in it, and does not depend on its value.
        let begin = encoded(&moof, MOOF_BYTES)?.len() + data.external_size();
        moof.traf_boxes[0].trun_boxes[0].data_offset = Some(begin as i32);
        let mut bytes = encoded(&moof, MOOF_BYTES)?;
        bytes.reserve_exact(data.external_size() + unit.bytes.len());
        bytes.extend(encoded(&data, MDAT_HEADER_BYTES as usize)?);
        bytes.extend_from_slice(&unit.bytes);
        to_lengths(&mut bytes[begin..])?;
        self.last = Some(time);
        Ok(bytes)
    }
}

fn parameter_sets(unit: &[u8]) -> Vec<Vec<u8>> {
    let is_set = |unit: &&[u8]| matches!(nal_type(unit[0]), nal::SPS | nal::PPS);
    nal_units(unit).filter(is_set).map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;

    use super::super::testing::{plays, probe, units};
    use super::*;
    use crate::media::{Moment, Resolution};

    fn live(n: usize) -> AccessUnit {
        let pts = Pts(5_000_000 + n as i64 * 9000);
        let moment = Moment { pts, wall: Timestamp::from_second(1_600_000_000).unwrap(), brightness: None };
        let bytes = Bytes::from_static(&units()[n].bytes);
        AccessUnit { bytes, size: Resolution::new(160, 120), moment, idr: units()[n].idr }
    }

    #[test]
    fn ffmpeg_plays_it_with_pictures_left_out_before_an_idr() {
        let (mut fragments, mut file) = Fragments::start(&live(10)).unwrap();
        assert!(fragments.codec().starts_with("avc1.64"), "{}", fragments.codec());
        let shown = (10..25).chain(30..50);
        for n in shown.clone() {
            file.extend(fragments.fragment(&live(n), 9000).unwrap());
        }
        let on_disk = tempfile::Builder::new().suffix(".mp4").tempfile().unwrap();
        std::fs::write(on_disk.path(), &file).unwrap();
        plays(on_disk.path());
        let times: Vec<String> = shown.map(|n| ((n - 10) * 9000).to_string()).collect();
        let probed = probe(on_disk.path(), "frame=pts");
        assert_eq!(probed.lines().map(|line| line.trim_end_matches(',')).collect::<Vec<_>>(), times);
    }

    #[test]
    fn another_parameter_set_does_not_fit() {
        let (fragments, _) = Fragments::start(&live(10)).unwrap();
        assert!(fragments.takes(&live(11)) && fragments.takes(&live(20)));
        let mut other = live(20).bytes.to_vec();
        // The level, in the SPS.
        other[7] ^= 1;
        assert!(!fragments.takes(&AccessUnit { bytes: other.into(), ..live(20) }));
    }

    #[test]
    fn it_begins_with_an_idr_only() {
        assert!(matches!(Fragments::start(&live(1)), Err(Mp4Error::NoPicture)));
    }
}
