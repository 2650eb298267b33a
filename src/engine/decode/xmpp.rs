//! XMPP: each stanza is a message whose content is XML.

use crate::{
    engine::{
        net::stream::Stream,
        proto::xmpp::{self, Handler, Parser},
    },
    evidence::{ByteRange, Direction, ReadError},
};

use super::{
    Context, Conversation, Shared,
    content::{Content, Declared},
    layers::{Bytes, Out, Stage},
    opening::{Opening, Openings},
    raw::Raw,
    rest, session,
    sink::{BodyEnd, Keep, Sink, TransactionId},
};

/// The direction of the client, if the conversation is XMPP. Ports say nothing: others use them too.
pub(super) fn client(openings: &Openings) -> Option<Direction> {
    let both = [&openings.up, &openings.down];
    let late = |opening: &&Opening| !opening.from_start && xmpp::goes_on(&opening.bytes);
    let rest = both.iter().filter(|opening| !opening.bytes.is_empty());
    if both.iter().any(late)
        && rest.clone().all(late)
        && both.iter().any(|opening| xmpp::is_named(&opening.bytes))
    {
        return Some(Direction::Up);
    }
    openings.client(|client, server| {
        let begins = |opening: &Opening| opening.from_start && xmpp::begins(&opening.bytes);
        if client.bytes.is_empty() {
            return begins(server) && xmpp::answers(&server.bytes);
        }
        begins(client) && !xmpp::answers(&client.bytes) && (server.bytes.is_empty() || begins(server))
    })
}

/// Walks a conversation whose client sends in direction `client`.
pub(super) fn walk(
    conversation: &Conversation<'_>,
    client: Direction,
    context: &Context<'_>,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    sink.protocol("xmpp");
    let (commands, answers) = (conversation.stream(client), conversation.stream(client.other()));
    // RFC 6120 section 5.4.2: TLS begins right after these two.
    let asked = find(commands, "starttls")?;
    let allowed = if answers.pieces.is_empty() { Some(answers.end()) } else { find(answers, "proceed")? };
    let from = asked.zip(allowed);
    for (direction, stop) in [(client, "starttls"), (client.other(), "proceed")] {
        let stream = conversation.stream(direction);
        let out = Out::new(sink, stream, direction, context.limits);
        let mut side = Side { out, shared, between: Raw::new("xmpp.stream"), stanza: None };
        let begins = stream.from_start || from.is_some();
        let mut parser = if begins { Parser::new(from.map(|_| stop)) } else { Parser::late() };
        read(stream, &mut parser, &mut side)?;
        side.between.close(&mut side.out);
    }
    match from {
        None => Ok(()),
        Some(from) => rest::secured(conversation, client, from, context, shared, sink),
    }
}

/// One past the first child of the stream with this name.
fn find(stream: &Stream, name: &'static str) -> Result<Option<u64>, ReadError> {
    let mut parser = Parser::new(Some(name));
    read(stream, &mut parser, &mut Nothing)?;
    Ok(parser.stopped())
}

fn read(stream: &Stream, parser: &mut Parser, handler: &mut dyn Handler) -> Result<(), ReadError> {
    let mut reader = stream.reader();
    while parser.stopped().is_none()
        && let Some(chunk) = reader.next_chunk()?
    {
        parser.push(&chunk, handler);
    }
    parser.finish(handler);
    Ok(())
}

struct Nothing;

impl Handler for Nothing {
    fn between(&mut self, _: &[u8], _: ByteRange) {}

    fn gap(&mut self) {}

    fn stanza(&mut self, _: &[u8], _: u64) {}

    fn content(&mut self, _: &[u8], _: ByteRange) {}

    fn lost(&mut self, _: ByteRange) {}

    fn stanza_end(&mut self, _: bool) {}
}

/// One direction while it is read.
struct Side<'s, 'e> {
    out: Out<'s>,
    shared: &'e mut Shared,
    between: Raw,
    stanza: Option<(Content, TransactionId, u64)>,
}

impl Handler for Side<'_, '_> {
    fn between(&mut self, bytes: &[u8], range: ByteRange) {
        self.between.write(&mut self.out, bytes, range);
    }

    fn gap(&mut self) {
        self.between.close(&mut self.out);
    }

    fn stanza(&mut self, name: &[u8], at: u64) {
        let transaction = self.shared.transaction();
        session::tell(&mut self.out, "xmpp", transaction, at, (name, b""));
        self.out.transaction = Some(transaction);
        let declared = Declared { media: Some("application/xml".to_owned()), ..Declared::default() };
        let stage = Stage::new("xmpp.stanza", None, at, Keep::Search);
        self.stanza = Some((Content::new(stage, declared), transaction, 0));
    }

    fn content(&mut self, bytes: &[u8], range: ByteRange) {
        if let Some((content, _, len)) = &mut self.stanza {
            self.out.budget.input(range.len());
            *len += range.len();
            content.push(&mut self.out, Bytes::wire(bytes, range), range.end);
        }
    }

    fn lost(&mut self, gap: ByteRange) {
        if let Some((content, ..)) = &mut self.stanza {
            content.gap(&mut self.out, gap.len(), gap.end);
        }
    }

    fn stanza_end(&mut self, complete: bool) {
        if let Some((mut content, transaction, len)) = self.stanza.take() {
            content.finish(&mut self.out);
            let end = if complete { BodyEnd::Complete } else { BodyEnd::Incomplete };
            self.out.sink.body_end(transaction, self.out.direction, end, len);
        }
        self.out.transaction = None;
    }
}
