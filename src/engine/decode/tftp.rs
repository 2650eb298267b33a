//! TFTP (RFC 1350, options of RFC 2347): a request to port 69, and the file that follows from another port.
//!
//! The server answers a request from a port of its own, so that file and request are two flows; net puts flows between such
//! hosts in one group. Blocks that came twice are one, those that are missing leave a gap.

use std::net::SocketAddr;

use crate::{
    engine::net::stream::{Chunk, Stream},
    evidence::{ByteRange, Direction, FrameNo, ReadError},
};

use super::{
    Context, Conversation, Shared,
    content::{Content, Declared},
    layers::{Bytes, Out, Stage},
    raw::Raw,
    session,
    sink::{BodyEnd, Keep, Place, Sink},
};

/// RFC 1350 section 4.
const PORT: u16 = 69;
/// Requests of one group that are remembered; a phone that boots from the network makes some dozens.
const MAX_REQUESTS: usize = 4_096;
/// Bytes of a name, a mode or an option: requests are one datagram of at most 512 bytes (RFC 2347).
const MAX_WORD: usize = 512;
/// Bytes of a block where no option says otherwise.
const BLOCK: u64 = 512;
/// Operation and block number.
const HEADER: u64 = 4;

/// A request, by which a transfer is known.
#[derive(Clone, Debug)]
struct Request {
    frame: FrameNo,
    client: SocketAddr,
    server: SocketAddr,
    write: bool,
    name: Vec<u8>,
    netascii: bool,
}

/// Requests of a group of flows.
#[derive(Debug, Default)]
pub(super) struct Requests(Vec<Request>);

impl Requests {
    /// The last request before `frame` from one end to the other's host; with the end that is the client.
    fn find(&self, local: SocketAddr, remote: SocketAddr, frame: FrameNo) -> Option<(&Request, Direction)> {
        let of = |request: &Request, client: SocketAddr, server: SocketAddr| {
            request.client == client && request.server.ip() == server.ip() && request.frame <= frame
        };
        let found = |request: &'_ Request| {
            if of(request, local, remote) {
                Some(Direction::Up)
            } else {
                of(request, remote, local).then_some(Direction::Down)
            }
        };
        self.0.iter().rev().find_map(|request| Some((request, found(request)?)))
    }
}

/// Walks the requests that go to a TFTP server; false, and nothing done, where there is none.
pub(super) fn requests(
    conversation: &Conversation<'_>,
    context: &Context<'_>,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<bool, ReadError> {
    let (client, server, direction) = match (conversation.local, conversation.remote) {
        (client, server) if server.port() == PORT => (client, server, Direction::Up),
        (server, client) if server.port() == PORT => (client, server, Direction::Down),
        _ => return Ok(false),
    };
    let mut first = conversation.stream(direction).reader();
    let opens = matches!(first.next_chunk()?, Some(Chunk::Bytes { data, .. }) if request(data).is_some());
    if !opens {
        return Ok(false);
    }
    sink.protocol("tftp");
    for way in [direction, direction.other()] {
        let stream = conversation.stream(way);
        let mut out = Out::new(sink, stream, way, context.limits);
        let mut raw = Raw::new("tftp.packet");
        let mut reader = stream.reader();
        while let Some(chunk) = reader.next_chunk()? {
            let Chunk::Bytes { range, data } = chunk else {
                raw.close(&mut out);
                continue;
            };
            raw.write(&mut out, data, range);
            let asked = request(data).filter(|_| way == direction);
            let Some((write, name, netascii)) = asked else {
                out.place(range, Place::Opaque);
                continue;
            };
            let kind: &[u8] = if write { b"WRQ" } else { b"RRQ" };
            session::tell(&mut out, "tftp", shared.transaction(), range.start, (kind, name));
            out.place(ByteRange::new(range.start, range.start + 2), Place::Understood);
            if shared.tftp.0.len() < MAX_REQUESTS {
                let frame = out.frame(range.start).unwrap_or(FrameNo(0));
                let name = name.to_vec();
                shared.tftp.0.push(Request { frame, client, server, write, name, netascii });
            }
        }
        raw.close(&mut out);
    }
    Ok(true)
}

/// Whether a request writes, the file's name and whether its line ends are netascii's.
fn request(data: &[u8]) -> Option<(bool, &[u8], bool)> {
    let (write, rest) = match data {
        [0, 1, rest @ ..] => (false, rest),
        [0, 2, rest @ ..] => (true, rest),
        _ => return None,
    };
    let mut words = rest.split(|byte| *byte == 0);
    let (name, mode) = (words.next()?, words.next()?);
    let netascii = mode.eq_ignore_ascii_case(b"netascii");
    let known = netascii || mode.eq_ignore_ascii_case(b"octet") || mode.eq_ignore_ascii_case(b"mail");
    (known && !name.is_empty() && name.len() <= MAX_WORD).then_some((write, name, netascii))
}

