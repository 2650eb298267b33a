//! multipart bodies (RFC 2046 section 5.1) as a stream: each part a leaf, what stands between them another.

use memchr::memmem::Finder;

use crate::evidence::AnomalyKind;

use super::{
    content::{Content, Declared, media_type},
    layers::{Bytes, Held, Out, Stage},
    sink::{Keep, Place},
};

/// RFC 2046 section 5.1.1.
const MAX_BOUNDARY: usize = 70;

/// White space after a delimiter; gateways once added some.
const MAX_PADDING: usize = 64;

/// The head of a part: a few lines.
const MAX_HEAD: usize = 16 << 10;

/// Parts of one body: each is a leaf. An upload of an album has some hundreds.
const MAX_PARTS: u32 = 10_000;

/// Splits a body at its boundary.
pub(super) struct Multipart {
    /// `--` and the boundary.
    delimiter: Vec<u8>,
    finder: Finder<'static>,
    state: State,
    /// What may become a delimiter.
    held: Held,
    /// Whether a delimiter may stand here without a line end before it.
    fresh: bool,
    part: Option<Content>,
    parts: u32,
    head: Held,
    framing: Stage,
    gapped: bool,
    /// The offset in the body of the next byte to give on.
    at: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Preamble,
    Head,
    Data,
    Epilogue,
}

/// Whether bytes can become a delimiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Perhaps,
    Delimiter,
    /// The last one; the two hyphens are its end.
    Close,
    No,
}

impl Multipart {
    /// The splitter for a Content-Type, if that is multipart with a boundary.
    pub(super) fn of(media: &str) -> Option<Self> {
        if !media_type(media).starts_with("multipart/") {
            return None;
        }
        let boundary = parameter(media.as_bytes(), "boundary")?;
        if boundary.is_empty() || boundary.len() > MAX_BOUNDARY {
            return None;
        }
        let delimiter = [b"--", boundary.as_slice()].concat();
        let finder = Finder::new(&[b"\n", delimiter.as_slice()].concat()).into_owned();
        Some(Self {
            delimiter,
            finder,
            state: State::Preamble,
            held: Held::default(),
            fresh: true,
            part: None,
            parts: 0,
            head: Held::default(),
            framing: Stage::new("multipart.framing", None, 0, Keep::Search),
            gapped: false,
            at: 0,
        })
    }

    /// Takes bytes that stand at `at` of the body.
    pub(super) fn push(&mut self, out: &mut Out<'_>, bytes: Bytes<'_>, at: u64) {
        self.at = at - self.held.data.len() as u64;
        let mut position = 0;
        while position < bytes.data.len() {
            let rest = bytes.part(position..bytes.data.len());
            position += match self.state {
                _ if !self.held.data.is_empty() => self.step(out, rest),
                State::Head => self.take_head(out, rest),
                State::Epilogue => {
                    self.emit(out, rest);
                    rest.data.len()
                }
                State::Preamble | State::Data if self.fresh => self.step(out, rest),
                State::Preamble | State::Data => self.scan(out, rest),
            };
        }
    }

    /// Bytes are missing after offset `at`: nobody knows which part the next ones belong to.
    pub(super) fn gap(&mut self, out: &mut Out<'_>, at: u64, missing: u64) {
        self.give_up_held(out);
        self.gapped = true;
        self.fresh = false;
        self.end_part(out);
        self.framing.gap(out, 0);
        self.head = Held::default();
        self.at = at + missing;
        if matches!(self.state, State::Head | State::Data) {
            self.state = State::Data;
            let stage = Stage::after_gap("multipart.part", self.at);
            self.part = Some(Content::new(stage, Declared::default()));
        }
    }

    pub(super) fn finish(&mut self, out: &mut Out<'_>) {
        self.give_up_held(out);
        self.end_part(out);
        self.framing.close(out);
        let why = match self.state {
            State::Epilogue => return,
            _ if self.gapped => return,
            State::Preamble => "the boundary never comes",
            State::Head => "it ends within the head of a part",
            State::Data => "the closing boundary is missing",
        };
        out.anomaly(AnomalyKind::MultipartMalformed, None, format!("multipart: {why}"));
    }

