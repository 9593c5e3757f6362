//! The real binary, started as a user starts it and talked to over HTTP. One test binary, so that it is linked once.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod access;
mod camera_lost;
mod crash;
mod disk_full;
mod dropbox;
mod jpeg_camera;
mod lifecycle;
mod many;
mod mjpeg;
mod new_api;
mod original_api;
mod pre_roll;
mod recorded;
mod recording;
mod s3;
mod seal;
mod support;
mod two_streams;
mod unseal;
mod uploads;
mod uploads_doc;
mod video;
mod viewers;
