//! DTLS conversations: hellos, places of all bytes, and what records hold where a key log has the secrets.
//!
//! 1. Hellos are put together from the fragments of both directions and make associations in the order of their frames:
//!    one mostly, more where the ports are used again.
//! 2. Each record is opened on its own, under the latest association that fits.
//! 3. What was opened is a conversation of datagrams; handshake messages and alerts are leaves beside it.

use crate::{
    engine::{
        net::stream::{Chunk, Stream},
        proto::tls::{
            Hello, Nonces, Opened, Over, Peer, Unread,
            dtls::{self, Fragment, Keys, Message, Messages, Opening, Record},
        },
    },
    evidence::{AnomalyKind, ByteRange, Direction, FrameNo, ReadError},
};

use super::{
    super::{
        Context, Conversation, Shared,
        layers::Out,
        raw::Raw,
        sink::{Place, Sink, TlsConnection, TlsHello},
    },
    ALERT, ALERTS, APPLICATION_DATA, Agreed, DTLS, MAX_HELLOS, inside, other,
    plain::{MAX_RECORDS, Plain},
};

/// Datagrams of each direction that are looked at: calls begin with some requests of STUN.
const PROBED: usize = 64;

/// Associations of one conversation that are told apart; each has keys that a record may be tried with.
const MAX_ASSOCIATIONS: usize = 16;

/// Bytes of one direction that may be tried in vain with secrets that nothing has proven: the first record of an
/// association proves them, unless it was not captured or the key log is of another run.
const MAX_WASTE: usize = 128 << 20;

/// Bytes of a record's header.
const HEADER: u64 = 13;

/// The first bytes of records, where several protocols share two ports (RFC 7983 section 7).
const CONTENT_TYPES: std::ops::RangeInclusive<u8> = 20..=24;

/// The first bytes of records with other headers: with a connection id (RFC 9146), and of DTLS 1.3 (RFC 9147 section 4).
const OTHER_HEADERS: std::ops::RangeInclusive<u8> = 25..=63;

/// Two peers with the keys they agreed on.
struct Association {
    /// The frame of its first hello.
    frame: FrameNo,
    /// Which way its client sends.
    client: Direction,
    hellos: [Option<Hello>; 2],
    keys: [Result<Keys, Unread>; 2],
    /// Bytes of application data that were opened, by client and server.
    decrypted: [u64; 2],
    /// Its handshake messages.
    said: dtls::Said,
    /// Where those of the client stand that are in one fragment, each with its place among what it said.
    places: Vec<(usize, u64)>,
    /// What the client's Finished holds, in its stream.
    finished: Option<ByteRange>,
}

/// A handshake message in clear.
struct Said {
    frame: FrameNo,
    direction: Direction,
    message: Message,
    /// Whether it stands in one fragment.
    whole: bool,
}

/// Bytes of such messages that are kept of one conversation: a chain of certificates has 20 KiB.
const MAX_SAID: usize = 1 << 20;
/// What each of them counts beside its bytes, so that empty ones have an end too.
const MESSAGE: usize = 64;

fn place_of(peer: Peer) -> usize {
    usize::from(peer == Peer::Server)
}

impl Association {
    fn peer(&self, direction: Direction) -> Peer {
        if direction == self.client { Peer::Client } else { Peer::Server }
    }

    fn hello(&self, peer: Peer) -> Option<&Hello> {
        self.hellos.get(place_of(peer))?.as_ref()
    }

    fn keys(&mut self, peer: Peer) -> Option<&mut Keys> {
        self.keys.get_mut(place_of(peer))?.as_mut().ok()
    }

    fn is_proven(&self, peer: Peer) -> bool {
        matches!(self.keys.get(place_of(peer)), Some(Ok(keys)) if keys.proven)
    }

    /// Takes a message in clear.
    fn hears(&mut self, one: Said) {
        let peer = self.peer(one.direction);
        let Some(list) = self.said.clear.get_mut(place_of(peer)) else { return };
        if peer == Peer::Client && one.whole {
            self.places.push((list.len(), one.message.at));
        }
        list.push(one.message);
    }

    /// What the server said in the clear after its hello, as TLS writes it.
    fn heard(&self) -> Vec<u8> {
        let [_, server] = &self.said.clear;
        server.iter().filter(|message| !message.is_hello()).flat_map(Message::bytes).collect()
    }

