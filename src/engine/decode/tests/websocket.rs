//! WebSocket connections in memory: messages as content, wherever their frames are cut.

use std::io::Write as _;

use super::{properties::assert_all_searched, *};
use crate::engine::proto::http2::PREFACE;

const ASK: &[u8] = b"GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
const AGREED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n\r\n";
const DEFLATED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const MESSAGE: &str = "http1.upgrade > websocket.message";

fn header(first: u8, masked: bool, length: usize) -> Vec<u8> {
    let bit = if masked { 0x80 } else { 0 };
    match length {
        0..126 => vec![first, bit | u8::try_from(length).unwrap()],
        _ => [&[first, bit | 126][..], &u16::try_from(length).unwrap().to_be_bytes()].concat(),
    }
}

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let payload: Vec<u8> = payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    [&header(first, true, payload.len())[..], &KEY, &payload].concat()
}

fn plain(first: u8, payload: &[u8]) -> Vec<u8> {
    [&header(first, false, payload.len())[..], payload].concat()
}

fn both(up: &[&[u8]], down: &[&[u8]]) -> Collected {
    let (up, down) = (Stream::of_bytes(&up.concat()), Stream::of_bytes(&down.concat()));
    let got = walked(&up, &down, Transport::Tcp, 80);
    assert_all_searched(&got, &up, &down);
    got
}

fn told(got: &Collected) -> Vec<(&str, &str, Direction)> {
    let name = |message: &Message| str::from_utf8(&message.name).unwrap().to_owned().leak() as &str;
    got.messages.iter().map(|message| (message.kind.as_str(), name(message), message.direction)).collect()
}

/// A raw deflate stream that is flushed after each message, as RFC 7692 section 7.2.1 says.
fn deflated(messages: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    let mut done = 0;
    let each = messages.iter().map(|message| {
        encoder.write_all(message).unwrap();
        encoder.flush().unwrap();
        let bytes = encoder.get_ref()[done..].to_vec();
        done = encoder.get_ref().len();
        bytes.strip_suffix(&[0, 0, 0xff, 0xff]).unwrap().to_vec()
    });
    each.collect()
}

#[test]
fn a_message_in_fragments_with_a_ping_between_is_one_content() {
    let (first, last) = (masked(0x01, b"{\"photo\":\"aGVsbG8g"), masked(0x80, b"d29ybGQ=\"}"));
    let ping = masked(0x89, b"are you there");
    let close = plain(0x88, b"\x03\xe8bye");
    let got = both(&[ASK, &first, &ping, &last], &[AGREED, &plain(0x82, b""), &close]);
    let up = Direction::Up;
    let down = Direction::Down;
    assert_eq!(
        told(&got),
        [("text", "", up), ("ping", "", up), ("binary", "", down), ("close", "1000", down)]
    );
    let body = got.leaf(&format!("{MESSAGE}(text)"));
    assert_eq!(body.bytes, b"{\"photo\":\"aGVsbG8gd29ybGQ=\"}");
    assert_eq!(got.leaf(&format!("{MESSAGE}(ping)")).bytes, b"are you there");
    assert_eq!(got.leaf(&format!("{MESSAGE}(close)")).bytes, b"\x03\xe8bye");
    let ends: Vec<_> = got.ends.iter().map(|(.., end, wire)| (*end, *wire)).collect();
    let complete = |wire| (BodyEnd::Complete, wire);
    assert_eq!(ends, [complete(13), complete(28), complete(0), complete(5)]);
    assert!(
        got.paths().iter().any(|path| path.ends_with("json.string(photo) > base64")),
        "{:?}",
        got.paths()
    );
    assert_eq!((got.protocols.clone(), got.kinds()), (vec!["http1", "websocket"], vec![]));
}

#[test]
fn each_byte_has_its_own_place_under_the_mask_and_across_other_frames() {
    let (first, last) = (masked(0x02, &[7; 9_000]), masked(0x80, b"the end"));
    let ping = masked(0x89, b"are you there");
    let got = both(&[ASK, &first, &ping, &last], &[AGREED]);
    let place = |frame: &[u8], before: usize, header: usize| {
        let start = ASK.len() + before;
        ByteRange::new((start + header) as u64, (start + frame.len()) as u64)
    };
    let body = got.leaf(&format!("{MESSAGE}(binary)"));
    assert_eq!(body.from, [place(&first, 0, 8), place(&last, first.len() + ping.len(), 6)]);
    assert_eq!((body.bytes.len(), body.steps[1].output), (9_007, 9_007));
    let in_tunnel = place(&last, first.len() + ping.len(), 6).end - ASK.len() as u64;
    assert_eq!(body.steps[1].input, ByteRange::new(8, in_tunnel));
}

