//! IP packets of protocols that are not read are none of the ledger, and stand in the way of absence all the same.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic"
)]

use std::fs;

use exhibit::findings::Findings;

mod support;
use support::{exhibit, run, write};

/// A phone that joins and sends nothing.
const MODEL: &str = r#"
lab: 1
seed: 7
start: 2026-11-20T10:00:00Z
every: 10m
phone:
  name: simulated-phone
  mac: "64:09:80:00:00:01"
  address: 192.168.43.17
  identifiers: {imei: "867622014512347"}
gateway: {mac: "02:00:5e:10:00:01", address: 192.168.43.1}
hosts:
  - {name: collect.example, address: 203.0.113.9}
layout: {capture: "captures/{phase}-{run}.pcapng", keys: "keys/{phase}-{run}.keys", device: "device/{phase}/{run}", record: record.jsonl, truth: truth.json}
phases:
  - id: stock
    runs: 1
    library: [DCIM/1.jpg]
    actions:
      - {id: join, at: 5s, lasts: 3s, joins: true}
      - {id: idle, at: 20s, lasts: 60s}
    sends: []
    tail: 5s
"#;

const SCENARIO: &str = r#"
exhibit: 1
id: beside
simulated: true
phone: {addresses: [192.168.43.17], identifiers: {imei: "867622014512347"}}
phases:
  - {id: stock}
actions:
  order: fixed
  list:
    - {id: join, do: join-wifi}
    - {id: idle, do: idle, for: 1m}
claims:
  - {id: L4, says: uploads, in: stock, uploads: identifier}
"#;

/// A packet of IPv4 in an Ethernet frame.
fn ipv4(protocol: u8, from: [u8; 4], to: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let total = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
    let header = [&[0x45, 0], &total[..], &[0, 0, 0, 0, 64, protocol, 0, 0], &from, &to].concat();
    let ethernet = [2, 0, 0x5e, 0x10, 0, 1, 0x64, 9, 0x80, 0, 0, 1, 8, 0];
    [&ethernet[..], &header, payload].concat()
}

/// The frame as an Enhanced Packet Block (section 4.3 of the specification of pcapng), at the time of the last block in `capture`
/// that is one.
fn appended(mut capture: Vec<u8>, frame: &[u8]) -> Vec<u8> {
    let (mut at, mut time) = (0, [0; 8]);
    while at + 20 <= capture.len() {
        let word = |at: usize| u32::from_le_bytes(capture[at..at + 4].try_into().unwrap());
        if word(at) == 6 {
            time = capture[at + 12..at + 20].try_into().unwrap();
        }
        at += word(at + 4) as usize;
    }
    let len = u32::try_from(frame.len()).unwrap();
    let padded = frame.len().next_multiple_of(4);
    let total = u32::try_from(32 + padded).unwrap().to_le_bytes();
    capture.extend([&6_u32.to_le_bytes()[..], &total, &[0; 4], &time].concat());
    capture.extend([len.to_le_bytes(), len.to_le_bytes()].concat());
    capture.extend([frame, &vec![0; padded - frame.len()]].concat());
    capture.extend(total);
    capture
}

/// The reasons of the claim where the capture holds these frames too.
fn reasons(frames: &[Vec<u8>]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(&at.join("lab.yaml"), MODEL);
    write(&at.join("scenario.yaml"), SCENARIO);
    run(exhibit(at).args(["lab", "make"]).arg(at));
    let path = at.join("captures/stock-01.pcapng");
    let capture = frames.iter().fold(fs::read(&path).unwrap(), |capture, frame| appended(capture, frame));
    write(&path, capture);
    let printed = run(exhibit(at).args(["run", "--no-bundle", "--format", "json"]).arg(at));
    let findings: Findings = serde_json::from_str(&printed).unwrap();
    findings.claims[0].reasons.clone()
}

const PHONE: [u8; 4] = [192, 168, 43, 17];
const SERVER: [u8; 4] = [203, 0, 113, 9];

#[test]
fn an_identifier_has_room_in_a_ping_and_in_a_tunnel_that_is_not_read() {
    let said = |frames: &[Vec<u8>]| reasons(frames).iter().any(|reason| reason == "other_protocols");
    let echo = b"\x08\0\0\0\0\x01\0\x01\x86\x76\x22\x01\x45\x12\x34\x70";
    assert!(said(&[ipv4(1, PHONE, SERVER, echo)]), "ICMP");
    assert!(said(&[ipv4(50, PHONE, SERVER, &[7; 40])]), "IPsec");
    // What the phone is sent, what others send, what stays on the link, and nothing at all.
    assert!(!said(&[ipv4(1, SERVER, PHONE, echo), ipv4(1, [192, 168, 43, 1], SERVER, echo)]));
    assert!(!said(&[ipv4(2, PHONE, [224, 0, 0, 22], &[7; 16])]));
    assert!(!said(&[]));
}
