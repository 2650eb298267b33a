//! One direction of one flow, put together: bytes by reference, gaps and conflicts kept.

use std::sync::Arc;

use crate::evidence::{Blob, ByteRange, FrameNo, FrameRange, ReadError, Timestamp, read_exact_at};

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
    /// The bytes in question.
    pub range: ByteRange,
    /// Whose bytes stand in the stream (the first that came).
    pub kept: FrameNo,
    /// Whose bytes differ.
    pub other: FrameNo,
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
    /// Whether the first byte is the stream's first (a SYN was seen); always true for UDP.
    pub from_start: bool,
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

impl Stream {
    /// One past the last byte, gaps included.
    pub fn end(&self) -> u64 {
        let pieces = self.pieces.last().map_or(0, |piece| piece.range.end);
        self.gaps.last().map_or(pieces, |gap| gap.end.max(pieces))
    }

    /// Bytes that were captured.
    pub fn present(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.range.len()).sum()
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

    /// Walks the stream from its start.
    pub fn reader(&self) -> StreamReader<'_> {
        StreamReader { stream: self, offset: 0, next: 0, gap: 0, buffer: Vec::new() }
    }

    /// A stream that is one slice of memory in one frame: for tests of what reads streams.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let range = ByteRange::new(0, bytes.len() as u64);
        let piece = Piece { range, at: 0, frame: FrameNo(1), time: Timestamp(0) };
        Self {
            capture: "memory".to_owned(),
            blob: Arc::new(bytes.to_vec()),
            pieces: if bytes.is_empty() { Vec::new() } else { vec![piece] },
            gaps: Vec::new(),
            conflicts: Vec::new(),
            from_start: true,
        }
    }
}

/// Walks a stream chunk by chunk.
pub struct StreamReader<'s> {
    stream: &'s Stream,
    offset: u64,
    next: usize,
    gap: usize,
    buffer: Vec<u8>,
}

impl StreamReader<'_> {
    /// Where the next chunk starts.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Gives the next chunk, or `None` at the end. A chunk never spans two pieces of UDP.
    ///
    /// # Errors
    /// When the capture can't be read any more or is not what it was.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk<'_>>, ReadError> {
        let gap = self.stream.gaps.get(self.gap).copied();
        let piece = self.stream.pieces.get(self.next).copied();
        if let Some(gap) = gap
            && piece.is_none_or(|piece| gap.start <= piece.range.start)
        {
            self.gap += 1;
            self.offset = gap.end;
            return Ok(Some(Chunk::Gap(gap)));
        }
        let Some(piece) = piece else { return Ok(None) };
        self.next += 1;
        self.offset = piece.range.end;
        self.buffer.resize(usize::try_from(piece.range.len()).unwrap_or(0), 0);
        read_exact_at(&*self.stream.blob, &mut self.buffer, piece.at)
            .map_err(|error| ReadError::new(&self.stream.capture, piece.at, error))?;
        Ok(Some(Chunk::Bytes { range: piece.range, data: &self.buffer }))
    }
}
