//! FTP: control sessions announce data connections, and each of those is one file or listing.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use crate::{
    engine::{
        net::stream::{Chunk, Stream},
        proto::{
            ftp::{self, Endpoint, Transfer},
            lines::{reply_code, split_word},
        },
    },
    evidence::{AnomalyKind, ByteRange, Direction, FrameNo, ReadError},
};

use super::{
    Context, Conversation, Shared,
    content::{Content, Declared},
    layers::{Bytes, Out, Stage},
    opening::{Opening, Openings},
    raw::Raw,
    rest,
    session::{self, Item},
    sink::{BodyEnd, Keep, Sink},
    tls,
};

/// The control port (RFC 959 section 8): a hint where the start of a session is missing.
const PORT: [u16; 1] = [21];

/// Data connections that one control session announces; mirrors of whole servers stay below it.
const MAX_TRANSFERS: usize = 1 << 16;

/// Lines that say something about data connections, of one session and direction.
const MAX_EVENTS: usize = 3 * MAX_TRANSFERS;

/// Characters kept of a file's name.
const MAX_NAME: usize = 4_096;

/// The direction of the client, if the conversation is an FTP control session.
pub(super) fn client(conversation: &Conversation<'_>, openings: &Openings) -> Option<Direction> {
    openings.client(|client, server| is_client(conversation, client, server))
}

fn is_client(conversation: &Conversation<'_>, client: &Opening, server: &Opening) -> bool {
    let verb = client.line().map(|line| split_word(line).0);
    let line = server.line().unwrap_or_default();
    let code = reply_code(line).map(|(code, _)| code);
    if server.from_start && matches!(code, Some(220 | 120)) {
        let named = line.windows(3).any(|word| word.eq_ignore_ascii_case(b"FTP"));
        return verb.map_or(client.bytes.is_empty() && named, ftp::begins);
    }
    if verb.is_some_and(ftp::begins) && client.from_start && code.is_some() {
        return true;
    }
    conversation.has_port(&PORT)
        && match (verb, code) {
            (Some(verb), _) => ftp::is_verb(verb) && (server.bytes.is_empty() || code.is_some()),
            (None, code) => client.bytes.is_empty() && code.is_some(),
        }
}

/// A data connection that a control session announces.
#[derive(Clone, Debug)]
struct Announced {
    /// The frame that announces it.
    frame: FrameNo,
    endpoint: Endpoint,
    /// The addresses of the control connection: of the end that listens, and of the other.
    listener: IpAddr,
    other: IpAddr,
    /// What it is for, where that was seen.
    transfer: Option<Transfer>,
    name: Vec<u8>,
    ascii: bool,
    /// Whether TLS is to protect it (RFC 4217 section 9).
    private: bool,
}

/// Data connections that were announced by the control sessions of a group of flows, by port.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    by_port: BTreeMap<u16, Vec<Announced>>,
    count: usize,
}

impl Transfers {
    fn add(&mut self, announced: Announced) -> bool {
        let room = self.count < MAX_TRANSFERS;
        if room {
            self.count += 1;
            self.by_port.entry(announced.endpoint.port).or_default().push(announced);
        }
        room
    }

    /// The announcement that a connection, whose first payload stands in `frame`, answers: the last one before it.
    fn find(&mut self, ends: [SocketAddr; 2], frame: FrameNo) -> Option<&mut Announced> {
        let [one, two] = ends;
        let (mut best, mut latest) = (None, None);
        for (listener, other) in [(one, two), (two, one)] {
            let all = self.by_port.get(&listener.port()).into_iter().flatten();
            for (number, announced) in all.enumerate() {
                let answers = announced.frame <= frame
                    && announced.endpoint.is(listener, announced.listener)
                    && announced.other == other.ip();
                if answers && latest.is_none_or(|latest| announced.frame >= latest) {
                    (best, latest) = (Some((listener.port(), number)), Some(announced.frame));
                }
            }
        }
        let (port, number) = best?;
        self.by_port.get_mut(&port)?.get_mut(number)
    }
}

/// What a line says about data connections.
enum Event {
    Announce(Endpoint, Direction),
    Transfer(Transfer, Vec<u8>),
    Type {
        ascii: bool,
    },
    /// PROT: whether TLS is to protect data connections.
    Protect(bool),
}

