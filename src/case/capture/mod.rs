//! Captured traffic: pcap and pcapng, plain or compressed; frames by reference.
//!
//! [`Capture::open`] recognises a file and unpacks it once where it is compressed; [`Capture::frames`]
//! walks its records in one pass and ends in a [`Container`] that says what the file was: its digest,
//! format, link types, drop counters, key logs, comments, names, apps and everything odd about it. Nothing here looks into a
//! frame; that is the work of the traffic engine.

use std::{fmt, sync::Arc};

use crate::evidence::{Anomaly, Blob, Digest, ReadError, Scratch, printable, read_exact_at};

mod excerpt;
mod frames;
mod link;
mod packed;
mod pcap;
mod pcapdroid;
mod pcapng;
mod window;
mod zstd;

pub use excerpt::{Excerpt, ExcerptError, Wanted};
pub use frames::{Comment, Container, Frame, Frames, Secrets, Vantage};
pub use link::LinkType;
pub use packed::Packing;
pub use pcapdroid::{App, Trailer};

/// One capture.
pub struct Capture {
    /// Logical path.
    pub name: String,
    /// The file as it stands.
    pub file: Arc<dyn Blob>,
    /// Its uncompressed bytes.
    pub bytes: Arc<dyn Blob>,
    /// What kind of container it is.
    pub format: Format,
    /// Known beforehand where the file had to be unpacked.
    unpacked: Option<Unpacked>,
    /// Where an index of it may put what does not fit in memory.
    scratch: Scratch,
}

/// What unpacking a compressed capture told.
struct Unpacked {
    digest: Digest,
    anomalies: Vec<Anomaly>,
}

/// The kind of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// pcap or pcapng.
    pub family: Family,
    /// Byte order of its headers (of the first section for pcapng).
    pub order: ByteOrder,
    /// What it is compressed with, if it is.
    pub packing: Option<Packing>,
}

/// The family of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Classic pcap with times in microseconds.
    PcapMicro,
    /// Classic pcap with times in nanoseconds.
    PcapNano,
    /// pcapng; each interface has its own resolution.
    PcapNg,
}

/// Byte order of a container's headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// Most significant byte first.
    Big,
    /// Least significant byte first.
    Little,
}

impl ByteOrder {
    fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Big => u16::from_be_bytes(bytes),
            Self::Little => u16::from_le_bytes(bytes),
        }
    }

    fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Big => u32::from_be_bytes(bytes),
            Self::Little => u32::from_le_bytes(bytes),
        }
    }

    fn u64(self, bytes: [u8; 8]) -> u64 {
        match self {
            Self::Big => u64::from_be_bytes(bytes),
            Self::Little => u64::from_le_bytes(bytes),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match self.family {
            Family::PcapMicro => "pcap, microseconds",
            Family::PcapNano => "pcap, nanoseconds",
            Family::PcapNg => "pcapng",
        };
        let order = match self.order {
            ByteOrder::Big => "big-endian",
            ByteOrder::Little => "little-endian",
        };
        write!(f, "{family}, {order}")?;
        self.packing.map_or(Ok(()), |packing| write!(f, ", {packing}"))
    }
}

/// Why a file is no capture that can be read.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// A Git LFS pointer stands where the capture should.
    #[error("read {name} as a capture: it is a Git LFS pointer{}, not the capture itself", size_text(*.size))]
    LfsPointer {
        /// Logical path.
        name: String,
        /// Bytes of the file that it points to, where it says so.
        size: Option<u64>,
    },
    /// The file has no bytes.
    #[error("read {name} as a capture: the file is empty")]
    Empty {
        /// Logical path.
        name: String,
    },
    /// Something else.
    #[error("read {name} as a capture: it is neither pcap nor pcapng, but looks like {looks_like}")]
    NotACapture {
        /// Logical path.
        name: String,
        /// What its first bytes say.
        looks_like: String,
    },
    /// It can't be unpacked for want of room.
    #[error("unpack {name} into a scratch file")]
    Scratch {
        /// Logical path.
        name: String,
        /// What the scratch folder said.
        #[source]
        source: std::io::Error,
    },
    /// It can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

fn size_text(size: Option<u64>) -> String {
    size.map_or_else(String::new, |size| format!(" to {size} bytes"))
}

/// Enough of a file's start to tell what it is, and to show it.
const HEAD: usize = 256;

