//! Footage off site: what is uploaded is sealed for its owner, and opened again.
//!
//! The format is described in `ancillary/docs/upload-format.md`.

pub mod dropbox;
pub mod find;
mod https;
pub mod join;
pub mod manifest;
pub mod remote;
pub mod restore;
pub mod s3;
pub mod seal;
mod suffix;
