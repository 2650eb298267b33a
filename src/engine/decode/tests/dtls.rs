//! DTLS without keys: datagrams made here by hand.

use crate::{
    engine::{net::stream::Stream, proto::keylog::KeyLog},
    evidence::{AnomalyKind, ByteRange, Direction, Transport},
};

use super::{super::sink::*, Collected, stream, walked, walked_with};

fn record(kind: u8, epoch: u8, number: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, number, high, low], payload].concat()
}

/// A fragment of a message, from `at` on.
fn fragment(kind: u8, number: u8, body: &[u8], at: usize, len: usize) -> Vec<u8> {
    let byte = |len: usize| u8::try_from(len).unwrap();
    let head = [kind, 0, 0, byte(body.len()), 0, number, 0, 0, byte(at), 0, 0, byte(len)];
    [&head, &body[at..at + len]].concat()
}

/// A ClientHello with a cookie and the server name `a.example`.
fn hello(random: u8, cookie: &[u8]) -> Vec<u8> {
    let sni = b"\0\0\0\x0e\0\x0c\0\0\x09a.example";
    [
        &[0xfe, 0xfd][..],
        &[random; 32],
        &[0, u8::try_from(cookie.len()).unwrap()],
        cookie,
        &[0, 2, 0xc0, 0x2b, 1, 0, 0, u8::try_from(sni.len()).unwrap()],
        sni,
    ]
    .concat()
}

fn server_hello() -> Vec<u8> {
    [&[0xfe, 0xfd][..], &[7; 32], &[0, 0xc0, 0x2b, 0]].concat()
}

fn datagrams(parts: &[Vec<u8>]) -> Stream {
    stream(&parts.iter().map(|part| Ok(part.as_slice())).collect::<Vec<_>>())
}

fn udp(up: &[Vec<u8>], down: &[Vec<u8>]) -> Collected {
    walked(&datagrams(up), &datagrams(down), Transport::Udp, 4433)
}

fn names(got: &Collected) -> Vec<(bool, Option<&str>)> {
    got.hellos.iter().map(|hello| (hello.client, hello.sni.as_deref())).collect()
}

/// Bytes of a place in a direction.
fn placed(got: &Collected, direction: Direction, place: Place) -> Vec<ByteRange> {
    let of = |(way, range, what): &(Direction, ByteRange, Place)| {
        (*way == direction && *what == place).then_some(*range)
    };
    got.places.iter().filter_map(of).collect()
}

