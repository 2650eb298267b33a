//! Blocks of the device's contents, by hash: what leaves are held against to find copied runs.
//!
//! Every content is cut on a grid of `stride` bytes; the 32 bytes at each grid point are a block. Leaves are
//! looked up at every byte. A copied run of `min_run` bytes holds at least one whole block, since
//! `stride + 32 - 1 = min_run`; so it is found, whatever its place in either. The exceptions are stated:
//!
//! - A block of period 16 or less (zeros, fill patterns) is not stored; the 32 bytes that end one past its
//!   periodic stretch, and those that begin one before it, stand in for it. A run that is not periodic from
//!   end to end has a part of `min_run` bytes outside any one stretch (two stretches that overlap by 32
//!   bytes are one, by Fine and Wilf's theorem), hence a block there that is stored, or one whose stretch
//!   ends within that part, and then the window across that end.
//! - Of equal blocks only the first [`MAX_EQUAL`] of a batch are stored, and the rest counted.

use std::{
    io,
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use super::catalog::{Catalog, Content, ContentId};
use crate::evidence::{ByteRange, ReadError, read_exact_at};

/// Bytes that are hashed together. Shorter blocks would let the grid be wider, but ordinary content repeats
/// them more often.
pub(super) const BLOCK: usize = 32;
/// The shortest `min_run` that leaves a grid wider than a block.
pub(super) const MIN_RUN: u32 = 64;
/// Equal blocks stored in one batch: a copy more often than that is common content, which proves nothing.
const MAX_EQUAL: u32 = 16;
/// The longest period of content that is not searched for.
const MAX_PERIOD: usize = 16;
/// Blocks hashed in one piece of work: about a megabyte of the device at the usual stride.
const PIECE: u64 = 8_192;
/// Blocks in one batch, 407 MB of the device at the usual stride: 32 MiB of half-empty table, 8 MiB of bits,
/// and numbers that fit 22 bits.
pub(super) const MAX_BLOCKS: u64 = (4 << 20) - 1;
/// Low bits of a slot that tell unequal blocks apart before the device is read.
const TAG_BITS: u32 = 10;

/// Random numbers of the cyclic polynomial hash (splitmix64 from 0, so that anyone can make them again).
static TABLE: [u64; 256] = table();

#[expect(clippy::indexing_slicing, reason = "a constant: it would fail to compile")]
const fn table() -> [u64; 256] {
    let mut table = [0; 256];
    let mut state: u64 = 0;
    let mut no = 0;
    while no < 256 {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        table[no] = z ^ (z >> 31);
        no += 1;
    }
    table
}

fn random(byte: u8) -> u64 {
    // A byte is always within 256 entries; the compiler sees it, too, and leaves the check out.
    TABLE.get(usize::from(byte)).copied().unwrap_or(0)
}

/// Hashes one block.
pub(super) fn hash(block: &[u8]) -> u64 {
    block.iter().fold(0, |hash: u64, &byte| hash.rotate_left(1) ^ random(byte))
}

/// The hash one byte on: `old` leaves the block and `new` enters it.
pub(super) fn roll(hash: u64, old: u8, new: u8) -> u64 {
    hash.rotate_left(1) ^ (random(old).rotate_left(32) ^ random(new))
}

/// The smallest period of a block, if it is [`MAX_PERIOD`] or less.
pub(super) fn period(block: &[u8]) -> Option<usize> {
    (1..=MAX_PERIOD)
        .find(|&period| block.iter().zip(block.iter().skip(period)).all(|(one, next)| one == next))
}

/// Tells off nearly every hash that was not put in, by one look at one word (a Bloom filter of a word's
/// width, three bits for each hash).
pub(super) struct Filter {
    words: Vec<u64>,
    shift: u32,
}

impl Filter {
    /// Room for about `count` hashes, at 16 to 32 bits each and no more than 8 MiB.
    pub(super) fn new(count: usize) -> Self {
        let bits = (count / 4).next_power_of_two().trailing_zeros().clamp(10, 20);
        Self { words: vec![0; 1 << bits], shift: u64::BITS - bits }
    }

    pub(super) fn insert(&mut self, hash: u64) {
        let word = usize::try_from(hash >> self.shift).unwrap_or(0);
        if let Some(word) = self.words.get_mut(word) {
            *word |= Self::mask(hash);
        }
    }

    fn may_hold(&self, hash: u64) -> bool {
        let word = usize::try_from(hash >> self.shift).unwrap_or(0);
        self.words.get(word).is_some_and(|word| word & Self::mask(hash) == Self::mask(hash))
    }

    fn mask(hash: u64) -> u64 {
        1 << (hash & 63) | 1 << (hash >> 6 & 63) | 1 << (hash >> 12 & 63)
    }
}

/// Consecutive blocks of one content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    content: ContentId,
    /// The first block's place on the content's grid.
    first: u64,
    count: u64,
    /// The first block's number in the batch.
    number: u32,
}

/// Blocks that are looked up together.
pub(super) struct Batch {
    pieces: Vec<Piece>,
    blocks: u64,
}

