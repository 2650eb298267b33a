//! The smallest set of frames that carries a finding or a connection, found by analyzing excerpts again.
//!
//! A case and what carries one of its verdicts enter, a [`Witness`] leaves: frames whose excerpt gives the same, and none of
//! which can be left out (delta debugging: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input",
//! 2002). Session keys of the case count as given; the excerpt is judged with all files of the phone.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};

use super::{
    analyze::{AnalysisError, analyze},
    net::{self, Index},
};
use crate::{
    case::{
        Case, Input, InputRole,
        capture::{Capture, CaptureError, Excerpt, ExcerptError, Wanted},
        device::Device,
        scenario::plan::{Claim, Predicate},
    },
    evidence::{ByteRange, FrameNo, FrameRange, Limits, Scratch, Transport},
    findings::{Finding, Findings, FlowSummary, Status},
};

/// Frames that are tried at most, and bytes of them: each try analyzes what is left of them.
const MAX_FRAMES: usize = 20_000;
/// Bytes of an excerpt that is held in memory.
const MAX_BYTES: u64 = 64 << 20;
/// Analyses at most: a set of 200 frames, all of which are needed, takes about 600.
const MAX_TRIES: u32 = 1_000;

/// Why no witness could be looked for.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// An excerpt could not be analyzed.
    #[error(transparent)]
    Analysis(#[from] AnalysisError),
    /// An excerpt could not be made.
    #[error(transparent)]
    Excerpt(#[from] ExcerptError),
    /// An excerpt could not be read.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The finding is spread over several captures.
    #[error("take frames of one capture: the finding is spread over {captures}")]
    Spread {
        /// How many captures hold a part of it.
        captures: usize,
    },
    /// The frames are too many to be tried.
    #[error("try so many frames: at most {MAX_FRAMES} frames and {MAX_BYTES} bytes are tried")]
    TooLarge,
    /// The flow's frames alone do not give it.
    #[error("find it again in the frames of its connections alone: it takes more of the capture than those")]
    NotAlone,
}

/// What carries a verdict.
#[derive(Clone, Copy, Debug)]
pub enum Carrier<'f> {
    /// Something that was sent.
    Finding(&'f Finding),
    /// A connection that a claim asks for (`connects`).
    Connection(&'f FlowSummary, &'f Claim),
}

impl Carrier<'_> {
    /// Whether the analysis of an excerpt gives it again.
    fn is_in(&self, excerpt: &Findings) -> bool {
        match self {
            Self::Finding(finding) => excerpt.findings.iter().any(|found| same(found, finding)),
            Self::Connection(flow, _) => excerpt
                .claims
                .iter()
                .any(|claim| claim.status == Status::Supported && claim.endpoints.contains(&flow.remote)),
        }
    }
}

/// Frames that carry a finding or a connection by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// The capture's logical path.
    pub capture: String,
    /// The frames, sorted.
    pub frames: Vec<FrameRange>,
    /// Whether it was tried that no frame of them can be left out.
    pub smallest: bool,
}

/// Looks for the smallest set of frames of a case whose excerpt alone gives `carrier` again: of a finding grade, artifact,
/// phase, ranges and weight; of a connection that it supports what the claim asks of one, in its phase.
///
/// # Errors
/// [`WitnessError`].
pub fn witness(
    case: Case,
    findings: &Findings,
    carrier: Carrier<'_>,
    scratch: &Scratch,
    limits: &Limits,
) -> Result<Witness, WitnessError> {
    let mut case = case;
    let found = match carrier {
        Carrier::Finding(finding) => whole_in(finding),
        Carrier::Connection(flow, _) => Some(flow.capture.as_str()),
    };
    let Some(capture) = found.and_then(|name| case.captures.remove(name)) else {
        let parts = if let Carrier::Finding(finding) = carrier { finding.parts.as_slice() } else { &[] };
        let captures: BTreeSet<&str> = parts.iter().map(|part| part.capture.as_str()).collect();
        return Err(WitnessError::Spread { captures: captures.len() });
    };
    let index = net::index(&capture, limits).map_err(AnalysisError::from)?;
    keep_secrets(&mut case, &index);
    let (own, all) = match carrier {
        Carrier::Finding(finding) => {
            let here = finding.parts.iter().filter(|part| part.capture == capture.name);
            let own = FrameRanges(here.flat_map(|part| part.frames.iter().copied()).collect());
            let flows: BTreeSet<&str> = finding.parts.iter().map(|part| part.flow.as_str()).collect();
            (own, payload(&index, &flows)?)
        }
        Carrier::Connection(flow, _) => {
            let opening = opening(&index, flow)?;
            // Where the connection gives no name, DNS does.
            let earlier = |dns: &&FlowSummary| {
                dns.capture == flow.capture && dns.protocol == "dns" && dns.first <= flow.first
            };
            let names = findings.flows.iter().filter(earlier).map(|dns| dns.name.as_str()).collect();
            let mut all = payload(&index, &names)?;
            all.extend((opening.first.0..=opening.last.0).map(FrameNo));
            (FrameRanges(vec![opening]), all)
        }
    };
    let mut trial =
        Trial { base: excerpt(&capture, &all, scratch)?, case, carrier, scratch, limits, tries: 0 };
    let devices = trial.prepare(findings);
    let places = |wanted: &dyn Fn(&FrameNo) -> bool| -> Vec<FrameNo> {
        let all = (1..).zip(&all).filter(|(_, no)| wanted(no));
        all.map(|(place, _)| FrameNo(place)).collect()
    };
    let mut start = places(&|no| own.hold(*no));
    if !trial.holds(&start)? {
        start = places(&|_| true);
        if !trial.holds(&start)? {
            return Err(WitnessError::NotAlone);
        }
    }
    let (least, smallest) = trial.reduce(start)?;
    trial.case.devices = devices;
    if !trial.holds(&least)? {
        return Err(WitnessError::NotAlone);
    }
    let real = least.iter().filter_map(|no| all.iter().nth(usize::try_from(no.0).ok()?.checked_sub(1)?));
    Ok(Witness { capture: capture.name, frames: FrameRange::unite(real.copied()), smallest })
}

