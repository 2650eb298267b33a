//! Frame headers (RFC 9113 sections 4.1 and 6) and what they may say.

/// What a client sends first (RFC 9113 section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of a frame header.
pub const HEADER_LEN: usize = 9;

/// The largest payload that needs no SETTINGS_MAX_FRAME_SIZE (RFC 9113 section 4.2).
pub(super) const USUAL_PAYLOAD: u32 = 1 << 14;

/// Where a frame may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Connection,
    Stream,
    Either,
}

/// How long a payload may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Any,
    Exactly(u32),
    AtLeast(u32),
    /// SETTINGS: six bytes each, none in an acknowledgement.
    Settings,
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal, $name:literal, $flags:literal, $on:ident, $length:expr;)+) => {
        /// Types of frames, by their names in the registry.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind {
            $($(#[doc = $doc])+ $variant,)+
            /// Any other type, which is to be ignored (RFC 9113 section 4.1).
            Other(u8),
        }

        impl Kind {
            /// The type of a code.
            pub fn of(code: u8) -> Self {
                match code {
                    $($code => Self::$variant,)+
                    other => Self::Other(other),
                }
            }

            /// Its name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                    Self::Other(_) => "a frame of an unknown type",
                }
            }

            /// Flags that are defined, where it may stand, how long it is.
            fn rule(self) -> (u8, On, Length) {
                match self {
                    $(Self::$variant => ($flags, On::$on, $length),)+
                    Self::Other(_) => (0, On::Either, Length::Any),
                }
            }
        }
    };
}

kinds! {
    /// Section 6.1.
    Data = 0x0, "DATA", 0x09, Stream, Length::Any;
    /// Section 6.2.
    Headers = 0x1, "HEADERS", 0x2d, Stream, Length::Any;
    /// Section 6.3.
    Priority = 0x2, "PRIORITY", 0, Stream, Length::Exactly(5);
    /// Section 6.4.
    RstStream = 0x3, "RST_STREAM", 0, Stream, Length::Exactly(4);
    /// Section 6.5.
    Settings = 0x4, "SETTINGS", 0x01, Connection, Length::Settings;
    /// Section 6.6.
    PushPromise = 0x5, "PUSH_PROMISE", 0x0c, Stream, Length::AtLeast(4);
    /// Section 6.7.
    Ping = 0x6, "PING", 0x01, Connection, Length::Exactly(8);
    /// Section 6.8.
    GoAway = 0x7, "GOAWAY", 0, Connection, Length::AtLeast(8);
    /// Section 6.9.
    WindowUpdate = 0x8, "WINDOW_UPDATE", 0, Either, Length::Exactly(4);
    /// Section 6.10.
    Continuation = 0x9, "CONTINUATION", 0x04, Stream, Length::Any;
    /// RFC 7838.
    AltSvc = 0xa, "ALTSVC", 0, Either, Length::AtLeast(2);
    /// RFC 8336.
    Origin = 0xc, "ORIGIN", 0, Connection, Length::Any;
    /// RFC 9218.
    PriorityUpdate = 0x10, "PRIORITY_UPDATE", 0, Connection, Length::AtLeast(4);
}

/// A frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the payload.
    pub length: u32,
    /// The type.
    pub kind: Kind,
    /// Flags.
    pub flags: u8,
    /// The bit that must be zero.
    pub reserved: bool,
    /// The stream, 0 for the connection.
    pub stream: u32,
}

impl Header {
    /// Reads one.
    pub fn read(bytes: [u8; HEADER_LEN]) -> Self {
        let [a, b, c, kind, flags, s0, s1, s2, s3] = bytes;
        let stream = u32::from_be_bytes([s0, s1, s2, s3]);
        Self {
            length: u32::from_be_bytes([0, a, b, c]),
            kind: Kind::of(kind),
            flags,
            reserved: stream >> 31 == 1,
            stream: stream & 0x7fff_ffff,
        }
    }

    /// No more comes on the stream.
    pub fn end_stream(&self) -> bool {
        matches!(self.kind, Kind::Data | Kind::Headers) && self.flags & 0x01 != 0
    }

    /// An acknowledgement of SETTINGS or PING.
    pub fn ack(&self) -> bool {
        matches!(self.kind, Kind::Settings | Kind::Ping) && self.flags & 0x01 != 0
    }

    /// The header block ends with this frame.
    pub fn end_headers(&self) -> bool {
        matches!(self.kind, Kind::Headers | Kind::PushPromise | Kind::Continuation) && self.flags & 0x04 != 0
    }

