//! One gzip member (RFC 1952) with a fixed header, in blocks that stand alone.
//!
//! Every [`BLOCK`] of input is compressed by itself and ended by a full flush, so that a reader can
//! start at any of them. Blocks that would hardly shrink are stored: photos and encrypted traffic
//! then cost no time. The compressed bytes are neither hashed nor signed, since backends differ in them.

use std::io::{self, Read, Write};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Deflate, no flags, no time, no extra flags, unknown system.
pub const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Input bytes between two full flushes: 0.07 % of size, and a seek costs some milliseconds.
pub const BLOCK: usize = 1 << 20;

/// An empty stored block, as a full flush ends with (RFC 1951 section 3.2.4, zlib's Z_FULL_FLUSH).
const FLUSH: [u8; 5] = [0, 0, 0, 0xff, 0xff];

/// An empty last block with fixed codes (RFC 1951 section 3.2.6).
const LAST: [u8; 2] = [3, 0];

/// A stored block's longest length (RFC 1951 section 3.2.4).
const MAX_STORED: usize = 0xffff;

/// What is compressed before a block is: two pieces of this size, at its start and its middle.
/// That is 3 % of the block, so a gigabyte of photos costs what 30 MB would.
const SAMPLE: usize = 16 << 10;

/// A block has to shrink by an eighth to be worth the time. Packet headers alone make captures of photos
/// and TLS shrink by 4 to 6 %, at forty times the cost of hashing them.
const WORTH: usize = 8;

const LEVEL: Compression = Compression::new(6);

/// The level for samples: it tells what shrinks at a third of the time.
const SAMPLE_LEVEL: Compression = Compression::new(1);

/// Writes one gzip member.
pub struct GzipWriter<W> {
    out: W,
    block: Vec<u8>,
    deflated: Vec<u8>,
    compress: Compress,
    sample: Compress,
    crc: crc32fast::Hasher,
    len: u64,
}

impl<W: Write> GzipWriter<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// When `out` can't be written.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&HEADER)?;
        Ok(Self {
            out,
            block: Vec::with_capacity(BLOCK),
            deflated: Vec::with_capacity(BLOCK),
            compress: Compress::new(LEVEL, false),
            sample: Compress::new(SAMPLE_LEVEL, false),
            crc: crc32fast::Hasher::new(),
            len: 0,
        })
    }

    /// Writes what is left and the trailer, and gives the output back.
    ///
    /// # Errors
    /// When `out` can't be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.end_block()?;
        self.out.write_all(&LAST)?;
        self.out.write_all(&self.crc.finalize().to_le_bytes())?;
        let [a, b, c, d, ..] = self.len.to_le_bytes();
        self.out.write_all(&[a, b, c, d])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn end_block(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let shrinks = is_worth_it(&mut self.sample, &self.block, &mut self.deflated)?
            && deflate(&mut self.compress, &self.block, &mut self.deflated)?;
        if shrinks {
            self.out.write_all(&self.deflated)?;
        } else {
            store(&self.block, &mut self.out)?;
        }
        self.block.clear();
        Ok(())
    }
}

impl<W: Write> Write for GzipWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = BLOCK.saturating_sub(self.block.len());
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.crc.update(taken);
        self.len += taken.len() as u64;
        self.block.extend_from_slice(taken);
        if self.block.len() >= BLOCK {
            self.end_block()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Blocks end by their length alone, so that the bytes do not depend on how they were written.
        Ok(())
    }
}

/// Writes a block as it is, in stored pieces that end like a full flush.
fn store(block: &[u8], out: &mut impl Write) -> io::Result<()> {
    for piece in block.chunks(MAX_STORED) {
        let [low, high, ..] = piece.len().to_le_bytes();
        out.write_all(&[0, low, high, !low, !high])?;
        out.write_all(piece)?;
    }
    out.write_all(&FLUSH)
}

