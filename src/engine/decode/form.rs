//! Form values (`application/x-www-form-urlencoded`, and the query of a URI) as a stream.

use crate::{
    engine::codec::{Base64, Budget, Coding, DATA_URL, Hex, Output, Percent},
    evidence::ByteRange,
};

use super::{
    content::{Coded, Content, Declared},
    layers::{Bytes, Held, Out, Stage},
    runs::is_hex,
    sink::Keep,
    sniff::{SNIFF, is_base64},
    telling::is_telling,
};

/// A field's name, as far as it is kept for the steps.
const MAX_KEY: usize = 256;

/// A value up to here is looked at as a whole; a longer one (a photo in base64) is decoded as it streams.
const HOLD: usize = 64 << 10;

/// Splits `a=1&b=2` and decodes values.
pub(super) struct Form {
    op: &'static str,
    key: Vec<u8>,
    value: Option<Value>,
    /// After a gap: what comes belongs to an unknown value.
    lost: bool,
    base: u64,
}

impl Form {
    /// `base` is added to offsets: where the form starts in the layer before.
    pub(super) fn new(op: &'static str, base: u64) -> Self {
        Self { op, key: Vec::new(), value: None, lost: false, base }
    }

    /// Takes bytes that stand at `at` of the form.
    pub(super) fn push(&mut self, out: &mut Out<'_>, bytes: Bytes<'_>, at: u64) {
        let mut position = 0;
        while position < bytes.data.len() {
            let rest = bytes.data.get(position..).unwrap_or_default();
            let in_key = self.value.is_none() && !self.lost;
            let end = if in_key { memchr::memchr2(b'=', b'&', rest) } else { memchr::memchr(b'&', rest) };
            let taken = end.unwrap_or(rest.len());
            let offset = self.base + at + position as u64;
            if let Some(value) = &mut self.value {
                value.push(out, bytes.part(position..position + taken), offset);
            } else if in_key {
                let room = MAX_KEY.saturating_sub(self.key.len()).min(taken);
                self.key.extend_from_slice(rest.get(..room).unwrap_or_default());
            }
            position += taken + usize::from(end.is_some());
            match end.and_then(|end| rest.get(end)) {
                Some(b'=') if in_key => {
                    let key = Percent::form().decode(&self.key);
                    let name = key.as_deref().unwrap_or(&self.key);
                    self.value = Some(Value::new(self.op, name, offset + taken as u64 + 1));
                    self.key.clear();
                }
                Some(_) => self.finish(out),
                None => {}
            }
        }
    }

    /// Bytes are missing.
    pub(super) fn gap(&mut self, out: &mut Out<'_>) {
        self.finish(out);
        self.lost = true;
    }

    /// Ends the value.
    pub(super) fn finish(&mut self, out: &mut Out<'_>) {
        if let Some(value) = self.value.take() {
            value.finish(out);
        }
        self.key.clear();
        self.lost = false;
    }
}

struct Value {
    raw: Stage,
    /// Whether the name of its field says what it is.
    telling: bool,
    held: Held,
    state: State,
}

enum State {
    /// Not decided.
    Held,
    /// It stands as it is.
    Plain(Box<Content>),
    Encoded(Box<Decoding>),
}

impl Value {
    fn new(op: &'static str, name: &[u8], at: u64) -> Self {
        let telling = is_telling(name);
        let raw = Stage::new(op, Some(name), at, Keep::Search);
        Self { raw, telling, held: Held::default(), state: State::Held }
    }

    fn push(&mut self, out: &mut Out<'_>, bytes: Bytes<'_>, offset: u64) {
        let mut rest = bytes;
        self.raw.consumed(offset + bytes.len());
        if matches!(self.state, State::Held) {
            let (first, after) = bytes.split(HOLD.saturating_sub(self.held.data.len()).min(bytes.data.len()));
            self.held.push(first);
            if self.held.data.len() < HOLD {
                return;
            }
            self.start(out, true, offset + bytes.len() - after.len());
            rest = after;
        }
        self.decode(out, rest, offset + bytes.len());
    }

    fn finish(mut self, out: &mut Out<'_>) {
        if matches!(self.state, State::Held) {
            let differs = Percent::form().decode(&self.held.data).is_some();
            self.start(out, differs, self.raw.consumed_to());
        }
        match self.state {
            State::Held => {}
            State::Plain(mut content) => {
                content.finish(out);
            }
            State::Encoded(decoding) => self.raw.within(out, |out| decoding.finish(out)),
        }
    }

