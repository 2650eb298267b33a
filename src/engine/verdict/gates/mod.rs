//! Conditions that verdicts rest on, for each phase: held, failed or not checkable.

mod state;
mod twin;

use std::collections::BTreeMap;

use super::evaluate::DISABLING;
use crate::{
    case::scenario::plan::{Epoch, Plan, Role, Run},
    evidence::Digest,
    findings::{
        CaptureSummary, Control, Finding, FlowSummary, Gate, GateState, Grade, Ledger, Places, RunSummary,
        codes::Code,
    },
};

/// The smallest carrier of a photo that absence must rule out, in bytes; smaller thumbnails are left
/// out in the sentence (scenario.md, Absence).
pub const SMALLEST_PHOTO: u64 = 4_096;

/// Gates whose failure blocks everything that uses the phase.
pub const BLOCK_ALL: &[Code] =
    &[Code::Integrity, Code::Provenance, Code::Clock, Code::Decoys, Code::Attribution, Code::PhaseRan];

/// Gates that block conclusions from absence, failed or not checkable.
pub const BLOCK_ABSENCE: &[Code] = &[
    Code::Loss,
    Code::ResidualCapacity,
    Code::Windows,
    Code::SpikeRecall,
    Code::PositiveControl,
    Code::Budget,
    Code::Epoch,
    Code::Twin,
];

/// How the phone's address was bound to the phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Declared, or leased by DHCP, and no other hardware address used it.
    Bound {
        /// How it is known.
        how: String,
    },
    /// Guessed or assumed.
    Assumed {
        /// How it was guessed.
        how: String,
    },
    /// Another hardware address used the phone's address.
    Disputed {
        /// The figure.
        figure: String,
    },
}

/// What gates are judged by.
pub struct Evidence<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Runs with their windows.
    pub runs: &'a [RunSummary],
    /// The same as the record has them.
    pub records: &'a [Run],
    /// Digests of images that the plan declares, by the file that holds them.
    pub images: &'a BTreeMap<String, Digest>,
    /// What was found.
    pub findings: &'a [Finding],
    /// Flows of the phone.
    pub flows: &'a [FlowSummary],
    /// How many spikes were found, by phase.
    pub recalls: &'a [Recall],
    /// Captures.
    pub captures: &'a [CaptureSummary],
    /// The place of each uplink byte.
    pub ledger: &'a Ledger,
    /// Whether the record's chain holds; absent without a record.
    pub chain_broken_at: Option<u64>,
    /// Limits that were reached.
    pub limits_reached: u64,
    /// How the search for decoys ended, where the plan asks for it.
    pub decoys: Option<&'a Control>,
    /// How the phone is bound to its address.
    pub binding: &'a Binding,
}

/// How much of what the lab sent itself was found, in one phase, of one class in one carrier and wrapper.
#[derive(Clone, Debug, PartialEq)]
pub struct Recall {
    /// The phase.
    pub phase: String,
    /// `photo`, `message` or `identifier`.
    pub class: &'static str,
    /// The carrier: `http1`, `tls13`, …
    pub over: &'static str,
    /// Whether a key log opens it, and the wrapper.
    pub how: String,
    /// How many were sent.
    pub sent: u32,
    /// How many of them were found.
    pub found: u32,
    /// The lower 95 % bound of the share that is found (Clopper and Pearson, one-sided).
    pub bound: f64,
}

/// Judges every gate of every phase, sorted by phase (in the order of the plan) and name.
pub fn judge(evidence: &Evidence<'_>) -> Vec<Gate> {
    evidence.plan.phases.iter().flat_map(|phase| of_phase(evidence, &phase.id)).collect()
}