    /// A pad length stands first.
    pub fn padded(&self) -> bool {
        matches!(self.kind, Kind::Data | Kind::Headers | Kind::PushPromise) && self.flags & 0x08 != 0
    }

    /// A priority stands before the header block.
    pub fn has_priority(&self) -> bool {
        self.kind == Kind::Headers && self.flags & 0x20 != 0
    }

    /// What RFC 9113 section 6 calls an error about it, in words.
    pub fn broken(&self) -> Option<&'static str> {
        let (_, on, length) = self.kind.rule();
        let misplaced = match on {
            On::Connection => self.stream != 0,
            On::Stream => self.stream == 0,
            On::Either => false,
        };
        let right_length = match length {
            Length::Any => true,
            Length::Exactly(bytes) => self.length == bytes,
            Length::AtLeast(bytes) => self.length >= bytes,
            Length::Settings if self.ack() => self.length == 0,
            Length::Settings => self.length.is_multiple_of(6),
        };
        if misplaced {
            Some("it stands on a stream that it can't be sent on")
        } else if !right_length {
            Some("it is not as long as its type asks")
        } else {
            None
        }
    }

    /// Whether nothing in it is free but its length and its stream: its type is known, what is not defined is zero.
    pub fn is_plain(&self) -> bool {
        let known = !matches!(self.kind, Kind::Other(_));
        known && self.broken().is_none() && !self.reserved && self.flags & !self.kind.rule().0 == 0
    }

    /// Whether it looks like a header where frames are looked for. Zeros with a few small numbers among them (padding,
    /// counters) look like empty DATA on some far stream: neither is sent by anybody for a reason.
    fn is_likely(&self) -> bool {
        let says_nothing = self.kind == Kind::Data && self.length == 0 && !self.end_stream();
        self.is_plain() && self.length <= USUAL_PAYLOAD && self.stream < FAR_STREAM && !says_nothing
    }
}

/// Streams from here on are not believed where frames are looked for: half a million requests on one connection.
const FAR_STREAM: u32 = 1 << 20;
/// Frames in a row that are believed where nothing else says that frames start. A header at a random place looks
/// right once in some 2^25, and each must lead to the next.
const CHAIN: usize = 3;

/// Whether a chain of frames starts `bytes`; `None` where more bytes are needed to say it. `last` says that no
/// more come: two frames that end exactly there are a chain too.
pub fn starts_chain(bytes: &[u8], last: bool) -> Option<bool> {
    let mut rest = bytes;
    for seen in 0..CHAIN {
        let Some((header, after)) = rest.split_first_chunk::<HEADER_LEN>() else {
            return if last { Some(rest.is_empty() && seen >= 2) } else { None };
        };
        let header = Header::read(*header);
        if !header.is_likely() {
            return Some(false);
        }
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        match after.get(length..) {
            Some(next) => rest = next,
            None if seen + 1 == CHAIN => {}
            None => return if last { Some(false) } else { None },
        }
    }
    Some(true)
}

/// Whether a server's first frame starts `bytes`: SETTINGS with known settings only (RFC 9113 section 3.4). `None` where more bytes
/// are needed.
pub fn begins_server(bytes: &[u8]) -> Option<bool> {
    let Some((header, after)) = bytes.split_first_chunk::<HEADER_LEN>() else {
        // The length is below 64 KiB in any case, and the type that of SETTINGS.
        let fits =
            |(index, byte): (usize, &u8)| matches!((index, byte), (0 | 4..=8, 0) | (1 | 2, _) | (3, 4));
        return if bytes.iter().enumerate().all(fits) { None } else { Some(false) };
    };
    let header = Header::read(*header);
    if header.kind != Kind::Settings || header.flags != 0 || !header.is_likely() {
        return Some(false);
    }
    let length = usize::try_from(header.length).unwrap_or(usize::MAX);
    let payload = after.get(..length.min(after.len())).unwrap_or_default();
    if settings(payload).any(|setting| setting.id == 0 || setting.id > 0x40) {
        return Some(false);
    }
    (after.len() >= length).then_some(true)
}

/// One setting (RFC 9113 section 6.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its number.
    pub id: u16,
    /// Its value.
    pub value: u32,
}

impl Setting {
    /// SETTINGS_HEADER_TABLE_SIZE.
    pub const HEADER_TABLE_SIZE: u16 = 1;
    /// SETTINGS_MAX_FRAME_SIZE.
    pub const MAX_FRAME_SIZE: u16 = 5;
}

