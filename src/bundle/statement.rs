//! What a seal says: an in-toto Statement v1 whose one subject is the bundle id.
//!
//! It will be published beside redacted bundles, so nothing in it is a digest of guessable content.

use serde::{Deserialize, Serialize};

use super::{
    json,
    manifest::{Oxum, TAG_MANIFEST},
};
use crate::{evidence::Digest, findings::canonical_json};

/// The envelope's kind (in-toto Attestation Framework, Statement v1).
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// The predicate's kind. The name stands under a domain that nobody owns (RFC 2606): it is a name, not an address.
pub const PREDICATE_TYPE: &str = "https://exhibit.example/seal/v0";

/// The program's name in bundles.
pub const TOOL: &str = "exhibit";

/// A statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// [`STATEMENT_TYPE`].
    #[serde(rename = "_type")]
    pub kind: String,
    /// What is said.
    pub predicate: SealPredicate,
    /// [`PREDICATE_TYPE`].
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// What it is said of: exactly one.
    pub subject: [Subject; 1],
}

/// What a statement is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Its digest.
    pub digest: SubjectDigest,
    /// The file that has it.
    pub name: String,
}

/// A digest by algorithm; here always SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectDigest {
    /// The bundle id D.
    pub sha256: Digest,
}

/// What the sealer says of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealPredicate {
    /// The format's name.
    pub format: String,
    /// Seconds since 1970; the time of every member.
    pub epoch: u64,
    /// Files of the payload.
    pub files: u64,
    /// Bytes of the payload.
    pub bytes: u64,
    /// The case's public id.
    pub case: String,
    /// The place of the redaction root; `null` in this version.
    pub commitment: (),
    /// Ids of bundles that this one replaces.
    pub supersedes: Vec<Digest>,
    /// What sealed it.
    pub tool: Tool,
}

/// A program and its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl Tool {
    /// This program.
    pub fn this() -> Self {
        Self { name: TOOL.into(), version: env!("CARGO_PKG_VERSION").into() }
    }
}

impl Statement {
    /// Says that this bundle holds that case.
    pub fn new(id: Digest, oxum: Oxum, epoch: u64, case: &str) -> Self {
        Self {
            kind: STATEMENT_TYPE.into(),
            predicate: SealPredicate {
                format: super::FORMAT.into(),
                epoch,
                files: oxum.files,
                bytes: oxum.bytes,
                case: case.into(),
                commitment: (),
                supersedes: Vec::new(),
                tool: Tool::this(),
            },
            predicate_type: PREDICATE_TYPE.into(),
            subject: [Subject { digest: SubjectDigest { sha256: id }, name: TAG_MANIFEST.into() }],
        }
    }

    /// Writes it as it is signed.
    ///
    /// # Errors
    /// Never in practice: its shape is JSON.
    pub fn bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        canonical_json(self)
    }

    /// Reads the very bytes that were signed.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let statement: Self = json::canonical(bytes)?;
        if statement.kind != STATEMENT_TYPE || statement.predicate_type != PREDICATE_TYPE {
            return Err(format!("it is not a {PREDICATE_TYPE} statement"));
        }
        Ok(statement)
    }

    /// Why it does not speak of the bundle it stands in, if so.
    pub fn mismatch(&self, id: Digest, oxum: Oxum, epoch: u64) -> Option<&'static str> {
        let [subject] = &self.subject;
        if subject.digest.sha256 != id || subject.name != TAG_MANIFEST {
            return Some("the seal is that of another bundle");
        }
        let said = &self.predicate;
        if said.format != super::FORMAT {
            return Some("the seal is for another format");
        }
        let same = (said.files, said.bytes, said.epoch) == (oxum.files, oxum.bytes, epoch);
        (!same).then_some("the seal names another size or time")
    }
}
