//! Content, whatever is declared about it: searched as it is, and read further where it is in a coding or holds values.
//!
//! Types that are declared are hints; bytes decide. A coding that nobody declared is a guess, and the bytes are then
//! searched as they stand too.

use std::borrow::Cow;

use crate::{
    engine::codec::{
        Base64, Brotli, Cbor, Coding, Damage, DataUrl, Endian, Hex, Inflate, Json, Kind, Latin1, LineEnds,
        MessagePack, Output, Percent, Protobuf, QuotedPrintable, Tar, Utf16, Wrapper, Xml, ZSTD_MAGIC, Zip,
        Zstd,
    },
    evidence::{AnomalyKind, ByteRange, printable},
};

use super::{
    doh::{self, Doh},
    form::Form,
    grpc::{self, Grpc},
    layers::{Bytes, Held, Out, Stage},
    mime::Message,
    multipart::Multipart,
    runs::Runs,
    sink::{Keep, Place},
    sniff::{LOOK, Packed, SNIFF, Shape, Verdict, WORTH, delimiter, is_base64, sniff},
    values::Values,
};

/// Bytes of a value that are held until it is clear whether it stands in its container as it is.
const HOLD: usize = 64 << 10;

/// Content is read further in blocks of this size, counted from its start: how it was cut into segments then shows
/// nowhere.
const BLOCK: usize = 4 << 10;

/// What is declared about content.
#[derive(Clone, Debug, Default)]
pub(super) struct Declared {
    /// Content codings in the order in which they were applied.
    pub(super) codings: Vec<String>,
    /// The Content-Transfer-Encoding of a part, or how FTP and TFTP spell line ends (`ftp-ascii`, `netascii`).
    pub(super) transfer: Option<String>,
    /// The Content-Type.
    pub(super) media: Option<String>,
    /// How messages inside are compressed, where they are (`grpc-encoding`).
    pub(super) messages: Option<String>,
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
    pub(super) stage: Stage,
    declared: Declared,
    held: Held,
    /// Whether the first of them did not say enough.
    looked: bool,
    decided: bool,
    readings: Vec<Reading>,
    /// Bytes that wait for their block to be full.
    block: Held,
    /// In a coding that is not taken off here.
    unread: bool,
    /// Whether a coding that the bytes were only digested for has failed.
    again: bool,
    /// Whether there is a leaf even if no byte comes.
    expected: bool,
    /// The coding that it is in and that its end cut off.
    torn: Option<&'static str>,
    value: Option<Value>,
}

/// What is known of content that is a value of a container.
#[derive(Clone, Copy, Debug)]
struct Value {
    /// Whether it is sure to stand there as it is.
    cut: bool,
    /// Whether it does not.
    differs: bool,
    /// Whether it is not worth a leaf.
    silent: bool,
    /// Whether its field's name makes it worth one.
    telling: bool,
}

/// One way in which content is read.
enum Reading {
    Coded(Box<Coded>),
    Multipart(Box<Multipart>),
    Message(Box<Message>),
    Grpc(Box<Grpc>),
    Doh(Box<Doh>),
    Form(Box<Form>),
    Values(Box<Values>),
    Runs(Box<Runs>),
}

impl Content {
    pub(super) fn new(stage: Stage, declared: Declared) -> Self {
        Self {
            stage,
            declared,
            held: Held::default(),
            looked: false,
            decided: false,
            readings: Vec::new(),
            block: Held::default(),
            unread: false,
            again: false,
            expected: false,
            torn: None,
            value: None,
        }
    }

    /// A value of a container; `cut`: sure to stand there as it is, and so searched there. `telling`: its field's name says
    /// what it is, and whether it fills the field is worth knowing.
    pub(super) fn value(stage: Stage, declared: Declared, cut: bool, telling: bool) -> Self {
        let value = Some(Value { cut, differs: false, silent: false, telling });
        Self { value, ..Self::new(stage, declared) }
    }

    /// Content in a coding that its layer knows.
    pub(super) fn coded(stage: Stage, op: &'static str, coding: Box<dyn Coding>, inner: Declared) -> Self {
        let readings = coded(op, coding, inner);
        Self { decided: true, readings, ..Self::new(stage, Declared::default()) }
    }

