//! One direction of a connection while it is read.

use crate::{
    engine::proto::{
        hpack,
        http1::Role,
        http2::{Block, Handler, Header, Kind, Setting, settings},
    },
    evidence::{AnomalyKind, ByteRange},
};

use super::{
    super::{
        Shared,
        facts::{Facts, List, Room, text},
        heads,
        layers::{Bytes, Out, Stage},
        sink::{Keep, Place, RequestHead, ResponseHead},
    },
    exchange::{End, Exchanges, Half, TooMany},
    usual::{Usual, is_usual_priority},
};

/// Frames of a direction without a payload that are understood: acknowledgements of settings, which change a few times at most.
const EMPTY: u32 = 8;

/// What a direction announced and used.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Announced {
    /// The largest table that the other side may use.
    pub(super) table: Option<u32>,
    /// The largest table that this side used.
    pub(super) used: u64,
    /// Whether every frame was seen.
    pub(super) all_seen: bool,
}

/// A header list, taken out of its block.
struct Taken {
    list: Vec<(String, Vec<u8>)>,
    facts: Facts,
    length: Option<heads::Length>,
}

/// Takes what the parser finds.
pub(super) struct Side<'s, 'c> {
    pub(super) out: Out<'s>,
    role: Role,
    exchanges: &'c mut Exchanges,
    shared: &'c mut Shared,
    decoder: hpack::Decoder,
    framing: Stage,
    room: Room,
    usual: Usual,
    /// Frames without a payload that end nothing.
    empty: u32,
    /// Since when frames are not found.
    lost: Option<u64>,
    /// How often that happened.
    losses: u32,
    /// From where on everything is searched as it stands.
    pub(super) raw_from: Option<u64>,
    /// Whether a limit was reached, so that no more is read.
    pub(super) over: bool,
    pub(super) announced: Announced,
}

impl<'s, 'c> Side<'s, 'c> {
    pub(super) fn new(
        out: Out<'s>,
        role: Role,
        exchanges: &'c mut Exchanges,
        shared: &'c mut Shared,
    ) -> Self {
        exchanges.begin();
        Self {
            out,
            role,
            exchanges,
            shared,
            decoder: hpack::Decoder::new(),
            framing: Stage::new("http2.framing", None, 0, Keep::Search),
            room: Room::default(),
            usual: Usual::default(),
            empty: 0,
            lost: None,
            losses: 0,
            raw_from: None,
            over: false,
            announced: Announced { all_seen: true, ..Announced::default() },
        }
    }

    /// Ends the direction.
    pub(super) fn finish(&mut self) {
        self.framing.close(&mut self.out);
        if let Some(lost) = self.lost.take() {
            self.out.place(ByteRange::new(lost, self.out.stream.end()), Place::Opaque);
        }
        self.announced.used = self.decoder.largest();
        self.announced.all_seen &= self.raw_from.is_none();
    }

    /// Nothing is known any more from here on.
    pub(super) fn lose(&mut self, at: u64) {
        self.losses = self.losses.saturating_add(1);
        self.decoder.lose();
        self.lost.get_or_insert(at);
        self.raw_from.get_or_insert(at);
    }

    fn limit(&mut self, at: u64, why: &str) {
        let detail = format!("HTTP/2: {why}; what follows is searched as it stands");
        self.out.anomaly(AnomalyKind::LimitReached, Some(at), detail);
        self.over = true;
        self.lose(at);
    }

    fn understood(&mut self, range: ByteRange) {
        // What was found again by its looks is not called understood.
        if self.raw_from.is_none() {
            self.out.place(range, Place::Understood);
        }
    }

    /// Says what is understood of a request's block; gives back its Content-Length.
    fn account(&mut self, block: &Block<'_>, fields: &[hpack::Field]) -> Option<heads::Length> {
        if let Some((at, priority)) = block.priority
            && is_usual_priority(priority)
        {
            self.understood(ByteRange::new(at, at + 5));
        }
        let start = block.at.filter(|_| block.whole && self.raw_from.is_none())?;
        heads::compressed(&mut self.out, start, fields)
    }

