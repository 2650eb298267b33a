//! The change to another protocol within an HTTP/1 connection (RFC 9110 sections 7.8 and 9.3.6): whether it was agreed
//! on, and to what.

use crate::{
    engine::{
        codec::{Base64, Budget, Coding as _, Part},
        net::stream::{Chunk, Stream, StreamReader},
        proto::{
            http1::{Asked, Framing, Handler, Head, Parser, Role, StartLine, response_framing, tokens},
            websocket,
        },
    },
    evidence::{ByteRange, Direction, ReadError, Timestamp},
};

use super::sink::TransactionId;

/// Requests of one connection that are remembered for their responses: 24 MiB of them. Servers close a
/// connection after some thousands.
pub(super) const MAX_OPEN: usize = 1 << 20;

/// Values of an Upgrade or Sec-WebSocket-Extensions field that are kept: offers have some hundred bytes.
const MAX_VALUE: usize = 4 << 10;

/// The payload of SETTINGS in an HTTP2-Settings field: 6 bytes a setting, of which some ten are defined.
const MAX_SETTINGS: u64 = 1 << 10;

/// What both ends speak from some byte on, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Upgrade {
    /// The name of the protocol in lower case: `websocket`, `h2c`.
    pub(super) protocol: String,
    /// The request that asked for it.
    pub(super) request: TransactionId,
    /// Which way that request went.
    pub(super) client: Direction,
    /// Sec-WebSocket-Extensions: what the server chose, or what the client offers where no answer was captured.
    pub(super) extensions: Vec<u8>,
    /// The payload of SETTINGS that stands in HTTP2-Settings (RFC 7540 section 3.2.1).
    pub(super) settings: Vec<u8>,
}

impl Upgrade {
    /// What a request asks for; `None` for a CONNECT, which does not say what will be spoken.
    pub(super) fn of(head: &Head<'_>, request: TransactionId, client: Direction) -> Option<Self> {
        if Asked::of(head) == Asked::Connect {
            return None;
        }
        let settings = head.values("http2-settings").next().map(settings).unwrap_or_default();
        Some(Self {
            protocol: tokens(head.values("upgrade")).into_iter().next()?,
            request,
            client,
            extensions: joined(head, "sec-websocket-extensions"),
            settings,
        })
    }

    /// What was agreed on in the end.
    pub(super) fn agreed(self, switch: &Switch) -> Self {
        Self {
            protocol: switch.protocol.clone().unwrap_or(self.protocol),
            extensions: switch.extensions.clone(),
            ..self
        }
    }
}

/// All values of a field in one, with commas between (RFC 9110 section 5.3).
fn joined(head: &Head<'_>, name: &str) -> Vec<u8> {
    let mut value = head.values(name).collect::<Vec<_>>().join(&b","[..]);
    value.truncate(MAX_VALUE);
    value
}

/// The bytes of a field in base64url without padding.
fn settings(value: &[u8]) -> Vec<u8> {
    let (budget, mut bytes, mut coding) = (Budget::new(MAX_SETTINGS), Vec::new(), Base64::new());
    let mut take = |output: crate::engine::codec::Output<'_>| bytes.extend_from_slice(output.bytes);
    let clean = coding.push(value, &budget, &mut take).and_then(|()| coding.finish(&budget, &mut take));
    clean.map(|()| bytes).unwrap_or_default()
}

/// A request that waits for its response.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) id: TransactionId,
    pub(super) asked: Asked,
    pub(super) sent: Timestamp,
}

/// What one direction leaves for the other.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// Requests in order.
    pub(super) requests: Vec<Request>,
    /// Whether messages may be missing, so that the order alone does not pair them.
    pub(super) broken: bool,
}

impl Exchange {
    /// The request that a response at `time` answers; `next` counts those that are answered. `broken`: messages may
    /// be missing.
    pub(super) fn answered(
        &self,
        next: &mut usize,
        broken: bool,
        time: Timestamp,
        interim: bool,
    ) -> Option<Request> {
        if broken {
            // The last request that was sent before; what stands before it lost its response.
            let rest = self.requests.get(*next..).unwrap_or_default();
            let sent = rest.iter().take_while(|request| request.sent <= time).count();
            *next += sent.saturating_sub(1);
            if sent == 0 {
                return None;
            }
        }
        let request = self.requests.get(*next).copied()?;
        *next += usize::from(!interim);
        Some(request)
    }
}

/// Whether a response comes before the final one (RFC 9110 section 15.2); after 101 nothing follows.
pub(super) fn is_interim(status: u16) -> bool {
    (100..200).contains(&status) && status != 101
}

/// A response that agrees to another protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Switch {
    /// Which protocol the response names.
    pub(super) protocol: Option<String>,
    extensions: Vec<u8>,
    /// Sec-WebSocket-Accept.
    accept: Vec<u8>,
}

