//! What is looked for: the device's contents, each once, the phone's identifiers and the values of its records.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use sha2::{Digest as _, Sha256};

use super::needles::Needles;
use crate::{
    case::device::{Device, DeviceFile, FileKind, Records},
    evidence::{Blob, Digest, Limits, ReadError, read_exact_at},
};

/// Bytes of a file's start that tell whether a leaf can be that file; long enough that ordinary wrappers
/// (multipart boundaries, JSON) differ, short enough to hold a hundred thousand of them.
pub(super) const PREFIX: usize = 32;
/// Bytes read at a time; larger reads save nothing and leave the cache.
const READ: usize = 256 << 10;

/// A content of the device, by its place in [`Catalog::contents`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId(pub u32);

/// One name of a content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// The device folder, as runs name it.
    pub device: String,
    /// The file's logical path.
    pub path: String,
}

/// One content, however many files hold it.
pub struct Content {
    /// Of its bytes.
    pub digest: Digest,
    /// How many there are; never 0.
    pub len: u64,
    /// Its bytes.
    pub blob: Arc<dyn Blob>,
    /// What it is.
    pub kind: FileKind,
    /// Every file that holds it, sorted.
    pub names: Vec<Name>,
}

impl Content {
    /// The error for a read that failed, under the content's first name.
    pub(super) fn failed(&self, offset: u64, error: std::io::Error) -> ReadError {
        ReadError::new(self.path(), offset, error)
    }

    /// The error for a content that ends before it did.
    pub(super) fn changed(&self, offset: u64) -> ReadError {
        ReadError::changed(self.path(), offset)
    }

    /// Reads the content once more and makes sure that it still is what its digest says: a part that was
    /// found later is then a part of the file that is sealed.
    pub(super) fn check_unchanged(&self) -> Result<(), ReadError> {
        let facts = read(self.path(), &*self.blob, &mut vec![0; READ])?;
        if facts.digest != self.digest {
            return Err(ReadError::changed(self.path(), 0));
        }
        Ok(())
    }

    fn path(&self) -> &str {
        self.names.first().map_or("a device file", |name| &name.path)
    }
}

/// What is looked for.
pub struct Catalog {
    /// Contents, by their first name.
    pub contents: Vec<Content>,
    /// Values and the forms in which they are looked for.
    pub(super) needles: Needles,
    by_digest: BTreeMap<(u64, Digest), ContentId>,
    prefixes: BTreeSet<[u8; PREFIX]>,
    longest: u64,
    record_problems: BTreeMap<String, Vec<String>>,
    digests: BTreeMap<String, (Digest, u64)>,
}

impl Catalog {
    /// Reads every file of every device folder once and makes its digest. Empty files are left out: nothing
    /// is no evidence of anything. Values are hashed alone and with each of `salts`.
    ///
    /// # Errors
    /// When a file can't be read or ends elsewhere than it did when it was opened.
    pub fn build(
        devices: &BTreeMap<String, Device>,
        identifiers: &BTreeMap<String, String>,
        salts: &[String],
        limits: &Limits,
    ) -> Result<Self, ReadError> {
        let mut files: BTreeMap<&str, &DeviceFile> = BTreeMap::new();
        for file in devices.values().flat_map(|device| &device.files) {
            files.insert(&file.path, file);
        }
        let files: Vec<&DeviceFile> = files.into_values().collect();
        let read = read_all(&files, limits.threads)?;
        let records = records(devices);
        let mut catalog = Self {
            contents: Vec::new(),
            needles: Needles::new(identifiers, &records.records, salts),
            record_problems: records.problems,
            by_digest: BTreeMap::new(),
            prefixes: BTreeSet::new(),
            longest: 0,
            digests: BTreeMap::new(),
        };
        let names = names(devices);
        for (file, facts) in files.iter().zip(read) {
            catalog.add(file, facts, names.get(file.path.as_str()).map_or(&[], Vec::as_slice));
        }
        Ok(catalog)
    }

    fn add(&mut self, file: &DeviceFile, facts: Facts, names: &[Name]) {
        let Facts { digest, len, prefix } = facts;
        self.digests.insert(file.path.clone(), (digest, len));
        if len == 0 {
            return;
        }
        if let Some(content) = self.by_digest.get(&(len, digest)).copied() {
            if let Some(content) = self.contents.get_mut(content.0 as usize) {
                content.names.extend_from_slice(names);
                content.names.sort_unstable();
            }
            return;
        }
        let id = ContentId(u32::try_from(self.contents.len()).unwrap_or(u32::MAX));
        self.by_digest.insert((len, digest), id);
        self.prefixes.extend(prefix);
        self.longest = self.longest.max(len);
        let names = names.to_vec();
        self.contents.push(Content { digest, len, blob: file.blob.clone(), kind: file.kind, names });
    }

    /// The content with an id that this catalogue gave.
    pub fn content(&self, id: ContentId) -> Option<&Content> {
        self.contents.get(id.0 as usize)
    }

