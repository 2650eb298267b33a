//! The one header a member can have (POSIX.1-1988 ustar).

use crate::bundle::name::{MemberName, NameFault, TOP};

/// Archives are made of blocks.
pub const BLOCK: usize = 512;

/// Eleven octal digits: a member is smaller than 8 GiB, and times end in the year 2242.
pub const FIELD_END: u64 = 1 << 33;

/// Every field with its width, in order.
const FIELDS: [(&str, usize); 17] = [
    ("name", 100),
    ("mode", 8),
    ("uid", 8),
    ("gid", 8),
    ("size", 12),
    ("mtime", 12),
    ("checksum", 8),
    ("typeflag", 1),
    ("linkname", 100),
    ("magic", 6),
    ("version", 2),
    ("uname", 32),
    ("gname", 32),
    ("devmajor", 8),
    ("devminor", 8),
    ("prefix", 155),
    ("padding", 12),
];

/// Where the checksum stands.
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// One member's header, as it stands in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name below the top folder.
    pub name: MemberName,
    /// Bytes that follow, without padding.
    pub size: u64,
    /// Seconds since 1970; the same for all members.
    pub mtime: u64,
}

/// Why a block is not the header that its own name, size and time give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderFault {
    /// The first field that differs.
    Field(&'static str),
    /// The name, as far as it is one.
    Name(Vec<u8>, NameFault),
}

impl Header {
    /// Writes the header; `None` when size or time do not fit eleven octal digits.
    pub fn block(&self) -> Option<[u8; BLOCK]> {
        if self.size >= FIELD_END || self.mtime >= FIELD_END {
            return None;
        }
        let mut header = tar::Header::new_ustar();
        header.set_path(format!("{TOP}{}", self.name)).ok()?;
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(self.size);
        header.set_mtime(self.mtime);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_device_major(0).ok()?;
        header.set_device_minor(0).ok()?;
        header.set_cksum();
        // GNU tar ends the checksum with a NUL and a space; the crate spells it with one digit more.
        let checksum = format!("{:06o}\0 ", header.cksum().ok()?);
        let mut block = *header.as_bytes();
        block.get_mut(CHECKSUM)?.copy_from_slice(checksum.as_bytes());
        Some(block)
    }

    /// Reads a block by writing it again: whatever is not that, byte for byte, is refused.
    ///
    /// # Errors
    /// The first field that differs, or the name.
    pub fn parse(block: &[u8; BLOCK]) -> Result<Self, HeaderFault> {
        let size = octal(block, 124).ok_or(HeaderFault::Field("size"))?;
        let mtime = octal(block, 136).ok_or(HeaderFault::Field("mtime"))?;
        // The type comes before the name: long-name extensions carry names of their own making.
        if block.get(156) != Some(&b'0') {
            return Err(HeaderFault::Field("typeflag"));
        }
        let name = block.get(..100).and_then(|field| field.split(|&c| c == 0).next()).unwrap_or_default();
        let bad_name = |fault| HeaderFault::Name(name.to_vec(), fault);
        let path = name.strip_prefix(TOP.as_bytes()).ok_or_else(|| bad_name(NameFault::Character))?;
        let path = str::from_utf8(path).map_err(|_| bad_name(NameFault::Character))?;
        let header = Self { name: MemberName::new(path).map_err(bad_name)?, size, mtime };
        match header.block() {
            Some(canonical) if canonical == *block => Ok(header),
            Some(canonical) => Err(HeaderFault::Field(first_difference(block, &canonical))),
            None => Err(HeaderFault::Field("size")),
        }
    }
}

fn first_difference(block: &[u8; BLOCK], canonical: &[u8; BLOCK]) -> &'static str {
    let differs =
        |from: usize, width: usize| block.get(from..from + width) != canonical.get(from..from + width);
    let mut from = 0;
    // A wrong field makes the checksum differ too, so the checksum is named only when it stands alone.
    let mut found = "checksum";
    for (name, width) in FIELDS {
        if name != "checksum" && differs(from, width) {
            found = name;
            break;
        }
        from += width;
    }
    found
}

/// Eleven octal digits and a NUL at `at`.
fn octal(block: &[u8; BLOCK], at: usize) -> Option<u64> {
    let (digits, end) = block.get(at..at + 12)?.split_at_checked(11)?;
    if end != [0] || !digits.iter().all(|c| (b'0'..=b'7').contains(c)) {
        return None;
    }
    u64::from_str_radix(str::from_utf8(digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_fill_the_block_and_come_back() {
        let name = MemberName::new("data/findings.json").unwrap();
        let header = Header { name, size: 8, mtime: 1_700_000_000 };
        let block = header.block().unwrap();
        assert_eq!(&block[124..148], b"00000000010\x0014524770400\0");
        assert_eq!(Header::parse(&block), Ok(header.clone()));
        assert_eq!(Header { size: FIELD_END, ..header.clone() }.block(), None);
        assert_eq!(Header { mtime: FIELD_END, ..header }.block(), None);
    }

    #[test]
    fn every_single_changed_byte_of_a_header_is_refused_or_gives_another_header() {
        let name = MemberName::new("data/a").unwrap();
        let block = Header { name, size: 1, mtime: 0 }.block().unwrap();
        for at in 0..BLOCK {
            for bit in 0..8 {
                let mut bad = block;
                bad[at] ^= 1 << bit;
                assert!(Header::parse(&bad).is_err(), "byte {at} bit {bit}");
            }
        }
    }
}
