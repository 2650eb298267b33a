//! Anchors: the places of a content at which it is compared with another, chosen by the bytes alone.
//!
//! A block is 32 bytes. Each block has a rank that follows from its bytes, and a window is a number of blocks
//! that begin one byte apart; its anchor is the block of the lowest rank, the first of equals. Of the device's
//! contents the anchors of windows on a grid are taken, of leaves the anchors of all windows.
//!
//! *Why no copied run of `min_run` bytes is missed.* With windows of `width` blocks, `width + 31` bytes, on a grid of
//! `stride` bytes, `stride + width + 30 = min_run`: wherever the run stands in the device's content, it holds a whole
//! window of the grid. The leaf holds the same bytes, so it has the same window with the same anchor. A width of 1
//! is a plain grid against every byte of the leaf; a larger width gives leaves fewer anchors and the device more.
//!
//! *Periodic content.* A block of period 16 or less (zeros, fill patterns) is never an anchor. Where a window holds
//! no other block, the two blocks that reach one byte beyond its periodic stretch are anchors instead. A run that is
//! not periodic from end to end and holds such a window holds one of these two as well: all blocks of the window
//! belong to one stretch (two stretches that share 31 bytes are one, by Fine and Wilf's theorem), which ends
//! within the run. Runs that are periodic from end to end carry no weight and are not looked for.

use crate::evidence::ByteRange;

/// Bytes that are compared at first. Shorter blocks would allow wider windows, but ordinary content repeats
/// them more often.
pub(super) const BLOCK: usize = 32;
/// The shortest `min_run`: windows of a few blocks on a grid of a few bytes have to fit in.
pub(super) const MIN_RUN: u32 = 64;
/// The longest period of content that is not searched for: Fine and Wilf's theorem needs two periods within 31
/// bytes.
const MAX_PERIOD: usize = 16;
/// A one in each byte.
const ONES: u64 = 0x0101_0101_0101_0101;
/// Bytes that a block's rank is made of.
const RANKED: usize = 4;
/// A block's place in its window stands in the low bits of its rank.
const PLACE_BITS: u32 = 6;
/// The most blocks of a window: their places stay below the last one, which is [`NEVER`]'s.
const MAX_WIDTH: usize = (1 << PLACE_BITS) - 1;
/// The rank of blocks that are no anchors.
const NEVER: i16 = i16::MAX;

/// A block that was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Anchor {
    /// Where it begins.
    pub(super) at: usize,
    /// The hash of its bytes.
    pub(super) hash: u64,
}

/// Hashes bytes: four words at a time are multiplied with each other. Not for strangers' keys: what it finds
/// equal is compared.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    if let Ok(block) = bytes.try_into() {
        return hash_block(block, 0);
    }
    bytes.chunks(BLOCK).fold(0, |hash, chunk| {
        let mut block = [0; BLOCK];
        block.iter_mut().zip(chunk).for_each(|(to, &from)| *to = from);
        hash_block(&block, hash)
    })
}

fn hash_block(block: &[u8; BLOCK], seed: u64) -> u64 {
    let (words, _) = block.as_chunks::<8>();
    let word = |no: usize| words.get(no).map_or(0, |&word| u64::from_le_bytes(word));
    // Odd constants of splitmix64 and Knuth's MMIX; any would do.
    let one = folded(word(0) ^ 0x9e37_79b9_7f4a_7c15, word(1) ^ 0xbf58_476d_1ce4_e5b9 ^ seed);
    let other = folded(word(2) ^ 0x94d0_49bb_1331_11eb, word(3) ^ 0x5851_f42d_4c95_7f2d);
    folded(one ^ 0x2545_f491_4f6c_dd1d, other ^ 0x1405_7b7e_f767_814f)
}

/// Both halves of the product, one over the other.
fn folded(one: u64, other: u64) -> u64 {
    let (low, high) = one.carrying_mul(other, 0);
    low ^ high
}

/// The windows of both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Windows {
    /// Blocks in a window.
    width: usize,
    /// Bytes between two windows of the grid.
    stride: usize,
}

