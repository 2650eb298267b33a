//! Random schedules of packets, captured in any order, twice or not at all, against a model.

use proptest::prelude::*;

use super::*;

/// A frame of a stream.
#[derive(Clone, Copy, Debug)]
struct Sent {
    id: u64,
    offset: u64,
    len: usize,
    /// Whether it holds other bytes than the rest of the stream.
    odd: bool,
    /// Whether it ends the stream.
    fin: bool,
}

/// What one packet of a random schedule holds and how it fares.
#[derive(Clone, Debug)]
struct Packet {
    from: From,
    frames: Vec<Sent>,
    captured: bool,
    /// How much later it is captured once more.
    again: Option<usize>,
    /// How many packets later it is captured than it was sent.
    delay: usize,
    number_len: usize,
    update: bool,
}

fn packet() -> impl Strategy<Value = Packet> {
    let frame = (0_u64..3, 0_u64..300, 0_usize..90, prop::bool::weighted(0.05), prop::bool::weighted(0.05))
        .prop_map(|(stream, offset, len, odd, fin)| Sent { id: stream * 4, offset, len, odd, fin });
    (
        prop_oneof![3 => Just(From::Client), 2 => Just(From::Server)],
        prop::collection::vec(frame, 1..4),
        prop::bool::weighted(0.85),
        prop::option::weighted(0.1, 0_usize..12),
        0_usize..8,
        1_usize..=4,
        prop::bool::weighted(0.05),
    )
        .prop_map(|(from, frames, captured, again, delay, number_len, update)| Packet {
            from,
            frames,
            captured,
            again,
            delay,
            number_len,
            update,
        })
}

/// The byte of a stream at a place.
fn byte(from: From, stream: u64, at: u64, odd: bool) -> u8 {
    let base = stream.wrapping_mul(31).wrapping_add(at.wrapping_mul(7)) as u8;
    base ^ if from == From::Client { 0 } else { 0x80 } ^ if odd { 0x55 } else { 0 }
}

/// What is sealed at a place of a datagram.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sealed {
    /// Not sealed: a header or a tag.
    Clear,
    /// A byte of a frame.
    Frame(u8),
    /// A byte of a stream, at a place of it.
    Data(u64, u64, u8),
}

/// Seals a packet, and says what stands where.
fn seal(packet: &Packet, number: u64, sealer: &Sealer, phase: bool) -> (Vec<u8>, Vec<Sealed>) {
    let mut payload = Vec::new();
    let mut sealed = Vec::new();
    for &Sent { id, offset, len, odd, fin } in &packet.frames {
        let data: Vec<u8> = (offset..offset + len as u64).map(|at| byte(packet.from, id, at, odd)).collect();
        let frame = quic::stream(id, offset, &data, fin);
        let head = &frame[..frame.len() - len];
        sealed.extend(head.iter().map(|&byte| Sealed::Frame(byte)));
        sealed.extend((offset..).zip(&data).map(|(at, &byte)| Sealed::Data(id, at, byte)));
        payload.extend(frame);
    }
    let id: &[u8] = if packet.from == From::Client { &quic::SERVER_ID } else { &quic::CLIENT_ID };
    let bytes = quic::short(sealer, id, phase, number, packet.number_len, &payload);
    let clear = 1 + id.len() + packet.number_len;
    let sealed = [vec![Sealed::Clear; clear], sealed, vec![Sealed::Clear; 16]].concat();
    assert_eq!(sealed.len(), bytes.len());
    (bytes, sealed)
}

type Datagram = (From, Vec<u8>, Vec<Sealed>);

/// The ends of streams that a packet tells of.
fn ends(packet: &Packet) -> impl Iterator<Item = ((u64, Direction), u64)> + '_ {
    let last = packet.frames.iter().filter(|frame| frame.fin);
    last.map(|frame| ((frame.id, direction(packet.from)), frame.offset + frame.len as u64))
}

/// Seals a schedule, and puts what is captured of it in order.
fn captured(schedule: &[Packet]) -> (Vec<Datagram>, BTreeMap<(u64, Direction), u64>) {
    let mut keys = BTreeMap::from([
        (From::Client, (Sealer::of(DATA, From::Client), false, 0_u64, 0_u64)),
        (From::Server, (Sealer::of(DATA, From::Server), false, 0, 0)),
    ]);
    let mut order = Vec::new();
    for (place, packet) in schedule.iter().enumerate() {
        let (sealer, phase, number, last_update) = keys.get_mut(&packet.from).unwrap();
        // An update waits for the last one to be acknowledged.
        if packet.update && *number >= *last_update + 16 {
            (*sealer, *phase, *last_update) = (sealer.updated(), !*phase, *number);
        }
        let (bytes, sealed) = seal(packet, *number, sealer, *phase);
        *number += 1;
        let late = place + packet.delay;
        let again = packet.again.map(|again| late + again);
        for late in [late].into_iter().chain(again).filter(|_| packet.captured) {
            order.push((late, place, (packet.from, bytes.clone(), sealed.clone())));
        }
    }
    order.sort_by_key(|(late, place, _)| (*late, *place));
    let mut lengths = BTreeMap::new();
    for (stream, end) in order.iter().flat_map(|(_, place, _)| ends(&schedule[*place])) {
        lengths.entry(stream).or_insert(end);
    }
    (order.into_iter().map(|(.., datagram)| datagram).collect(), lengths)
}

