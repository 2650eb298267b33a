//! Snapshots of a case's outcome: a short stable text, insta's file format around it, a comparison.
//!
//! The text holds what must not move unnoticed: statuses, grades, reasons, figures, findings, gates, the
//! ledger. It leaves out sentences, so that a better wording moves no snapshot.

use std::{collections::BTreeMap, fmt::Write as _};

use similar::TextDiff;

use crate::{
    evidence::{Digest, is_deceptive, printable},
    findings::{Finding, Findings, GateState, LedgerRow, Places, Verdict},
    report::words,
};

/// Characters kept of any one text.
const MAX_TEXT: usize = 200;
/// Above so many items a list is shortened to its first [`FEW`], their number, and the digest of all: a snapshot is
/// for reading.
const MANY: usize = 24;
const FEW: usize = 3;
/// Unchanged lines shown around a change.
const CONTEXT: usize = 2;

/// How a case's outcome stands to the stored one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing moved.
    Same,
    /// Something moved: a unified diff, stored first.
    Differs(String),
    /// Nothing was stored yet.
    New,
}

/// Compares a stored snapshot file with the text of now. Line ends and blank lines at the ends don't count,
/// as insta has it.
pub fn compare(stored: Option<&str>, current: &str) -> Outcome {
    let Some(stored) = stored else { return Outcome::New };
    let (stored, current) = (normal(contents(stored)), normal(current));
    if stored == current {
        return Outcome::Same;
    }
    let diff = TextDiff::from_lines(&stored, &current);
    let diff = diff.unified_diff().context_radius(CONTEXT).header("stored", "now").to_string();
    Outcome::Differs(shown(&diff))
}

/// A stored file may come from anybody: what it hides is made visible before it is printed.
fn shown(diff: &str) -> String {
    let mut text = String::with_capacity(diff.len());
    for c in diff.chars() {
        if c != '\n' && is_deceptive(c) { text.extend(c.escape_unicode()) } else { text.push(c) }
    }
    text
}

/// Writes a snapshot file as insta writes it; `source` is the scenario's path.
pub fn file(source: &str, current: &str) -> String {
    format!("---\nsource: {}\nexpression: exhibit test\n---\n{}", scalar(source), normal(current))
}

/// The scenario that a snapshot file names, if it was written by [`file()`].
pub fn source(stored: &str) -> Option<String> {
    let stored = stored.replace("\r\n", "\n");
    let head = stored.strip_prefix("---\n")?.split("\n---\n").next()?;
    if !head.lines().any(|line| line == "expression: exhibit test") {
        return None;
    }
    let value = head.lines().find_map(|line| line.strip_prefix("source: "))?;
    if value.starts_with('"') { serde_json::from_str(value).ok() } else { Some(value.to_owned()) }
}

/// A YAML scalar: plain where it can't be read as anything else, else a JSON string (YAML 1.2 holds JSON).
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-');
    if text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(plain) && text.contains('/') {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}

fn contents(stored: &str) -> &str {
    let body = stored.strip_prefix("---\n").or_else(|| stored.strip_prefix("---\r\n"));
    let Some(body) = body else { return stored };
    let mut rest = body;
    while let Some((line, after)) = rest.split_once('\n') {
        if line.trim_end() == "---" {
            return after;
        }
        rest = after;
    }
    stored
}

fn normal(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    format!("{}\n", text.trim_start_matches('\n').trim_end())
}

/// The text of a case's outcome.
pub fn text(findings: &Findings) -> String {
    let mut text = String::new();
    let simulated = if findings.simulated { " (simulated)" } else { "" };
    let _ = writeln!(text, "case {}{simulated}", clean(&findings.case));
    for claim in &findings.claims {
        verdict(&mut text, claim);
    }
    text.push('\n');
    list(&mut text, &findings.findings);
    text.push('\n');
    for missing in &findings.unreported {
        let _ = writeln!(text, "{}", clean(&words::unreported(missing)));
    }
    for gate in findings.gates.iter().filter(|gate| gate.state != GateState::Held) {
        let (id, phase) = (clean(&gate.id), clean(&gate.phase));
        let _ = writeln!(text, "gate {id} in {phase}: {} ({})", gate.state.name(), clean(&gate.figure));
    }
    for control in &findings.controls {
        let _ = writeln!(
            text,
            "control {}: {} ({})",
            clean(&control.id),
            control.state.name(),
            clean(&control.figure)
        );
    }
    text.push('\n');
    ledger(&mut text, "uplink", findings.ledger.all);
    for LedgerRow { of, bytes } in &findings.ledger.by_phase {
        ledger(&mut text, &format!("  in {}", clean(of)), *bytes);
    }
    for LedgerRow { of, bytes } in &findings.ledger.by_destination {
        ledger(&mut text, &format!("  to {}", clean(of)), *bytes);
    }
    let _ = writeln!(text, "flows {}, odd traffic {}", findings.flow_count, findings.anomaly_count);
    text
}

fn verdict(text: &mut String, verdict: &Verdict) {
    let _ = writeln!(text, "{} {}", clean(&verdict.id), clean(&words::status(verdict)));
    let mut row = |label: &str, items: &[String]| {
        if !items.is_empty() {
            let items: Vec<String> = items.iter().map(|item| clean(item)).collect();
            let _ = writeln!(text, "  {label}: {}", shortened(items).join(", "));
        }
    };
    row("in", &verdict.scope.phases);
    if verdict.grade.is_some() {
        row("beside it", &verdict.reasons);
    }
    row("findings", &verdict.findings);
    row("endpoints", &verdict.endpoints);
    let open: Vec<String> = verdict.left_open.iter().map(|open| open.code.clone()).collect();
    row("left open", &open);
    let figures: Vec<String> = verdict.figures.iter().map(|(key, value)| format!("{key}={value}")).collect();
    row("figures", &figures);
}

