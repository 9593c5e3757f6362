//! Footage off site: what is uploaded is sealed for its owner, sent while the event still runs, and opened again.
//!
//! The format is described in `ancillary/docs/upload-format.md`. From the camera's sink (`pipeline::upload`) to the store:
//! `cut` and `seal` make files, `spool` keeps them until they are sent, `worker` sends them to a `remote`.

mod allowance;
pub mod cut;
mod disk;
pub mod dropbox;
pub mod find;
mod https;
pub mod item;
pub mod join;
pub mod manifest;
pub mod remote;
mod report;
pub mod restore;
pub mod s3;
pub mod seal;
pub mod spool;
mod suffix;
pub mod worker;

pub use report::{DestinationReport, Report, State, Status, Store, Uploads};
