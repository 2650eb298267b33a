//! Models of a phone that sends what nobody can read, watched by lot: photos behind the action, or volume that comes and
//! goes whatever is done.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use exhibit::lab::Sent;

use crate::{
    behaviour::Draw,
    truth::{Class, Truth, Truths},
};

const PHOTO: &str = "DCIM/Camera/IMG_0001.jpg";
const HOSTS: [&str; 3] = ["up.cloud.example", "news.example", "metrics.example"];
/// Twelve windows of each arm: enough for one effect in each window among several tests.
const RUNS: u32 = 12;

/// Volume that has nothing to do with photos.
#[derive(Clone, Debug)]
struct Volume {
    /// The actions behind which it goes; behind `boot` it falls into whichever window comes first.
    during: &'static [&'static str],
    after_s: u64,
    spread_s: u64,
    bytes: u64,
    chance: u64,
    to: &'static str,
}

/// A firmware and how it is watched.
#[derive(Clone, Debug)]
pub struct Lots {
    seed: u64,
    volumes: Vec<Volume>,
    /// The actions behind which the photo goes.
    photo: &'static [&'static str],
    coded: bool,
    /// Whether the order is drawn by lot, and everything is fixed that must be.
    by_lot: bool,
}

impl Lots {
    pub fn drawn(seed: u64) -> Self {
        let mut draw = Draw::new(seed);
        let both: &[&str] = &["shoot", "open-camera"];
        let volume = |draw: &mut Draw| Volume {
            during: draw.of(&[both, both, &["boot"], &["rest"]]),
            after_s: 9,
            spread_s: draw.of(&[0, 3, 9]),
            bytes: 4_200 + draw.below(30_000),
            chance: draw.of(&[10, 30, 60, 90]),
            to: draw.of(&HOSTS),
        };
        Self {
            seed,
            volumes: (0..1 + draw.below(3)).map(|_| volume(&mut draw)).collect(),
            photo: draw.of(&[&[], &[], &[], &[], &["shoot"], both]),
            coded: draw.percent(50),
            by_lot: draw.percent(80),
        }
    }

    /// Whether nothing that goes out depends on which arm a window was given to, and the lots were drawn.
    pub fn is_null(&self) -> bool {
        self.by_lot && self.photo.is_empty()
    }

    pub fn is_by_lot(&self) -> bool {
        self.by_lot
    }

    pub fn model(&self) -> String {
        let mut yaml = format!(
            r#"lab: 1
seed: {seed}
start: 2026-11-20T10:00:00Z
every: 3m
{order}phone: {{name: simulated-phone, mac: "64:09:80:00:00:01", address: 192.168.43.17, static: true}}
gateway: {{mac: "02:00:5e:10:00:01", address: 192.168.43.1}}
hosts:
  - {{name: {}, address: 203.0.113.9}}
  - {{name: {}, address: 203.107.1.65}}
  - {{name: {}, address: 192.0.2.44}}
layout: {{capture: "captures/{{phase}}-{{run}}.pcapng", device: "device/{{phase}}/{{run}}", record: record.jsonl, truth: truth.json}}
phases:
  - id: stock
    runs: {RUNS}
    actions:
      - {{id: boot, at: 2s, lasts: 1s}}
      - {{id: shoot, at: 10s, lasts: 2s, makes: {PHOTO}{sizes}}}
      - {{id: open-camera, at: 40s, lasts: 2s}}
      - {{id: rest, at: 70s, lasts: 20s}}
    sends:
"#,
            HOSTS[0],
            HOSTS[1],
            HOSTS[2],
            seed = self.seed,
            order = if self.by_lot { "order: plan\n" } else { "" },
            sizes = if self.coded { ", sizes: [9000, 12100, 15700, 19300]" } else { "" },
        );
        for (no, volume) in self.volumes.iter().enumerate() {
            let Volume { during, after_s, spread_s, bytes, chance, to } = volume;
            for action in *during {
                let _ = writeln!(
                    yaml,
                    "      - {{during: {action}, after: {after_s}s, spread: {spread_s}s, chance: {chance}, to: {to}, port: {}, requests: [{{opaque: {{up: {bytes}, down: 40}}}}]}}",
                    9_000 + no
                );
            }
        }
        for action in self.photo {
            let _ = writeln!(
                yaml,
                "      - {{during: {action}, after: 4s, to: {}, over: tls13, requests: [{{body: {{path: /photo, file: {PHOTO}}}}}]}}",
                HOSTS[0]
            );
        }
        yaml.push_str("    tail: 20s\n");
        yaml
    }

    pub fn scenario(&self) -> String {
        format!(
            r#"exhibit: 1
id: model
simulated: true
freeze: [phases, actions, claims]
phone: {{addresses: [192.168.43.17]}}
phases: [{{id: stock, from: factory-reset, repeat: {RUNS}}}]
actions:
  order: {}
  list:
    - {{id: boot, do: boot}}
    - {{id: shoot, do: take-photo, makes: [{PHOTO}], sham: open-camera}}
    - {{id: rest, do: idle, for: 20s}}
claims:
  - {{id: L2, says: "photos, of model {}", in: stock, uploads: photo}}
  - {{id: L3, says: messages, in: stock, uploads: message}}
  - {{id: X1, says: nothing, in: stock, never_uploads: photo, witness: stock}}
  - {{id: X5, says: encrypted, in: stock, encrypted: photo}}
"#,
            if self.by_lot { "randomized" } else { "fixed" },
            self.seed,
        )
    }

    /// What is true, and what the lots settle: a photo behind each action and behind no sham.
    pub fn truths(&self, sent: &[Sent]) -> Truths {
        let photo = sent.iter().any(|one| one.carries.iter().any(|carried| carried.what.ends_with(".jpg")));
        assert_eq!(photo, !self.photo.is_empty(), "model {}", self.seed);
        let alone = self.by_lot && self.photo == ["shoot"] && !self.hides_it();
        let open = |holds| Truth { holds, by_presence: false, by_absence: false };
        let of = BTreeMap::from([
            ("L2", Truth { by_presence: alone, ..open(photo) }),
            ("L3", open(false)),
            ("X1", open(!photo)),
            ("X5", open(true)),
        ]);
        Truths { of, clear: BTreeSet::<Class>::new() }
    }

    /// Whether other volume to the same host may stand in the photo's way.
    fn hides_it(&self) -> bool {
        self.volumes.iter().any(|volume| volume.to == HOSTS[0])
    }
}
