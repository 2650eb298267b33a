//! What a test came to, and how outcomes are put together in Kleene's three values.

use std::collections::{BTreeMap, BTreeSet};

use crate::findings::{Finding, codes::Code};

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
    /// Findings that show the same kind of event where it is expected.
    pub witness: BTreeSet<String>,
    /// Endpoints that carry it.
    pub endpoints: BTreeSet<String>,
    /// The first connection to each of them, by phase and endpoint.
    pub connections: BTreeMap<(String, String), String>,
    /// Phases in which that was.
    pub phases: BTreeSet<String>,
    /// What a conclusion from absence rests on, by phase.
    pub absent: BTreeMap<String, Absent>,
}

/// Nothing was found in a phase, and something would have been.
#[derive(Clone, Debug, PartialEq)]
pub struct Absent {
    /// Windows in which it was looked for.
    pub windows: u32,
    /// The largest residual capacity of a window, in bytes, and the smallest carrier; none where capacity does not matter.
    pub residual: Option<(u64, u64)>,
    /// Spikes sent and found; none where they don't apply.
    pub spikes: Option<(u32, u32)>,
}

impl Absent {
    /// Of two things that were not found in a phase: fewer windows, more capacity, fewer spikes found.
    fn weaken(&mut self, other: &Self) {
        self.windows = self.windows.min(other.windows);
        if let Some((residual, least)) = other.residual {
            let (own, smallest) = self.residual.unwrap_or((0, u64::MAX));
            self.residual = Some((own.max(residual), smallest.min(least)));
        }
        if let Some((sent, found)) = other.spikes {
            let own = self.spikes.unwrap_or((sent, found));
            self.spikes = Some(if own.0 <= sent { own } else { (sent, found) });
        }
    }
}

impl Outcome {
    pub(super) fn unsettled(reasons: impl IntoIterator<Item = Code>) -> Self {
        Self { reasons: reasons.into_iter().collect(), ..Self::default() }
    }

    pub(super) fn carried_by(truth: bool, findings: &[&Finding]) -> Self {
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
            phases: findings.iter().map(|finding| finding.phase.clone()).collect(),
            ..Self::default()
        }
    }

    /// Takes over what another outcome rests on; its truth is left to the caller.
    pub(super) fn absorb(&mut self, other: Self) {
        self.grades.extend(other.grades);
        self.reasons.extend(other.reasons);
        self.findings.extend(other.findings);
        self.witness.extend(other.witness);
        self.endpoints.extend(other.endpoints);
        self.connections.extend(other.connections);
        self.phases.extend(other.phases);
        for (phase, absent) in other.absent {
            self.absent.entry(phase).and_modify(|known| known.weaken(&absent)).or_insert(absent);
        }
    }
}

/// Kleene: false if any part is false, true if all are true.
pub(super) fn conjunction(parts: impl Iterator<Item = Outcome>) -> Outcome {
    kleene(parts.collect(), false)
}

/// Kleene: true if any part is true, false if all are false.
pub(super) fn disjunction(parts: impl Iterator<Item = Outcome>) -> Outcome {
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
}