/// The capture that holds all ranges of the finding, in the fewest frames where several do.
fn whole_in(finding: &Finding) -> Option<&str> {
    let mut captures: BTreeMap<&str, (Vec<ByteRange>, u64)> = BTreeMap::new();
    for part in &finding.parts {
        let (ranges, frames) = captures.entry(&part.capture).or_default();
        ranges.push(part.artifact_range);
        *frames += part
            .frames
            .iter()
            .map(|range| u64::from(range.last.0.saturating_sub(range.first.0)) + 1)
            .sum::<u64>();
    }
    let mut whole: Vec<(u64, &str)> = captures
        .into_iter()
        .filter(|(_, (ranges, _))| ByteRange::unite(ranges.iter().copied()) == finding.artifact_ranges)
        .map(|(name, (_, frames))| (frames, name))
        .collect();
    whole.sort_unstable();
    whole.first().map(|(_, name)| *name)
}

/// Frames as a finding names them.
struct FrameRanges(Vec<FrameRange>);

impl FrameRanges {
    fn hold(&self, no: FrameNo) -> bool {
        self.0.iter().any(|range| (range.first..=range.last).contains(&no))
    }
}

/// Makes secrets inside a capture a key log of the case, since they are no frames.
fn keep_secrets(case: &mut Case, index: &Index) {
    for (no, secrets) in index.container.secrets.iter().enumerate() {
        let blob = Arc::new(secrets.text.clone());
        case.inputs.insert(format!("{} secrets {no}", index.capture), Input { role: InputRole::Keys, blob });
    }
}

/// From a connection's first frame to the first that carries something up, and of a transport without a handshake down.
fn opening(index: &Index, flow: &FlowSummary) -> Result<FrameRange, WitnessError> {
    let Some(found) = index.flows.iter().find(|one| one.name(&index.capture) == flow.name) else {
        return Err(WitnessError::NotAlone);
    };
    let mut last = found.first_frame;
    let up = net::Side::BOTH.into_iter().find(|side| found.address(side.other()).to_string() == flow.remote);
    for side in net::Side::BOTH {
        if Some(side) == up || flow.transport == Transport::Udp {
            let stream = index.stream(found.id, side).map_err(AnalysisError::from)?;
            last = last.max(stream.pieces.iter().map(|piece| piece.frame).min().unwrap_or(last));
        }
    }
    if (last.0 - found.first_frame.0) as usize >= MAX_FRAMES {
        return Err(WitnessError::TooLarge);
    }
    Ok(FrameRange { first: found.first_frame, last })
}

/// The frames with payload of flows and of those that they need.
fn payload(index: &Index, names: &BTreeSet<&str>) -> Result<BTreeSet<FrameNo>, WitnessError> {
    let mut frames = BTreeSet::new();
    for group in index.groups().iter() {
        let flows = || group.iter().filter_map(|id| index.flow(*id));
        if !flows().any(|flow| names.contains(flow.name(&index.capture).as_str())) {
            continue;
        }
        for flow in flows() {
            for side in net::Side::BOTH {
                let stream = index.stream(flow.id, side).map_err(AnalysisError::from)?;
                frames.extend(stream.pieces.iter().map(|piece| piece.frame));
                if frames.len() > MAX_FRAMES {
                    return Err(WitnessError::TooLarge);
                }
            }
        }
    }
    Ok(frames)
}

