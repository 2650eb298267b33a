//! quoted-printable (RFC 2045 section 6.7).

use super::{Budget, Coding, Damage, Kind, Output};

/// Takes quoted-printable off: `=` and two hex digits are a byte, `=` at the end of a line is nothing.
#[derive(Debug, Default)]
pub struct QuotedPrintable {
    held: Vec<u8>,
    decoded: Vec<u8>,
}

impl QuotedPrintable {
    /// Begins.
    pub fn new() -> Self {
        Self::default()
    }

    fn byte(&mut self, byte: u8) -> Result<(), Damage> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (self.held.as_slice(), byte) {
            (&[], b'=') => self.held.push(byte),
            (&[], _) => self.decoded.push(byte),
            (&[_] | &[_, b'\r'], b'\n') => self.held.clear(),
            (&[_], b'\r') => self.held.push(byte),
            (&[_], _) if digit(byte).is_some() => self.held.push(byte),
            (&[_, high], _) => {
                let (Some(high), Some(low)) = (digit(high), digit(byte)) else {
                    return Err(Damage::Corrupt);
                };
                self.decoded.push(high << 4 | low);
                self.held.clear();
            }
            _ => return Err(Damage::Corrupt),
        }
        Ok(())
    }
}

impl Coding for QuotedPrintable {
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
        if self.held.is_empty() { Ok(()) } else { Err(Damage::CutOff) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::codec::all;

    #[test]
    fn soft_breaks_vanish_and_escapes_become_bytes() {
        let text = b"Now's the time =\r\nfor all folk=20to come=3D=\n.\r\n";
        for at in 0..text.len() {
            let (left, right) = text.split_at(at);
            let (content, _, result) = all(&mut QuotedPrintable::new(), &[left, right], 99);
            assert_eq!(result, Ok(()));
            assert_eq!(content, b"Now's the time for all folk to come=.\r\n");
        }
    }

    #[test]
    fn an_escape_that_is_none_is_damage() {
        assert_eq!(
            all(&mut QuotedPrintable::new(), &[b"ab=zz"], 99),
            (b"ab".to_vec(), Vec::new(), Err(Damage::Corrupt))
        );
        assert_eq!(all(&mut QuotedPrintable::new(), &[b"a="], 99).2, Err(Damage::CutOff));
    }
}
