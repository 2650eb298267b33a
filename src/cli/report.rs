//! `exhibit report`: one report in one format.

use std::io::{self, Write};

use exhibit::{
    findings::Findings,
    report::{self, Provenance},
};

/// Formats of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// One page for a browser and for printing.
    Html,
    /// For forums and repositories.
    Markdown,
    /// The findings themselves, canonical.
    Json,
}

/// Writes the report.
///
/// # Errors
/// What the writer says.
pub(crate) fn report(
    findings: &Findings,
    provenance: &Provenance,
    format: Format,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        Format::Html => {
            out.write_all(report::html(findings, provenance).map_err(io::Error::other)?.as_bytes())
        }
        Format::Markdown => out.write_all(report::markdown(findings, provenance).as_bytes()),
        Format::Json => out.write_all(&report::json(findings)?),
    }
}
