//! Streams put together from hand-made captures: one rule each, and random schedules against a model.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a test")]

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use exhibit::{
    engine::net::{
        self, FlowId, Side,
        stream::{Chunk, Stream},
    },
    evidence::{AnomalyKind, Blob, ByteRange, FrameNo},
};
use proptest::prelude::*;

mod support;
use support::streams::{
    ACK, FIN, RST, SYN, after_syn, client, down, index, index_of, opened, pcap, receivers, server, tcp, text,
    udp, up, upload,
};

#[test]
fn a_connection_is_named_and_its_ends_known() {
    let index = after_syn(99, &[up(100, b"GET"), down(701, 103, b"200 OK")]);
    let [flow] = &index.flows[..] else { panic!("one flow") };
    assert_eq!((flow.initiator, flow.responder), (client(), server()));
    assert!(flow.syn_seen && flow.handshake && !flow.reset);
    assert_eq!((flow.frames, flow.payload(Side::Initiator), flow.payload(Side::Responder)), (5, 3, 6));
    assert_eq!(text(&upload(&index)), "GET");
    assert_eq!(text(&index.stream(FlowId(0), Side::Responder).unwrap()), "200 OK");
    assert_eq!(upload(&index).anomalies("f"), []);
}

/// Vectors computed from github.com/corelight/community-id-spec by its pseudo code; the first two are its own.
#[test]
fn community_ids_are_those_of_other_tools() {
    let v6 = |text: &str| -> SocketAddr { text.parse().unwrap() };
    let id = |from: &str, to: &str, udp_: bool| {
        let (from, to) = (v6(from), v6(to));
        let frame = if udp_ { udp(from, to, b"x") } else { tcp(from, to, 1, 0, SYN, b"") };
        index(&[frame]).flows[0].name("c.pcap")
    };
    let expected = "c.pcap#1 1:LQU9qZlK+B5F3KDmev6m5PMibrg=";
    assert_eq!(id("128.232.110.120:34855", "66.35.250.204:80", false), expected);
    assert_eq!(id("66.35.250.204:80", "128.232.110.120:34855", false), expected);
    assert_eq!(id("192.168.1.52:54585", "8.8.8.8:53", true), "c.pcap#1 1:d/FP5EW3wiY1vCndhwleRRKHowQ=");
    assert_eq!(id("10.0.0.1:443", "10.0.0.1:80", false), "c.pcap#1 1:ha3Gdb1ffmoH0pMumBteoAOl/+U=");
}

#[test]
fn any_order_and_other_boundaries_give_the_same_stream() {
    let index =
        after_syn(0, &[up(7, b"ghi"), up(1, b"abcd"), up(3, b"cdef"), up(5, b"efgh"), up(1, b"abcdefghi")]);
    let stream = upload(&index);
    assert_eq!(text(&stream), "abcdefghi");
    assert!(stream.conflicts.is_empty() && stream.gaps.is_empty() && stream.from_start);
}

#[test]
fn sequence_numbers_wrap() {
    let isn = u32::MAX - 3;
    let index = after_syn(isn, &[up(isn.wrapping_add(5), b"efgh"), up(isn.wrapping_add(1), b"abcd")]);
    assert_eq!(text(&upload(&index)), "abcdefgh");
}

#[test]
fn overlapping_segments_that_disagree_keep_both_versions() {
    let index = after_syn(0, &[up(1, b"abcdef"), up(3, b"cXYfgh"), up(9, b"!")]);
    let stream = upload(&index);
    assert_eq!(text(&stream), "abcdefgh!");
    let [conflict] = &stream.conflicts[..] else { panic!("{:?}", stream.conflicts) };
    assert_eq!(
        (conflict.range, conflict.kept, conflict.other),
        (ByteRange::new(3, 5), FrameNo(4), FrameNo(5))
    );
    let mut other = [0; 2];
    stream.blob.read_at(&mut other, conflict.other_at).unwrap();
    assert_eq!(&other, b"XY");
    let kinds: Vec<AnomalyKind> = stream.anomalies("f").iter().map(|anomaly| anomaly.kind).collect();
    assert_eq!(kinds, [AnomalyKind::ConflictOverlap]);
    assert_eq!(text(&index.stream_last_wins(FlowId(0), Side::Initiator).unwrap()), "abcXYfgh!");
}

