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
        assert_eq!(container.format, Format { family: Family::PcapMicro, order, packing: None });
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
fn neighbours_that_two_cores_stamped_are_no_clock_that_was_set_back() {
    let stamped = |micros| [(5, 1_000, 1, b"a".as_slice()), (5, micros, 1, b"b")];
    let (frames, container) = walk(&pcap(ByteOrder::Little, MICRO, 99, 1, &stamped(1)));
    assert_eq!(kinds(&container), []);
    assert_eq!(frames[1].1, 5_000_001_000);
    let (_, container) = walk(&pcap(ByteOrder::Little, MICRO, 99, 1, &stamped(0)));
    assert_eq!(kinds(&container), [AnomalyKind::ClockBackwards]);
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
    assert!(container.format.packing == Some(Packing::Gzip) && container.anomalies.is_empty());
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

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

#[test]
fn zstd_of_several_frames_is_one_capture_with_the_digest_of_the_file() {
    let file = pcap(ByteOrder::Little, MICRO, 65_535, 1, &[(0, 0, 3, b"abc"), (1, 0, 4, b"defg")]);
    // A frame to be skipped (RFC 8878 section 3.1.2) stands where it likes.
    let skipped: &[u8] = b"\x51\x2a\x4d\x18\x05\0\0\0hello";
    let packed = [skipped, &zstd(&file[..30]), skipped, &zstd(&file[30..]), skipped].concat();
    let (frames, container) = walk(&packed);
    assert_eq!(frames, walk(&file).0);
    assert_eq!((container.digest, container.bytes), (Digest::of(&packed), packed.len() as u64));
    assert_eq!((container.format.packing, kinds(&container)), (Some(Packing::Zstd), vec![]));
}

#[test]
fn zstd_of_the_reference_program_is_read_and_its_checksum_heeded() {
    // printf '\xd4\xc3\xb2\xa1\2\0\4\0\0\0\0\0\0\0\0\0\xff\xff\0\0\1\0\0\0' | zstd --check (1.5.4)
    let packed: &[u8] = b"\x28\xb5\x2f\xfd\x04\x58\xc1\x00\x00\xd4\xc3\xb2\xa1\x02\x00\x04\x00\x00\
        \x00\x00\x00\x00\x00\x00\x00\xff\xff\x00\x00\x01\x00\x00\x00\xa1\xab\x27\x42";
    let (frames, container) = walk(packed);
    assert_eq!((frames, kinds(&container)), (vec![], vec![AnomalyKind::NoPackets]));
    assert_eq!(container.link_types, [LinkType::ETHERNET]);
    let mut wrong = packed.to_vec();
    *wrong.last_mut().unwrap() ^= 1;
    let (_, container) = walk(&wrong);
    assert_eq!(kinds(&container), [AnomalyKind::CompressionDamaged, AnomalyKind::NoPackets]);
    assert!(container.anomalies[0].detail.contains("checksum"), "{:?}", container.anomalies);
}

#[test]
fn damaged_zstd_gives_what_could_be_unpacked() {
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let data: Vec<u8> = (0..200_000).map(|_| noise()).collect();
    let file = pcap(ByteOrder::Little, MICRO, 65_535, 1, &[(0, 0, 3, b"abc"), (1, 0, 200_000, &data)]);
    let packed = zstd(&file);
    // All of the first block of 128 KiB is still in the decoder's window when the second one ends too early.
    let cut = &packed[..packed.len() - 20_000];
    let (frames, container) = walk(cut);
    assert_eq!(frames.len(), 1);
    assert_eq!(kinds(&container), [AnomalyKind::CompressionDamaged, AnomalyKind::CaptureCutOff]);
    assert!(container.anomalies[1].detail.starts_with("cut off at byte 131072"), "{container:?}");
    assert_eq!(container.digest, Digest::of(cut));
    // What follows the last frame is no capture's.
    let (frames, container) = walk(&[&packed[..], b"junk"].concat());
    assert_eq!((frames.len(), kinds(&container)), (2, vec![AnomalyKind::CompressionDamaged]));
}

#[test]
fn unpacking_stops_at_its_limit() {
    let file: Arc<dyn Blob> = Arc::new(gzip(&vec![0; 3 << 20]));
    let unpack = |max| packed::unpack_at_most(max, Packing::Gzip, "c", &file, &scratch()).unwrap();
    let (blob, unpacked) = unpack(1 << 20);
    assert_eq!(blob.len(), 1 << 20);
    assert_eq!(unpacked.anomalies[0].kind, AnomalyKind::LimitReached);
    let (blob, unpacked) = unpack(3 << 20);
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
fn comments_are_kept_with_their_frames_and_without_control_characters() {
    let comment = |text: &[u8]| option(1, text);
    let shb =
        block(0x0a0d_0d0a, &[words(&[0x1a2b_3c4d, 1, u32::MAX, u32::MAX]), comment(b"of all")].concat());
    let idb = block(1, &[words(&[1, 0]), comment(b"of the interface")].concat());
    let two = [comment(b"one"), comment(b"two\x1b[31m\xff")].concat();
    let obsolete =
        block(2, &[words(&[0xffff_0000, 0, 9, 1, 1]), b"z\0\0\0".to_vec(), comment(b"old")].concat());
    let secrets = block(10, &[words(&[7, 2]), b"ab\0\0".to_vec(), comment(b"of secrets")].concat());
    let isb = block(5, &[words(&[0, 0, 0]), comment(b"of statistics")].concat());
    let file =
        [shb, idb, enhanced(0, 1, 1, b"a", &[]), enhanced(0, 2, 1, b"b", &two), obsolete, secrets, isb];
    let (_, container) = walk(&file.concat());
    let seen: Vec<_> =
        container.comments.iter().map(|c| (c.frame.map(|no| no.0), c.about, c.text.as_str())).collect();
    let expected = [
        (None, "section", "of all"),
        (None, "interface", "of the interface"),
        (Some(2), "packet", "one"),
        (Some(2), "packet", "two\\u{1b}[31m\\xff"),
        (Some(3), "packet", "old"),
        (None, "secrets", "of secrets"),
        (None, "statistics", "of statistics"),
    ];
    assert_eq!(seen, expected);
    // A hostile file can't fill memory with them.
    let many = (0..1_500).flat_map(|_| enhanced(0, 1, 1, b"a", &comment(b"x")));
    let file = [section(), block(1, &words(&[1, 0]))].concat().into_iter().chain(many);
    let (_, container) = walk(&file.collect::<Vec<u8>>());
    assert_eq!((container.comments.len(), kinds(&container)), (1_000, vec![AnomalyKind::LimitReached]));
}

#[test]
fn a_name_resolution_block_gives_addresses_their_names() {
    let record = |kind: u16, value: &[u8]| option(kind, value);
    let v6 = [&[0x20, 1, 0x0d, 0xb8][..], &[0; 11], &[1], b"six.example\0"].concat();
    let records = [
        record(1, b"\xcb\0\x71\x09one.example\0other.example\0"),
        record(9, b"of a kind to come"),
        record(2, &v6),
        record(1, b"short"),
        record(0, b""),
        option(1, b"a comment"),
    ];
    let (_, container) = walk(&[section(), block(4, &records.concat())].concat());
    let names: Vec<String> = container.names.iter().map(|(ip, name)| format!("{ip} {name}")).collect();
    let expected = ["115.104.111.114 t", "203.0.113.9 one.example", "203.0.113.9 other.example"];
    assert_eq!(names[..3], expected);
    assert_eq!(names[3], "2001:db8::1 six.example");
    assert_eq!(container.comments[0].text, "a comment");
    // Cut off, or with a length that leads out of its block.
    for broken in [&records[0][..7], &[1, 0, 0xff, 0xff, 1]] {
        let (_, container) = walk(&[section(), block(4, broken)].concat());
        assert_eq!((container.names.len(), kinds(&container)), (0, vec![AnomalyKind::NoPackets]));
    }
}

/// A block of PCAPdroid that maps a user number to an app.
fn uid_map(uid: u32, package: &[u8], name: &[u8]) -> Vec<u8> {
    let head = [&words(&[62_652])[..], &[1, 0, 1, 0], &words(&[uid])].concat();
    block(0xbad, &[&head[..], &[package.len() as u8, name.len() as u8], package, name].concat())
}

#[test]
fn pcapdroid_says_whose_app_a_packet_is() {
    let uid = |text: &[u8]| option(1, text);
    let file = |flags: &[u8]| {
        [
            section(),
            block(1, &words(&[101, 0])),
            uid_map(10_123, b"com.miui.gallery", b"Gallery"),
            enhanced(0, 1, 1, b"a", &[uid(b"u-10123"), flags.to_vec()].concat()),
            // No app was mapped to this number: somebody's words.
            enhanced(0, 2, 1, b"b", &uid(b"u-10124")),
            enhanced(0, 3, 1, b"c", &[]),
            uid_map(10_124, b"p", b"late"),
        ]
        .concat()
    };
    let bytes = file(&[]);
    let capture = open(&bytes).unwrap();
    let mut frames = capture.frames();
    let mut seen = Vec::new();
    while let Some(frame) = frames.next_frame().unwrap() {
        seen.push((frame.no.0, frame.uid));
    }
    assert_eq!(seen, [(2, Some(10_123)), (3, None), (4, None)]);
    let container = frames.finish().unwrap();
    let comments: Vec<&str> = container.comments.iter().map(|comment| comment.text.as_str()).collect();
    assert_eq!((comments, container.vantage), (vec!["u-10124"], Some(Vantage::VpnApp)));
    let app = &container.apps[&10_123];
    assert_eq!((app.name.as_str(), app.package.as_str()), ("Gallery", "com.miui.gallery"));
    // With root it sits below the apps, and says which way a packet went.
    let (_, container) = walk(&file(&option(2, &[2, 0, 0, 0])));
    assert_eq!(container.vantage, Some(Vantage::Phone));
    // Cut short, or of another version or kind.
    for broken in [&[1, 0, 1, 0, 9, 0, 0, 0, 200, 1, b'a'][..], &[2, 0, 1, 0], &[1, 0, 9, 0], &[1]] {
        let custom = block(0xbad, &[&words(&[62_652]), broken].concat());
        let (_, container) = walk(&[section(), custom].concat());
        assert_eq!((container.apps.len(), container.vantage), (0, None));
    }
    let author = option(4, b"PCAPdroid v1.8.0");
    let shb = block(0x0a0d_0d0a, &[words(&[0x1a2b_3c4d, 1, u32::MAX, u32::MAX]), author].concat());
    assert_eq!(walk(&shb).1.vantage, Some(Vantage::VpnApp));
}

#[test]
fn a_trailer_stands_behind_its_packet() {
    let mut frame = vec![7; 60];
    frame.extend([0x01, 0x07, 0x20, 0x21, 0, 0, 0x27, 0x8b]);
    frame.extend(b"Gallery\0xxxxxxxxxxxx");
    let sum = crc32fast::hash(&frame).to_le_bytes();
    frame.extend(sum);
    let app = App { uid: 10_123, name: "Gallery".to_owned(), package: String::new() };
    assert_eq!(Trailer::read(&frame, 60), Some(Trailer { app: app.clone(), intact: true }));
    assert_eq!(Trailer::read(&frame, 61), None, "it would lie in the packet, where anyone may write it");
    frame[0] = 8;
    assert_eq!(Trailer::read(&frame, 60), Some(Trailer { app, intact: false }));
    assert_eq!(Trailer::read(&frame[..91], 0), None);
    assert_eq!(Trailer::read(&frame[70..], 0), None);
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
