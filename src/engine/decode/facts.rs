//! What the header list of a message of HTTP/2 or HTTP/3 says about what follows it, and how a list is taken out of its
//! compression.

use std::rc::Rc;

use crate::{
    engine::proto::{hpack, http1},
    evidence::{AnomalyKind, Direction},
};

use super::{
    content::Declared,
    layers::Out,
    parts::{DROPBOX, Name, OFFSETS},
    sink::TransactionId,
    upgrade::Upgrade,
};

/// A value that is remembered of a head. A boundary has at most 70 characters (RFC 2046 section 5.1.1).
const MAX_VALUE: usize = 1 << 10;

/// Content codings that are remembered of a head; more than two are a joke.
const MAX_CODINGS: usize = 8;

/// What a head says about what follows it. Values are shared with the table of the compression.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) method: Option<Rc<[u8]>>,
    pub(super) path: Option<Rc<[u8]>>,
    pub(super) authority: Option<Rc<[u8]>>,
    /// Of an extended CONNECT (RFC 8441).
    pub(super) protocol: Option<Rc<[u8]>>,
    pub(super) status: Option<u16>,
    pub(super) media: Option<Rc<[u8]>>,
    /// Sec-WebSocket-Extensions.
    extensions: Option<Rc<[u8]>>,
    /// How messages in the content are compressed (gRPC).
    messages: Option<Rc<[u8]>>,
    /// Content-Range, and the offsets of [`OFFSETS`]: which part of an upload follows.
    range: Option<Rc<[u8]>>,
    offsets: [Option<Rc<[u8]>>; OFFSETS.len()],
    /// The same as an argument of [`DROPBOX`].
    argument: Option<Rc<[u8]>>,
    codings: Vec<Rc<[u8]>>,
    lengths: Vec<Rc<[u8]>>,
}

impl Facts {
    /// Takes a field.
    pub(super) fn take(&mut self, name: &[u8], value: &Rc<[u8]>) {
        if value.len() > MAX_VALUE && name != b":path" {
            return;
        }
        let offset = OFFSETS.iter().position(|offset| offset.as_bytes() == name);
        let place = match name {
            _ if let Some(place) = offset.and_then(|no| self.offsets.get_mut(no)) => place,
            b"content-range" => &mut self.range,
            name if name == DROPBOX.as_bytes() => &mut self.argument,
            b":method" => &mut self.method,
            b":path" => &mut self.path,
            b":authority" => &mut self.authority,
            b":protocol" => &mut self.protocol,
            b"content-type" => &mut self.media,
            b"sec-websocket-extensions" => &mut self.extensions,
            b"grpc-encoding" | b"connect-content-encoding" => &mut self.messages,
            b":status" => {
                self.status = str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
                return;
            }
            b"content-encoding" | b"content-length" => {
                let list = if name == b"content-length" { &mut self.lengths } else { &mut self.codings };
                if list.len() < MAX_CODINGS {
                    list.push(value.clone());
                }
                return;
            }
            _ => return,
        };
        place.get_or_insert_with(|| value.clone());
    }

    /// What is declared about the content.
    pub(super) fn declared(&self) -> Declared {
        Declared {
            codings: http1::tokens(self.codings.iter().map(|value| &**value)),
            media: self.media.as_deref().map(text),
            messages: self.messages.as_deref().map(text),
            ..Declared::default()
        }
    }

    /// The length that is announced.
    pub(super) fn length(&self) -> Option<u64> {
        http1::content_length(self.lengths.iter().map(|value| &**value)).ok().flatten()
    }

    /// What the content may be a part of.
    pub(super) fn part(&self) -> Name {
        let plain = |value: &Option<Rc<[u8]>>| value.as_deref().unwrap_or_default().to_vec();
        let field = |name: &str| {
            let offset = || {
                let no = OFFSETS.iter().position(|offset| *offset == name)?;
                self.offsets.get(no)?.as_deref()
            };
            let value = match name {
                "content-range" => self.range.as_deref(),
                DROPBOX => self.argument.as_deref(),
                _ => offset(),
            };
            value.map(<[u8]>::to_vec)
        };
        Name::of(&plain(&self.method), &plain(&self.authority), &plain(&self.path), field)
    }

    pub(super) fn is_connect(&self) -> bool {
        self.method.as_deref() == Some(b"CONNECT")
    }
}

/// Whether a stream is a tunnel: a CONNECT that was not refused.
pub(super) fn is_tunnel(asked: Option<&Facts>, answered: Option<&Facts>) -> bool {
    let status = answered.and_then(|head| head.status);
    asked.is_some_and(Facts::is_connect) && status.is_none_or(|status| (200..300).contains(&status))
}