    /// Says what the protocol prescribes in the client's handshake, where its Finished verifies, and where server names stand.
    fn prescribed(&mut self, sink: &mut dyn Sink) {
        let genuine = match (&self.hellos, &self.keys) {
            ([Some(client), Some(server)], [Ok(keys), _]) => self.said.is_genuine(client, server, keys),
            _ => false,
        };
        let [client, _] = &self.said.clear;
        for (place, at) in &self.places {
            let Some(message) = client.get(*place) else { continue };
            let (said, name) = message.prescribed();
            let part = |range: std::ops::Range<usize>| {
                ByteRange::new(at + range.start as u64, at + range.end as u64)
            };
            if let Some((range, text)) = name.zip(message.hello().and_then(|hello| hello.sni)) {
                sink.name(self.client, part(range), &text);
            }
            for range in said.into_iter().filter(|_| genuine && self.said.counts(*place)) {
                sink.place(self.client, part(range), Place::Understood);
            }
        }
        if let Some(finished) = self.finished.filter(|_| genuine) {
            sink.place(self.client, finished, Place::Understood);
        }
    }

    fn tell(&self, closed: [bool; 2]) -> TlsConnection {
        let server = self.hello(Peer::Server);
        let client = self.hello(Peer::Client);
        let ways = [Direction::Up, Direction::Down].map(|direction| self.peer(direction));
        let unread = |peer: Peer| match self.keys.get(place_of(peer)) {
            _ if !closed.get(place_of(peer)).copied().unwrap_or_default() => Some(Unread::NothingEncrypted),
            Some(Ok(keys)) if keys.proven => None,
            Some(Err(unread)) => Some(*unread),
            Some(Ok(_)) | None => Some(Unread::WrongSecret),
        };
        TlsConnection {
            frame: Some(self.frame),
            client: Some(self.client),
            version: server.map(|hello| hello.version().0),
            cipher: server.map(Hello::cipher),
            sni: client.and_then(|hello| hello.sni.clone()),
            alpn: server.and_then(|hello| hello.alpn.first().cloned()),
            client_random: client.map(|hello| hello.random.clone()),
            // An earlier session is taken up by its name (RFC 5246 section 7.4.1.3, RFC 5077 section 3.4).
            resumed: client.zip(server).is_some_and(|(client, server)| {
                !client.session.is_empty() && client.session == server.session
            }),
            opened: Peer::BOTH.iter().any(|peer| self.is_proven(*peer)),
            decrypted: ways.map(|peer| self.decrypted.get(place_of(peer)).copied().unwrap_or_default()),
            unread: ways.map(unread),
            identity: client
                .zip(server)
                .and_then(|(client, server)| dtls::identity(client, server, &self.heard())),
        }
    }
}

/// Walks a conversation of DTLS; false, and nothing done, if it is none.
pub(in crate::engine::decode) fn datagrams(
    conversation: &Conversation<'_>,
    context: &Context<'_>,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<bool, ReadError> {
    if !opens(conversation.up)? && !opens(conversation.down)? {
        return Ok(false);
    }
    sink.protocol(DTLS);
    let mut hellos = Vec::new();
    let mut said = Vec::new();
    for direction in [Direction::Up, Direction::Down] {
        survey(conversation, direction, (&mut hellos, &mut said), context, sink)?;
    }
    hellos.sort_by_key(|(frame, direction, _)| (*frame, *direction));
    let mut associations = associations(&hellos, context, sink);
    for one in said {
        // Those of an association stand before the first hello of the next one.
        let of = associations.iter_mut().rev().find(|association| association.frame <= one.frame);
        if let Some(association) = of {
            association.hears(one);
        }
    }
    let (mut data, mut messages, mut closed) = (Vec::new(), Vec::new(), [false; 2]);
    // Without a hello nobody is known to be the client.
    let client = associations.first().map_or(Direction::Up, |first| first.client);
    for direction in [client, other(client)] {
        let side = walk(conversation, direction, &mut associations, context, sink)?;
        if let Some(closed) = closed.get_mut(usize::from(direction != client)) {
            *closed = side.encrypted;
        }
        let stream = conversation.stream(direction);
        for (plain, list) in [(side.application, &mut data), (side.messages, &mut messages)] {
            let mut read = plain.finish(stream)?;
            read.stream.datagrams = true;
            list.push(read);
        }
    }
    for association in &mut associations {
        association.prescribed(sink);
    }
    for (frame, direction, hello) in &hellos {
        let decrypted = associations.iter().any(|association| {
            let peer = association.peer(*direction);
            association.is_proven(peer)
                && association.hello(peer).is_some_and(|known| known.random == hello.random)
        });
        sink.tls_hello(&TlsHello { decrypted, ..TlsHello::of(hello.clone(), *frame, Over::Dtls) });
    }
    for association in &associations {
        let mut closed = closed;
        if association.client != client {
            closed.reverse();
        }
        sink.tls(&association.tell(closed));
        let fit = Peer::BOTH.iter().any(|peer| association.is_proven(*peer));
        if !fit && association.keys.iter().any(Result::is_ok) && closed.contains(&true) {
            let detail =
                "the key log holds secrets of this connection, and none of them opens a record".to_owned();
            sink.anomaly(AnomalyKind::TlsSecretsDoNotFit, Some(association.frame), detail);
        }
    }
    if associations.is_empty() {
        let unread = [Direction::Up, Direction::Down].map(|direction| {
            let encrypted = closed.get(usize::from(direction != client)).copied().unwrap_or_default();
            Some(if encrypted { Unread::HelloNotCaptured } else { Unread::NothingEncrypted })
        });
        sink.tls(&TlsConnection { frame: conversation.first_frame(), unread, ..TlsConnection::default() });
    }
    let opened = associations.iter().rev().find(|association| association.decrypted != [0; 2]);
    let server = opened.or(associations.last()).and_then(|association| association.hello(Peer::Server));
    let agreed = Agreed {
        protocol: DTLS,
        client,
        suite: server.map(Hello::cipher),
        alpn: server.and_then(|hello| hello.alpn.first().map(String::as_str)),
    };
    inside(conversation, agreed, (data, messages), context, shared, sink)?;
    Ok(true)
}

