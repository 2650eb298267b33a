//! What must hold before "nothing was found" means something: all of it, and each alone is missed.

use super::*;
use crate::{
    engine::verdict::gates::{BLOCK_ABSENCE, BLOCK_ALL},
    evidence::Digest,
    findings::LedgerRow,
};

const RUNS: usize = 60;

fn messages() -> Term {
    Term { name: "message".into(), messages: true, ..Term::default() }
}

fn identifiers() -> Term {
    Term { name: "identifier".into(), all_identifiers: true, ..Term::default() }
}

/// Sixty runs of `stock`, each with a fresh photo, a fresh message and an idle window, in which nothing was found; and
/// `cloud-on`, each run of which begins with consent and shows the photo of the world.
pub(super) fn silent() -> World {
    let mut world = World::new().change(|world| {
        world.findings.remove(0);
        world.flows.clear();
        world.runs.clear();
        world.plan.spikes = Some(PlannedSpikes { over: vec!["http1".into(), "tls13".into()], each: 59 });
        world.plan.spike_recall = 0.95;
        world.plan.phases[1].role = Role::PositiveControl;
        world.plan.phone.identifiers.insert("imei".into(), "867622014512347".into());
        world.plan.entropy_bits.insert("sms-body-1".into(), 80);
    });
    for phase in ["stock", "cloud-on"] {
        for no in 0..RUNS as u64 {
            let start = if phase == "stock" { 0 } else { 1_000_000 } + no * 1_000;
            let mut actions = vec![
                ("shoot", "take-photo", start + 100),
                ("sms", "receive-sms", start + 300),
                ("rest", "idle", start + 500),
            ];
            if phase == "cloud-on" {
                actions.insert(0, ("consent", "consent-cloud", start));
            }
            let mut one = run(phase, &actions);
            one.id = format!("{phase}/{:02}", no + 1);
            for window in &mut one.windows {
                window.id = window.id.replace("/01/", &format!("/{:02}/", no + 1));
                let bytes = Places { total: 1_000, understood: 1_000, ..Places::default() };
                world.ledger.by_window.push(LedgerRow { of: window.id.clone(), bytes });
            }
            for (action, kind) in [("shoot", "photo"), ("sms", "message")] {
                let path = format!("{phase}/{no}/{kind}");
                let made = one.actions.iter_mut().find(|done| done.id == action).unwrap();
                made.makes.push(path.clone());
                let sha256 = Some(Digest::of(path.as_bytes()));
                world.artifacts.push(ArtifactSummary { sha256, ..artifact(&path, kind) });
            }
            world.runs.push(one);
        }
        for class in ["photo", "message", "identifier"] {
            for (over, how) in [("http1", "without keys, body"), ("tls13", "with keys, multipart")] {
                world.recalls.push(Recall {
                    phase: phase.into(),
                    class,
                    over,
                    how: how.into(),
                    sent: 59,
                    found: 59,
                    bound: 0.950_2,
                });
            }
        }
        for code in BLOCK_ABSENCE.iter().chain(BLOCK_ALL) {
            world = world.gate(phase, *code, GateState::Held);
        }
    }
    // After the consent of its run.
    let part = &mut world.findings[0].parts[0];
    (part.first, part.last) = (at(1_000_110), at(1_000_115));
    world
}

fn set(world: &mut World, phase: &str, code: Code, state: GateState) {
    for gate in world.gates.iter_mut().filter(|gate| gate.phase == phase && gate.id == code.name()) {
        gate.state = state;
    }
}

fn window(world: &mut World, of: &str, bytes: Places) {
    match world.ledger.by_window.iter_mut().find(|row| row.of == of) {
        Some(row) => row.bytes = bytes,
        None => world.ledger.by_window.push(LedgerRow { of: of.into(), bytes }),
    }
}

fn never(what: Term) -> Predicate {
    Predicate::NeverUploads { what, to: Vec::new() }
}