impl Windows {
    /// Windows of `width` blocks, or as many as `min_run` has room for.
    pub(super) fn new(min_run: u32, width: usize) -> Self {
        let min_run = usize::try_from(min_run.max(MIN_RUN)).unwrap_or(usize::MAX);
        let both = min_run + 2 - BLOCK;
        let width = width.clamp(1, MAX_WIDTH.min(both - 1));
        Self { width, stride: both - width }
    }

    /// The shortest run that is found for sure.
    pub(super) fn min_run(self) -> usize {
        self.width + self.stride + BLOCK - 2
    }

    /// Bytes of a leaf for one anchor, where nothing repeats.
    pub(super) fn bytes_per_anchor(self) -> u64 {
        (self.width as u64).div_ceil(2)
    }

    /// Bytes between two windows of the grid.
    pub(super) fn stride(self) -> usize {
        self.stride
    }

    /// Bytes that a window holds.
    pub(super) fn bytes(self) -> usize {
        self.width + BLOCK - 1
    }

    /// Bytes before and after windows of the grid that have to be there, unless the content begins or ends:
    /// anchors of periodic stretches are looked for in them.
    pub(super) fn margin(self) -> usize {
        self.stride + 1
    }

    /// Takes the anchors of `count` windows of the grid, the first of which begins at `first`.
    pub(super) fn of_grid(self, bytes: &[u8], first: usize, count: usize, found: &mut Vec<Anchor>) {
        for at in (first..).step_by(self.stride).take(count) {
            let Some(window) = bytes.get(at..at + self.bytes()) else { return };
            let place = lowest(window, self.width);
            match block_at(window, place) {
                Some(block) if period(block).is_none() => {
                    found.push(Anchor { at: at + place, hash: hash_block(block, 0) });
                }
                _ => self.of_periodic(bytes, at, found),
            }
        }
    }

    /// The anchor of a window that holds periodic blocks, or those in its place.
    #[cold]
    fn of_periodic(self, bytes: &[u8], at: usize, found: &mut Vec<Anchor>) {
        // No farther than the next windows of the grid: those look for themselves.
        let from = at.saturating_sub(self.stride);
        let to = (at + self.bytes() + self.stride).min(bytes.len());
        let around = bytes.get(from..to).unwrap_or_default();
        let mut ranks = Vec::new();
        rank(around, &mut ranks);
        let window = at - from..at - from + self.width;
        while let Some((place, _)) = leftmost(&ranks, window.start, window.end) {
            let Some(block) = block_at(around, place) else { return };
            match period(block) {
                None => {
                    found.push(Anchor { at: from + place, hash: hash_block(block, 0) });
                    return;
                }
                Some(period) => mask(around, place, period, &mut ranks, &mut |_| {}),
            }
        }
        // No block of the window is left, so they are all of one stretch.
        if let Some(period) = block_at(around, window.start).and_then(period) {
            mask(around, window.start, period, &mut ranks, &mut |place| {
                found.extend(anchor(around, place, from));
            });
        }
    }

    /// Takes the anchors of all windows. `ranks` is a buffer.
    pub(super) fn of_all(self, bytes: &[u8], ranks: &mut Vec<i16>, found: &mut Vec<Anchor>) {
        ranks.clear();
        if bytes.len() < self.bytes() {
            return;
        }
        rank(bytes, ranks);
        // The first window's blocks, then each window's new one.
        let mut end = self.width;
        let mut low = self.choose(bytes, end, ranks, found);
        while end < ranks.len() {
            let (place, rank) = low;
            let leaves = (place + self.width).min(ranks.len());
            let lower = ranks
                .get(end..leaves)
                .and_then(|news| news.iter().position(|&new| new < rank))
                .map(|ahead| end + ahead);
            match lower {
                Some(next) => {
                    end = next + 1;
                    low = self.settle(
                        bytes,
                        (next, ranks.get(next).copied().unwrap_or(NEVER)),
                        end,
                        ranks,
                        found,
                    );
                }
                None if leaves < ranks.len() => {
                    end = leaves + 1;
                    low = self.choose(bytes, end, ranks, found);
                }
                None => return,
            }
        }
    }