    /// Nothing is taken off it.
    pub(super) fn unread(mut self) -> Self {
        self.decided = true;
        self
    }

    /// There is a leaf even if no byte comes.
    pub(super) fn expect(mut self) -> Self {
        self.expected = true;
        self
    }

    /// Takes the next bytes of a value; `same`: they stand so in the container.
    pub(super) fn push_value(&mut self, out: &mut Out<'_>, bytes: Bytes<'_>, input_end: u64, same: bool) {
        if let Some(value) = &mut self.value {
            value.differs |= !same;
        }
        self.push(out, bytes, input_end);
    }

    /// Takes the next bytes, which end at `input_end` of the layer before.
    pub(super) fn push(&mut self, out: &mut Out<'_>, bytes: Bytes<'_>, input_end: u64) {
        let mut rest = bytes;
        while !self.decided {
            let room = self.wanted().saturating_sub(self.held.data.len()).min(rest.data.len());
            let (first, after) = rest.split(room);
            self.held.push(first);
            rest = after;
            if self.held.data.len() < self.wanted() {
                self.stage.consumed(input_end);
                return;
            }
            self.decide(out, input_end.saturating_sub(rest.len()), false);
        }
        self.feed(out, rest, input_end);
    }

    /// Says that the next bytes stand in the layer before from `input` on, byte for byte.
    pub(super) fn runs(&mut self, input: u64) {
        self.stage.runs(self.stage.output() + self.held.data.len() as u64, input);
    }

    /// How many bytes are held before something is decided.
    fn wanted(&self) -> usize {
        let unsure = self.value.is_some_and(|value| !value.cut && !value.differs);
        match self.looked {
            _ if unsure => HOLD,
            false => SNIFF,
            true => LOOK,
        }
    }

    /// Bytes are missing.
    pub(super) fn gap(&mut self, out: &mut Out<'_>, missing: u64, input_end: u64) {
        let before = input_end - missing.min(input_end);
        self.settle(out, before);
        self.stage.consumed(before);
        let output = self.stage.output();
        let mut failed = false;
        self.inside(out, |out, readings| {
            for reading in readings {
                failed |= reading.gap(out, output, missing);
            }
        });
        self.again |= failed && self.stage.kept() == Keep::Digest;
        self.stage.gap(out, missing);
        self.stage.consumed(input_end);
    }

    /// Ends the content.
    pub(super) fn finish(&mut self, out: &mut Out<'_>) -> Ended {
        let end = self.stage.consumed_to();
        self.settle(out, end);
        let mut failed = false;
        let mut torn = None;
        self.inside(out, |out, readings| {
            for reading in readings {
                failed |= reading.finish(out);
                torn = torn.or(reading.torn());
            }
        });
        self.torn = torn;
        self.again |= failed && self.stage.kept() == Keep::Digest;
        if self.expected {
            self.stage.open(out);
        }
        self.stage.close(out);
        if self.again { Ended::Again } else { Ended::Searched }
    }

