//! QUIC connections made by a small encoder: one rule each, and random schedules of frames against a model.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "a test"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use exhibit::{
    case::capture::Capture,
    engine::{
        decode::{Context, Conversation, Shared, sink::*, walk},
        net::{
            self, Index, Side,
            stream::{Chunk, Stream},
        },
        proto::keylog::KeyLog,
    },
    evidence::{AnomalyKind, Blob, ByteRange, Direction, FrameNo, Limits, ReadError, Scratch},
    findings::Step,
};

mod schedules;
#[path = "../support/mod.rs"]
mod support;
use support::{
    packets::{self, End},
    quic::{self, DATA, EARLY, From, HANDSHAKE, Sealer},
};

const CLIENT: End = ([10, 0, 0, 1], 50_000);
const SERVER: End = ([203, 0, 113, 9], 443);
/// A protocol that nobody reads: its streams stay as they are.
const PLAIN: &str = "plain";

/// A stream of one direction: its bytes by place, where packets disagree, and its gaps.
#[derive(Clone, Debug, Default, PartialEq)]
struct Held {
    bytes: BTreeMap<u64, u8>,
    conflicts: BTreeSet<u64>,
    gaps: Vec<ByteRange>,
}

struct Leaf {
    direction: Direction,
    ops: Vec<String>,
    bytes: Vec<u8>,
    /// Where each byte stands, of those that stand somewhere.
    places: Vec<Option<u64>>,
}

/// One flow, as it came out.
#[derive(Default)]
struct Walked {
    leaves: Vec<Leaf>,
    streams: BTreeMap<(u64, Direction), Held>,
    connections: Vec<QuicConnection>,
    hellos: Vec<TlsHello>,
    dns: Vec<DnsMessage>,
    /// Method, target and stream of requests.
    requests: Vec<(String, Vec<u8>, Option<u64>)>,
    anomalies: Vec<(AnomalyKind, Option<FrameNo>, String)>,
    places: Vec<(Direction, ByteRange, Place)>,
    sealed: Vec<(Direction, ByteRange)>,
}

fn held(stream: &Stream) -> Result<Held, ReadError> {
    let mut held = Held { gaps: stream.gaps.clone(), ..Held::default() };
    for conflict in &stream.conflicts {
        held.conflicts.extend(conflict.range.start..conflict.range.end);
    }
    let mut reader = stream.reader();
    while let Some(chunk) = reader.next_chunk()? {
        if let Chunk::Bytes { range, data } = chunk {
            held.bytes.extend((range.start..).zip(data.iter().copied()));
        }
    }
    Ok(held)
}

impl Sink for Walked {
    fn open(&mut self, origin: Origin) -> LeafId {
        let Origin { direction, .. } = origin;
        self.leaves.push(Leaf { direction, ops: Vec::new(), bytes: Vec::new(), places: Vec::new() });
        LeafId(u32::try_from(self.leaves.len() - 1).unwrap())
    }

    fn write(&mut self, leaf: LeafId, bytes: &[u8], from: Source) {
        let leaf = &mut self.leaves[leaf.0 as usize];
        leaf.bytes.extend_from_slice(bytes);
        match from {
            Source::Copied(range) => {
                assert_eq!(range.len(), bytes.len() as u64);
                leaf.places.extend((range.start..range.end).map(Some));
            }
            Source::Transformed(_) => leaf.places.extend(bytes.iter().map(|_| None)),
        }
    }

    fn close(&mut self, leaf: LeafId, steps: &[Step]) {
        let leaf = &mut self.leaves[leaf.0 as usize];
        leaf.ops = steps.iter().map(|step| step.op.clone()).collect();
        assert_eq!(steps.last().unwrap().output, leaf.bytes.len() as u64, "{steps:?}");
    }

    fn inner(&mut self, inner: &Inner<'_>) -> Result<(), ReadError> {
        assert_eq!((inner.protocol, inner.connection), ("quic", Some("6f726967696e616c")));
        for (direction, stream) in [(Direction::Up, inner.up), (Direction::Down, inner.down)] {
            let held = held(stream)?;
            if held != Held::default() {
                let before = self.streams.insert((inner.id.unwrap(), direction), held);
                assert!(before.is_none(), "told twice");
            }
        }
        Ok(())
    }

    fn quic_connection(&mut self, connection: &QuicConnection) {
        self.connections.push(connection.clone());
    }

    fn tls_hello(&mut self, hello: &TlsHello) {
        self.hellos.push(hello.clone());
    }

