//! Payloads of one end put in the order of their sequence numbers.
//!
//! Any order of capture takes n log n: a segment that starts at or beyond everything seen is appended;
//! only what starts below is looked up among what is there. An appended piece never overlaps an older one,
//! so late segments meet just the appended pieces before them and each other. Bytes of overlapping
//! segments are read and compared; each byte of a late segment once.

use std::{collections::BTreeMap, net::SocketAddr};

use super::{
    flow::End,
    receivers,
    segments::Segment,
    stream::{Conflict, Piece, Stray, Stream},
};
use crate::evidence::{ByteRange, FrameNo, ReadError, Timestamp, read_exact_at};

/// The largest window (RFC 7323 section 2.3). What lies further from everything before it can't have been
/// sent in this connection, unless the capture paused.
const MAX_WINDOW: i64 = 1 << 30;
/// Read around a place where segments overlap, so that many small ones cost few reads.
const AROUND: usize = 8 << 10;

/// Which version of ambiguous bytes stands in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// The one captured first.
    First,
    /// The one captured last.
    Last,
}

/// Datagrams one after the other, in order of capture.
pub(super) fn udp(mut stream: Stream, segments: &[Segment]) -> Stream {
    let mut offset = 0_u64;
    for segment in segments {
        let end = offset + u64::from(segment.len);
        if end > offset {
            if segment.has(Segment::CONTINUES) {
                stream.continue_datagram();
            }
            stream.push(piece(segment, ByteRange::new(offset, end), segment.at), segment.crc);
        }
        offset = end + u64::from(segment.missing());
        if offset > end {
            stream.gaps.push(ByteRange::new(end, offset));
        }
    }
    stream.from_start = true;
    stream.datagrams = true;
    stream
}

/// One direction of a TCP connection.
pub(super) fn tcp(
    stream: Stream,
    end: &End,
    addresses: (SocketAddr, SocketAddr),
    mut segments: Vec<Segment>,
    urgent: Vec<(FrameNo, u32)>,
    choice: Choice,
) -> Result<Stream, ReadError> {
    let mut builder = Builder::new(stream);
    segments.retain(|segment| {
        let text_of_reset = segment.has(Segment::RESET);
        if text_of_reset {
            builder.stray(segment);
        }
        !text_of_reset
    });
    let first = segments.first().map(|segment| segment.seq);
    let Some(base) = end.isn.map(|isn| isn.wrapping_add(1)).or(first).or(end.acked.map(|(ack, _)| ack))
    else {
        return Ok(builder.stream);
    };
    let mut line = Line::new(base);
    let places = line.places(&segments);
    let lowest = places.iter().copied().filter(|&place| place != STRAY).min().unwrap_or(0);
    // Without a SYN the stream starts at the lowest byte seen; with one, nothing below it is data.
    let shift = if end.isn.is_some() { 0 } else { lowest.min(0) };
    builder.stream.reserve(segments.len());
    let mut take = |(segment, &place): (&Segment, &i64)| match place {
        STRAY => {
            builder.stray(segment);
            Ok(())
        }
        place => builder.segment(segment, place - shift, choice),
    };
    match choice {
        Choice::First => segments.iter().zip(&places).try_for_each(&mut take)?,
        Choice::Last => segments.iter().zip(&places).rev().try_for_each(&mut take)?,
    }
    let place = |number| u64::try_from(line.near(number, line.high) - shift).ok();
    builder.stream.urgent =
        urgent.into_iter().filter_map(|(frame, number)| Some((place(number)?, frame))).collect();
    let known = known_end(end, &line).map(|known| known - shift);
    let mut stream = builder.finish(known);
    stream.from_start = end.isn.is_some();
    if !stream.conflicts.is_empty() && choice == Choice::First {
        let placed = segments.iter().zip(&places).filter_map(|(segment, &place)| {
            let place = if place == STRAY { None } else { place.checked_sub(shift) }?;
            let below = place.min(0).unsigned_abs();
            let len = u64::from(segment.len).checked_sub(below)?;
            let start = u64::try_from(place.max(0)).unwrap_or(0);
            Some((*segment, ByteRange::new(start, start + len), segment.at + below))
        });
        let placed: Vec<_> = placed.collect();
        receivers::judge(&mut stream, &placed, addresses)?;
    }
    Ok(stream)
}

/// No place: a stray's.
const STRAY: i64 = i64::MIN;

/// Sequence numbers unrolled to 64 bits.
struct Line {
    base: u32,
    /// One past the furthest byte so far.
    high: i64,
}

impl Line {
    fn new(base: u32) -> Self {
        Self { base, high: 0 }
    }

    /// The place nearest to `near` that has this number.
    fn near(&self, number: u32, near: i64) -> i64 {
        let at = self.base.wrapping_add(low_bits(near));
        near + i64::from(number.wrapping_sub(at).cast_signed())
    }

