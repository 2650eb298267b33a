//! `verify BUNDLE`: five lines, then each claim with what it permits writing.

use std::{
    io::{BufReader, Write as _},
    path::{Path, PathBuf},
};

use clap::Args;
use exhibit::{
    bundle::{
        self, Bundle, OpenLimits, Outcome, RerunError, VerifyError, VerifyOptions,
        key::{PublicKey, SealKey},
        trust::{Signer, Trust},
    },
    case::{
        Case,
        geoip::{Registration, Table},
    },
    engine::{self, AnalysisError},
    evidence::{Limits, Scratch},
    findings::Analysis,
    report::{self, CheckLine, Provenance, terminal},
};

use super::{DOES_NOT_HOLD, DONE, Failure, HOLDS_IN_PART, Terminal, environment, place};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The bundle.
    bundle: PathBuf,
    /// Who must have sealed it: a fingerprint, or a file with a public key (PEM or OpenSSH).
    #[arg(long, value_name = "FINGERPRINT|FILE")]
    signer: Vec<String>,
    /// Parties that you know, a local trust.json.
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Leave the re-run out.
    #[arg(long)]
    no_rerun: bool,
    /// Write a report that says what was verified (HTML, or Markdown by its ending).
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Threads; never shows in what is found.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

pub(crate) fn run(arguments: &Arguments, terminal: &mut Terminal) -> Result<u8, Failure> {
    let file = super::report::open_file(&arguments.bundle)?;
    if let Some(path) = &arguments.report {
        place::refuse(path)?;
    }
    let signers: Vec<Signer> = arguments.signer.iter().map(|text| signer(text)).collect::<Result<_, _>>()?;
    let trust = arguments.trust.as_ref().map(trust).transpose()?;
    let own_keys = own_keys();
    let scratch = environment::scratch();
    let threads = arguments.threads;
    let rerun = |bundle: &Bundle| rerun(bundle, &scratch, threads);
    let options = VerifyOptions {
        signers: &signers,
        own_keys: &own_keys,
        trust: trust.as_ref(),
        rerun: if arguments.no_rerun { None } else { Some(&rerun) },
        render: Some(&super::run::reports),
        limits: OpenLimits::default(),
    };
    let verification = bundle::verify(BufReader::with_capacity(1 << 20, file), &scratch, &options)
        .map_err(|error| not_read(&error))?;
    for check in &verification.checks {
        writeln!(terminal.out, "{:<11} {}", check.name, check.words())?;
    }
    let outcome = verification.outcome();
    if let (Some(bundle), true) = (&verification.bundle, outcome != Outcome::DoesNotHold) {
        writeln!(terminal.out)?;
        write!(terminal.out, "{}", terminal::claims(bundle.findings()))?;
        writeln!(terminal.out, "{}   Reply by the accused party: none", verification.contents())?;
        if let Some(path) = &arguments.report {
            let checks = verification
                .checks
                .iter()
                .map(|check| CheckLine { name: check.name.to_owned(), words: check.words() });
            let provenance =
                Provenance::Verified { bundle: bundle.id().to_string(), checks: checks.collect() };
            write_report(path, bundle, &provenance)?;
        }
    }
    Ok(match outcome {
        Outcome::Holds => DONE,
        Outcome::HoldsInPart => HOLDS_IN_PART,
        Outcome::DoesNotHold => DOES_NOT_HOLD,
    })
}

/// Neither failure says anything about the bundle.
fn not_read(error: &VerifyError) -> Failure {
    match error {
        VerifyError::Scratch(_) => Failure::of(error).hint(environment::ROOM),
        _ => Failure::of(error),
    }
}

fn write_report(path: &Path, bundle: &Bundle, provenance: &Provenance) -> Result<(), Failure> {
    let markdown = path.extension().is_some_and(|ending| ending == "md");
    let text = if markdown {
        report::markdown(bundle.findings(), provenance)
    } else {
        report::html(bundle.findings(), provenance).map_err(|error| Failure::of(&error))?
    };
    place::write(path, text.as_bytes())
}

/// Runs the analysis again on the inputs that the bundle holds, with its settings and its rows of the address table.
fn rerun(bundle: &Bundle, scratch: &Scratch, threads: Option<usize>) -> Result<Analysis, RerunError> {
    let (case, limits) = reopened(bundle, scratch, threads)?;
    engine::analyze(&case, scratch, &limits).map_err(|error| match error {
        AnalysisError::Read(error) => RerunError::Machine(error.source),
        other => RerunError::Case(super::chain(&other)),
    })
}

/// The case that a bundle holds, and the limits it was analyzed with.
pub(crate) fn reopened(
    bundle: &Bundle,
    scratch: &Scratch,
    threads: Option<usize>,
) -> Result<(Case, Limits), RerunError> {
    let mut case = Case::open(&bundle.folder(), &bundle.about().plan, scratch)
        .map_err(|error| RerunError::Case(super::chain(&error)))?;
    let settings = &bundle.about().settings;
    case.addresses = table(bundle);
    let limits = Limits {
        min_run: settings.min_run,
        max_depth: settings.max_depth,
        max_decoded: settings.max_decoded,
        ..environment::limits(None, threads)
    };
    Ok((case, limits))
}

fn table(bundle: &Bundle) -> Table {
    let addresses = bundle.addresses();
    let rows = addresses.rows.iter().filter_map(|(address, row)| {
        let registration = Registration { country: row.country.clone(), special: row.special.clone() };
        Some((address.parse().ok()?, registration))
    });
    Table::Rows { name: addresses.table.clone(), date: addresses.date.clone(), rows: rows.collect() }
}

fn signer(text: &str) -> Result<Signer, Failure> {
    let hint = "--signer takes a fingerprint (hex, of the key's SPKI) or a file with one public key";
    if let Ok(signer) = Signer::fingerprint(text) {
        return Ok(signer);
    }
    PublicKey::load(text.as_ref()).map(Signer::Key).map_err(|error| Failure::of(&error).hint(hint))
}

fn trust(path: &PathBuf) -> Result<Trust, Failure> {
    let bytes =
        std::fs::read(path).map_err(|error| Failure::cannot(format!("read {}", path.display()), &error))?;
    Trust::read(&bytes).map_err(|why| Failure::new(format!("cannot use {}: {why}", path.display())))
}

/// The verifier's own key, where there is one.
fn own_keys() -> Vec<PublicKey> {
    let own = environment::configuration_folder()
        .ok()
        .and_then(|folder| SealKey::load(&folder.join("seal.pem")).ok());
    own.map(|key| key.public()).into_iter().collect()
}
