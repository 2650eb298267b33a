//! One direction of a stream while it is read.

use std::collections::BTreeMap;

use crate::{
    engine::{
        net::stream::Chunk,
        proto::{
            http3::{Handler, Setting, kind},
            quic::{Cursor, Role},
        },
    },
    evidence::{AnomalyKind, ByteRange, FrameNo, ReadError},
};

use super::{
    super::{
        Shared,
        facts::{Facts, List, text},
        heads,
        layers::{Bytes, Out, Stage, Tally},
        raw::Raw,
        sink::{Keep, Place, RequestHead, ResponseHead, TransactionId},
    },
    session::{Reading, Session},
};

/// Frames of DATA that are remembered of one connection: 64 MiB of them, for 64 GiB in frames of the usual 16 KiB.
const MAX_CONTENT: usize = 1 << 22;

/// Types that HTTP/2 has and HTTP/3 may not (RFC 9114 section 7.2.8).
const OF_HTTP2: [u64; 4] = [0x02, 0x06, 0x08, 0x09];

/// What one end sent on a stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Half {
    /// Its head, but for interim ones.
    pub(super) head: Option<Facts>,
    /// The Content-Length of its head, in the same flow.
    pub(super) length: Option<heads::Length>,
    /// Where its content stands.
    pub(super) content: Vec<ByteRange>,
    /// Bytes of content in earlier flows.
    pub(super) before: u64,
    /// Whether it ended between two frames.
    pub(super) between_frames: bool,
    /// Whether frames are not found any more, or are not looked for.
    lost: bool,
    /// Whether its first frame came.
    begun: bool,
    trailers: bool,
}

impl Half {
    pub(super) fn has_content(&self) -> bool {
        !self.content.is_empty()
    }

    /// Whether its content is a body from its first byte on, which may be a part of an upload.
    pub(super) fn may_be_part(&self) -> bool {
        self.head.is_some() && self.before == 0 && !self.lost && !self.content.is_empty()
    }

    /// Whether all frames were found.
    pub(super) fn is_sound(&self) -> bool {
        !self.lost
    }

    /// What another flow goes on with, where this one came to `end`.
    pub(super) fn going_on(&self, end: u64) -> Self {
        let came = |content: &ByteRange| content.end.min(end).saturating_sub(content.start);
        let before = self.before + self.content.iter().map(came).sum::<u64>();
        let open = self.content.last().filter(|content| content.end > end);
        let content = open.map(|open| ByteRange::new(open.start.max(end), open.end));
        Self { before, content: content.into_iter().collect(), length: None, ..self.clone() }
    }
}

/// Which direction of which stream it is.
#[derive(Clone, Copy)]
pub(super) struct On<'p> {
    pub(super) id: u64,
    pub(super) sender: Role,
    pub(super) reading: Reading,
    /// The streams of pushes.
    pub(super) pushes: &'p BTreeMap<u64, u64>,
}

/// Takes what the parser finds.
pub(super) struct Side<'s, 'c> {
    out: Out<'s>,
    on: On<'c>,
    half: Half,
    session: &'c mut Session,
    promised: &'c mut BTreeMap<u64, TransactionId>,
    shared: &'c mut Shared,
    transaction: &'c mut Option<TransactionId>,
    framing: Stage,
    raw: Raw,
    /// The type and length that came last.
    head: Option<(u64, ByteRange)>,
    /// From where on a limit leaves frames unread.
    pub(super) over: Option<u64>,
}

