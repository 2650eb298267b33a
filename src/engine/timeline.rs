//! Runs and windows: which run a moment of a capture belongs to, and which action it follows.
//!
//! Traffic is attributed to actions, never finer than that. Without an action log nothing is said
//! about timing.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    case::{
        Case,
        scenario::plan::{ActionDone, Plan, Run},
    },
    evidence::Timestamp,
    findings::{ActionSummary, RunSummary, Unreported, Window},
};

/// Ids of missing runs that are listed of one phase.
const MAX_LISTED: usize = 100;

/// The record, laid out by capture.
pub struct Timeline<'c> {
    runs: &'c [Run],
    by_capture: BTreeMap<&'c str, Vec<&'c Run>>,
}

impl<'c> Timeline<'c> {
    /// Lays out the record of a case.
    pub fn new(case: &'c Case) -> Self {
        let mut by_capture: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
        for run in &case.runs {
            for capture in &run.captures {
                by_capture.entry(capture).or_default().push(run);
            }
        }
        Self { runs: &case.runs, by_capture }
    }

    /// The runs that a capture belongs to.
    pub fn runs_of(&self, capture: &str) -> &[&'c Run] {
        self.by_capture.get(capture).map_or(&[], Vec::as_slice)
    }

    /// The run that a moment of a capture belongs to: the capture's only run, or the one whose
    /// recorded actions enclose the moment.
    pub fn run_at(&self, capture: &str, time: Timestamp) -> Option<&'c Run> {
        match self.runs_of(capture) {
            [only] => Some(only),
            several => several.iter().copied().find(|run| {
                let start = run.actions.first().map(|action| action.start);
                let end = run.actions.iter().map(|action| action.window_end).max();
                start.zip(end).is_some_and(|(start, end)| start <= time && time < end)
            }),
        }
    }

    /// Runs with their windows, in the order of the record.
    pub fn summaries(&self) -> Vec<RunSummary> {
        self.runs.iter().map(summary).collect()
    }
}

/// Planned runs that are not on record, by phase in the order of the plan; none where nobody kept a record.
pub fn unreported(plan: &Plan, runs: &[Run]) -> Vec<Unreported> {
    if !runs.iter().any(|run| run.recorded) {
        return Vec::new();
    }
    // A run without instruments is beside the planned ones, whatever its number.
    let planned = runs.iter().filter(|run| !run.twin);
    let known: BTreeSet<&str> = planned.map(|run| run.id.as_str()).collect();
    let phases = plan.phases.iter().map(|phase| {
        let ids = || (1..=phase.repeat).map(|no| format!("{}/{no:02}", phase.id));
        let missing = || ids().filter(|id| !known.contains(id.as_str()));
        Unreported {
            phase: phase.id.clone(),
            planned: phase.repeat,
            missing: u32::try_from(missing().count()).unwrap_or(u32::MAX),
            runs: missing().take(MAX_LISTED).collect(),
        }
    });
    phases.filter(|phase| phase.missing > 0).collect()
}

/// The last action that began at or before a moment, with the milliseconds since.
pub fn action_before(run: &Run, time: Timestamp) -> Option<(&ActionDone, i64)> {
    let action = run.actions.iter().rev().find(|action| action.start <= time)?;
    Some((action, time.millis_since(action.start)))
}

/// The window that a moment lies in.
pub fn window_at(run: &Run, time: Timestamp) -> Option<&ActionDone> {
    run.actions.iter().rev().find(|action| action.start <= time && time < action.window_end)
}

/// A window's name.
pub fn window_id(run: &Run, action: &ActionDone) -> String {
    format!("{}/{}", run.id, action.id)
}

fn summary(run: &Run) -> RunSummary {
    RunSummary {
        id: run.id.clone(),
        phase: run.phase.clone(),
        recorded: run.recorded,
        actions: run
            .actions
            .iter()
            .map(|action| ActionSummary {
                id: action.id.clone(),
                verb: action.verb.clone(),
                start: action.start,
                end: action.end,
                by: action.by.clone(),
                makes: action.makes.clone(),
            })
            .collect(),
        windows: run
            .actions
            .iter()
            .map(|action| Window {
                id: window_id(run, action),
                start: action.start,
                end: action.window_end,
                idle: action.is_idle(),
            })
            .collect(),
        device_state: run.device_state.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::scenario::plan::Phase;

    fn runs(ids: &[&str], recorded: bool) -> Vec<Run> {
        let run = |id: &&str| Run {
            id: (*id).to_owned(),
            phase: id.split('/').next().unwrap_or_default().to_owned(),
            recorded,
            ..Run::default()
        };
        ids.iter().map(run).collect()
    }

    #[test]
    fn planned_runs_that_nobody_recorded_are_named() {
        let phase = |id: &str, repeat| Phase { id: id.to_owned(), repeat, ..Phase::default() };
        let plan = Plan {
            phases: vec![phase("stock", 4), phase("cloud-on", 1), phase("more", 300)],
            ..Plan::default()
        };
        let kept = ["stock/01", "stock/03", "cloud-on/01"];
        let missing = unreported(&plan, &runs(&kept, true));
        let told: Vec<_> = missing.iter().map(|one| (one.phase.as_str(), one.planned, one.missing)).collect();
        assert_eq!(told, [("stock", 4, 2), ("more", 300, 300)]);
        assert_eq!(missing[0].runs, ["stock/02", "stock/04"]);
        assert_eq!(missing[1].runs.len(), MAX_LISTED);
        assert_eq!(missing[1].runs[MAX_LISTED - 1], "more/100");
        let mut with_twin = runs(&kept, true);
        with_twin.push(Run { twin: true, ..runs(&["stock/04"], true).remove(0) });
        assert_eq!(unreported(&plan, &with_twin)[0].missing, 2, "a twin stands for no planned run");
        assert_eq!(unreported(&plan, &runs(&kept, false)), [], "nobody kept a record that could lack any");
    }
}
