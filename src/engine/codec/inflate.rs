//! gzip (RFC 1952), zlib (RFC 1950) and deflate (RFC 1951).

use flate2::{Decompress, DecompressError, FlushDecompress, Status};

use super::{Budget, Coding, Damage, Kind, Output};

/// What stands around the deflate data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrapper {
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 1950 or nothing: `Content-Encoding: deflate` means zlib (RFC 9110 section 8.4.1.2), but some
    /// senders leave the wrapper out.
    ZlibOrNone,
    /// RFC 1951 alone.
    None,
}

/// A gzip header may hold 64 KiB of extra field, and a name and comment of any length; more than this is no
/// header that any tool writes.
const MAX_GZIP_HEAD: usize = 256 << 10;

/// Output is given in pieces of this size: large enough that calls cost nothing, small against memory.
const BUFFER: usize = 64 << 10;

/// The flags of a gzip header (RFC 1952 section 2.3.1).
const FHCRC: u8 = 2;
const FEXTRA: u8 = 4;
const FNAME: u8 = 8;
const FCOMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

/// What one step of inflating did.
pub(super) struct Inflated {
    /// Bytes of the input.
    pub(super) consumed: usize,
    /// Bytes of the buffer, also before damage.
    pub(super) produced: usize,
    pub(super) status: Result<Status, DecompressError>,
}

/// Inflates as much as fits into the buffer.
pub(super) fn inflate(inflate: &mut Decompress, input: &[u8], buffer: &mut [u8]) -> Inflated {
    let (before_in, before_out) = (inflate.total_in(), inflate.total_out());
    let status = inflate.decompress(input, buffer, FlushDecompress::None);
    let consumed = usize::try_from(inflate.total_in() - before_in).unwrap_or(input.len());
    let produced = usize::try_from(inflate.total_out() - before_out).unwrap_or(0);
    Inflated { consumed, produced, status }
}

/// Takes deflate and its wrapper off.
pub struct Inflate {
    wrapper: Wrapper,
    state: State,
    inflate: Decompress,
    buffer: Box<[u8]>,
    crc: crc32fast::Hasher,
    size: u32,
    head: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a header; `head` holds what came of it.
    Head(HeadField),
    Body,
    /// In the eight bytes after a gzip member.
    Tail,
    /// After a gzip member: another may follow.
    Between,
    /// After zlib or deflate data: nothing may follow.
    Done,
}

/// Where in a gzip header, with the bytes still missing where that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeadField {
    Fixed,
    ExtraLength(usize),
    Extra(usize),
    Name,
    Comment,
    Crc(usize),
    End,
}

impl Inflate {
    /// Begins.
    pub fn new(wrapper: Wrapper) -> Self {
        Self {
            wrapper,
            state: if wrapper == Wrapper::None { State::Body } else { State::Head(HeadField::Fixed) },
            inflate: Decompress::new(false),
            buffer: vec![0; BUFFER].into_boxed_slice(),
            crc: crc32fast::Hasher::new(),
            size: 0,
            head: Vec::new(),
        }
    }