impl<'s, 'c> Side<'s, 'c> {
    pub(super) fn new(
        out: Out<'s>,
        on: On<'c>,
        half: Half,
        (session, promised, shared): (&'c mut Session, &'c mut BTreeMap<u64, TransactionId>, &'c mut Shared),
        transaction: &'c mut Option<TransactionId>,
    ) -> Self {
        Self {
            out,
            on,
            half,
            session,
            promised,
            shared,
            transaction,
            framing: Stage::new("http3.framing", None, 0, Keep::Search),
            raw: Raw::unknown(),
            head: None,
            over: None,
        }
    }

    /// Ends the direction.
    pub(super) fn finish(mut self, between_frames: bool) -> (Half, Tally) {
        self.framing.close(&mut self.out);
        self.raw.close(&mut self.out);
        self.half.between_frames = between_frames;
        (self.half, self.out.tally())
    }

    /// The type of a unidirectional stream, and the number of a push.
    pub(super) fn opening(&mut self, bytes: Bytes<'_>) {
        if bytes.data.is_empty() {
            return;
        }
        self.framing(bytes.data, bytes.from);
        // One byte is the shortest form of each type that is read.
        if bytes.from.start == 0 {
            self.out.place(ByteRange::new(0, 1), Place::Understood);
        }
    }

    /// Bytes that are none of a frame any more.
    pub(super) fn late(&mut self, bytes: Bytes<'_>) {
        if !bytes.data.is_empty() {
            self.raw(bytes.data, bytes.from);
        }
    }

    /// Gives the rest of the stream as it stands.
    pub(super) fn rest(&mut self, from: u64) -> Result<(), ReadError> {
        let stream = self.out.stream;
        let mut reader = stream.reader();
        reader.skip_to(from);
        while let Some(chunk) = reader.next_chunk()? {
            if let Chunk::Bytes { range, data } = chunk {
                let skip = usize::try_from(from.saturating_sub(range.start)).unwrap_or(usize::MAX);
                let (_, rest) = Bytes::wire(data, range).split(skip.min(data.len()));
                self.late(rest);
            }
        }
        Ok(())
    }

    fn anomaly(&mut self, kind: AnomalyKind, at: u64, detail: String) {
        self.out.anomaly(kind, Some(at), detail);
    }

    fn malformed(&mut self, at: u64, detail: &str) {
        let detail = format!("stream {}: {detail}", self.on.id);
        self.anomaly(AnomalyKind::Http3Malformed, at, detail);
    }

    /// The type and length of a frame whose content stands at `content` say no more than where it ends, if they are
    /// as short as they can be.
    fn understood(&mut self, content: ByteRange) {
        if let Some((kind, range)) = self.head.take()
            && range.len() == shortest(kind) + shortest(content.len())
        {
            self.out.place(range, Place::Understood);
        }
    }

    /// Reads a field section: its fields, and what they say.
    fn fields(&mut self, section: &[u8], range: ByteRange) -> (Vec<(String, Vec<u8>)>, Facts) {
        let sender = self.on.sender;
        let frames = self.out.stream.pieces_in(range).iter().map(|piece| piece.frame);
        let frame = frames.max().unwrap_or(FrameNo(0));
        let capacity = *self.session.capacities.get(sender.other());
        let mut list = List::new(self.session.rooms.get_mut(sender), section.len());
        let table = self.session.tables.get(sender);
        let mut coded = Vec::new();
        let result = table.decode(section, frame, capacity, &mut |field| {
            list.push(&field);
            if sender == Role::Client {
                coded.push(field);
            }
        });
        let (malformed, missing) = (AnomalyKind::Http3Malformed, AnomalyKind::Http3HeadersUnknown);
        if let Err(damage) = result {
            self.out.anomaly(malformed, Some(range.start), format!("QPACK: {damage}"));
        }
        let taken = list.finish(&mut self.out, range.start, malformed, missing);
        // A section with its prefix, where that refers to no table (RFC 9204 section 4.5.1).
        let first = self.half.head.is_none();
        if result.is_ok() && first && sender == Role::Client && section.len() as u64 == range.len() {
            if section.starts_with(&[0, 0]) {
                self.out.place(ByteRange::new(range.start, range.start + 2), Place::Understood);
            }
            self.half.length = heads::compressed(&mut self.out, range.start, &coded);
        }
        taken
    }

    /// Reads a section as a leaf of its own.
    fn section(
        &mut self,
        transaction: TransactionId,
        section: &[u8],
        range: ByteRange,
    ) -> (Vec<(String, Vec<u8>)>, Facts) {
        self.out.transaction = Some(transaction);
        let (fields, facts) = self.fields(section, range);
        let name = format!("stream {}", self.on.id);
        heads::list(&mut self.out, ("http3.headers", &name), range, &fields);
        self.out.transaction = None;
        (fields, facts)
    }

    fn headers(&mut self, section: &[u8], range: ByteRange) {
        let shared = &mut *self.shared;
        let transaction = *self.transaction.get_or_insert_with(|| shared.transaction());
        let (fields, facts) = self.section(transaction, section, range);
        let requests = self.on.sender == Role::Client;
        if self.half.head.is_some() && (facts.status.is_none() || requests) {
            if facts.method.is_some() {
                self.malformed(range.start, "a second request");
            }
            if std::mem::replace(&mut self.half.trailers, true) {
                self.malformed(range.start, "a field section after the trailers");
            }
            self.out.sink.trailer(transaction, self.out.direction, &fields);
            return;
        }
        let interim = facts.status.is_some_and(|status| (100..200).contains(&status));
        if requests {
            self.request(transaction, Some(self.on.id), &facts, fields, range);
        } else {
            self.out.sink.response(&ResponseHead {
                transaction,
                status: facts.status.unwrap_or_default(),
                version: "HTTP/3".to_owned(),
                fields,
                range,
                frame: self.out.frame(range.start),
                direction: self.out.direction,
                protocol: "http3",
                stream: Some(self.on.id),
            });
        }
        if !interim {
            self.half.head = Some(facts);
        }
    }

    fn request(
        &mut self,
        transaction: TransactionId,
        stream: Option<u64>,
        facts: &Facts,
        fields: Vec<(String, Vec<u8>)>,
        range: ByteRange,
    ) {
        let target = if facts.is_connect() && facts.path.is_none() { &facts.authority } else { &facts.path };
        // A promised request comes down, but stands for one that the client would have sent.
        let direction = match self.on.sender {
            Role::Client => self.out.direction,
            Role::Server => self.out.direction.other(),
        };
        let head = RequestHead {
            transaction,
            method: facts.method.as_deref().map(text).unwrap_or_default(),
            uri: target.as_deref().unwrap_or_default().to_vec(),
            version: "HTTP/3".to_owned(),
            fields,
            range,
            frame: self.out.frame(range.start),
            direction,
            promised: self.on.sender == Role::Server,
            protocol: "http3",
            stream,
        };
        self.out.request(&head);
    }

    /// A request that the server made up (RFC 9114 section 4.6). It may be promised on several streams.
    fn promise(&mut self, payload: &[u8], range: ByteRange) {
        let mut cursor = Cursor::new(payload);
        let Some(push) = cursor.varint() else {
            return self.malformed(range.start, "a PUSH_PROMISE that ends before its end");
        };
        let known = self.promised.get(&push).copied();
        let transaction = known.unwrap_or_else(|| self.shared.transaction());
        self.promised.insert(push, transaction);
        let range = ByteRange::new(range.start + cursor.at() as u64, range.end);
        let (fields, facts) = self.section(transaction, cursor.rest(), range);
        if known.is_none() {
            let stream = self.on.pushes.get(&push).copied();
            self.request(transaction, stream, &facts, fields, range);
        }
    }

    fn settings(&mut self, payload: &[u8], at: u64) {
        let Some(settings) = Setting::all(payload) else {
            return self.malformed(at, "SETTINGS that end before their end");
        };
        let capacity = settings.iter().find(|setting| setting.number == Setting::TABLE_CAPACITY);
        // What is not set is zero (RFC 9204 section 5).
        let capacity = capacity.map_or(0, |setting| setting.value);
        *self.session.capacities.get_mut(self.on.sender) = Some(capacity);
    }

    /// Whether a frame of this type may stand here (RFC 9114 section 7.2).
    fn admits(&self, kind: u64) -> Result<(), &'static str> {
        let control = self.on.reading == Reading::Control;
        match kind {
            kind::SETTINGS if control && self.half.begun => Err("a second SETTINGS"),
            _ if control && !self.half.begun && kind != kind::SETTINGS => {
                Err("the first frame of a control stream is no SETTINGS")
            }
            kind::DATA | kind::HEADERS | kind::PUSH_PROMISE if control => {
                Err("a frame of a request on a control stream")
            }
            kind::SETTINGS | kind::GOAWAY | kind::CANCEL_PUSH | kind::MAX_PUSH_ID if !control => {
                Err("a frame of a control stream")
            }
            kind::PUSH_PROMISE if self.on.sender == Role::Client || self.on.reading != Reading::Request => {
                Err("a PUSH_PROMISE where none may be")
            }
            kind::DATA if self.half.trailers => Err("DATA after the trailers"),
            kind::DATA if self.half.head.is_none() => Err("DATA before HEADERS"),
            kind if OF_HTTP2.contains(&kind) => Err("a frame of HTTP/2"),
            _ => Ok(()),
        }
    }
}

