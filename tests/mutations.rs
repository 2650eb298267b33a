//! A small world of packets made here, and changes of it, each of which may only move verdicts to the named
//! inconclusive: the server sends the photo first, a second client stands behind the phone's address, the consent is
//! struck from the record, the upload comes before the photo was taken, segments disagree.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may panic"
)]

use exhibit::{
    evidence::Digest,
    findings::{Findings, GateState, Status},
};
use serde_json::{Value, json};

mod support;
use support::{exhibit, run, write};

const PHONE: [u8; 4] = [192, 168, 43, 17];
const NEIGHBOUR: [u8; 4] = [192, 168, 43, 99];
/// Registered in mainland China; a real phone of that maker talked to it.
const SERVER: [u8; 4] = [203, 107, 1, 65];
const PHONE_MAC: [u8; 6] = [0x64, 9, 0x80, 0, 0, 1];
const OTHER_MAC: [u8; 6] = [0x64, 9, 0x80, 0, 0, 2];
const ROUTER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// 2026-11-20T10:00:00Z.
const START: u64 = 1_795_168_800;
const PHOTO: usize = 20_000;
const SEGMENT: usize = 1_400;

/// Bytes that nothing else holds (xorshift64, Marsaglia 2003).
fn photo(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00".to_vec();
    while bytes.len() < PHOTO {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(PHOTO);
    bytes
}

/// A classic pcap file, written packet by packet.
struct Pcap(Vec<u8>);

impl Pcap {
    fn new() -> Self {
        let mut file = Vec::new();
        for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
            file.extend(word.to_le_bytes());
        }
        Self(file)
    }

    /// One frame at `millis` after the start.
    fn frame(&mut self, millis: u64, from_mac: [u8; 6], to_mac: [u8; 6], packet: &[u8]) {
        let seconds = (START + millis / 1_000) as u32;
        let len = (14 + packet.len()) as u32;
        for word in [seconds, (millis % 1_000 * 1_000) as u32, len, len] {
            self.0.extend(word.to_le_bytes());
        }
        self.0.extend(to_mac);
        self.0.extend(from_mac);
        self.0.extend([8, 0]);
        self.0.extend(packet);
    }
}

/// One TCP connection of a client with the server.
struct Connection<'p> {
    pcap: &'p mut Pcap,
    millis: u64,
    client: ([u8; 4], [u8; 6], u16),
    /// The next sequence numbers of client and server.
    next: [u32; 2],
}

impl<'p> Connection<'p> {
    fn open(pcap: &'p mut Pcap, millis: u64, address: [u8; 4], mac: [u8; 6], port: u16) -> Self {
        let mut connection = Self { pcap, millis, client: (address, mac, port), next: [1_000, 9_000] };
        connection.segment(0, 1_000, 0x02, &[]);
        connection.next[0] += 1;
        connection.segment(1, 9_000, 0x12, &[]);
        connection.next[1] += 1;
        connection.segment(0, 1_001, 0x10, &[]);
        connection
    }

    fn segment(&mut self, side: usize, sequence: u32, flags: u8, payload: &[u8]) {
        let (address, mac, port) = self.client;
        let (from, to) = if side == 0 { (address, SERVER) } else { (SERVER, address) };
        let (from_port, to_port) = if side == 0 { (port, 80) } else { (80, port) };
        let mut packet = vec![0x45, 0];
        packet.extend((40 + payload.len() as u16).to_be_bytes());
        packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        packet.extend(from.iter().chain(&to));
        packet.extend([from_port, to_port].map(u16::to_be_bytes).concat());
        packet.extend([sequence, self.next[1 - side]].map(u32::to_be_bytes).concat());
        packet.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        packet.extend(payload);
        let (from_mac, to_mac) = if side == 0 { (mac, ROUTER_MAC) } else { (ROUTER_MAC, mac) };
        self.pcap.frame(self.millis, from_mac, to_mac, &packet);
        self.millis += 1;
    }

    fn send(&mut self, side: usize, bytes: &[u8]) {
        for chunk in bytes.chunks(SEGMENT) {
            self.segment(side, self.next[side], 0x18, chunk);
            self.next[side] = self.next[side].wrapping_add(chunk.len() as u32);
        }
    }

