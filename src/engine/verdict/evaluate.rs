//! One predicate, decided in Kleene's three values.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Observed,
    absence::Sought,
    destination::{Reach, reach},
    gates::{BLOCK_ALL, SMALLEST_PHOTO},
    outcome::{Outcome, conjunction, disjunction},
};
use crate::{
    case::scenario::plan::{Claim, Predicate, Term},
    evidence::{ByteRange, Digest, Direction, Step, Timestamp, Transport},
    findings::{
        ArtifactSummary, EndpointSummary, Finding, FlowSummary, GateState, Grade, MADE_BY, Part, RunSummary,
        TestOutcome, codes::Code,
    },
};

/// Caveats that keep a finding from carrying a verdict, each its own reason. Content that other artifacts share
/// is none of them: it is not counted among the probative bytes, and what is left decides.
pub(super) const DISABLING: &[Code] = &[
    Code::AmbiguousBytes,
    Code::SeenDownlinkFirst,
    Code::Echo,
    Code::IdenticalInOtherPhases,
    Code::PrecedesCreation,
    Code::OtherDevice,
    Code::Placeholder,
    Code::InsideLonger,
    Code::BeginningOnly,
    Code::Dedup,
];

/// Whether a finding, or one of its parts, is what a test looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It is.
    Carries,
    /// It could be, but for this.
    Near(Code),
    /// It is not.
    No,
}

impl Fit {
    fn of(holds: bool) -> Self {
        if holds { Self::Carries } else { Self::No }
    }
}

/// One claim held against what was observed.
pub struct Evaluation<'a> {
    pub(super) observed: &'a Observed<'a>,
    pub(super) claim: &'a Claim,
    flows: BTreeMap<&'a str, &'a FlowSummary>,
    endpoints: BTreeMap<(String, Transport), &'a EndpointSummary>,
    /// How many actions made each thing.
    pub(super) made: BTreeMap<&'a str, u32>,
    /// What files hold, by name.
    pub(super) contents: BTreeMap<&'a str, Digest>,
    /// How many of the files that actions made hold it.
    pub(super) copies: BTreeMap<Digest, u32>,
}

