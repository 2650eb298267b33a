//! The packets of one flow, in the order of capture: opened where there are keys, and their frames sorted.

use std::collections::BTreeMap;

use crate::{
    engine::{
        decode::{
            Conversation,
            sink::{Place as Accounted, Sink, TlsHello},
        },
        net::stream::{Chunk, Stream, StreamReader},
        proto::{
            keylog::KeyLog,
            quic::{
                ByRole, Hello, Missing, Opened, Opening, Role, Space, Version,
                frame::{Damage, Frame, Frames},
                packet::{Kind, Long},
                retry_is_genuine,
                stream::Segment,
            },
            tls::Over,
        },
    },
    evidence::{AnomalyKind, ByteRange, Direction, FrameNo, ReadError, printable, read_exact_at},
};

use super::{
    known::{Connections, End, Place, Waiting},
    packets::Packets,
};

/// Streams of one connection: a browser opens some thousands.
const MAX_STREAMS: usize = 65_536;
/// Connections of one flow that a packet without connection id is tried with, the latest first: an end without ids has
/// one at a time (RFC 9000 section 5.2).
const MAX_NAMELESS: usize = 8;
/// Where the bytes of a handshake stand, at most: chains of certificates end before (RFC 9000 section 7.5 asks for 4,096 bytes
/// of room).
const MAX_CRYPTO: u64 = 1 << 16;
/// Anomalies of one kind in one flow.
const MAX_ANOMALIES: u32 = 32;
/// Characters kept of the reason for closing a connection.
const MAX_REASON: usize = 256;

/// A run of bytes in the payload of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) packet: u32,
    pub(super) at: u32,
    pub(super) len: u32,
}

/// One direction of a stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Flowing {
    pub(super) segments: Vec<Segment>,
    /// One past the last byte that came.
    pub(super) end: u64,
    /// Bytes in all, where an end was announced.
    pub(super) length: Option<u64>,
    /// Whether its sender ended it.
    pub(super) ended: bool,
    /// Whether its sender broke it off.
    pub(super) reset: bool,
}

/// What one connection did in this flow.
#[derive(Debug, Default)]
pub(super) struct Here {
    /// Which way the client sends.
    pub(super) client: Option<Direction>,
    pub(super) streams: BTreeMap<(u64, Role), Flowing>,
    pub(super) crypto: BTreeMap<(Space, Role), Flowing>,
    /// DATAGRAM frames.
    pub(super) datagrams: ByRole<Vec<Run>>,
    /// All bytes of payloads that are in none of these.
    pub(super) rest: ByRole<Vec<Run>>,
    /// Packets that were seen, and those that were opened.
    pub(super) packets: u64,
    pub(super) opened: u64,
    /// Packets with data of applications that were opened.
    pub(super) data: u64,
    /// Why packets were not opened.
    pub(super) missing: Option<Missing>,
    pub(super) failed: u64,
}

impl Here {
    /// Which way an end sends.
    pub(super) fn direction(&self, role: Role) -> Option<Direction> {
        match role {
            Role::Client => self.client,
            Role::Server => self.client.map(Direction::other),
        }
    }
}

/// Odd traffic of one flow, as much as is listed.
#[derive(Default)]
pub(super) struct Oddities(BTreeMap<AnomalyKind, u32>);

impl Oddities {
    pub(super) fn add(
        &mut self,
        sink: &mut dyn Sink,
        kind: AnomalyKind,
        frame: Option<FrameNo>,
        detail: String,
    ) {
        let count = self.0.entry(kind).or_default();
        *count += 1;
        match (*count).cmp(&MAX_ANOMALIES) {
            std::cmp::Ordering::Less => sink.anomaly(kind, frame, detail),
            std::cmp::Ordering::Equal => {
                let detail = format!("more of {kind} in this flow is not listed");
                sink.anomaly(AnomalyKind::LimitReached, None, detail);
            }
            std::cmp::Ordering::Greater => {}
        }
    }
}

/// A packet on its way.
#[derive(Clone, Copy)]
struct Arrival<'p> {
    direction: Direction,
    /// Where it stands in that direction.
    range: ByteRange,
    bytes: &'p [u8],
    kind: Kind,
    version: Version,
    number_at: usize,
}

