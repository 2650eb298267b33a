//! Streams put together from hand-made captures: one rule each, and random schedules against a model.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a test")]

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use exhibit::{
    case::capture::Capture,
    engine::net::{
        self, FlowId, Index, Side,
        stream::{Chunk, Stream},
    },
    evidence::{AnomalyKind, Blob, ByteRange, FrameNo, Limits, Scratch, hex_bytes},
};
use proptest::prelude::*;

mod support;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;

fn client() -> SocketAddr {
    "10.0.0.1:40000".parse().unwrap()
}

fn server() -> SocketAddr {
    "203.0.113.9:80".parse().unwrap()
}

/// A TCP segment of raw IPv4, without checksums.
fn tcp(from: SocketAddr, to: SocketAddr, seq: u32, ack: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut segment = Vec::new();
    segment.extend(from.port().to_be_bytes());
    segment.extend(to.port().to_be_bytes());
    segment.extend(seq.to_be_bytes());
    segment.extend(ack.to_be_bytes());
    segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend_from_slice(payload);
    ip(from, to, 6, &segment)
}

fn udp(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::new();
    datagram.extend(from.port().to_be_bytes());
    datagram.extend(to.port().to_be_bytes());
    datagram.extend((payload.len() as u16 + 8).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend_from_slice(payload);
    ip(from, to, 17, &datagram)
}

fn ip(from: SocketAddr, to: SocketAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let (SocketAddr::V4(source), SocketAddr::V4(destination)) = (from, to) else { panic!("IPv4 here") };
    let mut packet = vec![0x45, 0];
    packet.extend((payload.len() as u16 + 20).to_be_bytes());
    packet.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    packet.extend(source.ip().octets());
    packet.extend(destination.ip().octets());
    packet.extend_from_slice(payload);
    packet
}

fn up(seq: u32, payload: &[u8]) -> Vec<u8> {
    tcp(client(), server(), seq, 0, PSH, payload)
}

fn down(seq: u32, ack: u32, payload: &[u8]) -> Vec<u8> {
    tcp(server(), client(), seq, ack, ACK, payload)
}

/// A pcap of frames, each with the bytes that were not stored.
fn pcap(link: u32, frames: &[(Vec<u8>, u32)]) -> Vec<u8> {
    let mut file = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, link].map(u32::to_le_bytes).concat();
    for (second, (frame, missing)) in frames.iter().enumerate() {
        let len = frame.len() as u32;
        file.extend([second as u32, 0, len, len + missing].map(u32::to_le_bytes).concat());
        file.extend_from_slice(frame);
    }
    file
}

fn index_of(blob: Arc<dyn Blob>) -> Index {
    let capture = Capture::open("c.pcap", blob, &Scratch::new(std::env::temp_dir())).unwrap();
    net::index(&capture, &Limits::default()).unwrap()
}

fn index(frames: &[Vec<u8>]) -> Index {
    let frames: Vec<(Vec<u8>, u32)> = frames.iter().map(|frame| (frame.clone(), 0)).collect();
    index_of(Arc::new(pcap(101, &frames)))
}

fn upload(index: &Index) -> Stream {
    index.stream(FlowId(0), Side::Initiator).unwrap()
}

/// Bytes with `.` for what was not captured.
fn text(stream: &Stream) -> String {
    let mut text = String::new();
    let mut reader = stream.reader();
    while let Some(chunk) = reader.next_chunk().unwrap() {
        match chunk {
            Chunk::Bytes { data, range } => {
                assert_eq!(range.start, text.len() as u64);
                text.push_str(std::str::from_utf8(data).unwrap());
            }
            Chunk::Gap(gap) => text.push_str(&".".repeat(gap.len() as usize)),
        }
    }
    assert_eq!(text.len() as u64, stream.end());
    text
}

