//! When nothing was found: whether it would have been.
//!
//! Absence settles a test only where every gate that it rests on has held, where no window had room for the thing, where
//! it was looked for in enough windows, and where what the lab sent itself was found (scenario.md, "Absence"). All of it
//! must be known: what is not declared or not recorded stands in the way.

use std::collections::BTreeSet;

use super::{
    evaluate::{Evaluation, Fit},
    gates::{self, BLOCK_ABSENCE, BLOCK_ALL, Recall, SMALLEST_PHOTO},
    outcome::{Absent, Outcome},
};
use crate::{
    case::scenario::plan::{Role, Term},
    findings::{Finding, GateState, Places, RunSummary, codes::Code},
};

/// Bits that a decimal digit holds, in thousandths.
const MILLIBITS_OF_DIGIT: u64 = 3_322;
/// The same of a hexadecimal digit.
const MILLIBITS_OF_HEX: u64 = 4_000;
/// The same of a letter in running text: what people need to guess the next one (C. E. Shannon, "Prediction and Entropy of
/// Printed English", 1951: 0.6 to 1.3 bits).
const MILLIBITS_OF_LETTER: u64 = 600;

/// What is looked for.
pub(super) enum Sought<'a> {
    /// A connection: opaque bytes, fresh artifacts and spikes don't matter.
    Connection,
    /// What a term means.
    Upload {
        /// The term.
        what: &'a Term,
        /// Whether only what is sent in clear counts.
        in_clear: bool,
    },
}

impl<'a> Sought<'a> {
    /// What a term means, sent in any way.
    pub(super) fn of(what: &'a Term) -> Self {
        Self::Upload { what, in_clear: false }
    }

    /// What a term means, sent in clear.
    pub(super) fn in_clear(what: &'a Term) -> Self {
        Self::Upload { what, in_clear: true }
    }
}

/// Kinds of things that need windows, spikes and room of their own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Photo,
    Message,
    Identifier,
}

impl Class {
    const ALL: [Self; 3] = [Self::Photo, Self::Message, Self::Identifier];

    /// As spikes name it.
    fn name(self) -> &'static str {
        match self {
            Self::Photo => "photo",
            Self::Message => "message",
            Self::Identifier => "identifier",
        }
    }
}

