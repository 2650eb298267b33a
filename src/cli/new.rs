//! `exhibit new`: writes a commented case from what is there.

use std::{
    fs,
    io::Write,
    path::{Component, Path, PathBuf},
};

use clap::{Args, ValueEnum};
use exhibit::case::{
    folder::{Disk, Folder as _},
    scenario::sketch::{Extent, Sketch, sketch},
};

use super::{DONE, Failure, Terminal, shown};

/// Captures found by themselves that are taken; more need a pattern.
const MAX_FOUND: usize = 20;
/// File names that are captures.
const CAPTURES: [&str; 6] = [".pcap", ".pcapng", ".cap", ".pcap.gz", ".pcapng.gz", ".cap.gz"];
/// Folders that hold a phone's files.
const FOLDERS: [&str; 5] = ["DCIM", "files", "device", "phone", "Pictures"];

#[derive(Args)]
pub(crate) struct Arguments {
    /// The folder of the case; made if it is not there.
    folder: PathBuf,
    /// What was captured.
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,
    /// A copy of the phone's files.
    #[arg(long, value_name = "FOLDER")]
    files: Option<PathBuf>,
    /// The words that are claimed.
    #[arg(long, value_name = "TEXT")]
    claim: Option<String>,
    /// How much is planned.
    #[arg(long, value_enum, default_value_t = PlanExtent::Tonight)]
    plan: PlanExtent,
}

#[derive(Clone, Copy, ValueEnum)]
enum PlanExtent {
    /// What was captured tonight.
    Tonight,
    /// Phases, repeated runs, controls.
    Full,
}

pub(crate) fn run(arguments: &Arguments, terminal: &mut Terminal) -> Result<u8, Failure> {
    let folder = &arguments.folder;
    // Look before anything is made: a failed command leaves nothing behind.
    let capture = arguments.capture.as_deref().map(|path| there(path, Wanted::File)).transpose()?;
    let files = arguments.files.as_deref().map(|path| there(path, Wanted::Folder)).transpose()?;
    fs::create_dir_all(folder)
        .map_err(|error| Failure::cannot(format!("make {}", folder.display()), &error))?;
    let home = fs::canonicalize(folder)
        .map_err(|error| Failure::cannot(format!("open {}", folder.display()), &error))?;
    let found = Found::in_folder(&home);
    let captures = match capture {
        Some(path) => vec![relative(&home, &path)?],
        None => found.captures,
    };
    let files = match files {
        Some(path) => Some(relative(&home, &path)?),
        None => found.files,
    };
    let extent = match arguments.plan {
        PlanExtent::Tonight => Extent::Tonight,
        PlanExtent::Full => Extent::Full,
    };
    let name = home.file_name().map_or_else(|| "case".to_owned(), |name| name.to_string_lossy().into_owned());
    let text = sketch(&Sketch { name, captures, files, claim: arguments.claim.clone(), extent });
    let path = folder.join("scenario.yaml");
    write_new(&path, &text)?;
    writeln!(terminal.out, "wrote {}", shown(&path.display().to_string()))?;
    terminal.note(format_args!("next: exhibit check {}", folder.display()));
    Ok(DONE)
}

enum Wanted {
    File,
    Folder,
}

fn there(path: &Path, wanted: Wanted) -> Result<PathBuf, Failure> {
    let open = |error: &std::io::Error| Failure::cannot(format!("open {}", path.display()), error);
    let meta = fs::metadata(path).map_err(|error| open(&error))?;
    if matches!(wanted, Wanted::File) && meta.is_dir() {
        return Err(Failure::new(format!("cannot take {} as a capture: it is a folder", path.display()))
            .hint("name the capture in it; the phone's files go to --files"));
    }
    fs::canonicalize(path).map_err(|error| open(&error))
}

/// What stands in the case's folder already.
struct Found {
    captures: Vec<String>,
    files: Option<String>,
}

impl Found {
    fn in_folder(home: &Path) -> Self {
        // An unreadable folder shows itself when the scenario is written.
        let paths = Disk::new(home).list(".").unwrap_or_default();
        let is_capture = |path: &&String| CAPTURES.iter().any(|end| path.to_lowercase().ends_with(end));
        let captures = paths.iter().filter(|path| !path.contains('/')).filter(is_capture);
        let first = |path: &String| path.split_once('/').map(|(first, _)| first.to_owned());
        let folders: Vec<String> = paths.iter().filter_map(first).collect();
        let files = FOLDERS.iter().find(|name| folders.iter().any(|there| there == *name));
        Self {
            captures: captures.take(MAX_FOUND).cloned().collect(),
            files: files.map(|name| (*name).to_owned()),
        }
    }
}

/// The way from the case's folder to a file, with `/` between folders. Both are absolute and without links.
fn relative(home: &Path, to: &Path) -> Result<String, Failure> {
    let (from, into): (Vec<Component<'_>>, Vec<Component<'_>>) =
        (home.components().collect(), to.components().collect());
    let shared = from.iter().zip(&into).take_while(|(a, b)| a == b).count();
    let mut parts: Vec<&str> = vec![".."; from.len() - shared];
    for component in into.iter().skip(shared) {
        match component {
            Component::Normal(name) => parts.push(name.to_str().ok_or_else(|| not_utf8(to))?),
            _ => {
                return Err(Failure::new(format!("cannot name {} from {}", to.display(), home.display()))
                    .hint("put both on the same disk"));
            }
        }
    }
    Ok(if parts.is_empty() { ".".to_owned() } else { parts.join("/") })
}

fn not_utf8(path: &Path) -> Failure {
    Failure::new(format!("cannot name {}: its name is not UTF-8", path.display())).hint("rename it")
}

/// Writes a file that must not be there yet, whole or not at all.
fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let cannot = |error: &std::io::Error| Failure::cannot(format!("write {}", path.display()), error);
    let mut file = fs::File::create_new(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failure::new(format!("cannot write {}: it is there already", path.display()))
                .hint("it is never overwritten: choose another folder, or move it away")
        }
        _ => cannot(&error),
    })?;
    file.write_all(text.as_bytes()).map_err(|error| {
        let _ = fs::remove_file(path);
        cannot(&error)
    })
}
