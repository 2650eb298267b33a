//! Behaviour models drawn from a seed: which trigger sends what, how wrapped, where to, in which phases, how often.

use std::fmt::Write as _;

use exhibit::evidence::Digest;

pub const IMEI: &str = "867622014512347";
pub const OWN_NUMBER: &str = "+85298765432";
pub const CLOUD: &str = "up.cloud.example";
/// Registered in mainland China; a real phone of that maker talked to it.
pub const NEWS: &str = "news.example";
pub const NEWS_ADDRESS: &str = "203.107.1.65";
const ELSEWHERE: &str = "metrics.example";
pub const STOCK: &str = "stock";
pub const REMOVED: &str = "apps-removed";
pub const REFLASHED: [&str; 2] = ["reflashed-neutral", "reflashed-vendor"];
pub const CLOUD_ON: &str = "cloud-on";
const PHOTO: &str = "DCIM/Camera/IMG_0001.jpg";
const OLD_PHOTO: &str = "DCIM/Camera/IMG_0000.jpg";
/// Windows from which absence may be concluded (scenario.md asks for 59).
pub const FULL: u32 = 60;

/// Numbers from a seed (SplitMix64, Steele, Lea and Flood 2014).
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x6d6f_6465_6c73)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        let at = self.below(choices.len() as u64);
        choices[usize::try_from(at).unwrap()].clone()
    }
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The photo that the run took.
    Photo,
    /// One that was on the phone before.
    OldPhoto,
    /// The run's message.
    Message,
    Imei,
    OwnNumber,
    /// Number and identifier in one message.
    Both,
    /// An identifier that only a program can read: the digest of the IMEI in hex.
    ImeiDigest,
    /// One that nobody can tell from chance: the IMEI's digest under a secret.
    ImeiSecret,
    /// No identifier: the IMEI but for its last digits.
    AlmostImei,
    /// No message: words of the phone's messages, but none that it received.
    AlmostMessage,
    /// What the plan declares.
    Preferences,
    /// A page that anyone may have.
    Fetch,
    /// Bytes of no known format, so many.
    Opaque(u32),
}

impl What {
    /// Whether it is an identifier that the laboratory's own truth does not name.
    pub fn is_disguised(self) -> bool {
        matches!(self, Self::ImeiDigest | Self::ImeiSecret)
    }
}

/// One rule of the firmware.
#[derive(Clone, Debug)]
pub struct Rule {
    pub phases: Vec<&'static str>,
    pub during: &'static str,
    pub after_s: u64,
    pub what: What,
    /// Which of the wrappers that suit it.
    pub wrapper: u64,
    pub over: &'static str,
    pub to: &'static str,
    /// In so many of a hundred runs; none: in each.
    pub chance: Option<u64>,
}

