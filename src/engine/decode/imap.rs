//! IMAP sessions: commands, mails that a client appends, mails that it fetches.

use crate::{
    engine::{
        codec::Part,
        proto::imap::{self, Answer, Answers, Handler, Line, Parser},
    },
    evidence::{ByteRange, Direction, ReadError},
};

use super::{
    Context, Conversation, Shared,
    content::{Content, Declared},
    layers::{Bytes, Out, Stage},
    letter::Letter,
    opening::{Opening, Openings},
    raw::Raw,
    rest, session,
    sink::{Keep, Place, Sink, TransactionId},
};

/// Ports of IMAP: a hint where the start of a session is missing.
const PORTS: [u16; 2] = [143, 993];

/// The direction of the client, if the conversation is IMAP.
pub(super) fn client(conversation: &Conversation<'_>, openings: &Openings) -> Option<Direction> {
    openings.client(|client, server| is_client(conversation, client, server))
}

fn is_client(conversation: &Conversation<'_>, client: &Opening, server: &Opening) -> bool {
    let command = |opening: &Opening| {
        let line = opening.line().unwrap_or_default();
        let line = Line { bytes: line, range: ByteRange::default(), first: true };
        let (tag, verb, _) = line.words();
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        !tag.is_empty() && tag.iter().all(plain) && imap::is_verb(verb)
    };
    let greeting = |opening: &Opening| {
        let line = opening.line().unwrap_or_default();
        let starts =
            |word: &&[u8]| line.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        [&b"* OK"[..], b"* PREAUTH", b"* BYE"].iter().any(starts)
    };
    if server.from_start && greeting(server) {
        return client.bytes.is_empty() || command(client);
    }
    // After STARTTLS no server greets; where the start is missing, the port must agree.
    let answers = server
        .line()
        .is_some_and(|line| line.starts_with(b"* ") || Answer::of(line, ByteRange::default()).is_some());
    let hint = conversation.has_port(&PORTS) || (client.from_start && server.from_start);
    hint && command(client) && (answers || (server.bytes.is_empty() && conversation.has_port(&PORTS)))
}

/// Walks a conversation whose client sends in direction `client`.
pub(super) fn walk(
    conversation: &Conversation<'_>,
    client: Direction,
    context: &Context<'_>,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    sink.protocol("imap");
    let server = client.other();
    let answers = answers(conversation, server)?;
    let stream = conversation.stream(client);
    let mut parser = Parser::client(stream.from_start, answers);
    read(conversation, client, (&mut parser, true), context, shared, sink)?;
    let switch = parser.switch();
    let until = switch.map(|switch| switch.server.unwrap_or_else(|| conversation.stream(server).end()));
    let mut parser = Parser::server(conversation.stream(server).from_start, until);
    read(conversation, server, (&mut parser, false), context, shared, sink)?;
    match switch.zip(until) {
        None => Ok(()),
        Some((switch, until)) => {
            let from = (switch.client, until);
            if switch.tls {
                return rest::secured(conversation, client, from, context, shared, sink);
            }
            rest::walk(conversation, client, from, "imap.compress", context, shared, sink)
        }
    }
}

/// What the server sends that decides about the client's bytes, up to the first gap.
fn answers(conversation: &Conversation<'_>, server: Direction) -> Result<Answers, ReadError> {
    let stream = conversation.stream(server);
    let mut found = Found { answers: Answers::default(), goes_on: stream.from_start };
    let mut parser = Parser::server(true, None);
    let mut reader = stream.reader();
    while found.goes_on
        && let Some(chunk) = reader.next_chunk()?
    {
        parser.push(&chunk, &mut found);
    }
    Ok(found.answers)
}

struct Found {
    answers: Answers,
    goes_on: bool,
}

impl Handler for Found {
    fn line(&mut self, line: Line<'_>) {
        if line.first
            && self.goes_on
            && let Some(answer) = Answer::of(line.bytes, line.range)
        {
            self.goes_on = self.answers.push(answer);
        }
    }

    fn answer(&mut self, _: &[u8], _: ByteRange) {}

    fn text(&mut self, _: &[u8], _: ByteRange) {
        self.goes_on = false;
    }

    fn gap(&mut self, _: ByteRange) {
        self.goes_on = false;
    }

    fn literal(&mut self, _: u64) {}

    fn content(&mut self, _: &[u8], _: ByteRange) {}

    fn content_gap(&mut self, _: ByteRange) {}

    fn literal_end(&mut self, _: bool) {}
}

