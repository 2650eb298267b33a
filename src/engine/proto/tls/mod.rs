//! TLS 1.0 to 1.3: records and hellos, and with a key log what records hold (RFC 2246, RFC 4346, RFC 5246, RFC 8446).
//! DTLS is in [`dtls`].
//!
//! [`Connection`] reads both directions of a connection and tells a [`Handler`] what each record is; where a key log
//! holds the secrets, and a tag or MAC proves it, also what it holds. [`Parser`] only finds the hellos of one direction.

mod clear;
mod connection;
pub mod dtls;
mod handshake;
mod hello;
mod identity;
mod ja4;
mod keys;
mod nonces;
mod prescribed;
mod protection;
mod records;
mod schedule;
mod suite;
#[cfg(test)]
mod tests;
mod transcript;

pub use clear::{Handler as ClearHandler, Parser, opening};
pub use connection::{Connection, Handler, Opened, Outcome, Unread};
pub use hello::Hello;
pub use identity::{Certificate, Identity, Proof, of_13 as identity_13};
pub use ja4::{Over, ja4};
pub use nonces::Nonces;
pub use prescribed::in_message as prescribed_in;
pub use protection::{Chain, Header, Protection};
pub use suite::Suite;
pub use transcript::verifies_13;

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// Who sent the ClientHello.
    Client,
    /// Who answered it.
    Server,
}

impl Peer {
    /// Both, the client first.
    pub const BOTH: [Self; 2] = [Self::Client, Self::Server];

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// A protocol version as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u16);

impl Version {
    /// SSL 3.0.
    pub const SSL30: Self = Self(0x0300);
    /// TLS 1.0.
    pub const TLS10: Self = Self(0x0301);
    /// TLS 1.1.
    pub const TLS11: Self = Self(0x0302);
    /// TLS 1.2.
    pub const TLS12: Self = Self(0x0303);
    /// TLS 1.3.
    pub const TLS13: Self = Self(0x0304);

    /// DTLS 1.0 (RFC 4347).
    pub const DTLS10: Self = Self(0xfeff);
    /// DTLS 1.2 (RFC 6347).
    pub const DTLS12: Self = Self(0xfefd);
    /// DTLS 1.3 (RFC 9147).
    pub const DTLS13: Self = Self(0xfefc);
    /// What OpenSSL spoke before DTLS 1.0 was settled; some VPNs do still.
    pub const DTLS_EARLY: Self = Self(0x0100);

    /// Whether it is spoken in datagrams.
    pub fn is_datagram(self) -> bool {
        matches!(self, Self::DTLS10 | Self::DTLS12 | Self::DTLS13 | Self::DTLS_EARLY)
    }

    /// The number of a draft of TLS 1.3.
    fn draft(self) -> Option<u8> {
        let [high, low] = self.0.to_be_bytes();
        (high == 0x7f).then_some(low)
    }

    /// Whether it is TLS 1.3 or a draft of it whose keys are made as in RFC 8446.
    pub fn is_13(self) -> bool {
        self == Self::TLS13 || self.draft().is_some_and(|draft| draft >= 20)
    }

    /// Whether tags cover the headers of records (since draft 25).
    pub fn authenticates_headers(self) -> bool {
        self.draft().is_none_or(|draft| draft >= 25)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (*self, self.draft()) {
            (Self::SSL30, _) => f.write_str("SSL 3.0"),
            (Self::TLS10, _) => f.write_str("TLS 1.0"),
            (Self::TLS11, _) => f.write_str("TLS 1.1"),
            (Self::TLS12, _) => f.write_str("TLS 1.2"),
            (Self::TLS13, _) => f.write_str("TLS 1.3"),
            (Self::DTLS10, _) => f.write_str("DTLS 1.0"),
            (Self::DTLS12, _) => f.write_str("DTLS 1.2"),
            (Self::DTLS13, _) => f.write_str("DTLS 1.3"),
            (Self::DTLS_EARLY, _) => f.write_str("DTLS before 1.0"),
            (_, Some(draft)) => write!(f, "TLS 1.3 draft {draft}"),
            (Self(other), _) => write!(f, "version 0x{other:04x}"),
        }
    }
}
