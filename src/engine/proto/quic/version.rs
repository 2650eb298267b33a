//! What differs from version to version.

use super::packet::Kind;

/// A version number as it stands in long headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version(pub u32);

/// Constants of a version.
#[derive(Debug, PartialEq, Eq)]
pub struct Rules {
    /// The salt of Initial secrets (RFC 9001 section 5.2).
    pub(super) initial_salt: [u8; 20],
    /// The key of the Retry integrity tag (RFC 9001 section 5.8).
    pub(super) retry_key: [u8; 16],
    /// Its nonce.
    pub(super) retry_nonce: [u8; 12],
    /// Labels: key, IV, header protection, key update (RFC 9001 section 5.1).
    pub(super) labels: [&'static str; 4],
    /// The long packet types by number.
    pub(super) kinds: [Kind; 4],
}

const LABELS: [&str; 4] = ["quic key", "quic iv", "quic hp", "quic ku"];
const KINDS: [Kind; 4] = [Kind::Initial, Kind::ZeroRtt, Kind::Handshake, Kind::Retry];

/// draft-ietf-quic-tls-29 sections 5.2 and 5.8; the same up to draft 32.
static DRAFT_29: Rules = Rules {
    initial_salt: [
        0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97, 0x86, 0xf1, 0x9c, 0x61, 0x11, 0xe0, 0x43,
        0x90, 0xa8, 0x99,
    ],
    retry_key: [
        0xcc, 0xce, 0x18, 0x7e, 0xd0, 0x9a, 0x09, 0xd0, 0x57, 0x28, 0x15, 0x5a, 0x6c, 0xb9, 0x6b, 0xe1,
    ],
    retry_nonce: [0xe5, 0x49, 0x30, 0xf9, 0x7f, 0x21, 0x36, 0xf0, 0x53, 0x0a, 0x8c, 0x1c],
    labels: LABELS,
    kinds: KINDS,
};

/// RFC 9001 sections 5.2 and 5.8; the drafts 33 and 34 have the same.
static ONE: Rules = Rules {
    initial_salt: [
        0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc,
        0xbb, 0x7f, 0x0a,
    ],
    retry_key: [
        0xbe, 0x0c, 0x69, 0x0b, 0x9f, 0x66, 0x57, 0x5a, 0x1d, 0x76, 0x6b, 0x54, 0xe3, 0x68, 0xc8, 0x4e,
    ],
    retry_nonce: [0x46, 0x15, 0x99, 0xd3, 0x5d, 0x63, 0x2b, 0xf2, 0x23, 0x98, 0x25, 0xbb],
    labels: LABELS,
    kinds: KINDS,
};

/// RFC 9369 sections 3.2 and 3.3.
static TWO: Rules = Rules {
    initial_salt: [
        0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9,
        0xbd, 0x2e, 0xd9,
    ],
    retry_key: [
        0x8f, 0xb4, 0xb0, 0x1b, 0x56, 0xac, 0x48, 0xe2, 0x60, 0xfb, 0xcb, 0xce, 0xad, 0x7c, 0xcc, 0x92,
    ],
    retry_nonce: [0xd8, 0x69, 0x69, 0xbc, 0x2d, 0x7c, 0x6d, 0x99, 0x90, 0xef, 0xb0, 0x4a],
    labels: ["quicv2 key", "quicv2 iv", "quicv2 hp", "quicv2 ku"],
    kinds: [Kind::Retry, Kind::Initial, Kind::ZeroRtt, Kind::Handshake],
};

impl Version {
    /// RFC 9000.
    pub const ONE: Self = Self(1);
    /// RFC 9369.
    pub const TWO: Self = Self(0x6b33_43cf);
    /// Stands in Version Negotiation packets (RFC 8999 section 6).
    pub const NEGOTIATION: Self = Self(0);

    /// Its constants, where they are known.
    pub fn rules(self) -> Option<&'static Rules> {
        match self.0 {
            0x0000_0001 | 0xff00_0021 | 0xff00_0022 => Some(&ONE),
            0x6b33_43cf => Some(&TWO),
            0xff00_001d..=0xff00_0020 => Some(&DRAFT_29),
            _ => None,
        }
    }

    /// Whether its transport parameters have the number of the drafts before 33.
    pub(super) fn is_early_draft(self) -> bool {
        (0xff00_001d..=0xff00_0020).contains(&self.0)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            1 => f.write_str("1"),
            0x6b33_43cf => f.write_str("2"),
            draft @ 0xff00_0000..=0xff00_00ff => write!(f, "draft-{}", draft & 0xff),
            other => write!(f, "{other:#010x}"),
        }
    }
}
