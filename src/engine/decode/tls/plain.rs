//! The content of records as a stream: where each record's content stands, decrypted again whenever it is read.

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    sync::{Arc, Mutex, PoisonError},
};

use super::super::within::Places;
use crate::{
    engine::{
        net::stream::{Piece, Stream},
        proto::tls::{Header, Opened, Protection},
    },
    evidence::{Blob, ByteRange, FileBlob, FrameNo, ReadError, Scratch, Timestamp, read_exact_at},
};

/// Records of one direction whose content is read: 16 GB in full records. Each costs 130 bytes of memory.
pub(super) const MAX_RECORDS: usize = 1 << 20;

/// One record.
#[derive(Clone, Copy)]
struct Entry {
    /// Where its content starts, without what is missing before it.
    at: u64,
    /// Where its payload starts in the stream around.
    payload: u64,
    payload_len: u16,
    /// Bytes of content.
    len: u16,
    header: Header,
    number: u64,
    /// Which of the protections.
    epoch: u32,
}

/// Content while it is gathered.
pub(super) struct Plain {
    scratch: Scratch,
    /// Bytes of a record's header.
    header: u64,
    entries: Vec<Entry>,
    epochs: Vec<Arc<Protection>>,
    pieces: Vec<Piece>,
    gaps: Vec<ByteRange>,
    places: Places,
    /// Where the next content stands in the stream that is made, and without what is missing.
    end: u64,
    at: u64,
    /// What is missing before the next content.
    missing: u64,
    records: Option<ByteRange>,
    /// Content of ciphers that can't be read again from the middle.
    spool: Option<BufWriter<File>>,
    failed: Option<io::Error>,
}

/// Content that is a stream now.
pub(super) struct Read {
    pub(super) stream: Stream,
    pub(super) places: Places,
    /// From the first to the last record in the stream around.
    pub(super) records: ByteRange,
    /// Bytes of content.
    pub(super) len: u64,
}

impl Plain {
    /// Begins with the first of records whose headers have `header` bytes.
    pub(super) fn new(scratch: &Scratch, header: u64) -> Self {
        Self {
            scratch: scratch.clone(),
            header,
            entries: Vec::new(),
            epochs: Vec::new(),
            pieces: Vec::new(),
            gaps: Vec::new(),
            places: Places::default(),
            end: 0,
            at: 0,
            missing: 0,
            records: None,
            spool: None,
            failed: None,
        }
    }

    /// Content of about this many bytes is not there.
    pub(super) fn missing(&mut self, bytes: u64) {
        self.missing = self.missing.saturating_add(bytes);
    }

    /// Adds a record's content; false where there are too many.
    pub(super) fn push(&mut self, record: &Opened, content: &[u8], stream: &Stream) -> bool {
        if self.entries.len() >= MAX_RECORDS {
            self.missing(content.len() as u64);
            return false;
        }
        let records = self.records.get_or_insert(record.record);
        records.end = record.record.end;
        if content.is_empty() {
            return true;
        }
        if self.missing > 0 {
            let gap = ByteRange::new(self.end, self.end.saturating_add(self.missing));
            (self.end, self.missing) = (gap.end, 0);
            self.gaps.push(gap);
        }
        if !self.epochs.last().is_some_and(|last| Arc::ptr_eq(last, &record.protection)) {
            self.epochs.push(record.protection.clone());
        }
        let range = ByteRange::new(self.end, self.end + content.len() as u64);
        // The content is there when the record's last byte is.
        let last = ByteRange::new(record.record.end.saturating_sub(1), record.record.end);
        let (frame, time) = match stream.pieces_in(last).first() {
            Some(piece) => (piece.frame, piece.time),
            None => (FrameNo(0), Timestamp(0)),
        };
        let payload = record.record.start + self.header;
        let short = |len: u64| u16::try_from(len).unwrap_or(u16::MAX);
        self.pieces.push(Piece { range, at: self.at, frame, time });
        self.places.push(range, record.content.start);
        self.entries.push(Entry {
            at: self.at,
            payload,
            payload_len: short(record.record.end - payload),
            len: short(content.len() as u64),
            header: record.header,
            number: record.number,
            epoch: u32::try_from(self.epochs.len() - 1).unwrap_or(u32::MAX),
        });
        self.at += content.len() as u64;
        self.end = range.end;
        self.keep(record, content);
        true
    }