#[test]
fn compressed_messages_share_a_window_and_plain_ones_stand_between() {
    let texts: [&[u8]; 3] =
        [b"one photo and one more photo", b"one photo and one more photo", b"a last photo"];
    let packed = deflated(&texts);
    assert!(packed[1].len() < packed[0].len() / 2, "it refers to the first");
    let (start, end) = packed[1].split_at(2);
    let up = [
        masked(0xc2, &packed[0]),
        masked(0x42, start),
        masked(0x81, b"")[..0].to_vec(),
        masked(0x80, end),
        masked(0x82, b"not compressed"),
        masked(0xc2, &packed[2]),
    ];
    let got = both(&[ASK, &up.concat()], &[DEFLATED]);
    let read: Vec<&[u8]> = got
        .leaves
        .iter()
        .filter(|leaf| leaf.path().ends_with("(binary) > permessage-deflate"))
        .map(|leaf| leaf.bytes.as_slice())
        .collect();
    assert_eq!((read, got.kinds()), (texts.to_vec(), vec![]));
    // Without the agreement a reserved bit means that these are no frames.
    let got = both(&[ASK, &up.concat()], &[AGREED]);
    assert_eq!(got.messages, []);
}

#[test]
fn behind_a_gap_in_a_compressed_message_nothing_is_made_up() {
    let packed = deflated(&[b"one photo and one more photo", b"one photo and one more photo"]);
    let (first, second) = (masked(0xc2, &packed[0]), masked(0xc2, &packed[1]));
    let (before, after) = first.split_at(12);
    let up = stream(&[Ok(ASK), Ok(before), Err(4), Ok(&after[4..]), Ok(&second)]);
    let down = Stream::of_bytes(DEFLATED);
    let got = walked(&up, &down, Transport::Tcp, 80);
    assert_all_searched(&got, &up, &down);
    assert_eq!(got.kinds(), [AnomalyKind::CodingMismatch]);
    let ends: Vec<_> = got.ends.iter().map(|(.., end, _)| *end).collect();
    assert_eq!(ends, [BodyEnd::Incomplete, BodyEnd::Complete]);
    for leaf in &got.leaves {
        assert!(
            !leaf.path().ends_with("permessage-deflate")
                || b"one photo and one more photo".starts_with(&leaf.bytes)
        );
    }
}

#[test]
fn frames_of_the_wrong_side_are_read_and_said_and_what_is_no_frame_is_raw() {
    let got = both(&[ASK, &plain(0x81, b"bare"), &plain(0x81, b"bare")], &[AGREED, &masked(0x81, b"hidden")]);
    assert_eq!(got.kinds(), [AnomalyKind::WebsocketMalformed; 2]);
    assert_eq!(told(&got).len(), 3);
    let broken = [masked(0x81, b"good"), vec![0x8f, 0x01, b'x']].concat();
    let got = both(&[ASK, &broken], &[AGREED]);
    assert_eq!(got.kinds(), [AnomalyKind::WebsocketMalformed]);
    let raw = got.leaf("http1.upgrade > stream");
    assert_eq!(raw.bytes, [0x8f, 0x01, b'x']);
    assert!(got.places.contains(&(Direction::Up, raw.from[0], Place::Opaque)));
    // A server may say websocket and mean something else.
    let got = both(&[ASK, b"SSH-2.0-x\r\n"], &[AGREED, b"SSH-2.0-y\r\n"]);
    assert_eq!((got.messages.len(), got.protocols), (0, vec!["http1"]));
}

#[test]
fn headers_with_their_masks_are_understood_and_payloads_are_not() {
    let frame = masked(0x81, b"text");
    let got = both(&[ASK, &frame], &[AGREED]);
    let start = ASK.len() as u64;
    let in_frame: Vec<_> =
        got.places.iter().filter(|(way, range, _)| *way == Direction::Up && range.end > start).collect();
    let [(_, range, Place::Understood)] = in_frame[..] else { panic!("{in_frame:?}") };
    assert_eq!(range.end, start + 6, "{range:?}");
    let long = [&[0x81, 0xfe, 0, 4][..], &KEY, &[0; 4]].concat();
    let got = both(&[ASK, &long], &[AGREED]);
    assert!(got.places.iter().all(|(way, range, _)| *way == Direction::Down || range.end <= start));
    assert_eq!(got.kinds(), [AnomalyKind::WebsocketMalformed]);
}

