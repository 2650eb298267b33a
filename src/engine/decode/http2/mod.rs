//! HTTP/2 conversations: frames of both directions, then the content of each stream.
//!
//! A direction's header blocks are decoded on their own: a sender says in them when it changes the size of its
//! table, so the other side's settings only tell whether it was allowed to. The content of a stream is its DATA cut
//! out of the connection by reference, and a body as any other.

mod exchange;
mod side;
mod usual;

use crate::{
    engine::{
        codec::Part,
        net::stream::{Chunk, Stream},
        proto::{
            http1::Role,
            http2::{self, Handler, PREFACE, Parser, Start},
        },
    },
    evidence::{AnomalyKind, ByteRange, Direction, Limits, ReadError},
};

use super::{
    Context, Conversation, Shared, application,
    body::{Body, Finished},
    facts::Facts,
    layers::{Out, Stage, Tally},
    opening::Openings,
    parts::{Around, Form, Part as UploadPart, Uploads},
    raw::Raw,
    sink::{BodyEnd, Place, Sink, TransactionId},
    within::{Within, Wrap},
};
use exchange::{End, Exchange, Exchanges, Half};
use side::{Announced, Side};

/// How far into a stream whose start is missing frames are looked for: three of the usual 16 KiB stand anywhere in it.
const SCAN: u64 = 256 << 10;

/// The step that gives the content of a stream.
const BODY: &str = "http2.body";

/// Tunnels of one connection that are walked. Browsers open one for each WebSocket; more are searched as content.
const MAX_TUNNELS: u32 = 256;

/// The direction of the client, if the conversation begins as HTTP/2 does.
pub(super) fn client(
    conversation: &Conversation<'_>,
    openings: &Openings,
) -> Result<Option<Direction>, ReadError> {
    let preface = |bytes: &[u8]| {
        let both = bytes.iter().zip(PREFACE).all(|(byte, expected)| byte == expected);
        if !both { Some(false) } else { (bytes.len() >= PREFACE.len()).then_some(true) }
    };
    let opens = |side, test: fn(&[u8]) -> Option<bool>| {
        let opening = openings.side(side);
        let verdict = if opening.from_start { opening.test(conversation.stream(side), test)? } else { None };
        Ok::<bool, ReadError>(verdict == Some(true))
    };
    let sides = [Direction::Up, Direction::Down];
    for side in sides {
        if opens(side, preface)? {
            return Ok(Some(side));
        }
    }
    for side in sides {
        if opens(side, http2::begins_server)? {
            return Ok(Some(side.other()));
        }
    }
    Ok(None)
}

/// The same of a conversation whose start was not captured, where frames follow each other. Asked last: the rest
/// of a photo may hold bytes that look like frames, and what its other direction says goes before.
pub(super) fn late_client(conversation: &Conversation<'_>) -> Result<Option<Direction>, ReadError> {
    for side in [Direction::Up, Direction::Down] {
        let stream = conversation.stream(side);
        if !starts(stream) && holds_frames(stream)? {
            // Which side is the client isn't known; that of requests is, if there are any.
            return Ok(Some(Direction::Up));
        }
    }
    Ok(None)
}

/// Whether the first byte of the stream was captured.
fn starts(stream: &Stream) -> bool {
    stream.from_start && stream.gaps.first().is_none_or(|gap| gap.start > 0)
}

fn holds_frames(stream: &Stream) -> Result<bool, ReadError> {
    let mut found = Found(false);
    let mut parser = Parser::new(Start::Anywhere);
    let mut reader = stream.reader();
    while let Some(chunk) = reader.next_chunk()? {
        parser.push(&chunk, &mut found);
        if found.0 || reader.offset() > SCAN {
            return Ok(found.0);
        }
    }
    parser.finish(&mut found);
    Ok(found.0)
}

struct Found(bool);

impl Handler for Found {
    fn framing(&mut self, _: &[u8], _: ByteRange) {}

    fn preface(&mut self, _: ByteRange) {}

    fn frame(&mut self, _: &http2::Header, _: u64) {}

    fn data(&mut self, _: &http2::Header, _: ByteRange) {}