    /// Takes the anchor of the window whose last block is the one before `end`.
    fn choose(self, bytes: &[u8], end: usize, ranks: &mut Vec<i16>, found: &mut Vec<Anchor>) -> (usize, i16) {
        let start = end - self.width;
        match leftmost(ranks, start, end) {
            Some(low) => self.settle(bytes, low, end, ranks, found),
            // The next block that may be an anchor is one.
            None => (end - 1, NEVER),
        }
    }

    /// Takes a block as an anchor, or where it is periodic the next one of its window.
    fn settle(
        self,
        bytes: &[u8],
        (place, rank): (usize, i16),
        end: usize,
        ranks: &mut Vec<i16>,
        found: &mut Vec<Anchor>,
    ) -> (usize, i16) {
        let Some(block) = block_at(bytes, place) else { return (place, rank) };
        let Some(period) = period(block) else {
            found.push(Anchor { at: place, hash: hash_block(block, 0) });
            return (place, rank);
        };
        mask(bytes, place, period, ranks, &mut |place| found.extend(anchor(bytes, place, 0)));
        self.choose(bytes, end, ranks, found)
    }
}

fn anchor(bytes: &[u8], place: usize, before: usize) -> Option<Anchor> {
    Some(Anchor { at: before + place, hash: hash_block(block_at(bytes, place)?, 0) })
}

fn block_at(bytes: &[u8], place: usize) -> Option<&[u8; BLOCK]> {
    bytes.get(place..)?.first_chunk()
}

/// A block's rank by its first bytes: a linear hash in sixteen bits, so that the compiler can make eight at once.
fn rank_of(bytes: [u8; RANKED]) -> i16 {
    let [a, b, c, d] = bytes;
    let (one, other) = (i16::from_le_bytes([a, b]), i16::from_le_bytes([c, d]));
    let mixed = one.wrapping_mul(0x4f6d) ^ other.wrapping_mul(-0x64b3);
    mixed.wrapping_mul(0x2c1b) & !((1 << PLACE_BITS) - 1)
}

/// The ranks of all blocks.
fn rank(bytes: &[u8], ranks: &mut Vec<i16>) {
    let blocks = (bytes.len() + 1).saturating_sub(BLOCK);
    ranks.extend(shifted(bytes).map(rank_of).take(blocks));
}

/// Each byte with the three that follow it.
fn shifted(bytes: &[u8]) -> impl Iterator<Item = [u8; RANKED]> {
    let after = |no: usize| bytes.get(no..).unwrap_or_default();
    let pairs = after(0).iter().zip(after(1)).zip(after(2).iter().zip(after(3)));
    pairs.map(|((&a, &b), (&c, &d))| [a, b, c, d])
}

/// Places of a window's blocks.
const PLACES: [i16; MAX_WIDTH] = places();

#[expect(clippy::indexing_slicing, reason = "a constant: it would fail to compile")]
const fn places() -> [i16; MAX_WIDTH] {
    let mut places = [0; MAX_WIDTH];
    let (mut no, mut place) = (0, 0);
    while no < MAX_WIDTH {
        places[no] = place;
        no += 1;
        place += 1;
    }
    places
}

/// The place of the block with the lowest rank in a window of `width` blocks, the first of equals.
fn lowest(window: &[u8], width: usize) -> usize {
    let ranked = shifted(window).take(width).zip(&PLACES).map(|(bytes, place)| rank_of(bytes) | place);
    let low = ranked.fold(NEVER, i16::min);
    usize::try_from(low & ((1 << PLACE_BITS) - 1)).unwrap_or(0)
}

/// The block with the lowest rank from `start` to `end`, the first of equals, if any may be an anchor.
fn leftmost(ranks: &[i16], start: usize, end: usize) -> Option<(usize, i16)> {
    let window = ranks.get(start..end)?;
    let low = window.iter().copied().fold(NEVER, i16::min);
    if low == NEVER {
        return None;
    }
    window.iter().position(|&rank| rank == low).map(|place| (start + place, low))
}