impl Evaluation<'_> {
    /// Nothing was found in a phase: `false` where it would have been, else what stands in the way.
    pub(super) fn absence(&self, phase: &str, sought: &Sought<'_>, near: BTreeSet<Code>) -> Outcome {
        let runs: Vec<&RunSummary> = self.observed.runs.iter().filter(|run| run.phase == phase).collect();
        let runs = runs.as_slice();
        let mut near = near;
        let attributed = self.gate(phase, Code::Attribution) == GateState::Held;
        let another = attributed && near.remove(&Code::OtherDevice);
        let mut outcome = Outcome::unsettled(near);
        let exempt: &[Code] = match sought {
            Sought::Connection => &[Code::ResidualCapacity, Code::SpikeRecall, Code::Budget, Code::Windows],
            // Judged below, for what is looked for.
            Sought::Upload { .. } => &[Code::ResidualCapacity, Code::SpikeRecall, Code::Windows],
        };
        let gates = BLOCK_ABSENCE.iter().chain(BLOCK_ALL).filter(|code| !exempt.contains(code));
        outcome.reasons.extend(gates.filter(|code| self.gate(phase, **code) != GateState::Held).copied());
        let absent = match sought {
            Sought::Connection => self.no_connection(runs, &mut outcome.reasons),
            Sought::Upload { what, in_clear } => {
                self.no_upload(phase, what, *in_clear, runs, &mut outcome.reasons)
            }
        };
        if outcome.reasons.is_empty() {
            outcome.truth = Some(false);
            outcome.grades.insert("absence".to_owned());
            outcome.phases.insert(phase.to_owned());
            outcome.absent.insert(phase.to_owned(), absent);
        } else {
            outcome.reasons.insert(Code::NotObserved);
            outcome.reasons.extend(another.then_some(Code::OtherDevice));
        }
        outcome
    }

    fn needed(&self) -> u32 {
        self.observed.plan.windows_needed
    }

    /// Idle windows in which nothing connected.
    fn no_connection(&self, runs: &[&RunSummary], reasons: &mut BTreeSet<Code>) -> Absent {
        let idle = runs.iter().flat_map(|run| &run.windows).filter(|window| window.idle).count();
        let windows = u32::try_from(idle).unwrap_or(u32::MAX);
        if windows < self.needed() {
            reasons.insert(Code::Windows);
        }
        Absent { windows, residual: None, spikes: None }
    }

    /// Windows each with a fresh artifact, none with room for it, and spikes that were found.
    fn no_upload(
        &self,
        phase: &str,
        what: &Term,
        in_clear: bool,
        runs: &[&RunSummary],
        reasons: &mut BTreeSet<Code>,
    ) -> Absent {
        let classes: Vec<Class> =
            Class::ALL.into_iter().filter(|class| self.asks_for(what, *class)).collect();
        let windows = classes.iter().map(|class| self.windows(*class, runs)).min().unwrap_or(0);
        if windows < self.needed() {
            reasons.insert(Code::Windows);
        }
        let figure = if in_clear { Places::residual_in_clear } else { Places::residual };
        let residual = gates::largest(self.observed.ledger, phase, runs, figure);
        let least = classes.iter().map(|class| self.smallest(what, *class)).min().unwrap_or(0);
        if residual >= least {
            reasons.insert(Code::ResidualCapacity);
        }
        if gates::outside_runs(self.observed.ledger, figure) >= least {
            reasons.insert(Code::OutsideRuns);
        }
        let beside = self.observed.beside.get(phase).copied().unwrap_or_default();
        for (bytes, code) in [(beside.unread, Code::OtherProtocols), (beside.disputed, Code::AmbiguousBytes)]
        {
            reasons.extend((bytes > 0 && bytes >= least).then_some(code));
        }
        let spikes = self.spikes(phase, &classes);
        if spikes.is_none() {
            reasons.insert(Code::SpikeRecall);
        }
        let signs = self.observed.signs.get(phase);
        reasons.extend(signs.into_iter().flatten().copied());
        let unsent = |finding: &&Finding| {
            finding.phase == phase
                && self.is_of(finding, what)
                && finding.caveats.iter().any(|caveat| caveat == Code::Dedup.name())
        };
        if self.observed.findings.iter().any(|finding| unsent(&finding)) {
            reasons.insert(Code::Dedup);
        }
        Absent { windows, residual: Some((residual, least)), spikes }
    }

    /// Whether a term asks for things of a class. Files of other kinds stand with photos: they are as large.
    fn asks_for(&self, what: &Term, class: Class) -> bool {
        let kinds: &[&str] = match class {
            Class::Photo if what.photos || what.files => return true,
            Class::Message if what.messages => return true,
            Class::Identifier if what.all_identifiers || !what.identifiers.is_empty() => return true,
            Class::Photo => &["photo", "file"],
            Class::Message => &["message"],
            Class::Identifier => &["number", "mail", "name", "location", "serial", "identifier"],
        };
        let named = |artifact: &&str| {
            self.observed
                .artifacts
                .iter()
                .any(|known| kinds.contains(&known.kind.as_str()) && known.name.ends_with(*artifact))
        };
        what.artifacts.iter().map(String::as_str).any(|artifact| named(&artifact))
    }

    /// Windows of a class: those that made a fresh artifact of it. What the phone always holds is fresh in each run.
    fn windows(&self, class: Class, runs: &[&RunSummary]) -> u32 {
        let fresh = |run: &&&RunSummary| match class {
            Class::Identifier => run.recorded && !run.windows.is_empty(),
            Class::Photo => self.makes(run, &["take-photo"]),
            Class::Message => self.makes(run, &["receive-sms", "send-sms"]),
        };
        u32::try_from(runs.iter().filter(fresh).count()).unwrap_or(u32::MAX)
    }

    /// Whether a run holds an action of one of these verbs that made something that no other run's did: another path, and
    /// other bytes.
    fn makes(&self, run: &RunSummary, verbs: &[&str]) -> bool {
        let is_fresh = |made: &String| {
            let made = made.as_str();
            self.made.get(made) == Some(&1)
                && self.contents.get(made).is_some_and(|sha256| self.copies.get(sha256) == Some(&1))
        };
        run.recorded
            && run
                .actions
                .iter()
                .any(|action| verbs.contains(&action.verb.as_str()) && action.makes.iter().any(is_fresh))
    }

    /// The fewest bytes that could carry a thing of a class.
    fn smallest(&self, what: &Term, class: Class) -> u64 {
        match class {
            Class::Photo => SMALLEST_PHOTO,
            Class::Message | Class::Identifier => {
                let plan = self.observed.plan;
                let named = |name: &str| {
                    what.identifiers.is_empty() || what.identifiers.iter().any(|one| one == name)
                };
                let declared = plan.entropy_bits.values().map(|bits| bits * 1_000);
                let phones = plan.phone.identifiers.iter();
                let own = phones.filter(|(kind, _)| named(kind)).map(|(_, value)| millibits(value));
                let bits =
                    if class == Class::Identifier { own.chain(declared).min() } else { declared.min() };
                // Of a message whose random bits nobody declared nothing is known: one byte could stand for it.
                bits.map_or(1, |bits| bits.div_ceil(8_000).max(1))
            }
        }
    }

    /// Spikes of these classes in a phase, sent and found; none unless each class was sent in every carrier that the plan
    /// asks for and found often enough.
    fn spikes(&self, phase: &str, classes: &[Class]) -> Option<(u32, u32)> {
        let plan = self.observed.plan;
        let planned = plan.spikes.as_ref()?;
        let (mut sent, mut found) = (0, 0);
        let mut weakest: Option<&Recall> = None;
        for class in classes {
            let own: Vec<&Recall> = self
                .observed
                .recalls
                .iter()
                .filter(|recall| recall.phase == phase && recall.class == class.name())
                .collect();
            let covered = |carrier: &String| own.iter().any(|recall| recall.over == carrier);
            if own.is_empty()
                || !planned.over.iter().all(covered)
                || own.iter().any(|recall| recall.bound < plan.spike_recall)
            {
                return None;
            }
            let least = own.iter().min_by(|a, b| a.bound.total_cmp(&b.bound)).copied();
            weakest = [weakest, least].into_iter().flatten().min_by(|a, b| a.bound.total_cmp(&b.bound));
        }
        if let Some(recall) = weakest {
            (sent, found) = (recall.sent, recall.found);
        }
        (sent > 0).then_some((sent, found))
    }

    /// A universal that nothing speaks against holds only where the same kind of event was seen where it is expected.
    pub(super) fn with_witness(
        &self,
        mut outcome: Outcome,
        witness: impl FnOnce() -> Option<Outcome>,
    ) -> Outcome {
        if outcome.truth != Some(true) {
            return outcome;
        }
        match witness() {
            Some(seen) => {
                outcome.witness.extend(seen.findings);
                outcome
            }
            None => Outcome::unsettled([Code::NoWitness]),
        }
    }

    /// The phases where an event is expected: the claim's witness, or the positive controls.
    fn control(&self) -> Vec<String> {
        match &self.claim.witness {
            Some(phase) => vec![phase.clone()],
            None => gates::with_role(self.observed.plan, Role::PositiveControl).map(str::to_owned).collect(),
        }
    }

    pub(super) fn with_control(&self, phases: &[String]) -> Vec<String> {
        let control = self.control();
        let more = control.into_iter().filter(|phase| !phases.contains(phase));
        phases.iter().cloned().chain(more).collect()
    }

    pub(super) fn seen_in_control(&self, test: impl Fn(&Finding) -> Fit) -> Option<Outcome> {
        self.seen_in(&self.control(), test)
    }

    /// Findings in any of some phases that pass a test.
    pub(super) fn seen_in(&self, phases: &[String], test: impl Fn(&Finding) -> Fit) -> Option<Outcome> {
        let seen: Vec<&Finding> = phases
            .iter()
            .filter(|phase| self.blocked(phase, false).is_none())
            .flat_map(|phase| self.carrying(phase, &test).0)
            .filter(|finding| finding.grade != crate::findings::Grade::Statistical)
            .collect();
        (!seen.is_empty()).then(|| Outcome::carried_by(true, &seen))
    }

    /// Whether each phase shows messages that a declared schema accounts for.
    pub(super) fn seen_declared(&self, phases: &[String], allowed: &Term) -> Option<Outcome> {
        let seen = |phase: &String| {
            self.observed.declared.iter().any(|declared| {
                declared.phase == *phase && declared.term == allowed.name && declared.messages > 0
            })
        };
        phases.iter().all(seen).then(Outcome::default)
    }
}

/// Bits that a value holds at most, in thousandths: what a shorter code for all values of its kind could not go below.
fn millibits(value: &str) -> u64 {
    let letters = value.chars().filter(char::is_ascii_alphanumeric);
    let count = letters.clone().count() as u64;
    if letters.clone().all(|c| c.is_ascii_digit()) {
        count * MILLIBITS_OF_DIGIT
    } else if letters.clone().all(|c| c.is_ascii_hexdigit()) {
        count * MILLIBITS_OF_HEX
    } else {
        value.chars().count() as u64 * MILLIBITS_OF_LETTER
    }
}
