//! Hellos and headers of records in one direction, without decryption.

use super::{
    Hello, Peer,
    handshake::{CLIENT_HELLO, SERVER_HELLO},
    records::{APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE, MAX_RECORD},
};
use crate::{engine::net::stream::Chunk, evidence::ByteRange};

/// A hello. Those with post-quantum key shares have 2 KiB; 64 KiB is what their extensions can have.
pub(super) const MAX_HELLO: usize = 128 << 10;

/// Takes what a [`Parser`] finds.
pub trait Handler {
    /// A hello whose first byte stands at `at`.
    fn hello(&mut self, at: u64, hello: Hello);

    /// A record's header.
    fn record_header(&mut self, range: ByteRange);

    /// Bytes that are encrypted, or of no record.
    fn opaque(&mut self, range: ByteRange);

    /// The stream breaks the grammar at `at`; the rest of it is opaque.
    fn malformed(&mut self, at: u64, why: &'static str);
}

/// Whose hello a stream starts with; needs at least six bytes to say so.
pub fn opening(bytes: &[u8]) -> Option<Peer> {
    match bytes {
        &[HANDSHAKE, 3, minor, high, low, kind, ..] => {
            let length = usize::from(u16::from_be_bytes([high, low]));
            let peer = match kind {
                CLIENT_HELLO => Peer::Client,
                SERVER_HELLO => Peer::Server,
                _ => return None,
            };
            (minor <= 4 && (1..=MAX_RECORD).contains(&length)).then_some(peer)
        }
        _ => sslv2_length(bytes).map(|_| Peer::Client),
    }
}

/// The length of the message of an SSLv2-style ClientHello (RFC 5246 appendix E.2).
pub(super) fn sslv2_length(bytes: &[u8]) -> Option<usize> {
    let &[high, low, CLIENT_HELLO, major, minor, ..] = bytes else { return None };
    let length = usize::from(u16::from_be_bytes([high & 0x7f, low]));
    let version = (major == 3 && minor <= 4) || (major == 0 && minor == 2);
    (high & 0x80 != 0 && version && (12..4096).contains(&length)).then_some(length)
}

#[derive(Debug)]
enum State {
    /// At the first bytes.
    Start,
    Header,
    Payload {
        kind: u8,
        left: usize,
    },
    Opaque,
}

/// Parses one direction.
#[derive(Debug)]
pub struct Parser {
    state: State,
    held: Vec<u8>,
    held_at: u64,
    handshake: Handshake,
    /// After ChangeCipherSpec.
    encrypted: bool,
    /// The payload of a handshake record after ChangeCipherSpec, and where it starts: with TLS 1.3 a second
    /// ClientHello may stand there in clear.
    doubtful: Vec<u8>,
    doubtful_at: u64,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// Begins with the first byte of a stream.
    pub fn new() -> Self {
        Self {
            state: State::Start,
            held: Vec::new(),
            held_at: 0,
            handshake: Handshake::default(),
            encrypted: false,
            doubtful: Vec::new(),
            doubtful_at: 0,
        }
    }

    /// Takes the next chunk of the stream.
    pub fn push(&mut self, chunk: &Chunk<'_>, handler: &mut dyn Handler) {
        match chunk {
            Chunk::Gap(gap) => self.gap(*gap),
            Chunk::Bytes { range, data } => {
                let mut taken = 0;
                while let Some(rest) = data.get(taken..).filter(|rest| !rest.is_empty()) {
                    taken += self.take(rest, range.start + taken as u64, handler);
                }
            }
        }
    }

    fn take(&mut self, data: &[u8], at: u64, handler: &mut dyn Handler) -> usize {
        match self.state {
            State::Start => self.start(data, at, handler),
            State::Header => self.header(data, at, handler),
            State::Payload { kind, left } => {
                let taken = left.min(data.len());
                let bytes = data.get(..taken).unwrap_or_default();
                self.payload(kind, bytes, at, handler);
                self.after_payload(kind, left - taken, handler);
                taken
            }
            State::Opaque => {
                handler.opaque(ByteRange::new(at, at + data.len() as u64));
                data.len()
            }
        }
    }

    fn hold(&mut self, data: &[u8], at: u64, wanted: usize) -> usize {
        if self.held.is_empty() {
            self.held_at = at;
        }
        let taken = wanted.saturating_sub(self.held.len()).min(data.len());
        self.held.extend_from_slice(data.get(..taken).unwrap_or_default());
        taken
    }