/// Whether the block's samples shrink enough. Short blocks are their own sample.
fn is_worth_it(compress: &mut Compress, block: &[u8], out: &mut Vec<u8>) -> io::Result<bool> {
    let middle = block.len() / 2;
    let (Some(start), Some(half)) = (block.get(..SAMPLE), block.get(middle..middle + SAMPLE)) else {
        return Ok(true);
    };
    let mut size = 0;
    for piece in [start, half] {
        if !deflate(compress, piece, out)? {
            out.resize(piece.len(), 0);
        }
        size += out.len();
    }
    Ok(size + 2 * SAMPLE / WORTH <= 2 * SAMPLE)
}

/// Compresses one block up to a full flush into `out`; `false` when it does not get smaller.
fn deflate(compress: &mut Compress, block: &[u8], out: &mut Vec<u8>) -> io::Result<bool> {
    compress.reset();
    out.clear();
    // `out` has room for a block, which is enough: what does not fit did not get smaller.
    compress.compress_vec(block, out, FlushCompress::Full).map_err(io::Error::other)?;
    Ok(compress.total_in() == block.len() as u64 && out.len() < block.len())
}

/// Why compressed bytes are not one gzip member as it is written here.
#[derive(Debug)]
pub enum GzipFault {
    /// The medium said no.
    Read(io::Error),
    /// The ten bytes of the header differ.
    Header,
    /// The compressed data breaks its own rules.
    Damaged,
    /// The data ends too early.
    CutOff,
    /// Checksum or length differ.
    Checksum,
    /// Something follows the member.
    After,
}

/// Reads one gzip member and demands that nothing follows.
pub struct GzipReader<R> {
    input: R,
    buffer: Vec<u8>,
    from: usize,
    inflate: Decompress,
    crc: crc32fast::Hasher,
    ended: bool,
}

/// Bytes read from the file at a time.
const INPUT_BUFFER: usize = 64 << 10;

