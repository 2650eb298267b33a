//! References to payloads, forty bytes each, sorted by flow; spilled where there are many.
//!
//! Payloads come in order of capture and are wanted flow by flow. They are collected in runs: a run is
//! filled, sorted by end and frame, and when it is full it is written to a scratch file as it stands. One
//! end's references are then the concatenation of its part of every run, found by binary search with the
//! help of a sparse table of keys. So memory is bounded by one run and a few kilobytes for each spilled
//! one, whatever the capture's size, and nothing has to be merged.

use std::{
    fs::File,
    io::{self, Write},
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::evidence::{FileBlob, Scratch, read_exact_at};

/// References held in memory: 40 MiB, enough for a capture of 1.5 GB at full segments.
const RUN: usize = 1 << 20;
/// References between two entries of a spilled run's table; their bytes are read at once.
const STRIDE: usize = 1 << 10;
/// Bytes of a reference when written.
const SIZE: usize = 40;

/// Which end of which flow: the flow's number and which end sent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EndKey(u32);

impl EndKey {
    /// Flows that can be told apart.
    pub(super) const MAX_FLOWS: u32 = 1 << 31;

    pub(super) fn new(flow: u32, end: usize) -> Self {
        Self(flow << 1 | u32::from(end != 0))
    }
}

/// One payload, by reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) key: EndKey,
    pub(super) frame: u32,
    pub(super) at: u64,
    pub(super) time: u64,
    /// The first byte's sequence number; of UDP the count of datagrams and their parts.
    pub(super) seq: u32,
    pub(super) len: u32,
    /// CRC-32 of the payload as it was when it was indexed.
    pub(super) crc: u32,
    /// Bytes that the frame had after these and the capture does not hold, below the marks.
    pub(super) tail: u32,
}

impl Segment {
    /// Marks the garbage byte of a keep-alive.
    pub(super) const KEEP_ALIVE: u32 = 1 << 31;
    /// Marks UDP.
    pub(super) const DATAGRAM: u32 = 1 << 30;
    /// Marks what continues the datagram before it (another fragment's part).
    pub(super) const CONTINUES: u32 = 1 << 29;
    /// Marks text in a RST, which is no data (RFC 9293 section 3.5.3).
    pub(super) const RESET: u32 = 1 << 28;
    const MARKS: u32 = Self::KEEP_ALIVE | Self::DATAGRAM | Self::CONTINUES | Self::RESET;

    /// A tail without marks.
    pub(super) fn tail(missing: usize) -> u32 {
        u32::try_from(missing).unwrap_or(u32::MAX).min(!Self::MARKS)
    }

    pub(super) fn missing(&self) -> u32 {
        self.tail & !Self::MARKS
    }

    pub(super) fn has(&self, mark: u32) -> bool {
        self.tail & mark != 0
    }

    /// Order of capture; parts of a datagram stand in its order. One frame may hold several packets.
    fn order(&self) -> (EndKey, u32, u64) {
        (self.key, if self.has(Self::DATAGRAM) { self.seq } else { self.frame }, self.at)
    }

    fn write(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        let (wide, narrow) = bytes.split_at_mut(16);
        for (to, from) in wide.as_chunks_mut::<8>().0.iter_mut().zip([self.at, self.time]) {
            *to = from.to_le_bytes();
        }
        let fields = [self.key.0, self.frame, self.seq, self.len, self.crc, self.tail];
        for (to, from) in narrow.as_chunks_mut::<4>().0.iter_mut().zip(fields) {
            *to = from.to_le_bytes();
        }
        bytes
    }

    fn read(bytes: &[u8; SIZE]) -> Self {
        let (wide, narrow) = bytes.split_at(16);
        let wide = |i: usize| wide.as_chunks().0.get(i).copied().map_or(0, u64::from_le_bytes);
        let narrow = |i: usize| narrow.as_chunks().0.get(i).copied().map_or(0, u32::from_le_bytes);
        Self {
            at: wide(0),
            time: wide(1),
            key: EndKey(narrow(0)),
            frame: narrow(1),
            seq: narrow(2),
            len: narrow(3),
            crc: narrow(4),
            tail: narrow(5),
        }
    }
}

/// A run that was written.
struct Spilled {
    /// Where in the scratch file, in references.
    start: u64,
    len: usize,
    /// The key of every [`STRIDE`]th reference.
    keys: Vec<EndKey>,
}

/// Collects references in order of capture.
pub(super) struct Collector {
    scratch: Scratch,
    run: Vec<Segment>,
    run_size: usize,
    file: Option<File>,
    spilled: Vec<Spilled>,
}

/// All references of a capture, by end.
pub(super) struct Segments {
    run: Vec<Segment>,
    /// Where in the run those end that were asked for last: a guess, which saves a search.
    last: AtomicUsize,
    file: Option<FileBlob>,
    spilled: Vec<Spilled>,
}

