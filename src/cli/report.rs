//! `report BUNDLE|CASE`: one report in one format.

use std::{
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use exhibit::{
    bundle::{self, Bundle, OpenLimits},
    case::{Case, folder::Disk},
    engine,
    evidence::Scratch,
    findings::Findings,
    report::{self, Provenance},
};

use super::{
    DONE, Failure, Terminal, case_at, environment, place,
    run::{failed, not_analyzed},
};

#[derive(Args)]
pub(crate) struct Arguments {
    /// A bundle, or a case that is analyzed for it.
    of: PathBuf,
    /// The report's format.
    #[arg(long, value_enum, default_value_t = Format::Html, value_name = "FORMAT")]
    format: Format,
    /// Where it goes [default: stdout].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Formats of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One page for a browser and for printing.
    Html,
    /// For forums and repositories.
    Md,
    /// The findings themselves, canonical.
    Json,
}

pub(crate) fn run(arguments: &Arguments, terminal: &mut Terminal) -> Result<u8, Failure> {
    let scratch = environment::scratch();
    let findings = findings_of(&arguments.of, &scratch)?;
    terminal.note("not verified: `exhibit verify --report` writes one that is");
    let text = match arguments.format {
        Format::Html => report::html(&findings, &Provenance::Unverified)
            .map_err(|error| Failure::of(&error))?
            .into_bytes(),
        Format::Md => report::markdown(&findings, &Provenance::Unverified).into_bytes(),
        Format::Json => report::json(&findings).map_err(|error| Failure::of(&error))?,
    };
    match &arguments.output {
        Some(path) => place::write(path, &text)?,
        None if arguments.format == Format::Json => terminal.json(&text)?,
        None => terminal.document(&text)?,
    }
    Ok(DONE)
}

/// Findings of a bundle as its sealer wrote them, or of a case that is analyzed now.
fn findings_of(path: &Path, scratch: &Scratch) -> Result<Findings, Failure> {
    let is_case = path.is_dir() || path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
    if !is_case {
        return Ok(open_bundle(path, scratch)?.findings().clone());
    }
    let (folder, scenario) = case_at(path)?;
    analyze_case(&folder, &scenario, scratch)
}

/// Analyzes a case on disk.
pub(crate) fn analyze_case(folder: &Path, scenario: &str, scratch: &Scratch) -> Result<Findings, Failure> {
    let case = Case::open(&Disk::new(folder), scenario, scratch).map_err(|error| failed(&error))?;
    let analysis = engine::analyze(&case, scratch, &environment::limits(None, None))
        .map_err(|error| not_analyzed(&error))?;
    Ok(analysis.findings)
}

/// Opens a bundle whose seal nobody has looked at.
pub(crate) fn open_bundle(path: &Path, scratch: &Scratch) -> Result<Bundle, Failure> {
    let cannot = |error: &dyn std::error::Error| Failure::cannot(format!("open {}", path.display()), error);
    let file = open_file(path)?;
    bundle::open(BufReader::with_capacity(1 << 20, file), scratch, OpenLimits::default())
        .and_then(bundle::Unverified::read_unverified)
        .map_err(|error| cannot(&error).hint("`exhibit verify` says what is wrong with a bundle"))
}

/// Opens the file of a bundle.
pub(crate) fn open_file(path: &Path) -> Result<File, Failure> {
    let cannot = |error: &io::Error| Failure::cannot(format!("open {}", path.display()), error);
    let file = File::open(path).map_err(|error| cannot(&error))?;
    if file.metadata().map_err(|error| cannot(&error))?.is_dir() {
        return Err(Failure::new(format!("cannot open {}: it is a folder, not a bundle", path.display()))
            .hint("a bundle is one file, as `exhibit run CASE` seals it"));
    }
    Ok(file)
}
