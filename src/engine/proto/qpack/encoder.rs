//! The encoder stream (RFC 9204 section 4.3): what it puts into the table.

use super::table::{Entry, Inserted, OVERHEAD, fixed};
use crate::{
    engine::proto::hpack::{Broken, Cursor},
    evidence::FrameNo,
};

/// An instruction. Its strings become entries, which must fit into a table; decoders announce 4 to 64 KiB.
const MAX_INSTRUCTION: usize = 1 << 20;

/// Bytes that are counted as unread: a number of entries with room to count on.
const MAX_UNREAD: u64 = 1 << 60;

/// What an encoder stream has put into its table, and how far it was read.
#[derive(Clone, Debug, Default)]
pub struct Table {
    pub(super) inserted: Inserted,
    /// The largest capacity that was set.
    pub(super) capacity: u64,
    /// The start of an instruction that is not whole yet.
    held: Vec<u8>,
    /// The stream can't be read on.
    lost: bool,
    /// Bytes of the stream since then: each may have put an entry in.
    pub(super) unread: u64,
}

/// An entry that was put into the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insert<'a> {
    /// Its name; unknown where it was said in bytes that are missing.
    pub name: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
}

impl Table {
    /// Takes the next bytes of the stream, which `frame` brought, and gives each entry that they put in.
    ///
    /// # Errors
    /// Why the stream can't be read on; nothing more is put in after that.
    pub fn push(
        &mut self,
        data: &[u8],
        frame: FrameNo,
        each: &mut dyn FnMut(Insert<'_>),
    ) -> Result<(), &'static str> {
        if self.lost {
            self.skip(data.len() as u64);
            return Ok(());
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(data);
        let mut done = 0;
        while let Some(rest) = held.get(done..).filter(|rest| !rest.is_empty()) {
            match self.instruction(rest, frame, each) {
                Ok(taken) => done += taken,
                Err(Stop::Later) if rest.len() <= MAX_INSTRUCTION => break,
                Err(Stop::Later) => {
                    return self.lose(rest.len() as u64, "an instruction of more than 1 MiB");
                }
                Err(Stop::Broken) => {
                    return self.lose(rest.len() as u64, "an instruction that breaks its grammar");
                }
            }
        }
        held.drain(..done);
        self.held = held;
        Ok(())
    }

    /// Bytes are missing: how many entries were put in is not known from here on.
    pub fn gap(&mut self, missing: u64) {
        let held = std::mem::take(&mut self.held).len() as u64;
        self.skip(missing.saturating_add(held));
        self.lost = true;
    }

    /// How many entries were put in.
    pub fn count(&self) -> u64 {
        self.inserted.count()
    }

    /// The largest capacity that was set.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    fn skip(&mut self, unread: u64) {
        self.unread = self.unread.saturating_add(unread).min(MAX_UNREAD);
    }

    fn lose(&mut self, unread: u64, why: &'static str) -> Result<(), &'static str> {
        self.lost = true;
        self.skip(unread);
        Err(why)
    }

    /// Follows one instruction: how long it is.
    fn instruction(
        &mut self,
        bytes: &[u8],
        frame: FrameNo,
        each: &mut dyn FnMut(Insert<'_>),
    ) -> Result<usize, Stop> {
        let mut cursor = Cursor::new(bytes);
        let first = cursor.peek().ok_or(Stop::Later)?;
        let entry = match first.leading_zeros() {
            // Insert with name reference: of the static table where the second bit is set.
            0 => {
                let index = cursor.integer(6)?;
                let name = if first & 0x40 == 0 {
                    self.relative(index)?
                } else {
                    fixed(index).ok_or(Stop::Broken)?
                };
                Entry { name: name.name, value: Some(cursor.string(7)?) }
            }
            // Insert with literal name.
            1 => Entry { name: Some(cursor.string(5)?), value: Some(cursor.string(7)?) },
            // Set dynamic table capacity.
            2 => {
                self.capacity = self.capacity.max(cursor.integer(5)?);
                return Ok(cursor.at());
            }
            // Duplicate.
            _ => {
                let index = cursor.integer(5)?;
                self.relative(index)?
            }
        };
        each(Insert { name: entry.name.as_deref(), value: entry.value.as_deref() });
        self.inserted.push(entry, frame);
        Ok(cursor.at())
    }

    /// An entry counted back from the latest one.
    fn relative(&self, index: u64) -> Result<Entry, Stop> {
        let index =
            self.count().checked_sub(1).and_then(|last| last.checked_sub(index)).ok_or(Stop::Broken)?;
        Ok(self.inserted.get(index).unwrap_or(Entry::UNKNOWN))
    }

    /// Entries that a table of this capacity may hold at once (section 4.5.1.1).
    pub(super) fn max_entries(capacity: u64) -> u64 {
        capacity / OVERHEAD
    }
}

enum Stop {
    /// It is not whole yet.
    Later,
    /// It breaks its grammar.
    Broken,
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        if broken == Broken::CutOff { Self::Later } else { Self::Broken }
    }
}
