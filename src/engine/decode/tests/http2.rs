//! HTTP/2: connections written by hand, and random schedules of frames against a model.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{properties::assert_all_searched, *};
use crate::engine::proto::http2::PREFACE;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header list, each field a literal that is not indexed.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

fn request(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let first = [(":method", "POST"), (":scheme", "https"), (":authority", "h"), (":path", path)];
    block(&[&first[..], more].concat())
}

fn response(status: &str, more: &[(&str, &str)]) -> Vec<u8> {
    block(&[&[(":status", status)][..], more].concat())
}

fn settings() -> Vec<u8> {
    frame(4, 0, 0, &[])
}

fn walk_both(client: &[Vec<u8>], server: &[Vec<u8>]) -> Collected {
    let client = [&PREFACE[..], &client.concat()].concat();
    let (up, down) = (Stream::of_bytes(&client), Stream::of_bytes(&server.concat()));
    let got = walked(&up, &down, Transport::Tcp, 443);
    assert_all_searched(&got, &up, &down);
    got
}

#[test]
fn interleaved_bodies_come_apart_and_belong_to_their_requests() {
    let got = walk_both(
        &[
            settings(),
            frame(1, 4, 1, &request("/a?x=%41", &[("content-type", "text/plain")])),
            frame(1, 4, 3, &request("/b", &[])),
            frame(0, 0, 1, b"first "),
            frame(0, 0, 3, b"other"),
            frame(0, 9, 1, b"\x02second\0\0"),
            frame(0, 1, 3, b""),
        ],
        &[
            settings(),
            frame(1, 5, 3, &response("204", &[])),
            frame(1, 4, 1, &response("100", &[])),
            frame(1, 4, 1, &response("200", &[("content-length", "2")])),
            frame(0, 0, 1, b"ok"),
            frame(1, 5, 1, &block(&[("x-trailer", "1")])),
        ],
    );
    assert_eq!(got.anomalies, []);
    assert_eq!(got.protocols, ["http2"]);
    let heads: Vec<_> =
        got.requests.iter().map(|head| (head.transaction.0, head.stream, head.uri.as_slice())).collect();
    assert_eq!(heads, [(0, Some(1), &b"/a?x=%41"[..]), (1, Some(3), b"/b")]);
    let statuses: Vec<_> = got.responses.iter().map(|head| (head.transaction.0, head.status)).collect();
    assert_eq!(statuses, [(1, 204), (0, 100), (0, 200)]);
    let body = |transaction: u32, direction| {
        let mut leaves = got.leaves.iter().filter(|leaf| {
            leaf.transaction == Some(TransactionId(transaction))
                && leaf.direction == direction
                && leaf.path().ends_with("http2.body")
        });
        let bytes = leaves.next().map(|leaf| leaf.bytes.clone());
        assert_eq!(leaves.next(), None);
        bytes
    };
    assert_eq!(body(0, Direction::Up).unwrap(), b"first second");
    assert_eq!(body(1, Direction::Up).unwrap(), b"other");
    assert_eq!(body(0, Direction::Down).unwrap(), b"ok");
    assert_eq!(body(1, Direction::Down), None);
    assert_eq!(got.leaf("http2.data(stream 3) > http2.body").from.len(), 1);
    assert!(got.leaf("http2.headers(stream 1) > http.target > percent").bytes.starts_with(b"/a?x=A"));
    let complete: Vec<_> = got.ends.iter().map(|(id, _, end, wire)| (id.0, *end, *wire)).collect();
    assert_eq!(complete, [(0, BodyEnd::Complete, 12), (0, BodyEnd::Complete, 2), (1, BodyEnd::Complete, 5)]);
}

