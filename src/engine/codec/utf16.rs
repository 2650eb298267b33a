//! UTF-16 (RFC 2781) made UTF-8, so that text is found in the spelling that files and identifiers have.

use super::{Budget, Coding, Damage, Output, give};

/// Which byte of a unit comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endian {
    /// The high one.
    Big,
    /// The low one.
    Little,
}

/// Takes UTF-16 off. A byte-order mark at the start is left out; half a pair becomes U+FFFD.
#[derive(Debug)]
pub struct Utf16 {
    endian: Endian,
    first: Option<u8>,
    high: Option<u16>,
    started: bool,
    decoded: Vec<u8>,
}

impl Utf16 {
    /// Begins.
    pub fn new(endian: Endian) -> Self {
        Self { endian, first: None, high: None, started: false, decoded: Vec::new() }
    }

    fn unit(&mut self, unit: u16) {
        let first = !std::mem::replace(&mut self.started, true);
        if first && unit == 0xfeff {
            return;
        }
        if let Some(high) = self.high.take() {
            if let Some(Ok(char)) = char::decode_utf16([high, unit]).next() {
                return self.char(char);
            }
            self.char(char::REPLACEMENT_CHARACTER);
        }
        match char::from_u32(u32::from(unit)) {
            Some(char) => self.char(char),
            None if unit < 0xdc00 => self.high = Some(unit),
            None => self.char(char::REPLACEMENT_CHARACTER),
        }
    }

    fn char(&mut self, char: char) {
        self.decoded.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

impl Coding for Utf16 {
    fn push(&mut self, input: &[u8], budget: &Budget, out: &mut dyn FnMut(Output<'_>)) -> Result<(), Damage> {
        for &byte in input {
            let Some(first) = self.first.take() else {
                self.first = Some(byte);
                continue;
            };
            self.unit(match self.endian {
                Endian::Big => u16::from_be_bytes([first, byte]),
                Endian::Little => u16::from_le_bytes([first, byte]),
            });
        }
        give(&mut self.decoded, input.len(), budget, out)
    }

    fn finish(&mut self, budget: &Budget, out: &mut dyn FnMut(Output<'_>)) -> Result<(), Damage> {
        let cut = self.first.take().is_some() | self.high.take().is_some();
        give(&mut self.decoded, 0, budget, out)?;
        if cut { Err(Damage::CutOff) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::codec::all;

    #[test]
    fn the_example_of_rfc_2781_section_5() {
        // "*=Ra", where * is U+12345.
        let big = b"\xd8\x08\xdf\x45\0=\0R\0a";
        let little = b"\x08\xd8\x45\xdf=\0R\0a\0";
        for (endian, mark, bytes) in [(Endian::Big, b"\xfe\xff", big), (Endian::Little, b"\xff\xfe", little)]
        {
            for mark in [&mark[..], b""] {
                let text = [mark, bytes].concat();
                for at in 0..=text.len() {
                    let (left, right) = text.split_at(at);
                    let (content, _, result) = all(&mut Utf16::new(endian), &[left, right], 99);
                    assert_eq!(
                        (content, result),
                        ("\u{12345}=Ra".as_bytes().to_vec(), Ok(())),
                        "cut at {at}"
                    );
                }
            }
        }
    }

    #[test]
    fn halves_of_pairs_are_replaced_and_a_cut_is_told() {
        let (content, _, result) = all(&mut Utf16::new(Endian::Big), &[b"\xd8\x08\0a\xdf\x45\0"], 99);
        assert_eq!((content, result), ("\u{fffd}a\u{fffd}".as_bytes().to_vec(), Err(Damage::CutOff)));
    }
}
