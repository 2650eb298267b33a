//! base64 (RFC 4648 sections 4 and 5), with the line breaks of RFC 2045 section 6.8.

use std::ops::Range;

use ::base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::{Budget, Coding, Damage, Kind, Output};

/// Some encoders leave bits in the last character, and URL-safe text mostly comes without padding.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Characters that are decoded at once.
const BLOCK: usize = 4096;

/// Takes base64 off. Both alphabets are read, but not mixed; padded groups may follow each other, as
/// in grpc-web-text.
#[derive(Debug, Default)]
pub struct Base64 {
    held: Vec<u8>,
    alphabet: Option<Alphabet>,
    decoded: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alphabet {
    Standard,
    UrlSafe,
}

impl Base64 {
    /// Begins.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a byte may stand in base64 text (line breaks included).
    pub fn may_hold(byte: u8) -> bool {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=' | b'\r' | b'\n' | b'\t' | b' ')
    }

    fn symbol(&mut self, byte: u8) -> Result<(), Damage> {
        let alphabet = match byte {
            b'+' | b'/' => Some(Alphabet::Standard),
            b'-' | b'_' => Some(Alphabet::UrlSafe),
            _ => None,
        };
        if alphabet.is_some() {
            if self.alphabet.is_some_and(|known| Some(known) != alphabet) {
                return Err(Damage::Corrupt);
            }
            self.alphabet = alphabet;
        }
        self.held.push(match byte {
            b'-' => b'+',
            b'_' => b'/',
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'/' | b'=' => byte,
            _ => return Err(Damage::Corrupt),
        });
        Ok(())
    }

    /// Gives what the whole groups that are held decode to, those before one that breaks the coding too.
    fn give(
        &mut self,
        consumed: Range<usize>,
        budget: &Budget,
        out: &mut dyn FnMut(Output<'_>),
    ) -> Result<(), Damage> {
        let groups = self.held.as_chunks::<4>().0;
        if groups.is_empty() {
            return Ok(());
        }
        self.decoded.clear();
        let mut result = ENGINE.decode_vec(groups.as_flattened(), &mut self.decoded);
        if result.is_err() {
            self.decoded.clear();
            let decoded = &mut self.decoded;
            result = groups.iter().try_for_each(|group| {
                let before = decoded.len();
                ENGINE.decode_vec(group, decoded).inspect_err(|_| decoded.truncate(before))
            });
        }
        let symbols = groups.as_flattened().len();
        self.held.drain(..symbols);
        if !self.decoded.is_empty() {
            budget.output(self.decoded.len())?;
            out(Output { consumed, bytes: &self.decoded, kind: Kind::Content });
        }
        result.map_err(|_| Damage::Corrupt)
    }

    /// Decodes the first `symbols` of what is held.
    fn decode(&mut self, symbols: usize, budget: &Budget) -> Result<&[u8], Damage> {
        self.decoded.clear();
        let group = self.held.get(..symbols).unwrap_or_default();
        ENGINE.decode_vec(group, &mut self.decoded).map_err(|_| Damage::Corrupt)?;
        self.held.drain(..symbols);
        budget.output(self.decoded.len())?;
        Ok(&self.decoded)
    }
}

impl Coding for Base64 {
    fn push(&mut self, input: &[u8], budget: &Budget, out: &mut dyn FnMut(Output<'_>)) -> Result<(), Damage> {
        let mut given = 0;
        for (index, &byte) in input.iter().enumerate() {
            if matches!(byte, b'\r' | b'\n' | b'\t' | b' ') {
                continue;
            }
            if let Err(damage) = self.symbol(byte) {
                self.give(given..index, budget, out)?;
                return Err(damage);
            }
            let whole = self.held.len().is_multiple_of(4);
            if whole && (byte == b'=' || self.held.len() >= BLOCK) {
                self.give(given..index + 1, budget, out)?;
                given = index + 1;
            }
        }
        self.give(given..input.len(), budget, out)
    }

    fn finish(&mut self, budget: &Budget, out: &mut dyn FnMut(Output<'_>)) -> Result<(), Damage> {
        match self.held.len() {
            0 => Ok(()),
            1 => Err(Damage::CutOff),
            symbols => {
                let bytes = self.decode(symbols, budget)?;
                out(Output { consumed: 0..0, bytes, kind: Kind::Content });
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::codec::all;

    fn decoded(text: &[u8]) -> Result<Vec<u8>, Damage> {
        let (content, _, result) = all(&mut Base64::new(), &[text], 1 << 20);
        result.map(|()| content)
    }

    #[test]
    fn the_vectors_of_rfc_4648_section_10() {
        let vectors = [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
            ("Zm9vYg", "foob"),
            ("Zm9\r\nvYm E=", "fooba"),
        ];
        for (text, expected) in vectors {
            assert_eq!(decoded(text.as_bytes()), Ok(expected.as_bytes().to_vec()), "{text}");
        }
    }

    #[test]
    fn alphabets_are_not_mixed_and_groups_may_follow_padding() {
        assert_eq!(decoded(b"-_-_"), decoded(b"+/+/"));
        assert_eq!(decoded(b"-_+/"), Err(Damage::Corrupt));
        assert_eq!(decoded(b"Zg==Zm8="), Ok(b"ffo".to_vec()));
        assert_eq!(decoded(b"Zm9vY"), Err(Damage::CutOff));
        assert_eq!(decoded(b"Z=g="), Err(Damage::Corrupt));
        assert_eq!(decoded(b"Zm9v!"), Err(Damage::Corrupt));
    }

    #[test]
    fn what_stands_before_damage_is_given_wherever_it_is_cut() {
        let cases = [
            ("Zm9vYmFy!", "foobar"),
            ("Zm9vYg==Zm9vZ=g=", "foobfoo"),
            ("Zm9vZ===", "foo"),
            ("Zm9vZm9v-_+/", "foofoo"),
        ];
        for (text, expected) in cases {
            for at in 0..=text.len() {
                let (left, right) = text.as_bytes().split_at(at);
                let (content, _, result) = all(&mut Base64::new(), &[left, right], 99);
                assert_eq!(
                    (content.as_slice(), result),
                    (expected.as_bytes(), Err(Damage::Corrupt)),
                    "{text} cut at {at}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn cutting_changes_nothing(bytes: Vec<u8>, cut: usize) {
            let text = ::base64::engine::general_purpose::STANDARD.encode(&bytes);
            let (left, right) = text.as_bytes().split_at(cut % (text.len() + 1));
            let (content, _, result) = all(&mut Base64::new(), &[left, right], 1 << 20);
            prop_assert_eq!((content, result), (bytes, Ok(())));
        }

        #[test]
        fn any_bytes_are_taken_or_refused(bytes: Vec<u8>, cut: usize) {
            let (left, right) = bytes.split_at(cut % (bytes.len() + 1));
            let whole = all(&mut Base64::new(), &[&bytes], 1 << 20).2;
            prop_assert_eq!(all(&mut Base64::new(), &[left, right], 1 << 20).2.is_ok(), whole.is_ok());
        }
    }
}
