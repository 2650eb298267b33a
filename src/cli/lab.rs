//! `lab make SCENARIO`: a simulated phone with known truth.

use std::{io::Write as _, path::PathBuf};

use clap::{Args, Subcommand};
use exhibit::{evidence::Digest, lab};

use super::{DONE, Failure, Terminal};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the simulated files of a scenario folder again from its lab.yaml, and list them with their digests.
    Make {
        /// The scenario's folder.
        folder: PathBuf,
    },
}

pub(crate) fn run(arguments: &Arguments, terminal: &mut Terminal) -> Result<u8, Failure> {
    let Command::Make { folder } = &arguments.command;
    let played = lab::make(folder).map_err(|error| Failure::of(&error))?;
    for made in played.files() {
        writeln!(terminal.out, "{}  {}", Digest::of(&made.bytes), made.path)?;
    }
    Ok(DONE)
}
