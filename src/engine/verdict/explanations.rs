//! Explanations other than the claim's that the evidence leaves open, beside each verdict.
//!
//! Each stands under a condition that closes it; what is not known to close it leaves it open. They are read off
//! gates, the plan and the findings that carry the verdict, so that a reader can follow each.

use std::collections::BTreeSet;

use super::{
    evaluate::{Evaluation, is_in_clear},
    outcome::Outcome,
};
use crate::{
    case::scenario::plan::Predicate,
    findings::{Finding, GateState, Grade, LeftOpen, Status, codes::Code},
};

impl Evaluation<'_> {
    /// What a verdict leaves open, in the order of the codes.
    pub(super) fn left_open(&self, status: Status, outcome: &Outcome) -> Vec<LeftOpen> {
        let mut open = match status {
            Status::Untestable => Vec::new(),
            Status::Inconclusive => {
                let reasons: Vec<&str> = outcome.reasons.iter().map(|code| code.name()).collect();
                vec![(Code::SentUnread, reasons.join(", ")), (Code::NotSent, String::new())]
            }
            Status::Supported | Status::Refuted => {
                let mut open = self.behind_presence(outcome);
                open.extend(self.behind_absence(outcome));
                open
            }
        };
        open.sort();
        open.dedup();
        open.into_iter().map(|(code, why)| LeftOpen { code: code.name().to_owned(), why }).collect()
    }

    /// What else may have sent what was seen.
    fn behind_presence(&self, outcome: &Outcome) -> Vec<(Code, String)> {
        let findings = self.observed.findings.iter();
        let carrying: Vec<&Finding> =
            findings.filter(|finding| outcome.findings.contains(&finding.id)).collect();
        if carrying.is_empty() && outcome.endpoints.is_empty() {
            return Vec::new();
        }
        let mut open = Vec::new();
        for (gate, code) in [(Code::Attribution, Code::AnotherMachine), (Code::Provenance, Code::OtherImage)]
        {
            open.extend(self.not_held(outcome, gate).map(|why| (code, why)));
        }
        if needs_time(&self.claim.predicate) {
            open.extend(self.not_held(outcome, Code::Clock).map(|why| (Code::ClocksOff, why)));
        }
        let dirty: Vec<&str> = phases(outcome).filter(|phase| !self.past(phase).from_reset).collect();
        if !dirty.is_empty() {
            open.push((Code::AnotherProgram, format!("{} does not begin with a reset", dirty.join(", "))));
        }
        if self.observed.runs.iter().any(|run| outcome.phases.contains(&run.phase) && !run.recorded) {
            open.push((Code::DoneByHand, "a run has no action log".to_owned()));
        }
        let old = carrying.iter().find(|finding| {
            matches!(finding.grade, Grade::Exact | Grade::Partial | Grade::Derived)
                && self.artifact(finding).is_none_or(|artifact| artifact.created.is_none())
        });
        if let Some(first) = old {
            open.push((Code::ContentFromElsewhere, format!("no action on record made {}", first.artifact)));
        }
        if carrying.iter().any(|finding| finding.grade == Grade::Statistical) {
            open.push((Code::SomethingOfThatSize, String::new()));
        }
        open.extend(self.by_holders_of_keys(&carrying).map(|why| (Code::Fabricated, why)));
        open
    }

    /// Whoever holds the keys of a session can write other content under them. A server's signature stands over the
    /// handshake alone (RFC 8446, section 4.4.3), so that it narrows this and never closes it.
    fn by_holders_of_keys(&self, carrying: &[&Finding]) -> Option<String> {
        let opened = carrying.iter().flat_map(|finding| &finding.parts).filter(|part| !is_in_clear(part));
        let flows: BTreeSet<&str> = opened.map(|part| part.flow.as_str()).collect();
        if flows.is_empty() {
            return None;
        }
        let signed = |flow: &&&str| {
            let end = self.flow(flow).and_then(|flow| self.endpoint(flow));
            end.is_some_and(|end| end.server_signature == "verified")
        };
        let unsigned = flows.iter().filter(|flow| !signed(flow)).count();
        Some(if unsigned == 0 {
            "a key log opened it; the server's own signature shows that it took part in a handshake, not what was sent"
                .to_owned()
        } else {
            let all = flows.len();
            format!(
                "a key log opened it, and no signature of the server was verified for {unsigned} of {all} flows"
            )
        })
    }

    /// How what was not found may be there all the same.
    fn behind_absence(&self, outcome: &Outcome) -> Vec<(Code, String)> {
        if outcome.absent.is_empty() {
            return Vec::new();
        }
        let mut open = vec![
            (Code::OutsideWindows, String::new()),
            (Code::OtherTrigger, String::new()),
            (Code::RarerThanShown, String::new()),
        ];
        // A connection is seen whatever it carries.
        if outcome.absent.values().any(|absent| absent.residual.is_some()) {
            open.push((Code::UnreadEncoding, String::new()));
        }
        match &self.observed.plan.captured_at {
            None => open.push((Code::OtherPath, "the point of capture is not declared".to_owned())),
            Some(at) if !at.blind_to.is_empty() => {
                let blind = at.blind_to.join(", ");
                open.push((Code::OtherPath, format!("the point of capture does not see {blind}")));
            }
            Some(_) => {}
        }
        let unwatched = outcome.absent.keys().find(|phase| self.gate(phase, Code::Twin) != GateState::Held);
        if let Some(phase) = unwatched {
            open.push((Code::TestNoticed, format!("the gate {} is not held in {phase}", Code::Twin)));
        }
        open
    }

    /// The phases behind a verdict in which a gate is not held.
    fn not_held(&self, outcome: &Outcome, gate: Code) -> Option<String> {
        let open: Vec<&str> =
            phases(outcome).filter(|phase| self.gate(phase, gate) != GateState::Held).collect();
        (!open.is_empty()).then(|| format!("the gate {gate} is not held in {}", open.join(", ")))
    }
}

fn phases(outcome: &Outcome) -> impl Iterator<Item = &str> {
    outcome.phases.iter().map(String::as_str)
}

/// Whether a predicate, or a part of it, asks when something happened.
fn needs_time(predicate: &Predicate) -> bool {
    let asks = |test: &Predicate| {
        matches!(test, Predicate::NeedsConsent { .. } | Predicate::Connects { attended: Some(_), .. })
    };
    predicate.tests().into_iter().any(asks)
}
