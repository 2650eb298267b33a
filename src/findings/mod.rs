//! What came out: plain data, canonical JSON, a format version.
//!
//! The engine fills these types; reports, bundles and comparisons read them and never the engine.
//! Canonical JSON is UTF-8 with sorted keys, integers and strings only, no white space between
//! tokens, and a line feed at the end.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::evidence::Step;
use crate::evidence::{Anomaly, ByteRange, Digest, Direction, FrameNo, FrameRange, Timestamp, Transport};

/// The format of `findings.json`. Keys may be added within a version, never renamed.
pub const FORMAT: &str = "exhibit-findings/1";

/// Findings hold the first flows up to this many, and those that a finding names; all of them stand in `flows.jsonl`.
pub const MAX_FLOWS: usize = 1_000;

/// Findings hold the remote ends with the most uplink bytes up to this many, and those of flows that a finding names.
pub const MAX_ENDS: usize = 1_000;

/// Before the action's id in the artifact of a statistical finding, which is known by the action that made it alone.
pub const MADE_BY: &str = "photos made by ";

macro_rules! record {
    ($($(#[$meta:meta])* pub struct $name:ident { $($body:tt)* })+) => {
        $($(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($body)* })+
    };
}

pub mod codes;
mod flows;
pub mod inspection;
mod statistics;

pub use flows::{FlowLines, FlowWriter};
pub use statistics::{Method, StatisticalTest, TestOutcome};

record! {
    /// A party that is to be asked for a reply.
    pub struct ReplyAsked {
        /// The party.
        pub party: String,
        /// Days that it is given.
        pub days: u32,
    }

    /// Everything that came out of one case.
    pub struct Findings {
        /// [`FORMAT`].
        pub format: String,
        /// The case's id.
        pub case: String,
        /// One line for people.
        pub title: String,
        /// Whether the captures were made by the lab.
        pub simulated: bool,
        /// Who is to be asked for a reply before publication, as the plan says.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub reply: Option<ReplyAsked>,
        /// The phone.
        pub subject: Subject,
        /// What the analysis was asked to do.
        pub settings: Settings,
        /// Captures, by logical path.
        pub captures: Vec<CaptureSummary>,
        /// Runs, in the order of the record.
        pub runs: Vec<RunSummary>,
        /// Planned runs that are not on record, by phase: whoever leaves out what does not fit shows here.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub unreported: Vec<Unreported>,
        /// The place of each uplink byte.
        pub ledger: Ledger,
        /// Remote ends, most uplink bytes first: at most [`MAX_ENDS`], and those of flows that a finding names.
        pub endpoints: Vec<EndpointSummary>,
        /// Remote ends in all; absent where all are listed.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub endpoint_count: Option<u64>,
        /// The first [`MAX_FLOWS`] flows and those that a finding names, by capture and first frame.
        pub flows: Vec<FlowSummary>,
        /// Flows in all.
        pub flow_count: u64,
        /// What the device held, by phase and path.
        pub artifacts: Vec<ArtifactSummary>,
        /// What was found, by first capture, frame and id.
        pub findings: Vec<Finding>,
        /// Hashes of device files that the phone sent, and what was answered, by capture and time: the first thousand.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub probes: Vec<FileProbe>,
        /// Tests of what nobody can read, by phase, action, destination and method.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub statistics: Vec<StatisticalTest>,
        /// Messages all of whose bytes a declared schema accounts for, by term and phase.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub declared: Vec<DeclaredSummary>,
        /// Verdicts, in the order of the plan.
        pub claims: Vec<Verdict>,
        /// Gates, by phase and name.
        pub gates: Vec<Gate>,
        /// Controls, by name.
        pub controls: Vec<Control>,
        /// The record's chain.
        pub custody: Custody,
        /// Odd traffic, sorted.
        pub anomalies: Vec<Anomaly>,
        /// Anomalies in all (the list is limited).
        pub anomaly_count: u64,
    }

    /// The hash of a device file, by which a server may know the file without being sent it.
    pub struct FileProbe {
        /// The file.
        pub artifact: String,
        /// The phase in which it was sent; empty where no run holds it.
        pub phase: String,
        /// The run.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub run: Option<String>,
        /// The capture's logical path.
        pub capture: String,
        /// The flow's name.
        pub flow: String,
        /// When its first byte was sent.
        pub first: Timestamp,
        /// What the server answered.
        pub answer: Answer,
    }

    /// Messages that a declared schema accounts for.
    pub struct DeclaredSummary {
        /// The term whose schema it is.
        pub term: String,
        /// The phase.
        pub phase: String,
        /// How many messages the phone sent.
        pub messages: u64,
        /// Their bytes.
        pub bytes: u64,
    }

    /// The phone.
    pub struct Subject {
        /// Its model, as declared.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub model: Option<String>,
        /// Addresses taken for the phone's.
        pub addresses: Vec<String>,
        /// `declared`, `dhcp`, `busiest private address`, `initiator (assumed)`.
        pub bound_by: String,
        /// Kinds of the declared identifiers; never their values.
        pub identifiers: Vec<String>,
        /// Where the capture was taken.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub captured_at: Option<String>,
        /// Links that point can't see.
        pub blind_to: Vec<String>,
    }

    /// What the analysis was asked to do.
    pub struct Settings {
        /// Every copied run of at least this many bytes is found.
        pub min_run: u32,
        /// Layers that are taken off at most.
        pub max_depth: u32,
        /// Bytes that decoding may produce in all.
        pub max_decoded: u64,
        /// The address table's name.
        pub address_table: String,
        /// Its date, `YYYY-MM-DD`, where known.
        pub address_table_date: String,
    }

    /// One capture.
    pub struct CaptureSummary {
        /// Logical path.
        pub name: String,
        /// Of the file as it stands, compressed or not.
        pub sha256: Digest,
        /// Its size.
        pub bytes: u64,
        /// Packets read.
        pub packets: u64,
        /// The first packet's time.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub first: Option<Timestamp>,
        /// The last packet's time.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub last: Option<Timestamp>,
        /// Packets that the capturing machine says it dropped; absent where it doesn't say.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub dropped: Option<u64>,
        /// Runs it belongs to.
        pub runs: Vec<String>,
    }

    /// One run.
    pub struct RunSummary {
        /// `PHASE/NN`.
        pub id: String,
        /// Its phase.
        pub phase: String,
        /// Whether what was done was recorded.
        pub recorded: bool,
        /// What was done.
        pub actions: Vec<ActionSummary>,
        /// The windows that follow actions.
        pub windows: Vec<Window>,
        /// Settings read off the phone.
        pub device_state: BTreeMap<String, String>,
    }

    /// Runs of a phase that were planned and are not on record.
    pub struct Unreported {
        /// The phase.
        pub phase: String,
        /// How many runs the plan gives it.
        pub planned: u32,
        /// How many of them are missing.
        pub missing: u32,
        /// The ids of the first of these.
        pub runs: Vec<String>,
    }

    /// One action as it happened.
    pub struct ActionSummary {
        /// The planned action's id.
        pub id: String,
        /// The verb.
        #[serde(rename = "do")]
        pub verb: String,
        /// When it began.
        pub start: Timestamp,
        /// When it ended.
        pub end: Timestamp,
        /// Who did it.
        pub by: String,
        /// What it made.
        pub makes: Vec<String>,
    }

    /// The time after an action.
    pub struct Window {
        /// `PHASE/NN/ACTION`.
        pub id: String,
        /// The action's start.
        pub start: Timestamp,
        /// Its end.
        pub end: Timestamp,
        /// Whether nobody touches the phone in it.
        pub idle: bool,
    }

    /// Bytes by place; the five add up to `total`.
    #[derive(Copy, Default, Eq)]
    pub struct Places {
        /// Behind a probative finding.
        pub matched: u64,
        /// A named format, and each value accounted for.
        pub understood: u64,
        /// Decoded, but holding values nobody accounts for.
        pub undetermined: u64,
        /// Encrypted without keys, or an unknown format.
        pub opaque: u64,
        /// Gaps, snap length, drops.
        pub lost: u64,
        /// Uplink payload: unique TCP sequence bytes and UDP payload.
        pub total: u64,
        /// Of the undetermined and opaque ones those that stand in records or packets that are encrypted: nothing was sent
        /// in clear there.
        #[serde(default, skip_serializing_if = "is_zero")]
        pub sealed: u64,
    }

    /// The place of each uplink byte, in all and by part.
    pub struct Ledger {
        /// In all.
        pub all: Places,
        /// By phase, sorted.
        pub by_phase: Vec<LedgerRow>,
        /// By remote end, most bytes first; of more than [`MAX_ENDS`] the rest in one row.
        pub by_destination: Vec<LedgerRow>,
        /// By window, in order of time; what lies in none stands in rows of its own behind them, `PHASE, outside windows`.
        pub by_window: Vec<LedgerRow>,
    }

    /// One row of the ledger.
    pub struct LedgerRow {
        /// What the row is about.
        pub of: String,
        /// Its bytes.
        pub bytes: Places,
    }

    /// One remote end.
    pub struct EndpointSummary {
        /// Its address.
        pub address: String,
        /// Its port.
        pub port: u16,
        /// TCP or UDP.
        pub transport: Transport,
        /// Names seen for it, sorted: `name (dns)`, `name (sni)`, `name (http host)`.
        pub names: Vec<String>,
        /// ISO 3166-1 alpha-2: registered to, in `table`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub registered_country: Option<String>,
        /// The special-purpose range it lies in.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub special: Option<String>,
        /// Table and date.
        pub table: String,
        /// Phases it was talked to in.
        pub phases: Vec<String>,
        /// Uplink payload bytes.
        pub uplink_bytes: u64,
        /// Downlink payload bytes.
        pub downlink_bytes: u64,
        /// Whether the end's own signature was seen in a TLS handshake that the phone began: `failed` where one is not of
        /// what stands there, else `verified` where one is, else `not checkable`, `absent`; `not checked` without any
        /// such handshake. It shows that the holder of a certificate's key took part, not whose key it is.
        pub server_signature: String,
        /// The certificates whose keys made signatures that verify: the first eight.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        pub signed_by: Vec<Signer>,
    }

    /// A certificate whose key signed. No authority was asked whether it is whose it says.
    pub struct Signer {
        /// Its first host name, else its subject.
        pub name: String,
        /// Of its DER.
        pub certificate_sha256: Digest,
    }

    /// One flow.
    pub struct FlowSummary {
        /// `CAPTURE#FIRST-FRAME COMMUNITY-ID`.
        pub name: String,
        /// The capture's logical path.
        pub capture: String,
        /// Its first frame.
        pub first_frame: FrameNo,
        /// Community ID version 1, seed 0.
        pub community_id: String,
        /// TCP or UDP.
        pub transport: Transport,
        /// The phone's end (or the initiator's).
        pub local: String,
        /// The other end.
        pub remote: String,
        /// Names that the flow itself gives for its other end: `NAME (sni)`, `NAME (http host)`.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        pub names: Vec<String>,
        /// What was recognised: `http1`, `tls`, `dns`, `unknown`.
        pub protocol: String,
        /// Frames.
        pub frames: u64,
        /// The first frame's time.
        pub first: Timestamp,
        /// The last frame's time.
        pub last: Timestamp,
        /// Uplink payload by place.
        pub uplink: Places,
        /// Downlink payload bytes.
        pub downlink_bytes: u64,
        /// Whether a TCP handshake was seen to its end.
        pub handshake: bool,
        /// Which end opened it: `phone`, `remote`, `not seen`.
        pub opened_by: String,
        /// The run it belongs to.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub run: Option<String>,
        /// Milliseconds before its first frame in which something came down unasked on another connection: it may be the answer
        /// to a push. Said within ten seconds, and where a claim asks for what a phone does by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub unasked_ms: Option<u64>,
    }

    /// One thing that was on the phone.
    pub struct ArtifactSummary {
        /// Logical device path, `identifier:KIND`, or `PATH#ROW` of a record.
        pub name: String,
        /// `photo`, `file`, `identifier`; of a record `message`, `number`, `name`, `mail`.
        pub kind: String,
        /// Phases in which it was on the phone.
        pub phases: Vec<String>,
        /// Its size; 0 for identifiers.
        pub bytes: u64,
        /// Of its content; absent for identifiers (it would be an oracle).
        #[serde(skip_serializing_if = "Option::is_none")]
        pub sha256: Option<Digest>,
        /// When an action made it; file-system times are not evidence.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub created: Option<Timestamp>,
    }

    /// One thing that was found in what was sent.
    pub struct Finding {
        /// `F-` and ten hex digits of a digest over grade, artifact, capture digests, flows and ranges.
        pub id: String,
        /// How it was found.
        pub grade: Grade,
        /// The artifact's name.
        pub artifact: String,
        /// The phase in which it was sent.
        pub phase: String,
        /// Where to: the endpoint family.
        pub destination: String,
        /// Bytes of the artifact that were seen, each counted once; of an altered copy none.
        pub matched_bytes: u64,
        /// Those of them that carry weight: not repeated, not boilerplate, not common to several artifacts.
        pub probative_bytes: u64,
        /// The artifact's size.
        pub artifact_bytes: u64,
        /// Which of its bytes.
        pub artifact_ranges: Vec<ByteRange>,
        /// The artifact's digest; absent for identifiers.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub sha256: Option<Digest>,
        /// How it was wrapped, outermost first: `http1.body > multipart`.
        pub encoding: String,
        /// In which form a value stood there (`utf-16le`, `base64`, `sha256 in hex` …); absent for plain text and for
        /// files.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub form: Option<String>,
        /// How far an altered copy is from its photo: thousandths, 0 for the same picture, below 150 for what is listed.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub distance: Option<u32>,
        /// Tests that carry it, by id: of a statistical finding.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub tests: Vec<String>,
        /// Upper bound of the expected number of chance matches, `<=1e-9`; of a statistical finding the probability of such a
        /// result by luck, adjusted.
        pub chance: String,
        /// Whether it may carry a verdict.
        pub probative: bool,
        /// What stands beside it, by code, sorted.
        pub caveats: Vec<String>,
        /// Each place where it was seen, in order of time.
        pub parts: Vec<Part>,
    }

    /// One place where (part of) an artifact was seen.
    pub struct Part {
        /// The capture's logical path.
        pub capture: String,
        /// The flow's name.
        pub flow: String,
        /// Which way it went.
        pub direction: Direction,
        /// The run.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub run: Option<String>,
        /// The action it follows.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub action: Option<String>,
        /// Milliseconds after that action's start.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub after_ms: Option<i64>,
        /// The first byte's time.
        pub first: Timestamp,
        /// The last byte's time.
        pub last: Timestamp,
        /// The frames that carry it.
        pub frames: Vec<FrameRange>,
        /// Where in the stream (payload bytes of this direction, from 0).
        pub stream_range: ByteRange,
        /// Where in the artifact.
        pub artifact_range: ByteRange,
        /// What was taken off, outermost first; each can be repeated by hand.
        pub steps: Vec<Step>,
        /// Where in what the last step gave.
        pub leaf_range: ByteRange,
        /// A display filter by frame numbers.
        pub filter: String,
        /// At most 128 of the matched bytes, hex; empty for identifiers.
        pub excerpt: String,
    }

    /// A claim's verdict.
    pub struct Verdict {
        /// The claim's id.
        pub id: String,
        /// Who says it.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub by: Option<String>,
        /// The quoted words.
        pub says: String,
        /// The proposition that was tested.
        pub reading: String,
        /// `existential`, `universal`, …
        pub kind: String,
        /// The verdict.
        pub status: Status,
        /// The grade of what carries it; a conjunction lists its parts', weakest first.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub grade: Option<String>,
        /// Where the verdict holds.
        pub scope: Scope,
        /// Codes of what stands in the way, sorted.
        pub reasons: Vec<String>,
        /// Ids of the findings that carry it.
        pub findings: Vec<String>,
        /// Names of endpoints that carry it (`connects`).
        pub endpoints: Vec<String>,
        /// The names of flows that carry it (`connects`): the first to each of these endpoints, by phase.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub connections: Vec<String>,
        /// Every number that the sentences use.
        pub figures: BTreeMap<String, String>,
        /// What the evidence permits writing.
        pub permits: String,
        /// What it does not permit writing.
        pub does_not_permit: String,
        /// Parts of the words that were not tested.
        pub not_covered: Vec<Uncovered>,
        /// Explanations other than the claim's that the evidence leaves open, by code.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub left_open: Vec<LeftOpen>,
    }

    /// An explanation that the evidence leaves open.
    pub struct LeftOpen {
        /// Its code.
        pub code: String,
        /// What would have closed it and did not; empty where nothing here could.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        pub why: String,
    }

    /// Where a verdict holds.
    pub struct Scope {
        /// Phases.
        pub phases: Vec<String>,
        /// Where the capture was taken.
        pub captured_at: String,
        /// First day, `YYYY-MM-DD` in UTC; empty without packets.
        pub from: String,
        /// Last day.
        pub to: String,
        /// Seconds of observed traffic.
        pub observed_seconds: u64,
        /// Gates that could not be checked.
        pub not_checkable: Vec<String>,
    }

    /// A part of the words that was not tested.
    pub struct Uncovered {
        /// The words.
        pub part: String,
        /// Why.
        pub reason: String,
        /// What could show it.
        pub test_by: String,
    }

    /// A condition that verdicts rest on.
    pub struct Gate {
        /// Its name.
        pub id: String,
        /// The phase.
        pub phase: String,
        /// How it stands.
        pub state: GateState,
        /// The figure behind it, or why it can't be checked.
        pub figure: String,
    }

    /// A control.
    pub struct Control {
        /// Its name.
        pub id: String,
        /// How it stands.
        pub state: GateState,
        /// The figure behind it.
        pub figure: String,
    }

    /// The record's chain.
    pub struct Custody {
        /// Lines of the record.
        pub events: u64,
        /// Digest at the end of the chain; absent without a record.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub head: Option<Digest>,
    }
}

impl Ledger {
    /// The row by phase of what a capture of several runs holds beside them.
    pub const OUTSIDE_RUNS: &str = "outside any run";

    /// The row by window of what lies in none of a phase's.
    pub fn outside(phase: &str) -> String {
        format!("{phase}, outside windows")
    }
}

impl Places {
    /// Adds another row to this one.
    pub fn add(&mut self, other: Self) {
        self.matched += other.matched;
        self.understood += other.understood;
        self.undetermined += other.undetermined;
        self.opaque += other.opaque;
        self.lost += other.lost;
        self.total += other.total;
        self.sealed += other.sealed;
    }

    /// What could have hidden the thing looked for.
    pub fn residual(self) -> u64 {
        self.undetermined + self.opaque + self.lost
    }

    /// What could have hidden something that is sent in clear.
    pub fn residual_in_clear(self) -> u64 {
        self.residual().saturating_sub(self.sealed)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How something was found. Grades name methods, not strength.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Grade {
    /// A decoded leaf is the file (SHA-256), or several that were sent in one run to one endpoint family are, one after the
    /// other: each of them is a part of it, and together they hold every byte.
    Exact,
    /// Identical runs of it.
    Partial,
    /// A record's value.
    Record,
    /// An identifier.
    Identifier,
    /// An altered copy.
    Derived,
    /// Size and time only.
    Statistical,
}

impl Grade {
    /// The grade's name as findings spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Partial => "partial",
            Self::Record => "record",
            Self::Identifier => "identifier",
            Self::Derived => "derived",
            Self::Statistical => "statistical",
        }
    }

    /// The grade in plain words.
    pub fn plain(self) -> &'static str {
        match self {
            Self::Exact => "whole file",
            Self::Partial => "part of the file",
            Self::Record | Self::Identifier => "value",
            Self::Derived => "altered copy",
            Self::Statistical => "size and time only",
        }
    }
}

/// A verdict's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The reading holds, within its scope.
    Supported,
    /// The reading does not hold, within its scope.
    Refuted,
    /// The evidence does not settle it.
    Inconclusive,
    /// Traffic can't show it.
    Untestable,
}