fn of_phase(evidence: &Evidence<'_>, phase: &str) -> Vec<Gate> {
    let plan = evidence.plan;
    let records: Vec<&Run> = evidence.records.iter().filter(|run| run.phase == phase).collect();
    let planned = plan.phases.iter().find(|candidate| candidate.id == phase);
    let runs: Vec<&RunSummary> = evidence.runs.iter().filter(|run| run.phase == phase).collect();
    let captures: Vec<&CaptureSummary> = evidence
        .captures
        .iter()
        .filter(|capture| capture.runs.iter().any(|id| runs.iter().any(|run| run.id == *id)))
        .collect();
    let undeclared =
        || (GateState::NotCheckable, "not recorded by the case, or not checked by this version".to_owned());
    let mut gates: Vec<(Code, (GateState, String))> = vec![
        (Code::Attribution, attribution(evidence.binding)),
        (Code::Budget, budget(evidence.limits_reached)),
        (Code::Clock, state::clock(plan, &records)),
        (
            Code::Decoys,
            evidence.decoys.map_or_else(undeclared, |control| (control.state, control.figure.clone())),
        ),
        (Code::Epoch, epoch(plan)),
        (Code::Integrity, integrity(evidence.chain_broken_at)),
        (Code::Loss, loss(evidence.ledger, phase, &captures)),
        (
            Code::PhaseRan,
            match (phase_ran(plan, phase, &runs, &captures), planned) {
                ((GateState::Held, figure), Some(planned)) => {
                    state::requirements(planned, &records).unwrap_or((GateState::Held, figure))
                }
                (other, _) => other,
            },
        ),
        (Code::PositiveControl, positive_control(evidence)),
        (
            Code::Provenance,
            planned.map_or_else(undeclared, |planned| {
                state::provenance(plan, planned, evidence.images, &records)
            }),
        ),
        (Code::ResidualCapacity, residual_capacity(evidence.ledger, phase, &runs)),
        (Code::SpikeRecall, spike_recall(evidence, phase)),
        (Code::Twin, twin::twin(plan, evidence.records, evidence.flows)),
        (Code::Windows, windows(evidence.plan, &runs)),
    ];
    gates.sort_by_key(|(code, _)| code.name());
    gates
        .into_iter()
        .map(|(code, (state, figure))| Gate {
            id: code.name().to_owned(),
            phase: phase.to_owned(),
            state,
            figure,
        })
        .collect()
}

/// A run today can't speak about the servers of another time.
fn epoch(plan: &Plan) -> (GateState, String) {
    match plan.epoch {
        None => (
            GateState::NotCheckable,
            "it is not declared when the servers were those of the claim".to_owned(),
        ),
        Some(Epoch::Live) => (GateState::Held, "the run and the claim speak of the same servers".to_owned()),
        Some(Epoch::Relab) => {
            (GateState::Failed, "a run of another time than the claim's servers".to_owned())
        }
    }
}

/// Phases that must show an upload show one.
fn positive_control(evidence: &Evidence<'_>) -> (GateState, String) {
    let phases: Vec<&str> = with_role(evidence.plan, Role::PositiveControl).collect();
    if phases.is_empty() {
        return (GateState::NotCheckable, "no phase is a positive control".to_owned());
    }
    let carries = |finding: &&Finding| {
        finding.probative
            && !matches!(finding.grade, Grade::Statistical | Grade::Derived)
            && !DISABLING.iter().any(|code| finding.caveats.iter().any(|caveat| caveat == code.name()))
    };
    let silent = phases
        .iter()
        .find(|phase| !evidence.findings.iter().filter(carries).any(|found| found.phase == **phase));
    match silent {
        Some(phase) => (GateState::Failed, format!("nothing was found in {phase}, where it must be")),
        None => (GateState::Held, format!("uploads were found in {}", phases.join(", "))),
    }
}

