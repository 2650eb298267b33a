//! Streams inside streams: what decryption or a framing gives is a stream again, and what is found in it is told
//! with its place in the captured one.

use std::ops::Range;

use crate::{
    engine::net::stream::Stream,
    evidence::{AnomalyKind, ByteRange, Direction, FrameNo, ReadError, Step},
};

use super::sink::{
    BodyEnd, DnsMessage, Inner, LeafId, Message, NamedPart, Origin, Place, QuicConnection, RequestHead,
    ResponseHead, Sink, Source, TlsConnection, TlsHello, TransactionId,
};

/// As many bytes of an inner stream as of the stream around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where they stand in the inner stream.
    pub inner: ByteRange,
    /// Where they start in the stream around it.
    pub outer: u64,
}

/// Where each byte of an inner stream stands in the stream around it.
#[derive(Clone, Debug, Default)]
pub struct Places {
    spans: Vec<Span>,
}

impl Places {
    /// Adds bytes at the end of the inner stream; those that go on in both streams are one span with the last ones.
    pub fn push(&mut self, inner: ByteRange, outer: u64) {
        if inner.is_empty() {
            return;
        }
        if let Some(last) = self.spans.last_mut()
            && last.inner.end == inner.start
            && last.outer + last.inner.len() == outer
        {
            last.inner.end = inner.end;
            return;
        }
        self.spans.push(Span { inner, outer });
    }

    /// The outer ranges of an inner range, each with the part of the inner range that it holds, in the order of
    /// the inner stream. What has no place (a gap) is left out.
    pub fn outer(&self, range: ByteRange) -> impl Iterator<Item = (ByteRange, ByteRange)> + '_ {
        let first = self.spans.partition_point(|span| span.inner.end <= range.start);
        self.spans.iter().skip(first).map_while(move |span| {
            let inner = span.inner.intersection(range)?;
            let start = span.outer + (inner.start - span.inner.start);
            Some((inner, ByteRange::new(start, start + inner.len())))
        })
    }

    /// From the first to the last outer byte of an inner range.
    pub fn hull(&self, range: ByteRange) -> ByteRange {
        let hull = self
            .outer(range)
            .map(|(_, outer)| outer)
            .reduce(|a, b| ByteRange::new(a.start.min(b.start), a.end.max(b.end)));
        hull.unwrap_or_default()
    }
}

/// One direction of a conversation inside another one.
#[derive(Clone, Debug, Default)]
pub struct Wrap {
    /// What was taken off to come to it, outermost first: stands before the steps of each leaf.
    pub steps: Vec<Step>,
    /// Where its bytes stand in the stream around it.
    pub places: Places,
    /// Where in it begins what has a place of its own, sorted: what stands around it belongs to something else.
    pub seams: Vec<u64>,
}

impl Wrap {
    /// Parts of a stream, one after the other, as a stream inside it. `op` is what taking them out is called.
    pub fn parts(stream: &Stream, parts: &[ByteRange], op: &str, param: Option<String>) -> (Stream, Self) {
        let inner = stream.parts(parts.iter().copied());
        let (mut places, mut at, end) = (Places::default(), 0, stream.end());
        for part in parts {
            let length = ByteRange::new(part.start, part.end.min(end)).len();
            places.push(ByteRange::new(at, at + length), part.start);
            at += length;
        }
        let input = places.hull(ByteRange::new(0, at));
        let step = Step { op: op.to_owned(), param, input, output: at };
        (inner, Self { steps: vec![step], places, seams: Vec::new() })
    }

    /// A range, cut at seams.
    fn at_seams(&self, range: ByteRange) -> impl Iterator<Item = ByteRange> + '_ {
        let first = self.seams.partition_point(|seam| *seam <= range.start);
        let inside = self.seams.iter().skip(first).copied().take_while(move |seam| *seam < range.end);
        let starts = std::iter::once(range.start).chain(inside.clone());
        starts.zip(inside.chain([range.end])).map(|(start, end)| ByteRange::new(start, end))
    }
}

