//! Folders of inputs: named by logical paths, the same on a disk and in a bundle.
//!
//! A logical path is the text that a scenario writes, with `/` between components. Only
//! [`Disk`] turns it into a file name.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use crate::evidence::{Blob, FileBlob, read_exact_at};

/// Files below one listed folder; more is a mistake or an attack (a bundle holds no more either).
const MAX_FILES: usize = 100_000;
/// Nested folders; deeper ones are links that run in circles.
const MAX_DEPTH: usize = 64;

/// Files of one folder that stay open at most: half of the 1024 that systems usually allow a program.
const MAX_OPEN: usize = 512;
/// Small files stay open only up to here, so that room is left for captures, which are read often.
const MAX_OPEN_SMALL: usize = 256;
/// Of the files that don't stay open, so many of those that were read last are.
const MAX_RECENT: usize = 64;
/// What counts as small: reopening it for each read costs little in all.
const SMALL: u64 = 16 << 20;

/// Files up to this size are held in memory once they are read, and don't stay open: the captures of hundreds of short runs
/// are read in a thousand little pieces each.
const MAX_HELD: u64 = 256 << 10;
/// All that is held in this way. A case of 300 runs of the laboratory has 20 MiB in such files.
const MAX_HELD_IN_ALL: u64 = 24 << 20;

/// Where inputs are read from.
pub trait Folder: Send + Sync {
    /// Opens the file at a logical path.
    ///
    /// # Errors
    /// What the medium says, `NotFound` among it.
    fn open(&self, path: &str) -> io::Result<Arc<dyn Blob>>;

    /// Lists the logical paths of all files at or below `path`, sorted by their bytes. A file lists itself.
    ///
    /// # Errors
    /// What the medium says; `InvalidData` for names that are not UTF-8; too many files or too deep.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;
}

/// A folder of the file system.
#[derive(Debug, Clone)]
pub struct Disk {
    root: PathBuf,
    /// Files that stay open.
    open: Arc<AtomicUsize>,
    /// Those of the others that were read last.
    recent: Arc<Recent>,
    /// Bytes that are held.
    held: Arc<AtomicU64>,
}

impl Disk {
    /// Logical paths will be taken relative to `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), open: Arc::default(), recent: Arc::default(), held: Arc::default() }
    }

    /// The file name behind a logical path.
    pub fn path(&self, logical: &str) -> PathBuf {
        self.root.join(logical)
    }
}

impl Folder for Disk {
    fn open(&self, path: &str) -> io::Result<Arc<dyn Blob>> {
        let name = self.path(path);
        if fs::metadata(&name)?.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder, not a file"));
        }
        let blob = FileBlob::new(fs::File::open(&name)?)?;
        let with = |held: u64| Some(held + blob.len()).filter(|held| *held <= MAX_HELD_IN_ALL);
        let holds = blob.len() <= MAX_HELD
            && self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with).is_ok();
        let most = if blob.len() < SMALL { MAX_OPEN_SMALL } else { MAX_OPEN };
        let one_more = |open| (open < most).then_some(open + 1);
        if !holds && self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok() {
            return Ok(Arc::new(blob));
        }
        Ok(Arc::new(ClosedFile {
            name,
            len: blob.len(),
            recent: Arc::clone(&self.recent),
            held: holds.then(OnceLock::new),
        }))
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let logical = path.trim_end_matches('/');
        let name = self.path(logical);
        let mut paths = Vec::new();
        if fs::metadata(&name)?.is_dir() {
            walk(&name, if logical == "." { "" } else { logical }, 0, &mut paths)?;
        } else {
            paths.push(logical.to_owned());
        }
        paths.sort_unstable();
        Ok(paths)
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that lists a folder; its caller sorts")]
fn walk(folder: &Path, logical: &str, depth: usize, paths: &mut Vec<String>) -> io::Result<()> {
    if depth > MAX_DEPTH {
        return Err(io::Error::other(format!("folders nest deeper than {MAX_DEPTH} at {logical}")));
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|name| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a file name is not UTF-8: {name:?} in {logical}"),
            )
        })?;
        let path = if logical.is_empty() { name } else { format!("{logical}/{name}") };
        let kind = fs::metadata(entry.path())?;
        if kind.is_dir() {
            walk(&entry.path(), &path, depth + 1, paths)?;
        } else if kind.is_file() {
            if paths.len() >= MAX_FILES {
                return Err(io::Error::other(format!("more than {MAX_FILES} files")));
            }
            paths.push(path);
        }
    }
    Ok(())
}

/// One of many files: opened when it is read, so that a phone's thousands of photos don't use up the open files
/// that a program may have.
struct ClosedFile {
    name: PathBuf,
    len: u64,
    recent: Arc<Recent>,
    /// All its bytes, if it is one of those that are held.
    held: Option<OnceLock<Box<[u8]>>>,
}

