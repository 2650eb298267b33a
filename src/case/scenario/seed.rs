//! The plan seed: what is drawn by lot is drawn from the frozen plan, so that nobody can choose it afterwards.
//!
//! The frozen digest fixes the sections that `freeze` names. A public beacon drawn later may be mixed in. From the
//! plan seed come the order of windows in each run and, by labels, the seeds of decoys and canaries. All of it is
//! SHA-256 of bytes that this page lays down, so that other programs can draw the same lots.

use serde_json::Value;

use super::{grammar::Scenario, plan::Plan, words::Section};
use crate::evidence::Digest;

/// SHA-256 of the frozen sections; none where the plan freezes nothing.
///
/// What is digested is one JSON array, without spaces and without a line feed, of a pair `[name, section]` for each
/// frozen section in the order of the grammar (terms, canaries, phases, actions, controls, gates, claims), each
/// once. Keys are sorted by their bytes; a section that is not written is `null`. Sections count as written, with
/// durations and sizes in the words of the plan; comments and layout don't count, and defaults that are written out do,
/// so that a later default changes no digest.
pub fn frozen_digest(scenario: &Scenario) -> Option<Digest> {
    let frozen = scenario.freeze.as_ref()?;
    let sections = [
        (Section::Terms, serde_json::to_value(&scenario.terms)),
        (Section::Canaries, serde_json::to_value(&scenario.canaries)),
        (Section::Phases, serde_json::to_value(&scenario.phases)),
        (Section::Actions, serde_json::to_value(&scenario.actions)),
        (Section::Controls, serde_json::to_value(&scenario.controls)),
        (Section::Gates, serde_json::to_value(&scenario.gates)),
        (Section::Claims, serde_json::to_value(&scenario.claims)),
    ];
    let mut pairs = Vec::new();
    for (section, value) in sections.into_iter().filter(|(section, _)| frozen.contains(section)) {
        // What can't be written as JSON is not frozen, and then nothing is.
        pairs.push(Value::Array(vec![Value::from(section.name()), value.ok()?]));
    }
    (!pairs.is_empty()).then(|| Digest::of(Value::Array(pairs).to_string().as_bytes()))
}

/// The plan seed: SHA-256 of the frozen digest's 32 bytes, followed by the beacon's where there is one.
pub fn plan_seed(frozen: Digest, beacon: Option<&[u8]>) -> Digest {
    Digest::of(&[&frozen.0, beacon.unwrap_or_default()].concat())
}

/// A seed for one purpose (`decoys`, `canaries`, …): SHA-256 of `exhibit `, the label, a zero byte and the plan seed.
pub fn labelled(seed: Digest, label: &str) -> Digest {
    Digest::of(&[b"exhibit ", label.as_bytes(), b"\0", &seed.0].concat())
}

/// The ids of a run's windows in the order in which they are to be done; empty for a run of no phase of the plan.
///
/// In a randomized plan an action with a sham takes two windows, itself and then its sham (an action of the phase
/// that is a sham keeps its own one), and all of these are shuffled among their places; the others keep theirs. Any
/// other plan gives its actions as they stand.
///
/// The shuffle is that of Fisher and Yates from the last place down: place `i` is exchanged with a place from 0 to
/// `i`. A number below `n` is the first 8 bytes, big-endian, of SHA-256 of `exhibit order`, a zero byte, the plan
/// seed, the run's id, a zero byte and a counter in decimal digits from 0, modulo `n`; a draw of 2^64 - (2^64 mod n)
/// or more is passed over, so that all are equally likely. Each draw takes the next counter.
pub fn order(seed: Digest, run: &str, plan: &Plan) -> Vec<String> {
    let phase_id = run.rsplit_once('/').map_or("", |(phase, _)| phase);
    let Some(phase) = plan.phases.iter().find(|phase| phase.id == phase_id) else { return Vec::new() };
    if !plan.randomized {
        return phase.actions.clone();
    }
    let sham_of = |id: &String| plan.actions.iter().find(|action| action.id == *id)?.sham.as_ref();
    let shams: Vec<&String> = phase.actions.iter().filter_map(sham_of).collect();
    let mut windows: Vec<String> = Vec::new();
    let mut lots: Vec<usize> = Vec::new();
    for id in &phase.actions {
        let sham = sham_of(id);
        if sham.is_some() || shams.contains(&id) {
            lots.push(windows.len());
        }
        windows.push(id.clone());
        if let Some(sham) = sham.filter(|sham| !phase.actions.contains(*sham)) {
            lots.push(windows.len());
            windows.push(sham.clone());
        }
    }
    let mut draw = Draw { seed, run, counter: 0 };
    for last in (1..lots.len()).rev() {
        let other = draw.below(last as u64 + 1);
        let other = usize::try_from(other).unwrap_or(last);
        if let (Some(&one), Some(&other)) = (lots.get(last), lots.get(other)) {
            windows.swap(one, other);
        }
    }
    windows
}

struct Draw<'r> {
    seed: Digest,
    run: &'r str,
    counter: u64,
}

