//! One predicate, decided in Kleene's three values.

use std::collections::BTreeSet;

use super::{
    Observed,
    gates::{BLOCK_ABSENCE, BLOCK_ALL, SMALLEST_PHOTO},
};
use crate::{
    case::scenario::plan::{Claim, Phase, Predicate, Term},
    evidence::{Timestamp, Transport},
    findings::{
        ArtifactSummary, EndpointSummary, Finding, FlowSummary, GateState, Grade, Part, RunSummary,
        codes::Code,
    },
};

/// Caveats that keep a finding from carrying a verdict, each its own reason.
const DISABLING: &[Code] = &[
    Code::AmbiguousBytes,
    Code::SeenDownlinkFirst,
    Code::PrecedesCreation,
    Code::OtherDevice,
    Code::Placeholder,
    Code::CommonContent,
];

/// What a predicate came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// `None`: the evidence does not settle it.
    pub truth: Option<bool>,
    /// Grades of what carries it.
    pub grades: BTreeSet<String>,
    /// What stands in the way.
    pub reasons: BTreeSet<Code>,
    /// Findings that carry it.
    pub findings: BTreeSet<String>,
    /// Endpoints that carry it.
    pub endpoints: BTreeSet<String>,
}

impl Outcome {
    fn unsettled(reasons: impl IntoIterator<Item = Code>) -> Self {
        Self { reasons: reasons.into_iter().collect(), ..Self::default() }
    }

    fn carried_by(truth: bool, findings: &[&Finding]) -> Self {
        Self {
            truth: Some(truth),
            grades: findings
                .iter()
                .map(|finding| finding.grade)
                .min()
                .map(|grade| grade.name().to_owned())
                .into_iter()
                .collect(),
            findings: findings.iter().map(|finding| finding.id.clone()).collect(),
            ..Self::default()
        }
    }

    /// Takes over what another outcome rests on; its truth is left to the caller.
    fn absorb(&mut self, other: Self) {
        self.grades.extend(other.grades);
        self.reasons.extend(other.reasons);
        self.findings.extend(other.findings);
        self.endpoints.extend(other.endpoints);
    }
}

/// One claim held against what was observed.
pub struct Evaluation<'a> {
    observed: &'a Observed<'a>,
    claim: &'a Claim,
}

impl<'a> Evaluation<'a> {
    /// Takes a claim.
    pub fn new(observed: &'a Observed<'a>, claim: &'a Claim) -> Self {
        Self { observed, claim }
    }

    /// Decides a predicate in the claim's phases.
    pub fn decide(&self, predicate: &Predicate) -> Outcome {
        self.decide_in(predicate, &self.claim.phases)
    }

    fn decide_in(&self, predicate: &Predicate, phases: &[String]) -> Outcome {
        match predicate {
            Predicate::Untestable { .. } => Outcome::default(),
            Predicate::AllOf(parts) => conjunction(parts.iter().map(|part| self.decide_in(part, phases))),
            Predicate::AnyOf(parts) => disjunction(parts.iter().map(|part| self.decide_in(part, phases))),
            Predicate::EachPhase(inner) => {
                conjunction(phases.iter().map(|phase| self.decide_in(inner, std::slice::from_ref(phase))))
            }
            Predicate::Connects { to, attended } => {
                disjunction(phases.iter().map(|phase| self.connects(phase, to, *attended)))
            }
            Predicate::Uploads { what, to } => {
                disjunction(phases.iter().map(|phase| self.uploads(phase, what, to)))
            }
            Predicate::NeverUploads { what, to } => conjunction(
                phases.iter().map(|phase| self.never(phase, |finding| self.is_upload_of(finding, what, to))),
            ),
            Predicate::OnlyUploads { allowed, personal } => conjunction(phases.iter().map(|phase| {
                self.never(phase, |finding| self.is_of(finding, personal) && !self.is_of(finding, allowed))
            })),
            Predicate::Encrypted { what } => conjunction(phases.iter().map(|phase| {
                self.never(phase, |finding| {
                    self.is_of(finding, what) && finding.parts.iter().any(is_in_clear)
                })
            })),
            Predicate::NeedsConsent { what, action } => self.needs_consent(phases, what, action),
            Predicate::Setting { setting, is } => {
                conjunction(phases.iter().map(|phase| self.setting(phase, setting, is)))
            }
        }
    }