#[test]
fn masks_of_many_frames_are_chosen_bytes() {
    let understood = |frames: &[Vec<u8>]| {
        let got = both(&[ASK, &frames.concat()], &[AGREED]);
        let start = ASK.len() as u64;
        let behind = got.places.iter().filter(|(way, range, place)| {
            (*way, *place) == (Direction::Up, Place::Understood) && range.end > start
        });
        behind.map(|(_, range, _)| range.end - range.start.max(start)).sum::<u64>()
    };
    assert_eq!(understood(&vec![masked(0x81, b"text"); 16]), 16 * 6);
    // A ping without content: two bytes of a header, and four that say what one likes, as often as one likes.
    assert_eq!(understood(&vec![masked(0x89, b""); 100]), 100 * 2 + 16 * 4);
}

#[test]
fn cut_at_every_byte_the_same_is_told() {
    let packed = deflated(&[b"one photo and one more photo", b"one photo"]);
    let up = [
        ASK.to_vec(),
        masked(0x01, b"first "),
        masked(0x8a, b"pong"),
        masked(0x80, b"last"),
        masked(0xc2, &packed[0]),
        masked(0xc1, &packed[1]),
        masked(0x88, b"\x03\xe9"),
    ]
    .concat();
    let down = [DEFLATED.to_vec(), plain(0x81, &[b'x'; 200])].concat();
    let whole = both(&[&up], &[&down]);
    for at in ASK.len()..up.len() {
        let (left, right) = up.split_at(at);
        let mut got = walked(&stream(&[Ok(left), Ok(right)]), &Stream::of_bytes(&down), Transport::Tcp, 80);
        // Frames follow the cut.
        got.messages.iter_mut().for_each(|message| message.frame = Some(FrameNo(1)));
        assert_same(got, &whole, &format!("cut at {at}"));
    }
}

#[test]
fn a_gap_anywhere_leaves_every_other_byte_searched() {
    let up = [ASK.to_vec(), masked(0x01, b"first "), masked(0x8a, b"pong"), masked(0x80, b"last")].concat();
    for at in ASK.len()..up.len() {
        for missing in [1, 5, 20] {
            let end = (at + missing).min(up.len());
            let cut = stream(&[Ok(&up[..at]), Err((end - at) as u64), Ok(&up[end..])]);
            let down = Stream::of_bytes(AGREED);
            let got = walked(&cut, &down, Transport::Tcp, 80);
            assert_all_searched(&got, &cut, &down);
            assert!(
                got.ends.iter().any(|(.., end, _)| *end == BodyEnd::Incomplete) || got.messages.len() < 2
            );
        }
    }
}

#[test]
fn websocket_over_http_2_is_read_in_its_place() {
    let frame = |kind: u8, flags: u8, payload: &[u8]| {
        let (len, stream) = (u8::try_from(payload.len()).unwrap(), u8::from(kind != 4));
        [&[0, 0, len, kind, flags, 0, 0, 0, stream][..], payload].concat()
    };
    let list = |fields: &[(&str, &str)]| -> Vec<u8> {
        let text = |text: &str| [&[u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat();
        fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
    };
    let ask = list(&[
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":path", "/chat"),
        (":authority", "h"),
        ("sec-websocket-extensions", "permessage-deflate; client_no_context_takeover"),
    ]);
    let agreed = list(&[(":status", "200"), ("sec-websocket-extensions", "permessage-deflate")]);
    let packed = deflated(&[b"one photo"]);
    let message = masked(0xc2, &packed[0]);
    let (left, right) = message.split_at(5);
    let up = [PREFACE.to_vec(), frame(4, 0, &[]), frame(1, 4, &ask), frame(0, 0, left), frame(0, 1, right)]
        .concat();
    let got = both(&[&up], &[&frame(4, 0, &[]), &frame(1, 4, &agreed), &frame(0, 0, &plain(0x81, b"ok"))]);
    let path = "http2.data(stream 1) > websocket.message(binary) > permessage-deflate";
    assert_eq!(got.leaf(path).bytes, b"one photo");
    assert_eq!(got.leaf("http2.data(stream 1) > websocket.message(text)").bytes, b"ok");
    assert_eq!((got.protocols.clone(), got.anomalies.clone()), (vec!["http2", "websocket"], vec![]));
    // Its target is a path, and no host (RFC 8441 section 4).
    assert_eq!(got.requests[0].authority(), Some(&b"h"[..]));
}
