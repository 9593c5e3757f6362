//! Angles of the servo and the pulses that ask for them.

/// The greatest angle in degrees.
pub const ANGLE_MAX: u8 = 180;
/// The distance from pulse to pulse in microseconds. It is also the controller's clock: time there is counted in frames.
pub const FRAME_US: u16 = 20_000;
/// Frames a second.
pub const FRAMES_PER_S: u16 = 50;
/// After this many pulses (one second) the pulse is taken off the pin, so that the servo does not hum.
pub const PULSES: u8 = 50;

/// An angle of 0 to 180 degrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Angle(u8);

impl Angle {
    /// `None` above 180 degrees.
    pub const fn new(degrees: u16) -> Option<Angle> {
        if degrees <= ANGLE_MAX as u16 { Some(Angle(degrees as u8)) } else { None }
    }

    /// 0 to 180.
    pub const fn degrees(self) -> u8 {
        self.0
    }

    /// Length of the pulse in microseconds: 500 at 0°, 2300 at 180°.
    pub const fn pulse_us(self) -> u16 {
        500 + self.0 as u16 * 10
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pulses() {
        for (degrees, us) in [(0, 500), (1, 510), (90, 1400), (180, 2300)] {
            assert_eq!(Angle::new(degrees).map(Angle::pulse_us), Some(us));
        }
        assert_eq!(Angle::new(181), None);
        assert_eq!(Angle::new(256), None); // 1.x took it for 0
    }
}
