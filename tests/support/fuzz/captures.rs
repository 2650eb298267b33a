//! Whole captures, from the container to findings.

use std::{collections::BTreeMap, io, sync::Arc};

use exhibit::{
    case::{Case, Parts, capture::Capture, folder::Folder},
    engine::{
        self,
        net::{self, Side, stream::Chunk},
    },
    evidence::{Blob, Limits, Scratch, read_exact_at},
    findings::inspection::{End, Head, Part, View},
};

use super::Target;

pub const TARGETS: &[(&str, Target)] = &[
    ("analyze", analyze),
    ("capture", capture),
    ("fragments", fragments),
    ("inspect", inspect),
    ("packets", packets),
    ("segments", segments),
];

/// Files in memory.
pub struct Memory(pub BTreeMap<String, Arc<Vec<u8>>>);

impl Folder for Memory {
    fn open(&self, path: &str) -> io::Result<Arc<dyn Blob>> {
        let file = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::clone(file) as Arc<dyn Blob>)
    }
    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let below = format!("{path}/");
        Ok(self.0.keys().filter(|file| *file == path || file.starts_with(&below)).cloned().collect())
    }
}

/// Keeps what is handed on as text.
#[derive(Default)]
struct Text(Vec<u8>);

impl View for Text {
    fn head(&mut self, head: &Head) -> io::Result<()> {
        Ok(serde_json::to_writer(&mut self.0, head)?)
    }
    fn part(&mut self, part: &Part) -> io::Result<()> {
        part.items(&mut Vec::new(), &mut |place, item| {
            self.0.push(place as u8);
            self.0.extend_from_slice(item);
            Ok(())
        })
    }
    fn end(&mut self, end: &End) -> io::Result<()> {
        Ok(serde_json::to_writer(&mut self.0, end)?)
    }
}

fn scratch() -> Scratch {
    Scratch::new(std::env::temp_dir())
}

fn limits() -> Limits {
    Limits { max_decoded: 1 << 20, threads: 1, ..Limits::default() }
}

/// The container alone: frames one after the other, up to its exact end.
fn capture(data: &[u8]) {
    let run = || {
        let capture = Capture::open("c", Arc::new(data.to_vec()), &scratch()).ok()?;
        let (mut frames, mut told) = (capture.frames(), Vec::new());
        loop {
            match frames.next_frame() {
                Ok(Some(frame)) => told.push((frame.data.len(), frame.at)),
                Ok(None) => break,
                Err(error) => panic!("{error}"),
            }
        }
        Some((told, format!("{:?}", frames.finish().unwrap())))
    };
    assert_eq!(run(), run());
}

/// Flows and their streams, checked against themselves.
fn indexed(bytes: Vec<u8>) {
    let Ok(capture) = Capture::open("c", Arc::new(bytes), &scratch()) else { return };
    let index = net::index(&capture, &limits()).unwrap();
    let grouped: usize = index.groups().iter().map(<[_]>::len).sum();
    assert_eq!(grouped, index.flows.len());
    for flow in &index.flows {
        for side in [Side::Initiator, Side::Responder] {
            let first = index.stream(flow.id, side).unwrap();
            let last = index.stream_last_wins(flow.id, side).unwrap();
            let (mut end, mut gap_end) = (0, 0);
            for piece in &first.pieces {
                assert!(piece.range.start >= end && !piece.range.is_empty(), "{:?}", piece.range);
                end = piece.range.end;
            }
            for gap in &first.gaps {
                assert!(gap.start >= gap_end && !gap.is_empty(), "{gap:?}");
                gap_end = gap.end;
                let near = first.pieces.partition_point(|piece| piece.range.end <= gap.start);
                assert!(first.pieces.get(near).is_none_or(|piece| piece.range.start >= gap.end));
            }
            assert_eq!(first.present() + first.lost(), first.end(), "bytes that are neither there nor lost");
            // The last word may be the garbage byte of a keep-alive, which is no data: a byte more each.
            let (ours, theirs) = (first.islands(), last.islands());
            let both: u64 = ours
                .iter()
                .flat_map(|one| theirs.iter().filter_map(|other| one.intersection(*other)))
                .map(|part| part.len())
                .sum();
            assert_eq!((both, first.end().max(last.end())), (first.present(), last.end()));
            assert!(last.present() - both <= u64::from(flow.frames), "more than a byte for each frame");
            let mut reader = first.reader();
            let mut read = 0;
            while let Some(chunk) = reader.next_chunk().unwrap() {
                if let Chunk::Bytes { range, data } = chunk {
                    assert_eq!(range.len(), data.len() as u64);
                    read += range.len();
                    let mut held = vec![0; data.len()];
                    let mut at = 0;
                    for piece in first.pieces_in(range) {
                        let part = piece.range.intersection(range).unwrap();
                        let len = part.len() as usize;
                        let from = piece.at + part.start - piece.range.start;
                        read_exact_at(&*first.blob, &mut held[at..at + len], from).unwrap();
                        at += len;
                    }
                    assert!(held == data, "other bytes than those of the capture");
                }
            }
            assert_eq!(read, first.present());
            let _ = first.anomalies("f");
        }
    }
}

/// Frames of one to 256 bytes behind each other, in a pcap of the link type that the first byte chooses.
fn packets(data: &[u8]) {
    let Some((&link, mut rest)) = data.split_first() else { return };
    // Ethernet, raw IP, cooked, cooked v2, loopback, Wi-Fi, Wi-Fi with radiotap, PPI, IPv4, IPv6, PPP over Ethernet.
    let links = [1, 101, 113, 276, 0, 105, 127, 192, 228, 229, 51];
    let mut frames = Vec::new();
    while let Some((&length, after)) = rest.split_first() {
        let (frame, after) = after.split_at(usize::from(length).min(after.len()));
        frames.push(frame.to_vec());
        rest = after;
    }
    indexed(pcap(links[usize::from(link) % links.len()], &frames));
}