/// What was sent beside the phone was found, in each class, carrier and wrapper that the plan asks for.
fn spike_recall(evidence: &Evidence<'_>, phase: &str) -> (GateState, String) {
    let Some(planned) = &evidence.plan.spikes else {
        return (GateState::NotCheckable, "no known artifacts are planned to be sent".to_owned());
    };
    let own: Vec<&Recall> = evidence.recalls.iter().filter(|recall| recall.phase == phase).collect();
    let (sent, found) =
        own.iter().fold((0, 0), |(sent, found), recall| (sent + recall.sent, found + recall.found));
    if own.is_empty() {
        return (GateState::NotCheckable, "no known artifact was sent in it".to_owned());
    }
    if let Some(carrier) =
        planned.over.iter().find(|carrier| !own.iter().any(|recall| recall.over == carrier.as_str()))
    {
        return (GateState::Failed, format!("none was sent over {carrier}"));
    }
    let least = evidence.plan.spike_recall;
    match own.iter().find(|recall| recall.bound < least) {
        Some(recall) => (
            GateState::Failed,
            format!(
                "{} of {} found of {} over {} {}",
                recall.found, recall.sent, recall.class, recall.over, recall.how
            ),
        ),
        None => (GateState::Held, format!("{found} of {sent} found")),
    }
}

fn attribution(binding: &Binding) -> (GateState, String) {
    match binding {
        Binding::Bound { how } => (GateState::Held, how.clone()),
        Binding::Assumed { how } => (GateState::NotCheckable, how.clone()),
        Binding::Disputed { figure } => (GateState::Failed, figure.clone()),
    }
}

fn budget(limits_reached: u64) -> (GateState, String) {
    if limits_reached == 0 {
        (GateState::Held, "no limit was reached".to_owned())
    } else {
        (GateState::Failed, format!("{limits_reached} limits were reached"))
    }
}

fn integrity(chain_broken_at: Option<u64>) -> (GateState, String) {
    match chain_broken_at {
        None => (GateState::Held, "inputs read to their ends and unchanged".to_owned()),
        Some(line) => (GateState::Failed, format!("the record's chain breaks at line {line}")),
    }
}

fn loss(ledger: &Ledger, phase: &str, captures: &[&CaptureSummary]) -> (GateState, String) {
    let lost = of(ledger, phase).lost;
    let dropped: u64 = captures.iter().filter_map(|capture| capture.dropped).sum();
    if captures.is_empty() {
        (GateState::NotCheckable, "no packets".to_owned())
    } else if lost == 0 && dropped == 0 {
        // A packet that is missing whole leaves no gap: a capture that counts no drops can't show that there were none.
        let silent = captures.iter().filter(|capture| capture.dropped.is_none()).count();
        if silent == 0 {
            (GateState::Held, "0 bytes lost; 0 packets dropped".to_owned())
        } else {
            (
                GateState::NotCheckable,
                format!("0 bytes lost; {silent} captures do not say how many packets were dropped"),
            )
        }
    } else {
        (GateState::Failed, format!("{lost} bytes lost; {dropped} packets dropped"))
    }
}

fn phase_ran(
    plan: &Plan,
    phase: &str,
    runs: &[&RunSummary],
    captures: &[&CaptureSummary],
) -> (GateState, String) {
    let packets: u64 = captures.iter().map(|capture| capture.packets).sum();
    if runs.is_empty() {
        return (GateState::Failed, "no run of it is on record".to_owned());
    }
    if packets == 0 {
        return (GateState::Failed, format!("{} runs, 0 packets", runs.len()));
    }
    let required =
        plan.phases.iter().find(|candidate| candidate.id == phase).map_or(&[][..], |phase| &phase.actions);
    for run in runs.iter().filter(|run| run.recorded) {
        if let Some(missing) = required.iter().find(|id| !was_done(plan, id, run)) {
            return (GateState::Failed, format!("action {missing} is missing from the record of {}", run.id));
        }
    }
    if runs.iter().any(|run| !run.recorded) {
        return (GateState::Held, format!("{} runs, {packets} packets; actions not recorded", runs.len()));
    }
    (GateState::Held, format!("{} runs, {packets} packets", runs.len()))
}

/// Whether a run shows an action, or the sham that the plan lets stand in its place.
fn was_done(plan: &Plan, id: &str, run: &RunSummary) -> bool {
    let planned = plan.actions.iter().find(|action| action.id == id);
    let sham = planned.and_then(|action| action.sham.as_deref());
    run.actions
        .iter()
        .any(|done| done.id == id || sham.is_some_and(|sham| done.id == sham || done.verb == sham))
}