/// Whether one of the first datagrams holds a hello, or the very first is all records.
fn opens(stream: &Stream) -> Result<bool, ReadError> {
    let mut reader = stream.reader();
    for place in 0..PROBED {
        let Some(chunk) = reader.next_chunk()? else { break };
        let Chunk::Bytes { data, .. } = chunk else { continue };
        match dtls::datagram(data) {
            Some(Opening::Hello(_)) => return Ok(true),
            Some(Opening::Records) if place == 0 => return Ok(true),
            _ => {}
        }
    }
    Ok(false)
}

/// Puts the hellos of one direction together.
fn survey(
    conversation: &Conversation<'_>,
    direction: Direction,
    (hellos, said): (&mut Vec<(FrameNo, Direction, Hello)>, &mut Vec<Said>),
    context: &Context<'_>,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    let stream = conversation.stream(direction);
    let mut out = Out::new(sink, stream, direction, context.limits);
    let (mut messages, mut reader, mut kept) = (Messages::default(), stream.reader(), 0);
    while let Some(chunk) = reader.next_chunk()? {
        let Chunk::Bytes { range, data } = chunk else { continue };
        for record in Record::all(data).filter(Record::is_clear_handshake) {
            let mut at = range.start + record.payload().start as u64;
            let end = range.start + record.end as u64;
            for fragment in Fragment::all(data.get(record.payload()).unwrap_or_default()) {
                let (start, message) = (at, messages.push(fragment, at));
                at += fragment.size() as u64;
                let Some(message) = message else { continue };
                let frame = out.frame(message.at).unwrap_or(FrameNo(0));
                kept += MESSAGE + message.body.len();
                if kept <= MAX_SAID {
                    let whole = fragment.bytes.len() == fragment.len && message.at == start;
                    said.push(Said { frame, direction, message: message.clone(), whole });
                }
                if !message.is_hello() {
                    continue;
                }
                match message.hello() {
                    Some(hello) if hellos.len() < MAX_HELLOS => hellos.push((frame, direction, hello)),
                    Some(_) => {
                        let detail = format!("more than {MAX_HELLOS} hellos; the rest is not listed");
                        out.anomaly(AnomalyKind::LimitReached, Some(message.at), detail);
                    }
                    None => malformed(&mut out, message.at, "a hello that breaks its grammar"),
                }
            }
            if at < end {
                malformed(&mut out, at, "a handshake record that is not whole fragments");
            }
        }
    }
    if messages.too_long {
        malformed(&mut out, 0, "a handshake message longer than 256 KiB");
    }
    Ok(())
}

fn malformed(out: &mut Out<'_>, at: u64, why: &str) {
    out.anomaly(AnomalyKind::TlsMalformed, Some(at), format!("DTLS: {why}"));
}

