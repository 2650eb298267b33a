//! QPACK (RFC 9204): the field lists of HTTP/3, out of their sections.
//!
//! A [`Table`] follows the encoder stream of one direction and keeps what it put in, also what left the real table
//! since: so a section is read whenever it was captured, and only what refers to missing bytes is unknown.

mod encoder;
mod table;

#[cfg(test)]
mod tests;

pub use encoder::{Insert, Table};

use table::{Entry, fixed};

use crate::{
    engine::proto::hpack::{Broken, Cursor, Field},
    evidence::FrameNo,
};

/// Why a section can't be read beyond a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Bytes that are no integer or string.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// An index of nothing.
    #[error("index {0} names no field")]
    Index(u64),
    /// A prefix that no encoder writes (section 4.5.1).
    #[error("a prefix that no encoder writes")]
    Prefix,
}

/// What the references of a section count from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    /// It refers to no table.
    None,
    /// This many entries.
    At(u64),
    /// That depends on bytes that are missing.
    Unknown,
}

impl Table {
    /// Decodes a section that `frame` completed; `capacity` is the largest that the decoder's settings allow, where
    /// they were captured. Fields are given as they come; those that refer to entries which are not there are unknown.
    ///
    /// # Errors
    /// [`Damage`], after the fields before it.
    pub fn decode(
        &self,
        section: &[u8],
        frame: FrameNo,
        capacity: Option<u64>,
        each: &mut dyn FnMut(Field),
    ) -> Result<(), Damage> {
        let mut cursor = Cursor::new(section);
        let base = self.base(&mut cursor, frame, capacity)?;
        while let Some(first) = cursor.peek() {
            let start = cursor.begin();
            let entry = match first.leading_zeros() {
                0 => {
                    let index = cursor.integer(6)?;
                    if first & 0x40 == 0 { self.before(base, index)? } else { entry(index)? }
                }
                1 => {
                    let index = cursor.integer(4)?;
                    let name = if first & 0x10 == 0 { self.before(base, index)? } else { entry(index)? };
                    Entry { name: name.name, value: Some(cursor.string(7)?) }
                }
                2 => Entry { name: Some(cursor.string(3)?), value: Some(cursor.string(7)?) },
                3 => {
                    let index = cursor.integer(4)?;
                    self.behind(base, index)?
                }
                _ => {
                    let index = cursor.integer(3)?;
                    Entry { name: self.behind(base, index)?.name, value: Some(cursor.string(7)?) }
                }
            };
            // Section 4.5: only indexed lines, of the table and behind the base, have no string for their value.
            let coded = cursor.coded(start, !matches!(first.leading_zeros(), 0 | 3));
            each(Field { name: entry.name, value: entry.value, place: cursor.since(start), coded });
        }
        Ok(())
    }

    /// Reads the prefix (section 4.5.1).
    fn base(&self, cursor: &mut Cursor<'_>, frame: FrameNo, capacity: Option<u64>) -> Result<Base, Damage> {
        let encoded = cursor.integer(8)?;
        let below = cursor.peek().is_some_and(|byte| byte & 0x80 != 0);
        let delta = cursor.integer(7)?;
        if encoded == 0 {
            return Ok(Base::None);
        }
        // Encoders rarely use less than they may: what they set stands in for settings that are missing.
        let capacity = capacity.filter(|&capacity| capacity > 0).unwrap_or(self.capacity);
        let entries = Self::max_entries(capacity);
        if entries == 0 {
            return Ok(Base::Unknown);
        }
        let inserted = self.inserted.count_at(frame);
        let required = match required(encoded, entries, inserted) {
            result if self.unread == 0 => result?,
            // Only the lowest part is sent: entries that were not seen may have carried it further.
            Ok(least) if Ok(least) == required(encoded, entries, inserted + self.unread) => least,
            _ => return Ok(Base::Unknown),
        };
        let base = if below {
            required.checked_sub(delta).and_then(|base| base.checked_sub(1))
        } else {
            required.checked_add(delta)
        };
        base.map(Base::At).ok_or(Damage::Prefix)
    }

    /// An entry counted back from the base.
    fn before(&self, base: Base, index: u64) -> Result<Entry, Damage> {
        match base {
            Base::Unknown => Ok(Entry::UNKNOWN),
            Base::None => Err(Damage::Index(index)),
            Base::At(base) => {
                let absolute = base.checked_sub(1).and_then(|last| last.checked_sub(index));
                self.absolute(absolute.ok_or(Damage::Index(index))?)
            }
        }
    }

    /// An entry counted on from the base.
    fn behind(&self, base: Base, index: u64) -> Result<Entry, Damage> {
        match base {
            Base::Unknown => Ok(Entry::UNKNOWN),
            Base::None => Err(Damage::Index(index)),
            Base::At(base) => self.absolute(base.checked_add(index).ok_or(Damage::Index(index))?),
        }
    }

    fn absolute(&self, index: u64) -> Result<Entry, Damage> {
        Ok(self.inserted.get(index).unwrap_or(Entry::UNKNOWN))
    }
}

fn entry(index: u64) -> Result<Entry, Damage> {
    fixed(index).ok_or(Damage::Index(index))
}

/// The Required Insert Count, of which the lowest part is sent (section 4.5.1.1).
fn required(encoded: u64, entries: u64, inserted: u64) -> Result<u64, Damage> {
    let range = 2 * entries;
    if encoded > range {
        return Err(Damage::Prefix);
    }
    let most = inserted + entries;
    let wrapped = most / range * range;
    let mut required = wrapped + encoded - 1;
    if required > most {
        required = required.checked_sub(range).ok_or(Damage::Prefix)?;
    }
    if required == 0 { Err(Damage::Prefix) } else { Ok(required) }
}
