//! HTTP/3 conversations (RFC 9114): the streams of one QUIC connection.
//!
//! Unidirectional streams enter first: with them the tables of QPACK (RFC 9204) are whole, and a field section that
//! waited for entries of another stream is read as any other. Then come requests, and pushes after what promises them.
//!
//! 1. [`Side`] reads the frames of one direction of one stream.
//! 2. The content of DATA, cut out of the stream by reference, is a body as any other.
//! 3. What is needed where the connection goes on in another flow stays in [`Session`].

mod session;
mod side;

use std::collections::BTreeMap;

use crate::{
    engine::{
        codec::Part,
        net::stream::{Chunk, Stream},
        proto::{
            http3::Purpose,
            quic::{ByRole, Cursor, Role},
        },
    },
    evidence::{AnomalyKind, ByteRange, Direction, Limits, ReadError},
};

use super::{
    Context, Conversation, Shared, application,
    body::{Body, Finished},
    facts::{self, Facts, text},
    heads,
    layers::{Bytes, Out, Stage, Tally},
    parts::{Around, Form, Gathered, Name, Part as UploadPart, Uploads},
    raw::{self, Raw},
    sink::{BodyEnd, Keep, Place, Sink, TransactionId},
    within::{Places, Within, Wrap},
};
use session::{Kept, Reading};
use side::{Half, On, Side};

pub(super) use session::Session;

/// The step that gives the content of a stream.
const BODY: &str = "http3.body";

/// Tunnels of one connection that are walked. Browsers open one for each WebSocket; more are searched as content.
const MAX_TUNNELS: u32 = 256;

/// Bytes of a stream's type and of a push's number: two integers of RFC 9000 section 16.
const LONGEST_OPENING: usize = 16;

/// Bytes of table entries that make one leaf.
const INSERTS: usize = 64 << 10;

/// Whether a name of ALPN (RFC 7301) is that of HTTP/3 or of one of its drafts.
pub(super) fn is_http3(protocol: &str) -> bool {
    protocol == "h3" || protocol.starts_with("h3-")
}

/// How one direction of a stream ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ended {
    /// Its length, where one was announced.
    pub(super) length: Option<u64>,
    /// Whether its sender ended it, and did not break it off.
    pub(super) whole: bool,
    /// Whether its sender broke it off.
    pub(super) reset: bool,
}

/// When a stream's turn comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Turn {
    /// At once.
    Now,
    /// After all requests.
    Last,
}

/// The streams of one connection, as far as they go in one flow.
pub(super) struct Streams<'w> {
    session: Session,
    context: &'w Context<'w>,
    /// Which way the client sends.
    client: Direction,
    tallies: ByRole<Tally>,
    /// Requests that the server made up, by the numbers of their pushes.
    promised: BTreeMap<u64, TransactionId>,
    /// The streams of pushes that were seen.
    pushes: BTreeMap<u64, u64>,
    tunnels: u32,
    /// Bodies of requests that may be parts of something.
    uploads: Uploads,
    gathered: Gathered,
}

impl<'w> Streams<'w> {
    pub(super) fn new(session: Session, client: Direction, context: &'w Context<'w>) -> Self {
        let tallies = ByRole { client: Tally::new(context.limits), server: Tally::new(context.limits) };
        let (promised, pushes) = (BTreeMap::new(), BTreeMap::new());
        let (uploads, gathered) = (Uploads::default(), Gathered::default());
        Self { session, context, client, tallies, promised, pushes, tunnels: 0, uploads, gathered }
    }

    /// Reads bodies that are parts of one as one; what they give is told with its place in what was captured.
    ///
    /// # Errors
    /// When the capture can't be read.
    pub(super) fn join(&mut self, sink: &mut dyn Sink) -> Result<(), ReadError> {
        let (uploads, gathered) = (std::mem::take(&mut self.uploads), std::mem::take(&mut self.gathered));
        let Some(stream) = gathered.stream.filter(|_| !uploads.is_empty()) else { return Ok(()) };
        let wrap = Wrap { places: gathered.places, ..Wrap::default() };
        let (direction, limits, places) = (self.client, self.context.limits, Some(&wrap.places));
        let around = Around { stream: &stream, direction, limits, op: BODY, places };
        let tally = self.tallies.get(Role::Client).clone();
        let mut within = Within::new(sink, &wrap, &wrap);
        *self.tallies.get_mut(Role::Client) = uploads.finish(&around, tally, &mut within)?;
        Ok(())
    }

