//! DTLS 1.0 and 1.2 (RFC 4347, RFC 6347): records in datagrams, handshake messages out of their fragments.
//!
//! DTLS 1.3 (RFC 9147) has the same hellos; its encrypted records have another header and are not read.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use super::{
    Header, Hello, Identity, Peer, Protection, Suite, Unread, Version,
    handshake::{CLIENT_HELLO, FINISHED, SERVER_HELLO, SERVER_HELLO_DONE},
    hello::Bytes,
    identity,
    keys::MAX_CANDIDATES,
    prescribed,
    protection::{Chain, Opened},
    records::{CHANGE_CIPHER_SPEC, HANDSHAKE, MAX_RECORD},
    schedule::{self, Terms},
};
use crate::engine::proto::keylog::{KeyLog, Label};

/// Of a server that asks the client to show that it gets answers (RFC 6347 section 4.2.1).
pub const HELLO_VERIFY_REQUEST: u8 = 3;

/// Bytes of a record's header: type, version, epoch, number, length.
const RECORD_HEAD: usize = 13;

/// The last content type (RFC 6520). That of RFC 9146 has a header whose length the hellos agree on: it is not read.
const HEARTBEAT: u8 = 24;

/// Bytes of the head of a fragment: type, length, number of the message, where the fragment stands in it, its length.
pub(super) const FRAGMENT_HEAD: usize = 12;

/// A message that is read: a chain of ten certificates has 20 KiB, lists of certificate authorities up to 64.
const MAX_MESSAGE: usize = 256 << 10;

/// Messages of one direction that are open at once: a flight has at most seven (RFC 6347 section 4.2.4).
const MAX_OPEN: usize = 16;

/// Messages that are remembered so that they are not given again when they are sent again.
const MAX_DONE: usize = 64;

/// A record in a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Type and version.
    pub header: Header,
    /// How often the keys have changed.
    pub epoch: u16,
    /// The number within the epoch, 48 bits.
    pub number: u64,
    /// Where in the datagram its header starts.
    pub start: usize,
    /// Where its payload ends.
    pub end: usize,
}

impl Record {
    /// Reads the record that starts at `start`.
    pub fn at(datagram: &[u8], start: usize) -> Option<Self> {
        let mut rest = Bytes(datagram.get(start..)?);
        let header = Header { kind: rest.u8()?, version: rest.u16()? };
        let epoch = rest.u16()?;
        let number = rest.take(6)?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let len = usize::from(rest.u16()?);
        let known = (CHANGE_CIPHER_SPEC..=HEARTBEAT).contains(&header.kind)
            && Version(header.version).is_datagram()
            && len <= MAX_RECORD;
        rest.take(len).filter(|_| known)?;
        Some(Self { header, epoch, number, start, end: start + RECORD_HEAD + len })
    }

    /// The records at the start of a datagram, up to what is none.
    pub fn all(datagram: &[u8]) -> impl Iterator<Item = Self> + '_ {
        let mut at = 0;
        std::iter::from_fn(move || {
            let record = Self::at(datagram, at)?;
            at = record.end;
            Some(record)
        })
    }

    /// Where in the datagram its payload stands.
    pub fn payload(&self) -> Range<usize> {
        self.start + RECORD_HEAD..self.end
    }

    /// Epoch and number as one: what tags and MACs cover (RFC 6347 section 4.1.2.1).
    pub fn sequence(&self) -> u64 {
        u64::from(self.epoch) << 48 | self.number
    }

    /// Whether it holds a message of a handshake that is not encrypted.
    pub fn is_clear_handshake(&self) -> bool {
        self.header.kind == HANDSHAKE && self.epoch == 0
    }
}

/// What a datagram of DTLS shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// It is all records.
    Records,
    /// It is all records, the first of which holds the start of a hello of this peer.
    Hello(Peer),
}

