//! What happened: `record.jsonl`, one line a run, hash-chained.
//!
//! Each line names in `prev` the SHA-256 of the line before it (without its line feed), the first one 64
//! zeros. A chain that does not hold is a fact about the case, told by [`Record::broken_at`], so that the
//! gate `integrity` can fail; a line that can't be read is an error.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{
    deeds::{below, close_windows},
    plan::{ActionDone, Phone, Plan, Run},
    problem::{did_you_mean, word},
    words::{Carrier, SpikeClass},
};
use crate::evidence::{Digest, Timestamp};

/// A run's line names files and actions; a megabyte holds thousands.
const MAX_LINE: usize = 1 << 20;
/// Bytes of a spike's value: what is shorter is found by chance, what is longer is a file.
const MIN_SPIKE: usize = 8;
const MAX_SPIKE: usize = 4_096;
/// Runs that one record may hold.
const MAX_RUNS: usize = 100_000;

macro_rules! lines {
    ($($(#[$meta:meta])* pub struct $name:ident { $($body:tt)* })+) => {
        $($(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($body)* })+
    };
}

lines! {
    /// One line of `record.jsonl`: one run as it happened.
    pub struct Entry {
        /// `PHASE/NN`.
        pub run: String,
        /// Captures, as paths relative to the record.
        pub captures: Vec<String>,
        /// NSS key logs (SSLKEYLOGFILE).
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub keys: Vec<String>,
        /// The folder of the phone's files.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub files: Option<String>,
        /// What was done, in order of time. Absent: nobody recorded it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub actions: Option<Vec<EntryAction>>,
        /// Settings read off the phone, by name.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "unique_keys")]
        pub device_state: BTreeMap<String, String>,
        /// Whether it went without instruments (`controls.twin`): only compared with the other runs of its phase.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        pub twin: bool,
        /// SHA-256 of the image that ran, as read off the phone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub rom: Option<Digest>,
        /// What the lab sent itself beside the phone, in the same captures (`controls.spikes`).
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub spikes: Vec<Spike>,
        /// Comparisons of the phone's clock with the capturing machine's.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub clock_probes: Vec<ClockProbe>,
        /// Who had the recordings, in order of time.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub custody: Vec<Handover>,
        /// SHA-256 of the line before, without its line feed; 64 zeros on the first line.
        pub prev: Digest,
    }

    /// One action as it was done.
    pub struct EntryAction {
        /// The planned action's id, or its sham's.
        pub id: String,
        /// When it began.
        pub start: Timestamp,
        /// When it ended.
        pub end: Timestamp,
        /// Who did it: `operator`, `automatic`, `simulated`.
        pub by: String,
        /// What it made, where that differs from the plan: paths below `files`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub makes: Option<Vec<String>>,
    }

    /// One comparison of two clocks.
    pub struct ClockProbe {
        /// When, by the capturing machine.
        pub at: Timestamp,
        /// Milliseconds that the phone is ahead.
        pub offset_ms: i64,
        /// Half the round trip or more.
        pub uncertainty_ms: u64,
    }

    /// One known artifact that the lab sent itself.
    pub struct Spike {
        /// Its name, once in the record.
        pub id: String,
        /// What it stands for: `photo`, `message` or `identifier`.
        pub class: SpikeClass,
        /// The file that was sent, as a path relative to the record.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub artifact: Option<String>,
        /// The text that was sent, where it is no file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub value: Option<String>,
        /// What it travelled in: `http1`, `http2`, `http3`, `tls12`, `tls13`, `websocket`.
        pub over: Carrier,
        /// Whether a key log of the run opens what it travelled in.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        pub keyed: bool,
        /// What it was wrapped in: `body`, `multipart`, `form`, `json`, …
        pub wrapper: String,
        /// The address that sent it, which is not the phone's.
        pub from: std::net::IpAddr,
        /// When it was sent.
        pub at: Timestamp,
    }

    /// One hand-over of the recordings.
    pub struct Handover {
        /// When.
        pub at: Timestamp,
        /// Who had them from then on.
        pub by: String,
        /// A note for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub note: Option<String>,
    }
}

/// A JSON object whose keys differ: the last of two equal ones would win silently.
fn unique_keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct Visitor;
    impl<'de> de::Visitor<'de> for Visitor {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("names and values")
        }

        fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut values = BTreeMap::new();
            while let Some((key, value)) = map.next_entry::<String, String>()? {
                if values.contains_key(&key) {
                    return Err(de::Error::custom(format_args!("{} stands twice", word(&key))));
                }
                values.insert(key, value);
            }
            Ok(values)
        }
    }
    deserializer.deserialize_map(Visitor)
}

