//! zip (APPNOTE.TXT 6.3.10) as it streams by: members by their local headers, since an upload's directory comes last.

use super::{Budget, Container, Damage, Event, Inflate, Wrapper};

/// The first bytes of a member (section 4.3.7).
pub const MAGIC: [u8; 4] = *b"PK\x03\x04";

const DESCRIPTOR: [u8; 4] = *b"PK\x07\x08";
const DIRECTORY: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";

/// A local header before the name.
const FIXED: usize = 30;

/// Finds stored and deflated members, and holds each to its checksum. Members in other methods, or encrypted, are
/// stepped over where their size is known.
#[derive(Default)]
pub struct Zip {
    state: State,
    held: Vec<u8>,
    member: Member,
    inflate: Option<Box<Inflate>>,
    members: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Signature,
    /// In a local header of so many bytes.
    Header(usize),
    /// So many bytes of a stored member are left.
    Stored(u64),
    /// In a stored member whose end only its descriptor tells.
    Open,
    Deflated,
    /// So many bytes of a member that is not read.
    Skipped(u64),
    /// In what follows a member whose sizes were not known before.
    Descriptor,
    /// In the directory.
    Directory,
}

/// What is known and was counted of a member.
#[derive(Clone, Debug, Default)]
struct Member {
    descriptor: bool,
    /// Whether its content is not read, so that nothing can be held to the checksum.
    unread: bool,
    crc: u32,
    /// Counted.
    seen: u64,
    unpacked: u64,
    hasher: crc32fast::Hasher,
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |chunk| u16::from_le_bytes(*chunk))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

impl Zip {
    /// Begins.
    pub fn new() -> Self {
        Self::default()
    }

