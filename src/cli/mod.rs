//! One file a subcommand; arguments, failures and exit codes in one place.
//!
//! Exit codes: 0 done, or it holds; 1 it does not hold; 2 it could not be done; 3 it holds in part;
//! 130 interrupted. Results go to stdout, everything else to stderr.

use std::{
    io::{self, IsTerminal as _, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand, ValueEnum, error::ErrorKind};
use exhibit::evidence::is_deceptive;

mod canary;
mod check;
mod completions;
mod environment;
mod explain;
mod extract;
mod find;
mod inspect;
mod key;
mod lab;
mod man;
mod new;
mod place;
mod report;
mod run;
mod show;
mod test;
#[cfg(test)]
mod tests;
mod verify;
mod watch;
mod witness;

/// Done, or it holds.
pub(crate) const DONE: u8 = 0;
/// It does not hold: tampered, findings differ, a snapshot differs, `--fail-on` was met.
pub(crate) const DOES_NOT_HOLD: u8 = 1;
/// It could not be done: usage, input, reading or writing.
pub(crate) const NOT_DONE: u8 = 2;
/// It holds in part: an unknown signer, unsigned, something not checkable.
pub(crate) const HOLDS_IN_PART: u8 = 3;
/// It was interrupted: 128 and the number of SIGINT, as shells count.
pub(crate) const INTERRUPTED: u8 = 130;

/// Ties uploaded bytes to the files that were on a phone, judges claims, and seals what a stranger can check.
#[derive(Parser)]
#[command(name = "exhibit", version, propagate_version = true, max_term_width = 110)]
#[command(after_help = "\
Exit codes: 0 done, or it holds; 1 it does not hold; 2 it could not be done; 3 it holds in part; 130 interrupted.

Tonight:   exhibit find hotspot.pcapng DCIM/
A case:    exhibit new claim/ --capture hotspot.pcapng --files DCIM/ --claim \"it sends photos\"
           exhibit check claim/
           exhibit run claim/ -o case.private.tar.gz
A bundle:  exhibit verify case.private.tar.gz --signer FINGERPRINT")]
struct Arguments {
    /// When to colour what is printed (NO_COLOR is heeded).
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    color: Colour,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, ValueEnum)]
enum Colour {
    Auto,
    Always,
    Never,
}

#[derive(Subcommand)]
enum Command {
    /// Did any of these files leave? No scenario, no verdict, the same engine.
    Find(find::Arguments),
    /// Write a commented case from what is there.
    New(new::Arguments),
    /// Say what is wrong with a case, and what it can still settle.
    Check(check::Arguments),
    /// Analyze a case, print its verdicts, seal a bundle.
    Run(run::Arguments),
    /// Check somebody's bundle: integrity, signature, time, re-run, origin.
    Verify(verify::Arguments),
    /// Show a finding's bytes, the steps to them, and commands that repeat it.
    Show(show::Arguments),
    /// Render a case or a bundle for people.
    Report(report::Arguments),
    /// Re-run scenarios and compare with their snapshots.
    Test(test::Arguments),
    /// Show what the engine sees in a capture.
    Inspect(inspect::Arguments),
    /// Say what a code means.
    Explain(explain::Arguments),
    /// Show or export your signing key's public half.
    Key(key::Arguments),
    /// Make content that is new to the world, to be planted on a phone.
    Canary(canary::Arguments),
    /// Make the captures of a simulated phone with known truth.
    Lab(lab::Arguments),
    /// Print what a shell needs to complete command lines.
    Completions(completions::Arguments),
    /// Print a page of the manual.
    Man(man::Arguments),
}

/// What a subcommand writes to.
pub(crate) struct Terminal {
    /// Results.
    pub(crate) out: Box<dyn Write>,
    /// Stdout as it is.
    raw: Outlet<io::Stdout>,
    /// Everything else.
    pub(crate) err: Box<dyn Write>,
}

/// Stdout. A reader that went away (`| head`) wants no more of it, and that is no failure of ours: the work is
/// done to its end, and the exit code is what it would have been.
struct Outlet<W>(Option<W>);

impl<W: Write> Outlet<W> {
    fn unless_closed<T>(&mut self, without: T, act: impl FnOnce(&mut W) -> io::Result<T>) -> io::Result<T> {
        let Some(out) = &mut self.0 else { return Ok(without) };
        match act(out) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.0 = None;
                Ok(without)
            }
            other => other,
        }
    }
}

impl<W: Write> Write for Outlet<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unless_closed(bytes.len(), |out| out.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.unless_closed((), W::flush)
    }
}

impl Terminal {
    fn new(colour: Colour) -> Self {
        let choice = match colour {
            Colour::Auto => anstream::ColorChoice::Auto,
            Colour::Always => anstream::ColorChoice::Always,
            Colour::Never => anstream::ColorChoice::Never,
        };
        Self {
            out: Box::new(Outlet(Some(io::BufWriter::new(anstream::AutoStream::new(io::stdout(), choice))))),
            raw: Outlet(Some(io::stdout())),
            err: Box::new(anstream::AutoStream::new(io::stderr(), choice)),
        }
    }

    /// Writes a document byte for byte: what takes colours out for a pipe would take control characters out too.
    pub(crate) fn document(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.flush()?;
        self.raw.write_all(bytes)?;
        self.raw.flush()
    }

    /// Writes JSON byte for byte; on a terminal, with the same meaning and nothing that controls it.
    pub(crate) fn json(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !io::stdout().is_terminal() {
            return self.document(bytes);
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => self.document(json_for_eyes(text).as_bytes()),
            Err(_) => self.document(bytes),
        }
    }

