//! Whole conversations: what is told depends on the bytes alone, and every captured byte is in a leaf that is searched.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use exhibit::{
    engine::{
        decode::{
            self, Context, Conversation, Shared,
            sink::{
                BodyEnd, DnsMessage, Inner, Keep, LeafId, Message, Origin, Place, QuicConnection,
                RequestHead, ResponseHead, Sink, Source, TlsConnection, TlsHello, TransactionId,
            },
        },
        net::stream::{Piece, Stream},
        proto::keylog::KeyLog,
    },
    evidence::{
        AnomalyKind, ByteRange, Direction, FrameNo, Limits, ReadError, Scratch, Step, Timestamp, Transport,
    },
};

use super::{GAP, MISSING, Random, Target, pieces, quic, split};

pub const TARGETS: &[(&str, Target)] = &[
    ("application", |data| application(data, 8080)),
    ("application_dns", |data| application(data, 53)),
    ("application_tls", application_tls),
    ("datagrams", |data| datagrams(data, 443)),
    ("datagrams_dns", |data| datagrams(data, 53)),
    ("quic_connection", quic_connection),
];

/// What a stream may give when it is decoded.
const MOST: u64 = 1 << 20;

#[derive(Debug, PartialEq)]
struct Leaf {
    direction: Direction,
    transaction: Option<TransactionId>,
    keep: Keep,
    steps: Vec<Step>,
    bytes: Vec<u8>,
    from: Vec<ByteRange>,
    closed: bool,
}

/// Keeps everything.
#[derive(Default)]
struct Collected {
    leaves: Vec<Leaf>,
    places: BTreeMap<(Direction, Place), Vec<ByteRange>>,
    said: Vec<String>,
}

impl Collected {
    fn say(&mut self, what: &impl std::fmt::Debug) {
        self.said.push(format!("{what:?}"));
    }
}

impl Sink for Collected {
    fn open(&mut self, origin: Origin) -> LeafId {
        let Origin { direction, transaction, steps, keep } = origin;
        let (bytes, from, closed) = (Vec::new(), Vec::new(), false);
        self.leaves.push(Leaf { direction, transaction, keep, steps, bytes, from, closed });
        LeafId(self.leaves.len() as u32 - 1)
    }
    fn write(&mut self, leaf: LeafId, bytes: &[u8], from: Source) {
        let leaf = &mut self.leaves[leaf.0 as usize];
        assert!(!leaf.closed, "written after it was closed");
        if let Source::Copied(range) = from {
            assert_eq!(
                range.len(),
                bytes.len() as u64,
                "copied from another number of bytes: {:?}",
                leaf.steps
            );
        }
        leaf.bytes.extend_from_slice(bytes);
        leaf.from.push(from.range());
    }
    fn close(&mut self, leaf: LeafId, steps: &[Step]) {
        let leaf = &mut self.leaves[leaf.0 as usize];
        assert!(!leaf.closed, "closed twice");
        leaf.closed = true;
        leaf.steps = steps.to_vec();
    }
    fn place(&mut self, direction: Direction, range: ByteRange, place: Place) {
        assert!(range.start <= range.end, "{range:?}");
        self.places.entry((direction, place)).or_default().push(range);
    }
    fn protocol(&mut self, name: &'static str) {
        self.say(&name);
    }
    fn request(&mut self, head: &RequestHead) {
        self.say(head);
    }
    fn response(&mut self, head: &ResponseHead) {
        self.say(head);
    }
    fn trailer(&mut self, transaction: TransactionId, direction: Direction, fields: &[(String, Vec<u8>)]) {
        self.say(&(transaction, direction, fields));
    }
    fn message(&mut self, message: &Message) {
        self.say(message);
    }
    fn inner(&mut self, inner: &Inner<'_>) -> Result<(), ReadError> {
        self.say(&(inner.protocol, inner.id, inner.connection, inner.up.end(), inner.down.end()));
        Ok(())
    }
    fn body_end(&mut self, transaction: TransactionId, direction: Direction, end: BodyEnd, wire: u64) {
        self.say(&(transaction, direction, end, wire));
    }
    fn dns(&mut self, message: &DnsMessage) {
        self.say(message);
    }
    fn tls_hello(&mut self, hello: &TlsHello) {
        self.say(hello);
    }
    fn quic_connection(&mut self, connection: &QuicConnection) {
        self.say(connection);
    }
    fn tls(&mut self, connection: &TlsConnection) {
        self.say(connection);
    }
    fn anomaly(&mut self, kind: AnomalyKind, frame: Option<FrameNo>, detail: String) {
        self.say(&(kind, frame, detail));
    }
}