#[test]
fn a_handshake_in_fragments_gives_its_hellos_and_every_byte_has_its_place() {
    let (first, second) = (hello(1, b""), hello(1, b"cookie"));
    let verify = [&[0xfe, 0xfd, 6][..], b"cookie"].concat();
    let up = [
        record(22, 0, 0, &fragment(1, 0, &first, 0, first.len())),
        // The second half comes first, and again.
        record(22, 0, 1, &fragment(1, 1, &second, 40, second.len() - 40)),
        record(22, 0, 2, &fragment(1, 1, &second, 40, second.len() - 40)),
        record(22, 0, 3, &fragment(1, 1, &second, 0, 50)),
        [record(20, 0, 4, &[1]), record(22, 1, 0, &[9; 40])].concat(),
        record(23, 1, 1, &[8; 30]),
    ];
    let down = [
        record(22, 0, 0, &fragment(3, 0, &verify, 0, verify.len())),
        record(22, 0, 1, &fragment(2, 1, &server_hello(), 0, server_hello().len())),
        record(23, 1, 5, &[8; 30]),
    ];
    let got = udp(&up, &down);
    assert_eq!(got.protocols, ["dtls"]);
    assert_eq!(names(&got), [(true, Some("a.example")), (true, Some("a.example")), (false, None)]);
    assert_eq!(got.anomalies, []);
    // One leaf of each direction, all of it searched.
    assert_eq!(got.paths(), ["stream", "stream"]);
    assert_eq!((got.leaves[0].bytes.clone(), got.leaves[1].bytes.clone()), (up.concat(), down.concat()));
    assert!(got.leaves.iter().all(|leaf| leaf.keep == Keep::Search));
    let sent = up.concat().len() as u64;
    // Finished and data are closed; headers are understood, and so is the 1 of ChangeCipherSpec.
    let finished = sent - 13 - 30 - 40;
    let opaque = placed(&got, Direction::Up, Place::Opaque);
    assert_eq!(opaque, [ByteRange::new(finished, finished + 40), ByteRange::new(sent - 30, sent)]);
    // Of these records nothing was sent in clear; of the handshake before them much was.
    let sealed = |way| got.sealed.iter().filter(move |one| one.0 == way).map(|one| one.1).collect::<Vec<_>>();
    let (finished, data) = (ByteRange::new(finished - 13, finished + 40), ByteRange::new(sent - 43, sent));
    assert_eq!(sealed(Direction::Up), [finished, data]);
    let understood: u64 =
        placed(&got, Direction::Up, Place::Understood).iter().map(|range| range.len()).sum();
    assert_eq!(understood, 7 * 13 + 1);
    // The server's last record skips numbers: those are not understood.
    let received = down.concat().len() as u64;
    let understood: u64 =
        placed(&got, Direction::Down, Place::Understood).iter().map(|range| range.len()).sum();
    assert_eq!(understood, 2 * 13 + 5);
    assert_eq!(placed(&got, Direction::Down, Place::Opaque), [ByteRange::new(received - 30, received)]);
    assert_eq!(sealed(Direction::Down), [ByteRange::new(received - 43, received)]);
}

#[test]
fn what_is_no_dtls_is_not_called_so() {
    let body = hello(1, b"");
    let whole = record(22, 0, 0, &fragment(1, 0, &body, 0, body.len()));
    for odd in [
        whole[..whole.len() - 1].to_vec(),
        [&whole[..], b"x"].concat(),
        [&[22, 3, 3], &whole[3..]].concat(),
        [&[26], &whole[1..]].concat(),
    ] {
        let got = udp(std::slice::from_ref(&odd), &[]);
        assert_eq!(got.protocols, [""; 0]);
        assert_eq!(got.leaf("stream").bytes, odd);
    }
}

#[test]
fn a_call_that_begins_with_stun_is_dtls_and_its_media_are_opaque() {
    let body = hello(1, b"");
    let stun = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[5; 12]].concat();
    let media = [&[0x80, 96][..], &[6; 50]].concat();
    let up = [stun.clone(), record(22, 0, 0, &fragment(1, 0, &body, 0, body.len())), media];
    let got = udp(&up, std::slice::from_ref(&stun));
    assert_eq!((got.protocols.as_slice(), names(&got)), (&["dtls"][..], vec![(true, Some("a.example"))]));
    assert_eq!(got.anomalies, []);
    let sent = up.concat().len() as u64;
    assert_eq!(
        placed(&got, Direction::Up, Place::Opaque),
        [ByteRange::new(0, 20), ByteRange::new(sent - 52, sent)]
    );
    assert_eq!(got.leaves[0].bytes, up.concat());
    assert_eq!(got.leaves[1].bytes, stun);
}

#[test]
fn without_a_hello_records_are_still_records() {
    let got = udp(&[record(23, 1, 9, &[8; 30]), record(23, 1, 10, &[8; 20])], &[]);
    assert_eq!((got.protocols.as_slice(), got.hellos.len()), (&["dtls"][..], 0));
    let opaque: u64 = placed(&got, Direction::Up, Place::Opaque).iter().map(|range| range.len()).sum();
    assert_eq!(opaque, 50);
    assert!(got.sealed.is_empty(), "anything may look like this");
}

