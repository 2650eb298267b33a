//! WebSocket connections: each message is content.

use crate::{
    engine::{
        codec::MessageDeflate,
        net::stream::Stream,
        proto::websocket::{self, CLOSE, CONTINUATION, Handler, Header, Parser, RSV1},
    },
    evidence::{AnomalyKind, ByteRange, ReadError},
};

use super::{
    Context, Conversation, Shared,
    content::{Content, Declared},
    layers::{Bytes, Held, Out, Stage},
    opening::{Opening, Openings},
    raw::Raw,
    session,
    sink::{BodyEnd, Keep, Place, Sink, TransactionId},
    upgrade::Upgrade,
};

/// What HTTP calls it (RFC 6455 section 11.2).
const PROTOCOL: &str = "websocket";

/// What was agreed on, where that is WebSocket and the bytes do not deny it: servers answer `Upgrade: websocket` for
/// other protocols too.
pub(super) fn agreed<'a>(context: &Context<'a>, openings: &Openings) -> Option<&'a Upgrade> {
    let upgrade = context.upgrade.filter(|upgrade| upgrade.protocol == PROTOCOL)?;
    let rsv = reserved(upgrade);
    let fits = |opening: &Opening| {
        !opening.from_start || Header::read(&opening.bytes).is_none_or(|header| header.broken(rsv).is_none())
    };
    let (up, down) = (&openings.up, &openings.down);
    let some = [up, down].iter().any(|opening| !opening.bytes.is_empty() && opening.from_start);
    (some && fits(up) && fits(down)).then_some(upgrade)
}

/// Reserved bits that the extensions use.
fn reserved(upgrade: &Upgrade) -> u8 {
    if websocket::deflate(&upgrade.extensions).is_some() { RSV1 } else { 0 }
}

/// Frames whose masks are understood, of one direction: together they hold no more than the random fields of one hello of TLS
/// (random, session and key share, 32 bytes each), and somewhat less. The masks of all others are bytes that a client chooses
/// as freely, and as often as it likes.
const MASKS: u32 = 16;

/// Bytes of a mask (RFC 6455 section 5.3).
const MASK: u64 = 4;

/// Walks the frames of both directions.
pub(super) fn walk(
    conversation: &Conversation<'_>,
    upgrade: &Upgrade,
    context: &Context<'_>,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    sink.protocol(PROTOCOL);
    let deflate = websocket::deflate(&upgrade.extensions);
    for (direction, masked) in [(upgrade.client, true), (upgrade.client.other(), false)] {
        let takeover = deflate.map(|with| if masked { with.client_takeover } else { with.server_takeover });
        let stream = conversation.stream(direction);
        let out = Out::new(sink, stream, direction, context.limits);
        let mut side = Side::new(out, shared, takeover.map(MessageDeflate::new), masked);
        read(stream, reserved(upgrade), &mut side)?;
    }
    Ok(())
}

fn read(stream: &Stream, rsv: u8, side: &mut Side<'_, '_>) -> Result<(), ReadError> {
    let mut parser = Parser::new(rsv);
    let mut reader = stream.reader();
    while let Some(chunk) = reader.next_chunk()? {
        parser.push(&chunk, side);
    }
    parser.finish(side);
    side.finish();
    Ok(())
}

/// A message while its frames come by.
struct Message {
    content: Content,
    transaction: TransactionId,
    /// Bytes of payload, those that are missing among them.
    len: u64,
    gapped: bool,
}

/// A frame of control, which may stand between the frames of a message (RFC 6455 section 5.4).
struct Control {
    opcode: u8,
    at: u64,
    payload: Held,
    gapped: bool,
}

/// One direction while it is read.
struct Side<'s, 'e> {
    out: Out<'s>,
    shared: &'e mut Shared,
    framing: Stage,
    lost: Raw,
    deflate: Option<MessageDeflate>,
    /// Whether its frames must be masked (section 5.1).
    masked: bool,
    /// Masks that were called understood.
    masks: u32,
    /// Whether it was said that they are not as they must be.
    told: bool,
    message: Option<Message>,
    control: Option<Control>,
    /// Whether the message ends with the frame.
    last: bool,
}

impl<'s, 'e> Side<'s, 'e> {
    fn new(out: Out<'s>, shared: &'e mut Shared, deflate: Option<MessageDeflate>, masked: bool) -> Self {
        Self {
            out,
            shared,
            framing: Stage::new("websocket.framing", None, 0, Keep::Search),
            lost: Raw::unknown(),
            deflate,
            masked,
            masks: 0,
            told: false,
            message: None,
            control: None,
            last: false,
        }
    }

    fn finish(&mut self) {
        if self.message.is_some() {
            let at = self.out.stream.end().saturating_sub(1);
            self.malformed(at, "it ends within a message");
            self.end(false);
        }
        self.framing.close(&mut self.out);
        self.lost.close(&mut self.out);
    }

    /// Begins a message with its first frame.
    fn begin(&mut self, header: &Header, at: u64, start: u64) {
        let kind = websocket::name(header.opcode);
        let transaction = self.shared.transaction();
        session::tell(&mut self.out, PROTOCOL, transaction, at, (kind.as_bytes(), b""));
        let stage = stage(kind, start);
        let content = match &self.deflate {
            Some(deflate) if header.rsv & RSV1 != 0 => {
                Content::coded(stage, "permessage-deflate", deflate.message(), Declared::default())
            }
            _ => Content::new(stage, Declared::default()),
        };
        self.message = Some(Message { content, transaction, len: 0, gapped: false });
    }

