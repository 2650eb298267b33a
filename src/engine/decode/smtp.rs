//! SMTP sessions: commands, and the mails that they carry.

use crate::{
    engine::{
        codec::Part,
        proto::{
            lines::{reply_code, split_word},
            smtp::{self, Carriage, Client, Handler},
        },
    },
    evidence::{ByteRange, Direction, ReadError},
};

use super::{
    Context, Conversation, Shared,
    layers::{Bytes, Out},
    letter::Letter,
    opening::{Opening, Openings},
    raw::Raw,
    rest, session,
    sink::{Place, Sink, TransactionId},
};

/// Ports of SMTP: a hint where the start of a session is missing.
const PORTS: [u16; 4] = [25, 465, 587, 2525];

/// The direction of the client, if the conversation is SMTP.
pub(super) fn client(conversation: &Conversation<'_>, openings: &Openings) -> Option<Direction> {
    openings.client(|client, server| is_client(conversation, client, server))
}

fn is_client(conversation: &Conversation<'_>, client: &Opening, server: &Opening) -> bool {
    let greeted = |server: &Opening| {
        let line = server.line().unwrap_or_default();
        server.from_start && reply_code(line).is_some_and(|(code, _)| code == 220) && names_smtp(line)
    };
    let Some(line) = client.line() else { return client.bytes.is_empty() && greeted(server) };
    let (verb, _) = split_word(line);
    if client.from_start && smtp::greets(line) && line.is_ascii() {
        return server.bytes.is_empty() || server.line().and_then(reply_code).is_some();
    }
    let answers = server.line().and_then(reply_code).is_some();
    (greeted(server) || (conversation.has_port(&PORTS) && (answers || server.bytes.is_empty())))
        && smtp::is_verb(verb)
}

fn names_smtp(line: &[u8]) -> bool {
    line.windows(4).any(|word| word.eq_ignore_ascii_case(b"SMTP") || word.eq_ignore_ascii_case(b"LMTP"))
}

/// Walks a conversation whose client sends in direction `client`.
pub(super) fn walk(
    conversation: &Conversation<'_>,
    client: Direction,
    context: &Context<'_>,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    sink.protocol("smtp");
    let server = client.other();
    let stream = conversation.stream(client);
    let mut replies = session::replies(conversation.stream(server))?;
    if !stream.from_start {
        replies.forget();
    }
    let at_line = session::begins_line(stream, &|line| smtp::is_verb(split_word(line).0))?;
    let mut parser = Client::new(at_line, replies);
    let mut side = Side {
        out: Out::new(sink, stream, client, context.limits),
        shared,
        lines: Raw::new("smtp.commands"),
        letter: None,
        last: None,
    };
    let mut reader = stream.reader();
    while let Some(chunk) = reader.next_chunk()? {
        parser.push(&chunk, &mut side);
    }
    parser.finish(&mut side);
    side.lines.close(&mut side.out);
    let secured = parser.secured();
    // Where the reply that allows TLS was not seen, it is not known which of the server's bytes are TLS.
    let until = secured
        .map(|(_, reply)| reply.map_or_else(|| conversation.stream(server).end(), |reply| reply.range.end));
    session::answers(conversation, server, until, context, sink)?;
    match secured.zip(until) {
        None => Ok(()),
        Some(((from, _), until)) => rest::secured(conversation, client, (from, until), context, shared, sink),
    }
}

/// The client's direction while it is read.
struct Side<'s, 'e> {
    out: Out<'s>,
    shared: &'e mut Shared,
    lines: Raw,
    letter: Option<Letter>,
    /// The last command: of those that carry a mail, the first.
    last: Option<TransactionId>,
}

impl Side<'_, '_> {
    /// Says which bytes of a command line are understood: a known word with its space, the end of the line, and the
    /// size of a chunk where it is spelled as the number that frames it.
    fn place(&mut self, command: &smtp::Command<'_>) {
        let smtp::Command { verb, argument, line, range } = command;
        let framing = command.is("BDAT")
            && smtp::chunk(argument).is_some_and(|(size, last)| {
                let spelled = if last { format!("{size} LAST") } else { size.to_string() };
                *argument == spelled.as_bytes()
            });
        if framing {
            self.out.place(*range, Place::Understood);
        } else if smtp::is_verb(verb) {
            session::understood(&mut self.out, Bytes::wire(line, *range), &(0..verb.len()));
        }
    }
}

impl Handler for Side<'_, '_> {
    fn command(&mut self, command: &smtp::Command<'_>) {
        self.lines.write(&mut self.out, command.line, command.range);
        self.place(command);
        let transaction = self.shared.transaction();
        let said = (command.verb, command.argument);
        session::tell(&mut self.out, "smtp", transaction, command.range.start, said);
        if self.letter.is_none() {
            self.last = Some(transaction);
        }
        if command.is("AUTH") {
            // The initial response stands behind the mechanism (RFC 4954 section 4).
            let response = memchr::memrchr(b' ', command.line).map_or(0, |space| space + 1);
            let text = command.line.get(response..).unwrap_or_default();
            session::credentials(&mut self.out, text, command.range.start + response as u64);
        }
    }

    fn sasl(&mut self, line: &[u8], range: ByteRange) {
        self.lines.write(&mut self.out, line, range);
        session::credentials(&mut self.out, line, range.start);
    }

    fn text(&mut self, bytes: &[u8], range: ByteRange) {
        self.lines.write(&mut self.out, bytes, range);
    }

    fn gap(&mut self, _: ByteRange) {
        self.lines.close(&mut self.out);
    }

    fn message(&mut self, carriage: Carriage, at: u64) {
        let op = match carriage {
            Carriage::Data => "smtp.data",
            Carriage::Bdat => "smtp.bdat",
        };
        self.out.transaction = self.last;
        self.letter = Some(Letter::new(op, "smtp.framing", at));
    }

    fn content(&mut self, part: Part, bytes: &[u8], range: ByteRange) {
        if let Some(letter) = &mut self.letter {
            letter.push(&mut self.out, part, bytes, range);
        }
    }

    fn content_gap(&mut self, gap: ByteRange) {
        if let Some(letter) = &mut self.letter {
            letter.gap(&mut self.out, gap);
        }
    }

    fn message_end(&mut self, complete: bool) {
        if let (Some(letter), Some(transaction)) = (self.letter.take(), self.last) {
            letter.finish(&mut self.out, transaction, complete);
        }
        self.out.transaction = None;
    }
}
