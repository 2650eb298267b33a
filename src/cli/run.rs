//! `run CASE`: analyzes, prints verdicts, seals a bundle.

use std::{io::Write as _, path::PathBuf};

use clap::{Args, ValueEnum};
use exhibit::{
    bundle::{
        self, Reports, SealError, SealOptions, WriteError,
        key::{self, KeyError, Made, SealKey},
    },
    case::{Case, CaseError, InputRole, capture::CaptureError, folder::Disk},
    engine::{self, AnalysisError},
    evidence::hex_bytes,
    findings::{Analysis, Findings, Status},
    report::{self, Provenance, terminal},
};

use super::{DOES_NOT_HOLD, DONE, Failure, Terminal, case_at, environment, place};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The case: a folder with a scenario.yaml, or a scenario.
    case: PathBuf,
    /// Where the bundle goes [default: ID.private.tar.gz in this folder].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Sign with this key (PKCS#8 PEM, Ed25519) instead of your own.
    #[arg(long, value_name = "FILE", conflicts_with = "unsigned")]
    key: Option<PathBuf>,
    /// Do not sign.
    #[arg(long)]
    unsigned: bool,
    /// Print the verdicts and seal nothing.
    #[arg(long)]
    no_bundle: bool,
    /// The bundle seed, 64 hex digits; the source of all salts, so keep it as private as the bundle.
    #[arg(long, value_name = "HEX")]
    seed: Option<String>,
    /// Every copied run of at least this many bytes is found.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(64..))]
    min_run: Option<u32>,
    /// Threads; never shows in what is found.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// What to print.
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    format: Format,
    /// Exit with 1 if any verdict has this status.
    #[arg(long, value_enum, value_name = "STATUS")]
    fail_on: Vec<FailOn>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Verdicts for a terminal.
    Text,
    /// The bytes of findings.json.
    Json,
    /// The report in Markdown.
    Md,
    /// The report as one HTML page.
    Html,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Supported,
    Refuted,
    Inconclusive,
    Untestable,
}

impl FailOn {
    fn status(self) -> Status {
        match self {
            Self::Supported => Status::Supported,
            Self::Refuted => Status::Refuted,
            Self::Inconclusive => Status::Inconclusive,
            Self::Untestable => Status::Untestable,
        }
    }
}

pub(crate) fn run(arguments: &Arguments, terminal: &mut Terminal) -> Result<u8, Failure> {
    let (folder, scenario) = case_at(&arguments.case)?;
    // What can be refused is refused before the long work.
    let seed = arguments.seed.as_deref().map(seed).transpose()?;
    let epoch = environment::source_date_epoch()?;
    if let (Some(path), false) = (&arguments.output, arguments.no_bundle) {
        place::refuse(path)?;
    }
    let scratch = environment::scratch();
    let case = Case::open(&Disk::new(&folder), &scenario, &scratch).map_err(|error| failed(&error))?;
    let default = PathBuf::from(format!("{}.private.tar.gz", case.plan.id));
    let path = arguments.output.as_ref().unwrap_or(&default);
    if !arguments.no_bundle {
        place::refuse(path)?;
    }
    // A key is made for a case that can be opened, and before the long work.
    let key = if arguments.no_bundle || arguments.unsigned {
        None
    } else {
        Some(signing_key(arguments, terminal)?)
    };
    let limits = environment::limits(arguments.min_run, arguments.threads);
    if Terminal::is_watched() {
        terminal.note(format_args!("analyzing {}", case.plan.id));
    }
    let analysis = engine::analyze(&case, &scratch, &limits).map_err(|error| not_analyzed(&error))?;
    note_keys(&case, &analysis, terminal);
    note_phone(&case, &analysis.findings, terminal);
    // Whatever becomes of what is printed, the bundle is sealed.
    let printed = print(arguments.format, &analysis.findings, terminal);
    if !arguments.no_bundle {
        let keys: Vec<&SealKey> = key.iter().collect();
        let options = SealOptions {
            epoch: epoch.unwrap_or_else(|| end_of_capture(&analysis.findings)),
            plan: &scenario,
            keys: &keys,
            seed,
            path,
        };
        seal_case(&case, &analysis, &options, terminal)?;
    }
    printed?;
    let met = analysis
        .findings
        .claims
        .iter()
        .any(|claim| arguments.fail_on.iter().any(|on| on.status() == claim.status));
    Ok(if met { DOES_NOT_HOLD } else { DONE })
}

