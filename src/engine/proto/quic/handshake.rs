//! The TLS handshake in CRYPTO frames (RFC 9001 section 4): what it shows of keys, names and ids.

use std::collections::BTreeMap;

use super::{Cursor, Version, packet::MAX_ID};
use crate::engine::proto::tls;

/// Bytes of CRYPTO that wait for earlier ones, and bytes of one message. RFC 9000 section 7.5 asks for 4,096; a hello
/// with post-quantum key shares has 2 KiB, a chain of certificates some 10 KiB, and rarely 64.
const MAX_CRYPTO: usize = 128 << 10;

/// Pieces of CRYPTO that wait for earlier ones: a hello that is torn into its bytes has 2,000.
const MAX_PIECES: usize = 8_192;

/// Handshake messages (RFC 8446 section 4).
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const ENCRYPTED_EXTENSIONS: u8 = 8;

/// Extensions (RFC 7301, RFC 9001 section 8.2).
const ALPN: u64 = 16;
const TRANSPORT_PARAMETERS: u64 = 0x39;
const TRANSPORT_PARAMETERS_OF_DRAFTS: u64 = 0xffa5;

/// What a handshake message shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hello {
    /// The client's, with its random.
    Client(tls::Hello, [u8; 32]),
    /// The server's.
    Server(tls::Hello),
    /// The server's encrypted extensions: the protocol that it chose, and its parameters.
    Encrypted(Option<String>, Parameters),
    /// A hello that breaks its grammar.
    Malformed,
}

/// Transport parameters (RFC 9000 section 18.2) that later packets are recognised by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// Ends a packet that resets the connection.
    pub reset_token: Option<[u8; 16]>,
    /// The connection id of the server's preferred address, with its reset token.
    pub preferred: Option<(Vec<u8>, [u8; 16])>,
}

/// The messages of one end in one space.
#[derive(Clone, Debug, Default)]
pub(super) struct Messages {
    /// Bytes of the stream that were taken.
    taken: u64,
    /// Bytes that wait for earlier ones, by place.
    waiting: BTreeMap<u64, Vec<u8>>,
    held: usize,
    message: Vec<u8>,
    /// A message was too long: where the next starts is not known.
    lost: bool,
}

impl Messages {
    /// Takes a piece of the stream and gives each message that it completes: where it starts, its kind, its body. False
    /// when a piece had to be left out.
    pub(super) fn push(&mut self, offset: u64, data: &[u8], each: &mut dyn FnMut(u64, u8, &[u8])) -> bool {
        let Some(end) = offset.checked_add(data.len() as u64) else { return false };
        if end <= self.taken {
            return true;
        }
        if offset > self.taken {
            return self.wait(offset, data);
        }
        self.take(offset, data, each);
        while let Some((&at, _)) = self.waiting.first_key_value() {
            if at > self.taken {
                break;
            }
            let Some(data) = self.waiting.remove(&at) else { break };
            self.held -= data.len();
            self.take(at, &data, each);
        }
        true
    }

    fn wait(&mut self, offset: u64, data: &[u8]) -> bool {
        if self.waiting.get(&offset).is_some_and(|known| known.len() >= data.len()) {
            return true;
        }
        if self.held + data.len() > MAX_CRYPTO || self.waiting.len() >= MAX_PIECES {
            return false;
        }
        self.held += data.len();
        if let Some(shorter) = self.waiting.insert(offset, data.to_vec()) {
            self.held -= shorter.len();
        }
        true
    }

    fn take(&mut self, offset: u64, data: &[u8], each: &mut dyn FnMut(u64, u8, &[u8])) {
        let known = usize::try_from(self.taken - offset).unwrap_or(usize::MAX);
        let Some(new) = data.get(known..) else { return };
        self.taken += new.len() as u64;
        if self.lost {
            return;
        }
        self.message.extend_from_slice(new);
        while let Some((&[kind, a, b, c], rest)) = self.message.split_first_chunk::<4>() {
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            if length > MAX_CRYPTO {
                (self.lost, self.message) = (true, Vec::new());
                return;
            }
            let Some(body) = rest.get(..length) else { return };
            each(self.taken - self.message.len() as u64, kind, body);
            self.message.drain(..4 + length);
        }
    }
}

/// What a message shows, if it is one that is looked at.
pub(super) fn hello(kind: u8, body: &[u8], version: Version) -> Option<Hello> {
    match kind {
        CLIENT_HELLO => {
            let random = body.get(2..).and_then(|rest| rest.first_chunk::<32>());
            let hello = tls::Hello::of_client(body).zip(random);
            Some(hello.map_or(Hello::Malformed, |(hello, random)| Hello::Client(hello, *random)))
        }
        SERVER_HELLO => Some(tls::Hello::of_server(body).map_or(Hello::Malformed, Hello::Server)),
        ENCRYPTED_EXTENSIONS => Some(encrypted(body, version).unwrap_or(Hello::Malformed)),
        _ => None,
    }
}

