//! Gates and claims, decided on what was observed.
//!
//! 1. [`gates::judge`] says for each phase which conditions held: [`Gate`]s.
//! 2. [`evaluate::Evaluation`] decides a claim's predicate in Kleene's three values: presence can
//!    support or refute, absence only where every gate that it rests on has held.
//! 3. `sentences` writes what the outcome permits writing and what it does not.
//!
//! Nothing here sees a packet: what enters is what findings hold, so a verdict can be followed by
//! anyone from the findings alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    case::scenario::plan::{Claim, Plan, Predicate},
    findings::{
        ArtifactSummary, CaptureSummary, DeclaredSummary, EndpointSummary, Finding, FlowSummary, Gate,
        GateState, Ledger, RunSummary, Scope, StatisticalTest, Status, Uncovered, Verdict, codes::Code,
    },
};

mod absence;
mod consent;
pub(super) mod destination;
pub mod evaluate;
mod explanations;
pub mod gates;
pub mod outcome;
mod sentences;
#[cfg(test)]
mod tests;

/// What verdicts rest on.
pub struct Observed<'a> {
    /// What was to be done and what is claimed.
    pub plan: &'a Plan,
    /// Captures.
    pub captures: &'a [CaptureSummary],
    /// Runs with their windows.
    pub runs: &'a [RunSummary],
    /// What was on the phone.
    pub artifacts: &'a [ArtifactSummary],
    /// What was found.
    pub findings: &'a [Finding],
    /// What it sent that declared schemas account for.
    pub declared: &'a [DeclaredSummary],
    /// Tests of what nobody can read.
    pub statistics: &'a [StatisticalTest],
    /// Flows of the phone: at least those that [`may_connect`] and those that findings name.
    pub flows: &'a [FlowSummary],
    /// Their remote ends.
    pub endpoints: &'a [EndpointSummary],
    /// The place of each uplink byte.
    pub ledger: &'a Ledger,
    /// How much of what the lab sent itself was found.
    pub recalls: &'a [gates::Recall],
    /// Signs, by phase, that a copy might go unsent or hide: `dedup`, `cover_traffic`.
    pub signs: &'a BTreeMap<String, BTreeSet<Code>>,
    /// By phase, what the phone sent that the ledger does not count.
    pub beside: &'a BTreeMap<String, Beside>,
    /// The address table's date, `YYYY-MM-DD`; empty where unknown.
    pub table_date: &'a str,
    /// Gates, as [`gates::judge`] left them.
    pub gates: &'a [Gate],
}

/// The most bytes of one run that the ledger does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// In IP packets of protocols that are not read.
    pub unread: u64,
    /// In segments and fragments that say other bytes than those which stand in the stream: each of them may say others.
    pub disputed: u64,
}

/// Whether a flow may show that the phone connects to somewhere: opened by it, completed, with a byte sent.
pub fn may_connect(flow: &FlowSummary) -> bool {
    evaluate::is_connection(flow)
}

/// Judges every claim of the plan, in its order.
pub fn judge(observed: &Observed<'_>) -> Vec<Verdict> {
    observed.plan.claims.iter().map(|claim| verdict(observed, claim)).collect()
}

fn verdict(observed: &Observed<'_>, claim: &Claim) -> Verdict {
    let evaluation = evaluate::Evaluation::new(observed, claim);
    let outcome = evaluation.decide(&claim.predicate);
    let status = match (&claim.predicate, outcome.truth) {
        (Predicate::Untestable { .. }, _) => Status::Untestable,
        (_, Some(true)) => Status::Supported,
        (_, Some(false)) => Status::Refuted,
        (_, None) => Status::Inconclusive,
    };
    let scope = scope(observed, claim);
    let mut figures = BTreeMap::new();
    let sentences = sentences::write(observed, claim, status, &outcome, &scope, &mut figures);
    let left_open = evaluation.left_open(status, &outcome);
    Verdict {
        id: claim.id.clone(),
        by: claim.by.clone(),
        says: claim.says.clone(),
        reading: claim.reading.clone(),
        kind: claim.predicate.kind().to_owned(),
        status,
        grade: grade(&outcome.grades),
        scope,
        reasons: outcome.reasons.iter().map(|code: &Code| code.name().to_owned()).collect(),
        findings: outcome.findings.union(&outcome.witness).cloned().collect(),
        endpoints: outcome.endpoints.into_iter().collect(),
        connections: outcome.connections.into_values().collect(),
        figures,
        permits: sentences.permits,
        does_not_permit: sentences.does_not_permit,
        not_covered: not_covered(claim),
        left_open,
    }
}

/// The grades of what carries a verdict, strongest method first within a part, parts joined by ` + `.
fn grade(grades: &BTreeSet<String>) -> Option<String> {
    (!grades.is_empty()).then(|| grades.iter().cloned().collect::<Vec<_>>().join(" + "))
}

fn not_covered(claim: &Claim) -> Vec<Uncovered> {
    let mut parts: Vec<Uncovered> = claim
        .not_covered
        .iter()
        .map(|part| Uncovered {
            part: part.part.clone(),
            reason: "traffic can't show it".to_owned(),
            test_by: part.test_by.clone(),
        })
        .collect();
    if let Predicate::Untestable { why } = &claim.predicate {
        parts.push(Uncovered { part: claim.says.clone(), reason: why.clone(), test_by: String::new() });
    }
    parts
}

fn scope(observed: &Observed<'_>, claim: &Claim) -> Scope {
    let runs: BTreeSet<&str> = observed
        .runs
        .iter()
        .filter(|run| claim.phases.contains(&run.phase))
        .map(|run| run.id.as_str())
        .collect();
    let captures: Vec<&CaptureSummary> = observed
        .captures
        .iter()
        .filter(|capture| capture.runs.iter().any(|run| runs.contains(run.as_str())))
        .collect();
    let day = |time: crate::evidence::Timestamp| time.to_string().chars().take(10).collect::<String>();
    let not_checkable: BTreeSet<String> = observed
        .gates
        .iter()
        .filter(|gate| gate.state == GateState::NotCheckable && claim.phases.contains(&gate.phase))
        .map(|gate| gate.id.clone())
        .collect();
    Scope {
        phases: claim.phases.clone(),
        captured_at: observed
            .plan
            .captured_at
            .as_ref()
            .map_or_else(|| "undeclared".to_owned(), |at| at.point.clone()),
        from: captures.iter().filter_map(|capture| capture.first).min().map(day).unwrap_or_default(),
        to: captures.iter().filter_map(|capture| capture.last).max().map(day).unwrap_or_default(),
        observed_seconds: captures
            .iter()
            .filter_map(|capture| Some(capture.last?.seconds().saturating_sub(capture.first?.seconds())))
            .sum(),
        not_checkable: not_checkable.into_iter().collect(),
    }
}
