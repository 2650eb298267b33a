//! CBOR (RFC 8949): the byte strings and the text strings.

use super::{Budget, Container, Damage, Event};

/// Bytes of a string that are kept as the name of the next value.
const MAX_NAME: usize = 64;

/// Arrays, maps and tags around an item. Documents nest some levels; recursion in readers ends near this.
const MAX_DEPTH: usize = 128;

/// Finds byte and text strings, in one item or in a sequence of them (RFC 8742). A string of indefinite length is
/// joined (section 3.2.3).
#[derive(Debug)]
pub struct Cbor {
    state: State,
    /// What is being read of an argument.
    argument: u64,
    /// Items that are still to come in each array or map around; none where a break ends it.
    open: Vec<Option<u64>>,
    /// The major type of the chunks, within a string of indefinite length.
    chunks: Option<u8>,
    name: Vec<u8>,
    last: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    /// So many bytes of the argument of an item of a major type are left.
    Argument(u8, u8),
    /// So many bytes of a string are left.
    Value(u64),
}

const BYTES: u8 = 2;
const TEXT: u8 = 3;

impl Default for Cbor {
    fn default() -> Self {
        Self::new()
    }
}

impl Cbor {
    /// Begins.
    pub fn new() -> Self {
        let (open, name, last) = (Vec::new(), Vec::new(), Vec::new());
        Self { state: State::Head, argument: 0, open, chunks: None, name, last }
    }

