//! The parser on connections written by hand, whole and with pieces missing.
#![expect(clippy::cast_possible_truncation, reason = "positions in a test are small")]

use proptest::prelude::*;

use super::{parser::MAX_BLOCK, *};
use crate::{engine::net::stream::Chunk, evidence::ByteRange};

/// What a parser tells, in short words.
#[derive(Default)]
struct Told {
    events: Vec<String>,
    framing: Vec<ByteRange>,
}

impl Handler for Told {
    fn framing(&mut self, bytes: &[u8], range: ByteRange) {
        assert_eq!(bytes.len() as u64, range.len());
        self.framing.push(range);
    }

    fn preface(&mut self, _: ByteRange) {
        self.events.push("preface".to_owned());
    }

    fn frame(&mut self, header: &Header, at: u64) {
        self.events.push(format!("{} {} @{at}", header.kind.name(), header.stream));
    }

    fn data(&mut self, header: &Header, content: ByteRange) {
        let end = if header.end_stream() { " end" } else { "" };
        self.events.push(format!("  content {}..{}{end}", content.start, content.end));
    }

    fn padding(&mut self, range: ByteRange, zeros: bool) {
        // Padding may come in pieces.
        match self.events.last_mut() {
            Some(last) if last.starts_with(&format!("  padding {zeros}")) => {
                last.push_str(&"+".repeat(range.len() as usize))
            }
            _ => self.events.push(format!("  padding {zeros} {}", "+".repeat(range.len() as usize))),
        }
    }

    fn payload(&mut self, _: &Header, payload: &[u8], range: ByteRange) {
        self.events.push(format!("  {payload:?} @{}", range.start));
    }

    fn block(&mut self, block: &Block<'_>) {
        let text = String::from_utf8_lossy(block.fragment).into_owned();
        let Block { stream, promised, end_stream, whole, range: ByteRange { start, end }, .. } = block;
        let promised = promised.map_or(String::new(), |id| format!(" promises {id}"));
        let ends = if *end_stream { " end" } else { "" };
        let whole = if *whole { "" } else { " not whole" };
        self.events.push(format!("  block {stream} {text:?} {start}..{end}{promised}{ends}{whole}"));
    }

    fn lost(&mut self, at: u64) {
        self.events.push(format!("lost @{at}"));
    }

    fn found(&mut self, at: u64) {
        self.events.push(format!("found @{at}"));
    }

    fn malformed(&mut self, at: u64, why: String) {
        self.events.push(format!("malformed @{at} {why}"));
    }

