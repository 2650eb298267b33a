//! Single codings as bounded streams: gzip, zlib, deflate, Brotli, zstd, chunked, base64, quoted-printable, percent.
//!
//! Encoded bytes enter in slices of any size; decoded bytes leave with the part of the input that was
//! consumed for them. How the input is cut into slices never changes what comes out. Damage is a value:
//! what was decoded before it has already been given out, and the caller goes back to the encoded bytes.
//! Nothing here knows about protocols or chooses a coding.

use std::{cell::Cell, ops::Range, rc::Rc};

mod base64;
mod brotli;
mod chunked;
mod inflate;
mod percent;
mod quoted;
mod zstd;

pub use base64::Base64;
pub use brotli::Brotli;
pub use chunked::{Chunked, Part};
pub use inflate::{Inflate, Wrapper};
pub use percent::Percent;
pub use quoted::QuotedPrintable;
pub use zstd::{MAGIC as ZSTD_MAGIC, Zstd};

/// A coding that is being taken off.
pub trait Coding {
    /// Takes the next encoded bytes.
    ///
    /// # Errors
    /// [`Damage`] where the bytes break the coding; it must not be pushed to again.
    fn push(&mut self, input: &[u8], budget: &Budget, out: &mut dyn FnMut(Output<'_>)) -> Result<(), Damage>;

    /// Says that no more comes.
    ///
    /// # Errors
    /// [`Damage::CutOff`] where the coding is not at its end.
    fn finish(&mut self, budget: &Budget, out: &mut dyn FnMut(Output<'_>)) -> Result<(), Damage>;
}

/// Decoded bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output<'a> {
    /// The part of the input of this push that was consumed since the output before.
    pub consumed: Range<usize>,
    /// What came out of it.
    pub bytes: &'a [u8],
    /// Whether it is content or free text of the coding itself.
    pub kind: Kind,
}

/// What decoded bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The content.
    Content,
    /// What the coding carries beside its content, such as the header of gzip with its file name, and its
    /// checksum: it could hold anything.
    Aside,
}

/// Why decoding stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The first bytes are not those of the coding.
    #[error("not of this coding")]
    NotThis,
    /// The coding breaks its own rules.
    #[error("damaged")]
    Corrupt,
    /// It ends before its end.
    #[error("cut off")]
    CutOff,
    /// Bytes follow its end.
    #[error("followed by other bytes")]
    Trailing,
    /// A length or a header beyond the limit stated beside it.
    #[error("beyond a limit")]
    TooLong,
    /// It needs a larger window, or more windows at once, than are held.
    #[error("needs a larger window than is held")]
    Window,
    /// It needs something that does not come along, such as a dictionary.
    #[error("needs a dictionary that does not come along")]
    Dictionary,
    /// More would come out than may.
    #[error("beyond the budget for decoded bytes")]
    Budget,
}

/// Output that is always allowed, so that short and very repetitive bodies (a page of spaces) pass.
const FREE_OUTPUT: u64 = 64 << 20;

/// Allowed output for each byte of input beyond [`FREE_OUTPUT`]. Deflate reaches 1032 on zeros; photos,
/// messages and JSON stay below 50, and what shrinks more holds nothing that could be told from chance.
const MAX_RATIO: u64 = 256;

/// Windows that all codings around the same bytes may hold together: one of the largest that zstd has by default,
/// or some of those that servers and phones use (8 MiB and below).
const MAX_HELD: u64 = 136 << 20;

/// How many bytes decoding may still give; shared by all codings that are taken off one after the other.
#[derive(Debug)]
pub struct Budget {
    left: Cell<u64>,
    given: Cell<u64>,
    taken: Cell<u64>,
    held: Rc<Cell<u64>>,
}

/// Memory for a window, counted while this lives.
#[derive(Debug)]
pub struct Hold {
    held: Rc<Cell<u64>>,
    bytes: u64,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.held.set(self.held.get().saturating_sub(self.bytes));
    }
}

impl Budget {
    /// Allows `max` bytes in all, and no more than a fixed ratio to what goes in.
    pub fn new(max: u64) -> Self {
        Self { left: Cell::new(max), given: Cell::new(0), taken: Cell::new(0), held: Rc::default() }
    }

    /// Counts bytes of the wire.
    pub fn input(&self, bytes: u64) {
        self.taken.set(self.taken.get().saturating_add(bytes));
    }

    /// Counts a window.
    ///
    /// # Errors
    /// [`Damage::Window`] when it is too large beside those that are held.
    pub fn hold(&self, bytes: u64) -> Result<Hold, Damage> {
        let held = self.held.get().saturating_add(bytes);
        if held > MAX_HELD {
            return Err(Damage::Window);
        }
        self.held.set(held);
        Ok(Hold { held: self.held.clone(), bytes })
    }

    /// Counts decoded bytes.
    ///
    /// # Errors
    /// [`Damage::Budget`] when there are too many of them.
    pub fn output(&self, bytes: usize) -> Result<(), Damage> {
        let bytes = bytes as u64;
        let allowed = FREE_OUTPUT.saturating_add(self.taken.get().saturating_mul(MAX_RATIO));
        self.given.set(self.given.get().saturating_add(bytes));
        self.left.set(self.left.get().checked_sub(bytes).ok_or(Damage::Budget)?);
        if self.given.get() > allowed { Err(Damage::Budget) } else { Ok(()) }
    }
}

#[cfg(test)]
/// Decodes a whole slice: content, the free text beside it, and how it ended.
pub(crate) fn all(
    coding: &mut dyn Coding,
    pieces: &[&[u8]],
    max: u64,
) -> (Vec<u8>, Vec<u8>, Result<(), Damage>) {
    let (mut content, mut aside) = (Vec::new(), Vec::new());
    let budget = Budget::new(max);
    let mut take = |output: Output<'_>| match output.kind {
        Kind::Content => content.extend_from_slice(output.bytes),
        Kind::Aside => aside.extend_from_slice(output.bytes),
    };
    let mut result = Ok(());
    for piece in pieces {
        result = result.and_then(|()| coding.push(piece, &budget, &mut take));
    }
    result = result.and_then(|()| coding.finish(&budget, &mut take));
    (content, aside, result)
}
