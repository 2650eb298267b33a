//! A payload to a bag: tag files, bundle id, and the order of members.

use super::{
    archive::{Members, Source},
    dsse::{self, Signed},
    manifest::{self, Manifest, Oxum},
    name::{MemberName, NameFault},
};
use crate::evidence::Digest;

/// A payload with its tag files.
pub struct Bag {
    /// The bundle id D: SHA-256 of the tag manifest.
    pub id: Digest,
    /// How large the payload is.
    pub oxum: Oxum,
    tags: [(&'static str, Vec<u8>); 4],
    payload: Members,
}

impl Bag {
    /// Writes the tag files for a payload. All digests are known before anything is written,
    /// so that manifest and signature can come first in the archive.
    pub fn new(mut payload: Members, epoch: u64) -> Self {
        payload.sort();
        let oxum = Oxum { bytes: payload.bytes(), files: payload.len() as u64 };
        let digests = payload.iter().map(|member| (member.name.clone(), member.source.sha256()));
        let manifest = Manifest(digests.collect()).text().into_bytes();
        let info = manifest::bag_info(epoch, oxum).into_bytes();
        let tags = manifest::tag_manifest(&info, &manifest).into_bytes();
        let id = Digest::of(&tags);
        let tags = [
            (manifest::BAGIT, manifest::BAGIT_TEXT.as_bytes().to_vec()),
            (manifest::BAG_INFO, info),
            (manifest::MANIFEST, manifest),
            (manifest::TAG_MANIFEST, tags),
        ];
        Self { id, oxum, tags, payload }
    }

    /// Every member in the order of the archive.
    ///
    /// # Errors
    /// Never in practice: all names are constants.
    pub fn members(self, signed: Option<Signed>) -> Result<Members, NameFault> {
        let mut members = Members::default();
        let seal = signed
            .into_iter()
            .flat_map(|signed| [(dsse::ENVELOPE, signed.envelope), (dsse::KEYS, signed.keys)]);
        for (name, bytes) in self.tags.into_iter().chain(seal) {
            members.push(MemberName::new(name)?, Source::Bytes(bytes));
        }
        members.extend(self.payload);
        Ok(members)
    }
}
