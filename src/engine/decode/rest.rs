//! What follows in a connection after both ends agreed on another protocol, as a conversation of its own.

use crate::{
    engine::{
        net::stream::{Chunk, Stream},
        proto::tls,
    },
    evidence::{AnomalyKind, ByteRange, Direction, Limits, ReadError, Step},
};

use super::{
    Context, Conversation, Shared, application,
    layers::Out,
    raw::{self, Raw},
    sink::Sink,
    within::{Places, Within, Wrap},
};

/// What a step to TLS inside a session is called (RFC 2595, RFC 3207, RFC 4217, RFC 6120).
const STARTTLS: &str = "starttls";

/// The content type of a record that holds a hello (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;

/// Bytes in clear, before a hello, that are looked through for it: many commands, or a small mail.
const CLEAR: usize = 64 << 10;

/// Walks what follows after TLS was asked for and allowed: from the byte of the client, and that of the other end.
/// Bytes in clear before the hello are said to be there: who takes them for a part of what TLS protects obeys whoever
/// put them there (RFC 3207 section 6, CVE-2011-0411).
pub(super) fn secured(
    conversation: &Conversation<'_>,
    client: Direction,
    (client_from, server_from): (u64, u64),
    context: &Context<'_>,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    let client_from = in_clear(conversation, client, client_from, context, sink)?;
    let server_from = in_clear(conversation, client.other(), server_from, context, sink)?;
    walk(conversation, client, (client_from, server_from), STARTTLS, context, shared, sink)
}

/// Tells of bytes in clear from `from` on, if a hello follows them; gives where it starts.
fn in_clear(
    conversation: &Conversation<'_>,
    direction: Direction,
    from: u64,
    context: &Context<'_>,
    sink: &mut dyn Sink,
) -> Result<u64, ReadError> {
    let stream = conversation.stream(direction);
    let after = stream.parts([ByteRange::new(from, stream.end().max(from))]);
    let mut held = Vec::new();
    let mut reader = after.reader();
    while held.len() < CLEAR
        && let Some(Chunk::Bytes { data, .. }) = reader.next_chunk()?
    {
        held.extend_from_slice(data);
    }
    held.truncate(CLEAR);
    let hello = |at: &usize| held.get(*at..).and_then(tls::opening).is_some();
    if hello(&0) {
        return Ok(from);
    }
    let Some(start) = memchr::memchr_iter(HANDSHAKE, &held).find(hello) else { return Ok(from) };
    let range = ByteRange::new(from, from + start as u64);
    let mut out = Out::new(sink, stream, direction, context.limits);
    let mut raw = Raw::new("starttls.clear");
    raw.write(&mut out, held.get(..start).unwrap_or_default(), range);
    raw.close(&mut out);
    let detail = format!("{start} bytes in clear stand between what asks for TLS and its first record");
    out.anomaly(AnomalyKind::ClearBeforeTls, Some(from), detail);
    Ok(range.end)
}
/// Walks the rest of a conversation: what `client` sends from its byte on, and what the other end sends from the second
/// one. `op` names the step that leads there (`starttls`).
pub(super) fn walk(
    conversation: &Conversation<'_>,
    client: Direction,
    from: (u64, u64),
    op: &str,
    context: &Context<'_>,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    let inside = context.inside(None);
    walk_in(conversation, client, (from, op), context.limits, inside.as_ref(), shared, sink)
}

/// The same, where more is known of what follows; without a context it is only searched.
pub(super) fn walk_in(
    conversation: &Conversation<'_>,
    client: Direction,
    ((from_client, from_server), op): ((u64, u64), &str),
    limits: &Limits,
    context: Option<&Context<'_>>,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    let (from_up, from_down) = match client {
        Direction::Up => (from_client, from_server),
        Direction::Down => (from_server, from_client),
    };
    let (up, wrap_up) = cut(conversation.up, from_up, op);
    let (down, wrap_down) = cut(conversation.down, from_down, op);
    let inner = Conversation { up: &up, down: &down, ..*conversation };
    let mut within = Within::new(sink, &wrap_up, &wrap_down);
    match context {
        Some(context) => application(&inner, context, shared, &mut within),
        None => raw::streams(&inner, limits, &mut within),
    }
}

/// A stream from one of its bytes on, which is the first one of a stream again.
fn cut(stream: &Stream, from: u64, op: &str) -> (Stream, Wrap) {
    let input = ByteRange::new(from, stream.end().max(from));
    let mut rest = stream.parts([input]);
    rest.datagrams = stream.datagrams;
    let mut places = Places::default();
    places.push(ByteRange::new(0, input.len()), from);
    let step = Step { op: op.to_owned(), param: None, input, output: input.len() };
    (rest, Wrap { steps: vec![step], places, ..Wrap::default() })
}
