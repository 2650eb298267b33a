//! The frames of one direction of one stream, chunk by chunk.

use super::kind;
use crate::{
    engine::{net::stream::Chunk, proto::quic::Cursor},
    evidence::ByteRange,
};

/// A payload that is read as a whole: HEADERS, SETTINGS, PUSH_PROMISE. Servers refuse field sections beyond 8 to
/// 256 KiB.
const MAX_PAYLOAD: u64 = 1 << 20;

/// The longest type and length.
const LONGEST_HEAD: usize = 16;

/// Takes what a [`Parser`] finds, in the order of the stream.
pub trait Handler {
    /// Bytes of frames beside the content of DATA, each once.
    fn framing(&mut self, bytes: &[u8], range: ByteRange);

    /// A frame's type and length stand here.
    fn head(&mut self, kind: u64, range: ByteRange);

    /// The content of DATA; the stream may end or have gaps inside it.
    fn data(&mut self, content: ByteRange);

    /// The payload of a frame of another known type.
    fn payload(&mut self, kind: u64, payload: &[u8], range: ByteRange);

    /// A payload of which bytes are missing, or that is too long to be read as a whole.
    fn unread(&mut self, kind: u64, range: ByteRange, why: &'static str);

    /// Bytes that belong to no frame: behind a frame whose end is missing, or in a stream that is no HTTP any more.
    fn raw(&mut self, bytes: &[u8], range: ByteRange);

    /// Where the next frame starts is not known from here on.
    fn lost(&mut self, at: u64);
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// At the type and length of a frame.
    Head,
    Data,
    Payload {
        kind: u64,
        until: u64,
        kept: bool,
    },
    /// Frames end here.
    Raw,
}

/// Parses one direction of one stream.
#[derive(Clone, Debug)]
pub struct Parser {
    state: State,
    /// The next byte that is wanted; those before it are stepped over.
    at: u64,
    held: Vec<u8>,
    /// Where what is held starts.
    held_at: u64,
}

impl Parser {
    /// Begins with the frame that starts at `at`.
    pub fn new(at: u64) -> Self {
        Self { state: State::Head, at, held: Vec::new(), held_at: at }
    }

    /// The next byte that is wanted: what stands before it need not be pushed.
    pub fn wanted(&self) -> u64 {
        self.at
    }

    /// Takes the next chunk of the stream.
    pub fn push(&mut self, chunk: &Chunk<'_>, handler: &mut dyn Handler) {
        match chunk {
            Chunk::Gap(gap) if gap.end <= self.at => {}
            Chunk::Gap(gap) => self.gap(ByteRange::new(gap.start.max(self.at), gap.end), handler),
            Chunk::Bytes { range, data } => self.bytes(range.start, data, handler),
        }
    }

    fn bytes(&mut self, start: u64, data: &[u8], handler: &mut dyn Handler) {
        loop {
            let skip = usize::try_from(self.at.saturating_sub(start)).unwrap_or(usize::MAX);
            let Some(rest) = data.get(skip..).filter(|rest| !rest.is_empty()) else { return };
            self.take(rest, handler);
        }
    }

    /// Takes at least one byte from the front.
    fn take(&mut self, data: &[u8], handler: &mut dyn Handler) {
        match self.state {
            State::Head => self.head(data, handler),
            // The content of DATA is stepped over.
            State::Data => self.state = State::Head,
            State::Payload { kind, until, kept } => {
                let wanted = usize::try_from(until - self.at).unwrap_or(usize::MAX);
                let bytes = data.get(..wanted.min(data.len())).unwrap_or_default();
                self.advance(bytes, handler);
                if kept {
                    self.held.extend_from_slice(bytes);
                }
                if self.at == until {
                    self.payload(kind, until, kept, handler);
                }
            }
            State::Raw => {
                let range = ByteRange::new(self.at, self.at + data.len() as u64);
                handler.raw(data, range);
                self.at = range.end;
            }
        }
    }

    /// Goes on over bytes that frame something.
    fn advance(&mut self, bytes: &[u8], handler: &mut dyn Handler) {
        let range = ByteRange::new(self.at, self.at + bytes.len() as u64);
        handler.framing(bytes, range);
        self.at = range.end;
    }

