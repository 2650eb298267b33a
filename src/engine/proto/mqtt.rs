//! MQTT 3.1, 3.1.1 and 5 (OASIS MQTT Version 5.0, MQTT Version 3.1.1; MQTT V3.1 Protocol Specification): control packets
//! of one direction.

use std::ops::Range;

use crate::{engine::net::stream::Chunk, evidence::ByteRange};

/// A control packet other than PUBLISH is held as a whole: CONNECT with four fields of 64 KiB is the largest that
/// programs send.
const MAX_PACKET: usize = 512 << 10;
/// What stands before the payload of a PUBLISH: a topic of at most 64 KiB, and properties.
const MAX_HEAD: usize = 256 << 10;
/// The bytes of a remaining length (section 2.1.4 of version 5).
const MAX_LENGTH: usize = 4;

/// CONNECT.
pub const CONNECT: u8 = 1;
/// PUBLISH.
pub const PUBLISH: u8 = 3;
/// SUBSCRIBE.
pub const SUBSCRIBE: u8 = 8;
/// UNSUBSCRIBE.
pub const UNSUBSCRIBE: u8 = 10;

/// The name of a control packet type (section 2.1.2).
pub fn name(kind: u8) -> &'static str {
    const NAMES: [&str; 16] = [
        "reserved",
        "CONNECT",
        "CONNACK",
        "PUBLISH",
        "PUBACK",
        "PUBREC",
        "PUBREL",
        "PUBCOMP",
        "SUBSCRIBE",
        "SUBACK",
        "UNSUBSCRIBE",
        "UNSUBACK",
        "PINGREQ",
        "PINGRESP",
        "DISCONNECT",
        "AUTH",
    ];
    NAMES.get(usize::from(kind)).unwrap_or(&"reserved")
}

/// Control packet types that a client sends, and those that a server sends (section 2.1.2).
const FROM_CLIENT: [u8; 11] = [1, 3, 4, 5, 6, 7, 8, 10, 12, 14, 15];
const FROM_SERVER: [u8; 11] = [2, 3, 4, 5, 6, 7, 9, 11, 13, 14, 15];

/// A packet that is not PUBLISH, whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Its type.
    pub kind: u8,
    /// All of it.
    pub bytes: &'a [u8],
    /// The length of its fixed header.
    pub header: usize,
    /// Where it starts.
    pub at: u64,
}

impl<'a> Packet<'a> {
    /// Where it stands.
    pub fn range(&self) -> ByteRange {
        ByteRange::new(self.at, self.at + self.bytes.len() as u64)
    }

    /// What follows its fixed header.
    pub fn body(&self) -> &'a [u8] {
        self.bytes.get(self.header..).unwrap_or_default()
    }
}

/// What stands before the payload of a PUBLISH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// The fixed header and what follows it, up to the payload.
    pub bytes: &'a [u8],
    /// The length of the fixed header.
    pub header: usize,
    /// Where it starts.
    pub at: u64,
    /// The topic; empty where an alias stands for one.
    pub topic: &'a [u8],
    /// The alias of the topic (version 5).
    pub alias: Option<u16>,
    /// The content type (version 5).
    pub content_type: Option<&'a [u8]>,
    /// Bytes of payload that follow.
    pub payload: u64,
}