    fn post(&mut self, body: &[u8], announced: usize) {
        let head = format!(
            "POST /up HTTP/1.1\r\nHost: up.cloud.example\r\nContent-Type: image/jpeg\r\nContent-Length: {announced}\r\n\r\n"
        );
        self.send(0, head.as_bytes());
        self.send(0, body);
        self.send(1, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }

    fn get(&mut self, body: &[u8]) {
        self.send(0, b"GET /1.jpg HTTP/1.1\r\nHost: up.cloud.example\r\n\r\n");
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", body.len());
        self.send(1, head.as_bytes());
        self.send(1, body);
    }
}

const SECOND: u64 = 1_000;
/// The photo of `stock` is taken at 10 s and goes up at 60 s.
const TAKEN: u64 = 10 * SECOND;
const SENT: u64 = 60 * SECOND;
/// Consent is given at 3,600 s; the photo of `cloud-on` goes up 100 s later.
const CONSENT: u64 = 3_600 * SECOND;

fn time(millis: u64) -> String {
    // All within one hour and a half of ten o'clock.
    let seconds = millis / SECOND;
    format!(
        "2026-11-20T{:02}:{:02}:{:02}.{:03}Z",
        10 + seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60,
        millis % SECOND
    )
}

struct World {
    stock: Pcap,
    cloud_on: Pcap,
    record: Vec<Value>,
    phone: &'static str,
    /// A line of the record to be changed after it was chained.
    tampered: bool,
}

impl World {
    /// The packets of `stock` are the test's; `cloud-on` shows the consented upload.
    fn new(stock: impl FnOnce(&mut Pcap)) -> Self {
        let mut packets = Pcap::new();
        stock(&mut packets);
        let mut cloud_on = Pcap::new();
        Connection::open(&mut cloud_on, CONSENT + 100 * SECOND, PHONE, PHONE_MAC, 41_000)
            .post(&photo(2), PHOTO);
        let action = |id: &str, start: u64, end: u64| json!({"id": id, "start": time(start), "end": time(end), "by": "operator"});
        let record = vec![
            json!({"run": "stock/01", "captures": ["stock.pcap"], "files": "device/stock", "actions": [
                action("shoot", TAKEN, TAKEN + SECOND), action("rest", 120 * SECOND, 180 * SECOND)]}),
            json!({"run": "cloud-on/01", "captures": ["cloud-on.pcap"], "files": "device/cloud-on", "actions": [
                action("consent", CONSENT, CONSENT + SECOND), action("shoot", CONSENT + 50 * SECOND, CONSENT + 51 * SECOND),
                action("rest", CONSENT + 120 * SECOND, CONSENT + 180 * SECOND)]}),
        ];
        Self { stock: packets, cloud_on, record, phone: "addresses: [192.168.43.17]", tampered: false }
    }

