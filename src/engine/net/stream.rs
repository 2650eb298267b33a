//! One direction of one flow, put together: bytes by reference, gaps and conflicts kept.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    fragments::Disputed,
    near::{self, Near},
    reassembly::Choice,
    receivers::{Checksum, Receivers},
};
use crate::evidence::{
    Anomaly, AnomalyKind, Blob, ByteRange, FrameNo, FrameRange, ReadError, Timestamp, read_exact_at,
};

/// A run of payload bytes of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where in the stream.
    pub range: ByteRange,
    /// Where its first byte stands in the capture's (uncompressed) bytes.
    pub at: u64,
    /// The frame.
    pub frame: FrameNo,
    /// The frame's time.
    pub time: Timestamp,
}

/// Two segments that disagree about the same sequence numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// From the first byte that differs to the last.
    pub range: ByteRange,
    /// Whose bytes stand in the stream (the first that came).
    pub kept: FrameNo,
    /// Whose bytes differ.
    pub other: FrameNo,
    /// Where the other bytes of `range` stand in the capture's (uncompressed) bytes.
    pub other_at: u64,
    /// Which version receivers would take, where that was asked.
    pub receivers: Option<Receivers>,
    /// What the checksum of the frame says whose bytes stand in the stream.
    pub kept_checksum: Checksum,
    /// What that of the other says.
    pub other_checksum: Checksum,
}

impl Conflict {
    /// Two frames that disagree, before anything is known of it.
    pub fn new(range: ByteRange, kept: FrameNo, other: FrameNo, other_at: u64) -> Self {
        let (kept_checksum, other_checksum) = (Checksum::Unknown, Checksum::Unknown);
        Self { range, kept, other, other_at, receivers: None, kept_checksum, other_checksum }
    }
}

/// A payload that has no place in its stream: it lies beyond any window or before the initial number, or is the
/// text of a RST (RFC 9293 section 3.5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stray {
    /// The frame.
    pub frame: FrameNo,
    /// Where its bytes stand in the capture's (uncompressed) bytes.
    pub at: u64,
    /// How many there are.
    pub len: u32,
}

/// One direction of one flow. For TCP offsets count sequence numbers from the initial one (or from the
/// first byte seen); for UDP they count payload bytes, one piece a datagram, in order of capture.
#[derive(Clone)]
pub struct Stream {
    /// The capture's logical path, for errors.
    pub capture: String,
    /// The capture's (uncompressed) bytes.
    pub blob: Arc<dyn Blob>,
    /// Sorted, without overlaps.
    pub pieces: Vec<Piece>,
    /// Bytes that the capture does not hold, between pieces (and before the end where a later
    /// acknowledgement or FIN shows that more was sent).
    pub gaps: Vec<ByteRange>,
    /// Where segments disagree.
    pub conflicts: Vec<Conflict>,
    /// Payloads that have no place in the stream.
    pub strays: Vec<Stray>,
    /// Bytes that were marked as urgent, each with the first frame that says so.
    pub urgent: Vec<(u64, FrameNo)>,
    /// Whether the first byte is the stream's first (a SYN was seen); always true for UDP.
    pub from_start: bool,
    /// Whether pieces are datagrams that must not be joined with the next.
    pub datagrams: bool,
    /// Pieces that continue the datagram of the piece before, by place, sorted.
    continued: Vec<usize>,
    /// CRC-32 of each piece as it was indexed; empty where there was no index.
    checks: Vec<u32>,
    /// What stands around each piece in the bytes that its check covers; empty where nothing does.
    margins: Vec<Margin>,
    witness: Option<Arc<Mutex<dyn Witness>>>,
    /// What the last reader had, where it is little: of a short stream all, which several read in turn.
    left: Arc<Mutex<Window>>,
    /// What stands around short streams of the capture, where it is one of them.
    near: Option<Arc<Mutex<Near>>>,
}

/// Bytes of the capture, and room for those of several pieces.
#[derive(Debug, Default)]
struct Window {
    at: u64,
    bytes: Vec<u8>,
    joined: Vec<u8>,
}

