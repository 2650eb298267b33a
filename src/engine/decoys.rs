//! The negative control of correlation: values and files that were never on the phone, looked for like the real
//! ones. What is found of them was found by luck.
//!
//! Decoys have the shape of what the phone holds: digits for digits, letters for letters, files of the same sizes
//! that begin alike. They are searched for in a pass of their own, under the same probative rule. None above the
//! rule may be found; below it no more than luck gives in 999 of 1,000 cases.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    correlate::{Artifact, Catalog, Outcome},
    statistics::poisson,
};
use crate::{
    case::{
        device::{Device, DeviceFile},
        scenario::{plan::Plan, seed},
    },
    evidence::{Digest, Limits, ReadError, hex, read_exact_at},
    findings::{Control, GateState, Grade},
};

/// Decoy files: as many as the design asks for.
const FILES: usize = 1_000;
/// Bytes of one decoy file: all of them together stay within 16 MiB.
const FILE_BYTES: u64 = 16 << 10;
/// Bytes that a decoy file has in common with a real one: what tells its kind.
const ALIKE: usize = 12;
/// Decoy values at most, whatever the plan asks for.
const MAX_VALUES: usize = 20_000;
/// In so many of a million cases luck gives more than the bound.
const LUCK: f64 = 0.001;
/// The name of the control in findings.
pub(super) const CONTROL: &str = "decoys";

/// Makes the catalogue of decoys: at least `needles` forms of values, and a thousand files.
///
/// # Errors
/// When a device file can't be read.
pub(super) fn catalog(
    real: &Catalog,
    mut draw: Draw,
    needles: u64,
    limits: &Limits,
) -> Result<Catalog, ReadError> {
    let forms = (real.needles() / (real.values().len() as u64).max(1)).max(1);
    let wanted = usize::try_from(needles.div_ceil(forms)).unwrap_or(MAX_VALUES).min(MAX_VALUES);
    let mut values = BTreeMap::new();
    let mut messages = String::from("body\n");
    for (no, (value, text)) in real.texts().cycle().take(wanted).enumerate() {
        let decoy = draw.like(text);
        if decoy == text || value.placeholder {
            continue;
        }
        if value.kind == "message" {
            messages.push_str(&format!("\"{}\"\n", decoy.replace('"', "\"\"")));
        } else {
            values.insert(format!("{}-decoy-{no}", value.kind), decoy);
        }
    }
    let mut files = vec![file("decoys/messages.csv", messages.into_bytes())];
    for (no, (_, content)) in real.iter().cycle().take(FILES).enumerate() {
        let mut bytes = draw.bytes(usize::try_from(content.len.min(FILE_BYTES)).unwrap_or(0));
        let alike = bytes.len().min(ALIKE);
        if let Some(front) = bytes.get_mut(..alike) {
            read_exact_at(&*content.blob, front, 0)
                .map_err(|error| ReadError::new("a device file", 0, error))?;
        }
        files.push(file(&format!("decoys/{no:04}"), bytes));
    }
    let device = Device { files: files.into_iter().flatten().collect() };
    Catalog::build(&[("decoys".to_owned(), device)].into(), &values, &[], limits)
}

fn file(path: &str, bytes: Vec<u8>) -> Option<DeviceFile> {
    DeviceFile::new(path.to_owned(), Arc::new(bytes)).ok()
}

/// Says what the pass over the decoys gave.
pub(super) fn control(decoys: &Catalog, outcome: &Outcome) -> Control {
    let above = outcome.hits.iter().filter(|hit| hit.probative).count();
    let below = outcome
        .hits
        .iter()
        .filter(|hit| !hit.probative && !matches!(hit.artifact, Artifact::Content(_)))
        .filter(|hit| matches!(hit.grade, Grade::Identifier | Grade::Record))
        .count();
    let expected = decoys.expected_by_luck(outcome.searched);
    let bound = poisson::most(expected, LUCK);
    let held = above == 0 && below as u64 <= bound;
    let (needles, files) = (decoys.needles(), decoys.contents.len());
    Control {
        id: CONTROL.to_owned(),
        state: if held { GateState::Held } else { GateState::Failed },
        figure: format!(
            "{needles} needles and {files} files that were never on the phone: {above} found above the probative \
             rule, {below} below it, of at most {bound} by luck"
        ),
    }
}

/// Numbers from a seed: digests of a counter, so that nobody can plan for them.
pub(super) struct Draw {
    seed: String,
    counter: u64,
    held: Vec<u8>,
}

impl Draw {
    fn new(seed: &str) -> Self {
        Self { seed: seed.to_owned(), counter: 0, held: Vec::new() }
    }

    /// Numbers of one purpose of a case (see [`seed`]).
    pub(super) fn for_purpose(plan: &Plan, purpose: &str) -> Self {
        Self::new(&seed(plan, purpose))
    }

    /// A number below 2^64.
    pub(super) fn number(&mut self) -> u64 {
        u64::from_be_bytes(std::array::from_fn(|_| self.byte()))
    }

