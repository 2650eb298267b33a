//! Random segment schedules against a model: a sender, a lossy path, a capture point and a receiver, and one cell for
//! each byte. 1,000 schedules; `EXHIBIT_SOAK=1` takes 100,000.
//!
//! A schedule draws: the initial number (often just before the wrap), a captured SYN or none, data in the SYN, segment
//! sizes, loss before the capture point with retransmission, retransmission with other boundaries, duplicates,
//! reordering, frames that the capturing machine dropped, keep-alives, segments with other bytes at the same numbers,
//! a FIN. What the engine gives must be what the model's cells hold, everywhere; where two versions were captured it must be flagged.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    reason = "a test may panic and read the environment"
)]

use std::sync::Arc;

use exhibit::{
    case::capture::Capture,
    engine::net::{
        self, FlowId, Side,
        stream::{Chunk, Stream},
    },
    evidence::{Limits, Scratch},
};

#[path = "support/soak.rs"]
mod soak;

const FIN: u8 = 1;
const SYN: u8 = 2;
const ACK: u8 = 16;

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below `end`.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// What became of a transmission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Lost before the capture point: neither captured nor received.
    Lost,
    /// Received, but dropped by the capturing machine.
    Dropped,
    /// Captured and received.
    Seen,
}

/// A segment on its way, by its place in the data.
#[derive(Clone, Debug)]
struct Sent {
    time: usize,
    start: usize,
    bytes: Vec<u8>,
    fin: bool,
    fate: Fate,
}

/// A captured frame.
#[derive(Clone, Debug)]
enum Frame {
    Syn,
    Up { start: usize, bytes: Vec<u8>, fin: bool },
    KeepAlive { start: usize },
    Ack { upto: usize },
}

#[derive(Debug)]
struct Schedule {
    isn: u32,
    syn_data: usize,
    frames: Vec<Frame>,
}

/// No byte is the garbage of a keep-alive, and none of an altered copy is the original's.
fn original(at: usize) -> u8 {
    b'A' + (at * 7 % 26) as u8
}

fn altered(at: usize) -> u8 {
    if at.is_multiple_of(3) { original(at) } else { original(at) ^ 0x20 }
}

fn schedule(seed: u64) -> Schedule {
    let random = &mut Random(seed);
    let longest = if random.chance(20) { 1_500 } else { 300 };
    let len = 1 + random.below(longest);
    let most = 1 + random.below(120);
    let (loss, drop, again, late) = (random.below(30), random.below(12), random.below(30), random.below(12));
    let syn_data = if random.chance(15) { random.below(len.min(40)) } else { 0 };
    let mut sent = Vec::new();
    let (mut at, mut time) = (syn_data, 0);
    while at < len {
        let end = (at + 1 + random.below(most)).min(len);
        let fate = match random.below(100) {
            n if n < loss => Fate::Lost,
            n if n < loss + drop => Fate::Dropped,
            _ => Fate::Seen,
        };
        let fin = end == len && random.chance(50);
        let jitter = if random.chance(20) { random.below(late + 1) * 4 } else { 0 };
        sent.push(Sent {
            time: time + jitter,
            start: at,
            bytes: (at..end).map(original).collect(),
            fin,
            fate,
        });
        if fate == Fate::Lost || random.chance(again) {
            // Retransmitted: as it was, or with what stands around it.
            let (before, after) =
                if random.chance(50) { (0, 0) } else { (random.below(40), random.below(40)) };
            let from = at.saturating_sub(before).max(syn_data);
            let to = (end + after).min(len);
            let fate = if random.chance(10) { Fate::Dropped } else { Fate::Seen };
            let (time, fin) = (time + 5 + random.below(40), to == len && fin);
            sent.push(Sent { time, start: from, bytes: (from..to).map(original).collect(), fin, fate });
        }
        (at, time) = (end, time + 4);
    }
    if random.chance(30) {
        for _ in 0..1 + random.below(4) {
            let start = random.below(len);
            let end = (start + 1 + random.below(80)).min(len);
            let fate = if random.chance(70) { Fate::Seen } else { Fate::Lost };
            let time = random.below(time + 20);
            sent.push(Sent { time, start, bytes: (start..end).map(altered).collect(), fin: false, fate });
        }
    }
    sent.sort_by_key(|segment| segment.time);
    let mut frames = Vec::new();
    let with_syn = syn_data > 0 || random.chance(75);
    if with_syn {
        frames.push(Frame::Syn);
    }
    let isn = if random.chance(40) { u32::MAX - random.below(len + 2) as u32 } else { random.next() as u32 };
    let mut received = vec![false; len + 1];
    received[..syn_data].fill(true);
    let mut next = None;
    for segment in sent.into_iter().filter(|segment| segment.fate != Fate::Lost) {
        let Sent { start, bytes, fin, fate, .. } = segment;
        let end = start + bytes.len();
        received[start..end].fill(true);
        received[len] |= fin;
        if fate == Fate::Seen {
            next = next.max(Some(end + usize::from(fin)));
            frames.push(Frame::Up { start, bytes, fin });
        }
        if random.chance(30) {
            let upto = received.iter().position(|received| !received).unwrap_or(len + 1);
            frames.push(Frame::Ack { upto });
            // One below the next number, which the other end has acknowledged.
            if next == Some(upto) && upto > syn_data.max(1) && upto <= len && random.chance(30) {
                frames.push(Frame::KeepAlive { start: upto - 1 });
            }
        }
    }
    if !frames.iter().any(|frame| matches!(frame, Frame::Up { .. })) {
        let bytes = (syn_data..len).map(original).collect();
        frames.push(Frame::Up { start: syn_data, bytes, fin: false });
    }
    Schedule { isn, syn_data, frames }
}

