#![expect(clippy::cast_possible_truncation, reason = "small numbers of hand-made files")]

use std::io::Write;

use flate2::{Compression, write::GzEncoder};

use super::*;
use crate::evidence::{AnomalyKind, FrameNo, Timestamp};

fn scratch() -> Scratch {
    Scratch::new(std::env::temp_dir())
}

fn open(bytes: &[u8]) -> Result<Capture, CaptureError> {
    Capture::open("c.pcap", Arc::new(bytes.to_vec()), &scratch())
}

/// A pcap: magic, snap length, link type, and records of (seconds, fraction, bytes on the wire, bytes).
fn pcap(order: ByteOrder, magic: u32, snap: u32, link: u32, records: &[(u32, u32, u32, &[u8])]) -> Vec<u8> {
    let word = |value: u32| match order {
        ByteOrder::Big => value.to_be_bytes(),
        ByteOrder::Little => value.to_le_bytes(),
    };
    let version = match order {
        ByteOrder::Big => [0, 2, 0, 4],
        ByteOrder::Little => [2, 0, 4, 0],
    };
    let mut file = [word(magic), version, word(0), word(0), word(snap), word(link)].concat();
    for (seconds, fraction, wire, data) in records {
        let len = u32::try_from(data.len()).unwrap();
        file.extend([word(*seconds), word(*fraction), word(len), word(*wire)].concat());
        file.extend_from_slice(data);
    }
    file
}

const MICRO: u32 = 0xa1b2_c3d4;
const NANO: u32 = 0xa1b2_3c4d;

/// Number, time, wire length, position and bytes of a frame.
type Seen = (u32, u64, u32, u64, Vec<u8>);

fn walk(bytes: &[u8]) -> (Vec<Seen>, Container) {
    let capture = open(bytes).unwrap();
    let mut frames = capture.frames();
    let mut seen = Vec::new();
    while let Some(frame) = frames.next_frame().unwrap() {
        seen.push((frame.no.0, frame.time.0, frame.wire_len, frame.at, frame.data.to_vec()));
    }
    (seen, frames.finish().unwrap())
}

fn kinds(container: &Container) -> Vec<AnomalyKind> {
    container.anomalies.iter().map(|anomaly| anomaly.kind).collect()
}

#[test]
fn both_byte_orders_and_resolutions_say_the_same() {
    for order in [ByteOrder::Big, ByteOrder::Little] {
        let micro = pcap(order, MICRO, 65_535, 1, &[(7, 8, 5, b"abcde"), (9, 1_500_000, 9, b"xyz")]);
        let (frames, container) = walk(&micro);
        let expected = [
            (1, 7_000_008_000, 5, 40, b"abcde".to_vec()),
            // More than a second of microseconds is carried over, not wrapped.
            (2, 10_500_000_000, 9, 61, b"xyz".to_vec()),
        ];
        assert_eq!(frames, expected);
        assert_eq!(container.format, Format { family: Family::PcapMicro, order, gzip: false });
        assert_eq!(container.digest, Digest::of(&micro));
        assert_eq!(
            (container.first, container.last),
            (Some(Timestamp(7_000_008_000)), Some(Timestamp(10_500_000_000)))
        );
        let (frames, container) = walk(&pcap(order, NANO, 65_535, 1, &[(7, 8, 5, b"abcde")]));
        assert_eq!(frames[0].1, 7_000_000_008);
        assert_eq!(kinds(&container), []);
    }
}

#[test]
fn a_record_longer_than_the_snap_length_is_read() {
    let (frames, container) =
        walk(&pcap(ByteOrder::Little, MICRO, 2, 1, &[(0, 0, 3, b"abc"), (1, 0, 1, b"d")]));
    assert_eq!(frames.len(), 2);
    assert_eq!(kinds(&container), []);
}

