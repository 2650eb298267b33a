//! From secrets to the keys of records: the PRF of TLS 1.0 to 1.2 (RFC 2246, RFC 5246 section 5), the key schedule of
//! TLS 1.3 (RFC 8446 section 7).

use super::{
    Peer, Version,
    protection::{Mac, Protection},
    suite::{Cipher, Suite},
};
use crate::engine::proto::crypto::{Hash, NONCE};

/// Bytes of a master secret (RFC 5246 section 8.1).
pub(super) const MASTER: usize = 48;

/// Bytes of a Finished before TLS 1.3.
const VERIFY_DATA: usize = 12;

/// What both hellos of TLS 1.2 and before agreed on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms<'a> {
    /// The version.
    pub version: Version,
    /// The suite.
    pub suite: Suite,
    /// The client's random.
    pub client_random: &'a [u8],
    /// The server's random.
    pub server_random: &'a [u8],
    /// Whether the MAC is over the ciphertext (RFC 7366).
    pub encrypt_then_mac: bool,
    /// Whether MACs are cut to 10 bytes (RFC 6066 section 7).
    pub truncated_hmac: bool,
}

/// The pseudorandom function.
fn prf(version: Version, hash: Hash, secret: &[u8], label: &str, seeds: &[&[u8]], len: usize) -> Vec<u8> {
    let seed: Vec<&[u8]> = [label.as_bytes()].iter().chain(seeds).copied().collect();
    if version >= Version::TLS12 {
        return p_hash(hash, secret, &seed, len);
    }
    let half = secret.len().div_ceil(2);
    let (first, second) =
        (secret.get(..half).unwrap_or_default(), secret.get(secret.len() - half..).unwrap_or_default());
    let (md5, sha1) = (p_hash(Hash::Md5, first, &seed, len), p_hash(Hash::Sha1, second, &seed, len));
    md5.iter().zip(sha1).map(|(a, b)| a ^ b).collect()
}

fn p_hash(hash: Hash, secret: &[u8], seed: &[&[u8]], len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(len + hash.size());
    let mut a = hash.hmac(secret, seed);
    while out.len() < len {
        let parts: Vec<&[u8]> = [a.as_slice()].iter().chain(seed).copied().collect();
        out.extend(hash.hmac(secret, &parts));
        a = hash.hmac(secret, &[&a]);
    }
    out.truncate(len);
    out
}

/// The master secret of a premaster secret (RFC 5246 section 8.1).
pub(super) fn master(terms: &Terms<'_>, premaster: &[u8]) -> Vec<u8> {
    let Terms { version, suite, client_random, server_random, .. } = *terms;
    prf(version, suite.hash, premaster, "master secret", &[client_random, server_random], MASTER)
}

/// The extended master secret (RFC 7627) over the handshake up to ClientKeyExchange.
pub(super) fn extended_master(terms: &Terms<'_>, premaster: &[u8], handshake: &[u8]) -> Vec<u8> {
    let Terms { version, suite, .. } = *terms;
    let session = session(terms, &[handshake]);
    prf(version, suite.hash, premaster, "extended master secret", &[&session], MASTER)
}

/// The digest of a handshake's messages that its Finished and an extended master secret are made over.
fn session(terms: &Terms<'_>, handshake: &[&[u8]]) -> Vec<u8> {
    if terms.version >= Version::TLS12 {
        terms.suite.hash.digest(handshake)
    } else {
        [Hash::Md5.digest(handshake), Hash::Sha1.digest(handshake)].concat()
    }
}

/// What the client's Finished holds before TLS 1.3 (RFC 5246 section 7.4.9); `None` for SSL 3.0.
pub(super) fn finished_12(terms: &Terms<'_>, master: &[u8], handshake: &[&[u8]]) -> Option<Vec<u8>> {
    let Terms { version, suite, .. } = *terms;
    let digest = session(terms, handshake);
    (version >= Version::TLS10)
        .then(|| prf(version, suite.hash, master, "client finished", &[&digest], VERIFY_DATA))
}