/// What is said of key logs that do not fit.
pub(crate) const KEYS_OPEN_NOTHING: &str =
    "the key logs open nothing: they hold no secret that fits a connection of the captures";

/// A key log that opens nothing is most likely of another run, and that is better known at once.
pub(crate) fn note_keys(case: &Case, analysis: &Analysis, terminal: &mut Terminal) {
    let given = case.inputs.values().any(|input| input.role == InputRole::Keys);
    if given && analysis.opened_connections == 0 {
        terminal.note(KEYS_OPEN_NOTHING);
    }
}

/// An address of the phone that sends nothing is most likely another machine's, or the phone's of another day.
pub(crate) fn note_phone(case: &Case, findings: &Findings, terminal: &mut Terminal) {
    let declared = !case.plan.phone.addresses.is_empty() || case.plan.phone.mac.is_some();
    if declared && findings.ledger.all.total == 0 {
        let addresses = findings.subject.addresses.join(", ");
        let of = if addresses.is_empty() { String::new() } else { format!(" ({addresses})") };
        terminal.note(format_args!(
            "the phone's address that was given{of} sends nothing in these captures: is it another one there?"
        ));
        terminal.note("hint: `exhibit inspect CAPTURE` shows which addresses send, and what DHCP gave out");
    }
}

fn print(format: Format, findings: &Findings, terminal: &mut Terminal) -> Result<(), Failure> {
    match format {
        Format::Text => write!(terminal.out, "{}", terminal::verdicts(findings))?,
        Format::Json => terminal.json(&report::json(findings).map_err(|error| Failure::of(&error))?)?,
        Format::Md => terminal.document(report::markdown(findings, &Provenance::Unverified).as_bytes())?,
        Format::Html => {
            let page =
                report::html(findings, &Provenance::Unverified).map_err(|error| Failure::of(&error))?;
            terminal.document(page.as_bytes())?;
        }
    }
    Ok(terminal.out.flush()?)
}

/// Renders the reports that go into a bundle.
pub(crate) fn reports(findings: &Findings) -> Result<Reports, String> {
    let html = report::html(findings, &Provenance::Unverified).map_err(|error| error.to_string())?;
    Ok(Reports { html, markdown: report::markdown(findings, &Provenance::Unverified) })
}

fn seal_case(
    case: &Case,
    analysis: &Analysis,
    options: &SealOptions<'_>,
    terminal: &mut Terminal,
) -> Result<(), Failure> {
    let reports = reports(&analysis.findings).map_err(Failure::new)?;
    let beside = place::Beside::new(options.path).map_err(|error| not_written(options, &error))?;
    let aside = SealOptions { path: beside.path(), ..*options };
    let sealed =
        bundle::seal(case, analysis, &reports, &aside).map_err(|error| not_sealed(&error, options))?;
    beside.place().map_err(|error| not_written(options, &error))?;
    terminal.note(format_args!("sealed {}", options.path.display()));
    terminal.note(format_args!("bundle id {}", sealed.id));
    match sealed.signers.first() {
        Some(signer) => terminal.note(format_args!("signed by {}", signer.fingerprint())),
        None => terminal.note("not signed: whoever gets it can't tell who sealed it"),
    }
    terminal
        .note("it holds the captures, the phone's files, key logs and the private seed: do not publish it");
    Ok(())
}

fn not_sealed(error: &SealError, options: &SealOptions<'_>) -> Failure {
    match error {
        // The file beside the place is nobody's business.
        SealError::Write(WriteError::Write { source, .. }) => not_written(options, source),
        other => {
            Failure::cannot(format!("seal {}", options.path.display()), other).hint("nothing was left behind")
        }
    }
}

