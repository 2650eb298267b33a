//! `exhibit show`: the findings of a bundle, or one of them with its proof.

use std::io::{self, Write};

use exhibit::{
    findings::{Finding, Findings},
    report::{proof::Wanted, terminal},
};

/// Why nothing could be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShowError {
    /// No finding has that id.
    #[error("find the finding {id}: there are {known}")]
    Unknown {
        /// What was typed.
        id: String,
        /// How many findings there are.
        known: usize,
    },
    /// Several findings begin so.
    #[error("tell which finding {id} is: {} begin so", .candidates.join(", "))]
    Ambiguous {
        /// What was typed.
        id: String,
        /// Ids that begin so.
        candidates: Vec<String>,
    },
    /// The writer said no.
    #[error("write")]
    Write(#[from] io::Error),
}

/// Lists the findings, or shows the one whose id is or begins with `id`. `bytes` gives bytes of a device file
/// where the bundle holds it.
///
/// # Errors
/// An id that no finding or more than one has; what the writer says.
pub(crate) fn show(
    findings: &Findings,
    id: Option<&str>,
    bytes: &dyn Fn(&Wanted<'_>) -> Option<Vec<u8>>,
    out: &mut dyn Write,
) -> Result<(), ShowError> {
    let text = match id {
        None => terminal::list(findings),
        Some(id) => terminal::finding(findings, pick(findings, id)?, bytes),
    };
    Ok(out.write_all(text.as_bytes())?)
}

fn pick<'a>(findings: &'a Findings, id: &str) -> Result<&'a Finding, ShowError> {
    let all = || findings.findings.iter();
    if let Some(exact) = all().find(|finding| finding.id == id) {
        return Ok(exact);
    }
    let candidates: Vec<&Finding> = all()
        .filter(|finding| {
            finding.id.starts_with(id) || finding.id.strip_prefix("F-").is_some_and(|hex| hex.starts_with(id))
        })
        .collect();
    match candidates.as_slice() {
        [] => Err(ShowError::Unknown { id: id.to_owned(), known: findings.findings.len() }),
        [one] => Ok(one),
        several => Err(ShowError::Ambiguous {
            id: id.to_owned(),
            candidates: several.iter().map(|finding| finding.id.clone()).collect(),
        }),
    }
}
