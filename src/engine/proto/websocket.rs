//! WebSocket (RFC 6455): the frames of one direction, and the extension that compresses messages (RFC 7692).
//!
//! [`Parser`] takes one direction of a connection after its handshake and calls a [`Handler`]: the header of each frame, its payload
//! without the mask, its end. A length that is announced is trusted across a gap; where a header is missing, or is none, no
//! frame is looked for any more.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha1::{Digest as _, Sha1};

use crate::{engine::net::stream::Chunk, evidence::ByteRange};

/// Opcodes (RFC 6455 section 11.8).
pub const CONTINUATION: u8 = 0;
/// A message of UTF-8.
pub const TEXT: u8 = 1;
/// A message of bytes.
pub const BINARY: u8 = 2;
/// The end of the connection, with a reason.
pub const CLOSE: u8 = 8;
/// Asks for a PONG.
pub const PING: u8 = 9;
/// Answers a PING, or stands alone.
pub const PONG: u8 = 10;

/// What a server joins to a key before it answers with the digest (RFC 6455 section 1.3).
const ACCEPTED: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Whether a server's Sec-WebSocket-Accept answers a client's Sec-WebSocket-Key of 16 bytes (RFC 6455 section 4.2.2).
pub fn accepts(key: &[u8], accept: &[u8]) -> bool {
    let is_key = BASE64_STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16);
    let digest = Sha1::new().chain_update(key).chain_update(ACCEPTED).finalize();
    is_key && BASE64_STANDARD.encode(digest).as_bytes() == accept
}

/// Whether the payload of a CLOSE is a registered code without a reason (RFC 6455 section 7.4).
pub fn closes_plainly(payload: &[u8]) -> bool {
    matches!(payload, &[high, low] if (1000..=1014).contains(&u16::from_be_bytes([high, low])))
}

/// The longest header: two bytes, a length of eight, a mask of four.
const MAX_HEADER: usize = 14;

/// The payload of a control frame (RFC 6455 section 5.5).
const MAX_CONTROL: u64 = 125;

/// What an opcode is called.
pub fn name(opcode: u8) -> &'static str {
    match opcode {
        CONTINUATION => "continuation",
        TEXT => "text",
        BINARY => "binary",
        CLOSE => "close",
        PING => "ping",
        PONG => "pong",
        _ => "reserved",
    }
}

/// The header of a frame (RFC 6455 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether the message ends with it.
    pub fin: bool,
    /// The three reserved bits, the first of them as 4.
    pub rsv: u8,
    /// What it is.
    pub opcode: u8,
    /// What its payload is masked with.
    pub mask: Option<[u8; 4]>,
    /// Bytes of payload.
    pub length: u64,
    /// Its own bytes.
    pub size: usize,
    /// Whether the length stands in as few bytes as it needs (section 5.2 demands that).
    pub shortest: bool,
}

/// The first reserved bit: a compressed message (RFC 7692 section 6).
pub const RSV1: u8 = 4;

impl Header {
    /// Reads the header at the front of bytes; `None` where more are needed.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let &[first, second, ref rest @ ..] = bytes else { return None };
        let (length, width, shortest) = match second & 0x7f {
            126 => {
                let length = u64::from(u16::from_be_bytes(*rest.first_chunk()?));
                (length, 2, length > MAX_CONTROL)
            }
            127 => {
                let length = u64::from_be_bytes(*rest.first_chunk()?);
                (length, 8, length > u64::from(u16::MAX))
            }
            short => (u64::from(short), 0, true),
        };
        let masked = second & 0x80 != 0;
        let mask = match masked {
            true => Some(*rest.get(width..)?.first_chunk()?),
            false => None,
        };
        let size = 2 + width + if masked { 4 } else { 0 };
        let (fin, rsv, opcode) = (first & 0x80 != 0, first >> 4 & 7, first & 0x0f);
        Some(Self { fin, rsv, opcode, mask, length, size, shortest })
    }

    /// Whether the frame is one of control.
    pub fn is_control(&self) -> bool {
        self.opcode & 8 != 0
    }

    /// Why no peer sends such a frame: the other one must fail the connection (RFC 6455 sections 5.2 and 5.5). `rsv` are
    /// the reserved bits that an extension uses.
    pub fn broken(&self, rsv: u8) -> Option<&'static str> {
        match self.opcode {
            _ if self.rsv & !rsv != 0 => Some("a reserved bit that no extension uses"),
            CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG => match self.is_control() {
                true if !self.fin => Some("a control frame in fragments"),
                true if self.length > MAX_CONTROL => Some("a control frame of more than 125 bytes"),
                _ if self.length >> 63 != 0 => Some("a length of more than 63 bits"),
                _ => None,
            },
            _ => Some("an opcode that is reserved"),
        }
    }
}

