//! One function for each parser, which takes any bytes: run by the fuzzer (`tests/fuzz`), and by `tests/fuzz_corpus.rs`
//! over the inputs that are kept. Each checks what must hold for any input, and panics where it does not.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    reason = "a test may panic and read the environment"
)]

pub mod captures;
pub mod codecs;
pub mod conversations;
pub mod files;
pub mod streams;

#[path = "../quic.rs"]
mod quic;
#[path = "../sealed.rs"]
mod sealed;

use std::ops::Range;

use exhibit::{engine::net::stream::Chunk, evidence::ByteRange};

/// Takes any bytes.
pub type Target = fn(&[u8]);

/// All targets by name.
pub fn all() -> Vec<(&'static str, Target)> {
    [streams::TARGETS, codecs::TARGETS, conversations::TARGETS, captures::TARGETS, files::TARGETS].concat()
}

/// Stands for bytes that are missing, in inputs that are streams.
pub const GAP: &[u8] = b"~~~";

/// How many bytes [`GAP`] stands for.
pub const MISSING: u64 = 5;

/// splitmix64, begun with the input: what is drawn for it is always the same.
pub struct Random(u64);

impl Random {
    pub fn of(data: &[u8]) -> Self {
        // FNV-1a.
        Self(data.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Pieces that make up a slice: single bytes of a short one now and then, else some of any length.
pub fn pieces(data: &[u8], random: &mut Random) -> Vec<Range<usize>> {
    if data.len() <= 300 && random.below(3) == 0 {
        return (0..data.len()).map(|at| at..at + 1).collect();
    }
    let mut cuts: Vec<usize> = (0..random.below(8)).map(|_| random.below(data.len() + 1)).collect();
    cuts.extend([0, data.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| pair[0]..pair[1]).filter(|piece| !piece.is_empty()).collect()
}

/// Parts of a slice between separators.
pub fn split<'d>(data: &'d [u8], separator: &[u8]) -> Vec<&'d [u8]> {
    let mut parts = Vec::new();
    let mut from = 0;
    for at in memchr::memmem::find_iter(data, separator) {
        parts.push(&data[from..at]);
        from = at + separator.len();
    }
    parts.push(&data[from..]);
    parts
}

/// A stream's chunks as they stand in an input, and the same cut into smaller ones.
pub fn chunks<'d>(data: &'d [u8], cut: Option<&mut Random>) -> Vec<Chunk<'d>> {
    let (mut list, mut at, mut cut) = (Vec::new(), 0, cut);
    for (index, part) in split(data, GAP).into_iter().enumerate() {
        if index > 0 {
            list.push(Chunk::Gap(ByteRange::new(at, at + MISSING)));
            at += MISSING;
        }
        let whole = std::iter::once(0..part.len()).filter(|whole| !whole.is_empty()).collect();
        for piece in cut.as_deref_mut().map_or(whole, |random| pieces(part, random)) {
            let range = ByteRange::new(at, at + piece.len() as u64);
            list.push(Chunk::Bytes { range, data: &part[piece] });
            at = range.end;
        }
    }
    list
}

/// What a parser told: bytes in runs that show no cuts, and all else in words.
#[derive(Debug, Default, PartialEq)]
pub struct Told(Vec<Entry>);

#[derive(Debug, PartialEq)]
enum Entry {
    Run(&'static str, ByteRange, Vec<u8>),
    Said(String),
}

impl Told {
    /// Bytes of the stream.
    pub fn run(&mut self, kind: &'static str, bytes: &[u8], range: ByteRange) {
        assert_eq!(range.len(), bytes.len() as u64, "{kind} {range:?}");
        if bytes.is_empty() {
            return;
        }
        match self.0.last_mut() {
            Some(Entry::Run(last, whole, all)) if *last == kind && whole.end == range.start => {
                whole.end = range.end;
                all.extend_from_slice(bytes);
            }
            _ => self.0.push(Entry::Run(kind, range, bytes.to_vec())),
        }
    }

    /// Anything else.
    pub fn say(&mut self, what: impl Into<String>) {
        self.0.push(Entry::Said(what.into()));
    }
}

/// Runs a parser over a stream as it stands and cut into pieces: it must tell the same.
pub fn however_cut(data: &[u8], run: impl Fn(&[Chunk<'_>]) -> Told) {
    let whole = run(&chunks(data, None));
    let cut = run(&chunks(data, Some(&mut Random::of(data))));
    if whole != cut {
        let at = whole.0.iter().zip(&cut.0).position(|(one, other)| one != other);
        let at = at.unwrap_or(whole.0.len().min(cut.0.len()));
        panic!("at {at}: whole {:?}\ncut {:?}", whole.0.get(at), cut.0.get(at));
    }
}