/// Who agreed with whom: a client's random begins an association, unless it comes again with a cookie.
fn associations(
    hellos: &[(FrameNo, Direction, Hello)],
    context: &Context<'_>,
    sink: &mut dyn Sink,
) -> Vec<Association> {
    let mut list: Vec<Association> = Vec::new();
    for (frame, direction, hello) in hellos {
        let client = if hello.client { *direction } else { other(*direction) };
        let place = usize::from(!hello.client);
        let goes_on = |last: &Association| {
            let own = last.hellos.get(place).and_then(Option::as_ref);
            last.client == client && own.is_none_or(|own| own.random == hello.random)
        };
        if !list.last().is_some_and(goes_on) {
            if list.len() >= MAX_ASSOCIATIONS {
                let detail = format!("more than {MAX_ASSOCIATIONS} handshakes; the rest is not decrypted");
                sink.anomaly(AnomalyKind::LimitReached, Some(*frame), detail);
                break;
            }
            let keys = [Err(Unread::HelloNotCaptured), Err(Unread::HelloNotCaptured)];
            let (hellos, decrypted, said) = ([None, None], [0; 2], dtls::Said::default());
            let (places, finished) = (Vec::new(), None);
            list.push(Association { frame: *frame, client, hellos, keys, decrypted, said, places, finished });
        }
        if let Some(own) = list.last_mut().and_then(|last| last.hellos.get_mut(place)) {
            *own = Some(hello.clone());
        }
    }
    for association in &mut list {
        let [client, server] = &association.hellos;
        association.keys =
            Peer::BOTH.map(|peer| Keys::of(client.as_ref(), server.as_ref(), peer, context.keys));
    }
    list
}

/// What one direction gave.
struct Side {
    application: Plain,
    messages: Plain,
    /// Whether there was anything encrypted.
    encrypted: bool,
    wasted: usize,
    nonces: Nonces,
}

/// Walks the records of one direction.
fn walk(
    conversation: &Conversation<'_>,
    direction: Direction,
    associations: &mut [Association],
    context: &Context<'_>,
    sink: &mut dyn Sink,
) -> Result<Side, ReadError> {
    let stream = conversation.stream(direction);
    let plain = || Plain::new(context.scratch, HEADER);
    let nonces = Nonces::default();
    let mut side = Side { application: plain(), messages: plain(), encrypted: false, wasted: 0, nonces };
    let mut out = Out::new(sink, stream, direction, context.limits);
    let (mut closed, mut open) = (Raw::default(), Raw::digested());
    let (mut next, mut buffer) = (Turn::default(), Vec::new());
    let mut reader = stream.reader();
    while let Some(chunk) = reader.next_chunk()? {
        let Chunk::Bytes { range, data } = chunk else {
            closed.close(&mut out);
            open.close(&mut out);
            continue;
        };
        let part =
            |from: usize, to: usize| ByteRange::new(range.start + from as u64, range.start + to as u64);
        let frame = out.frame(range.start).unwrap_or(FrameNo(0));
        let mut end = 0;
        for record in Record::all(data) {
            end = record.end;
            let whole = part(record.start, record.end);
            let in_turn = next.header(&mut out, &record, whole);
            let payload = data.get(record.payload()).unwrap_or_default();
            let opened = record.epoch > 0
                && side.open(&mut out, &record, payload, (whole, frame), associations, stream, &mut buffer);
            if record.epoch > 0 {
                side.encrypted = true;
                // Without a hello anything may look like such a record.
                if !associations.is_empty() {
                    out.sink.sealed(direction, whole);
                }
            }
            // What is searched as it stands: all that stays closed, and a number that its sender chose.
            let searched = match (opened, in_turn) {
                (true, true) => record.start,
                (true, false) => record.payload().start,
                (false, _) => record.end,
            };
            let bytes = |from: usize, to: usize| data.get(from..to).unwrap_or_default();
            if record.start < searched {
                closed.write(&mut out, bytes(record.start, searched), part(record.start, searched));
            }
            if searched < record.end {
                open.write(&mut out, bytes(searched, record.end), part(searched, record.end));
            }
            let payload_range = part(record.payload().start, record.end);
            match record.header.kind {
                _ if opened => {}
                CHANGE_CIPHER_SPEC if record.epoch == 0 && payload == [1] => {
                    out.place(payload_range, Place::Understood);
                }
                HANDSHAKE | ALERT if record.epoch == 0 => {}
                _ => out.place(payload_range, Place::Opaque),
            }
        }
        if end < data.len() {
            let rest = part(end, data.len());
            let bytes = data.get(end..).unwrap_or_default();
            let first = bytes.first().copied().unwrap_or_default();
            let cut = stream.gaps.binary_search_by_key(&range.end, |gap| gap.start).is_ok();
            if !cut && !OTHER_HEADERS.contains(&first) && (end > 0 || CONTENT_TYPES.contains(&first)) {
                malformed(&mut out, rest.start, "no record where one must stand");
            }
            closed.write(&mut out, bytes, rest);
            out.place(rest, Place::Opaque);
        }
    }
    closed.close(&mut out);
    open.close(&mut out);
    Ok(side)
}

