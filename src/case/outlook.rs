//! What a case can still settle, before any engine runs: which verdicts, what stands in their way, how
//! long the plan takes.
//!
//! Facts of the plan and the record alone. Presence can be shown as soon as a phase is captured; absence
//! needs conditions that this version can't check, and says which.

use super::scenario::plan::{Claim, Phase, Plan, Predicate, Role, Run, Term};

/// What stands in the way of every conclusion from absence.
const NOT_BUILT: &str = "this version settles nothing by absence";
/// Conditions of absence that this version doesn't check, for one line below all claims.
pub const NOT_CHECKED: &str = "spike recall, positive control, epoch, twin run";
/// What follows an action that has no planned window, in milliseconds, when hours are counted.
const ASSUMED_WINDOW_MS: u64 = super::scenario::DEFAULT_WINDOW_MS;

/// What stands between a case and the verdicts on one claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// The claim's id.
    pub claim: String,
    /// What stands in the way of "supported"; nothing: it can be reached.
    pub supported: Vec<String>,
    /// What stands in the way of "refuted".
    pub refuted: Vec<String>,
}

/// One phase's share of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhaseHours {
    /// The phase.
    pub phase: String,
    /// Planned runs.
    pub planned: u32,
    /// Runs that were captured.
    pub captured: u32,
    /// Milliseconds of phone time for all planned runs.
    pub millis: u64,
}

/// Looks at every claim, in the order of the plan.
pub fn outlook(plan: &Plan, runs: &[Run]) -> Vec<Outlook> {
    plan.claims
        .iter()
        .map(|claim| {
            let reach = View { plan, runs, claim }.reach(&claim.predicate);
            Outlook {
                claim: claim.id.clone(),
                supported: tidy(reach.supported),
                refuted: tidy(reach.refuted),
            }
        })
        .collect()
}

fn tidy(mut obstacles: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    obstacles.retain(|obstacle| seen.insert(obstacle.clone()));
    obstacles
}

/// How much phone time the plan asks for, phase by phase. `washout_ms` rests after each action.
pub fn hours(plan: &Plan, runs: &[Run], washout_ms: u64) -> Vec<PhaseHours> {
    let of = |phase: &Phase| {
        let each = phase.window_ms.unwrap_or(ASSUMED_WINDOW_MS).saturating_add(washout_ms);
        let actions = u64::try_from(phase.actions.len()).unwrap_or(u64::MAX).max(1);
        PhaseHours {
            phase: phase.id.clone(),
            planned: phase.repeat,
            captured: u32::try_from(runs.iter().filter(|run| run.phase == phase.id).count())
                .unwrap_or(u32::MAX),
            millis: each.saturating_mul(actions).saturating_mul(u64::from(phase.repeat)),
        }
    };
    plan.phases.iter().map(of).collect()
}

struct View<'a> {
    plan: &'a Plan,
    runs: &'a [Run],
    claim: &'a Claim,
}

/// What stands in the way of each verdict.
#[derive(Default)]
struct Reach {
    supported: Vec<String>,
    refuted: Vec<String>,
}

impl Reach {
    fn swapped(self) -> Self {
        Self { supported: self.refuted, refuted: self.supported }
    }
}