fn read(
    conversation: &Conversation<'_>,
    direction: Direction,
    (parser, client): (&mut Parser, bool),
    context: &Context<'_>,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    let stream = conversation.stream(direction);
    let mut side = Side {
        out: Out::new(sink, stream, direction, context.limits),
        shared,
        lines: Raw::new("imap.lines"),
        literal: None,
        client,
        verb: Vec::new(),
        section: Vec::new(),
    };
    let mut reader = stream.reader();
    while let Some(chunk) = reader.next_chunk()? {
        parser.push(&chunk, &mut side);
    }
    parser.finish(&mut side);
    side.lines.close(&mut side.out);
    Ok(())
}

/// A literal on its way.
enum Literal {
    Mail(Box<Letter>, TransactionId),
    Other(Box<Content>),
}

/// One direction while it is read.
struct Side<'s, 'e> {
    out: Out<'s>,
    shared: &'e mut Shared,
    lines: Raw,
    literal: Option<Literal>,
    client: bool,
    /// The command that the line belongs to.
    verb: Vec<u8>,
    /// What the last line says of the literal that follows it.
    section: Vec<u8>,
}

impl Side<'_, '_> {
    /// Whether the literal that comes is a mail, and the command that carries it.
    fn carries_mail(&self) -> Option<&'static str> {
        if self.client {
            return self.verb.eq_ignore_ascii_case(b"APPEND").then_some("APPEND");
        }
        imap::is_message(&self.section).then_some("FETCH")
    }
}

impl Handler for Side<'_, '_> {
    fn line(&mut self, line: Line<'_>) {
        self.lines.write(&mut self.out, line.bytes, line.range);
        let bytes = Bytes::wire(line.bytes, line.range);
        self.section = imap::section(line.bytes).to_vec();
        if !line.first || !self.client {
            return;
        }
        let (_, verb, at) = line.words();
        self.verb = verb.to_vec();
        if imap::is_verb(verb) {
            session::understood(&mut self.out, bytes, &(at..at + verb.len()));
        }
        let text = line.bytes.trim_ascii_end();
        let argument = text.get(at + verb.len() + 1..).unwrap_or_default();
        let transaction = self.shared.transaction();
        session::tell(&mut self.out, "imap", transaction, line.range.start, (verb, argument));
        if verb.eq_ignore_ascii_case(b"AUTHENTICATE")
            && let Some(space) = memchr::memchr(b' ', argument)
        {
            // The initial response (RFC 4959).
            let start = text.len() - argument.len() + space + 1;
            session::credentials(
                &mut self.out,
                text.get(start..).unwrap_or_default(),
                line.range.start + start as u64,
            );
        }
    }

    fn answer(&mut self, bytes: &[u8], range: ByteRange) {
        self.lines.write(&mut self.out, bytes, range);
        if bytes.trim_ascii_end().eq_ignore_ascii_case(b"DONE") {
            self.out.place(range, Place::Understood);
        } else {
            session::credentials(&mut self.out, bytes, range.start);
        }
    }

    fn text(&mut self, bytes: &[u8], range: ByteRange) {
        self.lines.write(&mut self.out, bytes, range);
    }

    fn gap(&mut self, _: ByteRange) {
        self.lines.close(&mut self.out);
    }

    fn literal(&mut self, at: u64) {
        self.literal = Some(match self.carries_mail() {
            Some(command) => {
                let transaction = self.shared.transaction();
                session::tell(&mut self.out, "imap", transaction, at, (command.as_bytes(), &self.section));
                self.out.transaction = Some(transaction);
                Literal::Mail(Box::new(Letter::new("imap.literal", "imap.framing", at)), transaction)
            }
            None => {
                let stage = Stage::new("imap.literal", None, at, Keep::Search);
                Literal::Other(Box::new(Content::new(stage, Declared { mail: true, ..Declared::default() })))
            }
        });
    }

    fn content(&mut self, bytes: &[u8], range: ByteRange) {
        match &mut self.literal {
            Some(Literal::Mail(letter, _)) => letter.push(&mut self.out, Part::Data, bytes, range),
            Some(Literal::Other(content)) => {
                self.out.budget.input(range.len());
                content.push(&mut self.out, Bytes::wire(bytes, range), range.end);
            }
            None => {}
        }
    }

    fn content_gap(&mut self, gap: ByteRange) {
        match &mut self.literal {
            Some(Literal::Mail(letter, _)) => letter.gap(&mut self.out, gap),
            Some(Literal::Other(content)) => content.gap(&mut self.out, gap.len(), gap.end),
            None => {}
        }
    }

    fn literal_end(&mut self, complete: bool) {
        match self.literal.take() {
            Some(Literal::Mail(letter, transaction)) => letter.finish(&mut self.out, transaction, complete),
            Some(Literal::Other(mut content)) => {
                content.finish(&mut self.out);
            }
            None => {}
        }
        self.out.transaction = None;
    }
}
