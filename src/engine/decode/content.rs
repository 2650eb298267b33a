//! Content, whatever is declared about it: searched as it is, or peeled further.

use crate::{
    engine::codec::{
        Base64, Brotli, Coding, Damage, Inflate, Kind, LineEnds, Output, QuotedPrintable, Wrapper,
        ZSTD_MAGIC, Zstd,
    },
    evidence::{AnomalyKind, ByteRange, printable},
};

use super::{
    form::Form,
    layers::{Bytes, Held, Out, Stage},
    mime::Message,
    multipart::Multipart,
    sink::{Keep, Place},
};

/// Bytes that are held until it is clear what content is. Also the shortest base64 that is decoded
/// without being declared: shorter runs of letters are words.
pub(super) const SNIFF: usize = 64;

/// What is declared about content.
#[derive(Clone, Debug, Default)]
pub(super) struct Declared {
    /// Content codings in the order in which they were applied.
    pub(super) codings: Vec<String>,
    /// The Content-Transfer-Encoding of a part, or how FTP and TFTP spell line ends (`ftp-ascii`, `netascii`).
    pub(super) transfer: Option<String>,
    /// The Content-Type.
    pub(super) media: Option<String>,
    /// Whether the bytes can be read from the stream once more, so that they need not be searched while
    /// there is hope that a coding comes off.
    pub(super) again: bool,
    /// Whether base64 that nobody declared is not to be looked for.
    pub(super) settled: bool,
    /// Whether it stands in a mail.
    pub(super) mail: bool,
}

/// How content ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Every byte is in leaves that are searched.
    Searched,
    /// A coding failed: the bytes must be read again and searched as they are.
    Again,
}

/// Content as it streams by.
pub(super) struct Content {
    stage: Stage,
    declared: Declared,
    held: Held,
    inner: Option<Inner>,
    /// Whether a coding that the bytes were only digested for has failed.
    again: bool,
    /// Whether there is a leaf even if no byte comes.
    expected: bool,
}

enum Inner {
    Plain,
    /// In a coding that is not taken off here.
    Unread,
    Coded(Box<Coded>),
    Multipart(Box<Multipart>),
    Message(Box<Message>),
    Form(Box<Form>),
}

impl Content {
    pub(super) fn new(stage: Stage, declared: Declared) -> Self {
        Self { stage, declared, held: Held::default(), inner: None, again: false, expected: false }
    }

    /// There is a leaf even if no byte comes.
    pub(super) fn expect(mut self) -> Self {
        self.expected = true;
        self
    }

    /// Takes the next bytes, which end at `input_end` of the layer before.
    pub(super) fn push(&mut self, out: &mut Out<'_>, bytes: Bytes<'_>, input_end: u64) {
        self.stage.consumed(input_end);
        let mut rest = bytes;
        if self.inner.is_none() {
            let room = SNIFF.saturating_sub(self.held.data.len()).min(bytes.data.len());
            let (first, after) = bytes.split(room);
            self.held.push(first);
            if self.held.data.len() < SNIFF {
                return;
            }
            self.decide(out);
            rest = after;
        }
        self.feed(out, rest);
    }

    /// Says that the next bytes stand in the layer before from `input` on, byte for byte.
    pub(super) fn runs(&mut self, input: u64) {
        self.stage.runs(self.stage.output() + self.held.data.len() as u64, input);
    }

    /// Bytes are missing.
    pub(super) fn gap(&mut self, out: &mut Out<'_>, missing: u64, input_end: u64) {
        if self.inner.is_none() {
            self.decide(out);
        }
        self.stage.consumed(input_end - missing.min(input_end));
        let output = self.stage.output();
        let failed = match &mut self.inner {
            Some(Inner::Coded(coded)) => self.stage.within(out, |out| coded.gap(out)),
            Some(Inner::Multipart(multipart)) => {
                self.stage.within(out, |out| multipart.gap(out, output, missing));
                false
            }
            Some(Inner::Message(message)) => {
                self.stage.within(out, |out| message.gap(out, output, missing));
                false
            }
            Some(Inner::Form(form)) => {
                self.stage.within(out, |out| form.gap(out));
                false
            }
            _ => false,
        };
        self.again |= failed && self.stage.kept() == Keep::Digest;
        self.stage.gap(out, missing);
        self.stage.consumed(input_end);
    }