    fn request(&mut self, head: &RequestHead) {
        assert_eq!(head.protocol, "http3");
        self.requests.push((head.method.clone(), head.uri.clone(), head.stream));
    }

    fn dns(&mut self, message: &DnsMessage) {
        self.dns.push(message.clone());
    }

    fn anomaly(&mut self, kind: AnomalyKind, frame: Option<FrameNo>, detail: String) {
        self.anomalies.push((kind, frame, detail));
    }

    fn place(&mut self, direction: Direction, range: ByteRange, place: Place) {
        self.places.push((direction, range, place));
    }

    fn sealed(&mut self, direction: Direction, range: ByteRange) {
        self.sealed.push((direction, range));
    }
}

impl Walked {
    fn anomalies(&self, kind: AnomalyKind) -> usize {
        self.anomalies.iter().filter(|(known, ..)| *known == kind).count()
    }

    /// The bytes of a stream that has no gap.
    fn text(&self, id: u64, direction: Direction) -> String {
        let held = self.streams.get(&(id, direction)).cloned().unwrap_or_default();
        assert_eq!(held.gaps, []);
        String::from_utf8_lossy(&held.bytes.into_values().collect::<Vec<u8>>()).into_owned()
    }

    /// The content of leaves with these operations.
    fn leaves(&self, ops: &[&str]) -> Vec<String> {
        let fits = |leaf: &&Leaf| leaf.ops == ops;
        self.leaves
            .iter()
            .filter(fits)
            .map(|leaf| String::from_utf8_lossy(&leaf.bytes).into_owned())
            .collect()
    }

    /// How each byte of a direction is accounted for; the last word counts.
    fn ledger(&self, direction: Direction, len: usize) -> Vec<Place> {
        let mut ledger = vec![Place::Undetermined; len];
        for (_, range, place) in self.places.iter().filter(|(known, ..)| *known == direction) {
            for at in range.start..range.end {
                ledger[usize::try_from(at).unwrap()] = *place;
            }
        }
        ledger
    }
}

fn index(frames: &[Vec<u8>]) -> Index {
    let blob: Arc<dyn Blob> = Arc::new(packets::pcap(frames));
    let capture = Capture::open("c.pcap", blob, &Scratch::new(std::env::temp_dir())).unwrap();
    net::index(&capture, &Limits::default()).unwrap()
}

/// Walks every flow of a capture, group by group.
fn walked(frames: &[Vec<u8>], log: &str) -> Vec<Walked> {
    let index = index(frames);
    let mut keys = KeyLog::default();
    keys.add(log.as_bytes());
    let (limits, scratch) = (Limits::default(), Scratch::new("."));
    let context = Context::new(&limits, &keys, &scratch);
    let mut all = BTreeMap::new();
    for group in index.groups().iter() {
        let mut shared = Shared::default();
        for flow in group.iter().filter_map(|id| index.flow(*id)) {
            let up = index.stream(flow.id, Side::Initiator).unwrap();
            let down = index.stream(flow.id, Side::Responder).unwrap();
            let conversation = Conversation {
                transport: flow.transport,
                up: &up,
                down: &down,
                local: flow.initiator,
                remote: flow.responder,
            };
            let mut sink = Walked::default();
            walk(&conversation, &context, &mut shared, &mut sink).unwrap();
            all.insert(flow.id, sink);
        }
    }
    all.into_values().collect()
}

fn up(datagram: &[u8]) -> Vec<u8> {
    packets::udp(CLIENT, SERVER, datagram)
}

fn down(datagram: &[u8]) -> Vec<u8> {
    packets::udp(SERVER, CLIENT, datagram)
}

/// A datagram of a client with one packet that holds these frames.
fn sent(number: u64, frames: &[u8]) -> Vec<u8> {
    quic::short(
        &Sealer::of(DATA, From::Client),
        &quic::SERVER_ID,
        false,
        number,
        2,
        &quic::padded(frames.to_vec(), 4),
    )
}

fn answered(number: u64, frames: &[u8]) -> Vec<u8> {
    quic::short(
        &Sealer::of(DATA, From::Server),
        &quic::CLIENT_ID,
        false,
        number,
        2,
        &quic::padded(frames.to_vec(), 4),
    )
}

fn handshake(alpn: &str) -> Vec<Vec<u8>> {
    vec![up(&quic::opening(alpn)), down(&quic::answer(alpn))]
}

