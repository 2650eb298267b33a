//! Puts pieces of a stream together: in any order, doubled, overlapping, with gaps (RFC 9000 section 2.2).

use std::collections::BTreeMap;

use crate::evidence::ByteRange;

/// A piece of a stream as one frame carried it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where in the stream it starts.
    pub offset: u64,
    /// The packet, in the order of capture.
    pub packet: u32,
    /// Where in the packet's payload it starts.
    pub at: u32,
    /// Its bytes.
    pub len: u32,
}

impl Segment {
    /// Where in the stream.
    pub fn range(&self) -> ByteRange {
        ByteRange::new(self.offset, self.offset.saturating_add(u64::from(self.len)))
    }
}

/// A part of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where in the stream.
    pub range: ByteRange,
    /// The packet.
    pub packet: u32,
    /// Where in the packet's payload.
    pub at: u64,
}

/// A part of a stream that came again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// What came first.
    pub kept: Part,
    /// What came later, of the same range.
    pub other: Part,
}

/// A stream, put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assembled {
    /// Its bytes, sorted and without overlaps: of each the first that came.
    pub parts: Vec<Part>,
    /// What came again, in the order of capture.
    pub repeats: Vec<Repeat>,
}

/// Puts segments together that are given in the order of capture. Of each byte the first that came stands; whether
/// what came again is the same is for who can read the packets.
pub fn assemble(segments: &[Segment]) -> Assembled {
    let mut claims = Claims::default();
    for segment in segments {
        claims.add(segment);
    }
    Assembled { parts: claims.parts.into_values().collect(), repeats: claims.repeats }
}

#[derive(Default)]
struct Claims {
    /// Parts by their start.
    parts: BTreeMap<u64, Part>,
    /// One past the last byte of all.
    end: u64,
    repeats: Vec<Repeat>,
}

impl Claims {
    fn add(&mut self, segment: &Segment) {
        let range = segment.range();
        if range.is_empty() {
            return;
        }
        let whole = Part { range, packet: segment.packet, at: u64::from(segment.at) };
        if range.start >= self.end {
            self.claim(whole);
            return;
        }
        let before = self.parts.range(..=range.start).next_back().map(|(&start, _)| start);
        let first = before.unwrap_or(range.start);
        let known: Vec<Part> = self.parts.range(first..range.end).map(|(_, part)| *part).collect();
        let mut free = range.start;
        for part in known {
            let Some(both) = part.range.intersection(range) else { continue };
            self.claim(whole.cut(ByteRange::new(free, both.start)));
            self.repeats.push(Repeat { kept: part.cut(both), other: whole.cut(both) });
            free = both.end;
        }
        self.claim(whole.cut(ByteRange::new(free, range.end)));
    }

    fn claim(&mut self, part: Part) {
        if !part.range.is_empty() {
            self.end = self.end.max(part.range.end);
            self.parts.insert(part.range.start, part);
        }
    }
}

impl Part {
    fn cut(self, range: ByteRange) -> Self {
        Self { range, at: self.at + (range.start - self.range.start), ..self }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn segment(packet: u32, offset: u64, len: u32) -> Segment {
        Segment { offset, packet, at: 100, len }
    }

    #[test]
    fn the_first_bytes_stand_and_what_comes_again_is_named() {
        let assembled = assemble(&[segment(0, 10, 10), segment(1, 30, 5), segment(2, 5, 40)]);
        let parts: Vec<_> = assembled
            .parts
            .iter()
            .map(|part| (part.range.start, part.range.end, part.packet, part.at))
            .collect();
        assert_eq!(
            parts,
            [(5, 10, 2, 100), (10, 20, 0, 100), (20, 30, 2, 115), (30, 35, 1, 100), (35, 45, 2, 130)]
        );
        let repeats: Vec<_> = assembled
            .repeats
            .iter()
            .map(|repeat| {
                (repeat.kept.packet, repeat.other.at, repeat.kept.range.start, repeat.kept.range.end)
            })
            .collect();
        assert_eq!(repeats, [(0, 105, 10, 20), (1, 125, 30, 35)]);
    }

    proptest! {
        #[test]
        fn each_byte_is_that_of_the_first_segment_that_holds_it(
            segments in prop::collection::vec((0_u64..60, 0_u32..20), 0..20),
        ) {
            let segments: Vec<Segment> =
                (0..).zip(&segments).map(|(packet, (offset, len))| segment(packet, *offset, *len)).collect();
            let mut model: BTreeMap<u64, (u32, u64)> = BTreeMap::new();
            let mut repeated = 0;
            for segment in &segments {
                for byte in segment.range().start..segment.range().end {
                    let here = (segment.packet, u64::from(segment.at) + (byte - segment.offset));
                    repeated += usize::from(model.contains_key(&byte));
                    model.entry(byte).or_insert(here);
                }
            }
            let assembled = assemble(&segments);
            let mut ours = BTreeMap::new();
            for part in &assembled.parts {
                for byte in part.range.start..part.range.end {
                    prop_assert!(ours.insert(byte, (part.packet, part.at + (byte - part.range.start))).is_none());
                }
            }
            prop_assert_eq!(ours, model);
            let again: u64 = assembled.repeats.iter().map(|repeat| repeat.other.range.len()).sum();
            prop_assert_eq!(again, repeated as u64);
            for Repeat { kept, other } in &assembled.repeats {
                prop_assert_eq!(kept.range, other.range);
                prop_assert!(kept.packet <= other.packet);
            }
        }
    }
}