/// Hands on what an inner conversation gives, in the terms of the one around it.
///
/// Ranges of heads and frames of anomalies are handed on as they are: the pieces of an inner stream name the
/// captured frames themselves.
pub struct Within<'s> {
    /// Where it goes.
    pub sink: &'s mut dyn Sink,
    /// What the phone sent.
    pub up: &'s Wrap,
    /// What it was sent.
    pub down: &'s Wrap,
    open: std::collections::BTreeMap<LeafId, Direction>,
}

impl<'s> Within<'s> {
    /// Begins an inner conversation.
    pub fn new(sink: &'s mut dyn Sink, up: &'s Wrap, down: &'s Wrap) -> Self {
        Self { sink, up, down, open: std::collections::BTreeMap::new() }
    }

    fn wrap(&self, direction: Direction) -> &'s Wrap {
        match direction {
            Direction::Up => self.up,
            Direction::Down => self.down,
        }
    }

    fn steps(&self, direction: Direction, inner: &[Step]) -> Vec<Step> {
        self.wrap(direction).steps.iter().chain(inner).cloned().collect()
    }
}

impl Sink for Within<'_> {
    fn open(&mut self, mut origin: Origin) -> LeafId {
        let direction = origin.direction;
        origin.steps = self.steps(direction, &origin.steps);
        let leaf = self.sink.open(origin);
        self.open.insert(leaf, direction);
        leaf
    }

    fn write(&mut self, leaf: LeafId, bytes: &[u8], from: Source) {
        let Some(direction) = self.open.get(&leaf).copied() else { return };
        let wrap = self.wrap(direction);
        let places = &wrap.places;
        let range = match from {
            Source::Transformed(range) => {
                let mut bytes = bytes;
                for part in wrap.at_seams(range) {
                    self.sink.write(leaf, bytes, Source::Transformed(places.hull(part)));
                    // The bytes came from all parts together: they are told once.
                    bytes = &[];
                }
                return;
            }
            Source::Copied(range) => range,
        };
        let mut said = range.start;
        let part = |from: u64, to: u64| {
            let at = |position: u64| usize::try_from(position - range.start).unwrap_or(usize::MAX);
            bytes.get(at(from)..at(to)).unwrap_or_default()
        };
        for (inner, outer) in places.outer(range) {
            // Bytes that stand nowhere (none should) are still told, so that nothing goes unsearched.
            if said < inner.start {
                self.sink.write(leaf, part(said, inner.start), Source::Transformed(outer));
            }
            self.sink.write(leaf, part(inner.start, inner.end), Source::Copied(outer));
            said = inner.end;
        }
        if said < range.end {
            self.sink.write(leaf, part(said, range.end), Source::Transformed(ByteRange::default()));
        }
    }

    fn close(&mut self, leaf: LeafId, steps: &[Step]) {
        if let Some(direction) = self.open.remove(&leaf) {
            let steps = self.steps(direction, steps);
            self.sink.close(leaf, &steps);
        }
    }

    fn place(&mut self, direction: Direction, range: ByteRange, place: Place) {
        for (_, outer) in self.wrap(direction).places.outer(range) {
            self.sink.place(direction, outer, place);
        }
    }

    fn name(&mut self, direction: Direction, range: ByteRange, name: &str) {
        for (_, outer) in self.wrap(direction).places.outer(range) {
            self.sink.name(direction, outer, name);
        }
    }

    fn field(
        &mut self,
        direction: Direction,
        range: ByteRange,
        name: &[u8],
        value: &[u8],
    ) -> Vec<Range<usize>> {
        let outer = self.wrap(direction).places.hull(range);
        self.sink.field(direction, outer, name, value)
    }

    fn sealed(&mut self, direction: Direction, range: ByteRange) {
        for (_, outer) in self.wrap(direction).places.outer(range) {
            self.sink.sealed(direction, outer);
        }
    }

    fn protocol(&mut self, name: &'static str) {
        self.sink.protocol(name);
    }

    fn request(&mut self, head: &RequestHead) {
        self.sink.request(head);
    }

    fn response(&mut self, head: &ResponseHead) {
        self.sink.response(head);
    }

    fn trailer(&mut self, transaction: TransactionId, direction: Direction, fields: &[(String, Vec<u8>)]) {
        self.sink.trailer(transaction, direction, fields);
    }

    fn message(&mut self, message: &Message) {
        self.sink.message(message);
    }

    fn inner(&mut self, inner: &Inner<'_>) -> Result<(), ReadError> {
        self.sink.inner(inner)
    }

    fn body_end(&mut self, transaction: TransactionId, direction: Direction, end: BodyEnd, wire: u64) {
        self.sink.body_end(transaction, direction, end, wire);
    }

    fn part(&mut self, transaction: TransactionId, direction: Direction, part: &NamedPart) {
        self.sink.part(transaction, direction, part);
    }

    fn part_said(&mut self, transaction: TransactionId, said: &(Option<FrameNo>, String)) {
        self.sink.part_said(transaction, said);
    }

    fn dns(&mut self, message: &DnsMessage) {
        self.sink.dns(message);
    }

    fn tls_hello(&mut self, hello: &TlsHello) {
        self.sink.tls_hello(hello);
    }

    fn quic_connection(&mut self, connection: &QuicConnection) {
        self.sink.quic_connection(connection);
    }

    fn tls(&mut self, connection: &TlsConnection) {
        self.sink.tls(connection);
    }

    fn anomaly(&mut self, kind: AnomalyKind, frame: Option<FrameNo>, detail: String) {
        self.sink.anomaly(kind, frame, detail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange::new(start, end)
    }

    /// Two records of ten bytes, the second found earlier in the outer stream.
    fn places() -> Places {
        let mut places = Places::default();
        places.push(range(0, 4), 105);
        places.push(range(4, 10), 109);
        places.push(range(10, 20), 50);
        places
    }

    #[test]
    fn neighbours_in_both_streams_are_one_span_and_ranges_are_cut_at_spans() {
        let places = places();
        let outer: Vec<_> = places.outer(range(8, 12)).collect();
        assert_eq!(outer, [(range(8, 10), range(113, 115)), (range(10, 12), range(50, 52))]);
        assert_eq!(places.hull(range(8, 12)), range(50, 115));
        assert_eq!(places.hull(range(30, 40)), range(0, 0));
    }

    #[derive(Default)]
    struct Told(Vec<String>);

    impl Sink for Told {
        fn open(&mut self, origin: Origin) -> LeafId {
            self.0.push(format!(
                "open {}",
                origin.steps.iter().map(|step| step.op.as_str()).collect::<String>()
            ));
            LeafId(7)
        }

        fn write(&mut self, _: LeafId, bytes: &[u8], from: Source) {
            self.0.push(format!("{bytes:?} {from:?}"));
        }

        fn close(&mut self, _: LeafId, steps: &[Step]) {
            self.0.push(format!("close {}", steps.len()));
        }

        fn place(&mut self, _: Direction, range: ByteRange, place: Place) {
            self.0.push(format!("{range:?} {place:?}"));
        }
    }

    #[test]
    fn what_is_found_inside_is_told_in_outer_terms() {
        let step = |op: &str| Step { op: op.to_owned(), param: None, input: range(0, 0), output: 0 };
        let wrap = Wrap { steps: vec![step("tls")], places: places(), ..Wrap::default() };
        let mut told = Told::default();
        let mut within = Within::new(&mut told, &wrap, &wrap);
        let origin = Origin {
            direction: Direction::Up,
            transaction: None,
            steps: vec![step("http1.body")],
            keep: super::super::sink::Keep::Search,
        };
        let leaf = within.open(origin);
        within.write(leaf, b"abc", Source::Copied(range(9, 12)));
        within.write(leaf, b"zz", Source::Transformed(range(12, 13)));
        within.place(Direction::Up, range(9, 11), Place::Understood);
        within.close(leaf, &[]);
        let range = |start: u64, end: u64| format!("{:?}", ByteRange::new(start, end));
        let wanted = [
            "open tlshttp1.body".to_owned(),
            format!("[97] Copied({})", range(114, 115)),
            format!("[98, 99] Copied({})", range(50, 52)),
            format!("[122, 122] Transformed({})", range(52, 53)),
            format!("{} Understood", range(114, 115)),
            format!("{} Understood", range(50, 51)),
            "close 1".to_owned(),
        ];
        assert_eq!(told.0, wanted);
    }
}
