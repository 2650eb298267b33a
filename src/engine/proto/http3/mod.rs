//! HTTP/3 (RFC 9114): what streams are for, and the frames on them.
//!
//! A [`Parser`] takes one direction of a request, push or control stream and calls a [`Handler`]. The content of DATA is
//! not read here: only where it stands is told. A parser can be kept, so that a stream goes on where its connection
//! moves to.

mod parser;

pub use parser::{Handler, Parser};

use super::quic::Cursor;

/// Frame types (RFC 9114 section 7.2).
pub mod kind {
    /// DATA.
    pub const DATA: u64 = 0x00;
    /// HEADERS.
    pub const HEADERS: u64 = 0x01;
    /// CANCEL_PUSH.
    pub const CANCEL_PUSH: u64 = 0x03;
    /// SETTINGS.
    pub const SETTINGS: u64 = 0x04;
    /// PUSH_PROMISE.
    pub const PUSH_PROMISE: u64 = 0x05;
    /// GOAWAY.
    pub const GOAWAY: u64 = 0x07;
    /// MAX_PUSH_ID.
    pub const MAX_PUSH_ID: u64 = 0x0d;
    /// What follows is a WebTransport stream to its end (draft-ietf-webtrans-http3).
    pub const WEBTRANSPORT: u64 = 0x41;
}

/// What a unidirectional stream is for (RFC 9114 section 6.2, RFC 9204 section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Settings and what concerns the connection as a whole.
    Control,
    /// A response that nobody asked for, to a request that the server made up.
    Push,
    /// What goes into the other end's table.
    Encoder,
    /// What was taken from one's own.
    Decoder,
    /// Anything else; reserved types are there to be ignored.
    Other(u64),
}

impl Purpose {
    /// Reads the type that a stream starts with, and says how long it is; `None` where it is not whole.
    pub fn of(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut cursor = Cursor::new(bytes);
        let purpose = match cursor.varint()? {
            0x00 => Self::Control,
            0x01 => Self::Push,
            0x02 => Self::Encoder,
            0x03 => Self::Decoder,
            other => Self::Other(other),
        };
        Some((purpose, cursor.at()))
    }
}

/// A number and its value (RFC 9114 section 7.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its number.
    pub number: u64,
    /// Its value.
    pub value: u64,
}

impl Setting {
    /// SETTINGS_QPACK_MAX_TABLE_CAPACITY (RFC 9204 section 5).
    pub const TABLE_CAPACITY: u64 = 0x01;

    /// The settings of a frame; `None` where it breaks off.
    pub fn all(payload: &[u8]) -> Option<Vec<Self>> {
        let mut cursor = Cursor::new(payload);
        let mut settings = Vec::new();
        while !cursor.is_empty() {
            settings.push(Self { number: cursor.varint()?, value: cursor.varint()? });
        }
        Some(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_say_what_they_are_for() {
        assert_eq!(Purpose::of(&[0x00, 0x04]), Some((Purpose::Control, 1)));
        assert_eq!(Purpose::of(&[0x40, 0x02]), Some((Purpose::Encoder, 2)));
        assert_eq!(Purpose::of(&[0x54]), None);
        assert_eq!(Purpose::of(&[0x40, 0x54]), Some((Purpose::Other(0x54), 2)));
    }

    #[test]
    fn settings_are_pairs() {
        let settings = Setting::all(&[0x01, 0x50, 0x00, 0x07, 0x10]);
        let pair = |number, value| Setting { number, value };
        assert_eq!(settings, Some(vec![pair(Setting::TABLE_CAPACITY, 4_096), pair(7, 16)]));
        assert_eq!(Setting::all(&[0x01]), None);
        assert_eq!(Setting::all(&[]), Some(vec![]));
    }
}
