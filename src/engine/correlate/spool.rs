//! Leaves that are no whole file, kept until all conversations are through.
//!
//! Bytes and provenance stand in one address space: the first megabytes in memory, the rest in an unlinked
//! scratch file. In memory remains a short record for each leaf.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::hit::FlowRef;
use crate::evidence::{Blob, FileBlob, ReadError, Scratch, read_exact_at};

/// Kept in memory before a scratch file is made: what small captures leave over fits.
const IN_MEMORY: usize = 4 << 20;
/// A spool that came to no more than this is read back as a whole: its leaves are compared in hundreds of thousands of
/// little pieces.
const READ_BACK: u64 = 32 << 20;
/// Gathered before it is written, so that many small leaves are not many writes.
const GATHER: usize = 256 << 10;
/// The name that errors give to the scratch file.
pub(super) const SCRATCH: &str = "the scratch file";

/// Bytes that were put into a spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Extent {
    pub(super) at: u64,
    pub(super) len: u64,
}

/// One leaf that was kept.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) flow: FlowRef,
    pub(super) serial: u32,
    pub(super) len: u64,
    /// Where it came from, serialized.
    pub(super) origin: Extent,
    pub(super) extents: Box<[Extent]>,
}

/// Takes the leaves of all conversations, from any thread. The order in which they come never shows.
pub struct Spool {
    scratch: Scratch,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    memory: Vec<u8>,
    file: Option<File>,
    /// Bytes at the end of the file that are not written yet.
    tail: Vec<u8>,
    end: u64,
    leaves: Vec<Stored>,
    free: Vec<Extent>,
}

impl Spool {
    /// Will make its file in `scratch` when memory no longer does.
    pub fn new(scratch: Scratch) -> Self {
        Self { scratch, state: Arc::default() }
    }

    pub(super) fn append(&self, bytes: &[u8]) -> Result<Extent, ReadError> {
        let mut state = self.lock();
        let at = state.end;
        state.append(bytes, &self.scratch).map_err(|error| ReadError::new(SCRATCH, at, error))
    }

    /// All that was put in so far, by its place, to be read while more is put in.
    pub(super) fn blob(&self) -> Arc<dyn Blob> {
        Arc::new(Open(self.state.clone()))
    }

    /// A whole extent.
    pub(super) fn read(&self, extent: Extent) -> Result<Vec<u8>, ReadError> {
        let mut bytes = vec![0; usize::try_from(extent.len).unwrap_or(0)];
        read_exact_at(&*self.blob(), &mut bytes, extent.at)
            .map_err(|error| ReadError::new(SCRATCH, extent.at, error))?;
        Ok(bytes)
    }

    /// Gives extents back that hold nothing of interest any more.
    pub(super) fn release(&self, extents: Vec<Extent>) {
        self.lock().free.extend(extents);
    }

    pub(super) fn keep(&self, leaf: Stored) {
        self.lock().leaves.push(leaf);
    }

    /// Ends writing. Leaves are then sorted by flow and serial number.
    pub(super) fn close(self) -> Result<Store, ReadError> {
        let mut state = std::mem::take(&mut *self.lock());
        let end = state.end;
        let failed = |error| ReadError::new(SCRATCH, end, error);
        state.flush().map_err(failed)?;
        state.leaves.sort_unstable_by_key(|leaf| (leaf.flow, leaf.serial));
        let mut file = state.file.map(FileBlob::new).transpose().map_err(failed)?;
        if let Some(whole) = file.take_if(|file| state.memory.len() as u64 + file.len() <= READ_BACK) {
            let start = state.memory.len();
            state.memory.resize(start + usize::try_from(whole.len()).unwrap_or(0), 0);
            let rest = state.memory.get_mut(start..).unwrap_or_default();
            read_exact_at(&whole, rest, 0).map_err(failed)?;
        }
        Ok(Store { memory: state.memory, file, leaves: state.leaves, scratch: self.scratch })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A spool that is still written to.
struct Open(Arc<Mutex<State>>);

impl Blob for Open {
    fn len(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).end
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).read_at(buf, offset)
    }
}

impl State {
    fn read_at(&mut self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let Some(from) = at.checked_sub(self.memory.len() as u64) else {
            return self.memory.read_at(buf, at);
        };
        self.flush()?;
        let Some(file) = &mut self.file else { return Ok(0) };
        file.seek(SeekFrom::Start(from))?;
        file.read(buf)
    }

    fn append(&mut self, bytes: &[u8], scratch: &Scratch) -> io::Result<Extent> {
        let len = bytes.len() as u64;
        if let Some(extent) = self.reuse(bytes)? {
            return Ok(extent);
        }
        let extent = Extent { at: self.end, len };
        if self.file.is_none() && self.memory.len() + bytes.len() <= IN_MEMORY {
            self.memory.extend_from_slice(bytes);
        } else {
            if self.file.is_none() {
                self.file = Some(scratch.file()?);
            }
            self.tail.extend_from_slice(bytes);
            if self.tail.len() >= GATHER {
                self.flush()?;
            }
        }
        self.end = self.end.saturating_add(len);
        Ok(extent)
    }

