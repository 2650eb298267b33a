//! The values of a container, each content of its own.

use crate::{
    engine::codec::{Container, Event},
    evidence::ByteRange,
};

use super::{
    content::{Content, Declared},
    layers::{Bytes, Held, Out, Stage},
    sink::Keep,
    sniff::{WORTH, short, short_binary},
    telling::is_telling,
};

/// Numbers of a list that may be bytes: those of a hardware address.
const LEAST_BYTES: usize = 6;

/// Digits of a number that may be somebody's.
const LEAST_DIGITS: usize = 7;

/// A container while it is taken apart.
pub(super) struct Values {
    container: Box<dyn Container>,
    value: Option<Value>,
    /// Buffers of the value before, to be used again.
    spare: (Vec<u8>, Held),
    /// How far the bytes were used.
    used: usize,
    /// Where in the stream the last bytes ended.
    last: u64,
    /// Whether it is one of several readings of the same bytes.
    doubt: bool,
}

/// A value that is open.
struct Value {
    op: &'static str,
    name: Vec<u8>,
    cut: bool,
    /// Where it stands in the layer before, as far as it is known.
    range: ByteRange,
    held: Held,
    /// In a box: most values are looked at while they are held, and are none.
    content: Option<Box<Content>>,
}

impl Values {
    /// `doubt`: it is one of several readings of the same bytes.
    pub(super) fn new(container: Box<dyn Container>, doubt: bool) -> Self {
        Self { container, value: None, spare: Default::default(), used: 0, last: 0, doubt }
    }

    /// Takes bytes that stand at `at` of the layer before. Where the container breaks or ends: how many of the bytes
    /// were still used for it.
    pub(super) fn push(&mut self, out: &mut Out<'_>, bytes: Bytes<'_>, at: u64) -> Option<usize> {
        let budget = out.budget.clone();
        self.used = 0;
        self.last = bytes.from.end;
        out.doubts += u8::from(self.doubt);
        let Self { container, value, spare, used, .. } = self;
        let result = container.push(bytes.data, &budget, &mut |event| {
            take(event, out, bytes, at, value, spare, used);
        });
        out.doubts -= u8::from(self.doubt);
        if result.is_ok() {
            return None;
        }
        self.end_value(out);
        Some(self.used)
    }

    pub(super) fn finish(&mut self, out: &mut Out<'_>) {
        let budget = out.budget.clone();
        let nothing = Bytes { data: &[], from: ByteRange::new(self.last, self.last), copied: false };
        out.doubts += u8::from(self.doubt);
        let Self { container, value, spare, used, .. } = self;
        let at = value.as_ref().map_or(0, |value| value.range.end);
        // That a container is cut off is no news: what it held so far was told.
        let _ = container.finish(&budget, &mut |event| take(event, out, nothing, at, value, spare, used));
        out.doubts -= u8::from(self.doubt);
        self.end_value(out);
    }

    /// Ends the value that is open.
    pub(super) fn end_value(&mut self, out: &mut Out<'_>) {
        out.doubts += u8::from(self.doubt);
        if let Some(value) = self.value.take() {
            self.spare = value.end(out);
        }
        out.doubts -= u8::from(self.doubt);
    }
}

fn take(
    event: Event<'_>,
    out: &mut Out<'_>,
    bytes: Bytes<'_>,
    at: u64,
    value: &mut Option<Value>,
    spare: &mut (Vec<u8>, Held),
    used: &mut usize,
) {
    match event {
        Event::Begin { op, name, cut, at: start } => {
            let (mut text, held) = std::mem::take(spare);
            text.clear();
            text.extend_from_slice(name.unwrap_or_default());
            let start = at + start as u64;
            let range = ByteRange::new(start, start);
            *value = Some(Value { op, name: text, cut, range, held, content: None });
        }
        Event::Data { consumed, bytes: data, copied } => {
            *used = consumed.end;
            let Some(value) = value else { return };
            value.range.end = value.range.end.max(at + consumed.end as u64);
            let from = bytes.origin(&consumed);
            let piece = Bytes { data, from, copied: bytes.copied && copied };
            value.push(out, piece, copied);
        }
        Event::End { at: end } => {
            if let Some(mut value) = value.take() {
                if let Some(end) = end {
                    *used = (*used).max(end);
                    value.range.end = value.range.end.max(at + end as u64);
                }
                *spare = value.end(out);
            }
        }
    }
}

impl Value {
    /// Takes bytes of the value; `same`: they stand so in the layer before.
    fn push(&mut self, out: &mut Out<'_>, bytes: Bytes<'_>, same: bool) {
        if self.content.is_none() {
            // Most lists of bytes are short lists of something else.
            let held = same || self.op == "json.bytes";
            if held && self.held.data.len() + bytes.data.len() < WORTH {
                self.held.push(bytes);
                return;
            }
            self.begin(out);
        }
        if let Some(content) = &mut self.content {
            content.push_value(out, bytes, self.range.end, same);
        }
    }

    /// Whether the name of its field says what it is.
    fn is_telling(&self) -> bool {
        is_telling(&self.name)
    }

    /// The value is worth looking at.
    fn begin(&mut self, out: &mut Out<'_>) {
        let name = Some(self.name.as_slice()).filter(|name| !name.is_empty());
        let stage = Stage::new(self.op, name, self.range.start, Keep::Search);
        let mut content = Box::new(Content::value(stage, Declared::default(), self.cut, self.is_telling()));
        let held = self.held.bytes();
        let (same, end) = match self.op {
            "json.bytes" => (false, self.range.end),
            _ => (true, self.range.start + held.len()),
        };
        content.push_value(out, held, end, same);
        self.content = Some(content);
    }

    fn end(mut self, out: &mut Out<'_>) -> (Vec<u8>, Held) {
        let held = self.held.data.as_slice();
        // A list of bytes stands nowhere as it is.
        let bytes = self.op == "json.bytes" && held.len() >= LEAST_BYTES;
        let number = self.op == "json.number";
        let least = if number { LEAST_DIGITS } else { 1 };
        let worth = || {
            bytes
                || (!number && (short(held).is_some() || short_binary(held)))
                || (held.len() >= least && self.is_telling())
        };
        if self.content.is_none() && worth() {
            self.begin(out);
        }
        if let Some(mut content) = self.content {
            content.stage.consumed(self.range.end);
            content.finish(out);
        }
        self.held.clear();
        (self.name, self.held)
    }
}
