//! The frames that carry a verdict, as few as there can be.

use std::{fs::File, io::BufWriter, path::Path};

use exhibit::{
    bundle::Bundle,
    case::{
        capture::{Capture, Excerpt, Wanted},
        folder::Folder as _,
        scenario::plan::{Claim, Predicate},
    },
    engine::witness::{Carrier, Witness, WitnessError, witness},
    evidence::FrameRange,
    findings::{Status, Verdict},
    report::quantity::{counted, frames},
};

use super::{Failure, Terminal, environment, place, shown};

/// Findings and connections of one verdict for which frames are looked for: each takes some hundred analyses of small
/// excerpts.
const MAX_CARRIERS: usize = 20;

/// Writes the frames that carry a verdict as a capture of their own.
pub(crate) fn write(
    bundle: &Bundle,
    verdict: &Verdict,
    file: &Path,
    terminal: &mut Terminal,
) -> Result<(), Failure> {
    place::refuse(file)?;
    let case = super::verify::reopened(bundle, &environment::scratch(), None)
        .map_err(|error| Failure::of(&error))?
        .0;
    let claim = case.plan.claims.into_iter().find(|claim| claim.id == verdict.id);
    let carriers = carriers(bundle, verdict, claim.as_ref())?;
    let cannot = |error: &dyn std::error::Error| Failure::cannot(format!("write {}", file.display()), error);
    let mut about =
        format!("frames that carry the verdict {} of case {}", verdict.id, bundle.findings().case);
    if bundle.findings().simulated {
        about.push_str("; SIMULATED: made by a program, not captured from a phone");
    }
    let beside = place::Beside::new(file).map_err(|error| cannot(&error))?;
    let out = BufWriter::new(File::create_new(beside.path()).map_err(|error| cannot(&error))?);
    let mut excerpt = Excerpt::new(out, &shown(&about)).map_err(|error| cannot(&error))?;
    let witnesses: Vec<(Carrier<'_>, Witness)> = carriers
        .into_iter()
        .map(|carrier| Ok((carrier, smallest(bundle, carrier)?)))
        .collect::<Result<_, Failure>>()?;
    let mut names: Vec<&str> = witnesses.iter().map(|(_, witness)| witness.capture.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let blob = bundle.folder().open(name).map_err(|error| cannot(&error))?;
        let capture = Capture::open(name, blob, &environment::scratch()).map_err(|error| cannot(&error))?;
        let here = witnesses.iter().filter(|(_, witness)| witness.capture == name);
        let wanted: Vec<Wanted> = here
            .map(|(carrier, witness)| Wanted {
                frames: witness.frames.clone(),
                comment: shown(&format!("{} {}: {}", verdict.id, verdict.status.name(), described(*carrier))),
            })
            .collect();
        excerpt.add(&capture, &wanted).map_err(|error| cannot(&error))?;
    }
    excerpt.finish().map_err(|error| cannot(&error))?;
    beside.place().map_err(|error| cannot(&error))?;
    for (carrier, witness) in &witnesses {
        let which_one = match carrier {
            Carrier::Finding(finding) => &finding.id,
            Carrier::Connection(flow, _) => &flow.remote,
        };
        let all = count(&witness.frames);
        let which = frames(&witness.frames);
        terminal.note(if witness.smallest {
            format!(
                "{}: analyzed alone, {} ({which}) of {} give it again, and with any one of them less they do not",
                which_one, counted(all, "frame"), witness.capture
            )
        } else {
            format!(
                "{}: analyzed alone, {} ({which}) of {} give it again; whether fewer would was not tried to the end",
                which_one, counted(all, "frame"), witness.capture
            )
        });
    }
    terminal.note(format!("wrote {}", file.display()));
    Ok(())
}

fn described(carrier: Carrier<'_>) -> String {
    match carrier {
        Carrier::Finding(finding) => {
            format!("{} {} of {}", finding.id, finding.grade.name(), finding.artifact)
        }
        Carrier::Connection(flow, _) => format!("connection to {}", flow.remote),
    }
}

/// Without what the verdict does not stand: of several that each carry it, a connection, or else the finding in the fewest
/// frames.
fn carriers<'b>(
    bundle: &'b Bundle,
    verdict: &Verdict,
    claim: Option<&'b Claim>,
) -> Result<Vec<Carrier<'b>>, Failure> {
    let settled = matches!(verdict.status, Status::Supported | Status::Refuted);
    if !settled {
        return Err(Failure::new(format!("cannot take frames for {}: nothing settles it", verdict.id))
            .hint(format!("`exhibit show BUNDLE {}` says what stands in the way", verdict.id)));
    }
    let grades = verdict.grade.as_deref().unwrap_or_default();
    let by_absence = grades.split(" + ").any(|grade| grade == "absence");
    if by_absence || (verdict.findings.is_empty() && verdict.connections.is_empty()) {
        let rests =
            if by_absence { "on what was not seen in the whole capture" } else { "on nothing that was sent" };
        return Err(Failure::new(format!("cannot take frames for {}: it rests {rests}", verdict.id))
            .hint("no few frames can carry such a verdict; the capture as a whole does"));
    }
    let findings = bundle.findings();
    let mut carriers: Vec<Carrier<'_>> = findings
        .flows
        .iter()
        .filter(|flow| verdict.connections.contains(&flow.name))
        .filter_map(|flow| Some(Carrier::Connection(flow, claim?)))
        .collect();
    let mut found: Vec<_> =
        findings.findings.iter().filter(|finding| verdict.findings.contains(&finding.id)).collect();
    found.sort_by_key(|finding| finding.parts.iter().map(|part| count(&part.frames)).sum::<u64>());
    carriers.extend(found.into_iter().map(Carrier::Finding));
    let every = claim.is_none_or(|claim| needs_every(&claim.predicate));
    carriers.truncate(if every { MAX_CARRIERS } else { 1 });
    Ok(carriers)
}

/// Whether more than one of them may be needed.
fn needs_every(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::AllOf(_) | Predicate::EachPhase(_) => true,
        Predicate::AnyOf(parts) => parts.iter().any(needs_every),
        _ => false,
    }
}

fn smallest(bundle: &Bundle, carrier: Carrier<'_>) -> Result<Witness, Failure> {
    let scratch = environment::scratch();
    let (case, limits) =
        super::verify::reopened(bundle, &scratch, None).map_err(|error| Failure::of(&error))?;
    witness(case, bundle.findings(), carrier, &scratch, &limits).map_err(|error| {
        let failure = Failure::of(&error);
        match (error, carrier) {
            (
                WitnessError::Spread { .. } | WitnessError::TooLarge | WitnessError::NotAlone,
                Carrier::Finding(finding),
            ) => failure.hint(format!(
                "`exhibit show BUNDLE {} --pcapng FILE` writes all frames of the finding",
                finding.id
            )),
            _ => failure,
        }
    })
}

fn count(ranges: &[FrameRange]) -> u64 {
    ranges.iter().map(|range| u64::from(range.last.0.saturating_sub(range.first.0)) + 1).sum()
}
