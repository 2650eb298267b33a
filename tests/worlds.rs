//! Worlds of the laboratory, end to end from packets: what the phone truly did, and the verdicts that must come of it
//! (the cells of the truth table for claims that `stock` and `cloud-on` decide). The consented upload goes in clear here,
//! since the laboratory plays no TLS yet; so "encrypted" is refuted wherever something personal is sent.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic"
)]

use std::fmt::Write as _;

use exhibit::findings::{Findings, Status};

mod support;
use support::{exhibit, run, write};

const FETCHES: &str = "
      - {during: shoot, after: 3s, to: news.example, requests: [{get: {path: /feed}}]}
      - {during: sms, after: 3s, to: news.example, requests: [{get: {path: /feed}}]}
      - {during: rest, after: 3s, to: news.example, requests: [{get: {path: /feed}}]}";
const PHOTO_AND_BODY: &str = "
      - {during: shoot, after: 8s, to: up.cloud.example, requests: [{body: {path: /photo, file: DCIM/Camera/IMG_0001.jpg}}]}
      - {during: sms, after: 8s, to: up.cloud.example, requests: [{form: {path: /sms, fields: [{name: text, message: true}]}}]}";
const IDENTIFIERS: &str = "
      - {during: rest, after: 12s, to: up.cloud.example, requests: [{form: {path: /device, fields: [{name: imei, identifier: imei}]}}]}";
const PREFERENCES: &str = "
      - {during: rest, after: 14s, to: up.cloud.example, requests: [{form: {path: /preferences, fields: [{name: theme, text: dark}]}}]}";

const SCENARIO: &str = r#"exhibit: 1
id: world
simulated: true
epoch: {kind: live}
terms:
  preferences: {schema: preferences.json}
  mainland_server: {registered_country: CN}
  cloud: {hosts: [up.cloud.example]}
  public:
    hosts: [news.example, up.cloud.example]
    texts: [/feed, /preferences, application/x-www-form-urlencoded, SimulatedPhone/1.0 (exhibit lab), "*/*", keep-alive, close]
phone:
  mac: "64:09:80:00:00:01"
  addresses: [192.168.43.17]
  provenance: {rom: rom.sha256}
  identifiers: {imei: "867622014512347"}
captured_at: {point: access-point, sees: [wifi], blind_to: [cellular]}
clocks: {gateway: {max_skew_ms: 50}, phone: {max_skew_ms: 1000}}
phases:
  - {id: stock, from: factory-reset, require: [rom_matches, cloud_off], repeat: 60}
  - {id: cloud-on, from: stock, role: positive_control, starts_with: consent, repeat: 60}
actions:
  list:
    - {id: shoot, do: take-photo, makes: [DCIM/Camera/IMG_0001.jpg]}
    - {id: sms, do: receive-sms, makes: [sms.csv]}
    - {id: rest, do: idle, for: 30s}
    - {id: consent, in: [cloud-on], do: consent-cloud}
controls:
  spikes: {artifacts: [imei], over: [http1], each: 60}
  decoys: 10000
  twin: {phase: stock, without: [adb], compare: [hosts, sizes, times]}
claims:
  - {id: L1, says: connects, in: stock, connects: mainland_server, attended: false}
  - {id: L2, says: photos, in: stock, uploads: photo}
  - {id: L3, says: messages, in: stock, uploads: message}
  - {id: L4, says: information, in: stock, uploads: identifier}
  - {id: X1, says: nothing, in: stock, never_uploads: personal, witness: cloud-on}
  - {id: X2, says: preferences, in: stock, only_uploads: preferences}
  - {id: X3, says: disabled, in: stock, all_of: [{setting: backup, is: "off"}, {setting: cloud, is: "off"}, {never_uploads: personal, to: [cloud]}], witness: cloud-on}
  - {id: X4, says: consent, in: [stock, cloud-on], needs_consent: {uploads: personal, action: consent}}
"#;

/// A world: what both phases send, and what differs from one in which every gate holds.
struct World {
    stock: String,
    cloud_on: String,
    runs: u32,
    rom: &'static str,
    unrecorded: u32,
}

impl World {
    fn new(stock: &[&str], cloud_on: &[&str]) -> Self {
        let (stock, cloud_on) = (stock.concat(), cloud_on.concat());
        Self { stock, cloud_on, runs: 60, rom: "a", unrecorded: 0 }
    }

