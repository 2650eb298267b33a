//! A small QUIC encoder under fixed keys (RFC 9000, RFC 9001), written apart from the decoder that it tests.
#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use aes_gcm::{
    Aes128Gcm,
    aead::{AeadInOut as _, Nonce},
};
use hkdf::Hkdf;
use sha2::Sha256;

/// The client's random, by which the key log names the secrets.
pub const RANDOM: [u8; 32] = [0x11; 32];
/// The client's first destination id.
pub const ORIGINAL: [u8; 8] = *b"original";
/// The client's own id.
pub const CLIENT_ID: [u8; 4] = *b"clnt";
/// The server's id.
pub const SERVER_ID: [u8; 6] = *b"server";

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum From {
    Client,
    Server,
}

fn expand(secret: &[u8], label: &str, len: usize) -> Vec<u8> {
    let label = [b"tls13 ", label.as_bytes()].concat();
    let mut info = u16::try_from(len).unwrap().to_be_bytes().to_vec();
    info.push(u8::try_from(label.len()).unwrap());
    info.extend(label);
    info.push(0);
    let mut out = vec![0; len];
    Hkdf::<Sha256>::from_prk(secret).unwrap().expand(&info, &mut out).unwrap();
    out
}

/// Keys of AES-128-GCM that one end seals packets with.
#[derive(Clone)]
pub struct Sealer {
    secret: Vec<u8>,
    key: Vec<u8>,
    iv: Vec<u8>,
    header: Vec<u8>,
}

impl Sealer {
    pub fn new(secret: &[u8]) -> Self {
        Self {
            secret: secret.to_vec(),
            key: expand(secret, "quic key", 16),
            iv: expand(secret, "quic iv", 12),
            header: expand(secret, "quic hp", 16),
        }
    }

    /// The keys of Initial packets.
    pub fn initial(destination: &[u8], from: From) -> Self {
        let salt = [
            0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad,
            0xcc, 0xbb, 0x7f, 0x0a,
        ];
        let (initial, _) = Hkdf::<Sha256>::extract(Some(&salt), destination);
        Self::new(&expand(&initial, if from == From::Client { "client in" } else { "server in" }, 32))
    }

    /// A secret of the key log.
    pub fn of(kind: u8, from: From) -> Self {
        Self::new(&[kind + u8::from(from == From::Server); 32])
    }

    /// After a key update.
    pub fn updated(&self) -> Self {
        let next = Self::new(&expand(&self.secret, "quic ku", 32));
        Self { header: self.header.clone(), ..next }
    }

    /// Seals a packet whose header ends in its number.
    pub fn seal(&self, header: &[u8], number: u64, number_len: usize, payload: &[u8]) -> Vec<u8> {
        let mut nonce = self.iv.clone();
        nonce.iter_mut().rev().zip(number.to_be_bytes().iter().rev()).for_each(|(byte, mask)| *byte ^= mask);
        let nonce: [u8; 12] = nonce.try_into().unwrap();
        let mut sealed = payload.to_vec();
        let cipher = Aes128Gcm::new_from_slice(&self.key).unwrap();
        cipher.encrypt_in_place(&Nonce::<Aes128Gcm>::from(nonce), header, &mut sealed).unwrap();
        let mut packet = [header, &sealed].concat();
        let at = header.len() - number_len;
        let sample: [u8; 16] = packet[at + 4..at + 20].try_into().unwrap();
        let mut mask = aes::Block::from(sample);
        aes::Aes128::new_from_slice(&self.header).unwrap().encrypt_block(&mut mask);
        packet[0] ^= mask[0] & if packet[0] & 0x80 != 0 { 0x0f } else { 0x1f };
        for place in 0..number_len {
            packet[at + place] ^= mask[1 + place];
        }
        packet
    }
}

/// Kinds of secrets: those of the client have these numbers, those of the server the next.
pub const HANDSHAKE: u8 = 0x20;
pub const EARLY: u8 = 0x30;
pub const DATA: u8 = 0x40;

/// The key log of all connections made here.
pub fn key_log() -> String {
    let random = "11".repeat(32);
    let line = |label: &str, secret: u8| format!("{label} {random} {}\n", format!("{secret:02x}").repeat(32));
    [
        line("CLIENT_EARLY_TRAFFIC_SECRET", EARLY),
        line("CLIENT_HANDSHAKE_TRAFFIC_SECRET", HANDSHAKE),
        line("SERVER_HANDSHAKE_TRAFFIC_SECRET", HANDSHAKE + 1),
        line("CLIENT_TRAFFIC_SECRET_0", DATA),
        line("SERVER_TRAFFIC_SECRET_0", DATA + 1),
    ]
    .concat()
}

/// A variable-length integer of as many bytes as it needs.
pub fn varint(value: u64) -> Vec<u8> {
    match value {
        0..0x40 => vec![u8::try_from(value).unwrap()],
        0x40..0x4000 => (u16::try_from(value).unwrap() | 0x4000).to_be_bytes().to_vec(),
        0x4000..0x4000_0000 => (u32::try_from(value).unwrap() | 0x8000_0000).to_be_bytes().to_vec(),
        _ => (value | 0xc000_0000_0000_0000).to_be_bytes().to_vec(),
    }
}

