//! Messages and parts of MIME (RFC 5322, RFC 2045): the head, what it declares, and the body.

use crate::evidence::AnomalyKind;

use super::{
    content::{Content, Declared},
    fields::{self, Field, parameter},
    heads,
    layers::{Bytes, Held, Out, Stage},
    sink::{Keep, Place},
};

/// The head of a message: long lists of recipients and traces of many hops.
const MAX_HEAD: usize = 256 << 10;

/// Field names that messages and parts have (RFC 5322 section 3.6, RFC 2045, RFC 2183, RFC 7578, RFC 6376, and a few
/// that every program writes): others could spell anything.
const NAMES: [&str; 33] = [
    "bcc",
    "cc",
    "comments",
    "content-description",
    "content-disposition",
    "content-id",
    "content-language",
    "content-length",
    "content-location",
    "content-transfer-encoding",
    "content-type",
    "date",
    "delivered-to",
    "dkim-signature",
    "from",
    "importance",
    "in-reply-to",
    "keywords",
    "message-id",
    "mime-version",
    "received",
    "references",
    "reply-to",
    "return-path",
    "sender",
    "subject",
    "thread-index",
    "thread-topic",
    "to",
    "user-agent",
    "x-mailer",
    "x-originating-ip",
    "x-priority",
];

/// What the head of a message or part says.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// The name of a form's field, or of a file.
    pub(super) name: Option<Vec<u8>>,
    /// What is declared about the body.
    pub(super) declared: Declared,
}

impl Head {
    /// Reads the fields, and says of their names that they are understood.
    pub(super) fn parse(out: &mut Out<'_>, head: Bytes<'_>) -> Self {
        let mut parsed = Self::default();
        for field in fields::split(head.data) {
            place(out, head, &field);
            if let Field::Named { name, value, .. } = &field {
                let name = head.data.get(name.clone()).unwrap_or_default();
                let value = fields::unfold(head.data.get(value.clone()).unwrap_or_default());
                parsed.field(name, value.trim_ascii());
            }
        }
        parsed
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        let text = || String::from_utf8_lossy(value).into_owned();
        match name.to_ascii_lowercase().as_slice() {
            b"content-disposition" => {
                let named = parameter(value, "name").or_else(|| parameter(value, "filename"));
                self.name = named.or_else(|| self.name.take());
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

/// Says of a field line which bytes are understood: an ordinary name with its colon and space, and the line's end.
fn place(out: &mut Out<'_>, head: Bytes<'_>, field: &Field) {
    let mut say = |range: &std::ops::Range<usize>| {
        let part = head.part(range.clone());
        if part.copied {
            out.place(part.from, Place::Understood);
        }
    };
    match field {
        Field::Blank(range) => say(range),
        Field::Named { name, value, end } => {
            let text = head.data.get(name.clone()).unwrap_or_default();
            // Names without values, one after the other, could spell anything.
            if heads::is_spelt_plainly(text)
                && !value.is_empty()
                && NAMES.iter().any(|known| text.eq_ignore_ascii_case(known.as_bytes()))
            {
                let space =
                    usize::from(head.data.get(name.end + 1) == Some(&b' ') && value.start > name.end + 1);
                say(&(name.start..name.end + 1 + space));
                say(end);
            }
        }
        Field::Other(_) => {}
    }
}

/// A message on its way: the head as it is and with its encoded words, then the body.
pub(super) struct Message {
    head: Held,
    /// The head's leaf, open while it comes.
    lines: Stage,
    body: Option<Content>,
    /// Where the next byte stands in the layer before.
    at: u64,
}

impl Message {
    pub(super) fn new() -> Self {
        Self {
            head: Held::default(),
            lines: Stage::new("mime.head", None, 0, Keep::Search),
            body: None,
            at: 0,
        }
    }

    /// Takes bytes that stand at `at` of the message.
    pub(super) fn push(&mut self, out: &mut Out<'_>, bytes: Bytes<'_>, at: u64) {
        self.at = at;
        let mut rest = bytes;
        while !rest.data.is_empty() {
            let taken = match &mut self.body {
                Some(body) => {
                    body.push(out, rest, self.at + rest.len());
                    rest.data.len()
                }
                None => self.take_line(out, rest),
            };
            self.at += taken as u64;
            rest = rest.part(taken..rest.data.len());
        }
    }

    /// Bytes are missing after offset `at`.
    pub(super) fn gap(&mut self, out: &mut Out<'_>, at: u64, missing: u64) {
        self.at = at + missing;
        match &mut self.body {
            Some(body) => body.gap(out, missing, self.at),
            None => {
                // Whether the head goes on can't be known.
                self.end_head(out);
                let stage = Stage::after_gap("mime.body", self.at);
                self.body = Some(Content::new(stage, Declared { mail: true, ..Declared::default() }));
            }
        }
    }

    pub(super) fn finish(&mut self, out: &mut Out<'_>) {
        match &mut self.body {
            Some(body) => {
                body.finish(out);
            }
            None => {
                self.end_head(out);
            }
        }
    }

    /// Takes bytes of the head up to the end of a line; gives how many.
    fn take_line(&mut self, out: &mut Out<'_>, bytes: Bytes<'_>) -> usize {
        let end = memchr::memchr(b'\n', bytes.data).map_or(bytes.data.len(), |end| end + 1);
        let line = bytes.part(0..end);
        self.lines.consumed(self.at + end as u64);
        self.lines.write(out, line);
        self.head.push(line);
        let head = self.head.data.as_slice();
        let blank = matches!(head, b"\n" | b"\r\n") || head.ends_with(b"\n\n") || head.ends_with(b"\n\r\n");
        if !blank && head.len() > MAX_HEAD {
            let detail = format!("the head of a message is longer than {MAX_HEAD} bytes");
            out.anomaly(AnomalyKind::MailMalformed, Some(bytes.from.start), detail);
        }
        if blank || head.len() > MAX_HEAD {
            let declared = self.end_head(out).declared;
            let stage = Stage::new("mime.body", None, self.at + end as u64, Keep::Search);
            self.body = Some(Content::new(stage, Declared { mail: true, ..declared }));
        }
        end
    }

    fn end_head(&mut self, out: &mut Out<'_>) -> Head {
        let head = std::mem::take(&mut self.head);
        words(out, &self.lines, head.bytes(), 0);
        self.lines.close(out);
        Head::parse(out, head.bytes())
    }
}

/// The encoded words of a head (RFC 2047) that stands at `at` of its layer: a leaf for each field that has some.
pub(super) fn words(out: &mut Out<'_>, lines: &Stage, head: Bytes<'_>, at: u64) {
    if memchr::memmem::find(head.data, b"=?").is_none() {
        return;
    }
    for field in fields::split(head.data) {
        let Field::Named { name, value, .. } = field else { continue };
        let bytes = head.part(value.clone());
        let Some(decoded) = fields::encoded_words(&fields::unfold(bytes.data)) else { continue };
        if !out.admits_value() {
            break;
        }
        let param = head.data.get(name).unwrap_or_default();
        lines.within(out, |out| {
            let mut stage = Stage::new("mime.words", Some(param), at + value.start as u64, Keep::Search);
            stage.consumed(at + value.end as u64);
            stage.write(out, Bytes { data: &decoded, from: bytes.from, copied: false });
            stage.close(out);
        });
    }
}