/// Whether a datagram is DTLS: records to its last byte.
pub fn datagram(bytes: &[u8]) -> Option<Opening> {
    let last = Record::all(bytes).last()?;
    let first = Record::at(bytes, 0)?;
    if last.end != bytes.len() {
        return None;
    }
    let payload = bytes.get(first.payload()).filter(|_| first.is_clear_handshake());
    let hello =
        payload.and_then(|payload| Fragment::all(payload).next()).and_then(|fragment| match fragment.kind {
            CLIENT_HELLO => Some(Peer::Client),
            HELLO_VERIFY_REQUEST | SERVER_HELLO => Some(Peer::Server),
            _ => None,
        });
    Some(hello.map_or(Opening::Records, Opening::Hello))
}

/// A part of a handshake message (RFC 6347 section 4.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// The message's type.
    pub kind: u8,
    /// The message's number.
    pub number: u16,
    /// Bytes of the message's body.
    pub len: usize,
    /// Where in the body these bytes stand.
    pub at: usize,
    /// The bytes.
    pub bytes: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// The fragments at the start of a record's payload, up to what is none.
    pub fn all(payload: &'a [u8]) -> impl Iterator<Item = Self> + 'a {
        let mut rest = Bytes(payload);
        std::iter::from_fn(move || Self::next(&mut rest))
    }

    fn next(rest: &mut Bytes<'a>) -> Option<Self> {
        let u24 = |rest: &mut Bytes<'a>| {
            let (high, low) = (rest.u8()?, rest.u16()?);
            Some(usize::from(high) << 16 | usize::from(low))
        };
        let (kind, len, number) = (rest.u8()?, u24(rest)?, rest.u16()?);
        let (at, here) = (u24(rest)?, u24(rest)?);
        let bytes = rest.take(here)?;
        (at + here <= len).then_some(Self { kind, number, len, at, bytes })
    }

    /// Bytes of the fragment with its head.
    pub fn size(&self) -> usize {
        FRAGMENT_HEAD + self.bytes.len()
    }
}

/// A handshake message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its type.
    pub kind: u8,
    /// Its number.
    pub number: u16,
    /// Its body.
    pub body: Vec<u8>,
    /// Where in the stream of datagrams the fragment stands that came first.
    pub at: u64,
}

impl Message {
    /// Reads a hello. A client's has a cookie that TLS has not (RFC 6347 section 4.2.1).
    pub fn hello(&self) -> Option<Hello> {
        match self.kind {
            CLIENT_HELLO => Hello::of_client(&self.without_cookie()?),
            SERVER_HELLO => Hello::of_server(&self.body),
            _ => None,
        }
    }

    /// The message as TLS writes it, one after the other of which a handshake is.
    pub fn bytes(&self) -> Vec<u8> {
        let [_, a, b, c] = u32::try_from(self.body.len()).unwrap_or(u32::MAX).to_be_bytes();
        [&[self.kind, a, b, c], self.body.as_slice()].concat()
    }

    /// The body of a client's hello without its cookie (RFC 6347 section 4.2.1), as TLS has it.
    fn without_cookie(&self) -> Option<Vec<u8>> {
        let mut rest = Bytes(&self.body);
        rest.take(2 + 32)?;
        rest.vector8()?;
        let before = self.body.get(..self.body.len() - rest.0.len())?;
        rest.vector8()?;
        Some([before, rest.0].concat())
    }

    /// The message as one fragment, which is what a Finished counts (RFC 6347 section 4.2.6).
    pub(super) fn unfragmented(&self) -> Vec<u8> {
        let [_, a, b, c] = u32::try_from(self.body.len()).unwrap_or(u32::MAX).to_be_bytes();
        let [high, low] = self.number.to_be_bytes();
        [&[self.kind, a, b, c, high, low, 0, 0, 0, a, b, c], self.body.as_slice()].concat()
    }

