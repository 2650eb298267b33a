//! What the lab plays beside requests: the time of day, a push service, other machines, an access point that translates
//! addresses. tshark reads all of it.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected has failed")]

use std::{path::Path, process::Command};

use exhibit::{
    findings::{Findings, GateState, Status},
    lab::{self, Model, Played, Sent},
};

mod support;
use support::{exhibit, peer, run, skip, write};

const MODEL: &str = r#"lab: 1
seed: 11
start: 2026-11-20T10:00:00Z
every: 10m
link: {LINK}
phone: {name: simulated-phone, mac: "64:09:80:00:00:01", address: 192.168.43.17, static: true, clock_ahead_ms: AHEAD}
gateway: {mac: "02:00:5e:10:00:01", address: 192.168.43.1OUTSIDE}
hosts:
  - {name: up.example, address: 203.0.113.9}
  - {name: time.example, address: 203.0.113.10}
  - {name: push.example, address: 203.0.113.11}
layout: {capture: "captures/{phase}-{run}.pcapng", keys: "keys/{phase}-{run}.keys", device: "device/{phase}/{run}", record: record.jsonl, truth: truth.json}
phases:
  - id: stock
    runs: 1
    actions:
      - {id: boot, at: 2s, lasts: 1s}
      - {id: shoot, at: 40s, lasts: 2s, makes: DCIM/1.jpg}
      - {id: rest, at: 60s, lasts: 100s}
    sends: [SENDS]
    others: [OTHERS]
    tail: 20s
"#;

const SCENARIO: &str = r#"exhibit: 1
simulated: true
phone: {addresses: [ADDRESS]ALONE}
clocks: {phone: {max_skew_ms: 100}}
phases: [{id: stock, from: factory-reset}]
actions: {list: [{id: boot, do: boot}, {id: shoot, do: take-photo, makes: [DCIM/1.jpg]}, {id: rest, do: idle, for: 100s}]}
terms: {server: {hosts: [up.example]}}
claims:
  - {id: L1, says: connects by itself, connects: server, attended: false}
  - {id: L2, says: photos, uploads: photo}
"#;

/// A world, with what stands in the places of these words.
struct World<'w> {
    link: &'w str,
    ahead: &'w str,
    outside: &'w str,
    sends: &'w str,
    others: &'w str,
}

const QUIET: World<'_> = World { link: "", ahead: "0", outside: "", sends: "", others: "" };
const NAT: &str =
    r#", outside: {mac: "02:00:5e:10:00:02", address: 198.51.100.77, router: "02:00:5e:10:00:03"}"#;
const TIME: &str = "{during: boot, after: 1s, to: time.example, requests: [ntp: {}]}";
const PUSH: &str = "{during: boot, after: 1s, to: push.example, over: OVER, requests: [push: {alive: 30s, pings: 4, messages: [{id: wake, during: rest, after: 20s, bytes: 300}]}]}";
const ANSWER: &str = "{during: rest, on_push: wake, after: 500ms, to: up.example, requests: [body: {path: /p, file: DCIM/1.jpg}]}";
const COPY: &str = r#"{mac: "64:09:80:00:00:99", address: 192.168.43.99, sends: [{during: shoot, after: 4s, to: up.example, requests: [body: {path: /p, file: DCIM/1.jpg}]}]}"#;

impl World<'_> {
    fn model(&self) -> String {
        MODEL
            .replace("LINK", self.link)
            .replace("AHEAD", self.ahead)
            .replace("OUTSIDE", self.outside)
            .replace("SENDS", self.sends)
            .replace("OTHERS", self.others)
    }

    fn played(&self) -> Played {
        let model = Model::parse(&self.model()).unwrap();
        let played = lab::play(&model, model.seed).unwrap();
        assert!(lab::play(&model, model.seed).unwrap() == played, "the same model gives the same bytes");
        played
    }
}

fn lay(played: &Played, at: &Path, address: &str, alone: &str) {
    played.files().for_each(|made| write(&at.join(&made.path), &made.bytes));
    let scenario = SCENARIO.replace("ADDRESS", address).replace("ALONE", alone);
    write(&at.join("scenario.yaml"), scenario);
}