fn encrypted(body: &[u8], version: Version) -> Option<Hello> {
    let mut extensions = Cursor::new(Cursor::new(body).vector(2)?);
    let (mut alpn, mut parameters) = (None, Parameters::default());
    while !extensions.is_empty() {
        let (kind, data) = (extensions.number(2)?, extensions.vector(2)?);
        match kind {
            ALPN => {
                let name = Cursor::new(Cursor::new(data).vector(2)?).vector(1)?;
                alpn = Some(String::from_utf8_lossy(name).into_owned());
            }
            TRANSPORT_PARAMETERS => parameters = transport_parameters(data),
            TRANSPORT_PARAMETERS_OF_DRAFTS if version.is_early_draft() => {
                parameters = transport_parameters(data);
            }
            _ => {}
        }
    }
    Some(Hello::Encrypted(alpn, parameters))
}

/// Reads parameters as far as they keep their grammar.
fn transport_parameters(data: &[u8]) -> Parameters {
    let mut cursor = Cursor::new(data);
    let mut parameters = Parameters::default();
    while let Some(id) = cursor.varint() {
        let Some(value) = cursor.varint().and_then(|length| cursor.take(length)) else { break };
        match id {
            0x02 => parameters.reset_token = value.try_into().ok(),
            0x0d => parameters.preferred = preferred(value),
            _ => {}
        }
    }
    parameters
}

/// Both addresses with their ports, then an id and its token.
fn preferred(value: &[u8]) -> Option<(Vec<u8>, [u8; 16])> {
    const ADDRESSES: u64 = 4 + 2 + 16 + 2;
    let mut cursor = Cursor::new(value);
    cursor.take(ADDRESSES)?;
    let id = cursor.vector(1).filter(|id| id.len() <= MAX_ID)?;
    Some((id.to_vec(), cursor.take(16)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(pieces: &[(u64, &[u8])]) -> Vec<(u8, Vec<u8>)> {
        let (mut messages, mut found) = (Messages::default(), Vec::new());
        for (offset, data) in pieces {
            messages.push(*offset, data, &mut |_, kind, body| found.push((kind, body.to_vec())));
        }
        found
    }

    #[test]
    fn messages_come_in_any_order_of_pieces_and_the_first_bytes_stand() {
        let whole = [(20, vec![7, 8, 9]), (4, vec![])];
        assert_eq!(pushed(&[(0, &[20, 0, 0, 3, 7, 8, 9, 4, 0, 0, 0])]), whole);
        assert_eq!(pushed(&[(7, &[4, 0, 0, 0]), (3, &[3, 7, 8, 9]), (0, &[20, 0, 0, 3])]), whole);
        assert_eq!(pushed(&[(0, &[20, 0, 0, 3, 7]), (4, &[0xff, 8, 9, 4]), (7, &[4, 0, 0, 0])]), whole);
        assert_eq!(pushed(&[(1, &[0, 0, 3, 7, 8, 9])]), [], "the first byte is missing");
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut messages = Messages::default();
        let piece = vec![0; MAX_CRYPTO / 2];
        let mut none = |_: u64, _: u8, _: &[u8]| panic!("no message");
        assert!(messages.push(10, &piece, &mut none));
        assert!(messages.push(1 << 40, &piece, &mut none));
        assert!(!messages.push(1 << 41, &[1], &mut none));
        assert!(!messages.push(u64::MAX, &[1], &mut none));
        assert!(messages.push(10, &piece, &mut none), "known already");
    }

    #[test]
    fn a_message_longer_than_any_loses_the_rest_and_nothing_else() {
        let mut messages = Messages::default();
        let mut none = |_: u64, _: u8, _: &[u8]| panic!("no message");
        assert!(messages.push(0, &[11, 0xff, 0xff, 0xff, 1], &mut none));
        assert!(messages.push(5, &[8, 0, 0, 0], &mut none));
        assert!(messages.message.is_empty());
    }

    #[test]
    fn encrypted_extensions_tell_the_protocol_and_what_resets_look_like() {
        let preferred = [&[0; 24][..], &[2, 0xaa, 0xbb], &[3; 16]].concat();
        let parameters =
            [&[0x01, 0x01, 0x05, 0x02, 0x10][..], &[9; 16], &[0x0d, 43], &preferred, &[0x40]].concat();
        let extensions = [
            &[0, 16, 0, 5, 0, 3, 2, b'h', b'3', 0, 0x39, 0][..],
            &[u8::try_from(parameters.len()).unwrap()],
            &parameters,
        ]
        .concat();
        let body = [&[0, u8::try_from(extensions.len()).unwrap()][..], &extensions].concat();
        let expected =
            Parameters { reset_token: Some([9; 16]), preferred: Some((vec![0xaa, 0xbb], [3; 16])) };
        assert_eq!(
            hello(ENCRYPTED_EXTENSIONS, &body, Version::ONE),
            Some(Hello::Encrypted(Some("h3".to_owned()), expected))
        );
        assert_eq!(hello(ENCRYPTED_EXTENSIONS, &body[..9], Version::ONE), Some(Hello::Malformed));
        assert_eq!(hello(CLIENT_HELLO, &[3, 3], Version::ONE), Some(Hello::Malformed));
        assert_eq!(hello(11, &body, Version::ONE), None);
    }
}
