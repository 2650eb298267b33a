//! Percent-encoding (RFC 3986 section 2.1), and `+` for a space in forms.

use super::{Budget, Coding, Damage, Kind, Output};

/// Takes percent-encoding off. A `%` without two hex digits stays as it is, as browsers and servers do it, so nothing
/// here is damage.
#[derive(Debug)]
pub struct Percent {
    plus: bool,
    held: Vec<u8>,
    decoded: Vec<u8>,
}

impl Percent {
    /// For URIs: `+` is itself.
    pub fn uri() -> Self {
        Self { plus: false, held: Vec::new(), decoded: Vec::new() }
    }

    /// For `application/x-www-form-urlencoded`: `+` is a space.
    pub fn form() -> Self {
        Self { plus: true, ..Self::uri() }
    }

    /// Decodes a whole slice; `None` where that changes nothing.
    pub fn decode(mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        memchr::memchr2(b'%', if self.plus { b'+' } else { b'%' }, bytes)?;
        bytes.iter().for_each(|&byte| self.byte(byte));
        self.flush();
        (self.decoded != bytes).then_some(self.decoded)
    }

    fn byte(&mut self, byte: u8) {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (self.held.as_slice(), byte) {
            (&[], b'%') => self.held.push(byte),
            (&[], b'+') if self.plus => self.decoded.push(b' '),
            (&[], _) => self.decoded.push(byte),
            (&[_], _) if digit(byte).is_some() => self.held.push(byte),
            (&[_, high], _) if digit(byte).is_some() => {
                self.decoded.push(digit(high).unwrap_or(0) << 4 | digit(byte).unwrap_or(0));
                self.held.clear();
            }
            _ => {
                self.flush();
                self.byte(byte);
            }
        }
    }

    fn flush(&mut self) {
        self.decoded.append(&mut self.held);
    }
}

impl Coding for Percent {
    fn push(&mut self, input: &[u8], budget: &Budget, out: &mut dyn FnMut(Output<'_>)) -> Result<(), Damage> {
        self.decoded.clear();
        input.iter().for_each(|&byte| self.byte(byte));
        budget.output(self.decoded.len())?;
        if !self.decoded.is_empty() {
            out(Output { consumed: 0..input.len(), bytes: &self.decoded, kind: Kind::Content });
        }
        Ok(())
    }

    fn finish(&mut self, budget: &Budget, out: &mut dyn FnMut(Output<'_>)) -> Result<(), Damage> {
        self.decoded.clear();
        self.flush();
        budget.output(self.decoded.len())?;
        if !self.decoded.is_empty() {
            out(Output { consumed: 0..0, bytes: &self.decoded, kind: Kind::Content });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::codec::all;

    #[test]
    fn escapes_are_decoded_and_what_is_none_stays() {
        assert_eq!(Percent::uri().decode(b"/a%20b+c%2fd"), Some(b"/a b+c/d".to_vec()));
        assert_eq!(Percent::form().decode(b"a+b%2Bc"), Some(b"a b+c".to_vec()));
        assert_eq!(Percent::uri().decode(b"100%+5%4"), None);
        assert_eq!(Percent::uri().decode(b"%%41%4%41%"), Some(b"%A%4A%".to_vec()));
    }

    proptest! {
        #[test]
        fn cutting_changes_nothing(text in "[%+4a ]{0,24}", cut: usize) {
            let (left, right) = text.as_bytes().split_at(cut % (text.len() + 1));
            let (content, ..) = all(&mut Percent::form(), &[left, right], 99);
            let expected = Percent::form().decode(text.as_bytes()).unwrap_or(text.into_bytes());
            prop_assert_eq!(content, expected);
        }
    }
}