/// Rows of fields that tshark reads; none without it.
fn tshark(at: &Path, filter: &str, fields: &[&str]) -> Option<Vec<Vec<String>>> {
    let mut tshark = Command::new(peer("tshark")?);
    tshark.current_dir(at).args(["-o", "tcp.reassemble_out_of_order:TRUE"]);
    tshark.args(["-o", "tls.keylog_file:keys/stock-01.keys", "-d", "tcp.port==8883,tls"]);
    tshark.args(["-r", "captures/stock-01.pcapng", "-Y", filter, "-T", "fields"]);
    let text = run(tshark.args(fields.iter().flat_map(|field| ["-e", field])));
    Some(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}

fn whole(at: &Path) -> bool {
    let odd = tshark(
        at,
        "_ws.malformed || tcp.checksum.status == 0 || udp.checksum.status == 0",
        &["frame.number"],
    );
    odd.is_some_and(|odd| odd.is_empty())
}

fn findings(at: &Path) -> Findings {
    serde_json::from_str(&run(exhibit(at).args(["run", "--no-bundle", "--format", "json"]).arg(at))).unwrap()
}

fn status(findings: &Findings, id: &str) -> (Status, Vec<String>) {
    let claim = findings.claims.iter().find(|claim| claim.id == id).unwrap();
    (claim.status, claim.reasons.clone())
}

fn of<'p>(played: &'p Played, wrapper: &str) -> Vec<&'p Sent> {
    played.sent.iter().filter(|sent| sent.wrapper == wrapper).collect()
}

#[test]
fn a_phone_asks_for_the_time_and_shows_how_far_it_was_off() {
    let twice = [TIME, &TIME.replace("1s", "20s")].join(", ");
    let played = World { ahead: "1500", sends: &twice, ..QUIET }.played();
    let home = tempfile::tempdir().unwrap();
    lay(&played, home.path(), "192.168.43.17", "");
    let told: Vec<_> = of(&played, "ntp").iter().map(|sent| (sent.over, sent.clock_ahead_ms)).collect();
    assert_eq!(told, [("udp", Some(1_500)), ("udp", Some(0))], "an answer sets the clock right");
    let found = findings(home.path());
    let clock = found.gates.iter().find(|gate| gate.id == "clock").unwrap();
    assert_eq!(clock.state, GateState::Failed, "{}", clock.figure);
    let fields = ["frame.time_epoch", "ntp.flags.mode", "ntp.xmt", "ntp.org", "ip.addr"];
    let Some(rows) = tshark(home.path(), "ntp", &fields) else { return skip("tshark") };
    assert!(whole(home.path()));
    let modes: Vec<&str> = rows.iter().map(|row| row[1].as_str()).collect();
    assert_eq!(modes, ["3", "4", "3", "4"]);
    // What an answer repeats is what was asked (RFC 5905, section 8).
    assert!(rows[0][2] == rows[1][3] && rows[2][2] == rows[3][3], "{rows:?}");
    assert!(rows.iter().all(|row| row[4].contains("203.0.113.10")), "{rows:?}");
    // The first question was sent at 10:00:03 by a clock that shows a second and a half more.
    assert!(rows[0][2].contains("10:00:04.5"), "{}", rows[0][2]);
    assert!(rows[2][2].contains("10:00:22.0"), "{}", rows[2][2]);
}

#[test]
fn a_push_service_keeps_a_connection_and_sets_off_an_upload() {
    for over in ["http1", "tls13"] {
        let sends = [&PUSH.replace("OVER", over), ANSWER].join(", ");
        let played = World { sends: &sends, ..QUIET }.played();
        let home = tempfile::tempdir().unwrap();
        lay(&played, home.path(), "192.168.43.17", "");
        let stays = of(&played, "push");
        assert_eq!(stays.len(), 6, "CONNECT, SUBSCRIBE and four signs of life");
        let carrier = if over == "http1" { "tcp" } else { "tls13" };
        assert!(
            stays
                .iter()
                .all(|sent| sent.over == carrier && sent.port == if over == "http1" { 1_883 } else { 8_883 })
        );
        let upload = of(&played, "body")[0];
        assert!(upload.begun.to_string().as_str() > "2026-11-20T10:01:20", "{}", upload.begun);
        let found = findings(home.path());
        assert_eq!(status(&found, "L2").0, Status::Supported);
        let (by_itself, reasons) = status(&found, "L1");
        assert_eq!(by_itself, Status::Inconclusive);
        assert!(reasons.contains(&"answers_push".to_owned()), "{reasons:?}");
        let filter = "mqtt";
        let fields = ["mqtt.msgtype", "ip.src"];
        let Some(rows) = tshark(home.path(), filter, &fields) else { return skip("tshark") };
        assert!(whole(home.path()));
        let kinds: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
        // 1 CONNECT, 2 CONNACK, 8 SUBSCRIBE, 9 SUBACK, 12 PINGREQ, 13 PINGRESP, 3 PUBLISH, 14 DISCONNECT.
        let expected = ["1", "2", "8", "9", "12", "13", "12", "13", "3", "12", "13", "12", "13", "14"];
        assert_eq!(kinds, expected, "{over}");
    }
}

