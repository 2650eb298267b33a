//! A world in which everything is settled, and changes of it: each may only move verdicts to the named inconclusive, or leave
//! them standing. What other tests hold: loss, another image, three windows, an order that is not drawn (the worlds); the
//! server that sends first, a second client, a cut chain (packets made by hand).

use std::collections::BTreeMap;

use exhibit::{
    evidence::{Digest, Timestamp},
    findings::{Findings, Status},
};
use serde_json::{Value, json};

use crate::{
    FULL_EVERY, analyse_changed,
    behaviour::{Behaviour, CLOUD, CLOUD_ON, FULL, NEWS, Rule, STOCK, What},
};

type Files = BTreeMap<String, Vec<u8>>;

fn rule(
    during: &'static str,
    what: What,
    to: &'static str,
    over: &'static str,
    phases: &[&'static str],
) -> Rule {
    Rule { phases: phases.to_vec(), during, after_s: 6, what, wrapper: 0, over, to, chance: None }
}

/// Declared preferences and public pages; photo and message after consent, all under keys that are kept.
fn preferences_only(runs: u32) -> Behaviour {
    let both = [STOCK, CLOUD_ON];
    Behaviour {
        phases: vec![(STOCK, runs), (CLOUD_ON, 1)],
        rules: vec![
            rule("rest", What::Fetch, NEWS, "http1", &both),
            rule("shoot", What::Preferences, CLOUD, "tls13", &both),
            rule("shoot", What::Photo, CLOUD, "tls13", &[CLOUD_ON]),
            rule("sms", What::Message, CLOUD, "tls13", &[CLOUD_ON]),
        ],
        keyed: both.to_vec(),
        unrecorded: 0,
        air: (0, 0),
        other_image: false,
        backup_on: false,
        fixed_address: true,
        randomized: true,
        ..Behaviour::drawn(1, FULL_EVERY)
    }
}

/// The same with photo, message and identifiers in clear, unasked.
fn all_in_clear() -> Behaviour {
    let mut behaviour = preferences_only(2);
    behaviour.rules.extend([
        rule("shoot", What::Photo, CLOUD, "http1", &[STOCK, CLOUD_ON]),
        rule("sms", What::Message, CLOUD, "http1", &[STOCK, CLOUD_ON]),
        rule("rest", What::Both, CLOUD, "http1", &[STOCK, CLOUD_ON]),
    ]);
    behaviour
}

fn judge(behaviour: &Behaviour, change: impl FnOnce(&mut Files)) -> Findings {
    analyse_changed(&behaviour.model(), &behaviour.scenario(), change).1
}

/// Changes each line of the record and chains them anew.
fn record(files: &mut Files, change: impl Fn(&mut Value)) {
    let written = String::from_utf8(files["record.jsonl"].clone()).unwrap();
    let (mut prev, mut lines) = (Digest([0; 32]), String::new());
    for line in written.lines() {
        let mut line: Value = serde_json::from_str(line).unwrap();
        change(&mut line);
        line["prev"] = json!(prev.to_string());
        let text = line.to_string();
        prev = Digest::of(text.as_bytes());
        lines.push_str(&text);
        lines.push('\n');
    }
    files.insert("record.jsonl".to_owned(), lines.into_bytes());
}

/// One letter a claim: L1 L2 L3 L4 X1 X2 X3 X4 X5.
fn letters(findings: &Findings) -> String {
    let letter = |status| match status {
        Status::Supported => 'S',
        Status::Refuted => 'R',
        _ => 'i',
    };
    findings.claims.iter().map(|claim| letter(claim.status)).collect()
}

#[track_caller]
fn reason(findings: &Findings, claims: &[&str], wanted: &str) {
    for claim in findings.claims.iter().filter(|claim| claims.contains(&claim.id.as_str())) {
        assert!(claim.reasons.iter().any(|reason| reason == wanted), "{}: {:?}", claim.id, claim.reasons);
    }
}

const ABSENT: [&str; 7] = ["L2", "L3", "L4", "X1", "X2", "X3", "X4"];

#[test]
fn the_worlds_as_they_are() {
    assert_eq!(letters(&judge(&preferences_only(FULL), |_| ())), "SRRRSSSSi");
    assert_eq!(letters(&judge(&all_in_clear(), |_| ())), "SSSSRRRRR");
}

#[test]
fn without_the_key_log_nothing_is_absent() {
    let mut behaviour = preferences_only(FULL);
    behaviour.keyed = Vec::new();
    let findings = judge(&behaviour, |_| ());
    // Less than a photo goes under the keys in a window; but the positive control can't be read either.
    assert_eq!(letters(&findings), "Siiiiiiii");
    reason(&findings, &ABSENT, "positive_control");
    reason(&findings, &["L3", "L4", "X1", "X2", "X3", "X4"], "residual_capacity");
}

#[test]
fn a_clock_two_minutes_off_blocks_absence_and_what_needs_time() {
    let shifted = |files: &mut Files| {
        record(files, |line| line["clock_probes"][0]["offset_ms"] = json!(120_000));
    };
    let findings = judge(&preferences_only(FULL), shifted);
    assert_eq!(letters(&findings), "iiiiiiiii");
    reason(&findings, &["L1", "L2", "L3", "L4", "X1", "X2", "X3", "X4", "X5"], "clock");
    let findings = judge(&all_in_clear(), shifted);
    assert_eq!(letters(&findings), "iSSSRRRiR", "that it was sent stands");
    reason(&findings, &["L1", "X4"], "clock");
}

/// Nobody saw that the phone's clock was wrong: what it wrote down is two minutes late.
#[test]
fn times_two_minutes_late_in_the_record_turn_nothing_around() {
    let late = |files: &mut Files| {
        record(files, |line| {
            for done in line["actions"].as_array_mut().unwrap() {
                for end in ["start", "end"] {
                    let time: Timestamp = done[end].as_str().unwrap().parse().unwrap();
                    done[end] = json!(Timestamp(time.0 + 120_000_000_000).to_string());
                }
            }
        });
    };
    let mut asked = preferences_only(2);
    asked.rules.push(rule("rest", What::Both, CLOUD, "http1", &[CLOUD_ON]));
    for (behaviour, was) in [(all_in_clear(), "SSSSRRRRR"), (asked, "SRRRSSSSR")] {
        let said = letters(&judge(&behaviour, late));
        let stands = said.chars().zip(was.chars()).all(|(said, was)| said == was || said == 'i');
        assert!(stands, "{said} for {was}");
    }
}

#[test]
fn a_consent_that_is_struck_from_the_record_turns_nothing_around() {
    let struck = |files: &mut Files| {
        record(files, |line| line["actions"].as_array_mut().unwrap().retain(|done| done["id"] != "consent"));
    };
    let findings = judge(&preferences_only(FULL), struck);
    assert_eq!(letters(&findings)[..4], *"SRRR", "{}", letters(&findings));
    assert!(!letters(&findings)[4..].contains('R'), "{}", letters(&findings));
    let x4 = findings.claims.iter().find(|claim| claim.id == "X4").unwrap();
    assert_eq!(x4.status, Status::Inconclusive);
    assert!(x4.reasons.contains(&"phase_not_run".to_owned()), "{:?}", x4.reasons);
    assert_eq!(letters(&judge(&all_in_clear(), struck)), "SSSSRRRRR", "what stock shows stands");
}

#[test]
fn a_field_that_hides_the_imei_under_a_secret_is_called_clean_by_nothing() {
    let mut behaviour = preferences_only(FULL);
    behaviour.rules.push(rule("rest", What::ImeiSecret, CLOUD, "http1", &[STOCK]));
    let findings = judge(&behaviour, |_| ());
    // A photo has no room in it.
    assert_eq!(letters(&findings), "SRiiiiiii");
    reason(&findings, &["L3", "L4", "X1", "X2", "X3", "X4"], "residual_capacity");
}

#[test]
fn a_photo_of_which_only_the_hash_is_sent_is_neither_sent_nor_absent() {
    let mut behaviour = preferences_only(FULL);
    behaviour.rules.push(rule("rest", What::Imei, CLOUD, "http1", &[STOCK]));
    let mut digest = None;
    judge(&Behaviour { phases: vec![(STOCK, 1), (CLOUD_ON, 1)], ..behaviour.clone() }, |files| {
        digest = Some(Digest::of(&files["device/stock/01/DCIM/Camera/IMG_0001.jpg"]));
    });
    let hash = format!("name: id, text: \"{}\"", digest.unwrap());
    let model = behaviour.model().replace("name: imei, identifier: imei", &hash);
    let findings = analyse_changed(&model, &behaviour.scenario(), |_| ()).1;
    let said = letters(&findings);
    assert!(said.starts_with("Si"), "{said}");
    assert_eq!(&said[4..8], "iiii", "{said}");
    reason(&findings, &["L2", "X1", "X4"], "dedup");
}