    /// Writes a text byte for byte; on a terminal, what would control it as escapes.
    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        if io::stdout().is_terminal() {
            self.document(shown(text).as_bytes())
        } else {
            self.document(text.as_bytes())
        }
    }

    /// Says something that is no result.
    pub(crate) fn note(&mut self, text: impl std::fmt::Display) {
        // Nothing is left to tell where stderr is closed.
        let _ = writeln!(self.err, "exhibit: {}", shown(&text.to_string()));
    }

    /// Columns of the terminal that stdout is; none where it is something else.
    pub(crate) fn columns() -> Option<usize> {
        terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
    }

    /// Whether a person watches stderr.
    pub(crate) fn is_watched() -> bool {
        io::stderr().is_terminal()
    }
}

/// Why a command could not be done, and a way out.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// A failure in words that fit after `exhibit: error: `.
    pub(crate) fn new(message: impl std::fmt::Display) -> Self {
        Self { message: message.to_string(), hint: None }
    }

    /// Cannot do `what` because of `error`; its sources are added.
    pub(crate) fn cannot(what: impl std::fmt::Display, error: &dyn std::error::Error) -> Self {
        Self::new(format!("cannot {what}: {}", chain(error)))
    }

    /// Cannot `error` (errors of the library are fragments that fit after "cannot").
    pub(crate) fn of(error: &dyn std::error::Error) -> Self {
        Self::new(format!("cannot {}", chain(error)))
    }

    /// The failure in one text, its way out included.
    pub(crate) fn words(self) -> String {
        match self.hint {
            Some(hint) => format!("{} ({hint})", self.message),
            None => self.message,
        }
    }

    /// Adds a way out.
    pub(crate) fn hint(mut self, hint: impl std::fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }
}

/// Text for stderr, whoever chose the names in it: nothing but line ends controls the terminal.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push(c),
            c if is_deceptive(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// JSON whose strings spell as escapes (RFC 8259 section 7) what a terminal would obey.
fn json_for_eyes(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || !is_deceptive(c) {
            shown.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            shown.push_str(&format!("\\u{unit:04x}"));
        }
    }
    shown
}

/// An error with its sources, joined by colons.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let words = inner.to_string();
        // Some errors print their source already.
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = inner.source();
    }
    text
}

impl From<io::Error> for Failure {
    /// Writing to stdout failed.
    fn from(error: io::Error) -> Self {
        Self::cannot("write the result", &error)
    }
}

/// Reads the command line, does it, turns the outcome into an exit code.
pub(crate) fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return ExitCode::from(not_understood(&error)),
    };
    place::heed_interrupts();
    let mut terminal = Terminal::new(arguments.color);
    let done = dispatch(&arguments.command, &mut terminal)
        .and_then(|code| terminal.out.flush().map(|()| code).map_err(Failure::from));
    match done {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            let _ = terminal.out.flush();
            terminal.note(format_args!("error: {}", failure.message));
            if let Some(hint) = failure.hint {
                terminal.note(format_args!("hint: {hint}"));
            }
            ExitCode::from(NOT_DONE)
        }
    }
}

/// Help that was asked for, or a command line that makes no sense.
fn not_understood(error: &clap::Error) -> u8 {
    if !error.use_stderr() {
        let _ = error.print();
        return DONE;
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
    } else {
        // It starts with "error: " and quotes what was typed.
        let _ = write!(io::stderr(), "exhibit: {}", shown(&error.render().to_string()));
    }
    NOT_DONE
}

fn dispatch(command: &Command, terminal: &mut Terminal) -> Result<u8, Failure> {
    match command {
        Command::Find(arguments) => find::run(arguments, terminal),
        Command::New(arguments) => new::run(arguments, terminal),
        Command::Check(arguments) => check::run(arguments, terminal),
        Command::Run(arguments) => run::run(arguments, terminal),
        Command::Verify(arguments) => verify::run(arguments, terminal),
        Command::Show(arguments) => show::run(arguments, terminal),
        Command::Report(arguments) => report::run(arguments, terminal),
        Command::Test(arguments) => test::run(arguments, terminal),
        Command::Inspect(arguments) => inspect::run(arguments, terminal),
        Command::Explain(arguments) => explain::run(arguments, terminal),
        Command::Key(arguments) => key::run(arguments, terminal),
        Command::Canary(arguments) => canary::run(arguments, terminal),
        Command::Lab(arguments) => lab::run(arguments, terminal),
        Command::Completions(arguments) => completions::run(arguments, terminal),
        Command::Man(arguments) => man::run(arguments, terminal),
    }
}

/// A case on disk: its folder and its scenario's logical path.
pub(crate) fn case_at(path: &std::path::Path) -> Result<(PathBuf, String), Failure> {
    let meta = std::fs::metadata(path).map_err(|error| {
        Failure::cannot(format!("open the case {}", path.display()), &error)
            .hint("a case is a folder with a scenario.yaml in it; `exhibit new DIR` writes one")
    })?;
    if meta.is_dir() {
        return Ok((path.to_owned(), "scenario.yaml".to_owned()));
    }
    let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let folder = path.parent().map_or_else(PathBuf::new, PathBuf::from);
    match name {
        Some(name) => Ok((if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder }, name)),
        None => Err(Failure::new(format!("cannot open {}: its name is not UTF-8", path.display()))),
    }
}
