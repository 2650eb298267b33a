//! `exhibit test`: runs scenarios again and compares what comes out with stored snapshots.

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    io::{self, BufRead, Write},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use exhibit::{
    case::folder::{Disk, Folder as _},
    findings::Findings,
    report::snapshot::{self, Outcome},
};

use super::{Failure, Terminal, environment, place, shown};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Case folders, or folders of case folders.
    #[arg(default_value = "scenarios")]
    paths: Vec<PathBuf>,
    /// Ask about each difference.
    #[arg(long, conflicts_with_all = ["accept", "check"])]
    review: bool,
    /// Take every difference for the new truth.
    #[arg(long, conflicts_with = "check")]
    accept: bool,
    /// Never write: the default without a terminal.
    #[arg(long)]
    check: bool,
    /// What to do with snapshots whose scenario is gone.
    #[arg(long, value_enum, value_name = "WHAT")]
    unreferenced: Option<OnUnreferenced>,
    /// The folder of snapshots.
    #[arg(long, default_value = "snapshots", value_name = "DIR")]
    snapshots: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum OnUnreferenced {
    /// Count them as differences.
    Reject,
    /// Delete them.
    Delete,
}

pub(crate) fn run(arguments: &Arguments, terminal: &mut Terminal) -> Result<u8, Failure> {
    let mode = match arguments {
        Arguments { review: true, .. } => Mode::Review,
        Arguments { accept: true, .. } => Mode::Accept,
        Arguments { check: true, .. } => Mode::Check,
        _ if Terminal::is_watched() => Mode::Propose,
        _ => Mode::Check,
    };
    let options = Options {
        root: Path::new("."),
        paths: &arguments.paths,
        snapshots: &arguments.snapshots,
        mode,
        unreferenced: match arguments.unreferenced {
            None => Unreferenced::Ignore,
            Some(OnUnreferenced::Reject) => Unreferenced::Reject,
            Some(OnUnreferenced::Delete) => Unreferenced::Delete,
        },
    };
    let scratch = environment::scratch();
    let rerun = |folder: &Path| -> Result<Findings, Box<dyn Error>> {
        let made = super::lab::at_first_use(folder).map_err(Failure::words)?;
        let folder = made.as_ref().map_or(folder, |made| made.path());
        super::report::analyze_case(folder, SCENARIO, &scratch).map_err(|failure| failure.words().into())
    };
    test(&options, &rerun, &mut io::stdin().lock(), &mut terminal.out)
        .map_err(|error| Failure::cannot("test the scenarios", &error))
}

/// The file that makes a folder a case.
const SCENARIO: &str = "scenario.yaml";

/// What to do with a snapshot that differs or is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Says so and writes nothing: the default without a terminal.
    Check,
    /// Writes `NAME.snap.new` beside it.
    Propose,
    /// Takes it for the stored one.
    Accept,
    /// Asks for each.
    Review,
}

/// What to do with a snapshot whose scenario is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreferenced {
    /// Leaves it.
    Ignore,
    /// Counts it as a difference.
    Reject,
    /// Deletes it.
    Delete,
}

/// What was asked for.
pub(crate) struct Options<'a> {
    /// The folder that scenarios' paths are relative to.
    pub(crate) root: &'a Path,
    /// Case folders, folders of case folders or scenario files, relative to `root`.
    pub(crate) paths: &'a [PathBuf],
    /// The folder of snapshots, relative to `root`.
    pub(crate) snapshots: &'a Path,
    /// What to do with differences.
    pub(crate) mode: Mode,
    /// What to do with snapshots whose scenario is gone.
    pub(crate) unreferenced: Unreferenced,
}

/// Runs one case folder and gives its findings.
pub(crate) type Rerun<'a> = dyn Fn(&Path) -> Result<Findings, Box<dyn Error>> + 'a;

#[derive(Default)]
struct Tally {
    same: usize,
    differ: usize,
    new: usize,
    accepted: usize,
    failed: usize,
    unreferenced: usize,
}

impl Tally {
    /// 2 when a scenario could not be run, 1 when something differs, else 0.
    fn exit(&self) -> u8 {
        match (self.failed, self.differ + self.new + self.unreferenced) {
            (0, 0) => 0,
            (0, _) => 1,
            _ => 2,
        }
    }

    fn line(&self) -> String {
        let parts = [
            (self.same, "same"),
            (self.accepted, "accepted"),
            (self.differ, "differ"),
            (self.new, "new"),
            (self.failed, "could not be run"),
            (self.unreferenced, "without a scenario"),
        ];
        let told: Vec<String> = parts
            .iter()
            .filter(|(count, what)| *count > 0 || *what == "same")
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        told.join(", ")
    }
}