/// What a negotiated `permessage-deflate` says of each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate {
    /// Whether the client's window goes on from message to message.
    pub client_takeover: bool,
    /// Whether the server's does.
    pub server_takeover: bool,
}

/// Reads Sec-WebSocket-Extensions (RFC 6455 section 9.1, RFC 7692 section 7.1); of several offers the first counts.
pub fn deflate(extensions: &[u8]) -> Option<Deflate> {
    let offers = extensions.split(|&byte| byte == b',');
    let words = |offer: &[u8]| -> Vec<Vec<u8>> {
        let word = |word: &[u8]| {
            let name = word.split(|&byte| byte == b'=').next().unwrap_or_default();
            name.trim_ascii().to_ascii_lowercase()
        };
        offer.split(|&byte| byte == b';').map(word).collect()
    };
    let words =
        offers.map(words).find(|words| words.first().is_some_and(|name| name == b"permessage-deflate"))?;
    let says = |parameter: &[u8]| words.iter().any(|word| word == parameter);
    Some(Deflate {
        client_takeover: !says(b"client_no_context_takeover"),
        server_takeover: !says(b"server_no_context_takeover"),
    })
}

/// Takes what a [`Parser`] finds, in the order of the stream.
pub trait Handler {
    /// A header, which stands at `at`.
    fn frame(&mut self, header: &Header, bytes: &[u8], at: u64);

    /// Bytes of its payload, without the mask.
    fn payload(&mut self, bytes: &[u8], range: ByteRange);

    /// Bytes of its payload that are missing.
    fn payload_gap(&mut self, gap: ByteRange);

    /// The end of the frame; `complete`: as its header says.
    fn frame_end(&mut self, complete: bool);

    /// Bytes of which no frames are made.
    fn lost(&mut self, bytes: &[u8], range: ByteRange);

    /// Bytes outside a payload are missing.
    fn gap(&mut self, gap: ByteRange);

    /// The stream breaks the grammar at `at`.
    fn malformed(&mut self, at: u64, why: &'static str);
}

enum State {
    Header,
    Payload { left: u64, mask: Option<[u8; 4]> },
    Lost,
}

/// Parses one direction.
pub struct Parser {
    state: State,
    /// Reserved bits that an extension uses.
    rsv: u8,
    held: Vec<u8>,
    held_at: u64,
    /// A payload without its mask.
    plain: Vec<u8>,
}

impl Parser {
    /// Begins with the first frame; `rsv` are the reserved bits that an extension uses.
    pub fn new(rsv: u8) -> Self {
        Self { state: State::Header, rsv, held: Vec::new(), held_at: 0, plain: Vec::new() }
    }

    /// Takes the next chunk of the stream.
    pub fn push(&mut self, chunk: &Chunk<'_>, handler: &mut dyn Handler) {
        match chunk {
            Chunk::Gap(gap) => self.gap(*gap, handler),
            Chunk::Bytes { range, data } => {
                let mut taken = 0;
                while let Some(rest) = data.get(taken..).filter(|rest| !rest.is_empty()) {
                    taken += self.take(rest, range.start + taken as u64, handler);
                }
            }
        }
    }

    /// Ends the stream.
    pub fn finish(&mut self, handler: &mut dyn Handler) {
        match self.state {
            State::Payload { .. } => handler.frame_end(false),
            State::Header if !self.held.is_empty() => {
                handler.malformed(self.held_at, "a header is cut off");
                self.give_up_held(handler);
            }
            _ => {}
        }
        self.state = State::Lost;
    }

    /// Takes bytes from the front of `data`; gives how many.
    fn take(&mut self, data: &[u8], at: u64, handler: &mut dyn Handler) -> usize {
        match &mut self.state {
            State::Header => self.header(data, at, handler),
            State::Payload { left, mask } => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(data.len());
                let bytes = data.get(..taken).unwrap_or_default();
                let range = ByteRange::new(at, at + taken as u64);
                *left -= taken as u64;
                match mask {
                    Some(mask) => {
                        unmask(bytes, mask, &mut self.plain);
                        handler.payload(&self.plain, range);
                    }
                    None => handler.payload(bytes, range),
                }
                self.settle(handler);
                taken
            }
            State::Lost => {
                handler.lost(data, ByteRange::new(at, at + data.len() as u64));
                data.len()
            }
        }
    }

