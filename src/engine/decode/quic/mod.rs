//! QUIC conversations: packets are opened where there are keys, and each stream is walked as a conversation of its
//! own.
//!
//! 1. [`Flow`] reads the datagrams of both directions in the order of capture and sorts their frames.
//! 2. What stands in clear or was not opened is a leaf (`quic.packets`); frames that belong to no stream are another
//!    (`quic.frames`), the handshake a third (`quic.crypto`).
//! 3. Each stream is put together ([`Source`]) and walked by the protocol that the handshake agreed on.
//!
//! Connections stay in [`Connections`] from flow to flow, so that a connection goes on where its client moves.

mod flow;
mod known;
mod packets;
mod streams;

use crate::{
    engine::{
        net::stream::{Chunk, Stream},
        proto::quic::{ByRole, Missing, Prescribed, Role, Space, Version, packet::probe, stream::Part},
    },
    evidence::{AnomalyKind, ByteRange, Direction, FrameNo, Limits, ReadError, Transport},
};

use super::{
    Context, Conversation, Shared,
    http3::{self, Turn},
    layers::{Bytes, Out, Stage},
    names,
    raw::Raw,
    sink::{Inner, Keep, Place as Accounted, QuicConnection, Sink},
    within::{Within, Wrap},
};
use flow::{Flow, Flowing, Here};
use known::{Connections, End, Known, Place};
use streams::{Derived, Source, without};

pub(super) use known::Connections as Quic;

/// Datagrams of each direction that are looked at to tell whether a flow is QUIC. A connection that began before the
/// capture shows nothing; one that is known is recognised by its ids.
const PROBED: u32 = 64;

/// Walks a conversation of QUIC; false, and nothing done, if it is none.
pub(super) fn walk(
    conversation: &Conversation<'_>,
    context: &Context<'_>,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<bool, ReadError> {
    if !is_quic(conversation, &shared.quic)? {
        return Ok(false);
    }
    sink.protocol("quic");
    let mut connections = std::mem::take(&mut shared.quic);
    let mut flow = Flow::new(conversation, context.keys, &mut connections, sink);
    flow.read()?;
    Walk::finish(flow, context, shared)?;
    shared.quic = connections;
    Ok(true)
}