/// What becomes of a packet.
enum Arrived {
    /// It was opened: the connection and its sender.
    Opened(Place, Role),
    /// There are no keys (yet).
    Waits,
    /// It belongs to no connection, or does not open.
    Nowhere,
}

/// One flow while its packets are read.
pub(super) struct Flow<'f> {
    pub(super) conversation: &'f Conversation<'f>,
    pub(super) connections: &'f mut Connections,
    pub(super) sink: &'f mut dyn Sink,
    keys: &'f KeyLog,
    pub(super) here: BTreeMap<Place, Here>,
    pub(super) up: Packets,
    pub(super) down: Packets,
    /// The first packet of a version that is not known.
    pub(super) foreign: Option<(FrameNo, Version)>,
    /// The first packet with a long header that belongs to no connection.
    pub(super) stray: Option<(FrameNo, Version)>,
    pub(super) oddities: Oddities,
}

impl<'f> Flow<'f> {
    pub(super) fn new(
        conversation: &'f Conversation<'f>,
        keys: &'f KeyLog,
        connections: &'f mut Connections,
        sink: &'f mut dyn Sink,
    ) -> Self {
        Self {
            conversation,
            connections,
            sink,
            keys,
            here: BTreeMap::new(),
            up: Packets::default(),
            down: Packets::default(),
            foreign: None,
            stray: None,
            oddities: Oddities::default(),
        }
    }

    /// Reads all datagrams of both directions, in the order of capture.
    pub(super) fn read(&mut self) -> Result<(), ReadError> {
        let (up, down) = (self.conversation.up, self.conversation.down);
        let mut readers = (up.reader(), down.reader());
        loop {
            let next = (next_frame(up, &readers.0), next_frame(down, &readers.1));
            let (direction, reader) = match next {
                (None, None) => return Ok(()),
                (Some(first), second) if second.is_none_or(|second| first <= second) => {
                    (Direction::Up, &mut readers.0)
                }
                (_, Some(_)) => (Direction::Down, &mut readers.1),
                (Some(_), None) => (Direction::Up, &mut readers.0),
            };
            if let Some(Chunk::Bytes { range, data }) = reader.next_chunk()? {
                self.datagram(direction, range, data)?;
            }
        }
    }

