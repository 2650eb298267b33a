//! What follows in a connection after both ends agreed on another protocol, as a conversation of its own.

use crate::{
    engine::net::stream::Stream,
    evidence::{ByteRange, Direction, Limits, ReadError, Step},
};

use super::{
    Context, Conversation, Shared, application, raw,
    sink::Sink,
    within::{Places, Within, Wrap},
};

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
    (rest, Wrap { steps: vec![step], places })
}
