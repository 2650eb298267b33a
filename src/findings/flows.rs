//! Every flow of a case as a line: in memory while they are few, else on a scratch file.

use std::{
    fmt,
    fs::File,
    io::{self, Write as _},
    sync::Arc,
};

use sha2::{Digest as _, Sha256};

use super::{FlowSummary, canonical_json};
use crate::evidence::{Blob, Digest, FileBlob, Scratch};

/// Held in memory: the lines of some thousand flows.
const HELD: usize = 1 << 20;

/// Flows, each a line of canonical JSON.
#[derive(Clone)]
pub struct FlowLines {
    /// The lines.
    pub bytes: Arc<dyn Blob>,
    /// Their digest.
    pub sha256: Digest,
    /// How many there are.
    pub count: u64,
}

impl PartialEq for FlowLines {
    fn eq(&self, other: &Self) -> bool {
        (self.sha256, self.count) == (other.sha256, other.count)
    }
}

impl fmt::Debug for FlowLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowLines")
            .field("sha256", &self.sha256)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

/// Writes flows one after the other.
pub struct FlowWriter<'s> {
    scratch: &'s Scratch,
    held: Vec<u8>,
    file: Option<File>,
    hasher: Sha256,
    count: u64,
}

impl<'s> FlowWriter<'s> {
    /// Begins without flows.
    pub fn new(scratch: &'s Scratch) -> Self {
        Self { scratch, held: Vec::new(), file: None, hasher: Sha256::new(), count: 0 }
    }

    /// Adds the next flow.
    ///
    /// # Errors
    /// When the scratch file can't be written.
    pub fn push(&mut self, flow: &FlowSummary) -> io::Result<()> {
        self.held.append(&mut canonical_json(flow)?);
        self.count += 1;
        if self.held.len() >= HELD { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(self.scratch.file()?),
        };
        self.hasher.update(&self.held);
        file.write_all(&self.held)?;
        self.held.clear();
        Ok(())
    }

    /// Ends the lines.
    ///
    /// # Errors
    /// When the scratch file can't be written.
    pub fn finish(mut self) -> io::Result<FlowLines> {
        if self.file.is_some() {
            self.spill()?;
        } else {
            self.hasher.update(&self.held);
        }
        let bytes: Arc<dyn Blob> = match self.file {
            Some(file) => Arc::new(FileBlob::new(file)?),
            None => Arc::new(self.held),
        };
        Ok(FlowLines { bytes, sha256: Digest::finish(self.hasher), count: self.count })
    }
}
