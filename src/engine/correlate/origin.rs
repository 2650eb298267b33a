//! Where the bytes of a leaf stood in the stream.

use serde::{Deserialize, Serialize};

use crate::{engine::decode::sink::Source, evidence::ByteRange};

/// Runs kept for one leaf. A gigabyte in 16 KiB chunks makes as many; beyond that the last run grows and
/// says only roughly where its bytes came from.
const MAX_RUNS: usize = 65_536;

/// Bytes of a leaf that came from one range of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    leaf: ByteRange,
    stream: ByteRange,
    /// Whether the bytes are the stream's, one for one.
    copied: bool,
}

impl Run {
    /// Which bytes of the leaf came from a range of the stream.
    pub(super) fn within(&self, range: ByteRange) -> Option<ByteRange> {
        let part = self.stream.intersection(range)?;
        let from = |at: u64| self.leaf.start + (at - self.stream.start);
        Some(if self.copied { ByteRange::new(from(part.start), from(part.end)) } else { self.leaf })
    }
}

/// A leaf's bytes traced to the stream: sorted runs without gaps in the leaf.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StreamMap {
    runs: Vec<Run>,
}

impl StreamMap {
    /// Adds the next `len` bytes of the leaf.
    pub(super) fn push(&mut self, len: u64, from: Source) {
        let start = self.runs.last().map_or(0, |run| run.leaf.end);
        let leaf = ByteRange::new(start, start.saturating_add(len));
        let stream = from.range();
        let run = Run { leaf, stream, copied: matches!(from, Source::Copied(_)) };
        let full = self.runs.len() >= MAX_RUNS;
        match self.runs.last_mut() {
            Some(last) if last.stream.end == stream.start && last.copied && run.copied => {
                last.leaf.end = run.leaf.end;
                last.stream.end = stream.end;
            }
            Some(last) if full => {
                last.copied = false;
                last.leaf.end = run.leaf.end;
                last.stream.start = last.stream.start.min(stream.start);
                last.stream.end = last.stream.end.max(stream.end);
            }
            _ => self.runs.push(run),
        }
    }

    /// Says that a further range was consumed for the bytes added last.
    pub(super) fn also(&mut self, stream: ByteRange) {
        let full = self.runs.len() >= MAX_RUNS;
        let Some(last) = self.runs.last_mut() else { return };
        if full {
            last.copied = false;
            last.stream.start = last.stream.start.min(stream.start);
            last.stream.end = last.stream.end.max(stream.end);
        } else {
            let leaf = last.leaf;
            self.runs.push(Run { leaf, stream, copied: false });
        }
    }

    /// The runs that hold bytes of a range of the leaf.
    pub(super) fn runs(&self, leaf: ByteRange) -> &[Run] {
        let first = self.runs.partition_point(|run| run.leaf.end <= leaf.start);
        let last = self.runs.partition_point(|run| run.leaf.start < leaf.end);
        self.runs.get(first..last).unwrap_or_default()
    }

    /// The ranges of the stream behind a range of the leaf, and whether any of its bytes were transformed
    /// (the stream's ranges then hold what was consumed for them, which may be more).
    pub(super) fn trace(&self, leaf: ByteRange) -> (Vec<ByteRange>, bool) {
        let first = self.runs.partition_point(|run| run.leaf.end <= leaf.start);
        let mut transformed = false;
        let ranges = self.runs.iter().skip(first).map_while(|run| {
            let part = run.leaf.intersection(leaf)?;
            if run.copied {
                let from = run.stream.start + (part.start - run.leaf.start);
                return Some(ByteRange::new(from, from + part.len()));
            }
            transformed = true;
            Some(run.stream)
        });
        let ranges = ByteRange::unite(ranges.collect::<Vec<_>>());
        (ranges, transformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange::new(start, end)
    }

    #[test]
    fn copied_neighbours_are_one_run_and_chunk_headers_stay_out() {
        let mut map = StreamMap::default();
        map.push(10, Source::Copied(range(100, 110)));
        map.push(5, Source::Copied(range(110, 115)));
        map.push(5, Source::Copied(range(120, 125)));
        assert_eq!(map.runs.len(), 2);
        assert_eq!(map.trace(range(12, 17)), (vec![range(112, 115), range(120, 122)], false));
        assert_eq!(map.trace(range(15, 20)), (vec![range(120, 125)], false));
    }

    #[test]
    fn transformed_bytes_give_what_was_consumed_for_them() {
        let mut map = StreamMap::default();
        map.push(4, Source::Copied(range(0, 4)));
        map.push(1_000, Source::Transformed(range(4, 50)));
        assert_eq!(map.trace(range(2, 10)), (vec![range(2, 50)], true));
        assert_eq!(map.trace(range(0, 4)), (vec![range(0, 4)], false));
    }

    #[test]
    fn bytes_may_come_from_several_ranges_and_neighbours_keep_their_own() {
        let mut map = StreamMap::default();
        map.push(4, Source::Transformed(range(0, 10)));
        map.push(6, Source::Transformed(range(10, 20)));
        map.also(range(300, 310));
        map.push(5, Source::Transformed(range(310, 320)));
        assert_eq!(map.trace(range(4, 5)), (vec![range(10, 20), range(300, 310)], true));
        assert_eq!(map.trace(range(0, 4)), (vec![range(0, 10)], true));
        assert_eq!(map.trace(range(10, 15)), (vec![range(310, 320)], true));
        assert_eq!(map.trace(range(0, 15)), (vec![range(0, 20), range(300, 320)], true));
    }

    #[test]
    fn a_flood_of_runs_ends_in_one_coarse_run() {
        let mut map = StreamMap::default();
        for no in 0..MAX_RUNS as u64 + 10 {
            map.push(1, Source::Copied(range(no * 2, no * 2 + 1)));
        }
        assert_eq!(map.runs.len(), MAX_RUNS);
        let last = MAX_RUNS as u64 + 9;
        let (ranges, transformed) = map.trace(range(last, last + 1));
        assert!(transformed && ranges[0].end == last * 2 + 1);
    }
}