    fn header(&mut self, data: &[u8], at: u64, handler: &mut dyn Handler) -> usize {
        let before = self.held.len();
        if before == 0 {
            self.held_at = at;
        }
        let room = MAX_HEADER.saturating_sub(before).min(data.len());
        self.held.extend_from_slice(data.get(..room).unwrap_or_default());
        let Some(header) = Header::read(&self.held) else { return room };
        if let Some(why) = header.broken(self.rsv) {
            handler.malformed(self.held_at, why);
            self.held.truncate(before);
            self.give_up_held(handler);
            self.state = State::Lost;
            return 0;
        }
        self.held.truncate(header.size);
        let held = std::mem::take(&mut self.held);
        handler.frame(&header, &held, self.held_at);
        self.held = held;
        self.held.clear();
        self.state = State::Payload { left: header.length, mask: header.mask };
        self.settle(handler);
        header.size - before
    }

    /// Goes on to the next frame where the payload is at its end.
    fn settle(&mut self, handler: &mut dyn Handler) {
        if matches!(self.state, State::Payload { left: 0, .. }) {
            handler.frame_end(true);
            self.state = State::Header;
        }
    }

    fn give_up_held(&mut self, handler: &mut dyn Handler) {
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            handler.lost(&held, ByteRange::new(self.held_at, self.held_at + held.len() as u64));
        }
    }

    fn gap(&mut self, gap: ByteRange, handler: &mut dyn Handler) {
        if let State::Payload { left, mask } = &mut self.state
            && gap.len() <= *left
        {
            *left -= gap.len();
            if let Some(mask) = mask {
                mask.rotate_left(usize::try_from(gap.len() % 4).unwrap_or(0));
            }
            handler.payload_gap(gap);
            return self.settle(handler);
        }
        if matches!(self.state, State::Payload { .. }) {
            handler.frame_end(false);
        }
        self.give_up_held(handler);
        self.state = State::Lost;
        handler.gap(gap);
    }
}

