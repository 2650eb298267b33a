//! Known uploads merged into an existing capture: what it, and whoever reads it, would have caught.
//!
//! Another machine, at an address that the capture does not use, sends photos, messages and other values over each
//! carrier, spread over the time of the capture. A case that declares them stands beside the merged capture, so that
//! its analysis says how many were found.

use std::{collections::BTreeMap, fmt::Write as _, net::Ipv4Addr};

use super::{
    container::{Existing, MergeError},
    model::{Gateway, Host, Layout, Link, Mac, Model, Phase, Phone, Span, Spikes, is_encrypted},
    play::{Made, Stage},
    record::Run,
    script::Planned,
    tls::{KeyLog, Setup},
};
use crate::{
    case::scenario::{
        record::{Entry, Spike},
        words::{Carrier, SpikeClass},
    },
    evidence::{Digest, Timestamp},
};

/// Spikes of one class over one carrier; 59 of 59 found give a lower bound of 0.95.
pub const SPIKES: u32 = 59;
/// More than that say no more, and fill the capture.
const MAX_SPIKES: u32 = 1_000;
/// What follows the capture's end at most: the last spike's answer.
const TAIL: u64 = 60_000_000;
const HOST: &str = "spikes.lab.example";
/// TEST-NET-2 (RFC 5737): nobody is there.
const HOST_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// Locally administered: nobody's.
const MACHINE: Mac = Mac([0x02, 0, 0x5e, 0x10, 0, 0x77]);
const ROUTER: Mac = Mac([0x02, 0, 0x5e, 0x10, 0, 0x78]);
const PHASE: &str = "measured";

/// What is to be merged.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What makes these spikes differ from others.
    pub seed: u64,
    /// How many of each class over each carrier.
    pub count: u32,
    /// What they travel in.
    pub over: Vec<Carrier>,
    /// Whether the session keys are kept.
    pub keyed: bool,
    /// The address that sends them; absent: one that is free.
    pub from: Option<Ipv4Addr>,
    /// The phone's address, for the case; absent: the private address that sent most.
    pub phone: Option<Ipv4Addr>,
    /// The name of the merged capture.
    pub name: String,
    /// Key logs of the capture itself, as files of the case.
    pub keys: Vec<Made>,
}

/// A merged capture and the case that declares what was merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// All files of the case's folder.
    pub files: Vec<Made>,
    /// How many spikes were merged.
    pub spikes: usize,
    /// The address that sent them.
    pub from: Ipv4Addr,
    /// The phone's.
    pub phone: Ipv4Addr,
}

/// Merges spikes into a capture; the same capture and wishes give the same bytes.
///
/// # Errors
/// What keeps frames from being merged into it.
pub fn spike(capture: &[u8], wanted: &Wanted) -> Result<Merged, MergeError> {
    let existing = Existing::read(capture)?;
    let phone = wanted.phone.or_else(|| existing.busiest()).ok_or(MergeError::NoPackets)?;
    let [machine, router, silent] = addresses(&existing, phone, wanted.from)?;
    let (first, last) = existing.span();
    let span = (last - first) / 1_000;
    let model = model(wanted, Timestamp(first), [machine, router, silent], span);
    let [phase] = model.phases.as_slice() else { return Err(MergeError::NoPackets) };
    let run = Run {
        id: format!("{PHASE}/01"),
        phase,
        schedule: Vec::new(),
        start: model.start,
        capture: wanted.name.clone(),
        device: String::new(),
        keys: Vec::new(),
        twin: false,
        spikes: Vec::new(),
    };
    let stage = Stage { model: &model, seed: wanted.seed, run: &run };
    let planned = planned(&stage, phase.spikes.as_ref(), wanted, span);
    let failed = |error: &dyn std::error::Error| MergeError::Play(error.to_string());
    let setup = wanted.over.iter().copied().any(is_encrypted);
    let setup = setup.then(|| Setup::new(&model.hosts, wanted.seed, model.start)).transpose();
    let setup = setup.map_err(|error| failed(&error))?;
    let keys = KeyLog::default();
    let tls = setup.as_ref().map(|setup| (setup, &keys));
    let link = stage.play(&[], &[], &planned, tls).map_err(|error| failed(&error))?.link;
    let (frames, _) = link.into_captured();
    let frames: Vec<(u64, Vec<u8>)> =
        frames.into_iter().map(|frame| (first + frame.micros * 1_000, frame.frame)).collect();
    let mut files = vec![Made { path: wanted.name.clone(), bytes: existing.merged(&frames) }];
    let keys = keys.text();
    let log = (wanted.keyed && !keys.is_empty()).then(|| "spikes.keys".to_owned());
    files.extend(log.iter().map(|path| Made { path: path.clone(), bytes: keys.clone().into_bytes() }));
    let mut spikes = Vec::new();
    for Planned { spike, file, .. } in planned {
        files.extend(spike.artifact.clone().zip(file).map(|(path, bytes)| Made { path, bytes }));
        spikes.push(spike);
    }
    let count = spikes.len();
    files.extend(wanted.keys.iter().cloned());
    files.push(Made { path: "record.jsonl".to_owned(), bytes: record(wanted, log, spikes) });
    files.push(Made { path: "scenario.yaml".to_owned(), bytes: scenario(wanted, phone).into_bytes() });
    Ok(Merged { files, spikes: count, from: machine, phone })
}

