//! tar (POSIX.1-2001 pax interchange format, with the long names of GNU).

use super::{Budget, Container, Damage, Event};

/// Everything stands in blocks of this size.
pub const BLOCK: usize = 512;

/// Bytes of an extended header or a long name that are read; they hold a path and some times.
const MAX_EXTENDED: u64 = 64 << 10;

/// Finds the files of an archive.
#[derive(Debug, Default)]
pub struct Tar {
    state: State,
    held: Vec<u8>,
    /// A path and a size from an extended header, for the next file.
    path: Option<Vec<u8>>,
    size: Option<u64>,
    entries: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Header,
    /// So many bytes of a file, then of padding.
    File(u64, u64),
    /// So many bytes of an extended header of this type, then of padding.
    Extended(u8, u64, u64),
    Padding(u64),
    /// After the blocks of zeros that end an archive.
    End,
}

impl Tar {
    /// Begins.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a block is a header: its checksum holds. The magic alone would do for what was written after 1988.
    pub fn is_header(block: &[u8]) -> bool {
        let Some(stated) = block.get(148..156).and_then(octal) else { return false };
        let sum = |range: std::ops::Range<usize>| {
            block.get(range).unwrap_or_default().iter().map(|&byte| u64::from(byte)).sum::<u64>()
        };
        block.len() == BLOCK && stated == sum(0..148) + 8 * u64::from(b' ') + sum(156..BLOCK)
    }

