//! `completions SHELL`: what a shell needs to complete command lines.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{DONE, Failure, Terminal};

#[derive(Args)]
#[command(after_help = "\
bash:  exhibit completions bash > ~/.local/share/bash-completion/completions/exhibit
zsh:   exhibit completions zsh > FOLDER/_exhibit, where FOLDER is one of $fpath
fish:  exhibit completions fish > ~/.config/fish/completions/exhibit.fish")]
pub(crate) struct Arguments {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments, terminal: &mut Terminal) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::Arguments::command(), "exhibit", &mut script);
    terminal.document(&script)?;
    Ok(DONE)
}
