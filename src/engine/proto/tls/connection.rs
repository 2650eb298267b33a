//! A connection: hellos, changes of keys and records of both directions, read in the order that the handshake needs.
//!
//! Each direction is read on its own until it needs what the other one says (the keys of the client's records need the
//! server's hello); then the other one is read on. No time or frame number decides, so the capture's order never shows.

use std::sync::Arc;

use super::{
    Hello, Peer, Version, clear,
    handshake::{
        CERTIFICATE, CLIENT_HELLO, CLIENT_KEY_EXCHANGE, ENCRYPTED_EXTENSIONS, END_OF_EARLY_DATA, FINISHED,
        KEY_UPDATE, Message, Messages, SERVER_HELLO, SERVER_HELLO_DONE, SERVER_KEY_EXCHANGE,
    },
    hello::Bytes,
    identity::Identity,
    keys::{Candidate, Found, Keys, MAX_CANDIDATES, Phase},
    nonces::Nonces,
    prescribed,
    protection::{Header, Protection},
    records::{ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE, HEADER, Next, Record, Records},
    schedule::{self, Terms},
    transcript::{Finished, Handshake, Transcript},
};
use crate::{
    engine::{
        net::stream::Stream,
        proto::keylog::{KeyLog, Label},
    },
    evidence::{ByteRange, ReadError},
};

/// Handshakes of one connection: one, and renegotiations. Servers that allowed them allowed a few.
const MAX_HANDSHAKES: usize = 64;

/// Records that may be missing in a gap. More than these in one gap are not found again.
const MAX_MISSING: u64 = 1_024;

/// A record whose content is known.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The content type: in TLS 1.3 the one inside.
    pub kind: u8,
    /// Whether it is early data that the server is not seen to take (RFC 8446 section 4.2.10): it refused it, or its answer
    /// is not read. The client sent it all the same.
    pub refused: bool,
    /// The header as it stood.
    pub header: Header,
    /// Header and payload in the stream.
    pub record: ByteRange,
    /// Where the content stands in the stream: as many bytes of ciphertext as it has.
    pub content: ByteRange,
    /// The number that the record was opened with.
    pub number: u64,
    /// What it was opened with.
    pub protection: Arc<Protection>,
}

/// Takes what a connection gives.
pub trait Handler {
    /// A hello whose first byte stands at `at`.
    fn hello(&mut self, peer: Peer, at: u64, hello: &Hello);

    /// Bytes that the grammar or a verified tag leaves no choice: headers, nonces, tags, padding.
    fn fixed(&mut self, peer: Peer, range: ByteRange);

    /// Bytes that are encrypted and not read, or of no record.
    fn opaque(&mut self, peer: Peer, range: ByteRange);

    /// The payload of an encrypted record that stays closed.
    fn closed(&mut self, peer: Peer, range: ByteRange);

    /// A record that was opened, and its content.
    fn opened(&mut self, peer: Peer, record: &Opened, content: &[u8]);

    /// Application data of about this many bytes that could not be opened or was not captured.
    fn missing(&mut self, peer: Peer, bytes: u64);

    /// The stream breaks the grammar at `at`.
    fn malformed(&mut self, peer: Peer, at: u64, why: &'static str);

    /// A record at `at` does not verify under keys that opened others.
    fn damaged(&mut self, peer: Peer, at: u64);
}

/// Why records stayed closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// There was nothing encrypted.
    NothingEncrypted,
    /// The capture lacks a hello.
    HelloNotCaptured,
    /// No key log holds a secret of this connection.
    NoSecret,
    /// Those it holds open nothing.
    WrongSecret,
    /// The suite or the version is not read here.
    NotSupported,
}

impl std::fmt::Display for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NothingEncrypted => "nothing encrypted was captured",
            Self::HelloNotCaptured => "a hello was not captured",
            Self::NoSecret => "no key log holds a secret of it",
            Self::WrongSecret => "the secrets of the key log open nothing",
            Self::NotSupported => "its version, suite or compression is not read here",
        })
    }
}