/// Streams of an input: parts between `<<<` go up and down in turn, each as a frame; [`GAP`] is missing bytes.
fn streams(data: &[u8], cut: Option<&mut Random>, datagrams: bool) -> [Stream; 2] {
    let mut streams = [Stream::of_bytes(b""), Stream::of_bytes(b"")];
    let (mut bytes, mut ends, mut cut) = ([Vec::new(), Vec::new()], [0, 0], cut);
    for (frame, part) in split(data, b"<<<").into_iter().enumerate() {
        let side = frame % 2;
        for (index, run) in split(part, GAP).into_iter().enumerate() {
            let stream = &mut streams[side];
            let end = &mut ends[side];
            if index > 0 && !datagrams {
                stream.gaps.push(ByteRange::new(*end, *end + MISSING));
                *end += MISSING;
            }
            let whole = std::iter::once(0..run.len()).filter(|whole| !whole.is_empty()).collect();
            for piece in cut.as_deref_mut().map_or(whole, |random| pieces(run, random)) {
                let range = ByteRange::new(*end, *end + piece.len() as u64);
                let (at, frame) = (bytes[side].len() as u64, FrameNo(frame as u32 + 1));
                stream.pieces.push(Piece { range, at, frame, time: Timestamp(0) });
                bytes[side].extend_from_slice(&run[piece]);
                *end = range.end;
            }
        }
    }
    for (stream, bytes) in streams.iter_mut().zip(bytes) {
        // Of TCP the reader joins pieces that touch, which would undo every cut.
        stream.datagrams = true;
        stream.blob = Arc::new(bytes);
    }
    streams
}

fn walked(streams: &[Stream; 2], transport: Transport, port: u16, keys: &KeyLog) -> Collected {
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let [up, down] = streams;
    let conversation = Conversation { transport, up, down, local: address(40_000), remote: address(port) };
    let mut collected = Collected::default();
    let limits = Limits { max_decoded: MOST, ..Limits::default() };
    let scratch = Scratch::new(std::env::temp_dir());
    let context = Context::new(&limits, keys, &scratch);
    decode::walk(&conversation, &context, &mut Shared::default(), &mut collected).unwrap();
    assert!(collected.leaves.iter().all(|leaf| leaf.closed), "open leaves");
    for ranges in collected.places.values_mut() {
        *ranges = ByteRange::unite(ranges.drain(..));
    }
    let mut given = 0;
    for leaf in &mut collected.leaves {
        leaf.from = ByteRange::unite(leaf.from.drain(..));
        given += leaf.bytes.len() as u64;
    }
    let taken = up.present() + down.present();
    assert!(given <= (MOST + taken) * 32, "{given} bytes of leaves from {taken}");
    for (direction, stream) in [(Direction::Up, up), (Direction::Down, down)] {
        let searched =
            collected.leaves.iter().filter(|leaf| leaf.direction == direction && leaf.keep == Keep::Search);
        let searched = ByteRange::unite(searched.flat_map(|leaf| leaf.from.iter().copied()));
        for piece in &stream.pieces {
            let near = searched.partition_point(|range| range.end <= piece.range.start);
            let near = searched[near..].iter().take_while(|range| range.start < piece.range.end);
            let covered: u64 =
                near.filter_map(|range| range.intersection(piece.range)).map(ByteRange::len).sum();
            assert_eq!(covered, piece.range.len(), "{direction:?} {:?} is not searched", piece.range);
        }
        for ((_, place), ranges) in collected.places.iter().filter(|((of, _), _)| *of == direction) {
            let last = ranges.last().map_or(0, |range| range.end);
            assert!(last <= stream.end(), "{direction:?} {place:?} up to {last} of {}", stream.end());
        }
    }
    collected
}

