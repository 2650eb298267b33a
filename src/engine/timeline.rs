//! Runs and windows: which run a moment of a capture belongs to, and which action it follows.
//!
//! Traffic is attributed to actions, never finer than that. Without an action log nothing is said
//! about timing.

use std::collections::BTreeMap;

use crate::{
    case::{
        Case,
        scenario::plan::{ActionDone, Run},
    },
    evidence::Timestamp,
    findings::{ActionSummary, RunSummary, Window},
};

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