    /// What blocks everything that uses a phase.
    fn blocked(&self, phase: &str) -> Option<Outcome> {
        let reasons: Vec<Code> = BLOCK_ALL
            .iter()
            .filter(|code| self.gate(phase, **code) == GateState::Failed)
            .map(|code| if *code == Code::PhaseRan { Code::PhaseNotRun } else { *code })
            .collect();
        (!reasons.is_empty()).then(|| Outcome::unsettled(reasons))
    }

    fn gate(&self, phase: &str, code: Code) -> GateState {
        self.observed
            .gates
            .iter()
            .find(|gate| gate.phase == phase && gate.id == code.name())
            .map_or(GateState::NotCheckable, |gate| gate.state)
    }

    /// Nothing was found. Until every gate that absence rests on has held, that settles nothing.
    fn absence(&self, phase: &str, near: BTreeSet<Code>) -> Outcome {
        let mut outcome = Outcome::unsettled(near);
        outcome.reasons.insert(Code::NotObserved);
        // Absence always needs spikes, a positive control and a twin, none of which this version can check: so
        // there is at least one reason here, and no verdict rests on absence.
        outcome.reasons.extend(
            BLOCK_ABSENCE
                .iter()
                .chain(BLOCK_ALL)
                .filter(|code| self.gate(phase, **code) != GateState::Held)
                .copied(),
        );
        outcome
    }

    fn connects(&self, phase: &str, to: &Term, attended: Option<bool>) -> Outcome {
        if let Some(blocked) = self.blocked(phase) {
            return blocked;
        }
        let mut near = BTreeSet::new();
        let mut outcome = Outcome::default();
        for flow in self.observed.flows.iter().filter(|flow| self.phase_of(flow) == Some(phase)) {
            let Some(endpoint) = self.endpoint(flow) else { continue };
            let reached =
                flow.uplink.total > flow.uplink.lost && flow.opened_by != "remote" && is_completed(flow);
            if !reached || !is_host(endpoint, to) {
                continue;
            }
            if attended == Some(false) {
                match self.was_idle(flow) {
                    None => {
                        near.insert(Code::NoActions);
                        continue;
                    }
                    Some(false) => continue,
                    Some(true) => {}
                }
            }
            outcome.truth = Some(true);
            outcome.grades.insert("flow".to_owned());
            outcome.endpoints.insert(format!("{}:{}", endpoint.address, endpoint.port));
            if !to.registered_country.is_empty() && !is_near(self.observed.table_date, flow.first) {
                outcome.reasons.insert(Code::TableDate);
            }
        }
        if outcome.truth.is_some() { outcome } else { self.absence(phase, near) }
    }

    fn uploads(&self, phase: &str, what: &Term, to: &[Term]) -> Outcome {
        if let Some(blocked) = self.blocked(phase) {
            return blocked;
        }
        let (carrying, near) = self.carrying(phase, |finding| self.is_upload_of(finding, what, to));
        if carrying.is_empty() { self.absence(phase, near) } else { Outcome::carried_by(true, &carrying) }
    }

    /// A universal: one counterexample refutes it.
    fn never(&self, phase: &str, counterexample: impl Fn(&Finding) -> bool) -> Outcome {
        if let Some(blocked) = self.blocked(phase) {
            return blocked;
        }
        let (carrying, near) = self.carrying(phase, counterexample);
        let strong: Vec<&Finding> =
            carrying.iter().copied().filter(|finding| finding.grade != Grade::Statistical).collect();
        if !strong.is_empty() {
            return Outcome::carried_by(false, &strong);
        }
        let mut outcome = self.absence(phase, near);
        if !carrying.is_empty() {
            outcome.reasons.insert(Code::StatisticalOnly);
        }
        outcome
    }

