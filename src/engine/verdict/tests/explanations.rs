//! Each explanation under the condition that closes it, open and closed.

use super::*;
use crate::{engine::verdict::explanations::left_open, findings::Status};

fn codes(world: &World, predicate: &Predicate) -> Vec<String> {
    world.observe(&["stock"], |observed, claim| {
        let claim = Claim { predicate: predicate.clone(), ..claim.clone() };
        let outcome = Evaluation::new(observed, &claim).decide(predicate);
        let status = match outcome.truth {
            Some(true) => Status::Supported,
            Some(false) => Status::Refuted,
            None => Status::Inconclusive,
        };
        left_open(observed, &claim, status, &outcome).into_iter().map(|open| open.code).collect()
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
        (
            closed().change(|world| {
                let range = ByteRange::new(0, SIZE);
                let step = Step { op: "tls.record".into(), param: None, input: range, output: SIZE };
                world.findings[0].parts[0].steps = vec![step];
            }),
            "fabricated",
        ),
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
