//! The encoder against the kernel's virtual codec: real queues, real ioctls, no Raspberry Pi. It codes FWHT, so nothing here is about
//! H.264. `tests/vm` loads the driver (`vicodec multiplanar=1`) and runs these as root, one after the other.

use std::path::PathBuf;

use jiff::Timestamp;

use super::*;
use crate::media::{FramePool, Moment};

const SETTINGS: EncoderSettings = EncoderSettings { fps: 10, kbit: 1000, full_range: false };
const SIZE: Resolution = Resolution::new(640, 480);

fn device() -> PathBuf {
    let [device] = &list_of(Coding::Fwht)[..] else { panic!("one virtual encoder, not {:?}", list_of(Coding::Fwht)) };
    assert_eq!(device.driver, "vicodec");
    device.path.clone()
}

fn open(size: Resolution) -> Encoder {
    Encoder::open(&device(), Coding::Fwht, SETTINGS, size).unwrap()
}

/// Number `n`, ten a second; each picture differs from the one before.
fn frame(size: Resolution, n: i64) -> Arc<Frame> {
    frame_at(size, n, Pts(n * 9_000))
}

fn frame_at(size: Resolution, n: i64, pts: Pts) -> Arc<Frame> {
    let moment = Moment { pts, wall: Timestamp::UNIX_EPOCH, brightness: None };
    let mut frame = FramePool::default().frame(size, moment);
    let width = size.width as usize;
    frame.planes_mut()[0]
        .iter_mut()
        .enumerate()
        .for_each(|(at, y)| *y = (at % width + at / width + 8 * n as usize) as u8);
    Arc::new(frame)
}

/// What comes out: number of the picture, its bytes, whether it is an IDR.
#[derive(Default)]
struct Out(Vec<(i64, usize, bool)>);

impl Out {
    fn take(&mut self, unit: AccessUnit) {
        // The header of FWHT: two magic words, version, width, height, all big-endian.
        let word = |at: usize| u32::from_be_bytes(unit.bytes[at..at + 4].try_into().unwrap());
        assert_eq!(
            (word(0), word(4), word(12), word(16)),
            (0x4f4f_4f4f, 0xffff_ffff, unit.size.width, unit.size.height)
        );
        self.0.push((unit.moment.pts.0 / 9_000, unit.bytes.len(), unit.idr));
    }
    fn numbers(&self) -> Vec<i64> {
        self.0.iter().map(|unit| unit.0).collect()
    }
    fn idrs(&self) -> Vec<i64> {
        self.0.iter().filter(|unit| unit.2).map(|unit| unit.0).collect()
    }
}

fn encode(encoder: &mut Encoder, numbers: std::ops::Range<i64>, out: &mut Out) {
    let size = encoder.size();
    numbers.for_each(|n| encoder.encode(frame(size, n), &mut |unit| out.take(unit)).unwrap());
}

#[test]
#[ignore = "needs the kernel's virtual codec: tests/vm runs it"]
fn each_picture_comes_out_once_in_order_with_an_idr_every_second() {
    let (mut encoder, mut out) = (open(SIZE), Out::default());
    encode(&mut encoder, 0..35, &mut out);
    assert!(out.0.len() >= 35 - BUFFERS as usize, "{}", out.0.len());
    encoder.settle(&mut |unit| out.take(unit)).unwrap();
    assert_eq!(out.numbers(), (0..35).collect::<Vec<_>>());
    let idrs = out.idrs();
    assert_eq!(idrs[0], 0);
    assert!(idrs.windows(2).all(|pair| pair[1] - pair[0] <= 10) && idrs.len() >= 4, "{idrs:?}");
    let mean = |idr: bool| {
        let sizes: Vec<_> = out.0.iter().filter(|unit| unit.2 == idr).map(|unit| unit.1).collect();
        sizes.iter().sum::<usize>() / sizes.len()
    };
    assert_ne!(mean(true), mean(false), "two kinds of pictures");
}

#[test]
#[ignore = "needs the kernel's virtual codec: tests/vm runs it"]
fn an_idr_comes_exactly_where_it_is_asked_for() {
    let (mut encoder, mut out) = (open(SIZE), Out::default());
    for from in [0, 4, 7, 8] {
        encoder.force_idr();
        let to = match from {
            0 => 4,
            4 => 7,
            7 => 8,
            _ => 12,
        };
        encode(&mut encoder, from..to, &mut out);
    }
    encoder.settle(&mut |unit| out.take(unit)).unwrap();
    assert_eq!(out.numbers(), (0..12).collect::<Vec<_>>());
    assert!([0, 4, 7, 8].iter().all(|n| out.idrs().contains(n)), "{:?}", out.idrs());
    assert!(encoder.cannot_force, "this driver has no such control, which is the other way to do it");
}