/// Content types (RFC 6347 section 4.1).
const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;

/// Which number comes next.
#[derive(Default)]
struct Turn {
    epoch: u16,
    number: u64,
}

impl Turn {
    /// Says that a header is understood; of one whose number is not the next one, all but epoch and number. Whether
    /// the number is the next one.
    fn header(&mut self, out: &mut Out<'_>, record: &Record, whole: ByteRange) -> bool {
        let same = (record.epoch, record.number) == (self.epoch, self.number);
        let following = record.number == 0 && Some(record.epoch) == self.epoch.checked_add(1);
        let at = |from: u64, to: u64| ByteRange::new(whole.start + from, whole.start + to);
        let in_turn = same || following;
        if in_turn {
            out.place(at(0, HEADER), Place::Understood);
        } else {
            out.place(at(0, 3), Place::Understood);
            out.place(at(11, HEADER), Place::Understood);
        }
        (self.epoch, self.number) = (record.epoch, record.number + 1);
        in_turn
    }
}

impl Side {
    /// Opens a record, if an association that began before it has the keys.
    #[expect(
        clippy::too_many_arguments,
        reason = "what a record is, where it stands, and what it may be opened with"
    )]
    fn open(
        &mut self,
        out: &mut Out<'_>,
        record: &Record,
        payload: &[u8],
        (whole, frame): (ByteRange, FrameNo),
        associations: &mut [Association],
        stream: &Stream,
        buffer: &mut Vec<u8>,
    ) -> bool {
        let mut damaged = false;
        for association in associations.iter_mut().rev().filter(|association| association.frame <= frame) {
            let peer = association.peer(out.direction);
            let Some(keys) = association.keys(peer) else { continue };
            let tries = keys.tries(record);
            // A secret that is proven costs one try for each record; others are given up at some time.
            if tries == 0 || !keys.proven && self.wasted > MAX_WASTE {
                continue;
            }
            let Some((opened, protection)) = keys.open(record, payload, buffer) else {
                if !keys.proven {
                    self.wasted = self.wasted.saturating_add((payload.len() + 64) * tries);
                }
                damaged |= keys.proven;
                continue;
            };
            let start = whole.start + HEADER + opened.at as u64;
            let content = ByteRange::new(start, start + opened.len as u64);
            let (header, number, refused) = (record.header, record.sequence(), false);
            let told =
                Opened { kind: opened.kind, refused, header, record: whole, content, number, protection };
            let application = opened.kind == APPLICATION_DATA;
            if opened.kind == HANDSHAKE
                && let Some(message) = Message::alone(buffer).filter(Message::is_finished)
                && let Some(finished) =
                    association.said.finished.get_mut(place_of(peer)).filter(|one| one.is_none())
            {
                *finished = Some(message);
                if peer == Peer::Client {
                    association.finished = Some(content);
                }
            }
            let plain = if application { &mut self.application } else { &mut self.messages };
            if !plain.push(&told, buffer, stream) {
                let detail = format!("more than {MAX_RECORDS} records in one direction were not decrypted");
                out.anomaly(AnomalyKind::LimitReached, Some(whole.start), detail);
                return false;
            }
            if application && let Some(sum) = association.decrypted.get_mut(place_of(peer)) {
                *sum += content.len();
            }
            if self.nonces.say_nothing(number, payload.get(..opened.at).unwrap_or_default()) {
                out.place(ByteRange::new(whole.start + HEADER, content.start), Place::Understood);
            }
            out.place(ByteRange::new(content.end, whole.end), Place::Understood);
            if opened.kind == ALERT && ALERTS.contains(&buffer.as_slice()) {
                out.place(content, Place::Understood);
            }
            return true;
        }
        if damaged {
            let detail = format!(
                "the DTLS record at byte {} does not verify under keys that open others; it stays closed",
                whole.start
            );
            out.anomaly(AnomalyKind::TlsRecordNotDecrypted, Some(whole.start), detail);
        }
        false
    }
}
