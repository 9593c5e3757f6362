//! An MP4 file of a stream that is read once: the index comes last, since it is known last.

use std::io::{self, Seek, SeekFrom, Write};

use jiff::Timestamp;
use shiguredo_mp4::Either;
use shiguredo_mp4::boxes::Avc1Box;

use super::samples::Samples;
use super::{MDAT_HEADER_BYTES, Mp4Error, encoded, file_type, mdat_header, movie, movie_bytes, sample_entry};
use crate::h264::{nal, nal_type, nal_units};
use crate::media::Pts;

/// Writes access units (Annex B, start codes of 3 or 4 bytes) with their times as an MP4 file to `out`, from where that
/// stands, and answers how many pictures there are in it. `created` is when the first was taken. What comes before the
/// first IDR with its parameter sets cannot be decoded, and is left out. `out` is written in small pieces.
///
/// # Errors
/// [`Mp4Error::NoPicture`] when nothing is left, [`Mp4Error::Io`] of `units` and `out`; `out` holds no MP4 then.
pub fn write(
    out: &mut (impl Write + Seek),
    created: Timestamp,
    units: impl IntoIterator<Item = io::Result<(Pts, Vec<u8>)>>,
) -> Result<usize, Mp4Error> {
    let begin = out.stream_position()?;
    let file_type = file_type();
    let data_at = file_type.len() as u64 + MDAT_HEADER_BYTES;
    out.write_all(&file_type)?;
    out.write_all(&mdat_header(0))?;
    let mut samples = Samples::default();
    let mut entry: Option<Avc1Box> = None;
    let mut sample = Vec::new();
    for unit in units {
        let (pts, unit) = unit?;
        let idr = nal_units(&unit).any(|unit| nal_type(unit[0]) == nal::IDR);
        if entry.is_none() && idr {
            match sample_entry(&unit) {
                Err(Mp4Error::NoPicture) => {}
                found => entry = Some(found?),
            }
        }
        if entry.is_none() {
            continue;
        }
        sample.clear();
        for unit in nal_units(&unit) {
            let length = u32::try_from(unit.len()).map_err(|_| Mp4Error::TooLong("a picture above 4 GiB".into()))?;
            sample.extend(length.to_be_bytes());
            sample.extend(unit);
        }
        let bytes = u32::try_from(sample.len()).map_err(|_| Mp4Error::TooLong("a picture above 4 GiB".into()))?;
        samples.push(samples.bytes, bytes, pts, idr)?;
        out.write_all(&sample)?;
    }
    let entry = entry.ok_or(Mp4Error::NoPicture)?;
    let pictures = samples.sizes.len();
    let (table, duration) = samples.table();
    let most_bytes = movie_bytes(&entry) + table.most_bytes();
    let mut movie = movie(entry, created, duration, table, None);
    if let Either::B(chunks) = &mut movie.trak_boxes[0].mdia_box.minf_box.stbl_box.stco_or_co64_box {
        chunks.chunk_offsets.iter_mut().for_each(|offset| *offset += data_at);
    }
    out.write_all(&encoded(&movie, most_bytes)?)?;
    out.seek(SeekFrom::Start(begin + file_type.len() as u64))?;
    out.write_all(&mdat_header(samples.bytes))?;
    out.seek(SeekFrom::End(0))?;
    out.flush()?;
    Ok(pictures)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::testing::{plays, probe, units};
    use super::*;

    #[test]
    fn ffmpeg_plays_what_begins_in_the_middle_of_a_gop() {
        let file = tempfile::Builder::new().suffix(".mp4").tempfile().unwrap();
        let timed = units().iter().enumerate().skip(5).map(|(n, unit)| {
            // As other encoders write it: 3 bytes for all start codes but the first.
            let mut bytes = vec![0];
            for unit in nal_units(&unit.bytes) {
                bytes.extend([0, 0, 1]);
                bytes.extend(unit);
            }
            Ok((Pts(n as i64 * 6000), bytes))
        });
        let pictures = write(&mut file.as_file(), Timestamp::from_second(1_600_000_000).unwrap(), timed).unwrap();
        assert_eq!(pictures, 40, "the first five have no IDR before them");
        plays(file.path());
        assert_eq!(probe(file.path(), "stream=width,height,nb_read_frames"), "160,120,40");
        assert_eq!(probe(file.path(), "format=duration"), "2.666667");
    }

    #[test]
    fn nothing_to_decode_is_an_error() {
        let mut out = io::Cursor::new(Vec::new());
        let delta = [Ok((Pts(0), units()[1].bytes.clone()))];
        assert!(matches!(write(&mut out, Timestamp::UNIX_EPOCH, delta), Err(Mp4Error::NoPicture)));
        let broken = [Err(io::ErrorKind::UnexpectedEof.into())];
        assert!(matches!(write(&mut out, Timestamp::UNIX_EPOCH, broken), Err(Mp4Error::Io(_))));
    }
}
