//! What is true of a model, by what the laboratory wrote down of its own sends; and what the rules of scenario.md let be
//! decided of it. Nothing here is taken from the engine.

use std::collections::{BTreeMap, BTreeSet};

use exhibit::{evidence::Timestamp, lab::Sent};

use crate::behaviour::{Behaviour, CLOUD, CLOUD_ON, NEWS, REFLASHED, REMOVED, Rule, STOCK, What};

/// From the start of a run.
const REST_S: (u64, u64) = (70, 100);
const EVERY_S: u64 = 180;
/// Scenario.md, "Absence".
const SMALLEST_PHOTO: u64 = 4_096;
/// Random bits of a message of the laboratory, as the scenario declares them.
const MESSAGE_BITS: u64 = 96;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Photo,
    Message,
    Identifier,
}

impl Class {
    fn of(what: &str) -> Self {
        match what {
            "message" => Self::Message,
            path if path.ends_with(".jpg") => Self::Photo,
            _ => Self::Identifier,
        }
    }
}

/// One thing that went up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Up {
    class: Class,
    /// Whether the analysis has what it needs to read it.
    readable: bool,
    clear: bool,
    to_cloud: bool,
}

/// What a phase truly showed.
#[derive(Debug, Default)]
struct Shown {
    up: BTreeSet<Up>,
    /// Connected to mainland China while it rested.
    connected: bool,
    /// Preferences that the analysis can read.
    preferences: bool,
}

impl Shown {
    fn any(&self, test: impl Fn(&Up) -> bool) -> bool {
        self.up.iter().any(test)
    }
}

/// What is true of a claim, and what the rules can settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truth {
    pub holds: bool,
    /// Settled by something that is there to be found.
    pub by_presence: bool,
    /// Settled by nothing being there, with all that this needs.
    pub by_absence: bool,
}

/// The truth of each claim, and whether a class went up in clear in `stock`.
pub struct Truths {
    pub of: BTreeMap<&'static str, Truth>,
    pub clear: BTreeSet<Class>,
}

pub fn of(behaviour: &Behaviour, sent: &[Sent]) -> Truths {
    let shown: BTreeMap<&str, Shown> =
        behaviour.phases.iter().map(|(phase, _)| (*phase, shown(behaviour, phase, sent))).collect();
    let nothing = Shown::default();
    let phase = |name: &str| shown.get(name).unwrap_or(&nothing);
    let (stock, cloud_on) = (phase(STOCK), phase(CLOUD_ON));
    // A gate that fails settles nothing; lost frames may hide what is there.
    let works = !behaviour.other_image && behaviour.unrecorded == 0;
    let absent = |name: &str, class: Option<Class>| {
        let smallest = match class {
            Some(Class::Photo) => SMALLEST_PHOTO,
            Some(Class::Message) => MESSAGE_BITS.div_ceil(8),
            // Eleven digits of a number.
            Some(Class::Identifier) | None => 5,
        };
        works && behaviour.is_full(name) && room(behaviour, name).is_some_and(|room| room < smallest)
    };
    let control = cloud_on.any(|up| up.readable);

    let mut of = BTreeMap::new();
    let connects = |name: &str| Truth {
        holds: phase(name).connected,
        by_presence: works && phase(name).connected,
        by_absence: works && control && behaviour.is_full(name) && !phase(name).connected,
    };
    let uploads = |name: &str, class: Option<Class>| {
        let wanted = |up: &Up| class.is_none_or(|class| up.class == class);
        let holds = phase(name).any(wanted);
        Truth {
            holds,
            by_presence: works && phase(name).any(|up| wanted(up) && up.readable),
            by_absence: !holds && control && absent(name, class),
        }
    };
    of.insert("L1", connects(STOCK));
    of.insert("L2", uploads(STOCK, Some(Class::Photo)));
    of.insert("L3", uploads(STOCK, Some(Class::Message)));
    of.insert("L4", uploads(STOCK, Some(Class::Identifier)));
    let both = |one: Truth, other: Truth| {
        let fails = |part: Truth| !part.holds && part.by_absence;
        Truth {
            holds: one.holds && other.holds,
            by_presence: one.by_presence && one.holds && other.by_presence && other.holds,
            by_absence: fails(one) || fails(other),
        }
    };
    of.insert("L5", both(connects(REMOVED), uploads(REMOVED, None)));
    of.insert("N1", both(uploads(REFLASHED[0], None), uploads(REFLASHED[1], None)));

    let personal = stock.any(|_| true);
    let readable = works && stock.any(|up| up.readable);
    let clean = !personal && control && absent(STOCK, None);
    of.insert("X1", Truth { holds: !personal, by_presence: readable, by_absence: clean });
    of.insert(
        "X2",
        Truth { holds: !personal, by_presence: readable, by_absence: clean && stock.preferences },
    );
    let to_cloud = stock.any(|up| up.to_cloud);
    let off = !behaviour.backup_on;
    of.insert(
        "X3",
        Truth {
            holds: off && !to_cloud,
            by_presence: !behaviour.other_image && !off
                || works && stock.any(|up| up.to_cloud && up.readable),
            by_absence: off
                && !to_cloud
                && cloud_on.any(|up| up.to_cloud && up.readable)
                && absent(STOCK, None),
        },
    );
    // In `cloud-on` each run begins with the consent.
    of.insert(
        "X4",
        Truth { holds: !personal && cloud_on.any(|_| true), by_presence: readable, by_absence: clean },
    );
    let in_clear = |shown: &Shown| shown.any(|up| up.clear);
    let seen_in_clear = |shown: &Shown| shown.any(|up| up.clear && up.readable);
    of.insert(
        "X5",
        Truth {
            holds: !in_clear(stock) && !in_clear(cloud_on),
            by_presence: works && (seen_in_clear(stock) || seen_in_clear(cloud_on)),
            // Absence in the control needs as many windows there.
            by_absence: false,
        },
    );
    Truths { of, clear: stock.up.iter().filter(|up| up.clear).map(|up| up.class).collect() }
}