/// How many bytes lie between two blocks of the grid.
pub(super) fn stride(min_run: u32) -> u64 {
    u64::from(min_run.max(MIN_RUN)) + 1 - BLOCK as u64
}

/// Cuts the catalogue into batches of about equal size, none above `max_blocks`.
pub(super) fn batches(catalog: &Catalog, stride: u64, max_blocks: u64) -> Vec<Batch> {
    let count = |content: &Content| match content.len.checked_sub(BLOCK as u64) {
        Some(last) => last / stride + 1,
        None => 0,
    };
    let total: u64 = catalog.contents.iter().map(count).sum();
    let size = total.div_ceil(total.div_ceil(max_blocks).max(1)).max(1);
    let mut batches = Vec::new();
    let mut batch = Batch { pieces: Vec::new(), blocks: 0 };
    for (id, content) in catalog.iter() {
        let (mut first, end) = (0, count(content));
        while first < end {
            let count = PIECE.min(end - first).min(size - batch.blocks);
            let number = u32::try_from(batch.blocks).unwrap_or(u32::MAX);
            batch.pieces.push(Piece { content: id, first, count, number });
            batch.blocks += count;
            first += count;
            if batch.blocks == size {
                batches.push(std::mem::replace(&mut batch, Batch { pieces: Vec::new(), blocks: 0 }));
            }
        }
    }
    if batch.blocks > 0 {
        batches.push(batch);
    }
    batches
}

/// The blocks of one batch by hash.
pub(super) struct Index<'c> {
    catalog: &'c Catalog,
    stride: u64,
    pieces: Vec<Piece>,
    /// Open addressing: a block's number plus one, and its tag; 0 is free.
    slots: Vec<u32>,
    filter: Filter,
    stored: usize,
    /// Blocks that were left out since as many equal ones are there.
    pub(super) repeated: u64,
}

impl<'c> Index<'c> {
    /// Reads and hashes the blocks of a batch on several threads; the result is the same for any number.
    /// With `wanted`, a filter of all the leaves' hashes, only blocks that may stand in a leaf are stored.
    ///
    /// # Errors
    /// When a device file can't be read.
    pub(super) fn build(
        catalog: &'c Catalog,
        batch: Batch,
        stride: u64,
        wanted: Option<&Filter>,
        threads: usize,
    ) -> Result<Self, ReadError> {
        let blocks = usize::try_from(batch.blocks).unwrap_or(usize::MAX);
        let mut index = Self {
            catalog,
            stride,
            pieces: batch.pieces,
            slots: vec![0; blocks * 2 + 64],
            filter: Filter::new(blocks),
            stored: 0,
            repeated: 0,
        };
        let pieces = std::mem::take(&mut index.pieces);
        for round in pieces.chunks(threads.max(1) * 8) {
            for hashed in hash_pieces(catalog, round, (stride, wanted), threads)? {
                hashed.into_iter().for_each(|(hash, number)| index.store(hash, number));
            }
        }
        index.pieces = pieces;
        Ok(index)
    }

    fn store(&mut self, hash: u64, number: u32) {
        let tag = tag(hash);
        let full = self.stored >= self.slots.len() / 16 * 15;
        let (start, mut equal) = (self.slot(hash), 0);
        let (before, from) = self.slots.split_at_mut(start);
        for slot in from.iter_mut().chain(before) {
            if *slot == 0 && !full {
                *slot = (number + 1) << TAG_BITS | tag;
                self.stored += 1;
                self.filter.insert(hash);
                return;
            }
            equal += u32::from(*slot & ((1 << TAG_BITS) - 1) == tag);
            if *slot == 0 || equal >= MAX_EQUAL {
                break;
            }
        }
        self.repeated += 1;
    }

    fn slot(&self, hash: u64) -> usize {
        let scaled = ((hash & 0xffff_ffff) * self.slots.len() as u64) >> 32;
        usize::try_from(scaled).unwrap_or(0)
    }

    /// Whether a block with this hash may be there.
    pub(super) fn may_hold(&self, hash: u64) -> bool {
        self.filter.may_hold(hash)
    }

    /// The blocks that may have this hash: content and place of the grid block that was stored, or stands
    /// for the ends of its periodic stretch.
    pub(super) fn candidates(&self, hash: u64) -> impl Iterator<Item = (ContentId, u64)> {
        let tag = tag(hash);
        let (before, from) = self.slots.split_at(self.slot(hash));
        let slots = from.iter().chain(before).take_while(|&&slot| slot != 0);
        slots.filter(move |&&slot| slot & ((1 << TAG_BITS) - 1) == tag).filter_map(|&slot| {
            let number = (slot >> TAG_BITS) - 1;
            let next = self.pieces.partition_point(|piece| piece.number <= number);
            let piece = self.pieces.get(next.checked_sub(1)?)?;
            Some((piece.content, (piece.first + u64::from(number - piece.number)) * self.stride))
        })
    }

