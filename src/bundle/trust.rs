//! Whose keys count: named for one bundle, one's own, or a local list of parties. Never from the bundle.

use serde::Deserialize;

use super::{json, key::PublicKey};
use crate::evidence::{Digest, printable};

/// The format of a trust file.
pub const FORMAT: &str = "exhibit-trust/0";

/// Hex digits of a fingerprint that are enough to name a key: 128 bits, so that nobody can make
/// another key with the same start.
pub const MIN_FINGERPRINT: usize = 32;

/// A sealer that the verifier named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// The start of a key's fingerprint, at least [`MIN_FINGERPRINT`] lower-case hex digits.
    Fingerprint(String),
    /// The key itself.
    Key(PublicKey),
}

/// Why a text names no signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAFingerprint {
    /// Something else than hex digits.
    #[error("it is not lower-case hex")]
    Digits,
    /// Too few to name one key.
    #[error("a fingerprint needs at least {MIN_FINGERPRINT} of its 64 digits: a shorter start can be forged")]
    Short,
}

impl Signer {
    /// Reads `sha256:HEX` or `HEX`, whole or its start.
    ///
    /// # Errors
    /// When it is no hex or too short.
    pub fn fingerprint(text: &str) -> Result<Self, NotAFingerprint> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        if digits.len() > 64 || !digits.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c)) {
            return Err(NotAFingerprint::Digits);
        }
        if digits.len() < MIN_FINGERPRINT {
            return Err(NotAFingerprint::Short);
        }
        Ok(Self::Fingerprint(digits.to_owned()))
    }

    /// Whether it names this key.
    pub fn names(&self, key: &PublicKey) -> bool {
        match self {
            Self::Fingerprint(start) => key.fingerprint().to_string().starts_with(start),
            Self::Key(named) => named == key,
        }
    }
}

/// Parties that the verifier trusts. Rules with thresholds, validity and time-stamp roots have no
/// place in this version: a file that holds them is refused rather than half obeyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    parties: Vec<Party>,
    revoked: Vec<Digest>,
}

/// Somebody with keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// Their name.
    pub name: String,
    /// What they may do; only `sealer` is asked for.
    pub roles: Vec<Role>,
    keys: Vec<PublicKey>,
}

/// What a party may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Seal bundles.
    Sealer,
    /// Say that a re-run gave the same; not asked for yet.
    Reproducer,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    parties: Vec<FileParty>,
    #[serde(default)]
    revoked: Vec<Digest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileParty {
    name: String,
    roles: Vec<Role>,
    keys: Vec<String>,
}

impl Trust {
    /// Reads a trust file: `{"format": "exhibit-trust/0", "parties": [{"name", "roles": ["sealer"], "keys": ["ssh-ed25519 …"]}], "revoked": ["64 hex digits"]}`.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let file: File = json::strict(bytes)?;
        if file.format != FORMAT {
            return Err(format!("the format is not {FORMAT}"));
        }
        let mut parties: Vec<Party> = Vec::new();
        for FileParty { name, roles, keys } in file.parties {
            let keys: Result<Vec<PublicKey>, _> = keys.iter().map(|key| key.parse()).collect();
            let name = printable(name.as_bytes(), 80);
            let keys = keys.map_err(|why| format!("a key of {name} is not usable: {why}"))?;
            if parties.iter().any(|party| party.keys.iter().any(|key| keys.contains(key))) {
                return Err(format!("a key of {name} belongs to another party too"));
            }
            parties.push(Party { name, roles, keys });
        }
        Ok(Self { parties, revoked: file.revoked })
    }

    /// The party that may seal with this key.
    pub fn sealer(&self, key: &PublicKey) -> Option<&Party> {
        self.parties.iter().find(|party| party.keys.contains(key) && party.roles.contains(&Role::Sealer))
    }

    /// Whether the key was withdrawn.
    pub fn is_revoked(&self, key: &PublicKey) -> bool {
        self.revoked.contains(&key.fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::key::SealKey;

    #[test]
    fn short_or_foreign_fingerprints_name_nobody() {
        let key = SealKey::from_secret(&[1; 32]).public();
        let full = key.fingerprint().to_string();
        assert!(Signer::fingerprint(&full).unwrap().names(&key));
        assert!(Signer::fingerprint(&format!("sha256:{}", &full[..32])).unwrap().names(&key));
        assert_eq!(Signer::fingerprint(&full[..31]), Err(NotAFingerprint::Short));
        assert_eq!(Signer::fingerprint(&full.to_uppercase()), Err(NotAFingerprint::Digits));
        assert_eq!(Signer::fingerprint(&format!("{full}0")), Err(NotAFingerprint::Digits));
        let other = SealKey::from_secret(&[2; 32]).public();
        assert!(!Signer::fingerprint(&full).unwrap().names(&other));
        assert!(!Signer::Key(key).names(&other));
    }

    #[test]
    fn parties_count_in_their_role_alone() {
        let key = |byte| SealKey::from_secret(&[byte; 32]).public();
        let text = |roles: &str, more: &str| {
            format!(
                r#"{{"format":"exhibit-trust/0","parties":[{{"name":"A","roles":{roles},"keys":["{}"]}}]{more}}}"#,
                key(1).openssh().trim()
            )
        };
        let read = |text: String| Trust::read(text.as_bytes());
        let trust = read(text(r#"["sealer"]"#, "")).unwrap();
        assert_eq!(trust.sealer(&key(1)).unwrap().name, "A");
        assert_eq!(trust.sealer(&key(2)), None);
        assert_eq!(read(text(r#"["reproducer"]"#, "")).unwrap().sealer(&key(1)), None);
        let revoked = format!(r#","revoked":["{}"]"#, key(1).fingerprint());
        assert!(read(text(r#"["sealer"]"#, &revoked)).unwrap().is_revoked(&key(1)));
        assert!(read(text(r#"["sealer"]"#, r#","thresholds":{}"#)).is_err());
        assert!(read(text(r#"["owner"]"#, "")).is_err());
        assert!(read(text(r#"["sealer"]"#, "").replace("trust/0", "trust/9")).is_err());
    }
}
