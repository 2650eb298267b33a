//! The grammar: every key that a scenario may hold, as it is written.
//!
//! These types are the reference: docs/scenario-reference.md and the JSON Schema are generated from
//! them. Nothing here knows whether a name exists; `resolve` does.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::{
    values::{At, Duration, Names, Size, Text},
    words::{
        BootState, CanaryKind, CanaryNeed, Carrier, EpochKind, Instrument, Link, Order, Point,
        RequirementWord, RoleWord, Section, TwinFigure, Verb,
    },
};

/// A key that is written has a value: an empty one (`to:`) is a slip, and must not mean "left out".
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

macro_rules! section {
    ($($(#[$meta:meta])* pub struct $name:ident { $($body:tt)* })+) => {
        $($(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($body)* })+
    };
}

section! {
    /// A scenario: what is to be done with a phone, and what is claimed of it.
    pub struct Scenario {
        /// The grammar's version: 1.
        pub exhibit: At<u64>,
        /// Short name: `[a-z0-9][a-z0-9._-]*`, at most 64 characters. Default: `case`.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub id: Option<At<Text>>,
        /// One line for people. Default: the words of the first claim.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub title: Option<At<Text>>,
        /// Whether the captures were made by a simulated phone; printed everywhere. Default: false.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub simulated: Option<bool>,
        /// When the servers were those of the claim. Absent: the gate `epoch` is not checkable.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub epoch: Option<Epoch>,
        /// Sections whose digest is fixed before the first run.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub freeze: Option<Vec<Section>>,
        /// What was drawn in public after the frozen digest was time-stamped. It enters every lot, so that nobody can try
        /// plans until one has the lots that suit.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub beacon: Option<Beacon>,
        /// Where claims were read, by name.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub sources: Option<BTreeMap<At<Text>, Source>>,
        /// What the words of claims mean, by name. Built in unless redeclared: `photo`, `file`, `message`,
        /// `identifier`, `personal` (photo, message, identifier) and, as a destination, `anywhere`.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub terms: Option<BTreeMap<At<Text>, Term>>,
        /// The phone. Left out, it is guessed from DHCP or the busiest private address, and printed.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub phone: Option<Phone>,
        /// Where the capture was taken.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub captured_at: Option<CapturedAt>,
        /// Clocks of the machines that recorded.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub clocks: Option<Clocks>,
        /// Random content new to the world, planted afresh in each run, by name.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub canaries: Option<BTreeMap<At<Text>, Canary>>,
        /// Without `phases`: the capture, a path relative to the scenario.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub capture: Option<At<Text>>,
        /// Without `phases`: captures, one file a run; `*` stands for any characters but `/`.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub captures: Option<Names>,
        /// Without `phases`: NSS key logs (SSLKEYLOGFILE).
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub keys: Option<Names>,
        /// Without `phases`: the folder of the phone's files.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub files: Option<At<Text>>,
        /// Phases in their order. Default: one phase named `capture`.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub phases: Option<Vec<Phase>>,
        /// Actions of the plan, done in every run of their phases.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub actions: Option<Actions>,
        /// Controls beside the roles of phases.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub controls: Option<Controls>,
        /// What gates ask for.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub gates: Option<Gates>,
        /// What is claimed.
        pub claims: Vec<Claim>,
        /// What a public bundle must not show.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub redaction: Option<Redaction>,
        /// Who is asked to reply before publication.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub reply: Option<Reply>,
    }

    /// When the servers were those of the claim.
    pub struct Epoch {
        /// `live`: run and claim speak of the same servers. `relab`: a run today about another time.
        pub kind: EpochKind,
        /// A note for people.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub note: Option<At<Text>>,
    }

    /// A value that was drawn in public and that nobody could choose.
    pub struct Beacon {
        /// The value; its bytes as written here enter the plan seed.
        pub value: At<Text>,
        /// Who drew it, and when or in which round.
        pub source: At<Text>,
    }

    /// Where a claim was read.
    pub struct Source {
        /// The work's title.
        pub title: At<Text>,
        /// Who published it.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub publisher: Option<At<Text>>,
    }

    /// What a word of a claim means: all that it lists, united.
    pub struct Term {
        /// Canaries, or paths of the phone's files.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub artifacts: Option<Names>,
        /// Names of `phone.identifiers`, or of canaries that are numbers.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub identifiers: Option<Names>,
        /// Host names or addresses; `*.` at the front stands for any labels.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub hosts: Option<Names>,
        /// ISO 3166-1 alpha-2 codes: addresses registered there.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub registered_country: Option<Names>,
        /// A schema file (a closed JSON Schema) of what may be sent: bytes that it accounts for are understood.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub schema: Option<At<Text>>,
        /// Texts that hold nothing of the phone, each as it is sent: host names, paths, values of header fields. Hosts that
        /// a term names without `*.` are such texts too.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub texts: Option<Names>,
        /// A setting of the phone, as the record's `device_state` names it.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub setting: Option<At<Text>>,
        /// Other terms.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub terms: Option<Names>,
    }

    /// The phone.
    pub struct Phone {
        /// The model's name.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub model: Option<At<Text>>,
        /// Its Wi-Fi address.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub mac: Option<At<Text>>,
        /// The IP addresses it had in the capture.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub addresses: Option<Names>,
        /// Whether nobody else used these addresses, where a router stood between the phone and the point of capture: whoever
        /// recorded it answers for that. Default: nobody says so.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub only_client: Option<bool>,
        /// Where its software came from.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub provenance: Option<Provenance>,
        /// Values by name (`imei`, `imsi`, `own_number`, `wifi_mac`, …); numbers in quotes.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub identifiers: Option<BTreeMap<At<Text>, At<Text>>>,
        /// What programs are known to put before or after a value before they hash it.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub salts: Option<Vec<At<Text>>>,
    }

    /// Where a phone's software came from.
    pub struct Provenance {
        /// A file with the SHA-256 of the image.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub rom: Option<At<Text>>,
        /// `locked` or `unlocked`.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub boot_state: Option<BootState>,
    }

    /// Where the capture was taken, and what that point can't see.
    pub struct CapturedAt {
        /// The point.
        pub point: Point,
        /// Links it sees.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub sees: Option<Vec<Link>>,
        /// Links it is blind to.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub blind_to: Option<Vec<Link>>,
    }

    /// Clocks of the machines that recorded.
    pub struct Clocks {
        /// Of the machine that captured.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub gateway: Option<Clock>,
        /// Of the phone.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub phone: Option<Clock>,
    }

    /// One clock.
    pub struct Clock {
        /// How often it is compared: no moment of a run may lie further from a comparison on record.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub probe: Option<At<Duration>>,
        /// The largest offset from true time, in milliseconds, that the plan allows.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub max_skew_ms: Option<At<u64>>,
    }

    /// Random content that is planted on the phone.
    pub struct Canary {
        /// What it is.
        pub kind: CanaryKind,
        /// Bits of chance in it; at least 70, or `needs: field_context`.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub entropy_bits: Option<At<u64>>,
        /// Its size in bytes, chosen so that the size alone tells it apart.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub size_code: Option<At<u64>>,
        /// What a match needs beside it.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub needs: Option<CanaryNeed>,
    }

    /// One phase: a state of the phone, and runs in it.
    pub struct Phase {
        /// Its name: `[a-z0-9][a-z0-9._-]*`, at most 64 characters.
        pub id: At<Text>,
        /// What it is for. Default: `subject`.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub role: Option<RoleWord>,
        /// What it starts from: `factory-reset`, `wipe` or a phase.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub from: Option<At<Text>>,
        /// A file with the SHA-256 of the image it runs.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub rom: Option<At<Text>>,
        /// What must be so in it.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub require: Option<Vec<At<Requirement>>>,
        /// Planned runs. Default: 1.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub repeat: Option<At<u32>>,
        /// How long each action is watched. Default: until the next action, 5 minutes after the last.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub window: Option<At<Duration>>,
        /// The action that each run begins with.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub starts_with: Option<At<Text>>,
        /// Short form: the capture of its one run.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub capture: Option<At<Text>>,
        /// Short form: captures, one file a run; `*` stands for any characters but `/`.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub captures: Option<Names>,
        /// Short form: NSS key logs (SSLKEYLOGFILE).
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub keys: Option<Names>,
        /// Short form: the folder of the phone's files.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub files: Option<At<Text>>,
        /// Short form: what was done and when.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub actions: Option<Vec<Deed>>,
    }

    /// Short form: one action as it was done.
    pub struct Deed {
        /// Its name within the phase.
        pub id: At<Text>,
        /// When it began: RFC 3339 with an offset, or `+60s` after the start of the action before it.
        pub at: At<Text>,
        /// What was done.
        #[serde(rename = "do")]
        pub verb: At<Verb>,
        /// How long it took. Default: no time.
        #[serde(default, rename = "for", deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub lasts: Option<At<Duration>>,
        /// What it made: paths below `files`, or canaries.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub makes: Option<Names>,
        /// Who did it. Default: `operator`.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub by: Option<At<Text>>,
    }

    /// Actions of the plan.
    pub struct Actions {
        /// Whether actions that have a sham are shuffled. Default: `fixed`.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub order: Option<Order>,
        /// Rest between actions, longer than the longest upload delay: without it no test of volume carries a verdict.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub washout: Option<At<Duration>>,
        /// The actions, in their order.
        pub list: Vec<Action>,
    }

    /// One planned action.
    pub struct Action {
        /// Its name.
        pub id: At<Text>,
        /// What is done.
        #[serde(rename = "do")]
        pub verb: At<Verb>,
        /// Phases it belongs to. Default: every phase that is not a negative control.
        #[serde(default, rename = "in", deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub phases: Option<Names>,
        /// What it makes: canaries, or paths below `files`.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub makes: Option<Names>,
        /// Everything of it but the artifact: an action's name, or `open-camera`, `wake-screen`, `open-empty-contact`, `idle`.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub sham: Option<At<Text>>,
        /// What it is done to: a canary or an identifier.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub of: Option<At<Text>>,
        /// What is in the phone (`sim`).
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub with: Option<At<Text>>,
        /// `on` or `off`.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub screen: Option<At<Text>>,
        /// How long it lasts.
        #[serde(default, rename = "for", deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub lasts: Option<At<Duration>>,
        /// What is recorded beside it: `screenshot`, `settings`, …
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub evidence: Option<Names>,
    }

    /// Controls beside the roles of phases.
    pub struct Controls {
        /// Known artifacts that the lab sends itself, in the same capture.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub spikes: Option<Spikes>,
        /// Needles that were never planted.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub decoys: Option<At<u64>>,
        /// A run without instruments.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub twin: Option<Twin>,
    }

    /// Known artifacts that the lab sends itself.
    pub struct Spikes {
        /// Canaries and identifiers.
        pub artifacts: Names,
        /// What they travel in.
        pub over: Vec<Carrier>,
        /// How often each is sent in each carrier.
        pub each: At<u64>,
    }

    /// A run without instruments, compared with one that has them.
    pub struct Twin {
        /// The phase.
        pub phase: At<Text>,
        /// What it goes without.
        pub without: Vec<Instrument>,
        /// What is compared.
        pub compare: Vec<TwinFigure>,
    }

    /// What gates ask for.
    pub struct Gates {
        /// Windows that absence needs in a phase. Default and least: 59.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub windows: Option<At<u32>>,
        /// The lower 95 % bound that spike recall must reach. Default: 0.95.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub spike_recall: Option<At<f64>>,
        /// What decoding may spend.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub budget: Option<Budget>,
    }

    /// What decoding may spend.
    pub struct Budget {
        /// Layers that are taken off at most, 12 or fewer. Default: 12.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub depth: Option<At<u32>>,
        /// Bytes that decoding may produce from one direction of a flow. Default: 8GiB.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub decoded_bytes: Option<At<Size>>,
    }

    /// A part of a claim that traffic can't show.
    pub struct NotCovered {
        /// The words.
        pub part: At<Text>,
        /// What could show it.
        pub test_by: At<Text>,
    }

    /// Never before the action, and seen after it.
    pub struct NeedsConsent {
        /// What.
        pub uploads: At<Text>,
        /// The consent, an action's name.
        pub action: At<Text>,
    }

    /// What a public bundle must not show.
    pub struct Redaction {
        /// Names of identifiers and canaries.
        pub secret: Names,
    }

    /// Who is asked to reply before publication.
    pub struct Reply {
        /// The party.
        pub party: At<Text>,
        /// Days it is given.
        pub days: At<u32>,
    }
}

/// States the keys of a test once, for claims and for the parts of `all_of` and `any_of`.
macro_rules! tests {
    ($(#[$meta:meta])* pub struct $name:ident { $($body:tt)* }) => {
        section! {
            $(#[$meta])*
            pub struct $name {
                $($body)*
                /// Existential: talks to one of the term's hosts, or to any host with `anywhere`.
                #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
                pub connects: Option<At<Text>>,
                /// With `connects`: `false` means while nobody touches the phone. Default: either.
                #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
                pub attended: Option<At<bool>>,
                /// Existential: sends it.
                #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
                pub uploads: Option<At<Text>>,
                /// Universal: never sends it.
                #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
                pub never_uploads: Option<At<Text>>,
                /// With `uploads` or `never_uploads`: any of these destinations. Default: anywhere.
                #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
                pub to: Option<Names>,
                /// Universal: sends nothing personal but this.
                #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
                pub only_uploads: Option<At<Text>>,
                /// Universal: each upload of it is encrypted in transit.
                #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
                pub encrypted: Option<At<Text>>,
                /// Never before the consent, and seen after it.
                #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
                pub needs_consent: Option<At<NeedsConsent>>,
                /// A setting of the phone, read from the record; with `is`.
                #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
                pub setting: Option<At<Text>>,
                /// With `setting`: the value it must have.
                #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
                pub is: Option<At<Text>>,
                /// All of these tests.
                #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
                pub all_of: Option<At<Vec<At<Test>>>>,
                /// Any of these tests.
                #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
                pub any_of: Option<At<Vec<At<Test>>>>,
            }
        }
    };
}

tests! {
    /// One claim. It takes exactly one of the tests, or `untestable`.
    pub struct Claim {
        /// Its name. Default: `C1`, `C2`, … by position.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub id: Option<At<Text>>,
        /// Who says it.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub by: Option<At<Text>>,
        /// Where: a name of `sources`.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub source: Option<At<Text>>,
        /// The quoted words.
        pub says: At<Text>,
        /// The proposition that is tested, in plain words. Default: written from the test.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub reading: Option<At<Text>>,
        /// Phases it is judged in. Default: the only phase.
        #[serde(default, rename = "in", deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub phases: Option<Names>,
        /// For universal tests: the phase where the event is expected. Default: the positive control.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub witness: Option<At<Text>>,
        /// Parts of the words that traffic can't show.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub not_covered: Option<Vec<NotCovered>>,
        /// The test must hold in each phase of `in`.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub each_phase: Option<At<Test>>,
        /// Why traffic can't show it; instead of a test.
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        pub untestable: Option<At<Text>>,
    }
}

impl Claim {
    /// The keys of a test alone.
    pub(crate) fn test(&self) -> Test {
        Test {
            connects: self.connects.clone(),
            attended: self.attended.clone(),
            uploads: self.uploads.clone(),
            never_uploads: self.never_uploads.clone(),
            to: self.to.clone(),
            only_uploads: self.only_uploads.clone(),
            encrypted: self.encrypted.clone(),
            needs_consent: self.needs_consent.clone(),
            setting: self.setting.clone(),
            is: self.is.clone(),
            all_of: self.all_of.clone(),
            any_of: self.any_of.clone(),
        }
    }
}

tests! {
    /// One test inside `all_of`, `any_of` or `each_phase`.
    pub struct Test {}
}

/// One requirement of a phase: a word, or a word with packages.
#[derive(Debug, Clone, PartialEq)]
pub struct Requirement {
    /// The word.
    pub word: RequirementWord,
    /// Its packages, for `packages_absent` and `packages_present`.
    pub packages: Vec<String>,
}