    /// The content that a candidate belongs to.
    pub(super) fn content(&self, id: ContentId) -> Option<&'c Content> {
        self.catalog.content(id)
    }

    /// Where the content holds `window` by a candidate at `grid`: there, or across an end of the periodic
    /// stretch there.
    ///
    /// # Errors
    /// When the device file can't be read.
    pub(super) fn places(&self, content: &Content, grid: u64, window: &[u8]) -> io::Result<Vec<u64>> {
        let margin = self.stride + 1;
        let from = grid.saturating_sub(margin);
        let to = (grid + BLOCK as u64 + margin).min(content.len);
        let mut around = vec![0; usize::try_from(to - from).unwrap_or(0)];
        read_exact_at(&*content.blob, &mut around, from)?;
        let at = usize::try_from(grid - from).unwrap_or(0);
        let mut places = Vec::new();
        for place in stand_ins(&around, at, self.stride) {
            if around.get(place..place + BLOCK) == Some(window) {
                places.push(from + place as u64);
            }
        }
        Ok(places)
    }
}

fn tag(hash: u64) -> u32 {
    u32::try_from(hash >> 32 & ((1 << TAG_BITS) - 1)).unwrap_or(0)
}

/// The places of the windows that are stored for the grid block at `at`: itself, or where it is periodic the
/// windows across the ends of its stretch, each only where no other grid block lies between.
fn stand_ins(bytes: &[u8], at: usize, stride: u64) -> impl Iterator<Item = usize> {
    let block = bytes.get(at..at + BLOCK).unwrap_or_default();
    let (whole, ends) = match period(block) {
        None => (Some(at), [None, None]),
        Some(period) => (None, stretch_ends(bytes, at, stride, period)),
    };
    whole.into_iter().chain(ends.into_iter().flatten())
}

fn stretch_ends(bytes: &[u8], at: usize, stride: u64, period: usize) -> [Option<usize>; 2] {
    let stride = usize::try_from(stride).unwrap_or(usize::MAX);
    let same = |one: usize, other: usize| match (bytes.get(one), bytes.get(other)) {
        (Some(one), Some(other)) => Some(one == other),
        _ => None,
    };
    let end = at + BLOCK;
    // The first byte after the stretch, if it comes before the next grid block would lie in the stretch.
    let after = (end..end + stride)
        .map_while(|place| same(place, place - period).map(|same| (place, same)))
        .find(|&(_, same)| !same)
        .map(|(place, _)| place + 1 - BLOCK);
    let before = (at.saturating_sub(stride)..at)
        .rev()
        .map_while(|place| same(place, place + period).map(|same| (place, same)))
        .find(|&(_, same)| !same)
        .map(|(place, _)| place);
    [before, after]
}

type Hashed = Vec<(u64, u32)>;

/// Hashes pieces on several threads; the results stand in the order of the pieces.
fn hash_pieces(
    catalog: &Catalog,
    pieces: &[Piece],
    (stride, wanted): (u64, Option<&Filter>),
    threads: usize,
) -> Result<Vec<Hashed>, ReadError> {
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut done, mut buffer) = (Vec::new(), Vec::new());
        loop {
            let no = next.fetch_add(1, Ordering::Relaxed);
            let Some(piece) = pieces.get(no) else { return done };
            done.push((no, hash_piece(catalog, piece, (stride, wanted), &mut buffer)));
        }
    };
    let mut all: Vec<(usize, Result<Hashed, ReadError>)> = thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(pieces.len())).map(|_| scope.spawn(work)).collect();
        let mut all = work();
        for other in others {
            all.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        all
    });
    all.sort_unstable_by_key(|&(no, _)| no);
    all.into_iter().map(|(_, hashed)| hashed).collect()
}

fn hash_piece(
    catalog: &Catalog,
    piece: &Piece,
    (stride, wanted): (u64, Option<&Filter>),
    buffer: &mut Vec<u8>,
) -> Result<Hashed, ReadError> {
    let Some(content) = catalog.content(piece.content) else { return Ok(Vec::new()) };
    let Range { start, end } = piece.first * stride..(piece.first + piece.count) * stride;
    let range = ByteRange::new(start.saturating_sub(stride), (end + BLOCK as u64).min(content.len));
    buffer.resize(usize::try_from(range.len()).unwrap_or(0), 0);
    read_exact_at(&*content.blob, buffer, range.start).map_err(|error| content.failed(range.start, error))?;
    let ahead = usize::try_from(start - range.start).unwrap_or(0);
    let step = usize::try_from(stride).unwrap_or(usize::MAX);
    let mut hashed = Vec::new();
    for (number, no) in (piece.number..).zip(0..usize::try_from(piece.count).unwrap_or(0)) {
        let at = ahead + no * step;
        for place in stand_ins(buffer, at, stride) {
            let hash = hash(buffer.get(place..place + BLOCK).unwrap_or_default());
            if wanted.is_none_or(|wanted| wanted.may_hold(hash)) {
                hashed.push((hash, number));
            }
        }
    }
    Ok(hashed)
}