    fn stream(&self, direction: Direction) -> &'f Stream {
        self.conversation.stream(direction)
    }

    fn packets(&mut self, direction: Direction) -> &mut Packets {
        match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        }
    }

    fn frame(&self, direction: Direction, at: u64) -> FrameNo {
        let range = ByteRange::new(at, at.saturating_add(1));
        self.stream(direction).pieces_in(range).first().map_or(FrameNo(0), |piece| piece.frame)
    }

    fn anomaly(&mut self, kind: AnomalyKind, frame: Option<FrameNo>, detail: String) {
        self.oddities.add(self.sink, kind, frame, detail);
    }

    fn place(&mut self, direction: Direction, range: ByteRange, place: Accounted) {
        if !range.is_empty() {
            self.sink.place(direction, range, place);
        }
    }

    fn datagram(&mut self, direction: Direction, range: ByteRange, data: &[u8]) -> Result<(), ReadError> {
        let mut at = 0;
        while let Some(rest) = data.get(at..).filter(|rest| !rest.is_empty()) {
            let start = range.start + at as u64;
            let is_long = rest.first().is_some_and(|first| first & 0x80 != 0);
            if !is_long {
                return self.short(direction, ByteRange::new(start, range.end), rest);
            }
            let Some(header) = Long::parse(rest) else {
                self.place(direction, ByteRange::new(start, range.end), Accounted::Opaque);
                return Ok(());
            };
            let packet = rest.get(..header.end).unwrap_or_default();
            let place = ByteRange::new(start, start + packet.len() as u64);
            self.long(direction, place, packet, &header)?;
            at += header.end;
        }
        Ok(())
    }

    fn long(
        &mut self,
        direction: Direction,
        range: ByteRange,
        packet: &[u8],
        header: &Long,
    ) -> Result<(), ReadError> {
        let Long { kind, version, number: number_at, .. } = *header;
        match kind {
            Kind::OtherVersion => {
                let frame = self.frame(direction, range.start);
                self.foreign.get_or_insert((frame, version));
                self.place(direction, range, Accounted::Opaque);
                return Ok(());
            }
            Kind::VersionNegotiation => {
                self.negotiation(direction, packet, header);
                return Ok(());
            }
            Kind::Retry => {
                self.retry(direction, range, packet, header);
                return Ok(());
            }
            Kind::Initial | Kind::ZeroRtt | Kind::Handshake | Kind::OneRtt => {}
        }
        let arrival = Arrival { direction, range, bytes: packet, kind, version, number_at };
        let mut candidates = self.candidates(direction, packet, header);
        let begun =
            if candidates.is_empty() { self.begin(direction, range.start, packet, header) } else { None };
        candidates.extend(begun.map(|place| (place, Role::Client)));
        self.clear_header(direction, range.start, header);
        match self.arrive(&candidates, arrival)? {
            Arrived::Opened(place, sender) => {
                // Who sends packets that open has the ids that it says it has.
                let source = packet.get(header.source.clone()).unwrap_or_default();
                self.connections.name(place, sender, source);
            }
            Arrived::Waits => {}
            Arrived::Nowhere => {
                if let Some(place) = begun {
                    self.here.remove(&place);
                    self.connections.forget(place);
                }
                let frame = self.frame(direction, range.start);
                self.stray.get_or_insert((frame, version));
            }
        }
        Ok(())
    }

    /// A client's first packet begins a connection.
    fn begin(&mut self, direction: Direction, at: u64, packet: &[u8], header: &Long) -> Option<Place> {
        let destination = packet.get(header.destination.clone())?;
        let frame = self.frame(direction, at);
        let first = matches!(header.kind, Kind::Initial | Kind::ZeroRtt);
        first.then(|| self.connections.begin(header.version, destination, frame))?
    }

    /// Which connections a packet with a long header may belong to.
    fn candidates(&self, direction: Direction, packet: &[u8], header: &Long) -> Vec<(Place, Role)> {
        let destination = packet.get(header.destination.clone()).unwrap_or_default();
        let mut found = self.connections.of_id(destination);
        if destination.is_empty() {
            found.extend(self.nameless(direction));
        }
        let source = packet.get(header.source.clone()).unwrap_or_default();
        if found.is_empty() && !source.is_empty() {
            let named = self.connections.of_id(source).into_iter();
            found.extend(named.map(|(place, receiver)| (place, receiver.other())));
        }
        found.retain(|(place, _)| self.connections.get(*place).is_some_and(|known| !known.refused));
        found
    }

    /// Connections of this flow whose end that receives has ids without bytes, the latest first.
    fn nameless(&self, direction: Direction) -> Vec<(Place, Role)> {
        let of = |(&place, here): (&Place, &Here)| {
            let sender = if here.client? == direction { Role::Client } else { Role::Server };
            let known = self.connections.get(place)?;
            known.nameless.get(sender.other()).then_some((place, sender))
        };
        self.here.iter().rev().filter_map(of).take(MAX_NAMELESS).collect()
    }

    fn short(&mut self, direction: Direction, range: ByteRange, packet: &[u8]) -> Result<(), ReadError> {
        let mut candidates = self.connections.of_short(packet);
        candidates.extend(self.nameless(direction).into_iter().map(|(place, sender)| (place, sender, 1)));
        let of = |number_at| Arrival {
            direction,
            range,
            bytes: packet,
            kind: Kind::OneRtt,
            version: Version::default(),
            number_at,
        };
        let mut rest = candidates.as_slice();
        while let Some(&(_, _, number_at)) = rest.first() {
            let same = rest.iter().take_while(|(_, _, other)| *other == number_at).count();
            let (now, later) = rest.split_at(same);
            let now: Vec<(Place, Role)> = now.iter().map(|&(place, sender, _)| (place, sender)).collect();
            if !matches!(self.arrive(&now, of(number_at))?, Arrived::Nowhere) {
                return Ok(());
            }
            rest = later;
        }
        self.place(direction, range, Accounted::Opaque);
        if let Some((place, role)) = candidates
            .iter()
            .find_map(|&(place, ..)| Some((place, self.connections.get(place)?.is_reset(packet)?)))
            && let Some(known) = self.connections.get_mut(place)
        {
            known.end.get_or_insert(End::Reset(role));
        } else if let Some(&(place, ..)) = candidates.first()
            && self.here.get(&place).is_some_and(|here| here.data > 0)
        {
            let frame = self.frame(direction, range.start);
            let detail = "a QUIC packet does not open under the keys of its connection".to_owned();
            self.anomaly(AnomalyKind::QuicMalformed, Some(frame), detail);
        }
        Ok(())
    }

    /// Tries a packet with each connection that it may belong to.
    fn arrive(&mut self, candidates: &[(Place, Role)], arrival: Arrival<'_>) -> Result<Arrived, ReadError> {
        let Arrival { direction, range, bytes, kind, version, number_at } = arrival;
        let mut waits = None;
        for &(place, sender) in candidates {
            let Some(known) = self.connections.get_mut(place) else { continue };
            let client = if sender == Role::Client { direction } else { direction.other() };
            let here = self.here.entry(place).or_default();
            if here.client.is_some_and(|seen| seen != client) {
                continue;
            }
            match known.state.open(sender, kind, version, bytes, number_at) {
                Opening::Opened(opened) => {
                    here.client = Some(client);
                    here.packets += 1;
                    if self.opened(place, sender, arrival, &opened, Waited::No) {
                        self.again(place)?;
                    }
                    return Ok(Arrived::Opened(place, sender));
                }
                Opening::Missing(missing) => {
                    waits.get_or_insert((place, sender, missing));
                }
                Opening::Failed => {}
            }
        }
        let Some((place, sender, missing)) = waits else {
            if let Some(here) = candidates.first().and_then(|(place, _)| self.here.get_mut(place)) {
                here.packets += 1;
                here.failed += 1;
            }
            return Ok(Arrived::Nowhere);
        };
        let here = self.here.entry(place).or_default();
        here.packets += 1;
        here.missing = Some(missing);
        here.client.get_or_insert(if sender == Role::Client { direction } else { direction.other() });
        if let Some(known) = self.connections.get_mut(place) {
            known.wait(Waiting { direction, range, number_at, sender, kind, version });
        }
        if kind == Kind::OneRtt {
            self.place(direction, range, Accounted::Opaque);
        }
        Ok(Arrived::Waits)
    }

    /// What a long header says in clear: the version and lengths are understood, ids and tokens are not.
    fn clear_header(&mut self, direction: Direction, start: u64, header: &Long) {
        let at = |place: usize| start + place as u64;
        let one = |place: usize| ByteRange::new(at(place), at(place + 1));
        let lengths = header.source.end..header.token.start;
        for range in [
            ByteRange::new(at(1), at(6)),
            one(header.destination.end),
            ByteRange::new(at(lengths.start), at(lengths.end)),
            ByteRange::new(at(header.length.start), at(header.length.end)),
        ] {
            self.place(direction, range, Accounted::Understood);
        }
        let payload = ByteRange::new(at(header.number), at(header.end));
        self.place(direction, payload, Accounted::Opaque);
        self.place(direction, one(0), Accounted::Opaque);
    }

    fn negotiation(&mut self, direction: Direction, packet: &[u8], header: &Long) {
        let id = |range: &std::ops::Range<usize>| packet.get(range.clone()).unwrap_or_default();
        let source = id(&header.source);
        // It carries the client's ids the other way round (RFC 9000 section 17.2.1).
        let of_source = self.connections.of_id(source).into_iter();
        let found = of_source.map(|(place, _)| place).find(|&place| {
            let known = self.connections.get(place);
            known.is_some_and(|known| known.state.original == source && known.state.negotiated.is_none())
                && self.here.get(&place).is_some_and(|here| here.direction(Role::Server) == Some(direction))
        });
        if let Some(place) = found {
            self.connections.refuse(place);
        }
    }

    fn retry(&mut self, direction: Direction, range: ByteRange, packet: &[u8], header: &Long) {
        let id = |range: &std::ops::Range<usize>| packet.get(range.clone()).unwrap_or_default();
        let mut candidates = self.connections.of_id(id(&header.destination));
        candidates.extend(self.nameless(direction));
        let genuine = candidates.into_iter().find(|&(place, sender)| {
            let known = self.connections.get(place);
            sender == Role::Server
                && known.is_some_and(|known| retry_is_genuine(header.version, &known.state.original, packet))
        });
        let Some((place, _)) = genuine else {
            self.place(direction, range, Accounted::Opaque);
            let frame = self.frame(direction, range.start);
            let detail = "a QUIC Retry whose tag does not fit any connection".to_owned();
            self.anomaly(AnomalyKind::QuicMalformed, Some(frame), detail);
            return;
        };
        let tag = ByteRange::new(range.start + header.number as u64, range.end);
        self.place(direction, tag, Accounted::Understood);
        let source = id(&header.source);
        if let Some(known) = self.connections.get_mut(place).filter(|known| !known.retried) {
            known.retried = true;
            known.state.retry(source);
            self.connections.name(place, Role::Server, source);
            // The handshake begins anew: what was said before belongs to none.
            if let Some(here) = self.here.get_mut(&place)
                && let Some(before) = here.crypto.remove(&(Space::Initial, Role::Client))
            {
                let runs = before.segments.into_iter().map(|Segment { packet, at, len, .. }| Run {
                    packet,
                    at,
                    len,
                });
                here.rest.get_mut(Role::Client).extend(runs);
            }
        }
    }

    /// Accounts for an opened packet and takes its frames; true when they gave new keys.
    fn opened(
        &mut self,
        place: Place,
        sender: Role,
        arrival: Arrival<'_>,
        opened: &Opened,
        waited: Waited,
    ) -> bool {
        let Arrival { direction, range, kind, number_at, .. } = arrival;
        let stream = self.stream(direction);
        let Some(id) = self.packets(direction).add(stream, range, number_at, opened) else { return false };
        let start = range.start;
        let payload = start + opened.payload_at as u64;
        let end = payload + opened.payload.len() as u64;
        // The keys of Initial packets are public (RFC 9001 section 5.2): what they hold was sent in clear.
        if kind != Kind::Initial {
            self.sink.sealed(direction, range);
        }
        self.place(direction, ByteRange::new(start, start + 1), Accounted::Understood);
        let number = ByteRange::new(start + number_at as u64, payload);
        if kind != Kind::OneRtt || waited == Waited::Yes {
            // It was called opaque before it was opened.
            self.place(direction, ByteRange::new(number.start, end), Accounted::Undetermined);
        }
        if opened.next {
            self.place(direction, number, Accounted::Understood);
        }
        let Some(space) = kind.space() else { return false };
        let here = self.here.entry(place).or_default();
        here.opened += 1;
        here.data += u64::from(space == Space::Application);
        let packet = Taken { place, sender, direction, space, early: kind == Kind::ZeroRtt, id, payload };
        let learned = self.frames(packet, &opened.payload);
        self.place(direction, ByteRange::new(end, range.end), Accounted::Understood);
        learned
    }

    /// Tries packets once more that waited for keys, as long as they give new ones.
    fn again(&mut self, place: Place) -> Result<(), ReadError> {
        let mut learned = true;
        while std::mem::take(&mut learned) {
            let Some(known) = self.connections.get_mut(place) else { return Ok(()) };
            for waiting in std::mem::take(&mut known.waiting) {
                let Waiting { direction, range, number_at, sender, kind, version } = waiting;
                let bytes = read(self.stream(direction), range)?;
                let Some(known) = self.connections.get_mut(place) else { continue };
                match known.state.open(sender, kind, version, &bytes, number_at) {
                    Opening::Opened(opened) => {
                        let arrival = Arrival { direction, range, bytes: &bytes, kind, version, number_at };
                        learned |= self.opened(place, sender, arrival, &opened, Waited::Yes);
                    }
                    Opening::Missing(_) => known.wait(waiting),
                    Opening::Failed => self.here.entry(place).or_default().failed += 1,
                }
            }
        }
        Ok(())
    }
}