/// Why a record can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read line {line} of {name}: {what}{}", help.as_deref().map(|help| format!(" ({help})")).unwrap_or_default())]
pub struct RecordError {
    /// The record's logical path.
    pub name: String,
    /// The line, from 1.
    pub line: u64,
    /// What is wrong.
    pub what: String,
    /// The way out, where one is known.
    pub help: Option<String>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Runs in the order of the record.
    pub runs: Vec<Run>,
    /// Lines.
    pub lines: u64,
    /// SHA-256 of the last line; absent when there is none.
    pub head: Option<Digest>,
    /// The first line whose `prev` is not the digest of the line before.
    pub broken_at: Option<u64>,
}

/// Reads a record and fits it to the plan.
///
/// # Errors
/// A line that is no entry, an unknown phase or action, a run that stands twice, times out of order.
pub fn parse(name: &str, bytes: &[u8], plan: &Plan) -> Result<Record, RecordError> {
    let mut record = Record { runs: Vec::new(), lines: 0, head: None, broken_at: None };
    let mut prev = Digest([0; 32]);
    for line in bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|&byte| byte == b'\n') {
        if bytes.is_empty() {
            break;
        }
        record.lines += 1;
        let fail = |what: String, help: Option<String>| RecordError {
            name: name.to_owned(),
            line: record.lines,
            what,
            help,
        };
        if line.len() > MAX_LINE || record.runs.len() >= MAX_RUNS {
            return Err(fail("it is too long".to_owned(), None));
        }
        let entry: Entry = serde_json::from_slice(line).map_err(|error| {
            let text = crate::evidence::printable(error.to_string().as_bytes(), 300);
            fail(text, Some("one JSON object a line".to_owned()))
        })?;
        if entry.prev != prev && record.broken_at.is_none() {
            record.broken_at = Some(record.lines);
        }
        prev = Digest::of(line);
        record.head = Some(prev);
        if record.runs.iter().any(|run| run.id == entry.run) {
            return Err(fail(format!("the run {} stands twice", word(&entry.run)), None));
        }
        record.runs.push(run(entry, plan).map_err(|(what, help)| fail(what, help))?);
    }
    Ok(record)
}

fn run(entry: Entry, plan: &Plan) -> Result<Run, (String, Option<String>)> {
    let phase_id = entry.run.rsplit_once('/').map_or("", |(phase, _)| phase);
    let Some(phase) = plan.phases.iter().find(|phase| phase.id == phase_id) else {
        let known = plan.phases.iter().map(|phase| phase.id.as_str());
        let help = did_you_mean(phase_id, known).or(Some("runs are named PHASE/NN".to_owned()));
        return Err((format!("the run {} belongs to no phase of the plan", word(&entry.run)), help));
    };
    let number = entry.run.rsplit_once('/').map_or("", |(_, number)| number);
    if number.is_empty() || number.len() > 6 || !number.bytes().all(|c| c.is_ascii_digit()) {
        return Err((
            format!("the run {} has no number", word(&entry.run)),
            Some("runs are named PHASE/NN".to_owned()),
        ));
    }
    let files = entry.files.map(|files| files.trim_start_matches("./").trim_end_matches('/').to_owned());
    let mut actions = Vec::new();
    for action in entry.actions.iter().flatten() {
        actions.push(done(action, files.as_deref(), plan)?);
    }
    if let Some((_, late)) =
        actions.iter().zip(actions.iter().skip(1)).find(|(first, next)| next.start < first.start)
    {
        return Err((
            format!("the action {} begins before the one before it", word(&late.id)),
            Some("write them in order of time".to_owned()),
        ));
    }
    close_windows(&mut actions, phase.window_ms);
    check_spikes(&entry.spikes, &plan.phone)?;
    Ok(Run {
        phase: if entry.twin { twin_phase(&phase.id) } else { phase.id.clone() },
        id: entry.run,
        captures: entry.captures,
        keys: entry.keys,
        files,
        recorded: entry.actions.is_some(),
        actions,
        device_state: entry.device_state,
        twin: entry.twin,
        rom: entry.rom,
        clock_probes: entry.clock_probes,
        spikes: entry.spikes,
    })
}