    /// The first byte of an item (section 3).
    fn head(&mut self, byte: u8, after: usize, out: &mut dyn FnMut(Event<'_>)) -> Result<(), Damage> {
        let (major, info) = (byte >> 5, byte & 0x1f);
        if self.chunks.is_some_and(|chunks| byte != 0xff && (major != chunks || info == 31)) {
            return Err(Damage::Corrupt);
        }
        match info {
            0..=23 => self.item(major, u64::from(info), after, out),
            24..=27 => {
                self.state = State::Argument(major, 1 << (info - 24));
                Ok(())
            }
            31 => self.indefinite(major, after, out),
            _ => Err(Damage::Corrupt),
        }
    }

    fn indefinite(&mut self, major: u8, after: usize, out: &mut dyn FnMut(Event<'_>)) -> Result<(), Damage> {
        match major {
            BYTES | TEXT => {
                self.begin(major, false, after.saturating_sub(1), out);
                self.chunks = Some(major);
            }
            4 | 5 => self.nest(None)?,
            7 if self.chunks.take().is_some() => {
                out(Event::End { at: Some(after) });
                self.done();
            }
            7 if self.open.last() == Some(&None) => {
                self.open.pop();
                self.done();
            }
            _ => return Err(Damage::Corrupt),
        }
        Ok(())
    }

    fn item(
        &mut self,
        major: u8,
        argument: u64,
        after: usize,
        out: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Damage> {
        self.state = State::Head;
        if !matches!(major, BYTES | TEXT) {
            // Beside each other only items that hold something stand: numbers one after the other are no message.
            if self.open.is_empty() && matches!(major, 0 | 1 | 7) {
                return Err(Damage::Corrupt);
            }
            self.last.clear();
        }
        match major {
            BYTES | TEXT => {
                if self.chunks.is_none() {
                    self.begin(major, true, after, out);
                }
                self.state = State::Value(argument);
                if argument == 0 {
                    self.end_string(out);
                }
            }
            4 => self.nest(Some(argument))?,
            5 => self.nest(Some(argument.saturating_mul(2)))?,
            6 => self.nest(Some(1))?,
            _ => self.done(),
        }
        Ok(())
    }

    fn nest(&mut self, items: Option<u64>) -> Result<(), Damage> {
        self.last.clear();
        if self.open.len() >= MAX_DEPTH {
            return Err(Damage::TooLong);
        }
        self.open.push(items);
        if items == Some(0) {
            self.open.pop();
            self.done();
        }
        Ok(())
    }

    /// One item is complete, and with it perhaps what is around it.
    fn done(&mut self) {
        while let Some(Some(left)) = self.open.last_mut() {
            *left -= 1;
            if *left > 0 {
                return;
            }
            self.open.pop();
        }
    }

    fn begin(&mut self, major: u8, cut: bool, at: usize, out: &mut dyn FnMut(Event<'_>)) {
        std::mem::swap(&mut self.name, &mut self.last);
        self.last.clear();
        let name = Some(self.name.as_slice()).filter(|name| !name.is_empty());
        out(Event::Begin { op: if major == TEXT { "cbor.text" } else { "cbor.bytes" }, name, cut, at });
    }

    fn end_string(&mut self, out: &mut dyn FnMut(Event<'_>)) {
        self.state = State::Head;
        if self.chunks.is_none() {
            out(Event::End { at: None });
            self.done();
        }
    }
}

impl Container for Cbor {
    fn push(&mut self, input: &[u8], _: &Budget, out: &mut dyn FnMut(Event<'_>)) -> Result<(), Damage> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            match self.state {
                State::Head => {
                    at += 1;
                    self.head(byte, at, out)?;
                }
                State::Argument(major, digits) => {
                    at += 1;
                    self.argument = self.argument << 8 | u64::from(byte);
                    self.state = State::Argument(major, digits - 1);
                    if digits == 1 {
                        let argument = std::mem::take(&mut self.argument);
                        self.item(major, argument, at, out)?;
                    }
                }
                State::Value(left) => {
                    let taken = super::skip(input, at, left);
                    let bytes = input.get(at..at + taken).unwrap_or_default();
                    let room = MAX_NAME.saturating_sub(self.last.len()).min(bytes.len());
                    self.last.extend_from_slice(bytes.get(..room).unwrap_or_default());
                    out(Event::Data { consumed: at..at + taken, bytes, copied: self.chunks.is_none() });
                    at += taken;
                    self.state = State::Value(left - taken as u64);
                    if left == taken as u64 {
                        self.end_string(out);
                    }
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self, _: &Budget, _: &mut dyn FnMut(Event<'_>)) -> Result<(), Damage> {
        let done = self.state == State::Head && self.open.is_empty() && self.chunks.is_none();
        if done { Ok(()) } else { Err(Damage::CutOff) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::codec::{cut_everywhere, values};

    /// Examples of RFC 8949 appendix A, and what their strings are.
    #[test]
    fn the_examples_of_rfc_8949_appendix_a() {
        let cases: &[(&[u8], &[&[u8]])] = &[
            (b"\x44\x01\x02\x03\x04", &[b"\x01\x02\x03\x04"]),
            (b"\x64IETF", &[b"IETF"]),
            (b"\xc0\x742013-03-21T20:04:00Z", &[b"2013-03-21T20:04:00Z"]),
            (b"\xa5aaaAabaBacaCadaDaeaE", &[b"a", b"A", b"b", b"B", b"c", b"C", b"d", b"D", b"e", b"E"]),
            (b"\x5f\x42\x01\x02\x43\x03\x04\x05\xff", &[b"\x01\x02\x03\x04\x05"]),
            (b"\x7f\x65strea\x64ming\xff", &[b"streaming"]),
            (b"\xbf\x63Fun\xf5\x63Amt\x21\xff", &[b"Fun", b"Amt"]),
            (b"\x9f\x01\x82\x02\x03\x9f\x04\x05\xff\xff", &[]),
            (b"\x82\xfb\x3f\xf1\x99\x99\x99\x99\x99\x9a\x61\xfc", &[b"\xfc"]),
        ];
        for (bytes, expected) in cases {
            let found = cut_everywhere(|| Box::new(Cbor::new()), bytes);
            let found: Vec<&[u8]> = found.iter().map(|value| value.bytes.as_slice()).collect();
            assert_eq!(&found, expected, "{bytes:x?}");
        }
    }

    #[test]
    fn a_joined_string_is_no_cut_and_the_string_before_a_value_is_its_name() {
        let found = cut_everywhere(|| Box::new(Cbor::new()), b"\xa2\x61k\x5f\x41a\x41b\xff\x61n\x01");
        assert_eq!(found.len(), 3);
        assert_eq!((found[1].name.as_deref(), found[1].cut, found[1].at.clone()), (Some("k"), false, 3..9));
    }

    #[test]
    fn what_breaks_the_format_is_damage() {
        let result = |bytes: &[u8]| values(&mut Cbor::new(), &[bytes]).1;
        assert_eq!(result(b"\x81\x1c"), Err(Damage::Corrupt), "a reserved length");
        assert_eq!(result(b"\x82\xff"), Err(Damage::Corrupt), "a break where a length was said");
        assert_eq!(result(b"\x5f\x61a\xff"), Err(Damage::Corrupt), "a chunk of the other type");
        assert_eq!(result(b"\x5f\x5f\xff\xff"), Err(Damage::Corrupt), "chunks in chunks");
        assert_eq!(result(b"\x01"), Err(Damage::Corrupt), "a number alone");
        assert_eq!(result(b"\x82\x01"), Err(Damage::CutOff));
        assert_eq!(result(&[0x81; 200]), Err(Damage::TooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused(bytes: Vec<u8>, cut: usize) {
            let (left, right) = bytes.split_at(cut % (bytes.len() + 1));
            prop_assert_eq!(values(&mut Cbor::new(), &[left, right]), values(&mut Cbor::new(), &[&bytes]));
        }
    }
}