impl Draw<'_> {
    /// A number below `n`, which is above zero. A draw is passed over less than half the time, so the loop ends.
    fn below(&mut self, n: u64) -> u64 {
        let beyond = (u64::MAX % n + 1) % n;
        loop {
            let counter = self.counter.to_string();
            self.counter += 1;
            let text =
                [b"exhibit order\0".as_slice(), &self.seed.0, self.run.as_bytes(), b"\0", counter.as_bytes()]
                    .concat();
            let Digest(bytes) = Digest::of(&text);
            let number = bytes.iter().take(8).fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
            if number <= u64::MAX - beyond {
                return number % n;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
exhibit: 1
freeze: [claims, actions, gates]
phases:
  - {id: stock, repeat: 60}
actions:
  order: randomized
  list:
    - {id: boot, do: boot}
    - {id: shoot, do: take-photo, makes: a.jpg, sham: open-camera}
    - {id: sms-in, do: receive-sms, sham: wake-screen}
    - {id: idle, do: idle}
    - {id: look, do: open-contact, sham: open-empty-contact}
claims:
  - {says: "uploads – photos", uploads: photo}
"#;

    fn parsed(text: &str) -> super::super::Parsed {
        super::super::parse("scenario.yaml", text.as_bytes()).unwrap()
    }

    fn hex(digest: Digest) -> String {
        digest.to_string()
    }

    // The expected values of these tests were computed by another program (Python's hashlib and json) from the
    // sentences above and the sections written out by hand.

    #[test]
    fn the_frozen_digest_and_the_seeds_are_those_that_another_program_gets() {
        let frozen = frozen_digest(&parsed(TEXT).written).unwrap();
        assert_eq!(hex(frozen), "fde2fc50438ef2596ca2e3eeef9f2fc9304b91f5de8354ee1e611968828a9eeb");
        let seed = plan_seed(frozen, None);
        assert_eq!(hex(seed), "18e9b1e6250081dc9513c7d6b96d13de7191df6691a38ee1206addcfb6d36271");
        let beacon = plan_seed(frozen, Some(b"beacon 1"));
        assert_eq!(hex(beacon), "14cea02a34dec8856d730d685f38351cf478954b39e232506bc39c43bf65e69a");
        let decoys = labelled(seed, "decoys");
        assert_eq!(hex(decoys), "7347ac78b0b17706690cd79225b2c44723fc85f3218af60205d3ac3c0cafdad9");
        assert_ne!(decoys, labelled(seed, "canaries"));
        assert_eq!(parsed(TEXT).plan.frozen, Some(frozen));
    }

    #[test]
    fn the_order_of_a_run_is_the_one_that_another_program_draws() {
        let plan = parsed(TEXT).plan;
        let seed = plan_seed(plan.frozen.unwrap(), None);
        assert_eq!(
            order(seed, "stock/07", &plan).join(" "),
            "boot shoot open-camera wake-screen open-empty-contact idle sms-in look"
        );
        assert_eq!(
            order(seed, "stock/08", &plan).join(" "),
            "boot look open-camera sms-in shoot idle wake-screen open-empty-contact"
        );
        let beacon = plan_seed(plan.frozen.unwrap(), Some(b"beacon 1"));
        assert_eq!(
            order(beacon, "stock/07", &plan).join(" "),
            "boot open-empty-contact open-camera look wake-screen idle shoot sms-in"
        );
        assert!(order(seed, "elsewhere/07", &plan).is_empty());
    }

    #[test]
    fn each_window_comes_to_each_place_about_as_often() {
        let plan = parsed(TEXT).plan;
        let seed = plan_seed(plan.frozen.unwrap(), None);
        let mut first = std::collections::BTreeMap::<String, u32>::new();
        for run in 1..=600 {
            *first.entry(order(seed, &format!("stock/{run}"), &plan).swap_remove(1)).or_default() += 1;
        }
        assert_eq!(first.len(), 6, "{first:?}");
        // Counted by the other program.
        assert_eq!(
            (first["shoot"], first["sms-in"], first["open-empty-contact"]),
            (112, 85, 86),
            "{first:?}"
        );
    }

    #[test]
    fn layout_and_sections_that_are_not_frozen_change_nothing_and_a_frozen_word_does() {
        let of = |text: &str| frozen_digest(&parsed(text).written);
        let written = of(TEXT);
        assert!(written.is_some());
        assert_eq!(of(&TEXT.replace("order: randomized", "order:   randomized # drawn")), written);
        assert_eq!(
            of(&TEXT.replace("[claims, actions, gates]", "[gates, actions, claims, claims]")),
            written
        );
        assert_eq!(of(&TEXT.replace("repeat: 60", "repeat: 59")), written);
        assert_ne!(of(&TEXT.replace("open-camera", "wake-screen")), written);
        assert_ne!(of(&TEXT.replace("[claims, actions, gates]", "[claims, actions]")), written);
        assert_eq!(of(&TEXT.replace("freeze: [claims, actions, gates]", "")), None);
    }

    #[test]
    fn without_a_drawn_order_actions_stand_as_written() {
        let plan = parsed(&TEXT.replace("order: randomized", "order: fixed")).plan;
        assert_eq!(order(Digest([7; 32]), "stock/07", &plan).join(" "), "boot shoot sms-in idle look");
    }

    #[test]
    fn a_sham_that_is_an_action_of_the_phase_has_one_window() {
        let text = TEXT.replace("sham: wake-screen", "sham: idle");
        let plan = parsed(&text).plan;
        let windows = order(Digest([7; 32]), "stock/07", &plan);
        assert_eq!(windows.iter().filter(|id| *id == "idle").count(), 1, "{windows:?}");
        assert_eq!(windows.len(), 7, "{windows:?}");
    }
}
