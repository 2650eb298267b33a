//! A flow is named by whom the phone asked for, never by what its other end says.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use exhibit::findings::Findings;

mod support;

use support::{Home, ends, packets, write};

const PHONE: packets::End = ([192, 168, 1, 2], 40_000);
const OTHER: packets::End = ([203, 0, 113, 9], 80);

/// The names of the only endpoint where one end asks the other.
fn names(client: packets::End, server: packets::End, asked: &[u8], answered: &[u8]) -> Vec<String> {
    let home = Home::new();
    write(&home.path("case/c.pcap"), packets::pcap(&packets::connection(client, server, asked, answered)));
    let scenario = "exhibit: 1\ncapture: c.pcap\nphone: {addresses: 192.168.1.2}\nclaims:\n  \
                    - {id: A, says: it sends the photo, uploads: photo}\n";
    write(&home.path("case/scenario.yaml"), scenario);
    let out = ends(0, &mut home.exhibit(&["run", "case", "--no-bundle", "--format", "json"])).out;
    let findings: Findings = serde_json::from_str(&out).unwrap();
    let [endpoint] = &findings.endpoints[..] else { panic!("{:#?}", findings.endpoints) };
    endpoint.names.clone()
}

#[test]
fn a_host_that_another_machine_asks_the_phone_for_names_nobody() {
    let asked = b"GET /DCIM/1.jpg HTTP/1.1\r\nHost: cloud.example\r\n\r\n";
    let answered = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    assert_eq!(names(PHONE, OTHER, asked, answered), ["cloud.example (http host)"]);
    assert_eq!(names((OTHER.0, 50_000), (PHONE.0, 80), asked, answered), [] as [String; 0]);
}

/// A frame of HTTP/2 (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A request for `/` of a host, each field from the static table (RFC 7541 appendix A) but for its name.
fn request(host: &str) -> Vec<u8> {
    let length = u8::try_from(host.len()).unwrap();
    [&[0x82, 0x86, 0x84, 0x01, length][..], host.as_bytes()].concat()
}

#[test]
fn a_request_that_a_server_promises_names_nobody() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let asked = [&preface[..], &frame(4, 0, 0, b""), &frame(1, 5, 1, &request("own.example"))].concat();
    let promise = [&2_u32.to_be_bytes()[..], &request("cloud.example")].concat();
    let answered = [frame(4, 0, 0, b""), frame(5, 4, 1, &promise), frame(1, 5, 1, &[0x88])].concat();
    assert_eq!(names(PHONE, OTHER, &asked, &answered), ["own.example (http host)"]);
}