/// Takes what a [`Parser`] finds, in the order of the stream.
pub trait Handler {
    /// A packet that is not PUBLISH.
    fn packet(&mut self, packet: &Packet<'_>);

    /// A PUBLISH begins.
    fn publish(&mut self, publish: &Publish<'_>);

    /// Bytes of its payload.
    fn payload(&mut self, bytes: &[u8], range: ByteRange);

    /// Bytes of its payload that were not captured.
    fn payload_gap(&mut self, gap: ByteRange);

    /// The end of the payload; `complete` when all bytes came by.
    fn payload_end(&mut self, complete: bool);

    /// Bytes that are no packet, or of one that is not whole.
    fn lost(&mut self, bytes: &[u8], range: ByteRange);

    /// Bytes outside a payload that were not captured.
    fn gap(&mut self, gap: ByteRange);

    /// The stream breaks the grammar at `at`.
    fn malformed(&mut self, at: u64, why: &'static str);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Header,
    /// A packet of which so many bytes, header included, are held in the end.
    Packet {
        kind: u8,
        header: usize,
        whole: usize,
    },
    /// The head of a PUBLISH.
    Head {
        flags: u8,
        header: usize,
        remaining: u64,
    },
    Payload(u64),
    /// Where packets begin is not known any more.
    Lost,
}

/// Parses one direction.
#[derive(Debug)]
pub struct Parser {
    state: State,
    /// 3, 4 or 5, where a CONNECT said so.
    version: Option<u8>,
    held: Vec<u8>,
    held_at: u64,
}

impl Parser {
    /// Begins with a packet. `version` is that of the other direction's CONNECT, where it is known.
    pub fn new(version: Option<u8>) -> Self {
        Self { state: State::Header, version, held: Vec::new(), held_at: 0 }
    }

    /// The version that a CONNECT of this direction, or [`Parser::new`], said.
    pub fn version(&self) -> Option<u8> {
        self.version
    }

    /// Takes the next chunk of the stream.
    pub fn push(&mut self, chunk: &Chunk<'_>, handler: &mut dyn Handler) {
        match chunk {
            Chunk::Gap(gap) => self.gap(*gap, handler),
            Chunk::Bytes { range, data } => {
                let mut taken = 0;
                while let Some(rest) = data.get(taken..).filter(|rest| !rest.is_empty()) {
                    taken += self.take(rest, range.start + taken as u64, handler);
                }
            }
        }
    }

    /// Ends the stream.
    pub fn finish(&mut self, handler: &mut dyn Handler) {
        if matches!(self.state, State::Payload(_)) {
            handler.payload_end(false);
        } else if !self.held.is_empty() {
            handler.malformed(self.held_at, "a packet is cut off");
        }
        self.give_up(handler);
    }

    fn take(&mut self, data: &[u8], at: u64, handler: &mut dyn Handler) -> usize {
        match self.state {
            State::Lost => {
                handler.lost(data, ByteRange::new(at, at + data.len() as u64));
                data.len()
            }
            State::Payload(left) => {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(data.len());
                let bytes = data.get(..taken).unwrap_or_default();
                handler.payload(bytes, ByteRange::new(at, at + taken as u64));
                self.after_payload(left - taken as u64, handler);
                taken
            }
            State::Packet { kind, header, whole } => {
                let taken = self.hold(data, at, whole);
                if self.held.len() == whole {
                    self.packet(kind, header, handler);
                }
                taken
            }
            State::Header | State::Head { .. } => {
                let taken = self.hold(data, at, self.held.len() + 1);
                if self.state == State::Header {
                    self.header(handler);
                } else {
                    self.head(handler);
                }
                taken
            }
        }
    }

    /// Holds bytes until there are as many as wanted.
    fn hold(&mut self, data: &[u8], at: u64, wanted: usize) -> usize {
        if self.held.is_empty() {
            self.held_at = at;
        }
        let taken = wanted.saturating_sub(self.held.len()).min(data.len());
        self.held.extend_from_slice(data.get(..taken).unwrap_or_default());
        taken
    }

    fn header(&mut self, handler: &mut dyn Handler) {
        let Some((&first, rest)) = self.held.split_first() else { return };
        let (kind, flags) = (first >> 4, first & 0x0f);
        if !flags_are_valid(kind, flags) {
            return self.lose("no MQTT packet where one must stand", handler);
        }
        let Some((remaining, _)) = variable(rest) else {
            if rest.len() >= MAX_LENGTH {
                self.lose("a remaining length of more than four bytes", handler);
            }
            return;
        };
        let header = self.held.len();
        let whole = usize::try_from(remaining).unwrap_or(usize::MAX).saturating_add(header);
        if kind == PUBLISH {
            self.state = State::Head { flags, header, remaining };
            if remaining == 0 {
                self.lose("a PUBLISH without a topic", handler);
            }
        } else if whole > MAX_PACKET {
            self.lose("a packet longer than any program sends", handler);
        } else if remaining == 0 {
            self.packet(kind, header, handler);
        } else {
            self.state = State::Packet { kind, header, whole };
        }
    }

    fn packet(&mut self, kind: u8, header: usize, handler: &mut dyn Handler) {
        let held = std::mem::take(&mut self.held);
        self.state = State::Header;
        if kind == CONNECT {
            self.version =
                connect(held.get(header..).unwrap_or_default()).map(|connect| connect.level & 0x7f);
        }
        handler.packet(&Packet { kind, bytes: &held, header, at: self.held_at });
    }

    /// Looks whether the head of a PUBLISH is whole.
    fn head(&mut self, handler: &mut dyn Handler) {
        let State::Head { flags, header, remaining } = self.state else { return };
        let head = self.held.get(header..).unwrap_or_default();
        let announced = remaining.min(MAX_HEAD as u64);
        let Some(parsed) = publish_head(head, flags & 0x06 != 0, self.version == Some(5)) else {
            if head.len() as u64 >= announced {
                self.lose("the head of a PUBLISH does not fit in it", handler);
            }
            return;
        };
        if parsed.len < head.len() || parsed.len as u64 > remaining {
            return self.lose("the head of a PUBLISH does not fit in it", handler);
        }
        let payload = remaining - parsed.len as u64;
        let held = std::mem::take(&mut self.held);
        let head = held.get(header..).unwrap_or_default();
        let properties = Properties::new(head.get(parsed.properties.clone()).unwrap_or_default());
        let mut publish = Publish {
            bytes: &held,
            header,
            at: self.held_at,
            topic: head.get(parsed.topic.clone()).unwrap_or_default(),
            alias: None,
            content_type: None,
            payload,
        };
        for property in properties {
            match property {
                (0x23, Value::Number(alias)) => publish.alias = u16::try_from(alias).ok(),
                (0x03, Value::Bytes(text)) => publish.content_type = Some(text),
                _ => {}
            }
        }
        handler.publish(&publish);
        self.after_payload(payload, handler);
    }

    fn after_payload(&mut self, left: u64, handler: &mut dyn Handler) {
        self.state = State::Payload(left);
        if left == 0 {
            handler.payload_end(true);
            self.state = State::Header;
        }
    }

    fn lose(&mut self, why: &'static str, handler: &mut dyn Handler) {
        handler.malformed(self.held_at, why);
        self.give_up(handler);
    }

    fn give_up(&mut self, handler: &mut dyn Handler) {
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            handler.lost(&held, ByteRange::new(self.held_at, self.held_at + held.len() as u64));
        }
        self.state = State::Lost;
    }

    fn gap(&mut self, gap: ByteRange, handler: &mut dyn Handler) {
        if let State::Payload(left) = self.state {
            let inside = left.min(gap.len());
            handler.payload_gap(ByteRange::new(gap.start, gap.start + inside));
            self.after_payload(left - inside, handler);
            if inside == gap.len() {
                return;
            }
        }
        self.give_up(handler);
        handler.gap(gap);
    }
}

/// Reserved bits (section 2.1.3 of version 5; MQTT 3.1 also set DUP and QoS in PUBREL, SUBSCRIBE and UNSUBSCRIBE).
fn flags_are_valid(kind: u8, flags: u8) -> bool {
    match kind {
        0 => false,
        PUBLISH => flags & 0x06 != 0x06,
        6 | SUBSCRIBE | UNSUBSCRIBE => flags & 0x07 == 2,
        _ => flags == 0,
    }
}

/// A variable byte integer and its length (section 1.5.5 of version 5); `None` where it does not end.
fn variable(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(MAX_LENGTH).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

struct HeadParts {
    topic: Range<usize>,
    properties: Range<usize>,
    len: usize,
}

/// The parts of a PUBLISH's head, once it is whole.
fn publish_head(head: &[u8], has_id: bool, has_properties: bool) -> Option<HeadParts> {
    let length = head.first_chunk::<2>().map(|length| usize::from(u16::from_be_bytes(*length)))?;
    let topic = 2..2 + length;
    let id_end = topic.end + if has_id { 2 } else { 0 };
    let mut properties = id_end..id_end;
    if has_properties {
        let (length, bytes) = variable(head.get(id_end..)?)?;
        let start = id_end + bytes;
        properties = start..start.saturating_add(usize::try_from(length).ok()?);
    }
    let len = properties.end;
    (head.len() >= len).then_some(HeadParts { topic, properties, len })
}

/// A property's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// An integer of any size.
    Number(u64),
    /// Text or binary data.
    Bytes(&'a [u8]),
    /// A user property.
    Pair(&'a [u8], &'a [u8]),
}

/// Walks properties (section 2.2.2 of version 5) up to the first that breaks the grammar.
struct Properties<'a> {
    rest: &'a [u8],
}

impl<'a> Properties<'a> {
    fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }
}

impl<'a> Iterator for Properties<'a> {
    type Item = (u8, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (&identifier, rest) = self.rest.split_first()?;
        let mut fields = Fields { rest, at: 0 };
        let value = match identifier {
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28..=0x2a => Value::Number(u64::from(fields.byte()?)),
            0x13 | 0x21..=0x23 => Value::Number(u64::from(fields.number()?)),
            0x02 | 0x11 | 0x18 | 0x27 => {
                Value::Number(fields.take(4)?.iter().fold(0, |all, &byte| all << 8 | u64::from(byte)))
            }
            0x0b => Value::Number(fields.variable()?),
            0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1a | 0x1c | 0x1f => Value::Bytes(fields.text()?),
            0x26 => Value::Pair(fields.text()?, fields.text()?),
            _ => return None,
        };
        self.rest = fields.rest;
        Some((identifier, value))
    }
}

/// Reads fields from the front.
struct Fields<'a> {
    rest: &'a [u8],
    /// How far it has read.
    at: usize,
}

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        (self.rest, self.at) = (rest, self.at + len);
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn number(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(*self.take(2)?.first_chunk()?))
    }

    fn variable(&mut self) -> Option<u64> {
        let (value, len) = variable(self.rest)?;
        self.take(len)?;
        Some(value)
    }

    /// A length of two bytes, and as many.
    fn text(&mut self) -> Option<&'a [u8]> {
        let len = self.number()?;
        self.take(usize::from(len))
    }

    /// Where the bytes behind a length of two stand.
    fn place(&mut self) -> Option<Range<usize>> {
        let len = self.text()?.len();
        Some(self.at - len..self.at)
    }

    fn properties(&mut self) -> Option<&'a [u8]> {
        let len = self.variable()?;
        self.take(usize::try_from(len).ok()?)
    }
}

