//! A file to an [`Unverified`] bundle: canonical archive, every file listed, present and unchanged.
//!
//! Members are spooled to an unlinked scratch file in the same pass that hashes them. What comes out
//! agrees with itself; who sealed it is still unknown.

use std::{
    collections::BTreeMap,
    io::{self, BufWriter, Read, Write as _},
    sync::Arc,
};

use sha2::{Digest as _, Sha256};

use super::{
    archive::{
        header::Header,
        reader::{ArchiveReader, Fault, OpenError},
        writer::MAX_FILES,
    },
    dsse,
    manifest::{self, Manifest, Oxum},
    name::{MemberName, Tree},
};
use crate::evidence::{Blob, BlobSlice, ByteRange, Digest, FileBlob, Scratch};

/// A tag file is read whole: 100,000 lines are 17 MB.
const MAX_TAG: u64 = 64 << 20;

/// A document of the payload that is read whole (findings, inventory, reports).
pub(super) const MAX_DOCUMENT: u64 = 64 << 20;

/// Faults that are named; more say nothing new.
const MAX_FAULTS: usize = 100;

/// What a bundle may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenLimits {
    /// Bytes of the payload, which is put aside on a disk.
    pub max_bytes: u64,
}

impl Default for OpenLimits {
    fn default() -> Self {
        Self { max_bytes: 64 << 30 }
    }
}

/// A bundle that agrees with itself. Nobody has vouched for it yet.
pub struct Unverified {
    /// The bundle id: SHA-256 of the tag manifest.
    pub(super) id: Digest,
    pub(super) epoch: u64,
    pub(super) oxum: Oxum,
    pub(super) files: BTreeMap<MemberName, (ByteRange, Digest)>,
    pub(super) spool: Arc<dyn Blob>,
    pub(super) envelope: Option<Vec<u8>>,
    pub(super) keys: Option<Vec<u8>>,
}

impl std::fmt::Debug for Unverified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Unverified({}, {} files)", self.id, self.files.len())
    }
}

impl Unverified {
    /// The bundle id D.
    pub fn id(&self) -> Digest {
        self.id
    }

    /// A file of the payload.
    pub(super) fn file(&self, name: &str) -> Option<BlobSlice> {
        let name = MemberName::new(name).ok()?;
        let (range, _) = self.files.get(&name)?;
        Some(BlobSlice::new(Arc::clone(&self.spool), *range))
    }

    /// The digest of a file of the payload.
    pub(super) fn digest(&self, name: &str) -> Option<Digest> {
        let name = MemberName::new(name).ok()?;
        self.files.get(&name).map(|(_, digest)| *digest)
    }

    /// A file of the payload, whole.
    pub(super) fn document(&self, name: &str) -> Result<Vec<u8>, OpenError> {
        let blob = self.file(name).ok_or_else(|| Fault::Missing { name: name.into() })?;
        if blob.len() > MAX_DOCUMENT {
            return Err(Fault::Limit { what: name.into(), limit: MAX_DOCUMENT }.into());
        }
        let mut bytes = vec![0; usize::try_from(blob.len()).unwrap_or(0)];
        crate::evidence::read_exact_at(&blob, &mut bytes, 0).map_err(OpenError::Scratch)?;
        Ok(bytes)
    }
}

/// Opens a bundle, reading it once from its start to its exact end.
///
/// # Errors
/// [`OpenError::Broken`] names everything that is wrong; the others say what could not be done.
pub fn open<R: Read>(input: R, scratch: &Scratch, limits: OpenLimits) -> Result<Unverified, OpenError> {
    let mut archive = ArchiveReader::new(input)?;
    let tags = Tags::read(&mut archive, limits)?;
    let spool = scratch.file().map_err(OpenError::Scratch)?;
    let mut opening = Opening {
        archive,
        expected: tags.manifest.0.into_iter().peekable(),
        oxum: tags.oxum,
        spool: BufWriter::with_capacity(256 << 10, spool),
        spooled: 0,
        tree: Tree::default(),
        files: BTreeMap::new(),
        attestations: BTreeMap::new(),
        faults: Vec::new(),
    };
    opening.members()?;
    opening.finish(tags.id, tags.epoch)
}

/// The four tag files, which come first, so that everything after them is known by name.
struct Tags {
    id: Digest,
    epoch: u64,
    oxum: Oxum,
    manifest: Manifest,
}

impl Tags {
    fn read<R: Read>(archive: &mut ArchiveReader<R>, limits: OpenLimits) -> Result<Self, OpenError> {
        let wrong = |name: &str, why| Fault::Tag { name: name.into(), why };
        let (bagit, epoch) = tag(archive, manifest::BAGIT)?;
        if bagit != manifest::BAGIT_TEXT.as_bytes() {
            return Err(wrong(manifest::BAGIT, "not the fixed text").into());
        }
        let (info, _) = tag(archive, manifest::BAG_INFO)?;
        let oxum = manifest::read_bag_info(&info, epoch)
            .ok_or_else(|| wrong(manifest::BAG_INFO, "not the fixed lines for this date and size"))?;
        if oxum.bytes > limits.max_bytes {
            return Err(Fault::Limit { what: "the payload".into(), limit: limits.max_bytes }.into());
        }
        let (text, _) = tag(archive, manifest::MANIFEST)?;
        let manifest = Manifest::read(&text).map_err(|why| wrong(manifest::MANIFEST, why))?;
        if manifest.0.len() > MAX_FILES {
            return Err(Fault::Limit { what: "the manifest".into(), limit: MAX_FILES as u64 }.into());
        }
        let (tags, _) = tag(archive, manifest::TAG_MANIFEST)?;
        if tags != manifest::tag_manifest(&info, &text).as_bytes() {
            return Err(wrong(manifest::TAG_MANIFEST, "not the digests of the tag files").into());
        }
        Ok(Self { id: Digest::of(&tags), epoch, oxum, manifest })
    }
}