/// The largest figure of a window of the phase, what lies outside every window counted as one more; of the whole phase where
/// no windows are on record.
pub fn largest(ledger: &Ledger, phase: &str, runs: &[&RunSummary], figure: fn(Places) -> u64) -> u64 {
    let windows: Vec<&str> =
        runs.iter().flat_map(|run| run.windows.iter().map(|window| window.id.as_str())).collect();
    if windows.is_empty() {
        return figure(of(ledger, phase));
    }
    // What was sent outside every window could have carried it as well.
    let outside = Ledger::outside(phase);
    let rows = ledger.by_window.iter().filter(|row| windows.contains(&row.of.as_str()) || row.of == outside);
    rows.map(|row| figure(row.bytes)).max().unwrap_or(0)
}

/// What was found or could hide in what the phone sent while no run was on record, in captures that hold several runs.
pub fn outside_runs(ledger: &Ledger, figure: fn(Places) -> u64) -> u64 {
    let row = ledger.by_phase.iter().find(|row| row.of == Ledger::OUTSIDE_RUNS);
    row.map_or(0, |row| figure(row.bytes).saturating_add(row.bytes.matched))
}

fn residual_capacity(ledger: &Ledger, phase: &str, runs: &[&RunSummary]) -> (GateState, String) {
    let residual = largest(ledger, phase, runs, Places::residual);
    let figure =
        format!("{residual} bytes undetermined, opaque or lost in a window; a photo needs {SMALLEST_PHOTO}");
    (if residual < SMALLEST_PHOTO { GateState::Held } else { GateState::Failed }, figure)
}

fn windows(plan: &Plan, runs: &[&RunSummary]) -> (GateState, String) {
    let recorded: usize = runs.iter().filter(|run| run.recorded).map(|run| run.windows.len().min(1)).sum();
    let needed = plan.windows_needed as usize;
    let figure = format!("{recorded} of {needed} windows");
    (if recorded >= needed { GateState::Held } else { GateState::Failed }, figure)
}

fn of(ledger: &Ledger, phase: &str) -> Places {
    ledger.by_phase.iter().find(|row| row.of == phase).map_or_else(Places::default, |row| row.bytes)
}

/// The phases with a role, in the order of the plan.
pub fn with_role(plan: &Plan, role: Role) -> impl Iterator<Item = &str> {
    plan.phases.iter().filter(move |phase| phase.role == role).map(|phase| phase.id.as_str())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{case::scenario::plan::Action, evidence::Timestamp, findings::ActionSummary};

    fn plan(sham: Option<&str>) -> Plan {
        let shoot = Action {
            id: "shoot".into(),
            verb: "take-photo".into(),
            phases: Vec::new(),
            makes: Vec::new(),
            sham: sham.map(str::to_owned),
        };
        Plan { actions: vec![shoot], windows_needed: 59, ..Plan::default() }
    }

    fn run(id: &str, verb: &str) -> RunSummary {
        let done = ActionSummary {
            id: id.into(),
            verb: verb.into(),
            start: Timestamp(0),
            end: Timestamp(0),
            by: "operator".into(),
            makes: Vec::new(),
        };
        RunSummary {
            id: "stock/01".into(),
            phase: "stock".into(),
            recorded: true,
            actions: vec![done],
            windows: Vec::new(),
            device_state: BTreeMap::new(),
        }
    }

    #[test]
    fn a_sham_stands_in_the_place_of_its_action_and_nothing_else_does() {
        assert!(was_done(&plan(None), "shoot", &run("shoot", "take-photo")));
        assert!(!was_done(&plan(None), "shoot", &run("look", "open-camera")));
        assert!(was_done(&plan(Some("look")), "shoot", &run("look", "open-camera")));
        assert!(was_done(&plan(Some("open-camera")), "shoot", &run("look", "open-camera")));
        assert!(!was_done(&plan(Some("look")), "shoot", &run("rest", "idle")));
    }
}