#[test]
fn what_a_phone_does_long_after_a_push_it_does_by_itself() {
    let late = ANSWER.replace("500ms", "15s");
    let alone = late.replace("on_push: wake, ", "").replace("15s", "35s");
    for sends in [[&PUSH.replace("OVER", "tls13"), late.as_str()].join(", "), alone] {
        let played = World { sends: &sends, ..QUIET }.played();
        let home = tempfile::tempdir().unwrap();
        lay(&played, home.path(), "192.168.43.17", "");
        assert_eq!(status(&findings(home.path()), "L1").0, Status::Supported);
    }
}

#[test]
fn a_timer_sends_again_in_its_own_time() {
    let beat = "{during: rest, after: 5s, spread: 1s, again: {every: 20s, times: 3}, to: up.example, requests: [get: {path: /beat}]}";
    let played = World { sends: beat, ..QUIET }.played();
    let begun: Vec<f64> = of(&played, "get").iter().map(|sent| sent.begun.0 as f64 / 1e9).collect();
    assert_eq!(begun.len(), 4);
    let pauses: Vec<f64> = begun.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.iter().all(|pause| (pause - 20.0).abs() < 1.5), "{pauses:?}");
    assert!(
        pauses.iter().any(|pause| (pause - 20.0).abs() > 0.01),
        "each time is drawn by itself: {pauses:?}"
    );
}

#[test]
fn another_machine_on_the_air_is_not_the_phone() {
    let played = World { others: COPY, ..QUIET }.played();
    let home = tempfile::tempdir().unwrap();
    lay(&played, home.path(), "192.168.43.17", "");
    let sent = of(&played, "body")[0];
    assert_eq!(sent.by.map(|by| by.to_string()).as_deref(), Some("192.168.43.99"));
    let found = findings(home.path());
    let (status, reasons) = status(&found, "L2");
    assert_eq!(status, Status::Inconclusive);
    assert!(reasons.contains(&"other_device".to_owned()), "{reasons:?}");
}

#[test]
fn the_phones_own_capture_holds_its_traffic_alone() {
    let own = "{during: shoot, after: 1s, to: up.example, requests: [body: {path: /p, file: DCIM/1.jpg}]}";
    let played = World { link: "capture: phone, loss: 200", sends: own, others: COPY, ..QUIET }.played();
    let home = tempfile::tempdir().unwrap();
    lay(&played, home.path(), "192.168.43.17", "");
    let found = findings(home.path());
    assert_eq!(status(&found, "L2").0, Status::Supported);
    assert_eq!(of(&played, "body").len(), 2, "two machines sent it");
    assert!(found.findings.iter().all(|finding| !finding.caveats.contains(&"other_device".to_owned())));
    let Some(others) = tshark(home.path(), "ip.addr == 192.168.43.99", &["frame.number"]) else {
        return skip("tshark");
    };
    assert!(others.is_empty() && whole(home.path()));
    // What was lost on the air was sent again, and the phone's own capture has both.
    let again = tshark(home.path(), "tcp.analysis.retransmission && ip.src == 192.168.43.17", &["tcp.seq"]);
    assert!(!again.unwrap().is_empty());
}

