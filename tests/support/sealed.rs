//! Hellos and sealed records of TLS 1.3, TLS 1.2 and DTLS 1.2 under fixed secrets (RFC 8446, RFC 5246, RFC 5288, RFC 6347),
//! written apart from the decoder that they test. All are of AES-128-GCM with SHA-256.
#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use aes_gcm::{
    Aes128Gcm,
    aead::{AeadInOut as _, KeyInit as _, Nonce},
};
use hkdf::Hkdf;
use sha2::Sha256;

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Tls13,
    Tls12,
    Dtls12,
}

/// Who sends.
pub const CLIENT: usize = 0;
pub const SERVER: usize = 1;

/// Content types.
pub const CHANGE_CIPHER_SPEC: u8 = 20;
pub const HANDSHAKE: u8 = 22;

const CLIENT_RANDOM: [u8; 32] = [0x11; 32];
const SERVER_RANDOM: [u8; 32] = [0x22; 32];
const MASTER: [u8; 48] = [0x33; 48];

/// The key log of all connections made here.
pub fn key_log() -> String {
    let random = "11".repeat(32);
    let line = |label: &str, byte: &str, len: usize| format!("{label} {random} {}\n", byte.repeat(len));
    [
        line("CLIENT_RANDOM", "33", 48),
        line("CLIENT_HANDSHAKE_TRAFFIC_SECRET", "40", 32),
        line("SERVER_HANDSHAKE_TRAFFIC_SECRET", "41", 32),
        line("CLIENT_TRAFFIC_SECRET_0", "50", 32),
        line("SERVER_TRAFFIC_SECRET_0", "51", 32),
    ]
    .concat()
}

fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    // HKDF-Extract is HMAC (RFC 5869 section 2.2).
    Hkdf::<Sha256>::extract(Some(key), data).0.to_vec()
}

/// P_SHA256 (RFC 5246 section 5).
fn prf(secret: &[u8], label: &str, seed: &[u8], len: usize) -> Vec<u8> {
    let seed = [label.as_bytes(), seed].concat();
    let (mut out, mut a) = (Vec::new(), hmac(secret, &seed));
    while out.len() < len {
        out.extend(hmac(secret, &[a.as_slice(), &seed].concat()));
        a = hmac(secret, &a);
    }
    out.truncate(len);
    out
}

fn expand(secret: &[u8], label: &str, len: usize) -> Vec<u8> {
    let label = [b"tls13 ", label.as_bytes()].concat();
    let (high, length) = (u8::try_from(len >> 8).unwrap(), u8::try_from(len & 0xff).unwrap());
    let info = [&[high, length, u8::try_from(label.len()).unwrap()], label.as_slice(), &[0]].concat();
    let mut out = vec![0; len];
    Hkdf::<Sha256>::from_prk(secret).unwrap().expand(&info, &mut out).unwrap();
    out
}

fn vector(len: usize, bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_be_bytes();
    [&length[8 - len..], bytes].concat()
}

/// What one end seals records with.
pub struct Sealer {
    kind: Kind,
    /// The traffic secret of TLS 1.3.
    secret: Vec<u8>,
    key: Vec<u8>,
    iv: Vec<u8>,
    /// The number of the next record.
    pub number: u64,
}

impl Sealer {
    /// Of the handshake, in TLS 1.3; of everything else in the others.
    pub fn first(kind: Kind, side: usize) -> Self {
        if kind == Kind::Tls13 {
            return Self::of_secret(vec![0x40 + u8::try_from(side).unwrap(); 32]);
        }
        let block = prf(&MASTER, "key expansion", &[SERVER_RANDOM, CLIENT_RANDOM].concat(), 40);
        let (key, iv) = (block[side * 16..][..16].to_vec(), block[32 + side * 4..][..4].to_vec());
        let number = if kind == Kind::Dtls12 { 1 << 48 } else { 0 };
        Self { kind, secret: Vec::new(), key, iv, number }
    }

    /// Of application data, in TLS 1.3.
    pub fn data(side: usize) -> Self {
        Self::of_secret(vec![0x50 + u8::try_from(side).unwrap(); 32])
    }

    fn of_secret(secret: Vec<u8>) -> Self {
        let (key, iv) = (expand(&secret, "key", 16), expand(&secret, "iv", 12));
        Self { kind: Kind::Tls13, secret, key, iv, number: 0 }
    }