/// Bytes of the shortest form of a variable-length integer (RFC 9000 section 16).
fn shortest(value: u64) -> u64 {
    match value {
        0..=0x3f => 1,
        0x40..=0x3fff => 2,
        0x4000..=0x3fff_ffff => 4,
        _ => 8,
    }
}

impl Handler for Side<'_, '_> {
    fn framing(&mut self, bytes: &[u8], range: ByteRange) {
        self.framing.consumed(range.end);
        self.framing.write(&mut self.out, Bytes::wire(bytes, range));
    }

    fn head(&mut self, kind: u64, range: ByteRange) {
        if let Err(why) = self.admits(kind) {
            self.malformed(range.start, why);
        }
        self.half.begun = true;
        self.head = Some((kind, range));
    }

    fn data(&mut self, content: ByteRange) {
        self.understood(content);
        if self.over.is_some() || content.is_empty() {
            return;
        }
        self.session.frames += 1;
        if self.session.frames > MAX_CONTENT {
            let detail = format!(
                "HTTP/3: more than {MAX_CONTENT} frames of DATA in one connection; the rest of stream {} is searched \
                 as it stands",
                self.on.id
            );
            self.anomaly(AnomalyKind::LimitReached, content.start, detail);
            (self.over, self.half.lost) = (Some(content.start), true);
            return;
        }
        self.half.content.push(content);
    }

