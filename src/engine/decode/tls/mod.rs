//! TLS conversations: what their records hold is a conversation again, where a key log has the secrets.
//!
//! 1. [`Connection`] reads both directions once; each record that opens is noted with its place, nothing else is kept.
//! 2. The captured bytes are leaves as they stand: searched where they stay closed, only digested where what they hold
//!    comes again.
//! 3. Application data is a [`Stream`] whose bytes are decrypted again as they are read, and is walked like any other;
//!    handshake messages and alerts are leaves beside it.
//!
//! What goes in datagrams (DTLS) is read in [`datagrams`].

mod datagrams;
mod plain;

use std::{cmp::Ordering, collections::BTreeMap};

use super::{
    Context, Conversation, Shared, application,
    layers::Out,
    opening::Opening,
    raw::Raw,
    sink::{Inner, Place, Sink, TlsConnection, TlsHello},
    within::{Within, Wrap},
};
use crate::{
    engine::{
        net::stream::{Chunk, Stream},
        proto::tls::{
            Connection, Handler, Hello, Opened, Outcome, Over, Peer, Suite, Unread, opening as tls_opening,
        },
    },
    evidence::{AnomalyKind, ByteRange, Direction, FrameNo, ReadError, Step},
};
pub(super) use datagrams::datagrams;
use plain::{Plain, Read};

/// Bytes of a record's header.
const HEADER: u64 = 5;

/// What conversations of datagrams are called.
const DTLS: &str = "dtls";

/// Content types (RFC 8446 section 5.1).
const ALERT: u8 = 21;
const APPLICATION_DATA: u8 = 23;

/// Alerts that say only that a connection ends: close_notify, in both spellings.
const ALERTS: [&[u8]; 2] = [&[1, 0], &[2, 0]];

/// Anomalies of one kind in one direction of a connection; a hostile stream could make one of each record.
const MAX_ANOMALIES: u32 = 32;

/// Hellos kept of one connection: one of each peer, a second after a HelloRetryRequest, renegotiations.
const MAX_HELLOS: usize = 256;

/// The direction of the client, if either direction starts with a TLS hello.
pub(super) fn client(conversation: &Conversation<'_>) -> Result<Option<Direction>, ReadError> {
    for direction in [Direction::Up, Direction::Down] {
        let client = client_by(&Opening::of(conversation.stream(direction))?, direction);
        if client.is_some() {
            return Ok(client);
        }
    }
    Ok(None)
}

/// The direction of the client, if this direction starts with a TLS hello.
pub(super) fn client_by(opening: &Opening, direction: Direction) -> Option<Direction> {
    match tls_opening(&opening.bytes).filter(|_| !opening.after_gap)? {
        Peer::Client => Some(direction),
        Peer::Server => Some(other(direction)),
    }
}

fn other(direction: Direction) -> Direction {
    match direction {
        Direction::Up => Direction::Down,
        Direction::Down => Direction::Up,
    }
}

/// Walks a conversation whose client sends in direction `client`.
pub(super) fn walk(
    conversation: &Conversation<'_>,
    client: Direction,
    context: &Context<'_>,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    sink.protocol("tls");
    let (client_stream, server_stream) = (conversation.stream(client), conversation.stream(other(client)));
    let side = |direction| Side::new(direction, conversation.stream(direction), context);
    let mut survey = Survey { sink, hellos: Vec::new(), client: side(client), server: side(other(client)) };
    let outcome = Connection::new(client_stream, server_stream, context.keys).run(&mut survey)?;
    let Survey { hellos, client: client_side, server: server_side, .. } = survey;
    for (peer, hello) in hellos {
        let [by_client, by_server] = outcome.opened;
        let decrypted = if peer == Peer::Client { by_client } else { by_server };
        sink.tls_hello(&TlsHello { decrypted, ..hello });
    }
    for (range, name) in &outcome.names {
        sink.name(client, *range, name);
    }
    for range in &outcome.prescribed {
        sink.place(client, *range, Place::Understood);
    }
    let mut application_data = Vec::new();
    let mut messages = Vec::new();
    for (peer, side) in [(Peer::Client, client_side), (Peer::Server, server_side)] {
        secrets_do_not_fit(&outcome, peer, &side, sink);
        let opened = ByteRange::unite(side.opened);
        captured(side.stream, side.direction, &opened, context, sink)?;
        application_data.push(side.application.finish(side.stream)?);
        messages.push(side.messages.finish(side.stream)?);
    }
    sink.tls(&connection(conversation, client, &outcome, &application_data));
    let agreed = Agreed { protocol: "tls", client, suite: outcome.suite, alpn: outcome.alpn.as_deref() };
    inside(conversation, agreed, (application_data, messages), context, shared, sink)
}

/// What is known of a connection where its content is walked.
#[derive(Clone, Copy)]
struct Agreed<'a> {
    /// `tls`, or `dtls` where content is datagrams.
    protocol: &'static str,
    client: Direction,
    suite: Option<u16>,
    alpn: Option<&'a str>,
}