impl<R: Read> GzipReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When it is not [`HEADER`].
    pub fn new(input: R) -> Result<Self, GzipFault> {
        let mut reader = Self {
            input,
            buffer: Vec::with_capacity(INPUT_BUFFER),
            from: 0,
            inflate: Decompress::new(false),
            crc: crc32fast::Hasher::new(),
            ended: false,
        };
        match reader.take::<10>() {
            Ok(HEADER) => Ok(reader),
            Ok(_) | Err(GzipFault::CutOff) => Err(GzipFault::Header),
            Err(fault) => Err(fault),
        }
    }

    /// Fills as much of `out` as there is; 0 only at the end of the member, which is then proved.
    ///
    /// # Errors
    /// Each [`GzipFault`].
    pub fn read(&mut self, out: &mut [u8]) -> Result<usize, GzipFault> {
        loop {
            if self.ended || out.is_empty() {
                return Ok(0);
            }
            self.fill()?;
            let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
            let input = self.buffer.get(self.from..).unwrap_or_default();
            let input_ended = input.is_empty();
            let status =
                self.inflate.decompress(input, out, FlushDecompress::None).map_err(|_| GzipFault::Damaged)?;
            let difference = |after: u64, before: u64| usize::try_from(after - before).unwrap_or(0);
            let taken = difference(self.inflate.total_in(), before_in);
            let given = difference(self.inflate.total_out(), before_out);
            self.from += taken;
            self.crc.update(out.get(..given).unwrap_or_default());
            if status == Status::StreamEnd {
                self.trailer()?;
                self.ended = true;
            }
            if given > 0 {
                return Ok(given);
            }
            if !self.ended && taken == 0 {
                return Err(if input_ended { GzipFault::CutOff } else { GzipFault::Damaged });
            }
        }
    }

    fn trailer(&mut self) -> Result<(), GzipFault> {
        let trailer: [u8; 8] = self.take()?;
        let [a, b, c, d, ..] = self.inflate.total_out().to_le_bytes();
        let [e, f, g, h] = self.crc.clone().finalize().to_le_bytes();
        if trailer != [e, f, g, h, a, b, c, d] {
            return Err(GzipFault::Checksum);
        }
        self.fill()?;
        if self.from < self.buffer.len() { Err(GzipFault::After) } else { Ok(()) }
    }

    /// Reads more when nothing is left; an empty buffer afterwards means the end of the file.
    fn fill(&mut self) -> Result<(), GzipFault> {
        if self.from < self.buffer.len() {
            return Ok(());
        }
        self.from = 0;
        self.buffer.clear();
        let limit = INPUT_BUFFER as u64;
        (&mut self.input).take(limit).read_to_end(&mut self.buffer).map_err(GzipFault::Read)?;
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], GzipFault> {
        let mut bytes = [0; N];
        for byte in &mut bytes {
            self.fill()?;
            *byte = *self.buffer.get(self.from).ok_or(GzipFault::CutOff)?;
            self.from += 1;
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        (0..len)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[3]
            })
            .collect()
    }

    fn zip(bytes: &[u8], step: usize) -> Vec<u8> {
        let mut writer = GzipWriter::new(Vec::new()).unwrap();
        for piece in bytes.chunks(step) {
            writer.write_all(piece).unwrap();
        }
        writer.finish().unwrap()
    }

    fn unzip(bytes: &[u8]) -> Result<Vec<u8>, GzipFault> {
        let mut reader = GzipReader::new(bytes)?;
        let (mut all, mut buffer) = (Vec::new(), [0; 1000]);
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(all),
                n => all.extend_from_slice(&buffer[..n]),
            }
        }
    }

    #[test]
    fn what_is_written_comes_back_whatever_it_was() {
        let text = b"one line after another\n".repeat(100_000);
        let mixed = [noise(1 << 20), text.clone(), noise(70_000)].concat();
        for bytes in [Vec::new(), b"x".to_vec(), text, noise(3 << 20), noise(5), mixed] {
            assert_eq!(unzip(&zip(&bytes, 4096)).unwrap(), bytes);
        }
    }

    #[test]
    fn the_bytes_do_not_depend_on_how_they_were_written() {
        let bytes = [b"ab".repeat(900_000), noise(1 << 20)].concat();
        assert_eq!(zip(&bytes, 1), zip(&bytes, 1 << 22));
    }

    #[test]
    fn noise_is_stored_and_text_shrinks() {
        let stored = noise(4 << 20);
        let overhead = zip(&stored, 1 << 20).len() - stored.len();
        assert!(overhead < 500, "{overhead}");
        assert!(zip(&b"abc ".repeat(1 << 20), 1 << 20).len() < 100_000);
    }

    #[test]
    fn a_reader_may_start_at_any_block() {
        let text: Vec<u8> = (0..400_000_u32).flat_map(|n| format!("{n}\n").into_bytes()).collect();
        let zipped = zip(&text, 1 << 16);
        // The second block begins after the first flush marker, with nothing remembered.
        let at = zipped.windows(4).position(|four| four == [0, 0, 0xff, 0xff]).unwrap() + 4;
        let mut out = Vec::with_capacity(BLOCK);
        Decompress::new(false).decompress_vec(&zipped[at..], &mut out, FlushDecompress::None).unwrap();
        assert_eq!(out, text[BLOCK..2 * BLOCK]);
    }

    #[test]
    fn everything_but_one_exact_member_is_refused() {
        let good = zip(&b"evidence ".repeat(500), 100);
        let bad = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            change(&mut bytes);
            unzip(&bytes)
        };
        for at in 0..HEADER.len() {
            assert!(matches!(bad(&|b| b[at] ^= 1), Err(GzipFault::Header)), "header byte {at}");
        }
        for cut in HEADER.len()..good.len() {
            assert!(matches!(bad(&|b| b.truncate(cut)), Err(GzipFault::CutOff)), "cut at {cut}");
        }
        assert!(matches!(bad(&|b| b.push(0)), Err(GzipFault::After)));
        assert!(matches!(bad(&|b| b.extend(good.clone())), Err(GzipFault::After)));
        let len = good.len();
        for at in len - 8..len {
            assert!(matches!(bad(&|b| b[at] ^= 0x80), Err(GzipFault::Checksum)), "trailer byte {at}");
        }
        assert!(matches!(bad(&|b| b[10] = 0xff), Err(GzipFault::Damaged)));
    }
}
