//! DSSE v1 envelopes: signatures over a typed payload, not over its JSON.
//!
//! Public keys travel beside the envelope ([`KEYS`]), so that any signature can be checked; whether a key
//! is worth anything is for the verifier to say.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

use super::{
    json,
    key::{PublicKey, SealKey},
};
use crate::{evidence::Digest, findings::canonical_json};

/// The sealer's envelope inside a bundle.
pub const ENVELOPE: &str = "attestations/seal.dsse.json";
/// The public keys of its signatures in SPKI PEM, in the same order.
pub const KEYS: &str = "attestations/seal.keys.pem";
/// What is signed: an in-toto Statement.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// An envelope is read whole; a statement has some hundred bytes.
pub const MAX_ENVELOPE: u64 = 1 << 20;
/// Signatures under one envelope; more only cost the reader time.
pub const MAX_SIGNATURES: usize = 64;

/// The bytes that are signed: `DSSEv1`, then type and payload, each with its length.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// An envelope as it stands in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    keyid: Digest,
    sig: String,
}

/// An envelope and the public keys of its signatures, as files of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// [`ENVELOPE`].
    pub envelope: Vec<u8>,
    /// [`KEYS`].
    pub keys: Vec<u8>,
}

/// Signs a payload with each key, sorted by fingerprint.
///
/// # Errors
/// Never in practice: the envelope's own shape is JSON.
pub fn sign(payload: &[u8], keys: &[&SealKey]) -> Result<Signed, serde_json::Error> {
    let message = pae(PAYLOAD_TYPE, payload);
    let mut keys: Vec<&SealKey> = keys.to_vec();
    keys.sort_by_key(|key| key.public().fingerprint());
    keys.dedup_by_key(|key| key.public().fingerprint());
    let entry = |key: &&SealKey| Entry {
        keyid: key.public().fingerprint(),
        sig: BASE64_STANDARD.encode(key.sign(&message)),
    };
    let envelope = Envelope {
        payload: BASE64_STANDARD.encode(payload),
        payload_type: PAYLOAD_TYPE.into(),
        signatures: keys.iter().map(entry).collect(),
    };
    Ok(Signed {
        envelope: canonical_json(&envelope)?,
        keys: keys.iter().map(|key| key.public().pem()).collect::<String>().into_bytes(),
    })
}

/// A payload all of whose signatures verify, with the keys that made them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The very bytes that were signed.
    pub payload: Vec<u8>,
    /// Distinct keys, sorted by fingerprint; at least one.
    pub keys: Vec<PublicKey>,
}

/// Why an envelope is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeFault {
    /// Not the one JSON spelling of an envelope.
    #[error("the envelope is not what it has to be: {0}")]
    Json(String),
    /// Something else was signed.
    #[error("what was signed is not an in-toto statement")]
    PayloadType,
    /// Base64 that has another spelling, or a signature of another length.
    #[error("a payload or signature is not canonical base64 of its length")]
    Base64,
    /// No signatures or too many.
    #[error("the envelope has no signature, or more than {MAX_SIGNATURES}")]
    Count,
    /// Signatures that are not sorted by key, each once.
    #[error("signatures are not sorted by key, each once")]
    Order,
    /// The keys beside the envelope are not those of its signatures.
    #[error("the keys beside the envelope are not those of its signatures")]
    Keys,
    /// A signature that does not verify.
    #[error("the signature does not match key sha256:{0}")]
    Signature(Digest),
}