/// A connection whose ends then send these frames; one flow.
fn connection(frames: &[Vec<u8>], log: &str) -> Walked {
    let all = [handshake(PLAIN), frames.to_vec()].concat();
    walked(&all, log).remove(0)
}

#[test]
fn a_connection_is_named_and_its_streams_are_read() {
    let frames = [
        up(&sent(0, &quic::stream(0, 0, b"hello ", false))),
        down(&answered(0, &quic::stream(0, 0, b"yes", true))),
        up(&sent(1, &[quic::stream(0, 6, b"world", true), quic::stream(4, 0, b"more", true)].concat())),
    ];
    let walked = connection(&frames, &quic::key_log());
    assert_eq!(walked.text(0, Direction::Up), "hello world");
    assert_eq!(walked.text(0, Direction::Down), "yes");
    assert_eq!(walked.text(4, Direction::Up), "more");
    let [connection] = &walked.connections[..] else { panic!("{:?}", walked.connections) };
    assert_eq!(
        (connection.version.as_str(), connection.sni.as_deref(), connection.alpn.as_deref()),
        ("1", Some("quic.example"), Some(PLAIN))
    );
    assert_eq!((connection.cipher, connection.packets, connection.opened), (Some(0x1301), 6, 6));
    assert!(connection.decrypted && connection.why_not.is_none());
    assert_eq!(walked.hellos.len(), 2);
    assert_eq!(walked.anomalies, []);
    assert_eq!(walked.leaves(&["quic.stream", "stream"]), ["hello world", "yes", "more"]);
    // Anybody can open the first packet, so what it holds was sent in clear; the others were not.
    let first = quic::opening(PLAIN).len() as u64;
    let sealed: Vec<ByteRange> =
        walked.sealed.iter().filter(|(way, _)| *way == Direction::Up).map(|(_, range)| *range).collect();
    assert!(sealed.len() == 2 && sealed[0].start == first && sealed[0].end == sealed[1].start, "{sealed:?}");
}

/// Bytes of the frames of one packet that are not understood; header and tag aside. Before it the client sent `hello` on stream 0.
fn left(frames: &[u8]) -> usize {
    let (before, packet) = (sent(0, &quic::stream(0, 0, b"hello", false)), sent(1, frames));
    let walked = connection(&[up(&before), down(&answered(0, &[1])), up(&packet)], &quic::key_log());
    let start = quic::opening(PLAIN).len() + before.len();
    let header = 1 + quic::SERVER_ID.len() + 2;
    let ledger = walked.ledger(Direction::Up, start + packet.len());
    let frames = &ledger[start + header..start + header + frames.len()];
    frames.iter().filter(|place| **place != Place::Understood).count()
}

#[test]
fn numbers_that_a_sender_makes_up_are_not_understood() {
    // Zeros with PING among them, and what only a server says.
    assert_eq!(left(&[0, 0, 1, 0, 0, 0]), 0);
    assert_eq!(left(&[1, 0, 1, 1, 0, 1, 0, 0x1e]), 4);
    // Data that go on, or come again, end a stream, open the next one; each byte of a protocol that nobody knows is counted.
    assert_eq!(left(&quic::stream(0, 5, b"w", false)), 1);
    assert_eq!(left(&quic::stream(0, 0, b"hello", false)), 0);
    assert_eq!(left(&quic::stream(0, 5, b"", true)), 0);
    assert_eq!(left(&quic::stream(4, 0, b"w", false)), 1);
    // An offset and a stream that say something, without data or with a byte.
    for frame in [
        quic::stream(0, 0x0676_2201, b"", false),
        quic::stream(0, 0x0676_2201, b"", true),
        quic::stream(0, 5, b"", false),
        quic::stream(0, 0x0676_2201, b"w", false),
        quic::stream(0x0676_2200, 0, b"w", false),
        quic::crypto(0x0676_2201, b"w"),
        quic::crypto(5, b""),
    ] {
        assert_eq!(left(&frame), frame.len(), "{frame:?}");
    }
    // Of an acknowledgement the delay (a byte), and gaps as many as one likes.
    assert_eq!(left(&[2, 0, 9, 0, 0]), 1);
    assert_eq!(left(&[2, 0, 9, 2, 0, 1, 2, 3, 4]), 1 + 4);
    assert_eq!(left(&[2, 7, 9, 0, 0]), 5, "a packet that never came");
}

/// The right names with other secrets.
fn wrong_secrets() -> String {
    quic::key_log().replace(&"40".repeat(32), &"50".repeat(32)).replace(&"41".repeat(32), &"51".repeat(32))
}

