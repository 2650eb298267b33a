//! zstd files (RFC 8878): frames one after the other, some to be skipped.

use std::io::{self, BufRead, Read};

use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

/// RFC 8878 section 3.1.1: 0xFD2FB528, least significant byte first.
const FRAME: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// A frame's window: what `zstd --ultra` and `--long` of 27 bits make, and every decoder takes unasked.
const MAX_WINDOW: u64 = 128 << 20;

/// Whether a file begins with a frame, or with one to be skipped (section 3.1.2: 0x184D2A50 to 0x184D2A5F).
pub(super) fn begins(head: &[u8]) -> bool {
    head.starts_with(&FRAME)
        || matches!(head.first_chunk(), Some(&[skipped, 0x2a, 0x4d, 0x18]) if skipped >> 4 == 5)
}

/// Decodes all frames of a file.
pub(super) struct Zstd<R> {
    source: R,
    decoder: FrameDecoder,
    /// Whether the decoder is inside a frame.
    open: bool,
    /// Why nothing more can be decoded, until what was decoded is taken.
    damage: Option<io::Error>,
}

impl<R: BufRead> Zstd<R> {
    pub(super) fn new(source: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_WINDOW);
        Self { source, decoder, open: false, damage: None }
    }

    /// Opens the next frame; false at the end of the file.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let skipped = io::copy(&mut (&mut self.source).take(u64::from(length)), &mut io::sink())?;
                    if skipped < u64::from(length) {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }

    /// Ends a frame whose content was taken: section 3.1.1, a frame may end with a checksum of its content.
    fn end_frame(&mut self) -> io::Result<()> {
        self.open = false;
        if let Some(damage) = self.damage.take() {
            return Err(damage);
        }
        let said = self.decoder.get_checksum_from_data();
        if said.is_some() && said != self.decoder.get_calculated_checksum() {
            return Err(io::Error::other("the checksum of a frame's content is wrong"));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.open {
                self.open = self.next_frame()?;
                if !self.open {
                    return Ok(0);
                }
            }
            let read = self.decoder.read(buf)?;
            if read > 0 {
                return Ok(read);
            }
            if self.decoder.is_finished() {
                self.end_frame()?;
            } else {
                let strategy = BlockDecodingStrategy::UptoBytes(buf.len());
                if let Err(error) = self.decoder.decode_blocks(&mut self.source, strategy) {
                    self.damage = Some(io::Error::other(error));
                    // The decoder keeps a window of what it decoded until the frame ends: an empty last block
                    // (section 3.1.1.2) and a checksum that nobody looks at let go of it.
                    let end: &[u8] = &[1, 0, 0, 0, 0, 0, 0];
                    self.decoder.decode_blocks(end, BlockDecodingStrategy::All).map_err(io::Error::other)?;
                }
            }
        }
    }
}
