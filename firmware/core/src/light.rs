//! What the light sensor's reading means: the brightness that is reported and the duty of the IR LEDs.
//!
//! 1.x kept the low eight bits of the ten-bit reading, so that a bright room could read as dark. Here the whole reading
//! is clamped: the same result up to 255, and "bright" above it.

/// At and below this reading it is dark: brightness 0, LEDs full on.
pub const DARK: u16 = 40;
/// At and above this reading it is bright: brightness 100, LEDs off.
pub const BRIGHT: u16 = 100;

const SPAN: u16 = BRIGHT - DARK;

/// What follows from one reading of the sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Light(u8);

impl Light {
    /// From the sensor's reading, 0 to 1023.
    pub fn from_reading(reading: u16) -> Light {
        // At most SPAN, which is 60.
        Light((reading.clamp(DARK, BRIGHT) - DARK) as u8)
    }

    /// 0 (dark) to 100 (bright), as the host is told.
    pub fn percent(self) -> u8 {
        (u16::from(self.0) * 100 / SPAN) as u8
    }

    /// Duty of the LEDs, 0 (off) to 255 (full on).
    pub fn led_duty(self) -> u8 {
        255 - (u16::from(self.0) * 255 / SPAN) as u8
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn table() {
        for (reading, percent, duty) in [
            (0, 0, 255),
            (39, 0, 255),
            (40, 0, 255),
            (41, 1, 251),
            (55, 25, 192),
            (70, 50, 128),
            (85, 75, 64),
            (99, 98, 5),
            (100, 100, 0),
            (255, 100, 0),
            (256, 100, 0), // 1.x: dark
            (1023, 100, 0),
        ] {
            let light = Light::from_reading(reading);
            assert_eq!((light.percent(), light.led_duty()), (percent, duty), "reading {reading}");
        }
    }

    proptest! {
        #[test]
        fn more_light_never_means_more_led(low: u16, more: u16) {
            let (dark, bright) = (Light::from_reading(low), Light::from_reading(low.saturating_add(more)));
            prop_assert!(dark.percent() <= bright.percent());
            prop_assert!(dark.led_duty() >= bright.led_duty());
            prop_assert!(bright.percent() <= 100);
        }
    }
}