/// Takes a mask off (RFC 6455 section 5.3), and turns it to what the next byte is masked with.
fn unmask(bytes: &[u8], mask: &mut [u8; 4], plain: &mut Vec<u8>) {
    plain.clear();
    plain.extend_from_slice(bytes);
    let (words, rest) = plain.as_chunks_mut::<4>();
    let key = u32::from_ne_bytes(*mask);
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ key).to_ne_bytes();
    }
    let turned = rest.len();
    for (byte, key) in rest.iter_mut().zip(*mask) {
        *byte ^= key;
    }
    mask.rotate_left(turned);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_answered_by_its_digest() {
        // RFC 6455 section 1.3.
        let (key, accept) = (b"dGhlIHNhbXBsZSBub25jZQ==", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(accepts(key, accept));
        assert!(!accepts(b"dGhlIHNhbXBsZSBub25jZA==", accept) && !accepts(key, b""));
        // A key of fifteen digits is none, whatever the server answers.
        let digest = BASE64_STANDARD
            .encode(Sha1::new().chain_update("867622014512347").chain_update(ACCEPTED).finalize());
        assert!(!accepts(b"867622014512347", digest.as_bytes()));
    }

    #[test]
    fn a_plain_end_is_a_registered_code_alone() {
        assert!(closes_plainly(&[3, 0xe8]) && closes_plainly(&[3, 0xf6]));
        assert!(!closes_plainly(&[3, 0xe7]) && !closes_plainly(&[0x0f, 0xa0]));
        assert!(!closes_plainly(b"") && !closes_plainly(b"\x03\xe8bye"));
    }

    #[derive(Debug, Default, PartialEq)]
    struct Seen {
        headers: Vec<(u8, bool, u64)>,
        payload: Vec<u8>,
        ends: Vec<bool>,
        lost: Vec<u8>,
        missing: u64,
        malformed: Vec<&'static str>,
    }

    impl Handler for Seen {
        fn frame(&mut self, header: &Header, bytes: &[u8], _: u64) {
            assert_eq!(bytes.len(), header.size);
            self.headers.push((header.opcode, header.fin, header.length));
        }

        fn payload(&mut self, bytes: &[u8], range: ByteRange) {
            assert_eq!(range.len(), bytes.len() as u64);
            self.payload.extend_from_slice(bytes);
        }

        fn payload_gap(&mut self, gap: ByteRange) {
            self.missing += gap.len();
        }

        fn frame_end(&mut self, complete: bool) {
            self.ends.push(complete);
        }

        fn lost(&mut self, bytes: &[u8], _: ByteRange) {
            self.lost.extend_from_slice(bytes);
        }

        fn gap(&mut self, _: ByteRange) {}

        fn malformed(&mut self, _: u64, why: &'static str) {
            self.malformed.push(why);
        }
    }

    /// `Err`: so many bytes are missing.
    fn parsed(parts: &[Result<&[u8], u64>], rsv: u8) -> Seen {
        let (mut seen, mut parser, mut at) = (Seen::default(), Parser::new(rsv), 0);
        for part in parts {
            let len = part.map_or_else(|missing| missing, |bytes| bytes.len() as u64);
            let range = ByteRange::new(at, at + len);
            at = range.end;
            match part {
                Ok(data) => parser.push(&Chunk::Bytes { range, data }, &mut seen),
                Err(_) => parser.push(&Chunk::Gap(range), &mut seen),
            }
        }
        parser.finish(&mut seen);
        seen
    }

    fn cut_everywhere(bytes: &[u8], rsv: u8) -> Seen {
        let whole = parsed(&[Ok(bytes)], rsv);
        for at in 0..=bytes.len() {
            let (left, right) = bytes.split_at(at);
            assert_eq!(parsed(&[Ok(left), Ok(right)], rsv), whole, "cut at {at}");
        }
        let single: Vec<Result<&[u8], u64>> = bytes.chunks(1).map(Ok).collect();
        assert_eq!(parsed(&single, rsv), whole, "byte by byte");
        whole
    }

    #[test]
    fn the_examples_of_rfc_6455_section_5_7() {
        let plain = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
        let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let parts = [0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f];
        for bytes in [&plain[..], &masked, &parts] {
            let seen = cut_everywhere(bytes, 0);
            assert_eq!((&seen.payload[..], &seen.malformed[..]), (&b"Hello"[..], &[][..]));
            assert!(seen.ends.iter().all(|complete| *complete));
        }
        let ping = cut_everywhere(&[0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f], 0);
        assert_eq!(ping.headers, [(PING, true, 5)]);
        let long = [&[0x82, 0x7e, 0x01, 0x00][..], &[7; 256]].concat();
        assert_eq!(cut_everywhere(&long, 0).headers, [(BINARY, true, 256)]);
        let longer = [&[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0][..], &[7; 65_536]].concat();
        assert_eq!(parsed(&[Ok(&longer)], 0).headers, [(BINARY, true, 65_536)]);
    }

    #[test]
    fn what_a_peer_must_fail_the_connection_for_is_no_frame() {
        for (bytes, rsv) in [
            (&[0xc1, 0x01, b'a'][..], 0),
            (&[0x83, 0x01, b'a'], 0),
            (&[0x09, 0x01, b'a'], 0),
            (&[0x89, 0x7e, 0, 126], RSV1),
            (&[0x82, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 0], 0),
            (&[0xa1, 0x01, b'a'], RSV1),
        ] {
            let seen = cut_everywhere(bytes, rsv);
            assert_eq!((seen.headers.len(), &seen.lost[..]), (0, bytes), "{bytes:x?}");
            assert_eq!(seen.malformed.len(), 1);
        }
        assert_eq!(cut_everywhere(&[0xc1, 0x01, b'a'], RSV1).lost, b"");
    }

    #[test]
    fn the_mask_goes_on_behind_a_gap_inside_a_payload_and_nothing_behind_another() {
        let masked: Vec<u8> = (0..20_u8).map(|at| b'a' ^ [1, 2, 3, 4][usize::from(at % 4)]).collect();
        let frame = [&[0x82, 0x94, 1, 2, 3, 4][..], &masked].concat();
        for gap in 1..=20 {
            let seen = parsed(&[Ok(&frame[..6]), Err(gap as u64), Ok(&frame[6 + gap..])], 0);
            assert_eq!((seen.payload, seen.missing), (vec![b'a'; 20 - gap], gap as u64));
            assert_eq!(seen.ends, [true]);
        }
        let seen = parsed(&[Ok(&frame[..6]), Err(21), Ok(&frame)], 0);
        assert_eq!((seen.ends, seen.lost), (vec![false], frame));
    }

    #[test]
    fn the_extension_is_read_with_its_parameters() {
        let both = |client_takeover, server_takeover| Some(Deflate { client_takeover, server_takeover });
        assert_eq!(deflate(b"permessage-deflate"), both(true, true));
        let offer = b"x-webkit, Permessage-Deflate; client_max_window_bits=10 ;server_no_context_takeover";
        assert_eq!(deflate(offer), both(true, false));
        assert_eq!(
            deflate(b"permessage-deflate; client_no_context_takeover, permessage-deflate"),
            both(false, true)
        );
        assert_eq!(deflate(b"permessage-bzip2"), None);
    }
}