    /// Places of segments in order of capture, [`STRAY`] for strays.
    fn places(&mut self, segments: &[Segment]) -> Vec<i64> {
        let mut places: Vec<i64> = Vec::with_capacity(segments.len());
        let mut pending: Option<(usize, i64)> = None;
        for (index, segment) in segments.iter().enumerate() {
            let reach = i64::from(segment.len) + i64::from(segment.missing());
            let place = self.near(segment.seq, self.high);
            if (place - self.high).abs() <= MAX_WINDOW || index == 0 {
                self.high = self.high.max(place + reach);
                places.push(place);
                pending = None;
                continue;
            }
            // Two in a row that agree with each other: the capture paused, and the connection went on.
            match pending.take() {
                Some((before, stray)) if (self.near(segment.seq, stray) - stray).abs() <= MAX_WINDOW => {
                    let place = self.near(segment.seq, stray);
                    if let Some(slot) = places.get_mut(before) {
                        *slot = stray;
                    }
                    self.high = self.high.max(place + reach).max(stray);
                    places.push(place);
                }
                _ => {
                    pending = Some((index, place));
                    places.push(STRAY);
                }
            }
        }
        places
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sequence numbers are taken modulo 2^32"
)]
fn low_bits(place: i64) -> u32 {
    place as u32
}

/// One past the last byte that was sent, as far as FIN and acknowledgements of the other end show.
fn known_end(end: &End, line: &Line) -> Option<i64> {
    let beyond = |number: u32| {
        let place = line.near(number, line.high);
        (place > line.high && place - line.high <= MAX_WINDOW).then_some(place)
    };
    let fin = end.fin.and_then(beyond);
    // An acknowledgement one past the end is that of a FIN which was not captured.
    let acked =
        end.acked.and_then(|(_, ack)| beyond(ack)).filter(|&ack| end.fin.is_none() && ack > line.high + 1);
    fin.or(acked)
}

fn piece(segment: &Segment, range: ByteRange, at: u64) -> Piece {
    Piece { range, at, frame: FrameNo(segment.frame), time: Timestamp(segment.time) }
}

/// A piece with the CRC-32 of its bytes.
type Checked = (Piece, u32);

struct Builder {
    /// Its pieces are those that started at or beyond everything before them, until the end.
    stream: Stream,
    /// The others, by start.
    late: BTreeMap<u64, Checked>,
    high: u64,
    /// Bytes that frames had and the capture does not hold may reach beyond the last piece.
    reach: u64,
    ours: Around,
    theirs: Around,
}

impl Builder {
    fn new(stream: Stream) -> Self {
        Self {
            stream,
            late: BTreeMap::new(),
            high: 0,
            reach: 0,
            ours: Around::default(),
            theirs: Around::default(),
        }
    }

    fn stray(&mut self, segment: &Segment) {
        let (frame, at) = (FrameNo(segment.frame), segment.at);
        self.stream.strays.push(Stray { frame, at, len: segment.len });
    }

    fn segment(&mut self, segment: &Segment, place: i64, choice: Choice) -> Result<(), ReadError> {
        // The byte of a keep-alive is garbage (RFC 9293 section 3.8.4), also where the true one was not captured.
        if choice == Choice::First && segment.has(Segment::KEEP_ALIVE) {
            return Ok(());
        }
        let below = u32::try_from(place.min(0).unsigned_abs()).unwrap_or(u32::MAX);
        let Some(len) = segment.len.checked_sub(below) else {
            self.stray(segment);
            return Ok(());
        };
        let start = u64::try_from(place.max(0)).unwrap_or(0);
        let range = ByteRange::new(start, start + u64::from(len));
        self.reach = self.reach.max(range.end + u64::from(segment.missing()));
        if range.is_empty() {
            return Ok(());
        }
        if below == 0 && start >= self.high {
            self.high = range.end;
            self.stream.push(piece(segment, range, segment.at), segment.crc);
            return Ok(());
        }
        self.overlapping(segment, range, u64::from(below))
    }

    /// Takes a segment that starts below what was seen: keeps what is new of it, compares the rest.
    fn overlapping(&mut self, segment: &Segment, range: ByteRange, below: u64) -> Result<(), ReadError> {
        let known = self.known(range);
        if known.is_empty() && below == 0 {
            self.late.insert(range.start, (piece(segment, range, segment.at), segment.crc));
            self.high = self.high.max(range.end);
            return Ok(());
        }
        let base = segment.at + below;
        let mut ours = std::mem::take(&mut self.ours);
        ours.checked(&self.stream, segment)?;
        let mut place = range.start;
        for piece in known {
            let overlap = piece.range.intersection(range).unwrap_or_default();
            self.keep(segment, ByteRange::new(place, overlap.start), base, range.start, &mut ours)?;
            place = overlap.end;
            self.compare(segment, &piece, overlap, base + (overlap.start - range.start), &mut ours)?;
        }
        self.keep(segment, ByteRange::new(place, range.end), base, range.start, &mut ours)?;
        self.high = self.high.max(range.end);
        self.ours = ours;
        Ok(())
    }

