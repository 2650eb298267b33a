//! `exhibit canary`: content that is new to the world, to be planted on a phone.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use clap::Args;
use exhibit::{
    evidence::Digest,
    lab::{self, Made, Wanted},
};

use super::{DONE, Failure, Terminal, place, run::seed, shown};

/// The scenario's part, beside the folder of files.
const PLAN: &str = "canaries.yaml";
/// The folder of files, in the case.
const FILES: &str = "device";

#[derive(Args)]
pub(crate) struct Arguments {
    /// The folder of the case: files go to its device/, and the scenario's part to canaries.yaml.
    folder: PathBuf,
    /// What everything follows from: 64 hex digits, random or the plan's.
    #[arg(long, value_name = "HEX")]
    seed: String,
    /// Photos, told apart by their sizes.
    #[arg(long, value_name = "N", default_value_t = 5)]
    photos: usize,
    /// Messages with their numbers.
    #[arg(long, value_name = "N", default_value_t = 4)]
    sms: usize,
    /// Contacts with name, number and mail address.
    #[arg(long, value_name = "N", default_value_t = 2)]
    contacts: usize,
    /// What numbers begin with; the default is assigned to no country.
    #[arg(long, value_name = "PREFIX", default_value = "+999")]
    numbers: String,
}

pub(crate) fn run(arguments: &Arguments, terminal: &mut Terminal) -> Result<u8, Failure> {
    let seed = seed(&arguments.seed)?;
    let wanted = Wanted { photos: arguments.photos, messages: arguments.sms, contacts: arguments.contacts };
    let made = lab::canaries(&seed, &wanted, FILES, &arguments.numbers)
        .map_err(|error| Failure::of(&error).hint("exhibit canary --help says what can be wanted"))?;
    let plan = Made { path: PLAN.to_owned(), bytes: made.plan.into_bytes() };
    let files = made.files.into_iter().map(|file| Made { path: format!("{FILES}/{}", file.path), ..file });
    let all: Vec<Made> = files.chain([plan]).collect();
    // Look before anything is written: planted files are evidence.
    if let Some(there) = all.iter().map(|made| arguments.folder.join(&made.path)).find(|path| path.exists()) {
        return Err(Failure::new(format!("cannot write {}: it is there already", there.display()))
            .hint("it is never overwritten: choose another folder, or move it away"));
    }
    for file in &all {
        write(&arguments.folder, file)?;
        // As `sha256sum -c` reads it.
        writeln!(terminal.out, "{}  {}", Digest::of(&file.bytes), shown(&file.path))?;
    }
    terminal.note(format_args!(
        "next: put what is in {}/ on the phone, and the lines of {PLAN} into scenario.yaml",
        arguments.folder.join(FILES).display()
    ));
    Ok(DONE)
}

fn write(folder: &Path, made: &Made) -> Result<(), Failure> {
    let path = folder.join(&made.path);
    if let Some(above) = path.parent() {
        fs::create_dir_all(above)
            .map_err(|error| Failure::cannot(format!("make {}", above.display()), &error))?;
    }
    place::write(&path, &made.bytes)
}
