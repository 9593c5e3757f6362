//! The real binary, started as a user starts it and talked to over HTTP. One test binary, so that it is linked once.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod access;
mod browser;
mod camera_lost;
mod crash;
mod disk_full;
mod dropbox;
mod events;
mod gateway;
mod jpeg_camera;
mod lifecycle;
mod live;
mod many;
mod mjpeg;
mod new_api;
mod openapi;
mod original_api;
mod owner;
mod pki;
mod pre_roll;
mod readers;
mod recorded;
mod recording;
mod s3;
mod seal;
mod support;
mod tls;
mod tuning;
mod two_streams;
mod unseal;
mod uploads;
mod uploads_doc;
mod video;
mod viewers;