/// Whether one of the first datagrams has a header of a known version, or an id of a known connection.
fn is_quic(conversation: &Conversation<'_>, connections: &Connections) -> Result<bool, ReadError> {
    if conversation.transport != Transport::Udp {
        return Ok(false);
    }
    for direction in [Direction::Up, Direction::Down] {
        let mut reader = conversation.stream(direction).reader();
        let mut seen = 0;
        while seen < PROBED
            && let Some(chunk) = reader.next_chunk()?
        {
            seen += 1;
            if let Chunk::Bytes { data, .. } = chunk
                && (probe(data) || connections.knows(data))
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// What is done once all packets of a flow are read.
struct Walk<'w> {
    conversation: &'w Conversation<'w>,
    context: &'w Context<'w>,
    shared: &'w mut Shared,
    connections: &'w mut Connections,
    sink: &'w mut dyn Sink,
    oddities: flow::Oddities,
    up: Source<'w>,
    down: Source<'w>,
}

/// Both directions of one stream.
#[derive(Default)]
struct Both {
    up: Option<Derived>,
    down: Option<Derived>,
}

impl Both {
    /// Each direction, or one in which nothing came.
    fn streams<'b>(
        &'b self,
        (up, down): &'b ((Stream, Wrap), (Stream, Wrap)),
    ) -> ((&'b Stream, &'b Wrap), (&'b Stream, &'b Wrap)) {
        let one = |derived: &'b Option<Derived>, silent: &'b (Stream, Wrap)| {
            derived.as_ref().map_or((&silent.0, &silent.1), |one| (&one.stream, &one.wrap))
        };
        (one(&self.up, up), one(&self.down, down))
    }
}

impl<'w> Walk<'w> {
    fn finish(flow: Flow<'w>, context: &'w Context<'w>, shared: &'w mut Shared) -> Result<(), ReadError> {
        let Flow { conversation, connections, sink, oddities, here, up, down, foreign, stray, .. } = flow;
        let (up, down) = (Source::new(conversation.up, up), Source::new(conversation.down, down));
        let mut walk = Self { conversation, context, shared, connections, sink, oddities, up, down };
        walk.unclaimed(&here, foreign, stray);
        for direction in [Direction::Up, Direction::Down] {
            walk.wire(direction)?;
        }
        for (place, here) in here {
            walk.connection(place, here)?;
        }
        Ok(())
    }

    fn source(&self, direction: Direction) -> &Source<'w> {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    fn anomaly(&mut self, kind: AnomalyKind, frame: Option<FrameNo>, detail: String) {
        self.oddities.add(self.sink, kind, frame, detail);
    }

    /// Says what no connection could be made of.
    fn unclaimed(
        &mut self,
        here: &std::collections::BTreeMap<Place, Here>,
        foreign: Option<(FrameNo, Version)>,
        stray: Option<(FrameNo, Version)>,
    ) {
        if std::mem::take(&mut self.connections.full) {
            let detail =
                "more QUIC connections or connection ids than are kept; the others stay closed".to_owned();
            self.anomaly(AnomalyKind::LimitReached, None, detail);
        }
        let unknown = foreign.map(|at| (at, "its version is not known here"));
        let began = stray.map(|at| (at, "its first packets were not captured"));
        let Some(((frame, version), why)) = unknown.or(began).filter(|_| here.is_empty()) else { return };
        self.sink.quic_connection(&QuicConnection {
            name: String::new(),
            frame,
            version: version.to_string(),
            sni: None,
            alpn: None,
            cipher: None,
            packets: 0,
            opened: 0,
            decrypted: false,
            why_not: Some(why.to_owned()),
            ended: None,
            client: None,
            identity: None,
        });
    }

    /// Everything but opened payloads, as it stands.
    fn wire(&mut self, direction: Direction) -> Result<(), ReadError> {
        let opened = self.source(direction).opened();
        let stream = self.conversation.stream(direction);
        let mut out = Out::new(self.sink, stream, direction, self.context.limits);
        let mut stage = Stage::new("quic.packets", None, 0, Keep::Search);
        let mut reader = stream.reader();
        let mut next = 0;
        while let Some(chunk) = reader.next_chunk()? {
            let Chunk::Bytes { range, data } = chunk else { continue };
            let datagram = Bytes::wire(data, range);
            let mut start = range.start;
            let mut give = |start: u64, end: u64| {
                let at = |position: u64| usize::try_from(position - range.start).unwrap_or(usize::MAX);
                stage.consumed(end);
                stage.write(&mut out, datagram.part(at(start)..at(end)));
            };
            while let Some(payload) = opened.get(next).filter(|payload| payload.start < range.end) {
                give(start, payload.start);
                start = payload.end;
                next += 1;
            }
            give(start, range.end);
        }
        stage.close(&mut out);
        Ok(())
    }

    fn connection(&mut self, place: Place, mut here: Here) -> Result<(), ReadError> {
        let Some(known) = self.connections.get(place) else { return Ok(()) };
        let (name, crowded, gave_up) = (known.name(), known.crowded, known.state.gave_up());
        let protocol = known.state.protocol().map(ToOwned::to_owned);
        let prescribed = known.state.prescribed(self.context.keys);
        self.sink.quic_connection(&record(known, &here));
        if crowded {
            let detail =
                "more QUIC packets wait for their keys than are kept; the others stay closed".to_owned();
            self.anomaly(AnomalyKind::LimitReached, None, detail);
        }
        if gave_up {
            let detail =
                "so many QUIC packets did not open that only the likeliest keys are tried".to_owned();
            self.anomaly(AnomalyKind::LimitReached, None, detail);
        }
        for role in Role::BOTH {
            let Some(direction) = here.direction(role) else { continue };
            let rest = self.source(direction).runs(here.rest.get(role), "quic.frames", name.clone());
            self.leaf(direction, &rest)?;
            for space in [Space::Initial, Space::Handshake, Space::Application] {
                if let Some(flowing) = here.crypto.get(&(space, role)) {
                    let name = format!("{name} {}", space_name(space));
                    let derived = self.source(direction).stream(flowing, "quic.crypto", name)?;
                    self.repeated(direction, &derived)?;
                    self.leaf(direction, &derived)?;
                    if role == Role::Client {
                        for one in prescribed.iter().filter(|one| one.space == space) {
                            self.prescribed(direction, &derived, one)?;
                        }
                    }
                }
            }
            let datagrams =
                self.source(direction).runs(here.datagrams.get(role), "quic.datagram", name.clone());
            self.leaf(direction, &datagrams)?;
        }
        self.streams(place, &mut here, protocol.as_deref())
    }

    /// Walks each stream as a conversation, or all of them as one of HTTP/3.
    fn streams(&mut self, place: Place, here: &mut Here, protocol: Option<&str>) -> Result<(), ReadError> {
        let name = self.connections.get(place).map(Known::name).unwrap_or_default();
        let mut ids: Vec<u64> = here.streams.keys().map(|(id, _)| *id).collect();
        ids.dedup();
        let client = here.client.filter(|_| protocol.is_some_and(http3::is_http3) && !ids.is_empty());
        let (Some(client), Some(context)) = (client, self.context.inside(None)) else {
            for id in ids {
                let both = self.both(place, here, id)?;
                self.stream((&name, id), &both, protocol)?;
            }
            return Ok(());
        };
        self.sink.protocol("http3");
        let known = self.connections.get_mut(place);
        let session = known.map(|known| std::mem::take(&mut known.http3)).unwrap_or_default();
        let mut http3 = http3::Streams::new(session, client, &context);
        http3::Streams::order(&mut ids);
        let mut last = Vec::new();
        for id in ids {
            let both = self.both(place, here, id)?;
            if let Some(both) = self.of_http3((&name, id), both, client, &mut http3, Turn::Now)? {
                last.push((id, both));
            }
        }
        for (id, both) in last {
            self.of_http3((&name, id), both, client, &mut http3, Turn::Last)?;
        }
        http3.join(self.sink)?;
        if let Some(known) = self.connections.get_mut(place) {
            known.http3 = http3.finish();
        }
        Ok(())
    }

    /// Both directions of a stream.
    fn both(&mut self, place: Place, here: &mut Here, id: u64) -> Result<Both, ReadError> {
        let mut both = Both::default();
        for role in Role::BOTH {
            let (Some(direction), Some(flowing)) = (here.direction(role), here.streams.remove(&(id, role)))
            else {
                continue;
            };
            let derived = self.derived((place, role), direction, flowing, id)?;
            match direction {
                Direction::Up => both.up = Some(derived),
                Direction::Down => both.down = Some(derived),
            }
        }
        Ok(both)
    }

    /// Walks a stream of HTTP/3, or gives it back where its turn comes later than now.
    fn of_http3(
        &mut self,
        (name, id): (&str, u64),
        both: Both,
        client: Direction,
        http3: &mut http3::Streams<'_>,
        now: Turn,
    ) -> Result<Option<Both>, ReadError> {
        let silent = (silent(self.conversation.up), silent(self.conversation.down));
        let ((up, up_wrap), (down, down_wrap)) = both.streams(&silent);
        let inner = Conversation { transport: Transport::Tcp, up, down, ..*self.conversation };
        if http3.turn(id, &inner)? > now {
            return Ok(Some(both));
        }
        self.sink.inner(&Inner { protocol: "quic", id: Some(id), connection: Some(name), up, down })?;
        let ended = |one: &Option<Derived>| one.as_ref().map(|one| one.ended).unwrap_or_default();
        let (up, down) = (ended(&both.up), ended(&both.down));
        let ends = match client {
            Direction::Up => ByRole { client: up, server: down },
            Direction::Down => ByRole { client: down, server: up },
        };
        let places = if client == Direction::Up { &up_wrap.places } else { &down_wrap.places };
        let mut within = Within::new(self.sink, up_wrap, down_wrap);
        http3.stream(id, (&inner, places), &ends, self.shared, &mut within)?;
        Ok(None)
    }

    fn derived(
        &mut self,
        (place, role): (Place, Role),
        direction: Direction,
        flowing: Flowing,
        id: u64,
    ) -> Result<Derived, ReadError> {
        let known = self.connections.get_mut(place);
        let (name, delivered) = known
            .map(|known| (known.name(), known.delivered.remove(&(id, role)).unwrap_or_default()))
            .unwrap_or_default();
        let name = format!("{name} {id}");
        let (segments, again) = without(&flowing.segments, &delivered);
        let source = self.source(direction);
        let derived = source.stream(&Flowing { segments, ..flowing }, "quic.stream", name.clone())?;
        let again = source.runs(&again, "quic.repeated", name);
        self.leaf(direction, &again)?;
        self.repeated(direction, &derived)?;
        let came = ByteRange::unite(delivered.into_iter().chain(derived.stream.islands()));
        for gap in derived.stream.gaps.iter().flat_map(|gap| missing(*gap, &came)) {
            let after = ByteRange::new(gap.end, gap.end.saturating_add(1));
            let frame = derived.stream.pieces_in(after).first().map(|piece| piece.frame);
            let detail =
                format!("{} bytes from {} of QUIC stream {id} were not captured", gap.len(), gap.start);
            self.anomaly(AnomalyKind::StreamGap, frame, detail);
        }
        if let Some(known) = self.connections.get_mut(place) {
            known.delivered.insert((id, role), came);
        }
        Ok(derived)
    }

    fn stream(
        &mut self,
        (name, id): (&str, u64),
        both: &Both,
        protocol: Option<&str>,
    ) -> Result<(), ReadError> {
        let silent = (silent(self.conversation.up), silent(self.conversation.down));
        let ((up, up_wrap), (down, down_wrap)) = both.streams(&silent);
        let inner = Conversation { transport: Transport::Tcp, up, down, ..*self.conversation };
        self.sink.inner(&Inner { protocol: "quic", id: Some(id), connection: Some(name), up, down })?;
        let mut within = Within::new(self.sink, up_wrap, down_wrap);
        let Some(context) = self.context.inside(protocol) else {
            return super::raw::streams(&inner, self.context.limits, &mut within);
        };
        if protocol.is_some_and(|name| name.starts_with("doq")) {
            // RFC 9250 section 4.2 has a length before the message; the first drafts had the message alone.
            for transport in [Transport::Tcp, Transport::Udp] {
                let messages = Conversation { transport, ..inner };
                if names::dns(&messages, context.limits, &mut within)? {
                    return Ok(());
                }
            }
        }
        super::application(&inner, &context, self.shared, &mut within)
    }

    /// What came again: the same bytes say nothing new, others are searched too.
    fn repeated(&mut self, direction: Direction, derived: &Derived) -> Result<(), ReadError> {
        for range in &derived.same {
            self.sink.place(direction, *range, Accounted::Understood);
        }
        for conflict in &derived.stream.conflicts {
            let ByteRange { start, end } = conflict.range;
            let detail = format!(
                "bytes {start} to {end} of a QUIC stream differ from those of frame {}, which were kept",
                conflict.kept
            );
            self.anomaly(AnomalyKind::ConflictOverlap, Some(conflict.other), detail);
        }
        let runs: Vec<flow::Run> = derived.differs.iter().filter_map(run).collect();
        let name = derived.wrap.steps.first().and_then(|step| step.param.clone()).unwrap_or_default();
        let others = self.source(direction).runs(&runs, "quic.conflict", name);
        self.leaf(direction, &others)
    }

    /// Says what the protocol prescribes in a message, and where a server name stands in it, if what was put together is
    /// what was read of it: where CRYPTO comes twice and differs, it need not be.
    fn prescribed(
        &mut self,
        direction: Direction,
        derived: &Derived,
        one: &Prescribed,
    ) -> Result<(), ReadError> {
        let whole = ByteRange::new(one.at, one.at.saturating_add(one.bytes.len() as u64));
        if self.source(direction).bytes(&derived.stream, whole)? != one.bytes {
            return Ok(());
        }
        let part = |range: &std::ops::Range<usize>| {
            ByteRange::new(one.at + range.start as u64, one.at + range.end as u64)
        };
        let mut within = Within::new(self.sink, &derived.wrap, &derived.wrap);
        for range in &one.ranges {
            within.place(direction, part(range), Accounted::Understood);
        }
        let name = one.name.as_ref().and_then(|range| Some((range, one.bytes.get(range.clone())?)));
        if let Some((range, name)) = name {
            within.name(direction, part(range), &String::from_utf8_lossy(name));
        }
        Ok(())
    }

    /// A derived stream as a leaf.
    fn leaf(&mut self, direction: Direction, derived: &Derived) -> Result<(), ReadError> {
        let mut within = Within::new(self.sink, &derived.wrap, &derived.wrap);
        whole(&derived.stream, direction, self.context.limits, &mut within)
    }
}