/// Runs each scenario and compares; answers are read from `answers` in [`Mode::Review`]. Gives the exit code.
///
/// # Errors
/// When a folder can't be listed, a snapshot can't be read or written, two scenarios have one name, or the
/// writer says no.
pub(crate) fn test(
    options: &Options<'_>,
    rerun: &Rerun<'_>,
    answers: &mut dyn BufRead,
    out: &mut dyn Write,
) -> io::Result<u8> {
    let mut tally = Tally::default();
    for (name, source) in scenarios(options)? {
        let scenario = options.root.join(&source);
        let folder = scenario.parent().unwrap_or(options.root);
        match rerun(folder) {
            Ok(findings) => {
                let current = snapshot::text(&findings);
                one(options, &Scenario { name, source, current }, &mut tally, answers, out)?;
            }
            Err(error) => {
                tally.failed += 1;
                writeln!(out, "{}: could not be run: {}", shown(&name), chain(&*error))?;
            }
        }
    }
    leftovers(options, &mut tally, out)?;
    writeln!(out, "{}", tally.line())?;
    Ok(tally.exit())
}

struct Scenario {
    name: String,
    source: String,
    current: String,
}

/// Names and paths of the scenarios at or below the paths, each once, by name.
fn scenarios(options: &Options<'_>) -> io::Result<BTreeMap<String, String>> {
    let disk = Disk::new(options.root);
    let mut found = BTreeMap::new();
    for path in options.paths {
        let path = path.to_string_lossy().replace('\\', "/");
        let before = found.len();
        let files = disk.list(&path).map_err(|error| named(error, &options.root.join(&path)))?;
        for file in files {
            let Some(folder) = folder_of(&file) else { continue };
            let name = folder.rsplit('/').next().unwrap_or(folder).to_owned();
            if let Some(other) = found.insert(name.clone(), file.clone()).filter(|other| *other != file) {
                return Err(io::Error::other(format!("two scenarios are named {name}: {other} and {file}")));
            }
        }
        if found.len() == before {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("no {SCENARIO} at or below {path}")));
        }
    }
    Ok(found)
}

fn folder_of(file: &str) -> Option<&str> {
    file.strip_suffix(SCENARIO)?.strip_suffix('/').filter(|folder| !folder.is_empty())
}

fn one(
    options: &Options<'_>,
    scenario: &Scenario,
    tally: &mut Tally,
    answers: &mut dyn BufRead,
    out: &mut dyn Write,
) -> io::Result<()> {
    let path = options.root.join(options.snapshots).join(format!("{}.snap", scenario.name));
    let stored = read(&path)?;
    let outcome = snapshot::compare(stored.as_deref(), &scenario.current);
    match &outcome {
        Outcome::Same => {
            tally.same += 1;
            return if options.mode == Mode::Check { Ok(()) } else { remove(&proposed(&path)) };
        }
        Outcome::Differs(diff) => write!(out, "{}", shown(&format!("{}: differs\n{diff}", scenario.name)))?,
        Outcome::New => writeln!(
            out,
            "{}: no snapshot is stored yet\n{}",
            shown(&scenario.name),
            shown(&scenario.current)
        )?,
    }
    let accept = match options.mode {
        Mode::Check | Mode::Propose => false,
        Mode::Accept => true,
        Mode::Review => ask(&scenario.name, answers, out)?,
    };
    let file = snapshot::file(&scenario.source, &scenario.current);
    if accept {
        tally.accepted += 1;
        write(&path, &file)?;
        return remove(&proposed(&path));
    }
    match outcome {
        Outcome::New => tally.new += 1,
        _ => tally.differ += 1,
    }
    if options.mode == Mode::Propose { write(&proposed(&path), &file) } else { Ok(()) }
}

fn ask(name: &str, answers: &mut dyn BufRead, out: &mut dyn Write) -> io::Result<bool> {
    write!(out, "take it for {name}? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    answers.read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Snapshots of `exhibit test` whose scenario is gone. Other tests' snapshots in the same folder are left alone.
fn leftovers(options: &Options<'_>, tally: &mut Tally, out: &mut dyn Write) -> io::Result<()> {
    let folder = options.root.join(options.snapshots);
    if options.unreferenced == Unreferenced::Ignore || !folder.is_dir() {
        return Ok(());
    }
    for file in Disk::new(&folder).list(".")? {
        let path = folder.join(&file);
        let Some(source) =
            read(&path)?.filter(|_| file.ends_with(".snap")).and_then(|text| snapshot::source(&text))
        else {
            continue;
        };
        if options.root.join(&source).exists() {
            continue;
        }
        if options.unreferenced == Unreferenced::Delete && options.mode != Mode::Check {
            fs::remove_file(&path)?;
            writeln!(out, "{}: deleted, its scenario is gone", shown(&file))?;
        } else {
            tally.unreferenced += 1;
            writeln!(out, "{}: its scenario is gone", shown(&file))?;
        }
    }
    Ok(())
}

fn proposed(path: &Path) -> PathBuf {
    path.with_extension("snap.new")
}

fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            Ok(None)
        }
        Err(error) => Err(named(error, path)),
    }
}

/// Writes beside, then renames: a failed run leaves no half snapshot.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|error| named(error, folder))?;
    place::undisturbed(|| {
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|error| named(error, folder))?;
        file.write_all(text.as_bytes()).map_err(|error| named(error, path))?;
        file.persist(path).map_err(|error| named(error.error, path))?;
        Ok(())
    })
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(named(error, path)),
        _ => Ok(()),
    }
}

fn named(error: io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Characters kept of an error; a scenario's author could make it long.
const MAX_ERROR: usize = 2_000;

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    shown(&text.chars().take(MAX_ERROR).collect::<String>())
}