/// What is known of a connection at its end.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The version agreed on.
    pub version: Option<Version>,
    /// The suite agreed on.
    pub suite: Option<u16>,
    /// The application protocol agreed on.
    pub alpn: Option<String>,
    /// The server name asked for.
    pub sni: Option<String>,
    /// The client's random.
    pub client_random: Option<Vec<u8>>,
    /// Whether the client's and the server's records were opened.
    pub opened: [bool; 2],
    /// Why not, where they were not.
    pub unread: [Option<Unread>; 2],
    /// Whether an earlier session or a pre-shared key was taken up.
    pub resumed: bool,
    /// Whether the server took early data.
    pub early_data_accepted: bool,
    /// The server's certificates and what its signature shows, of the first handshake in which it answered.
    pub identity: Option<Identity>,
    /// Where server names stand in the client's stream.
    pub names: Vec<(ByteRange, String)>,
    /// What the protocol prescribes in the client's first handshake (lists of code points, randoms, public keys), in its
    /// stream; nothing unless its Finished verifies: who could make that took part in the handshake as it was captured.
    pub prescribed: Vec<ByteRange>,
}

/// Reads a connection.
pub struct Connection<'s, 'k> {
    keys: &'k KeyLog,
    halves: [Half<'s>; 2],
    handshakes: Vec<Handshake>,
    names: Vec<(ByteRange, String)>,
    prescribed: Vec<ByteRange>,
    finished: Option<Finished>,
}

/// One direction.
struct Half<'s> {
    stream: &'s Stream,
    records: Records<'s>,
    /// Where the last message ends that a server's signature may be about.
    heard: u64,
    messages: Messages,
    mode: Mode,
    keys: Keys,
    nonces: Nonces,
    /// The handshake that its messages belong to.
    handshake: usize,
    ended: bool,
    /// Whether the first bytes were looked at.
    begun: bool,
    /// Bytes that were not seen since the last record that was.
    lost: u64,
    /// Where the key log could not help.
    unread: Option<Unread>,
    buffer: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Before ChangeCipherSpec or, in TLS 1.3, the first protected record.
    Clear,
    /// Records are opened.
    Protected,
    /// Records stay closed.
    Closed,
}

/// How far a direction came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Came {
    ToTheEnd,
    /// It needs the other direction.
    Blocked,
}

/// What is done where a direction needs what the other one can't say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    Waits,
    GoesOn,
}

impl<'s, 'k> Connection<'s, 'k> {
    /// Begins with the first bytes of both directions.
    pub fn new(client: &'s Stream, server: &'s Stream, keys: &'k KeyLog) -> Self {
        let half = |stream| Half {
            stream,
            records: Records::new(stream),
            heard: 0,
            messages: Messages::default(),
            mode: Mode::Clear,
            keys: Keys::new(),
            nonces: Nonces::default(),
            handshake: 0,
            ended: false,
            begun: false,
            lost: 0,
            unread: None,
            buffer: Vec::new(),
        };
        let halves = [half(client), half(server)];
        Self {
            keys,
            halves,
            handshakes: vec![Handshake::default()],
            names: Vec::new(),
            prescribed: Vec::new(),
            finished: None,
        }
    }

    /// Reads both directions to their ends.
    ///
    /// # Errors
    /// When the capture can't be read.
    pub fn run(mut self, handler: &mut dyn Handler) -> Result<Outcome, ReadError> {
        let mut patience = Patience::Waits;
        while self.halves.iter().any(|half| !half.ended) {
            let mut moved = false;
            for peer in Peer::BOTH {
                if self.half(peer).ended {
                    continue;
                }
                let (came, far) = self.advance(peer, patience, handler)?;
                moved |= far || came == Came::ToTheEnd;
                if moved {
                    patience = Patience::Waits;
                }
            }
            if !moved {
                patience = Patience::GoesOn;
            }
        }
        Ok(self.outcome())
    }

