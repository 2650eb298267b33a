//! The report as one HTML page: no script, no request, one style whose digest the page's own policy names.
//!
//! Templates stand in `templates/`; they read findings and ask this page for words. Every expression in
//! them passes [`Escaped`] unless it is a drawing, which is a template itself.

use std::fmt;

use askama::Template;
use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    evidence::{Digest, Timestamp, is_deceptive},
    findings::{
        EndpointSummary, Finding, Findings, GateState, LedgerRow, Part, Places, RunSummary, Status, Verdict,
        codes,
    },
    report::{
        Provenance, proof, quantity,
        svg::{self, Drawing},
        words,
    },
};

/// Rows that a table prints; `findings.json` holds the rest.
const MAX_ROWS: usize = 200;

const STYLE: &str = include_str!("templates/report.css");

/// Renders the report.
///
/// # Errors
/// Never for findings as they are defined: writing into memory doesn't fail.
pub fn html(findings: &Findings, provenance: &Provenance) -> Result<String, askama::Error> {
    Page { findings, provenance }.render()
}

/// What the page lets a browser do: apply this one style, nothing else.
fn policy() -> String {
    let digest = STANDARD.encode(Digest::of(STYLE.as_bytes()).0);
    format!("default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'")
}

/// HTML's marks as references (WHATWG HTML, 13.3), and characters that hide or turn text as visible escapes.
#[derive(Clone, Copy, Debug)]
pub struct Escaped;

impl askama::filters::Escaper for Escaped {
    fn write_escaped_str<W: fmt::Write>(&self, mut to: W, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| self.write_escaped_char(&mut to, c))
    }

    fn write_escaped_char<W: fmt::Write>(&self, mut to: W, c: char) -> fmt::Result {
        match c {
            '&' => to.write_str("&amp;"),
            '<' => to.write_str("&lt;"),
            '>' => to.write_str("&gt;"),
            '"' => to.write_str("&quot;"),
            '\'' => to.write_str("&#39;"),
            c if is_deceptive(c) => write!(to, "{}", c.escape_unicode()),
            c => to.write_char(c),
        }
    }
}

#[derive(Template)]
#[template(path = "report.html", config = "src/report/askama.toml")]
struct Page<'a> {
    findings: &'a Findings,
    provenance: &'a Provenance,
}

/// A code beside its meaning.
struct Meaning<'a> {
    name: &'a str,
    means: &'static str,
}

impl<'a> Page<'a> {
    fn rows<'r, T>(&self, list: &'r [T]) -> &'r [T] {
        list.get(..MAX_ROWS).unwrap_or(list)
    }

    /// What a table leaves out, if anything.
    fn rest<T>(&self, list: &[T]) -> Option<String> {
        let rest = list.len().checked_sub(MAX_ROWS).filter(|rest| *rest > 0)?;
        Some(format!("{rest} more stand in findings.json."))
    }

    fn moment(&self, time: &Timestamp) -> String {
        quantity::moment(*time)
    }

    fn maybe_moment(&self, time: &Option<Timestamp>) -> String {
        time.map_or_else(|| "–".to_owned(), quantity::moment)
    }

    fn grouped(&self, number: &u64) -> String {
        quantity::grouped(*number)
    }

    fn counted(&self, number: &u64, noun: &str) -> String {
        quantity::counted(*number, noun)
    }

    fn dropped(&self, number: &Option<u64>) -> String {
        number.map_or_else(|| "not said".to_owned(), quantity::grouped)
    }

    fn share(&self, part: &u64) -> String {
        quantity::percent(*part, self.findings.ledger.all.total)
    }

    fn places(&self, bytes: &Places) -> [words::Place; 5] {
        words::places(*bytes)
    }

    fn breakdowns(&self) -> [(&'static str, &'a [LedgerRow]); 2] {
        let ledger = &self.findings.ledger;
        [("phase", &ledger.by_phase), ("destination", &ledger.by_destination)]
    }

    fn list(&self, items: &[String]) -> String {
        if items.is_empty() { "–".to_owned() } else { items.join(", ") }
    }

    fn meaning<'n>(&self, name: &'n str) -> Meaning<'n> {
        let means = codes::explain(name).map_or("", |explanation| explanation.means);
        Meaning { name, means }
    }

    fn state(&self, state: &GateState) -> &'static str {
        match state {
            GateState::Held => "held",
            GateState::Failed => "failed",
            GateState::NotCheckable => "not checkable",
        }
    }

    /// A sign that stands before the words, so that no status is told by colour alone.
    fn sign(&self, status: &Status) -> &'static str {
        match status {
            Status::Supported => "●",
            Status::Refuted => "○",
            Status::Inconclusive => "◐",
            Status::Untestable => "–",
        }
    }

    /// What stands in the badge after the status: the grade; reasons have lines of their own.
    fn grade(&self, claim: &Verdict) -> Option<String> {
        claim.grade.as_deref().map(words::plain_grade)
    }

    /// The place of a finding on the page, from 1.
    fn anchor(&self, id: &str) -> Option<usize> {
        let index = self.findings.findings.iter().position(|finding| finding.id == id)?;
        (index < MAX_ROWS).then_some(index + 1)
    }

    fn endpoints(&self, finding: &Finding) -> Vec<&'a EndpointSummary> {
        words::endpoints(self.findings, finding)
    }

    fn sent<'f>(&self, finding: &'f Finding) -> Vec<&'f Part> {
        words::sent(finding).take(proof::PARTS_SHOWN).collect()
    }

    fn more_parts(&self, finding: &Finding) -> usize {
        words::sent(finding).count().saturating_sub(proof::PARTS_SHOWN)
    }

    fn after(&self, part: &Part) -> Option<String> {
        let (action, after) = (part.action.as_ref()?, part.after_ms?);
        Some(format!("{} after the action {action}", quantity::seconds(after)))
    }

    fn commands(&self, finding: &Finding) -> Vec<proof::Command> {
        proof::commands(self.findings, finding)
    }

    fn ledger_bar(&self, of: &str, bytes: &Places) -> Drawing {
        svg::places(of, *bytes)
    }

    fn ranges_bar(&self, finding: &Finding) -> Drawing {
        svg::ranges(finding)
    }

    fn run_bar(&self, run: &RunSummary) -> Drawing {
        svg::run(self.findings, run)
    }

    fn run_span(&self, run: &RunSummary) -> String {
        let (start, end) = svg::span(self.findings, run);
        match start {
            Some(start) => format!(
                "{}, {}",
                quantity::moment(start),
                quantity::duration(end.seconds().saturating_sub(start.seconds()))
            ),
            None => "no time known".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use askama::filters::Escaper as _;

    #[test]
    fn marks_and_hidden_characters_become_text() {
        let mut text = String::new();
        Escaped.write_escaped_str(&mut text, "<b a='\"'>&\u{1b}[2J\u{202e}é").unwrap();
        assert_eq!(text, "&lt;b a=&#39;&quot;&#39;&gt;&amp;\\u{1b}[2J\\u{202e}é");
    }
}