impl<'a> Evaluation<'a> {
    /// Takes a claim.
    pub fn new(observed: &'a Observed<'a>, claim: &'a Claim) -> Self {
        let flows = observed.flows.iter().map(|flow| (flow.name.as_str(), flow)).collect();
        let ends = observed.endpoints.iter();
        let endpoints = ends.map(|end| ((socket(&end.address, end.port), end.transport), end)).collect();
        let contents: BTreeMap<&str, Digest> = observed
            .artifacts
            .iter()
            .filter_map(|artifact| Some((artifact.name.as_str(), artifact.sha256?)))
            .collect();
        let mut made: BTreeMap<&str, u32> = BTreeMap::new();
        for thing in observed.runs.iter().flat_map(|run| &run.actions).flat_map(|action| &action.makes) {
            *made.entry(thing).or_default() += 1;
        }
        let mut copies: BTreeMap<Digest, u32> = BTreeMap::new();
        for sha256 in made.keys().filter_map(|thing| contents.get(thing)) {
            *copies.entry(*sha256).or_default() += 1;
        }
        Self { observed, claim, flows, endpoints, made, contents, copies }
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
            Predicate::NeverUploads { what, to } => {
                let test = |finding: &Finding| self.is_upload_of(finding, what, to);
                let never = phases.iter().map(|phase| self.never(phase, &Sought::of(what), test));
                self.with_witness(conjunction(never), || self.seen_in_control(test))
            }
            Predicate::OnlyUploads { allowed, personal } => {
                let test = |finding: &Finding| {
                    Fit::of(self.is_of(finding, personal) && !self.is_of(finding, allowed))
                };
                let never = phases.iter().map(|phase| self.never(phase, &Sought::of(personal), test));
                self.with_witness(conjunction(never), || self.seen_declared(phases, allowed))
            }
            Predicate::Encrypted { what } => {
                let test = |finding: &Finding| self.is_clear_upload_of(finding, what);
                let never = phases.iter().map(|phase| self.never(phase, &Sought::in_clear(what), test));
                self.with_witness(conjunction(never), || {
                    self.seen_in(&self.with_control(phases), |finding| {
                        self.is_sealed_upload_of(finding, what)
                    })
                })
            }
            Predicate::NeedsConsent { what, action } => self.needs_consent(phases, what, action),
            Predicate::Setting { setting, is } => {
                conjunction(phases.iter().map(|phase| self.setting(phase, setting, is)))
            }
        }
    }

    /// What blocks everything that uses a phase; clocks only what needs time.
    pub(super) fn blocked(&self, phase: &str, needs_time: bool) -> Option<Outcome> {
        let reasons: Vec<Code> = BLOCK_ALL
            .iter()
            .filter(|code| needs_time || **code != Code::Clock)
            .filter(|code| self.gate(phase, **code) == GateState::Failed)
            .map(|code| if *code == Code::PhaseRan { Code::PhaseNotRun } else { *code })
            .collect();
        (!reasons.is_empty()).then(|| Outcome::unsettled(reasons))
    }

    pub(super) fn gate(&self, phase: &str, code: Code) -> GateState {
        self.observed
            .gates
            .iter()
            .find(|gate| gate.phase == phase && gate.id == code.name())
            .map_or(GateState::NotCheckable, |gate| gate.state)
    }

    fn connects(&self, phase: &str, to: &Term, attended: Option<bool>) -> Outcome {
        if let Some(blocked) = self.blocked(phase, attended.is_some()) {
            return blocked;
        }
        let mut near = BTreeSet::new();
        let mut outcome = Outcome::default();
        for flow in self.observed.flows {
            let Some(endpoint) = self.endpoint(flow) else { continue };
            if flow.run.is_none() && self.fits(flow, endpoint, to, None) != Fit::No {
                near.insert(Code::OutsideRuns);
            }
            if self.phase_of(flow) != Some(phase) {
                continue;
            }
            match self.fits(flow, endpoint, to, attended) {
                Fit::No => continue,
                Fit::Near(code) => {
                    near.insert(code);
                    continue;
                }
                Fit::Carries => {}
            }
            outcome.truth = Some(true);
            outcome.grades.insert("flow".to_owned());
            outcome.phases.insert(phase.to_owned());
            let end = socket(&endpoint.address, endpoint.port);
            outcome.endpoints.insert(end.clone());
            outcome.connections.entry((phase.to_owned(), end)).or_insert_with(|| flow.name.clone());
            if !to.registered_country.is_empty() && !is_near(self.observed.table_date, flow.first) {
                outcome.reasons.insert(Code::TableDate);
            }
        }
        if outcome.truth.is_some() { outcome } else { self.absence(phase, &Sought::Connection, near) }
    }

    /// A connection to there; and, where asked, while nobody touched the phone.
    fn fits(&self, flow: &FlowSummary, endpoint: &EndpointSummary, to: &Term, attended: Option<bool>) -> Fit {
        if !is_connection(flow) {
            return Fit::No;
        }
        let idle = if attended == Some(false) { self.was_idle(flow) } else { Fit::Carries };
        match (reach(flow, endpoint, to), idle) {
            (Reach::Elsewhere, _) | (_, Fit::No) => Fit::No,
            (Reach::Shared, _) => Fit::Near(Code::SharedHost),
            (Reach::There, idle) => idle,
        }
    }

    fn uploads(&self, phase: &str, what: &Term, to: &[Term]) -> Outcome {
        if let Some(blocked) = self.blocked(phase, false) {
            return blocked;
        }
        let (carrying, mut near) = self.carrying(phase, |finding| self.is_upload_of(finding, what, to));
        if !carrying.is_empty() {
            return Outcome::carried_by(true, &stronger(carrying));
        }
        if self.is_underpowered(phase, what) {
            near.insert(Code::Underpowered);
        }
        self.absence(phase, &Sought::of(what), near)
    }

    /// Whether a test of what a term names would have needed more windows.
    fn is_underpowered(&self, phase: &str, what: &Term) -> bool {
        let tests = self.observed.statistics.iter().filter(|test| test.phase == phase);
        let mut tests = tests.filter(|test| self.makes_photos_of(&test.action, what));
        tests.any(|test| test.outcome == TestOutcome::Underpowered)
    }

    /// Whether the photos that an action makes are a term's.
    fn makes_photos_of(&self, action: &str, term: &Term) -> bool {
        let planned = self.observed.plan.actions.iter().find(|planned| planned.id == action);
        let made = planned.into_iter().flat_map(|planned| &planned.makes);
        let named = || made.clone().any(|made| term.artifacts.iter().any(|wanted| names(made, wanted)));
        term.photos || term.files || named()
    }

    /// A universal: one counterexample refutes it, and absence supports it.
    fn never(&self, phase: &str, sought: &Sought<'_>, counterexample: impl Fn(&Finding) -> Fit) -> Outcome {
        if let Some(blocked) = self.blocked(phase, false) {
            return blocked;
        }
        let (carrying, near) = self.carrying(phase, counterexample);
        let strong = stronger(carrying.clone());
        if strong.iter().any(|finding| finding.grade != Grade::Statistical) {
            return Outcome::carried_by(false, &strong);
        }
        let mut outcome = self.absence(phase, sought, near);
        if carrying.is_empty() {
            outcome.truth = outcome.truth.map(|found| !found);
        } else {
            outcome.truth = None;
            outcome.reasons.insert(Code::StatisticalOnly);
        }
        outcome
    }

    /// Findings of a phase that pass a test and may carry a verdict; and why others may not.
    pub(super) fn carrying(
        &self,
        phase: &str,
        test: impl Fn(&Finding) -> Fit,
    ) -> (Vec<&'a Finding>, BTreeSet<Code>) {
        let mut near = BTreeSet::new();
        let mut carrying = Vec::new();
        for finding in self.observed.findings.iter().filter(|finding| finding.phase == phase) {
            let fit = test(finding);
            if fit == Fit::No || (finding.grade == Grade::Derived && !finding.probative) {
                // A picture that looks alike by chance is no sign: its bytes stay unaccounted for all the same.
                continue;
            }
            if self.is_of_another(finding) {
                near.insert(Code::OtherDevice);
                continue;
            }
            let disabled: Vec<Code> = DISABLING
                .iter()
                .filter(|code| finding.caveats.iter().any(|caveat| caveat == code.name()))
                .copied()
                .collect();
            match fit {
                _ if !disabled.is_empty() => near.extend(disabled),
                _ if !finding.probative || finding.probative_bytes < self.least(finding) => {
                    near.insert(Code::NotProbative);
                }
                Fit::Near(code) => {
                    near.insert(code);
                }
                _ => carrying.push(finding),
            }
        }
        (carrying, near)
    }

    /// Whether another machine sent it, where the phone's bytes are told apart. That is worth saying, and does not stand in
    /// the way of absence.
    pub(super) fn is_of_another(&self, finding: &Finding) -> bool {
        let foreign = finding.caveats.iter().any(|caveat| caveat == Code::OtherDevice.name());
        foreign && self.gate(&finding.phase, Code::Attribution) == GateState::Held
    }

    /// Probative bytes that parts of an artifact need; other files and values are weighed by chance alone.
    fn least(&self, finding: &Finding) -> u64 {
        let photo = || self.artifact(finding).is_some_and(|artifact| artifact.kind == "photo");
        if finding.grade == Grade::Partial && photo() {
            SMALLEST_PHOTO.min(finding.artifact_bytes)
        } else {
            0
        }
    }

    /// Whether those parts of a finding that pass a test are enough by themselves: one whole copy of a file, one
    /// occurrence of a value; of ranges all of them, or (of photos) as many probative bytes as a photo needs.
    pub(super) fn weigh_parts(&self, finding: &Finding, test: &dyn Fn(&Part) -> Fit) -> Fit {
        let sent: Vec<&Part> = finding.parts.iter().filter(|part| part.direction == Direction::Up).collect();
        let carrying: Vec<&Part> = sent.iter().copied().filter(|part| test(part) == Fit::Carries).collect();
        if self.is_enough(finding, &carrying, sent.len()) {
            return Fit::Carries;
        }
        let near = sent.iter().find_map(|part| match test(part) {
            Fit::Near(code) => Some(code),
            _ => None,
        });
        match near {
            Some(code) => Fit::Near(code),
            None if carrying.is_empty() => Fit::No,
            None => Fit::Near(Code::NotProbative),
        }
    }

    fn is_enough(&self, finding: &Finding, some: &[&Part], of: usize) -> bool {
        let whole = ByteRange::new(0, finding.artifact_bytes);
        match finding.grade {
            Grade::Exact => {
                // What several connections carried together none of them did by itself.
                let across = |part: &&Part| part.steps.iter().any(|step| step.op == Step::ACROSS);
                let count = |parts: &mut dyn Iterator<Item = &Part>| parts.filter(across).count();
                let all = count(&mut some.iter().copied())
                    == count(&mut finding.parts.iter().filter(|part| part.direction == Direction::Up));
                let counted = some.iter().copied().filter(|part| all || !across(part));
                ByteRange::unite(counted.map(|part| part.artifact_range)) == [whole]
            }
            Grade::Identifier | Grade::Record | Grade::Derived => !some.is_empty(),
            Grade::Partial | Grade::Statistical => {
                let covered = ByteRange::covered(some.iter().map(|part| part.artifact_range));
                let elsewhere = finding.matched_bytes.saturating_sub(covered);
                let least = self.least(finding);
                let rest_is_enough = least > 0 && finding.probative_bytes.saturating_sub(elsewhere) >= least;
                !some.is_empty() && (some.len() == of || rest_is_enough)
            }
        }
    }

    fn setting(&self, phase: &str, setting: &str, is: &str) -> Outcome {
        if let Some(blocked) = self.blocked(phase, false) {
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
        let phases = truth.map(|_| phase.to_owned()).into_iter().collect();
        Outcome { truth, grades, reasons, phases, ..Outcome::default() }
    }

    fn is_upload_of(&self, finding: &Finding, what: &Term, to: &[Term]) -> Fit {
        if !self.is_of(finding, what) {
            return Fit::No;
        }
        if to.is_empty() {
            return Fit::Carries;
        }
        self.weigh_parts(finding, &|part| {
            let flow = self.flow(&part.flow);
            let Some((flow, endpoint)) = flow.and_then(|flow| Some((flow, self.endpoint(flow)?))) else {
                return Fit::No;
            };
            let reached: Vec<Reach> = to.iter().map(|term| reach(flow, endpoint, term)).collect();
            if reached.contains(&Reach::There) {
                Fit::Carries
            } else if reached.contains(&Reach::Shared) {
                Fit::Near(Code::SharedHost)
            } else {
                Fit::No
            }
        })
    }

    fn is_sealed_upload_of(&self, finding: &Finding, what: &Term) -> Fit {
        if !self.is_of(finding, what) {
            return Fit::No;
        }
        self.weigh_parts(finding, &|part| Fit::of(!is_in_clear(part)))
    }

    fn is_clear_upload_of(&self, finding: &Finding, what: &Term) -> Fit {
        // What nobody can read is not known to be clear.
        if !self.is_of(finding, what) || finding.grade == Grade::Statistical {
            return Fit::No;
        }
        self.weigh_parts(finding, &|part| Fit::of(is_in_clear(part)))
    }

    /// Whether a finding's artifact is one of a term's.
    pub(super) fn is_of(&self, finding: &Finding, term: &Term) -> bool {
        if finding.grade == Grade::Statistical {
            return finding
                .artifact
                .strip_prefix(MADE_BY)
                .is_some_and(|action| self.makes_photos_of(action, term));
        }
        let Some(artifact) = self.artifact(finding) else { return false };
        let named = |wanted: &String| names(&artifact.name, wanted);
        match (artifact.name.strip_prefix("identifier:"), artifact.kind.as_str()) {
            (Some(kind), _) => term.all_identifiers || term.identifiers.iter().any(|wanted| wanted == kind),
            (None, "message") => term.messages || term.artifacts.iter().any(named),
            (None, kind @ ("number" | "mail" | "name" | "location" | "serial" | "package" | "call")) => {
                // A name is a word that stands in many places, a moment no identifier: they count where the plan names them.
                (term.all_identifiers && !matches!(kind, "name" | "call"))
                    || term.identifiers.iter().chain(&term.artifacts).any(named)
            }
            (None, kind) => {
                term.files || (term.photos && kind == "photo") || term.artifacts.iter().any(named)
            }
        }
    }

    pub(super) fn artifact(&self, finding: &Finding) -> Option<&'a ArtifactSummary> {
        self.observed.artifacts.iter().find(|artifact| artifact.name == finding.artifact)
    }

    pub(super) fn run(&self, id: &str) -> Option<&'a RunSummary> {
        self.observed.runs.iter().find(|run| run.id == id)
    }

    fn phase_of(&self, flow: &FlowSummary) -> Option<&'a str> {
        Some(self.run(flow.run.as_ref()?)?.phase.as_str())
    }

    pub(super) fn flow(&self, name: &str) -> Option<&'a FlowSummary> {
        self.flows.get(name).copied()
    }

    pub(super) fn endpoint(&self, flow: &FlowSummary) -> Option<&'a EndpointSummary> {
        self.endpoints.get(&(flow.remote.clone(), flow.transport)).copied()
    }

    /// Whether a flow began while nobody touched the phone, by more than the clocks' uncertainty.
    fn was_idle(&self, flow: &FlowSummary) -> Fit {
        let Some(run) = flow.run.as_ref().and_then(|id| self.run(id)).filter(|run| run.recorded) else {
            return Fit::Near(Code::NoActions);
        };
        let skew = i64::try_from(self.observed.plan.max_skew_ms.unwrap_or(0)).unwrap_or(i64::MAX);
        let within = |margin: i64| {
            run.windows.iter().filter(|window| window.idle).any(|window| {
                let (since, until) =
                    (flow.first.millis_since(window.start), window.end.millis_since(flow.first));
                since >= margin && until >= margin && (margin != 0 || flow.first < window.end)
            })
        };
        if within(skew) {
            // What answers a push was not done by the phone alone.
            if flow.unasked_ms.is_some() { Fit::Near(Code::AnswersPush) } else { Fit::Carries }
        } else if skew != 0 && within(skew.saturating_neg()) {
            Fit::Near(Code::OrderUnknown)
        } else {
            Fit::No
        }
    }
}