fn not_written(options: &SealOptions<'_>, error: &std::io::Error) -> Failure {
    Failure::cannot(format!("seal {}", options.path.display()), error)
        .hint("nothing was left behind; -o FILE puts the bundle elsewhere, --no-bundle seals nothing")
}

fn signing_key(arguments: &Arguments, terminal: &mut Terminal) -> Result<SealKey, Failure> {
    if let Some(path) = &arguments.key {
        return SealKey::load(path).map_err(|error| no_key(&error));
    }
    let path = environment::configuration_folder()?.join("seal.pem");
    let (key, made) = place::undisturbed(|| key::load_or_make(&path)).map_err(|error| no_key(&error))?;
    if made == Made::New {
        terminal.note(format_args!("made your signing key: {}", path.display()));
        terminal.note(format_args!(
            "its fingerprint, to give to those who verify: {}",
            key.public().fingerprint()
        ));
    }
    Ok(key)
}

/// A key that can't be used.
pub(crate) fn no_key(error: &KeyError) -> Failure {
    let failure = Failure::of(error);
    match error {
        KeyError::ReadableByOthers { path, .. } => {
            failure.hint(format_args!("if nobody has copied it: chmod 600 {}", path.display()))
        }
        KeyError::Write { .. } => {
            failure.hint("set EXHIBIT_CONFIG to a folder that you can write to, or use --key or --unsigned")
        }
        _ => failure.hint(
            "--key takes an Ed25519 key in PKCS#8 PEM (openssl genpkey -algorithm ed25519), --unsigned does without",
        ),
    }
}

/// Reads `--seed`.
pub(crate) fn seed(text: &str) -> Result<[u8; 32], Failure> {
    hex_bytes(text).and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
        Failure::new("cannot use --seed: it is not 64 lower-case hex digits")
            .hint("openssl rand -hex 32 makes one")
    })
}

/// The end of the last capture, in whole seconds: the time that a bundle carries where none is given.
fn end_of_capture(findings: &Findings) -> u64 {
    findings.captures.iter().filter_map(|capture| capture.last).max().map_or(0, |time| time.seconds())
}

/// A case that can't be opened.
pub(crate) fn failed(error: &CaseError) -> Failure {
    let failure = match error {
        CaseError::Scenario(problems) => {
            Failure::new(format!("cannot use the scenario\n{}", problems.render()))
        }
        other => Failure::of(other),
    };
    match error.hint().or_else(|| capture_hint(error)) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn capture_hint(error: &CaseError) -> Option<String> {
    let CaseError::Capture(error) = error else { return None };
    let hint = match error {
        CaptureError::LfsPointer { .. } => "`git lfs pull` fetches it",
        CaptureError::Empty { .. } | CaptureError::NotACapture { .. } => {
            "a capture is pcap or pcapng, perhaps in gzip or zstd: what tcpdump -w, dumpcap and Wireshark write"
        }
        CaptureError::Scratch { .. } => environment::ROOM,
        _ => return None,
    };
    Some(hint.to_owned())
}

/// A case that can't be analyzed.
pub(crate) fn not_analyzed(error: &AnalysisError) -> Failure {
    let failure = Failure::of(error);
    match error {
        AnalysisError::Phone(_) => failure.hint(
            "name it: `--phone IP` for find, `phone: {addresses: [IP]}` or `phone: {mac: MAC}` in a scenario",
        ),
        AnalysisError::SameCapture { .. } => failure.hint("take one of them out of the plan and the record"),
        AnalysisError::SharedFlow { .. } => {
            failure.hint("give both to one run, or cut them so that no packet stands in two of them")
        }
        AnalysisError::NoCapture | AnalysisError::View(_) => failure,
        AnalysisError::Read(_) => {
            failure.hint("the input must stay as it is until the analysis ends; is the disk full?")
        }
    }
}
