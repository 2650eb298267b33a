//! Captures that hold what another capture of the case holds: what was observed once would count twice.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    AnalysisError,
    net::{Flow, Index},
};
use crate::case::{Case, capture::Container, scenario::plan::Run};

/// Refuses a case with such captures.
pub(super) fn refuse(case: &Case, indexes: &[Index]) -> Result<(), AnalysisError> {
    no_copies(indexes)?;
    no_shared_flows(case, indexes)
}

/// Refuses a capture that stands there twice, as it is or packed in another way.
fn no_copies(indexes: &[Index]) -> Result<(), AnalysisError> {
    let mut known: BTreeMap<_, Vec<&Index>> = BTreeMap::new();
    for index in indexes.iter().filter(|index| index.container.packets > 0) {
        let Container { packets, first, last, .. } = &index.container;
        let alike = known.entry((*packets, *first, *last, index.flows.len())).or_default();
        let is_copy = |other: &&&Index| {
            let repacked = other.container.format.packing != index.container.format.packing;
            let flows = || other.flows.iter().zip(&index.flows);
            other.container.digest == index.container.digest
                || repacked
                    && flows().all(|(a, b)| (a.community_id(), a.frames) == (b.community_id(), b.frames))
        };
        if let Some(other) = alike.iter().find(is_copy) {
            let (first, second) = (other.capture.clone(), index.capture.clone());
            return Err(AnalysisError::SameCapture { first, second });
        }
        alike.push(index);
    }
    Ok(())
}

/// Refuses captures of different runs that hold a flow of the same ends and the same nanosecond: one was cut out of the
/// other, or both out of a third.
fn no_shared_flows(case: &Case, indexes: &[Index]) -> Result<(), AnalysisError> {
    let runs = |index: &Index| -> BTreeSet<&str> {
        let holds = |run: &&Run| run.captures.contains(&index.capture);
        case.runs.iter().filter(holds).map(|run| run.id.as_str()).collect()
    };
    let of: Vec<BTreeSet<&str>> = indexes.iter().map(runs).collect();
    if of.iter().collect::<BTreeSet<_>>().len() < 2 {
        return Ok(());
    }
    let mut flows: Vec<(&Flow, usize)> = Vec::new();
    for (number, index) in indexes.iter().enumerate() {
        flows.extend(index.flows.iter().map(|flow| (flow, number)));
    }
    let key = |flow: &Flow| (flow.first, flow.transport, flow.initiator, flow.responder);
    flows.sort_unstable_by_key(|(flow, number)| (key(flow), *number));
    for ((a, first), (b, second)) in flows.iter().zip(flows.iter().skip(1)) {
        let apart = of.get(*first).zip(of.get(*second)).is_some_and(|(a, b)| a.is_disjoint(b));
        let (Some(one), Some(other)) = (indexes.get(*first), indexes.get(*second)) else { continue };
        if apart && key(a) == key(b) {
            return Err(AnalysisError::SharedFlow {
                first: one.capture.clone(),
                second: other.capture.clone(),
                flow: a.name(&one.capture),
            });
        }
    }
    Ok(())
}
