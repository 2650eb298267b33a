//! What is written down of a run: the record's lines, and the truth about what was sent.

use serde::Serialize;

use super::model::{Action, Model, Phase};
use crate::{
    case::scenario::record::Spike,
    evidence::{ByteRange, Digest, Timestamp},
};

/// One request as it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// `PHASE/NN`.
    pub run: String,
    /// The capture's path in the scenario folder.
    pub capture: String,
    /// The action in or after which it happened.
    pub during: String,
    /// When its first byte was given to the phone's stack.
    pub begun: Timestamp,
    /// When its answer was whole.
    pub answered: Timestamp,
    /// The server's name.
    pub host: String,
    /// The server's address.
    pub address: String,
    /// The server's port.
    pub port: u16,
    /// The phone's port.
    pub local_port: u16,
    /// The address of the machine that sent it, where that was not the phone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<std::net::Ipv4Addr>,
    /// What it travels in: a carrier's name, `udp`, `tcp`.
    pub over: &'static str,
    /// `get`, `form`, `body`, `multipart`, `opaque`, `ntp` or `push`.
    pub wrapper: &'static str,
    /// Whether anyone on the way can read it.
    pub cleartext: bool,
    /// Where the request lies among the bytes that the phone sent over this connection, inside of TLS.
    pub stream_range: ByteRange,
    /// How far the phone's clock was ahead when it asked for the time, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_ahead_ms: Option<i64>,
    /// What it carries.
    pub carries: Vec<Carried>,
}

/// A thing that a request carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Carried {
    /// A device file's path in the scenario folder, or an identifier's kind.
    pub what: String,
    /// Where its bytes, as encoded, lie among those that the phone sent over this connection.
    pub stream_range: ByteRange,
    /// The digest of these bytes, as encoded.
    pub sha256: Digest,
}

#[derive(Serialize)]
struct Line<'a> {
    prev: Digest,
    run: &'a str,
    captures: [&'a str; 1],
    keys: &'a [String],
    files: &'a str,
    actions: Vec<Done<'a>>,
    device_state: &'a std::collections::BTreeMap<String, String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    twin: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    rom: Option<Digest>,
    #[serde(skip_serializing_if = "<[Spike]>::is_empty")]
    spikes: &'a [Spike],
    clock_probes: [Probe; 1],
}

/// How the phone's clock stands when the run begins. Actions are written down by the capture's clock.
#[derive(Serialize)]
struct Probe {
    at: Timestamp,
    offset_ms: i64,
    uncertainty_ms: u64,
}

#[derive(Serialize)]
struct Done<'a> {
    id: &'a str,
    start: Timestamp,
    end: Timestamp,
    by: &'a str,
}

/// A run as the record names it.
pub(super) struct Run<'a> {
    pub(super) id: String,
    pub(super) phase: &'a Phase,
    /// What is done in it and when, from its start, in that order.
    pub(super) schedule: Vec<(&'a Action, u64)>,
    pub(super) start: Timestamp,
    pub(super) capture: String,
    pub(super) device: String,
    pub(super) keys: Vec<String>,
    pub(super) twin: bool,
    pub(super) spikes: Vec<Spike>,
}

/// The record: one line a run, each with the digest of the line before it (without its line feed).
pub(super) fn lines(runs: &[Run<'_>], clock_ahead_ms: i64) -> Vec<u8> {
    let mut record = Vec::new();
    let mut prev = Digest([0; 32]);
    for run in runs {
        let done = run.schedule.iter().map(|(action, at)| {
            let start = later(run.start, *at);
            Done { id: &action.id, start, end: later(start, action.lasts.micros), by: "simulated" }
        });
        let line = Line {
            prev,
            run: &run.id,
            captures: [&run.capture],
            keys: &run.keys,
            files: &run.device,
            actions: done.collect(),
            device_state: &run.phase.state,
            twin: run.twin,
            rom: run.phase.rom,
            spikes: &run.spikes,
            clock_probes: [Probe { at: run.start, offset_ms: clock_ahead_ms, uncertainty_ms: 0 }],
        };
        let line = json(&line);
        prev = Digest::of(line.as_bytes());
        record.extend(line.into_bytes());
        record.push(b'\n');
    }
    record
}

/// The truth: the seed, and what was sent, a line each.
pub(super) fn truth(model: &Model, seed: u64, sent: &[Sent]) -> Vec<u8> {
    let requests: Vec<String> = sent.iter().map(json).collect();
    format!(
        "{{\"simulated\":true,\"seed\":{seed},\"start\":{},\"sent\":[\n{}\n]}}\n",
        json(&model.start),
        requests.join(",\n")
    )
    .into_bytes()
}

/// A time `micros` after another.
pub(super) fn later(time: Timestamp, micros: u64) -> Timestamp {
    Timestamp(time.0.saturating_add(micros.saturating_mul(1000)))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings, numbers and lists of them always have a JSON form")
}