    fn half(&mut self, peer: Peer) -> &mut Half<'s> {
        let [client, server] = &mut self.halves;
        match peer {
            Peer::Client => client,
            Peer::Server => server,
        }
    }

    fn outcome(self) -> Outcome {
        let last = self.handshakes.iter().rev().find(|handshake| handshake.server.is_some());
        let last = last.or(self.handshakes.first());
        let server = last.and_then(|handshake| handshake.server.as_ref());
        let clients = || self.handshakes.iter().filter_map(|handshake| handshake.client.as_ref());
        let [client_half, server_half] = &self.halves;
        let genuine = self.is_genuine();
        let unread = |half: &Half<'_>| match half.unread {
            Some(Unread::WrongSecret) | None if half.keys.proven => None,
            Some(unread) => Some(unread),
            None if half.mode == Mode::Protected => Some(Unread::WrongSecret),
            None => Some(Unread::NothingEncrypted),
        };
        Outcome {
            version: server.map(Hello::version),
            suite: server.map(Hello::cipher),
            alpn: server.and_then(|hello| hello.alpn.first().cloned()),
            sni: clients().find_map(|hello| hello.sni.clone()),
            client_random: clients().next().map(|hello| hello.random.clone()),
            opened: [client_half.keys.proven, server_half.keys.proven],
            unread: [unread(client_half), unread(server_half)],
            resumed: last.is_some_and(Handshake::is_resumed),
            early_data_accepted: last.is_some_and(|handshake| handshake.early_data_accepted),
            identity: self.handshakes.iter().find_map(Handshake::identity).map(|identity| {
                let damaged = self.halves.iter().any(|half| half.stream.is_damaged(half.heard));
                if damaged { identity.of_damaged() } else { identity }
            }),
            names: self.names,
            prescribed: if genuine { self.prescribed } else { Vec::new() },
        }
    }

    /// Whether the client's Finished of the first handshake verifies.
    fn is_genuine(&self) -> bool {
        let (Some(finished), [first, rest @ ..]) = (&self.finished, self.handshakes.as_slice()) else {
            return false;
        };
        first.verifies(finished, rest.first())
    }

    /// Reads one direction as far as it goes; true if that is anywhere.
    fn advance(
        &mut self,
        peer: Peer,
        mut patience: Patience,
        handler: &mut dyn Handler,
    ) -> Result<(Came, bool), ReadError> {
        let mut far = false;
        if !self.half(peer).begun {
            self.half(peer).begun = true;
            self.begin(peer, handler)?;
        }
        loop {
            let next = self.half(peer).records.next()?;
            match next {
                Next::End => {
                    self.half(peer).ended = true;
                    return Ok((Came::ToTheEnd, true));
                }
                Next::Record(record) => {
                    if !self.record(peer, &record, patience, handler) {
                        return Ok((Came::Blocked, far));
                    }
                    patience = Patience::Waits;
                    self.half(peer).records.consume(&next, &mut |_| {})?;
                }
                Next::Unknown(_) if self.can_search(peer) => {
                    if self.needs_the_other(peer) && patience == Patience::Waits {
                        return Ok((Came::Blocked, far));
                    }
                    if !self.search(peer, handler)? {
                        self.pass_unknown(peer, handler)?;
                    }
                }
                Next::Unknown(_) => self.pass_unknown(peer, handler)?,
                Next::Broken(_) | Next::Lost(_) | Next::Malformed(_) => self.damage(peer, &next, handler)?,
            }
            far = true;
        }
    }

    /// A hello at the start shows that the start was captured; one in the style of SSLv2 stands before the records.
    fn begin(&mut self, peer: Peer, handler: &mut dyn Handler) -> Result<(), ReadError> {
        let half = self.half(peer);
        if clear::opening(half.records.peek(HEADER + 1)?).is_some() {
            half.records.sync();
        }
        let Some(length) = clear::sslv2_length(half.records.peek(HEADER)?) else { return Ok(()) };
        let bytes = half.records.peek(length + 2)?;
        if bytes.len() < length + 2 {
            return Ok(());
        }
        let hello = Hello::of_sslv2(bytes);
        let range = half.records.skip(length + 2);
        if let Some(hello) = hello {
            handler.hello(peer, range.start, &hello);
            self.keep_client_hello(hello, None);
        }
        Ok(())
    }

    /// Passes what is no whole record, or no record.
    fn damage(&mut self, peer: Peer, next: &Next, handler: &mut dyn Handler) -> Result<(), ReadError> {
        let half = self.half(peer);
        half.messages.lose();
        match next {
            Next::Broken(range) => {
                let overhead = (HEADER + half.keys.overhead()) as u64;
                half.keys.fail(&[]);
                if half.mode != Mode::Clear {
                    handler.missing(peer, range.len().saturating_sub(overhead));
                }
            }
            Next::Lost(gap) => half.lost += gap.len(),
            Next::Malformed(at) => handler.malformed(peer, *at, "no TLS record where one must stand"),
            _ => {}
        }
        half.records.consume(next, &mut |range| handler.opaque(peer, range))
    }

    fn pass_unknown(&mut self, peer: Peer, handler: &mut dyn Handler) -> Result<(), ReadError> {
        let half = self.half(peer);
        let next = half.records.next()?;
        let mut passed = 0;
        if matches!(next, Next::Unknown(_)) {
            half.records.consume(&next, &mut |range| {
                passed += range.len();
                handler.opaque(peer, range);
            })?;
        }
        half.lost += passed;
        Ok(())
    }

    /// Whether records can be found again: only a tag that verifies tells one.
    fn can_search(&mut self, peer: Peer) -> bool {
        !self.keys.is_empty()
            && self.half(peer).records.is_searching()
            && self.half(peer).mode != Mode::Closed
            && !(self.half(peer).mode == Mode::Protected && self.half(peer).keys.is_empty())
    }

    /// Whether keys are needed that only both hellos give.
    fn needs_the_other(&mut self, peer: Peer) -> bool {
        self.half(peer).mode == Mode::Clear && !self.is_agreed(peer)
    }

    fn search(&mut self, peer: Peer, handler: &mut dyn Handler) -> Result<bool, ReadError> {
        if self.half(peer).mode == Mode::Clear {
            self.enter(peer);
        }
        let half = self.half(peer);
        let Half { records, keys, lost, buffer, .. } = half;
        if keys.is_empty() {
            return Ok(false);
        }
        let least = (HEADER + keys.overhead()) as u64;
        let (begin, mut hit, mut passed) = (records.at(), None, 0);
        let found = records.search(
            &mut |record, payload, before| {
                let unseen = *lost + (record.range.start - begin);
                let missing = (unseen / least + 1).min(MAX_MISSING);
                hit =
                    keys.open(record.header, payload, missing, before, buffer).map(|found| (*record, found));
                hit.is_some()
            },
            &mut |range| {
                passed += range.len();
                handler.opaque(peer, range);
            },
        )?;
        *lost += passed;
        if let (true, Some((record, found))) = (found, hit) {
            self.take(peer, &record, found, handler);
            self.half(peer).records.consume(&Next::Record(record), &mut |_| {})?;
        }
        Ok(found)
    }

    /// Whether both hellos of the handshake at hand are known.
    fn is_agreed(&mut self, peer: Peer) -> bool {
        let at = self.half(peer).handshake;
        self.handshakes
            .get(at)
            .is_some_and(|handshake| handshake.client.is_some() && handshake.server.is_some())
    }

    fn handshake(&mut self, peer: Peer) -> &mut Handshake {
        let at = self.half(peer).handshake;
        while self.handshakes.len() <= at {
            self.handshakes.push(Handshake::default());
        }
        let last = self.handshakes.len() - 1;
        self.handshakes.get_mut(at.min(last)).expect("there is at least one, and more were just made")
    }

    /// Reads a whole record; false if that must wait for the other direction.
    fn record(&mut self, peer: Peer, record: &Record, patience: Patience, handler: &mut dyn Handler) -> bool {
        let is_13 = self.handshake(peer).is_13();
        let kind = record.header.kind;
        match self.half(peer).mode {
            _ if is_13 && kind == CHANGE_CIPHER_SPEC => self.change_cipher_spec(peer, record, handler),
            Mode::Protected if is_13 && kind != APPLICATION_DATA => self.clear_record(peer, record, handler),
            Mode::Protected => self.protected_record(peer, record, handler),
            Mode::Closed => self.closed_record(peer, record, handler),
            Mode::Clear if matches!(kind, CHANGE_CIPHER_SPEC | APPLICATION_DATA) => {
                if self.must_wait(peer) && patience == Patience::Waits {
                    return false;
                }
                if kind == CHANGE_CIPHER_SPEC || is_13 || !self.is_agreed(peer) {
                    self.enter(peer);
                }
                if kind == CHANGE_CIPHER_SPEC {
                    self.change_cipher_spec(peer, record, handler);
                } else if self.half(peer).mode == Mode::Protected {
                    self.protected_record(peer, record, handler);
                } else {
                    self.closed_record(peer, record, handler);
                }
            }
            Mode::Clear => self.clear_record(peer, record, handler),
        }
        true
    }

    /// Whether the other direction must be read on before records of this one can be opened.
    fn must_wait(&mut self, peer: Peer) -> bool {
        let at = self.half(peer).handshake;
        let [client, _] = &self.halves;
        let exchange_to_come = !client.ended && client.handshake <= at && peer == Peer::Server;
        let Some(handshake) = self.handshakes.get(at) else { return true };
        if handshake.client.is_none() || handshake.server.is_none() {
            return true;
        }
        // A premaster secret makes a master secret only with what the client's flight says.
        let by_premaster = !handshake.is_13() && handshake.key_exchange.is_none() && handshake.full;
        by_premaster && exchange_to_come && !handshake.has_masters(self.keys)
    }

    /// The records that follow in this direction are protected.
    fn enter(&mut self, peer: Peer) {
        let keys = self.keys;
        let too_many = self.half(peer).handshake >= MAX_HANDSHAKES;
        let handshake = self.handshake(peer);
        let secrets = match handshake.terms() {
            _ if too_many => Err(Unread::NotSupported),
            None if handshake.client.is_none() || handshake.server.is_none() => Err(Unread::HelloNotCaptured),
            None => Err(Unread::NotSupported),
            Some(terms) if terms.version.is_13() => secrets_13(handshake, &terms, peer, keys),
            Some(terms) => secrets_12(handshake, &terms, peer, keys),
        };
        let terms = handshake.terms().map(|terms| (terms.version, terms.suite));
        let is_13 = handshake.is_13();
        let half = self.half(peer);
        if !is_13 {
            half.handshake = (half.handshake + 1).min(MAX_HANDSHAKES);
        }
        match (secrets, terms) {
            (Ok(secrets), Some(terms)) => {
                half.mode = Mode::Protected;
                half.keys.change();
                for (phase, candidates) in secrets {
                    half.keys.expect(terms, phase, candidates);
                }
            }
            (Err(unread), _) => {
                half.mode = Mode::Closed;
                half.unread = Some(unread);
            }
            (Ok(_), None) => half.mode = Mode::Closed,
        }
    }

    /// The one byte of ChangeCipherSpec is 1 (RFC 5246 section 7.1).
    fn change_cipher_spec(&mut self, peer: Peer, record: &Record, handler: &mut dyn Handler) {
        let usual = self.half(peer).records.payload(record) == [1];
        handler.fixed(peer, if usual { record.range } else { head(record.range) });
    }

    /// A record that is not encrypted.
    fn clear_record(&mut self, peer: Peer, record: &Record, handler: &mut dyn Handler) {
        handler.fixed(peer, head(record.range));
        let half = self.half(peer);
        let payload = half.records.payload(record).to_vec();
        match record.header.kind {
            HANDSHAKE => self.handshake_content(peer, &payload, record.payload().start, handler),
            ALERT => {}
            _ => handler.opaque(peer, record.payload()),
        }
    }

    /// A record that stays closed. A second ClientHello may stand there in clear.
    fn closed_record(&mut self, peer: Peer, record: &Record, handler: &mut dyn Handler) {
        handler.fixed(peer, head(record.range));
        let payload = self.half(peer).records.payload(record);
        let hello = match payload {
            &[CLIENT_HELLO | SERVER_HELLO, a, b, c, 3, ..] if record.header.kind == HANDSHAKE => {
                u32::from_be_bytes([0, a, b, c]) as usize + 4 == payload.len()
            }
            _ => false,
        };
        if hello {
            let payload = payload.to_vec();
            self.handshake_content(peer, &payload, record.payload().start, handler);
        } else {
            handler.closed(peer, record.payload());
        }
    }

    fn protected_record(&mut self, peer: Peer, record: &Record, handler: &mut dyn Handler) {
        let Half { keys, records, buffer, .. } = self.half(peer);
        let payload = records.payload(record);
        if let Some(found) = keys.open(record.header, payload, 0, None, buffer) {
            self.take(peer, record, found, handler);
            return;
        }
        keys.fail(payload);
        handler.fixed(peer, head(record.range));
        handler.closed(peer, record.payload());
        if keys.proven {
            handler.damaged(peer, record.range.start);
        }
        if record.header.kind == APPLICATION_DATA && keys.phase() != Some(Phase::Handshake) {
            handler.missing(peer, (payload.len() as u64).saturating_sub(keys.overhead() as u64));
        }
    }

    /// Takes a record that was opened; its content stands in the buffer.
    fn take(&mut self, peer: Peer, record: &Record, found: Found, handler: &mut dyn Handler) {
        let half = self.half(peer);
        if half.lost > 0 {
            let each = (HEADER + found.protection.overhead()) as u64;
            let content = found.missing.and_then(|count| half.lost.checked_sub(count.saturating_mul(each)));
            handler.missing(peer, content.unwrap_or(half.lost));
            half.lost = 0;
        }
        let Found { opened, protection, phase, number, .. } = found;
        let start = record.payload().start + opened.at as u64;
        let content = ByteRange::new(start, start + opened.len as u64);
        let explicit = half.records.payload(record).get(..opened.at).unwrap_or_default();
        let before = if half.nonces.say_nothing(number, explicit) {
            ByteRange::new(record.range.start, content.start)
        } else {
            head(record.range)
        };
        handler.fixed(peer, before);
        handler.fixed(peer, ByteRange::new(content.end, record.range.end));
        let bytes = std::mem::take(&mut half.buffer);
        let refused = phase == Phase::Early && !self.handshake(peer).early_data_accepted;
        let Record { header, range } = *record;
        let kind = opened.kind;
        let record = Opened { kind, refused, header, record: range, content, number, protection };
        handler.opened(peer, &record, &bytes);
        match kind {
            HANDSHAKE => self.handshake_content(peer, &bytes, content.start, handler),
            CHANGE_CIPHER_SPEC if !self.handshake(peer).is_13() => self.enter(peer),
            _ => {}
        }
        self.half(peer).buffer = bytes;
    }

    fn handshake_content(&mut self, peer: Peer, content: &[u8], at: u64, handler: &mut dyn Handler) {
        if self.handshakes.first().is_some_and(|first| !first.transcript.server_done) {
            self.half(peer).heard = at + content.len() as u64;
        }
        let given = self.half(peer).messages.push(content, at);
        if let Some(at) = given.too_long {
            self.handshake(peer).transcript.cut = true;
            handler.malformed(peer, at, "a handshake message longer than 256 KiB");
        }
        for message in given.messages {
            match peer {
                Peer::Client => self.client_message(&message, handler),
                Peer::Server => self.server_message(&message, handler),
            }
            self.change_of_keys(peer, message.kind);
        }
    }

    fn client_message(&mut self, message: &Message, handler: &mut dyn Handler) {
        self.note_prescribed(message);
        match message.kind {
            CLIENT_HELLO => match Hello::of_client(message.body()) {
                Some(hello) => {
                    handler.hello(Peer::Client, message.at, &hello);
                    self.keep_client_hello(hello, Some(&message.bytes));
                }
                None => handler.malformed(Peer::Client, message.at, "a hello that breaks its grammar"),
            },
            SERVER_HELLO => handler.malformed(Peer::Client, message.at, "a server's hello from the client"),
            kind => {
                let handshake = self.handshake(Peer::Client);
                if handshake.key_exchange.is_none() {
                    Transcript::keep(&mut handshake.transcript.client, &message.bytes);
                }
                if kind == CLIENT_KEY_EXCHANGE {
                    handshake.key_exchange.get_or_insert_with(|| message.body().to_vec());
                }
            }
        }
    }

    /// Notes what the protocol demands of the client's first handshake.
    fn note_prescribed(&mut self, message: &Message) {
        let place = |range: std::ops::Range<usize>| {
            ByteRange::new(message.at + range.start as u64, message.at + range.end as u64)
        };
        if message.kind == CLIENT_HELLO
            && !message.spread
            && self.names.len() < MAX_HANDSHAKES
            && let Some(range) = prescribed::server_name(message)
            && let Some(name) = message.bytes.get(range.clone())
        {
            self.names.push((place(range), String::from_utf8_lossy(name).into_owned()));
        }
        if self.finished.is_some() {
            return;
        }
        let [client, _] = &self.halves;
        if message.kind == FINISHED {
            // Before TLS 1.3 it stands behind the change of keys, and is counted to what follows that.
            let (Some(secret), Some(first)) = (client.keys.secret(), self.handshakes.first()) else { return };
            let (secret, before) = (secret.to_vec(), first.transcript.client.len());
            self.finished = Some(Finished { message: message.clone(), secret, before });
        }
        if !message.spread {
            let ranges = if message.kind == FINISHED {
                std::iter::once(0..message.bytes.len()).collect()
            } else {
                prescribed::of(message)
            };
            self.prescribed.extend(ranges.into_iter().map(place));
        }
    }

    fn keep_client_hello(&mut self, hello: Hello, bytes: Option<&[u8]>) {
        let handshake = self.handshake(Peer::Client);
        let hellos = &mut handshake.transcript.hellos;
        if let Some(bytes) = bytes.filter(|_| hellos.len() < 2) {
            hellos.push(bytes.to_vec());
        }
        handshake.client = Some(hello);
    }

    fn server_message(&mut self, message: &Message, handler: &mut dyn Handler) {
        let handshake = self.handshake(Peer::Server);
        match message.kind {
            SERVER_HELLO => match Hello::of_server(message.body()) {
                Some(hello) => {
                    handler.hello(Peer::Server, message.at, &hello);
                    Transcript::keep(&mut handshake.transcript.server, &message.bytes);
                    if hello.is_retry() {
                        handshake.retry = Some(hello);
                    } else {
                        handshake.server = Some(hello);
                    }
                }
                None => handler.malformed(Peer::Server, message.at, "a hello that breaks its grammar"),
            },
            CLIENT_HELLO => handler.malformed(Peer::Server, message.at, "a client's hello from the server"),
            kind => {
                if !handshake.transcript.server_done {
                    Transcript::keep(&mut handshake.transcript.server, &message.bytes);
                }
                handshake.transcript.server_done |= matches!(kind, SERVER_HELLO_DONE | FINISHED);
                handshake.full |= matches!(kind, CERTIFICATE | SERVER_KEY_EXCHANGE | SERVER_HELLO_DONE);
                if kind == ENCRYPTED_EXTENSIONS {
                    let mut extensions = Hello::default();
                    extensions.read_extension_list(Bytes(message.body()).vector16().unwrap_or_default());
                    handshake.early_data_accepted = extensions.early_data();
                    if let Some(server) = &mut handshake.server {
                        server.alpn = extensions.alpn;
                    }
                }
            }
        }
    }

    /// Messages of TLS 1.3 after which other keys are used.
    fn change_of_keys(&mut self, peer: Peer, kind: u8) {
        if !self.handshake(peer).is_13() {
            return;
        }
        let keys = &mut self.half(peer).keys;
        match (kind, keys.phase()) {
            (FINISHED, Some(Phase::Handshake)) | (END_OF_EARLY_DATA, Some(Phase::Early)) => keys.change(),
            (KEY_UPDATE, Some(Phase::Application)) => keys.update(),
            _ => {}
        }
    }
}