fn shown(behaviour: &Behaviour, phase: &'static str, sent: &[Sent]) -> Shown {
    let mut shown = Shown::default();
    let keyed = behaviour.keyed.contains(&phase);
    for one in sent {
        let (of, number) = one.run.split_once('/').unwrap();
        // What a run without instruments sends is of no window.
        if of != phase || number.parse::<u32>().unwrap() > behaviour.runs(phase) {
            continue;
        }
        let (clear, to_cloud) = (one.cleartext, one.host == CLOUD);
        let readable = clear || (keyed && one.wrapper != "opaque");
        shown.up.extend(one.carries.iter().map(|carried| Up {
            class: Class::of(&carried.what),
            readable,
            clear,
            to_cloud,
        }));
        shown.connected |= one.host == NEWS && is_at_rest(one.begun);
    }
    for rule in behaviour.rules.iter().filter(|rule| rule.phases.contains(&phase)) {
        let clear = is_clear(rule);
        let readable = clear || keyed;
        if rule.what.is_disguised() {
            shown.up.insert(Up {
                class: Class::Identifier,
                readable: readable && rule.what == What::ImeiDigest,
                clear,
                to_cloud: rule.to == CLOUD,
            });
        }
        shown.preferences |= rule.what == What::Preferences && rule.chance.is_none() && readable;
    }
    shown
}

fn is_clear(rule: &Rule) -> bool {
    matches!(rule.over, "http1" | "websocket")
}

/// Bytes at most that a window of a phase leaves to be accounted for; none where it may be anything, or where a run may
/// differ from the one without instruments.
fn room(behaviour: &Behaviour, phase: &str) -> Option<u64> {
    let keyed = behaviour.keyed.contains(&phase);
    let own = behaviour.rules.iter().filter(|rule| rule.phases.contains(&phase));
    own.map(|rule| rule.room().filter(|_| (is_clear(rule) || keyed) && rule.chance.is_none())).sum()
}

/// Runs begin at ten o'clock and every three minutes after.
fn is_at_rest(begun: Timestamp) -> bool {
    let since = begun.seconds() % EVERY_S;
    (REST_S.0..REST_S.1).contains(&since)
}