    /// Ends the message that is open.
    fn end(&mut self, complete: bool) {
        let Some(mut message) = self.message.take() else { return };
        self.out.transaction = Some(message.transaction);
        message.content.finish(&mut self.out);
        let end = if complete && !message.gapped { BodyEnd::Complete } else { BodyEnd::Incomplete };
        self.out.transaction = None;
        self.out.sink.body_end(message.transaction, self.out.direction, end, message.len);
    }

    /// Tells of a frame of control, which is a message of its own.
    fn control(&mut self, control: &Control, complete: bool) {
        let Control { opcode, at, payload, gapped } = control;
        let transaction = self.shared.transaction();
        let kind = websocket::name(*opcode);
        let code = match payload.data.first_chunk() {
            Some(code) if *opcode == CLOSE => u16::from_be_bytes(*code).to_string(),
            _ => String::new(),
        };
        session::tell(&mut self.out, PROTOCOL, transaction, *at, (kind.as_bytes(), code.as_bytes()));
        self.out.transaction = Some(transaction);
        let bytes = payload.bytes();
        if *opcode == CLOSE && complete && !gapped && websocket::closes_plainly(bytes.data) {
            self.out.place(bytes.from, Place::Understood);
        }
        let mut content = Content::new(stage(kind, bytes.from.start), Declared::default());
        content.push(&mut self.out, bytes, bytes.from.end);
        content.finish(&mut self.out);
        self.out.transaction = None;
        let end = if complete && !gapped { BodyEnd::Complete } else { BodyEnd::Incomplete };
        self.out.sink.body_end(transaction, self.out.direction, end, bytes.len());
    }

    /// Holds a frame to what its place allows.
    fn check(&mut self, header: &Header, at: u64) {
        if header.mask.is_some() != self.masked && !std::mem::replace(&mut self.told, true) {
            let why =
                if self.masked { "a client's frame is not masked" } else { "a server's frame is masked" };
            self.malformed(at, why);
        }
        if !header.shortest {
            self.malformed(at, "a length in more bytes than it needs");
        }
        let inside = self.message.is_some();
        let first = !header.is_control() && header.opcode != CONTINUATION;
        if header.rsv & RSV1 != 0 && !first {
            self.malformed(at, "compression is announced where no message begins");
        }
        if first && inside {
            self.malformed(at, "a message begins inside another");
        } else if header.opcode == CONTINUATION && !inside {
            self.malformed(at, "a message goes on that did not begin");
        }
    }
}

fn stage(kind: &'static str, start: u64) -> Stage {
    Stage::new("websocket.message", Some(kind.as_bytes()), start, Keep::Search)
}

impl Handler for Side<'_, '_> {
    fn frame(&mut self, header: &Header, bytes: &[u8], at: u64) {
        let range = ByteRange::new(at, at + bytes.len() as u64);
        self.framing.consumed(range.end);
        self.framing.write(&mut self.out, Bytes::wire(bytes, range));
        if header.shortest {
            // The mask is the random number that section 5.3 demands.
            let mask = if header.mask.is_some() { MASK } else { 0 };
            let early = self.masks < MASKS;
            self.masks += u32::from(early);
            let end = if early { range.end } else { range.end - mask };
            self.out.place(ByteRange::new(range.start, end), Place::Understood);
        }
        self.check(header, at);
        if header.is_control() {
            let payload = Held::default();
            self.control = Some(Control { opcode: header.opcode, at, payload, gapped: false });
            return;
        }
        self.last = header.fin;
        if header.opcode != CONTINUATION {
            self.end(false);
        }
        match &mut self.message {
            Some(message) => message.content.runs(range.end),
            None => self.begin(header, at, range.end),
        }
    }

    fn payload(&mut self, bytes: &[u8], range: ByteRange) {
        self.out.budget.input(range.len());
        // Without its mask each byte stands in its place.
        let bytes = Bytes::wire(bytes, range);
        if let Some(control) = &mut self.control {
            control.payload.push(bytes);
        } else if let Some(message) = &mut self.message {
            message.len += range.len();
            self.out.transaction = Some(message.transaction);
            message.content.push(&mut self.out, bytes, range.end);
            self.out.transaction = None;
        }
    }

    fn payload_gap(&mut self, gap: ByteRange) {
        if let Some(control) = &mut self.control {
            control.gapped = true;
        } else if let Some(message) = &mut self.message {
            (message.len, message.gapped) = (message.len + gap.len(), true);
            self.out.transaction = Some(message.transaction);
            message.content.gap(&mut self.out, gap.len(), gap.end);
            self.out.transaction = None;
        }
    }

    fn frame_end(&mut self, complete: bool) {
        if let Some(control) = self.control.take() {
            self.control(&control, complete);
        } else if self.last && complete {
            self.end(true);
        } else if !complete {
            self.end(false);
        }
    }

    fn lost(&mut self, bytes: &[u8], range: ByteRange) {
        self.lost.write(&mut self.out, bytes, range);
        self.out.place(range, Place::Opaque);
    }

    fn gap(&mut self, _: ByteRange) {
        self.end(false);
        self.lost.close(&mut self.out);
    }

    fn malformed(&mut self, at: u64, why: &'static str) {
        self.out.anomaly(AnomalyKind::WebsocketMalformed, Some(at), format!("WebSocket: {why}"));
    }
}
