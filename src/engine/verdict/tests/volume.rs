//! What volume may carry.

use super::*;
use crate::findings::{MADE_BY, Method, TestOutcome};

/// Nothing was read in `stock`, and volume speaks for the photo that `shoot` makes.
fn by_volume(world: &mut World) {
    for action in world.plan.actions.iter_mut().filter(|action| action.id == "shoot") {
        action.makes = vec!["DCIM/1.jpg".into()];
    }
    let finding = &mut world.findings[0];
    finding.grade = Grade::Statistical;
    finding.artifact = format!("{MADE_BY}shoot");
    (finding.matched_bytes, finding.probative_bytes, finding.artifact_bytes) = (0, 0, 0);
    finding.artifact_ranges.clear();
}

fn test(outcome: TestOutcome) -> StatisticalTest {
    StatisticalTest {
        id: "T-1".into(),
        phase: "stock".into(),
        action: "shoot".into(),
        sham: "open-camera".into(),
        class: "photo".into(),
        destination: "cloud.example".into(),
        method: Method::Windows,
        least_bytes: SIZE,
        action_windows: 3,
        action_hits: 3,
        sham_windows: 3,
        sham_hits: 0,
        decoys: 0,
        decoys_as_good: 0,
        probability: "1.25e-1".into(),
        adjusted: "1.25e-1".into(),
        tests: 1,
        outcome,
        why: String::new(),
        windows_needed: None,
        assumptions: Vec::new(),
    }
}

#[test]
fn it_supports_and_refutes_nothing() {
    let world = World::new().change(by_volume);
    let supported = world.decide(&uploads(photos(), &[]), &["stock"]);
    assert_eq!((supported.truth, supported.grades), (Some(true), ["statistical".to_owned()].into()));
    let never = Predicate::NeverUploads { what: photos(), to: Vec::new() };
    open(&world.decide(&never, &["stock"]), Code::StatisticalOnly);
    open(&world.decide(&consent(), &["stock"]), Code::NotObserved);
}

#[test]
fn it_speaks_for_what_the_action_makes_alone() {
    let world = World::new().change(by_volume);
    let named = |path: &str| Term { artifacts: vec![path.to_owned()], ..Term::default() };
    for (what, truth) in [
        (named("DCIM/1.jpg"), Some(true)),
        (named("DCIM/2.jpg"), None),
        (Term { messages: true, ..Term::default() }, None),
        (Term { all_identifiers: true, ..Term::default() }, None),
    ] {
        assert_eq!(world.decide(&uploads(what.clone(), &[]), &["stock"]).truth, truth, "{what:?}");
    }
}

#[test]
fn what_nobody_can_read_is_not_known_to_be_clear_and_no_witness() {
    let world = World::new().change(|world| {
        world.findings.truncate(1);
        by_volume(world);
    });
    let outcome = world.decide(&Predicate::Encrypted { what: photos() }, &["stock"]);
    assert_eq!(outcome.truth, None);
    assert!(!outcome.reasons.contains(&Code::StatisticalOnly), "{:?}", outcome.reasons);
    assert!(outcome.findings.is_empty() && outcome.witness.is_empty());
}

#[test]
fn what_was_read_carries_the_verdict_where_volume_speaks_too() {
    let world = World::new().change(|world| {
        let read = world.findings[0].clone();
        by_volume(world);
        world.findings[0].id = "F-volume".into();
        world.findings.push(read);
    });
    let supported = world.decide(&uploads(photos(), &[]), &["stock"]);
    assert_eq!((supported.truth, supported.grades), (Some(true), ["exact".to_owned()].into()));
    assert_eq!(supported.findings, ["F-stock".to_owned()].into());
    let never = Predicate::NeverUploads { what: photos(), to: Vec::new() };
    assert_eq!(world.decide(&never, &["stock"]).truth, Some(false));
}

#[test]
fn a_test_with_too_few_windows_is_said() {
    for (outcome, said) in [(TestOutcome::Underpowered, true), (TestOutcome::Exploratory, false)] {
        let world = World::new().change(|world| {
            by_volume(world);
            world.findings.clear();
            world.statistics.push(test(outcome));
        });
        let open = world.decide(&uploads(photos(), &[]), &["stock"]);
        assert_eq!((open.truth, open.reasons.contains(&Code::Underpowered)), (None, said));
    }
}