/// Addresses that the capture does not use: the machine's, its router's, and one where nobody speaks.
fn addresses(
    existing: &Existing<'_>,
    phone: Ipv4Addr,
    wanted: Option<Ipv4Addr>,
) -> Result<[Ipv4Addr; 3], MergeError> {
    if let Some(used) = wanted.filter(|wanted| existing.addresses.contains(wanted)) {
        return Err(MergeError::Used(used));
    }
    let [a, b, c, _] = wanted.unwrap_or(phone).octets();
    let free = (1..=254).rev().map(|last| Ipv4Addr::new(a, b, c, last));
    let mut free = free.filter(|address| !existing.addresses.contains(address) && Some(*address) != wanted);
    let none = || MergeError::NoAddress(Ipv4Addr::new(a, b, c, 0));
    let machine = match wanted {
        Some(wanted) => wanted,
        None => free.next().ok_or_else(none)?,
    };
    Ok([machine, free.next().ok_or_else(none)?, free.next().ok_or_else(none)?])
}

fn model(wanted: &Wanted, start: Timestamp, [machine, router, silent]: [Ipv4Addr; 3], span: u64) -> Model {
    let during = String::new();
    let span_of = |micros| Span { micros };
    Model {
        lab: 1,
        seed: wanted.seed,
        start,
        every: span_of(0),
        order: None,
        lots: None,
        link: Link::default(),
        phone: Phone {
            name: "silent".to_owned(),
            mac: Mac([0x02, 0, 0x5e, 0x10, 0, 0x79]),
            address: silent,
            fixed: true,
            identifiers: BTreeMap::new(),
            clock_ahead_ms: 0,
        },
        gateway: Gateway { mac: ROUTER, address: router, outside: None },
        hosts: vec![Host { name: HOST.to_owned(), address: HOST_ADDRESS }],
        layout: Layout {
            capture: wanted.name.clone(),
            device: String::new(),
            keys: wanted.keyed.then(String::new),
            record: None,
            truth: String::new(),
        },
        phases: vec![Phase {
            id: PHASE.to_owned(),
            runs: 1,
            state: BTreeMap::new(),
            rom: None,
            keys: wanted.keyed,
            twins: 0,
            spikes: Some(Spikes {
                mac: MACHINE,
                address: machine,
                during,
                after: span_of(0),
                to: HOST.to_owned(),
                over: wanted.over.clone(),
            }),
            others: Vec::new(),
            library: Vec::new(),
            actions: Vec::new(),
            sends: Vec::new(),
            tail: span_of(span + TAIL),
        }],
    }
}

/// All spikes, evenly over the time of the capture.
fn planned(stage: &Stage<'_>, spikes: Option<&Spikes>, wanted: &Wanted, span: u64) -> Vec<Planned> {
    let Some(spikes) = spikes else { return Vec::new() };
    let classes = [SpikeClass::Photo, SpikeClass::Message, SpikeClass::Identifier];
    let count = wanted.count.min(MAX_SPIKES);
    let each = (1..=count).flat_map(|no| {
        let over = wanted.over.iter().copied();
        over.flat_map(move |over| classes.map(|class| (no, over, class)))
    });
    let all: Vec<(u32, Carrier, SpikeClass)> = each.collect();
    let (step, many) = (span, all.len().max(1) as u64);
    (0..)
        .zip(all)
        .map(|(place, (no, over, class))| {
            let id = format!("{}-{}-{no:03}", class.name(), over.name());
            let at = u128::from(step) * u128::from(2 * place + 1_u64) / u128::from(2 * many);
            stage.planned(id, (class, over), spikes, u64::try_from(at).unwrap_or(step))
        })
        .collect()
}

fn record(wanted: &Wanted, log: Option<String>, spikes: Vec<Spike>) -> Vec<u8> {
    let entry = Entry {
        run: format!("{PHASE}/01"),
        captures: vec![wanted.name.clone()],
        keys: log.into_iter().chain(wanted.keys.iter().map(|made| made.path.clone())).collect(),
        files: None,
        actions: None,
        device_state: BTreeMap::new(),
        twin: false,
        rom: None,
        spikes,
        clock_probes: Vec::new(),
        custody: Vec::new(),
        prev: Digest([0; 32]),
    };
    let mut line =
        serde_json::to_vec(&entry).expect("strings, numbers and lists of them always have a JSON form");
    line.push(b'\n');
    line
}

fn scenario(wanted: &Wanted, phone: Ipv4Addr) -> String {
    let over: Vec<&str> = wanted.over.iter().map(|over| over.name()).collect();
    let mut text = String::from(
        "# Known uploads of another machine were merged into a capture. How many of them are found says what this capture\n\
         # and its analysis would have caught. The spikes are simulated; everything else is the capture's.\n",
    );
    let _ = write!(
        text,
        "exhibit: 1\nid: recall\ntitle: What this capture would have shown\nsimulated: true\n\
         phone: {{addresses: [{phone}]}}\nphases: [{{id: {PHASE}}}]\n\
         canaries:\n  photo-spike: {{kind: photo}}\n  message-spike: {{kind: sms, entropy_bits: 96}}\n  value-spike: {{kind: number, entropy_bits: 96}}\n\
         controls:\n  spikes: {{artifacts: [photo-spike, message-spike, value-spike], over: [{}], each: {}}}\n\
         claims:\n  - {{id: recall, says: known uploads are found, untestable: nothing is claimed of the phone; the gate spike_recall says how many were found}}\n",
        over.join(", "),
        wanted.count.min(MAX_SPIKES)
    );
    text
}
