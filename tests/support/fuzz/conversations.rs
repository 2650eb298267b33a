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

use super::{GAP, MISSING, Random, Target, pieces, quic, sealed, split};

pub const TARGETS: &[(&str, Target)] = &[
    ("application", |data| application(data, 8080)),
    ("application_dns", |data| application(data, 53)),
    ("application_tls", application_tls),
    ("datagrams", |data| datagrams(data, 443)),
    ("datagrams_dhcp", |data| datagrams(data, 67)),
    ("datagrams_dns", |data| datagrams(data, 53)),
    ("datagrams_tftp", |data| datagrams(data, 69)),
    ("quic_connection", quic_connection),
    ("tls_connection", tls_connection),
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
        let kept = |keep| {
            let leaves = collected.leaves.iter();
            let leaves = leaves.filter(move |leaf| leaf.direction == direction && leaf.keep == keep);
            leaves.flat_map(|leaf| leaf.from.iter().copied())
        };
        // What a verified tag leaves no choice, around content that comes again, is only digested; what QUIC sent before with
        // the same bytes is accounted for, and not given again.
        let understood = collected.places.get(&(direction, Place::Understood));
        let repeated = transport == Transport::Udp && !keys.is_empty();
        let whole = std::iter::once(ByteRange::new(0, stream.end())).filter(|_| repeated);
        let digested = ByteRange::unite(kept(Keep::Digest).chain(whole));
        let fixed = digested.iter().flat_map(|range| {
            understood.into_iter().flatten().filter_map(|other| range.intersection(*other))
        });
        let searched = ByteRange::unite(kept(Keep::Search).chain(fixed));
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
    let cut = streams(data, Some(&mut Random::of(data)), false);
    same_however_cut([streams(data, None, false), cut], port, keys);
}

fn same_however_cut([whole, cut]: [[Stream; 2]; 2], port: u16, keys: &KeyLog) -> [Collected; 2] {
    let whole = walked(&whole, Transport::Tcp, port, keys);
    let cut = walked(&cut, Transport::Tcp, port, keys);
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
    [whole, cut]
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
    let mut sent = vec![Sent::new(0, quic::opening("h3")), Sent::new(1, quic::answer("h3"))];
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
        sent.push(Sent::new(
            side,
            quic::short(&quic::Sealer::of(quic::DATA, from), to, false, number, 2, &payload),
        ));
    }
    let mut keys = KeyLog::default();
    keys.add(quic::key_log().as_bytes());
    let run = || walked(&assembled(&sent, None), Transport::Udp, 443, &keys);
    let (one, other) = (run(), run());
    assert_eq!((one.said, one.places, one.leaves), (other.said, other.places, other.leaves));
}

/// Bytes that one end sends: a frame.
struct Sent {
    side: usize,
    bytes: Vec<u8>,
    /// Whether they were captured.
    captured: bool,
}

impl Sent {
    fn new(side: usize, bytes: Vec<u8>) -> Self {
        Self { side, bytes, captured: true }
    }
}

/// Streams of what was sent, as it stands or cut into pieces.
fn assembled(sent: &[Sent], cut: Option<&mut Random>) -> [Stream; 2] {
    let mut streams = [Stream::of_bytes(b""), Stream::of_bytes(b"")];
    let mut cut = cut;
    for (stream, side) in streams.iter_mut().zip(0..) {
        let (mut bytes, mut end) = (Vec::new(), 0);
        for (sent, frame) in sent.iter().zip(1..).filter(|(sent, _)| sent.side == side) {
            if !sent.captured {
                stream.gaps.push(ByteRange::new(end, end + sent.bytes.len() as u64));
                end += sent.bytes.len() as u64;
                continue;
            }
            let whole = std::iter::once(0..sent.bytes.len()).filter(|whole| !whole.is_empty()).collect();
            for piece in cut.as_deref_mut().map_or(whole, |random| pieces(&sent.bytes, random)) {
                let range = ByteRange::new(end, end + piece.len() as u64);
                let at = bytes.len() as u64;
                stream.pieces.push(Piece { range, at, frame: FrameNo(frame), time: Timestamp(0) });
                bytes.extend_from_slice(&sent.bytes[piece]);
                end = range.end;
            }
        }
        stream.datagrams = true;
        stream.blob = Arc::new(bytes);
    }
    streams
}

