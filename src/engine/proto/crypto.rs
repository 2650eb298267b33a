//! Hashes, key derivation and authenticated ciphers that TLS and QUIC share (RFC 5869, RFC 5116, RFC 8446).
//!
//! Everything here only opens what others sealed: nothing is encrypted, and no secret is made.

use aes_gcm::aead::{AeadInOut, Nonce, array::Array};
use aes_gcm::{Aes128Gcm, Aes256Gcm, KeyInit};
use ccm::{
    Ccm,
    consts::{U8, U12, U16},
};
use chacha20poly1305::ChaCha20Poly1305;
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha384};

/// Hash functions of TLS and QUIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hash {
    /// RFC 1321: record MACs and the PRF of old TLS.
    Md5,
    /// FIPS 180-4: record MACs and the PRF of old TLS.
    Sha1,
    /// FIPS 180-4.
    Sha256,
    /// FIPS 180-4.
    Sha384,
}

/// Does the same with each hash function.
macro_rules! with_hash {
    ($hash:expr, $name:ident => $result:expr) => {
        match $hash {
            Hash::Md5 => {
                type $name = Md5;
                $result
            }
            Hash::Sha1 => {
                type $name = Sha1;
                $result
            }
            Hash::Sha256 => {
                type $name = Sha256;
                $result
            }
            Hash::Sha384 => {
                type $name = Sha384;
                $result
            }
        }
    };
}

impl Hash {
    /// Bytes of a digest.
    pub fn size(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }

    /// The digest of parts, one after the other.
    pub fn digest(self, parts: &[&[u8]]) -> Vec<u8> {
        with_hash!(self, H => {
            let mut hasher = H::new();
            parts.iter().for_each(|part| hasher.update(part));
            hasher.finalize().to_vec()
        })
    }

    /// HMAC (RFC 2104) over parts, one after the other.
    pub fn hmac(self, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        with_hash!(self, H => {
            let mut mac = <Hmac<H> as hmac::KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
            parts.iter().for_each(|part| mac.update(part));
            mac.finalize().into_bytes().to_vec()
        })
    }

    /// HKDF-Extract (RFC 5869 section 2.2).
    pub fn extract(self, salt: &[u8], input: &[u8]) -> Vec<u8> {
        self.hmac(salt, &[input])
    }

    /// HKDF-Expand (RFC 5869 section 2.3); `None` where the secret is shorter than a digest or `len` longer than 255 of
    /// them.
    pub fn expand(self, secret: &[u8], info: &[&[u8]], len: usize) -> Option<Vec<u8>> {
        if len > 255 * self.size() {
            return None;
        }
        let mut out = vec![0; len];
        with_hash!(self, H => Hkdf::<H>::from_prk(secret).ok()?.expand_multi_info(info, &mut out).ok()?);
        Some(out)
    }

    /// HKDF-Expand-Label (RFC 8446 section 7.1); `label` without its `tls13 `. `None` where no TLS could ask for it.
    pub fn expand_label(self, secret: &[u8], label: &str, context: &[u8], len: usize) -> Option<Vec<u8>> {
        let length = u16::try_from(len).ok()?.to_be_bytes();
        let name = [u8::try_from(LABEL.len() + label.len()).ok()?];
        let context_len = [u8::try_from(context.len()).ok()?];
        self.expand(secret, &[&length, &name, LABEL.as_bytes(), label.as_bytes(), &context_len, context], len)
    }
}

/// Stands before each label.
const LABEL: &str = "tls13 ";

/// Bytes of a nonce of every cipher here.
pub const NONCE: usize = 12;

/// Authenticated ciphers (RFC 5116) of TLS and QUIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aead {
    /// RFC 5288.
    Aes128Gcm,
    /// RFC 5288.
    Aes256Gcm,
    /// RFC 6655.
    Aes128Ccm,
    /// RFC 6655.
    Aes256Ccm,
    /// RFC 6655, with a tag of 8 bytes.
    Aes128Ccm8,
    /// RFC 6655, with a tag of 8 bytes.
    Aes256Ccm8,
    /// RFC 8439.
    ChaCha20Poly1305,
}

