//! MessagePack (spec.md of msgpack.org): the strings and the binary values.

use super::{Budget, Container, Damage, Event};

/// Bytes of a string that are kept as the name of the next value.
const MAX_NAME: usize = 64;

/// Finds `str`, `bin` and `ext` values, in one object or in many that follow each other. How they are nested matters
/// only for where an object ends.
#[derive(Debug)]
pub struct MessagePack {
    state: State,
    /// What is being read of a length.
    length: u64,
    /// Values that are still to come in the object.
    left: u64,
    name: Vec<u8>,
    last: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Marker,
    /// So many bytes of a length are left.
    Length(Kind, u8),
    /// So many bytes of a number are left.
    Number(u64),
    /// The type of an ext value comes next, then so many bytes.
    Type(u64),
    /// So many bytes of a value are left.
    Value(Kind, u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Str,
    Bin,
    Ext,
    Array,
    Map,
}

impl Default for MessagePack {
    fn default() -> Self {
        Self::new()
    }
}

impl MessagePack {
    /// Begins.
    pub fn new() -> Self {
        Self { state: State::Marker, length: 0, left: 0, name: Vec::new(), last: Vec::new() }
    }

    /// What follows a marker.
    fn marker(&mut self, marker: u8, after: usize, out: &mut dyn FnMut(Event<'_>)) -> Result<(), Damage> {
        // Beside each other only objects that hold something stand: numbers one after the other are no message.
        let holds = matches!(marker, 0x80..=0xbf | 0xc4..=0xc9 | 0xd4..=0xdf);
        if self.left == 0 {
            if !holds {
                return Err(Damage::Corrupt);
            }
            self.left = 1;
        }
        self.left -= 1;
        match marker {
            0..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => {}
            0x80..=0x8f => self.nested(Kind::Map, u64::from(marker & 0xf)),
            0x90..=0x9f => self.nested(Kind::Array, u64::from(marker & 0xf)),
            0xa0..=0xbf => self.begin(Kind::Str, u64::from(marker & 0x1f), after, out),
            0xc1 => return Err(Damage::Corrupt),
            0xc4..=0xc6 => self.state = State::Length(Kind::Bin, 1 << (marker - 0xc4)),
            0xc7..=0xc9 => self.state = State::Length(Kind::Ext, 1 << (marker - 0xc7)),
            0xca => self.state = State::Number(4),
            0xcb => self.state = State::Number(8),
            0xcc..=0xcf => self.state = State::Number(1 << (marker - 0xcc)),
            0xd0..=0xd3 => self.state = State::Number(1 << (marker - 0xd0)),
            0xd4..=0xd8 => self.state = State::Type(1 << (marker - 0xd4)),
            0xd9..=0xdb => self.state = State::Length(Kind::Str, 1 << (marker - 0xd9)),
            0xdc | 0xdd => self.state = State::Length(Kind::Array, 2 << (marker - 0xdc)),
            0xde | 0xdf => self.state = State::Length(Kind::Map, 2 << (marker - 0xde)),
        }
        Ok(())
    }

    fn nested(&mut self, kind: Kind, length: u64) {
        let values = if kind == Kind::Map { length.saturating_mul(2) } else { length };
        self.left = self.left.saturating_add(values);
        self.state = State::Marker;
        self.last.clear();
    }

    fn begin(&mut self, kind: Kind, length: u64, at: usize, out: &mut dyn FnMut(Event<'_>)) {
        std::mem::swap(&mut self.name, &mut self.last);
        self.last.clear();
        let op = match kind {
            Kind::Str => "msgpack.str",
            Kind::Ext => "msgpack.ext",
            _ => "msgpack.bin",
        };
        let name = Some(self.name.as_slice()).filter(|name| !name.is_empty());
        out(Event::Begin { op, name, cut: true, at });
        self.state = State::Value(kind, length);
        if length == 0 {
            out(Event::End { at: None });
            self.state = State::Marker;
        }
    }
}

impl Container for MessagePack {
    fn push(&mut self, input: &[u8], _: &Budget, out: &mut dyn FnMut(Event<'_>)) -> Result<(), Damage> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            match self.state {
                State::Marker => {
                    at += 1;
                    self.marker(byte, at, out)?;
                    if !matches!(self.state, State::Value(..) | State::Length(..) | State::Type(_)) {
                        self.last.clear();
                    }
                }
                State::Length(kind, digits) => {
                    at += 1;
                    self.length = self.length << 8 | u64::from(byte);
                    self.state = State::Length(kind, digits - 1);
                    if digits == 1 {
                        let length = std::mem::take(&mut self.length);
                        match kind {
                            Kind::Str | Kind::Bin => self.begin(kind, length, at, out),
                            Kind::Ext => self.state = State::Type(length),
                            Kind::Array | Kind::Map => self.nested(kind, length),
                        }
                    }
                }
                State::Type(length) => {
                    at += 1;
                    self.begin(Kind::Ext, length, at, out);
                }
                State::Number(left) => {
                    let taken = super::skip(input, at, left);
                    at += taken;
                    let left = left - taken as u64;
                    self.state = if left == 0 { State::Marker } else { State::Number(left) };
                }
                State::Value(kind, left) => {
                    let taken = super::skip(input, at, left);
                    let bytes = input.get(at..at + taken).unwrap_or_default();
                    if kind == Kind::Str {
                        let room = MAX_NAME.saturating_sub(self.last.len()).min(bytes.len());
                        self.last.extend_from_slice(bytes.get(..room).unwrap_or_default());
                    }
                    out(Event::Data { consumed: at..at + taken, bytes, copied: true });
                    at += taken;
                    self.state = State::Value(kind, left - taken as u64);
                    if left == taken as u64 {
                        out(Event::End { at: None });
                        self.state = State::Marker;
                    }
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self, _: &Budget, _: &mut dyn FnMut(Event<'_>)) -> Result<(), Damage> {
        if self.state == State::Marker && self.left == 0 { Ok(()) } else { Err(Damage::CutOff) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::codec::{cut_everywhere, values};

    #[test]
    fn strings_and_binary_values_come_out_with_the_string_before_them_as_a_name() {
        // {"compact": true, "b": bin8 "xyz", "e": fixext2 5 "hi", "n": [1.5f, -1, str8 "long"]}, then ["x"].
        let bytes = b"\x84\xa7compact\xc3\xa1b\xc4\x03xyz\xa1e\xd5\x05hi\xa1n\x93\xca\x3f\xc0\0\0\xff\xd9\x04long\x91\xa1x";
        let found = cut_everywhere(|| Box::new(MessagePack::new()), bytes);
        let found: Vec<(&str, Option<&str>, &[u8])> =
            found.iter().map(|value| (value.op, value.name.as_deref(), value.bytes.as_slice())).collect();
        let expected: [(&str, Option<&str>, &[u8]); 8] = [
            ("msgpack.str", None, b"compact"),
            ("msgpack.str", None, b"b"),
            ("msgpack.bin", Some("b"), b"xyz"),
            ("msgpack.str", None, b"e"),
            ("msgpack.ext", Some("e"), b"hi"),
            ("msgpack.str", None, b"n"),
            ("msgpack.str", None, b"long"),
            ("msgpack.str", None, b"x"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_breaks_the_format_is_damage() {
        let result = |bytes: &[u8]| values(&mut MessagePack::new(), &[bytes]).1;
        assert_eq!(result(b"\x91\xc1"), Err(Damage::Corrupt), "a marker that is never used");
        assert_eq!(result(b"\x05"), Err(Damage::Corrupt), "a number alone");
        assert_eq!(result(b"\x92\x05"), Err(Damage::CutOff));
        assert_eq!(result(b"\xdf\xff\xff\xff\xff\x01"), Err(Damage::CutOff));
        assert_eq!(result(b"\x82\x01\x02\x03\xa0"), Ok(()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused(bytes: Vec<u8>, cut: usize) {
            let (left, right) = bytes.split_at(cut % (bytes.len() + 1));
            prop_assert_eq!(values(&mut MessagePack::new(), &[left, right]), values(&mut MessagePack::new(), &[&bytes]));
        }
    }
}