    /// Looks for the next line that may be a delimiter; gives how many bytes were dealt with.
    fn scan(&mut self, out: &mut Out<'_>, bytes: Bytes<'_>) -> usize {
        let found = self.finder.find(bytes.data);
        let candidate = match found {
            Some(line) if line > 0 && bytes.data.get(line - 1) == Some(&b'\r') => line - 1,
            Some(line) => line,
            None => {
                // Only the end can be the beginning of a delimiter.
                let from = bytes.data.len().saturating_sub(self.delimiter.len() + 2);
                (from..bytes.data.len())
                    .find(|&from| self.line(bytes.data.get(from..).unwrap_or_default(), false) != Line::No)
                    .unwrap_or(bytes.data.len())
            }
        };
        self.emit(out, bytes.part(0..candidate));
        let end = found.map_or(bytes.data.len(), |line| line + 1 + self.delimiter.len());
        self.held.push(bytes.part(candidate..end));
        end
    }

    /// Takes one more byte to what may become a delimiter.
    fn step(&mut self, out: &mut Out<'_>, bytes: Bytes<'_>) -> usize {
        self.held.push(bytes.part(0..1));
        match self.line(&self.held.data, self.fresh) {
            Line::Perhaps => {}
            Line::No => self.give_up_start(out),
            verdict => {
                let held = std::mem::take(&mut self.held);
                self.end_part(out);
                self.state = if verdict == Line::Close { State::Epilogue } else { State::Head };
                self.fresh = false;
                if held.bytes().copied {
                    out.place(held.bytes().from, Place::Understood);
                }
                self.emit(out, held.bytes());
            }
        }
        1
    }

    /// What is held is no delimiter; a later byte of it may begin one.
    fn give_up_start(&mut self, out: &mut Out<'_>) {
        self.fresh = false;
        let held = std::mem::take(&mut self.held);
        let next = (1..held.data.len())
            .find(|&from| self.line(held.data.get(from..).unwrap_or_default(), false) != Line::No)
            .unwrap_or(held.data.len());
        let (before, after) = held.bytes().split(next);
        self.emit(out, before);
        if !after.data.is_empty() {
            self.held.push(after);
        }
    }

    fn give_up_held(&mut self, out: &mut Out<'_>) {
        let held = std::mem::take(&mut self.held);
        self.emit(out, held.bytes());
    }

    /// Whether `bytes` can become a delimiter: a line end (needless where `fresh`), two hyphens and the boundary,
    /// then two hyphens, or white space and a line end.
    fn line(&self, bytes: &[u8], fresh: bool) -> Line {
        if fresh {
            let line = self.after_line_end(bytes);
            if line != Line::No {
                return line;
            }
        }
        match bytes {
            [b'\r'] => Line::Perhaps,
            [b'\r', b'\n', rest @ ..] | [b'\n', rest @ ..] => self.after_line_end(rest),
            _ => Line::No,
        }
    }

    fn after_line_end(&self, bytes: &[u8]) -> Line {
        let Some(tail) = bytes.strip_prefix(self.delimiter.as_slice()) else {
            return if self.delimiter.starts_with(bytes) { Line::Perhaps } else { Line::No };
        };
        let padding = tail.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        match tail.get(padding..).unwrap_or_default() {
            _ if padding > MAX_PADDING => Line::No,
            [] | [b'\r'] => Line::Perhaps,
            [b'-'] if padding == 0 => Line::Perhaps,
            [b'-', b'-'] if padding == 0 => Line::Close,
            [b'\n'] | [b'\r', b'\n'] => Line::Delimiter,
            _ => Line::No,
        }
    }

    /// Gives bytes to where they belong.
    fn emit(&mut self, out: &mut Out<'_>, bytes: Bytes<'_>) {
        if bytes.data.is_empty() {
            return;
        }
        self.at += bytes.len();
        match (self.state, &mut self.part) {
            (State::Data, Some(part)) => part.push(out, bytes, self.at),
            _ => {
                self.framing.consumed(self.at);
                self.framing.write(out, bytes);
            }
        }
    }

    fn end_part(&mut self, out: &mut Out<'_>) {
        if let Some(mut part) = self.part.take() {
            part.finish(out);
        }
    }

    /// Takes lines of a part's head; gives how many bytes.
    fn take_head(&mut self, out: &mut Out<'_>, bytes: Bytes<'_>) -> usize {
        let end = memchr::memchr(b'\n', bytes.data).map_or(bytes.data.len(), |end| end + 1);
        let line = bytes.part(0..end);
        self.emit(out, line);
        self.head.push(line);
        let head = self.head.data.as_slice();
        let blank = matches!(head, b"\n" | b"\r\n") || head.ends_with(b"\n\n") || head.ends_with(b"\n\r\n");
        if blank || head.len() > MAX_HEAD {
            if !blank {
                out.anomaly(
                    AnomalyKind::MultipartMalformed,
                    Some(bytes.from.start),
                    "multipart: a part without the end of its head".to_owned(),
                );
            }
            let head = std::mem::take(&mut self.head);
            self.begin_part(out, head.bytes());
        }
        end
    }