    /// Writes content to scratch where it can't be decrypted again from the middle.
    fn keep(&mut self, record: &Opened, content: &[u8]) {
        if self.failed.is_some() || !record.protection.is_sequential() {
            return;
        }
        let result = match &mut self.spool {
            Some(spool) => spool.write_all(content),
            None => self.scratch.file().and_then(|file| {
                // Positions in the file are those of the content, also behind other ciphers.
                let mut file = BufWriter::new(file);
                io::Seek::seek(&mut file, io::SeekFrom::Start(self.at - content.len() as u64))?;
                file.write_all(content)?;
                self.spool = Some(file);
                Ok(())
            }),
        };
        self.failed = result.err();
    }

    /// Ends the content, as a stream.
    ///
    /// # Errors
    /// When the scratch folder can't be written.
    pub(super) fn finish(mut self, around: &Stream) -> Result<Read, ReadError> {
        if self.missing > 0 && !self.pieces.is_empty() {
            self.gaps.push(ByteRange::new(self.end, self.end.saturating_add(self.missing)));
        }
        let failed = |error| ReadError::new(&around.capture, 0, error);
        if let Some(error) = self.failed {
            return Err(failed(error));
        }
        let spool = match self.spool {
            Some(spool) => {
                let file = spool.into_inner().map_err(|error| failed(error.into_error()))?;
                Some(FileBlob::new(file).map_err(failed)?)
            }
            None => None,
        };
        let blob = Decrypted {
            around: (!self.entries.is_empty()).then(|| around.clone()),
            header: self.header,
            entries: self.entries,
            epochs: self.epochs,
            len: self.at,
            spool,
            last: Mutex::new((usize::MAX, Vec::new())),
        };
        let mut stream = Stream::empty(&around.capture, Arc::new(blob));
        stream.from_start = self.gaps.first().is_none_or(|gap| gap.start > 0);
        stream.pieces = self.pieces;
        stream.gaps = self.gaps;
        Ok(Read { stream, places: self.places, records: self.records.unwrap_or_default(), len: self.at })
    }
}

/// Content, decrypted as it is read.
struct Decrypted {
    around: Option<Stream>,
    header: u64,
    entries: Vec<Entry>,
    epochs: Vec<Arc<Protection>>,
    len: u64,
    spool: Option<FileBlob>,
    /// The record that was read last: readers come back for the rest of it.
    last: Mutex<(usize, Vec<u8>)>,
}

impl Decrypted {
    /// Has the content of a record in `out`.
    fn open(&self, entry: &Entry, out: &mut Vec<u8>) -> io::Result<()> {
        let gone = || io::Error::other("the input changed while it was read");
        let epoch = usize::try_from(entry.epoch).unwrap_or(usize::MAX);
        let (Some(protection), Some(around)) = (self.epochs.get(epoch), &self.around) else {
            return Err(gone());
        };
        if protection.is_sequential() {
            out.resize(entry.len.into(), 0);
            let spool = self.spool.as_ref().ok_or_else(gone)?;
            return read_exact_at(spool, out, entry.at);
        }
        // A chained IV is the last block before the header.
        let before = if entry.number > 0 { protection.needs_before() as u64 } else { 0 };
        let payload_end = entry.payload + u64::from(entry.payload_len);
        let header = entry.payload - self.header;
        let tail = read(around, ByteRange::new(header.saturating_sub(before), header))?;
        let payload = read(around, ByteRange::new(entry.payload, payload_end))?;
        let chain = protection.chain_at(entry.number, &tail, None).ok_or_else(gone)?;
        let opened = protection.open(entry.number, entry.header, &payload, &chain, out).ok_or_else(gone)?;
        if opened.len == usize::from(entry.len) { Ok(()) } else { Err(gone()) }
    }
}

/// Reads a range of a stream that has no gap.
fn read(stream: &Stream, range: ByteRange) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(range.len()).unwrap_or(0)];
    let mut said = 0;
    for piece in stream.pieces_in(range) {
        let Some(both) = piece.range.intersection(range) else { continue };
        let end = said + usize::try_from(both.len()).unwrap_or(0);
        let part = bytes.get_mut(said..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        read_exact_at(&*stream.blob, part, piece.at + (both.start - piece.range.start))?;
        said = end;
    }
    if said == bytes.len() { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

impl Blob for Decrypted {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let at = self.entries.partition_point(|entry| entry.at + u64::from(entry.len) <= offset);
        let Some(entry) = self.entries.get(at) else { return Ok(0) };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, content) = &mut *last;
        if *number != at {
            *number = usize::MAX;
            self.open(entry, content)?;
            *number = at;
        }
        let from = usize::try_from(offset - entry.at).unwrap_or(usize::MAX);
        let content = content.get(from..).unwrap_or_default();
        let len = content.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..len), content.get(..len)) {
            to.copy_from_slice(from);
        }
        Ok(len)
    }
}
