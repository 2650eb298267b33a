//! Copied runs that were found, so that no byte of them is compared again.

use std::collections::BTreeMap;

use crate::evidence::ByteRange;

/// Diagonals remembered beside the map: the runs of a few films, or of the photos that are sent at a time.
const RECENT: usize = 1 << 10;

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
pub(super) struct Recent(Vec<(u64, ByteRange)>);

impl Recent {
    pub(super) fn new() -> Self {
        Self(vec![(0, ByteRange::default()); RECENT])
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.0.fill((0, ByteRange::default()));
    }

    /// Whether a run that was looked up lately holds the place.
    pub(super) fn holds(&self, diagonal: u64, place: u64) -> bool {
        self.0
            .get(slot(diagonal))
            .is_some_and(|&(of, run)| of == diagonal && run.start <= place && place < run.end)
    }

    /// Remembers a run.
    pub(super) fn remember(&mut self, diagonal: u64, run: ByteRange) {
        if let Some(slot) = self.0.get_mut(slot(diagonal)) {
            *slot = (diagonal, run);
        }
    }
}

fn slot(diagonal: u64) -> usize {
    let mixed = diagonal.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - RECENT.trailing_zeros());
    usize::try_from(mixed).unwrap_or(0)
}
