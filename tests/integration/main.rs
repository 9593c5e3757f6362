//! The real binary, started as a user starts it and talked to over HTTP. One test binary, so that it is linked once.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod access;
mod mjpeg;
mod new_api;
mod original_api;
mod support;
mod video;
