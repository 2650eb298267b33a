//! The numbers of JSON that may hold something: lists of bytes, as programs write them that know no base64, and numbers
//! that have a name.

use super::{Budget, Damage, Event};

/// What stands between the strings of JSON, number by number.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// Whether a list is open that held nothing but bytes so far.
    list: bool,
    /// Which value is open.
    open: Option<Open>,
    number: Option<Number>,
    /// Bytes of a list that were not given out yet.
    bytes: Vec<u8>,
    /// How much of this push was consumed for what was given out, and how much for all.
    given: usize,
    read: usize,
}

/// A value that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Bytes,
    Number,
}

/// A number that goes on.
#[derive(Clone, Copy, Debug, Default)]
struct Number {
    negative: bool,
    digits: u8,
    value: u64,
    /// It has a fraction or an exponent.
    broken: bool,
}

impl Number {
    fn take(&mut self, byte: u8) {
        match byte {
            b'-' if self.digits == 0 && !self.negative => self.negative = true,
            b'0'..=b'9' => {
                self.digits = self.digits.saturating_add(1);
                self.value = self.value.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
            }
            _ => self.broken = true,
        }
    }

    /// As a byte: from 0 to 255, or, as Java has them, from -128 on.
    fn byte(self) -> Option<u8> {
        let least = if self.negative { 128 } else { 255 };
        let byte = u8::try_from(self.value).ok().filter(|byte| *byte <= least)?;
        (!self.broken && self.digits > 0).then_some(if self.negative { byte.wrapping_neg() } else { byte })
    }
}

impl Numbers {
    /// Takes a byte of a number, which stands at `at`.
    pub(super) fn digit(&mut self, at: usize, byte: u8, name: &[u8], out: &mut dyn FnMut(Event<'_>)) {
        if self.number.is_none() && self.open.is_none() {
            let name = Some(name).filter(|name| !name.is_empty());
            self.open = match name {
                _ if self.list => Some(Open::Bytes),
                name => name.map(|_| Open::Number),
            };
            if let Some(open) = self.open {
                let op = if open == Open::Bytes { "json.bytes" } else { "json.number" };
                out(Event::Begin { op, name, cut: false, at });
                (self.given, self.read) = (at, at);
            }
        }
        self.number.get_or_insert_default().take(byte);
    }

    /// Takes a byte that is none of a number.
    #[inline]
    pub(super) fn other(
        &mut self,
        (input, at): (&[u8], usize),
        budget: &Budget,
        out: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Damage> {
        let byte = input.get(at).copied().unwrap_or_default();
        // Of most bytes no more is to be said than whether a list may go on.
        if self.number.is_some() || self.open.is_some() {
            self.after((input, at), byte, budget, out)?;
        }
        self.list &= matches!(byte, b',' | b' ' | b'\t' | b'\r' | b'\n');
        self.list |= byte == b'[';
        Ok(())
    }

    /// Takes a byte that comes after a number, or in a list of them.
    fn after(
        &mut self,
        (input, at): (&[u8], usize),
        byte: u8,
        budget: &Budget,
        out: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Damage> {
        if let Some(number) = self.number.take() {
            match (self.open, number.byte()) {
                (Some(Open::Bytes), Some(byte)) => {
                    self.bytes.push(byte);
                    self.read = at;
                }
                (Some(_), _) => self.close((input, at), Some(at), budget, out)?,
                (None, _) => {}
            }
        }
        match byte {
            b',' | b' ' | b'\t' | b'\r' | b'\n' => Ok(()),
            b']' => self.close((input, at), Some(at + 1), budget, out),
            _ => self.close((input, at), None, budget, out),
        }
    }

    /// Ends what is open.
    fn close(
        &mut self,
        here: (&[u8], usize),
        end: Option<usize>,
        budget: &Budget,
        out: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Damage> {
        self.list = false;
        if let Some(open) = self.open {
            self.give(here, budget, out)?;
            // A list that something else ends gives no byte for that.
            let end = end.filter(|_| open == Open::Number || here.0.get(here.1) == Some(&b']'));
            self.open = None;
            out(Event::End { at: end });
        }
        Ok(())
    }

    /// Gives out what was read so far, `at` in this push.
    pub(super) fn give(
        &mut self,
        (input, at): (&[u8], usize),
        budget: &Budget,
        out: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Damage> {
        match self.open {
            Some(Open::Bytes) if !self.bytes.is_empty() => {
                budget.output(self.bytes.len())?;
                let consumed = std::mem::replace(&mut self.given, self.read)..self.read;
                out(Event::Data { consumed, bytes: &self.bytes, copied: false });
                self.bytes.clear();
            }
            Some(Open::Number) if self.given < at => {
                let consumed = std::mem::replace(&mut self.given, at)..at;
                let bytes = input.get(consumed.clone()).unwrap_or_default();
                out(Event::Data { consumed, bytes, copied: true });
            }
            _ => {}
        }
        Ok(())
    }

    /// The input of this push is used up.
    pub(super) fn pause(
        &mut self,
        input: &[u8],
        budget: &Budget,
        out: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Damage> {
        self.give((input, input.len()), budget, out)?;
        (self.given, self.read) = (0, 0);
        Ok(())
    }

    /// Nothing follows.
    pub(super) fn finish(&mut self, budget: &Budget, out: &mut dyn FnMut(Event<'_>)) -> Result<(), Damage> {
        self.close((&[], 0), None, budget, out)
    }
}