    /// Reads a block: its fields, what they say, and a request's Content-Length.
    /// `first`: it is the head of its stream, and not what follows the content.
    fn fields(&mut self, block: &Block<'_>, first: bool) -> Taken {
        let mut list = List::new(&mut self.room, block.fragment.len());
        let mut coded = Vec::new();
        let result = self.decoder.decode(block.fragment, &mut |field| {
            list.push(&field);
            if self.role == Role::Requests {
                coded.push(field);
            }
        });
        let at = block.range.start;
        if let (Err(damage), true) = (result, block.whole) {
            self.out.anomaly(AnomalyKind::Http2Malformed, Some(at), format!("HPACK: {damage}"));
        }
        let (malformed, missing) = (AnomalyKind::Http2Malformed, AnomalyKind::Http2HeadersUnknown);
        let (list, facts) = list.finish(&mut self.out, at, malformed, missing);
        let length = result.ok().filter(|()| first).and_then(|()| self.account(block, &coded));
        if !block.whole {
            let detail = "a header block is not whole".to_owned();
            self.out.anomaly(AnomalyKind::Http2HeadersUnknown, Some(at), detail);
            self.decoder.lose();
        }
        Taken { list, facts, length }
    }

    fn header_block(&mut self, block: &Block<'_>) -> Result<(), TooMany> {
        // A promised request belongs to the stream that is promised.
        let (stream, role) = match block.promised {
            Some(promised) => (promised, Role::Requests),
            None => (block.stream, self.role),
        };
        let exchange = self.exchanges.get(stream)?;
        let transaction = *exchange.transaction.get_or_insert_with(|| self.shared.transaction());
        let first = exchange.half(role).head.is_none();
        self.out.transaction = Some(transaction);
        let Taken { list, facts, length } = self.fields(block, first);
        heads::list(&mut self.out, ("http2.headers", &format!("stream {stream}")), block.range, &list);
        let exchange = self.exchanges.get(stream)?;
        let half = exchange.half(role);
        if block.end_stream {
            half.end = half.ends(self.losses);
        }
        if half.head.is_some() && (facts.status.is_none() || role == Role::Requests) {
            if facts.method.is_some() {
                let detail = "a second request on one stream".to_owned();
                self.out.anomaly(AnomalyKind::Http2Malformed, Some(block.range.start), detail);
            }
            self.out.sink.trailer(transaction, self.out.direction, &list);
            return Ok(());
        }
        let interim = facts.status.is_some_and(|status| (100..200).contains(&status));
        match role {
            Role::Requests => self.request(block, stream, &facts, list),
            Role::Responses => self.response(block, stream, &facts, list),
        }
        if !interim {
            let half = self.exchanges.get(stream)?.half(role);
            // Its target was told, and may be as long as the block.
            let mut head = facts;
            half.name =
                (role == self.role && role == Role::Requests && !block.end_stream).then(|| head.part());
            head.path = None;
            (half.head, half.since, half.length) = (Some(head), Some(self.losses), length);
            if block.end_stream {
                half.end = End::Complete;
            }
        }
        Ok(())
    }

    fn request(&mut self, block: &Block<'_>, stream: u32, facts: &Facts, fields: Vec<(String, Vec<u8>)>) {
        let Some(transaction) = self.out.transaction else { return };
        let target = if facts.is_connect() && facts.path.is_none() { &facts.authority } else { &facts.path };
        // A promised request comes down, but stands for one that the client would have sent.
        let direction = match self.role {
            Role::Requests => self.out.direction,
            Role::Responses => self.out.direction.other(),
        };
        let head = RequestHead {
            transaction,
            method: facts.method.as_deref().map(text).unwrap_or_default(),
            uri: target.as_deref().unwrap_or_default().to_vec(),
            version: "HTTP/2".to_owned(),
            fields,
            range: block.range,
            frame: self.out.frame(block.range.start),
            direction,
            promised: self.role == Role::Responses,
            protocol: "http2",
            stream: Some(u64::from(stream)),
        };
        self.out.request(&head);
    }

    fn response(&mut self, block: &Block<'_>, stream: u32, facts: &Facts, fields: Vec<(String, Vec<u8>)>) {
        let Some(transaction) = self.out.transaction else { return };
        self.out.sink.response(&ResponseHead {
            transaction,
            status: facts.status.unwrap_or_default(),
            version: "HTTP/2".to_owned(),
            fields,
            range: block.range,
            frame: self.out.frame(block.range.start),
            direction: self.out.direction,
            protocol: "http2",
            stream: Some(u64::from(stream)),
        });
    }

