//! Explanations other than the claim's that the evidence leaves open, beside each verdict.
//!
//! Each stands under a condition that closes it; what is not known to close it leaves it open. They are read off
//! gates, the plan and the findings that carry the verdict, so that a reader can follow each.

use super::{Observed, outcome::Outcome};
use crate::{
    case::scenario::plan::{Claim, Plan, Predicate},
    findings::{Finding, GateState, Grade, LeftOpen, Part, Status, codes::Code},
};

/// `from` of a phase that begins with what its image holds and nothing else.
const RESETS: [&str; 2] = ["factory-reset", "wipe"];
/// Steps that took off encryption by secrets of a key log.
const OPENED: [&str; 3] = ["tls", "dtls", "quic"];

/// What a verdict leaves open, in the order of the codes.
pub(super) fn left_open(
    observed: &Observed<'_>,
    claim: &Claim,
    status: Status,
    outcome: &Outcome,
) -> Vec<LeftOpen> {
    let view = View { observed, claim, outcome };
    let mut open = match status {
        Status::Untestable => Vec::new(),
        Status::Inconclusive => vec![(Code::SentUnread, view.in_the_way()), (Code::NotSent, String::new())],
        Status::Supported | Status::Refuted => {
            let mut open = view.of_presence();
            open.extend(view.of_absence());
            open
        }
    };
    open.sort();
    open.dedup();
    open.into_iter().map(|(code, why)| LeftOpen { code: code.name().to_owned(), why }).collect()
}

struct View<'a> {
    observed: &'a Observed<'a>,
    claim: &'a Claim,
    outcome: &'a Outcome,
}

impl View<'_> {
    /// What else may have sent what was seen.
    fn of_presence(&self) -> Vec<(Code, String)> {
        let carrying: Vec<&Finding> = self
            .observed
            .findings
            .iter()
            .filter(|finding| self.outcome.findings.contains(&finding.id))
            .collect();
        if carrying.is_empty() && self.outcome.endpoints.is_empty() {
            return Vec::new();
        }
        let phases: Vec<&String> = self.outcome.phases.iter().collect();
        let not_held = |code: Code| -> Vec<&str> {
            phases
                .iter()
                .filter(|phase| self.gate(phase, code) != GateState::Held)
                .map(|phase| phase.as_str())
                .collect()
        };
        let mut open = Vec::new();
        for (gate, code) in [(Code::Attribution, Code::AnotherMachine), (Code::Provenance, Code::OtherImage)]
        {
            let phases = not_held(gate);
            if !phases.is_empty() {
                open.push((code, format!("the gate {gate} is not held in {}", phases.join(", "))));
            }
        }
        let dirty: Vec<&str> = phases
            .iter()
            .filter(|phase| !begins_clean(self.observed.plan, phase))
            .map(|phase| phase.as_str())
            .collect();
        if !dirty.is_empty() {
            open.push((Code::AnotherProgram, format!("{} does not begin with a reset", dirty.join(", "))));
        }
        let unrecorded =
            self.observed.runs.iter().any(|run| self.outcome.phases.contains(&run.phase) && !run.recorded);
        if unrecorded {
            open.push((Code::DoneByHand, "a run has no action log".to_owned()));
        }
        let needs_time = matches!(self.claim.predicate, Predicate::NeedsConsent { .. })
            || matches!(self.claim.predicate, Predicate::Connects { attended: Some(_), .. });
        let clocks = not_held(Code::Clock);
        if needs_time && !clocks.is_empty() {
            open.push((Code::ClocksOff, format!("the gate clock is not held in {}", clocks.join(", "))));
        }
        let old: Vec<&str> = carrying
            .iter()
            .filter(|finding| {
                matches!(finding.grade, Grade::Exact | Grade::Partial | Grade::Derived)
                    && !self.is_fresh(finding)
            })
            .map(|finding| finding.artifact.as_str())
            .collect();
        if let Some(first) = old.first() {
            open.push((Code::ContentFromElsewhere, format!("no action on record made {first}")));
        }
        if carrying.iter().any(|finding| finding.grade == Grade::Statistical) {
            open.push((Code::SomethingOfThatSize, String::new()));
        }
        let opened = carrying.iter().flat_map(|finding| &finding.parts).any(was_opened);
        let vouched = self.observed.endpoints.iter().any(|end| end.server_signature == "verified");
        if opened && !vouched {
            open.push((Code::Fabricated, "no server's own signature stands in the handshakes".to_owned()));
        }
        open
    }

    /// How what was not found may be there all the same.
    fn of_absence(&self) -> Vec<(Code, String)> {
        if self.outcome.absent.is_empty() {
            return Vec::new();
        }
        let at = self.observed.plan.captured_at.as_ref();
        let blind = at.map_or_else(
            || "the point of capture is not declared".to_owned(),
            |at| {
                if at.blind_to.is_empty() {
                    String::new()
                } else {
                    format!("the point of capture does not see {}", at.blind_to.join(", "))
                }
            },
        );
        let mut open = vec![
            (Code::UnreadEncoding, String::new()),
            (Code::OutsideWindows, String::new()),
            (Code::OtherTrigger, String::new()),
            (Code::RarerThanShown, String::new()),
        ];
        if !blind.is_empty() {
            open.push((Code::OtherPath, blind));
        }
        let unwatched =
            self.outcome.absent.keys().find(|phase| self.gate(phase, Code::Twin) != GateState::Held);
        if let Some(phase) = unwatched {
            open.push((Code::TestNoticed, format!("the gate {} is not held in {phase}", Code::Twin)));
        }
        open
    }

    /// What stands in the way of an open verdict.
    fn in_the_way(&self) -> String {
        let codes: Vec<&str> = self.outcome.reasons.iter().map(|code| code.name()).collect();
        codes.join(", ")
    }

    fn gate(&self, phase: &str, code: Code) -> GateState {
        let gate = self.observed.gates.iter().find(|gate| gate.phase == phase && gate.id == code.name());
        gate.map_or(GateState::NotCheckable, |gate| gate.state)
    }

    /// Whether an action on record made the artifact.
    fn is_fresh(&self, finding: &Finding) -> bool {
        self.observed
            .artifacts
            .iter()
            .any(|artifact| artifact.name == finding.artifact && artifact.created.is_some())
    }
}

fn was_opened(part: &Part) -> bool {
    part.steps.iter().any(|step| OPENED.iter().any(|seal| step.op.starts_with(seal)))
}

/// Whether nothing but its image was on the phone when the phase, or what it goes on from, began.
fn begins_clean(plan: &Plan, phase: &str) -> bool {
    let mut at = phase;
    // A chain longer than the plan has phases runs in a circle.
    for _ in 0..=plan.phases.len() {
        let from =
            plan.phases.iter().find(|candidate| candidate.id == at).and_then(|phase| phase.from.as_deref());
        match from {
            Some(from) if RESETS.contains(&from) => return true,
            Some(from) => at = from,
            None => return false,
        }
    }
    false
}
