//! Reads bytes from front to back, with the integers of RFC 9000 section 16.

use std::ops::Range;

/// Walks a slice.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Starts at a later byte.
    pub fn from(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// How far it has come.
    pub fn at(&self) -> usize {
        self.at
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    /// Takes one byte.
    pub fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// Takes a big-endian number of as many bytes.
    pub fn number(&mut self, bytes: usize) -> Option<u64> {
        let range = self.range(bytes as u64)?;
        let bytes = self.bytes.get(range)?;
        Some(bytes.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
    }

    /// Takes a variable-length integer (RFC 9000 section 16).
    pub fn varint(&mut self) -> Option<u64> {
        let first = *self.rest().first()?;
        let length = 1_usize << (first >> 6);
        let value = self.number(length)?;
        Some(value & (u64::MAX >> (u64::BITS as usize - length * 8 + 2)))
    }

    /// Takes as many bytes, if they are there: where they stand.
    pub fn range(&mut self, length: u64) -> Option<Range<usize>> {
        let length = usize::try_from(length).ok()?;
        if length > self.rest().len() {
            return None;
        }
        let range = self.at..self.at + length;
        self.at = range.end;
        Some(range)
    }

    /// Takes as many bytes, if they are there.
    pub fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let range = self.range(length)?;
        self.bytes.get(range)
    }

    /// Takes what a length of so many bytes announces.
    pub fn vector(&mut self, length: usize) -> Option<&'a [u8]> {
        let length = self.number(length)?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_those_of_rfc_9000_appendix_a_1() {
        let read = |bytes: &[u8]| {
            let mut cursor = Cursor::new(bytes);
            let value = cursor.varint();
            (value, cursor.at())
        };
        let eight = [0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c];
        assert_eq!(read(&eight), (Some(151_288_809_941_952_652), 8));
        assert_eq!(read(&[0x9d, 0x7f, 0x3e, 0x7d]), (Some(494_878_333), 4));
        assert_eq!(read(&[0x7b, 0xbd]), (Some(15_293), 2));
        assert_eq!(read(&[0x25]), (Some(37), 1));
        assert_eq!(read(&[0x40, 0x25]), (Some(37), 2));
        assert_eq!(read(&[0x40]), (None, 0));
        assert_eq!(read(&[0xff; 8]), (Some((1 << 62) - 1), 8));
    }
}
