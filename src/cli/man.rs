//! `man [COMMAND]`: the manual, as man(7) source.

use clap::{Args, CommandFactory as _};

use super::{DONE, Failure, Terminal};

#[derive(Args)]
#[command(after_help = "\
To read:     exhibit man verify | man -l -
To install:  exhibit man > ~/.local/share/man/man1/exhibit.1
             exhibit man verify > ~/.local/share/man/man1/exhibit-verify.1")]
pub(crate) struct Arguments {
    /// The command whose page it is; the program's own page when left out.
    command: Option<String>,
}

pub(crate) fn run(arguments: &Arguments, terminal: &mut Terminal) -> Result<u8, Failure> {
    let mut program = super::Arguments::command();
    program.build();
    let page = match &arguments.command {
        None => program,
        Some(name) => {
            let command = program.find_subcommand(name).cloned().ok_or_else(|| {
                Failure::new(format!("there is no command {name:?}"))
                    .hint("`exhibit help` lists the commands")
            })?;
            command.display_name(format!("exhibit-{name}"))
        }
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page)
        .manual("exhibit")
        .source(concat!("exhibit ", env!("CARGO_PKG_VERSION")))
        .render(&mut text)?;
    terminal.document(tidied(&String::from_utf8_lossy(&text)).as_bytes())?;
    Ok(DONE)
}

/// The page with an empty date, quoted (the same program gives the same page on any day; left out, the date would be the
/// version), and one space where the renderer asks for breaks around an empty line.
fn tidied(page: &str) -> String {
    let title = |line: &str| line.starts_with(".TH ").then(|| line.replacen(" 1  ", " 1 \"\" ", 1));
    let lines: Vec<String> =
        page.lines().map(|line| title(line).unwrap_or_else(|| line.to_owned())).collect();
    lines.join("\n").replace("\n.br\n\n.br\n", "\n.sp\n") + "\n"
}
