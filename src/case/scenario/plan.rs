//! The plan after parsing: every name resolved, every default filled in. Plain data.

use std::{collections::BTreeMap, net::IpAddr};

use super::{
    grammar::Requirement,
    record::{ClockProbe, Spike},
    seed::plan_seed,
    words::{Section, TwinFigure},
};
use crate::evidence::{Digest, Timestamp};

/// What was to be done and what is claimed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Short name: `[a-z0-9][a-z0-9._-]*`, at most 64 characters.
    pub id: String,
    /// One line for people.
    pub title: String,
    /// Whether the captures were made by the lab.
    pub simulated: bool,
    /// `live` or `relab`; absent: not checkable.
    pub epoch: Option<Epoch>,
    /// Where claims were read: id to title and publisher.
    pub sources: BTreeMap<String, Source>,
    /// The phone as far as it was declared.
    pub phone: Phone,
    /// Where the capture was taken and what that point can't see.
    pub captured_at: Option<CapturePoint>,
    /// The largest offset between the clocks of phone and capture that the plan allows, in milliseconds; absent: undeclared.
    pub max_skew_ms: Option<u64>,
    /// How far from a comparison of clocks a moment of a run may lie, in milliseconds; absent: undeclared.
    pub probe_every_ms: Option<u64>,
    /// Phases in the order of the plan.
    pub phases: Vec<Phase>,
    /// Actions in the order of the plan.
    pub actions: Vec<Action>,
    /// Whether actions that have a sham are done in the order that the plan seed draws for each run.
    pub randomized: bool,
    /// Rest that actions are to have between them, in milliseconds; absent: undeclared.
    pub washout_ms: Option<u64>,
    /// SHA-256 of the sections that the plan freezes; none where it freezes nothing.
    pub frozen: Option<Digest>,
    /// Those sections.
    pub frozen_sections: Vec<Section>,
    /// What was drawn in public later.
    pub beacon: Option<Beacon>,
    /// Claims in the order of the plan.
    pub claims: Vec<Claim>,
    /// What terms declare that may be sent, by term.
    pub declared: Vec<Declared>,
    /// Windows a phase that absence needs (59 unless the plan says more; never less).
    pub windows_needed: u32,
    /// The lower 95 % bound that spike recall must reach (0.95 unless the plan asks for more; never less).
    pub spike_recall: f64,
    /// Needles that were never planted, to be looked for as a control; none unless the plan asks for them.
    pub decoys: Option<u64>,
    /// What is to be sent beside the phone, to measure what would have been found.
    pub spikes: Option<PlannedSpikes>,
    /// The run without instruments.
    pub twin: Option<PlannedTwin>,
    /// What decoding may spend, where the plan says so.
    pub budget: Budget,
    /// Who is asked to reply before publication.
    pub reply: Option<Reply>,
    /// Random bits that canaries hold, as declared, by name.
    pub entropy_bits: BTreeMap<String, u64>,
    /// Parts of the grammar that were read and that this version does not act on, by key, sorted.
    pub not_acted_on: Vec<String>,
}

impl Plan {
    /// What all lots are drawn from; none where the plan freezes nothing.
    pub fn seed(&self) -> Option<Digest> {
        let beacon = self.beacon.as_ref().map(|beacon| beacon.value.as_bytes());
        self.frozen.map(|frozen| plan_seed(frozen, beacon))
    }
}

/// A value that was drawn in public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beacon {
    /// The value.
    pub value: String,
    /// Who drew it, and when.
    pub source: String,
}

/// What decoding may spend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// Layers that are taken off at most.
    pub depth: Option<u32>,
    /// Bytes that decoding may produce from one direction of a flow.
    pub decoded_bytes: Option<u64>,
}

/// Who is asked to reply before publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The party.
    pub party: String,
    /// Days it is given.
    pub days: u32,
}

/// Known artifacts that the lab sends itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlannedSpikes {
    /// What they travel in: `http1`, `tls13`, …
    pub over: Vec<String>,
    /// How often each is sent in each.
    pub each: u64,
}

/// A run without instruments, compared with those that have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedTwin {
    /// The phase.
    pub phase: String,
    /// What is compared.
    pub compare: Vec<TwinFigure>,
}

/// When the servers were those of the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epoch {
    /// The run and the claim speak of the same servers.
    Live,
    /// A run today about a claim of another time.
    Relab,
}

/// Where a claim was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The work's title.
    pub title: String,
    /// Who published it.
    pub publisher: Option<String>,
}