    fn header(&mut self, after: usize, out: &mut dyn FnMut(Event<'_>)) -> Result<(), Damage> {
        let block = std::mem::take(&mut self.held);
        if block.iter().all(|&byte| byte == 0) && self.entries > 0 {
            self.state = State::End;
            return Ok(());
        }
        if !Self::is_header(&block) {
            return Err(if self.entries == 0 { Damage::NotThis } else { Damage::Corrupt });
        }
        self.entries += 1;
        let stated = block.get(124..136).and_then(number).ok_or(Damage::Corrupt)?;
        let kind = block.get(156).copied().unwrap_or(0);
        let padding = |size: u64| (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
        if matches!(kind, b'x' | b'L') && stated <= MAX_EXTENDED {
            self.state = State::Extended(kind, stated, padding(stated));
            return Ok(());
        }
        let size = self.size.take().unwrap_or(stated);
        let path = self.path.take().unwrap_or_else(|| path(&block));
        self.state = match kind {
            0 | b'0' | b'7' if size > 0 => {
                out(Event::Begin { op: "tar.member", name: Some(&path), cut: true, at: after });
                State::File(size, padding(size))
            }
            // Links, devices and folders have no content, whatever their size says.
            b'1'..=b'6' => State::Header,
            _ => State::skip(size.saturating_add(padding(size))),
        };
        Ok(())
    }

    fn extended(&mut self, kind: u8) {
        let held = std::mem::take(&mut self.held);
        if kind == b'L' {
            self.path = Some(until_zero(&held).to_vec());
            return;
        }
        let mut rest = held.as_slice();
        // `30 path=some/path\n`: the length counts itself and the line end.
        while let Some(space) = memchr::memchr(b' ', rest) {
            let length = str::from_utf8(rest.get(..space).unwrap_or_default()).ok();
            let Some(length) = length.and_then(|text| text.parse().ok()).filter(|&length| length > space)
            else {
                return;
            };
            let Some(record) = rest.get(space + 1..length) else { return };
            let record = record.strip_suffix(b"\n").unwrap_or(record);
            if let Some(path) = record.strip_prefix(b"path=") {
                self.path = Some(path.to_vec());
            } else if let Some(size) = record.strip_prefix(b"size=") {
                self.size = str::from_utf8(size).ok().and_then(|text| text.parse().ok());
            }
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

impl State {
    fn skip(bytes: u64) -> Self {
        if bytes == 0 { Self::Header } else { Self::Padding(bytes) }
    }
}

fn until_zero(field: &[u8]) -> &[u8] {
    field.get(..memchr::memchr(0, field).unwrap_or(field.len())).unwrap_or_default()
}

/// `prefix/name`
fn path(block: &[u8]) -> Vec<u8> {
    let field = |range| until_zero(block.get(range).unwrap_or_default());
    let (name, prefix) = (field(0..100), field(345..500));
    let ustar = block.get(257..263) == Some(b"ustar\0");
    if ustar && !prefix.is_empty() { [prefix, b"/", name].concat() } else { name.to_vec() }
}

fn octal(field: &[u8]) -> Option<u64> {
    let digits = field.trim_ascii_start();
    let end = digits.iter().position(|byte| !matches!(byte, b'0'..=b'7')).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    let closed = rest.iter().all(|byte| matches!(byte, 0 | b' '));
    if digits.is_empty() || !closed {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| number.checked_mul(8)?.checked_add(u64::from(digit - b'0')))
}

/// Octal, or (GNU) the bytes of a number after a set bit.
fn number(field: &[u8]) -> Option<u64> {
    match field {
        [0x80, rest @ ..] => {
            let (high, low) = rest.split_at(rest.len().saturating_sub(8));
            let low: [u8; 8] = low.try_into().ok()?;
            high.iter().all(|&byte| byte == 0).then_some(u64::from_be_bytes(low))
        }
        _ => octal(field),
    }
}

impl Container for Tar {
    fn push(&mut self, input: &[u8], _: &Budget, out: &mut dyn FnMut(Event<'_>)) -> Result<(), Damage> {
        let mut at = 0;
        while at < input.len() {
            let skip = |left| super::skip(input, at, left);
            match self.state {
                State::Header => {
                    let taken = skip((BLOCK - self.held.len()) as u64);
                    self.held.extend_from_slice(input.get(at..at + taken).unwrap_or_default());
                    at += taken;
                    if self.held.len() == BLOCK {
                        self.header(at, out)?;
                    }
                }
                State::File(left, padding) => {
                    let taken = skip(left);
                    let bytes = input.get(at..at + taken).unwrap_or_default();
                    out(Event::Data { consumed: at..at + taken, bytes, copied: true });
                    at += taken;
                    self.state = State::File(left - taken as u64, padding);
                    if left == taken as u64 {
                        out(Event::End { at: None });
                        self.state = State::skip(padding);
                    }
                }
                State::Extended(kind, left, padding) => {
                    let taken = skip(left);
                    self.held.extend_from_slice(input.get(at..at + taken).unwrap_or_default());
                    at += taken;
                    self.state = State::Extended(kind, left - taken as u64, padding);
                    if left == taken as u64 {
                        self.extended(kind);
                        self.state = State::skip(padding);
                    }
                }
                State::Padding(left) => {
                    let taken = skip(left);
                    at += taken;
                    self.state = State::skip(left - taken as u64);
                }
                State::End if input.iter().skip(at).all(|&byte| byte == 0) => return Ok(()),
                State::End => return Err(Damage::Trailing),
            }
        }
        Ok(())
    }

    fn finish(&mut self, _: &Budget, _: &mut dyn FnMut(Event<'_>)) -> Result<(), Damage> {
        let done = self.state == State::End || (self.state == State::Header && self.held.is_empty());
        if done && self.entries > 0 { Ok(()) } else { Err(Damage::CutOff) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::codec::{cut_everywhere, values};

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, path, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn files_come_out_with_their_paths_also_long_ones() {
        let long = "a/".repeat(90) + "long.txt";
        let bytes = archive(&[("DCIM/a.jpg", b"photo"), (&long, &[7; 513]), ("empty", b""), ("z", b"end")]);
        let found = cut_everywhere(|| Box::new(Tar::new()), &bytes);
        let found: Vec<(&str, usize)> =
            found.iter().map(|value| (value.name.as_deref().unwrap(), value.bytes.len())).collect();
        assert_eq!(found, [("DCIM/a.jpg", 5), (long.as_str(), 513), ("z", 3)]);
    }

    #[test]
    fn pax_headers_give_path_and_size() {
        // bsdtar and Python's tarfile write these; the stated size of the file is wrong on purpose.
        let mut builder = tar::Builder::new(Vec::new());
        let records = b"18 path=real/name\n9 size=4\n";
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::XHeader);
        header.set_path("PaxHeaders/x").unwrap();
        header.set_size(records.len() as u64);
        header.set_cksum();
        builder.append(&header, &records[..]).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_path("short").unwrap();
        header.set_size(4);
        header.set_cksum();
        builder.append(&header, &b"data"[..]).unwrap();
        let found = cut_everywhere(|| Box::new(Tar::new()), &builder.into_inner().unwrap());
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_deref(), found[0].bytes.as_slice()), (Some("real/name"), &b"data"[..]));
    }

    #[test]
    fn what_is_no_archive_is_damage() {
        let result = |bytes: &[u8]| values(&mut Tar::new(), &[bytes]).1;
        assert_eq!(result(&[b'a'; 600]), Err(Damage::NotThis));
        assert_eq!(result(&[0; 1024]), Err(Damage::NotThis));
        let bytes = archive(&[("a", b"abc")]);
        assert_eq!(result(&bytes[..700]), Err(Damage::CutOff));
        assert_eq!(result(&[bytes.as_slice(), b"x"].concat()), Err(Damage::Trailing));
        let mut damaged = archive(&[("a", b"abc"), ("b", b"abc")]);
        damaged[1030] ^= 1;
        assert_eq!(result(&damaged), Err(Damage::Corrupt));
    }

    proptest! {
        #[test]
        fn changed_archives_are_taken_or_refused(index in 0..2048_usize, byte: u8, cut in 0..2048_usize) {
            let mut bytes = archive(&[("a", b"abc"), ("b", b"abc")]);
            bytes[index] = byte;
            let (left, right) = bytes.split_at(cut);
            let strip = |(found, result): (Vec<crate::engine::codec::Value>, Result<(), Damage>)| {
                (found, result.is_ok())
            };
            prop_assert_eq!(strip(values(&mut Tar::new(), &[left, right])), strip(values(&mut Tar::new(), &[&bytes])));
        }
    }
}
