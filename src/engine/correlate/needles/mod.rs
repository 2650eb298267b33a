//! Values found in leaves, however their bytes are cut into chunks: identifiers of the phone and values of its
//! records, in their usual spellings, in coded forms and as hashes.
//!
//! Each needle is found by a few of its bytes, its anchor (one automaton over all of them, letters in either case),
//! and then compared in full. One pass over the data looks for all needles.

use std::collections::{BTreeMap, BTreeSet};

use aho_corasick::{AhoCorasick, Input, MatchKind};

use crate::{case::device::Record, engine::decode::is_telling, evidence::ByteRange, findings::Grade};

mod form;
mod place;
mod value;

pub use form::{Form, Hash, Written};
pub(super) use value::is_package;
use value::{Edge, is_placeholder, spell, written_out};
pub use value::{Value, ValueId};

/// Bytes by which a needle is found at most: enough that few other bytes begin like it.
const ANCHOR: usize = 8;
/// Needles of one case: those of all identifiers, and of as many records as take 300 MiB of memory.
const MAX_NEEDLES: usize = 1_000_000;
/// Hits of one value kept in one conversation; an app that names it in each request says no more. Where it fills a field
/// it is found twice.
pub(super) const MAX_HITS: usize = 512;

/// One form of one spelling of a value.
struct Needle {
    value: ValueId,
    form: Form,
    text: Vec<u8>,
    edge: Edge,
    any_case: bool,
    weight: u64,
    least: usize,
    /// Where its anchor stands in it.
    anchor: usize,
}

/// What is looked for, and the automaton that finds it.
pub(super) struct Needles {
    values: Vec<Value>,
    /// What was declared, by value.
    texts: Vec<String>,
    needles: Vec<Needle>,
    /// Needles by anchor, in the automaton's order.
    by_anchor: Vec<Vec<usize>>,
    automaton: Option<AhoCorasick>,
    longest: usize,
    /// Values that are not looked for in every form, because there were too many needles.
    pub(super) omitted: u64,
}

impl Needles {
    /// Identifiers by kind, then records; `salts` are put before and after what is hashed.
    pub(super) fn new(declared: &BTreeMap<String, String>, records: &[Record], salts: &[String]) -> Self {
        let mut all = Self {
            values: Vec::new(),
            texts: Vec::new(),
            needles: Vec::new(),
            by_anchor: Vec::new(),
            automaton: None,
            longest: 0,
            omitted: 0,
        };
        for (kind, value) in declared {
            all.add(format!("identifier:{kind}"), kind, Grade::Identifier, value, Some(salts));
        }
        for record in records {
            let kind = record.kind.name();
            let salts = (!matches!(kind, "message" | "location" | "package" | "call")).then_some(salts);
            all.add(record.name.clone(), kind, Grade::Record, &record.value, salts);
        }
        all.index();
        all
    }

    /// Adds a value; it is looked for as its hash where `salts` are given.
    fn add(&mut self, name: String, kind: &str, grade: Grade, value: &str, salts: Option<&[String]>) {
        let spellings = spell(kind, value);
        let id = ValueId(u32::try_from(self.values.len()).unwrap_or(u32::MAX));
        let (placeholder, searched) = (is_placeholder(value), !spellings.is_empty());
        self.texts.push(value.to_owned());
        self.values.push(Value { name, kind: kind.to_owned(), grade, placeholder, searched });
        let mut forms: Vec<form::Coded> = spellings.iter().flat_map(form::coded).collect();
        if kind.contains("location") || is_package(kind) {
            // Every needle makes every other one weaker, and a place has many spellings.
            forms.retain(|coded| coded.form == Form::Plain);
        }
        if kind == "message" {
            forms = forms.into_iter().map(form::Coded::with_beginning).collect();
        }
        if let Some(salts) = salts {
            let spelled = spellings.iter().map(|spelling| spelling.text.clone());
            let texts: BTreeSet<Vec<u8>> =
                spelled.chain(written_out(kind, value).into_iter().map(String::into_bytes)).collect();
            forms.extend(texts.iter().flat_map(|text| form::hashed(text, salts)));
        }
        forms.sort_unstable();
        forms.dedup();
        if self.needles.len() + forms.len() > MAX_NEEDLES {
            self.omitted += 1;
            return;
        }
        self.needles.extend(forms.into_iter().map(|coded| {
            let form::Coded { form, text, edge, any_case, weight, least } = coded;
            let anchor = anchor(text.get(..least).unwrap_or_default());
            Needle { value: id, form, text, edge, any_case, weight, least, anchor }
        }));
    }