    /// Ends the content.
    pub(super) fn finish(&mut self, out: &mut Out<'_>) -> Ended {
        if self.inner.is_none() {
            self.decide(out);
        }
        let failed = match &mut self.inner {
            Some(Inner::Coded(coded)) => self.stage.within(out, |out| coded.finish(out)),
            Some(Inner::Multipart(multipart)) => {
                self.stage.within(out, |out| multipart.finish(out));
                false
            }
            Some(Inner::Message(message)) => {
                self.stage.within(out, |out| message.finish(out));
                false
            }
            Some(Inner::Form(form)) => {
                self.stage.within(out, |out| form.finish(out));
                false
            }
            _ => false,
        };
        self.again |= failed && self.stage.kept() == Keep::Digest;
        if self.expected {
            self.stage.open(out);
        }
        self.stage.close(out);
        if self.again { Ended::Again } else { Ended::Searched }
    }

    fn feed(&mut self, out: &mut Out<'_>, bytes: Bytes<'_>) {
        if bytes.data.is_empty() {
            return;
        }
        let at = self.stage.output();
        self.stage.write(out, bytes);
        if matches!(self.inner, Some(Inner::Unread)) && bytes.copied {
            out.place(bytes.from, Place::Opaque);
        }
        let failed = match &mut self.inner {
            Some(Inner::Coded(coded)) => self.stage.within(out, |out| coded.push(out, bytes, at)),
            Some(Inner::Multipart(multipart)) => {
                self.stage.within(out, |out| multipart.push(out, bytes, at));
                false
            }
            Some(Inner::Message(message)) => {
                self.stage.within(out, |out| message.push(out, bytes, at));
                false
            }
            Some(Inner::Form(form)) => {
                self.stage.within(out, |out| form.push(out, bytes, at));
                false
            }
            _ => false,
        };
        self.again |= failed && self.stage.kept() == Keep::Digest;
    }

    /// Chooses what to do by what is declared and what the first bytes are, and feeds those.
    fn decide(&mut self, out: &mut Out<'_>) {
        let held = std::mem::take(&mut self.held);
        let mut inner = Inner::Plain;
        if !held.data.is_empty() {
            if out.depth() >= usize::try_from(out.limits.max_depth).unwrap_or(usize::MAX) {
                let detail = format!("more than {} layers; the rest is searched as it is", out.depth());
                out.anomaly(AnomalyKind::LimitReached, Some(held.bytes().from.start), detail);
            } else {
                inner = self.choose(out, &held);
            }
        }
        let split = matches!(inner, Inner::Multipart(_) | Inner::Message(_));
        let whole = matches!(&inner, Inner::Coded(coded) if coded.gives_all());
        if split || (whole && self.declared.again) {
            self.stage.keep(Keep::Digest);
        }
        self.inner = Some(inner);
        self.feed(out, held.bytes());
    }

