//! Folders of inputs: named by logical paths, the same on a disk and in a bundle.
//!
//! A logical path is the text that a scenario writes, with `/` between components. Only
//! [`Disk`] turns it into a file name.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::evidence::{Blob, FileBlob};

/// Files below one listed folder; more is a mistake or an attack (a bundle holds no more either).
const MAX_FILES: usize = 100_000;
/// Nested folders; deeper ones are links that run in circles.
const MAX_DEPTH: usize = 64;

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
}

impl Disk {
    /// Logical paths will be taken relative to `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
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
        Ok(Arc::new(FileBlob::new(fs::File::open(name)?)?))
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