    /// An SSLv2-style hello, or records.
    fn start(&mut self, data: &[u8], at: u64, handler: &mut dyn Handler) -> usize {
        let wanted = sslv2_length(&self.held).map_or(5, |length| length + 2);
        let taken = self.hold(data, at, wanted);
        if self.held.len() < wanted {
            return taken;
        }
        if wanted > 5 {
            if let Some(hello) = Hello::of_sslv2(&self.held) {
                handler.hello(self.held_at, hello);
            }
            self.held.clear();
            self.state = State::Header;
        } else if sslv2_length(&self.held).is_none() {
            self.state = State::Header;
            self.header(&[], at, handler);
        }
        taken
    }

    fn header(&mut self, data: &[u8], at: u64, handler: &mut dyn Handler) -> usize {
        let taken = self.hold(data, at, 5);
        let &[kind, major, minor, high, low] = self.held.as_slice() else { return taken };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let range = ByteRange::new(self.held_at, self.held_at + 5);
        self.held.clear();
        if !(CHANGE_CIPHER_SPEC..=24).contains(&kind) || major != 3 || minor > 4 || length > MAX_RECORD {
            handler.malformed(range.start, "no TLS record where one must stand");
            handler.opaque(range);
            self.state = State::Opaque;
            return taken;
        }
        handler.record_header(range);
        self.doubtful.clear();
        self.doubtful_at = range.end;
        self.after_payload(kind, length, handler);
        taken
    }

    fn payload(&mut self, kind: u8, data: &[u8], at: u64, handler: &mut dyn Handler) {
        match kind {
            HANDSHAKE if !self.encrypted => self.handshake.push(data, at, handler),
            HANDSHAKE => self.doubtful.extend_from_slice(data),
            CHANGE_CIPHER_SPEC => {}
            APPLICATION_DATA => handler.opaque(ByteRange::new(at, at + data.len() as u64)),
            _ if self.encrypted => handler.opaque(ByteRange::new(at, at + data.len() as u64)),
            _ => {}
        }
    }

    fn after_payload(&mut self, kind: u8, left: usize, handler: &mut dyn Handler) {
        if left > 0 {
            self.state = State::Payload { kind, left };
            return;
        }
        self.state = State::Header;
        if kind == CHANGE_CIPHER_SPEC {
            self.encrypted = true;
        } else if !self.doubtful.is_empty() {
            let bytes = std::mem::take(&mut self.doubtful);
            let whole = match bytes.as_slice() {
                &[CLIENT_HELLO | SERVER_HELLO, a, b, c, 3, ..] => {
                    u32::from_be_bytes([0, a, b, c]) as usize + 4 == bytes.len()
                }
                _ => false,
            };
            if whole {
                Handshake::default().push(&bytes, self.doubtful_at, handler);
            } else {
                handler.opaque(ByteRange::new(self.doubtful_at, self.doubtful_at + bytes.len() as u64));
            }
        }
    }

    fn gap(&mut self, gap: ByteRange) {
        self.handshake = Handshake::Lost;
        self.doubtful.clear();
        self.held.clear();
        self.state = match self.state {
            State::Payload { kind, left } if usize::try_from(gap.len()).is_ok_and(|gap| gap < left) => {
                // What remains of this record can't be told from the middle of a message.
                self.encrypted = true;
                let kind = if kind == HANDSHAKE { APPLICATION_DATA } else { kind };
                let gap = usize::try_from(gap.len()).unwrap_or(left);
                State::Payload { kind, left: left - gap }
            }
            State::Payload { left, .. } if gap.len() == left as u64 => State::Header,
            _ => State::Opaque,
        };
    }
}

/// Handshake messages over records.
#[derive(Debug)]
enum Handshake {
    Head { bytes: Vec<u8>, at: u64 },
    Hello { client: bool, body: Vec<u8>, wanted: usize, at: u64 },
    Other { left: usize },
    Lost,
}

impl Default for Handshake {
    fn default() -> Self {
        Self::Head { bytes: Vec::new(), at: 0 }
    }
}

impl Handshake {
    fn push(&mut self, mut data: &[u8], mut at: u64, handler: &mut dyn Handler) {
        while !data.is_empty() {
            let taken = self.take(data, at, handler);
            data = data.get(taken..).unwrap_or_default();
            at += taken as u64;
        }
    }