    fn index(&mut self) {
        let mut anchors: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
        for (no, needle) in self.needles.iter().enumerate() {
            let end = (needle.anchor + ANCHOR).min(needle.least);
            let bytes = needle.text.get(needle.anchor..end).unwrap_or_default();
            anchors.entry(bytes.to_ascii_lowercase()).or_default().push(no);
        }
        self.automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(true)
            .build(anchors.keys())
            .ok()
            .filter(|_| !anchors.is_empty());
        self.by_anchor = anchors.into_values().collect();
        // A match and the digits that tell whether it goes on.
        self.longest = self.needles.iter().map(|needle| needle.text.len() + 2).max().unwrap_or(0);
    }

    pub(super) fn values(&self) -> &[Value] {
        &self.values
    }

    pub(super) fn texts(&self) -> impl Iterator<Item = (&Value, &str)> + Clone {
        self.values.iter().zip(self.texts.iter().map(String::as_str))
    }

    pub(super) fn expected_by_luck(&self, searched: u64) -> f64 {
        // Sorted, so that the sum is the same in every order of needles.
        let mut decades: Vec<u64> =
            self.needles.iter().map(|needle| needle.weight_of_least() / 1_000).collect();
        decades.sort_unstable();
        let tries = f64::from(u32::try_from(searched >> 10).unwrap_or(u32::MAX)) * 1_024.0 + 1_024.0;
        let rate = |decades: u64| (0..decades.min(300)).fold(1.0, |rate, _| rate / 10.0);
        decades.into_iter().rev().map(|decades| rate(decades) * tries).sum()
    }

    /// Forms of the names of packages.
    pub(super) fn packages(&self) -> u64 {
        let package = |needle: &&Needle| {
            self.values.get(needle.value.0 as usize).is_some_and(|value| is_package(&value.kind))
        };
        self.needles.iter().filter(package).count() as u64
    }

    pub(super) fn count(&self) -> u64 {
        self.needles.len() as u64
    }

    pub(super) fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }
}

/// Where the bytes stand by which a needle is found: as many different ones as can be had, and no blanks.
fn anchor(text: &[u8]) -> usize {
    let rare = |window: &[u8]| {
        let mut bytes: Vec<u8> = window.to_ascii_lowercase();
        bytes.sort_unstable();
        bytes.dedup();
        bytes
            .iter()
            .map(|byte| if matches!(byte, 0 | b' ' | b'e' | b'a' | b'0') { 1 } else { 2 })
            .sum::<u32>()
    };
    let windows = text.windows(ANCHOR.min(text.len()).max(1));
    // The first of the best.
    windows.enumerate().rev().max_by_key(|(_, window)| rare(window)).map_or(0, |(place, _)| place)
}

/// Whether a field of this name holds one value that names somebody: then a value that fills it needs less weight.
pub(super) fn is_named_field(name: &str) -> bool {
    is_telling(name.as_bytes())
}

/// Whether a field of this name holds values of this kind.
pub(super) fn names_kind(kind: &str, field: &str) -> bool {
    value::is_context(kind, field)
}

/// One place where a value was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spotted {
    pub(super) leaf: ByteRange,
    pub(super) value: ValueId,
    pub(super) form: Form,
    /// Thousandths of a decade that the match weighs.
    pub(super) weight: u64,
    /// It goes on before or after.
    pub(super) inside_longer: bool,
    /// Only its beginning.
    pub(super) beginning: bool,
    /// The plus of a telephone number stands before it: spellings leave it out.
    pub(super) after_plus: bool,
}

/// Leaves one place for each place: what lies within a longer match of the same value is the same upload. Of matches that
/// begin together one that does not go on is taken, if there is one: 14 digits of an IMEI before its software version.
pub(super) fn longest_of_each(spotted: &mut Vec<Spotted>) {
    spotted.sort_unstable_by_key(|one| {
        (one.value, one.leaf.start, one.inside_longer, std::cmp::Reverse(one.leaf.end), one.form)
    });
    let mut last: Option<(ValueId, ByteRange)> = None;
    spotted.retain(|one| {
        let within = last.is_some_and(|(value, range)| {
            value == one.value && (one.leaf.end <= range.end || one.leaf.start == range.start)
        });
        if !within {
            last = Some((one.value, one.leaf));
        }
        !within
    });
    spotted.sort_unstable();
}

/// Searches one leaf, chunk by chunk.
#[derive(Default)]
pub(super) struct Scanner {
    /// The leaf's last bytes, from `from` on; the first `seen` of them were looked at as places of an anchor.
    window: Vec<u8>,
    from: u64,
    seen: usize,
}