impl Window {
    fn holds(&self, start: u64, end: u64) -> bool {
        self.at <= start && end <= self.at.saturating_add(self.bytes.len() as u64)
    }
}

/// Sees the bytes of a stream whenever they are read, while they are near: what would read them again for itself.
pub trait Witness: Send {
    /// Takes bytes that were read. Ranges may come again, and leave some out.
    fn bytes(&mut self, range: ByteRange, data: &[u8]);
}

/// Bytes of a frame around a piece that is a part of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Margin {
    before: u64,
    after: u64,
}

/// What comes next in a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Chunk<'a> {
    /// Bytes that were captured.
    Bytes {
        /// Where in the stream.
        range: ByteRange,
        /// The bytes.
        data: &'a [u8],
    },
    /// Bytes that were not.
    Gap(ByteRange),
}

/// Anomalies of one kind that one stream lists; the rest are counted.
const MAX_LISTED: usize = 100;

impl Stream {
    /// A stream without bytes.
    pub fn empty(capture: &str, blob: Arc<dyn Blob>) -> Self {
        Self {
            capture: capture.to_owned(),
            blob,
            pieces: Vec::new(),
            gaps: Vec::new(),
            conflicts: Vec::new(),
            strays: Vec::new(),
            urgent: Vec::new(),
            from_start: false,
            datagrams: false,
            continued: Vec::new(),
            checks: Vec::new(),
            margins: Vec::new(),
            witness: None,
            left: Arc::default(),
            near: None,
        }
    }

    /// A stream without bytes of a capture whose streams share what stands around them.
    pub(super) fn beside(capture: &str, blob: Arc<dyn Blob>, near: Arc<Mutex<Near>>) -> Self {
        Self { near: Some(near), ..Self::empty(capture, blob) }
    }

    /// Has all that is read of this stream seen by a witness.
    pub fn watch(&mut self, witness: Arc<Mutex<dyn Witness>>) {
        self.witness = Some(witness);
    }

    /// Parts of this stream, one after the other, as a stream of its own: by reference, with what is missing in them.
    /// Conflicts stay with this stream. Where they end after this stream does, they end with it.
    pub fn parts(&self, parts: impl IntoIterator<Item = ByteRange>) -> Self {
        let mut inner = Self { from_start: true, ..Self::empty(&self.capture, self.blob.clone()) };
        let (mut at, end) = (0, self.end());
        for part in parts {
            let part = ByteRange::new(part.start, part.end.min(end));
            if part.is_empty() {
                continue;
            }
            let moved = |range: ByteRange| {
                ByteRange::new(at + (range.start - part.start), at + (range.end - part.start))
            };
            let first = self.pieces.partition_point(|piece| piece.range.end <= part.start);
            let held = self.pieces.iter().enumerate().skip(first);
            for (index, piece) in held.take_while(|(_, piece)| piece.range.start < part.end) {
                let Some(kept) = piece.range.intersection(part) else { continue };
                let (before, after) = (kept.start - piece.range.start, piece.range.end - kept.end);
                inner.pieces.push(Piece { range: moved(kept), at: piece.at + before, ..*piece });
                if let Some(check) = self.checks.get(index) {
                    let around = self.margins.get(index).copied().unwrap_or_default();
                    inner.checks.push(*check);
                    inner
                        .margins
                        .push(Margin { before: around.before + before, after: around.after + after });
                }
            }
            let first = self.gaps.partition_point(|gap| gap.end <= part.start);
            let gaps = self.gaps.iter().skip(first).map_while(|gap| gap.intersection(part));
            inner.gaps.extend(gaps.map(moved));
            at += part.len();
        }
        inner
    }

    /// Adds all of another stream of the same bytes behind this one, by reference. Whether the bytes are those that were indexed is
    /// not asked of it again.
    pub fn append(&mut self, other: &Self) {
        let end = self.end();
        let moved = |range: ByteRange| ByteRange::new(end + range.start, end + range.end);
        self.pieces.extend(other.pieces.iter().map(|piece| Piece { range: moved(piece.range), ..*piece }));
        self.gaps.extend(other.gaps.iter().copied().map(moved));
        self.checks.clear();
        self.margins.clear();
    }

