//! Recordings: the decision to make one, the files of one, and all of them together.
//!
//! `policy` decides (pure), `index` is the format beside the video (pure); `writer` follows an event into files,
//! `store` lists, opens, protects and deletes them, `playback` shows one as MP4, `repair` mends them after a crash and `retention` makes room.
//! How a picture becomes an access unit is in `codec`; what is sent elsewhere is in `upload`.

pub mod id;
pub mod index;
pub mod playback;
pub mod policy;
pub mod repair;
pub mod retention;
pub mod store;
pub mod writer;

mod catalogue;
mod correction;
mod details;
mod event_ids;
mod files;
mod folder;
mod observers;

#[cfg(test)]
mod testing;