    fn payload(&mut self, kind: u64, payload: &[u8], range: ByteRange) {
        self.understood(range);
        if self.over.is_some() {
            return;
        }
        let control = self.on.reading == Reading::Control;
        match kind {
            kind::HEADERS if !control => self.headers(payload, range),
            kind::PUSH_PROMISE if !control => self.promise(payload, range),
            kind::SETTINGS if control => self.settings(payload, range.start),
            _ => {}
        }
    }

    fn unread(&mut self, kind: u64, range: ByteRange, why: &'static str) {
        self.understood(range);
        if matches!(kind, kind::HEADERS | kind::PUSH_PROMISE) {
            let detail = format!("a field section on stream {} is not read: {why}", self.on.id);
            self.anomaly(AnomalyKind::Http3HeadersUnknown, range.start, detail);
        }
        // What follows is the content of a head that is not known, or trailers are missing.
        if kind == kind::HEADERS && self.half.head.is_none() {
            self.half.head = Some(Facts::default());
        }
    }

    fn raw(&mut self, bytes: &[u8], range: ByteRange) {
        self.out.transaction = *self.transaction;
        self.raw.write(&mut self.out, bytes, range);
        self.out.place(range, Place::Opaque);
        self.out.transaction = None;
    }

    fn lost(&mut self, at: u64) {
        self.half.lost = true;
        let detail = format!("frames of stream {} are not found after this", self.on.id);
        self.anomaly(AnomalyKind::Http3FramesLost, at, detail);
    }
}