    fn begin_part(&mut self, out: &mut Out<'_>, head: Bytes<'_>) {
        self.state = State::Data;
        self.fresh = true;
        self.parts += 1;
        if self.parts > MAX_PARTS {
            if self.parts == MAX_PARTS + 1 {
                let detail = format!("multipart: more than {MAX_PARTS} parts; the rest is searched as one");
                out.anomaly(AnomalyKind::LimitReached, Some(head.from.start), detail);
            }
            return;
        }
        let fields = PartFields::parse(out, head);
        let stage = Stage::new("multipart.part", fields.name.as_deref(), self.at, Keep::Search);
        self.part = Some(Content::new(stage, fields.declared).expect());
    }
}

/// What the head of a part says.
struct PartFields {
    name: Option<Vec<u8>>,
    declared: Declared,
}

impl PartFields {
    /// Reads the fields, and says of their names that they are understood.
    fn parse(out: &mut Out<'_>, head: Bytes<'_>) -> Self {
        let mut fields = Self { name: None, declared: Declared::default() };
        let mut start = 0;
        for line in head.data.split_inclusive(|&byte| byte == b'\n') {
            let position = start;
            start += line.len();
            let text = line.trim_ascii_end();
            let colon = memchr::memchr(b':', text).unwrap_or(text.len());
            let (name, value) = text.split_at(colon);
            let value = value.get(1..).unwrap_or_default();
            let space = value.iter().take_while(|byte| **byte == b' ').count().min(1);
            if head.copied && is_field_name(name) {
                let mut place = |range: std::ops::Range<usize>| {
                    let from = head.origin(&(position + range.start..position + range.end));
                    out.place(from, Place::Understood);
                };
                place(0..colon + 1 + space);
                place(text.len()..line.len());
            } else if head.copied && text.is_empty() {
                out.place(head.origin(&(position..start)), Place::Understood);
            }
            fields.field(name, value.trim_ascii());
        }
        fields
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        let text = || String::from_utf8_lossy(value).into_owned();
        match name.to_ascii_lowercase().as_slice() {
            b"content-disposition" => {
                self.name = parameter(value, "name").or_else(|| parameter(value, "filename"));
            }
            b"content-type" => {
                if self.name.is_none() {
                    self.name = parameter(value, "name");
                }
                self.declared.media = Some(text());
            }
            b"content-transfer-encoding" => self.declared.transfer = Some(text().to_ascii_lowercase()),
            _ => {}
        }
    }
}

/// Field names that parts have (RFC 7578 section 4.8, RFC 2045): others could spell anything.
fn is_field_name(name: &[u8]) -> bool {
    ["content-disposition", "content-type", "content-transfer-encoding", "content-length", "content-id"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// The value of `; name=value` or `; name="value"` (RFC 9110 section 5.6.6).
pub(super) fn parameter(value: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut rest = value;
    while let Some(semicolon) = memchr::memchr(b';', rest) {
        rest = rest.get(semicolon + 1..).unwrap_or_default().trim_ascii_start();
        let end = rest.iter().position(|byte| matches!(byte, b'=' | b';')).unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        let Some(after) = after.strip_prefix(b"=") else {
            rest = after;
            continue;
        };
        let (text, after) = quoted_or_token(after.trim_ascii_start());
        if key.trim_ascii().eq_ignore_ascii_case(name.as_bytes()) {
            return Some(text);
        }
        rest = after;
    }
    None
}

fn quoted_or_token(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|byte| *byte == b';').unwrap_or(text.len());
        let (token, rest) = text.split_at(end);
        return (token.trim_ascii_end().to_vec(), rest);
    };
    let mut value = Vec::new();
    let mut bytes = quoted.iter().enumerate();
    while let Some((index, &byte)) = bytes.next() {
        match byte {
            b'"' => return (value, quoted.get(index + 1..).unwrap_or_default()),
            // Browsers write `\` in Windows paths without escaping it.
            b'\\' if matches!(quoted.get(index + 1), Some(b'"' | b'\\')) => {
                value.extend(bytes.next().map(|(_, byte)| *byte));
            }
            _ => value.push(byte),
        }
    }
    (value, b"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_quoted_or_not() {
        let value = br#"form-data; name="a\"b"; filename=C:\x.jpg ; x"#;
        assert_eq!(parameter(value, "name").unwrap(), b"a\"b");
        assert_eq!(parameter(value, "filename").unwrap(), b"C:\\x.jpg");
        assert_eq!(parameter(value, "x"), None);
        assert_eq!(parameter(b"a; name=\"b; filename=c\"", "filename"), None);
    }
}