fn vector(len: usize, bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_be_bytes();
    [&length[8 - len..], bytes].concat()
}

fn extension(number: u16, bytes: &[u8]) -> Vec<u8> {
    [number.to_be_bytes().to_vec(), vector(2, bytes)].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [vec![kind], vector(3, body)].concat()
}

/// A ClientHello that offers a protocol.
pub fn client_hello(alpn: &str) -> Vec<u8> {
    let name = [vec![0], vector(2, b"quic.example")].concat();
    let extensions = [
        extension(0, &vector(2, &name)),
        extension(16, &vector(2, &vector(1, alpn.as_bytes()))),
        extension(43, &vector(1, &[3, 4])),
    ]
    .concat();
    let body = [&[3, 3][..], &RANDOM, &[0], &vector(2, &[0x13, 0x01]), &[1, 0], &vector(2, &extensions)];
    message(1, &body.concat())
}

/// A ServerHello that chooses TLS_AES_128_GCM_SHA256.
pub fn server_hello() -> Vec<u8> {
    let body = [&[3, 3][..], &[0x22; 32], &[0, 0x13, 0x01, 0], &vector(2, &extension(43, &[3, 4]))];
    message(2, &body.concat())
}

/// EncryptedExtensions with the protocol and the token of a stateless reset.
pub fn encrypted_extensions(alpn: &str, reset_token: [u8; 16]) -> Vec<u8> {
    let parameters = [varint(2), varint(16), reset_token.to_vec()].concat();
    let extensions =
        [extension(16, &vector(2, &vector(1, alpn.as_bytes()))), extension(0x39, &parameters)].concat();
    message(8, &vector(2, &extensions))
}

/// A CRYPTO frame.
pub fn crypto(offset: u64, data: &[u8]) -> Vec<u8> {
    [vec![6], varint(offset), varint(data.len() as u64), data.to_vec()].concat()
}

/// A STREAM frame with offset and length.
pub fn stream(id: u64, offset: u64, data: &[u8], last: bool) -> Vec<u8> {
    let kind = 0x0e | u8::from(last);
    [vec![kind], varint(id), varint(offset), varint(data.len() as u64), data.to_vec()].concat()
}

/// A packet with a long header: `kind` is its number in version 1.
pub fn long(
    sealer: &Sealer,
    kind: u8,
    ids: (&[u8], &[u8]),
    token: &[u8],
    number: u64,
    payload: &[u8],
) -> Vec<u8> {
    let (destination, source) = ids;
    let mut header = vec![0xc0 | kind << 4 | 1, 0, 0, 0, 1];
    header.extend(vector(1, destination));
    header.extend(vector(1, source));
    if kind == 0 {
        header.extend(varint(token.len() as u64));
        header.extend_from_slice(token);
    }
    // The number takes two bytes, the tag sixteen.
    header.extend(varint(payload.len() as u64 + 18));
    header.extend(u16::try_from(number).unwrap().to_be_bytes());
    sealer.seal(&header, number, 2, payload)
}

/// A packet with a short header.
pub fn short(
    sealer: &Sealer,
    destination: &[u8],
    phase: bool,
    number: u64,
    number_len: usize,
    payload: &[u8],
) -> Vec<u8> {
    let first = 0x40 | u8::from(phase) << 2 | u8::try_from(number_len - 1).unwrap();
    let number_bytes = number.to_be_bytes();
    let header = [&[first], destination, &number_bytes[8 - number_len..]].concat();
    sealer.seal(&header, number, number_len, payload)
}

/// Appends PADDING up to a length.
pub fn padded(mut payload: Vec<u8>, len: usize) -> Vec<u8> {
    payload.resize(payload.len().max(len), 0);
    payload
}

/// The client's first datagram: its hello in an Initial packet, of at least 1,200 bytes.
pub fn opening(alpn: &str) -> Vec<u8> {
    let payload = padded(crypto(0, &client_hello(alpn)), 1_200);
    long(&Sealer::initial(&ORIGINAL, From::Client), 0, (&ORIGINAL, &CLIENT_ID), b"", 0, &payload)
}

/// The token that the server's resets end in.
pub const RESET_TOKEN: [u8; 16] = [0x77; 16];

/// The server's first datagram: an Initial and a Handshake packet.
pub fn answer(alpn: &str) -> Vec<u8> {
    let initial = Sealer::initial(&ORIGINAL, From::Server);
    let ids: (&[u8], &[u8]) = (&CLIENT_ID, &SERVER_ID);
    let hello = long(&initial, 0, ids, b"", 0, &crypto(0, &server_hello()));
    let extensions = crypto(0, &encrypted_extensions(alpn, RESET_TOKEN));
    let rest = long(&Sealer::of(HANDSHAKE, From::Server), 2, ids, b"", 0, &extensions);
    [hello, rest].concat()
}