/// The header of a record.
fn head(record: ByteRange) -> ByteRange {
    ByteRange::new(record.start, record.start + HEADER as u64)
}

type Secrets = Vec<(Phase, Vec<Candidate>)>;

fn secrets_12(
    handshake: &Handshake,
    terms: &Terms<'_>,
    peer: Peer,
    keys: &KeyLog,
) -> Result<Secrets, Unread> {
    let compressed =
        handshake.server.as_ref().is_some_and(|hello| hello.compression.iter().any(|&method| method != 0));
    if terms.version < Version::TLS10
        || terms.version > Version::TLS12
        || compressed
        || terms.suite.cipher.is_none()
    {
        return Err(Unread::NotSupported);
    }
    let candidates: Vec<Candidate> = handshake
        .masters(keys)
        .into_iter()
        .filter_map(|master| {
            let protection = Arc::new(schedule::protection(terms, &master, peer)?);
            Some(Candidate { protection, secret: master })
        })
        .collect();
    if candidates.is_empty() {
        return Err(Unread::NoSecret);
    }
    Ok(vec![(Phase::Application, candidates)])
}

fn secrets_13(
    handshake: &Handshake,
    terms: &Terms<'_>,
    peer: Peer,
    keys: &KeyLog,
) -> Result<Secrets, Unread> {
    let early = handshake.client.as_ref().is_some_and(Hello::early_data);
    let labels: &[(Phase, Label)] = match peer {
        Peer::Client if early => &[
            (Phase::Early, Label::ClientEarlyTraffic),
            (Phase::Handshake, Label::ClientHandshakeTraffic),
            (Phase::Application, Label::ClientTraffic),
        ],
        Peer::Client => {
            &[(Phase::Handshake, Label::ClientHandshakeTraffic), (Phase::Application, Label::ClientTraffic)]
        }
        Peer::Server => {
            &[(Phase::Handshake, Label::ServerHandshakeTraffic), (Phase::Application, Label::ServerTraffic)]
        }
    };
    if schedule::protection_13(terms.version, terms.suite, &[0; 64]).is_none() {
        return Err(Unread::NotSupported);
    }
    let mut found: Secrets = Vec::new();
    for (phase, label) in labels {
        let secrets = keys.get(*label, terms.client_random).iter().take(MAX_CANDIDATES);
        let candidates: Vec<Candidate> = secrets
            .filter_map(|secret| {
                let protection = Arc::new(schedule::protection_13(terms.version, terms.suite, secret)?);
                Some(Candidate { protection, secret: secret.clone() })
            })
            .collect();
        if !candidates.is_empty() {
            found.push((*phase, candidates));
        }
    }
    if found.is_empty() { Err(Unread::NoSecret) } else { Ok(found) }
}