/// What each way of reassembly makes of the first conflict: first, last, bsd, linux.
#[test]
fn which_receiver_would_take_which_version_is_said() {
    // In order: whoever is first has been handed on.
    let stream = upload(&after_syn(0, &[up(1, b"abcdef"), up(3, b"cXYfgh")]));
    assert_eq!(receivers(&stream), ["kept"; 4]);
    // A byte is missing before both: the later one begins earlier.
    let stream = upload(&after_syn(0, &[up(4, b"defg"), up(2, b"bcXY"), up(1, b"a")]));
    assert_eq!(text(&stream), "abcdefg");
    assert_eq!(receivers(&stream), ["kept", "other", "other", "other"]);
    // They begin together, and the later one is longer.
    let stream = upload(&after_syn(0, &[up(2, b"bc"), up(2, b"XYd"), up(1, b"a")]));
    assert_eq!(receivers(&stream), ["kept", "other", "kept", "other"]);
    let detail = &stream.anomalies("f")[0].detail;
    let words = "which were kept; receivers take: first kept, last other, bsd kept, linux other";
    assert!(detail.ends_with(words), "{detail}");
}

/// Fills in the checksum of a segment (RFC 9293 section 3.1), written independently of the engine: one word after the other.
fn summed(mut packet: Vec<u8>) -> Vec<u8> {
    packet[36..38].fill(0);
    let len = packet.len() as u32 - 20;
    let pseudo = [&packet[12..20], &[0, 6], &(len as u16).to_be_bytes()].concat();
    let words = [&pseudo, &packet[20..]].concat();
    let mut sum = 0_u32;
    for word in words.chunks(2) {
        sum += u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    packet[36..38].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    packet
}

#[test]
fn a_version_with_a_wrong_checksum_is_dropped_by_receivers() {
    let frames =
        |wrong: Vec<u8>| [summed(up(1, b"abc")), wrong, summed(up(4, b"def")), summed(up(7, b"ghi"))];
    let mut wrong = summed(up(4, b"XYZ"));
    wrong[36] ^= 0x55;
    let stream = upload(&after_syn(0, &frames(wrong)));
    assert_eq!(text(&stream), "abcXYZghi", "the first version stands, whatever its checksum");
    assert_eq!(receivers(&stream), ["other"; 4]);
    let conflict = &stream.conflicts[0];
    assert_eq!(
        (conflict.kept_checksum, conflict.other_checksum),
        (net::Checksum::Wrong, net::Checksum::Right)
    );
    let detail = &stream.anomalies("f")[0].detail;
    assert!(detail.ends_with("; the checksum of frame 5 is wrong, so receivers drop it"), "{detail}");
    // Right ones, none at all, and wrong ones everywhere (a capture that was anonymised) tell nothing.
    for frames in [
        frames(summed(up(4, b"XYZ"))).to_vec(),
        vec![up(1, b"abc"), up(4, b"XYZ"), up(4, b"def")],
        frames(up(4, b"XYZ"))
            .map(|mut frame| {
                frame[36] ^= 0x55;
                frame
            })
            .to_vec(),
    ] {
        let stream = upload(&after_syn(0, &frames));
        assert_eq!(receivers(&stream), ["kept"; 4]);
        assert_ne!(stream.conflicts[0].kept_checksum, net::Checksum::Wrong);
    }
}

#[test]
fn a_keep_alive_is_no_conflict() {
    let idle = [up(1, b"abc"), down(701, 4, b""), up(3, b"\0"), up(4, b"d")];
    assert!(upload(&after_syn(0, &idle)).conflicts.is_empty());
    assert_eq!(text(&upload(&after_syn(0, &idle))), "abcd");
    // The same byte before the other end has acknowledged is another version.
    let early = [up(1, b"abc"), up(3, b"\0"), down(701, 4, b""), up(4, b"d")];
    assert_eq!(upload(&after_syn(0, &early)).conflicts.len(), 1);
}

#[test]
fn data_in_the_syn_counts_from_behind_it() {
    let syn = tcp(client(), server(), 50, 0, SYN, b"fast");
    assert_eq!(text(&upload(&index(&[syn, up(55, b" open")]))), "fast open");
}

#[test]
fn data_captured_before_its_syn_has_the_same_place() {
    let syn = tcp(client(), server(), 50, 0, SYN, b"");
    let index = index(&[up(51, b"abc"), syn, up(54, b"def")]);
    assert_eq!(index.flows.len(), 1);
    let stream = upload(&index);
    assert_eq!((text(&stream).as_str(), stream.from_start), ("abcdef", true));
}

#[test]
fn a_stream_without_its_syn_starts_at_the_lowest_byte_near_the_first() {
    let index = index(&[up(1_000, b"mid"), up(990, b"before"), up(1_003, b"dle")]);
    let stream = upload(&index);
    assert_eq!(text(&stream), "before....middle");
    assert!(!stream.from_start);
    let kinds: Vec<AnomalyKind> = stream.anomalies("f").iter().map(|anomaly| anomaly.kind).collect();
    assert_eq!(kinds, [AnomalyKind::MidStreamStart, AnomalyKind::StreamGap]);
}

#[test]
fn what_was_sent_but_not_captured_is_a_gap_with_its_size() {
    let gaps = |frames: &[Vec<u8>]| upload(&after_syn(0, frames)).gaps;
    let gap = |start, end| vec![ByteRange::new(start, end)];
    assert_eq!(gaps(&[up(1, b"abc"), up(6, b"f")]), gap(3, 5));
    assert_eq!(gaps(&[up(3, b"c")]), gap(0, 2));
    // Shown by the other end's acknowledgement, or by the FIN's number.
    assert_eq!(gaps(&[up(1, b"abc"), down(701, 9, b"")]), gap(3, 8));
    assert_eq!(gaps(&[up(1, b"abc"), tcp(client(), server(), 7, 0, FIN | ACK, b"")]), gap(3, 6));
    // The acknowledgement of a FIN, captured or not, shows no byte.
    assert_eq!(gaps(&[up(1, b"abc"), down(701, 5, b"")]), []);
    assert_eq!(gaps(&[up(1, b"abc"), tcp(client(), server(), 4, 0, FIN | ACK, b""), down(701, 5, b"")]), []);
    // A direction of which nothing was captured.
    let silent = index(&[
        up(1, b"abc"),
        tcp(client(), server(), 4, 5_000, ACK, b""),
        tcp(client(), server(), 4, 9_000, ACK, b""),
    ]);
    let stream = silent.stream(FlowId(0), Side::Responder).unwrap();
    assert_eq!((stream.lost(), stream.present()), (4_000, 0));
}

#[test]
fn gaps_of_gigabytes_cost_nothing() {
    let far = 1_u32 << 30;
    let frames: Vec<Vec<u8>> = (0..5).map(|i| up(1_u32.wrapping_add(far.wrapping_mul(i)), b"a")).collect();
    let stream = upload(&after_syn(0, &frames));
    assert_eq!((stream.present(), stream.end()), (5, (4 << 30) + 1));
}

#[test]
fn a_segment_beyond_any_window_is_a_stray_and_two_are_the_stream() {
    let stray = after_syn(0, &[up(1, b"ab"), up(0x6000_0000, b"zz"), up(3, b"cd")]);
    let stream = upload(&stray);
    assert_eq!(text(&stream), "abcd");
    assert_eq!(stream.strays.len(), 1);
    let paused = after_syn(0, &[up(1, b"ab"), up(0x6000_0000, b"yy"), up(0x6000_0002, b"zz")]);
    assert_eq!((upload(&paused).present(), upload(&paused).strays.len()), (6, 0));
}

#[test]
fn text_in_a_reset_is_no_data() {
    let reset = tcp(client(), server(), 4, 0, RST, b"bye");
    let index = after_syn(0, &[up(1, b"abc"), reset]);
    assert!(index.flows[0].reset);
    assert_eq!(text(&upload(&index)), "abc");
    assert_eq!(upload(&index).strays.iter().map(|stray| stray.len).collect::<Vec<_>>(), [3]);
    // Nor does an injected one's number say where the stream is.
    let injected = tcp(server(), client(), 9, 0x3000_0000, RST | ACK, b"");
    assert_eq!(upload(&after_syn(0, &[up(1, b"abc"), injected])).gaps, []);
}

#[test]
fn urgent_bytes_stay_in_the_stream_and_are_named() {
    let mut urgent = up(4, b"dXe");
    // The flag, and a pointer to what follows the urgent byte (RFC 6093).
    urgent[33] |= 0x20;
    urgent[38..40].copy_from_slice(&2_u16.to_be_bytes());
    let stream = upload(&after_syn(0, &[up(1, b"abc"), urgent, up(7, b"f")]));
    assert_eq!((text(&stream).as_str(), &stream.urgent[..]), ("abcdXef", &[(4, FrameNo(5))][..]));
    let anomalies = stream.anomalies("f");
    assert_eq!((anomalies[0].kind, anomalies[0].frame), (AnomalyKind::UrgentData, Some(FrameNo(5))));
    // A pointer without the flag says nothing.
    let mut plain = up(4, b"dXe");
    plain[38..40].copy_from_slice(&2_u16.to_be_bytes());
    assert_eq!(upload(&after_syn(0, &[up(1, b"abc"), plain])).urgent, []);
}

#[test]
fn a_reset_outside_the_window_is_named_and_ends_nothing() {
    let kinds = |reset: Vec<u8>| {
        let index = after_syn(0, &[up(1, b"abc"), down(701, 4, b""), reset, up(4, b"def")]);
        assert_eq!(text(&upload(&index)), "abcdef");
        index.anomalies.iter().map(|anomaly| (anomaly.kind, anomaly.frame.unwrap().0)).collect::<Vec<_>>()
    };
    let reset = |seq| tcp(client(), server(), seq, 0, RST, b"");
    assert_eq!(kinds(reset(4)), []);
    assert_eq!(kinds(reset(4 + 65_535)), [], "within the window");
    assert_eq!(kinds(reset(4 + 65_536)), [(AnomalyKind::ResetOutsideWindow, 6)]);
    assert_eq!(kinds(reset(0x5000_0000)), [(AnomalyKind::ResetOutsideWindow, 6)]);
    assert_eq!(kinds(reset(1)), [(AnomalyKind::ResetOutsideWindow, 6)], "acknowledged already");
    // The answer to a SYN has the number 0.
    let refused = tcp(server(), client(), 0, 1, RST | ACK, b"");
    assert_eq!(index(&[opened(0)[0].clone(), refused]).anomalies, []);
}

#[test]
fn a_syn_with_another_number_is_another_connection() {
    let again = tcp(client(), server(), 0, 0, SYN, b"");
    let next = tcp(client(), server(), 5_000, 0, SYN, b"");
    let index = after_syn(0, &[up(1, b"abc"), again, next, up(5_001, b"def")]);
    assert_eq!(index.flows.len(), 2);
    assert_eq!(text(&upload(&index)), "abc");
    assert_eq!(text(&index.stream(FlowId(1), Side::Initiator).unwrap()), "def");
}

#[test]
fn a_frame_stored_short_leaves_a_gap_unless_it_comes_again() {
    let cut = |frame: Vec<u8>, by: usize| (frame[..frame.len() - by].to_vec(), by as u32);
    let whole = |frame: Vec<u8>| (frame, 0);
    let syn = whole(opened(0)[0].clone());
    let short = vec![syn.clone(), cut(up(1, b"abcdef"), 4), whole(up(7, b"gh")), cut(up(9, b"ijkl"), 3)];
    let index = index_of(Arc::new(pcap(101, &short)));
    assert_eq!(text(&upload(&index)), "ab....ghi...");
    assert_eq!(index.anomalies.iter().map(|a| a.kind).collect::<Vec<_>>(), [AnomalyKind::FrameTruncated]);
    let again = vec![syn, cut(up(1, b"abcdef"), 4), whole(up(1, b"abcdef"))];
    assert_eq!(text(&upload(&index_of(Arc::new(pcap(101, &again))))), "abcdef");
}

#[test]
fn datagrams_stay_apart_and_count_what_is_missing() {
    let (phone, dns) = ("10.0.0.1:5353".parse().unwrap(), "10.0.0.2:53".parse().unwrap());
    let cut = udp(phone, dns, b"cdef");
    let frames =
        [(udp(phone, dns, b"ab"), 0), (cut[..cut.len() - 3].to_vec(), 3), (udp(phone, dns, b"gh"), 0)];
    let index = index_of(Arc::new(pcap(101, &frames)));
    let stream = upload(&index);
    let mut chunks = Vec::new();
    let mut reader = stream.reader();
    while let Some(chunk) = reader.next_chunk().unwrap() {
        chunks.push(match chunk {
            Chunk::Bytes { data, .. } => String::from_utf8(data.to_vec()).unwrap(),
            Chunk::Gap(gap) => ".".repeat(gap.len() as usize),
        });
    }
    assert_eq!(chunks, ["ab", "c", "...", "gh"]);
    assert!(stream.from_start);
}

#[test]
fn the_responder_of_a_connection_begun_before_the_capture_has_the_known_port() {
    let index = index(&[down(5, 9, b"late"), up(9, b"x")]);
    assert_eq!((index.flows[0].initiator, index.flows[0].syn_seen), (client(), false));
    assert_eq!(text(&upload(&index)), "x");
}

/// A capture that somebody writes to while it is analyzed.
struct Changing(Mutex<Vec<u8>>);

impl Blob for Changing {
    fn len(&self) -> u64 {
        self.0.lock().unwrap().len() as u64
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
        self.0.lock().unwrap().read_at(buf, offset)
    }
}

#[test]
fn bytes_that_changed_since_they_were_indexed_are_an_error() {
    let frames = [&opened(0)[..], &[up(1, b"abcd"), up(3, b"cdef")]].concat();
    let frames: Vec<(Vec<u8>, u32)> = frames.into_iter().map(|frame| (frame, 0)).collect();
    let file = pcap(101, &frames);
    let blob = Arc::new(Changing(Mutex::new(file.clone())));
    let index = index_of(blob.clone());
    let (read, stream) = (upload(&index), upload(&index));
    assert_eq!(text(&read), "abcdef");
    *blob.0.lock().unwrap().last_mut().unwrap() ^= 1;
    // What was read and checked may be kept; what is read now is another's. Already built, and built anew.
    assert_eq!(text(&read), "abcdef");
    let error = stream.reader().next_chunk().unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("changed"));
    assert!(index.stream(FlowId(0), Side::Initiator).is_err());
}