/// What a Finished of TLS 1.3 holds (RFC 8446 section 4.4.4), from the traffic secret of its sender.
pub(super) fn finished_13(hash: Hash, secret: &[u8], transcript: &[Vec<u8>]) -> Option<Vec<u8>> {
    let parts: Vec<&[u8]> = transcript.iter().map(Vec::as_slice).collect();
    let key = hash.expand_label(secret, "finished", &[], hash.size())?;
    Some(hash.hmac(&key, &[&hash.digest(&parts)]))
}

/// What protects the records of one peer, from the master secret.
pub(super) fn protection(terms: &Terms<'_>, master: &[u8], peer: Peer) -> Option<Protection> {
    let Terms { version, suite, client_random, server_random, encrypt_then_mac, truncated_hmac } = *terms;
    let cipher = suite.cipher?;
    let chained = version < Version::TLS11;
    // RFC 5246 section 6.3 and RFC 5288 section 3: MAC keys, keys, IVs, each of the client first.
    let (mac_len, key_len, iv_len) = match cipher {
        Cipher::Null(mac) => (mac.size(), 0, 0),
        Cipher::Rc4(mac) => (mac.size(), 16, 0),
        Cipher::Cbc(block, mac) => (mac.size(), block.key_len(), if chained { block.size() } else { 0 }),
        Cipher::Aead(crate::engine::proto::crypto::Aead::ChaCha20Poly1305) => (0, 32, NONCE),
        Cipher::Aead(aead) => (0, aead.key_len(), 4),
    };
    let seeds = [server_random, client_random];
    let block = prf(version, suite.hash, master, "key expansion", &seeds, 2 * (mac_len + key_len + iv_len));
    let mut rest = block.as_slice();
    let mut own = |len: usize| {
        let both = rest.split_off(..2 * len)?;
        let (client, server) = both.split_at_checked(len)?;
        Some(if peer == Peer::Client { client } else { server })
    };
    let (mac_key, key, iv) = (own(mac_len)?, own(key_len)?, own(iv_len)?);
    let mac =
        |hash: Hash| Mac { hash, key: mac_key.to_vec(), len: if truncated_hmac { 10 } else { hash.size() } };
    match cipher {
        Cipher::Null(hash) => Some(Protection::null(mac(hash))),
        Cipher::Rc4(hash) => Some(Protection::rc4(key, mac(hash))),
        Cipher::Cbc(block, hash) => {
            Protection::cbc(block, key, chained.then(|| iv.to_vec()), mac(hash), encrypt_then_mac)
        }
        Cipher::Aead(aead) => Protection::aead(aead, key, iv),
    }
}

/// What protects the records of one peer of TLS 1.3, from a traffic secret (RFC 8446 section 7.3).
pub(super) fn protection_13(version: Version, suite: Suite, secret: &[u8]) -> Option<Protection> {
    let Some(Cipher::Aead(aead)) = suite.cipher else { return None };
    let key = suite.hash.expand_label(secret, "key", &[], aead.key_len())?;
    let iv = suite.hash.expand_label(secret, "iv", &[], NONCE)?;
    Protection::aead_13(aead, &key, &iv, version.authenticates_headers())
}

/// The traffic secret after a KeyUpdate (RFC 8446 section 7.2).
pub(super) fn updated(hash: Hash, secret: &[u8]) -> Option<Vec<u8>> {
    hash.expand_label(secret, "traffic upd", &[], hash.size())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{hex, hex_bytes};

    #[test]
    fn the_prf_of_tls_1_2_gives_the_published_test_vectors() {
        // Published by E. Rescorla and others on the TLS working group's list (P_SHA256 and P_SHA384).
        let secret = hex_bytes("9bbe436ba940f017b17652849a71db35").unwrap();
        let seed = hex_bytes("a0ba9f936cda311827a6f796ffd5198c").unwrap();
        let out = prf(Version::TLS12, Hash::Sha256, &secret, "test label", &[&seed], 100);
        assert_eq!(
            hex(&out),
            "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af\
             0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701\
             87347b66"
        );
    }
}
