//! Bytes that were sent as characters: U+0000 to U+00FF of UTF-8, one for each byte (ISO 8859-1 made UTF-8). That is what
//! becomes of a "binary string", and of text in UTF-8 that is taken for Latin-1 and encoded once more.

use super::{Budget, Coding, Damage, Output, give};

/// Takes it off: each character is a byte again.
#[derive(Debug, Default)]
pub struct Latin1 {
    /// The first byte of a character of two.
    first: Option<u8>,
    decoded: Vec<u8>,
}

impl Latin1 {
    /// Begins.
    pub fn new() -> Self {
        Self::default()
    }

    fn byte(&mut self, byte: u8) -> Result<(), Damage> {
        match (self.first.take(), byte) {
            (None, 0..=0x7f) => self.decoded.push(byte),
            // RFC 3629 section 3: these begin the characters from U+0080 to U+00FF.
            (None, 0xc2 | 0xc3) => self.first = Some(byte),
            (Some(first), 0x80..=0xbf) => self.decoded.push((first & 3) << 6 | byte & 0x3f),
            _ => return Err(Damage::Corrupt),
        }
        Ok(())
    }
}

impl Coding for Latin1 {
    fn push(&mut self, input: &[u8], budget: &Budget, out: &mut dyn FnMut(Output<'_>)) -> Result<(), Damage> {
        for (index, &byte) in input.iter().enumerate() {
            if let Err(damage) = self.byte(byte) {
                give(&mut self.decoded, index, budget, out)?;
                return Err(damage);
            }
        }
        give(&mut self.decoded, input.len(), budget, out)
    }

    fn finish(&mut self, _: &Budget, _: &mut dyn FnMut(Output<'_>)) -> Result<(), Damage> {
        if self.first.take().is_some() { Err(Damage::CutOff) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::codec::all;

    #[test]
    fn every_byte_comes_back_wherever_its_characters_are_cut() {
        let bytes: Vec<u8> = (0..=255).collect();
        let text: String = bytes.iter().copied().map(char::from).collect();
        for at in 0..=text.len() {
            let (left, right) = text.as_bytes().split_at(at);
            let (content, _, result) = all(&mut Latin1::new(), &[left, right], 999);
            assert_eq!((content, result), (bytes.clone(), Ok(())), "cut at {at}");
        }
    }

    #[test]
    fn what_is_no_such_character_is_damage_and_what_stood_before_is_given() {
        for text in ["a\u{ff}\u{100}b", "a\u{ff}€"] {
            let (content, _, result) = all(&mut Latin1::new(), &[text.as_bytes()], 99);
            assert_eq!((content.as_slice(), result), (&b"a\xff"[..], Err(Damage::Corrupt)), "{text}");
        }
        for bytes in [&b"a\xc1\x81"[..], b"a\xc3a", b"a\x80"] {
            assert_eq!(all(&mut Latin1::new(), &[bytes], 99).2, Err(Damage::Corrupt), "{bytes:?}");
        }
        assert_eq!(all(&mut Latin1::new(), &[b"a\xc3"], 99).2, Err(Damage::CutOff));
    }
}
