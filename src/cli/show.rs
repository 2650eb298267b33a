//! `exhibit show`: the findings of a bundle, one of them with its proof, or a verdict with what it stands on.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use exhibit::{
    bundle::Bundle,
    case::{
        capture::{Capture, Excerpt, Wanted},
        folder::Folder as _,
    },
    engine,
    evidence::{FrameNo, read_exact_at},
    findings::{Finding, Findings},
    report::{proof, quantity::counted, terminal},
};

use super::{
    DONE, Failure, Terminal, environment,
    extract::{Folder, Of, listed, not_extracted},
    place,
    run::not_analyzed,
    shown,
};

/// Bytes of a device file set beside an excerpt at most.
const MAX_WANTED: usize = 4_096;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The bundle.
    bundle: PathBuf,
    /// A finding's id, or its beginning, or a claim's id; all findings are listed when left out.
    finding: Option<String>,
    /// Write the frames that carry the finding as a pcapng, with a comment beside each; of a verdict the smallest set
    /// that gives a finding that carries it again.
    #[arg(long, value_name = "FILE", requires = "finding")]
    pcapng: Option<PathBuf>,
    /// Write the bodies, parts and members in which the finding stands into this folder, with a list of them.
    #[arg(long, value_name = "DIR", requires = "finding")]
    extract: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, terminal: &mut Terminal) -> Result<u8, Failure> {
    let bundle = super::report::open_bundle(&arguments.bundle, &environment::scratch())?;
    terminal.note("not verified: `exhibit verify` says what holds");
    let claims = &bundle.findings().claims;
    if let Some(verdict) = claims.iter().find(|claim| Some(&claim.id) == arguments.finding.as_ref()) {
        if let Some(file) = &arguments.pcapng {
            super::witness::write(&bundle, verdict, file, terminal)?;
        }
        if arguments.extract.is_some() {
            return Err(Failure::new(format!("cannot extract {}: it is a verdict", verdict.id))
                .hint("--extract takes a finding: the verdict names those that it rests on"));
        }
        write!(terminal.out, "{}", terminal::claim(bundle.findings(), verdict))?;
        return Ok(DONE);
    }
    if let (Some(file), Some(id)) = (&arguments.pcapng, &arguments.finding) {
        let finding = pick(bundle.findings(), id)
            .map_err(|error| Failure::of(&error).hint("`exhibit show BUNDLE` lists the findings"))?;
        let frames = excerpt(&bundle, finding, file)?;
        terminal.note(format!("wrote {} to {}", counted(frames, "frame"), file.display()));
    }
    if let (Some(folder), Some(id)) = (&arguments.extract, &arguments.finding) {
        let finding = pick(bundle.findings(), id)
            .map_err(|error| Failure::of(&error).hint("`exhibit show BUNDLE` lists the findings"))?;
        extract(&bundle, finding, folder, terminal)?;
    }
    let bytes = |wanted: &proof::Wanted<'_>| device_bytes(&bundle, wanted);
    match show(bundle.findings(), arguments.finding.as_deref(), &bytes, &mut terminal.out) {
        Ok(()) => Ok(DONE),
        Err(ShowError::Write(error)) => Err(error.into()),
        Err(error) => Err(Failure::of(&error).hint("`exhibit show BUNDLE` lists the findings")),
    }
}

/// Writes the frames of a finding as a capture of their own.
fn excerpt(bundle: &Bundle, finding: &Finding, file: &Path) -> Result<u64, Failure> {
    place::refuse(file)?;
    let cannot = |error: &dyn std::error::Error| Failure::cannot(format!("write {}", file.display()), error);
    let findings = bundle.findings();
    let mut about = format!("frames of finding {} of case {}", finding.id, findings.case);
    if findings.simulated {
        about.push_str("; SIMULATED: made by a program, not captured from a phone");
    }
    let beside = place::Beside::new(file).map_err(|error| cannot(&error))?;
    let out = BufWriter::new(File::create_new(beside.path()).map_err(|error| cannot(&error))?);
    let mut excerpt = Excerpt::new(out, &shown(&about)).map_err(|error| cannot(&error))?;
    let captures: BTreeSet<&str> = finding.parts.iter().map(|part| part.capture.as_str()).collect();
    let mut frames = 0;
    for name in captures {
        let blob = bundle.folder().open(name).map_err(|error| cannot(&error))?;
        let capture = Capture::open(name, blob, &environment::scratch()).map_err(|error| cannot(&error))?;
        let wanted: Vec<Wanted> = finding
            .parts
            .iter()
            .filter(|part| part.capture == name)
            .map(|part| Wanted {
                frames: part.frames.clone(),
                comment: shown(&format!(
                    "{} {} bytes {} to {} of {}",
                    finding.id,
                    finding.grade.name(),
                    part.artifact_range.start,
                    part.artifact_range.end,
                    finding.artifact
                )),
            })
            .collect();
        frames += excerpt.add(&capture, &wanted).map_err(|error| cannot(&error))?;
    }
    excerpt.finish().map_err(|error| cannot(&error))?;
    beside.place().map_err(|error| cannot(&error))?;
    Ok(frames)
}

