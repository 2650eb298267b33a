//! `lab make`: the files of a simulated phone, made again.

use std::{io::Write as _, path::PathBuf};

use clap::{Args, Subcommand};
use exhibit::{evidence::Digest, lab};

use super::{DONE, Failure, Terminal};

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
    let played = lab::make(folder).map_err(|error| {
        let failure = Failure::of(&error);
        match error {
            lab::MakeError::File { doing: "read", .. } => {
                failure.hint("`lab make` takes a folder with a lab.yaml in it, such as scenarios/hello")
            }
            lab::MakeError::Play(_) => failure.hint("a longer `tail`, or less `loss`, lets the phone finish"),
            _ => failure,
        }
    })?;
    // As `sha256sum -c` reads it.
    for made in played.files() {
        writeln!(terminal.out, "{}  {}", Digest::of(&made.bytes), made.path)?;
    }
    Ok(DONE)
}