/// Whether a packet waited for its keys.
#[derive(Clone, Copy, PartialEq)]
enum Waited {
    Yes,
    No,
}

/// An opened packet whose frames are taken.
#[derive(Clone, Copy)]
struct Taken {
    place: Place,
    sender: Role,
    direction: Direction,
    space: Space,
    /// Whether it is 0-RTT.
    early: bool,
    id: u32,
    /// Where its payload starts in the stream.
    payload: u64,
}

impl Taken {
    fn outer(&self, range: &std::ops::Range<usize>) -> ByteRange {
        ByteRange::new(self.payload + range.start as u64, self.payload + range.end as u64)
    }

    fn run(&self, range: &std::ops::Range<usize>) -> Run {
        let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Run { packet: self.id, at: narrow(range.start), len: narrow(range.len()) }
    }
}

impl Flow<'_> {
    /// Sorts the frames of a packet; true when they gave new keys.
    fn frames(&mut self, packet: Taken, payload: &[u8]) -> bool {
        let mut learned = false;
        let mut data: Vec<std::ops::Range<usize>> = Vec::new();
        let mut pinged = false;
        for frame in Frames::new(payload) {
            match frame {
                Ok((range, frame)) => {
                    learned |= self.take(packet, &range, &frame, payload, (&mut data, &mut pinged));
                }
                Err(damage) => self.damaged(packet, damage),
            }
        }
        let mut start = 0;
        for range in data.into_iter().chain(std::iter::once(payload.len()..payload.len())) {
            let rest = packet.run(&(start..range.start));
            start = range.end;
            if rest.len > 0 {
                let here = self.here.entry(packet.place).or_default();
                here.rest.get_mut(packet.sender).push(rest);
            }
        }
        learned
    }

    fn damaged(&mut self, packet: Taken, damage: Damage) {
        let frame = self.frame(packet.direction, packet.payload);
        let detail = match damage {
            Damage { kind: Some(kind), unknown: true, .. } => {
                format!(
                    "a QUIC frame of the unknown type {kind:#x}; the rest of its packet is searched as it is"
                )
            }
            Damage { .. } => {
                "a QUIC frame that ends before its end; the rest of its packet is searched as it is"
                    .to_owned()
            }
        };
        self.anomaly(AnomalyKind::QuicMalformed, Some(frame), detail);
    }

    /// Takes one frame; bytes that go into a stream are added to `data`, and `pinged` says whether the packet held a PING before.
    fn take(
        &mut self,
        packet: Taken,
        range: &std::ops::Range<usize>,
        frame: &Frame,
        payload: &[u8],
        (data, pinged): (&mut Vec<std::ops::Range<usize>>, &mut bool),
    ) -> bool {
        let application = packet.space == Space::Application;
        let bytes = |range: &std::ops::Range<usize>| payload.get(range.clone()).unwrap_or_default();
        let mut learned = false;
        match frame {
            Frame::Padding => self.place(packet.direction, packet.outer(range), Accounted::Understood),
            // A second one in a packet says nothing that the first did not, and zeros with such bytes among them could be a code.
            Frame::Ping | Frame::HandshakeDone => {
                let may = packet.sender == Role::Server || matches!(frame, Frame::Ping);
                let first = may && !std::mem::replace(pinged, true);
                if first {
                    self.place(packet.direction, packet.outer(range), Accounted::Understood);
                }
            }
            Frame::Ack { largest, delay, more, .. } => {
                let known = self.connections.get_mut(packet.place);
                let seen = known
                    .is_some_and(|known| known.state.acknowledged(packet.sender, packet.space, *largest));
                // What lies between ranges is what did not come, as the sender says: numbers without end, if it likes.
                for part in [range.start..delay.start, delay.end..more.start].iter().filter(|_| seen) {
                    self.place(packet.direction, packet.outer(part), Accounted::Understood);
                }
            }
            Frame::Crypto { offset, data: body } if !packet.early => {
                self.head(packet, range, body, !body.is_empty() && *offset < MAX_CRYPTO, data);
                self.crypto_segment(packet, *offset, body);
                learned = self.crypto(packet, *offset, bytes(body));
            }
            Frame::Stream { stream, offset, data: body, last } if application => {
                let in_turn = self.in_turn(packet, *stream, *offset, body.is_empty(), *last);
                let kept = self.stream_segment(packet, *stream, *offset, body, *last);
                if kept {
                    self.head(packet, range, body, in_turn, data);
                }
            }
            Frame::ResetStream { stream, length, .. } if application => {
                let here = self.here.entry(packet.place).or_default();
                if let Some(flowing) = here.streams.get_mut(&(*stream, packet.sender)) {
                    flowing.reset = true;
                    flowing.length.get_or_insert(*length);
                }
            }
            Frame::Datagram { data: body } if application => {
                self.head(packet, range, body, true, data);
                let here = self.here.entry(packet.place).or_default();
                here.datagrams.get_mut(packet.sender).push(packet.run(body));
            }
            Frame::NewConnectionId { id, reset_token } if application => {
                self.connections.name(packet.place, packet.sender, bytes(id));
                self.token(packet, bytes(reset_token));
            }
            Frame::Close { application, code, reason } => {
                let reason = printable(bytes(reason), MAX_REASON).into_bytes();
                if let Some(known) = self.connections.get_mut(packet.place) {
                    known.end.get_or_insert(End::Closed(packet.sender, *application, *code, reason));
                }
            }
            _ => {}
        }
        learned
    }

    fn token(&mut self, packet: Taken, token: &[u8]) {
        if let (Ok(token), Some(known)) = (token.try_into(), self.connections.get_mut(packet.place)) {
            known.token(packet.sender, token);
        }
    }

    /// The type, stream, offset and length before data say no more than where the data belong, if these are `in_turn`.
    fn head(
        &mut self,
        packet: Taken,
        range: &std::ops::Range<usize>,
        body: &std::ops::Range<usize>,
        in_turn: bool,
        data: &mut Vec<std::ops::Range<usize>>,
    ) {
        if in_turn {
            self.place(packet.direction, packet.outer(&(range.start..body.start)), Accounted::Understood);
        }
        data.push(body.clone());
    }

    /// Whether the numbers before data are none that a sender made up: its stream is known or the next of its kind (RFC 9000
    /// section 2.1), the data go on where others ended or come again, and only the end of a stream holds none.
    fn in_turn(&self, packet: Taken, stream: u64, offset: u64, empty: bool, last: bool) -> bool {
        let streams = self.here.get(&packet.place).map(|here| &here.streams);
        let delivered = self.connections.get(packet.place).map(|known| &known.delivered);
        let before = |id: u64| {
            let key = (id, packet.sender);
            let flowing = streams.and_then(|streams| streams.get(&key));
            let came = delivered.and_then(|delivered| delivered.get(&key));
            let came_to = came.and_then(|came| came.last()).map_or(0, |range| range.end);
            let end = flowing.map_or(0, |flowing| flowing.end).max(came_to);
            (flowing.is_some() || came.is_some(), end, flowing.is_some_and(|flowing| flowing.ended))
        };
        let (known, end, ended) = before(stream);
        let next = stream.checked_sub(4).is_none_or(|earlier| before(earlier).0);
        (known || next) && offset <= end && (!empty || (last && !ended && offset == end))
    }

    fn crypto_segment(&mut self, packet: Taken, offset: u64, body: &std::ops::Range<usize>) {
        let here = self.here.entry(packet.place).or_default();
        let flowing = here.crypto.entry((packet.space, packet.sender)).or_default();
        let Run { packet, at, len } = packet.run(body);
        flowing.segments.push(Segment { offset, packet, at, len });
    }

    /// Adds a piece of a stream; false when there are too many streams.
    fn stream_segment(
        &mut self,
        packet: Taken,
        stream: u64,
        offset: u64,
        body: &std::ops::Range<usize>,
        last: bool,
    ) -> bool {
        let here = self.here.entry(packet.place).or_default();
        let key = (stream, packet.sender);
        if here.streams.len() >= MAX_STREAMS && !here.streams.contains_key(&key) {
            let detail = format!("more than {MAX_STREAMS} QUIC streams; the others are not put together");
            self.anomaly(AnomalyKind::LimitReached, None, detail);
            return false;
        }
        let flowing = here.streams.entry(key).or_default();
        let Run { packet, at, len } = packet.run(body);
        if len > 0 {
            flowing.segments.push(Segment { offset, packet, at, len });
            flowing.end = flowing.end.max(offset.saturating_add(u64::from(len)));
        }
        if last {
            flowing.ended = true;
            flowing.length.get_or_insert(offset.saturating_add(u64::from(len)));
        }
        true
    }

    /// Reads the handshake on; true when it gave new keys.
    fn crypto(&mut self, packet: Taken, offset: u64, data: &[u8]) -> bool {
        let Some(known) = self.connections.get_mut(packet.place) else { return false };
        let (hellos, whole) = known.state.crypto(packet.sender, packet.space, offset, data);
        let learned = !hellos.is_empty() && known.state.learn(self.keys);
        if !whole {
            let frame = self.frame(packet.direction, packet.payload);
            let detail = "more CRYPTO out of order than is kept; what it says of keys is not read".to_owned();
            self.anomaly(AnomalyKind::LimitReached, Some(frame), detail);
        }
        for (at, hello) in hellos {
            let frame = self.hello_frame(packet, at);
            self.hello(packet, frame, hello);
        }
        learned
    }

    /// The frame that carries the first byte of a message.
    fn hello_frame(&mut self, packet: Taken, at: u64) -> FrameNo {
        let here = self.here.entry(packet.place).or_default();
        let flowing = here.crypto.entry((packet.space, packet.sender)).or_default();
        let first = flowing
            .segments
            .iter()
            .find(|segment| (segment.range().start..segment.range().end).contains(&at));
        let id = first.map_or(packet.id, |segment| segment.packet);
        let outer = self.packets(packet.direction).outer(id);
        self.frame(packet.direction, outer)
    }

    fn hello(&mut self, packet: Taken, frame: FrameNo, hello: Hello) {
        let hello = match hello {
            Hello::Client(hello, _) | Hello::Server(hello) => hello,
            Hello::Encrypted(_, parameters) => {
                if let Some(token) = parameters.reset_token {
                    self.token(packet, &token);
                }
                if let Some((id, token)) = parameters.preferred {
                    self.connections.name(packet.place, packet.sender, &id);
                    self.token(packet, &token);
                }
                return;
            }
            Hello::Malformed => {
                let detail = "TLS: a hello that breaks its grammar".to_owned();
                return self.anomaly(AnomalyKind::TlsMalformed, Some(frame), detail);
            }
        };
        self.sink.tls_hello(&TlsHello::of(hello, frame, Over::Quic));
    }
}

/// The frame of the datagram that a reader gives next.
fn next_frame(stream: &Stream, reader: &StreamReader<'_>) -> Option<FrameNo> {
    let offset = reader.offset();
    let next = stream.pieces.partition_point(|piece| piece.range.end <= offset);
    let piece = stream.pieces.get(next).map(|piece| piece.frame);
    let left = stream.gaps.last().is_some_and(|gap| gap.end > offset);
    piece.or_else(|| left.then_some(FrameNo(u32::MAX)))
}

/// Reads a part of a stream.
fn read(stream: &Stream, range: ByteRange) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    for piece in stream.pieces_in(range) {
        let Some(part) = piece.range.intersection(range) else { continue };
        let at = piece.at + (part.start - piece.range.start);
        let start = bytes.len();
        bytes.resize(start + usize::try_from(part.len()).unwrap_or(0), 0);
        let into = bytes.get_mut(start..).unwrap_or_default();
        read_exact_at(&*stream.blob, into, at).map_err(|error| ReadError::new(&stream.capture, at, error))?;
    }
    Ok(bytes)
}