#[test]
fn without_keys_names_are_known_and_nothing_else() {
    let packet = sent(0, &quic::stream(0, 0, b"hello", true));
    let other_random = quic::key_log().replace("11111111", "22222222");
    // Besides the Initial packets, the first secrets of the last log open the server's Handshake packet.
    for (log, opened) in [(String::new(), 2), (other_random, 2), (wrong_secrets(), 3)] {
        let walked = connection(&[up(&packet)], &log);
        assert_eq!(walked.streams, BTreeMap::new());
        assert_eq!(walked.hellos[0].sni.as_deref(), Some("quic.example"));
        let [connection] = &walked.connections[..] else { panic!("{:?}", walked.connections) };
        assert_eq!((connection.decrypted, connection.opened), (false, opened));
        assert!(connection.why_not.is_some());
        // What was not opened is searched as it stands, and opaque.
        let first = quic::opening(PLAIN).len();
        let ledger = walked.ledger(Direction::Up, first + packet.len());
        assert!(ledger[first..].iter().all(|place| *place == Place::Opaque));
        let packets: Vec<&Leaf> = walked.leaves.iter().filter(|leaf| leaf.ops == ["quic.packets"]).collect();
        assert!(packets[0].bytes.ends_with(&packet));
    }
}

#[test]
fn a_changed_byte_loses_its_packet_and_no_other() {
    let packets: Vec<Vec<u8>> =
        (0..3).map(|number| sent(number, &quic::stream(0, number * 3, b"abc", number == 2))).collect();
    for at in 1 + quic::SERVER_ID.len()..packets[1].len() {
        let mut changed = packets.clone();
        changed[1][at] ^= 1;
        let frames: Vec<Vec<u8>> = changed.iter().map(|packet| up(packet)).collect();
        let walked = connection(&frames, &quic::key_log());
        let held = &walked.streams[&(0, Direction::Up)];
        assert_eq!((held.bytes.len(), held.gaps.as_slice()), (6, &[ByteRange::new(3, 6)][..]), "byte {at}");
        assert_eq!(walked.anomalies(AnomalyKind::QuicMalformed), 1);
        assert_eq!(walked.anomalies(AnomalyKind::StreamGap), 1);
        assert_eq!(walked.connections[0].opened, 3 + 2);
    }
}

#[test]
fn early_data_and_what_comes_before_its_keys_waits_for_them() {
    let initial = Sealer::initial(&quic::ORIGINAL, From::Client);
    let ids: (&[u8], &[u8]) = (&quic::ORIGINAL, &quic::CLIENT_ID);
    let hello = quic::client_hello(PLAIN);
    let (first, second) = hello.split_at(40);
    let part = |number, offset, data: &[u8]| {
        quic::long(&initial, 0, ids, b"", number, &quic::padded(quic::crypto(offset, data), 1_200))
    };
    let early =
        quic::long(&Sealer::of(EARLY, From::Client), 1, ids, b"", 0, &quic::stream(0, 0, b"early ", false));
    // The hello comes in two packets, the second first; early data stands before it, and the server's data before
    // the server's hello.
    let frames = [
        up(&early),
        up(&part(1, 40, second)),
        down(&answered(0, &quic::stream(0, 0, b"soon", true))),
        up(&part(0, 0, first)),
        down(&quic::answer(PLAIN)),
        up(&sent(1, &quic::stream(0, 6, b"late", true))),
    ];
    let walked = walked(&frames, &quic::key_log()).remove(0);
    assert_eq!(walked.text(0, Direction::Up), "early late");
    assert_eq!(walked.text(0, Direction::Down), "soon");
    assert_eq!(walked.connections[0].packets, walked.connections[0].opened);
    assert_eq!(walked.hellos[0].frame, FrameNo(4), "the frame of the hello's first byte");
    assert_eq!(walked.anomalies, []);
    // What waited is accounted for as what it is.
    let ledger = walked.ledger(Direction::Up, 1 << 12);
    assert_eq!(
        ledger[..early.len()].iter().filter(|place| **place == Place::Opaque).count(),
        6,
        "the stream's bytes"
    );
}

