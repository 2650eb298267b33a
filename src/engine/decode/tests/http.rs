use std::io::Write as _;

use super::*;

fn request(fields: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!("POST /up HTTP/1.1\r\nHost: h\r\n{fields}\r\n").into_bytes();
    request.extend_from_slice(body);
    request
}

fn with_length(fields: &str, body: &[u8]) -> Vec<u8> {
    request(&format!("Content-Length: {}\r\n{fields}", body.len()), body)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn text(leaf: &Leaf) -> &str {
    str::from_utf8(&leaf.bytes).unwrap()
}

#[test]
fn a_body_with_a_length_is_a_leaf() {
    let got = tcp(&with_length("", b"hello"), b"HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(got.paths(), ["http1.head", "http1.body", "http1.head"]);
    let body = got.leaf("http1.body");
    assert_eq!((text(body), body.direction), ("hello", Direction::Up));
    assert_eq!(body.steps[0].output, 5);
    assert_eq!(body.from, [body.steps[0].input]);
    assert_eq!(got.ends, [(TransactionId(0), Direction::Up, BodyEnd::Complete, 5)]);
    assert_eq!(got.responses[0].transaction, TransactionId(0));
    assert_eq!(got.protocols, ["http1"]);
    assert_eq!(got.anomalies, []);
}

#[test]
fn pipelined_requests_are_paired_in_order() {
    let up = [with_length("", b"one"), b"HEAD / HTTP/1.1\r\n\r\n".to_vec(), with_length("", b"two")].concat();
    let down = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nA\
        HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    let got = tcp(&up, down);
    let methods: Vec<&str> = got.requests.iter().map(|head| head.method.as_str()).collect();
    assert_eq!(methods, ["POST", "HEAD", "POST"]);
    let answers: Vec<(u16, u32)> = got.responses.iter().map(|r| (r.status, r.transaction.0)).collect();
    assert_eq!(answers, [(100, 0), (200, 0), (200, 1), (404, 2)]);
    assert_eq!(got.anomalies, []);
}

#[test]
fn requests_may_come_down() {
    let got = tcp(b"HTTP/1.1 200 OK\r\n\r\nbye", b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(got.leaf("http1.body").direction, Direction::Up);
    assert_eq!(got.requests.len(), 1);
}

#[test]
fn a_chunked_body_gives_wire_content_and_framing() {
    let wire = b"4;x=y\r\nWiki\r\nC\r\npedia in  \r\n\r\n0\r\nT: v\r\n\r\n";
    let got = tcp(&request("Transfer-Encoding: chunked\r\n", wire), b"");
    assert_eq!(got.leaf("digest http1.body").bytes, wire);
    let content = got.leaf("http1.body > chunked");
    assert_eq!(text(content), "Wikipedia in  \r\n");
    assert_eq!(content.steps[1].input, ByteRange::new(0, 28));
    assert_eq!(text(got.leaf("http1.body > chunked.framing")), "4;x=y\r\n\r\nC\r\n\r\n0\r\nT: v\r\n\r\n");
    let both = tcp(&with_length("Transfer-Encoding: chunked\r\n", b"1\r\na\r\n0\r\n\r\n"), b"");
    assert_eq!(text(both.leaf("http1.body > chunked")), "a");
    assert_eq!(both.kinds(), [AnomalyKind::HttpAmbiguousLength]);
}

#[test]
fn gzip_comes_off_and_its_wire_bytes_are_only_digested() {
    let wire = gzip(b"hello hello hello");
    let got = tcp(&with_length("Content-Encoding: gzip\r\n", &wire), b"");
    assert_eq!(
        got.paths(),
        ["http1.head", "digest http1.body", "http1.body > gzip.framing", "http1.body > gzip"]
    );
    assert_eq!(text(got.leaf("http1.body > gzip")), "hello hello hello");
}

#[test]
fn brotli_and_zstd_come_off() {
    let mut wire = Vec::new();
    brotli::CompressorWriter::new(&mut wire, 4096, 5, 22).write_all(b"hello hello hello").unwrap();
    let got = tcp(&with_length("Content-Encoding: br\r\n", &wire), b"");
    assert_eq!(got.paths(), ["http1.head", "http1.body", "http1.body > br"]);
    assert_eq!((text(got.leaf("http1.body > br")), got.kinds()), ("hello hello hello", vec![]));
    let wire = ruzstd::encoding::compress_to_vec(&wire[..], ruzstd::encoding::CompressionLevel::Fastest);
    let got = tcp(&with_length("Content-Encoding: br, zstd\r\n", &wire), b"");
    assert_eq!(
        got.paths(),
        [
            "http1.head",
            "digest http1.body",
            "http1.body > zstd.framing",
            "http1.body > zstd",
            "http1.body > zstd > br"
        ]
    );
    assert_eq!(text(got.leaf("http1.body > zstd > br")), "hello hello hello");
    let got = tcp(&with_length("Content-Encoding: zstd\r\n", b"{\"plain\":1}"), b"");
    assert_eq!(
        (got.paths(), got.kinds()),
        (vec!["http1.head".into(), "http1.body".into()], vec![AnomalyKind::CodingMismatch])
    );
}

#[test]
fn a_window_beyond_the_limit_is_said_and_the_body_is_opaque() {
    let wire = [b"\x28\xb5\x2f\xfd\0\x89".as_slice(), &[0; 200]].concat();
    let got = tcp(&with_length("Content-Encoding: zstd\r\n", &wire), b"");
    assert_eq!(got.leaf("http1.body").bytes, wire);
    assert_eq!(got.kinds(), [AnomalyKind::LimitReached]);
    let body = got.leaf("http1.body").from[0];
    assert!(got.places.contains(&(Direction::Up, body, Place::Opaque)), "{:?}", got.places);
}

#[test]
fn gzip_and_zstd_that_nobody_declared_are_read_beside_the_bytes_as_they_stand() {
    let zstd = ruzstd::encoding::compress_to_vec(
        b"hello hello".as_slice(),
        ruzstd::encoding::CompressionLevel::Fastest,
    );
    for (op, wire) in [("gzip", gzip(b"hello hello")), ("zstd", zstd)] {
        let got = tcp(&with_length("", &wire), b"");
        assert_eq!(got.leaf("http1.body").bytes, wire);
        assert_eq!(text(got.leaf(&format!("http1.body > {op}"))), "hello hello");
        assert_eq!(got.kinds(), []);
        let half = tcp(&with_length("", &wire[..wire.len() - 3]), b"");
        assert_eq!((half.leaf("http1.body").bytes.len(), half.kinds()), (wire.len() - 3, vec![]));
    }
}

#[test]
fn gzip_that_is_declared_but_absent_is_read_right() {
    let got = tcp(&with_length("Content-Encoding: gzip\r\n", b"{\"plain\":1}"), b"");
    assert_eq!(got.paths(), ["http1.head", "http1.body"]);
    assert_eq!(got.kinds(), [AnomalyKind::CodingMismatch]);
}

#[test]
fn damaged_gzip_is_searched_as_it_is_too() {
    let mut wire = gzip(b"hello hello hello");
    let last = wire.len() - 1;
    wire[last] ^= 1;
    let got = tcp(&with_length("Content-Encoding: gzip\r\n", &wire), b"");
    assert_eq!(got.leaf("http1.body").bytes, wire);
    assert_eq!(got.kinds(), [AnomalyKind::CodingMismatch]);
    let chunked = [format!("{:x}\r\n", wire.len()).as_bytes(), &wire, b"\r\n0\r\n\r\n"].concat();
    let fields = "Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n";
    let got = tcp(&request(fields, &chunked), b"");
    assert_eq!(got.leaf("http1.body > chunked").bytes, wire);
}

/// The example of RFC 2046 section 5.1.1, with CRLF line ends.
const RFC_2046: &str = "This is the preamble.  It is to be ignored, though it\r\n\
    is a handy place for composition agents to include an\r\n\
    explanatory note to non-MIME conformant readers.\r\n\r\n\
    --simple boundary\r\n\r\n\
    This is implicitly typed plain US-ASCII text.\r\nIt does NOT end with a linebreak.\r\n\
    --simple boundary\r\nContent-type: text/plain; charset=us-ascii\r\n\r\n\
    This is explicitly typed plain US-ASCII text.\r\nIt DOES end with a linebreak.\r\n\r\n\
    --simple boundary--\r\n\r\n\
    This is the epilogue.  It is also to be ignored.\r\n";

#[test]
fn the_multipart_example_of_rfc_2046() {
    let fields = "Content-Type: multipart/mixed; boundary=\"simple boundary\"\r\n";
    let got = tcp(&with_length(fields, RFC_2046.as_bytes()), b"");
    let parts: Vec<&str> =
        got.leaves.iter().filter(|leaf| leaf.path().ends_with("multipart.part")).map(text).collect();
    assert_eq!(
        parts,
        [
            "This is implicitly typed plain US-ASCII text.\r\nIt does NOT end with a linebreak.",
            "This is explicitly typed plain US-ASCII text.\r\nIt DOES end with a linebreak.\r\n",
        ]
    );
    let framing = got.leaf("http1.body > multipart.framing");
    assert!(text(framing).starts_with("This is the preamble."));
    assert!(text(framing).ends_with("to be ignored.\r\n"));
    assert_eq!(got.leaf("digest http1.body").bytes, RFC_2046.as_bytes());
    assert_eq!(got.anomalies, []);
}

#[test]
fn parts_have_names_and_codings_and_may_be_empty_or_nested() {
    let body = b"--b\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"a.jpg\"\r\n\
        Content-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--b\r\n\
        Content-Disposition: form-data; name=empty\r\n\r\n\r\n--b\r\n\
        Content-Type: multipart/mixed; boundary=bb\r\n\r\n--bb\r\n\r\ninner\r\n--bb--\r\n--b--";
    let got = tcp(&with_length("Content-Type: multipart/form-data; boundary=b\r\n", body), b"");
    let part = "http1.body > multipart.part";
    assert_eq!(text(got.leaf(&format!("{part}(photo)"))), "aGVsbG8=");
    assert_eq!(text(got.leaf(&format!("{part}(photo) > base64"))), "hello");
    assert_eq!(text(got.leaf(&format!("{part}(empty)"))), "");
    assert_eq!(text(got.leaf(&format!("{part} > multipart.part"))), "inner");
    assert_eq!(got.anomalies, []);
}

#[test]
fn multipart_without_its_boundary_is_searched_as_it_is() {
    let got = tcp(&with_length("Content-Type: multipart/form-data; boundary=b\r\n", b"--a\r\n\r\nx"), b"");
    assert_eq!(text(got.leaf("http1.body > multipart.framing")), "--a\r\n\r\nx");
    assert_eq!(got.kinds(), [AnomalyKind::MultipartMalformed]);
}

#[test]
fn a_gap_inside_a_body_splits_its_leaf_and_the_next_request_is_found() {
    let head = b"PUT / HTTP/1.1\r\nContent-Length: 10\r\n\r\n";
    let next = b"GET /next HTTP/1.1\r\n\r\n";
    let up = stream(&[Ok(head), Ok(b"abc"), Err(4), Ok(b"hij"), Ok(next)]);
    let got = walked(&up, &Stream::of_bytes(b""), Transport::Tcp, 80);
    assert_eq!(text(got.leaf("http1.body")), "abc");
    let after = got.leaf("http1.body > after-gap(7)");
    assert_eq!(text(after), "hij");
    assert_eq!(after.steps[1].input, ByteRange::new(7, 10));
    assert_eq!(got.ends, [(TransactionId(0), Direction::Up, BodyEnd::Incomplete, 10)]);
    assert_eq!(got.requests[1].uri, b"/next");
}

#[test]
fn a_gap_in_a_chunk_in_gzip_and_in_a_part_joins_nothing() {
    let head = b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let up = stream(&[Ok(head), Ok(b"9\r\nabc"), Err(3), Ok(b"xyz\r\n0\r\n\r\n")]);
    let got = walked(&up, &Stream::of_bytes(b""), Transport::Tcp, 80);
    assert_eq!(text(got.leaf("http1.body > chunked")), "abc");
    assert_eq!(text(got.leaf("http1.body > chunked > after-gap(6)")), "xyz");

    let wire = gzip(b"hello hello hello");
    let whole = with_length("Content-Encoding: gzip\r\n", &wire);
    let (before, after) = whole.split_at(whole.len() - 9);
    let up = stream(&[Ok(before), Err(2), Ok(&after[2..])]);
    let got = walked(&up, &Stream::of_bytes(b""), Transport::Tcp, 80);
    assert_eq!(got.leaf("http1.body").bytes, wire[..wire.len() - 9]);
    assert_eq!(got.leaf(&format!("http1.body > after-gap({})", wire.len() - 7)).bytes, &after[2..]);

    let body = b"--b\r\n\r\nfirst\r\n--b\r\n\r\nlast\r\n--b--";
    let whole = with_length("Content-Type: multipart/form-data; boundary=b\r\n", body);
    let at = whole.windows(5).position(|window| window == b"first").unwrap();
    let up = stream(&[Ok(&whole[..at + 2]), Err(2), Ok(&whole[at + 4..])]);
    let got = walked(&up, &Stream::of_bytes(b""), Transport::Tcp, 80);
    let parts: Vec<(String, &str)> = got
        .leaves
        .iter()
        .filter(|leaf| leaf.path().contains("multipart.part"))
        .map(|leaf| (leaf.path(), text(leaf)))
        .collect();
    let part = "http1.body > multipart.part";
    let expected =
        [(part.to_owned(), "fi"), (format!("{part} > after-gap(11)"), "t"), (part.to_owned(), "last")];
    assert_eq!(parts, expected);
}

#[test]
fn a_gap_elsewhere_ends_in_raw_bytes_until_the_next_head() {
    let up = stream(&[Ok(b"GET / HTTP/1.1\r\nHo"), Err(5), Ok(b"x: y\r\n\r\nGET /b HTTP/1.1\r\n\r\n")]);
    let got = walked(&up, &Stream::of_bytes(b""), Transport::Tcp, 80);
    assert_eq!(got.paths(), ["stream", "stream", "http1.head"]);
    assert_eq!(text(&got.leaves[1]), "x: y\r\n\r\n");
    assert_eq!(got.requests[0].uri, b"/b");
}

#[test]
fn a_request_line_that_is_longer_than_what_is_looked_at_first_is_read_to_its_end() {
    let head = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(5_000));
    let (first, rest) = head.as_bytes().split_at(3_000);
    for up in [Stream::of_bytes(head.as_bytes()), stream(&[Ok(first), Ok(rest)])] {
        let got = walked(&up, &Stream::of_bytes(b""), Transport::Tcp, 80);
        assert_eq!((got.requests.len(), got.protocols), (1, vec!["http1"]));
    }
}

#[test]
fn what_stands_behind_a_missing_start_begins_no_protocol() {
    let hello = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00";
    let protocols = |parts: &[Result<&[u8], u64>]| {
        walked(&stream(parts), &Stream::of_bytes(b""), Transport::Tcp, 4_433).protocols
    };
    assert_eq!(protocols(&[Ok(hello)]), ["tls"]);
    assert!(!protocols(&[Err(9), Ok(hello)]).contains(&"tls"));
}

#[test]
fn a_body_that_never_comes_is_incomplete() {
    let got = tcp(b"PUT / HTTP/1.1\r\nContent-Length: 10\r\n\r\n", b"");
    assert_eq!(got.ends, [(TransactionId(0), Direction::Up, BodyEnd::Incomplete, 0)]);
    assert_eq!(got.kinds(), [AnomalyKind::HttpBodyIncomplete]);
}

#[test]
fn a_late_start_is_raw_up_to_the_first_head() {
    let mut up = Stream::of_bytes(b"rest of a photo\r\n\r\nGET / HTTP/1.1\r\n\r\n");
    up.from_start = false;
    let got = walked(&up, &Stream::of_bytes(b""), Transport::Tcp, 80);
    assert_eq!(got.paths(), ["stream", "http1.head"]);
    assert_eq!(text(&got.leaves[0]), "rest of a photo\r\n\r\n");
}

#[test]
fn a_head_right_after_a_body_whose_beginning_is_missing_is_a_head() {
    let mut up = Stream::of_bytes(b"\x8a photo\xff\xd9POST /next HTTP/1.1\r\nContent-Length: 2\r\n\r\nok");
    up.from_start = false;
    let mut down = Stream::of_bytes(b"\x8a photo\xff\xd9HTTP/1.1 204 No Content\r\n\r\n");
    down.from_start = false;
    let got = walked(&up, &down, Transport::Tcp, 80);
    assert_eq!(got.paths(), ["stream", "http1.head", "http1.body", "stream", "http1.head"]);
    assert_eq!((got.requests.len(), got.responses.len()), (1, 1));
}

#[test]
fn what_is_no_http_is_never_forced() {
    let got = tcp(b"HELLO example.org\r\nGET / HTTP/1.1\r\n\r\n", b"220 hello\r\n");
    assert_eq!(got.paths(), ["stream", "stream"]);
    assert_eq!(got.protocols, [""; 0]);
    assert!(got.places.iter().all(|(_, _, place)| *place == Place::Opaque));
}

#[test]
fn targets_and_form_values_are_decoded_where_that_differs() {
    let up = b"GET /a%20b?q=c+d&r=plain&s=%41 HTTP/1.1\r\nCookie: id=%41%42\r\n\r\n";
    let got = tcp(up, b"");
    assert_eq!(text(got.leaf("http1.target > percent")), "/a b?q=c+d&r=plain&s=A");
    assert_eq!(text(got.leaf("http1.target > query.value(q) > percent")), "c d");
    assert_eq!(text(got.leaf("http1.target > query.value(s) > percent")), "A");
    assert_eq!(text(got.leaf("http1.field(Cookie) > percent")), "id=AB");
    assert_eq!(got.leaves.len(), 5);

    let form = "Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n";
    let got = tcp(&with_length(form, b"a=1&b=x%3Dy&c=100%"), b"");
    assert_eq!(got.paths(), ["http1.head", "http1.body", "http1.body > form.value(b) > percent"]);
    assert_eq!(text(&got.leaves[2]), "x=y");
}

#[test]
fn long_base64_is_decoded_wherever_it_stands() {
    use base64::Engine as _;
    let secret: Vec<u8> = (0..100).map(|byte| byte ^ 0xfa).collect();
    let encoded = base64::engine::general_purpose::STANDARD.encode(&secret);
    assert!(encoded.contains('+'));
    let whole = tcp(&with_length("", encoded.as_bytes()), b"");
    // It may be a part of something longer, so it is decoded from each of the first four symbols.
    assert_eq!(whole.paths()[..3], ["http1.head", "http1.body", "http1.body > base64"]);
    assert_eq!((whole.leaves.len(), whole.leaves[2].bytes.as_slice()), (6, secret.as_slice()));
    for (shift, leaf) in (0_u64..).zip(&whole.leaves[2..]) {
        assert_eq!(leaf.steps[1].input, ByteRange::new(shift, encoded.len() as u64));
    }

    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    for escaped in [encoded.clone(), encoded.replace('+', "%2B").replace('=', "%3D")] {
        let got = tcp(&with_length(form, format!("p={escaped}&q=1").as_bytes()), b"");
        let leaf = got.leaves.iter().find(|leaf| leaf.path().ends_with("base64")).unwrap();
        assert_eq!(leaf.bytes, secret, "{}", leaf.path());
    }
    let text =
        tcp(&with_length("", base64::engine::general_purpose::STANDARD.encode([b'x'; 99]).as_bytes()), b"");
    assert_eq!(text.leaf("http1.body > base64").bytes, [b'x'; 99], "what comes out is text: it starts here");
    let bearer = tcp(format!("GET / HTTP/1.1\r\nAuthorization: Bearer {encoded}\r\n\r\n").as_bytes(), b"");
    assert_eq!(bearer.leaf("http1.field(Authorization) > base64").bytes, secret);
    let words = tcp(
        &with_length("", b"just some words that are longer than sixty-four characters, as text is."),
        b"",
    );
    assert_eq!(words.paths(), ["http1.head", "http1.body"]);
}

#[test]
fn only_what_grammar_accounts_for_is_understood() {
    let up = b"POST /secret HTTP/1.1\r\nHost: h\r\nX-Imei-867622: 1\r\nContent-Length: 2\r\n\r\nhi";
    let got = tcp(up, b"");
    let mut left = up.to_vec();
    for (_, range, place) in &got.places {
        assert_eq!(*place, Place::Understood);
        let index = |at: u64| usize::try_from(at).unwrap();
        left[index(range.start)..index(range.end)].fill(b'.');
    }
    let expected = "...../secret.................h..X-Imei-867622: 1\r\n.....................hi";
    assert_eq!(String::from_utf8(left).unwrap(), expected);
}

/// What of the client's bytes is not understood.
fn left(up: &[u8]) -> String {
    let got = tcp(up, b"");
    let mut left = up.to_vec();
    for (_, range, place) in got.places.iter().filter(|(.., place)| *place == Place::Understood) {
        assert_eq!(*place, Place::Understood);
        let index = |at: u64| usize::try_from(at).unwrap();
        left[index(range.start)..index(range.end)].fill(b'.');
    }
    String::from_utf8(left).unwrap()
}

#[test]
fn names_that_come_again_or_in_letters_of_both_cases_are_not_understood() {
    let up = b"GET / HTTP/1.1\r\nAccept: 1\r\naCCepT-LanGuaGe: 1\r\nAccept: 1\r\nTE: 1\r\nhost: 1\r\nETag: 1\r\n\r\n";
    let expected =
        "..../.....................1..aCCepT-LanGuaGe: 1\r\nAccept: 1\r\n....1........1........1....";
    assert_eq!(left(up).len(), up.len());
    assert_eq!(left(up).replace('.', ""), expected.replace('.', ""));
}

#[test]
fn blanks_of_two_kinds_and_names_without_values_are_no_grammar_of_parts() {
    let body = "--b \t \r\nContent-ID:\r\nContent-Type:\r\nContent-ID: 1\r\n\r\nx\r\n--b  \r\n\r\ny\r\n--b--";
    let up = with_length("Content-Type: multipart/form-data; boundary=b\r\n", body.as_bytes());
    let left = left(&up);
    for part in ["--b \t \r\n", "Content-ID:\r\nContent-Type:\r\n"] {
        assert!(left.contains(part), "{part:?} in {left:?}");
    }
    // What is plain is understood as before.
    assert!(!left.contains("Content-ID: 1") && !left.contains("--b  \r"), "{left:?}");
}

#[test]
fn codings_may_be_stacked_and_depth_ends() {
    let wire = gzip(&gzip(b"hello hello hello"));
    let got = tcp(&with_length("Content-Encoding: gzip, gzip\r\n", &wire), b"");
    assert_eq!(text(got.leaf("http1.body > gzip > gzip")), "hello hello hello");
    let mut deep = b"bottom".to_vec();
    for _ in 0..20 {
        deep = gzip(&deep);
    }
    let fields = format!("Content-Encoding: {}\r\n", ["gzip"; 20].join(","));
    let got = tcp(&with_length(&fields, &deep), b"");
    assert_eq!(got.kinds(), [AnomalyKind::LimitReached]);
    assert!(got.leaves.iter().all(|leaf| leaf.steps.len() <= 13));
}

#[test]
fn an_unknown_coding_is_searched_as_it_is() {
    let got = tcp(&with_length("Content-Encoding: compress\r\n", b"\x0b\x02\x80hello\x03"), b"");
    assert_eq!(got.paths(), ["http1.head", "http1.body"]);
    assert_eq!(got.places.last().unwrap().2, Place::Opaque);
}

#[test]
fn where_messages_are_missing_times_pair_responses() {
    let mut up = stream(&[
        Ok(b"GET /a HTTP/1.1\r\n\r\n"),
        Err(9),
        Ok(b"GET /b HTTP/1.1\r\n\r\n"),
        Ok(b"GET /c HTTP/1.1\r\n\r\n"),
    ]);
    let mut down = stream(&[Ok(b"HTTP/1.1 204 b\r\n\r\n"), Ok(b"HTTP/1.1 404 c\r\n\r\n")]);
    for (piece, time) in up.pieces.iter_mut().zip([1, 3, 5]) {
        piece.time = Timestamp(time);
    }
    for (piece, time) in down.pieces.iter_mut().zip([4, 6]) {
        piece.time = Timestamp(time);
    }
    let got = walked(&up, &down, Transport::Tcp, 80);
    let answers: Vec<(u16, u32)> = got.responses.iter().map(|r| (r.status, r.transaction.0)).collect();
    assert_eq!(answers, [(204, 1), (404, 2)]);
}

#[test]
fn a_head_without_end_is_raw() {
    let mut up = b"GET / HTTP/1.1\r\n".to_vec();
    up.extend(b"A: b\r\n".repeat(20_000));
    let got = tcp(&up, b"");
    assert_eq!(got.paths(), ["stream"]);
    assert_eq!(got.leaves[0].bytes, up);
    assert_eq!(got.kinds(), [AnomalyKind::HttpMalformed]);
}

#[test]
fn a_large_body_passes_in_large_slices() {
    struct Slices(Vec<usize>);
    impl Sink for Slices {
        fn open(&mut self, _: Origin) -> LeafId {
            LeafId(0)
        }

        fn write(&mut self, _: LeafId, bytes: &[u8], _: Source) {
            self.0.push(bytes.len());
        }

        fn close(&mut self, _: LeafId, _: &[Step]) {}
    }
    let whole = with_length("", &vec![0xf8; 4 << 20]);
    let pieces: Vec<Result<&[u8], u64>> = whole.chunks(1448).map(Ok).collect();
    let (mut up, down) = (stream(&pieces), Stream::of_bytes(b""));
    up.datagrams = false;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
    let conversation =
        Conversation { transport: Transport::Tcp, up: &up, down: &down, local: address, remote: address };
    let mut slices = Slices(Vec::new());
    let (limits, keys, scratch) = (Limits::default(), KeyLog::default(), Scratch::new("."));
    let context = Context::new(&limits, &keys, &scratch);
    walk(&conversation, &context, &mut Shared::default(), &mut slices).unwrap();
    assert_eq!(slices.0.iter().sum::<usize>(), whole.len());
    assert!(slices.0.len() < 80, "{} calls", slices.0.len());
}

#[test]
fn a_body_is_found_behind_a_head_that_servers_mend() {
    let up =
        b"POST /up HTTP/1.1\r\nUser Agent: x\r\nTransfer-Encoding : chunked\r\n\r\n5\r\nphoto\r\n0\r\n\r\n";
    let got = tcp(up, b"");
    assert_eq!(text(got.leaf("http1.body > chunked")), "photo");
    assert_eq!(got.kinds(), [AnomalyKind::HttpMalformed]);
    assert_eq!(got.requests[0].fields, [("Transfer-Encoding".to_owned(), b"chunked".to_vec())]);
    let head = got.leaf("http1.head");
    assert!(text(head).contains("User Agent: x"), "what is left out is searched all the same");
    let understood = got.places.iter().filter(|(.., place)| *place == Place::Understood);
    let understood: String =
        understood.map(|(_, range, _)| str::from_utf8(part(up, *range)).unwrap()).collect();
    assert!(!understood.contains("Agent") && !understood.contains("Transfer"), "{understood:?}");
}

#[test]
fn ranges_of_a_response_are_parts() {
    // RFC 9110 section 14.6.
    let body = b"--B\r\nContent-Type: image/jpeg\r\nContent-Range: bytes 0-4/10\r\n\r\nphoto\r\n\
        --B\r\nContent-Range: bytes 5-9/10\r\n\r\nagain\r\n--B--\r\n";
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Type: multipart/byteranges; boundary=B\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let got = tcp(b"GET / HTTP/1.1\r\n\r\n", &[head.as_bytes(), body].concat());
    let parts: Vec<&str> =
        got.leaves.iter().filter(|leaf| leaf.path().ends_with("multipart.part")).map(text).collect();
    assert_eq!((parts, got.kinds()), (vec!["photo", "again"], vec![]));
}

#[test]
fn parts_of_a_resumed_upload_are_bodies_of_their_own() {
    let part = |fields: &str, body: &str| {
        format!("PATCH /files/1 HTTP/1.1\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
    };
    let up = [
        part("Content-Range: bytes 0-4/10\r\n", "photo"),
        part("Tus-Resumable: 1.0.0\r\nUpload-Offset: 5\r\n", "again"),
    ];
    let got = tcp(up.concat().as_bytes(), b"");
    let bodies: Vec<&str> = got.leaves.iter().filter(|leaf| leaf.path() == "http1.body").map(text).collect();
    assert_eq!(bodies, ["photo", "again"]);
}

#[test]
fn a_target_in_absolute_form_says_whom_a_request_is_for() {
    // RFC 9112 section 3.2.2: it goes before Host.
    let authority = |request: &str| {
        let got = tcp(request.as_bytes(), b"");
        got.requests[0].authority().map(|host| str::from_utf8(host).unwrap().to_owned())
    };
    let host = Some("cloud.example:81".to_owned());
    assert_eq!(
        authority("GET http://me:pw@cloud.example:81/a?b=http://c HTTP/1.1\r\nHost: proxy\r\n\r\n"),
        host
    );
    assert_eq!(authority("GET /a?u=http://x/ HTTP/1.1\r\nHost: cloud.example:81\r\n\r\n"), host);
    assert_eq!(authority("CONNECT cloud.example:81 HTTP/1.1\r\nHost: proxy\r\n\r\n"), host);
    assert_eq!(authority("GET / HTTP/1.0\r\n\r\n"), None);
}

#[test]
fn a_request_that_names_several_hosts_is_said() {
    let said = |request: &str| {
        let got = tcp(format!("{request}\r\n\r\n").as_bytes(), b"");
        assert_eq!(got.requests.len(), 1, "{request}");
        got.anomalies.into_iter().map(|(kind, detail)| format!("{kind}: {detail}")).collect::<Vec<_>>()
    };
    let odd = ["http_ambiguous_host: a request for front.example and hidden.example"];
    assert_eq!(said("GET http://hidden.example/ HTTP/1.1\r\nHost: front.example"), odd);
    assert_eq!(said("GET / HTTP/1.1\r\nHost: hidden.example\r\nHost: front.example"), odd);
    assert_eq!(said("CONNECT hidden.example:443 HTTP/1.1\r\nHost: front.example"), odd);
    for same in [
        "GET http://a.example:80/ HTTP/1.1\r\nHost: A.example.",
        "GET http://me@a.example/ HTTP/1.1\r\nHost: a.example",
        "GET / HTTP/1.1\r\nHost: a.example\r\nhost:  a.example ",
        "GET http://a.example/ HTTP/1.1\r\nHost:",
        "GET http://a.example/?u=http://b.example HTTP/1.0",
        "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example",
    ] {
        assert_eq!(said(same), [""; 0], "{same}");
    }
    let port = said("GET http://a.example:8080/ HTTP/1.1\r\nHost: a.example");
    assert_eq!(port, ["http_ambiguous_host: a request for a.example and a.example:8080"]);
}

#[test]
fn a_response_without_a_length_goes_to_the_end_and_some_have_no_body() {
    let up = b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\n\r\n";
    let down = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n\
        HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nHTTP/1.1 200 OK\r\n\r\n is content";
    let got = tcp(up, down);
    let statuses: Vec<u16> = got.responses.iter().map(|response| response.status).collect();
    assert_eq!(statuses, [304, 204, 200]);
    assert!(text(got.leaf("http1.body")).ends_with("is content"));
    assert_eq!(got.kinds(), []);
}