impl ClosedFile {
    /// All its bytes.
    fn whole(&self) -> io::Result<Box<[u8]>> {
        let blob = self.recent.open(&self.name)?;
        let mut bytes = vec![0; usize::try_from(self.len).map_err(io::Error::other)?];
        let read = read_exact_at(&*blob, &mut bytes, 0);
        if read.is_err() || blob.len_now()? != self.len {
            return Err(io::Error::other(CHANGED));
        }
        Ok(bytes.into())
    }
}

impl Blob for ClosedFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        if let Some(held) = &self.held {
            let bytes = match held.get() {
                Some(bytes) => bytes,
                // Two threads may read it at once; one of them keeps it.
                None => {
                    let bytes = self.whole()?;
                    held.get_or_init(|| bytes)
                }
            };
            let rest =
                usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
            let read = rest.len().min(buf.len());
            if let (Some(to), Some(from)) = (buf.get_mut(..read), rest.get(..read)) {
                to.copy_from_slice(from);
            }
            return Ok(read);
        }
        let blob = self.recent.open(&self.name)?;
        if blob.len_now()? != self.len {
            return Err(io::Error::other(CHANGED));
        }
        blob.read_at(buf, offset)
    }
}

/// What is said of a file that is not what it was.
const CHANGED: &str = "the input changed while it was read";

/// Files that were read last, the latest at the end: who reads a file in pieces opens it once.
#[derive(Debug, Default)]
struct Recent(Mutex<Vec<(PathBuf, Arc<FileBlob>)>>);

impl Recent {
    fn open(&self, name: &Path) -> io::Result<Arc<FileBlob>> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut files = lock();
        if let Some(at) = files.iter().rposition(|(known, _)| known.as_os_str() == name.as_os_str()) {
            let found = files.remove(at);
            let blob = Arc::clone(&found.1);
            files.push(found);
            return Ok(blob);
        }
        drop(files);
        let blob = Arc::new(FileBlob::new(fs::File::open(name)?)?);
        let mut files = lock();
        if files.len() >= MAX_RECENT {
            files.remove(0);
        }
        files.push((name.to_owned(), Arc::clone(&blob)));
        Ok(blob)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_files_than_a_program_may_open_can_be_read() {
        let root = tempfile::tempdir().unwrap();
        let disk = Disk::new(root.path());
        disk.held.store(MAX_HELD_IN_ALL, Ordering::Relaxed);
        let blobs: Vec<_> = (0..1_500_u32)
            .map(|no| {
                fs::write(root.path().join(no.to_string()), no.to_string()).unwrap();
                disk.open(&no.to_string()).unwrap()
            })
            .collect();
        assert_eq!(disk.open.load(Ordering::Relaxed), MAX_OPEN_SMALL);
        let mut bytes = [0; 4];
        assert_eq!(blobs[1_499].read_at(&mut bytes, 0).unwrap(), 4);
        assert_eq!(&bytes, b"1499");
        fs::write(root.path().join("1499"), "longer now").unwrap();
        assert!(blobs[1_499].read_at(&mut bytes, 0).is_err());
        assert_eq!(blobs[7].read_at(&mut bytes, 0).unwrap(), 1);
        // Not one of them, however many were read, is kept open beyond the last few.
        for (no, blob) in blobs.iter().enumerate().skip(300).take(1_000) {
            let read = blob.read_at(&mut bytes, 0).unwrap();
            assert_eq!(bytes[..read], *no.to_string().as_bytes());
        }
        assert_eq!(disk.recent.0.lock().unwrap().len(), MAX_RECENT);
    }

    #[test]
    fn small_files_are_read_once_and_no_more_than_fits() {
        let root = tempfile::tempdir().unwrap();
        let disk = Disk::new(root.path());
        let file = |name: &str, len: usize| {
            fs::write(root.path().join(name), vec![7; len]).unwrap();
            disk.open(name).unwrap()
        };
        disk.open.store(MAX_OPEN, Ordering::Relaxed);
        let (held, large) = (file("held", 1_000), file("large", (256 << 10) + 1));
        let read = |blob: &dyn Blob, offset| {
            let mut bytes = [0; 600];
            blob.read_at(&mut bytes, offset).map(|read| bytes[..read].to_vec()).ok()
        };
        assert_eq!(read(&*held, 0), Some(vec![7; 600]));
        assert_eq!(read(&*large, 0), Some(vec![7; 600]));
        // What was read stays what it was; what is read anew is seen to be another one.
        file("held", 5);
        file("large", 5);
        assert_eq!((read(&*held, 700), read(&*held, 1_000)), (Some(vec![7; 300]), Some(vec![])));
        assert_eq!(read(&*large, 0), None);
        let changed = file("changed", 10);
        file("changed", 11);
        assert_eq!(read(&*changed, 0), None, "before it was read");
        // What does not fit is read as others are.
        disk.held.store(MAX_HELD_IN_ALL, Ordering::Relaxed);
        let more = file("more", 10);
        assert_eq!(read(&*more, 0), Some(vec![7; 10]));
        file("more", 5);
        assert_eq!(read(&*more, 0), None);
    }
}