/// Checks every signature of an envelope with the keys beside it. All have to hold: an envelope
/// with one good and one bad signature was tampered with.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(signed: &Signed) -> Result<Verified, EnvelopeFault> {
    let envelope: Envelope = json::canonical(&signed.envelope).map_err(EnvelopeFault::Json)?;
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(EnvelopeFault::PayloadType);
    }
    if envelope.signatures.is_empty() || envelope.signatures.len() > MAX_SIGNATURES {
        return Err(EnvelopeFault::Count);
    }
    if !envelope.signatures.is_sorted_by(|a, b| a.keyid < b.keyid) {
        return Err(EnvelopeFault::Order);
    }
    let keys = read_keys(&signed.keys)?;
    let ids: Vec<Digest> = envelope.signatures.iter().map(|entry| entry.keyid).collect();
    if keys.iter().map(PublicKey::fingerprint).ne(ids) {
        return Err(EnvelopeFault::Keys);
    }
    let payload = BASE64_STANDARD.decode(&envelope.payload).map_err(|_| EnvelopeFault::Base64)?;
    let message = pae(PAYLOAD_TYPE, &payload);
    for (key, entry) in keys.iter().zip(&envelope.signatures) {
        let signature = BASE64_STANDARD.decode(&entry.sig).map_err(|_| EnvelopeFault::Base64)?;
        let signature = signature.try_into().map_err(|_| EnvelopeFault::Base64)?;
        if !key.verifies(&message, &signature) {
            return Err(EnvelopeFault::Signature(entry.keyid));
        }
    }
    Ok(Verified { payload, keys })
}

/// Reads keys that stand one after another, in the one spelling that is written.
fn read_keys(text: &[u8]) -> Result<Vec<PublicKey>, EnvelopeFault> {
    const END: &str = "-----END PUBLIC KEY-----\n";
    let text = str::from_utf8(text).map_err(|_| EnvelopeFault::Keys)?;
    let keys: Result<Vec<PublicKey>, _> =
        text.split_inclusive(END).take(MAX_SIGNATURES + 1).map(str::parse).collect();
    let keys = keys.map_err(|_| EnvelopeFault::Keys)?;
    if keys.iter().map(PublicKey::pem).collect::<String>() == text {
        Ok(keys)
    } else {
        Err(EnvelopeFault::Keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SealKey {
        SealKey::from_secret(&[byte; 32])
    }

    #[test]
    fn pae_is_that_of_the_dsse_protocol() {
        // The example of the DSSE protocol document.
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn what_is_signed_verifies_with_all_its_keys() {
        let (a, b) = (key(1), key(2));
        let verified = verify(&sign(b"{}", &[&a, &b]).unwrap()).unwrap();
        assert_eq!(verified.payload, b"{}");
        assert_eq!(verified.keys.len(), 2);
        assert_eq!(sign(b"{}", &[&a, &b]).unwrap(), sign(b"{}", &[&b, &a, &b]).unwrap());
    }

    #[test]
    fn any_changed_byte_of_envelope_or_keys_is_refused() {
        let good = sign(b"{\"a\":1}", &[&key(1)]).unwrap();
        for at in 0..good.envelope.len() {
            let mut bad = good.clone();
            bad.envelope[at] ^= 1;
            assert!(verify(&bad).is_err(), "envelope byte {at}");
        }
        for at in 0..good.keys.len() {
            let mut bad = good.clone();
            bad.keys[at] ^= 1;
            assert!(verify(&bad).is_err(), "keys byte {at}");
        }
    }

    #[test]
    fn another_key_under_the_same_envelope_is_refused() {
        let good = sign(b"{}", &[&key(1)]).unwrap();
        let other = sign(b"{}", &[&key(2)]).unwrap();
        let swapped = Signed { envelope: good.envelope, keys: other.keys };
        assert_eq!(verify(&swapped), Err(EnvelopeFault::Keys));
    }

    #[test]
    fn one_bad_signature_beside_a_good_one_is_refused() {
        let (a, b) = (key(1), key(2));
        let good = sign(b"{}", &[&a, &b]).unwrap();
        let mut envelope: Envelope = json::canonical(&good.envelope).unwrap();
        envelope.signatures[1].sig = envelope.signatures[0].sig.clone();
        let bad = Signed { envelope: canonical_json(&envelope).unwrap(), keys: good.keys };
        assert!(matches!(verify(&bad), Err(EnvelopeFault::Signature(_))));
    }
}