/// Nothing else than this reason, beside that nothing was seen.
fn only(outcome: &Outcome, reason: Code) {
    assert_eq!(outcome.truth, None, "{outcome:?}");
    assert_eq!(outcome.reasons, [reason, Code::NotObserved].into(), "{outcome:?}");
}

#[test]
fn where_everything_holds_nothing_found_refutes_and_supports() {
    let world = silent();
    for what in [photos(), messages(), identifiers()] {
        let outcome = world.decide(&uploads(what.clone(), &[]), &["stock"]);
        assert_eq!((outcome.truth, outcome.reasons.len()), (Some(false), 0), "{outcome:?}");
        assert_eq!(outcome.grades, ["absence".to_owned()].into());
        assert_eq!(outcome.absent["stock"].windows, 60);
    }
    let outcome = world.decide(&never(photos()), &["stock"]);
    assert_eq!(
        (outcome.truth, outcome.witness),
        (Some(true), ["F-cloud-on".to_owned()].into()),
        "its witness"
    );
    let consent = world.decide(&consent(), &["stock", "cloud-on"]);
    assert_eq!(consent.truth, Some(true), "{consent:?}");
    let outcome = world.decide(&connects(mainland(), Some(false)), &["stock"]);
    assert_eq!(outcome.truth, Some(false), "{outcome:?}");
}

#[test]
fn each_gate_that_does_not_hold_stands_in_the_way() {
    let connection = [Code::ResidualCapacity, Code::SpikeRecall, Code::Budget, Code::Windows];
    // Judged for what is looked for, by what the gates are made of.
    let upload = [Code::ResidualCapacity, Code::SpikeRecall, Code::Windows];
    for code in BLOCK_ABSENCE.iter().chain(BLOCK_ALL).copied() {
        for state in [GateState::Failed, GateState::NotCheckable] {
            let world = silent().change(|world| set(world, "stock", code, state));
            let reason = match state {
                GateState::Failed if code == Code::PhaseRan => Code::PhaseNotRun,
                _ => code,
            };
            let tests = [
                (uploads(photos(), &[]), upload.contains(&code)),
                (never(photos()), upload.contains(&code)),
                (connects(mainland(), Some(false)), connection.contains(&code)),
            ];
            for (predicate, exempt) in tests {
                let outcome = world.decide(&predicate, &["stock"]);
                if exempt {
                    assert!(outcome.truth.is_some(), "{code:?} {state:?} {predicate:?} {outcome:?}");
                } else {
                    open(&outcome, reason);
                }
            }
            if !upload.contains(&code) {
                open(&world.decide(&consent(), &["stock", "cloud-on"]), reason);
            }
        }
    }
}

#[test]
fn windows_count_where_each_has_an_artifact_of_its_own() {
    let few = |change: fn(&mut World)| silent().change(change).decide(&uploads(photos(), &[]), &["stock"]);
    only(
        &few(|world| world.runs.retain(|run| run.phase != "stock" || run.id.as_str() < "stock/59")),
        Code::Windows,
    );
    assert_eq!(few(|world| drop(world.runs.remove(0))).truth, Some(false), "59 are enough");
    let same_path = |world: &mut World| {
        for run in world.runs.iter_mut().take(2) {
            run.actions[0].makes = vec!["stock/0/photo".into()];
        }
    };
    only(&few(same_path), Code::Windows);
    let same_bytes = |world: &mut World| {
        for artifact in world.artifacts.iter_mut().filter(|artifact| artifact.name.starts_with("stock/1/")) {
            artifact.sha256 = Some(Digest::of(b"stock/0/photo"));
        }
    };
    only(&few(same_bytes), Code::Windows);
    let no_photo = |world: &mut World| {
        for run in world.runs.iter_mut().take(2) {
            run.actions[0].verb = "open-camera".into();
        }
    };
    only(&few(no_photo), Code::Windows);
    only(
        &few(|world| {
            world.runs[0].recorded = false;
            world.runs[1].recorded = false;
        }),
        Code::Windows,
    );
    let idle = silent().change(|world| {
        for run in world.runs.iter_mut().take(2) {
            run.windows.iter_mut().for_each(|window| window.idle = false);
        }
    });
    only(&idle.decide(&connects(mainland(), Some(false)), &["stock"]), Code::Windows);
}

