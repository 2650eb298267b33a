//! Identifiers in plain form, found in leaves however their bytes are cut into chunks.
//!
//! Each identifier has one or more spellings; a spelling is found by its first four bytes in any case (one
//! automaton over all of them) and then compared in full, letters in either case. Encoded and hashed
//! spellings will be more rows in the same list.

use std::collections::{BTreeMap, BTreeSet};

use aho_corasick::{AhoCorasick, Anchored, Input, MatchKind, StartKind};

use crate::evidence::ByteRange;

/// Bytes by which a spelling is found; all anchors are as long, so that only one can begin at any place.
const ANCHOR: usize = 4;
/// Longest spelling; a longer value is no identifier, and the window between chunks is as long.
const MAX_SPELLING: usize = 256;
/// Hits of one identifier kept in one conversation; an app that names it in each request says no more.
pub(super) const MAX_HITS: usize = 256;
/// What Android gives an app without permission instead of the access point's address
/// (`WifiInfo.DEFAULT_MAC_ADDRESS`).
const ANDROID_PLACEHOLDER: &str = "020000000000";

/// An identifier, by its place in the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentifierId(pub u32);

/// One identifier as it is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identifier {
    /// `imei`, `wifi_mac`, …: as declared.
    pub kind: String,
    /// Whether it is a constant that many phones share: Android's 02:00:00:00:00:00, one digit over and
    /// over, counting up or down. It identifies nobody.
    pub placeholder: bool,
    /// Whether it is looked for at all: values under four bytes would be found everywhere.
    pub searched: bool,
    /// Thousandths of a decade that one full match weighs.
    pub(super) weight: u64,
}

struct Spelling {
    identifier: IdentifierId,
    text: Vec<u8>,
    /// Whether digits (`false`) or hex digits next to it would make it part of a longer value.
    hex: bool,
}

/// All spellings and the automaton that finds them.
pub(super) struct Needles {
    identifiers: Vec<Identifier>,
    spellings: Vec<Spelling>,
    /// Spellings by anchor, in the automaton's order.
    by_anchor: Vec<Vec<usize>>,
    automaton: Option<AhoCorasick>,
    longest: usize,
}

impl Needles {
    pub(super) fn new(declared: &BTreeMap<String, String>) -> Self {
        let (mut identifiers, mut spellings) = (Vec::new(), Vec::new());
        for (no, (kind, value)) in (0..).zip(declared) {
            let (shape, texts) = spell(kind, value);
            let searched = texts.iter().all(|text| (ANCHOR..=MAX_SPELLING).contains(&text.len()));
            identifiers.push(Identifier {
                kind: kind.clone(),
                placeholder: is_placeholder(value),
                searched,
                weight: weight(value),
            });
            if searched {
                let identifier = IdentifierId(no);
                let hex = shape == Shape::Hex;
                spellings.extend(texts.into_iter().map(|text| Spelling { identifier, text, hex }));
            }
        }
        let mut anchors: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
        for (no, spelling) in spellings.iter().enumerate() {
            for anchor in cases(spelling.text.get(..ANCHOR).unwrap_or_default()) {
                anchors.entry(anchor).or_default().push(no);
            }
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostFirst)
            .start_kind(StartKind::Unanchored)
            .build(anchors.keys())
            .ok()
            .filter(|_| !anchors.is_empty());
        let longest = spellings.iter().map(|spelling| spelling.text.len()).max().unwrap_or(0);
        Self { identifiers, spellings, by_anchor: anchors.into_values().collect(), automaton, longest }
    }

    pub(super) fn identifiers(&self) -> &[Identifier] {
        &self.identifiers
    }

    pub(super) fn spellings(&self) -> u64 {
        self.spellings.len() as u64
    }

    pub(super) fn is_empty(&self) -> bool {
        self.spellings.is_empty()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Hex,
    Other,
}

/// The spellings of one value in plain ASCII.
fn spell(kind: &str, value: &str) -> (Shape, BTreeSet<Vec<u8>>) {
    if let Some(digits) = hardware_address(value) {
        let separated = |separator: &str| {
            let pairs: Vec<_> = digits.as_bytes().chunks(2).map(String::from_utf8_lossy).collect();
            pairs.join(separator).into_bytes()
        };
        return (Shape::Hex, [separated(":"), separated("-"), separated("")].into());
    }
    let text = if is_number(kind, value) {
        value.bytes().filter(u8::is_ascii_digit).collect()
    } else {
        value.trim().as_bytes().to_vec()
    };
    let hex = text.len() >= 8 && text.iter().all(u8::is_ascii_hexdigit);
    let digits = text.iter().all(u8::is_ascii_digit);
    (if hex && !digits { Shape::Hex } else { Shape::Other }, [text].into())
}

/// The twelve hex digits of an EUI-48 written with colons, hyphens or (as a `…mac` or `bssid`) without.
fn hardware_address(value: &str) -> Option<String> {
    let digits: String = value.chars().filter(|c| !matches!(c, ':' | '-')).collect();
    let separators = value.len() - digits.len();
    let fits = digits.len() == 12 && digits.bytes().all(|c| c.is_ascii_hexdigit());
    (fits && separators == 5).then(|| digits.to_ascii_lowercase())
}

/// Whether a value is written with signs that a program would leave out: `+852 9876-5432`. The needle is
/// the digits, which are found with and without a `+` before them.
fn is_number(kind: &str, value: &str) -> bool {
    let numeric = value.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | ' ' | '-' | '(' | ')' | '.'));
    numeric && (value.starts_with('+') || kind.contains("number") || kind.contains("phone"))
}

