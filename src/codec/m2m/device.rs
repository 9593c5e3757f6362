//! A V4L2 memory-to-memory device as the kernel offers it: its calls, and its buffers in memory shared with the driver.
//!
//! `unsafe` is allowed here for the calls, the mapping of buffers, and the view of a mapped buffer while the driver does not own it.
//! What is said to the device, and when, is `m2m`'s.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr::NonNull;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::ioctl::{self, Ioctl, IoctlOutput, Opcode, opcode};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::uapi::{self, call};

/// An open device.
pub struct Device(File);

/// One call: its number and what the kernel reads and writes.
struct Call<'a, T> {
    opcode: Opcode,
    value: &'a mut T,
}

// SAFETY: the opcode carries the size of T, which the kernel copies in and out and nothing more; the layouts of all T are
// the kernel's (uapi's test). What a `Buffer` points to is said where it is made.
unsafe impl<T> Ioctl for Call<'_, T> {
    type Output = ();
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut *self.value).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

impl Device {
    /// Opens it; no call on it ever waits, but for [`Device::wait`].
    pub fn open(path: &Path) -> io::Result<Device> {
        let nonblocking = OFlags::NONBLOCK.bits() as i32;
        Ok(Device(OpenOptions::new().read(true).write(true).custom_flags(nonblocking).open(path)?))
    }

    fn call<T>(&self, opcode: Opcode, value: &mut T) -> io::Result<()> {
        // SAFETY: see `Call`. The device was opened as a V4L2 one; another kind of device knows no call of the letter 'V'
        // that this size and number would fit (include/uapi/asm-generic/ioctl.h: both are part of the opcode).
        unsafe { ioctl::ioctl(&self.0, Call { opcode, value }) }.map_err(io::Error::from)
    }

    fn update<T>(&self, number: u8, value: &mut T) -> io::Result<()> {
        self.call(opcode::read_write::<T>(b'V', number), value)
    }

    /// Who it is and what it can do.
    pub fn capability(&self) -> io::Result<uapi::Capability> {
        let mut capability = uapi::Capability::default();
        self.call(opcode::read::<uapi::Capability>(b'V', call::QUERYCAP), &mut capability)?;
        Ok(capability)
    }

    /// The formats that a queue takes or gives.
    pub fn formats(&self, kind: u32) -> Vec<u32> {
        let each = |index| {
            let mut description = uapi::FormatDescription { index, kind, ..Default::default() };
            self.update(call::ENUM_FMT, &mut description).ok().map(|()| description.pixelformat)
        };
        (0..256).map_while(each).collect()
    }

    /// Asks for a format; the driver answers with the nearest it has.
    pub fn set_format(&self, kind: u32, picture: uapi::PictureFormat) -> io::Result<uapi::PictureFormat> {
        let mut format = uapi::Format { kind, picture: uapi::Union { member: picture, ..Default::default() } };
        self.update(call::S_FMT, &mut format)?;
        Ok(format.picture.member)
    }

    /// Tells which part of the raw pictures is to be coded, from the top left on.
    pub fn crop(&self, width: u32, height: u32) -> io::Result<()> {
        // Drivers before 4.13 take the single-planar kind only, and all later ones take both.
        const OUTPUT: u32 = 2;
        let mut selection = uapi::Selection { kind: OUTPUT, target: uapi::CROP, width, height, ..Default::default() };
        self.update(call::S_SELECTION, &mut selection)?;
        let exact = (selection.left, selection.top, selection.width, selection.height) == (0, 0, width, height);
        if exact { Ok(()) } else { Err(io::ErrorKind::Unsupported.into()) }
    }

    /// Tells the frame rate, for the rate control.
    pub fn set_rate(&self, fps: u32) -> io::Result<()> {
        let mut parameters = uapi::StreamParameters { kind: uapi::RAW, time_per_frame: [1, fps], ..Default::default() };
        self.update(call::S_PARM, &mut parameters)
    }

    /// Sets a control; out of range, the driver takes the nearest value.
    pub fn set_control(&self, id: u32, value: i32) -> io::Result<()> {
        self.update(call::S_CTRL, &mut uapi::Control { id, value })
    }

    /// Starts or stops a queue. A queue that is stopped gives all of its buffers back.
    pub fn stream(&self, queue: &mut Queue, on: bool) -> io::Result<()> {
        let number = if on { call::STREAMON } else { call::STREAMOFF };
        let mut kind = queue.kind as i32;
        self.call(opcode::write::<i32>(b'V', number), &mut kind)?;
        if !on {
            queue.buffers.iter_mut().for_each(|buffer| buffer.with_driver = false);
        }
        Ok(())
    }

    /// `V4L2_ENC_CMD_*`.
    pub fn command(&self, command: u32) -> io::Result<()> {
        self.update(call::ENCODER_CMD, &mut uapi::EncoderCommand { command, ..Default::default() })
    }

    /// Asks for `count` buffers of a queue and maps them; the driver may give more or fewer.
    pub fn request(&self, kind: u32, count: u32) -> io::Result<Queue> {
        let mut request = uapi::RequestBuffers { count, kind, memory: uapi::MMAP, ..Default::default() };
        self.update(call::REQBUFS, &mut request)?;
        let buffers = (0..request.count).map(|index| self.map(kind, index)).collect::<io::Result<_>>()?;
        Ok(Queue { kind, buffers })
    }

