//! A moving window over a blob, read and digested in one pass.

use sha2::{Digest as _, Sha256};

use crate::evidence::{Blob, Digest, ReadError};

/// Read at once: fits a core's second-level cache, so that digesting finds the bytes still there.
const CHUNK: usize = 256 << 10;

/// What was read of a blob and not used yet.
pub(super) struct Window<'c> {
    name: &'c str,
    blob: &'c dyn Blob,
    len: u64,
    /// Where the next read starts.
    read: u64,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    hasher: Option<Sha256>,
}

impl<'c> Window<'c> {
    pub(super) fn new(name: &'c str, blob: &'c dyn Blob, hasher: Option<Sha256>) -> Self {
        Self { name, blob, len: blob.len(), read: 0, buffer: vec![0; CHUNK], start: 0, end: 0, hasher }
    }

    /// What is there now.
    pub(super) fn peek(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Where in the blob [`Window::peek`] starts.
    pub(super) fn at(&self) -> u64 {
        self.read.saturating_sub((self.end - self.start) as u64)
    }

    /// Makes at least `wanted` bytes available; false when the blob ends before.
    pub(super) fn ensure(&mut self, wanted: usize) -> Result<bool, ReadError> {
        if self.end - self.start >= wanted {
            return Ok(true);
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if wanted > self.buffer.len() {
            self.buffer.resize(wanted.next_multiple_of(CHUNK), 0);
        }
        while self.end < wanted && self.read < self.len {
            self.fill()?;
        }
        Ok(self.end >= wanted)
    }

    fn fill(&mut self) -> Result<(), ReadError> {
        let left = usize::try_from(self.len - self.read).unwrap_or(usize::MAX);
        let room = (self.buffer.len() - self.end).min(left);
        let target = self.buffer.get_mut(self.end..self.end + room).unwrap_or_default();
        let read = self
            .blob
            .read_at(target, self.read)
            .map_err(|error| ReadError::new(self.name, self.read, error))?;
        // The length was taken when the file was opened: an earlier end means that it was cut meanwhile.
        if read == 0 {
            return Err(ReadError::changed(self.name, self.read));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(target.get(..read).unwrap_or_default());
        }
        self.end += read;
        self.read = self.read.saturating_add(read as u64);
        Ok(())
    }

    /// Takes `used` bytes, at most those that are there.
    pub(super) fn advance(&mut self, used: usize) {
        self.start = self.start.saturating_add(used).min(self.end);
    }

    /// Takes bytes without looking at them; false when the blob ends before.
    pub(super) fn skip(&mut self, mut bytes: u64) -> Result<bool, ReadError> {
        while bytes > 0 {
            if self.start == self.end && !self.ensure(1)? {
                return Ok(false);
            }
            let part = (self.end - self.start).min(usize::try_from(bytes).unwrap_or(usize::MAX));
            self.start += part;
            bytes -= part as u64;
        }
        Ok(true)
    }

    /// The buffer as a whole, for positions that [`Window::position`] gave; valid until the next `ensure`.
    pub(super) fn slice(&self, from: usize, len: usize) -> &[u8] {
        self.buffer.get(from..from.saturating_add(len)).unwrap_or_default()
    }

    /// Where in the buffer [`Window::peek`] starts.
    pub(super) fn position(&self) -> usize {
        self.start
    }

    /// Reads the rest and gives the digest of the whole, where one was asked for.
    pub(super) fn finish(mut self) -> Result<Option<Digest>, ReadError> {
        let rest = self.len.saturating_sub(self.at());
        if self.hasher.is_some() {
            self.skip(rest)?;
        }
        Ok(self.hasher.map(Digest::finish))
    }
}