/// Makes the blocks of the periodic stretch around `place` no anchors, and names the blocks that reach one byte
/// beyond its ends.
fn mask(bytes: &[u8], place: usize, period: usize, ranks: &mut [i16], beyond: &mut dyn FnMut(usize)) {
    let stretch = stretch(bytes, place, period);
    let (start, end) = (index(stretch.start), index(stretch.end));
    if let Some(blocks) = ranks.get_mut(start..(end + 1).saturating_sub(BLOCK)) {
        blocks.fill(NEVER);
    }
    if let Some(before) = start.checked_sub(1) {
        beyond(before);
    }
    if end < bytes.len() {
        beyond(end + 1 - BLOCK);
    }
}

fn index(place: u64) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

/// How far the period of the block at `place` goes to both sides.
fn stretch(bytes: &[u8], place: usize, period: usize) -> ByteRange {
    let ahead = bytes.get(place + period..).unwrap_or_default();
    let same = ahead.iter().zip(bytes.get(place..).unwrap_or_default());
    let end = place + period + same.take_while(|(one, other)| one == other).count();
    let behind = bytes.get(..place).unwrap_or_default();
    let same = behind.iter().rev().zip(bytes.get(..place + period).unwrap_or_default().iter().rev());
    let start = place - same.take_while(|(one, other)| one == other).count();
    ByteRange::new(start as u64, end as u64)
}