fn same(data: &[u8], port: u16, keys: &KeyLog) {
    let whole = walked(&streams(data, None, false), Transport::Tcp, port, keys);
    let cut = walked(&streams(data, Some(&mut Random::of(data)), false), Transport::Tcp, port, keys);
    for (one, other) in whole.said.iter().zip(&cut.said) {
        assert_eq!(one, other);
    }
    assert_eq!(whole.said.len(), cut.said.len());
    assert_eq!(whole.places, cut.places);
    for (one, other) in whole.leaves.iter().zip(&cut.leaves) {
        assert_eq!(one.steps, other.steps);
        assert_eq!(
            (one.direction, one.transaction, one.keep),
            (other.direction, other.transaction, other.keep)
        );
        assert!(one.bytes == other.bytes, "{:?}: {:?} and {:?}", one.steps, one.bytes, other.bytes);
    }
    assert_eq!(whole.leaves.len(), cut.leaves.len());
}

fn application(data: &[u8], port: u16) {
    same(data, port, &KeyLog::default());
}

/// A key log up to `|||`, then the streams.
fn application_tls(data: &[u8]) {
    let parts = split(data, b"|||");
    let (log, data) = if let [log, data, ..] = parts[..] { (log, data) } else { (&[][..], data) };
    let mut keys = KeyLog::default();
    keys.add(log);
    same(data, 443, &keys);
}

/// Datagrams up and down in turn; a key log may stand before `|||`.
fn datagrams(data: &[u8], port: u16) {
    let parts = split(data, b"|||");
    let (log, data) = if let [log, data, ..] = parts[..] { (log, data) } else { (&[][..], data) };
    let mut keys = KeyLog::default();
    keys.add(log);
    let run = || walked(&streams(data, None, true), Transport::Udp, port, &keys);
    let (one, other) = (run(), run());
    assert_eq!((one.said, one.places, one.leaves), (other.said, other.places, other.leaves));
}

/// A connection that is opened with a key log. Each part between `<<<` is a packet: its first byte says who sends, whether
/// the stream ends, and which stream the rest goes on; 255 and 254 stand before frames as they are.
fn quic_connection(data: &[u8]) {
    let mut sent = vec![(0, quic::opening("h3")), (1, quic::answer("h3"))];
    let mut offsets = BTreeMap::new();
    for (number, part) in (0_u64..).zip(split(data, b"<<<")) {
        let Some((&first, rest)) = part.split_first() else { continue };
        // No datagram is longer.
        let rest = &rest[..rest.len().min(60_000)];
        let side = usize::from(first & 1);
        let mut payload = if first >= 254 {
            rest.to_vec()
        } else {
            let id = u64::from(first >> 2);
            let offset: &mut u64 = offsets.entry((side, id)).or_default();
            let frame = quic::stream(id, *offset, rest, first & 2 != 0);
            *offset += rest.len() as u64;
            frame
        };
        payload.resize(payload.len().max(20), 0);
        let (from, to): (_, &[u8]) = if side == 0 {
            (quic::From::Client, &quic::SERVER_ID)
        } else {
            (quic::From::Server, &quic::CLIENT_ID)
        };
        sent.push((side, quic::short(&quic::Sealer::of(quic::DATA, from), to, false, number, 2, &payload)));
    }
    let mut keys = KeyLog::default();
    keys.add(quic::key_log().as_bytes());
    let run = || {
        let mut streams = [Stream::of_bytes(b""), Stream::of_bytes(b"")];
        for (stream, side) in streams.iter_mut().zip(0..) {
            let (mut bytes, mut end) = (Vec::new(), 0);
            for ((from, datagram), frame) in sent.iter().zip(1..) {
                if *from == side {
                    let range = ByteRange::new(end, end + datagram.len() as u64);
                    stream.pieces.push(Piece { range, at: end, frame: FrameNo(frame), time: Timestamp(0) });
                    bytes.extend_from_slice(datagram);
                    end = range.end;
                }
            }
            stream.datagrams = true;
            stream.blob = Arc::new(bytes);
        }
        walked(&streams, Transport::Udp, 443, &keys)
    };
    let (one, other) = (run(), run());
    assert_eq!((one.said, one.places, one.leaves), (other.said, other.places, other.leaves));
}
