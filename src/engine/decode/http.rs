//! HTTP/1 conversations: requests, then the responses that answer them.

use std::collections::VecDeque;

use crate::{
    engine::{
        codec::Part,
        net::stream::{Chunk, Stream},
        proto::{
            http1::{
                Asked, Framing, Handler, Head, Parser, Role, StartLine, request_framing, response_framing,
            },
            tls,
        },
    },
    evidence::{AnomalyKind, ByteRange, Direction, Limits, ReadError, Timestamp},
};

use super::{
    Conversation, Shared,
    body::Body,
    heads,
    layers::Out,
    names::TunnelledHellos,
    raw::Raw,
    sink::{BodyEnd, Place, RequestHead, ResponseHead, Sink, TransactionId},
};

/// Walks a conversation whose requests go in direction `requests`.
pub(super) fn walk(
    conversation: &Conversation<'_>,
    requests: Direction,
    limits: &Limits,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    sink.protocol("http1");
    let responses = requests.other();
    let mut exchange = Exchange::default();
    for (direction, role) in [(requests, Role::Requests), (responses, Role::Responses)] {
        let stream = conversation.stream(direction);
        let mut side = Side {
            out: Out::new(sink, stream, direction, limits),
            exchange: &mut exchange,
            shared,
            body: None,
            raw: Raw::unknown(),
            tunnelled: None,
            result: Ok(()),
        };
        side.exchange.broken |= !stream.from_start;
        let mut parser = Parser::new(role, stream.from_start);
        let mut reader = stream.reader();
        while let Some(chunk) = reader.next_chunk()? {
            parser.push(&chunk, &mut side);
            std::mem::replace(&mut side.result, Ok(()))?;
        }
        parser.finish(&mut side);
        side.raw.close(&mut side.out);
        side.result?;
    }
    Ok(())
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

/// Requests of one connection that are remembered for their responses: 24 MiB of them. Servers close a
/// connection after some thousands.
const MAX_OPEN: usize = 1 << 20;

/// What one direction leaves for the other.
#[derive(Debug, Default)]
struct Exchange {
    /// Requests without a response so far.
    open: VecDeque<Request>,
    /// Whether messages may be missing, so that the order alone does not pair them.
    broken: bool,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    id: TransactionId,
    asked: Asked,
    sent: Timestamp,
}

impl Exchange {
    /// The request that a response at `time` answers.
    fn answered(&mut self, time: Timestamp, interim: bool) -> Option<Request> {
        if self.broken {
            // The last request that was sent before; what stands before it lost its response.
            let sent = self.open.iter().take_while(|request| request.sent <= time).count();
            self.open.drain(..sent.saturating_sub(1));
            if sent == 0 {
                return None;
            }
        }
        if interim { self.open.front().copied() } else { self.open.pop_front() }
    }
}

/// One direction while it is read.
struct Side<'s, 'e> {
    out: Out<'s>,
    exchange: &'e mut Exchange,
    shared: &'e mut Shared,
    body: Option<Body>,
    raw: Raw,
    /// Looks for hellos in bytes that are no HTTP: through a proxy, TLS follows a CONNECT.
    tunnelled: Option<tls::Parser>,
    result: Result<(), ReadError>,
}

impl Side<'_, '_> {
    fn time(&self, range: ByteRange) -> Timestamp {
        self.out.stream.times(range).map(|(_, last)| last).unwrap_or_default()
    }

    fn request(&mut self, head: &Head<'_>, method: &[u8], uri: &[u8]) -> (Framing, Option<&'static str>) {
        let transaction = self.shared.transaction();
        self.out.transaction = Some(transaction);
        let sent = self.time(head.range());
        if self.exchange.open.len() < MAX_OPEN {
            self.exchange.open.push_back(Request { id: transaction, asked: Asked::of(head), sent });
        } else {
            let detail = format!("more than {MAX_OPEN} requests in one connection; responses are not paired");
            self.out.anomaly(AnomalyKind::LimitReached, Some(head.at), detail);
        }
        self.out.sink.request(&RequestHead {
            transaction,
            method: String::from_utf8_lossy(method).into_owned(),
            uri: uri.to_vec(),
            version: head.version(),
            fields: heads::fields(head),
            range: head.range(),
            frame: self.out.frame(head.range().start),
            direction: self.out.direction,
            protocol: "http1",
            stream: None,
        });
        request_framing(head)
    }

    fn response(&mut self, head: &Head<'_>, status: u16) -> (Framing, Option<&'static str>) {
        let interim = (100..200).contains(&status) && status != 101;
        let request = self.exchange.answered(self.time(head.range()), interim);
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
        response_framing(head, request.map_or(Asked::Other, |request| request.asked))
    }
}

impl Handler for Side<'_, '_> {
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
        if head.folded {
            let detail = "a field line is folded; it was read as one line".to_owned();
            self.out.anomaly(AnomalyKind::HttpMalformed, at, detail);
        }
        heads::leaves(&mut self.out, head, framing);
        let has_body = matches!(framing, Framing::Length(_) | Framing::Chunked | Framing::UntilClose);
        self.body = has_body.then(|| Body::new(head, framing));
        framing
    }

    fn body(&mut self, part: Part, bytes: &[u8], range: ByteRange) {
        if let Some(body) = &mut self.body {
            body.push(&mut self.out, part, bytes, range);
        }
    }

    fn body_gap(&mut self, gap: ByteRange) {
        if let Some(body) = &mut self.body {
            body.gap(&mut self.out, gap);
        }
    }

    fn body_end(&mut self, complete: bool) {
        let Some(body) = self.body.take() else { return };
        let (range, gapped) = match body.finish(&mut self.out) {
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
        let end = if complete && !gapped { BodyEnd::Complete } else { BodyEnd::Incomplete };
        if let Some(transaction) = self.out.transaction {
            self.out.sink.body_end(transaction, self.out.direction, end, range.len());
        }
    }

    fn raw(&mut self, bytes: &[u8], range: ByteRange) {
        self.out.transaction = None;
        if !self.raw.is_open() {
            self.tunnelled = Some(tls::Parser::new());
        }
        if let Some(parser) = &mut self.tunnelled {
            parser.push(&Chunk::Bytes { range, data: bytes }, &mut TunnelledHellos(&mut self.out));
        }
        self.raw.write(&mut self.out, bytes, range);
        self.out.place(range, Place::Opaque);
    }

    fn raw_gap(&mut self, gap: ByteRange) {
        if let Some(parser) = &mut self.tunnelled {
            parser.push(&Chunk::Gap(gap), &mut TunnelledHellos(&mut self.out));
        }
        self.exchange.broken = true;
        self.raw.close(&mut self.out);
    }

    fn malformed(&mut self, at: u64, why: String) {
        self.exchange.broken = true;
        self.out.anomaly(AnomalyKind::HttpMalformed, Some(at), why);
    }
}