impl Scanner {
    pub(super) fn push(&mut self, needles: &Needles, bytes: &[u8], found: &mut Vec<Spotted>) {
        self.window.extend_from_slice(bytes);
        // One byte more than the longest needle, since the byte after a match tells whether it goes on.
        let ready = self.window.len().saturating_sub(needles.longest);
        self.search(needles, ready, found);
        // What stands before an anchor belongs to its needle, and one byte more tells whether it goes on.
        let drop = self.seen.saturating_sub(needles.longest + 1);
        // Moved only when that is much, so that small chunks don't move the rest each time.
        if drop > needles.longest {
            self.window.drain(..drop);
            self.from += drop as u64;
            self.seen -= drop;
        }
    }

    pub(super) fn finish(&mut self, needles: &Needles, found: &mut Vec<Spotted>) {
        let ready = self.window.len();
        self.search(needles, ready, found);
    }

    /// Looks at every place of an anchor before `ready` that was not looked at yet.
    fn search(&mut self, needles: &Needles, ready: usize, found: &mut Vec<Spotted>) {
        let Some(automaton) = needles.automaton.as_ref().filter(|_| self.seen < ready) else { return };
        let end = (ready + ANCHOR - 1).min(self.window.len());
        let input = Input::new(&self.window).range(self.seen..end);
        for anchor in automaton.find_overlapping_iter(input).filter(|anchor| anchor.start() < ready) {
            for &no in needles.by_anchor.get(anchor.pattern().as_usize()).into_iter().flatten() {
                found.extend(needles.needles.get(no).and_then(|needle| self.compare(needle, anchor.start())));
            }
        }
        self.seen = ready;
    }

    fn compare(&self, needle: &Needle, anchor: usize) -> Option<Spotted> {
        let start = anchor.checked_sub(needle.anchor)?;
        let same = |(own, here): (&u8, &u8)| {
            if needle.any_case { own.eq_ignore_ascii_case(here) } else { own == here }
        };
        let here = self.window.get(start..)?;
        let len = needle.text.iter().zip(here).take_while(|pair| same(*pair)).count();
        if len < needle.least {
            return None;
        }
        let len = needle.cut(len);
        let end = start + len;
        let goes_on = |place: Option<&u8>, own: Option<&u8>| {
            let more = |c: &u8| match needle.edge {
                Edge::Digits | Edge::Imei => c.is_ascii_digit(),
                Edge::Hex => c.is_ascii_hexdigit(),
                Edge::Name => c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_'),
                Edge::Base64 => c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/' | b'-' | b'_'),
                Edge::Any => false,
            };
            place.is_some_and(more) && own.is_some_and(more)
        };
        let before = start.checked_sub(1).and_then(|place| self.window.get(place));
        let may_follow =
            needle.edge == Edge::Imei && may_follow_imei(self.window.get(end..).unwrap_or_default());
        let inside_longer = goes_on(before, here.first())
            || (!may_follow && goes_on(self.window.get(end), self.window.get(end - 1)));
        Some(Spotted {
            leaf: ByteRange::new(self.from + start as u64, self.from + end as u64),
            value: needle.value,
            form: needle.form,
            weight: needle.weight * len as u64 / needle.text.len() as u64,
            inside_longer,
            beginning: !needle.form.is_hash() && len < needle.text.len(),
            after_plus: needle.edge == Edge::Digits && before == Some(&b'+'),
        })
    }
}

/// Whether these bytes may follow the fourteen digits of an IMEI.
fn may_follow_imei(after: &[u8]) -> bool {
    let digits = after.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
    digits == 2 || (digits == 1 && after.first() == Some(&b'0'))
}

impl Needle {
    /// Thousandths of a decade that the shortest match weighs.
    fn weight_of_least(&self) -> u64 {
        self.weight * self.least as u64 / (self.text.len() as u64).max(1)
    }

