//! Keys of packets: where they come from, header protection, and opening (RFC 9001 section 5).

use aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use chacha20::{
    ChaCha20,
    cipher::{KeyIvInit as _, StreamCipher as _, StreamCipherSeek as _},
};

use super::{
    Role, Version,
    packet::{LONGEST_NUMBER, RETRY_TAG, SAMPLE},
    version::Rules,
};
use crate::engine::proto::crypto::{Aead, AeadKey, Hash, NONCE, nonce};

/// A cipher suite of TLS 1.3 that QUIC uses (RFC 9001 section 5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suite {
    /// TLS_AES_128_GCM_SHA256.
    Aes128Gcm,
    /// TLS_AES_256_GCM_SHA384.
    Aes256Gcm,
    /// TLS_CHACHA20_POLY1305_SHA256.
    ChaCha20Poly1305,
    /// TLS_AES_128_CCM_SHA256.
    Aes128Ccm,
}

impl Suite {
    /// All, the likeliest first.
    pub const ALL: [Self; 4] = [Self::Aes128Gcm, Self::Aes256Gcm, Self::ChaCha20Poly1305, Self::Aes128Ccm];

    /// Its number (RFC 8446 appendix B.4).
    pub fn number(self) -> u16 {
        match self {
            Self::Aes128Gcm => 0x1301,
            Self::Aes256Gcm => 0x1302,
            Self::ChaCha20Poly1305 => 0x1303,
            Self::Aes128Ccm => 0x1304,
        }
    }

    /// The suite of a number.
    pub fn of(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.number() == number)
    }

    /// Its hash function.
    pub fn hash(self) -> Hash {
        match self {
            Self::Aes256Gcm => Hash::Sha384,
            _ => Hash::Sha256,
        }
    }

    fn aead(self) -> Aead {
        match self {
            Self::Aes128Gcm => Aead::Aes128Gcm,
            Self::Aes256Gcm => Aead::Aes256Gcm,
            Self::ChaCha20Poly1305 => Aead::ChaCha20Poly1305,
            Self::Aes128Ccm => Aead::Aes128Ccm,
        }
    }
}

/// The key of header protection (RFC 9001 section 5.4).
#[derive(Clone)]
enum HeaderKey {
    Aes128(Box<aes::Aes128>),
    Aes256(Box<aes::Aes256>),
    ChaCha20([u8; 32]),
}

impl HeaderKey {
    fn new(suite: Suite, key: &[u8]) -> Option<Self> {
        Some(match suite {
            Suite::Aes128Gcm | Suite::Aes128Ccm => {
                Self::Aes128(Box::new(aes::Aes128::new_from_slice(key).ok()?))
            }
            Suite::Aes256Gcm => Self::Aes256(Box::new(aes::Aes256::new_from_slice(key).ok()?)),
            Suite::ChaCha20Poly1305 => Self::ChaCha20(key.try_into().ok()?),
        })
    }

    fn mask(&self, sample: &[u8; SAMPLE]) -> Option<[u8; 1 + LONGEST_NUMBER]> {
        let mut block = aes::Block::from(*sample);
        match self {
            Self::Aes128(cipher) => cipher.encrypt_block(&mut block),
            Self::Aes256(cipher) => cipher.encrypt_block(&mut block),
            Self::ChaCha20(key) => {
                let (counter, nonce) = sample.split_first_chunk::<4>()?;
                let nonce: [u8; NONCE] = nonce.try_into().ok()?;
                let mut cipher = ChaCha20::new(key.into(), &nonce.into());
                cipher.try_seek(u64::from(u32::from_le_bytes(*counter)) * CHACHA20_BLOCK).ok()?;
                let mut mask = [0; 1 + LONGEST_NUMBER];
                cipher.try_apply_keystream(&mut mask).ok()?;
                return Some(mask);
            }
        }
        block.first_chunk().copied()
    }
}

/// Bytes of key stream that the counter counts (RFC 8439 section 2.3).
const CHACHA20_BLOCK: u64 = 64;

/// A header without its protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bare {
    /// The first byte.
    pub(super) first: u8,
    /// The lowest bits of the packet number.
    pub(super) truncated: u64,
    /// Bytes of the packet number.
    pub(super) bytes: usize,
}

impl Bare {
    /// The key phase bit of a short header.
    pub(super) fn phase(self) -> bool {
        self.first & 0x04 != 0
    }
}

/// Keys that one end seals packets with.
#[derive(Clone)]
pub struct Keys {
    /// The suite.
    pub suite: Suite,
    rules: &'static Rules,
    secret: Vec<u8>,
    header: HeaderKey,
    packet: AeadKey,
    iv: [u8; NONCE],
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("suite", &self.suite).finish_non_exhaustive()
    }
}