/// What an extended CONNECT leads to (RFC 8441 section 4, RFC 9220 section 3).
pub(super) fn upgrade(
    (asked, answered): (Option<&Facts>, Option<&Facts>),
    request: TransactionId,
    client: Direction,
) -> Option<Upgrade> {
    let asked = asked?;
    let protocol = text(asked.protocol.as_deref()?).to_ascii_lowercase();
    let extensions = answered.unwrap_or(asked).extensions.as_deref().unwrap_or_default().to_vec();
    Some(Upgrade { protocol, request, client, extensions, settings: Vec::new() })
}

/// One header list. Servers refuse lists of more than 8 KiB to 1 MiB.
const MAX_LIST: u64 = 1 << 20;

/// Bytes of header lists for each byte of their blocks: cookies of some KiB come again in a byte each.
const MAX_EXPANSION: u64 = 256;

/// Bytes of header lists that are always allowed.
const FREE_LISTS: u64 = 16 << 20;

/// Names that start with a colon (RFC 9113 section 8.3, RFC 9114 section 4.3, RFC 8441).
const PSEUDO: [&[u8]; 6] = [b":method", b":scheme", b":authority", b":path", b":status", b":protocol"];

/// Bytes of header lists that one direction may still give.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room(u64);

impl Default for Room {
    fn default() -> Self {
        Self(FREE_LISTS)
    }
}

/// A header list while its fields come out of their compression.
pub(super) struct List<'r> {
    /// Names and values as sent; those that refer to something missing are `?` or are left out.
    pub(super) fields: Vec<(String, Vec<u8>)>,
    pub(super) facts: Facts,
    room: &'r mut Room,
    most: u64,
    size: u64,
    unknown: u64,
    omitted: u64,
    odd: Option<&'static str>,
}

impl<'r> List<'r> {
    /// Begins the list of a block of `length` bytes.
    pub(super) fn new(room: &'r mut Room, length: usize) -> Self {
        room.0 = room.0.saturating_add((length as u64).saturating_mul(MAX_EXPANSION));
        let (fields, facts, most) = (Vec::new(), Facts::default(), MAX_LIST.min(room.0));
        Self { fields, facts, room, most, size: 0, unknown: 0, omitted: 0, odd: None }
    }

    /// Takes the next field.
    pub(super) fn push(&mut self, hpack::Field { name, value, .. }: &hpack::Field) {
        let (Some(name), Some(value)) = (name, value) else {
            self.unknown += 1;
            // A name that is not known does not hide its value.
            if let Some(value) = value.as_ref().filter(|value| self.size + value.len() as u64 <= self.most) {
                self.size += value.len() as u64;
                self.fields.push((name.as_deref().map_or_else(|| "?".to_owned(), text), value.to_vec()));
            }
            return;
        };
        self.size += name.len() as u64 + value.len() as u64;
        if self.size > self.most {
            self.omitted += 1;
            return;
        }
        let pseudo = name.first() == Some(&b':');
        let after_fields = self.fields.last().is_some_and(|(name, _)| !name.starts_with(':'));
        self.odd = self.odd.or(match pseudo {
            true if after_fields => Some("a pseudo-header stands after a field"),
            true if !PSEUDO.contains(&&**name) => Some("a pseudo-header that is not defined"),
            false if name.iter().any(u8::is_ascii_uppercase) => Some("a field name with upper-case letters"),
            _ => None,
        });
        self.facts.take(name, value);
        self.fields.push((text(name), value.to_vec()));
    }

    /// Ends the list, which stands at `at`, and says what is odd about it.
    pub(super) fn finish(
        self,
        out: &mut Out<'_>,
        at: u64,
        malformed: AnomalyKind,
        missing: AnomalyKind,
    ) -> (Vec<(String, Vec<u8>)>, Facts) {
        let Self { fields, facts, room, most, size, unknown, omitted, odd } = self;
        room.0 = room.0.saturating_sub(size.min(most));
        if let Some(why) = odd {
            out.anomaly(malformed, Some(at), format!("header block: {why}"));
        }
        if unknown > 0 {
            let detail = format!(
                "{unknown} fields of a header block refer to a part of the connection that is missing"
            );
            out.anomaly(missing, Some(at), detail);
        }
        if omitted > 0 {
            let detail = format!("{omitted} fields of a header block of {size} bytes were left out");
            out.anomaly(AnomalyKind::LimitReached, Some(at), detail);
        }
        (fields, facts)
    }
}

/// Text of a field; broken UTF-8 is replaced.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