impl Aead {
    /// Bytes of a key.
    pub fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm | Self::Aes128Ccm | Self::Aes128Ccm8 => 16,
            Self::Aes256Gcm | Self::Aes256Ccm | Self::Aes256Ccm8 | Self::ChaCha20Poly1305 => 32,
        }
    }

    /// Bytes of a tag.
    pub fn tag_len(self) -> usize {
        match self {
            Self::Aes128Ccm8 | Self::Aes256Ccm8 => 8,
            _ => 16,
        }
    }

    /// Makes a key ready; `None` if it has another length than keys of this cipher have.
    pub fn key(self, key: &[u8]) -> Option<AeadKey> {
        Some(AeadKey(match self {
            Self::Aes128Gcm => Ready::Aes128Gcm(Box::new(KeyInit::new_from_slice(key).ok()?)),
            Self::Aes256Gcm => Ready::Aes256Gcm(Box::new(KeyInit::new_from_slice(key).ok()?)),
            Self::Aes128Ccm => Ready::Aes128Ccm(Box::new(KeyInit::new_from_slice(key).ok()?)),
            Self::Aes256Ccm => Ready::Aes256Ccm(Box::new(KeyInit::new_from_slice(key).ok()?)),
            Self::Aes128Ccm8 => Ready::Aes128Ccm8(Box::new(KeyInit::new_from_slice(key).ok()?)),
            Self::Aes256Ccm8 => Ready::Aes256Ccm8(Box::new(KeyInit::new_from_slice(key).ok()?)),
            Self::ChaCha20Poly1305 => Ready::ChaCha20Poly1305(KeyInit::new_from_slice(key).ok()?),
        }))
    }
}

/// A key that opens what was sealed with it.
#[derive(Clone)]
pub struct AeadKey(Ready);

#[derive(Clone)]
enum Ready {
    Aes128Gcm(Box<Aes128Gcm>),
    Aes256Gcm(Box<Aes256Gcm>),
    Aes128Ccm(Box<Ccm<aes::Aes128, U16, U12>>),
    Aes256Ccm(Box<Ccm<aes::Aes256, U16, U12>>),
    Aes128Ccm8(Box<Ccm<aes::Aes128, U8, U12>>),
    Aes256Ccm8(Box<Ccm<aes::Aes256, U8, U12>>),
    ChaCha20Poly1305(ChaCha20Poly1305),
}

impl AeadKey {
    /// Decrypts in place and cuts the tag off; false where the tag does not verify. Then `sealed` holds nothing of worth.
    #[must_use]
    pub fn open(&self, nonce: &[u8; NONCE], associated: &[u8], sealed: &mut Vec<u8>) -> bool {
        fn open<A: AeadInOut<NonceSize = U12>>(
            cipher: &A,
            nonce: &[u8; NONCE],
            associated: &[u8],
            sealed: &mut Vec<u8>,
        ) -> bool {
            let nonce: Nonce<A> = Array(*nonce);
            cipher.decrypt_in_place(&nonce, associated, sealed).is_ok()
        }
        match &self.0 {
            Ready::Aes128Gcm(cipher) => open(&**cipher, nonce, associated, sealed),
            Ready::Aes256Gcm(cipher) => open(&**cipher, nonce, associated, sealed),
            Ready::Aes128Ccm(cipher) => open(&**cipher, nonce, associated, sealed),
            Ready::Aes256Ccm(cipher) => open(&**cipher, nonce, associated, sealed),
            Ready::Aes128Ccm8(cipher) => open(&**cipher, nonce, associated, sealed),
            Ready::Aes256Ccm8(cipher) => open(&**cipher, nonce, associated, sealed),
            Ready::ChaCha20Poly1305(cipher) => open(cipher, nonce, associated, sealed),
        }
    }
}

impl std::fmt::Debug for AeadKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AeadKey")
    }
}