    /// The coding that the content is in and that goes on beyond its end, once it is finished.
    pub(super) fn torn(&self) -> Option<&'static str> {
        self.torn
    }

    /// Does something with the readings, within this layer.
    fn inside(&mut self, out: &mut Out<'_>, act: impl FnOnce(&mut Out<'_>, &mut Vec<Reading>)) {
        let Self { stage, readings, .. } = self;
        stage.within(out, |out| act(out, readings));
    }

    /// Decides if that was not done, and empties the block: nothing comes directly after.
    fn settle(&mut self, out: &mut Out<'_>, input_end: u64) {
        if !self.decided {
            self.decide(out, input_end, true);
        }
        let block = std::mem::take(&mut self.block);
        self.read(out, block.bytes(), self.stage.output() - block.bytes().len(), input_end);
    }

    fn feed(&mut self, out: &mut Out<'_>, bytes: Bytes<'_>, input_end: u64) {
        self.stage.consumed(input_end);
        if bytes.data.is_empty() {
            return;
        }
        let at = self.stage.output();
        if self.value.is_some_and(|value| value.silent) {
            self.stage.pass(bytes.len());
        } else {
            self.stage.write(out, bytes);
        }
        if self.unread && bytes.copied {
            out.place(bytes.from, Place::Opaque);
        }
        let cuts = self.readings.iter().all(Reading::is_split);
        if cuts || out.blocked {
            return self.read(out, bytes, at, input_end);
        }
        let mut rest = bytes;
        while !rest.data.is_empty() {
            let (now, after) = rest.split((BLOCK - self.block.data.len()).min(rest.data.len()));
            rest = after;
            let (at, input_end) = (self.stage.output() - rest.len(), input_end.saturating_sub(rest.len()));
            if now.data.len() == BLOCK {
                self.read(out, now, at - now.len(), input_end);
                continue;
            }
            self.block.push(now);
            if self.block.data.len() == BLOCK {
                let mut block = std::mem::take(&mut self.block);
                self.read(out, block.bytes(), at - BLOCK as u64, input_end);
                block.clear();
                self.block = block;
            }
        }
    }

    /// Reads bytes further that stand at `at` of this layer, and whose input ended at `input_end`.
    fn read(&mut self, out: &mut Out<'_>, bytes: Bytes<'_>, at: u64, input_end: u64) {
        if bytes.data.is_empty() || self.readings.is_empty() {
            return;
        }
        let cuts = self.readings.iter().all(Reading::is_split);
        let blocked = out.blocked;
        out.blocked |= !cuts;
        let Self { stage, readings, .. } = self;
        let alone = readings.len() == 1;
        let mut failed = false;
        stage.within_at(out, input_end, at + bytes.len(), |out| {
            readings.retain_mut(|reading| {
                let Some(used) = reading.push(out, bytes, at) else { return true };
                failed |= reading.is_declared();
                if !alone || reading.is_declared() {
                    return reading.is_opaque();
                }
                // It was something else, or something follows.
                let mut runs = Runs::default();
                runs.push(out, bytes.part(used..bytes.data.len()), at + used as u64);
                *reading = Reading::Runs(Box::new(runs));
                true
            });
        });
        self.again |= failed && self.stage.kept() == Keep::Digest;
        out.blocked = blocked;
    }

    /// Chooses what to do by what is declared and what the first bytes are, and feeds those. `whole`: nothing follows.
    fn decide(&mut self, out: &mut Out<'_>, input_end: u64, whole: bool) {
        if !self.held.data.is_empty() {
            let Some(mut readings) = self.choose(out, whole) else {
                self.looked = true;
                return;
            };
            if !readings.is_empty() && out.is_deep(self.held.bytes()) {
                readings.clear();
            }
            self.weigh(out, &mut readings, whole);
            self.readings = readings;
        }
        self.decided = true;
        let held = std::mem::take(&mut self.held);
        self.feed(out, held.bytes(), input_end);
    }

    /// Decides whether there is a leaf, and whether it is searched or only digested.
    fn weigh(&mut self, out: &mut Out<'_>, readings: &mut Vec<Reading>, whole: bool) {
        if let Some(value) = &mut self.value {
            let first = self.held.data.as_slice();
            let plain = value.cut || whole || is_base64(first);
            let short = whole && first.len() < WORTH;
            let as_it_is = !value.differs && readings.is_empty() && short;
            let told = as_it_is && value.telling && out.admits_told();
            value.silent = as_it_is && !told;
            if !as_it_is && !out.admits_value() {
                value.silent = true;
                readings.clear();
            }
            if !value.differs && plain && !told {
                self.stage.keep(Keep::Digest);
            }
            return;
        }
        let [reading] = readings.as_slice() else { return };
        let declared = matches!(reading, Reading::Coded(coded) if coded.gives_all());
        let split = match reading {
            Reading::Multipart(multipart) => multipart.is_declared(),
            Reading::Message(_) | Reading::Grpc(_) => true,
            _ => false,
        };
        if split || (declared && self.declared.again) {
            self.stage.keep(Keep::Digest);
        }
    }

    /// What is declared goes first where the bytes do not deny it; then the bytes say what they are. `None`: more of
    /// them are needed.
    fn choose(&mut self, out: &mut Out<'_>, whole: bool) -> Option<Vec<Reading>> {
        let at = Some(self.held.bytes().from.start);
        let first = self.held.data.as_slice();
        let mismatch = |out: &mut Out<'_>, coding: &str| {
            let detail = format!("{coding} is declared, but the bytes are not {coding}");
            out.anomaly(AnomalyKind::CodingMismatch, at, detail);
        };
        while let Some(coding) = self.declared.codings.pop() {
            let inner = Declared { again: false, ..self.declared.clone() };
            match coding.as_str() {
                "identity" => {}
                "gzip" | "x-gzip" if first.starts_with(&[0x1f, 0x8b]) => {
                    return Some(coded("gzip", Box::new(Inflate::new(Wrapper::Gzip)), inner));
                }
                "gzip" | "x-gzip" => mismatch(out, "gzip"),
                "deflate" => {
                    return Some(coded("deflate", Box::new(Inflate::new(Wrapper::ZlibOrNone)), inner));
                }
                "br" => return Some(coded("br", Box::<Brotli>::default(), inner)),
                "zstd" if first.starts_with(&ZSTD_MAGIC) => {
                    return Some(coded("zstd", Box::<Zstd>::default(), inner));
                }
                "zstd" => mismatch(out, "zstd"),
                _ => {
                    self.unread = true;
                    return Some(Vec::new());
                }
            }
        }
        let transfer = self.declared.transfer.take();
        let Declared { media, mail, messages, .. } = &self.declared;
        let inner = || Declared {
            media: media.clone(),
            mail: *mail,
            messages: messages.clone(),
            ..Declared::default()
        };
        match transfer.as_deref() {
            Some("base64") => return Some(coded("base64", Box::<Base64>::default(), inner())),
            Some("quoted-printable") => {
                return Some(coded("quoted-printable", Box::<QuotedPrintable>::default(), inner()));
            }
            Some("ftp-ascii") => return Some(coded("ftp.ascii", Box::new(LineEnds::ftp()), inner())),
            Some("netascii") => {
                return Some(coded("tftp.netascii", Box::new(LineEnds::netascii()), inner()));
            }
            _ => {}
        }
        let media = media.as_deref().unwrap_or_default();
        if let Some(multipart) = Multipart::of(media, *mail) {
            return Some(vec![Reading::Multipart(Box::new(multipart))]);
        }
        match grpc::kind(media) {
            Some(grpc::Kind::Binary) => {
                return Some(vec![Reading::Grpc(Box::new(Grpc::new(media, messages.clone())))]);
            }
            Some(grpc::Kind::Text) if first.iter().all(|byte| Base64::may_hold(*byte)) => {
                let inner = Declared { media: Some(grpc::without_text(media)), ..inner() };
                return Some(coded("base64", Box::<Base64>::default(), inner));
            }
            _ => {}
        }
        let media = media_type(media);
        if matches!(&*media, "message/rfc822" | "message/global") {
            return Some(vec![Reading::Message(Box::new(Message::new()))]);
        }
        if media == doh::MEDIA {
            return Some(vec![Reading::Doh(Box::default())]);
        }
        let head = first.get(..LOOK).unwrap_or(first);
        let Verdict::Shapes(mut shapes) = sniff(head, whole && head.len() == first.len(), &media) else {
            return whole.then(Vec::new);
        };
        if self.declared.settled && is_base64(first) {
            shapes.clear();
        }
        let text = matches!(shapes.as_slice(), [Shape::Runs | Shape::Percent | Shape::QuotedPrintable] | []);
        if media == "application/x-www-form-urlencoded" && text && !is_base64(first) {
            shapes = vec![Shape::Fields];
        }
        if shapes.len() > 1 && !out.admits_doubt() {
            shapes.truncate(1);
        }
        if shapes == [Shape::Multipart] {
            let multipart = delimiter(first.trim_ascii_start()).and_then(Multipart::at);
            return Some(
                multipart.map(|multipart| Reading::Multipart(Box::new(multipart))).into_iter().collect(),
            );
        }
        let doubt = shapes.len() > 1;
        Some(shapes.into_iter().map(|shape| Reading::of(shape, &inner, doubt)).collect())
    }
}

