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

/// Every probe of the phone's clock lies within what the plan allows, its uncertainty included.
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
        Some(off) if unread == 0 => {
            (GateState::Held, format!("clocks at most {off} ms off, of {allowed} ms allowed"))
        }
        _ => (
            GateState::NotCheckable,
            format!("{unread} of {} runs record no comparison of clocks", runs.len()),
        ),
    }
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