    /// Takes bytes of a header; gives how many.
    fn head(
        &mut self,
        mut field: HeadField,
        input: &[u8],
        out: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<usize, Damage> {
        for (index, &byte) in input.iter().enumerate() {
            if self.head.len() >= MAX_GZIP_HEAD {
                return Err(Damage::TooLong);
            }
            self.head.push(byte);
            if self.wrapper == Wrapper::ZlibOrNone {
                if let &[cmf, flg] = self.head.as_slice() {
                    self.inflate.reset(is_zlib(cmf, flg));
                    self.state = State::Body;
                    return Ok(index + 1);
                }
                continue;
            }
            field = self.gzip_field(field, byte)?;
            if field == HeadField::End {
                out(index + 1, &self.head);
                self.head.clear();
                self.inflate.reset(false);
                self.crc.reset();
                self.size = 0;
                self.state = State::Body;
                return Ok(index + 1);
            }
        }
        self.state = State::Head(field);
        Ok(input.len())
    }

    /// Where the header stands after `byte`, which is the last of `head`.
    fn gzip_field(&self, field: HeadField, byte: u8) -> Result<HeadField, Damage> {
        let flags = self.head.get(3).copied().unwrap_or(0);
        Ok(match field {
            HeadField::Fixed => {
                let magic = [0x1f, 0x8b, 8];
                let start = self.head.get(..self.head.len().min(3)).unwrap_or_default();
                if !magic.starts_with(start) {
                    return Err(Damage::NotThis);
                }
                match self.head.len() {
                    4 if flags & RESERVED != 0 => return Err(Damage::Corrupt),
                    10 => next_field(flags, FEXTRA),
                    _ => HeadField::Fixed,
                }
            }
            HeadField::ExtraLength(2) => HeadField::ExtraLength(1),
            HeadField::ExtraLength(_) => match self.head.last_chunk::<2>() {
                Some(&length) if length != [0, 0] => {
                    HeadField::Extra(usize::from(u16::from_le_bytes(length)))
                }
                _ => next_field(flags, FNAME),
            },
            HeadField::Extra(left) if left > 1 => HeadField::Extra(left - 1),
            HeadField::Extra(_) => next_field(flags, FNAME),
            HeadField::Name if byte == 0 => next_field(flags, FCOMMENT),
            HeadField::Comment if byte == 0 => next_field(flags, FHCRC),
            HeadField::Crc(2) => HeadField::Crc(1),
            HeadField::Crc(_) => HeadField::End,
            same => same,
        })
    }

    /// Takes bare deflate data; gives how many bytes of it, and whether it is at its end.
    ///
    /// # Errors
    /// [`Damage`] where it breaks.
    pub(super) fn some(
        &mut self,
        input: &[u8],
        budget: &Budget,
        out: &mut dyn FnMut(usize, usize, &[u8]),
    ) -> Result<(usize, bool), Damage> {
        let taken = self.body(input, budget, out)?;
        Ok((taken, self.state == State::Done))
    }

    /// Takes deflate data; gives how many bytes of it.
    fn body(
        &mut self,
        input: &[u8],
        budget: &Budget,
        out: &mut dyn FnMut(usize, usize, &[u8]),
    ) -> Result<usize, Damage> {
        let (mut position, mut given) = (0, 0);
        loop {
            let rest = input.get(position..).unwrap_or_default();
            let Inflated { consumed, produced, status } = inflate(&mut self.inflate, rest, &mut self.buffer);
            position += consumed;
            let bytes = self.buffer.get(..produced).unwrap_or_default();
            if !bytes.is_empty() {
                budget.output(produced)?;
                self.crc.update(bytes);
                self.size = self.size.wrapping_add(u32::try_from(produced).unwrap_or(0));
                out(given, position, bytes);
                given = position;
            }
            match status.map_err(|_| Damage::Corrupt)? {
                Status::StreamEnd => {
                    self.state = match self.wrapper {
                        Wrapper::Gzip => State::Tail,
                        Wrapper::ZlibOrNone | Wrapper::None => State::Done,
                    };
                    return Ok(position);
                }
                _ if produced == self.buffer.len() => {}
                _ if position == input.len() => return Ok(position),
                _ if consumed == 0 && produced == 0 => return Err(Damage::Corrupt),
                _ => {}
            }
        }
    }

    /// Takes bytes of a gzip member's checksum and length; gives how many.
    fn tail(&mut self, input: &[u8], out: &mut dyn FnMut(usize, &[u8])) -> Result<usize, Damage> {
        let taken = input.len().min(8 - self.head.len().min(8));
        self.head.extend_from_slice(input.get(..taken).unwrap_or_default());
        let (fields, _) = self.head.as_chunks::<4>();
        if let &[crc, size] = fields {
            out(taken, &self.head);
            let held = u32::from_le_bytes(crc) == self.crc.clone().finalize()
                && u32::from_le_bytes(size) == self.size;
            self.head.clear();
            self.state = State::Between;
            if !held {
                return Err(Damage::Corrupt);
            }
        }
        Ok(taken)
    }
}

/// The first field of a gzip header at or after the one that `from` announces.
fn next_field(flags: u8, from: u8) -> HeadField {
    let fields = [
        (FEXTRA, HeadField::ExtraLength(2)),
        (FNAME, HeadField::Name),
        (FCOMMENT, HeadField::Comment),
        (FHCRC, HeadField::Crc(2)),
    ];
    let rest = fields.iter().skip_while(|(flag, _)| *flag != from);
    rest.clone().find(|(flag, _)| flags & flag != 0).map_or(HeadField::End, |(_, field)| *field)
}

/// Whether two bytes are a zlib header (RFC 1950 section 2.2) without a preset dictionary.
pub fn is_zlib(cmf: u8, flg: u8) -> bool {
    cmf & 0x0f == 8 && cmf >> 4 <= 7 && u16::from_be_bytes([cmf, flg]).is_multiple_of(31) && flg & 0x20 == 0
}

impl Coding for Inflate {
    fn push(&mut self, input: &[u8], budget: &Budget, out: &mut dyn FnMut(Output<'_>)) -> Result<(), Damage> {
        let mut at = 0;
        while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
            at += match self.state {
                State::Head(field) => {
                    let taken = self.head(field, rest, &mut |taken, bytes| {
                        out(Output { consumed: at..at + taken, bytes, kind: Kind::Aside });
                    })?;
                    if self.state == State::Body && self.wrapper == Wrapper::ZlibOrNone {
                        let head = std::mem::take(&mut self.head);
                        self.body(&head, budget, &mut |_, _, bytes| {
                            out(Output { consumed: at..at + taken, bytes, kind: Kind::Content });
                        })?;
                    }
                    taken
                }
                State::Body => self.body(rest, budget, &mut |from, to, bytes| {
                    out(Output { consumed: at + from..at + to, bytes, kind: Kind::Content });
                })?,
                State::Tail => self.tail(rest, &mut |taken, bytes| {
                    out(Output { consumed: at..at + taken, bytes, kind: Kind::Aside });
                })?,
                State::Between if rest.first() == Some(&0x1f) => {
                    self.state = State::Head(HeadField::Fixed);
                    0
                }
                State::Between | State::Done => return Err(Damage::Trailing),
            };
        }
        Ok(())
    }

