//! What the plan declares that may be sent, held against what was sent: bytes that it accounts for are understood.
//!
//! - A text of a term (`texts`, and its hosts) that stands alone where a protocol has a value: a request's target, the value of
//!   a header field, a name that is asked for, a whole body or message.
//! - A schema of a term in the body of a request or a message of a WebSocket, or in the query of a target whose path is such a text.
//!
//! Each choice among declared values carries a few bits; that is covert capacity, outside what a verdict speaks of.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use crate::{
    case::{
        Case,
        scenario::schema::{Account, Schema},
    },
    engine::decode::sink::{LeafId, Origin, PARTS, Source},
    evidence::{ByteRange, Direction, Step, Timestamp},
};

/// Bytes of a leaf that may be held against what is declared: more than any declared text, body or query needs.
const MAX_HELD: usize = 64 << 10;
/// Messages by a schema that are noted of one flow.
const MAX_SEEN: usize = 100_000;

/// The step whose bytes are the head of a message.
const HEAD: &str = "http1.head";
/// Steps whose bytes are a message of a client: a request's body, a message of a WebSocket.
const BODIES: [&str; 4] = ["http1.body", "http2.body", "http3.body", "websocket.message"];

/// All that a plan declares.
#[derive(Debug, Default)]
pub(super) struct Declared<'c> {
    texts: BTreeSet<&'c [u8]>,
    schemas: Vec<(&'c str, &'c Schema)>,
}

impl<'c> Declared<'c> {
    /// Takes it from a case; a schema that is missing declares nothing.
    pub(super) fn of(case: &'c Case) -> Self {
        let declared = &case.plan.declared;
        let schema = |path: &String| case.schemas.get(path);
        Self {
            texts: declared.iter().flat_map(|declared| &declared.texts).map(|text| text.as_bytes()).collect(),
            schemas: declared
                .iter()
                .filter_map(|declared| {
                    Some((declared.term.as_str(), declared.schema.as_ref().and_then(schema)?))
                })
                .collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.texts.is_empty() && self.schemas.is_empty()
    }

    /// Whether a text is declared.
    pub(super) fn text(&self, text: &str) -> bool {
        self.texts.contains(text.as_bytes())
    }

    /// The schema that accounts for most (of equals the first), with its term where it accounts for all values.
    fn of_schemas(&self, read: impl Fn(&Schema) -> Option<Account>) -> Option<(Option<&'c str>, Account)> {
        let accounts = self.schemas.iter().filter_map(|(term, schema)| Some((*term, read(schema)?)));
        let most = accounts.min_by_key(|(_, account)| {
            let understood: usize = account.understood.iter().map(ExactSizeIterator::len).sum();
            usize::MAX - understood
        });
        most.map(|(term, account)| (account.whole.then_some(term), account))
    }

    /// What is accounted for in a leaf, and the terms whose schema accounts for all values of a message in it.
    fn account(&self, op: &str, bytes: &[u8]) -> (Vec<Range<usize>>, Option<&'c str>) {
        if op == HEAD {
            return self.head(bytes);
        }
        if self.texts.contains(bytes) {
            return (std::iter::once(0..bytes.len()).collect(), None);
        }
        let read = self.of_schemas(|schema| schema.json(bytes).or_else(|| schema.form(bytes)));
        read.map_or_else(Default::default, |(term, account)| (account.understood, term))
    }

    /// What is accounted for of a field's value in a list of fields that stands in `range`, and the message by a schema that
    /// its target holds.
    pub(super) fn field(
        &self,
        range: ByteRange,
        name: &[u8],
        value: &[u8],
    ) -> (Vec<Range<usize>>, Option<Seen>) {
        if value.len() > MAX_HELD {
            return Default::default();
        }
        let (understood, term) = match name {
            b":path" => self.target(value),
            _ if self.texts.contains(value) => (std::iter::once(0..value.len()).collect(), None),
            _ => Default::default(),
        };
        (understood, term.map(|term| Seen { term: term.to_owned(), range, time: Timestamp(0) }))
    }

    /// The target of a request, and the values of its fields.
    fn head(&self, bytes: &[u8]) -> (Vec<Range<usize>>, Option<&'c str>) {
        let (mut understood, mut term) = (Vec::new(), None);
        let mut start = 0;
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            let text = line.strip_suffix(b"\r\n").unwrap_or(line);
            if start > 0 {
                let colon = text.windows(2).position(|pair| pair == b": ");
                let value = colon.map(|colon| colon + 2..text.len());
                let is_declared = |range: &Range<usize>| {
                    text.get(range.clone()).is_some_and(|value| self.texts.contains(value))
                };
                understood
                    .extend(value.filter(is_declared).map(|range| start + range.start..start + range.end));
            } else {
                let spaces = [memchr::memchr(b' ', text), memchr::memrchr(b' ', text)];
                if let [Some(first), Some(last)] = spaces
                    && let Some(target) = text.get(first + 1..last)
                {
                    let (ranges, by) = self.target(target);
                    understood.extend(
                        ranges.into_iter().map(|range| first + 1 + range.start..first + 1 + range.end),
                    );
                    term = by;
                }
            }
            start += line.len();
        }
        (understood, term)
    }