fn is_placeholder(value: &str) -> bool {
    let text: Vec<u8> = value.bytes().filter(u8::is_ascii_alphanumeric).collect();
    let steps = |by: u8| {
        text.windows(2).all(|pair| match pair {
            [one, next] if one.is_ascii_digit() && next.is_ascii_digit() => {
                (one - b'0' + by) % 10 == next - b'0'
            }
            _ => false,
        })
    };
    let same = text.windows(2).all(|pair| matches!(pair, [one, next] if one.eq_ignore_ascii_case(next)));
    same || steps(1) || steps(9) || text.eq_ignore_ascii_case(ANDROID_PLACEHOLDER.as_bytes())
}

/// Thousandths of a decade of one value: a decimal digit weighs 1000; a hex digit 1204 (log10 16) where the
/// value holds letters and digits and nothing else; any other letter 301, one bit, which is what English
/// text carries at most (Shannon 1951: 0.6 to 1.3 bits a letter); separators nothing.
fn weight(value: &str) -> u64 {
    let text: Vec<u8> = value.bytes().filter(|c| !matches!(c, b':' | b'-' | b'+' | b' ')).collect();
    let hex = text.iter().all(u8::is_ascii_hexdigit)
        && text.iter().any(u8::is_ascii_digit)
        && text.iter().any(u8::is_ascii_alphabetic);
    let one = |c: &u8| match c {
        _ if hex => 1_204,
        b'0'..=b'9' => 1_000,
        _ => 301,
    };
    text.iter().map(one).sum()
}

/// Every way to write some bytes in upper and lower case.
fn cases(text: &[u8]) -> BTreeSet<Vec<u8>> {
    text.iter().fold(BTreeSet::from([Vec::new()]), |begun, &byte| {
        let both = [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()];
        begun.iter().flat_map(|text| both.map(|byte| [text.as_slice(), &[byte]].concat())).collect()
    })
}

/// One place where an identifier was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spotted {
    pub(super) leaf: ByteRange,
    pub(super) identifier: IdentifierId,
    /// Digits go on before or after it.
    pub(super) inside_longer: bool,
}

/// Searches one leaf, chunk by chunk.
#[derive(Default)]
pub(super) struct Scanner {
    /// The leaf's last bytes, from `from` on; the first `seen` of them were looked at as places to begin.
    window: Vec<u8>,
    from: u64,
    seen: usize,
}

impl Scanner {
    pub(super) fn push(&mut self, needles: &Needles, bytes: &[u8], found: &mut Vec<Spotted>) {
        self.window.extend_from_slice(bytes);
        // One byte more than the longest spelling, since the byte after a match tells whether it goes on.
        let ready = (self.window.len()).saturating_sub(needles.longest);
        self.search(needles, ready, found);
        // One byte is kept before the next place to begin, for the same reason.
        let drop = self.seen.saturating_sub(1);
        self.window.drain(..drop);
        self.from += drop as u64;
        self.seen -= drop;
    }

    pub(super) fn finish(&mut self, needles: &Needles, found: &mut Vec<Spotted>) {
        let ready = self.window.len();
        self.search(needles, ready, found);
    }

    /// Looks at every place before `ready` that was not looked at yet.
    fn search(&mut self, needles: &Needles, ready: usize, found: &mut Vec<Spotted>) {
        let Some(automaton) = &needles.automaton else { return };
        while self.seen < ready {
            let end = (ready + ANCHOR - 1).min(self.window.len());
            let input = Input::new(&self.window).range(self.seen..end).anchored(Anchored::No);
            let Some(anchor) = automaton.find(input) else {
                self.seen = ready;
                return;
            };
            let start = anchor.start();
            for &no in needles.by_anchor.get(anchor.pattern().as_usize()).into_iter().flatten() {
                found.extend(needles.spellings.get(no).and_then(|spelling| self.compare(spelling, start)));
            }
            self.seen = start + 1;
        }
    }

    fn compare(&self, spelling: &Spelling, start: usize) -> Option<Spotted> {
        let end = start + spelling.text.len();
        let here = self.window.get(start..end)?;
        if !here.eq_ignore_ascii_case(&spelling.text) {
            return None;
        }
        let goes_on = |place: Option<&u8>, own: Option<&u8>| {
            let more = |c: &u8| if spelling.hex { c.is_ascii_hexdigit() } else { c.is_ascii_digit() };
            place.is_some_and(more) && own.is_some_and(more)
        };
        let before = start.checked_sub(1).and_then(|place| self.window.get(place));
        Some(Spotted {
            leaf: ByteRange::new(self.from + start as u64, self.from + end as u64),
            identifier: spelling.identifier,
            inside_longer: goes_on(before, here.first()) || goes_on(self.window.get(end), here.last()),
        })
    }
}