#[test]
fn what_breaks_the_grammar_is_said_and_the_rest_goes_on() {
    let body = hello(1, b"");
    let good = record(22, 0, 1, &fragment(1, 0, &body, 0, body.len()));
    let mut bad = fragment(1, 1, &body[..30], 0, 30);
    bad.push(0);
    let up = [good, record(22, 0, 2, &bad), [record(23, 1, 0, &[1; 9]), vec![23, 0xfe]].concat()];
    let got = udp(&up, &[]);
    assert_eq!(names(&got), [(true, Some("a.example"))]);
    let told: Vec<_> = got.anomalies.iter().map(|(kind, what)| (*kind, what.as_str())).collect();
    assert_eq!(
        told,
        [
            (AnomalyKind::TlsMalformed, "DTLS: a hello that breaks its grammar"),
            (AnomalyKind::TlsMalformed, "DTLS: a handshake record that is not whole fragments"),
            (AnomalyKind::TlsMalformed, "DTLS: no record where one must stand"),
        ]
    );
    assert_eq!(got.leaf("stream").bytes, up.concat());
}

#[test]
fn records_with_other_headers_are_opaque_and_not_odd() {
    let body = hello(1, b"");
    let hello = record(22, 0, 0, &fragment(1, 0, &body, 0, body.len()));
    // A connection id (RFC 9146), and the header of DTLS 1.3.
    let (with_id, short) = (record(25, 1, 0, &[1; 20]), [&[0x2f, 0, 1, 0, 9][..], &[4; 9]].concat());
    let up = [hello.clone(), with_id, short];
    let got = udp(&up, &[]);
    assert_eq!(got.anomalies, []);
    let rest = ByteRange::new(hello.len() as u64, up.concat().len() as u64);
    assert_eq!(placed(&got, Direction::Up, Place::Opaque), [rest]);
}

#[test]
fn hellos_and_handshakes_without_end_are_listed_up_to_a_limit() {
    let up: Vec<_> = (0..=255_u8)
        .chain(0..=255)
        .enumerate()
        .map(|(number, random)| {
            let body = hello(random, &number.to_be_bytes());
            record(22, 0, random, &fragment(1, random, &body, 0, body.len()))
        })
        .collect();
    let got = udp(&up, &[]);
    assert_eq!(got.hellos.len(), 256);
    let told: Vec<_> = got.anomalies.iter().map(|(_, what)| what.as_str()).collect();
    assert!(told.contains(&"more than 16 handshakes; the rest is not decrypted"), "{told:?}");
    assert!(told.contains(&"more than 256 hellos; the rest is not listed"), "{told:?}");
    assert!(told.len() < 40, "{}", told.len());
}

#[test]
fn secrets_of_another_run_open_nothing_and_it_is_said() {
    let client = hello(1, b"");
    let up = [
        record(22, 0, 0, &fragment(1, 0, &client, 0, client.len())),
        record(23, 1, 0, &[8; 60]),
        record(23, 1, 1, &[9; 60]),
    ];
    let server = server_hello();
    let down = [record(22, 0, 0, &fragment(2, 0, &server, 0, server.len()))];
    let with = |log: String| {
        let mut keys = KeyLog::default();
        keys.add(log.as_bytes());
        walked_with(&keys, &datagrams(&up), &datagrams(&down), Transport::Udp, 4433)
    };
    let fitting = format!("CLIENT_RANDOM {} {}", "01".repeat(32), "aa".repeat(48));
    let got = with(fitting);
    let told: Vec<_> = got.anomalies.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(told, [AnomalyKind::TlsSecretsDoNotFit]);
    assert!(got.hellos.iter().all(|hello| !hello.decrypted));
    let opaque: u64 = placed(&got, Direction::Up, Place::Opaque).iter().map(|range| range.len()).sum();
    assert_eq!(opaque, 120);
    let other = format!("CLIENT_RANDOM {} {}", "02".repeat(32), "aa".repeat(48));
    assert_eq!(with(other).anomalies, []);
}
