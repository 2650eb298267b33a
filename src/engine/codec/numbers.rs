//! The numbers of JSON that hold something: lists of bytes, as programs write them that know no base64, and long numbers
//! that have a name.

use super::{Budget, Damage, Event};

/// Digits of a number that is given out: telephone numbers have seven at least, and 64 bits twenty at most.
const DIGITS: std::ops::RangeInclusive<u8> = 7..=20;

/// What stands between the strings of JSON, number by number.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// Whether a list is open that held nothing but bytes so far.
    list: bool,
    /// Whether it was given out as a value.
    open: bool,
    number: Option<Number>,
    /// The text of a number that began in a push before.
    text: Vec<u8>,
    /// Where it begins in this push.
    start: usize,
    /// Bytes that were not given out yet.
    bytes: Vec<u8>,
    /// How much of this push was consumed for those that were, and how much for all.
    given: usize,
    read: usize,
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
        if self.number.is_none() {
            self.text.clear();
            self.start = at;
            if self.list && !self.open {
                let name = Some(name).filter(|name| !name.is_empty());
                out(Event::Begin { op: "json.bytes", name, cut: false, at });
                (self.open, self.given, self.read) = (true, at, at);
            }
        }
        self.number.get_or_insert_default().take(byte);
    }

    /// Takes a byte that is none of a number.
    pub(super) fn other(
        &mut self,
        (input, at): (&[u8], usize),
        name: &[u8],
        budget: &Budget,
        out: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Damage> {
        let byte = input.get(at).copied().unwrap_or_default();
        if self.number.is_some() {
            self.end_number((input, at), name, budget, out)?;
        }
        match byte {
            b',' | b' ' | b'\t' | b'\r' | b'\n' => {}
            b']' => self.close(Some(at + 1), budget, out)?,
            b'[' => {
                self.close(None, budget, out)?;
                self.list = true;
            }
            _ => self.close(None, budget, out)?,
        }
        Ok(())
    }

    fn end_number(
        &mut self,
        (input, at): (&[u8], usize),
        name: &[u8],
        budget: &Budget,
        out: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Damage> {
        let Some(number) = self.number.take() else { return Ok(()) };
        if self.open {
            match number.byte() {
                Some(byte) => {
                    self.bytes.push(byte);
                    self.read = at;
                }
                None => self.close(None, budget, out)?,
            }
            return Ok(());
        }
        if name.is_empty() || number.broken || !DIGITS.contains(&number.digits) {
            return Ok(());
        }
        let here = self.start..at;
        let bytes = input.get(here.clone()).unwrap_or_default();
        out(Event::Begin { op: "json.number", name: Some(name), cut: false, at: here.start });
        let copied = self.text.is_empty();
        self.text.extend_from_slice(bytes);
        out(Event::Data { consumed: here, bytes: if copied { bytes } else { &self.text }, copied });
        out(Event::End { at: Some(at) });
        Ok(())
    }

    /// Ends the list of bytes.
    fn close(
        &mut self,
        at: Option<usize>,
        budget: &Budget,
        out: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Damage> {
        self.list = false;
        if !self.open {
            return Ok(());
        }
        self.give(budget, out)?;
        self.open = false;
        out(Event::End { at });
        Ok(())
    }

    fn give(&mut self, budget: &Budget, out: &mut dyn FnMut(Event<'_>)) -> Result<(), Damage> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        budget.output(self.bytes.len())?;
        let consumed = std::mem::replace(&mut self.given, self.read)..self.read;
        out(Event::Data { consumed, bytes: &self.bytes, copied: false });
        self.bytes.clear();
        Ok(())
    }

    /// The input of this push is used up.
    pub(super) fn pause(
        &mut self,
        input: &[u8],
        budget: &Budget,
        out: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Damage> {
        if self.open {
            self.give(budget, out)?;
        } else if self.number.is_some() && self.text.len() <= usize::from(*DIGITS.end()) {
            self.text.extend_from_slice(input.get(self.start..).unwrap_or_default());
        }
        (self.start, self.given, self.read) = (0, 0, 0);
        Ok(())
    }

    /// Nothing follows.
    pub(super) fn finish(&mut self, budget: &Budget, out: &mut dyn FnMut(Event<'_>)) -> Result<(), Damage> {
        self.close(None, budget, out)
    }
}
