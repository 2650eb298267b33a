//! HTTP/1 conversations: requests, then the responses that answer them.

use crate::{
    engine::{
        codec::Part,
        net::stream::{Chunk, Stream},
        proto::{
            http1::{
                Asked, Framing, Handler, Head, Next, Parser, Role, StartLine, asks_to_switch,
                request_framing, response_framing,
            },
            tls,
        },
    },
    evidence::{AnomalyKind, ByteRange, Direction, ReadError, Timestamp},
};

use super::{
    Context, Conversation, Shared,
    body::{self, Body, Finished},
    heads,
    layers::Out,
    names::TunnelledHellos,
    parts::{self, Name, Part as UploadPart, Uploads},
    raw::Raw,
    rest,
    sink::{BodyEnd, Place, RequestHead, ResponseHead, Sink, TransactionId},
    upgrade::{Answer, Answers, Exchange, MAX_OPEN, Request, Upgrade, is_interim},
};

/// The step that gives a body.
const BODY: &str = "http1.body";

/// Walks a conversation whose requests go in direction `requests`. Where both ends agree on another protocol, what
/// follows is a conversation of its own.
pub(super) fn walk(
    conversation: &Conversation<'_>,
    requests: Direction,
    context: &Context<'_>,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    sink.protocol("http1");
    let (client, server) = (conversation.stream(requests), conversation.stream(requests.other()));
    let mut connection = Connection::new(server);
    let by_client = read(client, requests, Role::Requests, &mut connection, context, shared, sink)?;
    let by_server = read(server, requests.other(), Role::Responses, &mut connection, context, shared, sink)?;
    let Connection { upgrade, is_tunnel, .. } = connection;
    if by_client.is_none() && by_server.is_none() {
        return Ok(());
    }
    // Of a side whose messages do not say where the other protocol begins nothing is left.
    let from = (by_client.unwrap_or_else(|| client.end()), by_server.unwrap_or_else(|| server.end()));
    let op = if is_tunnel { "http1.connect" } else { "http1.upgrade" };
    let inside = context.inside(None).map(|inside| inside.upgraded(upgrade.as_ref()));
    rest::walk_in(conversation, requests, (from, op), context.limits, inside.as_ref(), shared, sink)
}

/// Reads one direction; gives where another protocol begins in it.
fn read(
    stream: &Stream,
    direction: Direction,
    role: Role,
    connection: &mut Connection<'_>,
    context: &Context<'_>,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<Option<u64>, ReadError> {
    connection.exchange.broken |= !stream.from_start;
    let mut side = Side {
        out: Out::new(sink, stream, direction, context.limits),
        connection,
        shared,
        body: None,
        raw: Raw::unknown(),
        loose: None,
        next: Next::Head,
        switched: None,
        uploads: Uploads::default(),
        part: None,
        result: Ok(()),
    };
    let mut parser = Parser::new(role, stream.from_start);
    let mut reader = stream.reader();
    while !parser.is_switched()
        && let Some(chunk) = reader.next_chunk()?
    {
        parser.push(&chunk, &mut side);
        std::mem::replace(&mut side.result, Ok(()))?;
    }
    parser.finish(&mut side);
    side.raw.close(&mut side.out);
    let withheld = side.out.withheld();
    side.out.say(withheld);
    let Side { out, uploads, switched, result, .. } = side;
    result?;
    let tally = out.tally();
    let around = parts::Around { stream, direction, limits: context.limits, op: BODY, places: None };
    uploads.finish(&around, tally, sink)?;
    Ok(switched)
}

/// Whether a message of this side starts at any line within the first `limit` bytes.
pub(super) fn has_message(stream: &Stream, role: Role, limit: u64) -> Result<bool, ReadError> {
    let mut found = Found(false);
    let mut parser = Parser::new(role, false);
    let mut reader = stream.reader();
    while let Some(chunk) = reader.next_chunk()? {
        parser.push(&chunk, &mut found);
        if found.0 || reader.offset() > limit {
            break;
        }
    }
    Ok(found.0)
}

struct Found(bool);

impl Handler for Found {
    fn head(&mut self, _: &Head<'_>) -> Framing {
        self.0 = true;
        Framing::Tunnel
    }

    fn body(&mut self, _: Part, _: &[u8], _: ByteRange) {}

    fn body_gap(&mut self, _: ByteRange) {}

    fn body_end(&mut self, _: bool) {}

    fn raw(&mut self, _: &[u8], _: ByteRange) {}

    fn raw_gap(&mut self, _: ByteRange) {}

    fn malformed(&mut self, _: u64, _: String) {}
}

