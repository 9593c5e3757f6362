//! Watchtower: a security camera in one daemon.
//!
//! Modules in layer order; each may use those above it, never those below.

pub mod clock;
pub mod media;
pub mod settings;

pub mod event;
pub mod h264;
pub mod ring;

pub mod camera;
pub mod config;
pub mod recording;
