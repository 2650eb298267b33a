//! The behaviour model: what `lab.yaml` says the simulated phone does.

use std::{collections::BTreeMap, net::Ipv4Addr, str::FromStr};

use serde::{Deserialize, Deserializer, de};

use super::check::{ModelError, plain};
use crate::{
    case::scenario::{plan::Plan, seed, words::Carrier},
    evidence::{Digest, Timestamp},
};

/// How a simulated phone behaves, phase by phase.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Version of this grammar: 1.
    pub lab: u32,
    /// What makes this world's bytes differ from another's; `lab make` plays it with this.
    pub seed: u64,
    /// When the first run begins on the virtual clock.
    pub start: Timestamp,
    /// From one run's start to the next one's.
    pub every: Span,
    /// Whether the order of actions in a run is drawn from the plan seed of the scenario beside it; absent: as written.
    pub order: Option<Order>,
    /// Where it is drawn from, once the plan is known.
    #[serde(skip)]
    pub(super) lots: Option<Lots>,
    /// The air and the wire between phone, capture point and servers.
    #[serde(default)]
    pub link: Link,
    /// The phone.
    pub phone: Phone,
    /// The access point that captures: router, DHCP and name server.
    pub gateway: Gateway,
    /// Names and addresses of the servers.
    pub hosts: Vec<Host>,
    /// Where files go in the scenario folder.
    pub layout: Layout,
    /// What is played, in order.
    pub phases: Vec<Phase>,
}

/// Where the order of actions comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// The plan's lots.
    Plan,
}

/// What an order is drawn from.
#[derive(Debug, Clone)]
pub(super) struct Lots {
    seed: Digest,
    plan: Plan,
}

/// The simulated phone.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phone {
    /// What it calls itself in DHCP.
    pub name: String,
    /// Its Ethernet address.
    pub mac: Mac,
    /// The address it leases, or has.
    pub address: Ipv4Addr,
    /// Whether it has its address without asking for it.
    #[serde(default, rename = "static")]
    pub fixed: bool,
    /// Kind (`imei`, `own_number`, …) to value.
    #[serde(default)]
    pub identifiers: BTreeMap<String, String>,
    /// How far its clock is ahead of the capture's when a run begins, in milliseconds; an answer of NTP sets it right.
    #[serde(default)]
    pub clock_ahead_ms: i64,
}

/// The access point.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its address; the phone's lies in the same /24.
    pub address: Ipv4Addr,
    /// Its other side. With it the capture is taken there, behind its address translation: whatever is on the air has one
    /// address, ports as they are unless two clients use the same one, and neither DHCP nor ARP nor names are seen.
    pub outside: Option<Outside>,
}

/// The other side of an access point that translates addresses (NAPT, RFC 3022).
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outside {
    /// Its Ethernet address there.
    pub mac: Mac,
    /// Its address there: everybody's.
    pub address: Ipv4Addr,
    /// The Ethernet address of the next router.
    pub router: Mac,
}

/// A server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its address. An address of the real world is only borrowed: nothing leaves this program.
    pub address: Ipv4Addr,
}

/// Where files go; `{phase}` and `{run}` (two digits) are filled in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// One capture a run.
    pub capture: String,
    /// The folder of a run's device files; empty: the scenario folder itself.
    #[serde(default)]
    pub device: String,
    /// One key log a run that used TLS (NSS format); absent: nobody has the keys.
    pub keys: Option<String>,
    /// The record; absent: nobody wrote down what was done.
    pub record: Option<String>,
    /// What was truly sent.
    pub truth: String,
}

impl Layout {
    /// A path of a run.
    pub(super) fn fill(template: &str, phase: &str, run: u32) -> String {
        template.replace("{phase}", phase).replace("{run}", &format!("{run:02}"))
    }
}

/// Delays and faults. Faults happen so many times in a thousand frames.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Link {
    /// From the phone to the capture point, in microseconds.
    pub air_us: u64,
    /// From the capture point to a server, in microseconds.
    pub wire_us: u64,
    /// Up to so many microseconds more, drawn for each frame; order is kept.
    pub jitter_us: u32,
    /// Kilobits a second on the air, both ways.
    pub rate_kbps: u64,
    /// Frames lost on the air: going up the capture never sees them, coming down only the phone doesn't.
    pub loss: u32,
    /// Frames that arrive behind later ones.
    pub reorder: u32,
    /// Frames that arrive, but that the capture does not hold.
    pub unrecorded: u32,
    /// Bytes of a frame that the capture holds at most.
    pub snap: usize,
    /// Where the capture is taken.
    pub capture: Point,
}