/// The phase that runs without instruments stand in: no claim speaks of it.
pub fn twin_phase(phase: &str) -> String {
    format!("{phase} (twin)")
}

/// A spike says what it sent, once.
fn check_spikes(spikes: &[Spike], phone: &Phone) -> Result<(), (String, Option<String>)> {
    for spike in spikes {
        let id = word(&spike.id);
        if spike.artifact.is_some() == spike.value.is_some() {
            let help = "`artifact` names a file, `value` is the text itself".to_owned();
            return Err((format!("the spike {id} names not one of `artifact` and `value`"), Some(help)));
        }
        if spike.value.as_ref().is_some_and(|value| value.len() < MIN_SPIKE || value.len() > MAX_SPIKE) {
            return Err((format!("the value of the spike {id} is too short or too long"), None));
        }
        if phone.addresses.contains(&spike.from) {
            return Err((
                format!("the spike {id} comes from the phone's address"),
                Some("another machine sends it, so that it never counts for the phone".to_owned()),
            ));
        }
    }
    Ok(())
}

fn done(
    action: &EntryAction,
    files: Option<&str>,
    plan: &Plan,
) -> Result<ActionDone, (String, Option<String>)> {
    let planned = plan.actions.iter().find(|planned| planned.id == action.id);
    let sham = || plan.actions.iter().any(|planned| planned.sham.as_deref() == Some(action.id.as_str()));
    if planned.is_none() && !sham() {
        let known = plan.actions.iter().map(|planned| planned.id.as_str());
        return Err((
            format!("no action named {} in the plan", word(&action.id)),
            did_you_mean(&action.id, known),
        ));
    }
    if action.end < action.start {
        return Err((format!("the action {} ends before it begins", word(&action.id)), None));
    }
    let made =
        action.makes.clone().or_else(|| planned.map(|planned| planned.makes.clone())).unwrap_or_default();
    // A canary's name has no dot and no slash; everything else is a path below `files`.
    let canaries = made.iter().filter(|made| !made.contains(['/', '.'])).map(String::as_str).collect();
    Ok(ActionDone {
        id: action.id.clone(),
        verb: planned.map_or_else(|| action.id.clone(), |planned| planned.verb.clone()),
        start: action.start,
        end: action.end,
        window_end: action.end,
        by: action.by.clone(),
        makes: made.iter().map(|path| below(files, path, &canaries)).collect(),
    })
}

/// Writes entries as a record, each line chained to the one before; `prev` of what comes in is not read.
///
/// # Errors
/// Never for the types above; JSON could not hold a map with other keys.
pub fn chain(entries: impl IntoIterator<Item = Entry>) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = Vec::new();
    let mut prev = Digest([0; 32]);
    for entry in entries {
        let line = serde_json::to_vec(&Entry { prev, ..entry })?;
        prev = Digest::of(&line);
        bytes.extend_from_slice(&line);
        bytes.push(b'\n');
    }
    Ok(bytes)
}