    /// Decides about the value by its first bytes, and decodes those.
    fn start(&mut self, out: &mut Out<'_>, differs: bool, end: u64) {
        let held = std::mem::take(&mut self.held);
        if differs {
            let plain = Percent::uri().decode(&held.data);
            let first = plain.as_deref().unwrap_or(&held.data);
            let guess = first.get(..SNIFF).is_some_and(is_base64) && out.admits_value();
            let percent = || Stage::new("percent", None, 0, Keep::Search);
            let settled = Declared { settled: true, ..Declared::default() };
            let (op, coding): (_, Box<dyn Coding>) = if is_hex(first) {
                ("hex", Box::<Hex>::default())
            } else {
                ("base64", Box::<Base64>::default())
            };
            let guessed = |coding| Coded::guess_at(op, coding, Declared::default(), 0);
            // A data: URL holds no blank, so that a bare `+` in it is one.
            let scheme = first.get(..DATA_URL.len()).is_some_and(|it| it.eq_ignore_ascii_case(DATA_URL));
            let escapes = if scheme { Percent::uri() } else { Percent::form() };
            self.state = State::Encoded(Box::new(Decoding {
                form: out.admits_value().then(|| (escapes, Content::new(percent(), settled))),
                guess: guess.then(|| (Percent::uri(), percent(), guessed(coding))),
                last: 0,
            }));
        } else {
            let raw = std::mem::replace(&mut self.raw, Stage::new("form.value", None, 0, Keep::Search));
            self.state = State::Plain(Box::new(Content::value(raw, Declared::default(), true, self.telling)));
        }
        self.decode(out, held.bytes(), end);
    }

    fn decode(&mut self, out: &mut Out<'_>, bytes: Bytes<'_>, end: u64) {
        let at = self.raw.output();
        match &mut self.state {
            State::Held => {}
            State::Plain(content) => content.push_value(out, bytes, end, true),
            State::Encoded(decoding) => {
                self.raw.pass(bytes.len());
                self.raw.within(out, |out| decoding.push(out, bytes, at));
            }
        }
    }
}

/// A value that is being decoded.
struct Decoding {
    /// As the form says.
    form: Option<(Percent, Content)>,
    /// As base64 or hexadecimal. A bare `+` stays what it is then: many senders forget to escape it.
    guess: Option<(Percent, Stage, Coded)>,
    /// Where in the stream the last bytes ended.
    last: u64,
}

impl Decoding {
    fn push(&mut self, out: &mut Out<'_>, bytes: Bytes<'_>, at: u64) {
        let end = at + bytes.len();
        let budget = out.budget.clone();
        self.last = bytes.from.end;
        let from = bytes.from;
        if let Some((percent, content)) = &mut self.form {
            percent_push(percent, bytes.data, &budget, &mut |data| {
                content.push(out, Bytes { data, from, copied: false }, end);
            });
        }
        if let Some((percent, layer, coded)) = &mut self.guess {
            percent_push(percent, bytes.data, &budget, &mut |data| {
                let at = layer.output();
                layer.consumed(end);
                layer.pass(data.len() as u64);
                layer.within(out, |out| coded.push(out, Bytes { data, from, copied: false }, at));
            });
        }
    }

    fn finish(mut self, out: &mut Out<'_>) {
        let budget = out.budget.clone();
        if let Some((mut percent, mut content)) = self.form.take() {
            // What is still held is an escape that was none: at most two bytes, which the value's body holds too.
            let _ = percent.finish(&budget, &mut |output: Output<'_>| {
                let from = ByteRange::new(self.last, self.last);
                content.push(out, Bytes { data: output.bytes, from, copied: false }, 0);
            });
            content.finish(out);
        }
        if let Some((_, layer, mut coded)) = self.guess.take() {
            layer.within(out, |out| coded.finish(out));
        }
    }
}

fn percent_push(percent: &mut Percent, data: &[u8], budget: &Budget, out: &mut dyn FnMut(&[u8])) {
    // Percent-encoding knows no damage, and a spent budget is reported by what uses more of it.
    let _ = percent.push(data, budget, &mut |output| out(output.bytes));
}