/// Where a capture is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Point {
    /// At the access point, which hears everybody on the air.
    Gateway,
    /// On the phone: what it sends, even if it is lost on the air then, and what reaches it.
    Phone,
}

/// More than any frame has.
const WHOLE: usize = 262_144;

impl Default for Link {
    fn default() -> Self {
        Self {
            air_us: 1_500,
            wire_us: 18_000,
            jitter_us: 300,
            rate_kbps: 20_000,
            loss: 0,
            reorder: 0,
            unrecorded: 0,
            snap: WHOLE,
            capture: Point::Gateway,
        }
    }
}

/// One phase: the same script, played `runs` times with fresh photos.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Its name in the plan.
    pub id: String,
    /// How many times.
    pub runs: u32,
    /// The phone's settings in it, for the record.
    #[serde(default)]
    pub state: BTreeMap<String, String>,
    /// SHA-256 of the image that is said to run, for the record.
    #[serde(default)]
    pub rom: Option<Digest>,
    /// Whether session keys are kept, where the layout says where.
    #[serde(default = "yes")]
    pub keys: bool,
    /// So many runs more without instruments: no keys, no spikes.
    #[serde(default)]
    pub twins: u32,
    /// What another machine sends in each run, so that it is known what would be found.
    #[serde(default)]
    pub spikes: Option<Spikes>,
    /// Other machines on the same air, which are not the phone and of which no plan knows.
    #[serde(default)]
    pub others: Vec<Other>,
    /// Photos that are on the phone and that nobody touches.
    #[serde(default)]
    pub library: Vec<String>,
    /// What is done with the phone.
    pub actions: Vec<Action>,
    /// What the firmware sends.
    pub sends: Vec<Send>,
    /// How long the capture goes on after the last action.
    pub tail: Span,
}

/// One action.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// Its name in the plan.
    pub id: String,
    /// From the run's start.
    pub at: Span,
    /// How long it takes.
    pub lasts: Span,
    /// The photo that it takes, as a path on the phone.
    pub makes: Option<String>,
    /// Lengths of that photo in bytes, of which each run draws one; empty: as it comes.
    #[serde(default)]
    pub sizes: Vec<usize>,
    /// The list of messages, as a path on the phone, to which it adds a fresh one.
    pub receives: Option<String>,
    /// Whether the phone joins the network in it (DHCP).
    #[serde(default)]
    pub joins: bool,
}

/// Known artifacts that another machine sends: one photo, one message and one other value over each carrier in each run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spikes {
    /// That machine's Ethernet address.
    pub mac: Mac,
    /// Its address.
    pub address: Ipv4Addr,
    /// The action in or after which it sends.
    pub during: String,
    /// From the action's start.
    pub after: Span,
    /// The server's name.
    pub to: String,
    /// What they travel in.
    pub over: Vec<Carrier>,
}

/// Another machine on the same air.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Other {
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its address; no DHCP is played for it.
    pub address: Ipv4Addr,
    /// What it sends: files, identifiers and messages are those of the phone.
    pub sends: Vec<Send>,
}

/// One thing that the firmware does in the network.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Send {
    /// The action in or after which it happens.
    pub during: String,
    /// From the action's start, at least.
    pub after: Span,
    /// Up to so much later, drawn for each run.
    #[serde(default)]
    pub spread: Span,
    /// The message of a push service that sets it off; `after` and `spread` then count from its arrival.
    pub on_push: Option<String>,
    /// In so many of a hundred runs, drawn for each run, and each time in it; absent: always.
    pub chance: Option<u32>,
    /// Once more by a timer, each time over a connection of its own.
    pub again: Option<Again>,
    /// The server's name.
    pub to: String,
    /// What the requests travel in.
    #[serde(default = "clear")]
    pub over: Carrier,
    /// The server's port, if it is not the usual one of what they travel in.
    pub port: Option<u16>,
    /// Requests over one connection, one after the other.
    pub requests: Vec<Request>,
}

/// A timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Again {
    /// From one time to the next.
    pub every: Span,
    /// How many times more.
    pub times: u32,
}

fn yes() -> bool {
    true
}

fn clear() -> Carrier {
    Carrier::Http1
}

impl Send {
    /// The server's port.
    pub(super) fn port(&self) -> u16 {
        self.port.unwrap_or_else(|| match self.requests.first() {
            Some(Request::Ntp {}) => NTP_PORT,
            Some(Request::Push { .. }) if is_encrypted(self.over) => MQTTS_PORT,
            Some(Request::Push { .. }) => MQTT_PORT,
            _ => port(self.over),
        })
    }