/// What both directions share.
struct Connection<'s> {
    exchange: Exchange,
    /// Requests that the responses so far answer.
    answered: usize,
    answers: Answers<'s>,
    /// What was agreed on.
    upgrade: Option<Upgrade>,
    /// Whether the last request that asked for another protocol was a CONNECT.
    is_tunnel: bool,
}

impl<'s> Connection<'s> {
    fn new(responses: &'s Stream) -> Self {
        let answers = Answers::new(responses);
        Self { exchange: Exchange::default(), answered: 0, answers, upgrade: None, is_tunnel: false }
    }
}

/// One direction while it is read.
struct Side<'s, 'e, 'r> {
    out: Out<'s>,
    connection: &'e mut Connection<'r>,
    shared: &'e mut Shared,
    body: Option<Body>,
    raw: Raw,
    /// Looks for hellos in bytes that belong to no message.
    loose: Option<tls::Parser>,
    /// What comes after the message.
    next: Next,
    /// Where another protocol begins.
    switched: Option<u64>,
    /// Bodies of requests that may be parts of something.
    uploads: Uploads,
    /// What the body that is read may be a part of, its form, and where its content stands.
    part: Option<(Name, UploadPart)>,
    result: Result<(), ReadError>,
}

impl Side<'_, '_, '_> {
    fn time(&self, range: ByteRange) -> Timestamp {
        self.out.stream.times(range).map(|(_, last)| last).unwrap_or_default()
    }

    fn request(&mut self, head: &Head<'_>, method: &[u8], uri: &[u8]) -> (Framing, Option<&'static str>) {
        let transaction = self.shared.transaction();
        self.out.transaction = Some(transaction);
        let sent = self.time(head.range());
        let requests = &mut self.connection.exchange.requests;
        if requests.len() < MAX_OPEN {
            requests.push(Request { id: transaction, asked: Asked::of(head), sent });
            self.next = self.what_follows(head, transaction);
        } else {
            let detail = format!("more than {MAX_OPEN} requests in one connection; responses are not paired");
            self.out.anomaly(AnomalyKind::LimitReached, Some(head.at), detail);
        }
        let told = RequestHead {
            transaction,
            method: String::from_utf8_lossy(method).into_owned(),
            uri: uri.to_vec(),
            version: head.version(),
            fields: heads::fields(head),
            range: head.range(),
            frame: self.out.frame(head.range().start),
            direction: self.out.direction,
            promised: false,
            protocol: "http1",
            stream: None,
        };
        self.out.request(&told);
        request_framing(head)
    }

    /// What comes after a request, which is the last one so far.
    fn what_follows(&mut self, head: &Head<'_>, transaction: TransactionId) -> Next {
        if !asks_to_switch(head) {
            return Next::Head;
        }
        let Connection { exchange, answers, .. } = &mut *self.connection;
        let answer = answers.of_last(exchange).unwrap_or_else(|error| {
            self.result = Err(error);
            Answer::Unknown
        });
        self.connection.is_tunnel = Asked::of(head) == Asked::Connect;
        let upgrade = &mut self.connection.upgrade;
        let asked = Upgrade::of(head, transaction, self.out.direction);
        match answer {
            Answer::Refused => return Next::Head,
            Answer::Unknown => {
                *upgrade = asked;
                return Next::Perhaps;
            }
            Answer::Agreed(switch) => {
                if let Some(key) = switch.key(head) {
                    self.out.place(key, Place::Understood);
                }
                *upgrade = asked.map(|asked| asked.agreed(&switch));
            }
        }
        Next::Switch
    }

    fn response(&mut self, head: &Head<'_>, status: u16) -> (Framing, Option<&'static str>) {
        let time = self.time(head.range());
        let Connection { exchange, answered, .. } = &mut *self.connection;
        let request = exchange.answered(answered, exchange.broken, time, is_interim(status));
        let transaction = request.map_or_else(|| self.shared.transaction(), |request| request.id);
        self.out.transaction = Some(transaction);
        self.out.sink.response(&ResponseHead {
            transaction,
            status,
            version: head.version(),
            fields: heads::fields(head),
            range: head.range(),
            frame: self.out.frame(head.range().start),
            direction: self.out.direction,
            protocol: "http1",
            stream: None,
        });
        let framing = response_framing(head, request.map_or(Asked::Other, |request| request.asked));
        if framing.0 == Framing::Tunnel && request.is_none() {
            // Only the answer was captured.
            self.connection.upgrade = Upgrade::of(head, transaction, self.out.direction.other());
        }
        framing
    }
}