/// The phone as declared.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Phone {
    /// The model's name.
    pub model: Option<String>,
    /// Its Wi-Fi address, lower case with colons.
    pub mac: Option<String>,
    /// The addresses it had.
    pub addresses: Vec<IpAddr>,
    /// Whether nobody else used them, behind a router.
    pub only_client: bool,
    /// Kind (`imei`, `own_number`, …) to value.
    pub identifiers: BTreeMap<String, String>,
    /// What programs are known to put before or after a value before they hash it.
    pub salts: Vec<String>,
    /// Logical path of the file with the digest of its image.
    pub rom: Option<String>,
}

/// The point of capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturePoint {
    /// `access-point`, `gateway`, `phone`, …
    pub point: String,
    /// Links it sees.
    pub sees: Vec<String>,
    /// Links it is blind to.
    pub blind_to: Vec<String>,
}

/// What a phase is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    /// The phone under test.
    #[default]
    Subject,
    /// Must show nothing.
    NegativeControl,
    /// Must show the consented upload.
    PositiveControl,
}

/// One phase.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Phase {
    /// Its name.
    pub id: String,
    /// What it is for.
    pub role: Role,
    /// `factory-reset`, `wipe` or a phase.
    pub from: Option<String>,
    /// Logical path of the file with the digest of the image that it runs; the phone's where it names none.
    pub rom: Option<String>,
    /// What must be so in it.
    pub require: Vec<Requirement>,
    /// Planned runs.
    pub repeat: u32,
    /// Planned window after each action, in milliseconds.
    pub window_ms: Option<u64>,
    /// Actions that must appear in each run of it, by id.
    pub actions: Vec<String>,
}

/// One planned action.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// Its name.
    pub id: String,
    /// The verb: `take-photo`, `idle`, …
    pub verb: String,
    /// Phases it belongs to; empty: all.
    pub phases: Vec<String>,
    /// What it makes, as written: device paths below `files`, or canary ids.
    pub makes: Vec<String>,
    /// Its twin without the artifact: an action's id or a built-in sham. A run may show either.
    pub sham: Option<String>,
}

/// One claim with what is tested of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// Its name.
    pub id: String,
    /// Who says it.
    pub by: Option<String>,
    /// Where: an id of `sources`.
    pub source: Option<String>,
    /// The quoted words.
    pub says: String,
    /// The proposition that is tested, in plain words.
    pub reading: String,
    /// Whether the plan gives the reading (else it was written from the predicate).
    pub reading_given: bool,
    /// Phases it is judged in; never empty unless untestable.
    pub phases: Vec<String>,
    /// Where the event is expected, for universals: a phase.
    pub witness: Option<String>,
    /// The test.
    pub predicate: Predicate,
    /// Parts of the words that traffic can't show.
    pub not_covered: Vec<NotCovered>,
}

/// A part of a claim that is not tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotCovered {
    /// The words.
    pub part: String,
    /// What could show it.
    pub test_by: String,
}

/// What is tested.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Predicate {
    /// Existential: a completed handshake and an uplink payload byte.
    Connects {
        /// Hosts or registered countries; an empty term is any address that is not local.
        to: Term,
        /// `Some(false)`: while nobody touches the phone.
        attended: Option<bool>,
    },
    /// Existential: one probative finding.
    Uploads {
        /// What.
        what: Term,
        /// Any of these destinations; none: anywhere.
        to: Vec<Term>,
    },
    /// Universal: never.
    NeverUploads {
        /// What.
        what: Term,
        /// Any of these destinations; none: anywhere.
        to: Vec<Term>,
    },
    /// Universal: nothing personal but this.
    OnlyUploads {
        /// What is allowed.
        allowed: Term,
        /// What counts as personal.
        personal: Term,
    },
    /// Universal: each upload of it is encrypted in transit.
    Encrypted {
        /// What.
        what: Term,
    },
    /// Never before the action, and seen after it.
    NeedsConsent {
        /// What.
        what: Term,
        /// The consent, an action's id.
        action: String,
    },
    /// Read from the record's device state.
    Setting {
        /// Its name.
        setting: String,
        /// The value it must have.
        is: String,
    },
    /// Kleene's conjunction.
    AllOf(Vec<Predicate>),
    /// Kleene's disjunction.
    AnyOf(Vec<Predicate>),
    /// The inner test must hold in each of the claim's phases.
    EachPhase(Box<Predicate>),
    /// Traffic can't show it.
    Untestable {
        /// Why.
        why: String,
    },
}

impl Predicate {
    /// The tests that it is put together of, in their order; itself where it is one.
    pub fn tests(&self) -> Vec<&Self> {
        match self {
            Self::AllOf(parts) | Self::AnyOf(parts) => parts.iter().flat_map(Self::tests).collect(),
            Self::EachPhase(inner) => inner.tests(),
            test => vec![test],
        }
    }