    /// What it travels in, for the truth.
    pub(super) fn carrier(&self) -> &'static str {
        match self.requests.first() {
            Some(Request::Ntp {}) => "udp",
            Some(Request::Push { .. }) if !is_encrypted(self.over) => "tcp",
            _ => self.over.name(),
        }
    }
}

/// Ports of NTP and MQTT, in clear and in TLS (Service Name and Transport Protocol Port Number Registry).
const NTP_PORT: u16 = 123;
const MQTT_PORT: u16 = 1883;
const MQTTS_PORT: u16 = 8883;

/// The usual port of what requests travel in.
pub(super) fn port(over: Carrier) -> u16 {
    if is_encrypted(over) { 443 } else { 80 }
}

/// Whether requests travel in TLS: HTTP/1.1 in `tls12` and `tls13`, HTTP/2 in TLS 1.3.
pub(super) fn is_encrypted(over: Carrier) -> bool {
    !matches!(over, Carrier::Http1 | Carrier::Websocket)
}

/// How something is wrapped.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum Request {
    /// A GET.
    Get {
        /// The path.
        path: String,
        /// Fields behind the question mark.
        #[serde(default)]
        query: Vec<Field>,
    },
    /// A POST of form fields.
    Form {
        /// The path.
        path: String,
        /// Fields behind the question mark.
        #[serde(default)]
        query: Vec<Field>,
        /// Fields in the body.
        fields: Vec<Field>,
    },
    /// A POST whose body is the file.
    Body {
        /// The path.
        path: String,
        /// Fields behind the question mark.
        #[serde(default)]
        query: Vec<Field>,
        /// The file, as a path on the phone.
        file: String,
    },
    /// A POST of fields and a file as multipart/form-data.
    Multipart {
        /// The path.
        path: String,
        /// Fields before the file.
        #[serde(default)]
        fields: Vec<Field>,
        /// The file, as a path on the phone.
        file: String,
        /// The file's field name.
        field: String,
    },
    /// The time of day, asked of an NTP server (SNTP, over UDP); nothing else is sent with it.
    Ntp {},
    /// A connection to a push service (MQTT 3.1.1) that stays open; nothing else is sent over it.
    Push {
        /// The phone shows that it is there so often.
        alive: Span,
        /// And so many times, before it leaves.
        pings: u32,
        /// What the service pushes.
        #[serde(default)]
        messages: Vec<Pushed>,
    },
    /// Bytes of no known format, as an encrypted channel without keys shows them.
    Opaque {
        /// Bytes up.
        up: usize,
        /// Bytes down.
        down: usize,
    },
}

/// A message of a push service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pushed {
    /// Its name, for `on_push`: letters, digits and hyphens.
    pub id: String,
    /// The action in or after which it is pushed.
    pub during: String,
    /// From the action's start, if the phone is connected by then; else as soon as it is.
    pub after: Span,
    /// How many bytes it has, at least its name and that it is simulated.
    #[serde(default)]
    pub bytes: usize,
}

/// A field: a text, one of the phone's identifiers, or the message that the run received.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// A text of no interest.
    pub text: Option<String>,
    /// The kind of an identifier of the phone.
    pub identifier: Option<String>,
    /// Whether it is the text of the message that an action of the run received.
    #[serde(default)]
    pub message: bool,
}

/// A time span: digits and `ms`, `s`, `m` or `h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Microseconds.
    pub micros: u64,
}

