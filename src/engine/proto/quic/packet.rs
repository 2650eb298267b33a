//! Packet headers (RFC 8999, RFC 9000 section 17), as far as they can be read without keys.

use std::ops::Range;

use super::{Cursor, Space, Version};

/// Connection ids of known versions (RFC 9000 section 17.2); other versions may have longer ones.
pub const MAX_ID: usize = 20;
/// The tag at the end of a Retry packet (RFC 9001 section 5.8).
pub const RETRY_TAG: usize = 16;
/// Header protection samples so much, from four bytes behind the start of the packet number (RFC 9001 section 5.4.2).
pub(super) const SAMPLE: usize = 16;
/// Bytes of the longest packet number.
pub(super) const LONGEST_NUMBER: usize = 4;

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The first flight, under public keys.
    Initial,
    /// Early data of a client that was there before.
    ZeroRtt,
    /// The rest of the handshake.
    Handshake,
    /// "Come again with this token."
    Retry,
    /// "I speak these versions."
    VersionNegotiation,
    /// Everything later; the only kind with a short header.
    OneRtt,
    /// A long header of a version that is not known here.
    OtherVersion,
}

impl Kind {
    /// Which numbers its packets have.
    pub fn space(self) -> Option<Space> {
        match self {
            Self::Initial => Some(Space::Initial),
            Self::Handshake => Some(Space::Handshake),
            Self::ZeroRtt | Self::OneRtt => Some(Space::Application),
            Self::Retry | Self::VersionNegotiation | Self::OtherVersion => None,
        }
    }
}

/// A long header; ranges count from the packet's first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Long {
    /// What the packet is.
    pub kind: Kind,
    /// Its version.
    pub version: Version,
    /// The destination's connection id.
    pub destination: Range<usize>,
    /// The source's connection id.
    pub source: Range<usize>,
    /// The token of an Initial or a Retry packet.
    pub token: Range<usize>,
    /// The Length field.
    pub length: Range<usize>,
    /// Where the packet number starts.
    pub number: usize,
    /// One past the packet; what follows is another one (RFC 9000 section 12.2).
    pub end: usize,
}

impl Long {
    /// Reads the header of a packet that starts a slice and may be followed by others. A packet whose announced end
    /// lies beyond the slice is none.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let first = cursor.byte().filter(|first| first & 0x80 != 0)?;
        let version = Version(u32::try_from(cursor.number(4)?).ok()?);
        let destination = id(&mut cursor)?;
        let source = id(&mut cursor)?;
        let rules = version.rules();
        let kind = match rules {
            _ if version == Version::NEGOTIATION => Kind::VersionNegotiation,
            Some(rules) => *rules.kinds.get(usize::from(first >> 4 & 3))?,
            None => Kind::OtherVersion,
        };
        if rules.is_some() && (destination.len() > MAX_ID || source.len() > MAX_ID) {
            return None;
        }
        let at = cursor.at();
        let end = bytes.len();
        let mut header =
            Self { kind, version, destination, source, token: at..at, length: at..at, number: at, end };
        match kind {
            Kind::Initial | Kind::ZeroRtt | Kind::Handshake => {
                if kind == Kind::Initial {
                    let length = cursor.varint()?;
                    header.token = cursor.range(length)?;
                }
                let start = cursor.at();
                let length = cursor.varint()?;
                header.length = start..cursor.at();
                header.number = cursor.at();
                header.end = cursor.range(length)?.end;
            }
            Kind::Retry => {
                header.number = end.checked_sub(RETRY_TAG).filter(|&tag| tag >= at)?;
                header.token = at..header.number;
            }
            Kind::VersionNegotiation | Kind::OtherVersion | Kind::OneRtt => {}
        }
        Some(header)
    }

    /// The versions that a Version Negotiation packet offers.
    pub fn offered(&self, packet: &[u8]) -> Vec<Version> {
        let (versions, _) = packet.get(self.number..).unwrap_or_default().as_chunks::<4>();
        versions.iter().map(|version| Version(u32::from_be_bytes(*version))).collect()
    }
}

fn id(cursor: &mut Cursor<'_>) -> Option<Range<usize>> {
    let length = cursor.byte()?;
    cursor.range(u64::from(length))
}

/// Whether a datagram starts with a packet of a known version, or offers one: enough to say that a flow is QUIC.
pub fn probe(datagram: &[u8]) -> bool {
    Long::parse(datagram).is_some_and(|header| match header.kind {
        Kind::OtherVersion => false,
        Kind::VersionNegotiation => {
            let offered = header.offered(datagram);
            !offered.is_empty() && offered.iter().any(|version| version.rules().is_some())
        }
        // RFC 9000 section 17.2: the fixed bit.
        _ => datagram.first().is_some_and(|first| first & 0x40 != 0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncated_and_impossible_headers_are_none() {
        // A Handshake packet: destination id 01 02, no source id, three bytes.
        let packet = [0xe0, 0, 0, 0, 1, 2, 1, 2, 0, 3, 9, 9, 9, 0x55];
        let header = Long::parse(&packet).unwrap();
        assert_eq!((header.kind, header.number, header.end), (Kind::Handshake, 10, 13));
        for end in 0..13 {
            assert_eq!(Long::parse(&packet[..end]), None, "cut at {end}");
        }
        let mut long_id = [0; 64];
        long_id[..6].copy_from_slice(&[0xe0, 0, 0, 0, 1, 21]);
        assert_eq!(Long::parse(&long_id), None);
        assert_eq!(Long::parse(&[0x40; 40]), None, "a short header");
    }

    #[test]
    fn other_versions_are_known_as_such_and_prove_nothing() {
        let mut other = [0; 40];
        other[..6].copy_from_slice(&[0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 4]);
        assert_eq!(Long::parse(&other).unwrap().kind, Kind::OtherVersion);
        assert!(!probe(&other));
        let negotiation = [0x80, 0, 0, 0, 0, 1, 7, 0, 0x1a, 0x2a, 0x3a, 0x4a, 0, 0, 0, 1];
        let header = Long::parse(&negotiation).unwrap();
        assert_eq!(header.offered(&negotiation), [Version(0x1a2a_3a4a), Version::ONE]);
        assert!(probe(&negotiation));
        assert!(!probe(&negotiation[..12]), "offers nothing that is known");
    }
}
