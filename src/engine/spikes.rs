//! The positive control of the whole road: known artifacts that the lab sent itself, beside the phone and in the same
//! captures. How many of them are found says how much of what the phone sent would have been.
//!
//! They are looked for in a pass of their own, in what their senders sent alone: nothing of them counts for the phone.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use super::{
    correlate::{Artifact, Catalog, Hit, Outcome},
    net::{FlowId, Index},
    statistics::binomial,
    subject::Subject,
    verdict::gates::{Recall, SMALLEST_PHOTO},
};
use crate::{
    case::{
        Case,
        device::{Device, DeviceFile},
        scenario::{plan::Run, record::Spike},
    },
    evidence::{ByteRange, Direction, Limits, ReadError},
    findings::{Control, GateState, Grade},
};

/// One-sided: the lower 95 % bound.
const ALPHA: f64 = 0.05;
/// The name of the controls in findings, before what they are about.
const CONTROL: &str = "spikes";

/// The machines that sent them.
pub(super) fn senders(case: &Case) -> BTreeSet<IpAddr> {
    spikes(case).map(|(_, spike)| spike.from).collect()
}

fn spikes(case: &Case) -> impl Iterator<Item = (&Run, &Spike)> {
    case.runs.iter().flat_map(|run| run.spikes.iter().map(move |spike| (run, spike)))
}

/// All that was sent, as if it had been on a phone.
///
/// # Errors
/// When a file can't be read.
pub(super) fn catalog(case: &Case, limits: &Limits) -> Result<Catalog, ReadError> {
    let mut files: Vec<DeviceFile> = case
        .spiked
        .iter()
        .filter_map(|(path, blob)| DeviceFile::new(path.clone(), Arc::clone(blob)).ok())
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let values =
        spikes(case).filter_map(|(_, spike)| Some((spike.id.clone(), spike.value.clone()?))).collect();
    Catalog::build(&[(CONTROL.to_owned(), Device { files })].into(), &values, &[], limits)
}

/// Which of them were found, counted by phase, class, carrier, keys and wrapper.
pub(super) fn recalls(
    case: &Case,
    indexes: &[Index],
    subject: &Subject,
    catalog: &Catalog,
    outcome: &Outcome,
) -> Vec<Recall> {
    let mut found: BTreeMap<(String, String, IpAddr), Vec<&Hit>> = BTreeMap::new();
    for hit in outcome.hits.iter().filter(|hit| hit.probative) {
        let flow = hit.leaf.flow;
        let Some(index) = indexes.get(flow.capture as usize) else { continue };
        // What the phone sends is no spike, whoever says so.
        let Some(from) = index.flow(FlowId(flow.flow)).filter(|flow| subject.uplink_side(flow).is_none())
        else {
            continue;
        };
        let sender = match hit.leaf.direction {
            Direction::Up => from.initiator.ip(),
            Direction::Down => from.responder.ip(),
        };
        for name in names(catalog, hit) {
            found.entry((name, index.capture.clone(), sender)).or_default().push(hit);
        }
    }
    let mut rows: BTreeMap<(String, &'static str, &'static str, String), (u32, u32)> = BTreeMap::new();
    for (run, spike) in spikes(case) {
        let name = spike.artifact.as_ref().unwrap_or(&spike.id);
        let len = spike.artifact.as_ref().and_then(|path| case.spiked.get(path)).map(|blob| blob.len());
        let hits = run
            .captures
            .iter()
            .filter_map(|capture| found.get(&(name.clone(), capture.clone(), spike.from)))
            .flatten();
        let keyed = if spike.keyed { "with keys" } else { "without keys" };
        let how = format!("{keyed}, {}", spike.wrapper);
        let (sent, seen) =
            rows.entry((run.phase.clone(), spike.class.name(), spike.over.name(), how)).or_default();
        *sent = sent.saturating_add(1);
        *seen = seen.saturating_add(u32::from(is_found(hits.copied(), len)));
    }
    let recall = |((phase, class, over, how), (sent, found)): ((_, _, _, _), (u32, u32))| {
        let bound = binomial::lower_bound(found, sent.min(binomial::MAX_TRIALS), ALPHA);
        Recall { phase, class, over, how, sent, found, bound }
    };
    rows.into_iter().map(recall).collect()
}

/// A value that stands there; a file whole, or as many bytes of it as carry a verdict.
fn is_found<'h>(hits: impl Iterator<Item = &'h Hit>, len: Option<u64>) -> bool {
    let hits: Vec<&Hit> = hits.collect();
    let Some(len) = len else { return !hits.is_empty() };
    let whole = hits.iter().any(|hit| hit.grade == Grade::Exact);
    let parts = hits.iter().filter(|hit| hit.grade == Grade::Partial).map(|hit| hit.artifact_range);
    whole || ByteRange::covered(parts) >= len.min(SMALLEST_PHOTO)
}

/// What a hit may be: a content may stand in several files.
fn names(catalog: &Catalog, hit: &Hit) -> Vec<String> {
    match hit.artifact {
        Artifact::Content(id) => {
            let names = catalog.content(id).into_iter().flat_map(|content| &content.names);
            names.map(|name| name.path.clone()).collect()
        }
        Artifact::Value(id) => {
            let value = catalog.value(id).map(|value| &value.name);
            value
                .map(|name| name.strip_prefix("identifier:").unwrap_or(name).to_owned())
                .into_iter()
                .collect()
        }
        // An altered copy or a hash is another thing than the artifact.
        Artifact::CopyOf(_) | Artifact::HashOf(_) | Artifact::DigestOf(_) => Vec::new(),
    }
}

/// The figures, as findings print them.
pub(super) fn controls(recalls: &[Recall], least: f64) -> Vec<Control> {
    let control = |recall: &Recall| Control {
        id: format!("{CONTROL}: {} in {}", recall.class, recall.phase),
        state: if recall.bound >= least { GateState::Held } else { GateState::Failed },
        figure: format!(
            "{} of {} found over {} {}; at least {:.1} % of all, with 95 % certainty",
            recall.found,
            recall.sent,
            recall.over,
            recall.how,
            // Rounded down, so that nothing is promised that was not shown.
            (recall.bound * 1_000.0).floor() / 10.0
        ),
    };
    recalls.iter().map(control).collect()
}