#[test]
fn frame_headers_the_preface_zeros_and_what_names_a_field_are_understood() {
    let client = [
        frame(1, 4, 1, &request("/", &[])),
        frame(0, 8, 1, b"\x02abc\0\0"),
        frame(0, 8, 1, b"\x02abc\0x"),
        frame(0, 1, 99, b""),
        frame(0x77, 0, 0, b"free"),
        frame(8, 0x10, 1, &[0, 0, 0, 1]),
    ];
    let got = walk_both(&client, &[]);
    let understood: Vec<_> = got
        .places
        .iter()
        .filter(|(_, _, place)| *place == Place::Understood)
        .map(|(_, range, _)| *range)
        .collect();
    let head = client[0].len() as u64;
    let data = 24 + head;
    // The method and the scheme whole, of authority and path (a byte each) all but the value.
    let authority = 33 + (9 + 1 + 4) + (9 + 1 + 5) + (12 + 1);
    assert_eq!(
        understood,
        [
            ByteRange::new(0, authority),
            ByteRange::new(authority + 1, data - 1),
            ByteRange::new(data, data + 9),
            ByteRange::new(data + 13, data + 15 + 9)
        ],
        "not: a stream out of turn, an unknown type, an undefined flag, padding that says something"
    );
    assert!(got.kinds().contains(&AnomalyKind::Http2Malformed), "padding that is not zero");
}

/// The ranges of the client's direction that are understood, and how the client's frames are read.
fn understood(client: &[Vec<u8>]) -> Vec<(u64, u64)> {
    let got = walk_both(client, &[]);
    let places = got.places.iter();
    let ours = places.filter(|(side, _, place)| (*side, *place) == (Direction::Up, Place::Understood));
    ByteRange::unite(ours.map(|(_, range, _)| *range).collect::<Vec<_>>())
        .iter()
        .map(|range| (range.start, range.end))
        .collect()
}

#[test]
fn of_a_list_of_fields_odd_names_and_lengths_and_pieces_are_not_understood() {
    // Each list stands alone, behind the preface and the header of its frame.
    let of = |flags: u8, payload: &[u8]| understood(&[frame(1, flags, 1, payload)]);
    let odd = [block(&[("x-867622014512347", "1")]), block(&[("cookie", "abc")])].concat();
    // Index, length, name and length of the second; nothing of the first.
    assert_eq!(of(5, &odd), [(0, 33), (33 + 21, 33 + 21 + 9)]);
    // A length in more bytes than it needs.
    assert_eq!(of(5, &[&[0x0f, 0x80, 0x00, 1][..], b"a"].concat()), [(0, 33)]);
    // The same field in two frames.
    let field = block(&[("cookie", "abc")]);
    let cut = [frame(1, 1, 1, &field[..4]), frame(9, 4, 1, &field[4..])];
    assert_eq!(understood(&cut), [(0, 33), (37, 46)]);
    // A usual priority and one that says something stand before the list.
    let behind = |priority: [u8; 5]| [&priority[..], &field].concat();
    assert_eq!(of(0x25, &behind([0x80, 0, 0, 0, 255])), [(0, 33 + 5 + 9)]);
    assert_eq!(of(0x25, &behind([0, 0, 0, 9, 77])), [(0, 33), (38, 38 + 9)]);
}

#[test]
fn names_in_a_row_and_names_without_values_spell_nothing() {
    // Methods by their indexes, one bit each; the first is what the request has.
    let methods: Vec<u8> = (0..50).map(|bit| 0x82 | (bit % 3) & 1).collect();
    assert_eq!(understood(&[frame(1, 5, 1, &methods)]), [(0, 34)]);
    // Names by their indexes in the static table, each with an empty value.
    let names: Vec<u8> = (16..40).flat_map(|index: u8| [0x0f, index - 15, 0]).collect();
    assert_eq!(understood(&[frame(1, 5, 1, &names)]), [(0, 33)]);
    let empty = [&[0, 6][..], b"accept", &[0]].concat();
    assert_eq!(understood(&[frame(1, 5, 1, &empty)]), [(0, 33)]);
    // What stands behind the content, as often as one likes: a method that is none.
    let head = frame(1, 4, 1, &[0x82]);
    let trailers = [frame(1, 4, 1, &[0x83]), frame(1, 4, 1, &[0x82]), frame(1, 5, 1, &[0x83])];
    let [a, b, c] = [34, 44, 54];
    assert_eq!(
        understood(&[&[head][..], &trailers].concat()),
        [(0, a + 9), (b, b + 9), (c, c + 9)],
        "the headers of frames alone"
    );
}

