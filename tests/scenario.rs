//! Scenarios: the three forms, what is refused and how it is said.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic, and finds its own files"
)]

use std::{fs, path::PathBuf};

use exhibit::{
    case::{
        Case, CaseError, Draft, Parts, RECORD,
        folder::Disk,
        scenario::{
            self,
            plan::{Plan, Predicate, Role},
            record,
        },
    },
    evidence::{Digest, Scratch, Timestamp},
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn plan(text: &str) -> Plan {
    scenario::parse("scenario.yaml", text.as_bytes())
        .unwrap_or_else(|problems| panic!("{}", problems.render()))
        .plan
}

fn refused(text: &str) -> String {
    match scenario::parse("scenario.yaml", text.as_bytes()) {
        Ok(_) => panic!("this was taken:\n{text}"),
        Err(problems) => problems.render(),
    }
}

const THREE_LINES: &str = "exhibit: 1
capture: hotspot.pcapng
files: DCIM/
claims:
  - {says: the phone will upload photos, uploads: photo}
";

#[test]
fn the_three_line_form_is_one_phase_and_one_claim() {
    let parsed = scenario::parse("scenario.yaml", THREE_LINES.as_bytes()).unwrap();
    let plan = &parsed.plan;
    assert_eq!((plan.id.as_str(), plan.title.as_str()), ("case", "the phone will upload photos"));
    assert_eq!(plan.phases.len(), 1);
    assert_eq!((plan.phases[0].id.as_str(), plan.phases[0].role), ("capture", Role::Subject));
    let claim = &plan.claims[0];
    assert_eq!((claim.id.as_str(), claim.reading.as_str()), ("C1", "uploads a photo"));
    assert_eq!(claim.predicate.kind(), "existential");
    assert_eq!(claim.phases, ["capture"]);
    let Predicate::Uploads { what, to } = &claim.predicate else { panic!("{:?}", claim.predicate) };
    assert!(what.photos && !what.files && !what.messages && to.is_empty());
    let runs = scenario::runs(&parsed.shorts, &|_| Vec::new()).unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!((runs[0].id.as_str(), runs[0].captures[0].as_str()), ("capture/01", "hotspot.pcapng"));
    assert_eq!(runs[0].files.as_deref(), Some("DCIM"));
    assert!(!runs[0].recorded, "without an action log nothing can be said about timing");
}

const TIME_LINE: &str = r#"exhibit: 1
title: Does the gallery upload photos by itself?
phone: {addresses: [192.168.43.17], identifiers: {imei: "867622014512347", own_number: "+85298765432"}}
phases:
  - id: stock
    capture: stock.pcapng
    keys: stock.keys
    files: device/stock/
    actions:
      - {id: shoot, at: "2026-11-20T18:00:05+08:00", do: take-photo, makes: DCIM/Camera/IMG_0001.jpg}
      - {id: wait,  at: "+60s", do: idle, for: 10m}
claims:
  - {id: L2, by: Kenny Li, says: "the phone will upload photos", uploads: photo}
"#;

#[test]
fn the_time_line_form_is_plan_and_run() {
    let parsed = scenario::parse("scenario.yaml", TIME_LINE.as_bytes()).unwrap();
    assert_eq!(parsed.plan.claims[0].reading, "uploads a photo, in phase stock");
    assert_eq!(parsed.plan.phases[0].actions, ["shoot", "wait"]);
    let runs = scenario::runs(&parsed.shorts, &|_| Vec::new()).unwrap();
    let run = &runs[0];
    assert!(run.recorded);
    assert_eq!((run.keys[0].as_str(), run.files.as_deref()), ("stock.keys", Some("device/stock")));
    let time = |text: &str| text.parse::<Timestamp>().unwrap();
    let [shoot, wait] = run.actions.as_slice() else { panic!("{:?}", run.actions) };
    assert_eq!((shoot.start, shoot.end), (time("2026-11-20T10:00:05Z"), time("2026-11-20T10:00:05Z")));
    assert_eq!(shoot.window_end, wait.start, "a window ends when the next action begins");
    assert_eq!(shoot.makes, ["device/stock/DCIM/Camera/IMG_0001.jpg"]);
    assert_eq!((wait.start, wait.end), (time("2026-11-20T10:01:05Z"), time("2026-11-20T10:11:05Z")));
    assert_eq!(wait.window_end, wait.end);
    assert!(wait.is_idle() && !shoot.is_idle());
}

#[test]
fn the_shared_example_resolves() {
    let path = std::env::var("EXHIBIT_CAPTURES").map_or_else(
        |_| root().join("../shared/scenario-example.yaml"),
        |captures| PathBuf::from(captures).join("../scenario-example.yaml"),
    );
    let Ok(text) = fs::read(&path) else {
        assert!(std::env::var("EXHIBIT_REQUIRE_PEERS").is_err(), "{} is not there", path.display());
        println!("skipped: {} is not there", path.display());
        return;
    };
    let parsed =
        scenario::parse("scenario.yaml", &text).unwrap_or_else(|problems| panic!("{}", problems.render()));
    assert_eq!((parsed.plan.phases.len(), parsed.plan.claims.len()), (6, 15));
    assert_eq!(parsed.warnings, []);
    for claim in &parsed.plan.claims {
        println!(
            "{} {} {:?} {:?}: {}",
            claim.id,
            claim.predicate.kind(),
            claim.phases,
            claim.witness,
            claim.reading
        );
    }
    println!("{:?}", parsed.plan.not_acted_on);
}

/// Each file of `scenarios_bad` breaks what its name says; what is said of it stands in `snapshots/`.
#[test]
fn bad_scenarios_are_refused_with_place_and_way_out() {
    let folder = root().join("tests/scenarios_bad");
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 40, "only {} bad scenarios", paths.len());
    for path in paths {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let bytes = fs::read(&path).unwrap();
        let said = match scenario::parse("scenario.yaml", &bytes) {
            Ok(_) => panic!("{name} was taken"),
            Err(problems) => format!("{}\n\ncannot {problems}", problems.render()),
        };
        assert!(!said.chars().any(|c| c.is_control() && c != '\n'), "{name} printed a control character");
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(root().join("snapshots"));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(format!("scenario-bad-{name}"), said));
    }
}