#[test]
fn what_was_captured_first_stands_also_where_it_was_opened_later() {
    let ids: (&[u8], &[u8]) = (&quic::ORIGINAL, &quic::CLIENT_ID);
    let early = Sealer::of(EARLY, From::Client);
    let frames = [
        up(&quic::opening(PLAIN)),
        // Waits for the server's hello, while early data is opened at once.
        up(&sent(1, &quic::stream(0, 0, b"first", true))),
        up(&quic::long(&early, 1, ids, b"", 0, &quic::stream(0, 0, b"other", true))),
        // The server's hello, behind the server's id that the client's packet went to.
        down(&quic::answer(PLAIN)),
    ];
    let name = up(&quic::long(
        &Sealer::of(HANDSHAKE, From::Client),
        2,
        (&quic::SERVER_ID, &quic::CLIENT_ID),
        b"",
        0,
        &[1; 30],
    ));
    let known = [&frames[..1], &[down(&server_initial())], &frames[1..], &[name]].concat();
    let walked = walked(&known, &quic::key_log()).remove(0);
    assert_eq!(walked.text(0, Direction::Up), "first");
    assert_eq!(walked.leaves(&["quic.conflict", "stream"]), ["other"]);
    assert_eq!(walked.anomalies(AnomalyKind::ConflictOverlap), 1);
}

/// A server's Initial packet with its id, and no hello yet.
fn server_initial() -> Vec<u8> {
    let keys = Sealer::initial(&quic::ORIGINAL, From::Server);
    quic::long(&keys, 0, (&quic::CLIENT_ID, &quic::SERVER_ID), b"", 9, &[1; 30])
}

#[test]
fn keys_are_updated_by_both_ends_and_late_packets_are_opened_with_old_ones() {
    let keys = |from: From, generation: usize| {
        (0..generation).fold(Sealer::of(DATA, from), |sealer, _| sealer.updated())
    };
    let client = |number: u64, generation: usize, frames: &[u8]| {
        up(&quic::short(
            &keys(From::Client, generation),
            &quic::SERVER_ID,
            generation % 2 == 1,
            number,
            1,
            frames,
        ))
    };
    let server = |number: u64, generation: usize, frames: &[u8]| {
        down(&quic::short(
            &keys(From::Server, generation),
            &quic::CLIENT_ID,
            generation % 2 == 1,
            number,
            1,
            frames,
        ))
    };
    let piece = |offset: u64, byte: u8| quic::stream(0, offset, &[byte; 20], false);
    let frames = [
        client(0, 0, &piece(0, b'a')),
        client(2, 1, &piece(40, b'c')),
        client(1, 0, &piece(20, b'b')),
        server(0, 0, &piece(0, b'A')),
        server(1, 1, &piece(20, b'B')),
        client(3, 2, &piece(60, b'd')),
        server(2, 2, &piece(40, b'C')),
        // A generation of which nothing was captured, and one more.
        client(9, 4, &piece(80, b'e')),
        client(10, 5, &piece(100, b'f')),
        client(8, 4, &piece(120, b'g')),
    ];
    let walked = connection(&frames, &quic::key_log());
    let letters = |direction| {
        let text = walked.text(0, direction);
        text.bytes().step_by(20).map(char::from).collect::<String>()
    };
    assert_eq!((letters(Direction::Up).as_str(), letters(Direction::Down).as_str()), ("abcdefg", "ABC"));
    assert_eq!(walked.connections[0].opened, walked.connections[0].packets);
}

#[test]
fn numbers_are_found_again_after_a_long_loss() {
    let short = |number: u64, offset: u64| {
        let payload = quic::padded(quic::stream(0, offset, b"abc", false), 4);
        up(&quic::short(&Sealer::of(DATA, From::Client), &quic::SERVER_ID, false, number, 1, &payload))
    };
    // One byte of the number is sent, and 700 packets are missing.
    let walked = connection(&[short(5, 0), short(705, 3), short(706, 6)], &quic::key_log());
    assert_eq!(walked.text(0, Direction::Up), "abcabcabc");
}