/// A TCP segment of raw IPv4, without checksums.
fn tcp(up: bool, seq: u32, ack: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let (phone, server) = (([10, 0, 0, 1], 40_000_u16), ([203, 0, 113, 9], 80_u16));
    let (from, to) = if up { (phone, server) } else { (server, phone) };
    let mut packet = vec![0x45, 0];
    packet.extend((payload.len() as u16 + 40).to_be_bytes());
    packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    packet.extend(from.0);
    packet.extend(to.0);
    packet.extend([from.1, to.1].map(u16::to_be_bytes).concat());
    packet.extend([seq, ack].map(u32::to_be_bytes).concat());
    packet.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    packet.extend_from_slice(payload);
    packet
}

fn pcap(schedule: &Schedule) -> Vec<u8> {
    let mut file = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101].map(u32::to_le_bytes).concat();
    let number = |at: usize| schedule.isn.wrapping_add(1).wrapping_add(at as u32);
    for (second, frame) in schedule.frames.iter().enumerate() {
        let packet = match frame {
            Frame::Syn => {
                let data: Vec<u8> = (0..schedule.syn_data).map(original).collect();
                tcp(true, schedule.isn, 0, SYN, &data)
            }
            Frame::Up { start, bytes, fin } => {
                tcp(true, number(*start), 1, if *fin { ACK | FIN } else { ACK }, bytes)
            }
            Frame::KeepAlive { start } => tcp(true, number(*start), 1, ACK, b"\0"),
            Frame::Ack { upto } => tcp(false, 1, number(*upto), ACK, b""),
        };
        let len = packet.len() as u32;
        file.extend([second as u32, 0, len, len].map(u32::to_le_bytes).concat());
        file.extend(packet);
    }
    file
}

/// The simplest thing that could be right.
struct Model {
    /// All versions of each byte in order of capture.
    versions: Vec<Vec<u8>>,
    /// The stream's first byte.
    from: usize,
    /// One past its last, captured or not.
    end: usize,
    keep_alive: bool,
}

impl Model {
    fn of(schedule: &Schedule) -> Self {
        let mut versions: Vec<Vec<u8>> = Vec::new();
        let (mut fin, mut acked, mut next, mut keep_alive) = (None, 0, 0, false);
        let mut put = |start: usize, bytes: &[u8]| {
            if versions.len() < start + bytes.len() {
                versions.resize(start + bytes.len(), Vec::new());
            }
            versions[start..].iter_mut().zip(bytes).for_each(|(cell, byte)| cell.push(*byte));
        };
        for frame in &schedule.frames {
            match frame {
                Frame::Syn => put(0, &(0..schedule.syn_data).map(original).collect::<Vec<_>>()),
                // Whoever sent it: its byte is garbage to any receiver.
                Frame::Up { start, bytes, .. }
                    if bytes.len() == 1 && (next, acked) == (start + 1, start + 1) =>
                {
                    keep_alive = true;
                }
                Frame::Up { start, bytes, fin: with_fin } => {
                    put(*start, bytes);
                    next = next.max(start + bytes.len());
                    if *with_fin {
                        fin = Some(start + bytes.len());
                    }
                }
                Frame::KeepAlive { .. } => keep_alive = true,
                Frame::Ack { upto } => acked = acked.max(*upto),
            }
        }
        let high = versions.len();
        let end = match fin {
            Some(fin) => fin.max(high),
            // One more than what was captured is a FIN that was not.
            None if acked > high + 1 => acked,
            None => high,
        };
        let opened = schedule.frames.iter().any(|frame| matches!(frame, Frame::Syn));
        let lowest = versions.iter().position(|cell| !cell.is_empty()).unwrap_or(0);
        Self { versions, from: if opened { 0 } else { lowest }, end, keep_alive }
    }

    fn cells(&self, version: impl Fn(&Vec<u8>) -> Option<&u8>) -> Vec<Option<u8>> {
        let held = self.versions.iter().skip(self.from).map(|cell| version(cell).copied());
        held.chain(std::iter::repeat(None)).take(self.end - self.from).collect()
    }