/// An excerpt in memory.
fn excerpt(
    capture: &Capture,
    frames: &BTreeSet<FrameNo>,
    scratch: &Scratch,
) -> Result<Capture, WitnessError> {
    let mut excerpt = Excerpt::new(Vec::new(), "frames to be tried")?;
    let frames = FrameRange::unite(frames.iter().copied());
    excerpt.add(capture, &[Wanted { frames, comment: String::new() }])?;
    let bytes = excerpt.finish()?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(WitnessError::TooLarge);
    }
    Ok(Capture::open(&capture.name, Arc::new(bytes), scratch)?)
}

/// Analyses of fewer and fewer frames.
struct Trial<'t> {
    /// The frames that are tried, counted from 1.
    base: Capture,
    case: Case,
    carrier: Carrier<'t>,
    scratch: &'t Scratch,
    limits: &'t Limits,
    tries: u32,
}

impl Trial<'_> {
    /// Takes out of the case what no try needs; gives the phone's files, of which only a finding's stays.
    fn prepare(&mut self, findings: &Findings) -> BTreeMap<String, Device> {
        let case = &mut self.case;
        case.captures.clear();
        case.spiked.clear();
        case.inputs.retain(|_, input| input.role == InputRole::Keys);
        case.plan.decoys = None;
        case.plan.claims = match self.carrier {
            Carrier::Finding(_) => Vec::new(),
            Carrier::Connection(flow, claim) => asked(flow, claim, findings),
        };
        // What was seen elsewhere in the capture told which address is the phone's.
        case.plan.phone.addresses =
            findings.subject.addresses.iter().filter_map(|address| address.parse().ok()).collect();
        let Carrier::Finding(finding) = self.carrier else { return mem::take(&mut case.devices) };
        let is_it = |path: &str| path == finding.artifact;
        if !case.devices.values().flat_map(|device| &device.files).any(|file| is_it(&file.path)) {
            // A record, of which the files that hold it are not known: all stay.
            return case
                .devices
                .iter()
                .map(|(name, device)| (name.clone(), copy(device, |_| true)))
                .collect();
        }
        let fewer: Vec<(String, Device)> =
            case.devices.iter().map(|(name, device)| (name.clone(), copy(device, is_it))).collect();
        mem::replace(&mut case.devices, fewer.into_iter().collect())
    }

    /// Whether these frames give it.
    fn holds(&mut self, frames: &[FrameNo]) -> Result<bool, WitnessError> {
        self.tries += 1;
        let capture = excerpt(&self.base, &frames.iter().copied().collect(), self.scratch)?;
        self.case.captures.insert(capture.name.clone(), capture);
        let found = analyze(&self.case, self.scratch, self.limits)?.findings;
        Ok(self.carrier.is_in(&found))
    }

    /// Leaves out parts of the frames, then parts of half their size, down to single frames, as long as it
    /// stays. Says whether it came to its end.
    fn reduce(&mut self, mut frames: Vec<FrameNo>) -> Result<(Vec<FrameNo>, bool), WitnessError> {
        let mut size = frames.len().div_ceil(2);
        while frames.len() > 1 {
            let (mut at, mut fewer) = (0, false);
            while at < frames.len() {
                if self.tries >= MAX_TRIES {
                    return Ok((frames, false));
                }
                let (before, rest) = frames.split_at(at);
                let after = rest.get(size..).unwrap_or_default();
                let without = [before, after].concat();
                if !without.is_empty() && self.holds(&without)? {
                    (frames, fewer) = (without, true);
                } else {
                    at += size;
                }
            }
            // Single frames are tried until none of them can go.
            match (size, fewer) {
                (1, false) => break,
                (1, true) => {}
                _ => size = size.div_ceil(2),
            }
        }
        Ok((frames, true))
    }
}

/// What a claim asks of connections, each asked by itself in the phase of one of them.
fn asked(flow: &FlowSummary, claim: &Claim, findings: &Findings) -> Vec<Claim> {
    let tests = claim.predicate.tests();
    let wanted = tests.into_iter().filter(|test| matches!(test, Predicate::Connects { .. })).cloned();
    let run = findings.runs.iter().find(|run| Some(&run.id) == flow.run.as_ref());
    let phases: Vec<String> = run.map(|run| run.phase.clone()).into_iter().collect();
    wanted.map(|predicate| Claim { predicate, phases: phases.clone(), ..claim.clone() }).collect()
}

fn copy(device: &Device, wanted: impl Fn(&str) -> bool) -> Device {
    let files = device.files.iter().filter(|file| wanted(&file.path));
    Device { files: files.cloned().collect() }
}

fn same(one: &Finding, other: &Finding) -> bool {
    let key = |finding: &Finding| {
        let Finding { grade, artifact, phase, artifact_ranges, form, distance, probative, .. } = finding;
        (
            *grade,
            artifact.clone(),
            phase.clone(),
            artifact_ranges.clone(),
            form.clone(),
            *distance,
            *probative,
        )
    };
    key(one) == key(other)
}