fn opened(isn: u32) -> [Vec<u8>; 3] {
    [
        tcp(client(), server(), isn, 0, SYN, b""),
        tcp(server(), client(), 700, isn.wrapping_add(1), SYN | ACK, b""),
        tcp(client(), server(), isn.wrapping_add(1), 701, ACK, b""),
    ]
}

fn after_syn(isn: u32, frames: &[Vec<u8>]) -> Index {
    index(&[&opened(isn)[..], frames].concat())
}

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
fn receivers(stream: &Stream) -> [&'static str; 4] {
    stream.conflicts[0].receivers.unwrap().0.map(|version| version.name())
}

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

mod links {
    use super::*;

    fn reads(link: u32, header: &[u8], packet: &[u8]) -> Option<String> {
        let frame = [header, packet].concat();
        let index = index_of(Arc::new(pcap(link, &[(frame, 0)])));
        index.flows.first().map(|_| text(&upload(&index)))
    }

    /// The same segment over IPv6, behind `extensions` of which the first has number `next`.
    fn ipv6(next: u8, extensions: &[u8]) -> Vec<u8> {
        in_ipv6(next, extensions, &up(1, b"hi")[20..])
    }

    /// A packet of IPv6 (RFC 8200 section 3): `extensions`, of which the first has number `next`, and what follows them.
    fn in_ipv6(next: u8, extensions: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend((extensions.len() as u16 + payload.len() as u16).to_be_bytes());
        packet.extend([next, 64]);
        packet.extend([0x20; 32]);
        packet.extend_from_slice(extensions);
        packet.extend_from_slice(payload);
        packet
    }

    /// Wireshark reads `hi` in each of these frames too, `count` times in all.
    fn confirmed(link: u32, frames: &[Vec<u8>], count: usize) {
        let Some(tshark) = support::peer("tshark") else { return };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("frames.pcap");
        let frames: Vec<(Vec<u8>, u32)> = frames.iter().map(|frame| (frame.clone(), 0)).collect();
        support::write(&path, pcap(link, &frames));
        let mut command = std::process::Command::new(tshark);
        // A session's cookie is agreed on in messages that are not here.
        command.args(["-o", "l2tp.cookie_size:4 Byte Cookie", "-o", "l2tp.l2_specific:None"]);
        command.args(["-d", "l2tp.pw_type==0,eth"]);
        command.arg("-r").arg(&path).args(["-T", "fields", "-e", "frame.number", "-e", "tcp.payload"]);
        let text = support::run(&mut command);
        let seen = text.lines().map(|line| line.matches("6869").count()).sum::<usize>();
        assert_eq!(seen, count, "{text}");
    }

    #[test]
    fn l2tp_leads_to_the_same_segment() {
        let v4 = up(1, b"hi");
        let ethernet = [&[1; 12][..], &[8, 0], &v4].concat();
        let (a, b) = (client(), SocketAddr::new(server().ip(), 1_701));
        let datagram = |header: &[u8], inner: &[u8]| udp(a, b, &[header, inner].concat());
        let len = (v4.len() + 10) as u8;
        let frames = [
            // Version 2: bare, with PPP's address; with length; with numbers; with an offset.
            datagram(&[0, 2, 0, 7, 0, 9, 0xff, 3, 0, 0x21], &v4),
            datagram(&[0x40, 2, 0, len, 0, 7, 0, 9, 0, 0x21], &v4),
            datagram(&[0x08, 2, 0, 7, 0, 9, 0, 1, 0, 0, 0, 0x21], &v4),
            datagram(&[0x02, 2, 0, 7, 0, 9, 0, 2, 0, 0, 0, 0x21], &v4),
        ];
        for frame in &frames {
            assert_eq!(reads(101, &[], frame).as_deref(), Some("hi"), "{frame:02x?}");
        }
        confirmed(101, &frames, 4);
        // Version 3 in UDP and in IP, with cookies of each length.
        for cookie in [&[][..], &[1, 2, 3, 4], &[1, 2, 3, 4, 5, 6, 7, 8]] {
            let inside = [cookie, &ethernet].concat();
            let frame = datagram(&[0, 3, 0, 0, 0, 0, 0, 9], &inside);
            assert_eq!(reads(101, &[], &frame).as_deref(), Some("hi"), "{frame:02x?}");
            let frame = ip(a, b, 115, &[&[0, 0, 0, 9][..], &inside].concat());
            assert_eq!(reads(101, &[], &frame).as_deref(), Some("hi"), "{frame:02x?}");
        }
        // A control message is the datagram that it is.
        let control = [0xc8, 2, 0, 12, 0, 7, 0, 0, 0, 0, 0, 0];
        let index = super::index(&[datagram(&control, b"")]);
        assert_eq!((index.flows[0].responder.port(), index.flows[0].payload(Side::Initiator)), (1_701, 12));
    }

