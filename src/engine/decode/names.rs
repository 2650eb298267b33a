//! Names that stand in clear: DNS messages and TLS hellos. The bytes are leaves as they stand.

use crate::{
    engine::{
        net::stream::Chunk,
        proto::{dns, tls},
    },
    evidence::{AnomalyKind, ByteRange, Direction, FrameNo, Limits, ReadError, Transport},
};

use super::{
    Conversation,
    layers::Out,
    raw::Raw,
    sink::{DnsMessage, DnsOver, Place, Sink, TlsHello},
};

/// DNS, multicast DNS (RFC 6762), link-local names (RFC 4795).
pub(super) const DNS_PORTS: [u16; 3] = [53, 5353, 5355];

/// Those of the local link among them.
const LINK_PORTS: [u16; 2] = [5353, 5355];

/// DNS over TLS (RFC 7858 section 3.1).
pub(super) const DOT_PORT: u16 = 853;

/// Messages that are looked at to tell whether a flow is DNS.
const PROBED: u32 = 8;

/// Walks a conversation on a port of DNS; false, and nothing done, if no message of it parses.
pub(super) fn dns(
    conversation: &Conversation<'_>,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<bool, ReadError> {
    let sides = [Direction::Up, Direction::Down];
    let mut is_dns = false;
    for direction in sides {
        is_dns = is_dns || has_message(conversation, direction)?;
    }
    if !is_dns {
        return Ok(false);
    }
    sink.protocol("dns");
    let over = if conversation.has_port(&LINK_PORTS) { DnsOver::Link } else { DnsOver::Itself };
    for direction in sides {
        let mut out = Out::new(sink, conversation.stream(direction), direction, limits);
        let mut raw = Raw::default();
        messages(conversation, direction, &mut |part| {
            match part {
                Part::Bytes(range, data) => raw.write(&mut out, data, range),
                Part::Gap => raw.close(&mut out),
                Part::Message(range, data) => message(&mut out, range, data, over),
                Part::Lost(range) => out.place(range, Place::Opaque),
            }
            true
        })?;
        raw.close(&mut out);
    }
    Ok(true)
}

fn has_message(conversation: &Conversation<'_>, direction: Direction) -> Result<bool, ReadError> {
    let (mut found, mut seen) = (false, 0);
    messages(conversation, direction, &mut |part| {
        // A chunk may hold more messages than are looked at.
        if let Part::Message(_, data) = part
            && seen < PROBED
        {
            seen += 1;
            found = found || dns::parse(data).is_ok();
        }
        !found && seen < PROBED
    })?;
    Ok(found)
}

enum Part<'a> {
    /// Bytes of the stream.
    Bytes(ByteRange, &'a [u8]),
    /// Bytes that are missing.
    Gap,
    /// A message, and the range that ends with it (for TCP with its length; its start is right where the
    /// message came in one piece, as all but the largest do).
    Message(ByteRange, &'a [u8]),
    /// Bytes after a gap, where messages are not found again.
    Lost(ByteRange),
}

/// Gives each message of a direction, until `take` says that it is enough.
fn messages(
    conversation: &Conversation<'_>,
    direction: Direction,
    take: &mut dyn FnMut(Part<'_>) -> bool,
) -> Result<(), ReadError> {
    let stream = conversation.stream(direction);
    let mut reader = stream.reader();
    let mut framer = dns::Framer::default();
    let (mut lost, mut message_end) = (!stream.from_start, 0);
    let mut goes_on = true;
    while let Some(chunk) = reader.next_chunk()? {
        match chunk {
            Chunk::Gap(_) => {
                lost = true;
                goes_on &= take(Part::Gap);
            }
            Chunk::Bytes { range, data } => {
                goes_on &= take(Part::Bytes(range, data));
                if conversation.transport == Transport::Udp {
                    goes_on &= take(Part::Message(range, data));
                } else if lost {
                    goes_on &= take(Part::Lost(range));
                } else {
                    framer.push(data, &mut |message| {
                        let start: u64 = message_end;
                        message_end += message.len() as u64 + 2;
                        goes_on &= take(Part::Message(ByteRange::new(start, message_end), message));
                    });
                }
            }
        }
        if !goes_on {
            break;
        }
    }
    Ok(())
}

fn message(out: &mut Out<'_>, range: ByteRange, data: &[u8], over: DnsOver) {
    let parsed = match dns::parse(data) {
        Ok(parsed) => parsed,
        Err(why) => {
            out.anomaly(AnomalyKind::DnsMalformed, Some(range.start), format!("DNS message: {why}"));
            out.place(range, Place::Opaque);
            return;
        }
    };
    let start = range.end - data.len() as u64;
    out.place(ByteRange::new(range.start, start), Place::Understood);
    for part in &parsed.understood {
        out.place(part.moved(start), Place::Understood);
    }
    tell(out, parsed, range, Some(start), over);
}

/// Tells of a message that was read from `range` of the stream, where it begins at `start` if it stands there as it is.
pub(super) fn tell(
    out: &mut Out<'_>,
    parsed: dns::Message,
    range: ByteRange,
    start: Option<u64>,
    over: DnsOver,
) {
    let Some((frame, time)) = out.stream.pieces_in(range).last().map(|piece| (piece.frame, piece.time))
    else {
        return;
    };
    if let (Some(name), Some(start), Some((text, _))) = (parsed.plain_name, start, parsed.questions.first()) {
        let direction = out.direction;
        out.sink.name(direction, name.moved(start), text);
    }
    out.sink.dns(&DnsMessage {
        frame,
        time,
        id: parsed.id,
        response: parsed.response,
        rcode: parsed.rcode,
        questions: parsed.questions,
        answers: parsed.answers,
        over,
    });
}

/// Tells the sink of hellos, in bytes that are opaque in any case.
pub(super) struct TunnelledHellos<'o, 's>(pub(super) &'o mut Out<'s>);

impl tls::ClearHandler for TunnelledHellos<'_, '_> {
    fn hello(&mut self, at: u64, hello: tls::Hello) {
        tell_hello(self.0, at, hello);
    }

    fn record_header(&mut self, _: ByteRange) {}

    fn opaque(&mut self, _: ByteRange) {}

    fn malformed(&mut self, _: u64, _: &'static str) {}
}

fn tell_hello(out: &mut Out<'_>, at: u64, hello: tls::Hello) {
    let frame = out.frame(at).unwrap_or(FrameNo(0));
    out.sink.tls_hello(&TlsHello::of(hello, frame, tls::Over::Tcp));
}