    fn too_large(&mut self, at: u64, why: String) {
        self.events.push(format!("too large @{at} {why}"));
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Parses bytes in pieces of these lengths; `gaps` are not there.
fn parse(start: Start, bytes: &[u8], cuts: &[usize], gaps: &[ByteRange]) -> Told {
    let mut told = Told::default();
    let mut parser = Parser::new(start);
    let mut edges: Vec<u64> = cuts.iter().map(|&cut| cut as u64).collect();
    edges.extend(gaps.iter().flat_map(|gap| [gap.start, gap.end]));
    edges.extend([0, bytes.len() as u64]);
    edges.retain(|&edge| {
        edge <= bytes.len() as u64 && !gaps.iter().any(|gap| gap.start < edge && edge < gap.end)
    });
    edges.sort_unstable();
    edges.dedup();
    for pair in edges.windows(2) {
        let range = ByteRange::new(pair[0], pair[1]);
        let data = &bytes[range.start as usize..range.end as usize];
        let chunk = if gaps.contains(&range) { Chunk::Gap(range) } else { Chunk::Bytes { range, data } };
        parser.push(&chunk, &mut told);
    }
    parser.finish(&mut told);
    told
}

/// A connection's client side with one of everything.
fn client() -> Vec<u8> {
    [
        PREFACE.to_vec(),
        frame(4, 0, 0, &[0, 1, 0, 0, 0, 0]),
        frame(1, 0x20, 1, b"PRIO.first "),
        frame(9, 0, 1, b"second "),
        frame(9, 4, 1, b"third"),
        frame(0, 0, 1, b"hello"),
        frame(0, 9, 1, b"\x03world\0\0\0"),
        frame(8, 0, 0, &[0, 0, 1, 0]),
        frame(0xee, 0xff, 9, b"what"),
        frame(1, 0x0d, 3, b"\x02padded\0\0"),
        frame(3, 0, 3, &[0, 0, 0, 8]),
    ]
    .concat()
}

const CLIENT: [&str; 20] = [
    "preface",
    "SETTINGS 0 @24",
    "  [0, 1, 0, 0, 0, 0] @33",
    "HEADERS 1 @39",
    "CONTINUATION 1 @59",
    "CONTINUATION 1 @75",
    "  block 1 \"first second third\" 39..89",
    "DATA 1 @89",
    "  content 98..103",
    "DATA 1 @103",
    "  content 113..118 end",
    "  padding true +++",
    "WINDOW_UPDATE 0 @121",
    "  [0, 0, 1, 0] @130",
    "a frame of an unknown type 9 @134",
    "HEADERS 3 @147",
    "  padding true ++",
    "  block 3 \"padded\" 147..165 end",
    "RST_STREAM 3 @165",
    "  [0, 0, 0, 8] @174",
];

#[test]
fn every_kind_of_frame_is_told_and_all_bytes_but_content_are_framing() {
    let bytes = client();
    let told = parse(Start::Preface, &bytes, &[], &[]);
    assert_eq!(told.events, CLIENT);
    let content = [ByteRange::new(98, 103), ByteRange::new(113, 118)];
    assert_eq!(ByteRange::covered(told.framing.iter().copied()), bytes.len() as u64 - 10);
    assert!(
        told.framing.iter().all(|range| content.iter().all(|content| content.intersection(*range).is_none()))
    );
}

#[test]
fn a_push_promise_names_two_streams() {
    let bytes = [frame(5, 0x0c, 1, b"\x01\0\0\0\x02GET\0")].concat();
    let told = parse(Start::Frames, &bytes, &[], &[]);
    assert_eq!(told.events.last().unwrap(), "  block 1 \"GET\" 0..18 promises 2");
}

proptest! {
    #[test]
    fn how_bytes_are_cut_changes_nothing(cuts in proptest::collection::vec(0_usize..180, 0..12), start in prop_oneof![Just(Start::Preface), Just(Start::Anywhere)]) {
        let whole = parse(start, &client(), &[], &[]);
        let cut = parse(start, &client(), &cuts, &[]);
        prop_assert_eq!(whole.events, cut.events);
    }

    #[test]
    fn any_bytes_with_any_gap_are_read_without_a_panic(bytes in proptest::collection::vec(prop_oneof![4 => 0_u8..6, 1 => any::<u8>()], 0..300), gap in (0_u64..300, 0_u64..300), cuts in proptest::collection::vec(0_usize..300, 0..5), start in prop_oneof![Just(Start::Preface), Just(Start::Frames), Just(Start::Anywhere)]) {
        let length = bytes.len() as u64;
        let gap = ByteRange::new(gap.0.min(gap.1).min(length), gap.0.max(gap.1).min(length));
        let told = parse(start, &bytes, &cuts, &[gap]);
        let once: u64 = told.framing.iter().map(|range| range.len()).sum();
        prop_assert_eq!(once, ByteRange::covered(told.framing.iter().copied()), "each byte once");
    }
}

#[test]
fn a_gap_inside_content_padding_or_a_payload_loses_nothing_after_it() {
    let bytes = client();
    let within = |start, end| parse(Start::Preface, &bytes, &[], &[ByteRange::new(start, end)]).events;
    assert_eq!(within(99, 103), CLIENT, "content to its end");
    assert_eq!(within(34, 36).len(), 19, "the settings are not told, all else is");
    let without_padding: Vec<_> = CLIENT.iter().filter(|event| !event.contains("true +++")).collect();
    assert_eq!(within(118, 121).iter().collect::<Vec<_>>(), without_padding);
    let block = within(70, 71);
    assert_eq!(block[6], "  block 1 \"first third\" 39..89 not whole");
    assert_eq!(block[7..], CLIENT[7..]);
}

#[test]
fn after_a_lost_header_a_chain_of_frames_is_found_again() {
    let bytes = client();
    let told = parse(Start::Preface, &bytes, &[], &[ByteRange::new(100, 105)]).events;
    assert_eq!(
        told[8..11],
        ["  content 98..103", "lost @100", "found @147"],
        "an unknown type is in no chain"
    );
    assert_eq!(told[11..], CLIENT[15..]);
    // Inside a header block: what came before is told.
    let told = parse(Start::Preface, &bytes, &[], &[ByteRange::new(65, 80)]).events;
    assert_eq!(told[4..7], ["  block 1 \"first \" 39..65 not whole", "lost @65", "found @89"]);
}

#[test]
fn a_start_that_is_missing_is_like_a_gap() {
    let bytes = client();
    let told = parse(Start::Anywhere, &bytes[30..], &[], &[]).events;
    assert_eq!(told[0], "found @9");
    assert_eq!(told[1], "HEADERS 1 @9");
    // A photo that is no frame.
    let noise: Vec<u8> = (0..50_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    assert!(parse(Start::Anywhere, &noise, &[20_000], &[]).events.is_empty());
}

#[test]
fn a_block_that_is_cut_off_or_interrupted_is_not_whole() {
    let bytes = client();
    let told = parse(Start::Preface, &bytes[..78], &[], &[]).events;
    assert_eq!(told.last().unwrap(), "  block 1 \"first second \" 39..78 not whole");
    let told = parse(Start::Preface, &bytes[..58], &[], &[]).events;
    assert_eq!(told.last().unwrap(), "  block 1 \"first\" 39..58 not whole");
    let other = [frame(1, 0, 1, b"a"), frame(0, 0, 1, b"b"), frame(9, 4, 1, b"c")].concat();
    let told = parse(Start::Frames, &other, &[], &[]).events;
    assert_eq!(
        told[1..4],
        ["malformed @10 DATA inside a header block", "  block 1 \"a\" 0..19 not whole", "DATA 1 @10"]
    );
    assert!(told.contains(&"malformed @20 CONTINUATION outside a header block".to_owned()));
}

#[test]
fn lengths_that_contradict_each_other_are_malformed() {
    let told = parse(Start::Frames, &frame(0, 8, 1, b"\x06abc"), &[], &[]).events;
    assert_eq!(told[1..], ["malformed @0 DATA: the padding is longer than the frame", "  content 10..13"]);
    let told = parse(Start::Frames, &frame(1, 0x2c, 1, b"\x06abc"), &[], &[]).events;
    assert_eq!(told[1], "malformed @0 HEADERS: the payload is shorter than what it announces");
    let told = parse(Start::Frames, &frame(8, 0, 1, b"abc"), &[], &[]).events;
    assert_eq!(told[0], "malformed @0 WINDOW_UPDATE: it is not as long as its type asks");
}

#[test]
fn a_header_block_beyond_the_limit_is_not_kept() {
    let part = vec![b'x'; MAX_BLOCK / 2 + 1];
    let bytes =
        [frame(1, 0, 1, &part), frame(9, 0, 1, &part), frame(9, 4, 1, b"end"), frame(6, 0, 0, &[0; 8])]
            .concat();
    let told = parse(Start::Frames, &bytes, &[], &[]).events;
    assert_eq!(told[2], format!("too large @{} a header block of more than 1 MiB", part.len() + 9));
    assert!(told[4].ends_with("not whole"));
    assert!(told[5].starts_with("PING"));
}
