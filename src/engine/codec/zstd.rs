//! Zstandard (RFC 8878).

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder, errors::FrameDecoderError};

use super::{Budget, Coding, Damage, Hold, Kind, Output};

/// The first bytes of a frame (section 3.1.1).
pub const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The largest window that is held; RFC 8878 section 3.1.1.1.2 asks for 8 MiB, and the reference decoder refuses more
/// than this unless it is told otherwise.
const MAX_WINDOW: u64 = 128 << 20;

/// Section 3.1.1.2.3: no block holds or gives more.
const MAX_BLOCK: usize = 128 << 10;

/// Frames of one body. A sender may make many (pzstd, long-lived streams), but each costs a decoder.
const MAX_FRAMES: u32 = 100_000;

/// Takes zstd off. Frame headers, checksums and skippable frames are given aside.
pub struct Zstd {
    state: State,
    /// Bytes of the header, block or checksum that is not complete yet.
    held: Vec<u8>,
    frame: Option<Frame>,
    frames: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a magic number, or between frames.
    Magic,
    /// In a frame header of so many bytes.
    Header(usize),
    /// In the three bytes before a block.
    BlockHeader,
    /// In a block with its header, and a checksum after the last one: so many bytes.
    Block(usize),
    SkippableLength,
    Skippable(u32),
}

struct Frame {
    decoder: FrameDecoder,
    checksum: bool,
    last: bool,
    _window: Hold,
}

impl Default for Zstd {
    fn default() -> Self {
        Self::new()
    }
}

impl Zstd {
    /// Begins.
    pub fn new() -> Self {
        Self { state: State::Magic, held: Vec::new(), frame: None, frames: 0 }
    }

    /// How many bytes must be held before something can be done with them.
    fn wanted(&self) -> usize {
        match self.state {
            State::Magic | State::SkippableLength => 4,
            State::Header(bytes) | State::Block(bytes) => bytes,
            State::BlockHeader => 3,
            State::Skippable(_) => 1,
        }
    }

    /// Does what can be done with what is held.
    fn step(&mut self, budget: &Budget, out: &mut dyn FnMut(Kind, &[u8])) -> Result<(), Damage> {
        let word = self.held.first_chunk::<4>().map_or(0, |word| u32::from_le_bytes(*word));
        match self.state {
            State::Magic => {
                self.frames += 1;
                if self.frames > MAX_FRAMES {
                    return Err(Damage::TooLong);
                }
                // One byte more tells how long the header is.
                self.state = match word {
                    0x184d_2a50..=0x184d_2a5f => State::SkippableLength,
                    _ if self.held == MAGIC => State::Header(5),
                    _ if self.frames > 1 => return Err(Damage::Trailing),
                    _ => return Err(Damage::NotThis),
                };
                if self.state == State::SkippableLength {
                    self.held.clear();
                }
                Ok(())
            }
            State::SkippableLength => {
                self.held.clear();
                self.state = if word == 0 { State::Magic } else { State::Skippable(word) };
                Ok(())
            }
            // Their bytes are given where they come.
            State::Skippable(_) => Ok(()),
            State::Header(5) => self.after_descriptor(),
            State::Header(_) => self.open(budget, out),
            State::BlockHeader => self.before_block(),
            State::Block(_) => self.block(budget, out),
        }
    }

    /// The frame header's length follows from its descriptor (section 3.1.1.1.1).
    fn after_descriptor(&mut self) -> Result<(), Damage> {
        let descriptor = self.held.last().copied().unwrap_or(0);
        if descriptor & 8 != 0 {
            return Err(Damage::Corrupt);
        }
        let single = usize::from(descriptor >> 5 & 1);
        let dictionary = [0, 1, 2, 4].get(usize::from(descriptor & 3)).copied().unwrap_or(0);
        let size = [single, 2, 4, 8].get(usize::from(descriptor >> 6)).copied().unwrap_or(0);
        self.state = State::Header(5 + (1 - single) + dictionary + size);
        Ok(())
    }

    fn open(&mut self, budget: &Budget, out: &mut dyn FnMut(Kind, &[u8])) -> Result<(), Damage> {
        let header = std::mem::take(&mut self.held);
        out(Kind::Aside, &header);
        let window = window(&header);
        if window > MAX_WINDOW {
            return Err(Damage::Window);
        }
        let mut decoder = FrameDecoder::new();
        decoder.init(header.as_slice()).map_err(|error| match error {
            FrameDecoderError::DictNotProvided { .. } => Damage::Dictionary,
            _ => Damage::Corrupt,
        })?;
        let descriptor = header.get(4).copied().unwrap_or(0);
        let window = budget.hold(window)?;
        self.frame = Some(Frame { decoder, checksum: descriptor & 4 != 0, last: false, _window: window });
        self.state = State::BlockHeader;
        Ok(())
    }

