//! A baseline JPEG in its coded form (ITU-T T.81): its header, and the blocks of its scan one by one, read and written
//! with the picture's own Huffman codes. No pixels: the libraries make those. What cameras do not make (several scans,
//! progressive, arithmetic, 12 bits) is not read at all.

use std::sync::LazyLock;

/// Quantised coefficients in zigzag order, the DC coefficient first.
pub type Block = [i16; 64];

/// The natural place, row by row, of each coefficient in zigzag order (figure A.6).
pub fn zigzag() -> [usize; 64] {
    let mut places = [0; 64];
    let diagonals = (0..15usize).flat_map(|sum| {
        let along = sum.saturating_sub(7)..=sum.min(7);
        along.map(move |n| if sum % 2 == 0 { (sum - n) * 8 + n } else { n * 8 + sum - n })
    });
    for (to, place) in places.iter_mut().zip(diagonals) {
        *to = place;
    }
    places
}

/// How many blocks of a component an MCU has each way, and the numbers of its Huffman codes.
#[derive(Clone, Copy, Debug)]
pub struct Component {
    pub across: usize,
    pub down: usize,
    dc: usize,
    ac: usize,
}

/// Four codes for DC coefficients, four for the others.
type Codes = [[Option<Box<Code>>; 4]; 2];
const DC: usize = 0;
const AC: usize = 1;

/// What is said of a picture before its scan.
pub struct Head {
    pub width: usize,
    pub height: usize,
    /// The luma first.
    pub components: Vec<Component>,
    /// The luma's quantisation, in zigzag order.
    pub quantisation: [u8; 64],
    /// MCUs from one restart marker to the next; 0 without.
    pub restart_interval: usize,
    /// Where the scan's data begins.
    pub data_at: usize,
    codes: Codes,
}

impl Head {
    /// Reads the header; nothing when this is not a picture of one baseline scan.
    pub fn read(jpeg: &[u8]) -> Option<Self> {
        let mut head = Self::as_written(jpeg)?;
        if !head.has_codes() {
            // Many cameras leave the codes of annex K out.
            for (code, usual) in head.codes.iter_mut().flatten().zip(USUAL_CODES.iter().flatten()) {
                if code.is_none() {
                    code.clone_from(usual);
                }
            }
        }
        head.has_codes().then_some(head)
    }

    /// Without codes that are not there.
    fn as_written(jpeg: &[u8]) -> Option<Self> {
        let (mut quantisations, mut codes, mut restart_interval, mut frame) = ([None; 4], Codes::default(), 0, None);
        let mut at = 2;
        loop {
            let (marker, body) = segment(jpeg, &mut at)?;
            match marker {
                0xc0 => frame = Some(Frame::read(body)?),
                0xc4 => read_codes(body, &mut codes)?,
                // Frames that are not baseline, and what belongs to arithmetic coding.
                0xc1..=0xcf => return None,
                0xdb => read_quantisations(body, &mut quantisations)?,
                0xdd => restart_interval = usize::from(u16::from_be_bytes(body.try_into().ok()?)),
                0xda => {
                    let frame = frame?;
                    let quantisation = quantisations[frame.parts.first()?.quantisation]?;
                    let components = frame.in_scan(body)?;
                    let Frame { width, height, .. } = frame;
                    return Some(Self {
                        width,
                        height,
                        components,
                        quantisation,
                        restart_interval,
                        data_at: at,
                        codes,
                    });
                }
                _ => {}
            }
        }
    }

    fn has_codes(&self) -> bool {
        self.components.iter().all(|c| self.codes[DC][c.dc].is_some() && self.codes[AC][c.ac].is_some())
    }

    fn code(&self, kind: usize, number: usize) -> &Code {
        self.codes[kind][number].as_ref().expect("`read` has seen that it is there")
    }

    /// The next DC coefficient, as what it differs by from that of the component's block before.
    pub fn read_dc(&self, component: &Component, bits: &mut Bits) -> Option<i16> {
        let length = self.code(DC, component.dc).read(bits)?.symbol;
        // Lossless has more.
        if length > 11 {
            return None;
        }
        Some(signed(bits.take(length.into())?, length))
    }