    fn padding(&mut self, _: ByteRange, _: bool) {}

    fn payload(&mut self, _: &http2::Header, _: &[u8], _: ByteRange) {}

    fn block(&mut self, _: &http2::Block<'_>) {}

    fn lost(&mut self, _: u64) {}

    fn found(&mut self, _: u64) {
        self.0 = true;
    }

    fn malformed(&mut self, _: u64, _: String) {}

    fn too_large(&mut self, _: u64, _: String) {}
}

/// Walks a conversation whose client sends in direction `client`. Where HTTP/1 turned into it, stream 1 answers the
/// request that asked for it (RFC 7540 section 3.2).
pub(super) fn walk(
    conversation: &Conversation<'_>,
    client: Direction,
    context: &Context<'_>,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    sink.protocol("http2");
    let mut exchanges = Exchanges::default();
    let upgrade = context.upgrade.filter(|upgrade| upgrade.protocol == "h2c");
    if let Some(upgrade) = upgrade
        && let Ok(first) = exchanges.get(1)
    {
        first.transaction = Some(upgrade.request);
        let half = first.half(Role::Requests);
        (half.head, half.end) = (Some(Facts::default()), End::Complete);
    }
    let mut connection = Connection {
        conversation,
        client,
        context,
        tallies: [Tally::new(context.limits), Tally::new(context.limits)],
        raw_from: [None, None],
        tunnels: 0,
        uploads: Uploads::default(),
    };
    let mut requests = connection.read(Role::Requests, &mut exchanges, shared, sink)?;
    if let Some(upgrade) = upgrade {
        requests.table = requests.table.max(side::table(&upgrade.settings));
    }
    let responses = connection.read(Role::Responses, &mut exchanges, shared, sink)?;
    connection.hold_to(requests, Role::Responses, responses, sink);
    connection.hold_to(responses, Role::Requests, requests, sink);
    for (stream, exchange) in exchanges.all {
        connection.exchange(stream, exchange, shared, sink)?;
    }
    connection.join(sink)?;
    connection.rest(Role::Requests, sink)?;
    connection.rest(Role::Responses, sink)
}

/// A connection while it is walked.
struct Connection<'c> {
    conversation: &'c Conversation<'c>,
    client: Direction,
    context: &'c Context<'c>,
    /// Of the client's direction, then of the server's.
    tallies: [Tally; 2],
    /// From where on each direction is searched as it stands.
    raw_from: [Option<u64>; 2],
    tunnels: u32,
    /// Bodies of requests that may be parts of something.
    uploads: Uploads,
}

impl<'c> Connection<'c> {
    fn direction(&self, role: Role) -> Direction {
        match role {
            Role::Requests => self.client,
            Role::Responses => self.client.other(),
        }
    }