/// No second passes, after which an IDR would be forced.
#[test]
#[ignore = "needs the kernel's virtual codec: tests/vm runs it"]
fn the_device_has_the_gop_of_the_settings() {
    let settings = EncoderSettings { fps: 5, ..SETTINGS };
    let mut encoder = Encoder::open(&device(), Coding::Fwht, settings, SIZE).unwrap();
    let mut idrs = Vec::new();
    let mut take = |unit: AccessUnit| {
        if unit.idr {
            idrs.push(unit.moment.pts.0 / 900);
        }
    };
    (0..20).for_each(|n| encoder.encode(frame_at(SIZE, n, Pts(n * 900)), &mut take).unwrap());
    encoder.settle(&mut take).unwrap();
    assert_eq!(idrs, [0, 5, 10, 15], "the driver's own is 10");
}

#[test]
#[ignore = "needs the kernel's virtual codec: tests/vm runs it"]
fn draining_gives_everything_back_and_the_device_takes_another_size() {
    for (round, size) in [SIZE, Resolution::new(848, 480), Resolution::new(1280, 720), SIZE].into_iter().enumerate() {
        let (mut encoder, mut out) = (open(size), Out::default());
        let count = 3 + round as i64;
        encode(&mut encoder, 0..count, &mut out);
        encoder.drain(&mut |unit| out.take(unit)).unwrap();
        assert_eq!(out.numbers(), (0..count).collect::<Vec<_>>(), "{size}");
        assert!(encoder.unfinished().is_empty());
    }
    let mut unused = open(SIZE);
    unused.drain(&mut |_| panic!("nothing was given")).unwrap();
}

#[test]
#[ignore = "needs the kernel's virtual codec: tests/vm runs it"]
fn two_encoders_share_a_device() {
    let (mut one, mut other) = (open(SIZE), open(Resolution::new(800, 600)));
    let (mut of_one, mut of_other) = (Out::default(), Out::default());
    for n in 0..12 {
        encode(&mut one, n..n + 1, &mut of_one);
        encode(&mut other, n..n + 1, &mut of_other);
    }
    one.settle(&mut |unit| of_one.take(unit)).unwrap();
    other.settle(&mut |unit| of_other.take(unit)).unwrap();
    assert_eq!((of_one.numbers(), of_other.numbers()), ((0..12).collect(), (0..12).collect()));
}

#[test]
#[ignore = "needs the kernel's virtual codec: tests/vm runs it"]
fn what_the_device_does_not_do_is_said() {
    let error = |coding, size| Encoder::open(&device(), coding, SETTINGS, size).err().unwrap().to_string();
    assert!(error(Coding::H264, SIZE).contains("does not encode"), "it makes no H.264");
    assert!(error(Coding::Fwht, Resolution::new(8192, 4320)).contains("does not take pictures of 8192x4320"));
}

/// Last, by its name: unbinds the driver, and binds it again.
#[test]
#[ignore = "needs the kernel's virtual codec: tests/vm runs it"]
fn zz_a_device_that_vanishes_is_an_error_within_seconds_and_its_pictures_are_told() {
    let driver = |what: &str| std::fs::write(format!("/sys/bus/platform/drivers/vicodec/{what}"), "vicodec.0").unwrap();
    let (mut encoder, mut out) = (open(SIZE), Out::default());
    encode(&mut encoder, 0..5, &mut out);
    // The driver goes once the last who has it open lets go of it; its node goes at once.
    let unbind = std::thread::spawn(move || driver("unbind"));
    let begun = Instant::now();
    let mut n = 5;
    let error = loop {
        match encoder.encode(frame(SIZE, n), &mut |unit| out.take(unit)) {
            Ok(()) => n += 1,
            Err(error) => break error,
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it never noticed");
    };
    assert!(error.to_string().starts_with("/dev/video"), "{error}");
    let left: Vec<i64> = encoder.unfinished().iter().map(|frame| frame.moment.pts.0 / 9_000).collect();
    let all: Vec<i64> = out.numbers().into_iter().chain(left).collect();
    assert_eq!(all, (0..=n).collect::<Vec<_>>(), "nothing is lost and nothing doubled");
    unbind.join().unwrap();
    assert_eq!(list_of(Coding::Fwht), []);
    driver("bind");
    while list_of(Coding::Fwht).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never came back");
        std::thread::sleep(Duration::from_millis(50));
    }
    let (mut encoder, mut out) = (open(SIZE), Out::default());
    encode(&mut encoder, 0..3, &mut out);
    encoder.drain(&mut |unit| out.take(unit)).unwrap();
    assert_eq!(out.numbers(), [0, 1, 2]);
}
