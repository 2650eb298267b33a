//! Which bytes of a content carry weight, and how many bits they are worth.
//!
//! Content is looked at in cells of 32 bytes on its own grid. A cell carries weight when it holds at least
//! eight different byte values and is not equal to a cell before it (of the last tens of thousands; equal
//! cells farther apart are seen as often as not). Its bytes are worth one bit each, and
//! a quarter of that in plain text: far less than photos hold, and about what is left of text when one
//! grants that most of it is boilerplate. docs/decisions/004-probative-matches.md has the reasons.

use super::{anchor, catalog::Content};
use crate::evidence::{ByteRange, ReadError, read_exact_at};

/// Bytes that are judged together.
const CELL: u64 = 32;
/// Different byte values that a cell needs: UTF-16 text has nine or ten, zeros with a few flags fewer.
const MIN_VALUES: u32 = 8;
/// A whole file's cells are counted up to here, sixteen times what "uploads a photo" needs.
const PLENTY: u64 = 64 << 10;
/// Cells remembered of one content, each in the place that its hash gives: 256 KiB.
const REMEMBERED: usize = 1 << 15;
/// Bytes read at a time; a multiple of the cell.
const READ: u64 = 64 << 10;

/// Bytes of a content that carry weight, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Weight {
    binary: Vec<ByteRange>,
    text: Vec<ByteRange>,
}

impl Weight {
    /// Weighs parts of a content. Cells that are only partly in them count nothing.
    ///
    /// # Errors
    /// When the file can't be read.
    pub(super) fn of_parts(content: &Content, parts: &[ByteRange]) -> Result<Self, ReadError> {
        let mut scale = Scale::new();
        for part in parts {
            let inner = ByteRange::new(part.start.next_multiple_of(CELL), part.end / CELL * CELL);
            let inner = if part.end == content.len { ByteRange { end: part.end, ..inner } } else { inner };
            scale.weigh(content, inner, u64::MAX)?;
        }
        Ok(scale.into_weight())
    }

    /// Weighs a whole content, no further than is plenty.
    ///
    /// # Errors
    /// When the file can't be read.
    pub(super) fn of_whole(content: &Content) -> Result<Self, ReadError> {
        let mut scale = Scale::new();
        scale.weigh(content, ByteRange::new(0, content.len), PLENTY)?;
        Ok(scale.into_weight())
    }

    /// What of it lies in `range` and outside `shared`.
    pub(super) fn within(&self, range: ByteRange, shared: &[ByteRange]) -> Self {
        let part = |ranges: &[ByteRange]| {
            let first = ranges.partition_point(|one| one.end <= range.start);
            let inside = ranges.iter().skip(first).map_while(|one| one.intersection(range));
            subtract(inside, shared)
        };
        Self { binary: part(&self.binary), text: part(&self.text) }
    }

    /// All bytes that carry weight.
    pub(super) fn ranges(&self) -> Vec<ByteRange> {
        ByteRange::unite(self.binary.iter().chain(&self.text).copied())
    }

    /// What they are worth, in thousandths of a bit.
    pub(super) fn millibits(&self) -> u64 {
        let bytes = |ranges: &[ByteRange]| ranges.iter().map(|range| range.len()).sum::<u64>();
        bytes(&self.binary) * 1_000 + bytes(&self.text) * 250
    }
}

/// Sorted ranges without what lies in `holes` (sorted, apart).
fn subtract(ranges: impl Iterator<Item = ByteRange>, holes: &[ByteRange]) -> Vec<ByteRange> {
    let mut left = Vec::new();
    for range in ranges {
        let mut start = range.start;
        let first = holes.partition_point(|hole| hole.end <= range.start);
        for hole in holes.iter().skip(first).take_while(|hole| hole.start < range.end) {
            if hole.start > start {
                left.push(ByteRange::new(start, hole.start));
            }
            start = start.max(hole.end);
        }
        if start < range.end {
            left.push(ByteRange::new(start, range.end));
        }
    }
    left
}

/// Cells of one content that were seen.
struct Scale {
    seen: Vec<u64>,
    weight: Weight,
    total: u64,
}

impl Scale {
    fn new() -> Self {
        Self { seen: vec![0; REMEMBERED], weight: Weight::default(), total: 0 }
    }

    /// Remembers a cell; says whether it was not there yet.
    fn is_new(&mut self, cell: &[u8]) -> bool {
        let hash = anchor::hash(cell) | 1;
        let place = usize::try_from(hash >> (u64::BITS - REMEMBERED.trailing_zeros())).unwrap_or(0);
        let Some(last) = self.seen.get_mut(place) else { return false };
        std::mem::replace(last, hash) != hash
    }

    fn weigh(&mut self, content: &Content, part: ByteRange, enough: u64) -> Result<(), ReadError> {
        let (mut at, mut buffer) = (part.start, Vec::new());
        while at < part.end && self.total < enough {
            let len = READ.min(part.end - at);
            buffer.resize(usize::try_from(len).unwrap_or(0), 0);
            read_exact_at(&*content.blob, &mut buffer, at).map_err(|error| content.failed(at, error))?;
            for cell in buffer.chunks(usize::try_from(CELL).unwrap_or(1)) {
                self.cell(cell, at);
                at += cell.len() as u64;
            }
        }
        Ok(())
    }

    fn cell(&mut self, cell: &[u8], at: u64) {
        if !is_varied(cell) || !self.is_new(cell) {
            return;
        }
        let range = ByteRange::new(at, at + cell.len() as u64);
        let text = cell.iter().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e));
        let ranges = if text { &mut self.weight.text } else { &mut self.weight.binary };
        match ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => ranges.push(range),
        }
        self.total += range.len();
    }

    fn into_weight(self) -> Weight {
        self.weight
    }
}

/// Whether there are enough different byte values.
fn is_varied(cell: &[u8]) -> bool {
    let mut seen = [0_u64; 4];
    // Of most content the first nine bytes do.
    cell.chunks(9).any(|bytes| {
        for &byte in bytes {
            if let Some(word) = seen.get_mut(usize::from(byte >> 6)) {
                *word |= 1 << (byte & 63);
            }
        }
        seen.iter().map(|word| word.count_ones()).sum::<u32>() >= MIN_VALUES
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtracting_leaves_what_is_outside_every_hole() {
        let range = ByteRange::new;
        let ranges = [range(0, 10), range(20, 30), range(40, 50)];
        let holes = [range(2, 4), range(8, 25), range(40, 50)];
        let left = subtract(ranges.into_iter(), &holes);
        assert_eq!(left, [range(0, 2), range(4, 8), range(25, 30)]);
    }

    #[test]
    fn zeros_flags_and_repetitions_weigh_nothing() {
        let mut scale = Scale::new();
        let cell: Vec<u8> = (0..32).map(|no| no * 7).collect();
        scale.cell(&[0; 32], 0);
        scale.cell(&[[0_u8; 28].as_slice(), &[1, 2, 3, 4]].concat(), 32);
        scale.cell(&cell, 64);
        scale.cell(&cell, 96);
        scale.cell(b"the quick brown fox jumps over t", 128);
        assert_eq!(scale.weight.binary, [ByteRange::new(64, 96)]);
        assert_eq!(scale.weight.text, [ByteRange::new(128, 160)]);
        assert_eq!(scale.weight.millibits(), 32_000 + 8_000);
    }
}
