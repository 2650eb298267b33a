//! Members to a canonical archive, in one pass over the inputs.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::{
    Member, Members, Source,
    gzip::GzipWriter,
    header::{BLOCK, Header},
    output::OutputFile,
};
use crate::{bundle::name::Tree, evidence::Digest};

/// Members of one archive; more is a mistake, and readers refuse it.
pub const MAX_FILES: usize = 100_000;

/// Bytes copied at a time.
const COPY: usize = 256 << 10;

/// Why an archive could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// An input is not what it was when it was analyzed.
    #[error("seal {name}: the input changed while the case was analyzed")]
    InputChanged {
        /// The member.
        name: String,
    },
    /// An input could not be read.
    #[error("read the input for {name}")]
    Read {
        /// The member.
        name: String,
        /// What the medium said.
        #[source]
        source: io::Error,
    },
    /// The archive could not be written; nothing is left of it.
    #[error("write {path}")]
    Write {
        /// The archive.
        path: PathBuf,
        /// What the medium said.
        #[source]
        source: io::Error,
    },
    /// A member is 8 GiB or more, or the epoch lies after the year 2242.
    #[error("seal {name}: ustar holds files below 8 GiB and times before 2242")]
    TooLarge {
        /// The member.
        name: String,
    },
    /// A name stands twice, or is both a file and a folder.
    #[error("seal {name}: the name is taken")]
    NameTaken {
        /// The member.
        name: String,
    },
    /// More than [`MAX_FILES`].
    #[error("seal more than {MAX_FILES} files")]
    TooMany,
}

/// Writes the archive to `path`: beside it first, then renamed, so that no half of it ever stands there.
///
/// A file that stands at `path` is replaced. The archive can be read by its owner alone.
///
/// # Errors
/// Each [`WriteError`]; nothing is left behind then.
pub fn write_file(members: &Members, mtime: u64, path: &Path) -> Result<(), WriteError> {
    let failed = |source| WriteError::Write { path: path.to_owned(), source };
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let beside = OutputFile::new(folder).map_err(failed)?;
    let file = write(members, mtime, beside, path)?.finish().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    // The rename itself is made to last where folders can be synced; it has happened either way.
    #[cfg(unix)]
    let _ = fs::File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// Writes the archive to `out`; `path` is for messages only.
///
/// # Errors
/// Each [`WriteError`].
pub fn write<W: Write>(members: &Members, mtime: u64, out: W, path: &Path) -> Result<W, WriteError> {
    let failed = |source| WriteError::Write { path: path.to_owned(), source };
    if members.len() > MAX_FILES {
        return Err(WriteError::TooMany);
    }
    let mut gzip = GzipWriter::new(out).map_err(failed)?;
    let mut tree = Tree::default();
    let mut buffer = vec![0; COPY];
    for member in members.iter() {
        if !tree.add(&member.name) {
            return Err(WriteError::NameTaken { name: member.name.to_string() });
        }
        let header = Header { name: member.name.clone(), size: member.source.len(), mtime };
        let block = header.block().ok_or_else(|| WriteError::TooLarge { name: member.name.to_string() })?;
        gzip.write_all(&block).map_err(failed)?;
        copy(member, &mut buffer, &mut |bytes| gzip.write_all(bytes).map_err(failed))?;
        let padding = padding(header.size);
        gzip.write_all([0; BLOCK].get(..padding).unwrap_or_default()).map_err(failed)?;
    }
    gzip.write_all(&[0; 2 * BLOCK]).map_err(failed)?;
    gzip.finish().map_err(failed)
}

/// Zeros that follow a member of this size.
pub(super) fn padding(size: u64) -> usize {
    let over = size % BLOCK as u64;
    usize::try_from((BLOCK as u64 - over) % BLOCK as u64).unwrap_or(0)
}

fn copy(
    member: &Member,
    buffer: &mut [u8],
    sink: &mut dyn FnMut(&[u8]) -> Result<(), WriteError>,
) -> Result<(), WriteError> {
    let (blob, sha256, bytes) = match &member.source {
        Source::Bytes(bytes) => return sink(bytes),
        Source::Input { blob, sha256, bytes } => (blob, *sha256, *bytes),
    };
    let changed = || WriteError::InputChanged { name: member.name.to_string() };
    let (mut hasher, mut offset) = (Sha256::new(), 0);
    loop {
        let read = blob
            .read_at(buffer, offset)
            .map_err(|source| WriteError::Read { name: member.name.to_string(), source })?;
        let part = buffer.get(..read).unwrap_or_default();
        offset += part.len() as u64;
        if offset > bytes {
            return Err(changed());
        }
        if part.is_empty() {
            break;
        }
        hasher.update(part);
        sink(part)?;
    }
    if offset == bytes && Digest::finish(hasher) == sha256 { Ok(()) } else { Err(changed()) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::bundle::name::MemberName;

    fn members(content: &[u8], sha256: Digest, bytes: u64) -> Members {
        let mut members = Members::default();
        let name = |path| MemberName::new(path).unwrap();
        members.push(name("data/a"), Source::Bytes(b"in memory".to_vec()));
        members.push(name("data/b"), Source::Input { blob: Arc::new(content.to_vec()), sha256, bytes });
        members
    }

    #[test]
    fn an_input_that_changed_is_refused_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("case.tar.gz");
        for (content, sha256, bytes) in [
            (&b"now"[..], Digest::of(b"old"), 3),
            (b"longer", Digest::of(b"long"), 4),
            (b"lon", Digest::of(b"long"), 4),
        ] {
            let result = write_file(&members(content, sha256, bytes), 0, &target);
            assert!(matches!(result, Err(WriteError::InputChanged { .. })), "{result:?}");
            assert_eq!(
                std::process::Command::new("ls").arg("-A").arg(folder.path()).output().unwrap().stdout,
                b""
            );
        }
        write_file(&members(b"same", Digest::of(b"same"), 4), 0, &target).unwrap();
        assert!(target.exists());
    }

    struct FullDisk(usize);

    impl Write for FullDisk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_an_error_wherever_it_strikes() {
        let members = members(b"same", Digest::of(b"same"), 4);
        let len = write(&members, 0, Vec::new(), Path::new("x")).unwrap().len();
        for room in 0..len {
            let result = write(&members, 0, FullDisk(room), Path::new("x"));
            assert!(
                matches!(&result, Err(WriteError::Write { source, .. }) if source.kind() == io::ErrorKind::StorageFull),
                "room for {room} of {len}"
            );
        }
        assert!(write(&members, 0, FullDisk(len), Path::new("x")).is_ok());
    }

    #[test]
    fn names_stand_once() {
        let mut members = members(b"same", Digest::of(b"same"), 4);
        members.push(MemberName::new("data/a/b").unwrap(), Source::Bytes(Vec::new()));
        let result = write(&members, 0, Vec::new(), Path::new("x"));
        assert!(matches!(result, Err(WriteError::NameTaken { .. })));
    }
}