    /// The only message of a record's content, in one fragment.
    pub fn alone(content: &[u8]) -> Option<Self> {
        let mut fragments = Fragment::all(content);
        let Fragment { kind, number, len, at, bytes } = fragments.next()?;
        (len == bytes.len() && at == 0 && bytes.len() + FRAGMENT_HEAD == content.len()).then(|| Self {
            kind,
            number,
            body: bytes.to_vec(),
            at: 0,
        })
    }

    /// Whether it is a Finished.
    pub fn is_finished(&self) -> bool {
        self.kind == FINISHED
    }

    /// What the protocol prescribes in it where it stands in one fragment, and its server name, from the fragment's head on.
    pub fn prescribed(&self) -> (Vec<Range<usize>>, Option<Range<usize>>) {
        prescribed::of_datagram(self)
    }

    /// Whether it is a hello, well formed or not.
    pub fn is_hello(&self) -> bool {
        matches!(self.kind, CLIENT_HELLO | SERVER_HELLO)
    }
}

/// A message while it is put together.
#[derive(Debug)]
struct Partial {
    kind: u8,
    len: usize,
    at: u64,
    /// Without overlaps: of bytes that came twice those that came first.
    parts: BTreeMap<usize, Vec<u8>>,
    held: usize,
}

impl Partial {
    /// Adds what is not there yet.
    fn add(&mut self, mut at: usize, mut bytes: &[u8]) {
        let before = self.parts.range(..=at).next_back().map_or(0, |(start, part)| start + part.len());
        if before > at {
            let known = (before - at).min(bytes.len());
            (at, bytes) = (at + known, bytes.get(known..).unwrap_or_default());
        }
        while !bytes.is_empty() {
            let next = self.parts.range(at..).next().map(|(start, part)| (*start, part.len()));
            let (start, len) = next.unwrap_or((usize::MAX, 0));
            let free = (start - at).min(bytes.len());
            let (new, rest) = bytes.split_at(free);
            if !new.is_empty() {
                self.held += new.len();
                self.parts.insert(at, new.to_vec());
            }
            let known = len.min(rest.len());
            (at, bytes) = (at + free + known, rest.get(known..).unwrap_or_default());
        }
    }
}

/// Puts the messages of one direction together.
#[derive(Debug, Default)]
pub struct Messages {
    open: BTreeMap<u16, Partial>,
    /// Kinds, numbers and checksums of messages that were given.
    done: Vec<(u8, u16, usize, u32)>,
    /// Whether a message was passed over because it was too long.
    pub too_long: bool,
}

impl Messages {
    /// Takes a fragment that stands at `at`; gives the message that it makes whole, unless it was given before.
    pub fn push(&mut self, fragment: Fragment<'_>, at: u64) -> Option<Message> {
        let Fragment { kind, number, len, .. } = fragment;
        if len > MAX_MESSAGE {
            self.too_long = true;
            return None;
        }
        // Of another handshake of the same two ports.
        if self.open.get(&number).is_some_and(|open| (open.kind, open.len) != (kind, len)) {
            self.open.remove(&number);
        }
        if self.open.len() >= MAX_OPEN && !self.open.contains_key(&number) {
            self.open.pop_first();
        }
        let (parts, held) = (BTreeMap::new(), 0);
        let open = self.open.entry(number).or_insert(Partial { kind, len, at, parts, held });
        open.add(fragment.at, fragment.bytes);
        if open.held < len {
            return None;
        }
        let Partial { kind, at, parts, .. } = self.open.remove(&number)?;
        let body = parts.into_values().collect::<Vec<_>>().concat();
        let mark = (kind, number, body.len(), crc32fast::hash(&body));
        if self.done.contains(&mark) {
            return None;
        }
        if self.done.len() >= MAX_DONE {
            self.done.remove(0);
        }
        self.done.push(mark);
        Some(Message { kind, number, body, at })
    }
}

