//! Streams of a connection as streams of bytes again, with each byte's place in the captured datagrams.

use std::sync::Arc;

use crate::{
    engine::{
        decode::{
            http3::Ended,
            within::{Places, Wrap},
        },
        net::stream::{Conflict, Piece, Stream},
        proto::quic::stream::{Assembled, Part, Repeat, Segment, assemble},
    },
    evidence::{Blob, ByteRange, FrameNo, ReadError, Step, Timestamp, read_exact_at},
};

use super::{
    flow::{Flowing, Run},
    packets::{Packets, Plain},
};

/// Bytes that are compared at once.
const COMPARED: u64 = 16 << 10;

/// The opened packets of one direction of a flow, to be read again.
pub(super) struct Source<'s> {
    outer: &'s Stream,
    packets: Arc<Packets>,
    plain: Arc<dyn Blob>,
}

/// A stream with its places.
pub(super) struct Derived {
    pub(super) stream: Stream,
    pub(super) ended: Ended,
    pub(super) wrap: Wrap,
    /// What came again and was the same, in the captured stream.
    pub(super) same: Vec<ByteRange>,
    /// What came again and differs.
    pub(super) differs: Vec<Part>,
}

impl<'s> Source<'s> {
    pub(super) fn new(outer: &'s Stream, packets: Packets) -> Self {
        let packets = Arc::new(packets);
        let plain = Arc::new(Plain::new(packets.clone(), outer.blob.clone()));
        Self { outer, packets, plain }
    }

    /// What of the captured stream was opened, sorted.
    pub(super) fn opened(&self) -> Vec<ByteRange> {
        self.packets.opened()
    }

    fn stamp(&self, at: u64) -> (FrameNo, Timestamp) {
        let range = ByteRange::new(at, at.saturating_add(1));
        let piece = self.outer.pieces_in(range).first();
        piece.map_or((FrameNo(0), Timestamp(0)), |piece| (piece.frame, piece.time))
    }

    fn outer_of(&self, part: &Part) -> u64 {
        self.packets.outer(part.packet) + part.at
    }

    fn piece(&self, part: &Part) -> Piece {
        let (frame, time) = self.stamp(self.outer_of(part));
        Piece { range: part.range, at: self.packets.plain(part.packet) + part.at, frame, time }
    }

    fn empty(&self) -> Stream {
        let mut stream = Stream::empty(&self.outer.capture, self.plain.clone());
        stream.from_start = true;
        stream
    }

    /// Puts a stream together.
    pub(super) fn stream(&self, flowing: &Flowing, op: &str, name: String) -> Result<Derived, ReadError> {
        let Assembled { parts, repeats } = self.assemble(&flowing.segments);
        let (mut stream, mut places, mut end) = (self.empty(), Places::default(), 0);
        for part in &parts {
            if part.range.start > end {
                stream.gaps.push(ByteRange::new(end, part.range.start));
            }
            end = part.range.end;
            stream.pieces.push(self.piece(part));
            places.push(part.range, self.outer_of(part));
        }
        if let Some(length) = flowing.length.filter(|&length| length > end) {
            stream.gaps.push(ByteRange::new(end, length));
        }
        let (mut same, mut differs) = (Vec::new(), Vec::new());
        for repeat in &repeats {
            match self.compare(repeat)? {
                None => {
                    let outer = self.outer_of(&repeat.other);
                    same.push(ByteRange::new(outer, outer + repeat.other.range.len()));
                }
                Some(conflict) => {
                    stream.conflicts.push(conflict);
                    differs.push(repeat.other);
                }
            }
        }
        let wrap = wrap(op, name, places, stream.end());
        let Flowing { length, ended: whole, reset, .. } = *flowing;
        Ok(Derived { stream, ended: Ended { length, whole, reset }, wrap, same, differs })
    }

    /// Runs of payload one after the other, as they came.
    pub(super) fn runs(&self, runs: &[Run], op: &str, name: String) -> Derived {
        let (mut stream, mut places, mut end) = (self.empty(), Places::default(), 0);
        for run in runs {
            let range = ByteRange::new(end, end + u64::from(run.len));
            let part = Part { range, packet: run.packet, at: u64::from(run.at) };
            end = range.end;
            if !range.is_empty() {
                stream.pieces.push(self.piece(&part));
                places.push(range, self.outer_of(&part));
            }
        }
        let wrap = wrap(op, name, places, end);
        Derived { stream, ended: Ended::default(), wrap, same: Vec::new(), differs: Vec::new() }
    }