fn coded(op: &'static str, coding: Box<dyn Coding>, inner: Declared) -> Vec<Reading> {
    vec![Reading::Coded(Box::new(Coded::new(op, coding, inner)))]
}

impl Reading {
    fn of(shape: Shape, inner: &dyn Fn() -> Declared, doubt: bool) -> Self {
        let guess = |op, coding: Box<dyn Coding>| {
            Self::Coded(Box::new(Coded::guess_at(op, coding, inner(), 0).doubted(doubt)))
        };
        let values = |container| Self::Values(Box::new(Values::new(container, doubt)));
        match shape {
            Shape::Gzip => guess("gzip", Box::new(Inflate::new(Wrapper::Gzip))),
            Shape::Zlib => guess("zlib", Box::new(Inflate::new(Wrapper::ZlibOrNone))),
            Shape::Deflate => guess("deflate", Box::new(Inflate::new(Wrapper::None))),
            Shape::Brotli => guess("br", Box::<Brotli>::default()),
            Shape::Zstd => guess("zstd", Box::<Zstd>::default()),
            Shape::Utf16(Endian::Big) => guess("utf-16be", Box::new(Utf16::new(Endian::Big))),
            Shape::Utf16(Endian::Little) => guess("utf-16le", Box::new(Utf16::new(Endian::Little))),
            Shape::Behind(skip, packed) => {
                let (op, coding): (_, Box<dyn Coding>) = match packed {
                    Packed::Gzip => ("gzip", Box::new(Inflate::new(Wrapper::Gzip))),
                    Packed::Zlib => ("zlib", Box::new(Inflate::new(Wrapper::ZlibOrNone))),
                    Packed::Zstd => ("zstd", Box::<Zstd>::default()),
                };
                Self::Coded(Box::new(Coded::guess_behind(skip, op, coding, inner()).doubted(doubt)))
            }
            Shape::Latin1 => guess("latin-1", Box::<Latin1>::default()),
            Shape::DataUrl => guess("data-url", Box::<DataUrl>::default()),
            Shape::Percent => guess("percent", Box::new(Percent::uri())),
            Shape::QuotedPrintable => guess("quoted-printable", Box::<QuotedPrintable>::default()),
            Shape::Hex | Shape::ShortHex => guess("hex", Box::<Hex>::default()),
            Shape::ShortBase64 => guess("base64", Box::<Base64>::default()),
            Shape::Zip => values(Box::<Zip>::default()),
            Shape::Tar => values(Box::<Tar>::default()),
            Shape::Json => values(Box::<Json>::default()),
            Shape::Xml => values(Box::<Xml>::default()),
            Shape::Protobuf => values(Box::<Protobuf>::default()),
            Shape::MessagePack => values(Box::<MessagePack>::default()),
            Shape::Cbor => values(Box::<Cbor>::default()),
            Shape::Fields => Self::Form(Box::new(Form::new("form.value", 0))),
            // The boundary is needed for that, which is not here.
            Shape::Multipart | Shape::Runs => Self::Runs(Box::default()),
        }
    }