    fn model(&self) -> String {
        let mut model = format!(
            r#"lab: 1
seed: 11
start: 2026-11-20T10:00:00Z
every: 3m
link: {{unrecorded: {}}}
phone: {{name: simulated-phone, mac: "64:09:80:00:00:01", address: 192.168.43.17, static: true, identifiers: {{imei: "867622014512347"}}}}
gateway: {{mac: "02:00:5e:10:00:01", address: 192.168.43.1}}
hosts:
  - {{name: news.example, address: 203.107.1.65}}
  - {{name: up.cloud.example, address: 203.0.113.9}}
  - {{name: lab.example, address: 198.51.100.7}}
layout: {{capture: "captures/{{phase}}-{{run}}.pcapng", device: "device/{{phase}}/{{run}}", record: record.jsonl, truth: truth.json}}
phases:
"#,
            self.unrecorded
        );
        for (phase, twins, consent, sends) in [
            ("stock", 1, "", &self.stock),
            ("cloud-on", 0, "\n      - {id: consent, at: 1s, lasts: 1s}", &self.cloud_on),
        ] {
            let (runs, rom) = (self.runs, self.rom.repeat(64));
            let sends = if sends.is_empty() { " []" } else { sends };
            let _ = write!(
                model,
                r#"  - id: {phase}
    runs: {runs}
    twins: {twins}
    rom: "{rom}"
    state: {{cloud: "off", backup: "off"}}
    actions:{consent}
      - {{id: shoot, at: 10s, lasts: 2s, makes: DCIM/Camera/IMG_0001.jpg}}
      - {{id: sms, at: 40s, lasts: 1s, receives: sms.csv}}
      - {{id: rest, at: 70s, lasts: 30s}}
    spikes: {{mac: "02:00:5e:10:00:77", address: 192.168.43.250, during: rest, after: 5s, to: lab.example, over: [http1]}}
    sends:{sends}
    tail: 20s
"#
            );
        }
        model
    }

    /// One letter a claim: supported, refuted, inconclusive.
    fn verdicts(&self) -> String {
        letters(&self.findings())
    }

    fn findings(&self) -> Findings {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        write(&at.join("lab.yaml"), self.model());
        write(&at.join("scenario.yaml"), SCENARIO);
        write(&at.join("rom.sha256"), format!("{}  rom.img\n", "a".repeat(64)));
        write(
            &at.join("preferences.json"),
            r#"{"type": "object", "properties": {"theme": {"enum": ["light", "dark"]}}, "additionalProperties": false}"#,
        );
        run(exhibit(at).args(["lab", "make"]).arg(at));
        let printed = run(exhibit(at).args(["run", "--no-bundle", "--format", "json"]).arg(at));
        serde_json::from_str(&printed).unwrap()
    }
}

fn letters(findings: &Findings) -> String {
    let letter = |status| match status {
        Status::Supported => 'S',
        Status::Refuted => 'R',
        Status::Inconclusive => 'i',
        _ => '?',
    };
    findings.claims.iter().map(|claim| letter(claim.status)).collect()
}

// L1 L2 L3 L4 X1 X2 X3 X4, as the table of worlds has them.

#[test]
fn w1_everything_in_clear() {
    let world = World::new(&[FETCHES, PHOTO_AND_BODY, IDENTIFIERS], &[FETCHES, PHOTO_AND_BODY, IDENTIFIERS]);
    assert_eq!(world.verdicts(), "SSSSRRRR");
}

#[test]
fn w6_declared_preferences_alone() {
    let world = World::new(&[FETCHES, PREFERENCES], &[FETCHES, PREFERENCES, PHOTO_AND_BODY]);
    let findings = world.findings();
    assert_eq!(letters(&findings), "SRRRSSSS");
    // What was sent where it is expected is a witness, and not said to be sent where nothing was.
    for claim in findings.claims.iter().filter(|claim| ["X1", "X3", "X4"].contains(&claim.id.as_str())) {
        assert!(claim.permits.contains("In a simulation: in phase stock ("), "{}", claim.permits);
        assert!(
            claim.permits.contains("seen where it is expected (120 findings in cloud-on)"),
            "{}",
            claim.permits
        );
        assert!(!claim.permits.contains("under test sent"), "{}", claim.permits);
        assert!(claim.permits.contains("the phone under test showed none"), "{}", claim.permits);
    }
}

#[test]
fn w7_a_silent_phone() {
    assert_eq!(World::new(&[], &[PHOTO_AND_BODY]).verdicts(), "RRRRSiSS");
}

#[test]
fn w8_w10_w11_absence_that_does_not_hold() {
    let world = || World::new(&[FETCHES, PREFERENCES], &[FETCHES, PREFERENCES, PHOTO_AND_BODY]);
    assert_eq!(World { unrecorded: 30, ..world() }.verdicts(), "Siiiiiii", "frames that the capture lost");
    assert_eq!(World { runs: 3, ..world() }.verdicts(), "Siiiiiii", "three windows");
    let silent = World::new(&[FETCHES, PREFERENCES], &[FETCHES, PREFERENCES]);
    assert_eq!(silent.verdicts(), "Siiiiiii", "a positive control that shows nothing");
}

#[test]
fn w9_another_image_than_the_declared_one() {
    let world = World::new(&[FETCHES, PHOTO_AND_BODY], &[FETCHES, PHOTO_AND_BODY]);
    assert_eq!(World { rom: "b", ..world }.verdicts(), "iiiiiiii");
}