impl Collector {
    pub(super) fn new(scratch: &Scratch) -> Self {
        Self::with_run(scratch, RUN)
    }

    fn with_run(scratch: &Scratch, run_size: usize) -> Self {
        Self { scratch: scratch.clone(), run: Vec::new(), run_size, file: None, spilled: Vec::new() }
    }

    pub(super) fn push(&mut self, segment: Segment) -> io::Result<()> {
        if self.run.len() >= self.run_size {
            self.spill()?;
        }
        self.run.push(segment);
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        self.run.sort_unstable_by_key(Segment::order);
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(self.scratch.file()?),
        };
        let mut out = io::BufWriter::with_capacity(SIZE * STRIDE, file);
        for segment in &self.run {
            out.write_all(&segment.write())?;
        }
        out.flush()?;
        let start = self.spilled.last().map_or(0, |last| last.start + last.len as u64);
        let keys = self.run.iter().step_by(STRIDE).map(|segment| segment.key).collect();
        self.spilled.push(Spilled { start, len: self.run.len(), keys });
        self.run.clear();
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<Segments> {
        self.run.sort_unstable_by_key(Segment::order);
        self.run.shrink_to_fit();
        let file = self.file.map(FileBlob::new).transpose()?;
        Ok(Segments { run: self.run, last: AtomicUsize::new(0), file, spilled: self.spilled })
    }
}

impl Segments {
    /// One end's references, in order of capture.
    pub(super) fn of(&self, key: EndKey) -> io::Result<Vec<Segment>> {
        let mut found = Vec::new();
        if let Some(file) = &self.file {
            for run in &self.spilled {
                run.find(key, file, &mut found)?;
            }
        }
        let from = self.start(key);
        let run = self.run.get(from..).unwrap_or_default();
        let len = run.iter().take_while(|segment| segment.key == key).count();
        found.extend_from_slice(run.get(..len).unwrap_or_default());
        self.last.store(from + len, Ordering::Relaxed);
        Ok(found)
    }

    /// Where the references of an end begin in the run, or would. Ends are mostly asked for one after the other.
    fn start(&self, key: EndKey) -> usize {
        let last = self.last.load(Ordering::Relaxed);
        let (before, after) = self.run.split_at_checked(last).unwrap_or_default();
        let follows = before.last().is_none_or(|segment| segment.key < key)
            && after.first().is_none_or(|segment| segment.key >= key);
        if follows { last } else { self.run.partition_point(|segment| segment.key < key) }
    }
}

impl Spilled {
    fn find(&self, key: EndKey, file: &FileBlob, found: &mut Vec<Segment>) -> io::Result<()> {
        // The first of the key stands in the stride before the first table entry that is not below it.
        let first = self.keys.partition_point(|&entry| entry < key).saturating_sub(1);
        let last = self.keys.partition_point(|&entry| entry <= key);
        let mut bytes = vec![0; SIZE * STRIDE];
        for stride in first..last {
            let from = stride * STRIDE;
            let len = (self.len - from).min(STRIDE) * SIZE;
            let Some(part) = bytes.get_mut(..len) else { break };
            read_exact_at(file, part, (self.start + from as u64) * SIZE as u64)?;
            let segments = part.as_chunks().0.iter().map(Segment::read);
            found.extend(segments.filter(|segment| segment.key == key));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(flow: u32, frame: u32) -> Segment {
        Segment {
            key: EndKey::new(flow, usize::from(frame.is_multiple_of(3))),
            frame,
            at: u64::from(frame) << 33 | 7,
            time: u64::from(frame) << 40 | 9,
            seq: frame.wrapping_mul(0x0101_0101),
            len: frame + 1,
            crc: !frame,
            tail: frame & 0xff,
        }
    }

    #[test]
    fn spilled_runs_give_back_every_reference_in_order_of_capture() {
        let scratch = Scratch::new(std::env::temp_dir());
        let mut collector = Collector::with_run(&scratch, 5_000);
        let all: Vec<Segment> = (1..=23_456).map(|frame| segment(frame * 7919 % 41, frame)).collect();
        all.iter().for_each(|&segment| collector.push(segment).unwrap());
        let segments = collector.finish().unwrap();
        assert_eq!(segments.spilled.len(), 4);
        let mut seen = 0;
        // One after the other, and in no order.
        for end in (0..84).chain((0..84).map(|end| end * 37 % 84)) {
            let key = EndKey::new(end / 2, usize::from(end % 2 == 1));
            let expected: Vec<Segment> = all.iter().copied().filter(|s| s.key == key).collect();
            assert_eq!(segments.of(key).unwrap(), expected);
            seen += expected.len();
        }
        assert_eq!(seen, 2 * all.len());
    }

    #[test]
    fn a_reference_takes_forty_bytes() {
        assert_eq!(size_of::<Segment>(), SIZE);
    }
}