#[test]
fn what_was_sent_between_runs_hides_it_too() {
    let between = |bytes: Places| {
        silent().change(|world| {
            world.ledger.by_phase.push(LedgerRow { of: "outside any run".to_owned(), bytes });
        })
    };
    let photo = uploads(photos(), &[]);
    let hidden = |count| Places { total: count, opaque: count, ..Places::default() };
    only(&between(hidden(4_096)).decide(&photo, &["stock"]), Code::OutsideRuns);
    assert_eq!(between(hidden(4_095)).decide(&photo, &["stock"]).truth, Some(false));
    let found = Places { total: 9_000, matched: 9_000, ..Places::default() };
    only(&between(found).decide(&photo, &["stock"]), Code::OutsideRuns);
    let plain = Places { total: 9_000, understood: 9_000, ..Places::default() };
    assert_eq!(between(plain).decide(&photo, &["stock"]).truth, Some(false));
    let connected = |run: Option<&str>, remote: &str| {
        silent().change(|world| {
            let run = run.map(str::to_owned);
            world.flows.push(FlowSummary { run, remote: remote.to_owned(), ..flow("stock", 50, &[]) });
        })
    };
    let there = connects(mainland(), Some(false));
    assert_eq!(silent().decide(&there, &["stock"]).truth, Some(false));
    only(&connected(None, "203.0.113.9:80").decide(&there, &["stock"]), Code::OutsideRuns);
    assert_eq!(connected(None, "198.51.100.9:80").decide(&there, &["stock"]).truth, Some(false), "elsewhere");
}

#[test]
fn a_window_with_room_for_it_hides_it() {
    let with = |of: &str, bytes: Places| silent().change(|world| window(world, of, bytes));
    let hidden = |count| Places { total: count, undetermined: count, ..Places::default() };
    let photo = uploads(photos(), &[]);
    let imei = uploads(identifiers(), &[]);
    let body = uploads(messages(), &[]);
    for of in ["stock/07/sms", "stock, outside windows"] {
        only(&with(of, hidden(4_096)).decide(&photo, &["stock"]), Code::ResidualCapacity);
        assert_eq!(with(of, hidden(4_095)).decide(&photo, &["stock"]).truth, Some(false));
        // 15 digits hold 49.83 bits: 7 bytes. A declared body of 80 bits: 10.
        only(&with(of, hidden(7)).decide(&imei, &["stock"]), Code::ResidualCapacity);
        assert_eq!(with(of, hidden(6)).decide(&imei, &["stock"]).truth, Some(false));
        only(&with(of, hidden(10)).decide(&body, &["stock"]), Code::ResidualCapacity);
        assert_eq!(with(of, hidden(9)).decide(&body, &["stock"]).truth, Some(false));
        let lost = Places { total: 5_000, lost: 5_000, ..Places::default() };
        only(&with(of, lost).decide(&photo, &["stock"]), Code::ResidualCapacity);
    }
    assert_eq!(
        with("cloud-on/07/sms", hidden(9_999)).decide(&photo, &["stock"]).truth,
        Some(false),
        "another phase"
    );
}

