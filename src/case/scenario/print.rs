//! The expanded plan: every default written out, in the full grammar, so that it reads again as the same plan.

use super::{
    Parsed,
    grammar::{Gates, Phase, Scenario},
    resolve::ONLY_PHASE,
    values::{At, Names, Place, Text},
    words::RoleWord,
};

/// Writes the expanded plan as YAML, with the readings as comments.
///
/// # Errors
/// Never for what was read; YAML could hold it before.
pub fn expanded(parsed: &Parsed) -> Result<String, serde_saphyr::ser::Error> {
    let mut text = String::from("# The expanded plan: every default written out.\n");
    for claim in parsed.plan.claims.iter().filter(|claim| !claim.reading_given) {
        let line = crate::evidence::printable(claim.reading.as_bytes(), 500);
        text.push_str(&format!("# {} is read as: {line}\n", claim.id));
    }
    text.push_str(&serde_saphyr::to_string(&expand(parsed))?);
    Ok(text)
}

fn expand(parsed: &Parsed) -> Scenario {
    let plan = &parsed.plan;
    let mut scenario = parsed.written.clone();
    scenario.id = Some(text(&plan.id));
    scenario.title = Some(text(&plan.title));
    scenario.simulated = Some(plan.simulated);
    let mut phases = scenario.phases.take().unwrap_or_else(|| vec![only_phase(&mut scenario)]);
    for (written, phase) in phases.iter_mut().zip(&plan.phases) {
        written.role = Some(written.role.unwrap_or(RoleWord::Subject));
        written.repeat = Some(at(phase.repeat));
    }
    scenario.phases = Some(phases);
    for action in scenario.actions.iter_mut().flat_map(|actions| &mut actions.list) {
        let planned = plan.actions.iter().find(|planned| planned.id == action.id.0);
        let phases = planned.map(|planned| planned.phases.iter().map(|phase| text(phase)).collect());
        action.phases = action.phases.take().or(phases.map(Names));
    }
    for (written, claim) in scenario.claims.iter_mut().zip(&plan.claims) {
        written.id = Some(text(&claim.id));
        if !claim.phases.is_empty() {
            written.phases = Some(Names(claim.phases.iter().map(|phase| text(phase)).collect()));
        }
        written.witness = claim.witness.as_deref().map(text);
    }
    let gates = scenario.gates.get_or_insert(Gates { windows: None, spike_recall: None, budget: None });
    gates.windows = Some(at(plan.windows_needed));
    scenario
}

fn only_phase(scenario: &mut Scenario) -> Phase {
    Phase {
        id: text(ONLY_PHASE),
        role: None,
        from: None,
        rom: None,
        require: None,
        repeat: None,
        window: None,
        starts_with: None,
        capture: scenario.capture.take(),
        captures: scenario.captures.take(),
        keys: scenario.keys.take(),
        files: scenario.files.take(),
        actions: None,
    }
}

fn at<T>(value: T) -> At<T> {
    At { value, place: Place::default() }
}

fn text(text: &str) -> At<Text> {
    at(Text(text.to_owned()))
}