impl Status {
    /// The status' name as findings spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Supported => "supported",
            Self::Refuted => "refuted",
            Self::Inconclusive => "inconclusive",
            Self::Untestable => "untestable",
        }
    }
}

/// What a server answers to the hash of a file, as far as its status code and a few words tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// That it has the file: 208, 304, 409, 412, 200 to a HEAD, or words such as `"exists": true`.
    AlreadyThere,
    /// That it has not: 404, 410, or words that say so.
    NotThere,
    /// Something else.
    Other,
    /// No answer was seen.
    NotSeen,
}

/// How a gate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GateState {
    /// The condition holds.
    Held,
    /// It does not.
    Failed,
    /// Undeclared, unrecorded or not built.
    NotCheckable,
}

impl GateState {
    /// The state's name as findings spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Failed => "failed",
            Self::NotCheckable => "not_checkable",
        }
    }
}

/// What one analysis gives: findings, and what a bundle needs beside them.
#[derive(Clone, Debug, PartialEq)]
pub struct Analysis {
    /// What came out.
    pub findings: Findings,
    /// Every flow, as [`Findings::flows`] is sorted.
    pub flows: FlowLines,
    /// Digest and size of every input that was read, by logical path.
    pub inputs: BTreeMap<String, InputDigest>,
    /// Rows of the address table that were used: address to (country, special range).
    pub address_rows: BTreeMap<String, AddressRow>,
    /// Encrypted connections that a secret of a key log opened.
    pub opened_connections: u64,
}

/// What an input was when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputDigest {
    /// Its SHA-256.
    pub sha256: Digest,
    /// Its size.
    pub bytes: u64,
}

record! {
    /// One row of an address table.
    pub struct AddressRow {
        /// ISO 3166-1 alpha-2: registered to.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub country: Option<String>,
        /// The special-purpose range it lies in.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub special: Option<String>,
    }
}

/// Writes any value as canonical JSON.
///
/// # Errors
/// When the value can't be JSON (a map with keys that are no strings), which is a fault of its type.
pub fn canonical_json<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    // `Value` keeps objects in a `BTreeMap`, so going through it sorts every key.
    let mut bytes = serde_json::to_vec(&serde_json::to_value(value)?)?;
    bytes.push(b'\n');
    Ok(bytes)
}