impl Switch {
    /// Where a request's Sec-WebSocket-Key stands, if the server answered with its digest: then it is the random number that
    /// RFC 6455 section 4.1 demands, and the server took it for that.
    pub(super) fn key(&self, head: &Head<'_>) -> Option<ByteRange> {
        let is_key = |name: &[u8]| name.eq_ignore_ascii_case(b"sec-websocket-key");
        let mut keys = head.fields.iter().filter(|field| is_key(head.text(&field.name)));
        let (key, None) = (keys.next()?, keys.next()) else { return None };
        websocket::accepts(head.text(&key.value), &self.accept).then(|| head.place(&key.value))
    }
}

/// What is known of the answer to a request that asks for another protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It was agreed on.
    Agreed(Switch),
    /// It was not.
    Refused,
    /// The answer was not captured.
    Unknown,
}

/// Reads the responses ahead, as far as requests that ask for another protocol need it. All of them together are one
/// more reading.
pub(super) struct Answers<'s> {
    stream: &'s Stream,
    reader: StreamReader<'s>,
    parser: Parser,
    /// Bytes of the stream at `at` that were not read yet, from `taken` on.
    chunk: Vec<u8>,
    at: u64,
    taken: usize,
    /// Requests that are answered.
    next: usize,
    broken: bool,
    /// The last final response: what it answers and says.
    last: Option<(TransactionId, Answer)>,
}

impl<'s> Answers<'s> {
    pub(super) fn new(stream: &'s Stream) -> Self {
        Self {
            stream,
            reader: stream.reader(),
            parser: Parser::new(Role::Responses, stream.from_start),
            chunk: Vec::new(),
            at: 0,
            taken: 0,
            next: 0,
            broken: !stream.from_start,
            last: None,
        }
    }

    /// The answer to the last request of `exchange`.
    ///
    /// # Errors
    /// When the stream can't be read.
    pub(super) fn of_last(&mut self, exchange: &Exchange) -> Result<Answer, ReadError> {
        let Some(wanted) = exchange.requests.last().map(|request| request.id) else {
            return Ok(Answer::Unknown);
        };
        loop {
            match &self.last {
                Some((id, answer)) if *id == wanted => return Ok(answer.clone()),
                Some((id, _)) if *id > wanted => return Ok(Answer::Unknown),
                _ => {}
            }
            if !self.step(exchange)? {
                return Ok(Answer::Unknown);
            }
        }
    }

    /// Reads on a little; false at the end.
    fn step(&mut self, exchange: &Exchange) -> Result<bool, ReadError> {
        let broken = self.broken || exchange.broken;
        let Self { stream, parser, chunk, at, taken, next, broken: gapped, last, reader } = self;
        let mut look = Look { stream, exchange, next, broken, lost: false, last };
        if *taken < chunk.len() {
            let rest = chunk.get(*taken..).unwrap_or_default();
            *taken += parser.step(rest, *at + *taken as u64, &mut look);
        } else {
            match reader.next_chunk()? {
                None => return Ok(false),
                Some(gap @ Chunk::Gap(_)) => parser.push(&gap, &mut look),
                Some(Chunk::Bytes { range, data }) => {
                    chunk.clear();
                    chunk.extend_from_slice(data);
                    (*at, *taken) = (range.start, 0);
                }
            }
        }
        *gapped |= look.lost;
        Ok(true)
    }
}

/// Takes response heads.
struct Look<'a> {
    stream: &'a Stream,
    exchange: &'a Exchange,
    next: &'a mut usize,
    broken: bool,
    lost: bool,
    last: &'a mut Option<(TransactionId, Answer)>,
}

impl Handler for Look<'_> {
    fn head(&mut self, head: &Head<'_>) -> Framing {
        let StartLine::Response { status } = head.start else { return Framing::Unknown };
        let time = self.stream.times(head.range()).map(|(_, last)| last).unwrap_or_default();
        let request = self.exchange.answered(self.next, self.broken, time, is_interim(status));
        let (framing, _) = response_framing(head, request.map_or(Asked::Other, |request| request.asked));
        if let Some(request) = request.filter(|_| !is_interim(status)) {
            let answer = match framing {
                Framing::Tunnel => Answer::Agreed(Switch {
                    protocol: tokens(head.values("upgrade")).into_iter().next(),
                    extensions: joined(head, "sec-websocket-extensions"),
                    accept: joined(head, "sec-websocket-accept"),
                }),
                _ => Answer::Refused,
            };
            *self.last = Some((request.id, answer));
        }
        framing
    }

    fn body(&mut self, _: Part, _: &[u8], _: ByteRange) {}

    fn body_gap(&mut self, _: ByteRange) {}

    fn body_end(&mut self, _: bool) {}

    fn raw(&mut self, _: &[u8], _: ByteRange) {}

    fn raw_gap(&mut self, _: ByteRange) {
        self.lost = true;
    }

    fn malformed(&mut self, _: u64, _: String) {
        self.lost = true;
    }
}