/// Walks a control session whose client sends in direction `client`.
pub(super) fn walk(
    conversation: &Conversation<'_>,
    client: Direction,
    context: &Context<'_>,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    sink.protocol("ftp");
    let server = client.other();
    let mut events = Vec::new();
    let allowed = server_side(conversation.stream(server), server, &mut events)?;
    let secured = client_side(conversation, client, allowed.is_some(), context, (&mut events, shared), sink)?;
    let until = secured.and(allowed);
    session::answers(conversation, server, until, context, sink)?;
    // A PROT that was not captured leaves it to the bytes of the data connection.
    let commands = conversation.stream(client);
    let unsure = context.depth > 0 && !(commands.from_start && commands.gaps.is_empty());
    announce(conversation, events, unsure, shared, sink);
    match secured.zip(until) {
        None => Ok(()),
        Some((from, until)) => rest::secured(conversation, client, (from, until), context, shared, sink),
    }
}

/// Reads the server's replies: where it listens, and one past the reply that allows TLS (RFC 4217 section 4).
fn server_side(
    stream: &Stream,
    server: Direction,
    events: &mut Vec<(FrameNo, Event)>,
) -> Result<Option<u64>, ReadError> {
    let mut allowed = None;
    let at_line = session::begins_line(stream, &|line| reply_code(line).is_some())?;
    session::lines(stream, at_line, None, &mut |item| {
        let Item::Line(line, range) = item else { return true };
        let code = reply_code(line).map(|(code, _)| code);
        if code == Some(234) {
            allowed = Some(range.end);
            return false;
        }
        if let Some(endpoint) = code.and_then(|code| ftp::passive(code, line)) {
            events.push((last_frame(stream, range), Event::Announce(endpoint, server)));
        }
        events.len() <= MAX_EVENTS
    })?;
    Ok(allowed)
}

/// Reads the client's commands: leaves, what they say about data connections; gives where TLS starts, if it may.
fn client_side(
    conversation: &Conversation<'_>,
    client: Direction,
    tls: bool,
    context: &Context<'_>,
    (events, shared): (&mut Vec<(FrameNo, Event)>, &mut Shared),
    sink: &mut dyn Sink,
) -> Result<Option<u64>, ReadError> {
    let stream = conversation.stream(client);
    let mut out = Out::new(sink, stream, client, context.limits);
    let mut raw = Raw::new("ftp.commands");
    let mut secured = None;
    let at_line = session::begins_line(stream, &|line| ftp::is_verb(split_word(line).0))?;
    session::lines(stream, at_line, None, &mut |item| {
        match item {
            Item::Line(line, range) => {
                raw.write(&mut out, line, range);
                let (verb, argument) = split_word(line);
                session::tell(&mut out, "ftp", shared.transaction(), range.start, (verb, argument));
                if ftp::is_verb(verb) {
                    session::understood(&mut out, Bytes::wire(line, range), &(0..verb.len()));
                }
                if let Some(event) = event(verb, argument, client).filter(|_| events.len() <= MAX_EVENTS) {
                    events.push((last_frame(stream, range), event));
                }
                if tls && verb.eq_ignore_ascii_case(b"AUTH") {
                    secured = Some(range.end);
                }
            }
            Item::Part(bytes, range) => raw.write(&mut out, bytes, range),
            Item::Gap => raw.close(&mut out),
        }
        secured.is_none()
    })?;
    raw.close(&mut out);
    Ok(secured)
}

fn event(verb: &[u8], argument: &[u8], client: Direction) -> Option<Event> {
    if verb.eq_ignore_ascii_case(b"TYPE") {
        return Some(Event::Type { ascii: matches!(argument.first(), Some(b'A' | b'a')) });
    }
    if verb.eq_ignore_ascii_case(b"PROT") {
        return Some(Event::Protect(matches!(argument.first(), Some(b'P' | b'p'))));
    }
    if let Some(endpoint) = ftp::active(verb, argument) {
        return Some(Event::Announce(endpoint, client));
    }
    let name = argument.get(..MAX_NAME.min(argument.len())).unwrap_or_default();
    Transfer::of(verb).map(|transfer| Event::Transfer(transfer, name.to_vec()))
}

fn last_frame(stream: &Stream, range: ByteRange) -> FrameNo {
    stream.pieces_in(range).last().map_or(FrameNo(0), |piece| piece.frame)
}