/// What of a gap did not come at all.
fn missing(gap: ByteRange, came: &[ByteRange]) -> Vec<ByteRange> {
    let mut start = gap.start;
    let mut left = Vec::new();
    let first = came.partition_point(|range| range.end <= gap.start);
    for both in came.iter().skip(first).map_while(|range| range.intersection(gap)) {
        left.push(ByteRange::new(start, both.start));
        start = both.end;
    }
    left.push(ByteRange::new(start, gap.end));
    left.retain(|range| !range.is_empty());
    left
}

/// A direction of a stream in which nothing came.
fn silent(outer: &Stream) -> (Stream, Wrap) {
    let mut stream = Stream::empty(&outer.capture, outer.blob.clone());
    stream.from_start = true;
    (stream, Wrap::default())
}

fn run(part: &Part) -> Option<flow::Run> {
    let (at, len) = (u32::try_from(part.at).ok()?, u32::try_from(part.range.len()).ok()?);
    Some(flow::Run { packet: part.packet, at, len })
}

fn space_name(space: Space) -> &'static str {
    match space {
        Space::Initial => "initial",
        Space::Handshake => "handshake",
        Space::Application => "1-rtt",
    }
}

/// A leaf for each run without gap; nothing is said of places.
fn whole(
    stream: &Stream,
    direction: Direction,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    let mut out = Out::new(sink, stream, direction, limits);
    let mut raw = Raw::default();
    let mut reader = stream.reader();
    while let Some(chunk) = reader.next_chunk()? {
        match chunk {
            Chunk::Bytes { range, data } => raw.write(&mut out, data, range),
            Chunk::Gap(_) => raw.close(&mut out),
        }
    }
    raw.close(&mut out);
    Ok(())
}

