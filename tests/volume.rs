//! Volume that nobody can read, end to end: a simulated phone sends under keys that nobody has, and what may be said of it
//! depends on the lots of the plan.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic"
)]

use exhibit::findings::{Findings, Grade, Method, StatisticalTest, Status, TestOutcome};

mod support;
use support::{exhibit, run, write};

/// One phase; the photo goes out behind `shoot`.
struct World {
    runs: u32,
    planned: u32,
    /// Whether the lab does what the plan's lots say.
    by_lot: bool,
    freeze: &'static str,
    order: &'static str,
    /// The action behind which it goes out.
    behind: &'static [&'static str],
    sizes: &'static str,
    /// What `actions` says beside its order and list.
    rest: &'static str,
    /// What was drawn in public when the lots were drawn, and when the case is judged.
    beacon: [&'static str; 2],
}

impl World {
    fn new() -> Self {
        Self {
            runs: 12,
            planned: 12,
            by_lot: true,
            freeze: "[phases, actions, claims]",
            order: "randomized",
            behind: &["shoot"],
            sizes: "",
            rest: "",
            beacon: [""; 2],
        }
    }

    fn findings(&self) -> Findings {
        let folder = tempfile::tempdir().unwrap();
        let sends: String = self
            .behind
            .iter()
            .map(|action| format!("\n      - {{during: {action}, after: 3s, to: up.example, over: tls13, requests: [{{body: {{path: /p, file: DCIM/1.jpg}}}}]}}"))
            .collect();
        let model = format!(
            r#"lab: 1
seed: 3
start: 2026-11-20T10:00:00Z
every: 3m
{}
phone: {{name: simulated-phone, mac: "64:09:80:00:00:01", address: 192.168.43.17, static: true}}
gateway: {{mac: "02:00:5e:10:00:01", address: 192.168.43.1}}
hosts: [{{name: up.example, address: 203.0.113.9}}]
layout: {{capture: "captures/{{phase}}-{{run}}.pcapng", device: "device/{{phase}}/{{run}}", record: record.jsonl, truth: truth.json}}
phases:
  - id: stock
    runs: {}
    actions:
      - {{id: shoot, at: 10s, lasts: 2s, makes: DCIM/1.jpg{}}}
      - {{id: open-camera, at: 40s, lasts: 2s}}
    sends:{sends}
    tail: 20s
"#,
            if self.by_lot { "order: plan" } else { "" },
            self.runs,
            self.sizes,
        );
        let scenario = |beacon: &str| {
            format!(
                r#"exhibit: 1
simulated: true
freeze: {}
{beacon}
phone: {{addresses: [192.168.43.17]}}
phases: [{{id: stock, from: factory-reset, repeat: {}, window: 20s}}]
actions:
  order: {}
  {}
  list: [{{id: shoot, do: take-photo, makes: [DCIM/1.jpg], sham: open-camera}}]
claims:
  - {{id: L2, says: photos, uploads: photo}}
  - {{id: L3, says: messages, uploads: message}}
  - {{id: X1, says: no photos, never_uploads: photo, witness: stock}}
"#,
                self.freeze, self.planned, self.order, self.rest
            )
        };
        let [drawn, judged] = self.beacon;
        write(&folder.path().join("lab.yaml"), model);
        write(&folder.path().join("scenario.yaml"), scenario(drawn));
        run(exhibit(folder.path()).args(["lab", "make"]).arg(folder.path()));
        write(&folder.path().join("scenario.yaml"), scenario(judged));
        let printed =
            run(exhibit(folder.path()).args(["run", "--no-bundle", "--format", "json"]).arg(folder.path()));
        serde_json::from_str(&printed).unwrap()
    }
}

fn test(findings: &Findings, method: Method) -> &StatisticalTest {
    findings.statistics.iter().find(|test| test.method == method).unwrap()
}

fn statuses(findings: &Findings) -> [Status; 3] {
    [0, 1, 2].map(|claim| findings.claims[claim].status)
}

const OPEN: [Status; 3] = [Status::Inconclusive; 3];