    /// A block header: last or not, type, size (section 3.1.1.2).
    fn before_block(&mut self) -> Result<(), Damage> {
        let &[a, b, c] = self.held.as_slice() else { return Err(Damage::Corrupt) };
        let header = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
        let (kind, size) = (header >> 1 & 3, header >> 3);
        if size > MAX_BLOCK || kind == 3 {
            return Err(Damage::Corrupt);
        }
        let Some(frame) = &mut self.frame else { return Err(Damage::Corrupt) };
        frame.last = header & 1 == 1;
        let body = if kind == 1 { 1 } else { size };
        let checksum = if frame.last && frame.checksum { 4 } else { 0 };
        self.state = State::Block(3 + body + checksum);
        Ok(())
    }

    fn block(&mut self, budget: &Budget, out: &mut dyn FnMut(Kind, &[u8])) -> Result<(), Damage> {
        let Some(frame) = &mut self.frame else { return Err(Damage::Corrupt) };
        frame
            .decoder
            .decode_blocks(self.held.as_slice(), BlockDecodingStrategy::UptoBlocks(1))
            .map_err(|_| Damage::Corrupt)?;
        let result = drain(frame, budget, out);
        let checksum = self.held.len().saturating_sub(if frame.last && frame.checksum { 4 } else { 0 });
        let checksum = self.held.get(checksum..).unwrap_or_default();
        if !checksum.is_empty() {
            out(Kind::Aside, checksum);
        }
        self.held.clear();
        self.state = State::BlockHeader;
        result?;
        if frame.last {
            let held = !frame.checksum
                || frame.decoder.get_checksum_from_data() == frame.decoder.get_calculated_checksum();
            self.frame = None;
            self.state = State::Magic;
            if !held {
                return Err(Damage::Corrupt);
            }
        }
        Ok(())
    }

    /// Gives what the window of an unfinished frame still holds: an empty last block makes the decoder let go of it.
    fn give_up(&mut self, budget: &Budget, out: &mut dyn FnMut(Kind, &[u8])) {
        let Some(mut frame) = self.frame.take() else { return };
        let end = [1, 0, 0, 0, 0, 0, 0];
        let ended = frame.decoder.decode_blocks(end.as_slice(), BlockDecodingStrategy::UptoBlocks(1));
        if ended.is_ok() {
            // What goes beyond the budget is left out; the damage that is reported is the one that led here.
            let _ = drain(&mut frame, budget, out);
        }
    }
}

/// The window of a frame, from its header (section 3.1.1.1.2).
fn window(header: &[u8]) -> u64 {
    let descriptor = header.get(4).copied().unwrap_or(0);
    if descriptor >> 5 & 1 == 0 {
        let byte = header.get(5).copied().unwrap_or(0);
        let base = 1_u64 << (10 + u32::from(byte >> 3));
        return base + base / 8 * u64::from(byte & 7);
    }
    // One segment: the window is the content, whose size ends the header.
    let start = 5 + [0, 1, 2, 4].get(usize::from(descriptor & 3)).copied().unwrap_or(0);
    let size = header.get(start..).unwrap_or_default();
    let number = size.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte));
    if size.len() == 2 { number + 256 } else { number }
}

/// Gives what the decoder need not keep any longer.
fn drain(frame: &mut Frame, budget: &Budget, out: &mut dyn FnMut(Kind, &[u8])) -> Result<(), Damage> {
    if frame.decoder.can_collect() == 0 {
        return Ok(());
    }
    let bytes = frame.decoder.collect().unwrap_or_default();
    budget.output(bytes.len())?;
    out(Kind::Content, &bytes);
    Ok(())
}