/// What a CONNECT says, and where its fields stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connect {
    /// The protocol level: 3, 4 or 5; with the highest bit set by a bridge.
    pub level: u8,
    /// Up to the level: name with its length, and level.
    pub fixed: usize,
    /// The client's identifier.
    pub client: Range<usize>,
    /// The will's topic and payload.
    pub will: Option<(Range<usize>, Range<usize>)>,
    /// The user's name.
    pub user: Option<Range<usize>>,
    /// The password.
    pub password: Option<Range<usize>>,
}

/// Reads a CONNECT, without its fixed header (section 3.1 of version 5).
pub fn connect(body: &[u8]) -> Option<Connect> {
    let mut fields = Fields { rest: body, at: 0 };
    let name = fields.text()?;
    let level = fields.byte()?;
    let known = matches!((name, level & 0x7f), (b"MQTT", 4 | 5) | (b"MQIsdp", 3));
    if !known {
        return None;
    }
    let fixed = fields.at;
    let flags = fields.byte()?;
    let _keep_alive = fields.number()?;
    let five = level & 0x7f == 5;
    if five {
        fields.properties()?;
    }
    let mut connect = Connect { level, fixed, client: fields.place()?, ..Connect::default() };
    if flags & 0x04 != 0 {
        if five {
            fields.properties()?;
        }
        connect.will = Some((fields.place()?, fields.place()?));
    }
    if flags & 0x80 != 0 {
        connect.user = Some(fields.place()?);
    }
    if flags & 0x40 != 0 {
        connect.password = Some(fields.place()?);
    }
    fields.rest.is_empty().then_some(connect)
}

