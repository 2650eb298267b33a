//! Bodies of gRPC messages.

use std::io::Write as _;

use base64::Engine as _;

use super::{properties::assert_all_searched, *};

fn message(flags: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[flags][..], &length, bytes].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn request(fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST /p.S/Up HTTP/1.1\r\nContent-Length: {}\r\n{fields}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn sent(request: &[u8]) -> Collected {
    let (up, down) = (Stream::of_bytes(request), Stream::of_bytes(b""));
    let got = walked(&up, &down, Transport::Tcp, 80);
    assert_all_searched(&got, &up, &down);
    got
}

/// A number, and a text of 40 bytes that says what it is.
fn person() -> Vec<u8> {
    [&[0x10, 1, 0x0a, 40][..], b"a photo that is forty bytes long, no more"[..40].as_ref()].concat()
}

fn texts<'g>(got: &'g Collected, end: &str) -> Vec<&'g [u8]> {
    let ends = |leaf: &&Leaf| leaf.path().ends_with(end);
    got.leaves.iter().filter(ends).map(|leaf| leaf.bytes.as_slice()).collect()
}

#[test]
fn messages_come_apart_and_compressed_ones_are_unpacked() {
    let body = [message(0, &person()), message(1, &gzip(&person())), message(0, b"")].concat();
    let fields = "Content-Type: application/grpc\r\ngrpc-encoding: gzip\r\n";
    let got = sent(&request(fields, &body));
    let field = &person()[4..];
    assert_eq!(texts(&got, "http1.body > grpc.message > protobuf.field(1)"), [field]);
    assert_eq!(texts(&got, "http1.body > grpc.message > gzip > protobuf.field(1)"), [field]);
    assert_eq!(got.leaves.iter().filter(|leaf| leaf.path().ends_with("grpc.message")).count(), 3);
    assert_eq!((got.leaf("digest http1.body").bytes.len(), got.kinds()), (body.len(), vec![]));
    let start = request(fields, &body).len() - body.len();
    let understood = |at: usize| {
        let holds = |range: &ByteRange| range.start <= (start + at) as u64 && range.end > (start + at) as u64;
        got.places.iter().any(|(_, range, _)| holds(range))
    };
    let places: Vec<usize> = (0..body.len()).filter(|at| understood(*at)).collect();
    let (second, third) = (5 + person().len(), body.len() - 5);
    let prefixes = [0..5, second..second + 5, third..third + 5];
    assert_eq!(places, prefixes.into_iter().flatten().collect::<Vec<_>>(), "each prefix, and no message");
}

#[test]
fn grpc_web_in_base64_has_its_trailers_in_the_body() {
    let engine = base64::engine::general_purpose::STANDARD;
    let body = engine.encode(message(0, &person())) + &engine.encode(message(0x80, b"grpc-status:0\r\n"));
    let got = sent(&request("Content-Type: application/grpc-web-text+proto\r\n", body.as_bytes()));
    assert_eq!(texts(&got, "base64 > grpc.message > protobuf.field(1)"), [&person()[4..]]);
    assert_eq!(texts(&got, "base64 > grpc.message(trailers)"), [b"grpc-status:0\r\n"]);
    assert_eq!(got.kinds(), []);
}

#[test]
fn json_in_messages_is_json() {
    let json = b"{\"photo\":\"a photo that is forty bytes long, no\\u0020more\"}";
    for media in ["application/grpc+json", "application/connect+json; charset=utf-8"] {
        let got = sent(&request(&format!("Content-Type: {media}\r\n"), &message(0, json)));
        let value = texts(&got, "grpc.message > json.string(photo)");
        assert_eq!(value, [b"a photo that is forty bytes long, no more"], "{:?}", got.paths());
    }
}

#[test]
fn what_breaks_the_framing_is_searched_as_it_stands() {
    let fields = "Content-Type: application/grpc\r\n";
    let got = sent(&request(fields, &[message(0, &person()), b"\x07other bytes".to_vec()].concat()));
    assert_eq!(got.kinds(), [AnomalyKind::GrpcMalformed]);
    assert!(got.leaf("http1.body > grpc.framing").bytes.ends_with(b"\x07other bytes"));
    let cut = message(0, &person());
    let got = sent(&request(fields, &cut[..20]));
    assert_eq!(got.kinds(), [AnomalyKind::GrpcMalformed]);
    assert_eq!(got.leaf("http1.body > grpc.message").bytes, &cut[5..20]);
}

#[test]
fn a_gap_in_a_message_ends_none_and_one_beyond_it_all() {
    let messages = [message(0, &[7; 100]), message(0, &[8; 100])].concat();
    let whole = request("Content-Type: application/grpc\r\n", &messages);
    let body = whole.len() - 210;
    for (from, to, after) in [(body + 20, body + 60, 1), (body + 20, body + 107, 0)] {
        let up = stream(&[Ok(&whole[..from]), Err((to - from) as u64), Ok(&whole[to..])]);
        let got = walked(&up, &Stream::of_bytes(b""), Transport::Tcp, 80);
        assert_all_searched(&got, &up, &Stream::of_bytes(b""));
        assert_eq!(texts(&got, "grpc.message").iter().filter(|bytes| bytes == &&vec![8; 100]).count(), after);
    }
}

#[test]
fn cut_anywhere_the_same_is_told() {
    let body = [message(0, &person()), message(1, &gzip(&person())), message(0, b"last")].concat();
    let whole = request("Content-Type: application/grpc\r\ngrpc-encoding: gzip\r\n", &body);
    let expected = sent(&whole);
    for at in whole.len() - body.len()..whole.len() {
        let (left, right) = whole.split_at(at);
        let got = walked(&stream(&[Ok(left), Ok(right)]), &Stream::of_bytes(b""), Transport::Tcp, 80);
        assert_same(got, &expected, &format!("cut at {at}"));
    }
}