impl Keys {
    /// Derives keys from a traffic secret; `None` where it has another length than the suite's hash, or the version
    /// is not known.
    pub fn of(version: Version, suite: Suite, secret: &[u8]) -> Option<Self> {
        let rules = version.rules()?;
        let hash = suite.hash();
        let [key, iv, header, _] = rules.labels;
        let length = suite.aead().key_len();
        let expand = |label, length| hash.expand_label(secret, label, &[], length);
        (secret.len() == hash.size()).then_some(())?;
        Some(Self {
            suite,
            rules,
            secret: secret.to_vec(),
            header: HeaderKey::new(suite, &expand(header, length)?)?,
            packet: suite.aead().key(&expand(key, length)?)?,
            iv: expand(iv, NONCE)?.try_into().ok()?,
        })
    }

    /// The keys of Initial packets, which everybody can derive from the first destination id of the client (RFC 9001
    /// section 5.2).
    pub fn initial(version: Version, destination: &[u8], sender: Role) -> Option<Self> {
        let initial = Hash::Sha256.extract(&version.rules()?.initial_salt, destination);
        let label = match sender {
            Role::Client => "client in",
            Role::Server => "server in",
        };
        let secret = Hash::Sha256.expand_label(&initial, label, &[], Hash::Sha256.size())?;
        Self::of(version, Suite::Aes128Gcm, &secret)
    }

    /// The keys after a key update (RFC 9001 section 6.1): header protection stays as it is.
    pub fn updated(&self) -> Option<Self> {
        let hash = self.suite.hash();
        let [key, iv, _, update] = self.rules.labels;
        let secret = hash.expand_label(&self.secret, update, &[], hash.size())?;
        Some(Self {
            packet: self.suite.aead().key(&hash.expand_label(
                &secret,
                key,
                &[],
                self.suite.aead().key_len(),
            )?)?,
            iv: hash.expand_label(&secret, iv, &[], NONCE)?.try_into().ok()?,
            secret,
            header: self.header.clone(),
            ..*self
        })
    }

    /// Takes off header protection; `None` where the packet is too short to be sampled.
    pub(super) fn bare(&self, packet: &[u8], number_at: usize) -> Option<Bare> {
        let sample = packet.get(number_at.checked_add(LONGEST_NUMBER)?..)?.first_chunk::<SAMPLE>()?;
        let [mask, number_mask @ ..] = self.header.mask(sample)?;
        let protected = *packet.first()?;
        let bits = if protected & 0x80 != 0 { 0x0f } else { 0x1f };
        let first = protected ^ (mask & bits);
        let bytes = usize::from(first & 3) + 1;
        let number = packet.get(number_at..number_at + bytes)?.iter().zip(number_mask);
        let truncated = number.fold(0, |sum, (byte, mask)| sum << 8 | u64::from(byte ^ mask));
        Some(Bare { first, truncated, bytes })
    }

    /// Opens a packet under a number; `None` where its tag does not verify.
    pub(super) fn open(&self, packet: &[u8], number_at: usize, bare: Bare, number: u64) -> Option<Vec<u8>> {
        let payload = number_at + bare.bytes;
        let mut header = packet.get(..payload)?.to_vec();
        *header.first_mut()? = bare.first;
        let bytes = bare.truncated.to_be_bytes();
        let encoded = bytes.get(bytes.len().checked_sub(bare.bytes)?..)?;
        header.get_mut(number_at..)?.copy_from_slice(encoded);
        let mut sealed = packet.get(payload..)?.to_vec();
        self.packet.open(&nonce(&self.iv, number), &header, &mut sealed).then_some(sealed)
    }

    /// Opens a packet once more, whose number is known.
    pub fn reopen(&self, packet: &[u8], number_at: usize, number: u64) -> Option<Vec<u8>> {
        self.open(packet, number_at, self.bare(packet, number_at)?, number)
    }
}

/// Whether the tag of a Retry packet is right for a client's first destination id (RFC 9001 section 5.8).
pub fn retry_is_genuine(version: Version, destination: &[u8], packet: &[u8]) -> bool {
    let (Some(rules), Some((body, tag))) = (version.rules(), packet.split_last_chunk::<RETRY_TAG>()) else {
        return false;
    };
    let (Ok(length), Some(key)) = (u8::try_from(destination.len()), Aead::Aes128Gcm.key(&rules.retry_key))
    else {
        return false;
    };
    let pseudo = [&[length], destination, body].concat();
    key.open(&rules.retry_nonce, &pseudo, &mut tag.to_vec())
}
