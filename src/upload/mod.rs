//! Footage off site: what is uploaded is sealed for its owner, and opened again.
//!
//! The format is described in `ancillary/docs/upload-format.md`.

pub mod find;
pub mod join;
pub mod manifest;
pub mod remote;
pub mod restore;
pub mod seal;
