//! Properties that hold for any conversation.

use proptest::prelude::*;

use super::*;

/// Every captured byte is in a leaf that is searched, or in one that is digested only and whose bytes went
/// into leaves that are searched.
pub(super) fn assert_all_searched(collected: &Collected, up: &Stream, down: &Stream) {
    for (direction, stream) in [(Direction::Up, up), (Direction::Down, down)] {
        let searched = collected
            .leaves
            .iter()
            .filter(|leaf| leaf.direction == direction && leaf.keep == Keep::Search)
            .flat_map(|leaf| leaf.from.iter().copied());
        let searched = ByteRange::unite(searched);
        for piece in &stream.pieces {
            let covered: u64 =
                searched.iter().filter_map(|range| range.intersection(piece.range)).map(ByteRange::len).sum();
            assert_eq!(
                covered,
                piece.range.len(),
                "{direction:?} {:?}: {:?}",
                piece.range,
                collected.paths()
            );
        }
    }
}

fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let gzip: &[u8] = b"\x1f\x8b\x08\x08\0\0\0\0\x02\xffname\0\x4b\x4c\x04\0\xb4\x0f\xf5\x30\x02\0\0\0";
    let gzip = {
        // "aa": the checksum is made here so that the sample stays readable.
        let mut bytes = gzip[..gzip.len() - 8].to_vec();
        bytes.extend(crc32fast::hash(b"aa").to_le_bytes());
        bytes.extend(2u32.to_le_bytes());
        bytes
    };
    let with_length = |fields: &str, body: &[u8]| {
        let head = format!("POST /a%20b?x=y+z HTTP/1.1\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    };
    let next = b"GET /n HTTP/1.1\r\nHost: h\r\n\r\n";
    let multipart = b"pre\r\n--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n-\r\n--\r\n--bb\r\n--b \r\n\r\n--b\r\n\r\n\r\n--b--\r\nepi";
    let chunked =
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4;e\r\nWiki\r\n1\r\n!\r\n0\r\nT: t\r\n\r\n";
    vec![
        (
            "multipart",
            [&with_length("Content-Type: multipart/form-data; boundary=b\r\n", multipart)[..], next].concat(),
        ),
        (
            "long multipart",
            with_length(
                "Content-Type: multipart/form-data; boundary=\"longer boundary\"\r\n",
                b"--longer boundary\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nsome data that is \
                longer than what is held at first\r\n--longer\r\n\r\n--longer boundary\r\nContent-Type: \
                text/plain\r\n\r\nmore data\n--longer boundary\nX: y\n\nlast\r\n--longer boundary--\r\n",
            ),
        ),
        ("gzip", [&with_length("Content-Encoding: gzip\r\n", &gzip)[..], next].concat()),
        (
            "damaged gzip",
            [&with_length("Content-Encoding: gzip\r\n", &gzip[..gzip.len() - 3])[..], next].concat(),
        ),
        ("absent gzip", [&with_length("Content-Encoding: gzip\r\n", b"x")[..], next].concat()),
        ("chunked", [&chunked[..], next].concat()),
        ("broken chunked", [&chunked[..50], &b"zz\r\n"[..], next].concat()),
        (
            "form",
            with_length(
                "Content-Type: application/x-www-form-urlencoded\r\n",
                b"k=%41+b&p=AAAABBBBCCCCDDDDAAAABBBBCCCCDDDDAAAABBBBCCCCDDDDAAAABBBBCCCCDDDDAA%3D%3D&z",
            ),
        ),
        ("base64", with_length("", &[b'Q'; 70])),
        ("cut off", b"POST / HTTP/1.1\r\nContent-Length: 99\r\n\r\nabc".to_vec()),
        ("folded", b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n".to_vec()),
        ("junk after", [&next[..], b"no\r\nhttp\n", next].concat()),
        ("upgrade", [&b"GET / HTTP/1.1\r\nUpgrade: x\r\n\r\n"[..], b"\x81\x00\r\n\r\n", next].concat()),
        ("raw", b"\x00\x01binary\r\nGET".to_vec()),
        ("json", with_length("", JSON)),
        ("xml", with_length("", b"<m a='x &amp; y'>text that is longer than thirty-two bytes &lt;<![CDATA[and more of it, as it stands, to the end]]></m>")),
        ("tar", with_length("", &tar(&[("a", JSON), ("b", &[b'Q'; 70])]))),
        ("protobuf", b"\x0a\x05hello\x12\x26{\"k\":\"A value with an escape: \\u0041\"}..\x18\x96\x01".to_vec()),
        ("cbor", with_length("", b"\xa2\x61a\x5f\x45hello\x46 world\xff\x61b\x58\x28forty bytes that stand there as they are.")),
        ("runs", [b"words, then ".as_slice(), &[b'Q'; 76], b"\r\n", &[b'R'; 76], b"\r\nRR==\r\nand words"].concat()),
        ("utf-16", "text in UTF-16 without a byte-order mark".bytes().flat_map(|byte| [byte, 0]).collect()),
    ]
}

/// Escapes, base64 in a string, JSON in a string, a string that is long enough for a leaf of its own.
const JSON: &[u8] = b"{\"key\":\"a\\u00e9b\",\"photo\":\"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5\\/w==\",\
    \"inner\":\"{\\\"deep\\\":\\\"a string in a string, which is long enough\\\"}\",\"plain\":\"0123456789abcdefghijklmnopqrstuvwxyz .\"}";

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, path, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn cutting_at_every_byte_changes_nothing() {
    let down = Stream::of_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 304 X\r\n\r\n");
    for (name, bytes) in samples() {
        let whole = walked(&Stream::of_bytes(&bytes), &down, Transport::Tcp, 80);
        assert_all_searched(&whole, &Stream::of_bytes(&bytes), &down);
        for at in 0..=bytes.len() {
            let (left, right) = bytes.split_at(at);
            let cut = walked(&stream(&[Ok(left), Ok(right)]), &down, Transport::Tcp, 80);
            assert_same(cut, &whole, &format!("{name} cut at {at}"));
        }
        let single: Vec<Result<&[u8], u64>> = bytes.chunks(1).map(Ok).collect();
        assert_same(walked(&stream(&single), &down, Transport::Tcp, 80), &whole, name);
    }
}

#[test]
fn layers_are_the_same_however_long_content_is_cut() {
    let strings: Vec<String> =
        (0..120).map(|no| format!("{no}: a string in a list, \n with an escape")).collect();
    let json = serde_json::to_string(&strings).unwrap();
    let wrapped = serde_json::to_string(&[&json, &json]).unwrap();
    assert!(wrapped.len() > 10_000);
    let request = |body: &[u8], fields: &str| {
        let head = format!("POST / HTTP/1.1\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    };
    let part = [b"--b\r\n\r\n", wrapped.as_bytes(), b"\r\n--b--\r\n"].concat();
    let chunk =
        [format!("{:x}\r\n", wrapped.len()).as_bytes(), wrapped.as_bytes(), b"\r\n0\r\n\r\n"].concat();
    let chunked = [b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", chunk.as_slice()].concat();
    let down = Stream::of_bytes(b"");
    for (name, bytes) in [
        ("json", request(wrapped.as_bytes(), "")),
        ("part", request(&part, "Content-Type: multipart/form-data; boundary=b\r\n")),
        ("chunked", chunked),
        ("raw", wrapped.clone().into_bytes()),
    ] {
        let whole = walked(&Stream::of_bytes(&bytes), &down, Transport::Tcp, 80);
        assert!(whole.leaves.len() > 200, "{name}: {}", whole.leaves.len());
        let inner = whole.leaves.iter().filter(|leaf| leaf.steps.len() > 2).count();
        assert!(inner >= 200, "{name}: {inner}");
        for size in [1, 7, 1_460, 4_095, 4_096, 5_000] {
            let pieces: Vec<Result<&[u8], u64>> = bytes.chunks(size).map(Ok).collect();
            let cut = walked(&stream(&pieces), &down, Transport::Tcp, 80);
            assert_same(cut, &whole, &format!("{name} in pieces of {size}"));
        }
    }
}

#[test]
fn a_gap_anywhere_leaves_every_other_byte_searched() {
    let down = Stream::of_bytes(b"");
    for (_, bytes) in samples() {
        for at in 0..bytes.len() {
            let (left, right) = bytes.split_at(at);
            let up = stream(&[Ok(left), Err(3), Ok(&right[right.len().min(3)..])]);
            let got = walked(&up, &down, Transport::Tcp, 80);
            assert_all_searched(&got, &up, &down);
            for leaf in got.leaves.iter().filter(|leaf| !leaf.path().ends_with("framing")) {
                let gap = up.gaps[0];
                let joined = leaf.from.iter().any(|range| range.end <= gap.start)
                    && leaf.from.iter().any(|range| range.start >= gap.end);
                assert!(!joined, "{} joins bytes across the gap at {at}", leaf.path());
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_end_in_leaves(up: Vec<u8>, down: Vec<u8>, port in prop::sample::select(vec![53, 80])) {
        let (up, down) = (Stream::of_bytes(&up), Stream::of_bytes(&down));
        for transport in [Transport::Tcp, Transport::Udp] {
            let got = walked(&up, &down, transport, port);
            assert_all_searched(&got, &up, &down);
        }
    }

    #[test]
    fn changed_messages_end_in_leaves(
        sample in 0..21usize,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = samples().swap_remove(sample).1;
        for (index, byte) in edits {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        let down = Stream::of_bytes(b"HTTP/1.1 200 OK\r\n\r\nx");
        let whole = Stream::of_bytes(&bytes);
        let expected = walked(&whole, &down, Transport::Tcp, 80);
        assert_all_searched(&expected, &whole, &down);
        let (left, right) = bytes.split_at(cut.index(bytes.len()));
        assert_same(walked(&stream(&[Ok(left), Ok(right)]), &down, Transport::Tcp, 80), &expected, "");
        let lost = right.len().min(1 + usize::from(bytes[0]) % 40);
        let mut gapped = stream(&[Ok(left), Err(lost as u64), Ok(&right[lost..])]);
        gapped.from_start = bytes[0] != b'P';
        assert_all_searched(&walked(&gapped, &down, Transport::Tcp, 80), &gapped, &down);
    }
}
