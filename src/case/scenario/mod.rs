//! The plan and the record: YAML to phases, actions and claims; errors with line, column and help.
//!
//! The text of a scenario enters; a [`plan::Plan`] with every name resolved leaves, and the runs that its
//! short forms stand for. `grammar` says what may be written, `read` turns text into it, `resolve` looks
//! up names and fills in defaults, [`record`] reads what happened. Files are looked for by the room above.

pub(crate) mod claims;
pub(crate) mod deeds;
pub mod grammar;
pub mod plan;
mod print;
pub mod problem;
pub(crate) mod read;
pub(crate) mod reading;
pub mod record;
mod requirement;
pub(crate) mod resolve;
pub mod schema;
pub mod seed;
pub mod sketch;
pub(crate) mod terms;
pub mod values;
pub mod words;

pub(crate) use deeds::DEFAULT_WINDOW_MS;
pub use deeds::{ShortRuns, runs};
pub use print::expanded;
pub use problem::{Problem, Problems, Severity};
pub use read::MAX_TEXT;
pub use resolve::{PathKind, PathUse};

/// A scenario that was read and whose names exist.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// As it was written.
    pub written: grammar::Scenario,
    /// What it means.
    pub plan: plan::Plan,
    /// What phases record in their short form.
    pub shorts: Vec<ShortRuns>,
    /// Files it names.
    pub paths: Vec<PathUse>,
    /// What should be known about it; no errors.
    pub warnings: Vec<Problem>,
}

impl Parsed {
    /// Rest after each planned action, in milliseconds.
    pub fn washout_ms(&self) -> u64 {
        self.plan.washout_ms.unwrap_or(0)
    }
}

/// Reads a scenario. `name` is its logical path, for messages.
///
/// # Errors
/// Every problem of the text, with its place.
pub fn parse(name: &str, text: &[u8]) -> Result<Parsed, Problems> {
    let text = match std::str::from_utf8(text) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => return Err(not_text(name, text, error.valid_up_to())),
    };
    let fail = |problems| Problems::new(name, text, problems);
    let written: grammar::Scenario = read::document(text).map_err(|problem| fail(vec![problem]))?;
    let resolved = resolve::resolve(&written).map_err(fail)?;
    Ok(Parsed {
        plan: resolved.plan,
        shorts: resolved.shorts,
        paths: resolved.paths,
        warnings: resolved.warnings,
        written,
    })
}

fn not_text(name: &str, bytes: &[u8], at: usize) -> Problems {
    let before = bytes.get(..at).unwrap_or_default();
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let column = before
        .rsplit(|&byte| byte == b'\n')
        .next()
        .map_or(0, |line| String::from_utf8_lossy(line).chars().count())
        + 1;
    let problem = Problem::error(values::Place { line, column, len: 1 }, "the text is not UTF-8")
        .help("a scenario is a text file; save it as UTF-8");
    Problems::new(name, &String::from_utf8_lossy(bytes), vec![problem])
}