    fn choose(&mut self, out: &mut Out<'_>, held: &Held) -> Inner {
        let first = held.data.as_slice();
        while let Some(coding) = self.declared.codings.pop() {
            let inner = Declared { again: false, ..self.declared.clone() };
            match coding.as_str() {
                "identity" => {}
                "gzip" | "x-gzip" if first.starts_with(&[0x1f, 0x8b]) => {
                    return coded("gzip", Box::new(Inflate::new(Wrapper::Gzip)), inner);
                }
                "gzip" | "x-gzip" => {
                    let detail = "gzip is declared, but the bytes are not gzip".to_owned();
                    out.anomaly(AnomalyKind::CodingMismatch, Some(held.bytes().from.start), detail);
                }
                "deflate" => return coded("deflate", Box::new(Inflate::new(Wrapper::ZlibOrNone)), inner),
                "br" => return coded("br", Box::new(Brotli::new()), inner),
                "zstd" if first.starts_with(&ZSTD_MAGIC) => {
                    return coded("zstd", Box::new(Zstd::new()), inner);
                }
                "zstd" => {
                    let detail = "zstd is declared, but the bytes are not zstd".to_owned();
                    out.anomaly(AnomalyKind::CodingMismatch, Some(held.bytes().from.start), detail);
                }
                _ => return Inner::Unread,
            }
        }
        let Declared { media, mail, .. } = &self.declared;
        let inner = Declared { media: media.clone(), mail: *mail, ..Declared::default() };
        if let Some((op, coding)) = by_magic(first) {
            return Inner::Coded(Box::new(Coded { guessed: true, ..Coded::new(op, coding, inner) }));
        }
        match self.declared.transfer.take().as_deref() {
            Some("base64") => return coded("base64", Box::new(Base64::new()), inner),
            Some("quoted-printable") => {
                return coded("quoted-printable", Box::new(QuotedPrintable::new()), inner);
            }
            Some("ftp-ascii") => return coded("ftp.ascii", Box::new(LineEnds::ftp()), inner),
            Some("netascii") => return coded("tftp.netascii", Box::new(LineEnds::netascii()), inner),
            _ => {}
        }
        let media = self.declared.media.clone().unwrap_or_default();
        if let Some(multipart) = Multipart::of(&media, self.declared.mail) {
            return Inner::Multipart(Box::new(multipart));
        }
        if matches!(media_type(&media).as_str(), "message/rfc822" | "message/global") {
            return Inner::Message(Box::new(Message::new()));
        }
        if is_base64(first) && !self.declared.settled {
            return Inner::Coded(Box::new(Coded::guessed()));
        }
        if media_type(&media) == "application/x-www-form-urlencoded" {
            return Inner::Form(Box::new(Form::new("form.value", 0)));
        }
        Inner::Plain
    }
}

/// The coding that bytes say they are in.
fn by_magic(first: &[u8]) -> Option<(&'static str, Box<dyn Coding>)> {
    match first {
        [0x1f, 0x8b, 8, ..] => Some(("gzip", Box::new(Inflate::new(Wrapper::Gzip)))),
        _ if first.starts_with(&ZSTD_MAGIC) => Some(("zstd", Box::new(Zstd::new()))),
        _ => None,
    }
}

fn coded(op: &'static str, coding: Box<dyn Coding>, inner: Declared) -> Inner {
    Inner::Coded(Box::new(Coded::new(op, coding, inner)))
}