/// What is told of a connection.
fn record(known: &Known, here: &Here) -> QuicConnection {
    let facts = &known.state.facts;
    let decrypted = here.data > 0;
    let why_not = match here.missing {
        _ if decrypted => None,
        Some(Missing::ClientHello) => Some("the client's hello was not captured"),
        Some(Missing::ServerHello) => Some("the server's hello was not captured"),
        Some(Missing::Secrets) => Some("no key log holds its secrets"),
        Some(Missing::Suite) => Some("its cipher suite is not known here"),
        None if here.failed > 0 => Some("its packets do not open under the secrets of the key log"),
        None => Some("no packet with data of an application was captured"),
    };
    let who = |role: &Role| if *role == Role::Client { "client" } else { "server" };
    let ended = known.end.as_ref().map(|end| match end {
        End::Closed(role, application, code, reason) => {
            let by = if *application { "application" } else { "transport" };
            let reason = String::from_utf8_lossy(reason);
            format!("closed by the {} ({by} code {code:#x}) {reason}", who(role)).trim_end().to_owned()
        }
        End::Reset(role) => format!("reset by the {}, which had lost its state", who(role)),
    });
    QuicConnection {
        name: known.name(),
        frame: known.frame,
        version: known.state.spoken().to_string(),
        sni: facts.client_hello.as_ref().and_then(|hello| hello.sni.clone()),
        alpn: known.state.protocol().map(ToOwned::to_owned),
        cipher: facts.server_hello.as_ref().and_then(|hello| hello.ciphers.first().copied()),
        packets: here.packets,
        opened: here.opened,
        decrypted,
        why_not: why_not.map(ToOwned::to_owned),
        ended,
        client: here.client,
        identity: known.state.identity(),
    }
}
