//! Bytes that need not be the phone's own: they came down before they went up, or went up where the phone was not.

use std::collections::BTreeMap;

use super::{
    correlate::{Artifact, FlowRef, Hit},
    located::{Carriage, HitKey},
    verdict::gates::SMALLEST_PHOTO,
};
use crate::{
    evidence::{ByteRange, Direction, Timestamp},
    findings::{Grade, codes::Code},
};

/// Bytes of an artifact that were seen elsewhere: when, and at which endpoint family.
#[derive(Clone, Copy, Debug)]
struct Seen<'f> {
    time: Timestamp,
    range: ByteRange,
    family: &'f str,
}

/// Where bytes of artifacts were seen beside the phone's uplink.
#[derive(Debug, Default)]
pub(super) struct Provenance<'f> {
    /// What came down.
    down: BTreeMap<Artifact, Vec<Seen<'f>>>,
    /// What went up in phases that must show nothing: without a phone, or with another one.
    control: BTreeMap<Artifact, Vec<Seen<'f>>>,
}

/// What is left of a finding when bytes that need not be the phone's own are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Own {
    /// Bytes (of a value: 1 or 0) that are left.
    pub(super) bytes: u64,
    /// Why that is too little to stand for the finding.
    pub(super) caveats: Vec<Code>,
}

impl<'f> Provenance<'f> {
    /// Collects what came down, and what went up in phases that `is_control` names.
    pub(super) fn of(
        hits: &[Hit],
        carriages: &BTreeMap<HitKey, Carriage>,
        family: impl Fn(FlowRef) -> &'f str,
        is_control: impl Fn(&Hit, &Carriage) -> bool,
    ) -> Self {
        let mut all = Self::default();
        for (hit, carriage) in hits.iter().filter_map(|hit| Some((hit, carriages.get(&HitKey::of(hit))?))) {
            let places = match hit.leaf.direction {
                Direction::Down => &mut all.down,
                Direction::Up if is_control(hit, carriage) => &mut all.control,
                Direction::Up => continue,
            };
            let family = family(hit.leaf.flow);
            places.entry(hit.artifact).or_default().push(Seen {
                time: carriage.first,
                range: hit.artifact_range,
                family,
            });
        }
        all
    }

    /// Leaves out of an artifact's uplink hits at `family` what had come down when each of them began, and what went
    /// up in a control phase, whenever that was. Hits of a control phase are held against the downlink alone.
    pub(super) fn own(
        &self,
        artifact: Artifact,
        carried: &[(&Hit, &Carriage)],
        family: &str,
        in_control: bool,
    ) -> Own {
        let whole = carried.first().map(|(hit, _)| hit.artifact_range);
        let down = seen(&self.down, artifact, whole);
        let mut control = if in_control { Vec::new() } else { seen(&self.control, artifact, whole) };
        control.iter_mut().for_each(|seen| seen.time = Timestamp(0));
        let up: Vec<(Timestamp, &[ByteRange])> = carried
            .iter()
            .map(|(hit, carriage)| {
                let partial = hit.grade == Grade::Partial;
                let whole = std::slice::from_ref(&hit.artifact_range);
                (carriage.first, if partial { hit.probative_ranges.as_slice() } else { whole })
            })
            .collect();
        weigh(&down, &control, &up, family)
    }
}

/// Where an artifact was seen; of an altered copy also where the photo itself was, or enough of it.
fn seen<'f>(
    places: &BTreeMap<Artifact, Vec<Seen<'f>>>,
    artifact: Artifact,
    whole: Option<ByteRange>,
) -> Vec<Seen<'f>> {
    let mut all = places.get(&artifact).cloned().unwrap_or_default();
    if let Artifact::CopyOf(id) = artifact {
        let photo = places.get(&Artifact::Content(id)).into_iter().flatten();
        let enough = photo.filter(|seen| seen.range.len() >= SMALLEST_PHOTO);
        all.extend(enough.filter_map(|seen| Some(Seen { range: whole?, ..*seen })));
    }
    all
}