#[test]
fn a_genuine_retry_is_followed_and_a_forged_one_is_not() {
    // RFC 9001 section 5.8.
    let retry = |original: &[u8], source: &[u8]| {
        use aes_gcm::{
            Aes128Gcm, KeyInit as _,
            aead::{AeadInOut as _, Nonce},
        };
        let mut packet = vec![0xf0, 0, 0, 0, 1, 4];
        packet.extend(quic::CLIENT_ID);
        packet.push(u8::try_from(source.len()).unwrap());
        packet.extend(source);
        packet.extend(b"token");
        let pseudo = [&[u8::try_from(original.len()).unwrap()], original, &packet].concat();
        let key =
            [0xbe, 0x0c, 0x69, 0x0b, 0x9f, 0x66, 0x57, 0x5a, 0x1d, 0x76, 0x6b, 0x54, 0xe3, 0x68, 0xc8, 0x4e];
        let nonce = [0x46, 0x15, 0x99, 0xd3, 0x5d, 0x63, 0x2b, 0xf2, 0x23, 0x98, 0x25, 0xbb];
        let mut tag = Vec::new();
        let cipher = Aes128Gcm::new_from_slice(&key).unwrap();
        cipher.encrypt_in_place(&Nonce::<Aes128Gcm>::from(nonce), &pseudo, &mut tag).unwrap();
        [packet, tag].concat()
    };
    let again = |source: &[u8]| {
        let keys = Sealer::initial(source, From::Client);
        let hello = quic::padded(quic::crypto(0, &quic::client_hello(PLAIN)), 1_200);
        quic::long(&keys, 0, (source, &quic::CLIENT_ID), b"token", 1, &hello)
    };
    let answer = |source: &[u8]| {
        let keys = Sealer::initial(source, From::Server);
        let hello = quic::crypto(0, &quic::server_hello());
        quic::long(&keys, 0, (&quic::CLIENT_ID, &quic::SERVER_ID), b"", 0, &hello)
    };
    let data = up(&sent(0, &quic::stream(0, 0, b"after the retry", true)));
    let frames = [
        up(&quic::opening(PLAIN)),
        down(&retry(b"another", b"forged")),
        down(&retry(&quic::ORIGINAL, b"new id")),
        up(&again(b"new id")),
        down(&answer(b"new id")),
        data,
    ];
    let walked = walked(&frames, &quic::key_log()).remove(0);
    assert_eq!(walked.text(0, Direction::Up), "after the retry");
    assert_eq!(walked.connections.len(), 1);
    assert_eq!(walked.anomalies(AnomalyKind::QuicMalformed), 1, "{:?}", walked.anomalies);
    assert_eq!(walked.anomalies.len(), 1);

    // Some clients say another hello after a Retry than before: the first one is searched, the second one counts.
    let mut hello = quic::client_hello(PLAIN);
    let at = hello.windows(32).position(|window| window == quic::RANDOM).unwrap();
    hello[at..at + 32].fill(0x77);
    let first = quic::padded(quic::crypto(0, &hello), 1_200);
    let keys = Sealer::initial(&quic::ORIGINAL, From::Client);
    let ids: (&[u8], &[u8]) = (&quic::ORIGINAL, &quic::CLIENT_ID);
    let mut other = frames.clone();
    other[0] = up(&quic::long(&keys, 0, ids, b"", 0, &first));
    let walked = self::walked(&other, &quic::key_log()).remove(0);
    assert_eq!(walked.text(0, Direction::Up), "after the retry");
    assert_eq!(walked.anomalies.len(), 1);
    let rest = walked.leaves(&["quic.frames", "stream"]);
    assert!(rest.iter().any(|leaf| leaf.contains(&"w".repeat(32))), "the first random is searched");
}

#[test]
fn a_refused_version_is_no_connection_and_the_next_one_is() {
    // The client tries version 1, the server offers version 2 only, and the client comes again with the same id.
    let mut offer = vec![0x80, 0, 0, 0, 0, 4];
    offer.extend(quic::CLIENT_ID);
    offer.push(8);
    offer.extend(quic::ORIGINAL);
    offer.extend([0x6b, 0x33, 0x43, 0xcf]);
    let frames = [vec![up(&quic::opening("first")), down(&offer)], handshake(PLAIN)].concat();
    let data = up(&sent(0, &quic::stream(0, 0, b"hello", true)));
    let walked = walked(&[frames, vec![data]].concat(), &quic::key_log()).remove(0);
    assert_eq!(walked.connections.len(), 2);
    assert_eq!(walked.connections[0].alpn.as_deref(), Some("first"));
    assert_eq!(walked.connections[1].alpn.as_deref(), Some(PLAIN));
    assert_eq!(walked.text(0, Direction::Up), "hello");
}

/// NEW_CONNECTION_ID.
fn new_id(id: &[u8]) -> Vec<u8> {
    [&[0x18, 1, 0, u8::try_from(id.len()).unwrap()], id, &[0x55; 16]].concat()
}

