//! Whether something was sent before its phone's user consented.

use std::collections::BTreeSet;

use super::{
    absence::Sought,
    evaluate::{Evaluation, Fit},
    outcome::{Outcome, conjunction},
};
use crate::{
    case::scenario::plan::Term,
    findings::{ActionSummary, Finding, Grade, Ledger, Part, RunSummary, codes::Code},
};

/// `from` of a phase that begins with a phone that knows nothing of what was done before.
const RESETS: [&str; 2] = ["factory-reset", "wipe"];

/// When a part was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Before the consent, or where none was given.
    Before,
    /// After it.
    After,
    /// It can't be told.
    Unknown(Code),
}

/// What a phase's phone may remember.
pub(super) struct Past<'a> {
    /// The phase and those that it goes on from.
    phases: Vec<&'a str>,
    /// Whether they begin with a reset.
    pub(super) from_reset: bool,
}

impl Evaluation<'_> {
    /// "Never before the action, and seen after it": refuted by one upload before; supported where nothing went before
    /// (absence, in what each run shows before the consent) and something went after.
    pub(super) fn needs_consent(&self, phases: &[String], what: &Term, action: &str) -> Outcome {
        let mut seen_after = Outcome::unsettled([Code::NoWitness]);
        let mut never = Vec::new();
        for phase in phases {
            if let Some(blocked) = self.blocked(phase, true) {
                never.push(blocked);
                continue;
            }
            let sent = |finding: &Finding, wanted: Order| {
                if !self.is_of(finding, what) || finding.grade == Grade::Statistical {
                    return Fit::No;
                }
                self.weigh_parts(finding, &|part| match self.order(phase, part, action) {
                    order if order == wanted => Fit::Carries,
                    Order::Unknown(code) => Fit::Near(code),
                    _ => Fit::No,
                })
            };
            let (before, near) = self.carrying(phase, |finding| sent(finding, Order::Before));
            if !before.is_empty() {
                return Outcome::carried_by(false, &before);
            }
            let (after, _) = self.carrying(phase, |finding| sent(finding, Order::After));
            if !after.is_empty() {
                seen_after = Outcome::carried_by(true, &after);
            }
            never.push(self.never_before(phase, what, action, near));
        }
        // A phase in which consent is always there shows nothing of the time before it; another one must.
        let shows = never.iter().any(|outcome| !outcome.absent.is_empty());
        let mut outcome = conjunction(never.into_iter());
        if outcome.truth == Some(true) && !shows {
            outcome = Outcome::unsettled([Code::NoWitness]);
        }
        match (outcome.truth, seen_after.truth) {
            (Some(true), Some(true)) => outcome.witness.extend(seen_after.findings),
            _ => {
                outcome.absorb(seen_after);
                outcome.truth = None;
            }
        }
        outcome
    }

    /// Whether nothing was sent in a phase before the consent: true, or what stands in the way. Where each run begins with
    /// the consent there is no time before it, and nothing but what was sent outside windows.
    fn never_before(&self, phase: &str, what: &Term, action: &str, near: BTreeSet<Code>) -> Outcome {
        let runs: Vec<&RunSummary> = self.observed.runs.iter().filter(|run| run.phase == phase).collect();
        let begins = |run: &&RunSummary| {
            run.recorded && run.actions.first().is_some_and(|first| self.is_consent(first, action))
        };
        let consents = |run: &RunSummary| run.actions.iter().any(|done| self.is_consent(done, action));
        if !runs.is_empty() && runs.iter().all(begins) {
            let outside = self.observed.ledger.by_window.iter().find(|row| row.of == Ledger::outside(phase));
            let open = outside.is_some_and(|row| row.bytes.residual() > 0 || row.bytes.matched > 0);
            let mut outcome = Outcome::unsettled(near);
            outcome.reasons.extend(open.then_some(Code::ResidualCapacity));
            outcome.truth = outcome.reasons.is_empty().then_some(true);
            return outcome;
        }
        // With the consent somewhere inside, windows before and after it are not told apart here.
        let mixed = runs.iter().any(|run| consents(run));
        let mut outcome = self.absence(phase, &Sought::of(what), near);
        if mixed {
            outcome.truth = None;
            outcome.reasons.insert(Code::OrderUnknown);
        }
        outcome.truth = outcome.truth.map(|found| !found);
        outcome
    }

    fn is_consent(&self, done: &ActionSummary, action: &str) -> bool {
        let planned = self.observed.plan.actions.iter().find(|planned| planned.id == action);
        done.id == action || planned.is_some_and(|planned| planned.verb == done.verb)
    }

    /// Whether a part was sent before every consent that its phone may remember, or after one of them.
    fn order(&self, phase: &str, part: &Part, action: &str) -> Order {
        let past = self.past(phase);
        let remembers = |run: &&RunSummary| !past.from_reset || past.phases.contains(&run.phase.as_str());
        let runs: Vec<&RunSummary> = self.observed.runs.iter().filter(remembers).collect();
        // Where nobody wrote down what was done, consent may have been given.
        if runs.iter().any(|run| !run.recorded) {
            return Order::Unknown(Code::NoActions);
        }
        let given: Vec<&ActionSummary> =
            runs.iter().flat_map(|run| &run.actions).filter(|done| self.is_consent(done, action)).collect();
        if given.is_empty() {
            // Never on record: certain only for a phone that starts from nothing.
            return if past.from_reset { Order::Before } else { Order::Unknown(Code::OrderUnknown) };
        }
        let here = runs.iter().filter(|run| run.phase == phase).flat_map(|run| &run.actions);
        if here.into_iter().any(|done| self.is_consent(done, action)) && self.times_disagree(phase) {
            return Order::Unknown(Code::PrecedesCreation);
        }
        let Some(skew) = self.observed.plan.max_skew_ms else { return Order::Unknown(Code::OrderUnknown) };
        let skew = i64::try_from(skew).unwrap_or(i64::MAX);
        if given.iter().all(|consent| part.last.millis_since(consent.start) < -skew) {
            Order::Before
        } else if given.iter().any(|consent| part.first.millis_since(consent.end) > skew) {
            Order::After
        } else {
            Order::Unknown(Code::OrderUnknown)
        }
    }

    /// Whether the phone sent something in a phase before it was made: then the times on record are not those of the
    /// packets, and nothing in it lies before or behind a consent of the same hours.
    fn times_disagree(&self, phase: &str) -> bool {
        self.observed.findings.iter().any(|finding| {
            finding.phase == phase
                && finding.probative
                && finding.caveats.iter().any(|caveat| caveat == Code::PrecedesCreation.name())
                && !self.is_of_another(finding)
        })
    }

    pub(super) fn past(&self, phase: &str) -> Past<'_> {
        let plan = &self.observed.plan;
        let mut past = Past { phases: Vec::new(), from_reset: false };
        let mut at = plan.phases.iter().find(|candidate| candidate.id == phase);
        // A chain longer than the plan has phases runs in a circle.
        while let Some(found) = at.filter(|_| past.phases.len() < plan.phases.len()) {
            past.phases.push(&found.id);
            let from = found.from.as_deref();
            past.from_reset = from.is_some_and(|from| RESETS.contains(&from));
            at = plan.phases.iter().find(|candidate| Some(candidate.id.as_str()) == from);
        }
        past
    }
}