impl Side<'_, '_, '_> {
    /// What the body of a request may be a part of.
    fn part(&self, head: &Head<'_>, framing: Framing) -> Option<(Name, UploadPart)> {
        let StartLine::Request { method, target } = &head.start else { return None };
        let field = |name: &str| head.values(name).next().map(<[u8]>::to_vec);
        let authority = field("host").unwrap_or_default();
        let name = Name::of(head.text(method), &authority, head.text(target), field);
        let form = if framing == Framing::Chunked { parts::Form::Chunked } else { parts::Form::Plain };
        let part = UploadPart {
            transaction: self.out.transaction?,
            form,
            range: ByteRange::default(),
            content: Vec::new(),
            complete: false,
            gapped: false,
            declared: body::declared(head),
            torn: None,
            withheld: Vec::new(),
        };
        Some((name, part))
    }
}

impl Handler for Side<'_, '_, '_> {
    fn head(&mut self, head: &Head<'_>) -> Framing {
        self.raw.close(&mut self.out);
        let (framing, ambiguous) = match &head.start {
            StartLine::Request { method, target } => self.request(head, head.text(method), head.text(target)),
            StartLine::Response { status } => self.response(head, *status),
        };
        let at = Some(head.range().start);
        if let Some(why) = ambiguous {
            self.out.anomaly(AnomalyKind::HttpAmbiguousLength, at, why.to_owned());
        }
        if let Some(odd) = head.odd {
            self.out.anomaly(AnomalyKind::HttpMalformed, at, format!("HTTP head: {odd}"));
        }
        heads::leaves(&mut self.out, head, framing);
        let has_body = matches!(framing, Framing::Length(_) | Framing::Chunked | Framing::UntilClose);
        self.body = has_body.then(|| Body::new(head, framing));
        self.part = self.body.is_some().then(|| self.part(head, framing)).flatten();
        if self.part.is_some() {
            self.out.withhold();
        }
        framing
    }

    fn body(&mut self, part: Part, bytes: &[u8], range: ByteRange) {
        if let Some(body) = &mut self.body {
            body.push(&mut self.out, part, bytes, range);
        }
        if let Some((_, upload)) = &mut self.part
            && part == Part::Data
        {
            upload.came(range);
        }
    }

    fn body_gap(&mut self, gap: ByteRange) {
        if let Some(body) = &mut self.body {
            body.gap(&mut self.out, gap);
        }
        match &mut self.part {
            // Where its chunks go on is not known.
            Some((_, part)) if part.form == parts::Form::Chunked => self.part = None,
            Some((_, part)) => part.came(gap),
            None => {}
        }
    }

    fn body_end(&mut self, complete: bool) {
        let Some(body) = self.body.take() else { return };
        let Finished { range, gapped, torn } = match body.finish(&mut self.out) {
            Ok(end) => end,
            Err(error) => {
                self.result = Err(error);
                return;
            }
        };
        if !complete {
            let detail = format!("the body ends after {} bytes, before its announced end", range.len());
            self.out.anomaly(AnomalyKind::HttpBodyIncomplete, Some(range.end.saturating_sub(1)), detail);
        }
        let withheld = self.out.withheld();
        let refused = match self.part.take() {
            Some((name, part)) => {
                let part = UploadPart { range, complete, gapped, torn, withheld, ..part };
                if let Some(told) = part.told(&name, BODY, (self.out.stream, &part.content)) {
                    self.out.sink.part(part.transaction, self.out.direction, &told);
                }
                self.uploads.take(name, part)
            }
            None => withheld,
        };
        self.out.say(refused);
        let end = if complete && !gapped { BodyEnd::Complete } else { BodyEnd::Incomplete };
        if let Some(transaction) = self.out.transaction {
            self.out.sink.body_end(transaction, self.out.direction, end, range.len());
        }
    }

    fn message_end(&mut self) -> Next {
        std::mem::replace(&mut self.next, Next::Head)
    }

    fn switched(&mut self, at: u64) {
        self.switched = Some(at);
    }

    fn raw(&mut self, bytes: &[u8], range: ByteRange) {
        self.out.transaction = None;
        if !self.raw.is_open() {
            self.loose = Some(tls::Parser::new());
        }
        if let Some(parser) = &mut self.loose {
            parser.push(&Chunk::Bytes { range, data: bytes }, &mut TunnelledHellos(&mut self.out));
        }
        self.raw.write(&mut self.out, bytes, range);
        self.out.place(range, Place::Opaque);
    }

    fn raw_gap(&mut self, gap: ByteRange) {
        if let Some(parser) = &mut self.loose {
            parser.push(&Chunk::Gap(gap), &mut TunnelledHellos(&mut self.out));
        }
        self.connection.exchange.broken = true;
        self.raw.close(&mut self.out);
    }

    fn malformed(&mut self, at: u64, why: String) {
        self.connection.exchange.broken = true;
        self.out.anomaly(AnomalyKind::HttpMalformed, Some(at), why);
    }
}