    fn map(&self, kind: u32, index: u32) -> io::Result<Mapped> {
        let (buffer, plane) = self.with_plane(call::QUERYBUF, kind, index, |_, _| {})?;
        if buffer.length != 1 {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "pictures in several pieces of memory"));
        }
        let len = plane.length as usize;
        // `mem_offset` is the union's first half in the machine's order of bytes.
        let offset = u64::from(plane.offset as u32);
        // SAFETY: a new mapping at an address that the kernel chooses; length and offset are what the driver said.
        let at = unsafe {
            mmap(std::ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &self.0, offset)
        }?;
        let at = NonNull::new(at.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapped { at, len, with_driver: false })
    }

    /// A call about one buffer of one plane; `fill` sets what the driver reads.
    fn with_plane(
        &self,
        number: u8,
        kind: u32,
        index: u32,
        fill: impl FnOnce(&mut uapi::Buffer, &mut uapi::Plane),
    ) -> io::Result<(uapi::Buffer, uapi::Plane)> {
        let mut planes = [uapi::Plane::default(); 8];
        let mut buffer = uapi::Buffer {
            index,
            kind,
            bytesused: 0,
            flags: 0,
            field: uapi::PROGRESSIVE,
            timestamp: uapi::TimeVal::default(),
            timecode: [0; 4],
            sequence: 0,
            memory: uapi::MMAP,
            planes: std::ptr::null_mut(),
            // As many as a format may have (VIDEO_MAX_PLANES); the driver says how many there are.
            length: if number == call::QBUF { 1 } else { planes.len() as u32 },
            reserved2: 0,
            request_fd: 0,
        };
        fill(&mut buffer, &mut planes[0]);
        // The kernel reads and writes `length` planes during the call, and `planes` outlives it.
        buffer.planes = planes.as_mut_ptr();
        self.update(number, &mut buffer)?;
        buffer.planes = std::ptr::null_mut();
        Ok((buffer, planes[0]))
    }

    /// Gives a buffer with `bytes` of content to the driver; `stamp` comes back with what is made of it.
    pub fn queue(&self, queue: &mut Queue, index: usize, bytes: usize, stamp: u64) -> io::Result<()> {
        let buffer = &mut queue.buffers[index];
        let (length, used) = (buffer.len as u32, bytes as u32);
        self.with_plane(call::QBUF, queue.kind, index as u32, |header, plane| {
            header.timestamp = uapi::TimeVal { s: (stamp / 1_000_000) as _, us: (stamp % 1_000_000) as _ };
            (plane.length, plane.bytesused) = (length, used);
        })?;
        buffer.with_driver = true;
        Ok(())
    }

    /// Takes a buffer back; `None` while the driver needs it, or has no more to give.
    pub fn dequeue(&self, queue: &mut Queue) -> io::Result<Option<Taken>> {
        let (buffer, plane) = match self.with_plane(call::DQBUF, queue.kind, 0, |_, _| {}) {
            Ok(taken) => taken,
            // EPIPE: the last buffer has been taken.
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::BrokenPipe) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let index = buffer.index as usize;
        let mapped = queue.buffers.get_mut(index).ok_or(io::ErrorKind::InvalidData)?;
        mapped.with_driver = false;
        let (from, to) = (plane.data_offset as usize, plane.bytesused as usize);
        Ok(Some(Taken {
            index,
            bytes: if from <= to && to <= mapped.len { from..to } else { 0..0 },
            damaged: buffer.flags & uapi::FLAG_ERROR != 0,
            last: buffer.flags & uapi::FLAG_LAST != 0,
            stamp: (buffer.timestamp.s as u64).wrapping_mul(1_000_000).wrapping_add(buffer.timestamp.us as u64),
        }))
    }

    /// Waits until one of the queues has a buffer to give back, `timeout` at most; whether one has.
    ///
    /// # Errors
    /// The device has gone, or has nothing left to work on.
    pub fn wait(&self, timeout: Duration) -> io::Result<bool> {
        let timeout = rustix::time::Timespec::try_from(timeout).map_err(|_| io::ErrorKind::InvalidInput)?;
        let ready = PollFlags::IN | PollFlags::OUT;
        let mut fds = [PollFd::new(&self.0, ready)];
        if poll(&mut fds, Some(&timeout))? == 0 {
            return Ok(false);
        }
        if fds[0].revents().intersects(ready) { Ok(true) } else { Err(io::ErrorKind::NotConnected.into()) }
    }
}

/// A buffer that was taken back.
pub struct Taken {
    /// Which one.
    pub index: usize,
    /// Where its content lies.
    pub bytes: std::ops::Range<usize>,
    /// The driver could not fill it.
    pub damaged: bool,
    /// Nothing comes after it.
    pub last: bool,
    /// The stamp of the picture that it was made of.
    pub stamp: u64,
}

/// The buffers of one direction.
pub struct Queue {
    kind: u32,
    buffers: Vec<Mapped>,
}

impl Queue {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.buffers.len()
    }

    /// One that the driver does not have.
    pub fn idle(&self) -> Option<usize> {
        self.buffers.iter().position(|buffer| !buffer.with_driver)
    }

    /// The memory of a buffer; empty while the driver has it.
    pub fn bytes(&mut self, index: usize) -> &mut [u8] {
        let buffer = &mut self.buffers[index];
        if buffer.with_driver {
            return &mut [];
        }
        // SAFETY: mapped for as long as `buffer` lives, `len` bytes, initialised by the kernel; nobody else writes to it, since
        // the driver does not have it, and the exclusive borrow of `self` keeps it from being given away meanwhile.
        unsafe { std::slice::from_raw_parts_mut(buffer.at.as_ptr(), buffer.len) }
    }
}

/// A buffer in the driver's memory.
struct Mapped {
    at: NonNull<u8>,
    len: usize,
    with_driver: bool,
}

// SAFETY: a mapping belongs to the process, not to the thread that made it.
unsafe impl Send for Mapped {}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: mapped by `Device::map` with this length, and no slice of it outlives `self`.
        let _ = unsafe { munmap(self.at.as_ptr().cast(), self.len) };
    }
}
