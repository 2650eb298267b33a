//! `explain CODE`: what a code means, and what would mend it.

use std::io::Write as _;

use clap::Args;
use exhibit::{findings::codes, report::terminal};

use super::{DONE, Failure, Terminal};

#[derive(Args)]
pub(crate) struct Arguments {
    /// A code as findings spell it; all of them when left out.
    code: Option<String>,
}

pub(crate) fn run(arguments: &Arguments, terminal: &mut Terminal) -> Result<u8, Failure> {
    match &arguments.code {
        Some(code) => {
            let explanation = codes::explain(code).ok_or_else(|| {
                Failure::new(format!("cannot explain {code:?}: there is no such code"))
                    .hint("`exhibit explain` without a code lists all of them")
            })?;
            write!(terminal.out, "{}", terminal::explanation(&explanation))?;
        }
        None => {
            for explanation in codes::all() {
                write!(terminal.out, "{}", terminal::explanation(&explanation))?;
            }
        }
    }
    Ok(DONE)
}