impl FromStr for Span {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = match unit {
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            _ => 0,
        };
        match number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)) {
            Some(micros) if unit > 0 => Ok(Self { micros }),
            _ => Err(ModelError::Span { text: text.to_owned() }),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// An Ethernet address, written as six hex bytes with colons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl FromStr for Mac {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let bytes: Option<Vec<u8>> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| ModelError::Mac { text: text.to_owned() })
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Model {
    /// Reads a `lab.yaml` and checks that every name in it is declared.
    ///
    /// # Errors
    /// What is wrong and where.
    pub fn parse(yaml: &str) -> Result<Self, ModelError> {
        let model: Self =
            serde_saphyr::from_str(yaml).map_err(|error| ModelError::Yaml(error.to_string()))?;
        if model.lab != 1 {
            return Err(ModelError::Version(model.lab));
        }
        let layout = [&model.layout.capture, &model.layout.device, &model.layout.truth];
        let optional = model.layout.record.iter().chain(&model.layout.keys);
        layout.into_iter().chain(optional).try_for_each(|path| plain(path))?;
        if model.gateway.outside.is_some() && model.link.capture == Point::Phone {
            return Err(ModelError::TwoPoints);
        }
        model.phases.iter().try_for_each(|phase| model.check(phase))?;
        Ok(model)
    }

    /// Where the first run's capture goes in the scenario's folder.
    pub fn first_capture(&self) -> Option<String> {
        Some(Layout::fill(&self.layout.capture, &self.phases.first()?.id, 1))
    }

    /// Takes the order of actions from `plan`, where the model says so and the plan draws one.
    #[must_use]
    pub fn with_plan(mut self, plan: &Plan) -> Self {
        if let Some(seed) = plan.seed().filter(|_| self.order.is_some() && plan.randomized) {
            self.lots = Some(Lots { seed, plan: plan.clone() });
        }
        self
    }

    /// The actions of a run with their times from its start, in the order in which they are done: each takes the
    /// next of the times that the model gives. None if the plan's order is not known, or names other actions.
    pub(super) fn schedule<'m>(&self, phase: &'m Phase, run: &str) -> Option<Vec<(&'m Action, u64)>> {
        let mut written: Vec<&Action> = phase.actions.iter().collect();
        written.sort_by_key(|action| action.at.micros);
        let times = written.iter().map(|action| action.at.micros);
        if self.order.is_none() {
            return Some(written.iter().copied().zip(times).collect());
        }
        let lots = self.lots.as_ref()?;
        let order = seed::order(lots.seed, run, &lots.plan);
        let find = |id: &String| written.iter().copied().find(|action| action.id == *id);
        let drawn: Vec<&Action> = order.iter().map(find).collect::<Option<_>>()?;
        (drawn.len() == written.len()).then(|| drawn.into_iter().zip(times).collect())
    }

    /// Whether anything in it travels in TLS.
    pub(super) fn uses_tls(&self) -> bool {
        let sends = self.phases.iter().flat_map(|phase| phase.all_sends().map(|send| send.over));
        let spikes = self.phases.iter().flat_map(|phase| &phase.spikes).flat_map(|spikes| &spikes.over);
        sends.chain(spikes.copied()).any(is_encrypted)
    }
}

impl Phase {
    /// What the phone and other machines send.
    pub(super) fn all_sends(&self) -> impl Iterator<Item = &Send> {
        self.sends.iter().chain(self.others.iter().flat_map(|other| &other.sends))
    }

    /// Paths of all photos on the phone at the run's end, with the lengths that each may have.
    pub(super) fn photos(&self) -> impl Iterator<Item = (&str, &[usize])> {
        let made = self
            .actions
            .iter()
            .filter_map(|action| action.makes.as_deref().map(|path| (path, action.sizes.as_slice())));
        self.library.iter().map(|path| (path.as_str(), [].as_slice())).chain(made)
    }

    /// Paths of lists of messages on the phone.
    pub(super) fn messages(&self) -> impl Iterator<Item = &str> {
        self.actions.iter().filter_map(|action| action.receives.as_deref())
    }
}

impl Request {
    /// The file that it carries.
    pub(super) fn file(&self) -> Option<&str> {
        match self {
            Self::Body { file, .. } | Self::Multipart { file, .. } => Some(file),
            Self::Get { .. } | Self::Form { .. } | Self::Opaque { .. } | Self::Ntp {} | Self::Push { .. } => {
                None
            }
        }
    }

    /// All its fields, those of the query first.
    pub(super) fn fields(&self) -> impl Iterator<Item = &Field> {
        let (query, fields): (&[Field], &[Field]) = match self {
            Self::Get { query, .. } | Self::Body { query, .. } => (query, &[]),
            Self::Form { query, fields, .. } => (query, fields),
            Self::Multipart { fields, .. } => (&[], fields),
            Self::Opaque { .. } | Self::Ntp {} | Self::Push { .. } => (&[], &[]),
        };
        query.iter().chain(fields)
    }

    /// The wrapper's name, for the truth.
    pub(super) fn wrapper(&self) -> &'static str {
        match self {
            Self::Get { .. } => "get",
            Self::Form { .. } => "form",
            Self::Body { .. } => "body",
            Self::Multipart { .. } => "multipart",
            Self::Opaque { .. } => "opaque",
            Self::Ntp {} => "ntp",
            Self::Push { .. } => "push",
        }
    }
}