/// Leaves word of the data connections that a session announces, each with the command that follows it.
fn announce(
    conversation: &Conversation<'_>,
    mut events: Vec<(FrameNo, Event)>,
    mut private: bool,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) {
    // Both directions in the order of the capture.
    events.sort_by_key(|(frame, _)| *frame);
    // RFC 959 section 3.1.1.1.
    let mut ascii = true;
    let mut last: Option<Announced> = None;
    let mut admitted = true;
    let mut add = |announced: Option<Announced>| {
        if let Some(announced) = announced {
            admitted &= shared.ftp.add(announced);
        }
    };
    for (frame, event) in events {
        match event {
            Event::Type { ascii: now } => ascii = now,
            Event::Protect(now) => private = now,
            Event::Announce(endpoint, listener) => {
                let (here, there) = match listener {
                    Direction::Up => (conversation.local.ip(), conversation.remote.ip()),
                    Direction::Down => (conversation.remote.ip(), conversation.local.ip()),
                };
                let next = Announced {
                    frame,
                    endpoint,
                    listener: here,
                    other: there,
                    transfer: None,
                    name: Vec::new(),
                    ascii,
                    private,
                };
                add(last.replace(next));
            }
            Event::Transfer(transfer, name) => {
                if let Some(announced) = last.as_mut().filter(|announced| announced.transfer.is_none()) {
                    (announced.transfer, announced.name) = (Some(transfer), name);
                    (announced.ascii, announced.private) = (ascii, private);
                }
            }
        }
    }
    add(last);
    if !admitted {
        let detail = format!("more than {MAX_TRANSFERS} data connections of FTP; the rest is not named");
        sink.anomaly(AnomalyKind::LimitReached, None, detail);
    }
}

/// Walks a data connection, if a control session announced this one; false, and nothing done, if none did.
pub(super) fn data(
    conversation: &Conversation<'_>,
    context: &Context<'_>,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<bool, ReadError> {
    let Some(frame) = conversation.first_frame() else { return Ok(false) };
    let ends = [conversation.local, conversation.remote];
    let Some(found) = shared.ftp.find(ends, frame) else { return Ok(false) };
    if found.private
        && let Some(client) = tls::client(conversation)?
    {
        // What is inside of it is the file, whatever it begins with.
        found.private = false;
        let walked = tls::walk(conversation, client, context, shared, sink);
        if let Some(found) = shared.ftp.find(ends, frame) {
            found.private = true;
        }
        return walked.map(|()| true);
    }
    let announced = found.clone();
    sink.protocol("ftp-data");
    for direction in [Direction::Up, Direction::Down] {
        one_way(conversation, direction, &announced, context, shared, sink)?;
    }
    Ok(true)
}

fn one_way(
    conversation: &Conversation<'_>,
    direction: Direction,
    announced: &Announced,
    context: &Context<'_>,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    let stream = conversation.stream(direction);
    let Some(piece) = stream.pieces.first() else { return Ok(()) };
    let mut out = Out::new(sink, stream, direction, context.limits);
    let transaction = shared.transaction();
    out.transaction = Some(transaction);
    let command = announced.transfer.map_or("", Transfer::name);
    session::tell(&mut out, "ftp", transaction, piece.range.start, (command.as_bytes(), &announced.name));
    let start = piece.range.start.min(stream.gaps.first().map_or(u64::MAX, |gap| gap.start));
    let param = [command.as_bytes(), &announced.name].join(&b' ');
    let stage = Stage::new("ftp.data", Some(param.trim_ascii()), start, Keep::Search);
    let transfer = announced.ascii.then(|| "ftp-ascii".to_owned());
    let mut content = Content::new(stage, Declared { transfer, ..Declared::default() });
    let mut reader = stream.reader();
    while let Some(chunk) = reader.next_chunk()? {
        match chunk {
            Chunk::Bytes { range, data } => {
                out.budget.input(range.len());
                content.push(&mut out, Bytes::wire(data, range), range.end);
            }
            Chunk::Gap(gap) => content.gap(&mut out, gap.len(), gap.end),
        }
    }
    content.finish(&mut out);
    let whole = stream.from_start && stream.gaps.is_empty();
    let end = if whole { BodyEnd::Complete } else { BodyEnd::Incomplete };
    out.sink.body_end(transaction, direction, end, stream.present());
    Ok(())
}