#[test]
fn a_content_length_is_understood_where_the_content_has_it() {
    let request = |value: &str, end: u8, content: &[u8]| {
        let head = block(&[(":method", "POST"), ("content-length", value)]);
        let places = understood(&[frame(1, 4, 1, &head), frame(0, end, 1, content)]);
        let at = 33 + 14 + 17;
        places.iter().any(|&(start, to)| start <= at && at + value.len() as u64 <= to)
    };
    assert!(request("3", 1, b"abc"));
    assert!(!request("4", 1, b"abc"), "another one");
    assert!(!request("3", 0, b"abc"), "no end");
    assert!(!request("03", 1, b"abc"), "a spelling of its own");
}

#[test]
fn a_stream_is_reset_once_and_empty_frames_are_few() {
    let head = frame(1, 4, 1, &block(&[(":method", "POST")]));
    let reset = frame(3, 0, 1, &[0, 0, 0, 8]);
    let start = 24 + head.len() as u64;
    let places = understood(&[head.clone(), reset.clone(), reset]);
    assert_eq!(places, [(0, start + 13 + 9)], "of the second one no code");
    let empty = frame(0, 0, 1, b"");
    let places = understood(&[vec![head], vec![empty; 10]].concat());
    assert_eq!(places, [(0, start + 8 * 9)]);
}

#[test]
fn a_value_that_comes_again_by_its_index_is_a_choice() {
    // Literals that are indexed: 62 is the last one, `cookie`, whose value nobody declared.
    let field = |name: &str, value: &str| {
        let mut field = block(&[(name, value)]);
        field[0] = 0x40;
        field
    };
    let first = [field(":method", "POST"), field("cookie", "abc")].concat();
    let second = [0x80 | 63, 0x80 | 62];
    let places = understood(&[frame(1, 5, 1, &first), frame(1, 5, 3, &second)]);
    let again = 33 + first.len() as u64 + 9;
    assert!(places.iter().any(|&(start, end)| (start, end) == (again - 9, again + 1)), "{places:?}");
}

#[test]
fn a_reset_and_a_body_that_is_cut_off_are_incomplete() {
    let got = walk_both(
        &[
            frame(1, 4, 1, &request("/", &[])),
            frame(0, 0, 1, b"abc"),
            frame(3, 0, 1, &[0, 0, 0, 8]),
            frame(1, 4, 3, &request("/", &[("content-length", "9")])),
            frame(0, 1, 3, b"abc"),
            frame(1, 4, 5, &request("/", &[])),
            frame(0, 0, 5, b"abcdef")[..12].to_vec(),
        ],
        &[],
    );
    let ends: Vec<_> = got.ends.iter().map(|(_, _, end, wire)| (*end, *wire)).collect();
    assert_eq!(ends, [(BodyEnd::Incomplete, 3), (BodyEnd::Complete, 3), (BodyEnd::Incomplete, 3)]);
    let kinds =
        [AnomalyKind::HttpBodyIncomplete, AnomalyKind::HttpAmbiguousLength, AnomalyKind::HttpBodyIncomplete];
    assert_eq!(got.kinds(), kinds);
}

#[test]
fn content_goes_the_way_of_any_body() {
    let multipart = b"--b\r\nContent-Disposition: form-data; name=\"photo\"\r\n\r\nPHOTO\r\n--b--\r\n";
    let got = walk_both(
        &[
            frame(1, 4, 1, &request("/", &[("content-type", "multipart/form-data; boundary=b")])),
            frame(0, 0, 1, &multipart[..20]),
            frame(6, 0, 0, b"12345678"),
            frame(0, 1, 1, &multipart[20..]),
        ],
        &[],
    );
    let part = got.leaf("http2.data(stream 1) > http2.body > multipart.part(photo)");
    assert_eq!(part.bytes, b"PHOTO");
    let at = got.leaf("http2.framing").bytes.len();
    assert_eq!(
        at,
        24 + 9 * 4 + 8 + request("/", &[("content-type", "multipart/form-data; boundary=b")]).len()
    );
}