/// Who a server says it is, from both hellos and what it said after its own, in the clear. As in TLS of the same age (RFC 6347
/// section 4.2.6 says what of a handshake is signed: nothing of the cookies).
pub fn identity(client: &Hello, server: &Hello, said: &[u8]) -> Option<Identity> {
    let version = match server.version() {
        Version::DTLS10 => Version::TLS11,
        Version::DTLS12 => Version::TLS12,
        _ => return None,
    };
    let resumed = !client.session.is_empty() && client.session == server.session;
    let randoms = [client.random.as_slice(), &server.random];
    Some(identity::of_12(version, Suite::of(server.cipher()), randoms, said, resumed))
}

/// What the hellos of an association agree on; DTLS 1.0 takes over from TLS 1.1, and DTLS 1.2 from TLS 1.2.
fn terms<'h>(client: &'h Hello, server: &'h Hello) -> Option<Terms<'h>> {
    let version = match server.version() {
        Version::DTLS10 => Version::TLS11,
        Version::DTLS12 => Version::TLS12,
        _ => return None,
    };
    let compressed = server.compression.iter().any(|method| *method != 0);
    let suite = Suite::of(server.cipher()).filter(|suite| !compressed && suite.cipher.is_some());
    Some(Terms {
        version,
        suite: suite?,
        client_random: &client.random,
        server_random: &server.random,
        encrypt_then_mac: server.encrypt_then_mac(),
        truncated_hmac: server.truncated_hmac(),
    })
}

/// What was said in a handshake: messages in clear, and each end's Finished.
#[derive(Debug, Default)]
pub struct Said {
    /// Messages of client and server that came before encryption, in the order of capture.
    pub clear: [Vec<Message>; 2],
    /// Their Finished.
    pub finished: [Option<Message>; 2],
}

impl Said {
    /// The client's hello that its Finished is about: the last one, after those that asked for a cookie.
    fn hello(&self) -> Option<&Message> {
        let [client, _] = &self.clear;
        client.iter().rfind(|message| message.kind == CLIENT_HELLO)
    }

    /// Whether the client's Finished is about the message at a place among those of the client. A hello before it that asked
    /// for a cookie is not, but says nothing else.
    pub fn counts(&self, place: usize) -> bool {
        let [client, _] = &self.clear;
        let (Some(message), Some(hello)) = (client.get(place), self.hello()) else { return false };
        if message.kind == CLIENT_HELLO {
            return message.without_cookie() == hello.without_cookie();
        }
        let [finished, _] = &self.finished;
        let again = client.iter().skip(place + 1).any(|later| later.number == message.number);
        let before = finished.as_ref().is_some_and(|finished| message.number < finished.number);
        message.number > hello.number && before && !again
    }

    /// Whether the client's Finished verifies under the keys that opened it (RFC 6347 section 4.2.6): the handshake went as
    /// it was captured. Hellos before a cookie, and what asked for it, are not counted.
    pub fn is_genuine(&self, client: &Hello, server: &Hello, keys: &Keys) -> bool {
        let [from_client, from_server] = &self.clear;
        let [Some(finished), servers_finished] = &self.finished else { return false };
        let (Some(terms), Some(master)) = (terms(client, server), keys.master()) else { return false };
        let Some(hello) = self.hello() else { return false };
        let first = from_server.iter().rfind(|message| message.kind == SERVER_HELLO);
        let Some(first) = first.map(|first| first.number) else { return false };
        // Each number once: of two messages with one number nobody knows which was counted.
        let numbered = |messages: &[Message], from: u16| -> BTreeMap<u16, Vec<u8>> {
            let counted = messages.iter().filter(|message| message.number >= from);
            counted.map(|message| (message.number, message.unfragmented())).collect()
        };
        let servers = numbered(from_server, first);
        let clients = numbered(from_client, hello.number.saturating_add(1));
        let clients: Vec<u8> =
            clients.range(..finished.number).flat_map(|(_, bytes)| bytes.clone()).collect();
        let servers: Vec<u8> = servers.into_values().flatten().collect();
        // Where an earlier session is taken up, the server's Finished comes first.
        let full =
            from_server.iter().any(|message| message.number >= first && message.kind == SERVER_HELLO_DONE);
        let before =
            servers_finished.as_ref().filter(|_| !full).map(Message::unfragmented).unwrap_or_default();
        let parts = [&hello.unfragmented()[..], &servers, &before, &clients];
        schedule::finished_12(&terms, master, &parts).is_some_and(|holds| holds == finished.body)
    }
}

