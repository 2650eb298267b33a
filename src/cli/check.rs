//! `exhibit check`: what is wrong with a case, and what it can still settle.

use std::{io::Write, path::PathBuf};

use clap::Args;
use exhibit::{
    case::{
        Draft, RECORD,
        folder::Disk,
        outlook::{PhaseHours, hours, outlook},
        scenario::{self, Severity, plan::Plan},
    },
    evidence::printable,
};

use super::{DONE, Failure, Terminal, case_at, run::failed};

/// Characters of a line of text from the scenario.
const MAX_LINE: usize = 300;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The case: a folder with a scenario.yaml, or the scenario itself.
    case: PathBuf,
    /// Print the expanded plan: every default written out.
    #[arg(long)]
    print: bool,
}

pub(crate) fn run(arguments: &Arguments, terminal: &mut Terminal) -> Result<u8, Failure> {
    let (folder, name) = case_at(&arguments.case)?;
    let draft = match Draft::load(&Disk::new(folder), &name) {
        Ok(draft) => draft,
        Err(error) => return Err(failed(&error)),
    };
    let problems = draft.problems();
    if !problems.list.is_empty() {
        writeln!(terminal.err, "{}", problems.render())?;
    }
    if arguments.print {
        let text =
            scenario::expanded(&draft.parsed).map_err(|error| Failure::cannot("print the plan", &error))?;
        terminal.text(&text)?;
    } else {
        summary(&draft, &mut terminal.out)?;
    }
    match problems.list.iter().filter(|problem| problem.severity == Severity::Error).count() {
        0 => Ok(DONE),
        1 => Err(Failure::new("cannot use the case: it has an error")),
        errors => Err(Failure::new(format!("cannot use the case: it has {errors} errors"))),
    }
}

/// Writes what the case is, what it can still settle, and what is missing.
pub(crate) fn summary(draft: &Draft, out: &mut dyn Write) -> std::io::Result<()> {
    let plan = &draft.parsed.plan;
    let simulated = if plan.simulated { " (simulated)" } else { "" };
    writeln!(out, "{}: {}{simulated}\n", plan.id, shown(&plan.title))?;
    claims(draft, out)?;
    recorded(draft, out)?;
    time(draft, out)?;
    if !plan.not_acted_on.is_empty() {
        writeln!(out, "\nRead and checked, but not acted on by this version:")?;
        writeln!(out, "  {}", plan.not_acted_on.join(", "))?;
    }
    Ok(())
}

fn shown(text: &str) -> String {
    printable(text.as_bytes(), MAX_LINE)
}

fn claims(draft: &Draft, out: &mut dyn Write) -> std::io::Result<()> {
    let plan = &draft.parsed.plan;
    writeln!(out, "Claims")?;
    for (claim, outlook) in plan.claims.iter().zip(outlook(plan, &draft.runs)) {
        let given = if claim.reading_given { "" } else { " (written from the test)" };
        writeln!(out, "  {}  \"{}\"", claim.id, shown(&claim.says))?;
        writeln!(out, "      {}; reading{given}: {}", claim.predicate.kind(), shown(&claim.reading))?;
        if claim.predicate.kind() == "untestable" {
            continue;
        }
        for (verdict, obstacles) in [("supported", &outlook.supported), ("refuted", &outlook.refuted)] {
            if obstacles.is_empty() {
                writeln!(out, "      {verdict}: can be reached")?;
            } else {
                writeln!(out, "      {verdict}: out of reach: {}", shown(&obstacles.join("; ")))?;
            }
        }
        for part in &claim.not_covered {
            writeln!(
                out,
                "      not covered: {} (could be shown by {})",
                shown(&part.part),
                shown(&part.test_by)
            )?;
        }
    }
    writeln!(
        out,
        "  Absence (\"not found\") also needs what only a run shows: no window with room for it, spikes found, no packet lost."
    )?;
    Ok(())
}

fn recorded(draft: &Draft, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "\nRecorded")?;
    for phase in &draft.parsed.plan.phases {
        let runs: Vec<_> = draft.runs.iter().filter(|run| run.phase == phase.id).collect();
        let logged = runs.iter().filter(|run| run.recorded).count();
        match runs.len() {
            0 => writeln!(out, "  {}: not yet recorded", phase.id)?,
            count => {
                let log = if logged == 0 {
                    "no action log".to_owned()
                } else {
                    format!("{logged} with an action log")
                };
                writeln!(
                    out,
                    "  {}: {count} of {} runs, {log}",
                    phase.id,
                    phase.repeat.max(u32::try_from(count).unwrap_or(u32::MAX))
                )?;
            }
        }
    }
    if let Some(record) = &draft.record {
        match record.broken_at {
            None => writeln!(out, "  {RECORD}: {} lines, the chain holds", record.lines)?,
            Some(line) => {
                writeln!(out, "  {RECORD}: the chain breaks at line {line}; the gate integrity fails")?
            }
        }
    }
    Ok(())
}

fn time(draft: &Draft, out: &mut dyn Write) -> std::io::Result<()> {
    let washout = draft.parsed.washout_ms();
    let left: Vec<PhaseHours> = hours(&draft.parsed.plan, &draft.runs, washout)
        .into_iter()
        .filter(|phase| phase.captured < phase.planned)
        .collect();
    if left.is_empty() || is_short(&draft.parsed.plan, draft) {
        return Ok(());
    }
    writeln!(out, "\nPhone time that the plan asks for")?;
    let mut total = 0_u64;
    for phase in &left {
        let millis =
            phase.millis / u64::from(phase.planned.max(1)) * u64::from(phase.planned - phase.captured);
        total = total.saturating_add(millis);
        let runs = phase.planned - phase.captured;
        writeln!(out, "  {}: {runs} runs, {}", phase.phase, in_hours(millis))?;
    }
    writeln!(out, "  in all: {}", in_hours(total))
}

/// A capture of tonight plans nothing.
fn is_short(plan: &Plan, draft: &Draft) -> bool {
    plan.phases.len() == 1 && draft.parsed.written.actions.is_none() && !draft.runs.is_empty()
}

fn in_hours(millis: u64) -> String {
    let minutes = millis.div_ceil(60_000);
    match minutes {
        0..=90 => format!("{minutes} min"),
        _ => format!("{}.{} h", minutes / 60, minutes % 60 * 10 / 60),
    }
}