    fn target(&self, target: &[u8]) -> (Vec<Range<usize>>, Option<&'c str>) {
        if self.texts.contains(target) {
            return (std::iter::once(0..target.len()).collect(), None);
        }
        let Some(mark) = memchr::memchr(b'?', target) else { return Default::default() };
        let (path, query) = target.split_at(mark);
        if !self.texts.contains(path) {
            return Default::default();
        }
        let mut understood: Vec<_> = std::iter::once(0..mark + 1).collect();
        let query = query.get(1..).unwrap_or_default();
        let Some((term, account)) = self.of_schemas(|schema| schema.form(query)) else {
            return (understood, None);
        };
        understood
            .extend(account.understood.iter().map(|range| range.start + mark + 1..range.end + mark + 1));
        (understood, term)
    }
}

/// Holds the leaves of one flow against what is declared.
#[derive(Debug)]
pub(super) struct Watch<'d> {
    declared: &'d Declared<'d>,
    open: BTreeMap<LeafId, Held>,
}

/// A leaf while it is open.
#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    /// Where in the stream the bytes from a position on stand.
    from: Vec<(usize, ByteRange)>,
}

/// A message all of whose values a schema accounts for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// The term.
    pub(super) term: String,
    /// Where in the stream it stands.
    pub(super) range: ByteRange,
    /// When its first byte was captured.
    pub(super) time: Timestamp,
}

impl<'d> Watch<'d> {
    pub(super) fn new(declared: &'d Declared<'d>) -> Self {
        Self { declared, open: BTreeMap::new() }
    }

    /// Whether a leaf could hold what is declared.
    pub(super) fn wants(&self, origin: &Origin) -> bool {
        let op = origin.steps.last().map_or("", |step| step.op.as_str());
        // What is put together from several bodies is no message that a schema describes.
        let joined = origin.steps.iter().any(|step| step.op == PARTS);
        let fits = (op == HEAD || BODIES.contains(&op)) && !joined;
        fits && origin.direction == Direction::Up && !self.declared.is_empty()
    }

    pub(super) fn open(&mut self, leaf: LeafId) {
        self.open.insert(leaf, Held::default());
    }

    pub(super) fn write(&mut self, leaf: LeafId, bytes: &[u8], from: Source) {
        let Some(held) = self.open.get_mut(&leaf) else { return };
        match from {
            Source::Copied(range) if held.bytes.len() + bytes.len() <= MAX_HELD => {
                held.from.push((held.bytes.len(), range));
                held.bytes.extend_from_slice(bytes);
            }
            // Too long for anything declared, or not in the stream as it is.
            _ => drop(self.open.remove(&leaf)),
        }
    }

    /// The ranges of the stream that are accounted for in a leaf, and the message that a schema accounts for.
    pub(super) fn close(&mut self, leaf: LeafId, steps: &[Step]) -> (Vec<ByteRange>, Option<Seen>) {
        let Some(held) = self.open.remove(&leaf) else { return Default::default() };
        let op = steps.last().map_or("", |step| step.op.as_str());
        let (understood, term) = self.declared.account(op, &held.bytes);
        let ranges = understood.iter().flat_map(|range| held.places(range)).collect();
        let hull = held
            .from
            .iter()
            .map(|(_, range)| *range)
            .reduce(|a, b| ByteRange::new(a.start.min(b.start), a.end.max(b.end)));
        let seen =
            term.zip(hull).map(|(term, range)| Seen { term: term.to_owned(), range, time: Timestamp(0) });
        (ranges, seen)
    }
}

impl Held {
    fn places(&self, range: &Range<usize>) -> Vec<ByteRange> {
        let wanted = ByteRange::new(range.start as u64, range.end as u64);
        let part = |(at, from): &(usize, ByteRange)| {
            let here = ByteRange::new(*at as u64, *at as u64 + from.len());
            let both = wanted.intersection(here)?;
            Some(ByteRange::new(from.start + both.start - here.start, from.start + both.end - here.start))
        };
        self.from.iter().filter_map(part).collect()
    }
}

/// Whether one more message may be noted.
pub(super) fn admits(seen: &[Seen]) -> bool {
    seen.len() < MAX_SEEN
}