#[test]
fn a_connection_goes_on_from_another_address_and_nothing_is_lost() {
    let keys = Sealer::of(DATA, From::Client);
    let moved: End = ([10, 9, 9, 9], 61_000);
    let from_there = |id: &[u8], number: u64, frames: &[u8]| {
        packets::udp(moved, SERVER, &quic::short(&keys, id, false, number, 2, frames))
    };
    let to_there = |number: u64, frames: &[u8]| {
        let keys = Sealer::of(DATA, From::Server);
        packets::udp(SERVER, moved, &quic::short(&keys, &quic::CLIENT_ID, false, number, 2, frames))
    };
    let frames = [
        handshake(PLAIN),
        vec![
            down(&answered(0, &new_id(b"another one"))),
            up(&sent(0, &quic::stream(0, 0, b"before ", false))),
            // With a new id, and (as where a NAT gives another port) with the old one.
            from_there(b"another one", 1, &quic::stream(0, 7, b"and ", false)),
            from_there(&quic::SERVER_ID, 2, &quic::stream(0, 11, b"after", true)),
            from_there(b"another one", 3, &quic::stream(0, 3, b"ore and", false)),
            to_there(1, &quic::stream(0, 0, b"welcome", true)),
        ],
    ]
    .concat();
    let flows = walked(&frames, &quic::key_log());
    assert_eq!(flows.len(), 2);
    let there = &flows[1].streams[&(0, Direction::Up)];
    assert_eq!(there.bytes.keys().copied().collect::<Vec<u64>>(), (7..16).collect::<Vec<u64>>());
    assert_eq!(flows[1].leaves(&["quic.stream", "stream"]), ["and after", "welcome"]);
    assert_eq!(flows[1].leaves(&["quic.repeated", "stream"]), ["ore and"[..4].to_owned()]);
    assert_eq!(flows[0].leaves(&["quic.stream", "stream"]), ["before "]);
    assert!(flows.iter().all(|flow| flow.anomalies.is_empty()), "nothing is missing");
    assert!(flows.iter().all(|flow| flow.connections[0].name == flows[0].connections[0].name));
    // Another connection's flow to the same server is another matter.
    let stranger =
        packets::udp(([10, 0, 0, 5], 9), SERVER, &quic::short(&keys, b"no such id!", false, 9, 2, &[1; 30]));
    let flows = walked(&[frames, vec![stranger]].concat(), &quic::key_log());
    assert_eq!(flows[2].connections, []);
    assert_eq!(flows[2].leaves(&["stream"]).len(), 1);
}

#[test]
fn a_connection_ends_by_a_close_or_by_a_reset() {
    let close = [&[0x1d][..], &quic::varint(0x100), &[4], b"done"].concat();
    let walked = connection(&[up(&sent(0, &close))], &quic::key_log());
    let ended = walked.connections[0].ended.as_deref();
    assert_eq!(ended, Some("closed by the client (application code 0x100) done"));
    // To the client's id, of any content, ending in the server's token.
    let reset = [&[0x40][..], &quic::CLIENT_ID, &[0x3c; 30], &quic::RESET_TOKEN].concat();
    let walked = connection(&[up(&sent(0, &[1; 30])), down(&reset)], &quic::key_log());
    let ended = walked.connections[0].ended.as_deref();
    assert_eq!(ended, Some("reset by the server, which had lost its state"));
    assert_eq!(walked.anomalies, []);
}

#[test]
fn datagrams_and_the_rest_behind_unknown_frames_are_searched() {
    let datagram = [&[0x31, 5][..], b"hello"].concat();
    let unknown = [&quic::varint(0x2a2a)[..], b"who knows what"].concat();
    let frames = [datagram, quic::stream(0, 0, b"abc", true), unknown].concat();
    let walked = connection(&[up(&sent(0, &frames))], &quic::key_log());
    assert_eq!(walked.leaves(&["quic.datagram", "stream"]), ["hello"]);
    assert_eq!(walked.text(0, Direction::Up), "abc");
    assert!(walked.leaves(&["quic.frames", "stream"]).iter().any(|leaf| leaf.ends_with("who knows what")));
    assert_eq!(walked.anomalies(AnomalyKind::QuicMalformed), 1);
}

#[test]
fn anybody_can_seal_an_initial_packet_and_none_of_its_streams_count() {
    let initial = Sealer::initial(&quic::ORIGINAL, From::Client);
    let ids: (&[u8], &[u8]) = (&quic::ORIGINAL, &quic::CLIENT_ID);
    let forged = quic::long(&initial, 0, ids, b"", 7, &quic::stream(0, 0, b"forged", false));
    let frames = [up(&forged), up(&sent(0, &quic::stream(0, 0, b"genuine", true)))];
    let walked = connection(&frames, &quic::key_log());
    assert_eq!(walked.text(0, Direction::Up), "genuine");
    assert!(
        walked.leaves(&["quic.frames", "stream"]).iter().any(|leaf| leaf.contains("forged")),
        "but searched"
    );
}

