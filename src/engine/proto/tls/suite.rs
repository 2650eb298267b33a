//! What a cipher suite's number stands for (the IANA registry, as `tls-parser` carries it).

use tls_parser::{
    TlsCipherAu, TlsCipherEnc, TlsCipherEncMode, TlsCipherKx, TlsCipherMac, TlsCipherSuite, TlsPRF,
};

use crate::engine::proto::crypto::{Aead, Hash};

/// A block cipher in CBC mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// RFC 5246.
    Aes128,
    /// RFC 5246.
    Aes256,
    /// RFC 5246: three keys of 56 bits with parity.
    TripleDes,
}

impl Block {
    /// Bytes of a key.
    pub fn key_len(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes256 => 32,
            Self::TripleDes => 24,
        }
    }

    /// Bytes of a block.
    pub fn size(self) -> usize {
        match self {
            Self::Aes128 | Self::Aes256 => 16,
            Self::TripleDes => 8,
        }
    }
}

/// How records are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// Not encrypted; a MAC with this hash (RFC 5246 section 6.2.3.1).
    Null(Hash),
    /// RC4 with a key of 128 bits, and a MAC.
    Rc4(Hash),
    /// A block cipher, and a MAC.
    Cbc(Block, Hash),
    /// Authenticated encryption.
    Aead(Aead),
}

/// Who signs the server's part of the handshake, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    /// The parameters in ServerKeyExchange (TLS 1.2 and before), with the key of the certificate.
    Parameters,
    /// The transcript in CertificateVerify (TLS 1.3), unless a pre-shared key stands for it.
    Transcript,
    /// Nothing: RSA key exchange, pre-shared keys, anonymous suites.
    Nothing,
}

/// A cipher suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suite {
    /// The IANA name.
    pub name: &'static str,
    /// How records are protected; `None` where this is not read here.
    pub cipher: Option<Cipher>,
    /// The hash of the PRF of TLS 1.2, and of the key schedule of TLS 1.3.
    pub hash: Hash,
    /// What the server signs.
    pub signed: Signed,
    /// Whether the premaster secret is encrypted with the server's RSA key.
    pub rsa_premaster: bool,
}

impl Suite {
    /// Looks a number up; `None` if IANA does not know it.
    pub fn of(id: u16) -> Option<Self> {
        let suite = TlsCipherSuite::from_id(id)?;
        let hash = match suite.prf {
            TlsPRF::Sha384 => Hash::Sha384,
            _ => Hash::Sha256,
        };
        let signs = matches!(suite.au, TlsCipherAu::Rsa | TlsCipherAu::Ecdsa | TlsCipherAu::Dss);
        let signed = match suite.kx {
            TlsCipherKx::Tls13 => Signed::Transcript,
            TlsCipherKx::Dhe | TlsCipherKx::Ecdhe if signs => Signed::Parameters,
            _ => Signed::Nothing,
        };
        let rsa_premaster = suite.kx == TlsCipherKx::Rsa;
        Some(Self { name: suite.name, cipher: cipher(suite), hash, signed, rsa_premaster })
    }
}

fn cipher(suite: &TlsCipherSuite) -> Option<Cipher> {
    let mac = match suite.mac {
        TlsCipherMac::HmacMd5 => Some(Hash::Md5),
        TlsCipherMac::HmacSha1 => Some(Hash::Sha1),
        TlsCipherMac::HmacSha256 => Some(Hash::Sha256),
        TlsCipherMac::HmacSha384 => Some(Hash::Sha384),
        _ => None,
    };
    let short_tag = suite.name.contains("_CCM_8");
    Some(match (suite.enc, suite.enc_mode, suite.enc_size) {
        // Those of TLS 1.3 (RFC 9150) protect otherwise.
        (TlsCipherEnc::Null, ..) if suite.kx != TlsCipherKx::Tls13 => Cipher::Null(mac?),
        (TlsCipherEnc::Rc4, _, 128) => Cipher::Rc4(mac?),
        (TlsCipherEnc::Aes, TlsCipherEncMode::Cbc, 128) => Cipher::Cbc(Block::Aes128, mac?),
        (TlsCipherEnc::Aes, TlsCipherEncMode::Cbc, 256) => Cipher::Cbc(Block::Aes256, mac?),
        (TlsCipherEnc::TripleDes, TlsCipherEncMode::Cbc, _) => Cipher::Cbc(Block::TripleDes, mac?),
        (TlsCipherEnc::Aes, TlsCipherEncMode::Gcm, 128) => Cipher::Aead(Aead::Aes128Gcm),
        (TlsCipherEnc::Aes, TlsCipherEncMode::Gcm, 256) => Cipher::Aead(Aead::Aes256Gcm),
        (TlsCipherEnc::Aes, TlsCipherEncMode::Ccm, 128) if short_tag => Cipher::Aead(Aead::Aes128Ccm8),
        (TlsCipherEnc::Aes, TlsCipherEncMode::Ccm, 256) if short_tag => Cipher::Aead(Aead::Aes256Ccm8),
        (TlsCipherEnc::Aes, TlsCipherEncMode::Ccm, 128) => Cipher::Aead(Aead::Aes128Ccm),
        (TlsCipherEnc::Aes, TlsCipherEncMode::Ccm, 256) => Cipher::Aead(Aead::Aes256Ccm),
        (TlsCipherEnc::Chacha20_Poly1305, ..) => Cipher::Aead(Aead::ChaCha20Poly1305),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_for_what_the_rfcs_say() {
        let suite = |id| Suite::of(id).unwrap();
        let modern = suite(0x1302);
        assert_eq!((modern.name, modern.hash), ("TLS_AES_256_GCM_SHA384", Hash::Sha384));
        assert_eq!((modern.cipher, modern.signed), (Some(Cipher::Aead(Aead::Aes256Gcm)), Signed::Transcript));
        assert_eq!(suite(0xcca8).cipher, Some(Cipher::Aead(Aead::ChaCha20Poly1305)));
        assert_eq!(suite(0xc0ae).cipher, Some(Cipher::Aead(Aead::Aes128Ccm8)));
        assert_eq!(suite(0xc09d).cipher, Some(Cipher::Aead(Aead::Aes256Ccm)));
        assert_eq!(suite(0x000a).cipher, Some(Cipher::Cbc(Block::TripleDes, Hash::Sha1)));
        assert_eq!(suite(0xc028).cipher, Some(Cipher::Cbc(Block::Aes256, Hash::Sha384)));
        assert_eq!(suite(0x0004).cipher, Some(Cipher::Rc4(Hash::Md5)));
        assert_eq!(suite(0x003b).cipher, Some(Cipher::Null(Hash::Sha256)));
        assert_eq!(suite(0x0003).cipher, None, "export keys are made otherwise");
        assert_eq!(suite(0xc0b4).cipher, None);
        assert_eq!(Suite::of(0x0a0a), None);
        let signed = [0xc02f, 0xc02b, 0x0033, 0x0032, 0x002f, 0x0034, 0x008c, 0xccac, 0x1301];
        assert_eq!(
            signed.map(|id| suite(id).signed),
            [
                Signed::Parameters,
                Signed::Parameters,
                Signed::Parameters,
                Signed::Parameters,
                Signed::Nothing,
                Signed::Nothing,
                Signed::Nothing,
                Signed::Nothing,
                Signed::Transcript,
            ]
        );
        assert!(suite(0x002f).rsa_premaster && !suite(0xc013).rsa_premaster);
    }
}
