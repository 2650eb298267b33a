//! What the lab can send in: each carrier, read by tshark with the key log and by it without, and by exhibit.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected has failed"
)]

use std::{fs, path::Path, process::Command};

use exhibit::{
    case::folder::{Disk, Folder},
    findings::Findings,
    lab::{self, Model, Played},
};

mod support;
use support::{exhibit, peer, run, write};

const MODEL: &str = r#"lab: 1
seed: 5
start: 2026-11-20T10:00:00Z
every: 3m
phone: {name: simulated-phone, mac: "64:09:80:00:00:01", address: 192.168.43.17, static: true, identifiers: {imei: "867622014512347"}}
gateway: {mac: "02:00:5e:10:00:01", address: 192.168.43.1}
hosts:
  - {name: up.cloud.example, address: 203.0.113.9}
layout: {capture: "captures/{phase}-{run}.pcapng", keys: "keys/{phase}-{run}.keys", device: "device/{phase}/{run}", record: record.jsonl, truth: truth.json}
phases:
  - id: OVER
    runs: 1
    actions:
      - {id: shoot, at: 10s, lasts: 2s, makes: DCIM/Camera/IMG_0001.jpg}
    sends:
      - during: shoot
        after: 1s
        to: up.cloud.example
        over: OVER
        requests:
          - body: {path: /photo, file: DCIM/Camera/IMG_0001.jpg}
          - form: {path: /device, fields: [{name: imei, identifier: imei}]}
    tail: 30s
"#;

const SCENARIO: &str = r#"exhibit: 1
simulated: true
phone: {addresses: [192.168.43.17], identifiers: {imei: "867622014512347"}}
phases: [{id: OVER}]
actions: {list: [{id: shoot, do: take-photo, makes: [DCIM/Camera/IMG_0001.jpg]}]}
claims:
  - {id: L2, says: photos, uploads: photo}
  - {id: L4, says: information, uploads: identifier}
  - {id: X5, says: encrypted, encrypted: personal}
"#;

const CARRIERS: [&str; 5] = ["http1", "tls12", "tls13", "http2", "websocket"];

fn played(over: &str) -> Played {
    let model = Model::parse(&MODEL.replace("OVER", over)).unwrap();
    lab::play(&model, model.seed).unwrap()
}

fn photo(played: &Played) -> &[u8] {
    &played.device[0].bytes
}

fn lay(played: &Played, at: &Path, over: &str) {
    played.files().for_each(|made| write(&at.join(&made.path), &made.bytes));
    write(&at.join("scenario.yaml"), SCENARIO.replace("OVER", over));
}

fn tshark(at: &Path, over: &str, keyed: bool, more: &[&str]) -> Option<String> {
    let mut tshark = Command::new(peer("tshark")?);
    tshark.current_dir(at).args(["-o", "tcp.reassemble_out_of_order:TRUE"]);
    if keyed {
        tshark.args(["-o", &format!("tls.keylog_file:keys/{over}-01.keys")]);
    }
    Some(run(tshark.args(["-r", &format!("captures/{over}-01.pcapng")]).args(more)))
}

