//! Recordings: when one starts and ends.

pub mod policy;