/// A firmware, and how it is watched.
#[derive(Clone, Debug)]
pub struct Behaviour {
    pub seed: u64,
    /// Phases with their runs, in the order in which they are played.
    pub phases: Vec<(&'static str, u32)>,
    pub rules: Vec<Rule>,
    /// Phases whose session keys are kept.
    pub keyed: Vec<&'static str>,
    /// Frames in a thousand that the capture does not hold.
    pub unrecorded: u32,
    /// Frames in a thousand that the air loses, and that arrive late.
    pub air: (u32, u32),
    /// The image is not the declared one.
    pub other_image: bool,
    /// Back-up is on from the start.
    pub backup_on: bool,
    pub fixed_address: bool,
    pub randomized: bool,
}

/// Trigger, start and length in seconds.
const TRIGGERS: [(&str, u64, u64); 8] = [
    ("boot", 3, 1),
    ("join", 6, 1),
    ("shoot", 12, 2),
    ("sms", 30, 1),
    ("open-sms", 45, 1),
    ("open-contact", 55, 1),
    ("add-contact", 62, 1),
    ("rest", 70, 30),
];

impl Behaviour {
    /// The model with this number. One phase of each of `full_every` has as many windows as absence needs.
    pub fn drawn(seed: u64, full_every: u64) -> Self {
        let mut draw = Draw::new(seed);
        let full = seed % full_every == full_every - 1;
        let mut phases = vec![(STOCK, 1 + u32::try_from(draw.below(2)).unwrap())];
        if draw.percent(if full { 20 } else { 40 }) {
            phases.push((REMOVED, 1));
        }
        if draw.percent(if full { 20 } else { 30 }) {
            phases.extend(REFLASHED.map(|phase| (phase, 1)));
        }
        if full {
            // The first is `stock`, which most claims speak of.
            let at = draw.below(phases.len() as u64 * 2).saturating_sub(phases.len() as u64);
            phases[usize::try_from(at).unwrap()].1 = FULL;
        }
        phases.push((CLOUD_ON, 1));
        let names: Vec<&'static str> = phases.iter().map(|(name, _)| *name).collect();
        let mut rules = Vec::new();
        // A phone that sends much in every phase would leave nothing to be absent.
        let personal = if full { 15 } else { 60 };
        for _ in 0..draw.below(if full { 3 } else { 5 }) + 1 {
            rules.push(Self::rule(&mut draw, &names, personal, full));
        }
        if draw.percent(if full { 50 } else { 80 }) {
            rules.push(Rule::plain("rest", 3, What::Fetch, NEWS, &names));
        }
        if draw.percent(60) {
            rules.push(Rule::plain("rest", 6, What::Preferences, CLOUD, &names));
        }
        if full || draw.percent(90) {
            let carriers = ["http1", "tls12", "tls13", "http2"];
            // Without it nothing is settled by absence.
            let over = if full { "http1" } else { draw.of(&carriers) };
            for (during, what) in [("shoot", What::Photo), ("sms", What::Message)] {
                rules.push(Rule { over, ..Rule::plain(during, 8, what, CLOUD, &[CLOUD_ON]) });
            }
        }
        let keyed = names.iter().copied().filter(|_| full || draw.percent(75)).collect();
        Self {
            seed,
            phases,
            rules,
            keyed,
            unrecorded: if draw.percent(if full { 0 } else { 8 }) { 60 } else { 0 },
            air: if draw.percent(20) { (20, 20) } else { (0, 0) },
            other_image: draw.percent(if full { 0 } else { 5 }),
            backup_on: draw.percent(5),
            fixed_address: draw.percent(50),
            randomized: draw.percent(50),
        }
    }

    fn rule(draw: &mut Draw, names: &[&'static str], personal: u64, full: bool) -> Rule {
        let what = if draw.percent(personal) {
            let all = [
                What::Photo,
                What::OldPhoto,
                What::Message,
                What::Imei,
                What::OwnNumber,
                What::Both,
                What::ImeiDigest,
            ];
            draw.of(&all)
        } else {
            let opaque = What::Opaque(200 + u32::try_from(draw.below(12_000)).unwrap());
            let near = [What::ImeiSecret, What::AlmostImei, What::AlmostMessage, opaque];
            let clean = [What::Preferences, What::Fetch];
            if draw.percent(if full { 8 } else { 60 }) { draw.of(&near) } else { draw.of(&clean) }
        };
        // Nothing is sent before it is there.
        let first = match what {
            What::Photo => 2,
            What::Message => 3,
            _ => 0,
        };
        let (during, _, _) = draw.of(&TRIGGERS[first..]);
        let mut phases: Vec<&'static str> = names.iter().copied().filter(|_| draw.percent(60)).collect();
        if phases.is_empty() {
            phases = names.to_vec();
        }
        let over = match what {
            What::Opaque(_) => "http1",
            What::Fetch | What::Preferences if !full => {
                draw.of(&["http1", "http1", "tls12", "tls13", "http2"])
            }
            _ if full => draw.of(&["http1", "http1", "tls12", "tls13"]),
            _ => draw.of(&["http1", "http1", "tls12", "tls13", "http2", "websocket"]),
        };
        let chance = (!what.is_disguised() && !full && draw.percent(25)).then(|| 20 + draw.below(60));
        Rule {
            phases,
            during,
            after_s: 2 + draw.below(if during == "rest" { 18 } else { 3 }),
            what,
            wrapper: draw.below(if full { 2 } else { 3 }),
            over,
            to: draw.of(&[CLOUD, NEWS, ELSEWHERE]),
            chance,
        }
    }

    pub fn runs(&self, phase: &str) -> u32 {
        self.phases.iter().find(|(name, _)| *name == phase).map_or(0, |(_, runs)| *runs)
    }

    pub fn is_full(&self, phase: &str) -> bool {
        self.runs(phase) >= FULL
    }

    /// The phase with as many windows as absence needs.
    fn full(&self) -> Option<&'static str> {
        self.phases.iter().find(|(_, runs)| *runs >= FULL).map(|(phase, _)| *phase)
    }

