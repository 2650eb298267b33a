//! Records in one direction (RFC 8446 section 5.1), whole, however they are cut into segments and whatever is missing.

use super::protection::Header;
use crate::{
    engine::net::stream::{Chunk, Stream, StreamReader},
    evidence::{ByteRange, ReadError},
};

/// A record's payload: 2^14 and what old ciphers add (RFC 5246 section 6.2.3).
pub(super) const MAX_RECORD: usize = (1 << 14) + 2048;

/// Bytes of a header.
pub(super) const HEADER: usize = 5;

pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const APPLICATION_DATA: u8 = 23;
/// RFC 6520.
const HEARTBEAT: u8 = 24;

/// How far behind a gap records are looked for: four of them. Whoever misses more has a new gap behind that.
const SEARCH: u64 = 4 * (MAX_RECORD + HEADER) as u64;

/// What stands next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A whole record.
    Record(Record),
    /// A record of which bytes are missing; the next one follows it.
    Broken(ByteRange),
    /// Bytes that are missing where records start: which bytes start one is not known any more.
    Lost(ByteRange),
    /// No record where one must start.
    Malformed(u64),
    /// Bytes that are not known to be of any record.
    Unknown(ByteRange),
    /// Nothing.
    End,
}

/// A record and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) header: Header,
    /// Its header and its payload.
    pub(super) range: ByteRange,
}

impl Record {
    /// Where its payload stands.
    pub(super) fn payload(&self) -> ByteRange {
        ByteRange::new(self.range.start + HEADER as u64, self.range.end)
    }
}

/// Says whether a record that may stand here is one: given it, its payload, and what stands before it.
pub(super) type Attempt<'a> = dyn FnMut(&Record, &[u8], Option<&[u8]>) -> bool + 'a;

/// Reads the records of one direction.
pub(super) struct Records<'s> {
    reader: StreamReader<'s>,
    /// Captured bytes without a gap; those before `start` are passed, and kept as long as they may be asked for.
    held: Vec<u8>,
    start: usize,
    /// Where in the stream `held[start]` stands.
    at: u64,
    /// What follows the held bytes.
    gap: Option<ByteRange>,
    ended: bool,
    /// Whether a record starts at `start`.
    synced: bool,
    /// How far records are looked for.
    search_until: u64,
}

impl<'s> Records<'s> {
    pub(super) fn new(stream: &'s Stream) -> Self {
        Self {
            reader: stream.reader(),
            held: Vec::new(),
            start: 0,
            at: 0,
            gap: None,
            ended: false,
            synced: stream.from_start,
            search_until: SEARCH,
        }
    }

    /// Bytes that have not passed yet.
    fn rest(&self) -> &[u8] {
        self.held.get(self.start..).unwrap_or_default()
    }

    /// Reads until `wanted` bytes are held or a gap or the end comes.
    fn fill(&mut self, wanted: usize) -> Result<(), ReadError> {
        while self.rest().len() < wanted && self.gap.is_none() && !self.ended {
            match self.reader.next_chunk()? {
                None => self.ended = true,
                Some(Chunk::Gap(gap)) => self.gap = Some(gap),
                Some(Chunk::Bytes { range, data }) => {
                    if self.start >= self.held.len() {
                        self.held.clear();
                        (self.start, self.at) = (0, range.start);
                    } else if self.start > MAX_RECORD {
                        // What was passed is kept as far back as one block: a chained IV stands there.
                        self.held.drain(..self.start - KEPT);
                        self.start = KEPT;
                    }
                    self.held.extend_from_slice(data);
                }
            }
        }
        Ok(())
    }

    fn pass(&mut self, count: usize) -> ByteRange {
        let count = count.min(self.rest().len());
        let range = ByteRange::new(self.at, self.at + count as u64);
        self.start += count;
        self.at = range.end;
        range
    }

    /// The first bytes of the stream, at most `count`.
    pub(super) fn peek(&mut self, count: usize) -> Result<&[u8], ReadError> {
        self.fill(count)?;
        let rest = self.rest();
        Ok(rest.get(..count).unwrap_or(rest))
    }

    /// Where what stands next starts.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// A record starts at what stands next.
    pub(super) fn sync(&mut self) {
        self.synced = true;
    }

    /// Takes bytes off that are no record.
    pub(super) fn skip(&mut self, count: usize) -> ByteRange {
        self.pass(count)
    }