#[test]
fn many_small_segments_in_reverse_come_out_in_order() {
    let count = 50_000_u32;
    let byte = |i: u32| b'a' + (i % 26) as u8;
    let frames: Vec<Vec<u8>> = (0..count).rev().map(|i| up(1 + i, &[byte(i)])).collect();
    let expected: String = (0..count).map(|i| byte(i) as char).collect();
    assert_eq!(text(&upload(&after_syn(0, &frames))), expected);
}

/// One captured segment of a random schedule.
#[derive(Clone, Debug)]
struct Sent {
    start: usize,
    len: usize,
    /// Whether it carries other bytes than the original.
    altered: bool,
}

fn schedule() -> impl Strategy<Value = (u32, bool, Vec<Sent>)> {
    let sent = (0..400_usize, 1..60_usize, prop::bool::weighted(0.1))
        .prop_map(|(start, len, altered)| Sent { start, len, altered });
    let isn = prop_oneof![any::<u32>(), (u32::MAX - 300)..=u32::MAX];
    (isn, any::<bool>(), prop::collection::vec(sent, 1..60))
}

/// The simplest thing that could be right: one cell a byte, the first or the last writer keeps it.
fn model(sent: &[Sent], last_wins: bool) -> Vec<Option<u8>> {
    let mut cells = vec![None; 512];
    for segment in sent {
        for (at, byte) in bytes(segment) {
            if last_wins || cells[at].is_none() {
                cells[at] = Some(byte);
            }
        }
    }
    let end = cells.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
    cells.truncate(end);
    cells
}