/// The nonce of a record or packet: its number, padded on the left, exclusive-or the IV (RFC 8446 section 5.3,
/// RFC 9001 section 5.3).
pub fn nonce(iv: &[u8; NONCE], number: u64) -> [u8; NONCE] {
    let mut nonce = *iv;
    for (byte, mask) in nonce.iter_mut().rev().zip(number.to_be_bytes().iter().rev()) {
        *byte ^= mask;
    }
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{hex, hex_bytes};

    fn bytes(text: &str) -> Vec<u8> {
        hex_bytes(&text.split_whitespace().collect::<String>()).unwrap()
    }

    #[test]
    fn hkdf_gives_the_test_vectors_of_rfc_5869() {
        // Appendices A.1 to A.4: hash, input, salt, info, secret, output.
        let long = |range: std::ops::RangeInclusive<u8>| range.collect::<Vec<u8>>();
        let prk = Hash::Sha256.extract(&long(0x00..=0x0c), &[0x0b; 22]);
        assert_eq!(hex(&prk), "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
        let info = long(0xf0..=0xf9);
        assert_eq!(
            hex(&Hash::Sha256.expand(&prk, &[&info[..4], &info[4..]], 42).unwrap()),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
        );
        let prk = Hash::Sha256.extract(&long(0x60..=0xaf), &long(0x00..=0x4f));
        assert_eq!(hex(&prk), "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244");
        assert_eq!(
            hex(&Hash::Sha256.expand(&prk, &[&long(0xb0..=0xff)], 82).unwrap()),
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09\
             da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"
        );
        let prk = Hash::Sha256.extract(&[], &[0x0b; 22]);
        assert_eq!(hex(&prk), "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04");
        let prk = Hash::Sha1.extract(&long(0x00..=0x0c), &[0x0b; 11]);
        assert_eq!(hex(&prk), "9b6c18c432a7bf8f0e71c8eb88f4b30baa2ba243");
        assert_eq!(
            hex(&Hash::Sha1.expand(&prk, &[&info], 42).unwrap()),
            "085a01ea1b10f36933068b56efa5ad81a4f14b822f5b091568a9cdd4f155fda2c22e422478d305f3f896"
        );
        assert_eq!(Hash::Sha256.expand(&prk, &[], 8161), None);
        assert_eq!(Hash::Sha256.expand(&[1; 31], &[], 1), None);
    }

    #[test]
    fn labels_are_those_of_rfc_9001_appendix_a_1() {
        let salt = bytes("38762cf7f55934b34d179ae6a4c80cadccbb7f0a");
        let initial = Hash::Sha256.extract(&salt, &bytes("8394c8f03e515708"));
        let client = Hash::Sha256.expand_label(&initial, "client in", &[], 32).unwrap();
        assert_eq!(hex(&client), "c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea");
        let key = Hash::Sha256.expand_label(&client, "quic key", &[], 16).unwrap();
        assert_eq!(hex(&key), "1f369613dd76d5467730efcbe3b1a22d");
        let iv = Hash::Sha256.expand_label(&client, "quic iv", &[], 12).unwrap();
        assert_eq!(hex(&iv), "fa044b2f42a3fd3b46fb255c");
    }

    #[test]
    fn hmac_gives_a_test_vector_of_rfc_4231_and_of_rfc_2202() {
        let mac = |hash: Hash| hex(&hash.hmac(b"Jefe", &[b"what do ya want ", b"for nothing?"]));
        assert_eq!(mac(Hash::Sha256), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert_eq!(
            mac(Hash::Sha384),
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649"
        );
        assert_eq!(mac(Hash::Md5), "750c783e6ab0b503eaa86e310a5db738");
        assert_eq!(mac(Hash::Sha1), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    }

    /// Opens as it was sealed, and with any one thing changed not at all.
    fn check(aead: Aead, key: &str, nonce: &str, associated: &str, sealed: &str, plain: &str) {
        let key = bytes(key);
        let ready = aead.key(&key).unwrap();
        let nonce: [u8; NONCE] = bytes(nonce).try_into().unwrap();
        let (associated, sealed) = (bytes(associated), bytes(sealed));
        let open = |nonce: &[u8; NONCE], associated: &[u8], sealed: &[u8]| {
            let mut sealed = sealed.to_vec();
            ready.open(nonce, associated, &mut sealed).then_some(sealed)
        };
        assert_eq!(open(&nonce, &associated, &sealed), Some(bytes(plain)), "{aead:?}");
        assert_eq!(sealed.len(), bytes(plain).len() + aead.tag_len());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(open(&nonce, &associated, &changed), None, "{aead:?} byte {at}");
        }
        let mut other = nonce;
        other[11] ^= 1;
        assert_eq!(open(&other, &associated, &sealed), None);
        assert_eq!(open(&nonce, &[&associated[..], b"x"].concat(), &sealed), None);
        assert_eq!(open(&nonce, &associated, &sealed[..aead.tag_len() - 1]), None, "shorter than a tag");
        assert!(aead.key(&key[1..]).is_none());
        assert_eq!(key.len(), aead.key_len());
    }

    #[test]
    fn what_others_sealed_is_opened() {
        // RFC 8439 section 2.8.2.
        check(
            Aead::ChaCha20Poly1305,
            "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
            "070000004041424344454647",
            "50515253c0c1c2c3c4c5c6c7",
            "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b\
             1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc\
             3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691",
            "4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f66202739393a20496620492063\
             6f756c64206f6666657220796f75206f6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73\
             637265656e20776f756c642062652069742e",
        );
        // The GCM specification (McGrew and Viega), test cases 4 and 16.
        let (associated, plain) = (
            "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525\
             b16aedf5aa0de657ba637b39",
        );
        check(
            Aead::Aes128Gcm,
            "feffe9928665731c6d6a8f9467308308",
            "cafebabefacedbaddecaf888",
            associated,
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa05\
             1ba30b396a0aac973d58e0915bc94fbc3221a5db94fae95ae7121a47",
            plain,
        );
        check(
            Aead::Aes256Gcm,
            "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
            "cafebabefacedbaddecaf888",
            associated,
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838\
             c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b",
            plain,
        );
    }

    #[test]
    fn nonces_count_from_the_right() {
        let iv: [u8; NONCE] = bytes("fa044b2f42a3fd3b46fb255c").try_into().unwrap();
        // RFC 9001 appendix A.2: packet number 2.
        assert_eq!(hex(&nonce(&iv, 2)), "fa044b2f42a3fd3b46fb255e");
        assert_eq!(hex(&nonce(&iv, u64::MAX)), "fa044b2fbd5c02c4b904daa3");
    }
}