    /// Says what stands next; it stays there until [`Self::consume`].
    pub(super) fn next(&mut self) -> Result<Next, ReadError> {
        self.fill(HEADER)?;
        if self.rest().is_empty() {
            return Ok(match self.gap {
                Some(gap) => Next::Lost(gap),
                None => Next::End,
            });
        }
        if !self.synced {
            return Ok(Next::Unknown(ByteRange::new(self.at, self.at + self.rest().len() as u64)));
        }
        let Some((header, len)) = header(self.rest()) else {
            return Ok(if self.rest().len() < HEADER {
                Next::Broken(ByteRange::new(self.at, self.at + self.rest().len() as u64))
            } else {
                Next::Malformed(self.at)
            });
        };
        let whole = HEADER + len;
        self.fill(whole)?;
        let range = ByteRange::new(self.at, self.at + whole as u64);
        Ok(if self.rest().len() >= whole {
            Next::Record(Record { header, range })
        } else {
            Next::Broken(range)
        })
    }

    /// The payload of the record that stands next.
    pub(super) fn payload(&self, record: &Record) -> &[u8] {
        let len = usize::try_from(record.range.len()).unwrap_or(usize::MAX);
        self.rest().get(HEADER..len).unwrap_or_default()
    }

    /// Passes what [`Self::next`] said, and tells of each run of captured bytes in it.
    pub(super) fn consume(&mut self, next: &Next, each: &mut dyn FnMut(ByteRange)) -> Result<(), ReadError> {
        match next {
            Next::Record(record) => {
                each(self.pass(usize::try_from(record.range.len()).unwrap_or(usize::MAX)));
            }
            Next::Broken(range) => self.pass_broken(range.end, each)?,
            Next::Lost(gap) => self.pass_gap(*gap),
            Next::Malformed(_) => {
                self.synced = false;
                self.search_until = self.at + SEARCH;
            }
            Next::Unknown(_) => each(self.pass(self.rest().len())),
            Next::End => {}
        }
        Ok(())
    }

    fn pass_gap(&mut self, gap: ByteRange) {
        self.gap = None;
        self.held.clear();
        (self.start, self.at) = (0, gap.end);
        self.synced = false;
        self.search_until = gap.end + SEARCH;
    }

    /// Passes a record of which bytes are missing.
    fn pass_broken(&mut self, end: u64, each: &mut dyn FnMut(ByteRange)) -> Result<(), ReadError> {
        loop {
            self.fill(1)?;
            let left = usize::try_from(end.saturating_sub(self.at)).unwrap_or(usize::MAX);
            let range = self.pass(left);
            if !range.is_empty() {
                each(range);
            }
            if self.at >= end {
                return Ok(());
            }
            match self.gap {
                Some(gap) if self.rest().is_empty() => {
                    self.pass_gap(gap);
                    if gap.end > end {
                        return Ok(());
                    }
                    self.synced = true;
                }
                _ if self.ended && self.rest().is_empty() => return Ok(()),
                _ => {}
            }
        }
    }

    /// Looks for a record among unknown bytes: each that could be one is tried. True if one was taken; then it stands
    /// next. Bytes before it are told of.
    pub(super) fn search(
        &mut self,
        attempt: &mut Attempt<'_>,
        each: &mut dyn FnMut(ByteRange),
    ) -> Result<bool, ReadError> {
        let begin = self.at;
        while self.at < self.search_until {
            self.fill(HEADER)?;
            if self.rest().len() < HEADER {
                break;
            }
            if let Some((header, len)) = header(self.rest())
                && len > 0
            {
                self.fill(HEADER + len)?;
                let range = ByteRange::new(self.at, self.at + (HEADER + len) as u64);
                let record = Record { header, range };
                let before = self.start.checked_sub(KEPT).and_then(|from| self.held.get(from..self.start));
                if self.rest().len() >= HEADER + len && attempt(&record, self.payload(&record), before) {
                    self.synced = true;
                    if begin < self.at {
                        each(ByteRange::new(begin, self.at));
                    }
                    return Ok(true);
                }
            }
            self.pass(1);
        }
        if begin < self.at {
            each(ByteRange::new(begin, self.at));
        }
        Ok(false)
    }

    /// Whether records are still looked for here.
    pub(super) fn is_searching(&self) -> bool {
        self.at < self.search_until
    }
}

/// Bytes kept of what was passed: the largest block of a cipher.
const KEPT: usize = 16;

/// Reads a header.
fn header(bytes: &[u8]) -> Option<(Header, usize)> {
    let &[kind, major, minor, high, low, ..] = bytes else { return None };
    let len = usize::from(u16::from_be_bytes([high, low]));
    let known = (CHANGE_CIPHER_SPEC..=HEARTBEAT).contains(&kind) && major == 3 && minor <= 4;
    let version = u16::from_be_bytes([major, minor]);
    (known && len <= MAX_RECORD).then_some((Header { kind, version }, len))
}