    /// Whether it only splits bytes, so that blocks would show nowhere.
    fn is_split(&self) -> bool {
        matches!(self, Self::Multipart(_) | Self::Message(_) | Self::Grpc(_))
    }

    /// Whether its failure is that of a coding somebody declared.
    fn is_declared(&self) -> bool {
        matches!(self, Self::Coded(coded) if !coded.guessed)
    }

    /// Whether all that comes is in a coding that can't be taken off.
    fn is_opaque(&self) -> bool {
        matches!(self, Self::Coded(coded) if coded.opaque)
    }

    /// Takes bytes. Where the reading ends or breaks: how many of them were still used for it.
    fn push(&mut self, out: &mut Out<'_>, bytes: Bytes<'_>, at: u64) -> Option<usize> {
        match self {
            Self::Coded(coded) => coded.push(out, bytes, at),
            Self::Values(values) => values.push(out, bytes, at),
            Self::Multipart(multipart) => {
                multipart.push(out, bytes, at);
                None
            }
            Self::Message(message) => {
                message.push(out, bytes, at);
                None
            }
            Self::Grpc(messages) => {
                messages.push(out, bytes, at);
                None
            }
            Self::Form(form) => {
                form.push(out, bytes, at);
                None
            }
            Self::Doh(message) => {
                message.push(bytes);
                None
            }
            Self::Runs(runs) => {
                runs.push(out, bytes, at);
                None
            }
        }
    }

