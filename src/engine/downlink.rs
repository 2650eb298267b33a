//! What came down before it went up: such bytes need not be the phone's own.

use std::collections::BTreeMap;

use super::{
    correlate::{Artifact, Hit},
    located::{Carriage, HitKey},
    verdict::gates::SMALLEST_PHOTO,
};
use crate::{
    evidence::{ByteRange, Direction, Timestamp},
    findings::Grade,
};

/// Bytes of artifacts that came down, with their times.
#[derive(Debug, Default)]
pub(super) struct Downlink(BTreeMap<Artifact, Vec<(Timestamp, ByteRange)>>);

/// What is left of a finding when the bytes that had come down before are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Own {
    /// Bytes (of a value: 1 or 0) that were not seen coming down before they went up.
    pub(super) bytes: u64,
    /// Whether that is too little to stand for the finding.
    pub(super) too_little: bool,
}

impl Downlink {
    /// Collects the hits of the downlink.
    pub(super) fn of(hits: &[Hit], carriages: &BTreeMap<HitKey, Carriage>) -> Self {
        let mut seen = Self::default();
        for hit in hits.iter().filter(|hit| hit.leaf.direction == Direction::Down) {
            if let Some(carriage) = carriages.get(&HitKey::of(hit)) {
                seen.0.entry(hit.artifact).or_default().push((carriage.first, hit.artifact_range));
            }
        }
        seen
    }

    /// Leaves out of an artifact's uplink hits what had come down when each of them began.
    pub(super) fn without(&self, artifact: Artifact, carried: &[(&Hit, &Carriage)]) -> Own {
        let mut came_down = self.0.get(&artifact).cloned().unwrap_or_default();
        if let Artifact::CopyOf(id) = artifact {
            // The photo itself came down, or enough of it.
            let photo = self.0.get(&Artifact::Content(id)).into_iter().flatten();
            let enough = photo.filter(|(_, range)| range.len() >= SMALLEST_PHOTO);
            let whole = carried.first().map(|(hit, _)| hit.artifact_range);
            came_down.extend(enough.filter_map(|(time, _)| Some((*time, whole?))));
        }
        left(
            &came_down,
            carried.iter().map(|(hit, carriage)| {
                let partial = hit.grade == Grade::Partial;
                let whole = std::slice::from_ref(&hit.artifact_range);
                (carriage.first, if partial { hit.probative_ranges.as_slice() } else { whole })
            }),
        )
    }
}

fn left<'h>(down: &[(Timestamp, ByteRange)], up: impl Iterator<Item = (Timestamp, &'h [ByteRange])>) -> Own {
    let (mut own, mut all) = (Vec::new(), Vec::new());
    for (first, ranges) in up {
        let before = down.iter().filter(|(time, _)| *time <= first).map(|(_, range)| *range);
        all.extend_from_slice(ranges);
        own.extend(subtract(ranges, &ByteRange::unite(before)));
    }
    let (bytes, of) = (ByteRange::covered(own), ByteRange::covered(all));
    Own { bytes, too_little: bytes < SMALLEST_PHOTO.min(of) }
}

/// Ranges without what lies in `holes` (sorted, apart).
fn subtract(ranges: &[ByteRange], holes: &[ByteRange]) -> Vec<ByteRange> {
    let mut left = Vec::new();
    for range in ranges {
        let mut start = range.start;
        for hole in holes.iter().filter_map(|hole| hole.intersection(*range)) {
            left.push(ByteRange::new(start, hole.start));
            start = hole.end;
        }
        left.push(ByteRange::new(start, range.end));
    }
    left.retain(|range| !range.is_empty());
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(down: &[(u64, u64, u64)], up: &[(u64, u64, u64)]) -> (u64, bool) {
        let at = |&(time, start, end): &(u64, u64, u64)| (Timestamp(time), ByteRange::new(start, end));
        let down: Vec<_> = down.iter().map(at).collect();
        let up: Vec<_> = up.iter().map(at).map(|(time, range)| (time, [range])).collect();
        let Own { bytes, too_little } =
            left(&down, up.iter().map(|(time, ranges)| (*time, ranges.as_slice())));
        (bytes, too_little)
    }

    #[test]
    fn what_came_down_first_is_not_the_phones_own() {
        assert_eq!(own(&[(1, 0, 100_000)], &[(2, 0, 100_000)]), (0, true), "the whole photo");
        assert_eq!(own(&[(2, 0, 100_000)], &[(2, 0, 100_000)]), (0, true), "at the same moment");
        assert_eq!(own(&[(3, 0, 100_000)], &[(2, 0, 100_000)]), (100_000, false), "an echo");
        // A profile of colours that every second picture of the web holds.
        assert_eq!(own(&[(1, 500, 3_644)], &[(2, 0, 100_000)]), (96_856, false));
        assert_eq!(own(&[(1, 0, 97_000)], &[(2, 0, 100_000)]), (3_000, true), "too little is left");
        // A few bytes that went up first don't make the rest the phone's own.
        assert_eq!(own(&[(2, 0, 100_000)], &[(1, 0, 200), (3, 0, 100_000)]), (200, true));
        assert_eq!(own(&[(1, 0, 15)], &[(2, 0, 15)]), (0, true), "a value");
        assert_eq!(own(&[], &[(2, 0, 15)]), (15, false));
        assert_eq!(
            own(&[], &[(2, 0, 0)]),
            (0, false),
            "no probative range at all is another caveat's matter"
        );
    }

    #[test]
    fn holes_are_cut_out() {
        let range = ByteRange::new;
        assert_eq!(
            subtract(&[range(0, 10), range(20, 30)], &[range(2, 4), range(8, 25)]),
            [range(0, 2), range(4, 8), range(25, 30)]
        );
    }
}
