//! Conditions that verdicts rest on, for each phase: held, failed or not checkable.

use crate::{
    case::scenario::plan::{Plan, Role},
    findings::{CaptureSummary, Control, Gate, GateState, Ledger, Places, RunSummary, codes::Code},
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

/// Judges every gate of every phase, sorted by phase (in the order of the plan) and name.
pub fn judge(evidence: &Evidence<'_>) -> Vec<Gate> {
    evidence.plan.phases.iter().flat_map(|phase| of_phase(evidence, &phase.id)).collect()
}

fn of_phase(evidence: &Evidence<'_>, phase: &str) -> Vec<Gate> {
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
        (Code::Clock, undeclared()),
        (
            Code::Decoys,
            evidence.decoys.map_or_else(undeclared, |control| (control.state, control.figure.clone())),
        ),
        (Code::Epoch, undeclared()),
        (Code::Integrity, integrity(evidence.chain_broken_at)),
        (Code::Loss, loss(evidence.ledger, phase, &captures)),
        (Code::PhaseRan, phase_ran(evidence.plan, phase, &runs, &captures)),
        (Code::PositiveControl, undeclared()),
        (Code::Provenance, undeclared()),
        (Code::ResidualCapacity, residual_capacity(evidence.ledger, phase, &runs)),
        (Code::SpikeRecall, undeclared()),
        (Code::Twin, undeclared()),
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
        let silent = captures.iter().any(|capture| capture.dropped.is_none());
        let drops = if silent { "drops not reported by the capture" } else { "0 packets dropped" };
        (GateState::Held, format!("0 bytes lost; {drops}"))
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

/// The largest residual capacity of a window of the phase; of the whole phase where no windows are on record.
pub fn largest_residual(ledger: &Ledger, phase: &str, runs: &[&RunSummary]) -> u64 {
    let windows: Vec<&str> =
        runs.iter().flat_map(|run| run.windows.iter().map(|window| window.id.as_str())).collect();
    if windows.is_empty() {
        return of(ledger, phase).residual();
    }
    let within = ledger
        .by_window
        .iter()
        .filter(|row| windows.contains(&row.of.as_str()))
        .map(|row| row.bytes.residual());
    let inside: u64 = ledger
        .by_window
        .iter()
        .filter(|row| windows.contains(&row.of.as_str()))
        .map(|row| row.bytes.total)
        .sum();
    // What was sent outside every window could have carried it as well.
    let outside = if inside < of(ledger, phase).total { of(ledger, phase).residual() } else { 0 };
    within.max().unwrap_or(0).max(outside)
}

fn residual_capacity(ledger: &Ledger, phase: &str, runs: &[&RunSummary]) -> (GateState, String) {
    let residual = largest_residual(ledger, phase, runs);
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
    use crate::{
        case::scenario::plan::{Action, Phone},
        evidence::Timestamp,
        findings::ActionSummary,
    };

    fn plan(sham: Option<&str>) -> Plan {
        let shoot = Action {
            id: "shoot".into(),
            verb: "take-photo".into(),
            phases: Vec::new(),
            makes: Vec::new(),
            sham: sham.map(str::to_owned),
        };
        Plan {
            id: String::new(),
            title: String::new(),
            simulated: false,
            epoch: None,
            sources: BTreeMap::new(),
            phone: Phone::default(),
            captured_at: None,
            max_skew_ms: None,
            phases: Vec::new(),
            actions: vec![shoot],
            claims: Vec::new(),
            declared: Vec::new(),
            windows_needed: 59,
            decoys: None,
            not_acted_on: Vec::new(),
        }
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
