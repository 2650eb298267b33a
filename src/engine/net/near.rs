//! Bytes of the capture around those that were read lately: short streams lie close to each other.

use std::io;

use crate::evidence::{Blob, read_exact_at};

/// A longer read is none of a short stream.
pub(super) const MOST: u64 = 16 << 10;
/// Bytes that are read at once where reads come close to each other: some hundred small packets.
const BLOCK: u64 = 32 << 10;
/// Blocks kept, a MiB in all: some thousand packets, among which those of a short flow stand.
const BLOCKS: usize = 32;

/// Blocks of a capture, for all its streams.
#[derive(Debug, Default)]
pub(super) struct Near {
    blocks: Vec<Block>,
    /// Which is the next to be given up.
    oldest: usize,
    /// Blocks in which something was read lately and that are not kept.
    touched: Vec<u64>,
    touch: usize,
}

#[derive(Debug, Default)]
struct Block {
    at: u64,
    bytes: Vec<u8>,
}

impl Near {
    /// Fills `window` with the bytes from `start` to `end`, [`MOST`] or fewer.
    ///
    /// # Errors
    /// When these can't be read.
    pub(super) fn read(
        &mut self,
        blob: &dyn Blob,
        (start, end): (u64, u64),
        window: &mut Vec<u8>,
    ) -> io::Result<()> {
        window.clear();
        if let Some(bytes) = self.blocks.iter().find_map(|block| block.of(start, end)) {
            window.extend_from_slice(bytes);
            return Ok(());
        }
        let at = start / BLOCK * BLOCK;
        if self.is_touched(at) {
            // The second read in a block: more will follow. Where it can't be read, what is asked for perhaps can.
            let mut block = self.room();
            if block.fill(blob, at, at.saturating_add(BLOCK).min(blob.len()).max(end)).is_ok() {
                window.extend_from_slice(block.of(start, end).unwrap_or_default());
                self.blocks.push(block);
                return Ok(());
            }
        }
        window.resize(usize::try_from(end - start).unwrap_or(usize::MAX), 0);
        read_exact_at(blob, window, start)
    }

    /// Room for a block: that of the oldest.
    fn room(&mut self) -> Block {
        if self.blocks.len() < BLOCKS {
            return Block::default();
        }
        let oldest = self.oldest;
        self.oldest = (oldest + 1) % BLOCKS;
        self.blocks.swap_remove(oldest)
    }

    /// Whether a block was read in lately; from now on it was.
    fn is_touched(&mut self, at: u64) -> bool {
        if self.touched.contains(&at) {
            return true;
        }
        match self.touched.get_mut(self.touch) {
            Some(oldest) => *oldest = at,
            None => self.touched.push(at),
        }
        self.touch = (self.touch + 1) % BLOCKS;
        false
    }
}

impl Block {
    fn of(&self, start: u64, end: u64) -> Option<&[u8]> {
        let from = usize::try_from(start.checked_sub(self.at)?).ok()?;
        self.bytes.get(from..from.checked_add(usize::try_from(end.checked_sub(start)?).ok()?)?)
    }

    fn fill(&mut self, blob: &dyn Blob, start: u64, end: u64) -> io::Result<()> {
        self.at = start;
        self.bytes.resize(usize::try_from(end - start).unwrap_or(usize::MAX), 0);
        read_exact_at(blob, &mut self.bytes, start)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Bytes that count how often they are read, and can't be read beyond a place.
    struct Counted {
        bytes: Vec<u8>,
        readable: usize,
        reads: AtomicUsize,
    }

    impl Counted {
        fn new(len: usize, readable: usize) -> Self {
            let bytes = (0..len).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect();
            Self { bytes, readable, reads: AtomicUsize::new(0) }
        }
    }

    impl Blob for Counted {
        fn len(&self) -> u64 {
            self.bytes.len() as u64
        }

        fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            let rest = self.bytes[..self.readable].get(usize::try_from(offset).unwrap()..);
            let rest = rest.unwrap_or_default();
            let read = rest.len().min(buf.len());
            buf[..read].copy_from_slice(&rest[..read]);
            Ok(read)
        }
    }

    /// Reads as [`Near`] does, and compares; gives how often the blob was read for it.
    fn read(near: &mut Near, blob: &Counted, start: u64, end: u64) -> usize {
        let (before, mut window) = (blob.reads.load(Ordering::Relaxed), vec![1, 2, 3]);
        near.read(blob, (start, end), &mut window).unwrap();
        assert_eq!(window, blob.bytes[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()]);
        blob.reads.load(Ordering::Relaxed) - before
    }

    #[test]
    fn the_second_read_in_a_block_brings_all_of_it() {
        let blob = Counted::new(100_000, 100_000);
        let mut near = Near::default();
        assert_eq!(read(&mut near, &blob, 40, 50), 1);
        assert_eq!(read(&mut near, &blob, 9_000, 9_100), 1, "near it");
        assert_eq!(read(&mut near, &blob, 40, 50), 0);
        assert_eq!(read(&mut near, &blob, 0, 16_384), 0);
        assert_eq!(read(&mut near, &blob, 32_760, 32_768), 0, "to the end of the block");
        assert_eq!(read(&mut near, &blob, 32_760, 32_769), 1, "over its end");
        assert_eq!(read(&mut near, &blob, 99_000, 99_100), 1);
        assert_eq!(read(&mut near, &blob, 99_100, 100_000), 1, "the last block is shorter");
        assert_eq!(read(&mut near, &blob, 98_304, 99_999), 0);
    }

    #[test]
    fn reads_far_from_each_other_bring_no_more_than_they_ask_for() {
        let blob = Counted::new(4 << 20, 4 << 20);
        let mut near = Near::default();
        for at in (0..4 << 20).step_by(40_000) {
            assert_eq!(read(&mut near, &blob, at, at + 10), 1);
        }
        assert_eq!((near.blocks.len(), near.touched.len()), (0, BLOCKS));
    }

    #[test]
    fn as_many_blocks_are_kept_as_there_is_room_for() {
        let blob = Counted::new(4 << 20, 4 << 20);
        let mut near = Near::default();
        for at in (0..4 << 20).step_by(32 << 10) {
            assert_eq!(read(&mut near, &blob, at, at + 10), 1);
            assert_eq!(read(&mut near, &blob, at + 20, at + 30), 1);
            assert_eq!(read(&mut near, &blob, at, at + 10), 0);
        }
        assert_eq!(near.blocks.len(), BLOCKS);
    }

    #[test]
    fn what_can_be_read_is_read_where_the_rest_of_its_block_cannot() {
        let blob = Counted::new(30_000, 20_000);
        let mut near = Near::default();
        read(&mut near, &blob, 10, 20);
        read(&mut near, &blob, 19_000, 20_000);
        near.read(&blob, (19_000, 20_001), &mut Vec::new()).unwrap_err();
        read(&mut near, &blob, 19_001, 20_000);
    }
}