/// The settings of a payload.
pub fn settings(payload: &[u8]) -> impl Iterator<Item = Setting> + '_ {
    let (settings, _) = payload.as_chunks::<6>();
    settings.iter().map(|&[i0, i1, v0, v1, v2, v3]| Setting {
        id: u16::from_be_bytes([i0, i1]),
        value: u32::from_be_bytes([v0, v1, v2, v3]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(length: u8, kind: u8, flags: u8, stream: u8) -> Vec<u8> {
        vec![0, 0, length, kind, flags, 0, 0, 0, stream]
    }

    fn read(bytes: &[u8]) -> Header {
        Header::read(bytes.try_into().unwrap())
    }

    #[test]
    fn headers_are_read_and_their_rules_are_those_of_section_6() {
        let data = Header::read([1, 2, 3, 0, 9, 0x80, 0, 0, 5]);
        assert_eq!((data.length, data.kind, data.stream, data.reserved), (0x01_02_03, Kind::Data, 5, true));
        assert!(data.end_stream() && data.padded() && !data.is_plain());
        let plain = |length, kind, flags, stream| read(&header(length, kind, flags, stream)).is_plain();
        assert!(plain(9, 0, 9, 1) && !plain(9, 0, 0x10, 1), "an undefined flag");
        assert!(!plain(9, 0, 0, 0), "DATA on the connection");
        assert!(plain(5, 2, 0, 3) && !plain(4, 2, 0, 3), "PRIORITY has five bytes");
        assert!(plain(12, 4, 0, 0) && !plain(11, 4, 0, 0) && !plain(6, 4, 1, 0), "SETTINGS");
        assert!(plain(4, 8, 0, 0) && plain(4, 8, 0, 7), "WINDOW_UPDATE stands on either");
        assert!(!plain(0, 0xb, 0, 0), "an unknown type");
        assert_eq!(read(&header(3, 0xb, 0xff, 9)).broken(), None, "which is no error");
        // Flags mean what they mean on their frames only.
        assert!(!read(&header(4, 8, 1, 1)).end_stream() && !read(&header(5, 2, 8, 1)).padded());
    }

    #[test]
    fn a_chain_is_three_headers_or_two_that_end_with_the_bytes() {
        let frames = [header(1, 0, 0, 1), vec![7], header(0, 0, 1, 1), header(200, 1, 4, 3)].concat();
        assert_eq!(starts_chain(&frames, false), Some(true));
        assert_eq!(starts_chain(&frames[..18], false), None);
        assert_eq!(starts_chain(&frames[..18], true), Some(false), "a half header follows");
        assert_eq!(starts_chain(&frames[..19], true), Some(true));
        assert_eq!(starts_chain(&frames[..10], true), Some(false), "one frame is nothing");
        assert_eq!(starts_chain(&frames[1..], true), Some(false));
        assert_eq!(starts_chain(&[0; 64], true), Some(false), "zeros are DATA on no stream");
        assert_eq!(starts_chain(b"HTTP/1.1 200 OK\r\n", true), Some(false));
    }

    #[test]
    fn padding_among_small_frames_is_no_chain() {
        // Padded DATA of two bytes on stream 1, again and again: eight zeros before each look like an empty frame's
        // header on stream 11, and what follows like a longer frame on a far stream.
        let frame = [0, 0, 11, 0, 8, 0, 0, 0, 1, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let many = frame.repeat(200);
        assert_eq!(starts_chain(&many, false), Some(true));
        let shifted = (1..frame.len()).filter(|shift| starts_chain(&many[*shift..], false) == Some(true));
        assert_eq!(shifted.collect::<Vec<_>>(), [0; 0]);
    }

    #[test]
    fn a_server_begins_with_settings() {
        let first = [header(6, 4, 0, 0), vec![0, 3, 0, 0, 0, 100]].concat();
        assert_eq!(begins_server(&first), Some(true));
        assert_eq!(begins_server(&header(0, 4, 0, 0)), Some(true));
        for cut in 0..first.len() {
            assert_eq!(begins_server(&first[..cut]), None, "{cut}");
        }
        assert_eq!(begins_server(&[header(6, 4, 0, 0), vec![9, 3, 0, 0, 0, 100]].concat()), Some(false));
        assert_eq!(begins_server(&header(0, 4, 1, 0)), Some(false), "an acknowledgement is not first");
        assert_eq!(begins_server(b"\x16\x03"), Some(false));
        assert_eq!(begins_server(b"SSH-"), Some(false));
    }
}