    fn content(&mut self, header: &Header, content: ByteRange) -> Result<(), TooMany> {
        let half = self.exchanges.content(header.stream, content)?.half(self.role);
        // After a loss only what follows its own head is known to have its start.
        let late = half.is_torn(self.losses);
        let there = ByteRange::new(content.start, content.end.min(self.out.stream.end()));
        let list = if late { &mut half.late } else { &mut half.content };
        if !there.is_empty() {
            list.push(there);
        }
        // A frame that the capture cuts off ends nothing.
        if header.end_stream() && there == content {
            half.end = half.ends(self.losses);
        }
        Ok(())
    }
}

/// The largest table that a payload of SETTINGS allows.
pub(super) fn table(payload: &[u8]) -> Option<u32> {
    let tables = settings(payload).filter(|setting| setting.id == Setting::HEADER_TABLE_SIZE);
    tables.map(|setting| setting.value).max()
}

impl Handler for Side<'_, '_> {
    fn framing(&mut self, bytes: &[u8], range: ByteRange) {
        self.framing.consumed(range.end);
        self.framing.write(&mut self.out, Bytes::wire(bytes, range));
    }

    fn preface(&mut self, range: ByteRange) {
        self.understood(range);
    }

    fn frame(&mut self, header: &Header, at: u64) {
        // An empty frame says which stream and which kind it is, as often as one likes: few are needed, to acknowledge.
        let empty = header.length == 0 && !header.end_stream();
        self.empty = self.empty.saturating_add(u32::from(empty));
        let counted = empty && self.empty > EMPTY;
        if header.is_plain() && !counted && self.exchanges.expects(header.stream) {
            self.understood(ByteRange::new(at, at + 9));
        }
    }

    fn data(&mut self, header: &Header, content: ByteRange) {
        if self.over {
            return;
        }
        if let Err(TooMany(why)) = self.content(header, content) {
            self.limit(content.start, why);
        }
    }

    fn padding(&mut self, range: ByteRange, zeros: bool) {
        if zeros {
            self.understood(range);
        } else {
            let detail = "padding is not zero".to_owned();
            self.out.anomaly(AnomalyKind::Http2Malformed, Some(range.start), detail);
        }
    }

    fn payload(&mut self, header: &Header, payload: &[u8], range: ByteRange) {
        let open = |half: &Half| half.end == End::Open;
        let again = header.kind == Kind::RstStream
            && self.exchanges.all.get_mut(&header.stream).is_none_or(|exchange| {
                !open(exchange.half(Role::Requests)) && !open(exchange.half(Role::Responses))
            });
        if self.role == Role::Requests && !again && self.usual.holds(header, payload, self.exchanges.pushed())
        {
            self.understood(range);
        }
        match header.kind {
            Kind::Settings => {
                self.announced.table = self.announced.table.max(table(payload));
            }
            Kind::RstStream => {
                if let Some(exchange) = self.exchanges.all.get_mut(&header.stream) {
                    for role in [Role::Requests, Role::Responses] {
                        let half = exchange.half(role);
                        if half.end == End::Open {
                            half.end = End::Reset;
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn block(&mut self, block: &Block<'_>) {
        if self.over {
            return;
        }
        if let Err(TooMany(why)) = self.header_block(block) {
            self.limit(block.range.start, why);
        }
        self.out.transaction = None;
    }

    fn lost(&mut self, at: u64) {
        self.framing.close(&mut self.out);
        self.framing = Stage::new("http2.framing", None, at, Keep::Search);
        self.lose(at);
        let detail = "frames are not found after this".to_owned();
        self.out.anomaly(AnomalyKind::Http2FramesLost, Some(at), detail);
    }

    fn found(&mut self, at: u64) {
        if let Some(lost) = self.lost.take() {
            self.out.place(ByteRange::new(lost, at), Place::Opaque);
        }
    }

    fn malformed(&mut self, at: u64, why: String) {
        self.out.anomaly(AnomalyKind::Http2Malformed, Some(at), why);
    }

    fn too_large(&mut self, at: u64, why: String) {
        self.out.anomaly(AnomalyKind::LimitReached, Some(at), why);
    }
}