/// What was read, where anything was; else what sizes and times speak for.
fn stronger(carrying: Vec<&Finding>) -> Vec<&Finding> {
    let read = |finding: &&Finding| finding.grade != Grade::Statistical;
    if carrying.iter().any(read) { carrying.into_iter().filter(read).collect() } else { carrying }
}

/// Opened by the phone, completed, with a byte sent.
pub(super) fn is_connection(flow: &FlowSummary) -> bool {
    flow.opened_by == "phone" && flow.uplink.total > flow.uplink.lost && is_completed(flow)
}

/// A UDP exchange has no handshake: an answer stands in its place.
fn is_completed(flow: &FlowSummary) -> bool {
    match flow.transport {
        Transport::Tcp => flow.handshake,
        Transport::Udp => flow.downlink_bytes > 0,
    }
}

/// Whether a device file's logical path is the one a plan names: the whole path or its last components. Of a record
/// (`PATH#ID`) the id is enough.
fn names(path: &str, wanted: &str) -> bool {
    path == wanted || path.strip_suffix(wanted).is_some_and(|before| before.ends_with(['/', '#']))
}

/// Whether no step of a part took off encryption.
pub(super) fn is_in_clear(part: &Part) -> bool {
    const SEALED: [&str; 3] = ["tls", "dtls", "quic"];
    !part.steps.iter().any(|step| SEALED.iter().any(|seal| step.op.starts_with(seal)))
}

fn socket(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// Whether a table's day lies no more than 90 days from a moment (scenario.md, "Never testable by traffic").
fn is_near(table_date: &str, time: Timestamp) -> bool {
    const DAYS: i64 = 90;
    let day: Option<Timestamp> = format!("{table_date}T00:00:00Z").parse().ok();
    day.is_some_and(|day| day.millis_since(time).abs() <= DAYS * 24 * 60 * 60 * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_near_within_ninety_days_either_way() {
        let time = "2026-11-20T10:00:00Z".parse().unwrap();
        assert!(is_near("2026-11-01", time));
        assert!(is_near("2027-02-18", time));
        assert!(!is_near("2026-08-21", time));
        assert!(!is_near("", time), "an unknown date is not near");
    }

    #[test]
    fn a_path_is_named_by_whole_components() {
        assert!(names("device/stock/DCIM/IMG_1.jpg", "DCIM/IMG_1.jpg"));
        assert!(!names("device/stock/DCIM/XIMG_1.jpg", "IMG_1.jpg"));
        assert!(names("device/stock/sms.csv#sms-body-1", "sms-body-1"));
        assert!(!names("device/stock/sms.csv#sms-body-12", "sms-body-1"));
    }
}
