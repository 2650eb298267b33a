//! Brotli (RFC 7932).

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::{Budget, Coding, Damage, Hold, Kind, Output};

/// RFC 7932 section 9.1: 16 MiB less 16 bytes, which is all that this coding ever holds. Streams with the larger
/// windows of later encoders are refused.
const WINDOW: u64 = 16 << 20;

/// Output is given in pieces of this size.
const BUFFER: usize = 64 << 10;

/// Takes Brotli off. What stands in metadata blocks (section 9.2) does not come out, so the encoded bytes must be
/// searched too.
pub struct Brotli {
    state: Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>,
    buffer: Box<[u8]>,
    total: usize,
    window: Option<Hold>,
    done: bool,
}

impl Default for Brotli {
    fn default() -> Self {
        Self::new()
    }
}

impl Brotli {
    /// Begins.
    pub fn new() -> Self {
        let alloc = StandardAlloc::default;
        Self {
            state: Box::new(BrotliState::new_strict(alloc(), alloc(), alloc())),
            buffer: vec![0; BUFFER].into_boxed_slice(),
            total: 0,
            window: None,
            done: false,
        }
    }

    /// Decodes as far as the input goes; gives the bytes left behind the end.
    fn decode(
        &mut self,
        input: &[u8],
        budget: &Budget,
        out: &mut dyn FnMut(Output<'_>),
    ) -> Result<usize, Damage> {
        let (mut left, mut position, mut given) = (input.len(), 0, 0);
        while !self.done {
            let (mut room, mut filled) = (self.buffer.len(), 0);
            let result = BrotliDecompressStream(
                &mut left,
                &mut position,
                input,
                &mut room,
                &mut filled,
                &mut self.buffer,
                &mut self.total,
                &mut self.state,
            );
            if filled > 0 {
                budget.output(filled)?;
                let bytes = self.buffer.get(..filled).unwrap_or_default();
                out(Output { consumed: given..position, bytes, kind: Kind::Content });
                given = position;
            }
            match result {
                BrotliResult::ResultFailure => return Err(Damage::Corrupt),
                BrotliResult::ResultSuccess => self.done = true,
                BrotliResult::NeedsMoreInput => break,
                BrotliResult::NeedsMoreOutput => {}
            }
        }
        Ok(left)
    }
}

impl Coding for Brotli {
    fn push(&mut self, input: &[u8], budget: &Budget, out: &mut dyn FnMut(Output<'_>)) -> Result<(), Damage> {
        if self.window.is_none() && !input.is_empty() {
            self.window = Some(budget.hold(WINDOW)?);
        }
        let left = self.decode(input, budget, out)?;
        if left > 0 { Err(Damage::Trailing) } else { Ok(()) }
    }

    fn finish(&mut self, budget: &Budget, out: &mut dyn FnMut(Output<'_>)) -> Result<(), Damage> {
        // The decoder gives the last bytes before a cut only when it is asked again.
        self.decode(&[], budget, out)?;
        if self.done { Ok(()) } else { Err(Damage::CutOff) }
    }

    fn is_at_end(&self) -> bool {
        self.done
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::engine::codec::all;

    fn brotli(bytes: &[u8]) -> Vec<u8> {
        let mut encoded = Vec::new();
        brotli::CompressorWriter::new(&mut encoded, 4096, 5, 22).write_all(bytes).unwrap();
        encoded
    }

    #[test]
    fn what_googles_encoder_wrote_is_read_wherever_it_is_cut() {
        // `brotliCompressSync` of Node.js 20, which holds Google's C code.
        let bytes = b"\x1b\x17\0\xf8\x8d\x94\x6e\xde\x44\x55\x86\xd6\x0a\x20lo\x4a\x11\x79\xe2\x80\xae\x16";
        let expected = (b"hello hello hello hello\n".to_vec(), Vec::new(), Ok(()));
        for at in 0..=bytes.len() {
            let (left, right) = bytes.split_at(at);
            assert_eq!(all(&mut Brotli::new(), &[left, right], 99), expected, "cut at {at}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(all(&mut Brotli::new(), &single, 99), expected);
    }

    #[test]
    fn long_and_repetitive_content_comes_out_whole_and_no_further_than_the_budget() {
        let content: Vec<u8> = (0..300_000_u32).flat_map(|no| (no / 7 % 251).to_le_bytes()).collect();
        let bytes = brotli(&content);
        assert!(bytes.len() * 10 < content.len());
        assert!(all(&mut Brotli::new(), &[&bytes], 2 << 20).0 == content);
        let (some, _, result) = all(&mut Brotli::new(), &[&bytes], 100_000);
        assert_eq!(result, Err(Damage::Budget));
        assert!(some.len() <= 100_000 && content.starts_with(&some));
    }

    #[test]
    fn damage_is_told_apart() {
        let bytes = brotli(b"some text, some text, and more of the same text");
        let with = |bytes: &[u8]| all(&mut Brotli::new(), &[bytes], 99).2;
        assert_eq!(with(&bytes[..bytes.len() - 1]), Err(Damage::CutOff));
        assert_eq!(with(&[&bytes, b"x".as_slice()].concat()), Err(Damage::Trailing));
        assert_eq!(with(b"{\"plain\": \"text is no brotli\"}"), Err(Damage::Corrupt));
    }
}