#[test]
fn behind_an_address_translation_nobody_knows_who_it_was() {
    let own = "{during: boot, after: 1s, to: up.example, requests: [get: {path: /hello}]}";
    let played = World { outside: NAT, sends: own, others: COPY, ..QUIET }.played();
    let home = tempfile::tempdir().unwrap();
    lay(&played, home.path(), "198.51.100.77", "");
    let found = findings(home.path());
    let (state, reasons) = status(&found, "L2");
    assert_eq!(state, Status::Inconclusive, "the other machine sent it: {reasons:?}");
    assert_eq!(reasons, ["attribution"]);
    // Whoever says that the phone is alone there answers for it.
    lay(&played, home.path(), "198.51.100.77", ", only_client: true");
    assert_eq!(status(&findings(home.path()), "L2").0, Status::Supported);

    let fields = ["ip.src", "ip.dst", "ip.ttl", "eth.src", "tcp.srcport"];
    let Some(rows) = tshark(home.path(), "tcp.flags.syn == 1 && tcp.flags.ack == 0", &fields) else {
        return skip("tshark");
    };
    assert!(whole(home.path()));
    assert_eq!(rows.len(), 2);
    for row in &rows {
        assert_eq!(row[..4], ["198.51.100.77", "203.0.113.9", "63", "02:00:5e:10:00:02"]);
    }
    let ports: Vec<String> = played.sent.iter().map(|sent| sent.local_port.to_string()).collect();
    assert!(rows.iter().all(|row| ports.contains(&row[4])), "{rows:?} {ports:?}");
    let inside = "arp || dhcp || dns || ip.addr == 192.168.43.0/24";
    assert_eq!(tshark(home.path(), inside, &["frame.number"]).unwrap(), Vec::<Vec<String>>::new());
}

#[test]
fn a_private_address_behind_a_router_may_be_one_phones_or_not() {
    let own = "{during: shoot, after: 1s, to: up.example, requests: [body: {path: /p, file: DCIM/1.jpg}]}";
    let outside = NAT.replace("198.51.100.77", "10.0.0.77");
    let played = World { outside: &outside, sends: own, ..QUIET }.played();
    let home = tempfile::tempdir().unwrap();
    lay(&played, home.path(), "10.0.0.77", "");
    let found = findings(home.path());
    let gate = found.gates.iter().find(|gate| gate.id == "attribution").unwrap();
    assert_eq!(gate.state, GateState::NotCheckable, "{}", gate.figure);
    let claim = found.claims.iter().find(|claim| claim.id == "L2").unwrap();
    assert_eq!(claim.status, Status::Supported);
    assert!(claim.left_open.iter().any(|open| open.code == "another_machine"), "{:?}", claim.left_open);
}

#[test]
fn what_can_not_be_played_is_refused() {
    for (world, why) in [
        (
            World {
                sends: "{during: boot, after: 1s, to: time.example, requests: [ntp: {}, get: {path: /}]}",
                ..QUIET
            },
            "ntp is the only request",
        ),
        (World { sends: &PUSH.replace("OVER", "http2"), ..QUIET }, "push is the only request"),
        (World { sends: ANSWER, ..QUIET }, "no pushed message is called wake"),
        (
            World { sends: &ANSWER.replace("on_push: wake", "again: {every: 1ms, times: 10001}"), ..QUIET },
            "more than 10000 times of one send",
        ),
        (World { link: "capture: phone", outside: NAT, ..QUIET }, "play the phone's own capture"),
        (World { ahead: "3600001", ..QUIET }, "more than 3600000 milliseconds between clocks"),
        (
            World { sends: &PUSH.replace("OVER", "http1").replace("300", "2000000"), ..QUIET },
            "more than 1048576 bytes of a pushed message",
        ),
        (World { others: &[COPY; 9].join(", "), ..QUIET }, "more than 8 machines beside the phone"),
    ] {
        let refused = Model::parse(&world.model()).unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
    }
}

#[test]
fn the_example_of_the_documentation_plays() {
    let docs = include_str!("../docs/behaviour-models.md");
    let yaml = docs.split("```yaml").nth(1).unwrap().split("```").next().unwrap();
    let model = Model::parse(yaml).unwrap();
    let played = lab::play(&model, model.seed).unwrap();
    assert_eq!((played.captures.len(), played.keys.len()), (3, 2), "two runs and a twin, which has no keys");
    let mut wrappers: Vec<&str> = played.sent.iter().map(|sent| sent.wrapper).collect();
    wrappers.sort_unstable();
    wrappers.dedup();
    assert_eq!(wrappers, ["body", "form", "get", "multipart", "ntp", "opaque", "push"]);
}