/// The type and subtype of a Content-Type, in lower case.
pub(super) fn media_type(media: &str) -> String {
    media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether bytes look like the beginning of long base64: no line shorter than the sniffed length but for line breaks.
pub(super) fn is_base64(first: &[u8]) -> bool {
    let symbols = first.iter().filter(|byte| !matches!(byte, b'\r' | b'\n')).count();
    let plain = |&byte: &u8| Base64::may_hold(byte) && !matches!(byte, b' ' | b'\t' | b'=');
    first.len() >= SNIFF && symbols + 2 >= SNIFF && first.iter().all(plain)
}

/// A coding that is being taken off, and the content that comes out.
pub(super) struct Coded {
    op: &'static str,
    coding: Option<Box<dyn Coding>>,
    content: Content,
    /// What the coding carries beside its content.
    aside: Stage,
    /// The stream position from which nothing has come out yet.
    pending: Option<u64>,
    /// How far the layer before was taken in.
    seen: u64,
    guessed: bool,
    over: bool,
    /// Whether nothing can be said about the bytes that come.
    opaque: bool,
}

impl Coded {
    fn new(op: &'static str, coding: Box<dyn Coding>, inner: Declared) -> Self {
        Self {
            op,
            coding: Some(coding),
            content: Content::new(Stage::new(op, None, 0, Keep::Search), inner),
            aside: Stage::new(
                if op == "zstd" { "zstd.framing" } else { "gzip.framing" },
                None,
                0,
                Keep::Search,
            ),
            pending: None,
            seen: 0,
            guessed: false,
            over: false,
            opaque: false,
        }
    }

    /// base64 that nobody declared: that it ends early is no anomaly.
    pub(super) fn guessed() -> Self {
        Self { guessed: true, ..Self::new("base64", Box::new(Base64::new()), Declared::default()) }
    }

    /// Whether all that the bytes hold comes out, so that they need not be searched themselves. What stands in
    /// metadata blocks of Brotli does not, and a guess may be wrong.
    fn gives_all(&self) -> bool {
        !self.guessed && self.op != "br"
    }

    /// Takes encoded bytes, which stand at `at` of the layer before. True when the coding fails.
    pub(super) fn push(&mut self, out: &mut Out<'_>, bytes: Bytes<'_>, at: u64) -> bool {
        if self.over {
            self.unread(out, bytes);
            return false;
        }
        let Some(coding) = &mut self.coding else { return false };
        self.seen = at + bytes.len();
        let budget = out.budget.clone();
        let Self { content, aside, pending, .. } = self;
        let start = pending.unwrap_or(bytes.from.start);
        *pending = Some(start);
        let result = coding.push(bytes.data, &budget, &mut |output: Output<'_>| {
            let origin = bytes.origin(&output.consumed);
            let from = ByteRange::new(pending.take().unwrap_or(origin.start).min(origin.start), origin.end);
            let piece = Bytes { data: output.bytes, from, copied: false };
            let end = at + output.consumed.end as u64;
            match output.kind {
                Kind::Content => content.push(out, piece, end),
                Kind::Aside => {
                    aside.consumed(end);
                    aside.write(out, piece);
                }
            }
            *pending = Some(origin.end);
        });
        let Err(damage) = result else { return false };
        let failed = self.fail(out, damage, Some(bytes.from.start));
        self.unread(out, bytes);
        failed
    }

    pub(super) fn finish(&mut self, out: &mut Out<'_>) -> bool {
        if self.over {
            return false;
        }
        let budget = out.budget.clone();
        let Self { content, pending, seen, .. } = self;
        content.stage.consumed(*seen);
        let Some(coding) = &mut self.coding else { return false };
        let result = coding.finish(&budget, &mut |output: Output<'_>| {
            let start = pending.unwrap_or(0);
            let from = ByteRange::new(start, start);
            content.push(out, Bytes { data: output.bytes, from, copied: false }, *seen);
        });
        let at = self.pending;
        match result {
            Ok(()) => {
                self.end(out);
                false
            }
            Err(damage) => self.fail(out, damage, at),
        }
    }

    /// Nothing can be decoded across a gap.
    pub(super) fn gap(&mut self, out: &mut Out<'_>) -> bool {
        let failed = !self.over;
        self.end(out);
        failed
    }

    fn fail(&mut self, out: &mut Out<'_>, damage: Damage, at: Option<u64>) -> bool {
        if !self.guessed {
            let kind = match damage {
                Damage::Budget | Damage::Window | Damage::TooLong => AnomalyKind::LimitReached,
                _ => AnomalyKind::CodingMismatch,
            };
            out.anomaly(kind, at, format!("{}: {damage}", printable(self.op.as_bytes(), 32)));
        }
        self.opaque = matches!(damage, Damage::Window | Damage::Dictionary);
        self.end(out);
        true
    }

    /// Bytes that nothing came out of.
    fn unread(&self, out: &mut Out<'_>, bytes: Bytes<'_>) {
        if self.opaque && bytes.copied {
            out.place(bytes.from, Place::Opaque);
        }
    }

    fn end(&mut self, out: &mut Out<'_>) {
        if !self.over {
            self.over = true;
            // Its window goes, however long the bytes go on.
            self.coding = None;
            self.aside.close(out);
            self.content.finish(out);
        }
    }
}