fn connection(
    conversation: &Conversation<'_>,
    client: Direction,
    outcome: &Outcome,
    data: &[Read],
) -> TlsConnection {
    let frames =
        [conversation.up, conversation.down].map(|stream| stream.pieces.first().map(|piece| piece.frame));
    let lens = |place: usize| data.get(place).map_or(0, |read| read.len);
    // By client and server, then by who sent to whom.
    let ways = |mut by_peer: [u64; 2]| {
        if client == Direction::Down {
            by_peer.reverse();
        }
        by_peer
    };
    let mut unread = outcome.unread;
    if client == Direction::Down {
        unread.reverse();
    }
    TlsConnection {
        frame: frames.into_iter().flatten().min(),
        client: Some(client),
        version: outcome.version.map(|version| version.0),
        cipher: outcome.suite,
        sni: outcome.sni.clone(),
        alpn: outcome.alpn.clone(),
        client_random: outcome.client_random.clone(),
        resumed: outcome.resumed,
        opened: outcome.opened.contains(&true),
        decrypted: ways([lens(0), lens(1)]),
        unread,
        identity: outcome.identity.clone(),
    }
}

/// The captured bytes as leaves.
fn captured(
    stream: &Stream,
    direction: Direction,
    opened: &[ByteRange],
    context: &Context<'_>,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    let mut out = Out::new(sink, stream, direction, context.limits);
    let (mut closed, mut open) = (Raw::default(), Raw::digested());
    let mut reader = stream.reader();
    let mut at = 0;
    while let Some(chunk) = reader.next_chunk()? {
        let Chunk::Bytes { range, data } = chunk else {
            closed.close(&mut out);
            open.close(&mut out);
            continue;
        };
        let mut said = range.start;
        let part = |start: u64, end: u64| {
            let index = |position: u64| usize::try_from(position - range.start).unwrap_or(usize::MAX);
            data.get(index(start)..index(end)).unwrap_or_default()
        };
        while opened.get(at).is_some_and(|run| run.end <= range.start) {
            at += 1;
        }
        for run in opened.get(at..).unwrap_or_default().iter().take_while(|run| run.start < range.end) {
            let Some(both) = run.intersection(range) else { continue };
            if said < both.start {
                closed.write(&mut out, part(said, both.start), ByteRange::new(said, both.start));
            }
            open.write(&mut out, part(both.start, both.end), both);
            said = both.end;
        }
        if said < range.end {
            closed.write(&mut out, part(said, range.end), ByteRange::new(said, range.end));
        }
    }
    closed.close(&mut out);
    open.close(&mut out);
    Ok(())
}

/// What was decrypted, as a conversation.
fn inside(
    conversation: &Conversation<'_>,
    Agreed { protocol, client, suite, alpn }: Agreed<'_>,
    (data, messages): (Vec<Read>, Vec<Read>),
    context: &Context<'_>,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    let suite = suite.and_then(Suite::of).map_or("unknown suite", |suite| suite.name);
    let wrap = |read: Read, what: &str| {
        let step = Step {
            op: format!("{protocol}.decrypt"),
            param: Some(format!("{suite}{what}")),
            input: read.records,
            output: read.len,
        };
        (read.stream, Wrap { steps: vec![step], places: read.places, ..Wrap::default() })
    };
    let both = |reads: Vec<Read>, what| {
        let mut reads = reads.into_iter().map(|read| wrap(read, what));
        let (client_read, server_read) = (reads.next()?, reads.next()?);
        Some(if client == Direction::Up { (client_read, server_read) } else { (server_read, client_read) })
    };
    let Some(((up, up_wrap), (down, down_wrap))) = both(messages, ", handshake and alerts") else {
        return Ok(());
    };
    for (direction, stream) in [(Direction::Up, &up), (Direction::Down, &down)] {
        let mut within = Within::new(sink, &up_wrap, &down_wrap);
        let mut out = Out::new(&mut within, stream, direction, context.limits);
        let mut raw = Raw::default();
        let mut reader = stream.reader();
        while let Some(chunk) = reader.next_chunk()? {
            match chunk {
                Chunk::Bytes { range, data } => raw.write(&mut out, data, range),
                Chunk::Gap(_) => raw.close(&mut out),
            }
        }
        raw.close(&mut out);
    }
    let Some(((up, up_wrap), (down, down_wrap))) = both(data, "") else { return Ok(()) };
    if up.pieces.is_empty() && down.pieces.is_empty() {
        return Ok(());
    }
    sink.inner(&Inner { protocol, id: None, connection: None, up: &up, down: &down })?;
    let inner = Conversation { up: &up, down: &down, ..*conversation };
    let mut within = Within::new(sink, &up_wrap, &down_wrap);
    match context.inside(alpn) {
        Some(context) if protocol == DTLS => super::datagrams(&inner, &context, shared, &mut within),
        Some(context) => application(&inner, &context, shared, &mut within),
        None => super::raw::streams(&inner, context.limits, &mut within),
    }
}

