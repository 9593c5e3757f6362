//! The serial port: opening, reading, writing, and nothing about what the bytes mean. The only user of `serialport`.

use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::time::Duration;

use serialport::{DataBits, FlowControl, Parity, SerialPort, StopBits};

/// The line's speed.
const BAUD: u32 = 19_200;
/// How long [`Port::read`] waits, and with it how late a command is sent.
const WAIT: Duration = Duration::from_millis(20);

/// The port is not there, or has gone: open it again later. The text names the device and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PortError(String);

/// An open port, for this process alone.
pub struct Port {
    port: Box<dyn SerialPort>,
    path: String,
}

impl Port {
    /// Opens it at 19200 8N1.
    ///
    /// # Errors
    /// It is not there, in use, or not permitted.
    pub fn open(path: &Path) -> Result<Port, PortError> {
        let path = path.display().to_string();
        let opened = serialport::new(&path, BAUD)
            .data_bits(DataBits::Eight)
            .parity(Parity::None)
            .stop_bits(StopBits::One)
            .flow_control(FlowControl::None)
            .timeout(WAIT)
            .open();
        match opened {
            Ok(port) => Ok(Port { port, path }),
            Err(error) => {
                let remedy = match error.kind() {
                    serialport::ErrorKind::Io(ErrorKind::PermissionDenied) => "; add the user to the device's group",
                    serialport::ErrorKind::NoDevice => "; is it plugged in, free, and no console on it?",
                    _ => "",
                };
                Err(PortError(format!("{path}: {error}{remedy}")))
            }
        }
    }

    /// Waits at most 20 ms for bytes; the count of those that came, 0 included.
    ///
    /// # Errors
    /// The port has gone.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PortError> {
        match self.port.read(buffer) {
            Ok(0) => Err(PortError(format!("{}: hung up", self.path))),
            Ok(count) => Ok(count),
            Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Interrupted) => Ok(0),
            Err(error) => Err(PortError(format!("{}: {error}", self.path))),
        }
    }

    /// Sends `bytes`.
    ///
    /// # Errors
    /// The port has gone, or takes nothing.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), PortError> {
        self.port.write_all(bytes).map_err(|error| PortError(format!("{}: {error}", self.path)))
    }
}