    fn byte(&mut self) -> u8 {
        loop {
            if let Some(byte) = self.held.pop() {
                return byte;
            }
            self.counter += 1;
            self.held =
                Digest::of(format!("exhibit decoy\0{}\0{}", self.seed, self.counter).as_bytes()).0.to_vec();
        }
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.byte()).collect()
    }

    /// One of `of`; the bias of a byte over few choices does not matter here.
    fn one(&mut self, of: &[u8]) -> char {
        let place = usize::from(self.byte()) % of.len().max(1);
        of.get(place).copied().map_or('x', char::from)
    }

    /// A text of the same shape: a digit for a digit, a hex digit for one, a letter for a letter.
    fn like(&mut self, text: &str) -> String {
        let letters = || text.chars().filter(char::is_ascii_alphabetic);
        let hex_only = letters().all(|c| c.is_ascii_hexdigit());
        text.chars()
            .map(|c| match c {
                '0'..='9' => self.one(b"0123456789"),
                'a'..='f' if hex_only => self.one(b"abcdef"),
                'A'..='F' if hex_only => self.one(b"ABCDEF"),
                'a'..='z' => self.one(b"abcdefghijklmnopqrstuvwxyz"),
                'A'..='Z' => self.one(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
                other => other,
            })
            .collect()
    }
}

/// The seed of a case for a purpose: the frozen plan's, so that nobody can choose it once the traffic is known. Of a
/// plan that freezes nothing, made of what it is called and says of the phone. The same case has the same decoys.
fn seed(plan: &Plan, purpose: &str) -> String {
    let case = plan.seed().unwrap_or_else(|| {
        let kinds: Vec<&str> = plan.phone.identifiers.keys().map(String::as_str).collect();
        Digest::of(format!("{}\0{}", plan.id, kinds.join("\0")).as_bytes())
    });
    hex(&seed::labelled(case, purpose).0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::{
            correlate::{Collector, FlowRef, Spool, conclude},
            decode::sink::{Keep, Origin, Source},
        },
        evidence::{ByteRange, Direction, Scratch},
    };

    fn real() -> Catalog {
        let photo = [b"\xff\xd8\xff\xe0".as_slice(), &[7; 5_000]].concat();
        let csv = b"body,number\nMeet me at the pier at nine,+85298765432\n".to_vec();
        let files = [file("p/a.jpg", photo), file("p/m.csv", csv)].into_iter().flatten().collect();
        let identifiers = BTreeMap::from([("imei".to_owned(), "867622014512347".to_owned())]);
        Catalog::build(&[("p".to_owned(), Device { files })].into(), &identifiers, &[], &Limits::default())
            .unwrap()
    }

    #[test]
    fn decoys_have_the_shape_of_the_real_and_are_never_them() {
        let real = real();
        let decoys = catalog(&real, Draw::new("seed"), 2_000, &Limits::default()).unwrap();
        assert!(decoys.needles() >= 1_000, "{}", decoys.needles());
        let texts: Vec<String> = decoys.texts().map(|(_, text)| text.to_owned()).collect();
        assert!(texts.iter().any(|text| text.len() == 15 && text.bytes().all(|c| c.is_ascii_digit())));
        assert!(texts.iter().any(|text| text.starts_with('+') && text.len() == 12));
        assert!(real.texts().all(|(_, text)| !texts.iter().any(|decoy| decoy == text)));
        // One of them is the list of messages.
        assert_eq!(decoys.contents.len(), FILES + 1);
        let again = catalog(&real, Draw::new("seed"), 2_000, &Limits::default()).unwrap();
        assert!(again.texts().map(|(_, text)| text).eq(texts.iter().map(String::as_str)));
    }

    #[test]
    fn the_seed_is_the_frozen_plans() {
        let plan = Plan { id: "case".to_owned(), ..Plan::default() };
        let frozen = |byte| Plan { frozen: Some(Digest([byte; 32])), ..plan.clone() };
        // By Python: sha256(b"exhibit decoys\0" + sha256(bytes([7] * 32)).digest()).
        assert_eq!(
            seed(&frozen(7), "decoys"),
            "314d125a6e3a6d859d83da17e0e4f8bf25aefdb5f8315e93b88c63db7fe8b4df"
        );
        assert_ne!(seed(&frozen(8), "decoys"), seed(&frozen(7), "decoys"));
        assert_ne!(seed(&frozen(7), "size codes"), seed(&frozen(7), "decoys"));
        assert_ne!(
            seed(&plan, "decoys"),
            seed(&Plan { id: "other".to_owned(), ..Plan::default() }, "decoys")
        );
    }

    #[test]
    fn nothing_found_holds_and_a_hit_above_the_rule_fails() {
        let decoys = catalog(&real(), Draw::new("seed"), 500, &Limits::default()).unwrap();
        let nothing = Outcome { hits: Vec::new(), searched: 1_000, limits_reached: Vec::new() };
        assert_eq!(control(&decoys, &nothing).state, GateState::Held);
        let (_, sent) = decoys.texts().find(|(value, _)| value.kind.starts_with("imei")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(Scratch::new(folder.path()));
        let limits = Limits::default();
        let mut collector = Collector::new(&decoys, &spool, FlowRef { capture: 0, flow: 0 }, &limits);
        let origin =
            Origin { direction: Direction::Up, transaction: None, steps: Vec::new(), keep: Keep::Search };
        let leaf = collector.open(origin);
        let text = format!("id={sent}&x");
        collector.write(leaf, text.as_bytes(), Source::Copied(ByteRange::new(0, text.len() as u64)));
        collector.close(leaf, &[]);
        let harvest = collector.finish().unwrap();
        let outcome = conclude(&decoys, spool, vec![harvest], &limits).unwrap();
        let failed = control(&decoys, &outcome);
        assert_eq!(failed.state, GateState::Failed);
        assert!(failed.figure.contains(" 1 found above"), "{}", failed.figure);
    }
}