    /// `existential`, `universal`, `consent`, `setting`, `conjunction`, `disjunction` or `untestable`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Connects { .. } | Self::Uploads { .. } => "existential",
            Self::NeverUploads { .. } | Self::OnlyUploads { .. } | Self::Encrypted { .. } => "universal",
            Self::NeedsConsent { .. } => "consent",
            Self::Setting { .. } => "setting",
            Self::AllOf(_) => "conjunction",
            Self::AnyOf(_) => "disjunction",
            Self::EachPhase(inner) => inner.kind(),
            Self::Untestable { .. } => "untestable",
        }
    }
}

/// What a word of a claim means, with the terms it unites already laid out flat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Term {
    /// Its name in the plan, for sentences.
    pub name: String,
    /// Any image among the device's files.
    pub photos: bool,
    /// Any of the device's files.
    pub files: bool,
    /// Any message body.
    pub messages: bool,
    /// Any of the declared identifiers.
    pub all_identifiers: bool,
    /// Named artifacts: device paths or canary ids.
    pub artifacts: Vec<String>,
    /// Named identifier kinds.
    pub identifiers: Vec<String>,
    /// Host names; `*.` at the front stands for any labels.
    pub hosts: Vec<String>,
    /// ISO 3166-1 alpha-2 codes.
    pub registered_country: Vec<String>,
    /// A schema file's logical path.
    pub schema: Option<String>,
    /// A setting of the phone.
    pub setting: Option<String>,
}

/// What a term declares that may be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// The term's name.
    pub term: String,
    /// Texts that hold nothing of the phone, as they are sent, its hosts among them.
    pub texts: Vec<String>,
    /// A schema file's logical path.
    pub schema: Option<String>,
}

/// What happened: one run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Run {
    /// `PHASE/NN`.
    pub id: String,
    /// The phase's id.
    pub phase: String,
    /// Logical paths of its captures.
    pub captures: Vec<String>,
    /// Logical paths of its key logs.
    pub keys: Vec<String>,
    /// Logical path of the folder of device files, if any.
    pub files: Option<String>,
    /// What was done, in order of time.
    pub actions: Vec<ActionDone>,
    /// Settings read off the phone in this run (`cloud` to `off`).
    pub device_state: BTreeMap<String, String>,
    /// Whether someone recorded what was done (else nothing can be said about timing).
    pub recorded: bool,
    /// Whether it went without instruments: it stands for no run of its phase, and is only compared with them.
    pub twin: bool,
    /// SHA-256 of the image that ran, as read off the phone.
    pub rom: Option<Digest>,
    /// Comparisons of the phone's clock with the capturing machine's.
    pub clock_probes: Vec<ClockProbe>,
    /// What the lab sent beside the phone.
    pub spikes: Vec<Spike>,
}

impl Run {
    /// How far the moment from its first action to the end of its last window that is furthest from every comparison of
    /// clocks lies from one, in milliseconds; none for a run without actions.
    pub fn from_probes_ms(&self) -> Option<u64> {
        let begins = self.actions.iter().map(|action| action.start).min()?;
        let ends = self.actions.iter().map(|action| action.end.max(action.window_end)).max()?;
        let mut times: Vec<Timestamp> = self.clock_probes.iter().map(|probe| probe.at).collect();
        times.sort_unstable();
        let first = times.first().map_or(u64::MAX, |first| first.millis_since(begins).max(0).unsigned_abs());
        let last = times.last().map_or(u64::MAX, |last| ends.millis_since(*last).max(0).unsigned_abs());
        // Between two comparisons the middle is the furthest.
        let pairs = times.iter().zip(times.iter().skip(1));
        pairs.map(|(a, b)| b.millis_since(*a).unsigned_abs().div_ceil(2)).chain([first, last]).max()
    }
}

/// One action as it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionDone {
    /// The planned action's id.
    pub id: String,
    /// The verb.
    pub verb: String,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// The end of its window: the next action's start, or the planned window's end.
    pub window_end: Timestamp,
    /// `operator`, `automatic`, `simulated`.
    pub by: String,
    /// What it made: logical device paths or canary ids.
    pub makes: Vec<String>,
}

impl ActionDone {
    /// Whether nobody touches the phone in it.
    pub fn is_idle(&self) -> bool {
        matches!(self.verb.as_str(), "idle" | "wait")
    }

    /// Whether it made the file of a logical device path: named whole, or by its last components.
    pub fn made(&self, path: &str) -> bool {
        self.makes.iter().any(|made| {
            path == made || path.strip_suffix(made.as_str()).is_some_and(|before| before.ends_with('/'))
        })
    }
}