    fn take(&mut self, data: &[u8], position: u64, handler: &mut dyn Handler) -> usize {
        match self {
            Self::Head { bytes, at } => {
                if bytes.is_empty() {
                    *at = position;
                }
                let taken = (4 - bytes.len()).min(data.len());
                bytes.extend_from_slice(data.get(..taken).unwrap_or_default());
                if let &[kind, a, b, c] = bytes.as_slice() {
                    let wanted = u32::from_be_bytes([0, a, b, c]) as usize;
                    let at = *at;
                    *self = match kind {
                        CLIENT_HELLO | SERVER_HELLO if wanted <= MAX_HELLO => {
                            Self::Hello { client: kind == CLIENT_HELLO, body: Vec::new(), wanted, at }
                        }
                        CLIENT_HELLO | SERVER_HELLO => {
                            handler.malformed(at, "a hello longer than 128 KiB");
                            Self::Lost
                        }
                        _ if wanted == 0 => Self::default(),
                        _ => Self::Other { left: wanted },
                    };
                }
                taken
            }
            Self::Hello { client, body, wanted, at } => {
                let taken = (*wanted - body.len()).min(data.len());
                body.extend_from_slice(data.get(..taken).unwrap_or_default());
                if body.len() == *wanted {
                    match if *client { Hello::of_client(body) } else { Hello::of_server(body) } {
                        Some(hello) => handler.hello(*at, hello),
                        None => handler.malformed(*at, "a hello that breaks its grammar"),
                    }
                    *self = Self::default();
                }
                taken
            }
            Self::Other { left } => {
                let taken = (*left).min(data.len());
                *left -= taken;
                if *left == 0 {
                    *self = Self::default();
                }
                taken
            }
            Self::Lost => data.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::evidence::hex_bytes;

    #[derive(Debug, Default, PartialEq)]
    struct Found {
        hellos: Vec<(u64, Hello)>,
        headers: Vec<ByteRange>,
        opaque: Vec<ByteRange>,
        malformed: Vec<u64>,
    }

    impl Handler for Found {
        fn hello(&mut self, at: u64, hello: Hello) {
            self.hellos.push((at, hello));
        }

        fn record_header(&mut self, range: ByteRange) {
            self.headers.push(range);
        }

        fn opaque(&mut self, range: ByteRange) {
            self.opaque.push(range);
        }

        fn malformed(&mut self, at: u64, _: &'static str) {
            self.malformed.push(at);
        }
    }

    fn found(pieces: &[&[u8]]) -> Found {
        let (mut parser, mut found, mut at) = (Parser::new(), Found::default(), 0);
        for data in pieces {
            let range = ByteRange::new(at, at + data.len() as u64);
            parser.push(&Chunk::Bytes { range, data }, &mut found);
            at = range.end;
        }
        found.opaque = ByteRange::unite(found.opaque);
        found
    }

    /// The ClientHello record of RFC 8448 section 3, with a record of application data behind it.
    fn rfc_8448() -> Vec<u8> {
        let hex = "16030100c4010000c00303cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7\
            000006130113031302010000910000000b0009000006736572766572ff01000100000a00140012001d0017001800\
            19010001010102010301040023000000330026002400\
            1d002099381de560e4bd43d23d8e435a7dbafeb3c06e51c13cae4d5413691e529aaf2c002b0003020304000d0020\
            001e040305030603020308040805080604010501060102010402050206020202002d00020101001c00024001";
        let mut bytes = hex_bytes(&hex.replace(' ', "")).unwrap();
        bytes.extend([23, 3, 3, 0, 4, 1, 2, 3, 4]);
        bytes
    }

    #[test]
    fn the_hello_of_rfc_8448_however_it_is_cut() {
        let bytes = rfc_8448();
        let whole = found(&[&bytes]);
        let (at, hello) = &whole.hellos[0];
        assert_eq!((*at, hello.sni.as_deref()), (5, Some("server")));
        assert_eq!(hello.versions, [0x0304]);
        assert_eq!(hello.ciphers, [0x1301, 0x1303, 0x1302]);
        assert_eq!(whole.headers, [ByteRange::new(0, 5), ByteRange::new(201, 206)]);
        assert_eq!(whole.opaque, [ByteRange::new(206, 210)]);
        for at in 0..bytes.len() {
            let (left, right) = bytes.split_at(at);
            assert_eq!(found(&[left, right]), whole, "cut at {at}");
        }
        assert_eq!(opening(&bytes), Some(Peer::Client));
    }

    #[test]
    fn a_hello_may_be_spread_over_records() {
        let bytes = rfc_8448();
        let payload = &bytes[5..201];
        let spread: Vec<u8> = payload.chunks(50).fold(Vec::new(), |mut spread, part| {
            spread.extend([22, 3, 1, 0, u8::try_from(part.len()).unwrap()]);
            spread.extend_from_slice(part);
            spread
        });
        assert_eq!(found(&[&spread]).hellos[0].1, found(&[&bytes]).hellos[0].1);
    }

    #[test]
    fn a_second_hello_after_change_cipher_spec_is_seen_and_finished_is_opaque() {
        let mut bytes = rfc_8448()[..201].to_vec();
        bytes.extend([20, 3, 3, 0, 1, 1]);
        bytes.extend_from_slice(&rfc_8448()[..201]);
        bytes.extend([22, 3, 3, 0, 3, 1, 0, 0]);
        let found = found(&[&bytes]);
        assert_eq!(found.hellos.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [5, 212]);
        assert_eq!(found.opaque, [ByteRange::new(413, 416)]);
    }

    #[test]
    fn an_sslv2_hello_is_read_and_records_follow_it() {
        let hello = [0x80, 0x2e, 1, 3, 1, 0, 6, 0, 0, 0x20, 0, 0, 0x2f, 0x01, 0, 0x80, 0, 0x35];
        let mut bytes = hello[..11].to_vec();
        bytes.extend([0, 0, 0x2f, 1, 0, 0x80]);
        bytes.extend([9; 31]);
        bytes.extend([21, 3, 1, 0, 2, 1, 0]);
        assert_eq!(opening(&bytes), Some(Peer::Client));
        let found = found(&[&bytes]);
        assert_eq!(found.hellos[0].1.ciphers, [0x2f]);
        assert_eq!((found.headers.len(), found.malformed.len()), (1, 0));
    }

    #[test]
    fn what_is_no_record_makes_the_rest_opaque() {
        let mut bytes = rfc_8448()[..201].to_vec();
        bytes.extend(b"HTTP/1.1 400");
        let found = found(&[&bytes]);
        assert_eq!(found.malformed, [201]);
        assert_eq!(found.opaque, [ByteRange::new(201, 213)]);
        assert_eq!(opening(b"GET / HTTP/1.1"), None);
    }

    /// Pushes `bytes` with the range `gap` of them missing.
    fn with_gap(bytes: &[u8], gap: std::ops::Range<usize>) -> Found {
        let (mut parser, mut found) = (Parser::new(), Found::default());
        let range = |start: usize, end: usize| ByteRange::new(start as u64, end as u64);
        parser.push(&Chunk::Bytes { range: range(0, gap.start), data: &bytes[..gap.start] }, &mut found);
        parser.push(&Chunk::Gap(range(gap.start, gap.end)), &mut found);
        parser
            .push(&Chunk::Bytes { range: range(gap.end, bytes.len()), data: &bytes[gap.end..] }, &mut found);
        found.opaque = ByteRange::unite(found.opaque);
        found
    }

    #[test]
    fn records_go_on_after_a_gap_inside_one_and_hellos_are_not_guessed() {
        let bytes = [rfc_8448(), rfc_8448()[..201].to_vec()].concat();
        assert_eq!(found(&[&bytes]).hellos.len(), 2);
        // Within the hello: the rest of its record is not read as handshake, later records are found.
        let inside = with_gap(&bytes, 50..100);
        assert_eq!(inside.headers.len(), 3);
        assert_eq!(inside.opaque[0], ByteRange::new(100, 201));
        assert_eq!(inside.hellos.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [215]);
        // Over the end of a record nothing is found again.
        let across = with_gap(&bytes, 190..203);
        assert_eq!((across.hellos.len(), across.headers.len()), (0, 1));
        assert_eq!(across.opaque, [ByteRange::new(203, bytes.len() as u64)]);
    }

    proptest! {
        #[test]
        fn changed_hellos_never_panic(edits: Vec<(prop::sample::Index, u8)>, cut: prop::sample::Index) {
            let mut bytes = rfc_8448();
            for (index, byte) in edits {
                let index = index.index(bytes.len());
                bytes[index] = byte;
            }
            let (left, right) = bytes.split_at(cut.index(bytes.len()));
            prop_assert_eq!(found(&[left, right]), found(&[&bytes]));
        }
    }
}