fn pcap(link: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, link].map(u32::to_le_bytes).concat();
    for (seconds, frame) in (0_u32..).zip(frames) {
        let len = frame.len() as u32;
        file.extend([1_790_000_000 + seconds, 0, len, len].map(u32::to_le_bytes).concat());
        file.extend_from_slice(frame);
    }
    file
}

fn ipv4(protocol: u8, down: bool, id: u16, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend((payload.len() as u16 + 20).to_be_bytes());
    packet.extend(id.to_be_bytes());
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    let ends = [[10, 0, 0, 1], [10, 0, 0, 2]];
    packet.extend(ends[usize::from(down)]);
    packet.extend(ends[usize::from(!down)]);
    packet.extend_from_slice(payload);
    packet
}

/// Segments of a connection, five bytes each: flags and direction, sequence number, acknowledgement, length, content.
fn segments(data: &[u8]) {
    let frame = |&[flags, seq, ack, len, fill]: &[u8; 5]| {
        let down = flags & 0x20 != 0;
        let base = |down: bool| if down { u32::MAX - 100 } else { 1_000 };
        let far = if flags & 0x40 != 0 { 60_000 } else { 0 };
        let mut segment: Vec<u8> = if down { [0, 80, 156, 64] } else { [156, 64, 0, 80] }.to_vec();
        segment.extend(base(down).wrapping_add(u32::from(seq) + far).to_be_bytes());
        segment.extend(base(!down).wrapping_add(u32::from(ack) + far).to_be_bytes());
        segment.extend([0x50, flags & 0x1f, 0xff, 0xff, 0, 0, 0, 0]);
        // Content that follows the number, or is another.
        segment.extend((0..len).map(|at| seq.wrapping_add(at).wrapping_mul(7) ^ (fill & 1)));
        ipv4(6, down, 0, 0x4000, &segment)
    };
    let frames: Vec<_> = data.as_chunks::<5>().0.iter().map(frame).collect();
    indexed(pcap(101, &frames));
}

/// Fragments of datagrams, four bytes each: id and flags, offset, length, content.
fn fragments(data: &[u8]) {
    let frame = |&[flags, offset, len, fill]: &[u8; 4]| {
        let more = u16::from(flags & 1) << 13;
        let mut payload = vec![fill; usize::from(len)];
        if offset == 0 {
            let len = (u16::from(fill) * 8).to_be_bytes();
            payload.splice(..0, [156, 64, 0, 9, len[0], len[1], 0, 0]);
        }
        if flags & 8 == 0 {
            return ipv4(17, flags & 4 != 0, u16::from(flags >> 4), more | u16::from(offset), &payload);
        }
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend((payload.len() as u16 + 8).to_be_bytes());
        packet.extend([44, 64]);
        packet.extend([[0x20; 16], [0x21; 16]].concat());
        packet.extend([17, 0]);
        packet.extend((u16::from(offset) << 3 | u16::from(flags & 1)).to_be_bytes());
        packet.extend(u32::from(flags >> 4).to_be_bytes());
        packet.extend(payload);
        packet
    };
    let frames: Vec<_> = data.as_chunks::<4>().0.iter().map(frame).collect();
    indexed(pcap(101, &frames));
}

/// `exhibit inspect` on a file.
fn inspect(data: &[u8]) {
    let run = || {
        let folder = Memory(BTreeMap::from([("c".to_owned(), Arc::new(data.to_vec()))]));
        let parts = Parts { captures: vec!["c".to_owned()], ..Parts::default() };
        let case = Case::from_parts(&folder, parts, &scratch()).ok()?;
        let mut text = Text::default();
        engine::inspect(&case, &limits(), &mut text).unwrap();
        Some(text.0)
    };
    let (one, other) = (run(), run());
    assert!(one == other, "another text the second time");
}

/// `exhibit find` on a file, with the picture and the contact that scenarios have; the ledger adds up.
fn analyze(data: &[u8]) {
    let photo = [b"\xff\xd8\xff\xe0\x00\x10JFIF\x00".as_slice(), &[0x5a; 300], b"not a flat one"].concat();
    let contacts = b"BEGIN:VCARD\nVERSION:3.0\nFN:Ada Lovelace\nTEL:+44 20 7946 0958\nEND:VCARD\n".to_vec();
    let folder = Memory(BTreeMap::from([
        ("c".to_owned(), Arc::new(data.to_vec())),
        ("files/a.jpg".to_owned(), Arc::new(photo)),
        ("files/contacts.vcf".to_owned(), Arc::new(contacts)),
    ]));
    let parts = Parts { captures: vec!["c".to_owned()], files: vec!["files".to_owned()], ..Parts::default() };
    let Ok(case) = Case::from_parts(&folder, parts, &scratch()) else { return };
    let Ok(analysis) = engine::analyze(&case, &scratch(), &limits()) else { return };
    let all = &analysis.findings.ledger.all;
    assert_eq!(all.matched + all.understood + all.undetermined + all.opaque + all.lost, all.total, "{all:?}");
    let rows = &analysis.findings.ledger.by_destination;
    assert_eq!(rows.iter().map(|row| row.bytes.total).sum::<u64>(), all.total);
}