#[test]
fn what_stands_in_records_hides_nothing_that_is_sent_in_clear() {
    let sealed = silent().change(|world| {
        let bytes = Places { total: 9_000, opaque: 9_000, sealed: 9_000, ..Places::default() };
        window(world, "stock/07/sms", bytes);
        // The consented photo went inside TLS.
        let steps = &mut world.findings[0].parts[0].steps;
        steps.insert(0, Step { op: "tls.decrypt".into(), ..steps[0].clone() });
    });
    let encrypted = Predicate::Encrypted { what: photos() };
    assert_eq!(sealed.decide(&encrypted, &["stock", "cloud-on"]).truth, Some(true));
    only(&sealed.decide(&never(photos()), &["stock"]), Code::ResidualCapacity);
    let in_clear = sealed.change(|world| {
        let bytes = Places { total: 9_000, opaque: 9_000, sealed: 4_904, ..Places::default() };
        window(world, "stock/07/sms", bytes);
    });
    only(&in_clear.decide(&encrypted, &["stock", "cloud-on"]), Code::ResidualCapacity);
    // In clear it is a counterexample, and no witness.
    assert_eq!(silent().decide(&encrypted, &["stock", "cloud-on"]).truth, Some(false));
    assert_eq!(silent().decide(&encrypted, &["stock"]).truth, None, "no upload in records was seen anywhere");
}

#[test]
fn what_the_lab_sent_itself_must_be_found_in_each_class_and_carrier() {
    let photo = uploads(photos(), &[]);
    let with = |change: fn(&mut Recall)| {
        silent().change(|world| world.recalls.iter_mut().for_each(change)).decide(&photo, &["stock"])
    };
    let is = |recall: &Recall, class: &str, carrier: &str| {
        recall.phase == "stock" && recall.class == class && recall.over.starts_with(carrier)
    };
    only(&silent().change(|world| world.recalls.clear()).decide(&photo, &["stock"]), Code::SpikeRecall);
    only(&silent().change(|world| world.plan.spikes = None).decide(&photo, &["stock"]), Code::SpikeRecall);
    let missed = with(|recall| {
        if recall.phase == "stock" && recall.class == "photo" && recall.over == "tls13" {
            (recall.found, recall.bound) = (58, 0.922);
        }
    });
    only(&missed, Code::SpikeRecall);
    let unsent = silent().change(|world| world.recalls.retain(|recall| !is(recall, "photo", "tls13")));
    only(&unsent.decide(&photo, &["stock"]), Code::SpikeRecall);
    let of_messages = silent().change(|world| world.recalls.retain(|recall| !is(recall, "message", "")));
    assert_eq!(of_messages.decide(&photo, &["stock"]).truth, Some(false), "no message is looked for");
    only(&of_messages.decide(&uploads(messages(), &[]), &["stock"]), Code::SpikeRecall);
}

#[test]
fn packets_that_are_not_read_and_disputed_segments_have_room_too() {
    let sent = |phase: &str, unread, disputed| {
        silent().change(|world| {
            world.beside.insert(phase.into(), Beside { unread, disputed });
        })
    };
    let photo = |world: &World| world.decide(&uploads(photos(), &[]), &["stock"]);
    only(&photo(&sent("stock", 4_096, 4_095)), Code::OtherProtocols);
    only(&photo(&sent("stock", 4_095, 4_096)), Code::AmbiguousBytes);
    for enough in [sent("stock", 4_095, 4_095), sent("cloud-on", 4_096, 4_096)] {
        assert_eq!(photo(&enough).truth, Some(false));
    }
}

#[test]
fn copies_that_go_unsent_and_cover_traffic_are_said() {
    for (sign, reason) in [(Code::Dedup, Code::Dedup), (Code::CoverTraffic, Code::CoverTraffic)] {
        let world = silent().change(|world| drop(world.signs.insert("stock".into(), [sign].into())));
        only(&world.decide(&uploads(photos(), &[]), &["stock"]), reason);
        open(&world.decide(&consent(), &["stock", "cloud-on"]), reason);
        let elsewhere = silent().change(|world| drop(world.signs.insert("cloud-on".into(), [sign].into())));
        assert_eq!(elsewhere.decide(&uploads(photos(), &[]), &["stock"]).truth, Some(false));
    }
    // Its hash was sent: the server may have the photo.
    let world = silent().change(|world| {
        world.findings.push(Finding {
            caveats: vec!["dedup".into()],
            probative: false,
            ..photo("stock", 110)
        });
    });
    open(&world.decide(&uploads(photos(), &[]), &["stock"]), Code::Dedup);
}

