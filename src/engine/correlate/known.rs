//! Copied runs that were found, so that no byte of them is compared again.

use std::collections::BTreeMap;

use crate::evidence::ByteRange;

/// Places for diagonals remembered beside the map: the runs of a few films, or of the photos that are sent at a time.
const RECENT: usize = 1 << 10;
/// Runs remembered in one place: an altered copy has one on each side of what was altered, both of one diagonal.
const WAYS: usize = 4;

/// Runs by diagonal (the place in the device minus the place in the leaves, both counted through all) and
/// start. Two runs of one diagonal never overlap, since each is as long as it gets.
#[derive(Default)]
pub(super) struct Known(BTreeMap<(u64, u64), u64>);

impl Known {
    /// Adds a run: where it stands in the leaves, and its diagonal.
    pub(super) fn add(&mut self, diagonal: u64, run: ByteRange) {
        self.0.insert((diagonal, run.start), run.end);
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The run that holds a place of the leaves.
    pub(super) fn at(&self, diagonal: u64, place: u64) -> Option<ByteRange> {
        let (&(_, start), &end) = self.0.range((diagonal, 0)..=(diagonal, place)).next_back()?;
        (place < end).then_some(ByteRange::new(start, end))
    }
}

/// The runs that were looked up last.
pub(super) struct Recent(Vec<[(u64, ByteRange); WAYS]>);

impl Recent {
    pub(super) fn new() -> Self {
        Self(vec![[(0, ByteRange::default()); WAYS]; RECENT])
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.0.fill([(0, ByteRange::default()); WAYS]);
    }

    /// Whether a run that was looked up lately holds the place.
    pub(super) fn holds(&self, diagonal: u64, place: u64) -> bool {
        let holds = |&(of, run): &(u64, ByteRange)| of == diagonal && run.start <= place && place < run.end;
        self.0.get(slot(diagonal)).is_some_and(|ways| ways.iter().any(holds))
    }

    /// Remembers a run in place of the one that was remembered first.
    pub(super) fn remember(&mut self, diagonal: u64, run: ByteRange) {
        if let Some(ways) = self.0.get_mut(slot(diagonal)) {
            ways.rotate_right(1);
            if let Some(first) = ways.first_mut() {
                *first = (diagonal, run);
            }
        }
    }
}

fn slot(diagonal: u64) -> usize {
    let mixed = diagonal.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - RECENT.trailing_zeros());
    usize::try_from(mixed).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_one_diagonal_are_remembered_beside_each_other() {
        let mut recent = Recent::new();
        let run = |no: u64| ByteRange::new(no * 100, no * 100 + 50);
        (0..WAYS as u64).for_each(|no| recent.remember(7, run(no)));
        assert!((0..WAYS as u64).all(|no| recent.holds(7, no * 100) && recent.holds(7, no * 100 + 49)));
        assert!(!recent.holds(7, 50) && !recent.holds(8, 0), "beside a run, or of another diagonal");
        recent.remember(7, run(99));
        assert!(!recent.holds(7, 0) && recent.holds(7, 9_900) && recent.holds(7, 100));
        recent.clear();
        assert!(!recent.holds(7, 100));
    }
}
