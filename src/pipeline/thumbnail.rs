//! Thumbnails of recordings: made of the picture that triggered when somebody first asks, and then kept beside it.
//!
//! Where they lie is `recording`'s, how they are made `codec::still`'s.

use std::io::Read;

use crate::codec::still;
use crate::recording::id::RecordingId;
use crate::recording::store::{Store, StoreError};

/// Wide enough for a list on a screen of high resolution; some 10 kB.
const WIDTH: u32 = 320;
/// A trigger picture is smaller than this.
const MOST_BYTES: u64 = 32 << 20;

/// The thumbnail that is kept. Blocks on the disk.
///
/// # Errors
/// [`StoreError::NotFound`] when none has been made yet.
pub fn kept(store: &Store, camera: &str, id: RecordingId) -> Result<Vec<u8>, StoreError> {
    let file = store.open_thumbnail(camera, id)?;
    let mut jpeg = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut jpeg).map_err(|_| StoreError::NotFound)?;
    Ok(jpeg)
}

/// The thumbnail that is kept, or a new one, which is then kept where the disk lets it. Blocks, and computes.
///
/// # Errors
/// [`StoreError::NotFound`] when there is no picture to make it of, or none that can be read.
pub fn made(store: &Store, camera: &str, id: RecordingId) -> Result<Vec<u8>, StoreError> {
    if let Ok(jpeg) = kept(store, camera, id) {
        return Ok(jpeg);
    }
    let mut trigger = Vec::new();
    let read = store.open_trigger(camera, id)?.take(MOST_BYTES).read_to_end(&mut trigger);
    let made = read
        .map_err(|error| error.to_string())
        .and_then(|_| still::thumbnail(&trigger, WIDTH).map_err(|error| error.to_string()));
    let jpeg = made.map_err(|error| {
        tracing::warn!(camera, %id, "no thumbnail can be made: {error}");
        StoreError::NotFound
    })?;
    if let Err(error) = store.keep_thumbnail(camera, id, &jpeg) {
        tracing::warn!(camera, %id, "the thumbnail is not kept: {error}");
    }
    Ok(jpeg)
}
