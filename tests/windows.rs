//! An upload is searched for and found wherever it falls beside the record: in a window, after it, before the first
//! action, between runs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::fmt::Write as _;

use exhibit::{
    evidence::Digest,
    findings::{Findings, LedgerRow, Status},
};

mod support;
use support::{Home, ends, write};

/// Its capture holds one upload, 35 seconds after ten.
const CASE: &str = "hello";
const PHOTO: &str = "DCIM/Camera/IMG_0003.jpg";

const PLAN: &str = "exhibit: 1\nid: windows\nsimulated: true\nphone: {addresses: [192.168.43.17]}\n\
    phases:\n  - {id: stock, repeat: RUNS, window: 5s}\nactions:\n  order: fixed\n  list:\n    - {id: join, do: join-wifi}\n\
    claims:\n  - {id: U, says: uploads, in: stock, uploads: photo}\n  - {id: X, says: never, in: stock, never_uploads: photo}\n";

/// What comes of runs that share the capture, each with one action of one second that is watched for five more.
fn judged(starts: &[u32]) -> (Findings, String) {
    let home = Home::with(CASE);
    let mut record = String::new();
    let mut prev = Digest([0; 32]);
    for (run, start) in (1..).zip(starts) {
        let time = |second: u32| format!("2026-11-20T10:00:{second:02}Z");
        let line = format!(
            r#"{{"prev":"{prev}","run":"stock/{run:02}","captures":["hotspot.pcapng"],"keys":[],"files":"DCIM","actions":[{{"id":"join","start":"{}","end":"{}","by":"simulated"}}]}}"#,
            time(*start),
            time(start + 1)
        );
        prev = Digest::of(line.as_bytes());
        writeln!(record, "{line}").unwrap();
    }
    write(&home.case.join("record.jsonl"), record);
    write(&home.case.join("scenario.yaml"), PLAN.replace("RUNS", &starts.len().to_string()));
    let said =
        |format: &[&str]| ends(0, home.exhibit(&["run", "--no-bundle"]).args(format).arg(&home.case)).out;
    (serde_json::from_str(&said(&["--format", "json"])).unwrap(), said(&[]))
}

/// Phase, run, and the action before it with its distance in seconds.
type Where<'f> = (&'f str, Option<&'f str>, Option<(&'f str, i64)>);

/// Where the photo was found; it is there whole, once.
fn place(findings: &Findings) -> Where<'_> {
    let [finding] = &findings.findings[..] else { panic!("{:?}", findings.findings) };
    assert_eq!((finding.artifact.as_str(), finding.matched_bytes), (PHOTO, finding.artifact_bytes));
    let [part] = &finding.parts[..] else { panic!("{:?}", finding.parts) };
    let after = part.action.as_deref().zip(part.after_ms.map(|millis| millis / 1_000));
    (&finding.phase, part.run.as_deref(), after)
}

/// Matched bytes of each window.
fn windows(findings: &Findings) -> Vec<u64> {
    let outside = |row: &&LedgerRow| row.of.ends_with(", outside windows");
    findings.ledger.by_window.iter().filter(|row| !outside(row)).map(|row| row.bytes.matched).collect()
}

/// Matched bytes of the phase that lie in no window.
fn outside(findings: &Findings) -> u64 {
    let row = findings.ledger.by_window.iter().find(|row| row.of == "stock, outside windows");
    row.map_or(0, |row| row.bytes.matched)
}

fn verdicts(findings: &Findings) -> Vec<Status> {
    findings.claims.iter().map(|claim| claim.status).collect()
}

const SEEN: [Status; 2] = [Status::Supported, Status::Refuted];

#[test]
fn in_a_window() {
    let (findings, text) = judged(&[33]);
    assert_eq!(place(&findings), ("stock", Some("stock/01"), Some(("join", 2))));
    assert_eq!((windows(&findings), verdicts(&findings)), (vec![findings.ledger.all.matched], SEEN.to_vec()));
    assert_eq!(outside(&findings), 0);
    assert!(!text.contains("outside any run"));
}

#[test]
fn after_the_last_window_of_the_only_run() {
    let (findings, text) = judged(&[2]);
    assert_eq!(place(&findings), ("stock", Some("stock/01"), Some(("join", 33))), "told by its distance");
    assert_eq!((windows(&findings), verdicts(&findings)), (vec![0], SEEN.to_vec()));
    assert_eq!(outside(&findings), findings.ledger.all.matched);
    assert!(!text.contains("outside any run"));
}

#[test]
fn before_the_first_action_of_the_only_run() {
    let (findings, text) = judged(&[50]);
    assert_eq!(place(&findings), ("stock", Some("stock/01"), None));
    assert_eq!((windows(&findings), verdicts(&findings)), (vec![0], SEEN.to_vec()));
    assert_eq!(outside(&findings), findings.ledger.all.matched);
    assert!(!text.contains("outside any run"));
}

#[test]
fn between_runs_no_claim_rests_on_it_and_it_is_said() {
    for starts in [[2, 50], [2, 20], [40, 50]] {
        let (findings, text) = judged(&starts);
        assert_eq!(place(&findings), ("", None, None));
        assert_eq!((windows(&findings), outside(&findings)), (vec![0, 0], 0));
        assert_eq!(verdicts(&findings), [Status::Inconclusive; 2], "whose run it was can't be said");
        let row = findings.ledger.by_phase.iter().find(|row| row.of == "outside any run").unwrap();
        assert_eq!(row.bytes.matched, findings.ledger.all.matched);
        let said = format!("found outside any run, so no claim rests on it: {}", findings.findings[0].id);
        assert!(text.contains(&said), "{text}");
    }
    // The window of one of the runs holds it.
    let (findings, text) = judged(&[2, 33]);
    assert_eq!(place(&findings), ("stock", Some("stock/02"), Some(("join", 2))));
    assert_eq!(verdicts(&findings), SEEN);
    assert!(!text.contains("outside any run"));
}