/// Findings with the same of this are told of together where there are many.
fn kin(finding: &Finding) -> (&str, &str, &str, bool) {
    (&finding.phase, finding.grade.name(), &finding.destination, finding.probative)
}

/// All findings in their order; of many of one kind the first few, then their number and digest.
fn list(text: &mut String, findings: &[Finding]) {
    let mut kinds: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for each in findings {
        kinds.entry(kin(each)).or_default().push(finding(each));
    }
    let mut told: BTreeMap<_, usize> = BTreeMap::new();
    for each in findings {
        let all = kinds.get(&kin(each)).map_or(&[][..], Vec::as_slice);
        let told = told.entry(kin(each)).or_default();
        if all.len() <= MANY || *told < FEW {
            text.push_str(&finding(each));
        }
        *told += 1;
    }
    for ((phase, grade, destination, _), all) in kinds.iter().filter(|(_, all)| all.len() > MANY) {
        let digest = digest(all);
        let (phase, destination) = (clean(phase), clean(destination));
        let _ = writeln!(text, "… {} {grade} in {phase} to {destination} in all ({digest})", all.len());
    }
}

fn digest(items: &[String]) -> String {
    let digest = Digest::of(items.concat().as_bytes()).to_string();
    format!("SHA-256 {}…", digest.get(..12).unwrap_or(&digest))
}

/// The items, or of many the first few, their number and the digest of them all.
fn shortened(mut items: Vec<String>) -> Vec<String> {
    if items.len() > MANY {
        let more = format!("… {} in all ({})", items.len(), digest(&items));
        items.truncate(FEW);
        items.push(more);
    }
    items
}

fn finding(finding: &Finding) -> String {
    let mut text = String::new();
    let ranges: Vec<String> =
        finding.artifact_ranges.iter().map(|range| format!("{}..{}", range.start, range.end)).collect();
    let _ = writeln!(
        text,
        "{} {} {} in {} to {}: {}/{} bytes, {}",
        clean(&finding.id),
        finding.grade.name(),
        clean(&finding.artifact),
        clean(&finding.phase),
        clean(&finding.destination),
        finding.matched_bytes,
        finding.artifact_bytes,
        clean(&ranges.join(" ")),
    );
    if !finding.probative {
        let _ = writeln!(text, "  not probative ({})", clean(&finding.chance));
    }
    for caveat in &finding.caveats {
        let _ = writeln!(text, "  caveat {}", clean(caveat));
    }
    text
}

fn ledger(text: &mut String, of: &str, bytes: Places) {
    let parts: Vec<String> =
        words::places(bytes).iter().map(|place| format!("{} {}", place.name, place.bytes)).collect();
    let _ = writeln!(text, "{of}: {} = {}", parts.join(" + "), bytes.total);
}

fn clean(text: &str) -> String {
    printable(text.as_bytes(), MAX_TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_and_blank_ends_do_not_count() {
        let stored = file("scenarios/hello/scenario.yaml", "a\nb\n\n");
        assert_eq!(compare(Some(&stored), "a\nb"), Outcome::Same);
        assert_eq!(compare(Some(&stored.replace('\n', "\r\n")), "a\nb\n"), Outcome::Same);
        assert_eq!(compare(None, "a"), Outcome::New);
    }

    #[test]
    fn a_long_list_is_shortened_and_its_digest_follows_each_item() {
        let items = |changed: usize| (0..30).map(|no| format!("{no} {}", no == changed)).collect::<Vec<_>>();
        let short = shortened(items(30));
        assert_eq!(short.len(), FEW + 1);
        assert!(short[FEW].starts_with("… 30 in all (SHA-256 "), "{short:?}");
        assert_ne!(short[FEW], shortened(items(29))[FEW]);
        assert_eq!(shortened(items(0)[..MANY].to_vec()).len(), MANY);
    }

    #[test]
    fn a_changed_line_shows_as_a_diff() {
        let stored = file("scenarios/hello/scenario.yaml", "L5 supported (whole file)\n");
        let Outcome::Differs(diff) = compare(Some(&stored), "L5 inconclusive (residual_capacity)\n") else {
            panic!("no difference seen");
        };
        assert!(
            diff.contains("\n-L5 supported (whole file)\n+L5 inconclusive (residual_capacity)\n"),
            "{diff}"
        );
    }

    #[test]
    fn a_stored_file_sends_no_escapes_to_the_terminal() {
        let Outcome::Differs(diff) = compare(Some("a\u{1b}[2J\n"), "b\n") else {
            panic!("no difference seen")
        };
        assert!(diff.contains("-a\\u{1b}[2J\n"), "{diff}");
    }

    #[test]
    fn a_rule_inside_the_text_ends_no_header() {
        let stored = file("scenarios/hello/scenario.yaml", "a\n---\nb\n");
        assert_eq!(compare(Some(&stored), "a\n---\nb\n"), Outcome::Same);
        assert_ne!(compare(Some(&stored), "b\n"), Outcome::Same);
    }

    #[test]
    fn sources_are_found_again_and_others_are_not_ours() {
        for path in ["scenarios/hello/scenario.yaml", "a b/'\"/scenario.yaml", "C:\\x"] {
            assert_eq!(source(&file(path, "x")).as_deref(), Some(path));
        }
        assert_eq!(source("---\nsource: tests/report.rs\n---\nx\n"), None);
        assert_eq!(source("x\n"), None);
    }
}
