//! `lab make`: the files of a simulated phone, made again.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use exhibit::{
    evidence::Digest,
    lab::{self, Made, Model},
};

use super::{DONE, Failure, Terminal, place, shown};

/// The behaviour model's name in a scenario's folder.
const MODEL: &str = "lab.yaml";

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
    let path = folder.join(MODEL);
    let yaml = fs::read_to_string(&path).map_err(|error| {
        Failure::cannot(format!("read {}", path.display()), &error)
            .hint("`lab make` takes a folder with a lab.yaml in it, such as scenarios/hello")
    })?;
    let model = Model::parse(&yaml).map_err(|error| Failure::of(&error))?;
    let played = lab::play(&model, model.seed).map_err(|error| {
        Failure::of(&error).hint("a longer `tail`, or less `loss`, lets the phone finish")
    })?;
    for made in played.files() {
        write(folder, made)?;
        // As `sha256sum -c` reads it.
        writeln!(terminal.out, "{}  {}", Digest::of(&made.bytes), shown(&made.path))?;
    }
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
