//! Each explanation under the condition that closes it, open and closed.

use super::*;
use crate::findings::{LeftOpen, Status};

fn left_open(world: &World, predicate: &Predicate) -> Vec<LeftOpen> {
    world.observe(&["stock"], |observed, claim| {
        let claim = Claim { predicate: predicate.clone(), ..claim.clone() };
        let evaluation = Evaluation::new(observed, &claim);
        let outcome = evaluation.decide(predicate);
        let status = match outcome.truth {
            Some(true) => Status::Supported,
            Some(false) => Status::Refuted,
            None => Status::Inconclusive,
        };
        evaluation.left_open(status, &outcome)
    })
}

fn codes(world: &World, predicate: &Predicate) -> Vec<String> {
    left_open(world, predicate).into_iter().map(|open| open.code).collect()
}

/// A photo that a key log opened.
fn opened() -> World {
    closed().change(|world| {
        let step =
            Step { op: "tls.record".into(), param: None, input: ByteRange::new(0, SIZE), output: SIZE };
        world.findings[0].parts[0].steps = vec![step];
    })
}

fn of_photo(world: &World) -> Vec<String> {
    codes(world, &uploads(photos(), &[]))
}

fn closed() -> World {
    let world = World::new().change(|world| world.artifacts[0].created = Some(at(100)));
    [Code::Attribution, Code::Provenance, Code::Clock]
        .into_iter()
        .fold(world, |world, gate| world.gate("stock", gate, GateState::Held))
}

#[test]
fn where_everything_is_closed_a_photo_in_clear_leaves_nothing_open() {
    assert_eq!(of_photo(&closed()), [""; 0]);
}

#[test]
fn what_is_not_known_to_close_it_leaves_it_open() {
    for (world, code) in [
        (closed().change(|world| world.gates.remove(0).phase.clear()), "another_machine"),
        (closed().change(|world| world.gates.remove(1).phase.clear()), "other_image"),
        (closed().change(|world| world.plan.phases[0].from = None), "another_program"),
        (closed().change(|world| world.runs[0].recorded = false), "done_by_hand"),
        (closed().change(|world| world.artifacts[0].created = None), "content_from_elsewhere"),
        (opened(), "fabricated"),
    ] {
        assert_eq!(of_photo(&world), [code]);
    }
}

#[test]
fn clocks_matter_to_what_needs_time_alone() {
    let off = closed().change(|world| world.gates.truncate(2));
    assert_eq!(of_photo(&off), [""; 0]);
    assert_eq!(codes(&off, &connects(mainland(), Some(false))), ["clocks_off"]);
    assert_eq!(codes(&closed(), &connects(mainland(), Some(false))), [""; 0]);
}

#[test]
fn an_open_verdict_leaves_both_answers_open() {
    let world = closed().change(|world| world.findings.clear());
    assert_eq!(of_photo(&world), ["sent_unread", "not_sent"]);
}

#[test]
fn keys_could_have_been_misused_whoever_signed_the_handshake() {
    let why = |world: &World| left_open(world, &uploads(photos(), &[])).remove(0).why;
    let signed = opened().change(|world| world.endpoints[0].server_signature = "verified".into());
    assert_eq!(of_photo(&signed), ["fabricated"]);
    assert!(why(&signed).contains("not what was sent"));
    assert!(why(&opened()).contains("no signature of the server was verified for 1 of 1 flows"));
    let elsewhere = opened().change(|world| {
        world.endpoints[0].port = 444;
        world.endpoints[0].server_signature = "verified".into();
    });
    assert!(
        why(&elsewhere).contains("no signature of the server was verified for 1 of 1 flows"),
        "another end's signature closes nothing"
    );
}

#[test]
fn a_part_that_needs_time_makes_the_whole_need_it() {
    let off = closed().change(|world| world.gates.truncate(2));
    let both = Predicate::AllOf(vec![uploads(photos(), &[]), connects(mainland(), Some(false))]);
    assert_eq!(codes(&off, &both), ["clocks_off"]);
    assert_eq!(codes(&off, &Predicate::EachPhase(Box::new(uploads(photos(), &[])))), [""; 0]);
}

#[test]
fn a_connection_is_seen_whatever_it_carries() {
    let silent = super::absence::silent();
    let unread = |predicate: &Predicate| codes(&silent, predicate).contains(&"unread_encoding".to_owned());
    assert!(unread(&uploads(photos(), &[])));
    let connection = connects(mainland(), Some(false));
    assert!(codes(&silent, &connection).contains(&"rarer_than_shown".to_owned()));
    assert!(!unread(&connection));
}