    /// Writes such a difference; nothing when the picture's code has no word for it.
    pub fn write_dc(&self, component: &Component, difference: i16, out: &mut Writer) -> Option<()> {
        let length = length(difference);
        self.code(DC, component.dc).write(length, out)?;
        out.put(unsigned(difference, length), length.into());
        Some(())
    }

    /// How many bits [`Head::write_dc`] would write.
    pub fn dc_bits(&self, component: &Component, difference: i16) -> Option<usize> {
        let length = length(difference);
        let (_, bits) = self.code(DC, component.dc).words[usize::from(length)];
        (bits > 0).then_some(usize::from(bits) + usize::from(length))
    }

    /// The other coefficients of a block, to `each` as they are written.
    pub fn read_ac(&self, component: &Component, bits: &mut Bits, mut each: impl FnMut(Coefficient)) -> Option<()> {
        let code = self.code(AC, component.ac);
        let mut place = 0;
        while place < 63 {
            let word = code.read(bits)?;
            let (run, length) = (word.symbol >> 4, word.symbol & 15);
            place += match (run, length) {
                (0, 0) => {
                    each(Coefficient { word, length, value: 0, place });
                    return Some(());
                }
                (15, 0) => 16,
                (_, 0) => return None,
                (run, _) => usize::from(run) + 1,
            };
            if place > 63 {
                return None;
            }
            each(Coefficient { word, length, value: bits.take(length.into())?, place });
        }
        Some(())
    }

    /// Writes what [`Head::read_ac`] gives for this block.
    pub fn write_ac(&self, component: &Component, block: &Block, out: &mut Writer) -> Option<()> {
        let code = self.code(AC, component.ac);
        let mut zeros = 0;
        for value in &block[1..] {
            if *value == 0 {
                zeros += 1;
                continue;
            }
            while zeros > 15 {
                code.write(0xf0, out)?;
                zeros -= 16;
            }
            let length = length(*value);
            code.write(zeros << 4 | length, out)?;
            out.put(unsigned(*value, length), length.into());
            zeros = 0;
        }
        if zeros > 0 {
            code.write(0, out)?;
        }
        Some(())
    }
}

/// A coefficient as it is coded; or a run of zeros, the last of them where it stands.
pub struct Coefficient {
    word: Word,
    length: u8,
    value: u32,
    place: usize,
}

impl Coefficient {
    /// The same once more.
    pub fn copy(&self, out: &mut Writer) {
        out.put(self.word.bits, self.word.length.into());
        out.put(self.value, self.length.into());
    }

    /// Its value, into its place.
    pub fn put(&self, block: &mut Block) {
        if self.length > 0 {
            block[self.place] = signed(self.value, self.length);
        }
    }
}

/// Bits that a value takes.
fn length(value: i16) -> u8 {
    (16 - value.unsigned_abs().leading_zeros()) as u8
}

/// T.81, F.1.2.1: negative values are one less, in as many bits.
fn unsigned(value: i16, length: u8) -> u32 {
    let value = i32::from(value);
    let value = if value < 0 { value - 1 } else { value };
    value as u32 & ((1 << length) - 1)
}

fn signed(value: u32, length: u8) -> i16 {
    let half = 1 << length >> 1;
    let value = value as i32;
    (if value < half { value - (1 << length) + 1 } else { value }) as i16
}

/// Marker and content of the segment at `at`, which is moved behind it.
fn segment<'a>(jpeg: &'a [u8], at: &mut usize) -> Option<(u8, &'a [u8])> {
    let mut rest = jpeg.get(*at..)?;
    while let [0xff, 0xff, ..] = rest {
        rest = &rest[1..];
    }
    let [0xff, marker, high, low, ..] = *rest else { return None };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let body = rest.get(4..2 + length)?;
    *at = jpeg.len() - rest.len() + 2 + length;
    Some((marker, body))
}

/// The frame header (B.2.2).
struct Frame {
    width: usize,
    height: usize,
    parts: Vec<Part>,
}

struct Part {
    id: u8,
    across: usize,
    down: usize,
    quantisation: usize,
}

