//! Tunnels and upgrades: what follows the agreement is a conversation of its own.

use super::{properties::assert_all_searched, *};
use crate::engine::proto::http2::PREFACE;

const CONNECT: &[u8] = b"CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n";
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";
const POST: &[u8] = b"POST /in HTTP/1.1\r\nContent-Length: 5\r\n\r\nphoto";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn both(up: &[&[u8]], down: &[&[u8]]) -> Collected {
    let (up, down) = (Stream::of_bytes(&up.concat()), Stream::of_bytes(&down.concat()));
    let got = walked(&up, &down, Transport::Tcp, 8080);
    assert_all_searched(&got, &up, &down);
    got
}

/// The body that went up through the tunnel.
fn sent(got: &Collected) -> &Leaf {
    let is = |leaf: &&Leaf| leaf.path() == "http1.connect > http1.body" && leaf.direction == Direction::Up;
    got.leaves.iter().find(is).unwrap()
}

fn statuses(got: &Collected) -> Vec<(u16, u32)> {
    got.responses.iter().map(|response| (response.status, response.transaction.0)).collect()
}

#[test]
fn plain_http_through_connect_is_read_in_its_place() {
    let got = both(&[CONNECT, POST], &[ESTABLISHED, OK]);
    let body = sent(&got);
    let start = (CONNECT.len() + POST.len() - 5) as u64;
    assert_eq!((&body.bytes[..], &body.from[..]), (&b"photo"[..], &[ByteRange::new(start, start + 5)][..]));
    assert_eq!(statuses(&got), [(200, 0), (200, 1)]);
    assert_eq!((got.protocols.clone(), got.kinds()), (vec!["http1", "http1"], vec![]));
}

#[test]
fn a_refused_tunnel_leaves_the_connection_as_it_is() {
    let refused = b"HTTP/1.1 407 No\r\nContent-Length: 3\r\n\r\nno!";
    let got = both(&[CONNECT, CONNECT, POST], &[refused, ESTABLISHED, OK]);
    assert_eq!(statuses(&got), [(407, 0), (200, 1), (200, 2)]);
    assert_eq!(sent(&got).bytes, b"photo");
    let ignored = b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let got = both(&[ignored, POST], &[OK, OK]);
    assert_eq!(statuses(&got), [(200, 0), (200, 1)]);
    assert_eq!(got.paths().iter().filter(|path| path.contains("upgrade")).count(), 0);
}

#[test]
fn the_answer_to_head_does_not_shift_the_one_that_counts() {
    let head = b"HEAD / HTTP/1.1\r\n\r\n";
    let of_head = b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n";
    let interim = b"HTTP/1.1 103 Early Hints\r\n\r\n";
    let got = both(&[head, CONNECT, POST], &[of_head, interim, ESTABLISHED, OK]);
    assert_eq!(statuses(&got), [(200, 0), (103, 1), (200, 1), (200, 2)]);
    assert_eq!(sent(&got).bytes, b"photo");
}

#[test]
fn the_request_body_belongs_to_http_1_and_stream_1_answers_it() {
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let len = u8::try_from(payload.len()).unwrap();
        [&[0, 0, len, kind, flags, 0, 0, 0, stream][..], payload].concat()
    };
    let ask = b"POST /a HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
        HTTP2-Settings: AAEAACAA\r\nContent-Length: 5\r\n\r\nfirst";
    let agreed = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    // A table of 8 KiB, which the setting in the field allows; then :status 200 and an indexed length.
    let list = [&[0x3f, 0xe1, 0x3f, 0x88][..], &[0x0f, 0x0d, 0x02, b'1', b'6']].concat();
    let got = both(
        &[ask, PREFACE, &frame(4, 0, 0, b"")],
        &[agreed, &frame(4, 0, 0, b""), &frame(1, 4, 1, &list), &frame(0, 1, 1, b"second and last.")],
    );
    assert_eq!(got.leaf("http1.body").bytes, b"first");
    assert_eq!(got.leaf("http1.upgrade > http2.data(stream 1) > http2.body").bytes, b"second and last.");
    assert_eq!(statuses(&got), [(101, 0), (200, 0)]);
    assert_eq!(got.responses[1].stream, Some(1));
    assert_eq!(got.leaf("http1.field(HTTP2-Settings) > base64").bytes, [0, 1, 0, 0, 0x20, 0]);
    assert_eq!((got.protocols.clone(), got.kinds()), (vec!["http1", "http2"], vec![]));
    let ends: Vec<_> = got.ends.iter().map(|(id, direction, ..)| (id.0, *direction)).collect();
    assert_eq!(ends, [(0, Direction::Up), (0, Direction::Down)]);
}

#[test]
fn one_side_alone_is_read_as_far_as_its_bytes_tell() {
    // The answer was not captured: the client goes on in another protocol, or in this one.
    let got = both(&[CONNECT, b"\x16\x03\x01\x00\x05hello"], &[]);
    assert!(got.paths().iter().any(|path| path == "http1.connect > stream"), "{:?}", got.paths());
    let got = both(&[CONNECT, POST], &[]);
    assert_eq!(got.leaf("http1.body").bytes, b"photo");
    // Only what the server sent was captured.
    let agreed = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n";
    let got = both(&[], &[agreed, b"\x00\x01binary"]);
    assert_eq!(got.responses.len(), 1);
    assert_eq!(got.leaf("http1.upgrade > stream").bytes, b"\x00\x01binary");
    assert_eq!(got.kinds(), []);
}

#[test]
fn tunnels_in_tunnels_end_at_a_depth_and_every_byte_is_searched() {
    let up = [CONNECT.repeat(40), POST.to_vec()].concat();
    let down = [ESTABLISHED.repeat(40), OK.to_vec()].concat();
    let got = both(&[&up], &[&down]);
    assert_eq!(got.requests.len(), 9);
}

#[test]
fn http_behind_socks_is_read_in_its_place() {
    let ask = [&b"\x05\x02\x00\x02\x01\x02me\x03abc\x05\x01\x00\x03\x09h.example\x00\x50"[..]].concat();
    let granted = b"\x05\x02\x01\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00";
    let got = both(&[&ask, POST], &[granted, OK]);
    let body = got.leaves.iter().find(|leaf| leaf.path() == "socks > http1.body").unwrap();
    let end = (ask.len() + POST.len()) as u64;
    assert_eq!((&body.bytes[..], &body.from[..]), (&b"photo"[..], &[ByteRange::new(end - 5, end)][..]));
    assert!(got.leaves.iter().any(|leaf| leaf.path() == "socks.handshake" && leaf.bytes == ask));
    let [asked] = &got.messages[..] else { panic!("{:?}", got.messages) };
    assert_eq!((asked.kind.as_str(), &asked.name[..]), ("CONNECT", &b"h.example:80"[..]));
    assert_eq!((got.protocols.clone(), got.kinds()), (vec!["socks", "http1"], vec![]));
    // What was refused is no tunnel.
    let refused = b"\x05\x02\x01\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00";
    let got = both(&[&ask, POST], &[refused, OK]);
    assert_eq!(
        (got.requests.len(), got.leaves.iter().filter(|leaf| leaf.path() == "socks > stream").count()),
        (0, 2)
    );
    let opaque = got.places.iter().filter(|(.., place)| *place == Place::Opaque).count();
    assert_eq!(opaque, 2);
}