    /// Findings of a phase that pass a test and may carry a verdict; and why others may not.
    fn carrying(&self, phase: &str, test: impl Fn(&Finding) -> bool) -> (Vec<&'a Finding>, BTreeSet<Code>) {
        let mut near = BTreeSet::new();
        let mut carrying = Vec::new();
        for finding in self.observed.findings.iter().filter(|finding| finding.phase == phase && test(finding))
        {
            let disabled: Vec<Code> = DISABLING
                .iter()
                .filter(|code| finding.caveats.iter().any(|caveat| caveat == code.name()))
                .copied()
                .collect();
            let thin = finding.grade == Grade::Partial
                && self.artifact(finding).is_some_and(|artifact| artifact.kind == "photo")
                && finding.probative_bytes < SMALLEST_PHOTO.min(finding.artifact_bytes);
            if !disabled.is_empty() {
                near.extend(disabled);
            } else if thin || !finding.probative {
                near.insert(Code::NotProbative);
            } else {
                carrying.push(finding);
            }
        }
        (carrying, near)
    }

    fn needs_consent(&self, phases: &[String], what: &Term, action: &str) -> Outcome {
        let consent_phases: BTreeSet<&str> = self
            .observed
            .plan
            .actions
            .iter()
            .filter(|planned| planned.id == action)
            .flat_map(|planned| planned.phases.iter().map(String::as_str))
            .collect();
        let mut after = Outcome::unsettled([Code::NoWitness]);
        let mut unsettled = Outcome::default();
        for phase in phases {
            if let Some(blocked) = self.blocked(phase) {
                unsettled.absorb(blocked);
                continue;
            }
            let (carrying, near) = self.carrying(phase, |finding| self.is_of(finding, what));
            unsettled.reasons.extend(near);
            for finding in carrying.into_iter().filter(|finding| finding.grade != Grade::Statistical) {
                match self.consented(phase, finding, action, &consent_phases) {
                    Consent::Before => return Outcome::carried_by(false, &[finding]),
                    Consent::After => after = Outcome::carried_by(true, &[finding]),
                    Consent::Unknown(code) => {
                        unsettled.reasons.insert(code);
                    }
                }
            }
            unsettled.absorb(self.absence(phase, BTreeSet::new()));
        }
        // "Never before" is absence; a witness alone does not support it.
        unsettled.absorb(after);
        unsettled.truth = None;
        unsettled
    }

    /// Whether a finding was sent before its phone's user consented.
    fn consented(
        &self,
        phase: &str,
        finding: &Finding,
        action: &str,
        consent_phases: &BTreeSet<&str>,
    ) -> Consent {
        let planned_here = consent_phases.is_empty() || consent_phases.contains(phase);
        if !planned_here {
            return if self.descends_from(phase, consent_phases) {
                Consent::Unknown(Code::OrderUnknown)
            } else {
                Consent::Before
            };
        }
        let mut verdict = Consent::Unknown(Code::NoActions);
        for part in &finding.parts {
            let Some(run) = part.run.as_ref().and_then(|id| self.run(id)) else { continue };
            let Some(consent) = run.actions.iter().find(|done| done.id == action) else { continue };
            let Some(skew) = self.observed.plan.max_skew_ms else {
                return Consent::Unknown(Code::OrderUnknown);
            };
            let skew = i64::try_from(skew).unwrap_or(i64::MAX);
            if part.last.millis_since(consent.start) < -skew {
                return Consent::Before;
            } else if part.first.millis_since(consent.end) > skew {
                verdict = Consent::After;
            } else {
                return Consent::Unknown(Code::OrderUnknown);
            }
        }
        verdict
    }

    /// Whether a phase goes on from one in which consent is given, without a wipe between.
    fn descends_from(&self, phase: &str, others: &BTreeSet<&str>) -> bool {
        let mut at = self.phase(phase);
        // A chain longer than the plan has phases runs in a circle.
        for _ in 0..self.observed.plan.phases.len() {
            let Some(from) = at.and_then(|phase| phase.from.as_deref()) else { return false };
            if others.contains(from) {
                return true;
            }
            at = self.phase(from);
        }
        false
    }

    fn setting(&self, phase: &str, setting: &str, is: &str) -> Outcome {
        if let Some(blocked) = self.blocked(phase) {
            return blocked;
        }
        let runs = self.observed.runs.iter().filter(|run| run.phase == phase);
        let values: Vec<Option<&str>> =
            runs.map(|run| run.device_state.get(setting).map(String::as_str)).collect();
        let truth = if values.iter().flatten().any(|value| *value != is) {
            Some(false)
        } else {
            (!values.is_empty() && values.iter().all(Option::is_some)).then_some(true)
        };
        let grades = truth.map(|_| "recorded setting".to_owned()).into_iter().collect();
        let reasons = if truth.is_none() { [Code::NotObserved].into() } else { BTreeSet::new() };
        Outcome { truth, grades, reasons, ..Outcome::default() }
    }