    /// Writes into a released extent of the same length, if there is one in the file.
    fn reuse(&mut self, bytes: &[u8]) -> io::Result<Option<Extent>> {
        let memory = self.memory.len() as u64;
        let written = self.end - self.tail.len() as u64;
        let fits = |extent: &Extent| {
            extent.len == bytes.len() as u64 && extent.at >= memory && extent.at + extent.len <= written
        };
        let Some(place) = self.free.iter().rposition(fits) else { return Ok(None) };
        let extent = self.free.swap_remove(place);
        if let Some(file) = &mut self.file {
            file.seek(SeekFrom::Start(extent.at - memory))?;
            file.write_all(bytes)?;
        }
        Ok(Some(extent))
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(file) = &mut self.file
            && !self.tail.is_empty()
        {
            file.seek(SeekFrom::End(0))?;
            file.write_all(&self.tail)?;
            self.tail.clear();
        }
        Ok(())
    }
}

/// A closed spool: leaves and their bytes, to be read from any thread.
pub(super) struct Store {
    memory: Vec<u8>,
    file: Option<FileBlob>,
    pub(super) leaves: Vec<Stored>,
    /// For what is made of the leaves.
    pub(super) scratch: Scratch,
}

impl Store {
    /// The bytes of a leaf.
    pub(super) fn leaf<'s>(&'s self, stored: &'s Stored) -> StoredBytes<'s> {
        StoredBytes { store: self, extents: &stored.extents, len: stored.len }
    }

    /// A whole extent.
    pub(super) fn read(&self, extent: Extent) -> Result<Vec<u8>, ReadError> {
        let mut bytes = vec![0; usize::try_from(extent.len).unwrap_or(0)];
        let one = StoredBytes { store: self, extents: &[extent], len: extent.len };
        read_exact_at(&one, &mut bytes, 0).map_err(|error| ReadError::new(SCRATCH, extent.at, error))?;
        Ok(bytes)
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let memory = self.memory.len() as u64;
        match &self.file {
            Some(file) if at >= memory => file.read_at(buf, at - memory),
            _ => self.memory.read_at(buf, at),
        }
    }
}

/// The bytes of one leaf as a blob.
pub(super) struct StoredBytes<'s> {
    store: &'s Store,
    extents: &'s [Extent],
    len: u64,
}

impl Blob for StoredBytes<'_> {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut before = 0;
        for extent in self.extents {
            let within = offset - before;
            if within < extent.len {
                let left = usize::try_from(extent.len - within).unwrap_or(usize::MAX);
                let len = buf.len().min(left);
                let part = buf.get_mut(..len).unwrap_or_default();
                return self.store.read_at(part, extent.at + within);
            }
            before += extent.len;
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_from_memory_file_and_reused_places() {
        // Little enough to be read back, and more.
        bytes_come_back(9, false);
        bytes_come_back(40, true);
    }

    fn bytes_come_back(megabytes: u8, from_file: bool) {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(Scratch::new(folder.path()));
        let blocks: Vec<Vec<u8>> = (0..megabytes).map(|no| vec![no; 1 << 20]).collect();
        let extents: Vec<_> = blocks.iter().map(|block| spool.append(block).unwrap()).collect();
        spool.release(vec![extents[6]]);
        let again = spool.append(&[99; 1 << 20]).unwrap();
        assert_eq!(again, extents[6]);
        let small = spool.append(b"small").unwrap();
        let leaf = |serial, extents: &[Extent]| Stored {
            flow: FlowRef { capture: 0, flow: 0 },
            serial,
            len: extents.iter().map(|extent| extent.len).sum(),
            origin: small,
            extents: extents.into(),
        };
        spool.keep(leaf(2, &[extents[8], again, small]));
        spool.keep(leaf(1, &[extents[0]]));
        let store = spool.close().unwrap();
        assert_eq!(store.file.is_some(), from_file);
        assert_eq!(store.leaves[0].serial, 1);
        let mut bytes = vec![0; (2 << 20) + 5];
        read_exact_at(&store.leaf(&store.leaves[1]), &mut bytes, 0).unwrap();
        assert!(bytes[..1 << 20].iter().all(|&byte| byte == 8));
        assert!(bytes[1 << 20..2 << 20].iter().all(|&byte| byte == 99));
        assert_eq!(&bytes[2 << 20..], b"small");
        assert_eq!(store.read(extents[0]).unwrap(), blocks[0]);
    }
}
