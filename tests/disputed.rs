//! What stands only in the other version of disputed bytes is found too, leads to its own frame, and carries no verdict.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use exhibit::{
    evidence::FrameRange,
    findings::{Findings, Grade, Status},
};

mod support;

use support::{Home, ends, packets, write};

const PHONE: packets::End = ([192, 168, 1, 2], 40_000);
const SERVER: packets::End = ([203, 0, 113, 9], 80);
const IMEI: &str = "867622014512347";

/// Runs a case whose phone sends `body`, and one segment more of which `other` stands at `place`.
fn run(body: &str, place: usize, other: &str) -> Findings {
    let home = Home::new();
    let request =
        format!("POST /e HTTP/1.1\r\nHost: up.example\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let at = request.len() - body.len() + place;
    let mut frames =
        packets::connection(PHONE, SERVER, request.as_bytes(), b"HTTP/1.1 204 No Content\r\n\r\n");
    let seq = 1_001 + u32::try_from(at).unwrap();
    frames.insert(4, packets::tcp(PHONE, SERVER, seq, 9_001, packets::ACK, other.as_bytes()));
    write(&home.path("case/c.pcap"), packets::pcap(&frames));
    let scenario = format!(
        "exhibit: 1\ncapture: c.pcap\nphone: {{addresses: 192.168.1.2, identifiers: {{imei: \"{IMEI}\"}}}}\n\
         claims:\n  - {{id: A, says: it sends the number, uploads: identifier}}\n  - {{id: B, says: it never does, never_uploads: identifier}}\n"
    );
    write(&home.path("case/scenario.yaml"), scenario);
    let out = ends(0, &mut home.exhibit(&["run", "case", "--no-bundle", "--format", "json"])).out;
    serde_json::from_str(&out).unwrap()
}

fn frames(ranges: &[FrameRange]) -> Vec<(u32, u32)> {
    ranges.iter().map(|range| (range.first.0, range.last.0)).collect()
}

#[test]
fn a_value_in_the_other_version_is_found_in_its_frame_and_settles_nothing() {
    let body = format!("device={}&state=ok", "-".repeat(IMEI.len()));
    let findings = run(&body, 7, IMEI);
    let [finding] = &findings.findings[..] else { panic!("{:#?}", findings.findings) };
    assert_eq!((finding.grade, finding.artifact.as_str()), (Grade::Identifier, "identifier:imei"));
    assert_eq!(finding.caveats, ["ambiguous_bytes"]);
    let [part] = &finding.parts[..] else { panic!("{:#?}", finding.parts) };
    assert_eq!((frames(&part.frames), part.steps[0].op.as_str()), (vec![(5, 5)], "stream.last"));
    assert!(
        findings.claims.iter().all(|claim| claim.status == Status::Inconclusive),
        "{:#?}",
        findings.claims
    );
    assert!(findings.claims[0].reasons.contains(&"ambiguous_bytes".to_owned()));
}

#[test]
fn what_another_version_holds_has_room_for_what_was_not_found() {
    let body = format!("device={}&state=ok", "-".repeat(IMEI.len()));
    let has = |other: &str| run(&body, 7, other).claims[0].reasons.contains(&"ambiguous_bytes".to_owned());
    // Seven bytes hold fifteen digits, in a coding that nobody knows; six do not.
    assert!(has("\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}"));
    assert!(!has("\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}") && !has("-------"));
}

#[test]
fn a_value_beside_disputed_bytes_is_found_once_and_settles() {
    let body = format!("device={IMEI}&state=okay&padding=padding");
    let findings = run(&body, 7 + IMEI.len() + 7, "nono");
    let [finding] = &findings.findings[..] else { panic!("{:#?}", findings.findings) };
    assert_eq!((finding.caveats.len(), finding.parts.len()), (0, 1));
    assert_eq!(frames(&finding.parts[0].frames), [(4, 4)]);
    let statuses: Vec<Status> = findings.claims.iter().map(|claim| claim.status).collect();
    assert_eq!(statuses, [Status::Supported, Status::Refuted]);
    assert!(findings.anomalies.iter().any(|anomaly| anomaly.detail.contains("receivers take: first kept")));
}
