//! Single codings as bounded streams (gzip, zlib, deflate, Brotli, zstd, chunked, dot-stuffing, base64, hexadecimal,
//! quoted-printable, percent, line ends, UTF-16, data URLs), and containers taken apart into their values (JSON, XML, Protocol
//! Buffers, MessagePack, CBOR, zip, tar).
//!
//! Encoded bytes enter in slices of any size; decoded bytes leave with the part of the input that was
//! consumed for them. How the input is cut into slices never changes what comes out (but for the last bytes before
//! damage in Brotli, which its decoder keeps). Damage is a value: what was decoded before it has already been given out,
//! and the caller goes back to the encoded bytes.
//! Nothing here knows about protocols or chooses a coding.

use std::{cell::Cell, ops::Range, rc::Rc};

mod base64;
mod brotli;
mod cbor;
mod chunked;
mod data_url;
mod dots;
mod hex;
mod inflate;
mod json;
mod latin1;
mod line_ends;
mod message_deflate;
mod msgpack;
mod numbers;
mod percent;
pub mod picture;
mod protobuf;
mod quoted;
mod tar;
mod utf16;
mod xml;
mod zip;
mod zstd;

pub use base64::Base64;
pub use brotli::Brotli;
pub use cbor::Cbor;
pub use chunked::{Chunked, Part};
pub use data_url::{DataUrl, SCHEME as DATA_URL};
pub use dots::Dots;
pub use hex::Hex;
pub use inflate::{Inflate, Wrapper, is_zlib};
pub use json::Json;
pub use latin1::Latin1;
pub use line_ends::LineEnds;
pub use message_deflate::MessageDeflate;
pub use msgpack::MessagePack;
pub use percent::Percent;
pub use protobuf::Protobuf;
pub use quoted::QuotedPrintable;
pub use tar::{BLOCK as TAR_BLOCK, Tar};
pub use utf16::{Endian, Utf16};
pub use xml::Xml;
pub use zip::{MAGIC as ZIP_MAGIC, Zip};
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

    /// Whether it is at its end, so that nothing need follow. A coding that does not mark its end never is.
    fn is_at_end(&self) -> bool {
        false
    }
}

/// Gives what was decoded as content, out of `consumed` bytes of this push.
fn give(
    decoded: &mut Vec<u8>,
    consumed: usize,
    budget: &Budget,
    out: &mut dyn FnMut(Output<'_>),
) -> Result<(), Damage> {
    budget.output(decoded.len())?;
    if !decoded.is_empty() {
        out(Output { consumed: 0..consumed, bytes: decoded, kind: Kind::Content });
    }
    decoded.clear();
    Ok(())
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

/// A format that holds values, taken apart as it streams by. Encoded bytes enter in slices of any size; values leave
/// one after the other, each as it is meant: without escapes, joined, unpacked.
pub trait Container {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Damage`] where the bytes break the format, or follow its end; it must not be pushed to again.
    fn push(&mut self, input: &[u8], budget: &Budget, out: &mut dyn FnMut(Event<'_>)) -> Result<(), Damage>;

    /// Says that no more comes. A value that is open ends.
    ///
    /// # Errors
    /// [`Damage::CutOff`] where the format is not at its end.
    fn finish(&mut self, budget: &Budget, out: &mut dyn FnMut(Event<'_>)) -> Result<(), Damage>;
}

/// What a container gives. Positions are in the input of the push that gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A value begins.
    Begin {
        /// What it is, as steps name it: `json.string`, `zip.stored`.
        op: &'static str,
        /// Its name: a key, a field's number, a path.
        name: Option<&'a [u8]>,
        /// Whether its bytes are sure to stand in the container as they are.
        cut: bool,
        /// Where its first byte stands, quotes and the like included.
        at: usize,
    },
    /// Bytes of the value.
    Data {
        /// What was consumed for them.
        consumed: Range<usize>,
        /// The bytes.
        bytes: &'a [u8],
        /// Whether they stand there as they are.
        copied: bool,
    },
    /// The value ends.
    End {
        /// One past its last byte, where that is not where its last data ended.
        at: Option<usize>,
    },
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

/// How many of `left` bytes stand in the input from `at` on.
fn skip(input: &[u8], at: usize, left: u64) -> usize {
    input.len().saturating_sub(at).min(usize::try_from(left).unwrap_or(usize::MAX))
}

/// A value that a container gave, whole.
#[cfg(test)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) op: &'static str,
    pub(crate) name: Option<String>,
    pub(crate) cut: bool,
    /// Where it stands in the container.
    pub(crate) at: Range<usize>,
    pub(crate) bytes: Vec<u8>,
}

/// Takes a container apart: its values, and how it ended.
#[cfg(test)]
pub(crate) fn values(container: &mut dyn Container, pieces: &[&[u8]]) -> (Vec<Value>, Result<(), Damage>) {
    let (mut found, budget): (Vec<Value>, _) = (Vec::new(), Budget::new(1 << 20));
    let mut open = false;
    let mut take = |event: Event<'_>, base: usize, input: &[u8]| match event {
        Event::Begin { op, name, cut, at } => {
            assert!(!std::mem::replace(&mut open, true), "a value in a value");
            let name = name.map(|name| String::from_utf8_lossy(name).into_owned());
            found.push(Value { op, name, cut, at: base + at..base + at, bytes: Vec::new() });
        }
        Event::Data { consumed, bytes, copied } => {
            assert!(open && (!copied || input[consumed.clone()] == *bytes), "not as it stands");
            let value = found.last_mut().unwrap();
            value.bytes.extend_from_slice(bytes);
            value.at.end = value.at.end.max(base + consumed.end);
        }
        Event::End { at } => {
            assert!(std::mem::replace(&mut open, false), "no value ends");
            let value = found.last_mut().unwrap();
            value.at.end = at.map_or(value.at.end, |at| base + at);
        }
    };
    let (mut result, mut base) = (Ok(()), 0);
    for piece in pieces {
        result = result.and_then(|()| container.push(piece, &budget, &mut |event| take(event, base, piece)));
        base += piece.len();
    }
    result = result.and_then(|()| container.finish(&budget, &mut |event| take(event, base, &[])));
    (found, result)
}

/// The values of a container, which are the same wherever it is cut in two, and byte by byte.
#[cfg(test)]
#[track_caller]
pub(crate) fn cut_everywhere(new: impl Fn() -> Box<dyn Container>, bytes: &[u8]) -> Vec<Value> {
    let whole = values(&mut *new(), &[bytes]);
    assert_eq!(whole.1, Ok(()));
    for at in 0..=bytes.len() {
        let (left, right) = bytes.split_at(at);
        assert_eq!(values(&mut *new(), &[left, right]), whole, "cut at {at}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(values(&mut *new(), &single), whole, "byte by byte");
    whole.0
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