    fn is_upload_of(&self, finding: &Finding, what: &Term, to: &[Term]) -> bool {
        self.is_of(finding, what)
            && (to.is_empty()
                || finding.parts.iter().any(|part| {
                    let flow = self.observed.flows.iter().find(|flow| flow.name == part.flow);
                    let endpoint = flow.and_then(|flow| self.endpoint(flow));
                    endpoint.is_some_and(|endpoint| to.iter().any(|term| is_host(endpoint, term)))
                }))
    }

    /// Whether a finding's artifact is one of a term's.
    fn is_of(&self, finding: &Finding, term: &Term) -> bool {
        let Some(artifact) = self.artifact(finding) else { return false };
        match artifact.name.strip_prefix("identifier:") {
            Some(kind) => term.all_identifiers || term.identifiers.iter().any(|wanted| wanted == kind),
            None => {
                term.files
                    || (term.photos && artifact.kind == "photo")
                    || term.artifacts.iter().any(|wanted| names(&artifact.name, wanted))
            }
        }
    }

    fn artifact(&self, finding: &Finding) -> Option<&'a ArtifactSummary> {
        self.observed.artifacts.iter().find(|artifact| artifact.name == finding.artifact)
    }

    fn phase(&self, id: &str) -> Option<&'a Phase> {
        self.observed.plan.phases.iter().find(|phase| phase.id == id)
    }

    fn run(&self, id: &str) -> Option<&'a RunSummary> {
        self.observed.runs.iter().find(|run| run.id == id)
    }

    fn phase_of(&self, flow: &FlowSummary) -> Option<&'a str> {
        Some(self.run(flow.run.as_ref()?)?.phase.as_str())
    }

    fn endpoint(&self, flow: &FlowSummary) -> Option<&'a EndpointSummary> {
        self.observed.endpoints.iter().find(|endpoint| {
            endpoint.transport == flow.transport && flow.remote == socket(&endpoint.address, endpoint.port)
        })
    }

    /// Whether a flow began while nobody touched the phone; `None` without an action log.
    fn was_idle(&self, flow: &FlowSummary) -> Option<bool> {
        let run = self.run(flow.run.as_ref()?)?;
        if !run.recorded {
            return None;
        }
        let within = |start: Timestamp, end: Timestamp| start <= flow.first && flow.first < end;
        Some(run.windows.iter().any(|window| window.idle && within(window.start, window.end)))
    }
}

enum Consent {
    Before,
    After,
    Unknown(Code),
}

/// Kleene: false if any part is false, true if all are true.
fn conjunction(parts: impl Iterator<Item = Outcome>) -> Outcome {
    kleene(parts.collect(), false)
}

/// Kleene: true if any part is true, false if all are false.
fn disjunction(parts: impl Iterator<Item = Outcome>) -> Outcome {
    kleene(parts.collect(), true)
}

/// The parts that carry the deciding value decide alone; else all must carry the other one.
fn kleene(parts: Vec<Outcome>, deciding: bool) -> Outcome {
    let mut result = Outcome::default();
    if parts.iter().any(|part| part.truth == Some(deciding)) {
        for part in parts.into_iter().filter(|part| part.truth == Some(deciding)) {
            result.absorb(part);
        }
        result.truth = Some(deciding);
        return result;
    }
    let settled = !parts.is_empty() && parts.iter().all(|part| part.truth.is_some());
    for part in parts {
        // What already holds does not explain why the whole is open.
        if settled || part.truth.is_none() {
            result.absorb(part);
        }
    }
    result.truth = settled.then_some(!deciding);
    result
}

/// Whether a table's day lies no more than 90 days from a moment (scenario.md, "Never testable by traffic").
fn is_near(table_date: &str, time: Timestamp) -> bool {
    const DAYS: i64 = 90;
    let day: Option<Timestamp> = format!("{table_date}T00:00:00Z").parse().ok();
    day.is_some_and(|day| day.millis_since(time).abs() <= DAYS * 24 * 60 * 60 * 1_000)
}