    /// The next piece belongs to the datagram of the last one.
    pub(super) fn continue_datagram(&mut self) {
        self.continued.push(self.pieces.len());
    }

    pub(super) fn reserve(&mut self, pieces: usize) {
        self.pieces.reserve_exact(pieces);
        self.checks.reserve_exact(pieces);
    }

    /// Adds a piece behind all others, with the CRC-32 of its bytes.
    pub(super) fn push(&mut self, piece: Piece, check: u32) {
        self.pieces.push(piece);
        self.checks.push(check);
    }

    /// Takes bytes about which IP fragments disagree: the version of `choice` stands in the pieces.
    pub(super) fn dispute(&mut self, disputed: &Disputed, choice: Choice) -> Result<(), ReadError> {
        let holds = |piece: &Piece| {
            (piece.at..piece.at.saturating_add(piece.range.len())).contains(&disputed.kept_at)
        };
        // What a segment before it gave is no matter of fragments.
        let Some(place) = self.pieces.iter().position(holds) else { return Ok(()) };
        let Some(piece) = self.pieces.get(place).copied() else { return Ok(()) };
        let start = piece.range.start + (disputed.kept_at - piece.at);
        let range = ByteRange::new(start, (start + disputed.range.len()).min(piece.range.end));
        let mut conflict = Conflict::new(range, disputed.kept, disputed.other, disputed.other_at);
        conflict.receivers = Some(disputed.receivers);
        let at = self.conflicts.partition_point(|other| other.range < range);
        self.conflicts.insert(at, conflict);
        if choice == Choice::Last {
            self.replace(place, range, disputed)?;
        }
        Ok(())
    }

    /// Puts the other version of a part of a piece in its place.
    fn replace(&mut self, place: usize, range: ByteRange, disputed: &Disputed) -> Result<(), ReadError> {
        let (Some(piece), Some(check)) = (self.pieces.get(place).copied(), self.checks.get(place).copied())
        else {
            return Ok(());
        };
        let mut bytes = vec![0; usize::try_from(range.len()).unwrap_or(0)];
        read_exact_at(&*self.blob, &mut bytes, disputed.other_at)
            .map_err(|error| ReadError::new(&self.capture, disputed.other_at, error))?;
        self.margins.resize(self.pieces.len(), Margin::default());
        let around = self.margins.get(place).copied().unwrap_or_default();
        let (before, after) = (range.start - piece.range.start, piece.range.end - range.end);
        let cut = |part: ByteRange| {
            let start = part.start - piece.range.start;
            let margin =
                Margin { before: around.before + start, after: around.after + (piece.range.end - part.end) };
            (Piece { range: part, at: piece.at + start, ..piece }, check, margin)
        };
        let other = Piece { range, at: disputed.other_at, frame: disputed.other, time: disputed.other_time };
        let mut parts = Vec::with_capacity(3);
        if before > 0 {
            parts.push(cut(ByteRange::new(piece.range.start, range.start)));
        }
        parts.push((other, crc32fast::hash(&bytes), Margin::default()));
        if after > 0 {
            parts.push(cut(ByteRange::new(range.end, piece.range.end)));
        }
        // Parts of a datagram stay together.
        let more = parts.len() - 1;
        let mut continued: Vec<usize> =
            self.continued.iter().map(|&other| if other > place { other + more } else { other }).collect();
        if self.datagrams {
            continued.extend(place + 1..=place + more);
        }
        continued.sort_unstable();
        continued.dedup();
        self.continued = continued;
        self.pieces.splice(place..=place, parts.iter().map(|(piece, ..)| *piece));
        self.checks.splice(place..=place, parts.iter().map(|(_, check, _)| *check));
        self.margins.splice(place..=place, parts.iter().map(|(.., margin)| *margin));
        Ok(())
    }

    /// Adds pieces that stand anywhere, without overlaps.
    pub(super) fn merge(&mut self, late: impl ExactSizeIterator<Item = (Piece, u32)>) {
        if late.len() == 0 {
            return;
        }
        let mut all: Vec<(Piece, u32)> =
            self.pieces.drain(..).zip(self.checks.drain(..)).chain(late).collect();
        all.sort_by_key(|(piece, _)| piece.range.start);
        (self.pieces, self.checks) = all.into_iter().unzip();
    }