    fn stream(&self, role: Role) -> &'c Stream {
        self.conversation.stream(self.direction(role))
    }

    fn tally(&mut self, role: Role) -> &mut Tally {
        let [client, server] = &mut self.tallies;
        if role == Role::Requests { client } else { server }
    }

    /// Writes to a stream of one side.
    fn out<'o>(&mut self, role: Role, stream: &'o Stream, sink: &'o mut dyn Sink) -> Out<'o>
    where
        'c: 'o,
    {
        let limits: &'c Limits = self.context.limits;
        let tally = self.tally(role).clone();
        Out::going_on(sink, stream, self.direction(role), limits, tally)
    }

    /// Reads the frames of one side.
    fn read(
        &mut self,
        role: Role,
        exchanges: &mut Exchanges,
        shared: &mut Shared,
        sink: &mut dyn Sink,
    ) -> Result<Announced, ReadError> {
        let stream = self.stream(role);
        let out = self.out(role, stream, sink);
        let mut side = Side::new(out, role, exchanges, shared);
        let start = match role {
            _ if !starts(stream) => Start::Anywhere,
            Role::Requests => Start::Preface,
            Role::Responses => Start::Frames,
        };
        if start == Start::Anywhere && stream.end() > 0 {
            side.lose(0);
        }
        let mut parser = Parser::new(start);
        let mut reader = stream.reader();
        while !side.over {
            reader.skip_to(parser.wanted());
            let Some(chunk) = reader.next_chunk()? else { break };
            parser.push(&chunk, &mut side);
        }
        parser.finish(&mut side);
        side.finish();
        let (announced, raw_from) = (side.announced, side.raw_from);
        *self.tally(role) = side.out.tally();
        let [client, server] = &mut self.raw_from;
        *(if role == Role::Requests { client } else { server }) = raw_from;
        Ok(announced)
    }

    /// Holds a side to what the other one announced (RFC 7541 section 4.2), where all of that was seen.
    fn hold_to(&mut self, other: Announced, role: Role, side: Announced, sink: &mut dyn Sink) {
        let most = u64::from(other.table.unwrap_or_default()).max(crate::engine::proto::hpack::DEFAULT_SIZE);
        if other.all_seen && side.used > most {
            let detail = format!("HPACK: a table of {} bytes, where {most} are allowed", side.used);
            let mut out = self.out(role, self.stream(role), sink);
            out.anomaly(AnomalyKind::Http2Malformed, None, detail);
            *self.tally(role) = out.tally();
        }
    }

    /// Walks the content of a stream.
    fn exchange(
        &mut self,
        stream: u32,
        mut exchange: Exchange,
        shared: &mut Shared,
        sink: &mut dyn Sink,
    ) -> Result<(), ReadError> {
        let has_content = |half: &Half| !half.content.is_empty() || !half.late.is_empty();
        let roles = [Role::Requests, Role::Responses];
        if !roles.iter().any(|role| has_content(exchange.half(*role))) {
            return Ok(());
        }
        let transaction = exchange.transaction.unwrap_or_else(|| shared.transaction());
        let whole = roles.iter().all(|role| exchange.half(*role).late.is_empty());
        if exchange.is_tunnel() && whole && self.tunnels < MAX_TUNNELS {
            self.tunnels += 1;
            return self.tunnel(stream, &mut exchange, transaction, shared, sink);
        }
        for role in roles {
            let half = std::mem::take(exchange.half(role));
            if has_content(&half) {
                let part = self.body(stream, role, transaction, &half, sink)?;
                let refused = match half.name.filter(|_| half.late.is_empty()) {
                    Some(name) => {
                        if let Some(told) = part.told(&name, BODY, (self.stream(role), &half.content)) {
                            sink.part(transaction, self.direction(role), &told);
                        }
                        self.uploads.take(name, UploadPart { content: half.content, ..part })
                    }
                    None => part.withheld,
                };
                let mut out = self.out(role, self.stream(role), sink);
                out.say(refused);
                *self.tally(role) = out.tally();
            }
        }
        Ok(())
    }

    /// A CONNECT: what goes through is a conversation of its own.
    fn tunnel(
        &mut self,
        stream: u32,
        exchange: &mut Exchange,
        transaction: TransactionId,
        shared: &mut Shared,
        sink: &mut dyn Sink,
    ) -> Result<(), ReadError> {
        let upgrade = exchange.upgrade(transaction, self.client);
        let mut cut = |role| {
            let param = Some(format!("stream {stream}"));
            let content = &exchange.half(role).content;
            Wrap::parts(self.stream(role), content, "http2.data", param)
        };
        let ((client, client_wrap), (server, server_wrap)) = (cut(Role::Requests), cut(Role::Responses));
        let up_is_client = self.client == Direction::Up;
        let (up, down) = if up_is_client { (&client, &server) } else { (&server, &client) };
        let (up_wrap, down_wrap) =
            if up_is_client { (&client_wrap, &server_wrap) } else { (&server_wrap, &client_wrap) };
        let inner = Conversation { up, down, ..*self.conversation };
        let mut within = Within::new(sink, up_wrap, down_wrap);
        match self.context.inside(None) {
            Some(context) => application(&inner, &context.upgraded(upgrade.as_ref()), shared, &mut within),
            None => super::raw::streams(&inner, self.context.limits, &mut within),
        }
    }

    /// The content of one side of a stream.
    fn body(
        &mut self,
        stream: u32,
        role: Role,
        transaction: TransactionId,
        half: &Half,
        sink: &mut dyn Sink,
    ) -> Result<UploadPart, ReadError> {
        let outer = self.stream(role);
        let param = || Some(format!("stream {stream}"));
        let (inner, wrap) = Wrap::parts(outer, &half.content, "http2.data", param());
        let direction = self.direction(role);
        let mut within = Within::new(sink, &wrap, &wrap);
        let mut out = self.out(role, &inner, &mut within);
        out.transaction = Some(transaction);
        let declared = half.head.as_ref().map(Facts::declared).unwrap_or_default();
        if half.name.is_some() {
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
        let withheld = out.withheld();
        let announced = half.head.as_ref().and_then(Facts::length);
        let complete = half.end == End::Complete && half.late.is_empty() && !gapped;
        if !complete && !gapped {
            let how = match half.end {
                End::Reset => "it is reset",
                End::Torn => "frames are lost",
                End::Open | End::Complete => "its end is not there",
            };
            let detail = format!("the body on stream {stream} has {} bytes when {how}", range.len());
            out.anomaly(AnomalyKind::HttpBodyIncomplete, range.end.checked_sub(1), detail);
        } else if let Some(announced) = announced.filter(|&length| complete && length != range.len()) {
            let detail = format!("{announced} bytes are announced on stream {stream}, {} came", range.len());
            out.anomaly(AnomalyKind::HttpAmbiguousLength, Some(range.start), detail);
        }
        *self.tally(role) = out.tally();
        let mut bytes = range.len();
        if !half.late.is_empty() {
            let (late, wrap) = Wrap::parts(outer, &half.late, "http2.data", param());
            let mut within = Within::new(sink, &wrap, &wrap);
            let mut out = self.out(role, &late, &mut within);
            out.transaction = Some(transaction);
            self.late(&late, bytes, &mut out)?;
            *self.tally(role) = out.tally();
            bytes += late.present();
        }
        if let Some(place) = half.length.as_ref().filter(|_| complete).and_then(|length| length.of(bytes)) {
            sink.place(direction, place, Place::Understood);
        }
        let end = if complete { BodyEnd::Complete } else { BodyEnd::Incomplete };
        sink.body_end(transaction, direction, end, bytes);
        let (form, content) = (Form::Stream(u64::from(stream)), Vec::new());
        Ok(UploadPart { transaction, form, range, content, complete, gapped, declared, torn, withheld })
    }

    /// Reads bodies that are parts of one as one.
    fn join(&mut self, sink: &mut dyn Sink) -> Result<(), ReadError> {
        let uploads = std::mem::take(&mut self.uploads);
        let stream = self.stream(Role::Requests);
        let around =
            Around { stream, direction: self.client, limits: self.context.limits, op: BODY, places: None };
        let tally = self.tally(Role::Requests).clone();
        *self.tally(Role::Requests) = uploads.finish(&around, tally, sink)?;
        Ok(())
    }

    /// Content that comes after frames were lost, behind `before` bytes and a part that nobody knows the length of.
    fn late(&self, stream: &Stream, before: u64, out: &mut Out<'_>) -> Result<(), ReadError> {
        Stage::after_gap(BODY, before).whole(stream, out)
    }

    /// What is searched as it stands, since frames were lost before it.
    fn rest(&mut self, role: Role, sink: &mut dyn Sink) -> Result<(), ReadError> {
        let [client, server] = self.raw_from;
        let Some(from) = (if role == Role::Requests { client } else { server }) else { return Ok(()) };
        let stream = self.stream(role);
        let mut out = self.out(role, stream, sink);
        let mut raw = Raw::default();
        let mut reader = stream.reader();
        reader.skip_to(from);
        while let Some(chunk) = reader.next_chunk()? {
            match chunk {
                Chunk::Bytes { range, data } => {
                    let skip = usize::try_from(from.saturating_sub(range.start)).unwrap_or(usize::MAX);
                    let data = data.get(skip..).unwrap_or_default();
                    raw.write(&mut out, data, ByteRange::new(range.end - data.len() as u64, range.end));
                }
                Chunk::Gap(_) => raw.close(&mut out),
            }
        }
        raw.close(&mut out);
        *self.tally(role) = out.tally();
        Ok(())
    }
}
