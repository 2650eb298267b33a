//! gRPC (the project's PROTOCOL-HTTP2 and PROTOCOL-WEB) and Connect: a body is messages, each behind five bytes.

use crate::evidence::{AnomalyKind, ByteRange};

use super::{
    content::{Content, Declared, media_type},
    layers::{Bytes, Held, Out, Stage},
    sink::{Keep, Place},
};

/// Flags, then the length.
const PREFIX: usize = 5;

/// The message is compressed.
const COMPRESSED: u8 = 0x01;
/// In Connect: the last one, which says how it ended.
const CONNECT_END: u8 = 0x02;
/// In gRPC-Web: field lines that come after the messages.
const TRAILERS: u8 = 0x80;

/// Messages of one body that are leaves: a photo that is sent in parts of 64 KiB makes some hundred.
const MAX_MESSAGES: u32 = 100_000;

/// A body of messages, as its type tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// As it is.
    Binary,
    /// In base64, whose groups may be padded anywhere.
    Text,
}

/// What a media type says about messages.
pub(super) fn kind(media: &str) -> Option<Kind> {
    let media = media_type(media);
    let (family, _) = media.split_once('+').unwrap_or((&media, ""));
    match family {
        "application/grpc" | "application/grpc-web" | "application/connect" => Some(Kind::Binary),
        "application/grpc-web-text" => Some(Kind::Text),
        _ => None,
    }
}

/// The type of a body in base64 without it.
pub(super) fn without_text(media: &str) -> String {
    media_type(media).replacen("-text", "", 1)
}

/// Splits a body into its messages.
pub(super) struct Grpc {
    /// How messages are compressed, where they are.
    coding: Option<String>,
    /// Their type, where the body's says it.
    media: Option<String>,
    state: State,
    /// The five bytes, as far as they came.
    held: Held,
    message: Option<Content>,
    /// Where its five bytes stand, if they stand in the stream as they are.
    prefix: Option<ByteRange>,
    framing: Stage,
    messages: u32,
    /// The offset in the body of the next byte to give on.
    at: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Prefix,
    /// So many bytes of a message are left.
    Message(u64),
    /// What comes is no message.
    Broken,
}

impl Grpc {
    pub(super) fn new(media: &str, coding: Option<String>) -> Self {
        let media = media_type(media);
        let inner = media.split_once('+').map(|(_, suffix)| suffix).unwrap_or("proto");
        let media = match inner {
            "proto" => Some("application/x-protobuf".to_owned()),
            "json" => Some("application/json".to_owned()),
            _ => None,
        };
        Self {
            coding,
            media,
            state: State::Prefix,
            held: Held::default(),
            message: None,
            prefix: None,
            framing: Stage::new("grpc.framing", None, 0, Keep::Search),
            messages: 0,
            at: 0,
        }
    }

    /// Takes bytes that stand at `at` of the body.
    pub(super) fn push(&mut self, out: &mut Out<'_>, bytes: Bytes<'_>, at: u64) {
        self.at = at;
        let mut rest = bytes;
        while !rest.data.is_empty() {
            let wanted = match self.state {
                State::Prefix => PREFIX - self.held.data.len().min(PREFIX),
                State::Message(left) => usize::try_from(left).unwrap_or(usize::MAX),
                State::Broken => usize::MAX,
            };
            let (now, after) = rest.split(wanted.min(rest.data.len()));
            rest = after;
            self.at += now.len();
            self.take(out, now);
        }
    }

    fn take(&mut self, out: &mut Out<'_>, bytes: Bytes<'_>) {
        match (&mut self.state, &mut self.message) {
            (State::Message(left), Some(message)) => {
                message.push(out, bytes, self.at);
                *left -= bytes.len().min(*left);
            }
            (state, _) => {
                self.framing.consumed(self.at);
                self.framing.write(out, bytes);
                match state {
                    State::Prefix => self.held.push(bytes),
                    State::Message(left) => *left -= bytes.len().min(*left),
                    State::Broken => {}
                }
            }
        }
        self.settle(out);
    }

    /// Goes on where the prefix or the message is whole.
    fn settle(&mut self, out: &mut Out<'_>) {
        if let Some(&[flags, a, b, c, d]) = self.held.data.first_chunk() {
            let held = std::mem::take(&mut self.held);
            self.begin(out, flags, u32::from_be_bytes([a, b, c, d]), held.bytes());
        }
        if self.state == State::Message(0) {
            self.end(out);
            if let Some(prefix) = self.prefix.take() {
                out.place(prefix, Place::Understood);
            }
            self.state = State::Prefix;
        }
    }

    fn begin(&mut self, out: &mut Out<'_>, flags: u8, length: u32, prefix: Bytes<'_>) {
        let what = match flags & !COMPRESSED {
            0 => None,
            CONNECT_END => Some("end"),
            TRAILERS => Some("trailers"),
            _ => {
                self.state = State::Broken;
                let detail = "gRPC: a message with flags that are not defined".to_owned();
                return out.anomaly(AnomalyKind::GrpcMalformed, Some(prefix.from.start), detail);
            }
        };
        self.state = State::Message(u64::from(length));
        self.prefix = prefix.copied.then_some(prefix.from);
        self.messages += 1;
        if self.messages > MAX_MESSAGES {
            if self.messages == MAX_MESSAGES + 1 {
                let detail = format!("gRPC: more than {MAX_MESSAGES} messages; the rest is searched as one");
                out.anomaly(AnomalyKind::LimitReached, Some(prefix.from.start), detail);
            }
            return;
        }
        let compressed = flags & COMPRESSED != 0;
        let codings = self.coding.iter().filter(|_| compressed).cloned().collect();
        let media = self.media.clone().filter(|_| what.is_none());
        let declared = Declared { codings, media, ..Declared::default() };
        let stage = Stage::new("grpc.message", what.map(str::as_bytes), self.at, Keep::Search);
        self.message = Some(Content::new(stage, declared).expect());
    }

    fn end(&mut self, out: &mut Out<'_>) {
        if let Some(mut message) = self.message.take() {
            message.finish(out);
        }
    }

    /// Bytes are missing after offset `at`: those of one message, or nobody knows where the next begins.
    pub(super) fn gap(&mut self, out: &mut Out<'_>, at: u64, missing: u64) {
        self.at = at + missing;
        match (&mut self.state, &mut self.message) {
            (State::Message(left), Some(message)) if missing <= *left => {
                *left -= missing;
                message.gap(out, missing, self.at);
                self.prefix = None;
                return self.settle(out);
            }
            _ => {}
        }
        self.end(out);
        self.held.clear();
        self.framing.close(out);
        self.state = State::Broken;
        self.framing = Stage::after_gap("grpc.framing", self.at);
    }

    pub(super) fn finish(&mut self, out: &mut Out<'_>) {
        self.end(out);
        self.framing.close(out);
        if matches!(self.state, State::Message(_)) || !self.held.data.is_empty() {
            let detail = "gRPC: the body ends within a message".to_owned();
            out.anomaly(AnomalyKind::GrpcMalformed, None, detail);
        }
    }
}
