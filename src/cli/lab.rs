//! `lab make`: the files of a simulated phone, made again.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use exhibit::{
    case::{
        folder::{Disk, Folder as _},
        scenario::{self, plan::Plan},
    },
    evidence::Digest,
    lab::{self, Made, Model, Played},
};

use tempfile::TempDir;

use super::{DONE, Failure, Terminal, place, shown};

/// The behaviour model's name in a scenario's folder.
const MODEL: &str = "lab.yaml";
/// Beside it: the digest of the list of what is made, as `sha256sum` writes it.
const PIN: &str = "made.sha256";
const SCENARIO: &str = "scenario.yaml";

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Play a scenario's lab.yaml; writes its captures, device files, record and truth, the same bytes each time.
    Make {
        /// The scenario's folder.
        folder: PathBuf,
    },
}

pub(crate) fn run(arguments: &Arguments, terminal: &mut Terminal) -> Result<u8, Failure> {
    let What::Make { folder } = &arguments.what;
    let played = play(folder)?;
    for made in played.files() {
        write(folder, made)?;
    }
    write!(terminal.out, "{}", shown(&list(&played)))?;
    pinned(folder, &played)?;
    Ok(DONE)
}

/// The folder of a simulated case whose files are not there, with all of them made; none if it is no such case.
pub(crate) fn at_first_use(folder: &Path) -> Result<Option<TempDir>, Failure> {
    if !folder.join(MODEL).is_file()
        || model(folder)?.first_capture().is_some_and(|path| folder.join(path).exists())
    {
        return Ok(None);
    }
    let played = play(folder)?;
    pinned(folder, &played)?;
    let made = tempfile::tempdir()
        .map_err(|error| Failure::cannot("make a folder for simulated captures", &error))?;
    let disk = Disk::new(folder);
    let cannot = |error: &io::Error| Failure::cannot(format!("copy {}", folder.display()), error);
    for path in disk.list(".").map_err(|error| cannot(&error))? {
        let bytes = fs::read(folder.join(&path)).map_err(|error| cannot(&error))?;
        write(made.path(), &Made { path, bytes })?;
    }
    for file in played.files() {
        write(made.path(), file)?;
    }
    Ok(Some(made))
}

/// What was made, as `sha256sum -c` reads it.
fn list(played: &Played) -> String {
    let line = |made: &Made| format!("{}  {}\n", Digest::of(&made.bytes), made.path);
    played.files().map(line).collect()
}

/// Holds what was made against the digest of its list that the folder pins, if it does.
fn pinned(folder: &Path, played: &Played) -> Result<(), Failure> {
    let pin = fs::read_to_string(folder.join(PIN)).unwrap_or_default();
    let made = Digest::of(list(played).as_bytes()).to_string();
    match pin.split_whitespace().next() {
        Some(pinned) if pinned != made => Err(Failure::new(format!(
            "what was made in {} is not what {PIN} pins: the list has SHA-256 {made}",
            folder.display()
        ))
        .hint(format!("`exhibit lab make DIR | sha256sum > DIR/{PIN}` pins what is made now"))),
        _ => Ok(()),
    }
}

fn model(folder: &Path) -> Result<Model, Failure> {
    let path = folder.join(MODEL);
    let yaml = fs::read_to_string(&path).map_err(|error| {
        Failure::cannot(format!("read {}", path.display()), &error)
            .hint("`lab make` takes a folder with a lab.yaml in it, such as scenarios/hello")
    })?;
    Model::parse(&yaml).map_err(|error| Failure::of(&error))
}

fn play(folder: &Path) -> Result<Played, Failure> {
    let model = model(folder)?;
    let model = match model.order {
        Some(_) => model.with_plan(&plan(folder)?),
        None => model,
    };
    lab::play(&model, model.seed)
        .map_err(|error| Failure::of(&error).hint("a longer `tail`, or less `loss`, lets the phone finish"))
}

/// The plan beside the model.
fn plan(folder: &Path) -> Result<Plan, Failure> {
    let path = folder.join(SCENARIO);
    let text = fs::read(&path).map_err(|error| {
        Failure::cannot(format!("read {}", path.display()), &error)
            .hint("`order: plan` in lab.yaml takes the order of actions from the scenario beside it")
    })?;
    Ok(scenario::parse(SCENARIO, &text).map_err(|error| Failure::of(&error))?.plan)
}

fn write(folder: &Path, made: &Made) -> Result<(), Failure> {
    let path = folder.join(&made.path);
    if let Some(above) = path.parent() {
        fs::create_dir_all(above)
            .map_err(|error| Failure::cannot(format!("make {}", above.display()), &error))?;
    }
    place::write(&path, &made.bytes)
}