impl Coding for Zstd {
    fn push(&mut self, input: &[u8], budget: &Budget, out: &mut dyn FnMut(Output<'_>)) -> Result<(), Damage> {
        let (mut position, mut given) = (0, 0);
        while position < input.len() {
            let rest = input.get(position..).unwrap_or_default();
            if let State::Skippable(left) = self.state {
                let taken = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let bytes = rest.get(..taken).unwrap_or_default();
                position += taken;
                out(Output { consumed: given..position, bytes, kind: Kind::Aside });
                given = position;
                let left = left.saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX));
                self.state = if left == 0 { State::Magic } else { State::Skippable(left) };
                continue;
            }
            let taken = self.wanted().saturating_sub(self.held.len()).min(rest.len());
            self.held.extend_from_slice(rest.get(..taken).unwrap_or_default());
            position += taken;
            while self.held.len() >= self.wanted() && !matches!(self.state, State::Skippable(_)) {
                let mut give = |kind, bytes: &[u8]| {
                    out(Output { consumed: given..position, bytes, kind });
                    given = position;
                };
                if let Err(damage) = self.step(budget, &mut give) {
                    self.give_up(budget, &mut give);
                    return Err(damage);
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self, budget: &Budget, out: &mut dyn FnMut(Output<'_>)) -> Result<(), Damage> {
        if self.is_at_end() {
            return Ok(());
        }
        self.give_up(budget, &mut |kind, bytes| out(Output { consumed: 0..0, bytes, kind }));
        Err(Damage::CutOff)
    }

    fn is_at_end(&self) -> bool {
        self.state == State::Magic && self.held.is_empty() && self.frames > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::codec::all;

    /// `printf 'hello hello hello hello\n' | zstd --check`, zstd 1.5.4.
    const HELLO: &[u8] = b"\x28\xb5\x2f\xfd\x04\x58\x6d\0\0\x38hello \n\x01\0\x99\x4b\x11\xa8\x7c\x2e\xa8";

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[test]
    fn what_the_reference_encoder_wrote_is_read_wherever_it_is_cut() {
        let skippable = b"\x53\x2a\x4d\x18\x03\0\0\0abc";
        let bytes = [HELLO, skippable, HELLO].concat();
        let whole = all(&mut Zstd::new(), &[&bytes], 99);
        assert_eq!(
            (whole.0.as_slice(), whole.2),
            (b"hello hello hello hello\n".repeat(2).as_slice(), Ok(()))
        );
        assert_eq!(whole.1, [&HELLO[..6], &HELLO[22..], b"abc", &HELLO[..6], &HELLO[22..]].concat());
        for at in 0..=bytes.len() {
            let (left, right) = bytes.split_at(at);
            assert_eq!(all(&mut Zstd::new(), &[left, right], 99), whole, "cut at {at}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(all(&mut Zstd::new(), &single, 99), whole);
    }

    #[test]
    fn damage_is_told_apart_and_what_came_before_is_given() {
        let with = |bytes: &[u8]| {
            let (content, _, result) = all(&mut Zstd::new(), &[bytes], 999);
            (content.len(), result)
        };
        assert_eq!(with(b"{\"plain\":1}"), (0, Err(Damage::NotThis)));
        assert_eq!(with(&[HELLO, b"{..}"].concat()), (24, Err(Damage::Trailing)));
        assert_eq!(with(&HELLO[..HELLO.len() - 1]), (0, Err(Damage::CutOff)));
        let mut damaged = HELLO.to_vec();
        damaged[10] ^= 1;
        assert_eq!(with(&damaged), (24, Err(Damage::Corrupt)), "the checksum does not hold");
        // A raw block, then a block that is cut off: the first block comes out.
        let raw = b"\x28\xb5\x2f\xfd\0\x58\x18\0\0abc\x19\0\0x";
        assert_eq!(with(raw), (3, Err(Damage::CutOff)));
        let reserved = b"\x28\xb5\x2f\xfd\0\x58\x18\0\0abc\x1f\0\0x";
        assert_eq!(with(reserved), (3, Err(Damage::Corrupt)));
    }

    #[test]
    fn large_windows_and_dictionaries_are_refused() {
        let with = |header: &[u8]| all(&mut Zstd::new(), &[&[&MAGIC, header].concat()], 999).2;
        assert_eq!(with(b"\0\x89"), Err(Damage::Window), "128 MiB and an eighth");
        assert_eq!(with(b"\xe0\x01\0\0\x08\0\0\0\0"), Err(Damage::Window), "one segment of 128 MiB and 1");
        assert_eq!(with(b"\0\x88"), Err(Damage::CutOff), "128 MiB");
        assert_eq!(with(b"\x01\x58\x07"), Err(Damage::Dictionary));
        let budget = Budget::new(99);
        let header = [MAGIC.as_slice(), b"\0\x88"].concat();
        let (mut one, mut two) = (Zstd::new(), Zstd::new());
        assert_eq!(one.push(&header, &budget, &mut |_| {}), Ok(()));
        assert_eq!(two.push(&header, &budget, &mut |_| {}), Err(Damage::Window), "two of them at once");
        drop(one);
        assert_eq!(Zstd::new().push(&header, &budget, &mut |_| {}), Ok(()));
    }

    #[test]
    fn long_content_comes_out_whole_and_no_further_than_the_budget() {
        let content: Vec<u8> = (0..300_000_u32).flat_map(|no| (no / 7 % 251).to_le_bytes()).collect();
        let bytes = zstd(&content);
        assert!(bytes.len() * 10 < content.len());
        assert!(all(&mut Zstd::new(), &[&bytes], 2 << 20).0 == content);
        let (some, _, result) = all(&mut Zstd::new(), &[&bytes], 100_000);
        assert_eq!((result, some.len() <= 100_000), (Err(Damage::Budget), true));
    }
}
