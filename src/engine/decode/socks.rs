//! Connections through a SOCKS proxy: the handshake, then a conversation of its own.

use crate::{
    engine::{
        net::stream::{Chunk, Stream},
        proto::socks::{self, Handshake, Outcome},
    },
    evidence::{ByteRange, Direction, ReadError},
};

use super::{
    Context, Conversation, Shared,
    layers::Out,
    opening::Openings,
    raw::Raw,
    rest, session,
    sink::{Place, Sink},
};

/// The handshake, and the direction of the client, if the conversation begins with one.
pub(super) fn handshake(openings: &Openings) -> Option<(Direction, Handshake)> {
    [Direction::Up, Direction::Down].into_iter().find_map(|direction| {
        let (client, server) = openings.sides(direction);
        let whole = client.from_start && server.from_start;
        let read = socks::handshake(&client.bytes, &server.bytes).filter(|_| whole)?;
        Some((direction, read))
    })
}

/// Walks a conversation whose client sends in direction `client`.
pub(super) fn walk(
    conversation: &Conversation<'_>,
    (client, handshake): (Direction, &Handshake),
    context: &Context<'_>,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    sink.protocol("socks");
    let from = (handshake.client as u64, handshake.server as u64);
    for (direction, until) in [(client, from.0), (client.other(), from.1)] {
        let stream = conversation.stream(direction);
        let mut out = Out::new(sink, stream, direction, context.limits);
        if direction == client {
            let said = (handshake.command.as_bytes(), handshake.target.as_slice());
            session::tell(&mut out, "socks", shared.transaction(), 0, said);
            for range in &handshake.understood {
                out.place(ByteRange::new(range.start as u64, range.end as u64), Place::Understood);
            }
        }
        leaf(stream, until, &mut out)?;
    }
    match handshake.outcome {
        Outcome::Granted => rest::walk(conversation, client, from, "socks", context, shared, sink),
        Outcome::Refused | Outcome::Unfinished => {
            rest::walk_in(conversation, client, (from, "socks"), context.limits, None, shared, sink)
        }
    }
}

/// The bytes of one side of the handshake as they stand.
fn leaf(stream: &Stream, until: u64, out: &mut Out<'_>) -> Result<(), ReadError> {
    let mut raw = Raw::new("socks.handshake");
    let mut reader = stream.reader();
    while reader.offset() < until
        && let Some(Chunk::Bytes { range, data }) = reader.next_chunk()?
    {
        let end = usize::try_from(until - range.start).unwrap_or(usize::MAX).min(data.len());
        let data = data.get(..end).unwrap_or_default();
        raw.write(out, data, ByteRange::new(range.start, range.start + data.len() as u64));
    }
    raw.close(out);
    Ok(())
}