    fn finish(&mut self, _: &Budget, _: &mut dyn FnMut(Output<'_>)) -> Result<(), Damage> {
        if self.is_at_end() { Ok(()) } else { Err(Damage::CutOff) }
    }

    fn is_at_end(&self) -> bool {
        matches!(self.state, State::Between | State::Done)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::engine::codec::all;

    fn deflated(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn gzip(bytes: &[u8], flags: u8, fields: &[u8]) -> Vec<u8> {
        let mut gzip = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 255];
        gzip.extend_from_slice(fields);
        gzip.extend(deflated(bytes));
        gzip.extend(crc32fast::hash(bytes).to_le_bytes());
        gzip.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
        gzip
    }

    fn cut_everywhere(wrapper: Wrapper, bytes: &[u8]) -> (Vec<u8>, Vec<u8>, Result<(), Damage>) {
        let whole = all(&mut Inflate::new(wrapper), &[bytes], 1 << 20);
        for at in 0..=bytes.len() {
            let (left, right) = bytes.split_at(at);
            assert_eq!(all(&mut Inflate::new(wrapper), &[left, right], 1 << 20), whole, "cut at {at}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(all(&mut Inflate::new(wrapper), &single, 1 << 20), whole, "byte by byte");
        whole
    }

    #[test]
    fn every_field_of_a_gzip_header_is_stepped_over_and_given_aside() {
        let fields = [&[3, 0, b'a', b'b', b'c'][..], b"IMG_0001.jpg\0", b"why\0", &[0x12, 0x34]].concat();
        let bytes = gzip(b"hello hello hello", FEXTRA | FNAME | FCOMMENT | FHCRC, &fields);
        let (content, aside, result) = cut_everywhere(Wrapper::Gzip, &bytes);
        assert_eq!(content, b"hello hello hello");
        assert_eq!(aside[10..aside.len() - 8], fields);
        assert_eq!(result, Ok(()));
    }

    #[test]
    fn members_follow_each_other_and_other_bytes_do_not() {
        let two = [gzip(b"one ", 0, b""), gzip(b"two", 0, b"")].concat();
        let (content, aside, result) = cut_everywhere(Wrapper::Gzip, &two);
        assert_eq!((content, aside.len(), result), (b"one two".to_vec(), 36, Ok(())));
        let trailing = [gzip(b"one", 0, b""), b"xyz".to_vec()].concat();
        assert_eq!(cut_everywhere(Wrapper::Gzip, &trailing).2, Err(Damage::Trailing));
    }

    #[test]
    fn deflate_may_come_with_or_without_its_zlib_wrapper() {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(b"abcabcabc").unwrap();
        for bytes in [encoder.finish().unwrap(), deflated(b"abcabcabc")] {
            let expected = (b"abcabcabc".to_vec(), Vec::new(), Ok(()));
            assert_eq!(cut_everywhere(Wrapper::ZlibOrNone, &bytes), expected);
        }
    }

    #[test]
    fn absent_damaged_and_cut_off_gzip_are_told_apart() {
        let plain = all(&mut Inflate::new(Wrapper::Gzip), &[b"{\"a\":1}"], 99);
        assert_eq!(plain, (Vec::new(), Vec::new(), Err(Damage::NotThis)));
        let whole = gzip(b"hello", 0, b"");
        let cut = all(&mut Inflate::new(Wrapper::Gzip), &[&whole[..whole.len() - 1]], 99);
        assert_eq!((cut.0, cut.2), (b"hello".to_vec(), Err(Damage::CutOff)));
        let mut damaged = whole.clone();
        damaged[whole.len() - 8] ^= 1;
        let damaged = all(&mut Inflate::new(Wrapper::Gzip), &[&damaged], 99);
        assert_eq!((damaged.0, damaged.2), (b"hello".to_vec(), Err(Damage::Corrupt)));
    }

    #[test]
    fn a_bomb_stops_at_the_budget() {
        let bomb = gzip(&vec![0; 1 << 20], 0, b"");
        let (content, _, result) = all(&mut Inflate::new(Wrapper::Gzip), &[&bomb], 100_000);
        assert_eq!(result, Err(Damage::Budget));
        assert!(content.len() <= 100_000);
    }

    #[test]
    fn output_names_the_input_it_came_from() {
        let bytes = gzip(&[7; 200_000], 0, b"");
        let mut consumed = Vec::new();
        let mut inflate = Inflate::new(Wrapper::Gzip);
        let mut take = |output: Output<'_>| {
            if output.kind == Kind::Content {
                consumed.push(output.consumed);
            }
        };
        inflate.push(&bytes, &Budget::new(1 << 20), &mut take).unwrap();
        assert_eq!(consumed.first().unwrap().start, 10);
        assert!(consumed.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert!(consumed.last().unwrap().end <= bytes.len() - 8);
    }
}