fn tag<R: Read>(archive: &mut ArchiveReader<R>, name: &str) -> Result<(Vec<u8>, u64), OpenError> {
    match archive.next_header()? {
        Some(header) if header.name.as_str() == name => {
            Ok((in_memory(archive, &header, MAX_TAG)?, header.mtime))
        }
        Some(header) => Err(Fault::Order { name: header.name.to_string() }.into()),
        None => Err(Fault::Missing { name: name.into() }.into()),
    }
}

fn in_memory<R: Read>(
    archive: &mut ArchiveReader<R>,
    header: &Header,
    limit: u64,
) -> Result<Vec<u8>, OpenError> {
    if header.size > limit {
        return Err(Fault::Limit { what: header.name.to_string(), limit }.into());
    }
    // Grows with what is really there, not with what the header announces.
    let mut bytes = Vec::new();
    archive.data(header, &mut |part| {
        bytes.extend_from_slice(part);
        Ok(())
    })?;
    Ok(bytes)
}

struct Opening<R> {
    archive: ArchiveReader<R>,
    expected: std::iter::Peekable<std::collections::btree_map::IntoIter<MemberName, Digest>>,
    oxum: Oxum,
    spool: BufWriter<std::fs::File>,
    spooled: u64,
    tree: Tree,
    files: BTreeMap<MemberName, (ByteRange, Digest)>,
    attestations: BTreeMap<MemberName, Vec<u8>>,
    faults: Vec<Fault>,
}

impl<R: Read> Opening<R> {
    fn members(&mut self) -> Result<(), OpenError> {
        let mut last: Option<MemberName> = None;
        while let Some(header) = self.archive.next_header()? {
            let name = header.name.to_string();
            // `attestations/` sorts before `data/`, so one rule gives the order of both.
            if last.as_ref().is_some_and(|last| *last >= header.name) {
                return self.stop(Fault::Order { name });
            }
            if !self.tree.add(&header.name) {
                return self.stop(Fault::FileAndFolder { name });
            }
            last = Some(header.name.clone());
            match name.as_str() {
                dsse::ENVELOPE | dsse::KEYS => {
                    let bytes = in_memory(&mut self.archive, &header, dsse::MAX_ENVELOPE)?;
                    self.attestations.insert(header.name, bytes);
                }
                _ if name.starts_with("data/") => self.payload(header)?,
                // Other manifests, fetch.txt, stray tag files: BagIt would let them pass.
                _ => return self.stop(Fault::Unlisted { name }),
            }
        }
        Ok(())
    }

    fn payload(&mut self, header: Header) -> Result<(), OpenError> {
        let name = header.name.to_string();
        while let Some((missing, _)) = self.expected.next_if(|(next, _)| *next < header.name) {
            self.fault(Fault::Missing { name: missing.to_string() });
        }
        let Some((_, digest)) = self.expected.next_if(|(next, _)| *next == header.name) else {
            return self.stop(Fault::Unlisted { name });
        };
        let range = ByteRange::new(self.spooled, self.spooled.saturating_add(header.size));
        if range.end > self.oxum.bytes {
            return self.stop(Fault::PayloadSize);
        }
        let mut hasher = Sha256::new();
        let spool = &mut self.spool;
        self.archive.data(&header, &mut |part| {
            hasher.update(part);
            spool.write_all(part).map_err(OpenError::Scratch)
        })?;
        self.spooled = range.end;
        if Digest::finish(hasher) != digest {
            self.fault(Fault::Changed { name });
        }
        self.files.insert(header.name, (range, digest));
        Ok(())
    }

    fn fault(&mut self, fault: Fault) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(fault);
        }
    }

    /// Ends reading with what was found so far and one more.
    fn stop(&mut self, fault: Fault) -> Result<(), OpenError> {
        self.fault(fault);
        Err(OpenError::Broken(std::mem::take(&mut self.faults)))
    }

    fn finish(mut self, id: Digest, epoch: u64) -> Result<Unverified, OpenError> {
        while let Some((missing, _)) = self.expected.next() {
            self.fault(Fault::Missing { name: missing.to_string() });
        }
        let found = Oxum { bytes: self.spooled, files: self.files.len() as u64 };
        if self.faults.is_empty() && found != self.oxum {
            self.fault(Fault::PayloadSize);
        }
        if !self.faults.is_empty() {
            return Err(OpenError::Broken(self.faults));
        }
        let file = self.spool.into_inner().map_err(|error| OpenError::Scratch(error.into_error()))?;
        let spool = FileBlob::new(file).map_err(OpenError::Scratch)?;
        if spool.len() != self.spooled {
            return Err(OpenError::Scratch(io::ErrorKind::UnexpectedEof.into()));
        }
        let mut take = |name| MemberName::new(name).ok().and_then(|name| self.attestations.remove(&name));
        Ok(Unverified {
            id,
            epoch,
            oxum: self.oxum,
            files: self.files,
            spool: Arc::new(spool),
            envelope: take(dsse::ENVELOPE),
            keys: take(dsse::KEYS),
        })
    }
}
