//! Watchtower: a security camera in one daemon.
//!
//! Modules in layer order; each may use those above it, never those below. `ancillary/docs/design.md` tells how a
//! picture goes through them.

// Data.
pub mod clock;
pub mod event;
pub mod media;
pub mod role;
pub mod settings;

// Pure: pictures and streams, and what is told of them.
pub mod denoise;
pub mod feed;
pub mod h264;
pub mod mjpeg;
pub mod mp4;
pub mod overlay;
pub mod picture;
pub mod ring;
pub mod scale;

// Where pictures come from, and what the owner declares.
pub mod camera;
pub mod config;

// Pure: what moves. When an event starts and ends is in `recording::policy`.
pub mod motion;

// Edges: each touches one part of the world.
pub mod codec;
pub mod fan;
pub mod machine;
pub mod pki;
pub mod recording;
pub mod serial;
pub mod upload;

// One camera at work.
pub mod pipeline;
pub mod replay;

// What the world sees.
pub mod cli;
pub mod web;