    /// One past the last byte, gaps included.
    pub fn end(&self) -> u64 {
        let pieces = self.pieces.last().map_or(0, |piece| piece.range.end);
        self.gaps.last().map_or(pieces, |gap| gap.end.max(pieces))
    }

    /// Bytes that were captured.
    pub fn present(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.range.len()).sum()
    }

    /// Bytes that were not.
    pub fn lost(&self) -> u64 {
        self.gaps.iter().map(|gap| gap.len()).sum()
    }

    /// Whether bytes before `end` were not captured, or are disputed.
    pub fn is_damaged(&self, end: u64) -> bool {
        let gap = self.gaps.first().is_some_and(|gap| gap.start < end);
        gap || self.conflicts.first().is_some_and(|conflict| conflict.range.start < end)
    }

    /// Runs of captured bytes between gaps (for UDP: of datagrams).
    pub fn islands(&self) -> Vec<ByteRange> {
        ByteRange::unite(self.pieces.iter().map(|piece| piece.range))
    }

    /// The pieces that hold any byte of `range`.
    pub fn pieces_in(&self, range: ByteRange) -> &[Piece] {
        let first = self.pieces.partition_point(|piece| piece.range.end <= range.start);
        let last = self.pieces.partition_point(|piece| piece.range.start < range.end);
        self.pieces.get(first..last).unwrap_or_default()
    }

    /// The frames that carry `range`.
    pub fn frames(&self, range: ByteRange) -> Vec<FrameRange> {
        FrameRange::unite(self.pieces_in(range).iter().map(|piece| piece.frame))
    }

    /// The earliest and the latest time of a frame that carries `range`.
    pub fn times(&self, range: ByteRange) -> Option<(Timestamp, Timestamp)> {
        let times = || self.pieces_in(range).iter().map(|piece| piece.time);
        Some((times().min()?, times().max()?))
    }

    /// What is odd about this stream, for the flow of this name.
    pub fn anomalies(&self, flow: &str) -> Vec<Anomaly> {
        let anomaly = |kind, frame, detail| Anomaly {
            kind,
            capture: self.capture.clone(),
            frame,
            flow: Some(flow.to_owned()),
            detail,
        };
        let mut list = Vec::new();
        if let Some(piece) = self.pieces.first().filter(|_| !self.from_start) {
            let detail = "the connection began before the capture".to_owned();
            list.push(anomaly(AnomalyKind::MidStreamStart, Some(piece.frame), detail));
        }
        list.extend(self.conflicts.iter().take(MAX_LISTED).map(|conflict| {
            let Conflict { range: ByteRange { start, end }, kept, .. } = conflict;
            let mut detail =
                format!("bytes {start} to {end} differ from those of frame {kept}, which were kept");
            if let Some(receivers) = &conflict.receivers {
                detail.push_str(&format!("; receivers take: {receivers}"));
            }
            for (checksum, frame) in
                [(conflict.kept_checksum, kept), (conflict.other_checksum, &conflict.other)]
            {
                if checksum == Checksum::Wrong {
                    detail
                        .push_str(&format!("; the checksum of frame {frame} is wrong, so receivers drop it"));
                }
            }
            anomaly(AnomalyKind::ConflictOverlap, Some(conflict.other), detail)
        }));
        list.extend(self.urgent.iter().take(MAX_LISTED).map(|(at, frame)| {
            let detail = format!(
                "byte {at} is urgent: a receiver reads it apart from the stream, unless it asked for it in line"
            );
            anomaly(AnomalyKind::UrgentData, Some(*frame), detail)
        }));
        list.extend(self.gaps.iter().take(MAX_LISTED).map(|gap| {
            let next = self.pieces_in(ByteRange::new(gap.end, gap.end + 1)).first().map(|piece| piece.frame);
            let detail = format!("{} bytes from {} were not captured", gap.len(), gap.start);
            anomaly(AnomalyKind::StreamGap, next, detail)
        }));
        list.extend(self.strays.iter().take(MAX_LISTED).map(|stray| {
            let detail = format!(
                "{} payload bytes have no place in the stream (beyond any window, or in a RST)",
                stray.len
            );
            anomaly(AnomalyKind::HeaderMalformed, Some(stray.frame), detail)
        }));
        for (count, what) in [
            (self.conflicts.len(), "conflicts"),
            (self.gaps.len(), "gaps"),
            (self.strays.len(), "strays"),
            (self.urgent.len(), "urgent bytes"),
        ] {
            if let Some(more @ 1..) = count.checked_sub(MAX_LISTED) {
                list.push(anomaly(
                    AnomalyKind::LimitReached,
                    None,
                    format!("{more} more {what} of this stream"),
                ));
            }
        }
        list
    }

    /// Walks the stream from its start.
    pub fn reader(&self) -> StreamReader<'_> {
        StreamReader { stream: self, offset: 0, next: 0, gap: 0, window: Window::default() }
    }

    /// A stream that is one slice of memory in one frame: for tests of what reads streams.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let range = ByteRange::new(0, bytes.len() as u64);
        let piece = Piece { range, at: 0, frame: FrameNo(1), time: Timestamp(0) };
        Self {
            pieces: if bytes.is_empty() { Vec::new() } else { vec![piece] },
            from_start: true,
            ..Self::empty("memory", Arc::new(bytes.to_vec()))
        }
    }
}