    #[test]
    fn an_aggregate_of_802_11_holds_several_packets() {
        let snap = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
        let subframe = |packet: &[u8]| {
            let msdu = [&snap[..], packet].concat();
            let mut part = [&[2; 12][..], &(msdu.len() as u16).to_be_bytes(), &msdu].concat();
            part.resize(part.len().next_multiple_of(4), 0);
            part
        };
        let parts = [subframe(&up(1, b"hi")), subframe(&up(3, b"hi!")), subframe(&up(6, b"hi"))].concat();
        // QoS data to the access point, with the bit that says so; with and without a high-throughput control field.
        let frame = [&[0x88, 1][..], &[0; 22], &[0x80, 0], &parts].concat();
        let throughput = [&[0x88, 0x81][..], &[0; 22], &[0x80, 0], &[0; 4], &parts].concat();
        for frame in [&frame, &throughput] {
            let index = index_of(Arc::new(pcap(105, &[(frame.clone(), 0)])));
            assert_eq!(text(&upload(&index)), "hihi!hi");
            assert_eq!((index.flows[0].frames, index.anomalies.len()), (3, 0));
        }
        confirmed(105, &[frame], 3);
    }

    #[test]
    fn every_link_type_leads_to_the_same_segment() {
        let v4 = up(1, b"hi");
        let v6 = ipv6(6, &[]);
        let hi = Some("hi".to_owned());
        for link in [12, 14, 101] {
            assert_eq!((reads(link, &[], &v4), reads(link, &[], &v6)), (hi.clone(), hi.clone()));
        }
        assert_eq!((reads(228, &[], &v4), reads(229, &[], &v6)), (hi.clone(), hi.clone()));
        assert_eq!((reads(228, &[], &v6), reads(229, &[], &v4)), (None, None));
        for (family, packet) in [(2_u32, &v4), (10, &v6), (24, &v6), (28, &v6), (30, &v6)] {
            assert_eq!(reads(0, &family.to_le_bytes(), packet), hi);
            assert_eq!(reads(0, &family.to_be_bytes(), packet), hi);
            assert_eq!(reads(108, &family.to_be_bytes(), packet), hi);
        }
        let ethernet = |tail: &[u8]| [&[1; 12], tail].concat();
        assert_eq!(reads(1, &ethernet(&[8, 0]), &v4), hi);
        assert_eq!(reads(1, &ethernet(&[0x86, 0xdd]), &v6), hi);
        assert_eq!(reads(1, &ethernet(&[0x81, 0, 0, 5, 8, 0]), &v4), hi);
        assert_eq!(reads(1, &ethernet(&[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 8, 0]), &v4), hi);
        assert_eq!(reads(1, &ethernet(&[0, 50, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0]), &v4), hi);
        let cooked = [&[0, 0, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0][..], &[8, 0]].concat();
        assert_eq!(reads(113, &cooked, &v4), hi);
        let cooked = [&[0x86, 0xdd, 0, 0, 0, 0, 0, 3, 0, 1, 0, 6][..], &[2; 8]].concat();
        assert_eq!(reads(276, &cooked, &v6), hi);
        // Ethernet's padding is no payload.
        assert_eq!(reads(1, &ethernet(&[8, 0]), &[&v4[..], &[0; 6]].concat()), hi);
    }