#[test]
fn a_cut_off_file_keeps_what_stands_before_the_cut() {
    let file = pcap(ByteOrder::Little, MICRO, 65_535, 1, &[(0, 0, 3, b"abc"), (1, 0, 4, b"defg")]);
    for (cut, words) in
        [(file.len() - 1, "inside the record that starts at byte 43"), (50, "inside a record header")]
    {
        let (frames, container) = walk(&file[..cut]);
        assert_eq!(frames.len(), 1, "{cut}");
        assert_eq!(kinds(&container), [AnomalyKind::CaptureCutOff]);
        assert!(
            container.anomalies[0].detail.contains(&format!("cut off at byte {cut} {words}")),
            "{container:?}"
        );
        assert_eq!(container.digest, Digest::of(&file[..cut]));
    }
    // Cut between records: nothing shows it.
    assert_eq!(kinds(&walk(&file[..43]).1), []);
}

#[test]
fn an_absurd_length_ends_the_walk_and_the_digest_covers_the_rest() {
    let mut file = pcap(ByteOrder::Little, MICRO, 65_535, 1, &[(0, 0, 3, b"abc")]);
    file.extend([[1, 0, 0, 0], [0; 4], [1, 0, 4, 0], [9, 0, 0, 0]].concat());
    file.resize(file.len() + 1_000_000, 0xaa);
    let (frames, container) = walk(&file);
    assert_eq!(frames.len(), 1);
    assert_eq!(kinds(&container), [AnomalyKind::ContainerDamaged]);
    assert_eq!(container.digest, Digest::of(&file));
    // One byte less is a frame as long as frames may be.
    let data = vec![7; 262_144];
    let (frames, container) =
        walk(&pcap(ByteOrder::Big, MICRO, 65_535, 1, &[(0, 0, 262_144, &data), (1, 0, 1, b"z")]));
    assert_eq!((frames.len(), kinds(&container)), (2, vec![]));
}

#[test]
fn an_empty_pcap_has_no_packets() {
    let (frames, container) = walk(&pcap(ByteOrder::Little, MICRO, 65_535, 101, &[]));
    assert_eq!(frames, []);
    assert_eq!(container.link_types, [LinkType::RAW]);
    assert_eq!(kinds(&container), [AnomalyKind::NoPackets]);
}

#[test]
fn a_clock_that_runs_backwards_is_noted_once_with_its_count() {
    let records: [(u32, u32, u32, &[u8]); 4] =
        [(5, 0, 1, b"a"), (3, 0, 1, b"b"), (4, 0, 1, b"c"), (2, 0, 1, b"d")];
    let (_, container) = walk(&pcap(ByteOrder::Little, MICRO, 99, 1, &records));
    assert_eq!(kinds(&container), [AnomalyKind::ClockBackwards; 2]);
    assert_eq!(container.anomalies[0].frame, Some(FrameNo(2)));
    assert_eq!(container.first, Some(Timestamp(2_000_000_000)));
}