/// The smallest period of a block, if it is [`MAX_PERIOD`] or less.
fn period(block: &[u8; BLOCK]) -> Option<usize> {
    // The first byte comes again after a period: hardly any block of ordinary content gets farther. Sixteen bytes are
    // compared in two words; where a byte is equal its difference is zero, and borrows from its highest bit.
    let (words, _) = block.as_chunks::<8>();
    let word = |no: usize| words.get(no).map_or(0, |&word| u64::from_le_bytes(word));
    let first = (word(0) & 0xff) * ONES;
    let differs = |no: usize| (word(no) >> 8 | word(no + 1) << 56) ^ first;
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & ONES << 7;
    if zero(differs(0)) | zero(differs(1)) == 0 {
        return None;
    }
    (1..=MAX_PERIOD)
        .find(|&period| block.iter().zip(block.iter().skip(period)).all(|(one, next)| one == next))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes of all kinds one after another: noise, zeros, patterns of periods on both sides of the limit, and
    /// text of few letters, in which blocks repeat.
    fn content() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            prop::collection::vec(any::<u8>(), 1..80),
            (any::<u8>(), 1..150_usize).prop_map(|(byte, len)| vec![byte; len]),
            (prop::collection::vec(any::<u8>(), 1..20), 1..150_usize).prop_map(|(unit, len)| unit
                .into_iter()
                .cycle()
                .take(len)
                .collect()),
            prop::collection::vec(prop::sample::select(b"ab".to_vec()), 1..60),
        ];
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    fn all(windows: Windows, bytes: &[u8]) -> Vec<Anchor> {
        let mut found = Vec::new();
        windows.of_all(bytes, &mut Vec::new(), &mut found);
        found
    }

    fn grid(windows: Windows, bytes: &[u8]) -> Vec<Anchor> {
        let mut found = Vec::new();
        windows.of_grid(bytes, 0, bytes.len(), &mut found);
        found
    }

    #[test]
    fn periods_are_told_whatever_stands_in_a_block() {
        for len in 1..=BLOCK {
            let mut block = [0; BLOCK];
            // Bytes on both sides of each bit that the comparison of words looks at.
            block.iter_mut().enumerate().for_each(|(no, byte)| {
                *byte = [0x80, 0x7f, 0, 1, 0xff][no % len % 5] ^ u8::try_from(no % len).unwrap()
            });
            let naive = (1..=MAX_PERIOD).find(|period| block[*period..] == block[..BLOCK - period]);
            assert_eq!(period(&block), naive, "{block:x?}");
            assert!(naive.is_some() || len > MAX_PERIOD);
        }
    }

    fn is_periodic(bytes: &[u8]) -> bool {
        (1..=MAX_PERIOD).any(|period| bytes.iter().zip(&bytes[period..]).all(|(one, next)| one == next))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 600, max_global_rejects: 60_000, ..ProptestConfig::default() })]

        /// The guarantee: whatever stands around it in either, a run gives both sides one anchor in common.
        #[test]
        fn a_copied_run_has_a_common_anchor(
            (before, run, after) in (content(), content(), content()),
            (other, another) in (content(), content()),
            (min_run, width) in (64..200_u32, 1..64_usize),
            from in any::<prop::sample::Index>(),
        ) {
            let windows = Windows::new(min_run, width);
            let len = windows.min_run();
            prop_assert_eq!(len, min_run as usize);
            prop_assume!(run.len() >= len);
            let from = from.index(run.len() - len + 1);
            let copied = &run[from..from + len];
            prop_assume!(!is_periodic(copied));
            let held = [&before[..], &run, &after].concat();
            let sent = [&other[..], copied, &another].concat();
            let from = before.len() + from;
            let in_run = |anchor: &Anchor| anchor.at >= from && anchor.at + BLOCK <= from + len;
            let sent_anchors = all(windows, &sent);
            let common = grid(windows, &held).into_iter().filter(in_run).any(|anchor| {
                let there = Anchor { at: anchor.at - from + other.len(), ..anchor };
                sent_anchors.contains(&there)
            });
            prop_assert!(common);
        }

        /// What is chosen depends on the window alone, and no periodic block is.
        #[test]
        fn anchors_are_the_lowest_blocks_of_windows(bytes in content(), width in 1..64_usize) {
            let windows = Windows::new(128, width);
            let mut ranks = Vec::new();
            rank(&bytes, &mut ranks);
            let usable = |at: &usize| period(block_at(&bytes, *at).unwrap()).is_none();
            let lowest: Vec<usize> = (0..(ranks.len() + 1).saturating_sub(width))
                .filter_map(|at| (at..at + width).filter(usable).min_by_key(|&at| (ranks[at], at)))
                .collect();
            let found = all(windows, &bytes);
            for at in &lowest {
                prop_assert!(found.iter().any(|anchor| anchor.at == *at), "{at}");
            }
            for anchor in &found {
                prop_assert!(usable(&anchor.at));
                prop_assert_eq!(anchor.hash, hash(&bytes[anchor.at..anchor.at + BLOCK]));
                let beyond = |at: usize| at + BLOCK <= bytes.len() && !usable(&at);
                prop_assert!(
                    lowest.contains(&anchor.at)
                        || beyond(anchor.at + 1)
                        || anchor.at.checked_sub(1).is_some_and(beyond)
                );
            }
        }
    }

    #[test]
    fn noise_has_as_many_anchors_as_its_windows_need() {
        let noise: Vec<u8> = (0..40_000_u64).flat_map(|no| hash(&no.to_le_bytes()).to_le_bytes()).collect();
        let windows = Windows::new(128, 56);
        let expected = noise.len() / usize::try_from(windows.bytes_per_anchor()).unwrap();
        let found = all(windows, &noise).len();
        assert!(found * 10 > expected * 9 && found * 10 < expected * 11, "{found} for {expected}");
        assert_eq!(grid(windows, &noise).len(), (noise.len() - windows.bytes()) / windows.stride() + 1);
    }

    #[test]
    fn zeros_have_no_anchors_and_their_ends_have() {
        let windows = Windows::new(128, 56);
        let zeros = vec![0; 100_000];
        assert_eq!((all(windows, &zeros), grid(windows, &zeros)), (Vec::new(), Vec::new()));
        let ended = [&[1; 1][..], &zeros, &[1; 1]].concat();
        let places = |anchors: Vec<Anchor>| {
            let mut places: Vec<usize> = anchors.iter().map(|anchor| anchor.at).collect();
            places.sort_unstable();
            places.dedup();
            places
        };
        assert_eq!(places(all(windows, &ended)), [0, 100_002 - BLOCK]);
        assert_eq!(places(grid(windows, &ended)), [0, 100_002 - BLOCK]);
    }
}