#[test]
fn dns_over_quic_is_read() {
    let query =
        [&[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], b"\x04quic\x07example\x00", &[0, 1, 0, 1]].concat();
    let framed = [&u16::try_from(query.len()).unwrap().to_be_bytes()[..], &query].concat();
    // RFC 9250 section 4.2 has a length before the message; the first drafts had none.
    for (alpn, message) in [("doq", &framed), ("doq-i00", &query)] {
        let frames = [handshake(alpn), vec![up(&sent(0, &quic::stream(0, 0, message, true)))]].concat();
        let walked = walked(&frames, &quic::key_log()).remove(0);
        assert_eq!(walked.dns.len(), 1, "{alpn}");
        assert_eq!(walked.dns[0].questions[0].0, "quic.example");
    }
}

/// A request of HTTP/3 with literals alone: `POST /` with a length.
fn http3_request(content_length: &str) -> Vec<u8> {
    let length = [&[0x54, content_length.len() as u8][..], content_length.as_bytes()].concat();
    let section = [&[0, 0, 0xd4, 0xd7, 0x50, 1, b'h', 0xc1][..], &length].concat();
    [&[1, section.len() as u8][..], &section].concat()
}

#[test]
fn http3_is_read_from_early_data_on_and_its_content_stands_where_it_was_captured() {
    let ids: (&[u8], &[u8]) = (&quic::ORIGINAL, &quic::CLIENT_ID);
    let head = [http3_request("11"), vec![0, 11]].concat();
    let body = b"hello world";
    let first = [&head[..], &body[..5]].concat();
    let early =
        quic::long(&Sealer::of(EARLY, From::Client), 1, ids, b"", 0, &quic::stream(0, 0, &first, false));
    let rest = quic::stream(0, first.len() as u64, &body[5..], true);
    let later = sent(1, &rest);
    let opening = quic::opening("h3");
    let settings = quic::stream(2, 0, &[0, 4, 0], false);
    let reply = [&[1, 3, 0, 0, 0xd9, 0, 2][..], b"ok"].concat();
    let frames = [
        up(&opening),
        up(&early),
        down(&quic::answer("h3")),
        up(&later),
        up(&sent(2, &settings)),
        down(&answered(0, &quic::stream(0, 0, &reply, true))),
    ];
    let walked = walked(&frames, &quic::key_log()).remove(0);
    assert_eq!(walked.anomalies, []);
    assert_eq!(walked.requests, [("POST".to_owned(), b"/".to_vec(), Some(0))]);
    let body_ops = ["quic.stream", "http3.data", "http3.body"];
    assert_eq!(walked.leaves(&body_ops), ["hello world", "ok"]);
    let leaf = walked.leaves.iter().find(|leaf| leaf.ops == body_ops).unwrap();
    // Where the last bytes of the early packet stand, before its tag, and those of the later one.
    let early_end = (opening.len() + early.len() - 16) as u64;
    let data = (opening.len() + early.len() + 1 + quic::SERVER_ID.len() + 2) as u64;
    let later_start = data + (rest.len() - 6) as u64;
    let places: Vec<u64> = leaf.places.iter().map(|place| place.unwrap()).collect();
    let expected: Vec<u64> = (early_end - 5..early_end).chain(later_start..later_start + 6).collect();
    assert_eq!(places, expected);
}

#[test]
fn an_http3_request_goes_on_from_another_address() {
    let head = [http3_request("11"), vec![0, 11]].concat();
    let body = b"hello world";
    let moved: End = ([10, 0, 0, 1], 50_001);
    let first = sent(0, &quic::stream(0, 0, &[&head[..], &body[..5]].concat(), false));
    let rest = sent(1, &quic::stream(0, head.len() as u64 + 5, &body[5..], true));
    let frames = [handshake("h3"), vec![up(&first), packets::udp(moved, SERVER, &rest)]].concat();
    let flows = walked(&frames, &quic::key_log());
    let body_ops = ["quic.stream", "http3.data", "http3.body"];
    assert_eq!(flows[0].leaves(&body_ops), ["hello"]);
    let after = ["quic.stream", "http3.data", "http3.body", "after-gap"];
    assert_eq!(flows[1].leaves(&after), [" world"]);
    assert_eq!((flows[0].requests.len(), flows[1].requests.len()), (1, 0));
}