/// The bytes of each stream, and where packets disagree about them.
type Model = BTreeMap<(u64, Direction), (BTreeMap<u64, u8>, BTreeSet<u64>)>;

/// What each stream must hold: of each byte the first that was captured.
fn model(datagrams: &[Datagram]) -> Model {
    let mut streams = Model::new();
    for (from, _, sealed) in datagrams {
        for sealed in sealed {
            let Sealed::Data(stream, at, byte) = *sealed else { continue };
            let (bytes, conflicts) = streams.entry((stream, direction(*from))).or_default();
            if *bytes.entry(at).or_insert(byte) != byte {
                conflicts.insert(at);
            }
        }
    }
    streams
}

fn direction(from: From) -> Direction {
    if from == From::Client { Direction::Up } else { Direction::Down }
}

/// Each direction as it was captured, from its first byte on, and what is sealed there.
fn wire(datagrams: &[Datagram], direction: Direction, first: &[u8]) -> (Vec<u8>, Vec<Sealed>) {
    let (mut wire, mut all) = (first.to_vec(), vec![Sealed::Clear; first.len()]);
    for (from, bytes, sealed) in datagrams {
        if self::direction(*from) == direction {
            wire.extend(bytes);
            all.extend(sealed);
        }
    }
    (wire, all)
}

fn check(schedule: &[Packet]) {
    let (datagrams, lengths) = captured(schedule);
    let frames =
        datagrams.iter().map(|(from, bytes, _)| if *from == From::Client { up(bytes) } else { down(bytes) });
    let walked = walked(&[handshake(PLAIN), frames.collect()].concat(), &quic::key_log()).remove(0);
    let model = model(&datagrams);
    let told: BTreeMap<(u64, Direction), BTreeMap<u64, u8>> =
        walked.streams.iter().map(|(key, held)| (*key, held.bytes.clone())).collect();
    // Of a stream without bytes its length may be known.
    let empty = lengths.iter().filter(|(_, length)| **length > 0).map(|(key, _)| (*key, BTreeMap::new()));
    let with_bytes = model.iter().map(|(key, (bytes, _))| (*key, bytes.clone()));
    let expected: BTreeMap<_, _> = empty.chain(with_bytes).collect();
    assert_eq!(told, expected);
    let mut disputed = false;
    for (key, (bytes, conflicts)) in &model {
        let held = &walked.streams[key];
        assert!(held.conflicts.is_superset(conflicts), "{key:?}");
        assert_eq!(held.conflicts.is_empty(), conflicts.is_empty());
        disputed |= !conflicts.is_empty();
        let last = bytes.keys().next_back().map_or(0, |last| last + 1);
        // The first end that was told of counts.
        let last = last.max(lengths.get(key).copied().unwrap_or(0));
        let missing = (0..last).filter(|at| !bytes.contains_key(at)).count() as u64;
        assert_eq!(ByteRange::covered(held.gaps.iter().copied()), missing, "{key:?}");
    }
    assert_eq!(walked.anomalies(AnomalyKind::ConflictOverlap) > 0, disputed);
    assert_eq!(walked.anomalies(AnomalyKind::QuicMalformed), 0);
    for (direction, first) in [(Direction::Up, quic::opening(PLAIN)), (Direction::Down, quic::answer(PLAIN))]
    {
        let (wire, sealed) = wire(&datagrams, direction, &first);
        places(&walked, direction, &wire, &sealed, &model, first.len());
    }
}

/// Each byte of a leaf stands where it says, and each captured byte is in a leaf or was there before.
fn places(
    walked: &Walked,
    direction: Direction,
    wire: &[u8],
    sealed: &[Sealed],
    model: &Model,
    first: usize,
) {
    let mut told = vec![false; wire.len()];
    for leaf in walked.leaves.iter().filter(|leaf| leaf.direction == direction) {
        // Random bytes may be deflate by chance: what came out of it stands nowhere, and its input is a leaf too.
        if leaf.ops.starts_with(&["quic.stream".to_owned(), "stream".to_owned()])
            && leaf.ops.len() > 2
            && leaf.places.iter().all(Option::is_none)
        {
            continue;
        }
        for (&byte, place) in leaf.bytes.iter().zip(&leaf.places) {
            let at = usize::try_from(place.unwrap()).unwrap();
            told[at] = true;
            if at < first {
                continue;
            }
            match sealed[at] {
                Sealed::Clear => assert_eq!((leaf.ops[0].as_str(), byte), ("quic.packets", wire[at])),
                Sealed::Frame(sealed) => assert_eq!((leaf.ops[0].as_str(), byte), ("quic.frames", sealed)),
                Sealed::Data(_, _, sealed) => assert_eq!(byte, sealed),
            }
        }
    }
    for (at, told) in told.iter().enumerate().filter(|(_, told)| !**told) {
        let Sealed::Data(stream, place, byte) = sealed[at] else { panic!("byte {at} is in no leaf: {told}") };
        assert_eq!(model[&(stream, direction)].0[&place], byte, "byte {at} came before as it is");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: support::soak::schedules(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_schedules_equal_the_model(schedule in prop::collection::vec(packet(), 1..60)) {
        check(&schedule);
    }
}
#[test]
fn bytes_that_decode_by_chance_stand_where_they_are_all_the_same() {
    let frame = Sent { id: 8, offset: 34, len: 36, odd: true, fin: false };
    check(&[Packet {
        from: From::Server,
        frames: vec![frame],
        captured: true,
        again: None,
        delay: 0,
        number_len: 1,
        update: false,
    }]);
}