impl Frame {
    fn read(body: &[u8]) -> Option<Self> {
        let [8, h1, h2, w1, w2, count, ref parts @ ..] = *body else { return None };
        let (parts, []) = parts.as_chunks::<3>() else { return None };
        let parts: Vec<Part> = parts
            .iter()
            .map(|[id, sampling, quantisation]| Part {
                id: *id,
                across: usize::from(sampling >> 4),
                down: usize::from(sampling & 15),
                quantisation: usize::from(quantisation & 3),
            })
            .collect();
        let possible = |part: &Part| (1..=4).contains(&part.across) && (1..=4).contains(&part.down);
        let size = [u16::from_be_bytes([w1, w2]), u16::from_be_bytes([h1, h2])].map(usize::from);
        let valid = parts.len() == usize::from(count) && parts.iter().all(possible) && !size.contains(&0);
        valid.then_some(Self { width: size[0], height: size[1], parts })
    }

    /// The components of a scan (B.2.3): all of the picture, in its order.
    fn in_scan(&self, body: &[u8]) -> Option<Vec<Component>> {
        let (count, rest) = body.split_first()?;
        let (selected, [0, 63, 0]) = rest.split_at_checked(2 * usize::from(*count))? else { return None };
        let selected = selected.as_chunks::<2>().0;
        if selected.len() != self.parts.len() {
            return None;
        }
        let alone = selected.len() == 1;
        let parts = self.parts.iter().zip(selected).map(|(part, [id, codes])| {
            // A component alone is not interleaved: its MCU is one block (A.2.2).
            let (across, down) = if alone { (1, 1) } else { (part.across, part.down) };
            let component = Component { across, down, dc: usize::from(codes >> 4 & 3), ac: usize::from(codes & 3) };
            (*id == part.id).then_some(component)
        });
        parts.collect()
    }
}

/// Quantisation tables (B.2.4.1), of 8 bits: baseline has no others.
fn read_quantisations(mut body: &[u8], tables: &mut [Option<[u8; 64]>; 4]) -> Option<()> {
    while let Some((head, rest)) = body.split_first() {
        let (table, rest) = rest.split_first_chunk::<64>()?;
        *tables.get_mut(usize::from(*head))? = Some(*table);
        body = rest;
    }
    Some(())
}

/// Huffman codes (B.2.4.2).
fn read_codes(mut body: &[u8], codes: &mut Codes) -> Option<()> {
    while let Some((head, rest)) = body.split_first() {
        let (counts, rest) = rest.split_first_chunk::<16>()?;
        let total = counts.iter().map(|count| usize::from(*count)).sum();
        let (symbols, rest) = rest.split_at_checked(total)?;
        let code = codes.get_mut(usize::from(head >> 4))?.get_mut(usize::from(head & 15))?;
        *code = Some(Box::new(Code::new(counts, symbols)?));
        body = rest;
    }
    Some(())
}

/// The codes of annex K, as an encoder writes them.
static USUAL_CODES: LazyLock<Codes> = LazyLock::new(|| {
    let mut jpeg = Vec::new();
    let colour = jpeg_encoder::Encoder::new(&mut jpeg, 50).encode(&[0; 3], 1, 1, jpeg_encoder::ColorType::Rgb);
    colour.ok().and_then(|()| Head::as_written(&jpeg)).map(|head| head.codes).unwrap_or_default()
});

/// A symbol, and the bits it was written by.
#[derive(Clone, Copy, Default)]
struct Word {
    symbol: u8,
    length: u8,
    bits: u32,
}

/// A Huffman code, for both directions.
#[derive(Clone)]
struct Code {
    /// Symbol and length for each first byte that begins with a whole word; a length of 0 for the others.
    quick: [(u8, u8); 256],
    /// For each length: where longer words begin, in 16 bits, and the place of its first symbol less its first word.
    lengths: [(u32, i32); 17],
    symbols: Vec<u8>,
    /// Word and length of each symbol; a length of 0 where there is none.
    words: [(u16, u8); 256],
}

