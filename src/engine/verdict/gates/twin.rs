//! The run without instruments: does the phone behave as it does with them?

use std::collections::BTreeSet;

use crate::{
    case::scenario::{
        plan::{Plan, Run},
        record::twin_phase,
        words::TwinFigure,
    },
    findings::{FlowSummary, GateState},
};

/// How far the figures of one run may lie outside those of all others, as a share of the largest: runs differ, and one more
/// run of the same kind lies beyond the others' largest in one of a few dozen cases.
const ROOM: f64 = 0.5;

/// What one run shows.
struct Shown<'a> {
    hosts: BTreeSet<&'a str>,
    sent: u64,
    connections: u64,
}

/// Compares the twin with the runs of its phase: hosts, bytes sent, and connections. What holds for the instruments in one
/// phase is taken for the others.
pub(super) fn twin(plan: &Plan, records: &[Run], flows: &[FlowSummary]) -> (GateState, String) {
    let Some(planned) = &plan.twin else {
        return (GateState::NotCheckable, "no run without instruments is planned".to_owned());
    };
    let shown = |run: &Run| {
        let own = || flows.iter().filter(|flow| flow.run.as_ref() == Some(&run.id));
        Shown {
            hosts: own().map(host).collect(),
            sent: own().map(|flow| flow.uplink.total).sum(),
            connections: own().count() as u64,
        }
    };
    let twins: Vec<Shown<'_>> =
        records.iter().filter(|run| run.twin && run.phase == twin_phase(&planned.phase)).map(shown).collect();
    let others: Vec<Shown<'_>> =
        records.iter().filter(|run| !run.twin && run.phase == planned.phase).map(shown).collect();
    if twins.is_empty() || others.is_empty() {
        return (GateState::NotCheckable, "no run without instruments is on record".to_owned());
    }
    let known: BTreeSet<&str> = others.iter().flat_map(|run| run.hosts.iter().copied()).collect();
    let always: BTreeSet<&str> =
        known.iter().copied().filter(|host| others.iter().all(|run| run.hosts.contains(host))).collect();
    for twin in &twins {
        for figure in &planned.compare {
            let differs = match figure {
                TwinFigure::Hosts => {
                    let news = twin.hosts.difference(&known).next().map(|host| format!("talked to {host}"));
                    let missing = || always.difference(&twin.hosts).next();
                    news.or_else(|| missing().map(|host| format!("did not talk to {host}")))
                }
                TwinFigure::Sizes => beyond(twin.sent, others.iter().map(|run| run.sent), "bytes sent"),
                TwinFigure::Times => {
                    beyond(twin.connections, others.iter().map(|run| run.connections), "connections")
                }
            };
            if let Some(differs) = differs {
                return (GateState::Failed, format!("without instruments the phone {differs}"));
            }
        }
    }
    let names: Vec<&str> = planned.compare.iter().map(|figure| figure.name()).collect();
    (
        GateState::Held,
        format!("{} without instruments like {} others ({})", twins.len(), others.len(), names.join(", ")),
    )
}

/// The name of a flow's other end, or its address.
fn host(flow: &FlowSummary) -> &str {
    let named = flow.names.first().map(|name| name.split(' ').next().unwrap_or(name));
    named.unwrap_or_else(|| flow.remote.rsplit_once(':').map_or(flow.remote.as_str(), |(address, _)| address))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a share of a count is rounded"
)]
fn beyond(one: u64, others: impl Iterator<Item = u64> + Clone, what: &str) -> Option<String> {
    let (least, most) = (others.clone().min()?, others.max()?);
    let room = (most as f64 * ROOM).ceil() as u64;
    let fits = (least.saturating_sub(room)..=most.saturating_add(room)).contains(&one);
    (!fits).then(|| format!("had {one} {what}, with them {least} to {most}"))
}