#[test]
fn a_tunnel_is_walked_as_a_conversation() {
    let connect = block(&[(":method", "CONNECT"), (":authority", "inner:80")]);
    let got = walk_both(
        &[frame(1, 4, 1, &connect), frame(0, 1, 1, b"GET /in HTTP/1.1\r\nHost: inner\r\n\r\n")],
        &[settings(), frame(1, 4, 1, &response("200", &[])), frame(0, 1, 1, b"HTTP/1.1 204 OK\r\n\r\n")],
    );
    let seen: Vec<_> = got.requests.iter().map(|head| (head.protocol, head.uri.as_slice())).collect();
    assert_eq!(seen, [("http2", &b"inner:80"[..]), ("http1", b"/in")]);
    assert_ne!(got.requests[0].transaction, got.requests[1].transaction);
    let inside = got.paths().iter().filter(|path| *path == "http2.data(stream 1) > http1.head").count();
    assert_eq!(inside, 2);
    // Refused, it is a body.
    let got = walk_both(
        &[frame(1, 4, 1, &connect), frame(0, 1, 1, b"GET /in HTTP/1.1\r\n\r\n")],
        &[settings(), frame(1, 5, 1, &response("403", &[]))],
    );
    got.leaf("http2.data(stream 1) > http2.body");
}

#[test]
fn a_promise_opens_a_stream_of_its_own() {
    let got = walk_both(
        &[frame(1, 5, 1, &request("/", &[]))],
        &[
            settings(),
            frame(5, 4, 1, &[&2_u32.to_be_bytes()[..], &request("/pushed", &[])].concat()),
            frame(1, 4, 2, &response("200", &[])),
            frame(0, 1, 2, b"style"),
        ],
    );
    assert_eq!(got.requests[1].stream, Some(2));
    assert_eq!(got.responses[0].transaction, got.requests[1].transaction);
    assert_eq!(got.ends, [(got.requests[1].transaction, Direction::Down, BodyEnd::Complete, 5)]);
}

#[test]
fn a_connection_whose_start_is_missing_says_what_it_does_not_know() {
    // The authority stands in the table since a block that was not captured.
    let known =
        [frame(1, 4, 7, b"\x83\xbe\x84"), frame(0, 0, 7, &[b'x'; 300]), frame(0, 1, 7, b"y")].concat();
    let mut up = Stream::of_bytes(&[b"the end of something", &known[..]].concat());
    up.from_start = false;
    let down = Stream::of_bytes(b"");
    let got = walked(&up, &down, Transport::Tcp, 443);
    assert_all_searched(&got, &up, &down);
    assert_eq!(
        got.requests[0].fields,
        [(":method".to_owned(), b"POST".to_vec()), (":path".to_owned(), b"/".to_vec())]
    );
    assert_eq!(got.kinds(), [AnomalyKind::Http2HeadersUnknown]);
    assert_eq!(
        got.leaf("http2.data(stream 7) > http2.body").bytes.len(),
        301,
        "its head was seen, so its start is"
    );
    assert_eq!(
        got.leaf("stream").bytes.len(),
        usize::try_from(up.present()).unwrap(),
        "and all is searched as it stands"
    );
    assert!(got.places.iter().all(|(_, _, place)| *place != Place::Understood));
}

#[test]
fn frames_lost_in_a_body_never_join_what_was_apart() {
    let client = [
        PREFACE.to_vec(),
        frame(1, 4, 1, &request("/", &[])),
        frame(0, 0, 1, &[b'a'; 50]),
        frame(0, 0, 1, &[b'b'; 50]),
        frame(0, 0, 1, &[b'c'; 50]),
        frame(0, 1, 1, &[b'd'; 50]),
    ];
    let bytes = client.concat();
    let at = client[0].len() + client[1].len() + 59 - 5;
    let up = stream(&[Ok(&bytes[..at]), Err(20), Ok(&bytes[at + 20..])]);
    let got = walked(&up, &Stream::of_bytes(b""), Transport::Tcp, 443);
    assert_all_searched(&got, &up, &Stream::of_bytes(b""));
    assert_eq!(got.leaf("http2.data(stream 1) > http2.body").bytes, [b'a'; 45]);
    let late = got.leaf("http2.data(stream 1) > http2.body > after-gap(50)");
    assert_eq!(late.bytes, [[b'c'; 50], [b'd'; 50]].concat());
    assert_eq!(got.ends[0].2, BodyEnd::Incomplete);
    assert_eq!(got.kinds(), [AnomalyKind::Http2FramesLost]);
}

