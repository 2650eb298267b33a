//! Protocol Buffers (encoding.html of protobuf.dev) without a schema: the length-delimited fields.

use super::{Budget, Container, Damage, Event};

/// A varint is at most ten bytes long.
const MAX_VARINT: u8 = 10;

/// Field numbers go up to 2^29 - 1.
const MAX_FIELD: u64 = (1 << 29) - 1;

/// A message is at most 2 GiB long.
const MAX_LENGTH: u64 = i32::MAX as u64;

/// Finds the length-delimited fields of a message: strings, bytes, messages and packed numbers, which nothing in the
/// encoding tells apart. Groups, which were given up before phones existed, break it.
#[derive(Debug)]
pub struct Protobuf {
    state: State,
    /// The varint that is being read.
    number: u64,
    digits: u8,
    field: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Tag,
    Varint,
    Length,
    /// So many bytes of a fixed number are left.
    Fixed(u64),
    /// So many bytes of a value are left.
    Value(u64),
}

impl Default for Protobuf {
    fn default() -> Self {
        Self::new()
    }
}

impl Protobuf {
    /// Begins.
    pub fn new() -> Self {
        Self { state: State::Tag, number: 0, digits: 0, field: 0 }
    }

    /// Takes a byte of a varint; gives the number when it is complete.
    fn varint(&mut self, byte: u8) -> Result<Option<u64>, Damage> {
        let digit = u64::from(byte & 0x7f);
        let shift = u32::from(self.digits) * 7;
        if self.digits >= MAX_VARINT || (shift == 63 && digit > 1) {
            return Err(Damage::Corrupt);
        }
        self.number |= digit << shift;
        self.digits += 1;
        if byte & 0x80 != 0 {
            return Ok(None);
        }
        self.digits = 0;
        Ok(Some(std::mem::take(&mut self.number)))
    }

    fn tag(&mut self, tag: u64) -> Result<State, Damage> {
        self.field = tag >> 3;
        if self.field == 0 || self.field > MAX_FIELD {
            return Err(Damage::Corrupt);
        }
        Ok(match tag & 7 {
            0 => State::Varint,
            1 => State::Fixed(8),
            2 => State::Length,
            5 => State::Fixed(4),
            _ => return Err(Damage::Corrupt),
        })
    }
}

impl Container for Protobuf {
    fn push(&mut self, input: &[u8], _: &Budget, out: &mut dyn FnMut(Event<'_>)) -> Result<(), Damage> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            match self.state {
                State::Tag => {
                    at += 1;
                    if let Some(tag) = self.varint(byte)? {
                        self.state = self.tag(tag)?;
                    }
                }
                State::Varint => {
                    at += 1;
                    if self.varint(byte)?.is_some() {
                        self.state = State::Tag;
                    }
                }
                State::Length => {
                    at += 1;
                    let Some(length) = self.varint(byte)? else { continue };
                    if length > MAX_LENGTH {
                        return Err(Damage::TooLong);
                    }
                    let name = self.field.to_string();
                    out(Event::Begin { op: "protobuf.field", name: Some(name.as_bytes()), cut: true, at });
                    self.state = State::Value(length);
                    if length == 0 {
                        out(Event::End { at: None });
                        self.state = State::Tag;
                    }
                }
                State::Fixed(left) => {
                    let taken = super::skip(input, at, left);
                    at += taken;
                    let left = left - taken as u64;
                    self.state = if left == 0 { State::Tag } else { State::Fixed(left) };
                }
                State::Value(left) => {
                    let taken = super::skip(input, at, left);
                    let bytes = input.get(at..at + taken).unwrap_or_default();
                    out(Event::Data { consumed: at..at + taken, bytes, copied: true });
                    at += taken;
                    self.state = State::Value(left - taken as u64);
                    if left == taken as u64 {
                        out(Event::End { at: None });
                        self.state = State::Tag;
                    }
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self, _: &Budget, _: &mut dyn FnMut(Event<'_>)) -> Result<(), Damage> {
        if self.state == State::Tag && self.digits == 0 { Ok(()) } else { Err(Damage::CutOff) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::codec::{cut_everywhere, values};

    /// The examples of the encoding guide: field 1 = 150, field 2 = "testing", field 3 = { field 1 = 150 }, and packed
    /// field 6 = [3, 270, 86942].
    const EXAMPLES: &[u8] =
        b"\x08\x96\x01\x12\x07testing\x1a\x03\x08\x96\x01\x32\x06\x03\x8e\x02\x9e\xa7\x05";

    #[test]
    fn the_examples_of_the_encoding_guide() {
        let found = cut_everywhere(|| Box::new(Protobuf::new()), EXAMPLES);
        let found: Vec<(&str, &[u8])> =
            found.iter().map(|value| (value.name.as_deref().unwrap(), value.bytes.as_slice())).collect();
        let expected: [(&str, &[u8]); 3] =
            [("2", b"testing"), ("3", b"\x08\x96\x01"), ("6", b"\x03\x8e\x02\x9e\xa7\x05")];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_breaks_the_encoding_is_damage() {
        let result = |bytes: &[u8]| values(&mut Protobuf::new(), &[bytes]).1;
        assert_eq!(result(b"\0\x01"), Err(Damage::Corrupt), "field 0");
        assert_eq!(result(b"\x0b"), Err(Damage::Corrupt), "a group");
        assert_eq!(result(b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), Err(Damage::Corrupt), "66 bits");
        assert_eq!(result(b"\x0a\xff\xff\xff\xff\x0f"), Err(Damage::TooLong), "4 GiB");
        assert_eq!(result(b"\x0a\x05abc"), Err(Damage::CutOff));
        assert_eq!(result(b"\x0d\0\0\0\0\x09\0\0\0\0\0\0\0\0"), Ok(()), "fixed numbers");
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused(bytes: Vec<u8>, cut: usize) {
            let (left, right) = bytes.split_at(cut % (bytes.len() + 1));
            prop_assert_eq!(values(&mut Protobuf::new(), &[left, right]), values(&mut Protobuf::new(), &[&bytes]));
        }
    }
}
