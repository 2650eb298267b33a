//! multipart bodies (RFC 2046 section 5.1) as a stream: each part a leaf, what stands between them another.

use memchr::memmem::Finder;

use crate::evidence::AnomalyKind;

use super::{
    content::{Content, Declared, media_type},
    fields::parameter,
    layers::{Bytes, Held, Out, Stage},
    mime::{self, Head},
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
    /// Whether a type says so; else it is a guess, and nothing is understood by it.
    declared: bool,
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
    /// Whether it stands in a mail; then parts of a digest are messages (RFC 2046 section 5.1.5).
    mail: bool,
    digest: bool,
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
    pub(super) fn of(media: &str, mail: bool) -> Option<Self> {
        if !media_type(media).starts_with("multipart/") {
            return None;
        }
        let boundary = parameter(media.as_bytes(), "boundary")?;
        let digest = media_type(media) == "multipart/digest";
        Self::at(&boundary).map(|multipart| Self { declared: true, mail, digest, ..multipart })
    }

    /// The splitter for a boundary that nobody declared.
    pub(super) fn at(boundary: &[u8]) -> Option<Self> {
        if boundary.is_empty() || boundary.len() > MAX_BOUNDARY {
            return None;
        }
        let delimiter = [b"--", boundary].concat();
        let finder = Finder::new(&[b"\n", delimiter.as_slice()].concat()).into_owned();
        Some(Self {
            declared: false,
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
            mail: false,
            digest: false,
        })
    }

    /// Whether a type says so.
    pub(super) fn is_declared(&self) -> bool {
        self.declared
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
            let stage = Stage::after_gap(self.op(), self.at);
            self.part = Some(Content::new(stage, Declared { mail: self.mail, ..Declared::default() }));
        }
    }

    pub(super) fn finish(&mut self, out: &mut Out<'_>) {
        self.give_up_held(out);
        self.end_part(out);
        self.framing.close(out);
        let why = match self.state {
            State::Epilogue => return,
            _ if self.gapped || !self.declared => return,
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
                // Blanks of two kinds behind the boundary could be a code.
                let plain = !held.data.contains(&b'\t');
                if held.bytes().copied && self.declared && plain {
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
        // A line that is too long ends where the limit is, not where the bytes at hand do.
        let end = end.min((MAX_HEAD + 1).saturating_sub(self.head.data.len()).max(1));
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
        mime::words(out, &self.framing, head, self.framing.output() - head.len());
        // Where the whole is a guess, nothing is understood by it.
        let head = Bytes { copied: head.copied && self.declared, ..head };
        let Head { name, mut declared } = Head::parse(out, head);
        declared.mail = self.mail;
        if self.digest && declared.media.is_none() {
            declared.media = Some("message/rfc822".to_owned());
        }
        let stage = Stage::new(self.op(), name.as_deref(), self.at, Keep::Search);
        self.part = Some(Content::new(stage, declared).expect());
    }

    fn op(&self) -> &'static str {
        if self.mail { "mime.part" } else { "multipart.part" }
    }
}