impl Capture {
    /// Recognises a capture; a gzipped one is unpacked into a scratch file without a name.
    ///
    /// # Errors
    /// When the file is no capture, can't be read, or can't be unpacked for want of room. A damaged
    /// capture is none of these: what can be read is read, and the damage is an anomaly.
    pub fn open(name: &str, file: Arc<dyn Blob>, scratch: &Scratch) -> Result<Self, CaptureError> {
        let mut head = head(name, &*file)?;
        let (mut bytes, mut unpacked) = (Arc::clone(&file), None);
        let packing = Packing::of(&head);
        if let Some(packing) = packing {
            let (blob, facts) = packed::unpack(packing, name, &file, scratch)?;
            (bytes, unpacked) = (blob, Some(facts));
            head = self::head(name, &*bytes)?;
        }
        let Some((family, order)) = recognise(&head) else { return Err(refuse(name, &head)) };
        let format = Format { family, order, packing };
        Ok(Self { name: name.to_owned(), file, bytes, format, unpacked, scratch: scratch.clone() })
    }

    /// Walks the frames from the first one.
    pub fn frames(&self) -> Frames<'_> {
        Frames::new(self)
    }

    /// Where an index of this capture may put what does not fit in memory.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }
}

fn head(name: &str, blob: &dyn Blob) -> Result<Vec<u8>, ReadError> {
    let mut head = vec![0; usize::try_from(blob.len()).unwrap_or(HEAD).min(HEAD)];
    read_exact_at(blob, &mut head, 0).map_err(|error| ReadError::new(name, 0, error))?;
    Ok(head)
}

fn recognise(head: &[u8]) -> Option<(Family, ByteOrder)> {
    match head.first_chunk::<4>()? {
        [0xa1, 0xb2, 0xc3, 0xd4] => Some((Family::PcapMicro, ByteOrder::Big)),
        [0xd4, 0xc3, 0xb2, 0xa1] => Some((Family::PcapMicro, ByteOrder::Little)),
        [0xa1, 0xb2, 0x3c, 0x4d] => Some((Family::PcapNano, ByteOrder::Big)),
        [0x4d, 0x3c, 0xb2, 0xa1] => Some((Family::PcapNano, ByteOrder::Little)),
        [0x0a, 0x0d, 0x0d, 0x0a] => match head.get(8..12)? {
            [0x1a, 0x2b, 0x3c, 0x4d] => Some((Family::PcapNg, ByteOrder::Big)),
            [0x4d, 0x3c, 0x2b, 0x1a] => Some((Family::PcapNg, ByteOrder::Little)),
            _ => None,
        },
        _ => None,
    }
}

/// The first line of every Git LFS pointer (version 1 of its specification).
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/v1";

fn refuse(name: &str, head: &[u8]) -> CaptureError {
    let name = name.to_owned();
    if head.is_empty() {
        CaptureError::Empty { name }
    } else if head.starts_with(LFS) {
        let text = String::from_utf8_lossy(head);
        let size = text.lines().find_map(|line| line.strip_prefix("size ")?.trim().parse().ok());
        CaptureError::LfsPointer { name, size }
    } else {
        CaptureError::NotACapture { name, looks_like: looks_like(head) }
    }
}

/// Starts of files that people take for captures.
const OTHERS: &[(&[u8], &str)] = &[
    (b"\xa1\xb2\xcd\x34", "a modified pcap (Alexey Kuznetzov's); convert it with editcap -F pcap"),
    (b"\x34\xcd\xb2\xa1", "a modified pcap (Alexey Kuznetzov's); convert it with editcap -F pcap"),
    (b"snoop\0\0\0", "a snoop capture; convert it with editcap -F pcap"),
    (b"\xfd7zXZ\0", "an xz file; unpack it first"),
    (b"BZh", "a bzip2 file; unpack it first"),
    (b"PK\x03\x04", "a zip archive; unpack it first"),
    (b"\x1f\x8b", "a gzip file inside a compressed file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file inside a compressed file"),
    (b"\x7fELF", "a program"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89PNG", "a PNG image"),
    (b"<", "markup (a download page?)"),
    (b"{", "JSON"),
];

fn looks_like(head: &[u8]) -> String {
    let known = OTHERS.iter().find(|(start, _)| head.starts_with(start));
    known.map_or_else(
        || {
            let start = head.get(..head.len().min(16)).unwrap_or_default();
            if start.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t')) {
                format!("text that starts \"{}\"", printable(start, 16))
            } else {
                format!("a file that starts with the bytes {}", crate::evidence::hex(start))
            }
        },
        |(_, what)| (*what).to_owned(),
    )
}

#[cfg(test)]
mod tests;