    #[test]
    fn ipv6_extension_headers_are_passed_over() {
        let hop_by_hop = [6, 0, 0, 0, 0, 0, 0, 0];
        let both = [60, 0, 0, 0, 0, 0, 0, 0, 6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let authentication = [6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let atomic = [6, 0, 0, 0, 0, 0, 0, 7];
        for (next, extensions) in [(0, &hop_by_hop[..]), (0, &both), (51, &authentication), (44, &atomic)] {
            assert_eq!(reads(101, &[], &ipv6(next, extensions)).as_deref(), Some("hi"), "{next}");
        }
        // More than a packet may have, and one longer than the packet.
        let endless: Vec<u8> = std::iter::repeat_n([0, 0, 0, 0, 0, 0, 0, 0], 40).flatten().collect();
        assert_eq!(reads(101, &[], &ipv6(0, &endless)), None);
        assert_eq!(reads(101, &[], &ipv6(0, &[6, 200, 0, 0, 0, 0, 0, 0])), None);
    }

    #[test]
    fn tunnels_lead_to_the_same_segment() {
        let (v4, v6) = (up(1, b"hi"), ipv6(6, &[]));
        let ethernet = [&[1; 12][..], &[8, 0], &v4].concat();
        let (a, b) = (client(), server());
        let behind = |protocol, header: &[u8], inner: &[u8]| ip(a, b, protocol, &[header, inner].concat());
        let in_udp = |port, header: &[u8], inner: &[u8]| {
            udp(a, SocketAddr::new(b.ip(), port), &[header, inner].concat())
        };
        let mut frames = Vec::new();
        let mut hi = |frame: Vec<u8>| {
            assert_eq!(reads(101, &[], &frame).as_deref(), Some("hi"), "{frame:02x?}");
            frames.push(frame);
        };
        hi(behind(4, &[], &v4));
        hi(behind(41, &[], &v6));
        hi(behind(47, &[0, 0, 8, 0], &v4));
        hi(behind(47, &[0xb0, 0, 0x65, 0x58, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2], &ethernet));
        hi(behind(47, &[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, 0, 0, 0, 0, 0], &ethernet));
        hi(behind(47, &[0x30, 1, 0x88, 0x0b, 0, 99, 0, 1, 0, 0, 0, 1, 0xff, 3, 0, 0x21], &v4));
        hi(in_udp(4789, &[8, 0, 0, 0, 0, 0, 7, 0], &ethernet));
        hi(in_udp(6081, &[1, 0, 0x65, 0x58, 0, 0, 7, 0, 0, 0, 0, 0], &ethernet));
        hi(in_udp(2152, &[0x30, 255, 0, v4.len() as u8, 0, 0, 0, 9], &v4));
        // GTP-U with an extension header (PDU session container), Geneve with an option, Teredo behind an origin.
        hi(in_udp(2152, &[0x34, 255, 0, v4.len() as u8 + 8, 0, 0, 0, 9, 0, 0, 0, 0x85, 1, 0x10, 5, 0], &v4));
        hi(in_udp(6081, &[0, 0, 8, 0, 0, 0, 7, 0], &v4));
        hi(in_udp(3544, &[], &v6));
        hi(in_udp(3544, &[0, 0, 0x9c, 0x3f, 0xf5, 0xff, 0xff, 0xfe], &v6));
        confirmed(101, &frames, frames.len());
        // A port alone makes no tunnel.
        assert_eq!(reads(101, &[], &in_udp(4789, b"not a tunnel", b"")).as_deref(), Some("not a tunnel"));
        let reserved = in_udp(4789, &[8, 0, 0, 1, 0, 0, 7, 0], &ethernet);
        assert_eq!(super::index(&[reserved]).flows[0].responder.port(), 4789);
        // Nor does any depth.
        let nested = (0..40).fold(v4.clone(), |inner, _| behind(4, &[], &inner));
        assert_eq!(reads(101, &[], &nested), None);
    }

    /// What Wireshark and this engine make of each frame, alone in a capture: the innermost addresses, and the payload.
    /// Where Wireshark is not installed, the engine alone.
    fn both_read(link: u32, frames: &[Vec<u8>]) -> Vec<Option<(SocketAddr, SocketAddr, String)>> {
        let read = |frame: &Vec<u8>| {
            let index = index_of(Arc::new(pcap(link, &[(frame.clone(), 0)])));
            let flow = index.flows.first()?;
            Some((flow.initiator, flow.responder, text(&upload(&index))))
        };
        let ours: Vec<_> = frames.iter().map(read).collect();
        let Some(tshark) = support::peer("tshark") else { return ours };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("frames.pcap");
        let frames: Vec<(Vec<u8>, u32)> = frames.iter().map(|frame| (frame.clone(), 0)).collect();
        support::write(&path, pcap(link, &frames));
        let mut command = std::process::Command::new(tshark);
        command.args(["-o", "tcp.reassemble_out_of_order:TRUE", "-o", "ip.defragment:TRUE"]);
        command.arg("-r").arg(&path).args(["-T", "fields", "-E", "occurrence=l"]);
        for field in ["ip.src", "tcp.srcport", "ip.dst", "tcp.dstport", "tcp.payload"] {
            command.args(["-e", field]);
        }
        let theirs = support::run(&mut command);
        let theirs = theirs.lines().map(|line| {
            let [source, from, destination, to, payload] =
                *line.split('\t').collect::<Vec<_>>().as_array().unwrap();
            let bytes = hex_bytes(payload).filter(|bytes| !bytes.is_empty())?;
            let address = |host: &str, port: &str| format!("{host}:{port}").parse().unwrap();
            Some((address(source, from), address(destination, to), String::from_utf8(bytes).unwrap()))
        });
        assert_eq!(ours, theirs.collect::<Vec<_>>());
        ours
    }

    #[test]
    fn erspan_of_each_type_holds_the_mirrored_segment() {
        let ethernet = [&[1; 12][..], &[8, 0], &up(1, b"hi")].concat();
        // The mirror stands between switches of its own.
        let (a, b) = ("192.0.2.1:0".parse().unwrap(), "192.0.2.2:0".parse().unwrap());
        let gre = |header: &[u8], inner: &[u8]| ip(a, b, 47, &[header, inner].concat());
        let second = [0x10, 0x64, 0xa0, 5, 0, 0, 0, 9];
        // Version, VLAN and session; a time stamp; a group's tag; the flags, which end with the frame's type, the
        // hardware, the direction, the clock's granularity and whether a platform's subheader follows.
        let third =
            |flags: u16| [&[0x20, 0x64, 0xa0, 5, 0, 0, 0, 1, 0, 0][..], &flags.to_be_bytes()].concat();
        let numbered = |kind: [u8; 2], header: &[u8]| [&[0x10, 0], &kind[..], &[0, 0, 0, 1], header].concat();
        let platform = [0x14, 0, 0, 0, 0, 0, 0, 0];
        let frames = [
            // Type I: GRE without a sequence number, nothing else.
            gre(&[0, 0, 0x88, 0xbe], &ethernet),
            // Type II, and with GRE's key before its sequence number.
            gre(&numbered([0x88, 0xbe], &second), &ethernet),
            gre(&[&[0x30, 0, 0x88, 0xbe, 0, 0, 0, 7, 0, 0, 0, 1], &second[..]].concat(), &ethernet),
            // Type III: bare; every flag that says nothing of the frame; with a subheader.
            gre(&numbered([0x22, 0xeb], &third(0)), &ethernet),
            gre(&numbered([0x22, 0xeb], &third(0x83fe)), &ethernet),
            gre(&numbered([0x22, 0xeb], &[&third(1)[..], &platform].concat()), &ethernet),
        ];
        let hi = Some((client(), server(), "hi".to_owned()));
        assert_eq!(both_read(101, &frames), vec![hi; frames.len()]);
        // A version or a type of frame that the draft does not know, and headers that end too early.
        let mut unknown = second;
        unknown[0] = 0x30;
        let frames = [
            gre(&numbered([0x88, 0xbe], &unknown), &ethernet),
            gre(&numbered([0x22, 0xeb], &third(1 << 10)), &ethernet),
            gre(&numbered([0x88, 0xbe], &second[..6]), &[]),
            gre(&numbered([0x22, 0xeb], &third(0)[..10]), &[]),
        ];
        assert_eq!(both_read(101, &frames), vec![None; frames.len()]);
        // Type III may mirror a packet without its link; Wireshark 4.0 leaves such frames as data.
        let bare = gre(&numbered([0x22, 0xeb], &third(2 << 10)), &up(1, b"hi"));
        assert_eq!(reads(101, &[], &bare).as_deref(), Some("hi"));
    }

    #[test]
    fn ipv4_travels_in_ipv6() {
        let v4 = up(1, b"hi");
        // RFC 2473 section 4.1.1: how many more tunnels may follow, padded to eight bytes.
        let limit = [4, 0, 4, 1, 4, 1, 1, 0];
        let (a, b) = ("192.0.2.1:0".parse().unwrap(), "192.0.2.2:0".parse().unwrap());
        let frames = [
            in_ipv6(4, &[], &v4),
            in_ipv6(60, &limit, &v4),
            // In another tunnel of each kind.
            ip(a, b, 41, &in_ipv6(4, &[], &v4)),
            in_ipv6(41, &[], &in_ipv6(60, &limit, &v4)),
        ];
        let hi = Some((client(), server(), "hi".to_owned()));
        assert_eq!(both_read(101, &frames), vec![hi; frames.len()]);
        // A packet too large for the tunnel is cut by its entry (section 7.2): what is inside comes whole, or not at all.
        let part = |from: usize, to: usize, more: u8| {
            let header = [4, 0, (from >> 8) as u8, from as u8 | more, 0, 0, 0, 7];
            in_ipv6(44, &header, &v4[from..to])
        };
        let parts = [part(24, v4.len(), 0), part(0, 24, 1)];
        assert_eq!(text(&upload(&super::index(&parts))), "hi");
        confirmed(101, &parts, 1);
        assert!(super::index(&parts[..1]).flows.is_empty());
        // What is no IPv4 is not made one, and a packet of IPv4 is none of IPv6.
        let frames = [in_ipv6(41, &[], &v4), in_ipv6(4, &[], &[0x40; 40]), in_ipv6(4, &[], &v4[..12])];
        assert_eq!(both_read(101, &frames), [None, None, None]);
    }

    #[test]
    fn links_with_labels_and_sessions_lead_to_the_same_segment() {
        let v4 = up(1, b"hi");
        let ethernet = |tail: &[u8]| [&[1; 12], tail].concat();
        let mut frames = std::collections::BTreeMap::<u32, Vec<Vec<u8>>>::new();
        let mut hi = |link, header: &[u8]| {
            assert_eq!(reads(link, header, &v4).as_deref(), Some("hi"), "{header:02x?}");
            frames.entry(link).or_default().push([header, &v4].concat());
        };
        hi(1, &ethernet(&[0x88, 0x47, 0, 1, 0, 64, 0, 2, 1, 64]));
        let pseudowire = [&[0x88, 0x47, 0, 2, 1, 64, 0, 0, 0, 0][..], &ethernet(&[8, 0])].concat();
        hi(1, &ethernet(&pseudowire));
        hi(1, &ethernet(&[0x88, 0x64, 0x11, 0, 0, 1, 0, v4.len() as u8 + 2, 0, 0x21]));
        hi(9, &[0xff, 3, 0, 0x21]);
        hi(9, &[0x21]);
        hi(104, &[0x0f, 0, 8, 0]);
        hi(239, &[&[2, 0, 0, 0, 8, 0, 1, 0, 0, 0, 0, 0][..], &[v4.len() as u8 + 4, 0, 9, 0]].concat());
        let snap = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
        hi(105, &[&[0x88, 1][..], &[0; 24], &snap].concat());
        hi(127, &[&[0, 0, 8, 0, 0, 0, 0, 0, 0x08, 2][..], &[0; 22], &snap].concat());
        for (link, frames) in frames {
            confirmed(link, &frames, frames.len());
        }
        assert_eq!(reads(105, &[&[0x88, 0x41][..], &[0; 24], &snap].concat(), &v4), None, "encrypted");
    }

    fn fragment(packet: &[u8], from: usize, to: usize, more: bool) -> Vec<u8> {
        let mut fragment = [&packet[..20], &packet[20 + from..20 + to]].concat();
        let len = fragment.len() as u16;
        fragment[2..4].copy_from_slice(&len.to_be_bytes());
        let place = (from / 8) as u16 | if more { 0x2000 } else { 0 };
        fragment[6..8].copy_from_slice(&place.to_be_bytes());
        fragment
    }

    #[test]
    fn fragments_in_any_order_give_their_segment_and_its_frames() {
        let packet = up(1, b"abcdefghijklmnopqrst");
        let parts = [
            fragment(&packet, 32, 40, false),
            fragment(&packet, 0, 24, true),
            fragment(&packet, 24, 32, true),
        ];
        let index = index(&parts);
        let stream = upload(&index);
        assert_eq!(text(&stream), "abcdefghijklmnopqrst");
        let frames: Vec<u32> = stream.pieces.iter().map(|piece| piece.frame.0).collect();
        assert_eq!(frames, [2, 3, 1]);
        assert_eq!(index.anomalies, []);
        // One datagram stays one chunk, in its own order.
        let datagram = udp(client(), server(), b"abcdefghijklmnopqrst");
        let parts = [
            fragment(&datagram, 16, 28, false),
            fragment(&datagram, 0, 16, true),
            udp(client(), server(), b"next"),
        ];
        let index = super::index(&parts);
        let stream = upload(&index);
        let mut reader = stream.reader();
        let Some(Chunk::Bytes { data, .. }) = reader.next_chunk().unwrap() else { panic!("bytes") };
        assert_eq!(data, b"abcdefghijklmnopqrst");
        let Some(Chunk::Bytes { data, .. }) = reader.next_chunk().unwrap() else { panic!("bytes") };
        assert_eq!(data, b"next");
    }

    #[test]
    fn of_fragments_whose_rest_never_comes_stands_what_was_captured() {
        let datagram = udp(client(), server(), b"abcdefghijklmnopqrst");
        let next = udp("10.0.0.9:9".parse().unwrap(), server(), b"x");
        let parts = [fragment(&datagram, 0, 16, true), next, fragment(&datagram, 24, 28, false)];
        let index = index(&parts);
        assert_eq!(text(&upload(&index)), "abcdefgh........qrst");
        let frames: Vec<u32> = index.flows.iter().map(|flow| flow.first_frame.0).collect();
        assert_eq!(frames, [1, 2]);
        assert_eq!((index.flows[0].payload(Side::Initiator), index.flows[0].frames), (12, 1));
        let kinds: Vec<AnomalyKind> = index.anomalies.iter().map(|a| a.kind).collect();
        assert_eq!(kinds, [AnomalyKind::FragmentNotReassembled]);
        // UDP's own length tells what its last fragment would have; TCP has none, and nothing is invented.
        let index = super::index(&[fragment(&datagram, 0, 16, true)]);
        assert_eq!(text(&upload(&index)), "abcdefgh............");
        let index = super::index(&[fragment(&up(1, b"abcdefghijkl"), 0, 24, true)]);
        assert_eq!(text(&upload(&index)), "abcd");
        // Without its beginning it is nobody's.
        assert!(super::index(&[fragment(&datagram, 16, 28, false)]).flows.is_empty());
    }

    #[test]
    fn fragments_that_overlap_with_other_bytes_are_noted() {
        let (packet, other) = (up(1, b"abcdefghijkl"), up(1, b"abcdXXXXijkl"));
        let parts = [fragment(&packet, 0, 32, true), fragment(&other, 24, 32, false)];
        let index = index(&parts);
        let stream = upload(&index);
        assert_eq!(text(&stream), "abcdefghijkl");
        assert_eq!(
            index.anomalies.iter().map(|a| a.kind).collect::<Vec<_>>(),
            [AnomalyKind::ConflictOverlap]
        );
        // Both versions are kept, with their frames, and what receivers make of them.
        let [conflict] = &stream.conflicts[..] else { panic!("{:?}", stream.conflicts) };
        let whose = (conflict.range, conflict.kept, conflict.other);
        assert_eq!(whose, (ByteRange::new(4, 8), FrameNo(1), FrameNo(2)));
        assert_eq!(receivers(&stream), ["kept", "other", "kept", "kept"]);
        let last = index.stream_last_wins(FlowId(0), Side::Initiator).unwrap();
        assert_eq!(text(&last), "abcdXXXXijkl");
        let frames: Vec<u32> = last.pieces.iter().map(|piece| piece.frame.0).collect();
        assert_eq!(frames, [1, 2, 1]);
        // A later fragment that begins earlier goes over the other on all but one way.
        let (datagram, other) =
            (udp(client(), server(), b"abcdefghijkl"), udp(client(), server(), b"abcdefXXXXkl"));
        let parts = [
            fragment(&datagram, 16, 20, false),
            fragment(&other, 8, 20, true),
            fragment(&datagram, 0, 8, true),
        ];
        let index = super::index(&parts);
        let stream = upload(&index);
        assert_eq!(receivers(&stream), ["kept", "other", "other", "other"]);
        assert_eq!((stream.datagrams, text(&stream).as_str()), (true, "abcdefXXijkl"));
        assert_eq!(text(&index.stream_last_wins(FlowId(0), Side::Initiator).unwrap()), "abcdefXXXXkl");
        // The same bytes again are no conflict.
        let parts = [fragment(&packet, 0, 32, true), fragment(&packet, 24, 32, false)];
        assert_eq!(super::index(&parts).anomalies, []);
    }

    #[test]
    fn what_is_not_read_is_named_and_counted() {
        let arp = [&[1; 12][..], &[8, 6], &[0; 28]].concat();
        let lldp = [&[1; 12][..], &[0x88, 0xcc], &[0; 28]].concat();
        let mut fragment = up(1, b"hi");
        fragment[6] = 0x20;
        let fragment = [&[1; 12][..], &[8, 0], &fragment].concat();
        let frames: Vec<(Vec<u8>, u32)> =
            [arp, lldp.clone(), lldp, fragment].into_iter().map(|f| (f, 0)).collect();
        let index = index_of(Arc::new(pcap(1, &frames)));
        let seen: Vec<(AnomalyKind, Option<FrameNo>, &str)> =
            index.anomalies.iter().map(|a| (a.kind, a.frame, a.detail.as_str())).collect();
        let expected = [
            (
                AnomalyKind::LinkNotRead,
                Some(FrameNo(2)),
                "network protocol 0x88cc: 2 frames, the first is this one",
            ),
            (
                AnomalyKind::FragmentNotReassembled,
                Some(FrameNo(4)),
                "parts of IP packets that never became whole: 1 frame, the first is this one",
            ),
        ];
        assert_eq!(seen, expected);
    }
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