    /// Every content with its id.
    pub fn iter(&self) -> impl Iterator<Item = (ContentId, &Content)> + Clone {
        (0..).map(ContentId).zip(&self.contents)
    }

    /// The values that are looked for, and those too short to be.
    pub fn values(&self) -> &[super::Value] {
        self.needles.values()
    }

    /// The values that are looked for, with their text as it was declared.
    pub fn texts(&self) -> impl Iterator<Item = (&super::Value, &str)> + Clone {
        self.needles.texts()
    }

    /// Forms of all spellings of all values.
    pub fn needles(&self) -> u64 {
        self.needles.count()
    }

    /// How many matches of any needle luck would give in so many bytes, as an upper bound: as if every byte were one
    /// that needles are made of.
    pub fn expected_by_luck(&self, searched: u64) -> f64 {
        self.needles.expected_by_luck(searched)
    }

    /// A value by an id that this catalogue gave.
    pub fn value(&self, id: super::ValueId) -> Option<&super::Value> {
        self.values().get(id.0 as usize)
    }

    /// What could not be read of files that hold records, by file.
    pub fn record_problems(&self) -> &BTreeMap<String, Vec<String>> {
        &self.record_problems
    }

    /// Digest and length of every device file by logical path, empty files among them.
    pub fn digests(&self) -> &BTreeMap<String, (Digest, u64)> {
        &self.digests
    }

    /// Bytes of all contents.
    pub fn bytes(&self) -> u64 {
        self.contents.iter().map(|content| content.len).sum()
    }

    pub(super) fn find(&self, len: u64, digest: Digest) -> Option<ContentId> {
        self.by_digest.get(&(len, digest)).copied()
    }

    /// Whether a leaf that begins like this could be a whole content.
    pub(super) fn may_begin(&self, prefix: &[u8; PREFIX]) -> bool {
        self.prefixes.contains(prefix)
    }

    pub(super) fn longest(&self) -> u64 {
        self.longest
    }
}

/// The records of all device folders; one that stands in several under the same path is one.
fn records(devices: &BTreeMap<String, Device>) -> Records {
    let mut all = Records::default();
    let mut known = BTreeSet::new();
    for read in devices.values().map(Device::records) {
        all.records.extend(read.records.into_iter().filter(|record| known.insert(record.name.clone())));
        all.problems.extend(read.problems);
    }
    all
}

fn names(devices: &BTreeMap<String, Device>) -> BTreeMap<&str, Vec<Name>> {
    let mut names: BTreeMap<&str, Vec<Name>> = BTreeMap::new();
    for (device, files) in devices {
        for file in &files.files {
            let name = Name { device: device.clone(), path: file.path.clone() };
            names.entry(&file.path).or_default().push(name);
        }
    }
    names
}

struct Facts {
    digest: Digest,
    len: u64,
    prefix: Option<[u8; PREFIX]>,
}

/// Reads files on several threads; the result stands in the order of the files.
fn read_all(files: &[&DeviceFile], threads: usize) -> Result<Vec<Facts>, ReadError> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut buffer = vec![0; READ];
        let mut done = Vec::new();
        loop {
            let no = next.fetch_add(1, Ordering::Relaxed);
            let Some(file) = files.get(no) else { return done };
            done.push((no, read(&file.path, &*file.blob, &mut buffer)));
        }
    };
    let mut all: Vec<(usize, Result<Facts, ReadError>)> = thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(files.len())).map(|_| scope.spawn(work)).collect();
        let mut all = work();
        for other in others {
            all.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        all
    });
    all.sort_unstable_by_key(|&(no, _)| no);
    all.into_iter().map(|(_, facts)| facts).collect()
}

fn read(path: &str, blob: &dyn Blob, buffer: &mut [u8]) -> Result<Facts, ReadError> {
    let (mut hasher, mut len, mut prefix) = (Sha256::new(), 0_u64, None);
    loop {
        let read = blob.read_at(buffer, len).map_err(|error| ReadError::new(path, len, error))?;
        let bytes = buffer.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        if len == 0 {
            prefix = read_prefix(path, blob, bytes)?;
        }
        hasher.update(bytes);
        len = len.saturating_add(read as u64);
    }
    if len != blob.len() {
        return Err(ReadError::changed(path, len));
    }
    Ok(Facts { digest: Digest::finish(hasher), len, prefix })
}

/// A first read may be short; the prefix is then read by itself.
fn read_prefix(path: &str, blob: &dyn Blob, bytes: &[u8]) -> Result<Option<[u8; PREFIX]>, ReadError> {
    if let Some(prefix) = bytes.first_chunk() {
        return Ok(Some(*prefix));
    }
    if blob.len() < PREFIX as u64 {
        return Ok(None);
    }
    let mut prefix = [0; PREFIX];
    read_exact_at(blob, &mut prefix, 0).map_err(|error| ReadError::new(path, 0, error))?;
    Ok(Some(prefix))
}