impl View<'_> {
    fn reach(&self, test: &Predicate) -> Reach {
        match test {
            Predicate::Connects { attended, .. } => {
                let mut supported = self.any_phase();
                if *attended == Some(false) {
                    supported.extend(self.action_log());
                }
                Reach { supported, refuted: self.absence() }
            }
            Predicate::Uploads { what, .. } => {
                let mut supported = self.any_phase();
                supported.extend(unreadable(what));
                Reach { supported, refuted: self.absence() }
            }
            Predicate::NeverUploads { what, .. } | Predicate::OnlyUploads { personal: what, .. } => {
                let mut seen = self.any_phase();
                seen.extend(unreadable(what));
                Reach { supported: seen, refuted: self.with_witness() }.swapped()
            }
            Predicate::Encrypted { what } => {
                let mut seen = self.any_phase();
                seen.extend(unreadable(what));
                Reach { supported: seen, refuted: self.with_witness() }.swapped()
            }
            Predicate::NeedsConsent { what, .. } => {
                let mut seen = self.any_phase();
                seen.extend(unreadable(what));
                seen.extend(self.action_log());
                Reach { supported: seen, refuted: self.with_witness() }.swapped()
            }
            Predicate::Setting { setting, .. } => {
                let read = |run: &&Run| {
                    self.claim.phases.contains(&run.phase) && run.device_state.contains_key(setting)
                };
                let missing = self.runs.iter().find(read).is_none();
                let obstacle = missing
                    .then(|| format!("no run's device_state in the record names the setting {setting}"));
                Reach {
                    supported: obstacle.clone().into_iter().collect(),
                    refuted: obstacle.into_iter().collect(),
                }
            }
            Predicate::AllOf(parts) => self.all(parts),
            Predicate::AnyOf(parts) => {
                let reach = parts.iter().map(|part| self.reach(part).swapped()).collect();
                conjunction(reach).swapped()
            }
            Predicate::EachPhase(inner) => self.each_phase(inner),
            Predicate::Untestable { why } => {
                let never = vec![format!("traffic can't show it: {why}")];
                Reach { supported: never.clone(), refuted: never }
            }
        }
    }

    fn all(&self, parts: &[Predicate]) -> Reach {
        conjunction(parts.iter().map(|part| self.reach(part)).collect())
    }

    /// The same test once for each of the claim's phases.
    fn each_phase(&self, inner: &Predicate) -> Reach {
        let reach = |phase: &String| {
            let claim = Claim { phases: vec![phase.clone()], ..self.claim.clone() };
            View { plan: self.plan, runs: self.runs, claim: &claim }.reach(inner)
        };
        conjunction(self.claim.phases.iter().map(reach).collect())
    }

    fn captured(&self, phase: &str) -> bool {
        self.runs.iter().any(|run| run.phase == phase)
    }

    /// One captured phase is enough to see something.
    fn any_phase(&self) -> Vec<String> {
        if self.claim.phases.iter().any(|phase| self.captured(phase)) {
            return Vec::new();
        }
        vec![format!("nothing is captured of {}", self.claim.phases.join(", "))]
    }

    fn action_log(&self) -> Option<String> {
        let recorded = |run: &Run| self.claim.phases.contains(&run.phase) && run.recorded;
        let none = !self.runs.iter().any(recorded);
        none.then(|| "nobody recorded what was done and when (no action log)".to_owned())
    }

    /// What absence needs: every phase, its windows, and gates.
    fn absence(&self) -> Vec<String> {
        let mut obstacles: Vec<String> = self
            .claim
            .phases
            .iter()
            .filter(|phase| !self.captured(phase))
            .map(|phase| format!("nothing is captured of {phase}"))
            .collect();
        for phase in self.claim.phases.iter().filter(|phase| self.captured(phase)) {
            let windows =
                self.runs.iter().filter(|run| run.phase == *phase && run.recorded && !run.actions.is_empty());
            let windows = windows.count();
            let needed = usize::try_from(self.plan.windows_needed).unwrap_or(usize::MAX);
            if windows < needed {
                obstacles.push(format!("{windows} of {needed} windows in {phase}"));
            }
        }
        if self.plan.epoch.is_none() {
            obstacles.push("`epoch` is not declared".to_owned());
        }
        obstacles.push(NOT_BUILT.to_owned());
        obstacles
    }

    /// What a universal reading needs beside absence.
    fn with_witness(&self) -> Vec<String> {
        let mut obstacles = self.absence();
        match &self.claim.witness {
            Some(phase) if self.captured(phase) => {}
            Some(phase) => obstacles.push(format!("nothing is captured of the witness {phase}")),
            None => {
                let control = self.plan.phases.iter().any(|phase| phase.role == Role::PositiveControl);
                let why = if control {
                    "several positive controls, and `witness` names none"
                } else {
                    "no phase is a positive control or `witness`"
                };
                obstacles.push(why.to_owned());
            }
        }
        obstacles
    }
}

/// A conjunction holds when each part does, and fails when one does: the one with the least in its way.
fn conjunction(parts: Vec<Reach>) -> Reach {
    let mut all = Reach::default();
    let easiest = parts.iter().map(|part| &part.refuted).min_by_key(|obstacles| obstacles.len()).cloned();
    for part in parts {
        all.supported.extend(part.supported);
    }
    Reach { refuted: easiest.unwrap_or_default(), ..all }
}

/// What of a term this version can't look for.
fn unreadable(term: &Term) -> Option<String> {
    let looks = term.photos
        || term.files
        || term.all_identifiers
        || !term.artifacts.is_empty()
        || !term.identifiers.is_empty();
    if looks {
        return None;
    }
    if term.messages {
        return Some("this version reads no messages of the phone".to_owned());
    }
    term.schema.as_ref().map(|_| "this version reads no schemas".to_owned())
}
