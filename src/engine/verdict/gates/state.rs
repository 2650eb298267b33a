//! What the record says of the phone itself: its image, its clock, what was set and installed.

use std::collections::BTreeMap;

use crate::{
    case::scenario::{
        plan::{Phase, Plan, Run},
        words::RequirementWord,
    },
    evidence::Digest,
    findings::GateState,
};

/// The image that ran is the one that the phase declares.
pub(super) fn provenance(
    plan: &Plan,
    phase: &Phase,
    images: &BTreeMap<String, Digest>,
    runs: &[&Run],
) -> (GateState, String) {
    let Some(declared) = phase.rom.as_ref().or(plan.phone.rom.as_ref()) else {
        return (GateState::NotCheckable, "no image is declared".to_owned());
    };
    let Some(image) = images.get(declared) else {
        return (GateState::NotCheckable, format!("{declared} holds no digest of an image"));
    };
    let other = runs.iter().find(|run| run.rom.is_some_and(|ran| ran != *image));
    let unread = runs.iter().filter(|run| run.rom.is_none()).count();
    match other {
        Some(run) => (GateState::Failed, format!("another image than {declared} says ran in {}", run.id)),
        None if runs.is_empty() => (GateState::NotCheckable, "no run of it is on record".to_owned()),
        None if unread > 0 => {
            (GateState::NotCheckable, format!("{unread} of {} runs record no image", runs.len()))
        }
        None => (GateState::Held, format!("the image of {declared} ran in {} runs", runs.len())),
    }
}

/// Every probe of the phone's clock lies within what the plan allows, its uncertainty included, and clocks were compared as
/// often as the plan says.
pub(super) fn clock(plan: &Plan, runs: &[&Run]) -> (GateState, String) {
    let Some(allowed) = plan.max_skew_ms else {
        return (GateState::NotCheckable, "no largest offset is declared".to_owned());
    };
    let worst = |run: &&Run| {
        let probes = run.clock_probes.iter();
        probes.map(|probe| probe.offset_ms.unsigned_abs().saturating_add(probe.uncertainty_ms)).max()
    };
    let largest = runs.iter().filter_map(worst).max();
    let unread = runs.iter().filter(|run| run.clock_probes.is_empty()).count();
    match largest {
        Some(off) if off > allowed => {
            (GateState::Failed, format!("a clock may be {off} ms off; {allowed} ms are allowed"))
        }
        Some(off) if unread == 0 => match runs.iter().find_map(|run| too_rare(plan, run)) {
            Some(figure) => (GateState::NotCheckable, figure),
            None => (GateState::Held, format!("clocks at most {off} ms off, of {allowed} ms allowed")),
        },
        _ => (
            GateState::NotCheckable,
            format!("{unread} of {} runs record no comparison of clocks", runs.len()),
        ),
    }
}

/// A run whose clocks were compared less often than the plan says.
fn too_rare(plan: &Plan, run: &Run) -> Option<String> {
    let (every, furthest) = (plan.probe_every_ms?, run.from_probes_ms()?);
    (furthest > every).then(|| {
        format!(
            "{} is {furthest} ms from a comparison of clocks at some moment; {every} ms are planned",
            run.id
        )
    })
}

/// The first run whose state is not what the phase requires, or the first requirement that a run does not record.
pub(super) fn requirements(phase: &Phase, runs: &[&Run]) -> Option<(GateState, String)> {
    let mut unread = None;
    for requirement in &phase.require {
        for run in runs {
            let state = |name: &str| run.device_state.get(name).map(String::as_str);
            let packages = || state("packages").map(|all| all.split_ascii_whitespace().collect::<Vec<_>>());
            let holds = match requirement.word {
                // The gate of provenance.
                RequirementWord::RomMatches => Some(true),
                RequirementWord::CloudOff => state("cloud").map(|is| is == "off"),
                RequirementWord::BackupOff => state("backup").map(|is| is == "off"),
                RequirementWord::NoAccount => state("account").map(|is| is == "none"),
                RequirementWord::WifiOnly => state("links").map(|is| is == "wifi"),
                RequirementWord::PackagesAbsent => packages().map(|installed| {
                    requirement.packages.iter().all(|package| !installed.contains(&package.as_str()))
                }),
                RequirementWord::PackagesPresent => packages().map(|installed| {
                    requirement.packages.iter().all(|package| installed.contains(&package.as_str()))
                }),
            };
            match holds {
                Some(true) => {}
                Some(false) => {
                    return Some((GateState::Failed, format!("{requirement} does not hold in {}", run.id)));
                }
                None => {
                    let figure = || format!("{requirement} is not recorded of {}", run.id);
                    unread.get_or_insert_with(figure);
                }
            }
        }
    }
    unread.map(|figure| (GateState::NotCheckable, figure))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        case::scenario::{plan::ActionDone, record::ClockProbe},
        evidence::Timestamp,
    };

    fn time(second: u64) -> Timestamp {
        Timestamp(second * 1_000_000_000)
    }

    /// A run whose windows last from second 10 to second 130, with comparisons at some seconds.
    fn run(probes: &[u64]) -> Run {
        let action = |id: &str, start: u64| ActionDone {
            id: id.into(),
            verb: "idle".into(),
            start: time(start),
            end: time(start + 2),
            window_end: time(start + 60),
            by: "simulated".into(),
            makes: Vec::new(),
        };
        Run {
            id: "stock/01".into(),
            actions: vec![action("a", 10), action("b", 70)],
            clock_probes: probes
                .iter()
                .map(|second| ClockProbe { at: time(*second), offset_ms: -20, uncertainty_ms: 5 })
                .collect(),
            ..Run::default()
        }
    }

    #[test]
    fn clocks_are_compared_as_often_as_the_plan_says() {
        let state = |every: Option<u64>, probes: &[u64]| {
            let plan = Plan { max_skew_ms: Some(25), probe_every_ms: every, ..Plan::default() };
            clock(&plan, &[&run(probes)]).0
        };
        assert_eq!(state(None, &[0]), GateState::Held, "not asked for");
        assert_eq!(state(Some(60_000), &[10, 70]), GateState::Held);
        assert_eq!(state(Some(60_000), &[70, 0]), GateState::Held, "in any order");
        assert_eq!(state(Some(59_999), &[10, 70]), GateState::NotCheckable, "the end lies 60 s behind");
        assert_eq!(state(Some(60_000), &[10]), GateState::NotCheckable);
        assert_eq!(state(Some(50_000), &[10, 112, 130]), GateState::NotCheckable, "51 s in the middle");
        assert_eq!(state(Some(50_000), &[61, 130]), GateState::NotCheckable, "51 s before the first");
        assert_eq!(state(Some(60_000), &[]), GateState::NotCheckable);
    }

    #[test]
    fn a_clock_that_is_off_is_off_however_often_it_was_compared() {
        let plan = Plan { max_skew_ms: Some(24), probe_every_ms: Some(1), ..Plan::default() };
        assert_eq!(clock(&plan, &[&run(&[10])]).0, GateState::Failed);
    }
}