/// Walks a transfer, if a request asked for this one; false, and nothing done, if none did.
pub(super) fn transfer(
    conversation: &Conversation<'_>,
    context: &Context<'_>,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<bool, ReadError> {
    let found = conversation
        .first_frame()
        .and_then(|frame| shared.tftp.find(conversation.local, conversation.remote, frame));
    let Some((request, client)) = found.map(|(request, client)| (request.clone(), client)) else {
        return Ok(false);
    };
    sink.protocol("tftp");
    let sender = if request.write { client } else { client.other() };
    for direction in [Direction::Up, Direction::Down] {
        let stream = conversation.stream(direction);
        let mut out = Out::new(sink, stream, direction, context.limits);
        if direction == sender {
            file(stream, &request, &mut out, shared)?;
        } else {
            answers(stream, &mut out)?;
        }
    }
    Ok(true)
}

/// The direction that acknowledges.
fn answers(stream: &Stream, out: &mut Out<'_>) -> Result<(), ReadError> {
    let (mut raw, mut reader) = (Raw::new("tftp.packet"), stream.reader());
    while let Some(chunk) = reader.next_chunk()? {
        match chunk {
            Chunk::Bytes { range, data } => {
                raw.write(out, data, range);
                // An acknowledgement names the block that came (RFC 1350 section 5).
                let place = if matches!(data, [0, 4, _, _]) { Place::Understood } else { Place::Opaque };
                out.place(range, place);
            }
            Chunk::Gap(_) => raw.close(out),
        }
    }
    raw.close(out);
    Ok(())
}

/// The direction that carries the file.
fn file(stream: &Stream, request: &Request, out: &mut Out<'_>, shared: &mut Shared) -> Result<(), ReadError> {
    let transaction = shared.transaction();
    let start = stream.pieces.first().map_or(0, |piece| piece.range.start);
    let kind: &[u8] = if request.write { b"WRQ data" } else { b"RRQ data" };
    session::tell(out, "tftp", transaction, start, (kind, &request.name));
    let mut raw = Raw::new("tftp.packet");
    let stage = Stage::new("tftp.data", Some(&request.name), start, Keep::Search);
    let transfer = request.netascii.then(|| "netascii".to_owned());
    let mut content = Content::new(stage, Declared { transfer, ..Declared::default() });
    let mut heads = Stage::new("tftp.header", None, start, Keep::Search);
    // Blocks are numbered from 1 and go on after 65,535 with 0 or with 1. All have one size but the last, which is shorter (RFC 1350
    // section 6); the size is 512 bytes unless an option says otherwise (RFC 2348).
    let (mut next, mut size, mut last, mut whole) = (1_u16, 0_u64, BLOCK, true);
    let mut reader = stream.reader();
    while let Some(chunk) = reader.next_chunk()? {
        let Chunk::Bytes { range, data } = chunk else {
            raw.close(out);
            continue;
        };
        let Some((number, bytes)) = block(data) else {
            out.transaction = None;
            raw.write(out, data, range);
            out.place(range, Place::Opaque);
            continue;
        };
        let head = ByteRange::new(range.start, range.start + HEADER);
        let body = ByteRange::new(head.end, range.end);
        let number = if next == 0 && number == 1 { 0 } else { number };
        let ahead = number.wrapping_sub(next);
        if ahead > u16::MAX / 2 {
            // A block that came before.
            out.transaction = None;
            raw.write(out, data, range);
            continue;
        }
        raw.close(out);
        out.transaction = Some(transaction);
        out.place(head, Place::Understood);
        heads.consumed(head.end);
        heads.write(out, Bytes::wire(data.get(..4).unwrap_or_default(), head));
        out.budget.input(range.len());
        if ahead > 0 {
            whole = false;
            content.gap(out, u64::from(ahead) * size.max(1), body.start);
        }
        content.push(out, Bytes::wire(bytes, body), body.end);
        (size, last) = (size.max(body.len()), body.len());
        next = number.wrapping_add(1);
    }
    raw.close(out);
    out.transaction = Some(transaction);
    content.finish(out);
    heads.close(out);
    let end = if whole && (last < size || last < BLOCK && size == last) {
        BodyEnd::Complete
    } else {
        BodyEnd::Incomplete
    };
    let (sink, direction) = (&mut *out.sink, out.direction);
    sink.body_end(transaction, direction, end, stream.present());
    Ok(())
}

/// Number and bytes of a block.
fn block(data: &[u8]) -> Option<(u16, &[u8])> {
    match data {
        [0, 3, high, low, bytes @ ..] => Some((u16::from_be_bytes([*high, *low]), bytes)),
        _ => None,
    }
}
