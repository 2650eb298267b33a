//! Findings for people: terminal, Markdown, HTML, canonical JSON, and snapshots to compare with.
//!
//! Findings enter, text leaves. Every function here is pure and reads [`Findings`] alone, so a
//! verified bundle gives a verified report; no engine, no clock, no machine. Nothing is computed
//! anew but percentages, sums that the ledger defines, and counts of what is listed. Each medium
//! has one escaper, and every text that comes from findings passes it: findings of a stranger's
//! bundle are as hostile as his capture.

use crate::findings::{Findings, canonical_json};

pub mod html;
pub mod inspection;
pub mod markdown;
pub mod proof;
pub mod quantity;
pub mod snapshot;
mod svg;
pub mod terminal;
pub mod words;

/// What a report says about its own standing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// Rendered from findings alone: nobody checked that they follow from the captures.
    Unverified,
    /// Rendered after a verification.
    Verified {
        /// The bundle id.
        bundle: String,
        /// The verification's lines, in its order.
        checks: Vec<CheckLine>,
    },
}

/// One line of a verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckLine {
    /// `Integrity`, `Signature`, …
    pub name: String,
    /// How it stands and why, in words.
    pub words: String,
}

/// Writes the findings as canonical JSON, the bytes of `findings.json`.
///
/// # Errors
/// Never for findings as they are defined; a fault of the types otherwise.
pub fn json(findings: &Findings) -> Result<Vec<u8>, serde_json::Error> {
    canonical_json(findings)
}
pub use html::html;
pub use markdown::markdown;