    /// Its `lab.yaml`.
    pub fn model(&self) -> String {
        let mut yaml = format!(
            r#"lab: 1
seed: {seed}
start: 2026-11-20T10:00:00Z
every: 3m
link: {{unrecorded: {unrecorded}, loss: {loss}, reorder: {reorder}}}
phone: {{name: simulated-phone, mac: "64:09:80:00:00:01", address: 192.168.43.17, static: {fixed}, identifiers: {{imei: "{IMEI}", own_number: "{OWN_NUMBER}"}}}}
gateway: {{mac: "02:00:5e:10:00:01", address: 192.168.43.1}}
hosts:
  - {{name: {NEWS}, address: {NEWS_ADDRESS}}}
  - {{name: {CLOUD}, address: 203.0.113.9}}
  - {{name: {ELSEWHERE}, address: 192.0.2.44}}
  - {{name: lab.example, address: 198.51.100.7}}
layout: {{capture: "captures/{{phase}}-{{run}}.pcapng", keys: "keys/{{phase}}-{{run}}.keys", device: "device/{{phase}}/{{run}}", record: record.jsonl, truth: truth.json}}
phases:
"#,
            seed = self.seed,
            unrecorded = self.unrecorded,
            loss = self.air.0,
            reorder = self.air.1,
            fixed = self.fixed_address,
        );
        for (phase, runs) in &self.phases {
            let keeps = self.rules.iter().any(|rule| rule.what == What::OldPhoto);
            let library = if keeps { OLD_PHOTO } else { "" };
            let _ = write!(
                yaml,
                "  - id: {phase}\n    runs: {runs}\n    twins: {twins}\n    rom: \"{rom}\"\n    keys: {keys}\n    state: {{cloud: \"off\", backup: \"{backup}\"}}\n    library: [{library}]\n    actions:\n",
                twins = u32::from(self.full() == Some(*phase)),
                rom = if self.other_image { "b" } else { "a" }.repeat(64),
                keys = self.keyed.contains(phase),
                backup = if self.backup_on { "on" } else { "off" },
            );
            for (id, at, lasts) in first_action(phase).into_iter().chain(TRIGGERS) {
                let more = match id {
                    "join" => ", joins: true".to_owned(),
                    "shoot" => format!(", makes: {PHOTO}"),
                    "sms" => ", receives: sms.csv".to_owned(),
                    _ => String::new(),
                };
                let _ = writeln!(yaml, "      - {{id: {id}, at: {at}s, lasts: {lasts}s{more}}}");
            }
            if self.full().is_some() {
                yaml.push_str("    spikes: {mac: \"02:00:5e:10:00:77\", address: 192.168.43.250, during: rest, after: 5s, to: lab.example, over: [http1]}\n");
            }
            yaml.push_str("    sends:\n");
            let own: Vec<&Rule> = self.rules.iter().filter(|rule| rule.phases.contains(phase)).collect();
            if own.is_empty() {
                yaml.truncate(yaml.len() - 1);
                yaml.push_str(" []\n");
            }
            for (no, rule) in own.into_iter().enumerate() {
                let _ = writeln!(yaml, "      - {}", rule.send(no));
            }
            yaml.push_str("    tail: 20s\n");
        }
        yaml
    }