/// A UDP exchange has no handshake: an answer stands in its place.
fn is_completed(flow: &FlowSummary) -> bool {
    match flow.transport {
        Transport::Tcp => flow.handshake,
        Transport::Udp => flow.downlink_bytes > 0,
    }
}

/// Whether a remote end is one of a term's: by name, by registered country; a term without either means any
/// address that lies in no special-purpose range.
fn is_host(endpoint: &EndpointSummary, term: &Term) -> bool {
    if term.hosts.is_empty() && term.registered_country.is_empty() {
        return endpoint.special.is_none();
    }
    let named = endpoint
        .names
        .iter()
        .map(|name| name.split(' ').next().unwrap_or_default())
        .chain([endpoint.address.as_str()])
        .any(|name| term.hosts.iter().any(|pattern| host_matches(name, pattern)));
    named
        || endpoint
            .registered_country
            .as_ref()
            .is_some_and(|country| term.registered_country.contains(country))
}

/// `*.` at the front of a pattern stands for one or more labels; case does not count (RFC 4343).
pub(crate) fn host_matches(name: &str, pattern: &str) -> bool {
    let (name, pattern) = (name.to_ascii_lowercase(), pattern.to_ascii_lowercase());
    match pattern.strip_prefix('*') {
        Some(suffix) => suffix.starts_with('.') && name.len() > suffix.len() && name.ends_with(suffix),
        None => name == pattern,
    }
}

/// Whether a device file's logical path is the one a plan names: the whole path or its last components.
fn names(path: &str, wanted: &str) -> bool {
    path == wanted || path.strip_suffix(wanted).is_some_and(|before| before.ends_with('/'))
}

/// Whether no step of a part took off encryption.
fn is_in_clear(part: &Part) -> bool {
    !part.steps.iter().any(|step| step.op.starts_with("tls") || step.op.starts_with("quic"))
}

fn socket(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(truth: Option<bool>, reason: Option<Code>) -> Outcome {
        Outcome { truth, reasons: reason.into_iter().collect(), ..Outcome::default() }
    }

    #[test]
    fn conjunction_and_disjunction_are_kleenes() {
        for (a, b, and, or) in [
            (Some(true), Some(true), Some(true), Some(true)),
            (Some(true), Some(false), Some(false), Some(true)),
            (Some(true), None, None, Some(true)),
            (Some(false), None, Some(false), None),
            (Some(false), Some(false), Some(false), Some(false)),
            (None, None, None, None),
        ] {
            let parts = || [outcome(a, None), outcome(b, None)].into_iter();
            assert_eq!((conjunction(parts()).truth, disjunction(parts()).truth), (and, or), "{a:?} {b:?}");
        }
        assert_eq!(conjunction(std::iter::empty()).truth, None, "nothing asked is nothing settled");
    }

    #[test]
    fn only_open_parts_give_the_reasons_of_an_open_whole() {
        let parts = [outcome(Some(true), Some(Code::Loss)), outcome(None, Some(Code::PhaseNotRun))];
        assert_eq!(conjunction(parts.into_iter()).reasons, [Code::PhaseNotRun].into());
    }

    #[test]
    fn a_table_is_near_within_ninety_days_either_way() {
        let time = "2026-11-20T10:00:00Z".parse().unwrap();
        assert!(is_near("2026-11-01", time));
        assert!(is_near("2027-02-18", time));
        assert!(!is_near("2026-08-21", time));
        assert!(!is_near("", time), "an unknown date is not near");
    }

    #[test]
    fn hosts_match_by_whole_labels() {
        assert!(host_matches("A.cloud.example", "*.cloud.example"));
        assert!(!host_matches("cloud.example", "*.cloud.example"));
        assert!(!host_matches("evilcloud.example", "*.cloud.example"));
        assert!(!host_matches("a.cloud.example.org", "*.cloud.example"));
    }

    #[test]
    fn a_path_is_named_by_whole_components() {
        assert!(names("device/stock/DCIM/IMG_1.jpg", "DCIM/IMG_1.jpg"));
        assert!(!names("device/stock/DCIM/XIMG_1.jpg", "IMG_1.jpg"));
    }
}