    /// After a KeyUpdate.
    pub fn update(&mut self) {
        if self.kind == Kind::Tls13 {
            *self = Self::of_secret(expand(&self.secret, "traffic upd", 32));
        }
    }

    fn sealed(&self, nonce: &[u8], associated: &[u8], content: &[u8]) -> Vec<u8> {
        let nonce: [u8; 12] = nonce.try_into().unwrap();
        let mut sealed = content.to_vec();
        let cipher = Aes128Gcm::new_from_slice(&self.key).unwrap();
        cipher.encrypt_in_place(&Nonce::<Aes128Gcm>::from(nonce), associated, &mut sealed).unwrap();
        sealed
    }

    /// A record of this content type.
    pub fn record(&mut self, content_type: u8, content: &[u8]) -> Vec<u8> {
        let number = self.number.to_be_bytes();
        self.number += 1;
        match self.kind {
            Kind::Tls13 => {
                let inner = [content, &[content_type]].concat();
                let head = [&[23, 3, 3], &vector(2, &vec![0; inner.len() + 16])[..2]].concat();
                let mut nonce = self.iv.clone();
                nonce.iter_mut().rev().zip(number.iter().rev()).for_each(|(byte, mask)| *byte ^= mask);
                [head.clone(), self.sealed(&nonce, &head, &inner)].concat()
            }
            Kind::Tls12 | Kind::Dtls12 => {
                let version = if self.kind == Kind::Tls12 { [3, 3] } else { [0xfe, 0xfd] };
                let length = &vector(2, content)[..2];
                let associated = [&number[..], &[content_type], &version, length].concat();
                let sealed = self.sealed(&[&self.iv[..], &number].concat(), &associated, content);
                let body = vector(2, &[&number[..], &sealed].concat());
                let between: &[u8] = if self.kind == Kind::Dtls12 { &number } else { &[] };
                [&[content_type], &version[..], between, &body].concat()
            }
        }
    }
}

/// A record that is not sealed, with this number in DTLS.
pub fn clear(kind: Kind, number: u64, content_type: u8, content: &[u8]) -> Vec<u8> {
    match kind {
        Kind::Dtls12 => {
            [&[content_type, 0xfe, 0xfd][..], &number.to_be_bytes(), &vector(2, content)].concat()
        }
        _ => [&[content_type, 3, 3][..], &vector(2, content)].concat(),
    }
}

/// A handshake message; of DTLS in one fragment.
pub fn message(kind: Kind, number: u8, message_type: u8, body: &[u8]) -> Vec<u8> {
    let whole = vector(3, body);
    match kind {
        Kind::Dtls12 => [&[message_type], &whole[..3], &[0, number, 0, 0, 0], &whole].concat(),
        _ => [&[message_type], whole.as_slice()].concat(),
    }
}

fn extension(number: u16, bytes: &[u8]) -> Vec<u8> {
    [number.to_be_bytes().to_vec(), vector(2, bytes)].concat()
}

fn hello_version(kind: Kind) -> [u8; 2] {
    if kind == Kind::Dtls12 { [0xfe, 0xfd] } else { [3, 3] }
}

fn suite(kind: Kind) -> [u8; 2] {
    if kind == Kind::Tls13 { [0x13, 0x01] } else { [0xc0, 0x2f] }
}

/// A ClientHello for `sealed.example`.
pub fn client_hello(kind: Kind) -> Vec<u8> {
    let name = [vec![0], vector(2, b"sealed.example")].concat();
    let mut extensions = extension(0, &vector(2, &name));
    if kind == Kind::Tls13 {
        extensions.extend(extension(43, &vector(1, &[3, 4])));
    }
    let cookie: &[u8] = if kind == Kind::Dtls12 { &[0] } else { &[] };
    let body = [
        &hello_version(kind)[..],
        &CLIENT_RANDOM,
        &[0],
        cookie,
        &vector(2, &suite(kind)),
        &[1, 0],
        &vector(2, &extensions),
    ];
    message(kind, 0, 1, &body.concat())
}

/// A ServerHello.
pub fn server_hello(kind: Kind) -> Vec<u8> {
    let extensions = if kind == Kind::Tls13 { extension(43, &[3, 4]) } else { Vec::new() };
    let body = [&hello_version(kind)[..], &SERVER_RANDOM, &[0], &suite(kind), &[0], &vector(2, &extensions)];
    message(kind, 0, 2, &body.concat())
}