#[test]
fn a_list_that_grows_out_of_a_few_bytes_is_left_out_and_said() {
    // A value of 4000 bytes in the table, named 65,000 times over.
    let mut first = vec![0x40, 1, b'x', 0x7f, 0xa1, 0x1e];
    first.extend([b'v'; 4000]);
    let bomb = vec![0xbe; 10_000];
    let mut client = vec![frame(1, 5, 1, &first)];
    client.extend((1..20_u32).map(|n| frame(1, 5, 1 + 2 * n, &bomb)));
    let got = walk_both(&client, &[]);
    let told: usize = got.leaves.iter().map(|leaf| leaf.bytes.len()).sum();
    assert!(told < 80 << 20, "{told}");
    assert!(got.kinds().contains(&AnomalyKind::LimitReached));
}

/// A body on its way.
#[derive(Clone, Debug)]
struct Upload {
    bytes: Vec<u8>,
    chunks: Vec<usize>,
    pad: u8,
    split: usize,
    trailer: bool,
    /// After how many frames the stream is reset, if so many come.
    reset: Option<usize>,
}

fn uploads() -> impl Strategy<Value = Vec<Upload>> {
    let upload = (
        prop::collection::vec(any::<u8>(), 0..600),
        prop::collection::vec(1..200usize, 1..6),
        prop_oneof![3 => Just(0), 1 => 1..20_u8],
        0..60usize,
        any::<bool>(),
        prop::option::weighted(0.15, 1..8usize),
    );
    let upload = upload.prop_map(|(bytes, chunks, pad, split, trailer, reset)| Upload {
        bytes,
        chunks,
        pad,
        split,
        trailer,
        reset,
    });
    prop::collection::vec(upload, 1..5)
}

/// The frames of one upload, in order.
fn frames(stream: u32, upload: &Upload) -> Vec<Vec<u8>> {
    let head =
        request(&format!("/{stream}"), &[("content-type", "image/jpeg"), ("x-long", &"v".repeat(100))]);
    let (front, rest) = head.split_at(upload.split.min(head.len()));
    let mut list = vec![frame(1, 0, stream, front)];
    let (a, b) = rest.split_at(rest.len() / 2);
    // Nothing may come between the frames of a block.
    list[0].extend([frame(9, 0, stream, a), frame(9, 4, stream, b)].concat());
    let (mut rest, mut sizes) = (&upload.bytes[..], upload.chunks.iter().cycle());
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
        rest = later;
        let last = if rest.is_empty() && !upload.trailer { 1 } else { 0 };
        list.push(if upload.pad > 0 {
            let pad = vec![0; usize::from(upload.pad)];
            frame(0, 8 | last, stream, &[&[upload.pad][..], now, &pad].concat())
        } else {
            frame(0, last, stream, now)
        });
    }
    if upload.trailer {
        list.push(frame(1, 5, stream, &block(&[("x-sum", "1")])));
    } else if upload.bytes.is_empty() {
        list.push(frame(0, 1, stream, b""));
    }
    if let Some(kept) = upload.reset.filter(|&kept| kept < list.len()) {
        list.truncate(kept);
        list.push(frame(3, 0, stream, &[0, 0, 0, 8]));
    }
    list
}

/// The bytes of an upload that are sent, and whether it is reset after them.
fn sent(upload: &Upload) -> (&[u8], bool) {
    let frames = frames(1, upload);
    let reset = frames.last().is_some_and(|frame| frame[3] == 3);
    let mut len = 0;
    for frame in frames.iter().filter(|frame| frame[3] == 0) {
        let padding = if frame[4] & 8 != 0 { 1 + usize::from(frame[9]) } else { 0 };
        len += frame.len() - 9 - padding;
    }
    (&upload.bytes[..len], reset)
}

/// Frames of all uploads in turns that `order` gives, with frames of the connection between them.
fn schedule(uploads: &[Upload], order: &[prop::sample::Index]) -> Vec<Vec<u8>> {
    let mut queues: Vec<_> =
        (0..).zip(uploads).map(|(n, upload)| frames(2 * n + 1, upload).into_iter().peekable()).collect();
    let mut list = vec![PREFACE.to_vec(), settings()];
    for turn in 0.. {
        queues.retain_mut(|queue| queue.peek().is_some());
        if queues.is_empty() {
            break;
        }
        let chosen = order[turn % order.len()].index(queues.len());
        list.extend(queues[chosen].next());
        match turn % 5 {
            2 => list.push(frame(8, 0, 0, &[0, 0, 1, 0])),
            4 => list.push(frame(6, 0, 0, b"12345678")),
            _ => {}
        }
    }
    list
}