/// A key log that holds secrets of a connection and opens nothing is worth saying: it may be of another run, or changed.
fn secrets_do_not_fit(outcome: &Outcome, peer: Peer, side: &Side<'_>, sink: &mut dyn Sink) {
    let [client, server] = outcome.unread;
    let unread = if peer == Peer::Client { client } else { server };
    if unread == Some(Unread::WrongSecret) {
        let frame = side.stream.pieces.first().map(|piece| piece.frame);
        let detail =
            "the key log holds secrets of this connection, and none of them opens a record".to_owned();
        sink.anomaly(AnomalyKind::TlsSecretsDoNotFit, frame, detail);
    }
}

/// What one direction gave.
struct Side<'s> {
    direction: Direction,
    stream: &'s Stream,
    application: Plain,
    messages: Plain,
    /// Records that were opened.
    opened: Vec<ByteRange>,
    anomalies: BTreeMap<AnomalyKind, u32>,
}

impl<'s> Side<'s> {
    fn new(direction: Direction, stream: &'s Stream, context: &Context<'_>) -> Self {
        let plain = || Plain::new(context.scratch, HEADER);
        let (application, messages) = (plain(), plain());
        Self { direction, stream, application, messages, opened: Vec::new(), anomalies: BTreeMap::new() }
    }

    fn frame(&self, at: u64) -> Option<FrameNo> {
        self.stream.pieces_in(ByteRange::new(at, at.saturating_add(1))).first().map(|piece| piece.frame)
    }
}

/// Takes what the first reading gives.
struct Survey<'s, 'k> {
    sink: &'k mut dyn Sink,
    hellos: Vec<(Peer, TlsHello)>,
    client: Side<'s>,
    server: Side<'s>,
}

impl<'s> Survey<'s, '_> {
    fn side(&mut self, peer: Peer) -> &mut Side<'s> {
        match peer {
            Peer::Client => &mut self.client,
            Peer::Server => &mut self.server,
        }
    }

    fn place(&mut self, peer: Peer, range: ByteRange, place: Place) {
        if !range.is_empty() {
            let direction = self.side(peer).direction;
            self.sink.place(direction, range, place);
        }
    }

    fn anomaly(&mut self, peer: Peer, kind: AnomalyKind, at: u64, detail: String) {
        let side = self.side(peer);
        let count = side.anomalies.entry(kind).or_default();
        *count += 1;
        let (count, frame) = (*count, side.frame(at));
        match count.cmp(&MAX_ANOMALIES) {
            Ordering::Less => self.sink.anomaly(kind, frame, detail),
            Ordering::Equal => {
                let detail = format!("more of {kind} in this direction is not listed");
                self.sink.anomaly(AnomalyKind::LimitReached, None, detail);
            }
            Ordering::Greater => {}
        }
    }
}

impl Handler for Survey<'_, '_> {
    fn hello(&mut self, peer: Peer, at: u64, hello: &Hello) {
        if self.hellos.len() < MAX_HELLOS {
            let frame = self.side(peer).frame(at).unwrap_or(FrameNo(0));
            self.hellos.push((peer, TlsHello::of(hello.clone(), frame, Over::Tcp)));
        }
    }

    fn fixed(&mut self, peer: Peer, range: ByteRange) {
        self.place(peer, range, Place::Understood);
    }

    fn opaque(&mut self, peer: Peer, range: ByteRange) {
        self.place(peer, range, Place::Opaque);
    }

    fn closed(&mut self, peer: Peer, range: ByteRange) {
        self.place(peer, range, Place::Opaque);
        let direction = self.side(peer).direction;
        self.sink.sealed(direction, range);
    }

    fn opened(&mut self, peer: Peer, record: &Opened, content: &[u8]) {
        let direction = self.side(peer).direction;
        self.sink.sealed(direction, record.record);
        if record.kind == ALERT && ALERTS.contains(&content) {
            self.place(peer, record.content, Place::Understood);
        }
        let side = self.side(peer);
        match side.opened.last_mut() {
            Some(last) if last.end == record.record.start => last.end = record.record.end,
            _ => side.opened.push(record.record),
        }
        let application = record.kind == APPLICATION_DATA && !record.refused;
        let plain = if application { &mut side.application } else { &mut side.messages };
        if !plain.push(record, content, side.stream) {
            let detail =
                format!("more than {} records in one direction were not decrypted", plain::MAX_RECORDS);
            side.opened.pop();
            self.place(peer, record.record, Place::Opaque);
            self.anomaly(peer, AnomalyKind::LimitReached, record.record.start, detail);
        }
    }

    fn missing(&mut self, peer: Peer, bytes: u64) {
        self.side(peer).application.missing(bytes);
    }

    fn malformed(&mut self, peer: Peer, at: u64, why: &'static str) {
        self.anomaly(peer, AnomalyKind::TlsMalformed, at, format!("TLS: {why}"));
    }

    fn damaged(&mut self, peer: Peer, at: u64) {
        let detail = format!(
            "the TLS record at byte {at} does not verify under keys that open others; it stays closed"
        );
        self.anomaly(peer, AnomalyKind::TlsRecordNotDecrypted, at, detail);
    }
}