    /// Its `scenario.yaml`.
    pub fn scenario(&self) -> String {
        let mut yaml = format!(
            r#"exhibit: 1
id: model
simulated: true
epoch: {{kind: live}}
terms:
  preferences: {{schema: preferences.json}}
  device: {{schema: device.json}}
  mainland_server: {{registered_country: CN}}
  cloud: {{hosts: [{CLOUD}]}}
  public:
    hosts: [{NEWS}, {CLOUD}, {ELSEWHERE}]
    texts: [/feed, /preferences, /photo, /sms, /device, /socket, websocket, Upgrade, "13", application/x-www-form-urlencoded, image/jpeg, SimulatedPhone/1.0 (exhibit lab), "*/*", keep-alive, close]
phone:
  mac: "64:09:80:00:00:01"
  addresses: [192.168.43.17]
  provenance: {{rom: rom.sha256}}
  identifiers: {{imei: "{IMEI}", own_number: "{OWN_NUMBER}"}}
canaries: {{sms-body: {{kind: sms, entropy_bits: 96}}}}
captured_at: {{point: access-point, sees: [wifi], blind_to: [cellular]}}
clocks: {{gateway: {{max_skew_ms: 50}}, phone: {{max_skew_ms: 1000}}}}
phases:
"#
        );
        for (phase, runs) in &self.phases {
            let from = match *phase {
                STOCK => "from: factory-reset",
                REMOVED => "from: stock",
                CLOUD_ON => "from: stock, role: positive_control, starts_with: consent",
                _ => "from: wipe",
            };
            let _ = writeln!(yaml, "  - {{id: {phase}, {from}, repeat: {runs}}}");
        }
        let _ = write!(
            yaml,
            r#"actions:
  order: {order}
  list:
    - {{id: boot, do: boot}}
    - {{id: join, do: join-wifi}}
    - {{id: shoot, do: take-photo, makes: [{PHOTO}]}}
    - {{id: sms, do: receive-sms, makes: [sms.csv]}}
    - {{id: open-sms, do: open-sms}}
    - {{id: open-contact, do: open-contact}}
    - {{id: add-contact, do: add-contact}}
    - {{id: rest, do: idle, for: 30s}}
"#,
            order = if self.randomized { "randomized" } else { "fixed" },
        );
        for (id, verb, phases) in [
            ("consent", "consent-cloud", &[CLOUD_ON][..]),
            ("remove", "remove-apps", &[REMOVED][..]),
            ("reflash", "reflash", &REFLASHED[..]),
        ] {
            let there: Vec<&str> = phases.iter().copied().filter(|phase| self.runs(phase) > 0).collect();
            if !there.is_empty() {
                let _ = writeln!(yaml, "    - {{id: {id}, in: [{}], do: {verb}}}", there.join(", "));
            }
        }
        if let Some(phase) = self.full() {
            let _ = write!(
                yaml,
                "controls:\n  spikes: {{artifacts: [imei], over: [http1], each: 60}}\n  decoys: 10000\n  twin: {{phase: {phase}, without: [adb], compare: [hosts, sizes, times]}}\n"
            );
        }
        yaml.push_str(
            r#"claims:
  - {id: L1, says: connects, in: stock, connects: mainland_server, attended: false}
  - {id: L2, says: photos, in: stock, uploads: photo}
  - {id: L3, says: messages, in: stock, uploads: message}
  - {id: L4, says: information, in: stock, uploads: identifier}
  - {id: X1, says: nothing, in: stock, never_uploads: personal, witness: cloud-on}
  - {id: X2, says: preferences, in: stock, only_uploads: preferences}
  - {id: X3, says: disabled, in: stock, all_of: [{setting: backup, is: "off"}, {setting: cloud, is: "off"}, {never_uploads: personal, to: [cloud]}], witness: cloud-on}
  - {id: X4, says: consent, in: [stock, cloud-on], needs_consent: {uploads: personal, action: consent}}
  - {id: X5, says: encrypted, in: [stock, cloud-on], encrypted: personal}
"#,
        );
        if self.runs(REMOVED) > 0 {
            yaml.push_str("  - {id: L5, says: still, in: apps-removed, all_of: [{connects: mainland_server, attended: false}, {uploads: personal}]}\n");
        }
        if self.runs(REFLASHED[0]) > 0 {
            yaml.push_str("  - {id: N1, says: reinstalled, in: [reflashed-neutral, reflashed-vendor], each_phase: {uploads: personal}}\n");
        }
        yaml
    }
}

/// What a phase begins with.
fn first_action(phase: &str) -> Option<(&'static str, u64, u64)> {
    match phase {
        CLOUD_ON => Some(("consent", 1, 1)),
        REMOVED => Some(("remove", 1, 1)),
        STOCK => None,
        _ => Some(("reflash", 1, 1)),
    }
}

impl Rule {
    fn plain(
        during: &'static str,
        after_s: u64,
        what: What,
        to: &'static str,
        phases: &[&'static str],
    ) -> Self {
        Self { phases: phases.to_vec(), during, after_s, what, wrapper: 0, over: "http1", to, chance: None }
    }

    /// Bytes at most that the request leaves to be accounted for, where its carrier can be read; none where it is of no
    /// known format. Nothing declares the plus of a number and the heads of multipart bodies.
    pub fn room(&self) -> Option<u64> {
        Some(match self.what {
            What::Opaque(_) => return None,
            What::Preferences | What::Fetch => 0,
            What::Photo | What::OldPhoto if self.wrapper == 0 => 0,
            What::Photo | What::OldPhoto => 400,
            What::Message | What::Imei | What::ImeiDigest => 0,
            // What weighs enough only in its field is not counted byte by byte where a sign of it is escaped.
            What::OwnNumber => "%2B85298765432".len() as u64,
            What::Both => "%2B".len() as u64,
            What::ImeiSecret | What::AlmostImei | What::AlmostMessage => 100,
        })
    }

    fn send(&self, no: usize) -> String {
        let port = match self.what {
            // Each has a listener that waits for so many bytes.
            What::Opaque(_) => format!(", port: {}", 9_000 + no),
            _ => String::new(),
        };
        let chance = self.chance.map_or(String::new(), |percent| format!(", chance: {percent}"));
        format!(
            "{{during: {}, after: {}s, to: {}, over: {}{port}{chance}, requests: [{}]}}",
            self.during,
            self.after_s,
            self.to,
            self.over,
            self.request()
        )
    }

    fn request(&self) -> String {
        let form = |path: &str, fields: &str| match self.wrapper {
            // A frame of a WebSocket has no target.
            1 if self.over != "websocket" => format!("get: {{path: {path}, query: [{fields}]}}"),
            _ => format!("form: {{path: {path}, fields: [{fields}]}}"),
        };
        let text = |name: &str, value: &str| form("/device", &format!("{{name: {name}, text: \"{value}\"}}"));
        let request = match self.what {
            What::Photo | What::OldPhoto => {
                let file = if self.what == What::Photo { PHOTO } else { OLD_PHOTO };
                match self.wrapper {
                    0 => format!("body: {{path: /photo, file: {file}}}"),
                    1 => format!("multipart: {{path: /photo, file: {file}, field: photo}}"),
                    _ => format!(
                        "multipart: {{path: /photo, file: {file}, field: photo, fields: [{{name: album, text: camera}}]}}"
                    ),
                }
            }
            What::Message => form("/sms", "{name: text, message: true}"),
            What::Imei => form("/device", "{name: imei, identifier: imei}"),
            What::OwnNumber => form("/device", "{name: msisdn, identifier: own_number}"),
            What::Both => {
                form("/device", "{name: imei, identifier: imei}, {name: msisdn, identifier: own_number}")
            }
            What::ImeiDigest => text("id", &Digest::of(IMEI.as_bytes()).to_string()),
            What::ImeiSecret => {
                text("id", &Digest::of(format!("secret of {} {IMEI}", self.after_s).as_bytes()).to_string())
            }
            What::AlmostImei => text("id", &format!("{}{:03}", &IMEI[..12], 100 + self.after_s)),
            What::AlmostMessage => {
                let fresh = &Digest::of(self.during.as_bytes()).to_string()[..24];
                text("text", &format!("A simulated message, fresh in this run: {fresh}."))
            }
            What::Preferences => "form: {path: /preferences, fields: [{name: theme, text: dark}]}".to_owned(),
            What::Fetch => "get: {path: /feed}".to_owned(),
            What::Opaque(up) => format!("opaque: {{up: {up}, down: 40}}"),
        };
        format!("{{{request}}}")
    }
}