fn weigh(down: &[Seen<'_>], control: &[Seen<'_>], up: &[(Timestamp, &[ByteRange])], family: &str) -> Own {
    let all = ByteRange::covered(up.iter().flat_map(|(_, ranges)| *ranges).copied());
    let too_little = |bytes: u64| bytes < SMALLEST_PHOTO.min(all);
    let mut caveats = Vec::new();
    if too_little(left(down, up)) {
        caveats.push(Code::SeenDownlinkFirst);
        // What is sent back to the one who sent it, and is short: as answers to challenges and cookies are.
        let same: Vec<Seen<'_>> = down.iter().filter(|seen| seen.family == family).copied().collect();
        if all < SMALLEST_PHOTO && too_little(left(&same, up)) {
            caveats.push(Code::Echo);
        }
    }
    if too_little(left(control, up)) {
        caveats.push(Code::IdenticalInOtherPhases);
    }
    Own { bytes: left(&[down, control].concat(), up), caveats }
}

/// Bytes that went up and had not been seen before.
fn left(seen: &[Seen<'_>], up: &[(Timestamp, &[ByteRange])]) -> u64 {
    let mut own = Vec::new();
    for (first, ranges) in up {
        let before = seen.iter().filter(|seen| seen.time <= *first).map(|seen| seen.range);
        own.extend(subtract(ranges, &ByteRange::unite(before)));
    }
    ByteRange::covered(own)
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

    fn weighed(
        down: &[(u64, u64, u64)],
        control: &[(u64, u64, u64)],
        up: &[(u64, u64, u64)],
        family: &str,
    ) -> Own {
        let at = |&(time, start, end): &(u64, u64, u64)| (Timestamp(time), ByteRange::new(start, end));
        let seen = |all: &[(u64, u64, u64)]| -> Vec<Seen<'static>> {
            all.iter().map(at).map(|(time, range)| Seen { time, range, family: "up.example" }).collect()
        };
        let up: Vec<_> = up.iter().map(at).map(|(time, range)| (time, [range])).collect();
        let up: Vec<_> = up.iter().map(|(time, ranges)| (*time, ranges.as_slice())).collect();
        let mut control = seen(control);
        control.iter_mut().for_each(|seen| seen.time = Timestamp(0));
        weigh(&seen(down), &control, &up, family)
    }

    fn own(down: &[(u64, u64, u64)], up: &[(u64, u64, u64)]) -> (u64, bool) {
        let Own { bytes, caveats } = weighed(down, &[], up, "other.example");
        assert!(caveats.is_empty() || caveats == [Code::SeenDownlinkFirst], "{caveats:?}");
        (bytes, !caveats.is_empty())
    }

    #[test]
    fn what_went_up_without_the_phone_is_not_its_own_whenever_that_was() {
        let photo = (2, 0, 100_000);
        let caveats = |control: &[(u64, u64, u64)]| weighed(&[], control, &[photo], "up.example").caveats;
        assert_eq!(caveats(&[(9, 0, 100_000)]), [Code::IdenticalInOtherPhases]);
        assert_eq!(caveats(&[(9, 0, 90_000)]), []);
        // Half came down, half went up without the phone: nothing of it is the phone's, and each is said.
        let both = weighed(&[(1, 0, 50_000)], &[(9, 50_000, 100_000)], &[photo], "up.example");
        assert_eq!(both.bytes, 0);
    }

    #[test]
    fn a_short_value_that_goes_back_to_its_sender_is_an_echo() {
        let value = (2, 0, 15);
        let caveats = |down: (u64, u64, u64), family| weighed(&[down], &[], &[value], family).caveats;
        assert_eq!(caveats((1, 0, 15), "up.example"), [Code::SeenDownlinkFirst, Code::Echo]);
        assert_eq!(caveats((1, 0, 15), "other.example"), [Code::SeenDownlinkFirst]);
        assert_eq!(caveats((3, 0, 15), "up.example"), [], "the server sent it back");
        let photo = (2, 0, 100_000);
        let shared = weighed(&[(1, 0, 100_000)], &[], &[photo], "up.example").caveats;
        assert_eq!(shared, [Code::SeenDownlinkFirst], "a photo is no answer to a challenge");
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