/// What protects the records of one peer of an association after its handshake: that which a key log gives, until one
/// secret has proved to be right.
#[derive(Debug, Default)]
pub struct Keys {
    /// What may protect records, each with its master secret.
    candidates: Vec<(Arc<Protection>, Vec<u8>)>,
    /// Whether a record was opened.
    pub proven: bool,
}

/// The epoch after the first handshake. Later ones come from handshakes that are encrypted and not read.
const FIRST_EPOCH: u16 = 1;

impl Keys {
    /// Those of `peer` where both hellos are known.
    ///
    /// # Errors
    /// Why there are none.
    pub fn of(
        client: Option<&Hello>,
        server: Option<&Hello>,
        peer: Peer,
        keys: &KeyLog,
    ) -> Result<Self, Unread> {
        let (Some(client), Some(server)) = (client, server) else { return Err(Unread::HelloNotCaptured) };
        let terms = terms(client, server).ok_or(Unread::NotSupported)?;
        let by_session: &[Vec<u8>] =
            if server.session.is_empty() { &[] } else { keys.get(Label::SessionId, &server.session) };
        let masters =
            keys.get(Label::ClientRandom, &client.random).iter().chain(by_session).take(MAX_CANDIDATES);
        let candidates: Vec<_> = masters
            .filter_map(|master| {
                Some((schedule::protection(&terms, master, peer).map(Arc::new)?, master.clone()))
            })
            // Each datagram stands alone (RFC 6347 section 4.1).
            .filter(|(protection, _)| !protection.is_sequential())
            .collect();
        if candidates.is_empty() { Err(Unread::NoSecret) } else { Ok(Self { candidates, proven: false }) }
    }

    /// How many secrets a record is tried with.
    pub fn tries(&self, record: &Record) -> usize {
        if record.epoch == FIRST_EPOCH { self.candidates.len() } else { 0 }
    }