    /// Puts segments together in the order of capture, which need not be that of opening.
    fn assemble(&self, segments: &[Segment]) -> Assembled {
        let place = |segment: &Segment| self.packets.outer(segment.packet);
        if segments.is_sorted_by_key(place) {
            return assemble(segments);
        }
        let mut sorted = segments.to_vec();
        sorted.sort_by_key(place);
        assemble(&sorted)
    }

    /// Where a repetition differs from what came first.
    fn compare(&self, repeat: &Repeat) -> Result<Option<Conflict>, ReadError> {
        let range = repeat.kept.range;
        let at = |part: &Part| self.packets.plain(part.packet) + part.at;
        let (kept, other) = (at(&repeat.kept), at(&repeat.other));
        let (mut first, mut last, mut done) = (None, 0, 0);
        while done < range.len() {
            let length = (range.len() - done).min(COMPARED);
            let (one, two) = (self.read(kept + done, length)?, self.read(other + done, length)?);
            for (place, _) in (done..).zip(one.iter().zip(&two)).filter(|(_, (one, two))| one != two) {
                first.get_or_insert(place);
                last = place;
            }
            done += length;
        }
        Ok(first.map(|first| {
            let range = ByteRange::new(range.start + first, range.start + last + 1);
            let frame = |outer| self.stamp(self.outer_of(outer)).0;
            Conflict::new(range, frame(&repeat.kept), frame(&repeat.other), other + first)
        }))
    }

    /// What of a stream that was put together stands in a range.
    pub(super) fn bytes(&self, stream: &Stream, range: ByteRange) -> Result<Vec<u8>, ReadError> {
        let mut bytes = Vec::new();
        for piece in stream.pieces_in(range) {
            let Some(part) = piece.range.intersection(range) else { continue };
            bytes.extend(self.read(piece.at + (part.start - piece.range.start), part.len())?);
        }
        Ok(bytes)
    }

    fn read(&self, at: u64, length: u64) -> Result<Vec<u8>, ReadError> {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        read_exact_at(&*self.plain, &mut bytes, at)
            .map_err(|error| ReadError::new(&self.outer.capture, at, error))?;
        Ok(bytes)
    }
}

/// Takes out of segments what came in earlier flows: what is new, and what came again.
pub(super) fn without(segments: &[Segment], delivered: &[ByteRange]) -> (Vec<Segment>, Vec<Run>) {
    let (mut new, mut again) = (Vec::new(), Vec::new());
    for segment in segments {
        let whole = segment.range();
        let mut next = whole.start;
        let piece = |start: u64, end: u64| {
            let at = segment.at + u32::try_from(start - whole.start).ok()?;
            Some((at, u32::try_from(end - start).ok().filter(|&len| len > 0)?))
        };
        let first = delivered.partition_point(|range| range.end <= whole.start);
        let known = delivered.iter().skip(first).map_while(|range| range.intersection(whole));
        for both in known.chain([ByteRange::new(whole.end, whole.end)]) {
            if let Some((at, len)) = piece(next, both.start) {
                new.push(Segment { offset: next, packet: segment.packet, at, len });
            }
            if let Some((at, len)) = piece(both.start, both.end) {
                again.push(Run { packet: segment.packet, at, len });
            }
            next = both.end;
        }
    }
    (new, again)
}

fn wrap(op: &str, name: String, places: Places, output: u64) -> Wrap {
    let input = places.hull(ByteRange::new(0, output));
    let step = Step { op: op.to_owned(), param: Some(name), input, output };
    Wrap { steps: vec![step], places, ..Wrap::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_in_an_earlier_flow_is_no_part_of_the_stream_any_more() {
        let segment = |offset, at, len| Segment { offset, packet: 7, at, len };
        let delivered = [ByteRange::new(0, 10), ByteRange::new(20, 25)];
        let (new, again) = without(&[segment(5, 100, 30), segment(0, 40, 4), segment(50, 0, 2)], &delivered);
        assert_eq!(new, [segment(10, 105, 10), segment(25, 120, 10), segment(50, 0, 2)]);
        let again: Vec<_> = again.iter().map(|run| (run.at, run.len)).collect();
        assert_eq!(again, [(100, 5), (115, 5), (40, 4)]);
    }
}