    fn head(&mut self, data: &[u8], handler: &mut dyn Handler) {
        if self.held.is_empty() {
            self.held_at = self.at;
        }
        let before = self.held.len();
        self.held.extend(data.iter().take(LONGEST_HEAD - before.min(LONGEST_HEAD)));
        let mut cursor = Cursor::new(&self.held);
        let read = cursor.varint().and_then(|kind| {
            let whole = if kind == self::kind::WEBTRANSPORT { Some(0) } else { cursor.varint() };
            Some((kind, whole?))
        });
        let Some((kind, length)) = read else {
            // Not whole yet: all that is there was taken.
            return self.advance(data.get(..self.held.len() - before).unwrap_or_default(), handler);
        };
        let end = cursor.at();
        self.held.clear();
        self.advance(data.get(..end.saturating_sub(before)).unwrap_or_default(), handler);
        handler.head(kind, ByteRange::new(self.held_at, self.at));
        let content = ByteRange::new(self.at, self.at.saturating_add(length));
        match kind {
            self::kind::WEBTRANSPORT => self.state = State::Raw,
            self::kind::DATA => {
                handler.data(content);
                self.state = State::Data;
                self.at = content.end;
            }
            _ => {
                let kept = length <= MAX_PAYLOAD && is_read(kind);
                self.state = State::Payload { kind, until: content.end, kept };
                self.held_at = content.start;
                if length == 0 {
                    self.payload(kind, content.end, kept, handler);
                }
            }
        }
    }

    fn payload(&mut self, kind: u64, until: u64, kept: bool, handler: &mut dyn Handler) {
        let range = ByteRange::new(self.held_at, until);
        if kept {
            handler.payload(kind, &self.held, range);
        } else if is_read(kind) {
            let why =
                if range.len() > MAX_PAYLOAD { "it is longer than 1 MiB" } else { "bytes of it are missing" };
            handler.unread(kind, range, why);
        }
        self.held.clear();
        self.state = State::Head;
    }

    fn gap(&mut self, gap: ByteRange, handler: &mut dyn Handler) {
        let State::Payload { kind, until, .. } = self.state else {
            return self.lose(gap, handler);
        };
        self.held.clear();
        self.state = State::Payload { kind, until, kept: false };
        self.at = gap.end.min(until);
        if self.at == until {
            self.payload(kind, until, false, handler);
        }
        if gap.end > until {
            self.lose(ByteRange::new(until, gap.end), handler);
        }
    }

    fn lose(&mut self, gap: ByteRange, handler: &mut dyn Handler) {
        if self.state != State::Raw {
            handler.lost(gap.start);
        }
        self.held.clear();
        self.state = State::Raw;
        self.at = gap.end;
    }