/// Bytes of each body that came out, each run, and how it ended.
fn bodies(got: &Collected) -> BTreeMap<u64, (Vec<Vec<u8>>, Option<BodyEnd>)> {
    let mut bodies: BTreeMap<u64, (Vec<Vec<u8>>, Option<BodyEnd>)> = BTreeMap::new();
    let stream = |id: TransactionId| {
        got.requests.iter().find(|head| head.transaction == id).and_then(|head| head.stream)
    };
    for leaf in &got.leaves {
        // What is found inside a body is told in leaves of its own.
        let last = leaf.steps.iter().rfind(|step| step.op != "after-gap");
        let is_body = last.is_some_and(|step| step.op == "http2.body");
        if let (true, Some(stream)) = (is_body, leaf.transaction.and_then(stream)) {
            bodies.entry(stream).or_default().0.push(leaf.bytes.clone());
        }
    }
    for (id, _, end, _) in &got.ends {
        if let Some(stream) = stream(*id) {
            bodies.entry(stream).or_default().1 = Some(*end);
        }
    }
    bodies
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(soak::schedules()))]

    #[test]
    fn bodies_of_any_schedule_come_out_equal_or_flagged(
        uploads in uploads(),
        order in prop::collection::vec(any::<prop::sample::Index>(), 1..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        damage in prop_oneof![2 => Just(None), 2 => any::<prop::sample::Index>().prop_map(|at| Some((at, None))), 2 => (any::<prop::sample::Index>(), 1..400usize).prop_map(|(at, length)| Some((at, Some(length))))],
    ) {
        let mut bytes = schedule(&uploads, &order).concat();
        let mut edges: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        let mut gap = None;
        match damage {
            None => {}
            Some((at, None)) => bytes.truncate(at.index(bytes.len()).max(PREFACE.len())),
            Some((at, Some(length))) => {
                // The start of the connection may be missing as well.
                let start = at.index(bytes.len());
                gap = Some((start, (start + length).min(bytes.len())));
            }
        }
        edges.retain(|&edge| edge <= bytes.len() && gap.is_none_or(|(start, end)| edge <= start || edge >= end));
        edges.extend(gap.iter().flat_map(|&(start, end)| [start, end]));
        edges.extend([0, bytes.len()]);
        edges.sort_unstable();
        edges.dedup();
        let parts: Vec<Result<&[u8], u64>> = edges.windows(2).map(|pair| {
            if gap == Some((pair[0], pair[1])) { Err((pair[1] - pair[0]) as u64) } else { Ok(&bytes[pair[0]..pair[1]]) }
        }).collect();
        let (up, down) = (stream(&parts), Stream::of_bytes(&settings()));
        let got = walked(&up, &down, Transport::Tcp, 443);
        assert_all_searched(&got, &up, &down);
        let told = bodies(&got);
        let mut resets = 0;
        for (n, upload) in (0_u64..).zip(&uploads) {
            let (runs, end) = told.get(&(2 * n + 1)).cloned().unwrap_or_default();
            let (bytes, reset) = sent(upload);
            if end == Some(BodyEnd::Complete) || damage.is_none() {
                prop_assert_eq!(runs.concat(), bytes, "stream {}: {:?}", 2 * n + 1, got.anomalies);
            }
            prop_assert!(!reset || end != Some(BodyEnd::Complete), "stream {}", 2 * n + 1);
            if damage.is_none() {
                let cut_short = reset && !bytes.is_empty();
                resets += usize::from(cut_short);
                prop_assert_eq!(end, (!bytes.is_empty()).then_some(if reset { BodyEnd::Incomplete } else { BodyEnd::Complete }));
            }
            // Whatever came out was sent, in this order; bytes of other streams are never among it.
            let mut rest = bytes;
            for run in runs {
                let at = rest.windows(run.len().max(1)).position(|window| window == run);
                prop_assert!(at.is_some(), "stream {}: {:?} is not in {:?}", 2 * n + 1, run, rest);
                rest = &rest[at.unwrap_or_default() + run.len()..];
            }
        }
        if damage.is_none() {
            prop_assert_eq!(got.kinds(), vec![AnomalyKind::HttpBodyIncomplete; resets]);
        }
    }
}