    /// Bytes are missing; true where a coding was declared and can't go on. What comes after may hold runs of an encoding
    /// all the same.
    fn gap(&mut self, out: &mut Out<'_>, at: u64, missing: u64) -> bool {
        let mut declared = false;
        match self {
            Self::Coded(coded) => declared = coded.gap(out),
            Self::Values(values) => values.end_value(out),
            Self::Multipart(multipart) => {
                multipart.gap(out, at, missing);
                return false;
            }
            Self::Message(message) => {
                message.gap(out, at, missing);
                return false;
            }
            Self::Grpc(messages) => {
                messages.gap(out, at, missing);
                return false;
            }
            Self::Form(form) => {
                form.gap(out);
                return false;
            }
            Self::Doh(message) => {
                message.gap();
                return false;
            }
            Self::Runs(runs) => runs.close(out),
        }
        *self = Self::Runs(Box::default());
        declared
    }

    /// The coding that was cut off, where somebody declared it or its first bytes are sure to be its own.
    fn torn(&self) -> Option<&'static str> {
        let Self::Coded(coded) = self else { return None };
        let marked = matches!(coded.op, "gzip" | "zlib" | "zstd");
        (coded.cut_off && (!coded.guessed || marked)).then_some(coded.op)
    }

    /// True where a coding was declared and is not at its end.
    fn finish(&mut self, out: &mut Out<'_>) -> bool {
        match self {
            Self::Coded(coded) => return coded.finish(out),
            Self::Values(values) => values.finish(out),
            Self::Multipart(multipart) => multipart.finish(out),
            Self::Message(message) => message.finish(out),
            Self::Grpc(messages) => messages.finish(out),
            Self::Form(form) => form.finish(out),
            Self::Doh(message) => message.finish(out),
            Self::Runs(runs) => runs.close(out),
        }
        false
    }
}

/// The type and subtype of a Content-Type, in lower case.
pub(super) fn media_type(media: &str) -> Cow<'_, str> {
    let named = media.split(';').next().unwrap_or_default().trim();
    if named.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(named.to_ascii_lowercase())
    } else {
        Cow::Borrowed(named)
    }
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
    /// Bytes before its first one that are still to come.
    skip: usize,
    guessed: bool,
    /// Whether it is one of several readings of the same bytes.
    doubt: bool,
    /// Whether nothing can be said about the bytes that come.
    opaque: bool,
    /// Whether its bytes end before it does.
    cut_off: bool,
}

impl Coded {
    fn new(op: &'static str, coding: Box<dyn Coding>, inner: Declared) -> Self {
        let aside = if op == "zstd" { "zstd.framing" } else { "gzip.framing" };
        Self {
            op,
            coding: Some(coding),
            content: Content::new(Stage::new(op, None, 0, Keep::Search), inner),
            aside: Stage::new(aside, None, 0, Keep::Search),
            pending: None,
            seen: 0,
            skip: 0,
            guessed: false,
            doubt: false,
            opaque: false,
            cut_off: false,
        }
    }

    /// A coding that nobody declared, from `at` of the layer before: that it ends early is no anomaly.
    pub(super) fn guess_at(op: &'static str, coding: Box<dyn Coding>, inner: Declared, at: u64) -> Self {
        let plain = Self::new(op, coding, inner.clone());
        Self { guessed: true, content: Content::new(Stage::new(op, None, at, Keep::Search), inner), ..plain }
    }

    /// A coding that nobody declared, behind the first `skip` bytes.
    fn guess_behind(skip: usize, op: &'static str, coding: Box<dyn Coding>, inner: Declared) -> Self {
        Self { skip, ..Self::guess_at(op, coding, inner, skip as u64) }
    }

    /// One of several readings.
    pub(super) fn doubted(mut self, doubt: bool) -> Self {
        self.doubt = doubt;
        self
    }

