//! The library's encoder by its C interface (codec_api.h). Here and nowhere else is what it takes `unsafe` for: the safe
//! wrapper's encoder offers neither the share of bits an IDR gets nor silence on standard error, nor another bit rate
//! while encoding. When a picture becomes an IDR, and what is asked of the encoder, is [`super`]'s business.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ptr;

use openh264::OpenH264API;
use openh264_sys2 as sys;
use openh264_sys2::API;

use crate::media::{Frame, Resolution};

/// A failed call: the library's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub i32);

/// What an encoder is made for; the rest is the same for all.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    pub size: Resolution,
    pub fps: u32,
    pub bits_per_s: i32,
    /// What an IDR may take, in percent of an average picture.
    pub idr_percent: i32,
    /// From the library's own least (12) to the standard's most (51).
    pub qp: (i32, i32),
    pub full_range: bool,
    /// Whether the edges of blocks are smoothed.
    pub deblocking: bool,
}

/// A picture as the library gives it.
pub struct Picture {
    pub bytes: Vec<u8>,
    /// `videoFrameType…` of codec_def.h.
    pub kind: sys::EVideoFrameType,
}

/// One encoder, from its initialisation to its end.
pub struct Raw {
    api: OpenH264API,
    encoder: *mut *const sys::ISVCEncoderVtbl,
    size: Resolution,
}

// SAFETY: an encoder is bound to no thread (codec_api.h names none, and it is made with one thread, its caller's); it is
// not `Sync`, and every call that changes it takes `&mut`.
unsafe impl Send for Raw {}

impl Raw {
    pub fn new(parameters: &Parameters) -> Result<Self, Code> {
        let api = OpenH264API::from_source();
        let mut encoder = ptr::null_mut();
        // SAFETY: the function writes a pointer to a new encoder, or leaves null and answers an error.
        check(unsafe { api.WelsCreateSVCEncoder(&raw mut encoder) })?;
        let mut raw = Self { api, encoder, size: parameters.size };
        // Before the initialisation, which would write a warning to standard error (one of the options that may be).
        let mut quiet = sys::WELS_LOG_QUIET;
        raw.set(sys::ENCODER_OPTION_TRACE_LEVEL, &mut quiet)?;
        let wanted = raw.filled_in(parameters)?;
        let initialise = raw.table().InitializeExt.ok_or(MISSING)?;
        // SAFETY: `wanted` was filled in by the library itself, then changed by valid values, and is only read.
        check(unsafe { initialise(raw.encoder, &raw const wanted) })?;
        let mut format = sys::videoFormatI420;
        raw.set(sys::ENCODER_OPTION_DATAFORMAT, &mut format)?;
        Ok(raw)
    }

    fn filled_in(&self, parameters: &Parameters) -> Result<sys::SEncParamExt, Code> {
        let mut wanted = sys::SEncParamExt::default();
        let defaults = self.table().GetDefaultParams.ok_or(MISSING)?;
        // SAFETY: the function writes the structure it is given, and nothing else.
        check(unsafe { defaults(self.encoder, &raw mut wanted) })?;
        let (width, height) = (parameters.size.width as i32, parameters.size.height as i32);
        wanted.iUsageType = sys::CAMERA_VIDEO_REAL_TIME;
        (wanted.iPicWidth, wanted.iPicHeight) = (width, height);
        wanted.iTargetBitrate = parameters.bits_per_s;
        wanted.iRCMode = sys::RC_BITRATE_MODE;
        wanted.fMaxFrameRate = parameters.fps as f32;
        wanted.iComplexityMode = sys::LOW_COMPLEXITY;
        // Every IDR repeats the same parameter sets: numbered anew, each would begin another recording.
        wanted.eSpsPpsIdStrategy = sys::CONSTANT_ID;
        wanted.uiIntraPeriod = parameters.fps;
        wanted.bEnableFrameSkip = false;
        (wanted.iMinQp, wanted.iMaxQp) = parameters.qp;
        wanted.iMultipleThreadIdc = 1;
        wanted.bEnableBackgroundDetection = true;
        wanted.bEnableAdaptiveQuant = false;
        wanted.bEnableSceneChangeDetect = false;
        // 0 filters, 1 does not (H.264, 7.4.3).
        wanted.iLoopFilterDisableIdc = (!parameters.deblocking).into();
        wanted.iIdrBitrateRatio = parameters.idr_percent;
        (wanted.iSpatialLayerNum, wanted.iTemporalLayerNum) = (1, 1);
        let layer = &mut wanted.sSpatialLayers[0];
        (layer.iVideoWidth, layer.iVideoHeight) = (width, height);
        layer.fFrameRate = parameters.fps as f32;
        (layer.iSpatialBitrate, layer.iMaxSpatialBitrate) = (parameters.bits_per_s, parameters.bits_per_s);
        layer.sSliceArgument.uiSliceMode = sys::SM_SINGLE_SLICE;
        layer.sSliceArgument.uiSliceNum = 1;
        layer.bVideoSignalTypePresent = true;
        layer.bFullRange = parameters.full_range;
        layer.bColorDescriptionPresent = true;
        layer.uiColorPrimaries = sys::CP_BT709 as u8;
        layer.uiTransferCharacteristics = sys::TRC_BT709 as u8;
        layer.uiColorMatrix = sys::CM_SMPTE170M as u8;
        Ok(wanted)
    }

