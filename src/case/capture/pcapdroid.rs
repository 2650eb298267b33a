//! What PCAPdroid, an app that captures on the phone itself, adds to its files: which app each packet belongs to.
//!
//! A pcap made with its trailer has Ethernet headers of zeros, and behind each IP packet 32 bytes. A pcapng has
//! custom blocks that map user numbers to apps, and a comment `u-NUMBER` on each packet. (The layout is that of its
//! Wireshark dissector, `pcapdroid.lua`.)

use super::ByteOrder;
use crate::evidence::printable;

/// The enterprise number of its custom blocks.
pub(super) const ENTERPRISE: u32 = 62_652;
/// The trailer's first four bytes.
const MAGIC: [u8; 4] = 0x0107_2021_u32.to_be_bytes();
const TRAILER: usize = 32;
/// Characters kept of an app's name; PCAPdroid writes 63 at most.
const MAX_NAME: usize = 255;

/// An app of the phone, as Android numbers its users.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct App {
    /// The user number; several apps of one maker may share it. Below zero where PCAPdroid did not know.
    pub uid: i32,
    /// The name that people see, printable.
    pub name: String,
    /// The package, printable; empty where the file doesn't say.
    pub package: String,
}

/// A packet's trailer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// The app.
    pub app: App,
    /// Whether the frame check sequence at its end fits the frame.
    pub intact: bool,
}

impl Trailer {
    /// Reads the trailer of a frame whose packet ends at `end`: what lies inside of a packet was sent by someone, and
    /// is no trailer.
    pub fn read(frame: &[u8], end: usize) -> Option<Self> {
        let start = frame.len().checked_sub(TRAILER).filter(|&start| start >= end)?;
        let (before, sum) = frame.split_at_checked(frame.len() - 4)?;
        let fields = before.get(start..)?;
        let (magic, fields) = fields.split_first_chunk::<4>()?;
        let (uid, name) = fields.split_first_chunk::<4>()?;
        if *magic != MAGIC {
            return None;
        }
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        let app =
            App { uid: i32::from_be_bytes(*uid), name: printable(name, MAX_NAME), package: String::new() };
        // Phones are little-endian, and the sum is written as it stands in memory.
        let intact = sum.first_chunk() == Some(&crc32fast::hash(before).to_le_bytes());
        Some(Self { app, intact })
    }
}

/// Whether an option of a section (shb_userappl) says that PCAPdroid wrote it.
pub(super) fn is_author((code, value): (u16, &[u8])) -> bool {
    code == 4 && value.starts_with(b"PCAPdroid")
}

/// Reads a custom block's data, behind the enterprise number: version, type, and an app with its user number.
pub(super) fn uid_map(data: &[u8], order: ByteOrder) -> Option<App> {
    const VERSION: u16 = 1;
    const UID_MAP: u8 = 1;
    let &[v0, v1, kind, _, u0, u1, u2, u3, package_len, name_len] = data.first_chunk::<10>()?;
    if order.u16([v0, v1]) != VERSION || kind != UID_MAP {
        return None;
    }
    let names = data.get(10..)?;
    let (package, rest) = names.split_at_checked(usize::from(package_len))?;
    let name = rest.get(..usize::from(name_len))?;
    Some(App {
        uid: order.u32([u0, u1, u2, u3]).cast_signed(),
        name: printable(name, MAX_NAME),
        package: printable(package, MAX_NAME),
    })
}

/// The user number of a packet's comment.
pub(super) fn uid_comment(comment: &[u8]) -> Option<i32> {
    std::str::from_utf8(comment.strip_prefix(b"u-")?).ok()?.parse().ok()
}