    /// Opens a record. Its content stands in `out`.
    pub fn open(
        &mut self,
        record: &Record,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<(Opened, Arc<Protection>)> {
        if record.epoch != FIRST_EPOCH {
            return None;
        }
        let (header, number, chain) = (record.header, record.sequence(), Chain::default());
        let (opened, place) = self.candidates.iter().zip(0..).find_map(|((protection, _), place)| {
            Some((protection.open(number, header, payload, &chain, out)?, place))
        })?;
        if !self.proven {
            self.candidates = vec![self.candidates.swap_remove(place)];
            self.proven = true;
        }
        let (protection, _) = self.candidates.first()?;
        Some((opened, protection.clone()))
    }

    /// The master secret, where a record was opened.
    fn master(&self) -> Option<&[u8]> {
        self.candidates.first().filter(|_| self.proven).map(|(_, master)| master.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fragment(number: u16, len: usize, at: usize, bytes: &[u8]) -> Fragment<'_> {
        Fragment { kind: SERVER_HELLO, number, len, at, bytes }
    }

    #[test]
    fn records_are_read_to_the_first_byte_that_is_none() {
        let record = |kind, epoch, number, payload: &[u8]| {
            let len = u8::try_from(payload.len()).unwrap();
            [&[kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 1, number, 0, len], payload].concat()
        };
        let bytes =
            [record(22, 0, 2, &[14, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0]), record(23, 1, 0, b"abc")].concat();
        let records: Vec<_> = Record::all(&bytes).collect();
        assert_eq!(records.len(), 2);
        assert_eq!((records[0].epoch, records[0].number, records[0].payload()), (0, 0x102, 13..25));
        assert_eq!(records[1].sequence(), 0x0001_0000_0000_0100);
        assert_eq!(&bytes[records[1].payload()], b"abc");
        assert_eq!(datagram(&bytes), Some(Opening::Records));
        assert_eq!(datagram(&bytes[..bytes.len() - 1]), None, "the last record is cut");
        assert_eq!(datagram(&[&bytes, &b"x"[..]].concat()), None);
        assert_eq!(datagram(b""), None);
        assert_eq!(
            datagram(&record(22, 0, 0, &[1, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 7])),
            Some(Opening::Hello(Peer::Client))
        );
        assert_eq!(
            datagram(&record(22, 1, 0, &[1, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 7])),
            Some(Opening::Records)
        );
        // Neither TLS, nor another type.
        assert_eq!(datagram(&[22, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(datagram(&record(25, 1, 0, b"abc")), None);
    }

    #[test]
    fn fragments_stay_within_their_message() {
        let bytes = [2, 0, 0, 4, 0, 9, 0, 0, 1, 0, 0, 2, 7, 8, 2, 0, 0, 4, 0, 9, 0, 0, 3, 0, 0, 2, 7, 8];
        let all: Vec<_> = Fragment::all(&bytes).collect();
        assert_eq!(all, [fragment(9, 4, 1, &[7, 8])], "the second one ends behind the message");
        assert_eq!(all[0].size(), 14);
    }

    #[test]
    fn a_message_that_comes_again_is_given_once_and_another_of_its_number_too() {
        let mut messages = Messages::default();
        let whole = messages.push(fragment(0, 3, 0, b"abc"), 20).unwrap();
        assert_eq!((whole.body.as_slice(), whole.at), (&b"abc"[..], 20));
        assert_eq!(messages.push(fragment(0, 3, 0, b"abc"), 40), None);
        assert_eq!(messages.push(fragment(0, 3, 0, b"abd"), 60).unwrap().body, b"abd");
        assert_eq!(messages.push(fragment(1, 0, 0, b""), 80).unwrap().body, b"");
        assert_eq!(messages.push(fragment(2, MAX_MESSAGE + 1, 0, b"a"), 90), None);
        assert!(messages.too_long);
    }

    #[test]
    fn open_messages_are_counted() {
        let mut messages = Messages::default();
        for number in 0..1000 {
            assert_eq!(messages.push(fragment(number, 2, 0, b"a"), 0), None);
        }
        assert_eq!(messages.open.len(), MAX_OPEN);
        assert_eq!(messages.push(fragment(999, 2, 1, b"b"), 5).unwrap().body, b"ab");
        assert_eq!(messages.push(fragment(3, 2, 1, b"b"), 5), None, "its first half was given up");
    }

    proptest! {
        /// Of bytes that come twice, the first stay.
        #[test]
        fn fragments_in_any_order_make_the_message(
            len in 1_usize..40,
            parts in prop::collection::vec((0_usize..40, 0_usize..40, any::<u8>()), 0..40),
        ) {
            let (mut messages, mut model, mut given) = (Messages::default(), vec![None; len], None);
            for (at, size, byte) in parts {
                let at = at.min(len);
                let end = (at + size).min(len);
                let bytes = vec![byte; end - at];
                given = messages.push(fragment(7, len, at, &bytes), 0);
                for place in &mut model[at..end] {
                    place.get_or_insert(byte);
                }
                let whole: Option<Vec<u8>> = model.iter().copied().collect();
                prop_assert_eq!(given.as_ref().map(|message| message.body.clone()), whole);
                if given.is_some() {
                    break;
                }
            }
            let _ = given;
        }
    }
}