    /// Another bit rate from the next picture on.
    pub fn set_bits_per_s(&mut self, bits_per_s: i32, rising: bool) -> Result<(), Code> {
        // At every moment the largest rate must not be below the target.
        let both = [sys::ENCODER_OPTION_BITRATE, sys::ENCODER_OPTION_MAX_BITRATE];
        for option in if rising { [both[1], both[0]] } else { both } {
            self.set(option, &mut sys::SBitrateInfo { iLayer: sys::SPATIAL_LAYER_0, iBitrate: bits_per_s })?;
        }
        Ok(())
    }

    /// The next picture becomes an IDR.
    pub fn force_idr(&mut self) -> Result<(), Code> {
        let force = self.table().ForceIntraFrame.ok_or(MISSING)?;
        // SAFETY: the encoder is initialised.
        check(unsafe { force(self.encoder, true) })
    }

    /// Encodes a frame taken `at_ms` after the first.
    ///
    /// # Panics
    /// When the frame has another size than the encoder was made for.
    pub fn encode(&mut self, frame: &Frame, at_ms: i64) -> Result<Picture, Code> {
        assert!(frame.size() == self.size, "an encoder has one size");
        let (width, height) = (self.size.width as i32, self.size.height as i32);
        // Read only, though C's type does not say so (welsEncoderExt.cpp: it is copied before anything else is done).
        let [y, u, v] = frame.planes().map(|plane| plane.as_ptr().cast_mut());
        let source = sys::SSourcePicture {
            iColorFormat: sys::videoFormatI420,
            iStride: [width, width / 2, width / 2, 0],
            pData: [y, u, v, ptr::null_mut()],
            iPicWidth: width,
            iPicHeight: height,
            uiTimeStamp: at_ms,
            ..Default::default()
        };
        let mut info = sys::SFrameBSInfo::default();
        let encode = self.table().EncodeFrame.ok_or(MISSING)?;
        // SAFETY: the encoder is initialised for this size; the planes of a frame have `stride * rows` bytes and live
        // until the call returns, which keeps no pointer to them.
        check(unsafe { encode(self.encoder, &raw const source, &raw mut info) })?;
        let mut bytes = Vec::with_capacity(info.iFrameSizeInBytes.max(0) as usize);
        for layer in info.sLayerInfo.iter().take(info.iLayerNum.max(0) as usize) {
            let count = layer.iNalCount.max(0) as usize;
            // SAFETY: the library says that there are so many lengths, and that so many bytes follow each other from
            // `pBsBuf` on; both stay as they are until the next call (codec_app_def.h, SLayerBSInfo).
            unsafe {
                let lengths = std::slice::from_raw_parts(layer.pNalLengthInByte, count);
                let len = lengths.iter().map(|len| (*len).max(0) as usize).sum();
                bytes.extend_from_slice(std::slice::from_raw_parts(layer.pBsBuf, len));
            }
        }
        Ok(Picture { bytes, kind: info.eFrameType })
    }

    fn table(&self) -> &sys::ISVCEncoderVtbl {
        // SAFETY: made by WelsCreateSVCEncoder, and destroyed only in `drop`; its table is never changed.
        unsafe { &**self.encoder }
    }

    /// Sets an option; `value` has to be of the type that codec_app_def.h gives for it.
    fn set<T>(&mut self, option: sys::ENCODER_OPTION, value: &mut T) -> Result<(), Code> {
        let set = self.table().SetOption.ok_or(MISSING)?;
        // SAFETY: the callers, all above, give the type that belongs to the option; it is only read during the call.
        check(unsafe { set(self.encoder, option, ptr::from_mut(value).cast::<c_void>()) })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: nobody has the encoder but us, and after this nobody uses it. Destroying it ends what it has begun.
        unsafe { self.api.WelsDestroySVCEncoder(self.encoder) };
    }
}

/// The library's table of functions has a gap: it is not the version that its bindings were made for.
const MISSING: Code = Code(sys::cmUnsupportedData);

fn check(code: i32) -> Result<(), Code> {
    if code == 0 { Ok(()) } else { Err(Code(code)) }
}
