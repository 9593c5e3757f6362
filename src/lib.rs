//! Watchtower: a security camera in one daemon.
//!
//! Modules in layer order; each may use those above it, never those below.

pub mod media;
pub mod settings;

pub mod event;
pub mod h264;
pub mod overlay;
pub mod picture;
pub mod ring;
pub mod scale;

pub mod codec;

pub mod camera;
pub mod config;
