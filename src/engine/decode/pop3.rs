//! POP3 sessions: commands, and the mails that a client fetches.

use crate::{
    engine::{
        codec::Part,
        net::stream::Stream,
        proto::{
            lines::split_word,
            pop3::{self, Command, Handler, Server},
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
    rest,
    session::{self, Item},
    sink::{Sink, TransactionId},
};

/// Ports of POP3: a hint where the start of a session is missing.
const PORTS: [u16; 2] = [110, 995];

/// The direction of the client, if the conversation is POP3.
pub(super) fn client(conversation: &Conversation<'_>, openings: &Openings) -> Option<Direction> {
    openings.client(|client, server| is_client(conversation, client, server))
}

fn is_client(conversation: &Conversation<'_>, client: &Opening, server: &Opening) -> bool {
    let line = server.line().unwrap_or_default();
    let (status, text) = split_word(line);
    let verb = client.line().map(|line| split_word(line).0);
    let hint = conversation.has_port(&PORTS);
    if server.from_start && status == b"+OK" {
        // Inside of TLS that STLS began nobody greets. Redis answers `+OK` too, to commands of its own.
        let named = text.windows(3).any(|word| word.eq_ignore_ascii_case(b"POP"));
        return match verb {
            None => client.bytes.is_empty() && (named || hint),
            Some(verb) => pop3::is_verb(verb) && (named || hint || begins(verb)),
        };
    }
    let answers = pop3::is_status(line) || server.bytes.is_empty();
    hint && answers && verb.is_some_and(pop3::is_verb)
}

/// Commands that a client begins a session with, which no other protocol has.
fn begins(verb: &[u8]) -> bool {
    [&b"USER"[..], b"APOP", b"CAPA", b"STLS"].iter().any(|word| word.eq_ignore_ascii_case(verb))
}

/// Walks a conversation whose client sends in direction `client`.
pub(super) fn walk(
    conversation: &Conversation<'_>,
    client: Direction,
    context: &Context<'_>,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    sink.protocol("pop3");
    let (commands, answers) = (conversation.stream(client), conversation.stream(client.other()));
    let first = |stream: &Stream| stream.pieces.first().map(|piece| piece.frame);
    let greets = answers.from_start && first(commands).is_none_or(|frame| first(answers) <= Some(frame));
    let at_line = session::begins_line(answers, &pop3::is_status)?;
    let mut parser = Server::new(at_line, greets, asked(commands)?.filter(|_| answers.from_start));
    let mut side = Side {
        out: Out::new(sink, answers, client.other(), context.limits),
        shared,
        lines: Raw::new("replies"),
        letter: None,
    };
    let mut reader = answers.reader();
    while let Some(chunk) = reader.next_chunk()? {
        parser.push(&chunk, &mut side);
    }
    parser.finish(&mut side);
    side.lines.close(&mut side.out);
    client_side(commands, client, &parser, context, shared, sink)?;
    match parser.secured() {
        None => Ok(()),
        Some(from) => rest::secured(conversation, client, from, context, shared, sink),
    }
}

/// What the client's lines ask for, up to the first that is not whole; `None` where the first one is not known.
fn asked(stream: &Stream) -> Result<Option<Vec<Command>>, ReadError> {
    if !stream.from_start {
        return Ok(None);
    }
    let mut commands = Vec::new();
    session::lines(stream, true, None, &mut |item| {
        let Item::Line(line, range) = item else { return false };
        commands.push(Command { asked: pop3::asked(line), end: range.end });
        commands.len() < pop3::MAX_COMMANDS
    })?;
    Ok(Some(commands))
}

/// Reads the client's direction.
fn client_side(
    stream: &Stream,
    client: Direction,
    parser: &Server,
    context: &Context<'_>,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    let mut out = Out::new(sink, stream, client, context.limits);
    let mut raw = Raw::new("pop3.commands");
    let at_line = session::begins_line(stream, &|line| pop3::is_verb(split_word(line).0))?;
    let until = parser.secured().map(|(from, _)| from);
    // After bytes that are missing no line has a number.
    let mut number = Some(0).filter(|_| at_line);
    session::lines(stream, at_line, until, &mut |item| {
        match item {
            Item::Line(line, range) => {
                raw.write(&mut out, line, range);
                if number.is_some_and(|number| parser.is_answer(number)) {
                    session::credentials(&mut out, line, range.start);
                } else {
                    command(&mut out, shared.transaction(), line, range);
                }
                number = number.map(|number| number + 1);
            }
            Item::Part(bytes, range) => {
                raw.write(&mut out, bytes, range);
                number = None;
            }
            Item::Gap => {
                raw.close(&mut out);
                number = None;
            }
        }
        true
    })?;
    raw.close(&mut out);
    Ok(())
}

fn command(out: &mut Out<'_>, transaction: TransactionId, line: &[u8], range: ByteRange) {
    let (verb, argument) = split_word(line);
    session::tell(out, "pop3", transaction, range.start, (verb, argument));
    if pop3::is_verb(verb) {
        session::understood(out, Bytes::wire(line, range), &(0..verb.len()));
    }
    if verb.eq_ignore_ascii_case(b"AUTH") {
        // The initial response stands behind the mechanism (RFC 5034 section 4).
        let start = memchr::memrchr(b' ', line).map_or(0, |space| space + 1);
        session::credentials(out, line.get(start..).unwrap_or_default(), range.start + start as u64);
    }
}

/// The server's direction while it is read.
struct Side<'s, 'e> {
    out: Out<'s>,
    shared: &'e mut Shared,
    lines: Raw,
    letter: Option<(Letter, TransactionId)>,
}

impl Handler for Side<'_, '_> {
    fn status(&mut self, line: &[u8], range: ByteRange) {
        self.lines.write(&mut self.out, line, range);
        let word = split_word(line).0.len();
        session::understood(&mut self.out, Bytes::wire(line, range), &(0..word));
    }

    fn text(&mut self, bytes: &[u8], range: ByteRange) {
        self.lines.write(&mut self.out, bytes, range);
    }

    fn gap(&mut self) {
        self.lines.close(&mut self.out);
    }

    fn message(&mut self, verb: &'static str, number: Option<u32>, at: u64) {
        let transaction = self.shared.transaction();
        let number = number.map(|number| number.to_string()).unwrap_or_default();
        session::tell(&mut self.out, "pop3", transaction, at, (verb.as_bytes(), number.as_bytes()));
        self.out.transaction = Some(transaction);
        self.letter = Some((Letter::new("pop3.message", "pop3.framing", at), transaction));
    }

    fn content(&mut self, part: Part, bytes: &[u8], range: ByteRange) {
        if let Some((letter, _)) = &mut self.letter {
            letter.push(&mut self.out, part, bytes, range);
        }
    }

    fn content_gap(&mut self, gap: ByteRange) {
        if let Some((letter, _)) = &mut self.letter {
            letter.gap(&mut self.out, gap);
        }
    }

    fn message_end(&mut self, complete: bool) {
        if let Some((letter, transaction)) = self.letter.take() {
            letter.finish(&mut self.out, transaction, complete);
        }
        self.out.transaction = None;
    }
}