impl Code {
    /// Annex C: words of each length follow each other.
    fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let (mut quick, mut lengths, mut words) = ([(0, 0); 256], [(0, 0); 17], [(0, 0); 256]);
        let (mut next, mut place) = (0u32, 0);
        for (length, count) in (1..).zip(counts) {
            lengths[length].1 = place as i32 - next as i32;
            for symbol in &symbols[place..place + usize::from(*count)] {
                if next >> length != 0 {
                    return None;
                }
                words[usize::from(*symbol)] = (next as u16, length as u8);
                if length <= 8 {
                    let first = (next << (8 - length)) as usize;
                    quick[first..first + (1 << (8 - length))].fill((*symbol, length as u8));
                }
                next += 1;
                place += 1;
            }
            lengths[length].0 = next << (16 - length);
            next <<= 1;
        }
        Some(Self { quick, lengths, symbols: symbols.to_vec(), words })
    }

    fn read(&self, bits: &mut Bits) -> Option<Word> {
        let ahead = bits.ahead();
        let (mut symbol, mut length) = self.quick[(ahead >> 8) as usize];
        if length == 0 {
            length = (9..=16).find(|length| ahead < self.lengths[usize::from(*length)].0)?;
            let place = (ahead >> (16 - length)) as i32 + self.lengths[usize::from(length)].1;
            symbol = *self.symbols.get(usize::try_from(place).ok()?)?;
        }
        Some(Word { symbol, length, bits: bits.take(length.into())? })
    }

    fn write(&self, symbol: u8, out: &mut Writer) -> Option<()> {
        let (word, length) = self.words[usize::from(symbol)];
        out.put(word.into(), length.into());
        (length > 0).then_some(())
    }
}

/// The bits of a scan's data, up to the next marker.
pub struct Bits<'a> {
    data: &'a [u8],
    /// The next byte to be taken in.
    at: usize,
    held: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, held: 0, count: 0 }
    }

    fn fill(&mut self) {
        while self.count <= 48 {
            let step = match self.data.get(self.at..) {
                Some([0xff, 0, ..]) => 2,
                Some([0xff, ..] | []) | None => return,
                Some(_) => 1,
            };
            self.held = self.held << 8 | u64::from(self.data[self.at]);
            self.at += step;
            self.count += 8;
        }
    }

    /// The next 16 bits; zeros behind the end.
    fn ahead(&mut self) -> u32 {
        if self.count < 16 {
            self.fill();
        }
        let bits = if self.count < 16 { self.held << (16 - self.count) } else { self.held >> (self.count - 16) };
        bits as u32 & 0xffff
    }

    fn take(&mut self, count: u32) -> Option<u32> {
        if self.count < count {
            self.fill();
        }
        self.count = self.count.checked_sub(count)?;
        Some((self.held >> self.count) as u32 & ((1 << count) - 1))
    }

    /// What is left of the byte that was begun, and how many bits that is; the bytes behind it.
    pub fn rest(mut self) -> (u32, u32, &'a [u8]) {
        while self.count >= 8 {
            // A zero behind 0xff was stuffed.
            self.at -= if self.data[..self.at].ends_with(&[0xff, 0]) { 2 } else { 1 };
            self.count -= 8;
            self.held >>= 8;
        }
        (self.held as u32 & ((1 << self.count) - 1), self.count, &self.data[self.at..])
    }

    /// Goes on behind the restart marker that has to be next; its number is answered.
    pub fn restart(self) -> Option<(u8, Self)> {
        match self.rest().2 {
            [0xff, marker @ 0xd0..=0xd7, data @ ..] => Some((*marker, Self::new(data))),
            _ => None,
        }
    }
}

/// Takes bits, gives a scan's data.
pub struct Writer {
    bytes: Vec<u8>,
    held: u64,
    count: u32,
}

impl Writer {
    /// Goes on behind `bytes`.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, held: 0, count: 0 }
    }

    /// Up to 16 bits.
    pub fn put(&mut self, bits: u32, count: u32) {
        self.held = self.held << count | u64::from(bits);
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.held >> self.count) as u8;
            self.bytes.push(byte);
            if byte == 0xff {
                self.bytes.push(0);
            }
        }
    }

    /// Bits of the last byte, which is not full.
    pub fn begun(&self) -> u32 {
        self.count
    }

    /// Fills the last byte up.
    pub fn align(&mut self) {
        let missing = (8 - self.count) % 8;
        self.put((1 << missing) - 1, missing);
    }

    /// A marker, or data that is coded already; between whole bytes.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