    /// Whether all that the bytes hold comes out, so that they need not be searched themselves. What stands in
    /// metadata blocks of Brotli does not, and a guess may be wrong.
    fn gives_all(&self) -> bool {
        !self.guessed && self.op != "br"
    }

    /// Takes encoded bytes, which stand at `at` of the layer before. Where the coding fails: how many were used.
    pub(super) fn push(&mut self, out: &mut Out<'_>, bytes: Bytes<'_>, at: u64) -> Option<usize> {
        if self.skip > 0 {
            let skipped = self.skip.min(bytes.data.len());
            self.skip -= skipped;
            let rest = bytes.part(skipped..bytes.data.len());
            if rest.data.is_empty() {
                return None;
            }
            return self.push(out, rest, at + skipped as u64).map(|used| used + skipped);
        }
        let Some(coding) = &mut self.coding else {
            self.unread(out, bytes);
            return None;
        };
        self.seen = at + bytes.len();
        let budget = out.budget.clone();
        out.doubts += u8::from(self.doubt);
        let Self { content, aside, pending, .. } = self;
        let start = pending.unwrap_or(bytes.from.start);
        *pending = Some(start);
        let mut used = 0;
        let result = coding.push(bytes.data, &budget, &mut |output: Output<'_>| {
            let origin = bytes.origin(&output.consumed);
            let from = ByteRange::new(pending.take().unwrap_or(origin.start).min(origin.start), origin.end);
            let piece = Bytes { data: output.bytes, from, copied: false };
            used = output.consumed.end;
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
        out.doubts -= u8::from(self.doubt);
        let damage = result.err()?;
        self.fail(out, damage, Some(bytes.from.start));
        self.unread(out, bytes);
        Some(used)
    }

    /// True when a declared coding is not at its end.
    pub(super) fn finish(&mut self, out: &mut Out<'_>) -> bool {
        let Some(coding) = &mut self.coding else { return false };
        let budget = out.budget.clone();
        let Self { content, pending, seen, .. } = self;
        content.stage.consumed(*seen);
        out.doubts += u8::from(self.doubt);
        let result = coding.finish(&budget, &mut |output: Output<'_>| {
            let start = pending.unwrap_or(0);
            let from = ByteRange::new(start, start);
            content.push(out, Bytes { data: output.bytes, from, copied: false }, *seen);
        });
        out.doubts -= u8::from(self.doubt);
        let at = self.pending;
        match result {
            Ok(()) => {
                self.end(out);
                false
            }
            Err(damage) => {
                self.cut_off = damage == Damage::CutOff;
                self.fail(out, damage, at);
                !self.guessed
            }
        }
    }

    /// Nothing can be decoded across a gap. True when a declared coding ends for it.
    pub(super) fn gap(&mut self, out: &mut Out<'_>) -> bool {
        let failed = self.coding.is_some() && !self.guessed;
        self.end(out);
        failed
    }

    fn fail(&mut self, out: &mut Out<'_>, damage: Damage, at: Option<u64>) {
        if !self.guessed {
            let kind = match damage {
                Damage::Budget | Damage::Window | Damage::TooLong => AnomalyKind::LimitReached,
                _ => AnomalyKind::CodingMismatch,
            };
            out.anomaly(kind, at, format!("{}: {damage}", printable(self.op.as_bytes(), 32)));
        } else if damage == Damage::Budget || damage == Damage::Window {
            out.anomaly(
                AnomalyKind::LimitReached,
                at,
                format!("{}: {damage}", printable(self.op.as_bytes(), 32)),
            );
        }
        self.opaque = matches!(damage, Damage::Window | Damage::Dictionary);
        self.end(out);
    }

    /// Bytes that nothing came out of.
    fn unread(&self, out: &mut Out<'_>, bytes: Bytes<'_>) {
        if self.opaque && bytes.copied {
            out.place(bytes.from, Place::Opaque);
        }
    }

    fn end(&mut self, out: &mut Out<'_>) {
        // Its window goes, however long the bytes go on.
        if self.coding.take().is_some() {
            out.doubts += u8::from(self.doubt);
            self.aside.close(out);
            self.content.finish(out);
            out.doubts -= u8::from(self.doubt);
        }
    }
}