#[test]
fn uploads_behind_the_action_alone_are_consistent_with_it_and_no_more() {
    let findings = World::new().findings();
    assert_eq!(statuses(&findings), [Status::Supported, Status::Inconclusive, Status::Inconclusive]);
    let [only] = findings.statistics.as_slice() else { panic!("{:?}", findings.statistics) };
    assert_eq!((only.action_hits, only.action_windows, only.sham_hits, only.sham_windows), (12, 12, 0, 12));
    // Each run gave its two windows to action and sham in one of two ways: 2^-12, rounded up.
    assert_eq!(
        (only.probability.as_str(), only.tests, only.outcome),
        ("2.442e-4", 1, TestOutcome::Significant)
    );
    let [finding] = findings.findings.as_slice() else { panic!("{:?}", findings.findings) };
    assert_eq!((finding.grade, finding.artifact.as_str()), (Grade::Statistical, "photos made by shoot"));
    assert_eq!((finding.parts.len(), finding.tests.clone()), (12, vec![only.id.clone()]));
    assert!(
        finding.parts.iter().all(|part| part.action.as_deref() == Some("shoot") && part.excerpt.is_empty())
    );
    let photos = &findings.claims[0];
    assert_eq!(photos.grade.as_deref(), Some("statistical"));
    assert!(
        photos.permits.contains("consistent with uploads of the photos that shoot makes"),
        "{}",
        photos.permits
    );
    assert!(!photos.permits.contains("phone under test sent"), "{}", photos.permits);
    assert!(photos.does_not_permit.starts_with("That a photo was sent"), "{}", photos.does_not_permit);
    assert!(findings.claims[2].reasons.contains(&"statistical_only".to_owned()));
    assert_eq!(findings.claims[1].grade, None, "volume says nothing of messages");
}

#[test]
fn sizes_that_follow_a_code_are_ranked_among_codes_that_were_never_planted() {
    let codes = World { sizes: ", sizes: [9000, 12100, 15700, 19300]", ..World::new() }.findings();
    let ranked = test(&codes, Method::SizeCodes);
    assert_eq!((ranked.action_hits, ranked.action_windows, ranked.decoys), (12, 12, 10_000));
    // Of codes between the smallest and the largest size a few in ten thousand fit by luck.
    assert!(ranked.decoys_as_good < 10, "{}", ranked.decoys_as_good);
    assert_eq!(ranked.outcome, TestOutcome::Significant);
    let clash = World { sizes: ", sizes: [9000, 9100, 15700, 19300]", ..World::new() }.findings();
    assert!(clash.statistics.iter().all(|test| test.method == Method::Windows), "two codes look alike");
}

#[test]
fn uploads_behind_the_sham_too_are_no_sign() {
    let findings = World { behind: &["shoot", "open-camera"], ..World::new() }.findings();
    let test = test(&findings, Method::Windows);
    assert_eq!((test.action_hits, test.sham_hits, test.probability.as_str()), (12, 12, "1"));
    assert!(test.outcome != TestOutcome::Significant);
    assert_eq!((statuses(&findings), findings.findings.len()), (OPEN, 0));
}

#[test]
fn what_was_not_fixed_before_or_not_done_as_fixed_carries_nothing() {
    for (world, why) in [
        (World { freeze: "[claims]", ..World::new() }, "the plan does not freeze its phases"),
        (World { freeze: "[phases, claims]", ..World::new() }, "the plan does not freeze its actions"),
        (World { by_lot: false, ..World::new() }, "was not done in the order that the lots gave"),
        (
            World { order: "fixed", by_lot: false, ..World::new() },
            "the order of actions was not drawn by lot",
        ),
        (World { runs: 11, ..World::new() }, "11 runs are on record, 12 were planned"),
        (World { runs: 13, ..World::new() }, "13 runs are on record, 12 were planned"),
        // Between the end of one action and the start of the next stand 28 seconds.
        (
            World { rest: "washout: 29s", ..World::new() },
            "began 28000 ms after shoot ended in stock/01; a rest of 29000 ms is planned",
        ),
        (World { beacon: [BEACON, ""], ..World::new() }, "was not done in the order that the lots gave"),
        (World { beacon: ["", BEACON], ..World::new() }, "was not done in the order that the lots gave"),
    ] {
        let findings = world.findings();
        let test = test(&findings, Method::Windows);
        assert_eq!(test.outcome, TestOutcome::Exploratory, "{why}");
        assert!(test.why.contains(why), "{}", test.why);
        assert_eq!((statuses(&findings), findings.findings.len()), (OPEN, 0), "{why}");
    }
}

/// A public draw that no plan could know.
const BEACON: &str = "beacon: {value: 5f3a9c, source: a draw after the plan}";

#[test]
fn a_public_draw_enters_the_lots_and_actions_that_rest_long_enough_are_tested() {
    let findings = World { beacon: [BEACON, BEACON], rest: "washout: 28s", ..World::new() }.findings();
    assert_eq!(test(&findings, Method::Windows).outcome, TestOutcome::Significant);
}

#[test]
fn too_few_windows_are_said_with_how_many_would_do() {
    let findings = World { runs: 4, planned: 4, ..World::new() }.findings();
    let test = test(&findings, Method::Windows);
    // Four windows of each give a sixteenth at best.
    assert_eq!((test.outcome, test.probability.as_str()), (TestOutcome::Underpowered, "6.25e-2"));
    assert_eq!(test.windows_needed, Some(5), "the published table: one test, background 0, effect 1");
    assert!(findings.claims[0].reasons.contains(&"underpowered".to_owned()));
    assert_eq!((statuses(&findings), findings.findings.len()), (OPEN, 0));
}