/// Bytes of the capture read at once.
const WINDOW: u64 = 256 << 10;
/// Foreign bytes between two pieces that cost less to read than another read would.
const SKIPPED: u64 = 8 << 10;
/// More is not left to the next reader: whoever reads much does so mostly once.
const MAX_LEFT: usize = 32 << 10;
/// Pieces are joined up to this size.
const JOINED: usize = 64 << 10;

/// Walks a stream chunk by chunk.
pub struct StreamReader<'s> {
    stream: &'s Stream,
    offset: u64,
    next: usize,
    gap: usize,
    window: Window,
}

impl StreamReader<'_> {
    /// Where the next chunk starts.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Goes on with the piece or gap that holds `position`, or with the next one after it; never back.
    pub fn skip_to(&mut self, position: u64) {
        let stream = self.stream;
        self.next = self.next.max(stream.pieces.partition_point(|piece| piece.range.end <= position));
        self.gap = self.gap.max(stream.gaps.partition_point(|gap| gap.end <= position));
        let piece = stream.pieces.get(self.next).map(|piece| piece.range.start);
        let gap = stream.gaps.get(self.gap).map(|gap| gap.start);
        self.offset = piece.into_iter().chain(gap).min().unwrap_or_else(|| stream.end());
    }

    /// Gives the next chunk, or `None` at the end. A chunk may join pieces of TCP that touch; it never spans
    /// two datagrams.
    ///
    /// # Errors
    /// When the capture can't be read any more or is not what it was.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk<'_>>, ReadError> {
        let stream = self.stream;
        let gap = stream.gaps.get(self.gap).copied();
        let piece = stream.pieces.get(self.next).copied();
        if let Some(gap) = gap
            && piece.is_none_or(|piece| gap.start <= piece.range.start)
        {
            self.gap += 1;
            self.offset = gap.end;
            return Ok(Some(Chunk::Gap(gap)));
        }
        let Some(first) = piece else { return Ok(None) };
        self.window.joined.clear();
        let mut range = ByteRange::new(first.range.start, first.range.start);
        // Where in the window the bytes stand, as long as they are those of one piece.
        let mut alone = None;
        while let Some(piece) = stream.pieces.get(self.next).copied() {
            let another = !range.is_empty();
            let apart = stream.datagrams && stream.continued.binary_search(&self.next).is_err();
            let size = range.len() + piece.range.len();
            if piece.range.start != range.end || (another && (apart || size > JOINED as u64)) {
                break;
            }
            if let Some(part) = alone.take() {
                self.window.joined.extend_from_slice(self.window.bytes.get(part).unwrap_or_default());
            }
            let margin = stream.margins.get(self.next).copied().unwrap_or_default();
            let from = self
                .load(piece.at.saturating_sub(margin.before), piece.at + piece.range.len() + margin.after)?;
            let length = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
            let whole = length(margin.before + piece.range.len() + margin.after);
            let bytes = self.window.bytes.get(from..).and_then(|rest| rest.get(..whole)).unwrap_or_default();
            if stream.checks.get(self.next).is_some_and(|&check| crc32fast::hash(bytes) != check) {
                return Err(ReadError::changed(&stream.capture, piece.at));
            }
            let part = from + length(margin.before)..from + length(margin.before + piece.range.len());
            if another {
                self.window.joined.extend_from_slice(self.window.bytes.get(part).unwrap_or_default());
            } else {
                alone = Some(part);
            }
            range.end = piece.range.end;
            self.next += 1;
        }
        self.offset = range.end;
        let data = match alone {
            Some(part) => self.window.bytes.get(part).unwrap_or_default(),
            None => &self.window.joined,
        };
        if let Some(witness) = &stream.witness {
            witness.lock().unwrap_or_else(PoisonError::into_inner).bytes(range, data);
        }
        Ok(Some(Chunk::Bytes { range, data }))
    }

    /// Has bytes of the capture in the window, and says where in it.
    fn load(&mut self, start: u64, end: u64) -> Result<usize, ReadError> {
        if !self.window.holds(start, end) {
            let until = self.worth_reading(end, start);
            if let Err(error) = self.read(start, until) {
                // Nothing stands there.
                self.window.bytes.clear();
                return Err(ReadError::new(&self.stream.capture, start, error));
            }
        }
        Ok(usize::try_from(start - self.window.at).unwrap_or(usize::MAX))
    }

    /// Fills the window. Whoever else reads at this moment is not waited for.
    fn read(&mut self, start: u64, end: u64) -> io::Result<()> {
        let stream = self.stream;
        if let Ok(mut left) = stream.left.try_lock()
            && left.holds(start, end)
        {
            // What is read of several pieces at this moment stays.
            std::mem::swap(&mut left.joined, &mut self.window.joined);
            std::mem::swap(&mut *left, &mut self.window);
            return Ok(());
        }
        self.window.at = start;
        let near = stream.near.as_ref().filter(|_| end - start <= near::MOST);
        if let Some(mut near) = near.and_then(|near| near.try_lock().ok()) {
            return near.read(&*stream.blob, (start, end), &mut self.window.bytes);
        }
        self.window.bytes.resize(usize::try_from(end - start).unwrap_or(usize::MAX), 0);
        read_exact_at(&*stream.blob, &mut self.window.bytes, start)
    }

    /// How far to read so that following pieces which stand close by come along.
    fn worth_reading(&self, mut until: u64, start: u64) -> u64 {
        for piece in self.stream.pieces.get(self.next + 1..).unwrap_or_default() {
            let end = piece.at.saturating_add(piece.range.len());
            let near = piece.at >= until && piece.at - until <= SKIPPED;
            if !near || end - start > WINDOW {
                break;
            }
            until = end;
        }
        until
    }
}