/// A connection that is opened with a key log. The first byte chooses TLS 1.3, TLS 1.2 or DTLS 1.2; what stands up to the
/// first `<<<` are handshake messages that the server sends after its hello, and each part after that is a record, whose
/// first byte says who sends, which type it has, and what becomes of it.
fn tls_connection(data: &[u8]) {
    use sealed::{CHANGE_CIPHER_SPEC, CLIENT, HANDSHAKE, Kind, SERVER, Sealer, clear};
    let Some((&first, data)) = data.split_first() else { return };
    let kind = [Kind::Tls13, Kind::Tls12, Kind::Dtls12][usize::from(first % 3)];
    // No record holds more.
    let short = |part: &[u8]| part[..part.len().min(16 << 10)].to_vec();
    let mut parts = split(data, b"<<<").into_iter();
    let flight = short(parts.next().unwrap_or_default());
    let mut sent = vec![
        Sent::new(CLIENT, clear(kind, 0, HANDSHAKE, &sealed::client_hello(kind))),
        Sent::new(SERVER, clear(kind, 0, HANDSHAKE, &sealed::server_hello(kind))),
    ];
    let mut sealers = [CLIENT, SERVER].map(|side| Sealer::first(kind, side));
    let finished = sealed::message(kind, 7, 20, &[0; 12]);
    if kind == Kind::Tls13 {
        sent.push(Sent::new(SERVER, sealers[SERVER].record(HANDSHAKE, &flight)));
    } else {
        sent.push(Sent::new(SERVER, clear(kind, 1, HANDSHAKE, &flight)));
    }
    for side in [CLIENT, SERVER] {
        if kind != Kind::Tls13 {
            sent.push(Sent::new(side, clear(kind, 2, CHANGE_CIPHER_SPEC, &[1])));
        }
        sent.push(Sent::new(side, sealers[side].record(HANDSHAKE, &finished)));
        if kind == Kind::Tls13 {
            sealers[side] = Sealer::data(side);
        }
    }
    // Where there is nothing but application data, all of it comes out.
    let (mut plain, mut lens) = (flight.is_empty(), [0, 0]);
    for part in parts {
        let Some((&first, rest)) = part.split_first() else { continue };
        let (side, rest) = (usize::from(first & 1), short(rest));
        plain &= first >> 1 & 0x1f == 0;
        lens[side] += rest.len();
        let content_type = [23, HANDSHAKE, 21, CHANGE_CIPHER_SPEC][usize::from(first >> 1 & 3)];
        let sealer = &mut sealers[side];
        let mut record = match first >> 3 & 7 {
            // As it stands.
            1 => rest,
            2 => clear(kind, sealer.number, content_type, &rest),
            _ => sealer.record(content_type, &rest),
        };
        let mut captured = true;
        match first >> 3 & 7 {
            3 => sealer.update(),
            4 => captured = false,
            5 => record.last_mut().into_iter().for_each(|byte| *byte ^= 1),
            6 => drop(sealer.record(content_type, b"never captured, nor missed")),
            7 => sealer.number = sealer.number.saturating_sub(1),
            _ => {}
        }
        sent.push(Sent { side, bytes: record, captured: captured || kind == Kind::Dtls12 });
    }
    let mut keys = KeyLog::default();
    keys.add(sealed::key_log().as_bytes());
    let [one, other] = if kind == Kind::Dtls12 {
        let run = || walked(&assembled(&sent, None), Transport::Udp, 443, &keys);
        let (one, other) = (run(), run());
        assert_eq!((&one.said, &one.places, &one.leaves), (&other.said, &other.places, &other.leaves));
        [one, other]
    } else {
        let cut = assembled(&sent, Some(&mut Random::of(data)));
        same_however_cut([assembled(&sent, None), cut], 443, &keys)
    };
    if plain {
        let told = format!("decrypted: {lens:?}");
        for told_by in [one, other] {
            let connections = told_by.said.iter().filter(|said| said.starts_with("TlsConnection"));
            assert!(connections.clone().any(|said| said.contains(&told)), "{told}: {:?}", told_by.said);
        }
    }
}