/// All bodies and messages that tshark gets out of the capture, in hex.
fn objects(at: &Path, over: &str, keyed: bool) -> Option<String> {
    let fields = ["-T", "fields", "-e", "http2.data.data", "-e", "data.data"];
    let mut found = tshark(at, over, keyed, &fields)?.replace(['\t', '\n'], "");
    let to = tempfile::tempdir().unwrap();
    tshark(at, over, keyed, &["-q", "--export-objects", &format!("http,{}", to.path().display())])?;
    for object in Disk::new(to.path()).list(".").unwrap() {
        found.push_str(&hex(&fs::read(to.path().join(object)).unwrap()));
    }
    Some(found)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn tshark_reads_the_photo_with_the_key_log_and_not_without() {
    for over in CARRIERS {
        let folder = tempfile::tempdir().unwrap();
        let played = played(over);
        lay(&played, folder.path(), over);
        let encrypted = ["tls12", "tls13", "http2"].contains(&over);
        assert_eq!(played.keys.len(), usize::from(encrypted), "{over}");
        let Some(opened) = objects(folder.path(), over, encrypted) else { return };
        assert!(opened.contains(&hex(photo(&played))), "{over}: tshark does not find the photo");
        if encrypted {
            assert_eq!(
                objects(folder.path(), over, false).unwrap(),
                "",
                "{over}: nothing is read without keys"
            );
        }
        let odd = ["-T", "fields", "-e", "_ws.malformed", "-e", "_ws.expert.severity"];
        let odd = tshark(folder.path(), over, encrypted, &odd).unwrap();
        // Chats and notes (below 6,291,456: warnings) are no complaints.
        let severe = odd.split(['\t', ',', '\n']).filter_map(|word| word.parse().ok());
        assert!(severe.into_iter().all(|severity: u32| severity < 6_291_456), "{over}: {odd}");
        assert!(!odd.contains("Malformed"), "{over}: {odd}");
    }
}

#[test]
fn what_is_sent_is_found_with_its_keys_and_undecided_without() {
    for over in CARRIERS {
        let folder = tempfile::tempdir().unwrap();
        lay(&played(over), folder.path(), over);
        let verdicts = || -> Vec<String> {
            let printed = run(exhibit(folder.path())
                .args(["run", "--no-bundle", "--format", "json"])
                .arg(folder.path()));
            let findings: Findings = serde_json::from_str(&printed).unwrap();
            findings.claims.iter().map(|claim| format!("{:?}", claim.status)).collect()
        };
        let encrypted = ["tls12", "tls13", "http2"].contains(&over);
        let last = if encrypted { "Inconclusive" } else { "Refuted" };
        assert_eq!(verdicts(), ["Supported", "Supported", last], "{over}");
        if encrypted {
            fs::write(folder.path().join(format!("keys/{over}-01.keys")), "").unwrap();
            assert_eq!(verdicts(), ["Inconclusive"; 3], "{over}");
        }
    }
}

#[test]
fn one_seed_gives_the_same_bytes_and_another_others() {
    for over in CARRIERS {
        assert!(played(over) == played(over), "{over}");
        let mut model = Model::parse(&MODEL.replace("OVER", over)).unwrap();
        model.seed += 1;
        assert!(lab::play(&model, model.seed).unwrap().captures != played(over).captures, "{over}");
    }
}

#[test]
fn what_the_lab_can_not_send_is_refused() {
    let refused = |model: &str| Model::parse(model).unwrap_err().to_string();
    assert_eq!(
        refused(&MODEL.replace("OVER", "http3")),
        "play phase http3: the lab sends nothing over http3"
    );
    let opaque = MODEL.replace("OVER", "tls13").replace(
        "- form: {path: /device, fields: [{name: imei, identifier: imei}]}",
        "- opaque: {up: 9, down: 9}",
    );
    assert_eq!(
        refused(&opaque),
        "play phase tls13: the lab sends nothing over tls13, if what it sends is of no known format"
    );
}

#[test]
fn a_capture_with_a_snap_length_lacks_what_it_cut_off_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let model = MODEL.replace("OVER", "http1").replace("every: 3m\n", "every: 3m\nlink: {snap: 200}\n");
    let model = Model::parse(&model).unwrap();
    let cut = lab::play(&model, model.seed).unwrap();
    lay(&cut, folder.path(), "http1");
    assert_eq!(cut.sent, played("http1").sent, "what was sent is the same");
    let printed =
        run(exhibit(folder.path()).args(["run", "--no-bundle", "--format", "json"]).arg(folder.path()));
    let findings: Findings = serde_json::from_str(&printed).unwrap();
    let loss = findings.gates.iter().find(|gate| gate.id == "loss").unwrap();
    assert_eq!(loss.state, exhibit::findings::GateState::Failed, "{}", loss.figure);
    assert!(findings.ledger.all.lost > 6_000, "{:?}", findings.ledger.all);
    assert!(findings.findings.iter().all(|finding| finding.grade != exhibit::findings::Grade::Exact));
    let Some(lengths) =
        tshark(folder.path(), "http1", false, &["-T", "fields", "-e", "frame.cap_len", "-e", "frame.len"])
    else {
        return;
    };
    let pairs: Vec<(u32, u32)> = lengths
        .lines()
        .map(|line| line.split_once('\t').map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap())).unwrap())
        .collect();
    assert!(pairs.iter().all(|(held, len)| *held == (*len).min(200)), "{pairs:?}");
}