impl Drop for StreamReader<'_> {
    /// Leaves little to the next reader.
    fn drop(&mut self) {
        let Window { bytes, joined, .. } = &self.window;
        let is_little = bytes.capacity().max(joined.capacity()) <= MAX_LEFT;
        if is_little
            && !bytes.is_empty()
            && let Ok(mut left) = self.stream.left.try_lock()
        {
            *left = std::mem::take(&mut self.window);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Ten bytes a piece, checked as captured ones are; the third piece was not captured.
    fn stream(bytes: &[u8]) -> Stream {
        let mut stream = Stream::empty("memory", Arc::new(bytes.to_vec()));
        stream.from_start = true;
        for (frame, part) in (1..).zip(bytes.chunks(10)) {
            let at = u64::from(frame - 1) * 10;
            let range = ByteRange::new(at, at + part.len() as u64);
            if frame == 3 {
                stream.gaps.push(range);
                continue;
            }
            let piece = Piece { range, at, frame: FrameNo(frame), time: Timestamp(u64::from(frame)) };
            stream.push(piece, crc32fast::hash(part));
        }
        stream
    }

    fn read(stream: &Stream) -> Result<String, ReadError> {
        let mut reader = stream.reader();
        let mut text = String::new();
        while let Some(chunk) = reader.next_chunk()? {
            match chunk {
                Chunk::Bytes { data, .. } => text.push_str(str::from_utf8(data).unwrap()),
                Chunk::Gap(gap) => text.push_str(&format!("<{}>", gap.len())),
            }
        }
        Ok(text)
    }

    const TEXT: &[u8] = b"abcdefghijklmnopqrst----------ABCDEFGHIJ01234";

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange::new(start, end)
    }

    #[test]
    fn parts_follow_each_other_and_keep_frames_and_gaps() {
        let stream = stream(TEXT);
        let parts = stream.parts([range(38, 42), range(5, 5), range(8, 24), range(43, 99)]);
        assert_eq!(read(&parts).unwrap(), "IJ01ijklmnopqrst<4>34");
        assert_eq!(parts.end(), 22);
        let pieces: Vec<_> =
            parts.pieces.iter().map(|piece| (piece.range, piece.at, piece.frame.0)).collect();
        assert_eq!(
            pieces,
            [
                (range(0, 2), 38, 4),
                (range(2, 4), 40, 5),
                (range(4, 6), 8, 1),
                (range(6, 16), 10, 2),
                (range(20, 22), 43, 5)
            ]
        );
        let again = parts.parts([range(1, 5)]);
        assert_eq!(read(&again).unwrap(), "J01i");
    }

    #[test]
    fn parts_of_parts_are_held_to_the_checks_of_their_frames() {
        let mut stream = stream(TEXT);
        let mut changed = TEXT.to_vec();
        // Not in any part, but in the frame of one.
        changed[1] = b'!';
        stream.blob = Arc::new(changed);
        read(&stream.parts([range(8, 12)]).parts([range(0, 3)])).unwrap_err();
        assert_eq!(read(&stream.parts([range(10, 12)])).unwrap(), "kl");
    }

    /// Bytes that can't be read the first time.
    struct Failing {
        bytes: Vec<u8>,
        failed: AtomicBool,
    }

    impl Blob for Failing {
        fn len(&self) -> u64 {
            self.bytes.len() as u64
        }

        fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
            if self.failed.swap(true, Ordering::Relaxed) {
                self.bytes.read_at(buf, offset)
            } else {
                Err(io::ErrorKind::Other.into())
            }
        }
    }

    #[test]
    fn a_read_that_failed_leaves_nothing_behind() {
        let failing = || {
            let blob = Arc::new(Failing { bytes: TEXT.to_vec(), failed: AtomicBool::new(false) });
            Stream { blob, ..Stream::of_bytes(TEXT) }
        };
        let stream = failing();
        let mut reader = stream.reader();
        reader.next_chunk().unwrap_err();
        let chunk = reader.next_chunk().unwrap();
        assert_eq!(chunk, Some(Chunk::Bytes { range: range(0, 45), data: TEXT }), "the same reader");
        let stream = failing();
        read(&stream).unwrap_err();
        assert_eq!(read(&stream).unwrap().as_bytes(), TEXT, "another one");
    }

    #[test]
    fn a_reader_goes_on_with_the_piece_that_holds_a_position() {
        let stream = stream(TEXT);
        let mut reader = stream.reader();
        reader.skip_to(15);
        assert_eq!(reader.offset(), 10);
        let chunk = reader.next_chunk().unwrap();
        assert_eq!(chunk, Some(Chunk::Bytes { range: range(10, 20), data: b"klmnopqrst" }));
        reader.skip_to(3);
        assert_eq!(reader.next_chunk().unwrap(), Some(Chunk::Gap(range(20, 30))));
        reader.skip_to(40);
        assert_eq!(reader.next_chunk().unwrap(), Some(Chunk::Bytes { range: range(40, 45), data: b"01234" }));
        reader.skip_to(45);
        assert_eq!((reader.offset(), reader.next_chunk().unwrap()), (45, None));
    }
}
