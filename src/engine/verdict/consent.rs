//! Whether something was sent before its phone's user consented.

use super::{evaluate::Evaluation, evaluate::Fit, outcome::Outcome};
use crate::{
    case::scenario::plan::Term,
    findings::{ActionSummary, Finding, Grade, Part, RunSummary, codes::Code},
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
struct Past<'a> {
    /// The phase and those that it goes on from.
    phases: Vec<&'a str>,
    /// Whether they begin with a reset.
    from_reset: bool,
}

impl Evaluation<'_> {
    /// "Never before the action, and seen after it": refuted by one upload before; "never" itself is absence, so
    /// that a witness alone does not support it.
    pub(super) fn needs_consent(&self, phases: &[String], what: &Term, action: &str) -> Outcome {
        let mut seen_after = Outcome::unsettled([Code::NoWitness]);
        let mut unsettled = Outcome::default();
        for phase in phases {
            if let Some(blocked) = self.blocked(phase) {
                unsettled.absorb(blocked);
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
            unsettled.reasons.extend(near);
            let (after, _) = self.carrying(phase, |finding| sent(finding, Order::After));
            if !after.is_empty() {
                seen_after = Outcome::carried_by(true, &after);
            }
            unsettled.absorb(self.absence(phase, std::iter::empty().collect()));
        }
        unsettled.absorb(seen_after);
        unsettled.truth = None;
        unsettled
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
        let verb = self
            .observed
            .plan
            .actions
            .iter()
            .find(|planned| planned.id == action)
            .map(|planned| &planned.verb);
        let is_consent = |done: &&ActionSummary| done.id == action || Some(&done.verb) == verb;
        let given: Vec<&ActionSummary> =
            runs.iter().flat_map(|run| &run.actions).filter(is_consent).collect();
        if given.is_empty() {
            // Never on record: certain only for a phone that starts from nothing.
            return if past.from_reset { Order::Before } else { Order::Unknown(Code::OrderUnknown) };
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

    fn past(&self, phase: &str) -> Past<'_> {
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
