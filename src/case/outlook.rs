//! What a case can still settle, before any engine runs: which verdicts, what stands in their way, how
//! long the plan takes.
//!
//! Facts of the plan and the record alone. Presence can be shown as soon as a phase is captured; absence
//! needs much more, and what of it is not planned or not on record is listed. What traffic must show (that no window has
//! room, that spikes are found) is seen only by a run.

use super::scenario::{
    plan::{Claim, Epoch, Phase, Plan, Predicate, Role, Run, Term},
    record::twin_phase,
};

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
                Reach { supported, refuted: self.absence(false) }
            }
            Predicate::Uploads { what, .. } => {
                let mut supported = self.any_phase();
                supported.extend(unreadable(what));
                Reach { supported, refuted: self.absence(true) }
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

    /// What absence needs: every phase, its windows, and gates; of an upload also spikes.
    fn absence(&self, upload: bool) -> Vec<String> {
        let plan = self.plan;
        let mut obstacles = Vec::new();
        for phase in &self.claim.phases {
            if self.captured(phase) {
                obstacles.extend(self.absence_in(phase, upload));
            } else {
                obstacles.push(format!("nothing is captured of {phase}"));
            }
        }
        let missing = [
            (plan.epoch.is_none(), "`epoch` is not declared"),
            (plan.epoch == Some(Epoch::Relab), "the epoch is another one than the claim's"),
            (plan.max_skew_ms.is_none(), "`clocks.phone.max_skew_ms` is not declared"),
            (plan.decoys.is_none(), "no `controls.decoys` are asked for"),
            (upload && plan.spikes.is_none(), "no `controls.spikes` are planned"),
            (plan.twin.is_none(), "no `controls.twin` is planned"),
            (
                !plan.phases.iter().any(|phase| phase.role == Role::PositiveControl),
                "no phase is a positive control",
            ),
        ];
        obstacles.extend(missing.iter().filter(|(missing, _)| *missing).map(|(_, what)| (*what).to_owned()));
        if let Some(twin) = &plan.twin
            && !self.captured(&twin_phase(&twin.phase))
        {
            obstacles.push(format!("no run of {} without instruments is on record", twin.phase));
        }
        obstacles
    }

    /// What is missing from the record of one phase.
    fn absence_in(&self, phase: &str, upload: bool) -> Vec<String> {
        let own: Vec<&Run> = self.runs.iter().filter(|run| run.phase == phase).collect();
        let count = |test: &dyn Fn(&Run) -> bool| own.iter().filter(|run| test(run)).count();
        let windows = if upload {
            count(&|run| run.recorded && !run.actions.is_empty())
        } else {
            own.iter().flat_map(|run| &run.actions).filter(|action| action.is_idle()).count()
        };
        let needed = usize::try_from(self.plan.windows_needed).unwrap_or(usize::MAX);
        let mut obstacles = Vec::new();
        if windows < needed {
            let kind = if upload { "windows" } else { "idle windows" };
            obstacles.push(format!("{windows} of {needed} {kind} in {phase}"));
        }
        let planned = self.plan.phases.iter().find(|planned| planned.id == phase);
        if planned.is_none_or(|planned| planned.rom.is_none()) && self.plan.phone.rom.is_none() {
            obstacles.push(format!("no image is declared for {phase}"));
        } else if count(&|run| run.rom.is_none()) > 0 {
            obstacles.push(format!("runs of {phase} record no image (`rom`)"));
        }
        if count(&|run| run.clock_probes.is_empty()) > 0 {
            obstacles.push(format!("runs of {phase} record no `clock_probes`"));
        }
        let too_rare = |run: &Run| {
            run.from_probes_ms().zip(self.plan.probe_every_ms).is_some_and(|(far, every)| far > every)
        };
        if count(&|run| !run.clock_probes.is_empty() && too_rare(run)) > 0 {
            obstacles.push(format!("runs of {phase} compare clocks less often than `clocks.probe` says"));
        }
        if upload && self.plan.spikes.is_some() && count(&|run| !run.spikes.is_empty()) == 0 {
            obstacles.push(format!("no spike is on record in {phase}"));
        }
        obstacles
    }

    /// What a universal reading needs beside absence.
    fn with_witness(&self) -> Vec<String> {
        let mut obstacles = self.absence(true);
        match &self.claim.witness {
            Some(phase) if self.captured(phase) => {}
            Some(phase) => obstacles.push(format!("nothing is captured of the witness {phase}")),
            None => {}
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

/// Why a term can't be looked for.
fn unreadable(term: &Term) -> Option<String> {
    let looks = term.photos
        || term.files
        || term.messages
        || term.all_identifiers
        || !term.artifacts.is_empty()
        || !term.identifiers.is_empty();
    (!looks).then(|| "the term names nothing that could be found".to_owned())
}