fn bytes(segment: &Sent) -> impl Iterator<Item = (usize, u8)> {
    let flip = if segment.altered { 0x20 } else { 0 };
    // Every third byte of an altered segment stays as it was.
    (segment.start..segment.start + segment.len)
        .map(move |at| (at, (b'A' + (at * 7 % 26) as u8) ^ if at % 3 == 0 { 0 } else { flip }))
}

fn cells(stream: &Stream) -> Vec<Option<u8>> {
    text(stream).bytes().map(|byte| (byte != b'.').then_some(byte)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_schedules_equal_the_model((isn, with_syn, sent) in schedule()) {
        let segments = sent.iter().map(|segment| {
            let payload: Vec<u8> = bytes(segment).map(|(_, byte)| byte).collect();
            up(isn.wrapping_add(1).wrapping_add(segment.start as u32), &payload)
        });
        let syn = with_syn.then(|| tcp(client(), server(), isn, 0, SYN, b""));
        let index = index(&syn.into_iter().chain(segments).collect::<Vec<_>>());
        let from = if with_syn { 0 } else { sent.iter().map(|segment| segment.start).min().unwrap() };
        let stream = upload(&index);
        prop_assert_eq!(cells(&stream), &model(&sent, false)[from..]);
        let last = index.stream_last_wins(FlowId(0), Side::Initiator).unwrap();
        prop_assert_eq!(cells(&last), &model(&sent, true)[from..]);
        // Each byte with two versions lies in a conflict, and each conflict begins and ends with one.
        let first = model(&sent, false);
        let differs = |at: usize| sent.iter().any(|s| bytes(s).any(|(place, byte)| place == at && first[at] != Some(byte)));
        let inside = |at: usize| stream.conflicts.iter().any(|c| (c.range.start..c.range.end).contains(&((at - from) as u64)));
        for at in from..first.len() {
            prop_assert!(!differs(at) || inside(at), "byte {} is ambiguous and not flagged", at);
        }
        for conflict in &stream.conflicts {
            prop_assert!(differs(conflict.range.start as usize + from));
            prop_assert!(differs(conflict.range.end as usize - 1 + from));
        }
        // Every piece lies where it says, and frames lead back to it.
        for piece in &stream.pieces {
            let mut byte = [0];
            stream.blob.read_at(&mut byte, piece.at).unwrap();
            prop_assert_eq!(Some(byte[0]), cells(&stream)[piece.range.start as usize]);
        }
    }
}
