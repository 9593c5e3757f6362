//! Codecs: JPEG and H.264, in and out. The only users of the codec libraries.
//!
//! Everything here takes plain data ([`crate::media`]) and gives plain data back; each coder keeps its scratch
//! memory, so that a thread that owns one allocates nothing per picture but the result. Who calls them when is the
//! pipeline's business; scaling and drawing is in `scale`, `overlay` and `picture`.

pub mod encoder;
pub mod jpeg;
pub mod m2m;
pub mod openh264;
pub mod still;