    /// Pieces that hold any byte of `range`, in order.
    fn known(&self, range: ByteRange) -> Vec<Piece> {
        let appended = self.stream.pieces_in(range).iter().copied();
        let before = self.late.range(..range.start).next_back().map(|(_, (piece, _))| *piece);
        let late = self.late.range(range.start..range.end).map(|(_, (piece, _))| *piece);
        let before = before.filter(|piece| piece.range.end > range.start);
        let mut known: Vec<Piece> = appended.chain(before).chain(late).collect();
        known.sort_unstable_by_key(|piece| piece.range.start);
        known
    }

    /// Keeps a part of a segment that nothing else holds.
    fn keep(
        &mut self,
        segment: &Segment,
        part: ByteRange,
        base: u64,
        start: u64,
        ours: &mut Around,
    ) -> Result<(), ReadError> {
        if part.is_empty() {
            return Ok(());
        }
        let at = base + (part.start - start);
        let crc = crc32fast::hash(ours.read(&self.stream, at, part.len())?);
        self.late.insert(part.start, (piece(segment, part, at), crc));
        Ok(())
    }

    /// Notes where a segment disagrees with a piece that is there.
    fn compare(
        &mut self,
        segment: &Segment,
        piece: &Piece,
        overlap: ByteRange,
        at: u64,
        ours: &mut Around,
    ) -> Result<(), ReadError> {
        let other = ours.read(&self.stream, at, overlap.len())?;
        let theirs_at = piece.at + (overlap.start - piece.range.start);
        let kept = self.theirs.read(&self.stream, theirs_at, overlap.len())?;
        let differs = |(a, b): (&u8, &u8)| a != b;
        let Some(first) = kept.iter().zip(other).position(differs) else { return Ok(()) };
        let last = kept.iter().zip(other).rposition(differs).unwrap_or(first);
        let range = ByteRange::new(overlap.start + first as u64, overlap.start + last as u64 + 1);
        let frame = FrameNo(segment.frame);
        // One segment may disagree with thousands of small ones: they count as one, so that conflicts never
        // outnumber segments.
        match self.stream.conflicts.last_mut() {
            Some(conflict) if conflict.other == frame => conflict.range.end = range.end,
            _ => self.stream.conflicts.push(Conflict::new(range, piece.frame, frame, at + first as u64)),
        }
        Ok(())
    }

    fn finish(self, known_end: Option<i64>) -> Stream {
        let Self { mut stream, late, reach, .. } = self;
        stream.merge(late.into_values());
        let mut place = 0;
        for piece in &stream.pieces {
            if piece.range.start > place {
                stream.gaps.push(ByteRange::new(place, piece.range.start));
            }
            place = piece.range.end;
        }
        let end = known_end.and_then(|end| u64::try_from(end).ok()).unwrap_or(0).max(reach);
        if end > place {
            stream.gaps.push(ByteRange::new(place, end));
        }
        stream.conflicts.sort_unstable_by_key(|conflict| (conflict.range, conflict.other));
        stream
    }
}

/// Bytes around the last place that was read.
#[derive(Default)]
struct Around {
    bytes: Vec<u8>,
    at: u64,
}

impl Around {
    fn read(&mut self, stream: &Stream, at: u64, len: u64) -> Result<&[u8], ReadError> {
        let wanted = usize::try_from(len).unwrap_or(usize::MAX);
        let inside = at.checked_sub(self.at).and_then(|from| usize::try_from(from).ok());
        let fits = |from: usize| from.checked_add(wanted).is_some_and(|end| end <= self.bytes.len());
        let from = match inside.filter(|&from| fits(from)) {
            Some(from) => from,
            None => {
                self.fill(stream, at, len)?;
                0
            }
        };
        Ok(self.bytes.get(from..from + wanted).unwrap_or_default())
    }

    fn fill(&mut self, stream: &Stream, at: u64, len: u64) -> Result<(), ReadError> {
        let left = stream.blob.len().saturating_sub(at);
        let size = len.max(AROUND as u64).min(left.max(len));
        self.at = at;
        self.bytes.resize(usize::try_from(size).unwrap_or(usize::MAX), 0);
        read_exact_at(&*stream.blob, &mut self.bytes, at)
            .map_err(|error| ReadError::new(&stream.capture, at, error))
    }

    /// Reads a whole segment and holds it to what was indexed.
    fn checked(&mut self, stream: &Stream, segment: &Segment) -> Result<(), ReadError> {
        let bytes = self.read(stream, segment.at, u64::from(segment.len))?;
        if crc32fast::hash(bytes) == segment.crc {
            Ok(())
        } else {
            Err(ReadError::changed(&stream.capture, segment.at))
        }
    }
}
