//! Digests of the runs of bytes that a stream holds between its gaps.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::lockstep::{Digests, Slot};
use crate::{
    engine::net::stream::{Chunk, Stream, Witness},
    evidence::{ByteRange, ReadError},
    findings::inspection::Island,
};

/// Digests that many hands work on.
pub(super) type Shared = Arc<Mutex<Digests>>;

/// The digests, whatever became of who had them last.
pub(super) fn lock(digests: &Shared) -> MutexGuard<'_, Digests> {
    digests.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The islands of one stream, digested while others read it.
pub(super) struct Islands {
    digests: Shared,
    /// Those that are not digested to their ends, first one first.
    ranges: std::vec::IntoIter<ByteRange>,
    /// The one under way, from where it is not digested yet.
    current: Option<(ByteRange, u64, Slot)>,
    done: Vec<Island>,
}

impl Islands {
    /// Watches a stream that nobody has read yet.
    pub(super) fn watch(stream: &mut Stream, digests: &Shared) -> Arc<Mutex<Self>> {
        let islands = Arc::new(Mutex::new(Self::new(stream, digests)));
        stream.watch(Arc::<Mutex<Self>>::clone(&islands));
        islands
    }

    fn new(stream: &Stream, digests: &Shared) -> Self {
        let ranges = stream.islands().into_iter();
        let mut islands = Self { digests: Arc::clone(digests), ranges, current: None, done: Vec::new() };
        islands.next();
        islands
    }

    fn next(&mut self) {
        let range = self.ranges.next();
        self.current = range.map(|range| (range, range.start, lock(&self.digests).open()));
    }

    /// Reads what nobody has read, and gives all islands in order.
    ///
    /// # Errors
    /// When the capture can't be read any more or is not what it was.
    pub(super) fn finish(islands: &Mutex<Self>, stream: &Stream) -> Result<Vec<Island>, ReadError> {
        let own = || islands.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reader = stream.reader();
        while let Some(at) = { own().current.map(|(_, at, _)| at) } {
            reader.skip_to(at);
            // The reader shows it to the witness.
            if reader.next_chunk()?.is_none() {
                break;
            }
        }
        Ok(std::mem::take(&mut own().done))
    }
}

impl Witness for Islands {
    fn bytes(&mut self, range: ByteRange, data: &[u8]) {
        let Some((island, at, slot)) = &mut self.current else { return };
        let end = range.end.min(island.end);
        if range.start > *at || end <= *at {
            return;
        }
        let place = |at: u64| usize::try_from(at - range.start).unwrap_or(usize::MAX);
        let mut digests = lock(&self.digests);
        digests.write(*slot, data.get(place(*at)..place(end)).unwrap_or_default());
        *at = end;
        if end == island.end {
            let sha256 = digests.finish(*slot);
            self.done.push(Island { offset: island.start, len: island.len(), sha256 });
            drop(digests);
            self.next();
        }
    }
}

/// Reads a stream through and digests its islands.
///
/// # Errors
/// When the capture can't be read any more or is not what it was.
pub(super) fn islands(stream: &Stream, digests: &Shared) -> Result<Vec<Island>, ReadError> {
    let mut islands = Islands::new(stream, digests);
    let mut reader = stream.reader();
    while let Some(chunk) = reader.next_chunk()? {
        if let Chunk::Bytes { range, data } = chunk {
            islands.bytes(range, data);
        }
    }
    Ok(islands.done)
}