/// The topic filters of a SUBSCRIBE or UNSUBSCRIBE, without its fixed header (sections 3.8 and 3.10 of version 5).
pub fn filters(kind: u8, body: &[u8], version: Option<u8>) -> Option<Vec<&[u8]>> {
    let mut fields = Fields { rest: body, at: 0 };
    fields.number()?;
    if version == Some(5) {
        fields.properties()?;
    }
    let mut filters = Vec::new();
    while !fields.rest.is_empty() {
        filters.push(fields.text()?);
        if kind == SUBSCRIBE {
            fields.byte()?;
        }
    }
    Some(filters)
}

/// Whether bytes are the beginning of a stream that a client opens: a CONNECT.
pub fn opens(bytes: &[u8]) -> bool {
    let Some((0x10, rest)) = bytes.split_first() else { return false };
    let Some((remaining, len)) = variable(rest) else { return false };
    let body = rest.get(len..).unwrap_or_default();
    let names = [
        &b"\0\x04MQTT\x04"[..],
        b"\0\x04MQTT\x05",
        b"\0\x06MQIsdp\x03",
        b"\0\x04MQTT\x84",
        b"\0\x06MQIsdp\x83",
    ];
    remaining >= 10 && names.iter().any(|name| body.starts_with(name))
}

/// How many whole packets bytes begin with that this end may send; `None` where something else stands.
pub fn packets(bytes: &[u8], from_client: bool) -> Option<usize> {
    let (mut rest, mut count) = (bytes, 0);
    while let Some((&first, after)) = rest.split_first() {
        let (kind, flags) = (first >> 4, first & 0x0f);
        let may = if from_client { FROM_CLIENT.contains(&kind) } else { FROM_SERVER.contains(&kind) };
        if !may || !flags_are_valid(kind, flags) {
            return None;
        }
        let Some((remaining, len)) = variable(after) else {
            return if after.len() >= MAX_LENGTH { None } else { Some(count) };
        };
        let body = after.get(len..).unwrap_or_default();
        let Some(next) = usize::try_from(remaining).ok().and_then(|remaining| body.get(remaining..)) else {
            break;
        };
        let body = body.get(..body.len() - next.len()).unwrap_or_default();
        let fits = match kind {
            CONNECT => connect(body).is_some(),
            PUBLISH => publish_head(body, flags & 0x06 != 0, false).is_some(),
            12 | 13 => body.is_empty(),
            14 => true,
            _ => body.len() >= 2,
        };
        if !fits {
            return None;
        }
        (rest, count) = (next, count + 1);
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Topic, packet identifier, …, payload: as they were told.
    type Published = (Vec<u8>, Option<u16>, Option<Vec<u8>>, Vec<u8>, Option<bool>);

    #[derive(Debug, Default, PartialEq)]
    struct Told {
        packets: Vec<(u8, Vec<u8>)>,
        published: Vec<Published>,
        lost: Vec<u8>,
        malformed: Vec<&'static str>,
    }

    impl Handler for Told {
        fn packet(&mut self, packet: &Packet<'_>) {
            self.packets.push((packet.kind, packet.body().to_vec()));
        }

        fn publish(&mut self, publish: &Publish<'_>) {
            let content_type = publish.content_type.map(<[u8]>::to_vec);
            self.published.push((publish.topic.to_vec(), publish.alias, content_type, Vec::new(), None));
        }

        fn payload(&mut self, bytes: &[u8], _: ByteRange) {
            self.published.last_mut().unwrap().3.extend_from_slice(bytes);
        }

        fn payload_gap(&mut self, _: ByteRange) {}

        fn payload_end(&mut self, complete: bool) {
            self.published.last_mut().unwrap().4 = Some(complete);
        }

        fn lost(&mut self, bytes: &[u8], _: ByteRange) {
            self.lost.extend_from_slice(bytes);
        }

        fn gap(&mut self, _: ByteRange) {}

        fn malformed(&mut self, _: u64, why: &'static str) {
            self.malformed.push(why);
        }
    }

    fn told(bytes: &[u8], size: usize, version: Option<u8>) -> (Told, Option<u8>) {
        let (mut parser, mut told, mut at) = (Parser::new(version), Told::default(), 0);
        for data in bytes.chunks(size) {
            let range = ByteRange::new(at, at + data.len() as u64);
            parser.push(&Chunk::Bytes { range, data }, &mut told);
            at = range.end;
        }
        parser.finish(&mut told);
        (told, parser.version())
    }

    /// A packet with its fixed header.
    fn packet(first: u8, body: &[u8]) -> Vec<u8> {
        let (mut bytes, mut left) = (vec![first], body.len());
        loop {
            let byte = u8::try_from(left & 0x7f).unwrap();
            left >>= 7;
            bytes.push(if left > 0 { byte | 0x80 } else { byte });
            if left == 0 {
                break;
            }
        }
        [bytes, body.to_vec()].concat()
    }

    /// The non-normative example of section 3.1.2.11.8 and the figure of 3.1.3 in version 5, with will, user and password.
    fn connect_5() -> Vec<u8> {
        let mut body = b"\0\x04MQTT\x05\xce\0\x0a\x05\x11\0\0\0\x0a".to_vec();
        body.extend(b"\0\x02id\x02\x01\x01\0\x01w\0\x03bye\0\x01u\0\x02pw");
        body
    }

    #[test]
    fn a_connect_tells_the_version_and_its_fields() {
        let body = connect_5();
        let parsed = connect(&body).unwrap();
        let (topic, will) = parsed.will.unwrap();
        let fields = [parsed.client, topic, will, parsed.user.unwrap(), parsed.password.unwrap()];
        assert_eq!(fields.map(|field| body[field].to_vec()), [&b"id"[..], b"w", b"bye", b"u", b"pw"]);
        assert_eq!(parsed.level, 5);
        assert!(connect(&body[..body.len() - 1]).is_none());
        assert!(opens(&packet(0x10, &body)));
        assert_eq!(connect(b"\0\x06MQIsdp\x03\x02\0\x0a\0\x01c").unwrap().client, 14..15);
        assert!(!opens(b"\x10\x10\0\x04MQTZ\x04"));
    }

    #[test]
    fn publishes_give_topic_and_payload_however_they_are_cut() {
        let five = [
            packet(0x10, &connect_5()),
            // QoS 1, content type and alias.
            packet(0x32, b"\0\x01t\0\x07\x0a\x03\0\x04a/bc\x23\0\x09payload"),
            packet(0x30, b"\0\0\x03\x23\0\x09"),
            vec![0xc0, 0],
            packet(0xe0, b"\0\0"),
        ]
        .concat();
        for size in 1..five.len() {
            let (told, version) = told(&five, size, None);
            assert_eq!(version, Some(5));
            assert_eq!(told.packets.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [1, 12, 14]);
            let first = (b"t".to_vec(), Some(9), Some(b"a/bc".to_vec()), b"payload".to_vec(), Some(true));
            assert_eq!(told.published, [first, (Vec::new(), Some(9), None, Vec::new(), Some(true))]);
            assert_eq!(told.malformed, [""; 0]);
        }
        let four = packet(0x34, b"\0\x02a/\0\x01\x05pay");
        let (told, _) = told(&four, 1, Some(4));
        assert_eq!(told.published[0].3, b"\x05pay");
    }

    #[test]
    fn what_breaks_the_grammar_is_lost_and_said() {
        for (bytes, why) in [
            (&b"\x36\x04\0\x01tx"[..], "no MQTT packet where one must stand"),
            (b"\x30\xff\xff\xff\xff\x01", "a remaining length of more than four bytes"),
            (b"\x30\x02\0\x09xxxxxxxxx", "the head of a PUBLISH does not fit in it"),
            (b"\x20\xff\xff\xff\x7f", "a packet longer than any program sends"),
            (b"\x82\x09\0\x01", "a packet is cut off"),
        ] {
            let (told, _) = told(bytes, 1, None);
            assert_eq!((told.malformed, told.lost), (vec![why], bytes.to_vec()), "{bytes:?}");
        }
    }

    #[test]
    fn subscriptions_name_their_topics() {
        assert_eq!(
            filters(SUBSCRIBE, b"\0\x0a\0\x03a/b\x01\0\x01c\x02", Some(4)).unwrap(),
            [&b"a/b"[..], b"c"]
        );
        assert_eq!(filters(UNSUBSCRIBE, b"\0\x0a\0\0\x03a/b", Some(5)).unwrap(), [b"a/b"]);
        assert_eq!(filters(SUBSCRIBE, b"\0\x0a\0\x03a/b", Some(4)), None);
    }

    #[test]
    fn whole_packets_are_counted_by_their_sender() {
        assert_eq!(packets(b"\xc0\0\xc0\0\x30", true), Some(2));
        assert_eq!(packets(b"\xc0\0", false), None);
        assert_eq!(packets(b"GET / HTTP/1.1\r\n", true), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_told_the_same_and_all_of_them(bytes: Vec<u8>, size in 1..40usize, five: bool) {
            let version = Some(if five { 5 } else { 4 });
            let whole = told(&bytes, usize::MAX, version);
            prop_assert_eq!(told(&bytes, size, version), whole);
        }
    }
}