    fn differs(&self, at: u64) -> bool {
        let cell = self.versions.get(at as usize + self.from);
        cell.is_some_and(|cell| cell.iter().any(|byte| Some(byte) != cell.first()))
    }
}

fn cells(stream: &Stream) -> Vec<Option<u8>> {
    let mut cells = Vec::new();
    let mut reader = stream.reader();
    while let Some(chunk) = reader.next_chunk().unwrap() {
        match chunk {
            Chunk::Bytes { data, range } => {
                assert_eq!(range.start, cells.len() as u64);
                cells.extend(data.iter().map(|byte| Some(*byte)));
            }
            Chunk::Gap(gap) => cells.extend(std::iter::repeat_n(None, gap.len() as usize)),
        }
    }
    assert_eq!(cells.len() as u64, stream.end());
    cells
}

fn check(seed: u64, scratch: &Scratch) {
    let schedule = schedule(seed);
    let model = Model::of(&schedule);
    let capture = Capture::open("c.pcap", Arc::new(pcap(&schedule)), scratch).unwrap();
    let index = net::index(&capture, &Limits::default()).unwrap();
    assert_eq!(index.flows.len(), 1, "seed {seed}");
    let stream = index.stream(FlowId(0), Side::Initiator).unwrap();
    let story = || format!("seed {seed}: {schedule:?}");
    let first = cells(&stream);
    assert_eq!(first, model.cells(|cell| cell.first()), "{}", story());
    let ambiguous: Vec<u64> = (0..first.len() as u64).filter(|at| model.differs(*at)).collect();
    for at in &ambiguous {
        let inside = stream.conflicts.iter().any(|c| (c.range.start..c.range.end).contains(at));
        assert!(inside, "byte {at} has two versions and is not flagged; {}", story());
    }
    for conflict in &stream.conflicts {
        for at in [conflict.range.start, conflict.range.end - 1] {
            assert!(model.differs(at), "byte {at} is flagged for nothing; {}", story());
        }
    }
    if !model.keep_alive {
        let last = index.stream_last_wins(FlowId(0), Side::Initiator).unwrap();
        assert_eq!(cells(&last), model.cells(|cell| cell.last()), "{}", story());
    }
    // Every piece leads back to a frame that holds its bytes.
    for piece in &stream.pieces {
        let mut byte = [0];
        stream.blob.read_at(&mut byte, piece.at).unwrap();
        assert_eq!(Some(byte[0]), first[piece.range.start as usize], "{}", story());
        let Frame::Up { start, bytes, .. } = &schedule.frames[piece.frame.0 as usize - 1] else {
            assert!(matches!(schedule.frames[piece.frame.0 as usize - 1], Frame::Syn), "{}", story());
            continue;
        };
        let place = piece.range.start as usize + model.from - start;
        assert_eq!(bytes[place], byte[0], "{}", story());
    }
}

#[test]
fn random_schedules_give_what_was_sent_outside_flagged_ambiguity() {
    let scratch = Scratch::new(std::env::temp_dir());
    (0..soak::schedules()).for_each(|seed| check(seed.into(), &scratch));
}

/// The schedules are what they are meant to be: each kind of trouble occurs in many of them.
#[test]
fn schedules_hold_every_kind_of_trouble() {
    let mut seen = std::collections::BTreeMap::<&str, usize>::new();
    for seed in 0..1_000 {
        let schedule = schedule(seed);
        let model = Model::of(&schedule);
        let has = |test: &dyn Fn(&Frame) -> bool| schedule.frames.iter().any(test);
        let starts: Vec<usize> = schedule
            .frames
            .iter()
            .filter_map(|frame| if let Frame::Up { start, .. } = frame { Some(*start) } else { None })
            .collect();
        for (kind, holds) in [
            ("no SYN", !has(&|frame| matches!(frame, Frame::Syn))),
            ("data in the SYN", schedule.syn_data > 0),
            ("keep-alive", has(&|frame| matches!(frame, Frame::KeepAlive { .. }))),
            ("FIN", has(&|frame| matches!(frame, Frame::Up { fin: true, .. }))),
            ("out of order", starts.windows(2).any(|pair| pair[1] < pair[0])),
            ("two versions", model.versions.iter().any(|cell| cell.iter().any(|byte| byte != &cell[0]))),
            ("a gap", model.cells(|cell| cell.first()).contains(&None)),
            ("a byte twice", model.versions.iter().any(|cell| cell.len() > 1)),
            ("wrap", schedule.isn.checked_add(model.end as u32 + 1).is_none()),
        ] {
            *seen.entry(kind).or_default() += usize::from(holds);
        }
    }
    for (kind, count) in seen {
        assert!(count >= 50, "{kind}: {count} of 1,000");
    }
}