    fn judge(&self) -> Findings {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        write(&at.join("stock.pcap"), &self.stock.0);
        write(&at.join("cloud-on.pcap"), &self.cloud_on.0);
        for (phase, seed) in [("stock", 1), ("cloud-on", 2)] {
            write(&at.join(format!("device/{phase}/DCIM/1.jpg")), photo(seed));
        }
        let mut previous = Digest([0; 32]);
        let mut lines = String::new();
        for line in &self.record {
            let mut line = line.clone();
            line["prev"] = json!(previous.to_string());
            let text = serde_json::to_string(&line).unwrap();
            previous = Digest::of(text.as_bytes());
            lines.push_str(&text);
            lines.push('\n');
        }
        if self.tampered {
            lines = lines.replacen("\"by\":\"operator\"", "\"by\":\"automatic\"", 1);
        }
        write(&at.join("record.jsonl"), lines);
        write(
            &at.join("scenario.yaml"),
            format!(
                "exhibit: 1\nid: made\nphone: {{{}}}\nclocks: {{phone: {{max_skew_ms: 1000}}}}\n\
                 phases:\n  - {{id: stock, from: factory-reset}}\n  - {{id: cloud-on, from: stock, role: positive_control, starts_with: consent}}\n\
                 actions:\n  order: fixed\n  list:\n    - {{id: consent, in: [cloud-on], do: consent-cloud}}\n    - {{id: shoot, do: take-photo, makes: DCIM/1.jpg}}\n    - {{id: rest, do: idle, for: 1m}}\n\
                 terms:\n  mainland: {{registered_country: CN}}\n\
                 claims:\n  - {{id: L1, says: connects, in: stock, connects: mainland}}\n  - {{id: L2, says: uploads, in: stock, uploads: photo}}\n\
                 \x20 - {{id: X1, says: never, in: stock, never_uploads: photo}}\n\
                 \x20 - {{id: X4, says: asks, in: [stock, cloud-on], needs_consent: {{uploads: photo, action: consent}}}}\n\
                 \x20 - {{id: ON, says: uploads, in: cloud-on, uploads: photo}}\n",
                self.phone
            ),
        );
        serde_json::from_str(&run(exhibit(at).args(["run", "--no-bundle", "--format", "json"]).arg(at)))
            .unwrap()
    }
}

fn plain_upload(pcap: &mut Pcap) {
    Connection::open(pcap, SENT, PHONE, PHONE_MAC, 40_000).post(&photo(1), PHOTO);
}

const S: Status = Status::Supported;
const R: Status = Status::Refuted;
const I: Status = Status::Inconclusive;

/// Verdicts of L1, L2, X1, X4 and ON.
#[track_caller]
fn expect(findings: &Findings, wanted: [Status; 5]) {
    let status: Vec<Status> = findings.claims.iter().map(|claim| claim.status).collect();
    assert_eq!(
        status,
        wanted,
        "{:#?}\n{:#?}",
        findings.claims.iter().map(|claim| (&claim.id, &claim.reasons)).collect::<Vec<_>>(),
        findings.findings
    );
}

#[track_caller]
fn reason(findings: &Findings, claim: &str, wanted: &str) {
    let claim = findings.claims.iter().find(|one| one.id == claim).unwrap();
    assert!(claim.reasons.iter().any(|reason| reason == wanted), "{wanted}: {:?}", claim.reasons);
}

#[test]
fn the_world_as_it_is() {
    expect(&World::new(plain_upload).judge(), [S, S, R, R, S]);
    let silent =
        World::new(|pcap| Connection::open(pcap, SENT, PHONE, PHONE_MAC, 40_000).get(b"a page")).judge();
    expect(&silent, [S, I, I, I, S]);
    reason(&silent, "X1", "spike_recall");
}

#[test]
fn the_server_sent_the_photo_first() {
    let findings = World::new(|pcap| {
        Connection::open(pcap, SENT - SECOND, PHONE, PHONE_MAC, 39_000).get(&photo(1));
        plain_upload(pcap);
    })
    .judge();
    expect(&findings, [S, I, I, I, S]);
    for claim in ["L2", "X1", "X4"] {
        reason(&findings, claim, "seen_downlink_first");
    }
    let echo = World::new(|pcap| {
        plain_upload(pcap);
        Connection::open(pcap, SENT + SECOND, PHONE, PHONE_MAC, 39_000).get(&photo(1));
    })
    .judge();
    expect(&echo, [S, S, R, R, S]);
    let piece = World::new(|pcap| {
        Connection::open(pcap, SENT - SECOND, PHONE, PHONE_MAC, 39_000).get(&photo(1)[..3_000]);
        plain_upload(pcap);
    })
    .judge();
    expect(&piece, [S, S, R, R, S]);
    let shown = piece.findings.iter().find(|finding| finding.phase == "stock").unwrap();
    assert_eq!(shown.probative_bytes, 17_000, "what had come down is not counted");
}

#[test]
fn another_device_downloaded_and_uploaded() {
    let findings = World::new(|pcap| {
        Connection::open(pcap, SENT, NEIGHBOUR, OTHER_MAC, 40_000).post(&photo(1), PHOTO);
    })
    .judge();
    expect(&findings, [I, I, I, I, S]);
    reason(&findings, "L2", "other_device");
}

#[test]
fn a_second_client_behind_the_phones_address() {
    let shared = |pcap: &mut Pcap| {
        plain_upload(pcap);
        Connection::open(pcap, SENT + SECOND, PHONE, OTHER_MAC, 39_000).get(b"a page");
    };
    let findings = World::new(shared).judge();
    expect(&findings, [I, I, I, I, I]);
    for claim in ["L1", "L2", "X1", "X4"] {
        reason(&findings, claim, "attribution");
    }
    // The phone is named by its hardware address: then the other's traffic is not its own, and the address is shared.
    let mut named = World::new(shared);
    named.phone = "addresses: [192.168.43.17], mac: \"64:09:80:00:00:01\"";
    expect(&named.judge(), [I, I, I, I, I]);
}

#[test]
fn the_address_changes_hands_between_captures() {
    let other =
        World::new(|pcap| Connection::open(pcap, SENT, PHONE, OTHER_MAC, 40_000).post(&photo(1), PHOTO));
    let findings = other.judge();
    expect(&findings, [S, S, R, R, S]);
    let attribution = findings.gates.iter().filter(|gate| gate.id == "attribution");
    assert!(
        attribution.clone().count() == 2
            && attribution.clone().all(|gate| gate.state == GateState::NotCheckable)
    );
    let mut named = other;
    named.phone = "addresses: [192.168.43.17], mac: \"64:09:80:00:00:01\"";
    let findings = named.judge();
    assert_eq!(findings.claims[1].status, I, "the phone's address was another machine's");
    reason(&findings, "L2", "attribution");
}

#[test]
fn the_consent_is_struck_from_the_record() {
    let mut world = World::new(|pcap| Connection::open(pcap, SENT, PHONE, PHONE_MAC, 40_000).get(b"a page"));
    world.record[1]["actions"].as_array_mut().unwrap().remove(0);
    let findings = world.judge();
    expect(&findings, [S, I, I, I, I]);
    reason(&findings, "ON", "phase_not_run");
    reason(&findings, "X4", "phase_not_run");
}

#[test]
fn the_upload_precedes_the_photo() {
    let sent_at = |millis: u64| {
        World::new(|pcap| Connection::open(pcap, millis, PHONE, PHONE_MAC, 40_000).post(&photo(1), PHOTO))
            .judge()
    };
    let findings = sent_at(TAKEN - 2 * SECOND);
    expect(&findings, [S, I, I, I, S]);
    reason(&findings, "L2", "precedes_creation");
    expect(&sent_at(TAKEN + 2 * SECOND), [S, S, R, R, S]);
}

#[test]
fn segments_that_disagree_support_nothing_and_spoil_no_clean_copy() {
    let disputed = |pcap: &mut Pcap| {
        let mut connection = Connection::open(pcap, SENT, PHONE, PHONE_MAC, 40_000);
        connection.post(&photo(1), PHOTO);
        let middle = 1_001 + 5_000;
        connection.segment(0, middle, 0x18, &[0x55; 400]);
    };
    let findings = World::new(disputed).judge();
    expect(&findings, [S, I, I, I, S]);
    reason(&findings, "L2", "ambiguous_bytes");
    let twice = World::new(|pcap| {
        disputed(pcap);
        Connection::open(pcap, SENT + SECOND, PHONE, PHONE_MAC, 40_001).post(&photo(1), PHOTO);
    });
    expect(&twice.judge(), [S, S, R, R, S]);
}

#[test]
fn a_part_below_the_smallest_carrier_is_no_photo() {
    let part = |bytes: usize| {
        World::new(|pcap| {
            Connection::open(pcap, SENT, PHONE, PHONE_MAC, 40_000).post(&photo(1)[..bytes], PHOTO)
        })
        .judge()
    };
    let findings = part(4_000);
    expect(&findings, [S, I, I, I, S]);
    reason(&findings, "L2", "not_probative");
    expect(&part(4_200), [S, S, R, R, S]);
}

#[test]
fn a_record_whose_chain_breaks_carries_nothing() {
    let mut world = World::new(plain_upload);
    world.tampered = true;
    let findings = world.judge();
    expect(&findings, [I; 5]);
    reason(&findings, "L2", "integrity");
}

#[test]
fn one_upload_is_not_counted_for_another_phase() {
    let world = World::new(|pcap| Connection::open(pcap, SENT, PHONE, PHONE_MAC, 40_000).get(b"a page"));
    let findings = world.judge();
    assert_eq!(
        findings.findings.iter().map(|finding| finding.phase.as_str()).collect::<Vec<_>>(),
        ["cloud-on"]
    );
    assert_eq!(findings.claims[1].status, I);
}