    /// Whether it stands between two frames, so that the stream may end here.
    pub fn is_between_frames(&self) -> bool {
        matches!(self.state, State::Head | State::Data | State::Raw) && self.held.is_empty()
    }
}

/// Whether a payload is read: others are for who knows them (section 9).
fn is_read(kind: u64) -> bool {
    matches!(
        kind,
        kind::HEADERS
            | kind::SETTINGS
            | kind::PUSH_PROMISE
            | kind::GOAWAY
            | kind::CANCEL_PUSH
            | kind::MAX_PUSH_ID
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Found {
        framing: Vec<ByteRange>,
        data: Vec<ByteRange>,
        payloads: Vec<(u64, Vec<u8>, ByteRange)>,
        unread: Vec<(u64, ByteRange)>,
        raw: Vec<ByteRange>,
        heads: Vec<(u64, ByteRange)>,
        lost: Vec<u64>,
    }

    impl Handler for Found {
        fn framing(&mut self, bytes: &[u8], range: ByteRange) {
            assert_eq!(bytes.len() as u64, range.len());
            self.framing.push(range);
        }

        fn head(&mut self, kind: u64, range: ByteRange) {
            self.heads.push((kind, range));
        }

        fn data(&mut self, content: ByteRange) {
            self.data.push(content);
        }

        fn payload(&mut self, kind: u64, payload: &[u8], range: ByteRange) {
            self.payloads.push((kind, payload.to_vec(), range));
        }

        fn unread(&mut self, kind: u64, range: ByteRange, _: &'static str) {
            self.unread.push((kind, range));
        }

        fn raw(&mut self, _: &[u8], range: ByteRange) {
            self.raw.push(range);
        }

        fn lost(&mut self, at: u64) {
            self.lost.push(at);
        }
    }

    /// Pushes the pieces of a stream, with what is missing between them.
    fn found(pieces: &[(u64, &[u8])]) -> Found {
        let (mut parser, mut found, mut at) = (Parser::new(0), Found::default(), 0);
        for (start, data) in pieces {
            if *start > at {
                parser.push(&Chunk::Gap(ByteRange::new(at, *start)), &mut found);
            }
            at = start + data.len() as u64;
            parser.push(&Chunk::Bytes { range: ByteRange::new(*start, at), data }, &mut found);
        }
        found.framing = ByteRange::unite(found.framing);
        found.raw = ByteRange::unite(found.raw);
        found
    }

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange::new(start, end)
    }

    /// HEADERS of 3 bytes, DATA of 4, an unknown frame of 2, DATA of 1.
    const STREAM: [u8; 20] =
        [0x01, 3, 7, 8, 9, 0x00, 0x40, 0x04, 1, 2, 3, 4, 0x40, 0x21, 2, 5, 6, 0x00, 1, 9];

    #[test]
    fn frames_are_found_however_the_stream_is_cut() {
        let whole = found(&[(0, &STREAM)]);
        assert_eq!(whole.payloads, [(kind::HEADERS, vec![7, 8, 9], range(2, 5))]);
        assert_eq!(whole.data, [range(8, 12), range(19, 20)]);
        assert_eq!(whole.framing, [range(0, 8), range(12, 19)]);
        assert_eq!(whole.heads[2], (0x21, range(12, 15)));
        for cut in 0..STREAM.len() {
            let (left, right) = STREAM.split_at(cut);
            assert_eq!(found(&[(0, left), (cut as u64, right)]), whole, "cut at {cut}");
        }
    }

    #[test]
    fn frames_go_on_behind_a_gap_inside_one_and_not_behind_one_at_a_head() {
        let without =
            |start: usize, end: usize| found(&[(0, &STREAM[..start]), (end as u64, &STREAM[end..])]);
        let inside = without(3, 4);
        assert_eq!((inside.unread.as_slice(), inside.data.len()), (&[(kind::HEADERS, range(2, 5))][..], 2));
        let in_data = without(9, 12);
        assert_eq!((in_data.data, in_data.lost), (vec![range(8, 12), range(19, 20)], vec![]));
        let over_head = without(11, 13);
        assert_eq!((over_head.lost, over_head.raw), (vec![12], vec![range(13, 20)]));
        let over_payload = without(4, 6);
        assert_eq!((over_payload.lost, over_payload.unread.len()), (vec![5], 1));
        assert_eq!(over_payload.raw, [range(6, 20)]);
    }

    #[test]
    fn a_webtransport_stream_is_no_http_any_more() {
        let stream = found(&[(0, &[0x40, 0x41, 0x04, 0x00, 0x01])]);
        assert_eq!((stream.raw, stream.lost), (vec![range(2, 5)], vec![]));
    }

    #[test]
    fn an_endless_frame_is_no_trouble() {
        let mut bytes = vec![0x01];
        bytes.extend([0xff; 8]);
        bytes.extend([7; 100]);
        let found = found(&[(0, &bytes)]);
        assert_eq!((found.payloads.len(), found.framing), (0, vec![range(0, 109)]));
    }

    proptest! {
        #[test]
        fn each_byte_is_told_once(bytes: Vec<u8>, cut: prop::sample::Index, gap in 0_usize..4) {
            let cut = cut.index(bytes.len() + 1);
            let (left, right) = bytes.split_at(cut);
            let right = right.get(gap..).unwrap_or_default();
            let start = (bytes.len() - right.len()) as u64;
            let found = found(&[(0, left), (start, right)]);
            let end = bytes.len() as u64;
            let data = found.data.iter().map(|data| range(data.start, data.end.min(end)));
            let present = [range(0, cut as u64), range(start, end)];
            let told: Vec<ByteRange> =
                data.chain(found.framing.iter().copied()).chain(found.raw.iter().copied()).collect();
            let inside = |told: ByteRange| present.iter().filter_map(move |part| part.intersection(told));
            let covered: Vec<ByteRange> = told.iter().flat_map(|told| inside(*told)).collect();
            let sum: u64 = covered.iter().map(|part| part.len()).sum();
            prop_assert_eq!(sum, ByteRange::covered(covered.iter().copied()), "twice");
            prop_assert_eq!(sum, ByteRange::covered(present), "left out");
        }
    }
}