    /// Does what can be done with the bytes held of a header.
    fn header(&mut self, after: usize, out: &mut dyn FnMut(Event<'_>)) -> Result<(), Damage> {
        match (self.state, self.held.len()) {
            (State::Signature, 4) => {
                self.state = match self.held.first_chunk() {
                    Some(&MAGIC) => State::Header(FIXED),
                    Some(&DIRECTORY | &END) if self.members > 0 => State::Directory,
                    // Before the directory of an Android package stands a block of signatures.
                    _ if self.members > 0 => return Err(Damage::Trailing),
                    _ => return Err(Damage::NotThis),
                };
                Ok(())
            }
            (State::Header(FIXED), FIXED) => {
                let more = usize::from(u16_at(&self.held, 26)) + usize::from(u16_at(&self.held, 28));
                self.state = State::Header(FIXED + more);
                if more == 0 { self.begin(after, out) } else { Ok(()) }
            }
            (State::Header(wanted), held) if held == wanted => self.begin(after, out),
            _ => Ok(()),
        }
    }

    fn begin(&mut self, at: usize, out: &mut dyn FnMut(Event<'_>)) -> Result<(), Damage> {
        let header = std::mem::take(&mut self.held);
        let (flags, method) = (u16_at(&header, 6), u16_at(&header, 8));
        let name_end = FIXED + usize::from(u16_at(&header, 26));
        let name = header.get(FIXED..name_end).unwrap_or_default();
        let (mut packed, unpacked) = (u64::from(u32_at(&header, 18)), u64::from(u32_at(&header, 22)));
        if packed == u64::from(u32::MAX) {
            packed = zip64(header.get(name_end..).unwrap_or_default(), unpacked == u64::from(u32::MAX));
        }
        let descriptor = flags & 8 != 0;
        self.member = Member { descriptor, crc: u32_at(&header, 14), ..Member::default() };
        self.members += 1;
        let known = !descriptor || packed > 0;
        self.state = match method {
            _ if flags & 1 != 0 && !known => return Err(Damage::Dictionary),
            _ if flags & 1 != 0 => State::Skipped(packed),
            0 if known && packed == 0 => return self.next(),
            0 | 8 => {
                let op = if method == 0 { "zip.stored" } else { "zip.deflated" };
                out(Event::Begin { op, name: Some(name), cut: method == 0, at });
                match method {
                    8 => {
                        self.inflate = Some(Box::new(Inflate::new(Wrapper::None)));
                        State::Deflated
                    }
                    _ if known => State::Stored(packed),
                    _ => State::Open,
                }
            }
            _ if known => State::Skipped(packed),
            _ => return Err(Damage::Dictionary),
        };
        self.member.unread = matches!(self.state, State::Skipped(_));
        if self.state == State::Skipped(0) { self.next() } else { Ok(()) }
    }

    /// After a member's bytes.
    fn next(&mut self) -> Result<(), Damage> {
        self.inflate = None;
        self.state = if self.member.descriptor { State::Descriptor } else { State::Signature };
        Ok(())
    }

    fn data(
        &mut self,
        consumed: std::ops::Range<usize>,
        bytes: &[u8],
        copied: bool,
        out: &mut dyn FnMut(Event<'_>),
    ) {
        self.member.hasher.update(bytes);
        self.member.unpacked += bytes.len() as u64;
        if !bytes.is_empty() {
            out(Event::Data { consumed, bytes, copied });
        }
    }

    /// The member ends at `at`; its checksum, where that came before, must hold.
    fn end(&mut self, at: usize, out: &mut dyn FnMut(Event<'_>)) -> Result<(), Damage> {
        out(Event::End { at: Some(at) });
        self.next()?;
        let holds = self.member.descriptor || self.member.hasher.clone().finalize() == self.member.crc;
        if holds { Ok(()) } else { Err(Damage::Corrupt) }
    }

    fn deflated(
        &mut self,
        input: &[u8],
        at: usize,
        budget: &Budget,
        out: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, Damage> {
        let Some(mut inflate) = self.inflate.take() else { return Err(Damage::Corrupt) };
        let rest = input.get(at..).unwrap_or_default();
        let (taken, done) = inflate.some(rest, budget, &mut |from, to, bytes| {
            self.data(at + from..at + to, bytes, false, out);
        })?;
        self.member.seen += taken as u64;
        self.inflate = Some(inflate);
        if done {
            self.end(at + taken, out)?;
        }
        Ok(at + taken)
    }

    /// A stored member ends where a descriptor stands that tells its checksum and its size.
    fn open(&mut self, input: &[u8], at: usize, out: &mut dyn FnMut(Event<'_>)) -> usize {
        // 16 bytes are looked at together; what was held begins like a descriptor.
        if !self.held.is_empty() {
            let byte = input.get(at).copied();
            self.held.extend(byte);
            if self.held.len() == 16 && self.is_descriptor(&self.held) {
                let end = at.checked_sub(15);
                out(Event::End { at: end });
                self.held.clear();
                self.member.descriptor = false;
                self.state = State::Signature;
            } else if self.held.len() == 16 || !begins(&self.held) {
                self.release(at, out);
            }
            return at + 1;
        }
        let rest = input.get(at..).unwrap_or_default();
        let next = memchr::memmem::find(rest, &DESCRIPTOR);
        // The end of the input may be the start of a descriptor.
        let tail = (1..DESCRIPTOR.len())
            .rev()
            .find(|&len| rest.ends_with(DESCRIPTOR.get(..len).unwrap_or_default()));
        let plain = next.unwrap_or(rest.len() - tail.unwrap_or(0));
        self.data(at..at + plain, rest.get(..plain).unwrap_or_default(), true, out);
        self.held.extend(rest.get(plain..(plain + 4).min(rest.len())).unwrap_or_default());
        at + plain + self.held.len()
    }

    /// What was held is data up to where it may begin a descriptor again.
    fn release(&mut self, at: usize, out: &mut dyn FnMut(Event<'_>)) {
        let held = std::mem::take(&mut self.held);
        let next =
            (1..held.len()).find(|&from| begins(held.get(from..).unwrap_or_default())).unwrap_or(held.len());
        let (plain, rest) = held.split_at(next);
        // Where it stands in this push, or (at a seam) nowhere.
        let end = (at + 1).saturating_sub(rest.len());
        match end.checked_sub(plain.len()) {
            Some(start) => self.data(start..end, plain, true, out),
            None => self.data(end..end, plain, false, out),
        }
        self.held = rest.to_vec();
    }

    fn is_descriptor(&self, bytes: &[u8]) -> bool {
        let size = u32::try_from(self.member.unpacked & u64::from(u32::MAX)).unwrap_or(0);
        u32_at(bytes, 4) == self.member.hasher.clone().finalize()
            && u32_at(bytes, 8) == size
            && u32_at(bytes, 12) == size
    }

    /// Takes a byte of a descriptor: with or without a signature, with sizes of four or (zip64) of eight bytes.
    fn descriptor(&mut self, byte: u8) -> Result<(), Damage> {
        self.held.push(byte);
        let held = self.held.as_slice();
        let fields = held.strip_prefix(&DESCRIPTOR).unwrap_or(held);
        if fields.len() < 12 || DESCRIPTOR.starts_with(held) {
            return Ok(());
        }
        let low = |number: u64| u32::try_from(number & u64::from(u32::MAX)).unwrap_or(0);
        let member = &self.member;
        let any = member.unread;
        let short =
            u32_at(fields, 4) == low(member.seen) && (any || u32_at(fields, 8) == low(member.unpacked));
        let long = u64_at(fields, 4) == member.seen && (any || u64_at(fields, 12) == member.unpacked);
        let done = match fields.len() {
            12 => short,
            20 if !long => return Err(Damage::Corrupt),
            20 => true,
            _ => false,
        };
        if done {
            let holds = any || u32_at(fields, 0) == member.hasher.clone().finalize();
            self.held.clear();
            self.state = State::Signature;
            return if holds { Ok(()) } else { Err(Damage::Corrupt) };
        }
        Ok(())
    }
}

fn begins(held: &[u8]) -> bool {
    let len = held.len().min(DESCRIPTOR.len());
    held.get(..len) == DESCRIPTOR.get(..len)
}

/// The packed size in a zip64 field (section 4.5.3), which comes after the other size where that is there too.
fn zip64(mut extra: &[u8], both: bool) -> u64 {
    while extra.len() >= 4 {
        let (id, len) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        if id == 1 {
            return u64_at(extra, if both { 12 } else { 4 });
        }
        extra = extra.get(4 + len..).unwrap_or_default();
    }
    u64::from(u32::MAX)
}

impl Container for Zip {
    fn push(&mut self, input: &[u8], budget: &Budget, out: &mut dyn FnMut(Event<'_>)) -> Result<(), Damage> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            match self.state {
                State::Signature | State::Header(_) => {
                    self.held.push(byte);
                    at += 1;
                    self.header(at, out)?;
                    if self.state == State::Directory {
                        self.held.clear();
                    }
                }
                State::Stored(left) => {
                    let taken = super::skip(input, at, left);
                    self.data(at..at + taken, input.get(at..at + taken).unwrap_or_default(), true, out);
                    at += taken;
                    self.member.seen += taken as u64;
                    self.state = State::Stored(left - taken as u64);
                    if left == taken as u64 {
                        self.end(at, out)?;
                    }
                }
                State::Open => at = self.open(input, at, out),
                State::Deflated => at = self.deflated(input, at, budget, out)?,
                State::Skipped(left) => {
                    let taken = super::skip(input, at, left);
                    at += taken;
                    self.member.seen += taken as u64;
                    self.state = State::Skipped(left - taken as u64);
                    if left == taken as u64 {
                        self.next()?;
                    }
                }
                State::Descriptor => {
                    at += 1;
                    self.descriptor(byte)?;
                }
                State::Directory => return Ok(()),
            }
        }
        Ok(())
    }

    fn finish(&mut self, _: &Budget, out: &mut dyn FnMut(Event<'_>)) -> Result<(), Damage> {
        if self.state == State::Open && !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            out(Event::Data { consumed: 0..0, bytes: &held, copied: false });
        }
        let done = self.state == State::Directory || (self.state == State::Signature && self.held.is_empty());
        if done && self.members > 0 { Ok(()) } else { Err(Damage::CutOff) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::engine::codec::{cut_everywhere, values};

    fn deflated(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// How a member's sizes are told.
    #[derive(Clone, Copy, PartialEq)]
    enum Sizes {
        Before,
        After,
        AfterWithoutSignature,
        AfterInEight,
    }

    fn member(name: &str, bytes: &[u8], method: u16, sizes: Sizes) -> Vec<u8> {
        let packed = if method == 8 { deflated(bytes) } else { bytes.to_vec() };
        let crc = crc32fast::hash(bytes);
        let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
        let later = sizes != Sizes::Before;
        let mut zip = MAGIC.to_vec();
        zip.extend([20, if later { 8 } else { 0 }, method, 0, 0].map(u16::to_le_bytes).concat());
        let numbers = if later { [0; 3] } else { [crc, size(&packed), size(bytes)] };
        zip.extend(numbers.map(u32::to_le_bytes).concat());
        zip.extend([u16::try_from(name.len()).unwrap(), 0].map(u16::to_le_bytes).concat());
        zip.extend_from_slice(name.as_bytes());
        zip.extend_from_slice(&packed);
        if sizes == Sizes::After || sizes == Sizes::AfterInEight {
            zip.extend(DESCRIPTOR);
        }
        match sizes {
            Sizes::Before => {}
            Sizes::AfterInEight => {
                zip.extend(crc.to_le_bytes());
                zip.extend([packed.len() as u64, bytes.len() as u64].map(u64::to_le_bytes).concat());
            }
            _ => zip.extend([crc, size(&packed), size(bytes)].map(u32::to_le_bytes).concat()),
        }
        zip
    }

    fn directory() -> Vec<u8> {
        [&DIRECTORY[..], &[0; 42], &END, &[0; 18]].concat()
    }

    #[test]
    fn members_come_out_however_their_sizes_are_told_and_wherever_they_are_cut() {
        let text = b"some text, some text PK\x07\x08, PK\x07 more text".as_slice();
        let zip = [
            member("stored", text, 0, Sizes::Before),
            member("folder/", b"", 0, Sizes::Before),
            member("deflated", text, 8, Sizes::Before),
            member("later", text, 8, Sizes::After),
            member("bare", text, 8, Sizes::AfterWithoutSignature),
            member("eight", text, 8, Sizes::AfterInEight),
            member("open", text, 0, Sizes::After),
            member("last", b"PPK", 0, Sizes::After),
            directory(),
        ]
        .concat();
        let found = cut_everywhere(|| Box::new(Zip::new()), &zip);
        let names: Vec<&str> = found.iter().map(|value| value.name.as_deref().unwrap()).collect();
        assert_eq!(names, ["stored", "deflated", "later", "bare", "eight", "open", "last"]);
        for value in &found[..6] {
            assert_eq!(value.bytes, text, "{:?}", value.name);
            let packed = &zip[value.at.clone()];
            let expected = if value.op == "zip.deflated" { deflated(text) } else { text.to_vec() };
            assert_eq!(packed, expected, "{:?}", value.name);
        }
        assert_eq!(found[6].bytes, b"PPK");
    }

    /// `printf 'hello hello hello' | zip -q - -`, Info-ZIP 3.0: zip64, sizes behind.
    const PIPED: &[u8] = b"PK\x03\x04-\0\x08\0\x08\0\x2b\x01z\x5d\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x01\0\x14\0-\x01\0\x10\0\0\0\0\0\0\0\0\0\0\
        \0\0\0\0\0\0\0\xcbH\xcd\xc9\xc9W\xc8\x40\x90\0PK\x07\x08\x80\x88\xf9\xe5\x0a\0\0\0\0\0\0\0\x11\0\0\0\0\0\0\0PK\x01\x02\
        \x1e\x03-\0\x08\0\x08\0\x2b\x01z\x5d\x80\x88\xf9\xe5\x0a\0\0\0\x11\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\x80\
        \x11\0\0\0\0-PK\x05\x06\0\0\0\0\x01\0\x01\0\x2f\0\0\0U\0\0\0\0\0";

    #[test]
    fn what_info_zip_writes_to_a_pipe_is_read() {
        let (found, result) = values(&mut Zip::new(), &[PIPED]);
        assert_eq!(found[0].bytes, b"hello hello hello");
        assert_eq!(result, Ok(()));
    }

    #[test]
    fn damage_is_told_apart() {
        let result = |bytes: &[u8]| values(&mut Zip::new(), &[bytes]).1;
        let zip = member("a", b"abcabcabc", 8, Sizes::Before);
        assert_eq!(result(&zip), Ok(()));
        assert_eq!(result(&zip[..zip.len() - 1]), Err(Damage::CutOff));
        assert_eq!(result(b"{..}"), Err(Damage::NotThis));
        assert_eq!(result(&[zip.as_slice(), b"{..}"].concat()), Err(Damage::Trailing));
        let mut wrong = zip.clone();
        wrong[14] ^= 1;
        assert_eq!(result(&wrong), Err(Damage::Corrupt), "another checksum");
        let mut secret = zip.clone();
        secret[6] |= 1;
        let (found, result) = values(&mut Zip::new(), &[&secret, &member("b", b"xyz", 0, Sizes::Before)]);
        assert_eq!((found.len(), found[0].name.as_deref(), result), (1, Some("b"), Ok(())), "encrypted");
    }

    proptest::proptest! {
        #[test]
        fn changed_members_are_taken_or_refused(index in 0..120_usize, byte: u8, cut in 0..120_usize) {
            let mut bytes = [member("a", b"abcabcabc", 8, Sizes::After), member("b", b"PK\x07\x08abc", 0, Sizes::After)].concat();
            let (index, cut) = (index % bytes.len(), cut % bytes.len());
            bytes[index] = byte;
            let (left, right) = bytes.split_at(cut);
            let plain = |pieces: &[&[u8]]| {
                let (found, result) = values(&mut Zip::new(), pieces);
                (found.into_iter().map(|value| value.bytes).collect::<Vec<_>>(), result.is_ok())
            };
            proptest::prop_assert_eq!(plain(&[left, right]), plain(&[&bytes]));
        }
    }
}