/// Writes the contents in which a finding stands.
fn extract(
    bundle: &Bundle,
    finding: &Finding,
    folder: &Path,
    terminal: &mut Terminal,
) -> Result<(), Failure> {
    let (case, limits) = super::verify::reopened(bundle, &environment::scratch(), None)
        .map_err(|error| Failure::of(&error))?;
    let flows: BTreeSet<&str> = finding.parts.iter().map(|part| part.flow.as_str()).collect();
    let known = bundle.findings().flows.iter().filter(|flow| flows.contains(flow.name.as_str()));
    let known: BTreeSet<(&str, FrameNo)> =
        known.map(|flow| (flow.capture.as_str(), flow.first_frame)).collect();
    let cannot = |error: &io::Error| not_extracted(folder, error);
    let mut of = Of { finding, folder: Folder::new(folder).map_err(|error| cannot(&error))? };
    let wanted = |capture: &str, frame| known.contains(&(capture, frame));
    engine::extract::extract(&case, &limits, &wanted, &mut of).map_err(|error| not_analyzed(&error))?;
    let (files, beyond) = of.folder.finish().map_err(|error| cannot(&error))?;
    terminal.note(listed(files, folder));
    if files == 0 {
        terminal.note("the finding stands in no body, part or member: --pcapng FILE writes its frames");
    }
    if beyond > 0 {
        terminal.note(format!("{} more were left out", counted(beyond, "content")));
    }
    Ok(())
}

fn device_bytes(bundle: &Bundle, wanted: &proof::Wanted<'_>) -> Option<Vec<u8>> {
    let blob = bundle.folder().open(&wanted.finding.artifact).ok()?;
    let mut bytes = vec![0; wanted.length.min(MAX_WANTED)];
    read_exact_at(&*blob, &mut bytes, wanted.offset).ok()?;
    Some(bytes)
}

/// Why nothing could be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShowError {
    /// No finding has that id.
    #[error("find the finding {id}: there are {known}")]
    Unknown {
        /// What was typed.
        id: String,
        /// How many findings there are.
        known: usize,
    },
    /// Several findings begin so.
    #[error("tell which finding {id} is: {} begin so", .candidates.join(", "))]
    Ambiguous {
        /// What was typed.
        id: String,
        /// Ids that begin so.
        candidates: Vec<String>,
    },
    /// The writer said no.
    #[error("write")]
    Write(#[from] io::Error),
}

/// Lists the findings, or shows the one whose id is or begins with `id`. `bytes` gives bytes of a device file
/// where the bundle holds it.
///
/// # Errors
/// An id that no finding or more than one has; what the writer says.
pub(crate) fn show(
    findings: &Findings,
    id: Option<&str>,
    bytes: &dyn Fn(&proof::Wanted<'_>) -> Option<Vec<u8>>,
    out: &mut dyn Write,
) -> Result<(), ShowError> {
    let text = match id {
        None => terminal::list(findings),
        Some(id) => terminal::finding(findings, pick(findings, id)?, bytes),
    };
    Ok(out.write_all(text.as_bytes())?)
}

fn pick<'a>(findings: &'a Findings, id: &str) -> Result<&'a Finding, ShowError> {
    let all = || findings.findings.iter();
    if let Some(exact) = all().find(|finding| finding.id == id) {
        return Ok(exact);
    }
    let candidates: Vec<&Finding> = all()
        .filter(|finding| {
            finding.id.starts_with(id) || finding.id.strip_prefix("F-").is_some_and(|hex| hex.starts_with(id))
        })
        .collect();
    match candidates.as_slice() {
        [] => Err(ShowError::Unknown { id: id.to_owned(), known: findings.findings.len() }),
        [one] => Ok(one),
        several => Err(ShowError::Ambiguous {
            id: id.to_owned(),
            candidates: several.iter().map(|finding| finding.id.clone()).collect(),
        }),
    }
}