#[test]
fn what_is_no_capture_is_named() {
    let refused = |bytes: &[u8]| open(bytes).err().unwrap().to_string();
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n";
    assert_eq!(
        refused(pointer),
        "read c.pcap as a capture: it is a Git LFS pointer to 12345 bytes, not the capture itself"
    );
    assert!(refused(b"").ends_with("the file is empty"));
    assert!(refused(b"<html>").ends_with("markup (a download page?)"));
    assert!(refused(b"hello there").ends_with("text that starts \"hello there\""));
    assert!(refused(b"\x00\x01\xff").ends_with("the bytes 0001ff"));
    assert!(refused(&0xa1b2_cd34_u32.to_le_bytes()).contains("modified pcap"));
    // A section header without its magic is no pcapng.
    assert!(refused(b"\x0a\x0d\x0d\x0a\x1c\0\0\0abcd").contains("0a0d0d0a"));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn gzip_of_several_members_is_one_capture_with_the_digest_of_the_file() {
    let file = pcap(ByteOrder::Little, MICRO, 65_535, 1, &[(0, 0, 3, b"abc"), (1, 0, 4, b"defg")]);
    let packed = [gzip(&file[..30]), gzip(&file[30..])].concat();
    let (frames, container) = walk(&packed);
    assert_eq!(frames, walk(&file).0);
    assert_eq!(container.digest, Digest::of(&packed));
    assert_eq!(container.bytes, packed.len() as u64);
    assert!(container.format.gzip && container.anomalies.is_empty());
}

#[test]
fn damaged_gzip_gives_what_could_be_unpacked() {
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let data: Vec<u8> = (0..60_000).map(|_| noise()).collect();
    let file = pcap(ByteOrder::Little, MICRO, 65_535, 1, &[(0, 0, 3, b"abc"), (1, 0, 60_000, &data)]);
    let packed = gzip(&file);
    let cut = &packed[..packed.len() - 20_000];
    let (frames, container) = walk(cut);
    assert_eq!(frames.len(), 1);
    assert_eq!(kinds(&container), [AnomalyKind::CompressionDamaged, AnomalyKind::CaptureCutOff]);
    assert_eq!(container.digest, Digest::of(cut));
}

#[test]
fn unpacking_stops_at_its_limit() {
    let file: Arc<dyn Blob> = Arc::new(gzip(&vec![0; 3 << 20]));
    let (blob, unpacked) = gzip::unpack_at_most(1 << 20, "c", &file, &scratch()).unwrap();
    assert_eq!(blob.len(), 1 << 20);
    assert_eq!(unpacked.anomalies[0].kind, AnomalyKind::LimitReached);
    let (blob, unpacked) = gzip::unpack_at_most(3 << 20, "c", &file, &scratch()).unwrap();
    assert_eq!((blob.len(), unpacked.anomalies.len()), (3 << 20, 0));
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let mut padded = body.to_vec();
    padded.resize(body.len().next_multiple_of(4), 0);
    let len = u32::try_from(padded.len() + 12).unwrap().to_le_bytes();
    [&kind.to_le_bytes()[..], &len, &padded, &len].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn option(code: u16, value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(value.len()).unwrap();
    let mut option = [code.to_le_bytes(), len.to_le_bytes()].concat();
    option.extend_from_slice(value);
    option.resize(option.len().next_multiple_of(4), 0);
    option
}

fn section() -> Vec<u8> {
    block(0x0a0d_0d0a, &words(&[0x1a2b_3c4d, 1, u32::MAX, u32::MAX]))
}

fn enhanced(interface: u32, ticks: u64, wire: u32, data: &[u8], options: &[u8]) -> Vec<u8> {
    let (high, low) = ((ticks >> 32) as u32, ticks as u32);
    let mut body = words(&[interface, high, low, u32::try_from(data.len()).unwrap(), wire]);
    body.extend_from_slice(data);
    body.resize(body.len().next_multiple_of(4), 0);
    body.extend_from_slice(options);
    block(6, &body)
}

#[test]
fn pcapng_times_follow_each_interface() {
    let nanos = [words(&[1, 0]), option(9, &[9]), option(14, &100_i64.to_le_bytes())].concat();
    let binary = [words(&[101, 0]), option(9, &[0x8a])].concat();
    let file = [
        section(),
        block(1, &nanos),
        block(1, &binary),
        block(1, &words(&[113, 0])),
        enhanced(0, 5_000_000_001, 3, b"abc", &[]),
        enhanced(1, 1024 * 3 + 512, 2, b"de", &[]),
        enhanced(2, 7_000_001, 1, b"f", &[]),
        section(),
        block(1, &words(&[0, 2])),
        block(3, &[words(&[9]), b"gh".to_vec()].concat()),
    ]
    .concat();
    let capture = open(&file).unwrap();
    let mut frames = capture.frames();
    let mut seen = Vec::new();
    while let Some(frame) = frames.next_frame().unwrap() {
        assert_eq!(&file[frame.at as usize..][..frame.data.len()], frame.data);
        seen.push((frame.interface, frame.link, frame.time.0, frame.wire_len, frame.data.to_vec()));
    }
    let expected = [
        (0, LinkType::ETHERNET, 105_000_000_001, 3, b"abc".to_vec()),
        (1, LinkType::RAW, 3_500_000_000, 2, b"de".to_vec()),
        (2, LinkType::LINUX_SLL, 7_000_001_000, 1, b"f".to_vec()),
        // A simple packet: no time, cut to the interface's snap length.
        (3, LinkType::NULL, 0, 9, b"gh".to_vec()),
    ];
    assert_eq!(seen, expected);
    let container = frames.finish().unwrap();
    assert_eq!((container.packets, container.interfaces, container.dropped), (4, 4, None));
    assert_eq!(container.first, Some(Timestamp(3_500_000_000)));
}

#[test]
fn pcapng_drops_and_key_logs_are_kept() {
    let counter = |code, value: u64| option(code, &value.to_le_bytes());
    let log = b"CLIENT_RANDOM 00 11\n";
    let secrets = [words(&[0x544c_534b, log.len() as u32]), log.to_vec()].concat();
    let start = [section(), block(10, &secrets), block(1, &words(&[1, 0]))].concat();
    let counted =
        [start.clone(), enhanced(0, 1, 1, b"a", &counter(4, 6)), enhanced(0, 2, 1, b"b", &counter(4, 1))]
            .concat();
    let (_, container) = walk(&counted);
    assert_eq!(container.dropped, Some(7));
    assert_eq!(kinds(&container), [AnomalyKind::PacketsDropped]);
    assert_eq!(container.secrets, [Secrets { at: 28 + 16, text: log.to_vec() }]);
    // The last statistics count, and they count before single packets do.
    let statistics = |drop, os| block(5, &[words(&[0, 0, 0]), counter(5, drop), counter(7, os)].concat());
    let (_, container) = walk(&[counted, statistics(1, 1), statistics(20, 3)].concat());
    assert_eq!(container.dropped, Some(23));
    let quiet = [start, enhanced(0, 1, 1, b"a", &[]), statistics(0, 0)].concat();
    let (_, container) = walk(&quiet);
    assert_eq!((container.dropped, kinds(&container)), (Some(0), vec![]));
}

#[test]
fn custom_blocks_take_a_number_as_in_wireshark() {
    let file = [
        section(),
        block(1, &words(&[1, 0])),
        block(0xbad, &words(&[62_652, 1])),
        enhanced(0, 1, 1, b"a", &[]),
    ];
    let (frames, container) = walk(&file.concat());
    assert_eq!(frames.iter().map(|frame| frame.0).collect::<Vec<_>>(), [2]);
    assert_eq!(container.packets, 2);
}

#[test]
fn damaged_pcapng_keeps_what_stands_before() {
    let good = [section(), block(1, &words(&[1, 0])), enhanced(0, 1, 3, b"abc", &[])].concat();
    let damage: [(&[u8], AnomalyKind); 6] = [
        (&enhanced(0, 1, 3, b"abc", &[])[..20], AnomalyKind::CaptureCutOff),
        (&[1, 2, 3], AnomalyKind::CaptureCutOff),
        (&enhanced(9, 1, 3, b"abc", &[]), AnomalyKind::ContainerDamaged),
        (&words(&[6, 8, 0, 0]), AnomalyKind::ContainerDamaged),
        (&words(&[6, 16, 0, 20]), AnomalyKind::ContainerDamaged),
        // Found by random bytes: a second length that can't be rounded up.
        (&words(&[6, 16, 0, u32::MAX]), AnomalyKind::ContainerDamaged),
    ];
    for (tail, kind) in damage {
        let file = [&good, tail].concat();
        let (frames, container) = walk(&file);
        assert_eq!((frames.len(), kinds(&container)), (1, vec![kind]), "{tail:?}");
        assert_eq!(container.digest, Digest::of(&file));
    }
    // A large block of another kind is passed over.
    let large = block(0x1234, &vec![0; 17 << 20]);
    let (frames, container) = walk(&[good.clone(), large, enhanced(0, 2, 1, b"d", &[])].concat());
    assert_eq!((frames.len(), kinds(&container)), (2, vec![AnomalyKind::LimitReached]));
}

/// A file that gets shorter while it is read.
struct Shrinking(Vec<u8>);

impl Blob for Shrinking {
    fn len(&self) -> u64 {
        self.0.len() as u64 + 1
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
        self.0.read_at(buf, offset)
    }
}

#[test]
fn a_file_that_shrinks_is_an_error_not_a_cut() {
    let file = pcap(
        ByteOrder::Little,
        MICRO,
        65_535,
        1,
        &[(0, 0, 300_000, &vec![1; 200_000]), (0, 0, 1, &vec![1; 200_000])],
    );
    let capture = Capture::open("c", Arc::new(Shrinking(file)), &scratch()).unwrap();
    let error = capture.frames().finish().unwrap_err();
    assert_eq!(error.offset, 24 + 2 * 200_016);
}