    /// What the next flow goes on with.
    pub(super) fn finish(self) -> Session {
        self.session
    }

    /// The streams of a connection in the order in which they are to enter: unidirectional ones first.
    pub(super) fn order(ids: &mut [u64]) {
        ids.sort_unstable_by_key(|&id| (id & 2 == 0, id));
    }

    fn direction(&self, role: Role) -> Direction {
        match role {
            Role::Client => self.client,
            Role::Server => self.client.other(),
        }
    }

    /// Looks at how a stream begins: a push comes last.
    ///
    /// # Errors
    /// When the capture can't be read.
    pub(super) fn turn(&mut self, id: u64, conversation: &Conversation<'_>) -> Result<Turn, ReadError> {
        if id & 3 != 3 {
            return Ok(Turn::Now);
        }
        let reading = match self.session.reading(id, Role::Server) {
            Some(reading) => Some(reading),
            None => begins(conversation.stream(self.direction(Role::Server)))?.map(|kept| kept.reading),
        };
        let Some(Reading::Push(push)) = reading else { return Ok(Turn::Now) };
        self.pushes.entry(push).or_insert(id);
        Ok(Turn::Last)
    }

    /// Walks a stream; `places` say where the client's bytes stand in what was captured.
    ///
    /// # Errors
    /// When the capture can't be read.
    pub(super) fn stream(
        &mut self,
        id: u64,
        (conversation, places): (&Conversation<'_>, &Places),
        ends: &ByRole<Ended>,
        shared: &mut Shared,
        sink: &mut dyn Sink,
    ) -> Result<(), ReadError> {
        match id & 3 {
            0 => self.exchange(id, (conversation, places), ends, shared, sink),
            // Servers open no such streams (RFC 9114 section 6.1) but for extensions.
            1 => self.foreign(conversation, shared, sink),
            2 => self.alone(id, Role::Client, conversation, ends, shared, sink),
            _ => self.alone(id, Role::Server, conversation, ends, shared, sink),
        }
    }

    /// A stream that is not HTTP/3's.
    fn foreign(
        &self,
        conversation: &Conversation<'_>,
        shared: &mut Shared,
        sink: &mut dyn Sink,
    ) -> Result<(), ReadError> {
        match self.context.inside(None) {
            Some(context) => application(conversation, &context, shared, sink),
            None => raw::streams(conversation, self.context.limits, sink),
        }
    }

    /// Writes to a stream of one side.
    fn out<'o>(&mut self, role: Role, stream: &'o Stream, sink: &'o mut dyn Sink) -> Out<'o>
    where
        'w: 'o,
    {
        let limits: &'w Limits = self.context.limits;
        let tally = self.tallies.get(role).clone();
        Out::going_on(sink, stream, self.direction(role), limits, tally)
    }

    /// A unidirectional stream.
    fn alone(
        &mut self,
        id: u64,
        sender: Role,
        conversation: &Conversation<'_>,
        ends: &ByRole<Ended>,
        shared: &mut Shared,
        sink: &mut dyn Sink,
    ) -> Result<(), ReadError> {
        let stream = conversation.stream(self.direction(sender));
        let kept = match self.session.take(id, sender) {
            Some(kept) => Some(kept),
            None => begins(stream)?,
        };
        let Some(mut kept) = kept else {
            // It may be the encoder stream.
            self.session.tables.get_mut(sender).gap(stream.end());
            return self.foreign(conversation, shared, sink);
        };
        let back = conversation.stream(self.direction(sender.other()));
        if back.end() > 0 && kept.reading != Reading::Other {
            // Nothing comes back on such a stream (RFC 9000 section 2.1).
            self.against(id, sender.other(), back, sink)?;
        }
        match kept.reading {
            Reading::Control | Reading::Push(_) => {
                let mut transaction = match kept.reading {
                    Reading::Push(push) => self.promised.get(&push).copied(),
                    _ => None,
                };
                let ended = *ends.get(sender);
                let half = self.read((id, sender), kept, (stream, ended), &mut transaction, shared, sink)?;
                if half.has_content() {
                    let transaction = transaction.unwrap_or_else(|| shared.transaction());
                    self.body((id, sender), transaction, &half, (stream, ended), sink)?;
                }
                return Ok(());
            }
            Reading::Encoder => self.encoder((id, sender), &kept, stream, sink)?,
            Reading::Decoder => {
                let mut out = self.out(sender, stream, sink);
                as_it_stands(stream, Raw::new("qpack.decoder"), None, &mut out)?;
                *self.tallies.get_mut(sender) = out.tally();
            }
            // Reserved types are there to be ignored (RFC 9114 section 6.2.3); others are extensions.
            Reading::Other | Reading::Request => self.foreign(conversation, shared, sink)?,
        }
        kept.seen = captured(stream);
        self.session.keep(id, sender, kept);
        Ok(())
    }

    /// The encoder stream: its bytes, and what it puts into the table.
    fn encoder(
        &mut self,
        (id, sender): (u64, Role),
        kept: &Kept,
        stream: &Stream,
        sink: &mut dyn Sink,
    ) -> Result<(), ReadError> {
        let from = kept.seen.max(kept.parser.wanted());
        let mut table = std::mem::take(self.session.tables.get_mut(sender));
        let mut out = self.out(sender, stream, sink);
        let mut wire = Stage::new("qpack.encoder", None, 0, Keep::Search);
        let mut inserts = Inserts { name: format!("stream {id}"), ..Inserts::default() };
        let mut reader = stream.reader();
        while let Some(chunk) = reader.next_chunk()? {
            match chunk {
                Chunk::Bytes { range, data } => {
                    wire.consumed(range.end);
                    wire.write(&mut out, Bytes::wire(data, range));
                    // When an entry came tells what sections refer to, so each frame's bytes go on their own.
                    for piece in stream.pieces_in(range) {
                        let part =
                            ByteRange::new(piece.range.start.max(range.start).max(from), piece.range.end);
                        let Some(part) = part.intersection(range) else { continue };
                        let at =
                            |position: u64| usize::try_from(position - range.start).unwrap_or(usize::MAX);
                        let new = data.get(at(part.start)..at(part.end)).unwrap_or_default();
                        let result = table.push(new, piece.frame, &mut |insert| {
                            inserts.push(insert.name, insert.value);
                        });
                        if let Err(why) = result {
                            let detail = format!("QPACK: {why}");
                            out.anomaly(AnomalyKind::Http3Malformed, Some(part.start), detail);
                        }
                        inserts.from(part);
                    }
                    if inserts.size > INSERTS {
                        inserts.flush(&mut out);
                    }
                }
                Chunk::Gap(gap) if gap.end <= from => wire.gap(&mut out, gap.len()),
                Chunk::Gap(gap) => {
                    wire.gap(&mut out, gap.len());
                    table.gap(gap.len());
                }
            }
        }
        wire.close(&mut out);
        inserts.flush(&mut out);
        let most = self.session.capacities.get(sender.other());
        if let Some(most) = most.filter(|&most| table.capacity() > most) {
            let detail = format!("QPACK: a table of {} bytes, where {most} are allowed", table.capacity());
            out.anomaly(AnomalyKind::Http3Malformed, None, detail);
        }
        *self.tallies.get_mut(sender) = out.tally();
        *self.session.tables.get_mut(sender) = table;
        Ok(())
    }

    /// What comes against the direction of a stream.
    fn against(
        &mut self,
        id: u64,
        sender: Role,
        stream: &Stream,
        sink: &mut dyn Sink,
    ) -> Result<(), ReadError> {
        let mut out = self.out(sender, stream, sink);
        let detail = format!("stream {id}: data of the end that may not send on it");
        let first = stream.pieces.first().map(|piece| piece.range.start);
        out.anomaly(AnomalyKind::Http3Malformed, first, detail);
        as_it_stands(stream, Raw::unknown(), Some(Place::Opaque), &mut out)?;
        *self.tallies.get_mut(sender) = out.tally();
        Ok(())
    }

    /// A request with its response.
    fn exchange(
        &mut self,
        id: u64,
        (conversation, places): (&Conversation<'_>, &Places),
        ends: &ByRole<Ended>,
        shared: &mut Shared,
        sink: &mut dyn Sink,
    ) -> Result<(), ReadError> {
        let mut transaction = None;
        let mut halves = ByRole::<Half>::default();
        for sender in Role::BOTH {
            let stream = conversation.stream(self.direction(sender));
            let kept = self.session.take(id, sender);
            if stream.end() == 0 && kept.is_none() {
                continue;
            }
            let kept = kept.unwrap_or_else(|| Kept::new(Reading::Request, 0));
            let from = (stream, *ends.get(sender));
            *halves.get_mut(sender) = self.read((id, sender), kept, from, &mut transaction, shared, sink)?;
        }
        let sound = Role::BOTH.iter().all(|role| halves.get(*role).is_sound());
        let tunnel = facts::is_tunnel(halves.client.head.as_ref(), halves.server.head.as_ref());
        if sound && tunnel && self.tunnels < MAX_TUNNELS {
            self.tunnels += 1;
            let transaction = transaction.unwrap_or_else(|| shared.transaction());
            return self.tunnel((id, transaction), conversation, &halves, shared, sink);
        }
        for sender in Role::BOTH {
            let half = halves.get(sender);
            if half.has_content() {
                let transaction = *transaction.get_or_insert_with(|| shared.transaction());
                let from = (conversation.stream(self.direction(sender)), *ends.get(sender));
                let part = self.body((id, sender), transaction, half, from, sink)?;
                if sender == Role::Client {
                    self.part(part, half, (from.0, places), sink);
                }
            }
        }
        Ok(())
    }

    /// Remembers a request's body that may be a part of an upload.
    fn part(
        &mut self,
        part: UploadPart,
        half: &Half,
        (stream, places): (&Stream, &Places),
        sink: &mut dyn Sink,
    ) {
        let name = half.head.as_ref().filter(|_| half.may_be_part()).map(Facts::part);
        if let Some(told) = name.and_then(|name| part.told(&name, BODY, (stream, &half.content))) {
            sink.part(part.transaction, self.client, &told);
        }
        let wanted = name.filter(|name| self.uploads.wants(name, part.torn));
        let place =
            |gathered: &mut Gathered, name: Name| Some((name, gathered.add(stream, places, &half.content)));
        let refused = match wanted.and_then(|name| place(&mut self.gathered, name)) {
            Some((name, Some(content))) => {
                self.uploads.take(name, UploadPart { content: vec![content], ..part })
            }
            Some((_, None)) => {
                self.uploads.refuse();
                part.withheld
            }
            None => part.withheld,
        };
        let mut out = self.out(Role::Client, stream, sink);
        out.say(refused);
        *self.tallies.get_mut(Role::Client) = out.tally();
    }

    /// Reads the frames of one direction.
    fn read(
        &mut self,
        (id, sender): (u64, Role),
        kept: Kept,
        (stream, ended): (&Stream, Ended),
        transaction: &mut Option<TransactionId>,
        shared: &mut Shared,
        sink: &mut dyn Sink,
    ) -> Result<Half, ReadError> {
        let Kept { reading, mut parser, seen, half } = kept;
        let opening = if seen == 0 { parser.wanted() } else { 0 };
        let out = self.out(sender, stream, sink);
        let on = On { id, sender, reading, pushes: &self.pushes };
        let mut side = Side::new(out, on, half, (&mut self.session, &mut self.promised, shared), transaction);
        let mut reader = stream.reader();
        while side.over.is_none() {
            if reader.offset() >= seen.max(opening) {
                reader.skip_to(parser.wanted());
            }
            let Some(chunk) = reader.next_chunk()? else { break };
            let Chunk::Bytes { range, data } = chunk else {
                if let Chunk::Gap(gap) = chunk
                    && gap.end > seen
                {
                    parser.push(&Chunk::Gap(ByteRange::new(gap.start.max(seen), gap.end)), &mut side);
                }
                continue;
            };
            let bytes = Bytes::wire(data, range);
            let cut = |until: u64| {
                let at = usize::try_from(until.saturating_sub(range.start)).unwrap_or(usize::MAX);
                bytes.split(at.min(data.len()))
            };
            // A hole of an earlier flow is filled: what stands around it was read without it.
            let (late, new) = cut(seen);
            side.late(late);
            side.opening(cut(opening).0);
            if !new.data.is_empty() {
                parser.push(&Chunk::Bytes { range: new.from, data: new.data }, &mut side);
            }
        }
        if let Some(from) = side.over {
            side.rest(from)?;
        }
        let (half, tally) = side.finish(parser.is_between_frames() && parser.wanted() <= captured(stream));
        *self.tallies.get_mut(sender) = tally;
        if ended.length.is_none_or(|length| length > captured(stream)) && half.is_sound() {
            let seen = captured(stream).max(seen);
            let half = half.going_on(seen);
            self.session.keep(id, sender, Kept { reading, parser, seen, half });
        }
        Ok(half)
    }

    /// A CONNECT: what goes through is a conversation of its own (RFC 9114 section 4.4, RFC 9220).
    fn tunnel(
        &mut self,
        (id, transaction): (u64, TransactionId),
        conversation: &Conversation<'_>,
        halves: &ByRole<Half>,
        shared: &mut Shared,
        sink: &mut dyn Sink,
    ) -> Result<(), ReadError> {
        let heads = (halves.client.head.as_ref(), halves.server.head.as_ref());
        let upgrade = facts::upgrade(heads, transaction, self.client);
        let cut = |direction: Direction| {
            let role = if direction == self.client { Role::Client } else { Role::Server };
            let param = Some(format!("stream {id}"));
            Wrap::parts(conversation.stream(direction), &halves.get(role).content, "http3.data", param)
        };
        let ((up, up_wrap), (down, down_wrap)) = (cut(Direction::Up), cut(Direction::Down));
        let inner = Conversation { up: &up, down: &down, ..*conversation };
        let mut within = Within::new(sink, &up_wrap, &down_wrap);
        match self.context.inside(None) {
            Some(context) => application(&inner, &context.upgraded(upgrade.as_ref()), shared, &mut within),
            None => raw::streams(&inner, self.context.limits, &mut within),
        }
    }

    /// The content of one direction.
    fn body(
        &mut self,
        (id, sender): (u64, Role),
        transaction: TransactionId,
        half: &Half,
        (outer, ended): (&Stream, Ended),
        sink: &mut dyn Sink,
    ) -> Result<UploadPart, ReadError> {
        let direction = self.direction(sender);
        let (inner, wrap) = Wrap::parts(outer, &half.content, "http3.data", Some(format!("stream {id}")));
        let mut within = Within::new(sink, &wrap, &wrap);
        let mut out = self.out(sender, &inner, &mut within);
        out.transaction = Some(transaction);
        let begins = half.head.is_some() && half.before == 0;
        let declared = half.head.as_ref().map(Facts::declared).unwrap_or_default();
        let (bytes, gapped, torn) = if begins {
            if sender == Role::Client && half.may_be_part() {
                out.withhold();
            }
            let mut body = Body::whole(BODY, declared.clone());
            let mut reader = inner.reader();
            while let Some(chunk) = reader.next_chunk()? {
                match chunk {
                    Chunk::Bytes { range, data } => body.push(&mut out, Part::Data, data, range),
                    Chunk::Gap(gap) => body.gap(&mut out, gap),
                }
            }
            let Finished { range, gapped, torn } = body.finish(&mut out)?;
            (range.len(), gapped, torn)
        } else {
            // Its start came in another flow, or its head is missing.
            (after_gap(&inner, half.before, &mut out)?, true, None)
        };
        let withheld = out.withheld();
        let announced = half.head.as_ref().and_then(Facts::length);
        let ends = ended.whole && half.between_frames && ended.length == Some(captured(outer));
        let complete = ends && half.is_sound() && !gapped;
        let last = inner.end().checked_sub(1);
        if !complete && !gapped {
            let how = match ended {
                Ended { reset: true, .. } => "it is reset",
                _ if !half.is_sound() => "frames are lost",
                _ => "its end is not there",
            };
            let detail = format!("the body on stream {id} has {bytes} bytes when {how}");
            out.anomaly(AnomalyKind::HttpBodyIncomplete, last, detail);
        } else if let Some(announced) = announced.filter(|&length| complete && length != bytes) {
            let detail = format!("{announced} bytes are announced on stream {id}, {bytes} came");
            out.anomaly(AnomalyKind::HttpAmbiguousLength, Some(0), detail);
        }
        *self.tallies.get_mut(sender) = out.tally();
        if let Some(place) = half.length.as_ref().filter(|_| complete).and_then(|length| length.of(bytes)) {
            sink.place(direction, place, Place::Understood);
        }
        let end = if complete { BodyEnd::Complete } else { BodyEnd::Incomplete };
        sink.body_end(transaction, direction, end, bytes);
        let (form, range, content) = (Form::Stream(id), ByteRange::new(0, bytes), Vec::new());
        Ok(UploadPart { transaction, form, range, content, complete, gapped, declared, torn, withheld })
    }
}

/// Content whose start is not there, behind `before` bytes.
fn after_gap(stream: &Stream, before: u64, out: &mut Out<'_>) -> Result<u64, ReadError> {
    Stage::after_gap(BODY, before).whole(stream, out)?;
    Ok(stream.end())
}

/// A stream without anything taken off.
fn as_it_stands(
    stream: &Stream,
    mut raw: Raw,
    place: Option<Place>,
    out: &mut Out<'_>,
) -> Result<(), ReadError> {
    let mut reader = stream.reader();
    while let Some(chunk) = reader.next_chunk()? {
        match chunk {
            Chunk::Bytes { range, data } => {
                raw.write(out, data, range);
                if let Some(place) = place {
                    out.place(range, place);
                }
            }
            Chunk::Gap(_) => raw.close(out),
        }
    }
    raw.close(out);
    Ok(())
}

/// One past the last byte that was captured.
fn captured(stream: &Stream) -> u64 {
    stream.pieces.last().map_or(0, |piece| piece.range.end)
}

/// What a unidirectional stream is for, and where its type ends; `None` where that was not captured.
fn begins(stream: &Stream) -> Result<Option<Kept>, ReadError> {
    let mut held = Vec::new();
    let mut reader = stream.reader();
    while let Some(Chunk::Bytes { data, .. }) = reader.next_chunk()? {
        held.extend(data.iter().take(LONGEST_OPENING - held.len()));
        let Some((purpose, mut end)) = Purpose::of(&held) else { continue };
        let mut reading = Reading::from(purpose);
        if let Reading::Push(push) = &mut reading {
            let mut cursor = Cursor::from(&held, end);
            let Some(number) = cursor.varint() else { continue };
            (*push, end) = (number, cursor.at());
        }
        return Ok(Some(Kept::new(reading, end as u64)));
    }
    Ok(None)
}

/// Entries of a table on their way into leaves: what is put in and never referred to is searched as well.
#[derive(Default)]
struct Inserts {
    name: String,
    fields: Vec<(String, Vec<u8>)>,
    size: usize,
    range: Option<ByteRange>,
}

impl Inserts {
    fn push(&mut self, name: Option<&[u8]>, value: Option<&[u8]>) {
        let name = name.map_or_else(|| "?".to_owned(), text);
        let value = value.unwrap_or_default().to_vec();
        self.size += name.len() + value.len();
        self.fields.push((name, value));
    }

    /// What was put in last came from here.
    fn from(&mut self, range: ByteRange) {
        let all = self.range.get_or_insert(range);
        all.end = all.end.max(range.end);
    }

    fn flush(&mut self, out: &mut Out<'_>) {
        let (fields, range) = (std::mem::take(&mut self.fields), self.range.take().unwrap_or_default());
        self.size = 0;
        if !fields.is_empty() {
            heads::list(out, ("qpack.inserts", &self.name), range, &fields);
        }
    }
}
