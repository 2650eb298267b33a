//! Hexadecimal text (RFC 4648 section 8), in both cases, with or without what people put between the pairs.

use super::{Budget, Coding, Damage, Kind, Output};

/// Takes hexadecimal off: two digits are a byte. White space, `:`, `-`, `,`, `0x` and `\x` may stand between pairs.
#[derive(Debug, Default)]
pub struct Hex {
    /// The first digit of a pair.
    high: Option<u8>,
    /// Whether a `\` or a `0` that may begin `\x` or `0x` stands before.
    prefix: Prefix,
    decoded: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Prefix {
    #[default]
    No,
    Backslash,
}

/// Whether a byte may stand between two pairs.
fn separates(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b':' | b'-' | b',')
}

impl Hex {
    /// Begins.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a byte may stand in hexadecimal text.
    pub fn may_hold(byte: u8) -> bool {
        byte.is_ascii_hexdigit() || separates(byte) || matches!(byte, b'x' | b'\\')
    }

    fn byte(&mut self, byte: u8) -> Result<(), Damage> {
        let digit = char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (self.prefix, self.high, digit) {
            (Prefix::Backslash, _, _) if byte == b'x' => self.prefix = Prefix::No,
            (Prefix::No, None, Some(digit)) => self.high = Some(digit),
            (Prefix::No, Some(high), Some(low)) => {
                self.high = None;
                self.decoded.push(high << 4 | low);
            }
            // `0x`
            (Prefix::No, Some(0), None) if byte == b'x' => self.high = None,
            (Prefix::No, None, None) if byte == b'\\' => self.prefix = Prefix::Backslash,
            (Prefix::No, None, None) if separates(byte) => {}
            _ => return Err(Damage::Corrupt),
        }
        Ok(())
    }
}

impl Coding for Hex {
    fn push(&mut self, input: &[u8], budget: &Budget, out: &mut dyn FnMut(Output<'_>)) -> Result<(), Damage> {
        self.decoded.clear();
        let mut consumed = 0;
        let result = input.iter().try_for_each(|&byte| {
            self.byte(byte)?;
            consumed += 1;
            Ok(())
        });
        budget.output(self.decoded.len())?;
        if !self.decoded.is_empty() {
            out(Output { consumed: 0..consumed, bytes: &self.decoded, kind: Kind::Content });
        }
        result
    }

    fn finish(&mut self, _: &Budget, _: &mut dyn FnMut(Output<'_>)) -> Result<(), Damage> {
        if self.high.is_none() && self.prefix == Prefix::No { Ok(()) } else { Err(Damage::CutOff) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::codec::all;

    fn decoded(text: &[u8]) -> Result<Vec<u8>, Damage> {
        let (content, _, result) = all(&mut Hex::new(), &[text], 1 << 20);
        result.map(|()| content)
    }

    #[test]
    fn the_vectors_of_rfc_4648_section_10_and_usual_spellings() {
        assert_eq!(decoded(b"666F6F626172"), Ok(b"foobar".to_vec()));
        for text in ["666f6f", "66:6f:6F", "66 6f\r\n6f", "0x66, 0x6f, 0x6f", "\\x66\\x6f\\x6f", "66-6f-6f"] {
            assert_eq!(decoded(text.as_bytes()), Ok(b"foo".to_vec()), "{text}");
        }
        assert_eq!(decoded(b"0x000x01"), Ok(vec![0, 1]));
    }

    #[test]
    fn what_is_no_pair_is_damage() {
        assert_eq!(decoded(b"666"), Err(Damage::CutOff));
        for text in ["6 66", "66\\6", "66g6", "\\66"] {
            assert_eq!(decoded(text.as_bytes()), Err(Damage::Corrupt), "{text}");
        }
    }

    proptest! {
        #[test]
        fn cutting_changes_nothing(bytes: Vec<u8>, cut: usize) {
            let text: String = bytes.iter().map(|byte| format!("0x{byte:02X}, ")).collect();
            let (left, right) = text.as_bytes().split_at(cut % (text.len() + 1));
            let (content, _, result) = all(&mut Hex::new(), &[left, right], 1 << 20);
            prop_assert_eq!((content, result), (bytes, Ok(())));
        }
    }
}