    /// How much of a match counts: of a hash in text whole bytes, since the next digit may agree by luck.
    fn cut(&self, len: usize) -> usize {
        let whole = len == self.text.len();
        match self.form {
            Form::Hash(_, Written::Hex) if !whole => (len & !1).max(self.least),
            _ => len,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::device::RecordKind;

    fn needles(pairs: &[(&str, &str)], records: &[(RecordKind, &str)]) -> Needles {
        let declared = pairs.iter().map(|(kind, value)| ((*kind).to_owned(), (*value).to_owned())).collect();
        let record = |(no, (kind, value)): (usize, &(RecordKind, &str))| Record {
            name: format!("r{no}"),
            kind: *kind,
            value: (*value).to_owned(),
            created: None,
        };
        let records: Vec<Record> = records.iter().enumerate().map(record).collect();
        Needles::new(&declared, &records, &[])
    }

    fn spot(needles: &Needles, text: &[u8], chunk: usize) -> Vec<(String, u64, u64, bool)> {
        let (mut scanner, mut found) = (Scanner::default(), Vec::new());
        text.chunks(chunk).for_each(|chunk| scanner.push(needles, chunk, &mut found));
        scanner.finish(needles, &mut found);
        longest_of_each(&mut found);
        found
            .iter()
            .map(|one| (one.form.to_string(), one.leaf.start, one.leaf.end, one.inside_longer))
            .collect()
    }

    #[test]
    fn values_are_found_wherever_chunks_are_cut() {
        let needles = needles(&[("imei", "867622014512347"), ("wifi_mac", "64:09:80:00:00:01")], &[]);
        let text = [
            b"x".repeat(5_000).as_slice(),
            b"imei=867622014512347&mac=64:09:80:00:00:01;",
            &b"y".repeat(3_000),
        ]
        .concat();
        let wanted = [("plain".to_owned(), 5_005, 5_020, false), ("plain".to_owned(), 5_025, 5_042, false)];
        for chunk in [1, 2, 7, 64, 1_000, 10_000] {
            assert_eq!(spot(&needles, &text, chunk), wanted, "in chunks of {chunk}");
        }
    }

    #[test]
    fn a_value_inside_a_longer_one_says_so() {
        let needles = needles(&[("imei", "867622014512347")], &[]);
        assert_eq!(spot(&needles, b"1867622014512347", 99), [("plain".to_owned(), 1, 16, true)]);
        assert_eq!(
            spot(&needles, b"867622014512349", 99),
            [("plain".to_owned(), 0, 14, true)],
            "another check digit"
        );
        assert!(spot(&needles, b"867622014512", 99).is_empty());
        for (text, longer) in
            [("8676220145123401", false), ("86762201451234013", true), ("867622014512340", false)]
        {
            for chunk in [1, 2, 99] {
                assert_eq!(
                    spot(&needles, text.as_bytes(), chunk),
                    [("plain".to_owned(), 0, 14, longer)],
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn coded_and_hashed_forms_are_told_apart() {
        let needles = needles(&[("imei", "867622014512347")], &[]);
        let one = |text: &[u8]| {
            let found = spot(&needles, text, 5);
            assert_eq!(found.len(), 1, "{found:?}");
            found[0].0.clone()
        };
        assert_eq!(one(b"<ODY3NjIyMDE0NTEyMzQ3>"), "base64");
        assert_eq!(one(b"383637363232303134353132333437"), "hex");
        assert_eq!(
            one(b"8\x006\x007\x006\x002\x002\x000\x001\x004\x005\x001\x002\x003\x004\x007\x00"),
            "utf-16le"
        );
        let digest = crate::evidence::hex(&<sha2::Sha256 as sha2::Digest>::digest(b"867622014512347"));
        assert_eq!(one(digest.to_ascii_uppercase().as_bytes()), "sha256 in hex");
        assert_eq!(one(format!("id={};", &digest[..16]).as_bytes()), "sha256 in hex", "64 bits of it");
        assert!(
            spot(&needles, format!("id={};", &digest[..15]).as_bytes(), 9).is_empty(),
            "60 bits count nothing"
        );
    }

    #[test]
    fn messages_are_found_letter_for_letter() {
        let needles = needles(&[], &[(RecordKind::Message, "Meet me at the pier at nine, bring 300")]);
        let found = spot(&needles, b"{\"t\":\"Meet me at the pier at nine, bring 300\"}", 8);
        assert_eq!(found, [("plain".to_owned(), 6, 44, false)]);
        assert!(spot(&needles, b"meet me at the pier at nine, bring 300", 8).is_empty(), "in other letters");
        assert_eq!(spot(&needles, b"Meet+me+at+the+pier+at+nine%2C+bring+300", 8)[0].0, "percent");
        assert!(spot(&needles, b"Meet me at the pier at nine", 8).is_empty(), "only its beginning");
    }

    #[test]
    fn placeholders_and_short_values_are_known() {
        let needles = needles(&[("bssid", "02:00:00:00:00:00"), ("pin", "123")], &[]);
        let value = |no: usize| &needles.values()[no];
        assert!(value(0).placeholder && value(0).searched);
        assert!(!value(1).searched);
    }
}