#[test]
fn what_another_machine_sent_or_only_looks_alike_is_no_sign() {
    let photo_of = |change: fn(&mut Finding)| {
        silent().change(|world| {
            let mut finding = Finding { id: "F-other".into(), ..photo("stock", 110) };
            change(&mut finding);
            world.findings.push(finding);
        })
    };
    let other = photo_of(|finding| finding.caveats.push("other_device".into()));
    let test = uploads(photos(), &[]);
    assert_eq!(other.decide(&test, &["stock"]).truth, Some(false));
    // Where the phone's own bytes can't be told apart, nothing is said.
    let mixed = other.change(|world| set(world, "stock", Code::Attribution, GateState::NotCheckable));
    open(&mixed.decide(&test, &["stock"]), Code::OtherDevice);
    let alike = photo_of(|finding| (finding.grade, finding.probative) = (Grade::Derived, false));
    assert_eq!(alike.decide(&test, &["stock"]).truth, Some(false));
    let copy = photo_of(|finding| finding.grade = Grade::Derived);
    assert_eq!(copy.decide(&test, &["stock"]).truth, Some(true));
    let common = photo_of(|finding| finding.probative = false);
    only(&common.decide(&test, &["stock"]), Code::NotProbative);
}

#[test]
fn a_universal_needs_its_witness() {
    let blind = silent().change(|world| world.findings.clear());
    for predicate in [never(photos()), consent()] {
        open(&blind.decide(&predicate, &["stock", "cloud-on"]), Code::NoWitness);
    }
    assert_eq!(
        blind.decide(&uploads(photos(), &[]), &["stock"]).truth,
        Some(false),
        "the gate says the rest"
    );
    let statistical = silent().change(|world| world.findings[0].grade = Grade::Statistical);
    open(&statistical.decide(&never(photos()), &["stock"]), Code::NoWitness);

    let preferences = Term { name: "preferences".into(), ..Term::default() };
    let only_preferences = Predicate::OnlyUploads { allowed: preferences, personal: photos() };
    open(&silent().decide(&only_preferences, &["stock"]), Code::NoWitness);
    let declared = |phase: &str| {
        silent().change(|world| {
            let (term, phase) = ("preferences".into(), phase.into());
            world.declared.push(DeclaredSummary { term, phase, messages: 60, bytes: 6_000 });
        })
    };
    assert_eq!(declared("stock").decide(&only_preferences, &["stock"]).truth, Some(true));
    open(&declared("cloud-on").decide(&only_preferences, &["stock"]), Code::NoWitness);
}

#[test]
fn before_consent_is_judged_where_there_is_a_time_before_it() {
    let predicate = consent();
    open(&silent().decide(&predicate, &["cloud-on"]), Code::NoWitness);
    let outside = silent().change(|world| {
        window(world, "cloud-on, outside windows", Places { total: 1, opaque: 1, ..Places::default() });
    });
    open(&outside.decide(&predicate, &["stock", "cloud-on"]), Code::ResidualCapacity);
    let within = silent().change(|world| {
        let last = world.runs.last_mut().unwrap();
        last.actions.rotate_left(1);
    });
    open(&within.decide(&predicate, &["stock", "cloud-on"]), Code::OrderUnknown);
    let refuted = silent().change(|world| world.findings.push(photo("stock", 110)));
    assert_eq!(refuted.decide(&predicate, &["stock", "cloud-on"]).truth, Some(false));
}

#[test]
fn absence_and_presence_never_both_hold() {
    for world in [silent(), silent().change(|world| world.findings.push(photo("stock", 110)))] {
        let sent = world.decide(&uploads(photos(), &[]), &["stock"]).truth;
        let not = world.decide(&never(photos()), &["stock"]).truth;
        assert_eq!(sent.map(|sent| !sent), not);
        assert!(sent.is_some());
    }
}
