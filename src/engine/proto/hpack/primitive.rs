//! Integers and strings (RFC 7541 section 5), which HPACK and QPACK (RFC 9204 section 4.1) share.

use std::{ops::Range, rc::Rc};

use crate::engine::proto::huffman;

/// Continuation bytes of an integer. Five hold 35 bits, more than any length or index of a real block has; RFC 7541
/// section 5.1 asks for a limit.
const MAX_CONTINUATION: usize = 5;

/// Why bytes are no integer or string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// They end inside it.
    #[error("the block ends inside an integer or a string")]
    CutOff,
    /// An integer beyond any use.
    #[error("an integer of more than five continuation bytes")]
    IntegerTooLong,
    /// A string breaks the Huffman code.
    #[error(transparent)]
    Huffman(#[from] huffman::Damage),
}

/// How a field is coded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coded {
    /// Where in the block its value stands: a string without its length, or all of an index.
    pub value: Range<usize>,
    /// Whether the value stands there as it is, byte for byte.
    pub plain: bool,
    /// Whether every integer stands in as few bytes as it needs.
    pub shortest: bool,
}

/// Reads bytes from the front of a slice, and knows how far it is.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Whether all integers so far stood in as few bytes as they need.
    shortest: bool,
    /// Where the last string stands, without its length, and whether it stands there as it is.
    string: (Range<usize>, bool),
}

impl<'a> Cursor<'a> {
    /// Begins at the front.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, shortest: true, string: (0..0, true) }
    }

    /// How far it is.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The next byte, which stays.
    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// An integer in the low `prefix` bits (1 to 8) of the next byte, and what follows it (section 5.1).
    ///
    /// # Errors
    /// [`Broken`].
    pub fn integer(&mut self, prefix: u32) -> Result<u64, Broken> {
        let most = u64::from(u8::MAX >> (8 - prefix.clamp(1, 8)));
        let mut value = u64::from(self.next()?) & most;
        if value < most {
            return Ok(value);
        }
        for index in 0..MAX_CONTINUATION {
            let byte = u64::from(self.next()?);
            value += (byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.shortest &= index == 0 || byte != 0;
                return Ok(value);
            }
        }
        Err(Broken::IntegerTooLong)
    }

    /// A string whose length has a prefix of `prefix` bits, with the Huffman flag before them (section 5.2).
    ///
    /// # Errors
    /// [`Broken`].
    pub fn string(&mut self, prefix: u32) -> Result<Rc<[u8]>, Broken> {
        let coded = self.peek().ok_or(Broken::CutOff)? >> prefix.min(7) & 1 == 1;
        let length = usize::try_from(self.integer(prefix)?).map_err(|_| Broken::CutOff)?;
        let end = self.at.checked_add(length).ok_or(Broken::CutOff)?;
        let bytes = self.bytes.get(self.at..end).ok_or(Broken::CutOff)?;
        self.string = (self.at..end, !coded);
        self.at = end;
        if !coded {
            return Ok(bytes.into());
        }
        let mut text = Vec::new();
        huffman::decode(bytes, &mut text)?;
        Ok(text.into())
    }

    /// A field begins here: integers are judged from now on.
    pub fn begin(&mut self) -> usize {
        self.shortest = true;
        self.at
    }

    /// How a value is coded that was read last: as a string, or by an index from `start` on.
    pub fn coded(&self, start: usize, as_string: bool) -> Coded {
        let (value, plain) = if as_string { self.string.clone() } else { (self.since(start), false) };
        Coded { value, plain, shortest: self.shortest }
    }

    /// From `start` to here.
    pub fn since(&self, start: usize) -> Range<usize> {
        start..self.at
    }

    fn next(&mut self) -> Result<u8, Broken> {
        let byte = self.peek().ok_or(Broken::CutOff)?;
        self.at += 1;
        Ok(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integer(bytes: &[u8], prefix: u32) -> Result<u64, Broken> {
        Cursor::new(bytes).integer(prefix)
    }

    #[test]
    fn integers_of_rfc_7541_appendix_c_1() {
        assert_eq!(integer(&[0b1110_1010], 5), Ok(10));
        assert_eq!(integer(&[0b0001_1111, 0b1001_1010, 0b0000_1010], 5), Ok(1337));
        assert_eq!(integer(&[42], 8), Ok(42));
    }

    #[test]
    fn integers_end_or_are_broken() {
        assert_eq!(integer(&[0xff, 0], 8), Ok(255));
        assert_eq!(integer(&[0x7f, 0x80, 0x80, 0x80, 0x80, 0x00], 7), Ok(127));
        assert_eq!(integer(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], 8), Ok(255 + (1 << 35) - 1));
        assert_eq!(integer(&[0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0], 8), Err(Broken::IntegerTooLong));
        assert_eq!(integer(&[0xff, 0x80], 8), Err(Broken::CutOff));
        assert_eq!(integer(&[], 8), Err(Broken::CutOff));
    }

    #[test]
    fn an_integer_in_more_bytes_than_it_needs_is_noticed() {
        for (bytes, shortest) in [
            (&[0x0a][..], true),
            (&[0x1f, 0x9a, 0x0a], true),
            (&[0x1f, 0x00], true),
            (&[0x1f, 0x80, 0x00], false),
            (&[0x1f, 0x9a, 0x8a, 0x00], false),
        ] {
            let mut cursor = Cursor::new(bytes);
            let start = cursor.begin();
            cursor.integer(5).unwrap();
            assert_eq!(cursor.coded(start, false).shortest, shortest, "{bytes:x?}");
            assert_eq!(cursor.coded(start, false).value, 0..bytes.len());
        }
    }

    #[test]
    fn strings_are_as_they_stand_or_coded_and_never_longer_than_what_is_there() {
        let string = |bytes: &[u8]| Cursor::new(bytes).string(7).map(|text| text.to_vec());
        assert_eq!(string(b"\x03abcd"), Ok(b"abc".to_vec()));
        assert_eq!(string(&[0x82, 0x64, 0x02]), Ok(b"302".to_vec()));
        assert_eq!(string(b"\x04abc"), Err(Broken::CutOff));
        assert_eq!(string(&[0x7f, 0xff, 0xff, 0xff, 0xff, 0x7f]), Err(Broken::CutOff));
        assert_eq!(string(&[0x81, 0x00]), Err(Broken::Huffman(huffman::Damage::Padding)));
    }
}
